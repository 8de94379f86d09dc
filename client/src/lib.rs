//! A client of the file service, for Rust programs.
//!
//! [`Client`] uploads, downloads, lists, renames and deletes files. A transfer survives broken connections and
//! restarts of the server; with [`Client::remembering`] an upload survives the end of the process, too. [`Observer`] receives its progress.
//!
//! ```no_run
//! use fileserver_client::{Client, FileInfo, Input, ListOptions};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new("https://files.example.org", Some("the-token"))?;
//!
//! let info = FileInfo {
//!     name: "report.pdf".parse()?,
//!     media_type: "application/pdf".parse()?,
//! };
//! let (sha1, outcome) = client.put(Input::open("report.pdf".as_ref())?, &info).await?;
//! println!("{sha1}: {outcome:?}");
//!
//! for file in client.list(&ListOptions::default()).await?.files {
//!     println!("{}  {}", file.file_sha1, file.file_name);
//! }
//!
//! let download = client.get(sha1).await?;
//! download.write_to(Box::new(std::fs::File::create("copy.pdf")?)).await?;
//! # Ok(())
//! # }
//! ```

mod chunk;
mod claim;
mod connection;
mod disposition;
mod download;
mod error;
mod exchange;
mod file_info;
mod files;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod memory;
mod observer;
mod put;
mod resumption;
mod retry;
mod source;
mod stream;
mod tus;
mod upload;
mod uploads;

pub use crate::{
    connection::Client,
    download::Download,
    error::{ClientError, Refusal},
    file_info::{FileInfo, PutOutcome},
    files::{FilePage, ListOptions},
    observer::{Notice, Observer, Phase},
    source::Input,
    uploads::{UnfinishedUpload, UploadPage},
};
