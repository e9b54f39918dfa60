//! Paths of a spec: relative to its folder, resolved, and held within bounds.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::spec::{
    fault::{Fault, Faults},
    fields::{describe, refuse},
    raw::{Node, Text},
};

/// Where a spec stands, and what it may use.
#[derive(Clone, Debug)]
pub(in crate::spec) struct Place {
    /// The spec's folder, canonical.
    pub(in crate::spec) folder: PathBuf,
    /// The root of its repository, canonical.
    pub(in crate::spec) root: PathBuf,
    /// Whether the paths are looked up. A defaults file alone does not know the folders of the
    /// specs that it will be merged under.
    pub(in crate::spec) looks_up: bool,
}

/// What a path must lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    FileOrFolder,
}

impl Kind {
    fn matches(self, found: fs::FileType) -> bool {
        match self {
            Self::File => found.is_file(),
            Self::Folder => found.is_dir(),
            Self::FileOrFolder => found.is_file() || found.is_dir(),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Folder => "a folder",
            Self::FileOrFolder => "a file or a folder",
        }
    }
}

impl Place {
    /// Resolves `path`, which must lie in the spec's own folder.
    pub(super) fn inside_folder(
        &self,
        node: &Node,
        text: &Text,
        path: &str,
        kind: Kind,
        faults: &mut Faults,
    ) -> Option<PathBuf> {
        let bound = (self.folder.as_path(), "the spec's own folder");
        self.resolve(node, text, path, kind, bound, faults)
    }

    /// Resolves `path`, which must lie in the repository.
    pub(super) fn inside_root(
        &self,
        node: &Node,
        text: &Text,
        kind: Kind,
        faults: &mut Faults,
    ) -> Option<PathBuf> {
        let bound = (self.root.as_path(), "the repository");
        self.resolve(node, text, &text.text, kind, bound, faults)
    }

    fn resolve(
        &self,
        node: &Node,
        text: &Text,
        path: &str,
        kind: Kind,
        (bound, bound_name): (&Path, &str),
        faults: &mut Faults,
    ) -> Option<PathBuf> {
        if Path::new(path).is_absolute() || path.starts_with('~') || path.is_empty() {
            let hint = "write it relative to the spec's folder, such as `./site`";
            refuse(node, text, "a relative path", hint, faults);
            return None;
        }
        let joined = self.folder.join(path);
        if !self.looks_up {
            return Some(joined);
        }
        let mut fault = |message: String, hint: &str| {
            faults.push(Fault::new(node.mark.clone(), message).hint(hint));
            None
        };
        let shown = describe(text);
        // A place outside is refused before it is asked about: that it is there is none of ours.
        let resolved = match fs::canonicalize(&joined) {
            Ok(resolved) => resolved,
            Err(_) if escapes(&joined, bound) => {
                return fault(format!("{shown} lies outside of {bound_name}"), "move it inside");
            }
            Err(error) => {
                let hint = "paths are relative to the spec's folder";
                return fault(format!("{shown} cannot be found: {}", reason(&error)), hint);
            }
        };
        if !resolved.starts_with(bound) {
            let hint = "move it inside; symbolic links are followed before this is judged";
            return fault(format!("{shown} lies outside of {bound_name}"), hint);
        }
        match fs::metadata(&resolved) {
            Ok(found) if kind.matches(found.file_type()) => Some(resolved),
            Ok(_) => fault(format!("{shown} is not {}", kind.as_str()), "name another path"),
            Err(error) => fault(
                format!("{shown} cannot be read: {}", reason(&error)),
                "check its permissions",
            ),
        }
    }
}

/// Whether a path leads out of `bound` by its `..` alone.
fn escapes(path: &Path, bound: &Path) -> bool {
    use std::path::Component;
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    !plain.starts_with(bound)
}

/// The system's reason in its own words, without the number.
pub(in crate::spec) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => text.to_owned(),
    }
}
