//! What the in-toto report says, read again: whether a release may rest on it.
//!
//! [`read`] finds the statements of a file, [`judge`] holds them against an image. Both are pure: no
//! file, no engine, no clock; the time is an argument.
//!
//! # Invariants
//!
//! - **Nothing is assumed.** A statement verifies only if every key that the report writes is there,
//!   once, with a value that it could have written, and no other key is. A wrong "verified" is the
//!   worst that could come of this module.
//! - **No signature is checked here.** Whoever can write the file can write a good one. The caller
//!   says so wherever it says "verified".
//! - All reasons are told at once, each with what to do about it.

mod claims;
mod envelope;
mod fields;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
mod image;
mod json;
mod judgement;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;

pub(crate) use self::claims::is_platform;
pub use self::{
    envelope::{File, ReadError, read},
    judgement::judge,
};

/// The type of the predicate that is read.
pub const PREDICATE_TYPE: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// The largest file that is read, in bytes.
pub const LARGEST_FILE: usize = 16 * 1024 * 1024;

/// How far the clock of the machine that wrote a statement may be ahead of ours.
pub const SKEW: Duration = Duration::from_secs(60);

/// The image that is to be released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Named by its digest, which is taken as it is.
    Stated {
        /// `sha256:...`
        digest: String,
    },
    /// As the engine knows it.
    Resolved {
        /// The engine's id of it, `sha256:...`.
        id: String,
        /// The digests by which it came from registries, `sha256:...` each.
        digests: Vec<String>,
        /// What it is for.
        platform: Option<String>,
    },
}

impl Wanted {
    /// Whether `digest` is a digest of the image itself, or of an index that holds it.
    fn is(&self, digest: &str) -> bool {
        match self {
            Self::Stated { digest: stated } => stated == digest,
            Self::Resolved { id, digests, .. } => {
                id == digest || digests.iter().any(|known| known == digest)
            }
        }
    }

    /// Whether `id` is the engine's id of the image.
    fn has_id(&self, id: &str) -> bool {
        matches!(self, Self::Resolved { id: known, .. } if known == id)
    }
}

/// What is asked of a statement beyond that it is whole, and about the image.
#[derive(Clone, Debug)]
pub struct Demands {
    /// The time.
    pub now: Timestamp,
    /// How long ago the run may have finished.
    pub max_age: Duration,
    /// Whether a pass with warnings will do.
    pub allow_warnings: bool,
    /// The platforms for which the image must have been looked at.
    pub platforms: Vec<String>,
}

/// Why a statement does not verify. Safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What is wrong: lowercase, things in backticks, no full stop.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every demand is met, by these statements.
    Verified(Vec<Verified>),
    /// At least one is not.
    Refused(Vec<Reason>),
}

/// What a statement that meets every demand says. Safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The image's name in the statement.
    pub subject: String,
    /// The digest that both sides have, `sha256:...`.
    pub digest: String,
    /// Whose digest that is.
    pub compared: Compared,
    /// The specs that hold of the image.
    pub tests: Vec<Test>,
    /// The version of portlid that looked.
    pub version: String,
    /// The engine that it looked with.
    pub engine: String,
    /// When the run was over.
    pub finished: Timestamp,
    /// How long ago that was.
    pub age: Duration,
}

/// What was compared with the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// The digest as it was stated.
    Stated,
    /// A digest under which the engine got the image from a registry.
    Registry,
    /// The engine's id of the image.
    Id,
}

/// A spec that holds of the image. Safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// The spec's name.
    pub name: String,
    /// The spec's file.
    pub file: String,
    /// The platform of the image that was looked at.
    pub platform: String,
    /// Whether there were warnings.
    pub is_warned: bool,
}
