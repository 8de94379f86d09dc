//! Reservations in the owners' quotas for uploads in progress.
//!
//! A resumable upload has its reservation in its row; any other upload has it in this process, as
//! long as it runs. So an upload that exceeds the quota is refused when it begins. The limits
//! themselves do not depend on reservations: the transaction that records a file checks the usage
//! in the database again. Each process knows only its own uploads without a row.

use std::{collections::HashMap, sync::Arc};

use domain::{Owner, Quota, QuotaError, Usage};
use parking_lot::Mutex;
use persistence::Session;

use crate::{FileService, Result};

/// Bytes to reserve ahead of those that have arrived, so that not every chunk needs a write to the
/// database.
const RESERVATION_STEP: u64 = 4 * 1024 * 1024;

/// Reservations of this process for uploads without a row.
#[derive(Clone, Default)]
pub(crate) struct Reservations(Arc<Mutex<HashMap<Owner, Usage>>>);

/// An upload's reservation, released on drop.
pub(crate) struct Reservation {
    reservations: Reservations,
    owner: Owner,
    quota: Quota,
    /// Usage of the owner when the upload began.
    usage: Usage,
    reserved: Usage,
}

impl Reservations {
    /// Total of an owner's reservations in this process.
    pub(crate) fn reserved(&self, owner: &Owner) -> Usage {
        let reservations = self.0.lock();
        reservations.get(owner).copied().unwrap_or_default()
    }

    fn add(
        &self,
        owner: &Owner,
        more: &Usage,
        admit: impl FnOnce(&Usage) -> Result<(), QuotaError>,
    ) -> Result<(), QuotaError> {
        let mut reservations = self.0.lock();
        let reserved = reservations.get(owner).copied().unwrap_or_default();
        admit(&reserved)?;
        reservations.insert(owner.clone(), reserved.plus(more));
        Ok(())
    }

    fn release(&self, owner: &Owner, less: &Usage) {
        let mut reservations = self.0.lock();
        if let Some(reserved) = reservations.get_mut(owner) {
            reserved.uploads -= less.uploads.min(reserved.uploads);
            reserved.reserved_bytes -= less.reserved_bytes.min(reserved.reserved_bytes);
            reserved.reserved_files -= less.reserved_files.min(reserved.reserved_files);
            if *reserved == Usage::default() {
                reservations.remove(owner);
            }
        }
    }
}

impl Reservation {
    /// Extends the reservation to `bytes` in total.
    pub(crate) fn extend_to(&mut self, bytes: u64) -> Result<(), QuotaError> {
        let more = bytes.saturating_sub(self.reserved.reserved_bytes);
        if more == 0 || self.quota.bytes.is_none() {
            return Ok(());
        }
        let extension = Usage {
            reserved_bytes: more,
            ..Usage::default()
        };
        self.reservations.add(&self.owner, &extension, |reserved| {
            self.quota.admit_bytes(&self.usage.plus(reserved), more)
        })?;
        self.reserved.reserved_bytes += more;
        Ok(())
    }

    /// Releases the bytes and the file, but not the slot of the running upload.
    pub(crate) fn release_file(&mut self) {
        let less = Usage {
            uploads: 0,
            ..self.reserved
        };
        self.reservations.release(&self.owner, &less);
        self.reserved = Usage {
            uploads: self.reserved.uploads,
            ..Usage::default()
        };
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.reservations.release(&self.owner, &self.reserved);
    }
}

impl FileService {
    /// Begins a reservation for an owner; `None` if the owner has no limits.
    async fn open_reservation(&self, owner: &Owner) -> Result<Option<Reservation>> {
        let accounts = self.0.database.accounts();
        let account = accounts.find_to_change(owner).await?;
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
            .hold(session.id, reserved)
            .await?;
        Ok(Some(reserved))
    }
}
