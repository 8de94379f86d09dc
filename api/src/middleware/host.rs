//! The `Host` of a request (RFC 9110 §7.2, RFC 9112 §3.2).

use actix_web::{
    dev::ServiceRequest,
    http::{
        Version,
        header::{self, HeaderValue},
        uri::Authority,
    },
};

use crate::problem::Problem;

/// Refuses a request whose `Host` is missing, repeated or malformed.
///
/// # Errors
///
/// 400.
pub(crate) fn verify(request: &ServiceRequest) -> Result<(), Problem> {
    let mut fields = request.headers().get_all(header::HOST);
    let refusal = match (fields.next(), fields.next()) {
        (None, _) if request.version() != Version::HTTP_11 => return Ok(()),
        (None, _) => "the field is missing",
        (Some(_), Some(_)) => "the field is repeated",
        (Some(host), None) if is_well_formed(host) => return Ok(()),
        (Some(_), None) => "the field must be a host, and a port if it is not the default",
    };
    Err(Problem::header(&header::HOST, refusal))
}

/// Returns whether a value is a host, or a host and a port. It is empty if the target has no host.
fn is_well_formed(host: &HeaderValue) -> bool {
    let parse = |text: &str| text.parse::<Authority>().ok();
    match host.to_str() {
        Ok("") => true,
        Ok(text) => parse(text).is_some_and(|authority| !authority.as_str().contains('@')),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_host_is_one_name_with_or_without_a_port() {
        let check = |hosts: &[&str]| {
            let mut request = TestRequest::default().version(Version::HTTP_11);
            for host in hosts {
                request = request.append_header((header::HOST, *host));
            }
            verify(&request.to_srv_request()).is_ok()
        };
        for host in [
            "localhost",
            "127.0.0.1:8080",
            "[::1]:80",
            "a.example:443",
            "a_b",
            "",
        ] {
            assert!(check(&[host]), "{host}");
        }
        for host in ["a b", "a/b", "user@a", "a:b:c", "[::1"] {
            assert!(!check(&[host]), "{host}");
        }
        assert!(!check(&[]));
        assert!(!check(&["a", "a"]));
        let old = TestRequest::default().version(Version::HTTP_10);
        assert!(verify(&old.to_srv_request()).is_ok());
    }
}
