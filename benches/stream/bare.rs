//! The work of an upload with nothing around it: a socket, two hashes, a file, and a thread each.
//!
//! It shows what this machine can do while it also has to send the bytes.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    sync::{Arc, mpsc},
    thread,
};

use domain::ContentHasher;
use futures_util::StreamExt as _;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::SIZE;
use crate::server::unique;

const BATCH: usize = 512 * 1024;

pub(super) async fn receive(folder: &Path) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let path = folder.join("bare");
    let destination = path.clone();
    let receiver = thread::spawn(move || take_in(&listener, &destination));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut pieces = std::pin::pin!(unique(SIZE));
    while let Some(piece) = pieces.next().await {
        stream.write_all(&piece).await.unwrap();
    }
    drop(stream);
    receiver.join().unwrap();
    std::fs::remove_file(path).unwrap();
}

fn take_in(listener: &TcpListener, path: &Path) {
    let (mut stream, _) = listener.accept().unwrap();
    let (to_hash, batches) = mpsc::sync_channel::<Arc<Vec<u8>>>(1);
    let (to_write, written) = mpsc::sync_channel::<Arc<Vec<u8>>>(1);
    let hashing = thread::spawn(move || {
        let mut hasher = ContentHasher::default();
        for batch in batches {
            hasher.update(&batch);
        }
        std::hint::black_box(hasher.finish());
    });
    let mut file = File::create(path).unwrap();
    let writing = thread::spawn(move || {
        for batch in written {
            file.write_all(&batch).unwrap();
        }
        file.sync_data().unwrap();
    });
    loop {
        let mut batch = vec![0; BATCH];
        let mut filled = 0;
        while filled < BATCH {
            match stream.read(&mut batch[filled..]).unwrap() {
                0 => break,
                length => filled += length,
            }
        }
        batch.truncate(filled);
        let batch = Arc::new(batch);
        to_hash.send(Arc::clone(&batch)).unwrap();
        to_write.send(batch).unwrap();
        if filled < BATCH {
            break;
        }
    }
    drop((to_hash, to_write));
    hashing.join().unwrap();
    writing.join().unwrap();
}
