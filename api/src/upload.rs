//! Reading the request of an upload: the file's name and digests, and its bytes.

mod body_kind;
mod form;
mod interim;
mod names;
mod raw;
mod request;
pub(crate) mod resumable;
pub(crate) mod stream;
mod whole;

#[cfg(any(test, fuzzing))]
pub use form::fuzzing::forms;
pub(crate) use names::query_file_name;
