//! Settings of where traces go.

use std::collections::HashMap;

use clap::Args;
use percent_encoding::percent_decode_str;
use reqwest::{
    Url,
    header::{HeaderName, HeaderValue},
};

use telemetry::traces::TraceOptions;

use super::{SettingsError, parse, resolve};

/// Where a collector takes traces, below its address.
const PATH: &str = "v1/traces";

/// Where traces go.
#[derive(Args, Clone)]
pub(crate) struct Traces {
    /// The OpenTelemetry collector that gets traces, by OTLP over HTTP, such as
    /// `http://127.0.0.1:4318`; unless given, there are none.
    #[arg(long, env = "FILESERVER_OTLP_ENDPOINT", global = true, value_name = "URL", value_parser = resolve)]
    pub(crate) otlp_endpoint: Option<String>,

    /// Header fields for the collector, such as `Authorization=Bearer%20...`, separated by commas; on
    /// the command line it is `env:NAME` or `file:PATH`, since it has a secret.
    #[arg(long, env = "FILESERVER_OTLP_HEADERS", global = true, hide_env_values = true, hide_default_value = true, value_name = "FIELDS", value_parser = resolve)]
    pub(crate) otlp_headers: Option<String>,

    /// Which part of the requests is traced, from 0 to 1; those that come with a `traceparent` are
    /// traced if it says so.
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
        let url = url(endpoint)
            .map_err(|reason| SettingsError::new(format!("`otlp_endpoint` {reason}")))?;
        let headers = self.otlp_headers.as_deref().map(fields).transpose();
        let headers =
            headers.map_err(|reason| SettingsError::new(format!("`otlp_headers` {reason}")))?;
        Ok(Some(TraceOptions {
            url,
            headers: headers.unwrap_or_default(),
            sample_ratio: self.trace_ratio,
        }))
    }
}

fn url(endpoint: &str) -> Result<Url, String> {
    let mut url: Url = endpoint
        .parse()
        .map_err(|error| format!("is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("begins with `http://` or `https://`".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has no name and no password in it; they go into `otlp_headers`".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has no query".to_owned());
    }
    let path = format!("{}/{PATH}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

fn fields(text: &str) -> Result<HashMap<String, String>, &'static str> {
    let field = |field: &str| {
        let (name, value) = field.split_once('=').ok_or("are `NAME=VALUE`")?;
        let name: HeaderName = name.trim().parse().map_err(|_| "has a name that is none")?;
        let value = percent_decode_str(value.trim()).decode_utf8();
        let value = value.map_err(|_| "has a value that is no text")?;
        HeaderValue::from_str(&value).map_err(|_| "has a value that no field can have")?;
        Ok((name.to_string(), value.into_owned()))
    };
    text.split(',').map(field).collect()
}

fn ratio(value: &str) -> Result<f64, String> {
    let ratio = parse::<f64>(value)?;
    if !(0.0..=1.0).contains(&ratio) {
        return Err("it is from 0 to 1".to_owned());
    }
    Ok(ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_named_by_where_it_is() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            (
                "https://a.example/otlp/",
                "https://a.example/otlp/v1/traces",
            ),
        ] {
            assert_eq!(url(endpoint).unwrap().as_str(), expected);
        }
        for endpoint in [
            "",
            "collector:4318",
            "collector",
            "grpc://collector:4317",
            "http://me:secret@collector",
            "http://collector?a=b",
        ] {
            let refusal = url(endpoint).unwrap_err();
            assert!(!refusal.contains("secret"), "{refusal}");
        }
    }

    #[test]
    fn fields_may_have_anything_in_them() {
        let read = fields("Authorization=Bearer%20a%2Cb, x-tenant = one ").unwrap();
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
            let refusal = fields(wrong).unwrap_err();
            assert!(!refusal.contains("secret"), "{refusal}");
        }
    }

    #[test]
    fn a_ratio_is_a_part() {
        for right in ["0", "1", "0.25"] {
            assert!(ratio(right).is_ok());
        }
        for wrong in ["-0.1", "1.1", "NaN", "half"] {
            assert!(ratio(wrong).is_err());
        }
    }
}
