//! Resumable uploads, independent of the protocol.
//!
//! The offset of an upload is the number of its staged bytes, and all of them are kept until the
//! upload is finished, removed, or expires. One request at a time appends: the newest one. An
//! upload is finished once, no matter how many requests ask for it; if the process that began to
//! finish it has died, the next request or sweep finishes it.

mod append;
mod append_request;
mod begin;
mod begin_append;
mod concatenate;
mod finish;
mod list;
mod predecessors;
mod remove;
mod staging;
mod status;
mod sweep;

pub use append::{Append, Outcome};
pub use append_request::{AppendRequest, Completion};
pub use begin::NewUpload;
pub use list::UploadPage;
pub use status::UploadStatus;
