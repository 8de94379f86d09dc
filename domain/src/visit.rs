//! Visits: downloads through a link with a limited number of downloads, which count once each.

use crate::RandomId;

/// A counted visit of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// The link.
    pub link: RandomId,
    /// The visitor: a keyed hash of what tells visitors of a link apart.
    pub visitor: RandomId,
    /// The number of the visit among those of the link.
    pub number: u64,
}
