//! Presigned URLs.
//!
//! For OSS the client can override only the disposition in such a URL. So a plain URL, which says
//! when it expires, is signed again together with all overrides (OSS signature version 1).

use std::{io, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use opendal::options::ReadOptions;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::Url;
use sha1::Sha1;

use super::{
    client::Bucket,
    options::{BucketKind, BucketOptions},
};
use crate::{
    boxed,
    error::{Error, Result},
};

/// The characters that are escaped in a URL: all but the unreserved ones (RFC 3986 §2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A URL that anyone can use to read an object until it expires.
pub struct PresignedUrl {
    /// The URL, to be kept as secret as the object.
    pub url: String,
}

/// The lifetime of a presigned URL, and the headers of the response to it.
#[derive(Debug, Clone, Default)]
pub struct ResponseOverrides {
    /// Time until the URL expires.
    pub expires_in: Duration,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
}

impl Bucket {
    /// Creates a URL that anyone can use to read an object until it expires.
    ///
    /// # Errors
    ///
    /// If it cannot be signed.
    #[boxed]
    pub async fn presign(&self, key: &str, overrides: ResponseOverrides) -> Result<PresignedUrl> {
        let is_oss = self.options().kind == BucketKind::Oss;
        let options = if is_oss {
            ReadOptions::default()
        } else {
            ReadOptions {
                override_content_type: overrides.content_type.clone(),
                override_content_disposition: overrides.content_disposition.clone(),
                override_cache_control: overrides.cache_control.clone(),
                ..ReadOptions::default()
            }
        };
        let signed = self
            .operator()
            .presign_read_options(key, overrides.expires_in, options)
            .await
            .map_err(|error| self.explain(&error))?;
        let url = signed.uri().to_string();
        if !is_oss {
            return Ok(PresignedUrl { url });
        }
        let url = add_overrides(self.options(), &url, overrides).ok_or_else(|| {
            let reason = format!("the store {}: could not sign a URL", self.name());
            Error::Unavailable(io::Error::other(reason))
        })?;
        Ok(PresignedUrl { url })
    }
}

/// Adds overrides to a plain OSS URL. Returns `None` if it is no presigned URL.
fn add_overrides(
    options: &BucketOptions,
    plain: &str,
    overrides: ResponseOverrides,
) -> Option<String> {
    let mut url: Url = plain.parse().ok()?;
    let mut expires = url.query_pairs().filter(|(name, _)| name == "Expires");
    let expires = expires.next()?.1.into_owned();
    // Sorted by name, as the signature requires.
    let parameters: Vec<(&str, String)> = [
        ("response-cache-control", overrides.cache_control),
        (
            "response-content-disposition",
            overrides.content_disposition,
        ),
        ("response-content-type", overrides.content_type),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect();
    if parameters.is_empty() {
        return Some(plain.to_owned());
    }
    let joined = |value: fn(&str) -> String| {
        let pairs = parameters.iter();
        let pairs: Vec<String> = pairs
            .map(|(name, text)| format!("{name}={}", value(text)))
            .collect();
        pairs.join("&")
    };
    let path = percent_decode_str(url.path()).decode_utf8().ok()?;
    let bucket = if options.virtual_host {
        format!("/{}", options.bucket)
    } else {
        String::new()
    };
    let signed = format!(
        "GET\n\n\n{expires}\n{bucket}{path}?{}",
        joined(str::to_owned)
    );
    let mut mac = Hmac::<Sha1>::new_from_slice(options.secret.reveal().as_bytes()).ok()?;
    mac.update(signed.as_bytes());
    let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    let query = format!(
        "{}&OSSAccessKeyId={}&Expires={expires}&Signature={}",
        joined(escape),
        escape(&options.access_key_id),
        escape(&signature)
    );
    url.set_query(Some(&query));
    Some(url.into())
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opendal::options::ReadOptions;

    use super::*;
    use crate::bucket::{
        operator,
        options::{BucketKind, BucketOptions, Secret},
    };

    /// The client can sign a URL with a disposition, so its signature must equal ours.
    #[tokio::test]
    async fn a_url_has_the_same_signature_as_the_clients() {
        for virtual_host in [true, false] {
            let options = BucketOptions {
                kind: BucketKind::Oss,
                endpoint: "https://oss-cn-hangzhou.aliyuncs.com".to_owned(),
                bucket: "files".to_owned(),
                region: String::new(),
                access_key_id: "LTAIkey".to_owned(),
                secret: Secret::new("secret".to_owned()),
                prefix: "/a b/\u{e4}+/".to_owned(),
                virtual_host,
                segment_size: 1 << 20,
                timeout: Duration::from_secs(1),
            };
            let disposition = "attachment; filename=\"a+b.txt\"; filename*=UTF-8''%20";
            let operator = operator::build(&options).unwrap();
            let presign = async |disposition: Option<&str>| {
                let read = ReadOptions {
                    override_content_disposition: disposition.map(str::to_owned),
                    ..ReadOptions::default()
                };
                let hour = Duration::from_hours(1);
                let signed = operator.presign_read_options("objects/00/x", hour, read);
                signed.await.unwrap().uri().to_string()
            };
            let query = |url: &str| {
                let url: Url = url.parse().unwrap();
                let pairs = url.query_pairs().into_owned();
                pairs.collect::<std::collections::BTreeMap<String, String>>()
            };
            loop {
                let (plain, expected) = (presign(None).await, presign(Some(disposition)).await);
                if query(&plain)["Expires"] != query(&expected)["Expires"] {
                    // The second changed between the two calls.
                    continue;
                }
                let overrides = ResponseOverrides {
                    content_disposition: Some(disposition.to_owned()),
                    ..ResponseOverrides::default()
                };
                let url = add_overrides(&options, &plain, overrides).unwrap();
                assert_eq!(query(&url), query(&expected));
                assert_eq!(url.split('?').next(), expected.split('?').next());
                break;
            }
        }
    }
}
