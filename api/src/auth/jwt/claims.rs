//! The claims of a token whose signature is verified (RFC 7519 §4.1).
//!
//! jsonwebtoken's own validation is not used: it takes the time from the system's clock, accepts a
//! list as `iss`, and does not check `iat`.

use std::time::Duration;

use serde_json::Value;

use super::{members::Members, refusal::Refusal, settings::JwtSettings};

/// The claims of an accepted token that this service uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    /// The value of the owner claim, never empty.
    pub(crate) subject: String,
    /// The granted scopes, possibly none.
    pub(crate) scopes: Vec<String>,
    /// The first second at which the token is refused, in seconds since 1970, leeway included.
    pub(crate) expires_at: u64,
}

/// Checks that the claims are from the issuer, for this service, and valid at `now`, in seconds
/// since 1970.
pub(super) fn check(json: &[u8], settings: &JwtSettings, now: u64) -> Result<Verified, Refusal> {
    let claims = Members::parse(json)?;
    if claims.find("iss").and_then(Value::as_str) != Some(&settings.issuer) {
        return Err(Refusal::Issuer);
    }
    if !has_audience(claims.find("aud"), &settings.audiences) {
        return Err(Refusal::Audience);
    }
    let leeway = settings.leeway.as_secs();
    let expires_at = date(&claims, "exp")?
        .ok_or_else(|| Refusal::Claim("exp".to_owned()))?
        .saturating_add(leeway);
    if now >= expires_at {
        return Err(Refusal::Expired);
    }
    for name in ["nbf", "iat"] {
        if date(&claims, name)?.is_some_and(|date| date > now.saturating_add(leeway)) {
            return Err(Refusal::NotYetValid);
        }
    }
    let subject = claims
        .find(&settings.owner_claim)
        .and_then(Value::as_str)
        .filter(|subject| !subject.is_empty())
        .ok_or_else(|| Refusal::Claim(settings.owner_claim.clone()))?;
    Ok(Verified {
        subject: subject.to_owned(),
        scopes: scopes(claims.find("scope"))?,
        expires_at,
    })
}

/// Returns whether an `aud`, a string or a list, has one of the audiences.
fn has_audience(aud: Option<&Value>, audiences: &[String]) -> bool {
    let is_accepted = |value: &Value| {
        value
            .as_str()
            .is_some_and(|name| audiences.iter().any(|audience| audience == name))
    };
    match aud {
        Some(Value::Array(names)) => names.iter().any(is_accepted),
        Some(value) => is_accepted(value),
        None => false,
    }
}

/// Parses a `NumericDate` (RFC 7519 §2) and rounds it down to whole seconds since 1970.
///
/// Earlier dates become 0, and those that exceed 64 bits become `u64::MAX`.
fn date(claims: &Members, name: &str) -> Result<Option<u64>, Refusal> {
    let Some(value) = claims.find(name) else {
        return Ok(None);
    };
    if let Some(seconds) = value.as_u64() {
        return Ok(Some(seconds));
    }
    let seconds = value
        .as_f64()
        .ok_or_else(|| Refusal::Claim(name.to_owned()))?;
    let out_of_range = if seconds > 0.0 { u64::MAX } else { 0 };
    let seconds = Duration::try_from_secs_f64(seconds).map_or(out_of_range, |time| time.as_secs());
    Ok(Some(seconds))
}

/// Parses the scopes: a string with spaces between the names (RFC 8693 §4.2), or a list, as some
/// issuers write it.
fn scopes(scope: Option<&Value>) -> Result<Vec<String>, Refusal> {
    let invalid = || Refusal::Claim("scope".to_owned());
    match scope {
        None => Ok(Vec::new()),
        Some(Value::String(names)) => Ok(names
            .split(' ')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()),
        Some(Value::Array(names)) => names
            .iter()
            .map(|name| name.as_str().map(str::to_owned).ok_or_else(invalid))
            .collect(),
        Some(_) => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{NOW, claims as good, settings};
    use super::*;

    /// Checks the good claims with some of them changed, or removed by a `null`.
    fn with(changes: &Value) -> Result<Verified, Refusal> {
        let mut claims = good();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, v| !v.is_null());
        check(claims.to_string().as_bytes(), &settings(), NOW)
    }

    fn claim(name: &str) -> Refusal {
        Refusal::Claim(name.to_owned())
    }

    #[test]
    fn good_claims_are_accepted() {
        let verified = with(&json!({})).unwrap();
        assert_eq!(verified.subject, "alice");
        assert_eq!(verified.scopes, ["files.read", "files.write"]);
        assert_eq!(verified.expires_at, NOW + 60 + 5);
    }

    #[test]
    fn the_issuer_is_compared_to_the_byte() {
        for iss in [
            json!(null),
            json!("https://issuer.example/"),
            json!(1),
            json!(["https://issuer.example"]),
        ] {
            assert_eq!(with(&json!({"iss": iss})).err(), Some(Refusal::Issuer));
        }
    }

    #[test]
    fn one_audience_is_enough_and_one_is_needed() {
        for aud in [json!("files"), json!(["x", "files"]), json!([1, "files-2"])] {
            assert!(with(&json!({"aud": aud})).is_ok(), "{aud}");
        }
        for aud in [
            json!(null),
            json!("file"),
            json!([]),
            json!(["x"]),
            json!(1),
            json!({"files": 1}),
        ] {
            assert_eq!(with(&json!({"aud": aud})).err(), Some(Refusal::Audience));
        }
    }

    #[test]
    fn a_token_expires_with_its_second_plus_the_leeway() {
        for (exp, refusal) in [
            (json!(NOW - 4), None),
            (json!(NOW - 5), Some(Refusal::Expired)),
            (json!(0), Some(Refusal::Expired)),
            (json!(-1), Some(Refusal::Expired)),
            (json!(-1e300), Some(Refusal::Expired)),
            (json!(1_000_000_000.5), None),
            (json!(u64::MAX), None),
            (json!(1e300), None),
            (json!(null), Some(claim("exp"))),
            (json!("1000000000"), Some(claim("exp"))),
            (json!([NOW]), Some(claim("exp"))),
        ] {
            assert_eq!(with(&json!({"exp": exp})).err(), refusal, "{exp}");
        }
        let expires_at = with(&json!({"exp": u64::MAX})).unwrap().expires_at;
        assert_eq!(expires_at, u64::MAX);
    }

    #[test]
    fn tokens_from_the_future_are_refused() {
        for name in ["nbf", "iat"] {
            for (date, refusal) in [
                (json!(NOW + 5), None),
                (json!(1_000_000_005.5), None),
                (json!(NOW + 6), Some(Refusal::NotYetValid)),
                (json!(u64::MAX), Some(Refusal::NotYetValid)),
                (json!(1e300), Some(Refusal::NotYetValid)),
                (json!(-7), None),
                (json!("0"), Some(claim(name))),
                (json!(true), Some(claim(name))),
            ] {
                assert_eq!(with(&json!({name: date})).err(), refusal, "{name} {date}");
            }
        }
    }

    #[test]
    fn the_owner_is_a_string_that_is_not_empty() {
        for sub in [json!(null), json!(""), json!(1), json!(["alice"])] {
            assert_eq!(with(&json!({"sub": sub})), Err(claim("sub")), "{sub}");
        }
    }

    #[test]
    fn scopes_are_a_string_or_a_list() {
        for (scope, expected) in [
            (json!(null), Some(vec![])),
            (json!(""), Some(vec![])),
            (json!(" a  b "), Some(vec!["a", "b"])),
            (json!(["a", "b"]), Some(vec!["a", "b"])),
            (json!(["a", 1]), None),
            (json!(1), None),
        ] {
            let found = with(&json!({"scope": scope})).map(|verified| verified.scopes);
            match expected {
                Some(expected) => assert_eq!(found.unwrap(), expected),
                None => assert_eq!(found, Err(claim("scope"))),
            }
        }
    }

    #[test]
    fn ambiguous_claims_are_refused() {
        for json in [r#"{"sub":"a","sub":"b"}"#, "[]", "", "{\"sub\":\"\u{0}\"}"] {
            let refusal = check(json.as_bytes(), &settings(), NOW).err();
            assert_eq!(refusal, Some(Refusal::Malformed), "{json}");
        }
    }
}
