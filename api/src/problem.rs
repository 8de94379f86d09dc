//! Problem details (RFC 9457): what a client hears when a request fails.
//!
//! [`ProblemType`] is the one table of what can be wrong. What is the service's own fault is
//! logged with all its causes, and told in general terms only.

mod causes;

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

/// The media type of a problem's JSON.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// How many bytes an upload has, in both protocols.
pub(crate) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// How long a client had better wait after a failure that may pass, in seconds.
const RETRY_AFTER: &str = "2";

macro_rules! problem_types {
    ($($variant:ident = $slug:tt, $status:expr, $title:tt;)+) => {
        /// What kinds of problems there are.
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

            /// What all problems of this kind have in common.
            pub(crate) fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }

            /// The status code that answers with such a problem have.
            pub(crate) fn status(self) -> StatusCode {
                match self { $(Self::$variant => $status,)+ }
            }
        }
    };
}

problem_types! {
    InvalidSha1 = "urn:fileserver:problem:invalid-sha1", StatusCode::BAD_REQUEST,
        "The SHA-1 in the URL is not 40 hexadecimal digits.";
    InvalidFileName = "urn:fileserver:problem:invalid-file-name", StatusCode::BAD_REQUEST,
        "The file name is missing, or is none that a file can have.";
    InvalidQuery = "urn:fileserver:problem:invalid-query", StatusCode::BAD_REQUEST,
        "A query parameter is unknown, repeated, or has a value that it cannot have.";
    InvalidCursor = "urn:fileserver:problem:invalid-cursor", StatusCode::BAD_REQUEST,
        "The cursor does not come from this listing.";
    InvalidHeader = "urn:fileserver:problem:invalid-header", StatusCode::BAD_REQUEST,
        "A header field cannot be read.";
    InvalidBody = "urn:fileserver:problem:invalid-body", StatusCode::BAD_REQUEST,
        "The request's body cannot be read, or says what it cannot say.";
    InvalidMetadata = "urn:fileserver:problem:invalid-metadata", StatusCode::BAD_REQUEST,
        "What is said about the upload cannot be read, or is nothing that it can be.";
    InvalidConcatenation = "urn:fileserver:problem:invalid-concatenation", StatusCode::BAD_REQUEST,
        "The upload cannot be made of what is named.";
    InconsistentLength = "https://iana.org/assignments/http-problem-types#inconsistent-upload-length", StatusCode::BAD_REQUEST,
        "The request contradicts the length that the upload was said to have.";
    CompletedUpload = "https://iana.org/assignments/http-problem-types#completed-upload", StatusCode::BAD_REQUEST,
        "The upload is complete, and nothing can be appended to it.";
    MissingCredentials = "urn:fileserver:problem:missing-credentials", StatusCode::UNAUTHORIZED,
        "The request does not say who makes it.";
    InvalidCredentials = "urn:fileserver:problem:invalid-credentials", StatusCode::UNAUTHORIZED,
        "The request's credentials let nobody in.";
    InsufficientScope = "urn:fileserver:problem:insufficient-scope", StatusCode::FORBIDDEN,
        "The request's credentials do not allow this.";
    FinalUpload = "urn:fileserver:problem:final-upload", StatusCode::FORBIDDEN,
        "The upload is made of others, and nothing can be appended to it.";
    NotFound = "urn:fileserver:problem:not-found", StatusCode::NOT_FOUND,
        "There is no such file.";
    UploadNotFound = "urn:fileserver:problem:upload-not-found", StatusCode::NOT_FOUND,
        "There is no such upload.";
    ClaimNotFound = "urn:fileserver:problem:claim-not-found", StatusCode::NOT_FOUND,
        "There is no such claim, or it was used before, or it has expired.";
    LinkNotFound = "urn:fileserver:problem:link-not-found", StatusCode::NOT_FOUND,
        "There is no such link, or it does not work any more.";
    TransferNotFound = "urn:fileserver:problem:transfer-not-found", StatusCode::NOT_FOUND,
        "There is no such transfer.";
    NoSuchResource = "urn:fileserver:problem:no-such-resource", StatusCode::NOT_FOUND,
        "There is nothing at this URL.";
    MethodNotAllowed = "urn:fileserver:problem:method-not-allowed", StatusCode::METHOD_NOT_ALLOWED,
        "The resource does not have this method.";
    NotAcceptable = "urn:fileserver:problem:not-acceptable", StatusCode::NOT_ACCEPTABLE,
        "The answer would be JSON, which the request does not accept.";
    TooSlow = "urn:fileserver:problem:too-slow", StatusCode::REQUEST_TIMEOUT,
        "The request's body did not come fast enough.";
    DigestCollision = "urn:fileserver:problem:digest-collision", StatusCode::CONFLICT,
        "Another content with the same SHA-1 is stored.";
    MismatchingOffset = "https://iana.org/assignments/http-problem-types#mismatching-upload-offset", StatusCode::CONFLICT,
        "The upload has another number of bytes than the request goes on from.";
    Superseded = "urn:fileserver:problem:superseded", StatusCode::CONFLICT,
        "A newer request goes on with the upload.";
    TransferOver = "urn:fileserver:problem:transfer-over", StatusCode::CONFLICT,
        "The transfer has ended.";
    UploadGone = "urn:fileserver:problem:upload-gone", StatusCode::GONE,
        "The upload has expired, or cannot be completed any more.";
    UnsupportedVersion = "urn:fileserver:problem:unsupported-version", StatusCode::PRECONDITION_FAILED,
        "The request is not made by a version of tus that is spoken here.";
    PreconditionFailed = "urn:fileserver:problem:precondition-failed", StatusCode::PRECONDITION_FAILED,
        "The resource is not in the state that the request depends on.";
    TooLarge = "urn:fileserver:problem:too-large", StatusCode::PAYLOAD_TOO_LARGE,
        "The request's body has more bytes than are taken.";
    UnsupportedMediaType = "urn:fileserver:problem:unsupported-media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "The request's body is of a kind that the resource does not take.";
    RangeNotSatisfiable = "urn:fileserver:problem:range-not-satisfiable", StatusCode::RANGE_NOT_SATISFIABLE,
        "The content has none of the bytes that were asked for.";
    Misdirected = "urn:fileserver:problem:misdirected", StatusCode::MISDIRECTED_REQUEST,
        "The process that was reached answers other requests only.";
    DigestMismatch = "urn:fileserver:problem:digest-mismatch", StatusCode::UNPROCESSABLE_ENTITY,
        "What arrived does not have the digest that was announced.";
    ClaimRefused = "urn:fileserver:problem:claim-refused", StatusCode::UNPROCESSABLE_ENTITY,
        "The claim is not proven; upload the file.";
    TooManyClaims = "urn:fileserver:problem:too-many-claims", StatusCode::TOO_MANY_REQUESTS,
        "More claims were made than are taken in a minute.";
    RateLimited = "urn:fileserver:problem:rate-limited", StatusCode::TOO_MANY_REQUESTS,
        "More requests were made than are taken in a second.";
    TooManyUploads = "urn:fileserver:problem:too-many-uploads", StatusCode::TOO_MANY_REQUESTS,
        "As many uploads of the owner are being sent as are taken in at a time.";
    ChecksumMismatch = "urn:fileserver:problem:checksum-mismatch", checksum_mismatch(),
        "The bytes do not have the checksum that was announced, and were dropped.";
    Internal = "urn:fileserver:problem:internal", StatusCode::INTERNAL_SERVER_ERROR,
        "The service has a defect, or its data were damaged.";
    Unavailable = "urn:fileserver:problem:unavailable", StatusCode::SERVICE_UNAVAILABLE,
        "The service cannot do this at the moment.";
    QuotaFull = "urn:fileserver:problem:quota-full", StatusCode::INSUFFICIENT_STORAGE,
        "The owner has as much as it may have.";
    StorageFull = "urn:fileserver:problem:storage-full", StatusCode::INSUFFICIENT_STORAGE,
        "There is no room left.";
}

/// 460, which tus 1.0.0 has for bytes that do not have their checksum.
fn checksum_mismatch() -> StatusCode {
    StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST)
}

impl ProblemType {
    /// The last part of the URI, by which the contract refers to the kind.
    pub(crate) fn slug(self) -> &'static str {
        self.uri().rsplit([':', '#']).next().unwrap_or_default()
    }
}

/// The part of a request that a problem lies in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ProblemSource {
    /// The part.
    #[serde(rename = "in")]
    #[schema(example = "query")]
    pub(crate) place: ProblemLocation,
    /// The parameter, header field, multipart part or JSON member, if it is a certain one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "limit")]
    pub(crate) name: Option<String>,
}

/// The parts of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Place)]
pub(crate) enum ProblemLocation {
    /// The URL's path.
    Path,
    /// The URL's query.
    Query,
    /// The header.
    Header,
    /// The body.
    Body,
    /// A part of a multipart body.
    Part,
}

/// Why a request failed (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Problem {
    /// The kind of problem.
    #[serde(rename = "type")]
    pub(crate) kind: ProblemType,
    /// What all problems of this kind have in common.
    pub(crate) title: &'static str,
    /// The answer's status code.
    #[schema(minimum = 400, maximum = 599)]
    pub(crate) status: u16,
    /// What was wrong with this request.
    pub(crate) detail: String,
    /// Where in the request it was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) source: Option<Box<ProblemSource>>,
    /// How many bytes the upload has, if the request goes on from another number.
    #[serde(rename = "expected-offset", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expected_offset: Option<u64>,
    /// Where the request goes on from.
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

    /// Says in which part of the request the problem lies.
    pub(crate) fn at(mut self, place: ProblemLocation) -> Self {
        self.source = Some(Box::new(ProblemSource { place, name: None }));
        self
    }

    /// Says in which parameter, header field, part or member the problem lies.
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

    /// Whether the problem's answer tells how many bytes an upload has.
    pub(crate) fn is_about_offset(&self) -> bool {
        self.headers.iter().any(|(name, _)| *name == UPLOAD_OFFSET)
    }

    /// Tells how many bytes an upload has.
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

    /// A failure that may pass; its cause is logged, not told.
    pub(crate) fn unavailable(fault: Component, error: &dyn std::error::Error) -> Self {
        tracing::error!(?fault, error = %ErrorChain(error), "a request failed");
        let what = match fault {
            Component::Database => "the database",
            Component::Store => "the store",
            Component::Service => "the service",
        };
        let mut problem = Self::new(
            ProblemType::Unavailable,
            format!("{what} is not available; try again"),
        )
        .with_header(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        problem.fault = Some(fault);
        problem
    }

    /// A store that cannot be used, and why, for whoever runs the service.
    pub(crate) fn unready(detail: String) -> Self {
        tracing::error!(error = detail, "the service is not ready");
        let mut problem = Self::new(ProblemType::Unavailable, detail)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        problem.fault = Some(Component::Store);
        problem
    }

    /// A service that is told to stop; others go on.
    pub(crate) fn stopping() -> Self {
        Self::new(
            ProblemType::Unavailable,
            "the service is stopping; try again",
        )
        .with_header(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER))
    }

    fn full(fault: Component, error: &dyn std::error::Error) -> Self {
        tracing::error!(?fault, error = %ErrorChain(error), "no room is left");
        let mut problem = Self::new(ProblemType::StorageFull, "nothing was stored");
        problem.fault = Some(fault);
        problem
    }

    fn internal(fault: Component, error: &dyn std::error::Error) -> Self {
        tracing::error!(?fault, error = %ErrorChain(error), "a request failed");
        let mut problem = Self::new(ProblemType::Internal, "the service's log has the cause");
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
