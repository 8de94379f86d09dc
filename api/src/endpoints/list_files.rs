//! `GET /files`

use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, http::header, route, web};
use domain::{FileMeta, FileStatus, Sha1};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use service::EntryFilter;
use utoipa::ToSchema;

use crate::{
    auth::Caller,
    connection::ConnectionContext,
    extract::{accept::AcceptsJson, query::Query},
    problem::Problem,
    state::AppState,
};

pub(super) const DEFAULT_LIMIT: u64 = 20;
const MAX_LIMIT: u64 = 1000;
const MAX_SHA1S: usize = 100;

/// A page of a listing.
#[derive(Serialize, ToSchema)]
struct FileList {
    /// The files, newest first.
    files: Vec<FileMeta>,
    /// The `cursor` of the next page, or null on the last page.
    #[schema(example = "AAYpfW1oHgAAAAAAAAAAKpxJ2n8r0vC4uYxk3Hn0sQw")]
    next: Option<String>,
}

/// Lists the caller's files, newest first
///
/// A page has up to `limit` files. If there are more, `next` is the `cursor` of the next page, and
/// a `Link` field has its URL (RFC 8288). Files that are added or removed between pages cause no
/// other file to be repeated or skipped. A cursor is valid only with the parameters of its first
/// page, except `limit`.
///
/// A search by `name` looks at a limited number of files for each page. Such a page can have fewer
/// files than `limit`, even none; only `next` tells whether there are more. Searches of one owner, and
/// pages of more than 100 files, are read a few at a time; the others wait, some seconds at most.
///
/// With `file_sha1`, which can be repeated up to 100 times, this looks up which of these files the
/// caller has; the default of `limit` is then 100.
#[utoipa::path(
    get,
    tag = "files",
    params(
        ("limit" = Option<u64>, Query, description = "Maximum number of files; default 20", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "The `next` of the previous page"),
        ("status" = Option<FileStatus>, Query, description = "Status of the files; default `available`"),
        ("name" = Option<String>, Query, description = "Only files whose name contains this text, without regard to case", max_length = 255),
        ("file_sha1" = Option<Vec<String>>, Query, description = "Only these files", max_items = 100, explode = true),
    ),
    security(("bearer" = ["files:read"])),
    extensions(("x-role" = json!("api"))),
    responses(
        (status = 200, description = "A page of the listing", body = FileList, headers(
            ("Link" = String, description = "URL of the next page, with `rel=\"next\"`; absent on the last page"),
            ("Cache-Control" = String, description = "`private, no-cache`"),
        )),
        (status = 400, description = "`invalid-query` or `invalid-cursor`"),
        (status = 406, description = "`not-acceptable`"),
        (status = 429, description = "`too-many-listings`: the owner's other searches, and pages of more than 100 files, took too long", headers(
            ("Retry-After" = u32, description = "Seconds to wait before a retry"),
        )),
    ),
)]
#[route("/files", method = "GET", method = "HEAD")]
pub(crate) async fn list_files(
    _: AcceptsJson,
    Caller(owner): Caller,
    state: web::Data<AppState>,
    query: Query,
    http: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let request = Listing::read(query)?;
    let cursor = request.cursor.as_deref();
    let list = state
        .service
        .list(&owner, &request.filter, cursor, request.limit);
    let connection = http.extensions().get::<ConnectionContext>().cloned();
    let page = match connection {
        Some(connection) => tokio::select! {
            page = list => page?,
            // actix-web runs a handler to its end, whether its client is there or not.
            () = connection.hung_up() => {
                let detail = "the client stopped waiting for the listing";
                return Err(Problem::too_many_listings(detail));
            }
        },
        None => list.await?,
    };
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "private, no-cache"));
    if let Some(next) = &page.next {
        let link = format!("<{}>; rel=\"next\"", request.url_of(next));
        response.insert_header((header::LINK, link));
    }
    Ok(response.json(FileList {
        files: page
            .files
            .into_iter()
            .map(|meta| state.present(meta))
            .collect(),
        next: page.next,
    }))
}

/// The requested page of a listing.
struct Listing {
    filter: EntryFilter,
    cursor: Option<String>,
    limit: u64,
}

impl Listing {
    fn read(mut query: Query) -> Result<Self, Problem> {
        let sha1s = read_sha1s(&query.many("file_sha1"))?;
        let limit = match query.one("limit")? {
            Some(limit) => read_limit(&limit)?,
            None if sha1s.is_some() => MAX_SHA1S as u64,
            None => DEFAULT_LIMIT,
        };
        let status = match query.one("status")?.as_deref() {
            None | Some("available") => FileStatus::Available,
            Some("deleted") => FileStatus::Deleted,
            Some(_) => {
                let detail = "`status` is `available` or `deleted`";
                return Err(Problem::query("status", detail));
            }
        };
        let name = query.one("name")?.filter(|name| !name.is_empty());
        if name.as_ref().is_some_and(|name| name.len() > 255) {
            return Err(Problem::query("name", "a name has at most 255 bytes"));
        }
        if name
            .as_ref()
            .is_some_and(|name| name.contains(char::is_control))
        {
            return Err(Problem::query("name", "a name has no control characters"));
        }
        let cursor = query.one("cursor")?.filter(|cursor| !cursor.is_empty());
        query.end()?;
        Ok(Self {
            filter: EntryFilter {
                status,
                name,
                sha1s,
            },
            cursor,
            limit,
        })
    }

    /// The URL of the page that begins at a cursor.
    fn url_of(&self, cursor: &str) -> String {
        let mut url = format!("/files?limit={}&cursor={cursor}", self.limit);
        if self.filter.status == FileStatus::Deleted {
            url.push_str("&status=deleted");
        }
        if let Some(name) = &self.filter.name {
            url.push_str("&name=");
            url.extend(utf8_percent_encode(name, NON_ALPHANUMERIC));
        }
        for sha1 in self.filter.sha1s.iter().flatten() {
            url.extend(["&file_sha1=".to_owned(), sha1.to_string()]);
        }
        url
    }
}

pub(super) fn read_limit(limit: &str) -> Result<u64, Problem> {
    let in_range = limit
        .parse()
        .ok()
        .filter(|limit| (1..=MAX_LIMIT).contains(limit));
    in_range.ok_or_else(|| {
        Problem::query(
            "limit",
            format!("`limit` is a whole number from 1 to {MAX_LIMIT}"),
        )
    })
}

fn read_sha1s(values: &[String]) -> Result<Option<Vec<Sha1>>, Problem> {
    let invalid = |detail: String| Problem::query("file_sha1", detail);
    let sha1s = values
        .iter()
        .flat_map(|value| value.split(','))
        .map(|sha1| {
            sha1.parse()
                .map_err(|error: domain::DigestError| invalid(error.to_string()))
        })
        .collect::<Result<Vec<Sha1>, _>>()?;
    if sha1s.len() > MAX_SHA1S {
        return Err(invalid(format!(
            "at most {MAX_SHA1S} files can be looked up at once"
        )));
    }
    Ok(Some(sha1s).filter(|sha1s| !sha1s.is_empty()))
}
