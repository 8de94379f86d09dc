//! Staging the bytes of a new object in a file.

use std::sync::Arc;

use domain::ContentHasher;

use super::{
    layout::Disk,
    staging::StagedFile,
    sync::{BackgroundSync, FileSync},
    writer::FileWriter,
};
use crate::{blocking::blocking, error::Result, hashing::Hashes};

/// Writes the bytes of a new object to a staged file. Dropping it removes the file.
pub(crate) struct StagedFileWriter {
    writer: FileWriter,
    staged: StagedFile,
}

impl Disk {
    /// Starts to stage a new object. Nothing is hashed if its content `is_known`.
    pub(crate) async fn stage(&self, is_known: bool) -> Result<StagedFileWriter> {
        let disk = self.clone();
        let staged = blocking(move || disk.staging().create_file()).await?;
        let hashes = Hashes {
            is_skipped: is_known,
            ..Hashes::default()
        };
        let sync = BackgroundSync::File(FileSync::default());
        Ok(StagedFileWriter {
            writer: FileWriter::new(
                Arc::clone(&staged.file),
                hashes,
                sync,
                self.reserve(),
                self.memory(),
            ),
            staged,
        })
    }
}

impl StagedFileWriter {
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write(bytes).await
    }

    /// Waits until all bytes are hashed and written.
    pub(crate) async fn finish(mut self) -> Result<(ContentHasher, StagedFile)> {
        let hashes = self.writer.settle().await?;
        Ok((hashes.content, self.staged))
    }
}
