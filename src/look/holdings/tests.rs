//! Comparing what processes hold, on trees of files that stand in for /proc.

use std::fs;

use super::*;
use crate::look::fixture::{CONTAINER, FakeProc, HOST_NETNS, NETNS};

struct Stage {
    fake: FakeProc,
    subject: Subject,
    holdings: Holdings,
}

impl Stage {
    /// A container with one process and one socket, which was looked at once, beside a stranger.
    fn new() -> Self {
        let fake = FakeProc::with_container();
        fake.descriptor(42, 3, "socket:[7]");
        fake.descriptor(42, 4, "/dev/null");
        fake.process(50, HOST_NETNS, "0::/elsewhere\n");
        let subject = Subject::open(fake.root(), 42, CONTAINER).unwrap();
        let mut stage = Self { fake, subject, holdings: Holdings::default() };
        assert!(!stage.holdings.is_settled());
        assert!(!stage.is_same(), "there was nothing to compare with");
        assert!(stage.holdings.is_settled());
        assert!(stage.is_same());
        stage
    }

    fn is_same(&mut self) -> bool {
        self.holdings.are_the_same(self.fake.root(), &self.subject)
    }

    /// It differs, once.
    fn assert_changed(&mut self, what: &str) {
        assert!(!self.is_same(), "{what}");
        assert!(self.is_same(), "{what}: that is how it is now");
    }
}

#[test]
fn a_socket_in_the_place_of_another_is_noticed() {
    let mut stage = Stage::new();
    stage.fake.relink("42/fd/3", "socket:[8]");
    stage.assert_changed("another inode under the same number");
    fs::remove_file(stage.fake.path("42/fd/3")).unwrap();
    stage.assert_changed("none any more");
    stage.fake.relink("42/fd/4", "/dev/zero");
    assert!(stage.is_same(), "a file is no socket");
}

#[test]
fn a_process_more_is_looked_through() {
    let mut stage = Stage::new();
    stage.fake.process(43, NETNS, "0::/elsewhere\n");
    assert!(stage.is_same(), "it holds nothing");
    stage.fake.descriptor(43, 3, "socket:[9]");
    stage.assert_changed("by its namespace");
    stage.fake.process(44, HOST_NETNS, &format!("0::/docker/{CONTAINER}\n"));
    stage.fake.descriptor(44, 3, "socket:[10]");
    stage.assert_changed("by its control group");
    fs::remove_dir_all(stage.fake.path("44")).unwrap();
    stage.assert_changed("gone");
}

/// What an engine executes in a container begins outside.
#[test]
fn a_young_stranger_is_looked_at_again() {
    let mut stage = Stage::new();
    stage.fake.process(51, HOST_NETNS, "0::/elsewhere\n");
    stage.fake.descriptor(51, 3, "socket:[9]");
    assert!(stage.is_same(), "it is not the container's");
    stage.fake.relink("51/ns/net", &format!("net:[{NETNS}]"));
    stage.assert_changed("it has become one of the container's");
}

#[test]
fn a_stranger_holds_what_it_likes() {
    let mut stage = Stage::new();
    stage.fake.descriptor(50, 3, "socket:[9]");
    assert!(stage.is_same());
    fs::remove_dir_all(stage.fake.path("50/fd")).unwrap();
    assert!(stage.is_same());
}

/// Whatever is hidden may hold anything.
#[test]
fn what_cannot_be_read_is_never_the_same() {
    let mut stage = Stage::new();
    stage.fake.bar("fd");
    assert!(!stage.is_same());
    assert!(!stage.is_same());
    fs::remove_file(stage.fake.path("42/fd")).unwrap();
    fs::create_dir(stage.fake.path("42/fd")).unwrap();
    stage.assert_changed("nothing was known");

    let nowhere = stage.fake.path("nowhere");
    assert!(!stage.holdings.are_the_same(&nowhere, &stage.subject));
    assert!(!stage.holdings.are_the_same(&nowhere, &stage.subject));
}

#[test]
fn what_outlives_its_first_thread_is_looked_through() {
    let mut stage = Stage::new();
    stage.fake.process(43, NETNS, "0::/elsewhere\n");
    stage.fake.descriptor(43, 3, "socket:[77]");
    stage.assert_changed("a process more");
    stage.fake.outlived_by(43, 60);
    stage.fake.bar_of(43, "fd");
    assert!(stage.is_same());
    stage.fake.relink("43/task/60/fd/3", "socket:[78]");
    stage.assert_changed("another socket");
}

#[test]
fn what_has_ended_holds_nothing() {
    let mut stage = Stage::new();
    stage.fake.process(43, NETNS, "0::/elsewhere\n");
    stage.fake.descriptor(43, 3, "socket:[77]");
    stage.assert_changed("a process more");
    stage.fake.life(43, 'Z', 1);
    stage.fake.bar_of(43, "fd");
    stage.assert_changed("it has ended");
}

/// Nobody would watch meanwhile.
#[test]
fn more_than_can_be_read_at_once_is_never_the_same() {
    let mut stage = Stage::new();
    for number in 10..10 + DESCRIPTORS {
        stage.fake.descriptor(42, u32::try_from(number).unwrap(), "/dev/null");
    }
    assert!(!stage.is_same());
    assert!(!stage.is_same());
    for number in 10..100 {
        fs::remove_file(stage.fake.path(&format!("42/fd/{number}"))).unwrap();
    }
    stage.assert_changed("few enough");
}

/// Telling whose they are takes more than one look, and each goes on where the last one stopped.
#[test]
fn many_processes_are_looked_at_in_turns() {
    let mut stage = Stage::new();
    let processes = DESCRIPTORS / PROCESS * 2;
    for pid in 1000..1000 + u32::try_from(processes).unwrap() {
        let folder = stage.fake.path(&pid.to_string());
        fs::create_dir_all(folder.join("ns")).unwrap();
        std::os::unix::fs::symlink(format!("net:[{HOST_NETNS}]"), folder.join("ns/net")).unwrap();
        fs::write(folder.join("cgroup"), "0::/elsewhere\n").unwrap();
    }
    stage.holdings = Holdings::default();
    let looks: Vec<bool> = (0..6).map(|_| stage.is_same()).collect();
    assert_eq!(looks, [false, false, false, true, true, true]);
}
