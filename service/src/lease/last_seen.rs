//! Detection of a lease whose holder sends no heartbeats.

use std::time::{Duration, Instant};

/// Time without a new heartbeat after which a lease can be taken over.
const TAKEOVER_AFTER: Duration = Duration::from_secs(4);

/// The last state seen of a lease that another process holds, and when it was first seen.
#[derive(Default)]
pub(super) struct LastSeen(Option<(persistence::Lease, Instant)>);

impl LastSeen {
    /// Returns whether the lease in state `found` can be taken over. `began` is the time before the
    /// query.
    pub(super) fn can_take_over(
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

    fn held_lease(holder: &str, heartbeat: i64) -> persistence::Lease {
        persistence::Lease {
            holder: Some(holder.to_owned()),
            heartbeat,
        }
    }

    #[test]
    fn a_lease_can_be_taken_over_when_its_heartbeat_stays_the_same() {
        let mut last_seen = LastSeen::default();
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        assert!(!last_seen.can_take_over(Some(&held_lease("a", 1)), "b", start));
        assert!(!last_seen.can_take_over(Some(&held_lease("a", 1)), "b", later(3)));
        // Each new heartbeat, and each new holder, starts the time again.
        assert!(!last_seen.can_take_over(Some(&held_lease("a", 2)), "b", later(9)));
        assert!(!last_seen.can_take_over(Some(&held_lease("c", 2)), "b", later(9)));
        assert!(!last_seen.can_take_over(Some(&held_lease("c", 2)), "b", start));
        assert!(last_seen.can_take_over(Some(&held_lease("c", 2)), "b", later(9)));
    }

    #[test]
    fn a_free_lease_can_be_taken_at_once() {
        let now = Instant::now();
        let free = persistence::Lease {
            holder: None,
            heartbeat: 7,
        };
        assert!(LastSeen::default().can_take_over(None, "b", now));
        assert!(LastSeen::default().can_take_over(Some(&free), "b", now));
        // This process holds the lease already: it took it, and the response was lost.
        assert!(LastSeen::default().can_take_over(Some(&held_lease("b", 1)), "b", now));
    }
}
