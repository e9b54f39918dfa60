//! An in-toto Statement with the test-result predicate: what a release can have signed, and demand.
//!
//! The subjects are the images by digest. The result is of the whole run and holds for each of
//! them: `PASSED` or `WARNED` only if the run's exit code is 0, else `FAILED`. Whatever could not be
//! looked at, was broken off or left something behind, is `FAILED`, and its spec is among the
//! failed tests.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::words::{findings, from_root, has_passed, moment};
use crate::{
    exit::Exit,
    record::{Record, RunRecord},
    rule::Level,
};

#[derive(Serialize)]
struct Statement<'a> {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: Vec<Resource<'a>>,
    #[serde(rename = "predicateType")]
    predicate_type: &'static str,
    predicate: TestResult<'a>,
}

/// What the predicate `https://in-toto.io/attestation/test-result/v0.1` holds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TestResult<'a> {
    result: &'static str,
    configuration: Vec<Resource<'a>>,
    passed_tests: Vec<&'a str>,
    warned_tests: Vec<&'a str>,
    failed_tests: Vec<&'a str>,
}

/// A `ResourceDescriptor`.
#[derive(Serialize)]
struct Resource<'a> {
    name: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    digest: BTreeMap<&'static str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

/// The statement about a run, indented, with a newline at its end.
#[must_use]
pub fn intoto(run: &RunRecord) -> String {
    let names = |wanted: &[Outcome]| {
        let records = run.specs.iter().filter(|record| wanted.contains(&outcome(record)));
        records.map(|record| record.name.as_str()).collect::<Vec<_>>()
    };
    let warned = names(&[Outcome::Warned]);
    // Whatever the specs say: a run that does not end with 0 has not passed.
    let result = match (run.exit(), warned.is_empty()) {
        (Exit::Pass, true) => "PASSED",
        (Exit::Pass, false) => "WARNED",
        _ => "FAILED",
    };
    let statement = Statement {
        kind: "https://in-toto.io/Statement/v1",
        subject: subjects(run),
        predicate_type: "https://in-toto.io/attestation/test-result/v0.1",
        predicate: TestResult {
            result,
            configuration: [tool(run)]
                .into_iter()
                .chain(run.specs.iter().map(|record| spec(record, run)))
                .collect(),
            passed_tests: names(&[Outcome::Passed]),
            warned_tests: warned,
            failed_tests: names(&[Outcome::Failed]),
        },
    };
    // Serialisation of these types has no way to fail: every key is a string.
    let mut text = serde_json::to_string_pretty(&statement).unwrap_or_default();
    text.push('\n');
    text
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Warned,
    Failed,
}

fn outcome(record: &Record) -> Outcome {
    if !has_passed(record) {
        Outcome::Failed
    } else if findings(record, Level::Warn) > 0 {
        Outcome::Warned
    } else {
        Outcome::Passed
    }
}

/// The images whose digest is known, each once.
fn subjects(run: &RunRecord) -> Vec<Resource<'_>> {
    let mut known = BTreeSet::new();
    let mut subjects = Vec::new();
    for record in &run.specs {
        let Some(hash) = record.digest.as_deref().and_then(sha256) else { continue };
        if known.insert((&record.image, hash)) {
            // An image that never saw a registry has no digest but that of its configuration.
            let is_local = record.digest == record.image_id;
            let kind = if is_local { "config" } else { "manifest" };
            let mut annotations = BTreeMap::from([("dev.portlid.digest", kind.to_owned())]);
            if let Some(id) = &record.image_id {
                annotations.insert("dev.portlid.image-id", id.clone());
            }
            subjects.push(Resource {
                name: record.image.clone(),
                digest: BTreeMap::from([("sha256", hash)]),
                annotations,
            });
        }
    }
    subjects
}

/// The hexadecimal digits of a well-formed `sha256:` digest.
fn sha256(digest: &str) -> Option<&str> {
    let hash = digest.strip_prefix("sha256:")?;
    let is_hash =
        hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_hash.then_some(hash)
}

fn tool(run: &RunRecord) -> Resource<'_> {
    let engine = run.engine.as_ref().map(|it| format!("{} {}", it.name, it.version));
    let annotations = [
        ("version", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ("engine", engine),
        ("startedOn", run.started.map(moment)),
        ("finishedOn", run.finished.map(moment)),
        ("exitCode", Some(run.exit().code().to_string())),
    ];
    Resource { name: "portlid".to_owned(), digest: BTreeMap::new(), annotations: told(annotations) }
}

fn spec<'a>(record: &'a Record, run: &RunRecord) -> Resource<'a> {
    let annotations = [
        ("spec", Some(record.name.clone())),
        ("image", Some(record.image.clone())),
        ("imageDigest", record.digest.clone()),
        ("platform", record.platform.clone()),
        ("verdict", Some(record.verdict.as_str().to_owned())),
        ("reason", record.reason.as_ref().map(|reason| reason.message.clone())),
        ("startedOn", record.started.map(moment)),
    ];
    Resource {
        name: from_root(&record.file, &run.origin)
            .unwrap_or_else(|| record.file.display().to_string()),
        digest: BTreeMap::from([("sha256", record.spec_digest.as_str())]),
        annotations: told(annotations),
    }
}

fn told<const N: usize>(
    annotations: [(&'static str, Option<String>); N],
) -> BTreeMap<&'static str, String> {
    annotations.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
