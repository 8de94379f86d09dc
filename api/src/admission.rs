//! What every request has to pass before its handler: credentials, fairness, and a body that
//! really comes.

mod pace;
mod slots;
mod turnover;

use std::{
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_web::{
    Error, HttpMessage as _, ResponseError as _,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web::Data,
};
use domain::{Scope, Timestamp};
use ipnet::IpNet;

pub(crate) use self::{
    pace::{Pace, Unread, is_too_slow},
    slots::Slots,
    turnover::Turnover,
};
use self::{slots::Slot, turnover::Turn};
use crate::{
    auth::{self, Authenticator, Identity},
    contract::{Access, Answered, Route},
    http::{address, body},
    observe::Story,
    problem::{Problem, ProblemType},
    settings::{Role, Roles},
    state::{AppState, X_OWNER},
};

/// Decides who may go on.
pub(crate) struct Admission {
    pub(crate) authenticator: Authenticator,
    pub(crate) turnover: Option<Turnover>,
    pub(crate) slots: Slots,
    pub(crate) pace: Pace,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) roles: Roles,
}

/// How long it takes, at most, until new keys of a token's issuer are known.
pub(crate) const KEYS_EVERY: Duration = Duration::from_mins(5);

/// Lets a request go on to its handler, or answers it.
///
/// Who it is for comes with it, as an extension.
pub(crate) async fn admit(
    admission: Data<Admission>,
    state: Data<AppState>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let story = request.extensions().get::<Rc<Story>>().cloned();
    let route = story.as_deref().and_then(|story| story.route.as_deref());
    if let Some(Answered::By(role)) = route.map(|route| route.answered)
        && !admission.roles.has(role)
    {
        return Ok(request.into_response(misdirected(role).error_response()));
    }
    let asked = story.as_deref().and_then(|story| {
        let route = story.route.as_deref()?;
        match route.access {
            Access::Scoped(scope) => Some((story, route, scope)),
            Access::Open => None,
        }
    });
    let Some((story, route, scope)) = asked else {
        // It is for everybody; or there is nothing, which the router says better.
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let now = state.service.now();
    let identity = match identify(&admission, story, scope, &request, now).await {
        Ok(identity) => identity,
        Err(problem) => return Ok(request.into_response(problem.error_response())),
    };
    let turn = match &admission.turnover {
        Some(turnover) => Some(turnover.take(&identity.owner).await),
        None => None,
    };
    let mut response = match take_share(&admission, route, &identity, turn.as_ref(), &request) {
        Err(problem) => request.into_response(problem.error_response()),
        Ok(_slot) => {
            request.extensions_mut().insert(identity);
            next.call(request).await?.map_into_boxed_body()
        }
    };
    if let Some(turn) = turn {
        turn.tell(response.headers_mut());
    }
    Ok(response)
}

/// Refuses a request that another process is for (RFC 9110 §15.5.20).
fn misdirected(role: Role) -> Problem {
    let detail = format!("this process does not have the role {}", role.name());
    Problem::new(ProblemType::Misdirected, detail)
}

/// Tells for whom a request is made, if that is allowed; the log hears of it in any case.
async fn identify(
    admission: &Admission,
    story: &Story,
    scope: Scope,
    request: &ServiceRequest,
    now: Timestamp,
) -> Result<Arc<Identity>, Problem> {
    let headers = request.headers();
    let identity = admission.authenticator.identify(headers, now).await?;
    story.is_told_of(&identity, headers.get(X_OWNER));
    auth::authorize(identity, headers, scope)
}

/// Makes sure that an owner does not take more than its share; what is given is held meanwhile.
fn take_share(
    admission: &Admission,
    route: &Route,
    identity: &Identity,
    turn: Option<&Turn>,
    request: &ServiceRequest,
) -> Result<Option<Slot>, Problem> {
    if let Some(turn) = turn {
        turn.refuse_too_many()?;
    }
    if route.takes_bytes && body::is_there(request.headers()) {
        return admission.slots.take(&identity.owner).map(Some);
    }
    Ok(None)
}

impl Admission {
    /// The address of the client that a request comes from, as far as it can be believed.
    pub(crate) fn client(&self, request: &ServiceRequest) -> Option<IpAddr> {
        let peer = request.peer_addr()?.ip();
        Some(address::of_client(
            peer,
            request.headers(),
            &self.trusted_proxies,
        ))
    }

    /// Whether a request comes from a proxy that belongs to the service.
    pub(crate) fn is_proxied(&self, peer: Option<SocketAddr>) -> bool {
        peer.is_some_and(|peer| address::is_trusted(peer.ip(), &self.trusted_proxies))
    }
}
