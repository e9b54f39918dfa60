//! The JSON report, version 1. Changes only add.
//!
//! Foreign names are escaped here as everywhere: reports are printed into logs, whole or by parts.
//!
//! The types here are the wire format and nothing else: the crate's own types may change, these
//! may only grow.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use serde::Serialize;

use crate::{
    foreign::Foreign,
    observation::{Answer, Owner, Owners, Socket, Spoken},
    record::{
        EngineName, Evidence, LedgerRow, LeftBehind, LocatedFinding, Record, RunRecord, Share,
    },
    report::{
        diff::{Change, Way},
        words::moment,
    },
    socket::Port,
    spec::Speaks,
};

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    portlid: &'static str,
    engine: Option<Engine<'a>>,
    started: Option<String>,
    finished: Option<String>,
    exit_code: u8,
    partition: Option<Part<'a>>,
    specs: Vec<Spec<'a>>,
    left_behind: Vec<Left<'a>>,
}

#[derive(Serialize)]
struct Part<'a> {
    by: &'static str,
    part: u64,
    parts: u64,
    /// Of how many specs, all parts together.
    of: usize,
    split: &'a str,
}

#[derive(Serialize)]
struct Looks<'a> {
    schema: u32,
    portlid: &'static str,
    engine: Option<Engine<'a>>,
    images: Vec<ImageLook<'a>>,
    left_behind: Vec<Left<'a>>,
}

#[derive(Serialize)]
struct DiffReport<'a> {
    schema: u32,
    portlid: &'static str,
    engine: Option<Engine<'a>>,
    exposes_more: Option<bool>,
    changes: Option<Vec<ChangeRow>>,
    /// The old one, then the new one.
    images: Vec<ImageLook<'a>>,
    left_behind: Vec<Left<'a>>,
}

#[derive(Serialize)]
struct ChangeRow {
    port: Port,
    change: &'static str,
    message: String,
}

#[derive(Serialize)]
struct ImageLook<'a> {
    image: &'a str,
    digest: Option<&'a str>,
    image_id: Option<&'a str>,
    platform: Option<&'a str>,
    reason: Option<&'a str>,
    hint: Option<&'a str>,
    log: &'a [String],
    started: Option<String>,
    seconds: f64,
    timeline: Option<TimelineRow>,
    ledger: Vec<Row>,
    evidence: Option<EvidenceRow<'a>>,
    left_behind: Vec<Left<'a>>,
}

#[derive(Serialize)]
struct Engine<'a> {
    endpoint: &'a str,
    name: &'a str,
    version: &'a str,
}

#[derive(Serialize)]
struct Spec<'a> {
    name: &'a str,
    file: String,
    spec_digest: &'a str,
    image: &'a str,
    digest: Option<&'a str>,
    image_id: Option<&'a str>,
    platform: Option<&'a str>,
    verdict: &'static str,
    reason: Option<&'a str>,
    hint: Option<&'a str>,
    log: &'a [String],
    started: Option<String>,
    seconds: f64,
    timeline: Option<TimelineRow>,
    findings: Vec<FindingRow<'a>>,
    ledger: Vec<Row>,
    evidence: Option<EvidenceRow<'a>>,
    left_behind: Vec<Left<'a>>,
}

#[derive(Serialize)]
struct FindingRow<'a> {
    rule: &'static str,
    level: &'static str,
    port: Option<Port>,
    address: Option<IpAddr>,
    addresses: &'a [IpAddr],
    process: Option<String>,
    owners: Vec<OwnerRow>,
    first_seen_ms: Option<u64>,
    file: String,
    line: usize,
    column: usize,
    message: &'a str,
    help: &'a str,
    cis: &'static [&'static str],
}

#[derive(Serialize)]
struct Row {
    port: Port,
    declared: bool,
    published: Vec<SocketAddr>,
    reachable: &'static str,
    listening: Vec<SocketRow>,
    speaks: Option<&'static str>,
    lost_ms: Option<u64>,
    entry_line: Option<usize>,
    why: Option<String>,
    owner: Option<String>,
    until: Option<String>,
}

#[derive(Serialize)]
struct SocketRow {
    address: IpAddr,
    owners: Vec<OwnerRow>,
    owners_known: bool,
    first_seen_ms: u64,
    last_seen_ms: u64,
}

#[derive(Serialize)]
struct OwnerRow {
    pid: u32,
    process: Option<String>,
    name: String,
    uid: u32,
}

#[derive(Serialize)]
struct TimelineRow {
    from_ms: u64,
    ready_ms: Option<u64>,
    watched_from_ms: Option<u64>,
    until_ms: u64,
}

#[derive(Serialize)]
struct EvidenceRow<'a> {
    samples: u64,
    watched_ms: u64,
    longest_gap_ms: u64,
    scanned: u32,
    addresses: &'a [IpAddr],
    tables: &'a [String],
    tables_not_in_kernel: &'a [String],
    counters_agree: Option<bool>,
    container: &'a str,
    container_addresses: &'a [IpAddr],
    namespace_addresses: &'a [IpAddr],
    identified: bool,
    same_before_and_after: bool,
    every_process_searched: bool,
    ended_as_wanted: bool,
    network_namespace: u64,
    looked_from: &'static str,
    controls: &'a [String],
}

#[derive(Serialize)]
struct Left<'a> {
    what: &'a str,
    remove_with: &'a str,
}

/// The report of a run, indented, with a newline at its end.
#[must_use]
pub fn json(run: &RunRecord) -> String {
    let report = Report {
        schema: 1,
        portlid: env!("CARGO_PKG_VERSION"),
        engine: run.engine.as_ref().map(engine),
        started: run.started.map(moment),
        finished: run.finished.map(moment),
        exit_code: run.exit().code(),
        partition: run.share.as_ref().map(part),
        specs: run.specs.iter().map(spec).collect(),
        left_behind: run.left_behind.iter().map(left).collect(),
    };
    written(&report)
}

/// What was seen of images that no spec was held against, for `portlid look --json`.
#[must_use]
pub fn look(run: &RunRecord) -> String {
    let looks = Looks {
        schema: 1,
        portlid: env!("CARGO_PKG_VERSION"),
        engine: run.engine.as_ref().map(engine),
        images: run.specs.iter().map(image).collect(),
        left_behind: run.left_behind.iter().map(left).collect(),
    };
    written(&looks)
}

/// What one image exposes other than another, for `portlid diff --json`; the changes are not known
/// where one could not be looked at.
#[must_use]
pub fn diff(run: &RunRecord, changes: Option<&[Change]>) -> String {
    let is_more = |changes: &[Change]| changes.iter().any(|change| change.way == Way::More);
    written(&DiffReport {
        schema: 1,
        portlid: env!("CARGO_PKG_VERSION"),
        engine: run.engine.as_ref().map(engine),
        exposes_more: changes.map(is_more),
        changes: changes.map(|changes| {
            let row = |it: &Change| ChangeRow {
                port: it.port,
                change: it.way.as_str(),
                message: it.what.clone(),
            };
            changes.iter().map(row).collect()
        }),
        images: run.specs.iter().map(image).collect(),
        left_behind: run.left_behind.iter().map(left).collect(),
    })
}

/// Serialisation of these types has no way to fail: every key is a string.
fn written(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

fn part(share: &Share) -> Part<'_> {
    let Share { by, part, parts, of, split } = share;
    Part { by, part: *part, parts: *parts, of: *of, split }
}

fn engine(engine: &EngineName) -> Engine<'_> {
    Engine { endpoint: &engine.endpoint, name: &engine.name, version: &engine.version }
}

fn image(record: &Record) -> ImageLook<'_> {
    ImageLook {
        image: &record.image,
        digest: record.digest.as_deref(),
        image_id: record.image_id.as_deref(),
        platform: record.platform.as_deref(),
        reason: record.reason.as_ref().map(|reason| reason.message.as_str()),
        hint: record.reason.as_ref().and_then(|reason| reason.hint.as_deref()),
        log: &record.log,
        started: record.started.map(moment),
        seconds: seconds(record),
        timeline: timeline(record),
        ledger: record.ledger.iter().map(row).collect(),
        evidence: record.evidence.as_ref().map(evidence),
        left_behind: record.left_behind.iter().map(left).collect(),
    }
}

fn seconds(record: &Record) -> f64 {
    (record.took.as_secs_f64() * 1000.0).round() / 1000.0
}

fn timeline(record: &Record) -> Option<TimelineRow> {
    record.timeline.map(|line| TimelineRow {
        from_ms: milliseconds(line.from),
        ready_ms: line.ready.map(milliseconds),
        watched_from_ms: line.watched_from.map(milliseconds),
        until_ms: milliseconds(line.until),
    })
}

fn spec(record: &Record) -> Spec<'_> {
    let file = Foreign(&record.file.display().to_string()).to_string();
    Spec {
        name: &record.name,
        spec_digest: &record.spec_digest,
        image: &record.image,
        digest: record.digest.as_deref(),
        image_id: record.image_id.as_deref(),
        platform: record.platform.as_deref(),
        verdict: record.verdict.as_str(),
        reason: record.reason.as_ref().map(|reason| reason.message.as_str()),
        hint: record.reason.as_ref().and_then(|reason| reason.hint.as_deref()),
        log: &record.log,
        started: record.started.map(moment),
        timeline: timeline(record),
        seconds: seconds(record),
        findings: record.findings.iter().map(|located| finding(located, &file)).collect(),
        ledger: record.ledger.iter().map(row).collect(),
        evidence: record.evidence.as_ref().map(evidence),
        left_behind: record.left_behind.iter().map(left).collect(),
        file,
    }
}

fn left(left: &LeftBehind) -> Left<'_> {
    Left { what: &left.what, remove_with: &left.remove_with }
}

fn finding<'a>(located: &'a LocatedFinding, file: &str) -> FindingRow<'a> {
    let LocatedFinding { location, finding, .. } = located;
    let processes: BTreeSet<&str> =
        finding.owners.iter().map(|owner| owner.shown().raw()).collect();
    let processes: Vec<&str> = processes.into_iter().collect();
    FindingRow {
        rule: finding.rule.id(),
        level: finding.level.as_str(),
        port: finding.port,
        address: finding.addresses.first().copied(),
        addresses: &finding.addresses,
        process: (!processes.is_empty()).then(|| Foreign(&processes.join(", ")).to_string()),
        owners: finding.owners.iter().map(owner).collect(),
        first_seen_ms: finding.first_seen.map(milliseconds),
        file: file.to_owned(),
        line: location.line,
        column: location.column,
        message: &finding.message,
        help: &finding.help,
        cis: finding.rule.cis(),
    }
}

fn row(row: &LedgerRow) -> Row {
    Row {
        port: row.port,
        declared: row.declared,
        published: row.published.clone(),
        reachable: row.reachable.map_or("unknown", Answer::as_str),
        listening: row.listening.iter().map(socket).collect(),
        speaks: row.spoken.and_then(Spoken::recognised).map(Speaks::as_str),
        lost_ms: row.lost.map(milliseconds),
        entry_line: row.entry_line,
        why: row.allowance.why.as_ref().map(|why| Foreign(why.raw()).to_string()),
        owner: row.allowance.owner.as_ref().map(|owner| Foreign(owner.raw()).to_string()),
        until: row.allowance.until.map(|day| day.to_string()),
    }
}

fn socket(socket: &Socket) -> SocketRow {
    SocketRow {
        address: socket.address,
        owners: socket.owners.processes().map(owner).collect(),
        owners_known: socket.owners != Owners::Unknown,
        first_seen_ms: milliseconds(socket.first_seen),
        last_seen_ms: milliseconds(socket.last_seen),
    }
}

fn owner(owner: &Owner) -> OwnerRow {
    OwnerRow {
        pid: owner.pid,
        process: owner.executable.as_ref().map(|name| Foreign(name.raw()).to_string()),
        name: Foreign(owner.name.raw()).to_string(),
        uid: owner.uid,
    }
}

fn evidence(evidence: &Evidence) -> EvidenceRow<'_> {
    EvidenceRow {
        samples: evidence.samples,
        watched_ms: milliseconds(evidence.watched),
        longest_gap_ms: milliseconds(evidence.longest_gap),
        scanned: evidence.scanned,
        addresses: &evidence.addresses,
        tables: &evidence.tables,
        tables_not_in_kernel: &evidence.absent_tables,
        counters_agree: evidence.counters_agree,
        container: &evidence.container,
        container_addresses: &evidence.container_addresses,
        namespace_addresses: &evidence.namespace_addresses,
        identified: evidence.is_identified,
        same_before_and_after: evidence.is_same,
        every_process_searched: evidence.is_searched,
        ended_as_wanted: evidence.is_over,
        network_namespace: evidence.network_namespace,
        looked_from: evidence.looked_from,
        controls: &evidence.controls,
    }
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
