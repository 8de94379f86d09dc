//! The header fields of tus 1.0.0.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::{Content, Sha1};
use reqwest::header::{HeaderMap, HeaderName};

use crate::{error::ClientError, file_info::FileInfo};

pub(super) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(super) const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
pub(super) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(super) const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// The status of an upload, as the server reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UploadStatus {
    pub(super) offset: u64,
    /// The size of the whole upload in bytes, if the server knows it.
    pub(super) length: Option<u64>,
}

impl UploadStatus {
    /// Reads the status of an upload in the header of a response.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, ClientError> {
        let offset = number(headers, &UPLOAD_OFFSET)?
            .ok_or_else(|| ClientError::protocol_error("the offset of the upload is missing"))?;
        let length = number(headers, &UPLOAD_LENGTH)?;
        Ok(Self { offset, length })
    }

    pub(super) fn is_complete(self) -> bool {
        self.length == Some(self.offset)
    }
}

/// Builds the `Upload-Metadata` of a file, with its digests if they are known.
pub(super) fn metadata(info: &FileInfo, content: Option<&Content>) -> String {
    let mut pairs = vec![
        ("filename", info.name.to_string()),
        ("filetype", info.media_type.to_string()),
    ];
    if let Some(content) = content {
        pairs.push(("sha1", content.sha1.to_string()));
        pairs.push(("sha256", content.sha256.to_string()));
    }
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(key, value)| format!("{key} {}", BASE64_STANDARD.encode(value)))
        .collect();
    pairs.join(",")
}

/// Parses a field that is a number; `None` if it is missing.
pub(super) fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, ClientError> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    let malformed = || ClientError::protocol_error(format!("{name} is not a number"));
    number.map(Some).ok_or_else(malformed)
}

/// The SHA-1 in the location of a stored file.
pub(super) fn sha1_of(location: &str) -> Option<Sha1> {
    location.rsplit('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_complete_when_the_server_knows_its_end() {
        let status = |offset, length| UploadStatus { offset, length };
        assert!(status(0, Some(0)).is_complete());
        assert!(status(5, Some(5)).is_complete());
        assert!(!status(4, Some(5)).is_complete());
        assert!(!status(5, None).is_complete());
    }

    #[test]
    fn a_malformed_number_is_refused() {
        let number = |value: &str| {
            let headers = [(UPLOAD_OFFSET, value.parse().unwrap())];
            number(&HeaderMap::from_iter(headers), &UPLOAD_OFFSET)
        };
        assert_eq!(number("5").unwrap(), Some(5));
        assert!(number("-5").is_err());
        assert!(number("5, 6").is_err());
    }

    #[test]
    fn the_location_of_a_stored_file_ends_with_its_sha1() {
        let sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d";
        let location = format!("/files/{sha1}");
        assert_eq!(sha1_of(&location).unwrap().to_string(), sha1);
        assert_eq!(sha1_of("/files/"), None);
    }

    #[test]
    fn names_and_digests_are_sent_in_base64() {
        let info = FileInfo {
            name: "数.txt".parse().unwrap(),
            media_type: "text/plain".parse().unwrap(),
        };
        assert_eq!(
            metadata(&info, None),
            "filename 5pWwLnR4dA==,filetype dGV4dC9wbGFpbg=="
        );
        let content = Content {
            sha1: [0; 20].into(),
            sha256: [0xff; 32].into(),
            size: 1,
        };
        let all = metadata(&info, Some(&content));
        let zeros = BASE64_STANDARD.encode("0".repeat(40));
        let ones = BASE64_STANDARD.encode("f".repeat(64));
        assert!(
            all.ends_with(&format!(",sha1 {zeros},sha256 {ones}")),
            "{all}"
        );
    }
}
