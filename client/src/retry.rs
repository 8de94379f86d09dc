//! When to try again, and when to give up.

use std::time::{Duration, Instant};

use domain::Backoff;

use super::{connection::Client, error::Trouble};
use domain::ErrorChain;

/// How long to wait before the next try.
const SCHEDULE: Backoff = Backoff {
    first: Duration::from_millis(250),
    longest: Duration::from_secs(8),
    tries: u32::MAX,
};

/// How long all tries may fail before they are given up.
const PATIENCE: Duration = Duration::from_mins(1);

/// The same when the server was never heard from, and may not be there at all.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);

/// However long the server asks to wait, it is not longer than this.
const LONGEST_ASKED: Duration = Duration::from_secs(30);

/// Bears with a server as long as it gets on.
#[derive(Default)]
pub(super) struct Patience {
    failed: u32,
    /// When the first failure was since anything succeeded.
    since: Option<Instant>,
}

impl Patience {
    /// Forgets all failures, since there is progress.
    pub(super) fn renew(&mut self) {
        *self = Self::default();
    }

    /// Waits before the next try.
    ///
    /// # Errors
    ///
    /// The trouble, if it does not pass, or lasted too long.
    pub(super) async fn bear(&mut self, client: &Client, trouble: Trouble) -> Result<(), Trouble> {
        let patience = if client.heard.get() {
            PATIENCE
        } else {
            FIRST_PATIENCE
        };
        let chance = getrandom::u32().unwrap_or(u32::MAX);
        let Some(wait) = self.wait(&trouble, Instant::now(), patience, chance) else {
            return Err(trouble);
        };
        if self.failed == 1 {
            client.note(&format!("{}; trying again", ErrorChain(&trouble)));
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn wait(
        &mut self,
        trouble: &Trouble,
        now: Instant,
        patience: Duration,
        chance: u32,
    ) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        if !trouble.may_pass() || now.duration_since(since) >= patience {
            return None;
        }
        self.failed = self.failed.saturating_add(1);
        let asked = match trouble {
            Trouble::Refused(refusal) => refusal.retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        let wait = SCHEDULE.wait(self.failed, chance)?;
        Some(wait.max(asked.min(LONGEST_ASKED)))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::error::refused, *};

    #[test]
    fn tries_end_when_nothing_went_on_for_too_long() {
        let (start, mut patience) = (Instant::now(), Patience::default());
        let mut wait = |after: u64| {
            let now = start + Duration::from_secs(after);
            patience.wait(&Trouble::Idle, now, PATIENCE, u32::MAX)
        };
        assert_eq!(wait(0), Some(SCHEDULE.first));
        assert_eq!(wait(1), Some(SCHEDULE.first * 2));
        assert!(wait(59).is_some());
        assert_eq!(wait(60), None);
        patience.renew();
        let later = start + Duration::from_hours(1);
        assert!(patience.wait(&Trouble::Idle, later, PATIENCE, 0).is_some());
    }

    #[test]
    fn the_server_may_ask_for_a_longer_wait_within_reason() {
        let wait = |trouble: &Trouble| {
            Patience::default().wait(trouble, Instant::now(), PATIENCE, u32::MAX)
        };
        let asked = |seconds| wait(&refused(429, "", Some(seconds)));
        assert_eq!(asked(0), Some(SCHEDULE.first));
        assert_eq!(asked(20), Some(Duration::from_secs(20)));
        assert_eq!(asked(86400), Some(LONGEST_ASKED));
        assert_eq!(wait(&refused(403, "", Some(1))), None);
    }
}
