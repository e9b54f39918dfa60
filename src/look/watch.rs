//! Watching a container's sockets: a thread of its own reads the tables again and again.
//!
//! It glances at cheap counters every 10 ms, or 20 ms once nothing changed for a while. As soon as
//! they change the sockets are read, and without a change every 100 ms; where that takes whole tables,
//! it is put off for up to 5 s while the container's processes hold the very sockets that they held.
//! Anything seen once counts. An error is final: whoever asks from then on gets it, and what had been
//! seen before it. Nothing is ever read from the container's files, and nothing is sent to it.

mod clerk;
mod ending;
mod eyes;
mod ledger;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use self::{clerk::Clerk, eyes::Eyes};
use super::{
    Target,
    error::LookError,
    process::{Identity, TableState, hurry},
    tables::Table,
};
use crate::{observation::Socket, socket::Port};

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
    /// How many times all tables were read, or the kernel asked for what stands in them.
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
    /// The longest time from the beginning of a sample, or of a glance that says that nothing has
    /// changed, to the end of the next: whatever accepted traffic for longer was seen.
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
        eyes.last_sight = looked;
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
                // It would keep the namespace of a container that is gone.
                (eyes.diag, eyes.accounts_agree) = (None, false);
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

#[cfg(test)]
mod blindings;
#[cfg(test)]
mod tests;
