//! Waiting for what the spec states under `ready`, as far as the engine tells it.
//!
//! Conditions on sockets and answers are the look's affair; the caller joins the two and sets the
//! deadline.

use std::time::Duration;

use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt;
use regex::Regex;
use tokio::time::sleep;

use super::{
    client::Engine,
    error::{EngineError, Unfit},
    meter::unending,
};

/// How often a condition is asked for.
const INTERVAL: Duration = Duration::from_millis(50);

/// A condition that the engine tells.
#[derive(Clone, Debug)]
pub enum Condition<'a> {
    /// A line of the log matches.
    Log(&'a Regex),
    /// The health check says healthy.
    Healthy,
}

/// Returns once the condition is true. The caller sets the deadline.
///
/// # Errors
///
/// If the engine fails, or the condition can never come true.
pub async fn wait_for(
    engine: &Engine,
    container: &str,
    condition: &Condition<'_>,
) -> Result<(), EngineError> {
    match condition {
        Condition::Log(pattern) => log(engine, container, pattern).await,
        Condition::Healthy => healthy(engine, container).await,
    }
}

async fn log(engine: &Engine, container: &str, pattern: &Regex) -> Result<(), EngineError> {
    /// A line may be endless: only so much of it is kept.
    const LONGEST_LINE: usize = 64 * 1024;
    /// A log that is being rotated away may break off; one that never comes is no log.
    const MOST_FAILURES: usize = 5;
    let mut failures = 0;
    loop {
        let options = LogsOptionsBuilder::default().follow(true).stdout(true).stderr(true).build();
        let mut stream = unending(engine.docker.logs(container, Some(options)));
        let mut line: Vec<u8> = Vec::new();
        while let Some(output) = stream.next().await {
            let output = match output {
                Ok(output) => output,
                Err(error) => {
                    failures += 1;
                    if failures >= MOST_FAILURES {
                        let what = "read the container's log".to_owned();
                        return Err(EngineError::failed(what, error));
                    }
                    break;
                }
            };
            for &byte in output.into_bytes().iter() {
                if byte == b'\n' {
                    if pattern.is_match(String::from_utf8_lossy(&line).trim_end_matches('\r')) {
                        return Ok(());
                    }
                    line.clear();
                } else if line.len() < LONGEST_LINE {
                    line.push(byte);
                }
            }
            // A prompt has no end of line.
            if !line.is_empty() && pattern.is_match(&String::from_utf8_lossy(&line)) {
                return Ok(());
            }
        }
        // The stream ends with the container, or because the log was rotated away.
        sleep(INTERVAL * 4).await;
    }
}

async fn healthy(engine: &Engine, container: &str) -> Result<(), EngineError> {
    loop {
        match engine.inspect(container).await?.healthy {
            Some(true) => return Ok(()),
            Some(false) => sleep(INTERVAL * 4).await,
            None => return Err(EngineError::Unfit(Unfit::NoHealthCheck)),
        }
    }
}
