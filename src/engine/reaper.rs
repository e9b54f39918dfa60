//! The reaper: a detached child of the run that outlives it.
//!
//! It holds a pipe to the run. When the pipe breaks, for whatever reason, it removes everything
//! with the run's label, looks again for what the engine finishes late, and ends. The run says
//! good-bye when all is verified to be gone; then there is nothing to do.
//!
//! It is portlid's own executable, started once more with a variable set. Only a program that
//! answers to that (portlid itself, and tests with [`harness::main`](crate::harness::main)) has
//! one: any other would run its own `main` a second time.

use std::{
    collections::HashMap,
    io::{Read, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use bollard::{
    Docker,
    query_parameters::{
        ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder,
        RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
    },
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{
    archive::REPOSITORY,
    client::{Engine, open},
    endpoint::Endpoint,
    labels::RUN,
};

/// The variable that makes portlid's executable a reaper.
const VARIABLE: &str = "PORTLID_REAPER";
/// What the run says when nothing is left to do.
const GOOD_BYE: &[u8] = b"good bye";
/// For how long late creates are looked for. An abandoned create was seen to appear within 3 s.
const LATE: Duration = Duration::from_secs(12);
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
}

/// The run's end of the pipe.
#[derive(Debug)]
pub(super) struct Reaper {
    child: Child,
}

/// Starts the run's reaper, once. Without one the run still cleans up after itself.
pub(super) async fn ensure(engine: &Engine) {
    engine.reaper.get_or_init(|| async { start(engine) }).await;
}

fn start(engine: &Engine) -> Option<Reaper> {
    if !ENABLED.load(Ordering::Relaxed) {
        return None;
    }
    let orders = Orders { endpoint: engine.endpoint.clone(), run: engine.run().to_owned() };
    let child = Command::new(std::env::current_exe().ok()?)
        .env(VARIABLE, serde_json::to_string(&orders).ok()?)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Signals to the run's group are not for it.
        .process_group(0)
        .spawn()
        .ok()?;
    Some(Reaper { child })
}

impl Engine {
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

/// If this process was started as a reaper: does its work, and returns true.
#[must_use]
pub fn serve() -> bool {
    let Ok(orders) = std::env::var(VARIABLE) else { return false };
    // A session of its own: the end of the terminal or of the CI step is not its end.
    let _ = rustix::process::setsid();
    let Ok(orders) = serde_json::from_str::<Orders>(&orders) else { return true };
    let mut said = Vec::new();
    let _ = std::io::stdin().read_to_end(&mut said);
    if said == GOOD_BYE {
        return true;
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return true;
    };
    runtime.block_on(async {
        let _ = timeout(LIFETIME, reap(&orders)).await;
    });
    true
}

async fn reap(orders: &Orders) {
    let Ok(docker) = open(&orders.endpoint) else { return };
    let label = format!("{RUN}={}", orders.run);
    let begun = Instant::now();
    while begun.elapsed() < LATE {
        let sweep = async {
            sweep(&docker, &label).await;
            untag(&docker, &orders.run).await;
        };
        let _ = timeout(Duration::from_secs(30), sweep).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Removes every container and network with the label.
async fn sweep(docker: &Docker, label: &str) {
    let filters = HashMap::from([("label".to_owned(), vec![label.to_owned()])]);
    let all = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    for id in docker.list_containers(Some(all)).await.into_iter().flatten().filter_map(|it| it.id) {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let _ = docker.remove_container(&id, Some(options)).await;
    }
    let networks = ListNetworksOptionsBuilder::default().filters(&filters).build();
    for id in
        docker.list_networks(Some(networks)).await.into_iter().flatten().filter_map(|it| it.id)
    {
        let _ = docker.remove_network(&id).await;
    }
}

/// Removes the tags under which the run loaded archives.
async fn untag(docker: &Docker, run: &str) {
    let filters = HashMap::from([("reference".to_owned(), vec![REPOSITORY.to_owned()])]);
    let images = ListImagesOptionsBuilder::default().filters(&filters).build();
    let ours = format!("{REPOSITORY}:{run}-");
    let images = docker.list_images(Some(images)).await.unwrap_or_default();
    for tag in images.into_iter().flat_map(|image| image.repo_tags) {
        // Podman puts a registry in front.
        if tag.rsplit('/').next().is_some_and(|tag| tag.starts_with(&ours)) {
            let options = RemoveImageOptionsBuilder::default().build();
            let _ = docker.remove_image(&tag, Some(options), None).await;
        }
    }
}
