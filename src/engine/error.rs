//! What can stop us from observing a container.
//!
//! An open port is never an error: that is a [`Finding`](crate::judgement::Finding). An error here
//! means that we know too little of the container, and that the run must say so instead of passing.

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use super::meter::Oversize;
use crate::foreign;

/// The client library's own error, boxed so that no caller depends on it.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a container could not be observed.
///
/// Messages are lowercase fragments without a full stop. They name what was tried and on what; the
/// cause speaks for itself through `source()`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// No engine is known, and none was found.
    #[error("found no container engine; tried {}", .tried.join(", "))]
    NotFound {
        /// What was tried, in order.
        tried: Vec<String>,
    },
    /// The endpoint that was asked for makes no sense.
    #[error("cannot use the engine endpoint `{endpoint}` from {from}: {why}")]
    Endpoint {
        /// The endpoint as given.
        endpoint: String,
        /// Where it was given.
        from: String,
        /// What is wrong with it.
        why: String,
    },
    /// No engine answered.
    #[error("cannot reach the container engine at `{endpoint}`")]
    Connect {
        /// The endpoint.
        endpoint: String,
        /// What was said.
        #[source]
        cause: Cause,
    },
    /// The socket is there, but not for us.
    #[error("no permission to use the container engine at `{endpoint}`")]
    Permission {
        /// The endpoint.
        endpoint: String,
        /// What was said.
        #[source]
        cause: Cause,
    },
    /// The image is neither local nor pullable.
    #[error("cannot pull image `{image}`")]
    Pull {
        /// The reference.
        image: String,
        /// What was said.
        #[source]
        cause: Cause,
    },
    /// The image is not local, and may not be pulled.
    #[error("image `{image}` is not there, and `--pull never` forbids to pull it")]
    PullForbidden {
        /// The reference.
        image: String,
    },
    /// The image could not be built.
    #[error("cannot build an image from `{context}`")]
    Build {
        /// The context folder, as shown.
        context: String,
        /// The last lines of the build's log, safe to print.
        log: Vec<String>,
        /// What was said.
        #[source]
        cause: Cause,
    },
    /// The archive could not be loaded.
    #[error("cannot load an image from `{}`", .path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What was said.
        #[source]
        cause: Cause,
    },
    /// The image is not for the platform that the spec states.
    #[error("image `{image}` is for {found}, not for {wanted}")]
    Platform {
        /// The image, as shown.
        image: String,
        /// The platform of the spec.
        wanted: String,
        /// The platform of the image.
        found: String,
    },
    /// A request failed.
    #[error("cannot {what}")]
    Request {
        /// What was wanted.
        what: String,
        /// What was said.
        #[source]
        cause: Cause,
    },
    /// An answer was larger than any true one.
    #[error("cannot {what}: {cause}")]
    Oversize {
        /// What was wanted.
        what: String,
        /// How much had come.
        cause: Cause,
    },
    /// A request or stream was not answered in time.
    #[error("the engine did not {what} within {}", seconds(*.limit))]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
    },
    /// The container ended before it was looked at.
    #[error("the container exited with status {code}{}, {} after its start", if *.out_of_memory { ", out of memory" } else { "" }, seconds(*.after))]
    Exited {
        /// The exit status.
        code: i64,
        /// Whether the kernel killed it for want of memory.
        out_of_memory: bool,
        /// How long it lived.
        after: Duration,
    },
    /// The condition that the spec states never came true.
    #[error("the container was not ready within {}: {what}", seconds(*.within))]
    NotReady {
        /// The condition that was waited for.
        what: String,
        /// How long.
        within: Duration,
    },
    /// The container cannot be judged as it is.
    #[error("{0}")]
    Unfit(Unfit),
    /// A companion failed.
    #[error("companion `{name}`")]
    Companion {
        /// Its name in the spec.
        name: String,
        /// Why.
        #[source]
        cause: Box<Self>,
    },
    /// The engine could not be reached for an earlier spec of the same run.
    #[error(transparent)]
    Shared(std::sync::Arc<Self>),
    /// The run was told to end.
    #[error("interrupted")]
    Interrupted,
}

/// Why a running container cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It has no address.
    #[error("the container has no network, so nothing can be said of what it exposes")]
    NoNetwork,
    /// It uses the host's network namespace, or another container's.
    #[error("the container uses the network of `{0}`: its ports are not its own")]
    SharedNetwork(String),
    /// It does not run.
    #[error("container `{0}` is not running")]
    NotRunning(String),
    /// Its sockets are not in the host's kernel.
    #[error(
        "the runtime `{0}` gives the container a kernel of its own, whose sockets the host does \
         not see; a scan alone cannot show that nothing else listens"
    )]
    OwnKernel(String),
    /// Its sockets are perhaps not in the host's kernel.
    #[error(
        "the runtime `{0}` is not known, and may hide the container's sockets from the host; a \
         scan alone cannot show that nothing else listens"
    )]
    UnknownRuntime(String),
    /// It is not the same as before.
    #[error("the container was restarted or replaced while it was looked at")]
    Changed,
    /// It is paused, so that it can open nothing while it is looked at.
    #[error("the container is paused")]
    Paused,
    /// Its networks, or its addresses, are not the same as before.
    #[error("the container was put on other networks while it was looked at")]
    Moved,
    /// It was not made from the image that was asked for.
    #[error("the container was made from another image than the one that was asked for: `{0}`")]
    OtherImage(String),
    /// Its first process is not in the network that the engine gave it.
    #[error("the container's first process left the network that the engine gave it")]
    OtherNamespace,
    /// It ended as was wanted, but too soon.
    #[error("the container ended with status {0}, as it should, before it could be looked at")]
    EndedTooSoon(i64),
    /// There is no health check to wait for.
    #[error("`ready: health` waits for a health check, and the image has none")]
    NoHealthCheck,
    /// It declares more ports than can be published one by one.
    #[error("the image declares {0} ports: too many to publish each")]
    TooManyPorts(usize),
}

impl EngineError {
    /// A request that failed, by what the client library says of it.
    pub(super) fn failed(what: impl Into<String>, error: bollard::errors::Error) -> Self {
        let what = what.into();
        match Oversize::behind(&error) {
            Some(oversize) => Self::Oversize { what, cause: Box::new(oversize) },
            None => Self::Request { what, cause: Box::new(error) },
        }
    }

    /// The last lines of a log that the error itself knows.
    #[must_use]
    pub fn log(&self) -> &[String] {
        match self {
            Self::Build { log, .. } => log,
            Self::Companion { cause, .. } => cause.log(),
            _ => &[],
        }
    }

    /// Whether the engine let a deadline pass.
    #[must_use]
    pub fn is_deadline(&self) -> bool {
        match self {
            Self::Deadline { .. } => true,
            Self::Companion { cause, .. } => cause.is_deadline(),
            Self::Shared(cause) => cause.is_deadline(),
            _ => false,
        }
    }

    /// The next thing to try.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotFound { .. } => {
                "install Docker or Podman, or say where the engine is with `--engine` or \
                 `DOCKER_HOST`"
            }
            Self::Endpoint { from, .. } if !from.starts_with('`') || from.contains(".json") => {
                "`docker context ls` lists the contexts; `--engine` and `DOCKER_HOST` come before \
                 them"
            }
            Self::Endpoint { .. } => {
                "it is a URL such as `unix:///var/run/docker.sock`, `tcp://HOST:2375` or \
                 `ssh://USER@HOST`"
            }
            Self::Connect { .. } => {
                "is the engine running (`docker version`), and is the endpoint right? `--engine` \
                 names another"
            }
            Self::Permission { .. } => {
                "run portlid as root, or as a user in the socket's group (`usermod -aG docker USER`)"
            }
            Self::Pull { cause, .. } => return Some(pull_hint(&cause.to_string()).to_owned()),
            Self::PullForbidden { .. } => {
                "pull or build it first, or allow it with `--pull missing`"
            }
            Self::Build { .. } => {
                "`docker build` of the same folder shows the whole log; where it is `RUN` steps that \
                 have no network, set `PORTLID_BUILD_NETWORK=host`"
            }
            Self::Archive { .. } => {
                "write it with `docker save IMAGE -o FILE`, or as an OCI layout in a tar"
            }
            Self::Platform { .. } => "pull the image for that platform, or mend `platform`",
            Self::Request { .. } => "the engine's own log says more",
            Self::Oversize { .. } => {
                "no engine has that much to say: is it one that answers there, and no proxy or \
                 something else? `docker version` shows; its own log says more"
            }
            Self::Deadline { what, .. } if what.contains("pull") => {
                "is the registry, or the way to it, slow? the next run takes up what is there"
            }
            Self::Deadline { .. } => "is the engine overloaded? its own log says more",
            Self::Exited { out_of_memory: true, .. } => "raise `run.memory` in the spec",
            Self::Exited { .. } => {
                "give it what it needs to start: `run.env`, `run.command`, `needs`; portlid runs it \
                 without new privileges and with limits on memory and processes"
            }
            Self::NotReady { .. } => {
                "look at the log; a slow one needs a longer `ready: { within: ... }`"
            }
            Self::Unfit(unfit) => return Some(unfit.hint().to_owned()),
            Self::Companion { cause, .. } => return cause.hint(),
            Self::Shared(cause) => return cause.hint(),
            Self::Interrupted => return None,
        };
        Some(hint.to_owned())
    }
}

/// What to try when a pull failed, by what the engine said.
fn pull_hint(said: &str) -> &'static str {
    let said = said.to_ascii_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if any(&["too many requests", "toomanyrequests", "429"]) {
        "the registry limits pulls: wait, or log in (`docker login`)"
    } else if any(&["unauthorized", "authentication", "denied", "no basic auth"]) {
        "log in to its registry (`docker login`), or check the name: registries answer so for both"
    } else if any(&["no such host", "connection refused", "timeout", "unreachable", "i/o timeout"])
    {
        "the engine does not reach the registry: check its network, or build the image first"
    } else {
        "check the name, log in to its registry (`docker login`), or build the image first"
    }
}

impl Unfit {
    fn hint(&self) -> &'static str {
        match self {
            Self::NoNetwork => "give the container a network",
            Self::SharedNetwork(_) => {
                "start it on a network of its own (CIS Docker Benchmark 1.6.0, 5.10)"
            }
            Self::NotRunning(_) => "start it first, or let portlid start it with `image:`",
            Self::OwnKernel(_) | Self::UnknownRuntime(_) => {
                "look at the image with an engine whose runtime is `runc` or `crun`"
            }
            Self::Changed => "run it again; a container that restarts by itself cannot be judged",
            Self::Paused => {
                "unpause it (`docker unpause`), and leave it alone while it is looked at"
            }
            Self::Moved => "leave its networks alone while it is looked at, and run it again",
            Self::OtherImage(_) => "the engine's own log may say why; please report it",
            Self::OtherNamespace => "an image that builds networks of its own cannot be judged",
            Self::EndedTooSoon(_) => {
                "what ends within a few hundredths of a second cannot be seen; let it live longer"
            }
            Self::NoHealthCheck => "add a `HEALTHCHECK` to the image, or wait for a port",
            Self::TooManyPorts(_) => "say what to publish under `run.publish` (`none`, or a list)",
        }
    }
}

/// An error and its causes in one line, safe to print: what others said is escaped and cut.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let shown = |text: &str| foreign::shown(&foreign::without_credentials(text), 600);
    let mut text = shown(&error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = shown(error.to_string().trim());
        // Some libraries repeat their cause in their own message.
        if !said.is_empty() && !text.ends_with(&said) {
            let _ = write!(text, ": {said}");
        }
        cause = error.source();
    }
    text
}

/// `1.5 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
