//! How this executable is started once more: as a scout, or as a reaper.
//!
//! A `main` of ours answers to an argument. A test executable has the `main` of libtest, which knows
//! no such argument, but runs a single test if it is told to: so one of its tests does the work, the
//! one that [`scout!`](crate::scout) makes. Which that is stands in the executable, as a text that
//! the macro leaves there. Any other program is never started: it would do its own work twice.

use std::{fs, sync::OnceLock};

use super::elf;

/// What begins the text that [`scout!`](crate::scout) leaves. Behind it the test's path stands in
/// braces, which are not here: this text, too, is in the executable.
const PREFIX: &str = "portlid-scout-test";
/// The longest such path.
const LONGEST: usize = 1024;

/// What a scout says first where libtest speaks before it. What comes before that is not its own.
pub const MARK: &str = "\n__portlid-scout-speaks\n";

/// What answers if this executable is started with one of our arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entrance {
    /// Its `main`.
    Main,
    /// Its test of that name.
    Test(String),
}

impl Entrance {
    /// That of this executable, whose `main` answers if it `is_enabled`; `None` if it has none.
    pub(super) fn of_this(is_enabled: bool) -> Option<Self> {
        static TEST: OnceLock<Option<Entrance>> = OnceLock::new();
        if is_enabled {
            return Some(Self::Main);
        }
        let find = || Self::of(&fs::read(std::env::current_exe().ok()?).ok()?);
        TEST.get_or_init(find).clone()
    }

    /// The test that an executable names. Texts are in what is only read of it, and debug
    /// information, the most of it by far, is not.
    fn of(executable: &[u8]) -> Option<Self> {
        elf::segments(executable)
            .filter(elf::Segment::is_read_only_data)
            .find_map(|segment| path_in(executable.get(segment.range)?))
            .map(Self::Test)
    }

    /// The arguments that make it a helper of the kind that `role` names.
    pub(super) fn arguments(&self, role: &str) -> Vec<String> {
        let mut arguments = vec![role.to_owned()];
        if let Self::Test(name) = self {
            // Libtest takes the role for a second filter, which matches nothing. With more threads
            // than one it would tell of a test that takes its time, in the middle of all.
            arguments.extend(
                [name.as_str(), "--exact", "--nocapture", "--test-threads=1"].map(str::to_owned),
            );
        }
        arguments
    }
}

/// The path of the test in that data, as libtest names it: without the crate.
fn path_in(data: &[u8]) -> Option<String> {
    let mut rest = data;
    while let Some(at) = find(rest, PREFIX) {
        rest = &rest[at + PREFIX.len()..];
        let path = rest[..rest.len().min(LONGEST)].strip_prefix(b"{").and_then(|behind| {
            let end = behind.iter().position(|&byte| byte == b'}')?;
            std::str::from_utf8(&behind[..end]).ok()
        });
        if let Some((_, name)) = path.and_then(|path| path.split_once("::"))
            && name.chars().all(|it| it.is_alphanumeric() || "_:#".contains(it))
        {
            return Some(name.to_owned());
        }
    }
    None
}

fn find(data: &[u8], text: &str) -> Option<usize> {
    let (first, others) = text.as_bytes().split_first()?;
    let mut from = 0;
    loop {
        // Byte by byte would take seconds without optimization.
        let at = from + data.get(from..)?.iter().position(|byte| byte == first)?;
        if data[at + 1..].starts_with(others) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{Entrance, PREFIX, path_in};

    #[test]
    fn the_test_is_named_as_libtest_names_it() {
        for (data, name) in [
            ("..^{web::portlid_scout}..", Some("portlid_scout")),
            ("^{a::tests::deep::portlid_scout}", Some("tests::deep::portlid_scout")),
            ("^{a::r#mod::portlid_scout}", Some("r#mod::portlid_scout")),
            // The prefix alone is in every executable that holds this file.
            ("^engine^{^\0^{x::portlid_scout}", Some("portlid_scout")),
            ("^{x::portlid scout}", None),
            ("^{portlid_scout}", None),
            ("^{x::portlid_scout", None),
            ("^", None),
            ("", None),
        ] {
            let data = data.replace('^', PREFIX);
            assert_eq!(path_in(data.as_bytes()).as_deref(), name, "{data:?}");
        }
        let foreign = [PREFIX.as_bytes(), b"{x::\xff}"].concat();
        assert_eq!(path_in(&foreign), None);
    }

    #[test]
    fn an_executable_without_the_macro_has_no_entrance() {
        let executable = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(Entrance::of(&executable), None);
    }

    #[test]
    fn a_test_is_asked_for_alone() {
        assert_eq!(Entrance::Main.arguments("x"), ["x"]);
        let arguments = Entrance::Test("a::portlid_scout".to_owned()).arguments("x");
        let alone = ["x", "a::portlid_scout", "--exact", "--nocapture", "--test-threads=1"];
        assert_eq!(arguments, alone);
    }
}
