//! The options of the HTTP API.

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroU32, time::Duration};

use ipnet::IpNet;

use crate::{
    auth::jwt::JwtSettings, connection::TlsFiles, download::DownloadMode,
    headers::origin::AllowedOrigin, limits::body_timeout::BodyTimeout, public_url::PublicUrl,
    roles::Roles,
};

/// The options of the HTTP API.
pub struct ApiOptions {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The certificate of the server and its key; without them connections are not encrypted.
    pub tls: Option<TlsFiles>,
    /// The number of threads that answer requests; one for each processor by default.
    pub threads: Option<usize>,
    /// The roles of this process; it answers 421 to operations of other roles.
    pub roles: Roles,
    /// Time limit for a request's header.
    pub header_timeout: Duration,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The origins whose pages may call the service (CORS).
    pub cors_origins: Vec<AllowedOrigin>,
    /// The URL at which clients reach the service, for the URLs in responses.
    pub public_url: Option<PublicUrl>,
    /// The internal location in which nginx has the objects, if nginx sends the bytes.
    pub accel_redirect: Option<String>,
    /// How the files of each store reach the clients that download them.
    pub downloads: BTreeMap<String, DownloadMode>,
    /// The accepted credentials.
    pub auth: AuthOptions,
    /// The limits of what clients may do.
    pub limits: LimitOptions,
}

/// The credentials that the service accepts; without any, every request is `anonymous`'s.
#[derive(Default)]
pub struct AuthOptions {
    /// Whether the service's own tokens are accepted.
    pub own_tokens: bool,
    /// The JWTs that are accepted.
    pub jwt: Option<JwtSettings>,
}

/// The limits of what clients may do.
pub struct LimitOptions {
    /// The number of requests that an owner may make in a second, if it is limited.
    pub requests_per_second: Option<NonZeroU32>,
    /// The number of uploads that this process receives at a time.
    pub uploads: usize,
    /// The number of uploads of one owner that this process receives at a time.
    pub uploads_per_owner: usize,
    /// The lowest rate of a request's body.
    pub body: BodyTimeout,
}
