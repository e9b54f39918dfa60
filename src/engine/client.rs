//! The connection to the engine, and how requests are made: each with a deadline, each error with
//! what was wanted.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    future::Future,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use bollard::{Docker, errors::Error};
use tokio::{
    net::UnixStream,
    sync::OnceCell,
    time::{sleep, timeout},
};

use super::{
    archive,
    connection::open,
    endpoint::{Endpoint, Environment, Found},
    error::{Cause, EngineError},
    helper::Helper,
    known::Images,
    labels::Maker,
    podman, reaper,
    scene::Made,
};
use crate::{
    progress::{Event, Progress},
    record::{EngineName, LeftBehind},
    secrets::Secrets,
};

/// How long the engine may take to answer that it is there.
const HELLO: Duration = Duration::from_secs(5);
/// The same for an engine that ssh has to connect to first.
const HELLO_FAR: Duration = Duration::from_secs(30);
/// How long an ordinary request may take. Starting a container on a loaded machine takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Says otherwise, in seconds, as it does for other clients of the engine.
const PATIENCE_VARIABLE: &str = "DOCKER_CLIENT_TIMEOUT";

/// How long an ordinary request may take.
#[must_use]
pub fn patience() -> Duration {
    static PATIENCE_SAID: OnceLock<Duration> = OnceLock::new();
    *PATIENCE_SAID.get_or_init(|| {
        let said = std::env::var(PATIENCE_VARIABLE).ok();
        let seconds = said.and_then(|text| text.trim().parse::<u64>().ok());
        seconds.filter(|said| (1..=3600).contains(said)).map_or(PATIENCE, Duration::from_secs)
    })
}

/// How long everything that was made for a spec, or for the run, may take to be removed. Less if the
/// engine has just let a deadline pass; the reaper goes on when this is over.
pub(super) fn clearing(is_stalled: bool) -> Duration {
    Duration::from_secs(if is_stalled { 6 } else { 90 })
}

/// A container engine, and everything that one run does with it.
pub struct Engine {
    pub(super) docker: Docker,
    pub(super) endpoint: Endpoint,
    pub(super) maker: Maker,
    /// The labels of everything that is made.
    pub(super) labels: HashMap<String, String>,
    pub(super) progress: Progress,
    /// What must not be shown.
    pub(super) secrets: Arc<Secrets>,
    /// Images that were resolved, so that two specs of one image pull or build it once.
    pub(super) images: Images,
    pub(super) reaper: OnceCell<Option<reaper::Reaper>>,
    /// What this run found of dead ones, once it has looked.
    pub(super) swept: OnceCell<()>,
    pub(super) swept_images: OnceCell<()>,
    /// The container that a scout lives in, if one was started.
    helper: Mutex<Option<Helper>>,
    /// Further ones, each in the network of a container, while they run.
    guests: Mutex<BTreeMap<String, Made>>,
    /// The runtime that Podman uses; it does not name it container by container.
    pub(super) default_runtime: Option<String>,
    /// The archives that were loaded for this run.
    loaded: Mutex<Vec<archive::Loaded>>,
    /// The engine itself, where it is a private one.
    pub(super) service: Option<podman::Service>,
    name: EngineName,
    is_beside: bool,
    made: AtomicU32,
    /// Whether it let a deadline pass, and has not answered since.
    is_stalled: AtomicBool,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Engine {
    /// Connects to the engine that `--engine`, the environment or a well-known socket names.
    ///
    /// # Errors
    ///
    /// If what was asked for cannot be reached, or nothing was asked for and nothing answers.
    pub async fn connect(
        asked: Option<&str>,
        progress: Progress,
        secrets: Arc<Secrets>,
    ) -> Result<Self, EngineError> {
        let home = std::env::home_dir();
        let environment = Environment {
            variable: |name: &str| std::env::var(name).ok(),
            home: home.as_deref(),
            root: Path::new("/"),
            uid: rustix::process::getuid().as_raw(),
        };
        match environment.find(asked)? {
            Found::Asked(endpoint) => Self::at(endpoint, progress, secrets).await,
            Found::Sockets { there, mut tried } => {
                let mut first_error = None;
                for endpoint in there {
                    match Self::at(endpoint, Arc::clone(&progress), Arc::clone(&secrets)).await {
                        Ok(engine) => return Ok(engine),
                        Err(error) => first_error = first_error.or(Some(error)),
                    }
                }
                tried.push("`podman` in the `PATH`".to_owned());
                // A socket that is not for us is the engine's answer, not its absence.
                if podman::is_installed()
                    && !matches!(first_error, Some(EngineError::Permission { .. }))
                {
                    let (endpoint, service) = podman::start().await?;
                    let mut engine = Self::at(endpoint, progress, secrets).await?;
                    engine.service = Some(service);
                    return Ok(engine);
                }
                Err(first_error.unwrap_or(EngineError::NotFound { tried }))
            }
        }
    }

    async fn at(
        endpoint: Endpoint,
        progress: Progress,
        secrets: Arc<Secrets>,
    ) -> Result<Self, EngineError> {
        let docker = open(&endpoint).map_err(|error| cannot_reach(&endpoint, error))?;
        let limit = if endpoint.url.starts_with("ssh://") { HELLO_FAR } else { HELLO };
        let version = timeout(limit, docker.version())
            .await
            .map_err(|_| EngineError::Deadline {
                what: format!("answer at `{}`", endpoint.shown()),
                limit,
            })?
            .map_err(|error| cannot_reach(&endpoint, error))?;
        let is_podman = version
            .components
            .iter()
            .flatten()
            .any(|component| component.name.to_ascii_lowercase().contains("podman"));
        let name = EngineName {
            endpoint: endpoint.shown(),
            name: if is_podman { "podman" } else { "docker" }.to_owned(),
            version: crate::foreign::shown(&version.version.unwrap_or_default(), 40),
        };
        let default_runtime = if is_podman {
            // It counts all that it has for that.
            let info = request("tell its runtime", HELLO_FAR, docker.info()).await?;
            // A path or a name.
            let runtime = info.default_runtime.unwrap_or_default();
            Some(runtime.rsplit('/').next().unwrap_or_default().to_owned())
        } else {
            None
        };
        let is_beside = is_beside(&endpoint).await;
        let maker = Maker::this();
        Ok(Self {
            labels: maker.labels(),
            docker,
            endpoint,
            maker,
            progress,
            secrets,
            images: Images::default(),
            reaper: OnceCell::new(),
            swept: OnceCell::new(),
            swept_images: OnceCell::new(),
            helper: Mutex::default(),
            guests: Mutex::default(),
            default_runtime,
            loaded: Mutex::default(),
            service: None,
            name,
            is_beside,
            made: AtomicU32::new(0),
            is_stalled: AtomicBool::new(false),
        })
    }

    /// Which engine this is.
    #[must_use]
    pub fn name(&self) -> &EngineName {
        &self.name
    }

    /// Where the engine's address was named, for people.
    #[must_use]
    pub fn named_by(&self) -> &str {
        &self.endpoint.from
    }

    /// The run's id: the value of the label `dev.portlid.run`.
    #[must_use]
    pub fn run(&self) -> &str {
        self.maker.run()
    }

    /// Whether the engine runs beside this process: on this machine, in this network namespace.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.is_beside
    }

    /// Notes that it let a deadline pass: from now on less is waited for.
    pub fn note_stalled(&self) {
        self.is_stalled.store(true, Ordering::Relaxed);
    }

    /// Whether it let a deadline pass, and has not answered since.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.is_stalled.load(Ordering::Relaxed)
    }

    /// Makes sure that an engine which let a deadline pass answers again, before more is asked of it.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub async fn is_back(&self) -> Result<(), EngineError> {
        if self.is_stalled() {
            request("answer again", HELLO, self.docker.ping()).await?;
            self.is_stalled.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The helpers in the networks of containers.
    pub(super) fn guests(&self) -> MutexGuard<'_, BTreeMap<String, Made>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The container that a scout lives in.
    pub(super) fn helper(&self) -> MutexGuard<'_, Option<Helper>> {
        self.helper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes down an archive that is to be unloaded at the end of the run.
    pub(super) fn note_loaded(&self, loaded: archive::Loaded) {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).push(loaded);
    }

    /// Removes what was made for the whole run, and tells what could not be.
    pub async fn clear(&self) -> Vec<LeftBehind> {
        let limit = clearing(self.is_stalled());
        let cleared = timeout(limit, async {
            let loaded =
                std::mem::take(&mut *self.loaded.lock().unwrap_or_else(PoisonError::into_inner));
            let mut left = self.remove_guests().await;
            left.extend(self.remove_helper().await);
            for loaded in loaded {
                left.extend(archive::unload(self, loaded).await);
            }
            left
        });
        cleared.await.unwrap_or_else(|_| {
            let (name, run) = (&self.name.name, self.run());
            vec![LeftBehind {
                what: format!(
                    "perhaps the scout, or a loaded archive: the engine took longer than {} s",
                    limit.as_secs()
                ),
                remove_with: format!(
                    "{name} rm -f -v $({name} ps -aq --filter label=dev.portlid.run={run})"
                ),
            }]
        })
    }

    /// A new name for something of this run.
    pub(super) fn new_name(&self) -> String {
        format!("portlid-{}-{}", self.run(), self.made.fetch_add(1, Ordering::Relaxed))
    }

    /// Tells of long work.
    pub(super) fn tell(&self, spec: &str, line: &str) {
        let line = self.secrets.hidden(line);
        (self.progress)(spec, Event::Line(&crate::foreign::shown(&line, 500)));
    }
}

/// Waits for `request` for at most `limit`.
pub(super) async fn request<T>(
    what: impl Into<String>,
    limit: Duration,
    request: impl Future<Output = Result<T, Error>>,
) -> Result<T, EngineError> {
    match timeout(limit, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(EngineError::failed(what, error)),
        Err(_) => Err(EngineError::Deadline { what: what.into(), limit }),
    }
}

/// Asks what may be asked more than once, and again where the engine fails: Podman does while
/// somebody else removes an image that it comes across.
pub(super) async fn patiently<T, F>(ask: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    const TIMES: u32 = 3;
    const PAUSE: Duration = Duration::from_millis(200);
    let mut times = 1;
    loop {
        let answer = ask().await;
        let has_failed =
            matches!(&answer, Err(Error::DockerResponseServerError { status_code: 500.., .. }));
        if !has_failed || times == TIMES {
            return answer;
        }
        times += 1;
        sleep(PAUSE).await;
    }
}

/// An answer that cannot be one to what was asked.
pub(super) fn untrue(what: String, why: &str) -> EngineError {
    EngineError::Request { what, cause: why.into() }
}

/// Whether the engine says that there is no such thing.
#[must_use]
pub fn is_missing(error: &EngineError) -> bool {
    let EngineError::Request { cause, .. } = error else { return false };
    matches!(cause.downcast_ref(), Some(Error::DockerResponseServerError { status_code: 404, .. }))
}

/// Whether the process that listens at the endpoint is in this process's network namespace.
///
/// An engine elsewhere on this machine may use the very addresses that a bridge here uses, and
/// Docker before 28 makes a container's hardware address out of its address: then a stranger's
/// container cannot be told from the right one by asking for it.
async fn is_beside(endpoint: &Endpoint) -> bool {
    let Some(path) = endpoint.url.strip_prefix("unix://") else { return false };
    let peer = match timeout(HELLO, UnixStream::connect(path)).await {
        Ok(Ok(stream)) => stream.peer_cred().ok().and_then(|peer| peer.pid()),
        Ok(Err(_)) | Err(_) => None,
    };
    // Of another process namespace it has no number here.
    let Some(peer) = peer.filter(|&pid| pid > 0) else { return false };
    let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net")).ok();
    let own = namespace("self");
    own.is_some() && own == namespace(&peer.to_string())
}

fn cannot_reach(endpoint: &Endpoint, error: Error) -> EngineError {
    // The innermost words are the system's; those around them name layers of the client library.
    let mut innermost: Option<&std::io::Error> = None;
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        innermost = error.downcast_ref().or(innermost);
        cause = error.source();
    }
    // The library takes a socket in a folder that may not be entered for one that is not there.
    let path = endpoint.url.strip_prefix("unix://");
    let socket = path.and_then(|path| std::fs::metadata(path).err());
    let is_permission = [innermost, socket.as_ref()]
        .iter()
        .flatten()
        .any(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
    let cause: Cause = match (&error, socket.as_ref().or(innermost)) {
        (Error::DockerResponseServerError { status_code, message }, _) => {
            // No engine answers with a page.
            let line = message.lines().next().filter(|line| !line.contains('<'));
            let line = line.unwrap_or("this is no container engine");
            format!("it answers with status {status_code}: {line}").into()
        }
        (_, Some(innermost)) => innermost.to_string().into(),
        (_, None) => Box::new(error),
    };
    let endpoint = endpoint.shown();
    if is_permission {
        EngineError::Permission { endpoint, cause }
    } else {
        EngineError::Connect { endpoint, cause }
    }
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, is_beside};

    #[tokio::test]
    async fn only_what_listens_in_this_namespace_is_beside() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let at = |url: String| Endpoint { url, from: String::new(), certificates: None };
        assert!(is_beside(&at(format!("unix://{}", socket.display()))).await);
        for url in ["unix:///nowhere.sock", "tcp://127.0.0.1:1", "ssh://127.0.0.1"] {
            assert!(!is_beside(&at(url.to_owned())).await, "{url}");
        }
    }
}
