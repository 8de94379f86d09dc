//! The pages for people: Swagger UI.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use actix_web::{
    HttpRequest, HttpResponse, ResponseError as _,
    http::header::{self, EntityTag},
    web,
};
use utoipa_swagger_ui::{Config, SwaggerFile};

use crate::{
    headers::conditional::Validators,
    problem::{Problem, ProblemType},
    response::revalidated,
    routes::method_not_allowed,
};

/// What a page may load: files of the service alone. Swagger UI writes styles into its elements.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Registers the pages.
pub(crate) fn pages(config: &mut web::ServiceConfig) {
    // Relative to the page, so that it works below a path of a proxy, too.
    let ui = Config::from("../openapi.json")
        .use_base_layout()
        .try_it_out_enabled(true)
        .display_request_duration(true)
        .display_operation_id(true)
        .validator_url("none");
    let page = || web::resource("/swagger-ui/{file:.*}").app_data(web::Data::new(ui.clone()));
    config
        .service(web::redirect("/swagger-ui", "swagger-ui/"))
        .service(
            page()
                .route(web::get().to(swagger_ui))
                .route(web::head().to(swagger_ui))
                .default_service(web::to(only_read)),
        );
}

/// Refuses a method that pages do not have.
async fn only_read(request: HttpRequest) -> HttpResponse {
    method_not_allowed(&request, "GET, HEAD")
}

/// Answers with a file of Swagger UI.
async fn swagger_ui(
    request: HttpRequest,
    file: web::Path<String>,
    config: web::Data<Config<'static>>,
) -> HttpResponse {
    match utoipa_swagger_ui::serve(&file, Arc::clone(&config)) {
        Ok(Some(found)) => answer(&request, &file, found),
        Ok(None) => {
            let detail = format!("no resource has the path {}", request.path());
            Problem::new(ProblemType::NoSuchResource, detail).error_response()
        }
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            Problem::new(ProblemType::Internal, "the service has logged the cause").error_response()
        }
    }
}

/// The entity tags of the files that were asked for; each is hashed once.
static TAGS: LazyLock<Mutex<HashMap<String, EntityTag>>> = LazyLock::new(Mutex::default);

fn tag(name: &str, bytes: &[u8]) -> EntityTag {
    let mut tags = TAGS.lock().unwrap_or_else(PoisonError::into_inner);
    tags.entry(name.to_owned())
        .or_insert_with(|| Validators::of_bytes(bytes).etag)
        .clone()
}

fn answer(request: &HttpRequest, name: &str, file: SwaggerFile<'static>) -> HttpResponse {
    let (mut response, is_known) = revalidated(request, tag(name, &file.bytes));
    response
        .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .insert_header((header::X_FRAME_OPTIONS, "DENY"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"));
    if is_known {
        return response.finish();
    }
    if file.gzpipped {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    response.content_type(file.content_type);
    match file.bytes {
        Cow::Borrowed(bytes) => response.body(web::Bytes::from_static(bytes)),
        Cow::Owned(bytes) => response.body(bytes),
    }
}
