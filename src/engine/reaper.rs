//! The reaper: a detached child of the run that outlives it.
//!
//! It holds a pipe to the run. When the pipe breaks, for whatever reason, it removes everything
//! with the run's label, looks again for what the engine finishes late, and ends. The run says
//! good-bye when all is verified to be gone; then there is nothing to do.
//!
//! It is portlid's own executable, started once more with a variable set. Only a program that
//! answers to that (portlid itself, tests with [`harness::main`](crate::harness::main), and those
//! that say [`scout!`](crate::scout)) has one: any other would run its own `main` a second time.

use std::{
    collections::HashMap,
    io::{Read, Write},
    process::{Child, Command, ExitCode, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use bollard::{
    Docker,
    errors::Error,
    query_parameters::{
        ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder,
        RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
    },
};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{
    archive, client::Engine, connection::open, endpoint::Endpoint, entrance::Entrance, helper,
    labels::RUN, lenient, podman,
};

/// The argument and the variable that together make portlid's executable a reaper. The variable
/// alone, set by accident, must not keep a gate from its work.
const ARGUMENT: &str = "__portlid-reaper";
const VARIABLE: &str = "PORTLID_REAPER";
/// What the run says when nothing is left to do.
const GOOD_BYE: &[u8] = b"good bye";
/// For how long late creates are looked for. An abandoned create was seen to appear within 3 s.
const LATE: Duration = Duration::from_secs(12);
/// How long the engine may take for one thing, before it is asked again.
const PATIENCE: Duration = Duration::from_secs(8);
/// After this the reaper ends, whatever is left.
const LIFETIME: Duration = Duration::from_secs(90);

static ENABLED: AtomicBool = AtomicBool::new(false);

/// Says that this executable calls [`serve`] first thing.
pub fn enable() {
    ENABLED.store(true, Ordering::Relaxed);
}

/// What a reaper must know.
#[derive(Serialize, Deserialize)]
struct Orders {
    endpoint: Endpoint,
    run: String,
    /// The engine itself, where it is a private one.
    service: Option<podman::Traces>,
}

/// The run's end of the pipe.
#[derive(Debug)]
pub(super) struct Reaper {
    child: Child,
}

/// What must be done before anything is made, once: removes what dead runs left, and starts the
/// run's reaper. Without one the run still cleans up after itself.
pub(super) async fn ensure(engine: &Engine) {
    engine.sweep_first().await;
    let reaper = engine.reaper.get_or_init(|| async { start(engine) }).await;
    if reaper.is_none() && ENABLED.load(Ordering::Relaxed) {
        engine.tell("", "there is no reaper: if portlid is killed, its containers stay");
    }
}

fn start(engine: &Engine) -> Option<Reaper> {
    let entrance = Entrance::of_this(ENABLED.load(Ordering::Relaxed))?;
    let orders = Orders {
        endpoint: engine.endpoint.clone(),
        run: engine.run().to_owned(),
        service: engine.service.as_ref().map(podman::Service::traces),
    };
    let child = Command::new(std::env::current_exe().ok()?)
        .args(entrance.arguments(ARGUMENT))
        .env(VARIABLE, serde_json::to_string(&orders).ok()?)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    Some(Reaper { child })
}

impl Engine {
    /// Does what must be done before anything is made, once: removes what dead runs left behind,
    /// and starts the run's reaper. Whatever makes something waits for it by itself.
    pub async fn prepare(&self) {
        ensure(self).await;
    }

    /// Ends the use of the engine. If everything was removed, and that was verified, the reaper is
    /// let go; else it does what it can.
    pub fn end(mut self, is_clean: bool) {
        if !is_clean {
            if let Some(service) = self.service.take() {
                service.leave();
            }
            return;
        }
        if let Some(Some(reaper)) = self.reaper.get_mut() {
            if let Some(mut pipe) = reaper.child.stdin.take() {
                let _ = pipe.write_all(GOOD_BYE);
            }
            let _ = reaper.child.wait();
        }
    }
}

/// If this process was started as a reaper: does its work, and returns how it ended.
#[must_use]
pub fn serve() -> Option<ExitCode> {
    if std::env::args_os().nth(1)? != ARGUMENT {
        return None;
    }
    // A session of its own: neither signals to the run's group nor the end of the terminal or of
    // the CI step are for it. (That needs a process that leads no group yet.)
    let _ = rustix::process::setsid();
    let orders = std::env::var(VARIABLE).ok();
    let Some(orders) = orders.and_then(|text| serde_json::from_str::<Orders>(&text).ok()) else {
        return Some(ExitCode::FAILURE);
    };
    let mut said = Vec::new();
    let _ = std::io::stdin().read_to_end(&mut said);
    if said != GOOD_BYE {
        // Never `None` from here on: that would start a gate.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return Some(ExitCode::FAILURE) };
        runtime.block_on(async {
            let _ = timeout(LIFETIME, reap(&orders)).await;
        });
        if let Some(service) = &orders.service {
            service.end();
        }
    }
    // Nobody reads it; and whoever gets here by mistake must not take it for a pass.
    Some(ExitCode::FAILURE)
}

async fn reap(orders: &Orders) {
    let Ok(docker) = open(&orders.endpoint) else { return };
    let label = format!("{RUN}={}", orders.run);
    let begun = Instant::now();
    loop {
        let are_gone = sweep(&docker, &label, &orders.run).await;
        let are_untagged = untag(&docker, &orders.run).await;
        // An engine that does not answer now may do so later, and what it was asked for be there.
        if are_gone && are_untagged && begun.elapsed() >= LATE {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// What the engine answers, if it does so in time. A request that it lost must not keep the next
/// from being made.
async fn answer<T>(request: impl Future<Output = Result<T, Error>>) -> Option<T> {
    timeout(PATIENCE, request).await.ok()?.ok()
}

/// Removes every container and network with the label; whether the engine says that there is none.
async fn sweep(docker: &Docker, label: &str, run: &str) -> bool {
    // An engine that passes over the filter lists what is not ours.
    let is_ours = |labels: &Option<HashMap<String, String>>| {
        labels.as_ref().and_then(|labels| labels.get(RUN)).is_some_and(|it| it == run)
    };
    let filters = HashMap::from([("label".to_owned(), vec![label.to_owned()])]);
    let all = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let containers = answer(lenient::list(docker, all)).await;
    let mut is_empty = containers.is_some();
    let ours = containers.into_iter().flatten().filter(|it| is_ours(&it.labels));
    let removals = ours.filter_map(|container| container.id).map(|id| async move {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        answer(docker.remove_container(&id, Some(options))).await
    });
    is_empty &= join_all(removals).await.is_empty();
    let networks = ListNetworksOptionsBuilder::default().filters(&filters).build();
    let networks = answer(docker.list_networks(Some(networks))).await;
    is_empty &= networks.is_some();
    let ours = networks.into_iter().flatten().filter(|it| is_ours(&it.labels));
    for id in ours.filter_map(|network| network.id) {
        is_empty = false;
        answer(docker.remove_network(&id)).await;
    }
    is_empty
}

/// Removes the tags under which the run loaded archives and its helper; whether the engine says that
/// there is none.
async fn untag(docker: &Docker, run: &str) -> bool {
    let mut is_empty = true;
    for repository in [archive::REPOSITORY, helper::REPOSITORY] {
        let filters = HashMap::from([("reference".to_owned(), vec![repository.to_owned()])]);
        let images = ListImagesOptionsBuilder::default().filters(&filters).build();
        let ours = format!("{repository}:{run}");
        let images = answer(docker.list_images(Some(images))).await;
        is_empty &= images.is_some();
        for tag in images.into_iter().flatten().flat_map(|image| image.repo_tags) {
            // Podman puts a registry in front.
            if tag.rsplit('/').next().is_some_and(|tag| tag.starts_with(&ours)) {
                is_empty = false;
                let options = RemoveImageOptionsBuilder::default().build();
                answer(docker.remove_image(&tag, Some(options), None)).await;
            }
        }
    }
    is_empty
}
