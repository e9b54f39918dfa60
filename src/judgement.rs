//! Stage 4 of 5: [`Spec`] + [`Observation`] -> [`Judgement`].
//!
//! The one place that decides what is allowed. Everything before it gathers facts; everything
//! after it prints them.
//!
//! # Invariants
//!
//! - **Pure.** No I/O, no clock, no async, no logging. Same inputs, same findings, in the same
//!   order: by level, then port, then rule.
//! - **Total.** It cannot fail. What could not be observed at all never reaches this module; what
//!   the spec asserts and the observation leaves open is named under [`Judgement::open`], and then
//!   the verdict is never `pass`.
//! - **Closed world.** A socket that the spec does not mention is a finding.
//! - One finding per rule and port, whatever the number of sockets.

mod listening;
mod publishing;
mod wording;

#[cfg(test)]
mod tests;

use std::{cmp::Reverse, collections::BTreeSet, net::IpAddr, time::Duration};

use crate::{
    observation::{Observation, Owner, Published, Socket, Unseen},
    rule::{Level, Rule},
    socket::{Port, canonical, scope},
    spec::{Place, Spec},
};

/// What came of holding a spec against an observation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Judgement {
    /// What is wrong, worth mending or worth knowing; the most severe first. None is `off`.
    pub findings: Vec<Finding>,
    /// What the spec asserts and the observation does not settle.
    pub open: Vec<Unseen>,
}

/// The outcome of one spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything that the spec says was seen to be so.
    Pass,
    /// A rule was broken.
    Fail,
    /// It could not be seen.
    Inconclusive,
}

impl Verdict {
    /// The word that reports use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
        }
    }
}

impl Judgement {
    /// Fail if any finding fails; else inconclusive if anything is left open; else pass.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.findings.iter().any(|finding| finding.level == Level::Fail) {
            Verdict::Fail
        } else if self.open.is_empty() {
            Verdict::Pass
        } else {
            Verdict::Inconclusive
        }
    }
}

/// One rule, broken at one port.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// What it weighs in this spec.
    pub level: Level,
    /// The port; `None` where the finding is about a range.
    pub port: Option<Port>,
    /// The addresses concerned, the widest first: of the container, or for rules about publishing,
    /// of the host.
    pub addresses: Vec<IpAddr>,
    /// The processes that hold the sockets concerned. Their names are foreign text.
    pub owners: BTreeSet<Owner>,
    /// When the first of the sockets was first seen, since the start of the container.
    pub first_seen: Option<Duration>,
    /// The place in the spec that it breaks.
    pub place: Place,
    /// What was seen. Lowercase, without a full stop, safe to print.
    pub message: String,
    /// What it means and what to do about it, safe to print.
    pub help: String,
}

/// Holds `seen` against `spec`.
#[must_use]
pub fn judge(spec: &Spec, seen: &Observation) -> Judgement {
    let mut case = Case { spec, seen, findings: Vec::new(), open: seen.blind.clone() };
    listening::judge(&mut case);
    publishing::judge(&mut case);
    let Case { mut findings, open, .. } = case;
    findings.sort_by_key(|finding| (finding.level, finding.port, finding.rule));
    Judgement { findings, open }
}

/// A judgement in the making.
struct Case<'a> {
    spec: &'a Spec,
    seen: &'a Observation,
    findings: Vec<Finding>,
    open: Vec<Unseen>,
}

impl Case<'_> {
    /// Adds a finding at the level that the spec gives its rule, unless that is `off`.
    fn find(&mut self, finding: Draft) {
        let level = self.spec.level(finding.rule);
        self.find_at(level, finding);
    }

    fn find_at(&mut self, level: Level, draft: Draft) {
        if level == Level::Off {
            return;
        }
        let Draft { rule, port, addresses, owners, first_seen, place, message, help } = draft;
        self.findings.push(Finding {
            rule,
            level,
            port,
            addresses,
            owners,
            first_seen,
            place,
            message,
            help,
        });
    }
}

/// A finding whose level is not settled yet.
struct Draft {
    rule: Rule,
    port: Option<Port>,
    addresses: Vec<IpAddr>,
    owners: BTreeSet<Owner>,
    first_seen: Option<Duration>,
    place: Place,
    message: String,
    help: String,
}

impl Draft {
    fn new(rule: Rule, port: Option<Port>, place: Place, message: String, help: String) -> Self {
        Self {
            rule,
            port,
            addresses: Vec::new(),
            owners: BTreeSet::new(),
            first_seen: None,
            place,
            message,
            help,
        }
    }

    /// Names the sockets that the finding is about.
    fn about(mut self, sockets: &[&Socket]) -> Self {
        self.addresses = widest_first(sockets.iter().map(|socket| socket.address));
        self.owners =
            sockets.iter().flat_map(|socket| socket.owners.processes().cloned()).collect();
        self.first_seen = sockets.iter().map(|socket| socket.first_seen).min();
        self
    }

    /// Names the host's addresses that the finding is about.
    fn on_host(mut self, published: &[&Published]) -> Self {
        self.addresses = widest_first(published.iter().map(|published| published.host));
        self
    }
}

fn widest_first(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = addresses.map(canonical).collect();
    addresses.sort_by_key(|&address| (Reverse(scope(address)), address));
    addresses.dedup();
    addresses
}
