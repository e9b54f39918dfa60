//! Runs portlid in a folder of its own and tells everything that came of it.

use std::{
    fmt,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::engine;

/// A command line in the making.
pub(crate) struct Tool {
    folder: TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    without: Vec<&'static str>,
    descriptors: Option<u32>,
    input: Option<PathBuf>,
}

/// What came of it.
pub(crate) struct Seen {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The JSON report, if one was written.
    pub(crate) json: Option<Value>,
}

impl Tool {
    pub(crate) fn new(arguments: &[&str]) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            arguments: arguments.iter().map(|&it| it.to_owned()).collect(),
            environment: Vec::new(),
            without: Vec::new(),
            descriptors: None,
            input: None,
        }
    }

    /// `portlid test` of one spec, with a JSON report.
    pub(crate) fn gate(spec: &str) -> Self {
        Self::new(&["test", "--report", "json=report.json"]).file("specs/subject.yaml", spec)
    }

    /// `portlid test` of the fixture image, which declares `declared` and is told `command`; `rest`
    /// is the rest of the spec. The scan is short, so that tests are quick; `rest` may say `scan`.
    pub(crate) fn subject(declared: &[&str], command: &[&str], rest: &str) -> Self {
        let image = engine::fixture(declared);
        let command = serde_json::to_string(command).unwrap();
        let mut spec = format!("image: {image}\n{rest}\n");
        if !rest.contains("run:") {
            spec.push_str(&format!("run:\n  command: {command}\n"));
        } else {
            spec = spec.replace("run:", &format!("run:\n  command: {command}"));
        }
        for (key, value) in [("scan", "listed"), ("watch", "300ms"), ("ready", "{ within: 10s }")] {
            if !rest.contains(&format!("{key}:")) {
                spec.push_str(&format!("{key}: {value}\n"));
            }
        }
        Self::gate(&spec)
    }

    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &'static str) -> Self {
        self.without.push(name);
        self
    }

    /// Limits how many descriptors the process may have (`ulimit -n`).
    pub(crate) fn descriptors(mut self, limit: u32) -> Self {
        self.descriptors = Some(limit);
        self
    }

    /// What is on its standard input; without it, nothing.
    pub(crate) fn input(mut self, text: &str) -> Self {
        let path = self.folder.path().join(".input");
        std::fs::write(&path, text).unwrap();
        self.input = Some(path);
        self
    }

    pub(crate) fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&it| it.to_owned()));
        self
    }

    /// Other arguments, in the same folder.
    pub(crate) fn instead(mut self, arguments: &[&str]) -> Self {
        self.arguments.clear();
        self.args(arguments)
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self) -> Command {
        const PORTLID: &str = env!("CARGO_BIN_EXE_portlid");
        let mut command = match self.descriptors {
            None => Command::new(PORTLID),
            Some(limit) => {
                let mut shell = Command::new("sh");
                let script = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
                shell.args(["-c", &script, PORTLID]);
                shell
            }
        };
        command
            .args(&self.arguments)
            // Where these tests run is no business of what they test.
            .env_remove("GITHUB_ACTIONS")
            .env_remove("GITHUB_STEP_SUMMARY")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(match &self.input {
                Some(path) => Stdio::from(std::fs::File::open(path).unwrap()),
                None => Stdio::null(),
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in &self.without {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn spawn(&self) -> Child {
        self.command().spawn().unwrap()
    }

    /// Runs it to its end, and makes sure that nothing of it is left in the engine.
    pub(crate) fn run(&self) -> Seen {
        let child = self.spawn();
        let pid = child.id();
        let seen = self.collect(child);
        assert_eq!(engine::made_by(pid), Vec::<String>::new(), "left behind:\n{seen}");
        seen
    }

    pub(crate) fn collect(&self, child: Child) -> Seen {
        let output = child.wait_with_output().unwrap();
        let report: PathBuf = self.folder.path().join("report.json");
        Seen {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            json: std::fs::read(report).ok().map(|text| serde_json::from_slice(&text).unwrap()),
        }
    }
}

impl Seen {
    /// The only spec of the report.
    pub(crate) fn spec(&self) -> &Value {
        let specs = self.json.as_ref().unwrap_or_else(|| panic!("no report:\n{self}"))["specs"]
            .as_array()
            .unwrap();
        assert_eq!(specs.len(), 1, "{self}");
        &specs[0]
    }

    /// `level rule port process line`, a finding each.
    pub(crate) fn findings(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        self.spec()["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| {
                format!(
                    "{} {} {} {} :{}",
                    text(&finding["level"]),
                    text(&finding["rule"]),
                    text(&finding["port"]),
                    text(&finding["process"]),
                    finding["line"]
                )
            })
            .collect()
    }

    /// Notes a verdict down where `.ci/matrix` asks for it: what was wanted, what came, and why.
    fn note(&self, wanted: &str) {
        let Some(file) = std::env::var_os("PORTLID_VERDICTS") else { return };
        let spec = self.spec();
        let text = |value: &Value| value.as_str().unwrap_or_default().replace(['\n', '\t'], " ");
        let thread = std::thread::current();
        let test = thread.name().unwrap_or_default();
        let line =
            format!("{test}\t{wanted}\t{}\t{}\n", text(&spec["verdict"]), text(&spec["reason"]));
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
        // In one piece: others write too.
        file.write_all(line.as_bytes()).unwrap();
    }

    /// Asserts the verdict, the exit code that belongs to it, and the findings.
    #[track_caller]
    pub(crate) fn is(&self, verdict: &str, findings: &[&str]) -> &Self {
        self.note(verdict);
        assert_eq!(self.spec()["verdict"], verdict, "{self}");
        let code = match verdict {
            "pass" => 0,
            "fail" => 1,
            _ => 3,
        };
        assert_eq!(self.code, Some(code), "{self}");
        assert_eq!(self.findings(), findings, "{self}");
        self
    }

    /// Asserts that it could not be looked at, and that the reason says so in these words.
    #[track_caller]
    pub(crate) fn is_inconclusive(&self, because: &str) -> &Self {
        self.note("inconclusive");
        assert_eq!(self.code, Some(3), "{self}");
        assert_eq!(self.spec()["verdict"], "inconclusive", "{self}");
        let reason = self.spec()["reason"].as_str().unwrap();
        assert!(reason.contains(because), "{because:?} is not in {reason:?}\n{self}");
        assert!(!self.spec()["hint"].is_null(), "no hint:\n{self}");
        self
    }

    /// Asserts the exit code, and that the text on stderr holds these parts.
    #[track_caller]
    pub(crate) fn refuses(&self, code: i32, parts: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self}");
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in:\n{self}");
        }
        self
    }

    /// The row of the ledger for a port.
    pub(crate) fn row(&self, port: &str) -> &Value {
        let rows = self.spec()["ledger"].as_array().unwrap();
        rows.iter()
            .find(|row| row["port"] == port)
            .unwrap_or_else(|| panic!("no {port} in {rows:?}"))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or("signal".to_owned(), |code| code.to_string());
        write!(f, "exit: {code}\n--- stdout\n{}--- stderr\n{}", self.stdout, self.stderr)
    }
}
