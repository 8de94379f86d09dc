//! Repeating failed requests, and giving up.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use domain::Backoff;

use crate::{connection::Client, error::ClientError, observer::Notice};

/// Waits between attempts.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(250),
    longest: Duration::from_secs(8),
    tries: u32::MAX,
};

/// Time without progress after which a transfer fails.
const RETRY_TIMEOUT: Duration = Duration::from_mins(1);

/// The same timeout for a server that never answered, and may not exist.
const FIRST_CONTACT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest wait that the server's `Retry-After` can demand.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Repeats requests as long as there is progress.
#[derive(Default)]
pub(super) struct RetryPolicy {
    failed: u32,
    /// The first failure since the last progress.
    since: Option<Instant>,
}

impl RetryPolicy {
    /// Forgets earlier failures after progress.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    ///
    /// Returns the given error if it is permanent, or there was no progress for too long.
    pub(super) async fn wait_before_retry(
        &mut self,
        client: &Client,
        error: ClientError,
    ) -> Result<(), ClientError> {
        let was_reached = client.was_reached.load(Ordering::Relaxed);
        let timeout = if was_reached {
            RETRY_TIMEOUT
        } else {
            FIRST_CONTACT_TIMEOUT
        };
        let chance = getrandom::u32().unwrap_or(u32::MAX);
        let mut wait = self.wait(&error, Instant::now(), timeout, chance);
        if !was_reached && error.is_connection_refused() {
            // A wrong URL, or a server that was not started: waiting does not help.
            wait = None;
        }
        let Some(wait) = wait else {
            return Err(match error {
                ClientError::Connection(cause) if !was_reached => {
                    ClientError::NoServer(client.url().to_string(), cause)
                }
                error => error,
            });
        };
        if self.failed == 1 {
            client.observer.notice(Notice::Retrying(&error));
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn wait(
        &mut self,
        error: &ClientError,
        now: Instant,
        timeout: Duration,
        chance: u32,
    ) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        if !error.is_temporary() || now.duration_since(since) >= timeout {
            return None;
        }
        self.failed = self.failed.saturating_add(1);
        let retry_after = match error {
            ClientError::Refused(refusal) => refusal.retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        let wait = BACKOFF.wait(self.failed, chance)?;
        Some(wait.max(retry_after.min(MAX_RETRY_AFTER)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::refused;

    #[test]
    fn attempts_end_after_too_long_without_progress() {
        let (start, mut retry) = (Instant::now(), RetryPolicy::default());
        let mut wait = |after: u64| {
            let now = start + Duration::from_secs(after);
            retry.wait(&ClientError::Idle, now, RETRY_TIMEOUT, u32::MAX)
        };
        assert_eq!(wait(0), Some(BACKOFF.first));
        assert_eq!(wait(1), Some(BACKOFF.first * 2));
        assert!(wait(59).is_some());
        assert_eq!(wait(60), None);
        retry.reset();
        let later = start + Duration::from_hours(1);
        assert!(
            retry
                .wait(&ClientError::Idle, later, RETRY_TIMEOUT, 0)
                .is_some()
        );
    }

    #[test]
    fn the_server_may_ask_for_a_longer_wait_within_reason() {
        let wait = |error: &ClientError| {
            RetryPolicy::default().wait(error, Instant::now(), RETRY_TIMEOUT, u32::MAX)
        };
        let asked = |seconds| wait(&refused(429, "", Some(seconds)));
        assert_eq!(asked(0), Some(BACKOFF.first));
        assert_eq!(asked(20), Some(Duration::from_secs(20)));
        assert_eq!(asked(86400), Some(MAX_RETRY_AFTER));
        assert_eq!(wait(&refused(403, "", Some(1))), None);
    }
}
