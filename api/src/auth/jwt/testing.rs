//! An issuer for tests: key pairs that sign tokens, and a server that publishes the keys.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use reqwest::Url;
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
        RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
    },
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{
    algorithm::Algorithm,
    settings::{JwtSettings, KeySource},
};

/// The time at which the tests verify tokens.
pub(super) const NOW: u64 = 1_000_000_000;

pub(super) fn settings() -> JwtSettings {
    JwtSettings {
        issuer: "https://issuer.example".to_owned(),
        audiences: vec!["files".to_owned(), "files-2".to_owned()],
        keys: KeySource::File(PathBuf::from("/nowhere/keys.json")),
        algorithms: vec![
            Algorithm::Rs256,
            Algorithm::Ps256,
            Algorithm::Es256,
            Algorithm::Es384,
            Algorithm::EdDsa,
        ],
        owner_claim: "sub".to_owned(),
        leeway: Duration::from_secs(5),
    }
}

/// Claims that are accepted.
pub(super) fn claims() -> Value {
    json!({
        "iss": "https://issuer.example",
        "aud": "files",
        "sub": "alice",
        "scope": "files.read files.write",
        "iat": NOW - 60,
        "exp": NOW + 60,
    })
}

/// A JWK set of these keys.
pub(super) fn set(keys: &[&Signer]) -> Value {
    json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()})
}

/// A key pair of an issuer.
pub(super) struct Signer {
    pub(super) alg: &'static str,
    pub(super) kid: Option<&'static str>,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
    Ec(EcdsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
}

impl Signer {
    /// A key pair for an algorithm: a fixed one for RSA, a new one otherwise.
    pub(super) fn new(alg: &'static str, kid: Option<&'static str>) -> Self {
        let pair = match alg {
            "RS256" => Pair::rsa(&RSA_PKCS1_SHA256),
            "PS256" => Pair::rsa(&RSA_PSS_SHA256),
            "ES256" => Pair::ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            "ES384" => Pair::ec(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            _ => {
                let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
                Pair::Ed(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
            }
        };
        Self { alg, kid, pair }
    }

    /// The public key.
    pub(super) fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::Rsa(key, _) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
                json!({"kty": "RSA", "n": encode(&public.n), "e": encode(&public.e)})
            }
            Pair::Ec(key, crv) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({"kty": "EC", "crv": crv, "x": encode(x), "y": encode(y)})
            }
            Pair::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key().as_ref())})
            }
        };
        if let Some(kid) = self.kid {
            jwk["kid"] = json!(kid);
        }
        jwk
    }

    /// A token with the header that fits the key.
    pub(super) fn token(&self, claims: &Value) -> String {
        let mut header = json!({"alg": self.alg, "typ": "at+jwt"});
        if let Some(kid) = self.kid {
            header["kid"] = json!(kid);
        }
        self.sign(&header, claims.to_string().as_bytes())
    }

    /// A token with any header and any content.
    pub(super) fn sign(&self, header: &Value, content: &[u8]) -> String {
        let [header, content] =
            [header.to_string().as_bytes(), content].map(|part| URL_SAFE_NO_PAD.encode(part));
        let signed = format!("{header}.{content}");
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Rsa(key, encoding) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(*encoding, &random, signed.as_bytes(), &mut signature)
                    .unwrap();
                signature
            }
            Pair::Ec(key, _) => {
                let signature = key.sign(&random, signed.as_bytes()).unwrap();
                signature.as_ref().to_vec()
            }
            Pair::Ed(key) => key.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl Pair {
    fn rsa(encoding: &'static dyn RsaEncoding) -> Self {
        let key = STANDARD.decode(RSA_PRIVATE_KEY).unwrap();
        Self::Rsa(Box::new(RsaKeyPair::from_der(&key).unwrap()), encoding)
    }

    fn ec(algorithm: &'static EcdsaSigningAlgorithm, crv: &'static str) -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap();
        Self::Ec(key, crv)
    }
}

/// An HTTP server that publishes a document.
pub(super) struct Publisher {
    pub(super) url: Url,
    response: Arc<Mutex<String>>,
    request_count: Arc<AtomicUsize>,
}

impl Publisher {
    /// Starts a server that delays each response.
    pub(super) async fn start(document: &Value, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let publisher = Self {
            url: format!("http://127.0.0.1:{port}/jwks").parse().unwrap(),
            response: Arc::default(),
            request_count: Arc::default(),
        };
        publisher.publish(document);
        let (response, request_count) =
            (publisher.response.clone(), publisher.request_count.clone());
        tokio::spawn(async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(connection.read_u8().await.unwrap());
                }
                request_count.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(delay).await;
                let response = response.lock().unwrap().clone();
                // The client closes the connection when the response is too large.
                let _ = connection.write_all(response.as_bytes()).await;
            }
        });
        publisher
    }

    /// Publishes a document from now on.
    pub(super) fn publish(&self, document: &Value) {
        self.respond_with("200 OK", &document.to_string());
    }

    /// Sends this response from now on.
    pub(super) fn respond_with(&self, status: &str, body: &str) {
        *self.response.lock().unwrap() =
            format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n{body}");
    }

    /// The number of requests so far.
    pub(super) fn requests(&self) -> usize {
        self.request_count.load(Ordering::SeqCst)
    }
}

/// Generated for these tests, and used nowhere else.
const RSA_PRIVATE_KEY: &str = "MIIEowIBAAKCAQEAtWkg8mJF3sfEfSoJJKmTPqtg6NjHN8aRNjF4fbYvrlXyUPeSpOo9jVpNcyIKx8x3RU0S/ECLTvDE\
    TEeDCMo5PZ8yfItWWeF9c1J/BwHr1I37M98MdbSvg1vIC2+s9ykdEi1Ws3R0V9JQL753wJOLD9W8Qwd3B1auKDd7k2vd\
    wmqGOmllqtAMBKdJbzanST0BJAyrWRVzFmjD0g1KVX4UkdXgVQcnl0HIutYuoF9s7vSvKBVyDO+pwLgdWyxpZXsVKFWx\
    wj3l8zI5QO+wq/JEq8Y6sg+ggfmMC3Wc8+V3kY79VGUSbAyaryoRZii1bFltt1hdeFpFZIS/1gkJv9SaswIDAQABAoIB\
    ACnrw83PMNc08a58zsUWnKygPNJB+fNlIvxTfUULm0Qdn1Pfihcq/BNUmU4wQS5/jNZKY8dAARE6aRo5cknPNWAMkEWg\
    i1FU3sEOAMW1R3KEZtbLRd1TZjWkOXuPEHjDGvEu4fixQgtjUd1eldy+G6YKnakdqf9bo/4uKBPems3InWeZzYF9nMd6\
    pQWKZDn4opRH2VJ1FbIzyyH1+ZHdOy75BzlmztomCNY9QsWk07xKK+fyy/bU688V680aLtpGIZECjPX6zgfmr4FDjU0i\
    vOr91B3W8gmp/VQs0yaq1KofAb6vwY1uROErT9dYMbSLOZRxRfRwiqqFiAVfsg+2YYkCgYEA1/MzVm5BbcQjMMJEIpFQ\
    AF9FKeJcgKQ4+f0qwiuTdCPPKKsEEP6viZidHJ4ysOJ7L6NhZDFAl6CNCY7MId84Rx5EvH10qvJNbjB0Epwhn1QdhnGB\
    TXk0ka5N9/Jdnt76jXJU14TdKpZkaOEbWf3QjE7DSM/uLeLQsiCu+RMrMvsCgYEA1w4UyFQX+4jDpXS6B5+/SSb7unVS\
    LXpRTZNheHz352FRxopo6aHt8REy+fBmEODsaDKQcHKRwdc/7hxh1dan5HW5iDATCnXuogF/JjO31IRh4jpM7O7sS+E6\
    9cocnId7CpM9p7OOOrLY5Qhk8YiiqCCIQsjrfoJRJgaypGyFaakCgYAGoFzT6yAw2RLnXR6wHNtil4nMxjhmbiOdcCpO\
    uP2WU774lX7Tcq06QKeZiDUv/lMfXBkR9PzxaijJwUr8Qxg7/m7HheX9lN/RYMU/CPFzLSaWyIbaNLzrN3kHAbXjuR3h\
    F0AJOPd8Zg8AtN+c/E/Y7lXJty+s0sfqn1wfInpx3wKBgDdsX5rJYWzn8FQh4xe36dp2e4WwWr9xuKZfh01AF7u/7w1V\
    +nfLzcDFB/g2JnfPH94yudrhDAOC7+zzz5sGuTo9xNT+XsnhXuDNtfEofwX8ICXnlI+ze56Kq2FQ91K379Pn4onn0o36\
    Lb/JDArbheACkltz4I04FKXSMBQEC9YRAoGBALTFYoCB15FCM58UwikOS47jBPyHmiqUkGd68POBU9TJF+mLdLEuSCh9\
    MYLo28IsELr3xKko4TzGarxSlg+bPTNP+3dHcQ5VTUdxPBIDVBd3sb3u7itaZEXBmmaUV1Pa3zgrVPlWvTE2m+TjVGS2\
    h0Y5xe+j4WMDJ8VJfmfodxdB";
