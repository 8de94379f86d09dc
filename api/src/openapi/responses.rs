//! Responses that several operations share, or that share their header fields.
//!
//! An operation names one of these types in its `responses`, beside the responses that it alone
//! has.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses,
    openapi::{Content, Ref, RefOr, Response, ResponseBuilder},
};

use super::fields::{
    ACCEPT_RANGES, COMPLETE, COMPLETE_AS_REQUESTED, COMPLETED_LOCATION, CONTENT_DISPOSITION,
    CONTENT_LOCATION, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TAG, CONTENT_TYPE_OPTIONS,
    ENTRY_TAG, FILE_LOCATION, FILE_OR_UPLOAD_LOCATION, Field, LAST_MODIFIED, REFERRER_POLICY,
    REPR_DIGEST, REVALIDATED, TUS_CHECKSUM_ALGORITHM, TUS_EXTENSION, TUS_MAX_SIZE, TUS_VERSION,
    UNSATISFIED_RANGE, UNSTORED, UPLOAD_EXPIRES, UPLOAD_LIMIT, UPLOAD_LIMIT_IF_RESUMABLE,
    UPLOAD_LIMIT_OF_NEW, UPLOAD_OFFSET,
};

type Responses = BTreeMap<String, RefOr<Response>>;

/// The metadata of a file that was stored: 201 if it is new for the caller, else 200.
pub(crate) struct StoredFile;

impl IntoResponses for StoredFile {
    fn responses() -> Responses {
        let fields = [FILE_LOCATION, ENTRY_TAG, REVALIDATED];
        by_status([
            ("201", described(NEW, &fields).metadata()),
            ("200", described(KNOWN, &fields).metadata()),
        ])
    }
}

/// The metadata of a file that a resumable upload has become: as [`StoredFile`], with the state of
/// the upload.
pub(crate) struct CompletedUpload;

impl IntoResponses for CompletedUpload {
    fn responses() -> Responses {
        let fields = [
            FILE_LOCATION,
            UPLOAD_OFFSET,
            COMPLETE,
            ENTRY_TAG,
            REVALIDATED,
        ];
        by_status([
            ("201", described(NEW, &fields).metadata()),
            ("200", described(KNOWN, &fields).metadata()),
        ])
    }
}

/// The responses to an upload of a whole file, which may also create a resumable upload.
pub(crate) struct UploadedFile;

impl IntoResponses for UploadedFile {
    fn responses() -> Responses {
        let created = [
            FILE_OR_UPLOAD_LOCATION,
            ENTRY_TAG,
            REVALIDATED,
            COMPLETE_AS_REQUESTED,
            UPLOAD_OFFSET,
            UPLOAD_LIMIT_OF_NEW,
        ];
        let mut responses = StoredFile::responses();
        responses.extend(by_status([
            ("201", described(NEW, &created).metadata()),
            ("406", described("`not-acceptable`", &[])),
            (
                "409",
                described(
                    "`digest-collision`: different content with this SHA-1 is stored",
                    &[],
                ),
            ),
            (
                "413",
                described("`too-large`", &[UPLOAD_LIMIT_IF_RESUMABLE]),
            ),
            ("415", described("`unsupported-media-type`", &[])),
            (
                "422",
                described("`digest-mismatch`: nothing was stored", &[]),
            ),
            (
                "507",
                described("`storage-full` or `quota-full`: nothing was stored", &[]),
            ),
        ]));
        responses
    }
}

/// The responses to a download by the owner of the file.
pub(crate) struct FileBytes;

impl IntoResponses for FileBytes {
    fn responses() -> Responses {
        file_bytes(&[])
    }
}

/// The responses to a download by a link.
pub(crate) struct LinkedFileBytes;

impl IntoResponses for LinkedFileBytes {
    fn responses() -> Responses {
        file_bytes(&[REFERRER_POLICY])
    }
}

fn file_bytes(more: &[Field]) -> Responses {
    let validators = [CONTENT_TAG, LAST_MODIFIED, REVALIDATED];
    let whole = [
        &validators,
        more,
        &[
            CONTENT_DISPOSITION,
            REPR_DIGEST,
            ACCEPT_RANGES,
            CONTENT_TYPE_OPTIONS,
            CONTENT_SECURITY_POLICY,
        ],
    ]
    .concat();
    let partial = [&whole[..], &[CONTENT_RANGE]].concat();
    by_status([
        (
            "200",
            described("The whole file, with its own media type", &whole)
                .bytes(&["application/octet-stream", "*/*"]),
        ),
        (
            "206",
            described(
                "The requested ranges: a single one, or several as `multipart/byteranges`",
                &partial,
            )
            .bytes(&["application/octet-stream", "multipart/byteranges", "*/*"]),
        ),
        (
            "304",
            described("The client already has the current file", &validators),
        ),
        (
            "307",
            described(
                "The bytes are available at another URL for one minute; only if the settings redirect downloads to the store",
                &[CONTENT_LOCATION, UNSTORED],
            ),
        ),
        ("412", described("`precondition-failed`", &[])),
        (
            "416",
            described("`range-not-satisfiable`", &[UNSATISFIED_RANGE]),
        ),
    ])
}

/// The limits of resumable uploads.
pub(crate) struct ResumptionOffer;

impl IntoResponses for ResumptionOffer {
    fn responses() -> Responses {
        by_status([("204", described("Limits of uploads", &[UPLOAD_LIMIT]))])
    }
}

/// The version, extensions and limits of tus.
pub(crate) struct TusOffer;

impl IntoResponses for TusOffer {
    fn responses() -> Responses {
        let fields = [
            TUS_VERSION,
            TUS_EXTENSION,
            TUS_CHECKSUM_ALGORITHM,
            TUS_MAX_SIZE,
        ];
        by_status([(
            "204",
            described("Supported version, extensions and limits", &fields),
        )])
    }
}

/// The responses to an append by tus that contain the offset of the upload.
pub(crate) struct TusOffset;

impl IntoResponses for TusOffset {
    fn responses() -> Responses {
        let fields = [UPLOAD_OFFSET, UPLOAD_EXPIRES];
        let appended = [UPLOAD_OFFSET, UPLOAD_EXPIRES, COMPLETED_LOCATION];
        by_status([
            ("204", described("The bytes are stored", &appended)),
            (
                "409",
                described(
                    "`mismatching-upload-offset`, `superseded`, or `digest-collision`: the upload has ended",
                    &fields,
                ),
            ),
            ("413", described("`too-large`", &fields)),
            (
                "460",
                described(
                    "`checksum-mismatch`: the bytes of the request were discarded",
                    &fields,
                ),
            ),
        ])
    }
}

/// The responses to the removal of an upload, in both protocols.
pub(crate) struct RemovedUpload;

impl IntoResponses for RemovedUpload {
    fn responses() -> Responses {
        by_status([
            ("204", described("The upload was removed", &[])),
            ("400", described("`invalid-query`", &[])),
            ("404", described("`upload-not-found`", &[])),
            ("409", described("`superseded`", &[])),
            ("410", described("`upload-gone`", &[])),
            (
                "507",
                described("`storage-full`: the upload remains, without its bytes", &[]),
            ),
        ])
    }
}

const NEW: &str = "The caller now has the file";
const KNOWN: &str = "The caller already has the file; it is unchanged";

/// A response with a description and header fields.
struct Described(ResponseBuilder);

fn described(description: &str, fields: &[Field]) -> Described {
    let response = ResponseBuilder::new().description(description);
    Described(fields.iter().fold(response, |response, field| {
        response.header(field.name, field.header())
    }))
}

impl Described {
    /// Adds the metadata of a file as the body.
    fn metadata(self) -> Self {
        self.body("application/json", "FileMeta")
    }

    /// Adds the bytes of a file as the body.
    fn bytes(self, media_types: &[&str]) -> Self {
        let with_body =
            |response: Self, media_type: &&str| response.body(media_type, "FileContent");
        media_types.iter().fold(self, with_body)
    }

    fn body(self, media_type: &str, schema: &str) -> Self {
        let content = Content::new(Some(Ref::from_schema_name(schema)));
        Self(self.0.content(media_type, content))
    }
}

fn by_status<const N: usize>(responses: [(&str, Described); N]) -> Responses {
    responses
        .into_iter()
        .map(|(status, Described(response))| (status.to_owned(), response.build().into()))
        .collect()
}
