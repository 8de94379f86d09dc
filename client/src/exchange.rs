//! Sending requests and reading responses.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
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
    error::{ClientError, IDLE_TIMEOUT, Refusal},
    retry::RetryPolicy,
};

/// The largest body, in bytes, of a response that is read into memory.
const MAX_BODY_SIZE: usize = 16 * 1024 * 1024;

/// The size, in bytes, of the pieces of a request's body; each counts as progress when it is sent.
const PIECE_SIZE: usize = 128 * 1024;

impl ClientError {
    /// Wraps the failure of a connection, without the URL, which may be long.
    pub(super) fn connection_error(error: reqwest::Error) -> Self {
        Self::Connection(error.without_url())
    }
}

impl Client {
    /// Sends a request once.
    ///
    /// # Errors
    ///
    /// If the connection fails, or the status of the response is not a success.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        self.send_with_timeout(request, &AtomicU64::new(0)).await
    }

    /// Sends a request with a body once, and calls `on_sent` with the number of bytes sent so far.
    pub(super) async fn send_body(
        &self,
        request: RequestBuilder,
        body: Bytes,
        on_sent: impl Fn(u64) + Send + 'static,
    ) -> Result<Response, ClientError> {
        let transferred = Arc::new(AtomicU64::new(0));
        let request = request.header(CONTENT_LENGTH, body.len());
        let (mut rest, counted) = (body, transferred.clone());
        let pieces = std::iter::from_fn(move || {
            let piece = rest.split_to(rest.len().min(PIECE_SIZE));
            let size = piece.len() as u64;
            on_sent(counted.fetch_add(size, Ordering::Relaxed));
            (size > 0).then_some(Ok::<_, std::io::Error>(piece))
        });
        self.send_with_timeout(
            request.body(Body::wrap_stream(stream::iter(pieces))),
            &transferred,
        )
        .await
    }

    async fn send_with_timeout(
        &self,
        request: RequestBuilder,
        transferred: &AtomicU64,
    ) -> Result<Response, ClientError> {
        let repeated = request.try_clone();
        let mut response = with_idle_timeout(request.send(), transferred).await?;
        self.was_reached.store(true, Ordering::Relaxed);
        if response.status() == StatusCode::TEMPORARY_REDIRECT
            && let Some(repeated) = repeated
            && let Some(redirected_request) = Self::redirected_request(repeated, &response)?
        {
            response = with_idle_timeout(redirected_request.send(), transferred).await?;
        }
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        // Without a body, the status has to do.
        let body = read_body(response).await.unwrap_or_default();
        Err(ClientError::Refused(Refusal::new(status, &headers, &body)))
    }

    /// Builds a request for the same bytes at the `Location` of a redirect.
    ///
    /// It has no token: the other server must not learn it.
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
            // The message omits the URL, which gives access to the file.
            ClientError::protocol_error(format!("the location of the bytes is not a URL: {error}"))
        })?;
        let mut headers = request.headers().clone();
        headers.remove(AUTHORIZATION);
        Ok(Some(Self::anonymous_client()?.get(url).headers(headers)))
    }

    /// Sends a request, and repeats it after temporary errors until the retry policy ends.
    pub(crate) async fn send_with_retry(
        &self,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Response, ClientError> {
        let mut retry = RetryPolicy::default();
        loop {
            match self.send(request()).await {
                Err(error) => retry.wait_before_retry(self, error).await?,
                result => return result,
            }
        }
    }

    /// Finds one of the caller's files; `None` if there is no such file.
    ///
    /// # Errors
    ///
    /// If the server refuses the request, or cannot be reached.
    pub async fn find(&self, sha1: &Sha1) -> Result<Option<FileMeta>, ClientError> {
        let request = || self.request(Method::GET, &format!("files/{sha1}"));
        match self.send_with_retry(request).await {
            Ok(response) => read_json(response).await.map(Some),
            Err(error) if error.is_gone() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The value of a response's header field, if it is text.
pub(super) fn header<'a>(response: &'a Response, name: &HeaderName) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// Reads a response's body as JSON.
pub(crate) async fn read_json<T: DeserializeOwned>(response: Response) -> Result<T, ClientError> {
    let body = read_body(response).await?;
    serde_json::from_slice(&body).map_err(|error| ClientError::protocol_error(error.to_string()))
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, ClientError> {
    let mut body = Vec::new();
    while let Some(piece) = next_piece(&mut response).await? {
        if body.len() + piece.len() > MAX_BODY_SIZE {
            return Err(ClientError::protocol_error("the body is too large"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// The next bytes of a response's body, or `None` at its end.
pub(super) async fn next_piece(response: &mut Response) -> Result<Option<Bytes>, ClientError> {
    with_idle_timeout(response.chunk(), &AtomicU64::new(0)).await
}

/// Waits for a future while the count of transferred bytes grows; fails after the idle timeout.
async fn with_idle_timeout<T>(
    future: impl Future<Output = reqwest::Result<T>>,
    transferred: &AtomicU64,
) -> Result<T, ClientError> {
    let mut future = std::pin::pin!(future);
    loop {
        let before = transferred.load(Ordering::Relaxed);
        match tokio::time::timeout(IDLE_TIMEOUT, &mut future).await {
            Ok(result) => return result.map_err(ClientError::connection_error),
            Err(_) if transferred.load(Ordering::Relaxed) > before => {}
            Err(_) => return Err(ClientError::Idle),
        }
    }
}
