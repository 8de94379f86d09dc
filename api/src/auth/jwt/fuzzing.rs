//! Properties of JWTs and of the keys that verify them.

#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a property that does not hold panics"
)]

use std::{path::PathBuf, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::{
    algorithm::Algorithm,
    claims, jwk,
    key_set::KeySet,
    settings::{JwtSettings, KeySource},
    token,
};

const NOW: u64 = 1_000_000_000;

/// Only what the issuer signed is accepted, and only if its claims are for this service and this time.
///
/// An input is a token, or the claims of one that the issuer signs.
pub fn jwts(input: &[u8]) {
    let _ = jwk::parse_set(input);
    let issuer = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let keys = keys_of(&issuer);
    if let Ok(text) = str::from_utf8(input)
        && let Ok(token) = token::parse(text, &[Algorithm::EdDsa])
        && keys.verify(&token).is_ok()
    {
        assert_eq!(sign(&issuer, token.message), text);
    }

    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA"}"#);
    let signed = sign(
        &issuer,
        &format!("{header}.{}", URL_SAFE_NO_PAD.encode(input)),
    );
    if let Ok(token) = token::parse(&signed, &[Algorithm::EdDsa]) {
        assert!(keys.verify(&token).is_ok() && token.claims == input);
        if let Ok(verified) = claims::check(&token.claims, &settings(), NOW) {
            let claims: Value = serde_json::from_slice(input).unwrap();
            assert_eq!(claims["iss"], "issuer");
            assert_eq!(claims["sub"], verified.subject.as_str());
            assert!(claims["aud"].to_string().contains("\"files\""));
            assert!(verified.expires_at > NOW && !verified.subject.is_empty());
        }
    }
    let at = input.len() % signed.len();
    let bit = input.first().copied().unwrap_or_default() % 7;
    let mut forged = signed.into_bytes();
    forged[at] ^= 1 << bit;
    if let Ok(forged) = String::from_utf8(forged)
        && let Ok(token) = token::parse(&forged, &[Algorithm::EdDsa])
    {
        assert!(keys.verify(&token).is_err(), "{forged}");
    }
}

fn keys_of(issuer: &Ed25519KeyPair) -> KeySet {
    let x = URL_SAFE_NO_PAD.encode(issuer.public_key().as_ref());
    let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]}).to_string();
    KeySet {
        keys: jwk::parse_set(set.as_bytes()).unwrap(),
        ..KeySet::default()
    }
}

fn sign(issuer: &Ed25519KeyPair, message: &str) -> String {
    let signature = issuer.sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

fn settings() -> JwtSettings {
    JwtSettings {
        issuer: "issuer".to_owned(),
        audiences: vec!["files".to_owned()],
        keys: KeySource::File(PathBuf::new()),
        algorithms: vec![Algorithm::EdDsa],
        owner_claim: "sub".to_owned(),
        leeway: Duration::from_secs(5),
    }
}
