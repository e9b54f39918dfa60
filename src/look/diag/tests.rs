//! Answers as the kernel gives them, answers that it would never give, and a real kernel's.

use std::net::{TcpListener, UdpSocket};

use proptest::prelude::*;

use super::*;

const SEQUENCE: u32 = 7;

fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut message = u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(body);
    message.resize(message.len().next_multiple_of(4), 0);
    message
}

/// An `inet_diag_msg` with what follows it: attributes that were not asked for.
fn socket(family: u8, address: &[u8], port: u16) -> Vec<u8> {
    let mut body = vec![family, 10, 0, 0];
    body.extend(port.to_be_bytes());
    body.extend([0; 2]);
    body.extend(address);
    body.resize(64, 0);
    body.extend(101_u32.to_ne_bytes());
    body.extend(4_026_531_840_u32.to_ne_bytes());
    body.extend([5, 0, 8, 0, 0, 0, 0, 0]);
    body
}

fn done(code: i32) -> Vec<u8> {
    message(DONE, 2, SEQUENCE, &code.to_ne_bytes())
}

fn told(table: Table, answer: &[u8]) -> Result<(bool, Vec<Row>), Unsure> {
    let mut rows = Vec::new();
    parse(table, SEQUENCE, answer, |row| rows.push(row)).map(|last| (last, rows))
}

#[test]
fn sockets_are_told_as_in_the_tables() {
    let mut answer = message(BY_FAMILY, 2, SEQUENCE, &socket(2, &[127, 0, 0, 11], 40_001));
    answer.extend(message(BY_FAMILY, 2, SEQUENCE, &socket(2, &[0; 4], 80)));
    assert!(!told(Table::Tcp, &answer).unwrap().0, "there is more to come");
    answer.extend(done(0));
    let (last, rows) = told(Table::Tcp, &answer).unwrap();
    let expected = Row {
        table: Table::Tcp,
        local: [127, 0, 0, 11].into(),
        port: 40_001,
        remote: Ipv4Addr::UNSPECIFIED.into(),
        remote_port: 0,
        state: LISTEN,
        uid: 101,
        inode: 4_026_531_840,
    };
    assert_eq!((last, rows[0]), (true, expected));
    assert_eq!((rows.len(), rows[1].port), (2, 80));

    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1];
    let answer = message(BY_FAMILY, 2, SEQUENCE, &socket(10, &mapped, 53));
    let (_, rows) = told(Table::Udp6, &answer).unwrap();
    assert_eq!(rows[0].local, IpAddr::from(Ipv4Addr::LOCALHOST));
    assert_eq!(rows[0].remote, IpAddr::from(Ipv6Addr::UNSPECIFIED));
}

/// Whatever is odd is no answer, and never an empty one.
#[test]
fn an_odd_answer_is_none() {
    let good = message(BY_FAMILY, 2, SEQUENCE, &socket(2, &[0; 4], 80));
    let mut too_long = good.clone();
    too_long[0] += 4;
    let mut too_short = good.clone();
    too_short[..4].copy_from_slice(&15_u32.to_ne_bytes());
    let mut without_length = good.clone();
    without_length[..4].fill(0);
    let ways = [
        ("nothing", Vec::new()),
        ("cut short", good[..good.len() - 1].to_vec()),
        ("half a header", good[..10].to_vec()),
        ("longer than it is", too_long),
        ("shorter than its header", too_short),
        ("no length", without_length),
        ("no whole socket", message(BY_FAMILY, 2, SEQUENCE, &socket(2, &[0; 4], 80)[..71])),
        ("another family", message(BY_FAMILY, 2, SEQUENCE, &socket(10, &[0; 16], 80))),
        ("another question's", message(BY_FAMILY, 2, 6, &socket(2, &[0; 4], 80))),
        ("changed meanwhile", message(BY_FAMILY, 0x12, SEQUENCE, &socket(2, &[0; 4], 80))),
        ("changed in the end", message(DONE, 0x12, SEQUENCE, &[0; 4])),
        ("an error", message(2, 0, SEQUENCE, &(-2_i32).to_ne_bytes())),
        ("an error in the end", done(-2)),
        ("an end without a code", message(DONE, 2, SEQUENCE, &[])),
        ("an unknown kind", message(1, 0, SEQUENCE, &[0; 4])),
    ];
    for (way, answer) in ways {
        assert_eq!(told(Table::Tcp, &answer), Err(Unsure), "{way}");
        let mut after = good.clone();
        after.extend(&answer);
        if !answer.is_empty() {
            assert_eq!(told(Table::Tcp, &after), Err(Unsure), "{way}, after a good one");
        }
    }
}

proptest! {
    /// No bytes break it, and an answer that was cut is never the last.
    #[test]
    fn an_answer_cut_short_is_never_whole(count in 0_usize..20, cut in 1_usize..200) {
        let mut answer = Vec::new();
        for port in 0..count {
            let body = socket(2, &[0; 4], u16::try_from(port).unwrap());
            answer.extend(message(BY_FAMILY, 2, SEQUENCE, &body));
        }
        answer.extend(done(0));
        prop_assert_eq!(told(Table::Tcp, &answer).unwrap().1.len(), count);
        let left = answer.len().saturating_sub(cut);
        prop_assert!(!told(Table::Tcp, &answer[..left]).is_ok_and(|(last, _)| last));
    }

    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for table in Table::ALL {
            let _ = told(table, &bytes);
        }
    }
}

/// This kernel, asked both ways for the sockets of this very process.
#[test]
fn the_kernel_says_the_same_both_ways() {
    let mut subject = Subject::open(std::path::Path::new("/proc"), std::process::id(), "").unwrap();
    let socket = open().expect("a question to the kernel needs no rights");
    let mut diag = Diag { socket, sequence: 0, buffer: vec![0; BUFFER], rows: Vec::new() };
    // More than one answer holds.
    let tcp: Vec<_> = (0..400).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let tcp6: Vec<_> = (0..3).map(|_| TcpListener::bind("[::]:0").unwrap()).collect();
    let udp: Vec<_> = (0..400).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let udp6: Vec<_> = (0..3).map(|_| UdpSocket::bind("[::1]:0").unwrap()).collect();
    let mut ports: Vec<u16> =
        tcp.iter().chain(&tcp6).map(|it| it.local_addr().unwrap().port()).collect();
    ports.extend(udp.iter().chain(&udp6).map(|it| it.local_addr().unwrap().port()));
    // Only these: other tests open and close theirs meanwhile.
    let mut read = |diag: Option<&mut Diag>| {
        let mut rows = Vec::new();
        let ours = |row: &Row| row.accepts() && ports.contains(&row.port);
        subject.read_with(diag, |row| rows.extend(Some(row).filter(ours))).unwrap();
        rows.sort_by_key(|row| (row.table, row.inode));
        rows
    };
    let listed = read(None);
    assert!(listed.len() >= ports.len(), "{} of {}", listed.len(), ports.len());
    assert_eq!(read(Some(&mut diag)), listed);
    for table in [Table::Tcp, Table::Tcp6, Table::Udp, Table::Udp6] {
        diag.read(table, |_| {}).expect("this kernel can be asked");
    }
    assert_eq!(diag.read(Table::Packet, |_| {}), Err(Unsure));
}
