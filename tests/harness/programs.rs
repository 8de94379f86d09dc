//! The programs and servers that tests need besides the service.
//!
//! `tests/run` installs and starts all of them. `tests/quick` does without, and leaves out the tests
//! that ask for one: such a test notes its name here, and ends.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::OpenOptions,
    io::Write as _,
    panic::resume_unwind,
    process::Command,
    thread,
};

/// The variable of `tests/quick` that names the file for the tests that are left out, a line each:
/// the program of the test, the test, and what it needs, with tabs between them.
const LEFT_OUT: &str = "TEST_LEFT_OUT";

/// A command of a program that `tests/run` installs.
#[must_use]
pub fn program(name: impl AsRef<OsStr>) -> Command {
    require(&name.as_ref().to_string_lossy());
    Command::new(name)
}

/// Reads a variable that `tests/run` sets for something that it starts or installs.
#[must_use]
pub fn variable(name: &str) -> String {
    require(name);
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: `tests/run` sets it"))
}

/// As [`variable`], for a path.
#[must_use]
pub fn path_variable(name: &str) -> OsString {
    require(name);
    env::var_os(name).unwrap_or_else(|| panic!("{name} is not set: `tests/run` sets it"))
}

/// Says that a test needs something that `tests/quick` does without.
///
/// It has to be called in the test's own thread, which is named after the test.
pub fn require(what: &str) {
    let Some(file) = env::var_os(LEFT_OUT) else {
        return;
    };
    let test = thread::current();
    let binary = env::current_exe().unwrap();
    let binary = binary.file_name().unwrap().to_string_lossy();
    let line = format!("{binary}\t{}\t{what}\n", test.name().unwrap_or_default());
    let file = OpenOptions::new().create(true).append(true).open(file);
    // One write, so that lines of tests that run at the same time do not mix.
    file.unwrap().write_all(line.as_bytes()).unwrap();
    // A test cannot say that it was skipped, so it fails, without the message of a panic, and
    // `tests/quick` tells it from the others by its line.
    resume_unwind(Box::new("left out"));
}
