//! The state that every handler shares.

use std::{collections::BTreeMap, sync::Arc};

use domain::FileMeta;
use service::FileService;
use telemetry::Metrics;

use crate::{
    download::DownloadMode, endpoints::check_readiness::ReadinessCache, public_url::PublicUrl,
    shutdown::ShutdownState,
};

/// The state that every handler shares.
pub(crate) struct AppState {
    /// The use cases.
    pub(crate) service: FileService,
    /// The counters of this process.
    pub(crate) metrics: Arc<Metrics>,
    /// The internal location in which nginx has the objects, if nginx sends the bytes.
    pub(crate) accel_redirect: Option<String>,
    /// How the files of each store reach the clients that download them.
    pub(crate) downloads: BTreeMap<String, DownloadMode>,
    /// The progress of a shutdown.
    pub(crate) shutdown: ShutdownState,
    /// The findings of the last readiness check.
    pub(crate) readiness: ReadinessCache,
    /// The URL at which clients reach the service, if it is known.
    pub(crate) public_url: Option<PublicUrl>,
}

impl AppState {
    /// The metadata of a file, with URLs as clients reach them.
    pub(crate) fn present(&self, mut meta: FileMeta) -> FileMeta {
        if let Some(url) = &self.public_url {
            meta.location = meta.location.below(url.path());
        }
        meta
    }
}
