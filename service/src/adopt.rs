//! Hands the files of one owner to another.

use domain::{Owner, Sha1};
use persistence::AdoptedFile;
use tracing::Instrument as _;

use crate::{Error, FileService, Result};

/// Number of files that are handed over in a transaction.
const BATCH: u64 = 100;

impl FileService {
    /// Hands the next files of `from` to `to`, with the links to them: those after a content, in the
    /// order of their SHA-1s. Returns an empty list at the end. With `dry_run` nothing changes.
    ///
    /// Each call is a transaction of its own. After an interruption, what is left is still with `from`.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn adopt(
        &self,
        from: &Owner,
        to: &Owner,
        after: Option<Sha1>,
        dry_run: bool,
    ) -> Result<Vec<AdoptedFile>> {
        let (service, from, to) = (self.clone(), from.clone(), to.clone());
        // The work continues if the caller stops, so that the cache is invalidated.
        let work = async move {
            let (database, at) = (&service.0.database, service.0.clock.now());
            let adopted = database
                .adopt((&from, &to), after.as_ref(), BATCH, at, dry_run)
                .await?;
            if !dry_run {
                for file in &adopted {
                    service.invalidate(&from, &file.sha1).await;
                    service.invalidate(&to, &file.sha1).await;
                }
            }
            Ok(adopted)
        };
        let work = tokio::spawn(work.in_current_span()).await;
        work.unwrap_or_else(|stopped| {
            tracing::error!(%stopped, "the adoption task failed");
            Err(Error::Interrupted)
        })
    }
}
