//! Keeps every port of a container image shut, unless a spec file says that it may be open.
//!
//! A spec lists the ports that an image may expose. portlid starts the image, looks at it from four
//! sides (declared, published, listening, reachable), and says pass, fail or inconclusive. A pass
//! has to be earned: whatever could not be looked at is inconclusive.
//!
//! # The pipeline
//!
//! | stage | from | to | module |
//! |---|---|---|---|
//! | 1 | a file | [`Spec`] | [`spec`] |
//! | 2 | a spec | a running container, and its end | [`engine`] |
//! | 3 | a running container | what is seen of it | [`look`] |
//! | 4 | a spec and an [`Observation`] | findings | [`judgement`] |
//! | 5 | [records](record) | text | [`report`] |
//!
//! Imports run one way: no stage knows a later one, but that an engine names itself, and what it
//! could not remove, in the words of [`record`]. [`run`] alone knows all stages. [`harness`] makes a test of
//! each spec, and [`harness::main`] is the whole of a `harness = false` test.

mod files;
pub mod foreign;
pub mod progress;
pub mod secrets;
pub mod socket;

pub mod rule;
pub mod spec;

pub mod observation;

pub mod engine;
pub mod look;

pub mod judgement;
pub mod notorious;

pub mod exit;
pub mod record;
pub mod report;

mod check;
pub mod cli;
pub mod command;
pub mod harness;
pub mod output;
pub mod panics;
pub mod partition;
pub mod run;
#[cfg(feature = "testcontainers")]
pub mod testcontainers;

#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;

pub use check::NotPassed;
pub use judgement::judge;
pub use observation::Observation;
pub use socket::Port;
pub use spec::{Spec, SpecBuilder};
