//! `portlid look`: what is open in one image, as a table for a person. Pure; colours are the
//! terminal's, and the printer takes them away where there is none.
//!
//! It tells and never judges: whether a port may be open is for a spec to say.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::IpAddr,
};

use anstyle::{AnsiColor, Style};

use crate::{
    foreign::Untrusted,
    notorious::known,
    observation::{Answer, Owners, Spoken},
    record::{LedgerRow, Record},
    report::words::{count, known_as, shortly},
    socket::{Scope, scope},
};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const HOT: Style = AnsiColor::Red.on_default();
const WARM: Style = AnsiColor::Yellow.on_default();
const COLD: Style = AnsiColor::Green.on_default();

/// The picture of one image, ending with a newline.
#[must_use]
pub fn look(record: &Record) -> String {
    let mut text = String::new();
    let digest = record.digest.as_deref().unwrap_or("not resolved");
    let platform = record.platform.as_deref().map(|it| format!(", {it}")).unwrap_or_default();
    let _ = writeln!(text, "{BOLD}{}{BOLD:#} {DIM}({digest}{platform}){DIM:#}", record.image);
    if let Some(reason) = &record.reason {
        let _ = writeln!(text, "\n{HOT}it could not be looked at{HOT:#}: {}", reason.message);
        if let Some(hint) = &reason.hint {
            let _ = writeln!(text, "  help: {hint}");
        }
    }
    let rows: Vec<&LedgerRow> = record.ledger.iter().collect();
    if rows.is_empty() {
        if record.evidence.is_some() {
            let _ = writeln!(text, "\nnothing listens, and nothing is declared");
        }
    } else {
        let _ = writeln!(text);
        text.push_str(&table(&rows));
        text.push_str(&risks(&rows));
    }
    if let Some(summary) = summary(record) {
        let _ = writeln!(text, "\n{DIM}{summary}{DIM:#}");
    }
    if record.reason.is_some() && !record.log.is_empty() {
        let _ = writeln!(text, "\nthe last lines of its log:");
        for line in &record.log {
            let _ = writeln!(text, "  | {line}");
        }
    }
    text
}

/// How far a port can be reached from, as far as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// From nowhere: it is only declared or published.
    Closed,
    /// From within the container alone.
    Loopback,
    /// Others could reach it, and got no answer.
    Silent,
    /// From the container's networks.
    Open,
}

impl Reach {
    pub(super) fn of(row: &LedgerRow) -> Self {
        if row.reachable == Some(Answer::Open) {
            return Self::Open;
        }
        match row.listening.iter().map(|socket| scope(socket.address)).max() {
            None => Self::Closed,
            Some(Scope::Loopback) => Self::Loopback,
            // What cannot be scanned (UDP), or was not: the table decides.
            Some(_) if row.reachable.is_none() => Self::Open,
            Some(_) => Self::Silent,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Loopback => "loopback only",
            Self::Silent => "no answer",
            Self::Open => "open",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Closed | Self::Loopback => COLD,
            Self::Silent => WARM,
            Self::Open => HOT,
        }
    }
}

/// What a port speaks, in a word.
pub(super) fn speaks(row: &LedgerRow) -> &'static str {
    match row.spoken {
        Some(Spoken::Recognised(speaks)) => speaks.as_str(),
        Some(Spoken::Unrecognised) => "unknown",
        Some(Spoken::Mute) => "says nothing",
        Some(Spoken::NotAsked) | None => "-",
    }
}

/// Who holds a port: `nginx (uid 0, 101)`.
pub(super) fn holders(row: &LedgerRow) -> String {
    let mut holders: BTreeMap<&Untrusted, BTreeSet<u32>> = BTreeMap::new();
    for owner in row.listening.iter().flat_map(|socket| socket.owners.processes()) {
        holders.entry(known_as(owner)).or_default().insert(owner.uid);
    }
    if holders.is_empty() {
        let is_outside = |owners: &Owners| *owners == Owners::Outside;
        return match row.listening.as_slice() {
            [] => "-".to_owned(),
            sockets if sockets.iter().all(|it| is_outside(&it.owners)) => {
                "no process of the container".to_owned()
            }
            _ => "unknown".to_owned(),
        };
    }
    let more = holders.len().saturating_sub(3);
    let mut names: Vec<String> = holders
        .into_iter()
        .take(3)
        .map(|(name, uids)| {
            let uids: Vec<String> = uids.iter().map(u32::to_string).collect();
            format!("{} (uid {})", name.shown(40), uids.join(", "))
        })
        .collect();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

/// Where a port listens: `0.0.0.0, ::`.
pub(super) fn addresses(row: &LedgerRow) -> String {
    let addresses: BTreeSet<IpAddr> = row.listening.iter().map(|it| it.address).collect();
    let more = addresses.len().saturating_sub(3);
    let mut all: Vec<String> = addresses.iter().take(3).map(IpAddr::to_string).collect();
    if more > 0 {
        all.push(format!("{more} more"));
    }
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

/// A row per port; a column in which nothing stands is left out.
fn table(rows: &[&LedgerRow]) -> String {
    const HEADS: [&str; 8] =
        ["PORT", "REACH", "LISTENS ON", "PROCESS", "SPEAKS", "DECLARED", "PUBLISHED", "SEEN AFTER"];
    let lines: Vec<[String; 8]> = rows.iter().map(|row| cells(row)).collect();
    let used: Vec<usize> =
        (0..HEADS.len()).filter(|&at| lines.iter().any(|cells| cells[at] != NONE)).collect();
    let width = |at: usize| {
        let cells = lines.iter().map(|cells| cells[at].chars().count());
        cells.chain([HEADS[at].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = used.iter().map(|&at| width(at)).collect();
    let line = |cell: &dyn Fn(usize) -> (String, Style)| {
        let mut line = String::new();
        for (&at, &width) in used.iter().zip(&widths) {
            let (text, style) = cell(at);
            let padding = " ".repeat(width - text.chars().count());
            let _ = write!(line, "{style}{text}{style:#}{padding}  ");
        }
        format!("{}\n", line.trim_end())
    };
    let mut text = line(&|at| (HEADS[at].to_owned(), DIM));
    for (row, cells) in rows.iter().zip(&lines) {
        let style = |at: usize| match at {
            0 => BOLD,
            1 => Reach::of(row).style(),
            _ => Style::new(),
        };
        text.push_str(&line(&|at| (cells[at].clone(), style(at))));
    }
    text
}

/// An empty cell.
const NONE: &str = "-";

fn cells(row: &LedgerRow) -> [String; 8] {
    let first = row.listening.iter().map(|socket| socket.first_seen).min();
    let lost = if row.lost.is_some() { ", then gone" } else { "" };
    let published: Vec<String> = row.published.iter().map(ToString::to_string).collect();
    [
        row.port.to_string(),
        Reach::of(row).as_str().to_owned(),
        addresses(row),
        holders(row),
        speaks(row).to_owned(),
        if row.declared { "yes" } else { NONE }.to_owned(),
        if published.is_empty() { NONE.to_owned() } else { published.join(", ") },
        first.map_or(NONE.to_owned(), |first| format!("{}{lost}", shortly(first))),
    ]
}

/// Why some of the open ports are dangerous.
fn risks(rows: &[&LedgerRow]) -> String {
    let mut text = String::new();
    for row in rows.iter().filter(|row| Reach::of(row) >= Reach::Silent) {
        let Some(known) = known(row.port) else { continue };
        let Some(risk) = known.risk else { continue };
        let _ = writeln!(text, "\n{WARM}{}{WARM:#} is usually {}: {risk}", row.port, known.service);
    }
    text
}

/// What was seen, in one line, and how well.
fn summary(record: &Record) -> Option<String> {
    let evidence = record.evidence.as_ref()?;
    let of = |reach| record.ledger.iter().filter(|row| Reach::of(row) == reach).count();
    let declared = record.ledger.iter().filter(|row| row.declared && row.listening.is_empty());
    let mut parts = vec![format!("{} open to neighbours", count(of(Reach::Open), "port"))];
    for (number, what) in [
        (of(Reach::Loopback), "on loopback only"),
        (of(Reach::Silent), "without an answer"),
        (declared.count(), "declared with nothing behind"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {what}"));
        }
    }
    let scanned = match evidence.scanned {
        0 => "not scanned".to_owned(),
        number => format!("{number} TCP ports scanned"),
    };
    Some(format!("{}; watched for {}, {scanned}", parts.join(", "), shortly(evidence.watched)))
}
