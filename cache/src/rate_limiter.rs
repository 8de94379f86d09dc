//! A rate limit per owner, shared by all replicas.

use std::{num::NonZeroU32, time::Duration};

use domain::Owner;
use redis::Pipeline;

use crate::Redis;

/// The generic cell rate algorithm (GCRA). An owner's key holds the theoretical arrival time: the
/// moment at which the whole burst is available again. It is measured by Redis' clock, and is never
/// further ahead than one burst, even if that clock was set back. The script returns the number of
/// requests that could follow at once, or -1; and the time until the next one is allowed, in
/// microseconds.
const SCRIPT: &str = "
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local burst = 1000000
local each = burst / tonumber(ARGV[1])
local whole = tonumber(redis.call('GET', KEYS[1])) or now
whole = math.min(math.max(whole, now), now + burst) + each
local wait = whole - burst - now
if wait > 0.5 then
    return {-1, math.ceil(wait)}
end
redis.call('SET', KEYS[1], string.format('%.3f', whole), 'PX', math.ceil((whole - now) / 1000))
return {math.max(math.floor((burst + now - whole) / each + 0.01), 0), 0}
";

/// A limit of requests per owner and second, shared by all replicas. The burst has the same size.
#[derive(Clone)]
pub struct RedisRateLimiter {
    redis: Redis,
    per_second: NonZeroU32,
}

impl RedisRateLimiter {
    /// Creates a limiter that keeps its state in Redis.
    #[must_use]
    pub fn new(redis: Redis, per_second: NonZeroU32) -> Self {
        Self { redis, per_second }
    }

    /// Counts a request of an owner; `None` if Redis is unavailable.
    ///
    /// Returns the number of requests that could follow at once. For a request over the limit, the
    /// error is the time until the next one is allowed.
    pub async fn check(&self, owner: &Owner) -> Option<Result<u32, Duration>> {
        let mut commands = Pipeline::new();
        commands
            .cmd("EVAL")
            .arg(SCRIPT)
            .arg(1)
            .arg(self.redis.key("turnover", owner.as_str()))
            .arg(self.per_second.get());
        let ((left, wait),): ((i64, u64),) = self.redis.run(&commands).await?;
        Some(u32::try_from(left).map_err(|_| Duration::from_micros(wait)))
    }
}
