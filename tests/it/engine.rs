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
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{
        CreateImageOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
        ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
    },
};
use futures_util::StreamExt;
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
    made.entry(changes.join("\n")).or_insert_with(|| import(changes)).clone()
}

fn import(changes: Vec<String>) -> String {
    let binary = std::fs::read(listener()).unwrap();
    let mut hash = Sha256::new();
    let root = root(&binary);
    hash.update(&root);
    hash.update(changes.join("\n"));
    let tag: String = hash.finalize()[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    let reference = format!("portlid-fixture:{tag}");
    let docker = docker();
    runtime().block_on(async {
        if docker.inspect_image(&reference).await.is_ok() {
            return;
        }
        let options = CreateImageOptionsBuilder::default()
            .from_src("-")
            .repo("portlid-fixture")
            .tag(&tag)
            .changes(changes)
            .build();
        let body = body_full(root.into());
        let mut answers = Box::pin(docker.create_image(Some(options), Some(body), None));
        while let Some(answer) = answers.next().await {
            answer.expect("these tests need a container engine: `make engine`");
        }
    });
    reference
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
        let containers = docker.list_containers(Some(all)).await.unwrap();
        let networks = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let networks = docker.list_networks(Some(networks)).await.unwrap();
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
        let images = docker.list_images(Some(images)).await.unwrap();
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

/// Whether the engine has the image.
pub(crate) fn has_image(reference: &str) -> bool {
    let docker = docker();
    runtime().block_on(async { docker.inspect_image(reference).await.is_ok() })
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
            let seen = docker.inspect_container(&self.id, None).await.unwrap();
            seen.state.unwrap().running.unwrap()
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
