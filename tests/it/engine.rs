//! The fixture images, and what the engine holds.
//!
//! An image is FROM scratch and holds one static binary that opens the sockets it is told to.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock},
};

use bollard::{
    Docker, body_full,
    errors::Error,
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{
        ImportImageOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
        ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
    },
};
use futures_util::StreamExt;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

/// The engine that portlid finds too.
pub(crate) fn docker() -> Docker {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    let host = if host.is_empty() { "unix:///var/run/docker.sock".to_owned() } else { host };
    Docker::connect_with_host(&host).expect("these tests need a container engine: `make engine`")
}

pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap())
}

/// The ways to look that there are: from elsewhere only the scout's. `make matrix` says where this is.
pub(crate) fn ways() -> &'static [&'static str] {
    match std::env::var("PORTLID_TEST_FROM").as_deref() {
        Ok("elsewhere") => &["scout"],
        Ok(other) => panic!("nobody tests from `{other}`"),
        Err(_) => &["here", "scout"],
    }
}

/// The static binary of `tests/fixture`.
pub(crate) fn listener() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fixture");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--release", "--quiet", "--locked", "--target-dir"])
            .arg(&target)
            // Its own configuration links statically.
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixture"))
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .status()
            .unwrap();
        assert!(status.success(), "the fixture does not build");
        target.join("release/listener")
    })
}

/// An image that declares `declared` and runs the listener.
pub(crate) fn fixture(declared: &[&str]) -> String {
    fixture_with(declared, &[])
}

/// The same with more lines of a Dockerfile.
pub(crate) fn fixture_with(declared: &[&str], lines: &[&str]) -> String {
    static MADE: Mutex<Option<HashMap<String, String>>> = Mutex::new(None);
    let mut changes = vec!["ENTRYPOINT [\"/listener\"]".to_owned()];
    changes.extend(declared.iter().map(|port| format!("EXPOSE {port}")));
    changes.extend(lines.iter().map(|&line| line.to_owned()));
    let mut made = MADE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let made = made.get_or_insert_default();
    made.entry(changes.join("\n")).or_insert_with(|| import(&changes)).clone()
}

/// Loads an image that these lines describe. Not imported with `changes`: the client sends several
/// as one, and Podman reads but one of them.
fn import(changes: &[String]) -> String {
    let binary = std::fs::read(listener()).unwrap();
    let root = root(&binary);
    let mut hash = Sha256::new();
    hash.update(&root);
    hash.update(changes.join("\n"));
    let tag: String = hash.finalize()[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    let reference = format!("portlid-fixture:{tag}");
    let docker = docker();
    runtime().block_on(async {
        if docker.inspect_image(&reference).await.is_ok() {
            return;
        }
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let archive = body_full(archive(&reference, &root, changes).into());
        let mut answers = Box::pin(docker.import_image(options, archive, None));
        while let Some(answer) = answers.next().await {
            answer.expect("these tests need a container engine: `make engine`");
        }
    });
    reference
}

/// What `docker save` would write of an image with this one layer and these lines.
fn archive(reference: &str, layer: &[u8], lines: &[String]) -> Vec<u8> {
    let config = serde_json::json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "created": "2024-01-01T00:00:00Z",
        "config": lines.iter().fold(serde_json::json!({}), |config, line| configured(config, line)),
        "history": [{ "created": "2024-01-01T00:00:00Z", "created_by": "these tests" }],
        "rootfs": {
            "type": "layers", "diff_ids": [format!("sha256:{:x}", Sha256::digest(layer))],
        },
    })
    .to_string();
    let name = format!("{:x}.json", Sha256::digest(&config));
    let manifest = serde_json::json!([
        { "Config": name, "RepoTags": [reference], "Layers": ["layer.tar"] }
    ]);
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in [
        (name.as_str(), config.as_bytes()),
        ("layer.tar", layer),
        ("manifest.json", manifest.to_string().as_bytes()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

/// What a line of a Dockerfile adds to an image's configuration.
fn configured(mut config: Value, line: &str) -> Value {
    let (instruction, rest) = line.split_once(' ').unwrap();
    match instruction {
        "CMD" => config["Cmd"] = serde_json::from_str(rest).unwrap(),
        "ENTRYPOINT" => config["Entrypoint"] = serde_json::from_str(rest).unwrap(),
        "EXPOSE" => {
            // As `docker build` does, each port of a range by itself.
            let (ports, protocol) = rest.split_once('/').unwrap();
            let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
            for port in first.parse::<u16>().unwrap()..=last.parse().unwrap() {
                config["ExposedPorts"][format!("{port}/{protocol}")] = serde_json::json!({});
            }
        }
        "LABEL" => {
            let (key, value) = rest.split_once('=').unwrap();
            config["Labels"][key] = value.into();
        }
        "VOLUME" => config["Volumes"][rest] = serde_json::json!({}),
        "HEALTHCHECK" => {
            let (_, command) = rest.split_once("CMD ").unwrap();
            let mut test: Vec<String> = serde_json::from_str(command).unwrap();
            test.insert(0, "CMD".to_owned());
            // Whatever the line says, in nanoseconds: a second.
            config["Healthcheck"] = serde_json::json!({
                "Test": test, "Interval": 1_000_000_000_u64, "Timeout": 1_000_000_000_u64,
            });
        }
        _ => panic!("these tests know no `{instruction}`"),
    }
    config
}

/// The tar of a root file system that holds just the binary, under two names.
fn root(binary: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(binary.len() as u64);
    builder.append_data(&mut header, "listener", binary).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Link);
    header.set_mode(0o755);
    header.set_size(0);
    builder.append_link(&mut header, "helper", "listener").unwrap();
    builder.into_inner().unwrap()
}

/// The answer, as soon as there is one that can be read: while Podman removes something, its lists
/// hold states that Docker does not know, or fail.
async fn settled<T, F: Future<Output = Result<T, Error>>>(ask: impl Fn() -> F) -> T {
    let mut tries = 0;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(_) if tries < 80 => tries += 1,
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
}

/// Containers, networks and images that the portlid process `pid` made and that are still there.
pub(crate) fn made_by(pid: u32) -> Vec<String> {
    let docker = docker();
    let filters = HashMap::from([("label".to_owned(), vec!["dev.portlid.run".to_owned()])]);
    let of_pid = |labels: &Option<HashMap<String, String>>| {
        let owner = labels.as_ref().and_then(|labels| labels.get("dev.portlid.owner"));
        owner.is_some_and(|owner| owner.split(':').nth(1) == Some(&pid.to_string()))
    };
    runtime().block_on(async {
        let all = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let containers = settled(|| docker.list_containers(Some(all.clone()))).await;
        let networks = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let networks = settled(|| docker.list_networks(Some(networks.clone()))).await;
        let containers = containers
            .into_iter()
            .filter(|container| of_pid(&container.labels))
            .map(|container| format!("container {:?} {:?}", container.names, container.state));
        let networks = networks
            .into_iter()
            .filter(|network| of_pid(&network.labels))
            .map(|network| format!("network {:?}", network.name));
        // The scout's; images of others are not labelled.
        let images = ListImagesOptionsBuilder::default().filters(&filters).build();
        let images = settled(|| docker.list_images(Some(images.clone()))).await;
        let images = images
            .into_iter()
            .filter(|image| of_pid(&Some(image.labels.clone())))
            .map(|image| format!("image {:?}", image.repo_tags));
        containers.chain(networks).chain(images).collect()
    })
}

/// The names of all volumes.
pub(crate) fn volumes() -> Vec<String> {
    let docker = docker();
    let listed = runtime().block_on(async {
        docker.list_volumes(None::<bollard::query_parameters::ListVolumesOptions>).await.unwrap()
    });
    listed.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect()
}

/// The engine's id of an image.
pub(crate) fn id(reference: &str) -> String {
    let docker = docker();
    runtime().block_on(async { docker.inspect_image(reference).await.unwrap().id.unwrap() })
}

/// Whether the engine has the image. Podman has some that it cannot describe.
pub(crate) fn has_image(reference: &str) -> bool {
    let docker = docker();
    match runtime().block_on(docker.inspect_image(reference)) {
        Ok(_) => true,
        Err(Error::DockerResponseServerError { status_code, .. }) => status_code != 404,
        Err(error) => panic!("{error}"),
    }
}

/// A container that somebody else started. Removed when dropped.
pub(crate) struct Foreign {
    pub(crate) id: String,
}

impl Foreign {
    pub(crate) fn start(image: &str, command: &[&str], host: HostConfig) -> Self {
        let docker = docker();
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            cmd: Some(command.iter().map(|&it| it.to_owned()).collect()),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        };
        let created = runtime().block_on(docker.create_container(None, body)).unwrap();
        // From here on it is removed, whatever becomes of it.
        let container = Self { id: created.id };
        runtime().block_on(docker.start_container(&container.id, None)).unwrap();
        container
    }

    /// The number of its first process, as this machine counts.
    pub(crate) fn pid(&self) -> i64 {
        let docker = docker();
        runtime().block_on(async {
            let seen = docker.inspect_container(&self.id, None).await.unwrap();
            seen.state.unwrap().pid.unwrap()
        })
    }

    pub(crate) fn is_running(&self) -> bool {
        let docker = docker();
        runtime().block_on(async {
            // A state that the client does not know (Podman's `stopped`) is none that runs.
            docker
                .inspect_container(&self.id, None)
                .await
                .is_ok_and(|seen| seen.state.and_then(|state| state.running).unwrap_or_default())
        })
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let docker = docker();
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let _ = runtime().block_on(docker.remove_container(&self.id, Some(options)));
    }
}
