//! What asking for credentials costs, and what a download costs the service that nginx sends.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use harness::{Issuer, Nginx};

use crate::{MIB, median, server::Server, timed};

/// The number of simultaneous requests.
const CONNECTIONS: usize = 16;

/// The number of requests in a round.
const REQUESTS: usize = 2000;

/// The number of rounds.
const ROUNDS: usize = 60;

/// One way to be let in.
struct Way {
    name: &'static str,
    server: Server,
    token: String,
    url: String,
    rounds: Vec<Duration>,
    busy: Vec<Duration>,
}

impl Way {
    async fn new(name: &'static str, settings: &[(&str, &str)], token: Option<&str>) -> Self {
        let server = Server::start_with(settings).await;
        let token = token.map_or_else(|| server.token("bench"), str::to_owned);
        let mut way = Self {
            name,
            server,
            token,
            url: String::new(),
            rounds: Vec::new(),
            busy: Vec::new(),
        };
        let uploaded = way.upload(1).await;
        uploaded
            .trim_end_matches("/content")
            .clone_into(&mut way.url);
        way
    }

    async fn upload(&self, size: u64) -> String {
        self.server.upload_as(size, Some(&self.token)).await
    }

    fn get(&self, url: &str) -> reqwest::RequestBuilder {
        self.server.client.get(url).bearer_auth(&self.token)
    }

    async fn round(&mut self) {
        let before = self.server.busy();
        let requests = stream::iter(0..REQUESTS)
            .map(|_| async {
                let answer = self.get(&self.url).send().await.unwrap();
                assert_eq!(answer.status(), 200);
                answer.bytes().await.unwrap()
            })
            .buffer_unordered(CONNECTIONS)
            .count();
        let (_, took) = timed(requests).await;
        self.rounds.push(took);
        self.busy.push(self.server.busy().saturating_sub(before));
    }
}

pub(crate) async fn measure() {
    println!("## credentials: GET /files/{{sha1}}, {CONNECTIONS} at a time\n");
    let issuer = Issuer::new();
    let keys = issuer.keys();
    let jwt = issuer.sign("1", &Issuer::claims("bench", "files:read files:write"));
    let with_jwt = [
        ("FILESERVER_AUTH", "jwt"),
        ("FILESERVER_JWT_ISSUER", Issuer::NAME),
        ("FILESERVER_JWT_AUDIENCE", "files"),
        ("FILESERVER_JWT_KEYS", keys.to_str().unwrap()),
    ];
    // The client has the same work in both of a pair; who asks for nothing reads no token.
    let mut ways = [
        Way::new("none, sent a token", &[], None).await,
        Way::new("token", &[("FILESERVER_AUTH", "token")], None).await,
        Way::new("none, sent a JWT", &[], Some(&jwt)).await,
        Way::new("JWT", &with_jwt, Some(&jwt)).await,
    ];
    for way in &mut ways {
        way.round().await;
        way.rounds.clear();
        way.busy.clear();
    }
    for round in 0..ROUNDS {
        // Each comes first as often as last.
        for place in 0..ways.len() {
            let number = (round + place) % ways.len();
            ways[number].round().await;
        }
    }
    for way in &ways {
        let (took, busy) = (median(way.rounds.clone()), median(way.busy.clone()));
        let rate = REQUESTS as f64 / took.as_secs_f64();
        let each = busy.as_secs_f64() * 1e6 / REQUESTS as f64;
        println!(
            "{}: {rate:.0}/s, {each:.1} us of the service's processor time each",
            way.name
        );
    }
    for [without, with] in [[0, 1], [2, 3]] {
        let (without, with) = (&ways[without], &ways[with]);
        let rate = ratio(&without.rounds, &with.rounds);
        let busy = ratio(&with.busy, &without.busy);
        println!(
            "{}: {rate:.3} of the rate without (limit 0.95), {busy:.3} of the processor time",
            with.name
        );
    }
    for way in ways {
        way.server.stop().await;
    }
    println!();
    through_nginx().await;
}

/// The median, over the rounds, of how many times as long the first took.
fn ratio(first: &[Duration], second: &[Duration]) -> f64 {
    let pairs = first.iter().zip(second);
    let mut ratios: Vec<f64> = pairs
        .map(|(first, second)| first.as_secs_f64() / second.as_secs_f64())
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

/// The service's processor time for a download of 1 GiB that nginx sends.
async fn through_nginx() {
    const DOWNLOADS: usize = 25;
    println!("## a download of 1 GiB through nginx\n");
    let settings = [
        ("FILESERVER_TRUSTED_PROXIES", "127.0.0.1"),
        ("FILESERVER_ACCEL_REDIRECT", "/_objects/"),
    ];
    let server = Server::start_with(&settings).await;
    let url = server.upload(1024 * MIB).await;
    let upstream = server.base.strip_prefix("http://").unwrap();
    let objects = server.folder().join("objects");
    let nginx = Nginx::start(upstream, &objects.canonicalize().unwrap(), &[]).await;
    let through = url.replace(&server.base, nginx.base());
    let meta = through.trim_end_matches("/content").to_owned();
    let (mut downloads, mut asked, mut took) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..DOWNLOADS {
        // The service's own work in that time does not belong to the download.
        let before = server.busy();
        tokio::time::sleep(took.last().copied().unwrap_or_default()).await;
        let idle = server.busy().saturating_sub(before);
        let before = server.busy();
        let (bytes, time) = timed(server.download(&through)).await;
        assert_eq!(bytes, 1024 * MIB);
        downloads.push(server.busy().saturating_sub(before).saturating_sub(idle));
        took.push(time);
        let before = server.busy();
        server.download(&meta).await;
        asked.push(server.busy().saturating_sub(before));
    }
    let [download, asked] = [downloads, asked].map(|busy| median(busy).as_secs_f64() * 1e6);
    println!(
        "download: {download:.0} us of the service's processor time, in {:?}",
        median(took)
    );
    println!("metadata: {asked:.0} us");
    println!("compared: {:.2}\n", download / asked);
    drop(nginx);
    server.stop().await;
}
