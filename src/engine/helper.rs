//! The helper containers that scouts live in, made of portlid's own executable: one per run, and a
//! guest in the network of each container whose loopback is to be asked.
//!
//! Nothing is pulled for it: the image is this executable and the shared libraries that it has
//! mapped. It carries the run's labels, and goes when the run ends. It sees every process of the engine's machine and
//! may read their descriptors (`SYS_PTRACE`, `DAC_READ_SEARCH`), and nothing else: no other
//! capability, a read-only root, no new privileges, no log. A guest sees no processes but its own,
//! and has no capability at all.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
};

use bollard::{
    Docker, body_full,
    container::{AttachContainerResults, LogOutput},
    errors::Error,
    models::{
        ContainerCreateBody, HostConfig, HostConfigLogConfig, NetworkConnectRequest,
        NetworkDisconnectRequest,
    },
    query_parameters::{
        AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, ImportImageOptionsBuilder,
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, future};
use sha2::{Digest, Sha256};
use tokio::{io::AsyncWrite, sync::oneshot, time::timeout};

use super::{
    archive,
    client::{Engine, patience, patiently, request},
    elf,
    entrance::{Entrance, MARK},
    error::{Cause, EngineError},
    meter::{asking, unending},
    reaper,
    scene::{KILL_AT_ONCE, Made, remove_container, removing},
};
use crate::record::LeftBehind;

/// The argument that makes portlid's executable a scout. Not a variable, which could be set by
/// accident and keep a gate from its work.
const ARGUMENT: &str = "__portlid-scout";
/// The repository of the helper's image.
pub(super) const REPOSITORY: &str = "portlid-scout";

/// Ten times the weight of an ordinary container.
const CPU_SHARES: i64 = 10_240;

static ENABLED: AtomicBool = AtomicBool::new(false);

/// Says that this executable looks at [`is_helper`] first thing.
pub fn enable() {
    ENABLED.store(true, Ordering::Relaxed);
}

/// Whether this process was started as the helper's.
#[must_use]
pub fn is_helper() -> bool {
    std::env::args_os().nth(1).is_some_and(|argument| argument == ARGUMENT)
}

/// What is said to the helper and what it says.
pub type Speech = (Pin<Box<dyn AsyncWrite + Send>>, Pin<Box<dyn Stream<Item = Bytes> + Send>>);

/// A helper that was asked for.
#[derive(Debug)]
pub(super) struct Helper {
    name: String,
    made: Made,
}

impl Engine {
    /// Starts the run's helper container, and returns what speaks to the process in it.
    ///
    /// # Errors
    ///
    /// If this executable cannot be one, or the engine cannot start it.
    pub async fn start_helper(&self) -> Result<Speech, EngineError> {
        let name = self.new_name();
        let sees = HostConfig {
            pid_mode: Some("host".to_owned()),
            cap_add: Some(vec!["SYS_PTRACE".to_owned(), "DAC_READ_SEARCH".to_owned()]),
            // It needs little, but that little at once, however busy the machine is.
            cpu_shares: Some(CPU_SHARES),
            ..HostConfig::default()
        };
        self.run_helper(&name, sees, |made| {
            *self.helper() = Some(Helper { name: name.clone(), made });
        })
        .await
    }

    /// Starts a helper in the network of a container, and returns its name and what speaks to the
    /// process in it.
    ///
    /// # Errors
    ///
    /// As [`start_helper`](Self::start_helper).
    pub async fn start_guest(&self, container: &str) -> Result<(String, Speech), EngineError> {
        let name = self.new_name();
        let host = HostConfig {
            network_mode: Some(format!("container:{container}")),
            ..HostConfig::default()
        };
        let note = |made| drop(self.guests().insert(name.clone(), made));
        Ok((name.clone(), self.run_helper(&name, host, note).await?))
    }

    /// Runs a helper; `note` is given what is to be removed, whatever becomes of it.
    async fn run_helper(
        &self,
        name: &str,
        host: HostConfig,
        note: impl FnOnce(Made),
    ) -> Result<Speech, EngineError> {
        let Some(entrance) = Entrance::of_this(ENABLED.load(Ordering::Relaxed)) else {
            return Err(EngineError::Request {
                what: "start a scout".to_owned(),
                cause: "this program is not portlid, its `main` does not call \
                        `portlid::harness::main()`, and no file of its tests says `portlid::scout!();`"
                    .into(),
            });
        };
        reaper::ensure(self).await;
        let image = self.helper_image(&entrance).await?;
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let (docker, body) = (self.docker.clone(), body(self, &image, host));
        let (done, answer) = oneshot::channel();
        // Noted down, so that it is removed whatever becomes of it; and it goes on even if nobody
        // waits for it any more.
        let create = async move {
            let created = docker.create_container(Some(options), body).await;
            let _ = done.send(created.map(|_| ()));
            Ok(String::new())
        };
        note(Made::new(name, tokio::spawn(create)));
        let answer = async { answer.await.unwrap_or(Err(Error::RequestTimeoutError)) };
        request("create the scout", patience(), answer).await?;
        let options = AttachContainerOptionsBuilder::default()
            .stdin(true)
            .stdout(true)
            .stderr(false)
            .stream(true)
            .build();
        let attach = self.docker.attach_container(name, Some(options));
        let (attached, comes) = asking(request("attach to the scout", patience(), attach)).await;
        let AttachContainerResults { output, input } = attached?;
        let start = self.docker.start_container(name, None);
        request("start the scout", patience(), start).await?;
        let output = comes.unending(output).filter_map(|said| {
            future::ready(match said {
                Ok(LogOutput::StdOut { message } | LogOutput::Console { message }) => Some(message),
                Ok(_) | Err(_) => None,
            })
        });
        Ok(match entrance {
            Entrance::Main => (input, Box::pin(output)),
            Entrance::Test(_) => (input, Box::pin(behind_mark(output))),
        })
    }

    /// Makes the helper a neighbour on a network of the run's.
    pub(super) async fn join_helper(&self, network: &str) -> Result<(), EngineError> {
        let Some(container) = self.helper().as_ref().map(|helper| helper.name.clone()) else {
            return Ok(());
        };
        let join = NetworkConnectRequest { container, ..NetworkConnectRequest::default() };
        let connect = self.docker.connect_network(network, join);
        request("connect the scout to the network", patience(), connect).await
    }

    /// Takes the helper off a network that is about to be removed.
    pub(super) async fn part_helper(&self, network: &str) {
        let Some(container) = self.helper().as_ref().map(|helper| helper.name.clone()) else {
            return;
        };
        let part = NetworkDisconnectRequest { container, force: Some(true) };
        // If that fails, removing the network says so.
        let _ = timeout(removing(), self.docker.disconnect_network(network, part)).await;
    }

    /// Removes a guest. If that fails, it is tried once more at the end of the run.
    pub async fn remove_guest(&self, name: &str) {
        let made = self.guests().remove(name);
        if let Some(made) = made
            && !remove_container(self, made).await.is_empty()
        {
            self.guests().insert(name.to_owned(), Made::of(name.to_owned()));
        }
    }

    /// Removes the guests that are left, and tells which could not be.
    pub async fn remove_guests(&self) -> Vec<LeftBehind> {
        let guests = std::mem::take(&mut *self.guests());
        let removals = guests.into_values().map(|made| remove_container(self, made));
        future::join_all(removals).await.into_iter().flatten().collect()
    }

    /// Removes the helper, if there is one, and tells what could not be.
    pub async fn remove_helper(&self) -> Vec<LeftBehind> {
        let helper = self.helper().take();
        match helper {
            Some(Helper { made, .. }) => remove_container(self, made).await,
            None => Vec::new(),
        }
    }

    /// Has the engine make the helper's image; returns its tag.
    async fn helper_image(&self, entrance: &Entrance) -> Result<String, EngineError> {
        let failed = |cause: Cause| EngineError::Request {
            what: "make an image of this executable".to_owned(),
            cause,
        };
        self.tell("", "making a scout of this executable");
        let tag = format!("{REPOSITORY}:{}", self.run());
        let (name, labels) = (tag.clone(), self.labels.clone());
        let arguments = entrance.arguments(ARGUMENT);
        let packed = tokio::task::spawn_blocking(move || pack(&name, &labels, &arguments)).await;
        let archive = packed.map_err(|it| failed(it.into()))?.map_err(|it| failed(it.into()))?;
        let docker = self.docker.clone();
        let load =
            async move { patiently(|| load(&docker, archive.clone())).await.map_err(Cause::from) };
        match timeout(patience(), archive::noted(self, &tag, load)).await {
            Ok(loaded) => loaded.map_err(failed)?,
            Err(_) => {
                let what = "load the scout's image".to_owned();
                return Err(EngineError::Deadline { what, limit: patience() });
            }
        }
        Ok(tag)
    }
}

/// Loads an archive of images.
async fn load(docker: &Docker, archive: Bytes) -> Result<(), Error> {
    let options = ImportImageOptionsBuilder::default().quiet(true).build();
    let mut answers = unending(docker.import_image(options, body_full(archive), None));
    while let Some(answer) = answers.next().await {
        answer?;
    }
    Ok(())
}

/// What is said behind the mark: before it libtest speaks.
fn behind_mark(said: impl Stream<Item = Bytes> + Send) -> impl Stream<Item = Bytes> + Send {
    let mut before = Some(Vec::new());
    said.filter_map(move |bytes| {
        let Some(seen) = &mut before else { return future::ready(Some(bytes)) };
        seen.extend_from_slice(&bytes);
        let mark = MARK.as_bytes();
        let behind = seen
            .windows(mark.len())
            .position(|it| it == mark)
            .map(|at| Bytes::copy_from_slice(&seen[at + mark.len()..]));
        if behind.is_some() {
            before = None;
        } else {
            // What comes before may be endless, and is of no use.
            seen.drain(..seen.len().saturating_sub(mark.len()));
        }
        future::ready(behind)
    })
}

/// What every helper is; `host` says what it may do.
fn body(engine: &Engine, image: &str, host: HostConfig) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(image.to_owned()),
        labels: Some(engine.labels.clone()),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        open_stdin: Some(true),
        stdin_once: Some(true),
        stop_timeout: Some(KILL_AT_ONCE),
        host_config: Some(HostConfig {
            cap_drop: Some(vec!["ALL".to_owned()]),
            readonly_rootfs: Some(true),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..host
        }),
        ..ContainerCreateBody::default()
    }
}

/// Packs this executable and its libraries into an image as `docker load` reads it.
fn pack(tag: &str, labels: &HashMap<String, String>, arguments: &[String]) -> io::Result<Bytes> {
    let executable = fs::read(std::env::current_exe()?)?;
    let mut files: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
    for library in mapped_libraries()? {
        let bytes = fs::read(&library)?;
        let Some(folder) = library.parent() else { continue };
        folders.insert(folder.to_owned());
        // A library is often asked for by the name of a link to it.
        for entry in fs::read_dir(folder)?.flatten() {
            let path = entry.path();
            if path.is_symlink() && fs::canonicalize(&path).is_ok_and(|it| it == library) {
                files.insert(path, bytes.clone());
            }
        }
        files.insert(library, bytes);
    }
    if let Some(loader) = interpreter(&executable) {
        files.insert(loader.clone(), fs::read(&loader)?);
    }
    files.insert(PathBuf::from("/portlid"), executable);

    let mut layer = tar::Builder::new(Vec::new());
    for (path, bytes) in &files {
        append(&mut layer, path.strip_prefix("/").unwrap_or(path), bytes, 0o755)?;
    }
    let layer = layer.into_inner()?;
    let search: Vec<String> = folders.iter().map(|it| it.display().to_string()).collect();
    let entrypoint = [&["/portlid".to_owned()], arguments].concat();
    let config = serde_json::json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "Entrypoint": entrypoint,
            "Env": [format!("LD_LIBRARY_PATH={}", search.join(":"))],
            "Labels": labels,
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hash(&layer))] },
    })
    .to_string();
    let id = hash(config.as_bytes());
    let manifest = serde_json::json!([{
        "Config": format!("{id}.json"), "RepoTags": [tag], "Layers": ["layer.tar"],
    }]);
    let mut archive = tar::Builder::new(Vec::with_capacity(layer.len() + 64 * 1024));
    append(&mut archive, Path::new(&format!("{id}.json")), config.as_bytes(), 0o644)?;
    append(&mut archive, Path::new("layer.tar"), &layer, 0o644)?;
    append(&mut archive, Path::new("manifest.json"), manifest.to_string().as_bytes(), 0o644)?;
    Ok(archive.into_inner()?.into())
}

fn append(
    builder: &mut tar::Builder<Vec<u8>>,
    path: &Path,
    bytes: &[u8],
    mode: u32,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(bytes.len() as u64);
    builder.append_data(&mut header, path, bytes)
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The architecture as OCI names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The shared libraries that this process has mapped; none if it is static. The last field of a
/// line of `/proc/self/maps` is the file, see `proc_pid_maps(5)`.
fn mapped_libraries() -> io::Result<BTreeSet<PathBuf>> {
    let executable = std::env::current_exe()?;
    let maps = fs::read_to_string("/proc/self/maps")?;
    Ok(maps
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(6, ' ');
            let may_run = fields.nth(1)?.contains('x');
            let path = Path::new(fields.nth(3)?.trim_start());
            (may_run && path.is_absolute() && path != executable && path.is_file())
                .then(|| path.to_owned())
        })
        .collect())
}

/// The loader that an executable asks for.
fn interpreter(executable: &[u8]) -> Option<PathBuf> {
    let segment = elf::segments(executable).find(elf::Segment::is_interpreter)?;
    let text = std::str::from_utf8(executable.get(segment.range)?.strip_suffix(b"\0")?).ok()?;
    Some(PathBuf::from(text))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bytes::Bytes;
    use futures_util::{StreamExt, stream};

    use super::{MARK, behind_mark, interpreter, mapped_libraries, pack};

    #[tokio::test]
    async fn what_is_said_before_the_mark_is_not_the_scouts() {
        let said = format!("\nrunning 1 test\ntest a::portlid_scout ... {MARK}{{}}\n[]\n");
        for size in 1..=said.len() {
            let pieces = said.as_bytes().chunks(size).map(Bytes::copy_from_slice);
            let pieces: Vec<Bytes> = pieces.collect();
            let heard: Vec<Bytes> = behind_mark(stream::iter(pieces)).collect().await;
            assert_eq!(heard.concat(), b"{}\n[]\n", "{size}");
        }
    }

    #[test]
    fn this_executable_can_be_packed_with_what_it_needs() {
        let executable = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let loader = interpreter(&executable);
        let libraries = mapped_libraries().unwrap();
        // A static executable has neither, a dynamic one both.
        assert_eq!(loader.is_some(), !libraries.is_empty(), "{loader:?} {libraries:?}");
        let archive = pack("portlid-scout:test", &HashMap::new(), &[]).unwrap();
        assert!(archive.len() > executable.len());
    }
}
