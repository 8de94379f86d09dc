//! Bytes that another server sends: nginx, by `X-Accel-Redirect`, or the store, by a redirect.

use std::{rc::Rc, time::Duration};

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse,
    http::header::{self, HeaderName},
};
use service::Download;
use storage::{ResponseOverrides, Store};

use super::{
    DISK, DownloadMode,
    response::{CACHING, DownloadResponse},
};
use crate::{
    headers::ranges::RequestedRange, middleware::context::RequestContext, problem::Problem,
    state::AppState,
};

const X_ACCEL_REDIRECT: HeaderName = HeaderName::from_static("x-accel-redirect");
const X_STORE_URL: HeaderName = HeaderName::from_static("x-store-url");
const X_STORE_RANGE: HeaderName = HeaderName::from_static("x-store-range");

/// The location of nginx's configuration that asks stores.
const STORE_LOCATION: &str = "/_store/";

/// Time in which a download by a presigned URL must begin.
const PRESIGNED_FOR: Duration = Duration::from_mins(1);

/// Conditions that neither nginx (`docker/nginx/templates`) nor a store can evaluate: both compare
/// another entity tag, or before they know it.
const OWN_CONDITIONS: [HeaderName; 2] = [header::IF_MATCH, header::IF_UNMODIFIED_SINCE];

/// Returns nginx's location of the objects if nginx passed the request on and can send the bytes.
pub(super) fn accel_prefix<'a>(state: &'a AppState, request: &HttpRequest) -> Option<&'a str> {
    let prefix = state.accel_redirect.as_deref()?;
    let extensions = request.extensions();
    let context = extensions.get::<Rc<RequestContext>>()?;
    (context.is_proxied && !has_own_conditions(request)).then_some(prefix)
}

fn has_own_conditions(request: &HttpRequest) -> bool {
    let headers = request.headers();
    OWN_CONDITIONS
        .iter()
        .any(|field| headers.contains_key(field))
}

impl DownloadResponse<'_> {
    /// Lets nginx send the bytes, with the header fields of this response; `None` if it cannot.
    pub(super) async fn accel_redirect(
        &self,
        prefix: &str,
        download: &mut Download,
        ranges: &RequestedRange,
    ) -> Result<Option<HttpResponse>, Problem> {
        let (store, key) = download.locate_copy().await?;
        let mut response = self.begin(HttpResponse::Ok());
        response.insert_header((header::CONTENT_TYPE, self.content_type()));
        match (store, ranges) {
            (Store::Disk(disk), RequestedRange::Parts(_)) if disk.name() == DISK => {
                response.insert_header((X_ACCEL_REDIRECT, format!("{prefix}{key}")));
            }
            (Store::Disk(disk), _) if disk.name() == DISK => {
                response.insert_header((X_ACCEL_REDIRECT, format!("{prefix}whole/{key}")));
            }
            // nginx asks a store for at most one range.
            (Store::Bucket(_), RequestedRange::Parts(parts)) if parts.len() > 1 => return Ok(None),
            (Store::Bucket(bucket), ranges) => {
                let options = ResponseOverrides {
                    expires_in: PRESIGNED_FOR,
                    ..ResponseOverrides::default()
                };
                let presigned = bucket.presign(key, options).await;
                let url = presigned.map_err(service::Error::from)?.url;
                response
                    .insert_header((X_ACCEL_REDIRECT, STORE_LOCATION))
                    .insert_header((X_STORE_URL, url));
                if let RequestedRange::Parts(parts) = ranges {
                    let range = format!("bytes={}-{}", parts[0].start, parts[0].end - 1);
                    response.insert_header((X_STORE_RANGE, range));
                }
            }
            (Store::Disk(_), _) => return Ok(None),
        }
        Ok(Some(response.finish()))
    }

    /// Redirects the client to the store if the settings ask for it; `None` otherwise.
    pub(super) async fn redirect(
        &self,
        request: &HttpRequest,
        download: &mut Download,
    ) -> Result<Option<HttpResponse>, Problem> {
        let downloads = &self.request.state.downloads;
        if has_own_conditions(request)
            || downloads.get(download.store()) != Some(&DownloadMode::Redirect)
        {
            return Ok(None);
        }
        let (store, key) = download.locate_copy().await?;
        let Some(bucket) = store.as_bucket() else {
            return Ok(None);
        };
        let options = ResponseOverrides {
            expires_in: PRESIGNED_FOR,
            content_type: Some(self.content_type().to_owned()),
            content_disposition: self.disposition().to_str().ok().map(str::to_owned),
            cache_control: Some(CACHING.to_owned()),
        };
        let presigned = bucket.presign(key, options).await;
        let url = presigned.map_err(service::Error::from)?.url;
        let mut response = HttpResponse::TemporaryRedirect();
        response
            .insert_header((header::LOCATION, url))
            // The URL works for a minute.
            .insert_header((header::CACHE_CONTROL, "private, no-store"))
            .insert_header((header::REFERRER_POLICY, "no-referrer"));
        Ok(Some(response.finish()))
    }
}
