//! The fields of tus 1.0.0.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::{Content, Sha1};
use reqwest::header::{HeaderMap, HeaderName};

use crate::{error::ClientError, put::FileInfo};

pub(super) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(super) const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
pub(super) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(super) const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// How far the server says that an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) offset: u64,
    /// How many bytes the server knows that there will be.
    pub(super) length: Option<u64>,
}

impl Progress {
    /// Reads what an answer says about an upload.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, ClientError> {
        let offset = number(headers, &UPLOAD_OFFSET)?
            .ok_or_else(|| ClientError::protocol_error("it does not say how far the upload is"))?;
        let length = number(headers, &UPLOAD_LENGTH)?;
        Ok(Self { offset, length })
    }

    pub(super) fn is_complete(self) -> bool {
        self.length == Some(self.offset)
    }
}

/// Writes an `Upload-Metadata` of what is known about a file before it is uploaded.
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

/// The number that a field has, if it is there.
pub(super) fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, ClientError> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    let wrong = || ClientError::protocol_error(format!("{name} is no number"));
    number.map(Some).ok_or_else(wrong)
}

/// The SHA-1 in a stored file's location.
pub(super) fn sha1_of(location: &str) -> Option<Sha1> {
    location.rsplit('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use crate::*;

    #[test]
    fn an_upload_is_complete_when_the_server_knows_its_end() {
        let progress = |offset, length| Progress { offset, length };
        assert!(progress(0, Some(0)).is_complete());
        assert!(progress(5, Some(5)).is_complete());
        assert!(!progress(4, Some(5)).is_complete());
        assert!(!progress(5, None).is_complete());
    }

    #[test]
    fn what_is_no_number_is_not_taken_for_one() {
        let number = |value: &str| {
            let headers = [(UPLOAD_OFFSET, value.parse().unwrap())];
            number(&HeaderMap::from_iter(headers), &UPLOAD_OFFSET)
        };
        assert_eq!(number("5").unwrap(), Some(5));
        assert!(number("-5").is_err());
        assert!(number("5, 6").is_err());
    }

    #[test]
    fn a_stored_files_location_ends_with_its_name() {
        let sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d";
        let location = format!("/files/{sha1}");
        assert_eq!(sha1_of(&location).unwrap().to_string(), sha1);
        assert_eq!(sha1_of("/files/"), None);
    }

    #[test]
    fn names_and_digests_are_announced_in_base64() {
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
