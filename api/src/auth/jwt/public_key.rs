//! The parameters of a JWK, checked for their type and size (RFC 7518 §6, RFC 8037 §2).

use std::ops::RangeInclusive;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    DecodingKey,
    jwk::{
        AlgorithmParameters, EllipticCurve, EllipticCurveKeyParameters, OctetKeyPairParameters,
        RSAKeyParameters,
    },
};

use super::algorithm::Algorithm;

/// Accepted sizes of an RSA modulus, in bits: smaller ones are not safe (RFC 7518 §3.3), larger ones
/// are slow.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

const NOT_BASE64URL: &str = "a parameter is not base64url";
const WRONG_LENGTH: &str = "a parameter has a wrong length";
const UNSUPPORTED_CURVE: &str = "its `crv` is not supported";

/// Returns the public key, and the algorithms of its type and curve.
pub(super) fn parse(
    parameters: &AlgorithmParameters,
) -> Result<(DecodingKey, &'static [Algorithm]), &'static str> {
    match parameters {
        AlgorithmParameters::RSA(parameters) => Ok((rsa(parameters)?, Algorithm::RSA)),
        AlgorithmParameters::EllipticCurve(parameters) => match parameters.curve {
            EllipticCurve::P256 => Ok((point(parameters, 32)?, &[Algorithm::Es256])),
            EllipticCurve::P384 => Ok((point(parameters, 48)?, &[Algorithm::Es384])),
            _ => Err(UNSUPPORTED_CURVE),
        },
        AlgorithmParameters::OctetKeyPair(parameters) => match parameters.curve {
            EllipticCurve::Ed25519 => Ok((ed25519(parameters)?, &[Algorithm::EdDsa])),
            _ => Err(UNSUPPORTED_CURVE),
        },
        AlgorithmParameters::OctetKey(_) => Err("it is a shared secret"),
        _ => Err("its `kty` or `crv` is not supported, or a parameter is missing"),
    }
}

/// Reads an uncompressed point (SEC 1 §2.3.3) whose coordinates have so many bytes.
fn point(
    parameters: &EllipticCurveKeyParameters,
    bytes: usize,
) -> Result<DecodingKey, &'static str> {
    let (x, y) = (&parameters.x, &parameters.y);
    if [x, y].map(String::len) != [encoded_len(bytes); 2] {
        return Err(WRONG_LENGTH);
    }
    DecodingKey::from_ec_components(x, y).map_err(|_| NOT_BASE64URL)
}

fn ed25519(parameters: &OctetKeyPairParameters) -> Result<DecodingKey, &'static str> {
    if parameters.x.len() != encoded_len(32) {
        return Err(WRONG_LENGTH);
    }
    DecodingKey::from_ed_components(&parameters.x).map_err(|_| NOT_BASE64URL)
}

fn rsa(parameters: &RSAKeyParameters) -> Result<DecodingKey, &'static str> {
    let [n, e] = [integer(&parameters.n)?, integer(&parameters.e)?];
    let [Some(first), Some(n_end), Some(e_end)] = [n.first(), n.last(), e.last()] else {
        return Err("its modulus or exponent is zero");
    };
    let bits = n.len() * 8 - first.leading_zeros() as usize;
    if bits < *RSA_BITS.start() {
        return Err("it has fewer than 2048 bits");
    }
    if bits > *RSA_BITS.end() {
        return Err("it has more than 8192 bits");
    }
    // ring refuses every signature with another exponent.
    let exponent = e.iter().fold(0_u64, |value, byte| {
        value.saturating_mul(256).saturating_add((*byte).into())
    });
    if n_end % 2 == 0 || e_end % 2 == 0 || !(3..1 << 33).contains(&exponent) {
        return Err("no RSA key has such numbers, or the exponent is too large");
    }
    Ok(DecodingKey::from_rsa_raw_components(&n, &e))
}

/// Decodes an unsigned integer in base64url, big-endian, and removes the leading zeros, which ring
/// does not accept.
fn integer(text: &str) -> Result<Vec<u8>, &'static str> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NOT_BASE64URL)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Ok(bytes[zeros..].to_vec())
}

/// The length of so many bytes in base64url.
fn encoded_len(bytes: usize) -> usize {
    (bytes * 8).div_ceil(6)
}
