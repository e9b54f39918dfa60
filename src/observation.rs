//! Plain data between the look and the judgement: what was seen of one container.
//!
//! An [`Observation`] exists only if the look was complete: tables read without error, the
//! container the same before and after, the positive controls seen. What could not be looked at
//! never becomes one; it is an error of the stage that tried.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::{
    foreign::Untrusted,
    socket::{Port, Protocol, canonical},
    spec::Speaks,
};

/// What was seen of one container, from all four sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// What the image says it exposes.
    pub declared: BTreeSet<Port>,
    /// What the engine binds on the host.
    pub published: Vec<Published>,
    /// On whose account ports are published.
    pub published_by: PublishedBy,
    /// Every socket that accepted traffic at any moment of the watch.
    pub sockets: Vec<Socket>,
    /// Whether the container's sockets cannot be seen at all, so that none is no news.
    pub sockets_hidden: bool,
    /// Ports that had a socket and, later in the watch, had none: when that was first noticed,
    /// since the start.
    pub lost: BTreeMap<Port, Duration>,
    /// What a neighbour is answered.
    pub scan: ScanResult,
    /// What ports were found to speak. A port that was not asked is not here.
    pub spoken: BTreeMap<Port, Spoken>,
    /// The namespace's range for clients' ports (`net.ipv4.ip_local_port_range`).
    pub ephemeral: RangeInclusive<u16>,
    /// The day of the look, in UTC.
    pub today: Date,
    /// What could not be seen although the look as a whole was complete. If anything stands here,
    /// the verdict is never `pass`.
    pub blind: Vec<Unseen>,
}

/// Something that would have to be known for a pass, and is not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unseen {
    /// What. Lowercase, without a full stop, safe to print.
    pub what: String,
    /// The next thing to do about it.
    pub hint: String,
}

impl Unseen {
    /// `what` is not known; `hint` says what to do about it.
    #[must_use]
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}

/// A port that the engine binds on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The container's port.
    pub port: Port,
    /// The host's address; unspecified means every address of that family.
    pub host: IpAddr,
    /// The host's port.
    pub host_port: u16,
}

impl Published {
    /// The host's address and port, as users write them: `127.0.0.1:8080`.
    #[must_use]
    pub fn on_host(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.host_port)
    }
}

/// On whose account ports are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishedBy {
    /// By portlid, because the image declares them: such a publish is judged no harder than the
    /// declaration.
    Declaration,
    /// By portlid, because the spec lists them.
    Spec,
    /// By whoever started the container.
    Others,
}

/// A socket that accepts traffic: one protocol, port and address, whoever holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// The port.
    pub port: Port,
    /// The address it is bound to, canonical.
    pub address: IpAddr,
    /// The processes that hold it.
    pub owners: Owners,
    /// When it was first seen, since the start of the container.
    pub first_seen: Duration,
    /// When it was last seen, since the start of the container.
    pub last_seen: Duration,
}

/// Which processes hold a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owners {
    /// These, at least one, all of the container.
    Processes(BTreeSet<Owner>),
    /// Every process of the container was looked through, and none holds it: it belongs to the
    /// kernel or to a process outside (such as the engine's resolver).
    Outside,
    /// It could not be found out, or the socket was gone before it could be.
    Unknown,
}

impl Owners {
    /// The processes, if they are known.
    pub fn processes(&self) -> impl Iterator<Item = &Owner> {
        match self {
            Self::Processes(processes) => Some(processes.iter()),
            Self::Outside | Self::Unknown => None,
        }
        .into_iter()
        .flatten()
    }
}

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Owner {
    /// The process id as the container numbers it.
    pub pid: u32,
    /// The file name of the executable; `None` if it could not be read.
    pub executable: Option<Untrusted>,
    /// The process's own name (`comm`), which the kernel cuts at 15 bytes.
    pub name: Untrusted,
    /// The effective user id as the container numbers it.
    pub uid: u32,
}

impl Owner {
    /// Whether `wanted` is the executable's file name or the process's own name.
    #[must_use]
    pub fn is_called(&self, wanted: &str) -> bool {
        let is_it = |name: &Untrusted| name.raw() == wanted;
        self.executable.as_ref().is_some_and(is_it) || is_it(&self.name)
    }

    /// The name to show: the executable's, else the process's own.
    #[must_use]
    pub fn shown(&self) -> &Untrusted {
        self.executable.as_ref().unwrap_or(&self.name)
    }
}

/// What a connect scan of the container's addresses found. TCP only: a scan proves nothing of UDP.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ScanResult {
    /// How many ports were tried on each address; 0: the scan was off.
    pub scanned: u32,
    /// The ports that did not simply refuse, and the listed ones whatever they did. A port that was
    /// scanned and is not here refused on every address.
    pub answers: BTreeMap<u16, Answer>,
    /// Whether all 65,535 ports were scanned.
    pub full: bool,
}

/// What a neighbour is answered on one port, over all addresses of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// A connection was accepted.
    Open,
    /// The connection was refused.
    Refused,
    /// No answer within the deadline.
    Silent,
}

impl Answer {
    /// The word that reports use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Refused => "refused",
            Self::Silent => "silent",
        }
    }
}

impl ScanResult {
    /// What `port` answered; `None` if it was not scanned.
    #[must_use]
    pub fn answer(&self, port: Port) -> Option<Answer> {
        if port.protocol != crate::socket::Protocol::Tcp || self.scanned == 0 {
            return None;
        }
        let refused = self.full.then_some(Answer::Refused);
        self.answers.get(&port.number).copied().or(refused)
    }
}

/// What came of asking a port what it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spoken {
    /// It speaks this.
    Recognised(Speaks),
    /// It answered, but with nothing that is known.
    Unrecognised,
    /// It accepted and said nothing within the deadline.
    Mute,
    /// It could not be asked: nothing accepted a connection.
    NotAsked,
}

impl Spoken {
    /// What it speaks, if that is known.
    #[must_use]
    pub fn recognised(self) -> Option<Speaks> {
        match self {
            Self::Recognised(speaks) => Some(speaks),
            Self::Unrecognised | Self::Mute | Self::NotAsked => None,
        }
    }
}

impl Observation {
    /// The sockets of `port`.
    pub fn sockets_of(&self, port: Port) -> impl Iterator<Item = &Socket> {
        self.sockets.iter().filter(move |socket| socket.port == port)
    }

    /// Every port that any of the four views knows, in order.
    #[must_use]
    pub fn ports(&self) -> BTreeSet<Port> {
        let mut ports = self.declared.clone();
        ports.extend(self.published.iter().map(|published| published.port));
        ports.extend(self.sockets.iter().map(|socket| socket.port));
        ports.extend(
            self.scan
                .answers
                .iter()
                .filter(|(_, answer)| **answer == Answer::Open)
                .map(|(number, _)| Port::tcp(*number)),
        );
        ports
    }
}

impl Socket {
    /// Whether this is one of those that Docker opens inside the container's namespace, and no
    /// process of the container holds: its resolver on 127.0.0.11, and since version 28, for a
    /// moment, a raw socket on `::1` that announces the container's address to its neighbours
    /// (unsolicited neighbour advertisements, RFC 4861 section 7.2.6).
    ///
    /// The address alone says nothing: a process of the container may bind it too.
    #[must_use]
    pub fn is_of_engine(&self) -> bool {
        /// IP protocol 58, by IANA's registry.
        const ICMPV6: Port = Port { number: 58, protocol: Protocol::Raw };
        let address = canonical(self.address);
        let announces = address == IpAddr::V6(Ipv6Addr::LOCALHOST) && self.port == ICMPV6;
        (announces || address == IpAddr::from([127, 0, 0, 11])) && self.owners == Owners::Outside
    }
}
