//! Output of the subcommands that talk to a server: escaped texts, progress bars and exit codes.

use std::{
    fmt,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

use client::{ClientError, Notice, Observer, Phase};
use domain::ErrorChain;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::StatusCode;

const WITH_LENGTH: &str = "{msg} {bar:24} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
const WITHOUT_LENGTH: &str = "{msg} {bytes} {bytes_per_sec}";

/// The outcomes of a subcommand's parts; the worst one determines the exit code.
#[derive(Default)]
pub(crate) struct Outcome {
    worst: u8,
}

impl Outcome {
    /// Prints why a part failed.
    pub(crate) fn failed(&mut self, part: impl fmt::Display, error: &ClientError) {
        let remedy = match error {
            ClientError::NoServer(..) => {
                "; start one by `fileserver serve`, or name its URL by `--server`"
            }
            _ if error.status() == Some(StatusCode::UNAUTHORIZED) => {
                "; give a token by `--token` or FILESERVER_TOKEN"
            }
            _ => "",
        };
        let line = format!("{part}: {}{remedy}", ErrorChain(error));
        eprintln!("fileserver: {}", sanitize_for_terminal(&line));
        let code = match error.status() {
            Some(status) if !status.is_server_error() => 1,
            _ => 2,
        };
        self.worst = self.worst.max(code);
    }

    /// 0 if everything succeeded, 1 if the server refused something, 2 if something failed.
    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(self.worst)
    }
}

/// Shows the progress of a transfer as a bar, on a terminal only.
pub(crate) struct Bar {
    progress: ProgressBar,
    verbose: bool,
    /// Whether another process would continue the upload.
    is_remembered: AtomicBool,
}

impl Bar {
    /// Creates the bar; it appears when a transfer begins.
    pub(crate) fn new(verbose: bool) -> Self {
        Self {
            progress: ProgressBar::new_spinner(),
            verbose,
            is_remembered: AtomicBool::new(false),
        }
    }

    /// Returns whether the current upload is remembered, so that another process continues it.
    pub(crate) fn is_remembered(&self) -> bool {
        self.is_remembered.load(Ordering::Relaxed)
    }

    /// Names the file that is transferred.
    pub(crate) fn set_name(&self, name: &str) {
        self.is_remembered.store(false, Ordering::Relaxed);
        self.progress.set_message(sanitize_for_terminal(name));
    }

    /// Prints a line without disturbing the bar.
    pub(crate) fn print(&self, line: &str) {
        self.progress
            .suspend(|| eprintln!("{}", sanitize_for_terminal(line)));
    }

    /// Removes the bar.
    pub(crate) fn clear(&self) {
        self.progress.finish_and_clear();
    }
}

impl Observer for Bar {
    fn begin(&self, _: Phase, length: Option<u64>) {
        let template = if let Some(length) = length {
            self.progress.set_length(length);
            WITH_LENGTH
        } else {
            self.progress.unset_length();
            WITHOUT_LENGTH
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.progress.set_style(style);
        }
        self.progress.reset();
    }

    fn advance(&self, position: u64) {
        self.progress.set_position(position);
    }

    fn notice(&self, notice: Notice<'_>) {
        if matches!(notice, Notice::Remembered) {
            self.is_remembered.store(true, Ordering::Relaxed);
            return;
        }
        let is_detail = matches!(notice, Notice::NotInstant(_) | Notice::NotRemembered(_));
        if self.verbose || !is_detail {
            self.print(&format!("fileserver: {notice}"));
        }
    }
}

/// Escapes a text from elsewhere for a terminal: control characters, line ends, and characters that
/// change the order of their neighbours.
pub(crate) fn sanitize_for_terminal(text: &str) -> String {
    let mut sanitized = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || changes_order(character) {
            sanitized.extend(character.escape_default());
        } else {
            sanitized.push(character);
        }
    }
    sanitized
}

/// Returns whether a character reorders its neighbours or ends a line (UAX #9, UAX #14).
fn changes_order(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_nothing_but_text() {
        let sanitize = sanitize_for_terminal;
        assert_eq!(sanitize("数据 שלום.bin"), "数据 שלום.bin");
        assert_eq!(sanitize("a\x1b[2Jb\r\n"), "a\\u{1b}[2Jb\\r\\n");
        assert_eq!(
            sanitize("\u{9b}x\u{202e}txt.exe"),
            "\\u{9b}x\\u{202e}txt.exe"
        );
    }

    #[test]
    fn the_worst_part_determines_the_exit_code() {
        let mut outcome = Outcome::default();
        assert_eq!(outcome.worst, 0);
        outcome.failed("a", &ClientError::Idle);
        assert_eq!(outcome.worst, 2);
    }
}
