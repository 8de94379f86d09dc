//! Removing what was left behind, and what nobody has any more.

use std::time::Duration;

use catalog::Catalog;
use tokio::sync::watch;

use super::pause;
use crate::problem::Causes;

/// How often to look, at least, for what processes left behind that are gone, and for uploads that
/// are over.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// After how many sweeps to look for uploads that only have to be completed, and for parts of
/// uploads that nobody knows of.
const SWEEPS_TO_RECOVER: u32 = 15;

/// Sweeps from time to time.
pub(crate) async fn keep_house(catalog: Catalog, stopped: watch::Receiver<bool>) {
    // What is kept for a time goes not much later.
    let limits = catalog.limits();
    let shortest = limits
        .upload_age
        .min(limits.purge_grace)
        .min(limits.deleted_age)
        .min(limits.copy_grace)
        .min(limits.orphan_age);
    let every = (shortest / 4).clamp(Duration::from_secs(1), SWEEP_EVERY);
    sweep(&catalog).await;
    while !*stopped.borrow() {
        let recovered = [
            catalog.recover_sessions().await,
            catalog.sweep_segments().await,
        ];
        for error in recovered.into_iter().filter_map(Result::err) {
            let error = Causes(&error);
            tracing::warn!(%error, "not all uploads could be looked after; it is done again later");
        }
        for _ in 0..SWEEPS_TO_RECOVER {
            pause(&stopped, every).await;
            if *stopped.borrow() {
                return;
            }
            sweep(&catalog).await;
        }
    }
}

/// Looks at what was left behind on disks before anybody is served, which no other machine holds up.
pub(crate) async fn sweep_disks(catalog: &Catalog) {
    if let Err(error) = catalog.sweep().await {
        tracing::warn!(error = %Causes(&error), "sweeping failed, and is done again later");
    }
}

/// What cannot be told yet about what was left behind is looked at again later.
async fn sweep(catalog: &Catalog) {
    let swept = [
        catalog.sweep().await,
        catalog.sweep_sessions().await,
        catalog.sweep_links().await,
        catalog.purge().await.map(drop),
        catalog.sweep_leftovers().await,
    ];
    for swept in swept {
        if let Err(error) = swept {
            tracing::warn!(error = %Causes(&error), "sweeping failed, and is done again later");
        }
    }
}
