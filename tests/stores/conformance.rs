//! The stand-in for OSS behaves like OSS.

use std::process::Command;

use harness::{binary, path_variable};

#[test]
fn the_vendors_own_client_accepts_the_stand_in() {
    let python = path_variable("TEST_OSS_PYTHON");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/oss/conformance.py");
    let output = Command::new(python)
        .arg(script)
        .arg(binary().with_file_name("oss-stand-in"))
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}{errors}");
    let passed = report.trim().strip_suffix(" checks passed").unwrap();
    assert!(passed.parse::<u32>().unwrap() > 0, "{report}");
}
