//! The parts of portlid that touch nothing: the parser of socket tables, the judgement, the loader.
//!
//! `cargo bench --bench pure`. No engine is needed, and nothing here is compared with anything else:
//! that is what `benches/against` does.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    hint::black_box,
    time::Duration,
};

use criterion::{BenchmarkId, Criterion, Throughput};
use portlid::{
    Observation, Port, Spec,
    look::tables::{self, Table},
    observation::{Answer, Owner, Owners, PublishedBy, ScanResult, Socket},
    spec,
};

/// `net/tcp` as the kernel prints it, with so many listeners.
fn table(rows: u32) -> String {
    let mut text = format!(
        "{:<149}\n",
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
    );
    for row in 0..rows {
        let line = format!(
            "{row:>4}: 0100007F:{:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 {} 1 0000000000000000 100 0 0 10 0",
            row + 1,
            4_000_000 + row
        );
        let _ = writeln!(text, "{line:<149}");
    }
    text
}

fn parser(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("socket table");
    for rows in [10, 1_000, 30_000] {
        let text = table(rows);
        group.throughput(Throughput::Elements(rows.into()));
        group.bench_with_input(BenchmarkId::from_parameter(rows), &text, |bencher, text| {
            bencher.iter(|| {
                let mut accepting = 0_u32;
                let read = tables::read(Table::Tcp, black_box(text.as_bytes()), |row| {
                    accepting += u32::from(row.accepts());
                });
                assert_eq!((read.ok(), accepting), (Some(rows as usize), rows));
            });
        });
    }
    group.finish();
}

/// A container with so many listeners, each held by one process and open to a neighbour.
fn observation(sockets: u16) -> Observation {
    let socket = |number| Socket {
        port: Port::tcp(number),
        address: [0, 0, 0, 0].into(),
        owners: Owners::Processes(BTreeSet::from([Owner {
            pid: 7,
            executable: Some("server".into()),
            name: "server".into(),
            uid: 1000,
        }])),
        first_seen: Duration::from_millis(100),
        last_seen: Duration::from_secs(2),
    };
    Observation {
        declared: BTreeSet::new(),
        published: Vec::new(),
        published_by: PublishedBy::Declaration,
        sockets: (1..=sockets).map(socket).collect(),
        sockets_hidden: false,
        lost: BTreeMap::new(),
        scan: ScanResult {
            scanned: u16::MAX.into(),
            answers: (1..=sockets).map(|number| (number, Answer::Open)).collect(),
            full: true,
        },
        spoken: BTreeMap::new(),
        ephemeral: 32_768..=60_999,
        today: jiff::civil::date(2026, 1, 1),
        blind: Vec::new(),
    }
}

fn judgement(criterion: &mut Criterion) {
    const SOCKETS: u16 = 10_000;
    let seen = observation(SOCKETS);
    let mut group = criterion.benchmark_group("judgement");
    group.throughput(Throughput::Elements(SOCKETS.into()));
    let cases = [("all allowed", "[1-10000/tcp]", 0), ("none allowed", "[]", usize::from(SOCKETS))];
    for (case, expose, unlisted) in cases {
        let spec = Spec::from_text(&format!("image: web:1\nexpose: {expose}\n"));
        let spec = spec.expect("the spec is valid");
        let failures = |judgement: &portlid::judgement::Judgement| {
            let fails = |it: &&portlid::judgement::Finding| {
                it.rule == portlid::rule::Rule::UnlistedListener
            };
            judgement.findings.iter().filter(fails).count()
        };
        group.bench_function(BenchmarkId::new(case, SOCKETS), |bencher| {
            bencher.iter(|| {
                let judgement = portlid::judge(black_box(&spec), black_box(&seen));
                assert_eq!(failures(&judgement), unlisted);
            });
        });
    }
    group.finish();
}

fn loader(criterion: &mut Criterion) {
    const SPECS: usize = 1_000;
    let folder = tempfile::tempdir().expect("a folder for the specs");
    for index in 0..SPECS {
        let text = format!(
            "image: web:{index}\nexpose:\n  - 80/tcp\n  - port: 9090/tcp\n    bind: loopback\n    why: metrics\nwatch: 3s\n"
        );
        std::fs::write(folder.path().join(format!("web-{index}.yaml")), text).expect("a spec");
    }
    let paths = [folder.path().to_owned()];
    let mut group = criterion.benchmark_group("spec loader");
    group.throughput(Throughput::Elements(SPECS as u64)).sample_size(20);
    group.bench_function(BenchmarkId::from_parameter(SPECS), |bencher| {
        bencher.iter(|| {
            let loaded = spec::load(black_box(&paths), &|_| None);
            assert_eq!((loaded.specs.len(), loaded.problems.len()), (SPECS, 0));
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    parser(&mut criterion);
    judgement(&mut criterion);
    loader(&mut criterion);
    criterion.final_summary();
}
