//! What a client shows while it works, on a terminal only.

use indicatif::{ProgressBar, ProgressStyle};

use super::{connection::Client, shown};

const OF_SOME: &str = "{msg} {bar:24} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
const WITHOUT_END: &str = "{msg} {bytes} {bytes_per_sec}";

impl Client {
    /// Begins to show how many bytes of something are done.
    pub fn progress(&self, what: &str, size: Option<u64>) -> ProgressBar {
        let bar = self.bars.add(match size {
            Some(size) => ProgressBar::new(size),
            None => ProgressBar::no_length(),
        });
        let template = size.map_or(WITHOUT_END, |_| OF_SOME);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(shown(what));
        bar
    }

    /// Tells something on standard error.
    pub fn note(&self, note: &str) {
        self.bars
            .suspend(|| eprintln!("fileserver: {}", shown(note)));
    }

    /// Tells something to those who want to know more.
    pub fn verbose_note(&self, note: &str) {
        if self.verbose {
            self.note(note);
        }
    }
}
