//! Rules about the code itself, as tests.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Every Rust file of the package, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let shown = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_owned();
                found.push((shown, text));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// The text of a file without its tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

#[test]
fn every_file_says_what_it_is_for() {
    for folder in ["src", "tests", "benches"] {
        for (path, text) in sources(folder) {
            assert!(text.starts_with("//! "), "{} has no header", path.display());
        }
    }
}

#[test]
fn files_are_short() {
    for (path, text) in sources("src").into_iter().chain(sources("benches")) {
        let lines = without_tests(&text).lines().count();
        let is_test = path.ends_with("tests.rs");
        assert!(is_test || lines <= 500, "{} has {lines} lines", path.display());
    }
}

/// Who may import whom: stages know only what comes before them.
#[test]
fn imports_run_one_way() {
    let forbidden: &[(&str, &[&str])] = &[
        (
            "src/socket",
            &[
                "rule",
                "spec",
                "observation",
                "engine",
                "look",
                "judgement",
                "record",
                "report",
                "run",
            ],
        ),
        (
            "src/rule",
            &["spec", "observation", "engine", "look", "judgement", "record", "report", "run"],
        ),
        (
            "src/spec",
            &["observation", "engine", "look", "judgement", "record", "report", "run", "harness"],
        ),
        ("src/observation", &["engine", "look", "judgement", "record", "report", "run", "harness"]),
        ("src/look", &["engine", "judgement", "record", "report", "run", "harness", "output"]),
        ("src/engine", &["look", "judgement", "report", "run", "harness", "output"]),
        ("src/judgement", &["engine", "look", "record", "report", "run", "harness", "output"]),
        ("src/record", &["engine", "look", "report", "run", "harness", "output"]),
        ("src/report", &["engine", "look", "run", "harness", "output"]),
        (
            "src/attestation",
            &[
                "spec",
                "engine",
                "look",
                "judgement",
                "record",
                "report",
                "run",
                "harness",
                "output",
            ],
        ),
    ];
    for (path, text) in sources("src") {
        // Tests may compare with whatever they like, in a file of their own, too.
        if path.ends_with("tests.rs") {
            continue;
        }
        let path = path.display().to_string();
        let Some((_, modules)) = forbidden.iter().find(|(start, _)| {
            path.strip_prefix(start).is_some_and(|rest| rest.starts_with(['/', '.']))
        }) else {
            continue;
        };
        let code: String = without_tests(&text)
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n");
        for module in *modules {
            let named = [
                format!("crate::{module}::"),
                format!("    {module}::"),
                format!("crate::{module};"),
            ];
            for name in named {
                let found = code.lines().find(|line| {
                    line.contains(&name) && (name.starts_with("crate") || line.starts_with(&name))
                });
                assert_eq!(found, None, "{path} must not know `{module}`");
            }
        }
    }
}

/// What judges is pure: no clock, no I/O, no async.
#[test]
fn the_judgements_are_pure() {
    for (path, text) in sources("src/judgement").into_iter().chain(sources("src/attestation")) {
        for forbidden in [
            "std::fs",
            "std::io",
            "std::env",
            "Instant::now",
            "SystemTime",
            "Timestamp::now",
            "async ",
        ] {
            assert!(!text.contains(forbidden), "{}: {forbidden}", path.display());
        }
    }
}

/// What users name is opened in one place, where nothing waits for a FIFO or reads a device.
#[test]
fn files_of_users_are_opened_in_one_place() {
    for (path, text) in sources("src") {
        let may = path.ends_with("src/files.rs") || path.starts_with("src/look");
        let opens = without_tests(&text).contains("File::open(");
        assert!(may || !opens, "{} must use `files::open`", path.display());
    }
}

#[test]
fn only_the_engine_knows_bollard() {
    for (path, text) in sources("src") {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let names = code.filter(|line| line.contains("bollard::")).count();
        assert!(names == 0 || path.starts_with("src/engine"), "{}", path.display());
    }
}
