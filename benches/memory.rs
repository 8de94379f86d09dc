//! How much memory transfers take.

use futures_util::future::join_all;

use crate::{MIB, server::Server};

pub(crate) async fn measure() {
    println!("## memory\n");
    let server = Server::start().await;
    // Memory that is needed once, regardless of the transfer.
    let warm = server.upload(MIB).await;
    server.download(&warm).await;

    let before = server.memory();
    server.forget_peak();
    let url = server.upload(1024 * MIB).await;
    report("uploading 1 GiB", server.peak() - before, 48);

    let before = server.memory();
    server.forget_peak();
    assert_eq!(server.download(&url).await, 1024 * MIB);
    report(
        "downloading 1 GiB",
        server.peak().saturating_sub(before),
        48,
    );

    server.forget_peak();
    join_all((0..64).map(|_| server.upload(64 * MIB))).await;
    report("64 uploads of 64 MiB at once, in all", server.peak(), 256);
    println!();
    server.stop().await;
}

fn report(what: &str, bytes: u64, limit: u64) {
    let taken = bytes as f64 / MIB as f64;
    let verdict = if bytes < limit * MIB {
        "within"
    } else {
        "OVER"
    };
    println!("{what}: {taken:.1} MiB, {verdict} {limit} MiB");
}
