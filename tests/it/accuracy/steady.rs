//! The same image, the same verdict: a client that resolves names all the time makes nothing flicker.

use std::{collections::BTreeSet, env};

use serde_json::Value;

use super::report_of;
use crate::{engine, harness::Tool};

/// How many runs one process of portlid gets.
const BATCH: usize = 20;

/// What there is to compare: the verdict, the findings, and every port but those of clients, which
/// are others each time.
fn story(report: &Value) -> (String, BTreeSet<String>, BTreeSet<String>) {
    let verdict = format!("{} {}", report["verdict"], report["reason"]);
    let findings = report["findings"].as_array().unwrap().iter().map(|finding| {
        let is_client = finding["rule"] == "ephemeral-udp";
        let port = if is_client { "-" } else { finding["port"].as_str().unwrap_or("-") };
        let (level, rule) = (finding["level"].as_str().unwrap(), finding["rule"].as_str().unwrap());
        format!("{level} {rule} {port}")
    });
    let rows = report["ledger"].as_array().unwrap().iter().filter_map(|row| {
        let port = row["port"].as_str().unwrap();
        let is_resolver = row["listening"].as_array().unwrap().iter().all(|socket| {
            socket["address"] == "127.0.0.11" && socket["owners"].as_array().unwrap().is_empty()
        });
        let number: u16 = port.split('/').next().unwrap().parse().unwrap();
        let is_client = port.ends_with("/udp") && (32_768..=60_999).contains(&number);
        (!is_resolver && !is_client).then(|| format!("{port} {}", row["reachable"]))
    });
    (verdict, findings.collect(), rows.collect())
}

#[test]
fn a_client_of_the_resolver_does_not_change_the_verdict() {
    let runs = env::var("PORTLID_ACCURACY_RUNS").unwrap_or_default();
    let runs: usize = if runs.is_empty() { 5 } else { runs.parse().unwrap() };
    let image = engine::fixture(&["80/tcp"]);
    // A companion makes a network with names, and so with the engine's resolver.
    let spec = format!(
        "image: {image}\nrun:\n  command: [\"tcp:0.0.0.0:80\", \"resolve:127.0.0.11:53\", \
         \"resolve:127.0.0.11:53\", \"resolve:127.0.0.1:53\"]\nneeds:\n  db: {{ image: \"{image}\", \
         command: [sleep] }}\nready: {{ within: 30s }}\nwatch: 300ms\nscan: listed\nexpose: [80/tcp]\n"
    );
    let expected = (
        "\"pass\" null".to_owned(),
        BTreeSet::from(["note ephemeral-udp -".to_owned()]),
        BTreeSet::from(["80/tcp \"open\"".to_owned()]),
    );
    let (mut equal, mut overloaded, mut sockets) = (0, 0, 0);
    let names: Vec<String> = (0..runs).map(|run| format!("run-{run:04}")).collect();
    for batch in names.chunks(BATCH) {
        let mut tool = Tool::new(&["test", "-q", "--report", "json=report.json", "--jobs", "3"]);
        for name in batch {
            tool = tool.file(&format!("specs/{name}.yaml"), &spec);
        }
        let seen = tool.run();
        for name in batch {
            let report = report_of(&seen, name);
            if report["reason"]
                .as_str()
                .is_some_and(|reason| reason.contains("nobody looked at the tables"))
            {
                overloaded += 1;
                continue;
            }
            assert_eq!(story(report), expected, "{name}\n{seen}");
            equal += 1;
            sockets += report["ledger"].as_array().unwrap().len();
        }
        eprintln!(
            "steady: {equal} equal verdicts of {runs} ({sockets} ports seen), {overloaded} \
             undecided: overloaded"
        );
    }
    assert!(equal * 2 > runs, "too much was left undecided: {equal} of {runs}");
}
