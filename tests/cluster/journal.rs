//! The requests that were sent, their outcomes, and what was broken at the time.

use std::{
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::staleness::{CACHE_AGE, Change, LostTombstones};

/// The purpose of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To read a file that exists.
    Read,
    /// To learn that a file does not exist, which only the primary can answer.
    Absence,
    Write,
}

struct Attempt {
    kind: Kind,
    ended: Instant,
    took: Duration,
    failure: Option<String>,
}

/// The outdated answers that a fault allows readers to see after an acknowledged change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Staleness {
    /// Nothing.
    None,
    /// Entries that the cache has, until their age is over.
    CachedEntries,
    /// Everything: there is no primary, and a replica that lags behind is read.
    AllReads,
}

/// A part of the cluster that was broken.
struct Fault {
    what: String,
    began: Instant,
    /// When the part was repaired. Processes may notice it a little later.
    repaired: Option<Instant>,
    staleness: Staleness,
}

#[derive(Default)]
pub(crate) struct Journal {
    attempts: Mutex<Vec<Attempt>>,
    faults: Mutex<Vec<Fault>>,
    pub(crate) lost_tombstones: LostTombstones,
    stale_reads: Mutex<usize>,
    ended: AtomicBool,
}

/// How long a primary's fault may be seen after its repair: as long as the cache keeps what was read
/// from a replica meanwhile, and some time for all processes to notice the new primary.
const PRIMARY_SEEN_FOR: Duration = CACHE_AGE.saturating_add(Duration::from_secs(5));

impl Journal {
    pub(crate) fn note(&self, kind: Kind, began: Instant, failure: Option<String>) {
        let attempt = Attempt {
            kind,
            ended: Instant::now(),
            took: began.elapsed(),
            failure,
        };
        self.attempts.lock().unwrap().push(attempt);
    }

    /// Notes that something breaks now, and what readers may see because of it.
    pub(crate) fn begin_fault(&self, what: impl Into<String>, staleness: Staleness) {
        let fault = Fault {
            what: what.into(),
            began: Instant::now(),
            repaired: None,
            staleness,
        };
        self.faults.lock().unwrap().push(fault);
    }

    /// Notes that the last fault is repaired.
    pub(crate) fn end_fault(&self) {
        self.faults.lock().unwrap().last_mut().unwrap().repaired = Some(Instant::now());
    }

    /// Returns whether the service allows that a request, sent at a moment, is answered as if the
    /// last change of what it reads had not been made.
    ///
    /// Without a primary, every read may be stale. Otherwise only an entry may be, and only within
    /// the cache's age after its change was acknowledged, and only if the change's tombstone may
    /// be missing: the service counted that it could not place it, the process that made the change
    /// was killed, or Redis was.
    pub(crate) async fn may_be_stale(&self, change: Option<Change>, sent: Instant) -> bool {
        let earliest = sent.checked_sub(PRIMARY_SEEN_FOR).unwrap_or(sent);
        if self.had_fault(Staleness::AllReads, earliest, sent) {
            return true;
        }
        let Some(change) = change.filter(|change| change.may_be_cached_as_before(sent)) else {
            return false;
        };
        self.had_fault(Staleness::CachedEntries, change.began, sent)
            || self.lost_tombstones.may_include(change).await
    }

    /// Returns whether a fault of this kind lasted at any moment of a period.
    fn had_fault(&self, staleness: Staleness, from: Instant, to: Instant) -> bool {
        let faults = self.faults.lock().unwrap();
        let mut faults = faults.iter();
        faults.any(|fault| fault.staleness == staleness && fault.lasted_in(from, to))
    }

    pub(crate) fn note_stale_read(&self) {
        *self.stale_reads.lock().unwrap() += 1;
    }

    pub(crate) fn end_traffic(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Prints for each fault how many requests failed, and the longest time without a success.
    pub(crate) fn print(&self, files: usize) {
        let attempts = self.attempts.lock().unwrap();
        let faults = self.faults.lock().unwrap();
        println!(
            "{files} files are there and intact; {} reads were stale; {} tombstones were lost",
            self.stale_reads.lock().unwrap(),
            self.lost_tombstones.count(),
        );
        println!(
            "{:<38} {:>34} {:>34}",
            "", "reads: failed, longest without", "writes: failed, longest without"
        );
        let ends = faults.iter().skip(1).map(|fault| fault.began);
        let last = attempts.iter().map(|attempt| attempt.ended).max().unwrap();
        for (fault, end) in faults.iter().zip(ends.chain([last])) {
            let [reads, writes] = [Kind::Read, Kind::Write]
                .map(|kind| Outcome::of(&attempts, kind, fault.began, end).to_string());
            println!("{:<38} {reads:>34} {writes:>34}", fault.what);
        }
        let begin = attempts.iter().map(|attempt| attempt.ended).min().unwrap();
        for kind in [Kind::Read, Kind::Write] {
            let outcome = Outcome::of(&attempts, kind, begin, last);
            println!("all {kind:?}s: {outcome}");
            assert!(
                outcome.attempts > 100,
                "there was hardly any traffic: {outcome}"
            );
        }
        let mut causes: Vec<(String, usize)> = Vec::new();
        for failure in attempts
            .iter()
            .filter_map(|attempt| attempt.failure.as_ref())
        {
            match causes.iter_mut().find(|(cause, _)| cause == failure) {
                Some((_, count)) => *count += 1,
                None => causes.push((failure.clone(), 1)),
            }
        }
        println!("failures: {causes:?}");
    }
}

/// The outcome of the attempts in a period.
struct Outcome {
    attempts: usize,
    failed: usize,
    /// The longest time without a success.
    silence: Duration,
    slowest: Duration,
}

impl Fault {
    fn lasted_in(&self, from: Instant, to: Instant) -> bool {
        self.began <= to && self.repaired.is_none_or(|repaired| repaired >= from)
    }
}

impl Outcome {
    fn of(attempts: &[Attempt], kind: Kind, begin: Instant, end: Instant) -> Self {
        let mut outcome = Self {
            attempts: 0,
            failed: 0,
            silence: Duration::ZERO,
            slowest: Duration::ZERO,
        };
        let mut succeeded = begin;
        let is_of = |attempt: &&Attempt| {
            attempt.kind == kind && attempt.ended >= begin && attempt.ended <= end
        };
        for attempt in attempts.iter().filter(is_of) {
            outcome.attempts += 1;
            outcome.slowest = outcome.slowest.max(attempt.took);
            if attempt.failure.is_some() {
                outcome.failed += 1;
            } else {
                let silence = attempt.ended.saturating_duration_since(succeeded);
                outcome.silence = outcome.silence.max(silence);
                succeeded = attempt.ended;
            }
        }
        outcome
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thousandths = 1000 * self.failed / self.attempts.max(1);
        let text = format!(
            "{} of {} ({}.{} %), {:.1} s",
            self.failed,
            self.attempts,
            thousandths / 10,
            thousandths % 10,
            self.silence.as_secs_f64()
        );
        formatter.pad(&text)
    }
}
