//! What was tried, and what came of it.

use std::{
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// What an attempt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To read what is there.
    Read,
    /// To be told that something is not there, which nobody can say without a primary.
    Absence,
    Write,
}

struct Attempt {
    kind: Kind,
    ended: Instant,
    took: Duration,
    failure: Option<String>,
}

/// Something that was broken.
struct Fault {
    what: String,
    began: Instant,
    /// Since when all is as it was, but for those that have not noticed yet.
    mended: Option<Instant>,
    may_be_old: bool,
}

#[derive(Default)]
pub(crate) struct Journal {
    attempts: Mutex<Vec<Attempt>>,
    faults: Mutex<Vec<Fault>>,
    old: Mutex<usize>,
    ended: AtomicBool,
}

/// For how long something old may be read after what allows it: as long as the cache keeps what it
/// has, and some time to notice.
const OLD_FOR: Duration = Duration::from_secs(10 + 5);

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

    /// Notes that something breaks now; `may_be_old`, if what is read may be a little old then.
    pub(crate) fn begin_fault(&self, what: impl Into<String>, may_be_old: bool) {
        let fault = Fault {
            what: what.into(),
            began: Instant::now(),
            mended: None,
            may_be_old,
        };
        self.faults.lock().unwrap().push(fault);
    }

    /// Notes that what broke last is mended.
    pub(crate) fn end_fault(&self) {
        self.faults.lock().unwrap().last_mut().unwrap().mended = Some(Instant::now());
    }

    /// Whether what is read now may be old, by what the service promises.
    pub(crate) fn may_be_old(&self) -> bool {
        let faults = self.faults.lock().unwrap();
        let mut faults = faults.iter().filter(|fault| fault.may_be_old);
        faults.any(|fault| fault.mended.is_none_or(|mended| mended.elapsed() < OLD_FOR))
    }

    pub(crate) fn note_old(&self) {
        *self.old.lock().unwrap() += 1;
    }

    pub(crate) fn end_traffic(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Prints how often requests failed, by what was broken, and how long none succeeded.
    pub(crate) fn print(&self, files: usize) {
        let attempts = self.attempts.lock().unwrap();
        let faults = self.faults.lock().unwrap();
        println!(
            "{files} files are there and whole; {} reads were a little old",
            self.old.lock().unwrap()
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
            assert!(outcome.attempts > 100, "there was hardly any traffic");
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

/// What came of the attempts of a time.
struct Outcome {
    attempts: usize,
    failed: usize,
    /// The longest time in which none succeeded.
    silence: Duration,
    slowest: Duration,
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
