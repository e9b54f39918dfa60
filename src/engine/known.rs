//! The images of a run: each is resolved once, whoever asks first.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OnceCell;

use super::{
    client::Engine,
    error::EngineError,
    image::{Image, PullPolicy},
};
use crate::spec::{Platform, Subject};

/// By what the specs say: the subject and its platform.
#[derive(Debug, Default)]
pub(super) struct Images(Mutex<HashMap<String, Arc<Known>>>);

/// What is known of one image.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) image: OnceCell<Image>,
    /// Why it could not be fetched before its turn. For whoever needs it first, so that a registry
    /// which says no is not asked again at once.
    failed: Mutex<Option<EngineError>>,
}

impl Images {
    pub(super) fn of(&self, subject: &Subject, platform: Option<&Platform>) -> Arc<Known> {
        let key = format!("{subject:?} {platform:?}");
        Arc::clone(unpoisoned(&self.0).entry(key).or_default())
    }
}

impl Known {
    /// Why it could not be fetched, once.
    pub(super) fn failure(&self) -> Option<EngineError> {
        unpoisoned(&self.failed).take()
    }
}

impl Engine {
    /// Makes sure of an image before its spec's turn: pulls it if that is called for. What goes
    /// wrong is told when the spec asks. `spec` is the one that progress is told of.
    pub async fn fetch(
        &self,
        spec: &str,
        subject: &Subject,
        platform: Option<&Platform>,
        policy: PullPolicy,
    ) {
        let Subject::Image(reference) = subject else { return };
        let known = self.images.of(subject, platform);
        let fetching = known.image.get_or_try_init(|| async {
            let pulled = self.pulled(spec, reference, platform, policy).await;
            pulled.map_err(|error| {
                *unpoisoned(&known.failed) = Some(error);
            })
        });
        // The error is kept already.
        let _ = fetching.await;
    }
}

/// Nothing is ever half done under these locks.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
