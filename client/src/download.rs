//! Downloads, which resume after interruptions.

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
    chunk::blocking,
    connection::Client,
    disposition,
    error::ClientError,
    exchange::{header, next_piece},
    observer::{Observer, Phase},
    retry::RetryPolicy,
};

/// The number of bytes that are hashed and written at once.
const BATCH_SIZE: usize = 1024 * 1024;

/// A download whose response has begun.
///
/// [`write_to`](Self::write_to) receives its bytes.
pub struct Download<'a> {
    client: &'a Client,
    sha1: Sha1,
    response: Response,
    /// The size of the file in bytes, if the server states it.
    pub size: Option<u64>,
    etag: Option<HeaderValue>,
    retry: RetryPolicy,
}

/// The output of a download, which hashes the bytes that it writes.
struct Sink {
    /// `None` after a write failed.
    output: Option<(Box<dyn Write + Send>, ContentHasher)>,
    pending: Vec<Bytes>,
    pending_size: usize,
    /// The number of bytes that were written.
    written: u64,
    observer: Arc<dyn Observer>,
}

impl Client {
    /// Starts the download of a file.
    ///
    /// # Errors
    ///
    /// If the server refuses the request, or cannot be reached.
    pub async fn get(&self, sha1: Sha1) -> Result<Download<'_>, ClientError> {
        Download::start(self, sha1).await
    }
}

impl<'a> Download<'a> {
    pub(crate) async fn start(client: &'a Client, sha1: Sha1) -> Result<Self, ClientError> {
        let response = client.send_with_retry(|| client.request(Method::GET, &path(&sha1)));
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

    /// The name of the file, if the server states one that is valid on this machine; never a path.
    #[must_use]
    pub fn name(&self) -> Option<FileName> {
        let value = self.response.headers().get(CONTENT_DISPOSITION)?;
        disposition::file_name(value.to_str().ok()?)
    }

    /// Writes the bytes of the file, and verifies their SHA-1 at the end.
    ///
    /// After an interruption it resumes behind the last byte that was written.
    ///
    /// # Errors
    ///
    /// If the output fails, the server refuses the file, there is no progress for too long, or the bytes
    /// that were written have another SHA-1.
    pub async fn write_to(mut self, output: Box<dyn Write + Send>) -> Result<(), ClientError> {
        self.client.observer.begin(Phase::Receiving, self.size);
        let mut sink = Sink {
            output: Some((output, ContentHasher::without_checksums())),
            pending: Vec::new(),
            pending_size: 0,
            written: 0,
            observer: Arc::clone(&self.client.observer),
        };
        let mut skip = 0;
        while let Err(error) = self.copy(&mut sink, skip).await {
            if !error.is_temporary() {
                return Err(error);
            }
            sink.flush().await?;
            if self.size == Some(sink.written) {
                break;
            }
            skip = self.resume(sink.written, error).await?;
        }
        let (mut output, hasher) = sink.finish().await?;
        blocking(move || output.flush()).await?;
        let content = hasher.finish();
        if content.sha1 != self.sha1 {
            return Err(ClientError::local(format!(
                "the server sent another file, {}",
                content.sha1
            )));
        }
        Ok(())
    }

    /// Copies the rest of the response, without the `skip` bytes that are written already.
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

    /// Requests the rest; returns how many bytes of the response are written already.
    async fn resume(&mut self, written: u64, mut error: ClientError) -> Result<u64, ClientError> {
        loop {
            self.retry.wait_before_retry(self.client, error).await?;
            let mut request = self.client.request(Method::GET, &path(&self.sha1));
            if let Some(etag) = self.etag.as_ref().filter(|_| written > 0) {
                request = request
                    .header(RANGE, format!("bytes={written}-"))
                    .header(IF_RANGE, etag);
            }
            match self.client.send(request).await {
                Ok(response) => {
                    let skip = bytes_to_skip(&response, written);
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
        self.pending_size += piece.len();
        self.pending.push(piece);
        if self.pending_size >= BATCH_SIZE {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ClientError> {
        let pieces = std::mem::take(&mut self.pending);
        let size = std::mem::take(&mut self.pending_size) as u64;
        let (mut output, mut hasher) = self.take()?;
        let write = blocking(move || {
            for piece in pieces {
                hasher.update(&piece);
                output.write_all(&piece)?;
            }
            Ok((output, hasher))
        });
        self.output = Some(write.await?);
        self.written += size;
        self.observer.advance(self.written);
        Ok(())
    }

    fn take(&mut self) -> Result<(Box<dyn Write + Send>, ContentHasher), ClientError> {
        let output = self.output.take();
        output.ok_or_else(|| ClientError::local("the output failed before"))
    }

    async fn finish(mut self) -> Result<(Box<dyn Write + Send>, ContentHasher), ClientError> {
        self.flush().await?;
        self.take()
    }
}

fn path(sha1: &Sha1) -> String {
    format!("files/{sha1}/content")
}

/// The number of bytes at the beginning of a response that are written already. A server that ignores
/// the range sends the whole file.
fn bytes_to_skip(response: &Response, written: u64) -> Result<u64, ClientError> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(written);
    }
    let start = header(response, &CONTENT_RANGE).and_then(first_byte);
    let skip = start.and_then(|start| written.checked_sub(start));
    skip.ok_or_else(|| {
        ClientError::protocol_error("the response has another range than the request")
    })
}

/// The first byte of the range in a `Content-Range` (RFC 9110 §14.4).
fn first_byte(value: &str) -> Option<u64> {
    let range = value.strip_prefix("bytes ")?;
    range.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_begins_with_its_first_byte() {
        assert_eq!(first_byte("bytes 5-9/10"), Some(5));
        assert_eq!(first_byte("bytes 0-9/*"), Some(0));
        for none in ["bytes */10", "items 5-9/10", "5-9", ""] {
            assert_eq!(first_byte(none), None, "{none}");
        }
    }
}
