//! HTTP/1, by actix-http.

use std::{future::poll_fn, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use actix_http::{HttpMessage as _, HttpService, Protocol, Request, error::DispatchError};
use actix_server::GracefulShutdownSignal;
use actix_service::{Service as _, ServiceFactory as _, fn_service};
use actix_web::{body::BoxBody, http::Version};
use futures_util::future::LocalBoxFuture;
use tokio::time::timeout;

use super::{
    Interim,
    answer::{Answering, Application},
    link::Link,
    refusal::{Refusals, encode},
    transport::Transport,
};
use crate::{server::KEEP_ALIVE, shutdown::Connection};

type Response = actix_http::Response<BoxBody>;

/// Time in which a client must have read a response that closes the connection.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Time limit of a response to a malformed body.
const MALFORMED_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest rest of a request that is read after it was refused, in bytes.
const MAX_DISCARDED: usize = 1024 * 1024;

/// HTTP/1 on one thread.
pub(super) type Http1 = Rc<dyn Fn(Link, Option<SocketAddr>) -> Dispatching>;

type Dispatching = LocalBoxFuture<'static, Result<(), DispatchError>>;

/// Builds HTTP/1 for one thread.
pub(super) async fn http1(
    application: Application,
    header_timeout: Duration,
    stopping: GracefulShutdownSignal,
) -> Result<Http1, ()> {
    let (of_service, of_expect) = (Rc::clone(&application), application);
    let service = HttpService::build()
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(header_timeout)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
        .on_connect_ext(|link: &Link, data| {
            data.insert(link.clone());
        })
        // When an expectation is met, the dispatcher sends `100 Continue` before anything looks at the
        // request. So none is met: the request is answered here, and asks for its body if it needs it.
        .expect(fn_service(move |request| {
            let answering = answer(&of_expect, request);
            async move { Err::<Request, Response>(answering.await) }
        }))
        .finish(fn_service(move |request| {
            let answering = answer(&of_service, request);
            async move { Ok::<Response, Response>(answering.await) }
        }))
        .new_service(())
        .await?;
    Ok(Rc::new(move |link, peer| {
        Box::pin(service.call((link, Protocol::Http1, peer)))
    }))
}

/// Answers a request, in a place that outlives the dispatcher.
fn answer(application: &Application, request: Request) -> Answering {
    let Some(link) = request.conn_data::<Link>().cloned() else {
        return application(request);
    };
    let interim = if request.version() == Version::HTTP_11 {
        Interim::http1(link.clone(), request.head().expect())
    } else {
        Interim::none()
    };
    request.extensions_mut().insert(link.context(interim));
    Box::pin(link.answer(application(request)))
}

/// Serves a connection until its end.
pub(super) async fn serve(
    http1: &Http1,
    transport: Transport,
    connection: Arc<Connection>,
    peer: Option<SocketAddr>,
    refusals: &Refusals,
) {
    let link = Link::new(transport, connection);
    let _guard = AnswerGuard(link.clone());
    let mut dispatching = http1(link.clone(), peer);
    let ended = poll_fn(|context| {
        let polled = dispatching.as_mut().poll(context);
        if polled.is_pending() {
            link.release(context);
        }
        polled
    })
    .await;
    let last = match last_response(&link, &ended, peer, refusals).await {
        Some(response) => {
            link.drop_held();
            let encoded = timeout(MALFORMED_TIMEOUT, encode(response)).await;
            encoded.unwrap_or_default()
        }
        None if link.held_status().is_some() => Some(Vec::new()),
        None => None,
    };
    drop(dispatching);
    if let Some(bytes) = last {
        // Errors mean that the client is gone.
        let closing = async {
            link.close_with(&bytes).await?;
            link.discard(MAX_DISCARDED).await
        };
        let _ = timeout(DISCONNECT_TIMEOUT, closing).await;
    }
}

/// The response that the dispatcher owes the client.
async fn last_response(
    link: &Link,
    ended: &Result<(), DispatchError>,
    peer: Option<SocketAddr>,
    refusals: &Refusals,
) -> Option<Response> {
    match ended {
        Err(DispatchError::Parse(error)) => {
            let status = link.held_status()?;
            Some(refusals.unreadable(status, error, peer))
        }
        Ok(()) if !link.has_begun() && link.held_status() == Some(408) => {
            Some(refusals.too_slow(peer))
        }
        // The dispatcher gives up a request whose body is malformed; its response says so.
        Ok(()) if link.is_flushed() => {
            let answering = link.take_answering()?;
            timeout(MALFORMED_TIMEOUT, answering).await.ok()
        }
        _ => None,
    }
}

/// Ends the response in the making when its connection ends, since each holds the other.
struct AnswerGuard(Link);

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        drop(self.0.take_answering());
    }
}
