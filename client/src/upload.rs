//! A resumable upload (tus 1.0.0), which goes on wherever the server says that it is.

use domain::{Content, Sha1};
use reqwest::{
    Method, RequestBuilder, Response, Url,
    header::{CONTENT_LOCATION, CONTENT_TYPE, LOCATION},
};

use std::sync::Arc;

use crate::{
    connection::Client,
    error::ClientError,
    exchange::header,
    observer::Notice,
    put::FileInfo,
    retry::RetryPolicy,
    source::Source,
    tus::{
        self, Progress, TUS_RESUMABLE, UPLOAD_DEFER_LENGTH, UPLOAD_LENGTH, UPLOAD_METADATA,
        UPLOAD_OFFSET,
    },
};

/// How often an upload is begun anew that the server has forgotten.
const MAX_STARTS: u32 = 3;

/// An upload that is being made.
pub(super) struct Upload<'a> {
    client: &'a Client,
    source: Source,
    info: &'a FileInfo,
    retry: RetryPolicy,
}

impl<'a> Upload<'a> {
    pub(super) fn new(client: &'a Client, source: Source, info: &'a FileInfo) -> Self {
        Self {
            client,
            source,
            info,
            retry: RetryPolicy::default(),
        }
    }

    /// Uploads all of it, and tells what it was.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or the server does not take it.
    pub(super) async fn run(mut self) -> Result<Content, ClientError> {
        let mut starts = 0;
        loop {
            starts += 1;
            let (url, progress) = self.create().await?;
            match self.send_from(&url, progress).await {
                Ok(stored) => return self.confirm(stored).await,
                Err(gone) if gone.is_gone() => {
                    // The end may have been reached, and only the answer lost.
                    if let Some(content) = self.source.content()
                        && self.is_stored(&content).await?
                    {
                        return Ok(content);
                    }
                    self.refuse_restart(starts, gone)?;
                }
                Err(error) => return Err(error),
            }
            self.client.observer.notice(Notice::Restarting);
        }
    }

    fn refuse_restart(&self, starts: u32, gone: ClientError) -> Result<(), ClientError> {
        match self.source {
            Source::Stream(_) => Err(ClientError::local(
                "the server forgot the upload, and what was read cannot be read again",
            )),
            Source::File(_) if starts >= MAX_STARTS => Err(gone),
            Source::File(_) => Ok(()),
        }
    }

    /// Begins an upload; if the answer is lost, so is the upload, and another is begun.
    async fn create(&mut self) -> Result<(Url, Progress), ClientError> {
        let content = self.source.content();
        let metadata = tus::metadata(self.info, content.as_ref());
        let response = self.client.ask(|| {
            let request = self.request(Method::POST, None);
            let request = request.header(UPLOAD_METADATA, &metadata);
            match &content {
                Some(content) => request.header(UPLOAD_LENGTH, content.size),
                None => request.header(UPLOAD_DEFER_LENGTH, 1),
            }
        });
        let response = response.await?;
        let location = header(&response, &LOCATION)
            .ok_or_else(|| ClientError::protocol_error("an upload without a location"))?;
        let progress = Progress {
            offset: tus::number(response.headers(), &UPLOAD_OFFSET)?.unwrap_or(0),
            length: content.map(|content| content.size),
        };
        Ok((self.client.locate(location)?, progress))
    }

    /// Sends what the server does not have yet; tells what the server says that it stored.
    async fn send_from(
        &mut self,
        url: &Url,
        mut progress: Progress,
    ) -> Result<Option<Sha1>, ClientError> {
        let mut stored = None;
        while !progress.is_complete() {
            match self.append(url, &mut progress).await {
                Ok(response) => {
                    self.retry.reset();
                    stored = header(&response, &CONTENT_LOCATION).and_then(tus::sha1_of);
                }
                Err(error) => {
                    let before = progress.offset;
                    progress = self.query_progress(url, error).await?;
                    if progress.offset > before {
                        self.retry.reset();
                    }
                }
            }
            self.client.observer.advance(progress.offset);
        }
        Ok(stored)
    }

    /// Sends the next chunk.
    async fn append(
        &mut self,
        url: &Url,
        progress: &mut Progress,
    ) -> Result<Response, ClientError> {
        let offset = progress.offset;
        let chunk = self.source.chunk(offset).await?;
        let mut request = self
            .request(Method::PATCH, Some(url))
            .header(CONTENT_TYPE, "application/offset+octet-stream")
            .header(UPLOAD_OFFSET, offset);
        if let (None, Some(total)) = (progress.length, chunk.total) {
            request = request.header(UPLOAD_LENGTH, total);
        }
        let size = chunk.bytes.len() as u64;
        let observer = Arc::clone(&self.client.observer);
        let sent = move |sent| observer.advance(offset + sent);
        let response = self.client.send_body(request, chunk.bytes, sent).await?;
        let reached = Progress::read(response.headers())?.offset;
        if reached > offset + size || reached < offset || (reached == offset && size > 0) {
            let reason = format!("at {offset} it was sent {size} bytes, and says {reached}");
            return Err(ClientError::Protocol(reason));
        }
        progress.offset = reached;
        progress.length = progress.length.or(chunk.total);
        Ok(response)
    }

    /// Asks how far the upload is, after something went wrong that may pass.
    async fn query_progress(
        &mut self,
        url: &Url,
        mut error: ClientError,
    ) -> Result<Progress, ClientError> {
        loop {
            self.retry.wait_before_retry(self.client, error).await?;
            let request = self.request(Method::HEAD, Some(url));
            match self.client.send(request).await {
                Ok(response) => return self.read_progress(&response),
                Err(again) => error = again,
            }
        }
    }

    fn read_progress(&self, response: &Response) -> Result<Progress, ClientError> {
        let progress = Progress::read(response.headers())?;
        if let Some(content) = self.source.content() {
            let is_other = progress.length.is_some_and(|length| length != content.size);
            if is_other || progress.offset > content.size {
                return Err(ClientError::protocol_error(
                    "the upload is of another length",
                ));
            }
        }
        Ok(progress)
    }

    /// Makes sure that what was stored is what was sent.
    async fn confirm(&self, stored: Option<Sha1>) -> Result<Content, ClientError> {
        let content = self.source.content();
        let content =
            content.ok_or_else(|| ClientError::protocol_error("the upload ended too early"))?;
        let same = match stored {
            Some(sha1) => sha1 == content.sha1,
            None => self.is_stored(&content).await?,
        };
        if !same {
            return Err(ClientError::protocol_error(
                "it did not store what was sent",
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
