//! Which files below the named paths are specs.
//!
//! Every `*.yaml` and `*.yml` is one, unless its name or a folder's begins with `.` or `_`. A
//! folder that holds a Dockerfile is a build context, and often holds other YAML: there, and below,
//! a file is a spec only if it has `expose` as a key at the top. A spec without that key would be
//! missed there, so the files that are passed over are listed.

use std::{
    collections::HashSet,
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use regex::bytes::Regex;

use crate::files;
use crate::spec::{
    load::{DEFAULTS, folders::root_of},
    problem::{Problem, shown_path},
    raw::LARGEST_FILE,
    validate::reason,
};

/// More than this is most likely the wrong folder.
const MOST_FILES: usize = 10_000;
/// So is what holds more files and folders than this: somebody named `/`.
const MOST_ENTRIES: usize = 1_000_000;

/// What was found. Each path is absolute, and its folder canonical.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) specs: Vec<PathBuf>,
    /// Defaults files that were named.
    pub(super) defaults: Vec<PathBuf>,
    pub(super) problems: Vec<Problem>,
    pub(super) passed_over: Vec<PathBuf>,
}

/// Looks through the named paths, relative to the canonical folder `current`.
pub(super) fn search(current: &Path, paths: &[PathBuf]) -> Found {
    let mut search = Search {
        current,
        root: PathBuf::new(),
        found: Found::default(),
        seen: HashSet::new(),
        folders: HashSet::new(),
        entries: 0,
        is_full: false,
    };
    for path in paths {
        search.named(path);
    }
    if search.is_full {
        // Nothing is started anyway: reading thousands of files would only keep people waiting.
        search.found.specs.clear();
        search.found.passed_over.clear();
    }
    search.found
}

struct Search<'a> {
    current: &'a Path,
    /// The root of the repository of the path that is searched.
    root: PathBuf,
    found: Found,
    /// Canonical paths of files, so that none is read twice.
    seen: HashSet<PathBuf>,
    /// Canonical paths of folders, so that no circle of links is walked twice.
    folders: HashSet<PathBuf>,
    /// How many files and folders were met.
    entries: usize,
    /// Whether there is more than is looked at.
    is_full: bool,
}

impl Search<'_> {
    fn problem(&mut self, path: &Path, message: impl Into<String>, hint: &str) {
        let shown = shown_path(path, self.current);
        self.found.problems.push(Problem::new(shown, message).with_hint(hint));
    }

    /// A path of the command line: what is named is looked at, whatever it is called.
    fn named(&mut self, path: &Path) {
        let absolute = self.current.join(path);
        let resolved = match absolute.canonicalize() {
            Ok(resolved) => resolved,
            Err(error) => {
                let message = format!("this cannot be found: {}", reason(&error));
                return self.problem(path, message, "name a file, or a folder that holds specs");
            }
        };
        if resolved.is_dir() {
            self.root = root_of(&resolved, self.current);
            self.folder(&resolved, false);
            return;
        }
        // The folder is resolved, the file's own name stays: a link's target may be elsewhere.
        let placed = match (absolute.parent().map(Path::canonicalize), absolute.file_name()) {
            (Some(Ok(folder)), Some(name)) => folder.join(name),
            _ => resolved.clone(),
        };
        if placed.file_name().is_some_and(|name| name == DEFAULTS) {
            self.found.defaults.push(placed);
        } else if self.seen.insert(resolved) {
            self.add(placed);
        }
    }

    fn add(&mut self, path: PathBuf) {
        if self.found.specs.len() < MOST_FILES {
            self.found.specs.push(path);
        } else {
            self.fill(&path, "more than 10,000 spec files");
        }
    }

    /// Gives up.
    fn fill(&mut self, path: &Path, message: &str) {
        if !self.is_full {
            self.is_full = true;
            self.problem(path, message, "name the folder that holds the specs");
        }
    }

    fn folder(&mut self, folder: &Path, in_context: bool) {
        if self.is_full || !self.folders.insert(folder.to_owned()) {
            return;
        }
        let left = MOST_ENTRIES.saturating_sub(self.entries);
        let entries: std::io::Result<Vec<PathBuf>> = fs::read_dir(folder).and_then(|entries| {
            entries.take(left + 1).map(|entry| entry.map(|it| it.path())).collect()
        });
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                let message = format!("this folder cannot be read: {}", reason(&error));
                return self.problem(folder, message, "check its permissions");
            }
        };
        self.entries += entries.len();
        if self.entries > MOST_ENTRIES {
            return self.fill(folder, "more than 1,000,000 files and folders");
        }
        entries.sort();
        let in_context = in_context
            || entries.iter().any(|path| {
                path.file_name().is_some_and(|it| it == "Dockerfile" || it == "Containerfile")
            });
        for path in entries {
            if self.is_full {
                return;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name == "_defaults.yml" {
                let hint = "name it `_defaults.yaml`";
                self.problem(&path, "this is not read: it has another ending", hint);
            } else if !name.starts_with(['.', '_']) {
                self.entry(&path, in_context);
            }
        }
    }

    /// Something in a folder that is searched.
    fn entry(&mut self, path: &Path, in_context: bool) {
        let is_yaml = path.extension().is_some_and(|extension| {
            extension.eq_ignore_ascii_case("yaml") || extension.eq_ignore_ascii_case("yml")
        });
        let Some(resolved) = self.resolve(path, is_yaml, in_context) else { return };
        match (is_yaml, resolved.is_dir()) {
            (false, true) => self.folder(&resolved, in_context),
            (false, false) => {}
            (true, is_folder) if in_context && (is_folder || !has_expose(&resolved)) => {
                if is_folder {
                    self.folder(&resolved, in_context);
                } else {
                    self.found.passed_over.push(shown_path(path, self.current));
                }
            }
            (true, true) => self.problem(path, "this is a folder, not a spec", "rename it"),
            (true, false) => {
                if self.seen.insert(resolved) {
                    self.add(path.to_owned());
                }
            }
        }
    }

    /// Follows a link within the repository. One that leads out is a problem where it could hide a
    /// spec; where it could not, it is nothing.
    fn resolve(&mut self, path: &Path, is_yaml: bool, in_context: bool) -> Option<PathBuf> {
        // What has vanished meanwhile is not there any more to be missed.
        if !fs::symlink_metadata(path).ok()?.is_symlink() {
            return Some(path.to_owned());
        }
        match path.canonicalize() {
            Ok(target) if target.starts_with(&self.root) => return Some(target),
            Ok(target) if is_yaml || target.is_dir() && !in_context => {
                let hint = "move the target inside, or remove the link";
                self.problem(path, "this link leads out of the repository", hint);
            }
            Err(error) if is_yaml => {
                let message = format!("this link cannot be followed: {}", reason(&error));
                self.problem(path, message, "mend or remove it");
            }
            Ok(_) | Err(_) => {}
        }
        None
    }
}

/// Whether a file of a build context has the key `expose` at the beginning of a line.
fn has_expose(path: &Path) -> bool {
    static EXPOSE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"(?m)^(?:\u{feff})?["']?expose["']?\s*:"#).ok());
    if !path.is_file() {
        return false;
    }
    let mut bytes = Vec::new();
    let read =
        files::open(path).and_then(|file| file.take(LARGEST_FILE as u64).read_to_end(&mut bytes));
    // What cannot be read is taken for a spec, so that reading it says why.
    read.is_err() || EXPOSE.as_ref().is_none_or(|expose| expose.is_match(&bytes))
}
