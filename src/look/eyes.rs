//! Where the look is done: in this process, or by a scout. Same code, same results.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use super::{
    Early, LookError, ScanReport, ScanRequest, Seen, Sighting, Target, Watch, are_neighbours, ask,
    can_see, control, http_status, scan,
    scout::{FarWatch, Scout},
};
use crate::{observation::Spoken, socket::Port, spec::Speaks};

/// Who looks.
#[derive(Clone, Debug)]
pub enum Eyes {
    /// This process.
    Here,
    /// A scout beside the container.
    Far(Arc<Scout>),
}

/// A watch, whoever keeps it. Dropping it ends it.
#[derive(Debug)]
pub enum Vigil {
    /// In this process.
    Here(Watch),
    /// At the scout.
    Far(FarWatch),
}

impl Eyes {
    /// The positive control. See [`control`].
    ///
    /// # Errors
    ///
    /// If the eyes do not work.
    pub async fn control(&self) -> Result<Seen, LookError> {
        match self {
            Self::Here => {
                tokio::task::spawn_blocking(control).await.unwrap_or_else(|error| broken(&error))
            }
            Self::Far(scout) => scout.control().await,
        }
    }

    /// Whether the target can be seen from there. See [`can_see`].
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub async fn can_see(&self, target: Target) -> Result<(), LookError> {
        match self {
            Self::Here => {
                let seen = tokio::task::spawn_blocking(move || can_see(&target)).await;
                seen.unwrap_or_else(|error| broken(&error))
            }
            Self::Far(scout) => scout.can_see(target).await,
        }
    }

    /// Whether all addresses are those of neighbours, and the right ones: a network of the same
    /// addresses may be here too. A scout was put beside the container.
    ///
    /// # Errors
    ///
    /// If one is not, so that it may be anybody's.
    pub async fn are_neighbours(
        &self,
        addresses: &[IpAddr],
        hardware: &BTreeMap<IpAddr, String>,
    ) -> Result<(), LookError> {
        match self {
            Self::Here => {
                let (addresses, hardware) = (addresses.to_owned(), hardware.clone());
                let asking = move || are_neighbours(&addresses, &hardware);
                let asked = tokio::task::spawn_blocking(asking).await;
                asked.unwrap_or_else(|error| broken(&error))
            }
            Self::Far(_) => Ok(()),
        }
    }

    /// Asks for an HTTP status. See [`http_status`].
    pub async fn http_status(&self, addresses: &[IpAddr], port: u16, path: &str) -> Option<u16> {
        match self {
            Self::Here => http_status(addresses, port, path).await,
            Self::Far(scout) => scout.http_status(addresses, port, path).await,
        }
    }

    /// Begins to look for a container that is about to be started. What comes of it is for
    /// [`begin`](Self::begin); a scout keeps it for itself.
    #[must_use]
    pub fn expect(&self, proc_root: PathBuf, container: &str) -> Option<Early> {
        match self {
            Self::Here => Some(Early::new(proc_root, container.to_owned())),
            Self::Far(scout) => {
                scout.expect(proc_root, container);
                None
            }
        }
    }

    /// Begins a watch, or goes on with one that has begun early. See [`Watch::begin`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn begin(&self, target: Target, early: Option<Early>) -> Result<Vigil, LookError> {
        if let Some(watch) = early.and_then(|early| early.watch(target.pid)) {
            return Ok(Vigil::Here(watch));
        }
        match self {
            // On this very thread: handing it to another would cost the first milliseconds.
            Self::Here => Watch::begin(&target).map(Vigil::Here),
            Self::Far(scout) => scout.begin(target).await.map(Vigil::Far),
        }
    }

    /// Scans. See [`scan`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn scan(&self, request: ScanRequest) -> Result<ScanReport, LookError> {
        match self {
            Self::Here => scan(request).await,
            Self::Far(scout) => scout.scan(request).await,
        }
    }

    /// Asks a port what it speaks. See [`ask`].
    pub async fn ask(
        &self,
        addresses: &[IpAddr],
        port: Port,
        wanted: Option<Speaks>,
        within: Duration,
    ) -> Spoken {
        match self {
            Self::Here => ask(addresses, port, wanted, within).await,
            Self::Far(scout) => scout.ask(addresses, port, wanted, within).await,
        }
    }
}

impl Vigil {
    /// The ports that have a socket in the latest sample, on whatever address.
    #[must_use]
    pub fn listening(&self) -> BTreeSet<Port> {
        match self {
            Self::Here(watch) => watch.listening(),
            Self::Far(watch) => watch.listening(),
        }
    }

    /// Why the watch ended by itself, if it did.
    #[must_use]
    pub fn ended(&self) -> Option<LookError> {
        match self {
            Self::Here(watch) => watch.ended(),
            Self::Far(watch) => watch.ended(),
        }
    }

    /// See [`Watch::wait_until`].
    ///
    /// # Errors
    ///
    /// If the watch ends before.
    pub async fn wait_until(
        &self,
        wanted: impl FnMut(&BTreeSet<Port>) -> bool,
    ) -> Result<(), LookError> {
        match self {
            Self::Here(watch) => watch.wait_until(wanted).await,
            Self::Far(watch) => watch.wait_until(wanted).await,
        }
    }

    /// See [`Watch::begin_watch_phase`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn begin_watch_phase(&self) -> Result<(), LookError> {
        match self {
            Self::Here(watch) => watch.begin_watch_phase().await,
            Self::Far(watch) => watch.begin_watch_phase().await,
        }
    }

    /// See [`Watch::so_far`].
    ///
    /// # Errors
    ///
    /// If nobody looks any more.
    pub async fn so_far(&self) -> Result<Sighting, LookError> {
        match self {
            Self::Here(watch) => watch.so_far().await,
            Self::Far(watch) => watch.so_far().await,
        }
    }

    /// See [`Watch::finish`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn finish(self) -> Result<Sighting, LookError> {
        match self {
            Self::Here(watch) => watch.finish().await,
            Self::Far(watch) => watch.finish().await,
        }
    }
}

fn broken<T>(error: &tokio::task::JoinError) -> Result<T, LookError> {
    Err(LookError::Internal { what: error.to_string() })
}
