//! Header fields of responses, as the contract describes them.

use utoipa::{
    PartialSchema as _,
    openapi::{Header, HeaderBuilder, RefOr, Schema},
};

/// A header field of a response.
#[derive(Clone, Copy)]
pub(super) struct Field {
    /// The name.
    pub(super) name: &'static str,
    description: &'static str,
    schema: fn() -> RefOr<Schema>,
}

impl Field {
    /// A field whose value is text.
    const fn text(name: &'static str, description: &'static str) -> Self {
        Self {
            name,
            description,
            schema: String::schema,
        }
    }

    /// A field whose value is a number of bytes.
    const fn bytes(name: &'static str, description: &'static str) -> Self {
        Self {
            name,
            description,
            schema: u64::schema,
        }
    }

    /// The field in the form of `utoipa`.
    pub(super) fn header(self) -> Header {
        HeaderBuilder::new()
            .schema(Some((self.schema)()))
            .description(Some(self.description))
            .build()
    }
}

/// The URL of a stored file.
pub(super) const FILE_LOCATION: Field =
    Field::text("Location", "URL of the file, `/files/{file_sha1}`");

/// The URL of a stored file, or of an upload that was created.
pub(super) const FILE_OR_UPLOAD_LOCATION: Field = Field::text(
    "Location",
    "URL of the file, `/files/{file_sha1}`; after `Upload-Complete: ?0`, URL of the created upload",
);

/// The URL of the content in its store.
pub(super) const CONTENT_LOCATION: Field = Field::text(
    "Location",
    "URL of the content; it needs no credentials, so keep it secret",
);

/// The entity tag of an entry.
pub(super) const ENTRY_TAG: Field = Field::text("ETag", "Version of the entry");

/// The entity tag of a content.
pub(super) const CONTENT_TAG: Field = Field::text("ETag", "SHA-1 of the file");

/// The time of the upload.
pub(super) const LAST_MODIFIED: Field = Field::text("Last-Modified", "Time of the upload");

/// The caching rule of what depends on the caller.
pub(super) const REVALIDATED: Field = Field::text("Cache-Control", "`private, no-cache`");

/// The caching rule of secrets.
pub(super) const UNSTORED: Field = Field::text("Cache-Control", "`private, no-store`");

/// The position of a single range.
pub(super) const CONTENT_RANGE: Field = Field::text(
    "Content-Range",
    "Position of the bytes, if the response has a single range",
);

/// The size of the content, if no range of it was satisfiable.
pub(super) const UNSATISFIED_RANGE: Field =
    Field::text("Content-Range", "Size of the file, as `bytes */11`");

/// The name of the file.
pub(super) const CONTENT_DISPOSITION: Field = Field::text(
    "Content-Disposition",
    "Name of the file (RFC 6266, RFC 8187)",
);

/// The digests of the file.
pub(super) const REPR_DIGEST: Field =
    Field::text("Repr-Digest", "Digests of the whole file (RFC 9530)");

/// The unit of ranges.
pub(super) const ACCEPT_RANGES: Field = Field::text("Accept-Ranges", "`bytes`");

/// The ban on guessing media types.
pub(super) const CONTENT_TYPE_OPTIONS: Field = Field::text("X-Content-Type-Options", "`nosniff`");

/// The ban on active content.
pub(super) const CONTENT_SECURITY_POLICY: Field = Field::text(
    "Content-Security-Policy",
    "Policy that blocks scripts and other active content of the file",
);

/// The ban on sending the link's URL to other sites.
pub(super) const REFERRER_POLICY: Field = Field::text("Referrer-Policy", "`no-referrer`");

/// The offset of an upload.
pub(super) const UPLOAD_OFFSET: Field =
    Field::bytes("Upload-Offset", "Current offset of the upload");

/// The mark of a complete upload.
pub(super) const COMPLETE: Field = Field::text("Upload-Complete", "`?1`");

/// The mark of an upload that was created, or of a file that was stored.
pub(super) const COMPLETE_AS_REQUESTED: Field = Field::text(
    "Upload-Complete",
    "As in the request, or `?1` if the caller already has the file",
);

/// The limits of uploads.
pub(super) const UPLOAD_LIMIT: Field = Field::text(
    "Upload-Limit",
    "A dictionary: `max-size` or `min-size=0`, and `max-age` in seconds",
);

/// The limits of an upload that was created.
pub(super) const UPLOAD_LIMIT_OF_NEW: Field = Field::text(
    "Upload-Limit",
    "Limits of the created upload, and its remaining lifetime in seconds",
);

/// The limits of uploads, for a resumable upload that exceeds them.
pub(super) const UPLOAD_LIMIT_IF_RESUMABLE: Field = Field::text(
    "Upload-Limit",
    "Limits of uploads, if the request has `Upload-Complete`",
);

/// The expiration of an upload by tus.
pub(super) const UPLOAD_EXPIRES: Field = Field::text(
    "Upload-Expires",
    "Time at which the upload expires without activity",
);

/// The URL of the file that a tus upload has become.
pub(super) const COMPLETED_LOCATION: Field = Field::text(
    "Content-Location",
    "URL of the file, if the upload is complete",
);

/// The version of tus.
pub(super) const TUS_VERSION: Field = Field::text("Tus-Version", "`1.0.0`");

/// The extensions of tus.
pub(super) const TUS_EXTENSION: Field =
    Field::text("Tus-Extension", "Supported extensions, separated by commas");

/// The algorithms of checksums.
pub(super) const TUS_CHECKSUM_ALGORITHM: Field = Field::text(
    "Tus-Checksum-Algorithm",
    "Supported checksum algorithms, separated by commas",
);

/// The size limit of tus uploads.
pub(super) const TUS_MAX_SIZE: Field = Field::bytes(
    "Tus-Max-Size",
    "Maximum size of an upload in bytes, if there is a limit",
);
