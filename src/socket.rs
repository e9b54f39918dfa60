//! The shared words: [`Protocol`], [`Port`], [`PortRange`], and the algebra of addresses.
//!
//! Everything else is built on these, so this module imports nothing of the crate and does no I/O.
//!
//! An address is always made [`canonical`] before it is judged: `::ffff:127.0.0.1` is IPv4 loopback.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A transport protocol whose sockets the kernel lists in a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, MPTCP included: the kernel lists an MPTCP listener's TCP socket.
    Tcp,
    /// UDP.
    Udp,
    /// UDP-Lite (RFC 3828).
    Udplite,
    /// SCTP; the table is there only where the kernel module is.
    Sctp,
    /// A raw IP socket. Its "port" is the number of the IP protocol that it receives.
    Raw,
    /// A packet socket, which receives whole frames before anything else does. Its "port" is their
    /// EtherType: 3 for every type.
    Packet,
}

impl Protocol {
    /// Every protocol, in the order in which reports list them.
    pub const ALL: [Self; 6] =
        [Self::Tcp, Self::Udp, Self::Udplite, Self::Sctp, Self::Raw, Self::Packet];

    /// The word that specs and reports use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Udplite => "udplite",
            Self::Sctp => "sctp",
            Self::Raw => "raw",
            Self::Packet => "packet",
        }
    }

    /// Whether an engine can declare (EXPOSE) and publish ports of this protocol.
    #[must_use]
    pub fn can_be_published(self) -> bool {
        matches!(self, Self::Tcp | Self::Udp | Self::Sctp)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = ();

    /// Case does not matter, as in the OCI image configuration.
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.as_str().eq_ignore_ascii_case(text))
            .ok_or(())
    }
}

/// A port of a container: a number and a protocol, written `80/tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// 1 to 65,535; for [`Protocol::Raw`] the IP protocol, 0 to 255; for [`Protocol::Packet`] the
    /// EtherType.
    pub number: u16,
    /// The transport protocol.
    pub protocol: Protocol,
}

impl Port {
    /// `number/protocol`.
    #[must_use]
    pub const fn new(number: u16, protocol: Protocol) -> Self {
        Self { number, protocol }
    }

    /// `number/tcp`.
    #[must_use]
    pub const fn tcp(number: u16) -> Self {
        Self::new(number, Protocol::Tcp)
    }

    /// `number/udp`.
    #[must_use]
    pub const fn udp(number: u16) -> Self {
        Self::new(number, Protocol::Udp)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let range: PortRange = text.parse().map_err(serde::de::Error::custom)?;
        range
            .single()
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is a range, not a port")))
    }
}

/// Ports of one protocol that follow each other, both ends included. A single port is a range of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// The lowest number.
    pub first: u16,
    /// The highest number, not below `first`.
    pub last: u16,
    /// The transport protocol of all of them.
    pub protocol: Protocol,
}

/// Why a text is no port or range of ports. Lowercase, without a full stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// The part behind the slash is no protocol.
    #[error("`{0}` is not a protocol")]
    Protocol(String),
    /// The number is no number, or not one that a port can have.
    #[error("`{0}` is not a port number (1-65535)")]
    Number(String),
    /// The range ends before it begins.
    #[error("the range `{0}` ends before it begins")]
    Backwards(String),
}

impl PortRange {
    /// The range that holds only `port`.
    #[must_use]
    pub const fn only(port: Port) -> Self {
        Self { first: port.number, last: port.number, protocol: port.protocol }
    }

    /// The port, if the range holds only one.
    #[must_use]
    pub fn single(self) -> Option<Port> {
        (self.first == self.last).then(|| Port::new(self.first, self.protocol))
    }

    /// Whether `port` lies in the range.
    #[must_use]
    pub fn contains(self, port: Port) -> bool {
        port.protocol == self.protocol && (self.first..=self.last).contains(&port.number)
    }

    /// Whether some port lies in both ranges.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.protocol == other.protocol && self.first <= other.last && other.first <= self.last
    }

    /// Every port of the range, lowest first.
    pub fn ports(self) -> impl Iterator<Item = Port> {
        (self.first..=self.last).map(move |number| Port::new(number, self.protocol))
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}/{}", self.first, self.protocol)
        } else {
            write!(f, "{}-{}/{}", self.first, self.last, self.protocol)
        }
    }
}

impl FromStr for PortRange {
    type Err = PortError;

    /// Reads `80`, `80/tcp`, `8000-8010/tcp`. Without a protocol it is TCP, as in the OCI image
    /// configuration. Service names are the spec's affair, not this function's.
    fn from_str(text: &str) -> Result<Self, PortError> {
        let (numbers, protocol) = match text.split_once('/') {
            Some((numbers, word)) => {
                (numbers, word.parse().map_err(|()| PortError::Protocol(word.to_owned()))?)
            }
            None => (text, Protocol::Tcp),
        };
        let (first, last) = match numbers.split_once('-') {
            Some((first, last)) => (number(first, protocol)?, number(last, protocol)?),
            None => {
                let only = number(numbers, protocol)?;
                (only, only)
            }
        };
        if last < first {
            return Err(PortError::Backwards(numbers.to_owned()));
        }
        Ok(Self { first, last, protocol })
    }
}

/// A port number in plain decimal digits: no sign, no blanks, no leading zero.
fn number(text: &str, protocol: Protocol) -> Result<u16, PortError> {
    let wrong = || PortError::Number(text.to_owned());
    let plain = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    let number: u16 = if plain { text.parse().map_err(|_| wrong())? } else { return Err(wrong()) };
    let lies_within = match protocol {
        Protocol::Raw => number <= 255,
        Protocol::Tcp | Protocol::Udp | Protocol::Udplite | Protocol::Sctp | Protocol::Packet => {
            number != 0
        }
    };
    if lies_within { Ok(number) } else { Err(wrong()) }
}

/// From how far away a socket bound to an address can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// From inside the container only.
    Loopback,
    /// Through one of the container's addresses.
    Address,
    /// Through every address of the container.
    Any,
}

/// The address as the kernel treats it: an IPv4-mapped IPv6 address is an IPv4 address.
#[must_use]
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The scope of an address that a socket is bound to.
#[must_use]
pub fn scope(address: IpAddr) -> Scope {
    match canonical(address) {
        address if address.is_unspecified() => Scope::Any,
        address if address.is_loopback() => Scope::Loopback,
        _ => Scope::Address,
    }
}

/// How wide a port may listen at most: the values of the key `bind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Bind {
    /// Everywhere.
    #[default]
    Any,
    /// On loopback only, of either family.
    Loopback,
    /// On this address, or on loopback.
    Address(IpAddr),
    /// On addresses of this network, or on loopback.
    Network(Network),
}

impl Bind {
    /// Whether a socket bound to `address` is no wider than this.
    ///
    /// A socket on loopback is no wider than anything. A socket on every address of a family is
    /// within a network only if the network is that whole family.
    #[must_use]
    pub fn allows(self, address: IpAddr) -> bool {
        let address = canonical(address);
        if scope(address) == Scope::Loopback {
            return true;
        }
        match self {
            Self::Any => true,
            Self::Loopback => false,
            Self::Address(only) => canonical(only) == address,
            // `[::]` serves IPv4 too, unless it is v6only: so only a whole family holds an "any".
            Self::Network(network) if scope(address) == Scope::Any => {
                network.prefix == 0 && network.contains(address)
            }
            Self::Network(network) => network.contains(address),
        }
    }

    /// Whether this allows loopback and nothing else.
    #[must_use]
    pub fn is_loopback_only(self) -> bool {
        match self {
            Self::Any => false,
            Self::Loopback => true,
            Self::Address(address) => scope(address) == Scope::Loopback,
            Self::Network(network) => network.is_loopback(),
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Loopback => f.write_str("loopback"),
            Self::Address(address) => address.fmt(f),
            Self::Network(network) => network.fmt(f),
        }
    }
}

impl FromStr for Bind {
    type Err = BindError;

    /// Reads `any`, `loopback`, an address, or a network in CIDR notation.
    fn from_str(text: &str) -> Result<Self, BindError> {
        let wrong = || BindError(text.to_owned());
        match text {
            "any" => Ok(Self::Any),
            "loopback" => Ok(Self::Loopback),
            _ => match text.split_once('/') {
                Some((address, prefix)) => {
                    let address: IpAddr = address.parse().map_err(|_| wrong())?;
                    // `parse` alone would take `+8`, too.
                    let is_plain = prefix.bytes().all(|byte| byte.is_ascii_digit());
                    let prefix: u8 = prefix.parse().ok().filter(|_| is_plain).ok_or_else(wrong)?;
                    Network::new(address, prefix).map(Self::Network).ok_or_else(wrong)
                }
                None => {
                    let address: IpAddr = text.parse().map_err(|_| wrong())?;
                    Ok(if address.is_unspecified() { Self::Any } else { Self::Address(address) })
                }
            },
        }
    }
}

/// Why a text is no value for `bind`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not `any`, `loopback`, an IP address or a network such as `10.0.0.0/8`")]
pub struct BindError(pub String);

/// A network in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network of `address` with the first `prefix` bits fixed; `None` if the prefix is longer
    /// than an address of that family. Host bits are dropped.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(v4) if prefix <= 32 => {
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask32(prefix)))
            }
            IpAddr::V6(v6) if prefix <= 128 => {
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask128(prefix)))
            }
            IpAddr::V4(_) | IpAddr::V6(_) => return None,
        };
        Some(Self { address, prefix })
    }

    /// Whether `address` lies in the network. The families never mix.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.address, canonical(address)) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                address.to_bits() & mask32(self.prefix) == network.to_bits()
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                address.to_bits() & mask128(self.prefix) == network.to_bits()
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Whether every address of the network is a loopback address.
    #[must_use]
    pub fn is_loopback(self) -> bool {
        match self.address {
            IpAddr::V4(address) => self.prefix >= 8 && address.is_loopback(),
            IpAddr::V6(address) => self.prefix == 128 && address.is_loopback(),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

fn mask32(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn mask128(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
