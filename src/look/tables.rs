//! The kernel's socket tables: text -> [`Row`]s.
//!
//! Pure: bytes in, rows out, no allocation per line. A line that cannot be read is an error that
//! names the table and the line, because a half-read table must not pass for a whole one.
//!
//! The formats are defined by the kernel's `net/ipv4/tcp_ipv4.c` (`tcp4_seq_show`), `udp.c`
//! (`udp4_seq_show`), `raw.c` (`raw_seq_show`), `net/ipv6/tcp_ipv6.c` (`tcp6_seq_show`),
//! `datagram.c` (`__ip6_dgram_sock_seq_show`), `net/sctp/proc.c` (`sctp_eps_seq_show`) and
//! `net/packet/af_packet.c` (`packet_seq_show`). Columns are divided by blanks, lines may be padded with blanks, and newer kernels append columns.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

use super::error::shown;
use crate::socket::{Port, Protocol, canonical};

/// One of the kernel's tables of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// TCP over IPv4.
    Tcp,
    /// TCP over IPv6, and over both.
    Tcp6,
    /// UDP over IPv4.
    Udp,
    /// UDP over IPv6, and over both.
    Udp6,
    /// UDP-Lite over IPv4. Kernels may be built without it, and newer ones dropped it.
    Udplite,
    /// UDP-Lite over IPv6.
    Udplite6,
    /// Raw IPv4 sockets.
    Raw,
    /// Raw IPv6 sockets.
    Raw6,
    /// SCTP endpoints of both families; there once the kernel's module is loaded.
    Sctp,
    /// Packet sockets, which see frames and know no ports. Kernels may be built without them.
    Packet,
}

impl Table {
    /// Every table that is read.
    pub const ALL: [Self; 10] = [
        Self::Tcp,
        Self::Tcp6,
        Self::Udp,
        Self::Udp6,
        Self::Udplite,
        Self::Udplite6,
        Self::Raw,
        Self::Raw6,
        Self::Sctp,
        Self::Packet,
    ];

    /// Where it is, from a process's folder under `/proc`.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Tcp => "net/tcp",
            Self::Tcp6 => "net/tcp6",
            Self::Udp => "net/udp",
            Self::Udp6 => "net/udp6",
            Self::Udplite => "net/udplite",
            Self::Udplite6 => "net/udplite6",
            Self::Raw => "net/raw",
            Self::Raw6 => "net/raw6",
            Self::Sctp => "net/sctp/eps",
            Self::Packet => "net/packet",
        }
    }

    /// The protocol whose sockets it lists.
    #[must_use]
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Tcp | Self::Tcp6 => Protocol::Tcp,
            Self::Udp | Self::Udp6 => Protocol::Udp,
            Self::Udplite | Self::Udplite6 => Protocol::Udplite,
            Self::Raw | Self::Raw6 => Protocol::Raw,
            Self::Sctp => Protocol::Sctp,
            Self::Packet => Protocol::Packet,
        }
    }

    /// Whether it is the table of IPv6 only.
    #[must_use]
    pub fn is_ipv6(self) -> bool {
        matches!(self, Self::Tcp6 | Self::Udp6 | Self::Udplite6 | Self::Raw6)
    }

    /// Whether every kernel with that IP family has it.
    #[must_use]
    pub fn is_essential(self) -> bool {
        matches!(self, Self::Tcp | Self::Tcp6 | Self::Udp | Self::Udp6 | Self::Raw | Self::Raw6)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

/// One socket of a table; for SCTP, one address of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The table it stands in.
    pub table: Table,
    /// The address it is bound to, canonical.
    pub local: IpAddr,
    /// The port it is bound to; for raw sockets the number of the IP protocol, for packet sockets
    /// the EtherType.
    pub port: u16,
    /// The address it is connected to, canonical; unspecified if it is not.
    pub remote: IpAddr,
    /// The port it is connected to.
    pub remote_port: u16,
    /// The state, as `include/net/tcp_states.h` numbers them for every protocol.
    pub state: u8,
    /// The owner's user id, as the looker numbers users.
    pub uid: u32,
    /// The socket's inode; 0 if no process can hold it.
    pub inode: u64,
}

/// `TCP_LISTEN` of `include/net/tcp_states.h`; `SCTP_SS_LISTENING` is the same number.
pub(super) const LISTEN: u8 = 10;
/// `IPPROTO_RAW`: such a socket sends and never receives, see raw(7).
const IPPROTO_RAW: u16 = 255;

impl Row {
    /// Whether anybody's traffic to the port is accepted.
    ///
    /// TCP and SCTP: it listens (an SCTP endpoint of either style has that state once it does).
    /// UDP, UDP-Lite: it is not connected to one peer's port. (Connected to a peer's port 0, the
    /// kernel delivers whatever that host sends, from any port.) Raw: always, since a peer's
    /// address alone keeps nobody on that host out. Packet: if it asks for frames of some type.
    #[must_use]
    pub fn accepts(&self) -> bool {
        match self.table.protocol() {
            Protocol::Tcp | Protocol::Sctp => self.state == LISTEN,
            Protocol::Udp | Protocol::Udplite => self.remote_port == 0,
            Protocol::Raw => self.port != IPPROTO_RAW,
            // Without an EtherType it only sends.
            Protocol::Packet => self.port != 0,
        }
    }

    /// The port with its protocol.
    #[must_use]
    pub fn bound_to(&self) -> Port {
        Port::new(self.port, self.table.protocol())
    }
}

/// Why a table was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("cannot read line {line} of the socket table `{}` ({why}): `{text}`", .table.path())]
pub struct TableError {
    /// The table.
    pub table: Table,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
    /// The line itself, escaped and cut.
    pub text: String,
}

/// Calls `each` for every row of `text`, and says how many lines were rows.
///
/// # Errors
///
/// If any line is not as the kernel writes it, if the header is missing, or if the text does not
/// end with a line's end: then it was cut short.
pub fn read(table: Table, text: &[u8], mut each: impl FnMut(Row)) -> Result<usize, TableError> {
    let mut lines = Lines { rest: text, number: 0 };
    let fail = |number: usize, line: &[u8], why: &'static str| TableError {
        table,
        line: number,
        why: why.to_owned(),
        text: shown(line),
    };
    let header = match lines.next() {
        None => return Err(fail(1, b"", "the table is empty")),
        Some(Err(cut)) => return Err(fail(1, cut, CUT)),
        Some(Ok(header)) => header,
    };
    if !is_header(table, header) {
        return Err(fail(1, header, "the header is missing"));
    }
    let mut rows = 0;
    while let Some(line) = lines.next() {
        let number = lines.number;
        let line = line.map_err(|cut| fail(number, cut, CUT))?;
        let outcome = match table {
            Table::Sctp => sctp_line(line, &mut each),
            Table::Packet => packet_line(line).map(&mut each),
            _ => inet_line(table, line).map(&mut each),
        };
        outcome.map_err(|why| fail(number, line, why))?;
        rows += 1;
    }
    Ok(rows)
}

const CUT: &str = "it is cut short";

/// The lines of a text. The last must end with a newline too, else it comes as an error.
struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<Result<&'a [u8], &'a [u8]>> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        Some(match self.rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                let line = &self.rest[..end];
                self.rest = &self.rest[end + 1..];
                Ok(line)
            }
            None => Err(std::mem::take(&mut self.rest)),
        })
    }
}

/// The words of a line. Only blanks divide them: no table holds a tab.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|byte| *byte != b' ')?;
        let rest = &self.0[start..];
        let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        self.0 = &rest[end..];
        Some(&rest[..end])
    }

    fn expect(&mut self) -> Result<&'a [u8], &'static str> {
        self.next().ok_or("a column is missing")
    }
}

fn is_header(table: Table, line: &[u8]) -> bool {
    let mut words = Words(line);
    let wanted: &[&[&[u8]]] = match table {
        Table::Sctp => &[
            &[b"ENDPT"],
            &[b"SOCK"],
            &[b"STY"],
            &[b"SST"],
            &[b"HBKT"],
            &[b"LPORT"],
            &[b"UID"],
            &[b"INODE"],
            &[b"LADDRS"],
        ],
        Table::Packet => &[
            &[b"sk"],
            &[b"RefCnt"],
            &[b"Type"],
            &[b"Proto"],
            &[b"Iface"],
            &[b"R"],
            &[b"Rmem"],
            &[b"User"],
            &[b"Inode"],
        ],
        _ => &[
            &[b"sl"],
            &[b"local_address"],
            &[b"rem_address", b"remote_address"],
            &[b"st"],
            &[b"tx_queue"],
            &[b"rx_queue"],
            &[b"tr"],
            &[b"tm->when"],
            &[b"retrnsmt"],
            &[b"uid"],
            &[b"timeout"],
            &[b"inode"],
        ],
    };
    wanted.iter().all(|choice| words.next().is_some_and(|word| choice.contains(&word)))
}

/// `sl: local remote st tx:rx tr:when retrnsmt uid timeout inode ...`
fn inet_line(table: Table, line: &[u8]) -> Result<Row, &'static str> {
    let mut words = Words(line);
    let slot = words.expect()?.strip_suffix(b":").ok_or("the first column is no slot")?;
    decimal(slot).ok_or("the first column is no slot")?;
    let (local, port) = endpoint(table, words.expect()?).ok_or("the local address is wrong")?;
    let (remote, remote_port) =
        endpoint(table, words.expect()?).ok_or("the remote address is wrong")?;
    let state = words.expect()?;
    let state = hex(state, 2).and_then(|state| u8::try_from(state).ok());
    let state = state.ok_or("the state is wrong")?;
    for _ in ["tx_queue:rx_queue", "tr:tm->when"] {
        if !words.expect()?.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b':') {
            return Err("a counter is wrong");
        }
    }
    if !words.expect()?.iter().all(u8::is_ascii_hexdigit) {
        return Err("a counter is wrong");
    }
    let uid = decimal(words.expect()?).and_then(|uid| u32::try_from(uid).ok());
    let uid = uid.ok_or("the uid is wrong")?;
    let timeout = words.expect()?;
    decimal(timeout.strip_prefix(b"-").unwrap_or(timeout)).ok_or("the timeout is wrong")?;
    let inode = decimal(words.expect()?).ok_or("the inode is wrong")?;
    Ok(Row { table, local, port, remote, remote_port, state, uid, inode })
}

/// `endpoint socket style state bucket port uid inode address...`: a row for each address.
fn sctp_line(line: &[u8], each: &mut impl FnMut(Row)) -> Result<(), &'static str> {
    let mut words = Words(line);
    for _ in ["ENDPT", "SOCK"] {
        // Pointers: hashed, zero or `(____ptrval____)`, as `kptr_restrict` has it.
        words.expect()?;
    }
    decimal(words.expect()?).ok_or("the style is wrong")?;
    let state = decimal(words.expect()?).and_then(|state| u8::try_from(state).ok());
    let state = state.ok_or("the state is wrong")?;
    decimal(words.expect()?).ok_or("the bucket is wrong")?;
    let port = decimal(words.expect()?).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or("the port is wrong")?;
    let uid = decimal(words.expect()?).and_then(|uid| u32::try_from(uid).ok());
    let uid = uid.ok_or("the uid is wrong")?;
    let inode = decimal(words.expect()?).ok_or("the inode is wrong")?;
    // All are checked before any is reported, so that a bad line reports nothing.
    let mut count = 0;
    let mut check = Words(words.0);
    while let Some(address) = check.next() {
        sctp_address(address).ok_or("an address is wrong")?;
        count += 1;
    }
    if count == 0 {
        return Err("a column is missing");
    }
    while let Some(local) = words.next().and_then(sctp_address) {
        let remote = unspecified_like(local);
        each(Row { table: Table::Sctp, local, port, remote, remote_port: 0, state, uid, inode });
    }
    Ok(())
}

/// `socket references type protocol interface running memory uid inode`.
fn packet_line(line: &[u8]) -> Result<Row, &'static str> {
    /// The loopback interface is the first of every namespace.
    const LOOPBACK: u64 = 1;
    let mut words = Words(line);
    // A pointer, as with SCTP.
    words.expect()?;
    for _ in ["RefCnt", "Type"] {
        decimal(words.expect()?).ok_or("a counter is wrong")?;
    }
    let port = hex(words.expect()?, 4).and_then(|number| u16::try_from(number).ok());
    let port = port.ok_or("the protocol is wrong")?;
    let interface = words.expect()?;
    // Of an interface that is gone the kernel keeps no number but -1.
    let interface = if interface == b"-1" { Some(0) } else { decimal(interface) };
    let interface = interface.ok_or("the interface is wrong")?;
    for _ in ["R", "Rmem"] {
        decimal(words.expect()?).ok_or("a counter is wrong")?;
    }
    let uid = decimal(words.expect()?).and_then(|uid| u32::try_from(uid).ok());
    let uid = uid.ok_or("the uid is wrong")?;
    let inode = decimal(words.expect()?).ok_or("the inode is wrong")?;
    let remote = Ipv4Addr::UNSPECIFIED.into();
    let local = if interface == LOOPBACK { Ipv4Addr::LOCALHOST.into() } else { remote };
    Ok(Row { table: Table::Packet, local, port, remote, remote_port: 0, state: 0, uid, inode })
}

fn sctp_address(word: &[u8]) -> Option<IpAddr> {
    let word = word.strip_prefix(b"*").unwrap_or(word);
    std::str::from_utf8(word).ok()?.parse().ok().map(canonical)
}

fn unspecified_like(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// `ADDRESS:PORT`. The address is printed in words of 32 bits, each as a number of the host's byte
/// order: so the number's bytes in memory are the address's bytes on the wire.
fn endpoint(table: Table, word: &[u8]) -> Option<(IpAddr, u16)> {
    let digits = if table.is_ipv6() { 32 } else { 8 };
    let (address, port) = word.split_at_checked(digits)?;
    let port = u16::try_from(hex(port.strip_prefix(b":")?, 4)?).ok()?;
    let address = if table.is_ipv6() {
        let mut bytes = [0; 16];
        for (four, word) in bytes.chunks_exact_mut(4).zip(address.chunks_exact(8)) {
            four.copy_from_slice(&hex(word, 8)?.to_ne_bytes());
        }
        canonical(Ipv6Addr::from(bytes).into())
    } else {
        Ipv4Addr::from(hex(address, 8)?.to_ne_bytes()).into()
    };
    Some((address, port))
}

/// Exactly `digits` hexadecimal digits, at most eight.
fn hex(word: &[u8], digits: usize) -> Option<u32> {
    if word.len() != digits {
        return None;
    }
    word.iter().try_fold(0, |number: u32, byte| {
        let digit = (*byte as char).to_digit(16)?;
        Some(number << 4 | digit)
    })
}

/// Decimal digits and nothing else.
fn decimal(word: &[u8]) -> Option<u64> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests;
