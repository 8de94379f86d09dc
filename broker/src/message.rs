//! What a message says.

use serde::{Deserialize, Serialize};

/// No message of ours is longer; what is was put there by somebody else.
const LONGEST: usize = 1024;

#[derive(Serialize, Deserialize)]
struct Message {
    job: i64,
}

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("it has {0} bytes")]
    TooLong(usize),
    #[error(transparent)]
    NoMessage(#[from] serde_json::Error),
}

pub(crate) fn write(job: i64) -> Vec<u8> {
    serde_json::json!(Message { job }).to_string().into_bytes()
}

pub(crate) fn read(bytes: &[u8]) -> Result<i64, Unreadable> {
    if bytes.len() > LONGEST {
        return Err(Unreadable::TooLong(bytes.len()));
    }
    let message: Message = serde_json::from_slice(bytes)?;
    Ok(message.job)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for job in [0, 1, 123, i64::MAX, i64::MIN] {
            assert_eq!(read(&write(job)).unwrap(), job);
        }
        assert_eq!(write(123), br#"{"job":123}"#);
    }

    #[test]
    fn what_is_no_message_is_unreadable() {
        let too_long = format!(r#"{{"job":1,"x":"{}"}}"#, "x".repeat(LONGEST));
        let bytes: [&[u8]; 6] = [
            b"",
            b"\xff",
            b"123",
            br#"{"job":"1"}"#,
            br#"{"job":9223372036854775808}"#,
            too_long.as_bytes(),
        ];
        for bytes in bytes {
            assert!(read(bytes).is_err());
        }
    }
}
