//! Links: access without credentials, and expiry.

use std::time::Duration;

use futures_util::future::join_all;
use harness::{Answer, Client, Kind, Server, on_every_database};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

on_every_database! {
    with &[("FILESERVER_AUTH", "token")];
    a_link_serves_the_file_as_its_owner_gets_it,
    a_link_dies_with_its_file_and_never_comes_back,
    downloads_by_a_link_are_counted_exactly,
    what_is_no_link_says_nothing,
}

/// A request for a link to a file, which works for a minute.
pub(crate) fn share(client: &Client, sha1: &str) -> RequestBuilder {
    let request = client.request(Method::POST, &format!("/files/{sha1}/links"));
    request.json(&json!({"expires_in": 60}))
}

/// A request that ends all links to a file.
pub(crate) fn unshare(client: &Client, sha1: &str) -> RequestBuilder {
    client.request(Method::DELETE, &format!("/files/{sha1}/links"))
}

/// Creates a link, and returns its path.
async fn link(client: &Client, sha1: impl ToString, wanted: Value) -> String {
    let path = format!("/files/{}/links", sha1.to_string());
    let request = client.request(Method::POST, &path).json(&wanted);
    let answer = client.send(request).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["url"].as_str().unwrap().to_owned()
}

fn is_gone(answer: &Answer) {
    let detail = answer.problem(404, "link-not-found");
    assert_eq!(detail, "the link does not exist or has expired");
}

async fn a_link_serves_the_file_as_its_owner_gets_it(server: &Server) {
    let (alice, anybody) = (server.client_of("alice"), server.client());
    let (sha1, bytes) = alice.upload_some("secret name.txt").await;
    let answer = alice.send(share(&alice, &sha1.to_string())).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let url = answer.json()["url"].as_str().unwrap().to_owned();
    assert!(answer.json()["expires_at"].is_string());
    // 22 characters of a random id and 21 of its signature, and nothing else.
    let token = url.strip_prefix("/d/").unwrap();
    assert_eq!(token.len(), 43);
    let again = link(&alice, sha1, json!({"expires_in": 60})).await;
    assert_ne!(again, url, "nothing of the file or its owner is in it");

    let whole = anybody.get(&url).await;
    assert_eq!(whole.body, bytes);
    let own = alice.get(&format!("/files/{sha1}/content")).await;
    for field in [
        "etag",
        "repr-digest",
        "content-disposition",
        "content-type",
        "last-modified",
    ] {
        assert_eq!(whole.header(field), own.header(field), "{field}");
    }
    assert_eq!(whole.header("cache-control"), "private, no-cache");
    assert_eq!(whole.header("referrer-policy"), "no-referrer");
    assert_eq!(whole.header("x-content-type-options"), "nosniff");

    let get = |name: &'static str, value: &str| {
        anybody.send(anybody.request(Method::GET, &url).header(name, value))
    };
    let part = get("range", "bytes=1-3").await;
    assert_eq!(
        (part.status, &part.body[..]),
        (StatusCode::PARTIAL_CONTENT, &bytes[1..4])
    );
    assert_eq!(get("range", "bytes=9999-").await.status, 416);
    let tag = format!("\"{sha1}\"");
    assert_eq!(get("if-none-match", &tag).await.status, 304);
    get("if-match", "\"other\"")
        .await
        .problem(412, "precondition-failed");
    anybody
        .get(&format!("{url}?a=b"))
        .await
        .problem(400, "invalid-query");

    let image = alice.request(Method::POST, "/files?file_name=a.png");
    let image = image
        .header("content-type", "image/png")
        .body(harness::unique_text());
    let image = alice.send(image).await.meta().file_sha1;
    let shown = link(
        &alice,
        image,
        json!({"expires_in": 60, "disposition": "inline"}),
    )
    .await;
    assert!(
        anybody
            .get(&shown)
            .await
            .header("content-disposition")
            .starts_with("inline")
    );
    alice.patch(&sha1, &json!({"file_name": "new.txt"})).await;
    assert!(
        anybody
            .get(&url)
            .await
            .header("content-disposition")
            .contains("new.txt")
    );
}

async fn a_link_dies_with_its_file_and_never_comes_back(server: &Server) {
    let (alice, bob) = (server.client_of("alice"), server.client_of("bob"));
    let anybody = server.client();
    let (sha1, bytes) = alice.upload_some("a.txt").await;
    bob.upload("a.txt", bytes.clone()).await;
    let forever = json!({"expires_in": 600});
    let [first, of_bob] = [
        link(&alice, sha1, forever.clone()).await,
        link(&bob, sha1, forever.clone()).await,
    ];
    assert_eq!(alice.delete(&sha1).await.status, 204);
    is_gone(&anybody.get(&first).await);
    assert_eq!(anybody.get(&of_bob).await.body, bytes);
    let restored = alice.patch(&sha1, &json!({"status": "available"})).await;
    assert_eq!(restored.status, 200);
    is_gone(&anybody.get(&first).await);

    let second = link(&alice, sha1, forever.clone()).await;
    let purge = alice.request(Method::DELETE, &format!("/files/{sha1}?purge=true"));
    assert_eq!(alice.send(purge).await.status, 204);
    alice.upload("a.txt", bytes.clone()).await;
    is_gone(&anybody.get(&second).await);

    let third = link(&alice, sha1, forever).await;
    assert_eq!(
        alice.send(unshare(&alice, &sha1.to_string())).await.status,
        204
    );
    is_gone(&anybody.get(&third).await);
    bob.delete(&sha1).await;
    bob.send(unshare(&bob, &sha1.to_string()))
        .await
        .problem(404, "not-found");

    let brief = link(&alice, sha1, json!({"expires_in": 1})).await;
    assert_eq!(anybody.get(&brief).await.status, 200);
    sleep(Duration::from_millis(1100)).await;
    is_gone(&anybody.get(&brief).await);
}

async fn downloads_by_a_link_are_counted_exactly(server: &Server) {
    let (alice, anybody) = (server.client_of("alice"), server.client());
    let (sha1, bytes) = alice.upload_some("a.txt").await;
    let url = link(&alice, sha1, json!({"expires_in": 60, "max_downloads": 5})).await;
    let send = |method: Method| anybody.try_send(anybody.request(method, &url));
    assert_eq!(send(Method::HEAD).await.unwrap().status, 200);
    let known = anybody
        .request(Method::GET, &url)
        .header("if-none-match", format!("\"{sha1}\""));
    assert_eq!(anybody.try_send(known).await.unwrap().status, 304);
    let answers = join_all((0..20).map(|_| send(Method::GET))).await;
    let whole = answers
        .into_iter()
        .filter(|answer| answer.as_ref().unwrap().body == bytes);
    assert_eq!(whole.count(), 5);
    is_gone(&send(Method::GET).await.unwrap());
    assert_eq!(send(Method::HEAD).await.unwrap().status, 404);
}

async fn what_is_no_link_says_nothing(server: &Server) {
    // A proxy refuses some of these itself.
    let (alice, anybody) = (server.client_of("alice"), server.first().await);
    let (sha1, _) = alice.upload_some("a.txt").await;
    let url = link(&alice, sha1, json!({"expires_in": 60})).await;
    let mut forged = url.clone().into_bytes();
    forged[10] ^= 1;
    let forged = String::from_utf8(forged).unwrap();
    for path in [
        &forged,
        &url[..20],
        "/d/x",
        "/d/%00",
        "/d/%ff",
        "/d/..%2ffiles",
        &format!("{url}A"),
    ] {
        is_gone(&anybody.get(path).await);
    }
    assert_eq!(anybody.get(&format!("{url}/")).await.status, 404);

    let path = format!("/files/{sha1}/links");
    for (wanted, member) in [
        (json!({"expires_in": 0}), "expires_in"),
        (json!({"expires_in": 604_801}), "expires_in"),
        (
            json!({"expires_in": 60, "max_downloads": 0}),
            "max_downloads",
        ),
    ] {
        let answer = alice
            .send(alice.request(Method::POST, &path).json(&wanted))
            .await;
        answer.problem(400, "invalid-body");
        assert_eq!(answer.json()["source"]["name"], member);
    }
    for wanted in [
        json!({"expires_in": -1}),
        json!({"expires_in": 1.5}),
        json!({}),
        json!({"expires_in": 60, "disposition": "run"}),
        json!({"expires_in": 60, "owner": "bob"}),
    ] {
        let answer = alice
            .send(alice.request(Method::POST, &path).json(&wanted))
            .await;
        answer.problem(400, "invalid-body");
    }
    let request = |path: &str| alice.request(Method::POST, path);
    let json = json!({"expires_in": 60});
    for (request, status, kind) in [
        (request("/files/x/links").json(&json), 400, "invalid-sha1"),
        (request(&path).body("x"), 415, "unsupported-media-type"),
        (
            request(&path).json(&json).header("accept", "text/html"),
            406,
            "not-acceptable",
        ),
        (request(&path).json(&"x".repeat(20_000)), 413, "too-large"),
    ] {
        alice.send(request).await.problem(status, kind);
    }
    let query = alice.request(Method::DELETE, &format!("{path}?a=b"));
    alice.send(query).await.problem(400, "invalid-query");
    let usage = alice.request(Method::GET, "/usage");
    let html = usage.try_clone().unwrap().header("accept", "text/html");
    alice.send(html).await.problem(406, "not-acceptable");
}

#[tokio::test]
async fn links_outlive_their_key_until_it_is_removed() {
    let keys = |keys: &[&str]| -> String {
        keys.iter()
            .map(|digit| digit.repeat(64))
            .collect::<Vec<_>>()
            .join(",")
    };
    let (both, new) = (keys(&["2", "1"]), keys(&["2"]));
    let url = "https://files.example.org/";
    let settings = [
        ("FILESERVER_LINK_KEYS", keys(&["1"])),
        ("FILESERVER_PUBLIC_URL", url.to_owned()),
    ];
    let settings = settings
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let mut server = Server::start(Kind::Sqlite, &settings).await;
    let (sha1, bytes) = server.client().upload_some("a.txt").await;
    let made = server
        .client()
        .send(share(server.client(), &sha1.to_string()))
        .await
        .json();
    let path = made["url"]
        .as_str()
        .unwrap()
        .strip_prefix("https://files.example.org")
        .unwrap();
    for (keys, works) in [(both.as_str(), true), (new.as_str(), false)] {
        server.stop().await;
        server.set("FILESERVER_LINK_KEYS", keys);
        server.restart().await;
        let answer = server.client().get(path).await;
        if works {
            assert_eq!(answer.body, bytes);
        } else {
            is_gone(&answer);
        }
    }
    server.finish().await;
}
