//! Properties of settings, for every input: `fuzz/` searches for inputs that break them, and a test tries
//! those that it kept.

#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a property that does not hold panics"
)]

use std::fmt::{Debug, Display};

use api::{AllowedOrigin, PublicUrl};

use super::{
    SettingsFile, access::network, internal_location, listen, quantity, store_config::StoreConfig,
    traces, value::split_list,
};

/// A setting is read as the same value from what it is written as.
pub fn settings(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    // A reference would be read from a file or the environment.
    if text.contains("file:") || text.contains("env:") {
        return;
    }
    is_read_as_written(text, quantity::bytes);
    is_read_as_written(text, quantity::rate);
    is_read_as_written(text, quantity::size::<u32>);
    is_read_as_written(text, quantity::seconds::<u32>);
    is_read_as_written(text, quantity::milliseconds::<u64>);
    is_read_as_written(text, network);
    is_read_as_written(text, internal_location);
    is_read_as_written(text, traces::ratio);
    is_read_as_written(text, str::parse::<AllowedOrigin>);
    is_read_as_written(text, str::parse::<PublicUrl>);
    // A name would be looked up.
    let port = text.strip_prefix(':').unwrap_or_default();
    if text.parse::<std::net::SocketAddr>().is_ok() || port.parse::<u16>().is_ok() {
        is_read_as_written(text, listen);
    }
    let _ = traces::collector_url(text);
    let _ = traces::header_fields(text);
    let list = split_list(&[text.to_owned()]);
    assert_eq!(split_list(&[list.join(",")]), list);
    settings_file(text);
}

fn is_read_as_written<T, E>(text: &str, read: impl Fn(&str) -> Result<T, E>)
where
    T: Display + Debug + PartialEq,
    E: Debug + PartialEq,
{
    if let Ok(value) = read(text) {
        assert_eq!(read(&value.to_string()), Ok(value), "{text}");
    }
}

fn settings_file(text: &str) {
    let Ok(file) = SettingsFile::parse(text) else {
        return;
    };
    for name in file.stores.names() {
        let Ok(StoreConfig::Bucket { options, .. }) = file.stores.config(name) else {
            continue;
        };
        assert!((1 << 20..=1 << 30).contains(&options.segment_size));
        let url: reqwest::Url = options.endpoint.parse().unwrap();
        assert!(url.username().is_empty() && url.password().is_none());
    }
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::{replay::replay, *};

    #[test]
    fn every_kept_input_has_its_property() {
        replay("settings", settings);
    }
}
