//! What the tests of this stage share: read one text as a spec, without any file.

use std::{path::Path, rc::Rc, sync::Arc};

use crate::spec::{
    fault::Faults,
    model::{Source, Spec},
    problem::Problem,
    raw,
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
    let source = Rc::new(Source { file: "web.yaml".into(), text: Arc::from(text) });
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
