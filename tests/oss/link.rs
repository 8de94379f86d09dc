//! A link with a limited bandwidth, over which the stand-in is reached.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// One direction of the link, which all connections share.
pub(crate) struct Link {
    /// The time for a byte; `None` if the link is unlimited.
    byte_takes: Option<Duration>,
    free_at: Mutex<Instant>,
}

impl Link {
    /// A link with this bandwidth, or an unlimited one.
    pub(crate) fn new(bytes_per_second: Option<u32>) -> Self {
        Self {
            byte_takes: bytes_per_second.map(|rate| Duration::from_secs(1) / rate.max(1)),
            free_at: Mutex::new(Instant::now()),
        }
    }

    /// Waits until this number of bytes has passed.
    pub(crate) async fn pass(&self, bytes: usize) {
        let Some(byte_takes) = self.byte_takes else {
            return;
        };
        let through = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            *free_at = (*free_at).max(Instant::now()) + byte_takes * bytes;
            *free_at
        };
        sleep_until(through).await;
    }
}
