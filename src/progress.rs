//! What goes on, told to whoever wants to know: the terminal, a log, nobody.
//!
//! Telling changes nothing and cannot fail.

use std::sync::Arc;

/// Something to tell about a spec. Every text is safe to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Worth a line, in any log: an image is pulled, the machine is overloaded.
    Line(&'a str),
    /// What goes on from now on, instead of what went on before. Short-lived: for a terminal.
    Now(&'a str),
    /// The spec is over.
    Over,
}

/// Who is told: a spec's name (empty: the run as a whole) and what there is to tell.
pub type Progress = Arc<dyn Fn(&str, Event<'_>) + Send + Sync>;

/// Tells nobody.
#[must_use]
pub fn silent() -> Progress {
    Arc::new(|_, _| {})
}
