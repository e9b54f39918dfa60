//! From a spec to a running subject: its image, its network, its companions, itself.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{Notes, Session, Stop, observe::PROC, readiness};
use crate::{
    engine::{EngineError, Image, Running, Scene, Unfit},
    foreign::shown,
    look::{Early, Eyes},
    progress::Event,
    spec::{Companion, Egress, PublishMode, ReadyWhen, Spec, Subject},
};

impl Session {
    /// Starts what the spec looks at, or finds the container that already runs.
    pub(super) async fn start(
        &self,
        scene: &mut Scene<'_>,
        eyes: &Eyes,
        spec: &Spec,
        notes: &mut Notes,
    ) -> Result<(Image, Running, Option<Early>), Stop> {
        if let Subject::Container(name) = &spec.subject {
            return attach(scene, name).await.map(|(image, running)| (image, running, None));
        }
        let pull = self.options.pull;
        // What must be done before anything is made takes as long as resolving the image.
        let engine = scene.engine();
        let resolving = scene.image(&spec.subject, spec.platform.as_ref(), pull);
        let ((), image) = tokio::join!(engine.prepare(), resolving);
        let image = image?;
        notes.of(&image);
        if matches!(spec.ready.when, ReadyWhen::Healthy) && !image.has_health_check {
            return Err(EngineError::Unfit(Unfit::NoHealthCheck).into());
        }
        let mut companions = Vec::new();
        for companion in &spec.needs {
            let image = scene.image(&companion.subject, None, pull).await;
            companions.push((companion, image.map_err(|error| of(companion, error))?));
        }
        // A network of its own costs time: only where names or the way out depend on it.
        let network = if !spec.needs.is_empty() || spec.run.egress == Egress::Deny {
            Some(scene.network(spec.run.egress).await?)
        } else {
            None
        };
        for (companion, image) in companions {
            let name = shown(&companion.name, 60);
            self.tell(&spec.name, Event::Now(&format!("starting `{name}`")));
            start_companion(scene, eyes, companion, &image, network.as_deref(), notes).await?;
        }
        notes.container = None;
        let network = network.as_deref().map(|network| (network, None));
        self.tell(&spec.name, Event::Now("starting"));
        let mut early = None;
        let made = |id: &str| early = eyes.expect(PROC.into(), id);
        let publish = publishing(spec);
        let engine = scene.engine();
        let starting = scene.start(&image, &spec.run, network, &publish, made);
        let (running, ()) = tokio::join!(starting, engine.sweep_images());
        Ok((image, running?, early))
    }
}

/// What is published. From a network without a way out, an engine publishes nothing.
pub(super) fn publishing(spec: &Spec) -> PublishMode {
    match spec.run.egress {
        Egress::Allow => spec.run.publish.clone(),
        Egress::Deny => PublishMode::None,
    }
}

async fn start_companion(
    scene: &mut Scene<'_>,
    eyes: &Eyes,
    companion: &Companion,
    image: &Image,
    network: Option<&str>,
    notes: &mut Notes,
) -> Result<(), Stop> {
    let network = network.map(|network| (network, Some(companion.name.as_str())));
    let started = scene.start(image, &companion.run, network, &PublishMode::None, |_| {}).await;
    let running = started.map_err(|error| of(companion, error))?;
    notes.container = Some(running.inspection.id.clone());
    let ready = readiness::companion(scene.engine(), eyes, &running, &companion.ready).await;
    ready.map_err(|stop| {
        of(
            companion,
            match stop {
                Stop::Engine(error) => error,
                Stop::Shared(stop) => return Stop::Shared(stop),
                Stop::Look(error) => EngineError::Request {
                    what: "see whether it is ready".to_owned(),
                    cause: Box::new(error),
                },
            },
        )
        .into()
    })
}

fn of(companion: &Companion, error: EngineError) -> EngineError {
    EngineError::Companion { name: companion.name.clone(), cause: Box::new(error) }
}

/// Finds a container that already runs.
async fn attach(scene: &Scene<'_>, name: &str) -> Result<(Image, Running), Stop> {
    let inspection = scene.engine().inspect(name).await?;
    if !inspection.life.is_running {
        return Err(EngineError::Unfit(Unfit::NotRunning(shown(name, 80))).into());
    }
    let image = scene.engine().resolved(&inspection.image, name, None).await?;
    let age = inspection
        .life
        .started_at
        .parse::<Timestamp>()
        .ok()
        .and_then(|started| Duration::try_from(Timestamp::now().duration_since(started)).ok())
        .unwrap_or_default();
    let since = Instant::now().checked_sub(age).unwrap_or_else(Instant::now);
    Ok((image, Running { inspection, since }))
}
