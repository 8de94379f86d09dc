//! Dashboard and alerts use only metrics that the binary exports, as a real Prometheus reads them.

mod expression;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

use harness::{
    Client, Collector, Kind, Pair, Prometheus, Redis, Server, deploy, lent, program, unique_text,
    variable,
};
use reqwest::Method;
use serde_json::Value;

use crate::{
    monitoring::expression::uses,
    transferring::{BROKER, Moving},
};

/// Labels that Prometheus adds to all that it reads.
const ADDED: [&str; 2] = ["job", "instance"];

/// Metrics that Prometheus adds.
const OWN: [&str; 1] = ["up"];

/// The names of metrics, each with its labels.
type Exported = BTreeMap<String, BTreeSet<String>>;

fn promtool(arguments: &[&str]) {
    let output = program("promtool")
        .current_dir(deploy("prometheus"))
        .args(arguments)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
}

#[test]
fn the_alerts_fire_when_they_should_and_not_else() {
    promtool(&["check", "rules", "alerts.yml"]);
    promtool(&["test", "rules", "alerts.test.yml"]);
    promtool(&["check", "config", "--syntax-only", "prometheus.yml"]);
    let (rules, tests) = (
        read("prometheus/alerts.yml"),
        read("prometheus/alerts.test.yml"),
    );
    let cases: Vec<&str> = tests.split("- name:").skip(1).collect();
    let mut count = 0;
    for rule in rules.split("- alert: ").skip(1) {
        count += 1;
        let name = rule.lines().next().unwrap();
        let of_it = |case: &&&str| case.contains(&format!("expr: ALERTS{{alertname=\"{name}\", "));
        let silent = cases
            .iter()
            .filter(of_it)
            .filter(|case| case.contains("exp_samples: []"));
        assert!(
            silent.clone().count() > 0,
            "{name} is never seen not to fire"
        );
        assert!(
            cases.iter().filter(of_it).count() > silent.count(),
            "{name} is never seen to fire"
        );
        for part in ["severity: ", "summary: ", "description: "] {
            assert!(rule.contains(part), "{name} has no {part}");
        }
        assert!(
            read("../docs/operating.md").contains(&format!("`{name}`")),
            "{name} is not told of"
        );
    }
    assert!(count > 10);
}

#[test]
fn the_dashboard_is_sound() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut places = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(
            ids.insert(panel["id"].as_u64().unwrap()),
            "{title} has an id that another has"
        );
        let place = &panel["gridPos"];
        let (x, y) = (place["x"].as_u64().unwrap(), place["y"].as_u64().unwrap());
        assert!(places.insert((x, y)), "{title} is where another panel is");
        assert!(x + place["w"].as_u64().unwrap() <= 24, "{title}");
        if panel["type"] == "row" {
            continue;
        }
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    for (title, expression) in expressions(&dashboard) {
        let selectors = expression.matches('{').count();
        let by_instance = "{job=~\"$job\", instance=~\"$instance\"";
        assert_eq!(
            expression.matches(by_instance).count(),
            selectors,
            "{title}: {expression}"
        );
        assert_eq!(
            uses(&expression).metrics.len(),
            selectors,
            "{title}: {expression}"
        );
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<&str> = variables
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["datasource", "job", "instance"]);
}

#[tokio::test]
async fn every_metric_of_panels_and_alerts_is_exported() {
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
        ("FILESERVER_MAX_UPLOAD_SIZE", "1000"),
    ];
    let moving = Moving::start(Kind::Sqlite, &settings).await;
    let (pair, redis) = (Pair::start(Kind::MariaDb), Redis::start());
    let replicated = with_all(&pair, &redis).await;
    let clients = [moving.server.client(), replicated.client()];
    let addresses = [moving.server.address().await, replicated.address().await];
    let prometheus = Prometheus::watching(&addresses).await;
    for _ in 0..6 {
        make_traffic(clients[0]).await;
        clients[1].get("/files").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    moving.settle().await;

    let mut exported = Exported::new();
    for client in clients {
        note(&client.get("/metrics").await.text(), &mut exported);
    }
    let dashboard = dashboard();
    let mut shown = expressions(&dashboard);
    for rule in prometheus.alerts().await {
        assert_eq!(rule["health"], "ok", "{rule}");
        let name = rule["name"].as_str().unwrap().to_owned();
        shown.push((name, rule["query"].as_str().unwrap().to_owned()));
    }
    for (title, expression) in &shown {
        assert_is_exported(title, expression, &exported);
    }
    for (title, expression) in expressions(&dashboard) {
        let expression = expression
            .replace("$__rate_interval", "10s")
            .replace("$instance", ".+")
            .replace("$job", ".+");
        let found = prometheus.query(&expression).await;
        let found = found.unwrap_or_else(|error| panic!("{title}: {error}"));
        assert!(!found.is_empty(), "{title} is empty: {expression}");
    }
    let firing = prometheus
        .query("ALERTS{alertstate=\"firing\"}")
        .await
        .unwrap();
    assert_eq!(firing, [] as [Value; 0], "all goes well");

    let told: String = ["operating.md", "replication.md"]
        .map(|page| read(&format!("../docs/{page}")))
        .concat();
    let told: BTreeSet<&str> = told.split('`').filter_map(documented).collect();
    let families: BTreeSet<&str> = exported.keys().map(|name| family(name)).collect();
    let missing: Vec<_> = told.difference(&families).collect();
    assert!(
        missing.is_empty(),
        "{missing:?} are told of, and not exported"
    );
    let untold: Vec<_> = families.difference(&told).collect();
    assert!(
        untold.is_empty(),
        "{untold:?} are exported, and not told of"
    );
    moving.finish().await;
    replicated.stop().await;
}

/// A service with a replica of its database, and a cache.
async fn with_all(pair: &Pair, redis: &Redis) -> Server {
    let database = pair.database();
    let mut settings = redis.settings();
    settings.extend(pair.settings(&database));
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    Server::start_on(database, folder, data, &lent(&settings)).await
}

/// A little of everything.
async fn make_traffic(client: &Client) {
    let (sha1, bytes) = client.upload_some("a.txt").await;
    client.upload("again.txt", bytes).await;
    client.get(&format!("/files/{sha1}/content")).await;
    client.get("/files").await;
    let large = client.request(Method::POST, "/files").body(vec![0; 2000]);
    assert_eq!(client.send(large).await.status, 413);
}

/// The metrics of a scrape.
fn note(numbers: &str, exported: &mut Exported) {
    for line in numbers.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let read = uses(series);
        let [(name, labels)] = &read.metrics[..] else {
            panic!("{series}: {read:?}");
        };
        exported
            .entry(name.clone())
            .or_default()
            .extend(labels.clone());
    }
}

fn assert_is_exported(title: &str, expression: &str, exported: &Exported) {
    let used = uses(expression);
    assert!(!used.metrics.is_empty(), "{title}: {expression}");
    let mut labels = BTreeSet::from(ADDED.map(str::to_owned));
    for (name, selected) in &used.metrics {
        if OWN.contains(&name.as_str()) {
            continue;
        }
        let has = exported.get(name);
        let has = has.unwrap_or_else(|| panic!("{title}: {name} is not exported"));
        labels.extend(has.clone());
        for label in selected {
            let is_there = has.contains(label) || ADDED.contains(&label.as_str());
            assert!(is_there, "{title}: {name} has no {label}");
        }
    }
    for label in &used.groups {
        assert!(labels.contains(label), "{title}: nothing in it has {label}");
    }
}

/// A metric that the documentation names.
fn documented(word: &str) -> Option<&str> {
    let name = word.split('{').next()?;
    let is_metric = ["fileserver_", "process_"]
        .iter()
        .any(|begin| name.starts_with(begin));
    let is_name = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    (is_metric && is_name).then_some(name)
}

/// The common name of a histogram's series.
fn family(name: &str) -> &str {
    let mut ends = ["_bucket", "_count", "_sum"].into_iter();
    ends.find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

fn read(path: &str) -> String {
    fs::read_to_string(deploy(path)).unwrap()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("grafana/fileserver.json")).unwrap()
}

/// The expressions of the panels, each with its title.
fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            all.push((
                title.to_owned(),
                target["expr"].as_str().unwrap().to_owned(),
            ));
        }
    }
    all
}
