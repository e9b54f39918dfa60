//! Specs without a file: the language as methods.
//!
//! Nothing is validated here. [`SpecBuilder::build`] writes the text of a spec, and that text is read
//! like any file: there is one validator, and it says the same of a call as of a line. What it says
//! points at the call.

mod allow;
mod lines;
mod need;
mod start;
#[cfg(test)]
mod tests;

use std::{fmt, fmt::Display, panic::Location, time::Duration};

pub use self::{allow::Allow, need::Need};
use self::{
    lines::Lines,
    start::{Start, milliseconds, start_methods},
};
use crate::{
    foreign,
    rule::{Level, Rule},
    spec::{
        invalid::InvalidSpec,
        load::load_source,
        model::{Egress, Scan, Spec},
        source::Source,
    },
};

impl Spec {
    /// Begins a spec of an image by reference: the key `image`.
    ///
    /// ```
    /// use portlid::{Port, Spec};
    ///
    /// let spec = Spec::image("nginx:1.29").allow(Port::tcp(80)).build()?;
    /// assert_eq!(spec.name, "nginx:1.29");
    /// # Ok::<(), portlid::spec::InvalidSpec>(())
    /// ```
    #[track_caller]
    pub fn image(reference: impl Into<String>) -> SpecBuilder {
        SpecBuilder::new(Start::new("image", reference.into(), Location::caller()))
    }

    /// Begins a spec of an image that is built from this folder first: the key `build`.
    ///
    /// The folder lies in the repository, and is relative to the working directory: under `cargo
    /// test` the folder of the package.
    ///
    /// ```
    /// # use portlid::Spec;
    /// let web = Spec::context("images/web").dockerfile("Dockerfile.prod").allow(80);
    /// ```
    #[track_caller]
    pub fn context(folder: impl Into<String>) -> SpecBuilder {
        SpecBuilder::new(Start::new("build", folder.into(), Location::caller()))
    }

    /// Begins a spec of an image in a file, as `docker save` writes it: the key `archive`.
    ///
    /// ```
    /// # use portlid::Spec;
    /// let web = Spec::archive("dist/web.tar").allow(80);
    /// ```
    #[track_caller]
    pub fn archive(file: impl Into<String>) -> SpecBuilder {
        SpecBuilder::new(Start::new("archive", file.into(), Location::caller()))
    }

    /// Begins a spec of a container that already runs, by name or id: the key `container`. It is
    /// left as it is.
    ///
    /// ```
    /// # use portlid::Spec;
    /// let web = Spec::container("web-1").allow(80).build()?;
    /// # Ok::<(), portlid::spec::InvalidSpec>(())
    /// ```
    #[track_caller]
    pub fn container(name: impl Into<String>) -> SpecBuilder {
        SpecBuilder::new(Start::new("container", name.into(), Location::caller()))
    }
}

/// A spec in the making: every key of the language that has a meaning in code, a method each.
///
/// - What may be open is [allowed](Self::allow), and nothing else may be: a spec without any says
///   that nothing at all may listen.
/// - Nothing is filled in from the environment, and no `_defaults.yaml` is merged: a `$` is a dollar.
/// - Paths are relative to the working directory: under `cargo test` the folder of the package.
/// - To state a key twice is an error, as it is in a file; `allow`, `need`, `env` and the like add an
///   item with each call.
///
/// Whatever is wrong is said by [`build`](Self::build), all at once.
///
/// ```
/// use std::time::Duration;
/// use portlid::{Port, Spec, rule::{Level, Rule}, spec::Allow};
///
/// let spec = Spec::image("ghcr.io/acme/web:1")
///     .name("web")
///     .env("MODE", "production")
///     .ready_log("^listening")
///     .watch(Duration::from_secs(5))
///     .allow(80)
///     .allow("8000-8010/tcp")
///     .allow(Allow::port(Port::tcp(9090)).bind("loopback").why("metrics"))
///     .rule(Rule::SilentExpose, Level::Fail)
///     .build()?;
/// assert_eq!(spec.expose.len(), 3);
/// # Ok::<(), portlid::spec::InvalidSpec>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct SpecBuilder {
    start: Start,
    is_named: bool,
    top: Lines,
    publish: Lines,
    needs: Lines,
    expose: Lines,
    rules: Lines,
}

impl SpecBuilder {
    fn new(start: Start) -> Self {
        Self {
            start,
            is_named: false,
            top: Lines::default(),
            publish: Lines::default(),
            needs: Lines::default(),
            expose: Lines::default(),
            rules: Lines::default(),
        }
    }

    /// The name that trials and reports use; without it, what is looked at: the key `name`.
    ///
    /// ```
    /// # use portlid::Spec;
    /// let spec = Spec::image("nginx:1.29").name("web").build()?;
    /// assert_eq!(spec.name, "web");
    /// # Ok::<(), portlid::spec::InvalidSpec>(())
    /// ```
    #[track_caller]
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.is_named = true;
        self.top.text("name", name.as_ref(), Location::caller());
        self
    }

    /// The platform that the image must have: the key `platform`.
    ///
    /// ```
    /// # use portlid::Spec;
    /// let spec = Spec::image("nginx:1.29").platform("linux/arm64").build()?;
    /// # Ok::<(), portlid::spec::InvalidSpec>(())
    /// ```
    #[track_caller]
    pub fn platform(mut self, platform: impl Display) -> Self {
        self.top.text("platform", &platform.to_string(), Location::caller());
        self
    }

    /// Allows a port or a range: an entry of `expose`. A number is a TCP port; a text is read as in
    /// a file; [`Allow`] says more of it.
    ///
    /// ```
    /// use portlid::{Port, Spec, spec::Allow};
    ///
    /// let spec = Spec::image("nginx:1.29")
    ///     .allow(80)
    ///     .allow(Port::udp(443))
    ///     .allow("https/tcp")
    ///     .allow(Allow::port(8080).optional())
    ///     .build()?;
    /// assert_eq!(spec.required().count(), 3);
    /// # Ok::<(), portlid::spec::InvalidSpec>(())
    /// ```
    #[track_caller]
    pub fn allow(mut self, entry: impl Into<Allow>) -> Self {
        self.expose.append(&entry.into().lines(Location::caller()));
        self
    }

    /// How long the tables stay watched, two seconds without this: the key `watch`.
    ///
    /// ```
    /// # use portlid::Spec;
    /// # use std::time::Duration;
    /// let spec = Spec::image("nginx:1.29").allow(80).watch(Duration::from_secs(10)).build()?;
    /// # Ok::<(), portlid::spec::InvalidSpec>(())
    /// ```
    #[track_caller]
    pub fn watch(mut self, time: Duration) -> Self {
        self.top.text("watch", &milliseconds(time), Location::caller());
        self
    }

    /// Which TCP ports are scanned, all of them without this: the key `scan`.
    ///
    /// ```
    /// # use portlid::{Spec, spec::Scan};
    /// let spec = Spec::image("nginx:1.29").allow(80).scan(Scan::Listed).build()?;
    /// # Ok::<(), portlid::spec::InvalidSpec>(())
    /// ```
    #[track_caller]
    pub fn scan(mut self, scan: Scan) -> Self {
        let word = match scan {
            Scan::Full => "full",
            Scan::Listed => "listed",
            Scan::Off => "off",
        };
        self.top.text("scan", word, Location::caller());
        self
    }

    /// The level of a rule that is not fixed: an entry of `rules`.
    ///
    /// ```
    /// # use portlid::{Spec, rule::{Level, Rule}};
    /// let spec = Spec::image("nginx:1.29").rule(Rule::UndeclaredPort, Level::Fail).build()?;
    /// # Ok::<(), portlid::spec::InvalidSpec>(())
    /// ```
    #[track_caller]
    pub fn rule(mut self, rule: Rule, level: Level) -> Self {
        self.rules.text(rule.id(), level.as_str(), Location::caller());
        self
    }

    /// A companion, reachable by that name: an entry of `needs`.
    ///
    /// ```
    /// # use portlid::{Spec, spec::Need};
    /// let spec = Spec::image("shop:1").need("cache", Need::image("redis:8")).build()?;
    /// # Ok::<(), portlid::spec::InvalidSpec>(())
    /// ```
    #[track_caller]
    pub fn need(mut self, name: impl AsRef<str>, need: Need) -> Self {
        self.needs.below(name.as_ref(), &need.lines());
        self
    }

    /// Publishes just this on the host, and whatever else is named so: an item of `publish` below
    /// `run`. Without it every port that the image declares is published, on 127.0.0.1.
    ///
    /// ```
    /// # use portlid::Spec;
    /// let spec = Spec::image("nginx:1.29").allow(80).publish("127.0.0.1:8080:80/tcp").build()?;
    /// # Ok::<(), portlid::spec::InvalidSpec>(())
    /// ```
    #[track_caller]
    pub fn publish(mut self, port: impl Display) -> Self {
        self.publish.item(&port.to_string(), Location::caller());
        self
    }

    /// Publishes nothing: `publish: none` below `run`.
    ///
    /// ```
    /// # use portlid::Spec;
    /// let spec = Spec::image("nginx:1.29").allow(80).publish_none().build()?;
    /// # Ok::<(), portlid::spec::InvalidSpec>(())
    /// ```
    #[track_caller]
    pub fn publish_none(mut self) -> Self {
        self.start.text("publish", "none", Location::caller());
        self
    }

    /// Whether the container may reach other networks: the key `egress` below `run`.
    ///
    /// ```
    /// # use portlid::{Spec, spec::Egress};
    /// let spec = Spec::image("nginx:1.29").allow(80).egress(Egress::Deny).build()?;
    /// # Ok::<(), portlid::spec::InvalidSpec>(())
    /// ```
    #[track_caller]
    pub fn egress(mut self, egress: Egress) -> Self {
        let word = match egress {
            Egress::Allow => "allow",
            Egress::Deny => "deny",
        };
        self.start.text("egress", word, Location::caller());
        self
    }

    /// The spec, understood and checked as if it stood in a file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, each with the call that it is about.
    ///
    /// ```
    /// use portlid::Spec;
    ///
    /// let error = Spec::image("nginx:1.29").allow("80/tpc").build().unwrap_err();
    /// assert!(error.to_string().contains("did you mean `80/tcp`?"));
    /// ```
    #[track_caller]
    pub fn build(&self) -> Result<Spec, InvalidSpec> {
        let home = Location::caller();
        let (text, calls) = self.lines().into_text(home);
        let source = Source::built(home.file(), text, calls);
        InvalidSpec::one(load_source(source, &|_| None))
    }

    /// The whole spec, as a file would have it.
    fn lines(&self) -> Lines {
        let call = self.start.call;
        let mut lines = self.start.subject();
        if !self.is_named {
            // Some references are longer than a name may be.
            let name = foreign::shown(self.start.what().trim(), 99);
            if !name.is_empty() {
                lines.text("name", name.trim(), call);
            }
        }
        lines.append(&self.top);
        let mut run = self.start.run();
        run.below("publish", &self.publish);
        lines.below("run", &run);
        lines.below("needs", &self.needs);
        lines.below("ready", &self.start.ready());
        if self.expose.is_empty() {
            lines.raw("expose", "[]", call);
        } else {
            let mut expose = Lines::default();
            expose.below("expose", &self.expose);
            // What no entry allows is told of the spec, not of its first entry.
            lines.append(&expose.with_first_of(call));
        }
        lines.below("rules", &self.rules);
        lines
    }
}

start_methods!(SpecBuilder, "let it = Spec::");

/// The text of the spec without its secrets.
impl fmt::Debug for SpecBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, _) = self.lines().into_text(self.start.call);
        f.write_str(&crate::spec::mask::masked(&text, &std::collections::HashSet::new()))
    }
}
