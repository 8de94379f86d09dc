//! A public key of the issuer, and the algorithms that it may be used with.

use jsonwebtoken::{DecodingKey, DecodingKeyKind, crypto};

use super::{algorithm::Algorithm, provider};

/// A key that verifies signatures.
#[derive(Debug)]
pub(super) struct Key {
    kid: Option<String>,
    /// The algorithms of the key's type and curve, or only its `alg` (RFC 8725 §3.1).
    algorithms: Vec<Algorithm>,
    public: DecodingKey,
}

impl Key {
    pub(super) fn new(
        kid: Option<String>,
        algorithms: Vec<Algorithm>,
        public: DecodingKey,
    ) -> Self {
        provider::install();
        Self {
            kid,
            algorithms,
            public,
        }
    }

    pub(super) fn has_kid(&self, kid: &str) -> bool {
        self.kid.as_deref() == Some(kid)
    }

    pub(super) fn supports(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Returns whether a signature, in base64url, is of this key and an algorithm that it supports.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &str, signature: &str) -> bool {
        self.supports(algorithm)
            && crypto::verify(
                signature,
                message.as_bytes(),
                &self.public,
                algorithm.into(),
            )
            .unwrap_or(false)
    }

    /// The bytes of the public key; `DecodingKey` itself cannot be compared.
    fn public_bytes(&self) -> [&[u8]; 2] {
        match self.public.kind() {
            DecodingKeyKind::SecretOrDer(bytes) => [bytes, &[]],
            DecodingKeyKind::RsaModulusExponent { n, e } => [n, e],
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.kid == other.kid
            && self.algorithms == other.algorithms
            && self.public_bytes() == other.public_bytes()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{jwk::parse_set, token};
    use super::*;

    #[test]
    fn the_examples_of_the_standards_are_verified() {
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
            let keys = parse_set(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
            let token = token::parse(token, &[algorithm]).unwrap();
            assert!(keys[0].verifies(algorithm, token.message, token.signature));
            assert!(!keys[0].verifies(algorithm, "else", token.signature));
            assert!(!keys[0].verifies(Algorithm::Ps256, token.message, token.signature));
        }
    }
}
