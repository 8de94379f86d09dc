//! Fault injection and request counts, on a listener of their own.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;

use crate::request::Request;

/// The kind of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The response is an internal server error.
    Error,
    /// There is no response.
    Hang,
    /// The response is truncated half way.
    Truncate,
    /// A bit of the response is flipped.
    Flip,
    /// The response is delayed.
    Slow,
    /// A bit of the stored bytes is flipped.
    FlipStored,
}

/// The kind of request that a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Operation {
    /// Reads an object.
    Get,
    /// Writes or copies an object or a part.
    Put,
    /// Reads the header of an object.
    Head,
    /// Removes an object or an upload.
    Delete,
    /// Starts or completes an upload, or removes several objects.
    Post,
    /// Reads anything but an object.
    List,
    /// Any of these.
    #[serde(rename = "*")]
    Any,
}

impl Operation {
    /// The operation of a request.
    pub(crate) fn of(request: &Request) -> Self {
        match request.method().as_str() {
            "HEAD" => Self::Head,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "POST" => Self::Post,
            _ if request.key.is_empty() || request.parameter("uploadId").is_some() => Self::List,
            _ => Self::Get,
        }
    }
}

/// A fault, and how often it strikes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    kind: Kind,
    #[serde(default = "any")]
    operation: Operation,
    /// The number of requests that it spares first.
    #[serde(default)]
    after: u64,
    #[serde(default)]
    times: Option<u64>,
    #[serde(default = "always")]
    probability: f64,
}

fn any() -> Operation {
    Operation::Any
}

fn always() -> f64 {
    1.0
}

/// The active fault, if any, and the counts.
pub(crate) struct Faults {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    fault: Option<Fault>,
    requests: BTreeMap<Operation, u64>,
    delivered: BTreeMap<Kind, u64>,
}

impl Faults {
    /// Without a fault and counts.
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }

    /// Counts a request.
    pub(crate) fn count(&self, operation: Operation) {
        *self.state().requests.entry(operation).or_default() += 1;
    }

    /// Returns the active fault if it is of one of these kinds and strikes now. It counts as
    /// delivered then.
    pub(crate) fn strike(&self, kinds: &[Kind], operation: Operation) -> Option<Kind> {
        let mut state = self.state();
        let fault = state.fault.as_mut()?;
        let matches = fault.operation == Operation::Any || fault.operation == operation;
        let kind = fault.kind;
        if !matches || !kinds.contains(&kind) || !happens(fault.probability) {
            return None;
        }
        if let Some(left) = fault.after.checked_sub(1) {
            fault.after = left;
            return None;
        }
        if let Some(times) = &mut fault.times {
            *times = times.checked_sub(1)?;
        }
        *state.delivered.entry(kind).or_default() += 1;
        Some(kind)
    }

    /// Notifies when the fault is replaced or cleared.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn set(&self, fault: Option<Fault>) {
        self.state().fault = fault;
        self.changed.send_modify(|changes| *changes += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns `true` with this probability.
fn happens(probability: f64) -> bool {
    let thrown = getrandom::u32().unwrap_or_default();
    f64::from(thrown) < probability * (f64::from(u32::MAX) + 1.0)
}

/// Adds the routes of the control listener.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/fault", web::put().to(set_fault))
        .route("/fault", web::delete().to(clear_fault))
        .route("/counts", web::get().to(read_counts));
}

/// Replaces the fault.
async fn set_fault(faults: web::Data<Faults>, body: web::Bytes) -> HttpResponse {
    match serde_json::from_slice(&body) {
        Ok(fault) => {
            faults.set(Some(fault));
            HttpResponse::NoContent().finish()
        }
        Err(error) => HttpResponse::BadRequest().body(error.to_string()),
    }
}

/// Clears the fault, and closes the connections that hang because of it.
async fn clear_fault(faults: web::Data<Faults>) -> HttpResponse {
    faults.set(None);
    HttpResponse::NoContent().finish()
}

/// Returns the numbers of requests and of delivered faults.
async fn read_counts(faults: web::Data<Faults>) -> HttpResponse {
    let state = faults.state();
    HttpResponse::Ok().json(json!({"requests": state.requests, "faults": state.delivered}))
}
