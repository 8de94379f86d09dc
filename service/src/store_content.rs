//! Stores a content: makes its bytes durable, then records it with its owner's entry.

use domain::{
    Address, Entry, EntryOutcome, FileName, MediaType, Owner, Quota, RandomId, Sha1, StoredContent,
};
use persistence::{CopyTarget, Error as DatabaseError, RecordOutcome, UploadRecord};
use storage::{StagedObject, UncommittedObject};

use crate::{Disclosure, Error, FileService, Result, damage::Trusted};

/// The owner's entry to create for a content.
pub(crate) struct NewEntry<'a> {
    pub(crate) owner: &'a Owner,
    pub(crate) file_name: &'a FileName,
    pub(crate) content_type: &'a MediaType,
    /// The resumable upload that this completes.
    pub(crate) session: Option<RandomId>,
    /// The default quota; `None` if the owner had no limit when the upload began.
    pub(crate) quota: Option<Quota>,
}

/// A stored file.
#[derive(Debug)]
pub struct Stored {
    /// The owner's entry.
    pub entry: Entry,
    /// State of the entry before the upload.
    pub outcome: EntryOutcome,
    /// True if the service already had the content.
    pub deduplicated: bool,
}

impl Stored {
    /// A file that its owner already had.
    #[must_use]
    pub fn known(entry: Entry) -> Self {
        Self {
            entry,
            outcome: EntryOutcome::Existing,
            deduplicated: true,
        }
    }
}

impl FileService {
    /// Stores the content for its owner.
    pub(crate) async fn store_content(
        &self,
        new_entry: &NewEntry<'_>,
        mut received: StagedObject,
    ) -> Result<Stored> {
        let content = received.content;
        let checksums = received.checksums.take();
        let database = &self.0.database;
        let mut record = UploadRecord {
            owner: new_entry.owner,
            file_name: new_entry.file_name,
            content_type: new_entry.content_type,
            content: &content,
            checksums: checksums.as_ref(),
            address: None,
            lost: None,
            session: new_entry.session,
            quota: new_entry.quota,
            is_scheduled: false,
            copy_to: None,
            deletion_grace: self.0.limits.copy_grace,
            at: self.0.clock.now(),
        };
        // A lookup before the lock saves a transaction for new contents; reading the bytes lets an
        // upload restore lost and damaged ones.
        let known = database.contents().find_for_update(&content.sha1).await?;
        let is_there = match &known {
            Some(known) => self.has_bytes(known, Trusted::None).await?,
            None => false,
        };
        if is_there
            && self
                .may_skip_writing(new_entry.owner, &content.sha1)
                .await?
        {
            match self.record(&record).await? {
                RecordOutcome::Recorded { entry, outcome, .. } => {
                    return Ok(Stored {
                        entry: *entry,
                        outcome,
                        deduplicated: true,
                    });
                }
                RecordOutcome::Collision => return Err(Error::Collision(content.sha1)),
                RecordOutcome::SessionClosed => return Err(Error::SessionOver),
                RecordOutcome::ContentMissing => {}
            }
        }
        let (address, is_scheduled) = received.address();
        if is_scheduled {
            self.schedule_deletion(&content.sha1, &address).await?;
        }
        let placed = received.persist().await?;
        record.address = Some(&address);
        record.is_scheduled = is_scheduled;
        record.copy_to = self.0.stores.policy().map(|policy| CopyTarget {
            store: &policy.to,
            keeps_source: policy.keeps_source,
        });
        record.lost = known
            .as_ref()
            .map(|known| &known.address)
            .filter(|_| !is_there);
        let recorded = self.record(&record).await;
        self.keep_or_discard(placed, recorded, &record).await
    }

    /// Returns whether a known content need not be written: the time that it saves tells the owner that
    /// another owner has the content.
    async fn may_skip_writing(&self, owner: &Owner, sha1: &Sha1) -> Result<bool> {
        match self.0.limits.disclosure {
            Disclosure::All => Ok(true),
            Disclosure::Owner | Disclosure::Off => self.has_entry(owner, sha1).await,
        }
    }

    /// Returns whether an owner has a file, or deleted it a short time ago.
    pub(crate) async fn has_entry(&self, owner: &Owner, sha1: &Sha1) -> Result<bool> {
        let entries = self.0.database.entries();
        Ok(entries.find(owner, sha1).await?.is_some())
    }

    /// Returns whether a content's row is unchanged.
    pub(crate) async fn is_current(&self, known: &StoredContent) -> Result<bool> {
        let contents = self.0.database.contents();
        let found = contents.find(&known.content.sha1).await?;
        Ok(found.as_ref() == Some(known))
    }

    /// Returns whether a content's bytes are whole in a store.
    pub(crate) async fn has_bytes(&self, known: &StoredContent, trusted: Trusted) -> Result<bool> {
        let mut failed = None;
        for address in known.copies() {
            match self.is_whole(known, address, trusted).await {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        if self.is_current(known).await? {
            tracing::error!(address = %known.address, "the bytes of a content are missing or damaged, an upload replaces them");
        }
        Ok(false)
    }

    /// Keeps the bytes if the content's row points at them, and removes them otherwise.
    async fn keep_or_discard(
        &self,
        placed: UncommittedObject,
        recorded: persistence::Result<RecordOutcome>,
        record: &UploadRecord<'_>,
    ) -> Result<Stored> {
        let (sha1, is_scheduled) = (record.content.sha1, record.is_scheduled);
        let refusal = match recorded {
            Ok(RecordOutcome::Recorded {
                entry,
                outcome,
                address,
            }) => {
                let deduplicated = address != placed.address();
                if deduplicated {
                    self.discard(placed, &sha1, is_scheduled).await;
                } else {
                    placed.commit().await;
                    if record.lost.is_some() {
                        self.0.addresses.forget(&sha1);
                    }
                    if record.checksums.is_none() {
                        self.compute_checksums_later(sha1);
                    }
                }
                return Ok(Stored {
                    entry: *entry,
                    outcome,
                    deduplicated,
                });
            }
            Ok(RecordOutcome::Collision) => Error::Collision(sha1),
            Ok(RecordOutcome::SessionClosed) => Error::SessionOver,
            Ok(RecordOutcome::ContentMissing) => Error::Contended,
            Err(error @ DatabaseError::CommitUnknown(_)) => {
                self.resolve_commit_later(placed, sha1);
                return Err(error.into());
            }
            Err(error) => error.into(),
        };
        self.discard(placed, &sha1, is_scheduled).await;
        Err(refusal)
    }

    /// Removes bytes that no row points at; bytes that cannot be removed now are found by a later
    /// sweep.
    pub(crate) async fn discard(&self, placed: UncommittedObject, sha1: &Sha1, is_scheduled: bool) {
        let address = placed.address();
        let removed = async {
            placed.discard().await?;
            if is_scheduled {
                self.0
                    .database
                    .pending_deletions()
                    .cancel(sha1, &address)
                    .await?;
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = removed.await {
            tracing::warn!(%address, %error, "could not remove the unused object, retrying later");
        }
    }

    /// Schedules the deletion of an object before it exists; it stays if a row points at it by
    /// then.
    pub(crate) async fn schedule_deletion(&self, sha1: &Sha1, address: &Address) -> Result<()> {
        let due = self.0.clock.now().after(self.0.limits.upload_grace());
        Ok(self
            .0
            .database
            .pending_deletions()
            .schedule(sha1, address, due)
            .await?)
    }
}
