//! Where Redis is, and how it is talked to.

use std::{fmt, time::Duration};

use redis::{ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo};

/// The most characters that a prefix may have.
const LONGEST_PREFIX: usize = 100;

/// Where Redis is, and how it is talked to.
#[derive(Clone)]
pub struct Options {
    /// `redis://USER:PASSWORD@HOST:PORT/DATABASE`, or `rediss://...` for TLS.
    pub url: String,
    /// What the names of all keys begin with: services that share a Redis have one each.
    pub prefix: String,
    /// How long an answer is waited for.
    pub timeout: Duration,
}

/// Settings that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Redis cannot be used: {0}")]
pub struct Unusable(&'static str);

/// A server, and as whom to talk to it.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) is_encrypted: bool,
    pub(crate) login: RedisConnectionInfo,
}

impl Options {
    /// Reads the URL, and makes sure of the rest.
    pub(crate) fn check(&self) -> Result<Place, Unusable> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let prefix = self.prefix.as_bytes();
        if !(1..=LONGEST_PREFIX).contains(&prefix.len()) || !prefix.iter().copied().all(fits) {
            return Err(Unusable(
                "its prefix has to be 1 to 100 letters, digits, '-', '_' or '.'",
            ));
        }
        let (is_encrypted, rest) = match self.url.split_once("://") {
            Some(("redis", rest)) => (false, rest),
            Some(("rediss", rest)) => (true, rest),
            _ => return Err(Unusable("its URL starts with redis:// or rediss://")),
        };
        // TLS is made here, not by the library. What its parser says may show the URL.
        let info = format!("redis://{rest}").into_connection_info();
        let info = info.map_err(|_| {
            Unusable("its URL is redis://USER:PASSWORD@HOST:PORT/DATABASE, the database a number")
        })?;
        match info.addr() {
            ConnectionAddr::Tcp(host, port) if !rest.contains(['?', '#']) => Ok(Place {
                host: host.clone(),
                port: *port,
                is_encrypted,
                // One command less that has to be allowed.
                login: info.redis_settings().clone().set_skip_set_lib_name(),
            }),
            _ => Err(Unusable("its URL names a host, and has no parameters")),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> Options {
        Options {
            url: url.to_owned(),
            prefix: "files".to_owned(),
            timeout: Duration::from_millis(50),
        }
    }

    #[test]
    fn places_are_read() {
        let place = options("redis://localhost").check().unwrap();
        assert_eq!((place.host.as_str(), place.port), ("localhost", 6379));
        assert!(!place.is_encrypted);
        let place = options("rediss://u:p%40@[2001:db8::1]:7000/3").check();
        let place = place.unwrap();
        assert_eq!((place.host.as_str(), place.port), ("2001:db8::1", 7000));
        assert!(place.is_encrypted);
        assert_eq!(place.login.db(), 3);
        assert_eq!(place.login.username(), Some("u"));
        assert_eq!(place.login.password(), Some("p@"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_showing_the_url() {
        for url in [
            "",
            "hunter2",
            "http://u:hunter2@h",
            "unix:///hunter2",
            "redis://",
            "redis://:hunter2@",
            "redis://u:hunter2@h:port",
            "redis://u:hunter2@h/first",
            "redis://u:hunter2@h/?protocol=resp3",
            "rediss://u:hunter2@h/#insecure",
            "redis://u:hunter2@0.0.0.0",
        ] {
            let error = options(url).check().err().unwrap();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}");
        }
        assert!(!format!("{:?}", options("redis://:hunter2@h")).contains("hunter2"));
        for prefix in ["", "a:b", "a b", &"x".repeat(101)] {
            let options = Options {
                prefix: prefix.to_owned(),
                ..options("redis://h")
            };
            assert!(options.check().is_err(), "{prefix}");
        }
    }
}
