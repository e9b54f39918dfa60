//! What the kernel's `stat` file says of a process or a thread.

use std::{fs::File, io::Read, os::fd::BorrowedFd};

use rustix::{
    fs::{Mode, OFlags, openat},
    io::Errno,
};

/// What the kernel's `stat` file says of a process: whether it runs, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::look) struct Life {
    /// The state's letter, see proc_pid_stat(5).
    pub(in crate::look) state: u8,
    /// Whether the kernel has begun to end it. It loses its namespaces before its state changes.
    pub(in crate::look) is_exiting: bool,
    /// When it started, in clock ticks since the machine's start. With the pid it names a process.
    pub(in crate::look) started: u64,
}

impl Life {
    /// Whether the process still runs: not a zombie, not dead, and not about to be.
    pub(in crate::look) fn is_running(self) -> bool {
        !self.is_exiting && !matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// The flag of the kernel's `linux/sched.h` for a task that is ending.
const PF_EXITING: u32 = 0x4;

/// The third field is the state, the ninth the kernel's flags, the 22nd the start. The second is the
/// name in brackets, which may hold anything, brackets and blanks included: so the fields are counted
/// from its end.
pub(in crate::look) fn parse_life(text: &[u8]) -> Option<Life> {
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&text[end + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let flags: u32 = fields.nth(5)?.parse().ok()?;
    let started = fields.nth(12)?.parse().ok()?;
    Some(Life { state, is_exiting: flags & PF_EXITING != 0, started })
}

pub(super) const FILE: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC);

pub(super) fn text_at(folder: BorrowedFd<'_>, file: &str) -> Result<Vec<u8>, Errno> {
    let mut text = Vec::new();
    let wrong = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    File::from(openat(folder, file, FILE, Mode::empty())?).read_to_end(&mut text).map_err(wrong)?;
    Ok(text)
}

/// Whether the thread of this folder runs.
pub(super) fn runs(folder: BorrowedFd<'_>) -> bool {
    let text = text_at(folder, "stat");
    text.ok().and_then(|text| parse_life(&text)).is_some_and(Life::is_running)
}
