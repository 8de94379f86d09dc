//! A file that is a part of a form (RFC 7578).

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;

use std::{cell::RefCell, rc::Rc};

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::{
    error::PayloadError,
    http::header::{self, HeaderMap},
    web::{Bytes, Payload},
};
use domain::{Content, ContentHasher, FileName, MediaType};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use service::{Expected, Upload};

use super::{
    names::{file_name, only_one, unnamed},
    request::{UploadRequest, UploadedFile},
};
use crate::{
    extract::body::broken_off,
    headers::{
        digest_fields::{self, CONTENT_DIGEST, REPR_DIGEST},
        disposition,
    },
    problem::{Problem, ProblemLocation, ProblemType},
    state::AppState,
};

/// More bytes than any name may have, so that a name that is too long is reported as such.
const MOST_NAME_BYTES: usize = 4 * 1024;

/// Where the bytes of the file go.
trait FileSink {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Problem>;
}

/// An upload whose bytes are counted.
struct CountedUpload<'a> {
    state: &'a AppState,
    upload: Upload,
}

impl FileSink for CountedUpload<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.state.metrics.received(bytes.len());
        Ok(self.upload.write(bytes).await?)
    }
}

/// A form that was read whole.
struct Form<S> {
    file: FilePart<S>,
    /// The name in a part of its own.
    named: Option<FileName>,
}

/// The part that is the file.
struct FilePart<S> {
    sink: S,
    file_name: Option<FileName>,
    content_type: MediaType,
    expected: Expected,
}

pub(super) async fn read(
    reading: UploadRequest<'_>,
    payload: Payload,
) -> Result<UploadedFile, Problem> {
    let UploadRequest {
        state,
        headers,
        named,
        announced,
        upload,
    } = reading;
    let sink = CountedUpload { state, upload };
    let Form {
        file,
        named: named_in_part,
    } = parse(headers, payload, announced, sink).await?;
    let file_name = only_one(named, named_in_part)?
        .or(file.file_name)
        .ok_or_else(|| unnamed("give the part `file` a `filename`, or send a part `file_name`"))?;
    Ok(UploadedFile {
        upload: file.sink.upload,
        file_name,
        content_type: file.content_type,
        expected: file.expected,
    })
}

/// Reads a form to its end.
async fn parse<S: FileSink>(
    headers: &HeaderMap,
    payload: Payload,
    announced: Expected,
    sink: S,
) -> Result<Form<S>, Problem> {
    let mut sink = Some(sink);
    let message = Message::new(headers, payload)?;
    let mut parts = Multipart::new(headers, message.stream().boxed_local());
    let mut file: Option<FilePart<S>> = None;
    let mut named: Option<FileName> = None;
    while let Some(mut part) = parts.try_next().await.map_err(|error| malformed(&error))? {
        match part.name().unwrap_or_default() {
            "file" => {
                let sink = sink.take();
                let sink = sink.ok_or_else(|| wrong_part("file", "the form has two files"))?;
                file = Some(read_file(&mut part, announced, sink).await?);
            }
            "file_name" => {
                let name = read_name(&mut part).await?;
                named = only_one(name, named.take())?;
            }
            other => {
                let detail = "a form may have only the parts `file` and `file_name`";
                return Err(wrong_part(other, detail));
            }
        }
    }
    message.verify().await?;
    let file = file.ok_or_else(|| wrong_part("file", "the form has no part `file`"))?;
    Ok(Form { file, named })
}

async fn read_file<S: FileSink>(
    part: &mut Field,
    announced: Expected,
    mut sink: S,
) -> Result<FilePart<S>, Problem> {
    let headers = part.headers();
    let mut expected = announced;
    for field in [REPR_DIGEST, CONTENT_DIGEST] {
        let declared = digest_fields::read(headers, &field, ProblemLocation::Part)?;
        expected = digest_fields::join(expected, declared)?;
    }
    let file_name = disposition::file_name(headers, ProblemLocation::Part)?;
    let content_type = media_type(headers)?;
    while let Some(bytes) = part.try_next().await.map_err(|error| malformed(&error))? {
        sink.write(&bytes).await?;
    }
    Ok(FilePart {
        sink,
        file_name,
        content_type,
        expected,
    })
}

/// Reads the name from a field of the form; an empty field names nothing.
async fn read_name(part: &mut Field) -> Result<Option<FileName>, Problem> {
    let wrong = |detail| {
        Problem::new(ProblemType::InvalidFileName, detail).named(ProblemLocation::Part, "file_name")
    };
    let mut name = Vec::new();
    while let Some(bytes) = part.try_next().await.map_err(|error| malformed(&error))? {
        if name.len() + bytes.len() > MOST_NAME_BYTES {
            return Err(wrong("a file name has at most 255 bytes"));
        }
        name.extend_from_slice(&bytes);
    }
    let name = String::from_utf8(name).map_err(|_| wrong("the file name must be UTF-8"))?;
    if name.is_empty() {
        return Ok(None);
    }
    file_name(name, ProblemLocation::Part).map(Some)
}

fn media_type(headers: &HeaderMap) -> Result<MediaType, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(MediaType::default());
    };
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| {
        Problem::new(
            ProblemType::UnsupportedMediaType,
            "the part's media type is malformed",
        )
        .named(ProblemLocation::Part, header::CONTENT_TYPE.as_str())
    })
}

fn wrong_part(name: &str, detail: &str) -> Problem {
    Problem::body(detail).named(ProblemLocation::Part, name)
}

fn malformed(error: &MultipartError) -> Problem {
    let detail = match error {
        MultipartError::Payload(PayloadError::Overflow) => {
            "the header of one of the form's parts is too long".to_owned()
        }
        MultipartError::Payload(error) => return broken_off(error),
        MultipartError::Incomplete => "the form ended before its last boundary".to_owned(),
        MultipartError::BoundaryMissing => {
            "the form's boundary is missing, in its media type or before a part".to_owned()
        }
        MultipartError::ContentDispositionMissing => {
            "a part's Content-Disposition field is missing, or is not UTF-8".to_owned()
        }
        error => format!("the form is malformed: {error}"),
    };
    Problem::body(detail)
}

/// The message around the form, which may have a digest of its own.
struct Message {
    payload: Rc<RefCell<Payload>>,
    expected: Expected,
    /// The hash of the message so far, if a digest was announced.
    seen: Rc<RefCell<ContentHasher>>,
}

impl Message {
    fn new(headers: &HeaderMap, payload: Payload) -> Result<Self, Problem> {
        Ok(Self {
            payload: Rc::new(RefCell::new(payload)),
            expected: digest_fields::read(headers, &CONTENT_DIGEST, ProblemLocation::Header)?,
            seen: Rc::default(),
        })
    }

    fn stream(&self) -> impl Stream<Item = Result<Bytes, PayloadError>> + use<> {
        let payload = Rc::clone(&self.payload);
        let seen = (self.expected != Expected::default()).then(|| Rc::clone(&self.seen));
        let chunks = stream::poll_fn(move |context| payload.borrow_mut().poll_next_unpin(context));
        chunks.and_then(move |bytes| {
            let seen = seen.clone();
            async move {
                if let Some(seen) = seen {
                    let hasher = seen.take();
                    seen.replace(hash(hasher, bytes.clone()).await?);
                }
                Ok(bytes)
            }
        })
    }

    /// Reads the rest of the message after the form, and compares the digests.
    async fn verify(&self) -> Result<(), Problem> {
        let mut rest = std::pin::pin!(self.stream());
        while let Some(bytes) = rest.next().await {
            bytes.map_err(|error| broken_off(&error))?;
        }
        let Content { sha1, sha256, .. } = self.seen.take().finish();
        let differs = self.expected.sha1.is_some_and(|expected| expected != sha1)
            || self
                .expected
                .sha256
                .is_some_and(|expected| expected != sha256);
        if differs {
            let detail = "the message does not match its Content-Digest";
            return Err(Problem::new(ProblemType::DigestMismatch, detail)
                .named(ProblemLocation::Header, CONTENT_DIGEST.as_str()));
        }
        Ok(())
    }
}

/// Hashes on the blocking pool, so that no other request waits.
async fn hash(mut hasher: ContentHasher, bytes: Bytes) -> Result<ContentHasher, PayloadError> {
    let hashing = tokio::task::spawn_blocking(move || {
        hasher.update(&bytes);
        hasher
    });
    hashing
        .await
        .map_err(|stopped| PayloadError::Io(std::io::Error::other(stopped)))
}
