//! A signed JWT in its compact form, before its signature is verified (RFC 7515 §7.1).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{algorithm::Algorithm, members::Members, refusal::Refusal};

/// The longest token that is parsed, in bytes.
const MAX_TOKEN: usize = 16 * 1024;

/// A well-formed token whose signature is not verified yet.
pub(super) struct Token<'a> {
    /// The signed part: header and claims, in base64url.
    pub(super) message: &'a str,
    /// The signature, in base64url that can be decoded.
    pub(super) signature: &'a str,
    /// The claims, in JSON.
    pub(super) claims: Vec<u8>,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
}

/// Parses a token whose algorithm is one of the accepted ones.
///
/// Keys that the header contains or points to (`jku`, `jwk`, `x5u`, `x5c`) are never used (RFC 8725
/// §3.10).
pub(super) fn parse<'a>(token: &'a str, accepted: &[Algorithm]) -> Result<Token<'a>, Refusal> {
    if token.len() > MAX_TOKEN {
        return Err(Refusal::Malformed);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
    let (header, claims) = message.split_once('.').ok_or(Refusal::Malformed)?;
    let header = Members::parse(&decode(header)?)?;
    // An encrypted token has five parts. It fails here, since base64url has no dot.
    let claims = decode(claims)?;
    decode(signature)?;

    let algorithm = header.text("alg")?.ok_or(Refusal::Malformed)?;
    let algorithm = Algorithm::named(algorithm)
        .filter(|algorithm| accepted.contains(algorithm))
        .ok_or(Refusal::Algorithm)?;
    // No extension is supported, so none that is critical (RFC 7515 §4.1.11).
    if header.find("crit").is_some() {
        return Err(Refusal::Header("crit"));
    }
    if header.text("typ")?.is_some_and(|typ| !is_jwt(typ)) {
        return Err(Refusal::Header("typ"));
    }
    Ok(Token {
        message,
        signature,
        claims,
        algorithm,
        kid: header.text("kid")?.map(str::to_owned),
    })
}

fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)
}

/// Returns whether a `typ` is one of RFC 7519 §5.1 or RFC 9068 §2.1; `application/` is optional.
fn is_jwt(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    matches!(typ, "jwt" | "at+jwt")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(json: &str) -> Result<Token<'static>, Refusal> {
        let token = format!("{}.e30.", URL_SAFE_NO_PAD.encode(json));
        parse(token.leak(), &[Algorithm::Rs256])
    }

    #[test]
    fn algorithms_that_are_not_accepted_are_refused_before_a_key_is_looked_up() {
        for alg in ["none", "None", "HS256", "HS512", "ES256", "rs256", "dir"] {
            let refusal = header(&format!(r#"{{"alg":"{alg}"}}"#)).err();
            assert_eq!(refusal, Some(Refusal::Algorithm), "{alg}");
        }
        assert!(header(r#"{"alg":"RS256"}"#).is_ok());
    }

    #[test]
    fn critical_extensions_and_other_types_of_token_are_refused() {
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
    fn anything_but_a_signed_jwt_is_malformed() {
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
            let refusal = parse(&token, &[Algorithm::Rs256]).err();
            let expected = (token != format!("{good}.e30.")).then_some(Refusal::Malformed);
            assert_eq!(refusal, expected, "{token}");
        }
    }
}
