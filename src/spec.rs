//! Stage 1 of 5: a file -> [`Spec`].
//!
//! A spec is read whole or refused whole: every problem of every file is reported at once, each
//! with its place, and nothing starts. This stage knows no engine.
//!
//! In reading order: [`load`] finds the files, `raw` makes a tree of each, `merge` puts defaults
//! under it, `validate` makes a [`Spec`] of it or lists the faults, which [`render`] shows.

mod expand;
mod fault;
mod fields;
mod load;
mod locate;
mod mask;
mod merge;
mod model;
#[cfg(test)]
mod mutations;
mod problem;
mod raw;
mod schema;
mod services;
mod shown;
#[cfg(any(test, fuzzing))]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod validate;

pub(crate) use fields::parse_duration as duration;
pub use load::{Loaded, load, load_text};
pub use locate::{Location, Step};
pub use model::{
    Build, Companion, Egress, Entry, HttpCheck, Place, Platform, Publish, PublishEntry,
    PublishMode, Ready, ReadyWhen, Run, Scan, Source, Speaks, Spec, Subject, Volume,
};
pub use problem::{Problem, render};
pub use schema::{SchemaOf, schema};
pub use validate::{ReferenceError, check_reference};
