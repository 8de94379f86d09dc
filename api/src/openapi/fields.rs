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
    Field::text("Location", "The file's URL, `/files/{file_sha1}`");

/// The URL of a stored file, or of an upload that was created.
pub(super) const FILE_OR_UPLOAD_LOCATION: Field = Field::text(
    "Location",
    "The file's URL, `/files/{file_sha1}`; after `Upload-Complete: ?0` that of the upload, which has begun",
);

/// The URL of the content in its store.
pub(super) const CONTENT_LOCATION: Field =
    Field::text("Location", "Where they are; it is as good as the file");

/// The entity tag of an entry.
pub(super) const ENTRY_TAG: Field = Field::text("ETag", "The entry's version");

/// The entity tag of a content.
pub(super) const CONTENT_TAG: Field = Field::text("ETag", "The file's SHA-1");

/// The time of the upload.
pub(super) const LAST_MODIFIED: Field = Field::text("Last-Modified", "When it was uploaded");

/// The caching rule of what may change.
pub(super) const REVALIDATED: Field = Field::text("Cache-Control", "`private, no-cache`");

/// The caching rule of content, which never changes.
pub(super) const IMMUTABLE: Field = Field::text("Cache-Control", "`private, immutable`");

/// The caching rule of secrets.
pub(super) const UNSTORED: Field = Field::text("Cache-Control", "`private, no-store`");

/// The position of a single range.
pub(super) const CONTENT_RANGE: Field =
    Field::text("Content-Range", "Which bytes these are, if it is one range");

/// The size of the content, if no range of it was satisfiable.
pub(super) const UNSATISFIED_RANGE: Field =
    Field::text("Content-Range", "How many bytes there are, as `bytes */11`");

/// The name of the file.
pub(super) const CONTENT_DISPOSITION: Field = Field::text(
    "Content-Disposition",
    "The file's name (RFC 6266, RFC 8187)",
);

/// The digests of the file.
pub(super) const REPR_DIGEST: Field =
    Field::text("Repr-Digest", "The whole file's digests (RFC 9530)");

/// The unit of ranges.
pub(super) const ACCEPT_RANGES: Field = Field::text("Accept-Ranges", "`bytes`");

/// The ban on guessing media types.
pub(super) const CONTENT_TYPE_OPTIONS: Field = Field::text("X-Content-Type-Options", "`nosniff`");

/// The ban on active content.
pub(super) const CONTENT_SECURITY_POLICY: Field = Field::text(
    "Content-Security-Policy",
    "Nothing that it could bring along may run",
);

/// The ban on sending the link's URL to other sites.
pub(super) const REFERRER_POLICY: Field = Field::text("Referrer-Policy", "`no-referrer`");

/// The offset of an upload.
pub(super) const UPLOAD_OFFSET: Field =
    Field::bytes("Upload-Offset", "How many bytes the upload has");

/// The mark of a complete upload.
pub(super) const COMPLETE: Field = Field::text("Upload-Complete", "`?1`");

/// The mark of an upload that was created, or of a file that was stored.
pub(super) const COMPLETE_AS_REQUESTED: Field = Field::text(
    "Upload-Complete",
    "As the request's, or `?1` if the caller had the file already",
);

/// The limits of uploads.
pub(super) const UPLOAD_LIMIT: Field = Field::text(
    "Upload-Limit",
    "A dictionary: `max-size` or `min-size=0`, and `max-age` in seconds",
);

/// The limits of an upload that was created.
pub(super) const UPLOAD_LIMIT_OF_NEW: Field = Field::text(
    "Upload-Limit",
    "What the upload that has begun may be, and for how many seconds it is kept",
);

/// The limits of uploads, for a resumable upload that exceeds them.
pub(super) const UPLOAD_LIMIT_IF_RESUMABLE: Field = Field::text(
    "Upload-Limit",
    "What uploads may be, if the request has `Upload-Complete`",
);

/// The expiration of an upload by tus.
pub(super) const UPLOAD_EXPIRES: Field = Field::text(
    "Upload-Expires",
    "Until when it is kept if nothing is heard of it",
);

/// The URL of the file that a tus upload has become.
pub(super) const COMPLETED_LOCATION: Field = Field::text(
    "Content-Location",
    "The file's URL, if the upload is complete",
);

/// The version of tus.
pub(super) const TUS_VERSION: Field = Field::text("Tus-Version", "`1.0.0`");

/// The extensions of tus.
pub(super) const TUS_EXTENSION: Field =
    Field::text("Tus-Extension", "The extensions, separated by commas");

/// The algorithms of checksums.
pub(super) const TUS_CHECKSUM_ALGORITHM: Field = Field::text(
    "Tus-Checksum-Algorithm",
    "The algorithms, separated by commas",
);

/// The size limit of tus uploads.
pub(super) const TUS_MAX_SIZE: Field = Field::bytes(
    "Tus-Max-Size",
    "The most bytes that an upload may have, if there is a limit",
);
