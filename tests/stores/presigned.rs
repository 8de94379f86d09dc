//! What a bucket's URLs promise, by which anybody can read for a time.

use std::time::Duration;

use harness::{http, random};
use reqwest::{Response, header};
use storage::PresignedAs;

use crate::{home::Home, keep, on_every_store};

on_every_store! { but disk:
    whoever_has_the_url_gets_the_bytes_as_it_was_said,
    a_url_is_for_one_object_and_a_time,
}

async fn whoever_has_the_url_gets_the_bytes_as_it_was_said(home: &Home) {
    let bytes = random(700_000);
    let key = keep(&home.store, &bytes).await;
    let disposition = "attachment; filename=\"a b+c.txt\"; filename*=UTF-8''%C3%A4%20%25.txt";
    let said = PresignedAs {
        lasts: Duration::from_mins(5),
        content_type: Some("text/x-special; charset=utf-8".to_owned()),
        content_disposition: Some(disposition.to_owned()),
        cache_control: Some("private, no-cache".to_owned()),
    };
    let url = home.bucket().presign(&key, said).await.unwrap().url;
    let whole = get(&url, None).await;
    assert_eq!(whole.status(), 200);
    for (name, value) in [
        (header::CONTENT_TYPE, "text/x-special; charset=utf-8"),
        (header::CONTENT_DISPOSITION, disposition),
        (header::CACHE_CONTROL, "private, no-cache"),
    ] {
        assert_eq!(whole.headers()[name], value);
    }
    assert!(whole.bytes().await.unwrap() == bytes);
    // As a download that goes on, or a player.
    let part = get(&url, Some("bytes=5-1004")).await;
    assert_eq!(part.status(), 206);
    assert!(part.bytes().await.unwrap() == bytes[5..1005]);
}

async fn a_url_is_for_one_object_and_a_time(home: &Home) {
    let (key, other) = (
        keep(&home.store, b"this").await,
        keep(&home.store, b"that").await,
    );
    let lasts = async |seconds| {
        let said = PresignedAs {
            lasts: Duration::from_secs(seconds),
            ..PresignedAs::default()
        };
        home.bucket().presign(&key, said).await.unwrap().url
    };
    let (short, long) = (lasts(1).await, lasts(60).await);
    assert_eq!(get(&long, None).await.text().await.unwrap(), "this");
    assert_eq!(get(&long.replace(&key, &other), None).await.status(), 403);

    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(get(&short, None).await.status(), 403);
    assert_eq!(get(&long, None).await.status(), 200);
}

async fn get(url: &str, range: Option<&str>) -> Response {
    let mut request = http().build().unwrap().get(url);
    if let Some(range) = range {
        request = request.header(header::RANGE, range);
    }
    request.send().await.unwrap()
}
