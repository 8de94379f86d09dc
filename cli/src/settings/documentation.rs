//! The tables of the settings in the guides name each setting with its variable and its default.

use std::{collections::BTreeSet, fs, path::Path};

use clap::{Args as _, Command};

use super::Settings;

/// The rows of the tables of settings: the cells after the first, for each flag in the first.
fn rows() -> Vec<(String, [String; 2])> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut rows = Vec::new();
    for guide in ["settings.md", "stores.md"] {
        let text = fs::read_to_string(docs.join(guide)).unwrap();
        for line in text.lines().filter(|line| line.starts_with("| `--")) {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
            let [flags, variables, meaning] = cells[..] else {
                panic!("{guide}: {line}");
            };
            for flag in flags.split('`').filter(|text| text.starts_with("--")) {
                let cells = [variables.to_owned(), meaning.to_owned()];
                rows.push((flag.to_owned(), cells));
            }
        }
    }
    rows
}

#[test]
fn each_setting_is_in_a_guide() {
    let rows = rows();
    let command = Settings::augment_args(Command::new("fileserver"));
    let mut flags = BTreeSet::new();
    for setting in command.get_arguments() {
        let flag = format!("--{}", setting.get_long().unwrap());
        let found: Vec<_> = rows.iter().filter(|(name, _)| *name == flag).collect();
        assert!(!found.is_empty(), "no guide has {flag}");
        let variable = setting.get_env().unwrap().to_str().unwrap();
        let default = setting.get_default_values().first();
        let default = default.map(|value| value.to_str().unwrap());
        for (_, [variables, _]) in &found {
            let is_named =
                variables.contains(&format!("`{variable}`")) || variables.contains("...");
            assert!(is_named, "{flag}: {variable} is not in {variables}");
        }
        let tells = |text: &str| found.iter().any(|(_, [_, meaning])| meaning.contains(text));
        assert!(
            default.is_none_or(tells),
            "{flag}: the default is {default:?}"
        );
        flags.insert(flag);
    }
    for (flag, _) in rows {
        assert!(flags.contains(&flag), "there is no setting {flag}");
    }
}
