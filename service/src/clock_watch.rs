//! Notices that the system's clock leapt, so that nothing is removed for its age by mistake.

use std::time::{Duration, Instant};

use domain::Timestamp;

use crate::{FileService, Result, boxed};

/// The largest difference between the clock and the time that has passed, which is no leap.
const TOLERANCE: Duration = Duration::from_mins(5);

/// The longest time without a new file after which a start trusts the clock at once.
const USUAL_PAUSE: Duration = Duration::from_hours(24);

/// Time for which a clock must run evenly after a leap before it is trusted.
const TRIAL: Duration = Duration::from_hours(1);

/// Compares the system's clock with the monotonic one.
#[derive(Debug, Default)]
pub(crate) struct ClockWatch {
    last: Option<(Timestamp, Instant)>,
    distrusted_until: Option<Instant>,
}

/// The verdict about the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Trusted,
    /// It leapt a moment ago, by as many seconds.
    Leapt(u64),
    /// It leapt within the last hour.
    OnTrial,
}

impl ClockWatch {
    /// Judges the clock; `newest` is the time of the newest row at the first call, if there is one.
    fn judge(&mut self, now: Timestamp, at: Instant, newest: Option<Timestamp>) -> Verdict {
        let leap = if let Some((before, since)) = self.last.replace((now, at)) {
            let expected = before.after(at.saturating_duration_since(since));
            let leap = now.distance(expected);
            (leap > TOLERANCE).then_some(leap)
        } else {
            let pause = newest.map(|newest| now.distance(newest));
            pause.filter(|pause| *pause > USUAL_PAUSE)
        };
        if let Some(leap) = leap {
            self.distrusted_until = Some(at + TRIAL);
            return Verdict::Leapt(leap.as_secs());
        }
        match self.distrusted_until {
            Some(until) if at < until => Verdict::OnTrial,
            _ => Verdict::Trusted,
        }
    }

    fn is_new(&self) -> bool {
        self.last.is_none()
    }
}

impl FileService {
    /// Returns whether the clock can be trusted to say what is old enough to be removed.
    ///
    /// It cannot for an hour after it leapt, or after a start more than a day after the newest file
    /// was added: then the clock may be wrong, or the service was idle.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn trusts_clock(&self) -> Result<bool> {
        let is_new = self.0.clock_watch.lock().is_new();
        let newest = if is_new {
            self.0.database.entries().find_newest_time().await?
        } else {
            None
        };
        let (now, at) = (self.0.clock.now(), Instant::now());
        let verdict = self.0.clock_watch.lock().judge(now, at, newest);
        if let Verdict::Leapt(seconds) = verdict {
            tracing::warn!(
                seconds,
                "the clock leapt, or nothing was added for a long time; nothing is removed for its age \
                 within the next hour"
            );
        }
        Ok(verdict == Verdict::Trusted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn a_clock_that_leaps_is_on_trial_for_an_hour() {
        let (start, began) = (
            Timestamp::from_microseconds(1_700_000_000_000_000),
            Instant::now(),
        );
        for leap in [40 * DAY, TOLERANCE + Duration::from_secs(1)] {
            let mut watch = ClockWatch::default();
            let minute = |number: u64| Duration::from_secs(60 * number);
            assert_eq!(watch.judge(start, began, None), Verdict::Trusted);
            let mut at = |wall: Duration, passed: Duration| {
                watch.judge(start.after(wall), began + passed, None)
            };
            assert_eq!(at(minute(1), minute(1)), Verdict::Trusted);
            let leapt = at(leap + minute(2), minute(2));
            assert_eq!(leapt, Verdict::Leapt(leap.as_secs()));
            assert_eq!(at(leap + minute(3), minute(3)), Verdict::OnTrial);
            assert_eq!(
                at(minute(4), minute(4)),
                Verdict::Leapt(leap.as_secs()),
                "back"
            );
            assert_eq!(at(minute(63), minute(63)), Verdict::OnTrial);
            assert_eq!(at(minute(64), minute(64)), Verdict::Trusted);
        }
    }

    #[test]
    fn a_start_long_after_the_newest_row_is_on_trial() {
        let (now, began) = (
            Timestamp::from_microseconds(1_700_000_000_000_000),
            Instant::now(),
        );
        let judge = |newest| ClockWatch::default().judge(now, began, newest);
        assert_eq!(judge(None), Verdict::Trusted);
        assert_eq!(judge(Some(now.before(DAY))), Verdict::Trusted);
        assert_eq!(
            judge(Some(now.before(40 * DAY))),
            Verdict::Leapt(40 * 86_400)
        );
        assert_eq!(
            judge(Some(now.after(2 * DAY))),
            Verdict::Leapt(2 * 86_400),
            "in the past"
        );
    }
}
