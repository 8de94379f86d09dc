//! A public key, and what it proves.

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};

use super::Algorithm;

/// A key that verifies signatures.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) kid: Option<String>,
    /// The only algorithm that it is for, if the issuer said so.
    pub(super) algorithm: Option<Algorithm>,
    pub(super) public: PublicKey,
}

/// A public key of a kind that is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    /// Modulus and exponent, big-endian, without leading zeros.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point (SEC 1 §2.3.3).
    P256(Vec<u8>),
    /// An uncompressed point.
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Key {
    /// Whether this is what a `kid` names.
    pub(super) fn is(&self, kid: &str) -> bool {
        self.kid.as_deref() == Some(kid)
    }

    /// Whether this is a key for an algorithm (RFC 8725 §3.1).
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|only| only == algorithm) && self.public.fits(algorithm)
    }

    /// Whether a signature is this key's, with an algorithm that it fits.
    pub(super) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        let with = |scheme: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(scheme, key).verify(signed, signature)
        };
        let verdict = match &self.public {
            _ if !self.fits(algorithm) => return false,
            PublicKey::Rsa { n, e } => {
                let Some(parameters) = algorithm.rsa() else {
                    return false;
                };
                RsaPublicKeyComponents { n, e }.verify(parameters, signed, signature)
            }
            PublicKey::P256(point) => with(&ECDSA_P256_SHA256_FIXED, point),
            PublicKey::P384(point) => with(&ECDSA_P384_SHA384_FIXED, point),
            PublicKey::Ed25519(key) => with(&ED25519, key),
        };
        verdict.is_ok()
    }
}

impl PublicKey {
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa { .. } => algorithm.rsa().is_some(),
            Self::P256(_) => algorithm == Algorithm::Es256,
            Self::P384(_) => algorithm == Algorithm::Es384,
            Self::Ed25519(_) => algorithm == Algorithm::EdDsa,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{compact, jwk::read_set};
    use super::*;

    #[test]
    fn the_examples_of_the_standards_are_proven() {
        let rsa = concat!(
            "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEz",
            "P1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf6",
            "3kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5Zw",
            "Kh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRW",
            "yuXpoQ",
        );
        let examples = [
            // RFC 7515 appendix A.2.
            (
                Algorithm::Rs256,
                json!({"kty": "RSA", "n": rsa, "e": "AQAB"}),
                concat!(
                    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6",
                    "Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0X",
                    "F9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dn",
                    "ZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K",
                    "0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6Ie",
                    "YI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
                ),
            ),
            // RFC 7515 appendix A.3.
            (
                Algorithm::Es256,
                json!({
                    "kty": "EC", "crv": "P-256",
                    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
                }),
                concat!(
                    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6",
                    "Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4Gawx",
                    "aepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
                ),
            ),
            // RFC 8037 appendix A.4.
            (
                Algorithm::EdDsa,
                json!({
                    "kty": "OKP", "crv": "Ed25519",
                    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                }),
                concat!(
                    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLW",
                    "G1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
                ),
            ),
        ];
        for (algorithm, jwk, token) in examples {
            let keys = read_set(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
            let token = compact::read(token, &[algorithm]).unwrap();
            assert!(keys[0].verifies(algorithm, token.signed, &token.signature));
            assert!(!keys[0].verifies(algorithm, b"else", &token.signature));
            assert!(!keys[0].verifies(Algorithm::Ps256, token.signed, &token.signature));
        }
    }
}
