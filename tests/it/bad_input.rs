//! What is refused: each with its line, and nothing is started for it.

use crate::harness::Tool;

/// A spec, the place of its problem, and what is said of it.
const REFUSED: &[(&str, &str, &str)] = &[
    ("image: web\n", "1:1", "`expose`"),
    ("image: web\nexpose:\n", "2:", "`expose`"),
    ("", "1:1", "empty"),
    ("image: web\nexpose: []\n---\nimage: other\nexpose: []\n", "", "document"),
    ("image: web\nexpose: [0]\n", "2:10", "`0`"),
    ("image: web\nexpose: [65536/tcp]\n", "2:10", "`65536`"),
    ("image: web\nexpose: [80-70]\n", "2:10", "`80-70`"),
    ("image: web\nexpose: [443/tcpp]\n", "2:10", "`tcpp`"),
    ("image: web:${PORTLID_TEST_UNSET}\nexpose: []\n", "1:8", "PORTLID_TEST_UNSET"),
    ("image: web\nexpose:\n  - port: 80\n    bind: 300.1.1.1\n", "4:11", "`300.1.1.1`"),
    ("image: web\nexpose: [1-65535/tcp]\n", "2:10", "1-65535"),
    ("image: web\nexpose: [1-32767/tcp, 32769-65535/tcp]\n", "2:9", "most of all tcp ports"),
    ("image: web\nexpose: []\nexpose: [80]\n", "3:1", "`expose`"),
    ("image: web\nexpos: []\n", "2:1", "`expos`"),
    ("image: web\nexpose: [80, 80/tcp]\n", "2:14", "80/tcp"),
    ("image: web\nbuild: .\nexpose: []\n", "", "`build`"),
    ("expose: []\n", "1:1", "`image`"),
    ("image: web\nexpose: []\nrules: { unlisted-listener: off }\n", "3:", "unlisted-listener"),
    ("image: --privileged\nexpose: []\n", "1:8", "--privileged"),
];

#[test]
fn a_wrong_spec_is_refused_at_its_line() {
    for (spec, place, said) in REFUSED {
        let seen = Tool::new(&["test"])
            .file("specs/web.yaml", spec)
            // Nothing may be started: there is nothing to start it with.
            .env("DOCKER_HOST", "unix:///nowhere")
            .run();
        seen.refuses(2, &[&format!("specs/web.yaml:{place}"), said, "nothing was started"]);
        assert_eq!(seen.stdout, "", "{seen}");
    }
}

#[test]
fn every_problem_of_every_file_is_told_at_once() {
    let seen = Tool::new(&["lint"])
        .file("specs/one.yaml", "image: web\nexpose: [0, 70000, 80-70]\nbogus: 1\n")
        .file("specs/two.yaml", "image: web\n")
        .run();
    seen.refuses(
        2,
        &["one.yaml:2:10", "one.yaml:2:13", "one.yaml:2:20", "one.yaml:3:1", "two.yaml:1:1"],
    );
    assert!(seen.stderr.contains("5 problems in 2 files"), "{seen}");
}

#[test]
fn a_problem_reads_well() {
    let seen = Tool::new(&["lint"])
        .file("web.yaml", "image: nginx:1.29\nexpose:\n  - port: 70000\n    optonal: true\n")
        .args(&["web.yaml"])
        .run();
    insta::assert_snapshot!(seen);
}

#[test]
fn what_a_folder_forbids_needs_a_reason_and_an_end() {
    let defaults = ("specs/_defaults.yaml", "never: [22/tcp]\n");
    let lint = |spec: &str| {
        Tool::new(&["lint"]).file(defaults.0, defaults.1).file("specs/ssh.yaml", spec).run()
    };
    lint("image: ssh\nexpose: [22/tcp]\n").refuses(2, &["ssh.yaml:2:10", "22/tcp"]);
    lint("image: ssh\nexpose: [20-30/tcp]\n").refuses(2, &["ssh.yaml:2:10"]);
    let reason = "image: ssh\nexpose:\n  - { port: 22/tcp, why: migration, until: 2099-01-01 }\n";
    assert_eq!(lint(reason).code, Some(0));
}

#[test]
fn nothing_to_check_is_not_a_pass() {
    Tool::new(&["test"]).file("specs/README", "").run().refuses(4, &["there is no spec"]);
    Tool::new(&["test"])
        .file("specs/web.yaml", "image: web\nexpose: []\n")
        .args(&["--", "no-such-spec"])
        .run()
        .refuses(4, &["matches none"]);
    let spec = ("specs/web.yaml", "image: web\nexpose: []\n");
    for arguments in [&["--ignored"][..], &["--exact", "we"], &["--skip", "web"]] {
        let seen = Tool::new(&["test", "--"]).file(spec.0, spec.1).args(arguments).run();
        assert_eq!(seen.code, Some(4), "{arguments:?}\n{seen}");
    }
}

#[test]
fn a_wrong_command_line_is_refused() {
    for arguments in [
        &["test", "nowhere"][..],
        &["test", "--no-such-flag"],
        &["test", "--report", "xml=x"],
        &["test", "--report", "json="],
        &["test", "--watch", "2"],
        &["test", "--jobs", "0"],
        &["test", "--", "--no-such-flag"],
        &["test", "--", "--test-threads=0"],
        &["frobnicate"],
        &["explain", "unlisted-listner"],
    ] {
        let seen = Tool::new(arguments).file("specs/web.yaml", "image: web\nexpose: []\n").run();
        assert_eq!(seen.code, Some(2), "{arguments:?}\n{seen}");
        assert!(!seen.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn without_an_engine_nothing_passes() {
    for (host, said) in [
        ("unix:///nowhere.sock", "cannot reach the container engine at `unix:///nowhere.sock`"),
        ("tcp://127.0.0.1:1", "cannot reach the container engine at `tcp://127.0.0.1:1`"),
        ("npipe:////./pipe/x", "cannot use the engine endpoint"),
    ] {
        Tool::gate("image: web\nexpose: []\n").env("DOCKER_HOST", host).run().is_inconclusive(said);
        Tool::gate("image: web\nexpose: []\n")
            .without("DOCKER_HOST")
            .args(&["--engine", host])
            .run()
            .is_inconclusive(said);
    }
}

#[test]
fn a_report_that_cannot_be_written_is_known_before_the_work() {
    Tool::new(&["test", "--report", "json=nowhere/report.json"])
        .file("specs/web.yaml", "image: web\nexpose: []\n")
        .env("DOCKER_HOST", "unix:///nowhere")
        .run()
        .refuses(2, &["cannot write the report `nowhere/report.json`"]);
}
