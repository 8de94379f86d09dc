//! Extractors: the parts of a request that handlers take as arguments.

pub(crate) mod accept;
pub(crate) mod body;
pub(crate) mod path;
pub(crate) mod query;
