//! What dead runs left behind: found by its labels, and removed.
//!
//! Only what carries portlid's labels, has a name that portlid gives, and was made by a process
//! that has surely ended. What a live run owns is never touched, nor what only looks alike.

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

use bollard::{
    Docker,
    models::ImageSummary,
    query_parameters::{
        ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder,
        RemoveImageOptionsBuilder,
    },
};
use futures_util::future::join_all;

use super::{
    archive, build,
    client::{Engine, is_missing, patience, request},
    error::{EngineError, chain},
    helper,
    labels::{Here, Maker, RUN},
    lenient, podman,
    scene::{Made, remove_container, remove_network, removing, still_there},
};
use crate::{foreign::shown, record::LeftBehind};

/// What a sweep did.
#[derive(Debug, Default)]
pub struct Swept {
    /// What was removed, for people.
    pub removed: Vec<String>,
    /// What could not be.
    pub left: Vec<LeftBehind>,
}

/// A thing of a dead run.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stray {
    Container(String),
    Network(String),
    Image(String),
}

impl Engine {
    /// Removes the containers and networks that dead runs left behind. Done once before the first
    /// thing is made, so that they stand in nobody's way; an engine that does not say what there is
    /// keeps no run from its work.
    pub(super) async fn sweep_first(&self) {
        self.swept
            .get_or_init(|| async {
                podman::sweep();
                self.remove_strays(self.stray_guests().await).await;
            })
            .await;
    }

    /// Removes the images that dead runs left behind, once, and not before anything else was swept.
    /// An engine with many images takes a while to list some of them, and they are in nobody's way:
    /// so this goes on beside other work.
    pub async fn sweep_images(&self) {
        if self.swept.initialized() {
            let sweep = || async { self.remove_strays(self.stray_images(false).await).await };
            self.swept_images.get_or_init(sweep).await;
        }
    }

    async fn remove_strays(&self, strays: Result<Vec<Stray>, EngineError>) {
        let Ok(strays) = strays else { return };
        for what in self.remove(strays).await.removed {
            self.tell("", &format!("removed what a dead run had left: {what}"));
        }
    }

    /// Removes what dead runs left behind, and `with_builds` the images that were built from specs
    /// and are kept for the next run. With `is_dry` it only tells what it would remove.
    ///
    /// # Errors
    ///
    /// If the engine does not say what there is.
    pub async fn clean(&self, with_builds: bool, is_dry: bool) -> Result<Swept, EngineError> {
        let (guests, images) = tokio::join!(self.stray_guests(), self.stray_images(with_builds));
        let mut strays = guests?;
        strays.extend(images?);
        if is_dry {
            let removed = strays.iter().map(Stray::to_string).collect();
            return Ok(Swept { removed, left: Vec::new() });
        }
        podman::sweep();
        Ok(self.remove(strays).await)
    }

    /// The containers and networks of dead runs.
    async fn stray_guests(&self) -> Result<Vec<Stray>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), vec![RUN.to_owned()])]);
        let all = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let networks = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let (containers, networks) = tokio::join!(
            request("list the containers", patience(), lenient::list(&self.docker, all)),
            request("list the networks", patience(), self.docker.list_networks(Some(networks))),
        );
        let here = Here::now();
        let is_stray = |labels: &Option<HashMap<String, String>>, name: &str| {
            let maker = labels.as_ref().and_then(Maker::of_labels);
            maker.is_some_and(|maker| {
                maker.run() != self.run() && maker.names(name) && maker.is_gone(&here)
            })
        };
        let containers = containers?.into_iter().filter_map(|container| {
            let name = container.names?.first()?.trim_start_matches('/').to_owned();
            is_stray(&container.labels, &name).then_some(Stray::Container(name))
        });
        let networks = networks?.into_iter().filter_map(|network| {
            let name = network.name?;
            is_stray(&network.labels, &name).then_some(Stray::Network(name))
        });
        Ok(containers.chain(networks).collect())
    }

    /// The images of dead runs.
    async fn stray_images(&self, with_builds: bool) -> Result<Vec<Stray>, EngineError> {
        let here = Here::now();
        let images = images(&self.docker, with_builds).await?.into_iter().flat_map(|image| {
            let maker = Maker::of_labels(&image.labels);
            let tags = image.repo_tags.into_iter();
            let strays = tags.filter(|tag| self.is_stray(tag, maker.as_ref(), with_builds, &here));
            strays.map(Stray::Image).collect::<Vec<_>>()
        });
        Ok(images.collect())
    }

    /// Whether the tag is one that a dead run gave to an image.
    fn is_stray(&self, tag: &str, maker: Option<&Maker>, with_builds: bool, here: &Here) -> bool {
        // Podman puts a registry in front.
        let Some((repository, tag)) = tag.rsplit('/').next().and_then(|name| name.split_once(':'))
        else {
            return false;
        };
        let is_gone = |maker: &Maker| maker.run() != self.run() && maker.is_gone(here);
        match repository {
            archive::REPOSITORY => Maker::of_tag(tag).is_some_and(|maker| is_gone(&maker)),
            helper::REPOSITORY => maker.is_some_and(|maker| maker.run() == tag && is_gone(maker)),
            build::REPOSITORY => with_builds,
            _ => false,
        }
    }

    /// Containers first: they hold the networks and the images.
    async fn remove(&self, strays: Vec<Stray>) -> Swept {
        let mut swept = Swept::default();
        let (containers, others): (Vec<_>, Vec<_>) =
            strays.into_iter().partition(|stray| matches!(stray, Stray::Container(_)));
        for some in [containers, others] {
            let removals = some.into_iter().map(|stray| self.remove_one(stray));
            for (what, left) in join_all(removals).await {
                if left.is_empty() {
                    swept.removed.push(what);
                }
                swept.left.extend(left);
            }
        }
        swept
    }

    async fn remove_one(&self, stray: Stray) -> (String, Vec<LeftBehind>) {
        let what = stray.to_string();
        let left = match stray {
            Stray::Container(name) => remove_container(self, Made::of(name)).await,
            Stray::Network(name) => {
                remove_network(self, Made::of(name)).await.into_iter().collect()
            }
            Stray::Image(tag) => remove_image(self, &tag).await.into_iter().collect(),
        };
        (what, left)
    }
}

impl fmt::Display for Stray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match self {
            Self::Container(name) => ("container", name),
            Self::Network(name) => ("network", name),
            Self::Image(tag) => ("image", tag),
        };
        write!(f, "{kind} `{}`", shown(name, 200))
    }
}

/// The images under portlid's own repositories.
async fn images(docker: &Docker, with_builds: bool) -> Result<Vec<ImageSummary>, EngineError> {
    let mut repositories = vec![archive::REPOSITORY, helper::REPOSITORY];
    if with_builds {
        repositories.push(build::REPOSITORY);
    }
    // One by one: Podman wants images that meet all of several references, Docker any.
    let lists = repositories.into_iter().map(|repository| {
        let filters = HashMap::from([("reference".to_owned(), vec![repository.to_owned()])]);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        request("list the images", patience(), docker.list_images(Some(options)))
    });
    let lists: Result<Vec<_>, _> = join_all(lists).await.into_iter().collect();
    Ok(lists?.into_iter().flatten().collect())
}

/// Removes a tag of ours, and verifies that it is gone; the image goes with it unless something else
/// names it.
pub(super) async fn remove_image(engine: &Engine, tag: &str) -> Option<LeftBehind> {
    let deadline = Instant::now() + removing();
    loop {
        let options = RemoveImageOptionsBuilder::default().build();
        let removal = engine.docker.remove_image(tag, Some(options), None);
        let removed = request("remove the image", removing(), removal).await;
        let inspect = engine.docker.inspect_image(tag);
        let why = match request("inspect the image", removing(), inspect).await {
            Err(error) if is_missing(&error) => return None,
            Ok(_) => still_there(&removed),
            Err(error) => chain(&error),
        };
        if Instant::now() >= deadline {
            return Some(image_left(engine, tag, &why));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// An image of ours that could not be removed.
pub(super) fn image_left(engine: &Engine, tag: &str, why: &str) -> LeftBehind {
    LeftBehind {
        what: format!("image `{tag}`: {why}"),
        remove_with: format!("{} image rm {tag}", engine.name().name),
    }
}
