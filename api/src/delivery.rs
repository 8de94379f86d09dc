//! Giving a file's bytes to whoever may have them: by the service itself, or by nginx.

mod byteranges;

use std::{net::SocketAddr, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    body::SizedStream,
    http::{
        Method,
        header::{self, ETag, HeaderName, HeaderValue, LastModified},
    },
    web::{self, Data},
};
use domain::{ByteRange, Owner};
use futures_util::{TryStreamExt as _, stream};
use service::{Download, Entry, Link};
use storage::{Object, PresignedAs, Store};

use crate::{
    admission::Admission,
    http::{
        conditional::{Validators, Verdict},
        digest_fields::{self, REPR_DIGEST},
        disposition,
        query::Query,
        ranges::{Wanted, wanted},
    },
    observe::Subject,
    problem::{Problem, ProblemType},
    settings::{DISK, Downloads},
    state::AppState,
};

const X_ACCEL_REDIRECT: HeaderName = HeaderName::from_static("x-accel-redirect");
const X_STORE_URL: HeaderName = HeaderName::from_static("x-store-url");
const X_STORE_RANGE: HeaderName = HeaderName::from_static("x-store-range");

/// Where nginx asks stores.
const STORE_LOCATION: &str = "/_store/";

/// How long a URL works by which a store gives a file to anybody: to begin with the download.
const PRESIGNED_FOR: Duration = Duration::from_mins(1);

/// What neither nginx (`docker/nginx/templates`) nor a store can weigh as it should be.
const NOT_FOR_OTHERS: [HeaderName; 2] = [header::IF_MATCH, header::IF_UNMODIFIED_SINCE];

/// Whose file somebody gets, and why.
pub(crate) struct Delivery<'a> {
    pub(crate) state: &'a AppState,
    pub(crate) owner: &'a Owner,
    pub(crate) entry: Entry,
    /// Whether the client would rather show the file than save it.
    pub(crate) inline: bool,
    /// The link by which somebody came who needs no credentials.
    pub(crate) link: Option<&'a Link>,
}

/// Reads from the query how a file is to be shown, if that is said.
pub(crate) fn read_disposition(query: &mut Query) -> Result<Option<bool>, Problem> {
    match query.one("disposition")?.as_deref() {
        None => Ok(None),
        Some("attachment") => Ok(Some(false)),
        Some("inline") => Ok(Some(true)),
        Some(_) => {
            let detail = "`disposition` is `attachment` or `inline`";
            Err(Problem::query("disposition", detail))
        }
    }
}

impl Delivery<'_> {
    /// Answers a request for the file's bytes, or for their header.
    pub(crate) async fn answer(self, request: &HttpRequest) -> Result<HttpResponse, Problem> {
        let subject = Subject {
            owner: self.owner.clone(),
            sha1: self.entry.meta.file_sha1,
        };
        let mut response = self.weigh(request).await?;
        response.extensions_mut().insert(subject);
        Ok(response)
    }

    async fn weigh(self, request: &HttpRequest) -> Result<HttpResponse, Problem> {
        let meta = &self.entry.meta;
        let validators = Validators::of_content(&meta.file_sha1, meta.upload_at);
        let verdict = validators.weigh(request);
        let answer = Answer {
            delivery: self,
            validators,
        };
        match verdict {
            Verdict::Failed => return Err(service::Error::PreconditionFailed.into()),
            Verdict::NotModified => {
                let mut response = HttpResponse::NotModified();
                answer.identify(&mut response);
                return Ok(response.finish());
            }
            Verdict::Proceed if *request.method() == Method::HEAD => {
                return Ok(answer.header_alone());
            }
            Verdict::Proceed => {}
        }
        let size = answer.delivery.entry.meta.file_size;
        let ranges = if answer.validators.allow_range(request) {
            wanted(request, size)
        } else {
            Wanted::Whole
        };
        if ranges == Wanted::Unsatisfiable {
            return Err(unsatisfiable(size));
        }
        answer.send(request, ranges).await
    }
}

fn unsatisfiable(size: u64) -> Problem {
    let problem = Problem::new(
        ProblemType::RangeNotSatisfiable,
        format!("the file has {size} bytes"),
    );
    match HeaderValue::try_from(format!("bytes */{size}")) {
        Ok(value) => problem.with_header(header::CONTENT_RANGE, value),
        Err(_) => problem,
    }
}

/// What a file's bytes are sent with.
struct Answer<'a> {
    delivery: Delivery<'a>,
    validators: Validators,
}

impl Answer<'_> {
    async fn send(&self, request: &HttpRequest, ranges: Wanted) -> Result<HttpResponse, Problem> {
        let Delivery {
            state,
            owner,
            entry,
            link,
            ..
        } = &self.delivery;
        let mut download = state.service.locate(owner, entry).await?;
        let handed_over = match accel(state, request) {
            Some(prefix) => self.hand_over(prefix, &mut download, &ranges).await?,
            None => self.redirect(request, &mut download).await?,
        };
        let prepared = match (handed_over, ranges) {
            (Some(handed_over), _) => handed_over,
            (None, Wanted::Parts(parts)) => self.parts(&mut download, &parts).await?,
            (None, _) => self.whole(&mut download).await?,
        };
        // Only now is it certain that the bytes are there.
        if let Some(link) = link {
            state.service.count_download(link).await?;
        }
        Ok(prepared)
    }

    /// Lets nginx send the bytes, with all that is said here about them; `None` if it cannot.
    async fn hand_over(
        &self,
        prefix: &str,
        download: &mut Download,
        ranges: &Wanted,
    ) -> Result<Option<HttpResponse>, Problem> {
        let (store, key) = download.place().await?;
        let mut response = self.begin(HttpResponse::Ok());
        response.insert_header((header::CONTENT_TYPE, self.content_type()));
        match (store, ranges) {
            (Store::Disk(disk), Wanted::Parts(_)) if disk.name() == DISK => {
                response.insert_header((X_ACCEL_REDIRECT, format!("{prefix}{key}")));
            }
            (Store::Disk(disk), _) if disk.name() == DISK => {
                response.insert_header((X_ACCEL_REDIRECT, format!("{prefix}whole/{key}")));
            }
            // nginx asks a store for one range at most.
            (Store::Bucket(_), Wanted::Parts(parts)) if parts.len() > 1 => return Ok(None),
            (Store::Bucket(bucket), ranges) => {
                let said = PresignedAs {
                    lasts: PRESIGNED_FOR,
                    ..PresignedAs::default()
                };
                let presigned = bucket.presign(key, said).await;
                let url = presigned.map_err(service::Error::from)?.url;
                response
                    .insert_header((X_ACCEL_REDIRECT, STORE_LOCATION))
                    .insert_header((X_STORE_URL, url));
                if let Wanted::Parts(parts) = ranges {
                    let range = format!("bytes={}-{}", parts[0].start, parts[0].end - 1);
                    response.insert_header((X_STORE_RANGE, range));
                }
            }
            (Store::Disk(_), _) => return Ok(None),
        }
        Ok(Some(response.finish()))
    }

    /// Sends the client to where the bytes are, if the settings want that; `None` if not.
    async fn redirect(
        &self,
        request: &HttpRequest,
        download: &mut Download,
    ) -> Result<Option<HttpResponse>, Problem> {
        let downloads = &self.delivery.state.downloads;
        // The store would weigh conditions by a tag of its own.
        let is_plain = NOT_FOR_OTHERS
            .iter()
            .all(|field| !request.headers().contains_key(field));
        if !is_plain || downloads.get(download.store()) != Some(&Downloads::Redirect) {
            return Ok(None);
        }
        let (store, key) = download.place().await?;
        let Some(bucket) = store.as_bucket() else {
            return Ok(None);
        };
        let said = PresignedAs {
            lasts: PRESIGNED_FOR,
            content_type: Some(self.content_type().to_owned()),
            content_disposition: self.disposition().to_str().ok().map(str::to_owned),
            cache_control: Some(self.caching().to_owned()),
        };
        let presigned = bucket.presign(key, said).await;
        let url = presigned.map_err(service::Error::from)?.url;
        let mut response = HttpResponse::TemporaryRedirect();
        response
            .insert_header((header::LOCATION, url))
            // The URL works for a minute.
            .insert_header((header::CACHE_CONTROL, "private, no-store"))
            .insert_header((header::REFERRER_POLICY, "no-referrer"));
        Ok(Some(response.finish()))
    }

    async fn whole(&self, download: &mut Download) -> Result<HttpResponse, Problem> {
        let size = self.delivery.entry.meta.file_size;
        let object = download.open(ByteRange::whole(size)).await?;
        let mut response = self.begin(HttpResponse::Ok());
        response.insert_header((header::CONTENT_TYPE, self.content_type()));
        Ok(send(response, object, ByteRange::whole(size)))
    }

    fn header_alone(&self) -> HttpResponse {
        let mut response = self.begin(HttpResponse::Ok());
        response.insert_header((header::CONTENT_TYPE, self.content_type()));
        // The answer to `HEAD` says how long the answer to `GET` would be.
        let nothing = stream::empty::<Result<web::Bytes, std::io::Error>>();
        response.body(SizedStream::new(
            self.delivery.entry.meta.file_size,
            nothing,
        ))
    }

    async fn parts(
        &self,
        download: &mut Download,
        parts: &[ByteRange],
    ) -> Result<HttpResponse, Problem> {
        let meta = &self.delivery.entry.meta;
        let mut response = self.begin(HttpResponse::PartialContent());
        let object = download.open(parts[0]).await?;
        let [part] = parts else {
            let content_type = &meta.content_type;
            return Ok(byteranges::send(response, object, parts, content_type));
        };
        response
            .insert_header((header::CONTENT_TYPE, self.content_type()))
            .insert_header((header::CONTENT_RANGE, content_range(*part, meta.file_size)));
        Ok(send(response, object, *part))
    }

    fn content_type(&self) -> &str {
        self.delivery.entry.meta.content_type.as_str()
    }

    /// How the file may be cached.
    fn caching(&self) -> &'static str {
        // A link may end before the file does, so it is asked for again.
        if self.delivery.link.is_some() {
            "private, no-cache"
        } else {
            "private, immutable"
        }
    }

    /// How the file is to be shown, and called.
    fn disposition(&self) -> HeaderValue {
        let meta = &self.delivery.entry.meta;
        let inline = self.delivery.inline && meta.content_type.runs_no_script();
        let disposition = if inline { "inline" } else { "attachment" };
        disposition::value(disposition, &meta.file_name)
    }

    /// What all answers say about the file's identity.
    fn identify(&self, response: &mut HttpResponseBuilder) {
        response
            .insert_header(ETag(self.validators.etag.clone()))
            .insert_header((header::CACHE_CONTROL, self.caching()));
        if let Some(modified) = self.validators.last_modified {
            response.insert_header(LastModified(modified));
        }
    }

    fn begin(&self, mut response: HttpResponseBuilder) -> HttpResponseBuilder {
        let meta = &self.delivery.entry.meta;
        self.identify(&mut response);
        response
            .insert_header((header::CONTENT_DISPOSITION, self.disposition()))
            .insert_header((
                REPR_DIGEST,
                digest_fields::value(&meta.file_sha1, &meta.file_sha256),
            ))
            .insert_header((header::ACCEPT_RANGES, "bytes"))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header((
                HeaderName::from_static("content-security-policy"),
                "default-src 'none'; sandbox",
            ));
        if self.delivery.link.is_some() {
            // Where the file leads is not to learn the link.
            response.insert_header((header::REFERRER_POLICY, "no-referrer"));
        }
        response
    }
}

/// Where nginx has the objects, if it is to answer a request that it has passed on.
///
/// Whoever comes to the service by another way gets the bytes from it.
fn accel<'a>(state: &'a AppState, request: &HttpRequest) -> Option<&'a str> {
    let prefix = state.accel.as_deref()?;
    let headers = request.headers();
    let peer: Option<SocketAddr> = request.peer_addr();
    let is_proxied = request
        .app_data::<Data<Admission>>()
        .is_some_and(|admission| admission.is_proxied(peer));
    let is_for_nginx = NOT_FOR_OTHERS
        .iter()
        .all(|field| !headers.contains_key(field));
    (is_proxied && is_for_nginx).then_some(prefix)
}

fn content_range(part: ByteRange, size: u64) -> String {
    format!("bytes {}-{}/{size}", part.start, part.end - 1)
}

/// Sends one range; a short one together with the header.
fn send(mut response: HttpResponseBuilder, object: Object, range: ByteRange) -> HttpResponse {
    if let Some(bytes) = object.ready(range) {
        response.body(bytes)
    } else {
        let bytes = object.stream(range).map_err(std::io::Error::other);
        response.body(SizedStream::new(range.length(), bytes))
    }
}
