//! One process under trees of files that stand in for /proc.

use std::fs;

use super::*;
use crate::look::fixture::{CONTAINER, FakeProc, HOST_NETNS, NETNS, TCP_HEADER, listener};

fn open(fake: &FakeProc) -> Result<Subject, LookError> {
    Subject::open(fake.root(), 42, CONTAINER)
}

#[test]
fn a_container_is_identified() {
    let fake = FakeProc::with_container();
    let mut subject = open(&fake).unwrap();
    assert_eq!((subject.netns(), subject.identity()), (NETNS, Identity::Verified));
    subject.require_own_namespace(fake.root()).unwrap();
    subject.check().unwrap();
    subject.check_wholly().unwrap();
}

#[test]
fn the_groups_of_every_engine_carry_the_id() {
    for groups in [
        format!("0::/system.slice/docker-{CONTAINER}.scope\n"),
        format!("0::/docker/{CONTAINER}\n"),
        format!("12:pids:/docker/{CONTAINER}\n1:name=systemd:/docker/{CONTAINER}\n0::/\n"),
        format!("0::/machine.slice/libpod-{CONTAINER}.scope/container\n"),
        format!(
            "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{CONTAINER}.scope\n"
        ),
        format!("0::/../{CONTAINER}\n"),
    ] {
        let fake = FakeProc::new();
        fake.process(42, NETNS, &groups);
        assert_eq!(open(&fake).unwrap().identity(), Identity::Verified, "{groups}");
    }
}

#[test]
fn another_containers_process_is_refused() {
    let fake = FakeProc::new();
    fake.process(42, NETNS, &format!("0::/docker/{}\n", "0".repeat(64)));
    assert!(matches!(open(&fake), Err(LookError::Stranger { pid: 42, .. })));
}

/// Rootless engines cannot always give a container control groups of its own.
#[test]
fn the_files_that_the_engine_mounts_carry_the_id_too() {
    let userdata = format!("/run/user/1000/containers/overlay-containers/{CONTAINER}/userdata");
    let other = "0".repeat(64);
    for groups in ["0::/\n", "4:memory:/ci/job\n0::/\n"] {
        for (mount, is_its) in [
            (format!("755 748 254:0 {userdata}/hosts /etc/hosts rw - ext4 /dev/vda rw"), true),
            (format!("755 748 254:0 /x/{other}/hosts /etc/hosts rw - ext4 /dev/vda rw"), false),
            // The host's own view of a container's mount.
            (format!("61 30 0:52 / {userdata}/shm rw - tmpfs shm rw"), false),
            (format!("61 30 0:52 /x{CONTAINER}x/ /etc/hosts rw - tmpfs shm rw"), false),
            (String::new(), false),
        ] {
            let fake = FakeProc::new();
            fake.process(42, NETNS, groups);
            fs::write(fake.path("42/mountinfo"), format!("{mount}\n")).unwrap();
            let is_verified = open(&fake).is_ok_and(|it| it.identity() == Identity::Verified);
            assert_eq!(is_verified, is_its, "{groups} {mount}");
        }
    }
}

/// A process that shows in the root group may be any container's.
#[test]
fn the_root_group_proves_nothing() {
    for groups in ["0::/\n", "9:name=systemd:/\n8:pids:/\n0::/\n"] {
        let fake = FakeProc::new();
        fake.process(42, NETNS, groups);
        assert_eq!(open(&fake).unwrap().identity(), Identity::Unverified);
        assert!(matches!(crate::look::can_see(&fake.target()), Err(LookError::Unverified { .. })));
    }
}

#[test]
fn the_hosts_namespace_is_refused() {
    let fake = FakeProc::new();
    fake.process(42, HOST_NETNS, &format!("0::/docker/{CONTAINER}\n"));
    let error = open(&fake).unwrap().require_own_namespace(fake.root()).unwrap_err();
    assert_eq!(error, LookError::SharedNamespace { pid: 42, netns: HOST_NETNS });
}

/// The looker's own namespace is refused even where it is not the host's.
#[test]
fn the_lookers_namespace_is_refused() {
    let fake = FakeProc::with_container();
    fake.process(50, NETNS, "0::/other\n");
    fake.relink("self", "50");
    assert!(open(&fake).unwrap().require_own_namespace(fake.root()).is_err());
}

/// A process runs as long as any of its threads does.
#[test]
fn a_process_outlives_its_first_thread() {
    let fake = FakeProc::with_container();
    let mut subject = open(&fake).unwrap();
    fake.outlived_by(42, 50);
    subject.check().unwrap();
    subject.check_wholly().unwrap();
    subject.read_with(None, |_| {}).unwrap();
    // From the beginning, too.
    let mut late = open(&fake).unwrap();
    late.read_with(None, |_| {}).unwrap();
    assert_eq!((late.netns(), late.identity()), (NETNS, Identity::Verified));
    // And not longer.
    fs::copy(fake.path("42/stat"), fake.path("42/task/50/stat")).unwrap();
    fs::remove_file(fake.path("42/task/50/ns/net")).unwrap();
    assert_eq!(subject.check().unwrap_err(), LookError::NoProcess { pid: 42 });
    assert!(late.check_wholly().is_err());
}

#[test]
fn an_absent_process_and_a_zombie_are_no_processes() {
    let fake = FakeProc::new();
    assert_eq!(open(&fake).unwrap_err(), LookError::NoProcess { pid: 42 });
    let fake = FakeProc::with_container();
    fake.life(42, 'Z', 5000);
    assert_eq!(open(&fake).unwrap_err(), LookError::NoProcess { pid: 42 });
}

/// Once open, it is that process's folder that is read, whoever has the number now.
#[test]
fn a_recycled_pid_is_not_read_by_mistake() {
    let fake = FakeProc::with_container();
    fake.listeners(&[listener([0, 0, 0, 0], 80, 1)]);
    let mut subject = open(&fake).unwrap();
    fs::rename(fake.path("42"), fake.path("4242")).unwrap();
    fake.process(42, HOST_NETNS, "0::/other\n");
    let mut ports = Vec::new();
    subject.read_with(None, |row| ports.push(row.port)).unwrap();
    assert_eq!(ports, [80]);
}

#[test]
fn another_start_is_another_process() {
    let fake = FakeProc::with_container();
    let mut subject = open(&fake).unwrap();
    fake.life(42, 'S', 5001);
    assert_eq!(subject.check_wholly(), Err(LookError::Recycled { pid: 42 }));
    fake.life(42, 'Z', 5000);
    assert_eq!(subject.check_wholly(), Err(LookError::NoProcess { pid: 42 }));
}

#[test]
fn a_move_to_another_namespace_is_noticed() {
    let fake = FakeProc::with_container();
    let mut subject = open(&fake).unwrap();
    fake.relink("42/ns/net", "net:[4026539999]");
    let moved = LookError::Moved { pid: 42, before: NETNS, now: 4_026_539_999 };
    assert_eq!(subject.check(), Err(moved));
}

/// Which tables may be missing, and which may not.
#[test]
fn only_what_the_kernel_lacks_may_be_missing() {
    let ipv6 = ["tcp6", "udp6", "raw6", "udplite6", "if_inet6"];
    let cases: [(&[&str], Result<usize, Table>); 8] = [
        (&[], Ok(1)),
        (&["udplite", "udplite6"], Ok(3)),
        (&ipv6, Ok(5)),
        (&["tcp6"], Err(Table::Tcp6)),
        (&["tcp6", "udp6", "raw6"], Err(Table::Tcp6)),
        (&["tcp"], Err(Table::Tcp)),
        (&["raw"], Err(Table::Raw)),
        (&["udplite"], Err(Table::Udplite)),
    ];
    for (missing, expected) in cases {
        let fake = FakeProc::with_container();
        for file in missing {
            fs::remove_file(fake.path(&format!("42/net/{file}"))).unwrap();
            fs::remove_file(fake.path(&format!("1/net/{file}"))).unwrap();
        }
        let states = open(&fake).unwrap().read_with(None, |_| {});
        let absent = states
            .map(|states| states.iter().filter(|state| **state == TableState::NotInKernel).count());
        match expected {
            Ok(count) => assert_eq!(absent, Ok(count), "{missing:?}"),
            Err(table) => assert_eq!(absent, Err(LookError::MissingTable { table })),
        }
    }
}

/// One kernel has the same tables in every namespace.
#[test]
fn what_the_looker_has_cannot_be_missing() {
    for file in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6", "udplite", "udplite6"] {
        let fake = FakeProc::with_container();
        fs::remove_file(fake.path(&format!("42/net/{file}"))).unwrap();
        let error = open(&fake).unwrap().read_with(None, |_| {}).unwrap_err();
        assert!(matches!(error, LookError::MissingTable { .. }), "{file}: {error:?}");
    }
}

#[test]
fn an_unreadable_or_cut_table_is_an_error() {
    let fake = FakeProc::with_container();
    fs::remove_file(fake.path("42/net/udp")).unwrap();
    fs::create_dir(fake.path("42/net/udp")).unwrap();
    assert!(matches!(
        open(&fake).unwrap().read_with(None, |_| {}),
        Err(LookError::Unreadable { .. })
    ));

    let fake = FakeProc::with_container();
    let cut = format!("{TCP_HEADER}{}", listener([0, 0, 0, 0], 80, 1).trim_end());
    fs::write(fake.path("42/net/tcp"), cut).unwrap();
    assert!(matches!(open(&fake).unwrap().read_with(None, |_| {}), Err(LookError::Table(_))));
}

#[test]
fn the_name_in_stat_may_hold_anything() {
    let rest = format!("R {}77 0", "1 ".repeat(18));
    for name in ["app", "a b", "a) S 1 (", "((", ""] {
        let life = parse_life(format!("42 ({name}) {rest}").as_bytes());
        assert_eq!(life, Some(Life { state: b'R', is_exiting: false, started: 77 }), "{name}");
    }
    assert_eq!(parse_life(b"42 (app"), None);
    assert_eq!(parse_life(b"42 (app) S 1 2 3"), None);
}

/// The kernel takes an ending process's namespaces away while its state still is `R`.
#[test]
fn a_process_that_is_ending_does_not_run() {
    let life = |flags: u32| {
        let text = format!("42 (app) R 1 1 1 0 -1 {flags} {}77 0", "0 ".repeat(12));
        parse_life(text.as_bytes()).unwrap()
    };
    assert!(life(0x0040_0100).is_running());
    assert!(!life(0x0040_0104).is_running());
}
