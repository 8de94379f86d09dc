//! The header fields of tus 1.0.0.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{Checksum, ChecksumAlgorithm, RandomId};

/// The reason why an `Upload-Metadata` field is malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The field is longer than the service stores.
    #[error("the metadata can have at most {max} bytes, not {0}", max = Metadata::MAX_BYTES)]
    TooLong(usize),
    /// A key is missing, or contains a character that is not allowed.
    #[error(
        "a key must be visible ASCII without commas, and be separated from its value by a space"
    )]
    Key,
    /// A key is repeated.
    #[error("the key `{0}` is repeated")]
    Repeated(String),
    /// A value is not base64.
    #[error("the value of `{0}` is not base64")]
    Value(String),
}

/// The metadata of an upload (tus 1.0.0, `Upload-Metadata`).
///
/// Comma-separated pairs of a key and, after a space, a value in base64, which is optional.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    text: String,
    pairs: Vec<(String, Vec<u8>)>,
}

impl Metadata {
    /// The maximum size of the field in bytes.
    pub const MAX_BYTES: usize = 8 * 1024;

    /// Parses the field.
    ///
    /// # Errors
    ///
    /// The reason why the field is malformed.
    pub fn parse(text: &str) -> Result<Self, MetadataError> {
        if text.len() > Self::MAX_BYTES {
            return Err(MetadataError::TooLong(text.len()));
        }
        let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
        for pair in text.split(',') {
            let pair = pair.trim_matches(' ');
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(MetadataError::Key);
            }
            if pairs.iter().any(|(other, _)| other == key) {
                return Err(MetadataError::Repeated(key.to_owned()));
            }
            let value = BASE64_STANDARD
                .decode(value)
                .map_err(|_| MetadataError::Value(key.to_owned()))?;
            pairs.push((key.to_owned(), value));
        }
        Ok(Self {
            text: text.to_owned(),
            pairs,
        })
    }

    /// The value of a key; `None` if the key is missing or its value is empty.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&[u8]> {
        let pair = self.pairs.iter().find(|(other, _)| other == key);
        pair.map(|(_, value)| value.as_slice())
            .filter(|value| !value.is_empty())
    }

    /// The field, unchanged.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// The reason why an `Upload-Concat` field is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConcatenationError {
    /// The field has neither of the two forms.
    #[error("the field must be `partial`, or `final;` and the URLs of partial uploads")]
    Malformed,
    /// The field has no parts, or too many of them.
    #[error("a concatenation must have 1 to {max} parts, not {0}", max = Concatenation::MAX_PARTS)]
    Parts(usize),
    /// A part is repeated.
    #[error("the upload {0} is repeated")]
    Repeated(RandomId),
    /// A URL is not the URL of an upload.
    #[error("URL {0} is not the URL of an upload")]
    Foreign(usize),
}

/// The role of an upload in a concatenation (tus 1.0.0, `Upload-Concat`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concatenation {
    /// A part of another upload.
    Partial,
    /// The concatenation of these parts, in this order.
    Final(Vec<RandomId>),
}

impl Concatenation {
    /// The maximum number of parts.
    pub const MAX_PARTS: usize = 1000;

    /// Parses the field. Its URLs are absolute or paths, and end in `/tus/` and an id.
    ///
    /// # Errors
    ///
    /// The reason why the field is malformed.
    pub fn parse(text: &str) -> Result<Self, ConcatenationError> {
        if text == "partial" {
            return Ok(Self::Partial);
        }
        let urls = text
            .strip_prefix("final;")
            .ok_or(ConcatenationError::Malformed)?;
        let urls: Vec<&str> = urls.split(' ').filter(|url| !url.is_empty()).collect();
        if urls.is_empty() || urls.len() > Self::MAX_PARTS {
            return Err(ConcatenationError::Parts(urls.len()));
        }
        let mut parts = Vec::with_capacity(urls.len());
        for (number, url) in (1..).zip(urls) {
            let part = url
                .rsplit_once("/tus/")
                .and_then(|(_, id)| id.parse().ok())
                .ok_or(ConcatenationError::Foreign(number))?;
            parts.push(part);
        }
        let mut sorted = parts.clone();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ConcatenationError::Repeated(twice[0]));
        }
        Ok(Self::Final(parts))
    }
}

/// The reason why an `Upload-Checksum` field is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumError {
    /// The field is not a name and a value.
    #[error("the field must have the form `algorithm base64`")]
    Malformed,
    /// The algorithm is not supported.
    #[error("the algorithm must be one of sha256, sha1, md5 and crc32")]
    UnknownAlgorithm,
    /// The value is not base64.
    #[error("the value must be base64")]
    Value,
}

/// Parses the declared checksum of a request's bytes (tus 1.0.0, `Upload-Checksum`).
///
/// # Errors
///
/// The reason why the field is malformed.
pub fn parse_checksum(text: &str) -> Result<Checksum, ChecksumError> {
    let (name, value) = text.split_once(' ').ok_or(ChecksumError::Malformed)?;
    let algorithm = ChecksumAlgorithm::ALL
        .into_iter()
        .find(|algorithm| algorithm.name() == name)
        .ok_or(ChecksumError::UnknownAlgorithm)?;
    let value = BASE64_STANDARD.decode(value);
    let value = value.map_err(|_| ChecksumError::Value)?;
    Ok(Checksum::new(algorithm, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_pairs_of_a_key_and_base64() {
        let metadata = Metadata::parse("filename d29ybGQ=,is_confidential,empty ").unwrap();
        assert_eq!(metadata.value("filename"), Some(b"world".as_slice()));
        assert_eq!(metadata.value("is_confidential"), None);
        assert_eq!(metadata.value("filetype"), None);
        assert_eq!(
            metadata.as_str(),
            "filename d29ybGQ=,is_confidential,empty "
        );
    }

    #[test]
    fn malformed_metadata_is_refused_with_the_reason() {
        let repeated = MetadataError::Repeated("a".to_owned());
        let not_base64 = MetadataError::Value("a".to_owned());
        for (text, error) in [
            ("", MetadataError::Key),
            ("a YQ==,", MetadataError::Key),
            (",a YQ==", MetadataError::Key),
            ("ä YQ==", MetadataError::Key),
            ("a YQ==,a Yg==", repeated),
            ("a !!!!", not_base64.clone()),
            ("a YQ", not_base64.clone()),
            ("a YQ== YQ==", not_base64),
        ] {
            assert_eq!(Metadata::parse(text), Err(error), "{text:?}");
        }
        let long = format!("a {}", "YWFh".repeat(2048));
        assert_eq!(
            Metadata::parse(&long),
            Err(MetadataError::TooLong(long.len()))
        );
    }

    fn id(number: u8) -> RandomId {
        RandomId::from([number; 16])
    }

    #[test]
    fn parts_are_urls_or_paths() {
        assert_eq!(Concatenation::parse("partial"), Ok(Concatenation::Partial));
        let text = format!("final;/tus/{} https://a.b/x/tus/{}", id(1), id(2));
        assert_eq!(
            Concatenation::parse(&text),
            Ok(Concatenation::Final(vec![id(1), id(2)]))
        );
    }

    #[test]
    fn a_malformed_concatenation_is_refused_with_the_reason() {
        let twice = format!("final;/tus/{0} /tus/{0}", id(1));
        let many = format!("final;{}", format!("/tus/{} ", id(1)).repeat(1001));
        for (text, error) in [
            ("", ConcatenationError::Malformed),
            ("part", ConcatenationError::Malformed),
            ("final", ConcatenationError::Malformed),
            ("final;", ConcatenationError::Parts(0)),
            (&many, ConcatenationError::Parts(1001)),
            (&twice, ConcatenationError::Repeated(id(1))),
            ("final;/tus/1", ConcatenationError::Foreign(1)),
            ("final;/files/00", ConcatenationError::Foreign(1)),
        ] {
            assert_eq!(Concatenation::parse(text), Err(error), "{text:.40}");
        }
    }

    #[test]
    fn a_checksum_is_an_algorithm_and_base64() {
        assert!(parse_checksum("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=").is_ok());
        assert!(parse_checksum("crc32 y/Q5Jg==").is_ok());
        let short = parse_checksum("sha1 Kq5s").unwrap();
        assert!(!short.verifier().matches());
        for (text, error) in [
            ("sha1", ChecksumError::Malformed),
            ("", ChecksumError::Malformed),
            (
                "sha512 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
                ChecksumError::UnknownAlgorithm,
            ),
            (
                "SHA1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
                ChecksumError::UnknownAlgorithm,
            ),
            ("md5 !", ChecksumError::Value),
        ] {
            assert_eq!(parse_checksum(text), Err(error), "{text:?}");
        }
    }
}
