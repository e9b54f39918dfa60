//! The kernel's other account of a namespace's sockets: `sock_diag(7)`.
//!
//! For each reading of `/proc/PID/net/tcp` and `tcp6` the kernel walks the whole machine's table of
//! connections: 1.5 ms apiece where there is much memory. Asked over netlink for listeners alone it
//! walks the listeners: some 15 µs. The question must come from a socket of the container's own
//! namespace, which takes rights that a scout has not; where it cannot be made, the tables are read.
//!
//! This is never the only account: the tables are read first, last and every now and then, and the
//! two must agree while nothing changes. An answer that is in any way odd is no answer. Nothing is
//! sent to the container; the question is one to the kernel.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::OwnedFd,
    thread,
};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

use super::{
    inside::enter,
    process::Subject,
    tables::{LISTEN, Row, Table},
};
use crate::socket::canonical;

/// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`.
const BY_FAMILY: u16 = 20;
/// `NLMSG_DONE` of `linux/netlink.h`.
const DONE: u16 = 3;
/// `NLM_F_REQUEST` and `NLM_F_DUMP`.
const REQUEST_A_DUMP: u16 = 0x301;
/// `NLM_F_DUMP_INTR`: what was dumped changed meanwhile.
const INTERRUPTED: u16 = 0x10;
/// The lengths of `nlmsghdr`, `inet_diag_req_v2` and `inet_diag_msg`.
const HEADER: usize = 16;
const QUESTION: usize = 56;
const ANSWER: usize = 72;
/// More than the kernel puts into one answer, which is 32 KiB at most.
const BUFFER: usize = 64 * 1024;

/// The answer cannot be relied on: the tables are to be read instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsure;

/// A socket of ours in the container's namespace that the kernel is asked through.
pub(super) struct Diag {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
    rows: Vec<Row>,
}

impl fmt::Debug for Diag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Diag").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Diag {
    /// Makes the socket in the subject's network namespace. `None` if this process may not, or the
    /// kernel lacks the protocol.
    pub(super) fn enter(subject: &Subject) -> Option<Self> {
        // In a thread that ends at once: nothing else ever runs in the container's namespace.
        let socket = thread::scope(|scope| {
            let thread = thread::Builder::new().name("portlid-diag".to_owned());
            let made = thread.spawn_scoped(scope, || enter(subject).and_then(|()| open()));
            made.ok()?.join().ok()?
        })?;
        Some(Self { socket, sequence: 0, buffer: vec![0; BUFFER], rows: Vec::new() })
    }

    /// Calls `each` for every socket of the table that may accept: listeners of TCP, and every
    /// socket of UDP and UDP-Lite. Nothing is told unless all was understood.
    pub(super) fn read(&mut self, table: Table, each: impl FnMut(Row)) -> Result<(), Unsure> {
        let protocol = protocol_of(table).ok_or(Unsure)?;
        self.sequence = self.sequence.wrapping_add(1);
        let question = question(table, protocol, self.sequence);
        let sent = rustix::net::send(&self.socket, &question, SendFlags::DONTWAIT);
        if sent != Ok(question.len()) {
            return Err(Unsure);
        }
        self.rows.clear();
        loop {
            // The kernel answers while it is asked: what is not there now never comes.
            let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
            let (_, length) =
                rustix::net::recv(&self.socket, &mut self.buffer[..], flags).map_err(|_| Unsure)?;
            let answer = self.buffer.get(..length).ok_or(Unsure)?;
            let rows = &mut self.rows;
            if parse(table, self.sequence, answer, |row| rows.push(row))? {
                break;
            }
        }
        self.rows.iter().copied().for_each(each);
        Ok(())
    }
}

fn open() -> Option<OwnedFd> {
    let (kind, flags) = (SocketType::RAW, SocketFlags::CLOEXEC);
    rustix::net::socket_with(AddressFamily::NETLINK, kind, flags, Some(netlink::SOCK_DIAG)).ok()
}

/// The number of the protocol whose handlers answer alike. SCTP's differ, and for raw and packet
/// sockets the tables are as cheap.
fn protocol_of(table: Table) -> Option<u8> {
    match table {
        Table::Tcp | Table::Tcp6 => Some(6),
        Table::Udp | Table::Udp6 => Some(17),
        Table::Udplite | Table::Udplite6 => Some(136),
        Table::Raw | Table::Raw6 | Table::Sctp | Table::Packet => None,
    }
}

fn family_of(table: Table) -> u8 {
    let family = if table.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    // The families of IP are 2 and 10.
    u8::try_from(family.as_raw()).unwrap_or_default()
}

/// A `nlmsghdr` and an `inet_diag_req_v2` that asks for all sockets of these states.
fn question(table: Table, protocol: u8, sequence: u32) -> [u8; HEADER + QUESTION] {
    let states: u32 = if protocol == 6 { 1 << LISTEN } else { u32::MAX };
    let mut question = [0; HEADER + QUESTION];
    let length = u32::try_from(question.len()).unwrap_or_default();
    question[..4].copy_from_slice(&length.to_ne_bytes());
    question[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
    question[6..8].copy_from_slice(&REQUEST_A_DUMP.to_ne_bytes());
    question[8..12].copy_from_slice(&sequence.to_ne_bytes());
    question[HEADER] = family_of(table);
    question[HEADER + 1] = protocol;
    question[HEADER + 4..HEADER + 8].copy_from_slice(&states.to_ne_bytes());
    question
}

/// Reads one answer, which holds several messages. Returns whether it was the last.
pub(super) fn parse(
    table: Table,
    sequence: u32,
    mut answer: &[u8],
    mut each: impl FnMut(Row),
) -> Result<bool, Unsure> {
    // An empty answer ends nothing: whoever waited for more would wait for ever.
    if answer.is_empty() {
        return Err(Unsure);
    }
    while !answer.is_empty() {
        let header = answer.first_chunk::<HEADER>().ok_or(Unsure)?;
        let word = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|byte| header[at + byte]));
        let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let (length, kind, flags) = (word(0) as usize, half(4), half(6));
        let body = answer.get(HEADER..length).ok_or(Unsure)?;
        if word(8) != sequence || flags & INTERRUPTED != 0 {
            return Err(Unsure);
        }
        match kind {
            BY_FAMILY => each(row(table, body).ok_or(Unsure)?),
            // What the dump came to: an error of its own would be a negative number.
            DONE => {
                return match body.first_chunk::<4>() {
                    Some(code) if i32::from_ne_bytes(*code) >= 0 => Ok(true),
                    _ => Err(Unsure),
                };
            }
            _ => return Err(Unsure),
        }
        // Messages begin at multiples of four.
        answer = answer.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// A socket from an `inet_diag_msg`: what the same socket's line in the table says.
fn row(table: Table, body: &[u8]) -> Option<Row> {
    let body = body.first_chunk::<ANSWER>()?;
    if body[0] != family_of(table) {
        return None;
    }
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let word = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|byte| body[at + byte]));
    let address = |at: usize| {
        let bytes: [u8; 16] = std::array::from_fn(|byte| body[at + byte]);
        if table.is_ipv6() {
            canonical(Ipv6Addr::from(bytes).into())
        } else {
            IpAddr::from(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))
        }
    };
    Some(Row {
        table,
        local: address(8),
        port: port(4),
        remote: address(24),
        remote_port: port(6),
        state: body[1],
        uid: word(64),
        inode: word(68).into(),
    })
}

#[cfg(test)]
mod tests;
