//! Lines of a spec's text in the making, each with the call that asked for it.

use std::panic;

use crate::spec::{
    locate::Location,
    scalar::{key, scalar},
};

/// Where a method was called.
pub(super) type Call = &'static panic::Location<'static>;

/// Lines in block style. None holds a line break: `scalar` writes no text with one.
#[derive(Clone, Default)]
pub(super) struct Lines(Vec<(String, Call)>);

impl Lines {
    /// `key: VALUE`, where `value` is YAML already.
    pub(super) fn raw(&mut self, name: &str, value: &str, call: Call) {
        self.0.push((format!("{}: {value}", key(name)), call));
    }

    /// `key: TEXT`.
    pub(super) fn text(&mut self, name: &str, text: &str, call: Call) {
        self.raw(name, &scalar(text), call);
    }

    /// `- TEXT`.
    pub(super) fn item(&mut self, text: &str, call: Call) {
        self.0.push((format!("- {}", scalar(text)), call));
    }

    /// Lines that are one item: the first behind its dash.
    pub(super) fn item_of(&mut self, lines: Self) {
        let indented = lines.0.into_iter().enumerate();
        self.0.extend(indented.map(|(index, (text, call))| {
            let dash = if index == 0 { "- " } else { "  " };
            (format!("{dash}{text}"), call)
        }));
    }

    /// `key:` and the lines below it; nothing if there are none.
    pub(super) fn below(&mut self, name: &str, lines: &Self) {
        let Some((_, first)) = lines.0.first() else { return };
        self.0.push((format!("{}:", key(name)), first));
        self.0.extend(lines.0.iter().map(|(text, call)| (format!("  {text}"), *call)));
    }

    /// Lines at the same level.
    pub(super) fn append(&mut self, lines: &Self) {
        self.0.extend_from_slice(&lines.0);
    }

    /// The same lines, the first of them of another call.
    pub(super) fn with_first_of(mut self, call: Call) -> Self {
        self.0.iter_mut().take(1).for_each(|line| line.1 = call);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text, and the place of the call behind each of its lines.
    ///
    /// A spec stands in one file: that of `home`. What was called elsewhere is told of `home` itself.
    pub(super) fn into_text(self, home: Call) -> (String, Vec<Location>) {
        let text = self.0.iter().flat_map(|(text, _)| [text.as_str(), "\n"]).collect();
        let place = |call: Call| Location {
            line: usize::try_from(call.line()).unwrap_or(1),
            column: usize::try_from(call.column()).unwrap_or(1),
        };
        let calls = self
            .0
            .iter()
            .map(|&(_, call)| place(if call.file() == home.file() { call } else { home }));
        (text, calls.collect())
    }
}
