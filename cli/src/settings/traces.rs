//! Settings of the export of traces.

use std::collections::HashMap;

use clap::Args;
use percent_encoding::percent_decode_str;
use reqwest::{
    Url,
    header::{HeaderName, HeaderValue},
};
use telemetry::traces::TraceOptions;

use super::{
    SettingsError,
    value::{parse, resolve},
};

/// The path of traces, below the address of a collector.
const PATH: &str = "v1/traces";

/// The collector of traces, and the share of requests that are traced.
#[derive(Args, Clone)]
pub(crate) struct Traces {
    /// The address of the OpenTelemetry collector that receives traces by OTLP over HTTP, such as
    /// `http://127.0.0.1:4318`. Default: none, traces are disabled.
    #[arg(long, env = "FILESERVER_OTLP_ENDPOINT", global = true, value_name = "URL", value_parser = resolve)]
    pub(crate) otlp_endpoint: Option<String>,

    /// Header fields of requests to the collector, such as `Authorization=Bearer%20...`, separated by
    /// commas. On the command line, write them as `env:NAME` or `file:PATH`, since they contain a
    /// secret.
    #[arg(long, env = "FILESERVER_OTLP_HEADERS", global = true, hide_env_values = true, hide_default_value = true, value_name = "FIELDS", value_parser = resolve)]
    pub(crate) otlp_headers: Option<String>,

    /// The share of requests that are traced, from 0 to 1. For a request with a `traceparent`, that
    /// field decides instead.
    #[arg(long, env = "FILESERVER_TRACE_RATIO", default_value = "1", global = true, value_name = "RATIO", value_parser = ratio)]
    pub(crate) trace_ratio: f64,
}

impl Traces {
    /// The options of the export, if there is a collector.
    ///
    /// # Errors
    ///
    /// If the address or a header field is malformed; the message contains no secret.
    pub(crate) fn options(&self) -> Result<Option<TraceOptions>, SettingsError> {
        let Some(endpoint) = &self.otlp_endpoint else {
            return match &self.otlp_headers {
                None => Ok(None),
                Some(_) => Err(SettingsError::new(
                    "`otlp_headers` has no effect without `otlp_endpoint`",
                )),
            };
        };
        let url = collector_url(endpoint)?;
        let headers = self
            .otlp_headers
            .as_deref()
            .map(header_fields)
            .transpose()?;
        Ok(Some(TraceOptions {
            url,
            headers: headers.unwrap_or_default(),
            sample_ratio: self.trace_ratio,
        }))
    }
}

/// Parses the address of a collector, and appends the path of traces.
pub(super) fn collector_url(endpoint: &str) -> Result<Url, SettingsError> {
    let wrong = |reason: &str| SettingsError::new(format!("`otlp_endpoint` {reason}"));
    let mut url: Url = endpoint
        .parse()
        .map_err(|error| wrong(&format!("is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("must begin with `http://` or `https://`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "must not contain a user name or password; use `otlp_headers`",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("must not have a query or a fragment"));
    }
    let path = format!("{}/{PATH}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

/// Parses header fields; the message of an error contains none of the text, which may be a secret.
pub(super) fn header_fields(text: &str) -> Result<HashMap<String, String>, SettingsError> {
    let wrong = |reason: &str| SettingsError::new(format!("`otlp_headers` {reason}"));
    let field = |field: &str| {
        let pair = field.split_once('=');
        let (name, value) = pair.ok_or_else(|| wrong("must be a list of `NAME=VALUE`"))?;
        let name = name.trim().parse::<HeaderName>();
        let name = name.map_err(|_| wrong("contains an invalid field name"))?;
        let value = percent_decode_str(value.trim()).decode_utf8();
        let value = value.map_err(|_| wrong("contains a value that is not UTF-8"))?;
        HeaderValue::from_str(&value).map_err(|_| wrong("contains an invalid field value"))?;
        Ok((name.to_string(), value.into_owned()))
    };
    text.split(',').map(field).collect()
}

pub(super) fn ratio(value: &str) -> Result<f64, SettingsError> {
    let ratio = parse::<f64>(value)?;
    if !(0.0..=1.0).contains(&ratio) {
        return Err(SettingsError::new("must be between 0 and 1"));
    }
    Ok(ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_named_by_its_base_url() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            (
                "https://a.example/otlp/",
                "https://a.example/otlp/v1/traces",
            ),
        ] {
            assert_eq!(collector_url(endpoint).unwrap().as_str(), expected);
        }
        for endpoint in [
            "",
            "collector:4318",
            "collector",
            "grpc://collector:4317",
            "http://me:secret@collector",
            "http://collector?a=b",
        ] {
            let refusal = collector_url(endpoint).unwrap_err().to_string();
            assert!(!refusal.contains("secret"), "{refusal}");
        }
    }

    #[test]
    fn field_values_are_percent_decoded() {
        let read = header_fields("Authorization=Bearer%20a%2Cb, x-tenant = one ").unwrap();
        assert_eq!(read["authorization"], "Bearer a,b");
        assert_eq!(read["x-tenant"], "one");
        for wrong in [
            "secret",
            "=secret",
            "a b=secret",
            "a=secret%0a",
            "a=%ff",
            "",
        ] {
            let refusal = header_fields(wrong).unwrap_err().to_string();
            assert!(!refusal.contains("secret"), "{refusal}");
        }
    }

    #[test]
    fn a_ratio_is_between_0_and_1() {
        for right in ["0", "1", "0.25"] {
            assert!(ratio(right).is_ok());
        }
        for wrong in ["-0.1", "1.1", "NaN", "half"] {
            assert!(ratio(wrong).is_err());
        }
    }
}
