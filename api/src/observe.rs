//! What is seen of each request: its id, one line in the log, and its part of the numbers.
//!
//! Requests that need credentials or a link are the audit log: their lines have the target `audit`,
//! and say who did what to which file, from where, with which result.

use std::{
    cell::OnceCell,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use actix_web::{
    Error, HttpMessage as _,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType,
        header::{HeaderName, HeaderValue},
    },
    middleware::Next,
    web::{Bytes, Data},
};
use domain::{Owner, Sha1};
use percent_encoding::percent_decode_str;
use tracing::{Instrument as _, Span};

use crate::{
    admission::{Admission, Unread},
    auth::{self, Identity},
    connections::{Connection, InHand},
    contract::{Contract, Route},
    problem::Fault,
    state::AppState,
    traces,
};

/// The field by which a request is found again in logs.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// No id that anybody makes is longer.
const LONGEST_ID: usize = 128;

/// The target of requests' spans.
pub(crate) const TARGET: &str = module_path!();

/// What links' URLs begin with, of which the rest is a secret.
const LINKS: &str = "/d/";

/// What is found out about a request on its way to its handler.
#[derive(Debug)]
pub(crate) struct Story {
    /// The operation that it asks for, if there is one.
    pub(crate) route: Option<Arc<Route>>,
    told: OnceCell<(Arc<Identity>, Owner)>,
}

impl Story {
    /// Notes who makes the request, and for whom, whether they may or not.
    pub(crate) fn is_told_of(&self, identity: &Arc<Identity>, named: Option<&HeaderValue>) {
        let named = named.and_then(|name| auth::read_owner(name).ok());
        let owner = named.unwrap_or_else(|| identity.owner.clone());
        // It is told once.
        let _ = self.told.set((Arc::clone(identity), owner));
    }
}

/// Whose file an answer is about; it comes with the answer.
pub(crate) struct Subject {
    pub(crate) owner: Owner,
    pub(crate) sha1: Sha1,
}

/// Which of the caller's files an answer is about; it comes with the answer.
pub(crate) struct Stored(pub(crate) Sha1);

/// Accompanies requests from their header to their answer's last byte.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(crate) state: Data<AppState>,
    pub(crate) contract: Data<Contract>,
    pub(crate) admission: Data<Admission>,
}

impl Observer {
    pub(crate) async fn observe(
        self,
        mut request: ServiceRequest,
        next: Next<impl MessageBody + 'static>,
    ) -> Result<ServiceResponse<BoxBody>, Error> {
        let (payload, unread) = self.admission.pace.of(request.take_payload());
        request.set_payload(payload);
        let in_hand = request.conn_data::<Arc<Connection>>().map(InHand::new);
        let id = request_id(&request);
        let id_text = id.to_str().unwrap_or_default();
        let span = tracing::info_span!("request", id = id_text);
        // As the router sees the path, which reads escapes.
        let path = request.match_info().as_str();
        let route = self.contract.route(request.method(), path);
        let template = route.as_ref().map(|route| route.template.as_str());
        let trace_id = traces::request::begin(&span, &request, template);
        let story = Rc::new(Story {
            route,
            told: OnceCell::new(),
        });
        request.extensions_mut().insert(Rc::clone(&story));
        let client = self.admission.client(&request);
        let state = self.state.into_inner();
        let mut record = Record::begin(Arc::clone(&state), story, &request, id_text);
        record.client = client.map(|client| client.to_string());
        record.trace_id = trace_id;
        record.span = span.clone();
        let mut response = next.call(request).instrument(span).await?;
        record.answered(&response);
        if state.stopping.is_begun() {
            let head = response.response_mut().head_mut();
            head.set_connection_type(ConnectionType::Close);
        }
        let mut response = response.map_body(|_, body| {
            let body = body.boxed();
            BoxBody::new(Observed {
                body,
                record,
                _unread: unread,
                in_hand,
            })
        });
        response.headers_mut().insert(REQUEST_ID, id);
        Ok(response)
    }
}

/// The id that the client gave, if it is one, or a new one.
fn request_id(request: &ServiceRequest) -> HeaderValue {
    let given = request.headers().get(&REQUEST_ID).filter(|id| {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=~@".contains(byte);
        (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(is_plain)
    });
    given.cloned().unwrap_or_else(|| {
        let [high, low] = [getrandom::u64(), getrandom::u64()].map(Result::unwrap_or_default);
        HeaderValue::try_from(format!("{high:016x}{low:016x}"))
            .unwrap_or(HeaderValue::from_static("unknown"))
    })
}

/// What is known of a request; written down when it is dropped.
struct Record {
    state: Arc<AppState>,
    began: Instant,
    id: String,
    method: String,
    path: String,
    client: Option<String>,
    story: Rc<Story>,
    owner: Option<String>,
    file: Option<String>,
    status: Option<u16>,
    sent: u64,
    is_cut_off: bool,
    /// What is done for the request belongs here in a trace.
    span: Span,
    trace_id: Option<String>,
}

impl Record {
    fn begin(state: Arc<AppState>, story: Rc<Story>, request: &ServiceRequest, id: &str) -> Self {
        state.metrics.begin_request();
        Self {
            state,
            began: Instant::now(),
            id: id.to_owned(),
            method: request.method().to_string(),
            path: shown_path(request),
            client: None,
            story,
            owner: None,
            file: None,
            status: None,
            sent: 0,
            is_cut_off: false,
            span: Span::none(),
            trace_id: None,
        }
    }

    fn answered<B>(&mut self, response: &ServiceResponse<B>) {
        self.status = Some(response.status().as_u16());
        let extensions = response.response().extensions();
        if let Some(named) = response.request().match_info().get("file_sha1") {
            self.file = Some(named.to_ascii_lowercase());
        }
        if let Some(Subject { owner, sha1 }) = extensions.get() {
            self.owner = Some(owner.to_string());
            self.file = Some(sha1.to_string());
        }
        if let Some(Stored(sha1)) = extensions.get() {
            self.file = Some(sha1.to_string());
        }
        if let Some(fault) = extensions.get::<Fault>() {
            self.state.metrics.failed(*fault);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        // As nginx says of clients that went away.
        let status = self.status.unwrap_or(499);
        let metrics = &self.state.metrics;
        let route = self.story.route.as_ref();
        let operation = route.map_or("none", |route| route.operation.as_str());
        metrics.end_request(operation, status, self.sent, took);
        if self.trace_id.is_some() {
            let (sent, is_cut_off) = (self.sent, self.is_cut_off);
            traces::request::end(&self.span, operation, self.status, sent, is_cut_off);
        }
        let milliseconds = took.as_secs_f64() * 1e3;
        if !route.is_some_and(|route| route.is_audited) {
            tracing::info!(
                request_id = self.id,
                method = self.method,
                path = self.path,
                client = self.client,
                operation,
                status,
                sent = self.sent,
                milliseconds,
                trace_id = self.trace_id,
                "request"
            );
            return;
        }
        let told = self.story.told.get();
        let owner = told.map(|(_, owner)| owner.as_str());
        tracing::info!(
            target: "audit",
            request_id = self.id,
            actor = told.map(|(identity, _)| identity.actor.as_str()),
            owner = owner.or(self.owner.as_deref()),
            operation,
            file_sha1 = self.file,
            client = self.client,
            method = self.method,
            path = self.path,
            status,
            sent = self.sent,
            milliseconds,
            trace_id = self.trace_id,
            "request"
        );
    }
}

/// The path as the log shows it: without what may be a link's secret, however it is spelled.
fn shown_path(request: &ServiceRequest) -> String {
    let path = request.path();
    let plain = percent_decode_str(path).decode_utf8_lossy();
    if plain.to_ascii_lowercase().contains(LINKS) {
        format!("{LINKS}-")
    } else {
        path.to_owned()
    }
}

/// A body whose bytes are counted.
struct Observed {
    body: BoxBody,
    record: Record,
    _unread: Option<Unread>,
    in_hand: Option<InHand>,
}

impl MessageBody for Observed {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.get_mut();
        let next = {
            let _entered = this.record.span.enter();
            Pin::new(&mut this.body).poll_next(context)
        };
        match &next {
            Poll::Ready(Some(Ok(bytes))) => {
                this.record.sent += bytes.len() as u64;
                if let Some(in_hand) = &mut this.in_hand {
                    in_hand.sends(bytes.len());
                }
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::error!(request_id = this.record.id, %error, "an answer was cut off");
                this.record.is_cut_off = true;
            }
            _ => {}
        }
        next
    }
}
