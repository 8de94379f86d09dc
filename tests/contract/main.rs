//! Asserts that the tests saw every answer of the contract.
//!
//! `tests/run` runs this after the others, which note what they saw.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on panics"
)]

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::Value;

/// Answers that no client can cause, by operation (or `*`) and status.
const NOT_TO_BE_CAUSED: &[(&str, &str)] = &[
    // A defect, or damage to a row; damaged bytes are tested by downloading them.
    ("*", "500"),
    // Rendering the metrics cannot fail.
    ("read_metrics", "503"),
    ("read_metrics_head", "503"),
    // Another request would have to come in the moment in which one ends a third.
    ("remove_tus_upload", "409"),
    ("remove_upload", "409"),
];

#[test]
fn every_answer_of_the_contract_was_seen() {
    let folder = std::env::var_os("CONTRACT_COVERAGE");
    let folder = folder.expect("`tests/run` runs the tests whose answers are looked at here");
    let seen: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let printed = Command::new(harness::binary())
        .args(["openapi", "--json"])
        .output()
        .unwrap();
    let contract: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let mut unseen = Vec::new();
    for item in contract["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let name = operation["operationId"].as_str().unwrap();
            for status in operation["responses"].as_object().unwrap().keys() {
                let caused = !NOT_TO_BE_CAUSED.iter().any(|(operation, other)| {
                    (*operation == "*" || *operation == name) && other == status
                });
                if caused && !seen.contains(&format!("{name} {status}")) {
                    unseen.push(format!("{name} {status}"));
                }
            }
        }
    }
    assert!(unseen.is_empty(), "no test has seen {unseen:#?}");
    assert!(
        seen.contains("download_file 500"),
        "lost bytes are a defect"
    );
}
