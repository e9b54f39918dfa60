//! Records made by hand, for the tests of reports.

use std::{collections::BTreeSet, net::IpAddr, path::PathBuf, time::Duration};

use jiff::Timestamp;

use crate::{
    judgement::{Finding, Verdict},
    observation::{Answer, Owner, Owners, Socket},
    record::{
        Allowance, EngineName, Evidence, LedgerRow, LeftBehind, LocatedFinding, Origin, Reason,
        Record, RunRecord, Timeline,
    },
    rule::{Level, Rule},
    socket::Port,
    spec::{Location, Place},
};

pub(crate) const HASH: &str =
    "sha256:2931287d041cb89c9f3a0b1c2d3e4f5061728394a5b6c7d8e9f0a1b2c3d4e5f6";

pub(crate) fn run(specs: Vec<Record>) -> RunRecord {
    RunRecord {
        engine: Some(EngineName {
            endpoint: "unix:///var/run/docker.sock".to_owned(),
            name: "docker".to_owned(),
            version: "28.5.1".to_owned(),
        }),
        started: Timestamp::from_second(1_790_000_000).ok(),
        finished: Timestamp::from_second(1_790_000_009).ok(),
        origin: Origin { folder: "/repo/services".into(), root: "/repo".into() },
        specs,
        ..RunRecord::default()
    }
}

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn node(pid: u32) -> Owner {
    Owner { pid, executable: Some("node".into()), name: "MainThread".into(), uid: 1000 }
}

pub(crate) fn nginx() -> Owner {
    Owner { pid: 8, executable: Some("nginx".into()), name: "nginx".into(), uid: 0 }
}

pub(crate) fn socket(port: Port, address: &str, owner: Owner, first: u64, last: u64) -> Socket {
    Socket {
        port,
        address: address.parse().unwrap_or(IpAddr::from([0, 0, 0, 0])),
        owners: Owners::Processes(BTreeSet::from([owner])),
        first_seen: ms(first),
        last_seen: ms(last),
    }
}

pub(crate) fn row(port: Port, listening: Vec<Socket>, entry_line: Option<usize>) -> LedgerRow {
    LedgerRow {
        port,
        declared: entry_line.is_some(),
        published: Vec::new(),
        reachable: (!listening.is_empty()).then_some(Answer::Open),
        listening,
        spoken: None,
        lost: None,
        entry_line,
        allowance: Allowance::default(),
    }
}

pub(crate) fn finding(rule: Rule, port: Option<Port>, message: &str) -> LocatedFinding {
    LocatedFinding {
        location: Location { line: 7, column: 1 },
        line: "expose:".to_owned(),
        finding: Finding {
            rule,
            level: rule.default_level(),
            port,
            addresses: vec![IpAddr::from([0, 0, 0, 0])],
            owners: BTreeSet::from([node(7)]),
            first_seen: Some(ms(470)),
            place: Place::Expose,
            message: message.to_owned(),
            help: "bind it to 127.0.0.1, or list it: `- port: 3000/tcp`".to_owned(),
        },
    }
}

/// Everything as the spec says.
pub(crate) fn passing(name: &str) -> Record {
    let http = Port::tcp(80);
    Record {
        name: name.to_owned(),
        file: PathBuf::from(format!("specs/{name}.yaml")),
        line: 1,
        spec_digest: "ab".repeat(32),
        image: "nginx:1.29".to_owned(),
        digest: Some(HASH.to_owned()),
        image_id: Some(format!("sha256:{}", "12".repeat(32))),
        platform: Some("linux/amd64".to_owned()),
        verdict: Verdict::Pass,
        reason: None,
        started: Timestamp::from_second(1_790_000_001).ok(),
        took: ms(3120),
        findings: Vec::new(),
        ledger: vec![LedgerRow {
            published: vec![([127, 0, 0, 1], 32776).into()],
            allowance: Allowance {
                why: Some("the shop itself".into()),
                owner: Some("team-web".into()),
                until: None,
            },
            ..row(
                http,
                vec![
                    socket(http, "0.0.0.0", nginx(), 120, 2610),
                    socket(http, "::", nginx(), 120, 2610),
                ],
                Some(8),
            )
        }],
        evidence: Some(Evidence {
            samples: 58,
            watched: ms(2000),
            longest_gap: ms(31),
            scanned: 65_535,
            addresses: vec![IpAddr::from([172, 17, 0, 3])],
            container_addresses: vec![IpAddr::from([172, 17, 0, 3])],
            namespace_addresses: vec![IpAddr::from([172, 17, 0, 3])],
            absent_tables: Vec::new(),
            counters_agree: Some(true),
            is_identified: true,
            is_same: true,
            is_searched: true,
            is_over: false,
            control: Some("own listener seen".to_owned()),
            tables: vec!["tcp".to_owned(), "tcp6".to_owned(), "udp".to_owned()],
            container: "c0ffee".repeat(10),
            network_namespace: 4_026_532_281,
            looked_from: "here",
            controls: vec!["own listener seen".to_owned()],
        }),
        timeline: Some(Timeline {
            from: ms(4),
            ready: Some(ms(610)),
            watched_from: Some(ms(610)),
            until: ms(2612),
        }),
        log: Vec::new(),
        left_behind: Vec::new(),
        is_internal_error: false,
    }
}

/// The README's story: two ports that nobody meant to open, and one that closed again.
pub(crate) fn failing(name: &str) -> Record {
    let mut record = passing(name);
    record.verdict = Verdict::Fail;
    for (number, first, last) in [(3000, 470, 2610), (9229, 347, 2610), (4000, 900, 1500)] {
        let port = Port::tcp(number);
        let pid = if number == 4000 { 12 } else { 7 };
        record.ledger.push(row(port, vec![socket(port, "0.0.0.0", node(pid), first, last)], None));
    }
    for (number, pid) in [(3000, 7), (4000, 12), (9229, 7)] {
        let message =
            format!("`node` (pid {pid}, uid 1000) listens on `0.0.0.0`, and no entry allows it");
        record.findings.push(finding(Rule::UnlistedListener, Some(Port::tcp(number)), &message));
    }
    record.ledger.sort_by_key(|row| row.port);
    record
}

/// A pass with a warning and a note.
pub(crate) fn warned(name: &str) -> Record {
    let mut record = passing(name);
    let (metrics, debug) = (Port::tcp(9090), Port::tcp(6060));
    record.ledger.push(row(metrics, Vec::new(), Some(9)));
    record.ledger.push(row(debug, vec![socket(debug, "127.0.0.1", nginx(), 200, 2610)], None));
    record.findings = vec![
        finding(Rule::SilentExpose, Some(metrics), "the image declares it, and nothing listens"),
        finding(Rule::LoopbackListener, Some(debug), "`nginx` listens on `127.0.0.1`"),
    ];
    record
}

/// One that never got ready.
pub(crate) fn inconclusive(name: &str) -> Record {
    let mut record = passing(name);
    record.verdict = Verdict::Inconclusive;
    record.reason = Some(Reason {
        message: "the container was not ready after 60s: 5432/tcp does not listen".to_owned(),
        hint: Some("raise `ready: { within: ... }`, or look at the log".to_owned()),
    });
    record.ledger.clear();
    record.evidence = None;
    record.timeline = None;
    record.log = vec!["initdb: error: directory exists".to_owned(), "exiting".to_owned()];
    record
}

/// `text` wherever others have a say.
pub(crate) fn hostile(text: &str) -> RunRecord {
    let owner =
        |pid| Owner { pid, executable: (pid == 7).then(|| text.into()), name: text.into(), uid: 0 };
    // Names of files cannot hold everything.
    let file = PathBuf::from(format!("specs/{}.yaml", text.replace(['/', '\0'], "_")));
    let mut failing = failing("a");
    let mut closed = inconclusive("b");
    for record in [&mut failing, &mut closed] {
        text.clone_into(&mut record.name);
        text.clone_into(&mut record.image);
        record.file.clone_from(&file);
        record.platform = Some(text.to_owned());
        record.log = vec![text.to_owned(), text.to_owned()];
        record.left_behind =
            vec![LeftBehind { what: text.to_owned(), remove_with: format!("docker rm {text}") }];
        for row in &mut record.ledger {
            row.allowance =
                Allowance { why: Some(text.into()), owner: Some(text.into()), until: None };
            for (socket, pid) in row.listening.iter_mut().zip(7..) {
                socket.owners = Owners::Processes(BTreeSet::from([owner(pid), owner(pid + 1)]));
            }
        }
        for located in &mut record.findings {
            text.clone_into(&mut located.line);
            located.finding.owners = BTreeSet::from([owner(7), owner(8)]);
            located.finding.message = format!("`{text}` listens, {text}");
            located.finding.help = format!("stop `{text}`");
        }
    }
    closed.digest = Some(text.to_owned());
    closed.reason = Some(Reason { message: text.to_owned(), hint: Some(format!("try {text}")) });
    if let Some(evidence) = &mut failing.evidence {
        text.clone_into(&mut evidence.container);
        evidence.controls = vec![text.to_owned()];
    }
    let mut run = run(vec![failing, closed]);
    run.left_behind =
        vec![LeftBehind { what: text.to_owned(), remove_with: format!("docker rm {text}") }];
    run.engine = Some(EngineName {
        endpoint: text.to_owned(),
        name: text.to_owned(),
        version: text.to_owned(),
    });
    run
}

/// What may come of a run, by a name each.
pub(crate) fn all() -> Vec<(&'static str, RunRecord)> {
    let mut left = run(vec![passing("web")]);
    left.specs[0].left_behind = vec![LeftBehind {
        what: "the container `c0ffee`".to_owned(),
        remove_with: "docker rm -fv c0ffee".to_owned(),
    }];
    let mut helper = run(vec![passing("web")]);
    helper.left_behind.clone_from(&left.specs[0].left_behind);
    let mut broken = run(vec![passing("web")]);
    broken.is_internal_error = true;
    let mut panicked = run(vec![inconclusive("web")]);
    panicked.specs[0].is_internal_error = true;
    let mut stopped = run(vec![passing("web")]);
    stopped.signal = Some(15);
    // A rule is broken, and the look was broken off.
    let mut partial = run(vec![failing("web")]);
    partial.specs[0].evidence = None;
    partial.specs[0].reason.clone_from(&inconclusive("web").reason);
    vec![
        ("pass", run(vec![passing("web")])),
        ("warn", run(vec![warned("web")])),
        ("fail", run(vec![failing("web")])),
        ("inconclusive", run(vec![inconclusive("db")])),
        (
            "several",
            run(vec![inconclusive("db"), passing("docs"), warned("proxy"), failing("shop")]),
        ),
        ("empty", run(Vec::new())),
        ("left-behind", left),
        ("helper-left-behind", helper),
        ("internal", broken),
        ("panicked", panicked),
        ("signal", stopped),
        ("partial", partial),
        ("hostile", hostile("<b>&`x` ::error::[a](b) @me #1 | {0} \u{1b}[31m\u{fffe}\"'%0A")),
    ]
}

/// Some levels in place of the defaults.
pub(crate) fn with_levels(mut record: Record, level: Level) -> Record {
    for located in &mut record.findings {
        located.finding.level = level;
    }
    record
}
