//! Keys of the objects in a bucket.

use std::io;

use domain::RandomId;

use crate::error::Result;

/// The prefix of objects.
pub(super) const OBJECTS: &str = "objects/";
/// The prefix of segments of resumable uploads.
pub(super) const UPLOADS: &str = "uploads/";
/// The key of the object that is read in place of one that does not exist.
pub(super) const DECOY: &str = "decoy";

/// Creates a key that no object had before.
pub(super) fn fresh() -> Result<String> {
    let unique = unique()?;
    Ok(format!("{OBJECTS}{}/{unique}", &unique[..2]))
}

/// Creates a key that no segment had before.
pub(super) fn fresh_segment(id: RandomId, start: u64) -> Result<String> {
    Ok(format!("{UPLOADS}{id}/{start:016x}-{}", unique()?))
}

/// Creates a key for a self-test.
pub(super) fn fresh_probe() -> Result<String> {
    Ok(format!("probe/{}", unique()?))
}

fn unique() -> Result<String> {
    let mut unique = [0; 16];
    getrandom::fill(&mut unique).map_err(io::Error::other)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(unique)))
}
