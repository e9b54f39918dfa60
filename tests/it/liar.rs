//! An engine that lies: it hands every request on to the real one, and changes what that says of
//! containers.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

/// What it makes of the engine's word on a container; the number counts those words, from 0.
pub(crate) type Lie = fn(usize, &mut Value);

/// The engine. It ends with the test's process.
pub(crate) struct Liar {
    folder: TempDir,
}

impl Liar {
    pub(crate) fn telling(lie: Lie) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("engine.sock")).unwrap();
        let told = Arc::new(AtomicUsize::new(0));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, told) = (client.unwrap(), Arc::clone(&told));
                thread::spawn(move || {
                    // Whoever hangs up ends it.
                    let _ = serve(client, lie, &told);
                });
            }
        });
        Self { folder }
    }

    /// Where it is reached.
    pub(crate) fn endpoint(&self) -> String {
        format!("unix://{}", self.folder.path().join("engine.sock").display())
    }
}

/// One connection, for one request: so that every request is seen.
fn serve(client: UnixStream, lie: Lie, told: &AtomicUsize) -> std::io::Result<()> {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    let socket = host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").to_owned();
    let mut engine = UnixStream::connect(Path::new(&socket))?;
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let (request, headers) = head.split_once("\r\n").unwrap();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let is_inspection = path.contains("/containers/") && path.ends_with("/json");
    let is_upgrade = headers.to_ascii_lowercase().contains("upgrade");
    let kept: Vec<&str> = headers
        .split("\r\n")
        .filter(|it| is_upgrade || !it.to_ascii_lowercase().starts_with("connection:"))
        .filter(|it| !it.is_empty())
        .collect();
    let close = if is_upgrade { "" } else { "Connection: close\r\n" };
    // Without chunks, which HTTP/1.0 does not have.
    let request =
        if is_inspection { request.replace("HTTP/1.1", "HTTP/1.0") } else { request.to_owned() };
    write!(engine, "{request}\r\n{}\r\n{close}\r\n", kept.join("\r\n"))?;
    if is_inspection {
        let mut answer = Vec::new();
        engine.read_to_end(&mut answer)?;
        let at = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap_or(answer.len());
        let status = String::from_utf8_lossy(&answer[..at]);
        let status = status.lines().next().unwrap_or_default().replace("HTTP/1.0", "HTTP/1.1");
        let mut body = answer.get(at + 4..).unwrap_or_default().to_vec();
        if let Ok(mut value) = serde_json::from_slice::<Value>(&body)
            && value["State"].is_object()
            && !value["Config"]["Image"].as_str().unwrap_or_default().starts_with("portlid-scout")
        {
            lie(told.fetch_add(1, Ordering::SeqCst), &mut value);
            body = value.to_string().into_bytes();
        }
        let mut client = client;
        let length = body.len();
        write!(
            client,
            "{status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )?;
        return client.write_all(&body);
    }
    let (mut to_engine, mut from_engine, mut to_client) =
        (engine.try_clone()?, engine, client.try_clone()?);
    let up = thread::spawn(move || {
        let _ = std::io::copy(&mut reader, &mut to_engine);
        let _ = to_engine.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut from_engine, &mut to_client);
    let _ = to_client.shutdown(Shutdown::Both);
    let _ = up.join();
    Ok(())
}
