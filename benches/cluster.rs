//! What several replicas, a replica of the database, and a cache give and cost.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use harness::{Kind, Nginx, Pair, Redis, TestDatabase, UNLIMITED, Which, lent};

use crate::{median, server::Server, timed};

/// The number of simultaneous requests.
const CONNECTIONS: usize = 16;

/// The number of requests in a round.
const REQUESTS: usize = 1000;

/// The number of rounds.
const ROUNDS: usize = 20;

pub(crate) async fn measure() {
    if std::env::var("TEST_MYSQL_URL").is_err() {
        println!("TEST_MYSQL_URL is not set, so no cluster is measured\n");
        return;
    }
    behind_nginx().await;
    with_a_replica().await;
    with_a_cache().await;
}

/// One service and three, behind nginx.
async fn behind_nginx() {
    println!("## replicas behind nginx, GET /files/{{sha1}}, {CONNECTIONS} at a time\n");
    let database = TestDatabase::new(Kind::MariaDb);
    let settings = keys(database.url());
    let settings = lent(&settings);
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(Server::start_with(&settings).await);
    }
    let url = servers[0].upload(1000).await;
    let path = url[servers[0].base.len()..].trim_end_matches("/content");
    let addresses: Vec<String> = servers
        .iter()
        .map(|server| server.base["http://".len()..].to_owned())
        .collect();
    let nowhere = std::path::Path::new("/nowhere");
    let one = Nginx::before_all(&addresses[..1], nowhere, &UNLIMITED).await;
    let three = Nginx::before_all(&addresses, nowhere, &UNLIMITED).await;
    let client = &servers[0].client;
    let urls = [&one, &three].map(|nginx| format!("{}{path}", nginx.base()));
    let took = compare(async |which| {
        let answer = client.get(&urls[which]).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap();
    })
    .await;
    tell(["one replica", "three replicas"], &took);
    for server in servers {
        server.stop().await;
    }
}

/// The same pair of database servers, of which one service knows both, and the other the primary.
async fn with_a_replica() {
    println!("## a replica of the database, {CONNECTIONS} at a time\n");
    let pair = Pair::start(Kind::MariaDb);
    let database = pair.database();
    let both = pair.settings(&database);
    let knowing = Server::start_with(&lent(&both)).await;
    let primary = [("FILESERVER_DATABASE_URL", both[0].1.as_str())];
    let unknowing = Server::start_with(&primary).await;
    let servers = [&unknowing, &knowing];
    println!("Uploads of 1,000 bytes:\n");
    let took = compare(async |which| drop(servers[which].upload(1000).await)).await;
    tell(
        ["reading from the primary", "reading from the replica"],
        &took,
    );
    let url = unknowing.upload(1000).await;
    let path = url[unknowing.base.len()..].trim_end_matches("/content");
    let urls = servers.map(|server| format!("{}{path}", server.base));
    println!("GET /files/{{sha1}}:\n");
    let before = questions(&pair);
    let took =
        compare(async |which| assert!(servers[which].download(&urls[which]).await > 0)).await;
    tell(["from the primary", "from the replica"], &took);
    let [primary, replica] = [0, 1].map(|which| questions(&pair)[which] - before[which]);
    println!("the primary was asked {primary} questions, the replica {replica}\n");
    println!("Uploads while as many metadata requests are made:\n");
    let took = compare(async |which| {
        let server = servers[which];
        tokio::join!(server.upload(1000), server.download(&urls[which]));
    })
    .await;
    tell(["from the primary", "from the replica"], &took);
    knowing.stop().await;
    unknowing.stop().await;
}

/// Metadata requests that Redis answers.
async fn with_a_cache() {
    println!("## a cache, GET /files/{{sha1}}, {CONNECTIONS} at a time\n");
    let (pair, redis) = (Pair::start(Kind::MariaDb), Redis::start());
    let database = pair.database();
    let mut settings = keys(pair.url(Which::First, &database));
    // Nothing is done on the side.
    settings.push(("FILESERVER_ROLE", "api,upload,download".to_owned()));
    let without = Server::start_with(&lent(&settings)).await;
    settings.push(("FILESERVER_REDIS_URL", redis.url()));
    // Nothing has to be read anew meanwhile.
    settings.push(("FILESERVER_CACHE_AGE", "3600".to_owned()));
    let with = Server::start_with(&lent(&settings)).await;
    let servers = [&without, &with];
    let url = without.upload(1000).await;
    let path = url[without.base.len()..].trim_end_matches("/content");
    let urls = servers.map(|server| format!("{}{path}", server.base));
    let took =
        compare(async |which| assert!(servers[which].download(&urls[which]).await > 0)).await;
    tell(["without", "with"], &took);
    let before = questions(&pair)[0];
    round(
        &async |which| assert!(servers[which].download(&urls[which]).await > 0),
        1,
    )
    .await;
    // The question that counts the questions is one, too.
    let asked = questions(&pair)[0] - before - 1;
    println!("{REQUESTS} cached requests asked the database {asked} questions\n");
    with.stop().await;
    without.stop().await;
}

fn keys(database: String) -> Vec<(&'static str, String)> {
    let key = "0123456789abcdef".repeat(4);
    vec![
        ("FILESERVER_DATABASE_URL", database),
        ("FILESERVER_CURSOR_KEY", key.clone()),
        ("FILESERVER_LINK_KEYS", key),
    ]
}

/// The number of questions that the servers of a pair were asked.
fn questions(pair: &Pair) -> [u64; 2] {
    [Which::First, Which::Second].map(|which| {
        let status = pair.administrate(which, "SHOW GLOBAL STATUS LIKE 'Questions'");
        status.split_whitespace().last().unwrap().parse().unwrap()
    })
}

/// The durations of rounds of both kinds of requests, in turn.
async fn compare(request: impl AsyncFn(usize)) -> [Vec<Duration>; 2] {
    for which in [0, 1] {
        round(&request, which).await;
    }
    let mut took = [Vec::new(), Vec::new()];
    for number in 0..ROUNDS {
        for which in [number % 2, (number + 1) % 2] {
            let ((), time) = timed(round(&request, which)).await;
            took[which].push(time);
        }
    }
    took
}

async fn round(request: &impl AsyncFn(usize), which: usize) {
    let requests = stream::iter(0..REQUESTS).map(|_| request(which));
    requests.buffer_unordered(CONNECTIONS).count().await;
}

fn tell(names: [&str; 2], took: &[Vec<Duration>; 2]) {
    let mut ratios: Vec<f64> = took[0]
        .iter()
        .zip(&took[1])
        .map(|(first, second)| first.as_secs_f64() / second.as_secs_f64())
        .collect();
    ratios.sort_by(f64::total_cmp);
    for (name, took) in names.iter().zip(took) {
        let rate = REQUESTS as f64 / median(took.clone()).as_secs_f64();
        println!("{name}: {rate:.0}/s");
    }
    println!("compared: {:.3}\n", ratios[ratios.len() / 2]);
}
