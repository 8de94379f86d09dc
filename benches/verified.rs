//! What it costs that blocks are verified before they are sent: downloads of contents whose checksums
//! are known, and of contents without any.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use sea_orm::{ConnectionTrait as _, Database};

use crate::{MIB, median, server::Server, timed};

const ROUNDS: usize = 7;
const LARGE: u64 = 1024 * MIB;
const RANGE: u64 = 64 * 1024;
const RANGES: u64 = 2000;

pub(crate) async fn measure() {
    println!("## verified reads\n");
    let server = Server::start().await;
    let unverified = server.upload(LARGE).await;
    forget_checksums(&server).await;
    let verified = server.upload(LARGE).await;
    let contents = [&verified, &unverified];

    let (mut whole, mut ranges) = ([vec![], vec![]], [vec![], vec![]]);
    for _ in 0..=ROUNDS {
        for (number, url) in contents.into_iter().enumerate() {
            whole[number].push(timed(server.download(url)).await.1);
            ranges[number].push(timed(read_ranges(&server, url)).await.1);
        }
    }
    // The first round filled caches.
    for (what, [verified, unverified]) in [("1 GiB", whole), ("ranges of 64 KiB", ranges)] {
        let [verified, unverified] =
            [verified, unverified].map(|times| median(times[1..].to_vec()));
        show(what, verified, unverified);
    }
    println!();
    server.stop().await;
}

/// Contents of before get none until the scrubber reads them.
async fn forget_checksums(server: &Server) {
    let file = server.folder().join("fileserver.db");
    let url = format!("sqlite:{}", file.display());
    let database = Database::connect(url).await.unwrap();
    for shard in 0..256 {
        let forget = format!("UPDATE tbl_{shard:02x} SET ext1 = NULL");
        database.execute_unprepared(&forget).await.unwrap();
    }
    let forget = "DELETE FROM tbl_checksum";
    database.execute_unprepared(forget).await.unwrap();
    database.close().await.unwrap();
}

/// Reads ranges all over a content, 16 at a time.
async fn read_ranges(server: &Server, url: &str) {
    let read = async |number: u64| {
        // Neighbours are far from each other, and most ranges begin within a block.
        let first = number * 7_919_003 % (LARGE - RANGE);
        let range = format!("bytes={first}-{}", first + RANGE - 1);
        let request = server.client.get(url).header("range", range);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 206);
        assert_eq!(answer.bytes().await.unwrap().len() as u64, RANGE);
    };
    let reads = stream::iter(0..RANGES).map(read).buffer_unordered(16);
    reads.collect::<Vec<()>>().await;
}

fn show(what: &str, verified: Duration, unverified: Duration) {
    let ratio = unverified.as_secs_f64() / verified.as_secs_f64();
    println!("{what}: {verified:.2?}, unverified {unverified:.2?}: {ratio:.2} of the rate");
}
