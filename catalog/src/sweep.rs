//! Removing what uploads left behind that did not come to their end.

use std::{collections::HashMap, time::Duration};

use domain::Sha1;
use persistence::{Database, Shard, StoredContent};
use storage::{Abandoned, Pending, Placed};

use crate::{Catalog, Result};

/// How long to leave an object alone whose process is gone, and whose row a database server may
/// still be about to commit.
const COMMIT_GRACE: Duration = Duration::from_mins(1);

impl Catalog {
    /// Removes the bytes that processes which are gone had not committed a row for.
    ///
    /// What may still be committed stays until a later sweep.
    ///
    /// # Errors
    ///
    /// When the store or the database fails; what is unclear then stays as it is.
    pub async fn sweep(&self) -> Result<()> {
        for mut folder in self.0.store.abandoned().await? {
            let swept = self.sweep_folder(&mut folder).await;
            folder.close().await?;
            swept?;
        }
        Ok(())
    }

    async fn sweep_folder(&self, folder: &mut Abandoned) -> Result<()> {
        let mut by_shard: HashMap<Shard, Vec<Pending>> = HashMap::new();
        for pending in &folder.pending {
            let shard = Shard::of(&pending.sha1);
            by_shard.entry(shard).or_default().push(pending.clone());
        }
        let grace = grace(&self.0.database);
        for (shard, pending) in by_shard {
            let sha1s: Vec<Sha1> = pending.iter().map(|pending| pending.sha1).collect();
            let contents = self.0.database.contents();
            let rows = contents.find_many(shard, &sha1s).await?;
            let available = contents.find_available(shard, &sha1s).await?;
            for pending in pending {
                let is_at = |row: &StoredContent| row.address == pending.address;
                let mut committed = available.iter().any(is_at);
                if !committed && rows.iter().any(is_at) {
                    // It is being withdrawn; the mark stays until it is gone or taken back.
                    continue;
                }
                if !committed && pending.age < grace {
                    continue;
                }
                if !committed {
                    let database = &self.0.database;
                    committed = database
                        .is_recorded(&pending.sha1, &pending.address)
                        .await?;
                }
                tracing::info!(address = %pending.address, committed, "swept");
                folder.settle(&pending, committed).await?;
            }
        }
        Ok(())
    }
}

/// Finds out, in the background, whether a row was committed, and keeps or removes its bytes.
///
/// If the process ends before, the bytes are still marked, and the next sweep does the same.
pub(crate) fn settle_later(database: Database, placed: Placed, sha1: Sha1) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(grace(&database).max(Duration::from_secs(1))).await;
            match database.is_recorded(&sha1, &placed.address()).await {
                Ok(true) => return placed.keep().await,
                Ok(false) => {
                    if let Err(error) = placed.discard().await {
                        tracing::warn!(%error, "superfluous bytes stay until the next start");
                    }
                    return;
                }
                Err(error) => tracing::debug!(%error, "asking again for the outcome of a commit"),
            }
        }
    });
}

fn grace(database: &Database) -> Duration {
    if database.commits_outlive_clients() {
        COMMIT_GRACE
    } else {
        Duration::ZERO
    }
}
