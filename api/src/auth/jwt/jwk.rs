//! The public keys of an issuer, as a JWK set (RFC 7517, RFC 7518 §6, RFC 8037 §2).

use std::ops::RangeInclusive;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Algorithm,
    key::{Key, PublicKey},
    source::Failure,
};

/// Members that only the owner of a key pair is to know.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// How many bits the modulus of an RSA key may have: fewer are not safe (RFC 7518 §3.3), and more
/// take long.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// Reads the usable keys of a set, in its order; the others are logged.
///
/// # Errors
///
/// When it is no set of keys, or none of them is usable.
pub(super) fn read_set(json: &[u8]) -> Result<Vec<Key>, Failure> {
    let document: Document = serde_json::from_slice(json).map_err(|error| Failure::Garbled {
        line: error.line(),
        column: error.column(),
    })?;
    let keys: Vec<_> = document.keys.iter().filter_map(read_or_log).collect();
    if keys.is_empty() {
        return Err(Failure::NoKey);
    }
    Ok(keys)
}

fn read_or_log(jwk: &Value) -> Option<Key> {
    let kid = jwk["kid"].as_str();
    if jwk["use"] == "enc" {
        // Many issuers have some, and nothing is wrong with that.
        tracing::debug!(kid, "a key for encryption is left out");
        return None;
    }
    let outcome = jwk.as_object().ok_or("it is no object").and_then(read);
    match outcome {
        Ok(key) => {
            if PRIVATE.iter().any(|name| jwk.get(name).is_some()) {
                tracing::warn!(
                    kid,
                    "the private part of a key is in the issuer's set, where all can read it"
                );
            }
            Some(key)
        }
        Err(reason) => {
            tracing::warn!(kid, reason, "a key of the issuer is left out");
            None
        }
    }
}

fn read(jwk: &Map<String, Value>) -> Result<Key, &'static str> {
    let public = match text(jwk, "kty")?.ok_or("it has no `kty`")? {
        "RSA" => rsa(jwk)?,
        "EC" => match text(jwk, "crv")? {
            Some("P-256") => PublicKey::P256(point(jwk, 32)?),
            Some("P-384") => PublicKey::P384(point(jwk, 48)?),
            _ => return Err("its curve is not known"),
        },
        "OKP" => match text(jwk, "crv")? {
            Some("Ed25519") => PublicKey::Ed25519(fixed(jwk, "x", 32)?),
            _ => return Err("its curve is not known"),
        },
        "oct" => return Err("it is a shared secret"),
        _ => return Err("its `kty` is not known"),
    };
    if text(jwk, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err("its `use` is not `sig`");
    }
    if let Some(operations) = jwk.get("key_ops") {
        let operations = operations.as_array().ok_or("its `key_ops` is no list")?;
        if !operations.iter().any(|operation| operation == "verify") {
            return Err("its `key_ops` has no `verify`");
        }
    }
    let algorithm = match text(jwk, "alg")? {
        None => None,
        Some(alg) => {
            let algorithm = Algorithm::named(alg).filter(|algorithm| public.fits(*algorithm));
            Some(algorithm.ok_or("its `alg` is not known, or for another kind of key")?)
        }
    };
    Ok(Key {
        kid: text(jwk, "kid")?.map(str::to_owned),
        algorithm,
        public,
    })
}

fn rsa(jwk: &Map<String, Value>) -> Result<PublicKey, &'static str> {
    let [n, e] = [bytes(jwk, "n")?, bytes(jwk, "e")?].map(|number| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        number[zeros..].to_vec()
    });
    let [Some(first), Some(n_end), Some(e_end)] = [n.first(), n.last(), e.last()] else {
        return Err("a number of it is zero");
    };
    let bits = n.len() * 8 - first.leading_zeros() as usize;
    if bits < *RSA_BITS.start() {
        return Err("it has fewer than 2048 bits");
    }
    if bits > *RSA_BITS.end() {
        return Err("it has more than 8192 bits");
    }
    // Signatures with other exponents are always found wrong.
    let small = e.iter().fold(0_u64, |value, byte| {
        value.saturating_mul(256).saturating_add((*byte).into())
    });
    if n_end % 2 == 0 || e_end % 2 == 0 || !(3..1 << 33).contains(&small) {
        return Err("no RSA key has such numbers, or the exponent is too large");
    }
    Ok(PublicKey::Rsa { n, e })
}

fn point(jwk: &Map<String, Value>, width: usize) -> Result<Vec<u8>, &'static str> {
    let mut point = vec![4];
    point.extend(fixed(jwk, "x", width)?);
    point.extend(fixed(jwk, "y", width)?);
    Ok(point)
}

fn fixed(jwk: &Map<String, Value>, name: &str, width: usize) -> Result<Vec<u8>, &'static str> {
    let bytes = bytes(jwk, name)?;
    if bytes.len() == width {
        Ok(bytes)
    } else {
        Err("a number of it has a wrong length")
    }
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, &'static str> {
    let text = text(jwk, name)?.ok_or("a number of it is missing")?;
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| "a number of it is no base64url")
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, &'static str> {
    jwk.get(name)
        .map(|value| value.as_str().ok_or("a member that is a text is none"))
        .transpose()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::testing::Signer, *};

    /// Reads a key with some members changed, or removed by a `null`.
    fn with(signer: &Signer, changes: &Value) -> Result<Key, &'static str> {
        let mut jwk = signer.jwk();
        for (name, value) in changes.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        let jwk = jwk.as_object_mut().unwrap();
        jwk.retain(|_, value| !value.is_null());
        read(jwk)
    }

    #[test]
    fn a_key_fits_the_algorithms_of_its_kind_only() {
        let (rsa, p256) = (Signer::new("RS256", None), Signer::new("ES256", None));
        let (p384, ed) = (Signer::new("ES384", None), Signer::new("EdDSA", None));
        for (signer, fitting) in [(&rsa, 6), (&p256, 1), (&p384, 1), (&ed, 1)] {
            let key = with(signer, &json!({})).unwrap();
            let all = <Algorithm as clap::ValueEnum>::value_variants();
            assert_eq!(all.iter().filter(|one| key.fits(**one)).count(), fitting);
        }
        let only = with(&rsa, &json!({"alg": "PS256"})).unwrap();
        assert!(only.fits(Algorithm::Ps256) && !only.fits(Algorithm::Rs256));
        assert!(with(&ed, &json!({"alg": "Ed25519"})).is_ok());
    }

    #[test]
    fn keys_for_something_else_are_left_out() {
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
    fn rsa_keys_have_sound_numbers() {
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
    fn a_set_is_what_remains_of_it() {
        let ec = Signer::new("ES256", Some("a")).jwk();
        let set = json!({"keys": [1, {}, {"kty": "oct", "k": "AAAA"}, ec], "x": 1});
        assert_eq!(read_set(set.to_string().as_bytes()).unwrap().len(), 1);
        for none in [r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct"}]}"#] {
            let failure = read_set(none.as_bytes());
            assert!(matches!(failure, Err(Failure::NoKey)), "{none}");
        }
        for garbled in ["", "{}", "[]", "\"secret\"", r#"{"keys":"secret"}"#] {
            let failure = read_set(garbled.as_bytes()).unwrap_err();
            assert!(matches!(failure, Failure::Garbled { .. }), "{garbled}");
            assert!(!format!("{failure:?} {failure}").contains("secret"));
        }
    }
}
