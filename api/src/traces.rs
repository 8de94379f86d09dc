//! Traces: what was done for a request or a copy, and how long each part took.
//!
//! All crates make spans of the target [`TARGET`] for them, which the log does not show. Here they
//! become OpenTelemetry's, and go to a collector. Those of the level `INFO` begin a trace; others
//! only go on with one, so that what is done for nobody makes none.

pub(crate) mod copy;
mod outbox;
pub(crate) mod request;

use opentelemetry::{
    Context as OtelContext, global,
    trace::{TraceContextExt as _, TracerProvider as _},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use tracing::{Level, Metadata, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{Layer, Registry, filter::dynamic_filter_fn, layer::Context};

pub(crate) use self::outbox::{Counts, Outbox};
use crate::{observe, settings};

/// What spans have as their target that are for traces only.
pub(crate) const TARGET: &str = "trace";

/// What makes traces of spans.
pub(crate) type TraceLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Begins to make traces, if the settings name a collector for them.
///
/// # Errors
///
/// What is wrong with the settings.
pub(crate) fn begin(settings: &settings::Traces) -> Result<Option<(TraceLayer, Outbox)>, String> {
    let Some(collector) = settings.collector()? else {
        return Ok(None);
    };
    let told = |error: &dyn std::error::Error| format!("traces cannot be sent: {error}");
    let http = outbox::http(&collector.url).map_err(|error| told(&error))?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(http)
        .with_endpoint(collector.url.as_str())
        .with_headers(collector.fields)
        .with_timeout(outbox::TIME)
        .build()
        .map_err(|error| told(&error))?;
    let resource = resource();
    let (outbox, letters) = Outbox::begin(exporter, &resource);
    let sampled = Sampler::TraceIdRatioBased(settings.trace_ratio);
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Sampler::ParentBased(Box::new(sampled)))
        .with_span_processor(letters)
        .build();
    global::set_text_map_propagator(TraceContextPropagator::new());
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("fileserver"))
        .with_context_activation(false)
        .with_level(false)
        .with_location(false)
        .with_target(false)
        .with_threads(false)
        .with_tracked_inactivity(false);
    let filter = dynamic_filter_fn(belongs)
        .with_callsite_filter(|metadata| {
            if is_traced(metadata) {
                Interest::sometimes()
            } else {
                Interest::never()
            }
        })
        .with_max_level_hint(LevelFilter::DEBUG);
    Ok(Some((layer.with_filter(filter).boxed(), outbox)))
}

/// What all traces of this process say of it; the environment's `OTEL_RESOURCE_ATTRIBUTES` and
/// `OTEL_SERVICE_NAME` come first.
fn resource() -> Resource {
    let resource = Resource::builder();
    let resource = match std::env::var_os("OTEL_SERVICE_NAME") {
        None => resource.with_service_name(env!("CARGO_BIN_NAME")),
        Some(_) => resource,
    };
    let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let process = opentelemetry::KeyValue::new("process.pid", i64::from(std::process::id()));
    resource.with_attributes([version, process]).build()
}

fn is_traced(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && [TARGET, observe::TARGET].contains(&metadata.target())
}

fn belongs(metadata: &Metadata<'_>, context: &Context<'_, Registry>) -> bool {
    is_traced(metadata) && (*metadata.level() <= Level::INFO || context.lookup_current().is_some())
}

/// The id of the trace that a span is in, if there is one.
pub(crate) fn trace_id(context: &OtelContext) -> Option<String> {
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| span.trace_id().to_string())
}
