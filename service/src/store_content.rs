//! Stores a content: makes its bytes durable, then records it with its owner's entry.

use domain::{Address, FileName, MediaType, Owner, Quota, RandomId, Sha1};
use persistence::{
    Arrival, CopyTo, Entry, Error as DatabaseError, Novelty, Recording, StoredContent,
};
use storage::{Placed, Received};

use crate::{Error, FileService, Result};

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
    pub novelty: Novelty,
    /// True if the service already had the content.
    pub deduplicated: bool,
}

impl Stored {
    /// A file that its owner already had.
    #[must_use]
    pub fn known(entry: Entry) -> Self {
        Self {
            entry,
            novelty: Novelty::Known,
            deduplicated: true,
        }
    }
}

impl FileService {
    /// Stores the content for its owner.
    pub(crate) async fn store_content(
        &self,
        new_entry: &NewEntry<'_>,
        received: Received,
    ) -> Result<Stored> {
        let content = received.content;
        let database = &self.0.database;
        let mut arrival = Arrival {
            owner: new_entry.owner,
            file_name: new_entry.file_name,
            content_type: new_entry.content_type,
            content: &content,
            address: None,
            lost: None,
            session: new_entry.session,
            quota: new_entry.quota,
            is_expected: false,
            copy_to: None,
            leftover_grace: self.0.limits.copy_grace,
            at: self.0.clock.now(),
        };
        // A lookup before the lock saves a transaction for new contents; a check of the bytes lets
        // an upload restore lost ones.
        let known = database.contents().find_to_change(&content.sha1).await?;
        let is_there = match &known {
            Some(known) => self.has_bytes(known).await?,
            None => false,
        };
        if is_there {
            match self.record(&arrival).await? {
                Recording::Done { entry, novelty, .. } => {
                    return Ok(Stored {
                        entry: *entry,
                        novelty,
                        deduplicated: true,
                    });
                }
                Recording::Collision => return Err(Error::Collision(content.sha1)),
                Recording::SessionOver => return Err(Error::SessionOver),
                Recording::BytesNeeded => {}
            }
        }
        let (address, is_expected) = received.address();
        if is_expected {
            self.schedule_deletion(&content.sha1, &address).await?;
        }
        let placed = received.place().await?;
        arrival.address = Some(&address);
        arrival.is_expected = is_expected;
        arrival.copy_to = self.0.stores.policy().map(|policy| CopyTo {
            store: &policy.to,
            keeps_source: policy.keeps_source,
        });
        arrival.lost = known
            .as_ref()
            .map(|known| &known.address)
            .filter(|_| !is_there);
        let recorded = self.record(&arrival).await;
        self.keep_or_discard(placed, recorded, &arrival).await
    }

    /// Returns whether a content's row is unchanged.
    pub(crate) async fn is_current(&self, known: &StoredContent) -> Result<bool> {
        let contents = self.0.database.contents();
        let found = contents.find(&known.content.sha1).await?;
        Ok(found.as_ref() == Some(known))
    }

    /// Returns whether a content's bytes exist in a store, with the right size.
    async fn has_bytes(&self, known: &StoredContent) -> Result<bool> {
        let mut failed = None;
        for address in known.copies() {
            let size = match self.0.stores.of(address) {
                Ok(store) => store.size(&address.key).await,
                Err(error) => Err(error),
            };
            match size {
                Ok(size) if size == Some(known.content.size) => return Ok(true),
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        if self.is_current(known).await? {
            tracing::error!(address = %known.address, "the bytes of a content are missing");
        }
        Ok(false)
    }

    /// Keeps the bytes if the content's row points at them, and removes them otherwise.
    async fn keep_or_discard(
        &self,
        placed: Placed,
        recorded: persistence::Result<Recording>,
        arrival: &Arrival<'_>,
    ) -> Result<Stored> {
        let (sha1, is_expected) = (arrival.content.sha1, arrival.is_expected);
        let refusal = match recorded {
            Ok(Recording::Done {
                entry,
                novelty,
                address,
            }) => {
                let deduplicated = address != placed.address();
                if deduplicated {
                    self.discard(placed, &sha1, is_expected).await;
                } else {
                    placed.keep().await;
                }
                return Ok(Stored {
                    entry: *entry,
                    novelty,
                    deduplicated,
                });
            }
            Ok(Recording::Collision) => Error::Collision(sha1),
            Ok(Recording::SessionOver) => Error::SessionOver,
            Ok(Recording::BytesNeeded) => Error::Contended,
            Err(error @ DatabaseError::CommitUnknown(_)) => {
                self.resolve_commit_later(placed, sha1);
                return Err(error.into());
            }
            Err(error) => error.into(),
        };
        self.discard(placed, &sha1, is_expected).await;
        Err(refusal)
    }

    /// Removes bytes that no row points at; bytes that cannot be removed now are found by a later
    /// sweep.
    pub(crate) async fn discard(&self, placed: Placed, sha1: &Sha1, is_expected: bool) {
        let address = placed.address();
        let removed = async {
            placed.discard().await?;
            if is_expected {
                self.0.database.leftovers().forget(sha1, &address).await?;
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
            .leftovers()
            .expect(sha1, address, due)
            .await?)
    }
}
