//! The scan, against listeners and namespaces of its own.

use std::net::{Ipv4Addr, TcpListener};

use super::*;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn try_ports(ports: &[u16], patience: Duration) -> Result<BTreeMap<u16, Verdict>, LookError> {
    let within = Duration::from_secs(10);
    probe(&Attempt {
        address: LOOPBACK,
        ports,
        patience,
        least_patience: patience,
        within,
        deadline: Instant::now() + within,
        cancel: &AtomicBool::new(false),
    })
}

fn request(addresses: &[IpAddr]) -> ScanRequest {
    ScanRequest::only(addresses.to_vec(), BTreeSet::from([80]))
}

fn refused(address: IpAddr) -> bool {
    let result = scan_blocking(&request(&[address]), &AtomicBool::new(false));
    matches!(result, Err(LookError::Address { .. }))
}

/// A listener whose queue is full, and the connections that fill it: the kernel drops every
/// further SYN.
fn silent_port() -> (u16, Vec<std::os::fd::OwnedFd>) {
    use rustix::net::{
        AddressFamily, SocketFlags, SocketType, bind, connect, getsockname, listen, socket_with,
    };
    let socket = || {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap()
    };
    let listener = socket();
    bind(&listener, &SocketAddr::new(LOOPBACK, 0)).unwrap();
    listen(&listener, 0).unwrap();
    let address = SocketAddr::try_from(getsockname(&listener).unwrap()).unwrap();
    let mut sockets = vec![listener];
    for _ in 0..4 {
        let filling = socket();
        let _ = connect(&filling, &address);
        sockets.push(filling);
    }
    (address.port(), sockets)
}

#[test]
fn open_refused_and_silent_are_three_things() {
    let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let open = listener.local_addr().unwrap().port();
    let (silent, _sockets) = silent_port();
    let mut ports = vec![1, 2, 3, open, silent];
    ports.sort_unstable();
    let found = try_ports(&ports, Duration::from_millis(100)).unwrap();
    assert_eq!(found, BTreeMap::from([(open, Verdict::Open), (silent, Verdict::Silent)]));
}

/// Many listeners among many ports, by both threads: none missed, none invented.
#[test]
fn thousands_of_ports_are_told_apart() {
    let listeners: Vec<_> = (0..50).map(|_| TcpListener::bind((LOOPBACK, 0)).unwrap()).collect();
    let open: BTreeSet<u16> = listeners.iter().map(|it| it.local_addr().unwrap().port()).collect();
    // Ports below the ephemeral range cannot be taken by other tests in the meantime, and on
    // loopback a connection from the range into the range could meet itself.
    let ports: Vec<u16> = (1000..20_000).chain(open.iter().copied()).collect();
    let elsewhere = try_ports(&(1000..20_000).collect::<Vec<_>>(), Duration::from_secs(1)).unwrap();
    let found = try_ports(&ports, Duration::from_secs(1)).unwrap();
    for port in &open {
        assert_eq!(found.get(port), Some(&Verdict::Open), "{port}");
    }
    assert_eq!(found.len(), open.len() + elsewhere.len());
}

/// Addresses where a connection could meet itself, or that name nobody, are refused.
#[test]
fn loopback_and_its_like_are_refused() {
    for address in [
        "127.0.0.1",
        "127.0.0.11",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "::",
        "fe80::1",
        "224.0.0.1",
        "ff02::1",
    ] {
        assert!(refused(address.parse().unwrap()), "{address}");
    }
}

#[test]
fn our_own_address_is_known() {
    assert!(is_own(LOOPBACK));
    // TEST-NET-1, which nobody has. Nothing is sent.
    assert!(!is_own(IpAddr::from([192, 0, 2, 77])));
}

#[test]
fn no_address_is_no_scan() {
    let result = scan_blocking(&request(&[]), &AtomicBool::new(false));
    assert_eq!(result, Err(LookError::NoAddress));
}

#[test]
fn a_cancelled_scan_ends_at_once() {
    let (silent, _sockets) = silent_port();
    let within = Duration::from_secs(10);
    let cancel = AtomicBool::new(true);
    let result = probe(&Attempt {
        address: LOOPBACK,
        ports: &[silent],
        patience: within,
        least_patience: within,
        within,
        deadline: Instant::now() + within,
        cancel: &cancel,
    });
    assert_eq!(result, Err(LookError::Cancelled));
}

#[test]
fn a_scan_keeps_its_deadline() {
    let (silent, _sockets) = silent_port();
    let within = Duration::from_millis(100);
    let result = probe(&Attempt {
        address: LOOPBACK,
        ports: &[silent],
        patience: Duration::from_secs(10),
        least_patience: Duration::from_secs(10),
        within,
        deadline: Instant::now() + within,
        cancel: &AtomicBool::new(false),
    });
    assert_eq!(result, Err(LookError::ScanDeadline { address: LOOPBACK, within }));
}

/// The second round changes the first one's mind, and a lone silent port stays silent.
#[test]
fn a_silent_port_is_tried_twice() {
    let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let open = listener.local_addr().unwrap().port();
    let (silent, _sockets) = silent_port();
    let within = Duration::from_secs(10);
    let cancel = AtomicBool::new(false);
    let scan =
        Scan { address: LOOPBACK, within, deadline: Instant::now() + within, cancel: &cancel };
    let began = Instant::now();
    let mut ports = [1, open, silent];
    ports.sort_unstable();
    let found = scan.ports(&ports).unwrap();
    assert_eq!(found, BTreeMap::from([(open, Verdict::Open), (silent, Verdict::Silent)]));
    assert!(began.elapsed() >= FIRST_PATIENCE + SECOND_PATIENCE);
}

#[test]
fn answers_of_several_addresses_are_joined() {
    use Answer::{Open, Refused, Silent};
    for (one, other, joined) in [
        (Open, Refused, Open),
        (Silent, Open, Open),
        (Refused, Silent, Silent),
        (Refused, Refused, Refused),
        (Silent, Silent, Silent),
    ] {
        assert_eq!(merge(one, other), joined);
        assert_eq!(merge(other, one), joined);
    }
}
