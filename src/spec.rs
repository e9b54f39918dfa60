//! Stage 1 of 5: a file -> [`Spec`].
//!
//! A spec is read whole or refused whole: every problem of every file is reported at once, each
//! with its place, and nothing starts. This stage knows no engine.
//!
//! In reading order: [`load`] finds the files, `raw` makes a tree of each, `merge` puts defaults
//! under it, `validate` makes a [`Spec`] of it or lists the faults, which [`render`] shows.

mod builder;
mod expand;
mod fault;
mod fields;
mod invalid;
mod load;
mod locate;
mod mask;
mod merge;
mod model;
#[cfg(test)]
mod mutations;
mod problem;
mod raw;
mod scalar;
mod schema;
mod services;
mod shown;
mod source;
#[cfg(any(test, fuzzing))]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod validate;

pub use builder::{Allow, Need, SpecBuilder};
pub(crate) use fields::parse_duration as duration;
pub use invalid::InvalidSpec;
pub use load::{Loaded, load, load_text};
pub use locate::Location;
pub use model::{
    Build, Companion, Egress, Entry, HttpCheck, Platform, Publish, PublishEntry, PublishMode,
    Ready, ReadyWhen, Run, Scan, Speaks, Spec, Subject, Volume,
};
pub use problem::{Problem, render};
pub(crate) use scalar::{quoted, scalar};
#[doc(hidden)]
pub use schema::{SchemaOf, schema};
pub use source::{Place, Source};
#[doc(hidden)]
pub use validate::{ReferenceError, check_reference};
