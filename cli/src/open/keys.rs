//! The secret keys of cursors and links, from the settings or from the data folder.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::{Context as _, Result};
use domain::Sha256;
use service::{CursorKey, LinkKeys};

use crate::settings::{Settings, split_list};

/// The key that signs cursors.
pub(super) fn cursor_key(settings: &Settings) -> Result<CursorKey> {
    let digits = match &settings.cursor_key {
        Some(digits) => digits.clone(),
        None => stored_key(&settings.data_dir.join("cursor.key"))?,
    };
    let key = parse_key(&digits).context("the cursor key is malformed")?;
    Ok(CursorKey::new(key))
}

/// The keys that sign links; the first one signs, all of them verify.
pub(super) fn link_keys(settings: &Settings) -> Result<LinkKeys> {
    let mut all = split_list(&settings.link_keys);
    if all.is_empty() {
        all.push(stored_key(&settings.data_dir.join("link.key"))?);
    }
    let keys = all.iter().map(|digits| parse_key(digits));
    let keys: Vec<[u8; 32]> = keys
        .collect::<Result<_>>()
        .context("a link key is malformed")?;
    LinkKeys::new(keys).context("there is no link key")
}

/// Parses a key of 64 hexadecimal digits, the form of a SHA-256.
fn parse_key(digits: &str) -> Result<[u8; 32]> {
    let key: Sha256 = digits.trim().parse()?;
    Ok(*key.as_bytes())
}

/// Reads the key in a file, which is created if it does not exist.
///
/// A new key is written under another name and then linked, so that no process reads a part of it.
fn stored_key(path: &Path) -> Result<String> {
    if !path.exists() {
        create_key(path).with_context(|| path.display().to_string())?;
    }
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn create_key(path: &Path) -> Result<()> {
    let (mut key, mut suffix) = ([0; 32], [0; 8]);
    getrandom::fill(&mut key)?;
    getrandom::fill(&mut suffix)?;
    let temporary = path.with_extension(format!("{:016x}", u64::from_ne_bytes(suffix)));
    let linked = write_key(&temporary, &Sha256::from(key).to_string())
        .and_then(|()| fs::hard_link(&temporary, path));
    let _ = fs::remove_file(&temporary);
    match linked {
        // Another process was faster; its key counts.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => Ok(linked?),
    }
}

fn write_key(path: &Path, digits: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(digits.as_bytes())?;
    file.sync_all()
}
