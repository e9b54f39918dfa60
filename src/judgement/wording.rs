//! The sentences of findings: what was seen, and what to do about it.
//!
//! Every foreign name passes through [`Foreign`] here, so a finding's text is safe to print.

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    notorious::known,
    observation::{Owner, Owners, Socket},
    socket::{Port, Protocol, Scope, scope},
};

/// The addresses of the sockets, the widest first.
pub(super) fn addresses(sockets: &[&Socket]) -> String {
    let unique: BTreeSet<IpAddr> = sockets.iter().map(|socket| socket.address).collect();
    let mut list: Vec<IpAddr> = unique.into_iter().collect();
    list.sort_by_key(|&address| (std::cmp::Reverse(scope(address)), address));
    join(list.iter().map(|address| format!("`{address}`")), 4)
}

/// Who holds the sockets: `` `node` (pid 7, uid 0) ``.
pub(super) fn holders(sockets: &[&Socket]) -> String {
    let processes: BTreeSet<&Owner> =
        sockets.iter().flat_map(|socket| socket.owners.processes()).collect();
    if processes.is_empty() {
        let outside = sockets.iter().all(|socket| socket.owners == Owners::Outside);
        return if outside {
            "the kernel or a process outside the container".to_owned()
        } else {
            "a process that could not be found out".to_owned()
        };
    }
    join(processes.into_iter().map(holder), 3)
}

/// The longest name of a file.
const LONGEST_NAME: usize = 255;

/// One process: `` `node` (pid 7, uid 0) ``, with its own name where that says more.
pub(super) fn holder(owner: &Owner) -> String {
    let called = match &owner.executable {
        // The kernel cuts a process's name at 15 bytes: a mere beginning says nothing new.
        Some(executable) if !executable.raw().starts_with(owner.name.raw()) => {
            format!(", called `{}`", owner.name.shown(LONGEST_NAME))
        }
        Some(_) | None => String::new(),
    };
    format!(
        "`{}` (pid {}, uid {}{called})",
        owner.shown().shown(LONGEST_NAME),
        owner.pid,
        owner.uid
    )
}

/// The first `limit` of them, and how many more there are.
pub(super) fn join(parts: impl Iterator<Item = String>, limit: usize) -> String {
    let parts: Vec<String> = parts.collect();
    let shown = parts[..parts.len().min(limit)].join(", ");
    match parts.len().saturating_sub(limit) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// What usually listens there, in brackets after what is said; empty if nothing is known.
pub(super) fn reputation(port: Port) -> String {
    match known(port) {
        Some(known) => match known.risk {
            Some(risk) => format!(" (usually {}: {risk})", known.service),
            None => format!(" (usually {})", known.service),
        },
        None => String::new(),
    }
}

/// How to close a port that nobody meant to open.
pub(super) fn how_to_close(port: Port, sockets: &[&Socket]) -> String {
    let debugger = match known(port) {
        Some(known) => known.service.contains("debugger") || known.service.contains("inspector"),
        None => false,
    };
    let first = if matches!(port.protocol, Protocol::Raw | Protocol::Packet) {
        "switch it off; without the capability NET_RAW nobody gets such a socket"
    } else if debugger {
        "start the program without its debug agent"
    } else if sockets.iter().any(|socket| scope(socket.address) == Scope::Any) {
        "bind it to 127.0.0.1, or switch it off"
    } else {
        "bind it to loopback, or switch it off"
    };
    format!(
        "{first}{}; if others must reach it, list it: `- port: {port}` with a `why`",
        reputation(port)
    )
}
