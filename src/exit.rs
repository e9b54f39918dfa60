//! The exit codes of the command line, and which of several wins.
//!
//! They are a promise to scripts. Under `cargo test` and nextest libtest's own codes hold instead:
//! anything but a pass is a failed trial.

use crate::judgement::Verdict;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All passed.
    Pass,
    /// A rule was broken.
    Broken,
    /// A spec or the command line is wrong; nothing was started.
    Usage,
    /// It could not be looked at.
    Inconclusive,
    /// There was nothing to check.
    NothingChecked,
    /// All passed, but something was left behind.
    LeftBehind,
    /// A defect of portlid.
    Internal,
    /// Ended by this signal, after cleaning up.
    Signal(u8),
}

impl Exit {
    /// The process's exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Broken => 1,
            Self::Usage => 2,
            Self::Inconclusive => 3,
            Self::NothingChecked => 4,
            Self::LeftBehind => 5,
            Self::Internal => 70,
            Self::Signal(number) => 128_u8.saturating_add(number),
        }
    }

    /// The more telling of two: 70, 2, signal, 1, 3, 4, 5, 0.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if other.rank() < self.rank() { other } else { self }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Internal => 0,
            Self::Usage => 1,
            Self::Signal(_) => 2,
            Self::Broken => 3,
            Self::Inconclusive => 4,
            Self::NothingChecked => 5,
            Self::LeftBehind => 6,
            Self::Pass => 7,
        }
    }
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Fail => Self::Broken,
            Verdict::Inconclusive => Self::Inconclusive,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    /// The order of the contract, the strongest first.
    const BY_STRENGTH: [(Exit, u8); 8] = [
        (Exit::Internal, 70),
        (Exit::Usage, 2),
        (Exit::Signal(2), 130),
        (Exit::Broken, 1),
        (Exit::Inconclusive, 3),
        (Exit::NothingChecked, 4),
        (Exit::LeftBehind, 5),
        (Exit::Pass, 0),
    ];

    #[test]
    fn the_stronger_wins_whatever_comes_first() {
        for (at, (stronger, code)) in BY_STRENGTH.into_iter().enumerate() {
            assert_eq!(stronger.code(), code);
            for (weaker, _) in &BY_STRENGTH[at..] {
                assert_eq!(stronger.and(*weaker), stronger);
                assert_eq!(weaker.and(stronger), stronger);
            }
        }
    }

    #[test]
    fn a_signal_is_told_by_its_number() {
        assert_eq!(Exit::Signal(15).code(), 143);
        assert_eq!(Exit::Signal(1).code(), 129);
    }
}
