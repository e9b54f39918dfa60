//! What GitHub's runner would run: the scripts of the action and of the workflows, on real specs.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::engine;

/// What the files say: the action, the workflows, README's recipes.
mod files;
/// How portlid gets onto the runner.
mod install;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PORTLID: &str = env!("CARGO_BIN_EXE_portlid");

/// A step of a job in a folder of its own, with the files that a runner gives it.
struct Job {
    folder: TempDir,
    environment: BTreeMap<String, String>,
}

/// What came of a step.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
    outputs: BTreeMap<String, String>,
    summary: String,
}

impl Job {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environment = [
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("GITHUB_OUTPUT", folder.path().join("outputs").display().to_string()),
            ("GITHUB_STEP_SUMMARY", folder.path().join("summary").display().to_string()),
            ("RUNNER_TEMP", folder.path().join("temp").display().to_string()),
            ("PORTLID", PORTLID.to_owned()),
            ("INPUT_SPECS", "specs".to_owned()),
        ];
        // The root of a repository, from which annotations count.
        for name in ["temp", "work/.git", "work/specs"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let environment = environment.map(|(name, value)| (name.to_owned(), value));
        Self { folder, environment: environment.into() }
    }

    /// The folder that the step is started in.
    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn file(self, path: &str, text: &str) -> Self {
        let path = self.work().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// A program that is found before all others of its name.
    fn program(self, name: &str, script: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = self.folder.path().join("programs");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        let others = std::env::var("PATH").unwrap();
        self.env("PATH", &format!("{}:{others}", folder.display()))
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .envs(&self.environment)
            .current_dir(self.work())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A script of the action.
    fn start(&self, script: &str) -> Child {
        self.command(&Path::new(ROOT).join(".github/action").join(script)).spawn().unwrap()
    }

    fn run(&self, script: &str) -> Ended {
        self.end(self.start(script))
    }

    fn end(&self, child: Child) -> Ended {
        let output = child.wait_with_output().unwrap();
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name));
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            outputs: outputs(&read("outputs").unwrap_or_default()),
            summary: read("summary").unwrap_or_default(),
        }
    }
}

/// Reads outputs as the runner does: `NAME=VALUE`, or lines between `NAME<<END` and `END`.
fn outputs(text: &str) -> BTreeMap<String, String> {
    let mut outputs = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let (name, value) = match line.split_once("<<") {
            Some((name, end)) if !name.contains('=') => {
                let value: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
                (name, value.join("\n"))
            }
            _ => {
                let (name, value) = line.split_once('=').unwrap();
                (name, value.to_owned())
            }
        };
        assert_eq!(outputs.insert(name.to_owned(), value), None, "`{name}` twice in:\n{text}");
    }
    outputs
}

impl Ended {
    /// Asserts the exit code, the verdict, the reports that are named, and that nothing else is told.
    #[track_caller]
    fn is(&self, code: i32, verdict: &str, files: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self}");
        assert_eq!(self.outputs["verdict"], verdict, "{self}");
        assert_eq!(self.outputs["files"], files.join("\n"), "{self}");
        assert_eq!(self.outputs.len(), 2, "{self}");
        assert_eq!(verdict == "pass", code == 0, "{self}");
        self
    }

    /// What the runner would take for commands, at the beginning of a line. Those of the old form it
    /// obeys anywhere in a line, and nothing of ours may have one.
    fn commands(&self) -> Vec<&str> {
        let lines = || self.stdout.lines().chain(self.stderr.lines());
        let of_the_old_form = lines().find(|line| line.contains("##["));
        assert_eq!(of_the_old_form, None, "{self}");
        lines().filter(|line| line.trim_start().starts_with("::")).collect()
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, stdout, stderr, outputs, summary } = self;
        write!(
            f,
            "exit: {code:?}\noutputs: {outputs:?}\n--- stdout\n{stdout}--- stderr\n{stderr}"
        )?;
        write!(f, "--- summary\n{summary}")
    }
}

/// A spec that its image keeps to, and one that it does not.
fn good() -> String {
    let image = engine::fixture(&["80/tcp"]);
    format!(
        "image: {image}\nrun: {{ command: [\"tcp:0.0.0.0:80\"] }}\nexpose: [80/tcp]\nwatch: 0s\nscan: listed\n"
    )
}

fn leaky() -> String {
    good()
        .replace("\"tcp:0.0.0.0:80\"", "\"tcp:0.0.0.0:80\", \"tcp:0.0.0.0:9229\"")
        .replace("watch: 0s", "watch: 300ms")
}

#[test]
fn a_pass_names_the_reports_that_were_written() {
    let job = Job::new()
        .file("specs/good.yaml", &good())
        .env("INPUT_REPORTS", "\n  json=a b.json \r\n\nmarkdown=./b=c.md\nsarif=/dev/null\n");
    let ended = job.run("gate");
    ended.is(0, "pass", &["a b.json", "./b=c.md"]);
    assert_eq!(ended.commands(), Vec::<&str>::new(), "{ended}");
    assert!(ended.summary.contains("portlid"), "{ended}");
    assert!(job.work().join("b=c.md").is_file());
    assert_eq!(fs::read_dir(job.folder.path().join("temp")).unwrap().count(), 0, "left behind");
}

#[test]
fn a_broken_rule_is_told_on_its_line_and_in_the_summary() {
    let job = Job::new()
        .file("specs/good.yaml", &good())
        .file("specs/leaky.yaml", &leaky())
        .env("INPUT_REPORTS", "json=portlid.json");
    let ended = job.run("gate");
    ended.is(1, "fail", &["portlid.json"]);
    let commands = ended.commands();
    assert_eq!(commands.len(), 1, "{ended}");
    assert!(commands[0].starts_with("::error file=specs/leaky.yaml,line=3,"), "{ended}");
    assert!(ended.summary.contains("1 of 2 specs broken"), "{ended}");
    assert!(ended.summary.contains("`9229/tcp`"), "{ended}");
}

#[test]
fn paths_images_and_arguments_reach_portlid() {
    let image = engine::fixture(&["80/tcp"]);
    let job = Job::new()
        .file("specs/one.yaml", &good().replace(&image, "portlid.invalid/one:1"))
        .file("more specs/two.yaml", &good())
        .file("others/three.yaml", "this is no spec")
        .env("INPUT_SPECS", "specs/one.yaml\nmore specs")
        .env("INPUT_IMAGES", &format!("one={image}\n"))
        .env("INPUT_ARGS", "--pull never\n-v -- --skip two");
    let ended = job.run("gate");
    ended.is(0, "pass", &[]);
    assert!(ended.stdout.contains("test one ... ok"), "{ended}");
    assert!(ended.stdout.contains("1 filtered out"), "{ended}");
    assert!(ended.stderr.contains("one: pass in "), "{ended}");
}

#[test]
fn what_could_not_be_looked_at_is_inconclusive() {
    let job = Job::new()
        .file("specs/a.yaml", "image: portlid.invalid/nothing:1\nexpose: []\n")
        .env("INPUT_ARGS", "--pull never");
    let ended = job.run("gate");
    ended.is(3, "inconclusive", &[]);
    assert!(ended.commands()[0].starts_with("::error file=specs/a.yaml,"), "{ended}");
}

/// A star is a star, in front of which no shell stands.
#[test]
fn nothing_is_expanded() {
    let job = Job::new()
        .file("specs/good.yaml", &good())
        .file("good", "")
        .env("INPUT_ARGS", "-- --skip g*")
        .env("INPUT_REPORTS", "json=g*");
    let ended = job.run("gate");
    ended.is(0, "pass", &["g*"]);
    assert!(ended.stdout.contains("test good ... ok"), "{ended}");
}

/// Nor is a report of an earlier run named, which may be a green one.
#[test]
fn a_wrong_spec_is_an_error_and_no_report_of_it_is_named() {
    let job = Job::new()
        .file("specs/a.yaml", "image: a\nexpose: [99999]\n")
        .file("portlid.json", "old")
        .env("INPUT_REPORTS", "json=portlid.json");
    let ended = job.run("gate");
    ended.is(2, "error", &[]);
    assert!(ended.stderr.contains("99999"), "{ended}");
    assert_eq!(fs::read_to_string(job.work().join("portlid.json")).unwrap(), "old");
}

/// portlid ends with 0 for some of these, and nothing was looked at.
#[test]
fn nothing_checked_is_never_a_pass() {
    for arguments in ["--list", "-- --list", "--help", "-- --help", "-- nothing-of-that-name"] {
        let job = Job::new()
            .file("specs/good.yaml", &good())
            .env("INPUT_ARGS", arguments)
            .env("INPUT_REPORTS", "json=portlid.json");
        job.run("gate").is(4, "error", &[]);
    }
    let ended = Job::new().file("specs/good.yaml", &good()).env("PORTLID", "true").run("gate");
    ended.is(4, "error", &[]);
    assert!(ended.commands()[0].contains("nothing was checked"), "{ended}");
    Job::new().run("gate").is(4, "error", &[]);
    Job::new().env("INPUT_SPECS", " \n").run("gate").is(2, "error", &[]);
    Job::new().env("PORTLID", "/nowhere/portlid").run("gate").is(127, "error", &[]);
    Job::new().env("INPUT_SPECS", "nowhere").run("gate").is(2, "error", &[]);
    Job::new().env("INPUT_REPORTS", "xml=a").run("gate").is(2, "error", &[]);
}

#[test]
fn a_verdict_that_cannot_be_told_is_no_pass() {
    let job = Job::new().file("specs/good.yaml", &good()).env("GITHUB_OUTPUT", "/nowhere/outputs");
    let ended = job.run("gate");
    assert_ne!(ended.code, Some(0), "{ended}");
    assert!(ended.stdout.contains("test good ... ok"), "{ended}");
}

#[test]
fn inputs_are_data() {
    const HOSTILE: [&str; 9] = [
        "$(touch pwned)",
        "`touch pwned`",
        "; touch pwned",
        "' ; touch pwned ; '",
        "\" || touch pwned || \"",
        "::set-output name=verdict::pass",
        "##[set-output name=verdict]pass",
        "a\nverdict=pass\n::stop-commands::x",
        "--report=json=pwned",
    ];
    for hostile in HOSTILE {
        for input in ["INPUT_SPECS", "INPUT_IMAGES", "INPUT_REPORTS", "INPUT_ARGS", "INPUT_SHARDS"]
        {
            for script in ["gate", "plan", "shard"] {
                if (input == "INPUT_SHARDS") != (script == "plan") {
                    continue;
                }
                let job = Job::new()
                    .file("specs/a.yaml", "image: portlid.invalid/nothing:1\nexpose: []\n")
                    .env("INPUT_ARGS", "--pull never")
                    .env("SHARD", "1")
                    .env("SHARDS", "1")
                    .env("FOLDER", "reports")
                    .env(input, hostile);
                let ended = job.run(script);
                let case = format!("{script} with {input}={hostile:?}\n{ended}");
                assert_ne!(ended.code, Some(0), "{case}");
                // The one input that is for arguments may well ask for a report.
                let may = input == "INPUT_ARGS" && hostile.starts_with("--report");
                assert!(may || !job.work().join("pwned").exists(), "{case}");
                for (name, value) in &ended.outputs {
                    assert!(name == "files" || name == "verdict" && value != "pass", "{case}");
                }
                for command in ended.commands() {
                    assert!(command.starts_with("::error "), "{case}");
                }
            }
        }
    }
}

/// What a file is called cannot end the list of files, and so cannot tell a verdict.
#[test]
fn names_of_reports_are_data_too() {
    let job = Job::new()
        .file("specs/a.yaml", "image: portlid.invalid/nothing:1\nexpose: []\n")
        .env("INPUT_ARGS", "--pull never")
        .env(
            "INPUT_REPORTS",
            "json=verdict=pass\nhtml=files<<EOF\nsarif=EOF\njunit=$(touch pwned)",
        );
    let ended = job.run("gate");
    ended.is(3, "inconclusive", &["verdict=pass", "files<<EOF", "EOF", "$(touch pwned)"]);
    assert!(!job.work().join("pwned").exists());
}

/// The runner signals the script alone; portlid must clean up before the runner loses patience.
#[test]
fn a_cancelled_job_cleans_up() {
    for signal in [Signal::INT, Signal::TERM] {
        let job = Job::new().file("specs/good.yaml", &good().replace("watch: 0s", "watch: 60s"));
        let child = job.start("gate");
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let started = Instant::now();
        let portlid = loop {
            let path = format!("/proc/{0}/task/{0}/children", child.id());
            let children = fs::read_to_string(path).unwrap_or_default();
            let mut children = children.split_ascii_whitespace().map(|it| it.parse().unwrap());
            let is_portlid = |it: &u32| {
                fs::read_link(format!("/proc/{it}/exe")).is_ok_and(|exe| exe == Path::new(PORTLID))
            };
            let of_portlid = children.find(is_portlid);
            if let Some(portlid) = of_portlid.filter(|it| !engine::made_by(*it).is_empty()) {
                break portlid;
            }
            assert!(started.elapsed() < Duration::from_secs(50), "nothing was started");
            thread::sleep(Duration::from_millis(50));
        };
        kill_process(pid, signal).unwrap();
        let ended = job.end(child);
        ended.is(143, "error", &[]);
        assert_eq!(engine::made_by(portlid), Vec::<String>::new(), "{ended}");
    }
}

/// Five specs over four shards: each is checked once, by shards that have something to do.
#[test]
fn every_spec_is_in_one_of_the_planned_shards() {
    let image = engine::fixture(&[]);
    let spec =
        format!("image: {image}\nrun: {{ command: [sleep] }}\nexpose: []\nwatch: 0s\nscan: off\n");
    let job = ["a", "b", "c", "d", "e"]
        .into_iter()
        .fold(Job::new(), |job, name| job.file(&format!("specs/{name}.yaml"), &spec))
        .file(
            "specs/e.yaml",
            &spec.replace("expose", "ready: { within: 1s }\nexpose").replace("[]", "[1/tcp]"),
        )
        .env("INPUT_SHARDS", "4")
        .env("INPUT_ARGS", "-- --skip nothing")
        .env("SHARDS", "4")
        .env("FOLDER", "reports");
    let planned = job.run("plan");
    assert_eq!(planned.code, Some(0), "{planned}");
    let planned: Vec<u32> = serde_json::from_str(&planned.outputs["shards"]).unwrap();
    let (mut job, mut names, mut red) = (job, Vec::new(), 0);
    for shard in 1..=4 {
        fs::remove_file(job.folder.path().join("outputs")).unwrap();
        job = job.env("SHARD", &shard.to_string());
        let ended = job.run("shard");
        if !planned.contains(&shard) {
            // Not excused by anybody, if it ran all the same.
            ended.is(4, "error", &[]);
            continue;
        }
        let report = fs::read(job.work().join("reports/portlid.json")).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        let specs = report["specs"].as_array().unwrap();
        names.extend(specs.iter().map(|spec| spec["name"].as_str().unwrap().to_owned()));
        let has_e = specs.iter().any(|spec| spec["name"] == "e");
        let (code, verdict) = if has_e { (1, "fail") } else { (0, "pass") };
        let files = ["reports/portlid.json", "reports/portlid.junit.xml", "reports/portlid.sarif"];
        ended.is(code, verdict, &files);
        red += i32::from(has_e);
    }
    names.sort();
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    assert_eq!(red, 1);
}

#[test]
fn a_shard_of_one_spec_leaves_the_others_out() {
    let job = Job::new().file("specs/good.yaml", &good()).env("INPUT_SHARDS", "3");
    let planned = job.run("plan");
    assert_eq!(planned.code, Some(0), "{planned}");
    let shards: Vec<u32> = serde_json::from_str(&planned.outputs["shards"]).unwrap();
    assert_eq!(shards.len(), 1, "{planned}");
    assert_eq!(planned.stdout.matches("left out").count(), 2, "{planned}");
}

#[test]
fn a_plan_without_a_shard_is_red() {
    let good = good();
    let job = |specs: &str| Job::new().file("specs/a.yaml", specs).env("INPUT_SHARDS", "3");
    for (job, code) in [
        (Job::new().env("INPUT_SHARDS", "3"), 4),
        (job(&good).env("INPUT_ARGS", "-- nothing-of-that-name"), 4),
        (job("image: a\nexpose: [99999]\n"), 2),
        (job(&good).env("INPUT_IMAGES", "b=c"), 2),
        (job(&good).env("INPUT_ARGS", "--partition=hash:1/1"), 2),
        (job(&good).env("INPUT_SPECS", ""), 2),
        (job(&good).env("PORTLID", "/nowhere/portlid"), 127),
        (job(&good).env("INPUT_SHARDS", ""), 2),
        (job(&good).env("INPUT_SHARDS", "0"), 2),
        (job(&good).env("INPUT_SHARDS", "257"), 2),
        (job(&good).env("INPUT_SHARDS", "1.5"), 2),
        (job(&good).env("INPUT_SHARDS", "09"), 2),
    ] {
        let ended = job.run("plan");
        assert_eq!(ended.code, Some(code), "{ended}");
        assert_eq!(ended.outputs, BTreeMap::new(), "{ended}");
        assert_eq!(ended.commands().len(), 1, "{ended}");
    }
}

#[test]
fn more_formats_get_files_of_their_own() {
    let job = Job::new()
        .file("specs/a.yaml", "image: portlid.invalid/nothing:1\nexpose: []\n")
        .env("INPUT_ARGS", "--pull never")
        .env("INPUT_REPORTS", "html, json\nintoto markdown")
        .env("SHARD", "1")
        .env("SHARDS", "1")
        .env("FOLDER", "reports");
    let names = ["json", "junit.xml", "sarif", "html", "intoto.json", "md"];
    let files = names.map(|name| format!("reports/portlid.{name}"));
    job.run("shard").is(3, "inconclusive", &files.each_ref().map(String::as_str));
    fs::remove_file(job.folder.path().join("outputs")).unwrap();
    let ended = job.env("INPUT_REPORTS", "xml").run("shard");
    ended.is(2, "error", &[]);
    assert!(ended.stderr.contains("`xml` is no format"), "{ended}");
}
