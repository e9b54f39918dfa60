//! What a person reads: one spec's record as a block of text.
//!
//! Written for a tired engineer: the verdict first, then the four views of every port as a table,
//! then each finding with its line in the spec, who opened the port, and the mend. No colours: it
//! goes through libtest's output into logs of every kind.

use std::{collections::BTreeSet, fmt::Write as _, net::IpAddr, time::Duration};

use super::words::allowance_of;
use crate::{
    judgement::Verdict,
    observation::{Answer, Owner, Owners, Socket},
    record::{Evidence, LedgerRow, LocatedFinding, Record},
    rule::Level,
    socket::Port,
};

/// A table longer than this helps nobody at two in the morning.
const MOST_ROWS: usize = 40;
/// The same for findings.
const MOST_FINDINGS: usize = 60;

/// The whole story of one spec, ending with a newline.
#[must_use]
pub fn story(record: &Record) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}", headline(record));
    let _ = writeln!(text, "  spec   {}", file(record));
    let digest = record.digest.as_deref().unwrap_or("not resolved");
    let platform = record.platform.as_deref().map(|it| format!(" {it}")).unwrap_or_default();
    let _ = writeln!(text, "  image  {} ({digest}{platform})", record.image);
    if let Some(reason) = &record.reason {
        let _ = writeln!(text, "  why    {}", reason.message);
        if let Some(hint) = &reason.hint {
            let _ = writeln!(text, "  help   {hint}");
        }
    }
    if !record.ledger.is_empty() {
        let _ = writeln!(text);
        text.push_str(&table(&record.ledger, &record.findings));
    }
    for located in record.findings.iter().take(MOST_FINDINGS) {
        let _ = writeln!(text);
        text.push_str(&finding(record, located));
    }
    if let Some(more @ 1..) = record.findings.len().checked_sub(MOST_FINDINGS) {
        let _ = writeln!(text, "\n... and {more} more findings; `--report json=FILE` has them all");
    }
    if !record.log.is_empty() {
        let _ = writeln!(text, "\nthe last lines of its log:");
        for line in &record.log {
            let _ = writeln!(text, "  | {line}");
        }
    }
    for left in &record.left_behind {
        let _ = writeln!(text, "\nleft behind: {}", left.what);
        let _ = writeln!(text, "  remove it with: {}", left.remove_with);
    }
    text
}

/// What a passing spec has to say all the same: its warnings and notes, a line each.
#[must_use]
pub fn asides(record: &Record, with_notes: bool) -> String {
    let mut text = String::new();
    for LocatedFinding { location, finding, .. } in &record.findings {
        if finding.level == Level::Warn || with_notes {
            let _ = writeln!(
                text,
                "{}[{}]: {}: {}{} ({}:{})",
                finding.level,
                finding.rule,
                record.name,
                subject(finding.port),
                finding.message,
                file(record),
                location.line
            );
        }
    }
    text
}

/// What the verdict of a spec rests on, in one line.
#[must_use]
pub fn evidence(record: &Record) -> Option<String> {
    let evidence = record.evidence.as_ref()?;
    Some(format!(
        "{}: {} in {:.1} s; {} samples of {} tables, watched for {:.1} s, never out of sight for \
         more than {} ms; {} TCP ports scanned on {}; container {}{}, network namespace {} with {}; \
         looked from {}; controls: {}",
        record.name,
        record.verdict.as_str(),
        record.took.as_secs_f64(),
        evidence.samples,
        evidence.tables.len(),
        evidence.watched.as_secs_f64(),
        evidence.longest_gap.as_millis(),
        evidence.scanned,
        list(&evidence.addresses),
        evidence.container.get(..12).unwrap_or(&evidence.container),
        identity(evidence),
        evidence.network_namespace,
        list(&evidence.namespace_addresses),
        evidence.looked_from,
        evidence.controls.join("; ")
    ))
}

/// What is known of the container, beyond its id.
fn identity(evidence: &Evidence) -> String {
    let known = [
        (evidence.is_identified, "identified"),
        (evidence.is_same, "the same before and after"),
        (evidence.is_searched, "every process searched"),
        (evidence.is_over, "ended as wanted"),
        (evidence.counters_agree == Some(true), "as many sockets as the kernel counts"),
    ];
    let known: Vec<&str> = known.into_iter().filter_map(|(is, what)| is.then_some(what)).collect();
    if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) }
}

fn list(addresses: &[IpAddr]) -> String {
    let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    if addresses.is_empty() { "no address".to_owned() } else { addresses.join(", ") }
}

fn headline(record: &Record) -> String {
    let broken = record.findings.iter().filter(|it| it.finding.level == Level::Fail).count();
    match record.verdict {
        Verdict::Pass if record.left_behind.is_empty() => "passed".to_owned(),
        Verdict::Pass => "passed, but something was left behind".to_owned(),
        Verdict::Fail if broken == 1 => "FAILED: 1 rule is broken".to_owned(),
        Verdict::Fail => format!("FAILED: {broken} rules are broken"),
        Verdict::Inconclusive => {
            "INCONCLUSIVE: it could not be looked at, so it does not pass".to_owned()
        }
    }
}

/// The spec's file. Its name is as foreign as its text.
fn file(record: &Record) -> String {
    crate::foreign::shown(&record.file.display().to_string(), 300)
}

fn subject(port: Option<Port>) -> String {
    port.map(|port| format!("{port}: ")).unwrap_or_default()
}

fn finding(record: &Record, located: &LocatedFinding) -> String {
    let LocatedFinding { location, line, finding } = located;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}[{}]: {}{}",
        finding.level,
        finding.rule,
        subject(finding.port),
        finding.message
    );
    let _ = writeln!(text, "  --> {}:{}:{}", file(record), location.line, location.column);
    let number = location.line.to_string();
    let margin = " ".repeat(number.len());
    let _ = writeln!(text, " {margin} |");
    let _ = writeln!(text, " {number} | {line}");
    let _ = writeln!(text, " {margin} |");
    if let Some(first_seen) = finding.first_seen {
        let _ = writeln!(text, " {margin} = seen: {} after the start", shortly(first_seen));
    }
    for (key, value) in allowance_of(record, located) {
        let _ = writeln!(text, " {margin} = {key}: {value}");
    }
    let _ = writeln!(text, " {margin} = help: {}", finding.help);
    if !finding.rule.cis().is_empty() {
        let items = finding.rule.cis().join(", ");
        let _ = writeln!(text, " {margin} = CIS Docker Benchmark 1.6.0: {items}");
    }
    text
}

fn shortly(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

/// The ledger: one row per port, columns as wide as they must be.
fn table(ledger: &[LedgerRow], findings: &[LocatedFinding]) -> String {
    // Where not all rows can be shown, those with findings are.
    let found: BTreeSet<Port> = findings.iter().filter_map(|it| it.finding.port).collect();
    let mut rows: Vec<&LedgerRow> = ledger.iter().collect();
    if rows.len() > MOST_ROWS {
        rows.sort_by_key(|row| (!found.contains(&row.port), row.listening.is_empty(), row.port));
        rows.truncate(MOST_ROWS);
        rows.sort_by_key(|row| row.port);
    }
    let mut lines: Vec<[String; 6]> = vec![
        ["PORT", "DECLARED", "PUBLISHED", "REACHABLE", "ENTRY", "LISTENING"].map(str::to_owned),
    ];
    for row in &rows {
        lines.push(cells(row));
    }
    let mut widths = [0; 6];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in &lines {
        let padded: Vec<String> =
            line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(text, "{}", padded.join("  ").trim_end());
    }
    if let Some(more @ 1..) = ledger.len().checked_sub(rows.len()) {
        let _ = writeln!(text, "... and {more} more ports");
    }
    text
}

fn cells(row: &LedgerRow) -> [String; 6] {
    let dash = || "-".to_owned();
    let published: Vec<String> = row.published.iter().map(ToString::to_string).collect();
    let entry = match row.entry_line {
        Some(line) => format!("line {line}"),
        None => "none".to_owned(),
    };
    [
        row.port.to_string(),
        if row.declared { "yes".to_owned() } else { dash() },
        if published.is_empty() { dash() } else { published.join(", ") },
        row.reachable.map_or("unknown", Answer::as_str).to_owned(),
        entry,
        if row.listening.is_empty() { dash() } else { listening(&row.listening) },
    ]
}

/// `0.0.0.0, :: node (pid 7)`.
fn listening(sockets: &[Socket]) -> String {
    let addresses: BTreeSet<String> = sockets.iter().map(|it| it.address.to_string()).collect();
    let owners: BTreeSet<&Owner> = sockets.iter().flat_map(|it| it.owners.processes()).collect();
    let addresses: Vec<String> = addresses.into_iter().collect();
    let by = if owners.is_empty() {
        let outside = sockets.iter().all(|socket| socket.owners == Owners::Outside);
        if outside { "no process of the container".to_owned() } else { "unknown".to_owned() }
    } else {
        let mut names: Vec<String> = owners
            .iter()
            .take(3)
            .map(|owner| format!("{} ({})", owner.shown().shown(40), owner.pid))
            .collect();
        if owners.len() > 3 {
            names.push(format!("{} more", owners.len() - 3));
        }
        names.join(", ")
    };
    format!("{} by {by}", addresses.join(", "))
}
