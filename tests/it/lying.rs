//! A lying engine: a proxy before the real one that drops, stalls, drips, cuts, garbles, refuses,
//! swaps, repeats and never ends its answers to one call at a time.
//!
//! Whatever it does, nothing passes but what was seen in truth, nothing fails that did not, every
//! run ends in time and says what it waited for, and nothing is left in the engine.

mod proxy;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::Mutex,
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use self::proxy::{Call, Fault, Lie, Proxy};
use crate::{
    engine::{self, Foreign},
    harness::{Seen, Tool},
};

/// How long a request may take, in seconds, where the fault is one that never ends. On a machine that
/// is too busy to start a container meanwhile, the cell is tried again with more.
const PATIENCE: [u64; 3] = [2, 6, 18];
/// The same where nothing is waited for or tried again.
const LONG_PATIENCE: u64 = 40;
/// What a run may take beyond its deadline, and what a busy machine needs to do anything at all.
const BEYOND: Duration = Duration::from_secs(15 + 15);
/// The most memory that a run may need at any time, in KiB.
const MOST_MEMORY: u64 = 160 * 1024;
/// The same where it packs this executable for a scout, which is large when built for tests.
const MOST_MEMORY_TO_PACK: u64 = 512 * 1024;
/// How many cells are tried at once: they mostly wait.
const AT_ONCE: usize = 8;
/// Tries every call by every fault, and not only what is asked for in every run of the tests.
const ALL: &str = "LYING_ALL";

/// The faults that every call is put through.
const FAULTS: [Fault; 11] = [
    Fault::Drop,
    Fault::Stall,
    Fault::Drip,
    Fault::Truncate,
    Fault::Garble,
    Fault::Status(404),
    Fault::Status(409),
    Fault::Status(429),
    Fault::Status(500),
    Fault::Reset,
    Fault::Endless,
];
/// Faults that some calls are put through.
const MORE_FAULTS: [Fault; 4] = [Fault::Half, Fault::WrongTypes, Fault::Empty, Fault::Status(301)];

fn is_endless(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::Stall | Fault::Half | Fault::Drip | Fault::Freeze | Fault::HugeFrame | Fault::Swap
    )
}

/// A call by a fault.
#[derive(Clone, Copy, Debug)]
struct Cell {
    call: Call,
    fault: Fault,
    look: &'static str,
    /// How many calls are answered truly before.
    after: u32,
    /// Whether the lie is told once, or for as long as the run lasts.
    is_once: bool,
}

/// What the run of a cell came to.
struct Outcome {
    cell: Cell,
    code: i32,
    took: Duration,
    /// The most memory that it needed, in KiB.
    memory: u64,
    why: String,
    faults: Vec<String>,
    was_slow: bool,
}

fn cell(look: &'static str, call: Call, fault: Fault) -> Cell {
    Cell { call, fault, look, after: 0, is_once: false }
}

/// Words of which one must be in the reason: what was being waited for.
fn words(call: Call) -> &'static [&'static str] {
    match call {
        Call::Version => &["answer at `unix://", "container engine at `unix://"],
        Call::ImageInspect => &["inspect image", "image `"],
        Call::Pull => &["pull image", "inspect image"],
        Call::Build => &["build an image"],
        Call::Load => &["load the scout", "image of this executable", "create the scout"],
        Call::Create => &["create the", "another container than it made"],
        Call::Start => &["start the"],
        Call::Inspect => &["inspect container"],
        Call::Logs => &["the container's log", "no line of the log"],
        Call::Attach => &["attach to the scout", "the scout"],
        Call::NetworkCreate => &["create a network"],
        Call::NetworkConnect => &["connect the scout"],
        _ => &[],
    }
}

/// Whether a pass is the truth all the same: nothing that was seen depends on the answer.
fn is_harmless(Cell { call, fault, is_once, .. }: Cell) -> bool {
    if fault == Fault::Twice {
        return true;
    }
    match call {
        // The sweep at the start clears away what dead runs left; the next run does so, too.
        Call::ListContainers | Call::ListNetworks | Call::ListImages => true,
        // It only says which engine it is.
        Call::Version => fault == Fault::Empty,
        // The answer has no content: what was done is seen by another call.
        Call::Start | Call::NetworkConnect => {
            matches!(fault, Fault::Garble | Fault::WrongTypes | Fault::Empty | Fault::Endless)
        }
        // What is gone is verified by another call.
        Call::Delete | Call::NetworkDelete | Call::ImageDelete => true,
        Call::NetworkDisconnect => true,
        // It went with its container; that is only not verified.
        // (The engine's own answer is a 404, whatever its body.)
        Call::VolumeInspect => {
            let is_body = matches!(fault, Fault::Garble | Fault::WrongTypes | Fault::Empty);
            is_once || is_body || fault == Fault::Status(404)
        }
        Call::NetworkInspect => is_once || fault == Fault::Garble,
        // The network is known by its name.
        Call::NetworkCreate => fault == Fault::Swap,
        // The file was read and the image is found by its tag.
        Call::Load => {
            matches!(fault, Fault::Garble | Fault::WrongTypes | Fault::Empty | Fault::Truncate)
        }
        // Slow, but true.
        Call::Logs => fault == Fault::Drip,
        _ => false,
    }
}

/// Whether something may be left behind at the end of the run, for the reaper to remove.
fn may_leave(call: Call) -> bool {
    matches!(
        call,
        Call::Delete
            | Call::NetworkDelete
            | Call::NetworkInspect
            | Call::VolumeInspect
            | Call::ImageDelete
            | Call::NetworkDisconnect
    )
}

/// The spec by which the call is made: a pass in truth, but for lies about what is looked at.
fn tool(Cell { call, fault, look, .. }: Cell, other: &Others, patience: u64) -> Tool {
    let image = if fault == Fault::Swap { &other.leaking } else { &other.clean };
    let leak = if fault == Fault::Swap { ", \"tcp:0.0.0.0:81\"" } else { "" };
    let subject = match call {
        Call::Pull => "image: localhost:1/portlid/none:1".to_owned(),
        Call::Build => "build: web".to_owned(),
        _ => format!("image: {image}"),
    };
    let is_networked = matches!(
        call,
        Call::NetworkCreate
            | Call::NetworkInspect
            | Call::NetworkConnect
            | Call::NetworkDisconnect
            | Call::NetworkDelete
    );
    let egress = if is_networked { ", egress: deny" } else { "" };
    let ready = if call == Call::Logs { "ready: { log: up, within: 10s }\n" } else { "" };
    let spec = format!(
        "{subject}\nrun: {{ command: [\"tcp:0.0.0.0:80\", \"log:up\"{leak}]{egress} }}\n\
         expose: [80/tcp]\nwatch: 100ms\nscan: listed\n{ready}"
    );
    let tool = Tool::gate(&spec)
        .args(&["--look", look])
        .without("DOCKER_HOST")
        .env("DOCKER_CLIENT_TIMEOUT", &patience.to_string());
    if call == Call::Build {
        return tool.file("specs/web/Dockerfile", "FROM scratch\nCOPY none /\n");
    }
    tool
}

/// What lies are about: images, and a container that shows what the spec wants to see.
struct Others {
    clean: String,
    leaking: String,
    container: Foreign,
}

impl Others {
    fn start() -> Self {
        let clean = engine::fixture_with(&["80/tcp"], &["VOLUME /data"]);
        let leaking = engine::fixture_with(&["80/tcp", "81/tcp"], &["VOLUME /data"]);
        let container = Foreign::start(
            &clean,
            &["tcp:0.0.0.0:80", "log:up"],
            bollard::models::HostConfig::default(),
        );
        Self { clean, leaking, container }
    }
}

/// Runs one cell, once more if it did not come to the call.
fn tried(cell: Cell, others: &Others) -> Outcome {
    let is_repeated = may_leave(cell.call) || cell.call == Call::Inspect;
    if !is_endless(cell.fault) && !is_repeated {
        return tried_once(cell, others, LONG_PATIENCE);
    }
    let mut outcome = None;
    for patience in PATIENCE {
        let now = tried_once(cell, others, patience);
        if now.faults.is_empty() || !now.was_slow {
            return now;
        }
        outcome = Some(now);
    }
    outcome.unwrap()
}

/// Runs one cell, and says what is wrong with what came of it.
fn tried_once(cell: Cell, others: &Others, patience: u64) -> Outcome {
    let Cell { call, fault, .. } = cell;
    let tool = tool(cell, others, patience);
    let other = if call == Call::ImageInspect { &others.clean } else { &others.container.id };
    let times = if cell.is_once { 1 } else { u32::MAX };
    let lie = Lie { call, fault, after: cell.after, times, other: other.clone() };
    let proxy = Proxy::start(tool.path(), Some(lie));
    let tool = tool.args(&["--engine", &proxy.url]);
    let begun = Instant::now();
    let child = tool.spawn();
    let pid = child.id();
    let (seen, memory) = scope(|scope| {
        let memory = scope.spawn(|| peak(pid));
        (tool.collect(child), memory.join().unwrap())
    });
    let took = begun.elapsed();
    proxy.repent();
    let mut faults = wrong(cell, &seen, took, patience);
    let most = if cell.look == "scout" { MOST_MEMORY_TO_PACK } else { MOST_MEMORY };
    if !(1..most).contains(&memory) {
        faults.push(format!("needed {memory} KiB"));
    }
    // Something before or behind the lie took longer than a request may.
    let was_slow = proxy.lies() == 0 || seen.stdout.contains(" within ");
    if proxy.lies() == 0 {
        faults.push("the call was never made".to_owned());
    }
    // The reaper asks again what was not answered.
    let deadline = Instant::now() + Duration::from_secs(45);
    let mut left = engine::made_by(pid);
    while !left.is_empty() && Instant::now() < deadline {
        sleep(Duration::from_millis(300));
        left = engine::made_by(pid);
    }
    if !left.is_empty() {
        faults.push(format!("left in the engine: {left:?}"));
    }
    if !faults.is_empty() {
        faults.push(seen.to_string());
    }
    let spec = seen.json.as_ref().map(|json| json["specs"][0].clone()).unwrap_or_default();
    let left = spec["left_behind"][0]["what"].as_str();
    let why = spec["reason"].as_str().or(left).unwrap_or_default().to_owned();
    Outcome { cell, code: seen.code.unwrap_or(-1), took, memory, why, faults, was_slow }
}

/// The most memory that a process needs until it ends, in KiB, as the kernel counts it.
fn peak(pid: u32) -> u64 {
    let mut peak = 0;
    loop {
        // Of one that has ended nothing is told but its name.
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let Some(size) = line.and_then(|it| it.split_whitespace().next()) else { return peak };
        peak = size.parse().unwrap();
        sleep(Duration::from_millis(10));
    }
}

/// What must not be.
fn wrong(cell: Cell, seen: &Seen, took: Duration, patience: u64) -> Vec<String> {
    let mut faults = Vec::new();
    let spec = seen.json.as_ref().map(|json| json["specs"][0].clone()).unwrap_or_default();
    let reason = spec["reason"].as_str().unwrap_or_default();
    match seen.code {
        Some(0) => {
            let evidence = &spec["evidence"];
            let is_whole = evidence["samples"].as_u64() > Some(0)
                && evidence["scanned"].as_u64() > Some(0)
                && evidence["controls"].as_array().is_some_and(|it| !it.is_empty());
            if !is_harmless(cell) || !is_whole || cell.fault == Fault::Swap && !is_harmless(cell) {
                faults.push("a pass".to_owned());
            }
        }
        // A lie about what is looked at hides a leak; whoever finds it all the same is right.
        Some(1) if cell.fault == Fault::Swap => {}
        Some(3) => {
            let words = words(cell.call);
            if !words.is_empty() && !words.iter().any(|it| reason.contains(it)) {
                faults.push(format!("the reason names none of {words:?}: {reason}"));
            }
            if reason.is_empty() {
                faults.push("no reason".to_owned());
            }
        }
        Some(5) if may_leave(cell.call) => {
            let says = |program: &str| {
                let command = format!("remove it with: {program} ");
                seen.stderr.contains(&command) || seen.stdout.contains(&command)
            };
            if !says("docker") && !says("podman") {
                faults.push("no command removes what was left".to_owned());
            }
        }
        code => faults.push(format!("exit code {code:?}")),
    }
    let deadline = if patience == LONG_PATIENCE { 0 } else { patience };
    if took > Duration::from_secs(deadline) + BEYOND {
        faults.push(format!("took {:.1} s", took.as_secs_f64()));
    }
    faults
}

/// Tries every cell, prints the table, and asserts that nothing is wrong.
#[expect(clippy::print_stdout, reason = "`--nocapture` shows the table")]
fn hold(cells: Vec<Cell>) {
    let others = Others::start();
    let next = Mutex::new(cells.into_iter());
    let outcomes = Mutex::new(Vec::new());
    let begun = Instant::now();
    scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(cell) = next.lock().unwrap().next() else { return };
                    let outcome = tried(cell, &others);
                    outcomes.lock().unwrap().push(outcome);
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap();
    outcomes.sort_by_key(|it| format!("{} {:?} {:?}", it.cell.look, it.cell.call, it.cell.fault));
    let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
    let mut table = String::new();
    for Outcome { cell, code, took, memory, why, .. } in &outcomes {
        *counts.entry(*code).or_default() += 1;
        let why: String = why.chars().take(100).collect();
        let _ = writeln!(
            table,
            "{:6} {:18} {:12} exit {code} in {:4.1} s, {:3} MiB  {why}",
            cell.look,
            format!("{:?}{}", cell.call, if cell.after > 0 { " later" } else { "" }),
            format!("{:?}{}", cell.fault, if cell.is_once { " once" } else { "" }),
            took.as_secs_f64(),
            memory / 1024
        );
    }
    println!(
        "{table}{} cells in {:.1} s, by exit code: {counts:?}",
        outcomes.len(),
        begun.elapsed().as_secs_f64()
    );
    let wrong: Vec<String> = outcomes
        .iter()
        .filter(|outcome| !outcome.faults.is_empty())
        .map(|outcome| format!("{:?}: {}", outcome.cell, outcome.faults.join("\n")))
        .collect();
    assert!(wrong.is_empty(), "{} cells:\n{}", wrong.len(), wrong.join("\n\n"));
}

/// Without a lie the same runs pass, so that the tables below mean something.
#[test]
fn the_truth_passes() {
    let others = Others::start();
    for (call, look) in
        [(Call::Logs, "here"), (Call::NetworkCreate, "here"), (Call::Attach, "scout")]
    {
        let tool = tool(cell(look, call, Fault::Drop), &others, 60);
        let proxy = Proxy::start(tool.path(), None);
        let seen = tool.args(&["--engine", &proxy.url]).run();
        seen.is("pass", &[]);
    }
    // And what the swapped answers hide is a leak.
    let tool = tool(cell("here", Call::Inspect, Fault::Swap), &others, 60);
    let proxy = Proxy::start(tool.path(), None);
    let seen = tool.args(&["--engine", &proxy.url]).run();
    assert_eq!(seen.code, Some(1), "{seen}");
}

#[test]
fn no_lie_makes_a_pass() {
    let here = |call: Call, fault: Fault| cell("here", call, fault);
    let mut cells = Vec::new();
    for call in [
        Call::Version,
        Call::ImageInspect,
        Call::Create,
        Call::Start,
        Call::Inspect,
        Call::Logs,
        Call::Delete,
        Call::NetworkCreate,
        Call::NetworkDelete,
        Call::VolumeInspect,
        Call::ListContainers,
        Call::Pull,
        Call::Build,
    ] {
        // These have longer deadlines of their own: registries and compilers may be silent.
        let is_slow = matches!(call, Call::Pull | Call::Build);
        let is_central = matches!(call, Call::ImageInspect | Call::Create | Call::Inspect);
        let all = is_central || std::env::var_os(ALL).is_some();
        let more = MORE_FAULTS.into_iter().filter(|_| all);
        let faults = FAULTS.into_iter().chain(more).filter(|&it| !is_slow || !is_endless(it));
        cells.extend(faults.map(|it| here(call, it)));
    }
    for call in [Call::ListNetworks, Call::ListImages, Call::NetworkInspect] {
        cells.extend(
            [Fault::Drop, Fault::Stall, Fault::Garble, Fault::Endless].map(|it| here(call, it)),
        );
    }
    for call in [Call::ImageInspect, Call::Create, Call::Inspect, Call::Logs, Call::NetworkCreate] {
        cells.push(here(call, Fault::Swap));
        cells.push(here(call, Fault::Twice));
    }
    cells.push(here(Call::Logs, Fault::HugeFrame));
    for call in [Call::Version, Call::ImageInspect, Call::Create, Call::Start, Call::Inspect] {
        cells.push(here(call, Fault::Freeze));
    }
    cells.push(here(Call::Delete, Fault::Freeze));
    // The last look at the container, when all was seen.
    for fault in [Fault::Stall, Fault::Half, Fault::Swap, Fault::Empty, Fault::Status(404)] {
        cells.push(Cell { after: 1, ..here(Call::Inspect, fault) });
    }
    // A lie that is told once is asked again where that is safe.
    for call in [Call::Delete, Call::NetworkDelete, Call::VolumeInspect] {
        for fault in [Fault::Drop, Fault::Reset, Fault::Status(500)] {
            cells.push(Cell { is_once: true, ..here(call, fault) });
        }
    }
    hold(cells);
}

/// The calls that only a scout needs. Making one takes a while, so there are fewer cells.
#[test]
fn no_lie_about_the_scout_makes_a_pass() {
    let all = std::env::var_os(ALL).is_some();
    let attach = [
        Fault::Drop,
        Fault::Stall,
        Fault::Truncate,
        Fault::Garble,
        Fault::Status(500),
        Fault::Reset,
        Fault::Swap,
        Fault::HugeFrame,
        Fault::Endless,
    ];
    let more = [Fault::Half, Fault::Drip, Fault::WrongTypes, Fault::Empty, Fault::Twice];
    let mut cells: Vec<Cell> = attach
        .into_iter()
        .chain(more.into_iter().chain([Fault::Status(404)]).filter(|_| all))
        .map(|fault| cell("scout", Call::Attach, fault))
        .collect();
    for (call, fault) in [
        (Call::Load, Fault::Drop),
        (Call::Load, Fault::Stall),
        (Call::Load, Fault::Status(500)),
        (Call::Load, Fault::Endless),
        (Call::NetworkConnect, Fault::Status(404)),
        (Call::NetworkDisconnect, Fault::Drop),
        (Call::ImageDelete, Fault::Status(404)),
        (Call::ImageDelete, Fault::Status(409)),
        (Call::Inspect, Fault::Freeze),
    ] {
        cells.push(cell("scout", call, fault));
    }
    hold(cells);
}

/// The engine stops in the middle of the watch, and goes on when the run has ended.
#[test]
fn an_engine_that_stops_is_not_waited_for() {
    let image = engine::fixture(&["80/tcp"]);
    let spec = format!(
        "image: {image}\nrun: {{ command: [\"tcp:0.0.0.0:80\"] }}\nexpose: [80/tcp]\nwatch: 4s\nscan: listed\n"
    );
    for &look in engine::ways() {
        let tool = Tool::gate(&spec)
            .args(&["--look", look])
            .without("DOCKER_HOST")
            .env("DOCKER_CLIENT_TIMEOUT", "10");
        let proxy = Proxy::start(tool.path(), None);
        let tool = tool.args(&["--engine", &proxy.url]);
        let child = tool.spawn();
        let pid = child.id();
        let count = if look == "here" { 1 } else { 2 };
        let deadline = Instant::now() + Duration::from_secs(60);
        while engine::made_by(pid).iter().filter(|it| it.contains("RUNNING")).count() < count {
            assert!(Instant::now() < deadline);
            sleep(Duration::from_millis(20));
        }
        sleep(Duration::from_millis(500));
        proxy.freeze();
        let frozen = Instant::now();
        let seen = tool.collect(child);
        assert!(
            frozen.elapsed() < Duration::from_secs(4 + 10) + BEYOND,
            "{:?}\n{seen}",
            frozen.elapsed()
        );
        assert_eq!(seen.code, Some(3), "{seen}");
        let reason = seen.spec()["reason"].as_str().unwrap();
        assert!(["inspect container", "the scout"].iter().any(|it| reason.contains(it)), "{seen}");
        let left = ["docker", "podman"].map(|it| format!("remove it with: {it} rm -f -v portlid-"));
        assert!(left.iter().any(|it| seen.stdout.contains(it)), "{seen}");
        proxy.repent();
        let deadline = Instant::now() + Duration::from_secs(45);
        while !engine::made_by(pid).is_empty() {
            assert!(Instant::now() < deadline, "left: {:?}", engine::made_by(pid));
            sleep(Duration::from_millis(200));
        }
    }
}
