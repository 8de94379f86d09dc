//! Reading and writing the parts of HTTP messages that endpoints share.

pub(crate) mod accept;
pub(crate) mod address;
pub(crate) mod body;
pub(crate) mod conditional;
pub(crate) mod digest_fields;
pub(crate) mod disposition;
pub(crate) mod parameters;
pub(crate) mod path;
pub(crate) mod query;
pub(crate) mod ranges;
pub(crate) mod resumption;
pub(crate) mod tus;
