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
    let engine = report["engine"]["name"].as_str().unwrap();
    assert!(["docker", "podman"].contains(&engine), "{seen}");
    assert!(seen.stderr.contains(&format!("portlid: engine: {engine} ")), "{seen}");
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

/// By what took long before: each spec is in one part, and whoever has other times is told apart.
#[test]
fn parts_may_be_made_by_what_took_long() {
    let times = |bad: f64| {
        format!(
            r#"{{"schema":1,"specs":[{{"name":"bad","seconds":{bad}}},{{"name":"good","seconds":2}}]}}"#
        )
    };
    let part = |part: &str, report: &str, more: &[&str]| {
        let tool = two_specs().file("earlier.json", report);
        tool.args(&["--partition", part, "--timings", "earlier.json"]).args(more).run()
    };
    // The longer one is dealt out first.
    for (bad, first, second) in
        [(9.0, "bad: test\n", "good: test\n"), (0.5, "good: test\n", "bad: test\n")]
    {
        for (which, listed) in [("timings:1/2", first), ("timings:2/2", second)] {
            let seen = part(which, &times(bad), &["--list"]);
            assert_eq!((seen.code, seen.stdout.as_str()), (Some(0), listed), "{seen}");
            assert!(seen.stderr.contains(" has 1 of 2 specs, split "), "{seen}");
        }
    }
    let share = |which: &str, report: &str| {
        let seen = part(which, report, &[]);
        let json = seen.json.as_ref().unwrap_or_else(|| panic!("{seen}"));
        assert_eq!(json["specs"].as_array().unwrap().len(), 1, "{seen}");
        assert!(seen.stderr.contains(json["partition"]["split"].as_str().unwrap()), "{seen}");
        json["partition"].clone()
    };
    let (one, two) = (share("timings:1/2", &times(9.0)), share("timings:2/2", &times(9.0)));
    let split = one["split"].clone();
    assert_eq!(
        one,
        serde_json::json!({"by": "timings", "part": 1, "parts": 2, "of": 2, "split": split})
    );
    assert_eq!((&two["part"], &two["split"]), (&2.into(), &split));
    // A machine with other times would check `bad` a second time, and none would check `good`.
    assert_ne!(share("timings:2/2", &times(0.5))["split"], split);
}

#[test]
fn times_that_are_not_there_are_no_times() {
    let refused = |arguments: &[&str]| {
        let seen = two_specs()
            .file("junit.xml", "<testsuites/>")
            .env("DOCKER_HOST", "unix:///nowhere")
            .args(arguments)
            .run();
        assert_eq!(seen.code, Some(2), "{seen}");
        assert_eq!(seen.stdout, "", "{seen}");
        assert!(seen.json.is_none(), "{seen}");
        seen.stderr
    };
    let missing = refused(&["--partition", "timings:1/2", "--timings", "gone.json"]);
    insta::assert_snapshot!(missing, @r#"
    error: `--timings gone.json`: No such file or directory (os error 2)
      help: every machine must have the same times, or specs would be left out by all of them; where nothing is known yet, give every machine a file of `{"schema":1,"specs":[]}`
    "#);
    assert!(missing.contains("every machine must have the same times"), "{missing}");
    let foreign = refused(&["--partition", "timings:1/2", "--timings", "junit.xml"]);
    insta::assert_snapshot!(foreign, @r#"
    error: `--timings junit.xml`: expected value at line 1 column 1
      help: name a report that `portlid test --report json=FILE` wrote
    "#);
    assert!(foreign.contains("`--timings junit.xml`: expected value"), "{foreign}");
    let without = refused(&["--partition", "timings:1/2"]);
    assert!(without.contains("`--timings FILE` names a JSON report"), "{without}");
    let with_hash = refused(&["--partition", "hash:1/2", "--timings", "junit.xml"]);
    assert!(with_hash.contains("`--partition timings:1/2` splits by it"), "{with_hash}");
    let alone = refused(&["--timings", "junit.xml"]);
    assert!(alone.contains("--partition"), "{alone}");
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
