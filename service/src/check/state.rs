//! State.

use domain::{Address, Timestamp};
use persistence::StoredContent;
use storage::Store;

use super::{
    bucket_index::BucketIndex,
    finding::Finding,
    report::{CheckOptions, CheckProgress, Summary},
};
use crate::{FileService, Result};

/// How many rows are looked at together.
pub(super) const BATCH: usize = 500;

pub(super) struct Check<'a> {
    pub(super) service: &'a FileService,
    pub(super) options: CheckOptions,
    pub(super) progress: &'a mut dyn CheckProgress,
    pub(super) summary: Summary,
    pub(super) index: BucketIndex,
    pub(super) before: Timestamp,
    /// Whether everything that rows point at is in a store that is known by its name.
    pub(super) may_remove: bool,
    pub(super) steps: Steps,
}

/// How far a check is.
pub(super) struct Steps {
    pub(super) done: u64,
    pub(super) all: u64,
}

impl Check<'_> {
    pub(super) fn step(&mut self) {
        self.steps.done += 1;
        self.progress
            .steps(self.steps.done, self.steps.all, &self.summary);
    }

    pub(super) fn found(&mut self, finding: &Finding) {
        self.summary.findings += 1;
        self.progress.found(finding);
    }

    /// Tells of something, unless the row that it is about has changed since.
    pub(super) async fn confirm(
        &mut self,
        row: &StoredContent,
        finding: Option<Finding>,
    ) -> Result<()> {
        if matches!(finding, Some(Finding::UnknownStore { .. })) {
            // What nobody seems to need may be what is looked for under another name.
            self.may_remove = false;
        }
        if let Some(finding) = finding
            && self.service.is_current(row).await?
        {
            self.found(&finding);
        }
        Ok(())
    }

    /// Tells of an object that was left behind, or removes it.
    pub(super) async fn orphaned(&mut self, store: &Store, address: Address) -> Result<()> {
        if self.options.remove_orphans && self.may_remove {
            store.remove(&address.key).await?;
            self.summary.removed += 1;
        } else {
            let address = address.to_string();
            self.found(&Finding::Orphan { address });
        }
        Ok(())
    }
}
