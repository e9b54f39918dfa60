//! What ports speak: each is asked from where it may be reached.
//!
//! A port that the spec keeps on loopback is asked inside the container's network: by a thread of
//! this process that enters it, or where a scout looks, by a second helper that the engine starts
//! there without any capability.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use super::observe::{View, target};
use crate::{
    engine::patience,
    look::{self, Eyes, Scout, Vigil},
    observation::{Answer, ScanResult, Spoken},
    socket::{Port, Protocol},
    spec::Speaks,
};

impl View<'_, '_> {
    /// Asks every port that listens and whose entry says what it speaks; where the look explores,
    /// every port that can be asked.
    pub(super) async fn ask(&self, watch: &Vigil, scan: &ScanResult) -> BTreeMap<Port, Spoken> {
        let mut inside = Vec::new();
        let mut beside = Vec::new();
        if self.spec.explores() {
            beside = askable(&watch.listening(), scan);
        }
        for port in watch.listening() {
            let Some((_, entry)) = self.spec.entry_for(port) else { continue };
            let Some(wanted) = entry.speaks else { continue };
            if entry.bind.is_loopback_only() {
                inside.push((port, wanted));
            } else {
                beside.push((port, Some(wanted)));
            }
        }
        let addresses = &self.running.inspection.addresses;
        let beside = join_all(beside.into_iter().map(|(port, wanted)| async move {
            (port, self.eyes.ask(addresses, port, wanted, look::ASK_WITHIN).await)
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

/// The ports that are asked where nobody said what they speak: those that answer a neighbour, and
/// DNS. Not more than a few, for each costs up to seven connections.
fn askable(listening: &BTreeSet<Port>, scan: &ScanResult) -> Vec<(Port, Option<Speaks>)> {
    const MOST: usize = 48;
    const DNS: u16 = 53;
    let open = scan.answers.iter().filter(|(_, answer)| **answer == Answer::Open);
    let udp = listening.iter().filter(|port| port.protocol == Protocol::Udp && port.number == DNS);
    let ports = open.map(|(&number, _)| Port::tcp(number)).chain(udp.copied());
    ports.map(|port| (port, None)).take(MOST).collect()
}
