//! What a presigned URL of OSS says about the answer.
//!
//! The client puts only the disposition into such a URL. So a plain one, which says until when it
//! works, is signed anew together with all that is to be said (OSS's signature of version 1).

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::Url;
use sha1::Sha1;

use super::{BucketOptions, PresignedAs};

/// What needs no escape anywhere in a URL (RFC 3986 §2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Adds what is to be said to a URL that says nothing; `None` if it is no such URL.
pub(super) fn say(options: &BucketOptions, plain: &str, said: PresignedAs) -> Option<String> {
    let mut url: Url = plain.parse().ok()?;
    let mut until = url.query_pairs().filter(|(name, _)| name == "Expires");
    let until = until.next()?.1.into_owned();
    // In the order of their names.
    let said: Vec<(&str, String)> = [
        ("response-cache-control", said.cache_control),
        ("response-content-disposition", said.content_disposition),
        ("response-content-type", said.content_type),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect();
    if said.is_empty() {
        return Some(plain.to_owned());
    }
    let joined = |value: fn(&str) -> String| {
        let pairs = said.iter();
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
    let signed = format!("GET\n\n\n{until}\n{bucket}{path}?{}", joined(str::to_owned));
    let mut mac = Hmac::<Sha1>::new_from_slice(options.secret.reveal().as_bytes()).ok()?;
    mac.update(signed.as_bytes());
    let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    let query = format!(
        "{}&OSSAccessKeyId={}&Expires={until}&Signature={}",
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
    use crate::{BucketKind, Secret, bucket::connect};

    /// What the client can say by itself has the signature that it computes.
    #[tokio::test]
    async fn a_url_is_signed_as_the_client_does() {
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
            let operator = connect::operator(&options).unwrap();
            let presign = async |said: Option<&str>| {
                let read = ReadOptions {
                    override_content_disposition: said.map(str::to_owned),
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
                    // A second has passed in between.
                    continue;
                }
                let said = PresignedAs {
                    content_disposition: Some(disposition.to_owned()),
                    ..PresignedAs::default()
                };
                let url = say(&options, &plain, said).unwrap();
                assert_eq!(query(&url), query(&expected));
                assert_eq!(url.split('?').next(), expected.split('?').next());
                break;
            }
        }
    }
}
