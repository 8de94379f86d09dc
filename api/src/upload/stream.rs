//! Appending the body of a request to an upload.

use std::{pin::pin, time::Duration};

use actix_web::web::Payload;
use domain::UploadError;
use futures_util::StreamExt as _;
use service::{Append, Error};
use tokio::time::{Instant, timeout};

use crate::{extract::body::broken_off, problem::Problem, state::AppState};

/// Time limit for taking the bytes that have arrived when a newer request takes the upload over.
const ARRIVED_TIMEOUT: Duration = Duration::from_millis(500);

/// Pause in the arrival of bytes after which no more of them are taken then.
const ARRIVED_GAP: Duration = Duration::from_millis(20);

/// The reason why a body was not appended whole.
pub(crate) enum AppendError {
    /// The body has more bytes than the upload may have.
    Overrun(UploadError),
    /// The body did not arrive whole, or could not be stored.
    Broken(Problem),
}

/// Appends a body to an upload.
///
/// A newer request for the same upload ends this one. The bytes that have arrived are stored first, so
/// that clients that supersede each other still make progress. A shutdown ends it as well, so that the
/// client continues on another process.
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
                if is_superseded(append).await? {
                    return take_arrived(state, append, payload).await;
                }
                continue;
            }
        };
        let Some(bytes) = next else {
            return Ok(());
        };
        let bytes = bytes.map_err(|error| AppendError::Broken(broken_off(&error)))?;
        state.metrics.received(bytes.len());
        append.write(&bytes).await.map_err(write_error)?;
        if is_superseded(append).await? {
            return take_arrived(state, append, payload).await;
        }
    }
}

/// Appends the bytes that have arrived already when a newer request takes the upload over: that one is
/// often the same client's, after its connection broke.
async fn take_arrived(
    state: &AppState,
    append: &mut Append,
    mut payload: Payload,
) -> Result<(), AppendError> {
    let end = Instant::now() + ARRIVED_TIMEOUT;
    while Instant::now() < end {
        match timeout(ARRIVED_GAP, payload.next()).await {
            Ok(Some(Ok(bytes))) => {
                state.metrics.received(bytes.len());
                append.write(&bytes).await.map_err(write_error)?;
            }
            Ok(Some(Err(_))) | Err(_) => break,
            Ok(None) => return Ok(()),
        }
    }
    Err(AppendError::Broken(Error::Superseded.into()))
}

fn write_error(error: Error) -> AppendError {
    match error {
        Error::Upload(overrun) => AppendError::Overrun(overrun),
        error => AppendError::Broken(error.into()),
    }
}

async fn is_superseded(append: &mut Append) -> Result<bool, AppendError> {
    let superseded = append.is_superseded().await;
    superseded.map_err(|error| AppendError::Broken(error.into()))
}

/// Returns whether a body without announced length has any byte.
pub(crate) async fn has_bytes(mut payload: Payload) -> Result<bool, Problem> {
    while let Some(bytes) = payload.next().await {
        if !bytes.map_err(|error| broken_off(&error))?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Ends an append early, and adds the offset to the problem if it can be determined.
pub(crate) async fn break_off(append: Append, problem: Problem) -> Problem {
    match append.break_off().await {
        Ok(offset) => problem.with_offset(offset),
        // The first problem is the one to report.
        Err(error) => {
            tracing::warn!(%error, "could not store all received bytes");
            problem
        }
    }
}
