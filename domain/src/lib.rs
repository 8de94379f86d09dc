//! The types and rules of the file service, without any input or output.
//!
//! A string from outside is parsed once, at the edge, into one of these types; whatever holds
//! one may rely on what was checked.

mod address;
mod backoff;
mod byte_range;
mod checksum;
mod digest;
mod error_chain;
mod file_meta;
mod file_name;
mod media_type;
mod owner;
pub mod possession;
mod quota;
mod random_id;
mod scope;
mod timestamp;
mod token;
pub mod tus;
mod upload;

pub use address::{Address, AddressError};
pub use backoff::Backoff;
pub use byte_range::{ByteRange, coalesce};
pub use checksum::{Checksum, ChecksumAlgorithm, ChecksumVerifier};
pub use digest::{Content, ContentHasher, DigestError, Sha1, Sha256};
pub use error_chain::ErrorChain;
pub use file_meta::{ContentPath, FileMeta, FileStatus};
pub use file_name::{FileName, FileNameError};
pub use media_type::{MediaType, MediaTypeError};
pub use owner::{Owner, OwnerError};
pub use quota::{Quota, QuotaError, Usage};
pub use random_id::{RandomId, RandomIdError};
pub use scope::{Scope, ScopeError, Scopes};
pub use timestamp::Timestamp;
pub use token::{TokenText, TokenTextError};
pub use upload::{ByteCountError, Extent, UploadError, parse_byte_count};
