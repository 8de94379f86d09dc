//! The receiver of the real OpenTelemetry Collector, which writes what it receives to a file.

use std::{
    collections::BTreeMap,
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command},
    thread::sleep,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{nginx::free_port, path_variable};

/// A collector, which is stopped when this is dropped.
pub struct Collector {
    process: Child,
    port: u16,
    folder: TempDir,
}

/// A span as a collector received it.
#[derive(Debug, Clone)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub kind: u64,
    /// The id of its trace, in hexadecimal digits, like the other ids.
    pub trace: String,
    /// Its id.
    pub id: String,
    /// The id of its parent; empty for a root span.
    pub parent: String,
    /// Its attributes, all as text.
    pub attributes: BTreeMap<String, String>,
    /// The attributes of its process (the resource).
    pub resource: BTreeMap<String, String>,
    /// Whether its status is an error.
    pub is_error: bool,
    /// When it began and ended, in nanoseconds.
    pub time: (u64, u64),
}

impl Collector {
    /// Starts a collector that takes all traces.
    #[must_use]
    pub fn start() -> Self {
        Self::start_for("")
    }

    /// Starts a collector that takes traces only with this `Authorization`.
    #[must_use]
    pub fn start_for(authorization: &str) -> Self {
        let program = path_variable("TEST_COLLECTOR");
        let folder = tempfile::tempdir().unwrap();
        // It cannot report a port that it chose.
        let port = free_port();
        let process = Command::new(program)
            .arg(format!("127.0.0.1:{port}"))
            .arg(folder.path().join("traces"))
            .arg(authorization)
            .spawn()
            .unwrap();
        let collector = Self {
            process,
            port,
            folder,
        };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            sleep(Duration::from_millis(20));
        }
        collector
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The text of its file.
    #[must_use]
    pub fn text(&self) -> String {
        let file: PathBuf = self.folder.path().join("traces");
        std::fs::read_to_string(file).unwrap_or_default()
    }

    /// The spans that it received.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let text = self.text();
        // The last line may be incomplete.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let requests = whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        requests.flat_map(|request: Value| read(&request)).collect()
    }

    /// The spans of a trace, in the order in which they began.
    #[must_use]
    pub fn trace(&self, id: &str) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.trace == id);
        spans.sort_by_key(|span| span.time);
        spans
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Span {
    /// An attribute, or an empty string.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

fn read(request: &Value) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_process in list(&request["resourceSpans"]) {
        let resource = attributes(&of_process["resource"]["attributes"]);
        for of_scope in list(&of_process["scopeSpans"]) {
            let found = list(&of_scope["spans"]).iter();
            spans.extend(found.map(|span| read_span(span, &resource)));
        }
    }
    spans
}

fn read_span(span: &Value, resource: &BTreeMap<String, String>) -> Span {
    let text = |name: &str| span[name].as_str().unwrap_or_default().to_owned();
    let time = |name: &str| text(name).parse().unwrap();
    Span {
        name: text("name"),
        kind: span["kind"].as_u64().unwrap_or_default(),
        trace: text("traceId"),
        id: text("spanId"),
        parent: text("parentSpanId"),
        attributes: attributes(&span["attributes"]),
        resource: resource.clone(),
        is_error: span["status"]["code"] == 2,
        time: (time("startTimeUnixNano"), time("endTimeUnixNano")),
    }
}

fn attributes(told: &Value) -> BTreeMap<String, String> {
    let told = list(told).iter().map(|attribute| {
        let value = attribute["value"].as_object().unwrap().values().next();
        let value = match value {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        };
        (attribute["key"].as_str().unwrap().to_owned(), value)
    });
    told.collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
