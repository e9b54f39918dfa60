//! What answers mean, byte by byte.

use super::*;

const MYSQL: &[u8] = b"\x4a\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00";

#[test]
fn first_answers_are_recognised() {
    let alert: &[u8] = &[0x15, 3, 3, 0, 2, 2, 40];
    let server_hello: &[u8] = &[0x16, 3, 3, 0, 90, 2, 0, 0, 86];
    let start: &[u8] = &[1, 0, 0, 0, 0, 1, 0xf0, 0, 10, 0, 10, 0, 9];
    let cases: &[(&[u8], Option<Speaks>)] = &[
        (b"HTTP/1.1 200 OK\r\n", Some(Speaks::Http)),
        (b"HTTP/1.0 404 Not Found\r\n", Some(Speaks::Http)),
        (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00", Some(Speaks::Http)),
        (b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", Some(Speaks::Http)),
        (b"\x00\x00\x07\x04\x00\x00\x00\x00\x00", None),
        (HTTP2, None),
        (alert, Some(Speaks::Tls)),
        (server_hello, Some(Speaks::Tls)),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", Some(Speaks::Ssh)),
        (b"+PONG\r\n", Some(Speaks::Redis)),
        (b"-NOAUTH Authentication required.\r\n", Some(Speaks::Redis)),
        (b"-DENIED Redis is running in protected mode", Some(Speaks::Redis)),
        (b"-ERR max number of clients reached\r\n", Some(Speaks::Redis)),
        (b"AMQP\x00\x00\x09\x01", Some(Speaks::Amqp)),
        (start, Some(Speaks::Amqp)),
        (b"VERSION 1.6.18\r\n", Some(Speaks::Memcached)),
        (MYSQL, Some(Speaks::Mysql)),
        (b"\x52\x00\x00\x00\x0a5.5.5-10.11.6-MariaDB\x00", Some(Speaks::Mysql)),
        (b"\x45\x00\x00\x00\xff\x6a\x04Host '172.17.0.1' is not allowed", Some(Speaks::Mysql)),
        (b"E\x00\x00\x00\x80SFATAL\x00VFATAL\x00", Some(Speaks::Postgres)),
        (b"", None),
        (b"220 mail.example ESMTP\r\n", None),
        (b"+OK POP3 ready\r\n", None),
        (b"HTTP", None),
        (b"\x16\x03\x01\x00\x05\x01", None),
        (b"EHLO", None),
    ];
    for (answer, expected) in cases {
        assert_eq!(recognise(answer), *expected, "{}", answer.escape_ascii());
    }
}

#[test]
fn some_answers_need_their_question() {
    assert_eq!(recognise_reply(Speaks::Postgres, b"N"), Some(Speaks::Postgres));
    assert_eq!(recognise_reply(Speaks::Postgres, b"S"), Some(Speaks::Postgres));
    assert_eq!(recognise_reply(Speaks::Redis, b"N"), None);
    assert_eq!(recognise_reply(Speaks::Postgres, b"SSH-2.0-x"), Some(Speaks::Ssh));
    let mut answer = DNS.to_vec();
    assert!(!is_dns(&answer), "a query is no answer: an echo server is not DNS");
    answer[2] |= 0x80;
    assert!(is_dns(&answer));
    answer[0] = b'q';
    assert!(!is_dns(&answer));
}

/// An echo server speaks nothing, whatever it is asked.
#[test]
fn our_own_words_are_never_recognised() {
    for (asked, _) in Speaks::ALL {
        let Some(opening) = opening(asked) else { continue };
        assert_eq!(recognise_reply(asked, &opening), None, "{asked:?}");
    }
}

/// The lengths inside the ClientHello add up.
#[test]
fn the_client_hello_is_well_formed() {
    let hello = client_hello();
    let length = |at: usize| usize::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
    assert_eq!(hello[0], 0x16);
    assert_eq!(length(3), hello.len() - 5);
    assert_eq!((hello[5], hello[6]), (1, 0));
    assert_eq!(length(7), hello.len() - 9);
    let ciphers = 9 + 2 + 32 + 1 + 32;
    let compression = ciphers + 2 + length(ciphers);
    let extensions = compression + 2;
    assert_eq!(length(extensions), hello.len() - extensions - 2);
}
