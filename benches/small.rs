//! How many small requests are answered in a second.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};

use crate::{server::Server, timed};

const SIZE: u64 = 4096;

pub(crate) async fn measure() {
    println!("## small files of 4 KiB\n");
    let server = Server::start().await;
    let mut urls = Vec::new();
    for connections in [1, 16] {
        let count = 500 * connections;
        let uploads = stream::iter(0..count)
            .map(|_| server.upload(SIZE))
            .buffer_unordered(connections)
            .collect::<Vec<_>>();
        let (uploaded, took) = timed(uploads).await;
        urls = uploaded;
        show("uploads of new contents", connections, count, took);
    }
    for connections in [1, 16] {
        let count = 2000 * connections;
        let downloads = stream::iter(0..count)
            .map(|number| server.download(&urls[number % urls.len()]))
            .buffer_unordered(connections)
            .collect::<Vec<_>>();
        let (_, took) = timed(downloads).await;
        show("downloads", connections, count, took);
    }
    println!();
    server.stop().await;
}

fn show(what: &str, connections: usize, count: usize, took: Duration) {
    let rate = count as f64 / took.as_secs_f64();
    println!("{what}, {connections} at a time: {rate:.0}/s");
}
