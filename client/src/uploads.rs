//! The caller's unfinished uploads: listing and dropping them.

use domain::{RandomId, Timestamp};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::{connection::Client, error::ClientError, exchange::read_json, tus::TUS_RESUMABLE};

/// One page of the unfinished uploads, newest first.
#[derive(Debug, Deserialize)]
pub struct UploadPage {
    /// The uploads.
    pub uploads: Vec<UnfinishedUpload>,
    /// The cursor of the next page; `None` on the last page.
    pub next: Option<String>,
}

/// An upload that can be continued or dropped.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UnfinishedUpload {
    /// The id of the upload.
    pub id: String,
    /// The protocol that continues the upload: `tus` or `http`.
    pub protocol: String,
    /// What becomes of the upload: `file`, `part` or `concatenation`.
    pub kind: String,
    /// The name of the file.
    pub file_name: String,
    /// The size of the whole upload in bytes, if the server knows it.
    pub length: Option<u64>,
    /// The number of bytes that the server has.
    pub offset: Option<u64>,
    /// The announced SHA-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_sha1: Option<String>,
    /// The announced SHA-256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_sha256: Option<String>,
    /// The time at which the upload began.
    pub create_at: Timestamp,
    /// The time at which the upload expires without activity.
    pub expires_at: Timestamp,
    /// The path of the upload's URL.
    pub location: String,
}

impl Client {
    /// Lists the caller's unfinished uploads, one page at a time.
    ///
    /// # Errors
    ///
    /// If the server refuses the request.
    pub async fn list_uploads(
        &self,
        limit: u64,
        cursor: Option<&str>,
    ) -> Result<UploadPage, ClientError> {
        let limit = limit.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let request = || self.request(Method::GET, "uploads").query(&query);
        read_json(self.send_with_retry(request).await?).await
    }

    /// Drops an unfinished upload of either protocol: its bytes, and the space that it reserves.
    ///
    /// # Errors
    ///
    /// If there is no such upload, or the server refuses the request.
    pub async fn drop_upload(&self, id: RandomId) -> Result<(), ClientError> {
        let drop_at = async |folder: &str| {
            let request = || {
                let request = self.request(Method::DELETE, &format!("{folder}/{id}"));
                request.header(TUS_RESUMABLE, "1.0.0")
            };
            self.send_with_retry(request).await.map(drop)
        };
        match drop_at("tus").await {
            Err(error) if error.is_gone() => drop_at("uploads").await,
            dropped => dropped,
        }
    }
}
