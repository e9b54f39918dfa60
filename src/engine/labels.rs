//! Who made a thing: the labels on everything that portlid makes, and random names.
//!
//! A thing may be removed by another run only if its maker is surely gone. Where that cannot be
//! told (another machine, another boot, another process namespace) it stays until it expires.

use std::{
    collections::HashMap,
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::process::{Pid, test_kill_process};

/// The run that made it.
pub(super) const RUN: &str = "dev.portlid.run";
/// The process that made it: `<boot id>:<pid>:<start time>`.
const OWNER: &str = "dev.portlid.owner";
/// The namespace in which that pid counts: two containers of one machine share the boot id.
const NAMESPACE: &str = "dev.portlid.pidns";
/// When it may be removed by anyone, in seconds since 1970.
const EXPIRES: &str = "dev.portlid.expires";

/// No run takes longer than this (`ready.within` may be a day); what is older has no owner any more.
const LIFETIME: Duration = Duration::from_secs(36 * 60 * 60);
/// By how much the clocks of two machines may differ.
const SKEW: Duration = Duration::from_secs(60 * 60);

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

/// A process that makes things, and its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Maker {
    run: String,
    /// The boot id of its kernel, empty if it has none.
    boot: String,
    /// The inode of its process namespace.
    pidns: u64,
    pid: u32,
    /// In clock ticks since the boot, so that a recycled pid is told apart.
    start: u64,
    /// In seconds since 1970.
    expires: u64,
}

impl Maker {
    /// This process, as the maker of a new run.
    pub(super) fn this() -> Self {
        let pid = std::process::id();
        Self {
            run: random(),
            boot: boot(),
            pidns: pidns(),
            pid,
            start: match standing(pid) {
                Standing::Runs(start) => start,
                Standing::Unknown | Standing::Gone => 0,
            },
            expires: now().saturating_add(LIFETIME.as_secs()),
        }
    }

    /// The run's id.
    pub(super) fn run(&self) -> &str {
        &self.run
    }

    /// The labels of everything that it makes.
    pub(super) fn labels(&self) -> HashMap<String, String> {
        HashMap::from([
            (RUN.to_owned(), self.run.clone()),
            (OWNER.to_owned(), format!("{}:{}:{}", self.boot, self.pid, self.start)),
            (NAMESPACE.to_owned(), self.pidns.to_string()),
            (EXPIRES.to_owned(), self.expires.to_string()),
        ])
    }

    /// Reads the labels. `None` if they are not just as portlid writes them.
    pub(super) fn of_labels(labels: &HashMap<String, String>) -> Option<Self> {
        let mut owner = labels.get(OWNER)?.split(':');
        let (boot, pid, start) = (owner.next()?, owner.next()?, owner.next()?);
        let maker = Self {
            run: labels.get(RUN)?.clone(),
            boot: boot.to_owned(),
            // Versions before this label had none; then only the expiry tells.
            pidns: labels.get(NAMESPACE).map_or(Some(0), |text| text.parse().ok())?,
            pid: pid.parse().ok()?,
            start: start.parse().ok()?,
            expires: labels.get(EXPIRES)?.parse().ok()?,
        };
        (owner.next().is_none() && maker.is_sound()).then_some(maker)
    }

    /// A new tag for an image that cannot be given labels.
    pub(super) fn tag(&self) -> String {
        let Self { run, boot, pidns, pid, start, expires } = self;
        format!("{run}-{}-{pidns}-{pid}-{start}-{expires}-{}", random(), boot.replace('-', ""))
    }

    /// Reads a tag. `None` if it is not just as portlid writes it.
    pub(super) fn of_tag(tag: &str) -> Option<Self> {
        let parts: Vec<&str> = tag.split('-').collect();
        let [run, _, pidns, pid, start, expires, boot] = parts[..] else { return None };
        let mut dashed = String::new();
        for (index, digit) in boot.char_indices() {
            if matches!(index, 8 | 12 | 16 | 20) {
                dashed.push('-');
            }
            dashed.push(digit);
        }
        let maker = Self {
            run: run.to_owned(),
            boot: dashed,
            pidns: pidns.parse().ok()?,
            pid: pid.parse().ok()?,
            start: start.parse().ok()?,
            expires: expires.parse().ok()?,
        };
        maker.is_sound().then_some(maker)
    }

    /// Whether the name is one that the run gives: nobody else's container has both our labels and
    /// such a name.
    pub(super) fn names(&self, name: &str) -> bool {
        let rest = name.strip_prefix("portlid-").and_then(|rest| rest.strip_prefix(&self.run));
        rest.and_then(|rest| rest.strip_prefix('-')).is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    }

    /// Whether it has surely ended, so that what it made may be removed.
    pub(super) fn is_gone(&self, here: &Here) -> bool {
        let is_known = !self.boot.is_empty() && self.pidns != 0;
        if is_known && self.boot == here.boot && self.pidns == here.pidns {
            return match (here.start_of)(self.pid) {
                Standing::Runs(start) => start != self.start,
                Standing::Unknown => false,
                Standing::Gone => true,
            };
        }
        here.now > self.expires.saturating_add(SKEW.as_secs())
    }

    fn is_sound(&self) -> bool {
        let is_hex =
            |text: &str| text.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it));
        self.run.len() == 16
            && is_hex(&self.run)
            && (self.boot.is_empty()
                || (self.boot.len() == 36 && is_hex(&self.boot.replace('-', ""))))
    }
}

/// What is known of a process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It runs, and started then.
    Runs(u64),
    /// It runs, and nothing more can be seen of it.
    Unknown,
    /// There is no such process.
    Gone,
}

/// What decides whether a maker has ended: where and when that is asked.
pub(super) struct Here {
    boot: String,
    pidns: u64,
    now: u64,
    start_of: fn(u32) -> Standing,
}

impl Here {
    /// This process's own view, now.
    pub(super) fn now() -> Self {
        Self { boot: boot(), pidns: pidns(), now: now(), start_of: standing }
    }
}

/// Asked of the kernel itself: where `/proc` hides other users' processes, they still run.
fn standing(pid: u32) -> Standing {
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Standing::Gone;
    };
    match test_kill_process(process) {
        Err(rustix::io::Errno::SRCH) => Standing::Gone,
        Ok(()) | Err(_) => match std::fs::read(format!("/proc/{pid}/stat")) {
            Ok(stat) => parse(&String::from_utf8_lossy(&stat)).unwrap_or(Standing::Unknown),
            Err(_) => Standing::Unknown,
        },
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn boot() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// The inode in `pid:[4026531836]`, see `namespaces(7)`; 0 if it cannot be had.
fn pidns() -> u64 {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let link = link.to_string_lossy();
    let number = link.strip_prefix("pid:[").and_then(|rest| rest.strip_suffix(']'));
    number.and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// The state and the start time: fields 3 and 22 of `/proc/PID/stat`, see `proc_pid_stat(5)`.
fn parse(stat: &str) -> Option<Standing> {
    // The name in field 2 may hold blanks and brackets: count from its last bracket.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_ascii_whitespace();
    // Dead, and only waiting for its parent to notice.
    if matches!(fields.next()?, "Z" | "X") {
        return Some(Standing::Gone);
    }
    Some(Standing::Runs(fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = "0b1c2d3e-0000-4000-8000-00000000000a";

    fn maker() -> Maker {
        Maker {
            run: "0123456789abcdef".to_owned(),
            boot: BOOT.to_owned(),
            pidns: 4_026_531_836,
            pid: 77,
            start: 1234,
            expires: 1_000_000,
        }
    }

    fn here() -> Here {
        Here {
            boot: BOOT.to_owned(),
            pidns: 4_026_531_836,
            now: 500_000,
            start_of: |pid| match pid {
                77 => Standing::Runs(1234),
                78 => Standing::Unknown,
                _ => Standing::Gone,
            },
        }
    }

    #[test]
    fn labels_and_tags_are_read_as_they_are_written() {
        for maker in [maker(), Maker::this()] {
            assert_eq!(Maker::of_labels(&maker.labels()), Some(maker.clone()));
            let tag = maker.tag();
            assert!(tag.len() <= 128, "an image's tag is not longer: {tag}");
            assert_eq!(Maker::of_tag(&tag), Some(maker.clone()));
            assert!(maker.names(&format!("portlid-{}-12", maker.run())));
        }
    }

    #[test]
    fn only_what_is_surely_ended_is_gone() {
        assert!(!maker().is_gone(&here()), "it runs");
        assert!(Maker { start: 1235, ..maker() }.is_gone(&here()), "the pid is another's");
        assert!(Maker { pid: 79, ..maker() }.is_gone(&here()));
        assert!(!Maker { pid: 78, ..maker() }.is_gone(&here()), "it runs, hidden");
        // Not even when it has expired: a live run owns it.
        assert!(!maker().is_gone(&Here { now: 9_000_000, ..here() }));
    }

    #[test]
    fn of_another_boot_or_namespace_only_the_expiry_tells() {
        for other in [
            Maker { boot: "1".repeat(36), pid: 79, ..maker() },
            Maker { pidns: 1, pid: 79, ..maker() },
            Maker { boot: String::new(), pid: 79, ..maker() },
        ] {
            assert!(!other.is_gone(&here()), "{other:?}");
            assert!(!other.is_gone(&Here { now: 1_003_600, ..here() }), "clocks differ");
            assert!(other.is_gone(&Here { now: 1_003_601, ..here() }));
        }
        // A machine without a boot id can tell nothing of processes.
        let nowhere = Here { boot: String::new(), ..here() };
        assert!(!Maker { boot: String::new(), pid: 79, ..maker() }.is_gone(&nowhere));
    }

    #[test]
    fn what_only_looks_alike_is_not_ours() {
        let labels = maker().labels();
        for missing in [RUN, OWNER, EXPIRES] {
            let mut labels = labels.clone();
            labels.remove(missing);
            assert_eq!(Maker::of_labels(&labels), None, "{missing}");
        }
        for (label, wrong) in [
            (RUN, ""),
            (RUN, "web"),
            (RUN, "0123456789ABCDEF"),
            (OWNER, "me"),
            (OWNER, "a:1:2"),
            (OWNER, "::"),
            (OWNER, "0b1c2d3e-0000-4000-8000-00000000000a:1:2:3"),
            (NAMESPACE, "x"),
            (EXPIRES, "never"),
            (EXPIRES, "-1"),
        ] {
            let mut labels = labels.clone();
            labels.insert(label.to_owned(), wrong.to_owned());
            assert_eq!(Maker::of_labels(&labels), None, "{label}={wrong}");
        }
        for tag in ["", "latest", "1-2-3-4-5-6-7", "0123456789abcdef-x-1-1-1-1-zz"] {
            assert_eq!(Maker::of_tag(tag), None, "{tag}");
        }
        for name in [
            "portlid-0123456789abcdef",
            "portlid-0123456789abcdef-",
            "portlid-0123456789abcdef-1x",
            "my-portlid-0123456789abcdef-1",
            "portlid-1-1",
            "",
        ] {
            assert!(!maker().names(name), "{name}");
        }
    }

    #[test]
    fn the_kernel_tells_whether_a_process_runs() {
        assert!(matches!(standing(std::process::id()), Standing::Runs(_)));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let started = standing(child.id());
        assert!(matches!(started, Standing::Runs(_)));
        child.kill().unwrap();
        // Until its parent waits for it, it is a zombie.
        while standing(child.id()) == started {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(standing(child.id()), Standing::Gone);
        child.wait().unwrap();
        assert!(!Maker::this().is_gone(&Here::now()));
    }
}
