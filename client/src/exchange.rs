//! Requests and their answers.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use domain::{FileMeta, Sha1};
use futures_util::stream;
use reqwest::{
    Body, Method, RequestBuilder, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_LENGTH, HeaderName, LOCATION},
};
use serde::de::DeserializeOwned;

use crate::{
    connection::Client,
    error::{ClientError, Refusal},
    retry::RetryPolicy,
};

/// A connection on which nothing moves for so long is given up; so long the server may work on an
/// answer, too.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_mins(2);

/// No answer that is read as a whole has more bytes.
const MAX_BODY_SIZE: usize = 16 * 1024 * 1024;

/// What is sent at once, and then counted as having moved.
const PIECE_SIZE: usize = 128 * 1024;

impl ClientError {
    /// A connection's failure; the URL, which may be long, is left out.
    pub(super) fn connection_error(error: reqwest::Error) -> Self {
        Self::Connection(error.without_url())
    }
}

impl Client {
    /// Sends a request once.
    ///
    /// # Errors
    ///
    /// Also when the answer is any but a success.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        self.send_moving(request, &AtomicU64::new(0)).await
    }

    /// Sends a request with a body once, and tells how many of its bytes were sent so far.
    pub(super) async fn send_body(
        &self,
        request: RequestBuilder,
        body: Bytes,
        sent: impl Fn(u64) + Send + 'static,
    ) -> Result<Response, ClientError> {
        let moved = Arc::new(AtomicU64::new(0));
        let request = request.header(CONTENT_LENGTH, body.len());
        let (mut rest, counted) = (body, moved.clone());
        let pieces = std::iter::from_fn(move || {
            let piece = rest.split_to(rest.len().min(PIECE_SIZE));
            let size = piece.len() as u64;
            sent(counted.fetch_add(size, Ordering::Relaxed));
            (size > 0).then_some(Ok::<_, std::io::Error>(piece))
        });
        self.send_moving(
            request.body(Body::wrap_stream(stream::iter(pieces))),
            &moved,
        )
        .await
    }

    async fn send_moving(
        &self,
        request: RequestBuilder,
        moved: &AtomicU64,
    ) -> Result<Response, ClientError> {
        let repeated = request.try_clone();
        let mut response = while_moving(request.send(), moved).await?;
        self.was_reached.store(true, Ordering::Relaxed);
        if response.status() == StatusCode::TEMPORARY_REDIRECT
            && let Some(repeated) = repeated
            && let Some(redirected_request) = Self::redirected_request(repeated, &response)?
        {
            response = while_moving(redirected_request.send(), moved).await?;
        }
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        // What the status code says is enough if the body does not come.
        let body = read_body(response).await.unwrap_or_default();
        Err(ClientError::Refused(Refusal::new(status, &headers, &body)))
    }

    /// The same request for a file's bytes to where the server says that they are, which is not to
    /// learn the token.
    fn redirected_request(
        request: RequestBuilder,
        response: &Response,
    ) -> Result<Option<RequestBuilder>, ClientError> {
        let request = request.build().map_err(ClientError::connection_error)?;
        let location = response.headers().get(LOCATION);
        let Some(location) = location.and_then(|location| location.to_str().ok()) else {
            return Ok(None);
        };
        if request.method() != Method::GET {
            return Ok(None);
        }
        let url = request.url().join(location).map_err(|error| {
            // The URL is as good as the file.
            ClientError::protocol_error(format!("the location of the bytes is no URL: {error}"))
        })?;
        let mut headers = request.headers().clone();
        headers.remove(AUTHORIZATION);
        Ok(Some(Self::anonymous_client()?.get(url).headers(headers)))
    }

    /// Sends a request, which can be made repeatedly, until it succeeds or patience ends.
    pub(crate) async fn ask(
        &self,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Response, ClientError> {
        let mut retry = RetryPolicy::default();
        loop {
            match self.send(request()).await {
                Err(error) => retry.wait_before_retry(self, error).await?,
                answered => return answered,
            }
        }
    }

    /// What the server tells about one of the caller's files, if there is such a file.
    pub async fn find(&self, sha1: &Sha1) -> Result<Option<FileMeta>, ClientError> {
        let request = || self.request(Method::GET, &format!("files/{sha1}"));
        match self.ask(request).await {
            Ok(response) => read_json(response).await.map(Some),
            Err(error) if error.is_gone() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The value of an answer's header field, if it is text.
pub(super) fn header<'a>(response: &'a Response, name: &HeaderName) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// Reads an answer's body as JSON.
pub(crate) async fn read_json<T: DeserializeOwned>(response: Response) -> Result<T, ClientError> {
    let body = read_body(response).await?;
    serde_json::from_slice(&body).map_err(|error| ClientError::protocol_error(error.to_string()))
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, ClientError> {
    let mut body = Vec::new();
    while let Some(piece) = next_piece(&mut response).await? {
        if body.len() + piece.len() > MAX_BODY_SIZE {
            return Err(ClientError::protocol_error("there is no end to it"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// The next bytes of an answer's body, or none at its end.
pub(super) async fn next_piece(response: &mut Response) -> Result<Option<Bytes>, ClientError> {
    while_moving(response.chunk(), &AtomicU64::new(0)).await
}

/// Waits as long as what moves grows.
async fn while_moving<T>(
    future: impl Future<Output = reqwest::Result<T>>,
    moved: &AtomicU64,
) -> Result<T, ClientError> {
    let mut future = std::pin::pin!(future);
    loop {
        let before = moved.load(Ordering::Relaxed);
        match tokio::time::timeout(IDLE_TIMEOUT, &mut future).await {
            Ok(result) => return result.map_err(ClientError::connection_error),
            Err(_) if moved.load(Ordering::Relaxed) > before => {}
            Err(_) => return Err(ClientError::Idle),
        }
    }
}
