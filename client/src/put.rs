//! Storing a file on the server with as little sending as possible.

use domain::{FileName, MediaType, Sha1};

use crate::{
    claim::claim,
    connection::Client,
    error::ClientError,
    observer::Phase,
    source::{Input, Source, WholeFile},
    stream::Stream,
    upload::Upload,
};

/// The size, in bytes, from which a claim is tried: a smaller file is sent in less time.
const MIN_CLAIM_SIZE: u64 = 1024 * 1024;

/// The name and the media type of a file.
pub struct FileInfo {
    /// The name.
    pub name: FileName,
    /// The media type.
    pub media_type: MediaType,
}

/// The way in which the server got a file.
pub enum PutOutcome {
    /// The file was sent.
    Uploaded,
    /// The server had the content, and the client proved that it has it, too.
    Instant,
    /// The caller had the file on the server already, under this name.
    Existing(FileName),
}

impl Client {
    /// Stores a file on the server, and sends as little of it as possible.
    ///
    /// Content that the caller has on the server already is not sent, nor is content that another owner
    /// has: there the client proves that it has the content, too. Everything else is sent by a
    /// resumable upload.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or the server refuses it.
    pub async fn put(
        &self,
        input: Input,
        info: &FileInfo,
    ) -> Result<(Sha1, PutOutcome), ClientError> {
        let source = match input {
            Input::File(file) => {
                let length = file.metadata().map_err(ClientError::local)?.len();
                self.observer.begin(Phase::Hashing, Some(length));
                let file = WholeFile::hash(file, &self.observer).await?;
                if let Some(outcome) = without_sending(self, &file, info).await? {
                    return Ok((file.content.sha1, outcome));
                }
                self.observer.begin(Phase::Sending, Some(file.content.size));
                Source::File(file)
            }
            Input::Stream(input) => {
                self.observer.begin(Phase::Sending, None);
                Source::Stream(Stream::new(input))
            }
        };
        let content = Upload::new(self, source, info).run().await?;
        Ok((content.sha1, PutOutcome::Uploaded))
    }
}

/// Stores a file without sending it, if that is possible.
async fn without_sending(
    client: &Client,
    file: &WholeFile,
    info: &FileInfo,
) -> Result<Option<PutOutcome>, ClientError> {
    // Different content may have the same SHA-1, which the upload reports.
    let same = client.find(&file.content.sha1).await?;
    if let Some(meta) = same.filter(|meta| meta.file_sha256 == file.content.sha256) {
        return Ok(Some(PutOutcome::Existing(meta.file_name)));
    }
    let is_claimed = file.content.size >= MIN_CLAIM_SIZE && claim(client, file, info).await?;
    Ok(is_claimed.then_some(PutOutcome::Instant))
}
