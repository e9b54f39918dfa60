//! One spec's look, from the image to the observation.

use std::{
    collections::BTreeSet,
    ops::RangeInclusive,
    path::PathBuf,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use tokio::time::{sleep, timeout};

use super::{Notes, Session, Stop};
use crate::{
    engine::{
        Condition, EngineError, Image, Inspection, Running, Scene, Unfit, wait_for,
    },
    look::{self, LookError, ScanReport, ScanRequest, Sighting, Target, Watch},
    observation::{Answer, Observation, PublishedBy, ScanResult},
    record::Evidence,
    socket::{Port, Protocol},
    spec::{Companion, Egress, PublishMode, Ready, ReadyWhen, Scan, Spec, Subject},
};

/// How long one port is asked what it speaks.
const ASK: Duration = look::ASK_WITHIN;

impl Session {
    /// Starts the spec's containers and looks at the subject. `notes` is kept up to date, so that
    /// it tells how far this came when it is broken off.
    pub(super) async fn observe(
        &self,
        scene: &mut Scene<'_>,
        spec: &Spec,
        notes: &mut Notes,
    ) -> Result<Observation, Stop> {
        let (image, running) = match &spec.subject {
            Subject::Container(name) => attach(scene, name).await?,
            _ => self.start(scene, spec, notes).await?,
        };
        notes.record.digest = Some(image.digest.clone());
        notes.record.platform.clone_from(&image.platform);
        notes.container = Some(running.inspection.id.clone());

        if !scene.engine().is_local() {
            let endpoint = scene.engine().name().endpoint.clone();
            return Err(EngineError::Unfit(Unfit::OutOfSight(endpoint)).into());
        }
        let view = View { spec, image: &image, running: &running, scene };
        let watch = match Watch::begin(&view.target()) {
            Ok(watch) => watch,
            Err(error) => return Err(view.why_gone(error).await),
        };
        let looked = self.look(&view, &watch).await;
        match looked {
            Ok(scan) => view.conclude(watch, scan, notes).await,
            Err(stop) => {
                if let Ok(seen) = watch.so_far().await {
                    notes.partial = Some(view.observation(seen, ScanResult::default(), vec![]));
                }
                Err(match stop {
                    Stop::Look(error) => view.why_gone(error).await,
                    stop @ Stop::Engine(_) => stop,
                })
            }
        }
    }

    /// Makes the image, the network and the companions, and starts the subject.
    async fn start(
        &self,
        scene: &mut Scene<'_>,
        spec: &Spec,
        notes: &mut Notes,
    ) -> Result<(Image, Running), Stop> {
        let pull = self.options.pull;
        let image = scene.image(&spec.subject, spec.platform.as_ref(), pull).await?;
        notes.record.digest = Some(image.digest.clone());
        notes.record.platform.clone_from(&image.platform);
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
            self.start_companion(scene, companion, &image, network.as_deref(), notes).await?;
        }
        notes.container = None;
        let network = network.as_deref().map(|network| (network, None));
        let running = scene.start(&image, &spec.run, network, &publishing(spec)).await?;
        Ok((image, running))
    }

    async fn start_companion(
        &self,
        scene: &mut Scene<'_>,
        companion: &Companion,
        image: &Image,
        network: Option<&str>,
        notes: &mut Notes,
    ) -> Result<(), Stop> {
        let network = network.map(|network| (network, Some(companion.name.as_str())));
        let started = scene.start(image, &companion.run, network, &PublishMode::None).await;
        let running = started.map_err(|error| of(companion, error))?;
        notes.container = Some(running.inspection.id.clone());
        let ready = companion_ready(scene, companion, &running).await;
        ready.map_err(|stop| match stop {
            Stop::Engine(error) => of(companion, error).into(),
            stop @ Stop::Look(_) => stop,
        })
    }

    /// Waits for readiness, then watches and scans.
    async fn look(
        &self,
        view: &View<'_, '_>,
        watch: &Watch,
    ) -> Result<ScanReport, Stop> {
        // Once the first sample is taken, so that nothing is missed meanwhile.
        view.running.inspection.is_fit().map_err(EngineError::Unfit)?;
        if view.running.inspection.addresses.is_empty() {
            return Err(EngineError::Unfit(Unfit::NoNetwork).into());
        }
        look::can_see(&view.target())?;
        let control = || async {
            tokio::task::spawn_blocking(look::control).await.unwrap_or_else(|error| {
                Err(LookError::Internal { what: error.to_string() })
            })
        };
        self.control.get_or_init(control).await.clone()?;

        view.ready(watch).await?;
        watch.begin_watch_phase();
        let (_, scan) = tokio::join!(sleep(view.spec.watch), view.scan(watch));
        let scan = scan?;
        view.second_look(watch, scan).await
    }
}

/// What one look is about.
struct View<'a, 'b> {
    spec: &'a Spec,
    image: &'a Image,
    running: &'a Running,
    scene: &'a Scene<'b>,
}

impl View<'_, '_> {
    fn target(&self) -> Target {
        target(self.running)
    }

    /// Waits for what the spec states under `ready`, or for every required port.
    async fn ready(&self, watch: &Watch) -> Result<(), Stop> {
        let Ready { when, within } = &self.spec.ready;
        let container = &self.running.inspection.id;
        let addresses = &self.running.inspection.addresses;
        let condition = match when {
            ReadyWhen::Required => {
                let required: BTreeSet<Port> = self.spec.required().map(|(_, port)| port).collect();
                let all = watch.wait_until(|listening| required.is_subset(listening));
                return match timeout(*within, all).await {
                    Ok(listening) => Ok(listening?),
                    // The container lives: what is there is looked at and judged.
                    Err(_) => Ok(()),
                };
            }
            ReadyWhen::Port(port) => {
                let listens = watch.wait_until(|listening| listening.contains(port));
                return match timeout(*within, listens).await {
                    Ok(listening) => Ok(listening?),
                    Err(_) => Err(not_ready(format!("{port} does not listen"), *within)),
                };
            }
            ReadyWhen::Exit(code) => return self.exits(watch, *code, *within).await,
            ReadyWhen::Log(pattern) => Condition::Log(pattern),
            ReadyWhen::Healthy => Condition::Healthy,
            ReadyWhen::Http(check) => Condition::Http(check),
        };
        let engine = self.scene.engine();
        let comes_true = async {
            tokio::select! {
                ready = wait_for(engine, container, addresses, &condition) => Ok(ready?),
                // Only ends if the container does.
                ended = watch.wait_until(|_| false) => Ok(ended?),
            }
        };
        match timeout(*within, comes_true).await {
            Ok(ready) => ready,
            Err(_) => Err(not_ready(described(when), *within)),
        }
    }

    /// Waits for the container to end with `code`.
    async fn exits(&self, watch: &Watch, code: i64, within: Duration) -> Result<(), Stop> {
        match timeout(within, watch.wait_until(|_| false)).await {
            Ok(Err(LookError::Gone { .. })) => {}
            Ok(ended) => return Ok(ended?),
            Err(_) => return Err(not_ready("it still runs".to_owned(), within)),
        }
        let life = self.ended().await?;
        if life.life.exit_code == code {
            Ok(())
        } else {
            Err(self.exited(&life).into())
        }
    }

    /// Scans as the spec says.
    async fn scan(&self, watch: &Watch) -> Result<ScanReport, Stop> {
        if self.spec.scan == Scan::Off || self.is_over(watch) {
            return Ok(ScanReport { result: ScanResult::default(), addresses: Vec::new() });
        }
        let entries = self.spec.expose.iter().map(|entry| entry.ports);
        let listed: BTreeSet<Port> = entries
            .filter(|ports| self.spec.scan == Scan::Listed || ports.single().is_some())
            .flat_map(crate::socket::PortRange::ports)
            .chain(self.image.declared.iter().copied())
            .chain(watch.listening())
            .collect();
        let request = self.request(self.spec.scan == Scan::Full, tcp(&listed));
        Ok(look::scan(request).await?)
    }

    /// Tries those ports once more that listen and were not open: they may have opened after the
    /// scan had passed them.
    async fn second_look(&self, watch: &Watch, mut first: ScanReport) -> Result<ScanReport, Stop> {
        if first.result.scanned == 0 {
            return Ok(first);
        }
        let late: BTreeSet<u16> = tcp(&watch.listening())
            .into_iter()
            .filter(|&number| first.result.answer(Port::tcp(number)) != Some(Answer::Open))
            .collect();
        if !late.is_empty() {
            let second = look::scan(self.request(false, late)).await?;
            first.result.answers.extend(second.result.answers);
        }
        Ok(first)
    }

    fn request(&self, full: bool, listed: BTreeSet<u16>) -> ScanRequest {
        let addresses = self.running.inspection.addresses.clone();
        ScanRequest { addresses, full, listed, within: look::SCAN_WITHIN }
    }

    /// Whether the spec waited for the container's end.
    fn is_over(&self, watch: &Watch) -> bool {
        matches!(self.spec.ready.when, ReadyWhen::Exit(_)) && watch.ended().is_some()
    }

    /// Asks the ports what they speak, ends the watch, and makes sure that the container is still
    /// the same.
    async fn conclude(
        &self,
        watch: Watch,
        scan: ScanReport,
        notes: &mut Notes,
    ) -> Result<Observation, Stop> {
        let spoken = self.ask(&watch).await;
        let is_over = self.is_over(&watch);
        let (sighting, published) = if is_over {
            (watch.so_far().await?, Vec::new())
        } else {
            let sighting = match watch.finish().await {
                Ok(sighting) => sighting,
                Err(error) => return Err(self.why_gone(error).await),
            };
            let after = self.scene.engine().inspect(&self.running.inspection.id).await?;
            if after.life != self.running.inspection.life {
                return Err(EngineError::Unfit(Unfit::Changed).into());
            }
            (sighting, after.published)
        };
        notes.record.evidence = Some(Evidence {
            samples: u64::from(sighting.samples),
            watched: sighting.watched,
            scanned: scan.result.scanned,
            addresses: scan.addresses.iter().map(|report| report.address).collect(),
            tables: sighting
                .tables
                .iter()
                .filter(|(_, state)| **state == look::TableState::Read)
                .map(|(table, _)| table.path().to_owned())
                .collect(),
            container: self.running.inspection.id.clone(),
            network_namespace: sighting.netns,
            controls: controls(&scan),
        });
        let mut seen = self.observation(sighting, scan.result, published);
        seen.spoken = spoken;
        if !is_over {
            seen.blind.extend(self.unpublished(&seen));
        }
        Ok(seen)
    }

    async fn ask(
        &self,
        watch: &Watch,
    ) -> std::collections::BTreeMap<Port, crate::observation::Spoken> {
        let addresses = &self.running.inspection.addresses;
        let asked = watch.listening().into_iter().filter_map(|port| {
            let wanted = self.spec.entry_for(port)?.1.speaks?;
            Some(async move { (port, look::ask(addresses, port, Some(wanted), ASK).await) })
        });
        join_all(asked).await.into_iter().collect()
    }

    /// What portlid asked the engine to publish, and the engine did not.
    fn unpublished(&self, seen: &Observation) -> Option<String> {
        let asked: BTreeSet<Port> = match (&self.spec.subject, publishing(self.spec)) {
            (Subject::Container(_), _) | (_, PublishMode::None) => return None,
            (_, PublishMode::All) => self.image.declared.clone(),
            (_, PublishMode::List(list)) => list.iter().map(|entry| entry.port).collect(),
        };
        let missing = asked
            .into_iter()
            .find(|&port| !seen.published.iter().any(|published| published.port == port))?;
        Some(format!("the engine was asked to publish {missing}, and did not"))
    }

    fn observation(
        &self,
        sighting: Sighting,
        scan: ScanResult,
        published: Vec<crate::observation::Published>,
    ) -> Observation {
        Observation {
            declared: self.image.declared.clone(),
            published,
            published_by: match (&self.spec.subject, &self.spec.run.publish) {
                (Subject::Container(_), _) => PublishedBy::Others,
                (_, PublishMode::List(_)) => PublishedBy::Spec,
                (_, PublishMode::All | PublishMode::None) => PublishedBy::Declaration,
            },
            sockets: sighting.sockets,
            lost: sighting.lost,
            scan,
            spoken: std::collections::BTreeMap::new(),
            ephemeral: ephemeral(&self.running.inspection),
            today: today(),
            blind: Vec::new(),
        }
    }

    /// What a process's end means: the container's, with its exit status, if it ended.
    async fn why_gone(&self, error: LookError) -> Stop {
        let is_gone = matches!(
            error,
            LookError::Gone { .. } | LookError::NoProcess { .. } | LookError::Recycled { .. }
        );
        if !is_gone {
            return error.into();
        }
        match self.ended().await {
            Ok(after) if !after.life.is_running => self.exited(&after).into(),
            Ok(after) if after.life != self.running.inspection.life => {
                EngineError::Unfit(Unfit::Changed).into()
            }
            Ok(_) | Err(_) => error.into(),
        }
    }

    /// Inspects the container once the engine has noticed its end, which takes it a moment.
    async fn ended(&self) -> Result<Inspection, EngineError> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let seen = self.scene.engine().inspect(&self.running.inspection.id).await?;
            if !seen.life.is_running || Instant::now() >= deadline {
                return Ok(seen);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn exited(&self, after: &Inspection) -> EngineError {
        EngineError::Exited {
            code: after.life.exit_code,
            out_of_memory: after.life.out_of_memory,
            after: self.running.since.elapsed(),
        }
    }
}

/// Finds a container that already runs.
async fn attach(scene: &Scene<'_>, name: &str) -> Result<(Image, Running), Stop> {
    let inspection = scene.engine().inspect(name).await?;
    if !inspection.life.is_running {
        return Err(EngineError::Unfit(Unfit::NotRunning(crate::foreign::shown(name, 80))).into());
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

async fn companion_ready(
    scene: &Scene<'_>,
    companion: &Companion,
    running: &Running,
) -> Result<(), Stop> {
    let Ready { when, within } = &companion.ready;
    let (engine, seen) = (scene.engine(), &running.inspection);
    let condition = match when {
        ReadyWhen::Required => return Ok(()),
        ReadyWhen::Port(port) => {
            let watch = Watch::begin(&target(running))?;
            return match timeout(*within, watch.wait_until(|it| it.contains(port))).await {
                Ok(listening) => Ok(listening?),
                Err(_) => Err(not_ready(format!("{port} does not listen"), *within)),
            };
        }
        ReadyWhen::Exit(code) => {
            let ends = async {
                loop {
                    let seen = engine.inspect(&seen.id).await?;
                    if !seen.life.is_running {
                        return Ok::<_, EngineError>(seen);
                    }
                    sleep(Duration::from_millis(50)).await;
                }
            };
            return match timeout(*within, ends).await {
                Ok(ended) if ended.as_ref().is_ok_and(|it| it.life.exit_code == *code) => Ok(()),
                Ok(ended) => {
                    let life = ended?.life;
                    Err(EngineError::Exited {
                        code: life.exit_code,
                        out_of_memory: life.out_of_memory,
                        after: running.since.elapsed(),
                    }
                    .into())
                }
                Err(_) => Err(not_ready("it still runs".to_owned(), *within)),
            };
        }
        ReadyWhen::Log(pattern) => Condition::Log(pattern),
        ReadyWhen::Healthy => Condition::Healthy,
        ReadyWhen::Http(check) => Condition::Http(check),
    };
    match timeout(*within, wait_for(engine, &seen.id, &seen.addresses, &condition)).await {
        Ok(ready) => Ok(ready?),
        Err(_) => Err(not_ready(described(when), *within)),
    }
}

fn of(companion: &Companion, error: EngineError) -> EngineError {
    EngineError::Companion { name: companion.name.clone(), cause: Box::new(error) }
}

fn target(running: &Running) -> Target {
    Target {
        proc_root: PathBuf::from("/proc"),
        pid: running.inspection.life.pid,
        container: running.inspection.id.clone(),
        age: running.since.elapsed(),
    }
}

/// What is published. From a network without a way out, an engine publishes nothing.
fn publishing(spec: &Spec) -> PublishMode {
    match spec.run.egress {
        Egress::Allow => spec.run.publish.clone(),
        Egress::Deny => PublishMode::None,
    }
}

fn tcp(ports: &BTreeSet<Port>) -> BTreeSet<u16> {
    let tcp = ports.iter().filter(|port| port.protocol == Protocol::Tcp);
    tcp.map(|port| port.number).collect()
}

fn not_ready(what: String, within: Duration) -> Stop {
    EngineError::NotReady { what, within }.into()
}

fn described(when: &ReadyWhen) -> String {
    match when {
        ReadyWhen::Required => "a required port does not listen".to_owned(),
        ReadyWhen::Port(port) => format!("{port} does not listen"),
        ReadyWhen::Log(pattern) => {
            format!("no line of the log matches `{}`", crate::foreign::shown(pattern.as_str(), 120))
        }
        ReadyWhen::Healthy => "its health check does not say healthy".to_owned(),
        ReadyWhen::Http(check) => format!(
            "`{}` on {} is not answered with {}",
            crate::foreign::shown(&check.path, 120),
            check.port,
            check.status
        ),
        ReadyWhen::Exit(code) => format!("it did not end with {code}"),
    }
}

/// The namespace's range for clients' ports: a new namespace has the kernel's default, whatever the
/// host's is, unless the container was created with another.
fn ephemeral(inspection: &Inspection) -> RangeInclusive<u16> {
    let set = inspection.sysctls.get("net.ipv4.ip_local_port_range");
    let ends = set.and_then(|text| {
        let mut ends = text.split_ascii_whitespace().map(str::parse::<u16>);
        Some((ends.next()?.ok()?, ends.next()?.ok()?))
    });
    ends.map_or(look::EPHEMERAL, |(first, last)| first..=last)
}

/// What showed that the eyes work.
fn controls(scan: &ScanReport) -> Vec<String> {
    let mut controls = vec!["own listener seen in the tables, with its owner, and open".to_owned()];
    for report in &scan.addresses {
        controls.push(format!(
            "{} answered: {} open, {} refused",
            report.address, report.open, report.refused
        ));
    }
    controls
}

fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}
