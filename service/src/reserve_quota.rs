//! Reserves quota for uploads.

use domain::{Owner, Quota, Session, Usage};

use crate::{FileService, Result, quota_reservation::Reservation};

/// Bytes to reserve ahead of those that have arrived, so that not every chunk needs a write to the
/// database.
const RESERVATION_STEP: u64 = 4 * 1024 * 1024;

impl FileService {
    /// Begins a reservation for an owner; `None` if the owner has no limits.
    async fn open_reservation(&self, owner: &Owner) -> Result<Option<Reservation>> {
        let accounts = self.0.database.accounts();
        let account = accounts.find_for_update(owner).await?;
        let quota = account.own.over(&self.0.limits.quota);
        if quota.is_unlimited() {
            return Ok(None);
        }
        let now = self.0.clock.now();
        let account = accounts.with_uploads(account, owner, now).await?;
        Ok(Some(Reservation {
            reservations: self.0.reservations.clone(),
            owner: owner.clone(),
            quota,
            usage: account.usage,
            reserved: Usage::default(),
        }))
    }

    /// The quota of an owner, and the usage with all reservations; `None` if there are no limits.
    pub(crate) async fn find_reserved(&self, owner: &Owner) -> Result<Option<(Quota, Usage)>> {
        let reservation = self.open_reservation(owner).await?;
        Ok(reservation.map(|reservation| {
            let usage = reservation.usage.plus(&self.0.reservations.reserved(owner));
            (reservation.quota, usage)
        }))
    }

    /// Reserves quota for an upload without a row, of `bytes` bytes if known.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaFull`](crate::Error::QuotaFull), or when the database fails.
    pub(crate) async fn reserve_upload(
        &self,
        owner: &Owner,
        bytes: u64,
    ) -> Result<Option<Reservation>> {
        let Some(mut reservation) = self.open_reservation(owner).await? else {
            return Ok(None);
        };
        let upload = Usage {
            uploads: 1,
            reserved_bytes: bytes,
            reserved_files: 1,
            ..Usage::default()
        };
        reservation.reservations.add(owner, &upload, |reserved| {
            let usage = reservation.usage.plus(reserved);
            reservation.quota.admit_upload(&usage)?;
            reservation.quota.admit_file(&usage, bytes)
        })?;
        reservation.reserved = upload;
        Ok(Some(reservation))
    }

    /// Reserves `bytes` bytes and some more for an upload of unknown length; returns the reserved
    /// number, or `None` if the owner has no limits.
    ///
    /// The reservation is written to the row before the bytes arrive, so that it counts even if the
    /// upload breaks off.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaFull`](crate::Error::QuotaFull), or when the database fails.
    pub(crate) async fn reserve_for_session(
        &self,
        session: &Session,
        before: u64,
        bytes: u64,
    ) -> Result<Option<u64>> {
        let Some(reservation) = self.open_reservation(&session.owner).await? else {
            return Ok(None);
        };
        let mut usage = reservation
            .usage
            .plus(&self.0.reservations.reserved(&session.owner));
        usage.reserved_bytes = usage.reserved_bytes.saturating_sub(before);
        reservation.quota.admit_bytes(&usage, bytes)?;
        let taken = usage.bytes.saturating_add(usage.reserved_bytes);
        let most = reservation
            .quota
            .bytes
            .map_or(u64::MAX, |most| most.saturating_sub(taken));
        let reserved = bytes.saturating_add(RESERVATION_STEP).min(most).max(bytes);
        self.0
            .database
            .sessions()
            .reserve_bytes(session.id, reserved)
            .await?;
        Ok(Some(reserved))
    }
}
