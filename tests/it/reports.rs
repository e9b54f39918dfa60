//! Reports as files, and what GitHub is told, of real runs.

use std::fs;

use crate::{engine, harness::Tool};

const FORMATS: [&str; 6] = ["json", "junit", "sarif", "html", "markdown", "intoto"];

/// Two specs, one of which has a port too many, with every report.
fn every_report() -> Tool {
    let image = engine::fixture(&["80/tcp"]);
    let good = format!(
        "image: {image}\nrun: {{ command: [\"tcp:0.0.0.0:80\"] }}\nexpose: [80/tcp]\nwatch: 0s\nscan: listed\n"
    );
    let bad = good.replace("\"tcp:0.0.0.0:80\"", "\"tcp:0.0.0.0:80\", \"tcp:0.0.0.0:9229\"");
    let tool = Tool::new(&["test", "specs"])
        .file("specs/good.yaml", &good)
        .file("specs/bad.yaml", &bad.replace("watch: 0s", "watch: 300ms"));
    FORMATS
        .iter()
        .fold(tool, |tool, format| tool.args(&["--report", &format!("{format}=report.{format}")]))
}

#[test]
fn every_report_tells_of_the_same_finding() {
    let tool = every_report();
    let seen = tool.run();
    assert_eq!(seen.code, Some(1), "{seen}");
    assert!(!seen.stdout.contains("::error"), "{seen}");
    let read =
        |format: &str| fs::read_to_string(tool.path().join(format!("report.{format}"))).unwrap();
    for format in FORMATS {
        let text = read(format);
        assert!(text.contains("bad"), "{format}\n{text}");
        assert!(format == "intoto" || text.contains("9229/tcp"), "{format}\n{text}");
        assert!(
            !text.contains(tool.path().to_str().unwrap()),
            "{format} tells where it ran\n{text}"
        );
    }
    let sarif: serde_json::Value = serde_json::from_str(&read("sarif")).unwrap();
    let result = &sarif["runs"][0]["results"][0];
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "specs/bad.yaml");
    assert_eq!(place["region"]["startLine"], 3);
    let statement: serde_json::Value = serde_json::from_str(&read("intoto")).unwrap();
    assert_eq!(statement["predicate"]["result"], "FAILED");
    assert_eq!(statement["predicate"]["failedTests"], serde_json::json!(["bad"]));
    assert_eq!(statement["predicate"]["passedTests"], serde_json::json!(["good"]));
    // The timeline of a real look.
    let json = seen.json.as_ref().unwrap();
    let line = &json["specs"][0]["timeline"];
    let at = |key: &str| line[key].as_u64().unwrap_or_else(|| panic!("{key} of {line}"));
    assert!(at("from_ms") <= at("ready_ms") && at("ready_ms") == at("watched_from_ms"), "{line}");
    assert!(at("ready_ms") + 300 <= at("until_ms"), "{line}");
    for row in json["specs"][0]["ledger"].as_array().unwrap() {
        let socket = &row["listening"][0];
        assert!(socket["last_seen_ms"].as_u64().unwrap() <= at("until_ms"), "{row}");
    }
}

#[test]
fn github_is_told_by_itself() {
    let tool =
        every_report().env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", "summary.md");
    fs::create_dir(tool.path().join(".git")).unwrap();
    fs::write(tool.path().join("summary.md"), "# Before").unwrap();
    let seen = tool.run();
    assert_eq!(seen.code, Some(1), "{seen}");
    let commands: Vec<&str> = seen.stdout.lines().filter(|line| line.starts_with("::")).collect();
    assert!(
        commands[0].starts_with(
            "::error file=specs/bad.yaml,line=3,col=1,title=bad%3A unlisted-listener 9229/tcp::9229/tcp: "
        ),
        "{seen}"
    );
    let summary = fs::read_to_string(tool.path().join("summary.md")).unwrap();
    assert!(summary.starts_with("# Before\n## ❌ portlid: 1 of 2 specs broken\n"), "{summary}");
    assert!(summary.contains("`9229/tcp`"), "{summary}");
}

#[test]
fn output_for_programs_stays_so_on_github() {
    let tool = every_report().env("GITHUB_ACTIONS", "true");
    let seen = tool.args(&["--", "--format", "json"]).run();
    assert!(seen.stdout.lines().all(|line| line.starts_with('{')), "{seen}");
    assert!(seen.stderr.contains("\n::error file=specs/bad.yaml,"), "{seen}");
}

#[test]
fn what_could_not_be_looked_at_is_reported_too() {
    let spec = "image: portlid.invalid/nothing:1\nexpose: []\n";
    let tool = Tool::new(&["test", "--pull", "never"]).file("specs/a.yaml", spec);
    let tool = FORMATS
        .iter()
        .fold(tool, |tool, format| tool.args(&["--report", &format!("{format}=report.{format}")]));
    let seen = tool.run();
    assert_eq!(seen.code, Some(3), "{seen}");
    let read =
        |format: &str| fs::read_to_string(tool.path().join(format!("report.{format}"))).unwrap();
    assert!(read("junit").contains("<error "));
    assert!(read("sarif").contains("\"executionSuccessful\": false"));
    assert!(read("intoto").contains("\"result\": \"FAILED\""));
    assert!(read("markdown").starts_with("## ❌"));
}

#[test]
fn formats_and_files_are_checked_before_the_work() {
    let spec = "image: a\nexpose: []\n";
    for (reports, said) in [
        (&["xml=a"][..], "there are: json, junit, sarif, html, markdown, intoto"),
        (&["sarif"], "it is FORMAT=FILE"),
        (&["json=a", "sarif=./a"], "two reports are to be written to `./a`"),
        (&["html=nowhere/a"], "cannot write the report `nowhere/a`"),
    ] {
        let tool = Tool::new(&["test"]).file("specs/a.yaml", spec);
        let tool = reports.iter().fold(tool, |tool, report| tool.args(&["--report", report]));
        tool.run().refuses(2, &[said]);
    }
}
