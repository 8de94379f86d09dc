//! Settings of Redis.

use std::num::NonZeroU32;

use clap::Args;

use super::{
    quantity::{milliseconds, seconds},
    value::resolve,
};

/// The connection to Redis, and the cache in it.
#[derive(Args, Clone)]
pub(crate) struct RedisSettings {
    /// The URL of the Redis that replicas share as a cache and for rate limits: `redis://...` or
    /// `rediss://...`. Default: none, replicas have no cache, and count requests separately. On the
    /// command line, write a URL with a password as `env:NAME` or `file:PATH`.
    #[arg(long, env = "FILESERVER_REDIS_URL", global = true, hide_env_values = true, hide_default_value = true, value_name = "URL", value_parser = resolve)]
    pub(crate) redis_url: Option<String>,

    /// The prefix of all keys in Redis; services that share one need different prefixes.
    #[arg(long, env = "FILESERVER_REDIS_PREFIX", default_value = "fileserver", global = true, value_name = "NAME", value_parser = resolve)]
    pub(crate) redis_prefix: String,

    /// Timeout of a Redis operation, in milliseconds; after it the service continues without Redis.
    #[arg(long, env = "FILESERVER_REDIS_TIMEOUT", default_value = "50", global = true, value_name = "MILLISECONDS", value_parser = milliseconds::<NonZeroU32>)]
    pub(crate) redis_timeout: NonZeroU32,

    /// The longest time, in seconds, that the cache serves outdated metadata of a file whose change did
    /// not reach it.
    #[arg(long, env = "FILESERVER_CACHE_AGE", default_value = "10", global = true, value_name = "SECONDS", value_parser = seconds::<NonZeroU32>)]
    pub(crate) cache_age: NonZeroU32,
}
