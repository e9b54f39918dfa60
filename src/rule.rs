//! The rule table: every rule's id, default level, and the items of the CIS benchmark it automates.
//!
//! One kebab-case id per rule, the same in code, specs, reports, docs and tests. To add a rule, add
//! a variant and a row here; the compiler then leads to everything else that must know it.

mod explained;

use std::{fmt, str::FromStr};

pub use explained::Explained;

/// What a finding is about. See `portlid explain RULE` and the README's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// A socket that others can reach listens, and no entry allows it.
    UnlistedListener,
    /// A required port never listened.
    MissingListener,
    /// A required port listens, but on loopback only.
    LoopbackOnly,
    /// A port listens wider than its `bind`.
    BoundTooWide,
    /// A port is owned by another executable than the entry says.
    WrongProcess,
    /// A port is owned by another uid than the entry says.
    WrongUser,
    /// A port does not speak what the entry says.
    WrongProtocol,
    /// The image declares a port that no entry allows.
    UnlistedExpose,
    /// The image declares a port, and nothing listens on it.
    SilentExpose,
    /// An allowed port listens that the image does not declare.
    UndeclaredPort,
    /// A published port that is not allowed.
    UnlistedPublish,
    /// A port is published on a wider host address than asked.
    PublishTooWide,
    /// A published port with nothing behind it.
    DeadPublish,
    /// A port that must be published is not.
    MissingPublish,
    /// A neighbour gets an answer on a port where no allowed socket listens.
    UnlistedReachable,
    /// A required port listens, but does not answer a neighbour.
    Unreachable,
    /// A required port stopped listening during the watch.
    Flapping,
    /// An unconnected UDP socket in the ephemeral range with no entry: a client's, most likely.
    EphemeralUdp,
    /// Something listens on loopback with no entry.
    LoopbackListener,
    /// An entry whose `until` has passed.
    Expired,
    /// An optional entry that nothing used.
    UnusedEntry,
}

/// How much a finding weighs. Ordered: the most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The verdict is `fail`.
    Fail,
    /// Worth mending; the verdict stays.
    Warn,
    /// Worth knowing.
    Note,
    /// Not reported.
    Off,
}

struct Row {
    id: &'static str,
    level: Level,
    fixed: bool,
    summary: &'static str,
    cis: &'static [&'static str],
}

const fn row(
    id: &'static str,
    level: Level,
    fixed: bool,
    summary: &'static str,
    cis: &'static [&'static str],
) -> Row {
    Row { id, level, fixed, summary, cis }
}

impl Rule {
    /// Every rule, in the order in which findings are listed.
    pub const ALL: [Self; 21] = [
        Self::UnlistedListener,
        Self::MissingListener,
        Self::LoopbackOnly,
        Self::BoundTooWide,
        Self::WrongProcess,
        Self::WrongUser,
        Self::WrongProtocol,
        Self::UnlistedExpose,
        Self::SilentExpose,
        Self::UndeclaredPort,
        Self::UnlistedPublish,
        Self::PublishTooWide,
        Self::DeadPublish,
        Self::MissingPublish,
        Self::UnlistedReachable,
        Self::Unreachable,
        Self::Flapping,
        Self::EphemeralUdp,
        Self::LoopbackListener,
        Self::Expired,
        Self::UnusedEntry,
    ];

    /// Item numbers are those of the CIS Docker Benchmark 1.6.0: 5.8 privileged ports are not
    /// mapped, 5.9 only needed ports are open, 5.10 the host's network namespace is not shared
    /// (such a container is never judged), 5.14 traffic is bound to a specific host interface.
    fn row(self) -> Row {
        use Level::{Fail, Note, Warn};
        match self {
            Self::UnlistedListener => row(
                "unlisted-listener",
                Fail,
                true,
                "a socket that others can reach listens, and no entry allows it",
                &["5.9"],
            ),
            Self::MissingListener => {
                row("missing-listener", Fail, true, "a required port never listened", &[])
            }
            Self::LoopbackOnly => row(
                "loopback-only",
                Fail,
                true,
                "a required port listens, but on loopback only",
                &[],
            ),
            Self::BoundTooWide => {
                row("bound-too-wide", Fail, true, "a port listens wider than its `bind`", &["5.9"])
            }
            Self::WrongProcess => row(
                "wrong-process",
                Fail,
                false,
                "a port is owned by another executable than the entry says",
                &[],
            ),
            Self::WrongUser => row(
                "wrong-user",
                Fail,
                false,
                "a port is owned by another user than the entry says",
                &[],
            ),
            Self::WrongProtocol => {
                row("wrong-protocol", Fail, false, "a port does not speak what the entry says", &[])
            }
            Self::UnlistedExpose => row(
                "unlisted-expose",
                Fail,
                false,
                "the image declares a port that no entry allows",
                &["5.9"],
            ),
            Self::SilentExpose => row(
                "silent-expose",
                Warn,
                false,
                "the image declares a port, and nothing listens on it",
                &[],
            ),
            Self::UndeclaredPort => row(
                "undeclared-port",
                Note,
                false,
                "an allowed port listens that the image does not declare",
                &[],
            ),
            Self::UnlistedPublish => row(
                "unlisted-publish",
                Fail,
                false,
                "a port is published that is not allowed to be",
                &["5.8", "5.9"],
            ),
            Self::PublishTooWide => row(
                "publish-too-wide",
                Fail,
                false,
                "a port is published on a wider host address than asked",
                &["5.14"],
            ),
            Self::DeadPublish => {
                row("dead-publish", Fail, false, "a published port has nothing behind it", &[])
            }
            Self::MissingPublish => {
                row("missing-publish", Fail, false, "a port that must be published is not", &[])
            }
            Self::UnlistedReachable => row(
                "unlisted-reachable",
                Fail,
                true,
                "a neighbour gets an answer on a port where no allowed socket listens",
                &["5.9"],
            ),
            Self::Unreachable => row(
                "unreachable",
                Fail,
                false,
                "a required port listens, but does not answer a neighbour",
                &[],
            ),
            Self::Flapping => row(
                "flapping",
                Fail,
                false,
                "a required port stopped listening during the watch",
                &[],
            ),
            Self::EphemeralUdp => row(
                "ephemeral-udp",
                Note,
                false,
                "an unconnected UDP socket in the ephemeral range with no entry",
                &[],
            ),
            Self::LoopbackListener => row(
                "loopback-listener",
                Note,
                false,
                "something listens on loopback with no entry",
                &[],
            ),
            Self::Expired => row("expired", Fail, true, "an entry's `until` has passed", &[]),
            Self::UnusedEntry => {
                row("unused-entry", Warn, false, "an optional entry that nothing used", &[])
            }
        }
    }

    /// The kebab-case id.
    #[must_use]
    pub fn id(self) -> &'static str {
        self.row().id
    }

    /// The level where a spec says nothing.
    #[must_use]
    pub fn default_level(self) -> Level {
        self.row().level
    }

    /// Whether the level cannot be changed by a spec.
    #[must_use]
    pub fn is_fixed(self) -> bool {
        self.row().fixed
    }

    /// When the rule is broken, in one line.
    #[must_use]
    pub fn summary(self) -> &'static str {
        self.row().summary
    }

    /// Whether a look that was broken off can settle it: what was seen was seen, but what was not
    /// seen might have come later.
    #[must_use]
    pub fn holds_of_a_part(self) -> bool {
        match self {
            Self::UnlistedListener
            | Self::BoundTooWide
            | Self::WrongProcess
            | Self::WrongUser
            | Self::UnlistedExpose
            | Self::UnlistedReachable
            | Self::Expired => true,
            Self::MissingListener
            | Self::LoopbackOnly
            | Self::WrongProtocol
            | Self::SilentExpose
            | Self::UndeclaredPort
            | Self::UnlistedPublish
            | Self::PublishTooWide
            | Self::DeadPublish
            | Self::MissingPublish
            | Self::Unreachable
            | Self::Flapping
            | Self::EphemeralUdp
            | Self::LoopbackListener
            | Self::UnusedEntry => false,
        }
    }

    /// Items of the CIS Docker Benchmark 1.6.0 that the rule automates.
    #[must_use]
    pub fn cis(self) -> &'static [&'static str] {
        self.row().cis
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for Rule {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|rule| rule.id() == text).ok_or(())
    }
}

impl Level {
    /// Every level, the most severe first.
    pub const ALL: [Self; 4] = [Self::Fail, Self::Warn, Self::Note, Self::Off];

    /// The word that specs and reports use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Warn => "warn",
            Self::Note => "note",
            Self::Off => "off",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|level| level.as_str() == text).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Level, Rule};

    #[test]
    fn ids_are_unique_kebab_case_and_read_back() {
        for rule in Rule::ALL {
            assert!(rule.id().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
            assert_eq!(rule.id().parse(), Ok(rule));
            assert_eq!(Rule::ALL.iter().filter(|other| other.id() == rule.id()).count(), 1);
        }
    }

    #[test]
    fn fixed_rules_always_fail() {
        for rule in Rule::ALL.into_iter().filter(|rule| rule.is_fixed()) {
            assert_eq!(rule.default_level(), Level::Fail, "{rule}");
        }
    }
}
