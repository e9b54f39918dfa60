//! The scout's end: reads requests from its input until that ends, and answers on its output.

use std::{collections::HashMap, sync::Arc};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    sync::{Mutex, mpsc},
};

use super::wire::{Answer, Line, Request, What};
use crate::look::{Early, LookError, Target, Watch, ask, can_see, control, http_status, scan};

/// The watches that were begun and not yet ended.
type Watches = Arc<Mutex<HashMap<u64, Watch>>>;
/// What is expected: containers' ids.
type Expected = HashMap<String, Early>;

/// Serves on standard input and output until the input ends.
pub async fn serve() {
    let (lines, mut written) = mpsc::unbounded_channel::<Line>();
    let writer = tokio::spawn(async move {
        let mut output = tokio::io::stdout();
        while let Some(line) = written.recv().await {
            let Ok(mut text) = serde_json::to_vec(&line) else { continue };
            text.push(b'\n');
            if output.write_all(&text).await.is_err() || output.flush().await.is_err() {
                break;
            }
        }
    });
    let watches = Watches::default();
    let mut expected = Expected::new();
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(text)) = input.next_line().await {
        let Ok(request) = serde_json::from_str::<Request>(&text) else { break };
        let (watches, lines) = (Arc::clone(&watches), lines.clone());
        let early = match &request.what {
            What::Expect { proc_root, container } => {
                // At once, so that nothing comes between this and the start.
                let early = Early::new(proc_root.clone(), container.clone());
                expected.insert(container.clone(), early);
                continue;
            }
            What::Begin(target) => expected.remove(&target.container),
            _ => None,
        };
        tokio::spawn(async move { obey(request, early, &watches, &lines).await });
    }
    drop(lines);
    watches.lock().await.clear();
    writer.abort();
}

async fn obey(
    Request { id, what }: Request,
    early: Option<Early>,
    watches: &Watches,
    lines: &mpsc::UnboundedSender<Line>,
) {
    let answer = match what {
        What::Control => blocking(control).await.map(Answer::Control),
        What::CanSee(target) => blocking(move || can_see(&target)).await.map(|()| Answer::Done),
        What::Begin(target) => match blocking(move || begin(&target, early)).await {
            Ok(watch) => {
                tokio::spawn(tell(id, watch.subscribe(), lines.clone()));
                watches.lock().await.insert(id, watch);
                Ok(Answer::Done)
            }
            Err(error) => Err(error),
        },
        What::Expect { .. } => return,
        What::BeginWatchPhase(watch) => match watches.lock().await.get(&watch) {
            Some(watch) => watch.begin_watch_phase().await.map(|()| Answer::Done),
            None => Err(unknown()),
        },
        What::Forget(watch) => {
            watches.lock().await.remove(&watch);
            return;
        }
        What::SoFar(watch) => match watches.lock().await.get(&watch) {
            Some(watch) => watch.so_far().await.map(Answer::Sighting),
            None => Err(unknown()),
        },
        What::Finish(watch) => {
            let watch = watches.lock().await.remove(&watch);
            match watch {
                Some(watch) => watch.finish().await.map(Answer::Sighting),
                None => Err(unknown()),
            }
        }
        What::Scan(request) => scan(request).await.map(Answer::Scan),
        What::Http { addresses, port, path } => {
            Ok(Answer::Status(http_status(&addresses, port, &path).await))
        }
        What::Ask { addresses, port, wanted, within } => {
            Ok(Answer::Spoken(ask(&addresses, port, wanted, within).await))
        }
    };
    // If nobody listens any more, nobody needs to know.
    let _ = lines.send(Line::Answer { id, answer });
}

fn begin(target: &Target, early: Option<Early>) -> Result<Watch, LookError> {
    match early.and_then(|early| early.watch(target.pid)) {
        Some(watch) => Ok(watch),
        None => Watch::begin(target),
    }
}

/// Tells whenever what is true of a watch changes.
async fn tell(
    watch: u64,
    mut status: tokio::sync::watch::Receiver<crate::look::Status>,
    lines: mpsc::UnboundedSender<Line>,
) {
    loop {
        let now = status.borrow_and_update().clone();
        let line = Line::Status { watch, listening: now.listening, ended: now.ended };
        if lines.send(line).is_err() || status.changed().await.is_err() {
            return;
        }
    }
}

async fn blocking<T: Send + 'static>(
    look: impl FnOnce() -> Result<T, LookError> + Send + 'static,
) -> Result<T, LookError> {
    tokio::task::spawn_blocking(look)
        .await
        .unwrap_or_else(|error| Err(LookError::Internal { what: error.to_string() }))
}

fn unknown() -> LookError {
    LookError::Internal { what: "there is no such watch".to_owned() }
}
