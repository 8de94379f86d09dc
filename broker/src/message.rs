//! The format of messages: a JSON object with the id of a job.

use serde::{Deserialize, Serialize};

/// Maximum size of a message in bytes. No message of this service is larger.
const MAX_MESSAGE_SIZE: usize = 1024;

#[derive(Serialize, Deserialize)]
struct Message {
    job: i64,
}

/// The reason why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("the message is too long: {0} bytes")]
    TooLong(usize),
    #[error(transparent)]
    Malformed(#[from] serde_json::Error),
}

pub(crate) fn write(job: i64) -> Vec<u8> {
    serde_json::json!(Message { job }).to_string().into_bytes()
}

pub(crate) fn read(bytes: &[u8]) -> Result<i64, Unreadable> {
    if bytes.len() > MAX_MESSAGE_SIZE {
        return Err(Unreadable::TooLong(bytes.len()));
    }
    let message: Message = serde_json::from_slice(bytes)?;
    Ok(message.job)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_messages_can_be_read() {
        for job in [0, 1, 123, i64::MAX, i64::MIN] {
            assert_eq!(read(&write(job)).unwrap(), job);
        }
        assert_eq!(write(123), br#"{"job":123}"#);
    }

    #[test]
    fn malformed_messages_are_unreadable() {
        let too_long = format!(r#"{{"job":1,"x":"{}"}}"#, "x".repeat(MAX_MESSAGE_SIZE));
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
