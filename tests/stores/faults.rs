//! What becomes of a store's failures: what passes is not noticed, what does not is never taken for
//! an object that is not there.

use std::time::{Duration, Instant};

use domain::ByteRange;
use futures_util::{FutureExt as _, StreamExt as _, future::join_all};
use harness::random;
use serde_json::{Value, json};
use storage::{Bucket, BucketKind, BucketOptions, Error, Store};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    home::{Home, options},
    keep, place, range, read_whole,
};

const SECOND: Duration = Duration::from_secs(1);

/// By when one call has to fail whose every request has a second, and is made four times.
const SOON: Duration = Duration::from_secs(15);

/// An error, an end half way and a late answer: none of them lasts.
#[tokio::test(flavor = "multi_thread")]
async fn failures_that_pass_are_not_noticed() {
    let home = Home::with_timeout(SECOND);
    let bytes = random(3_000_000);
    let faults: Vec<Value> = [
        ("error", "GET"),
        ("error", "HEAD"),
        ("error", "PUT"),
        ("error", "POST"),
        ("error", "DELETE"),
        ("error", "LIST"),
        ("truncate", "GET"),
        ("truncate", "LIST"),
        ("hang", "GET"),
        ("hang", "PUT"),
        ("hang", "LIST"),
        ("slow", "*"),
    ]
    .into_iter()
    .map(|(kind, operation)| json!({"kind": kind, "operation": operation, "times": 2}))
    .collect();
    for fault in faults {
        home.oss().fault(&fault).await;
        let key = keep(&home.store, &bytes).await;
        let back = read_whole(&home.store, &key, bytes.len()).await.unwrap();
        assert!(back == bytes, "{fault}: the bytes are as they were");
        let spans = vec![range(5, 1000), range(2_000_000, 2_000_100)];
        let sample = home.store.sample(Some(&key), bytes.len() as u64, spans);
        let expected = [&bytes[5..1000], &bytes[2_000_000..2_000_100]].concat();
        assert!(sample.await.unwrap() == expected, "{fault}");
        let size = home.store.size(&key).await.unwrap();
        assert_eq!(size, Some(bytes.len() as u64), "{fault}");
        assert!(home.objects().await.contains(&key), "{fault}");
        home.store.remove(&key).await.unwrap();
        assert_eq!(home.store.size(&key).await.unwrap(), None, "{fault}");

        let kind = fault["kind"].as_str().unwrap();
        let counts = home.oss().counts().await;
        assert!(
            counts["faults"][kind].as_u64().unwrap() >= 2,
            "{fault}: {counts}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_is_unavailable_and_loses_nothing() {
    persists("error").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_answer_is_unavailable_in_time() {
    persists("hang").await;
}

async fn persists(kind: &str) {
    let home = Home::with_timeout(SECOND);
    let store = &home.store;
    let bytes = random(3_000_000);
    let key = keep(store, &bytes).await;
    let absent = "objects/00/00000000000000000000000000000000";
    home.oss().fault(&json!({"kind": kind})).await;
    let size = bytes.len() as u64;
    let mut calls = Vec::new();
    for key in [&key, absent] {
        calls.push(async { store.size(key).await.map(drop) }.boxed());
        calls.push(async { read_whole(store, key, bytes.len()).await.map(drop) }.boxed());
        let empty = store.open_object(key, 0, ByteRange::whole(0));
        calls.push(async { empty.await.map(drop) }.boxed());
        let spans = vec![range(0, 10)];
        calls.push(async { store.sample(Some(key), size, spans).await.map(drop) }.boxed());
        calls.push(store.remove(key).boxed());
    }
    calls.push(async { place(store, b"a little").await.map(drop) }.boxed());
    calls.push(async { place(store, &bytes).await.map(drop) }.boxed());
    calls.push(store.probe().boxed());
    calls.push(store.try_out().boxed());
    let list = async {
        let mut list = store.list(0).await?;
        list.next().await.expect("a failure is no end").map(drop)
    };
    calls.push(list.boxed());
    join_all(calls.into_iter().map(|call| fails(kind, call))).await;

    home.oss().mend().await;
    // A removal that was not answered may have been made; it was not, since it failed before.
    assert!(read_whole(store, &key, bytes.len()).await.unwrap() == bytes);
    store.remove(&key).await.unwrap();
    store.probe().await.unwrap();
}

async fn fails(kind: &str, call: impl Future<Output = storage::Result<()>>) {
    let began = Instant::now();
    let outcome = call.await;
    let took = began.elapsed();
    let is_told = matches!(&outcome, Err(Error::Unavailable(error)) if {
        let words = match kind {
            "hang" => "does not answer in time",
            _ => "failed",
        };
        let told = error.to_string();
        told.contains("the store oss: ") && told.contains(words)
    });
    assert!(is_told, "{kind}: {outcome:?}");
    assert!(took < SOON, "{kind}: it took {took:?}");
}

/// Whatever is tried again, no byte is missing, or comes twice.
#[tokio::test(flavor = "multi_thread")]
async fn reading_that_always_ends_early_is_an_error() {
    let home = Home::with_timeout(SECOND);
    let bytes = random(3_000_000);
    let key = keep(&home.store, &bytes).await;
    let fault = json!({"kind": "truncate", "operation": "GET"});
    home.oss().fault(&fault).await;
    let began = Instant::now();
    match read_whole(&home.store, &key, bytes.len()).await {
        // Each try gives half of what is missing.
        Ok(back) => assert!(back == bytes),
        Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error:?}"),
    }
    assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
}

/// A store may stop in the middle of an answer, while its connection stays.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_stops_half_way_is_an_error_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let stopping = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = connection.read(&mut request).await;
            // The first half comes once, and nothing of the second however often it is asked for.
            let start = if connections.is_empty() { 0 } else { 500_000 };
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\ncontent-length: {}\r\n\
                 content-range: bytes {start}-999999/1000000\r\netag: \"1\"\r\n\r\n",
                1_000_000 - start
            );
            let _ = connection.write_all(head.as_bytes()).await;
            if connections.is_empty() {
                let _ = connection.write_all(&vec![7; 500_000]).await;
            }
            connections.push(connection);
        }
    });
    let home = Home::with_timeout(SECOND);
    let options = BucketOptions {
        endpoint,
        timeout: SECOND,
        ..options(BucketKind::Oss, &home.oss().settings())
    };
    let store = Store::Bucket(Bucket::new("oss", options).unwrap());
    fails("hang", async {
        read_whole(&store, "objects/00/a", 1_000_000)
            .await
            .map(drop)
    })
    .await;
    stopping.abort();
}
