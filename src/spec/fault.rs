//! What is wrong with a spec, on its way to becoming a [`Problem`].
//!
//! While a spec is read, a fault only remembers the path to its place. The line and column are
//! asked for in the end, for those that are shown: that costs a parse each.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    rc::Rc,
};

use crate::spec::{
    locate::{Location, Step, locate},
    mask::{masked, masked_strictly},
    problem::{Excerpt, Problem, Related},
    source::Source,
};

/// The most problems of one file that are shown. The rest is counted.
const MOST_SHOWN: usize = 200;

/// The most bytes that are parsed to place the problems of one file: all of them in a file of an
/// ordinary size, fewer in one that is made to keep us busy.
const MOST_PARSED: usize = 4 * 1024 * 1024;

/// A path into a document that shares its beginning with others.
#[derive(Clone, Debug)]
pub(super) struct Trail(Option<Rc<(Self, Step)>>);

impl Trail {
    /// The document itself.
    pub(super) fn root() -> Self {
        Self(None)
    }

    /// One step further.
    pub(super) fn then(&self, step: Step) -> Self {
        Self(Some(Rc::new((self.clone(), step))))
    }

    /// The steps from the root.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut trail = self;
        while let Some(link) = &trail.0 {
            steps.push(link.1.clone());
            trail = &link.0;
        }
        steps.reverse();
        steps
    }
}

/// A place in a file.
#[derive(Clone, Debug)]
pub(super) enum At {
    /// The beginning of its text.
    Start,
    /// A line and column.
    Location(Location),
    /// The value or key at the end of a path.
    Trail(Trail),
}

/// A file and a place in it.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    source: Rc<Source>,
    at: At,
}

impl Mark {
    /// A place in `source`.
    pub(super) fn new(source: &Rc<Source>, at: At) -> Self {
        Self { source: Rc::clone(source), at }
    }

    /// The file.
    pub(super) fn source(&self) -> &Rc<Source> {
        &self.source
    }

    /// The path, if the place was reached by one.
    pub(super) fn trail(&self) -> Option<&Trail> {
        match &self.at {
            At::Trail(trail) => Some(trail),
            At::Start | At::Location(_) => None,
        }
    }

    fn location(&self) -> Location {
        match &self.at {
            At::Start => Location::START,
            At::Location(location) => *location,
            At::Trail(trail) => {
                locate(&self.source.text, &trail.steps()).unwrap_or(Location::START)
            }
        }
    }
}

/// Something wrong at a place.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    mark: Mark,
    message: String,
    hint: Option<String>,
    also: Option<(Mark, String)>,
    hides_value: bool,
}

impl Fault {
    /// `message` is lowercase and has no full stop; foreign text in it is already escaped.
    pub(super) fn new(mark: Mark, message: impl Into<String>) -> Self {
        Self { mark, message: message.into(), hint: None, also: None, hides_value: false }
    }

    /// What to do about it.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The fault is about a key, and its value may be a secret.
    #[must_use]
    pub(super) fn hide_value(mut self) -> Self {
        self.hides_value = true;
        self
    }

    /// A second place that the first cannot be understood without.
    #[must_use]
    pub(super) fn also(mut self, mark: Mark, label: impl Into<String>) -> Self {
        self.also = Some((mark, label.into()));
        self
    }

    fn settle(self, texts: &mut Texts<'_>) -> Problem {
        let in_text = self.mark.location();
        let mut excerpt = texts.excerpt(&self.mark, in_text);
        if self.hides_value {
            excerpt = excerpt.map(Excerpt::hide_behind);
        }
        let also = self.also.map(|(mark, label)| {
            let in_text = mark.location();
            let excerpt = texts.excerpt(&mark, in_text);
            let location = mark.source.shown(in_text);
            Related { file: mark.source.file.clone(), location, label, excerpt }
        });
        Problem {
            file: self.mark.source.file.clone(),
            location: Some(self.mark.source.shown(in_text)),
            message: self.message,
            hint: self.hint,
            count: 1,
            excerpt,
            also,
        }
    }
}

/// The texts that excerpts are taken from, with their secrets hidden. Each is made once.
struct Texts<'a> {
    secrets: &'a HashSet<String>,
    unreadable: Option<&'a Path>,
    masked: HashMap<PathBuf, String>,
}

impl Texts<'_> {
    fn excerpt(&mut self, mark: &Mark, location: Location) -> Option<Excerpt> {
        let source = &mark.source;
        let mask = if self.unreadable == Some(&source.file) { masked_strictly } else { masked };
        let text = self
            .masked
            .entry(source.file.clone())
            .or_insert_with(|| mask(&source.text, self.secrets));
        let excerpt = Excerpt::of(text.split('\n').nth(location.line - 1)?, location)?;
        Some(if source.is_built() { excerpt.of_built() } else { excerpt })
    }
}

/// The faults of one spec, in the order in which they were found.
#[derive(Debug, Default)]
pub(super) struct Faults {
    faults: Vec<Fault>,
    beyond: usize,
    secrets: HashSet<String>,
    /// A file whose text is not YAML.
    unreadable: Option<PathBuf>,
}

impl Faults {
    /// Adds a fault.
    pub(super) fn push(&mut self, fault: Fault) {
        let shown = (MOST_PARSED / fault.mark.source.text.len().max(1)).min(MOST_SHOWN);
        if self.faults.len() < shown {
            self.faults.push(fault);
        } else {
            self.beyond += 1;
        }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// Remembers a value that must never be shown.
    pub(super) fn keep_secret(&mut self, value: &str) {
        self.secrets.insert(value.to_owned());
    }

    /// Remembers that a file could not be parsed, so that little of it is shown.
    pub(super) fn distrust(&mut self, source: &Source) {
        self.unreadable = Some(source.file.clone());
    }

    /// The problems in the order of their places, each once.
    pub(super) fn settle(self) -> Vec<Problem> {
        let Some(file) = self.faults.first().map(|fault| fault.mark.source.file.clone()) else {
            return Vec::new();
        };
        let mut texts = Texts {
            secrets: &self.secrets,
            unreadable: self.unreadable.as_deref(),
            masked: HashMap::new(),
        };
        let mut problems: Vec<Problem> =
            self.faults.into_iter().map(|fault| fault.settle(&mut texts)).collect();
        // An alias leads to one place by several paths.
        problems.sort_by(|a, b| (&a.file, a.location).cmp(&(&b.file, b.location)));
        problems.dedup();
        if self.beyond > 0 {
            problems.push(Problem::more(file, self.beyond));
        }
        problems
    }
}
