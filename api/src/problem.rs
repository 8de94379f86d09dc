//! Problem details (RFC 9457): what a client hears when a request fails.
//!
//! [`ProblemType`] is the one table of what can be wrong. What is the service's own fault is
//! logged with all its causes, and told in general terms only.

use std::fmt;

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of a problem's JSON.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// How long a client had better wait after a failure that may pass, in seconds.
const RETRY_AFTER: &str = "2";

macro_rules! problem_types {
    ($($variant:ident = $slug:tt, $status:ident, $title:tt;)+) => {
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
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }
        }
    };
}

problem_types! {
    InvalidSha1 = "urn:fileserver:problem:invalid-sha1", BAD_REQUEST,
        "The SHA-1 in the URL is not 40 hexadecimal digits.";
    InvalidFileName = "urn:fileserver:problem:invalid-file-name", BAD_REQUEST,
        "The file name is missing, or is none that a file can have.";
    InvalidQuery = "urn:fileserver:problem:invalid-query", BAD_REQUEST,
        "A query parameter is unknown, repeated, or has a value that it cannot have.";
    InvalidCursor = "urn:fileserver:problem:invalid-cursor", BAD_REQUEST,
        "The cursor does not come from this listing.";
    InvalidHeader = "urn:fileserver:problem:invalid-header", BAD_REQUEST,
        "A header field cannot be read.";
    InvalidBody = "urn:fileserver:problem:invalid-body", BAD_REQUEST,
        "The request's body cannot be read, or says what it cannot say.";
    NotFound = "urn:fileserver:problem:not-found", NOT_FOUND,
        "There is no such file.";
    NoSuchResource = "urn:fileserver:problem:no-such-resource", NOT_FOUND,
        "There is nothing at this URL.";
    MethodNotAllowed = "urn:fileserver:problem:method-not-allowed", METHOD_NOT_ALLOWED,
        "The resource does not have this method.";
    NotAcceptable = "urn:fileserver:problem:not-acceptable", NOT_ACCEPTABLE,
        "The answer would be JSON, which the request does not accept.";
    DigestCollision = "urn:fileserver:problem:digest-collision", CONFLICT,
        "Another content with the same SHA-1 is stored.";
    PreconditionFailed = "urn:fileserver:problem:precondition-failed", PRECONDITION_FAILED,
        "The resource is not in the state that the request depends on.";
    TooLarge = "urn:fileserver:problem:too-large", PAYLOAD_TOO_LARGE,
        "The request's body has more bytes than are taken.";
    UnsupportedMediaType = "urn:fileserver:problem:unsupported-media-type", UNSUPPORTED_MEDIA_TYPE,
        "The request's body is of a kind that the resource does not take.";
    RangeNotSatisfiable = "urn:fileserver:problem:range-not-satisfiable", RANGE_NOT_SATISFIABLE,
        "The content has none of the bytes that were asked for.";
    DigestMismatch = "urn:fileserver:problem:digest-mismatch", UNPROCESSABLE_ENTITY,
        "What arrived does not have the digest that was announced.";
    Internal = "urn:fileserver:problem:internal", INTERNAL_SERVER_ERROR,
        "The service has a defect, or its data were damaged.";
    Unavailable = "urn:fileserver:problem:unavailable", SERVICE_UNAVAILABLE,
        "The service cannot do this at the moment.";
    StorageFull = "urn:fileserver:problem:storage-full", INSUFFICIENT_STORAGE,
        "There is no room left.";
}

impl ProblemType {
    /// The last part of the URI, by which the contract refers to the kind.
    pub(crate) fn slug(self) -> &'static str {
        self.uri().rsplit(':').next().unwrap_or_default()
    }
}

/// The part of a request that a problem lies in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ProblemSource {
    /// The part.
    #[serde(rename = "in")]
    #[schema(example = "query")]
    pub(crate) place: Place,
    /// The parameter, header field, multipart part or JSON member, if it is a certain one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "limit")]
    pub(crate) name: Option<String>,
}

/// The parts of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
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
    pub(crate) source: Option<ProblemSource>,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
    #[serde(skip)]
    fault: Option<Fault>,
}

/// Which part of the service is at fault, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// The database.
    Database,
    /// The store.
    Store,
    /// The service itself.
    Service,
}

impl Problem {
    pub(crate) fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            kind,
            title: kind.title(),
            status: kind.status().as_u16(),
            detail: detail.into(),
            source: None,
            headers: Vec::new(),
            fault: None,
        }
    }

    /// Says in which part of the request the problem lies.
    pub(crate) fn at(mut self, place: Place) -> Self {
        self.source = Some(ProblemSource { place, name: None });
        self
    }

    /// Says in which parameter, header field, part or member the problem lies.
    pub(crate) fn named(mut self, place: Place, name: impl Into<String>) -> Self {
        self.source = Some(ProblemSource {
            place,
            name: Some(name.into()),
        });
        self
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn query(name: &str, detail: impl Into<String>) -> Self {
        Self::new(ProblemType::InvalidQuery, detail).named(Place::Query, name)
    }

    pub(crate) fn header(name: &HeaderName, detail: impl Into<String>) -> Self {
        Self::new(ProblemType::InvalidHeader, detail).named(Place::Header, name.as_str())
    }

    pub(crate) fn body(detail: impl Into<String>) -> Self {
        Self::new(ProblemType::InvalidBody, detail).at(Place::Body)
    }

    /// A failure that may pass; its cause is logged, not told.
    pub(crate) fn unavailable(fault: Fault, error: &dyn std::error::Error) -> Self {
        tracing::error!(?fault, error = %Causes(error), "a request failed");
        let what = match fault {
            Fault::Database => "the database",
            Fault::Store => "the store",
            Fault::Service => "the service",
        };
        let mut problem = Self::new(
            ProblemType::Unavailable,
            format!("{what} is not available; try again"),
        )
        .with_header(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        problem.fault = Some(fault);
        problem
    }

    fn full(fault: Fault, error: &dyn std::error::Error) -> Self {
        tracing::error!(?fault, error = %Causes(error), "no room is left");
        let mut problem = Self::new(ProblemType::StorageFull, "nothing was stored");
        problem.fault = Some(fault);
        problem
    }

    fn internal(fault: Fault, error: &dyn std::error::Error) -> Self {
        tracing::error!(?fault, error = %Causes(error), "a request failed");
        let mut problem = Self::new(ProblemType::Internal, "the service's log has the cause");
        problem.fault = Some(fault);
        problem
    }

    fn database(error: &persistence::Error) -> Self {
        use persistence::Error;
        match error {
            Error::Full(_) => Self::full(Fault::Database, error),
            Error::Unavailable(_)
            | Error::TimedOut
            | Error::Busy(_)
            | Error::CommitUnknown(_)
            | Error::Unusable(_) => Self::unavailable(Fault::Database, error),
            Error::CorruptRow { .. } | Error::Other(_) => Self::internal(Fault::Database, error),
        }
    }

    fn store(error: &storage::Error) -> Self {
        use storage::Error;
        match error {
            Error::Full(_) => Self::full(Fault::Store, error),
            Error::Unavailable(_) => Self::unavailable(Fault::Store, error),
            Error::Missing(_) | Error::WrongSize { .. } => Self::internal(Fault::Store, error),
        }
    }
}

impl From<catalog::Error> for Problem {
    fn from(error: catalog::Error) -> Self {
        use catalog::Error;
        let told = |kind| Self::new(kind, error.to_string());
        match &error {
            Error::NotFound => told(ProblemType::NotFound),
            Error::PreconditionFailed => told(ProblemType::PreconditionFailed),
            Error::WrongSha1 { .. } | Error::WrongSha256 { .. } => {
                told(ProblemType::DigestMismatch)
            }
            Error::Collision(_) => told(ProblemType::DigestCollision),
            Error::TooLarge(_) => told(ProblemType::TooLarge),
            Error::ForeignCursor => told(ProblemType::InvalidCursor).named(Place::Query, "cursor"),
            Error::Contended | Error::Interrupted => Self::unavailable(Fault::Service, &error),
            Error::ContentLost(..) => Self::internal(Fault::Store, &error),
            Error::Database(cause) => Self::database(cause),
            Error::Store(cause) => Self::store(cause),
        }
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

/// An error with all that caused it, in one line.
pub(crate) struct Causes<'a>(pub(crate) &'a dyn std::error::Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
