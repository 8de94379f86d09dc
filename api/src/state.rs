//! What every handler works with.

use std::{
    collections::BTreeMap,
    future::{Ready, ready},
    sync::Arc,
};

use actix_web::{
    FromRequest, HttpMessage as _, HttpRequest, dev::Payload, http::header::HeaderName,
};
use domain::Owner;
use service::FileService;

use crate::{
    auth::{self, Identity},
    metrics::Metrics,
    problem::Problem,
    settings::Downloads,
    stopping::Stopping,
};

/// The field by which an admin says for whom a request is made.
pub(crate) const X_OWNER: HeaderName = HeaderName::from_static("x-owner");

/// What every handler works with.
pub(crate) struct AppState {
    pub(crate) service: FileService,
    pub(crate) metrics: Metrics,
    /// Where nginx has the objects, if it is to send them.
    pub(crate) accel: Option<String>,
    /// How the files of stores are sent of which something is said.
    pub(crate) downloads: BTreeMap<String, Downloads>,
    /// How far the service is with stopping.
    pub(crate) stopping: Stopping,
    /// What links' URLs begin with.
    pub(crate) public_url: String,
}

/// For whom a request is made, which was found out before.
pub(crate) struct Caller(pub(crate) Owner);

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let extensions = request.extensions();
        let identity = extensions.get::<Arc<Identity>>();
        let owner = identity.map(|identity| Self(identity.owner.clone()));
        ready(owner.ok_or_else(auth::missing))
    }
}
