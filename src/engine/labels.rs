//! Who made a thing: the labels on everything that portlid makes, and random names.

use std::{
    collections::HashMap,
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The run that made it.
pub(super) const RUN: &str = "dev.portlid.run";
/// The process that made it: `<boot id>:<pid>:<start time>`.
pub(super) const OWNER: &str = "dev.portlid.owner";
/// When it may be removed by anyone, in seconds since 1970.
pub(super) const EXPIRES: &str = "dev.portlid.expires";

/// No run takes longer than this (`ready.within` may be a day); what is older has no owner any more.
const LIFETIME: Duration = Duration::from_secs(36 * 60 * 60);

/// A name that nothing else has: 64 random bits in hexadecimal.
pub(super) fn random() -> String {
    let mut bytes = [0_u8; 8];
    if getrandom::fill(&mut bytes).is_err() {
        // No randomness: the clock and the process id are unique enough on one machine.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mixed = now.as_nanos() ^ (u128::from(std::process::id()) << 64);
        bytes = u64::try_from(mixed & u128::from(u64::MAX)).unwrap_or_default().to_be_bytes();
    }
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The labels of everything that the run `run` makes.
pub(super) fn labels(run: &str) -> HashMap<String, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    HashMap::from([
        (RUN.to_owned(), run.to_owned()),
        (OWNER.to_owned(), owner()),
        (EXPIRES.to_owned(), (now + LIFETIME).as_secs().to_string()),
    ])
}

/// `<boot id>:<pid>:<start time>` of this process; the start time in clock ticks since the boot
/// (field 22 of `/proc/PID/stat`, see `proc_pid_stat(5)`), so that a recycled pid is told apart.
fn owner() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in field 2 may hold blanks and brackets: count from its last bracket.
    let start = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19))
        .unwrap_or("0");
    format!("{}:{}:{start}", boot.trim(), std::process::id())
}
