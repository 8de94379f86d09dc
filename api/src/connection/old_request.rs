//! Requests of HTTP/1.0 without a length, as nginx sends them to a server by default.
//!
//! No length means no body (RFC 9112 §6.3). The HTTP library refuses such a `POST`, so the first request
//! of a connection gets the length that it means.

use actix_web::web::BytesMut;

/// The longest head that is looked at, in bytes; the library refuses longer ones.
const MAX_HEAD: usize = 128 * 1024;

const LENGTH: &[u8] = b"Content-Length: 0\r\n";

/// The beginning of a connection.
#[derive(Default)]
pub(super) struct OldRequest {
    /// What has come of a request of HTTP/1.0.
    head: BytesMut,
    /// The number of bytes of its first line, once they are known.
    line: Option<usize>,
    is_over: bool,
}

impl OldRequest {
    /// Returns whether later bytes need not be looked at.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes the next bytes, or the end; returns what can be passed on.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<BytesMut> {
        // What was looked at before is not looked at again, but for the beginning of an end.
        let from = self.head.len().saturating_sub(3);
        self.head.extend_from_slice(bytes);
        let new = &self.head[from..];
        let end = end_of_head(new).map(|end| from + end);
        let line = new.iter().position(|byte| *byte == b'\n');
        self.line = self.line.or(line.map(|line| from + line + 1));
        let is_old = self.line.is_none_or(|line| {
            let line = self.head[..line].trim_ascii_end();
            line.ends_with(b" HTTP/1.0")
        });
        if is_old && end.is_none() && !bytes.is_empty() && self.head.len() < MAX_HEAD {
            return None;
        }
        self.is_over = true;
        let mut head = self.head.split();
        if let (true, Some(line), Some(end)) = (is_old, self.line, end)
            && head.starts_with(b"POST ")
            // Bytes without a length are not dropped: the library refuses them.
            && head.len() == end
            && !has_length(&head[line..end])
        {
            let rest = head.split_off(line);
            head.extend_from_slice(LENGTH);
            head.extend_from_slice(&rest);
        }
        Some(head)
    }
}

/// The place behind the empty line after a head.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let behind = |end: &[u8]| {
        let at = bytes.windows(end.len()).position(|bytes| bytes == end);
        at.map(|at| at + end.len())
    };
    behind(b"\r\n\r\n").or_else(|| behind(b"\n\n"))
}

/// Returns whether some of a head's fields tell where the body ends.
fn has_length(fields: &[u8]) -> bool {
    let mut names = fields
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b':').next());
    names.any(|name| {
        let name = name.trim_ascii();
        name.eq_ignore_ascii_case(b"content-length")
            || name.eq_ignore_ascii_case(b"transfer-encoding")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(pieces: &[&str]) -> Option<String> {
        let mut request = OldRequest::default();
        let mut passed = None;
        for piece in pieces {
            assert!(passed.is_none());
            passed = request.push(piece.as_bytes());
        }
        assert_eq!(request.is_over(), passed.is_some());
        passed.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn a_post_without_a_length_gets_one() {
        let fixed = "POST /tus HTTP/1.0\r\nContent-Length: 0\r\nHost: a\r\n\r\n";
        assert_eq!(
            passed(&["POST /tus HTTP/1.0\r\nHost: a\r\n\r\n"]).as_deref(),
            Some(fixed)
        );
        let pieces = ["PO", "ST /tus HTTP/1.0\r", "\nHost: a\r\n", "\r\n"];
        assert_eq!(passed(&pieces).as_deref(), Some(fixed));
        let bare = "POST / HTTP/1.0\r\n\r\n";
        let fixed = "POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(passed(&[bare]).as_deref(), Some(fixed));
    }

    #[test]
    fn everything_else_is_passed_on_as_it_is() {
        for request in [
            "POST / HTTP/1.0\r\ncontent-LENGTH : 3\r\n\r\nabc",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.0\nHost: a\n\n",
            "POST / HTTP/1.0\r\n\r\nbytes without a length",
            "POST / HTTP/1.1\r\nHost: a\r\n",
            "no request\r\n",
        ] {
            assert_eq!(passed(&[request]).as_deref(), Some(request));
        }
        // The client hung up.
        assert_eq!(passed(&["POST / HTT", ""]).as_deref(), Some("POST / HTT"));
        assert_eq!(passed(&["POST / HTTP/1.0\r\nHost"]), None);
    }

    #[test]
    fn no_more_than_a_head_is_kept() {
        let mut request = OldRequest::default();
        assert!(request.push(b"POST / HTTP/1.0\r\n").is_none());
        let piece = [b'a'; 1024];
        let passed = (0..MAX_HEAD / 1024).find_map(|_| request.push(&piece));
        assert!(passed.unwrap().len() <= MAX_HEAD + piece.len());
    }
}
