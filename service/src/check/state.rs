//! State of a running check.

use domain::{Address, StoredContent, Timestamp};
use storage::Store;

use super::{
    bucket_index::BucketIndex,
    finding::Finding,
    report::{CheckOptions, CheckProgress, Summary},
};
use crate::{FileService, Result};

/// Number of rows per query.
pub(super) const BATCH: usize = 500;

pub(super) struct Check<'a> {
    pub(super) service: &'a FileService,
    pub(super) options: CheckOptions,
    pub(super) progress: &'a mut dyn CheckProgress,
    pub(super) summary: Summary,
    pub(super) index: BucketIndex,
    pub(super) before: Timestamp,
    /// True while every copy is in a configured store.
    pub(super) may_remove: bool,
    pub(super) steps: Steps,
}

/// Progress of a check.
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

    /// Reports a finding unless its row has changed in the meantime.
    pub(super) async fn confirm(
        &mut self,
        row: &StoredContent,
        finding: Option<Finding>,
    ) -> Result<()> {
        if matches!(finding, Some(Finding::UnknownStore { .. })) {
            // An object that looks like an orphan may be a copy in this store under another name.
            self.may_remove = false;
        }
        if let Some(finding) = finding
            && self.service.is_current(row).await?
        {
            self.found(&finding);
        }
        Ok(())
    }

    /// Reports an orphan, or removes it.
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
