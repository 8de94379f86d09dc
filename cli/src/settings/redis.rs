//! Settings of Redis.

use std::num::NonZeroU32;

use clap::Args;

use super::{parse, resolve};

/// Where Redis is, and what it is used for.
#[derive(Args, Clone)]
pub(crate) struct RedisSettings {
    /// The Redis that replicas share as a cache, and to count requests together: `redis://...` or
    /// `rediss://...`; unless given, each does for itself. On the command line it is `env:NAME` or
    /// `file:PATH`, if it has a password.
    #[arg(long, env = "FILESERVER_REDIS_URL", global = true, hide_env_values = true, hide_default_value = true, value_name = "URL", value_parser = resolve)]
    pub(crate) redis_url: Option<String>,

    /// What all keys in Redis begin with; services that share one have a prefix each.
    #[arg(long, env = "FILESERVER_REDIS_PREFIX", default_value = "fileserver", global = true, value_name = "NAME", value_parser = resolve)]
    pub(crate) redis_prefix: String,

    /// How many milliseconds an answer of Redis is waited for, before it is done without.
    #[arg(long, env = "FILESERVER_REDIS_TIMEOUT", default_value = "50", global = true, value_name = "MILLISECONDS", value_parser = parse::<NonZeroU32>)]
    pub(crate) redis_timeout: NonZeroU32,

    /// How many seconds at most the cache goes on to tell of a file what it was, if it could not be
    /// told that it was changed.
    #[arg(long, env = "FILESERVER_CACHE_AGE", default_value = "10", global = true, value_name = "SECONDS", value_parser = parse::<NonZeroU32>)]
    pub(crate) cache_age: NonZeroU32,
}
