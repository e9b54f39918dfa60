//! `run.publish`: what is published on the host.

use std::net::{IpAddr, Ipv4Addr};

use crate::{
    socket::PortRange,
    spec::{
        fault::{Fault, Faults},
        fields::{list, refuse, word, wrong_kind},
        model::{PublishEntry, PublishMode},
        raw::{Node, Value},
        shown::quoted,
        validate::words,
    },
};

const FORMS: &str =
    "write `[HOST_IP:][HOST_PORT:]PORT[/PROTOCOL]`, such as `127.0.0.1:8080:80/tcp`";

/// Reads `all`, `none` or a list.
pub(super) fn mode(node: &Node, faults: &mut Faults) -> Option<PublishMode> {
    match &node.value {
        Value::Text(_) => {
            let is_none = word(node, "publish", &words::PUBLISH_MODES, faults)?;
            Some(if is_none { PublishMode::None } else { PublishMode::All })
        }
        Value::List(_) => {
            let items = list(node, "publish", faults)?;
            let mut entries: Vec<PublishEntry> = Vec::new();
            for item in items {
                let Some(entry) = entry(item, faults) else { continue };
                let clashes = |other: &PublishEntry| {
                    other.port == entry.port && other.host == entry.host
                        || entry.host_port != 0
                            && other.host_port == entry.host_port
                            && other.host == entry.host
                            && other.port.protocol == entry.port.protocol
                };
                if entries.iter().any(clashes) {
                    let message = "this publishes the same port twice";
                    faults.push(Fault::new(item.mark.clone(), message).hint("remove one of them"));
                } else {
                    entries.push(entry);
                }
            }
            Some(PublishMode::List(entries))
        }
        _ => {
            wrong_kind(node, "publish", "`all`, `none` or a list", FORMS, faults);
            None
        }
    }
}

fn entry(node: &Node, faults: &mut Faults) -> Option<PublishEntry> {
    let as_text;
    let text = match &node.value {
        Value::Text(text) => text.text.as_str(),
        Value::Int(number) => {
            as_text = number.to_string();
            &as_text
        }
        _ => {
            wrong_kind(node, "publish", "a port", FORMS, faults);
            return None;
        }
    };
    match parse(text) {
        Ok(entry) => Some(entry),
        Err(hint) => {
            match &node.value {
                Value::Text(text) => refuse(node, text, "a port to publish", hint, faults),
                _ => {
                    let message = format!("{} is not a port to publish", quoted(text));
                    faults.push(Fault::new(node.mark.clone(), message).hint(hint));
                }
            }
            None
        }
    }
}

/// Reads one entry; the error is a hint.
fn parse(text: &str) -> Result<PublishEntry, &'static str> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(address) => {
            let (address, rest) = address.split_once("]:").ok_or(FORMS)?;
            let address =
                address.parse().map_err(|_| "the address in brackets is no IPv6 address")?;
            (Some(IpAddr::V6(address)), rest)
        }
        None => match text.split(':').count() {
            1 | 2 => (None, text),
            3 => {
                let (address, rest) = text.split_once(':').ok_or(FORMS)?;
                let address = address
                    .parse::<Ipv4Addr>()
                    .map_err(|_| "the part before the first `:` is no IPv4 address")?;
                (Some(IpAddr::V4(address)), rest)
            }
            _ => return Err("write an IPv6 address in brackets, and the whole in quotes"),
        },
    };
    let (host_port, port) = match rest.split_once(':') {
        // `127.0.0.1::80`: the engine chooses, as with `docker run`.
        Some(("", port)) if host.is_some() => (0, port),
        Some((host_port, port)) => {
            if host_port.contains('/') {
                return Err("the protocol stands behind the container's port");
            }
            let host_port: PortRange = host_port.parse().map_err(|_| FORMS)?;
            let only = host_port.single().ok_or("a range cannot be published; list its ports")?;
            (only.number, port)
        }
        None => (0, rest),
    };
    let ports: PortRange = port.parse().map_err(|_| FORMS)?;
    let port = ports.single().ok_or("a range cannot be published; list its ports")?;
    if !port.protocol.can_be_published() {
        return Err("only tcp, udp and sctp ports can be published");
    }
    Ok(PublishEntry { host: host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), host_port, port })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn entries() {
        for (text, host, host_port, port) in [
            ("80", "127.0.0.1", 0, "80/tcp"),
            ("53/udp", "127.0.0.1", 0, "53/udp"),
            ("8080:80", "127.0.0.1", 8080, "80/tcp"),
            ("8080:80/sctp", "127.0.0.1", 8080, "80/sctp"),
            ("0.0.0.0:8080:80", "0.0.0.0", 8080, "80/tcp"),
            ("127.0.0.1::80", "127.0.0.1", 0, "80/tcp"),
            ("[::1]:8080:80/tcp", "::1", 8080, "80/tcp"),
            ("[::]::80", "::", 0, "80/tcp"),
            ("[::1]:80", "::1", 0, "80/tcp"),
        ] {
            let entry = parse(text).unwrap();
            let seen = (entry.host.to_string(), entry.host_port, entry.port.to_string());
            assert_eq!(seen, (host.to_owned(), host_port, port.to_owned()), "{text}");
        }
        for text in [
            "",
            "x",
            ":80",
            "80:",
            "0",
            "0:80",
            "65536",
            "8080:0",
            "80-90",
            "80-90:80-90",
            "80/raw",
            "80/tcpp",
            "300.0.0.1:80:80",
            "localhost:80:80",
            "::1:80:80",
            "[::1]80",
            "[::1",
            "a:b:c",
            "[127.0.0.1]:80:80",
            "8080/tcp:80",
            "1:2:3:4",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
