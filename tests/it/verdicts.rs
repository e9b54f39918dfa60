//! Real sockets in real containers, and what is said of them.

use crate::harness::Tool;

#[test]
fn what_is_listed_and_listens_passes() {
    let seen = Tool::subject(&["80/tcp"], &["tcp:0.0.0.0:80"], "expose: [80/tcp]").run();
    seen.is("pass", &[]);
    let row = seen.row("80/tcp");
    assert_eq!(row["declared"], true);
    assert_eq!(row["reachable"], "open");
    assert_eq!(row["listening"][0]["address"], "0.0.0.0");
    assert_eq!(row["listening"][0]["owners"][0]["process"], "listener");
    assert_eq!(row["listening"][0]["owners"][0]["pid"], 1);
    assert_eq!(row["listening"][0]["owners"][0]["uid"], 0);
    let published = row["published"][0].as_str().unwrap();
    assert!(published.starts_with("127.0.0.1:"), "{published}");
}

#[test]
fn a_full_scan_covers_every_port() {
    let seen =
        Tool::subject(&["80/tcp"], &["tcp:0.0.0.0:80"], "expose: [80/tcp]\nscan: full").run();
    seen.is("pass", &[]);
    assert_eq!(seen.spec()["evidence"]["scanned"], 65_535);
    assert!(seen.spec()["evidence"]["samples"].as_u64().unwrap() >= 2, "{seen}");
    assert_eq!(seen.row("80/tcp")["reachable"], "open");
}

#[test]
fn what_is_not_listed_fails_at_the_line_of_expose() {
    let command = ["tcp:0.0.0.0:80", "tcp:0.0.0.0:3000"];
    let seen = Tool::subject(&["80/tcp"], &command, "expose:\n  - 80/tcp").run();
    seen.is("fail", &["fail unlisted-listener 3000/tcp listener :2"]);
}

#[test]
fn nothing_may_listen_where_expose_is_empty() {
    Tool::subject(&[], &["sleep"], "expose: []").run().is("pass", &[]);
    Tool::subject(&[], &["tcp:0.0.0.0:9"], "expose: []\nready: { port: 9/tcp }")
        .run()
        .is("fail", &["fail unlisted-listener 9/tcp listener :2"]);
}

#[test]
fn every_kind_of_socket_is_seen() {
    for (socket, port, address) in [
        ("tcp:0.0.0.0:70", "70/tcp", "0.0.0.0"),
        ("tcp:[::]:70", "70/tcp", "::"),
        ("tcp6only:[::]:70", "70/tcp", "::"),
        ("udp:0.0.0.0:70", "70/udp", "0.0.0.0"),
        ("udp:[::]:70", "70/udp", "::"),
        ("udp6only:[::]:70", "70/udp", "::"),
        ("tcp:[::ffff:0.0.0.0]:70", "70/tcp", "0.0.0.0"),
    ] {
        let rest = format!("expose: []\nready: {{ port: {port} }}");
        let seen = Tool::subject(&[], &[socket], &rest).run();
        seen.is("fail", &[&format!("fail unlisted-listener {port} listener :2")]);
        assert_eq!(seen.row(port)["listening"][0]["address"], address, "{socket}\n{seen}");
    }
}

#[test]
fn both_families_of_a_dual_stack_socket_are_one_finding() {
    let command = ["tcp:0.0.0.0:70", "tcp6only:[::]:70"];
    let seen =
        Tool::subject(&[], &command, "expose: []\nready: { port: 70/tcp }\nwatch: 500ms").run();
    seen.is("fail", &["fail unlisted-listener 70/tcp listener :2"]);
    assert_eq!(seen.row("70/tcp")["listening"].as_array().unwrap().len(), 2);
}

#[test]
fn loopback_only_comes_with_the_advice_to_bind_wider() {
    let seen = Tool::subject(&["80/tcp"], &["tcp:127.0.0.1:80"], "expose:\n  - 80/tcp").run();
    seen.is(
        "fail",
        &[
            "fail loopback-only 80/tcp listener :3",
            "fail dead-publish 80/tcp - :3",
            "warn silent-expose 80/tcp - :3",
        ],
    );
    assert!(seen.stdout.contains("bind it to 0.0.0.0"), "{seen}");
    assert!(seen.stdout.contains("--> specs/subject.yaml:3:5"), "{seen}");
}

#[test]
fn loopback_is_enough_where_the_entry_says_so() {
    let rest = "expose:\n  - { port: 80/tcp, bind: loopback }";
    Tool::subject(&[], &["tcp:127.0.0.1:80"], rest).run().is("pass", &[]);
    Tool::subject(&[], &["tcp:0.0.0.0:80"], rest)
        .run()
        .is("fail", &["fail bound-too-wide 80/tcp listener :3"]);
}

#[test]
fn what_listens_on_loopback_without_an_entry_is_a_note() {
    let rest = "expose: []\nready: { port: 80/tcp }";
    Tool::subject(&[], &["tcp:127.0.0.1:80"], rest)
        .run()
        .is("pass", &["note loopback-listener 80/tcp listener :2"]);
}

#[test]
fn a_required_port_that_never_listens_is_missing() {
    let rest = "expose: [80/tcp]\nready: { within: 500ms }";
    let seen = Tool::subject(&[], &["log:starting", "sleep"], rest).run();
    seen.is("fail", &["fail missing-listener 80/tcp - :2"]);
    assert!(seen.stdout.contains("| starting"), "the log helps:\n{seen}");
}

#[test]
fn a_listener_that_comes_late_is_seen() {
    let command = ["tcp:0.0.0.0:80", "tcp:0.0.0.0:81@700"];
    Tool::subject(&["80/tcp"], &command, "expose: [80/tcp]\nwatch: 1500ms")
        .run()
        .is("fail", &["fail unlisted-listener 81/tcp listener :2"]);
}

#[test]
fn a_listener_that_lives_for_a_moment_is_seen() {
    let command = ["tcp:0.0.0.0:80", "tcp:0.0.0.0:81@300+150"];
    let seen = Tool::subject(&["80/tcp"], &command, "expose: [80/tcp]\nwatch: 1s").run();
    seen.is("fail", &["fail unlisted-listener 81/tcp listener :2"]);
    let socket = &seen.row("81/tcp")["listening"][0];
    let [first, last] = ["first_seen_ms", "last_seen_ms"].map(|key| socket[key].as_u64().unwrap());
    assert!(last - first < 400, "{seen}");
}

#[test]
fn a_required_port_that_closes_again_flaps() {
    Tool::subject(&["80/tcp"], &["tcp:0.0.0.0:80+900"], "expose: [80/tcp]\nwatch: 1500ms")
        .run()
        .is("fail", &["fail flapping 80/tcp listener :2"]);
}

#[test]
fn a_socket_of_two_processes_is_one_finding_with_both_owners() {
    let rest = "expose: []\nready: { port: 80/tcp }";
    let seen = Tool::subject(&[], &["shared:0.0.0.0:80"], rest).run();
    seen.is("fail", &["fail unlisted-listener 80/tcp listener :2"]);
    let owners = seen.row("80/tcp")["listening"][0]["owners"].as_array().unwrap();
    assert_eq!(owners.len(), 2, "{seen}");
}

#[test]
fn the_owner_must_be_the_one_that_the_entry_names() {
    for (entry, verdict, findings) in [
        ("process: listener", "pass", vec![]),
        ("process: nginx", "fail", vec!["fail wrong-process 80/tcp listener :3"]),
        ("user: \"0\"", "pass", vec![]),
        ("user: \"65534\"", "fail", vec!["fail wrong-user 80/tcp listener :3"]),
    ] {
        let rest = format!("expose:\n  - {{ port: 80/tcp, {entry} }}");
        Tool::subject(&["80/tcp"], &["tcp:0.0.0.0:80"], &rest).run().is(verdict, &findings);
    }
    let rest = "expose:\n  - { port: 8080/tcp, user: \"1234\" }\nrun:\n  user: \"1234\"";
    Tool::subject(&["8080/tcp"], &["tcp:0.0.0.0:8080"], rest).run().is("pass", &[]);
}

#[test]
fn a_port_must_speak_what_the_entry_says() {
    let rest = "expose:\n  - { port: 80/tcp, speaks: http }";
    Tool::subject(&["80/tcp"], &["http:0.0.0.0:80"], rest).run().is("pass", &[]);
    Tool::subject(&["80/tcp"], &["tcp:0.0.0.0:80"], rest)
        .run()
        .is("fail", &["fail wrong-protocol 80/tcp listener :3"]);
}

#[test]
fn a_port_on_loopback_can_be_asked_too() {
    let rest = "expose:\n  - { port: 80/tcp, bind: loopback, speaks: http }\n  \
                - { port: 81/tcp, bind: loopback, speaks: http }";
    for whom in ["here", "scout"] {
        Tool::subject(&[], &["http:127.0.0.1:80", "tcp:127.0.0.1:81"], rest)
            .args(&["--look", whom])
            .run()
            .is("fail", &["fail wrong-protocol 81/tcp listener :4"]);
    }
}

#[test]
fn an_udp_client_is_a_note_and_an_udp_server_is_not() {
    let seen = Tool::subject(&[], &["client:0.0.0.0:0"], "expose: []\nwatch: 500ms").run();
    assert_eq!(seen.code, Some(0), "{seen}");
    let findings = seen.findings();
    assert_eq!(findings.len(), 1, "{seen}");
    assert!(findings[0].starts_with("note ephemeral-udp "), "{seen}");
    Tool::subject(&[], &["udp:0.0.0.0:53"], "expose: []\nready: { port: 53/udp }")
        .run()
        .is("fail", &["fail unlisted-listener 53/udp listener :2"]);
}

#[test]
fn the_image_may_not_declare_more_than_the_spec_allows() {
    Tool::subject(&["80/tcp", "443/tcp"], &["tcp:0.0.0.0:80"], "expose: [80/tcp]").run().is(
        "fail",
        &[
            "fail unlisted-expose 443/tcp - :2",
            "fail unlisted-publish 443/tcp - :2",
            "warn silent-expose 443/tcp - :2",
            "warn dead-publish 443/tcp - :2",
        ],
    );
    // A range in an EXPOSE, and the same number of another protocol.
    Tool::subject(
        &["7000-7001/tcp", "80/udp"],
        &["sleep"],
        "expose: [7000/tcp, 7001/tcp]\nready: { within: 1ms }",
    )
    .run()
    .spec()["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["rule"] == "unlisted-expose" && finding["port"] == "80/udp")
        .expect("80/udp is declared and not allowed");
}

#[test]
fn an_undeclared_port_is_a_note() {
    Tool::subject(&[], &["tcp:0.0.0.0:80"], "expose: [80/tcp]")
        .run()
        .is("pass", &["note undeclared-port 80/tcp listener :2"]);
}

#[test]
fn a_dead_publish_is_caught_although_the_proxy_accepts() {
    let rest = "expose:\n  - 80/tcp\n  - { port: 81/tcp, optional: true }\n\
                run:\n  publish: [\"127.0.0.1::81/tcp\"]";
    let seen = Tool::subject(&[], &["tcp:0.0.0.0:80"], rest).run();
    seen.is("fail", &["fail dead-publish 81/tcp - :4", "note undeclared-port 80/tcp listener :3"]);
    assert_eq!(seen.row("81/tcp")["reachable"], "refused");
}

#[test]
fn what_is_published_must_be_allowed_to_be() {
    let rest = "expose:\n  - { port: 80/tcp, publish: never }";
    Tool::subject(&["80/tcp"], &["tcp:0.0.0.0:80"], rest)
        .run()
        .is("fail", &["fail unlisted-publish 80/tcp - :3"]);
    Tool::subject(&[], &["tcp:0.0.0.0:80"], rest)
        .run()
        .is("pass", &["note undeclared-port 80/tcp listener :3"]);
    let rest = "expose:\n  - { port: 80/tcp, publish: required }\nrun:\n  publish: [\"80/tcp\"]";
    Tool::subject(&["80/tcp"], &["tcp:0.0.0.0:80"], rest).run().is("pass", &[]);
}

#[test]
fn from_a_network_without_a_way_out_the_look_is_the_same() {
    let rest = "expose: [80/tcp]\nrun:\n  egress: deny";
    let seen = Tool::subject(&["80/tcp"], &["tcp:0.0.0.0:80"], rest).run();
    seen.is("pass", &[]);
    assert_eq!(seen.row("80/tcp")["reachable"], "open");
    assert_eq!(seen.row("80/tcp")["published"].as_array().unwrap().len(), 0);
    let rest = "expose: []\nready: { port: 80/tcp }\nrun:\n  egress: deny";
    Tool::subject(&[], &["tcp:0.0.0.0:80"], rest)
        .run()
        .is("fail", &["fail unlisted-listener 80/tcp listener :2"]);
}

#[test]
fn an_allowance_ends_with_its_day() {
    let rest = "expose:\n  - { port: 80/tcp, until: 2020-02-29, why: old, owner: me }";
    Tool::subject(&["80/tcp"], &["tcp:0.0.0.0:80"], rest)
        .run()
        .is("fail", &["fail expired 80/tcp - :3"]);
}

#[test]
fn a_failing_run_reads_well() {
    let command = ["tcp:0.0.0.0:80", "tcp:0.0.0.0:9229"];
    let seen = Tool::subject(&["80/tcp"], &command, "expose:\n  - 80/tcp").run();
    assert_eq!(seen.code, Some(1));
    insta::with_settings!({filters => vec![
        (r"portlid-fixture:[0-9a-f]+", "IMAGE"),
        (r"sha256:[0-9a-f]+ [a-z0-9/]+", "DIGEST PLATFORM"),
        (r"127\.0\.0\.1:\d{5}", "127.0.0.1:PPPPP"),
        (r"[0-9.]+ m?s after", "N ms after"),
        (r"finished in [0-9.]+s", "finished in N"),
    ]}, {
        insta::assert_snapshot!(seen.stdout);
    });
}
