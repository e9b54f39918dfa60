//! `portlid init`: the first spec of an image, from what was seen of it. Pure.
//!
//! It allows just what was seen, and asks why. What changes from one start to the next (clients'
//! sockets) and what needs no entry (loopback) is named in comments instead.

use std::{collections::BTreeSet, fmt::Write as _};

use jiff::civil::Date;

use crate::{
    observation::{Answer, Owner},
    record::{LedgerRow, Record},
    report::words::known_as,
    rule::Rule,
    socket::Port,
    spec::Speaks,
};

/// A spec in the making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The text of the file.
    pub text: String,
    /// What was seen and no spec can allow, or what may be another the next time; safe to print.
    pub doubts: Vec<String>,
}

/// Drafts a spec. `record` is that of a look with `expose: []`; `subject` and `run` are the lines
/// that say what was looked at and how it was started; `scalar` writes text as YAML.
#[must_use]
pub fn draft(
    record: &Record,
    subject: &str,
    run: &[String],
    today: Date,
    scalar: &dyn Fn(&str) -> String,
) -> Draft {
    let mut doubts = Vec::new();
    let mut entries = String::new();
    let mut comments = Vec::new();
    for row in &record.ledger {
        match kind(record, row) {
            Kind::Listener => entries.push_str(&entry(row, scalar)),
            Kind::DeclaredOnly => {
                let _ = write!(
                    entries,
                    "  - port: {}\n    optional: true\n    why: TODO (the image declares it, and \
                     nothing listens)\n",
                    row.port
                );
            }
            Kind::Loopback => {
                comments.push(format!("{} listens on loopback only, and needs no entry", row.port));
            }
            Kind::Client => comments.push(format!(
                "{} is a client's socket, most likely: another the next time",
                row.port
            )),
            Kind::Redirected => doubts.push(format!(
                "{} answers neighbours, and no socket listens there: no spec can allow that",
                row.port
            )),
            Kind::Nothing => {}
        }
        if is_random(row.port) && matches!(kind(record, row), Kind::Listener) {
            doubts.push(format!(
                "{} is in the range of ports that the kernel gives out: it may be another the next \
                 time",
                row.port
            ));
        }
    }
    let digest = record.digest.as_deref().unwrap_or("unknown");
    let platform = record.platform.as_deref().map(|it| format!(", {it}")).unwrap_or_default();
    let mut text = format!(
        "# What portlid saw on {today} ({digest}{platform}).\n# Each port below was open. Say why it \
         has to be, or close it.\n{subject}\n"
    );
    if !run.is_empty() {
        let _ = writeln!(text, "run:\n  {}", run.join("\n  "));
    }
    if entries.is_empty() {
        text.push_str("expose: []\n");
    } else {
        let _ = write!(text, "expose:\n{entries}");
    }
    for comment in comments {
        let _ = writeln!(text, "# {comment}.");
    }
    Draft { text, doubts }
}

/// What a row is to a spec.
enum Kind {
    /// It listens, and needs an entry.
    Listener,
    /// It is only declared.
    DeclaredOnly,
    /// It listens on loopback.
    Loopback,
    /// It is a client's.
    Client,
    /// Something answers where nothing listens.
    Redirected,
    /// It needs no entry.
    Nothing,
}

/// The findings of a spec that allows nothing say what each port is.
fn kind(record: &Record, row: &LedgerRow) -> Kind {
    let found = record.findings.iter().map(|located| &located.finding);
    let rules: BTreeSet<Rule> =
        found.filter(|finding| finding.port == Some(row.port)).map(|it| it.rule).collect();
    if rules.contains(&Rule::UnlistedListener) {
        Kind::Listener
    } else if rules.contains(&Rule::UnlistedReachable) {
        Kind::Redirected
    } else if rules.contains(&Rule::UnlistedExpose) {
        if row.listening.is_empty() { Kind::DeclaredOnly } else { Kind::Listener }
    } else if rules.contains(&Rule::EphemeralUdp) {
        Kind::Client
    } else if rules.contains(&Rule::LoopbackListener) {
        Kind::Loopback
    } else {
        Kind::Nothing
    }
}

fn entry(row: &LedgerRow, scalar: &dyn Fn(&str) -> String) -> String {
    let mut text = format!("  - port: {}\n", row.port);
    // What came and went is not there whenever somebody looks; what does not answer would be told
    // of a port that must.
    if row.lost.is_some() || row.reachable == Some(Answer::Silent) {
        text.push_str("    optional: true\n");
    }
    let owners: BTreeSet<&Owner> =
        row.listening.iter().flat_map(|socket| socket.owners.processes()).collect();
    let is_known = row.listening.iter().all(|socket| socket.owners.processes().next().is_some());
    let names: BTreeSet<&str> = owners.iter().map(|owner| known_as(owner).raw()).collect();
    let uids: BTreeSet<u32> = owners.iter().map(|owner| owner.uid).collect();
    if let (true, [name]) = (is_known, &Vec::from_iter(names)[..])
        && owners.iter().all(|owner| owner.is_called(name))
    {
        let _ = writeln!(text, "    process: {}", scalar(name));
    }
    if let (true, [uid]) = (is_known, &Vec::from_iter(uids)[..]) {
        let _ = writeln!(text, "    user: \"{uid}\"");
    }
    if let Some(speaks) = row.spoken.and_then(crate::observation::Spoken::recognised)
        && speaks != Speaks::Plain
    {
        let _ = writeln!(text, "    speaks: {}", speaks.as_str());
    }
    text.push_str("    why: TODO\n");
    text
}

/// Whether the kernel gives out such ports by itself, by default.
fn is_random(port: Port) -> bool {
    (32768..=60999).contains(&port.number)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::{
        observation::{Owner, Socket, Spoken},
        report::testing::{finding, nginx, node, passing, row, socket},
        socket::Protocol,
    };

    fn seen(rows: Vec<(LedgerRow, Option<Rule>)>) -> Record {
        let findings = rows
            .iter()
            .filter_map(|(row, rule)| rule.map(|rule| finding(rule, Some(row.port), "seen")))
            .collect();
        let ledger = rows.into_iter().map(|(row, _)| row).collect();
        Record { findings, ledger, ..passing("web") }
    }

    fn listening(port: Port, owners: &[Owner]) -> LedgerRow {
        let each = |owner: &Owner| socket(port, "0.0.0.0", owner.clone(), 100, 900);
        let sockets: Vec<Socket> = owners.iter().map(each).collect();
        LedgerRow { declared: false, ..row(port, sockets, None) }
    }

    fn drafted(record: &Record) -> Draft {
        let run = ["env: { KEY: \"${KEY}\" }".to_owned()];
        draft(record, "image: web:1", &run, date(2026, 11, 22), &|text| format!("'{text}'"))
    }

    #[test]
    fn each_kind_of_row_has_its_place() {
        let redis = Owner {
            executable: Some("redis-check-rdb".into()),
            name: "redis-server".into(),
            ..node(1)
        };
        let worker = Owner { uid: 33, ..nginx() };
        let (udp, random) = (Port { number: 45000, protocol: Protocol::Udp }, Port::tcp(45001));
        let record = seen(vec![
            (listening(Port::tcp(80), &[nginx(), worker]), Some(Rule::UnlistedListener)),
            (listening(Port::tcp(3000), &[node(7), nginx()]), Some(Rule::UnlistedListener)),
            (
                LedgerRow {
                    lost: Some(std::time::Duration::from_secs(1)),
                    spoken: Some(Spoken::Recognised(Speaks::Redis)),
                    ..listening(Port::tcp(6379), &[redis])
                },
                Some(Rule::UnlistedListener),
            ),
            (
                LedgerRow { declared: true, ..row(Port::tcp(8080), vec![], None) },
                Some(Rule::UnlistedExpose),
            ),
            (listening(Port::tcp(9229), &[node(7)]), Some(Rule::LoopbackListener)),
            (listening(udp, &[node(7)]), Some(Rule::EphemeralUdp)),
            (listening(random, &[node(7)]), Some(Rule::UnlistedListener)),
            (row(Port::tcp(8443), vec![], None), Some(Rule::UnlistedReachable)),
        ]);
        let Draft { text, doubts } = drafted(&record);
        insta::assert_snapshot!(text, @r#"
        # What portlid saw on 2026-11-22 (sha256:2931287d041cb89c9f3a0b1c2d3e4f5061728394a5b6c7d8e9f0a1b2c3d4e5f6, linux/amd64).
        # Each port below was open. Say why it has to be, or close it.
        image: web:1
        run:
          env: { KEY: "${KEY}" }
        expose:
          - port: 80/tcp
            process: 'nginx'
            why: TODO
          - port: 3000/tcp
            why: TODO
          - port: 6379/tcp
            optional: true
            process: 'redis-server'
            user: "1000"
            speaks: redis
            why: TODO
          - port: 8080/tcp
            optional: true
            why: TODO (the image declares it, and nothing listens)
          - port: 45001/tcp
            process: 'node'
            user: "1000"
            why: TODO
        # 9229/tcp listens on loopback only, and needs no entry.
        # 45000/udp is a client's socket, most likely: another the next time.
        "#);
        insta::assert_snapshot!(doubts.join("\n"), @r"
        45001/tcp is in the range of ports that the kernel gives out: it may be another the next time
        8443/tcp answers neighbours, and no socket listens there: no spec can allow that
        ");
    }

    #[test]
    fn an_image_that_opens_nothing_allows_nothing() {
        let Draft { text, doubts } = drafted(&seen(vec![]));
        assert!(text.ends_with("\nexpose: []\n"), "{text}");
        assert_eq!(doubts, Vec::<String>::new());
    }
}
