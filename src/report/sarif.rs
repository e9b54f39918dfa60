//! SARIF 2.1.0, as GitHub's code scanning takes it.
//!
//! A result per finding, on the spec's line; and a result per spec that could not be looked at, so
//! that an upload without alerts means that everything was seen. In that case, and in any other in
//! which the run did not come to its end, the invocation is not successful either.
//!
//! Fingerprints are of the spec's name, the rule and the port: an alert stays the same when lines
//! move. No category is set (`automationDetails`), so that each shard of a matrix can be given one.

mod model;
mod rules;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use self::model::{
    Artifact, Driver, Invocation, Location, Log, Message, Notification, Physical, Region, Run,
    SarifResult, Snippet, Tool,
};
use super::{
    escape::{Doc, SarifText},
    words::{allowance_of, by_severity, from_root, headline, moment, said},
};
use crate::{
    foreign::shown,
    judgement::Verdict,
    record::{LocatedFinding, Origin, Record, RunRecord},
    rule::Level,
};

/// GitHub shows no more than this, and refuses a file with five times as many.
const MOST_RESULTS: usize = 5000;

/// The log of a run, indented, with a newline at its end.
#[must_use]
pub fn sarif(run: &RunRecord) -> String {
    let mut results = results(run);
    let cut = results.len().saturating_sub(MOST_RESULTS);
    results.truncate(MOST_RESULTS);
    number(&mut results);
    let rules = rules::table();
    for result in &mut results {
        result.rule_index =
            rules.iter().position(|rule| rule.id == result.rule_id).unwrap_or_default();
    }
    let log = Log {
        schema: "https://json.schemastore.org/sarif-2.1.0.json",
        version: "2.1.0",
        runs: [Run {
            tool: Tool {
                driver: Driver {
                    name: "portlid",
                    semantic_version: env!("CARGO_PKG_VERSION"),
                    rules,
                },
            },
            invocations: [invocation(run, cut)],
            column_kind: "unicodeCodePoints",
            results,
        }],
    };
    // Serialisation of these types has no way to fail: every key is a string.
    let mut text = serde_json::to_string_pretty(&log).unwrap_or_default();
    text.push('\n');
    text
}

/// The results, the most severe first.
fn results(run: &RunRecord) -> Vec<SarifResult> {
    let mut results = Vec::new();
    for record in by_severity(run) {
        if record.verdict == Verdict::Inconclusive || record.reason.is_some() {
            results.push((Level::Fail, inconclusive(record, &run.origin)));
        }
        for located in &record.findings {
            results.push((located.finding.level, finding(record, located, &run.origin)));
        }
    }
    results.sort_by_key(|(level, _)| *level);
    results.into_iter().map(|(_, result)| result).collect()
}

fn finding(record: &Record, located: &LocatedFinding, origin: &Origin) -> SarifResult {
    let LocatedFinding { location, line, finding } = located;
    let mut text = Doc::<SarifText>::new();
    text.text(said(located)).raw(" (image ").text(shown(&record.image, 200)).raw(")\n");
    text.raw("Help: ").text(&finding.help);
    let mut properties = about(record);
    if let Some(port) = finding.port {
        properties.insert("port", port.to_string());
    }
    let addresses: Vec<String> = finding.addresses.iter().map(ToString::to_string).collect();
    let owners: Vec<String> = finding.owners.iter().map(|owner| owner.shown().shown(80)).collect();
    for (name, values) in [("addresses", addresses), ("processes", owners)] {
        if !values.is_empty() {
            properties.insert(name, values.join(", "));
        }
    }
    properties.extend(allowance_of(record, located));
    if !finding.rule.cis().is_empty() {
        properties.insert("cisDockerBenchmark160", finding.rule.cis().join(", "));
    }
    // A range has no port, but a line of its own.
    let subject = finding.port.map_or_else(|| line.trim().to_owned(), |port| port.to_string());
    SarifResult {
        rule_id: finding.rule.id(),
        rule_index: 0,
        level: level(finding.level),
        message: Message { text },
        locations: [place(record, location.line, Some(location.column), line, origin)],
        partial_fingerprints: fingerprint(record, finding.rule.id(), &subject),
        properties,
    }
}

/// That a spec could not be looked at, or not to the end.
fn inconclusive(record: &Record, origin: &Origin) -> SarifResult {
    SarifResult {
        rule_id: rules::INCONCLUSIVE,
        rule_index: 0,
        level: "error",
        message: Message { text: why_open(record) },
        locations: [place(record, record.line, None, "", origin)],
        partial_fingerprints: fingerprint(record, rules::INCONCLUSIVE, ""),
        properties: about(record),
    }
}

fn why_open(record: &Record) -> Doc<SarifText> {
    let mut text = Doc::new();
    text.text(&record.name).raw(": it could not be looked at");
    if let Some(reason) = &record.reason {
        text.raw(": ").text(&reason.message);
        if let Some(hint) = &reason.hint {
            text.raw("\nHelp: ").text(hint);
        }
    }
    text
}

fn about(record: &Record) -> BTreeMap<&'static str, String> {
    let mut about =
        BTreeMap::from([("spec", shown(&record.name, 200)), ("image", shown(&record.image, 300))]);
    if let Some(digest) = &record.digest {
        about.insert("digest", shown(digest, 200));
    }
    about
}

fn place(
    record: &Record,
    line: usize,
    column: Option<usize>,
    text: &str,
    origin: &Origin,
) -> Location {
    Location {
        physical_location: Physical {
            artifact_location: artifact(record, origin),
            region: Region {
                start_line: line.max(1),
                start_column: column.map(|column| column.max(1)),
                snippet: (!text.is_empty()).then(|| Snippet { text: shown(text, 200) }),
            },
        },
    }
}

/// The spec's file, from the root of the repository if it lies in there.
fn artifact(record: &Record, origin: &Origin) -> Artifact {
    match from_root(&record.file, origin) {
        Some(path) => Artifact { uri: encoded(&path), uri_base_id: Some("%SRCROOT%") },
        None => {
            let whole = origin.folder.join(&record.file);
            Artifact {
                uri: format!("file://{}", encoded(&whole.to_string_lossy())),
                uri_base_id: None,
            }
        }
    }
}

/// The path with everything but unreserved characters and slashes as `%XX`.
fn encoded(path: &str) -> String {
    path.bytes().fold(String::new(), |text, byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            text + char::from(byte).encode_utf8(&mut [0; 4])
        }
        _ => text + &format!("%{byte:02X}"),
    })
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Fail => "error",
        Level::Warn => "warning",
        Level::Note | Level::Off => "note",
    }
}

/// What makes a result the same one as in an earlier run. The name is GitHub's.
fn fingerprint(record: &Record, rule: &str, subject: &str) -> BTreeMap<&'static str, String> {
    let hash = Sha256::digest(format!("{}\0{rule}\0{subject}", record.name));
    let hash = hash[..8].iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    BTreeMap::from([(PRIMARY, hash)])
}

const PRIMARY: &str = "primaryLocationLineHash";

/// Tells results apart that would have the same fingerprint: entries whose lines are the same.
fn number(results: &mut [SarifResult]) {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for result in results {
        if let Some(hash) = result.partial_fingerprints.get_mut(PRIMARY) {
            let time = times.entry(hash.clone()).or_insert(0);
            *time += 1;
            *hash = format!("{hash}:{time}");
        }
    }
}

fn invocation(run: &RunRecord, cut: usize) -> Invocation {
    let mut notifications = Vec::new();
    let mut note = |level, text, place| {
        notifications.push(Notification { level, message: Message { text }, locations: place });
    };
    let mut is_successful = !run.specs.is_empty() && run.signal.is_none();
    if !is_successful || run.is_internal_error {
        note("error", Doc::of(headline(run)), Vec::new());
    }
    is_successful &= !run.is_internal_error && run.left_behind.is_empty();
    for record in &run.specs {
        if record.verdict == Verdict::Inconclusive
            || record.reason.is_some()
            || record.is_internal_error
        {
            is_successful = false;
            let place = place(record, record.line, None, "", &run.origin);
            note("error", why_open(record), vec![place]);
        }
        is_successful &= record.left_behind.is_empty();
    }
    let left = run.specs.iter().flat_map(|record| &record.left_behind).chain(&run.left_behind);
    for left in left {
        let mut text = Doc::new();
        text.raw("left behind: ")
            .text(&left.what)
            .raw("; remove it with: ")
            .text(&left.remove_with);
        note("warning", text, Vec::new());
    }
    if cut > 0 {
        let mut text = Doc::new();
        text.text(cut)
            .raw(" results, the least severe, are left out; the JSON report has them all");
        note("warning", text, Vec::new());
    }
    Invocation {
        execution_successful: is_successful,
        exit_code: run.exit().code(),
        start_time_utc: run.started.map(moment),
        end_time_utc: run.finished.map(moment),
        tool_execution_notifications: notifications,
    }
}
