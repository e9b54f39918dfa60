//! How many sockets all scans of this process may hold at once.
//!
//! Descriptors are shared with everything else in the process, and with other scans. A scan of
//! ports that answer needs one; only silent ports hold theirs, so only those are counted.

use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, getrlimit};

/// The sockets that wait for an answer now, in all scans of this process.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// More do not make a scan faster.
const MOST: usize = 4096;
/// Left to the rest of the process beyond what is open now.
const RESERVE: usize = 64;

/// How many sockets may wait at once, by the limit on descriptors and by how many are open.
pub(super) fn most() -> usize {
    let limit = getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let open = std::fs::read_dir("/proc/self/fd").map_or(RESERVE, Iterator::count);
    let open = open.saturating_sub(HELD.load(Ordering::Relaxed));
    limit.saturating_sub(open + RESERVE).max(limit / 4).min(MOST)
}

/// The right to hold one waiting socket. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Permit(());

impl Permit {
    /// One of `most`, or none.
    pub(super) fn take(most: usize) -> Option<Self> {
        let take = |held| (held < most).then_some(held + 1);
        HELD.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok().map(|_| Self(()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        HELD.fetch_sub(1, Ordering::Relaxed);
    }
}
