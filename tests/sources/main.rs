//! Every source file is part of a crate, and every program of tests part of the run: a test whose line
//! was lost would never run again, and nobody would hear of it.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What a crate, or a target of its, begins with. The rest of it is named there, or below.
const ROOTS: [&str; 3] = ["main.rs", "lib.rs", "build.rs"];

#[test]
fn every_file_is_a_module() {
    let (mut files, mut lost) = (0, Vec::new());
    for folder in members() {
        for file in sources(&folder) {
            files += 1;
            if !is_root(&folder, &file) && !is_named(&file) {
                lost.push(file);
            }
        }
    }
    assert!(files > 200, "{files} files were found");
    assert_eq!(lost, [] as [PathBuf; 0], "nothing names these files");
}

/// `tests/run` begins with those that need no binary of the service, so it names all of them.
#[test]
fn each_program_of_tests_is_run() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = fs::read_to_string(tests.join("run")).unwrap();
    let words: Vec<&str> = script.split_whitespace().collect();
    let mut programs = Vec::new();
    for member in members() {
        let manifest: toml::Table = parsed(&member.join("Cargo.toml"));
        let listed = manifest.get("test").and_then(|list| list.as_array());
        let names = listed
            .into_iter()
            .flatten()
            .map(|test| test["name"].as_str());
        programs.extend(names.map(|name| name.unwrap().to_owned()));
        // Cargo finds those of the others: a file, or a folder with `main.rs`.
        if manifest.get("test").is_none() {
            let found = fs::read_dir(member.join("tests")).into_iter().flatten();
            let found = found.map(|entry| entry.unwrap().path());
            let found = found.filter(|path| path.is_file() || path.join("main.rs").exists());
            programs
                .extend(found.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()));
        }
    }
    assert!(programs.len() > 8, "{programs:?}");
    for name in programs {
        let is_run = words.windows(2).any(|pair| pair == ["--test", &name]);
        assert!(is_run, "tests/run lacks --test {name}");
    }
}

/// The folders of the workspace's members.
fn members() -> Vec<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = parsed(&workspace.join("Cargo.toml"));
    let members = manifest["workspace"]["members"].as_array().unwrap().iter();
    let members = members.map(|member| workspace.join(member.as_str().unwrap()));
    members.collect()
}

fn parsed(manifest: &Path) -> toml::Table {
    fs::read_to_string(manifest).unwrap().parse().unwrap()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // What has a manifest is a member of its own.
        if path.is_dir() && !path.join("Cargo.toml").exists() && !path.ends_with("target") {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Whether a target begins there.
fn is_root(member: &Path, file: &Path) -> bool {
    let name = file.file_name().unwrap().to_str().unwrap();
    // Cargo takes each file there for a target, unless it is told the targets.
    let in_tests = file.parent() == Some(&member.join("tests"));
    ROOTS.contains(&name) || in_tests
}

/// Whether the file above has it as a module.
fn is_named(file: &Path) -> bool {
    let folder = file.parent().unwrap();
    let (module, folder) = if file.ends_with("mod.rs") {
        (folder.file_name(), folder.parent().unwrap())
    } else {
        (file.file_stem(), folder)
    };
    let line = format!("mod {};", module.unwrap().to_str().unwrap());
    let mut above = vec![folder.with_extension("rs"), folder.join("mod.rs")];
    above.extend(ROOTS.map(|root| folder.join(root)));
    if folder.ends_with("tests") {
        let targets = fs::read_dir(folder).unwrap();
        above.extend(targets.map(|entry| entry.unwrap().path()));
    }
    above.iter().any(|above| {
        let text = fs::read_to_string(above).unwrap_or_default();
        let lines = text.lines().map(str::trim);
        let mut modules = lines.map(|line| line.rsplit_once(") ").map_or(line, |(_, rest)| rest));
        modules.any(|named| named.strip_prefix("pub ").unwrap_or(named) == line)
    })
}
