//! A download, which goes on where it broke off.

use std::io::Write;

use bytes::Bytes;
use domain::{ContentHasher, FileName, Sha1};
use indicatif::ProgressBar;
use reqwest::{
    Method, Response, StatusCode,
    header::{
        CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderValue, IF_RANGE, RANGE,
    },
};

use super::{
    connection::Client,
    disposition,
    error::Trouble,
    exchange::{header, next_piece},
    retry::Patience,
    source::blocking,
};

/// How many bytes are hashed and written at once.
const BATCH: usize = 1024 * 1024;

/// A download that has begun.
pub struct Download<'a> {
    client: &'a Client,
    sha1: Sha1,
    response: Response,
    /// How many bytes the file has, if the server says so.
    pub size: Option<u64>,
    etag: Option<HeaderValue>,
    patience: Patience,
}

/// Where a download's bytes go.
struct Sink {
    /// None if writing failed.
    output: Option<(Box<dyn Write + Send>, ContentHasher)>,
    waiting: Vec<Bytes>,
    waiting_size: usize,
    /// How many bytes were written.
    done: u64,
    bar: ProgressBar,
}

impl<'a> Download<'a> {
    /// Asks for a file.
    ///
    /// # Errors
    ///
    /// When the server does not give it.
    pub async fn begin(client: &'a Client, sha1: Sha1) -> Result<Self, Trouble> {
        let response = client.ask(|| client.request(Method::GET, &path(&sha1)));
        let response = response.await?;
        Ok(Self {
            client,
            sha1,
            size: header(&response, &CONTENT_LENGTH).and_then(|size| size.parse().ok()),
            etag: response.headers().get(ETAG).cloned(),
            response,
            patience: Patience::default(),
        })
    }

    /// What the file is called, if it is called something that a file here can be.
    pub fn name(&self) -> Option<FileName> {
        let value = self.response.headers().get(CONTENT_DISPOSITION)?;
        disposition::file_name(value.as_bytes())
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// Also when what was written turns out to be another file in the end.
    pub async fn write_to(
        mut self,
        output: Box<dyn Write + Send>,
        bar: &ProgressBar,
    ) -> Result<(), Trouble> {
        let mut sink = Sink {
            output: Some((output, ContentHasher::default())),
            waiting: Vec::new(),
            waiting_size: 0,
            done: 0,
            bar: bar.clone(),
        };
        let mut skip = 0;
        while let Err(trouble) = self.copy(&mut sink, skip).await {
            if !trouble.may_pass() {
                return Err(trouble);
            }
            sink.flush().await?;
            if self.size == Some(sink.done) {
                break;
            }
            skip = self.resume(sink.done, trouble).await?;
        }
        let (mut output, hasher) = sink.finish().await?;
        blocking(move || output.flush()).await?;
        let content = hasher.finish();
        if content.sha1 != self.sha1 {
            return Err(Trouble::local(format!(
                "what came is another file, {}",
                content.sha1
            )));
        }
        Ok(())
    }

    /// Copies what the answer still has, but for what is written already.
    async fn copy(&mut self, sink: &mut Sink, mut skip: u64) -> Result<(), Trouble> {
        while let Some(mut piece) = next_piece(&mut self.response).await? {
            let known = piece.len().min(usize::try_from(skip).unwrap_or(usize::MAX));
            skip -= known as u64;
            let piece = piece.split_off(known);
            if !piece.is_empty() {
                self.patience.renew();
                sink.write(piece).await?;
            }
        }
        sink.flush().await
    }

    /// Asks for the rest; tells how many bytes of the answer are written already.
    async fn resume(&mut self, done: u64, mut trouble: Trouble) -> Result<u64, Trouble> {
        loop {
            self.patience.bear(self.client, trouble).await?;
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
                Err(again) => trouble = again,
            }
        }
    }
}

impl Sink {
    async fn write(&mut self, piece: Bytes) -> Result<(), Trouble> {
        self.waiting_size += piece.len();
        self.waiting.push(piece);
        if self.waiting_size >= BATCH {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Trouble> {
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
        self.bar.set_position(self.done);
        Ok(())
    }

    fn take(&mut self) -> Result<(Box<dyn Write + Send>, ContentHasher), Trouble> {
        let output = self.output.take();
        output.ok_or_else(|| Trouble::local("it cannot be written any more"))
    }

    async fn finish(mut self) -> Result<(Box<dyn Write + Send>, ContentHasher), Trouble> {
        self.flush().await?;
        self.take()
    }
}

fn path(sha1: &Sha1) -> String {
    format!("files/{sha1}/content")
}

/// How many bytes of an answer for the rest were written already; all of them may come again.
fn written_already(response: &Response, done: u64) -> Result<u64, Trouble> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(done);
    }
    let start = header(response, &CONTENT_RANGE).and_then(first_byte);
    let skip = start.and_then(|start| done.checked_sub(start));
    skip.ok_or_else(|| Trouble::nonsense("it is another range than was asked for"))
}

/// Where the range of a `Content-Range` begins (RFC 9110 §14.4).
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
