//! One spec's look, from the running subject to the observation.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use futures_util::future::join_all;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use tokio::time::sleep;

use super::{
    Notes, Session, Stop,
    readiness::{self, why_gone},
    start::publishing,
};
use crate::{
    engine::{EngineError, Image, Inspection, Running, Scene, Unfit},
    look::{self, Eyes, LookError, ScanReport, ScanRequest, Sighting, TableState, Target, Vigil},
    observation::{Answer, Observation, Published, PublishedBy, ScanResult, Spoken},
    record::Evidence,
    socket::{Port, PortRange, Protocol},
    spec::{PublishMode, ReadyWhen, Scan, Spec, Subject},
};

/// Where processes are seen, from here and from a scout.
pub(super) const PROC: &str = "/proc";
/// A look that was interrupted for longer than this cannot say what happened meanwhile: whatever
/// listens for as long is seen, or the verdict is never `pass`.
pub(super) const LONGEST_GAP: Duration = Duration::from_millis(200);

impl Session {
    /// Starts the spec's containers and looks at the subject. `notes` is kept up to date, so that
    /// it tells how far this came when it is broken off.
    pub(super) async fn observe(
        &self,
        scene: &mut Scene<'_>,
        spec: &Spec,
        notes: &mut Notes,
    ) -> Result<Observation, Stop> {
        // Before anything is started, so that nothing is missed while a scout gets ready.
        let eyes = self.eyes(scene.engine()).await?;
        let (image, running, early) = self.start(scene, &eyes, spec, notes).await?;
        notes.of(&image);
        notes.container = Some(running.inspection.id.clone());
        if matches!(spec.subject, Subject::Container(_)) {
            scene.visit(&running.inspection).await?;
        }
        let view = View { spec, image: &image, running: &running, scene, eyes: &eyes };
        view.is_fit()?;
        let watch = match eyes.begin(target(&running), early).await {
            Ok(watch) => watch,
            Err(error) => {
                return Err(match (view.why_gone(error).await, &spec.ready.when) {
                    (Stop::Engine(EngineError::Exited { code, .. }), ReadyWhen::Exit(wanted))
                        if code == *wanted =>
                    {
                        EngineError::Unfit(Unfit::EndedTooSoon(code)).into()
                    }
                    (stop, _) => stop,
                });
            }
        };
        match self.look(&view, &watch).await {
            Ok(answers) => view.conclude(watch, answers, notes).await,
            Err(stop) => {
                if counts(&stop)
                    && let Ok(seen) = watch.so_far().await
                {
                    notes.partial = Some(view.partial(seen));
                }
                Err(match stop {
                    Stop::Look(error) => view.why_gone(error).await,
                    stop @ (Stop::Engine(_) | Stop::Shared(_)) => stop,
                })
            }
        }
    }

    /// Waits for readiness, then watches and scans.
    async fn look(&self, view: &View<'_, '_>, watch: &Vigil) -> Result<Answers, Stop> {
        let (engine, spec) = (view.scene.engine(), view.spec);
        // Only now, when the first sample is taken, so that nothing is missed meanwhile.
        view.eyes.can_see(target(view.running)).await?;
        view.eyes.are_neighbours(&view.addresses())?;

        let required: BTreeSet<Port> = spec.required().map(|(_, port)| port).collect();
        readiness::subject(engine, view.eyes, view.running, watch, &spec.ready, &required).await?;
        watch.begin_watch_phase();
        if view.is_over(watch) {
            return Ok(Answers { scan: no_scan(), spoken: BTreeMap::new() });
        }
        tokio::select! {
            // Only ends if the container does.
            ended = watch.wait_until(|_| false) => match ended {
                Err(error) => Err(error.into()),
                Ok(()) => Err(EngineError::Unfit(Unfit::Changed).into()),
            },
            looked = async {
                let (_, scan) = tokio::join!(sleep(spec.watch), view.scan(watch));
                let scan = view.second_look(watch, scan?).await?;
                Ok(Answers { scan, spoken: view.ask(watch).await })
            } => looked,
        }
    }
}

/// What neighbours were answered.
struct Answers {
    scan: ScanReport,
    spoken: BTreeMap<Port, Spoken>,
}

/// What one look is about.
struct View<'a, 'b> {
    spec: &'a Spec,
    image: &'a Image,
    running: &'a Running,
    scene: &'a Scene<'b>,
    eyes: &'a Eyes,
}

impl View<'_, '_> {
    /// Whether the subject can be judged at all, and from here.
    fn is_fit(&self) -> Result<(), EngineError> {
        let seen = &self.running.inspection;
        // Before anything else: a container that has ended has no address either.
        if !seen.life.is_running {
            return Err(match self.spec.ready.when {
                ReadyWhen::Exit(code) if code == seen.life.exit_code => {
                    EngineError::Unfit(Unfit::EndedTooSoon(code))
                }
                _ => readiness::exited(self.running, seen),
            });
        }
        seen.is_fit().map_err(EngineError::Unfit)?;
        if seen.addresses.is_empty() {
            return Err(EngineError::Unfit(Unfit::NoNetwork));
        }
        Ok(())
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.running.inspection.addresses.clone()
    }

    async fn why_gone(&self, error: LookError) -> Stop {
        why_gone(self.scene.engine(), self.running, error).await
    }

    /// Whether the spec waited for the container's end, and it came.
    fn is_over(&self, watch: &Vigil) -> bool {
        matches!(self.spec.ready.when, ReadyWhen::Exit(_)) && watch.ended().is_some()
    }

    /// Scans as the spec says.
    async fn scan(&self, watch: &Vigil) -> Result<ScanReport, Stop> {
        if self.spec.scan == Scan::Off {
            return Ok(no_scan());
        }
        let is_full = self.spec.scan == Scan::Full;
        let entries = self.spec.expose.iter().map(|entry| entry.ports);
        let listed: BTreeSet<Port> = entries
            .filter(|ports| !is_full || ports.single().is_some())
            .flat_map(PortRange::ports)
            .chain(self.image.declared.iter().copied())
            .chain(watch.listening())
            .collect();
        let (addresses, listed) = (self.addresses(), tcp(&listed));
        let mut request = if is_full {
            ScanRequest::full(addresses, listed)
        } else {
            ScanRequest::only(addresses, listed)
        };
        // The first scan proves whose address it is; the second look follows at once.
        request.hardware.clone_from(&self.running.inspection.hardware);
        Ok(self.eyes.scan(request).await?)
    }

    /// Tries those ports once more that listen and were not open: they may have opened after the
    /// scan had passed them.
    async fn second_look(&self, watch: &Vigil, mut first: ScanReport) -> Result<ScanReport, Stop> {
        if first.result.scanned == 0 {
            return Ok(first);
        }
        let late: BTreeSet<u16> = tcp(&watch.listening())
            .into_iter()
            .filter(|&number| first.result.answer(Port::tcp(number)) != Some(Answer::Open))
            .collect();
        if !late.is_empty() {
            let second = self.eyes.scan(ScanRequest::only(self.addresses(), late)).await?;
            first.result.answers.extend(second.result.answers);
        }
        Ok(first)
    }

    /// Ends the watch, and makes sure that the container is still the same.
    async fn conclude(
        &self,
        watch: Vigil,
        Answers { scan, spoken }: Answers,
        notes: &mut Notes,
    ) -> Result<Observation, Stop> {
        if self.is_over(&watch) {
            let sighting = watch.so_far().await?;
            notes.record.evidence = Some(self.evidence(&sighting, &scan));
            // While it ran, this was published.
            let published = self.running.inspection.published.clone();
            return Ok(self.observation(sighting, scan.result, published));
        }
        let sighting = match watch.finish().await {
            Ok(sighting) => sighting,
            Err(error) => {
                if let LookError::Gone { seen, .. } = &error {
                    notes.partial = Some(self.partial((**seen).clone()));
                }
                return Err(self.why_gone(error).await);
            }
        };
        let before = &self.running.inspection;
        let after = self.scene.engine().inspect(&before.id).await?;
        // Another address means another network, and nobody scanned it.
        if !after.life.is_same(&before.life) || after.addresses != before.addresses {
            return Err(EngineError::Unfit(Unfit::Changed).into());
        }
        if before.network_namespace().is_some_and(|namespace| namespace != sighting.netns) {
            return Err(EngineError::Unfit(Unfit::OtherNamespace).into());
        }
        notes.record.evidence = Some(self.evidence(&sighting, &scan));
        let mut seen = self.observation(sighting, scan.result, after.published);
        seen.spoken = spoken;
        seen.blind.extend(self.unpublished(&seen));
        Ok(seen)
    }

    async fn ask(&self, watch: &Vigil) -> BTreeMap<Port, Spoken> {
        let addresses = &self.running.inspection.addresses;
        let asked = watch.listening().into_iter().filter_map(|port| {
            let (_, entry) = self.spec.entry_for(port)?;
            let (wanted, is_inside) = (entry.speaks?, entry.bind.is_loopback_only());
            Some(async move {
                let spoken = if is_inside {
                    let target = target(self.running);
                    look::ask_inside(target, port, wanted, look::ASK_WITHIN).await
                } else {
                    self.eyes.ask(addresses, port, Some(wanted), look::ASK_WITHIN).await
                };
                (port, spoken)
            })
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

    /// What had been seen when the look was broken off.
    fn partial(&self, sighting: Sighting) -> Observation {
        self.observation(sighting, ScanResult::default(), Vec::new())
    }

    fn observation(
        &self,
        sighting: Sighting,
        scan: ScanResult,
        published: Vec<Published>,
    ) -> Observation {
        let elsewhere = sighting.elsewhere.then(|| {
            "a process of the container is in another network namespace, and what listens there was \
             not seen"
                .to_owned()
        });
        let gap = sighting.longest_gap;
        let blind = (gap > LONGEST_GAP).then(|| {
            format!(
                "nobody looked at the tables for {:.1} s: the machine is overloaded",
                gap.as_secs_f64()
            )
        });
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
            spoken: BTreeMap::new(),
            ephemeral: ephemeral(&self.running.inspection),
            today: today(),
            blind: blind.into_iter().chain(elsewhere).collect(),
        }
    }

    fn evidence(&self, sighting: &Sighting, scan: &ScanReport) -> Evidence {
        let read = sighting.tables.iter().filter(|(_, state)| **state == TableState::Read);
        Evidence {
            samples: u64::from(sighting.samples),
            watched: sighting.watched,
            longest_gap: sighting.longest_gap,
            scanned: scan.result.scanned,
            addresses: scan.addresses.iter().map(|report| report.address).collect(),
            tables: read.map(|(table, _)| table.path().to_owned()).collect(),
            container: self.running.inspection.id.clone(),
            network_namespace: sighting.netns,
            looked_from: match self.eyes {
                Eyes::Here => "here",
                Eyes::Far(_) => "scout",
            },
            controls: controls(scan),
        }
    }
}

/// Whether what had been seen before this stop was surely seen of the right container.
fn counts(stop: &Stop) -> bool {
    !matches!(
        stop,
        Stop::Look(
            LookError::Unverified { .. }
                | LookError::Stranger { .. }
                | LookError::SharedNamespace { .. }
                | LookError::Recycled { .. }
                | LookError::Moved { .. }
        )
    )
}

/// Where the look finds a container that was started.
pub(super) fn target(running: &Running) -> Target {
    Target {
        proc_root: PathBuf::from(PROC),
        pid: running.inspection.life.pid,
        container: running.inspection.id.clone(),
        age: running.since.elapsed(),
    }
}

fn no_scan() -> ScanReport {
    ScanReport { result: ScanResult::default(), addresses: Vec::new() }
}

fn tcp(ports: &BTreeSet<Port>) -> BTreeSet<u16> {
    let tcp = ports.iter().filter(|port| port.protocol == Protocol::Tcp);
    tcp.map(|port| port.number).collect()
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
    // An address that gave no answer shows nothing.
    for report in scan.addresses.iter().filter(|report| report.open + report.refused > 0) {
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
