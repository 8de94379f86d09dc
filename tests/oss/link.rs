//! The link that the stand-in is reached by, if it is to be no faster than some.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// One way of a link, which all connections share.
pub(crate) struct Link {
    /// How long a byte takes; none if it takes no time.
    byte_takes: Option<Duration>,
    free_at: Mutex<Instant>,
}

impl Link {
    /// One that lets so many bytes through in a second; all of them at once, if that is not said.
    pub(crate) fn new(bytes_per_second: Option<u32>) -> Self {
        Self {
            byte_takes: bytes_per_second.map(|rate| Duration::from_secs(1) / rate.max(1)),
            free_at: Mutex::new(Instant::now()),
        }
    }

    /// Waits until so many bytes are through.
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
