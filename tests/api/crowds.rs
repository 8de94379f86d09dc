//! Many searches at once, which take long because one owner has many entries.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use harness::{Client, Kind, Server, on_every_database};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet, time::sleep};

/// With four connections, two listings run at the same time, and one of an owner. The entries that a
/// search looks at are not limited here, so that it takes long.
const CROWDED: &[(&str, &str)] = &[
    ("FILESERVER_AUTH", "token"),
    ("FILESERVER_DATABASE_CONNECTIONS", "4"),
    ("FILESERVER_SEARCH_ENTRIES", "4000000000"),
    ("FILESERVER_NO_WORKER", "true"),
];

on_every_database! {
    alone with CROWDED;
    searches_of_one_owner_keep_nobody_else_waiting,
    searches_end_when_their_clients_hang_up,
}

const SEARCH: &str = "/files?name=zzzz";

/// Gives alice 150,000 entries without contents, which have to be removed at the end.
fn fill(server: &Server) {
    const COLUMNS: &str = "INSERT INTO tbl_user_file (owner, file_sha1, file_sha256, file_name, \
        file_name_folded, file_size, content_type, upload_at, update_at, status, version)";
    let row = |number: &str, digits: &str| {
        format!(
            "SELECT 'alice', {digits}, '{}', 'report.pdf', 'report.pdf', 1, 'a/b', {number}, {number}, \
             0, 1",
            "0".repeat(64)
        )
    };
    let statement = match server.database().kind() {
        Kind::Sqlite => format!(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 150000)
             {COLUMNS} {} FROM numbers",
            row("n", "printf('%040x', n)")
        ),
        Kind::MariaDb => format!(
            "{COLUMNS} {} FROM seq_1_to_150000",
            row("seq", "LPAD(HEX(seq), 40, '0')")
        ),
        Kind::Postgres => format!(
            "{COLUMNS} {} FROM generate_series(1, 150000) AS n",
            row("n", "lpad(to_hex(n), 40, '0')")
        ),
    };
    let _ = server.database().sql(&statement);
}

fn empty(server: &Server) {
    let _ = server
        .database()
        .sql("DELETE FROM tbl_user_file WHERE owner = 'alice'");
}

async fn searches_of_one_owner_keep_nobody_else_waiting(server: &Server) {
    fill(server);
    let (token, bob) = (server.token("alice", "files:read"), server.client_of("bob"));
    let alice = server.client().with_token(&token);
    bob.upload_some("zzzz").await;
    let ended = Arc::new(AtomicUsize::new(0));
    let mut searches = JoinSet::new();
    for _ in 0..20 {
        let (alice, ended) = (alice.clone(), Arc::clone(&ended));
        searches.spawn(async move {
            let answer = alice.get(SEARCH).await;
            ended.fetch_add(1, Ordering::Relaxed);
            answer
        });
    }
    // The first has its turn when another one can be told that it has none.
    refused_in_the_queue(server, &token).await;
    for _ in 0..3 {
        assert_eq!(server.client().get("/readyz").await.status, 200);
        assert_eq!(bob.get("/usage").await.status, 200);
        assert_eq!(
            bob.get("/files").await.json()["files"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
        let found = bob.get(SEARCH).await.json();
        assert_eq!(found["files"].as_array().unwrap().len(), 1, "{found}");
    }
    let ended = ended.load(Ordering::Relaxed);
    assert!(ended < 20, "bob waited for all of alice's searches");
    while let Some(answer) = searches.join_next().await {
        let answer = answer.unwrap();
        if answer.status != 200 {
            answer.problem(429, "too-many-listings");
            assert_eq!(answer.header("retry-after"), "2");
        }
    }
    empty(server);
}

/// Waits in the queue of alice's searches with a connection that no request will come on any more, which
/// counts as hung up, and reads the refusal.
async fn refused_in_the_queue(server: &Server, token: &str) {
    let answer = server.raw(head(token).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert!(answer.contains("too-many-listings"), "{answer}");
    assert!(answer.to_lowercase().contains("retry-after: 2"), "{answer}");
}

/// The request of a search.
fn head(token: &str) -> String {
    format!("GET {SEARCH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n")
}

async fn searches_end_when_their_clients_hang_up(server: &Server) {
    const SEARCHES: usize = 100;
    fill(server);
    let token = server.token("alice", "files:read");
    let operator = server.token("operator", "metrics:read");
    let operator = server.client().with_token(&operator);
    let mut connections: Vec<TcpStream> = Vec::new();
    for _ in 0..SEARCHES {
        let mut connection = server.connect().await;
        let head = head(&token);
        connection.write_all(head.as_bytes()).await.unwrap();
        connections.push(connection);
    }
    until_in_flight(&operator, |count| count > SEARCHES / 2).await;
    drop(connections);
    until_in_flight(&operator, |count| count == 1).await;
    let metrics = metrics(&operator).await;
    let ran = counted(
        &metrics,
        "requests_total{operation=\"list_files\",status=\"200\"}",
    );
    let ended = counted(
        &metrics,
        "requests_total{operation=\"list_files\",status=\"429\"}",
    );
    assert_eq!(ran + ended, SEARCHES);
    assert!(
        ended > SEARCHES / 2,
        "{ran} ran although nobody waited for them"
    );
    empty(server);
}

async fn until_in_flight(operator: &Client, is_so: impl Fn(usize) -> bool) {
    for _ in 0..600 {
        if is_so(counted(&metrics(operator).await, "requests_in_flight")) {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("the number of running requests stays");
}

async fn metrics(operator: &Client) -> String {
    operator.get("/metrics").await.text()
}

/// The value of a counter, 0 if there is none.
fn counted(metrics: &str, name: &str) -> usize {
    let line = format!("fileserver_{name} ");
    let value = metrics.lines().find_map(|text| text.strip_prefix(&line));
    value.map_or(0, |value| value.parse().unwrap())
}
