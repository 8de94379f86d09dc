//! The spans of messages in traces, and the headers by which a trace goes on where a message is
//! received.
//!
//! Names and attributes are those of OpenTelemetry's conventions for messaging.

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};
use opentelemetry::{
    global,
    propagation::{Extractor, Injector},
};
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::{Error, topology::Topology};

/// The span of one message that is published, in a batch of so many.
pub(crate) fn publishing(topology: &Topology, batch: usize) -> Span {
    tracing::info_span!(
        target: "trace",
        "publish",
        otel.kind = "producer",
        otel.name = %format_args!("publish {}", destination(topology)),
        otel.status_code = Empty,
        messaging.system = "rabbitmq",
        messaging.operation.name = "publish",
        messaging.operation.type = "send",
        messaging.destination.name = destination(topology),
        messaging.rabbitmq.destination.routing_key = topology.copies.as_str(),
        messaging.batch.message_count = i64::try_from(batch).unwrap_or(i64::MAX),
        error.type = Empty,
    )
}

/// The span of what is done for a message, in the trace of whoever published it.
pub(crate) fn processing(topology: &Topology, properties: &BasicProperties) -> Span {
    let span = tracing::info_span!(
        target: "trace",
        "process",
        otel.kind = "consumer",
        otel.name = %format_args!("process {}", destination(topology)),
        otel.status_code = Empty,
        messaging.system = "rabbitmq",
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = destination(topology),
        messaging.rabbitmq.destination.routing_key = topology.copies.as_str(),
        error.type = Empty,
    );
    if let (false, Some(headers)) = (span.is_disabled(), properties.headers()) {
        let parent =
            global::get_text_map_propagator(|propagator| propagator.extract(&Headers(headers)));
        // It has not begun, and there are traces.
        let _ = span.set_parent(parent);
    }
    span
}

/// The headers by which whoever receives a message goes on with the trace of a span.
pub(crate) fn headers(span: &Span) -> FieldTable {
    let mut headers = FieldTable::default();
    if !span.is_disabled() {
        let context = span.context();
        global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&context, &mut HeadersMut(&mut headers));
        });
    }
    headers
}

/// Notes that messages were not taken.
pub(crate) fn note_failure(spans: &[Span], error: &Error) {
    for span in spans {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", error.kind());
    }
}

/// Exchange and queue; messages are routed by the queue's name.
fn destination(topology: &Topology) -> String {
    format!("{}:{}", topology.exchange, topology.copies)
}

struct Headers<'a>(&'a FieldTable);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match self.0.inner().get(key)? {
            AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
            AMQPValue::ShortString(text) => Some(text.as_str()),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        self.0.inner().keys().map(ShortString::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut FieldTable);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        // An empty one says nothing.
        if !value.is_empty() {
            self.0
                .insert(key.into(), AMQPValue::LongString(value.into()));
        }
    }
}
