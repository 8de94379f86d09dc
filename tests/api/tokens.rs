//! Credentials: which are accepted, and for how long.

use std::time::Duration;

use harness::{Answer, Client, Issuer, Kind, Server, on_every_database};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::sleep,
};

on_every_database! {
    with &[("FILESERVER_AUTH", "token")];
    a_token_works_until_it_is_revoked_on_every_process,
    a_token_expires_and_its_use_is_seen,
    what_is_no_token_lets_nobody_in,
}

fn listed(server: &Server) -> Vec<Value> {
    let listed = server.command(&["token", "list", "--json"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn a_token_works_until_it_is_revoked_on_every_process(server: &Server) {
    let token = server.token("alice", "files:read,files:write");
    let (_second, second) = server.second_process().await;
    let clients = [
        server.client().with_token(&token),
        second.with_token(&token),
    ];
    for client in &clients {
        assert_eq!(client.get("/usage").await.status, 200);
    }
    let all = listed(server);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["scopes"], "files:read files:write");
    let id = all[0]["id"].as_str().unwrap();
    assert!(
        !all[0].to_string().contains(&token[4..]),
        "the secret is shown once"
    );
    let kept = server.database().sql("SELECT * FROM tbl_token");
    assert!(
        kept.contains(id) && !kept.contains(&token[4..]),
        "the secret is not stored"
    );
    assert!(server.command(&["token", "revoke", id]).status.success());
    sleep(Duration::from_secs(1)).await;
    for client in &clients {
        let detail = client
            .get("/usage")
            .await
            .problem(401, "invalid-credentials");
        assert_eq!(detail, "the token was revoked");
    }
    assert!(server.command(&["token", "revoke", id]).status.success());
    assert_eq!(listed(server)[0]["state"], "revoked");
    let unknown = server.command(&["token", "revoke", &"0".repeat(32)]);
    assert_eq!(unknown.status.code(), Some(1));
}

async fn a_token_expires_and_its_use_is_seen(server: &Server) {
    let create = ["token", "create", "--owner", "bob", "--scope", "files:read"];
    let brief =
        server.command(&[&create[..], &["--expires", "3s", "--label", "for a test"]].concat());
    let brief = String::from_utf8(brief.stdout).unwrap();
    let client = server.client().with_token(brief.trim());
    assert_eq!(client.get("/usage").await.status, 200);
    sleep(Duration::from_millis(300)).await;
    let token = listed(server).remove(0);
    assert_eq!(
        (&token["label"], &token["state"]),
        (&json!("for a test"), &json!("good"))
    );
    assert!(token["used_at"].is_string(), "{token}");
    sleep(Duration::from_secs(3)).await;
    let detail = client
        .get("/usage")
        .await
        .problem(401, "invalid-credentials");
    assert_eq!(detail, "the token has expired");
    assert_eq!(listed(server)[0]["state"], "expired");
    for wrong in [
        ["--owner", " bob", "--scope", "files:read"],
        ["--owner", "bob", "--scope", "files:everything"],
        ["--owner", "", "--scope", "admin"],
    ] {
        let refused = server.command(&[&["token", "create"], &wrong[..]].concat());
        assert_eq!(refused.status.code(), Some(2), "{wrong:?}");
        assert!(refused.stdout.is_empty());
    }
}

async fn what_is_no_token_lets_nobody_in(server: &Server) {
    let token = server.token("alice", "files:read");
    // A proxy refuses some of these itself.
    let client = server.first().await;
    let with = |value: &str| {
        client.send(
            client
                .request(Method::GET, "/usage")
                .header("authorization", value),
        )
    };
    let unknown = server.token("bob", "files:read");
    let _ = server
        .database()
        .sql("DELETE FROM tbl_token WHERE owner = 'bob'");
    for value in [
        format!("Basic {token}"),
        format!("Bearer {}", &token[..50]),
        format!("Bearer {token}A"),
        format!("Bearer {unknown}"),
        format!("Bearer {}", token.to_uppercase()),
        format!("Bearer {token},{token}"),
        "Bearer a.b.c".to_owned(),
        "Bearer".to_owned(),
        "Bearer ".to_owned() + &"x".repeat(20_000),
    ] {
        let answer = with(&value).await;
        answer.problem(401, "invalid-credentials");
        assert!(
            answer
                .header("www-authenticate")
                .starts_with("Bearer realm="),
            "{value}"
        );
    }
    for value in [format!("Bearer {token}"), format!("bearer  {token}")] {
        assert_eq!(with(&value).await.status, 200, "{value}");
    }
    let twice = client
        .request(Method::GET, "/usage")
        .bearer_auth(&token)
        .bearer_auth(&token);
    client.send(twice).await.problem(401, "invalid-credentials");
    // Never in a URL.
    let asked = client.get(&format!("/usage?access_token={token}")).await;
    asked.problem(401, "missing-credentials");
    for open in ["/healthz", "/readyz", "/openapi.json", "/openapi.yaml"] {
        assert_eq!(client.get(open).await.status, 200, "{open}");
    }
    client
        .get("/nowhere")
        .await
        .problem(404, "no-such-resource");
    // Spelled in another way, it is still the same operation.
    let told = server
        .raw(b"GET /%66iles HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert!(told.starts_with("HTTP/1.1 401"), "{told}");
    let overridden = client.request(Method::POST, "/tus/x");
    let overridden = overridden
        .header("x-http-method-override", "PATCH")
        .header("tus-resumable", "1.0.0");
    client
        .send(overridden)
        .await
        .problem(401, "missing-credentials");
    assert!(!server.log().contains(&token[4..]));
}

async fn ask(client: &Client, token: &str) -> Answer {
    client.with_token(token).get("/usage").await
}

async fn with_issuer(issuer: &Issuer, keys: &str, auth: &str) -> Server {
    let _ = issuer;
    let settings = [
        ("FILESERVER_AUTH", auth),
        ("FILESERVER_JWT_ISSUER", Issuer::NAME),
        ("FILESERVER_JWT_AUDIENCE", "other,files"),
        ("FILESERVER_JWT_KEYS", keys),
        ("FILESERVER_JWT_LEEWAY", "2"),
    ];
    Server::alone(Kind::Sqlite, &settings).await
}

#[tokio::test]
async fn a_jwt_lets_in_whom_its_issuer_means() {
    let mut issuer = Issuer::new();
    let keys = issuer.keys();
    let server = with_issuer(&issuer, keys.to_str().unwrap(), "token,jwt").await;
    let client = server.client();
    let good = Issuer::claims("alice", "openid files:read files:write");
    let token = issuer.sign("1", &good);
    let alice = client.with_token(&token);
    let (sha1, _) = alice.upload_some("a.txt").await;
    // The service's own tokens work beside it, for the same owner.
    let own = server.client_of("alice");
    assert_eq!(own.get(&format!("/files/{sha1}")).await.status, 200);
    let nothing = issuer.sign("1", &Issuer::claims("alice", "openid"));
    ask(client, &nothing)
        .await
        .problem(403, "insufficient-scope");

    let but = |member: &str, value: Value| {
        let mut claims = good.clone();
        claims[member] = value;
        issuer.sign("1", &claims)
    };
    let now = good["exp"].as_u64().unwrap() - 600;
    let mut altered: Vec<&str> = token.split('.').collect();
    let others = but("sub", json!("mallory"));
    altered[1] = others.split('.').nth(1).unwrap();
    for (token, expected) in [
        (
            but("iss", json!("https://evil.example.org/")),
            "another issuer",
        ),
        (but("aud", json!("somebody else")), "another audience"),
        (but("exp", json!(now - 10)), "expired"),
        (but("exp", Value::Null), "`exp`"),
        (but("nbf", json!(now + 100)), "not valid yet"),
        (but("sub", json!("")), "`sub`"),
        (but("sub", json!("alice ")), "subject"),
        (Issuer::unsigned(&good), "algorithm"),
        (issuer.confused(&good), "algorithm"),
        (Issuer::new().sign("1", &good), "signature"),
        (issuer.sign("9", &good), "not known to have"),
        (altered.join("."), "signature"),
        (format!("{token}."), "can be read"),
        ("eyJ.eyJ.x".to_owned(), "can be read"),
    ] {
        let answer = ask(client, &token).await;
        let detail = answer.problem(401, "invalid-credentials");
        assert!(detail.contains(expected), "{detail}, not {expected}");
    }
    // New keys are loaded when a token needs them, and old ones end with the next reload.
    assert_eq!(
        ask(client, &but("aud", json!(["x", "files"]))).await.status,
        200
    );
    sleep(Duration::from_secs(11)).await;
    issuer.rotate("2");
    let fresh = issuer.sign("2", &good);
    assert_eq!(ask(client, &fresh).await.status, 200);
    ask(client, &token)
        .await
        .problem(401, "invalid-credentials");
    assert!(!server.log().contains(token.split('.').nth(2).unwrap()));
    server.finish().await;
}

#[tokio::test]
async fn keys_come_from_a_server_and_their_absence_is_nobodys_fault() {
    let issuer = Issuer::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let keys = std::fs::read_to_string(issuer.keys()).unwrap();
    let (tell, mut told) = tokio::sync::watch::channel(false);
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let answer = if *told.borrow_and_update() {
                let length = keys.len();
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{keys}"
                )
            } else {
                "HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let server = with_issuer(&issuer, &url, "jwt").await;
    let token = issuer.sign("1", &Issuer::claims("alice", "files:read"));
    ask(server.client(), &token)
        .await
        .problem(503, "unavailable");
    tell.send(true).unwrap();
    sleep(Duration::from_secs(11)).await;
    assert_eq!(ask(server.client(), &token).await.status, 200);
    // A token of the service's is not one of the issuer's.
    let own = server.token("alice", "files:read");
    ask(server.client(), &own)
        .await
        .problem(401, "invalid-credentials");
    serving.abort();
    server.finish().await;
}

#[tokio::test]
async fn settings_that_would_let_in_the_wrong_stop_the_start() {
    let server = Server::alone(Kind::Sqlite, &[]).await;
    for (wrong, expected) in [
        (&["--auth", "none,token"][..], "must not combine `none`"),
        (&["--auth", "jwt"], "`jwt_keys` is required"),
        (
            &[
                "--auth",
                "jwt",
                "--jwt-keys",
                "/nowhere",
                "--jwt-issuer",
                "x",
                "--jwt-audience",
                "y",
            ],
            "/nowhere",
        ),
        (
            &[
                "--auth",
                "jwt",
                "--jwt-keys",
                "http://192.0.2.1/k",
                "--jwt-issuer",
                "x",
                "--jwt-audience",
                "y",
            ],
            "URL",
        ),
        (
            &[
                "--auth",
                "jwt",
                "--jwt-keys",
                "/dev/null",
                "--jwt-issuer",
                "x",
            ],
            "audience",
        ),
        (&["--jwt-issuer", "x"], "have no effect"),
        (&["--jwt-algorithms", "HS256"], "HS256"),
        (&["--jwt-leeway", "301"], "at most 300"),
        (&["--trusted-proxies", "everybody"], "everybody"),
        (&["--link-keys", "short"], "link key"),
        (&["--accel-redirect", "/../"], "begin and end"),
        (&["--public-url", "ftp://x"], "https://"),
        (&["--listen", "0.0.0.0:0"], "without authentication"),
    ] {
        let started = server.command(&[&["serve"], wrong].concat());
        let said = String::from_utf8_lossy(&started.stderr).into_owned();
        assert_eq!(started.status.code(), Some(2), "{wrong:?}: {said}");
        assert!(said.contains(expected), "{wrong:?}: {said}");
    }
    server.finish().await;
}
