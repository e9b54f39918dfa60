//! JUnit's XML, as Jenkins, GitLab and others read it.
//!
//! A suite per spec. In it a case for the look itself, which is an *error* if it could not be done;
//! a case per rule and port that a finding is about, a *failure* if it breaks the rule; and a case
//! per port that is as the spec says. Nothing is ever skipped: some readers take that for a pass.

use std::{collections::BTreeSet, fmt::Display};

use quick_junit::{
    NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite, XmlString,
};

use super::words::{allowance, allowance_of, from_root, moment, outcome, said, shortly};
use crate::{
    exit::Exit,
    foreign::Foreign,
    judgement::Verdict,
    record::{LedgerRow, LeftBehind, LocatedFinding, Origin, Record, RunRecord},
    rule::Level,
    socket::Port,
};

/// The report of a run.
#[must_use]
pub fn junit(run: &RunRecord) -> String {
    let mut report = Report::new("portlid");
    let took = run.started.zip(run.finished).map(|(from, to)| to.duration_since(from));
    if let Some(took) = took.and_then(|took| took.try_into().ok()) {
        report.set_time(took);
    }
    report.add_test_suites(run.specs.iter().map(|record| suite(record, &run.origin)));
    report.add_test_suites(run_as_a_whole(run));
    // Writing to memory, of text that has nothing left that XML forbids, has no way to fail.
    report.to_string().unwrap_or_default()
}

/// Text, whoever wrote it: visible, and of characters that XML has. Quoting is the writer's.
fn xml(text: impl Display) -> XmlString {
    XmlString::new(Foreign(&text.to_string()).to_string())
}

/// Several lines of such text.
fn lines(lines: impl IntoIterator<Item = String>) -> XmlString {
    let lines: Vec<String> = lines.into_iter().map(|line| Foreign(&line).to_string()).collect();
    XmlString::new(lines.join("\n"))
}

fn suite(record: &Record, origin: &Origin) -> TestSuite {
    let mut suite = TestSuite::new(xml(&record.name));
    suite.set_time(record.took);
    if let Some(started) = record.started {
        // Readers of old want it without a time zone; it is UTC.
        let text = moment(started);
        suite.extra.insert("timestamp".into(), xml(text.trim_end_matches('Z')));
    }
    let file = from_root(&record.file, origin).unwrap_or_else(|| record.file.display().to_string());
    for (name, value) in [
        ("verdict", Some(record.verdict.as_str())),
        ("image", Some(record.image.as_str())),
        ("digest", record.digest.as_deref()),
        ("platform", record.platform.as_deref()),
        ("spec", Some(file.as_str())),
    ] {
        if let Some(value) = value {
            suite.add_property(Property::new(name, xml(value)));
        }
    }
    let mut cases = vec![look(record)];
    cases.extend(record.findings.iter().map(|located| finding(record, located)));
    // Ports without a finding are as they should be only if the look was complete.
    if is_complete(record) {
        let found: BTreeSet<Port> =
            record.findings.iter().filter_map(|it| it.finding.port).collect();
        let quiet = record.ledger.iter().filter(|row| !found.contains(&row.port));
        cases.extend(quiet.map(port));
    }
    for left in &record.left_behind {
        cases.push(left_behind(left));
    }
    for mut case in cases {
        case.set_classname(xml(&record.name));
        case.extra.insert("file".into(), xml(&file));
        suite.add_test_case(case);
    }
    if !record.log.is_empty() {
        // A line of the image's own must not begin a line, where a CI runner would obey it.
        suite.set_system_out(lines(record.log.iter().map(|line| format!("| {line}"))));
    }
    suite
}

fn is_complete(record: &Record) -> bool {
    record.evidence.is_some()
        && record.reason.is_none()
        && !record.is_internal_error
        && record.verdict != Verdict::Inconclusive
}

/// The case of the look itself.
fn look(record: &Record) -> TestCase {
    let mut case = if is_complete(record) {
        TestCase::new("look", TestCaseStatus::success())
    } else {
        let reason = record.reason.as_ref();
        let message = reason.map_or_else(|| outcome(record), |it| it.message.clone());
        let hint = reason.and_then(|it| it.hint.clone()).map(|hint| format!("help: {hint}"));
        error("look", "inconclusive", &message, [message.clone()].into_iter().chain(hint))
    };
    case.set_time(record.took);
    case
}

fn error(
    name: &str,
    kind: &str,
    message: &str,
    description: impl IntoIterator<Item = String>,
) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_message(xml(message)).set_type(xml(kind)).set_description(lines(description));
    TestCase::new(xml(name), status)
}

fn finding(record: &Record, located: &LocatedFinding) -> TestCase {
    let finding = &located.finding;
    let subject = finding
        .port
        .map_or_else(|| format!("line {}", located.location.line), |port| port.to_string());
    let name = format!("{}: {subject}", finding.rule);
    let seen = finding.first_seen.map(|at| format!("seen: {} after the start", shortly(at)));
    let cis = finding.rule.cis();
    let cis = (!cis.is_empty()).then(|| format!("CIS Docker Benchmark 1.6.0: {}", cis.join(", ")));
    let story = [
        format!("{}[{}]: {}", finding.level, finding.rule, said(located)),
        format!(
            "--> {}:{}:{}",
            record.file.display(),
            located.location.line,
            located.location.column
        ),
    ];
    let help = format!("help: {}", finding.help);
    let allowance = allowance_of(record, located).into_iter().map(entry);
    let story = story.into_iter().chain(seen).chain([help]).chain(allowance).chain(cis);
    let mut case = if finding.level == Level::Fail {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status
            .set_message(xml(said(located)))
            .set_type(finding.rule.id())
            .set_description(lines(story));
        TestCase::new(xml(name), status)
    } else {
        let mut case = TestCase::new(xml(name), TestCaseStatus::success());
        case.set_system_out(lines(story));
        case
    };
    case.extra.insert("line".into(), xml(located.location.line));
    case
}

/// The case of a port that nothing is said against.
fn port(row: &LedgerRow) -> TestCase {
    let mut case = TestCase::new(xml(row.port), TestCaseStatus::success());
    let said: Vec<String> = allowance(row).into_iter().map(entry).collect();
    if !said.is_empty() {
        case.set_system_out(lines(said));
    }
    case
}

fn entry((key, value): (&str, String)) -> String {
    format!("{key}: {value}")
}

fn left_behind(left: &LeftBehind) -> TestCase {
    let help = format!("remove it with: {}", left.remove_with);
    error("cleanup", "left-behind", &format!("left behind: {}", left.what), [help])
}

/// What no spec's record tells: without it a run that does not pass would look as if it did.
fn run_as_a_whole(run: &RunRecord) -> Option<TestSuite> {
    let mut cases: Vec<TestCase> = run.left_behind.iter().map(left_behind).collect();
    if run.is_internal_error {
        let message = "portlid itself failed, so this report may not be complete";
        cases.push(error("run", "internal", message, [message.to_owned()]));
    }
    if let Some(number) = run.signal {
        let message = format!("ended by signal {number}, so not everything was looked at");
        cases.push(error("run", "signal", &message, [message.clone()]));
    }
    if run.exit() == Exit::NothingChecked {
        let message = "nothing was checked";
        cases.push(error("run", "nothing-checked", message, [message.to_owned()]));
    }
    if cases.is_empty() {
        return None;
    }
    let mut suite = TestSuite::new("portlid");
    for mut case in cases {
        case.set_classname("portlid");
        suite.add_test_case(case);
    }
    Some(suite)
}
