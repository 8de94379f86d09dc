//! The application: the middleware, from the outside in, and the routes.
//!
//! 1. [`tus::method_override`] settles the method and the path of tus requests.
//! 2. [`AccessLog`] logs and counts the request, and limits how slowly its body may arrive.
//! 3. [`compress::compress`] compresses what the service writes itself.
//! 4. [`public_url::prepend_path`] completes the URLs of responses, if the service is below a path.
//! 5. [`caching::keep_private`] keeps responses from other callers and other sites.
//! 6. [`advertise::advertise`] says which methods and media types a resource accepts.
//! 7. CORS answers the preflight requests of browsers, if origins are configured.
//! 8. [`tus::negotiate_version`] refuses other versions of tus.
//! 9. [`admission::admit`] checks the host, role, credentials, scope, rate and the number of uploads.

use std::sync::Arc;

use actix_web::{
    App,
    body::MessageBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    middleware::{Condition, from_fn},
    web::{self, Data},
};
use utoipa_actix_web::AppExt as _;

use crate::{
    headers::origin::AllowedOrigin,
    middleware::{
        access_log::AccessLog,
        admission::{self, Admission},
        advertise, caching, compress, cors, tus,
    },
    openapi::Contract,
    pages,
    public_url::{self, PublicUrl},
    routes,
    state::AppState,
};

/// What the threads that answer requests share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) state: Data<AppState>,
    pub(crate) contract: Data<Contract>,
    pub(crate) admission: Data<Admission>,
    pub(crate) access_log: AccessLog,
    pub(crate) cors_origins: Vec<AllowedOrigin>,
}

/// Builds the application of one thread.
pub(crate) fn build(
    shared: Shared,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let Shared {
        state,
        contract,
        admission,
        access_log,
        cors_origins,
    } = shared;
    let path = state.public_url.as_ref().map(PublicUrl::path);
    let path = path.cloned().unwrap_or_default();
    let advertised = contract.clone();
    let gate = (admission, state.clone());
    App::new()
        .wrap(from_fn(move |request, next| {
            let (admission, state) = gate.clone();
            admission::admit(admission, state, request, next)
        }))
        .wrap(from_fn(tus::negotiate_version))
        .wrap(Condition::new(
            !cors_origins.is_empty(),
            cors::cors(&cors_origins, &contract.fields),
        ))
        .wrap(from_fn(move |request, next| {
            advertise::advertise(advertised.clone(), request, next)
        }))
        .wrap(from_fn(caching::keep_private))
        .wrap(Condition::new(
            !path.is_empty(),
            from_fn(move |request, next| {
                public_url::prepend_path(Arc::clone(&path), request, next)
            }),
        ))
        .wrap(from_fn(compress::compress))
        .wrap(from_fn(move |request, next| {
            access_log.clone().log(request, next)
        }))
        .wrap(from_fn(tus::method_override))
        .app_data(state)
        .app_data(contract)
        .into_utoipa_app()
        .configure(routes::operations)
        .into_app()
        .configure(pages::pages)
        .default_service(web::to(routes::not_found))
}
