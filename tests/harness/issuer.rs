//! An issuer of JWTs, whose keys are in a file.

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Issues tokens for the audience `files`, signed with an Ed25519 key of the id `1`.
pub struct Issuer {
    key: Ed25519KeyPair,
    folder: TempDir,
}

impl Issuer {
    /// The issuer's name.
    pub const NAME: &str = "https://issuer.example.org/";

    /// Makes an issuer, and the file of its keys.
    #[must_use]
    pub fn new() -> Self {
        let issuer = Self {
            key: new_key(),
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::write(issuer.keys(), issuer.key_set("1").to_string()).unwrap();
        issuer
    }

    /// The file of its keys.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.folder.path().join("keys.json")
    }

    /// Replaces its key with a new one of another id.
    pub fn rotate(&mut self, kid: &str) {
        self.key = new_key();
        std::fs::write(self.keys(), self.key_set(kid).to_string()).unwrap();
    }

    fn key_set(&self, kid: &str) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x, "use": "sig"}]})
    }

    /// The claims of a valid token for a subject.
    #[must_use]
    pub fn claims(subject: &str, scope: &str) -> Value {
        json!({
            "iss": Self::NAME, "aud": "files", "sub": subject, "scope": scope,
            "exp": crate::server::now() + 600,
        })
    }

    /// Signs claims with the key of this id.
    #[must_use]
    pub fn sign(&self, kid: &str, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": kid});
        let message = message(&header, claims);
        let signature = self.key.sign(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A token without a signature.
    #[must_use]
    pub fn unsigned(claims: &Value) -> String {
        format!("{}.", message(&json!({"alg": "none"}), claims))
    }

    /// A token that is signed with the public key as if it were a shared secret.
    #[must_use]
    pub fn confused(&self, claims: &Value) -> String {
        let message = message(&json!({"alg": "HS256", "kid": "1"}), claims);
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.key.public_key().as_ref());
        let tag = hmac::sign(&key, message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
    }
}

impl Default for Issuer {
    fn default() -> Self {
        Self::new()
    }
}

fn new_key() -> Ed25519KeyPair {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()
}

fn message(header: &Value, claims: &Value) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    format!("{header}.{claims}")
}
