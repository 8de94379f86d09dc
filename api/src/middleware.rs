//! The layers around the handlers; `app` has their order.

pub(crate) mod access_log;
pub(crate) mod admission;
pub(crate) mod advertise;
pub(crate) mod caching;
pub(crate) mod compress;
pub(crate) mod context;
pub(crate) mod cors;
mod counted_body;
pub(crate) mod cross_site;
pub(crate) mod host;
mod request_log;
mod trace;
pub(crate) mod tus;
