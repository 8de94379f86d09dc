//! What is seen of each request: its id, one line in the log, and its part of the numbers.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use actix_web::{
    Error,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::Next,
    web::{Bytes, Data},
};
use tracing::Instrument as _;

use crate::{contract::Contract, problem::Fault, service::Service};

/// The field by which a request is found again in logs.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// No id that anybody makes is longer.
const LONGEST_ID: usize = 128;

/// Accompanies requests from their header to their answer's last byte.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(crate) service: Data<Service>,
    pub(crate) contract: Data<Contract>,
}

impl Observer {
    pub(crate) async fn observe(
        self,
        request: ServiceRequest,
        next: Next<impl MessageBody + 'static>,
    ) -> Result<ServiceResponse<BoxBody>, Error> {
        let id = request_id(&request);
        let id_text = id.to_str().unwrap_or_default();
        let span = tracing::info_span!("request", id = id_text);
        let mut record = Record::begin(self.service.into_inner(), &request, id_text);
        let response = next.call(request).instrument(span).await?;
        record.answered(&response, &self.contract);
        let mut response = response.map_body(|_, body| {
            let body = body.boxed();
            BoxBody::new(Observed { body, record })
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
    service: Arc<Service>,
    began: Instant,
    id: String,
    method: String,
    path: String,
    peer: Option<String>,
    operation: String,
    status: Option<u16>,
    sent: u64,
}

impl Record {
    fn begin(service: Arc<Service>, request: &ServiceRequest, id: &str) -> Self {
        service.metrics.begin_request();
        Self {
            service,
            began: Instant::now(),
            id: id.to_owned(),
            method: request.method().to_string(),
            path: request.path().to_owned(),
            peer: request.peer_addr().map(|peer| peer.to_string()),
            operation: "none".to_owned(),
            status: None,
            sent: 0,
        }
    }

    fn answered<B>(&mut self, response: &ServiceResponse<B>, contract: &Contract) {
        self.status = Some(response.status().as_u16());
        let template = response.request().match_pattern().unwrap_or_default();
        if let Some(operation) = contract.operation(&template, &self.method) {
            operation.clone_into(&mut self.operation);
        }
        if let Some(fault) = response.response().extensions().get::<Fault>() {
            self.service.metrics.failed(*fault);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        // As nginx says of clients that went away.
        let status = self.status.unwrap_or(499);
        let metrics = &self.service.metrics;
        metrics.end_request(&self.operation, status, self.sent, took);
        tracing::info!(
            request_id = self.id,
            method = self.method,
            path = self.path,
            peer = self.peer,
            operation = self.operation,
            status,
            sent = self.sent,
            milliseconds = took.as_secs_f64() * 1e3,
            "request"
        );
    }
}

/// A body whose bytes are counted.
struct Observed {
    body: BoxBody,
    record: Record,
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
        let next = Pin::new(&mut this.body).poll_next(context);
        match &next {
            Poll::Ready(Some(Ok(bytes))) => this.record.sent += bytes.len() as u64,
            Poll::Ready(Some(Err(error))) => {
                tracing::error!(request_id = this.record.id, %error, "an answer was cut off");
            }
            _ => {}
        }
        next
    }
}
