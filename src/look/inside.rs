//! Asking a port that only the container itself reaches.
//!
//! A thread of ours enters the container's network namespace for the length of one question, and
//! connects to loopback there. It is no process of the container, and nothing of the container is
//! changed. This needs `CAP_SYS_ADMIN`: where that is missing, such a port cannot be asked.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsFd,
    time::Duration,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{Target, process::Subject, speak::ask};
use crate::{observation::Spoken, socket::Port, spec::Speaks};

/// Where a port is asked from inside the container.
pub const LOOPBACK: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Asks `port` on the container's loopback what it speaks. It takes `within` at most.
pub async fn ask_inside(target: Target, port: Port, wanted: Speaks, within: Duration) -> Spoken {
    let (answer, told) = tokio::sync::oneshot::channel();
    // A thread of its own: a namespace is a thread's, and it must not go back to a pool.
    let asking = std::thread::Builder::new().name("portlid-inside".to_owned()).spawn(move || {
        let spoken = enter_and_ask(&target, port, wanted, within).unwrap_or(Spoken::NotAsked);
        let _ = answer.send(spoken);
    });
    match asking {
        Ok(_) => told.await.unwrap_or(Spoken::NotAsked),
        Err(_) => Spoken::NotAsked,
    }
}

/// Moves this thread into the subject's network namespace, for good. `None` if it may not.
pub(super) fn enter(subject: &Subject) -> Option<()> {
    let namespace = subject.process().file("ns/net").ok()?;
    let opened = rustix::fs::fstat(&namespace).ok()?.st_ino;
    if opened != subject.netns() {
        return None;
    }
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).ok()
}

fn enter_and_ask(target: &Target, port: Port, wanted: Speaks, within: Duration) -> Option<Spoken> {
    let subject = Subject::open(&target.proc_root, target.pid, &target.container).ok()?;
    enter(&subject)?;
    // Sockets belong to the namespace of the thread that makes them, so the runtime stays on it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    Some(runtime.block_on(ask(&LOOPBACK, port, Some(wanted), within)))
}
