//! Stage 3 of 5: the look. A process id, a container's id and its addresses -> what is open.
//!
//! This module sees, and does nothing else. It knows no engine, no spec's judgement and no report.
//! It never touches the subject: nothing is executed in it, mounted into it or copied from it. It
//! reads `/proc` from outside, and connects to the container's addresses as a neighbour would.
//!
//! # The seam
//!
//! Requests and results are plain data ([`Target`], [`Sighting`], [`ScanRequest`], [`ScanReport`],
//! [`LookError`]), so that the same code can run elsewhere: in this process where it can see the
//! container ([`can_see`]), or in a helper container that is spoken to in lines of JSON.
//!
//! # Parts
//!
//! - [`tables`]: the kernel's socket tables, from text. Pure.
//! - `process`: one process under `/proc`, held fast, so that it cannot be mistaken.
//! - `owners`: who holds a socket.
//! - `addresses`: which addresses a namespace has. Pure.
//! - `diag`: the same sockets from the kernel's other account, where it can be asked. Cheap.
//! - `glance`: counters that tell cheaply when a socket has come or gone.
//! - `early`: finds the process while the engine still starts the container.
//! - [`watch`](Watch): reads the tables again and again, and adds up what was seen.
//! - [`scan()`]: what a neighbour is answered on every port.
//! - [`ask()`]: what a port speaks.
//! - [`http_status`], [`ask_inside`]: two questions that are asked of a server.
//! - [`are_neighbours`]: whether addresses are those of neighbours, and of the right ones.
//! - [`control()`]: proof that all of this works, on a listener of our own.
//! - [`Eyes`]: who does it, this process or a [`Scout`].

mod addresses;
#[cfg(feature = "benches")]
pub(crate) mod bench;
mod control;
mod diag;
mod early;
mod error;
mod eyes;
#[cfg(test)]
mod fixture;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
mod glance;
mod holdings;
mod http;
mod inside;
mod neighbour;
mod owners;
mod process;
mod scan;
mod scout;
mod speak;
pub mod tables;
mod watch;

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    control::{Seen, control},
    early::Early,
    error::{Cause, LookError},
    eyes::{Eyes, Vigil},
    http::http_status,
    inside::{LOOPBACK, ask_inside},
    neighbour::are_neighbours,
    process::{Identity, TableState},
    scan::{AddressReport, SCAN_WITHIN, ScanReport, ScanRequest, scan, scan_blocking},
    scout::{FarWatch, Scout, serve as serve_scout},
    speak::{ASK_WITHIN, ask},
    watch::{Sighting, Status, Watch},
};
use self::{owners::census, process::Subject};

/// The container to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Where the `/proc` is mounted that shows the container's processes: `/proc`.
    pub proc_root: PathBuf,
    /// The id of the container's main process in that `/proc`.
    pub pid: u32,
    /// The container's whole id, which its control group's path must contain.
    pub container: String,
    /// How long ago the container was started. All times in a [`Sighting`] count from there.
    pub age: Duration,
}

/// The range of clients' ports that every new network namespace has, whatever the host's is set to:
/// `inet_init_net` of the kernel's `net/ipv4/af_inet.c`. A container can have another only by
/// `net.ipv4.ip_local_port_range` among its sysctls, which its engine knows.
pub const EPHEMERAL: RangeInclusive<u16> = 32_768..=60_999;

/// Whether this process can see the container for itself: its main process is here and is surely
/// the container's, its namespace is its own, its tables can be opened and its descriptors read.
///
/// # Errors
///
/// Why it cannot. Then a helper has to look.
pub fn can_see(target: &Target) -> Result<(), LookError> {
    let mut subject = Subject::open(&target.proc_root, target.pid, &target.container)?;
    if subject.identity() == Identity::Unverified {
        let (pid, container) = (target.pid, target.container.clone());
        return Err(LookError::Unverified { pid, container });
    }
    subject.require_own_namespace(&target.proc_root)?;
    // What is in them is the watch's affair: it has begun by now, or is about to.
    subject.open_tables()?;
    // No inode is sought; the question is whether all descriptors can be read.
    if !census(&target.proc_root, &subject, &std::collections::BTreeSet::new()).complete {
        let path = subject.process().shown("fd");
        return Err(LookError::unreadable(path, rustix::io::Errno::ACCESS));
    }
    subject.check_wholly()
}
