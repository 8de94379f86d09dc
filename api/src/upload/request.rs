//! An upload's request while it is read.

use actix_web::http::header::HeaderMap;
use domain::{FileName, MediaType};
use service::{Expected, Upload};

use crate::state::AppState;

/// An upload whose bytes are still to come.
pub(super) struct UploadRequest<'a> {
    pub(super) state: &'a AppState,
    pub(super) headers: &'a HeaderMap,
    /// The name in the query.
    pub(super) named: Option<FileName>,
    /// The digests that the URL and the header announce.
    pub(super) announced: Expected,
    pub(super) upload: Upload,
}

/// A file whose bytes have arrived, not committed yet.
pub(super) struct UploadedFile {
    pub(super) upload: Upload,
    pub(super) file_name: FileName,
    pub(super) content_type: MediaType,
    pub(super) expected: Expected,
}
