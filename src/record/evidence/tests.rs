//! Complete evidence earns a pass; without any one part of it, it does not.

use std::collections::BTreeMap;

use jiff::civil::date;

use super::*;
use crate::{
    judgement::{Verdict, judge},
    observation::{Answer, Observation, Owners, PublishedBy, ScanResult, Socket},
    record::{Reason, Record},
    rule::{Level, Rule},
    socket::{Port, PortRange},
    spec::{Entry, Ready, Run, Source, Subject},
};

const WATCH: Duration = Duration::from_secs(2);

fn spec(scan: Scan) -> Spec {
    Spec {
        name: "web".to_owned(),
        source: Source::new("web.yaml", "expose: []\n"),
        subject: Subject::Image("web".to_owned()),
        platform: None,
        run: Run::default(),
        needs: Vec::new(),
        ready: Ready::default(),
        watch: WATCH,
        scan,
        expose: Vec::new(),
        levels: BTreeMap::new(),
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn names(tables: &[&str]) -> Vec<String> {
    tables.iter().map(|&it| it.to_owned()).collect()
}

/// All that a pass needs.
fn complete() -> Evidence {
    Evidence {
        samples: 40,
        watched: WATCH,
        longest_gap: Duration::from_millis(60),
        scanned: 65_535,
        addresses: vec![address("172.17.0.2")],
        container_addresses: vec![address("172.17.0.2")],
        namespace_addresses: vec![address("127.0.0.1"), address("172.17.0.2")],
        tables: names(&["net/tcp", "net/tcp6", "net/udp", "net/udp6", "net/raw", "net/raw6"]),
        absent_tables: names(&["net/udplite", "net/udplite6", "net/sctp/eps"]),
        counters_agree: Some(true),
        container: "c".repeat(64),
        is_identified: true,
        is_same: true,
        is_searched: true,
        is_over: false,
        network_namespace: 4_026_532_601,
        looked_from: "here",
        control: Some("own listener seen".to_owned()),
        controls: vec!["own listener seen".to_owned()],
    }
}

/// Nothing listens, and nothing may: without proof, this is what no eyes at all would see.
fn nothing() -> Observation {
    Observation {
        declared: BTreeSet::new(),
        published: Vec::new(),
        published_by: PublishedBy::Declaration,
        sockets: Vec::new(),
        sockets_hidden: false,
        lost: BTreeMap::new(),
        scan: ScanResult::default(),
        spoken: BTreeMap::new(),
        ephemeral: 32_768..=60_999,
        today: date(2026, 11, 22),
        blind: Vec::new(),
    }
}

fn record(spec: &Spec, evidence: Option<Evidence>) -> Record {
    let reason = Reason { message: "it was not looked at".to_owned(), hint: None };
    let mut record = Record::inconclusive(spec, reason);
    match evidence {
        Some(evidence) => record.completed(spec, nothing(), evidence),
        None => record.judged(spec, &nothing(), judge(spec, &nothing()), None),
    }
    record
}

/// The tables of one network and a scan of another say nothing of each other; what either breaks by
/// itself is broken.
#[test]
fn where_the_namespace_is_another_only_what_stands_by_itself_is_broken() {
    let socket = |number| Socket {
        port: Port::tcp(number),
        address: address("0.0.0.0"),
        owners: Owners::Unknown,
        first_seen: Duration::ZERO,
        last_seen: WATCH,
    };
    let web = Spec {
        expose: vec![Entry::new("80/tcp".parse::<PortRange>().unwrap())],
        ..spec(Scan::Full)
    };
    let judged = |sockets: &[u16], answers: &[(u16, Answer)], namespace: &str| {
        let seen = Observation {
            sockets: sockets.iter().copied().map(socket).collect(),
            scan: ScanResult {
                scanned: 65_535,
                answers: answers.iter().copied().collect(),
                full: true,
            },
            ..nothing()
        };
        let evidence = Evidence { namespace_addresses: vec![address(namespace)], ..complete() };
        let mut record = record(&web, None);
        record.completed(&web, seen, evidence);
        let failed = record.findings.iter().filter(|it| it.finding.level == Level::Fail);
        (record.verdict, failed.map(|it| it.finding.rule).collect::<Vec<_>>())
    };
    let (own, other) = ("172.17.0.2", "10.0.0.9");
    let refused = &[(80, Answer::Refused)];
    assert_eq!(judged(&[80], refused, own), (Verdict::Fail, vec![Rule::Unreachable]));
    assert_eq!(judged(&[80], refused, other), (Verdict::Inconclusive, vec![]));
    // A child may have stayed behind, where the entry allows it to listen.
    let open = &[(80, Answer::Open)];
    assert_eq!(judged(&[], open, own).0, Verdict::Fail);
    assert_eq!(judged(&[], open, other), (Verdict::Inconclusive, vec![]));
    let unlisted = &[(3000, Answer::Open)];
    let reached = (Verdict::Fail, vec![Rule::UnlistedReachable]);
    assert_eq!(judged(&[], unlisted, other), reached);
    let listening = (Verdict::Fail, vec![Rule::UnlistedListener]);
    assert_eq!(judged(&[3000], &[], other), listening);
}

#[test]
fn complete_evidence_earns_a_pass() {
    let record = record(&spec(Scan::Full), Some(complete()));
    assert_eq!((record.verdict, record.reason), (Verdict::Pass, None));
}

/// What may be missing with good reason.
#[test]
fn what_was_not_asked_for_need_not_be_proven() {
    type Change = fn(&mut Evidence);
    let changes: [(&str, Scan, Change); 6] = [
        ("no scan", Scan::Off, |it| (it.scanned, it.addresses) = (0, Vec::new())),
        ("few ports", Scan::Listed, |it| it.scanned = 1),
        ("no port listed", Scan::Listed, |it| it.scanned = 0),
        ("no counters", Scan::Full, |it| it.counters_agree = None),
        ("a kernel without IPv6", Scan::Full, |it| {
            it.tables.retain(|table| !table.ends_with('6'));
            it.absent_tables.extend(names(&["net/tcp6", "net/udp6", "net/raw6"]));
        }),
        ("it ended, as it should", Scan::Full, |it| {
            it.is_over = true;
            (it.watched, it.is_searched, it.scanned) = (Duration::ZERO, false, 0);
            it.addresses.clear();
            it.namespace_addresses.clear();
        }),
    ];
    for (what, scan, change) in changes {
        let mut evidence = complete();
        change(&mut evidence);
        let record = record(&spec(scan), Some(evidence));
        assert_eq!((record.verdict, record.reason), (Verdict::Pass, None), "{what}");
    }
}

#[test]
fn without_any_one_part_nothing_passes() {
    type Change = fn(&mut Evidence);
    let changes: [(&str, Change); 25] = [
        ("not known to be the container's", |it| it.is_identified = false),
        ("not known to be the container's", |it| it.container.clear()),
        ("the same before and after", |it| it.is_same = false),
        ("not every process", |it| it.is_searched = false),
        ("does not have the address", |it| it.namespace_addresses.clear()),
        ("does not have the address", |it| {
            it.container_addresses.push(address("fd00::2"));
            it.addresses.push(address("fd00::2"));
        }),
        ("read 0 times", |it| it.samples = 0),
        ("read 1 times", |it| it.samples = 1),
        ("`net/tcp` was not read", |it| it.tables.clear()),
        ("`net/tcp` was not read", |it| drop(it.tables.remove(0))),
        ("`net/tcp6` was not read", |it| drop(it.tables.remove(1))),
        ("`net/udp` was not read", |it| drop(it.tables.remove(2))),
        ("`net/udp6` was not read", |it| drop(it.tables.remove(3))),
        ("`net/raw` was not read", |it| drop(it.tables.remove(4))),
        ("`net/raw6` was not read", |it| drop(it.tables.remove(5))),
        ("`net/tcp6` was not read", |it| {
            it.absent_tables.push(it.tables.remove(1));
        }),
        ("`net/tcp` was not read", |it| {
            it.absent_tables.push(it.tables.remove(0));
        }),
        ("counts more sockets", |it| it.counters_agree = Some(false)),
        ("nobody looked at the tables for 1.5 s", |it| {
            it.longest_gap = Duration::from_millis(1500);
        }),
        ("watched for 0.0 s only", |it| it.watched = Duration::ZERO),
        ("watched for 1.9 s only", |it| it.watched = Duration::from_millis(1900)),
        ("not every address", |it| it.addresses.clear()),
        ("not every address", |it| it.addresses = vec![address("172.17.0.9")]),
        ("only 65534 of 65535 ports", |it| it.scanned = 65_534),
        ("no positive control", |it| it.control = None),
    ];
    for (because, change) in changes {
        let mut evidence = complete();
        change(&mut evidence);
        let record = record(&spec(Scan::Full), Some(evidence));
        assert_eq!(record.verdict, Verdict::Inconclusive, "{because}");
        let reason = record.reason.unwrap();
        assert!(reason.message.contains(because), "{because}: {}", reason.message);
        assert!(!reason.hint.unwrap().is_empty(), "{because}");
    }
    let record = record(&spec(Scan::Full), None);
    assert_eq!(record.verdict, Verdict::Inconclusive);
    assert!(record.evidence.is_none());
}

/// A container that ended as it should was seen at least once, without a gap, by eyes that work.
#[test]
fn an_end_is_no_excuse() {
    type Change = fn(&mut Evidence);
    let changes: [Change; 5] = [
        |it| it.samples = 0,
        |it| it.is_identified = false,
        |it| it.longest_gap = Duration::from_secs(2),
        |it| it.control = None,
        |it| it.tables.clear(),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut evidence = Evidence { is_over: true, ..complete() };
        change(&mut evidence);
        let record = record(&spec(Scan::Full), Some(evidence));
        assert_eq!(record.verdict, Verdict::Inconclusive, "{index}");
    }
}
