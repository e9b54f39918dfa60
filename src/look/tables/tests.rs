//! The parser of socket tables, with procfs-core as the oracle.

use procfs_core::{
    ExplicitSystemInfo, FromBufReadSI,
    net::{TcpNetEntries, UdpNetEntries},
};
use proptest::prelude::*;

use super::*;
use crate::look::fixture::{
    PACKET_HEADER, TCP_HEADER, TCP6_HEADER, UDP_HEADER, UDP6_HEADER, listener,
};

fn rows(table: Table, text: &str) -> Result<Vec<Row>, TableError> {
    let mut rows = Vec::new();
    read(table, text.as_bytes(), |row| rows.push(row)).map(|_| rows)
}

fn header(table: Table) -> &'static str {
    match table {
        Table::Tcp => TCP_HEADER,
        Table::Tcp6 => TCP6_HEADER,
        Table::Udp | Table::Udplite | Table::Raw => UDP_HEADER,
        Table::Udp6 | Table::Udplite6 | Table::Raw6 => UDP6_HEADER,
        Table::Sctp => " ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS\n",
        Table::Packet => PACKET_HEADER,
    }
}

/// A line of any table of addresses and ports but SCTP's.
fn line(local: &str, remote: &str, state: u8) -> String {
    format!(
        "  12: {local} {remote} {state:02X} 00000000:00000000 00:00000000 00000000  1000        0 4711 2 0000000043fc8d84 0\n"
    )
}

/// A header alone is a table without sockets, which is legal.
#[test]
fn a_header_alone_is_an_empty_table() {
    for table in Table::ALL {
        assert_eq!(rows(table, header(table)), Ok(Vec::new()), "{table}");
    }
}

#[test]
fn columns_end_up_in_their_places() {
    let text = format!("{UDP_HEADER}{}", line("0100007F:14E9", "0200000A:0035", 1));
    let row = rows(Table::Udp, &text).unwrap()[0];
    assert_eq!(row.local, IpAddr::from([127, 0, 0, 1]));
    assert_eq!((row.port, row.remote_port), (5353, 53));
    assert_eq!(row.remote, IpAddr::from([10, 0, 0, 2]));
    assert_eq!((row.state, row.uid, row.inode), (1, 1000, 4711));
}

#[test]
fn addresses_are_read_in_words_of_the_hosts_order() {
    let cases = [
        ("00000000000000000000000000000000", "::"),
        ("00000000000000000000000001000000", "::1"),
        ("0000000000000000FFFF00000100007F", "127.0.0.1"),
        ("0000000000000000FFFF000000000000", "0.0.0.0"),
        ("B80D0120000000000000000001000000", "2001:db8::1"),
    ];
    for (digits, address) in cases {
        let line = line(&format!("{digits}:0050"), &format!("{:032}:0000", 0), 10);
        let row = rows(Table::Tcp6, &format!("{TCP6_HEADER}{line}")).unwrap()[0];
        assert_eq!(row.local, address.parse::<IpAddr>().unwrap(), "{digits}");
    }
}

/// Every state of every protocol, both ways.
#[test]
fn only_some_sockets_accept_traffic() {
    let any = "00000000:0000";
    let peer = "0200000A:0035";
    let cases = [
        (Table::Tcp, "00000000:0050", any, 0x0A, true),
        (Table::Tcp, "00000000:0050", peer, 0x01, false),
        (Table::Tcp, "00000000:0050", peer, 0x06, false),
        (Table::Tcp, "00000000:0050", any, 0x07, false),
        (Table::Udp, "00000000:0035", any, 0x07, true),
        (Table::Udp, "00000000:0035", peer, 0x01, false),
        (Table::Udp, "00000000:0035", peer, 0x07, false),
        (Table::Udplite, "00000000:0035", any, 0x07, true),
        (Table::Raw, "00000000:0001", any, 0x07, true),
        (Table::Raw, "00000000:00FF", any, 0x07, false),
        // A peer's address alone lets in whatever that host sends.
        (Table::Raw, "00000000:0001", "0200000A:0000", 0x01, true),
        (Table::Udp, "00000000:0035", "0200000A:0000", 0x01, true),
    ];
    for (table, local, remote, state, accepts) in cases {
        let text = format!("{}{}", header(table), line(local, remote, state));
        let row = rows(table, &text).unwrap()[0];
        assert_eq!(row.accepts(), accepts, "{table} {local} {remote} {state}");
    }
}

/// An SCTP endpoint is as many sockets as it has addresses; both styles listen in state 10.
#[test]
fn sctp_endpoints_have_several_addresses() {
    let text = format!(
        "{}ffff98a3a73a4300 ffff98a2843779c0 2   10  22   8888      0 1870579 0.0.0.0 \n\
         (____ptrval____)        0 0   10  23   9999   1000 1870580 10.0.0.1 *2001:0db8:0000:0000:0000:0000:0000:0001 \n\
                0        0 0   7   23   9998   1000 1870581 10.0.0.1 \n",
        header(Table::Sctp)
    );
    let rows = rows(Table::Sctp, &text).unwrap();
    let seen: Vec<_> =
        rows.iter().map(|row| (row.local.to_string(), row.port, row.accepts())).collect();
    assert_eq!(
        seen,
        [
            ("0.0.0.0".to_owned(), 8888, true),
            ("10.0.0.1".to_owned(), 9999, true),
            ("2001:db8::1".to_owned(), 9999, true),
            ("10.0.0.1".to_owned(), 9998, false),
        ]
    );
    assert_eq!((rows[1].uid, rows[1].inode), (1000, 1_870_580));
}

/// A packet socket has an EtherType and perhaps an interface, of which the first is loopback. One
/// without a type only sends.
#[test]
fn packet_sockets_have_no_ports() {
    let text = format!(
        "{PACKET_HEADER}\
         000000009f054ec6 3      3    0003   0     1 183040 0      12101519\n\
         0000000051af5b8f 2      2    0000   0     0 0      0      12101520\n\
         (____ptrval____) 3      3    88cc   1     1 0      1000   12101521\n\
         000000001d175f36 3      3    0800   -1    0 0      0      12101522\n"
    );
    let seen: Vec<_> = rows(Table::Packet, &text)
        .unwrap()
        .iter()
        .map(|row| (row.bound_to().to_string(), row.local.to_string(), row.accepts(), row.inode))
        .collect();
    let row = |port: &str, local: &str, accepts, inode| {
        (port.to_owned(), local.to_owned(), accepts, inode)
    };
    assert_eq!(
        seen,
        [
            row("3/packet", "0.0.0.0", true, 12_101_519),
            row("0/packet", "0.0.0.0", false, 12_101_520),
            row("35020/packet", "127.0.0.1", true, 12_101_521),
            row("2048/packet", "0.0.0.0", true, 12_101_522),
        ]
    );
    let cut = text.replace(" 12101521\n", "\n");
    assert_eq!(rows(Table::Packet, &cut).unwrap_err().line, 4);
}

/// What is wrong, and what the error says about it.
#[test]
fn a_damaged_table_is_an_error_with_its_line() {
    let good = listener([0, 0, 0, 0], 80, 1);
    let cases = [
        (String::new(), 1, "the table is empty"),
        ("\n".to_owned(), 1, "the header is missing"),
        (good.clone(), 1, "the header is missing"),
        (TCP_HEADER.trim_end().to_owned(), 1, "it is cut short"),
        (format!("{TCP_HEADER}{good}{}", good.trim_end()), 3, "it is cut short"),
        (format!("{TCP_HEADER}{good}   1: 0000"), 3, "it is cut short"),
        (format!("{TCP_HEADER}{good}\n"), 3, "a column is missing"),
        (format!("{TCP_HEADER}{good}{TCP_HEADER}"), 3, "the first column is no slot"),
        (format!("{TCP_HEADER}   1: 00000000:0050\n"), 2, "a column is missing"),
        (
            format!("{TCP_HEADER}{}", good.replace("00000000:0050", "0000000:0050")),
            2,
            "the local address is wrong",
        ),
        (
            format!("{TCP_HEADER}{}", good.replace("00000000:0000 0A", "00000000:000 0A")),
            2,
            "the remote address is wrong",
        ),
        (format!("{TCP_HEADER}{}", good.replace(" 0A ", " A ")), 2, "the state is wrong"),
        (format!("{TCP_HEADER}{}", good.replace(" 0A ", " +A ")), 2, "the state is wrong"),
        (
            format!("{TCP_HEADER}{}", good.replace("        0 1 1 ", "        0 -1 1 ")),
            2,
            "the inode is wrong",
        ),
        (format!("{TCP_HEADER}{}", good.replace(' ', "\t")), 2, "the first column is no slot"),
    ];
    for (text, line, why) in cases {
        let error = rows(Table::Tcp, &text).unwrap_err();
        assert_eq!((error.line, error.why.as_str()), (line, why), "{text:?}");
    }
    // Lines of IPv4 in a table of IPv6, and the other way round.
    assert!(rows(Table::Tcp6, &format!("{TCP6_HEADER}{good}")).is_err());
    let six = line(&format!("{:032}:0050", 0), &format!("{:032}:0000", 0), 10);
    assert!(rows(Table::Tcp, &format!("{TCP_HEADER}{six}")).is_err());
}

/// What differs between kernels is legal.
#[test]
fn padding_and_more_columns_are_legal() {
    let good = listener([0, 0, 0, 0], 80, 1);
    for text in [
        good.replace("  \n", " 17 new columns\n"),
        good.replace("   0:", "123456:"),
        good.trim_end().to_owned() + "\n",
        format!("{}   \n", good.trim_end()),
        good.replace("       0 1 1 ", "      -2 1 1 "),
    ] {
        assert_eq!(rows(Table::Tcp, &format!("{TCP_HEADER}{text}")).unwrap().len(), 1, "{text}");
    }
}

#[test]
fn the_error_shows_foreign_bytes_escaped_and_cut() {
    let text = format!("{TCP_HEADER}\u{1b}[2J{}\n", "x".repeat(500));
    let error = rows(Table::Tcp, &text).unwrap_err();
    assert!(error.text.starts_with("\\x1b[2Jxxx"), "{}", error.text);
    assert!(error.text.len() < 200);
    assert!(error.to_string().contains("line 2 of the socket table `net/tcp`"));
}

/// The tables of this machine are understood, all of them.
#[test]
fn this_kernels_tables_are_understood() {
    for table in Table::ALL {
        match std::fs::read(format!("/proc/self/{}", table.path())) {
            Ok(text) => {
                read(table, &text, |_| {}).unwrap();
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{table}"),
        }
    }
}

/// Local and remote address and port, state, uid, inode.
type Facts = (IpAddr, u16, IpAddr, u16, u8, u32, u64);

/// What the other parser says of the same bytes.
fn oracle(table: Table, text: &str) -> Result<Vec<Facts>, ()> {
    let system = ExplicitSystemInfo {
        boot_time_secs: 0,
        ticks_per_second: 100,
        page_size: 4096,
        is_little_endian: cfg!(target_endian = "little"),
    };
    let text = text.as_bytes();
    if table.protocol() == Protocol::Tcp {
        let entries = TcpNetEntries::from_buf_read(text, &system).map_err(|_| ())?;
        let entries = entries.0.into_iter();
        Ok(entries
            .map(|it| {
                let (local, remote) = (it.local_address, it.remote_address);
                let (local_ip, remote_ip) = (canonical(local.ip()), canonical(remote.ip()));
                let state = it.state.to_u8();
                (local_ip, local.port(), remote_ip, remote.port(), state, it.uid, it.inode)
            })
            .collect())
    } else {
        let entries = UdpNetEntries::from_buf_read(text, &system).map_err(|_| ())?;
        let entries = entries.0.into_iter();
        Ok(entries
            .map(|it| {
                let (local, remote) = (it.local_address, it.remote_address);
                let (local_ip, remote_ip) = (canonical(local.ip()), canonical(remote.ip()));
                let state = it.state.to_u8();
                (local_ip, local.port(), remote_ip, remote.port(), state, it.uid, it.inode)
            })
            .collect())
    }
}

fn ours(table: Table, text: &str) -> Vec<Facts> {
    rows(table, text)
        .unwrap()
        .into_iter()
        .map(|row| {
            let (local, remote) = (row.local, row.remote);
            (local, row.port, remote, row.remote_port, row.state, row.uid, row.inode)
        })
        .collect()
}

fn inet_table() -> impl Strategy<Value = Table> {
    prop::sample::select(&Table::ALL[..8])
}

/// A line as the kernel prints it.
fn kernel_line(table: Table) -> impl Strategy<Value = String> {
    let words = if table.is_ipv6() { 4 } else { 1 };
    let address = prop::collection::vec(any::<u32>(), words)
        .prop_map(|words| words.iter().map(|word| format!("{word:08X}")).collect::<String>());
    // The oracle knows no other states than these.
    let state = if table.protocol() == Protocol::Tcp {
        (1..=12_u8).boxed()
    } else {
        prop_oneof![Just(1_u8), Just(7)].boxed()
    };
    let numbers = (any::<u16>(), any::<u16>(), any::<u32>(), any::<u64>(), 0..100_000_u32);
    (address.clone(), address, state, numbers, 0..40_usize).prop_map(
        |(local, remote, state, (port, remote_port, uid, inode, slot), padding)| {
            format!(
                "{slot:4}: {local}:{port:04X} {remote}:{remote_port:04X} {state:02X} 00000000:0000001F 02:000001C2 00000000 {uid:5} {:8} {inode} 2 00000000441617f3{}\n",
                0,
                " ".repeat(padding)
            )
        },
    )
}

proptest! {
    /// The same rows as another parser of the same format.
    #[test]
    fn agrees_with_another_parser(
        (table, lines) in inet_table()
            .prop_flat_map(|table| (Just(table), prop::collection::vec(kernel_line(table), 0..20)))
    ) {
        let text = format!("{}{}", header(table), lines.concat());
        prop_assert_eq!(Ok(ours(table, &text)), oracle(table, &text));
    }

    /// Bytes of any kind are an error or rows, never a panic.
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for table in Table::ALL {
            let _ = read(table, &bytes, |_| {});
            let text = [header(table).as_bytes(), &bytes].concat();
            let _ = read(table, &text, |_| {});
        }
    }

    /// A table cut anywhere but at a line's end is an error.
    #[test]
    fn a_cut_table_is_an_error(
        (table, lines) in inet_table()
            .prop_flat_map(|table| (Just(table), prop::collection::vec(kernel_line(table), 1..5))),
        cut in any::<prop::sample::Index>(),
    ) {
        let text = format!("{}{}", header(table), lines.concat());
        let cut = cut.index(text.len());
        let whole = text[..cut].ends_with('\n');
        prop_assert_eq!(rows(table, &text[..cut]).is_ok(), whole);
    }

    /// A damaged byte within a line is an error, or changes that line only: no socket vanishes.
    #[test]
    fn no_line_vanishes(
        lines in prop::collection::vec(kernel_line(Table::Tcp), 1..5),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut text = format!("{TCP_HEADER}{}", lines.concat()).into_bytes();
        let at = at.index(text.len());
        prop_assume!(text[at] != b'\n');
        text[at] = byte;
        if let Ok(count) = read(Table::Tcp, &text, |_| {}) {
            prop_assert!(count >= lines.len());
        }
    }
}
