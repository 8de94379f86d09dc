//! The access log: one line and the metrics of each request, and its id.
//!
//! Requests that need credentials or a link form the audit log: their lines have the target `audit`, and
//! name the caller, the operation, the file, the client's address and the result.

use std::{cell::OnceCell, net::IpAddr, rc::Rc, sync::Arc};

use actix_web::{
    Error, HttpMessage as _,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType, Version,
        header::{HeaderName, HeaderValue},
    },
    middleware::Next,
    web::Data,
};
use ipnet::IpNet;
use telemetry::traces::REQUEST_TARGET;
use tracing::Instrument as _;

use super::{context::RequestContext, counted_body::CountedBody, request_log::RequestLog, trace};
use crate::{
    connection::ConnectionContext, headers::forwarded, limits::body_timeout::BodyTimeout,
    openapi::Contract, shutdown::InFlightGuard, state::AppState,
};

/// The field with the request's id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is accepted from a client, in bytes.
const MAX_ID_LENGTH: usize = 128;

/// Logs requests from their header to the last byte of their response.
#[derive(Clone)]
pub(crate) struct AccessLog {
    pub(crate) state: Data<AppState>,
    pub(crate) contract: Data<Contract>,
    pub(crate) body_timeout: BodyTimeout,
    pub(crate) trusted_proxies: Arc<[IpNet]>,
}

impl AccessLog {
    /// Runs a request, and logs it when the last byte of its response has been sent.
    pub(crate) async fn log(
        self,
        mut request: ServiceRequest,
        next: Next<impl MessageBody + 'static>,
    ) -> Result<ServiceResponse<BoxBody>, Error> {
        let (interim, in_flight, is_tls) = match request.extensions().get::<ConnectionContext>() {
            Some(context) => (
                Some(context.interim.clone()),
                Some(InFlightGuard::new(&context.connection)),
                context.is_tls,
            ),
            None => (None, None, false),
        };
        let (payload, unread) = self.body_timeout.apply(request.take_payload(), interim);
        // In HTTP/2 a body that nobody reads is dropped, and its connection goes on.
        let unread = unread.filter(|_| request.version() != Version::HTTP_2);
        request.set_payload(payload);
        let id = request_id(&request);
        let id_text = id.to_str().unwrap_or_default();
        let span = tracing::info_span!(target: REQUEST_TARGET, "request", id = id_text);
        // The path as the router sees it, with escapes decoded.
        let path = request.match_info().as_str();
        let route = self.contract.route(request.method(), path);
        let template = route.as_ref().map(|route| route.template.as_str());
        let trace_id = trace::begin(&span, &request, template, is_tls);
        let peer = request.peer_addr().map(|address| address.ip());
        let client =
            peer.map(|peer| forwarded::client(peer, request.headers(), &self.trusted_proxies));
        let context = Rc::new(RequestContext {
            route,
            is_proxied: peer.is_some_and(|peer| self.is_trusted(peer)),
            client,
            caller: OnceCell::new(),
        });
        request.extensions_mut().insert(Rc::clone(&context));
        let state = self.state.into_inner();
        let mut log = RequestLog::begin(Arc::clone(&state), context, &request, id_text);
        log.client = client.map(|client| client.to_string());
        log.trace_id = trace_id;
        log.span = span.clone();
        let mut response = next.call(request).instrument(span).await?;
        log.set_response(&response);
        if state.shutdown.is_draining() {
            let head = response.response_mut().head_mut();
            head.set_connection_type(ConnectionType::Close);
        }
        let mut response = response.map_body(|_, body| {
            BoxBody::new(CountedBody::new(body.boxed(), log, unread, in_flight))
        });
        response.headers_mut().insert(REQUEST_ID, id);
        Ok(response)
    }

    fn is_trusted(&self, peer: IpAddr) -> bool {
        forwarded::is_trusted(peer, &self.trusted_proxies)
    }
}

/// The id that the client sent, if it is well-formed, or a new one.
fn request_id(request: &ServiceRequest) -> HeaderValue {
    let sent = request.headers().get(&REQUEST_ID).filter(|id| {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=~@".contains(byte);
        (1..=MAX_ID_LENGTH).contains(&id.len()) && id.as_bytes().iter().all(is_plain)
    });
    sent.cloned().unwrap_or_else(new_request_id)
}

/// A new id of a request.
pub(crate) fn new_request_id() -> HeaderValue {
    let [high, low] = [getrandom::u64(), getrandom::u64()].map(Result::unwrap_or_default);
    HeaderValue::try_from(format!("{high:016x}{low:016x}"))
        .unwrap_or(HeaderValue::from_static("unknown"))
}
