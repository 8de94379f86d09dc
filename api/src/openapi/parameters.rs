//! Parameters that several operations have, as the contract describes them.
//!
//! Those that would change what a request means have no example: Swagger UI would send it.

use utoipa::IntoParams;

/// Which file it is.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it only tells the contract what the path has")]
pub(crate) struct FilePath {
    /// The file's SHA-1, in lower or upper case
    #[param(
        pattern = "^[0-9a-fA-F]{40}$",
        example = "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed"
    )]
    file_sha1: String,
}

/// What the uploaded file is called and said to be.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only tells the contract what the header has")]
pub(crate) struct UploadFields {
    /// Names the file if it is the whole body: `attachment; filename="hello.txt"` (RFC 6266)
    #[param(rename = "Content-Disposition")]
    content_disposition: Option<String>,
    /// The file's digests, by `sha-256` or `sha` (RFC 9530): `sha=:Kq5sNclPz7QV2+lfQIuc6R7oRu0=:`
    #[param(rename = "Repr-Digest")]
    repr_digest: Option<String>,
    /// The digests of the message's body as it is sent, which is a form or the file
    #[param(rename = "Content-Digest")]
    content_digest: Option<String>,
}

/// What the file has to be for the request to be done.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only tells the contract what the header has")]
pub(crate) struct PreconditionFields {
    /// Do it only if one of these is the entity tag (RFC 9110 §13.1.1)
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}

/// What the file has to be for the answer to be worth sending.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only tells the contract what the header has")]
pub(crate) struct RevalidationFields {
    /// Answer only if none of these is the entity tag (RFC 9110 §13.1.2)
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// Which bytes of the file to send, and when.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only tells the contract what the header has")]
pub(crate) struct DownloadFields {
    /// Which bytes to send: `bytes=0-99,-100` (RFC 9110 §14.2)
    #[param(rename = "Range")]
    range: Option<String>,
    /// Send ranges only if the file has this tag or date, else all of it (RFC 9110 §13.1.5)
    #[param(rename = "If-Range")]
    if_range: Option<String>,
    /// Send it only if it was uploaded later (RFC 9110 §13.1.3)
    #[param(rename = "If-Modified-Since")]
    if_modified_since: Option<String>,
    /// Send it only if it was not uploaded later (RFC 9110 §13.1.4)
    #[param(rename = "If-Unmodified-Since")]
    if_unmodified_since: Option<String>,
}

/// Which upload it is.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it only tells the contract what the path has")]
pub(crate) struct UploadPath {
    /// The upload's id
    #[param(
        pattern = "^[0-9a-f]{32}$",
        example = "00000000000000000000000000000000"
    )]
    upload_id: String,
}

/// Which transfer it is.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it only tells the contract what the path has")]
pub(crate) struct TransferPath {
    /// The transfer's id
    #[param(
        pattern = "^[0-9a-f]{32}$",
        example = "00000000000000000000000000000000"
    )]
    transfer_id: String,
}

/// What every request by tus has to say.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only tells the contract what the header has")]
pub(crate) struct TusVersion {
    /// The protocol's version
    #[param(rename = "Tus-Resumable", example = "1.0.0")]
    tus_resumable: String,
}

/// What a request by tus says about the bytes that it brings.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only tells the contract what the header has")]
pub(crate) struct TusChecksum {
    /// The checksum of the request's body: `sha256`, `sha1`, `md5` or `crc32`, a space, and base64
    #[param(rename = "Upload-Checksum")]
    upload_checksum: Option<String>,
}

/// What a request says about an upload that it may begin only, or go on with (structured fields).
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it only tells the contract what the header has")]
pub(crate) struct ResumableFields {
    /// `?0` begins an upload that other requests go on with, `?1` brings all of it
    #[param(rename = "Upload-Complete")]
    upload_complete: Option<String>,
    /// How many bytes the upload will have
    #[param(rename = "Upload-Length")]
    upload_length: Option<u64>,
}
