//! The broker that carries the ids of copy jobs from those who write them to the workers.
//!
//! The database is the truth, and a message is only a nudge to look at it: one that is lost or
//! comes twice does no harm. Nothing here waits for ever on a broker that is down or hangs, and
//! nothing that is shown or logged has its password.
//!
//! Everything lives under one prefix: the direct exchange `<prefix>` puts jobs into the quorum
//! queue `<prefix>.copies`. What a worker rejects, what nobody can read and what was delivered
//! too often goes by the fanout exchange `<prefix>.dead` into the quorum queue `<prefix>.dead`,
//! and stays there until somebody looks at it.

mod broker;
mod dead;
mod deliveries;
mod error;
mod link;
mod message;
mod network;
mod options;
mod schedule;
mod topology;
mod trace;

pub use broker::{Broker, Depth};
pub use dead::DeadMessage;
pub use deliveries::{Deliveries, Delivery};
pub use error::{Error, Result};
pub use options::Options;
