//! A private engine where podman is installed and no engine runs: podman's own API service.
//!
//! It is started on a socket in a folder of our own, and ends with the run. If the run is killed,
//! the reaper ends it when its work is done.

use std::{
    fs,
    os::unix::{
        fs::{DirBuilderExt, MetadataExt},
        process::CommandExt,
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde::{Deserialize, Serialize};

use super::{
    endpoint::Endpoint,
    error::EngineError,
    labels::{self, Here, Maker},
};

/// How long the service may take to answer: the first start of rootless podman sets up its storage.
const START: Duration = Duration::from_secs(30);
/// After so many seconds without a request the service would end by itself. Never: a watch may be
/// long, and says nothing to the engine.
const IDLE: &str = "0";

/// How its folder's name begins.
const PREFIX: &str = "portlid-";
/// Who started the service, in its folder.
const OWNER: &str = "owner";
/// The service's process id, in its folder.
const PID: &str = "pid";

/// The service, for as long as it is needed.
#[derive(Debug)]
pub(super) struct Service {
    child: Child,
    folder: PathBuf,
}

/// What another process must know to end the service.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Traces {
    pid: u32,
    folder: PathBuf,
}

impl Traces {
    /// Ends the service and removes its folder. It is known by its socket's folder, which stands
    /// in its command line: a recycled pid is not.
    pub(super) fn end(&self) {
        let line = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if String::from_utf8_lossy(&line).contains(&self.folder.display().to_string())
            && let Some(pid) = pid
        {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Service {
    /// Lets it go on: the reaper needs it, and ends it.
    pub(super) fn leave(self) {
        std::mem::forget(self);
    }

    pub(super) fn traces(&self) -> Traces {
        Traces { pid: self.child.id(), folder: self.folder.clone() }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Ends the services of dead runs whose reapers are dead, too.
pub(super) fn sweep() {
    let here = Here::now();
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let folder = entry.path();
        let is_named = entry.file_name().to_string_lossy().starts_with(PREFIX);
        // Anybody may make a folder there: only one that is ours alone says what we wrote.
        let is_ours = fs::symlink_metadata(&folder).is_ok_and(|seen| {
            seen.is_dir() && seen.uid() == geteuid().as_raw() && seen.mode() & 0o077 == 0
        });
        if !is_named || !is_ours {
            continue;
        }
        let text = |file: &str| fs::read_to_string(folder.join(file)).ok();
        let owner = text(OWNER).and_then(|text| Maker::of_tag(&text));
        let pid = text(PID).and_then(|text| text.parse().ok());
        if let (Some(owner), Some(pid)) = (owner, pid)
            && owner.is_gone(&here)
        {
            Traces { pid, folder }.end();
        }
    }
}

/// Whether podman is installed.
pub(super) fn is_installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join("podman").is_file())
}

/// Starts the service and waits until its socket is there.
pub(super) async fn start() -> Result<(Endpoint, Service), EngineError> {
    let folder = std::env::temp_dir().join(format!("{PREFIX}{}", labels::random()));
    let failed = |what: &str, error: std::io::Error| EngineError::Request {
        what: what.to_owned(),
        cause: Box::new(error),
    };
    // Whoever may use the socket may use the engine.
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .map_err(|error| failed("make a folder for podman's socket", error))?;
    let socket = folder.join("podman.sock");
    let url = format!("unix://{}", socket.display());
    let errors = fs::File::create(folder.join("errors"));
    let child = Command::new("podman")
        .args(["system", "service", "--time", IDLE, &url])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors.map_or_else(|_| Stdio::null(), Stdio::from))
        // The reaper still needs it when a signal has ended the run's group.
        .process_group(0)
        .spawn()
        .map_err(|error| failed("start `podman system service`", error));
    let child = child.inspect_err(|_| drop(fs::remove_dir_all(&folder)))?;
    let mut service = Service { child, folder };
    // For the next run, should this one and its reaper both be killed.
    let _ = fs::write(service.folder.join(OWNER), Maker::this().tag());
    let _ = fs::write(service.folder.join(PID), service.child.id().to_string());
    let deadline = Instant::now() + START;
    while !socket.exists() {
        let ended = service.child.try_wait().ok().flatten();
        if ended.is_some() || Instant::now() >= deadline {
            let said = fs::read_to_string(service.folder.join("errors")).unwrap_or_default();
            let said = said.lines().last().unwrap_or("it did not open its socket").to_owned();
            return Err(EngineError::Request {
                what: "start `podman system service`".to_owned(),
                cause: said.into(),
            });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let from = "a podman service of its own".to_owned();
    Ok((Endpoint { url, from, certificates: None }, service))
}
