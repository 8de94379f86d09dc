//! `POST /files/{file_sha1}/links`

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::header, post, web};
use domain::Timestamp;
use serde::{Deserialize, Serialize};
use service::NewLink;
use utoipa::ToSchema;

use crate::{
    auth::Caller,
    extract::{accept::AcceptsJson, body, path::PathSha1, query::NoQuery},
    middleware::context::AuditSubject,
    openapi::parameters::FilePath,
    problem::{Problem, ProblemLocation},
    state::AppState,
};

/// What a link is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LinkRequest {
    /// For how many seconds it is to work.
    #[schema(minimum = 1, example = 3600)]
    expires_in: u64,
    /// Whether a browser saves the file or may show it.
    #[schema(nullable = false)]
    disposition: Option<LinkDisposition>,
    /// How often the file can be downloaded by it; without end unless given.
    #[schema(nullable = false, minimum = 1, maximum = 9_223_372_036_854_775_807_i64)]
    max_downloads: Option<u64>,
}

/// What a browser does with a file.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum LinkDisposition {
    /// It saves it.
    Attachment,
    /// It may show it, unless the file is of a type that can run script.
    Inline,
}

/// A link to a file.
#[derive(Serialize, ToSchema)]
pub(crate) struct FileLink {
    /// Where the file is for whoever has this.
    #[schema(example = "/d/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    url: String,
    /// Until when.
    expires_at: Timestamp,
}

/// Makes a link to a file, which works without credentials
///
/// Whoever has the link gets the file under the name that it has then. The link ends with its
/// time, when its downloads are used up, or when the file is deleted, even if it is restored
/// later; `DELETE` ends all links to the file. Neither the owner nor the file can be read in it.
#[utoipa::path(
    tag = "links",
    params(FilePath),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("api"))),
    request_body(content = LinkRequest, content_type = "application/json"),
    responses(
        (status = 201, description = "The link, which is shown once", body = FileLink, headers(
            ("Cache-Control" = String, description = "`no-store`"),
        )),
        (status = 400, description = "`invalid-sha1`, `invalid-body` or `invalid-query`"),
        (status = 404, description = "`not-found`"),
        (status = 406, description = "`not-acceptable`"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 507, description = "`storage-full`: nothing was stored"),
    ),
)]
#[post("/files/{file_sha1}/links")]
pub(crate) async fn share_file(
    _: AcceptsJson,
    Caller(owner): Caller,
    state: web::Data<AppState>,
    PathSha1(sha1): PathSha1,
    _: NoQuery,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let parse_range: LinkRequest = body::read_json(request.headers(), payload).await?;
    let link = new_link(&parse_range, state.service.limits().link_age)?;
    let issued = state.service.create_link(&owner, &sha1, &link).await?;
    let mut response = HttpResponse::Created()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(FileLink {
            url: format!("{}/d/{}", state.public_url, issued.token),
            expires_at: issued.expires_at,
        });
    response
        .extensions_mut()
        .insert(AuditSubject { owner, sha1 });
    Ok(response)
}

fn new_link(parse_range: &LinkRequest, longest: Duration) -> Result<NewLink, Problem> {
    let wrong =
        |name: &str, detail: String| Problem::body(detail).named(ProblemLocation::Body, name);
    let lifetime = Duration::from_secs(parse_range.expires_in);
    if lifetime.is_zero() || lifetime > longest {
        let most = longest.as_secs();
        let detail = format!("a link works for 1 to {most} seconds");
        return Err(wrong("expires_in", detail));
    }
    let max_downloads = parse_range.max_downloads;
    if max_downloads.is_some_and(|most| most == 0 || i64::try_from(most).is_err()) {
        let detail = "a link is for one download at least, and not for more than there can be";
        return Err(wrong("max_downloads", detail.to_owned()));
    }
    Ok(NewLink {
        lifetime,
        inline: parse_range.disposition == Some(LinkDisposition::Inline),
        max_downloads,
    })
}
