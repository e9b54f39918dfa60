//! A proxy on a unix socket before the engine's own, which tells one lie to one call.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::engine;

/// A request to the engine, as far as portlid makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Version,
    ListContainers,
    ListNetworks,
    ListImages,
    ImageInspect,
    ImageDelete,
    Pull,
    Load,
    Build,
    Create,
    Start,
    Inspect,
    Attach,
    Logs,
    Delete,
    NetworkCreate,
    NetworkInspect,
    NetworkConnect,
    NetworkDisconnect,
    NetworkDelete,
    VolumeInspect,
    Other,
}

impl Call {
    /// By the first line of the request: `GET /v1.41/containers/json?all=true HTTP/1.1`.
    fn of(head: &str) -> Self {
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap_or_default());
        let path = path.split('?').next().unwrap();
        let parts: Vec<&str> =
            path.split('/').filter(|it| !it.is_empty() && !it.starts_with("v1.")).collect();
        match (method, &parts[..]) {
            ("GET", ["version"]) => Self::Version,
            ("GET", ["containers", "json"]) => Self::ListContainers,
            ("GET", ["networks"]) => Self::ListNetworks,
            ("GET", ["images", "json"]) => Self::ListImages,
            ("GET", ["images", .., "json"]) => Self::ImageInspect,
            ("DELETE", ["images", ..]) => Self::ImageDelete,
            ("POST", ["images", "create"]) => Self::Pull,
            ("POST", ["images", "load"]) => Self::Load,
            ("POST", ["build"]) => Self::Build,
            ("POST", ["containers", "create"]) => Self::Create,
            ("POST", ["containers", _, "start"]) => Self::Start,
            ("POST", ["containers", _, "attach"]) => Self::Attach,
            ("GET", ["containers", _, "json"]) => Self::Inspect,
            ("GET", ["containers", _, "logs"]) => Self::Logs,
            ("DELETE", ["containers", _]) => Self::Delete,
            ("POST", ["networks", "create"]) => Self::NetworkCreate,
            ("POST", ["networks", _, "connect"]) => Self::NetworkConnect,
            ("POST", ["networks", _, "disconnect"]) => Self::NetworkDisconnect,
            ("GET", ["networks", _]) => Self::NetworkInspect,
            ("DELETE", ["networks", _]) => Self::NetworkDelete,
            ("GET", ["volumes", _]) => Self::VolumeInspect,
            _ => Self::Other,
        }
    }

    /// Whether the answer is a stream that does not end by itself.
    fn is_stream(self) -> bool {
        matches!(self, Self::Attach | Self::Logs)
    }
}

/// What is done to the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is closed, and the engine never hears of it.
    Drop,
    /// There is no answer, and the engine never hears of it.
    Stall,
    /// The whole engine stops, as by SIGSTOP: nothing moves on any connection.
    Freeze,
    /// Half of the answer, and no more.
    Half,
    /// One byte each 100 ms.
    Drip,
    /// Half of the answer, and the connection is closed.
    Truncate,
    /// Bytes that are no JSON.
    Garble,
    /// JSON of other types.
    WrongTypes,
    /// `{}`.
    Empty,
    /// A status of the engine's, for a request that it never heard of.
    Status(u16),
    /// The request is carried out, and the answer is lost.
    Reset,
    /// The answer comes twice.
    Twice,
    /// The answer is about another container or image.
    Swap,
    /// A frame of a stream says that 4 GiB follow.
    HugeFrame,
    /// The request is carried out, and its answer has no end: it comes as fast as it is read.
    Endless,
}

/// The answer to a call whose connection becomes a stream.
const UPGRADED: &str = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

/// What the proxy lies about.
#[derive(Clone, Debug)]
pub(crate) struct Lie {
    pub(crate) call: Call,
    pub(crate) fault: Fault,
    /// How many calls are answered truly before.
    pub(crate) after: u32,
    /// How many calls are lied to.
    pub(crate) times: u32,
    /// The other container or image that the answer is about.
    pub(crate) other: String,
}

/// The proxy. It stops when it is dropped.
pub(crate) struct Proxy {
    pub(crate) url: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    lie: Option<Lie>,
    is_lying: AtomicBool,
    is_frozen: AtomicBool,
    calls: AtomicU32,
}

impl Proxy {
    pub(crate) fn start(folder: &Path, lie: Option<Lie>) -> Self {
        let socket = folder.join("engine.sock");
        let state = Arc::new(State {
            lie,
            is_lying: AtomicBool::new(true),
            is_frozen: AtomicBool::new(false),
            calls: AtomicU32::new(0),
        });
        let _context = engine::runtime().enter();
        let listener = UnixListener::bind(&socket).unwrap();
        let shared = Arc::clone(&state);
        let task = engine::runtime().spawn(async move {
            loop {
                shared.thaw().await;
                let Ok((client, _)) = listener.accept().await else { return };
                let shared = Arc::clone(&shared);
                tokio::spawn(async move { drop(serve(client, &shared).await) });
            }
        });
        Self { url: format!("unix://{}", socket.display()), state, task }
    }

    /// From now on it tells the truth.
    pub(crate) fn repent(&self) {
        self.state.is_lying.store(false, SeqCst);
        self.state.is_frozen.store(false, SeqCst);
    }

    /// Stops everything.
    pub(crate) fn freeze(&self) {
        self.state.is_frozen.store(true, SeqCst);
    }

    /// How often it has lied.
    pub(crate) fn lies(&self) -> u32 {
        let after = self.state.lie.as_ref().map_or(0, |lie| lie.after);
        self.state.calls.load(SeqCst).saturating_sub(after)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    /// The lie to this call, if there is one.
    fn lie_to(&self, call: Call) -> Option<&Lie> {
        let lie = self.lie.as_ref().filter(|lie| lie.call == call)?;
        if !self.is_lying.load(SeqCst) {
            return None;
        }
        let number = self.calls.fetch_add(1, SeqCst);
        (number >= lie.after && number - lie.after < lie.times).then_some(lie)
    }

    async fn thaw(&self) {
        while self.is_frozen.load(SeqCst) {
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// An answer of the engine's, without its framing.
struct Answer {
    status: String,
    body: Vec<u8>,
}

impl Answer {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!(
            "{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.status,
            self.body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The same status with another body; one that may have a body.
    fn with(&self, body: impl Into<Vec<u8>>) -> Vec<u8> {
        let status = if self.status.contains(" 204 ") {
            "HTTP/1.1 200 OK".to_owned()
        } else {
            self.status.clone()
        };
        Self { status, body: body.into() }.bytes()
    }
}

async fn serve(mut client: UnixStream, state: &State) -> std::io::Result<()> {
    let (head, rest) = head_of(&mut client).await?;
    let call = Call::of(&head);
    let Some(lie) = state.lie_to(call) else { return pass(client, &head, &rest, state).await };
    let hold = || async {
        sleep(Duration::from_secs(600)).await;
        std::io::Result::Ok(())
    };
    let status = |number: u16, name: &str, more: &str, body: &str| {
        format!(
            "HTTP/1.1 {number} {name}\r\nContent-Type: text/html\r\n{more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    match lie.fault {
        Fault::Drop => return Ok(()),
        Fault::Stall => return hold().await,
        Fault::Freeze => {
            state.is_frozen.store(true, SeqCst);
            return hold().await;
        }
        Fault::Status(number) => {
            // The rest of the request is read, or the answer would be lost with the connection.
            let text = match number {
                301 => status(number, "Moved Permanently", "Location: /elsewhere\r\n", ""),
                404 => status(number, "Not Found", "", "{\"message\":\"no such thing\"}"),
                409 => status(number, "Conflict", "", "{\"message\":\"already in progress\"}"),
                429 => status(number, "Too Many Requests", "Retry-After: 1\r\n", "slow down"),
                _ => status(number, "Oops", "", "<html><body><h1>Oops</h1></body></html>"),
            };
            return answer(client, text.as_bytes()).await;
        }
        Fault::HugeFrame => {
            let status = if call == Call::Attach {
                UPGRADED
            } else {
                "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
            };
            client.write_all(status.as_bytes()).await?;
            client.write_all(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]).await?;
            client.write_all(b"up\nup\nup\n").await?;
            return hold().await;
        }
        _ => {}
    }
    if call == Call::Attach && lie.fault == Fault::Endless {
        client.write_all(UPGRADED.as_bytes()).await?;
        return endless(&mut client, &[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], false).await;
    }
    if call == Call::Attach {
        return attach(client, &head, &rest, lie.fault, &lie.other, state).await;
    }
    let asked = if lie.fault == Fault::Swap { about(&head, call, &lie.other) } else { head };
    let (mut reading, mut writing) = client.into_split();
    let truth = exchange(&mut reading, &asked, &rest, call).await?;
    let whole = truth.bytes();
    let half = whole.len() - truth.body.len().div_ceil(2).max(1);
    match lie.fault {
        Fault::Half => {
            writing.write_all(&whole[..half]).await?;
            hold().await?;
        }
        Fault::Drip => drip(&mut writing, &whole).await?,
        Fault::Truncate => writing.write_all(&whole[..half]).await?,
        Fault::Garble => {
            let garbage: Vec<u8> = (0..400_u32).map(|it| (it * 167 % 251) as u8).collect();
            writing.write_all(&truth.with(garbage)).await?;
        }
        Fault::WrongTypes => {
            let lists =
                matches!(call, Call::ListContainers | Call::ListNetworks | Call::ListImages);
            let body = if lists {
                "[7,{\"Names\":{},\"Labels\":3}]"
            } else {
                "{\"Id\":[1],\"ID\":[1],\"Name\":{},\"Version\":{},\"State\":\"up\",\"Config\":7,\
                 \"Os\":1,\"stream\":[1],\"status\":{},\"aux\":[]}"
            };
            writing.write_all(&truth.with(body)).await?;
        }
        Fault::Empty => writing.write_all(&truth.with("{}")).await?,
        Fault::Twice => {
            writing.write_all(&whole).await?;
            writing.write_all(&whole).await?;
        }
        Fault::Swap => {
            let mut body = String::from_utf8_lossy(&truth.body).into_owned();
            if matches!(call, Call::Create | Call::NetworkCreate) {
                let mut made: serde_json::Value = serde_json::from_str(&body).unwrap();
                made["Id"] = lie.other.clone().into();
                body = made.to_string();
            }
            writing.write_all(&truth.with(body)).await?;
        }
        // The answer is lost.
        Fault::Reset => {}
        Fault::Endless => {
            let status = truth.status.replace(" 204 No Content", " 200 OK");
            let head = format!(
                "{status}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            );
            writing.write_all(head.as_bytes()).await?;
            let is_list =
                matches!(call, Call::ListContainers | Call::ListNetworks | Call::ListImages);
            let begin = if is_list { "[{\"Id\":\"" } else { "{\"Id\":\"" };
            endless(&mut writing, begin.as_bytes(), true).await?;
        }
        other => unreachable!("{other:?}"),
    }
    writing.shutdown().await
}

/// Sends the answer and reads what may still come of the request.
async fn answer(mut client: UnixStream, bytes: &[u8]) -> std::io::Result<()> {
    client.write_all(bytes).await?;
    let mut rest = vec![0; 64 * 1024];
    let drain = async {
        while client.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    timeout(Duration::from_secs(5), drain).await.unwrap_or(Ok(()))
}

/// The request as one about another container or image.
fn about(head: &str, call: Call, other: &str) -> String {
    let folder = match call {
        Call::Inspect | Call::Logs | Call::Attach => "/containers/",
        Call::ImageInspect => "/images/",
        _ => return head.to_owned(),
    };
    let start = head.find(folder).unwrap() + folder.len();
    let line = head[start..].find(' ').unwrap() + start;
    let end = head[start..line].rfind('/').unwrap() + start;
    format!("{}{other}{}", &head[..start], &head[end..])
}

/// The attach call: a connection that becomes a stream of both ways.
async fn attach(
    client: UnixStream,
    head: &str,
    rest: &[u8],
    fault: Fault,
    other: &str,
    state: &State,
) -> std::io::Result<()> {
    let head =
        if fault == Fault::Swap { about(head, Call::Attach, other) } else { head.to_owned() };
    if fault == Fault::Swap {
        return pass(client, &head, rest, state).await;
    }
    let mut engine = UnixStream::connect(engine_socket()).await?;
    engine.write_all(head.as_bytes()).await?;
    engine.write_all(rest).await?;
    let (upgraded, first) = head_of(&mut engine).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_engine, mut to_engine) = engine.into_split();
    if fault == Fault::Reset {
        return Ok(());
    }
    to_client.write_all(upgraded.as_bytes()).await?;
    let line = |text: &str| {
        let mut frame = vec![1, 0, 0, 0, 0, 0, 0, u8::try_from(text.len() + 1).unwrap()];
        frame.extend_from_slice(text.as_bytes());
        frame.push(b'\n');
        frame
    };
    let onwards =
        tokio::spawn(
            async move { tokio::io::copy(&mut from_client, &mut to_engine).await.map(drop) },
        );
    to_client.write_all(&first).await?;
    match fault {
        Fault::Garble => {
            to_client.write_all(&[1, 0, 0, 0, 0, 0, 0, 4, 0xfe, 0xff, 0, b'\n']).await?;
        }
        Fault::WrongTypes => {
            to_client.write_all(&line("{\"answer\":{\"id\":\"x\",\"answer\":7}}")).await?;
        }
        Fault::Empty => to_client.write_all(&line("{}")).await?,
        Fault::Twice => to_client.write_all(upgraded.as_bytes()).await?,
        _ => {}
    }
    let mut bytes = vec![0; 4096];
    loop {
        let count = from_engine.read(&mut bytes).await?;
        if count == 0 {
            break;
        }
        match fault {
            Fault::Half => {
                to_client.write_all(&bytes[..count / 2]).await?;
                sleep(Duration::from_secs(600)).await;
            }
            Fault::Truncate => {
                to_client.write_all(&bytes[..count / 2]).await?;
                break;
            }
            Fault::Drip => drip(&mut to_client, &bytes[..count]).await?,
            _ => to_client.write_all(&bytes[..count]).await?,
        }
    }
    onwards.abort();
    Ok(())
}

/// Writes until nobody reads any more.
async fn endless(
    writing: &mut (impl AsyncWrite + Unpin),
    begin: &[u8],
    is_chunked: bool,
) -> std::io::Result<()> {
    const SIZE: usize = 64 * 1024;
    let framed = |bytes: &[u8]| {
        let head = if is_chunked { format!("{:x}\r\n", bytes.len()) } else { String::new() };
        let end = if is_chunked { "\r\n" } else { "" };
        [head.as_bytes(), bytes, end.as_bytes()].concat()
    };
    writing.write_all(&framed(begin)).await?;
    let more = framed(&[b'a'; SIZE]);
    loop {
        writing.write_all(&more).await?;
    }
}

async fn drip(writing: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes {
        writing.write_all(&[*byte]).await?;
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Everything as it is.
async fn pass(client: UnixStream, head: &str, rest: &[u8], state: &State) -> std::io::Result<()> {
    let mut engine = UnixStream::connect(engine_socket()).await?;
    engine.write_all(head.as_bytes()).await?;
    engine.write_all(rest).await?;
    let (from_client, to_client) = client.into_split();
    let (from_engine, to_engine) = engine.into_split();
    let (there, back) =
        tokio::join!(pump(from_client, to_engine, state), pump(from_engine, to_client, state));
    there.and(back)
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: &State,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        state.thaw().await;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&bytes[..count]).await?;
    }
}

/// Has the engine carry out the request, and reads its answer to the end.
async fn exchange(
    client: &mut (impl AsyncRead + Unpin),
    head: &str,
    rest: &[u8],
    call: Call,
) -> std::io::Result<Answer> {
    let engine = UnixStream::connect(engine_socket()).await?;
    let (mut from_engine, mut to_engine) = engine.into_split();
    // So that the end of the answer is the end of the connection.
    let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    to_engine.write_all(head.as_bytes()).await?;
    to_engine.write_all(rest).await?;
    let sent = tokio::io::copy(client, &mut to_engine);
    let read = async {
        let (head, mut body) = head_of(&mut from_engine).await?;
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let more = from_engine.read(&mut bytes);
            let count = if call.is_stream() {
                timeout(Duration::from_millis(400), more).await.unwrap_or(Ok(0))?
            } else {
                more.await?
            };
            if count == 0 {
                break;
            }
            body.extend_from_slice(&bytes[..count]);
        }
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            body = unchunked(&body);
        }
        Ok(Answer { status: head.lines().next().unwrap_or_default().to_owned(), body })
    };
    tokio::pin!(sent, read);
    tokio::select! {
        answer = &mut read => answer,
        // The client may end its half first; the answer still comes.
        _ = &mut sent => read.await,
    }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|it| it == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end]).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let chunk = &bytes[end + 2..];
        if size == 0 || chunk.len() < size {
            break;
        }
        body.extend_from_slice(&chunk[..size]);
        bytes = &chunk[size + 2..];
    }
    body
}

/// Reads to the end of the head; what came behind it is returned too.
async fn head_of(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<(String, Vec<u8>)> {
    let mut seen = Vec::new();
    let mut bytes = vec![0; 8192];
    loop {
        if let Some(end) = seen.windows(4).position(|it| it == b"\r\n\r\n") {
            let rest = seen.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&seen).into_owned(), rest));
        }
        let count = stream.read(&mut bytes).await?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        seen.extend_from_slice(&bytes[..count]);
    }
}

/// The engine's own socket.
fn engine_socket() -> String {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    let path = host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock");
    path.to_owned()
}
