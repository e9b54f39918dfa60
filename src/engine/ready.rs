//! Waiting for what the spec states under `ready`, as far as the engine or the network tells it.
//!
//! Conditions on sockets are the look's affair; the caller joins the two and sets the deadline.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt;
use regex::Regex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    client::Engine,
    error::{EngineError, Unfit},
};
use crate::spec::HttpCheck;

/// How often a condition is asked for.
const INTERVAL: Duration = Duration::from_millis(50);

/// A condition that needs no look at sockets.
#[derive(Clone, Debug)]
pub enum Condition<'a> {
    /// A line of the log matches.
    Log(&'a Regex),
    /// The health check says healthy.
    Healthy,
    /// An HTTP request is answered as wanted.
    Http(&'a HttpCheck),
}

/// Returns once the condition is true. The caller sets the deadline.
///
/// # Errors
///
/// If the engine fails, or the condition can never come true.
pub async fn wait_for(
    engine: &Engine,
    container: &str,
    addresses: &[IpAddr],
    condition: &Condition<'_>,
) -> Result<(), EngineError> {
    match condition {
        Condition::Log(pattern) => log(engine, container, pattern).await,
        Condition::Healthy => healthy(engine, container).await,
        Condition::Http(check) => {
            while !is_answered(addresses, check).await {
                sleep(INTERVAL).await;
            }
            Ok(())
        }
    }
}

async fn log(engine: &Engine, container: &str, pattern: &Regex) -> Result<(), EngineError> {
    /// A line may be endless: only so much of it is kept.
    const LONGEST_LINE: usize = 64 * 1024;
    loop {
        let options = LogsOptionsBuilder::default().follow(true).stdout(true).stderr(true).build();
        let mut stream = engine.docker.logs(container, Some(options));
        let mut line: Vec<u8> = Vec::new();
        while let Some(Ok(output)) = stream.next().await {
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

/// Whether a request to any of the addresses is answered with the wanted status.
async fn is_answered(addresses: &[IpAddr], check: &HttpCheck) -> bool {
    for &address in addresses {
        let status = timeout(Duration::from_secs(5), status(address, check)).await;
        if matches!(status, Ok(Some(status)) if status == check.status) {
            return true;
        }
    }
    false
}

/// The status of the answer, if there is one. HTTP/1.0, so that the server closes the connection.
async fn status(address: IpAddr, check: &HttpCheck) -> Option<u16> {
    let address = SocketAddr::new(address, check.port.number);
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!(
        "GET {} HTTP/1.0\r\nHost: {address}\r\nUser-Agent: portlid\r\nAccept: */*\r\n\r\n",
        check.path
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut head = [0_u8; 64];
    let mut filled = 0;
    while filled < head.len() && !head[..filled].contains(&b'\n') {
        match stream.read(&mut head[filled..]).await.ok()? {
            0 => break,
            read => filled += read,
        }
    }
    status_of(&head[..filled])
}

/// The status in `HTTP/1.1 200 OK`.
fn status_of(head: &[u8]) -> Option<u16> {
    let head = std::str::from_utf8(head).ok()?;
    let rest = head.strip_prefix("HTTP/1.")?;
    rest.get(2..5)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::status_of;

    #[test]
    fn a_status_is_read_from_the_first_line_only() {
        for (head, status) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], Some(200)),
            (b"HTTP/1.0 503 Service Unavailable\r\n", Some(503)),
            (b"HTTP/1.1 204\r\n", Some(204)),
            (b"SSH-2.0-OpenSSH_9.2\r\n", None),
            (b"HTTP/1.1 xx\r\n", None),
            (b"", None),
        ] {
            assert_eq!(status_of(head), status);
        }
    }
}
