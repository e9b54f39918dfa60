//! The watch, on trees of files that stand in for /proc, and on real namespaces.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket},
    os::unix::fs::symlink,
    path::Path,
    process::{Child, ChildStdin, Command as Spawn, Stdio},
};

use super::*;
use crate::{
    look::{
        diag::Diag,
        fixture::{FakeProc, listener},
    },
    observation::Owners,
};

fn resolver() -> String {
    listener([127, 0, 0, 11], 40_001, 9)
}

/// The eyes of a container that listens on 80, and has Docker's resolver.
fn eyes(fake: &FakeProc) -> Eyes {
    fake.descriptor(42, 3, "socket:[7]");
    fake.listeners(&[listener([0, 0, 0, 0], 80, 7), resolver()]);
    Eyes::open(&fake.target()).unwrap()
}

#[test]
fn a_container_is_seen_with_owners() {
    let fake = FakeProc::with_container();
    let mut eyes = eyes(&fake);
    eyes.sample().unwrap();
    let sighting = eyes.finish().unwrap();
    assert_eq!(sighting.sockets.len(), 2);
    let owner = sighting.sockets[0].owners.processes().next().unwrap();
    assert_eq!((owner.pid, owner.shown().raw(), owner.uid), (7, "app", 101));
    assert!(sighting.sockets[1].is_of_engine());
    assert!(sighting.sockets[0].first_seen >= fake.target().age);
    assert_eq!(sighting.identity, Identity::Verified);
    assert_eq!(sighting.tables[&Table::Udp6], TableState::Read);
    assert_eq!(sighting.tables[&Table::Sctp], TableState::NotInKernel);
}

/// The results travel as JSON.
#[test]
fn a_sighting_survives_json() {
    let fake = FakeProc::with_container();
    let mut eyes = eyes(&fake);
    eyes.ledger.begin_watch_phase(Duration::ZERO);
    eyes.sample().unwrap();
    fake.listeners(&[]);
    let sighting = eyes.finish().unwrap();
    let text = serde_json::to_string(&sighting).unwrap();
    assert_eq!(serde_json::from_str::<Sighting>(&text).unwrap(), sighting);

    fake.life(42, 'Z', 5000);
    let error = eyes.finish().unwrap_err();
    let text = serde_json::to_string(&error).unwrap();
    assert_eq!(serde_json::from_str::<LookError>(&text).unwrap(), error);
}

#[test]
fn the_end_of_the_process_leaves_what_was_seen() {
    let fake = FakeProc::with_container();
    let mut eyes = eyes(&fake);
    eyes.sample().unwrap();
    fake.life(42, 'Z', 5000);
    fs::remove_file(fake.path("42/ns/net")).unwrap();
    let LookError::Gone { pid: 42, after, seen } = eyes.glance_or_sample().unwrap_err() else {
        panic!("not gone")
    };
    assert!(after >= fake.target().age);
    assert_eq!(seen.sockets[0].port, Port::tcp(80));
    assert!(matches!(seen.sockets[0].owners, Owners::Processes(_)));
}

/// Each way of blinding the eyes ends in an error, never in a sighting.
#[test]
fn blinded_eyes_say_so() {
    type Way = (&'static str, fn(&FakeProc), fn(&LookError) -> bool);
    let ways: [Way; 7] = [
        (
            "namespace changed",
            |fake| fake.relink("42/ns/net", "net:[1]"),
            |error| matches!(error, LookError::Moved { .. }),
        ),
        (
            "restarted",
            |fake| fake.life(42, 'S', 6000),
            |error| matches!(error, LookError::Recycled { .. }),
        ),
        (
            "another container's",
            |fake| fs::write(fake.path("42/cgroup"), "0::/docker/other\n").unwrap(),
            |error| matches!(error, LookError::Stranger { .. }),
        ),
        (
            "empty table",
            |fake| fs::write(fake.path("42/net/tcp"), "").unwrap(),
            |error| matches!(error, LookError::Table(_)),
        ),
        (
            "table cut short",
            |fake| {
                let text = fs::read(fake.path("42/net/tcp")).unwrap();
                fs::write(fake.path("42/net/tcp"), &text[..text.len() - 30]).unwrap();
            },
            |error| matches!(error, LookError::Table(_)),
        ),
        (
            "zombie",
            |fake| fake.life(42, 'Z', 5000),
            |error| matches!(error, LookError::Gone { .. }),
        ),
        (
            "namespace unreadable",
            |fake| fake.relink("42/ns/net", "what"),
            |error| matches!(error, LookError::Garbled { .. }),
        ),
    ];
    for (way, blind, expected) in ways {
        let fake = FakeProc::with_container();
        let mut eyes = eyes(&fake);
        eyes.sample().unwrap();
        blind(&fake);
        let error = eyes.finish().unwrap_err();
        assert!(expected(&error), "{way}: {error:?}");
    }
}

/// Sockets that processes hand over among each other are not taken for the engine's.
#[test]
fn an_owner_that_appears_later_is_found() {
    let fake = FakeProc::with_container();
    let mut eyes = eyes(&fake);
    eyes.sample().unwrap();
    fake.descriptor(42, 4, "socket:[9]");
    let sighting = eyes.finish().unwrap();
    assert!(!sighting.sockets[1].is_of_engine());
}

/// Glances replace samples only while the counters are there and equal.
#[test]
fn a_glance_is_enough_while_nothing_changes() {
    let counters = |tcp| format!("sockets: used 9\nTCP: inuse {tcp} orphan 0\nUDP: inuse 0\n");
    let fake = FakeProc::with_container();
    fs::write(fake.path("42/net/sockstat"), counters(2)).unwrap();
    let mut eyes = eyes(&fake);
    // Owners are looked up with pauses, and what nobody holds twice.
    while eyes.ledger.samples() == 0 || eyes.ledger.has_doubts() {
        eyes.sample().unwrap();
        thread::sleep(eyes::GLANCE);
    }
    assert!(!eyes.has_changed());
    fs::write(fake.path("42/net/sockstat"), counters(3)).unwrap();
    assert!(eyes.has_changed());
    eyes.sample().unwrap();
    assert!(!eyes.has_changed());
    fs::write(fake.path("42/net/sockstat"), "").unwrap();
    assert!(eyes.has_changed(), "without counters nothing is known");
}

/// A glance that says that something has changed does not say what.
#[test]
fn what_has_changed_is_out_of_sight_until_it_is_read() {
    let counters = |tcp| format!("TCP: inuse {tcp}\n");
    let fake = FakeProc::with_container();
    fs::write(fake.path("42/net/sockstat"), counters(1)).unwrap();
    fake.descriptor(42, 3, "socket:[7]");
    fake.listeners(&[listener([0, 0, 0, 0], 80, 7)]);
    let mut eyes = Eyes::open(&fake.target()).unwrap();
    eyes.sample().unwrap();
    let step = Duration::from_millis(15);
    let glance = |eyes: &mut Eyes, is_due: bool| {
        let now = Instant::now();
        let far = Duration::from_secs(60);
        eyes.last_look = if is_due { now.checked_sub(far).unwrap() } else { now + far };
        eyes.longest_gap = Duration::ZERO;
        thread::sleep(step);
        eyes.glance_or_sample().unwrap();
        (eyes.longest_gap, eyes.ledger.samples())
    };
    let (gap, samples) = glance(&mut eyes, false);
    assert!(gap >= step, "nothing has changed, and that was seen");
    fs::write(fake.path("42/net/sockstat"), counters(2)).unwrap();
    assert_eq!(glance(&mut eyes, false), (Duration::ZERO, samples), "it was not read yet");
    let (gap, after) = glance(&mut eyes, true);
    assert!(gap >= step * 2 && after == samples + 1, "{gap:?}");
}

/// A port that was missed is looked for at once, whatever the counters say.
#[test]
fn a_missed_port_is_looked_for_again() {
    let fake = FakeProc::with_container();
    fs::write(fake.path("42/net/sockstat"), "TCP: inuse 1\n").unwrap();
    fake.descriptor(42, 3, "socket:[7]");
    fake.listeners(&[listener([0, 0, 0, 0], 80, 7)]);
    let mut eyes = Eyes::open(&fake.target()).unwrap();
    eyes.sample().unwrap();
    eyes.ledger.begin_watch_phase(Duration::ZERO);
    assert!(!eyes.has_changed());
    fake.listeners(&[]);
    eyes.sample().unwrap();
    assert!(eyes.has_changed());
    eyes.sample().unwrap();
    assert!(!eyes.has_changed());
    assert_eq!(eyes.finish().unwrap().lost.len(), 1);
}

/// A process in a network namespace of its own that does as it is told. It is this test binary,
/// started again; without its environment variable this is an empty test.
#[test]
fn in_the_namespace() {
    if std::env::var_os("PORTLID_TEST_NAMESPACE").is_none() {
        return;
    }
    let mut sockets: Vec<Box<dyn std::any::Any>> = Vec::new();
    for line in std::io::stdin().lines() {
        match line.unwrap().as_str() {
            "open" => {
                sockets.push(Box::new(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 4001)).unwrap()));
                sockets.push(Box::new(TcpListener::bind((Ipv6Addr::UNSPECIFIED, 4002)).unwrap()));
                sockets.push(Box::new(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 4003)).unwrap()));
            }
            "blink" => {
                let _socket = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 4004)).unwrap();
                thread::sleep(Duration::from_millis(500));
            }
            "swap" => {
                drop(sockets.remove(0));
                let _other = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 4005)).unwrap();
                thread::sleep(Duration::from_millis(200));
            }
            "close" => sockets.clear(),
            _ => return,
        }
        println!("done");
    }
}

struct Namespace {
    child: Child,
    orders: ChildStdin,
    answers: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Namespace {
    fn new() -> Self {
        let root = rustix::process::geteuid().is_root();
        let mut child = Spawn::new("unshare")
            .args(if root { &["-n"][..] } else { &["-r", "-n"] })
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "look::watch::tests::in_the_namespace", "--nocapture"])
            .env("PORTLID_TEST_NAMESPACE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut namespace = Self { child, orders, answers };
        namespace.tell("close");
        namespace
    }

    fn tell(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
        let done = self.answers.any(|line| line.is_ok_and(|line| line.ends_with("done")));
        assert!(done, "{order}");
    }

    fn target(&self) -> Target {
        Target {
            proc_root: "/proc".into(),
            pid: self.child.id(),
            container: String::new(),
            age: Duration::ZERO,
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A real namespace: late, short-lived and lost listeners of both families.
#[test]
fn a_real_namespace_is_watched() {
    let mut namespace = Namespace::new();
    let watch = Watch::begin(&namespace.target()).unwrap();
    assert!(watch.listening().is_empty());
    namespace.tell("open");
    let wanted = BTreeSet::from([Port::tcp(4001), Port::tcp(4002), Port::udp(4003)]);
    block_on(watch.wait_until(|listening| *listening == wanted)).unwrap();
    block_on(watch.begin_watch_phase()).unwrap();
    namespace.tell("blink");
    namespace.tell("close");
    block_on(watch.wait_until(BTreeSet::is_empty)).unwrap();
    let sighting = block_on(watch.finish()).unwrap();

    let seen: Vec<_> =
        sighting.sockets.iter().map(|it| (it.port.to_string(), it.address.to_string())).collect();
    let expected = [
        ("4001/tcp", "0.0.0.0"),
        ("4002/tcp", "::"),
        ("4003/udp", "0.0.0.0"),
        ("4004/tcp", "0.0.0.0"),
    ];
    assert_eq!(seen, expected.map(|(port, address)| (port.to_owned(), address.to_owned())));
    for socket in &sighting.sockets {
        let owner = socket.owners.processes().next().unwrap();
        assert_eq!(owner.uid, 0, "{socket:?}");
        assert!(owner.executable.is_some(), "{socket:?}");
    }
    assert!(sighting.lost.contains_key(&Port::tcp(4001)), "{:?}", sighting.lost);
    assert!(sighting.lost.contains_key(&Port::tcp(4004)), "{:?}", sighting.lost);
}

/// Where this process may enter the namespace, whole tables are read now and then only; what
/// comes and goes between is seen all the same, with its owner.
#[test]
fn a_namespace_that_can_be_entered_is_watched_at_less_cost() {
    let mut namespace = Namespace::new();
    namespace.tell("open");
    let mut eyes = Eyes::open(&namespace.target()).unwrap();
    eyes.seeks_owners = false;
    // Another process's socket may come or go meanwhile, which the counters do not show.
    let agreed = (0..20).any(|_| {
        eyes.sample().unwrap();
        eyes.accounts_agree
    });
    let may_enter = rustix::process::geteuid().is_root();
    assert_eq!((agreed, eyes.diag.is_some()), (may_enter, may_enter));
    let whole = eyes.last_whole;
    eyes.sample().unwrap();
    assert_eq!(eyes.last_whole == whole, may_enter, "a sample at less cost");
    namespace.tell("close");
    eyes.sample().unwrap();
    assert!(eyes.ledger.listening().is_empty());
    assert_eq!(eyes.ledger.sockets().len(), 3);
    eyes.finish().unwrap();
    assert!(eyes.last_whole > whole, "the last is a whole one");
}

/// Where it may not, the tables are read now and then only as long as the container's processes
/// hold what they held: a socket that takes another's place is seen though the counters are equal.
#[test]
fn a_namespace_that_cannot_be_entered_is_watched_at_less_cost() {
    let mut namespace = Namespace::new();
    namespace.tell("open");
    // Who is looked for among processes that are all to be seen.
    let root = tempfile::tempdir().unwrap();
    for process in ["self".to_owned(), namespace.child.id().to_string()] {
        symlink(Path::new("/proc").join(&process), root.path().join(process)).unwrap();
    }
    let target = Target { proc_root: root.path().to_owned(), ..namespace.target() };
    let mut eyes = Eyes::open(&target).unwrap();
    eyes.diag = None;
    // Comparing is never too dear here, whatever else the machine does.
    let watch_for = |eyes: &mut Eyes, time| {
        let until = Instant::now() + time;
        while Instant::now() < until {
            eyes.cost = Duration::from_secs(1);
            thread::sleep(eyes.rest());
            eyes.glance_or_sample().unwrap();
        }
    };
    watch_for(&mut eyes, Duration::from_millis(500));
    let samples = eyes.ledger.samples();
    watch_for(&mut eyes, Duration::from_secs(1));
    assert_eq!(eyes.ledger.samples(), samples, "in a second of quiet");
    assert!(eyes.last_look > eyes.last_sample, "what is held was compared since");
    eyes.last_whole = Instant::now().checked_sub(eyes::WHOLLY).unwrap();
    watch_for(&mut eyes, Duration::from_millis(300));
    assert_eq!(eyes.ledger.samples(), samples + 1, "now and then they are read all the same");

    // The tables are not read by themselves while the other socket is there.
    eyes.sample().unwrap();
    assert!(eyes.holdings.are_the_same(&target.proc_root, &eyes.subject));
    let swapping = thread::spawn(move || {
        namespace.tell("swap");
        namespace
    });
    watch_for(&mut eyes, Duration::from_millis(300));
    let _namespace = swapping.join().unwrap();
    let ports: Vec<_> = eyes.ledger.sockets().iter().map(|it| it.port.number).collect();
    assert!(ports.contains(&4005), "{ports:?}");
}

/// An account that says something else than the tables is not believed.
#[test]
fn accounts_that_differ_are_not_believed() {
    let namespace = Namespace::new();
    let mut other = Namespace::new();
    other.tell("open");
    let mut eyes = Eyes::open(&namespace.target()).unwrap();
    // The other namespace's: an account that sees less, or more.
    eyes.diag = Diag::enter(&Eyes::open(&other.target()).unwrap().subject);
    assert_eq!(eyes.diag.is_some(), rustix::process::geteuid().is_root());
    for _ in 0..20 {
        eyes.sample().unwrap();
        assert!(!eyes.accounts_agree);
    }
    assert!(eyes.ledger.sockets().is_empty());
}

/// The process ends in the middle: whoever waits is told, and what was seen is there.
#[test]
fn a_real_process_that_ends_is_gone() {
    let mut namespace = Namespace::new();
    namespace.tell("open");
    let watch = Watch::begin(&namespace.target()).unwrap();
    namespace.child.kill().unwrap();
    let never = block_on(watch.wait_until(|_| false)).unwrap_err();
    assert!(matches!(never, LookError::Gone { .. }), "{never:?}");
    assert!(watch.ended().is_some());
    assert_eq!(block_on(watch.so_far()).unwrap().sockets.len(), 3);
    let LookError::Gone { seen, .. } = block_on(watch.finish()).unwrap_err() else {
        panic!("not gone")
    };
    assert_eq!(seen.sockets.len(), 3);
}

/// This process is in its own namespace, which is not a container's.
#[test]
fn our_own_namespace_is_refused() {
    let target = Target {
        proc_root: "/proc".into(),
        pid: std::process::id(),
        container: String::new(),
        age: Duration::ZERO,
    };
    let error = Watch::begin(&target).unwrap_err();
    assert!(matches!(error, LookError::SharedNamespace { .. }), "{error:?}");
}
