//! Specs for programs: from a file or a text in one step, or with everything that is wrong as one
//! error.

use std::{env, fmt, panic::Location, path::Path};

use crate::spec::{
    load::{Loaded, load, load_source},
    model::Spec,
    problem::{Problem, render},
    source::Source,
};

/// Everything that is wrong with a spec.
///
/// Both `Display` and `Debug` are what `portlid lint` prints, so that a test that ends with `?` or
/// `unwrap` says what is wrong, and where.
#[derive(Clone, PartialEq, Eq)]
pub struct InvalidSpec(Vec<Problem>);

impl InvalidSpec {
    /// The problems, in the order of their places; there is at least one.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }

    /// The only spec that was read.
    pub(super) fn one(loaded: Loaded) -> Result<Spec, Self> {
        if !loaded.problems.is_empty() {
            return Err(Self(loaded.problems));
        }
        let mut specs = loaded.specs;
        match (specs.pop(), specs.len()) {
            (Some(spec), 0) => Ok(spec),
            (spec, others) => {
                let count = others + usize::from(spec.is_some());
                let file = spec.map(|spec| spec.source.file).unwrap_or_default();
                let problem =
                    Problem::new(file, format!("there are {count} specs, and one was meant"));
                Err(Self(vec![problem.with_hint("name the file of one")]))
            }
        }
    }

    /// The problems themselves.
    #[must_use]
    pub fn into_problems(self) -> Vec<Problem> {
        self.0
    }
}

impl fmt::Display for InvalidSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(render(&self.0, false).trim_end())
    }
}

impl fmt::Debug for InvalidSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::error::Error for InvalidSpec {}

impl Spec {
    /// Reads the spec of a file, with the `_defaults.yaml` of its folders merged under it, and
    /// variables filled in from the environment: what `portlid test FILE` would read.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the file and its defaults.
    ///
    /// ```no_run
    /// let spec = portlid::Spec::from_file("specs/web.yaml")?;
    /// # Ok::<(), portlid::spec::InvalidSpec>(())
    /// ```
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, InvalidSpec> {
        let path = path.as_ref();
        let mut loaded = load(&[path.to_owned()], &|name| env::var(name).ok());
        if loaded.specs.is_empty() && loaded.problems.is_empty() {
            let problem = Problem::new(path, "there is no spec in this folder");
            loaded.problems.push(problem.with_hint("name the file of a spec"));
        }
        InvalidSpec::one(loaded)
    }

    /// Reads a spec from its text; variables are filled in from the environment. Nothing is merged
    /// under it, and its paths are relative to the working directory.
    ///
    /// What is said of it names the call, and behind that the line of the text:
    /// `tests/web.rs:12 (text):3:5`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the text.
    ///
    /// ```
    /// let spec = portlid::Spec::from_text("image: nginx:1.29\nexpose: [80/tcp]\n")?;
    /// assert_eq!(spec.required().count(), 1);
    /// # Ok::<(), portlid::spec::InvalidSpec>(())
    /// ```
    #[track_caller]
    pub fn from_text(text: &str) -> Result<Self, InvalidSpec> {
        let call = Location::caller();
        let source = Source::new(format!("{}:{} (text)", call.file(), call.line()), text);
        InvalidSpec::one(load_source(source, &|name| env::var(name).ok()))
    }
}
