//! Ways of blinding portlid, through the command line and a real engine, looking from here and
//! through a scout. Each ends inconclusive, with exit code 3, a reason and a hint. Every spec here
//! would pass if nobody blinded it.

use std::{
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use bollard::models::HostConfig;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    engine::{self, Foreign},
    harness::{Seen, Tool},
    liar::{Liar, Lie},
};

/// A gate on an image that listens on 80, as it should; `rest` may say how long it is watched.
fn gate(whom: &str, rest: &str) -> Tool {
    let image = engine::fixture(&["80/tcp"]);
    let spec = format!(
        "image: {image}\nrun: {{ command: [\"tcp:0.0.0.0:80\"] }}\nexpose: [80/tcp]\n{rest}\n"
    );
    Tool::gate(&spec).args(&["--look", whom])
}

/// The same on a container that somebody else started.
fn gate_of(container: &Foreign, whom: &str, rest: &str) -> Tool {
    let spec = format!("container: {}\nexpose: [80/tcp]\n{rest}\n", container.id);
    Tool::gate(&spec).args(&["--look", whom])
}

fn listening() -> Foreign {
    Foreign::start(&engine::fixture(&["80/tcp"]), &["tcp:0.0.0.0:80"], HostConfig::default())
}

/// `docker COMMAND CONTAINER...`
fn docker(arguments: &[&str]) {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// Waits until `is` holds.
#[track_caller]
fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(20));
    }
}

/// Waits until portlid looks at a running container, which it says when it has connected.
fn wait_for_look(child: &Child, containers: usize) {
    let pid = child.id();
    wait_until("it does not look", || {
        let made = engine::made_by(pid);
        made.iter().filter(|it| it.contains("RUNNING")).count() >= containers
            && threads(pid).iter().any(|name| name.starts_with("portlid-look"))
    });
}

/// The names of a process's threads.
fn threads(pid: u32) -> Vec<String> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let names = tasks.flatten().map(|it| std::fs::read_to_string(it.path().join("comm")));
    names.flatten().collect()
}

/// Asserts that it is inconclusive, and prints a row of the table of what was tried.
#[expect(clippy::print_stdout, reason = "`--nocapture` shows the table")]
#[track_caller]
fn told(way: &str, whom: &str, seen: &Seen, because: &str) {
    seen.is_inconclusive(because);
    println!("| {way} | {whom} | {} |", seen.spec()["reason"].as_str().unwrap());
}

/// Without blinding it passes, and shows what that rests on.
#[test]
fn a_pass_shows_its_evidence() {
    for &whom in engine::ways() {
        let seen = gate(whom, "watch: 300ms\nscan: full").args(&["-v"]).run();
        seen.is("pass", &[]);
        let evidence = &seen.spec()["evidence"];
        for (key, value) in [
            ("identified", true),
            ("same_before_and_after", true),
            ("every_process_searched", true),
            ("ended_as_wanted", false),
        ] {
            assert_eq!(evidence[key], value, "{whom} {key}: {evidence}");
        }
        assert_ne!(evidence["counters_agree"], false, "{evidence}");
        assert_eq!(evidence["scanned"], 65_535);
        assert!(evidence["watched_ms"].as_u64().unwrap() >= 300, "{evidence}");
        assert_eq!(evidence["addresses"], evidence["container_addresses"], "{evidence}");
        let own = evidence["namespace_addresses"].as_array().unwrap();
        assert!(own.contains(&evidence["addresses"][0]), "{evidence}");
        let control = evidence["controls"][0].as_str().unwrap();
        assert!(control.starts_with("own listener on port "), "{control}");
        for part in ["identified, the same before and after", "own listener on port ", whom] {
            assert!(seen.stderr.contains(part), "{part}:\n{seen}");
        }
    }
}

/// What the engine may say that is not so.
const LIES: &[(&str, &str, Lie)] = &[
    ("pid 0", "no running process", |_, it| it["State"]["Pid"] = 0.into()),
    ("the pid of another process", "", |_, it| it["State"]["Pid"] = std::process::id().into()),
    ("the pid of the first process", "", |_, it| it["State"]["Pid"] = 1.into()),
    ("no state", "exited", |_, it| it["State"] = serde_json::json!({})),
    ("another id", "", |_, it| it["Id"] = "0".repeat(64).into()),
    ("no network", "no network", |_, it| it["NetworkSettings"] = serde_json::json!({})),
    ("an address that nobody has", "", |_, it| {
        for_each_network(it, |network| network["IPAddress"] = "192.0.2.77".into());
    }),
    ("the address of this machine", "", |_, it| {
        for_each_network(it, |network| network["IPAddress"] = network["Gateway"].clone());
    }),
    ("an address that is none", "no network", |_, it| {
        for_each_network(it, |network| network["IPAddress"] = "here".into());
    }),
    ("one address more that is none", "says `there`", |_, it| {
        for_each_network(it, |network| network["GlobalIPv6Address"] = "there".into());
    }),
    ("a published port that is none", "says `80/ton`", |_, it| {
        it["NetworkSettings"]["Ports"]["80/ton"] = serde_json::json!([]);
    }),
    ("another image", "another image", |_, it| {
        it["Image"] = format!("sha256:{}", "0".repeat(64)).into();
    }),
    ("another namespace", "left the network", |_, it| {
        it["NetworkSettings"]["SandboxKey"] = "/proc/self/ns/net".into();
    }),
    ("afterwards another start", "restarted", |nth, it| {
        if nth > 0 {
            it["State"]["StartedAt"] = "2026-01-01T00:00:00Z".into();
        }
    }),
    ("afterwards another restart", "restarted", |nth, it| {
        if nth > 0 {
            it["RestartCount"] = 1.into();
        }
    }),
    ("afterwards nothing of the state", "restarted", |nth, it| {
        if nth > 0 {
            it["State"] = serde_json::json!({});
        }
    }),
    ("afterwards no networks", "other networks", |nth, it| {
        if nth > 0 {
            it["NetworkSettings"]["Networks"] = serde_json::json!({});
        }
    }),
    ("afterwards one network more", "other networks", |nth, it| {
        if nth > 0 {
            it["NetworkSettings"]["Networks"]["another"] = serde_json::json!({});
        }
    }),
    ("afterwards a pause", "paused", |nth, it| {
        if nth > 0 {
            it["State"]["Paused"] = true.into();
        }
    }),
];

fn for_each_network(
    inspection: &mut serde_json::Value,
    mut change: impl FnMut(&mut serde_json::Value),
) {
    let networks = inspection["NetworkSettings"]["Networks"].as_object_mut().unwrap();
    networks.values_mut().for_each(&mut change);
}

/// The lies of an engine, looking from here.
#[test]
fn an_engine_that_lies_gets_no_pass() {
    for (way, because, lie) in LIES {
        let liar = Liar::telling(*lie);
        let endpoint = liar.endpoint();
        let seen = gate("here", "watch: 0s\nscan: listed\nready: { within: 5s }")
            .args(&["--engine", &endpoint])
            .run();
        // Some lies are no whole answer at all, and are refused as that.
        let reason = seen.spec()["reason"].as_str().unwrap();
        let because = if reason.contains("its answer is not whole") { "" } else { because };
        told(&format!("the engine says: {way}"), "here", &seen, because);
    }
    // The engine itself is not the reason.
    let honest = Liar::telling(|_, _| {});
    let tool = gate("here", "watch: 0s\nscan: listed");
    tool.args(&["--engine", &honest.endpoint()]).run().is("pass", &[]);
}

/// The same, as a scout takes them: those that the place changes.
#[test]
fn an_engine_that_lies_gets_no_pass_from_a_scout() {
    for (way, because, lie) in LIES.iter().filter(|(way, ..)| {
        ["pid 0", "the pid of the first process", "an address that nobody has", "another id"]
            .contains(way)
    }) {
        let liar = Liar::telling(*lie);
        let seen = gate("scout", "watch: 0s\nscan: listed\nready: { within: 5s }")
            .args(&["--engine", &liar.endpoint()])
            .run();
        told(&format!("the engine says: {way}"), "scout", &seen, because);
    }
}

/// The engine knows one container and tells the address of its neighbour.
#[test]
fn a_neighbours_address_gets_no_pass() {
    let neighbour = listening();
    let docker = engine::docker();
    let inspect = docker.inspect_container(&neighbour.id, None);
    let seen = engine::runtime().block_on(inspect).unwrap();
    let networks = seen.network_settings.unwrap().networks.unwrap();
    let network = networks.values().next().unwrap();
    static NEIGHBOUR: std::sync::OnceLock<(String, String)> = std::sync::OnceLock::new();
    NEIGHBOUR.get_or_init(|| {
        (network.ip_address.clone().unwrap(), network.mac_address.clone().unwrap())
    });
    let ways: [(&str, &str, Lie); 2] = [
        ("the address of a neighbour", "", |_, it| {
            let (address, _) = NEIGHBOUR.get().unwrap();
            for_each_network(it, |network| network["IPAddress"] = address.as_str().into());
        }),
        ("all of a neighbour's addresses", "does not have the address", |_, it| {
            let (address, hardware) = NEIGHBOUR.get().unwrap();
            for_each_network(it, |network| {
                network["IPAddress"] = address.as_str().into();
                network["MacAddress"] = hardware.as_str().into();
            });
        }),
    ];
    for (way, because, lie) in ways {
        for &whom in engine::ways() {
            let liar = Liar::telling(lie);
            let seen =
                gate(whom, "watch: 0s\nscan: listed").args(&["--engine", &liar.endpoint()]).run();
            told(way, whom, &seen, because);
        }
    }
}

/// What somebody does to the container while portlid watches it.
#[test]
fn a_container_that_is_meddled_with_gets_no_pass() {
    type Meddle = fn(&str);
    let ways: [(&str, &str, Meddle); 6] = [
        ("restarted", "", |id| docker(&["restart", "-t", "0", id])),
        ("stopped", "exited", |id| docker(&["stop", "-t", "0", id])),
        ("killed", "exited", |id| docker(&["kill", id])),
        ("paused", "is paused", |id| docker(&["pause", id])),
        ("taken off its network", "", |id| docker(&["network", "disconnect", "bridge", id])),
        ("put on another network", "other networks", |id| {
            let name = format!("portlid-test-{id}");
            docker(&["network", "create", &name]);
            docker(&["network", "connect", &name, id]);
        }),
    ];
    std::thread::scope(|scope| {
        for (way, because, meddle) in ways {
            scope.spawn(move || {
                for &whom in engine::ways() {
                    let container = listening();
                    let tool = gate_of(&container, whom, "watch: 4s\nscan: listed");
                    let child = tool.spawn();
                    if whom == "here" {
                        wait_for_look(&child, 0);
                    } else {
                        wait_for_look_of_scout(&child);
                    }
                    meddle(&container.id);
                    let seen = tool.collect(child);
                    let network = format!("portlid-test-{}", container.id);
                    drop(container);
                    let _ = Command::new("docker").args(["network", "rm", &network]).output();
                    told(way, whom, &seen, because);
                }
            });
        }
    });
}

/// Waits until the scout has read the tables, which only its own word would tell: so a moment more.
fn wait_for_look_of_scout(child: &Child) {
    let pid = child.id();
    wait_until("there is no scout", || {
        engine::made_by(pid).iter().any(|it| it.contains("RUNNING"))
    });
    sleep(Duration::from_secs(1));
}

/// Paused before anybody looks: what it would open is not seen.
#[test]
fn a_paused_container_gets_no_pass() {
    let container = listening();
    docker(&["pause", &container.id]);
    for &whom in engine::ways() {
        let seen = gate_of(&container, whom, "watch: 0s\nscan: listed").run();
        told("paused before", whom, &seen, "is paused");
    }
}

/// The same image, started by portlid itself and restarted or removed by others.
#[test]
fn an_image_whose_container_is_meddled_with_gets_no_pass() {
    for (way, arguments) in [
        ("restarted", &["restart", "-t", "0"][..]),
        ("paused", &["pause"]),
        ("removed", &["rm", "-f"]),
    ] {
        let tool = gate("here", "watch: 4s\nscan: listed");
        let child = tool.spawn();
        wait_for_look(&child, 1);
        let container = container_of(child.id());
        docker(&[arguments, &[container.as_str()]].concat());
        let pid = child.id();
        let seen = tool.collect(child);
        told(&format!("portlid's own container {way}"), "here", &seen, "");
        assert_eq!(engine::made_by(pid), Vec::<String>::new());
    }
}

/// The name of the only container that a portlid made.
fn container_of(pid: u32) -> String {
    let made = engine::made_by(pid);
    let [one] = made.as_slice() else { panic!("{made:?}") };
    one.split('"').nth(1).unwrap().trim_start_matches('/').to_owned()
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// Asserts that the look was given up, and that only a whole one was a pass. Prints its row.
#[expect(clippy::print_stdout, reason = "`--nocapture` shows the table")]
#[track_caller]
fn looked_once_more(way: &str, whom: &str, seen: &Seen) {
    assert!(seen.stderr.contains("overloaded: looking once more"), "{way}, {whom}\n{seen}");
    let gap = &seen.spec()["evidence"]["longest_gap_ms"];
    if seen.code == Some(0) {
        assert!(gap.as_u64().unwrap() <= 200, "{way}, {whom}\n{seen}");
    } else {
        seen.is_inconclusive("nobody looked at the tables for");
    }
    println!("| {way} | {whom} | looked once more |");
}

/// Portlid itself is stopped for two seconds: whatever came and went meanwhile, nobody saw it.
#[test]
fn a_look_that_is_stopped_gets_no_pass() {
    let tool = gate("here", "watch: 1s\nscan: listed");
    let child = tool.spawn();
    wait_for_look(&child, 1);
    signal(child.id(), Signal::STOP);
    sleep(Duration::from_secs(2));
    signal(child.id(), Signal::CONT);
    let seen = tool.collect(child);
    looked_once_more("portlid stopped for 2 s", "here", &seen);

    // The scout goes on looking without it; the scout itself must not be stopped.
    let tool = gate("scout", "watch: 4s\nscan: listed");
    let child = tool.spawn();
    wait_until("no scout", || {
        let made = engine::made_by(child.id());
        made.iter().filter(|it| it.contains("RUNNING")).count() == 2
    });
    sleep(Duration::from_millis(700));
    let scout = scout_of(child.id());
    signal(scout, Signal::STOP);
    sleep(Duration::from_millis(1500));
    signal(scout, Signal::CONT);
    let seen = tool.collect(child);
    looked_once_more("the scout stopped for 1.5 s", "scout", &seen);
}

/// The process of a portlid's scout.
fn scout_of(pid: u32) -> u32 {
    let docker = engine::docker();
    let all = engine::runtime()
        .block_on(docker.list_containers(None::<bollard::query_parameters::ListContainersOptions>));
    let ours = all.unwrap().into_iter().find(|container| {
        let owner = container.labels.as_ref().and_then(|it| it.get("dev.portlid.owner"));
        owner.is_some_and(|owner| owner.split(':').nth(1) == Some(&pid.to_string()))
            && container.image.as_ref().is_some_and(|it| it.contains("portlid-scout"))
    });
    let id = ours.unwrap().id.unwrap();
    let seen = engine::runtime().block_on(docker.inspect_container(&id, None)).unwrap();
    u32::try_from(seen.state.unwrap().pid.unwrap()).unwrap()
}

/// Starts a gate by way of a shell that does something before: `"$0" "$@"` is portlid.
fn by_way_of(program: &[&str], script: &str, tool: &Tool) -> Child {
    Command::new(program[0])
        .args(&program[1..])
        .args(["sh", "-c", script])
        .arg(env!("CARGO_BIN_EXE_portlid"))
        .args(["test", "--report", "json=report.json", "--look", "here"])
        .current_dir(tool.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

const QUICK: &str = "watch: 0s\nscan: listed\nready: { within: 5s }";

/// No descriptors left: whatever that breaks first, it is no pass.
#[test]
fn without_descriptors_nothing_passes() {
    for limit in [12, 20] {
        let tool = gate("here", QUICK);
        let child = by_way_of(&["env"], &format!("ulimit -n {limit}; exec \"$0\" \"$@\""), &tool);
        let pid = child.id();
        let seen = tool.collect(child);
        told(&format!("{limit} descriptors"), "here", &seen, "");
        wait_until("left behind", || engine::made_by(pid).is_empty());
    }
}

/// Places from which nothing is seen, or not all of it.
#[test]
fn a_place_from_which_nothing_is_seen_gets_no_pass() {
    // Without these, root reads no more than any other user.
    const WEAK: &str = "setpriv --bounding-set=-sys_ptrace,-dac_override,-dac_read_search";
    for (way, because, program, script) in [
        ("a network of its own", "control failed", &["unshare", "-n"][..], "exec".to_owned()),
        (
            "a network of its own, with loopback",
            "does not surely lead",
            &["unshare", "-n"],
            "ip link set lo up && exec".to_owned(),
        ),
        (
            "processes of its own",
            "no running process",
            &["unshare", "-p", "-f", "--mount-proc"],
            "exec".to_owned(),
        ),
        ("no `/proc`", "", &["unshare", "-m"], "mount -t tmpfs none /proc && exec".to_owned()),
        ("no right to look into processes", "cannot read", &["env"], format!("exec {WEAK}")),
        (
            "`/proc` with hidepid=2",
            "",
            &["unshare", "-m"],
            format!("mount -t proc -o hidepid=2 proc /proc && exec {WEAK}"),
        ),
    ] {
        let image = engine::fixture(&["8080/tcp"]);
        let spec = format!(
            "image: {image}\nrun: {{ command: [\"tcp:0.0.0.0:8080\"], user: \"1234\" }}\n\
             expose: [{{ port: 8080/tcp, process: listener, user: \"1234\" }}]\n{QUICK}\n"
        );
        let tool = Tool::gate(&spec);
        let seen = tool.collect(by_way_of(program, &format!("{script} \"$0\" \"$@\""), &tool));
        told(way, "here", &seen, because);
    }
}

/// A route or a rule of the machine's firewall. Removed when dropped.
struct Obstacle(Vec<String>, Vec<String>);

impl Obstacle {
    fn put(add: &[&str], remove: &[&str]) -> Self {
        let owned = |list: &[&str]| list.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        let output = Command::new(add[0]).args(&add[1..]).output().unwrap();
        assert!(output.status.success(), "{add:?}: {output:?}");
        Self(owned(add), owned(remove))
    }
}

impl Drop for Obstacle {
    fn drop(&mut self) {
        let done = Command::new(&self.1[0]).args(&self.1[1..]).status();
        assert!(std::thread::panicking() || done.unwrap().success(), "{:?} stays", self.0);
    }
}

/// A scan that goes nowhere is not one that finds every port shut. The obstacles are for the
/// container's address alone.
#[test]
fn a_scan_into_the_void_gets_no_pass() {
    let container = listening();
    let docker = engine::docker();
    let inspect = docker.inspect_container(&container.id, None);
    let seen = engine::runtime().block_on(inspect).unwrap();
    let networks = seen.network_settings.unwrap().networks.unwrap();
    let address = networks.values().next().unwrap().ip_address.clone().unwrap();
    let route = format!("{address}/32");
    for kind in ["blackhole", "prohibit", "unreachable"] {
        let change = |what| ["ip", "route", what, kind, route.as_str()];
        let _obstacle = Obstacle::put(&change("add"), &change("del"));
        let seen = gate_of(&container, "here", "watch: 0s\nscan: listed").run();
        told(&format!("a {kind} route"), "here", &seen, "");
    }
    let rule = |what| ["iptables", "-w", what, "OUTPUT", "-d", address.as_str(), "-j", "DROP"];
    let obstacle = Obstacle::put(&rule("-I"), &rule("-D"));
    let seen = gate_of(&container, "here", "watch: 0s\nscan: listed").run();
    told("a firewall that drops", "here", &seen, "");
    drop(obstacle);
    gate_of(&container, "here", "watch: 0s\nscan: listed").run().is("pass", &[]);
}

/// The container ends as it should, but nobody was there to see it.
#[test]
fn an_end_that_nobody_saw_gets_no_pass() {
    let image = engine::fixture(&[]);
    let spec = format!(
        "image: {image}\nrun: {{ command: [\"exit:0@4000\"] }}\nexpose: []\n\
         ready: {{ exit: 0, within: 30s }}\n"
    );
    let tool = Tool::gate(&spec).args(&["--look", "here"]);
    let child = tool.spawn();
    wait_for_look(&child, 1);
    let pid = child.id();
    signal(pid, Signal::STOP);
    wait_until("it does not end", || engine::made_by(pid).iter().all(|it| !it.contains("RUNNING")));
    signal(pid, Signal::CONT);
    let seen = tool.collect(child);
    let way = "portlid stopped while the container ended";
    // An engine that takes its time to say that the container has started: nobody looked yet.
    if seen.stdout.contains("the container exited with status 0") {
        told(way, "here", &seen, "exited");
    } else {
        looked_once_more(way, "here", &seen);
    }
}

/// Without its reaper a run still removes what it made, and verifies that: only then it passes.
#[test]
fn a_killed_reaper_leaves_nothing_behind() {
    let tool = gate("here", "watch: 2s\nscan: listed");
    let child = tool.spawn();
    wait_for_look(&child, 1);
    let pid = child.id();
    let reaper = children(pid)
        .iter()
        .filter_map(|it| it.parse::<u32>().ok())
        .find(|it| {
            let line = std::fs::read_to_string(format!("/proc/{it}/cmdline"));
            line.is_ok_and(|line| line.contains("__portlid-reaper"))
        })
        .unwrap();
    signal(reaper, Signal::KILL);
    let seen = tool.collect(child);
    seen.is("pass", &[]);
    assert_eq!(engine::made_by(pid), Vec::<String>::new());
}

/// The children of all threads of a process.
fn children(pid: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let lists = tasks.filter_map(|it| std::fs::read_to_string(it.path().join("children")).ok());
    lists
        .flat_map(|it| it.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}
