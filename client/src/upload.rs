//! Resumable uploads (tus 1.0.0), which continue at the offset that the server reports.

use std::sync::Arc;

use domain::{Content, Sha1};
use reqwest::{
    Method, RequestBuilder, Response, StatusCode, Url,
    header::{CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, LOCATION},
};

use crate::{
    connection::Client,
    error::ClientError,
    exchange::header,
    file_info::FileInfo,
    observer::Notice,
    resumption::Resumption,
    retry::RetryPolicy,
    source::Source,
    tus::{
        self, TUS_RESUMABLE, UPLOAD_DEFER_LENGTH, UPLOAD_LENGTH, UPLOAD_METADATA, UPLOAD_OFFSET,
        UploadStatus,
    },
};

/// The largest number of attempts to start an upload whose state the server keeps losing.
const MAX_STARTS: u32 = 3;

/// An upload in progress.
pub(super) struct ResumableUpload<'a> {
    client: &'a Client,
    source: Source,
    info: &'a FileInfo,
    retry: RetryPolicy,
    resumption: Resumption<'a>,
}

impl<'a> ResumableUpload<'a> {
    pub(super) fn new(client: &'a Client, source: Source, info: &'a FileInfo) -> Self {
        Self {
            client,
            source,
            info,
            retry: RetryPolicy::default(),
            resumption: Resumption::none(client),
        }
    }

    /// Continues an upload that began earlier, and remembers a new one.
    pub(super) fn resuming(mut self, resumption: Resumption<'a>) -> Self {
        self.resumption = resumption;
        self
    }

    /// Uploads the whole source, and returns its digests and size.
    ///
    /// # Errors
    ///
    /// If the source cannot be read, the server refuses the upload, or there is no progress for too
    /// long.
    pub(super) async fn run(mut self) -> Result<Content, ClientError> {
        let mut starts = 0;
        loop {
            starts += 1;
            let (url, status) = self.begin().await?;
            match self.send_from(&url, status).await {
                Ok(stored) => {
                    self.resumption.forget();
                    return self.confirm(stored).await;
                }
                Err(gone) if gone.is_gone() => {
                    self.resumption.forget();
                    // The upload may be complete, and only the response lost.
                    if let Some(content) = self.source.content()
                        && self.is_stored(&content).await?
                    {
                        return Ok(content);
                    }
                    self.refuse_restart(starts, gone)?;
                }
                Err(error) => {
                    if is_final(&error) {
                        self.resumption.forget();
                    }
                    return Err(error);
                }
            }
            self.client.observer.notice(Notice::Restarting);
        }
    }

    fn refuse_restart(&self, starts: u32, gone: ClientError) -> Result<(), ClientError> {
        match self.source {
            Source::Stream(_) => Err(ClientError::local(
                "the server lost the upload, and the input cannot be read again",
            )),
            Source::File(_) if starts >= MAX_STARTS => Err(gone),
            Source::File(_) => Ok(()),
        }
    }

    /// Finds the upload that began earlier, or creates one.
    async fn begin(&mut self) -> Result<(Url, UploadStatus), ClientError> {
        if let Some(url) = self.resumption.take_url() {
            match self.find_status(&url).await {
                Ok(status) => {
                    self.client.observer.notice(Notice::Resuming(status.offset));
                    self.client.observer.notice(Notice::Remembered);
                    self.client.observer.advance(status.offset);
                    return Ok((url, status));
                }
                // Another length is that of another upload.
                Err(error) if error.is_gone() || matches!(error, ClientError::Protocol(_)) => {
                    self.resumption.forget();
                }
                Err(error) => return Err(error),
            }
        }
        let (url, status) = self.create().await?;
        if let Some(content) = self.source.content() {
            self.resumption.remember(&url, &content, self.info);
        }
        Ok((url, status))
    }

    /// Asks for the status of an upload.
    async fn find_status(&self, url: &Url) -> Result<UploadStatus, ClientError> {
        let request = || self.request(Method::HEAD, Some(url));
        let response = self.client.send_with_retry(request).await?;
        self.read_status(&response)
    }

    /// Creates an upload. If the response is lost, so is the upload, and another one is created.
    async fn create(&mut self) -> Result<(Url, UploadStatus), ClientError> {
        let content = self.source.content();
        let metadata = tus::metadata(self.info, content.as_ref());
        let response = self.client.send_with_retry(|| {
            let request = self.request(Method::POST, None);
            // A proxy that speaks HTTP/1.0 to the server needs the length of the missing body.
            let request = request.header(CONTENT_LENGTH, 0);
            let request = request.header(UPLOAD_METADATA, &metadata);
            match &content {
                Some(content) => request.header(UPLOAD_LENGTH, content.size),
                None => request.header(UPLOAD_DEFER_LENGTH, 1),
            }
        });
        let response = response.await?;
        let location = header(&response, &LOCATION)
            .ok_or_else(|| ClientError::protocol_error("a new upload has no location"))?;
        let status = UploadStatus {
            offset: tus::number(response.headers(), &UPLOAD_OFFSET)?.unwrap_or(0),
            length: content.map(|content| content.size),
        };
        Ok((self.client.locate(location)?, status))
    }

    /// Sends the bytes that the server lacks; returns the SHA-1 of the stored file, if the server states
    /// it.
    async fn send_from(
        &mut self,
        url: &Url,
        mut status: UploadStatus,
    ) -> Result<Option<Sha1>, ClientError> {
        let mut stored = None;
        while !status.is_complete() {
            match self.append(url, &mut status).await {
                Ok(response) => {
                    self.retry.reset();
                    stored = header(&response, &CONTENT_LOCATION).and_then(tus::sha1_of);
                }
                Err(error) => {
                    let before = status.offset;
                    status = self.query_status(url, error).await?;
                    if status.offset > before {
                        self.retry.reset();
                    }
                }
            }
            self.client.observer.advance(status.offset);
        }
        Ok(stored)
    }

    /// Sends the next chunk.
    async fn append(
        &mut self,
        url: &Url,
        status: &mut UploadStatus,
    ) -> Result<Response, ClientError> {
        let offset = status.offset;
        let chunk = self.source.chunk(offset).await?;
        let mut request = self
            .request(Method::PATCH, Some(url))
            .header(CONTENT_TYPE, "application/offset+octet-stream")
            .header(UPLOAD_OFFSET, offset);
        if let (None, Some(total)) = (status.length, chunk.total) {
            request = request.header(UPLOAD_LENGTH, total);
        }
        let size = chunk.bytes.len() as u64;
        let observer = Arc::clone(&self.client.observer);
        let on_sent = move |sent| observer.advance(offset + sent);
        let response = self.client.send_body(request, chunk.bytes, on_sent).await?;
        let new_offset = UploadStatus::read(response.headers())?.offset;
        if new_offset > offset + size || new_offset < offset || (new_offset == offset && size > 0) {
            let reason =
                format!("{size} bytes at the offset {offset} led to the offset {new_offset}");
            return Err(ClientError::Protocol(reason));
        }
        status.offset = new_offset;
        status.length = status.length.or(chunk.total);
        Ok(response)
    }

    /// Asks for the status of the upload after a temporary error.
    async fn query_status(
        &mut self,
        url: &Url,
        mut error: ClientError,
    ) -> Result<UploadStatus, ClientError> {
        loop {
            self.retry.wait_before_retry(self.client, error).await?;
            let request = self.request(Method::HEAD, Some(url));
            match self.client.send(request).await {
                Ok(response) => return self.read_status(&response),
                Err(again) => error = again,
            }
        }
    }

    fn read_status(&self, response: &Response) -> Result<UploadStatus, ClientError> {
        let status = UploadStatus::read(response.headers())?;
        if let Some(content) = self.source.content() {
            let is_other = status.length.is_some_and(|length| length != content.size);
            if is_other || status.offset > content.size {
                return Err(ClientError::protocol_error("the upload has another length"));
            }
        }
        Ok(status)
    }

    /// Verifies that the stored file is the one that was sent.
    async fn confirm(&self, stored: Option<Sha1>) -> Result<Content, ClientError> {
        let content = self.source.content();
        let content = content
            .ok_or_else(|| ClientError::protocol_error("the upload ended before its last byte"))?;
        let is_same = match stored {
            Some(sha1) => sha1 == content.sha1,
            None => self.is_stored(&content).await?,
        };
        if !is_same {
            return Err(ClientError::protocol_error(
                "the stored file is not the one that was sent",
            ));
        }
        Ok(content)
    }

    async fn is_stored(&self, content: &Content) -> Result<bool, ClientError> {
        let found = self.client.find(&content.sha1).await?;
        Ok(found.is_some_and(|meta| meta.file_sha256 == content.sha256))
    }

    fn request(&self, method: Method, url: Option<&Url>) -> RequestBuilder {
        let request = match url {
            Some(url) => self.client.request_at(method, url.clone()),
            None => self.client.request(method, "tus"),
        };
        request.header(TUS_RESUMABLE, "1.0.0")
    }
}

/// Returns whether the upload cannot be completed any more, because its content was refused.
fn is_final(error: &ClientError) -> bool {
    let status = error.status();
    status == Some(StatusCode::UNPROCESSABLE_ENTITY)
        || status == Some(StatusCode::CONFLICT) && !error.is_temporary()
}
