//! `portlid diff`: what one image exposes more or less than another. Pure.
//!
//! More is what somebody else can reach now and could not before, or what the image declares in
//! addition. Loopback, and clients' sockets, are nobody else's; another process or protocol on the
//! same port is told, and is not more.

use std::{collections::BTreeMap, fmt::Write as _};

use anstyle::{AnsiColor, Style};

use super::look::{Reach, addresses, holders, speaks};
use crate::{
    record::{LedgerRow, Record},
    report::words::count,
    rule::Rule,
    socket::{Port, Scope, scope},
};

/// What has changed at one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The port.
    pub port: Port,
    /// In which direction.
    pub way: Way,
    /// What exactly, safe to print.
    pub what: String,
}

/// The direction of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// It is exposed now, or more widely than before.
    More,
    /// It is exposed no more, or less widely.
    Less,
    /// As exposed as before, but not the same.
    Other,
}

impl Way {
    /// The word that reports use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::More => "more",
            Self::Less => "less",
            Self::Other => "other",
        }
    }

    fn sign(self) -> char {
        match self {
            Self::More => '+',
            Self::Less => '-',
            Self::Other => '~',
        }
    }

    fn style(self) -> Style {
        match self {
            Self::More => AnsiColor::Red.on_default(),
            Self::Less => AnsiColor::Green.on_default(),
            Self::Other => AnsiColor::Yellow.on_default(),
        }
    }
}

/// What `new` exposes other than `old`, by port.
#[must_use]
pub fn changes(old: &Record, new: &Record) -> Vec<Change> {
    let (before, after) = (rows(old), rows(new));
    let mut ports: Vec<Port> = before.keys().chain(after.keys()).copied().collect();
    ports.sort_unstable();
    ports.dedup();
    ports
        .into_iter()
        .flat_map(|port| {
            let found = of_port(before.get(&port).copied(), after.get(&port).copied());
            found.into_iter().map(move |(way, what)| Change { port, way, what })
        })
        .collect()
}

/// The changes for a person, ending with a newline.
#[must_use]
pub fn diff(old: &Record, new: &Record) -> String {
    let changes = changes(old, new);
    let name = |record: &Record| {
        let digest = record.digest.as_deref().unwrap_or("not resolved");
        format!("{} ({digest})", record.image)
    };
    let mut text = format!("old  {}\nnew  {}\n\n", name(old), name(new));
    let width = changes.iter().map(|it| it.port.to_string().len()).max().unwrap_or(0);
    for Change { port, way, what } in &changes {
        let (style, sign, port) = (way.style(), way.sign(), port.to_string());
        let _ = writeln!(text, "{style}{sign} {port:width$}{style:#}  {what}");
    }
    let changed = |port: &Port| changes.iter().any(|change| change.port == *port);
    let same = rows(new).into_iter().filter(|(port, row)| !changed(port) && is_exposed(row));
    let same: Vec<String> = same.map(|(port, _)| port.to_string()).collect();
    if !same.is_empty() {
        let shown = same.iter().take(12).cloned().collect::<Vec<_>>().join(", ");
        let more = if same.len() > 12 { ", ..." } else { "" };
        let _ = writeln!(text, "= {} as before: {shown}{more}", count(same.len(), "port"));
    }
    let of = |way| {
        let mut ports: Vec<Port> =
            changes.iter().filter(|change| change.way == way).map(|change| change.port).collect();
        ports.dedup();
        ports.len()
    };
    let summary = match (of(Way::More), of(Way::Less)) {
        (0, 0) => "the new image exposes as much as the old one".to_owned(),
        (0, less) => format!("the new image exposes less: {}", count(less, "port")),
        (more, 0) => format!("the new image exposes more: {}", count(more, "port")),
        (more, less) => format!(
            "the new image exposes more: {}, and less: {}",
            count(more, "port"),
            count(less, "port")
        ),
    };
    let _ = writeln!(text, "\n{summary}");
    text
}

/// The rows of an image by port, without clients' sockets.
fn rows(record: &Record) -> BTreeMap<Port, &LedgerRow> {
    let is_client = |port: Port| {
        record.findings.iter().any(|located| {
            located.finding.rule == Rule::EphemeralUdp && located.finding.port == Some(port)
        })
    };
    let rows = record.ledger.iter().filter(|row| !is_client(row.port));
    rows.map(|row| (row.port, row)).collect()
}

/// Whether others can reach the port, answered or not.
fn is_exposed(row: &LedgerRow) -> bool {
    Reach::of(row) >= Reach::Silent
}

fn of_port(old: Option<&LedgerRow>, new: Option<&LedgerRow>) -> Vec<(Way, String)> {
    let reach = |row: Option<&LedgerRow>| row.map_or(Reach::Closed, Reach::of);
    let declared = |row: Option<&LedgerRow>| row.is_some_and(|row| row.declared);
    let (before, after) = (reach(old), reach(new));
    let mut found = Vec::new();
    if after >= Reach::Silent && after > before {
        let was = if before == Reach::Closed { "" } else { ", and was not" };
        found.push((Way::More, format!("{}{was}{}", after.as_str(), described(new))));
    } else if before >= Reach::Silent && after < before {
        let now = match after {
            Reach::Closed => String::new(),
            after => format!(", now {}", after.as_str()),
        };
        found.push((Way::Less, format!("was {}{now}{}", before.as_str(), described(old))));
    } else if after == Reach::Loopback && before == Reach::Closed {
        found.push((Way::Other, format!("listens on loopback only{}", described(new))));
    } else if let (Some(old), Some(new)) = (old, new)
        && after > Reach::Closed
    {
        found.extend(other(old, new));
    }
    match (declared(old), declared(new)) {
        (false, true) => found.push((Way::More, "declared by the image".to_owned())),
        (true, false) => found.push((Way::Less, "declared by the image no more".to_owned())),
        (true, true) | (false, false) => {}
    }
    found
}

/// What differs at a port that is reached from as far as before.
fn other(old: &LedgerRow, new: &LedgerRow) -> Vec<(Way, String)> {
    let mut found = Vec::new();
    let widest = |row: &LedgerRow| row.listening.iter().map(|it| scope(it.address)).max();
    if let (Some(before), Some(after)) = (widest(old), widest(new)) {
        if before < after && after == Scope::Any {
            found.push((Way::More, format!("listens on every address, was on {}", addresses(old))));
        } else if before > after && before == Scope::Any {
            found.push((Way::Less, format!("listens on {}, was on every address", addresses(new))));
        }
    }
    for (what, before, after) in [
        ("process", holders(old), holders(new)),
        ("protocol", speaks(old).to_owned(), speaks(new).to_owned()),
    ] {
        if before != after {
            found.push((Way::Other, format!("{what}: {before} -> {after}")));
        }
    }
    found
}

fn described(row: Option<&LedgerRow>) -> String {
    let Some(row) = row.filter(|row| !row.listening.is_empty()) else { return String::new() };
    let spoken = match row.spoken.and_then(crate::observation::Spoken::recognised) {
        Some(spoken) => format!(", speaks {}", spoken.as_str()),
        None => String::new(),
    };
    format!(": {} by {}{spoken}", addresses(row), holders(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        observation::{Answer, Owner, Socket, Spoken},
        report::testing::{finding, nginx, node, passing, row, socket},
        spec::Speaks,
    };

    const PORT: Port = Port::tcp(3000);

    fn with(rows: Vec<LedgerRow>) -> Record {
        Record { ledger: rows, ..passing("web") }
    }

    fn at(addresses: &[&str], owner: &Owner) -> LedgerRow {
        let sockets: Vec<Socket> =
            addresses.iter().map(|it| socket(PORT, it, owner.clone(), 100, 900)).collect();
        row(PORT, sockets, None)
    }

    /// What a port can be, from the least exposed on.
    fn states() -> Vec<(&'static str, Option<LedgerRow>)> {
        let open = at(&["0.0.0.0"], &node(7));
        vec![
            ("nothing", None),
            (
                "loopback",
                Some(LedgerRow {
                    reachable: Some(Answer::Refused),
                    ..at(&["127.0.0.1"], &node(7))
                }),
            ),
            (
                "silent",
                Some(LedgerRow { reachable: Some(Answer::Silent), ..at(&["0.0.0.0"], &node(7)) }),
            ),
            ("open", Some(open)),
        ]
    }

    #[test]
    fn more_is_what_others_can_reach_and_could_not() {
        let states = states();
        for (old, (was, before)) in states.iter().enumerate() {
            for (new, (is, after)) in states.iter().enumerate() {
                let rows = |row: &Option<LedgerRow>| with(row.iter().cloned().collect());
                let ways: Vec<Way> =
                    changes(&rows(before), &rows(after)).into_iter().map(|it| it.way).collect();
                let expected = match (old, new) {
                    (old, new) if old == new => vec![],
                    // Loopback is nobody else's.
                    (0, 1) => vec![Way::Other],
                    (1, 0) => vec![],
                    (old, new) if new > old => vec![Way::More],
                    _ => vec![Way::Less],
                };
                assert_eq!(ways, expected, "{was} -> {is}");
            }
        }
    }

    #[test]
    fn what_is_declared_counts_by_itself() {
        let bare = LedgerRow { declared: true, ..row(PORT, vec![], None) };
        let (none, declared) = (with(vec![]), with(vec![bare]));
        let ways = |old, new| changes(old, new).into_iter().map(|it| it.way).collect::<Vec<_>>();
        assert_eq!(ways(&none, &declared), [Way::More]);
        assert_eq!(ways(&declared, &none), [Way::Less]);
        assert_eq!(ways(&declared, &declared), []);
    }

    #[test]
    fn the_same_port_may_be_another() {
        let spoken = |row, speaks| LedgerRow { spoken: Some(Spoken::Recognised(speaks)), ..row };
        let old = with(vec![spoken(at(&["10.0.0.2"], &node(7)), Speaks::Http)]);
        let new = with(vec![spoken(at(&["0.0.0.0", "::"], &nginx()), Speaks::Tls)]);
        let told: Vec<String> = changes(&old, &new)
            .into_iter()
            .map(|it| format!("{} {} {}", it.way.sign(), it.port, it.what))
            .collect();
        assert_eq!(
            told,
            [
                "+ 3000/tcp listens on every address, was on 10.0.0.2",
                "~ 3000/tcp process: node (uid 1000) -> nginx (uid 0)",
                "~ 3000/tcp protocol: http -> tls",
            ]
        );
        // Another process id is no change.
        let (one, other) = (with(vec![at(&["::"], &node(7))]), with(vec![at(&["::"], &node(9))]));
        assert_eq!(changes(&one, &other), []);
    }

    #[test]
    fn the_socket_of_a_client_is_no_change() {
        let udp = Port { number: 40123, protocol: crate::socket::Protocol::Udp };
        let mut new = with(vec![row(udp, vec![socket(udp, "0.0.0.0", node(7), 5, 9)], None)]);
        assert_eq!(changes(&with(vec![]), &new).len(), 1);
        new.findings = vec![finding(Rule::EphemeralUdp, Some(udp), "a client's")];
        assert_eq!(changes(&with(vec![]), &new), []);
    }

    #[test]
    fn names_of_processes_cannot_command_a_terminal() {
        let evil = Owner { executable: Some("\u{1b}[2Jx\n::error::".into()), ..node(7) };
        let text = diff(&with(vec![]), &with(vec![at(&["0.0.0.0"], &evil)]));
        assert!(!text.contains("\u{1b}[2J") && !text.contains("\n::error::"), "{text:?}");
    }
}
