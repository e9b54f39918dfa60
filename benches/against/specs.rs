//! e: a thousand specs that are listed and linted, and the memory of a long run.

use std::fmt::Write as _;

use crate::{
    measure::{memory, run, take_turns},
    stage::{PORTLID, Stage, portlid},
    table::{Allowed, Row, Unit},
};

/// How many specs are listed and linted.
const SPECS: usize = 1_000;
/// How many are run.
const RUN: usize = 200;

/// A spec as somebody would write it.
fn spec(index: usize) -> String {
    let mut text = format!("image: registry.example/web-{index}:1.2.3\nexpose:\n");
    for port in [80, 443, 8080] {
        let _ = writeln!(text, "  - {port}/tcp");
    }
    text.push_str("  - port: 9090/tcp\n    optional: true\n    bind: loopback\n    why: metrics\n");
    text
}

/// The rows.
pub(crate) fn thousand(stage: &Stage, pairs: usize) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("specs")).unwrap();
    for index in 0..SPECS {
        std::fs::write(folder.path().join(format!("specs/web-{index}.yaml")), spec(index)).unwrap();
    }
    let took = |arguments: &[&str]| run(&mut portlid(folder.path(), arguments)).seconds;
    let turns =
        take_turns(pairs, &mut [&mut || took(&["test", "--list"]), &mut || took(&["lint"])]);
    let alone =
        |what: &str, ours: &[f64], most| Row::times(what, "-", ours, &[], Allowed::Most(most));
    let folder = stage.specs(RUN, "0s");
    vec![
        alone("`portlid test --list` of 1,000 specs", &turns[0], 0.050),
        alone("`portlid lint` of 1,000 specs", &turns[1], 0.250),
        Row {
            what: format!("the most memory of a run of {RUN} specs"),
            against: "-".to_owned(),
            unit: Unit::Megabytes,
            // Once: it takes long, and the largest is what is asked for.
            ours: vec![memory(&[PORTLID, "test", "specs"], folder.path())],
            theirs: Vec::new(),
            allowed: Allowed::Most(60.0),
        },
    ]
}
