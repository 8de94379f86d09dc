//! The name that a download comes with.

use actix_web::http::header::{ContentDisposition, HeaderValue};
use domain::FileName;

/// The file name in a `Content-Disposition` (RFC 6266), if a file can be called so.
///
/// `filename*` comes before `filename`. It is one name in one folder, whatever the server says.
pub(super) fn file_name(value: &[u8]) -> Option<FileName> {
    let value = HeaderValue::from_bytes(value).ok()?;
    let disposition = ContentDisposition::from_raw(&value).ok()?;
    let name = match disposition.get_filename_ext() {
        Some(extended) => String::from_utf8_lossy(&extended.value).into_owned(),
        None => disposition.get_filename()?.to_owned(),
    };
    sanitize(&name)
}

/// Makes a name of what may be a path, or too long, or no name at all.
fn sanitize(name: &str) -> Option<FileName> {
    let last = name.rsplit(['/', '\\']).next()?;
    let mut name: String = last
        .chars()
        .map(|character| match character {
            character if character.is_control() => '_',
            character => character,
        })
        .collect();
    name.truncate(name.floor_char_boundary(FileName::MAX_BYTES));
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<String> {
        file_name(value.as_bytes()).map(String::from)
    }

    #[test]
    fn the_extended_name_comes_first() {
        let both = "attachment; filename=\"__.bin\"; filename*=UTF-8''%E6%95%B0.bin";
        assert_eq!(read(both).as_deref(), Some("数.bin"));
        assert_eq!(
            read("attachment; filename=\"a b.txt\"").as_deref(),
            Some("a b.txt")
        );
        assert_eq!(read("attachment"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn a_name_is_never_a_path() {
        let name = |value: &str| sanitize(value).map(String::from);
        assert_eq!(name("../../etc/passwd").as_deref(), Some("passwd"));
        assert_eq!(name(r"C:\boot.ini").as_deref(), Some("boot.ini"));
        assert_eq!(name("a\0b\x1b.txt").as_deref(), Some("a_b_.txt"));
        for none in ["", ".", "..", "a/", "a/.."] {
            assert_eq!(name(none), None, "{none}");
        }
        let encoded = "attachment; filename*=UTF-8''..%2F..%2Fetc%2Fpasswd";
        assert_eq!(read(encoded).as_deref(), Some("passwd"));
        assert_eq!(name(&"é".repeat(200)).unwrap().len(), 254);
    }
}
