//! Runs that are killed at random moments, with their reapers and without.
//!
//! `make chaos N=200` does it 200 times; here it is done 20 times.

use std::{
    collections::HashMap,
    process::Child,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use bollard::{
    models::{ContainerCreateBody, NetworkCreateRequest},
    query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::{engine, harness::Tool};

/// How many runs are killed.
fn times() -> u32 {
    std::env::var("CHAOS_N").map_or(20, |text| text.parse().unwrap())
}

/// A run of four images that takes a few seconds: with a companion, with a network of its own, with
/// a volume, and from a scout every other time.
fn run(number: u32) -> Tool {
    let image = engine::fixture(&["80/tcp"]);
    let with_volume = engine::fixture_with(&["80/tcp"], &["VOLUME /data"]);
    let spec = |image: &str, rest: &str| {
        format!(
            "image: {image}\nrun: {{ command: [\"tcp:0.0.0.0:80\"]{rest} }}\nexpose: [80/tcp]\n\
             watch: 1s\nscan: listed\n"
        )
    };
    let tool = Tool::new(&["test", "--jobs", "4"])
        .file("specs/a.yaml", &spec(&image, ""))
        .file("specs/b.yaml", &spec(&with_volume, ""))
        .file("specs/c.yaml", &spec(&image, ", egress: deny"))
        .file(
            "specs/d.yaml",
            &format!("{}needs: {{ db: {{ image: {image} }} }}\n", spec(&image, "")),
        );
    if number % 2 == 1 { tool.args(&["--look", "scout"]) } else { tool }
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // It may have ended by itself.
    let _ = kill_process(pid, Signal::KILL);
}

/// The run's reaper, if it has been started.
fn reaper_of(pid: u32) -> Option<u32> {
    let children = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let child: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
        let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()?;
        let line = std::fs::read_to_string(format!("/proc/{child}/cmdline")).ok()?;
        (parent == pid && line.contains("__portlid-reaper")).then_some(child)
    });
    children.into_iter().next()
}

/// A moment of a run, a different one for each number: spread evenly over three seconds.
fn moment(number: u32) -> Duration {
    Duration::from_millis(u64::from(number.wrapping_mul(1237) % 3000))
}

/// Kills the run at its moment; the time at which that was.
fn killed(mut child: Child, number: u32, with_reaper: bool) -> Instant {
    sleep(moment(number));
    if with_reaper && let Some(reaper) = reaper_of(child.id()) {
        kill(reaper);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // A reaper that was started meanwhile is left its work; that is what it is for.
    Instant::now()
}

/// Things of others that look like portlid's.
struct LookAlikes {
    containers: Vec<String>,
    network: String,
}

impl LookAlikes {
    fn make() -> Self {
        let image = engine::fixture(&[]);
        let label = |pairs: &[(&str, &str)]| -> HashMap<String, String> {
            pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let run = "0123456789abcdef";
        let owner = "00000000-0000-4000-8000-000000000000:1:1";
        let all =
            [("dev.portlid.run", run), ("dev.portlid.owner", owner), ("dev.portlid.expires", "1")];
        let labels = [
            label(&[]),
            label(&[("dev.portlid", run)]),
            label(&[("dev.portlid.runs", run)]),
            label(&[("dev.portlid.run", "")]),
            label(&[("dev.portlid.run", run)]),
            label(&all[..2]),
            label(&all[1..]),
            label(&[all[0], all[2]]),
            label(&[all[0], ("dev.portlid.owner", "me"), all[2]]),
            // All labels, but no name that portlid gives.
            label(&all),
        ];
        let docker = engine::docker();
        // Two tests of this process make some at the same time.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mine = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        engine::runtime().block_on(async {
            let mut containers = Vec::new();
            for (index, labels) in labels.iter().enumerate() {
                for kind in ["portlid", "web"] {
                    let name = format!("{kind}-chaos-{mine}-{index}");
                    let body = ContainerCreateBody {
                        image: Some(image.clone()),
                        cmd: Some(vec!["sleep".to_owned()]),
                        labels: Some(labels.clone()),
                        ..ContainerCreateBody::default()
                    };
                    let options = CreateContainerOptionsBuilder::default().name(&name).build();
                    docker.create_container(Some(options), body).await.unwrap();
                    containers.push(name);
                }
            }
            let network = format!("portlid-chaos-{mine}");
            let request = NetworkCreateRequest {
                name: network.clone(),
                labels: Some(label(&all)),
                ..NetworkCreateRequest::default()
            };
            docker.create_network(request).await.unwrap();
            Self { containers, network }
        })
    }

    /// Those that are gone.
    fn missing(&self) -> Vec<String> {
        let docker = engine::docker();
        engine::runtime().block_on(async {
            let mut missing = Vec::new();
            for name in &self.containers {
                if docker.inspect_container(name, None).await.is_err() {
                    missing.push(name.clone());
                }
            }
            if docker.inspect_network(&self.network, None).await.is_err() {
                missing.push(self.network.clone());
            }
            missing
        })
    }
}

impl Drop for LookAlikes {
    fn drop(&mut self) {
        let docker = engine::docker();
        engine::runtime().block_on(async {
            for name in &self.containers {
                let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
                let _ = docker.remove_container(name, Some(options)).await;
            }
            let _ = docker.remove_network(&self.network).await;
        });
    }
}

/// Does `job` for each number, four at a time.
fn in_parallel(count: u32, job: impl Fn(u32) + Sync) {
    let next = Mutex::new(0..count);
    scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(number) = next.lock().unwrap().next() else { return };
                    job(number);
                }
            });
        }
    });
}

#[test]
fn what_is_killed_leaves_nothing_and_others_are_not_touched() {
    let others = LookAlikes::make();
    let volumes = engine::volumes();
    let runs = Mutex::new(Vec::new());
    in_parallel(times(), |number| {
        let tool = run(number);
        let child = tool.spawn();
        let pid = child.id();
        let at = killed(child, number, false);
        runs.lock().unwrap().push((number, pid, at));
    });
    for (number, pid, at) in runs.into_inner().unwrap() {
        // What the engine finishes late may appear after it was once empty.
        sleep(Duration::from_secs(15).saturating_sub(at.elapsed()));
        let left = engine::made_by(pid);
        assert!(left.is_empty(), "run {number}, killed after {:?}: {left:?}", moment(number));
    }
    // Other tests may have volumes of their own at the moment.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let stray: Vec<String> =
            engine::volumes().into_iter().filter(|it| !volumes.contains(it)).collect();
        if stray.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "volumes: {stray:?}");
        sleep(Duration::from_secs(1));
    }
    assert_eq!(others.missing(), Vec::<String>::new());
}

#[test]
fn what_dead_reapers_leave_the_next_run_removes() {
    let others = LookAlikes::make();
    let pids = Mutex::new(Vec::new());
    in_parallel(times() / 4, |number| {
        let tool = run(number);
        let child = tool.spawn();
        pids.lock().unwrap().push(child.id());
        killed(child, number, true);
    });
    let pids = pids.into_inner().unwrap();
    // An abandoned create may appear late.
    sleep(Duration::from_secs(4));
    let image = engine::fixture(&[]);
    let spec = format!("image: {image}\nrun: {{ command: [sleep] }}\nexpose: []\nwatch: 0s\n");
    let next = Tool::gate(&spec).run();
    next.is("pass", &[]);
    for pid in pids {
        assert_eq!(engine::made_by(pid), Vec::<String>::new(), "{next}");
    }
    assert_eq!(others.missing(), Vec::<String>::new());
}

/// Thirty creates at once, and the run is killed when the first is answered: the engine finishes the
/// others later, for nobody.
#[test]
fn creates_that_nobody_waits_for_are_found_later() {
    let image = engine::fixture(&[]);
    let spec = format!("image: {image}\nrun: {{ command: [sleep] }}\nexpose: []\nwatch: 20s\n");
    let mut runs = Vec::new();
    for _ in 0..times().div_ceil(20) {
        let tool = (0..30).fold(Tool::new(&["test", "--jobs", "30"]), |tool, number| {
            tool.file(&format!("specs/{number}.yaml"), &spec)
        });
        let mut child = tool.spawn();
        let deadline = Instant::now() + Duration::from_secs(60);
        while engine::made_by(child.id()).is_empty() {
            assert!(Instant::now() < deadline, "nothing is made");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        runs.push((child.id(), Instant::now()));
    }
    for (pid, at) in runs {
        sleep(Duration::from_secs(30).saturating_sub(at.elapsed()));
        assert_eq!(engine::made_by(pid), Vec::<String>::new());
    }
}

/// The sweep of one run never takes what another has just made, however they overlap.
#[test]
fn runs_beside_each_other_leave_each_other_alone() {
    in_parallel(8, |number| {
        let seen = run(number).run();
        assert_eq!(seen.code, Some(0), "{seen}");
    });
}

#[test]
fn clean_removes_what_is_dead_and_says_so() {
    let tool = run(0);
    let child = tool.spawn();
    let pid = child.id();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !engine::made_by(pid).iter().any(|it| it.contains("RUNNING")) {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(20));
    }
    // A live run's things are not for it.
    let dry = Tool::new(&["clean", "--dry-run"]).run();
    assert_eq!(dry.code, Some(0), "{dry}");
    killed(child, 0, true);
    sleep(Duration::from_secs(4));
    // Another test's run may have been quicker: then there is nothing to remove any more.
    let cleaned = Tool::new(&["clean"]).run();
    assert_eq!(cleaned.code, Some(0), "{cleaned}");
    assert_eq!(engine::made_by(pid), Vec::<String>::new(), "{cleaned}");
    let again = Tool::new(&["clean", "--engine", "unix:///nowhere"]).run();
    assert_eq!(again.code, Some(3), "{again}");
    assert!(again.stderr.contains("/nowhere"), "{again}");
}
