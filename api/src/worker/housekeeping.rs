//! Removing what was left behind, and what nobody has any more.
//!
//! What the database and the buckets have is looked after by one process at a time; what lies on
//! disks by each that has them, since they may be another machine's.

use std::time::Duration;

use catalog::{Catalog, Duty};
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
pub(super) async fn keep_house(catalog: Catalog) {
    let lease = catalog.lease(Duty::Housekeeping);
    loop {
        lease.held().await;
        lease.while_held(Box::pin(keep_sweeping(&catalog))).await;
    }
}

/// Looks from time to time after this machine's disks, which no other may see.
pub(super) async fn keep_disks(catalog: Catalog) {
    loop {
        recover(&catalog).await;
        for _ in 0..SWEEPS_TO_RECOVER {
            tokio::time::sleep(interval(&catalog)).await;
            sweep_disks(&catalog).await;
        }
    }
}

async fn keep_sweeping(catalog: &Catalog) {
    sweep(catalog).await;
    loop {
        if !catalog.stores().has_disks() {
            recover(catalog).await;
        }
        if let Err(error) = catalog.sweep_segments().await {
            tell(&error);
        }
        for _ in 0..SWEEPS_TO_RECOVER {
            tokio::time::sleep(interval(catalog)).await;
            sweep(catalog).await;
        }
    }
}

/// How long to wait between sweeps: what is kept for a time goes not much later.
fn interval(catalog: &Catalog) -> Duration {
    let limits = catalog.limits();
    let shortest = limits
        .upload_age
        .min(limits.purge_grace)
        .min(limits.deleted_age)
        .min(limits.copy_grace)
        .min(limits.orphan_age);
    (shortest / 4).clamp(Duration::from_secs(1), SWEEP_EVERY)
}

async fn recover(catalog: &Catalog) {
    if let Err(error) = catalog.recover_sessions().await {
        let error = Causes(&error);
        tracing::warn!(%error, "not all uploads could be looked after; it is done again later");
    }
}

/// Looks at what was left behind on disks before anybody is served, which no other machine holds up.
pub(crate) async fn sweep_disks(catalog: &Catalog) {
    if let Err(error) = catalog.sweep().await {
        tell(&error);
    }
}

/// What cannot be told yet about what was left behind is looked at again later.
async fn sweep(catalog: &Catalog) {
    let span = tracing::info_span!(target: "trace", "sweep");
    sweep_all(catalog).instrument(span).await;
}

async fn sweep_all(catalog: &Catalog) {
    let swept = [
        catalog.sweep_sessions().await,
        catalog.sweep_links().await,
        catalog.purge().await.map(drop),
        catalog.sweep_leftovers().await,
    ];
    for error in swept.into_iter().filter_map(Result::err) {
        tell(&error);
    }
}

fn tell(error: &catalog::Error) {
    tracing::warn!(error = %Causes(error), "sweeping failed, and is done again later");
}
