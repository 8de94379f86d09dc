//! Last seen.

use std::time::{Duration, Instant};

/// After how long without a sign of life a lease is taken over.
const TAKEOVER_AFTER: Duration = Duration::from_secs(4);

/// What was last seen of a lease that somebody else holds, and since when it was the same.
#[derive(Default)]
pub(super) struct LastSeen(Option<(persistence::Lease, Instant)>);

impl LastSeen {
    /// Whether a lease can be taken that was found as it is by a look that began at a time.
    pub(super) fn is_over(
        &mut self,
        found: Option<&persistence::Lease>,
        own: &str,
        began: Instant,
    ) -> bool {
        let Some(found) = found else {
            return true;
        };
        if found.holder.as_deref().is_none_or(|holder| holder == own) {
            return true;
        }
        match &self.0 {
            Some((before, since)) if before == found => {
                began.saturating_duration_since(*since) >= TAKEOVER_AFTER
            }
            _ => {
                self.0 = Some((found.clone(), Instant::now()));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(holder: &str, beat: i64) -> persistence::Lease {
        persistence::Lease {
            holder: Some(holder.to_owned()),
            beat,
        }
    }

    #[test]
    fn a_lease_is_over_when_its_beat_was_the_same_for_long() {
        let mut last_seen = LastSeen::default();
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        assert!(!last_seen.is_over(Some(&beat("a", 1)), "b", start));
        assert!(!last_seen.is_over(Some(&beat("a", 1)), "b", later(3)));
        // Each beat, and each other holder, counts from when it was seen first.
        assert!(!last_seen.is_over(Some(&beat("a", 2)), "b", later(9)));
        assert!(!last_seen.is_over(Some(&beat("c", 2)), "b", later(9)));
        assert!(!last_seen.is_over(Some(&beat("c", 2)), "b", start));
        assert!(last_seen.is_over(Some(&beat("c", 2)), "b", later(9)));
    }

    #[test]
    fn what_nobody_holds_is_taken_at_once() {
        let now = Instant::now();
        let free = persistence::Lease {
            holder: None,
            beat: 7,
        };
        assert!(LastSeen::default().is_over(None, "b", now));
        assert!(LastSeen::default().is_over(Some(&free), "b", now));
        // An answer that was lost: it was taken.
        assert!(LastSeen::default().is_over(Some(&beat("b", 1)), "b", now));
    }
}
