//! The search for owners, on this process and on trees of files.

use std::{fs, os::unix::fs::symlink};

use super::*;
use crate::look::fixture::{CONTAINER, FakeProc, HOST_NETNS, NETNS};

fn look(fake: &FakeProc, inodes: &[u64]) -> Census {
    let subject = Subject::open(fake.root(), 42, CONTAINER).unwrap();
    census(fake.root(), &subject, &inodes.iter().copied().collect())
}

fn pids(census: &Census, inode: u64) -> Vec<u32> {
    census.holders.get(&inode).into_iter().flatten().map(|owner| owner.pid).collect()
}

/// Gives a process its number inside the container.
fn numbered(fake: &FakeProc, pid: u32, inside: u32) {
    let status = format!("Name:\tapp\nUid:\t0\t101\t0\t0\nNStgid:\t{pid}\t{inside}\n");
    fs::write(fake.path(&format!("{pid}/status")), status).unwrap();
}

#[test]
fn every_process_that_holds_a_socket_owns_it() {
    let fake = FakeProc::with_container();
    fake.process(43, NETNS, "0::/elsewhere\n");
    fake.process(44, 4_026_539_999, &format!("0::/docker/{CONTAINER}\n"));
    for (pid, inside) in [(42, 1), (43, 2), (44, 3)] {
        numbered(&fake, pid, inside);
        fake.descriptor(pid, 3, "socket:[77]");
        fake.descriptor(pid, 4, "/dev/null");
        fake.descriptor(pid, 5, "socket:[78]");
    }
    let census = look(&fake, &[77]);
    assert!(census.complete);
    // One is in the namespace only, one in the control group only; both are the container's.
    assert_eq!(pids(&census, 77), [1, 2, 3]);
    assert!(census.elsewhere, "what the third listens on where it is now is not seen");
    assert!(pids(&census, 78).is_empty(), "nobody asked");
}

/// Threads can be in different namespaces; what the engine executes is on the host's for a moment.
#[test]
fn a_thread_elsewhere_is_noticed_and_one_on_the_host_is_not() {
    for (netns, is_elsewhere) in [(NETNS, false), (HOST_NETNS, false), (4_026_539_999, true)] {
        let fake = FakeProc::with_container();
        // A looker that is on neither.
        fake.process(60, 4_026_533_333, "0::/other\n");
        fake.relink("self", "60");
        fs::create_dir_all(fake.path("42/task/50/ns")).unwrap();
        symlink(format!("net:[{netns}]"), fake.path("42/task/50/ns/net")).unwrap();
        assert_eq!(look(&fake, &[]).elsewhere, is_elsewhere, "{netns}");
    }
}

/// Where control groups do not carry the container's id, its process namespace tells, or descent.
#[test]
fn a_process_elsewhere_is_noticed_without_control_groups() {
    const ELSEWHERE: u64 = 4_026_539_999;
    // In its process namespace; a descendant in another; in another, and of somebody else.
    for (processes, parent, is_elsewhere) in
        [("pid:[11]", 1, true), ("pid:[12]", 43, true), ("pid:[12]", 1, false)]
    {
        let fake = FakeProc::with_container();
        let mounts =
            format!("1 0 8:1 /var/lib/containers/{CONTAINER}/hosts /etc/hosts rw - ext4 a b\n");
        fs::write(fake.path("42/mountinfo"), mounts).unwrap();
        fs::write(fake.path("42/cgroup"), "0::/user.slice\n").unwrap();
        fake.process(43, NETNS, "0::/user.slice\n");
        fake.process(44, ELSEWHERE, "0::/user.slice\n");
        for (pid, processes, parent) in
            [(42, "pid:[11]", 1), (43, "pid:[11]", 42), (44, processes, parent)]
        {
            symlink(processes, fake.path(&format!("{pid}/ns/pid"))).unwrap();
            let status = format!("PPid:\t{parent}\nUid:\t0\t0\t0\t0\nNStgid:\t{pid}\t{pid}\n");
            fs::write(fake.path(&format!("{pid}/status")), status).unwrap();
        }
        let census = look(&fake, &[]);
        assert!(census.complete);
        assert_eq!(census.elsewhere, is_elsewhere, "{processes} {parent}");
    }
}

#[test]
fn what_outlives_its_first_thread_holds_what_it_held() {
    let fake = FakeProc::with_container();
    fake.process(43, NETNS, "0::/elsewhere\n");
    numbered(&fake, 43, 9);
    fake.descriptor(43, 3, "socket:[77]");
    fake.outlived_by(43, 50);
    let census = look(&fake, &[77]);
    assert!(census.complete);
    assert_eq!(pids(&census, 77), [9]);
}

#[test]
fn a_holder_outside_is_no_owner() {
    let fake = FakeProc::with_container();
    fake.process(99, HOST_NETNS, "0::/system.slice/docker.service\n");
    fake.descriptor(99, 3, "socket:[77]");
    let census = look(&fake, &[77]);
    assert!(census.complete && census.holders.is_empty() && !census.elsewhere);
}

/// What cannot be read may hold anything, so the census is not complete.
#[test]
fn what_cannot_be_read_makes_the_census_incomplete() {
    let fake = FakeProc::with_container();
    fs::remove_dir(fake.path("42/fd")).unwrap();
    fs::write(fake.path("42/fd"), "").unwrap();
    assert!(!look(&fake, &[77]).complete);
    assert!(crate::look::can_see(&fake.target()).is_err());
}

#[test]
fn a_process_that_ends_meanwhile_is_no_reason_to_doubt() {
    let fake = FakeProc::with_container();
    fake.process(43, NETNS, "0::/elsewhere\n");
    fake.life(43, 'Z', 1);
    fs::remove_dir(fake.path("43/fd")).unwrap();
    assert!(look(&fake, &[77]).complete);
}

#[test]
fn owners_are_named_as_the_container_names_them() {
    let fake = FakeProc::with_container();
    fake.descriptor(42, 3, "socket:[77]");
    fake.relink("42/exe", "/opt/app dir/server (deleted)");
    fs::write(fake.path("42/comm"), "wörker\n").unwrap();
    fs::write(fake.path("42/status"), "Uid:\t5\t100101\t5\t5\nNStgid:\t42\t8\t1\n").unwrap();
    fs::write(fake.path("42/uid_map"), "0 100000 65536\n").unwrap();
    fake.relink("42/ns/user", "user:[4026539001]");
    let census = look(&fake, &[77]);
    let owner = census.holders[&77].first().unwrap();
    assert_eq!(
        *owner,
        Owner { pid: 1, executable: Some("server".into()), name: "wörker".into(), uid: 101 }
    );
}

/// In the looker's own user namespace the kernel has translated already.
#[test]
fn uids_are_not_translated_twice() {
    let fake = FakeProc::with_container();
    fake.descriptor(42, 3, "socket:[77]");
    fs::write(fake.path("42/uid_map"), "0 100 65536\n").unwrap();
    assert_eq!(look(&fake, &[77]).holders[&77].first().unwrap().uid, 101);
}

#[test]
fn uid_maps_are_read_line_by_line() {
    let map = "         0       1000          1\n         1     100000      65536\n";
    let cases = [(1000, Some(0)), (100_000, Some(1)), (165_535, Some(65_536)), (1001, None)];
    for (outside, expected) in cases {
        assert_eq!(inside(map, outside), expected, "{outside}");
    }
    assert_eq!(inside("", 0), None);
    assert_eq!(inside("0 0 4294967295\n", 4_294_967_294), Some(4_294_967_294));
    assert_eq!(inside("nonsense\n", 0), None);
}

#[test]
fn an_executable_that_cannot_be_read_is_unknown() {
    let fake = FakeProc::with_container();
    fake.descriptor(42, 3, "socket:[77]");
    fs::remove_file(fake.path("42/exe")).unwrap();
    assert_eq!(look(&fake, &[77]).holders[&77].first().unwrap().executable, None);
    symlink("/", fake.path("42/exe")).unwrap();
    assert_eq!(look(&fake, &[77]).holders[&77].first().unwrap().executable, None);
}
