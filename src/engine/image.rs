//! What is looked at, resolved once: from a reference, a build or an archive to an image's id.
//!
//! Everything is created from that id, so that a tag which moves in the middle of a run changes
//! nothing.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use bollard::{
    auth::DockerCredentials,
    errors::Error,
    models::{CreateImageInfo, ImageInspect},
    query_parameters::CreateImageOptionsBuilder,
};
use docker_credential::DockerCredential;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::{
    archive, build,
    client::{Engine, REQUEST, is_missing, request},
    error::{Cause, EngineError},
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
        if let Subject::Archive(path) = subject {
            // Not shared with other specs: what was loaded goes away with the scene.
            let id = archive::load(self, path, platform).await?;
            return engine.resolved(&id, &subject.shown(), platform).await;
        }
        let key = format!("{subject:?} {platform:?}");
        let cell = match engine.images.lock() {
            Ok(mut images) => Arc::clone(images.entry(key).or_default()),
            Err(poisoned) => Arc::clone(poisoned.into_inner().entry(key).or_default()),
        };
        let spec = self.spec();
        let image = cell
            .get_or_try_init(|| async {
                match subject {
                    Subject::Image(reference) => {
                        engine.pulled(spec, reference, platform, policy).await
                    }
                    Subject::Build(build) => {
                        let id = build::build(engine, spec, build, platform).await?;
                        engine.resolved(&id, &subject.shown(), platform).await
                    }
                    Subject::Archive(_) | Subject::Container(_) => {
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
        let seen = request(what, REQUEST, self.docker.inspect_image(id)).await?;
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

    async fn pulled(
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
        self.pull(spec, reference, platform).await?;
        self.resolved(reference, reference, platform).await
    }

    async fn pull(
        &self,
        spec: &str,
        reference: &str,
        platform: Option<&Platform>,
    ) -> Result<(), EngineError> {
        let failed = |cause: Cause| EngineError::Pull { image: reference.to_owned(), cause };
        self.tell(spec, &format!("pulling {reference}"));
        let credentials = credentials(registry(reference)).await;
        let whole = with_tag(reference);
        let mut options = CreateImageOptionsBuilder::default().from_image(&whole);
        let platform = platform.map(ToString::to_string);
        if let Some(platform) = &platform {
            options = options.platform(platform);
        }
        let mut stream =
            Box::pin(self.docker.create_image(Some(options.build()), None, credentials));
        let begun = Instant::now();
        let mut layers = Layers::default();
        loop {
            let limit = PULL_STALLS.min(PULL.saturating_sub(begun.elapsed()));
            let Ok(item) = timeout(limit, stream.next()).await else {
                return Err(EngineError::Deadline {
                    what: format!("go on pulling `{reference}`"),
                    limit: PULL_STALLS,
                });
            };
            match item {
                None => return Ok(()),
                Some(Ok(info)) => {
                    if let Some(message) =
                        info.error_detail.as_ref().and_then(|it| it.message.clone())
                    {
                        return Err(failed(Box::new(Error::DockerStreamError { error: message })));
                    }
                    if let Some(line) = layers.note(info) {
                        self.tell(spec, &format!("pulling {reference}: {line}"));
                    }
                }
                // bollard 0.21 stumbles over a line that ends between two reads, although the pull
                // goes on; whether the image is there is asked next anyway.
                Some(Err(error)) if error.to_string().contains("bytes remaining on stream") => {
                    return Ok(());
                }
                Some(Err(error)) => return Err(failed(Box::new(error))),
            }
        }
    }
}

/// How far a pull has come.
#[derive(Default)]
struct Layers {
    sizes: std::collections::HashMap<String, (i64, i64)>,
    told: Option<Instant>,
}

impl Layers {
    /// A line worth telling, every few seconds.
    fn note(&mut self, info: CreateImageInfo) -> Option<String> {
        let progress = info.progress_detail?;
        let size = (progress.current.unwrap_or_default(), progress.total.unwrap_or_default());
        self.sizes.insert(info.id?, size);
        if self.told.is_some_and(|told| told.elapsed() < Duration::from_secs(3)) {
            return None;
        }
        self.told = Some(Instant::now());
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
    let digest = seen
        .repo_digests
        .unwrap_or_default()
        .iter()
        .filter_map(|digest| digest.split_once('@'))
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
        platform: platform.map(|platform| foreign::shown(&platform, 60)),
        declared,
        has_health_check: config
            .healthcheck
            .and_then(|check| check.test)
            .is_some_and(|test| !test.is_empty() && test[0] != "NONE"),
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
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host.to_owned(),
        _ => "https://index.docker.io/v1/".to_owned(),
    }
}

/// The user's login to a registry, from the Docker CLI's configuration and its helpers.
async fn credentials(registry: String) -> Option<DockerCredentials> {
    // Helpers are programs that may take their time.
    let found = tokio::task::spawn_blocking(move || docker_credential::get_credential(&registry));
    match timeout(Duration::from_secs(20), found).await.ok()?.ok()?.ok()? {
        DockerCredential::IdentityToken(token) => {
            Some(DockerCredentials { identitytoken: Some(token), ..DockerCredentials::default() })
        }
        DockerCredential::UsernamePassword(username, password) => Some(DockerCredentials {
            username: Some(username),
            password: Some(password),
            ..DockerCredentials::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::{convert, is_for, registry, repository, same_repository, with_tag};
    use crate::{socket::Port, spec::Platform};

    #[test]
    fn references_are_taken_apart() {
        for (reference, whole, name, host) in [
            ("nginx", "nginx:latest", "nginx", "https://index.docker.io/v1/"),
            ("nginx:1.29", "nginx:1.29", "nginx", "https://index.docker.io/v1/"),
            ("acme/web", "acme/web:latest", "acme/web", "https://index.docker.io/v1/"),
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
    fn a_declaration_that_cannot_be_read_is_an_error() {
        let seen = serde_json::from_str(r#"{"Config":{"ExposedPorts":{"http/tcp":{}}}}"#).unwrap();
        assert!(convert(seen, "x").is_err());
    }
}
