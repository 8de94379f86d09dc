//! Traces, as a real collector receives them.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

use harness::{
    Answer, Ceph, Client, Collector, Kind, Server, Span, binary, eventually, unique_text, variable,
};
use reqwest::Method;
use serde_json::Value;

use crate::{
    linking::share,
    transferring::{BROKER, Moving},
};

/// The kinds of spans in OTLP.
const INTERNAL: u64 = 1;
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
const PRODUCER: u64 = 4;
const CONSUMER: u64 = 5;

/// A `traceparent`, its trace, and the span of its sender.
struct Parent {
    field: String,
    trace: String,
    span: String,
}

impl Parent {
    fn new(is_sampled: bool) -> Self {
        let hex = |length: usize| {
            let bytes = harness::random(length);
            bytes
                .iter()
                .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
        };
        let (trace, span): (String, String) = (hex(16), hex(8));
        Self {
            field: format!("00-{trace}-{span}-0{}", u8::from(is_sampled)),
            trace,
            span,
        }
    }
}

async fn upload_within(client: &Client, parent: &Parent, name: &str) -> Answer {
    let request = client.request(Method::POST, "/files");
    let request = request.query(&[("file_name", name)]).body(unique_text());
    let request = request.header("traceparent", &parent.field);
    client.send(request).await
}

/// Waits until the request of a trace has come, which ends after all that was done for it.
async fn request_of(collector: &Collector, trace: &str) -> Span {
    let is_request = |span: &Span| span.trace == trace && span.kind == SERVER;
    eventually(|| collector.spans().iter().any(is_request)).await;
    collector.spans().into_iter().find(is_request).unwrap()
}

fn line_of(server: &Server, operation: &str) -> Option<Value> {
    let log = server.log();
    let mut lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.find(|line: &Value| line["operation"] == operation)
}

harness::on_every_database!(with &[("FILESERVER_OTLP_ENDPOINT", "http://127.0.0.1:9")];
    what_is_done_for_a_request_does_not_need_a_collector,
);

async fn what_is_done_for_a_request_does_not_need_a_collector(server: &Server) {
    let client = server.client();
    let (sha1, bytes) = client.upload_some("a.txt").await;
    let read = client.get(&format!("/files/{sha1}/content")).await;
    assert_eq!(read.body, bytes);
}

#[tokio::test]
async fn an_upload_is_one_trace_from_the_request_to_the_store() {
    for kind in [Kind::Sqlite, Kind::MariaDb, Kind::Postgres] {
        let collector = Collector::start();
        let settings = [("FILESERVER_OTLP_ENDPOINT", collector.url())];
        let settings = settings
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let server = Server::alone(kind, &settings).await;
        let system = match server.database().kind() {
            Kind::Sqlite => "sqlite",
            Kind::MariaDb => "mysql",
            Kind::Postgres => "postgresql",
        };
        let parent = Parent::new(true);
        let answer = upload_within(server.client(), &parent, "a.txt").await;
        assert_eq!(answer.status, 201);

        let request = request_of(&collector, &parent.trace).await;
        assert_eq!(request.name, "POST /files");
        assert_eq!(request.parent, parent.span);
        assert!(!request.is_error);
        for (attribute, value) in [
            ("http.request.method", "POST"),
            ("http.route", "/files"),
            ("http.response.status_code", "201"),
            ("url.scheme", "http"),
            ("network.protocol.version", "1.1"),
            ("fileserver.operation", "upload_file"),
            ("id", answer.header("x-request-id")),
        ] {
            assert_eq!(
                request.attribute(attribute),
                value,
                "{attribute}: {request:?}"
            );
        }
        assert_eq!(request.resource["service.name"], "fileserver");

        let trace = collector.trace(&parent.trace);
        let parts: BTreeMap<&str, &Span> = trace
            .iter()
            .map(|span| (span.name.as_str(), span))
            .collect();
        let recorded = parts["recording.record"];
        assert_eq!(recorded.kind, CLIENT);
        for (attribute, value) in [
            ("db.system.name", system),
            ("db.operation.name", "recording.record"),
            ("fileserver.database.operation", "transaction"),
        ] {
            assert_eq!(recorded.attribute(attribute), value, "{recorded:?}");
        }
        let written = trace.iter().find(|span| span.name.starts_with("write "));
        let written = written.unwrap_or_else(|| panic!("{trace:?}"));
        assert_eq!(written.attribute("fileserver.store.operation"), "write");
        let is_disk = written.attribute("fileserver.store.name") == "disk";
        assert_eq!(written.kind, if is_disk { INTERNAL } else { CLIENT });
        for span in trace.iter().filter(|span| span.id != request.id) {
            assert_eq!(span.parent, request.id, "{span:?}");
            assert!(span.time.0 >= request.time.0 && span.time.0 <= request.time.1);
        }
        // Bytes before the row.
        assert!(written.time.1 <= recorded.time.1);
        let line = line_of(&server, "upload_file").unwrap();
        assert_eq!(line["trace_id"], parent.trace);
        // No line has what is for traces only.
        assert!(!server.log().contains("otel."), "{}", server.log());
        server.finish().await;
    }
}

#[tokio::test]
async fn a_download_is_traced_to_its_last_byte() {
    let collector = Collector::start();
    let url = collector.url();
    let server = Server::alone(Kind::Sqlite, &[("FILESERVER_OTLP_ENDPOINT", &url)]).await;
    let client = server.client();
    let bytes = harness::random(5_000_000);
    let parent = Parent::new(true);
    let request = client.request(Method::POST, "/files?file_name=a.bin");
    let request = request.header("traceparent", &parent.field);
    let sha1 = client
        .send(request.body(bytes.clone()))
        .await
        .meta()
        .file_sha1;
    // A task of its own sends to the bucket while bytes arrive.
    let request = request_of(&collector, &parent.trace).await;
    let trace = collector.trace(&parent.trace);
    let is_written = |span: &Span| span.name.starts_with("write ") && span.parent == request.id;
    assert!(trace.iter().any(is_written), "{trace:?}");
    let parent = Parent::new(true);
    let path = format!("/files/{sha1}/content");
    let request = client
        .request(Method::GET, &path)
        .header("traceparent", &parent.field);
    let read = client.try_send(request).await.unwrap();
    assert_eq!(read.body, bytes);
    let request = request_of(&collector, &parent.trace).await;
    assert_eq!(request.name, "GET /files/{file_sha1}/content");
    assert_eq!(request.attribute("http.response.body.size"), "5000000");
    let trace = collector.trace(&parent.trace);
    assert!(
        trace.iter().any(|span| span.name.starts_with("read ")),
        "{trace:?}"
    );
    server.finish().await;
}

#[tokio::test]
async fn no_span_has_a_secret_or_what_a_file_is_called() {
    let collector = Collector::start_for("Bearer the-collectors-token");
    let url = collector.url();
    let settings = [
        ("FILESERVER_AUTH", "token"),
        ("FILESERVER_OTLP_ENDPOINT", url.as_str()),
        (
            "FILESERVER_OTLP_HEADERS",
            "authorization=Bearer%20the-collectors-token",
        ),
    ];
    let server = Server::alone(Kind::MariaDb, &settings).await;
    let token = server.token("alice-the-owner", "files:read,files:write");
    let alice = server.client().with_token(&token);
    let (sha1, _) = alice.upload_some("a-telling-name.txt").await;
    let made = alice.send(share(&alice, &sha1.to_string())).await.json();
    let link = made["url"].as_str().unwrap();
    let stranger = server.client();
    assert_eq!(stranger.get(link).await.status, 200);
    // With every spelling of the link, and from every handler.
    for path in ["/%64/", "//d/", "/./d/", "/D/", "/d%2F", "/"] {
        let request = format!(
            "GET {path}{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            &link[3..]
        );
        let told = server.raw(request.as_bytes()).await;
        assert!(told.starts_with("HTTP/1.1 "), "{told}");
    }
    let found = alice.get("/files?name=a-telling-name&limit=1").await;
    assert_eq!(found.status, 200);
    let parent = Parent::new(true);
    let request = alice.request(Method::PATCH, &format!("/files/{sha1}"));
    let request = request.header("traceparent", &parent.field);
    let renamed = serde_json::json!({"file_name": "another-telling-name.txt"});
    assert_eq!(alice.send(request.json(&renamed)).await.status, 200);
    let strange = "ASK /files?secret=query HTTP/1.1\r\nHost: localhost\r\n\r\n";
    server.raw(strange.as_bytes()).await;

    request_of(&collector, &parent.trace).await;
    server.finish().await;
    let text = collector.text();
    let names: Vec<String> = collector
        .spans()
        .into_iter()
        .map(|span| span.name)
        .collect();
    for name in [
        "GET /d/{link_token}",
        "GET /files",
        "POST /files/{file_sha1}/links",
        "HTTP",
    ] {
        assert!(
            names.iter().any(|given| given == name),
            "{name} is not in {names:?}"
        );
    }
    let secret_of_link = link.rsplit('/').next().unwrap();
    for secret in [
        token.as_str(),
        token.trim_start_matches("fst_"),
        secret_of_link,
        &secret_of_link[..16],
        "telling-name",
        "alice-the-owner",
        "the-collectors-token",
        "secret=query",
        "tester:tester",
        &sha1.to_string(),
        "SELECT",
    ] {
        assert!(!text.contains(secret), "{secret} is in a trace");
    }
}

#[tokio::test]
async fn a_copy_is_one_trace_over_the_broker() {
    let _broker = BROKER.lock().await;
    let collector = Collector::start();
    let queue = format!("test-{}", unique_text().replace(' ', "-"));
    let (url, broker) = (collector.url(), variable("TEST_AMQP_URL"));
    let settings = [
        ("FILESERVER_TRANSFER_POLICY", "move"),
        ("FILESERVER_TRANSFER_TO", "oss"),
        ("FILESERVER_TRANSFER_BROKER", broker.as_str()),
        ("FILESERVER_TRANSFER_QUEUE", queue.as_str()),
        ("FILESERVER_OTLP_ENDPOINT", url.as_str()),
    ];
    let moving = Moving::start(Kind::MariaDb, &settings).await;
    let (other, _) = moving.server.second_process().await;
    let pids = [moving.server.id().await, other.id().unwrap()].map(|pid| pid.to_string());
    let client = moving.server.client();
    // Each announces, and each makes copies: soon one makes a copy that the other announced.
    let is_across = |copied: &Span, spans: &[Span]| {
        let announced = spans.iter().find(|span| span.id == copied.parent);
        announced.is_some_and(|announced| {
            announced.resource["process.pid"] != copied.resource["process.pid"]
        })
    };
    let began = Instant::now();
    let (announced, processed, spans) = loop {
        assert!(
            began.elapsed() < Duration::from_mins(1),
            "no trace is in two processes"
        );
        client.upload_some("a-telling-name.txt").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let spans = collector.spans();
        let mut processed = spans.iter().filter(|span| span.kind == CONSUMER);
        if let Some(processed) = processed.find(|span| is_across(span, &spans)).cloned() {
            let announced = spans
                .iter()
                .find(|span| span.id == processed.parent)
                .unwrap();
            break (announced.clone(), processed, spans);
        }
    };
    assert!(pids.contains(&announced.resource["process.pid"]));
    let destination = format!("{queue}:{queue}.copies");
    for (span, name, kind) in [
        (&announced, "publish", PRODUCER),
        (&processed, "process", CONSUMER),
    ] {
        assert_eq!(span.name, format!("{name} {destination}"));
        assert_eq!(span.kind, kind);
        assert_eq!(span.attribute("messaging.system"), "rabbitmq");
        assert_eq!(span.attribute("messaging.operation.name"), name);
        assert_eq!(span.attribute("messaging.destination.name"), destination);
    }
    assert_eq!(announced.attribute("messaging.operation.type"), "send");
    assert_eq!(announced.parent, "");
    assert_eq!(announced.trace, processed.trace);
    let in_trace = |name: &str| {
        let mut spans = spans.iter().filter(|span| span.trace == processed.trace);
        spans
            .find(|span| span.name == name)
            .unwrap_or_else(|| panic!("{name} is not in {spans:?}"))
    };
    let copied = in_trace("copy");
    assert_eq!(copied.parent, processed.id);
    assert_eq!(copied.attribute("fileserver.copy.result"), "copied");
    assert_eq!(copied.attribute("fileserver.copy.to"), "oss");
    for part in [
        "jobs.claim",
        "relocation.relocate",
        "read disk",
        "write oss",
        "read oss",
    ] {
        if part.ends_with("disk") && Ceph::is_primary() {
            continue;
        }
        assert_eq!(in_trace(part).parent, copied.id, "{part}");
    }
    // The job of a killed process waits for minutes.
    moving.settle().await;
    drop(other);
    moving.finish().await;
    let text = collector.text();
    assert!(!text.contains("guest:guest") && !text.contains("telling-name"));
}

#[tokio::test]
async fn background_polling_is_in_no_trace() {
    let collector = Collector::start();
    let url = collector.url();
    let server = Server::alone(Kind::Sqlite, &[("FILESERVER_OTLP_ENDPOINT", &url)]).await;
    // Jobs and transfers are looked for meanwhile.
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.finish().await;
    let spans = collector.spans();
    let firsts = spans.iter().filter(|span| span.parent.is_empty());
    let names: Vec<&str> = firsts.map(|span| span.name.as_str()).collect();
    assert!(names.contains(&"sweep"), "{names:?}");
    let allowed = |name: &&str| ["sweep", "GET /openapi.json"].contains(name);
    assert!(names.iter().all(allowed), "{names:?}");
}

#[tokio::test]
async fn a_collector_that_is_gone_or_hangs_costs_requests_nothing() {
    // A collector that accepts connections, and does not answer.
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let hanging = format!("http://{}", hanging.local_addr().unwrap());
    let plain = Server::alone(Kind::Sqlite, &[]).await;
    let mut others = Vec::new();
    for url in ["http://127.0.0.1:9", hanging.as_str()] {
        others.push(Server::alone(Kind::Sqlite, &[("FILESERVER_OTLP_ENDPOINT", url)]).await);
    }
    let mut times = vec![Vec::new(); 3];
    for _ in 0..200 {
        // In turns, so that other load on the machine affects all of them alike.
        for (server, times) in [&plain].into_iter().chain(&others).zip(&mut times) {
            let client = server.client();
            let began = Instant::now();
            let answer = client.try_send(client.request(Method::GET, "/files")).await;
            times.push(began.elapsed());
            assert_eq!(answer.unwrap().status, 200);
        }
    }
    let [without, gone, hangs] = times
        .try_into()
        .map(|times: [Vec<Duration>; 3]| times.map(median))
        .unwrap();
    for (time, what) in [(gone, "gone"), (hangs, "hanging")] {
        assert!(
            time < 2 * without + Duration::from_millis(1),
            "{what}: {time:?}, {without:?}"
        );
    }

    // More spans than the queue holds: the rest is dropped, and memory is bounded.
    let server = &others[1];
    let client = server.client();
    let before = number(client, "process_resident_memory_bytes").await;
    for _ in 0..50 {
        let asked = (0..100).map(|_| client.try_send(client.request(Method::GET, "/files")));
        for answer in futures_util::future::join_all(asked).await {
            assert_eq!(answer.unwrap().status, 200);
        }
    }
    let grown = number(client, "process_resident_memory_bytes").await - before;
    assert!(grown < 40e6, "{grown} bytes");
    let began = Instant::now();
    while number(client, "fileserver_trace_spans_total{result=\"dropped\"}").await == 0.0 {
        assert!(
            began.elapsed() < Duration::from_mins(1),
            "nothing is dropped"
        );
        let _ = client.get("/files").await;
    }
    let is_told = || server.log().contains("traces were lost");
    eventually(is_told).await;
    assert_eq!(
        server.log().matches("traces were lost").count(),
        1,
        "it is told once a minute"
    );
    for server in [plain].into_iter().chain(others) {
        let began = Instant::now();
        server.finish().await;
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{:?}",
            began.elapsed()
        );
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

async fn number(client: &Client, name: &str) -> f64 {
    let numbers = client.get("/metrics").await.text();
    let mut lines = numbers.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value
        .unwrap_or_else(|| panic!("{name} is not in {numbers}"))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn a_collector_that_refuses_is_told_of() {
    let collector = Collector::start_for("Bearer right");
    let url = collector.url();
    let settings = [
        ("FILESERVER_OTLP_ENDPOINT", url.as_str()),
        (
            "FILESERVER_OTLP_HEADERS",
            "authorization=Bearer%20wrong-secret",
        ),
    ];
    let server = Server::alone(Kind::Sqlite, &settings).await;
    server.client().upload_some("a.txt").await;
    eventually(|| server.log().contains("traces were lost")).await;
    assert!(!server.log().contains("wrong-secret"));
    server.finish().await;
    assert_eq!(collector.text(), "");
}

#[tokio::test]
async fn the_caller_decides_whether_it_is_traced() {
    let collector = Collector::start();
    let url = collector.url();
    let endpoint = ("FILESERVER_OTLP_ENDPOINT", url.as_str());
    let never = Server::alone(Kind::Sqlite, &[endpoint, ("FILESERVER_TRACE_RATIO", "0")]).await;
    let always = Server::alone(Kind::Sqlite, &[endpoint]).await;
    let (wanted, unwanted) = (Parent::new(true), Parent::new(false));
    never.client().upload_some("a.txt").await;
    upload_within(never.client(), &wanted, "a.txt").await;
    upload_within(always.client(), &unwanted, "a.txt").await;
    request_of(&collector, &wanted.trace).await;
    let pid = never.id().await.to_string();
    never.finish().await;
    always.finish().await;
    let spans = collector.spans();
    let of_never = spans
        .iter()
        .filter(|span| span.resource["process.pid"] == pid);
    assert!(of_never.clone().count() > 1);
    assert!(
        of_never.clone().all(|span| span.trace == wanted.trace),
        "{spans:?}"
    );
    assert!(
        spans.iter().all(|span| span.trace != unwanted.trace),
        "{spans:?}"
    );
    assert!(spans.len() > of_never.count());
}

#[tokio::test]
async fn a_traceparent_that_is_none_begins_a_new_trace() {
    let collector = Collector::start();
    let url = collector.url();
    let server = Server::alone(Kind::Sqlite, &[("FILESERVER_OTLP_ENDPOINT", &url)]).await;
    let client = server.client();
    let long = "0".repeat(5000);
    let wrong = [
        "",
        "00",
        "00-x-y-01",
        "é",
        &long,
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ];
    for field in wrong {
        let request = client
            .request(Method::GET, "/usage")
            .header("traceparent", field.as_bytes());
        assert_eq!(
            client.try_send(request).await.unwrap().status,
            200,
            "{field}"
        );
    }
    server.finish().await;
    let spans = collector.spans();
    let of_usage = spans.iter().filter(|span| span.name == "GET /usage");
    assert!(
        of_usage.clone().all(|span| span.parent.is_empty()),
        "{spans:?}"
    );
    assert_eq!(of_usage.count(), wrong.len());
}

#[tokio::test]
async fn without_a_collector_there_are_no_traces() {
    let server = Server::alone(Kind::Sqlite, &[]).await;
    let parent = Parent::new(true);
    upload_within(server.client(), &parent, "a.txt").await;
    let line = || line_of(&server, "upload_file");
    eventually(|| line().is_some()).await;
    assert_eq!(line().unwrap()["trace_id"], Value::Null);
    let numbers = server.client().get("/metrics").await.text();
    assert!(!numbers.contains("trace_spans"));
    server.finish().await;
}

#[test]
fn a_collector_that_cannot_be_one_stops_the_start() {
    let refused = |arguments: &[&str], environment: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(binary());
        command
            .current_dir(folder.path())
            .arg("serve")
            .args(arguments);
        let output = command.envs(environment.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!said.contains("hidden"), "{said}");
        said
    };
    for url in [
        "",
        "collector",
        "grpc://collector:4317",
        "http://me:hidden@collector",
    ] {
        let said = refused(&["--otlp-endpoint", url], &[]);
        assert!(said.contains("otlp_endpoint"), "{said}");
    }
    let endpoint = ("FILESERVER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    let fields = ("FILESERVER_OTLP_HEADERS", "hidden");
    assert!(refused(&[], &[endpoint, fields]).contains("otlp_headers"));
    assert!(refused(&[], &[fields]).contains("otlp_endpoint"));
    let said = refused(&["--otlp-headers", "a=hidden"], &[endpoint]);
    assert!(said.contains("--otlp-headers has a secret"), "{said}");
    assert!(refused(&["--trace-ratio", "2"], &[]).contains("trace-ratio"));
}
