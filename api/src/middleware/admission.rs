//! Admission: what a request must pass before its handler runs.
//!
//! The process must have the operation's role, the credentials its scope, and the owner must not
//! exceed the limits of requests and uploads.

use std::{rc::Rc, sync::Arc};

use actix_web::{
    Error, HttpMessage as _, ResponseError as _,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web::Data,
};
use domain::{Scope, Timestamp};

use super::{context::RequestContext, cross_site::CrossSite, host};
use crate::{
    auth::{self, Authenticator, Identity, X_OWNER},
    extract::body,
    limits::{
        placed_body::{PlaceGuard, PlacedBody},
        rate_limit::{RateLimitDecision, RateLimiter},
        upload_slots::UploadSlots,
    },
    openapi::{Access, RequiredRole, Route},
    problem::{Problem, ProblemType},
    roles::{Role, Roles},
    state::AppState,
};

/// Decides which requests reach their handlers.
pub(crate) struct Admission {
    pub(crate) authenticator: Authenticator,
    pub(crate) rate_limiter: Option<RateLimiter>,
    pub(crate) upload_slots: UploadSlots,
    pub(crate) roles: Roles,
    /// What is refused where no credentials are required.
    pub(crate) cross_site: Option<CrossSite>,
}

/// Passes a request on to its handler, or refuses it.
///
/// The caller's [`Identity`] travels with the request as an extension.
pub(crate) async fn admit(
    admission: Data<Admission>,
    state: Data<AppState>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if let Err(problem) = host::verify(&request) {
        return Ok(request.into_response(problem.error_response()));
    }
    let context = request.extensions().get::<Rc<RequestContext>>().cloned();
    let context = context.as_deref();
    let route = context.and_then(|context| context.route.as_deref());
    if let Some(RequiredRole::Role(role)) = route.map(|route| route.required_role)
        && !admission.roles.has(role)
    {
        return Ok(request.into_response(misdirected(role).error_response()));
    }
    let scoped = route.and_then(|route| match route.access {
        Access::Scoped(scope) => Some((route, scope)),
        Access::Open => None,
    });
    let (Some(context), Some((route, scope))) = (context, scoped) else {
        // The operation is open, or there is none, which the router answers.
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    if let Some(cross_site) = &admission.cross_site
        && let Err(problem) = cross_site.check(&request)
    {
        return Ok(request.into_response(problem.error_response()));
    }
    let now = state.service.now();
    let identity = match identify(&admission, context, scope, &request, now).await {
        Ok(identity) => identity,
        Err(problem) => return Ok(request.into_response(problem.error_response())),
    };
    let decision = match &admission.rate_limiter {
        Some(rate_limiter) => Some(rate_limiter.take(&identity.owner).await),
        None => None,
    };
    let limited = limit(
        &admission,
        route,
        &identity,
        decision.as_ref(),
        &mut request,
    );
    let mut response = match limited {
        Err(problem) => request.into_response(problem.error_response()),
        Ok(_place) => {
            request.extensions_mut().insert(identity);
            next.call(request).await?.map_into_boxed_body()
        }
    };
    if let Some(decision) = decision {
        decision.add_fields(response.headers_mut());
    }
    Ok(response)
}

/// Refuses a request for a role that this process lacks (RFC 9110 §15.5.20).
fn misdirected(role: Role) -> Problem {
    let detail = format!("this process does not have the role {}", role.name());
    Problem::new(ProblemType::Misdirected, detail)
}

/// Verifies the credentials and their scope, and records the caller for the log in any case.
async fn identify(
    admission: &Admission,
    context: &RequestContext,
    scope: Scope,
    request: &ServiceRequest,
    now: Timestamp,
) -> Result<Arc<Identity>, Problem> {
    let headers = request.headers();
    let identity = admission.authenticator.identify(headers, now).await?;
    let named = headers.get(X_OWNER);
    let named = named.and_then(|name| auth::read_owner(name).ok());
    let owner = named.unwrap_or_else(|| identity.owner.clone());
    // The cell is empty: each request is admitted once.
    let _ = context.caller.set((Arc::clone(&identity), owner));
    auth::authorize(identity, headers, scope)
}

/// Applies the owner's rate limit, and that of uploads: each takes its slot with its first byte, and the
/// guard must be held while the request runs.
fn limit(
    admission: &Admission,
    route: &Route,
    identity: &Identity,
    decision: Option<&RateLimitDecision>,
    request: &mut ServiceRequest,
) -> Result<Option<PlaceGuard>, Problem> {
    if let Some(decision) = decision {
        decision.check()?;
    }
    if route.takes_bytes && body::is_there(request.headers()) {
        let slots = &admission.upload_slots;
        slots.check(&identity.owner)?;
        let body = request.take_payload();
        let (body, place) = PlacedBody::wrap(body, slots, &identity.owner);
        request.set_payload(body);
        return Ok(Some(place));
    }
    Ok(None)
}
