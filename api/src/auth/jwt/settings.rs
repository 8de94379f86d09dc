//! The policy for the issuer's tokens.

use std::{path::PathBuf, time::Duration};

use reqwest::Url;

use super::{algorithm::Algorithm, error::OpenError};

/// The policy for the issuer's tokens.
#[derive(Clone, Debug)]
pub struct JwtSettings {
    /// The required `iss`, compared byte by byte (RFC 7519 §4.1.1).
    pub issuer: String,
    /// The accepted audiences; `aud` must have one of them (RFC 7519 §4.1.3).
    pub audiences: Vec<String>,
    /// The location of the issuer's keys.
    pub keys: KeySource,
    /// The accepted algorithms, whatever a token or a key says (RFC 8725 §3.1).
    pub algorithms: Vec<Algorithm>,
    /// The claim that names the owner, such as `sub`.
    pub owner_claim: String,
    /// Tolerated difference to the issuer's clock, in whole seconds.
    pub leeway: Duration,
}

/// The location of a JWK set (RFC 7517 §5).
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A file.
    File(PathBuf),
    /// A URL: `https`, or `http` on a loopback address.
    Url(Url),
}

impl JwtSettings {
    /// Refuses settings that accept no token.
    pub(super) fn check(&self) -> Result<(), OpenError> {
        for (empty, what) in [
            (self.issuer.is_empty(), "an issuer"),
            (self.audiences.is_empty(), "an audience"),
            (self.algorithms.is_empty(), "an algorithm"),
            (self.owner_claim.is_empty(), "the owner's claim"),
        ] {
            if empty {
                return Err(OpenError::Missing(what));
            }
        }
        Ok(())
    }
}
