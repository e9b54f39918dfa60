//! What travels between portlid and its scout: one JSON value per line, each way.
//!
//! Both ends are the same executable, so there is no version to negotiate: the control tells it, and
//! a field that is not known is nonsense.

use std::{collections::BTreeSet, net::IpAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    look::{LookError, ScanReport, ScanRequest, Seen, Sighting, Target},
    observation::Spoken,
    socket::Port,
    spec::Speaks,
};

/// A line to the scout.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::look) struct Request {
    /// Chosen by the asker; the answer carries it. A watch keeps the number of its beginning.
    pub(super) id: u64,
    pub(super) what: What,
}

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::look) enum What {
    /// Whether the eyes work.
    Control,
    /// Whether the target can be seen.
    CanSee(Target),
    /// A container of that id is about to be started. Not answered.
    Expect { proc_root: PathBuf, container: String },
    /// Begin a watch, or go on with one that has begun early.
    Begin(Target),
    /// The watch phase of that watch begins.
    BeginWatchPhase(u64),
    /// What that watch has seen until now.
    SoFar(u64),
    /// End that watch.
    Finish(u64),
    /// That watch is not wanted any more. Not answered.
    Forget(u64),
    /// Scan.
    Scan(ScanRequest),
    /// With which status a request for that path is answered.
    Http { addresses: Vec<IpAddr>, port: u16, path: String },
    /// What a port speaks.
    Ask { addresses: Vec<IpAddr>, port: Port, wanted: Option<Speaks>, within: Duration },
}

/// A line from the scout.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::look) enum Line {
    /// The answer to the request of that number.
    Answer { id: u64, answer: Result<Answer, LookError> },
    /// What is true of that watch at the moment.
    Status { watch: u64, listening: BTreeSet<Port>, ended: Option<LookError> },
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::look) enum Answer {
    Done,
    Control(Seen),
    Sighting(Sighting),
    Scan(ScanReport),
    Spoken(Spoken),
    Status(Option<u16>),
}
