//! Uploads in one request.
//!
//! The bytes arrive and are hashed. If the service has the content already, they are dropped;
//! otherwise they are made durable, and only then recorded together with the owner's entry. After
//! the last byte, the work continues even if the client disconnects.

use domain::{FileName, MediaType, Owner, QuotaError};
use storage::StagingWriter;
use tracing::Instrument as _;

use crate::{
    Error, Expected, FileService, Result, Stored, boxed, quota_reservation::Reservation,
    store_content::NewEntry,
};

/// An upload in progress; nothing remains if it is dropped.
pub struct Upload {
    service: FileService,
    owner: Owner,
    incoming: StagingWriter,
    received: u64,
    /// Held until the upload has ended.
    reservation: Option<Reservation>,
    /// Size limit of an upload that exceeds the quota but is accepted because its owner has the
    /// file already, with the quota error for more bytes.
    known: Option<(u64, QuotaError)>,
}

impl FileService {
    /// Begins an upload in one request, of `bytes` bytes if known, and of `most` at most.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaFull`] when the quota does not allow it, unless `expected` names a file that
    /// the owner already has; or when the database fails.
    #[boxed]
    pub async fn upload(
        &self,
        owner: &Owner,
        expected: &Expected,
        bytes: Option<u64>,
        most: Option<u64>,
    ) -> Result<Upload> {
        let mut known = None;
        let mut reserved = self.reserve_upload(owner, bytes.unwrap_or_default()).await;
        if let Err(Error::QuotaFull(_)) = &reserved
            && self.make_room_for(owner, expected, bytes).await?
        {
            reserved = self.reserve_upload(owner, bytes.unwrap_or_default()).await;
        }
        let reservation = match reserved {
            Err(Error::QuotaFull(full)) => {
                let size = self.find_counted_size(owner, expected).await?;
                known = Some((size.ok_or(full)?, full));
                None
            }
            reservation => reservation?,
        };
        Ok(Upload {
            service: self.clone(),
            owner: owner.clone(),
            incoming: self.0.stores.primary().for_owner(owner).writer(most),
            received: 0,
            reservation,
            known,
        })
    }

    /// Size of the file that the upload claims to bring, if the owner's usage includes it: it is
    /// available, or can be restored.
    async fn find_counted_size(&self, owner: &Owner, expected: &Expected) -> Result<Option<u64>> {
        let Some(sha1) = expected.sha1 else {
            return Ok(None);
        };
        let entries = self.0.database.entries();
        let entry = entries.find_for_update(owner, &sha1).await?;
        Ok(entry.map(|entry| entry.meta.file_size))
    }
}

impl Upload {
    /// Writes the next bytes.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::QuotaFull`], or when the store fails.
    #[boxed]
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.received += bytes.len() as u64;
        let limit = self.service.0.limits.max_upload_size;
        if let Some(limit) = limit.filter(|limit| self.received > *limit) {
            return Err(Error::TooLarge(limit));
        }
        if let Some(reservation) = &mut self.reservation {
            reservation.extend_to(self.received)?;
        }
        if let Some((_, full)) = self.known.filter(|(size, _)| self.received > *size) {
            return Err(full.into());
        }
        Ok(self.incoming.write(bytes).await?)
    }

    /// Ends the upload. When this returns, the owner durably has the file.
    ///
    /// # Errors
    ///
    /// [`Error::WrongSha1`], [`Error::WrongSha256`] or [`Error::Collision`], or when the store or
    /// the database fails. Nothing is stored then, except that a commit with an unknown outcome may
    /// have succeeded.
    #[boxed]
    pub async fn finish(
        mut self,
        file_name: FileName,
        content_type: MediaType,
        expected: Expected,
    ) -> Result<Stored> {
        let is_limited = self.reservation.is_some() || self.known.is_some();
        let quota = is_limited.then_some(self.service.0.limits.quota);
        let work = async move {
            let received = self.incoming.finish().await?;
            expected.verify(&received.content)?;
            let new_entry = NewEntry {
                owner: &self.owner,
                file_name: &file_name,
                content_type: &content_type,
                session: None,
                quota,
            };
            // From here on the transaction checks the quota.
            if let Some(reservation) = &mut self.reservation {
                reservation.release_file();
            }
            self.service.store_content(&new_entry, received).await
        };
        let work = tokio::spawn(work.in_current_span());
        work.await.unwrap_or_else(|stopped| {
            tracing::error!(%stopped, "the upload task failed");
            Err(Error::Interrupted)
        })
    }
}
