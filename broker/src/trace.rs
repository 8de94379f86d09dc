//! Trace spans of messages, and the headers that carry the trace context to the consumer.
//!
//! Names and attributes follow OpenTelemetry's semantic conventions for messaging.

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

/// Creates the span of one published message. `batch` is the number of messages in its batch.
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

/// Creates the span for the work on a message, as a child of the publisher's span.
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
        // Fails only if the span has started or traces are off, and neither is the case.
        let _ = span.set_parent(parent);
    }
    span
}

/// Returns the headers that carry the context of a span to the consumer.
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

/// Marks the spans of messages that were not published as failed.
pub(crate) fn record_failure(spans: &[Span], error: &Error) {
    for span in spans {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", error.kind());
    }
}

/// Exchange and routing key, which is the name of the queue.
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
        // An empty value carries no context.
        if !value.is_empty() {
            self.0
                .insert(key.into(), AMQPValue::LongString(value.into()));
        }
    }
}
