//! Reservations in the owners' quotas for uploads in progress.
//!
//! A resumable upload has its reservation in its row; any other upload has it in this process, as
//! long as it runs. So an upload that exceeds the quota is refused when it begins. The limits
//! themselves do not depend on reservations: the transaction that records a file checks the usage
//! in the database again. Each process knows only its own uploads without a row.

use std::{collections::HashMap, sync::Arc};

use domain::{Owner, Quota, QuotaError, Usage};
use parking_lot::Mutex;

/// Reservations of this process for uploads without a row.
#[derive(Clone, Default)]
pub(crate) struct Reservations(Arc<Mutex<HashMap<Owner, Usage>>>);

/// An upload's reservation, released on drop.
pub(crate) struct Reservation {
    pub(crate) reservations: Reservations,
    pub(crate) owner: Owner,
    pub(crate) quota: Quota,
    /// Usage of the owner when the upload began.
    pub(crate) usage: Usage,
    pub(crate) reserved: Usage,
}

impl Reservations {
    /// Total of an owner's reservations in this process.
    pub(crate) fn reserved(&self, owner: &Owner) -> Usage {
        let reservations = self.0.lock();
        reservations.get(owner).copied().unwrap_or_default()
    }

    pub(crate) fn add(
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
