//! HTTP/2 (RFC 9113), by h2.
//!
//! Requests and responses are those of actix-http. The limits of a connection keep one client from
//! taking what many could have.

use std::{
    cell::RefCell,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_http::{
    BoxedPayloadStream, HttpMessage as _, Payload, Request, Response, error::PayloadError,
};
use actix_web::{
    body::{BodySize, BoxBody, MessageBody},
    http::{
        Method, StatusCode, Uri, Version,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    web::Bytes,
};
use futures_util::{Stream, future::poll_fn};
use h2::{
    Reason, RecvStream, SendStream,
    server::{Builder, Connection as H2Connection, SendResponse},
};
use tokio::time::{sleep, timeout};

use super::{
    ConnectionContext, Interim,
    answer::{Application, date},
    transport::Transport,
};
use crate::{
    server::KEEP_ALIVE,
    shutdown::{Connection, ShutdownState},
};

/// The number of requests of a connection that are answered at a time.
const MAX_STREAMS: u32 = 64;

/// The requests of a connection that are answered at a time, with those whose client has given them up.
const MAX_RUNNING: usize = 2 * MAX_STREAMS as usize;

/// The largest header of a request, in bytes as HTTP/2 counts them.
const MAX_HEADER: u32 = 64 * 1024;

/// The number of bytes of a request's body that may wait for its handler.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The number of bytes of all bodies of a connection that may wait for their handlers: no body that waits
/// keeps another one from being read.
const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;

/// The number of bytes of a response that may wait for the client.
const SEND_BUFFER: usize = 64 * 1024;

/// Time in which a client must take a piece of a response.
const STALL_TIMEOUT: Duration = Duration::from_mins(2);

/// Time in which a connection that comes during a shutdown can send a request.
const LATE_REQUEST_TIME: Duration = Duration::from_secs(1);

/// The largest piece of a response's body that is passed on at once, in bytes.
const PIECE: usize = 16 * 1024;

/// The fields that belong to a connection of HTTP/1 (RFC 9113 §8.2.2).
const HTTP1_FIELDS: [HeaderName; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

type Respond = Rc<RefCell<SendResponse<Bytes>>>;

/// What the requests of a connection share.
pub(super) struct Http2 {
    pub(super) application: Application,
    pub(super) connection: Arc<Connection>,
    pub(super) peer: Option<SocketAddr>,
    pub(super) is_tls: bool,
}

/// Serves a connection until its end.
pub(super) async fn serve(
    http2: Http2,
    transport: Transport,
    header_timeout: Duration,
    shutdown: &ShutdownState,
) {
    let handshake = Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER)
        .max_send_buffer_size(SEND_BUFFER)
        .handshake(transport);
    match timeout(header_timeout, handshake).await {
        Ok(Ok(connection)) => accept(Rc::new(http2), connection, shutdown).await,
        Ok(Err(error)) => tracing::debug!(%error, "HTTP/2 did not begin"),
        Err(_) => tracing::debug!("HTTP/2 did not begin in time"),
    }
}

/// Accepts requests, and asks the client to go elsewhere during a shutdown or after a time without any.
async fn accept(
    http2: Rc<Http2>,
    mut connection: H2Connection<Transport, Bytes>,
    shutdown: &ShutdownState,
) {
    let mut is_leaving = false;
    let mut has_begun = false;
    loop {
        let draining = async {
            shutdown.draining().await;
            if !has_begun {
                sleep(LATE_REQUEST_TIME).await;
            }
        };
        let leave = async {
            tokio::select! {
                () = draining => {}
                () = is_idle(&http2.connection) => {}
            }
        };
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((_, mut respond))) if Rc::strong_count(&http2) > MAX_RUNNING => {
                    respond.send_reset(Reason::REFUSED_STREAM);
                }
                Some(Ok((request, respond))) => {
                    has_begun = true;
                    actix_web::rt::spawn(Rc::clone(&http2).exchange(request, respond));
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "HTTP/2 failed");
                    return;
                }
                None => return,
            },
            () = leave, if !is_leaving => {
                is_leaving = true;
                connection.graceful_shutdown();
            }
        }
    }
}

/// Waits until a connection has had no request for some time.
async fn is_idle(connection: &Connection) {
    loop {
        match connection.idle_time() {
            None => sleep(KEEP_ALIVE).await,
            Some(idle) => match KEEP_ALIVE.checked_sub(idle) {
                Some(rest) if !rest.is_zero() => sleep(rest).await,
                _ => return,
            },
        }
    }
}

impl Http2 {
    /// Answers a request.
    async fn exchange(
        self: Rc<Self>,
        request: http::Request<RecvStream>,
        respond: SendResponse<Bytes>,
    ) {
        let respond = Rc::new(RefCell::new(respond));
        let has_body = !request.body().is_end_stream();
        let Some(request) = self.read(request, &respond) else {
            respond.borrow_mut().send_reset(Reason::PROTOCOL_ERROR);
            return;
        };
        let is_head = request.method() == Method::HEAD;
        // A handler that reads a body notices by it that the client has given up, and keeps what came.
        let interim = Interim::http2(Rc::clone(&respond), false);
        let response = tokio::select! {
            biased;
            response = (self.application)(request) => response,
            () = interim.given_up(), if !has_body => return,
        };
        if let Err(error) = send(response, &respond, is_head).await {
            tracing::debug!(%error, "a response was not sent whole");
            respond.borrow_mut().send_reset(Reason::INTERNAL_ERROR);
        }
    }

    /// Turns a request into one of actix-http; none if it is not possible.
    fn read(&self, request: http::Request<RecvStream>, respond: &Respond) -> Option<Request> {
        let (parts, body) = request.into_parts();
        let has_body = !body.is_end_stream();
        let payload = if has_body {
            let payload: BoxedPayloadStream = Box::pin(Body(body));
            Payload::Stream { payload }
        } else {
            Payload::None
        };
        let mut request: Request = Request::with_payload(payload);
        let head = request.head_mut();
        head.method = Method::from_bytes(parts.method.as_str().as_bytes()).ok()?;
        let target = parts
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        head.uri = target.parse::<Uri>().ok()?;
        head.version = Version::HTTP_2;
        head.peer_addr = self.peer;
        head.headers = read_fields(&parts, has_body)?;
        let expects = head.headers.get(header::EXPECT);
        let expects =
            expects.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        request.extensions_mut().insert(ConnectionContext {
            connection: Arc::clone(&self.connection),
            interim: Interim::http2(Rc::clone(respond), expects),
            is_tls: self.is_tls,
        });
        Some(request)
    }
}

/// The fields of a request, as HTTP/1 would have them.
fn read_fields(parts: &http::request::Parts, has_body: bool) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(parts.headers.len() + 1);
    for (name, value) in &parts.headers {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    if let Some(authority) = parts.uri.authority() {
        let host = HeaderValue::from_str(authority.as_str()).ok()?;
        headers.insert(header::HOST, host);
    }
    if has_body && !headers.contains_key(header::CONTENT_LENGTH) {
        // In HTTP/1, this field says that there is a body of unknown length; HTTP/2 does not know it.
        headers.insert(
            header::TRANSFER_ENCODING,
            HeaderValue::from_static("chunked"),
        );
    }
    Some(headers)
}

/// The body of a request.
struct Body(RecvStream);

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stream = &mut self.get_mut().0;
        Poll::Ready(match ready!(stream.poll_data(context)) {
            Some(Ok(bytes)) => {
                // The handler has the bytes; an error shows in the next ones.
                let _ = stream.flow_control().release_capacity(bytes.len());
                Some(Ok(bytes))
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "a body broke off");
                Some(Err(PayloadError::Incomplete(None)))
            }
            None => None,
        })
    }
}

/// A response could not be sent.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Http2(#[from] h2::Error),
    #[error("malformed head: {0}")]
    Head(#[from] http::Error),
    #[error("the body failed")]
    Body,
    #[error("the client does not read")]
    Stalled,
    #[error("the client has gone")]
    Gone,
}

async fn send(
    response: Response<BoxBody>,
    respond: &Respond,
    is_head: bool,
) -> Result<(), SendError> {
    let (head, mut body) = response.into_parts();
    let size = match head.status() {
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => BodySize::None,
        _ => body.size(),
    };
    let is_over = size.is_eof() || is_head;
    let head = write_head(head.status(), head.headers(), size)?;
    let mut stream = respond.borrow_mut().send_response(head, is_over)?;
    if is_over {
        return Ok(());
    }
    while let Some(bytes) = poll_fn(|context| Pin::new(&mut body).poll_next(context)).await {
        let bytes = bytes.map_err(|_| SendError::Body)?;
        send_bytes(&mut stream, bytes).await?;
    }
    Ok(stream.send_data(Bytes::new(), true)?)
}

/// Sends a piece of a body as fast as the client takes it.
async fn send_bytes(stream: &mut SendStream<Bytes>, mut bytes: Bytes) -> Result<(), SendError> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len().min(PIECE));
        let capacity = poll_fn(|context| stream.poll_capacity(context));
        let capacity = timeout(STALL_TIMEOUT, capacity).await;
        let capacity = capacity.map_err(|_| SendError::Stalled)?;
        let capacity = capacity.ok_or(SendError::Gone)??;
        stream.send_data(bytes.split_to(bytes.len().min(capacity)), false)?;
    }
    Ok(())
}

fn write_head(
    status: StatusCode,
    headers: &HeaderMap,
    size: BodySize,
) -> Result<http::Response<()>, http::Error> {
    let mut response = http::Response::builder().status(status.as_u16());
    for (name, value) in headers {
        let is_replaced = name == header::CONTENT_LENGTH && size != BodySize::Stream;
        if !HTTP1_FIELDS.contains(name) && !is_replaced {
            response = response.header(name.as_str(), value.as_bytes());
        }
    }
    if let BodySize::Sized(bytes) = size {
        response = response.header(http::header::CONTENT_LENGTH, bytes);
    }
    if !headers.contains_key(header::DATE) {
        response = response.header(http::header::DATE, date());
    }
    response.body(())
}
