//! What ports speak: each is asked from where it may be reached.
//!
//! A port that the spec keeps on loopback is asked inside the container's network: by a thread of
//! this process that enters it, or where a scout looks, by a second helper that the engine starts
//! there without any capability.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::observe::{View, target};
use crate::{
    engine::patience,
    look::{self, Eyes, Scout, Vigil},
    observation::Spoken,
    socket::Port,
    spec::Speaks,
};

impl View<'_, '_> {
    /// Asks every port that listens and whose entry says what it speaks.
    pub(super) async fn ask(&self, watch: &Vigil) -> BTreeMap<Port, Spoken> {
        let mut inside = Vec::new();
        let mut beside = Vec::new();
        for port in watch.listening() {
            let Some((_, entry)) = self.spec.entry_for(port) else { continue };
            let Some(wanted) = entry.speaks else { continue };
            let of_its_place =
                if entry.bind.is_loopback_only() { &mut inside } else { &mut beside };
            of_its_place.push((port, wanted));
        }
        let addresses = &self.running.inspection.addresses;
        let beside = join_all(beside.into_iter().map(|(port, wanted)| async move {
            (port, self.eyes.ask(addresses, port, Some(wanted), look::ASK_WITHIN).await)
        }));
        let (inside, beside) = tokio::join!(self.ask_inside(&inside), beside);
        inside.into_iter().chain(beside).collect()
    }

    /// Asks ports on the container's loopback. What cannot be asked is left out.
    async fn ask_inside(&self, asked: &[(Port, Speaks)]) -> Vec<(Port, Spoken)> {
        if asked.is_empty() {
            return Vec::new();
        }
        if matches!(self.eyes, Eyes::Here) {
            return join_all(asked.iter().map(|&(port, wanted)| async move {
                let target = target(self.running);
                (port, look::ask_inside(target, port, wanted, look::ASK_WITHIN).await)
            }))
            .await;
        }
        let engine = self.scene.engine();
        let Ok((guest, (input, output))) = engine.start_guest(&self.running.inspection.id).await
        else {
            return Vec::new();
        };
        let scout = Scout::new(input, output, patience());
        let spoken = join_all(asked.iter().map(|&(port, wanted)| {
            let answer = scout.ask(&look::LOOPBACK, port, Some(wanted), look::ASK_WITHIN);
            async move { (port, answer.await) }
        }))
        .await;
        drop(scout);
        engine.remove_guest(&guest).await;
        spoken
    }
}
