//! The look at a container whose sockets cannot be seen: a scan, and nothing else.

use std::collections::BTreeSet;

use tokio::time::sleep;

use super::{Notes, Session, Stop, observe::View, readiness};
use crate::{
    engine::{EngineError, Unfit},
    look::{LookError, ScanReport},
    spec::ReadyWhen,
};

impl Session {
    /// Looks at a container whose sockets cannot be seen. A scan may break a rule; it never earns a
    /// pass, so this always ends with a reason why not.
    pub(super) async fn scan_alone(
        &self,
        view: &View<'_, '_>,
        hidden: Unfit,
        notes: &mut Notes,
    ) -> Stop {
        match self.scanned(view).await {
            Ok(scan) => {
                notes.partial = Some(view.scanned_only(scan.result));
                EngineError::Unfit(hidden).into()
            }
            // Somebody beside the container may reach it.
            Err(Stop::Look(error @ LookError::NotNeighbour { .. })) => error.into(),
            Err(Stop::Look(_)) => EngineError::Unfit(hidden).into(),
            Err(stop) => stop,
        }
    }

    /// Scans a container that is not watched, once it had the time that it should have.
    async fn scanned(&self, view: &View<'_, '_>) -> Result<ScanReport, Stop> {
        let (engine, before) = (view.scene.engine(), &view.running.inspection);
        let seen = &view.running.inspection;
        view.eyes.are_neighbours(&seen.addresses, &seen.hardware).await?;
        match &view.spec.ready.when {
            ReadyWhen::Log(_) | ReadyWhen::Healthy | ReadyWhen::Http(_) => {
                readiness::companion(engine, view.eyes, view.running, &view.spec.ready).await?;
            }
            // Which ports listen cannot be seen, and what ends cannot be scanned.
            ReadyWhen::Required | ReadyWhen::Settled | ReadyWhen::Port(_) | ReadyWhen::Exit(_) => {}
        }
        sleep(view.spec.watch).await;
        let scan = view.scan(&BTreeSet::new()).await?;
        let after = engine.inspect(&before.id).await?;
        if !after.life.is_same(&before.life) || after.addresses != before.addresses {
            return Err(EngineError::Unfit(Unfit::Changed).into());
        }
        Ok(scan)
    }
}
