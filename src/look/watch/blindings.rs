//! Every way of blinding the eyes that we could think of, on trees of files that stand in for
//! `/proc`. None may end in a whole sighting.
//!
//! `cargo test blindings -- --nocapture` prints the table of what was tried and what came of it.

use std::fs;

use super::*;
use crate::look::fixture::{
    CONTAINER, FIB_TRIE, FakeProc, HOST_NETNS, NETNS, TCP_HEADER, listener,
};

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 17, 0, 2));
const SOCKSTAT: &str = "sockets: used 9\nTCP: inuse 1 orphan 0\nUDP: inuse 0\nRAW: inuse 0\n";
const SOCKSTAT6: &str = "TCP6: inuse 0\nUDP6: inuse 0\nRAW6: inuse 0\n";

/// A container that listens on 80, with all that the kernel tells of it.
fn container() -> FakeProc {
    let fake = FakeProc::with_container();
    fake.descriptor(42, 3, "socket:[7]");
    fake.listeners(&[listener([0, 0, 0, 0], 80, 7)]);
    fake.write("net/sockstat", SOCKSTAT);
    fake.write("net/sockstat6", SOCKSTAT6);
    fake
}

/// What a look comes to. `amid` happens after the first sample.
fn look(target: &Target, amid: impl FnOnce(&mut Eyes)) -> Result<Sighting, LookError> {
    let mut eyes = Eyes::open(target)?;
    eyes.sample()?;
    eyes.ledger.begin_watch_phase(eyes.started.elapsed());
    amid(&mut eyes);
    eyes.sample()?;
    eyes.finish()
}

/// What is wrong with a sighting, in the order in which the evidence is checked. Nobody may pass
/// on one that has any of this; see `record::Evidence`.
fn flaw(seen: &Sighting) -> Option<&'static str> {
    let flaws = [
        (seen.identity != Identity::Verified, "not identified"),
        (seen.container != CONTAINER, "another container"),
        (seen.samples < 2, "too few samples"),
        (!seen.searched, "not every process searched"),
        (!seen.addresses.contains(&ADDRESS), "not the address of the container"),
        (seen.counters_agree == Some(false), "fewer sockets than the kernel counts"),
        (seen.longest_gap > Duration::from_secs(1), "nobody looked for a while"),
        (seen.elsewhere, "a process elsewhere"),
    ];
    flaws.into_iter().find_map(|(is, what)| is.then_some(what))
}

/// What came of it, in words; every error must say what to do about it.
fn told(way: &str, outcome: Result<Sighting, LookError>) -> String {
    match outcome {
        Ok(seen) => match flaw(&seen) {
            Some(flaw) => format!("no pass: {flaw}"),
            None => panic!("{way}: it passed for a whole look: {seen:?}"),
        },
        Err(error) => {
            assert!(error.hint().is_some(), "{way}: no hint: {error:?}");
            let source = std::error::Error::source(&error);
            let cause = source.map(|it| format!(": {it}")).unwrap_or_default();
            format!("error: {error}{cause}")
        }
    }
}

#[test]
fn without_blinding_a_look_is_whole() {
    let fake = container();
    let seen = look(&fake.target(), |_| {}).unwrap();
    assert_eq!(flaw(&seen), None, "{seen:?}");
    assert_eq!(seen.counters_agree, Some(true));
}

type Way = (&'static str, &'static str, fn(&FakeProc));

/// What, what it must come to, and how. Each is done before the look, and again in its middle.
const WAYS: &[Way] = &[
    ("the host's namespace", "", |fake| {
        fake.relink("42/ns/net", &format!("net:[{HOST_NETNS}]"));
    }),
    ("another container's namespace", "", |fake| {
        fake.relink("42/ns/net", "net:[4026539999]");
        fake.write("net/fib_trie", &FIB_TRIE.replace("172.17.0.2", "172.17.0.3"));
    }),
    ("a namespace without the container's address", "not the address", |fake| {
        fake.write("net/fib_trie", "Local:\n");
    }),
    ("the namespace's addresses cannot be read", "fib_trie", |fake| fake.bar("net/fib_trie")),
    ("the namespace has no name", "cannot make sense", |fake| fake.relink("42/ns/net", "what")),
    ("the namespace is not to be seen", "cannot read", |fake| {
        fs::remove_file(fake.path("42/ns/net")).unwrap();
    }),
    ("zero bytes", "the table is empty", |fake| fake.write("net/tcp", "")),
    ("the header only", "fewer sockets", |fake| fake.listeners(&[])),
    ("no header", "the header is missing", |fake| {
        fake.write("net/tcp", &listener([0, 0, 0, 0], 80, 7));
    }),
    ("another format", "the header is missing", |fake| {
        fake.write("net/tcp", &TCP_HEADER.replace("local_address", "where"));
    }),
    ("a row of another format", "cannot read line 2", |fake| {
        fake.write("net/tcp", &format!("{TCP_HEADER}  0: [::]:80 LISTEN\n"));
    }),
    ("noise", "cannot read line 2", |fake| {
        fs::write(fake.path("42/net/tcp"), [TCP_HEADER.as_bytes(), &[0, 255, 10]].concat())
            .unwrap();
    }),
    ("zeros after the rows", "it is cut short", |fake| {
        let row = listener([0, 0, 0, 0], 80, 7);
        fake.write("net/tcp", &format!("{TCP_HEADER}{row}\0\0\0"));
    }),
    ("the last line cut", "it is cut short", |fake| {
        let row = listener([0, 0, 0, 0], 80, 7);
        fake.write("net/tcp", &format!("{TCP_HEADER}{}", row.trim_end()));
    }),
    ("another process, by its start", "", |fake| fake.life(42, 'S', 6000)),
    ("another container's process", "does not belong", |fake| {
        fake.write("cgroup", &format!("0::/docker/{}\n", "0".repeat(64)));
    }),
    ("no control group", "", |fake| fake.write("cgroup", "")),
    ("the root's control group", "", |fake| fake.write("cgroup", "0::/\n")),
    ("the control group cannot be read", "cgroup", |fake| fake.bar("cgroup")),
    ("a zombie", "", |fake| fake.life(42, 'Z', 5000)),
    ("stat is garbled", "cannot make sense", |fake| fake.write("stat", "42 (a) S x\n")),
    ("stat is empty", "cannot make sense", |fake| fake.write("stat", "")),
    ("stat cannot be read", "stat", |fake| fake.bar("stat")),
    ("the process is gone", "", |fake| {
        fs::remove_dir_all(fake.path("42")).unwrap();
    }),
    ("`/proc` hides processes", "not every process", |fake| {
        // The looker is another process than the first.
        fake.process(50, HOST_NETNS, "0::/other\n");
        fake.relink("self", "50");
        fs::remove_dir_all(fake.path("1")).unwrap();
    }),
    ("descriptors cannot be read", "not every process", |fake| fake.bar("fd")),
    ("the holder cannot be named", "not every process", |fake| fake.bar("status")),
    ("a child whose descriptors cannot be read", "not every process", |fake| {
        fake.process(43, NETNS, &format!("0::/docker/{CONTAINER}\n"));
        fs::remove_dir(fake.path("43/fd")).unwrap();
    }),
    ("a child in a namespace of its own", "elsewhere", |fake| {
        fake.process(43, 4_026_538_888, &format!("0::/docker/{CONTAINER}\n"));
    }),
];

#[test]
fn no_way_of_blinding_makes_a_whole_look() {
    for (way, expected, blind) in WAYS {
        for amid in [false, true] {
            let fake = container();
            if !amid {
                blind(&fake);
            }
            let outcome = look(&fake.target(), |_| {
                if amid {
                    blind(&fake);
                }
            });
            // What cannot be told before, because there is nothing to compare with.
            if !amid && *way == "another process, by its start" {
                continue;
            }
            let told = told(way, outcome);
            let when = if amid { "in the middle" } else { "before" };
            println!("| {way} | {when} | {told} |");
            assert!(told.contains(expected), "{way} {when}: {told}");
        }
    }
}

/// Tables that are missing, before the look: in the middle they are open.
#[test]
fn no_missing_or_unreadable_table_makes_a_whole_look() {
    for table in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6", "udplite", "udplite6"] {
        type Blind = fn(&FakeProc, &str);
        let ways: [(&str, Blind); 2] = [
            ("is missing", |fake, file| fs::remove_file(fake.path(&format!("42/{file}"))).unwrap()),
            ("cannot be read", |fake, file| fake.bar(file)),
        ];
        for (way, blind) in ways {
            let fake = container();
            blind(&fake, &format!("net/{table}"));
            let told = told(table, look(&fake.target(), |_| {}));
            println!("| `{table}` {way} | before | {told} |");
            assert!(told.starts_with("error: "), "{table} {way}: {told}");
        }
    }
}

/// What the asker says of the target, where the engine lies to it.
#[test]
fn no_lie_about_the_target_makes_a_whole_look() {
    type Lie = fn(&mut Target);
    let lies: [(&str, Lie); 7] = [
        ("pid 0", |it| it.pid = 0),
        ("the first process", |it| it.pid = 1),
        ("no process", |it| it.pid = 4_000_000),
        ("another container's process", |it| it.pid = 43),
        ("no id", |it| it.container.clear()),
        ("a part of the id", |it| it.container.truncate(12)),
        ("a word of every path", |it| it.container = "docker".to_owned()),
    ];
    for (way, lie) in lies {
        let fake = container();
        fake.process(43, NETNS, &format!("0::/docker/{}\n", "0".repeat(64)));
        let mut target = fake.target();
        lie(&mut target);
        println!("| the engine says: {way} | before | {} |", told(way, look(&target, |_| {})));
    }
}

/// A thread that was not run, or stopped, for a while.
#[test]
fn a_pause_of_ours_is_told() {
    let fake = container();
    let pause = |eyes: &mut Eyes| {
        eyes.last_sight = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
    };
    let told = told("a pause", look(&fake.target(), pause));
    assert_eq!(told, "no pass: nobody looked for a while");
    // And if the process ended meanwhile, nobody saw how.
    let fake = container();
    let mut eyes = Eyes::open(&fake.target()).unwrap();
    eyes.sample().unwrap();
    pause(&mut eyes);
    fs::remove_file(fake.path("42/ns/net")).unwrap();
    fake.life(42, 'Z', 5000);
    let LookError::Gone { seen, .. } = eyes.glance_or_sample().unwrap_err() else {
        panic!("not gone")
    };
    assert!(seen.longest_gap >= Duration::from_secs(2));
}

/// Cut anywhere, no table passes for a whole one: either it is an error, or the kernel's counters
/// give it away, or nothing that listens is missing.
#[test]
fn a_table_cut_at_any_byte_is_never_whole() {
    let fake = container();
    fake.descriptor(42, 4, "socket:[8]");
    fake.write("net/sockstat", &SOCKSTAT.replace("TCP: inuse 1", "TCP: inuse 2"));
    let rows = [listener([0, 0, 0, 0], 80, 7), listener([0, 0, 0, 0], 81, 8)];
    let whole = format!("{TCP_HEADER}{}", rows.concat());
    let mut told_apart = BTreeSet::new();
    for length in 0..=whole.len() {
        fake.write("net/tcp", &whole[..length]);
        let outcome = look(&fake.target(), |_| {});
        match outcome {
            Err(error) => {
                assert!(matches!(error, LookError::Table(_)), "{length}: {error:?}");
                told_apart.insert("error");
            }
            Ok(seen) if seen.sockets.len() == 2 => {
                assert_eq!((length, flaw(&seen)), (whole.len(), None));
                told_apart.insert("whole");
            }
            Ok(seen) => {
                assert_eq!(flaw(&seen), Some("fewer sockets than the kernel counts"), "{length}");
                told_apart.insert("counted");
            }
        }
    }
    assert_eq!(told_apart.len(), 3, "{told_apart:?}");
}
