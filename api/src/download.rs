//! Answering requests for a file's bytes: by the service itself, by nginx, or by a redirect to the
//! store.

mod accel;
mod answer;
mod byteranges;
mod charged_body;
mod request;
mod response;

pub(crate) use self::request::{DownloadRequest, read_disposition};

/// The store that exists without any settings; nginx sends the objects of this one only.
pub const DISK: &str = "disk";

/// How a store's files reach the clients that download them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownloadMode {
    /// The service sends them, or nginx if it is in front.
    Stream,
    /// The client is redirected to the store.
    Redirect,
}
