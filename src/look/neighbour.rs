//! Whether an address is that of a neighbour, and of the right one.
//!
//! An address of a container says little on another machine, or in another namespace: there it may
//! be a stranger's. So nothing is sent to an address that is not on a network of ours, and where the
//! container's hardware address is known, the neighbour must have it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use super::error::LookError;
use crate::socket::canonical;

/// `RTF_UP` and `RTF_GATEWAY` of the kernel's `include/uapi/linux/route.h`; `RTF_REJECT` of
/// `include/uapi/linux/ipv6_route.h` and there.
const UP: u32 = 0x1;
const GATEWAY: u32 = 0x2;
const REJECT: u32 = 0x200;
/// `ATF_COM` of `include/uapi/linux/if_arp.h`: the entry holds a hardware address.
const COMPLETE: u32 = 0x2;

/// Whether every address is that of a neighbour, with the hardware address that it is known by.
///
/// # Errors
///
/// If one is not, so that it may be anybody's.
pub fn are_neighbours(
    addresses: &[IpAddr],
    hardware: &BTreeMap<IpAddr, String>,
) -> Result<(), LookError> {
    are_on_link(addresses)?;
    hardware
        .iter()
        .filter(|(address, _)| addresses.contains(address))
        .try_for_each(|(&address, hardware)| has_hardware(address, hardware))
}

/// Whether every address is on a network that this process has an interface on.
fn are_on_link(addresses: &[IpAddr]) -> Result<(), LookError> {
    for &address in addresses {
        let is_on_link = match canonical(address) {
            IpAddr::V4(address) => is_on_link_v4(&table("route"), address),
            IpAddr::V6(address) => is_on_link_v6(&table("ipv6_route"), address),
        };
        if !is_on_link {
            let why = "it is not on a network of this machine".to_owned();
            return Err(LookError::NotNeighbour { address, why });
        }
    }
    Ok(())
}

/// Whether the neighbour at `address` has this hardware address. Asks with one connection.
fn has_hardware(address: IpAddr, hardware: &str) -> Result<(), LookError> {
    const TRIES: u32 = 5;
    const DISCARD: u16 = 9;
    let IpAddr::V4(v4) = canonical(address) else { return Ok(()) };
    let mut seen = None;
    for _ in 0..TRIES {
        // Whatever comes of it: the kernel has to find the neighbour first.
        let peer = SocketAddr::new(v4.into(), DISCARD);
        let _ = TcpStream::connect_timeout(&peer, Duration::from_millis(200));
        seen = hardware_of(&table("arp"), v4);
        if seen.as_deref().is_some_and(|seen| seen.eq_ignore_ascii_case(hardware)) {
            return Ok(());
        }
    }
    let why = match seen {
        Some(seen) => format!("it is that of `{seen}`, not of the container (`{hardware}`)"),
        None => "nobody has it".to_owned(),
    };
    Err(LookError::NotNeighbour { address, why })
}

/// A table of this thread's network namespace.
fn table(name: &str) -> String {
    std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default()
}

/// Whether the most specific route to the address has no gateway. A line of `/proc/net/route` is
/// `Iface Destination Gateway Flags RefCnt Use Metric Mask ...`, addresses in the host's byte order
/// (`fib_route_seq_show` of the kernel's `net/ipv4/fib_trie.c`).
fn is_on_link_v4(table: &str, address: Ipv4Addr) -> bool {
    let address = u32::from_ne_bytes(address.octets());
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |at: usize| u32::from_str_radix(fields.get(at)?, 16).ok();
        let (to, flags, mask) = (number(1)?, number(3)?, number(7)?);
        let leads = flags & UP != 0 && address & mask == to;
        leads.then_some((mask.count_ones(), flags & (GATEWAY | REJECT) == 0))
    };
    table.lines().filter_map(route).max_by_key(|(bits, _)| *bits).is_some_and(|(_, direct)| direct)
}

/// The same for `/proc/net/ipv6_route`: `destination length source length next-hop metric ref use
/// flags interface` (`rt6_info_route` of the kernel's `net/ipv6/route.c`).
fn is_on_link_v6(table: &str, address: Ipv6Addr) -> bool {
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let to = u128::from_str_radix(fields.first()?, 16).ok()?;
        let length = u32::from_str_radix(fields.get(1)?, 16).ok()?;
        let flags = u32::from_str_radix(fields.get(8)?, 16).ok()?;
        let mask = u128::MAX.checked_shl(128_u32.checked_sub(length)?).unwrap_or(0);
        let leads = flags & UP != 0 && address.to_bits() & mask == to;
        leads.then_some((length, flags & (GATEWAY | REJECT) == 0))
    };
    table.lines().filter_map(route).max_by_key(|(bits, _)| *bits).is_some_and(|(_, direct)| direct)
}

/// The hardware address of a neighbour: `IP type flags address mask device` in `/proc/net/arp`
/// (`arp_format_neigh_entry` of the kernel's `net/ipv4/arp.c`).
fn hardware_of(table: &str, address: Ipv4Addr) -> Option<String> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let is_it = fields.next()?.parse::<Ipv4Addr>().ok()? == address;
        let flags = u32::from_str_radix(fields.nth(1)?.strip_prefix("0x")?, 16).ok()?;
        let hardware = fields.next()?;
        (is_it && flags & COMPLETE != 0).then(|| hardware.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::{hardware_of, is_on_link_v4, is_on_link_v6};

    const ROUTES: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth0\t000312AC\t010200C0\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0
";

    #[test]
    fn what_lies_behind_a_gateway_is_no_neighbour() {
        for (address, expected) in [
            ("172.17.0.2", true),
            ("172.17.255.255", true),
            ("172.18.0.2", false),
            ("172.18.3.4", false),
            ("8.8.8.8", false),
        ] {
            assert_eq!(is_on_link_v4(ROUTES, address.parse().unwrap()), expected, "{address}");
        }
        assert!(!is_on_link_v4("", "172.17.0.2".parse().unwrap()));
        assert!(!is_on_link_v4("garbage\nmore x y z", "172.17.0.2".parse().unwrap()));
    }

    #[test]
    fn the_same_for_ipv6() {
        let zero = "0".repeat(32);
        let routes = format!(
            "fd000000000000000000000000000000 40 {zero} 00 {zero} 00000100 00000002 00000000 00000001 br0\n\
             {zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n"
        );
        assert!(is_on_link_v6(&routes, "fd00::5".parse().unwrap()));
        assert!(!is_on_link_v6(&routes, "fd01::5".parse().unwrap()));
        assert!(!is_on_link_v6("", "fd00::5".parse().unwrap()));
    }

    #[test]
    fn a_neighbour_is_known_by_its_hardware() {
        let table = "\
IP address       HW type     Flags       HW address            Mask     Device
172.17.0.2       0x1         0x0         00:00:00:00:00:00     *        docker0
172.17.0.3       0x1         0x2         02:42:ac:11:00:03     *        docker0
";
        assert_eq!(hardware_of(table, [172, 17, 0, 2].into()), None, "not complete");
        assert_eq!(hardware_of(table, [172, 17, 0, 3].into()).unwrap(), "02:42:ac:11:00:03");
        assert_eq!(hardware_of(table, [172, 17, 0, 4].into()), None);
    }
}
