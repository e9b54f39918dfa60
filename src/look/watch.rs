//! Watching a container's sockets: a thread of its own reads the tables again and again.
//!
//! It glances at cheap counters every 10 ms. As soon as they change the tables are read, and without
//! a change every 50 ms. Anything seen once counts. An error is final: whoever asks from then on gets it, and what had been seen
//! before it. Nothing is ever read from the container's files, and nothing is sent to it.

mod clerk;
mod ending;
mod ledger;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use self::{
    clerk::{Clerk, Found},
    ledger::{Accepting, Ledger},
};
use super::{
    Target,
    error::LookError,
    glance::Glance,
    owners::census,
    process::{Identity, Subject, TableState, hurry},
    tables::Table,
};
use crate::{observation::Socket, socket::Port};

/// How often the namespace is glanced at: often enough that a listener of a few hundredths of a
/// second is seen.
const GLANCE: Duration = Duration::from_millis(10);
/// How long reading the tables may be put off while a glance says that something has changed.
const CHANGED: (Duration, Duration) = (GLANCE, Duration::from_millis(50));
/// How long it is put off while every glance says that nothing has. Whatever listens for longer
/// than that is seen even if the counters are of no use: two sockets that change places leave them
/// as they were.
const UNCHANGED: Duration = Duration::from_millis(50);
/// How many times as long as it took the thread rests after reading because of a change, within
/// those limits.
const RESTS_IF_CHANGED: u32 = 9;
/// The same after looking up owners.
const RESTS_AFTER_CENSUS: u32 = 4;

/// What was seen of a container's sockets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sighting {
    /// The container that was asked for.
    pub container: String,
    /// Every socket that accepted traffic at any moment, ordered by port and address.
    pub sockets: Vec<Socket>,
    /// Ports that had a socket and had none in two samples of the watch phase that follow each
    /// other: when that was first noticed, since the start of the container.
    pub lost: BTreeMap<Port, Duration>,
    /// How many times all tables were read.
    pub samples: u32,
    /// How many times, besides, the counters said that nothing had changed.
    pub glances: u32,
    /// From the beginning of the watch phase to the last sample; zero if it never began.
    pub watched: Duration,
    /// The first sample, since the start of the container.
    pub from: Duration,
    /// When the watch phase began, since the start of the container.
    pub watched_from: Option<Duration>,
    /// The last sample, since the start of the container.
    pub until: Duration,
    /// The longest time between two samples or glances.
    pub longest_gap: Duration,
    /// The inode of the network namespace that was read.
    pub netns: u64,
    /// Whether the process is known to be of the container.
    pub identity: Identity,
    /// Whether a process of the container was in another network namespace, whose sockets were not
    /// seen.
    pub elsewhere: bool,
    /// Which tables were read.
    pub tables: BTreeMap<Table, TableState>,
    /// Whether, in the end, every process of the container could be looked through.
    pub searched: bool,
    /// The addresses that the namespace had in the end; none before that.
    pub addresses: BTreeSet<IpAddr>,
    /// Whether the kernel's own counters bear out the tables; `None` if that was not to be known.
    pub counters_agree: Option<bool>,
}

/// What is true at the moment, for those who wait for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The ports that have a socket in the latest sample, on whatever address.
    pub listening: BTreeSet<Port>,
    /// Why the watch ended by itself, if it did.
    pub ended: Option<LookError>,
}

/// A watch over one container. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
}

/// What the watching thread can be told.
#[derive(Debug)]
enum Command {
    BeginWatchPhase(oneshot::Sender<()>),
    SeekOwners,
    SoFar(oneshot::Sender<Sighting>),
    Finish(oneshot::Sender<Result<Sighting, LookError>>),
}

impl Watch {
    /// Checks who the target is, takes the first sample, and goes on in a thread of its own.
    ///
    /// # Errors
    ///
    /// If the process is not there or not the container's, if its network namespace is the looker's
    /// or the host's, or if a table cannot be read.
    pub fn begin(target: &Target) -> Result<Self, LookError> {
        Self::begin_with(target, Eyes::open(target)?)
    }

    /// The same over a process that is about to become the container's program. It was not there
    /// when it was last looked for, at `looked`; owners are not sought until it has.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub(super) fn begin_early(target: &Target, looked: Instant) -> Result<Self, LookError> {
        let mut eyes = Eyes::open(target)?;
        eyes.last_glance = looked;
        eyes.seeks_owners = false;
        Self::begin_with(target, eyes)
    }

    fn begin_with(target: &Target, mut eyes: Eyes) -> Result<Self, LookError> {
        eyes.clerk = Some(Clerk::start(target, &eyes.subject)?);
        let (publish, status) = watch::channel(Status::default());
        let (commands, orders) = mpsc::channel();
        eyes.sample()?;
        publish_sample(&publish, &eyes);
        thread::Builder::new()
            .name("portlid-look".to_owned())
            .spawn(move || {
                hurry();
                watching(eyes, &orders, &publish);
            })
            .map_err(|error| LookError::Internal { what: format!("no thread: {error}") })?;
        Ok(Self { commands, status })
    }

    /// The ports that have a socket in the latest sample, on whatever address.
    #[must_use]
    pub fn listening(&self) -> BTreeSet<Port> {
        self.status.borrow().listening.clone()
    }

    /// Why the watch ended by itself, if it did.
    #[must_use]
    pub fn ended(&self) -> Option<LookError> {
        self.status.borrow().ended.clone()
    }

    /// A receiver that wakes whenever the set of listening ports changes, or the watch ends.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Waits until the listening ports are as `wanted`. Without a time limit: the caller has one.
    ///
    /// # Errors
    ///
    /// If the watch ends before.
    pub async fn wait_until(
        &self,
        mut wanted: impl FnMut(&BTreeSet<Port>) -> bool,
    ) -> Result<(), LookError> {
        let mut status = self.status.clone();
        let status = status
            .wait_for(|status| status.ended.is_some() || wanted(&status.listening))
            .await
            .map_err(|_| stopped())?;
        match &status.ended {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// From now on owners are sought.
    pub(super) fn seek_owners(&self) {
        // If the thread is gone, `finish` says so.
        let _ = self.commands.send(Command::SeekOwners);
    }

    /// Begins the watch phase: from then on a port without a socket counts as lost. It has begun
    /// when this returns, so that nobody counts time in which nobody watched.
    ///
    /// # Errors
    ///
    /// If the watching thread broke.
    pub async fn begin_watch_phase(&self) -> Result<(), LookError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::BeginWatchPhase(reply)).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())
    }

    /// What has been seen until now, even if the watch has ended with an error.
    ///
    /// # Errors
    ///
    /// If the watching thread broke.
    pub async fn so_far(&self) -> Result<Sighting, LookError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::SoFar(reply)).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())
    }

    /// Takes a last sample, looks up all owners once more, and checks that the process is still the
    /// same, runs, and is in the same namespace.
    ///
    /// # Errors
    ///
    /// If that is not so, or if anything failed since the beginning.
    pub async fn finish(self) -> Result<Sighting, LookError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Finish(reply)).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

fn stopped() -> LookError {
    LookError::Internal { what: "the watching thread is gone".to_owned() }
}

/// The thread: samples, sleeps, obeys.
fn watching(mut eyes: Eyes, orders: &mpsc::Receiver<Command>, publish: &watch::Sender<Status>) {
    let mut failed: Option<LookError> = None;
    loop {
        let order = if failed.is_some() {
            orders.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected)
        } else {
            orders.recv_timeout(eyes.rest())
        };
        let outcome = match order {
            Ok(Command::BeginWatchPhase(reply)) => {
                eyes.ledger.begin_watch_phase(eyes.started.elapsed());
                let _ = reply.send(());
                Ok(())
            }
            Ok(Command::SeekOwners) => {
                eyes.seeks_owners = true;
                Ok(())
            }
            Ok(Command::SoFar(reply)) => {
                // Nobody may be waiting any more; that is their affair.
                let _ = reply.send(eyes.sighting());
                Ok(())
            }
            Ok(Command::Finish(reply)) => {
                let result = match failed {
                    Some(error) => Err(error),
                    None => eyes.finish(),
                };
                let _ = reply.send(result);
                return;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => eyes.glance_or_sample(),
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        };
        match outcome {
            Ok(()) => publish_sample(publish, &eyes),
            Err(error) => {
                publish.send_modify(|status| {
                    status.listening.clear();
                    status.ended = Some(error.clone());
                });
                failed = Some(error);
            }
        }
    }
}

fn publish_sample(publish: &watch::Sender<Status>, eyes: &Eyes) {
    publish.send_if_modified(|status| {
        let changed = status.ended.is_none() && status.listening != *eyes.ledger.listening();
        if changed {
            status.listening.clone_from(eyes.ledger.listening());
        }
        changed
    });
}

/// Everything that one sample needs.
struct Eyes {
    proc_root: PathBuf,
    subject: Subject,
    /// When the container started.
    started: Instant,
    /// When the look began, since then.
    began: Duration,
    ledger: Ledger,
    tables: BTreeMap<Table, TableState>,
    /// How many rows each table had in the latest sample.
    rows: [u64; Table::ALL.len()],
    /// The sockets of the latest sample; kept to spare an allocation.
    accepting: Vec<Accepting>,
    last_sample: Instant,
    last_glance: Instant,
    /// The counters before the latest sample; `None` if they changed while it was taken, or if
    /// there are none.
    settled: Option<Glance>,
    glance: Glance,
    glances: u32,
    longest_gap: Duration,
    /// Whether a process of the container was seen in another network namespace.
    elsewhere: bool,
    /// Whether any search was complete; in the end, any of the last.
    searched: bool,
    /// The addresses of the namespace, once they were read.
    addresses: BTreeSet<IpAddr>,
    counters_agree: Option<bool>,
    /// How long the latest sample took, owners not counted.
    cost: Duration,
    next_census: Instant,
    /// Whether owners are sought at all. While an engine starts a container, its own processes are
    /// about, in namespaces of theirs.
    seeks_owners: bool,
    /// Who looks up owners; without it this thread does.
    clerk: Option<Clerk>,
}

impl Eyes {
    fn open(target: &Target) -> Result<Self, LookError> {
        let now = Instant::now();
        let subject = Subject::open(&target.proc_root, target.pid, &target.container)?;
        subject.require_own_namespace(&target.proc_root)?;
        Ok(Self {
            proc_root: target.proc_root.clone(),
            subject,
            started: now.checked_sub(target.age).unwrap_or(now),
            began: target.age,
            ledger: Ledger::default(),
            tables: BTreeMap::new(),
            rows: [0; Table::ALL.len()],
            accepting: Vec::new(),
            last_sample: now,
            last_glance: now,
            settled: None,
            glance: Glance::default(),
            glances: 0,
            longest_gap: Duration::ZERO,
            elsewhere: false,
            searched: false,
            addresses: BTreeSet::new(),
            counters_agree: None,
            cost: Duration::ZERO,
            next_census: now,
            seeks_owners: true,
            clerk: None,
        })
    }

    /// How long to sleep now.
    fn rest(&self) -> Duration {
        GLANCE.saturating_sub(self.last_glance.elapsed())
    }

    /// Reads the tables if it is time, or if the counters say that something has changed.
    fn glance_or_sample(&mut self) -> Result<(), LookError> {
        let changed = self.has_changed();
        let due = if changed {
            (self.cost * RESTS_IF_CHANGED).clamp(CHANGED.0, CHANGED.1)
        } else {
            UNCHANGED
        };
        // The glances come every `GLANCE`; what would be due shortly before the next is due now.
        let due = due.saturating_sub(GLANCE / 2);
        if self.last_sample.elapsed() >= due {
            return self.sample();
        }
        let checked = self.subject.check();
        checked.map_err(|error| self.explain(error))?;
        self.note_glance();
        if !changed {
            self.glances = self.glances.saturating_add(1);
        }
        Ok(())
    }

    /// Whether the tables may hold something else than in the latest sample.
    fn has_changed(&mut self) -> bool {
        // A port that was missed once is looked for again, since a sample can miss what is there;
        // and an owner that is still sought needs a sample to be sought again.
        if self.ledger.has_doubts() {
            return true;
        }
        let Some(settled) = &self.settled else { return true };
        !self.subject.glance(&mut self.glance) || self.glance != *settled
    }

    fn note_glance(&mut self) {
        let now = Instant::now();
        self.longest_gap = self.longest_gap.max(now.duration_since(self.last_glance));
        self.last_glance = now;
    }

    fn sample(&mut self) -> Result<(), LookError> {
        self.read_or_explain()?;
        if let Some(found) = self.clerk.as_mut().and_then(Clerk::found) {
            self.take_in(&found);
        }
        if !self.seeks_owners || self.last_sample < self.next_census {
            return Ok(());
        }
        let pending = self.ledger.pending();
        match &mut self.clerk {
            Some(clerk) if !clerk.is_searching() && !pending.is_empty() => clerk.seek(pending),
            Some(_) => {}
            None => self.look_up(&pending),
        }
        Ok(())
    }

    /// Reads all tables, between two checks that the process is there and in its namespace.
    fn read(&mut self) -> Result<(), LookError> {
        let began = Instant::now();
        self.last_sample = began;
        self.note_glance();
        self.subject.check()?;
        let before = self.subject.glance(&mut self.glance).then(|| self.glance.clone());
        self.accepting.clear();
        let (accepting, rows) = (&mut self.accepting, &mut self.rows);
        rows.fill(0);
        let states = self.subject.read_tables(|row| {
            rows[row.table as usize] += 1;
            if row.accepts() {
                accepting.push(Accepting {
                    port: row.bound_to(),
                    address: row.local,
                    inode: row.inode,
                });
            }
        })?;
        self.subject.check()?;
        for (table, state) in Table::ALL.into_iter().zip(states) {
            // A kernel module may come during the watch, and its table with it.
            let known = self.tables.entry(table).or_insert(state);
            if state == TableState::Read {
                *known = state;
            } else if *known == TableState::Read {
                return Err(LookError::MissingTable { table });
            }
        }
        // SCTP has no counters: where it is, glances say nothing.
        let has_counters = self.tables.get(&Table::Sctp) == Some(&TableState::NotInKernel);
        let after = self.subject.glance(&mut self.glance).then_some(&self.glance);
        self.settled = before.filter(|before| has_counters && Some(before) == after);
        self.cost = began.elapsed();
        self.ledger.note(self.started.elapsed(), &self.accepting);
        Ok(())
    }

    fn look_up(&mut self, inodes: &BTreeSet<u64>) {
        if !inodes.is_empty() {
            self.search(inodes);
        }
    }

    /// Looks through every process of the container.
    fn search(&mut self, inodes: &BTreeSet<u64>) {
        let began = Instant::now();
        let census = census(&self.proc_root, &self.subject, inodes);
        self.take_in(&Found { sought: inodes.clone(), census, took: began.elapsed() });
    }

    fn take_in(&mut self, found: &Found) {
        self.elsewhere |= found.census.elsewhere;
        self.searched |= found.census.complete;
        self.ledger.attribute(&found.sought, &found.census);
        self.next_census = Instant::now() + found.took * RESTS_AFTER_CENSUS;
    }

    fn read_or_explain(&mut self) -> Result<(), LookError> {
        self.read().map_err(|error| self.explain(error))
    }

    /// An error that came because the process has ended is reported as that. Until now nobody
    /// looked: that counts as a gap, however it ended.
    fn explain(&mut self, error: LookError) -> LookError {
        self.note_glance();
        let ended =
            matches!(error, LookError::NoProcess { .. }) || self.subject.process().has_ended();
        if ended {
            LookError::Gone {
                pid: self.subject.pid(),
                after: self.started.elapsed(),
                seen: Box::new(self.sighting()),
            }
        } else {
            error
        }
    }

    fn sighting(&self) -> Sighting {
        Sighting {
            container: self.subject.container().to_owned(),
            sockets: self.ledger.sockets(),
            lost: self.ledger.lost().clone(),
            samples: self.ledger.samples(),
            glances: self.glances,
            watched: self.ledger.watched(),
            from: self.began,
            watched_from: self.ledger.watch_phase(),
            until: self.ledger.last(),
            longest_gap: self.longest_gap,
            netns: self.subject.netns(),
            identity: self.subject.identity(),
            elsewhere: self.elsewhere,
            tables: self.tables.clone(),
            searched: self.searched,
            addresses: self.addresses.clone(),
            counters_agree: self.counters_agree,
        }
    }
}

#[cfg(test)]
mod blindings;
#[cfg(test)]
mod tests;
