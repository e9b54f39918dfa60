//! The command line: listing, filters, several specs, reports.

use crate::{engine, harness::Tool};

fn two_specs() -> Tool {
    let image = engine::fixture(&["80/tcp"]);
    let good = format!(
        "image: {image}\nrun: {{ command: [\"tcp:0.0.0.0:80\"] }}\nexpose: [80/tcp]\nwatch: 0s\nscan: listed\n"
    );
    let bad = good.replace("[80/tcp]", "[]").replace("watch: 0s", "ready: { port: 80/tcp }");
    Tool::new(&["test", "--report", "json=report.json"])
        .file("specs/good.yaml", &good)
        .file("specs/below/bad.yml", &bad)
}

#[test]
fn one_line_per_spec_and_the_strongest_code() {
    let seen = two_specs().run();
    assert_eq!(seen.code, Some(1), "{seen}");
    assert!(seen.stdout.contains("test good ... ok\n"), "{seen}");
    assert!(seen.stdout.contains("test bad  ... FAILED\n"), "{seen}");
    let report = seen.json.as_ref().unwrap();
    assert_eq!(report["schema"], 1);
    let names: Vec<_> = report["specs"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["bad", "good"]);
    assert_eq!(report["engine"]["name"], "docker");
    assert!(seen.stderr.contains("portlid: engine: docker "), "{seen}");
}

#[test]
fn filters_choose() {
    for (arguments, code) in [
        (&["--", "good"][..], 0),
        (&["--", "--exact", "good"], 0),
        (&["--", "--skip", "bad"], 0),
        (&["--", "bad"], 1),
        (&["specs/good.yaml"], 0),
        (&["specs/below"], 1),
    ] {
        let seen = two_specs().args(arguments).run();
        assert_eq!(seen.code, Some(code), "{arguments:?}\n{seen}");
        assert_eq!(seen.json.as_ref().unwrap()["specs"].as_array().unwrap().len(), 1);
    }
}

/// Every spec is in exactly one part, whatever else is chosen; an empty part is no pass.
#[test]
fn parts_are_made_of_what_the_filter_leaves() {
    let listed = |arguments: &[&str]| {
        let seen = two_specs().args(arguments).args(&["--list"]).run();
        (seen.code, seen.stdout.lines().collect::<Vec<_>>().join(" "))
    };
    assert_eq!(listed(&["--partition", "slice:1/2"]), (Some(0), "bad: test".to_owned()));
    assert_eq!(listed(&["--partition", "slice:2/2"]), (Some(0), "good: test".to_owned()));
    let second = two_specs().args(&["--partition", "slice:2/2", "--", "good"]).run();
    assert_eq!(second.code, Some(4), "{second}");
    assert!(second.stderr.contains("part `slice:2/2` has none of the 1 specs"), "{second}");
    let first = two_specs().args(&["--partition", "slice:1/2", "--", "good"]).run();
    assert_eq!(first.code, Some(0), "{first}");
    let wrong = two_specs().args(&["--partition", "hash:3/2"]).run();
    assert_eq!(wrong.code, Some(2), "{wrong}");
    assert!(wrong.stderr.contains("greater than the number of parts"), "{wrong}");
}

#[test]
fn listing_touches_no_engine() {
    for arguments in [&["--list"][..], &["--", "--list", "--format", "terse"]] {
        let seen = two_specs().env("DOCKER_HOST", "unix:///nowhere").args(arguments).run();
        assert_eq!(seen.code, Some(0), "{seen}");
        let mut lines: Vec<&str> = seen.stdout.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["bad: test", "good: test"], "{seen}");
    }
}

#[test]
fn standard_output_stays_machine_readable() {
    let seen = two_specs().args(&["--", "--format", "json"]).run();
    for line in seen.stdout.lines() {
        serde_json::from_str::<serde_json::Value>(line)
            .unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[test]
fn evidence_is_shown_when_asked_for() {
    let seen = two_specs().args(&["-v", "--", "good"]).run();
    assert!(seen.stderr.contains("good: pass in "), "{seen}");
    assert!(seen.stderr.contains("controls: own listener on port "), "{seen}");
}

#[test]
fn a_warning_of_a_passing_spec_is_told() {
    let image = engine::fixture(&["80/tcp"]);
    let seen = Tool::gate(&format!(
        "image: {image}\nexpose:\n  - {{ port: 80/tcp, optional: true }}\nwatch: 0s\nscan: listed\n"
    ))
    .run();
    seen.is("pass", &["warn silent-expose 80/tcp - :3", "warn dead-publish 80/tcp - :3"]);
    assert!(seen.stderr.contains("warn[silent-expose]: subject: 80/tcp: "), "{seen}");
}

#[test]
fn rules_are_explained() {
    let seen = Tool::new(&["explain"]).run();
    assert_eq!(seen.code, Some(0));
    for rule in portlid::rule::Rule::ALL {
        assert!(seen.stdout.contains(rule.id()), "{rule}");
        let one = Tool::new(&["explain", rule.id()]).run();
        assert_eq!(one.code, Some(0));
        assert!(one.stdout.contains(rule.summary()), "{one}");
    }
}

#[test]
fn the_help_is_complete() {
    let commands = ["test", "look", "init", "diff", "lint", "clean", "explain"];
    for command in commands.into_iter().chain(["schema", "verify", "completions", "man"]) {
        let seen = Tool::new(&[command, "--help"]).run();
        assert_eq!(seen.code, Some(0));
        assert!(seen.stdout.contains("Usage: portlid"), "{seen}");
        assert!(seen.stdout.contains("Examples:"), "{seen}");
    }
    insta::assert_snapshot!(Tool::new(&["--help"]).run().stdout);
}

#[test]
fn a_report_never_replaces_what_is_no_file() {
    let image = engine::fixture(&[]);
    let spec =
        format!("image: {image}\nrun: {{ command: [sleep] }}\nexpose: []\nwatch: 0s\nscan: off\n");
    let tool = Tool::new(&["test", "--report", "json=link"]).file("specs/a.yaml", &spec);
    std::os::unix::fs::symlink("real.json", tool.path().join("link")).unwrap();
    std::fs::write(tool.path().join("real.json"), "").unwrap();
    assert_eq!(tool.run().code, Some(0));
    assert!(tool.path().join("link").is_symlink());
    assert!(std::fs::metadata(tool.path().join("real.json")).unwrap().len() > 100);

    let seen =
        Tool::new(&["test", "--report", "json=/dev/stdout"]).file("specs/a.yaml", &spec).run();
    assert_eq!(seen.code, Some(0), "{seen}");
    assert!(seen.stdout.contains("\"schema\": 1"), "{seen}");

    Tool::new(&["test", "--report", "json=specs"])
        .file("specs/a.yaml", &spec)
        .run()
        .refuses(2, &["cannot write the report `specs`"]);
}

#[test]
fn secrets_reach_no_output() {
    let image = engine::fixture(&[]);
    let spec = format!(
        "image: {image}\nrun: {{ command: [\"log:hunter2secret\", \"exit:1@300\"], env: {{ A: hunter2secret }} }}\nexpose: []\n"
    );
    let seen = Tool::gate(&spec).args(&["-v"]).run();
    assert_eq!(seen.code, Some(3), "{seen}");
    let report = seen.json.as_ref().unwrap().to_string();
    for text in [&seen.stdout, &seen.stderr, &report] {
        assert!(!text.contains("hunter2secret"), "{text}");
    }
    assert!(seen.stdout.contains("| ***"), "{seen}");
}

#[test]
fn output_that_nobody_reads_ends_the_run_and_cleans_up() {
    let tool = two_specs();
    let mut child = tool.spawn();
    let pid = child.id();
    drop(child.stdout.take());
    let seen = tool.collect(child);
    assert_eq!(seen.code, Some(141), "{seen}");
    assert_eq!(engine::made_by(pid), Vec::<String>::new(), "{seen}");
}
