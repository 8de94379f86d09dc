//! Instant upload: a proof gives access to a content, and reveals nothing to other owners.

use std::time::{Duration, Instant};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::{
    Sha1,
    possession::{Nonce, Prover},
};
use harness::{
    Answer, Client, Kind, Server, digests, eventually, on_every_database, random, unique_text,
};
use reqwest::Method;
use serde_json::{Value, json};

on_every_database! {
    who_has_the_bytes_gets_the_file_without_sending_it,
    who_has_the_digests_alone_gets_nothing_and_learns_nothing,
    an_empty_file_is_claimed_like_any_other,
    of_many_who_use_a_claim_one_gets_it,
}

/// Claims a content.
pub(crate) async fn claim(client: &Client, sha1: &Sha1, size: usize) -> Answer {
    let body = json!({
        "file_sha1": sha1, "file_size": size, "file_name": "claimed.bin",
        "content_type": "image/png",
    });
    let request = client.request(Method::POST, "/claims").json(&body);
    client.send(request).await
}

/// The proof that an owner of these bytes can make.
pub(crate) fn prove(challenge: &Value, sha1: &Sha1, bytes: &[u8]) -> String {
    let nonce = BASE64_STANDARD.decode(challenge["nonce"].as_str().unwrap());
    let nonce: [u8; 32] = nonce.unwrap().try_into().unwrap();
    let id = challenge["id"].as_str().unwrap().parse().unwrap();
    let mut prover = Prover::new(&Nonce::from(nonce), &id, sha1);
    for range in challenge["ranges"].as_array().unwrap() {
        let offset = usize::try_from(range["offset"].as_u64().unwrap()).unwrap();
        let length = usize::try_from(range["length"].as_u64().unwrap()).unwrap();
        prover.update(&bytes[offset..offset + length]);
    }
    prover.finish().to_string()
}

/// Presents a proof.
pub(crate) async fn present(client: &Client, challenge: &Value, proof: &str) -> Answer {
    let path = format!("/claims/{}", challenge["id"].as_str().unwrap());
    let request = client.request(Method::PUT, &path);
    client.send(request.json(&json!({"proof": proof}))).await
}

/// Uploads a content as another owner.
async fn upload_as_bob(server: &Server, bytes: &[u8]) -> Sha1 {
    let client = server.client();
    let meta = client.upload("bobs.bin", bytes.to_vec()).await.meta();
    let sha1 = meta.file_sha1;
    let _ = server.database().sql(&format!(
        "UPDATE tbl_user_file SET owner = 'bob' WHERE file_sha1 = '{sha1}'"
    ));
    assert!(server.command(&["quota", "recount"]).status.success());
    client
        .get(&format!("/files/{sha1}"))
        .await
        .problem(404, "not-found");
    sha1
}

async fn who_has_the_bytes_gets_the_file_without_sending_it(server: &Server) {
    let client = server.client();
    for size in [1, 256 * 1024, 256 * 1024 + 1, 3_000_000] {
        let bytes = random(size);
        let sha1 = upload_as_bob(server, &bytes).await;
        let objects = server.objects();
        let challenge = claim(client, &sha1, size).await;
        assert_eq!(challenge.status, 201, "{}", challenge.text());
        let challenge = challenge.json();
        let asked = challenge["ranges"].as_array().unwrap();
        let count = if size > 256 * 1024 { 32 } else { 1 };
        assert_eq!(asked.len(), count);

        let answer = present(client, &challenge, &prove(&challenge, &sha1, &bytes)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.header("location"), format!("/files/{sha1}"));
        let meta = answer.meta();
        assert_eq!(meta.file_name.as_str(), "claimed.bin");
        assert_eq!(meta.content_type.as_str(), "image/png");
        let content = client.get(&meta.location.to_string()).await;
        assert_eq!(content.body, bytes);
        assert_eq!(server.objects(), objects, "nothing was stored");

        // Once more, now that the owner has it.
        let again = claim(client, &sha1, size).await.json();
        let answer = present(client, &again, &prove(&again, &sha1, &bytes)).await;
        assert_eq!(answer.status, 200);
        // A proof is good for its own claim only.
        let other = claim(client, &sha1, size).await.json();
        let replayed = present(client, &other, &prove(&again, &sha1, &bytes)).await;
        replayed.problem(422, "claim-refused");
    }
}

/// The parts of an answer that are the same in every answer of its kind.
fn visible(answer: &Answer) -> String {
    let mut headers = answer.headers.clone();
    headers.remove("x-request-id");
    headers.remove("date");
    // Each process has an order of its own.
    let mut fields: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value:?}"))
        .collect();
    fields.sort();
    format!("{} {fields:?} {}", answer.status, answer.text())
}

async fn who_has_the_digests_alone_gets_nothing_and_learns_nothing(server: &Server) {
    let client = server.client();
    let bytes = random(1_000_000);
    let sha1 = upload_as_bob(server, &bytes).await;
    let unknown = digests(unique_text().as_bytes()).sha1;
    let guess = digests(b"a guess").sha256.to_string();
    let mut seen = Vec::new();
    // The shortest of many times: what else the machine does only makes them longer.
    let mut shortest = [Duration::MAX; 3];
    let differ = |times: &[Duration; 3]| {
        let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
        most.abs_diff(*least) >= Duration::from_millis(20)
    };
    let mut round = 0;
    while round < 8 || round < 60 && differ(&shortest) {
        // A wrong proof, a wrong size, an unknown content.
        let cases = [(&sha1, 1_000_000), (&sha1, 999_999), (&unknown, 1_000_000)];
        for (case, (sha1, size)) in cases.into_iter().enumerate() {
            let challenge = claim(client, sha1, size).await;
            let fields: Vec<String> = challenge
                .json()
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect();
            assert_eq!(fields, ["expires_at", "id", "nonce", "ranges"]);
            assert_eq!(challenge.status, 201);
            let proof = if round == 0 && size == 999_999 {
                // Even the right bytes do not help with a wrong size.
                prove(&challenge.json(), sha1, &bytes)
            } else {
                guess.clone()
            };
            let began = Instant::now();
            let refused = present(client, &challenge.json(), &proof).await;
            shortest[case] = shortest[case].min(began.elapsed());
            refused.problem(422, "claim-refused");
            seen.push(visible(&refused));
        }
        round += 1;
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "refusals cannot be told apart: {seen:#?}");
    assert!(!differ(&shortest), "{shortest:?}");
    client
        .get(&format!("/files/{sha1}"))
        .await
        .problem(404, "not-found");
}

async fn an_empty_file_is_claimed_like_any_other(server: &Server) {
    let client = server.client();
    let empty = digests(b"").sha1;
    let challenge = claim(client, &empty, 0).await.json();
    let refused = present(client, &challenge, &prove(&challenge, &empty, b"")).await;
    refused.problem(422, "claim-refused");
    assert_eq!(upload_as_bob(server, b"").await, empty);
    let challenge = claim(client, &empty, 0).await.json();
    let answer = present(client, &challenge, &prove(&challenge, &empty, b"")).await;
    assert_eq!(answer.status, 201);
    // Nothing is proven about another content by having read nothing of it.
    let sha1 = upload_as_bob(server, b"not empty").await;
    let challenge = claim(client, &sha1, 0).await.json();
    let refused = present(client, &challenge, &prove(&challenge, &sha1, b"")).await;
    refused.problem(422, "claim-refused");
}

async fn of_many_who_use_a_claim_one_gets_it(server: &Server) {
    let client = server.client();
    let bytes = unique_text().into_bytes();
    let sha1 = upload_as_bob(server, &bytes).await;
    let challenge = claim(client, &sha1, bytes.len()).await.json();
    let proof = prove(&challenge, &sha1, &bytes);
    let all = (0..10).map(|_| present(client, &challenge, &proof));
    let answers = futures_util::future::join_all(all).await;
    let (got, refused): (Vec<Answer>, Vec<Answer>) =
        answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!(got.len(), 1);
    for answer in refused {
        answer.problem(404, "claim-not-found");
    }
}

#[tokio::test]
async fn claims_are_counted_by_the_minute() {
    for kind in [Kind::Sqlite, Kind::MariaDb, Kind::Postgres] {
        let server = Server::start(kind, &[("FILESERVER_CLAIMS_PER_MINUTE", "3")]).await;
        let client = server.client();
        let sha1 = digests(b"x").sha1;
        for _ in 0..3 {
            assert_eq!(claim(client, &sha1, 1).await.status, 201);
        }
        let refused = claim(client, &sha1, 1).await;
        refused.problem(429, "too-many-claims");
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        // Another owner may claim, and so may this owner a minute later.
        let _ = server.database().sql("UPDATE tbl_claim SET owner = 'bob'");
        assert_eq!(claim(client, &sha1, 1).await.status, 201);
        let earlier = "UPDATE tbl_claim SET owner = 'anonymous', create_at = create_at - 60000000";
        let _ = server.database().sql(earlier);
        assert_eq!(claim(client, &sha1, 1).await.status, 201);
        server.finish().await;
    }
}

#[tokio::test]
async fn the_settings_say_whose_contents_can_be_claimed() {
    for (policy, of_another, own) in [("all", 201, 200), ("owner", 422, 200), ("off", 422, 422)] {
        let server = Server::start(
            Kind::Sqlite,
            &[
                ("FILESERVER_AUTH", "token"),
                ("FILESERVER_DEDUPLICATION", policy),
                ("FILESERVER_CLAIM_MIN_SIZE", "1000"),
            ],
        )
        .await;
        let (alice, bob) = (server.client_of("alice"), server.client_of("bob"));
        for (size, expected) in [(1000, (of_another, own)), (999, (422, 422))] {
            let bytes = random(size);
            let sha1 = alice
                .upload_raw("a.bin", bytes.clone())
                .await
                .meta()
                .file_sha1;
            let answers = (
                claim_and_prove(&bob, &sha1, &bytes).await,
                claim_and_prove(&alice, &sha1, &bytes).await,
            );
            assert_eq!(answers, expected, "{policy} {size}");
            // Who may not claim a content can upload it, and one copy is kept.
            let status = bob.upload_raw("b.bin", bytes.clone()).await.status;
            assert_eq!(status, if expected.0 == 201 { 200 } else { 201 });
            let of_bob = bob.get(&format!("/files/{sha1}/content")).await;
            assert_eq!(of_bob.body, bytes);
        }
        eventually(|| server.objects().len() == 2).await;
        server.finish().await;
    }
}

pub(crate) async fn claim_and_prove(client: &Client, sha1: &Sha1, bytes: &[u8]) -> u16 {
    let challenge = claim(client, sha1, bytes.len()).await.json();
    let proof = prove(&challenge, sha1, bytes);
    present(client, &challenge, &proof).await.status.as_u16()
}
