//! The valid spec: what the rest of the crate works with.
//!
//! Only [`validate`](super::validate) makes one. Every value here is in range, every path lies
//! within the repository, every name is resolved; nothing is checked again later.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, time::Duration};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::{
    rule::{Level, Rule},
    socket::{Bind, Port, PortRange},
    spec::source::Source,
};

/// One spec file, understood.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Spec {
    /// The name that trials and reports use; by default the file's stem.
    pub name: String,
    /// The file it was read from.
    pub source: Source,
    /// What is looked at.
    pub subject: Subject,
    /// The platform that the image must have.
    pub platform: Option<Platform>,
    /// How it is started.
    pub run: Run,
    /// What is started before it, in the order of their names.
    pub needs: Vec<Companion>,
    /// When the look may settle.
    pub ready: Ready,
    /// How long the tables stay watched after that.
    pub watch: Duration,
    /// Which TCP ports are scanned.
    pub scan: Scan,
    /// The allowance, in the order of the file.
    pub expose: Vec<Entry>,
    /// Levels that differ from the default; never of a fixed rule.
    pub levels: BTreeMap<Rule, Level>,
}

impl Spec {
    /// The entry that allows `port`. There is at most one: overlaps are refused when the spec is read.
    #[must_use]
    pub fn entry_for(&self, port: Port) -> Option<(usize, &Entry)> {
        self.expose.iter().enumerate().find(|(_, entry)| entry.ports.contains(port))
    }

    /// The level of `rule` in this spec.
    #[must_use]
    pub fn level(&self, rule: Rule) -> Level {
        self.levels.get(&rule).copied().unwrap_or(rule.default_level())
    }

    /// The ports that must be open.
    pub fn required(&self) -> impl Iterator<Item = (usize, Port)> {
        self.expose.iter().enumerate().filter_map(|(index, entry)| {
            entry.is_required().then(|| entry.ports.single().map(|port| (index, port))).flatten()
        })
    }

    /// Whether this asks what is there, instead of whether it is as stated.
    #[must_use]
    pub fn explores(&self) -> bool {
        matches!(self.ready.when, ReadyWhen::Settled)
    }

    /// The ports that must be published.
    pub fn required_to_be_published(&self) -> impl Iterator<Item = (usize, Port)> {
        self.expose.iter().enumerate().filter_map(|(index, entry)| {
            let port = entry.ports.single().filter(|_| entry.publish == Publish::Required)?;
            Some((index, port))
        })
    }
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// An image by reference.
    Image(String),
    /// An image that is built first.
    Build(Build),
    /// An image in a file: what `docker save` writes, or an OCI layout in a tar.
    Archive(PathBuf),
    /// A container that already runs, by name or id. It is never stopped or removed.
    Container(String),
}

impl Subject {
    /// The spec's key for it.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Image(_) => "image",
            Self::Build(_) => "build",
            Self::Archive(_) => "archive",
            Self::Container(_) => "container",
        }
    }

    /// The reference, path, folder or name, as reports show it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Image(reference) => reference.clone(),
            Self::Build(build) => build.shown.clone(),
            Self::Archive(path) => path.display().to_string(),
            Self::Container(name) => name.clone(),
        }
    }
}

/// How an image is built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Build {
    /// The context folder, canonical.
    pub context: PathBuf,
    /// The context as the spec writes it.
    pub shown: String,
    /// The Dockerfile, relative to the context; default `Dockerfile`.
    pub dockerfile: String,
    /// The stage to build; default the last.
    pub target: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
}

/// An operating system, an architecture and a variant: `linux/arm64/v8`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, ...
    pub architecture: String,
    /// `v8`, ...
    pub variant: Option<String>,
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// How a container is started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Run {
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// Replaces the image's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Environment. The values are secrets: they are never printed.
    pub env: BTreeMap<String, String>,
    /// User, or `user:group`.
    pub user: Option<String>,
    /// Host name.
    pub hostname: Option<String>,
    /// Folders and files of the spec's folder.
    pub volumes: Vec<Volume>,
    /// Folders in memory, each with its mount options.
    pub tmpfs: Vec<String>,
    /// Capabilities beyond the engine's default, without `CAP_`.
    pub cap_add: Vec<String>,
    /// Memory limit in bytes.
    pub memory: u64,
    /// Limit of processes and threads.
    pub pids: u32,
    /// What is published on the host.
    pub publish: PublishMode,
    /// Whether the container may reach other networks.
    pub egress: Egress,
}

impl Run {
    /// 512 MiB: holds the common servers, and keeps eight at once within a CI runner.
    pub const DEFAULT_MEMORY: u64 = 512 * 1024 * 1024;
    /// Enough for a JVM; a fork bomb ends here.
    pub const DEFAULT_PIDS: u32 = 512;
}

impl Default for Run {
    fn default() -> Self {
        Self {
            command: None,
            entrypoint: None,
            env: BTreeMap::new(),
            user: None,
            hostname: None,
            volumes: Vec::new(),
            tmpfs: Vec::new(),
            cap_add: Vec::new(),
            memory: Self::DEFAULT_MEMORY,
            pids: Self::DEFAULT_PIDS,
            publish: PublishMode::All,
            egress: Egress::Allow,
        }
    }
}

/// A bind mount of something in the spec's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Volume {
    /// The canonical path on this machine.
    pub source: PathBuf,
    /// The absolute path in the container.
    pub target: String,
    /// Whether the container may only read it.
    pub read_only: bool,
}

/// What is published on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishMode {
    /// Each port that the image declares, on 127.0.0.1 and a port that the engine chooses.
    All,
    /// Nothing.
    None,
    /// Just these.
    List(Vec<PublishEntry>),
}

/// One published port: `127.0.0.1:8080:80/tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishEntry {
    /// The host's address; default 127.0.0.1.
    pub host: IpAddr,
    /// The host's port; 0: the engine chooses.
    pub host_port: u16,
    /// The container's port.
    pub port: Port,
}

/// Whether a container may reach other networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Egress {
    /// Like any container.
    #[default]
    Allow,
    /// Only its companions, on a network without a way out. Nothing can be published from there.
    Deny,
}

/// A container that the subject needs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Companion {
    /// The name by which the subject reaches it.
    pub name: String,
    /// What it is; never a running container.
    pub subject: Subject,
    /// How it is started. Nothing of a companion is published.
    pub run: Run,
    /// When the subject may be started.
    pub ready: Ready,
}

/// When the look may settle.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Ready {
    /// The condition.
    pub when: ReadyWhen,
    /// How long it may take.
    pub within: Duration,
}

/// The condition of readiness.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum ReadyWhen {
    /// The spec states none: every required port has a socket, on whatever address. (For a
    /// companion: it runs.)
    #[default]
    Required,
    /// This port has a socket.
    Port(Port),
    /// A line of the log matches.
    Log(regex::Regex),
    /// The image's health check says healthy.
    Healthy,
    /// An HTTP request is answered with this status.
    Http(HttpCheck),
    /// The container ends with this code.
    Exit(i64),
    /// Everything that the image declares has a socket, and nothing new has opened for a while. No
    /// spec can state it: it is for looks that ask what is there (`portlid look`).
    Settled,
}

/// A request whose answer means ready.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpCheck {
    /// The container's port.
    pub port: Port,
    /// The path; default `/`.
    pub path: String,
    /// The status that is waited for; default 200.
    pub status: u16,
}

/// Which TCP ports are scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Scan {
    /// All 65,535.
    #[default]
    Full,
    /// Those that the spec lists, the image declares, or that listen.
    Listed,
    /// None. Nothing can then be said of what a neighbour reaches.
    Off,
}

/// One line under `expose`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// The port or ports.
    pub ports: PortRange,
    /// Whether it may stay closed. A range is optional as a whole.
    pub optional: bool,
    /// How wide it may listen at most.
    pub bind: Bind,
    /// The executable that must own it.
    pub process: Option<String>,
    /// The uid that must own it.
    pub user: Option<u32>,
    /// What it must speak.
    pub speaks: Option<Speaks>,
    /// Whether it may, must or must not be published.
    pub publish: Publish,
    /// Why it is open.
    pub why: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// The last day of the allowance, in UTC.
    pub until: Option<Date>,
}

impl Entry {
    /// An entry that says nothing but the ports. A single port is required, a range is not.
    #[must_use]
    pub fn new(ports: PortRange) -> Self {
        Self {
            ports,
            optional: ports.single().is_none(),
            bind: Bind::Any,
            process: None,
            user: None,
            speaks: None,
            publish: Publish::Allowed,
            why: None,
            owner: None,
            until: None,
        }
    }

    /// Whether the port must be open.
    #[must_use]
    pub fn is_required(&self) -> bool {
        !self.optional
    }
}

/// Whether a port may be published on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Publish {
    /// It may be.
    #[default]
    Allowed,
    /// It must be.
    Required,
    /// It must not be.
    Never,
}

/// A protocol that a port can be asked to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Speaks {
    /// HTTP/1.
    Http,
    /// TLS; `https` means the same.
    Tls,
    /// SSH.
    Ssh,
    /// Redis (RESP).
    Redis,
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
    /// AMQP 0-9-1.
    Amqp,
    /// Memcached, text protocol.
    Memcached,
    /// DNS.
    Dns,
    /// SMTP.
    Smtp,
    /// Anything that accepts a connection.
    Plain,
}

impl Speaks {
    /// Every protocol, with the word that specs and reports use.
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::Http, "http"),
        (Self::Tls, "tls"),
        (Self::Ssh, "ssh"),
        (Self::Redis, "redis"),
        (Self::Postgres, "postgres"),
        (Self::Mysql, "mysql"),
        (Self::Amqp, "amqp"),
        (Self::Memcached, "memcached"),
        (Self::Dns, "dns"),
        (Self::Smtp, "smtp"),
        (Self::Plain, "plain"),
    ];

    /// The word that specs and reports use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(speaks, _)| *speaks == self).map_or("", |(_, word)| word)
    }
}

impl std::str::FromStr for Speaks {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "https" => Ok(Self::Tls),
            _ => Self::ALL.iter().find(|(_, word)| *word == text).map(|(it, _)| *it).ok_or(()),
        }
    }
}
