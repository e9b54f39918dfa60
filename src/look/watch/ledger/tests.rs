//! How what was seen adds up over samples.

use super::*;

const HTTP: Port = Port::tcp(80);
const ANY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn http(inode: u64) -> Accepting {
    Accepting { port: HTTP, address: ANY, inode }
}

fn owner(pid: u32) -> Owner {
    Owner { pid, executable: Some("app".into()), name: "app".into(), uid: 0 }
}

fn found(holders: &[(u64, &[u32])], complete: bool) -> Census {
    let holders = holders
        .iter()
        .map(|(inode, pids)| (*inode, pids.iter().copied().map(owner).collect()))
        .collect();
    Census { holders, complete, elsewhere: false }
}

/// What the only socket's owners are.
fn owners(ledger: &Ledger) -> Owners {
    let sockets = ledger.sockets();
    assert_eq!(sockets.len(), 1);
    sockets[0].owners.clone()
}

fn processes(pids: &[u32]) -> Owners {
    Owners::Processes(pids.iter().copied().map(owner).collect())
}

#[test]
fn anything_seen_once_counts() {
    let mut ledger = Ledger::default();
    ledger.note(ms(10), &[]);
    ledger.note(ms(20), &[http(1)]);
    ledger.note(ms(30), &[http(1)]);
    ledger.note(ms(40), &[]);
    let sockets = ledger.sockets();
    assert_eq!((sockets[0].first_seen, sockets[0].last_seen), (ms(20), ms(30)));
    assert!(ledger.listening().is_empty());
    assert_eq!(ledger.samples(), 4);
}

#[test]
fn what_listens_for_a_moment_before_the_watch_and_again_in_it_is_not_lost() {
    let mut ledger = Ledger::default();
    ledger.note(ms(10), &[http(1)]);
    ledger.note(ms(20), &[]);
    ledger.begin_watch_phase(ms(25));
    ledger.note(ms(30), &[]);
    ledger.note(ms(40), &[]);
    assert!(!ledger.lost().is_empty(), "it may never come back");
    ledger.note(ms(50), &[http(2)]);
    assert!(ledger.lost().is_empty());
    ledger.note(ms(60), &[]);
    ledger.note(ms(70), &[]);
    assert_eq!(ledger.lost().get(&HTTP), Some(&ms(60)));
}

/// Two samples in a row of the watch phase, no less and no earlier.
#[test]
fn a_port_is_lost_when_it_is_missed_twice() {
    let mut ledger = Ledger::default();
    ledger.note(ms(10), &[http(1)]);
    ledger.note(ms(20), &[]);
    ledger.note(ms(30), &[]);
    ledger.begin_watch_phase(ms(35));
    ledger.note(ms(40), &[http(1)]);
    ledger.note(ms(50), &[]);
    assert!(ledger.has_doubts());
    ledger.note(ms(60), &[http(1)]);
    ledger.note(ms(70), &[]);
    assert!(ledger.lost().is_empty());
    ledger.note(ms(80), &[]);
    assert_eq!(ledger.lost(), &BTreeMap::from([(HTTP, ms(70))]));
    ledger.note(ms(90), &[http(2)]);
    assert_eq!(ledger.lost().len(), 1, "coming back does not undo it");
    assert_eq!(ledger.watched(), ms(55));
}

/// A port is lost only when it has no socket on any address.
#[test]
fn another_address_keeps_a_port() {
    let loopback = Accepting { port: HTTP, address: [127, 0, 0, 1].into(), inode: 2 };
    let mut ledger = Ledger::default();
    ledger.begin_watch_phase(ms(0));
    ledger.note(ms(10), &[http(1), loopback]);
    ledger.note(ms(20), &[loopback]);
    ledger.note(ms(30), &[loopback]);
    assert!(ledger.lost().is_empty());
    assert_eq!(ledger.sockets().len(), 2);
}

#[test]
fn found_holders_are_the_owners() {
    let mut ledger = Ledger::default();
    ledger.note(ms(10), &[http(1)]);
    assert_eq!(owners(&ledger), Owners::Unknown, "not sought yet");
    ledger.attribute(&ledger.pending(), &found(&[(1, &[7])], true));
    assert_eq!(owners(&ledger), processes(&[7]));
    assert!(ledger.pending().is_empty());
}

/// Sockets of a port that came one after the other, and several at once, all count.
#[test]
fn owners_of_all_inodes_are_joined() {
    let mut ledger = Ledger::default();
    ledger.note(ms(10), &[http(1), http(2)]);
    ledger.attribute(&ledger.pending(), &found(&[(1, &[7]), (2, &[8])], true));
    ledger.note(ms(20), &[http(3)]);
    ledger.attribute(&ledger.pending(), &found(&[(3, &[9])], true));
    assert_eq!(owners(&ledger), processes(&[7, 8, 9]));
}

/// The last search counts for a socket that is still there.
#[test]
fn a_later_search_replaces_an_earlier_one() {
    let mut ledger = Ledger::default();
    ledger.note(ms(10), &[http(1)]);
    ledger.attribute(&ledger.pending(), &found(&[(1, &[7])], true));
    ledger.attribute(&ledger.present(), &found(&[(1, &[8, 9])], false));
    assert_eq!(owners(&ledger), processes(&[8, 9]));
    ledger.attribute(&ledger.present(), &found(&[], true));
    assert_eq!(owners(&ledger), processes(&[8, 9]), "known owners are not forgotten");
}

/// "Outside" takes two complete searches with the socket there in between.
#[test]
fn outside_takes_two_searches() {
    let mut ledger = Ledger::default();
    ledger.note(ms(10), &[http(1)]);
    ledger.attribute(&ledger.pending(), &found(&[], true));
    assert_eq!(owners(&ledger), Owners::Unknown);
    assert!(ledger.has_doubts());
    ledger.note(ms(20), &[http(1)]);
    ledger.attribute(&ledger.pending(), &found(&[], true));
    assert_eq!(owners(&ledger), Owners::Outside);
    assert!(!ledger.has_doubts());
}

#[test]
fn an_incomplete_search_leaves_the_owner_unknown() {
    let mut ledger = Ledger::default();
    ledger.note(ms(10), &[http(1)]);
    ledger.attribute(&ledger.pending(), &found(&[], false));
    ledger.note(ms(20), &[http(1)]);
    ledger.attribute(&ledger.pending(), &found(&[], true));
    assert_eq!(owners(&ledger), Owners::Unknown);
}

#[test]
fn a_socket_that_vanished_before_its_owner_was_found_stays_unknown() {
    let mut ledger = Ledger::default();
    ledger.note(ms(10), &[http(1)]);
    ledger.attribute(&ledger.pending(), &found(&[], true));
    ledger.note(ms(20), &[]);
    assert!(ledger.pending().is_empty());
    assert_eq!(owners(&ledger), Owners::Unknown);
    // Once another socket of the port is known, the vanished one no longer matters.
    ledger.note(ms(30), &[http(2)]);
    ledger.attribute(&ledger.pending(), &found(&[(2, &[7])], true));
    assert_eq!(owners(&ledger), processes(&[7]));
}

/// A program that shares the port and cannot be seen makes the port's owner unknown.
#[test]
fn a_present_socket_of_unknown_owner_is_not_hidden_by_others() {
    let mut ledger = Ledger::default();
    ledger.note(ms(10), &[http(1), http(2)]);
    ledger.attribute(&ledger.pending(), &found(&[(1, &[7])], false));
    assert_eq!(owners(&ledger), Owners::Unknown);
}

/// Sockets of the kernel itself (inode 0) are never taken for the engine's.
#[test]
fn a_socket_without_an_inode_has_an_unknown_owner() {
    let mut ledger = Ledger::default();
    ledger.note(ms(10), &[http(0)]);
    assert!(ledger.pending().is_empty());
    assert_eq!(owners(&ledger), Owners::Unknown);
}
