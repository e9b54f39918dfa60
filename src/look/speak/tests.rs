//! Asking ports, against servers of its own.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::net::TcpListener;

use super::*;

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const MYSQL: &[u8] = b"\x4a\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00aaaaaaaa";
const SERVER_HELLO: &[u8] = &[0x16, 3, 3, 0, 4, 2, 0, 0, 0];
const ALERT: &[u8] = &[0x15, 3, 1, 0, 2, 2, 70];

/// What a fake server says to the bytes it has read; nothing closes the connection.
type Reply = fn(&[u8]) -> Option<&'static [u8]>;

/// A server that greets, then answers everything it reads. Its port, and how often it was called.
async fn server(greeting: &'static [u8], reply: Reply) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let _ = stream.write_all(greeting).await;
                let mut buffer = [0; 2048];
                while let Ok(length) = stream.read(&mut buffer).await {
                    let Some(answer) = reply(&buffer[..length]).filter(|_| length > 0) else {
                        return;
                    };
                    let _ = stream.write_all(answer).await;
                }
            });
        }
    });
    (port, calls)
}

fn http(asked: &[u8]) -> Option<&'static [u8]> {
    match asked.starts_with(b"GET ") {
        true => Some(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        false => Some(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
    }
}

/// HTTP/2 alone, as servers of gRPC speak it: whoever says anything else is hung up on.
fn grpc(asked: &[u8]) -> Option<&'static [u8]> {
    asked
        .starts_with(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .then_some(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0d")
}

fn tls(asked: &[u8]) -> Option<&'static [u8]> {
    Some(if asked.starts_with(&[0x16, 3]) { SERVER_HELLO } else { ALERT })
}

fn https(asked: &[u8]) -> Option<&'static [u8]> {
    match asked.starts_with(&[0x16, 3]) {
        true => Some(SERVER_HELLO),
        false => Some(
            b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
        ),
    }
}

fn redis(asked: &[u8]) -> Option<&'static [u8]> {
    asked.starts_with(b"PING").then_some(b"+PONG\r\n")
}

fn postgres(asked: &[u8]) -> Option<&'static [u8]> {
    asked.starts_with(&[0, 0, 0, 8]).then_some(b"N")
}

fn memcached(asked: &[u8]) -> Option<&'static [u8]> {
    Some(if asked.starts_with(b"version") { b"VERSION 1.6.18\r\n" } else { b"ERROR\r\n" })
}

fn amqp(asked: &[u8]) -> Option<&'static [u8]> {
    Some(match asked.starts_with(b"AMQP") {
        true => &[1, 0, 0, 0, 0, 1, 0xf0, 0, 10, 0, 10, 0, 9],
        false => b"AMQP\x00\x00\x09\x01",
    })
}

fn dns(asked: &[u8]) -> Option<&'static [u8]> {
    (asked.get(2..4) == Some(b"pl"))
        .then_some(&[0, 12, b'p', b'l', 0x81, 0x80, 0, 0, 0, 0, 0, 0, 0, 0])
}

fn smtp(asked: &[u8]) -> Option<&'static [u8]> {
    Some(if asked.starts_with(b"EHLO") { b"250-mail\r\n250 SIZE\r\n" } else { b"500 what\r\n" })
}

fn ftp(_: &[u8]) -> Option<&'static [u8]> {
    Some(b"530 Please login with USER and PASS.\r\n")
}

fn hangs_up(_: &[u8]) -> Option<&'static [u8]> {
    None
}

fn silent(_: &[u8]) -> Option<&'static [u8]> {
    Some(b"")
}

fn babble(_: &[u8]) -> Option<&'static [u8]> {
    Some(b"what?\r\n")
}

const SERVERS: [(&str, &[u8], Reply, Option<Speaks>); 15] = [
    ("http", b"", http, Some(Speaks::Http)),
    ("tls", b"", tls, Some(Speaks::Tls)),
    ("https that answers http", b"", https, Some(Speaks::Tls)),
    ("ssh", b"SSH-2.0-OpenSSH_9.2\r\n", hangs_up, Some(Speaks::Ssh)),
    ("redis", b"", redis, Some(Speaks::Redis)),
    ("postgres", b"", postgres, Some(Speaks::Postgres)),
    ("mysql", MYSQL, hangs_up, Some(Speaks::Mysql)),
    ("amqp", b"", amqp, Some(Speaks::Amqp)),
    ("memcached", b"", memcached, Some(Speaks::Memcached)),
    ("dns", b"", dns, Some(Speaks::Dns)),
    ("smtp", b"220 mail ESMTP\r\n", smtp, Some(Speaks::Smtp)),
    ("smtp of several lines", b"220-mail\r\n220 ESMTP\r\n", smtp, Some(Speaks::Smtp)),
    ("ftp", b"220 ftp\r\n", ftp, None),
    ("hangs up", b"", hangs_up, None),
    ("babble", b"", babble, None),
];

async fn asked(port: u16, wanted: Option<Speaks>, within: Duration) -> Spoken {
    ask(&[LOOPBACK], Port::tcp(port), wanted, within).await
}

/// Asked for what it speaks, each server is recognised at once.
#[tokio::test]
async fn every_server_is_recognised_by_the_right_question() {
    for (name, greeting, reply, speaks) in SERVERS {
        let Some(speaks) = speaks else { continue };
        let (port, calls) = server(greeting, reply).await;
        let began = Instant::now();
        let spoken = asked(port, Some(speaks), ASK_WITHIN).await;
        assert_eq!(spoken, Spoken::Recognised(speaks), "{name}");
        assert!(began.elapsed() < Duration::from_millis(500), "{name}");
        assert_eq!(calls.load(Ordering::Relaxed), 1, "{name}");
    }
}

/// Without a question in mind, each is found out, by few connections.
#[tokio::test]
async fn every_server_is_found_out() {
    let asking = SERVERS.map(|(name, greeting, reply, speaks)| async move {
        let (port, calls) = server(greeting, reply).await;
        let spoken = asked(port, None, ASK_WITHIN).await;
        let expected = match (speaks, name) {
            (Some(speaks), _) => Spoken::Recognised(speaks),
            (None, "hangs up") => Spoken::Mute,
            (None, _) => Spoken::Unrecognised,
        };
        assert_eq!(spoken, expected, "{name}");
        assert!(calls.load(Ordering::Relaxed) <= 7, "{name}");
    });
    for asking in asking.map(tokio::spawn) {
        asking.await.unwrap();
    }
}

/// Asked for something else, a server gives itself away or is not recognised.
#[tokio::test]
async fn the_wrong_question_is_never_answered_right() {
    let within = Duration::from_millis(200);
    let asking = SERVERS.map(|(name, greeting, reply, speaks)| async move {
        let (port, _) = server(greeting, reply).await;
        for (wanted, _) in Speaks::ALL {
            if Some(wanted) == speaks || wanted == Speaks::Plain {
                continue;
            }
            let spoken = asked(port, Some(wanted), within).await;
            assert_ne!(spoken, Spoken::Recognised(wanted), "{name} as {wanted:?}");
        }
    });
    for asking in asking.map(tokio::spawn) {
        asking.await.unwrap();
    }
}

/// A server of HTTPS that answers a plain request in plain HTTP does not pass for HTTP.
#[tokio::test]
async fn https_is_not_http() {
    let (port, _) = server(b"", https).await;
    assert_eq!(asked(port, Some(Speaks::Http), ASK_WITHIN).await, Spoken::Recognised(Speaks::Tls));
}

/// A server of HTTP that dislikes the request speaks HTTP all the same.
#[tokio::test]
async fn a_bad_request_is_http() {
    fn picky(_: &[u8]) -> Option<&'static [u8]> {
        Some(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    }
    let (port, _) = server(b"", picky).await;
    assert_eq!(asked(port, Some(Speaks::Http), ASK_WITHIN).await, Spoken::Recognised(Speaks::Http));
}

#[tokio::test]
async fn plain_needs_only_a_connection() {
    let (port, _) = server(b"", silent).await;
    let spoken = asked(port, Some(Speaks::Plain), ASK_WITHIN).await;
    assert_eq!(spoken, Spoken::Recognised(Speaks::Plain));
}

#[tokio::test]
async fn a_silent_server_is_mute_when_time_is_up() {
    let (port, _) = server(b"", silent).await;
    let within = Duration::from_millis(300);
    for wanted in [None, Some(Speaks::Http), Some(Speaks::Ssh)] {
        let began = Instant::now();
        assert_eq!(asked(port, wanted, within).await, Spoken::Mute);
        assert!(began.elapsed() < within * 3, "{wanted:?}");
    }
}

/// An endless answer is read only in part.
#[tokio::test]
async fn an_endless_answer_ends() {
    fn endless(_: &[u8]) -> Option<&'static [u8]> {
        Some(&[b'x'; 100_000])
    }
    let (port, _) = server(b"", endless).await;
    let began = Instant::now();
    assert_eq!(asked(port, Some(Speaks::Redis), ASK_WITHIN).await, Spoken::Unrecognised);
    assert!(began.elapsed() < Duration::from_millis(500));
}

#[tokio::test]
async fn a_shut_port_is_not_asked() {
    // Bound, so that nobody else listens there.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(LOOPBACK, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    assert_eq!(asked(port, Some(Speaks::Http), ASK_WITHIN).await, Spoken::NotAsked);
    assert_eq!(asked(port, None, ASK_WITHIN).await, Spoken::NotAsked);
    // The second address answers, the first does not.
    let (port, _) = server(b"", http).await;
    let addresses = ["::1".parse().unwrap(), LOOPBACK];
    let spoken = ask(&addresses, Port::tcp(port), Some(Speaks::Http), ASK_WITHIN).await;
    assert_eq!(spoken, Spoken::Recognised(Speaks::Http));
}

#[tokio::test]
async fn dns_is_asked_over_udp() {
    let socket = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let port = Port::udp(socket.local_addr().unwrap().port());
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        // The first datagram is lost.
        let _ = socket.recv_from(&mut buffer).await;
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            buffer[2] |= 0x80;
            let _ = socket.send_to(&buffer[..length], peer).await;
        }
    });
    let within = Duration::from_millis(600);
    let spoken = ask(&[LOOPBACK], port, Some(Speaks::Dns), within).await;
    assert_eq!(spoken, Spoken::Recognised(Speaks::Dns));
    assert_eq!(ask(&[LOOPBACK], port, None, within).await, Spoken::Recognised(Speaks::Dns));
    assert_eq!(ask(&[LOOPBACK], port, Some(Speaks::Http), within).await, Spoken::NotAsked);
}

#[tokio::test]
async fn http_of_version_2_is_http_too() {
    let (port, calls) = server(b"", grpc).await;
    let asked = Some(Speaks::Http);
    let spoken = ask(&[LOOPBACK], Port::tcp(port), asked, Duration::from_secs(20)).await;
    assert_eq!(spoken, Spoken::Recognised(Speaks::Http));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}
