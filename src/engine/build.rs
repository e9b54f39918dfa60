//! Building an image from a folder.
//!
//! With BuildKit where the engine has it, as the Docker CLI does; else with the classic builder.
//! What is built stays in the engine as a cache, under one tag per context.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    fmt::Write as _,
    time::{Duration, Instant},
};

use bollard::{
    auth::DockerCredentials,
    body_try_stream,
    errors::Error,
    models::{BuildInfo, BuildInfoAux},
    query_parameters::{BuildImageOptionsBuilder, BuilderVersion, RemoveImageOptionsBuilder},
};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::{
    client::{Engine, patience},
    context,
    error::{Cause, EngineError},
    image::HUB,
    labels,
    meter::unending,
};
use crate::{
    foreign,
    spec::{Build, Platform},
};

/// The repository of the images that are built. They stay, so that the next run need not build.
pub(super) const REPOSITORY: &str = "portlid-build";
/// A build without a word for this long has stalled: a compiler may be silent for minutes.
const STALLS: Duration = Duration::from_secs(15 * 60);
/// How long after its image a build may still say something.
const LAST_WORDS: Duration = Duration::from_secs(3);
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
    let logins = logins(engine, spec, build).await;
    let before = timeout(patience(), engine.docker.inspect_image(&tag(build))).await;
    let before = before.ok().and_then(Result::ok).and_then(|image| image.id);
    let mut failed = None;
    for version in versions {
        match run(engine, spec, build, platform, *version, &logins).await {
            Ok(id) => {
                forget(engine, before, &id).await;
                return Ok(id);
            }
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
    logins: &HashMap<String, DockerCredentials>,
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
    let body = Some(body_try_stream(body));
    let answers = engine.docker.build_image(options.build(), Some(logins.clone()), body);
    let mut stream = unending(answers);
    let mut log = Log { lines: VecDeque::new(), built: None, told: Instant::now() };
    let mut id = None;
    let begun = Instant::now();
    loop {
        // BuildKit's session may stay open after the image is done.
        let patience = if id.is_some() { LAST_WORDS } else { STALLS };
        let limit = patience.min(LIMIT.saturating_sub(begun.elapsed()));
        let item = match timeout(limit, stream.next()).await {
            Ok(Some(item)) => item,
            Ok(None) => break,
            Err(_) if id.is_some() => break,
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
    }
    // An older build may have the tag: without an id nothing says that it is what was asked for.
    id.or(log.built)
        .ok_or(Failed { cause: "the build ended without an image".into(), log: log.lines })
}

/// Removes the image that the tag named before, if nothing else does, so that builds do not heap up.
async fn forget(engine: &Engine, before: Option<String>, now: &str) {
    let Some(before) = before.filter(|before| before != now) else { return };
    let options = RemoveImageOptionsBuilder::default().build();
    // It may be in use or have another name; then it stays.
    let _ = timeout(patience(), engine.docker.remove_image(&before, Some(options), None)).await;
}

/// The engine's own words, without the client library's around them.
pub(super) fn said(error: Error) -> Cause {
    match error {
        Error::DockerStreamError { error } => foreign::shown(error.trim(), 600).into(),
        Error::DockerResponseServerError { message, .. } => {
            foreign::shown(message.trim(), 600).into()
        }
        error => Box::new(error),
    }
}

/// The user's logins to the registries that the Dockerfile may pull from.
async fn logins(engine: &Engine, spec: &str, build: &Build) -> HashMap<String, DockerCredentials> {
    // BuildKit's name of the hub.
    const HUB_TOO: &str = "registry-1.docker.io";
    // One that cannot be read fails the build, with a better reason.
    let text = std::fs::read_to_string(build.context.join(&build.dockerfile)).unwrap_or_default();
    let mut logins = HashMap::new();
    for registry in registries(&text, &build.args) {
        if let Some(login) = engine.credentials(spec, registry.clone()).await {
            if registry == HUB {
                logins.insert(HUB_TOO.to_owned(), login.clone());
            }
            logins.insert(registry, login);
        }
    }
    logins
}

/// What may be a registry in a Dockerfile: the hub, and every host in `FROM`, `from=` and `ARG`,
/// whose values may be put together to a reference.
pub(super) fn registries(dockerfile: &str, args: &BTreeMap<String, String>) -> BTreeSet<String> {
    let is_host = |host: &str| {
        (host.contains(['.', ':']) || host == "localhost")
            && host.starts_with(|it: char| it.is_ascii_alphanumeric())
            && !host.ends_with(':')
            && host.bytes().all(|it| it.is_ascii_alphanumeric() || b".-:".contains(&it))
    };
    let lines = dockerfile.lines().map(str::trim).filter(|line| {
        let word = line.split_whitespace().next().unwrap_or_default();
        ["FROM", "ARG"].iter().any(|it| it.eq_ignore_ascii_case(word)) || line.contains("from=")
    });
    lines
        .chain(args.values().map(String::as_str))
        .flat_map(|line| line.split([' ', '\t', '=', ',', '"', '\'']))
        .filter_map(|word| word.split('/').next().filter(|host| is_host(host)))
        .chain([HUB])
        .map(str::to_owned)
        .collect()
}

/// One tag per context, Dockerfile, stage and arguments: building again replaces.
fn tag(build: &Build) -> String {
    let key = format!("{:?}", (&build.context, &build.dockerfile, &build.target, &build.args));
    let mut tag = format!("{REPOSITORY}:");
    for byte in &Sha256::digest(key.as_bytes())[..8] {
        let _ = write!(tag, "{byte:02x}");
    }
    tag
}

/// The last lines of a build.
struct Log {
    lines: VecDeque<String>,
    /// The id that the classic builder and Podman name in their last line.
    built: Option<String>,
    told: Instant,
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
            if let Some(id) = line.strip_prefix("Successfully built ") {
                self.built = Some(id.to_owned());
            }
            self.lines.push_back(foreign::shown(line, 300));
        }
        if self.told.elapsed() < Duration::from_secs(5) {
            return None;
        }
        let last = self.lines.back()?.clone();
        self.told = Instant::now();
        Some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::{HUB, registries};

    #[test]
    fn registries_are_found_in_a_dockerfile() {
        let dockerfile = "ARG MIRROR=\"mirror.example:5000\"\nFROM --platform=linux/amd64 ghcr.io/a/b:1 AS x\n\
                          FROM $MIRROR/debian\nCOPY --from=quay.io/c/d /a /b\nCOPY a.b/c /etc/x.d/\n\
                          RUN --mount=type=bind,from=localhost/e,target=/e curl https://example.com/x\n";
        let args = [("BASE".to_owned(), "r.example/base".to_owned())].into();
        let found: Vec<String> = registries(dockerfile, &args).into_iter().collect();
        let wanted = ["ghcr.io", HUB, "localhost", "mirror.example:5000", "quay.io", "r.example"];
        assert_eq!(found, wanted);
        assert_eq!(registries("FROM scratch\nEXPOSE 80\n", &[].into()), [HUB.to_owned()].into());
    }
}
