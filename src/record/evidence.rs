//! What a verdict rests on, and the one place that says whether it bears a pass.
//!
//! A pass has to be earned: [`Evidence::lacks`] names everything that is not proven, and only where
//! that is nothing does a record pass. Pure: facts in, words out. It trusts no earlier stage: what
//! should never get this far is checked here all the same.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use crate::{
    observation::Unseen,
    socket::canonical,
    spec::{Scan, Spec},
};

/// What a verdict rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// How many times every table was read.
    pub samples: u64,
    /// How long the tables were watched after readiness.
    pub watched: Duration,
    /// The longest time for which nobody looked, from the first sample to the last.
    pub longest_gap: Duration,
    /// How many TCP ports were scanned.
    pub scanned: u32,
    /// The addresses that were scanned.
    pub addresses: Vec<IpAddr>,
    /// The addresses that the engine says the container has.
    pub container_addresses: Vec<IpAddr>,
    /// The addresses of the network namespace that was read.
    pub namespace_addresses: Vec<IpAddr>,
    /// The tables that were read, by their name under `/proc/PID/net`.
    pub tables: Vec<String>,
    /// The tables that this kernel does not have.
    pub absent_tables: Vec<String>,
    /// Whether the kernel's own counters of sockets bear out the tables; `None` where it has none
    /// that could be compared.
    pub counters_agree: Option<bool>,
    /// The container's id.
    pub container: String,
    /// Whether the process that was watched is known to be that container's.
    pub is_identified: bool,
    /// Whether the container was alive and the same, before and after.
    pub is_same: bool,
    /// Whether every process of the container could be looked through in the end.
    pub is_searched: bool,
    /// Whether the container ended as the spec says that it should. Then nobody was left to be
    /// scanned, and the watch ended with it.
    pub is_over: bool,
    /// The inode of the network namespace that was read.
    pub network_namespace: u64,
    /// Where the look was done: `here` or `scout`.
    pub looked_from: &'static str,
    /// The control that was seen during this look; `None` if none was.
    pub control: Option<String>,
    /// Every positive control that was seen, in words.
    pub controls: Vec<String>,
}

/// Whoever did not look for longer than this cannot say what happened meanwhile: whatever listens
/// for as long is seen, or the verdict is never `pass`.
pub const LONGEST_GAP: Duration = Duration::from_millis(200);
/// What clocks of two machines may differ by over a watch.
const CLOCKS: Duration = Duration::from_millis(50);
/// Tables that every kernel has.
const OF_IPV4: [&str; 3] = ["net/tcp", "net/udp", "net/raw"];
/// Tables that a kernel has all of or, without IPv6, none of.
const OF_IPV6: [&str; 3] = ["net/tcp6", "net/udp6", "net/raw6"];

const REPORT: &str = "this should never happen: please report it, with the JSON report";

impl Evidence {
    /// What is not proven of all that a pass rests on. If nothing, a pass is earned.
    #[must_use]
    pub fn lacks(&self, spec: &Spec) -> Vec<Unseen> {
        let mut lacks = self.of_identity();
        lacks.extend(self.of_tables());
        lacks.extend(self.of_time(spec));
        lacks.extend(self.of_neighbours(spec));
        if self.control.is_none() {
            lacks.push(Unseen::new("no positive control was seen during the look", REPORT));
        }
        lacks
    }

    fn of_identity(&self) -> Vec<Unseen> {
        let mut lacks = Vec::new();
        if !self.is_identified || self.container.is_empty() {
            lacks.push(Unseen::new(
                "the process that was watched is not known to be the container's",
                "look from beside the container: `--look scout`",
            ));
        }
        if !self.is_same {
            lacks.push(Unseen::new(
                "the container is not known to be the same before and after the look",
                "run it again; a container that restarts by itself cannot be judged",
            ));
        }
        if !self.is_searched && !self.is_over {
            lacks.push(Unseen::new(
                "not every process of the container could be looked through",
                "run portlid as root, or with `--look scout`",
            ));
        }
        if let Some(foreign) = self.foreign_address() {
            lacks.push(Unseen::new(
                format!("the network namespace that was read does not have the address {foreign}"),
                "the container left its network, or was taken off it; leave it alone, and run it \
                 again",
            ));
        }
        lacks
    }

    /// An address of the container that the namespace that was read does not have. Then what listens
    /// there is not what a neighbour is answered by.
    #[must_use]
    pub fn foreign_address(&self) -> Option<IpAddr> {
        let owned: BTreeSet<IpAddr> =
            self.namespace_addresses.iter().copied().map(canonical).collect();
        let mut all = self.container_addresses.iter().copied();
        all.find(|it| !owned.contains(&canonical(*it))).filter(|_| !self.is_over)
    }

    fn of_tables(&self) -> Vec<Unseen> {
        let mut lacks = Vec::new();
        // The first sample and the last.
        if self.samples < if self.is_over { 1 } else { 2 } {
            let what = format!("the socket tables were read {} times", self.samples);
            lacks.push(Unseen::new(what, REPORT));
        }
        let has = |list: &[String], table: &str| list.iter().any(|it| it == table);
        let unread = OF_IPV4.iter().chain(&OF_IPV6).find(|table| {
            let is_without = OF_IPV6.contains(table)
                && OF_IPV6.iter().all(|table| has(&self.absent_tables, table));
            !has(&self.tables, table) && !is_without
        });
        if let Some(unread) = unread {
            lacks.push(Unseen::new(format!("the socket table `{unread}` was not read"), REPORT));
        }
        if self.counters_agree == Some(false) {
            lacks.push(Unseen::new("the kernel counts more sockets than its tables list", REPORT));
        }
        lacks
    }

    fn of_time(&self, spec: &Spec) -> Vec<Unseen> {
        let mut lacks = Vec::new();
        if self.longest_gap > LONGEST_GAP {
            lacks.push(Unseen::new(
                format!("nobody looked at the tables for {:.1} s", self.longest_gap.as_secs_f64()),
                "the machine is overloaded, or portlid was stopped: run fewer specs at once \
                 (`--jobs`), or run it again",
            ));
        }
        if !self.is_over && self.watched + CLOCKS < spec.watch {
            lacks.push(Unseen::new(
                format!(
                    "it was watched for {:.1} s only, not for {:.1} s",
                    self.watched.as_secs_f64(),
                    spec.watch.as_secs_f64()
                ),
                REPORT,
            ));
        }
        lacks
    }

    fn of_neighbours(&self, spec: &Spec) -> Vec<Unseen> {
        if self.is_over || spec.scan == Scan::Off {
            return Vec::new();
        }
        let set =
            |list: &[IpAddr]| -> BTreeSet<IpAddr> { list.iter().copied().map(canonical).collect() };
        let mut lacks = Vec::new();
        let wanted = set(&self.container_addresses);
        if wanted.is_empty() || set(&self.addresses) != wanted {
            lacks.push(Unseen::new("not every address of the container was scanned", REPORT));
        }
        if spec.scan == Scan::Full && self.scanned != u32::from(u16::MAX) {
            let what = format!("only {} of 65535 ports were scanned", self.scanned);
            lacks.push(Unseen::new(what, REPORT));
        }
        lacks
    }
}

#[cfg(test)]
mod tests;
