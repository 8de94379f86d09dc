//! File metadata.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{FileName, MediaType, Sha1, Sha256, Timestamp};

/// The metadata of an owner's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "file_sha1": "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed",
    "file_sha256": "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",
    "file_name": "hello.txt",
    "file_size": 11,
    "content_type": "text/plain",
    "upload_at": "2026-01-31T12:00:00.123456Z",
    "update_at": "2026-01-31T12:00:00.123456Z",
    "status": "available",
    "location": "/files/2aae6c35c94fcfb415dbe95f408b9ce91ee846ed/content",
}))]
pub struct FileMeta {
    /// The SHA-1 of the content, and the file's name in URLs.
    pub file_sha1: Sha1,
    /// The SHA-256 of the content.
    pub file_sha256: Sha256,
    /// The file's name, chosen by this owner.
    pub file_name: FileName,
    /// The size of the content in bytes.
    #[schema(minimum = 0, example = 11)]
    pub file_size: u64,
    /// The media type that was declared with the upload.
    pub content_type: MediaType,
    /// The time of this owner's upload, the last one if there were several.
    pub upload_at: Timestamp,
    /// The time of the last change of this entry.
    pub update_at: Timestamp,
    /// The status of the file.
    pub status: FileStatus,
    /// The path of the content's URL.
    pub location: ContentPath,
}

/// The status of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileStatus {
    /// The file can be downloaded.
    Available,
    /// The file was deleted and can be restored.
    Deleted,
}

/// The path of a content's URL, `/files/{sha1}/content`, below the path of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "/files/2aae6c35c94fcfb415dbe95f408b9ce91ee846ed/content")]
pub struct ContentPath(String);

impl ContentPath {
    /// The same content of a service below a path.
    #[must_use]
    pub fn below(self, path: &str) -> Self {
        Self(format!("{path}{self}"))
    }
}

impl From<Sha1> for ContentPath {
    fn from(sha1: Sha1) -> Self {
        Self(format!("/files/{sha1}/content"))
    }
}

impl TryFrom<String> for ContentPath {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        let file = path.strip_suffix("/content");
        let (_, sha1) = file.and_then(|file| file.rsplit_once("/files/")).unzip();
        if sha1.is_some_and(|sha1| sha1.parse::<Sha1>().is_ok()) {
            return Ok(Self(path));
        }
        Err(format!("{path:?} is not the path of a content"))
    }
}

impl From<ContentPath> for String {
    fn from(path: ContentPath) -> Self {
        path.0
    }
}

impl fmt::Display for ContentPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_fields_round_trip() {
        let sha1: Sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d".parse().unwrap();
        let meta = FileMeta {
            file_sha1: sha1,
            file_sha256: [7; 32].into(),
            file_name: "数据.bin".parse().unwrap(),
            file_size: 5 << 40,
            content_type: MediaType::default(),
            upload_at: Timestamp::from_microseconds(1),
            update_at: Timestamp::from_microseconds(2_000_000),
            status: FileStatus::Available,
            location: sha1.into(),
        };
        let json = serde_json::to_value(&meta).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "file_sha1": "a9993e364706816aba3e25717850c26c9cd0d89d",
                "file_sha256": "07".repeat(32),
                "file_name": "数据.bin",
                "file_size": 5_497_558_138_880_u64,
                "content_type": "application/octet-stream",
                "upload_at": "1970-01-01T00:00:00.000001Z",
                "update_at": "1970-01-01T00:00:02Z",
                "status": "available",
                "location": "/files/a9993e364706816aba3e25717850c26c9cd0d89d/content",
            })
        );
        assert_eq!(serde_json::from_value::<FileMeta>(json).unwrap(), meta);
        let below = meta.location.below("/store");
        assert!(below.to_string().starts_with("/store/files/a9993e36"));
        assert_eq!(ContentPath::try_from(below.to_string()), Ok(below));
        for other in ["", "/files/a9/content", "/files/content", "/content"] {
            assert!(ContentPath::try_from(other.to_owned()).is_err(), "{other}");
        }
    }
}
