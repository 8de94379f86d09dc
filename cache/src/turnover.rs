//! How many requests an owner makes of all replicas together.

use std::{num::NonZeroU32, time::Duration};

use domain::Owner;
use redis::Pipeline;

use crate::Redis;

/// The generic cell rate algorithm: an owner's key has the moment at which all that it has used is
/// there again. It goes by Redis' clock, and is never further ahead than the whole burst, even if
/// that clock was set back. Gives how many requests could follow at once, or -1; and how long to
/// wait for the next, in microseconds.
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

/// So many requests of an owner in a second, and as many at once, of all replicas together.
#[derive(Clone)]
pub struct SharedTurnover {
    redis: Redis,
    per_second: NonZeroU32,
}

impl SharedTurnover {
    /// The count that is kept in Redis.
    #[must_use]
    pub fn new(redis: Redis, per_second: NonZeroU32) -> Self {
        Self { redis, per_second }
    }

    /// Counts a request of an owner; `None` if Redis is away.
    ///
    /// Gives how many could follow at once; or how long to wait for the next, if it is one too many.
    pub async fn take(&self, owner: &Owner) -> Option<Result<u32, Duration>> {
        let mut count = Pipeline::new();
        count
            .cmd("EVAL")
            .arg(SCRIPT)
            .arg(1)
            .arg(self.redis.key("turnover", owner.as_str()))
            .arg(self.per_second.get());
        let ((left, wait),): ((i64, u64),) = self.redis.run(&count).await?;
        Some(u32::try_from(left).map_err(|_| Duration::from_micros(wait)))
    }
}
