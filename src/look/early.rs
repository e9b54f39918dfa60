//! A watch that begins while the engine still starts the container, before its program runs.
//!
//! An engine says which process is a container's only once the program runs, and on a busy machine
//! that answer takes its time: a listener of a fifth of a second may have come and gone. But the
//! container's id is known before, and the process that is to become the program carries it in its
//! control group. So it is found without the engine, and its namespace watched from then on.
//!
//! Whatever is in doubt here is no error: then the watch begins when the engine has answered.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Target,
    process::{Identity, Process, Subject, contains, hurry},
    watch::Watch,
};

/// How often new processes are looked for.
const OFTEN: Duration = Duration::from_millis(5);
/// How seldom at most, where there are very many processes.
const SELDOM: Duration = Duration::from_millis(25);
/// How many times as long as a search took it rests after.
const RESTS: u32 = 3;
/// How long the engine may take to make the process.
const WITHIN: Duration = Duration::from_secs(60);

/// The search, and the watch that comes of it. Dropping it ends both.
#[derive(Debug)]
pub struct Early {
    cancel: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<Option<(u32, Watch)>>>,
}

impl Early {
    /// Begins to search for the first process of a container that is about to be started.
    #[must_use]
    pub fn new(proc_root: PathBuf, container: String) -> Self {
        let cancel = Arc::new(AtomicBool::new(false));
        // Who is there already is not the container's.
        let before = processes(&proc_root);
        let cancelled = Arc::clone(&cancel);
        let thread = thread::Builder::new()
            .name("portlid-early".to_owned())
            .spawn(move || search(&proc_root, &container, &before, &cancelled));
        Self { cancel, thread: thread.ok() }
    }

    /// The watch over process `pid`, if it has begun. Ends the search.
    #[must_use]
    pub fn watch(mut self, pid: u32) -> Option<Watch> {
        self.cancel.store(true, Ordering::Relaxed);
        let (found, watch) = self.thread.take()?.join().ok()??;
        (found == pid && watch.ended().is_none()).then(|| {
            watch.seek_owners();
            watch
        })
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        self.cancel.store(true, Ordering::Relaxed);
    }
}

fn search(
    proc_root: &Path,
    container: &str,
    before: &BTreeSet<u32>,
    cancel: &AtomicBool,
) -> Option<(u32, Watch)> {
    hurry();
    let begun = Instant::now();
    let mut looked = begun;
    while !cancel.load(Ordering::Relaxed) && begun.elapsed() < WITHIN {
        let now = Instant::now();
        for pid in processes(proc_root).difference(before).copied() {
            if is_first(proc_root, pid, container) {
                let target = Target {
                    proc_root: proc_root.to_owned(),
                    pid,
                    container: container.to_owned(),
                    age: begun.elapsed(),
                };
                // In the search before this one it was not there, or not yet what it is.
                return Watch::begin_early(&target, looked).ok().map(|watch| (pid, watch));
            }
        }
        looked = now;
        thread::sleep((now.elapsed() * RESTS).clamp(OFTEN, SELDOM));
    }
    None
}

/// Every process that is there.
fn processes(proc_root: &Path) -> BTreeSet<u32> {
    let entries = std::fs::read_dir(proc_root).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Whether it is the first process of the container, in the namespaces that it will have.
fn is_first(proc_root: &Path, pid: u32, container: &str) -> bool {
    let Ok(process) = Process::open(proc_root, pid) else { return false };
    // This first: the other takes a lock of the kernel's that engines hold for long.
    if !is_number_one(&process) {
        return false;
    }
    let Ok(groups) = process.text("cgroup") else { return false };
    if !contains(&groups, container.as_bytes()) {
        return false;
    }
    Subject::open(proc_root, pid, container).is_ok_and(|subject| {
        subject.identity() == Identity::Verified && subject.require_own_namespace(proc_root).is_ok()
    })
}

/// Whether it is the first process of a process namespace of its own.
fn is_number_one(process: &Process) -> bool {
    let Ok(status) = process.text("status") else { return false };
    let status = String::from_utf8_lossy(&status);
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    // One number for each nested namespace, the innermost last.
    pids.is_some_and(|pids| pids.split_ascii_whitespace().skip(1).last() == Some("1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was there before is nobody's first process, and a search ends when it is told to.
    #[test]
    fn nothing_is_found_where_nothing_starts() {
        let early = Early::new(PathBuf::from("/proc"), "no-such-container".to_owned());
        thread::sleep(Duration::from_millis(30));
        assert!(early.watch(std::process::id()).is_none());
    }

    #[test]
    fn a_process_of_this_namespace_is_not_a_containers_first() {
        let this = Process::open(Path::new("/proc"), std::process::id()).unwrap();
        assert!(!is_number_one(&this));
        assert!(!is_first(Path::new("/proc"), std::process::id(), ""));
    }
}
