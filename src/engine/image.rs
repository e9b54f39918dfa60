//! What is looked at, resolved once: from a reference, a build or an archive to an image's id.
//!
//! Everything is created from that id, so that a tag which moves in the middle of a run changes
//! nothing.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use bollard::{
    auth::DockerCredentials,
    errors::Error,
    models::{CreateImageInfo, ImageInspect},
    query_parameters::CreateImageOptionsBuilder,
};
use docker_credential::DockerCredential;
use futures_util::{Stream, StreamExt};
use tokio::time::timeout;

use super::{
    archive, build,
    client::{Engine, is_missing, patience, patiently, request, untrue},
    error::{Cause, EngineError},
    meter::unending,
    scene::Scene,
};
use crate::{
    foreign,
    socket::{Port, PortRange},
    spec::{Platform, Subject},
};

/// A pull without a word for this long has stalled.
const PULL_STALLS: Duration = Duration::from_secs(120);
/// No pull takes longer than this.
const PULL: Duration = Duration::from_secs(30 * 60);

/// The registry of references that name none, as the Docker CLI's configuration names it.
pub(super) const HUB: &str = "https://index.docker.io/v1/";

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PullPolicy {
    /// If the engine does not have it.
    #[default]
    Missing,
    /// In any case.
    Always,
    /// Not at all.
    Never,
}

/// An image that the engine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The engine's id of it, `sha256:...`.
    pub id: String,
    /// The registry's digest of the reference, else the id.
    pub digest: String,
    /// Every digest under which it came from a registry, whatever its name there.
    pub digests: BTreeSet<String>,
    /// What it is for.
    pub platform: Option<String>,
    /// The ports that it declares (`Config.ExposedPorts`).
    pub declared: BTreeSet<Port>,
    /// Whether it has a health check.
    pub has_health_check: bool,
}

impl Scene<'_> {
    /// Makes sure that the engine has the image, and resolves it.
    ///
    /// # Errors
    ///
    /// If it cannot be pulled, built or loaded, or is for another platform.
    pub async fn image(
        &mut self,
        subject: &Subject,
        platform: Option<&Platform>,
        policy: PullPolicy,
    ) -> Result<Image, EngineError> {
        let engine = self.engine();
        let known = engine.images.of(subject, platform);
        let spec = self.spec();
        let image = known
            .image
            .get_or_try_init(|| async {
                if let Some(error) = known.failure() {
                    return Err(error);
                }
                match subject {
                    Subject::Image(reference) => {
                        engine.pulled(spec, reference, platform, policy).await
                    }
                    Subject::Build(build) => {
                        let id = build::build(engine, spec, build, platform).await?;
                        engine.resolved(&id, &subject.shown(), platform).await
                    }
                    Subject::Archive(path) => {
                        let id = archive::load(engine, spec, path, platform).await?;
                        engine.resolved(&id, &subject.shown(), platform).await
                    }
                    Subject::Container(_) => {
                        engine.resolved(&subject.shown(), &subject.shown(), platform).await
                    }
                }
            })
            .await?;
        Ok(image.clone())
    }
}

impl Engine {
    /// The image of that id, which the engine has.
    ///
    /// # Errors
    ///
    /// If the engine does not have it, or it is for another platform.
    pub async fn resolved(
        &self,
        id: &str,
        shown: &str,
        platform: Option<&Platform>,
    ) -> Result<Image, EngineError> {
        let what = format!("inspect image `{}`", foreign::shown(shown, 120));
        let inspected = patiently(|| self.docker.inspect_image(id));
        let seen = request(what.clone(), patience(), inspected).await?;
        // Podman finds short names under aliases, and those are in none of its answers.
        let is_named = self.default_runtime.is_some() || is_called(&seen, id);
        let is_whole = seen.id.as_ref().is_some_and(|id| !id.is_empty())
            && seen.os.is_some()
            && seen.architecture.is_some();
        if !is_whole {
            return Err(untrue(what, "its answer is not whole"));
        }
        if !is_named {
            return Err(untrue(what, "it answers about another image"));
        }
        let image = convert(seen, shown)?;
        match platform {
            Some(wanted) if !is_for(image.platform.as_deref(), wanted) => {
                Err(EngineError::Platform {
                    image: foreign::shown(shown, 120),
                    wanted: wanted.to_string(),
                    found: image.platform.unwrap_or_else(|| "an unknown platform".to_owned()),
                })
            }
            _ => Ok(image),
        }
    }

    pub(super) async fn pulled(
        &self,
        spec: &str,
        reference: &str,
        platform: Option<&Platform>,
        policy: PullPolicy,
    ) -> Result<Image, EngineError> {
        if policy != PullPolicy::Always {
            match self.resolved(reference, reference, platform).await {
                Ok(image) => return Ok(image),
                Err(error) if is_missing(&error) => {
                    if policy == PullPolicy::Never {
                        return Err(EngineError::PullForbidden { image: reference.to_owned() });
                    }
                }
                // The one that is there is for another platform: the registry may have the right one.
                Err(EngineError::Platform { .. }) if policy == PullPolicy::Missing => {}
                Err(error) => return Err(error),
            }
        }
        // bollard 0.21 stumbles over an answer that breaks off in the middle of a line. What came
        // of the pull is then unknown, and an old image may be there: so it is pulled once more.
        let digest = match self.pull(spec, reference, platform).await {
            Err(error) if is_cut_short(&error) => self.pull(spec, reference, platform).await?,
            pulled => pulled?,
        };
        let mut image = self.resolved(reference, reference, platform).await?;
        // An image may have come under several digests: this one is today's.
        image.digest = digest.unwrap_or(image.digest);
        Ok(image)
    }

    /// Pulls, and returns the registry's digest of the reference if the engine tells it.
    async fn pull(
        &self,
        spec: &str,
        reference: &str,
        platform: Option<&Platform>,
    ) -> Result<Option<String>, EngineError> {
        self.tell(spec, &format!("pulling {reference}"));
        let credentials = self.credentials(spec, registry(reference)).await;
        let whole = with_tag(reference);
        let mut options = CreateImageOptionsBuilder::default().from_image(&whole);
        let platform = platform.map(ToString::to_string);
        if let Some(platform) = &platform {
            options = options.platform(platform);
        }
        let answers = self.docker.create_image(Some(options.build()), None, credentials);
        let tell = |line: &str| self.tell(spec, &format!("pulling {reference}: {line}"));
        followed(unending(answers), reference, PULL_STALLS, tell).await
    }

    /// The user's login to a registry, from the Docker CLI's configuration and its helpers.
    pub(super) async fn credentials(
        &self,
        spec: &str,
        registry: String,
    ) -> Option<DockerCredentials> {
        use docker_credential::CredentialRetrievalError::{
            ConfigNotFound, ConfigReadError, HelperFailure, NoCredentialConfigured,
        };
        // Helpers are programs that may take their time.
        let host = registry.clone();
        let found = tokio::task::spawn_blocking(move || docker_credential::get_credential(&host));
        let why = match timeout(Duration::from_secs(20), found).await.ok().and_then(Result::ok) {
            Some(Ok(DockerCredential::IdentityToken(token))) => {
                self.secrets.keep("TOKEN", &token);
                return Some(DockerCredentials {
                    identitytoken: Some(token),
                    ..DockerCredentials::default()
                });
            }
            Some(Ok(DockerCredential::UsernamePassword(username, password))) => {
                self.secrets.keep("PASSWORD", &password);
                return Some(DockerCredentials {
                    username: Some(username),
                    password: Some(password),
                    ..DockerCredentials::default()
                });
            }
            // Nobody logged in there: a helper says so by failing.
            Some(Err(
                ConfigNotFound | ConfigReadError | NoCredentialConfigured | HelperFailure { .. },
            )) => return None,
            Some(Err(error)) => error.to_string(),
            None => "the credential helper does not answer".to_owned(),
        };
        self.tell(spec, &format!("the login to `{registry}` cannot be used: {why}"));
        None
    }
}

/// Reads the answer to a pull to its end; returns the digest, which Podman does not tell.
async fn followed(
    mut answers: impl Stream<Item = Result<CreateImageInfo, Error>> + Unpin,
    reference: &str,
    stalls: Duration,
    tell: impl Fn(&str),
) -> Result<Option<String>, EngineError> {
    let failed = |cause: Cause| EngineError::Pull { image: reference.to_owned(), cause };
    let begun = Instant::now();
    let mut layers = Layers { sizes: HashMap::new(), told: begun };
    let mut digest = None;
    loop {
        let left = PULL.saturating_sub(begun.elapsed());
        let Ok(item) = timeout(stalls.min(left), answers.next()).await else {
            return Err(if left < stalls {
                EngineError::Deadline { what: format!("pull `{reference}`"), limit: PULL }
            } else {
                EngineError::Deadline {
                    what: format!("go on pulling `{reference}`"),
                    limit: stalls,
                }
            });
        };
        match item {
            None => return Ok(digest),
            Some(Ok(info)) => {
                if let Some(message) = info.error_detail.as_ref().and_then(|it| it.message.clone())
                {
                    return Err(failed(Box::new(Error::DockerStreamError { error: message })));
                }
                let status = info.status.as_deref().unwrap_or_default();
                if let Some(told) = status.strip_prefix("Digest: ") {
                    digest = Some(foreign::shown(told.trim(), 160));
                }
                if let Some(line) = layers.note(info) {
                    tell(&line);
                }
            }
            Some(Err(error)) => return Err(failed(build::said(error))),
        }
    }
}

/// Whether an answer broke off in the middle of a line.
fn is_cut_short(error: &EngineError) -> bool {
    let EngineError::Pull { cause, .. } = error else { return false };
    cause.to_string().contains("bytes remaining on stream")
}

/// How far a pull has come.
struct Layers {
    sizes: HashMap<String, (i64, i64)>,
    told: Instant,
}

impl Layers {
    /// A line worth telling, every few seconds.
    fn note(&mut self, info: CreateImageInfo) -> Option<String> {
        let progress = info.progress_detail?;
        let size = (progress.current.unwrap_or_default(), progress.total.unwrap_or_default());
        self.sizes.insert(info.id?, size);
        if self.told.elapsed() < Duration::from_secs(3) {
            return None;
        }
        self.told = Instant::now();
        let (done, whole) = self
            .sizes
            .values()
            .fold((0, 0), |(done, whole), (current, total)| (done + current, whole + total));
        Some(format!("{} of {} MB", done / 1_000_000, whole / 1_000_000))
    }
}

fn convert(seen: ImageInspect, shown: &str) -> Result<Image, EngineError> {
    let config = seen.config.unwrap_or_default();
    let mut declared = BTreeSet::new();
    for text in config.exposed_ports.unwrap_or_default() {
        // Podman keeps a range as one text.
        let range: PortRange = text.parse().map_err(|error| EngineError::Request {
            what: format!(
                "read what image `{}` declares: `{}`",
                foreign::shown(shown, 120),
                foreign::shown(&text, 60)
            ),
            cause: Box::new(error),
        })?;
        declared.extend(range.ports());
    }
    let id = match seen.id.unwrap_or_default() {
        // Podman leaves the algorithm out.
        id if id.len() == 64 && !id.contains(':') => format!("sha256:{id}"),
        id => id,
    };
    let repository = repository(shown);
    let listed = seen.repo_digests.unwrap_or_default();
    let named = || listed.iter().filter_map(|digest| digest.split_once('@'));
    let digest = named()
        .find(|(name, _)| same_repository(name, repository))
        .map_or_else(|| id.clone(), |(_, digest)| digest.to_owned());
    let platform = match (seen.os, seen.architecture) {
        (Some(os), Some(architecture)) if !os.is_empty() && !architecture.is_empty() => {
            let variant = seen.variant.filter(|variant| !variant.is_empty());
            Some(Platform { os, architecture, variant }.to_string())
        }
        _ => None,
    };
    Ok(Image {
        id,
        digest,
        digests: named().map(|(_, digest)| digest.to_owned()).collect(),
        platform: platform.map(|platform| foreign::shown(&platform, 60)),
        declared,
        has_health_check: config
            .healthcheck
            .and_then(|check| check.test)
            .is_some_and(|test| !test.is_empty() && test[0] != "NONE"),
    })
}

/// Whether the image has the tag, the digest or the beginning of the id that it was asked for by.
fn is_called(seen: &ImageInspect, asked: &str) -> bool {
    let id = seen.id.as_deref().unwrap_or_default();
    // Engines differ in whose hash an id is: the image's, its index's or its configuration's.
    if asked.starts_with("sha256:") || id.trim_start_matches("sha256:").starts_with(asked) {
        return true;
    }
    if let Some((_, digest)) = asked.split_once('@') {
        let digests = seen.repo_digests.as_deref().unwrap_or_default();
        return id == digest
            || digests.iter().any(|it| it.split_once('@').is_some_and(|(_, it)| it == digest));
    }
    let whole = with_tag(asked);
    let tag = |reference: &str| reference[repository(reference).len()..].to_owned();
    seen.repo_tags.as_deref().unwrap_or_default().iter().any(|listed| {
        same_repository(repository(listed), repository(&whole)) && tag(listed) == tag(&whole)
    })
}

/// Whether an image for `found` will do where `wanted` is stated. Where either names no variant,
/// the variant does not count.
fn is_for(found: Option<&str>, wanted: &Platform) -> bool {
    let Some(found) = found else { return false };
    let mut parts = found.split('/');
    let same = parts.next() == Some(wanted.os.as_str())
        && parts.next() == Some(wanted.architecture.as_str());
    match (parts.next(), wanted.variant.as_deref()) {
        (Some(found), Some(wanted)) => same && found == wanted,
        (None, _) | (_, None) => same,
    }
}

/// A reference without tag and digest.
fn repository(reference: &str) -> &str {
    let name = reference.split('@').next().unwrap_or_default();
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    }
}

/// `nginx` is short for `docker.io/library/nginx`, and engines differ in which they list.
fn same_repository(listed: &str, wanted: &str) -> bool {
    let whole = |name: &str| -> String {
        let name = name.strip_prefix("index.docker.io/").unwrap_or(name);
        let name = name.strip_prefix("docker.io/").unwrap_or(name);
        name.strip_prefix("library/").unwrap_or(name).to_owned()
    };
    whole(listed) == whole(wanted)
}

/// The reference with a tag: without one, the engine would pull every tag there is.
fn with_tag(reference: &str) -> String {
    if reference.contains('@') || repository(reference).len() < reference.len() {
        reference.to_owned()
    } else {
        format!("{reference}:latest")
    }
}

/// The registry of a reference, as the Docker CLI names it in its configuration.
fn registry(reference: &str) -> String {
    match reference.split_once('/') {
        Some(("docker.io" | "index.docker.io", _)) | None => HUB.to_owned(),
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host.to_owned(),
        Some(_) => HUB.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bollard::{errors::Error, models::CreateImageInfo};
    use futures_util::{Stream, StreamExt, stream};

    use super::{
        EngineError, convert, followed, is_called, is_cut_short, is_for, registry, repository,
        same_repository, with_tag,
    };
    use crate::{socket::Port, spec::Platform};

    /// What comes of a pull that is answered like this; it stalls after 50 ms.
    fn followed_to_its_end(
        answers: impl Stream<Item = Result<CreateImageInfo, Error>> + Unpin,
    ) -> Result<Option<String>, EngineError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(followed(answers, "web:1", Duration::from_millis(50), |_| {}))
    }

    fn status(text: &str) -> Result<CreateImageInfo, Error> {
        Ok(CreateImageInfo { status: Some(text.to_owned()), ..CreateImageInfo::default() })
    }

    #[test]
    fn a_pull_ends_with_the_digest() {
        let answers = [status("Pulling from web"), status("Digest: sha256:1"), status("Status: x")];
        let seen = followed_to_its_end(stream::iter(answers)).unwrap();
        assert_eq!(seen, Some("sha256:1".to_owned()));
    }

    #[test]
    fn a_pull_that_stalls_ends_by_its_deadline() {
        let answers = stream::iter([status("Downloading")]).chain(stream::pending());
        let error = followed_to_its_end(answers).unwrap_err().to_string();
        assert_eq!(error, "the engine did not go on pulling `web:1` within 0.1 s");
    }

    #[test]
    fn a_pull_whose_answer_is_cut_is_known() {
        for (said, is_cut) in [("bytes remaining on stream", true), ("connection reset", false)] {
            let error = Error::IOError { err: std::io::Error::other(said) };
            let answers = [status("Pulling from web"), Err(error)];
            let error = followed_to_its_end(stream::iter(answers)).unwrap_err();
            assert_eq!(is_cut_short(&error), is_cut);
        }
    }

    #[test]
    fn references_are_taken_apart() {
        for (reference, whole, name, host) in [
            ("nginx", "nginx:latest", "nginx", "https://index.docker.io/v1/"),
            ("nginx:1.29", "nginx:1.29", "nginx", "https://index.docker.io/v1/"),
            ("acme/web", "acme/web:latest", "acme/web", "https://index.docker.io/v1/"),
            (
                "docker.io/a/w",
                "docker.io/a/w:latest",
                "docker.io/a/w",
                "https://index.docker.io/v1/",
            ),
            ("ghcr.io/acme/web:1", "ghcr.io/acme/web:1", "ghcr.io/acme/web", "ghcr.io"),
            ("host:5000/web", "host:5000/web:latest", "host:5000/web", "host:5000"),
            ("localhost/web", "localhost/web:latest", "localhost/web", "localhost"),
            ("web@sha256:00", "web@sha256:00", "web", "https://index.docker.io/v1/"),
            ("h:1/web:2@sha256:00", "h:1/web:2@sha256:00", "h:1/web", "h:1"),
        ] {
            assert_eq!(with_tag(reference), whole);
            assert_eq!(repository(reference), name);
            assert_eq!(registry(reference), host);
        }
        assert!(same_repository("docker.io/library/nginx", "nginx"));
        assert!(!same_repository("ghcr.io/acme/nginx", "nginx"));
    }

    #[test]
    fn a_variant_counts_only_where_both_name_one() {
        let wanted = |variant: Option<&str>| Platform {
            os: "linux".to_owned(),
            architecture: "arm64".to_owned(),
            variant: variant.map(str::to_owned),
        };
        assert!(is_for(Some("linux/arm64"), &wanted(None)));
        assert!(is_for(Some("linux/arm64/v8"), &wanted(None)));
        assert!(is_for(Some("linux/arm64"), &wanted(Some("v8"))));
        assert!(!is_for(Some("linux/arm64/v7"), &wanted(Some("v8"))));
        assert!(!is_for(Some("linux/amd64"), &wanted(None)));
        assert!(!is_for(None, &wanted(None)));
    }

    #[test]
    fn declared_ports_come_from_the_configuration_in_every_spelling() {
        let image = convert(
            serde_json::from_str(
                r#"{"Id":"sha256:1","Os":"linux","Architecture":"amd64","RepoDigests":["nginx@sha256:2"],
                    "Config":{"ExposedPorts":{"80/tcp":{},"53/UDP":{},"8080":{},"7000-7002/tcp":{}}}}"#,
            )
            .unwrap(),
            "nginx:1.29",
        )
        .unwrap();
        let tcp = Port::tcp;
        assert_eq!(
            image.declared,
            [Port::udp(53), tcp(80), tcp(7000), tcp(7001), tcp(7002), tcp(8080)].into()
        );
        assert_eq!(image.digest, "sha256:2");
        assert_eq!(image.platform.as_deref(), Some("linux/amd64"));
    }

    #[test]
    fn an_answer_about_another_image_is_known() {
        let seen = serde_json::from_str(
            r#"{"Id":"sha256:c0ffee11","RepoTags":["nginx:1.29","host:5000/a/web:latest"],
                "RepoDigests":["nginx@sha256:22"]}"#,
        )
        .unwrap();
        for asked in [
            "nginx:1.29",
            "docker.io/library/nginx:1.29",
            "host:5000/a/web",
            "nginx@sha256:22",
            "nginx:1.29@sha256:22",
            "c0ffee",
            "sha256:c0ffee11",
        ] {
            assert!(is_called(&seen, asked), "{asked}");
        }
        for asked in ["nginx", "nginx:1.2", "ghcr.io/nginx:1.29", "a/web", "nginx@sha256:33"] {
            assert!(!is_called(&seen, asked), "{asked}");
        }
    }

    #[test]
    fn a_declaration_that_cannot_be_read_is_an_error() {
        let seen = serde_json::from_str(r#"{"Config":{"ExposedPorts":{"http/tcp":{}}}}"#).unwrap();
        assert!(convert(seen, "x").is_err());
    }
}
