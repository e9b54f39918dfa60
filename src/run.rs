//! The shell: from a spec to its record, one stage after the other.
//!
//! The only place where the stages meet. What it knows of the engine and of the look is their
//! results; whatever happens, what was made is removed before the record is given out.

mod alone;
mod asking;
mod fetch;
mod observe;
mod readiness;
mod reasons;
mod start;

use std::{
    any::Any,
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::sync::{OnceCell, watch};

use self::reasons::{cannot_see, internal, is_deadline, reason};
use crate::{
    engine::{Engine, EngineError, Image, Scene, patience},
    judgement::{Verdict, judge},
    look::{Eyes, LookError, Scout, Seen, Sighting},
    observation::Observation,
    progress::{Event, Progress},
    record::{EngineName, LONGEST_GAP, LeftBehind, Reason, Record, Timeline},
    rule::{Level, Rule},
    secrets::Secrets,
    spec::{Scan, Spec, Subject},
};

pub use crate::engine::PullPolicy;

/// What is said beyond the specs: the options of the command line.
///
/// ```
/// use portlid::run::{LookFrom, Options};
///
/// let mut options = Options::default();
/// options.look = LookFrom::Scout;
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// The engine's endpoint.
    pub engine: Option<String>,
    /// Where the look is done.
    pub look: LookFrom,
    /// When images are pulled.
    pub pull: PullPolicy,
    /// Replaces every spec's `watch`.
    pub watch: Option<Duration>,
    /// Replaces every spec's `scan`.
    pub scan: Option<Scan>,
    /// Images that replace those of the specs of these names.
    pub images: BTreeMap<String, String>,
}

/// Where the look is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LookFrom {
    /// In this process where it can see for itself, else by a scout.
    #[default]
    Auto,
    /// In this process.
    Here,
    /// By a scout: a helper container beside the subjects.
    Scout,
}

/// One run over many specs: they share the engine, its reaper and the positive control.
pub struct Session {
    options: Options,
    progress: Progress,
    secrets: Arc<Secrets>,
    engine: OnceCell<Result<Engine, Arc<EngineError>>>,
    /// This process's own eyes, once they were seen to work.
    here: OnceCell<Result<Seen, LookError>>,
    /// The scout, once one was needed.
    scout: OnceCell<Result<Eyes, Arc<Stop>>>,
    /// Whether this process turned out not to see the containers.
    is_blind: AtomicBool,
    interrupted: watch::Sender<Option<u8>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What stopped a look.
#[derive(Debug)]
enum Stop {
    Engine(EngineError),
    Look(LookError),
    /// What stopped an earlier spec of the run, too.
    Shared(Arc<Self>),
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<LookError> for Stop {
    fn from(error: LookError) -> Self {
        Self::Look(error)
    }
}

/// What is known of a spec while it is being looked at.
struct Notes {
    record: Record,
    /// The container whose log explains most at the moment.
    container: Option<String>,
    /// What had been seen when the look was broken off.
    partial: Option<Observation>,
    /// Whether the subject was ready.
    is_ready: bool,
}

impl Notes {
    fn of(&mut self, image: &Image) {
        self.record.digest = Some(image.digest.clone());
        self.record.image_id = Some(image.id.clone());
        self.record.platform.clone_from(&image.platform);
    }

    fn watched(&mut self, sighting: &Sighting) {
        self.record.timeline = Some(Timeline {
            from: sighting.from,
            ready: sighting.watched_from.filter(|_| self.is_ready),
            watched_from: sighting.watched_from,
            until: sighting.until,
        });
    }
}

impl Session {
    /// A run that has not begun: nothing is connected to or started yet.
    #[must_use]
    pub fn new(options: Options, progress: Progress) -> Self {
        Self {
            options,
            progress,
            secrets: Arc::default(),
            engine: OnceCell::new(),
            here: OnceCell::new(),
            scout: OnceCell::new(),
            is_blind: AtomicBool::new(false),
            interrupted: watch::Sender::new(None),
        }
    }

    fn tell(&self, spec: &str, event: Event<'_>) {
        (self.progress)(spec, event);
    }

    /// Tells every spec to end, because of that signal.
    pub fn interrupt(&self, signal: u8) {
        self.interrupted.send_if_modified(|now| now.replace(signal).is_none());
    }

    /// The signal that ended the run.
    #[must_use]
    pub fn signal(&self) -> Option<u8> {
        *self.interrupted.borrow()
    }

    /// The engine in use, once one was needed and answered.
    #[must_use]
    pub fn engine_name(&self) -> Option<EngineName> {
        self.engine.get()?.as_ref().ok().map(|engine| engine.name().clone())
    }

    /// Looks at one spec's image and judges what was seen. Never fails: what goes wrong is told by
    /// the record.
    pub async fn check(&self, spec: &Spec) -> Record {
        let (begun, started) = (Instant::now(), Timestamp::now());
        let spec = self.overridden(spec);
        for (name, value) in secrets(&spec) {
            self.secrets.keep(name, value);
        }
        let mut record =
            match AssertUnwindSafe(self.check_unless_broken(&spec)).catch_unwind().await {
                Ok(record) => record,
                Err(panic) => self.broken(&spec, panic.as_ref()),
            };
        record.hide(&self.secrets, &spec);
        record.started = Some(started);
        record.took = begun.elapsed();
        self.tell(&spec.name, Event::Over);
        record
    }

    async fn check_unless_broken(&self, spec: &Spec) -> Record {
        let mut interrupted = self.interrupted.subscribe();
        // Meanwhile, because the engine takes a while to say what it is.
        let ready = async {
            let opening = async {
                if self.may_look_here() {
                    // What comes of it is asked for later.
                    let _ = self.own_eyes().await;
                }
            };
            tokio::join!(self.ready_engine(), opening).0
        };
        let engine = tokio::select! {
            biased;
            _ = interrupted.wait_for(Option::is_some) => Err(EngineError::Interrupted),
            engine = ready => engine,
        };
        match engine {
            Ok(engine) => {
                let was_here = self.looks_here(engine);
                let (record, cannot_see) = self.check_patiently(engine, spec).await;
                let may_see_more = was_here && self.options.look == LookFrom::Auto;
                if !(cannot_see && may_see_more) {
                    return record;
                }
                // Once more from its beginning, by a scout, who sees from the first moment on.
                self.is_blind.store(true, Ordering::Relaxed);
                let (again, _) = self.check_patiently(engine, spec).await;
                // What is broken is broken, whatever the scout sees; but it knows more of it.
                let is_first = record.verdict == Verdict::Fail && again.verdict != Verdict::Fail;
                let (mut told, other) = if is_first { (record, again) } else { (again, record) };
                told.left_behind.extend(other.left_behind);
                told
            }
            Err(error) => Record::inconclusive(spec, reason(&Stop::Engine(error))),
        }
    }

    /// Looks once more, and if need be twice, where the machine had been too busy for the look.
    async fn check_patiently(&self, engine: &Engine, spec: &Spec) -> (Record, bool) {
        let mut left_behind = Vec::new();
        let mut tries = 0;
        loop {
            let (mut record, cannot_see) = self.check_with(engine, spec).await;
            tries += 1;
            if tries < TRIES && was_interrupted(&record, spec) && self.signal().is_none() {
                left_behind.append(&mut record.left_behind);
                self.tell(&spec.name, Event::Line("the machine is overloaded: looking once more"));
                continue;
            }
            record.left_behind.extend(left_behind);
            return (record, cannot_see);
        }
    }

    /// The record of a spec whose check broke, and of whose containers nothing is known.
    fn broken(&self, spec: &Spec, panic: &(dyn Any + Send)) -> Record {
        let mut record = Record::inconclusive(spec, internal(panic));
        record.is_internal_error = true;
        if let Some(Ok(engine)) = self.engine.get() {
            let (name, run) = (&engine.name().name, engine.run());
            record.left_behind.push(LeftBehind {
                what: "perhaps what it had started".to_owned(),
                remove_with: format!(
                    "{name} rm -f -v $({name} ps -aq --filter label=dev.portlid.run={run})"
                ),
            });
        }
        record
    }

    /// Removes what was made for all specs together, and tells what could not be.
    pub async fn close(&self) -> Vec<LeftBehind> {
        match self.engine.get() {
            Some(Ok(engine)) => {
                let mut left = engine.clear().await;
                left.iter_mut().for_each(|left| self.secrets.hide(&mut left.what));
                left
            }
            Some(Err(_)) | None => Vec::new(),
        }
    }

    /// Ends the run: lets the reaper go if nothing was left behind.
    pub fn end(self, is_clean: bool) {
        if let Some(Ok(engine)) = self.engine.into_inner() {
            engine.end(is_clean);
        }
    }

    /// The spec as the command line changes it.
    fn overridden(&self, spec: &Spec) -> Spec {
        let mut spec = spec.clone();
        if let Some(reference) = self.options.images.get(&spec.name) {
            spec.subject = Subject::Image(reference.clone());
        }
        spec.watch = self.options.watch.unwrap_or(spec.watch);
        spec.scan = self.options.scan.unwrap_or(spec.scan);
        spec
    }

    /// The engine, answering.
    async fn ready_engine(&self) -> Result<&Engine, EngineError> {
        let engine = self.engine().await?;
        engine.is_back().await?;
        Ok(engine)
    }

    async fn engine(&self) -> Result<&Engine, EngineError> {
        let connect = || async {
            let asked = self.options.engine.as_deref();
            let (progress, secrets) = (Arc::clone(&self.progress), Arc::clone(&self.secrets));
            let connected = Engine::connect(asked, progress, secrets).await;
            if let Ok(engine) = &connected {
                let name = engine.name();
                let line = format!(
                    "engine: {} {} at {} ({})",
                    name.name,
                    name.version,
                    name.endpoint,
                    engine.named_by()
                );
                self.tell("", Event::Line(&line));
            }
            connected.map_err(Arc::new)
        };
        match self.engine.get_or_init(connect).await {
            Ok(engine) => Ok(engine),
            Err(error) => Err(EngineError::Shared(Arc::clone(error))),
        }
    }

    /// Whether the look is done in this process.
    fn looks_here(&self, engine: &Engine) -> bool {
        match self.options.look {
            LookFrom::Auto => {
                self.may_look_here() && engine.is_local() && !self.is_blind.load(Ordering::Relaxed)
            }
            LookFrom::Here | LookFrom::Scout => self.may_look_here(),
        }
    }

    /// What this process's own eyes see of its own listener.
    async fn own_eyes(&self) -> &Result<Seen, LookError> {
        self.here.get_or_init(|| Eyes::Here.control()).await
    }

    /// Whether the look may turn out to be done in this process.
    fn may_look_here(&self) -> bool {
        match self.options.look {
            LookFrom::Here => true,
            LookFrom::Scout => false,
            // Only root sees what other users' processes hold.
            LookFrom::Auto => rustix::process::geteuid().is_root(),
        }
    }

    /// Who looks, with their positive control seen.
    async fn eyes(&self, engine: &Engine) -> Result<Eyes, Stop> {
        if self.looks_here(engine) {
            self.own_eyes().await.clone()?;
            return Ok(Eyes::Here);
        }
        let start = || async {
            let (input, output) = engine.start_helper().await.map_err(Stop::from)?;
            let eyes = Eyes::Far(Arc::new(Scout::new(input, output, patience())));
            eyes.control().await.map_err(Stop::from)?;
            Ok(eyes)
        };
        let scout = self.scout.get_or_init(|| async { start().await.map_err(Arc::new) }).await;
        scout.clone().map_err(Stop::Shared)
    }

    /// The record of the spec, and whether nobody here could see the container.
    async fn check_with(&self, engine: &Engine, spec: &Spec) -> (Record, bool) {
        let mut scene = Scene::new(engine, &spec.name);
        let mut notes = Notes {
            record: Record::inconclusive(
                spec,
                Reason { message: "it was not looked at".to_owned(), hint: None },
            ),
            container: None,
            partial: None,
            is_ready: false,
        };
        let mut interrupted = self.interrupted.subscribe();
        let outcome = {
            let observed = AssertUnwindSafe(self.observe(&mut scene, spec, &mut notes));
            tokio::select! {
                biased;
                _ = interrupted.wait_for(Option::is_some) => {
                    Ok(Err(Stop::Engine(EngineError::Interrupted)))
                }
                outcome = observed.catch_unwind() => outcome,
            }
        };
        let container = notes.container.take();
        let mut record = notes.record;
        let mut is_blind = false;
        match outcome {
            Ok(Ok((seen, evidence))) => record.completed(spec, seen, evidence),
            Ok(Err(stop)) => {
                stopped(&mut record, spec, notes.partial.as_ref(), &stop);
                if is_deadline(&stop) {
                    engine.note_stalled();
                }
                is_blind = cannot_see(&stop);
                if let Stop::Engine(error) = &stop {
                    record.log = error.log().to_vec();
                }
            }
            Err(panic) => {
                record.is_internal_error = true;
                record.reason = Some(internal(panic.as_ref()));
            }
        }
        let was_interrupted = self.signal().is_some();
        if let Some(container) = container
            && record.log.is_empty()
            && !was_interrupted
            && !engine.is_stalled()
            && log_would_help(&record)
        {
            record.log = scene.log(&container).await;
        }
        self.tell(&spec.name, Event::Now("removing"));
        record.left_behind = scene.clear().await;
        (record, is_blind)
    }
}

/// How many times a spec is looked at, at most, if the machine is too busy.
const TRIES: u32 = 3;

/// Whether all that speaks against the look is that it was interrupted for too long. What an
/// exploring spec finds speaks against nothing.
fn was_interrupted(record: &Record, spec: &Spec) -> bool {
    let gap = record.evidence.as_ref().map(|evidence| evidence.longest_gap);
    (record.verdict == Verdict::Inconclusive || spec.explores())
        && gap.is_some_and(|gap| gap > LONGEST_GAP)
}

/// The record of a look that was broken off. What was seen until then still counts: a rule that it
/// breaks is broken.
fn stopped(record: &mut Record, spec: &Spec, partial: Option<&Observation>, stop: &Stop) {
    if let Some(seen) = partial {
        let mut judgement = judge(spec, seen);
        judgement.findings.retain(|finding| finding.rule.holds_of_a_part());
        if judgement.findings.iter().any(|finding| finding.level == Level::Fail) {
            record.judged(spec, seen, judgement, None);
        }
    }
    record.reason = Some(reason(stop));
}

/// Whether the log of the container may tell why it is as it is.
fn log_would_help(record: &Record) -> bool {
    record.verdict == Verdict::Inconclusive
        || record.findings.iter().any(|located| {
            matches!(
                located.finding.rule,
                Rule::MissingListener | Rule::Flapping | Rule::WrongProtocol
            )
        })
}

/// Every value that the spec keeps secret: of environments and build arguments.
fn secrets(spec: &Spec) -> impl Iterator<Item = (&String, &String)> {
    let runs = spec.needs.iter().map(|companion| &companion.run).chain([&spec.run]);
    let subjects = spec.needs.iter().map(|companion| &companion.subject).chain([&spec.subject]);
    let args = subjects.filter_map(|subject| match subject {
        Subject::Build(build) => Some(&build.args),
        Subject::Image(_) | Subject::Archive(_) | Subject::Container(_) => None,
    });
    runs.map(|run| &run.env).chain(args).flatten()
}
