//! What several formats say in the same words.

use std::{
    path::{Component, Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    exit::Exit,
    foreign::Untrusted,
    judgement::Verdict,
    observation::Owner,
    record::{Allowance, LedgerRow, LocatedFinding, Origin, Record, RunRecord},
    rule::Level,
};

/// A moment to the second, as RFC 3339 writes it.
pub(super) fn moment(moment: Timestamp) -> String {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment).to_string()
}

/// A stretch of time, short.
pub(super) fn shortly(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else if duration < Duration::from_secs(600) {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} min", duration.as_secs() / 60)
    }
}

/// `1 spec`, `2 specs`.
pub(super) fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// How many findings of a level there are.
pub(super) fn findings(record: &Record, level: Level) -> usize {
    record.findings.iter().filter(|located| located.finding.level == level).count()
}

/// Whether a spec passed and left nothing behind.
pub(super) fn has_passed(record: &Record) -> bool {
    record.exit() == Exit::Pass
}

/// The outcome of a spec, in a few words.
pub(super) fn outcome(record: &Record) -> String {
    match record.verdict {
        _ if record.is_internal_error => "portlid itself failed".to_owned(),
        Verdict::Fail => match findings(record, Level::Fail) {
            1 => "1 rule is broken".to_owned(),
            broken => format!("{broken} rules are broken"),
        },
        Verdict::Inconclusive => "could not be looked at, so it does not pass".to_owned(),
        Verdict::Pass if !record.left_behind.is_empty() => {
            "passed, but something was left behind".to_owned()
        }
        Verdict::Pass => match findings(record, Level::Warn) {
            0 => "everything is as the spec says".to_owned(),
            warnings => format!("passed with {}", count(warnings, "warning")),
        },
    }
}

/// The outcome of a run, in a sentence without a full stop.
pub(super) fn headline(run: &RunRecord) -> String {
    let all = run.specs.len();
    let of = |verdict| run.specs.iter().filter(|it| it.verdict == verdict).count();
    let (fail, open) = (of(Verdict::Fail), of(Verdict::Inconclusive));
    match run.exit() {
        Exit::Internal => "portlid itself failed".to_owned(),
        Exit::Signal(number) => format!("ended by signal {number} before its time"),
        Exit::NothingChecked => "nothing was checked".to_owned(),
        Exit::LeftBehind => "all passed, but something was left behind".to_owned(),
        Exit::Pass if all == 1 => "the spec holds".to_owned(),
        Exit::Pass => format!("all {all} specs hold"),
        Exit::Usage | Exit::Broken | Exit::Inconclusive => {
            let specs = count(all, "spec");
            match (fail, open) {
                (fail, 0) => format!("{fail} of {specs} broken"),
                (0, open) => format!("{open} of {specs} inconclusive"),
                (fail, open) => format!("{fail} of {specs} broken, {open} inconclusive"),
            }
        }
    }
}

/// The word for a spec's outcome that a reader looks for first.
pub(super) fn verdict(record: &Record) -> &'static str {
    match record.verdict {
        _ if record.is_internal_error => "error",
        Verdict::Pass if !has_passed(record) => "left behind",
        Verdict::Pass | Verdict::Fail | Verdict::Inconclusive => record.verdict.as_str(),
    }
}

/// The specs, those first that need a reader most.
pub(super) fn by_severity(run: &RunRecord) -> Vec<&Record> {
    let mut records: Vec<&Record> = run.specs.iter().collect();
    records.sort_by_key(|record| match record.verdict {
        _ if record.is_internal_error => 0,
        Verdict::Fail => 1,
        Verdict::Inconclusive => 2,
        Verdict::Pass if !has_passed(record) => 3,
        Verdict::Pass if findings(record, Level::Warn) > 0 => 4,
        Verdict::Pass => 5,
    });
    records
}

/// The name that a reader knows a process by: its own where the executable
/// goes by several (`redis-server` is a link to `redis-check-rdb`, every applet one to `busybox`),
/// else the executable's.
pub(super) fn known_as(owner: &Owner) -> &Untrusted {
    /// Names that share so many bytes are variants of one.
    const ALIKE: usize = 5;
    /// The kernel cuts the process's own name here.
    const CUT: usize = 15;
    let Some(executable) = &owner.executable else { return &owner.name };
    let own = &owner.name;
    let start = |name: &Untrusted| name.raw().as_bytes().get(..ALIKE).map(<[u8]>::to_vec);
    let is_whole = own.raw().len() < CUT;
    let is_alike = is_whole && start(own).is_some() && start(own) == start(executable);
    let is_box = matches!(executable.raw(), "busybox" | "toybox");
    if is_alike || is_box { own } else { executable }
}

/// What the entry of a port says about itself, by the spec's keys; nothing if it says nothing, or
/// there is none.
pub(super) fn allowance(row: &LedgerRow) -> Vec<(&'static str, String)> {
    const LONGEST: usize = 200;
    let Allowance { why, owner, until } = &row.allowance;
    let why = why.as_ref().map(|why| ("why", why.shown(LONGEST)));
    let owner = owner.as_ref().map(|owner| ("owner", owner.shown(LONGEST)));
    let until = until.map(|day| ("until", day.to_string()));
    [why, owner, until].into_iter().flatten().collect()
}

/// The same for the port that a finding is about.
pub(super) fn allowance_of(
    record: &Record,
    located: &LocatedFinding,
) -> Vec<(&'static str, String)> {
    let port = located.finding.port;
    let row = record.ledger.iter().find(|row| Some(row.port) == port);
    row.map(allowance).unwrap_or_default()
}

/// A finding's port and message.
pub(super) fn said(located: &LocatedFinding) -> String {
    let finding = &located.finding;
    match finding.port {
        Some(port) => format!("{port}: {}", finding.message),
        None => finding.message.clone(),
    }
}

/// The path of a spec's file from the root of the repository, with slashes; `None` if it lies
/// elsewhere.
pub(super) fn from_root(file: &Path, origin: &Origin) -> Option<String> {
    let whole = plain(&origin.folder.join(file))?;
    let root = plain(&origin.root)?;
    let parts: Option<Vec<&str>> = whole
        .strip_prefix(&root)
        .ok()?
        .components()
        .map(|part| part.as_os_str().to_str())
        .collect();
    parts.filter(|parts| !parts.is_empty()).map(|parts| parts.join("/"))
}

/// The path without `.` and `..`, by its text alone.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !plain.pop() {
                    return None;
                }
            }
            part => plain.push(part),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::from_root;
    use crate::record::Origin;

    #[test]
    fn paths_start_at_the_root_of_the_repository() {
        let origin = Origin { folder: "/repo/services/web".into(), root: "/repo".into() };
        for (file, path) in [
            ("specs/a.yaml", Some("services/web/specs/a.yaml")),
            ("./specs/a.yaml", Some("services/web/specs/a.yaml")),
            ("../../specs/a.yaml", Some("specs/a.yaml")),
            ("/repo/specs/a.yaml", Some("specs/a.yaml")),
            ("/elsewhere/a.yaml", None),
            ("../../../a.yaml", None),
        ] {
            assert_eq!(from_root(Path::new(file), &origin).as_deref(), path, "{file}");
        }
        let nowhere = Origin::default();
        assert_eq!(from_root(Path::new("specs/a.yaml"), &nowhere).as_deref(), Some("specs/a.yaml"));
    }
}
