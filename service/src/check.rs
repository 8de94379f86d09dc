//! Check.

mod bucket_index;
mod buckets;
mod contents;
mod disks;
mod finding;
mod references;
mod report;
mod run;
mod state;

pub use finding::Finding;
pub use report::{CheckOptions, CheckProgress, Summary};
