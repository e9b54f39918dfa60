//! Our end: requests go out as lines, answers and news come back as lines.
//!
//! Every request has a deadline. If the scout is gone, every request that waits fails, and every
//! watch ends: nothing passes because nobody looked.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::wire::{Answer, Line, Request, What};
use crate::{
    foreign::shown,
    look::{LookError, ScanReport, ScanRequest, Seen, Sighting, Status, Target},
    observation::Spoken,
    socket::{Port, canonical},
    spec::Speaks,
};

/// How long an ordinary request may take at most. The machine of the engine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);
/// A line longer than this is not of the scout.
const LONGEST_LINE: usize = 256 * 1024 * 1024;

/// A helper that looks for us.
#[derive(Debug)]
pub struct Scout {
    requests: mpsc::UnboundedSender<Request>,
    shared: Arc<Shared>,
    next: AtomicU64,
    patience: Duration,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Why nothing comes any more, once that is so.
    gone: Option<LookError>,
    waiting: HashMap<u64, oneshot::Sender<Result<Answer, LookError>>>,
    watches: HashMap<u64, watch::Sender<Status>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end: everyone who waits is told.
    fn end(&self, why: &LookError) {
        let mut state = self.lock();
        state.gone.get_or_insert_with(|| why.clone());
        for (_, waiting) in state.waiting.drain() {
            let _ = waiting.send(Err(why.clone()));
        }
        for (_, status) in state.watches.drain() {
            status.send_modify(|status| status.ended = Some(why.clone()));
        }
    }

    fn take(&self, line: Line) {
        let mut state = self.lock();
        match line {
            Line::Answer { id, answer } => {
                if let Some(waiting) = state.waiting.remove(&id) {
                    let _ = waiting.send(answer);
                }
            }
            Line::Status { watch, listening, ended } => {
                if let Some(status) = state.watches.get(&watch) {
                    // What has ended does not begin again.
                    status.send_if_modified(|status| {
                        let lives = status.ended.is_none();
                        if lives {
                            *status = Status { listening, ended };
                        }
                        lives
                    });
                }
            }
        }
    }
}

impl Scout {
    /// Speaks to a scout over its input and output; `patience` is how long a request to the engine
    /// may take, through which all this goes. Must be called within a tokio runtime.
    pub fn new(
        input: impl AsyncWrite + Send + Unpin + 'static,
        output: impl Stream<Item = Bytes> + Send + Unpin + 'static,
        patience: Duration,
    ) -> Self {
        Self::with_limits(input, output, patience.min(PATIENCE), LONGEST_LINE)
    }

    fn with_limits(
        mut input: impl AsyncWrite + Send + Unpin + 'static,
        output: impl Stream<Item = Bytes> + Send + Unpin + 'static,
        patience: Duration,
        longest_line: usize,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let (requests, mut sent) = mpsc::unbounded_channel::<Request>();
        let writing = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Some(request) = sent.recv().await {
                let Ok(mut text) = serde_json::to_vec(&request) else { continue };
                text.push(b'\n');
                let written = async {
                    input.write_all(&text).await?;
                    input.flush().await
                };
                match timeout(patience, written).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return writing.end(&gone("it takes no requests")),
                }
            }
            // Its input ends, and so does it.
            let _ = input.shutdown().await;
        });
        tokio::spawn(read(Arc::clone(&shared), output, longest_line));
        Self { requests, shared, next: AtomicU64::new(1), patience }
    }

    /// The positive control, at the scout's place.
    ///
    /// # Errors
    ///
    /// If its eyes do not work, or it does not answer.
    pub async fn control(&self) -> Result<Seen, LookError> {
        match self.request(What::Control, self.patience).await? {
            Answer::Control(seen) if seen.portlid == env!("CARGO_PKG_VERSION") => Ok(seen),
            Answer::Control(seen) => {
                let version = shown(&seen.portlid, 40);
                Err(gone(&format!("it is of another version of portlid, `{version}`")))
            }
            _ => Err(confused()),
        }
    }

    /// Whether the scout can see the target.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub async fn can_see(&self, target: Target) -> Result<(), LookError> {
        done(&self.request(What::CanSee(target), self.patience).await?)
    }

    /// Tells the scout that a container is about to be started.
    pub fn expect(&self, proc_root: PathBuf, container: &str) {
        // If the scout is gone, whatever follows says so.
        let _ = self.send(0, What::Expect { proc_root, container: container.to_owned() });
    }

    /// Begins a watch.
    ///
    /// # Errors
    ///
    /// As [`Watch::begin`](crate::look::Watch::begin).
    pub async fn begin(self: &Arc<Self>, target: Target) -> Result<FarWatch, LookError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, status) = watch::channel(Status::default());
        // Before the request, so that the first news finds it.
        self.shared.lock().watches.insert(id, sender);
        let container = target.container.clone();
        let watch = FarWatch { scout: Arc::clone(self), id, status, container };
        done(&self.request_as(id, What::Begin(target), self.patience).await?)?;
        Ok(watch)
    }

    /// Scans from the scout's place.
    ///
    /// # Errors
    ///
    /// As [`scan`](crate::look::scan).
    pub async fn scan(&self, request: ScanRequest) -> Result<ScanReport, LookError> {
        let within = request.within + self.patience;
        let asked: BTreeSet<IpAddr> = request.addresses.iter().copied().map(canonical).collect();
        let is_full = request.full;
        match self.request(What::Scan(request), within).await? {
            Answer::Scan(report)
                if report.result.full == is_full
                    && report.addresses.iter().map(|it| it.address).collect::<BTreeSet<_>>()
                        == asked =>
            {
                Ok(report)
            }
            _ => Err(confused()),
        }
    }

    /// Asks a port what it speaks, from the scout's place.
    pub async fn ask(
        &self,
        addresses: &[IpAddr],
        port: Port,
        wanted: Option<Speaks>,
        within: Duration,
    ) -> Spoken {
        let what = What::Ask { addresses: addresses.to_vec(), port, wanted, within };
        match self.request(what, within + self.patience).await {
            Ok(Answer::Spoken(spoken)) => spoken,
            Ok(_) | Err(_) => Spoken::NotAsked,
        }
    }

    /// Asks for an HTTP status, from the scout's place.
    pub async fn http_status(&self, addresses: &[IpAddr], port: u16, path: &str) -> Option<u16> {
        let what = What::Http { addresses: addresses.to_vec(), port, path: path.to_owned() };
        match self.request(what, self.patience).await {
            Ok(Answer::Status(status)) => status,
            Ok(_) | Err(_) => None,
        }
    }

    async fn request(&self, what: What, within: Duration) -> Result<Answer, LookError> {
        self.request_as(self.next.fetch_add(1, Ordering::Relaxed), what, within).await
    }

    async fn request_as(&self, id: u64, what: What, within: Duration) -> Result<Answer, LookError> {
        let (sender, answer) = oneshot::channel();
        {
            let mut state = self.shared.lock();
            if let Some(gone) = &state.gone {
                return Err(gone.clone());
            }
            state.waiting.insert(id, sender);
        }
        self.send(id, what)?;
        match timeout(within, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(gone("it does not answer"))),
            Err(_) => {
                self.shared.lock().waiting.remove(&id);
                Err(gone("it did not answer in time"))
            }
        }
    }

    fn send(&self, id: u64, what: What) -> Result<(), LookError> {
        self.requests.send(Request { id, what }).map_err(|_| gone("it takes no requests"))
    }
}

/// A watch that the scout keeps. Dropping it ends it.
#[derive(Debug)]
pub struct FarWatch {
    scout: Arc<Scout>,
    id: u64,
    status: watch::Receiver<Status>,
    /// The container that is watched: what is told of another is not taken.
    container: String,
}

impl FarWatch {
    /// The ports that have a socket in the latest sample that was told of.
    #[must_use]
    pub fn listening(&self) -> BTreeSet<Port> {
        self.status.borrow().listening.clone()
    }

    /// Why the watch ended by itself, if it did.
    #[must_use]
    pub fn ended(&self) -> Option<LookError> {
        self.status.borrow().ended.clone()
    }

    /// See [`Watch::wait_until`](crate::look::Watch::wait_until).
    ///
    /// # Errors
    ///
    /// If the watch ends before, or the scout does.
    pub async fn wait_until(
        &self,
        mut wanted: impl FnMut(&BTreeSet<Port>) -> bool,
    ) -> Result<(), LookError> {
        let mut status = self.status.clone();
        let status = status
            .wait_for(|status| status.ended.is_some() || wanted(&status.listening))
            .await
            .map_err(|_| gone("its watch is over"))?;
        status.ended.clone().map_or(Ok(()), Err)
    }

    /// See [`Watch::begin_watch_phase`](crate::look::Watch::begin_watch_phase).
    ///
    /// # Errors
    ///
    /// As there, or if the scout does not answer.
    pub async fn begin_watch_phase(&self) -> Result<(), LookError> {
        done(&self.scout.request(What::BeginWatchPhase(self.id), self.scout.patience).await?)
    }

    /// What has been seen until now.
    ///
    /// # Errors
    ///
    /// If the scout does not answer.
    pub async fn so_far(&self) -> Result<Sighting, LookError> {
        self.sighting(self.scout.request(What::SoFar(self.id), self.scout.patience).await?)
    }

    /// See [`Watch::finish`](crate::look::Watch::finish).
    ///
    /// # Errors
    ///
    /// As there, or if the scout does not answer.
    pub async fn finish(self) -> Result<Sighting, LookError> {
        self.sighting(self.scout.request(What::Finish(self.id), self.scout.patience).await?)
    }

    fn sighting(&self, answer: Answer) -> Result<Sighting, LookError> {
        match answer {
            Answer::Sighting(sighting) if sighting.container == self.container => Ok(sighting),
            Answer::Sighting(_) => Err(gone("it told of another container")),
            _ => Err(confused()),
        }
    }
}

impl Drop for FarWatch {
    fn drop(&mut self) {
        self.scout.shared.lock().watches.remove(&self.id);
        let _ = self.scout.send(0, What::Forget(self.id));
    }
}

/// Reads lines until the scout's output ends.
async fn read(
    shared: Arc<Shared>,
    mut output: impl Stream<Item = Bytes> + Send + Unpin,
    longest_line: usize,
) {
    let mut line: Vec<u8> = Vec::new();
    while let Some(bytes) = output.next().await {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            line.extend_from_slice(piece);
            if line.last() == Some(&b'\n') {
                match serde_json::from_slice(&line) {
                    Ok(told) => shared.take(told),
                    Err(error) => {
                        return shared.end(&gone(&format!("it speaks nonsense: {error}")));
                    }
                }
                line.clear();
            }
        }
        if line.len() > longest_line {
            return shared.end(&gone("it speaks without end"));
        }
    }
    shared.end(&gone("it ended"));
}

fn done(answer: &Answer) -> Result<(), LookError> {
    match answer {
        Answer::Done => Ok(()),
        _ => Err(confused()),
    }
}

fn gone(why: &str) -> LookError {
    LookError::Scout { why: why.to_owned() }
}

fn confused() -> LookError {
    gone("it answered another question")
}

#[cfg(test)]
mod tests;
