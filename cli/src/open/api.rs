//! The options of the HTTP API, from the settings.

use std::time::Duration;

use anyhow::Result;
use api::{ApiOptions, AuthOptions, BodyTimeout, LimitOptions};

use crate::settings::Settings;

/// Turns settings into the options of the HTTP API.
pub(crate) fn api_options(settings: &Settings) -> Result<ApiOptions> {
    let access = &settings.access;
    Ok(ApiOptions {
        listen: settings.listen,
        tls: settings.tls()?,
        threads: settings.workers.map(|threads| threads.get() as usize),
        roles: settings.roles.roles(),
        header_timeout: Duration::from_secs(access.header_timeout.get().into()),
        trusted_proxies: access.trusted_proxies.clone(),
        cors_origins: settings.cors_origins()?,
        public_url: settings.public_url.clone(),
        accel_redirect: settings.accel_redirect.clone(),
        downloads: settings.stores.downloads()?,
        auth: AuthOptions {
            own_tokens: access.accepts_own_tokens(),
            jwt: access.jwt()?,
        },
        limits: LimitOptions {
            requests_per_second: access.requests_per_second,
            uploads: access.concurrent_uploads.get() as usize,
            uploads_per_owner: access.concurrent_uploads_per_owner.get() as usize,
            body: BodyTimeout {
                first: Duration::from_secs(access.header_timeout.get().into()),
                idle: Duration::from_secs(access.body_idle_timeout.get().into()),
                bytes_per_second: access.body_min_rate.get(),
            },
        },
    })
}
