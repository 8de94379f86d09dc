//! Properties of what a server's answers are read as, for every input: `fuzz/` searches for inputs that
//! break them, and a test tries those that it kept.

use std::fmt::Write as _;

use crate::disposition::file_name;

/// Whatever a server sends, a download has a name without a folder, which is read as it was written.
pub fn download_names(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let Some(name) = file_name(text) else {
        return;
    };
    assert!(!name.as_str().contains(['/', '\\']));
    let mut written = String::from("attachment; filename=\"x\"; filename*=UTF-8''");
    for byte in name.as_str().bytes() {
        // Writing to a string cannot fail.
        let _ = write!(written, "%{byte:02X}");
    }
    assert_eq!(file_name(&written), Some(name), "{written}");
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::{replay::replay, *};

    #[test]
    fn every_kept_input_has_its_property() {
        replay("download_names", download_names);
    }
}
