//! The rate limit of each owner (draft-ietf-httpapi-ratelimit-headers).

use std::{num::NonZeroU32, time::Duration};

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use cache::{Redis, RedisRateLimiter};
use domain::Owner;
use governor::{
    Quota,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DashMapStateStore,
};

use crate::problem::{Problem, ProblemType};

pub(crate) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(crate) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

type LocalLimiter = governor::RateLimiter<
    Owner,
    DashMapStateStore<Owner>,
    DefaultClock,
    StateInformationMiddleware,
>;

/// Per-owner rate limit, shared by all replicas while Redis is reachable, local to the process otherwise.
pub(crate) struct RateLimiter {
    limiter: LocalLimiter,
    shared: Option<RedisRateLimiter>,
    per_second: NonZeroU32,
}

/// The outcome of counting one request.
pub(crate) struct RateLimitDecision {
    per_second: NonZeroU32,
    /// The number of further requests, or the time until the next one.
    left: Result<u32, Duration>,
}

impl RateLimiter {
    pub(crate) fn new(per_second: NonZeroU32, redis: Option<Redis>) -> Self {
        let limiter = governor::RateLimiter::dashmap(Quota::per_second(per_second));
        Self {
            limiter: limiter.with_middleware(),
            shared: redis.map(|redis| RedisRateLimiter::new(redis, per_second)),
            per_second,
        }
    }

    /// Forgets owners without recent requests.
    pub(crate) fn forget_idle(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }

    /// Counts a request of an owner.
    ///
    /// The local limit comes first: a request that exceeds it exceeds the shared limit as well. Its count
    /// also applies while Redis is unreachable.
    pub(crate) async fn take(&self, owner: &Owner) -> RateLimitDecision {
        let own = match self.limiter.check_key(owner) {
            Ok(state) => Ok(state.remaining_burst_capacity()),
            Err(refused) => Err(refused.wait_time_from(DefaultClock::default().now())),
        };
        let left = match &self.shared {
            Some(shared) if own.is_ok() => shared.check(owner).await.unwrap_or(own),
            _ => own,
        };
        RateLimitDecision {
            per_second: self.per_second,
            left,
        }
    }
}

impl RateLimitDecision {
    /// Refuses the request if it exceeds the limit.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        let Err(wait) = self.left else {
            return Ok(());
        };
        let most = self.per_second;
        let detail = format!("an owner may make {most} requests a second; wait before the next");
        // Whole seconds, rounded up.
        let seconds = HeaderValue::from(wait.as_secs() + 1);
        Err(Problem::new(ProblemType::RateLimited, detail)
            .with_header(header::RETRY_AFTER, seconds))
    }

    /// Adds the remaining number of requests to a response.
    pub(crate) fn add_fields(&self, headers: &mut HeaderMap) {
        let most = self.per_second;
        let (left, seconds) = match self.left {
            Ok(left) => (left, 1),
            Err(wait) => (0, wait.as_secs() + 1),
        };
        let policy = HeaderValue::try_from(format!("\"requests\";q={most};w=1"));
        let state = HeaderValue::try_from(format!("\"requests\";r={left};t={seconds}"));
        if let (Ok(policy), Ok(state)) = (policy, state) {
            headers.insert(RATE_LIMIT_POLICY, policy);
            headers.insert(RATE_LIMIT, state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn one_owners_haste_is_not_anothers() {
        let turnover = RateLimiter::new(NonZeroU32::new(3).unwrap(), None);
        let (alice, bob): (Owner, Owner) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        let mut turns = Vec::new();
        for _ in 0..4 {
            turns.push(turnover.take(&alice).await);
        }
        assert!(turns[2].check().is_ok());
        let refusal = turns[3].check().unwrap_err();
        assert_eq!(refusal.kind, ProblemType::RateLimited);
        assert!(turnover.take(&bob).await.check().is_ok());
        let mut headers = HeaderMap::new();
        turns[0].add_fields(&mut headers);
        assert_eq!(
            headers.get(RATE_LIMIT_POLICY).unwrap(),
            "\"requests\";q=3;w=1"
        );
        assert_eq!(headers.get(RATE_LIMIT).unwrap(), "\"requests\";r=2;t=1");
    }
}
