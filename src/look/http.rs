//! Asking for one HTTP status, from the neighbour's place.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long one address may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The status with which the first address that answers at all answers `GET path`.
pub async fn http_status(addresses: &[IpAddr], port: u16, path: &str) -> Option<u16> {
    for &address in addresses {
        let status = timeout(PATIENCE, status(SocketAddr::new(address, port), path)).await;
        if let Ok(Some(status)) = status {
            return Some(status);
        }
    }
    None
}

/// HTTP/1.0, so that the server closes the connection.
async fn status(address: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: {address}\r\nUser-Agent: portlid\r\nAccept: */*\r\n\r\n"
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
pub(super) fn status_of(head: &[u8]) -> Option<u16> {
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
