//! A store on a local disk.
//!
//! | path below the store's folder | content |
//! | --- | --- |
//! | `objects/3a/<sha1>-<unique>` | the objects |
//! | `staging/<process>/` | arriving bytes of a process, and marks of its uncommitted objects |
//! | `uploads/<id>.part`, `.state` | resumable uploads |
//! | `decoy`, `identity` | one file each |

pub(crate) mod abandoned;
pub(crate) mod commit;
mod decoy;
mod files;
mod identity;
mod key;
pub(crate) mod layout;
pub(crate) mod object;
mod objects;
mod reserve;
pub(crate) mod stage;
mod staging;
mod sync;
pub(crate) mod uploads;
mod writer;

pub use abandoned::{AbandonedStaging, PendingObject};
pub use layout::Disk;
pub use object::DiskObject;
pub use objects::{Listing, StoredObject};
pub use uploads::DiskAppendWriter;
