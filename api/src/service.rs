//! What every handler works with.

use std::{
    future::{Ready, ready},
    time::Duration,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use catalog::Catalog;
use domain::Owner;

use crate::{metrics::Metrics, problem::Problem};

/// What every handler works with.
pub(crate) struct Service {
    pub(crate) catalog: Catalog,
    pub(crate) metrics: Metrics,
    /// How long to wait for the next byte of a body that is appended to an upload.
    pub(crate) upload_idle_timeout: Duration,
}

/// For whom a request is made: all files have one owner while there is no authentication.
pub(crate) struct Caller(pub(crate) Owner);

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(_: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(Owner::anonymous())))
    }
}
