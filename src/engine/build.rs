//! Building an image from a folder.
//!
//! With BuildKit where the engine has it, as the Docker CLI does; else with the classic builder.
//! What is built stays in the engine as a cache, under one tag per context.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
    time::{Duration, Instant},
};

use bollard::{
    body_try_stream,
    errors::Error,
    models::{BuildInfo, BuildInfoAux},
    query_parameters::{BuildImageOptionsBuilder, BuilderVersion},
};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::{
    client::Engine,
    context,
    error::{Cause, EngineError},
    labels,
};
use crate::{
    foreign,
    spec::{Build, Platform},
};

/// A build without a word for this long has stalled: a compiler may be silent for minutes.
const STALLS: Duration = Duration::from_secs(15 * 60);
/// No build takes longer than this.
const LIMIT: Duration = Duration::from_secs(60 * 60);
/// How many lines of the build's log an error shows.
const LINES: usize = 15;

/// The network of `RUN` steps, where the engine's own default does not reach the package mirrors.
const NETWORK: &str = "PORTLID_BUILD_NETWORK";

/// Builds, and returns the id of the image.
pub(super) async fn build(
    engine: &Engine,
    spec: &str,
    build: &Build,
    platform: Option<&Platform>,
) -> Result<String, EngineError> {
    engine.tell(spec, &format!("building {}", foreign::shown(&build.shown, 120)));
    let versions: &[BuilderVersion] = match engine.name().name.as_str() {
        "docker" => &[BuilderVersion::BuilderBuildKit, BuilderVersion::BuilderV1],
        _ => &[BuilderVersion::BuilderV1],
    };
    let mut failed = None;
    for version in versions {
        match run(engine, spec, build, platform, *version).await {
            Ok(id) => return Ok(id),
            Err(error) => {
                let has_no_buildkit = error.is_about_the_builder();
                failed = Some(error);
                if !has_no_buildkit {
                    break;
                }
            }
        }
    }
    let failed = failed.unwrap_or_else(|| Failed::new("the engine has no builder".into()));
    Err(EngineError::Build {
        context: foreign::shown(&build.shown, 120),
        log: failed.log.into(),
        cause: failed.cause,
    })
}

/// A build that failed.
struct Failed {
    cause: Cause,
    log: VecDeque<String>,
}

impl Failed {
    fn new(cause: Cause) -> Self {
        Self { cause, log: VecDeque::new() }
    }

    /// Whether the engine refused the builder, rather than the Dockerfile having failed.
    fn is_about_the_builder(&self) -> bool {
        let said = self.cause.to_string().to_ascii_lowercase();
        said.contains("buildkit")
            && (said.contains("not supported") || said.contains("not enabled"))
    }
}

async fn run(
    engine: &Engine,
    spec: &str,
    build: &Build,
    platform: Option<&Platform>,
    version: BuilderVersion,
) -> Result<String, Failed> {
    let is_buildkit = version == BuilderVersion::BuilderBuildKit;
    let tag = tag(build);
    let args: HashMap<String, String> = build.args.clone().into_iter().collect();
    let session = labels::random();
    let mut options = BuildImageOptionsBuilder::default()
        .dockerfile(&build.dockerfile)
        .t(&tag)
        .rm(true)
        .forcerm(true)
        .buildargs(&args)
        .version(version);
    if is_buildkit {
        options = options.session(&session);
    }
    let platform = platform.map(ToString::to_string);
    if let Some(platform) = &platform {
        options = options.platform(platform);
    }
    if let Some(target) = &build.target {
        options = options.target(target);
    }
    let network = std::env::var(NETWORK).unwrap_or_default();
    if !network.is_empty() {
        options = options.networkmode(&network);
    }

    let (folder, dockerfile) = (build.context.clone(), build.dockerfile.clone());
    let body = context::stream(move |builder| context::write(builder, &folder, &dockerfile));
    let mut stream = engine.docker.build_image(options.build(), None, Some(body_try_stream(body)));
    let mut log = Log::default();
    let mut id = None;
    let begun = Instant::now();
    loop {
        let limit = STALLS.min(LIMIT.saturating_sub(begun.elapsed()));
        let item = match timeout(limit, stream.next()).await {
            Ok(Some(item)) => item,
            Ok(None) => break,
            Err(_) => {
                return Err(Failed { cause: "the build stalled".into(), log: log.lines });
            }
        };
        match item {
            Ok(info) => {
                if let Some(line) = log.note(&info) {
                    engine.tell(spec, &format!("building: {line}"));
                }
                if let Some(BuildInfoAux::Default(image)) = info.aux {
                    id = image.id.or(id);
                }
            }
            Err(error) => return Err(Failed { cause: said(error), log: log.lines }),
        }
        // BuildKit's session may stay open after the image is done.
        if is_buildkit && id.is_some() {
            break;
        }
    }
    // Podman does not name the image in its answer; the tag does.
    Ok(id.unwrap_or(tag))
}

/// The engine's own words, without the client library's around them.
fn said(error: Error) -> Cause {
    match error {
        Error::DockerStreamError { error } => foreign::shown(error.trim(), 600).into(),
        Error::DockerResponseServerError { message, .. } => {
            foreign::shown(message.trim(), 600).into()
        }
        error => Box::new(error),
    }
}

/// One tag per context, Dockerfile, stage and arguments: building again replaces, and does not
/// heap up.
fn tag(build: &Build) -> String {
    let key = format!("{:?}", (&build.context, &build.dockerfile, &build.target, &build.args));
    let mut tag = "portlid-build:".to_owned();
    for byte in &Sha256::digest(key.as_bytes())[..8] {
        let _ = write!(tag, "{byte:02x}");
    }
    tag
}

/// The last lines of a build.
#[derive(Default)]
struct Log {
    lines: VecDeque<String>,
    told: Option<Instant>,
}

impl Log {
    /// Keeps the lines; returns one that is worth telling, every few seconds.
    fn note(&mut self, info: &BuildInfo) -> Option<String> {
        let mut text = info.stream.clone().unwrap_or_default();
        if let Some(BuildInfoAux::BuildKit(status)) = &info.aux {
            for vertex in status.vertexes.iter().filter(|vertex| vertex.started.is_some()) {
                if vertex.completed.is_none() {
                    let _ = writeln!(text, "{}", vertex.name);
                }
            }
            for log in &status.logs {
                text.push_str(&String::from_utf8_lossy(&log.msg));
            }
        }
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            if self.lines.len() == LINES {
                self.lines.pop_front();
            }
            self.lines.push_back(foreign::shown(line, 300));
        }
        if self.told.is_some_and(|told| told.elapsed() < Duration::from_secs(5)) {
            return None;
        }
        let last = self.lines.back()?.clone();
        self.told = Some(Instant::now());
        Some(last)
    }
}
