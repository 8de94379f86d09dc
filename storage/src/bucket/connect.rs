//! The client of a bucket: its timeouts, and how often it tries again.

use std::time::Duration;

use opendal::{
    HttpTransporter, Operator, Result,
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
    let transport = HttpTransporter::new(ReqwestTransport::new(client()?));
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
