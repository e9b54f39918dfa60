//! Stage 2 of 5: a spec -> a running subject, and its end.
//!
//! The only place that knows bollard. What the engine says in its own words is converted here,
//! once, losing nothing; what differs between engines is handled here.
//!
//! # Invariants
//!
//! - Every request has a deadline, the bodies of streams included; and every answer, and every item of
//!   a stream, a limit to its size.
//! - Whatever is made carries the labels of the run, and is noted down before the request is sent,
//!   so that an abandoned request leaves nothing behind.
//! - Nothing without our label is ever removed, and no image that was there before.
//! - This stage never looks at ports of a running container: that is [`look`](crate::look)'s.

mod archive;
mod build;
mod client;
mod connection;
mod context;
mod elf;
mod endpoint;
mod entrance;
mod error;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
mod helper;
mod image;
mod inspect;
mod known;
mod labels;
mod lenient;
mod meter;
mod podman;
mod ready;
mod reaper;
mod scene;
mod ssh;
mod sweep;

pub use client::{Engine, is_missing, patience};
pub use endpoint::{Endpoint, Environment, Found};
pub use entrance::MARK;
pub use error::{Cause, EngineError, Unfit, chain};
pub use helper::{Speech, enable as enable_scout, is_helper};
pub use image::{Image, PullPolicy};
pub use inspect::{Inspection, Life};
pub use ready::{Condition, wait_for};
pub use reaper::{enable as enable_reaper, serve as serve_reaper};
pub use scene::{Running, Scene};
pub use sweep::Swept;
