//! Whether the stand-in for OSS is like OSS.

use std::process::Command;

use harness::binary;

#[test]
fn the_vendors_own_client_finds_the_stand_in_to_be_like_oss() {
    let python = harness::variable("TEST_OSS_PYTHON");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/oss/conformance.py");
    let held = Command::new(python)
        .arg(script)
        .arg(binary().with_file_name("oss-stand-in"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&held.stdout);
    let trouble = String::from_utf8_lossy(&held.stderr);
    assert!(held.status.success(), "{said}{trouble}");
    let passed = said.trim().strip_suffix(" checks passed").unwrap();
    assert!(passed.parse::<u32>().unwrap() > 0, "{said}");
}
