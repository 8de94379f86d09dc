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

/// Properties of a new link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LinkRequest {
    /// Lifetime in seconds.
    #[schema(minimum = 1, example = 3600)]
    expires_in: u64,
    /// How a browser handles the file; default `attachment`.
    #[schema(nullable = false)]
    disposition: Option<LinkDisposition>,
    /// Maximum number of downloads; unlimited by default. A visit counts once, with all its ranges.
    #[schema(nullable = false, minimum = 1, maximum = 9_223_372_036_854_775_807_i64)]
    max_downloads: Option<u64>,
}

/// Handling of a file in a browser.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum LinkDisposition {
    /// The browser saves the file.
    Attachment,
    /// The browser may display the file, unless its media type can run scripts.
    Inline,
}

/// A link to a file.
#[derive(Serialize, ToSchema)]
pub(crate) struct FileLink {
    /// URL of the file, which needs no credentials.
    #[schema(example = "/d/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    url: String,
    /// Time at which the link expires.
    expires_at: Timestamp,
}

/// Creates a link to a file, which works without credentials
///
/// A download by the link has the name that the file has at that time. The link stops working when
/// it expires, when its downloads are used up, or when the file is deleted, even if the file is
/// restored later; `DELETE` revokes all links to the file. The link reveals neither the owner nor
/// the file.
#[utoipa::path(
    tag = "links",
    params(FilePath),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("api"))),
    request_body(content = LinkRequest, content_type = "application/json"),
    responses(
        (status = 201, description = "The link, which is not shown again", body = FileLink, headers(
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
    let link_request: LinkRequest = body::read_json(request.headers(), payload).await?;
    let link = new_link(&link_request, state.service.limits().link_age)?;
    let issued = state.service.create_link(&owner, &sha1, &link).await?;
    let base = state.public_url.as_ref().map(ToString::to_string);
    let base = base.unwrap_or_default();
    let mut response = HttpResponse::Created()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(FileLink {
            url: format!("{base}/d/{}", issued.token),
            expires_at: issued.expires_at,
        });
    response
        .extensions_mut()
        .insert(AuditSubject { owner, sha1 });
    Ok(response)
}

fn new_link(link_request: &LinkRequest, longest: Duration) -> Result<NewLink, Problem> {
    let invalid =
        |name: &str, detail: String| Problem::body(detail).named(ProblemLocation::Body, name);
    let lifetime = Duration::from_secs(link_request.expires_in);
    if lifetime.is_zero() || lifetime > longest {
        let most = longest.as_secs();
        let detail = format!("`expires_in` is 1 to {most} seconds");
        return Err(invalid("expires_in", detail));
    }
    let max_downloads = link_request.max_downloads;
    if max_downloads.is_some_and(|most| most == 0 || i64::try_from(most).is_err()) {
        let detail = "`max_downloads` is a whole number from 1 to 9223372036854775807";
        return Err(invalid("max_downloads", detail.to_owned()));
    }
    Ok(NewLink {
        lifetime,
        inline: link_request.disposition == Some(LinkDisposition::Inline),
        max_downloads,
    })
}
