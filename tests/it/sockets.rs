//! Everything that listens: both families, every protocol, whoever opened it and however.
//!
//! Each case is looked at twice, from here and by a scout.

use std::{
    panic::AssertUnwindSafe,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use bollard::{
    exec::StartExecOptions,
    models::{ExecConfig, HostConfig, Ipam, IpamConfig, NetworkCreateRequest},
};
use serde_json::Value;

use crate::{
    engine::{self, Foreign},
    harness::{Seen, Tool},
};

/// Looks from here and by a scout, both at once.
fn both(tool: impl Fn() -> Tool, check: impl Fn(&Seen)) {
    let seen: Vec<Seen> = thread::scope(|scope| {
        let tools = engine::ways().iter().map(|whom| tool().args(&["--look", whom]));
        let looking: Vec<_> = tools.map(|tool| scope.spawn(move || tool.run())).collect();
        looking.into_iter().map(|looking| looking.join().unwrap()).collect()
    });
    seen.iter().for_each(check);
}

/// The rest of a spec of a running container.
fn running(container: &Foreign, rest: &str) -> String {
    format!("container: {}\nwatch: 300ms\nscan: listed\n{rest}\n", container.id)
}

/// The addresses that a port listens on.
fn addresses(row: &Value) -> Vec<&str> {
    let sockets = row["listening"].as_array().unwrap().iter();
    sockets.map(|socket| socket["address"].as_str().unwrap()).collect()
}

/// The names and numbers of those that hold the first socket of a port.
fn owners(row: &Value) -> Vec<(&str, u64)> {
    let owners = row["listening"][0]["owners"].as_array().unwrap().iter();
    owners
        .map(|owner| (owner["process"].as_str().unwrap(), owner["pid"].as_u64().unwrap()))
        .collect()
}

/// A network with both families, removed when dropped.
struct DualNetwork(String);

impl DualNetwork {
    fn new(word: &str, third: u8) -> Self {
        let name = format!("portlid-test-{word}-{}", std::process::id());
        // A network of its own for each test process, so that two may run at once.
        let id = std::process::id();
        let subnet = format!("fd00:706c:{:x}:{third:x}::/64", id & 0xffff);
        let config = IpamConfig { subnet: Some(subnet), ..IpamConfig::default() };
        let request = NetworkCreateRequest {
            name: name.clone(),
            enable_ipv6: Some(true),
            ipam: Some(Ipam { config: Some(vec![config]), ..Ipam::default() }),
            ..NetworkCreateRequest::default()
        };
        engine::runtime().block_on(engine::docker().create_network(request)).unwrap();
        Self(name)
    }

    fn host(&self) -> HostConfig {
        HostConfig { network_mode: Some(self.0.clone()), ..HostConfig::default() }
    }
}

impl Drop for DualNetwork {
    fn drop(&mut self) {
        let _ = engine::runtime().block_on(engine::docker().remove_network(&self.0));
    }
}

#[test]
fn a_dual_stack_socket_is_one_that_neighbours_reach_and_a_v6only_one_is_not() {
    let subject = |command: &'static [&'static str]| {
        move || Tool::subject(&["80/tcp"], command, "expose: [80/tcp]")
    };
    both(subject(&["tcp:[::]:80"]), |seen| {
        seen.is("pass", &[]);
        assert_eq!(addresses(seen.row("80/tcp")), ["::"], "{seen}");
        assert_eq!(seen.row("80/tcp")["reachable"], "open", "{seen}");
    });
    // On a network of IPv4 alone. The second socket would answer nobody but the container.
    both(subject(&["tcp6only:[::]:80", "tcp:127.0.0.1:80"]), |seen| {
        seen.is("fail", &["fail unreachable 80/tcp listener :2"]);
        assert_eq!(seen.row("80/tcp")["reachable"], "refused", "{seen}");
        assert!(seen.stdout.contains("an IPv6-only socket"), "{seen}");
    });
    // Not listed, it is reported all the same: another network may have IPv6.
    Tool::subject(&[], &["tcp6only:[::]:80"], "expose: []\nready: { port: 80/tcp }")
        .run()
        .is("fail", &["fail unlisted-listener 80/tcp listener :2"]);
}

#[test]
fn on_a_network_of_both_families_both_are_looked_at() {
    let network = DualNetwork::new("dual", 1);
    let image = engine::fixture(&["80/tcp"]);
    let container =
        Foreign::start(&image, &["tcp6only:[::]:80", "tcp6only:[::]:81"], network.host());
    both(
        || Tool::gate(&running(&container, "expose: [80/tcp]")),
        |seen| {
            // Only IPv6 leads to either.
            seen.is("fail", &["fail unlisted-listener 81/tcp listener :4"]);
            for port in ["80/tcp", "81/tcp"] {
                assert_eq!(seen.row(port)["reachable"], "open", "{seen}");
            }
            let scanned = seen.spec()["evidence"]["addresses"].as_array().unwrap();
            assert_eq!(scanned.len(), 2, "{seen}");
            assert!(scanned.iter().any(|it| it.as_str().unwrap().starts_with("fd00:706c:")));
        },
    );
}

#[test]
fn where_ipv6_is_off_ipv4_is_judged() {
    let image = engine::fixture(&["80/tcp"]);
    let off = [("net.ipv6.conf.all.disable_ipv6".to_owned(), "1".to_owned())];
    let host = HostConfig { sysctls: Some(off.into()), ..HostConfig::default() };
    let container = Foreign::start(&image, &["tcp:0.0.0.0:80", "tcp:[::]:81"], host);
    both(
        || Tool::gate(&running(&container, "expose: [80/tcp]")),
        |seen| {
            seen.is("fail", &["fail unlisted-listener 81/tcp listener :4"]);
            assert_eq!(seen.row("81/tcp")["reachable"], "open", "{seen}");
        },
    );
}

#[test]
fn a_mapped_address_is_one_of_ipv4() {
    let command = ["tcp:[::ffff:127.0.0.1]:80", "tcp:[::ffff:0.0.0.0]:81"];
    both(
        || Tool::subject(&["80/tcp", "81/tcp"], &command, "expose: [80/tcp, 81/tcp]\nwatch: 1s"),
        |seen| {
            assert_eq!(seen.findings()[0], "fail loopback-only 80/tcp listener :2", "{seen}");
            assert!(!seen.findings().iter().any(|it| it.contains("81/tcp")), "{seen}");
            assert_eq!(addresses(seen.row("80/tcp")), ["127.0.0.1"], "{seen}");
            assert_eq!(addresses(seen.row("81/tcp")), ["0.0.0.0"], "{seen}");
        },
    );
}

#[test]
fn the_owners_of_a_port_are_those_that_hold_it_now() {
    let command = [
        // Two processes, each with a socket of its own.
        "child:reuse:0.0.0.0:80",
        "child:reuse:0.0.0.0:80",
        // Handed over by a parent that goes on, and by one that ends.
        "handed:0.0.0.0:81",
        "child:handed:0.0.0.0:82",
    ];
    both(
        || Tool::subject(&[], &command, "expose: []\nready: { port: 82/tcp }\nwatch: 1s"),
        |seen| {
            seen.is(
                "fail",
                &[
                    "fail unlisted-listener 80/tcp listener :2",
                    "fail unlisted-listener 81/tcp listener :2",
                    "fail unlisted-listener 82/tcp listener :2",
                ],
            );
            for (port, number) in [("80/tcp", 2), ("81/tcp", 1), ("82/tcp", 1)] {
                let owners = owners(seen.row(port));
                assert_eq!(owners.len(), number, "{port}: {seen}");
                assert!(owners.iter().all(|(_, pid)| *pid > 1), "{port}: {seen}");
            }
        },
    );
}

/// MPTCP listens as TCP; raw and packet sockets have a number of their own instead of a port.
#[test]
fn every_protocol_is_seen_with_its_owner() {
    let protocols = std::fs::read_to_string("/proc/net/protocols").unwrap();
    let mut command = vec![
        "tcp:0.0.0.0:80",
        "mptcp:0.0.0.0:81",
        "mptcp:[::]:82",
        "raw:0.0.0.0:253",
        "raw:0.0.0.0:254",
        "raw:[::]:254",
        "packet:3",
        "packet:35020",
    ];
    let mut expected = vec![
        "fail unlisted-listener 3/packet listener :2",
        "fail unlisted-listener 82/tcp listener :2",
        "fail unlisted-listener 254/raw listener :2",
    ];
    // Kernels of late have none.
    let has_udp_lite = protocols.contains("UDP-Lite");
    if has_udp_lite {
        command.extend(["udplite:0.0.0.0:70", "udplite:[::]:71", "udplite:127.0.0.1:72"]);
        expected.insert(1, "fail unlisted-listener 71/udplite listener :2");
        expected.push("note loopback-listener 72/udplite listener :2");
    }
    let rest = "expose: [80/tcp, 81/tcp, 70/udplite, 253/raw, 35020/packet]\nwatch: 1s\n\
                run:\n  cap_add: [NET_RAW]";
    let rest = if has_udp_lite { rest.to_owned() } else { rest.replace(" 70/udplite,", "") };
    both(
        || Tool::subject(&["80/tcp", "81/tcp"], &command, &rest),
        |seen| {
            seen.is("fail", &expected);
            assert_eq!(owners(seen.row("81/tcp")), [("listener", 1)], "{seen}");
            assert_eq!(addresses(seen.row("254/raw")), ["0.0.0.0", "::"], "{seen}");
            assert!(seen.stdout.contains("takes every packet of IP protocol 254"), "{seen}");
            assert!(seen.stdout.contains("(pid 1, uid 0) takes every frame by a packet"), "{seen}");
            let tables = seen.spec()["evidence"]["tables"].to_string();
            assert_eq!(tables.contains("net/udplite"), has_udp_lite, "{seen}");
        },
    );
}

#[test]
fn what_a_health_check_opens_is_the_containers() {
    let check = "HEALTHCHECK --interval=1s --timeout=5s CMD [\"/listener\", \"tcp:0.0.0.0:81\", \"exit:0@300\"]";
    let image = engine::fixture_with(&["80/tcp"], &[check]);
    let spec = format!(
        "image: {image}\nrun: {{ command: [\"tcp:0.0.0.0:80\"] }}\nexpose: [80/tcp]\n\
         ready: {{ health: true, within: 30s }}\nwatch: 0s\nscan: listed\n"
    );
    both(
        || Tool::gate(&spec),
        |seen| {
            seen.is("fail", &["fail unlisted-listener 81/tcp listener :3"]);
            let owners = owners(seen.row("81/tcp"));
            assert!(owners.iter().all(|(name, pid)| *name == "listener" && *pid > 1), "{seen}");
        },
    );
}

#[test]
fn what_is_executed_in_the_container_during_the_watch_is_seen() {
    let image = engine::fixture(&["80/tcp"]);
    let container = Foreign::start(&image, &["tcp:0.0.0.0:80"], HostConfig::default());
    let spec = format!("container: {}\nexpose: [80/tcp]\nwatch: 3s\nscan: off\n", container.id);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let docker = engine::docker();
            let command = ["/listener", "tcp:0.0.0.0:81", "exit:0@300"];
            // Again and again, each for much less than a second, until both looks are over.
            while !is_over.load(Ordering::Relaxed) {
                engine::runtime().block_on(async {
                    let config = ExecConfig {
                        cmd: Some(command.map(str::to_owned).into()),
                        ..ExecConfig::default()
                    };
                    let exec = docker.create_exec(&container.id, config).await.unwrap();
                    let detached = StartExecOptions { detach: true, ..Default::default() };
                    docker.start_exec(&exec.id, Some(detached)).await.unwrap();
                });
                thread::sleep(Duration::from_millis(900));
            }
        });
        let checked = std::panic::catch_unwind(AssertUnwindSafe(|| {
            both(
                || Tool::gate(&spec),
                |seen| {
                    seen.is("fail", &["fail unlisted-listener 81/tcp listener :2"]);
                    assert!(owners(seen.row("81/tcp")).iter().all(|(_, pid)| *pid > 1), "{seen}");
                },
            );
        }));
        is_over.store(true, Ordering::Relaxed);
        checked.unwrap();
    });
}

/// The kernel's counters of sockets do not show it.
#[test]
fn a_listener_that_takes_anothers_place_for_a_moment_is_seen() {
    both(
        || {
            let rest = "expose: [80/tcp]\nwatch: 2500ms\nscan: off";
            Tool::subject(&["80/tcp"], &["moving:0.0.0.0:80+220"], rest)
        },
        |seen| {
            let lost = "fail flapping 80/tcp listener :2";
            seen.is("fail", &[lost, "fail unlisted-listener 81/tcp listener :2"]);
        },
    );
}

#[test]
fn what_a_process_binds_where_dockers_resolver_is_is_seen() {
    both(
        || {
            let rest = "expose: []\nwatch: 1s\nrun:\n  egress: deny";
            Tool::subject(&[], &["tcp:127.0.0.11:80", "udp:127.0.0.11:81"], rest)
        },
        |seen| {
            seen.is(
                "pass",
                &[
                    "note loopback-listener 80/tcp listener :2",
                    "note loopback-listener 81/udp listener :2",
                ],
            );
        },
    );
}

#[test]
fn a_container_whose_first_thread_has_ended_is_looked_at() {
    let image = engine::fixture(&["80/tcp"]);
    let command = ["leaderless", "tcp:0.0.0.0:80", "tcp:0.0.0.0:81"];
    let container = Foreign::start(&image, &command, HostConfig::default());
    both(
        || Tool::gate(&running(&container, "expose: [80/tcp]")),
        |seen| {
            seen.is("fail", &["fail unlisted-listener 81/tcp listener :4"]);
            assert_eq!(owners(seen.row("81/tcp")), [("listener", 1)], "{seen}");
        },
    );
    // The engine takes it for dead already, and would wait ten seconds for its end.
    let pid = container.pid().to_string();
    assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
}

#[test]
fn another_network_namespace_inside_is_never_passed_over() {
    let image = engine::fixture(&["80/tcp"]);
    for apart in
        ["apart:child:tcp:0.0.0.0:90", "apart:tcp:0.0.0.0:90", "child:apart:tcp:0.0.0.0:90"]
    {
        let allowed = Some(vec!["SYS_ADMIN".to_owned()]);
        let host = HostConfig { cap_add: allowed, ..HostConfig::default() };
        let container = Foreign::start(&image, &["tcp:0.0.0.0:80", apart], host);
        // It takes a moment until it is apart.
        thread::sleep(Duration::from_millis(300));
        both(
            || Tool::gate(&running(&container, "expose: [80/tcp]")),
            |seen| {
                seen.is_inconclusive("in another network namespace");
            },
        );
    }
}
