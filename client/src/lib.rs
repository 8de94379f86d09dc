//! The client of a file service, for the subcommands that talk to one.
//!
//! A transfer outlives what passes, such as a connection that breaks or a server that starts anew,
//! and goes on from where it was. The token goes to no other server than the one it is for.

mod claim;
mod connection;
mod disposition;
mod download;
mod error;
mod exchange;
mod progress;
mod put;
mod retry;
mod source;
mod stream;
mod tus;
mod upload;

use std::{fmt, process::ExitCode};

pub use connection::Client;
pub use download::Download;
pub use error::Trouble;
pub use exchange::read_json;
pub use put::{Named, Way, put};
pub use source::Input;

use domain::ErrorChain;

/// How the parts of a subcommand's work ended; the worst of them makes the exit code.
#[derive(Default)]
pub struct Outcome {
    worst: u8,
}

impl Outcome {
    /// Tells that a part failed.
    pub fn failed(&mut self, part: impl fmt::Display, trouble: &Trouble) {
        let line = format!("{part}: {}", ErrorChain(trouble));
        eprintln!("fileserver: {}", shown(&line));
        self.worst = self.worst.max(trouble.exit_code());
    }

    /// 0 if all went well, 1 if the server refused something, 2 if something failed.
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(self.worst)
    }
}

/// A text from elsewhere as a terminal may show it: in one line, in the order of its characters,
/// and without commands to the terminal.
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || changes_order(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Whether it makes its neighbours appear elsewhere, or ends a line (UAX #9, UAX #14).
fn changes_order(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing_but_text() {
        assert_eq!(shown("数据 שלום.bin"), "数据 שלום.bin");
        assert_eq!(shown("a\x1b[2Jb\r\n"), "a\\u{1b}[2Jb\\r\\n");
        assert_eq!(shown("\u{9b}x\u{202e}txt.exe"), "\\u{9b}x\\u{202e}txt.exe");
    }

    #[test]
    fn the_worst_part_makes_the_exit_code() {
        let mut outcome = Outcome::default();
        assert_eq!(outcome.worst, 0);
        outcome.failed("a", &Trouble::Idle);
        assert_eq!(outcome.worst, 2);
        outcome.failed("b", &error::refused(404, "", None));
        assert_eq!(outcome.worst, 2);
    }
}
