//! Redis: what was read a moment ago, and what replicas count together.
//!
//! Nothing is kept here that cannot be done without. No call fails: one that Redis does not answer
//! in time gives nothing, and Redis is then left alone for a moment, so that one that is dead, hangs
//! or is slow costs next to nothing. Nothing shows the password.

mod counts;
mod entries;
mod link;
mod network;
mod options;
mod turnover;

pub use counts::Counts;
pub use entries::{Found, Gap, HotEntries};
pub use link::Redis;
pub use options::{Options, Unusable};
pub use turnover::SharedTurnover;
