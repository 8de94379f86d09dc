//! How fast one stream is, compared with what it cannot be faster than.

mod bare;

use std::{fs::File, io::Write as _, time::Duration};

use domain::ContentHasher;
use futures_util::StreamExt as _;

use crate::{
    MIB, median, mib_per_second,
    server::{Server, unique},
    timed,
};

const SIZE: u64 = 1024 * MIB;
const ROUNDS: usize = 3;

pub(crate) async fn measure() {
    println!("## one stream of 1 GiB, medians of {ROUNDS}\n");
    let server = Server::start().await;
    let (mut hashes, mut disk, mut bare) = (vec![], vec![], vec![]);
    let (mut uploads, mut downloads) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        hashes.push(timed(hash()).await.1);
        disk.push(timed(write(&server)).await.1);
        bare.push(timed(bare::receive(server.folder())).await.1);
        let (url, took) = timed(server.upload(SIZE)).await;
        uploads.push(took);
        downloads.push(timed(server.download(&url)).await.1);
    }
    let [hashes, disk, bare, upload, download] =
        [hashes, disk, bare, uploads, downloads].map(median);
    show("both hashes, one thread", hashes);
    show("write and sync a file", disk);
    show("receive, hash and write at once, without a service", bare);
    show("upload", upload);
    show("download", download);
    let slower = hashes.max(disk);
    let ratio = upload.as_secs_f64() / slower.as_secs_f64();
    println!("upload / the slower of hashes and disk: {ratio:.2}");
    let ratio = upload.as_secs_f64() / bare.as_secs_f64();
    println!("upload / the same work without a service: {ratio:.2}\n");
    server.stop().await;
}

fn show(what: &str, took: Duration) {
    println!("{what}: {:.0} MiB/s", mib_per_second(SIZE, took));
}

async fn hash() {
    let mut hasher = ContentHasher::default();
    let mut pieces = std::pin::pin!(unique(SIZE));
    while let Some(piece) = pieces.next().await {
        hasher.update(&piece);
    }
    std::hint::black_box(hasher.finish());
}

async fn write(server: &Server) {
    let path = server.folder().join("written");
    let mut file = File::create(&path).unwrap();
    let mut pieces = std::pin::pin!(unique(SIZE));
    while let Some(piece) = pieces.next().await {
        file.write_all(&piece).unwrap();
    }
    file.sync_all().unwrap();
    std::fs::remove_file(path).unwrap();
}
