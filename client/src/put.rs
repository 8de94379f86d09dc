//! Storing a file on the server with as little traffic as possible.

use domain::Sha1;

use crate::{
    claim::claim,
    connection::Client,
    error::ClientError,
    file_info::{FileInfo, PutOutcome},
    observer::Phase,
    resumption::Resumption,
    source::{HashedFile, Input, Source},
    stream::StreamSource,
    upload::ResumableUpload,
};

/// The size, in bytes, from which a claim is tried: sending a smaller file takes less time.
const MIN_CLAIM_SIZE: u64 = 1024 * 1024;

impl Client {
    /// Stores a file on the server, and sends as little of it as possible.
    ///
    /// Content that the caller has on the server already is not sent. If another owner has the content,
    /// the client proves that it has it, too. Everything else is sent by a resumable upload. Returns the
    /// file's SHA-1, and the way in which the server got it.
    ///
    /// # Errors
    ///
    /// If the input cannot be read, the server refuses the file, or there is no progress for too long.
    pub async fn put(
        &self,
        input: Input,
        info: &FileInfo,
    ) -> Result<(Sha1, PutOutcome), ClientError> {
        let content = match input {
            Input::File { file, path } => {
                let length = file.metadata().map_err(ClientError::local)?.len();
                self.observer.begin(Phase::Hashing, Some(length));
                let file = HashedFile::hash(file, &self.observer).await?;
                let record = path.and_then(|path| self.open_record(&path));
                let mut resumption = Resumption::new(self, record, &file.content, info).await;
                // A content that is being sent was no one's when that began.
                let may_claim = !resumption.is_begun();
                if let Some(outcome) = store_without_upload(self, &file, info, may_claim).await? {
                    resumption.drop_upload().await;
                    return Ok((file.content.sha1, outcome));
                }
                self.observer.begin(Phase::Sending, Some(file.content.size));
                let upload = ResumableUpload::new(self, Source::File(file), info);
                upload.resuming(resumption).run().await?
            }
            Input::Stream(input) => {
                self.observer.begin(Phase::Sending, None);
                let source = Source::Stream(Box::new(StreamSource::new(input)));
                ResumableUpload::new(self, source, info).run().await?
            }
        };
        // A content that the caller had already keeps its name; the upload is complete even if the name
        // cannot be read.
        let outcome = match self.find(&content.sha1).await {
            Ok(Some(meta)) if meta.file_name != info.name => PutOutcome::Existing(meta.file_name),
            _ => PutOutcome::Uploaded,
        };
        Ok((content.sha1, outcome))
    }
}

/// Stores a file without sending it, if that is possible.
async fn store_without_upload(
    client: &Client,
    file: &HashedFile,
    info: &FileInfo,
    may_claim: bool,
) -> Result<Option<PutOutcome>, ClientError> {
    // Different content may have the same SHA-1; the upload reports such a collision.
    let same = client.find(&file.content.sha1).await?;
    if let Some(meta) = same.filter(|meta| meta.file_sha256 == file.content.sha256) {
        return Ok(Some(PutOutcome::Existing(meta.file_name)));
    }
    let is_claimed =
        may_claim && file.content.size >= MIN_CLAIM_SIZE && claim(client, file, info).await?;
    Ok(is_claimed.then_some(PutOutcome::Instant))
}
