//! Where a spec stands: in a file, or in the calls that built it.
//!
//! Findings and problems point there, line and column. Nothing is read again for that: the text of
//! the spec is kept, and for a built one, the call behind each of its lines.

use std::{collections::HashSet, path::PathBuf, sync::Arc};

use crate::spec::{
    locate::{Location, Step, locate},
    mask::masked,
    model::Spec,
};

/// The text of a spec, and where it stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Source {
    /// The path as it is shown: relative to the working directory where it lies below it. For a spec
    /// that was [built](crate::spec::SpecBuilder), the Rust file that did.
    pub file: PathBuf,
    /// The text that was read. For a spec that was built, the text that says the same.
    pub text: Arc<str>,
    /// The call behind each line of the text, if no file holds the text.
    calls: Option<Arc<[Location]>>,
}

impl Source {
    /// The text of a file.
    pub(crate) fn new(file: impl Into<PathBuf>, text: impl Into<Arc<str>>) -> Self {
        Self { file: file.into(), text: text.into(), calls: None }
    }

    /// A text that was made line by line: each by the call at that place of `file`.
    pub(super) fn built(
        file: impl Into<PathBuf>,
        text: impl Into<Arc<str>>,
        calls: Vec<Location>,
    ) -> Self {
        Self { calls: Some(calls.into()), ..Self::new(file, text) }
    }

    /// Whether the text is in no file.
    pub(super) fn is_built(&self) -> bool {
        self.calls.is_some()
    }

    /// Where people find what stands at `location` of the text.
    pub(super) fn shown(&self, location: Location) -> Location {
        match &self.calls {
            None => location,
            Some(calls) => calls.get(location.line - 1).copied().unwrap_or(Location::START),
        }
    }
}

/// A place in a spec that a finding points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The key `expose`.
    Expose,
    /// The entry of that index under `expose`.
    Entry(usize),
    /// The key that says what is looked at.
    Subject,
}

impl Spec {
    /// Where `place` stands: in the spec's file, or in the Rust file that built it.
    ///
    /// The text is parsed once more for it, so ask only for what is shown.
    #[must_use]
    pub fn locate(&self, place: Place) -> Location {
        self.source.shown(self.place_in_text(place))
    }

    /// The same, and the line of the spec's text that is meant: safe to print, since secrets are
    /// hidden, and cut if it is long.
    #[must_use]
    pub fn line_of(&self, place: Place) -> (Location, String) {
        let location = self.place_in_text(place);
        let text = masked(&self.source.text, &HashSet::new());
        let line = text.lines().nth(location.line - 1).unwrap_or_default();
        (self.source.shown(location), crate::foreign::shown(line.trim_end(), 120))
    }

    fn place_in_text(&self, place: Place) -> Location {
        let find = |steps: &[Step]| locate(&self.source.text, steps);
        let found = match place {
            Place::Expose => find(&[Step::KeyNamed("expose".to_owned())]),
            Place::Entry(index) => find(&[Step::Key("expose".to_owned()), Step::Item(index)]),
            // What is looked at may be another than the text says: then there is another key.
            Place::Subject => [self.subject.key(), "image", "build", "archive", "container"]
                .into_iter()
                .find_map(|key| find(&[Step::KeyNamed(key.to_owned())])),
        };
        found.unwrap_or(Location::START)
    }
}
