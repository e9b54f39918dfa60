//! A [`Problem`] of a spec, and how problems are shown.
//!
//! A problem is plain data: everything in it is escaped and masked when it is made, and nothing of
//! a file's text is read again to show it.

mod render;

use std::path::{Path, PathBuf};

pub use render::render;

use crate::{foreign::Foreign, spec::locate::Location};

/// The most characters of a line that are kept to be shown.
const LONGEST_LINE: usize = 400;

/// Something wrong with a spec, a defaults file, or a path that was named.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The file, as it is shown.
    pub file: PathBuf,
    /// Where in the file; `None` if it could not be read.
    pub location: Option<Location>,
    /// What is wrong: lowercase, things in backticks, no full stop, nothing that is secret.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// How many problems this stands for: more than one only where the rest is counted.
    pub(super) count: usize,
    pub(super) excerpt: Option<Excerpt>,
    pub(super) also: Option<Related>,
}

impl Problem {
    /// A problem of a file as a whole.
    #[must_use]
    pub fn new(file: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            location: None,
            message: message.into(),
            hint: None,
            count: 1,
            excerpt: None,
            also: None,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The problems of a file that are too many to be shown.
    pub(super) fn more(file: PathBuf, count: usize) -> Self {
        let message = format!("{count} more problems in this file");
        Self { count, ..Self::new(file, message) }
    }
}

/// A second place that a problem points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Related {
    pub(super) file: PathBuf,
    pub(super) location: Location,
    pub(super) label: String,
    pub(super) excerpt: Option<Excerpt>,
}

/// A line of a file, fit to be shown, and the part of it that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// Each character stands for one of the file, so that columns stay.
    line: String,
    /// The bytes of `line` that are meant.
    span: std::ops::Range<usize>,
    /// Whether no file holds the line.
    is_built: bool,
}

impl Excerpt {
    /// The part of `line` at `location`; `None` if the line is too long to be shown with it.
    pub(super) fn of(line: &str, location: Location) -> Option<Self> {
        if location.column > LONGEST_LINE {
            return None;
        }
        let line = line.strip_suffix('\r').unwrap_or(line);
        let before = std::iter::once(' ').chain(line.chars());
        let mut shown: String = line
            .chars()
            .zip(before)
            .take(LONGEST_LINE)
            .map(|(it, before)| fit(it, before))
            .collect();
        if line.chars().nth(LONGEST_LINE).is_some() {
            shown.push('…');
        }
        let start =
            shown.char_indices().nth(location.column - 1).map_or(shown.len(), |(index, _)| index);
        let end = start + length_of_value(&shown, start);
        Some(Self { line: shown, span: start..end, is_built: false })
    }

    /// Hides what stands behind the part that is meant.
    pub(super) fn hide_behind(self) -> Self {
        let (shown, behind) = self.line.split_at(self.span.end);
        let hidden = behind.chars().map(|it| match it {
            it if it.is_whitespace() || it == ':' => it,
            _ => '*',
        });
        Self { line: shown.chars().chain(hidden).collect(), ..self }
    }

    /// The line is in no file: it says what was asked for by a call.
    pub(super) fn of_built(self) -> Self {
        Self { is_built: true, ..self }
    }
}

/// The character, or a replacement if it must not be shown behind `before`.
fn fit(character: char, before: char) -> char {
    // `##` commands a CI runner.
    let is_command = character == '#' && before == '#';
    let text = character.encode_utf8(&mut [0; 4]).to_owned();
    let is_fit = character == '\t' || Foreign(&text).to_string() == text;
    if is_fit && !is_command { character } else { char::REPLACEMENT_CHARACTER }
}

/// How many bytes the value or key at `start` takes, as far as a line can tell.
fn length_of_value(line: &str, start: usize) -> usize {
    let (before, value) = line.split_at(start);
    if let Some(quote @ ('"' | '\'')) = value.chars().next()
        && let Some(end) = value[1..].find(quote)
    {
        return end + 2;
    }
    if value.starts_with(['[', '{']) {
        return length_of_brackets(value);
    }
    let in_flow = before.matches(['[', '{']).count() > before.matches([']', '}']).count();
    let ends: &[&str] = if in_flow { &[" #", ": ", ",", "]", "}"] } else { &[" #", ": "] };
    let end = ends.iter().filter_map(|end| value.find(end)).min().unwrap_or(value.len());
    let value = value[..end].trim_end();
    value.strip_suffix(':').unwrap_or(value).len()
}

/// How many bytes there are to the bracket that closes the first, or to the end of the line.
fn length_of_brackets(value: &str) -> usize {
    let mut depth = 0_usize;
    for (index, character) in value.char_indices() {
        match character {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    value.trim_end().len()
}

/// A path as it is shown: relative to `folder` where it lies below it.
pub(super) fn shown_path(path: &Path, folder: &Path) -> PathBuf {
    let shorter = path.strip_prefix(folder).unwrap_or(path);
    let shorter = if shorter.as_os_str().is_empty() { Path::new(".") } else { shorter };
    shorter.to_path_buf()
}
