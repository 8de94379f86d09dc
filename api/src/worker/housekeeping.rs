//! Removing what was left behind, and what nobody has any more.
//!
//! What the database and the buckets have is looked after by one process at a time; what lies on
//! disks by each that has them, since they may be another machine's.

use std::time::Duration;

use service::{Duty, FileService};
use tracing::Instrument as _;

use crate::problem::Causes;

/// How often to look, at least, for what processes left behind that are gone, and for uploads that
/// are over.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// After how many sweeps to look for uploads that only have to be completed, and for parts of
/// uploads that nobody knows of.
const SWEEPS_TO_RECOVER: u32 = 15;

/// Does for the whole cluster what is to be done from time to time, whenever it is this process's
/// turn.
pub(super) async fn keep_house(service: FileService) {
    let lease = service.lease(Duty::Housekeeping);
    loop {
        lease.held().await;
        lease.while_held(Box::pin(keep_sweeping(&service))).await;
    }
}

/// Looks from time to time after this machine's disks, which no other may see.
pub(super) async fn keep_disks(service: FileService) {
    loop {
        recover(&service).await;
        for _ in 0..SWEEPS_TO_RECOVER {
            tokio::time::sleep(interval(&service)).await;
            sweep_disks(&service).await;
        }
    }
}

async fn keep_sweeping(service: &FileService) {
    sweep(service).await;
    loop {
        if !service.stores().has_disks() {
            recover(service).await;
        }
        if let Err(error) = service.sweep_segments().await {
            tell(&error);
        }
        for _ in 0..SWEEPS_TO_RECOVER {
            tokio::time::sleep(interval(service)).await;
            sweep(service).await;
        }
    }
}

/// How long to wait between sweeps: what is kept for a time goes not much later.
fn interval(service: &FileService) -> Duration {
    let limits = service.limits();
    let shortest = limits
        .upload_age
        .min(limits.purge_grace)
        .min(limits.deleted_age)
        .min(limits.copy_grace)
        .min(limits.orphan_age);
    (shortest / 4).clamp(Duration::from_secs(1), SWEEP_EVERY)
}

async fn recover(service: &FileService) {
    if let Err(error) = service.recover_sessions().await {
        let error = Causes(&error);
        tracing::warn!(%error, "not all uploads could be looked after; it is done again later");
    }
}

/// Looks at what was left behind on disks before anybody is served, which no other machine holds up.
pub(crate) async fn sweep_disks(service: &FileService) {
    if let Err(error) = service.sweep().await {
        tell(&error);
    }
}

/// What cannot be told yet about what was left behind is looked at again later.
async fn sweep(service: &FileService) {
    let span = tracing::info_span!(target: "trace", "sweep");
    sweep_all(service).instrument(span).await;
}

async fn sweep_all(service: &FileService) {
    let swept = [
        service.sweep_sessions().await,
        service.sweep_links().await,
        service.purge().await.map(drop),
        service.sweep_leftovers().await,
    ];
    for error in swept.into_iter().filter_map(Result::err) {
        tell(&error);
    }
}

fn tell(error: &service::Error) {
    tracing::warn!(error = %Causes(error), "sweeping failed, and is done again later");
}
