//! Looks up owners in a thread beside the watch, so that the tables stay watched meanwhile.
//!
//! On a busy machine the search takes a while: it goes through every process, and waits for locks
//! that an engine holds when it starts and ends containers.

use std::{
    collections::BTreeSet,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::look::{
    Target,
    error::LookError,
    owners::{Census, census},
    process::Subject,
};

/// What a search found.
pub(super) struct Found {
    pub(super) sought: BTreeSet<u64>,
    pub(super) census: Census,
    pub(super) took: Duration,
}

/// Whoever does the searches. Dropping it ends the thread after the search under way.
pub(super) struct Clerk {
    orders: mpsc::Sender<BTreeSet<u64>>,
    results: mpsc::Receiver<Found>,
    is_searching: bool,
}

impl Clerk {
    /// Starts the thread. It holds the process for itself, and must find the same as `subject`.
    pub(super) fn start(target: &Target, subject: &Subject) -> Result<Self, LookError> {
        let own = Subject::open(&target.proc_root, target.pid, &target.container)?;
        if !own.is_same(subject) {
            return Err(LookError::Recycled { pid: target.pid });
        }
        let (orders, ordered) = mpsc::channel::<BTreeSet<u64>>();
        let (report, results) = mpsc::channel();
        let proc_root = target.proc_root.clone();
        thread::Builder::new()
            .name("portlid-owners".to_owned())
            .spawn(move || {
                for sought in ordered {
                    let began = Instant::now();
                    let census = census(&proc_root, &own, &sought);
                    if report.send(Found { sought, census, took: began.elapsed() }).is_err() {
                        return;
                    }
                }
            })
            .map_err(|error| LookError::Internal { what: format!("no thread: {error}") })?;
        Ok(Self { orders, results, is_searching: false })
    }

    /// What was found since the last time this was asked.
    pub(super) fn found(&mut self) -> Option<Found> {
        let found = self.results.try_recv().ok()?;
        self.is_searching = false;
        Some(found)
    }

    /// Whether a search is under way.
    pub(super) fn is_searching(&self) -> bool {
        self.is_searching
    }

    /// Has these sought.
    pub(super) fn seek(&mut self, inodes: BTreeSet<u64>) {
        // If the thread is gone nothing is ever found, and the last search is done without it.
        self.is_searching = self.orders.send(inodes).is_ok();
    }
}
