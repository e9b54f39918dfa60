//! One process under `/proc`, held fast.
//!
//! The process's folder is opened once, and everything is read through that descriptor. The kernel
//! ties it to the process, not to the number: once the process has ended, nothing more can be read
//! through it, so a recycled process id is never read by mistake.
//!
//! A process may outlive its first thread. Then the kernel says of the process that it is a zombie
//! and shows nothing of it; all of it is to be had from the folder of a thread that goes on.

pub(super) mod life;

use std::{
    collections::BTreeSet,
    fs::File,
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, openat, readlinkat_raw},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use self::life::{FILE, Life, parse_life, runs, text_at};
pub(super) mod identity;
mod reading;

use self::identity::identify;
use super::{addresses, error::LookError, tables::Table};

/// A process's folder under a `/proc`, open.
#[derive(Debug)]
pub(super) struct Process {
    folder: OwnedFd,
    /// The folder of a thread that goes on, if the first has ended.
    thread: Option<OwnedFd>,
    path: PathBuf,
    pid: u32,
}

impl Process {
    /// Opens the folder of process `pid`.
    pub(super) fn open(proc_root: &Path, pid: u32) -> Result<Self, LookError> {
        let path = proc_root.join(pid.to_string());
        match rustix::fs::open(&path, FOLDER, Mode::empty()) {
            Ok(folder) => Ok(Self { folder, thread: None, path, pid }),
            Err(Errno::NOENT | Errno::SRCH) => Err(LookError::NoProcess { pid }),
            Err(errno) => Err(LookError::unreadable(path.to_string_lossy(), errno)),
        }
    }

    /// Opens the folder of another process of the same `/proc`.
    pub(super) fn beside(&self, pid: u32) -> Result<Self, LookError> {
        Self::open(self.path.parent().unwrap_or(&self.path), pid)
    }

    /// Turns to a thread that goes on, if the one that was read from has ended. Returns whether it
    /// did.
    pub(super) fn follow(&mut self) -> bool {
        if runs(self.at()) {
            return false;
        }
        let next = self.running_thread();
        let any = next.is_some();
        if any {
            self.thread = next;
        }
        any
    }

    /// The folder of some thread that runs.
    fn running_thread(&self) -> Option<OwnedFd> {
        let mut threads = Vec::new();
        self.each_thread(|thread| threads.push(thread)).ok()?;
        threads.into_iter().find(|thread| runs(thread.as_fd()))
    }

    /// Calls `each` with the folder of every thread.
    pub(super) fn each_thread(&self, mut each: impl FnMut(OwnedFd)) -> Result<(), Errno> {
        // Within this process's own folder, where only its own threads are found.
        let folder = openat(&self.folder, "task", FOLDER, Mode::empty())?;
        let mut entries = rustix::fs::Dir::read_from(&folder)?;
        while let Some(entry) = entries.read() {
            let entry = entry?;
            if entry.file_name().to_bytes().starts_with(b".") {
                continue;
            }
            match openat(&folder, entry.file_name(), FOLDER, Mode::empty()) {
                Ok(thread) => each(thread),
                // Ended since the folder was listed.
                Err(Errno::NOENT | Errno::SRCH) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// What everything but the process's life is read from.
    fn at(&self) -> BorrowedFd<'_> {
        self.thread.as_ref().unwrap_or(&self.folder).as_fd()
    }

    /// The process id, as the looker numbers processes.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// The path of a file in the folder, to be shown.
    pub(super) fn shown(&self, file: &str) -> String {
        self.path.join(file).to_string_lossy().into_owned()
    }

    /// Opens a file of the folder.
    pub(super) fn file(&self, file: &str) -> Result<File, Errno> {
        openat(self.at(), file, FILE, Mode::empty()).map(File::from)
    }

    /// Opens a folder of the folder.
    pub(super) fn directory(&self, name: &str) -> Result<rustix::fs::Dir, Errno> {
        rustix::fs::Dir::new(openat(self.at(), name, FOLDER, Mode::empty())?)
    }

    /// The whole text of a file of the folder.
    pub(super) fn text(&self, file: &str) -> Result<Vec<u8>, Errno> {
        text_at(self.at(), file)
    }

    /// Where a link of the folder leads, cut at the length of `buffer`.
    pub(super) fn link<'a>(&self, file: &str, buffer: &'a mut [u8]) -> Result<&'a [u8], Errno> {
        let length = readlinkat_raw(self.at(), file, &mut *buffer)?;
        Ok(&buffer[..length])
    }

    /// Whether the process runs, and since when. `None` once it is gone for good.
    pub(super) fn life(&self) -> Result<Option<Life>, LookError> {
        let text = match text_at(self.folder.as_fd(), "stat") {
            Ok(text) => text,
            Err(Errno::NOENT | Errno::SRCH) => return Ok(None),
            Err(errno) => return Err(LookError::unreadable(self.shown("stat"), errno)),
        };
        let life =
            parse_life(&text).ok_or_else(|| LookError::garbled(self.shown("stat"), &text))?;
        if !life.is_running() && self.running_thread().is_some() {
            // The first thread has ended, the process has not. It is the same since its start.
            return Ok(Some(Life { state: b'S', is_exiting: false, ..life }));
        }
        Ok(Some(life))
    }

    /// Whether the process has ended. What cannot be read has not.
    pub(super) fn has_ended(&self) -> bool {
        match self.life() {
            Ok(life) => !life.is_some_and(Life::is_running),
            Err(_) => false,
        }
    }

    /// The inode of a namespace of the process, `ns/net` for one.
    pub(super) fn namespace(&self, kind: &str) -> Result<u64, LookError> {
        let mut buffer = [0; 64];
        let link = match self.link(kind, &mut buffer) {
            Ok(link) => link,
            // The kernel says "denied" and "not found" of a process that has just ended, too.
            Err(Errno::NOENT | Errno::SRCH | Errno::ACCESS) if self.has_ended() => {
                return Err(LookError::NoProcess { pid: self.pid });
            }
            Err(errno) => return Err(LookError::unreadable(self.shown(kind), errno)),
        };
        bracketed(link).ok_or_else(|| LookError::garbled(self.shown(kind), link))
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The inode of the network namespace of the thread of this folder; `None` once it has ended.
pub(super) fn network_of(thread: &OwnedFd) -> Option<u64> {
    let mut buffer = [0; 64];
    let length = readlinkat_raw(thread, "ns/net", &mut buffer[..]).ok()?;
    bracketed(&buffer[..length])
}

/// The number in `net:[4026531840]` or `socket:[1503]`.
pub(super) fn bracketed(link: &[u8]) -> Option<u64> {
    let open = link.iter().position(|byte| *byte == b'[')?;
    let digits = link[open + 1..].strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

const FIB_TRIE: &str = "net/fib_trie";
const IF_INET6: &str = "net/if_inet6";

/// Whether the subject is known to be of the container that it should be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// Its control group carries the container's id.
    Verified,
    /// Its control group cannot be seen from here: it shows as the root.
    Unverified,
}

/// What became of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableState {
    /// It was read in every sample.
    Read,
    /// The kernel does not have it, so there can be no such socket.
    NotInKernel,
}

/// The main process of a container, and with it the container's network namespace.
#[derive(Debug)]
pub(super) struct Subject {
    process: Process,
    started: u64,
    netns: u64,
    identity: Identity,
    is_told_by_groups: bool,
    container: String,
    tables: [Option<File>; Table::ALL.len()],
    /// `sockstat` and `sockstat6`; none if they cannot be had.
    open_counters: Vec<File>,
    buffer: Vec<u8>,
}

impl Subject {
    /// Opens the process and remembers what identifies it. An empty `container` is for looking at a
    /// process of our own: then only the process itself is identified.
    pub(super) fn open(proc_root: &Path, pid: u32, container: &str) -> Result<Self, LookError> {
        let mut process = Process::open(proc_root, pid)?;
        process.follow();
        let started = match process.life()? {
            Some(life) if life.is_running() => life.started,
            _ => return Err(LookError::NoProcess { pid }),
        };
        let identity = identify(&process, container)?;
        let netns = process.namespace("ns/net")?;
        let groups = process.text("cgroup").unwrap_or_default();
        let open_counters =
            ["net/sockstat", "net/sockstat6"].iter().filter_map(|file| process.file(file).ok());
        Ok(Self {
            open_counters: open_counters.collect(),
            process,
            started,
            netns,
            identity,
            is_told_by_groups: contains(&groups, container.as_bytes()),
            container: container.to_owned(),
            tables: [const { None }; Table::ALL.len()],
            buffer: Vec::new(),
        })
    }

    /// Whether the other is about the very same process in the same namespace.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.pid(), self.started, self.netns) == (other.pid(), other.started, other.netns)
    }

    /// The inode of the network namespace.
    pub(super) fn netns(&self) -> u64 {
        self.netns
    }

    /// The process id, as the looker numbers processes.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The process itself.
    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    /// Whether it is known to be of the container.
    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether control groups tell processes of the container from others.
    pub(super) fn is_told_by_groups(&self) -> bool {
        self.is_told_by_groups
    }

    /// The id of the container.
    pub(super) fn container(&self) -> &str {
        &self.container
    }

    /// Checks that the namespace is neither the looker's own nor the host's.
    ///
    /// The host's cannot always be read; that is no error, because then the looker has no rights
    /// over the host, and its own namespace is the one that could be mistaken.
    pub(super) fn require_own_namespace(&self, proc_root: &Path) -> Result<(), LookError> {
        let shared = LookError::SharedNamespace { pid: self.pid(), netns: self.netns };
        let own = proc_root.join("self/ns/net");
        match namespace_at(&own)? {
            Some(own) if own == self.netns => return Err(shared),
            Some(_) => {}
            // A `/proc` that does not know the looker is not one to look at.
            None => return Err(LookError::unreadable(own.to_string_lossy(), Errno::NOENT)),
        }
        match namespace_at(&proc_root.join("1/ns/net")) {
            Ok(Some(host)) if host == self.netns => Err(shared),
            Err(LookError::Unreadable { cause, .. }) if cause.is_denied() => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Ok(()),
        }
    }

    /// Checks that the process runs and is in the same network namespace. Cheap: one link is read,
    /// and that link is gone as soon as the process has ended, zombie or not. If only its first
    /// thread has ended, another is read from then on.
    pub(super) fn check(&mut self) -> Result<(), LookError> {
        /// A process that ends as a whole loses its threads one after the other, and one that
        /// replaces its program from another thread than the first is without one for a moment.
        const TRIES: u32 = 16;
        let mut now = self.process.namespace("ns/net");
        for _ in 0..TRIES {
            if matches!(now, Ok(_) | Err(LookError::NoProcess { .. })) {
                break;
            }
            self.process.follow();
            now = self.process.namespace("ns/net");
        }
        let now = now?;
        if now == self.netns {
            return Ok(());
        }
        Err(LookError::Moved { pid: self.pid(), before: self.netns, now })
    }

    /// Checks all that [`Subject::open`] checked: that it is still that very process.
    pub(super) fn check_wholly(&mut self) -> Result<(), LookError> {
        match self.process.life()? {
            Some(life) if !life.is_running() => Err(LookError::NoProcess { pid: self.pid() }),
            Some(life) if life.started != self.started => {
                Err(LookError::Recycled { pid: self.pid() })
            }
            Some(_) => {
                if identify(&self.process, &self.container)? != self.identity {
                    let (pid, container) = (self.pid(), self.container.clone());
                    return Err(LookError::Unverified { pid, container });
                }
                self.check()
            }
            None => Err(LookError::NoProcess { pid: self.pid() }),
        }
    }

    /// The addresses that the network namespace has.
    pub(super) fn addresses(&self) -> Result<BTreeSet<IpAddr>, LookError> {
        let text = |file: &str| {
            self.process.text(file).map(|it| String::from_utf8_lossy(&it).into_owned())
        };
        let wrong = |file: &str, errno| LookError::unreadable(self.process.shown(file), errno);
        let ipv4 = text(FIB_TRIE).map_err(|errno| wrong(FIB_TRIE, errno))?;
        let mut all = addresses::of_ipv4(&ipv4);
        match text(IF_INET6) {
            Ok(ipv6) => all.extend(addresses::of_ipv6(&ipv6)),
            // A kernel without IPv6.
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(wrong(IF_INET6, errno)),
        }
        Ok(all)
    }
}

/// The thread's priority, as nice(2) counts: it needs little, but that little at once.
const URGENT: i32 = -10;

/// Puts this thread before others. Only root may, and it is no matter if not: on a busy machine it
/// helps.
pub(super) fn hurry() {
    let _ = rustix::process::setpriority_process(None, URGENT);
}

/// Whether `text` contains `part`.
pub(super) fn contains(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}

/// The namespace that a link under `/proc` names; `None` if the link is not there.
fn namespace_at(path: &Path) -> Result<Option<u64>, LookError> {
    let mut buffer = [0; 64];
    match readlinkat_raw(rustix::fs::CWD, path, &mut buffer[..]) {
        Ok(length) => bracketed(&buffer[..length])
            .map(Some)
            .ok_or_else(|| LookError::garbled(path.to_string_lossy(), &buffer[..length])),
        Err(Errno::NOENT | Errno::SRCH) => Ok(None),
        Err(errno) => Err(LookError::unreadable(path.to_string_lossy(), errno)),
    }
}

#[cfg(test)]
mod tests;
