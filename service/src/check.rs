//! Checks that every row has its bytes, and that every object has a row.
//!
//! A check can run beside the service. It looks again at everything that seems wrong, in an order
//! in which nothing that is merely in progress seems wrong twice.

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
