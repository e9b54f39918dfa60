//! The first words of the protocols: what to say, and what an answer gives away. Pure.

use crate::spec::Speaks;

/// What is said first to a server that speaks this; `None` if the server speaks first, or if
/// nothing needs to be said.
pub(in crate::look) fn opening(speaks: Speaks) -> Option<Vec<u8>> {
    match speaks {
        Speaks::Http => Some(HTTP.to_vec()),
        Speaks::Tls => Some(client_hello()),
        Speaks::Redis => Some(b"PING\r\n".to_vec()),
        Speaks::Postgres => Some(SSL_REQUEST.to_vec()),
        Speaks::Amqp => Some(AMQP.to_vec()),
        Speaks::Memcached => Some(b"version\r\n".to_vec()),
        Speaks::Dns => {
            // Over TCP a message is preceded by its length (RFC 1035, 4.2.2).
            let mut framed = (DNS.len() as u16).to_be_bytes().to_vec();
            framed.extend_from_slice(&DNS);
            Some(framed)
        }
        Speaks::Ssh | Speaks::Mysql | Speaks::Smtp | Speaks::Plain => None,
    }
}

/// What is said to a server whose greeting looks like SMTP's, which FTP's does too.
pub(super) const EHLO: &[u8] = b"EHLO portlid.invalid\r\n";

/// A request that every HTTP/1 server answers. It names no host, because none is known.
const HTTP: &[u8] =
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: portlid\r\nAccept: */*\r\nConnection: close\r\n\r\n";

/// What a client that knows the server to speak HTTP/2 says first: the preface and empty settings
/// (RFC 9113, 3.4). Servers of gRPC understand nothing else.
pub(super) const HTTP2: &[u8] =
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// Length 8, code 80877103 (PostgreSQL documentation, 54.7, `SSLRequest`).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// The protocol header of AMQP 0-9-1 (section 4.2.2 of its specification).
const AMQP: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

/// A query for the name servers of the root (RFC 1035, 4.1): id `pl`, no recursion.
pub(super) const DNS: [u8; 17] = [
    b'p', b'l', 0x00, 0x00, 0, 1, 0, 0, 0, 0, 0, 0, // header: one question
    0x00, 0x00, 0x02, 0x00, 0x01, // the root, NS, IN
];

/// What a server's first bytes give away, whatever it was asked. `None`: nothing that is known, or
/// not enough yet.
pub(in crate::look) fn recognise(answer: &[u8]) -> Option<Speaks> {
    let redis: [&[u8]; 6] = [b"+PONG", b"-NOAUTH", b"-ERR", b"-DENIED", b"-LOADING", b"-NOPERM"];
    let is_http1 = answer.starts_with(b"HTTP/1.") || answer.starts_with(b"HTTP/0.9");
    if is_http1 || is_http2(answer) {
        Some(Speaks::Http)
    } else if is_tls(answer) {
        Some(Speaks::Tls)
    } else if answer.starts_with(b"SSH-") {
        Some(Speaks::Ssh)
    } else if redis.iter().any(|word| answer.starts_with(word)) {
        Some(Speaks::Redis)
    } else if is_amqp(answer) {
        Some(Speaks::Amqp)
    } else if answer.starts_with(b"VERSION ") {
        Some(Speaks::Memcached)
    } else if is_mysql(answer) {
        Some(Speaks::Mysql)
    } else if is_postgres_error(answer) {
        Some(Speaks::Postgres)
    } else {
        None
    }
}

/// The same for an answer to the [`opening`] of `asked`, which some answers need to make sense:
/// PostgreSQL's is a single letter, and DNS's is known by the query's id.
pub(in crate::look) fn recognise_reply(asked: Speaks, answer: &[u8]) -> Option<Speaks> {
    match asked {
        Speaks::Postgres if matches!(answer, [b'S' | b'N']) => Some(Speaks::Postgres),
        // A server that answers with a header has another version; the same one is an echo.
        Speaks::Amqp if answer.starts_with(&AMQP) => None,
        Speaks::Dns if answer.get(2..).is_some_and(is_dns) => Some(Speaks::Dns),
        _ => recognise(answer),
    }
}

/// Whether a datagram answers our query: the same id, and the bit QR. Refusing is an answer too.
pub(in crate::look) fn is_dns(message: &[u8]) -> bool {
    message.len() >= 12 && message[..2] == DNS[..2] && message[2] & 0x80 != 0
}

/// Whether a greeting may be SMTP's. FTP greets with the same number: only `EHLO` tells.
pub(in crate::look) fn may_be_smtp(greeting: &[u8]) -> bool {
    greeting.starts_with(b"220 ") || greeting.starts_with(b"220-")
}

/// Whether the answer to [`EHLO`] is SMTP's: the greeting's words may come before it.
pub(in crate::look) fn is_smtp(answer: &[u8]) -> bool {
    answer.starts_with(b"250 ") || answer.starts_with(b"250-")
}

/// Whether an HTTP answer is 400: what a TLS server may say to one who does not speak TLS.
pub(in crate::look) fn is_bad_request(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.") && answer.get(8..12) == Some(b" 400")
}

/// A frame of settings for the whole connection, which is the first of every server: a length, type
/// 4, no flags, stream 0, and settings of six bytes (RFC 9113, 4.1 and 6.5).
fn is_http2(answer: &[u8]) -> bool {
    matches!(answer, [0, 0, length, 4, 0, 0, 0, 0, 0, ..] if length % 6 == 0)
}

/// A record with a ServerHello, or an alert (RFC 8446, 5.1 and 6).
fn is_tls(answer: &[u8]) -> bool {
    match answer {
        [0x16, 3, 0..=4, _, _, handshake, ..] => *handshake == 2,
        [0x15, 3, 0..=4, 0, 2, level, ..] => matches!(level, 1 | 2),
        _ => false,
    }
}

/// `Connection.Start` on channel 0 (class 10, method 10), or the header of the version that the
/// server would speak.
fn is_amqp(answer: &[u8]) -> bool {
    match answer {
        [1, 0, 0, _, _, _, _, rest @ ..] => rest.starts_with(&[0, 10, 0, 10]),
        _ => answer.len() >= 8 && answer.starts_with(b"AMQP"),
    }
}

/// A greeting of protocol 10, or an error packet, as the first packet (sequence 0): MySQL's
/// `Protocol::HandshakeV10` and `ERR_Packet`. The version is text that ends with a zero.
fn is_mysql(answer: &[u8]) -> bool {
    let [low, middle, 0, 0, kind, rest @ ..] = answer else { return false };
    if u16::from_le_bytes([*low, *middle]) < 3 {
        return false;
    }
    let printable = |byte: &u8| (b' '..=b'~').contains(byte);
    match kind {
        10 => {
            let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
            end > 0 && rest[0].is_ascii_digit() && rest[..end].iter().all(printable)
        }
        // The number of an error: 1000 to 4999.
        255 => match rest {
            [low, high, text @ ..] => {
                (1000..5000).contains(&u16::from_le_bytes([*low, *high]))
                    && text.iter().take(16).all(printable)
            }
            _ => false,
        },
        _ => false,
    }
}

/// `ErrorResponse`: `E`, a length, and fields that begin with a severity.
fn is_postgres_error(answer: &[u8]) -> bool {
    match answer {
        [b'E', 0, 0, _, _, field, text @ ..] => {
            matches!(field, b'S' | b'V')
                && [&b"ERROR"[..], b"FATAL", b"PANIC"].iter().any(|word| text.starts_with(word))
        }
        _ => false,
    }
}

/// A ClientHello that servers of TLS 1.2 and 1.3 answer (RFC 8446, 4.1.2). It carries no key: a
/// server of TLS 1.3 then answers with a HelloRetryRequest, which is a ServerHello.
fn client_hello() -> Vec<u8> {
    const CIPHERS: [u16; 14] = [
        0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
        0x009c, 0x002f, 0x0035,
    ];
    const SIGNATURES: [u16; 9] =
        [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0x0807];
    const GROUPS: [u16; 4] = [0x001d, 0x0017, 0x0018, 0x0019];
    const VERSIONS: [u16; 2] = [0x0304, 0x0303];

    let extensions = [
        extension(0x000a, &behind_u16(&words(&GROUPS))),
        extension(0x000b, &[1, 0]),
        extension(0x000d, &behind_u16(&words(&SIGNATURES))),
        extension(0x002b, &behind_u8(&words(&VERSIONS))),
        extension(0x0033, &behind_u16(&[])),
    ]
    .concat();
    let body = [
        &[3, 3][..],
        // No secret hangs on it, so it need not be random.
        b"portlid asks what is spoken here",
        &behind_u8(&[0x70; 32]),
        &behind_u16(&words(&CIPHERS)),
        &behind_u8(&[0]),
        &behind_u16(&extensions),
    ]
    .concat();
    let handshake = [&[1, 0][..], &behind_u16(&body)].concat();
    [&[0x16, 3, 1][..], &behind_u16(&handshake)].concat()
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &behind_u16(data)].concat()
}

fn behind_u8(data: &[u8]) -> Vec<u8> {
    [&[data.len() as u8], data].concat()
}

fn behind_u16(data: &[u8]) -> Vec<u8> {
    [&(data.len() as u16).to_be_bytes()[..], data].concat()
}

#[cfg(test)]
mod tests;
