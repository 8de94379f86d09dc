//! Appending the body of a request to an upload.

use std::pin::pin;

use actix_web::web::Payload;
use domain::UploadError;
use futures_util::StreamExt as _;
use service::{Append, Error};

use crate::{extract::body::broken_off, problem::Problem, state::AppState};

/// Why not all of a body was appended.
pub(crate) enum AppendError {
    /// It has more bytes than the upload may have.
    Overrun(UploadError),
    /// It did not come whole, or could not be stored.
    Broken(Problem),
}

/// Appends all of a body, unless something comes in between.
///
/// A newer request for the same upload ends this one, which takes in what is there already: so
/// that clients who supersede each other again and again get on nonetheless. So does the service's
/// end: the client goes on elsewhere.
pub(crate) async fn stream_body(
    state: &AppState,
    append: &mut Append,
    mut payload: Payload,
) -> Result<(), AppendError> {
    let mut ending = pin!(state.shutdown.stopping());
    loop {
        let next = tokio::select! {
            biased;
            () = &mut ending => return Err(AppendError::Broken(Problem::stopping())),
            next = payload.next() => next,
            () = append.superseded() => {
                refuse_superseded(append).await?;
                continue;
            }
        };
        let Some(bytes) = next else {
            return Ok(());
        };
        let bytes = bytes.map_err(|error| AppendError::Broken(broken_off(&error)))?;
        state.metrics.received(bytes.len());
        match append.write(&bytes).await {
            Ok(()) => refuse_superseded(append).await?,
            Err(Error::Upload(overrun)) => return Err(AppendError::Overrun(overrun)),
            Err(error) => return Err(AppendError::Broken(error.into())),
        }
    }
}

async fn refuse_superseded(append: &mut Append) -> Result<(), AppendError> {
    match append.is_wanted().await {
        Ok(false) => Ok(()),
        Ok(true) => Err(AppendError::Broken(Error::Superseded.into())),
        Err(error) => Err(AppendError::Broken(error.into())),
    }
}

/// Whether a body has any byte, which it does not say beforehand.
pub(crate) async fn has_bytes(mut payload: Payload) -> Result<bool, Problem> {
    while let Some(bytes) = payload.next().await {
        if !bytes.map_err(|error| broken_off(&error))?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Ends appending before all bytes have come, and tells how many there are, if that can be told.
pub(crate) async fn break_off(append: Append, problem: Problem) -> Problem {
    match append.break_off().await {
        Ok(offset) => problem.with_offset(offset),
        // The problem before is the one to tell.
        Err(error) => {
            tracing::warn!(%error, "not all that came could be kept");
            problem
        }
    }
}
