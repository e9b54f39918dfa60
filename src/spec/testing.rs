//! What the tests of this stage and the fuzzer share: read one text as a spec, without any file.
#![cfg_attr(fuzzing, allow(dead_code, unreachable_pub, reason = "the tests use the rest"))]

use std::{path::Path, rc::Rc};

use crate::spec::{
    fault::Faults,
    model::Spec,
    problem::{Problem, render},
    raw,
    source::{Place as At, Source},
    validate::{Place, validate},
};

/// A value of `env` that no output may hold.
pub(super) const SECRET: &str = "hunter2-s3cret";

/// The variables that the tests' specs may refer to.
pub(super) fn environment(name: &str) -> Option<String> {
    match name {
        "TAG" => Some("1.29".to_owned()),
        "PORT" => Some("8080".to_owned()),
        "YES" => Some("true".to_owned()),
        "EMPTY" => Some(String::new()),
        "SECRET" => Some(SECRET.to_owned()),
        _ => None,
    }
}

/// Reads `text` as the file `web.yaml`; paths in it are not looked up.
pub(super) fn read(text: &str) -> Result<Spec, Vec<Problem>> {
    let source = Rc::new(Source::new("web.yaml", text));
    let place = Place {
        folder: Path::new("/repository/specs").to_owned(),
        root: Path::new("/repository").to_owned(),
        looks_up: false,
    };
    let mut faults = Faults::default();
    let spec = raw::parse(&source, &environment, &mut faults)
        .and_then(|tree| validate(&tree, &source, &place, &[], &mut faults));
    match spec {
        Some(spec) if faults.is_empty() => Ok(spec),
        _ => Err(faults.settle()),
    }
}

/// The beginning of a spec that is built in another file, with a problem.
pub(super) fn elsewhere() -> crate::spec::SpecBuilder {
    Spec::image("we b")
}

/// The problems of `text`, each as `LINE:COLUMN MESSAGE`.
pub(super) fn problems(text: &str) -> Vec<String> {
    read(text).err().unwrap_or_default().iter().map(line).collect()
}

/// A problem as `LINE:COLUMN MESSAGE`.
pub(super) fn line(problem: &Problem) -> String {
    match problem.location {
        Some(at) => format!("{}:{} {}", at.line, at.column, problem.message),
        None => problem.message.clone(),
    }
}

/// Checks that `text` has exactly these problems, each as `LINE:COLUMN MESSAGE`.
#[track_caller]
pub(super) fn check(text: &str, expected: &[&str]) {
    assert_eq!(problems(text), expected, "in:\n{text}");
}

/// Like [`check`], for one problem and its hint.
#[track_caller]
pub(super) fn check_hint(text: &str, expected: &str, hint: &str) {
    let problems = read(text).err().unwrap_or_default();
    let [problem] = problems.as_slice() else {
        panic!("not one problem but {problems:#?} in:\n{text}");
    };
    assert_eq!(line(problem), expected, "in:\n{text}");
    assert_eq!(problem.hint.as_deref(), Some(hint), "in:\n{text}");
}

/// Whatever the text: a spec or a problem, never a panic, and nothing foreign or secret is shown.
pub(super) fn survives(text: &str) {
    match read(text) {
        Ok(spec) => {
            for index in 0..spec.expose.len() {
                let at = spec.locate(At::Entry(index));
                assert!(at.line <= text.split('\n').count());
            }
        }
        Err(found) => {
            assert!(!found.is_empty(), "neither a spec nor a problem");
            for problem in &found {
                let at = problem.location.expect("a place");
                let line = text.split('\n').nth(at.line - 1).unwrap_or_default();
                assert!(at.column <= line.chars().count() + 1, "{problem:?}");
            }
            let shown = render(&found, false);
            let is_clean = shown.chars().all(|it| it == '\n' || !it.is_control());
            assert!(is_clean, "{shown:?}");
        }
    }
}

/// Any bytes as a spec.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && text.len() <= raw::LARGEST_FILE
    {
        survives(text);
    }
}
