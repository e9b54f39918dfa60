//! The algebra of ports and addresses, exhaustively where that is possible.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::{Bind, Network, Port, PortRange, Protocol, Scope, canonical, scope};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn every_port_of_every_protocol_reads_back() {
    for protocol in Protocol::ALL {
        for number in 0..=u16::MAX {
            let is_port = if protocol == Protocol::Raw { number <= 255 } else { number != 0 };
            let port = Port::new(number, protocol);
            let read = port.to_string().parse::<PortRange>();
            assert_eq!(read.is_ok(), is_port, "{port}");
            if let Ok(range) = read {
                assert_eq!(range.single(), Some(port));
            }
        }
    }
}

#[test]
fn what_is_no_port() {
    for text in [
        "",
        "/",
        "80/",
        "/tcp",
        "0",
        "0/tcp",
        "65536",
        "99999999999",
        "-1",
        "+80",
        " 80",
        "80 ",
        "010",
        "8 0",
        "80-70",
        "80-",
        "-80",
        "80-90-95",
        "443/tcpp",
        "80/tcp/udp",
        "0x50",
        "1e3",
        "８０",
        "256/raw",
        "80,443",
    ] {
        assert!(text.parse::<PortRange>().is_err(), "{text:?}");
    }
    for (text, shown) in [
        ("80", "80/tcp"),
        ("80/TCP", "80/tcp"),
        ("53/Udp", "53/udp"),
        ("80-80", "80/tcp"),
        ("8000-8010/udp", "8000-8010/udp"),
        ("0/raw", "0/raw"),
    ] {
        assert_eq!(text.parse::<PortRange>().unwrap().to_string(), shown);
    }
}

#[test]
fn scopes() {
    for (text, expected) in [
        ("0.0.0.0", Scope::Any),
        ("::", Scope::Any),
        ("::ffff:0.0.0.0", Scope::Any),
        ("127.0.0.1", Scope::Loopback),
        ("127.255.255.255", Scope::Loopback),
        ("::1", Scope::Loopback),
        ("::ffff:127.0.0.1", Scope::Loopback),
        ("128.0.0.1", Scope::Address),
        ("126.255.255.255", Scope::Address),
        ("172.17.0.2", Scope::Address),
        ("fe80::1", Scope::Address),
        ("::2", Scope::Address),
        ("224.0.0.251", Scope::Address),
    ] {
        assert_eq!(scope(address(text)), expected, "{text}");
    }
}

#[test]
fn every_first_octet_has_the_scope_that_the_kernel_gives_it() {
    for first in 0..=255_u8 {
        let seen = scope(IpAddr::from([first, 1, 2, 3]));
        let expected = if first == 127 { Scope::Loopback } else { Scope::Address };
        assert_eq!(seen, expected, "{first}");
    }
}

/// Every kind of `bind` against every kind of address.
#[test]
fn a_bind_allows_what_is_no_wider_than_it() {
    let addresses = ["127.0.0.1", "::1", "10.1.2.3", "10.9.9.9", "fd00::5", "0.0.0.0", "::"];
    for (bind, allowed) in [
        ("any", [true; 7]),
        ("0.0.0.0", [true; 7]),
        ("::", [true; 7]),
        ("loopback", [true, true, false, false, false, false, false]),
        ("127.0.0.1", [true, true, false, false, false, false, false]),
        ("10.1.2.3", [true, true, true, false, false, false, false]),
        ("::ffff:10.1.2.3", [true, true, true, false, false, false, false]),
        ("fd00::5", [true, true, false, false, true, false, false]),
        ("10.1.0.0/16", [true, true, true, false, false, false, false]),
        ("10.0.0.0/8", [true, true, true, true, false, false, false]),
        ("fd00::/8", [true, true, false, false, true, false, false]),
        ("0.0.0.0/0", [true, true, true, true, false, true, false]),
        ("::/0", [true, true, false, false, true, false, true]),
    ] {
        let parsed: Bind = bind.parse().unwrap();
        for (text, allowed) in addresses.into_iter().zip(allowed) {
            assert_eq!(parsed.allows(address(text)), allowed, "{bind} {text}");
        }
    }
}

#[test]
fn what_is_no_bind() {
    for text in [
        "",
        "300.1.1.1",
        "localhost",
        "10.0.0.0/33",
        "10.0.0.0/+8",
        "::/129",
        "10.0.0.0/",
        "1.2.3",
        "Any",
    ] {
        assert!(text.parse::<Bind>().is_err(), "{text:?}");
    }
}

#[test]
fn loopback_only_binds() {
    for (bind, expected) in [
        ("any", false),
        ("loopback", true),
        ("127.0.0.1", true),
        ("::1", true),
        ("127.0.0.0/8", true),
        ("127.0.0.0/7", false),
        ("::1/128", true),
        ("::/127", false),
        ("10.0.0.1", false),
    ] {
        assert_eq!(bind.parse::<Bind>().unwrap().is_loopback_only(), expected, "{bind}");
    }
}

proptest! {
    /// The oracle is arithmetic on single bits.
    #[test]
    fn networks_of_ipv4(network: u32, prefix in 0..=32_u8, bits: u32) {
        let within = Network::new(Ipv4Addr::from_bits(network).into(), prefix)
            .unwrap()
            .contains(Ipv4Addr::from_bits(bits).into());
        let same = (0..prefix).all(|bit| (network ^ bits) >> (31 - bit) & 1 == 0);
        prop_assert_eq!(within, same);
    }

    #[test]
    fn networks_of_ipv6(network: u128, prefix in 0..=128_u8, bits: u128) {
        let address = IpAddr::V6(Ipv6Addr::from_bits(bits));
        let within =
            Network::new(Ipv6Addr::from_bits(network).into(), prefix).unwrap().contains(address);
        let same = (0..prefix).all(|bit| (network ^ bits) >> (127 - bit) & 1 == 0);
        prop_assert_eq!(within, same && canonical(address).is_ipv6());
    }

    #[test]
    fn a_range_reads_back_and_holds_its_ports(first in 1..=u16::MAX, last in 1..=u16::MAX, other: u16) {
        let text = format!("{first}-{last}/udp");
        match text.parse::<PortRange>() {
            Ok(range) => {
                prop_assert!(first <= last);
                prop_assert_eq!(range.to_string().parse::<PortRange>().unwrap(), range);
                prop_assert_eq!(range.contains(Port::udp(other)), (first..=last).contains(&other));
                prop_assert!(!range.contains(Port::tcp(first)));
            }
            Err(_) => prop_assert!(last < first),
        }
    }

    #[test]
    fn ranges_overlap_if_they_share_a_port(a in 1..200_u16, b in 1..200_u16, c in 1..200_u16, d in 1..200_u16) {
        let (one, other) = (
            PortRange { first: a.min(b), last: a.max(b), protocol: Protocol::Tcp },
            PortRange { first: c.min(d), last: c.max(d), protocol: Protocol::Tcp },
        );
        prop_assert_eq!(one.overlaps(other), one.ports().any(|port| other.contains(port)));
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text: String) {
        let _ = text.parse::<PortRange>();
        let _ = text.parse::<Bind>();
    }
}
