//! Traces of requests and copies, sent to an OpenTelemetry collector.
//!
//! Every crate creates spans with the target [`TARGET`], which the log does not show. A span of the
//! level `INFO` starts a trace. Other spans only continue one, so polling loops create no traces.

mod exporter;

use std::collections::HashMap;

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
use reqwest::Url;
use tracing::{Level, Metadata, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{Layer, Registry, filter::dynamic_filter_fn, layer::Context};

pub use self::exporter::{SpanCounts, SpanExportTask};

/// The target of spans that exist for traces only.
pub const TARGET: &str = "trace";

/// The target of the spans of HTTP requests, which both the log and traces use.
pub const REQUEST_TARGET: &str = "fileserver_api::request";

/// The subscriber layer that turns spans into traces.
pub type TraceLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// The collector that receives traces.
#[derive(Debug, Clone)]
pub struct TraceOptions {
    /// The URL that takes traces by OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`.
    pub url: Url,
    /// Header fields of each request to the collector.
    pub headers: HashMap<String, String>,
    /// The share of new traces that is recorded, from 0 to 1.
    pub sample_ratio: f64,
}

/// The exporter to the collector could not be built.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The HTTP client could not be built.
    #[error("could not build the HTTP client for the trace collector")]
    Client(#[from] reqwest::Error),
    /// The exporter refused its configuration.
    #[error("could not build the trace exporter")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Starts the export of traces, and returns the layer that collects them.
///
/// # Errors
///
/// If the exporter cannot be built from the options.
pub fn start(options: TraceOptions) -> Result<(TraceLayer, SpanExportTask), TraceError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(exporter::http_client(&options.url)?)
        .with_endpoint(options.url.as_str())
        .with_headers(options.headers)
        .with_timeout(exporter::EXPORT_TIMEOUT)
        .build()?;
    let resource = resource();
    let (task, processor) = SpanExportTask::start(exporter, &resource);
    let sampled = Sampler::TraceIdRatioBased(options.sample_ratio);
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Sampler::ParentBased(Box::new(sampled)))
        .with_span_processor(processor)
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
    Ok((layer.with_filter(filter).boxed(), task))
}

/// The attributes of this process; the environment variables `OTEL_RESOURCE_ATTRIBUTES` and
/// `OTEL_SERVICE_NAME` take precedence.
fn resource() -> Resource {
    let resource = Resource::builder();
    let resource = match std::env::var_os("OTEL_SERVICE_NAME") {
        None => resource.with_service_name("fileserver"),
        Some(_) => resource,
    };
    let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let process = opentelemetry::KeyValue::new("process.pid", i64::from(std::process::id()));
    resource.with_attributes([version, process]).build()
}

fn is_traced(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && [TARGET, REQUEST_TARGET].contains(&metadata.target())
}

fn belongs(metadata: &Metadata<'_>, context: &Context<'_, Registry>) -> bool {
    is_traced(metadata) && (*metadata.level() <= Level::INFO || context.lookup_current().is_some())
}

/// Returns the id of the trace that a context belongs to.
#[must_use]
pub fn trace_id(context: &OtelContext) -> Option<String> {
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| span.trace_id().to_string())
}
