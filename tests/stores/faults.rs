//! Failures of a store: temporary ones are not noticed, and permanent ones are never mistaken for a
//! missing object.

use std::time::{Duration, Instant};

use domain::ByteRange;
use futures_util::{FutureExt as _, StreamExt as _, future::join_all};
use harness::random;
use serde_json::{Value, json};
use storage::{Bucket, BucketKind, BucketOptions, Error, Memory, Store};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    fixture::{TestStore, options},
    persist, range, read_whole, write_object,
};

const SECOND: Duration = Duration::from_secs(1);

/// Time in which a call must fail if each request may take a second, and is made four times.
const MAX_FAILURE_TIME: Duration = Duration::from_secs(15);

/// An error, a truncated response, no response and a late one: none of them lasts.
#[tokio::test(flavor = "multi_thread")]
async fn temporary_failures_are_not_noticed() {
    let fixture = TestStore::with_timeout(SECOND);
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
        fixture.oss().fault(&fault).await;
        let key = write_object(&fixture.store, &bytes).await;
        let back = read_whole(&fixture.store, &key, bytes.len()).await.unwrap();
        assert!(back == bytes, "{fault}: the bytes are unchanged");
        let ranges = vec![range(5, 1000), range(2_000_000, 2_000_100)];
        let read = fixture
            .store
            .read_ranges(Some(&key), bytes.len() as u64, ranges);
        let expected = [&bytes[5..1000], &bytes[2_000_000..2_000_100]].concat();
        assert!(read.await.unwrap() == expected, "{fault}");
        let size = fixture.store.size(&key).await.unwrap();
        assert_eq!(size, Some(bytes.len() as u64), "{fault}");
        assert!(fixture.objects().await.contains(&key), "{fault}");
        fixture.store.remove(&key).await.unwrap();
        assert_eq!(fixture.store.size(&key).await.unwrap(), None, "{fault}");

        let kind = fault["kind"].as_str().unwrap();
        let counts = fixture.oss().counts().await;
        assert!(
            counts["faults"][kind].as_u64().unwrap() >= 2,
            "{fault}: {counts}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_store_is_unavailable_and_loses_nothing() {
    permanent_fault("error").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_store_is_unavailable_in_time() {
    permanent_fault("hang").await;
}

async fn permanent_fault(kind: &str) {
    let fixture = TestStore::with_timeout(SECOND);
    let store = &fixture.store;
    let bytes = random(3_000_000);
    let key = write_object(store, &bytes).await;
    let absent = "objects/00/00000000000000000000000000000000";
    fixture.oss().fault(&json!({"kind": kind})).await;
    let size = bytes.len() as u64;
    let mut calls = Vec::new();
    for key in [&key, absent] {
        calls.push(async { store.size(key).await.map(drop) }.boxed());
        calls.push(async { read_whole(store, key, bytes.len()).await.map(drop) }.boxed());
        let empty = store.open_object(key, 0, ByteRange::whole(0));
        calls.push(async { empty.await.map(drop) }.boxed());
        let ranges = vec![range(0, 10)];
        calls.push(async { store.read_ranges(Some(key), size, ranges).await.map(drop) }.boxed());
        calls.push(store.remove(key).boxed());
    }
    calls.push(async { persist(store, b"a little").await.map(drop) }.boxed());
    calls.push(async { persist(store, &bytes).await.map(drop) }.boxed());
    calls.push(store.probe().boxed());
    calls.push(store.self_test().boxed());
    let list = async {
        let mut list = store.list(0).await?;
        list.next()
            .await
            .expect("a failure does not end the listing silently")
            .map(drop)
    };
    calls.push(list.boxed());
    join_all(calls.into_iter().map(|call| fails(kind, call))).await;

    fixture.oss().mend().await;
    // A removal without a response may have succeeded. These did not: the fault comes first.
    assert!(read_whole(store, &key, bytes.len()).await.unwrap() == bytes);
    store.remove(&key).await.unwrap();
    store.probe().await.unwrap();
}

async fn fails(kind: &str, call: impl Future<Output = storage::Result<()>>) {
    let began = Instant::now();
    let outcome = call.await;
    let took = began.elapsed();
    let is_explained = matches!(&outcome, Err(Error::Unavailable(error)) if {
        let words = match kind {
            "hang" => "does not answer in time",
            _ => "failed",
        };
        let text = error.to_string();
        text.contains("the store oss: ") && text.contains(words)
    });
    assert!(is_explained, "{kind}: {outcome:?}");
    assert!(took < MAX_FAILURE_TIME, "{kind}: it took {took:?}");
}

/// Despite the retries no byte is missing or repeated.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_always_ends_early_is_an_error() {
    let fixture = TestStore::with_timeout(SECOND);
    let bytes = random(3_000_000);
    let key = write_object(&fixture.store, &bytes).await;
    let fault = json!({"kind": "truncate", "operation": "GET"});
    fixture.oss().fault(&fault).await;
    let began = Instant::now();
    match read_whole(&fixture.store, &key, bytes.len()).await {
        // Each attempt returns half of the missing bytes.
        Ok(back) => assert!(back == bytes),
        Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error:?}"),
    }
    assert!(
        began.elapsed() < MAX_FAILURE_TIME,
        "it took {:?}",
        began.elapsed()
    );
}

/// A store may stop in the middle of a response, while its connection stays open.
#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_stops_half_way_is_an_error_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = connection.read(&mut request).await;
            // The first half is sent once, and the second half never.
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
    let fixture = TestStore::with_timeout(SECOND);
    let options = BucketOptions {
        endpoint,
        timeout: SECOND,
        ..options(BucketKind::Oss, &fixture.oss().settings())
    };
    let store = Store::Bucket(Bucket::new("oss", options, Memory::default()).unwrap());
    fails("hang", async {
        read_whole(&store, "objects/00/a", 1_000_000)
            .await
            .map(drop)
    })
    .await;
    server.abort();
}
