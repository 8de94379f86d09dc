//! Presigned URLs of a bucket.

use std::time::Duration;

use harness::{http, random};
use reqwest::{Response, header};
use storage::ResponseOverrides;

use crate::{fixture::TestStore, on_every_store, write_object};

on_every_store! { but disk:
    a_presigned_url_returns_the_bytes_with_the_overridden_headers,
    a_presigned_url_is_for_one_object_and_expires,
}

async fn a_presigned_url_returns_the_bytes_with_the_overridden_headers(fixture: &TestStore) {
    let bytes = random(700_000);
    let key = write_object(&fixture.store, &bytes).await;
    let disposition = "attachment; filename=\"a b+c.txt\"; filename*=UTF-8''%C3%A4%20%25.txt";
    let overrides = ResponseOverrides {
        expires_in: Duration::from_mins(5),
        content_type: Some("text/x-special; charset=utf-8".to_owned()),
        content_disposition: Some(disposition.to_owned()),
        cache_control: Some("private, no-cache".to_owned()),
    };
    let url = fixture.bucket().presign(&key, overrides).await.unwrap().url;
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
    // As a resumed download or a media player does.
    let part = get(&url, Some("bytes=5-1004")).await;
    assert_eq!(part.status(), 206);
    assert!(part.bytes().await.unwrap() == bytes[5..1005]);
}

async fn a_presigned_url_is_for_one_object_and_expires(fixture: &TestStore) {
    let (key, other) = (
        write_object(&fixture.store, b"this").await,
        write_object(&fixture.store, b"that").await,
    );
    let url_for = async |seconds| {
        let overrides = ResponseOverrides {
            expires_in: Duration::from_secs(seconds),
            ..ResponseOverrides::default()
        };
        fixture.bucket().presign(&key, overrides).await.unwrap().url
    };
    let (short, long) = (url_for(1).await, url_for(60).await);
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
