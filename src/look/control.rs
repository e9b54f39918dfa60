//! The positive control: proof that the eyes work, before what they do not see counts as shut.
//!
//! A listener of our own is opened on loopback, and the very code that looks at containers must
//! find it: the tables' reader must list it, the owners' search must name this process, the scan
//! must call its port open, and a port that is bound but does not listen refused. That proves that
//! this kernel's formats are understood and that this process may read descriptors and connect. It
//! does not prove that another process may be read: that is what
//! [`can_see`](super::can_see) and the errors of the watch are for.
//!
//! Traffic stays on this process's own loopback.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use rustix::net::{AddressFamily, SocketType};
use serde::{Deserialize, Serialize};

use super::{
    error::LookError,
    owners::census,
    process::Subject,
    scan::{Attempt, Verdict, probe},
    tables::Table,
};
use crate::socket::Port;

/// What a control saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The version of portlid that looked.
    pub portlid: String,
    /// The port of our own that was listed, known as ours, and open.
    pub open: u16,
    /// The port of our own that was refused.
    pub shut: u16,
}

/// Opens a listener and checks that it is found.
///
/// # Errors
///
/// If it is not, or if no listener can be opened.
pub fn control() -> Result<Seen, LookError> {
    control_at(Path::new("/proc"))
}

/// The same with another `/proc`.
pub(super) fn control_at(proc_root: &Path) -> Result<Seen, LookError> {
    let failed = |what: String| LookError::Control { what };
    let no_socket = |error: std::io::Error| failed(format!("no socket of our own: {error}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(no_socket)?;
    let open = listener.local_addr().map_err(no_socket)?.port();

    let mut subject = Subject::open(proc_root, std::process::id(), "")?;
    let mut inodes = BTreeSet::new();
    subject.read_table(Table::Tcp, |row| {
        if row.accepts()
            && row.bound_to() == Port::tcp(open)
            && row.local == IpAddr::from(Ipv4Addr::LOCALHOST)
        {
            inodes.insert(row.inode);
        }
    })?;
    if inodes.is_empty() {
        return Err(failed(format!("our own listener on 127.0.0.1:{open} is in no table")));
    }
    let found = census(proc_root, &subject, &inodes);
    let named = inodes.iter().any(|inode| {
        found
            .holders
            .get(inode)
            .is_some_and(|owners| owners.iter().any(|owner| owner.pid == std::process::id()))
    });
    if !named {
        return Err(failed(format!("our own listener on 127.0.0.1:{open} is not known as ours")));
    }
    let shut = scan_control(open)?;
    Ok(Seen { portlid: env!("CARGO_PKG_VERSION").to_owned(), open, shut })
}

/// The control of the scan: `open` must be open, and a port that is only bound refused. Which
/// that was is returned.
fn scan_control(open: u16) -> Result<u16, LookError> {
    let failed = |what: String| LookError::Control { what };
    // Bound, so that no other process listens there and no connection can meet itself.
    let bound = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)
        .and_then(|socket| {
            rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            let address = rustix::net::getsockname(&socket)?;
            Ok((SocketAddr::try_from(address)?.port(), socket))
        })
        .map_err(|errno| failed(format!("no socket of our own: {errno}")))?;
    let (shut, _socket) = bound;
    let within = Duration::from_secs(2);
    let found = probe(&Attempt {
        address: Ipv4Addr::LOCALHOST.into(),
        ports: &[open, shut],
        patience: Duration::from_millis(500),
        least_patience: Duration::from_millis(500),
        within,
        deadline: Instant::now() + within,
        cancel: &AtomicBool::new(false),
    })?;
    if found.get(&open) != Some(&Verdict::Open) {
        return Err(failed(format!("our own listener on 127.0.0.1:{open} did not answer")));
    }
    if let Some(verdict) = found.get(&shut) {
        return Err(failed(format!("the shut port 127.0.0.1:{shut} came out as {verdict:?}")));
    }
    Ok(shut)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The control of this machine succeeds, again and again.
    #[test]
    fn our_own_listener_is_found() {
        for _ in 0..3 {
            control().unwrap();
        }
    }

    /// Without a table the control fails.
    #[test]
    fn a_proc_without_us_fails_the_control() {
        let root = tempfile::tempdir().unwrap();
        assert!(control_at(root.path()).is_err());
    }
}
