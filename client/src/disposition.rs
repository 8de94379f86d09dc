//! The file name in the header of a download.

use domain::FileName;
use percent_encoding::percent_decode_str;

/// Parses the file name in a `Content-Disposition` (RFC 6266); `None` if it names no valid file.
///
/// `filename*` takes precedence over `filename`. Whatever the server sends, the result is a name without
/// a folder.
pub(crate) fn file_name(value: &str) -> Option<FileName> {
    let parameters = parameters(value);
    let find = |key: &str| {
        let mut parameters = parameters.iter();
        let found = parameters.find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.map(|(_, value)| value.as_str())
    };
    let extended = find("filename*").and_then(decode_extended);
    sanitize(&extended.or_else(|| find("filename").map(str::to_owned))?)
}

/// Splits a field into its parameters (RFC 9110 §5.6.6), and unquotes their values.
fn parameters(value: &str) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    let mut rest = value.split_once(';').map_or("", |(_, rest)| rest);
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let (value, after) = if let Some(quoted) = after.strip_prefix('"') {
            unquote(quoted)
        } else {
            let end = after.find(';').unwrap_or(after.len());
            (after[..end].trim_end().to_owned(), &after[end..])
        };
        parameters.push((name.trim().to_owned(), value));
        rest = after.split_once(';').map_or("", |(_, rest)| rest);
    }
    parameters
}

/// Reads the rest of a quoted string (RFC 9110 §5.6.4), and returns what follows it.
fn unquote(quoted: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            character => value.push(character),
        }
    }
    (value, "")
}

/// Decodes an extended value in UTF-8 (RFC 8187 §3.2).
fn decode_extended(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_language, encoded) = rest.split_once('\'')?;
    let is_utf8 = charset.eq_ignore_ascii_case("utf-8");
    is_utf8.then(|| percent_decode_str(encoded).decode_utf8_lossy().into_owned())
}

/// Makes a file name of what may be a path, too long, or empty.
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
        file_name(value).map(String::from)
    }

    #[test]
    fn the_extended_name_takes_precedence() {
        let both = "attachment; filename=\"__.bin\"; filename*=UTF-8''%E6%95%B0.bin";
        assert_eq!(read(both).as_deref(), Some("数.bin"));
        assert_eq!(
            read("attachment; filename=\"a b.txt\"").as_deref(),
            Some("a b.txt")
        );
        assert_eq!(
            read(r#"attachment; filename="a\";\\b.txt"; x=y"#).as_deref(),
            Some("b.txt")
        );
        assert_eq!(read("inline;FILENAME=a.txt ;x=1").as_deref(), Some("a.txt"));
        let latin = "attachment; filename=\"e.txt\"; filename*=iso-8859-1'en'%E9.txt";
        assert_eq!(read(latin).as_deref(), Some("e.txt"));
        assert_eq!(read("attachment; filename=\"open"), Some("open".to_owned()));
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
