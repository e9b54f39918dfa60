//! The rules about sockets and about what answers a neighbour.

use std::collections::BTreeMap;

use super::{
    Case, Draft,
    wording::{addresses, holder, holders, how_to_close, join, reputation},
};
use crate::{
    foreign::Foreign,
    observation::{Answer, Owner, Owners, Socket, Spoken, Unseen},
    rule::Rule,
    socket::{Port, Protocol, Scope, scope},
    spec::{Entry, Place, Speaks},
};

pub(super) fn judge(case: &mut Case<'_>) {
    let seen = case.seen;
    let mut by_port: BTreeMap<Port, Vec<&Socket>> = BTreeMap::new();
    for socket in seen.sockets.iter().filter(|socket| !socket.is_of_engine()) {
        by_port.entry(socket.port).or_default().push(socket);
    }
    for (&port, sockets) in &by_port {
        match case.spec.entry_for(port) {
            Some((index, entry)) => listed(case, port, sockets, index, entry),
            None => unlisted(case, port, sockets),
        }
    }
    for (index, port) in case.spec.required() {
        let sockets = by_port.get(&port).map_or(&[][..], Vec::as_slice);
        required(case, port, sockets, index, &case.spec.expose[index]);
    }
    answered_without_socket(case, &by_port);
    entries(case, &by_port);
}

/// A port that no entry allows.
fn unlisted(case: &mut Case<'_>, port: Port, sockets: &[&Socket]) {
    let (inside, reachable): (Vec<&Socket>, Vec<&Socket>) =
        sockets.iter().partition(|socket| scope(socket.address) == Scope::Loopback);
    // Clients of UDP-Lite are too rare to be given the benefit of the doubt.
    let is_udp = port.protocol == Protocol::Udp;
    // On loopback, too: while it is being connected, a client's socket is seen there or on every
    // address, now so and now so.
    if is_udp && case.seen.ephemeral.contains(&port.number) {
        let message = format!(
            "{} holds an unconnected UDP socket on {} in the ephemeral range {}-{}",
            holders(sockets),
            addresses(sockets),
            case.seen.ephemeral.start(),
            case.seen.ephemeral.end(),
        );
        let help = "most likely a client waiting for an answer; if it is a server, list its port \
                    or give it one below the range"
            .to_owned();
        case.find(
            Draft::new(Rule::EphemeralUdp, Some(port), Place::Expose, message, help).about(sockets),
        );
        return;
    }
    if !reachable.is_empty() {
        let message =
            format!("{} {}, and no entry allows it", holders(&reachable), does(port, &reachable));
        let help = how_to_close(port, &reachable);
        case.find(
            Draft::new(Rule::UnlistedListener, Some(port), Place::Expose, message, help)
                .about(&reachable),
        );
    }
    if !inside.is_empty() {
        let message =
            format!("{} listens on {} with no entry", holders(&inside), addresses(&inside));
        let help = format!(
            "only the container itself reaches it; to write that down, list it: `- port: {port}` \
             with `bind: loopback`"
        );
        case.find(
            Draft::new(Rule::LoopbackListener, Some(port), Place::Expose, message, help)
                .about(&inside),
        );
    }
}

/// What the holder of an unlisted port does.
fn does(port: Port, sockets: &[&Socket]) -> String {
    match port.protocol {
        Protocol::Tcp | Protocol::Udp | Protocol::Udplite | Protocol::Sctp => {
            format!("listens on {}", addresses(sockets))
        }
        Protocol::Raw => format!(
            "takes every packet of IP protocol {} on {} by a raw socket",
            port.number,
            addresses(sockets)
        ),
        Protocol::Packet if port.number == EVERY_FRAME => {
            "takes every frame by a packet socket, whatever its port, and before any firewall"
                .to_owned()
        }
        Protocol::Packet => {
            format!("takes every frame of EtherType {:#06x} by a packet socket", port.number)
        }
    }
}

/// `ETH_P_ALL` of the kernel's `include/uapi/linux/if_ether.h`.
const EVERY_FRAME: u16 = 3;

/// A port that an entry allows, and that listens.
fn listed(case: &mut Case<'_>, port: Port, sockets: &[&Socket], index: usize, entry: &Entry) {
    let place = Place::Entry(index);
    let wide: Vec<&Socket> =
        sockets.iter().copied().filter(|socket| !entry.bind.allows(socket.address)).collect();
    if !wide.is_empty() {
        let message = format!(
            "{} listens on {}, wider than `bind: {}`",
            holders(&wide),
            addresses(&wide),
            entry.bind
        );
        let advice = if entry.bind.is_loopback_only() {
            "bind it to 127.0.0.1".to_owned()
        } else {
            format!("bind it to an address within `{}`", entry.bind)
        };
        let help = format!("{advice}{}, or widen the entry and say `why`", reputation(port));
        case.find(Draft::new(Rule::BoundTooWide, Some(port), place, message, help).about(&wide));
    }
    owned(case, port, sockets, place, entry);
    if let Some(wanted) = entry.speaks {
        spoken(case, port, sockets, place, wanted);
    }
    let reachable: Vec<&Socket> =
        sockets.iter().copied().filter(|socket| scope(socket.address) != Scope::Loopback).collect();
    if !reachable.is_empty()
        && port.protocol.can_be_published()
        && !entry.bind.is_loopback_only()
        && !case.seen.declared.contains(&port)
    {
        let message = "it is allowed and listens, but the image does not declare it".to_owned();
        let help = format!("add `EXPOSE {port}` to the Dockerfile, so that the image says so");
        case.find(
            Draft::new(Rule::UndeclaredPort, Some(port), place, message, help).about(&reachable),
        );
    }
}

/// Whether the processes that hold a port are those that the entry names: all of them must be.
fn owned(case: &mut Case<'_>, port: Port, sockets: &[&Socket], place: Place, entry: &Entry) {
    if entry.process.is_none() && entry.user.is_none() {
        return;
    }
    if sockets.iter().any(|socket| socket.owners == Owners::Unknown) {
        case.open.push(Unseen::new(
            format!(
                "the entry for {port} says who owns it, but the process could not be found out"
            ),
            "a socket that lives for moments has no owner that could be named; if it is always so, \
             run portlid as root or with `--look scout`",
        ));
    }
    if let Some(wanted) = &entry.process {
        let wrong = held_by(sockets, |owner| !owner.is_called(wanted));
        if !wrong.is_empty() {
            let message = format!("{} holds it, not `{}`", others(&wrong, wanted), Foreign(wanted));
            let help = "if that process may have the port, change `process`; a name is the \
                        executable's file name or the process's own"
                .to_owned();
            case.find(
                Draft::new(Rule::WrongProcess, Some(port), place, message, help).about(&wrong),
            );
        }
    }
    if let Some(wanted) = entry.user {
        let wrong = held_by(sockets, |owner| owner.uid != wanted);
        if !wrong.is_empty() {
            let message = format!("{} holds it, not only uid {wanted}", holders(&wrong));
            let help = "start it as that user (`USER` in the Dockerfile), or change `user`; a \
                        parent that keeps the socket counts as well"
                .to_owned();
            case.find(Draft::new(Rule::WrongUser, Some(port), place, message, help).about(&wrong));
        }
    }
}

/// The sockets that a process like that holds, or none of the container.
fn held_by<'a>(sockets: &[&'a Socket], like_that: impl Fn(&Owner) -> bool) -> Vec<&'a Socket> {
    let is_held = |socket: &&Socket| {
        socket.owners == Owners::Outside || socket.owners.processes().any(&like_that)
    };
    sockets.iter().copied().filter(is_held).collect()
}

/// The holders that are not called `wanted`.
fn others(sockets: &[&Socket], wanted: &str) -> String {
    let mut others: Vec<String> = sockets
        .iter()
        .flat_map(|socket| socket.owners.processes())
        .filter(|owner| !owner.is_called(wanted))
        .map(holder)
        .collect();
    others.sort();
    others.dedup();
    if others.is_empty() { holders(sockets) } else { join(others.into_iter(), 3) }
}

/// Whether a port speaks what the entry says.
fn spoken(case: &mut Case<'_>, port: Port, sockets: &[&Socket], place: Place, wanted: Speaks) {
    let seen = match case.seen.spoken.get(&port) {
        Some(Spoken::Recognised(spoken)) if *spoken == wanted => return,
        // Whatever accepts a connection is good enough for `plain`.
        Some(Spoken::Recognised(_) | Spoken::Unrecognised | Spoken::Mute)
            if wanted == Speaks::Plain =>
        {
            return;
        }
        Some(Spoken::Recognised(spoken)) => format!("it speaks {}", spoken.as_str()),
        Some(Spoken::Unrecognised) => "its answer is nothing of that".to_owned(),
        Some(Spoken::Mute) => "it accepts a connection and says nothing".to_owned(),
        Some(Spoken::NotAsked) | None => {
            case.open.push(Unseen::new(
                format!(
                    "the entry for {port} says that it speaks {}, but it could not be asked",
                    wanted.as_str()
                ),
                "it must accept connections until the watch is over",
            ));
            return;
        }
    };
    let message = format!("{seen}, not {}", wanted.as_str());
    let help = "if it may speak that, change `speaks`; else look at what listens there".to_owned();
    case.find(Draft::new(Rule::WrongProtocol, Some(port), place, message, help).about(sockets));
}

/// A port that must be open.
fn required(case: &mut Case<'_>, port: Port, sockets: &[&Socket], index: usize, entry: &Entry) {
    let place = Place::Entry(index);
    let inside_suffices = entry.bind.is_loopback_only();
    let reachable = sockets.iter().any(|socket| scope(socket.address) != Scope::Loopback);
    if sockets.is_empty() {
        let message = "it must be open, and nothing ever listened on it".to_owned();
        let help = "look at the log for why the server did not start there; a slow one needs a \
                    longer `ready: { within: ... }`; if it may stay closed, say `optional: true`"
            .to_owned();
        case.find(Draft::new(Rule::MissingListener, Some(port), place, message, help));
        return;
    }
    if let Some(lost) = case.seen.lost.get(&port) {
        let message =
            format!("it was open, and closed again {:.1} s after the start", lost.as_secs_f64());
        let help = "look at the log for why the server stopped listening".to_owned();
        case.find(Draft::new(Rule::Flapping, Some(port), place, message, help).about(sockets));
    }
    if inside_suffices {
        return;
    }
    if !reachable {
        let message = format!(
            "{} listens on {} only, where nobody outside the container reaches it",
            holders(sockets),
            addresses(sockets)
        );
        let help = "bind it to 0.0.0.0; if only the container itself needs it, say `bind: \
                    loopback`"
            .to_owned();
        case.find(Draft::new(Rule::LoopbackOnly, Some(port), place, message, help).about(sockets));
        return;
    }
    let dead = match case.seen.scan.answer(port) {
        Some(Answer::Refused) => "refuses connections",
        Some(Answer::Silent) => "does not answer",
        Some(Answer::Open) | None => return,
    };
    let message = format!(
        "{} listens on {}, but a neighbour on the container's network finds that it {dead}",
        holders(sockets),
        addresses(sockets)
    );
    let help = "look for a firewall inside the container, an address that the container does not \
                have, or an IPv6-only socket on a network without IPv6"
        .to_owned();
    case.find(Draft::new(Rule::Unreachable, Some(port), place, message, help).about(sockets));
}

/// Ports that answer a neighbour although nothing that others can reach listens there.
fn answered_without_socket(case: &mut Case<'_>, by_port: &BTreeMap<Port, Vec<&Socket>>) {
    let open = case.seen.scan.answers.iter().filter(|(_, answer)| **answer == Answer::Open);
    for port in open.map(|(&number, _)| Port::tcp(number)) {
        let sockets = by_port.get(&port).map_or(&[][..], Vec::as_slice);
        if sockets.iter().any(|socket| scope(socket.address) != Scope::Loopback) {
            continue;
        }
        let entry = case.spec.entry_for(port);
        let place = entry.map_or(Place::Expose, |(at, _)| Place::Entry(at));
        let but = if !sockets.is_empty() {
            format!("but only {} listens, on {}", holders(sockets), addresses(sockets))
        } else if !case.seen.sockets_hidden {
            "but no socket listens on it".to_owned()
        } else {
            match entry {
                None => "and no entry allows it".to_owned(),
                Some((_, entry)) if entry.bind.is_loopback_only() => {
                    "and its entry allows loopback only".to_owned()
                }
                Some(_) => continue,
            }
        };
        let message = format!("a neighbour is answered on it, {but}");
        let help = if case.seen.sockets_hidden {
            how_to_close(port, sockets)
        } else {
            format!(
                "look for a redirect inside the container (nftables, iptables, eBPF), or for a \
                 socket that lives only for moments{}",
                reputation(port)
            )
        };
        case.find(
            Draft::new(Rule::UnlistedReachable, Some(port), place, message, help).about(sockets),
        );
    }
}

/// The rules about entries themselves.
fn entries(case: &mut Case<'_>, by_port: &BTreeMap<Port, Vec<&Socket>>) {
    let seen = case.seen;
    for (index, entry) in case.spec.expose.iter().enumerate() {
        let place = Place::Entry(index);
        if let Some(until) = entry.until.filter(|&until| until < seen.today) {
            let message = format!("{} was allowed until {until}", entry.ports);
            let help = match &entry.owner {
                Some(owner) => {
                    format!("close the port, or ask `{}` for a new `until`", Foreign(owner))
                }
                None => "close the port, or agree on a new `until`".to_owned(),
            };
            case.find(Draft::new(Rule::Expired, entry.ports.single(), place, message, help));
        }
        let used = by_port.keys().any(|&port| entry.ports.contains(port))
            || seen.declared.iter().any(|&port| entry.ports.contains(port))
            || seen.published.iter().any(|published| entry.ports.contains(published.port));
        if entry.optional && !used {
            let message = format!("nothing used the entry for {}", entry.ports);
            let help = "take it out, so that the port stays shut".to_owned();
            case.find(Draft::new(Rule::UnusedEntry, entry.ports.single(), place, message, help));
        }
    }
}
