//! What the stand-in answers when it does not do what it was asked, as OSS says it
//! (<https://www.alibabacloud.com/help/en/oss/developer-reference/error-codes>).

use std::io;

use actix_web::{
    HttpResponse,
    http::{Method, StatusCode},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{request::Request, xml::Xml};

/// What can come of a request.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The request does not say who makes it, or not in time.
    #[error("{0}")]
    AccessDenied(&'static str),
    /// Nobody has this key.
    #[error("The OSS Access Key Id you provided does not exist in our records.")]
    InvalidAccessKeyId,
    /// It was signed otherwise; what was to be signed is told, as OSS does.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your key and signing method."
    )]
    SignatureDoesNotMatch(String),
    /// It was signed long ago, or will be.
    #[error("The difference between the request time and the current time is too large.")]
    RequestTimeTooSkewed,
    /// There is no such object.
    #[error("The specified key does not exist.")]
    NoSuchKey,
    /// There is no such bucket.
    #[error("The specified bucket does not exist.")]
    NoSuchBucket,
    /// There is no such upload, or no longer.
    #[error(
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    )]
    NoSuchUpload,
    /// A part to be put together was not uploaded, or another was.
    #[error(
        "One or more of the specified parts could not be found or the specified entity tag might not have matched the part's entity tag."
    )]
    InvalidPart,
    /// Parts to be put together are not in ascending order.
    #[error(
        "The list of parts was not in ascending order. The parts list must be specified in order by part number."
    )]
    InvalidPartOrder,
    /// A part that is not the last is too small.
    #[error("Your proposed upload is smaller than the minimum allowed size.")]
    EntityTooSmall,
    /// More bytes than one request may bring.
    #[error("Your proposed upload exceeds the maximum allowed size.")]
    EntityTooLarge,
    /// The bytes are not those of the checksum.
    #[error("The Content-MD5 you specified was invalid.")]
    InvalidDigest,
    /// What must not be overwritten is there.
    #[error("The object you specified already exists and can not be overwritten.")]
    FileAlreadyExists,
    /// The object does not have the bytes that were asked for.
    #[error("The requested range cannot be satisfied")]
    InvalidRange,
    /// A condition does not hold.
    #[error("At least one of the pre-conditions you specified did not hold.")]
    PreconditionFailed,
    /// The one who asks has it already.
    #[error("Not modified.")]
    NotModified,
    /// A parameter says nothing.
    #[error("{0}")]
    InvalidArgument(&'static str),
    /// The body is not what it should be.
    #[error(
        "The XML you provided was not well-formed or did not validate against our published schema."
    )]
    MalformedXml,
    /// An object cannot have this name.
    #[error("The specified object is not valid.")]
    InvalidObjectName,
    /// OSS can do it, this stand-in cannot.
    #[error("The stand-in does not have this functionality.")]
    NotImplemented,
    /// The body ended early.
    #[error("You did not provide the number of bytes specified by the Content-Length HTTP header.")]
    IncompleteBody,
    /// A fault that was asked for.
    #[error("We encountered an internal error. Please try again.")]
    Asked,
    /// The disk, most likely.
    #[error("We encountered an internal error: {0}")]
    Io(#[from] io::Error),
}

impl Error {
    /// The status and the code by which clients tell errors apart.
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::AccessDenied(_) => (StatusCode::FORBIDDEN, "AccessDenied"),
            Self::InvalidAccessKeyId => (StatusCode::FORBIDDEN, "InvalidAccessKeyId"),
            Self::SignatureDoesNotMatch(_) => (StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
            Self::RequestTimeTooSkewed => (StatusCode::FORBIDDEN, "RequestTimeTooSkewed"),
            Self::NoSuchKey => (StatusCode::NOT_FOUND, "NoSuchKey"),
            Self::NoSuchBucket => (StatusCode::NOT_FOUND, "NoSuchBucket"),
            Self::NoSuchUpload => (StatusCode::NOT_FOUND, "NoSuchUpload"),
            Self::InvalidPart => (StatusCode::BAD_REQUEST, "InvalidPart"),
            Self::InvalidPartOrder => (StatusCode::BAD_REQUEST, "InvalidPartOrder"),
            Self::EntityTooSmall => (StatusCode::BAD_REQUEST, "EntityTooSmall"),
            Self::EntityTooLarge => (StatusCode::BAD_REQUEST, "EntityTooLarge"),
            Self::InvalidDigest => (StatusCode::BAD_REQUEST, "InvalidDigest"),
            Self::FileAlreadyExists => (StatusCode::CONFLICT, "FileAlreadyExists"),
            Self::InvalidRange => (StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"),
            Self::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "PreconditionFailed"),
            Self::NotModified => (StatusCode::NOT_MODIFIED, "NotModified"),
            Self::InvalidArgument(_) => (StatusCode::BAD_REQUEST, "InvalidArgument"),
            Self::MalformedXml => (StatusCode::BAD_REQUEST, "MalformedXML"),
            Self::InvalidObjectName => (StatusCode::BAD_REQUEST, "InvalidObjectName"),
            Self::NotImplemented => (StatusCode::BAD_REQUEST, "NotImplemented"),
            Self::IncompleteBody => (StatusCode::BAD_REQUEST, "IncompleteBody"),
            Self::Asked | Self::Io(_) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        }
    }

    /// The answer that tells it.
    ///
    /// Where there can be no body, OSS tells it in the header `x-oss-err`.
    pub(crate) fn answer(&self, request: &Request, request_id: &str) -> HttpResponse {
        let (status, code) = self.status_and_code();
        let mut xml = Xml::new("Error");
        xml.text("Code", code);
        xml.text("Message", &self.to_string());
        xml.text("RequestId", request_id);
        xml.text("HostId", &request.host);
        if let Self::SignatureDoesNotMatch(signed) = self {
            xml.text("StringToSign", signed);
        }
        let mut answer = HttpResponse::build(status);
        if status == StatusCode::NOT_MODIFIED {
            return answer.finish();
        }
        if request.method() == Method::HEAD {
            let told = BASE64_STANDARD.encode(xml.finish());
            return answer.insert_header(("x-oss-err", told)).finish();
        }
        answer.content_type("application/xml").body(xml.finish())
    }
}
