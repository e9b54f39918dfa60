//! What a port speaks: a polite first exchange, from the neighbour's place.
//!
//! Nothing is asked but what any client asks first; no login is tried, and no more than a few
//! kilobytes are read. An answer of another protocol than the wanted one is an answer too: it tells
//! what the port speaks instead.

pub(super) mod words;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, connect as connect_socket, socket_with};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::{Instant, timeout_at},
};

use crate::{
    observation::Spoken,
    socket::{Port, Protocol},
    spec::Speaks,
};

/// How long a port is asked, if there is no reason for another time.
///
/// A server that has just started may need seconds for its first answer.
pub const ASK_WITHIN: Duration = Duration::from_secs(8);

/// How much of an answer is read at most, in bytes.
const MOST: usize = 4096;
/// How long a server is given to speak first, before a client that does not know it speaks.
const GREETING: Duration = Duration::from_millis(300);
/// The questions to an unknown server, in the order in which they are asked, each over a
/// connection of its own. By then it was asked for a greeting and for HTTP.
const QUESTIONS: [Speaks; 6] =
    [Speaks::Tls, Speaks::Redis, Speaks::Postgres, Speaks::Memcached, Speaks::Amqp, Speaks::Dns];

/// Asks `port` what it speaks, at the first of `addresses` that accepts a connection.
///
/// With `wanted`, only what that protocol needs is said. Without, the usual protocols are tried
/// one after the other; [`Speaks::Plain`] is never the answer then. UDP ports can only be asked for
/// DNS. It takes `within` at most.
pub async fn ask(
    addresses: &[IpAddr],
    port: Port,
    wanted: Option<Speaks>,
    within: Duration,
) -> Spoken {
    let deadline = Instant::now() + within;
    match port.protocol {
        Protocol::Tcp => {}
        Protocol::Udp if matches!(wanted, None | Some(Speaks::Dns)) => {
            return ask_udp(addresses, port.number, deadline).await;
        }
        Protocol::Udp | Protocol::Udplite | Protocol::Sctp | Protocol::Raw | Protocol::Packet => {
            return Spoken::NotAsked;
        }
    }
    let Some((peer, stream)) = first_open(addresses, port.number, deadline).await else {
        return Spoken::NotAsked;
    };
    let mut asking = Asking { peer, deadline, heard: false };
    let recognised = match wanted {
        Some(Speaks::Plain) => Some(Speaks::Plain),
        Some(wanted) => asking.for_one(stream, wanted).await,
        None => asking.for_any(stream).await,
    };
    match recognised {
        Some(speaks) => Spoken::Recognised(speaks),
        None if asking.heard => Spoken::Unrecognised,
        None => Spoken::Mute,
    }
}

/// A connection to the first address that accepts one.
async fn first_open(
    addresses: &[IpAddr],
    port: u16,
    deadline: Instant,
) -> Option<(SocketAddr, TcpStream)> {
    for (index, address) in addresses.iter().enumerate() {
        // A silent address must not use up the time of those behind it.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(1).max(1);
        let peer = SocketAddr::new(*address, port);
        if let Some(stream) = connect(peer, Instant::now() + share).await {
            return Some((peer, stream));
        }
    }
    None
}

async fn connect(peer: SocketAddr, deadline: Instant) -> Option<TcpStream> {
    let stream = timeout_at(deadline, TcpStream::connect(peer)).await.ok()?.ok()?;
    // A connection that met itself would echo every question.
    (stream.local_addr().ok()? != peer).then_some(stream)
}

struct Asking {
    peer: SocketAddr,
    deadline: Instant,
    /// Whether anything at all was answered.
    heard: bool,
}

impl Asking {
    /// Asks for one protocol.
    async fn for_one(&mut self, stream: TcpStream, wanted: Speaks) -> Option<Speaks> {
        match wanted {
            Speaks::Ssh | Speaks::Mysql | Speaks::Smtp => {
                self.for_greeting(stream, self.deadline).await.1
            }
            Speaks::Http => {
                let spoken = self.question(stream, wanted, self.deadline).await;
                if spoken.is_some() { spoken } else { self.http2().await }
            }
            _ => self.question(stream, wanted, self.deadline).await,
        }
    }

    /// Asks a server that has no answer to HTTP/1 for HTTP/2.
    async fn http2(&mut self) -> Option<Speaks> {
        let mut stream = connect(self.peer, self.deadline).await?;
        let said = timeout_at(self.deadline, stream.write_all(words::HTTP2)).await;
        if !matches!(said, Ok(Ok(()))) {
            return None;
        }
        let known = |answer: &[u8]| words::recognise(answer).is_some();
        let answer = self.read(&mut stream, self.deadline, known).await;
        words::recognise(&answer)
    }

    /// Asks for anything that is known.
    async fn for_any(&mut self, stream: TcpStream) -> Option<Speaks> {
        let greeting = self.share(QUESTIONS.len() + 2).min(Instant::now() + GREETING);
        let (stream, speaks) = self.for_greeting(stream, greeting).await;
        if speaks.is_some() || self.heard {
            // A server that speaks first and is not known is not known by its answers either.
            return speaks;
        }
        let until = self.share(QUESTIONS.len() + 1);
        if let Some(speaks) = self.question(stream?, Speaks::Http, until).await {
            return Some(speaks);
        }
        for (index, question) in QUESTIONS.into_iter().enumerate() {
            let until = self.share(QUESTIONS.len() - index);
            let stream = connect(self.peer, until).await?;
            if let Some(speaks) = self.question(stream, question, until).await {
                return Some(speaks);
            }
        }
        None
    }

    /// An equal share of the time that is left, for one of `questions` still to be asked.
    fn share(&self, questions: usize) -> Instant {
        let left = self.deadline.saturating_duration_since(Instant::now());
        Instant::now() + left / u32::try_from(questions).unwrap_or(1).max(1)
    }

    /// Waits for the server to speak first. The stream comes back if it may still be used.
    async fn for_greeting(
        &mut self,
        mut stream: TcpStream,
        until: Instant,
    ) -> (Option<TcpStream>, Option<Speaks>) {
        let enough = |answer: &[u8]| words::recognise(answer).is_some() || answer.contains(&b'\n');
        let greeting = self.read(&mut stream, until, enough).await;
        if words::may_be_smtp(&greeting) {
            let said = timeout_at(self.deadline, stream.write_all(words::EHLO)).await;
            if !matches!(said, Ok(Ok(()))) {
                return (None, None);
            }
            // A greeting of several lines may still be on its way when its first line is here.
            let reply = |answer: &[u8]| {
                let mut lines = answer.split_inclusive(|byte| *byte == b'\n');
                lines.find(|line| !words::may_be_smtp(line)).map(<[u8]>::to_vec)
            };
            let whole = |answer: &[u8]| reply(answer).is_some_and(|line| line.ends_with(b"\n"));
            let answer = self.read(&mut stream, self.deadline, whole).await;
            let smtp = reply(&answer).is_some_and(|line| words::is_smtp(&line));
            return (None, smtp.then_some(Speaks::Smtp));
        }
        (Some(stream), words::recognise(&greeting))
    }

    /// Says a protocol's first words and judges the answer.
    async fn question(
        &mut self,
        mut stream: TcpStream,
        asked: Speaks,
        until: Instant,
    ) -> Option<Speaks> {
        let opening = words::opening(asked)?;
        if !matches!(timeout_at(until, stream.write_all(&opening)).await, Ok(Ok(()))) {
            return None;
        }
        let enough = |answer: &[u8]| {
            words::recognise_reply(asked, answer).is_some() && !words::is_bad_request(answer)
                || answer.windows(4).any(|end| end == b"\r\n\r\n")
        };
        let answer = self.read(&mut stream, until, enough).await;
        let speaks = words::recognise_reply(asked, &answer)?;
        if speaks == Speaks::Http && words::is_bad_request(&answer) && asked == Speaks::Http {
            // Servers of HTTPS answer a plain request like this, in plain HTTP.
            let until = self.share(2);
            if let Some(stream) = connect(self.peer, until).await
                && let Some(Speaks::Tls) = Box::pin(self.question(stream, Speaks::Tls, until)).await
            {
                return Some(Speaks::Tls);
            }
        }
        Some(speaks)
    }

    /// Reads until there is `enough`, the server closes, time is up, or [`MOST`] bytes are there.
    async fn read(
        &mut self,
        stream: &mut TcpStream,
        until: Instant,
        enough: impl Fn(&[u8]) -> bool,
    ) -> Vec<u8> {
        let mut answer = Vec::new();
        let mut chunk = [0; 1024];
        while answer.len() < MOST && !enough(&answer) {
            match timeout_at(until, stream.read(&mut chunk)).await {
                Ok(Ok(length)) if length > 0 => answer.extend_from_slice(&chunk[..length]),
                // Closed, broken, or out of time.
                _ => break,
            }
        }
        self.heard |= !answer.is_empty();
        answer
    }
}

/// Asks for DNS over UDP. Whether anything listens shows only if something answers, or if the
/// kernel refuses.
async fn ask_udp(addresses: &[IpAddr], port: u16, deadline: Instant) -> Spoken {
    let mut result = Spoken::NotAsked;
    for (index, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(1).max(1);
        let spoken = ask_udp_at(SocketAddr::new(*address, port), Instant::now() + share).await;
        match spoken {
            Spoken::Recognised(_) | Spoken::Unrecognised => return spoken,
            Spoken::Mute => result = Spoken::Mute,
            Spoken::NotAsked => {}
        }
    }
    result
}

/// A socket that is never bound without being connected: inside the container it would be in its
/// tables as one that takes anybody's traffic.
fn connected_udp(peer: SocketAddr) -> Option<UdpSocket> {
    let family = match peer {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::DGRAM, flags, None).ok()?;
    connect_socket(&socket, &peer).ok()?;
    UdpSocket::from_std(socket.into()).ok()
}

async fn ask_udp_at(peer: SocketAddr, deadline: Instant) -> Spoken {
    let Some(socket) = connected_udp(peer) else { return Spoken::NotAsked };
    let mut buffer = vec![0; MOST];
    // Twice, because a datagram may be lost.
    for round in [2, 1] {
        if socket.send(&words::DNS).await.is_err() {
            return Spoken::NotAsked;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        match timeout_at(Instant::now() + left / round, socket.recv(&mut buffer)).await {
            Ok(Ok(length)) if words::is_dns(&buffer[..length]) => {
                return Spoken::Recognised(Speaks::Dns);
            }
            Ok(Ok(_)) => return Spoken::Unrecognised,
            // Refused by the kernel: nothing listens.
            Ok(Err(_)) => return Spoken::NotAsked,
            Err(_) => {}
        }
    }
    Spoken::Mute
}

#[cfg(test)]
mod tests;
