//! Limits of what clients may take: requests a second, simultaneous uploads, and slow bodies.

pub(crate) mod body_timeout;
pub(crate) mod placed_body;
pub(crate) mod rate_limit;
pub(crate) mod upload_slots;
