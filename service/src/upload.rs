//! Taking a file in.
//!
//! The bytes arrive and are identified; if the service has the content already, they are dropped;
//! if not, they are made safe and only then recorded, with the owner's entry. From the last byte
//! on the work goes on even if the client does not wait for it.

use domain::{FileName, MediaType, Owner, QuotaError};
use storage::Incoming;
use tracing::Instrument as _;

use crate::{
    Error, Expected, FileService, Result, Stored, quota_reservation::Reservation,
    store_content::NewEntry,
};

/// A file that is being uploaded; dropping it leaves nothing behind.
pub struct Upload {
    service: FileService,
    owner: Owner,
    incoming: Incoming,
    received: u64,
    /// Held until the upload has come to its end.
    reservation: Option<Reservation>,
    /// How many bytes an upload may have for which there is no room, since its owner has the file.
    known: Option<(u64, QuotaError)>,
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
        let reservation = match self.reserve_upload(owner, bytes.unwrap_or_default()).await {
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
            incoming: self.0.stores.primary().receive(),
            received: 0,
            reservation,
            known,
        })
    }

    /// How many bytes the file has that an upload is said to bring, if its owner is counted to have
    /// it: it is there, or can be restored.
    async fn find_counted_size(&self, owner: &Owner, expected: &Expected) -> Result<Option<u64>> {
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
        if let Some(reservation) = &mut self.reservation {
            reservation.extend_to(self.received)?;
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
            // From here on the database counts.
            if let Some(reservation) = &mut self.reservation {
                reservation.release_file();
            }
            self.service.store_content(&new_entry, received).await
        };
        let work = tokio::spawn(work.in_current_span());
        work.await.unwrap_or_else(|stopped| {
            tracing::error!(%stopped, "an upload did not come to its end");
            Err(Error::Interrupted)
        })
    }
}
