//! Folders: the root of a spec's repository, and the way from a spec to it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use crate::spec::validate::Place;

/// Knows the root of each folder that was asked about.
pub(super) struct Folders {
    current: PathBuf,
    roots: HashMap<PathBuf, PathBuf>,
}

impl Folders {
    /// From the canonical folder `current`.
    pub(super) fn new(current: &Path) -> Self {
        Self { current: current.to_owned(), roots: HashMap::new() }
    }

    /// Where the file at `path` stands. Its folder is the one that it was found in: a symbolic
    /// link's own, not its target's.
    pub(super) fn place_of(&mut self, path: &Path) -> Place {
        let folder = path.parent().unwrap_or(path);
        let root = match self.roots.get(folder) {
            Some(root) => root.clone(),
            None => {
                let root = root_of(folder, &self.current);
                self.roots.insert(folder.to_owned(), root.clone());
                root
            }
        };
        Place { folder: folder.to_owned(), root, looks_up: true }
    }
}

/// The folders whose defaults count, from the spec's own up to the root.
pub(super) fn from_folder_to_root(place: &Place) -> impl Iterator<Item = &Path> {
    place.folder.ancestors().take_while(|folder| folder.starts_with(&place.root))
}

/// The root of the repository that a canonical folder lies in: the nearest ancestor that holds
/// `.git`; else the current directory, if it is an ancestor; else the folder itself.
pub(super) fn root_of(folder: &Path, current: &Path) -> PathBuf {
    let repository = folder.ancestors().find(|ancestor| ancestor.join(".git").exists());
    match repository {
        Some(root) => root.to_owned(),
        None if folder.starts_with(current) => current.to_owned(),
        None => folder.to_owned(),
    }
}
