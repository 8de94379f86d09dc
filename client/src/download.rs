//! A download, which goes on where it broke off.

use std::{io::Write, sync::Arc};

use bytes::Bytes;
use domain::{ContentHasher, FileName, Sha1};
use reqwest::{
    Method, Response, StatusCode,
    header::{
        CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderValue, IF_RANGE, RANGE,
    },
};

use crate::{
    connection::Client,
    disposition,
    error::ClientError,
    exchange::{header, next_piece},
    observer::{Observer, Phase},
    retry::RetryPolicy,
    source::blocking,
};

/// How many bytes are hashed and written at once.
const BATCH_SIZE: usize = 1024 * 1024;

/// A download that has begun.
pub struct Download<'a> {
    client: &'a Client,
    sha1: Sha1,
    response: Response,
    /// How many bytes the file has, if the server says so.
    pub size: Option<u64>,
    etag: Option<HeaderValue>,
    retry: RetryPolicy,
}

/// Where a download's bytes go.
struct Sink {
    /// None if writing failed.
    output: Option<(Box<dyn Write + Send>, ContentHasher)>,
    waiting: Vec<Bytes>,
    waiting_size: usize,
    /// How many bytes were written.
    done: u64,
    observer: Arc<dyn Observer>,
}

impl Client {
    /// Begins the download of a file.
    ///
    /// # Errors
    ///
    /// If the server refuses it.
    pub async fn get(&self, sha1: Sha1) -> Result<Download<'_>, ClientError> {
        Download::begin(self, sha1).await
    }
}

impl<'a> Download<'a> {
    /// Asks for a file.
    ///
    /// # Errors
    ///
    /// When the server does not give it.
    pub(crate) async fn begin(client: &'a Client, sha1: Sha1) -> Result<Self, ClientError> {
        let response = client.ask(|| client.request(Method::GET, &path(&sha1)));
        let response = response.await?;
        Ok(Self {
            client,
            sha1,
            size: header(&response, &CONTENT_LENGTH).and_then(|size| size.parse().ok()),
            etag: response.headers().get(ETAG).cloned(),
            response,
            retry: RetryPolicy::default(),
        })
    }

    /// What the file is called, if it is called something that a file here can be.
    pub fn name(&self) -> Option<FileName> {
        let value = self.response.headers().get(CONTENT_DISPOSITION)?;
        disposition::file_name(value.to_str().ok()?)
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// Also when what was written turns out to be another file in the end.
    pub async fn write_to(mut self, output: Box<dyn Write + Send>) -> Result<(), ClientError> {
        self.client.observer.begin(Phase::Receiving, self.size);
        let mut sink = Sink {
            output: Some((output, ContentHasher::default())),
            waiting: Vec::new(),
            waiting_size: 0,
            done: 0,
            observer: Arc::clone(&self.client.observer),
        };
        let mut skip = 0;
        while let Err(error) = self.copy(&mut sink, skip).await {
            if !error.is_temporary() {
                return Err(error);
            }
            sink.flush().await?;
            if self.size == Some(sink.done) {
                break;
            }
            skip = self.resume(sink.done, error).await?;
        }
        let (mut output, hasher) = sink.finish().await?;
        blocking(move || output.flush()).await?;
        let content = hasher.finish();
        if content.sha1 != self.sha1 {
            return Err(ClientError::local(format!(
                "what came is another file, {}",
                content.sha1
            )));
        }
        Ok(())
    }

    /// Copies what the answer still has, but for what is written already.
    async fn copy(&mut self, sink: &mut Sink, mut skip: u64) -> Result<(), ClientError> {
        while let Some(mut piece) = next_piece(&mut self.response).await? {
            let known = piece.len().min(usize::try_from(skip).unwrap_or(usize::MAX));
            skip -= known as u64;
            let piece = piece.split_off(known);
            if !piece.is_empty() {
                self.retry.reset();
                sink.write(piece).await?;
            }
        }
        sink.flush().await
    }

    /// Asks for the rest; tells how many bytes of the answer are written already.
    async fn resume(&mut self, done: u64, mut error: ClientError) -> Result<u64, ClientError> {
        loop {
            self.retry.wait_before_retry(self.client, error).await?;
            let mut request = self.client.request(Method::GET, &path(&self.sha1));
            if let Some(etag) = self.etag.as_ref().filter(|_| done > 0) {
                request = request
                    .header(RANGE, format!("bytes={done}-"))
                    .header(IF_RANGE, etag);
            }
            match self.client.send(request).await {
                Ok(response) => {
                    let skip = written_already(&response, done);
                    self.response = response;
                    return skip;
                }
                Err(again) => error = again,
            }
        }
    }
}

impl Sink {
    async fn write(&mut self, piece: Bytes) -> Result<(), ClientError> {
        self.waiting_size += piece.len();
        self.waiting.push(piece);
        if self.waiting_size >= BATCH_SIZE {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ClientError> {
        let pieces = std::mem::take(&mut self.waiting);
        let size = std::mem::take(&mut self.waiting_size) as u64;
        let (mut output, mut hasher) = self.take()?;
        let written = blocking(move || {
            for piece in pieces {
                hasher.update(&piece);
                output.write_all(&piece)?;
            }
            Ok((output, hasher))
        });
        self.output = Some(written.await?);
        self.done += size;
        self.observer.advance(self.done);
        Ok(())
    }

    fn take(&mut self) -> Result<(Box<dyn Write + Send>, ContentHasher), ClientError> {
        let output = self.output.take();
        output.ok_or_else(|| ClientError::local("it cannot be written any more"))
    }

    async fn finish(mut self) -> Result<(Box<dyn Write + Send>, ContentHasher), ClientError> {
        self.flush().await?;
        self.take()
    }
}

fn path(sha1: &Sha1) -> String {
    format!("files/{sha1}/content")
}

/// How many bytes of an answer for the rest were written already; all of them may come again.
fn written_already(response: &Response, done: u64) -> Result<u64, ClientError> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(done);
    }
    let start = header(response, &CONTENT_RANGE).and_then(first_byte);
    let skip = start.and_then(|start| done.checked_sub(start));
    skip.ok_or_else(|| ClientError::protocol_error("it is another range than was asked for"))
}

/// Where the range of a `Content-Range` begins (RFC 9110 §14.4).
fn first_byte(value: &str) -> Option<u64> {
    let range = value.strip_prefix("bytes ")?;
    range.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use crate::*;

    #[test]
    fn a_range_begins_with_its_first_byte() {
        assert_eq!(first_byte("bytes 5-9/10"), Some(5));
        assert_eq!(first_byte("bytes 0-9/*"), Some(0));
        for none in ["bytes */10", "items 5-9/10", "5-9", ""] {
            assert_eq!(first_byte(none), None, "{none}");
        }
    }
}
