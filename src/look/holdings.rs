//! Which sockets the processes of a container hold, all in all: enough to know that one took
//! another's place.
//!
//! The counters that a glance compares stay equal if one socket comes as another goes. Where the
//! kernel cannot be asked for less than whole tables, that is looked for here, since a new socket
//! has a new inode: the descriptors of the container's few processes cost a hundredth of what the
//! tables do. It only says when to read sooner: what stands in no process's descriptors (a socket
//! under way in a message, one of `io_uring`'s, or of a thread with descriptors of its own) and a
//! socket that takes another port itself are for the tables, which are read regularly all the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use super::{
    error::LookError,
    owners::{Hidden, each_socket, membership},
    process::{Process, Subject},
};

/// How long a process that is not the container's may still become one of it: what an engine
/// executes in a container begins outside.
const YOUNG: Duration = Duration::from_secs(1);
/// How many descriptors are read at once at most. Where there are more, reading the tables costs
/// less, and nobody would see what happens meanwhile.
const DESCRIPTORS: usize = 2000;
/// What it takes to tell whose a process is, in descriptors.
const PROCESS: usize = 5;
/// How many looks it may take to get to know every process: 4,000 of them.
const FIRST: u32 = 10;

/// What was found the last time.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    /// Every process that is known.
    known: BTreeMap<u32, Standing>,
    /// Whether all that there were have been looked at once.
    knew_all: bool,
    looks: u32,
    /// The sockets of the container's, with the processes; `None` if that could not be known.
    held: Option<BTreeSet<(u32, u64)>>,
}

/// What a process has to do with the container.
#[derive(Clone, Copy, Debug)]
enum Standing {
    Member,
    /// Nothing, so far. It was first seen at this time.
    Young(Instant),
    Stranger,
}

impl Holdings {
    /// Whether an answer takes what answers will take. The first take more, until every process is
    /// known.
    pub(super) fn is_settled(&self) -> bool {
        self.knew_all || self.looks > FIRST
    }

    /// Whether the container's processes hold exactly the sockets that they held when this was
    /// asked before. `false` as well if that cannot be known.
    pub(super) fn are_the_same(&mut self, proc_root: &Path, subject: &Subject) -> bool {
        self.looks = self.looks.saturating_add(1);
        let held = self.look(proc_root, subject);
        let is_same = held.is_some() && held == self.held;
        self.held = held;
        is_same
    }

    /// The sockets that are held; `None` if that cannot be known, or not yet.
    fn look(&mut self, proc_root: &Path, subject: &Subject) -> Option<BTreeSet<(u32, u64)>> {
        let now = Instant::now();
        let mut allowed = DESCRIPTORS;
        let mut present = BTreeSet::new();
        let mut held = BTreeSet::new();
        for entry in std::fs::read_dir(proc_root).ok()? {
            let name = entry.ok()?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            present.insert(pid);
            let standing = match self.known.get(&pid) {
                Some(Standing::Young(since)) if now.duration_since(*since) > YOUNG => {
                    Standing::Stranger
                }
                Some(known @ (Standing::Member | Standing::Stranger)) => *known,
                known => {
                    allowed = allowed.checked_sub(PROCESS)?;
                    match (is_member(proc_root, pid, subject)?, known) {
                        (true, _) => Standing::Member,
                        (false, Some(young)) => *young,
                        (false, None) if self.knew_all => Standing::Young(now),
                        // What was there before the watch is what it is.
                        (false, None) => Standing::Stranger,
                    }
                }
            };
            // At once, so that the next look goes on where this one stops.
            self.known.insert(pid, standing);
            if matches!(standing, Standing::Member) {
                sockets_of(proc_root, pid, &mut allowed, &mut held)?;
            }
        }
        self.known.retain(|pid, _| present.contains(pid));
        self.knew_all = true;
        Some(held)
    }
}

/// Whether a process is the container's; `None` if that is hidden. One that has ended is not.
fn is_member(proc_root: &Path, pid: u32, subject: &Subject) -> Option<bool> {
    let mut process = match Process::open(proc_root, pid) {
        Ok(process) => process,
        Err(LookError::NoProcess { .. }) => return Some(false),
        Err(_) => return None,
    };
    match membership(&mut process, subject) {
        Ok(netns) => Some(netns.is_some()),
        Err(Hidden) => process.has_ended().then_some(false),
    }
}

/// Adds what the process holds. One that has ended holds nothing.
fn sockets_of(
    proc_root: &Path,
    pid: u32,
    allowed: &mut usize,
    held: &mut BTreeSet<(u32, u64)>,
) -> Option<()> {
    // Opened anew each time: a descriptor for each process of each container is more than some
    // machines allow. If the number is another process's by now, it holds other sockets.
    let mut process = match Process::open(proc_root, pid) {
        Ok(process) => process,
        Err(LookError::NoProcess { .. }) => return Some(()),
        Err(_) => return None,
    };
    let mut add = |inode| {
        held.insert((pid, inode));
    };
    let mut outcome = each_socket(&process, allowed, &mut add);
    if outcome.is_err() && process.follow() {
        outcome = each_socket(&process, allowed, &mut add);
    }
    (outcome.is_ok() || process.has_ended()).then_some(())
}

#[cfg(test)]
mod tests;
