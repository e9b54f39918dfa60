//! Waiting until the look may settle: the look's conditions and the engine's, joined.
//!
//! A condition that the spec states and that never comes true ends the look. Where it states none,
//! the look goes on after the time and judges what is there.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout, timeout_at};

use super::{Stop, observe::target};
use crate::{
    engine::{self, Engine, EngineError, Inspection, Running, wait_for},
    foreign::shown,
    look::{Eyes, LookError, Vigil},
    socket::Port,
    spec::{HttpCheck, Ready, ReadyWhen, Spec},
};

/// A condition that is asked for again and again, or listened for.
enum Condition<'a> {
    /// The engine tells.
    Engine(engine::Condition<'a>),
    /// An HTTP request is answered as wanted.
    Http(&'a HttpCheck),
}

impl Condition<'_> {
    async fn comes_true(
        &self,
        engine: &Engine,
        eyes: &Eyes,
        seen: &Inspection,
    ) -> Result<(), Stop> {
        match self {
            Self::Engine(condition) => Ok(wait_for(engine, &seen.id, condition).await?),
            Self::Http(check) => {
                // What a stranger answers says nothing.
                eyes.are_neighbours(&seen.addresses, &seen.hardware).await?;
                let wanted = Some(check.status);
                let port = check.port.number;
                while eyes.http_status(&seen.addresses, port, &check.path).await != wanted {
                    sleep(Duration::from_millis(50)).await;
                }
                Ok(())
            }
        }
    }
}

/// Waits for what `ready` states, or where it states nothing for all `required` ports. Says whether
/// that came true.
pub(super) async fn subject(
    engine: &Engine,
    eyes: &Eyes,
    running: &Running,
    watch: &Vigil,
    (ready, required): (&Ready, &BTreeSet<Port>),
) -> Result<bool, Stop> {
    let Ready { when, within } = ready;
    let seen = &running.inspection;
    let condition = match when {
        ReadyWhen::Required => {
            let all = watch.wait_until(|listening| required.is_subset(listening));
            return match timeout(*within, all).await {
                Ok(listening) => Ok(listening.map(|()| true)?),
                // The container lives: what is there is looked at and judged.
                Err(_) => Ok(false),
            };
        }
        ReadyWhen::Settled => return settled(watch, required, *within).await,
        ReadyWhen::Port(port) => return listens(watch, *port, *within).await.map(|()| true),
        ReadyWhen::Exit(code) => {
            match timeout(*within, watch.wait_until(|_| false)).await {
                Ok(Err(error)) if is_gone(&error) => {}
                Ok(ended) => return Ok(ended.map(|()| true)?),
                Err(_) => return Err(still_runs(*within)),
            }
            let ended = ended(engine, running).await?;
            return exited_with(running, &ended, *code).map(|()| true);
        }
        ReadyWhen::Log(pattern) => Condition::Engine(engine::Condition::Log(pattern)),
        ReadyWhen::Healthy => Condition::Engine(engine::Condition::Healthy),
        ReadyWhen::Http(check) => Condition::Http(check),
    };
    let comes_true = async {
        tokio::select! {
            ready = condition.comes_true(engine, eyes, seen) => Ok(ready.map(|()| true)?),
            // Only ends if the container does.
            ended = watch.wait_until(|_| false) => Ok(ended.map(|()| true)?),
        }
    };
    match timeout(*within, comes_true).await {
        Ok(ready) => ready,
        Err(_) => Err(not_ready(described(when), *within)),
    }
}

/// What is waited for, in words.
pub(super) fn waiting(spec: &Spec) -> String {
    match &spec.ready.when {
        ReadyWhen::Required => match spec.required().count() {
            0 => "starting".to_owned(),
            1 => "waiting for its port".to_owned(),
            count => format!("waiting for its {count} ports"),
        },
        ReadyWhen::Settled => "waiting for what it opens".to_owned(),
        ReadyWhen::Port(port) => format!("waiting for {port}"),
        ReadyWhen::Log(_) => "waiting for a line of its log".to_owned(),
        ReadyWhen::Healthy => "waiting for its health check".to_owned(),
        ReadyWhen::Http(check) => format!("waiting for an answer on {}", check.port),
        ReadyWhen::Exit(_) => "waiting for its end".to_owned(),
    }
}

/// Waits for a companion. Where nothing is stated, it is enough that it was started.
pub(super) async fn companion(
    engine: &Engine,
    eyes: &Eyes,
    running: &Running,
    ready: &Ready,
) -> Result<(), Stop> {
    let Ready { when, within } = ready;
    let seen = &running.inspection;
    let condition = match when {
        ReadyWhen::Required | ReadyWhen::Settled => return Ok(()),
        ReadyWhen::Port(port) => {
            let looked = match eyes.begin(target(running), None).await {
                Ok(watch) => listens(&watch, *port, *within).await,
                Err(error) => Err(error.into()),
            };
            return match looked {
                Err(Stop::Look(error)) => Err(why_gone(engine, running, error).await),
                looked => looked,
            };
        }
        ReadyWhen::Exit(code) => {
            let end = async {
                loop {
                    let seen = engine.inspect(&seen.id).await?;
                    if !seen.life.is_running {
                        return Ok::<_, EngineError>(seen);
                    }
                    sleep(Duration::from_millis(50)).await;
                }
            };
            return match timeout(*within, end).await {
                Ok(seen) => exited_with(running, &seen?, *code),
                Err(_) => Err(still_runs(*within)),
            };
        }
        ReadyWhen::Log(pattern) => Condition::Engine(engine::Condition::Log(pattern)),
        ReadyWhen::Healthy => Condition::Engine(engine::Condition::Healthy),
        ReadyWhen::Http(check) => Condition::Http(check),
    };
    match timeout(*within, condition.comes_true(engine, eyes, seen)).await {
        Ok(Err(Stop::Look(error))) => Err(why_gone(engine, running, error).await),
        Ok(ready) => ready,
        Err(_) => Err(not_ready(described(when), *within)),
    }
}

/// What an error of the look means: that the container ended, and how, if it did.
///
/// Its end shows in many ways: a process that is gone, a file of it that is no longer there, an
/// address that nobody answers for.
pub(super) async fn why_gone(engine: &Engine, running: &Running, error: LookError) -> Stop {
    /// The engine may be what stands still: it was waited for long enough.
    const ANSWERS: Duration = Duration::from_secs(5);
    // Where the process is surely gone, the engine is given a moment to notice.
    let after = if is_gone(&error) {
        ended(engine, running).await
    } else {
        let inspect = engine.inspect(&running.inspection.id);
        let Ok(after) = timeout(ANSWERS, inspect).await else {
            engine.note_stalled();
            return error.into();
        };
        after
    };
    match after {
        Ok(after) if !after.life.is_running => exited(running, &after).into(),
        Ok(after) if !after.life.is_same(&running.inspection.life) => {
            EngineError::Unfit(crate::engine::Unfit::Changed).into()
        }
        Ok(_) | Err(_) => error.into(),
    }
}

/// Whether the error says that the main process is no longer there.
fn is_gone(error: &LookError) -> bool {
    match error {
        LookError::Gone { .. } | LookError::NoProcess { .. } | LookError::Recycled { .. } => true,
        LookError::Unreadable { cause, .. } => cause.is_missing(),
        _ => false,
    }
}

/// Waits until all that is `expected` listens, or anything at all where nothing is, and then until
/// nothing new has opened for a while; no longer than `within` altogether.
async fn settled(watch: &Vigil, expected: &BTreeSet<Port>, within: Duration) -> Result<bool, Stop> {
    /// A server that opens several ports opens them closer together than this.
    const QUIET: Duration = Duration::from_secs(1);
    let deadline = tokio::time::Instant::now() + within;
    let all = watch.wait_until(|listening| {
        expected.is_subset(listening) && !(expected.is_empty() && listening.is_empty())
    });
    match timeout_at(deadline, all).await {
        Ok(listening) => listening?,
        Err(_) => return Ok(false),
    }
    loop {
        let seen = watch.listening();
        let more = watch.wait_until(|listening| !listening.is_subset(&seen));
        match timeout_at(deadline.min(tokio::time::Instant::now() + QUIET), more).await {
            Ok(listening) => listening?,
            Err(_) => return Ok(true),
        }
    }
}

async fn listens(watch: &Vigil, port: Port, within: Duration) -> Result<(), Stop> {
    match timeout(within, watch.wait_until(|listening| listening.contains(&port))).await {
        Ok(listening) => Ok(listening?),
        Err(_) => Err(not_ready(format!("{port} does not listen"), within)),
    }
}

/// Inspects the container once the engine has noticed its end, which takes it a moment.
async fn ended(engine: &Engine, running: &Running) -> Result<Inspection, EngineError> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let seen = engine.inspect(&running.inspection.id).await?;
        if !seen.life.is_running || Instant::now() >= deadline {
            return Ok(seen);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn exited_with(running: &Running, seen: &Inspection, code: i64) -> Result<(), Stop> {
    let is_it = seen.life.began_with(&running.inspection.life);
    if !seen.life.is_running && seen.life.exit_code == code && is_it {
        Ok(())
    } else {
        Err(exited(running, seen).into())
    }
}

/// That the container ended, and how.
pub(super) fn exited(running: &Running, seen: &Inspection) -> EngineError {
    EngineError::Exited {
        code: seen.life.exit_code,
        out_of_memory: seen.life.out_of_memory,
        after: running.since.elapsed(),
    }
}

fn not_ready(what: String, within: Duration) -> Stop {
    EngineError::NotReady { what, within }.into()
}

fn still_runs(within: Duration) -> Stop {
    not_ready("it still runs".to_owned(), within)
}

fn described(when: &ReadyWhen) -> String {
    match when {
        ReadyWhen::Settled => "it has not settled".to_owned(),
        ReadyWhen::Required => "a required port does not listen".to_owned(),
        ReadyWhen::Port(port) => format!("{port} does not listen"),
        ReadyWhen::Log(pattern) => {
            format!("no line of the log matches `{}`", shown(pattern.as_str(), 120))
        }
        ReadyWhen::Healthy => "its health check does not say healthy".to_owned(),
        ReadyWhen::Http(check) => format!(
            "`{}` on {} is not answered with {}",
            shown(&check.path, 120),
            check.port,
            check.status
        ),
        ReadyWhen::Exit(code) => format!("it did not end with {code}"),
    }
}
