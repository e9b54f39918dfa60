//! A private engine where podman is installed and no engine runs: podman's own API service.
//!
//! It is started on a socket in a folder of our own, and ends with the run. If the run is killed,
//! it ends by itself soon after the reaper has done its work and nobody speaks to it any more.

use std::{
    fs,
    os::unix::{fs::DirBuilderExt, process::CommandExt},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{endpoint::Endpoint, error::EngineError, labels};

/// How long the service may take to answer: the first start of rootless podman sets up its storage.
const START: Duration = Duration::from_secs(30);
/// After so many seconds without a request the service ends by itself.
const IDLE: &str = "120";

/// The service, for as long as it is needed.
#[derive(Debug)]
pub(super) struct Service {
    child: Child,
    folder: PathBuf,
}

impl Service {
    /// Lets it go on: the reaper needs it. It ends when nobody speaks to it any more.
    pub(super) fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Whether podman is installed.
pub(super) fn is_installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join("podman").is_file())
}

/// Starts the service and waits until its socket is there.
pub(super) async fn start() -> Result<(Endpoint, Service), EngineError> {
    let folder = std::env::temp_dir().join(format!("portlid-{}", labels::random()));
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
