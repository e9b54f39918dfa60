//! Who holds a socket: inode -> every process of the container with a descriptor for it.
//!
//! A process is the container's if it is in the container's network namespace, or if its control
//! group carries the container's id; where those carry none, if it is in the container's process
//! namespace or descends from its main process. Owners are a list: a socket may be shared by many
//! processes, and "unknown" is never the same as "none".
//!
//! Only the descriptors of whole processes are looked through, not those of threads with a
//! descriptor table of their own (`unshare(CLONE_FILES)`).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use rustix::{fs::readlinkat_raw, io::Errno};

use super::{
    error::LookError,
    process::{Identity, Process, Subject, bracketed, contains, network_of},
};
use crate::observation::Owner;

/// Which processes of the container hold which sockets, at one moment.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// The holders of every wanted inode that has any.
    pub(super) holders: BTreeMap<u64, BTreeSet<Owner>>,
    /// Whether every process of the container could be looked through. Only then does the absence
    /// of a holder mean that there is none.
    pub(super) complete: bool,
    /// Whether some thread of the container is in a network namespace that is neither the
    /// container's, nor the looker's, nor the host's: what it listens on there is not seen.
    pub(super) elsewhere: bool,
}

/// Looks for the holders of the `wanted` inodes. Processes that end meanwhile are no holders.
pub(super) fn census(proc_root: &Path, subject: &Subject, wanted: &BTreeSet<u64>) -> Census {
    // Every process namespace has a first process. Where it is not to be seen, `/proc` hides
    // processes from us (`hidepid`), and nobody knows how many.
    let shows_all = proc_root.join("1").exists();
    let mut census = Census { complete: shows_all, ..Census::default() };
    let Ok(entries) = std::fs::read_dir(proc_root) else {
        return Census::default();
    };
    // uids are translated unless the looker is in the same user namespace: then the kernel prints
    // them as the container numbers them, and the map counts from the parent namespace.
    let own_users = link_number(&proc_root.join("self/ns/user"));
    // An engine's monitor is in a control group named after the container, and on the host's
    // network; so is, for a moment, whatever it executes in the container.
    let outside = ["self/ns/net", "1/ns/net"].map(|link| link_number(&proc_root.join(link)));
    let is_elsewhere = |netns: u64| netns != subject.netns() && !outside.contains(&Some(netns));
    let is_nested = depth(subject.process()) > 1;
    for entry in entries {
        let Ok(entry) = entry else {
            census.complete = false;
            continue;
        };
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let mut process = match Process::open(proc_root, pid) {
            Ok(process) => process,
            Err(LookError::NoProcess { .. }) => continue,
            Err(_) => {
                census.complete = false;
                continue;
            }
        };
        let outcome = match membership(&mut process, subject) {
            Ok(Some(netns)) => {
                // An engine's own process comes into the container's network, with one of its
                // threads, and goes; but no process leaves the process namespace that it is in.
                if !is_nested || depth(&process) > 1 {
                    census.elsewhere |= is_elsewhere(netns);
                    // Threads can be in different namespaces. One that has ended is in none; a
                    // process whose threads cannot be listed is one whose descriptors cannot be,
                    // either.
                    let _ = process.each_thread(|thread| {
                        census.elsewhere |= network_of(&thread).is_some_and(is_elsewhere);
                    });
                }
                // Wherever it is now, it may hold a socket of the container's.
                held(&process, wanted, own_users).map(|held| {
                    let Some((owner, inodes)) = held else { return };
                    for inode in inodes {
                        census.holders.entry(inode).or_default().insert(owner.clone());
                    }
                })
            }
            Ok(None) => Ok(()),
            Err(unknown) => Err(unknown),
        };
        // A process that has ended in the meantime holds nothing; one that lives and cannot be
        // read may hold anything.
        if outcome.is_err() && !process.has_ended() {
            census.complete = false;
        }
    }
    census
}

/// In how many process namespaces the process has a number, as the looker sees it: one for those of
/// the host, more in a container. Old kernels do not tell, which counts as one.
fn depth(process: &Process) -> usize {
    let status = process.text("status").unwrap_or_default();
    let mut lines = status.split(|byte| *byte == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(b"NStgid:"));
    let numbers = line.map(|line| line.split(u8::is_ascii_whitespace).filter(|it| !it.is_empty()));
    numbers.map_or(1, |numbers| numbers.count().max(1))
}

/// That something of a process could not be read.
pub(super) struct Hidden;

/// The network namespace of the process if it is one of the container's, else `None`.
///
/// A process whose namespace is hidden is judged by its control group alone, if those tell
/// processes of the container from others; it counts as being in the container's.
pub(super) fn membership(process: &mut Process, subject: &Subject) -> Result<Option<u64>, Hidden> {
    let mut namespace = process.namespace("ns/net");
    // Only then, since most processes of a machine have nothing to do with the container.
    if namespace.is_err() && process.follow() {
        namespace = process.namespace("ns/net");
    }
    if let Ok(netns) = namespace
        && netns == subject.netns()
    {
        return Ok(Some(netns));
    }
    if !subject.container().is_empty() {
        let groups = process.text("cgroup").map_err(|_| Hidden)?;
        if contains(&groups, subject.container().as_bytes())
            || !subject.is_told_by_groups() && is_of_its_processes(process, subject)
        {
            return Ok(Some(namespace.unwrap_or(subject.netns())));
        }
    }
    match namespace {
        Err(_) if subject.identity() == Identity::Unverified => Err(Hidden),
        Ok(_) | Err(_) => Ok(None),
    }
}

/// Whether the process is in the subject's process namespace, or descends from the subject. That
/// tells whose it is where control groups do not (rootless Podman on version 1).
fn is_of_its_processes(process: &Process, subject: &Subject) -> bool {
    /// More than nests in a container, and an end if processes change places meanwhile.
    const ANCESTORS: usize = 64;
    let namespace = process.namespace("ns/pid").ok();
    // In the host's process namespace everybody is.
    let is_nested = depth(subject.process()) > 1;
    if is_nested && namespace.is_some() && namespace == subject.process().namespace("ns/pid").ok() {
        return true;
    }
    let mut ancestor = parent(process);
    for _ in 0..ANCESTORS {
        match ancestor {
            Some(pid) if pid == subject.pid() => return true,
            Some(pid) if pid > 1 => {
                ancestor = process.beside(pid).ok().and_then(|process| parent(&process));
            }
            _ => return false,
        }
    }
    false
}

/// The process's parent, as the looker numbers it.
fn parent(process: &Process) -> Option<u32> {
    let status = process.text("status").ok()?;
    let mut lines = status.split(|byte| *byte == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(b"PPid:"))?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

/// Which of the `wanted` sockets the process holds, and as who; `None` if none.
///
/// A child has all that its parent holds until it starts its own program, and nothing of it after:
/// only what it held while it was surely the same program is its own.
fn held(
    process: &Process,
    wanted: &BTreeSet<u64>,
    own_users: Option<u64>,
) -> Result<Option<(Owner, BTreeSet<u64>)>, Hidden> {
    const TRIES: usize = 4;
    // Most processes hold none of them, and need not be asked twice.
    if sockets(process, wanted)?.is_empty() {
        return Ok(None);
    }
    let mut before = owner(process, own_users).ok_or(Hidden)?;
    for _ in 0..TRIES {
        let inodes = sockets(process, wanted)?;
        let after = owner(process, own_users).ok_or(Hidden)?;
        if before == after {
            return Ok((!inodes.is_empty()).then_some((before, inodes)));
        }
        before = after;
    }
    Err(Hidden)
}

/// Which of the `wanted` sockets the process has a descriptor for.
fn sockets(process: &Process, wanted: &BTreeSet<u64>) -> Result<BTreeSet<u64>, Hidden> {
    let mut held = BTreeSet::new();
    let mut unlimited = usize::MAX;
    each_socket(process, &mut unlimited, |inode| {
        if wanted.contains(&inode) {
            held.insert(inode);
        }
    })?;
    Ok(held)
}

/// Calls `each` for every socket that the process has a descriptor for, by inode. Each descriptor
/// takes one from `allowed`; where that is not enough, the rest is hidden.
pub(super) fn each_socket(
    process: &Process,
    allowed: &mut usize,
    mut each: impl FnMut(u64),
) -> Result<(), Hidden> {
    let mut descriptors = process.directory("fd").map_err(|_| Hidden)?;
    let mut buffer = [0; 40];
    while let Some(entry) = descriptors.read() {
        let entry = entry.map_err(|_| Hidden)?;
        let name = entry.file_name();
        if name.to_bytes().starts_with(b".") {
            continue;
        }
        *allowed = allowed.checked_sub(1).ok_or(Hidden)?;
        let folder = descriptors.fd().map_err(|_| Hidden)?;
        match readlinkat_raw(folder, name, &mut buffer[..]) {
            Ok(length) => {
                let link = &buffer[..length];
                if link.starts_with(b"socket:")
                    && let Some(inode) = bracketed(link)
                {
                    each(inode);
                }
            }
            // Closed since the folder was listed.
            Err(Errno::NOENT) => {}
            Err(_) => return Err(Hidden),
        }
    }
    Ok(())
}

/// The process as the container sees it; `None` if it cannot be read, mostly because it has ended.
fn owner(process: &Process, own_users: Option<u64>) -> Option<Owner> {
    let (pid, uid) = numbers(&process.text("status").ok()?)?;
    let same_users = own_users.is_some() && process.namespace("ns/user").ok() == own_users;
    let uid = if same_users {
        uid
    } else {
        let map = process.text("uid_map").ok()?;
        // Who has no number in there is nobody.
        inside(std::str::from_utf8(&map).ok()?, uid).unwrap_or(NOBODY)
    };
    let executable = executable(process);
    // What is ending has no program any more, and its sockets for a moment still.
    if executable.is_none() && process.has_ended() {
        return None;
    }
    let name = process.text("comm").ok()?;
    let name = name.strip_suffix(b"\n").unwrap_or(&name);
    Some(Owner {
        pid: pid.unwrap_or(process.pid()),
        executable: executable.map(Into::into),
        name: String::from_utf8_lossy(name).into_owned().into(),
        uid,
    })
}

/// The process id in the innermost namespace, if the kernel tells it, and the effective user.
pub(super) fn numbers(status: &[u8]) -> Option<(Option<u32>, u32)> {
    let field = |name: &str| {
        let mut lines = status.split(|byte| *byte == b'\n');
        let line = lines.find_map(|line| line.strip_prefix(name.as_bytes()))?;
        std::str::from_utf8(line).ok()
    };
    // One number for each nested namespace, the innermost last. Old kernels have no such line.
    let pid = field("NStgid:").and_then(|pids| pids.split_ascii_whitespace().last()?.parse().ok());
    // Real, effective, saved, filesystem.
    let uid = field("Uid:")?.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some((pid, uid))
}

/// The kernel's default for a user that has no number in a namespace (`overflowuid`).
const NOBODY: u32 = 65534;

/// The number that user `outside` has inside a user namespace, by the namespace's `uid_map`:
/// lines of first inside, first outside, count. See user_namespaces(7).
pub(super) fn inside(map: &str, outside: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut numbers = line.split_ascii_whitespace().map(|word| word.parse::<u32>().ok());
        let (first_inside, first_outside, count) =
            (numbers.next()??, numbers.next()??, numbers.next()??);
        let offset = outside.checked_sub(first_outside)?;
        if offset < count { first_inside.checked_add(offset) } else { None }
    })
}

/// The executable's file name. The kernel appends ` (deleted)` if the file is no longer there.
fn executable(process: &Process) -> Option<String> {
    let mut buffer = vec![0; 4096];
    let path = process.link("exe", &mut buffer).ok()?;
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    let name = path.rsplit(|byte| *byte == b'/').next()?;
    (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
}

fn link_number(path: &Path) -> Option<u64> {
    let target = std::fs::read_link(path).ok()?;
    bracketed(target.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests;
