//! Attacks on the verifier as a whole, and the refresh of its keys.

use serde_json::{Value, json};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::NamedTempFile;

use super::{
    testing::{NOW, Publisher, Signer, claims, set, settings},
    *,
};

fn write(path: &Path, document: &Value) {
    std::fs::write(path, document.to_string()).unwrap();
}

async fn from_file(document: &Value) -> (JwtVerifier, NamedTempFile) {
    let file = NamedTempFile::new().unwrap();
    write(file.path(), document);
    let keys = KeySource::File(file.path().to_owned());
    let verifier = JwtVerifier::open(JwtSettings { keys, ..settings() }).await;
    (verifier.unwrap(), file)
}

/// A verifier whose requests may start a refresh after the interval.
async fn from(keys: KeySource, min_interval: Duration) -> JwtVerifier {
    let keys = Keys::with_min_interval(&keys, min_interval).await.unwrap();
    let settings = settings();
    JwtVerifier { settings, keys }
}

async fn refusal(verifier: &JwtVerifier, token: &str) -> Option<Refusal> {
    verifier.verify(token, NOW).await.err()
}

#[tokio::test]
async fn every_type_of_key_verifies_its_tokens() {
    for alg in ["RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"] {
        for kid in [None, Some("a")] {
            let signer = Signer::new(alg, kid);
            let (verifier, _file) = from_file(&set(&[&signer])).await;
            let token = signer.token(&claims());
            let accepted = verifier.verify(&token, NOW).await.unwrap();
            assert_eq!(accepted.subject, "alice");

            // Other claims with the same signature.
            let other = signer.token(&json!({"sub": "bob"}));
            let (forged, _) = other.rsplit_once('.').unwrap();
            let (_, signature) = token.rsplit_once('.').unwrap();
            for forged in [format!("{forged}.{signature}"), format!("{forged}.")] {
                let refusal = refusal(&verifier, &forged).await;
                assert_eq!(refusal, Some(Refusal::Signature), "{alg}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_is_used_for_nothing_but_its_algorithm() {
    let rsa = Signer::new("RS256", Some("rsa"));
    let pss = Signer::new("PS256", Some("rsa"));
    let ec = Signer::new("ES256", Some("ec"));
    let mut document = set(&[&rsa, &ec]);
    document["keys"][0]["alg"] = json!("RS256");
    let (verifier, _file) = from_file(&document).await;
    assert_eq!(refusal(&verifier, &rsa.token(&claims())).await, None);
    let with =
        |signer: &Signer, header: Value| signer.sign(&header, claims().to_string().as_bytes());
    for (token, expected) in [
        (pss.token(&claims()), Refusal::Algorithm),
        (
            with(&rsa, json!({"alg": "RS256", "kid": "ec"})),
            Refusal::Algorithm,
        ),
        (
            with(&ec, json!({"alg": "ES256", "kid": "rsa"})),
            Refusal::Algorithm,
        ),
        (
            with(&ec, json!({"alg": "ES384", "kid": "ec"})),
            Refusal::Algorithm,
        ),
        (
            with(&rsa, json!({"alg": "HS256", "kid": "rsa"})),
            Refusal::Algorithm,
        ),
        (
            with(&rsa, json!({"alg": "none", "kid": "rsa"})),
            Refusal::Algorithm,
        ),
        (
            with(&rsa, json!({"alg": "RS384", "kid": "rsa"})),
            Refusal::Algorithm,
        ),
        (with(&ec, json!({"alg": "EdDSA"})), Refusal::UnknownKey),
        (
            with(&ec, json!({"alg": "ES256", "kid": "?", "jwk": ec.jwk()})),
            Refusal::UnknownKey,
        ),
    ] {
        assert_eq!(refusal(&verifier, &token).await, Some(expected), "{token}");
    }
}

#[tokio::test]
async fn without_a_kid_some_keys_are_tried() {
    let signers: Vec<_> = (0..9).map(|_| Signer::new("EdDSA", None)).collect();
    let (verifier, _file) = from_file(&set(&signers.iter().collect::<Vec<_>>())).await;
    assert_eq!(refusal(&verifier, &signers[7].token(&claims())).await, None);
    let late = refusal(&verifier, &signers[8].token(&claims())).await;
    assert_eq!(late, Some(Refusal::Signature));
}

#[tokio::test]
async fn settings_that_accept_no_token_are_refused() {
    let open = |change: fn(&mut JwtSettings)| {
        let mut settings = settings();
        change(&mut settings);
        JwtVerifier::open(settings)
    };
    for change in [
        |settings: &mut JwtSettings| settings.issuer.clear(),
        |settings: &mut JwtSettings| settings.audiences.clear(),
        |settings: &mut JwtSettings| settings.algorithms.clear(),
        |settings: &mut JwtSettings| settings.owner_claim.clear(),
    ] {
        assert!(matches!(open(change).await, Err(OpenError::Missing(_))));
    }
    assert!(matches!(open(|_| ()).await, Err(OpenError::File { .. })));
    let plain = |settings: &mut JwtSettings| {
        settings.keys = KeySource::Url("http://issuer.example/".parse().unwrap());
    };
    assert!(matches!(open(plain).await, Err(OpenError::Url(_))));
}

#[tokio::test]
async fn a_changed_file_is_read_and_an_unusable_one_changes_nothing() {
    let (old, new) = (
        Signer::new("ES256", Some("old")),
        Signer::new("EdDSA", Some("new")),
    );
    let (verifier, file) = from_file(&set(&[&old])).await;
    let [of_old, of_new] = [&old, &new].map(|signer| signer.token(&claims()));
    assert_eq!(verifier.generation(), 1);
    verifier.refresh().await;
    write(file.path(), &json!({"keys": [old.jwk()], "x": 1}));
    verifier.refresh().await;
    assert_eq!(verifier.generation(), 1);
    for nothing in [
        json!({"keys": []}),
        json!(null),
        json!({"keys": [{"kty": "oct"}]}),
    ] {
        write(file.path(), &nothing);
        verifier.refresh().await;
    }
    std::fs::write(file.path(), "").unwrap();
    verifier.refresh().await;
    std::fs::remove_file(file.path()).unwrap();
    verifier.refresh().await;
    assert_eq!(verifier.generation(), 1);
    assert_eq!(refusal(&verifier, &of_old).await, None);
    // The last refresh was just now.
    write(file.path(), &set(&[&new]));
    assert_eq!(refusal(&verifier, &of_new).await, Some(Refusal::UnknownKey));

    verifier.refresh().await;
    assert_eq!(verifier.generation(), 2);
    assert_eq!(refusal(&verifier, &of_new).await, None);
    assert_eq!(refusal(&verifier, &of_old).await, Some(Refusal::UnknownKey));
}

#[tokio::test]
async fn an_unknown_key_starts_a_refresh_with_and_without_a_kid() {
    for kid in [Some("new"), None] {
        let (old, new) = (Signer::new("ES256", Some("old")), Signer::new("ES256", kid));
        let publisher = Publisher::start(&set(&[&old]), Duration::ZERO).await;
        let verifier = from(KeySource::Url(publisher.url.clone()), Duration::ZERO).await;
        publisher.publish(&set(&[&new]));
        assert_eq!(refusal(&verifier, &old.token(&claims())).await, None);
        assert_eq!(publisher.requests(), 1);
        assert_eq!(refusal(&verifier, &new.token(&claims())).await, None);
        assert_eq!((publisher.requests(), verifier.generation()), (2, 2));
    }
}

#[tokio::test]
async fn a_flood_of_unknown_keys_causes_one_refresh() {
    let (old, new) = (
        Signer::new("EdDSA", Some("old")),
        Signer::new("EdDSA", Some("new")),
    );
    let interval = Duration::from_secs(1);
    let publisher = Publisher::start(&set(&[&old]), interval / 10).await;
    let verifier = Arc::new(from(KeySource::Url(publisher.url.clone()), interval).await);
    publisher.publish(&set(&[&old, &new]));
    tokio::time::sleep(interval).await;
    let began = Instant::now();
    let token: Arc<str> = new.token(&claims()).into();
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let (verifier, token) = (Arc::clone(&verifier), Arc::clone(&token));
            tokio::spawn(async move { refusal(&verifier, &token).await })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), None);
    }
    let unknown = Signer::new("EdDSA", Some("unknown")).token(&claims());
    for _ in 0..50 {
        assert_eq!(
            refusal(&verifier, &unknown).await,
            Some(Refusal::UnknownKey)
        );
    }
    // A busy machine may need more than an interval for all of them.
    let most = 2 + usize::try_from(began.elapsed().as_secs()).unwrap();
    let requests = publisher.requests();
    assert!((2..=most).contains(&requests), "{requests}");
}

#[tokio::test]
async fn an_aborted_request_does_not_keep_new_keys_away() {
    let (old, new) = (
        Signer::new("EdDSA", Some("old")),
        Signer::new("EdDSA", Some("new")),
    );
    let publisher = Publisher::start(&set(&[&old]), Duration::from_millis(100)).await;
    let verifier = from(KeySource::Url(publisher.url.clone()), Duration::ZERO).await;
    publisher.publish(&set(&[&new]));
    let token = new.token(&claims());
    let aborted = tokio::time::timeout(Duration::from_millis(10), verifier.verify(&token, NOW));
    assert!(aborted.await.is_err());
    assert_eq!(refusal(&verifier, &token).await, None);
    assert_eq!(publisher.requests(), 2);
}

#[tokio::test]
async fn an_unavailable_key_server_is_asked_again() {
    let signer = Signer::new("EdDSA", Some("a"));
    let publisher = Publisher::start(&json!({}), Duration::ZERO).await;
    publisher.respond_with("503 Service Unavailable", "");
    let verifier = from(KeySource::Url(publisher.url.clone()), Duration::ZERO).await;
    let token = signer.token(&claims());
    assert_eq!(verifier.generation(), 0);
    assert_eq!(
        refusal(&verifier, &token).await,
        Some(Refusal::KeysUnavailable)
    );
    publisher.publish(&set(&[&signer]));
    assert_eq!(refusal(&verifier, &token).await, None);
    for (status, body) in [
        ("500 Oh", ""),
        ("200 OK", "<html>"),
        ("200 OK", r#"{"keys":[]}"#),
    ] {
        publisher.respond_with(status, body);
        verifier.refresh().await;
        assert_eq!(refusal(&verifier, &token).await, None);
    }
    assert_eq!(verifier.generation(), 1);
}

#[tokio::test]
async fn no_change_to_a_token_is_accepted_or_panics() {
    let signer = Signer::new("EdDSA", Some("a"));
    let (verifier, _file) = from_file(&set(&[&signer])).await;
    let token = signer.token(&claims());
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    for _ in 0..3_000 {
        let mut bytes = token.clone().into_bytes();
        for _ in 0..=random(3) {
            let Some(at) = (!bytes.is_empty()).then(|| random(bytes.len())) else {
                break;
            };
            match random(5) {
                0 => bytes[at] = b".AQgw_-=e\"{\xc3\xa9\0"[random(14)],
                1 => bytes[at] ^= 1 << random(8),
                2 => drop(bytes.remove(at)),
                3 => bytes.insert(at, b".A_"[random(3)]),
                _ => bytes.truncate(at + 1),
            }
        }
        let changed = String::from_utf8_lossy(&bytes);
        if changed != token {
            assert!(refusal(&verifier, &changed).await.is_some(), "{changed}");
        }
        // The same to the claims before they are signed: a signed token may be malformed, too.
        let mut content = claims().to_string().into_bytes();
        let at = random(content.len());
        content[at] = b"{}[]\",:019eE-.tn\xff\0"[random(18)];
        let header = json!({"alg": "EdDSA", "kid": "a"});
        let _ = verifier.verify(&signer.sign(&header, &content), NOW).await;
    }
}
