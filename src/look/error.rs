//! Why a container could not be looked at.
//!
//! An open port is never an error. An error here means that nothing is known, and the run must say
//! so (inconclusive) instead of passing.
//!
//! Every error is plain data, because it may have to travel from a helper container to the process
//! that asked.

use std::{fmt, io, net::IpAddr, time::Duration};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{
    tables::{Table, TableError},
    watch::Sighting,
};

/// Why a container could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LookError {
    /// There is no such process, or it has ended.
    #[error("there is no running process `{pid}`")]
    NoProcess {
        /// The process id, as the looker numbers processes.
        pid: u32,
    },
    /// The process ended while it was watched.
    #[error("the main process `{pid}` of the container ended after {} ms", .after.as_millis())]
    Gone {
        /// The process id, as the looker numbers processes.
        pid: u32,
        /// When that was noticed, since the start of the container.
        after: Duration,
        /// What was seen until then.
        seen: Box<Sighting>,
    },
    /// The process id now belongs to another process.
    #[error("the process id `{pid}` was given to another process")]
    Recycled {
        /// The process id, as the looker numbers processes.
        pid: u32,
    },
    /// The process is not of this container.
    #[error("process `{pid}` does not belong to the container `{container}`")]
    Stranger {
        /// The process id, as the looker numbers processes.
        pid: u32,
        /// The id of the container.
        container: String,
    },
    /// The process's control group cannot be seen from here, so it may be any container's.
    #[error("cannot tell whether process `{pid}` belongs to the container `{container}`")]
    Unverified {
        /// The process id, as the looker numbers processes.
        pid: u32,
        /// The id of the container.
        container: String,
    },
    /// The container has no network namespace of its own.
    #[error("the network namespace `{netns}` of process `{pid}` is not the container's own")]
    SharedNamespace {
        /// The process id, as the looker numbers processes.
        pid: u32,
        /// The inode of the namespace.
        netns: u64,
    },
    /// The process moved to another network namespace.
    #[error("process `{pid}` moved from the network namespace `{before}` to `{now}`")]
    Moved {
        /// The process id, as the looker numbers processes.
        pid: u32,
        /// The inode of the namespace that was watched.
        before: u64,
        /// The inode of the namespace it is in now.
        now: u64,
    },
    /// A file that describes the process could not be read.
    #[error("cannot read `{path}`")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// A file that describes the process does not hold what it should.
    #[error("cannot make sense of `{path}`: `{text}`")]
    Garbled {
        /// The file.
        path: String,
        /// What it holds, escaped and cut.
        text: String,
    },
    /// A socket table that must be there is not.
    #[error("the socket table `{}` is missing", .table.path())]
    MissingTable {
        /// The table.
        table: Table,
    },
    /// A socket table could not be understood.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The container has no address that a neighbour could use.
    #[error("the container has no address to scan")]
    NoAddress,
    /// The address is not one that may be scanned.
    #[error("cannot scan `{address}`: {why}")]
    Address {
        /// The address.
        address: IpAddr,
        /// Why not.
        why: String,
    },
    /// The address may be somebody else's.
    #[error("`{address}` does not surely lead to the container: {why}")]
    NotNeighbour {
        /// The address.
        address: IpAddr,
        /// Why not.
        why: String,
    },
    /// Our own side of a connection failed: no descriptors, no ports, no memory.
    #[error("cannot try port {port} of `{address}`")]
    OurSide {
        /// The address.
        address: IpAddr,
        /// The port that was being tried.
        port: u16,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// No port of the address gave any answer.
    #[error("no answer from `{address}`: {silent} ports were silent, {unreachable} unreachable")]
    Void {
        /// The address.
        address: IpAddr,
        /// How many ports did not answer in time.
        silent: u32,
        /// How many ports were answered by "unreachable".
        unreachable: u32,
    },
    /// The scan did not end in time.
    #[error("the scan of `{address}` was not over after {} s", .within.as_secs())]
    ScanDeadline {
        /// The address.
        address: IpAddr,
        /// How long it was given.
        within: Duration,
    },
    /// The look was called off.
    #[error("the look was called off")]
    Cancelled,
    /// The eyes do not work: a positive control was not seen.
    #[error("the control failed: {what}")]
    Control {
        /// What should have been seen.
        what: String,
    },
    /// The helper that was to look does not.
    #[error("the scout does not look: {why}")]
    Scout {
        /// What became of it.
        why: String,
    },
    /// Something of our own broke.
    #[error("the look broke off: {what}")]
    Internal {
        /// What.
        what: String,
    },
}

/// What to do if there are no descriptors left.
const RAISE: &str = "raise `ulimit -n`, or run fewer specs at once";

impl LookError {
    /// The next thing to try, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotNeighbour { .. } => {
                Some("look from beside the container: `--look scout` does, on any engine")
            }
            Self::Scout { .. } => {
                Some("the engine's log may say why the helper container does not run")
            }
            Self::NoProcess { .. } => {
                Some("the container has ended, or its processes are on another machine")
            }
            Self::Gone { .. } => {
                Some("its log may say why; `ready: { exit: 0 }` is for images that end")
            }
            Self::Recycled { .. } => Some("the container was restarted during the look"),
            Self::Stranger { .. } | Self::Unverified { .. } => {
                Some("the engine may run on another machine, or in another process namespace")
            }
            Self::SharedNamespace { .. } => Some(
                "a container on the host's network cannot be judged; give it a network of its own",
            ),
            Self::Unreadable { cause, .. } if cause.is_denied() => {
                Some("run portlid as root: it reads what other users' processes hold")
            }
            Self::Unreadable { cause, .. } if cause.is_of_descriptors() => Some(RAISE),
            Self::Moved { .. } => {
                Some("a process that leaves the container's network cannot be judged")
            }
            Self::Unreadable { .. } | Self::Garbled { .. } => {
                Some("is `/proc` whole here? try `--look scout`, which brings its own")
            }
            Self::MissingTable { .. } => Some("is `/proc` of the container's host mounted here?"),
            Self::Table(_) => Some("this kernel's format is not known; please report it"),
            Self::NoAddress => Some("is it on a network? `scan: off` is for images without one"),
            Self::Address { .. } => Some("only the container's own addresses can be scanned"),
            Self::OurSide { cause, .. } if cause.is_of_descriptors() => Some(RAISE),
            Self::OurSide { .. } => Some(
                "does a route or a firewall of this machine forbid it? `--look scout` looks from \
                 beside the container; else run fewer specs at once",
            ),
            Self::Void { .. } => Some("is there a route to the container's network from here?"),
            Self::ScanDeadline { .. } => Some("scan less (`scan: listed`), or raise `ulimit -n`"),
            Self::Cancelled => Some("run it again"),
            Self::Control { .. } => {
                Some("is loopback up here, and `/proc` whole? try `--look scout`")
            }
            Self::Internal { .. } => Some("run it again; if it stays so, please report it"),
        }
    }

    /// Whether what had been seen before may have been seen of another container.
    #[must_use]
    pub fn doubts_identity(&self) -> bool {
        matches!(
            self,
            Self::Unverified { .. }
                | Self::Stranger { .. }
                | Self::SharedNamespace { .. }
                | Self::Recycled { .. }
                | Self::Moved { .. }
        )
    }

    /// Reading `path` failed with `cause`.
    pub(super) fn unreadable(path: impl Into<String>, cause: impl Into<Cause>) -> Self {
        Self::Unreadable { path: path.into(), cause: cause.into() }
    }

    /// `path` holds `text`, which makes no sense.
    pub(super) fn garbled(path: impl Into<String>, text: &[u8]) -> Self {
        Self::Garbled { path: path.into(), text: shown(text) }
    }
}

/// An error of the operating system, as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The error number of the system, if it was one.
    pub errno: Option<i32>,
    /// What the system says about it.
    pub text: String,
}

impl Cause {
    /// Whether a permission was missing (`EACCES`, `EPERM`).
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.is_one_of([Errno::ACCESS, Errno::PERM])
    }

    /// Whether there were too many open files (`EMFILE`, `ENFILE`).
    #[must_use]
    pub fn is_of_descriptors(&self) -> bool {
        self.is_one_of([Errno::MFILE, Errno::NFILE])
    }

    /// Whether the thing is not there (`ENOENT`, `ESRCH`).
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.is_one_of([Errno::NOENT, Errno::SRCH])
    }

    fn is_one_of(&self, all: [Errno; 2]) -> bool {
        self.errno.is_some_and(|errno| all.iter().any(|it| it.raw_os_error() == errno))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Cause {}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self { errno: error.raw_os_error(), text: error.to_string() }
    }
}

impl From<Errno> for Cause {
    fn from(errno: Errno) -> Self {
        io::Error::from(errno).into()
    }
}

/// Foreign bytes, made fit to be shown: escaped, and cut at 160 bytes.
pub(super) fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 160;
    let cut = bytes.get(..MOST).unwrap_or(bytes);
    let dots = if bytes.len() > MOST { "..." } else { "" };
    format!("{}{dots}", cut.escape_ascii())
}
