//! Address, credentials and timeouts of Redis.

use std::{fmt, time::Duration};

use redis::{ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo};

/// Maximum length of a key prefix in bytes.
const MAX_PREFIX_LENGTH: usize = 100;

/// Address, key prefix and timeout of Redis.
#[derive(Clone)]
pub struct Options {
    /// `redis://USER:PASSWORD@HOST:PORT/DATABASE`, or `rediss://...` for TLS.
    pub url: String,
    /// Prefix of all keys. Services that share a Redis need different prefixes.
    pub prefix: String,
    /// Time limit of each round trip.
    pub timeout: Duration,
}

/// Options that are not valid, with the rule that they break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Redis cannot be used: {0}")]
pub struct InvalidOptions(&'static str);

/// A server and its credentials.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) is_encrypted: bool,
    pub(crate) login: RedisConnectionInfo,
}

impl Options {
    /// Parses the URL, and checks the prefix.
    pub(crate) fn check(&self) -> Result<Server, InvalidOptions> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let prefix = self.prefix.as_bytes();
        if !(1..=MAX_PREFIX_LENGTH).contains(&prefix.len())
            || !prefix.iter().copied().all(is_allowed)
        {
            return Err(InvalidOptions(
                "the prefix must be 1 to 100 letters, digits, '-', '_' or '.'",
            ));
        }
        let (is_encrypted, rest) = match self.url.split_once("://") {
            Some(("redis", rest)) => (false, rest),
            Some(("rediss", rest)) => (true, rest),
            _ => {
                return Err(InvalidOptions(
                    "the URL must start with redis:// or rediss://",
                ));
            }
        };
        // This crate does TLS, not the library. The parser's error may contain the URL.
        let info = format!("redis://{rest}").into_connection_info();
        let info = info.map_err(|_| {
            InvalidOptions("the URL must have the form redis://USER:PASSWORD@HOST:PORT/DATABASE, with a numeric database")
        })?;
        match info.addr() {
            ConnectionAddr::Tcp(host, port) if !rest.contains(['?', '#']) => Ok(Server {
                host: host.clone(),
                port: *port,
                is_encrypted,
                // Saves one command that an ACL would have to allow.
                login: info.redis_settings().clone().set_skip_set_lib_name(),
            }),
            _ => Err(InvalidOptions(
                "the URL must name a host and have no parameters",
            )),
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
    fn server_and_credentials_are_parsed() {
        let server = options("redis://localhost").check().unwrap();
        assert_eq!((server.host.as_str(), server.port), ("localhost", 6379));
        assert!(!server.is_encrypted);
        let server = options("rediss://u:p%40@[2001:db8::1]:7000/3").check();
        let server = server.unwrap();
        assert_eq!((server.host.as_str(), server.port), ("2001:db8::1", 7000));
        assert!(server.is_encrypted);
        assert_eq!(server.login.db(), 3);
        assert_eq!(server.login.username(), Some("u"));
        assert_eq!(server.login.password(), Some("p@"));
    }

    #[test]
    fn invalid_options_are_refused_without_showing_the_url() {
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
