//! What a neighbour is answered: a connect scan of a container's own addresses.
//!
//! Never a port of the host, because a proxy may accept there with nothing behind it; never
//! loopback or an address of our own, because a connection can meet itself there and every port
//! seems open. Closed means refused, a time-out is silence, and trouble of our own is an error.
//! Where no port gives any answer, nothing was scanned, and that is an error too.
//!
//! A connection is closed as soon as it is made; nothing is sent over it.

mod budget;
mod probe;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

pub(super) use self::probe::{Attempt, Verdict, probe};
use super::{error::LookError, neighbour::are_neighbours};
use crate::{
    observation::{Answer, ScanResult},
    socket::canonical,
};

/// Which ports of which addresses are tried, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanRequest {
    /// The container's addresses, as its neighbours know them.
    pub addresses: Vec<IpAddr>,
    /// Whether every port is tried, 1 to 65,535.
    pub full: bool,
    /// Ports whose answers are always reported; without `full` the only ones that are tried.
    pub listed: BTreeSet<u16>,
    /// The hardware addresses that the container has, where they are known.
    pub hardware: BTreeMap<IpAddr, String>,
    /// How long all of it may take.
    pub within: Duration,
}

/// What [`ScanRequest::within`] should be if there is no reason for another value.
///
/// A container that answers takes about a second. One that drops everything, scanned by a process
/// with 256 descriptors, takes less than a minute.
pub const SCAN_WITHIN: Duration = Duration::from_secs(120);

impl ScanRequest {
    /// Every port of the addresses; the answers of `listed` are reported whatever they are.
    #[must_use]
    pub fn full(addresses: Vec<IpAddr>, listed: BTreeSet<u16>) -> Self {
        Self { addresses, full: true, listed, hardware: BTreeMap::new(), within: SCAN_WITHIN }
    }

    /// Only these ports, for a scan of the listed ones and for a second look at some.
    #[must_use]
    pub fn only(addresses: Vec<IpAddr>, ports: BTreeSet<u16>) -> Self {
        let hardware = BTreeMap::new();
        Self { addresses, full: false, listed: ports, hardware, within: SCAN_WITHIN }
    }
}

/// What the scan found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanReport {
    /// The answers, over all addresses: open if any is open, else silent if any is silent.
    pub result: ScanResult,
    /// How many answers of each kind each address gave.
    pub addresses: Vec<AddressReport>,
}

/// How many ports of one address gave which answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressReport {
    /// The address.
    pub address: IpAddr,
    /// Accepted.
    pub open: u32,
    /// Refused.
    pub refused: u32,
    /// No answer in time, twice.
    pub silent: u32,
    /// Answered by "unreachable": by a firewall, since other ports did answer.
    pub unreachable: u32,
    /// How long it took.
    pub took: Duration,
}

/// How long a port is waited for at first. On a local network an answer takes microseconds.
const FIRST_PATIENCE: Duration = Duration::from_millis(200);
/// How long a port that was silent is waited for the second time. More than a second, because a
/// firewall's ICMP answer to the first SYN may be missed: the kernel keeps it as a "soft" error if
/// it comes while `connect` still holds the socket, and sends another SYN a second later.
const SECOND_PATIENCE: Duration = Duration::from_millis(1300);
/// About how long the second round may take if very many ports are silent.
const SECOND_ROUND: Duration = Duration::from_secs(10);
/// The shortest patience that is ever used.
const LEAST_PATIENCE: Duration = Duration::from_millis(50);
/// Ports that hardly anything listens on: if listed ports give no answer, these tell a container
/// that drops packets from one that is not there.
/// How long an IPv6 address is given until anything answers. A network that has just got its first
/// container leads nowhere for about two seconds: the hosts on it first make sure that their
/// addresses are nobody else's (RFC 4862, duplicate address detection).
const SETTLES_WITHIN: Duration = Duration::from_secs(5);
const PATH_CONTROLS: [u16; 8] = [1, 9, 37, 1023, 20_011, 33_333, 50_021, 65_535];

/// Scans in a thread of its own. Dropping the future calls the scan off.
///
/// # Errors
///
/// See [`scan_blocking`].
pub async fn scan(request: ScanRequest) -> Result<ScanReport, LookError> {
    let cancel = Arc::new(AtomicBool::new(false));
    let _guard = CancelOnDrop(Arc::clone(&cancel));
    tokio::task::spawn_blocking(move || scan_blocking(&request, &cancel))
        .await
        .map_err(|error| LookError::Internal { what: format!("the scan broke: {error}") })?
}

struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Scans, until `cancel` becomes true.
///
/// # Errors
///
/// If there is no address, or one that must not be scanned; if an address gives no answer at all;
/// if our side fails (descriptors, ports, memory) and goes on failing; if time runs out.
pub fn scan_blocking(request: &ScanRequest, cancel: &AtomicBool) -> Result<ScanReport, LookError> {
    let deadline = Instant::now() + request.within;
    let addresses: BTreeSet<IpAddr> = request.addresses.iter().copied().map(canonical).collect();
    if addresses.is_empty() {
        return Err(LookError::NoAddress);
    }
    for address in &addresses {
        require_foreign(*address)?;
        are_neighbours(&[*address], &request.hardware)?;
    }
    let ports: Vec<u16> = if request.full {
        (1..=u16::MAX).collect()
    } else {
        request.listed.iter().copied().collect()
    };
    let mut answers: BTreeMap<u16, Answer> = BTreeMap::new();
    let mut reports = Vec::new();
    for address in addresses {
        let scan = Scan { address, within: request.within, deadline, cancel };
        let began = Instant::now();
        let notable = scan.ports(&ports)?;
        let count = |verdict| {
            u32::try_from(notable.values().filter(|it| **it == verdict).count()).unwrap_or(u32::MAX)
        };
        let (open, silent, unreachable) =
            (count(Verdict::Open), count(Verdict::Silent), count(Verdict::Unreachable));
        let total = u32::try_from(ports.len()).unwrap_or(u32::MAX);
        let refused = total - open - silent - unreachable;
        reports.push(AddressReport {
            address,
            open,
            refused,
            silent,
            unreachable,
            took: began.elapsed(),
        });
        for port in notable.keys().chain(&request.listed) {
            let answer = match notable.get(port) {
                Some(Verdict::Open) => Answer::Open,
                // A firewall's "unreachable" is no refusal by the container: it keeps a secret.
                Some(Verdict::Silent | Verdict::Unreachable) => Answer::Silent,
                Some(Verdict::Refused) | None => Answer::Refused,
            };
            let merged = answers.entry(*port).or_insert(answer);
            *merged = merge(*merged, answer);
        }
    }
    let scanned = u32::try_from(ports.len()).unwrap_or(u32::MAX);
    let result = ScanResult { scanned, answers, full: request.full };
    Ok(ScanReport { result, addresses: reports })
}

/// Open on one address is open; silent on one and refused on the other is silent.
fn merge(one: Answer, other: Answer) -> Answer {
    match (one, other) {
        (Answer::Open, _) | (_, Answer::Open) => Answer::Open,
        (Answer::Silent, _) | (_, Answer::Silent) => Answer::Silent,
        (Answer::Refused, Answer::Refused) => Answer::Refused,
    }
}

/// Refuses addresses where a connection could meet ourselves, or that name nobody.
fn require_foreign(address: IpAddr) -> Result<(), LookError> {
    let refuse = |why: &str| Err(LookError::Address { address, why: why.to_owned() });
    let link_local = match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if address.is_unspecified() || address.is_multicast() {
        refuse("it is not one host's address")
    } else if address.is_loopback() {
        refuse("it is a loopback address")
    } else if link_local {
        refuse("it is valid on one link only")
    } else if is_own(address) {
        refuse("it is an address of the scanning host")
    } else {
        Ok(())
    }
}

/// Whether the address is one of ours: then a socket can be bound to it. Where the system lets
/// sockets be bound to foreign addresses (`ip_nonlocal_bind`), ours is the one that the system
/// would use itself to reach it.
fn is_own(address: IpAddr) -> bool {
    if UdpSocket::bind(SocketAddr::new(address, 0)).is_err() {
        return false;
    }
    let any: IpAddr = match address {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    // Connecting a UDP socket sends nothing; it only chooses the local address.
    let route = UdpSocket::bind(SocketAddr::new(any, 0))
        .and_then(|socket| socket.connect(SocketAddr::new(address, 9)).map(|()| socket))
        .and_then(|socket| socket.local_addr());
    let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
    let nonlocal = std::fs::read(format!("/proc/sys/net/{family}/ip_nonlocal_bind"))
        .is_ok_and(|text| text.first() == Some(&b'1'));
    !nonlocal || route.is_ok_and(|local| local.ip() == address)
}

/// The scan of one address.
struct Scan<'a> {
    address: IpAddr,
    within: Duration,
    deadline: Instant,
    cancel: &'a AtomicBool,
}

impl Scan<'_> {
    /// Every port that did not refuse, with what it did.
    fn ports(&self, ports: &[u16]) -> Result<BTreeMap<u16, Verdict>, LookError> {
        if ports.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut notable = self.round(ports, FIRST_PATIENCE)?;
        let answered = |notable: &BTreeMap<u16, Verdict>, tried: usize| {
            let mute = notable.values().filter(|verdict| !verdict.is_answer()).count();
            mute < tried
        };
        if !answered(&notable, ports.len()) {
            self.require_path(&notable, ports)?;
        }
        let silent: Vec<u16> = notable
            .iter()
            .filter(|(_, verdict)| **verdict == Verdict::Silent)
            .map(|(port, _)| *port)
            .collect();
        let rounds = silent.len().div_ceil(budget::most().max(1));
        let patience = SECOND_ROUND
            .checked_div(u32::try_from(rounds).unwrap_or(u32::MAX))
            .unwrap_or(SECOND_PATIENCE)
            .clamp(LEAST_PATIENCE, SECOND_PATIENCE);
        let second = self.round(&silent, patience)?;
        for port in silent {
            match second.get(&port) {
                Some(verdict) => notable.insert(port, *verdict),
                None => notable.remove(&port),
            };
        }
        Ok(notable)
    }

    /// After a round without any answer: tries some ports with all patience, listed or not. If none
    /// of them answers either, the way to the container leads nowhere.
    fn require_path(
        &self,
        notable: &BTreeMap<u16, Verdict>,
        ports: &[u16],
    ) -> Result<(), LookError> {
        let step = ports.len().div_ceil(56).max(1);
        let mut tried: Vec<u16> = ports.iter().copied().step_by(step).collect();
        tried.extend(PATH_CONTROLS);
        tried.sort_unstable();
        tried.dedup();
        let settled = Instant::now() + SETTLES_WITHIN;
        loop {
            let mute = self.round(&tried, SECOND_PATIENCE)?;
            if mute.len() < tried.len() || mute.values().any(|verdict| verdict.is_answer()) {
                return Ok(());
            }
            if self.address.is_ipv4() || Instant::now() >= settled {
                break;
            }
            // Where the answer is "unreachable", a round takes no time at all.
            std::thread::sleep(LEAST_PATIENCE);
        }
        let unreachable = notable.values().filter(|it| **it == Verdict::Unreachable).count();
        Err(LookError::Void {
            address: self.address,
            silent: u32::try_from(notable.len() - unreachable).unwrap_or(u32::MAX),
            unreachable: u32::try_from(unreachable).unwrap_or(u32::MAX),
        })
    }

    fn round(
        &self,
        ports: &[u16],
        patience: Duration,
    ) -> Result<BTreeMap<u16, Verdict>, LookError> {
        probe(&Attempt {
            address: self.address,
            ports,
            patience,
            least_patience: LEAST_PATIENCE,
            within: self.within,
            deadline: self.deadline,
            cancel: self.cancel,
        })
    }
}

#[cfg(test)]
mod tests;
