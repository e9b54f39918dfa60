//! What GitHub shows by itself: annotations on the spec's lines, and the job's summary.

use super::{
    escape::{Doc, Message},
    markdown::markdown,
    words::{by_severity, count, from_root, headline, outcome, said},
};
use crate::{
    foreign::shown,
    judgement::Verdict,
    record::{LocatedFinding, Record, RunRecord},
    rule::Level,
};

/// GitHub shows that many annotations of a kind per step, and drops the rest.
const MOST: usize = 10;
/// A message longer than this is cut by GitHub without a mark.
const LONGEST: usize = 1500;
/// What GitHub takes as the summary of a step, in bytes. It takes nothing at all of a longer one.
const SUMMARY: usize = 1024 * 1024;

/// The annotations as commands to the runner, a line each, the most severe first; then a plain line
/// that says how many more there are, if there are.
#[must_use]
pub fn annotations(run: &RunRecord) -> String {
    let mut all: Vec<(Level, Doc<Message>)> = Vec::new();
    for record in by_severity(run) {
        if record.verdict == Verdict::Inconclusive || record.reason.is_some() {
            all.push((Level::Fail, inconclusive(record, run)));
        } else if record.is_internal_error {
            all.push((Level::Fail, of_spec("error", record, run, &outcome(record))));
        }
        for located in &record.findings {
            all.push((located.finding.level, finding(record, located, run)));
        }
        for left in &record.left_behind {
            let text = format!("left behind: {}; remove it with: {}", left.what, left.remove_with);
            all.push((Level::Fail, of_spec("error", record, run, &text)));
        }
    }
    let told = run.specs.iter().any(|record| record.exit().code() != 0);
    if run.exit().code() != 0 && !told {
        // Else nothing would say why the step failed.
        let mut command = Doc::new();
        command.raw("::error title=portlid::").text(headline(run));
        all.push((Level::Fail, command));
    }
    let mut text = String::new();
    let mut cut = Vec::new();
    for (level, name) in [(Level::Fail, "error"), (Level::Warn, "warning"), (Level::Note, "notice")]
    {
        let of_level: Vec<_> = all.iter().filter(|(of, _)| *of == level).collect();
        for (_, command) in of_level.iter().take(MOST) {
            let mut line = Doc::<Message>::new();
            line.doc(command);
            text.push_str(&line.finish());
            text.push('\n');
        }
        if let Some(more @ 1..) = of_level.len().checked_sub(MOST) {
            cut.push(count(more, &format!("more {name}")));
        }
    }
    if !cut.is_empty() {
        let cut = cut.join(", ");
        text.push_str(&format!("portlid: not annotated: {cut}; the job's summary lists them\n"));
    }
    text
}

fn finding(record: &Record, located: &LocatedFinding, run: &RunRecord) -> Doc<Message> {
    let finding = &located.finding;
    let mut command = Doc::new();
    match finding.level {
        Level::Fail => command.raw("::error"),
        Level::Warn => command.raw("::warning"),
        Level::Note | Level::Off => command.raw("::notice"),
    };
    let title = match finding.port {
        Some(port) => format!("{}: {} {port}", record.name, finding.rule),
        None => format!("{}: {}", record.name, finding.rule),
    };
    at(&mut command, record, located.location.line, run);
    command.raw(",col=").property(located.location.column.max(1));
    command.raw(",title=").property(shown(&title, 200));
    command.raw("::").text(shown(&said(located), LONGEST));
    command.raw("%0Ahelp: ").text(shown(&finding.help, LONGEST));
    command
}

fn inconclusive(record: &Record, run: &RunRecord) -> Doc<Message> {
    let reason = record.reason.as_ref();
    let message = reason.map_or_else(|| outcome(record), |reason| reason.message.clone());
    let mut command = of_spec("inconclusive", record, run, &message);
    if let Some(hint) = reason.and_then(|reason| reason.hint.as_ref()) {
        command.raw("%0Ahelp: ").text(shown(hint, LONGEST));
    }
    command
}

/// An error on the line that says what is looked at.
fn of_spec(kind: &str, record: &Record, run: &RunRecord, message: &str) -> Doc<Message> {
    let mut command = Doc::new();
    command.raw("::error");
    at(&mut command, record, record.line, run);
    command.raw(",title=").property(shown(&format!("{}: {kind}", record.name), 200));
    command.raw("::").text(shown(message, LONGEST));
    command
}

fn at(command: &mut Doc<Message>, record: &Record, line: usize, run: &RunRecord) {
    let file =
        from_root(&record.file, &run.origin).unwrap_or_else(|| record.file.display().to_string());
    command.raw(" file=").property(file).raw(",line=").property(line.max(1));
}

/// What is to be appended to the job's summary, which already has `used` bytes; `None` if nothing of
/// use fits.
#[must_use]
pub fn summary(run: &RunRecord, used: usize) -> Option<String> {
    const LEAST: usize = 4096;
    let room = SUMMARY.checked_sub(used).filter(|room| *room >= LEAST)?;
    Some(markdown(run, room))
}
