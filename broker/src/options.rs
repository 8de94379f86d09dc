//! Address, names and timeouts of the broker.

use std::{fmt, time::Duration};

use lapin::uri::AMQPUri;

use crate::{Error, Result};

/// Address, names and timeouts of the broker.
#[derive(Clone)]
pub struct Options {
    /// `amqp://...` or `amqps://...`. It may contain a password, and is never shown.
    pub url: String,
    /// Prefix of the names of exchanges and queues.
    pub prefix: String,
    /// Maximum number of unacknowledged messages per consumer; at least one.
    pub prefetch: u16,
    /// Interval of heartbeats, in whole seconds. The connection counts as lost after somewhat more
    /// than two intervals without a heartbeat.
    pub heartbeat: Duration,
    /// Time limit of a connection attempt, including the declarations.
    pub connect_timeout: Duration,
    /// Time limit of any other operation.
    pub operation_timeout: Duration,
}

impl Options {
    /// The default options for the broker at this URL.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "fileserver".to_owned(),
            prefetch: 16,
            heartbeat: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            operation_timeout: Duration::from_secs(10),
        }
    }

    /// Parses the URL, and checks the other options.
    pub(crate) fn check(&self) -> Result<AMQPUri> {
        if self.prefetch == 0 {
            // To the broker, zero means no limit.
            return Err(Error::InvalidOptions("the prefetch must be at least one"));
        }
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=100).contains(&self.prefix.len()) || !self.prefix.bytes().all(is_allowed) {
            return Err(Error::InvalidOptions(
                "the prefix must be 1 to 100 letters, digits, '-', '_' or '.'",
            ));
        }
        // The parser's error may contain the URL.
        let invalid =
            |_| Error::InvalidOptions("the URL must start with amqp: or amqps:, and name a host");
        let mut uri: AMQPUri = self.url.parse().map_err(invalid)?;
        if let Some(host) = literal_host(&self.url) {
            // The parser replaces any IPv6 address by the local host.
            host.clone_into(&mut uri.authority.host);
        }
        let heartbeat = u16::try_from(self.heartbeat.as_secs()).unwrap_or(u16::MAX);
        uri.query.heartbeat = Some(heartbeat.max(1));
        // The library allocates buffers for 64 frames, and all frames here are small.
        uri.query.frame_max = Some(8192);
        Ok(uri)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("prefix", &self.prefix)
            .field("prefetch", &self.prefetch)
            .field("heartbeat", &self.heartbeat)
            .field("connect_timeout", &self.connect_timeout)
            .field("operation_timeout", &self.operation_timeout)
            .finish_non_exhaustive()
    }
}

/// Returns the host of a URL if it is an IPv6 address.
fn literal_host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    host.strip_prefix('[')?
        .split_once(']')
        .map(|(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(url: &str) -> String {
        Options::new(url).check().unwrap().authority.host
    }

    #[test]
    fn hosts_are_parsed() {
        assert_eq!(host("amqp://u:p@10.0.0.1:5672/%2f"), "10.0.0.1");
        assert_eq!(host("amqps://u:p@rabbit.example"), "rabbit.example");
        assert_eq!(
            host("amqp://u:p@[2001:db8::1]:5672/v?x=[::2]"),
            "2001:db8::1"
        );
        assert_eq!(host("amqp://localhost"), "localhost");
    }

    #[test]
    fn invalid_options_are_refused_without_showing_the_url() {
        let urls = [
            "foo:hunter2",
            "http://u:hunter2@h",
            "amqp://u:hunter2@h:port",
            "hunter2",
        ];
        for url in urls {
            let error = Options::new(url).check().unwrap_err();
            assert!(matches!(error, Error::InvalidOptions(_)));
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        let mut options = Options::new("amqp://u:hunter2@h");
        assert!(!format!("{options:?}").contains("hunter2"));
        options.prefetch = 0;
        assert!(options.check().is_err());
        options.prefetch = 1;
        options.prefix = "a b".to_owned();
        assert!(options.check().is_err());
    }
}
