//! Media types.

use std::{fmt, str::FromStr};

use mime::Mime;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The reason why a string is not a media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MediaTypeError {
    /// The string does not have the form `type/subtype; name=value`.
    #[error("a media type has the form `type/subtype`, with optional parameters")]
    Malformed,
    /// The string has more bytes than the service stores.
    #[error("a media type can have at most {max} bytes, not {0}", max = MediaType::MAX_BYTES)]
    TooLong(usize),
}

/// A media type (RFC 9110 §8.3.1) of at most 255 bytes, as declared with the upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, max_length = 255, example = "text/plain")]
pub struct MediaType(Mime);

impl MediaType {
    /// The maximum size of a media type in bytes.
    pub const MAX_BYTES: usize = 255;

    /// The media type as in a header field.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    /// True if a browser can show the file on a page of the service without running a script from
    /// the file.
    ///
    /// This lists the types that are known to be harmless; HTML, SVG, XML and PDF, among others,
    /// are not.
    #[must_use]
    pub fn runs_no_script(&self) -> bool {
        // A suffix names another format, which a browser may follow (RFC 6839).
        if self.0.suffix().is_some() {
            return false;
        }
        match (self.0.type_().as_str(), self.0.subtype().as_str()) {
            ("audio" | "video", _) | ("text", "plain") => true,
            ("image", format) => {
                matches!(format, "avif" | "bmp" | "gif" | "jpeg" | "png" | "webp")
            }
            _ => false,
        }
    }
}

impl Default for MediaType {
    fn default() -> Self {
        Self(mime::APPLICATION_OCTET_STREAM)
    }
}

impl FromStr for MediaType {
    type Err = MediaTypeError;

    fn from_str(text: &str) -> Result<Self, MediaTypeError> {
        if text.len() > Self::MAX_BYTES {
            return Err(MediaTypeError::TooLong(text.len()));
        }
        let media_type: Mime = text.parse().map_err(|_| MediaTypeError::Malformed)?;
        if media_type.type_().as_str().is_empty() || media_type.subtype().as_str().is_empty() {
            return Err(MediaTypeError::Malformed);
        }
        Ok(Self(media_type))
    }
}

impl TryFrom<String> for MediaType {
    type Error = MediaTypeError;

    fn try_from(text: String) -> Result<Self, MediaTypeError> {
        text.parse()
    }
}

impl From<MediaType> for String {
    fn from(media_type: MediaType) -> Self {
        media_type.0.to_string()
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_kept_and_malformed_types_are_refused() {
        let plain: MediaType = "text/plain; charset=utf-8".parse().unwrap();
        assert_eq!(plain.as_str(), "text/plain; charset=utf-8");
        for malformed in ["", "text", "text/", "/plain", "text/plain\r\nA: b", "a b/c"] {
            assert_eq!(
                malformed.parse::<MediaType>(),
                Err(MediaTypeError::Malformed),
                "{malformed:?}"
            );
        }
        let endless = format!("text/{}", "x".repeat(255));
        assert_eq!(
            endless.parse::<MediaType>(),
            Err(MediaTypeError::TooLong(260))
        );
    }

    #[test]
    fn only_types_without_scripts_may_be_shown_inline() {
        let harmless = |text: &str| text.parse::<MediaType>().unwrap().runs_no_script();
        assert!(harmless("image/png"));
        assert!(harmless("IMAGE/PNG"));
        assert!(harmless("text/plain; charset=utf-8"));
        assert!(harmless("video/mp4"));
        for dangerous in [
            "text/html",
            "image/svg+xml",
            "image/png+xml",
            "text/plain+xml",
            "video/mp4+html",
            "application/pdf",
            "application/xhtml+xml",
            "text/xml",
            "application/octet-stream",
        ] {
            assert!(!harmless(dangerous), "{dangerous}");
        }
    }
}
