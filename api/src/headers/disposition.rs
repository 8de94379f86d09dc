//! Parsing and writing file names in `Content-Disposition` (RFC 6266, RFC 8187, RFC 7578 §4.2).

use actix_web::http::header::{CONTENT_DISPOSITION, ContentDisposition, HeaderMap, HeaderValue};
use domain::FileName;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::problem::{Problem, ProblemLocation, ProblemType};

/// All characters but the `attr-char` of RFC 8187 §3.2.1.
const NOT_ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Parses the file name in the header of a request, or of a part of a form.
///
/// `filename*` takes precedence over `filename`. The escapes that browsers write for quotes and line
/// ends in a form, `%22`, `%0D` and `%0A`, are decoded.
pub(crate) fn file_name(
    headers: &HeaderMap,
    place: ProblemLocation,
) -> Result<Option<FileName>, Problem> {
    let Some(value) = headers.get(CONTENT_DISPOSITION) else {
        return Ok(None);
    };
    let unreadable = |detail: &str| {
        Problem::new(ProblemType::InvalidFileName, detail)
            .named(place, CONTENT_DISPOSITION.as_str())
    };
    let disposition = ContentDisposition::from_raw(value)
        .map_err(|_| unreadable("the field is malformed or not UTF-8"))?;
    let name = if let Some(extended) = disposition.get_filename_ext() {
        String::from_utf8(extended.value.clone())
            .map_err(|_| unreadable("`filename*` must be UTF-8"))?
    } else if let Some(plain) = disposition.get_filename() {
        if has_lone_backslash(value.as_bytes()) {
            return Err(unreadable(r"a file name cannot contain `\`"));
        }
        match disposition.disposition {
            actix_web::http::header::DispositionType::FormData => unescape_form(plain),
            _ => plain.to_owned(),
        }
    } else {
        return Ok(None);
    };
    name.parse()
        .map(Some)
        .map_err(|error: domain::FileNameError| unreadable(&error.to_string()))
}

/// Formats the file name for a download.
///
/// The plain form, for clients without RFC 8187, has `_` for characters that it cannot express.
pub(crate) fn value(disposition: &str, name: &FileName) -> HeaderValue {
    let plain: String = name
        .as_str()
        .chars()
        .map(|character| match character {
            ' '..='~' if !matches!(character, '"' | '\\' | '%') => character,
            _ => '_',
        })
        .collect();
    let extended = utf8_percent_encode(name.as_str(), NOT_ATTR_CHAR);
    let value = format!("{disposition}; filename=\"{plain}\"; filename*=UTF-8''{extended}");
    // The value is visible ASCII only.
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("attachment"))
}

/// Returns whether a backslash is literal rather than the start of an escape.
fn has_lone_backslash(value: &[u8]) -> bool {
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'\\' && !matches!(bytes.next(), Some(b'"' | b'\\')) {
            return true;
        }
    }
    false
}

fn unescape_form(name: &str) -> String {
    name.replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &[u8]) -> Result<Option<String>, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_bytes(value).unwrap());
        file_name(&headers, ProblemLocation::Part).map(|name| name.map(String::from))
    }

    #[test]
    fn names_are_read_in_every_form_that_clients_write() {
        let name = |value: &str| read(value.as_bytes()).unwrap();
        assert_eq!(name("attachment"), None);
        assert_eq!(name("attachment; filename=a.txt").as_deref(), Some("a.txt"));
        assert_eq!(
            name("form-data; name=\"file\"; filename=\"数据;1.bin\"").as_deref(),
            Some("数据;1.bin")
        );
        assert_eq!(
            name(r#"form-data; name="file"; filename="a\"b\".txt""#).as_deref(),
            Some("a\"b\".txt")
        );
        assert_eq!(
            name(r#"form-data; name="file"; filename="a%22b%20.txt""#).as_deref(),
            Some("a\"b%20.txt")
        );
        assert_eq!(
            name("attachment; filename=\"x\"; filename*=UTF-8''%E6%95%B0.bin").as_deref(),
            Some("数.bin")
        );
    }

    #[test]
    fn names_that_no_file_can_have_are_refused() {
        for value in [
            b"form-data; filename=\"\xff.txt\"".as_slice(),
            br#"form-data; filename="C:\temp\x.txt""#,
            br#"form-data; filename="a/b""#,
            br#"form-data; filename="..""#,
            br#"form-data; filename="""#,
            br#"form-data; filename="a%0D%0ASet-Cookie: x""#,
            b"attachment; filename*=UTF-8''%FF",
            b"attachment; filename*=UTF-8''a%00b",
        ] {
            let problem = read(value).expect_err(&String::from_utf8_lossy(value));
            assert_eq!(problem.kind, ProblemType::InvalidFileName);
        }
    }

    #[test]
    fn what_is_written_is_one_safe_line_and_reads_back() {
        for name in [
            "a.txt",
            "a \"b\" %22.txt",
            "数据.bin",
            "👩‍🚀\u{200f}שלום'*;.png",
        ] {
            let written = value("attachment", &name.parse().unwrap());
            assert!(written.to_str().is_ok(), "{written:?}");
            assert_eq!(read(written.as_bytes()).unwrap().as_deref(), Some(name));
        }
    }
}
