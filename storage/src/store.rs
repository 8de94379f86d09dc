//! The façade over both kinds of store.
//!
//! Its types wrap those of `disk` and `bucket`, so that the service handles every store alike.

mod append;
mod backend;
mod object;
mod staging;
mod uncommitted;

pub use append::{AppendOutcome, AppendWriter, AppendedBytes};
pub use backend::Store;
pub use object::Object;
pub use staging::{StagedObject, StagingWriter};
pub use uncommitted::UncommittedObject;
