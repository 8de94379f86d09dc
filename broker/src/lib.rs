//! Announces copy jobs to the workers by RabbitMQ: a message carries the id of a job.
//!
//! The database is authoritative, and a message only tells a worker to look at it: a lost or
//! duplicate message does no harm. Every operation ends in bounded time, even if the broker is down
//! or hangs. No output or log line contains the password.
//!
//! All names share one prefix. The direct exchange `<prefix>` routes jobs to the quorum queue
//! `<prefix>.copies`. Messages that a worker rejects, that cannot be read or that exceed the
//! delivery limit are dead letters: the fanout exchange `<prefix>.dead` routes them to the quorum
//! queue `<prefix>.dead`, where they stay until an administrator requeues or purges them.

mod backoff;
mod broker;
mod connection;
mod dead_letters;
mod deliveries;
mod error;
mod message;
mod network;
mod options;
mod topology;
mod trace;

pub use broker::{Broker, QueueDepth};
pub use dead_letters::DeadLetter;
pub use deliveries::{Deliveries, Delivery};
pub use error::{Error, Result};
pub use options::Options;
