//! What a run knows in the end: one [`Record`] per spec. Every report is made from these alone.

mod evidence;

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use jiff::{Timestamp, civil::Date};
use sha2::{Digest, Sha256};

pub use self::evidence::{Evidence, LONGEST_GAP};
use crate::{
    exit::Exit,
    foreign::{Untrusted, shown},
    judgement::{Finding, Judgement, Verdict, judge},
    observation::{Answer, Observation, Owner, Owners, Socket, Spoken, Unseen},
    secrets::Secrets,
    socket::Port,
    spec::{Location, Place, Spec},
};

/// A whole run.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RunRecord {
    /// The engine in use; `None` if none answered, or none was needed.
    pub engine: Option<EngineName>,
    /// When the run began.
    pub started: Option<Timestamp>,
    /// When it was over.
    pub finished: Option<Timestamp>,
    /// Where the run was started: what the specs' paths are relative to.
    pub origin: Origin,
    /// Which part of the specs this is, if others check the rest.
    pub share: Option<Share>,
    /// One record per spec that was run, in the order of their names.
    pub specs: Vec<Record>,
    /// The signal that ended the run before its time.
    pub signal: Option<u8>,
    /// What was made for the run as a whole and could not be removed.
    pub left_behind: Vec<LeftBehind>,
    /// Whether portlid itself failed in a way that no spec's record tells.
    pub is_internal_error: bool,
}

/// A part of the specs, of which other runs check the other parts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Share {
    /// What they are split by: `hash`, `slice` or `timings`.
    pub by: &'static str,
    /// Which part it is, counted from 1.
    pub part: u64,
    /// How many parts there are.
    pub parts: u64,
    /// How many specs all parts have together.
    pub of: usize,
    /// The same for all parts, unless they were split differently: then a spec may be in none.
    pub split: String,
}

impl RunRecord {
    /// The exit status that the records call for.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let start = if self.specs.is_empty() { Exit::NothingChecked } else { Exit::Pass };
        let start = match (self.is_internal_error, self.left_behind.is_empty()) {
            (true, _) => Exit::Internal,
            (false, false) => start.and(Exit::LeftBehind),
            (false, true) => start,
        };
        let start = self.signal.map_or(start, |number| start.and(Exit::Signal(number)));
        self.specs.iter().fold(start, |exit, record| exit.and(record.exit()))
    }
}

/// Where a run was started. Reports are read by whoever knows the repository, not the folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// The working directory.
    pub folder: PathBuf,
    /// The root of the repository that it lies in.
    pub root: PathBuf,
}

/// Which engine was used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineName {
    /// Where it was reached, without credentials.
    pub endpoint: String,
    /// `docker` or `podman`.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// What became of one spec.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record {
    /// The spec's name.
    pub name: String,
    /// The spec's file, as shown.
    pub file: PathBuf,
    /// The line of that file that says what is looked at.
    pub line: usize,
    /// The SHA-256 of that file's text, in hexadecimal.
    pub spec_digest: String,
    /// The image, archive, context or container, as the spec writes it.
    pub image: String,
    /// The registry's digest of the image, else its id; `None` if it never got that far.
    pub digest: Option<String>,
    /// The engine's id of the image, which is the digest of its configuration.
    pub image_id: Option<String>,
    /// The platform of the image.
    pub platform: Option<String>,
    /// The outcome.
    pub verdict: Verdict,
    /// Why it is inconclusive.
    pub reason: Option<Reason>,
    /// When the look at this spec began.
    pub started: Option<Timestamp>,
    /// How long it took, from the first request to the last.
    pub took: Duration,
    /// What is wrong, the most severe first.
    pub findings: Vec<LocatedFinding>,
    /// The four views, joined: one row per port.
    pub ledger: Vec<LedgerRow>,
    /// What the verdict rests on; `None` if the look was not completed.
    pub evidence: Option<Evidence>,
    /// When what happened, since the start of the container; `None` if nothing was watched.
    pub timeline: Option<Timeline>,
    /// The last lines of the container's log, or of the build's, where they help to understand.
    pub log: Vec<String>,
    /// What could not be removed, each with the command that removes it.
    pub left_behind: Vec<LeftBehind>,
    /// Whether portlid itself failed.
    pub is_internal_error: bool,
}

impl Record {
    /// A record of `spec` that says no more than that it is inconclusive for `reason`.
    #[must_use]
    pub(crate) fn inconclusive(spec: &Spec, reason: Reason) -> Self {
        Self {
            name: spec.name.clone(),
            file: spec.source.file.clone(),
            line: spec.locate(Place::Subject).line,
            spec_digest: Sha256::digest(spec.source.text.as_bytes())
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            image: shown(&spec.subject.shown(), 300),
            digest: None,
            image_id: None,
            platform: None,
            verdict: Verdict::Inconclusive,
            reason: Some(reason),
            started: None,
            took: Duration::ZERO,
            findings: Vec::new(),
            ledger: Vec::new(),
            evidence: None,
            timeline: None,
            log: Vec::new(),
            left_behind: Vec::new(),
            is_internal_error: false,
        }
    }

    /// Judges a look that was completed.
    pub(crate) fn completed(&mut self, spec: &Spec, mut seen: Observation, evidence: Evidence) {
        let is_elsewhere = evidence.foreign_address().is_some();
        // The sockets are some process's of the container, but not those behind the answers: only
        // what either breaks by itself is broken.
        seen.sockets_hidden |= is_elsewhere;
        let mut judgement = judge(spec, &seen);
        if is_elsewhere {
            judgement.findings.retain(|finding| finding.rule.holds_of_a_part());
        }
        self.judged(spec, &seen, judgement, Some(evidence));
    }

    /// Takes over the outcome of a judgement. This alone makes a record pass, and only if nothing
    /// is open and the evidence lacks nothing.
    pub(crate) fn judged(
        &mut self,
        spec: &Spec,
        seen: &Observation,
        mut judgement: Judgement,
        evidence: Option<Evidence>,
    ) {
        judgement.open.extend(match &evidence {
            Some(evidence) => evidence.lacks(spec),
            None => vec![Unseen::new("the look was not completed", "run it again")],
        });
        self.evidence = evidence;
        self.verdict = judgement.verdict();
        // A rule may be broken and something else be open: both are told.
        self.reason = Reason::of(&judgement.open);
        let mut places = Places { spec, known: HashMap::new() };
        self.findings = judgement
            .findings
            .into_iter()
            .map(|finding| {
                let (location, line) = places.of(finding.place).clone();
                LocatedFinding { location, line, finding }
            })
            .collect();
        self.ledger = ledger(seen, &mut places);
    }

    /// Hides what must not be shown in everything that others said.
    ///
    /// A value that the spec itself shows elsewhere (`POSTGRES_USER: postgres`, and the image is
    /// `postgres:17`) stays in the names of processes: there it says nothing of the environment.
    pub(crate) fn hide(&mut self, secrets: &Secrets, spec: &Spec) {
        let hide = |text: &mut String| secrets.hide(text);
        self.log.iter_mut().for_each(hide);
        if let Some(reason) = &mut self.reason {
            hide(&mut reason.message);
            reason.hint.iter_mut().for_each(hide);
        }
        self.left_behind.iter_mut().for_each(|left| hide(&mut left.what));
        let named: Vec<String> = [Some(spec.subject.shown()), Some(spec.name.clone())]
            .into_iter()
            .flatten()
            .chain(spec.expose.iter().filter_map(|entry| entry.process.clone()))
            .collect();
        let is_named = |text: &str| named.iter().any(|named| named.contains(text));
        let hide_name = |text: &mut String| {
            if !is_named(text) {
                secrets.hide(text);
            }
        };
        let hidden = |owner: &Owner| {
            let mut owner = owner.clone();
            owner.executable.iter_mut().map(Untrusted::raw_mut).for_each(hide_name);
            hide_name(owner.name.raw_mut());
            owner
        };
        for LocatedFinding { finding, line, .. } in &mut self.findings {
            let names: BTreeSet<String> =
                finding.owners.iter().map(|owner| owner.shown().raw().to_owned()).collect();
            // What is quoted there beside the names of processes are the first bytes of an answer.
            if !names.iter().any(|name| is_named(name) && secrets.hidden(name) != *name) {
                hide(&mut finding.message);
                hide(&mut finding.help);
            }
            hide(line);
            finding.owners = finding.owners.iter().map(hidden).collect();
        }
        for socket in self.ledger.iter_mut().flat_map(|row| &mut row.listening) {
            if let Owners::Processes(owners) = &mut socket.owners {
                *owners = owners.iter().map(hidden).collect();
            }
        }
    }

    /// The exit status that this record alone calls for.
    #[must_use]
    pub fn exit(&self) -> Exit {
        if self.is_internal_error {
            Exit::Internal
        } else if self.verdict == Verdict::Pass && !self.left_behind.is_empty() {
            Exit::LeftBehind
        } else {
            self.verdict.into()
        }
    }
}

/// Why a spec is inconclusive. Safe to print: made by the one escaper where
/// it repeats what others said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reason {
    /// What could not be done, and its causes.
    pub message: String,
    /// The next thing to do.
    pub hint: Option<String>,
}

/// A finding and where its place stands in the spec's file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LocatedFinding {
    /// The line and column.
    pub location: Location,
    /// The text of that line, safe to print.
    pub line: String,
    /// The finding.
    pub finding: Finding,
}

impl Reason {
    /// All that is open, in one reason; `None` if nothing is.
    fn of(open: &[Unseen]) -> Option<Self> {
        let joined = |each: fn(&Unseen) -> &str| {
            let mut parts: Vec<&str> = Vec::new();
            for part in open.iter().map(each) {
                if !parts.contains(&part) {
                    parts.push(part);
                }
            }
            parts.join("; ")
        };
        (!open.is_empty())
            .then(|| Self { message: joined(|it| &it.what), hint: Some(joined(|it| &it.hint)) })
    }
}

/// One port in all four views.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LedgerRow {
    /// The port.
    pub port: Port,
    /// Whether the image declares it.
    pub declared: bool,
    /// Where the engine binds it on the host.
    pub published: Vec<SocketAddr>,
    /// What a neighbour is answered; `None` if that is not known.
    pub reachable: Option<Answer>,
    /// The sockets that accept its traffic.
    pub listening: Vec<Socket>,
    /// What it was found to speak; `None` if it was not asked.
    pub spoken: Option<Spoken>,
    /// When it was first noticed that nothing listened any more, since the start of the container.
    pub lost: Option<Duration>,
    /// The line of the entry that allows it.
    pub entry_line: Option<usize>,
    /// What that entry says about itself.
    pub allowance: Allowance,
}

/// Why a port may be open, as the spec writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Allowance {
    /// Why it is open.
    pub why: Option<Untrusted>,
    /// Who answers for it.
    pub owner: Option<Untrusted>,
    /// The last day of the allowance, in UTC.
    pub until: Option<Date>,
}

/// When what happened, since the start of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeline {
    /// When the tables were read for the first time.
    pub from: Duration,
    /// When the container was ready; `None` if it never was.
    pub ready: Option<Duration>,
    /// When the watch began: at readiness, or when the time to become ready was up; `None` if it
    /// never began.
    pub watched_from: Option<Duration>,
    /// When the tables were read for the last time.
    pub until: Duration,
}

/// Something that could not be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftBehind {
    /// What it is, safe to print.
    pub what: String,
    /// The command that removes it.
    pub remove_with: String,
}

/// Where places stand in the spec's file. Each is looked for once: that costs a parse of the file,
/// and an image can declare every port there is.
struct Places<'a> {
    spec: &'a Spec,
    known: HashMap<Place, (Location, String)>,
}

impl Places<'_> {
    fn of(&mut self, place: Place) -> &(Location, String) {
        self.known.entry(place).or_insert_with(|| self.spec.line_of(place))
    }
}

/// Joins the four views: one row per port that any of them knows, and per required port.
fn ledger(seen: &Observation, places: &mut Places<'_>) -> Vec<LedgerRow> {
    let spec = places.spec;
    let mut ports: BTreeSet<Port> = seen.ports();
    ports.extend(spec.required().map(|(_, port)| port));
    ports
        .into_iter()
        .filter_map(|port| {
            let sockets = || seen.sockets_of(port);
            let declared = seen.declared.contains(&port);
            // The engine's own sockets are not the image's doing.
            if !declared && sockets().next().is_some() && sockets().all(Socket::is_of_engine) {
                return None;
            }
            let entry = spec.entry_for(port);
            Some(LedgerRow {
                port,
                declared,
                published: seen
                    .published
                    .iter()
                    .filter(|published| published.port == port)
                    .map(crate::observation::Published::on_host)
                    .collect(),
                reachable: seen.scan.answer(port),
                listening: sockets().filter(|it| !it.is_of_engine()).cloned().collect(),
                spoken: seen.spoken.get(&port).copied(),
                lost: seen.lost.get(&port).copied(),
                entry_line: entry.map(|(index, _)| places.of(Place::Entry(index)).0.line),
                allowance: entry.map_or_else(Allowance::default, |(_, entry)| Allowance {
                    why: entry.why.clone().map(Untrusted::from),
                    owner: entry.owner.clone().map(Untrusted::from),
                    until: entry.until,
                }),
            })
        })
        .collect()
}
