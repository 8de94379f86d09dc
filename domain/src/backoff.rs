//! Waits between retries.

use std::time::Duration;

/// A schedule of waits that double up to a bound, for a limited number of attempts.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The longest wait before the second attempt.
    pub first: Duration,
    /// The longest wait before any attempt.
    pub longest: Duration,
    /// The total number of attempts.
    pub tries: u32,
}

impl Backoff {
    /// The wait after `failed` attempts, or `None` if that was the last one.
    ///
    /// `chance`, from the full range of `u32`, selects a wait between zero and the schedule's
    /// bound, so that callers that collided once do not collide again ("full jitter").
    #[must_use]
    pub fn wait(&self, failed: u32, chance: u32) -> Option<Duration> {
        if failed >= self.tries {
            return None;
        }
        let doubled = 1_u32
            .checked_shl(failed.saturating_sub(1))
            .unwrap_or(u32::MAX);
        let bound = self.first.saturating_mul(doubled).min(self.longest);
        Some(bound.mul_f64(f64::from(chance) / f64::from(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Backoff = Backoff {
        first: Duration::from_millis(10),
        longest: Duration::from_millis(35),
        tries: 4,
    };

    #[test]
    fn waits_double_up_to_the_bound() {
        let waits: Vec<_> = (1..=4)
            .map(|failed| SCHEDULE.wait(failed, u32::MAX))
            .collect();
        let milliseconds = |n| Some(Duration::from_millis(n));
        assert_eq!(
            waits,
            [milliseconds(10), milliseconds(20), milliseconds(35), None]
        );
    }

    #[test]
    fn chance_selects_a_wait_within_the_bound() {
        assert_eq!(SCHEDULE.wait(1, 0), Some(Duration::ZERO));
        let half = SCHEDULE.wait(2, u32::MAX / 2).unwrap();
        assert!(half > Duration::from_millis(9) && half < Duration::from_millis(11));
    }
}
