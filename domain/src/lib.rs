//! The values, rules and model of the file service, without I/O.
//!
//! A string from outside is parsed once, at the edge, into one of these types; code that has such a
//! value can rely on what parsing checked.

mod account;
mod address;
mod backoff;
pub mod block;
mod byte_range;
mod checksum;
mod claim;
mod coverage;
mod digest;
mod entry;
mod error_chain;
mod file_meta;
mod file_name;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod job;
mod link;
mod media_type;
mod owner;
pub mod possession;
mod quota;
mod random_id;
mod replica_set;
mod scope;
mod session;
mod stored_content;
mod timestamp;
mod token;
mod token_text;
mod transfer;
pub mod tus;
mod upload;
mod visit;

pub use account::{Account, Limit, Miscount, OwnQuota};
pub use address::{Address, AddressError};
pub use backoff::Backoff;
pub use block::BlockChecksums;
pub use byte_range::{ByteRange, coalesce};
pub use checksum::{Checksum, ChecksumAlgorithm, ChecksumVerifier};
pub use claim::Claim;
pub use coverage::Coverage;
pub use digest::{Content, ContentHasher, DigestError, Sha1, Sha256};
pub use entry::{Entry, EntryFilter, EntryOutcome, EntryUpdate, Position};
pub use error_chain::ErrorChain;
pub use file_meta::{ContentPath, FileMeta, FileStatus};
pub use file_name::{FileName, FileNameError};
pub use job::{Job, JobCounts, JobId, NewJob};
pub use link::Link;
pub use media_type::{MediaType, MediaTypeError};
pub use owner::{Owner, OwnerError};
pub use quota::{Quota, QuotaError, Usage};
pub use random_id::{RandomId, RandomIdError};
pub use replica_set::{ReplicaSetStatus, ServerStatus};
pub use scope::{Scope, ScopeError, Scopes};
pub use session::{Protocol, Role, Session, SessionState, UploadPosition};
pub use stored_content::StoredContent;
pub use timestamp::Timestamp;
pub use token::{Token, TokenState};
pub use token_text::{TokenText, TokenTextError};
pub use transfer::{ScanProgress, Transfer, TransferState};
pub use upload::{ByteCountError, Extent, UploadError, parse_byte_count};
pub use visit::Visit;
