//! Faults that a test asks for, and what was counted, by way of a listener of its own.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;

use crate::request::Request;

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The answer is that the server has failed.
    Error,
    /// There is no answer.
    Hang,
    /// The answer ends half way.
    Truncate,
    /// A bit of the answer is not as it was.
    Flip,
    /// The answer comes late.
    Slow,
    /// A bit of what is stored is not as it came.
    FlipStored,
}

/// What kind of request it happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Operation {
    /// Reads an object.
    Get,
    /// Writes or copies an object or a part.
    Put,
    /// Asks about an object.
    Head,
    /// Removes an object or an upload.
    Delete,
    /// Begins or completes an upload, or removes several objects.
    Post,
    /// Reads anything but an object.
    List,
    /// Any of these.
    #[serde(rename = "*")]
    Any,
}

impl Operation {
    /// That of a request.
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

/// What is to go wrong, how often.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    kind: Kind,
    #[serde(default = "any")]
    operation: Operation,
    /// How many requests are spared first.
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

/// The fault that there is, if there is one, and what was counted.
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
    /// No fault, and nothing counted.
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

    /// Whether one of some kinds of faults happens now; then it counts as delivered.
    pub(crate) fn strike(&self, kinds: &[Kind], operation: Operation) -> Option<Kind> {
        let mut state = self.state();
        let fault = state.fault.as_mut()?;
        let meant = fault.operation == Operation::Any || fault.operation == operation;
        let kind = fault.kind;
        if !meant || !kinds.contains(&kind) || !happens(fault.probability) {
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

    /// Tells when the fault is another or none.
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

/// Throws dice.
fn happens(probability: f64) -> bool {
    let thrown = getrandom::u32().unwrap_or_default();
    f64::from(thrown) < probability * (f64::from(u32::MAX) + 1.0)
}

/// Adds what the second listener answers.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/fault", web::put().to(set_fault))
        .route("/fault", web::delete().to(clear_fault))
        .route("/counts", web::get().to(read_counts));
}

/// Sets the fault, in the place of the one before.
async fn set_fault(faults: web::Data<Faults>, body: web::Bytes) -> HttpResponse {
    match serde_json::from_slice(&body) {
        Ok(fault) => {
            faults.set(Some(fault));
            HttpResponse::NoContent().finish()
        }
        Err(error) => HttpResponse::BadRequest().body(error.to_string()),
    }
}

/// Clears the fault; what hangs because of it is dropped.
async fn clear_fault(faults: web::Data<Faults>) -> HttpResponse {
    faults.set(None);
    HttpResponse::NoContent().finish()
}

/// Tells how many requests came, and how many faults were delivered.
async fn read_counts(faults: web::Data<Faults>) -> HttpResponse {
    let state = faults.state();
    HttpResponse::Ok().json(json!({"requests": state.requests, "faults": state.delivered}))
}
