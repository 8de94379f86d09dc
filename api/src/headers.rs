//! Header fields: parsing those of requests, and writing those of responses.

pub(crate) mod conditional;
pub(crate) mod digest_fields;
pub(crate) mod disposition;
pub(crate) mod forwarded;
pub(crate) mod origin;
pub(crate) mod ranges;
pub(crate) mod resumption;
pub(crate) mod tus;
