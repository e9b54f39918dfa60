//! Problems -> text for people. Pure.

use std::collections::BTreeSet;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::spec::{
    locate::Location,
    problem::{Excerpt, Problem},
    shown::escaped,
};

/// Every problem with its line of the file and its hint, and a last line that counts them.
///
/// ```text
/// error: `443/tcpp` is not a port: `tcpp` is not a protocol
///  --> specs/web.yaml:3:5
///   |
/// 3 |   - 443/tcpp
///   |     ^^^^^^^^
///   |
///   = help: did you mean `443/tcp`?
///
/// 1 problem in 1 file; nothing was started
/// ```
#[must_use]
pub fn render(problems: &[Problem], color: bool) -> String {
    if problems.is_empty() {
        return String::new();
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for problem in problems {
        text.push_str(&renderer.render(&[group(problem)]));
        text.push_str("\n\n");
    }
    let count: usize = problems.iter().map(|problem| problem.count).sum();
    let files: BTreeSet<_> = problems.iter().map(|problem| &problem.file).collect();
    text.push_str(&format!(
        "{} in {}; nothing was started\n",
        counted(count, "problem"),
        counted(files.len(), "file"),
    ));
    text
}

fn group(problem: &Problem) -> Group<'_> {
    let path = escaped(&problem.file.to_string_lossy());
    let mut group = Group::with_title(Level::ERROR.primary_title(problem.message.as_str()));
    group = match (problem.location, &problem.excerpt) {
        (Some(location), Some(excerpt)) if excerpt.is_built => {
            let at = Origin::path(path).line(location.line).char_column(location.column);
            group.element(at).element(Level::NOTE.message(in_words(excerpt)))
        }
        (Some(location), Some(excerpt)) => {
            group.element(snippet(excerpt, location, path, AnnotationKind::Primary, None))
        }
        (Some(location), None) => {
            group.element(Origin::path(path).line(location.line).char_column(location.column))
        }
        (None, _) => group.element(Origin::path(path)),
    };
    if let Some(also) = &problem.also {
        let path = escaped(&also.file.to_string_lossy());
        group = match &also.excerpt {
            Some(excerpt) if excerpt.is_built => {
                let (Location { line, column }, label) = (also.location, &also.label);
                let text = format!("{label}: {path}:{line}:{column}, {}", in_words(excerpt));
                group.element(Level::NOTE.message(text))
            }
            Some(excerpt) => group.element(snippet(
                excerpt,
                also.location,
                path,
                AnnotationKind::Context,
                Some(&also.label),
            )),
            None => group.element(
                Origin::path(path).line(also.location.line).char_column(also.location.column),
            ),
        };
    }
    match &problem.hint {
        Some(hint) => group.element(Level::HELP.message(hint.as_str())),
        None => group,
    }
}

/// What a call asked for, in the words of the spec language: no file holds that line.
fn in_words(excerpt: &Excerpt) -> String {
    format!("in a spec's words `{}`", excerpt.line.trim().replace('`', "'"))
}

fn snippet<'a>(
    excerpt: &'a Excerpt,
    location: Location,
    path: String,
    kind: AnnotationKind,
    label: Option<&'a str>,
) -> Snippet<'a, Annotation<'a>> {
    let annotation = kind.span(excerpt.span.clone()).label(label);
    Snippet::source(excerpt.line.as_str())
        .line_start(location.line)
        .path(path)
        .annotation(annotation)
}

/// `1 problem`, `2 problems`.
fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
