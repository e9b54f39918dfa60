//! One libtest-mimic trial per spec, and the whole of a `harness = false` test.
//!
//! Listing trials never touches an engine: nextest lists twice and runs each trial in a process of
//! its own. A trial that does not pass fails, whatever the reason; none is ever skipped.

use std::{
    any::Any,
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use tokio::runtime::{Builder, Runtime};

use crate::{
    engine,
    judgement::Verdict,
    output,
    progress::Progress,
    record::{Origin, Record, RunRecord},
    report::text,
    run::{Options, Session},
    spec::{self, InvalidSpec, Loaded, Place, Problem, Spec},
};

/// What came of running trials.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The record of every spec that was run.
    pub(crate) record: RunRecord,
    /// The signal that ended the run.
    pub(crate) signal: Option<u8>,
    /// What libtest makes of it.
    pub(crate) conclusion: Conclusion,
}

/// The body of a `harness = false` test: each spec under `specs/` of the package is a test of its own.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     portlid::harness::main()
/// }
/// ```
///
/// What could not be looked at is a failed test, and so is no spec at all. Arguments, output and exit
/// codes are libtest's, so that `cargo test` and `cargo nextest run` work as ever.
#[must_use]
pub fn main() -> ExitCode {
    main_of("there is no spec under `specs/`: nothing would be checked", || {
        // Cargo starts tests in the package's folder; the variable holds where nothing else did.
        let specs = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(
            || PathBuf::from("specs"),
            |package| {
                let below = Path::new(&package).join("specs");
                let here = std::env::current_dir().is_ok_and(|here| here == Path::new(&package));
                if here { PathBuf::from("specs") } else { below }
            },
        );
        spec::load(&[specs], &|name| std::env::var(name).ok())
    })
}

/// [`main`] for specs of your own making: a test each, by their names.
///
/// It begins with what a scout and a reaper need, so let it be all that `main` does.
///
/// ```no_run
/// use portlid::Spec;
///
/// fn main() -> std::process::ExitCode {
///     portlid::harness::main_with(|| {
///         let open = [("nginx:1.29", 80), ("redis:8", 6379)];
///         open.into_iter().map(|(image, port)| Spec::image(image).allow(port).build()).collect()
///     })
/// }
/// ```
#[must_use]
pub fn main_with(specs: impl FnOnce() -> Result<Vec<Spec>, InvalidSpec>) -> ExitCode {
    main_of("there is no spec: nothing would be checked", || match specs() {
        Ok(specs) => {
            let problems = same_names(&specs);
            Loaded { specs, problems, ..Loaded::default() }
        }
        Err(error) => Loaded { problems: error.into_problems(), ..Loaded::default() },
    })
}

/// Specs that filters and reports could not tell apart.
fn same_names(specs: &[Spec]) -> Vec<Problem> {
    let mut names = HashSet::new();
    let same = specs.iter().filter(|spec| !names.insert(spec.name.as_str()));
    same.map(|spec| {
        let message = format!("`{}` is also the name of another spec", spec.name);
        let mut problem = Problem::new(&spec.source.file, message);
        problem.location = Some(spec.locate(Place::Subject));
        problem.with_hint("give one of the two another `name`")
    })
    .collect()
}

/// Runs what `load` finds; `none` says that it found nothing.
fn main_of(none: &str, load: impl FnOnce() -> Loaded) -> ExitCode {
    if let Some(code) = engine::serve_reaper() {
        return code;
    }
    if engine::is_helper() {
        return scout();
    }
    engine::enable_reaper();
    engine::enable_scout();
    let arguments = Arguments::from_args();
    if arguments.test_threads == Some(0) {
        // libtest-mimic would wait for ever.
        output::line("error: `--test-threads` must be at least 1");
        return FAILED.into();
    }
    let loaded = load();
    if !loaded.problems.is_empty() || loaded.specs.is_empty() {
        return unusable(&loaded, none, &arguments);
    }
    let outcome = run(loaded.specs, Options::default(), &arguments, output::progress());
    match outcome.signal {
        Some(number) => ExitCode::from(128_u8.saturating_add(number)),
        // What libtest passed over without a filter (`--bench`), or what no trial tells.
        None if outcome.conclusion.num_ignored > 0
            || outcome.record.is_internal_error
            || !outcome.record.left_behind.is_empty() =>
        {
            FAILED.into()
        }
        None => outcome.conclusion.exit_code(),
    }
}

/// The whole life of this executable as a scout.
#[doc(hidden)]
#[must_use]
pub fn scout() -> ExitCode {
    match runtime() {
        Some(runtime) => {
            runtime.block_on(crate::look::serve_scout());
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
        None => output::line("error: the scout cannot be started"),
    }
    // Nobody reads it; and whoever gets here by mistake must not take it for a pass.
    ExitCode::FAILURE
}

/// Lets the tests of this executable look by a scout, and clean up even if they are killed.
///
/// A scout is made of the executable that starts it. Tests with [`harness::main`] need nothing more;
/// for those with libtest's own `main`, say this once, in any file of theirs. It makes a test called
/// `portlid_scout`, which does nothing, unless portlid starts it as a scout or a reaper.
///
/// Without it only root can look, on the engine's own machine; for everyone else nothing passes.
///
/// ```no_run
/// portlid::scout!();
///
/// #[test]
/// fn nginx_opens_nothing_else() -> Result<(), Box<dyn std::error::Error>> {
///     portlid::Spec::image("nginx:1.29").allow(80).build()?.test_blocking()?;
///     Ok(())
/// }
/// ```
///
/// [`harness::main`]: crate::harness::main
#[macro_export]
macro_rules! scout {
    () => {
        #[test]
        fn portlid_scout() {
            $crate::harness::serve_in_test(concat!(
                "portlid-scout-test{",
                module_path!(),
                "::portlid_scout}"
            ));
        }
    };
}

/// The body of the test that [`scout!`](crate::scout) makes. `place` says where that test is: it
/// must be in the executable, and nothing else is asked of it.
#[doc(hidden)]
#[inline(never)]
pub fn serve_in_test(place: &str) {
    std::hint::black_box(place);
    if engine::serve_reaper().is_none() && engine::is_helper() {
        output::result(engine::MARK);
        let _ = scout();
    }
}

/// libtest's exit code of failed tests.
const FAILED: u8 = 101;

/// Specs that cannot be used, or, as `none` says, none at all: no filter makes that a pass, and nothing is started.
fn unusable(loaded: &Loaded, none: &str, arguments: &Arguments) -> ExitCode {
    let message = if loaded.problems.is_empty() {
        none.to_owned()
    } else {
        spec::render(&loaded.problems, false)
    };
    if arguments.list {
        // Whoever lists, to run each trial on its own, finds one that fails.
        let trial = Trial::test("specs", || Err(Failed::from("the specs cannot be used")));
        return libtest_mimic::run(arguments, vec![trial]).exit_code();
    }
    output::aside(&message);
    output::line("error: the specs cannot be used");
    FAILED.into()
}

/// Whether libtest's filters let the trial of that name run.
#[must_use]
pub(crate) fn is_chosen(arguments: &Arguments, name: &str) -> bool {
    let trial = Trial::test(name, || Ok(()));
    !arguments.is_filtered_out(&trial) && !arguments.is_ignored(&trial)
}

/// Runs the chosen specs, one trial each.
#[must_use]
pub(crate) fn run(
    specs: Vec<Spec>,
    options: Options,
    arguments: &Arguments,
    progress: Progress,
) -> Outcome {
    let started = Timestamp::now();
    let records: Arc<Mutex<Vec<Record>>> = Arc::default();
    let mut arguments = arguments.clone();
    arguments.test_threads.get_or_insert_with(jobs);
    let arguments = &arguments;
    let session = Arc::new(Session::new(options, progress));
    let running = Arc::new(AtomicUsize::new(0));
    let mut conclusion = None;
    let runtime = if arguments.list { None } else { runtime() };
    if let Some(runtime) = &runtime {
        runtime.spawn(listen_for_signals(Arc::clone(&session)));
    }
    if runtime.is_some() || arguments.list {
        let handle = runtime.as_ref().map(|runtime| runtime.handle().clone());
        if let Some(handle) = &handle {
            let chosen = specs.iter().filter(|spec| is_chosen(arguments, &spec.name));
            let (session, chosen) = (Arc::clone(&session), chosen.cloned().collect::<Vec<_>>());
            // One alone fetches its images itself, in its turn.
            if chosen.len() > 1 {
                handle.spawn(async move { session.fetch(&chosen).await });
            }
        }
        let trials = specs
            .into_iter()
            .map(|spec| {
                let (session, records) = (Arc::clone(&session), Arc::clone(&records));
                let (handle, running) = (handle.clone(), Arc::clone(&running));
                Trial::test(spec.name.clone(), move || {
                    let Some(handle) = handle else { return Err(Failed::from("only listed")) };
                    running.fetch_add(1, Ordering::SeqCst);
                    let record = handle.block_on(session.check(&spec));
                    running.fetch_sub(1, Ordering::SeqCst);
                    let told = told(&record);
                    match records.lock() {
                        Ok(mut records) => records.push(record),
                        Err(poisoned) => poisoned.into_inner().push(record),
                    }
                    told
                })
            })
            .collect();
        conclusion = match catch_unwind(AssertUnwindSafe(|| libtest_mimic::run(arguments, trials)))
        {
            Ok(conclusion) => Some(conclusion),
            Err(panic) => {
                broken_off(&session, &running, panic.as_ref());
                None
            }
        };
    }
    let mut specs = match records.lock() {
        Ok(mut records) => std::mem::take(&mut *records),
        Err(poisoned) => std::mem::take(&mut *poisoned.into_inner()),
    };
    specs.sort_by(|one, other| one.name.cmp(&other.name));
    let mut record = RunRecord {
        engine: session.engine_name(),
        started: Some(started),
        origin: origin(),
        specs,
        ..RunRecord::default()
    };
    if let Some(runtime) = runtime {
        record.left_behind = runtime.block_on(session.close());
        // A helper that asks for a password may never answer: it is not waited for.
        runtime.shutdown_timeout(Duration::from_secs(2));
    }
    let conclusion = conclusion.unwrap_or(Conclusion {
        num_filtered_out: 0,
        num_passed: 0,
        num_failed: 1,
        num_ignored: 0,
        num_measured: 0,
    });
    // libtest and the records must tell the same story.
    let passed = record.specs.iter().filter(|record| has_passed(record)).count() as u64;
    let all = record.specs.len() as u64;
    record.is_internal_error = !arguments.list
        && (conclusion.num_passed != passed || conclusion.num_failed != all - passed);
    // 0 is no signal: portlid itself told the specs to end.
    let signal = session.signal().filter(|&number| number != 0);
    record.signal = signal;
    record.finished = Some(Timestamp::now());
    let is_clean = running.load(Ordering::SeqCst) == 0
        && record.left_behind.is_empty()
        && record.specs.iter().all(|record| record.left_behind.is_empty());
    // Every task that held the session has ended with the runtime.
    if let Ok(session) = Arc::try_unwrap(session) {
        session.end(is_clean);
    }
    Outcome { record, signal, conclusion }
}

/// How many specs are looked at at once, unless somebody says. Most of a spec's time is waiting for
/// the engine, so more of them than cores: three times as many took a third less time than as many,
/// and beyond eight an engine takes longer for all of them (`make bench ROWS=f`).
fn jobs() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (3 * cores).clamp(4, 8)
}

/// Where the run is started, and the root of the repository that it is in: the nearest folder above
/// that holds a `.git`, else the working directory.
pub(crate) fn origin() -> Origin {
    let folder = std::env::current_dir().unwrap_or_default();
    let root = folder.ancestors().find(|above| above.join(".git").exists());
    Origin { root: root.unwrap_or(&folder).to_owned(), folder }
}

/// libtest broke, which it does if its output cannot be written. What runs is ended and removed.
fn broken_off(session: &Session, running: &AtomicUsize, panic: &(dyn Any + Send)) {
    const SIGPIPE: u8 = 13;
    let said = panic.downcast_ref::<String>().map_or("", String::as_str);
    let is_pipe = said.contains("BrokenPipe") || said.contains("Broken pipe");
    session.interrupt(if is_pipe { SIGPIPE } else { 0 });
    let deadline = Instant::now() + Duration::from_secs(60);
    while running.load(Ordering::SeqCst) > 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What everything asynchronous runs on.
pub(crate) fn runtime() -> Option<Runtime> {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().ok()
}

/// Whether a spec passed and left nothing behind.
fn has_passed(record: &Record) -> bool {
    record.verdict == Verdict::Pass && record.left_behind.is_empty()
}

/// What libtest is told of a record.
fn told(record: &Record) -> Result<(), Failed> {
    if has_passed(record) { Ok(()) } else { Err(Failed::from(text::story(record))) }
}

/// The signals that this process was started to ignore, a bit each (`SigIgn`, see `proc_pid_status(5)`).
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// The first signal ends the run after cleaning up; the second ends it at once, and the reaper
/// finishes.
pub(crate) async fn listen_for_signals(session: Arc<Session>) {
    use tokio::signal::unix::{SignalKind, signal};
    let ignored = ignored_signals();
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::quit(),
    ]
    .into_iter()
    // Whoever started us with a signal ignored (`nohup`) meant it.
    .filter(|kind| ignored >> (kind.as_raw_value() - 1) & 1 == 0);
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
