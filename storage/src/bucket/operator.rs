//! The HTTP client of a bucket: timeouts and retries.

use std::time::Duration;

use http::{Method, Request, Response, header::CONTENT_LENGTH};
use opendal::{
    Buffer, HttpBody, HttpTransport, HttpTransporter, Operator, Result,
    layers::{RetryLayer, TimeoutLayer},
    services::{Oss, S3},
};
use opendal_http_transport_reqwest::ReqwestTransport;

use super::options::{BucketKind, BucketOptions};

/// Time to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum number of retries of a request that failed for a temporary reason.
const MAX_RETRIES: usize = 3;

/// The shortest and the longest delay before a retry.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

pub(super) fn build(options: &BucketOptions) -> Result<Operator> {
    let operator = match options.kind {
        BucketKind::S3 => Operator::new(s3(options))?,
        BucketKind::Oss => Operator::new(oss(options))?,
    };
    let transport = HttpTransporter::new(WithContentLength(ReqwestTransport::new(client()?)));
    let context = operator.context().with_http_transport(transport);
    Ok(operator
        .with_context(context)
        .layer(
            TimeoutLayer::new()
                .with_timeout(options.timeout)
                .with_io_timeout(options.timeout),
        )
        .layer(
            RetryLayer::new()
                .with_jitter()
                .with_max_times(MAX_RETRIES)
                .with_min_delay(RETRY_DELAYS.0)
                .with_max_delay(RETRY_DELAYS.1),
        ))
}

/// Sends `Content-Length` with an empty body too: without it Ceph refuses to copy an object into a
/// part (411).
struct WithContentLength(ReqwestTransport);

impl HttpTransport for WithContentLength {
    async fn fetch(&self, mut request: Request<Buffer>) -> Result<Response<HttpBody>> {
        if request.method() == Method::PUT && request.body().is_empty() {
            request.headers_mut().insert(CONTENT_LENGTH, 0.into());
        }
        self.0.fetch(request).await
    }
}

fn s3(options: &BucketOptions) -> S3 {
    let builder = S3::default()
        .root(&options.prefix)
        .endpoint(&options.endpoint)
        .bucket(&options.bucket)
        .region(&options.region)
        .access_key_id(&options.access_key_id)
        .secret_access_key(options.secret.reveal())
        // All settings come from the options, none from the environment.
        .disable_config_load()
        .disable_ec2_metadata();
    if options.virtual_host {
        builder.enable_virtual_host_style()
    } else {
        builder
    }
}

fn oss(options: &BucketOptions) -> Oss {
    let style = if options.virtual_host {
        "virtual"
    } else {
        "path"
    };
    Oss::default()
        .root(&options.prefix)
        .endpoint(&options.endpoint)
        .bucket(&options.bucket)
        .addressing_style(style)
        .presign_endpoint(&options.endpoint)
        .presign_addressing_style(style)
        .access_key_id(&options.access_key_id)
        .access_key_secret(options.secret.reveal())
}

fn client() -> Result<reqwest::Client> {
    // Another part of the process may have installed the same provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .pool_idle_timeout(Duration::from_secs(20))
        .no_proxy()
        .build()
        .map_err(|error| {
            opendal::Error::new(
                opendal::ErrorKind::Unexpected,
                "could not create the HTTP client",
            )
            .set_source(error)
        })
}
