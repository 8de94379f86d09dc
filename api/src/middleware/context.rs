//! The facts about a request that the middleware gathers for the log, the audit log and the handlers.

use std::{cell::OnceCell, net::IpAddr, sync::Arc};

use domain::{Owner, Sha1};

use crate::{auth::Identity, openapi::Route};

/// The facts about a request, which travel among its extensions.
#[derive(Debug)]
pub(crate) struct RequestContext {
    /// The operation of the request, if there is one.
    pub(crate) route: Option<Arc<Route>>,
    /// Whether the request comes from a trusted proxy.
    pub(crate) is_proxied: bool,
    /// The client's address, as trusted proxies report it.
    pub(crate) client: Option<IpAddr>,
    /// The caller, and the owner whom the request concerns, once the credentials are verified; even if
    /// they do not allow the request.
    pub(crate) caller: OnceCell<(Arc<Identity>, Owner)>,
}

/// The file that a response is about, and its owner; a response's extension, for the audit log.
pub(crate) struct AuditSubject {
    pub(crate) owner: Owner,
    pub(crate) sha1: Sha1,
}

/// The file of the caller that a response is about; a response's extension, for the audit log.
pub(crate) struct AuditFile(pub(crate) Sha1);
