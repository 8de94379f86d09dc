//! Parameters that several operations share, as the contract describes them.
//!
//! Optional ones that change the meaning of a request have no example, since Swagger UI would send
//! it.

use utoipa::IntoParams;

/// The path of a file.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only the contract uses it")]
pub(crate) struct FilePath {
    /// SHA-1 of the file, in lower or upper case
    #[param(
        pattern = "^[0-9a-fA-F]{40}$",
        example = "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed"
    )]
    file_sha1: String,
}

/// The header fields with the name and the digests of an uploaded file.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only the contract uses it")]
pub(crate) struct UploadFields {
    /// Name of the file, if the request body is the file: `attachment; filename="hello.txt"` (RFC 6266)
    #[param(rename = "Content-Disposition")]
    content_disposition: Option<String>,
    /// Digests of the file, by `sha-256` or `sha` (RFC 9530): `sha=:Kq5sNclPz7QV2+lfQIuc6R7oRu0=:`
    #[param(rename = "Repr-Digest")]
    repr_digest: Option<String>,
    /// Digests of the request body as it is sent, a form or the file
    #[param(rename = "Content-Digest")]
    content_digest: Option<String>,
}

/// The header field that makes a request conditional on the current version.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only the contract uses it")]
pub(crate) struct PreconditionFields {
    /// Execute the request only if the entity tag is one of these (RFC 9110 §13.1.1)
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}

/// The header field that revalidates a cached response.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only the contract uses it")]
pub(crate) struct RevalidationFields {
    /// Respond in full only if the entity tag is none of these (RFC 9110 §13.1.2)
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// The header fields of ranges and of conditions by date.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only the contract uses it")]
pub(crate) struct DownloadFields {
    /// Requested ranges of bytes: `bytes=0-99,-100` (RFC 9110 §14.2)
    #[param(rename = "Range")]
    range: Option<String>,
    /// Send the ranges only if the file has this entity tag or date, otherwise the whole file
    /// (RFC 9110 §13.1.5)
    #[param(rename = "If-Range")]
    if_range: Option<String>,
    /// Send the file only if it was uploaded later (RFC 9110 §13.1.3)
    #[param(rename = "If-Modified-Since")]
    if_modified_since: Option<String>,
    /// Send the file only if it was not uploaded later (RFC 9110 §13.1.4)
    #[param(rename = "If-Unmodified-Since")]
    if_unmodified_since: Option<String>,
    /// Wanted digests of the file: `sha-256=1`, `sha=1` (RFC 9530 §4)
    #[param(rename = "Want-Repr-Digest")]
    want_repr_digest: Option<String>,
}

/// The path of an upload.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only the contract uses it")]
pub(crate) struct UploadPath {
    /// Id of the upload
    #[param(
        pattern = "^[0-9a-f]{32}$",
        example = "00000000000000000000000000000000"
    )]
    upload_id: String,
}

/// The path of a transfer.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only the contract uses it")]
pub(crate) struct TransferPath {
    /// Id of the transfer
    #[param(
        pattern = "^[0-9a-f]{32}$",
        example = "00000000000000000000000000000000"
    )]
    transfer_id: String,
}

/// The header field that every tus request needs.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only the contract uses it")]
pub(crate) struct TusVersion {
    /// Version of the protocol
    #[param(rename = "Tus-Resumable", example = "1.0.0")]
    tus_resumable: String,
}

/// The header field with the checksum of the bytes in a tus request.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only the contract uses it")]
pub(crate) struct TusChecksum {
    /// Checksum of the request body: `sha256`, `sha1`, `md5` or `crc32`, a space, and base64
    #[param(rename = "Upload-Checksum")]
    upload_checksum: Option<String>,
}

/// The header fields of a request that may create a resumable upload (structured fields).
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only the contract uses it")]
#[expect(clippy::struct_field_names, reason = "the names are the protocol's")]
pub(crate) struct ResumableFields {
    /// `?0` creates an upload that later requests continue, `?1` sends all of it
    #[param(rename = "Upload-Complete")]
    upload_complete: Option<String>,
    /// Total length of the upload in bytes
    #[param(rename = "Upload-Length")]
    upload_length: Option<u64>,
    /// `8` asks for an interim response 104 with the URL of the upload in `Location`, so that it can be
    /// continued after a break. None is sent through proxies
    #[param(rename = "Upload-Draft-Interop-Version")]
    upload_draft_interop_version: Option<u64>,
}
