//! a, b, f: containers that are started, looked at and removed.
//!
//! The others do nothing but start, inspect and remove; portlid also looks. What it may need more is
//! what the look may cost.

use std::{
    collections::HashMap,
    process::{Command, ExitCode},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use bollard::{
    Docker,
    models::{ContainerCreateBody, HostConfig, PortBinding},
    query_parameters::RemoveContainerOptionsBuilder,
};

use crate::{
    engine::{docker, runtime},
    measure::{here, run, run_anyhow, take_turns},
    stage::{Stage, portlid},
    table::{Allowed, Row, median},
};

/// How many specs a run has.
const SPECS: usize = 24;
/// How many `docker run` at a time.
const AT_A_TIME: usize = 8;

/// Creates a container as portlid would, published on loopback; starts, inspects and removes it.
async fn life(docker: &Docker, image: &str) {
    let loopback = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: None };
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        host_config: Some(HostConfig {
            port_bindings: Some(HashMap::from([("80/tcp".to_owned(), Some(vec![loopback]))])),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let id = docker.create_container(None, body).await.unwrap().id;
    docker.start_container(&id, None).await.unwrap();
    docker.inspect_container(&id, None).await.unwrap();
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    docker.remove_container(&id, Some(options)).await.unwrap();
}

/// The same by a process of its own.
pub(crate) fn live_once(image: &str) -> ExitCode {
    runtime().block_on(life(&docker(), image));
    ExitCode::SUCCESS
}

/// a: one spec that is ready at once.
pub(crate) fn one(stage: &Stage, pairs: usize) -> Vec<Row> {
    let folder = stage.specs(1, "0s");
    let client = docker();
    let myself = std::env::current_exe().unwrap();
    let turns = take_turns(
        pairs,
        &mut [
            &mut || run(&mut portlid(folder.path(), &["test", "specs"])).seconds,
            &mut || here(|| runtime().block_on(life(&client, &stage.image))).1,
            &mut || run(Command::new(&myself).args(["life", &stage.image])).seconds,
        ],
    );
    let what = "one spec that is ready at once, nothing watched further";
    vec![
        Row::times(
            what,
            "create, start, inspect, remove by a client that is connected",
            &turns[0],
            &turns[1],
            Allowed::Times(1.15),
        ),
        Row::times(
            what,
            "the same calls by a process that starts for them",
            &turns[0],
            &turns[2],
            Allowed::Anything,
        ),
    ]
}

/// `docker run`, `docker inspect` and `docker rm`, for so many containers, some at a time.
fn by_hand(image: &str) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < SPECS {
                    let started = run(Command::new("docker").args(["run", "-d", "-P", image]));
                    let id = started.stdout.trim();
                    run(Command::new("docker").args(["inspect", id]));
                    run(Command::new("docker").args(["rm", "-fv", id]));
                }
            });
        }
    });
}

/// b: many specs.
pub(crate) fn many(stage: &Stage, pairs: usize) -> Vec<Row> {
    let folder = stage.specs(SPECS, "0s");
    let turns = take_turns(
        pairs,
        &mut [
            &mut || run(&mut portlid(folder.path(), &["test", "specs"])).seconds,
            &mut || here(|| by_hand(&stage.image)).1,
            &mut || run(&mut portlid(folder.path(), &["test", "specs", "--look", "scout"])).seconds,
        ],
    );
    let against =
        format!("{SPECS} times `docker run -d -P`, `inspect`, `rm -fv`, {AT_A_TIME} at a time");
    vec![
        Row::times(
            format!("{SPECS} specs, looked at from here"),
            &against,
            &turns[0],
            &turns[1],
            Allowed::Times(1.1),
        ),
        Row::times(
            format!("{SPECS} specs, looked at by a scout"),
            &against,
            &turns[2],
            &turns[1],
            Allowed::Times(1.2),
        ),
    ]
}

/// f: how many at a time. Prints a table of its own.
///
/// A run may be inconclusive, where so many at a time are too many for the machine: that is what the
/// table is to show.
pub(crate) fn jobs(stage: &Stage, pairs: usize) {
    const JOBS: [&str; 5] = ["1", "2", "4", "8", "16"];
    let folder = stage.specs(SPECS, "0s");
    let mut runs = JOBS.map(|jobs| {
        let folder = folder.path();
        move || {
            let mut command = portlid(folder, &["test", "specs", "--jobs", jobs]);
            let (took, output) = run_anyhow(&mut command);
            (took.seconds, output.status.success())
        }
    });
    let mut contenders: Vec<&mut dyn FnMut() -> (f64, bool)> = Vec::new();
    for run in &mut runs {
        contenders.push(run);
    }
    let rounds = pairs.div_ceil(3);
    let turns = take_turns(rounds, &mut contenders);
    println!("\n| `--jobs` | {} |", JOBS.join(" | "));
    println!("|---|{}", "---|".repeat(JOBS.len()));
    let cells = |cell: fn(&[(f64, bool)]) -> String| {
        turns.iter().map(|of| cell(of)).collect::<Vec<_>>().join(" | ")
    };
    let seconds = cells(|of| {
        let seconds: Vec<f64> = of.iter().map(|(seconds, _)| *seconds).collect();
        format!("{:.2} s", median(&seconds))
    });
    let passed = cells(|of| of.iter().filter(|(_, passed)| *passed).count().to_string());
    println!("| {SPECS} specs | {seconds} |");
    println!("| runs that passed, of {rounds} | {passed} |");
}
