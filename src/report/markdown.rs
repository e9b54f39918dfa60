//! GitHub's Markdown, for a comment on a pull request or a job's summary.
//!
//! The verdict first, then a table of the specs, then each spec that has something to say, those
//! that fail first. Both places take only so much text, and show nothing of what is longer: whole
//! specs are left out at the end, and it is said how many.

use std::collections::BTreeSet;

use super::{
    escape::{Doc, Markdown},
    words::{
        allowance, by_severity, count, findings, from_root, has_passed, headline, outcome, said,
        shortly,
    },
};
use crate::{
    foreign::shown,
    judgement::Verdict,
    observation::{Answer, Owner, Owners, Socket},
    record::{LedgerRow, LocatedFinding, Record, RunRecord},
    rule::Level,
};

/// What a comment may have, in bytes, with something to spare.
pub const COMMENT: usize = 65_000;
/// Findings, and rows of the ledger, of a spec that are shown.
const MOST: usize = 50;

/// The report of a run, of at most `limit` bytes.
#[must_use]
pub fn markdown(run: &RunRecord, limit: usize) -> String {
    let mut page = head(run, limit / 2);
    let foot = foot(run);
    // The line that says what is left out needs room too.
    let room = limit.saturating_sub(foot.len() + 300);
    let mut left_out = 0;
    for record in by_severity(run) {
        let section = section(record, run);
        if page.len() + section.len() <= room {
            page.doc(&section);
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        page.raw("> [!WARNING]\n> Left out here for want of room: the details of ");
        page.text(count(left_out, "spec")).raw(". The JSON report has them all.\n\n");
    }
    page.doc(&foot);
    page.finish()
}

fn head(run: &RunRecord, room: usize) -> Doc<Markdown> {
    let mut page = Doc::new();
    page.raw("## ").raw(if run.exit().code() == 0 { "✅" } else { "❌" });
    page.raw(" portlid: ").text(headline(run)).raw("\n\n");
    if run.is_internal_error {
        page.raw("**portlid itself failed, so this may not be all.**\n\n");
    }
    for left in &run.left_behind {
        page.raw("**Left behind**: ").text(&left.what).raw("; remove it with ");
        page.code(&left.remove_with).raw("\n\n");
    }
    if run.specs.is_empty() {
        return page;
    }
    page.raw("| | Spec | Image | Outcome |\n|---|---|---|---|\n");
    let records = by_severity(run);
    for (at, record) in records.iter().enumerate() {
        if page.len() > room {
            page.raw("| | and ").text(count(records.len() - at, "more spec")).raw(" | | |\n");
            break;
        }
        page.raw("| ").raw(mark(record)).raw(" | ").code(shown(&record.name, 80)).raw(" | ");
        page.code(shown(&record.image, 120)).raw(" | ").text(outcome(record)).raw(" |\n");
    }
    page.raw("\n");
    page
}

fn mark(record: &Record) -> &'static str {
    match record.verdict {
        _ if record.is_internal_error => "❌",
        Verdict::Fail => "❌",
        Verdict::Inconclusive => "❔",
        Verdict::Pass if !has_passed(record) => "🧹",
        Verdict::Pass if findings(record, Level::Warn) > 0 => "⚠️",
        Verdict::Pass => "✅",
    }
}

fn foot(run: &RunRecord) -> Doc<Markdown> {
    let mut foot = Doc::new();
    foot.raw("<sub>portlid ").raw(env!("CARGO_PKG_VERSION"));
    if let Some(engine) = &run.engine {
        foot.raw(", ").text(&engine.name).raw(" ").text(&engine.version);
    }
    let took = run.started.zip(run.finished).map(|(from, to)| to.duration_since(from));
    if let Some(took) = took.and_then(|took| took.try_into().ok()) {
        foot.raw(", ").text(shortly(took));
    }
    foot.raw("</sub>\n");
    foot
}

fn section(record: &Record, run: &RunRecord) -> Doc<Markdown> {
    let mut text = Doc::new();
    text.raw("### ").raw(mark(record)).raw(" ").code(shown(&record.name, 80)).raw(": ");
    text.text(outcome(record)).raw("\n\n");
    if let Some(reason) = &record.reason {
        text.raw("**Why**: ").prose(&shown(&reason.message, 2000)).raw("\n\n");
        if let Some(hint) = &reason.hint {
            text.raw("**Help**: ").prose(hint).raw("\n\n");
        }
    }
    let (weighty, notes): (Vec<_>, Vec<_>) =
        record.findings.iter().partition(|located| located.finding.level < Level::Note);
    list(&mut text, &weighty, record, run);
    for left in &record.left_behind {
        text.raw("- **left behind** ").text(&left.what).raw("; remove it with ");
        text.code(&left.remove_with).raw("\n");
    }
    if !record.left_behind.is_empty() {
        text.raw("\n");
    }
    if !record.ledger.is_empty() {
        text.raw("<details><summary>The ledger: ").text(count(record.ledger.len(), "port"));
        text.raw("</summary>\n\n");
        table(&mut text, record);
        text.raw("\n</details>\n\n");
    }
    if !notes.is_empty() {
        text.raw("<details><summary>").text(count(notes.len(), "note"));
        text.raw("</summary>\n\n");
        list(&mut text, &notes, record, run);
        text.raw("</details>\n\n");
    }
    if !record.log.is_empty() {
        text.raw("<details><summary>The last lines of its log</summary>\n\n");
        text.block(record.log.iter().map(String::as_str)).raw("\n</details>\n\n");
    }
    text
}

fn list(text: &mut Doc<Markdown>, found: &[&LocatedFinding], record: &Record, run: &RunRecord) {
    let file =
        from_root(&record.file, &run.origin).unwrap_or_else(|| record.file.display().to_string());
    for located in found.iter().take(MOST) {
        let LocatedFinding { finding, location, .. } = located;
        text.raw("- **").raw(finding.level.as_str()).raw("** ").code(finding.rule).raw(" ");
        text.prose(&shown(&said(located), 1000)).raw(" (");
        text.code(format!("{file}:{}", location.line)).raw(")");
        text.raw("<br>").prose(&shown(&finding.help, 1000)).raw("\n");
    }
    if let Some(more @ 1..) = found.len().checked_sub(MOST) {
        text.raw("- and ").text(count(more, "more finding")).raw("\n");
    }
    if !found.is_empty() {
        text.raw("\n");
    }
}

fn table(text: &mut Doc<Markdown>, record: &Record) {
    text.raw("| Port | Declared | Published | Reachable | Entry | Listening |\n");
    text.raw("|---|---|---|---|---|---|\n");
    for row in shown_rows(record, MOST) {
        text.raw("| ").code(row.port).raw(" | ").raw(if row.declared { "yes" } else { "–" });
        text.raw(" | ");
        if row.published.is_empty() {
            text.raw("–");
        }
        for (at, address) in row.published.iter().take(4).enumerate() {
            text.raw(if at > 0 { ", " } else { "" }).code(address);
        }
        text.raw(" | ").raw(row.reachable.map_or("unknown", Answer::as_str)).raw(" | ");
        match row.entry_line {
            Some(line) => text.raw("line ").text(line),
            None => text.raw("none"),
        };
        for (at, (key, value)) in allowance(row).into_iter().enumerate() {
            text.raw(if at == 0 { ": " } else { "; " });
            if key != "why" {
                text.raw(key).raw(" ");
            }
            text.text(shown(&value, 120));
        }
        text.raw(" | ");
        listening(text, &row.listening);
        text.raw(" |\n");
    }
    if let Some(more @ 1..) = record.ledger.len().checked_sub(MOST) {
        text.raw("| and ").text(count(more, "more port")).raw(" | | | | | |\n");
    }
}

/// The rows of the ledger; if there are too many, those with findings.
pub(super) fn shown_rows(record: &Record, most: usize) -> Vec<&LedgerRow> {
    let mut rows: Vec<&LedgerRow> = record.ledger.iter().collect();
    if rows.len() > most {
        let found: BTreeSet<_> =
            record.findings.iter().filter_map(|located| located.finding.port).collect();
        rows.sort_by_key(|row| (!found.contains(&row.port), row.listening.is_empty(), row.port));
        rows.truncate(most);
        rows.sort_by_key(|row| row.port);
    }
    rows
}

fn listening(text: &mut Doc<Markdown>, sockets: &[Socket]) {
    if sockets.is_empty() {
        text.raw("–");
        return;
    }
    let addresses: BTreeSet<_> = sockets.iter().map(|socket| socket.address).collect();
    for (at, address) in addresses.iter().take(4).enumerate() {
        text.raw(if at > 0 { ", " } else { "" }).code(address);
    }
    text.raw(" by ").raw(nobody(sockets));
    let owners: BTreeSet<&Owner> = sockets.iter().flat_map(|it| it.owners.processes()).collect();
    for (at, owner) in owners.iter().take(3).enumerate() {
        text.raw(if at > 0 { ", " } else { "" }).code(owner.shown().shown(40));
        text.raw(" (").text(owner.pid).raw(")");
    }
    if let Some(more @ 1..) = owners.len().checked_sub(3) {
        text.raw(" and ").text(more).raw(" more");
    }
}

/// Who holds sockets that no process is known to hold; empty if one is.
pub(super) fn nobody(sockets: &[Socket]) -> &'static str {
    if sockets.iter().any(|socket| matches!(socket.owners, Owners::Processes(_))) {
        ""
    } else if sockets.iter().all(|socket| socket.owners == Owners::Outside) {
        "no process of the container"
    } else {
        "unknown"
    }
}
