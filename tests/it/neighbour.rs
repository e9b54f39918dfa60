//! What a neighbour is answered, held against what listens: a redirect inside the container answers
//! with no socket behind it, a firewall inside keeps a socket from answering.

use std::{fs, thread};

use crate::{
    engine,
    harness::{Seen, Tool},
};

/// The part of a spec that is the same for every case: an image with nftables, which sets up `rules`
/// and then listens.
fn subject(rules: &str, command: &str, rest: &str) -> Tool {
    let rules = rules.replace('\'', "");
    let spec = format!(
        "build: filtered\n\
         run:\n  cap_add: [NET_ADMIN]\n  command: ['{rules}', {command}]\n\
         {rest}\nscan: full\nwatch: 1s\nready: {{ within: 20s }}\n"
    );
    let tool = Tool::gate(&spec).file(
        "specs/filtered/Dockerfile",
        "FROM debian:bookworm-slim\n\
         RUN apt-get update && apt-get install --yes --no-install-recommends nftables \\\n\
         \x20   && rm -rf /var/lib/apt/lists/*\n\
         COPY listener /\n\
         EXPOSE 80\n\
         ENTRYPOINT [\"sh\", \"-ec\", \"nft \\\"$0\\\"; exec /listener \\\"$@\\\"\"]\n",
    );
    fs::copy(engine::listener(), tool.path().join("specs/filtered/listener")).unwrap();
    tool
}

/// One case: the rules of the firewall, what listens, the rest of the spec, and what must come out.
struct Case {
    rules: &'static str,
    command: &'static str,
    rest: &'static str,
    findings: &'static [&'static str],
    /// What is shown of these ports.
    reachable: &'static [(&'static str, &'static str)],
}

const CASES: [Case; 4] = [
    // A redirect: a second way to a port that is allowed.
    Case {
        rules: "add table ip t; add chain ip t c { type nat hook prerouting priority -100; }; \
                add rule ip t c tcp dport 8443 redirect to :80",
        command: "tcp:0.0.0.0:80",
        rest: "expose: [80/tcp]",
        findings: &["fail unlisted-reachable 8443/tcp - :5"],
        reachable: &[("80/tcp", "open"), ("8443/tcp", "open")],
    },
    // A transparent proxy, which changes no packet.
    Case {
        rules: "add table ip t; add chain ip t c { type filter hook prerouting priority -150; }; \
                add rule ip t c tcp dport 9000 tproxy to :80 accept",
        command: "transparent:0.0.0.0:80",
        rest: "expose: [80/tcp]",
        findings: &["fail unlisted-reachable 9000/tcp - :5"],
        reachable: &[("80/tcp", "open"), ("9000/tcp", "open")],
    },
    // Refused by a firewall, though it listens.
    Case {
        rules: "add table ip t; add chain ip t c { type filter hook input priority 0; }; \
                add rule ip t c tcp dport 80 reject with tcp reset",
        command: "tcp:0.0.0.0:80",
        rest: "expose: [80/tcp]",
        findings: &["fail unreachable 80/tcp listener :5"],
        reachable: &[("80/tcp", "refused")],
    },
    // Dropped by a firewall: silence. What listens unlisted is reported whether it answers or not.
    Case {
        rules: "add table ip t; add chain ip t c { type filter hook input priority 0; }; \
                add rule ip t c tcp dport { 80, 81 } drop",
        command: "tcp:0.0.0.0:80, tcp:0.0.0.0:81",
        rest: "expose: [80/tcp]",
        findings: &[
            "fail unreachable 80/tcp listener :5",
            "fail unlisted-listener 81/tcp listener :5",
        ],
        reachable: &[("80/tcp", "silent"), ("81/tcp", "silent")],
    },
];

#[test]
fn what_answers_and_what_listens_are_two_things() {
    let look = |case: &Case, whom: &str| -> Seen {
        subject(case.rules, case.command, case.rest).args(&["--look", whom]).run()
    };
    // The first builds the image that the others find in the cache.
    for (index, case) in CASES.iter().enumerate() {
        let seen = if index == 0 {
            vec![look(case, "here")]
        } else {
            thread::scope(|scope| {
                let both = ["here", "scout"].map(|whom| scope.spawn(move || look(case, whom)));
                both.map(|looking| looking.join().unwrap()).into()
            })
        };
        for seen in seen {
            assert_eq!(seen.findings(), case.findings, "{}: {seen}", case.rules);
            for (port, reachable) in case.reachable {
                assert_eq!(seen.row(port)["reachable"], *reachable, "{}: {seen}", case.rules);
            }
        }
    }
}
