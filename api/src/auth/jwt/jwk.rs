//! The issuer's JWK set: which of its keys may verify tokens (RFC 7517, RFC 7518 §6, RFC 8037 §2).

use jsonwebtoken::jwk::{Jwk, KeyOperations, PublicKeyUse};
use serde::Deserialize;
use serde_json::Value;

use super::{algorithm::Algorithm, error::ReadError, key::Key, public_key};

/// Members that only the holder of the private key may know.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A JWK set. jsonwebtoken's own type refuses the whole set for one key that it cannot read.
#[derive(Deserialize)]
struct KeySetDocument {
    keys: Vec<Value>,
}

/// Parses a set and returns its usable keys, in order; the others are logged.
///
/// # Errors
///
/// When the document is no JWK set, or has no usable key.
pub(super) fn parse_set(json: &[u8]) -> Result<Vec<Key>, ReadError> {
    let document: KeySetDocument =
        serde_json::from_slice(json).map_err(|error| ReadError::NoKeySet {
            line: error.line(),
            column: error.column(),
        })?;
    let keys: Vec<_> = document.keys.iter().filter_map(parse_or_log).collect();
    if keys.is_empty() {
        return Err(ReadError::NoKey);
    }
    Ok(keys)
}

fn parse_or_log(jwk: &Value) -> Option<Key> {
    let kid = jwk["kid"].as_str();
    if jwk["use"] == "enc" {
        // Usual in the sets of many issuers, and no reason for a warning.
        tracing::debug!(kid, "ignored an issuer key that is for encryption");
        return None;
    }
    match parse(jwk) {
        Ok(key) => {
            if PRIVATE.iter().any(|name| jwk.get(name).is_some()) {
                tracing::warn!(kid, "the issuer's key set publishes a private key");
            }
            Some(key)
        }
        Err(reason) => {
            tracing::warn!(kid, reason, "ignored an unusable issuer key");
            None
        }
    }
}

fn parse(json: &Value) -> Result<Key, &'static str> {
    let jwk = Jwk::deserialize(json).map_err(|_| "a member has a wrong type")?;
    let (public, algorithms) = public_key::parse(&jwk.algorithm)?;
    if !matches!(
        jwk.common.public_key_use,
        None | Some(PublicKeyUse::Signature)
    ) {
        return Err("its `use` is not `sig`");
    }
    if let Some(operations) = jwk.common.key_operations
        && !operations.contains(&KeyOperations::Verify)
    {
        return Err("its `key_ops` do not include `verify`");
    }
    // jsonwebtoken does not know the name `Ed25519`, so `alg` is read from the JSON.
    let algorithms = match json.get("alg") {
        None => algorithms.to_vec(),
        Some(alg) => {
            let algorithm = alg.as_str().and_then(Algorithm::named);
            let algorithm = algorithm.filter(|algorithm| algorithms.contains(algorithm));
            vec![algorithm.ok_or("its `alg` is not supported, or does not fit its `kty`")?]
        }
    };
    Ok(Key::new(jwk.common.key_id, algorithms, public))
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::json;

    use super::{super::testing::Signer, *};

    /// Parses a key with some members changed, or removed by a `null`.
    fn with(signer: &Signer, changes: &Value) -> Result<Key, &'static str> {
        let mut jwk = signer.jwk();
        for (name, value) in changes.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        let members = jwk.as_object_mut().unwrap();
        members.retain(|_, value| !value.is_null());
        parse(&jwk)
    }

    #[test]
    fn a_key_supports_the_algorithms_of_its_type_only() {
        let (rsa, p256) = (Signer::new("RS256", None), Signer::new("ES256", None));
        let (p384, ed) = (Signer::new("ES384", None), Signer::new("EdDSA", None));
        for (signer, supported) in [(&rsa, 6), (&p256, 1), (&p384, 1), (&ed, 1)] {
            let key = with(signer, &json!({})).unwrap();
            let all = <Algorithm as clap::ValueEnum>::value_variants();
            assert_eq!(
                all.iter().filter(|one| key.supports(**one)).count(),
                supported
            );
        }
        let only = with(&rsa, &json!({"alg": "PS256"})).unwrap();
        assert!(only.supports(Algorithm::Ps256) && !only.supports(Algorithm::Rs256));
        assert!(with(&ed, &json!({"alg": "Ed25519"})).is_ok());
    }

    #[test]
    fn keys_for_other_purposes_are_ignored() {
        let ec = Signer::new("ES256", Some("a"));
        for changes in [
            json!({"use": "enc"}),
            json!({"use": 1}),
            json!({"key_ops": []}),
            json!({"key_ops": ["sign"]}),
            json!({"key_ops": "verify"}),
            json!({"alg": "HS256"}),
            json!({"alg": "ES384"}),
            json!({"alg": "RS256"}),
            json!({"alg": "ECDH-ES"}),
            json!({"kid": 1}),
            json!({"kty": null}),
            json!({"kty": "oct", "k": "AAAA"}),
            json!({"kty": "RSA"}),
            json!({"kty": "OKP"}),
            json!({"kty": "AKP"}),
            json!({"crv": "P-521"}),
            json!({"crv": "P-384"}),
            json!({"crv": "Ed25519"}),
            json!({"kty": "OKP", "crv": "P-256"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}),
            json!({"crv": "secp256k1"}),
            json!({"x": null}),
            json!({"x": "AAAA"}),
            json!({"y": "A=="}),
        ] {
            assert!(with(&ec, &changes).is_err(), "{changes}");
        }
        for changes in [
            json!({"use": "sig", "key_ops": ["sign", "verify"], "alg": "ES256"}),
            json!({"d": "AAAA", "x5c": ["AAAA"], "new": {}}),
        ] {
            assert!(with(&ec, &changes).is_ok(), "{changes}");
        }
    }

    #[test]
    fn rsa_keys_with_unsafe_numbers_are_ignored() {
        let rsa = Signer::new("RS256", None);
        let number = |bytes: usize, last: u8| {
            let mut number = vec![0xff; bytes];
            number[bytes - 1] = last;
            URL_SAFE_NO_PAD.encode(number)
        };
        for (changes, reason) in [
            (json!({"n": number(128, 1)}), "fewer"),
            (json!({"n": format!("AH{}", &number(255, 1)[2..])}), "fewer"),
            (json!({"n": number(1025, 1)}), "more"),
            (json!({"n": number(256, 2)}), "no RSA key"),
            (json!({"n": ""}), "zero"),
            (json!({"e": "AAAA"}), "zero"),
            (json!({"e": "AQ"}), "no RSA key"),
            (json!({"e": "AQAA"}), "no RSA key"),
            (json!({"e": number(6, 1)}), "no RSA key"),
            (json!({"e": null}), "missing"),
        ] {
            let found = with(&rsa, &changes).unwrap_err();
            assert!(found.contains(reason), "{changes} {found}");
        }
        let n = number(256, 1);
        let padded =
            URL_SAFE_NO_PAD.encode([&[0], URL_SAFE_NO_PAD.decode(&n).unwrap().as_slice()].concat());
        let [plain, padded] = [n, padded].map(|n| with(&rsa, &json!({"n": n})).unwrap());
        assert_eq!(plain, padded);
    }

    #[test]
    fn unusable_keys_do_not_spoil_the_set() {
        let ec = Signer::new("ES256", Some("a")).jwk();
        let set = json!({"keys": [1, {}, {"kty": "oct", "k": "AAAA"}, ec], "x": 1});
        assert_eq!(parse_set(set.to_string().as_bytes()).unwrap().len(), 1);
        for none in [r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct"}]}"#] {
            let error = parse_set(none.as_bytes());
            assert!(matches!(error, Err(ReadError::NoKey)), "{none}");
        }
        for other in ["", "{}", "[]", "\"secret\"", r#"{"keys":"secret"}"#] {
            let error = parse_set(other.as_bytes()).unwrap_err();
            assert!(matches!(error, ReadError::NoKeySet { .. }), "{other}");
            assert!(!format!("{error:?} {error}").contains("secret"));
        }
    }
}
