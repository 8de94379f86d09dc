//! Purging, and removing what crashed processes left behind.
//!
//! One process at a time does this for the database and the buckets, under a lease. Every process does
//! it for its own disks, which other machines may not see.

use std::time::Duration;

use domain::ErrorChain;
use service::{FileService, LeaseName};
use tracing::Instrument as _;

/// Longest pause between two sweeps for remains of dead processes and for expired uploads.
const MAX_SWEEP_INTERVAL: Duration = Duration::from_mins(1);

/// Number of sweeps between two searches for uploads that only lack their completion, and for segments
/// without an upload.
const SWEEPS_PER_RECOVERY: u32 = 15;

/// Sweeps the database and the buckets, while this process holds the lease.
pub(crate) async fn cluster_loop(service: FileService) {
    let lease = service.lease(LeaseName::Housekeeping);
    loop {
        lease.acquired().await;
        lease.while_held(Box::pin(sweep_loop(&service))).await;
    }
}

/// Reads all contents, while this process holds the lease.
pub(crate) async fn scrub_loop(service: FileService, time: Duration) {
    let lease = service.lease(LeaseName::Scrubbing);
    loop {
        lease.acquired().await;
        lease.while_held(service.scrub_all(time)).await;
    }
}

/// Sweeps this machine's disks.
pub(crate) async fn disk_loop(service: FileService) {
    loop {
        recover(&service).await;
        for _ in 0..SWEEPS_PER_RECOVERY {
            tokio::time::sleep(interval(&service)).await;
            sweep_disks(&service).await;
        }
    }
}

async fn sweep_loop(service: &FileService) {
    sweep(service).await;
    loop {
        if !service.stores().has_disks() {
            recover(service).await;
        }
        let swept = match service.trusts_clock().await {
            Ok(true) => service.sweep_segments().await,
            trusted => trusted.map(drop),
        };
        if let Err(error) = swept {
            log_failure(&error);
        }
        for _ in 0..SWEEPS_PER_RECOVERY {
            tokio::time::sleep(interval(service)).await;
            sweep(service).await;
        }
    }
}

/// The pause between sweeps: a quarter of the shortest retention time, so that nothing stays much
/// longer than its time.
fn interval(service: &FileService) -> Duration {
    let limits = service.limits();
    let shortest = limits
        .upload_age
        .min(limits.purge_grace)
        .min(limits.deleted_age)
        .min(limits.visit_age)
        .min(limits.copy_grace)
        .min(limits.orphan_age);
    (shortest / 4).clamp(Duration::from_secs(1), MAX_SWEEP_INTERVAL)
}

async fn recover(service: &FileService) {
    if let Err(error) = service.recover_sessions().await {
        let error = ErrorChain(&error);
        tracing::warn!(%error, "could not recover all uploads, retrying later");
    }
}

/// Removes the remains of dead processes from this machine's disks, once, before the service starts.
///
/// A failure is logged; the worker sweeps again later.
pub async fn sweep_disks(service: &FileService) {
    if let Err(error) = service.sweep().await {
        log_failure(&error);
    }
}

async fn sweep(service: &FileService) {
    let span = tracing::info_span!(target: "trace", "sweep");
    sweep_all(service).instrument(span).await;
}

async fn sweep_all(service: &FileService) {
    let by_age = match service.trusts_clock().await {
        Ok(true) => [
            service.sweep_sessions().await,
            service.sweep_links().await,
            service.purge().await.map(drop),
            service.sweep_pending_deletions().await,
        ],
        trusted => [trusted.map(drop), Ok(()), Ok(()), Ok(())],
    };
    for error in by_age.into_iter().filter_map(Result::err) {
        log_failure(&error);
    }
}

fn log_failure(error: &service::Error) {
    tracing::warn!(error = %ErrorChain(error), "sweep failed, retrying later");
}
