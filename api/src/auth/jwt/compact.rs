//! A token as it comes: three parts, and a header that says how to verify it (RFC 7515 §7.1).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize,
    de::{Deserializer, Error, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{Algorithm, Refusal};

/// The most bytes that a token is looked at with.
const MAX_TOKEN: usize = 16 * 1024;

/// A token of which nothing is proven yet.
pub(super) struct Token<'a> {
    /// What is signed.
    pub(super) signed: &'a [u8],
    pub(super) signature: Vec<u8>,
    /// The claims, in JSON.
    pub(super) claims: Vec<u8>,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
}

/// Reads a token whose algorithm is one of those that are accepted.
///
/// A key that the header brings along or points to (`jku`, `jwk`, `x5u`, `x5c`) is never used (RFC
/// 8725 §3.10).
pub(super) fn read<'a>(token: &'a str, accepted: &[Algorithm]) -> Result<Token<'a>, Refusal> {
    if token.len() > MAX_TOKEN {
        return Err(Refusal::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(Refusal::Malformed)?;
    let header = Members::read(&decode(header)?)?;
    // An encrypted token has five parts, and is refused here: a dot is not in the alphabet.
    let claims = decode(claims)?;
    let signature = decode(signature)?;

    let algorithm = header.text("alg")?.ok_or(Refusal::Malformed)?;
    let algorithm = Algorithm::named(algorithm)
        .filter(|algorithm| accepted.contains(algorithm))
        .ok_or(Refusal::Algorithm)?;
    // What has to be understood is not (RFC 7515 §4.1.11).
    if header.find("crit").is_some() {
        return Err(Refusal::Header("crit"));
    }
    if header.text("typ")?.is_some_and(|typ| !is_jwt(typ)) {
        return Err(Refusal::Header("typ"));
    }
    Ok(Token {
        signed: signed.as_bytes(),
        signature,
        claims,
        algorithm,
        kid: header.text("kid")?.map(str::to_owned),
    })
}

fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)
}

/// Whether a `typ` is one of RFC 7519 §5.1 or RFC 9068 §2.1; `application/` may be left out.
fn is_jwt(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    matches!(typ, "jwt" | "at+jwt")
}

/// A JSON object, none of whose members is there twice (RFC 7515 §4, RFC 7519 §4).
pub(super) struct Members(Map<String, Value>);

impl Members {
    pub(super) fn read(json: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(json).map_err(|_| Refusal::Malformed)
    }

    pub(super) fn find(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A member that has to be a string if it is there.
    fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        self.find(name)
            .map(|value| value.as_str().ok_or(Refusal::Malformed))
            .transpose()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Once)
    }
}

struct Once;

impl<'de> Visitor<'de> for Once {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Members, A::Error> {
        let mut members = Map::new();
        while let Some((name, value)) = access.next_entry()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is there twice"));
            }
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(json: &str) -> Result<Token<'static>, Refusal> {
        let token = format!("{}.e30.", URL_SAFE_NO_PAD.encode(json));
        read(token.leak(), &[Algorithm::Rs256])
    }

    #[test]
    fn only_accepted_algorithms_come_as_far_as_a_key() {
        for alg in ["none", "None", "HS256", "HS512", "ES256", "rs256", "dir"] {
            let refusal = header(&format!(r#"{{"alg":"{alg}"}}"#)).err();
            assert_eq!(refusal, Some(Refusal::Algorithm), "{alg}");
        }
        assert!(header(r#"{"alg":"RS256"}"#).is_ok());
    }

    #[test]
    fn a_header_says_nothing_that_would_have_to_be_understood() {
        for typ in ["JWT", "jwt", "at+jwt", "application/AT+JWT"] {
            let accepted = header(&format!(r#"{{"alg":"RS256","typ":"{typ}"}}"#));
            assert!(accepted.is_ok(), "{typ}");
        }
        for (json, name) in [
            (r#"{"alg":"RS256","typ":"JOSE"}"#, "typ"),
            (r#"{"alg":"RS256","typ":""}"#, "typ"),
            (r#"{"alg":"RS256","typ":"application/dpop+jwt"}"#, "typ"),
            (r#"{"alg":"RS256","crit":["exp"],"exp":1}"#, "crit"),
            (r#"{"alg":"RS256","crit":null}"#, "crit"),
        ] {
            assert_eq!(header(json).err(), Some(Refusal::Header(name)), "{json}");
        }
    }

    #[test]
    fn what_is_no_signed_jwt_is_malformed() {
        for json in [
            "",
            "[]",
            "{",
            "{}",
            r#"{"alg":1}"#,
            r#"{"alg":"RS256"} x"#,
            r#"{"alg":"RS256","alg":"RS256"}"#,
            r#"{"alg":"RS256","x":1,"x":1}"#,
            r#"{"alg":"RS256","kid":7}"#,
            r#"{"alg":"RS256","typ":7}"#,
        ] {
            assert_eq!(header(json).err(), Some(Refusal::Malformed), "{json}");
        }
        let good = "eyJhbGciOiJSUzI1NiJ9";
        let deep = URL_SAFE_NO_PAD.encode("[".repeat(9_000));
        for token in [
            String::new(),
            "..".to_owned(),
            format!("{good}.e30"),
            format!("{good}.e30."),
            format!("{good}.e30=.AA"),
            format!("{good}.e30.AA=="),
            format!("{good}.e30.A"),
            format!("{good}.e30.AB"),
            format!("{good}.e30.A/"),
            format!("{good} .e30.AA"),
            format!("{good}.e30.AA.AA"),
            format!("{good}.e30.AA.AA.AA"),
            format!("{deep}.e30.AA"),
            format!("{good}.{}.AA", "A".repeat(MAX_TOKEN)),
        ] {
            let refusal = read(&token, &[Algorithm::Rs256]).err();
            let expected = (token != format!("{good}.e30.")).then_some(Refusal::Malformed);
            assert_eq!(refusal, expected, "{token}");
        }
    }
}
