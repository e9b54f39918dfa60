//! One process under `/proc`, held fast.
//!
//! The process's folder is opened once, and everything is read through that descriptor. The kernel
//! ties it to the process, not to the number: once the process has ended, nothing more can be read
//! through it, so a recycled process id is never read by mistake.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, openat, readlinkat_raw},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use super::{
    error::LookError,
    glance::Glance,
    tables::{self, Row, Table},
};

/// A process's folder under a `/proc`, open.
#[derive(Debug)]
pub(super) struct Process {
    folder: std::os::fd::OwnedFd,
    path: PathBuf,
    pid: u32,
}

/// What the kernel's `stat` file says of a process: whether it runs, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    /// The state's letter, see proc_pid_stat(5).
    pub(super) state: u8,
    /// Whether the kernel has begun to end it. It loses its namespaces before its state changes.
    pub(super) is_exiting: bool,
    /// When it started, in clock ticks since the machine's start. With the pid it names a process.
    pub(super) started: u64,
}

impl Life {
    /// Whether the process still runs: not a zombie, not dead, and not about to be.
    pub(super) fn is_running(self) -> bool {
        !self.is_exiting && !matches!(self.state, b'Z' | b'X' | b'x')
    }
}

impl Process {
    /// Opens the folder of process `pid`.
    pub(super) fn open(proc_root: &Path, pid: u32) -> Result<Self, LookError> {
        let path = proc_root.join(pid.to_string());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(folder) => Ok(Self { folder, path, pid }),
            Err(Errno::NOENT | Errno::SRCH) => Err(LookError::NoProcess { pid }),
            Err(errno) => Err(LookError::unreadable(path.to_string_lossy(), errno)),
        }
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
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        openat(&self.folder, file, flags, Mode::empty()).map(File::from)
    }

    /// Opens a folder of the folder.
    pub(super) fn directory(&self, name: &str) -> Result<rustix::fs::Dir, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::Dir::new(openat(&self.folder, name, flags, Mode::empty())?)
    }

    /// The whole text of a file of the folder.
    pub(super) fn text(&self, file: &str) -> Result<Vec<u8>, Errno> {
        let mut text = Vec::new();
        let wrong = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        self.file(file)?.read_to_end(&mut text).map_err(wrong)?;
        Ok(text)
    }

    /// Where a link of the folder leads, cut at the length of `buffer`.
    pub(super) fn link<'a>(&self, file: &str, buffer: &'a mut [u8]) -> Result<&'a [u8], Errno> {
        let length = readlinkat_raw(&self.folder, file, &mut *buffer)?;
        Ok(&buffer[..length])
    }

    /// Whether the process runs, and since when. `None` once it is gone for good.
    pub(super) fn life(&self) -> Result<Option<Life>, LookError> {
        let text = match self.text("stat") {
            Ok(text) => text,
            Err(Errno::NOENT | Errno::SRCH) => return Ok(None),
            Err(errno) => return Err(LookError::unreadable(self.shown("stat"), errno)),
        };
        parse_life(&text).map(Some).ok_or_else(|| LookError::garbled(self.shown("stat"), &text))
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

/// The number in `net:[4026531840]` or `socket:[1503]`.
pub(super) fn bracketed(link: &[u8]) -> Option<u64> {
    let open = link.iter().position(|byte| *byte == b'[')?;
    let digits = link[open + 1..].strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The flag of the kernel's `linux/sched.h` for a task that is ending.
const PF_EXITING: u32 = 0x4;

/// The third field is the state, the ninth the kernel's flags, the 22nd the start. The second is the name in brackets, which may
/// hold anything, brackets and blanks included: so the fields are counted from its end.
fn parse_life(text: &[u8]) -> Option<Life> {
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&text[end + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let flags: u32 = fields.nth(5)?.parse().ok()?;
    let started = fields.nth(12)?.parse().ok()?;
    Some(Life { state, is_exiting: flags & PF_EXITING != 0, started })
}

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
    container: String,
    open_tables: [Option<File>; Table::ALL.len()],
    /// `sockstat` and `sockstat6`; none if they cannot be had.
    open_counters: Vec<File>,
    buffer: Vec<u8>,
}

impl Subject {
    /// Opens the process and remembers what identifies it. An empty `container` is for looking at a
    /// process of our own: then only the process itself is identified.
    pub(super) fn open(proc_root: &Path, pid: u32, container: &str) -> Result<Self, LookError> {
        let process = Process::open(proc_root, pid)?;
        let started = match process.life()? {
            Some(life) if life.is_running() => life.started,
            _ => return Err(LookError::NoProcess { pid }),
        };
        let identity = identify(&process, container)?;
        let netns = process.namespace("ns/net")?;
        let open_counters =
            ["net/sockstat", "net/sockstat6"].iter().filter_map(|file| process.file(file).ok());
        Ok(Self {
            open_counters: open_counters.collect(),
            process,
            started,
            netns,
            identity,
            container: container.to_owned(),
            open_tables: [const { None }; Table::ALL.len()],
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
        if namespace_at(&own)? == Some(self.netns) {
            return Err(shared);
        }
        match namespace_at(&proc_root.join("1/ns/net")) {
            Ok(Some(host)) if host == self.netns => Err(shared),
            Err(LookError::Unreadable { cause, .. }) if cause.is_denied() => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Ok(()),
        }
    }

    /// Checks that the process runs and is in the same network namespace. Cheap: one link is read,
    /// and that link is gone as soon as the process has ended, zombie or not.
    pub(super) fn check(&self) -> Result<(), LookError> {
        let now = self.process.namespace("ns/net")?;
        if now == self.netns {
            return Ok(());
        }
        Err(LookError::Moved { pid: self.pid(), before: self.netns, now })
    }

    /// Checks all that [`Subject::open`] checked: that it is still that very process.
    pub(super) fn check_wholly(&self) -> Result<(), LookError> {
        match self.process.life()? {
            Some(life) if !life.is_running() => Err(LookError::NoProcess { pid: self.pid() }),
            Some(life) if life.started != self.started => {
                Err(LookError::Recycled { pid: self.pid() })
            }
            Some(_) => {
                identify(&self.process, &self.container)?;
                self.check()
            }
            None => Err(LookError::NoProcess { pid: self.pid() }),
        }
    }

    /// Reads the counters into `glance`; `false` if they say nothing.
    pub(super) fn glance(&mut self, glance: &mut Glance) -> bool {
        glance.clear();
        let mut any = false;
        for file in &mut self.open_counters {
            self.buffer.clear();
            if file.seek(SeekFrom::Start(0)).is_err()
                || file.read_to_end(&mut self.buffer).is_err()
                || !glance.add(&self.buffer)
            {
                return false;
            }
            any = true;
        }
        any
    }

    /// Reads every table once and calls `each` for every socket.
    ///
    /// # Errors
    ///
    /// If a table is missing that this kernel must have, or cannot be read whole. Some rows may
    /// have been reported by then.
    pub(super) fn read_tables(
        &mut self,
        mut each: impl FnMut(Row),
    ) -> Result<[TableState; Table::ALL.len()], LookError> {
        let mut states = [TableState::Read; Table::ALL.len()];
        for (index, table) in Table::ALL.into_iter().enumerate() {
            if !self.load(index, table)? {
                states[index] = TableState::NotInKernel;
                continue;
            }
            tables::read(table, &self.buffer, &mut each)?;
        }
        Ok(states)
    }

    /// Reads a table's text into the buffer; `false` if the kernel does not have the table.
    ///
    /// The file stays open and is read again from its start, which spares the kernel the way
    /// through the folders. That it is still the right namespace's is checked with every sample.
    fn load(&mut self, index: usize, table: Table) -> Result<bool, LookError> {
        let unreadable = |cause: super::error::Cause| {
            LookError::unreadable(self.process.shown(table.path()), cause)
        };
        let slot = &mut self.open_tables[index];
        let file = match slot {
            Some(file) => {
                file.seek(SeekFrom::Start(0)).map_err(|error| unreadable(error.into()))?;
                file
            }
            None => match self.process.file(table.path()) {
                Ok(file) => slot.insert(file),
                Err(Errno::NOENT | Errno::SRCH) => {
                    return absent(&self.process, table).map(|()| false);
                }
                Err(errno) => return Err(unreadable(errno.into())),
            },
        };
        self.buffer.clear();
        file.read_to_end(&mut self.buffer).map_err(|error| unreadable(error.into()))?;
        Ok(true)
    }
}

/// Judges a table's absence: fine if the kernel lacks the protocol, an error otherwise.
fn absent(process: &Process, table: Table) -> Result<(), LookError> {
    if process.has_ended() {
        return Err(LookError::NoProcess { pid: process.pid() });
    }
    if !table.is_essential() {
        // A kernel with the protocol has both families' tables, or that of IPv4 alone.
        let twin = if table == Table::Udplite { Some(Table::Udplite6) } else { None };
        return match twin {
            Some(twin) if process.file(twin.path()).is_ok() => {
                Err(LookError::MissingTable { table })
            }
            _ => Ok(()),
        };
    }
    // `if_inet6` is there wherever IPv6 is, even if it is switched off by sysctl.
    let has_ipv6 = ["net/if_inet6", "net/tcp6", "net/udp6", "net/raw6"]
        .iter()
        .any(|file| process.file(file).is_ok());
    if table.is_ipv6() && !has_ipv6 {
        return Ok(());
    }
    Err(LookError::MissingTable { table })
}

/// Whether the process's control groups carry the container's id.
///
/// Every engine and driver puts the whole id somewhere into the path: `/docker/ID`,
/// `/system.slice/docker-ID.scope`, `/machine.slice/libpod-ID.scope/container`.
fn identify(process: &Process, container: &str) -> Result<Identity, LookError> {
    let pid = process.pid();
    if container.is_empty() {
        return Ok(Identity::Unverified);
    }
    let text = match process.text("cgroup") {
        Ok(text) => text,
        Err(Errno::NOENT | Errno::SRCH) if process.has_ended() => {
            return Err(LookError::NoProcess { pid });
        }
        Err(errno) => return Err(LookError::unreadable(process.shown("cgroup"), errno)),
    };
    let container = container.to_owned();
    if contains(&text, container.as_bytes()) {
        return Ok(Identity::Verified);
    }
    // A line is `number:controllers:path`. A process that shows in the root group everywhere is
    // either in no container, or seen from inside its own group namespace.
    let only_root = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .all(|line| line.splitn(3, |byte| *byte == b':').nth(2) == Some(b"/"));
    if only_root { Ok(Identity::Unverified) } else { Err(LookError::Stranger { pid, container }) }
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
