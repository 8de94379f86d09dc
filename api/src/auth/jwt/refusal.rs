//! The reasons why a token is refused.

/// The reason why a token is refused. The texts may be sent to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The token is no signed JWT, or too long.
    #[error("the token is not a signed JWT that can be read")]
    Malformed,
    /// The algorithm is not accepted, or does not fit the key.
    #[error("the token is signed with an algorithm that is not accepted")]
    Algorithm,
    /// A header parameter asks for something that is not supported.
    #[error("the token's header has a `{0}` that is not accepted")]
    Header(&'static str),
    /// The issuer has no such key.
    #[error("the token is signed with a key that the issuer is not known to have")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// The issuer is another one.
    #[error("the token is from another issuer")]
    Issuer,
    /// The token is for another service.
    #[error("the token is for another audience")]
    Audience,
    /// The token has expired.
    #[error("the token has expired")]
    Expired,
    /// The token is not valid yet.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// A claim is missing, or its value has a wrong type.
    #[error("the token's claim `{0}` is missing or malformed")]
    Claim(String),
    /// No keys were read since the start. A later refresh may read some.
    #[error("the issuer's keys are not available at the moment")]
    KeysUnavailable,
}
