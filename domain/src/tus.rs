//! What the header fields of tus 1.0.0 say.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{Checksum, ChecksumAlgorithm, RandomId};

/// Why an `Upload-Metadata` field cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// It is longer than what is kept.
    #[error("the metadata have at most {max} bytes, not {0}", max = Metadata::MAX_BYTES)]
    TooLong(usize),
    /// A key is missing, or has a character that no key has.
    #[error("a key is visible ASCII without commas, and a space comes between it and its value")]
    Key,
    /// A key is there twice.
    #[error("the key `{0}` is there more than once")]
    Repeated(String),
    /// A value is not base64.
    #[error("the value of `{0}` is not base64")]
    Value(String),
}

/// What a client says about an upload (tus 1.0.0, `Upload-Metadata`).
///
/// Comma-separated pairs of a key and, behind a space, a value in base64, which may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    text: String,
    pairs: Vec<(String, Vec<u8>)>,
}

impl Metadata {
    /// The most bytes that the field may have.
    pub const MAX_BYTES: usize = 8 * 1024;

    /// Reads the field.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, MetadataError> {
        if text.len() > Self::MAX_BYTES {
            return Err(MetadataError::TooLong(text.len()));
        }
        let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
        for pair in text.split(',') {
            let pair = pair.trim_matches(' ');
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(MetadataError::Key);
            }
            if pairs.iter().any(|(other, _)| other == key) {
                return Err(MetadataError::Repeated(key.to_owned()));
            }
            let value = BASE64_STANDARD
                .decode(value)
                .map_err(|_| MetadataError::Value(key.to_owned()))?;
            pairs.push((key.to_owned(), value));
        }
        Ok(Self {
            text: text.to_owned(),
            pairs,
        })
    }

    /// The value of a key, unless there is none or it is empty.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&[u8]> {
        let pair = self.pairs.iter().find(|(other, _)| other == key);
        pair.map(|(_, value)| value.as_slice())
            .filter(|value| !value.is_empty())
    }

    /// The field as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Why an `Upload-Concat` field cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConcatenationError {
    /// It is none of the two forms.
    #[error("the field reads `partial`, or `final;` and the URLs of partial uploads")]
    Malformed,
    /// There are no parts, or too many of them.
    #[error("an upload is made of 1 to {max} parts, not {0}", max = Concatenation::MAX_PARTS)]
    Parts(usize),
    /// A part is there twice.
    #[error("the upload {0} is named more than once")]
    Repeated(RandomId),
    /// A URL is not an upload's.
    #[error("URL {0} is not that of an upload")]
    Foreign(usize),
}

/// What an upload has to do with others (tus 1.0.0, `Upload-Concat`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concatenation {
    /// It will be a part of another upload.
    Partial,
    /// It is made of these, in this order.
    Final(Vec<RandomId>),
}

impl Concatenation {
    /// The most parts that an upload may be made of.
    pub const MAX_PARTS: usize = 1000;

    /// Reads the field; the URLs in it are absolute or paths, and end in `/tus/` and an id.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ConcatenationError> {
        if text == "partial" {
            return Ok(Self::Partial);
        }
        let urls = text
            .strip_prefix("final;")
            .ok_or(ConcatenationError::Malformed)?;
        let urls: Vec<&str> = urls.split(' ').filter(|url| !url.is_empty()).collect();
        if urls.is_empty() || urls.len() > Self::MAX_PARTS {
            return Err(ConcatenationError::Parts(urls.len()));
        }
        let mut parts = Vec::with_capacity(urls.len());
        for (number, url) in (1..).zip(urls) {
            let part = url
                .rsplit_once("/tus/")
                .and_then(|(_, id)| id.parse().ok())
                .ok_or(ConcatenationError::Foreign(number))?;
            parts.push(part);
        }
        let mut sorted = parts.clone();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ConcatenationError::Repeated(twice[0]));
        }
        Ok(Self::Final(parts))
    }
}

/// Why an `Upload-Checksum` field cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumError {
    /// It is not a name and a value.
    #[error("the field reads `algorithm base64`")]
    Malformed,
    /// The algorithm is not one of those that are offered.
    #[error("the algorithm is not one of sha256, sha1, md5 and crc32")]
    UnknownAlgorithm,
    /// The value is not base64 of as many bytes as the algorithm's checksums have.
    #[error("the value is not {0} bytes in base64")]
    Value(usize),
}

/// Reads what the bytes of a request are announced to have (tus 1.0.0, `Upload-Checksum`).
///
/// # Errors
///
/// What is wrong with the field.
pub fn parse_checksum(text: &str) -> Result<Checksum, ChecksumError> {
    let (name, value) = text.split_once(' ').ok_or(ChecksumError::Malformed)?;
    let algorithm = ChecksumAlgorithm::ALL
        .into_iter()
        .find(|algorithm| algorithm.name() == name)
        .ok_or(ChecksumError::UnknownAlgorithm)?;
    BASE64_STANDARD
        .decode(value)
        .ok()
        .and_then(|value| Checksum::new(algorithm, value))
        .ok_or(ChecksumError::Value(algorithm.size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_are_pairs_of_a_key_and_base64() {
        let metadata = Metadata::parse("filename d29ybGQ=,is_confidential,empty ").unwrap();
        assert_eq!(metadata.value("filename"), Some(b"world".as_slice()));
        assert_eq!(metadata.value("is_confidential"), None);
        assert_eq!(metadata.value("filetype"), None);
        assert_eq!(
            metadata.as_str(),
            "filename d29ybGQ=,is_confidential,empty "
        );
    }

    #[test]
    fn metadata_that_cannot_be_read_are_told_why() {
        let repeated = MetadataError::Repeated("a".to_owned());
        let not_base64 = MetadataError::Value("a".to_owned());
        for (text, error) in [
            ("", MetadataError::Key),
            ("a YQ==,", MetadataError::Key),
            (",a YQ==", MetadataError::Key),
            ("ä YQ==", MetadataError::Key),
            ("a YQ==,a Yg==", repeated),
            ("a !!!!", not_base64.clone()),
            ("a YQ", not_base64.clone()),
            ("a YQ== YQ==", not_base64),
        ] {
            assert_eq!(Metadata::parse(text), Err(error), "{text:?}");
        }
        let long = format!("a {}", "YWFh".repeat(2048));
        assert_eq!(
            Metadata::parse(&long),
            Err(MetadataError::TooLong(long.len()))
        );
    }

    fn id(number: u8) -> RandomId {
        RandomId::from([number; 16])
    }

    #[test]
    fn parts_are_named_by_urls_or_paths() {
        assert_eq!(Concatenation::parse("partial"), Ok(Concatenation::Partial));
        let text = format!("final;/tus/{} https://a.b/x/tus/{}", id(1), id(2));
        assert_eq!(
            Concatenation::parse(&text),
            Ok(Concatenation::Final(vec![id(1), id(2)]))
        );
    }

    #[test]
    fn a_concatenation_that_cannot_be_made_is_told_why() {
        let twice = format!("final;/tus/{0} /tus/{0}", id(1));
        let many = format!("final;{}", format!("/tus/{} ", id(1)).repeat(1001));
        for (text, error) in [
            ("", ConcatenationError::Malformed),
            ("part", ConcatenationError::Malformed),
            ("final", ConcatenationError::Malformed),
            ("final;", ConcatenationError::Parts(0)),
            (&many, ConcatenationError::Parts(1001)),
            (&twice, ConcatenationError::Repeated(id(1))),
            ("final;/tus/1", ConcatenationError::Foreign(1)),
            ("final;/files/00", ConcatenationError::Foreign(1)),
        ] {
            assert_eq!(Concatenation::parse(text), Err(error), "{text:.40}");
        }
    }

    #[test]
    fn a_checksum_is_an_algorithm_and_base64() {
        assert!(parse_checksum("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=").is_ok());
        assert!(parse_checksum("crc32 y/Q5Jg==").is_ok());
        for (text, error) in [
            ("sha1", ChecksumError::Malformed),
            ("", ChecksumError::Malformed),
            (
                "sha512 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
                ChecksumError::UnknownAlgorithm,
            ),
            (
                "SHA1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
                ChecksumError::UnknownAlgorithm,
            ),
            ("sha1 Kq5s", ChecksumError::Value(20)),
            ("md5 !", ChecksumError::Value(16)),
        ] {
            assert_eq!(parse_checksum(text), Err(error), "{text:?}");
        }
    }
}
