//! `needs` in code: a companion of what is looked at.

use std::{fmt::Display, panic::Location, time::Duration};

use super::{
    lines::Lines,
    start::{Start, milliseconds, start_methods},
};

/// A companion, started before what is looked at and reachable by its name: an entry of `needs`.
///
/// It is not judged, and nothing of it is published.
///
/// ```
/// use portlid::{Port, Spec, spec::Need};
///
/// let database = Need::image("postgres:17")
///     .env("POSTGRES_PASSWORD", "x")
///     .ready_port(Port::tcp(5432));
/// let spec = Spec::image("shop:1").need("db", database).allow(Port::tcp(80)).build()?;
/// assert_eq!(spec.needs[0].name, "db");
/// # Ok::<(), portlid::spec::InvalidSpec>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a companion is started only for a spec that needs it"]
pub struct Need {
    start: Start,
}

impl Need {
    /// An image by reference.
    ///
    /// ```
    /// let cache = portlid::spec::Need::image("redis:8");
    /// ```
    #[track_caller]
    pub fn image(reference: impl Into<String>) -> Self {
        Self { start: Start::new("image", reference.into(), Location::caller()) }
    }

    /// An image that is built from this folder first.
    ///
    /// ```
    /// let backend = portlid::spec::Need::context("images/backend");
    /// ```
    #[track_caller]
    pub fn context(folder: impl Into<String>) -> Self {
        Self { start: Start::new("build", folder.into(), Location::caller()) }
    }

    /// An image in a file, as `docker save` writes it.
    ///
    /// ```
    /// let backend = portlid::spec::Need::archive("dist/backend.tar");
    /// ```
    #[track_caller]
    pub fn archive(file: impl Into<String>) -> Self {
        Self { start: Start::new("archive", file.into(), Location::caller()) }
    }

    /// The lines below its name.
    pub(super) fn lines(self) -> Lines {
        let mut lines = self.start.subject();
        lines.append(&self.start.run());
        lines.below("ready", &self.start.ready());
        lines
    }
}

start_methods!(Need, "let it = Need::");
