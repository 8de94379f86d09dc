//! Verification of signatures, in the header or in the URL: version 1
//! (<https://www.alibabacloud.com/help/en/oss/developer-reference/include-signatures-in-the-authorization-header>)
//! and version 4
//! (<https://www.alibabacloud.com/help/en/oss/developer-reference/recommend-to-use-signature-version-4>).

use std::collections::BTreeMap;

use actix_web::http::header::HttpDate;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime, PrimitiveDateTime};

use crate::{
    error::{Error, Result},
    request::{Request, hex, percent_encode},
};

/// The maximum difference of the clocks.
const SKEW: Duration = Duration::minutes(15);

/// The query parameters that version 1 signs.
const SIGNED: &[&str] = &[
    "accessPoint",
    "accessPointPolicy",
    "acl",
    "append",
    "asyncFetch",
    "bucketArchiveDirectRead",
    "bucketInfo",
    "callback",
    "callback-var",
    "cloudboxes",
    "cname",
    "comp",
    "continuation-token",
    "cors",
    "delete",
    "encryption",
    "endTime",
    "group",
    "httpsConfig",
    "img",
    "inventory",
    "inventoryId",
    "lifecycle",
    "link",
    "live",
    "location",
    "logging",
    "metaQuery",
    "objectInfo",
    "objectMeta",
    "partNumber",
    "policy",
    "position",
    "publicAccessBlock",
    "qos",
    "qosInfo",
    "qosRequester",
    "redundancyTransition",
    "referer",
    "regionList",
    "replication",
    "replicationLocation",
    "replicationProgress",
    "requestPayment",
    "requesterQosInfo",
    "resourceGroup",
    "resourcePool",
    "resourcePoolBuckets",
    "resourcePoolInfo",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "security-token",
    "sequential",
    "startTime",
    "stat",
    "status",
    "style",
    "styleName",
    "symlink",
    "tagging",
    "transferAcceleration",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "vod",
    "website",
    "worm",
    "wormExtend",
    "wormId",
    "x-oss-ac-forward-allow",
    "x-oss-ac-source-ip",
    "x-oss-ac-subnet-mask",
    "x-oss-ac-vpc-id",
    "x-oss-access-point-name",
    "x-oss-async-process",
    "x-oss-process",
    "x-oss-redundancy-transition-taskid",
    "x-oss-request-payer",
    "x-oss-target-redundancy-type",
    "x-oss-traffic-limit",
    "x-oss-write-get-object-response",
];

/// The name of version 4.
const VERSION_4: &str = "OSS4-HMAC-SHA256";

/// An access key.
pub(crate) struct Key {
    /// The key's ID.
    pub(crate) id: String,
    /// The key's secret.
    pub(crate) secret: String,
}

/// Verifies that a request is signed with the key, and recently enough.
pub(crate) fn verify(request: &Request, key: &Key, now: OffsetDateTime) -> Result<()> {
    let parameter = |name| request.parameter(name);
    if let Some(authorization) = request.header("authorization") {
        if let Some(fields) = authorization.strip_prefix(VERSION_4) {
            return verify_4(request, key, now, &fields_of(fields));
        }
        let signed = authorization.strip_prefix("OSS ");
        let (id, signature) = signed
            .and_then(|signed| signed.trim().split_once(':'))
            .ok_or(Error::InvalidArgument("Authorization header is invalid."))?;
        let date = request.header("x-oss-date").or(request.header("date"));
        let date = date.unwrap_or_default();
        let signed_at = date
            .parse::<HttpDate>()
            .map_err(|_| Error::AccessDenied("OSS authentication requires a valid Date."))?;
        is_known(key, id)?;
        is_near(
            now,
            OffsetDateTime::from(std::time::SystemTime::from(signed_at)),
        )?;
        return verify_1(request, key, date, signature);
    }
    if parameter("x-oss-signature-version") == Some(VERSION_4) {
        return verify_4(request, key, now, &fields_of_url(request));
    }
    match (
        parameter("OSSAccessKeyId"),
        parameter("Expires"),
        parameter("Signature"),
    ) {
        (Some(id), Some(expires), Some(signature)) => {
            is_known(key, id)?;
            let until = expires.parse::<i64>().ok();
            let until = until.and_then(|until| OffsetDateTime::from_unix_timestamp(until).ok());
            if until.is_none_or(|until| until < now) {
                return Err(Error::AccessDenied("Request has expired."));
            }
            verify_1(request, key, expires, signature)
        }
        (None, None, None) => Err(Error::AccessDenied(
            "You have no right to access this object because of bucket acl.",
        )),
        _ => Err(Error::AccessDenied(
            "Query-string authentication requires the Signature, Expires and OSSAccessKeyId parameters",
        )),
    }
}

fn is_known(key: &Key, id: &str) -> Result<()> {
    if key.id == id {
        Ok(())
    } else {
        Err(Error::InvalidAccessKeyId)
    }
}

fn is_near(now: OffsetDateTime, signed_at: OffsetDateTime) -> Result<()> {
    if (now - signed_at).abs() > SKEW {
        return Err(Error::RequestTimeTooSkewed);
    }
    Ok(())
}

/// Verifies a signature of version 1. `date` is the time of signing or, in a URL, of expiry.
fn verify_1(request: &Request, key: &Key, date: &str, signature: &str) -> Result<()> {
    let mut resource = format!("/{}", request.bucket);
    if !request.bucket.is_empty() {
        resource.push('/');
    }
    resource.push_str(&request.key);
    let to_sign = to_sign_1(request, date, &resource);
    let mut signatures = vec![sign_1(key, &to_sign)];
    if request.without_slash {
        // OpenDAL signs the path as it sends it, without the slash.
        let resource = format!("/{}", request.bucket);
        signatures.push(sign_1(key, &to_sign_1(request, date, &resource)));
    }
    if signatures.iter().any(|right| right == signature) {
        return Ok(());
    }
    Err(Error::SignatureDoesNotMatch(to_sign))
}

fn to_sign_1(request: &Request, date: &str, resource: &str) -> String {
    let header = |name| request.header(name).unwrap_or_default();
    let headers = canonical_headers(request, |name| name.starts_with("x-oss-"));
    let mut signed: Vec<_> = request
        .query
        .iter()
        .filter(|(name, _)| SIGNED.contains(&name.as_str()))
        .collect();
    signed.sort();
    let parameters = join(signed.into_iter().map(|(name, value)| (name, value)));
    let mark = if parameters.is_empty() { "" } else { "?" };
    format!(
        "{}\n{}\n{}\n{date}\n{headers}{resource}{mark}{parameters}",
        request.method(),
        header("content-md5"),
        header("content-type"),
    )
}

fn sign_1(key: &Key, to_sign: &str) -> String {
    BASE64_STANDARD.encode(sign::<Hmac<Sha1>>(key.secret.as_bytes(), to_sign))
}

/// The fields after the name of version 4: `Credential=…, AdditionalHeaders=…, Signature=…`.
fn fields_of(authorization: &str) -> BTreeMap<&str, &str> {
    let fields = authorization.split(',').map(str::trim);
    fields.filter_map(|field| field.split_once('=')).collect()
}

/// The same fields from a URL.
fn fields_of_url(request: &Request) -> BTreeMap<&str, &str> {
    let names = [
        ("Credential", "x-oss-credential"),
        ("AdditionalHeaders", "x-oss-additional-headers"),
        ("Signature", "x-oss-signature"),
        ("Date", "x-oss-date"),
        ("Expires", "x-oss-expires"),
    ];
    let fields = names.into_iter();
    let fields = fields.filter_map(|(name, other)| Some((name, request.parameter(other)?)));
    fields.collect()
}

/// Verifies a signature of version 4, for any region.
fn verify_4(
    request: &Request,
    key: &Key,
    now: OffsetDateTime,
    fields: &BTreeMap<&str, &str>,
) -> Result<()> {
    const INVALID: Error = Error::InvalidArgument("Authorization header is invalid.");
    let credential = fields.get("Credential").ok_or(INVALID)?;
    let signature = fields.get("Signature").ok_or(INVALID)?;
    let (id, scope) = credential.split_once('/').ok_or(INVALID)?;
    let [day, region, "oss", "aliyun_v4_request"] = *scope.split('/').collect::<Vec<_>>() else {
        return Err(INVALID);
    };
    is_known(key, id)?;
    let in_url = fields.get("Date").copied();
    let date = in_url.or(request.header("x-oss-date")).unwrap_or_default();
    let signed_at = parse_date(date).filter(|_| date.starts_with(day));
    let signed_at = signed_at.ok_or(Error::AccessDenied(
        "OSS authentication requires a valid Date.",
    ))?;
    if in_url.is_none() {
        is_near(now, signed_at)?;
    } else {
        let expires = fields.get("Expires").and_then(|value| value.parse().ok());
        let expires = expires.map_or(Duration::ZERO, Duration::seconds);
        if now < signed_at - SKEW || now > signed_at + expires {
            return Err(Error::AccessDenied("Request has expired."));
        }
    }
    let additional = fields.get("AdditionalHeaders").copied().unwrap_or_default();
    let asked = canonical_request_4(request, additional);
    let digest = hex(&Sha256::digest(&asked));
    let to_sign = format!("{VERSION_4}\n{date}\n{scope}\n{digest}");
    let mut signing_key = format!("aliyun_v4{}", key.secret).into_bytes();
    for part in [day, region, "oss", "aliyun_v4_request"] {
        signing_key = sign::<Hmac<Sha256>>(&signing_key, part);
    }
    if hex(&sign::<Hmac<Sha256>>(&signing_key, &to_sign)) == *signature {
        return Ok(());
    }
    Err(Error::SignatureDoesNotMatch(format!(
        "{to_sign}\n\n{asked}"
    )))
}

fn canonical_request_4(request: &Request, additional: &str) -> String {
    let path = if request.bucket.is_empty() {
        "/".to_owned()
    } else {
        format!("/{}/{}", request.bucket, request.key)
    };
    let path = path
        .split('/')
        .map(percent_encode)
        .collect::<Vec<_>>()
        .join("/");
    let signed = request
        .query
        .iter()
        .filter(|(name, _)| name != "x-oss-signature");
    let signed = signed.map(|(name, value)| (percent_encode(name), percent_encode(value)));
    let mut signed: Vec<_> = signed.collect();
    signed.sort();
    let query = join(signed.iter().map(|(name, value)| (name, value)));
    let headers = canonical_headers(request, |name| {
        name.starts_with("x-oss-")
            || matches!(name, "content-type" | "content-md5")
            || additional.split(';').any(|other| other == name)
    });
    let payload = request.header("x-oss-content-sha256");
    let payload = payload.unwrap_or("UNSIGNED-PAYLOAD");
    let method = request.method();
    format!("{method}\n{path}\n{query}\n{headers}\n{additional}\n{payload}")
}

/// The signed header fields, one per line.
fn canonical_headers(request: &Request, is_signed: impl Fn(&str) -> bool) -> String {
    let mut signed = BTreeMap::<&str, Vec<String>>::new();
    for (name, value) in request.headers() {
        if is_signed(name.as_str()) {
            let value = String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
            signed.entry(name.as_str()).or_default().push(value);
        }
    }
    let lines = signed
        .iter()
        .map(|(name, values)| format!("{name}:{}\n", values.join(",")));
    lines.collect()
}

/// Joins query parameters. An empty one has only its name.
fn join<'p>(parameters: impl Iterator<Item = (&'p String, &'p String)>) -> String {
    let pairs = parameters.map(|(name, value)| match value.as_str() {
        "" => name.clone(),
        value => format!("{name}={value}"),
    });
    pairs.collect::<Vec<_>>().join("&")
}

fn parse_date(text: &str) -> Option<OffsetDateTime> {
    let format = "[year][month][day]T[hour][minute][second]Z";
    let format = time::format_description::parse_borrowed::<2>(format).ok()?;
    let date = PrimitiveDateTime::parse(text, &format).ok()?;
    Some(date.assume_utc())
}

fn sign<M: Mac + KeyInit>(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC accepts keys of any length, so this cannot fail.
    M::new_from_slice(key).map_or_else(
        |_| Vec::new(),
        |mut mac| {
            mac.update(text.as_bytes());
            mac.finalize().into_bytes().to_vec()
        },
    )
}
