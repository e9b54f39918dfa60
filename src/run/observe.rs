//! One spec's look, from the running subject to the observation.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::RangeInclusive,
    path::PathBuf,
};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use tokio::time::sleep;

use super::{
    Notes, Session, Stop,
    readiness::{self, why_gone},
    start::publishing,
};
use crate::{
    engine::{EngineError, Image, Inspection, Running, Scene, Unfit},
    foreign::shown,
    look::{
        self, Eyes, Identity, LookError, ScanReport, ScanRequest, Seen, Sighting, TableState,
        Target, Vigil,
    },
    observation::{Answer, Observation, Published, PublishedBy, ScanResult, Spoken, Unseen},
    progress::Event,
    record::Evidence,
    socket::{Port, PortRange, Protocol},
    spec::{PublishMode, ReadyWhen, Scan, Spec, Subject},
};

/// Where processes are seen, from here and from a scout.
pub(super) const PROC: &str = "/proc";
/// Before this day no portlid was made: a clock that says so is wrong.
const FIRST_DAY: Date = jiff::civil::date(2026, 1, 1);

impl Session {
    /// Starts the spec's containers and looks at the subject. `notes` is kept up to date, so that
    /// it tells how far this came when it is broken off.
    pub(super) async fn observe(
        &self,
        scene: &mut Scene<'_>,
        spec: &Spec,
        notes: &mut Notes,
    ) -> Result<(Observation, Evidence), Stop> {
        // Before anything is started, so that nothing is missed while a scout gets ready.
        let eyes = self.eyes(scene.engine()).await?;
        let (image, running, early) = self.start(scene, &eyes, spec, notes).await?;
        notes.of(&image);
        notes.container = Some(running.inspection.id.clone());
        is_fit(spec, &running)?;
        if matches!(spec.subject, Subject::Container(_)) {
            scene.visit(&running.inspection).await?;
        }
        let view = View { spec, image: &image, running: &running, scene, eyes: &eyes };
        if let Some(hidden) = running.inspection.hides_its_sockets() {
            return Err(self.scan_alone(&view, hidden, notes).await);
        }
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
        match self.look(&view, &watch, &mut notes.is_ready).await {
            Ok(answers) => view.conclude(watch, answers, notes).await,
            Err(stop) => {
                if counts(&stop)
                    && let Ok(seen) = watch.so_far().await
                {
                    notes.watched(&seen);
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
    async fn look(
        &self,
        view: &View<'_, '_>,
        watch: &Vigil,
        is_ready: &mut bool,
    ) -> Result<Answers, Stop> {
        let (engine, spec) = (view.scene.engine(), view.spec);
        // Only now, when the first sample is taken, so that nothing is missed meanwhile.
        view.eyes.can_see(target(view.running)).await?;
        let seen = &view.running.inspection;
        view.eyes.are_neighbours(&seen.addresses, &seen.hardware).await?;

        self.tell(&spec.name, Event::Now(&readiness::waiting(spec)));
        let required: BTreeSet<Port> = if spec.explores() {
            view.image.declared.clone()
        } else {
            spec.required().map(|(_, port)| port).collect()
        };
        let ready = (&spec.ready, &required);
        *is_ready = readiness::subject(engine, view.eyes, view.running, watch, ready).await?;
        watch.begin_watch_phase().await?;
        self.tell(&spec.name, Event::Now(watching(spec)));
        if view.is_over(watch) {
            let control = view.eyes.control().await?;
            return Ok(Answers { scan: no_scan(), spoken: BTreeMap::new(), control });
        }
        tokio::select! {
            // Only ends if the container does.
            ended = watch.wait_until(|_| false) => match ended {
                Err(error) => Err(error.into()),
                Ok(()) => Err(EngineError::Unfit(Unfit::Changed).into()),
            },
            looked = async {
                // The eyes have to work now, not only when the run began.
                let (_, scan, control) =
                    tokio::join!(sleep(spec.watch), async {
                    view.scan(&watch.listening()).await
                }, view.eyes.control());
                let (scan, control) = (view.second_look(watch, scan?).await?, control?);
                let spoken = view.ask(watch, &scan.result).await;
                Ok(Answers { scan, spoken, control })
            } => looked,
        }
    }
}

/// What neighbours were answered.
struct Answers {
    scan: ScanReport,
    spoken: BTreeMap<Port, Spoken>,
    /// The positive control, seen meanwhile.
    control: Seen,
}

/// Whether the subject can be judged at all, and from here.
fn is_fit(spec: &Spec, running: &Running) -> Result<(), EngineError> {
    let seen = &running.inspection;
    // Before anything else: a container that has ended has no address either.
    if !seen.life.is_running {
        return Err(match spec.ready.when {
            ReadyWhen::Exit(code) if code == seen.life.exit_code => {
                EngineError::Unfit(Unfit::EndedTooSoon(code))
            }
            _ => readiness::exited(running, seen),
        });
    }
    seen.is_fit().map_err(EngineError::Unfit)?;
    if seen.addresses.is_empty() {
        return Err(EngineError::Unfit(Unfit::NoNetwork));
    }
    Ok(())
}

/// What one look is about.
pub(super) struct View<'a, 'b> {
    pub(super) spec: &'a Spec,
    image: &'a Image,
    pub(super) running: &'a Running,
    pub(super) scene: &'a Scene<'b>,
    pub(super) eyes: &'a Eyes,
}

impl View<'_, '_> {
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        self.running.inspection.addresses.clone()
    }

    async fn why_gone(&self, error: LookError) -> Stop {
        why_gone(self.scene.engine(), self.running, error).await
    }

    /// Whether the spec waited for the container's end, and it came.
    fn is_over(&self, watch: &Vigil) -> bool {
        matches!(self.spec.ready.when, ReadyWhen::Exit(_))
            && matches!(watch.ended(), Some(LookError::Gone { .. }))
    }

    /// Scans as the spec says.
    pub(super) async fn scan(&self, listening: &BTreeSet<Port>) -> Result<ScanReport, Stop> {
        if self.spec.scan == Scan::Off {
            return Ok(no_scan());
        }
        let is_full = self.spec.scan == Scan::Full;
        let entries = self.spec.expose.iter().map(|entry| entry.ports);
        let listed: BTreeSet<Port> = entries
            .filter(|ports| !is_full || ports.single().is_some())
            .flat_map(PortRange::ports)
            .chain(self.image.declared.iter().copied())
            .chain(listening.iter().copied())
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
        Answers { scan, spoken, control }: Answers,
        notes: &mut Notes,
    ) -> Result<(Observation, Evidence), Stop> {
        if self.is_over(&watch) {
            let sighting = watch.so_far().await?;
            notes.watched(&sighting);
            let mut evidence = self.evidence(&sighting, &scan, &control);
            evidence.is_over = true;
            // While it ran, this was published.
            let published = self.running.inspection.published.clone();
            return Ok((self.observation(sighting, scan.result, published), evidence));
        }
        let so_far = watch.so_far().await;
        let sighting = match watch.finish().await {
            Ok(sighting) => sighting,
            Err(error) => {
                let seen = match (&error, so_far) {
                    (LookError::Gone { seen, .. }, _) => Some((**seen).clone()),
                    (_, Ok(seen)) if !error.doubts_identity() => Some(seen),
                    _ => None,
                };
                if let Some(seen) = seen {
                    notes.watched(&seen);
                    notes.partial = Some(self.partial(seen));
                }
                return Err(self.why_gone(error).await);
            }
        };
        notes.watched(&sighting);
        let before = &self.running.inspection;
        let after = self.scene.engine().inspect(&before.id).await?;
        if !after.life.is_same(&before.life) {
            return Err(EngineError::Unfit(Unfit::Changed).into());
        }
        if after.life.is_paused {
            return Err(EngineError::Unfit(Unfit::Paused).into());
        }
        // Another address means another network, and nobody scanned it.
        if after.addresses != before.addresses || after.networks != before.networks {
            return Err(EngineError::Unfit(Unfit::Moved).into());
        }
        self.require_image(&after).await?;
        if before.network_namespace().is_some_and(|namespace| namespace != sighting.netns) {
            return Err(EngineError::Unfit(Unfit::OtherNamespace).into());
        }
        let evidence = self.evidence(&sighting, &scan, &control);
        // What was published at any moment counts.
        let mut published = after.published;
        published.extend(before.published.iter().cloned());
        published.sort_by_key(|it| (it.port, it.host, it.host_port));
        published.dedup();
        let mut seen = self.observation(sighting, scan.result, published);
        seen.spoken = spoken;
        seen.blind.extend(self.unpublished(&seen));
        Ok((seen, evidence))
    }

    /// Checks that the container was made from the image that was asked for.
    async fn require_image(&self, seen: &Inspection) -> Result<(), EngineError> {
        let bare = |id: &str| id.strip_prefix("sha256:").unwrap_or(id).to_owned();
        if bare(&seen.image) == bare(&self.image.id) {
            return Ok(());
        }
        // An engine may have several names for one image.
        let engine = self.scene.engine();
        let other = engine.resolved(&seen.image, &self.image.id, None).await;
        if other.is_ok_and(|it| it.id == self.image.id) {
            return Ok(());
        }
        Err(EngineError::Unfit(Unfit::OtherImage(shown(&seen.image, 80))))
    }

    /// What portlid asked the engine to publish, and the engine did not.
    fn unpublished(&self, seen: &Observation) -> Option<Unseen> {
        let asked: BTreeSet<Port> = match (&self.spec.subject, publishing(self.spec)) {
            (Subject::Container(_), _) | (_, PublishMode::None) => return None,
            (_, PublishMode::All) => self.image.declared.clone(),
            (_, PublishMode::List(list)) => list.iter().map(|entry| entry.port).collect(),
        };
        let missing = asked
            .into_iter()
            .find(|&port| !seen.published.iter().any(|published| published.port == port))?;
        Some(Unseen::new(
            format!("the engine was asked to publish {missing}, and did not"),
            "the engine's own log may say why; `run.publish` says what to publish",
        ))
    }

    /// What had been seen when the look was broken off.
    fn partial(&self, sighting: Sighting) -> Observation {
        self.observation(sighting, ScanResult::default(), Vec::new())
    }

    /// What a scan found of a container whose sockets cannot be seen.
    pub(super) fn scanned_only(&self, scan: ScanResult) -> Observation {
        Observation {
            declared: self.image.declared.clone(),
            published: self.running.inspection.published.clone(),
            published_by: self.published_by(),
            sockets: Vec::new(),
            sockets_hidden: true,
            lost: BTreeMap::new(),
            scan,
            spoken: BTreeMap::new(),
            ephemeral: ephemeral(&self.running.inspection),
            today: today(),
            blind: Vec::new(),
        }
    }

    fn published_by(&self) -> PublishedBy {
        match (&self.spec.subject, &self.spec.run.publish) {
            (Subject::Container(_), _) => PublishedBy::Others,
            (_, PublishMode::List(_)) => PublishedBy::Spec,
            (_, PublishMode::All | PublishMode::None) => PublishedBy::Declaration,
        }
    }

    fn observation(
        &self,
        sighting: Sighting,
        scan: ScanResult,
        published: Vec<Published>,
    ) -> Observation {
        let elsewhere = sighting.elsewhere.then(|| {
            Unseen::new(
                "a process of the container is in another network namespace, and what listens \
                 there was not seen",
                "an image that makes networks of its own cannot be judged",
            )
        });
        let unread = self.running.inspection.unread.first().map(|text| {
            Unseen::new(
                format!("the engine says `{}` of the container's network", shown(text, 60)),
                "nobody knows what that means: please report it",
            )
        });
        let today = today();
        let clock = wrong_clock(self.spec, today);
        Observation {
            declared: self.image.declared.clone(),
            published,
            published_by: self.published_by(),
            sockets: sighting.sockets,
            sockets_hidden: false,
            lost: sighting.lost,
            scan,
            spoken: BTreeMap::new(),
            ephemeral: ephemeral(&self.running.inspection),
            today,
            blind: elsewhere.into_iter().chain(unread).chain(clock).collect(),
        }
    }

    /// All that was gathered. The container is the same, or this is not reached.
    fn evidence(&self, sighting: &Sighting, scan: &ScanReport, control: &Seen) -> Evidence {
        let tables = |wanted: TableState| {
            let tables = sighting.tables.iter().filter(move |(_, state)| **state == wanted);
            tables.map(|(table, _)| table.path().to_owned()).collect()
        };
        let control = format!(
            "own listener on port {} seen in the tables, with its owner, and open; {} refused",
            control.open, control.shut
        );
        Evidence {
            samples: u64::from(sighting.samples),
            watched: sighting.watched,
            longest_gap: sighting.longest_gap,
            scanned: scan.result.scanned,
            addresses: scan.addresses.iter().map(|report| report.address).collect(),
            container_addresses: self.addresses(),
            namespace_addresses: sighting.addresses.iter().copied().collect(),
            tables: tables(TableState::Read),
            absent_tables: tables(TableState::NotInKernel),
            counters_agree: sighting.counters_agree,
            container: sighting.container.clone(),
            is_identified: sighting.identity == Identity::Verified
                && sighting.container == self.running.inspection.id,
            is_same: true,
            is_searched: sighting.searched,
            is_over: false,
            network_namespace: sighting.netns,
            looked_from: match self.eyes {
                Eyes::Here => "here",
                Eyes::Far(_) => "scout",
            },
            controls: controls(scan, &control),
            control: Some(control),
        }
    }
}

/// Whether what had been seen before this stop was surely seen of the right container.
fn counts(stop: &Stop) -> bool {
    !matches!(stop, Stop::Look(error) if error.doubts_identity())
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

/// What goes on while the tables are watched.
fn watching(spec: &Spec) -> &'static str {
    match spec.scan {
        Scan::Full => "watching the tables, scanning every port",
        Scan::Listed => "watching the tables, scanning what is listed",
        Scan::Off => "watching the tables",
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
fn controls(scan: &ScanReport, own: &str) -> Vec<String> {
    let mut controls = vec![own.to_owned()];
    // An address that gave no answer shows nothing.
    for report in scan.addresses.iter().filter(|report| report.open + report.refused > 0) {
        controls.push(format!(
            "{} answered: {} open, {} refused",
            report.address, report.open, report.refused
        ));
    }
    controls
}

/// A clock that is surely wrong cannot tell which allowances have ended.
fn wrong_clock(spec: &Spec, today: Date) -> Option<Unseen> {
    let has_dates = spec.expose.iter().any(|entry| entry.until.is_some());
    (has_dates && today < FIRST_DAY).then(|| {
        Unseen::new(
            format!("the clock says {today}, so nobody knows which allowances have ended"),
            "set the clock of this machine",
        )
    })
}

fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    /// A clock that was set back would make every allowance last for ever.
    #[test]
    fn a_clock_of_the_past_tells_no_dates() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("web.yaml");
        for (entry, is_told) in [("80/tcp", false), ("{ port: 80/tcp, until: 2027-01-31 }", true)] {
            std::fs::write(&file, format!("image: web\nexpose: [{entry}]\n")).unwrap();
            let loaded = crate::spec::load(std::slice::from_ref(&file), &|_| None);
            let [spec] = loaded.specs.as_slice() else { panic!("{:?}", loaded.problems) };
            assert_eq!(wrong_clock(spec, date(1970, 1, 1)).is_some(), is_told, "{entry}");
            assert_eq!(wrong_clock(spec, date(2026, 11, 22)), None, "{entry}");
        }
    }
}
