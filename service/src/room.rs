//! Room for uploads within their owners' quotas.
//!
//! An upload that can be resumed holds its room by its row; any other holds it here, in this
//! process, as long as it runs. So an upload that would not fit is refused when it begins. That
//! nobody has more bytes or files than they may does not depend on it: what the database counts is
//! weighed again in the transaction that records the file. Of the uploads that run without a row
//! each process knows its own only.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use domain::{Owner, Quota, QuotaError, Usage};
use persistence::Session;

use crate::{FileService, Result};

/// How many bytes are set aside ahead of those that have come, so that not each piece has a write of
/// its own.
const STEP: u64 = 4 * 1024 * 1024;

/// What uploads of this process hold that have no row which does.
#[derive(Clone, Default)]
pub(crate) struct Rooms(Arc<Mutex<HashMap<Owner, Usage>>>);

/// The room that an upload holds; dropping it gives it back.
pub(crate) struct Room {
    rooms: Rooms,
    owner: Owner,
    quota: Quota,
    /// What the owner had when the upload began.
    usage: Usage,
    held: Usage,
}

impl Rooms {
    /// What an owner's uploads hold together.
    pub(crate) fn held(&self, owner: &Owner) -> Usage {
        let rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.get(owner).copied().unwrap_or_default()
    }

    fn hold(
        &self,
        owner: &Owner,
        more: &Usage,
        admit: impl FnOnce(&Usage) -> Result<(), QuotaError>,
    ) -> Result<(), QuotaError> {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = rooms.get(owner).copied().unwrap_or_default();
        admit(&held)?;
        rooms.insert(owner.clone(), held.plus(more));
        Ok(())
    }

    fn give_back(&self, owner: &Owner, less: &Usage) {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = rooms.get_mut(owner) {
            held.uploads -= less.uploads.min(held.uploads);
            held.reserved_bytes -= less.reserved_bytes.min(held.reserved_bytes);
            held.reserved_files -= less.reserved_files.min(held.reserved_files);
            if *held == Usage::default() {
                rooms.remove(owner);
            }
        }
    }
}

impl Room {
    /// Holds room for so many bytes in all.
    pub(crate) fn extend_to(&mut self, bytes: u64) -> Result<(), QuotaError> {
        let more = bytes.saturating_sub(self.held.reserved_bytes);
        if more == 0 || self.quota.bytes.is_none() {
            return Ok(());
        }
        let extension = Usage {
            reserved_bytes: more,
            ..Usage::default()
        };
        self.rooms.hold(&self.owner, &extension, |held| {
            self.quota.admit_bytes(&self.usage.plus(held), more)
        })?;
        self.held.reserved_bytes += more;
        Ok(())
    }

    /// Gives all back but that an upload is running.
    pub(crate) fn empty(&mut self) {
        let less = Usage {
            uploads: 0,
            ..self.held
        };
        self.rooms.give_back(&self.owner, &less);
        self.held = Usage {
            uploads: self.held.uploads,
            ..Usage::default()
        };
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.rooms.give_back(&self.owner, &self.held);
    }
}

impl FileService {
    /// The room that an owner's uploads have together; `None` if there is no end to it.
    async fn room(&self, owner: &Owner) -> Result<Option<Room>> {
        let accounts = self.0.database.accounts();
        let account = accounts.find_to_change(owner).await?;
        let quota = account.own.over(&self.0.limits.quota);
        if quota.is_unlimited() {
            return Ok(None);
        }
        let now = self.0.clock.now();
        let account = accounts.with_uploads(account, owner, now).await?;
        Ok(Some(Room {
            rooms: self.0.rooms.clone(),
            owner: owner.clone(),
            quota,
            usage: account.usage,
            held: Usage::default(),
        }))
    }

    /// Holds room for an upload that has no row, of so many bytes as far as that is known.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaFull`](crate::Error::QuotaFull), or when the database fails.
    pub(crate) async fn hold_upload(&self, owner: &Owner, bytes: u64) -> Result<Option<Room>> {
        let Some(mut room) = self.room(owner).await? else {
            return Ok(None);
        };
        let upload = Usage {
            uploads: 1,
            reserved_bytes: bytes,
            reserved_files: 1,
            ..Usage::default()
        };
        room.rooms.hold(owner, &upload, |held| {
            let usage = room.usage.plus(held);
            room.quota.admit_upload(&usage)?;
            room.quota.admit_file(&usage, bytes)
        })?;
        room.held = upload;
        Ok(Some(room))
    }

    /// Sets room aside for so many bytes of an upload whose row does not tell how many it will have,
    /// and for some that may follow; gives how much is set aside now, or `None` if there is no end
    /// to it.
    ///
    /// It is set aside in the row, before the bytes are there, so that it counts however the upload
    /// is broken off.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaFull`](crate::Error::QuotaFull), or when the database fails.
    pub(crate) async fn set_aside(
        &self,
        session: &Session,
        before: u64,
        bytes: u64,
    ) -> Result<Option<u64>> {
        let Some(room) = self.room(&session.owner).await? else {
            return Ok(None);
        };
        let mut usage = room.usage.plus(&self.0.rooms.held(&session.owner));
        usage.reserved_bytes = usage.reserved_bytes.saturating_sub(before);
        room.quota.admit_bytes(&usage, bytes)?;
        let taken = usage.bytes.saturating_add(usage.reserved_bytes);
        let most = room
            .quota
            .bytes
            .map_or(u64::MAX, |most| most.saturating_sub(taken));
        let aside = bytes.saturating_add(STEP).min(most).max(bytes);
        self.0.database.sessions().hold(session.id, aside).await?;
        Ok(Some(aside))
    }
}
