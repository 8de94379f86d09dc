//! The client of a bucket: its timeouts, and how often it tries again.

use std::time::Duration;

use http::{Method, Request, Response, header::CONTENT_LENGTH};
use opendal::{
    Buffer, HttpBody, HttpTransport, HttpTransporter, Operator, Result,
    layers::{RetryLayer, TimeoutLayer},
    services::{Oss, S3},
};
use opendal_http_transport_reqwest::ReqwestTransport;

use super::{BucketKind, BucketOptions};

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How often a request that failed for a passing reason is made again.
const TRIES_AGAIN: usize = 3;

/// The shortest and the longest wait before that.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

pub(super) fn operator(options: &BucketOptions) -> Result<Operator> {
    let operator = match options.kind {
        BucketKind::S3 => Operator::new(s3(options))?,
        BucketKind::Oss => Operator::new(oss(options))?,
    };
    let transport = HttpTransporter::new(Telling(ReqwestTransport::new(client()?)));
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
                .with_max_times(TRIES_AGAIN)
                .with_min_delay(WAITS.0)
                .with_max_delay(WAITS.1),
        ))
}

/// Tells the length of a request's body even if there is none: Ceph copies nothing into a part for
/// those who do not (411).
struct Telling(ReqwestTransport);

impl HttpTransport for Telling {
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
        // What is not in the settings is not to be found elsewhere.
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
    // Another part of the process may have been first, with the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .pool_idle_timeout(Duration::from_secs(20))
        .no_proxy()
        .build()
        .map_err(|error| {
            opendal::Error::new(
                opendal::ErrorKind::Unexpected,
                "the HTTP client cannot be made",
            )
            .set_source(error)
        })
}
