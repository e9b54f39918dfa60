//! Paths -> specs: which files are specs, what is merged under them, and every problem of all.
//!
//! Nothing is skipped silently. Only regular files are read, within their size, and a file that is
//! not read is a problem or is listed in [`Loaded::passed_over`].

mod file;
mod folders;
mod search;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    env,
    path::{Path, PathBuf},
    rc::Rc,
};

use crate::spec::{
    fault::{Fault, Faults, Mark},
    merge::with_defaults,
    model::Spec,
    problem::{Problem, shown_path},
    raw::{self, Environment, Node, Value},
    shown::quoted,
    source::Source,
    validate::{self, Never, Place},
};
use folders::{Folders, from_folder_to_root};

/// The file that is merged under each spec of its folder and below.
pub(super) const DEFAULTS: &str = "_defaults.yaml";

/// What was read from the named paths.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Loaded {
    /// The specs without a problem, in the order of the paths, and sorted within a folder.
    pub specs: Vec<Spec>,
    /// Every problem of every file. If there is one, nothing must be started.
    pub problems: Vec<Problem>,
    /// How many spec files there are, those with problems included.
    pub files: usize,
    /// YAML files of build contexts that are no specs: they have no `expose` at the top.
    pub passed_over: Vec<PathBuf>,
}

/// Reads every spec that `paths` name: files, and folders with all below them.
///
/// `environment` looks up the variables that specs refer to; usually `|name| env::var(name).ok()`.
#[must_use]
pub fn load(paths: &[PathBuf], environment: &dyn Fn(&str) -> Option<String>) -> Loaded {
    let Ok(folder) = env::current_dir().and_then(|folder| folder.canonicalize()) else {
        let problem = Problem::new(".", "the current directory cannot be found");
        return Loaded {
            problems: vec![problem.with_hint("change to one that is there")],
            ..Loaded::default()
        };
    };
    load_in(&folder, paths, environment)
}

/// Reads one spec from `text`, as if it stood in a file `name` of the current directory. Nothing is
/// merged under it.
#[must_use]
pub fn load_text(name: &str, text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Loaded {
    read_one(Source::new(name, text), name, environment)
}

/// The same of a text that is in no file.
pub(super) fn load_source(source: Source, environment: Environment<'_>) -> Loaded {
    read_one(source, "spec.yaml", environment)
}

/// Reads one spec as if it stood in the file `name` of the current directory.
fn read_one(source: Source, name: &str, environment: Environment<'_>) -> Loaded {
    let current = env::current_dir().and_then(|folder| folder.canonicalize());
    let current = current.unwrap_or_else(|_| PathBuf::from("/"));
    let place = Folders::new(&current).place_of(&current.join(name));
    let source = Rc::new(source);
    let mut faults = Faults::default();
    let spec = raw::parse(&source, environment, &mut faults)
        .and_then(|tree| validate::validate(&tree, &source, &place, &[], &mut faults))
        .filter(|_| faults.is_empty());
    let problems = faults.settle();
    Loaded { specs: spec.into_iter().collect(), problems, files: 1, passed_over: Vec::new() }
}

/// Like [`load`], from the canonical folder `current`.
fn load_in(current: &Path, paths: &[PathBuf], environment: Environment<'_>) -> Loaded {
    let found = search::search(current, paths);
    let mut loader = Loader {
        current,
        environment,
        folders: Folders::new(current),
        names: HashMap::new(),
        defaults: HashMap::new(),
        loaded: Loaded {
            problems: found.problems,
            passed_over: found.passed_over,
            ..Loaded::default()
        },
    };
    for path in &found.defaults {
        loader.defaults_file(path);
    }
    for path in &found.specs {
        loader.spec_file(path);
    }
    loader.finish()
}

/// What a defaults file holds, once it was read.
struct Defaults {
    tree: Option<Node>,
    never: Vec<Never>,
}

struct Loader<'a> {
    current: &'a Path,
    environment: Environment<'a>,
    folders: Folders,
    /// Where each name was seen first.
    names: HashMap<String, (PathBuf, Mark)>,
    defaults: HashMap<PathBuf, Rc<Defaults>>,
    loaded: Loaded,
}

impl Loader<'_> {
    fn spec_file(&mut self, path: &Path) {
        self.loaded.files += 1;
        let shown = shown_path(path, self.current);
        let source = match file::read(path, shown) {
            Ok(source) => Rc::new(source),
            Err(problem) => return self.loaded.problems.push(*problem),
        };
        let place = self.folders.place_of(path);
        let defaults: Vec<Rc<Defaults>> = from_folder_to_root(&place)
            .filter_map(|folder| self.defaults_file(&folder.join(DEFAULTS)))
            .collect();
        let mut faults = Faults::default();
        let spec = raw::parse(&source, self.environment, &mut faults).and_then(|tree| {
            let merged = with_defaults(&tree, defaults.iter().filter_map(|it| it.tree.as_ref()));
            let never: Vec<Never> =
                defaults.iter().flat_map(|defaults| defaults.never.iter().cloned()).collect();
            let spec = validate::validate(&merged, &source, &place, &never, &mut faults);
            self.check_name(path, &tree, &source.file, &mut faults);
            spec.filter(|_| faults.is_empty())
        });
        self.loaded.problems.extend(faults.settle());
        self.loaded.specs.extend(spec);
    }

    /// Reads a defaults file, if it is there, and reports its own problems; both only once.
    fn defaults_file(&mut self, path: &Path) -> Option<Rc<Defaults>> {
        if let Some(known) = self.defaults.get(path) {
            return Some(Rc::clone(known));
        }
        // Most folders have none.
        path.symlink_metadata().ok()?;
        let mut read = Defaults { tree: None, never: Vec::new() };
        let place = Place { looks_up: false, ..self.folders.place_of(path) };
        let shown = shown_path(path, self.current);
        let leads_out = path.canonicalize().is_ok_and(|target| !target.starts_with(&place.root));
        let source = if leads_out {
            let problem = Problem::new(shown, "this link leads out of the repository");
            Err(Box::new(problem.with_hint("move the target inside, or remove the link")))
        } else {
            file::read(path, shown)
        };
        match source {
            Ok(source) => {
                let mut faults = Faults::default();
                read.tree = raw::parse(&Rc::new(source), self.environment, &mut faults);
                if let Some(tree) = &read.tree {
                    read.never = validate::validate_defaults(tree, &place, &mut faults);
                }
                self.loaded.problems.extend(faults.settle());
            }
            Err(problem) => self.loaded.problems.push(*problem),
        }
        let read = Rc::new(read);
        self.defaults.insert(path.to_owned(), Rc::clone(&read));
        Some(read)
    }

    /// Reports a name that another file has, too: filters and reports could not tell them apart.
    fn check_name(&mut self, path: &Path, tree: &Node, shown: &Path, faults: &mut Faults) {
        let stated = match &tree.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == "name"),
            _ => None,
        };
        let name = match stated.map(|entry| &entry.node.value) {
            Some(Value::Text(text)) => text.text.clone(),
            Some(_) => return,
            None => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        };
        let mark = validate::name_mark(tree);
        match self.names.get(&name) {
            Some((other, first)) => {
                let message = format!(
                    "{} is also the name of {}",
                    quoted(&name),
                    quoted(&other.to_string_lossy())
                );
                faults.push(
                    Fault::new(mark, message)
                        .hint(
                            "give one of the two another `name`; without one it is the file's stem",
                        )
                        .also(first.clone(), "named first here"),
                );
            }
            None => {
                self.names.insert(name, (shown.to_owned(), mark));
            }
        }
    }

    fn finish(self) -> Loaded {
        let mut loaded = self.loaded;
        // A defaults file's problem shows up under every spec that it is merged under.
        let mut seen = HashSet::new();
        loaded.problems.retain(|problem| {
            seen.insert((problem.file.clone(), problem.location, problem.message.clone()))
        });
        loaded
    }
}
