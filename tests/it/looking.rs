//! Looks without a spec: `look`, `init`, `diff`.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use bollard::models::HostConfig;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    engine::{self, Foreign, fixture, fixture_with},
    harness::{Seen, Tool},
};

/// A look at the fixture that is told `command`.
fn look(declared: &[&str], command: &[&str]) -> Seen {
    let image = fixture(declared);
    Tool::new(&["look", &image, "--watch", "300ms", "--json", "--"]).args(command).run()
}

fn json(seen: &Seen) -> Value {
    serde_json::from_str(&seen.stdout).unwrap_or_else(|error| panic!("{error}:\n{seen}"))
}

/// `PORT REACHABLE SPEAKS`, a row each.
fn rows(image: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let rows = image["ledger"].as_array().unwrap();
    rows.iter()
        .map(|row| {
            format!("{} {} {}", text(&row["port"]), text(&row["reachable"]), text(&row["speaks"]))
        })
        .collect()
}

#[test]
fn a_look_tells_what_is_there_and_judges_nothing() {
    let seen = look(&["80/tcp"], &["http:0.0.0.0:80", "tcp:127.0.0.1:9229", "udp:0.0.0.0:53"]);
    assert_eq!(seen.code, Some(0), "{seen}");
    let json = json(&seen);
    assert_eq!(json["schema"], 1);
    let image = &json["images"][0];
    assert_eq!(rows(image), ["53/udp unknown -", "80/tcp open http", "9229/tcp refused -"]);
    assert_eq!(image["reason"], Value::Null);
    assert!(image["evidence"]["scanned"].as_u64() >= Some(65535), "{seen}");
    assert!(image.get("verdict").is_none(), "{seen}");
}

#[test]
fn a_look_is_a_table_for_people() {
    let image = fixture(&["80/tcp"]);
    let seen = Tool::new(&["look", &image, "--watch", "300ms", "--color", "never", "--"])
        .args(&["http:0.0.0.0:80", "tcp:0.0.0.0:2375", "tcp:127.0.0.1:9229"])
        .run();
    assert_eq!(seen.code, Some(0), "{seen}");
    let lines: Vec<String> = seen
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert!(lines[0].starts_with("portlid-fixture:"), "{seen}");
    for (line, start) in [
        (2, "PORT REACH LISTENS ON PROCESS SPEAKS DECLARED SEEN AFTER"),
        (3, "80/tcp open 0.0.0.0 listener (uid 0) http yes "),
        (4, "2375/tcp open 0.0.0.0 listener (uid 0) "),
        (5, "9229/tcp loopback only 127.0.0.1 listener (uid 0) "),
        (7, "2375/tcp is usually Docker API: no password: whoever connects is root on the host"),
        (9, "2 ports open to neighbours, 1 on loopback only; watched for "),
    ] {
        assert!(lines[line].starts_with(start), "{start}\n{seen}");
    }
    assert!(!seen.stdout.contains('\u{1b}'), "{seen}");
}

/// What opens late is waited for, if the image declares it.
#[test]
fn a_look_waits_for_what_is_declared() {
    let seen = look(&["80/tcp", "81/tcp"], &["tcp:0.0.0.0:80", "tcp:0.0.0.0:81@2500"]);
    assert_eq!(rows(&json(&seen)["images"][0]).len(), 2, "{seen}");
    assert!(seen.stdout.contains("\"listening\": [\n            {"), "{seen}");
    let row = &json(&seen)["images"][0]["ledger"][1];
    assert!(row["listening"][0]["first_seen_ms"].as_u64() >= Some(2400), "{seen}");
}

#[test]
fn what_cannot_be_looked_at_is_told() {
    let seen = look(&[], &["exit:7"]);
    assert_eq!(seen.code, Some(3), "{seen}");
    let reason = json(&seen)["images"][0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("exited with status 7"), "{seen}");
    for command in ["look", "init"] {
        let seen = Tool::new(&[command, "nosuch.invalid/x:1", "--pull", "never"]).run();
        assert_eq!(seen.code, Some(3), "{seen}");
        assert!(format!("{seen}").contains("nosuch.invalid/x:1"), "{seen}");
    }
    for arguments in [
        &["look"][..],
        &["look", "a", "--container", "b"],
        &["look", "A B"],
        &["look", "a", "-e", "PORTLID_NOT_SET"],
        &["look", "--container", "web", "--user", "1"],
        &["init", "--build", "."],
        &["diff", "a"],
    ] {
        let seen = Tool::new(arguments).run();
        assert_eq!(seen.code, Some(2), "{arguments:?}\n{seen}");
    }
}

/// Somebody else's container is looked at and left as it is.
#[test]
fn a_container_that_runs_is_not_touched() {
    let container = Foreign::start(&fixture(&[]), &["tcp:0.0.0.0:8080"], HostConfig::default());
    let seen =
        Tool::new(&["look", "--container", &container.id, "--watch", "300ms", "--json"]).run();
    assert_eq!(seen.code, Some(0), "{seen}");
    assert_eq!(rows(&json(&seen)["images"][0]), ["8080/tcp open -"], "{seen}");
    assert!(container.is_running());
}

/// Whatever came and went meanwhile, nobody saw it.
#[test]
fn a_look_that_is_stopped_is_taken_once_more() {
    let image = fixture(&["80/tcp"]);
    let arguments = ["look", &image, "--watch", "2s", "--look", "here", "--", "tcp:0.0.0.0:80"];
    let tool = Tool::new(&arguments);
    let child = tool.spawn();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !engine::made_by(child.id()).iter().any(|it| it.contains("RUNNING")) {
        assert!(Instant::now() < deadline, "it does not look");
        sleep(Duration::from_millis(20));
    }
    sleep(Duration::from_millis(300));
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    sleep(Duration::from_secs(1));
    kill_process(pid, Signal::CONT).unwrap();
    let seen = tool.collect(child);
    assert!(seen.stderr.contains("overloaded: looking once more"), "{seen}");
    assert_eq!(seen.code, Some(0), "{seen}");
    assert!(seen.stdout.contains("80/tcp  open "), "{seen}");
}

/// The drafted spec passes at once, and holds no secret.
#[test]
fn a_drafted_spec_passes() {
    let image = fixture(&["80/tcp", "81/tcp"]);
    let tool = Tool::new(&["init", &image, "--watch", "300ms", "-o", "specs/web.yaml"])
        .args(&["-e", "TOKEN", "-e", "OTHER=hunter2-on-the-line", "--within", "2s", "--"])
        .args(&["http:0.0.0.0:80", "tcp:0.0.0.0:3000", "tcp:127.0.0.1:9229", "log:a$b"])
        .file("specs/.keep", "")
        .env("TOKEN", "hunter2-of-the-environment");
    let seen = tool.run();
    assert_eq!(seen.code, Some(0), "{seen}");
    assert!(seen.stderr.contains("tried once, and it passes"), "{seen}");
    let path = tool.path().join("specs/web.yaml");
    let spec = std::fs::read_to_string(&path).unwrap();
    assert!(!format!("{spec}{seen}").contains("hunter2"), "{spec}\n{seen}");
    let body = spec.lines().skip(2).collect::<Vec<_>>().join("\n").replace(&image, "IMAGE");
    insta::assert_snapshot!(body, @r#"
    image: IMAGE
    run:
      command: [http:0.0.0.0:80, tcp:0.0.0.0:3000, tcp:127.0.0.1:9229, "log:a$b"]
      env: { OTHER: "${OTHER}", TOKEN: "${TOKEN}" }
    expose:
      - port: 80/tcp
        process: listener
        user: "0"
        speaks: http
        why: TODO
      - port: 81/tcp
        optional: true
        why: TODO (the image declares it, and nothing listens)
      - port: 3000/tcp
        process: listener
        user: "0"
        why: TODO
    # 9229/tcp listens on loopback only, and needs no entry.
    "#);
    let gate = Tool::new(&["test", "--report", "json=report.json"])
        .file("specs/web.yaml", &spec)
        .env("TOKEN", "x")
        .env("OTHER", "y")
        .run();
    gate.is(
        "pass",
        &[
            "warn silent-expose 81/tcp - :13",
            "warn dead-publish 81/tcp - :13",
            "note undeclared-port 3000/tcp listener :16",
            "note loopback-listener 9229/tcp listener :7",
        ],
    );
    // Nobody's file is replaced.
    let again = tool.run();
    assert_eq!(again.code, Some(2), "{again}");
    assert!(again.stderr.contains("is there already"), "{again}");
}

/// `portlid init` of every real image that is shipped, and the gate with what it wrote.
#[test]
fn every_shipped_image_has_a_drafted_spec_that_passes() {
    let root = env!("CARGO_MANIFEST_DIR");
    for (name, variable) in
        [("guestbook", None), ("nginx", None), ("redis", Some("REDIS_PASSWORD")), ("shop", None)]
    {
        let context = format!("{root}/specs/images/{name}");
        let mut tool = Tool::new(&["init", "--build", "image", "--output", "specs/drafted.yaml"])
            .file("specs/.keep", "");
        copy(&context, &tool.path().join("image"));
        if let Some(variable) = variable {
            tool = tool.args(&["-e", variable]).env(variable, "only-for-this-look");
        }
        let seen = tool.run();
        assert_eq!(seen.code, Some(0), "{name}\n{seen}");
        let again = tool.instead(&["test", "specs/drafted.yaml"]).run();
        assert_eq!(again.code, Some(0), "{name}\n{again}");
    }
}

fn copy(from: impl AsRef<std::path::Path>, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_difference_has_a_direction() {
    let image =
        |declared: &[&str], command: &str| fixture_with(declared, &[&format!("CMD [{command}]")]);
    let old = image(&["80/tcp"], r#""http:0.0.0.0:80""#);
    let new = image(&["80/tcp"], r#""http:0.0.0.0:80", "tcp:0.0.0.0:3000", "tcp:127.0.0.1:9229""#);
    let dead = image(&[], r#""exit:3""#);
    let diff = |old: &str, new: &str| {
        let seen = Tool::new(&["diff", old, new, "--watch", "300ms", "--json"]).run();
        let json = json(&seen);
        let changes: Vec<String> = json["changes"].as_array().map_or_else(Vec::new, |changes| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            changes
                .iter()
                .map(|it| format!("{} {}", text(&it["change"]), text(&it["port"])))
                .collect()
        });
        (seen.code, json["exposes_more"].as_bool(), changes.join(", "))
    };
    let is = |code, more, changes: &str| (Some(code), more, changes.to_owned());
    assert_eq!(diff(&old, &new), is(1, Some(true), "more 3000/tcp, other 9229/tcp"));
    assert_eq!(diff(&new, &old), is(0, Some(false), "less 3000/tcp"));
    assert_eq!(diff(&old, &old), is(0, Some(false), ""));
    // What could not be looked at exposes nobody knows what.
    assert_eq!(diff(&old, &dead), is(3, None, ""));
    assert_eq!(diff(&dead, &old), is(3, None, ""));

    let seen = Tool::new(&["diff", &old, &new, "--watch", "300ms", "--color", "never"]).run();
    assert_eq!(seen.code, Some(1), "{seen}");
    let text: Vec<&str> = seen.stdout.lines().skip(3).collect();
    insta::assert_snapshot!(text.join("\n"), @r"
    + 3000/tcp  open: 0.0.0.0 by listener (uid 0)
    ~ 9229/tcp  listens on loopback only: 127.0.0.1 by listener (uid 0)
    = 1 port as before: 80/tcp

    the new image exposes more: 1 port
    ");
    assert!(engine::has_image(&old) && engine::has_image(&new));
}
