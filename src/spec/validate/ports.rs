//! Ports as specs write them: `80`, `80/tcp`, `8000-8010/udp`, `https`, `domain/udp`.

use crate::{
    socket::{Port, PortError, PortRange, Protocol},
    spec::{
        fault::{Fault, Faults},
        fields::{describe, wrong_kind},
        raw::{Node, Text, Value},
        services::{self, Unknown},
        shown::{nearest, quoted},
    },
};

const FORMS: &str = "write `80`, `80/tcp`, `8000-8010/udp` or the name of a service";

/// What is wrong with the text of a port.
struct Wrong {
    message: String,
    hint: String,
}

/// The port or ports that the value of `name` stands for.
pub(super) fn range(node: &Node, name: &str, faults: &mut Faults) -> Option<PortRange> {
    let (shown, parsed) = match &node.value {
        Value::Int(number) => {
            let text = number.to_string();
            let parsed = parse(&text);
            (quoted(&text), parsed)
        }
        Value::Text(text) => (describe(text), parse(&text.text).map_err(|it| unsaid(text, it))),
        _ => {
            wrong_kind(node, name, "a port", FORMS, faults);
            return None;
        }
    };
    match parsed {
        Ok(ports) => Some(ports),
        Err(Wrong { message, hint }) => {
            let message = match message.as_str() {
                "" => format!("{shown} is not a port"),
                reason => format!("{shown} is not a port: {reason}"),
            };
            faults.push(Fault::new(node.mark.clone(), message).hint(hint));
            None
        }
    }
}

/// The single port that the value of `name` stands for.
pub(super) fn single(node: &Node, name: &str, faults: &mut Faults) -> Option<Port> {
    let ports = range(node, name, faults)?;
    let port = ports.single();
    if port.is_none() {
        let message = format!("`{name}` must be one port, not a range");
        faults.push(Fault::new(node.mark.clone(), message).hint("write one of its ports"));
    }
    port
}

/// What is wrong without the words of a variable's value.
fn unsaid(text: &Text, wrong: Wrong) -> Wrong {
    match text.written {
        Some(_) => Wrong { message: String::new(), hint: FORMS.to_owned() },
        None => wrong,
    }
}

/// Reads the text of a port or range.
fn parse(text: &str) -> Result<PortRange, Wrong> {
    let wrong = |message: &str, hint: &str| Wrong { message: message.into(), hint: hint.into() };
    let (numbers, protocol) = match text.split_once('/') {
        None => (text, Protocol::Tcp),
        Some((numbers, word)) => match word.parse() {
            Ok(protocol) => (numbers, protocol),
            Err(()) => {
                let known = Protocol::ALL.map(Protocol::as_str);
                let hint = match nearest(word, known) {
                    Some(meant) => {
                        format!("did you mean {}?", quoted(&format!("{numbers}/{meant}")))
                    }
                    None => "the protocols are `tcp`, `udp`, `sctp`, `udplite`, `raw` and `packet`"
                        .to_owned(),
                };
                let message = format!("{} is not a protocol", quoted(word));
                return Err(Wrong { message, hint });
            }
        },
    };
    if numbers.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return service(numbers, protocol);
    }
    if numbers.contains(':') {
        let hint = "write the container's port alone; what is published is set by `run.publish`";
        return Err(wrong("it has a `:`", hint));
    }
    // The number's own parser knows the limits; here it only learns where to look.
    match format!("{numbers}/{protocol}").parse() {
        Ok(ports) => Ok(ports),
        Err(PortError::Backwards(range)) => {
            let (first, last) = range.split_once('-').unwrap_or_default();
            Err(Wrong {
                message: "the range ends before it begins".to_owned(),
                hint: format!("did you mean `{last}-{first}/{protocol}`?"),
            })
        }
        Err(PortError::Number(number)) => Err(not_a_number(&number, protocol)),
        Err(PortError::Protocol(_)) => Err(wrong("", FORMS)),
    }
}

fn service(name: &str, protocol: Protocol) -> Result<PortRange, Wrong> {
    match services::number_of(name, protocol) {
        Ok(number) => Ok(PortRange::only(Port::new(number, protocol))),
        Err(Unknown::Protocol(number)) => Err(Wrong {
            message: format!("the service `{name}` is not registered for {protocol}"),
            hint: format!("write `{number}/{protocol}` if that is meant"),
        }),
        Err(Unknown::Name) => Err(Wrong {
            message: format!("no service is called {}", quoted(name)),
            hint: match nearest(name, services::names()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "write the number".to_owned(),
            },
        }),
    }
}

fn not_a_number(number: &str, protocol: Protocol) -> Wrong {
    let limits = if protocol == Protocol::Raw { "0-255" } else { "1-65535" };
    let trimmed = number.trim_start_matches('0');
    let has_leading_zero = trimmed.len() < number.len()
        && !trimmed.is_empty()
        && trimmed.bytes().all(|byte| byte.is_ascii_digit());
    Wrong {
        message: format!("{} is not a number within {limits}", quoted(number)),
        hint: if has_leading_zero {
            format!("write it without the leading zero: {}", quoted(trimmed))
        } else {
            FORMS.to_owned()
        },
    }
}
