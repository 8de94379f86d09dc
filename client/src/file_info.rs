//! The description of a file to store, and the result of storing it.

use domain::{FileName, MediaType};

/// The name and the media type of a file.
#[derive(Debug, Clone)]
pub struct FileInfo {
    /// The name.
    pub name: FileName,
    /// The media type.
    pub media_type: MediaType,
}

/// The way in which the server got a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutOutcome {
    /// The file was sent.
    Uploaded,
    /// The server had the content already, and the client proved that it has it, too.
    Instant,
    /// The caller had the file on the server already, under this name.
    Existing(FileName),
}
