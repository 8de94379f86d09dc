//! Dispatching requests.

use std::{
    any::Any,
    net::{Shutdown, TcpStream},
    os::fd::AsFd as _,
    sync::Arc,
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse,
    dev::Extensions,
    http::header::{HeaderName, HeaderValue},
    rt::{net, time::sleep},
    web,
};
use futures_util::StreamExt as _;
use time::OffsetDateTime;

use crate::{
    error::{Error, Result},
    faults::{Faults, Kind, Operation},
    link::Link,
    listing, multipart, objects,
    request::{Action, Request, random_hex},
    signature::{self, Key},
    store::Store,
    xml::Xml,
};

/// The state that all requests share.
pub(crate) struct Service {
    /// The bucket's name.
    pub(crate) bucket: String,
    /// The access key.
    pub(crate) key: Key,
    /// The objects and uploads.
    pub(crate) store: Store,
    /// The injected faults.
    pub(crate) faults: Arc<Faults>,
    /// The link for received bytes.
    pub(crate) inward: Link,
    /// The link for sent bytes.
    pub(crate) outward: Link,
}

/// A second handle of the connection of a request, used to close it.
struct Connection(TcpStream);

/// Stores the handle of a new connection.
pub(crate) fn connected(connection: &dyn Any, data: &mut Extensions) {
    if let Some(stream) = connection.downcast_ref::<net::TcpStream>()
        && let Ok(stream) = stream.as_fd().try_clone_to_owned()
    {
        data.insert(Connection(stream.into()));
    }
}

/// Answers a request.
pub(crate) async fn answer(
    http: HttpRequest,
    mut payload: web::Payload,
    service: web::Data<Service>,
) -> HttpResponse {
    let request = Request::new(http, &service.bucket);
    service.faults.count(Operation::of(&request));
    let answered = try_answer(&service, &request, &mut payload).await;
    // A client that is still sending does not read the response.
    while let Some(Ok(_)) = payload.next().await {}
    let request_id = random_hex(12).unwrap_or_default().to_uppercase();
    let mut answer = answered.unwrap_or_else(|error| error.answer(&request, &request_id));
    let headers = answer.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        headers.insert(HeaderName::from_static("x-oss-request-id"), id);
    }
    let server = HeaderValue::from_static("AliyunOSS");
    headers.insert(HeaderName::from_static("server"), server);
    answer
}

async fn try_answer(
    service: &web::Data<Service>,
    request: &Request,
    payload: &mut web::Payload,
) -> Result<HttpResponse> {
    signature::verify(request, &service.key, OffsetDateTime::now_utc())?;
    fail(service, request, payload).await?;
    let action = request.action()?;
    if request.bucket != service.bucket {
        return Err(Error::NoSuchBucket);
    }
    match action {
        Action::ListObjects => listing::list_objects(service, request),
        Action::ListUploads => listing::list_uploads(service, request),
        Action::BucketInfo => Ok(listing::describe_bucket(service, request)),
        Action::DeleteObjects => objects::delete_several(service, request, payload).await,
        Action::ReadObject => objects::read(service, request),
        Action::PutObject => objects::put(service, request, payload).await,
        Action::CopyObject => objects::copy(service, request),
        Action::DeleteObject => objects::delete(service, request),
        Action::BeginUpload => multipart::begin(service, request),
        Action::PutPart => multipart::put_part(service, request, payload).await,
        Action::CopyPart => multipart::copy_part(service, request).await,
        Action::CompleteUpload => multipart::complete(service, request, payload).await,
        Action::AbortUpload => multipart::abort(service, request),
        Action::ListParts => multipart::list_parts(service, request),
    }
}

/// Injects a fault that strikes before the request is processed.
async fn fail(service: &Service, request: &Request, payload: &mut web::Payload) -> Result<()> {
    let mut changes = service.faults.changes();
    let kinds = [Kind::Error, Kind::Hang, Kind::Slow];
    match service.faults.strike(&kinds, Operation::of(request)) {
        Some(Kind::Error) => Err(Error::Asked),
        Some(Kind::Hang) => {
            while let Some(Ok(_)) = payload.next().await {}
            let _ = changes.changed().await;
            if let Some(Connection(stream)) = request.http.conn_data() {
                let _ = stream.shutdown(Shutdown::Both);
            }
            Err(Error::Asked)
        }
        Some(Kind::Slow) => {
            sleep(Duration::from_millis(100)).await;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A response with an XML body.
pub(crate) fn xml(document: Xml) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/xml")
        .body(document.finish())
}
