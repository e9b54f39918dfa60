//! Which addresses a network namespace has: proof that it is the one that is scanned.
//!
//! The engine says which addresses the container has, and the kernel says which addresses the
//! namespace has whose tables were read. Where they differ, two containers were looked at. Pure:
//! text in, addresses out.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The local IPv4 addresses of a `net/fib_trie`: a leaf `|-- ADDRESS` followed by a line
/// `/32 host LOCAL` (`fib_trie_seq_show` of the kernel's `net/ipv4/fib_trie.c`).
pub(super) fn of_ipv4(text: &str) -> BTreeSet<IpAddr> {
    let mut leaf: Option<Ipv4Addr> = None;
    let mut found = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if line.starts_with("/32 ") && line.ends_with(" LOCAL") {
            found.extend(leaf.map(IpAddr::V4));
        }
    }
    found
}

/// The addresses of a `net/if_inet6`: 32 digits, then the interface's number, the length of the
/// prefix, scope, flags and name (`if6_seq_show` of the kernel's `net/ipv6/addrconf.c`).
pub(super) fn of_ipv6(text: &str) -> BTreeSet<IpAddr> {
    let address = |line: &str| {
        let digits = line.split_ascii_whitespace().next().filter(|it| it.len() == 32)?;
        u128::from_str_radix(digits, 16).ok().map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))
    };
    text.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIE: &str = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 172.17.0.0/16 2 0 2
        +-- 172.17.0.0/30 2 0 2
           |-- 172.17.0.0
              /16 link UNICAST
           |-- 172.17.0.2
              /32 host LOCAL
        |-- 172.17.255.255
           /32 link BROADCAST
";

    #[test]
    fn only_local_addresses_are_the_namespaces_own() {
        assert_eq!(of_ipv4(TRIE), BTreeSet::from([IpAddr::from([172, 17, 0, 2])]));
        assert_eq!(of_ipv4("garbage\n /32 host LOCAL\n"), BTreeSet::new());
        assert_eq!(of_ipv4(""), BTreeSet::new());
    }

    #[test]
    fn addresses_of_ipv6_are_read() {
        let text = "fd000000000000000000000000000002 04 40 00 82     eth0\nfe80 04 40 20 80 eth0\n";
        assert_eq!(of_ipv6(text), BTreeSet::from(["fd00::2".parse::<IpAddr>().unwrap()]));
        assert_eq!(of_ipv6(""), BTreeSet::new());
    }
}
