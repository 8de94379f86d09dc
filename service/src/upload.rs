//! Taking a file in.
//!
//! The bytes arrive and are identified; if the service has the content already, they are dropped;
//! if not, they are made safe and only then recorded, with the owner's entry. From the last byte
//! on the work goes on even if the client does not wait for it.

use domain::{
    Address, Content, FileName, MediaType, Owner, Quota, QuotaError, RandomId, Sha1, Sha256,
    UploadError,
};
use persistence::{
    Arrival, CopyTo, Entry, Error as DatabaseError, Novelty, Recording, StoredContent,
};
use storage::{Incoming, Placed, Received};
use tracing::Instrument as _;

use crate::{Error, FileService, Result, room::Room};

/// What a client says that its content is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// The content's SHA-1.
    pub sha1: Option<Sha1>,
    /// The content's SHA-256.
    pub sha256: Option<Sha256>,
    /// How many bytes the content has.
    pub size: Option<u64>,
}

impl Expected {
    pub(crate) fn verify(&self, content: &Content) -> Result<()> {
        if let Some(known) = self.size.filter(|size| *size != content.size) {
            let given = content.size;
            return Err(UploadError::Length { known, given }.into());
        }
        match (self.sha1, self.sha256) {
            (Some(expected), _) if expected != content.sha1 => Err(Error::WrongSha1 {
                expected,
                found: content.sha1,
            }),
            (_, Some(expected)) if expected != content.sha256 => Err(Error::WrongSha256 {
                expected,
                found: content.sha256,
            }),
            _ => Ok(()),
        }
    }
}

/// A file that is being uploaded; dropping it leaves nothing behind.
pub struct Upload {
    service: FileService,
    owner: Owner,
    incoming: Incoming,
    received: u64,
    /// Held until the upload has come to its end.
    room: Option<Room>,
    /// How many bytes an upload may have for which there is no room, since its owner has the file.
    known: Option<(u64, QuotaError)>,
}

/// Whose a content becomes, and as what.
pub(crate) struct Filing<'a> {
    pub(crate) owner: &'a Owner,
    pub(crate) file_name: &'a FileName,
    pub(crate) content_type: &'a MediaType,
    /// The session that this completes.
    pub(crate) session: Option<RandomId>,
    /// What everybody may have, unless the owner was found to have no limit when this began.
    pub(crate) quota: Option<Quota>,
}

/// A file that was uploaded.
#[derive(Debug)]
pub struct Stored {
    /// The owner's entry.
    pub entry: Entry,
    /// What the entry was before.
    pub novelty: Novelty,
    /// Whether the service had the content already.
    pub deduplicated: bool,
}

impl Stored {
    /// A file that its owner had before.
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
    /// Begins an upload whose bytes come in one go, so many as far as that is known.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaFull`] when its owner has no room for it, unless the file is said to be one
    /// that the owner has; or when the database fails.
    pub async fn upload(
        &self,
        owner: &Owner,
        expected: &Expected,
        bytes: Option<u64>,
    ) -> Result<Upload> {
        let mut known = None;
        let room = match self.hold_upload(owner, bytes.unwrap_or_default()).await {
            Err(Error::QuotaFull(full)) => {
                let size = self.find_counted(owner, expected).await?;
                known = Some((size.ok_or(full)?, full));
                None
            }
            room => room?,
        };
        Ok(Upload {
            service: self.clone(),
            owner: owner.clone(),
            incoming: self.0.stores.primary().receive(),
            received: 0,
            room,
            known,
        })
    }

    /// How many bytes the file has that an upload is said to bring, if its owner is counted to have
    /// it: it is there, or can be restored.
    async fn find_counted(&self, owner: &Owner, expected: &Expected) -> Result<Option<u64>> {
        let Some(sha1) = expected.sha1 else {
            return Ok(None);
        };
        let entries = self.0.database.entries();
        let entry = entries.find_to_change(owner, &sha1).await?;
        Ok(entry.map(|entry| entry.meta.file_size))
    }
}

impl Upload {
    /// Takes in the next bytes.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::QuotaFull`], or when the store fails.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.received += bytes.len() as u64;
        let limit = self.service.0.limits.max_upload_size;
        if let Some(limit) = limit.filter(|limit| self.received > *limit) {
            return Err(Error::TooLarge(limit));
        }
        if let Some(room) = &mut self.room {
            room.extend_to(self.received)?;
        }
        if let Some((_, full)) = self.known.filter(|(size, _)| self.received > *size) {
            return Err(full.into());
        }
        Ok(self.incoming.write(bytes).await?)
    }

    /// Ends the upload: the owner has the file when this returns, whatever happens next.
    ///
    /// # Errors
    ///
    /// [`Error::WrongSha1`], [`Error::WrongSha256`] or [`Error::Collision`], or when the store or
    /// the database fails. Nothing is stored then, except that a commit whose outcome is unknown
    /// may turn out to have been made.
    pub async fn finish(
        mut self,
        file_name: FileName,
        content_type: MediaType,
        expected: Expected,
    ) -> Result<Stored> {
        let is_limited = self.room.is_some() || self.known.is_some();
        let quota = is_limited.then_some(self.service.0.limits.quota);
        let work = async move {
            let received = self.incoming.finish().await?;
            expected.verify(&received.content)?;
            let filing = Filing {
                owner: &self.owner,
                file_name: &file_name,
                content_type: &content_type,
                session: None,
                quota,
            };
            // From here on the database counts.
            if let Some(room) = &mut self.room {
                room.empty();
            }
            self.service.store(&filing, received).await
        };
        let work = tokio::spawn(work.in_current_span());
        work.await.unwrap_or_else(|stopped| {
            tracing::error!(%stopped, "an upload did not come to its end");
            Err(Error::Interrupted)
        })
    }
}

impl FileService {
    /// Gives a content that arrived to its owner.
    pub(crate) async fn store(&self, filing: &Filing<'_>, received: Received) -> Result<Stored> {
        let content = received.content;
        let database = &self.0.database;
        let mut arrival = Arrival {
            owner: filing.owner,
            file_name: filing.file_name,
            content_type: filing.content_type,
            content: &content,
            address: None,
            lost: None,
            session: filing.session,
            quota: filing.quota,
            is_expected: false,
            copy_to: None,
            leftover_grace: self.0.limits.copy_grace,
            at: self.0.clock.now(),
        };
        // Looking before locking spares a transaction for what is new, and looking for the bytes
        // lets an upload bring back what was lost.
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
            self.expect(&content.sha1, &address).await?;
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
        self.settle(placed, recorded, &arrival).await
    }

    /// Whether a content's row still says what it said.
    pub(crate) async fn is_current(&self, known: &StoredContent) -> Result<bool> {
        let contents = self.0.database.contents();
        let found = contents.find(&known.content.sha1).await?;
        Ok(found.as_ref() == Some(known))
    }

    /// Whether a content's bytes are where its row says, as many as it says.
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
            tracing::error!(address = %known.address, "the bytes of a content are lost");
        }
        Ok(false)
    }
}

impl FileService {
    /// Keeps the bytes if the content's row points at them, and removes them if not.
    async fn settle(
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
                self.settle_later(placed, sha1);
                return Err(error.into());
            }
            Err(error) => error.into(),
        };
        self.discard(placed, &sha1, is_expected).await;
        Err(refusal)
    }

    /// Removes bytes to which no row points; those that cannot be removed now are found later.
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
            tracing::warn!(%address, %error, "superfluous bytes stay until later");
        }
    }

    /// Says of an object, before there is one, that it is to go again unless a row points at it.
    pub(crate) async fn expect(&self, sha1: &Sha1, address: &Address) -> Result<()> {
        let due = self.0.clock.now().after(self.0.limits.expected_for());
        Ok(self
            .0
            .database
            .leftovers()
            .expect(sha1, address, due)
            .await?)
    }
}
