//! What an owner knows of their files.

use std::collections::BTreeMap;

use domain::Sha1;
use harness::File;

/// A file as it was acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) file: File,
    pub(crate) name: String,
    pub(crate) is_deleted: bool,
}

/// What a request asks for. If it gets no answer, it may be done or not, and nothing in between.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// To store a file. One that is there keeps its name.
    Put(File, String),
    Rename(Sha1, String),
    Delete(Sha1),
    Restore(Sha1),
    /// To delete it for good.
    Purge(Sha1),
}

/// The acknowledged files of an owner.
#[derive(Debug, Default)]
pub(crate) struct Model(BTreeMap<Sha1, Entry>);

impl Change {
    pub(crate) fn sha1(&self) -> Sha1 {
        match self {
            Self::Put(file, _) => file.sha1(),
            Self::Rename(sha1, _)
            | Self::Delete(sha1)
            | Self::Restore(sha1)
            | Self::Purge(sha1) => *sha1,
        }
    }
}

impl Model {
    /// Makes an acknowledged change.
    pub(crate) fn apply(&mut self, change: &Change) {
        let sha1 = change.sha1();
        match (change, self.0.get_mut(&sha1)) {
            (Change::Put(..), Some(_)) => {}
            (Change::Put(file, name), None) => {
                let entry = Entry {
                    file: *file,
                    name: name.clone(),
                    is_deleted: false,
                };
                self.0.insert(sha1, entry);
            }
            (Change::Rename(_, name), Some(entry)) => entry.name.clone_from(name),
            (Change::Delete(_), Some(entry)) => entry.is_deleted = true,
            (Change::Restore(_), Some(entry)) => entry.is_deleted = false,
            (Change::Purge(_), _) => drop(self.0.remove(&sha1)),
            (change, None) => panic!("{change:?} is of a file that is not there"),
        }
    }

    /// The name of a file, if it is there.
    pub(crate) fn name(&self, sha1: &Sha1) -> Option<&str> {
        let entry = self.0.get(sha1).filter(|entry| !entry.is_deleted);
        entry.map(|entry| entry.name.as_str())
    }

    /// The name that a file has after a change, if it is there then.
    pub(crate) fn name_after<'a>(&'a self, change: &'a Change) -> Option<&'a str> {
        let sha1 = change.sha1();
        match change {
            Change::Put(_, name) => self.name(&sha1).or(Some(name)),
            Change::Rename(_, name) => Some(name),
            Change::Delete(_) | Change::Purge(_) => None,
            Change::Restore(_) => self.0.get(&sha1).map(|entry| entry.name.as_str()),
        }
    }

    pub(crate) fn knows(&self, sha1: &Sha1) -> bool {
        self.0.contains_key(sha1)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The files that are deleted, or those that are not.
    pub(crate) fn entries(&self, is_deleted: bool) -> impl Iterator<Item = (&Sha1, &Entry)> {
        self.0
            .iter()
            .filter(move |(_, entry)| entry.is_deleted == is_deleted)
    }
}
