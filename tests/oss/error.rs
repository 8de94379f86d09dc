//! Error responses, with the codes and messages of OSS
//! (<https://www.alibabacloud.com/help/en/oss/developer-reference/error-codes>).

use std::io;

use actix_web::{
    HttpResponse,
    http::{Method, StatusCode},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{request::Request, xml::Xml};

/// The result of a request.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// The reason why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The request has no credentials, or they have expired.
    #[error("{0}")]
    AccessDenied(&'static str),
    /// The access key does not exist.
    #[error("The OSS Access Key Id you provided does not exist in our records.")]
    InvalidAccessKeyId,
    /// The signature is wrong. As with OSS, the response contains the string to sign.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your key and signing method."
    )]
    SignatureDoesNotMatch(String),
    /// The time of the signature is too far from now.
    #[error("The difference between the request time and the current time is too large.")]
    RequestTimeTooSkewed,
    /// The object does not exist.
    #[error("The specified key does not exist.")]
    NoSuchKey,
    /// The bucket does not exist.
    #[error("The specified bucket does not exist.")]
    NoSuchBucket,
    /// The upload does not exist, or no longer.
    #[error(
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    )]
    NoSuchUpload,
    /// A part does not exist, or has another entity tag.
    #[error(
        "One or more of the specified parts could not be found or the specified entity tag might not have matched the part's entity tag."
    )]
    InvalidPart,
    /// The parts are not in ascending order.
    #[error(
        "The list of parts was not in ascending order. The parts list must be specified in order by part number."
    )]
    InvalidPartOrder,
    /// A part other than the last is too small.
    #[error("Your proposed upload is smaller than the minimum allowed size.")]
    EntityTooSmall,
    /// The request has too many bytes.
    #[error("Your proposed upload exceeds the maximum allowed size.")]
    EntityTooLarge,
    /// The bytes do not match the checksum.
    #[error("The Content-MD5 you specified was invalid.")]
    InvalidDigest,
    /// The object exists, and must not be overwritten.
    #[error("The object you specified already exists and can not be overwritten.")]
    FileAlreadyExists,
    /// The requested range is not in the object.
    #[error("The requested range cannot be satisfied")]
    InvalidRange,
    /// A condition does not hold.
    #[error("At least one of the pre-conditions you specified did not hold.")]
    PreconditionFailed,
    /// The client has the current version already.
    #[error("Not modified.")]
    NotModified,
    /// A parameter is invalid.
    #[error("{0}")]
    InvalidArgument(&'static str),
    /// The body is malformed.
    #[error(
        "The XML you provided was not well-formed or did not validate against our published schema."
    )]
    MalformedXml,
    /// The key is invalid.
    #[error("The specified object is not valid.")]
    InvalidObjectName,
    /// The stand-in does not implement the operation.
    #[error("The stand-in does not have this functionality.")]
    NotImplemented,
    /// The body ended early.
    #[error("You did not provide the number of bytes specified by the Content-Length HTTP header.")]
    IncompleteBody,
    /// An injected fault.
    #[error("We encountered an internal error. Please try again.")]
    Asked,
    /// An I/O error.
    #[error("We encountered an internal error: {0}")]
    Io(#[from] io::Error),
}

impl Error {
    /// The status, and the error code for clients.
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

    /// Builds the response.
    ///
    /// For responses without a body OSS sends the error in the header field `x-oss-err`.
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
