//! `ready` in all its forms: what comes true, what never does, and what dies before.

use crate::{engine, harness::Tool};

#[test]
fn a_line_of_the_log() {
    let command = ["tcp:0.0.0.0:80", "log:now serving@300"];
    let rest = "expose: [80/tcp]\nready: { log: \"^now serv\", within: 10s }";
    Tool::subject(&["80/tcp"], &command, rest).run().is("pass", &[]);
    let rest = "expose: [80/tcp]\nready: { log: \"^never\", within: 700ms }";
    let seen = Tool::subject(&["80/tcp"], &command, rest).run();
    seen.is_inconclusive("no line of the log matches `^never`");
    assert!(seen.stdout.contains("| now serving"), "{seen}");
}

#[test]
fn a_port() {
    let command = ["tcp:0.0.0.0:80", "tcp:127.0.0.1:81@300"];
    let rest = "expose:\n  - 80/tcp\n  - { port: 81/tcp, bind: loopback, optional: true }\n\
                ready: { port: 81/tcp }";
    Tool::subject(&["80/tcp"], &command, rest).run().is("pass", &[]);
    let rest = "expose: [80/tcp]\nready: { port: 90/tcp, within: 500ms }";
    Tool::subject(&["80/tcp"], &command[..1], rest).run().is_inconclusive("90/tcp does not listen");
}

#[test]
fn an_answer_over_http() {
    let rest = "expose: [80/tcp]\nready: { http: { port: 80/tcp, path: /healthz }, within: 10s }";
    Tool::subject(&["80/tcp"], &["http:0.0.0.0:80@300"], rest).run().is("pass", &[]);
    let rest =
        "expose: [80/tcp]\nready: { http: { port: 80/tcp, path: /, status: 204 }, within: 1s }";
    Tool::subject(&["80/tcp"], &["http:0.0.0.0:80"], rest)
        .run()
        .is_inconclusive("is not answered with 204");
}

#[test]
fn the_health_check() {
    let check = "HEALTHCHECK --interval=1s --timeout=1s CMD [\"/listener\", \"exit:0\"]";
    let image = engine::fixture_with(&["80/tcp"], &[check]);
    let spec = format!(
        "image: {image}\nrun: {{ command: [\"tcp:0.0.0.0:80\"] }}\nexpose: [80/tcp]\n\
         ready: {{ health: true, within: 20s }}\nwatch: 0s\nscan: listed\n"
    );
    Tool::gate(&spec).run().is("pass", &[]);
    let rest = "expose: []\nready: { health: true, within: 1s }";
    Tool::subject(&[], &["sleep"], rest).run().is_inconclusive("the image has none");
}

#[test]
fn the_end_of_the_container() {
    let rest = "expose: []\nready: { exit: 0, within: 10s }";
    Tool::subject(&[], &["exit:0@2000"], rest).run().is("pass", &[]);
    Tool::subject(&[], &["tcp:0.0.0.0:80", "exit:0@2000"], rest)
        .run()
        .is("fail", &["fail unlisted-listener 80/tcp listener :2"]);
    Tool::subject(&[], &["exit:3@2000"], rest).run().is_inconclusive("exited with status 3");
    let rest = "expose: []\nready: { exit: 0, within: 500ms }";
    Tool::subject(&[], &["sleep"], rest).run().is_inconclusive("it still runs");
}

#[test]
fn what_exits_at_once_is_never_a_pass() {
    // At once means before anything could be looked at.
    let seen = Tool::subject(&[], &["exit:9"], "expose: []").run();
    seen.is_inconclusive("exited with status 9");
    for expose in ["[]", "[80/tcp]"] {
        let seen =
            Tool::subject(&[], &["log:no database", "exit:7@50"], &format!("expose: {expose}"))
                .run();
        seen.is_inconclusive("exited with status 7");
        assert!(seen.stdout.contains("| no database"), "{seen}");
    }
}

#[test]
fn what_dies_during_the_watch_is_never_a_pass() {
    Tool::subject(&["80/tcp"], &["tcp:0.0.0.0:80", "exit:1@2000"], "expose: [80/tcp]\nwatch: 6s")
        .run()
        .is_inconclusive("exited with status 1");
}

#[test]
fn what_was_seen_before_the_death_still_counts() {
    let seen =
        Tool::subject(&[], &["tcp:0.0.0.0:4444", "exit:1@2000"], "expose: []\nwatch: 6s").run();
    assert_eq!(seen.code, Some(1), "{seen}");
    assert_eq!(seen.findings(), ["fail unlisted-listener 4444/tcp listener :2"]);
}

#[test]
fn an_image_that_cannot_be_started_says_why() {
    let image = engine::fixture(&[]);
    let spec = format!("image: {image}\nrun: {{ entrypoint: [/nowhere] }}\nexpose: []\n");
    Tool::gate(&spec).run().is_inconclusive("cannot start the container");
}
