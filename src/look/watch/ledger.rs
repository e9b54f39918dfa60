//! What the samples add up to: sockets with first and last sight, owners, lost ports.
//!
//! Pure: no I/O and no clock; times come from the caller, counted from the start of the container.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use super::super::{owners::Census, tables::Row};
use crate::{
    observation::{Owner, Owners, Socket},
    socket::Port,
};

/// A socket of one sample that accepts traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Accepting {
    pub(super) port: Port,
    pub(super) address: IpAddr,
    /// 0 if no process can hold it.
    pub(super) inode: u64,
}

impl Accepting {
    /// The socket of a row, if it accepts traffic.
    pub(super) fn of(row: &Row) -> Option<Self> {
        row.accepts().then(|| Self { port: row.bound_to(), address: row.local, inode: row.inode })
    }
}

/// How many complete searches must find no holder before a socket counts as held by nobody of the
/// container. One is not enough: a socket may be handed from a process not yet searched to one
/// already searched, or be closed between the table and the search.
const SEARCHES: u8 = 2;

/// How many samples in a row must lack a port before it counts as lost. One is not enough: the
/// kernel does not write a table in one go, so a sample may miss a socket that is there.
const MISSES: u8 = 2;

/// What the samples add up to.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sockets: BTreeMap<(Port, IpAddr), Seen>,
    inodes: BTreeMap<u64, Inode>,
    /// The inodes whose holders are still to be found.
    pending: BTreeSet<u64>,
    listening: BTreeSet<Port>,
    missed: BTreeMap<Port, (u8, Duration)>,
    lost: BTreeMap<Port, Duration>,
    /// The ports that had a socket in some sample of the watch phase, or when it began.
    during: BTreeSet<Port>,
    samples: u32,
    watch_phase: Option<Duration>,
    last: Duration,
}

#[derive(Debug)]
struct Seen {
    first: Duration,
    last: Duration,
    /// Every inode it ever had. 0 is one too.
    inodes: BTreeSet<u64>,
}

#[derive(Debug)]
struct Inode {
    holders: Holders,
    /// The number of the latest sample that had it.
    sample: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Holders {
    /// This many complete searches found none.
    Sought(u8),
    Known(BTreeSet<Owner>),
    Outside,
    Unknown,
}

impl Ledger {
    /// Adds a sample that was taken `at` this time.
    pub(super) fn note(&mut self, at: Duration, accepting: &[Accepting]) {
        self.samples = self.samples.saturating_add(1);
        self.last = at;
        self.listening.clear();
        for socket in accepting {
            self.listening.insert(socket.port);
            // It came back, and only now is it watched: a server that listens for a moment while it
            // sets itself up, and again when it is ready, has lost nothing.
            if self.watch_phase.is_some() && self.during.insert(socket.port) {
                self.lost.remove(&socket.port);
                self.missed.remove(&socket.port);
            }
            let seen = self.sockets.entry((socket.port, socket.address)).or_insert_with(|| Seen {
                first: at,
                last: at,
                inodes: BTreeSet::new(),
            });
            seen.last = at;
            seen.inodes.insert(socket.inode);
            if socket.inode != 0 {
                let inode = self.inodes.entry(socket.inode).or_insert_with(|| {
                    self.pending.insert(socket.inode);
                    Inode { holders: Holders::Sought(0), sample: 0 }
                });
                inode.sample = self.samples;
            }
        }
        self.give_up_on_vanished();
        if self.watch_phase.is_some() {
            self.note_missing(at);
        }
    }

    /// Whoever held a socket that is gone cannot be found any more.
    fn give_up_on_vanished(&mut self) {
        let (inodes, now) = (&mut self.inodes, self.samples);
        self.pending.retain(|number| {
            let Some(inode) = inodes.get_mut(number) else {
                return false;
            };
            let present = inode.sample == now;
            if !present {
                inode.holders = Holders::Unknown;
            }
            present
        });
    }

    fn note_missing(&mut self, at: Duration) {
        let mut ever = None;
        for (port, _) in self.sockets.keys() {
            if ever.replace(*port) == Some(*port) {
                continue;
            }
            if self.listening.contains(port) {
                self.missed.remove(port);
                continue;
            }
            let (times, first) = self.missed.entry(*port).or_insert((0, at));
            *times = times.saturating_add(1);
            if *times >= MISSES {
                self.lost.entry(*port).or_insert(*first);
            }
        }
    }

    /// From now on a port that loses its socket counts as lost, and one that had a socket before
    /// and never again.
    pub(super) fn begin_watch_phase(&mut self, at: Duration) {
        self.watch_phase.get_or_insert(at);
        self.during.extend(&self.listening);
    }

    /// Takes in what a search for the holders of `sought` found.
    pub(super) fn attribute(&mut self, sought: &BTreeSet<u64>, found: &Census) {
        for number in sought {
            let Some(inode) = self.inodes.get_mut(number) else {
                continue;
            };
            if let Some(holders) = found.holders.get(number) {
                // The latest search counts: a process may have dropped its rights, or become
                // another program, since an earlier one.
                inode.holders = Holders::Known(holders.clone());
            } else if let Holders::Sought(searches) = &mut inode.holders {
                *searches = searches.saturating_add(1);
                if !found.complete {
                    inode.holders = Holders::Unknown;
                } else if *searches >= SEARCHES {
                    inode.holders = Holders::Outside;
                }
            }
            if !matches!(inode.holders, Holders::Sought(_)) {
                self.pending.remove(number);
            }
        }
    }

    /// The inodes whose holders are still to be found.
    pub(super) fn pending(&self) -> BTreeSet<u64> {
        self.pending.clone()
    }

    /// The inodes of the latest sample.
    pub(super) fn present(&self) -> BTreeSet<u64> {
        let present = self.inodes.iter().filter(|(_, inode)| inode.sample == self.samples);
        present.map(|(number, _)| *number).collect()
    }

    /// The ports of the latest sample.
    pub(super) fn listening(&self) -> &BTreeSet<Port> {
        &self.listening
    }

    /// The ports that had a socket and then none.
    pub(super) fn lost(&self) -> &BTreeMap<Port, Duration> {
        &self.lost
    }

    /// How many samples there were.
    pub(super) fn samples(&self) -> u32 {
        self.samples
    }

    /// Whether another sample is needed soon: an owner is still sought, or a port was missed.
    pub(super) fn has_doubts(&self) -> bool {
        !self.pending.is_empty()
            || self
                .missed
                .iter()
                .any(|(port, (times, _))| *times < MISSES && !self.lost.contains_key(port))
    }

    /// From the beginning of the watch phase to the latest sample.
    pub(super) fn watched(&self) -> Duration {
        self.watch_phase.map_or(Duration::ZERO, |began| self.last.saturating_sub(began))
    }

    /// The latest sample.
    pub(super) fn last(&self) -> Duration {
        self.last
    }

    /// When the watch phase began, if it did.
    pub(super) fn watch_phase(&self) -> Option<Duration> {
        self.watch_phase
    }

    /// Every socket ever seen.
    pub(super) fn sockets(&self) -> Vec<Socket> {
        self.sockets
            .iter()
            .map(|((port, address), seen)| Socket {
                port: *port,
                address: *address,
                owners: self.owners(seen),
                first_seen: seen.first,
                last_seen: seen.last,
            })
            .collect()
    }

    /// The owners of all the inodes that a socket had.
    ///
    /// An inode that is still there and whose holders are unknown makes the whole unknown: another
    /// program may share the port. One that came and went does not, if others are known.
    fn owners(&self, seen: &Seen) -> Owners {
        let mut known = BTreeSet::new();
        let (mut unknown, mut outside) = (false, false);
        for number in &seen.inodes {
            match self.inodes.get(number) {
                Some(Inode { holders: Holders::Known(holders), .. }) => {
                    known.extend(holders.iter().cloned());
                }
                Some(Inode { holders: Holders::Outside, .. }) => outside = true,
                Some(Inode { sample, .. }) if *sample == self.samples => return Owners::Unknown,
                Some(_) | None => unknown = true,
            }
        }
        if !known.is_empty() {
            Owners::Processes(known)
        } else if outside && !unknown {
            Owners::Outside
        } else {
            Owners::Unknown
        }
    }
}

#[cfg(test)]
mod tests;
