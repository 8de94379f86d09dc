//! Where the broker is, and how it is used.

use std::{fmt, time::Duration};

use lapin::uri::AMQPUri;

use crate::{Error, Result};

/// Where the broker is, and how it is used.
#[derive(Clone)]
pub struct Options {
    /// `amqp://...` or `amqps://...`; it may hold a password, and is never shown.
    pub url: String,
    /// What the names of the exchanges and the queues begin with.
    pub prefix: String,
    /// How many messages a consumer may have that it has not answered; at least one.
    pub prefetch: u16,
    /// How often both sides give a sign of life, in whole seconds; after somewhat more than twice
    /// as long without one the connection counts as lost.
    pub heartbeat: Duration,
    /// How long connecting may take, the declarations included.
    pub connect_timeout: Duration,
    /// How long any other operation may take.
    pub operation_timeout: Duration,
}

impl Options {
    /// The usual options for the broker at this URL.
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

    /// Reads the URL, and makes sure of the rest.
    pub(crate) fn check(&self) -> Result<AMQPUri> {
        if self.prefetch == 0 {
            // To the broker it would mean any number.
            return Err(Error::Unusable("at least one message has to be prefetched"));
        }
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=100).contains(&self.prefix.len()) || !self.prefix.bytes().all(fits) {
            return Err(Error::Unusable(
                "its prefix has to be 1 to 100 letters, digits, '-', '_' or '.'",
            ));
        }
        // What the parser says may show the URL.
        let unusable = |_| Error::Unusable("its URL starts with amqp: or amqps:, and names a host");
        let mut uri: AMQPUri = self.url.parse().map_err(unusable)?;
        if let Some(host) = literal_host(&self.url) {
            // The parser takes any IPv6 address for the local host.
            host.clone_into(&mut uri.authority.host);
        }
        let heartbeat = u16::try_from(self.heartbeat.as_secs()).unwrap_or(u16::MAX);
        uri.query.heartbeat = Some(heartbeat.max(1));
        // The library's buffers have room for 64 frames, which here are all small.
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

/// The IPv6 address that a URL has as its host.
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
    fn hosts_are_read() {
        assert_eq!(host("amqp://u:p@10.0.0.1:5672/%2f"), "10.0.0.1");
        assert_eq!(host("amqps://u:p@rabbit.example"), "rabbit.example");
        assert_eq!(
            host("amqp://u:p@[2001:db8::1]:5672/v?x=[::2]"),
            "2001:db8::1"
        );
        assert_eq!(host("amqp://localhost"), "localhost");
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_showing_the_url() {
        let urls = [
            "foo:hunter2",
            "http://u:hunter2@h",
            "amqp://u:hunter2@h:port",
            "hunter2",
        ];
        for url in urls {
            let error = Options::new(url).check().unwrap_err();
            assert!(matches!(error, Error::Unusable(_)));
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
