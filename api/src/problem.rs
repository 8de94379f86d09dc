//! Problem details (RFC 9457): the bodies of failed requests.
//!
//! [`ProblemType`] is the table of everything that can go wrong. Failures of the service itself are
//! logged with their causes, which the client does not see.

mod from_error;

use std::fmt;

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};
use domain::ErrorChain;
use serde::Serialize;
use telemetry::Component;
use utoipa::ToSchema;

/// The media type of problems.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// The number of bytes of an upload, in both protocols.
pub(crate) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// Seconds that a client should wait after a temporary failure.
const RETRY_AFTER: &str = "2";

macro_rules! problem_types {
    ($($variant:ident = $slug:tt, $status:expr, $title:tt;)+) => {
        /// The kinds of problems.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
        pub(crate) enum ProblemType {
            $(
                #[doc = $title]
                #[serde(rename = $slug)]
                $variant,
            )+
        }

        impl ProblemType {
            /// Every kind.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),+];

            /// The URI that names the kind.
            pub(crate) fn uri(self) -> &'static str {
                match self { $(Self::$variant => $slug,)+ }
            }

            /// The summary that all problems of this kind share.
            pub(crate) fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }

            /// The status code of responses with this problem.
            pub(crate) fn status(self) -> StatusCode {
                match self { $(Self::$variant => $status,)+ }
            }
        }
    };
}

problem_types! {
    MalformedRequest = "urn:fileserver:problem:malformed-request", StatusCode::BAD_REQUEST,
        "The request is not well-formed HTTP.";
    InvalidSha1 = "urn:fileserver:problem:invalid-sha1", StatusCode::BAD_REQUEST,
        "The SHA-1 in the URL must be 40 hexadecimal digits.";
    InvalidFileName = "urn:fileserver:problem:invalid-file-name", StatusCode::BAD_REQUEST,
        "The file name is missing or invalid.";
    InvalidQuery = "urn:fileserver:problem:invalid-query", StatusCode::BAD_REQUEST,
        "A query parameter is unknown, repeated or invalid.";
    InvalidCursor = "urn:fileserver:problem:invalid-cursor", StatusCode::BAD_REQUEST,
        "The cursor does not belong to this listing.";
    InvalidHeader = "urn:fileserver:problem:invalid-header", StatusCode::BAD_REQUEST,
        "A header field is malformed.";
    InvalidBody = "urn:fileserver:problem:invalid-body", StatusCode::BAD_REQUEST,
        "The request body is malformed.";
    InvalidMetadata = "urn:fileserver:problem:invalid-metadata", StatusCode::BAD_REQUEST,
        "The upload metadata is malformed.";
    InvalidConcatenation = "urn:fileserver:problem:invalid-concatenation", StatusCode::BAD_REQUEST,
        "The named uploads cannot be concatenated.";
    InconsistentLength = "https://iana.org/assignments/http-problem-types#inconsistent-upload-length", StatusCode::BAD_REQUEST,
        "The request contradicts the announced length of the upload.";
    CompletedUpload = "https://iana.org/assignments/http-problem-types#completed-upload", StatusCode::BAD_REQUEST,
        "The upload is already complete.";
    MissingCredentials = "urn:fileserver:problem:missing-credentials", StatusCode::UNAUTHORIZED,
        "The request has no credentials.";
    InvalidCredentials = "urn:fileserver:problem:invalid-credentials", StatusCode::UNAUTHORIZED,
        "The credentials are invalid.";
    InsufficientScope = "urn:fileserver:problem:insufficient-scope", StatusCode::FORBIDDEN,
        "The credentials lack the required scope.";
    ForeignSite = "urn:fileserver:problem:foreign-site", StatusCode::FORBIDDEN,
        "The request is for another host, or comes from another site.";
    FinalUpload = "urn:fileserver:problem:final-upload", StatusCode::FORBIDDEN,
        "The upload is a concatenation, and no bytes can be appended to it.";
    NotFound = "urn:fileserver:problem:not-found", StatusCode::NOT_FOUND,
        "The file does not exist.";
    UploadNotFound = "urn:fileserver:problem:upload-not-found", StatusCode::NOT_FOUND,
        "The upload does not exist.";
    ClaimNotFound = "urn:fileserver:problem:claim-not-found", StatusCode::NOT_FOUND,
        "The claim does not exist, was used already, or has expired.";
    LinkNotFound = "urn:fileserver:problem:link-not-found", StatusCode::NOT_FOUND,
        "The link does not exist or no longer works.";
    TransferNotFound = "urn:fileserver:problem:transfer-not-found", StatusCode::NOT_FOUND,
        "The transfer does not exist.";
    NoSuchResource = "urn:fileserver:problem:no-such-resource", StatusCode::NOT_FOUND,
        "There is no resource at this URL.";
    MethodNotAllowed = "urn:fileserver:problem:method-not-allowed", StatusCode::METHOD_NOT_ALLOWED,
        "The resource does not support this method.";
    NotAcceptable = "urn:fileserver:problem:not-acceptable", StatusCode::NOT_ACCEPTABLE,
        "The response is JSON, which the request does not accept.";
    TooSlow = "urn:fileserver:problem:too-slow", StatusCode::REQUEST_TIMEOUT,
        "The request body arrived too slowly.";
    HeaderTooSlow = "urn:fileserver:problem:header-too-slow", StatusCode::REQUEST_TIMEOUT,
        "The request header arrived too slowly.";
    DigestCollision = "urn:fileserver:problem:digest-collision", StatusCode::CONFLICT,
        "Different content with the same SHA-1 is stored.";
    MismatchingOffset = "https://iana.org/assignments/http-problem-types#mismatching-upload-offset", StatusCode::CONFLICT,
        "The offset of the request is not that of the upload.";
    Superseded = "urn:fileserver:problem:superseded", StatusCode::CONFLICT,
        "A newer request has taken over the upload.";
    TransferOver = "urn:fileserver:problem:transfer-over", StatusCode::CONFLICT,
        "The transfer has ended.";
    UploadGone = "urn:fileserver:problem:upload-gone", StatusCode::GONE,
        "The upload has expired or can no longer be completed.";
    UnsupportedVersion = "urn:fileserver:problem:unsupported-version", StatusCode::PRECONDITION_FAILED,
        "This version of tus is not supported.";
    PreconditionFailed = "urn:fileserver:problem:precondition-failed", StatusCode::PRECONDITION_FAILED,
        "A precondition of the request is not met.";
    TooLarge = "urn:fileserver:problem:too-large", StatusCode::PAYLOAD_TOO_LARGE,
        "The request body is too large.";
    UnsupportedMediaType = "urn:fileserver:problem:unsupported-media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "The media type of the request body is not supported.";
    RangeNotSatisfiable = "urn:fileserver:problem:range-not-satisfiable", StatusCode::RANGE_NOT_SATISFIABLE,
        "The requested range lies outside the content.";
    Misdirected = "urn:fileserver:problem:misdirected", StatusCode::MISDIRECTED_REQUEST,
        "This process does not answer such requests.";
    DigestMismatch = "urn:fileserver:problem:digest-mismatch", StatusCode::UNPROCESSABLE_ENTITY,
        "The content does not match the announced digest.";
    ClaimRefused = "urn:fileserver:problem:claim-refused", StatusCode::UNPROCESSABLE_ENTITY,
        "The proof of possession is wrong; upload the file.";
    TooManyClaims = "urn:fileserver:problem:too-many-claims", StatusCode::TOO_MANY_REQUESTS,
        "The owner made too many claims in a minute.";
    RateLimited = "urn:fileserver:problem:rate-limited", StatusCode::TOO_MANY_REQUESTS,
        "The owner made too many requests in a second.";
    TooManyUploads = "urn:fileserver:problem:too-many-uploads", StatusCode::TOO_MANY_REQUESTS,
        "The owner has too many simultaneous uploads.";
    TooManyListings = "urn:fileserver:problem:too-many-listings", StatusCode::TOO_MANY_REQUESTS,
        "The owner has too many simultaneous listings.";
    HeaderTooLarge = "urn:fileserver:problem:header-too-large", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The request header is too large.";
    ChecksumMismatch = "urn:fileserver:problem:checksum-mismatch", checksum_mismatch(),
        "The bytes do not match the announced checksum, and were discarded.";
    Internal = "urn:fileserver:problem:internal", StatusCode::INTERNAL_SERVER_ERROR,
        "An internal error occurred.";
    Unavailable = "urn:fileserver:problem:unavailable", StatusCode::SERVICE_UNAVAILABLE,
        "The service is temporarily unavailable.";
    QuotaFull = "urn:fileserver:problem:quota-full", StatusCode::INSUFFICIENT_STORAGE,
        "The owner's quota is exhausted.";
    StorageFull = "urn:fileserver:problem:storage-full", StatusCode::INSUFFICIENT_STORAGE,
        "The storage is full.";
}

/// 460, which tus 1.0.0 assigns to a wrong checksum.
fn checksum_mismatch() -> StatusCode {
    StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST)
}

impl ProblemType {
    /// The last part of the URI, which the contract uses as the name of the kind.
    pub(crate) fn slug(self) -> &'static str {
        self.uri().rsplit([':', '#']).next().unwrap_or_default()
    }
}

/// The place of a problem in the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ProblemSource {
    /// The part of the request.
    #[serde(rename = "in")]
    #[schema(example = "query")]
    pub(crate) place: ProblemLocation,
    /// The name of the parameter, header field, multipart part or JSON member, if the problem is
    /// about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "limit")]
    pub(crate) name: Option<String>,
}

/// A part of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Place)]
pub(crate) enum ProblemLocation {
    /// The path of the URL.
    Path,
    /// The query of the URL.
    Query,
    /// The header.
    Header,
    /// The body.
    Body,
    /// A part of a multipart body.
    Part,
}

/// The reason why a request failed (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Problem {
    /// The kind of problem.
    #[serde(rename = "type")]
    pub(crate) kind: ProblemType,
    /// A summary that all problems of this kind share.
    pub(crate) title: &'static str,
    /// The status code of the response.
    #[schema(minimum = 400, maximum = 599)]
    pub(crate) status: u16,
    /// An explanation of this occurrence.
    pub(crate) detail: String,
    /// The place in the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) source: Option<Box<ProblemSource>>,
    /// The offset of the upload, if the request has another one.
    #[serde(rename = "expected-offset", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expected_offset: Option<u64>,
    /// The offset of the request, if it is not that of the upload.
    #[serde(rename = "provided-offset", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    provided_offset: Option<u64>,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
    #[serde(skip)]
    fault: Option<Component>,
}

impl Problem {
    pub(crate) fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            kind,
            title: kind.title(),
            status: kind.status().as_u16(),
            detail: detail.into(),
            source: None,
            expected_offset: None,
            provided_offset: None,
            headers: Vec::new(),
            fault: None,
        }
    }

    /// Names the part of the request.
    pub(crate) fn at(mut self, place: ProblemLocation) -> Self {
        self.source = Some(Box::new(ProblemSource { place, name: None }));
        self
    }

    /// Names the parameter, header field, multipart part or JSON member.
    pub(crate) fn named(mut self, place: ProblemLocation, name: impl Into<String>) -> Self {
        self.source = Some(Box::new(ProblemSource {
            place,
            name: Some(name.into()),
        }));
        self
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Returns whether the response contains the offset of an upload.
    pub(crate) fn is_about_offset(&self) -> bool {
        self.headers.iter().any(|(name, _)| *name == UPLOAD_OFFSET)
    }

    /// Adds the offset of the upload.
    pub(crate) fn with_offset(self, offset: u64) -> Self {
        self.with_header(UPLOAD_OFFSET, offset.into())
    }

    pub(crate) fn query(name: &str, detail: impl Into<String>) -> Self {
        Self::new(ProblemType::InvalidQuery, detail).named(ProblemLocation::Query, name)
    }

    pub(crate) fn header(name: &HeaderName, detail: impl Into<String>) -> Self {
        Self::new(ProblemType::InvalidHeader, detail).named(ProblemLocation::Header, name.as_str())
    }

    pub(crate) fn body(detail: impl Into<String>) -> Self {
        Self::new(ProblemType::InvalidBody, detail).at(ProblemLocation::Body)
    }

    /// A temporary failure; its cause is logged, not sent.
    pub(crate) fn unavailable(fault: Component, error: &dyn std::error::Error) -> Self {
        tracing::error!(?fault, error = %ErrorChain(error), "request failed");
        let what = match fault {
            Component::Database => "the database",
            Component::Store => "the store",
            Component::Service => "the service",
        };
        let mut problem = Self::new(
            ProblemType::Unavailable,
            format!("{what} is temporarily unavailable; try again"),
        )
        .with_header(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        problem.fault = Some(fault);
        problem
    }

    /// A listing that did not get its turn, or whose client stopped waiting for it.
    pub(crate) fn too_many_listings(detail: impl Into<String>) -> Self {
        Self::new(ProblemType::TooManyListings, detail)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER))
    }

    /// A component without which the service is not ready; the detail is for the operator.
    pub(crate) fn unready(fault: Component, detail: String) -> Self {
        tracing::error!(?fault, error = detail, "the service is not ready");
        let mut problem = Self::new(ProblemType::Unavailable, detail)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        problem.fault = Some(fault);
        problem
    }

    /// A process that is shutting down, while others continue.
    pub(crate) fn stopping() -> Self {
        Self::new(
            ProblemType::Unavailable,
            "the service is shutting down; try again",
        )
        .with_header(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER))
    }

    fn full(fault: Component, error: &dyn std::error::Error) -> Self {
        tracing::error!(?fault, error = %ErrorChain(error), "storage is full");
        let mut problem = Self::new(ProblemType::StorageFull, "there is no room for more bytes");
        problem.fault = Some(fault);
        problem
    }

    fn internal(fault: Component, error: &dyn std::error::Error) -> Self {
        tracing::error!(?fault, error = %ErrorChain(error), "request failed");
        let mut problem = Self::new(ProblemType::Internal, "the service has logged the cause");
        problem.fault = Some(fault);
        problem
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.kind.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        for (name, value) in &self.headers {
            response.insert_header((name.clone(), value.clone()));
        }
        let mut response = response
            .content_type(MEDIA_TYPE)
            .body(serde_json::to_string(self).unwrap_or_default());
        if let Some(fault) = self.fault {
            response.extensions_mut().insert(fault);
        }
        response
    }
}
