//! What `look`, `init` and `diff` share: a spec made of arguments, and a run over such specs.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use futures_util::future::join_all;
use jiff::Timestamp;

use crate::{
    cli::{Global, Started},
    exit::Exit,
    harness, output,
    output::live::Live,
    progress::silent,
    record::RunRecord,
    run::{Options, Session},
    spec::{self, PublishMode, ReadyWhen, Spec, quoted, scalar},
};

/// The file that problems of such a spec are told of.
const NOWHERE: &str = "command line";

/// What is looked at.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    /// An image.
    Image(String),
    /// A build context.
    Build(String),
    /// An image in a file.
    Archive(String),
    /// A container that runs.
    Container(String),
}

impl Subject {
    /// The one of the arguments that is there; the command line demands just one.
    pub(super) fn of(
        image: Option<&String>,
        build: Option<&String>,
        archive: Option<&String>,
        container: Option<&String>,
    ) -> Self {
        match (image, build, archive, container) {
            (_, Some(folder), ..) => Self::Build(folder.clone()),
            (_, _, Some(file), _) => Self::Archive(file.clone()),
            (_, _, _, Some(name)) => Self::Container(name.clone()),
            (image, ..) => Self::Image(image.cloned().unwrap_or_default()),
        }
    }

    /// The spec's key for it, and its value.
    pub(super) fn key(&self) -> (&'static str, &str) {
        match self {
            Self::Image(value) => ("image", value),
            Self::Build(value) => ("build", value),
            Self::Archive(value) => ("archive", value),
            Self::Container(value) => ("container", value),
        }
    }
}

/// How it is started, in the words of the spec language: the keys under `run`, a line each.
///
/// Variables become references to the environment: a spec holds no secrets.
pub(super) fn run_lines(started: &Started) -> Vec<String> {
    let list = |texts: &[String]| {
        let texts: Vec<String> = texts.iter().map(|text| scalar(text)).collect();
        format!("[{}]", texts.join(", "))
    };
    let mut lines = Vec::new();
    if !started.command.is_empty() {
        lines.push(format!("command: {}", list(&started.command)));
    }
    if let Some(program) = &started.entrypoint {
        lines.push(format!("entrypoint: {}", list(std::slice::from_ref(program))));
    }
    let keys: BTreeSet<&str> = started.env.iter().map(|(key, _)| key.as_str()).collect();
    if !keys.is_empty() {
        let pairs: Vec<String> =
            keys.into_iter().map(|key| format!("{}: \"${{{key}}}\"", scalar(key))).collect();
        lines.push(format!("env: {{ {} }}", pairs.join(", ")));
    }
    if let Some(user) = &started.user {
        lines.push(format!("user: {}", quoted(user)));
    }
    if !started.cap_add.is_empty() {
        lines.push(format!("cap_add: {}", list(&started.cap_add)));
    }
    if !started.tmpfs.is_empty() {
        lines.push(format!("tmpfs: {}", list(&started.tmpfs)));
    }
    lines
}

/// A spec that asks what is there, read from a text like any other.
pub(super) fn exploring(name: &str, subject: &Subject, started: &Started) -> Result<Spec, Exit> {
    let run = run_lines(started);
    if let Subject::Container(_) = subject
        && (!run.is_empty() || started.platform.is_some())
    {
        output::line(
            "error: a container that already runs is not started\n  help: leave out what says how \
             to start it",
        );
        return Err(Exit::Usage);
    }
    let (key, value) = subject.key();
    let mut text = format!("{key}: {}\nname: {}\nexpose: []\n", quoted(value), quoted(name));
    if let Some(platform) = &started.platform {
        let _ = writeln!(text, "platform: {}", quoted(platform));
    }
    if !run.is_empty() {
        let _ = writeln!(text, "run:\n  {}", run.join("\n  "));
    }
    let mut spec = read(NOWHERE, &text, started)?;
    spec.ready.when = ReadyWhen::Settled;
    spec.ready.within = started.within;
    spec.watch = started.watch;
    spec.scan = started.scan.into();
    // Nobody is to use it: what it would publish is told by what it declares.
    spec.run.publish = PublishMode::None;
    Ok(spec)
}

/// Reads a spec that was made of arguments; what is wrong with them is told.
pub(super) fn read(name: &str, text: &str, started: &Started) -> Result<Spec, Exit> {
    let loaded = spec::load_text(name, text, &|name| variable(started, name));
    if !loaded.problems.is_empty() {
        output::aside(&spec::render(&loaded.problems, true));
        return Err(Exit::Usage);
    }
    loaded.specs.into_iter().next().ok_or(Exit::Internal)
}

/// The value of a variable: as given on the command line, else of the environment.
fn variable(started: &Started, name: &str) -> Option<String> {
    let given = started.env.iter().rev().find(|(key, _)| key == name);
    given.and_then(|(_, value)| value.clone()).or_else(|| std::env::var(name).ok())
}

/// Checks the specs side by side; the records come in the order of the specs.
pub(super) fn check(specs: &[Spec], started: &Started, global: &Global) -> Option<RunRecord> {
    let options = Options {
        engine: global.engine.clone(),
        look: started.look.into(),
        pull: started.pull.into(),
        ..Options::default()
    };
    let progress = if global.quiet { silent() } else { output::progress() };
    let _live = if global.quiet { None } else { Live::start() };
    let Some(runtime) = harness::runtime() else {
        output::line("error: no thread can be started");
        return None;
    };
    let begun = Timestamp::now();
    let session = Arc::new(Session::new(options, progress));
    runtime.spawn(harness::listen_for_signals(Arc::clone(&session)));
    let (specs, left_behind) = runtime.block_on(async {
        let records = join_all(specs.iter().map(|spec| session.check(spec))).await;
        (records, session.close().await)
    });
    let record = RunRecord {
        engine: session.engine_name(),
        started: Some(begun),
        finished: Some(Timestamp::now()),
        origin: harness::origin(),
        share: None,
        specs,
        signal: session.signal(),
        left_behind,
        is_internal_error: false,
    };
    let is_clean = record.left_behind.is_empty()
        && record.specs.iter().all(|record| record.left_behind.is_empty());
    // A helper that asks for a password may never answer: it is not waited for.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    if let Ok(session) = Arc::try_unwrap(session) {
        session.end(is_clean);
    }
    Some(record)
}

/// How a run ends whose verdicts are not asked for: 0 if everything could be looked at.
pub(super) fn exit(record: &RunRecord) -> Exit {
    let all = record.specs.iter();
    let start = record.signal.map_or(Exit::Pass, Exit::Signal);
    all.fold(start, |exit, record| {
        let own = if record.is_internal_error {
            Exit::Internal
        } else if record.reason.is_some() || record.evidence.is_none() {
            Exit::Inconclusive
        } else if !record.left_behind.is_empty() {
            Exit::LeftBehind
        } else {
            Exit::Pass
        };
        exit.and(own)
    })
    .and(if record.left_behind.is_empty() { Exit::Pass } else { Exit::LeftBehind })
}
