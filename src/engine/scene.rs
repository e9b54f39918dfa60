//! Everything that is made for one spec, and its removal.
//!
//! A thing is noted down *before* the engine is asked to make it, and the request goes on even if
//! nobody waits for it any more: an abandoned create appears seconds later, and must be found then.
//! [`Scene::clear`] removes what was noted down and verifies that it is gone. Containers are
//! killed, never stopped: what they would do at their end is no concern of ours.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use bollard::{
    errors::Error,
    models::{
        ContainerCreateBody, EndpointSettings, HostConfig, HostConfigLogConfig, Mount, MountType,
        NetworkCreateRequest, NetworkingConfig, PortBinding, RestartPolicy, RestartPolicyNameEnum,
    },
    query_parameters::{
        CreateContainerOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    },
};
use futures_util::{StreamExt, future::join_all};
use tokio::{task::JoinHandle, time::timeout};

use super::{
    client::{Engine, clearing, is_missing, patience, request, untrue},
    error::{EngineError, Unfit, chain},
    image::Image,
    inspect::Inspection,
    meter::unending,
    reaper,
};
use crate::{
    foreign,
    record::LeftBehind,
    socket::Port,
    spec::{Egress, PublishMode, Run},
};

/// How many ports portlid publishes by itself: each starts a proxy on the host.
const MOST_PUBLISHED: usize = 256;

/// How many seconds a container gets to end by itself. Podman stops what it is told to remove by
/// force, and waits for ten by default.
pub(super) const KILL_AT_ONCE: i64 = 0;

/// What is made for one spec.
#[derive(Debug)]
pub struct Scene<'a> {
    engine: &'a Engine,
    spec: &'a str,
    containers: Vec<Made>,
    networks: Vec<Made>,
    /// Networks of others that the helper was put on.
    visited: Vec<String>,
}

/// A container or network that was asked for.
#[derive(Debug)]
pub(super) struct Made {
    name: String,
    /// The request that makes it, until it is answered with an id. It goes on even if nobody waits
    /// for it.
    pending: Option<JoinHandle<Result<String, Error>>>,
    /// A container's anonymous volumes.
    volumes: Vec<String>,
}

impl Made {
    /// Something that was surely made.
    pub(super) fn of(name: String) -> Self {
        Self { name, pending: None, volumes: Vec::new() }
    }

    /// Something that is being asked for.
    pub(super) fn new(name: &str, pending: JoinHandle<Result<String, Error>>) -> Self {
        Self { name: name.to_owned(), pending: Some(pending), volumes: Vec::new() }
    }

    /// Waits for the answer, an id. Whoever is dropped while waiting leaves the request to
    /// [`settle`](Self::settle).
    async fn answer(&mut self, what: &str) -> Result<String, EngineError> {
        let Some(pending) = &mut self.pending else { return Ok(String::new()) };
        let answer =
            request(what, patience(), async { pending.await.unwrap_or_else(broken) }).await;
        // An answered request must not be waited for a second time; one that is late must be.
        if !matches!(answer, Err(EngineError::Deadline { .. })) {
            self.pending = None;
        }
        answer
    }

    /// Waits for a request that nobody waits for any more: it may still be carried out. False if
    /// it is not answered even now.
    async fn settle(&mut self) -> bool {
        match self.pending.take() {
            Some(pending) => timeout(removing(), pending).await.is_ok(),
            None => true,
        }
    }
}

/// A request whose task broke: nothing is known of it.
fn broken(_: tokio::task::JoinError) -> Result<String, Error> {
    Err(Error::RequestTimeoutError)
}

/// A container that was started.
#[derive(Clone, Debug)]
pub struct Running {
    /// What the engine said right after the start.
    pub inspection: Inspection,
    /// Just before the start was asked for.
    pub since: Instant,
}

impl<'a> Scene<'a> {
    /// An empty scene for the spec of that name.
    #[must_use]
    pub fn new(engine: &'a Engine, spec: &'a str) -> Self {
        Self { engine, spec, containers: Vec::new(), networks: Vec::new(), visited: Vec::new() }
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &'a Engine {
        self.engine
    }

    /// The spec's name.
    #[must_use]
    pub fn spec(&self) -> &'a str {
        self.spec
    }

    /// Makes a network for the spec's containers.
    ///
    /// # Errors
    ///
    /// If the engine refuses, for example because its pool of addresses is used up.
    pub async fn network(&mut self, egress: Egress) -> Result<String, EngineError> {
        reaper::ensure(self.engine).await;
        let engine = self.engine;
        let name = engine.new_name();
        let config = NetworkCreateRequest {
            name: name.clone(),
            driver: Some("bridge".to_owned()),
            internal: Some(egress == Egress::Deny),
            labels: Some(engine.labels.clone()),
            ..NetworkCreateRequest::default()
        };
        let docker = engine.docker.clone();
        let create = async move { docker.create_network(config).await.map(|made| made.id) };
        self.networks.push(Made::new(&name, tokio::spawn(create)));
        if let Some(made) = self.networks.last_mut() {
            made.answer("create a network").await?;
        }
        // A scout must be a neighbour to see what a neighbour sees.
        engine.join_helper(&name).await?;
        Ok(name)
    }

    /// Puts the helper, if there is one, on the networks of a container that somebody else started.
    ///
    /// # Errors
    ///
    /// If the engine refuses.
    pub async fn visit(&mut self, inspection: &Inspection) -> Result<(), EngineError> {
        for network in &inspection.networks {
            // Where the helper is already.
            if !matches!(network.as_str(), "bridge" | "podman") {
                self.visited.push(network.clone());
                self.engine.join_helper(network).await?;
            }
        }
        Ok(())
    }

    /// Makes and starts a container.
    ///
    /// `network` is one of this scene, with the name by which others reach the container there.
    /// `made` is told the container's id before it is started.
    ///
    /// # Errors
    ///
    /// If the engine cannot make or start it.
    pub async fn start(
        &mut self,
        image: &Image,
        run: &Run,
        network: Option<(&str, Option<&str>)>,
        publish: &PublishMode,
        made: impl FnOnce(&str),
    ) -> Result<Running, EngineError> {
        reaper::ensure(self.engine).await;
        let engine = self.engine;
        let name = engine.new_name();
        let body = body(engine, image, run, network, publish)?;
        let docker = engine.docker.clone();
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let create =
            async move { docker.create_container(Some(options), body).await.map(|made| made.id) };
        self.containers.push(Made::new(&name, tokio::spawn(create)));
        let id = match self.containers.last_mut() {
            Some(made) => made.answer("create the container").await?,
            None => String::new(),
        };
        made(&id);
        let since = Instant::now();
        request("start the container", patience(), engine.docker.start_container(&name, None))
            .await?;
        let inspection = engine.inspect(&name).await?;
        if inspection.id != id {
            let what = format!("inspect container `{name}`");
            return Err(untrue(what, "it answers about another container than it made"));
        }
        if let Some(made) = self.containers.last_mut() {
            made.volumes.clone_from(&inspection.anonymous_volumes);
        }
        Ok(Running { inspection, since })
    }

    /// The last lines of a container's log, escaped and cut. Empty if it cannot be had.
    pub async fn log(&self, container: &str) -> Vec<String> {
        const LINES: usize = 20;
        const WIDTH: usize = 300;
        const MOST_BYTES: usize = 256 * 1024;
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .tail(&LINES.to_string())
            .build();
        let mut stream = unending(self.engine.docker.logs(container, Some(options)));
        let mut bytes: Vec<u8> = Vec::new();
        let read = async {
            while let Some(Ok(output)) = stream.next().await {
                bytes.extend_from_slice(&output.into_bytes());
                if bytes.len() > MOST_BYTES {
                    break;
                }
            }
        };
        // What came in time is better than nothing.
        let _ = timeout(Duration::from_secs(5), read).await;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(LINES)..]
            .iter()
            .map(|line| foreign::shown(line, WIDTH))
            .collect()
    }

    /// Removes everything that was made, and tells what could not be.
    pub async fn clear(self) -> Vec<LeftBehind> {
        let engine = self.engine;
        let limit = clearing(engine.is_stalled());
        let why = format!("the engine took longer than {} s", limit.as_secs());
        let containers =
            self.containers.iter().map(|made| container_left(engine, &made.name, &why));
        let networks = self.networks.iter().map(|made| network_left(engine, &made.name, &why));
        let all = containers.chain(networks).collect();
        timeout(limit, self.clear_all()).await.unwrap_or_else(|_| {
            engine.note_stalled();
            all
        })
    }

    async fn clear_all(self) -> Vec<LeftBehind> {
        let engine = self.engine;
        let removals = self.containers.into_iter().map(|made| remove_container(engine, made));
        let mut left: Vec<LeftBehind> = join_all(removals).await.into_iter().flatten().collect();
        for network in &self.visited {
            engine.part_helper(network).await;
        }
        for network in self.networks {
            engine.part_helper(&network.name).await;
            left.extend(remove_network(engine, network).await);
        }
        left
    }
}

/// How long removing one thing may take, all tries together.
pub(super) fn removing() -> Duration {
    patience().min(Duration::from_secs(20))
}

/// What is asked of the engine.
fn body(
    engine: &Engine,
    image: &Image,
    run: &Run,
    network: Option<(&str, Option<&str>)>,
    publish: &PublishMode,
) -> Result<ContainerCreateBody, EngineError> {
    let bindings = bindings(image, publish)?;
    let exposed: Vec<String> = bindings.keys().cloned().collect();
    let memory = i64::try_from(run.memory).ok();
    let host_config = HostConfig {
        memory,
        // No swap beside it: a memory hog is to end, not to grind.
        memory_swap: memory,
        pids_limit: Some(i64::from(run.pids)),
        port_bindings: (!bindings.is_empty()).then_some(bindings),
        publish_all_ports: Some(false),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        cap_add: (!run.cap_add.is_empty()).then(|| run.cap_add.clone()),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), "8m".to_owned()),
                ("max-file".to_owned(), "1".to_owned()),
            ])),
        }),
        tmpfs: (!run.tmpfs.is_empty()).then(|| {
            run.tmpfs
                .iter()
                .map(|mount| {
                    let (path, options) = mount.split_once(':').unwrap_or((mount, ""));
                    (path.to_owned(), options.to_owned())
                })
                .collect()
        }),
        mounts: (!run.volumes.is_empty()).then(|| {
            run.volumes
                .iter()
                .map(|volume| Mount {
                    typ: Some(MountType::BIND),
                    source: Some(volume.source.display().to_string()),
                    target: Some(volume.target.clone()),
                    read_only: Some(volume.read_only),
                    ..Mount::default()
                })
                .collect()
        }),
        network_mode: network.map(|(name, _)| name.to_owned()),
        ..HostConfig::default()
    };
    let networking_config = network.map(|(name, alias)| NetworkingConfig {
        endpoints_config: Some(HashMap::from([(
            name.to_owned(),
            EndpointSettings {
                aliases: alias.map(|alias| vec![alias.to_owned()]),
                ..EndpointSettings::default()
            },
        )])),
    });
    Ok(ContainerCreateBody {
        image: Some(image.id.clone()),
        cmd: run.command.clone(),
        entrypoint: run.entrypoint.clone(),
        env: (!run.env.is_empty())
            .then(|| run.env.iter().map(|(key, value)| format!("{key}={value}")).collect()),
        user: run.user.clone(),
        hostname: run.hostname.clone(),
        stop_timeout: Some(KILL_AT_ONCE),
        labels: Some(engine.labels.clone()),
        exposed_ports: (!exposed.is_empty()).then_some(exposed),
        host_config: Some(host_config),
        networking_config,
        ..ContainerCreateBody::default()
    })
}

/// What is bound on the host. Never an empty list for a port: Docker 20.10 then reports another
/// port's bindings twice.
fn bindings(
    image: &Image,
    publish: &PublishMode,
) -> Result<HashMap<String, Option<Vec<PortBinding>>>, EngineError> {
    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    let wanted: Vec<(Port, IpAddr, u16)> = match publish {
        PublishMode::None => Vec::new(),
        PublishMode::All if image.declared.len() > MOST_PUBLISHED => {
            return Err(EngineError::Unfit(Unfit::TooManyPorts(image.declared.len())));
        }
        PublishMode::All => image.declared.iter().map(|&port| (port, LOOPBACK, 0)).collect(),
        PublishMode::List(list) => {
            list.iter().map(|entry| (entry.port, entry.host, entry.host_port)).collect()
        }
    };
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for (port, host, host_port) in wanted {
        bindings.entry(port.to_string()).or_default().get_or_insert_default().push(PortBinding {
            host_ip: Some(host.to_string()),
            host_port: Some(if host_port == 0 { String::new() } else { host_port.to_string() }),
        });
    }
    Ok(bindings)
}

fn container_left(engine: &Engine, name: &str, why: &str) -> LeftBehind {
    LeftBehind {
        what: format!("container `{name}`: {why}"),
        remove_with: format!("{} rm -f -v {name}", engine.name().name),
    }
}

fn network_left(engine: &Engine, name: &str, why: &str) -> LeftBehind {
    LeftBehind {
        what: format!("network `{name}`: {why}"),
        remove_with: format!("{} network rm {name}", engine.name().name),
    }
}

/// Removes a container and its anonymous volumes, and verifies that they are gone.
pub(super) async fn remove_container(engine: &Engine, mut made: Made) -> Vec<LeftBehind> {
    let settled = made.settle().await;
    let Made { name, volumes, .. } = made;
    let left_behind = |why: &str| vec![container_left(engine, &name, why)];
    let deadline = Instant::now() + removing();
    loop {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let removal = engine.docker.remove_container(&name, Some(options));
        let removed = request("remove the container", removing(), removal).await;
        let why = match engine.inspect(&name).await {
            Err(error) if is_missing(&error) && settled => break,
            // It may yet appear: then the reaper finds it.
            Err(error) if is_missing(&error) => {
                return left_behind("the engine has not said what became of it");
            }
            Ok(_) => still_there(&removed),
            Err(error) => chain(&error),
        };
        // Another removal is under way, or the engine is slow: look again.
        if Instant::now() >= deadline {
            return left_behind(&why);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut left = Vec::new();
    for volume in volumes {
        let why = loop {
            let inspect = engine.docker.inspect_volume(&volume);
            match request("inspect the volume", removing(), inspect).await {
                Err(error) if is_missing(&error) => break None,
                Ok(_) => break Some("it is still there".to_owned()),
                Err(error) if Instant::now() >= deadline => break Some(chain(&error)),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        left.extend(why.map(|why| LeftBehind {
            what: format!("volume `{}`: {why}", foreign::shown(&volume, 80)),
            remove_with: format!("{} volume rm {volume}", engine.name().name),
        }));
    }
    left
}

/// Removes a network, and verifies that it is gone.
pub(super) async fn remove_network(engine: &Engine, mut made: Made) -> Option<LeftBehind> {
    let settled = made.settle().await;
    let name = made.name;
    let left_behind = |why: &str| Some(network_left(engine, &name, why));
    let deadline = Instant::now() + removing();
    loop {
        let removal = engine.docker.remove_network(&name);
        let removed = request("remove the network", removing(), removal).await;
        let inspect = engine.docker.inspect_network(&name, None);
        let why = match request("inspect the network", removing(), inspect).await {
            Err(error) if is_missing(&error) && settled => return None,
            Err(error) if is_missing(&error) => {
                return left_behind("the engine has not said what became of it");
            }
            Ok(_) => still_there(&removed),
            Err(error) => chain(&error),
        };
        // "has active endpoints": a container's end takes a moment to be known.
        if Instant::now() >= deadline {
            return left_behind(&why);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Why something is still there after the engine was asked to remove it.
pub(super) fn still_there<T>(removed: &Result<T, EngineError>) -> String {
    match removed {
        Ok(_) => "it is still there".to_owned(),
        Err(error) => chain(error),
    }
}
