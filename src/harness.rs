//! One libtest-mimic trial per spec, and the whole of a `harness = false` test.
//!
//! Listing trials never touches an engine: nextest lists twice and runs each trial in a process of
//! its own. A trial that does not pass fails, whatever the reason; none is ever skipped.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex},
};

use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use tokio::runtime::{Builder, Runtime};

use crate::{
    engine,
    judgement::Verdict,
    output,
    record::{Record, RunRecord},
    report::text,
    run::{Options, Session},
    spec::{self, Loaded, Spec},
};

/// What came of running trials.
#[derive(Debug)]
pub struct Outcome {
    /// The record of every spec that was run.
    pub record: RunRecord,
    /// The signal that ended the run.
    pub signal: Option<u8>,
    /// What libtest makes of it.
    pub conclusion: Conclusion,
}

/// The body of a `harness = false` test: checks every spec under `specs/` of the package.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     portlid::harness::main()
/// }
/// ```
#[must_use]
pub fn main() -> ExitCode {
    if engine::serve_reaper() {
        return ExitCode::SUCCESS;
    }
    engine::enable_reaper();
    let arguments = Arguments::from_args();
    // Cargo starts tests in the package's folder; the variable holds where nothing else did.
    let specs = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(
        || PathBuf::from("specs"),
        |package| {
            let below = Path::new(&package).join("specs");
            let here = std::env::current_dir().is_ok_and(|here| here == Path::new(&package));
            if here { PathBuf::from("specs") } else { below }
        },
    );
    let loaded = spec::load(&[specs], &|name| std::env::var(name).ok());
    if !loaded.problems.is_empty() || loaded.specs.is_empty() {
        return unusable(&loaded, &arguments);
    }
    let outcome = run(loaded.specs, Options::default(), &arguments, Arc::new(output::progress));
    match outcome.signal {
        Some(number) => ExitCode::from(128_u8.saturating_add(number)),
        None => outcome.conclusion.exit_code(),
    }
}

/// Specs that cannot be used, or none at all: a trial that fails, and nothing is started.
fn unusable(loaded: &Loaded, arguments: &Arguments) -> ExitCode {
    let message = if loaded.problems.is_empty() {
        "there is no spec under `specs/`: nothing would be checked".to_owned()
    } else {
        spec::render(&loaded.problems, false)
    };
    let trial = Trial::test("specs", move || Err(Failed::from(message)));
    libtest_mimic::run(arguments, vec![trial]).exit_code()
}

/// Whether libtest's filters let the trial of that name run.
#[must_use]
pub fn is_chosen(arguments: &Arguments, name: &str) -> bool {
    let matches = |filter: &str| {
        if arguments.exact { name == filter } else { name.contains(filter) }
    };
    // No trial is ever marked as ignored.
    !arguments.ignored
        && arguments.filter.as_deref().is_none_or(matches)
        && !arguments.skip.iter().any(|skip| matches(skip))
}

/// Runs the chosen specs, one trial each.
#[must_use]
pub fn run(
    specs: Vec<Spec>,
    options: Options,
    arguments: &Arguments,
    progress: engine::Progress,
) -> Outcome {
    let records: Arc<Mutex<Vec<Record>>> = Arc::default();
    let session = Arc::new(Session::new(options, progress));
    let mut conclusion = None;
    let runtime = if arguments.list { None } else { runtime() };
    if let Some(runtime) = &runtime {
        runtime.spawn(listen_for_signals(Arc::clone(&session)));
    }
    if runtime.is_some() || arguments.list {
        let handle = runtime.as_ref().map(|runtime| runtime.handle().clone());
        let trials = specs
            .into_iter()
            .map(|spec| {
                let (session, records) = (Arc::clone(&session), Arc::clone(&records));
                let handle = handle.clone();
                Trial::test(spec.name.clone(), move || {
                    let Some(handle) = handle else { return Err(Failed::from("only listed")) };
                    let record = handle.block_on(session.check(&spec));
                    let told = told(&record);
                    match records.lock() {
                        Ok(mut records) => records.push(record),
                        Err(poisoned) => poisoned.into_inner().push(record),
                    }
                    told
                })
            })
            .collect();
        conclusion = Some(libtest_mimic::run(arguments, trials));
    }
    let mut specs = match records.lock() {
        Ok(mut records) => std::mem::take(&mut *records),
        Err(poisoned) => std::mem::take(&mut *poisoned.into_inner()),
    };
    specs.sort_by(|one, other| one.name.cmp(&other.name));
    let record = RunRecord { engine: session.engine_name(), specs };
    let signal = session.signal();
    let is_clean = record.specs.iter().all(|record| record.left_behind.is_empty());
    // The tasks that still hold the session end with the runtime.
    drop(runtime);
    if let Ok(session) = Arc::try_unwrap(session) {
        session.end(is_clean);
    }
    let conclusion = conclusion.unwrap_or(Conclusion {
        num_filtered_out: 0,
        num_passed: 0,
        num_failed: 1,
        num_ignored: 0,
        num_measured: 0,
    });
    Outcome { record, signal, conclusion }
}

fn runtime() -> Option<Runtime> {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().ok()
}

/// What libtest is told of a record.
fn told(record: &Record) -> Result<(), Failed> {
    if record.verdict == Verdict::Pass && record.left_behind.is_empty() {
        Ok(())
    } else {
        Err(Failed::from(text::story(record)))
    }
}

/// The first signal ends the run after cleaning up; the second ends it at once, and the reaper
/// finishes.
async fn listen_for_signals(session: Arc<Session>) {
    use tokio::signal::unix::{SignalKind, signal};
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::quit(),
    ];
    let (sender, mut received) = tokio::sync::mpsc::channel(4);
    for kind in kinds {
        let Ok(mut stream) = signal(kind) else { continue };
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                let _ = sender.send(u8::try_from(kind.as_raw_value()).unwrap_or_default()).await;
            }
        });
    }
    while let Some(number) = received.recv().await {
        if session.signal().is_some() {
            output::end_at_once(128_u8.saturating_add(number));
        }
        output::line("portlid: interrupted; removing what was started");
        session.interrupt(number);
    }
}
