//! Appending the body of a request to an upload.

use actix_web::web::Payload;
use catalog::{Append, Error};
use domain::UploadError;
use futures_util::StreamExt as _;

use super::broken_off;
use crate::{problem::Problem, service::Service};

/// Why not all of a body was appended.
pub(crate) enum Stop {
    /// It has more bytes than the upload may have.
    Overrun(UploadError),
    /// It did not come whole, or could not be stored.
    Broken(Problem),
}

/// Appends all of a body, unless something comes in between.
///
/// A newer request for the same upload ends this one.
pub(crate) async fn pump(
    service: &Service,
    append: &mut Append,
    mut payload: Payload,
) -> Result<(), Stop> {
    loop {
        let next = tokio::select! {
            next = payload.next() => next,
            () = append.superseded() => {
                return Err(Stop::Broken(Error::Superseded.into()));
            }
        };
        let Some(bytes) = next else {
            return Ok(());
        };
        let bytes = bytes.map_err(|error| Stop::Broken(broken_off(&error)))?;
        service.metrics.received(bytes.len());
        match append.write(&bytes).await {
            Ok(()) => {}
            Err(Error::Upload(overrun)) => return Err(Stop::Overrun(overrun)),
            Err(error) => return Err(Stop::Broken(error.into())),
        }
    }
}
