//! Visits: which requests through a link with a limited number of downloads count as one.

use std::time::Duration;

use futures_util::{StreamExt as _, future::join_all};
use harness::{Answer, Client, Kind, Nginx, Server, UNLIMITED, on_every_database};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::time::{Instant, sleep};

on_every_database! {
    with &[("FILESERVER_AUTH", "token")];
    a_probe_and_the_ranges_after_it_are_one_download,
    a_download_that_broke_off_is_continued,
    a_visit_gives_less_than_two_copies,
    a_visit_is_the_visitors_or_of_one_who_knows_the_tag,
    no_more_visitors_than_downloads_get_in_at_once,
    no_more_copies_can_be_put_together_than_downloads,
}

/// A link with a limited number of downloads, and its file.
struct Limited {
    anybody: Client,
    url: String,
    bytes: Vec<u8>,
}

impl Limited {
    async fn new(server: &Server, bytes: Vec<u8>, max_downloads: u64) -> Self {
        let alice = server.client_of("alice");
        let sha1 = alice.upload("a.bin", bytes.clone()).await.meta().file_sha1;
        let request = alice.request(Method::POST, &format!("/files/{sha1}/links"));
        let wanted = json!({"expires_in": 600, "max_downloads": max_downloads});
        let answer = alice.send(request.json(&wanted)).await;
        Self {
            anybody: server.client().clone(),
            url: answer.json()["url"].as_str().unwrap().to_owned(),
            bytes,
        }
    }

    fn request(&self, visitor: &str, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let request = self.anybody.request(Method::GET, &self.url);
        let request = request.header("user-agent", visitor);
        fields.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        })
    }

    async fn get(&self, visitor: &str, fields: &[(&str, &str)]) -> Answer {
        let request = self.request(visitor, fields);
        self.anybody.try_send(request).await.unwrap()
    }

    async fn head(&self, visitor: &str) -> StatusCode {
        let request = self.anybody.request(Method::HEAD, &self.url);
        let request = request.header("user-agent", visitor);
        self.anybody.try_send(request).await.unwrap().status
    }

    /// Asks for a range, and asserts that its bytes come.
    async fn gets(&self, visitor: &str, range: &str) {
        let answer = self.get(visitor, &[("range", range)]).await;
        assert_eq!(answer.status, 206, "{visitor} {range}: {}", answer.text());
        let (first, last) = range["bytes=".len()..].split_once('-').unwrap();
        let (first, last) = match (first, last) {
            ("", last) => (self.bytes.len() - last.parse::<usize>().unwrap(), ""),
            (first, last) => (first.parse().unwrap(), last),
        };
        let end = last
            .parse()
            .map_or(self.bytes.len(), |last: usize| last + 1);
        assert_eq!(answer.body, self.bytes[first..end]);
    }

    /// Asks for a range, and asserts that there is no such link.
    async fn is_refused(&self, visitor: &str, range: &str) {
        let answer = self.get(visitor, &[("range", range)]).await;
        answer.problem(404, "link-not-found");
    }
}

async fn a_probe_and_the_ranges_after_it_are_one_download(server: &Server) {
    let bytes = harness::random(300_000);
    // Safari.
    let link = Limited::new(server, bytes.clone(), 1).await;
    link.gets("safari", "bytes=0-1").await;
    link.is_refused("another", "bytes=0-1").await;
    assert_eq!(link.head("safari").await, 200);
    assert_eq!(link.head("another").await, 404);
    link.gets("safari", "bytes=0-").await;
    let tag = link.get("safari", &[("range", "bytes=300000-")]).await;
    assert_eq!(tag.status, 416, "costs nothing");
    assert_eq!(
        link.get("another", &[("range", "bytes=300000-")])
            .await
            .status,
        404
    );
    link.get("safari", &[]).await.problem(404, "link-not-found");
    assert_eq!(link.head("safari").await, 404);

    // A probe, and the file without a range.
    let link = Limited::new(server, bytes.clone(), 1).await;
    link.gets("a browser", "bytes=0-0").await;
    assert_eq!(link.get("a browser", &[]).await.body, bytes);

    // ffprobe.
    let link = Limited::new(server, bytes.clone(), 1).await;
    link.gets("ffprobe", "bytes=0-65535").await;
    link.gets("ffprobe", "bytes=-1000").await;
    link.gets("ffprobe", "bytes=65536-200000").await;
    link.gets("ffprobe", "bytes=100000-299999").await;

    // A client that loads several parts at once.
    let link = Limited::new(server, bytes, 1).await;
    let parts = ["0-99999", "100000-199999", "200000-299999"].map(|part| format!("bytes={part}"));
    join_all(parts.iter().map(|part| link.gets("aria2", part))).await;
}

async fn a_download_that_broke_off_is_continued(server: &Server) {
    let link = Limited::new(server, harness::random(24_000_000), 1).await;
    break_off(&link, &[]).await;
    // As `wget -c` does, which breaks off again, and again.
    for from in ["bytes=1000000-", "bytes=2000000-", "bytes=3000000-"] {
        // The service may need a moment to notice that a client is gone.
        let end = Instant::now() + Duration::from_secs(30);
        while break_off(&link, &[("range", from)]).await == 404 {
            assert!(Instant::now() < end, "{from}");
            sleep(Duration::from_millis(100)).await;
        }
    }
    link.is_refused("another", "bytes=5000000-").await;
    let end = Instant::now() + Duration::from_secs(30);
    let last = loop {
        let answer = link.get("wget", &[("range", "bytes=5000000-")]).await;
        if answer.status != 404 || Instant::now() > end {
            break answer;
        }
        sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(last.status, 206);
    assert_eq!(last.body, link.bytes[5_000_000..]);
}

/// Sends a request, and hangs up after the first bytes.
async fn break_off(link: &Limited, fields: &[(&str, &str)]) -> StatusCode {
    let response = link.request("wget", fields).send().await.unwrap();
    let status = response.status();
    assert!(response.bytes_stream().next().await.unwrap().is_ok());
    status
}

async fn a_visit_gives_less_than_two_copies(server: &Server) {
    let link = Limited::new(server, harness::random(6400), 2).await;
    link.gets("one", "bytes=0-3199").await;
    link.gets("one", "bytes=3200-6399").await;
    link.gets("one", "bytes=0-3199").await;
    link.gets("one", "bytes=0-3198").await;
    // A byte more is another download, and its visit has bytes of its own.
    link.gets("one", "bytes=0-3199").await;
    link.is_refused("two", "bytes=0-0").await;
    link.gets("one", "bytes=0-6398").await;
    link.is_refused("one", "bytes=0-3200").await;
    link.gets("one", "bytes=0-3199").await;

    // Several ranges are one request, and are charged without overlaps.
    let link = Limited::new(server, harness::random(6400), 1).await;
    let parts = [("range", "bytes=0-4999,0-4999,6000-6399")];
    assert_eq!(link.get("one", &parts).await.status, 206);
    link.gets("one", "bytes=0-6399").await;
    link.is_refused("one", "bytes=0-1000").await;

    // Nothing of an empty file can be continued.
    let link = Limited::new(server, Vec::new(), 1).await;
    assert_eq!(link.get("one", &[]).await.status, 200);
    assert_eq!(link.get("one", &[]).await.status, 404);
}

async fn a_visit_is_the_visitors_or_of_one_who_knows_the_tag(server: &Server) {
    let link = Limited::new(server, harness::random(6400), 1).await;
    let first = link.get("at home", &[("range", "bytes=0-3199")]).await;
    let tag = first.header("etag").to_owned();
    link.is_refused("on the train", "bytes=3200-").await;
    let wrong = [("range", "bytes=3200-"), ("if-range", "\"another\"")];
    assert_eq!(link.get("on the train", &wrong).await.status, 404);
    let beginning = [("range", "bytes=0-"), ("if-range", &tag)];
    assert_eq!(link.get("on the train", &beginning).await.status, 404);
    let rest = [("range", "bytes=3200-"), ("if-range", &tag)];
    let rest = link.get("on the train", &rest).await;
    assert_eq!(
        (rest.status, &rest.body[..]),
        (StatusCode::PARTIAL_CONTENT, &link.bytes[3200..])
    );
    let again = [("range", "bytes=1-"), ("if-range", &tag)];
    assert_eq!(
        link.get("on the train", &again).await.status,
        404,
        "a second copy"
    );
}

async fn no_more_visitors_than_downloads_get_in_at_once(server: &Server) {
    let link = Limited::new(server, harness::random(6400), 4).await;
    let visitors: Vec<String> = (0..12).map(|number| format!("visitor {number}")).collect();
    let visits = visitors.iter().map(|visitor| {
        let link = &link;
        async move {
            let parts = ["bytes=0-1", "bytes=0-3199", "bytes=3200-"];
            let parts = parts.map(|part| async move {
                link.get(visitor, &[("range", part)]).await.status.as_u16()
            });
            join_all(parts).await
        }
    });
    let visits = join_all(visits).await;
    let let_in = visits.iter().filter(|visit| visit[..] == [206; 3]).count();
    let refused = visits.iter().filter(|visit| visit[..] == [404; 3]).count();
    assert_eq!((let_in, refused), (4, 8), "{visits:?}");
}

async fn no_more_copies_can_be_put_together_than_downloads(server: &Server) {
    let link = Limited::new(server, harness::random(6400), 3).await;
    let requests = (0..60).map(|number| {
        let link = &link;
        async move {
            let half = number % 2;
            let visitor = format!("visitor {}", number % 5);
            let range = ["bytes=0-3199", "bytes=3200-6399"][half];
            let status = link.get(&visitor, &[("range", range)]).await.status;
            (half, status.is_success())
        }
    });
    let answers = join_all(requests).await;
    let given = |half| {
        answers
            .iter()
            .filter(|answer| **answer == (half, true))
            .count()
    };
    assert!(given(0).min(given(1)) <= 3, "{} and {}", given(0), given(1));
    assert!(given(0) + given(1) >= 6);
}

#[tokio::test]
async fn a_visit_is_over_some_time_after_its_last_byte() {
    let settings = [("FILESERVER_AUTH", "token"), ("FILESERVER_VISIT_AGE", "2")];
    let server = Server::start(Kind::Sqlite, &settings).await;
    let link = Limited::new(&server, harness::random(6400), 2).await;
    link.gets("one", "bytes=0-1").await;
    sleep(Duration::from_millis(2500)).await;
    link.gets("one", "bytes=2-3").await;
    link.is_refused("two", "bytes=0-1").await;
    sleep(Duration::from_millis(2500)).await;
    link.is_refused("one", "bytes=4-").await;
    let rows = || server.database().sql("SELECT COUNT(*) FROM tbl_visit");
    let end = Instant::now() + Duration::from_secs(90);
    while rows().trim() != "0" {
        assert!(Instant::now() < end, "visits that are over are removed");
        sleep(Duration::from_millis(500)).await;
    }
    server.finish().await;
}

#[tokio::test]
async fn processes_count_a_visit_together() {
    for kind in [Kind::Sqlite, Kind::MariaDb, Kind::Postgres] {
        let server = Server::alone(kind, &[("FILESERVER_AUTH", "token")]).await;
        let (_process, other) = server.second_process().await;
        let first = Limited::new(&server, harness::random(6400), 2).await;
        let second = Limited {
            anybody: other,
            url: first.url.clone(),
            bytes: first.bytes.clone(),
        };
        first.gets("one", "bytes=0-1").await;
        second.gets("one", "bytes=0-").await;
        let requests = (0..40).map(|number| {
            let link = if number % 2 == 0 { &first } else { &second };
            async move {
                let range = [("range", "bytes=0-6000")];
                link.get(&format!("visitor {number}"), &range).await.status
            }
        });
        let statuses = join_all(requests).await;
        let given = statuses.iter().filter(|status| status.is_success());
        assert_eq!(given.count(), 1, "{statuses:?}");
        server.finish().await;
    }
}

#[tokio::test]
async fn a_visit_counts_once_when_nginx_sends_the_bytes() {
    let settings = [
        ("FILESERVER_AUTH", "token"),
        ("FILESERVER_TRUSTED_PROXIES", "127.0.0.1"),
        ("FILESERVER_ACCEL_REDIRECT", "/_objects/"),
    ];
    let server = Server::alone(Kind::Sqlite, &settings).await;
    let nginx = Nginx::before(&server, &UNLIMITED).await;
    let through = |link: Limited| Limited {
        anybody: link.anybody.by_way_of(nginx.base()),
        ..link
    };
    let link = through(Limited::new(&server, harness::random(6400), 1).await);
    link.gets("safari", "bytes=0-1").await;
    link.is_refused("another", "bytes=0-1").await;
    link.gets("safari", "bytes=0-").await;
    link.is_refused("safari", "bytes=0-").await;

    let link = through(Limited::new(&server, harness::random(24_000_000), 1).await);
    break_off(&link, &[]).await;
    link.gets("wget", "bytes=1000000-").await;
    link.is_refused("wget", "bytes=1000000-").await;

    // nginx would send both.
    let link = through(Limited::new(&server, harness::random(6400), 1).await);
    let twice = [("range", "bytes=0-3199,0-3199")];
    let twice = link.get("one", &twice).await;
    assert_eq!(twice.status, 206);
    assert_eq!(twice.body, link.bytes[..3200]);
    server.finish().await;
}
