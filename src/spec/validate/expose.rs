//! `expose`: the allowance, entry by entry.

use jiff::civil::Date;

use crate::{
    socket::{Bind, PortRange, Protocol},
    spec::{
        fault::{Fault, Faults, Mark},
        fields::{Fields, boolean, describe, refuse, text, word, wrong_kind},
        model::{Entry, Publish, Speaks},
        raw::{Node, Value},
        shown::{nearest, quoted},
        validate::{ports, together, words},
    },
};

/// The keys of an entry in its long form.
pub(super) const KEYS: &[&str] =
    &["port", "optional", "bind", "process", "user", "speaks", "publish", "why", "owner", "until"];

/// An entry, and where its parts stand.
#[derive(Debug)]
pub(super) struct Allowed {
    pub(super) entry: Entry,
    pub(super) mark: Mark,
    pub(super) publish: Option<Mark>,
}

/// Reads the value of `expose`.
pub(super) fn expose(node: &Node, faults: &mut Faults) -> Vec<Allowed> {
    const HINT: &str = "write `expose: []` if nothing at all may listen";
    let Value::List(items) = &node.value else {
        wrong_kind(node, "expose", "a list", HINT, faults);
        return Vec::new();
    };
    let allowed: Vec<Allowed> = items.iter().filter_map(|item| entry(item, faults)).collect();
    together::check_overlaps(&allowed, faults);
    together::check_everything(node, &allowed, faults);
    allowed
}

fn entry(node: &Node, faults: &mut Faults) -> Option<Allowed> {
    let mark = node.mark.clone();
    if !matches!(node.value, Value::Map(_)) {
        let ports = ports::range(node, "expose", faults)?;
        return Some(Allowed { entry: Entry::new(ports), mark, publish: None });
    }
    let misplaced = |key: &str| match key {
        "ports" | "range" | "number" => Some("did you mean `port`?".to_owned()),
        "protocol" | "proto" => Some("write it behind the port: `port: 53/udp`".to_owned()),
        "address" | "host" | "ip" => Some("did you mean `bind`?".to_owned()),
        "uid" => Some("did you mean `user`?".to_owned()),
        "reason" | "comment" => Some("did you mean `why`?".to_owned()),
        "expires" => Some("did you mean `until`?".to_owned()),
        key if key.starts_with(|first: char| first.is_ascii_digit()) => {
            Some(format!("write {}", quoted(&format!("port: {key}"))))
        }
        _ => None,
    };
    let fields = Fields::of(node, "expose", KEYS, misplaced, faults)?;
    let ports = match fields.get("port") {
        Some(port) => ports::range(port, "port", faults),
        None if !fields.lacks("port") => None,
        None => {
            let fault = Fault::new(mark.clone(), "this entry has no `port`");
            faults.push(fault.hint("write `port: 80/tcp`"));
            None
        }
    };
    // Without a port the other keys are still read, for their own problems.
    let known = ports.unwrap_or(PortRange { first: 1, last: 1, protocol: Protocol::Tcp });
    let mut entry = Entry::new(known);
    if let Some(optional) = fields.get("optional") {
        entry.optional = self::optional(optional, known, faults);
    }
    entry.bind = fields.get("bind").and_then(|node| bind(node, faults)).unwrap_or_default();
    entry.process = fields.get("process").and_then(|node| process(node, faults));
    entry.user = fields.get("user").and_then(|node| uid(node, faults));
    entry.speaks = fields.get("speaks").and_then(|node| speaks(node, ports, faults));
    entry.publish =
        fields.get("publish").and_then(|node| publish(node, ports, faults)).unwrap_or_default();
    entry.why = fields.get("why").and_then(|node| line(node, "why", faults));
    entry.owner = fields.get("owner").and_then(|node| line(node, "owner", faults));
    entry.until = fields.get("until").and_then(|node| until(node, faults));
    if let Some(publish) = fields.get("publish")
        && entry.publish == Publish::Required
        && entry.bind.is_loopback_only()
    {
        let fault = Fault::new(
            publish.mark.clone(),
            "a port that listens on loopback only cannot be published",
        );
        let fault = fault.hint("widen `bind`, or drop `publish: required`");
        faults.push(match fields.get("bind") {
            Some(bind) => fault.also(bind.mark.clone(), "bound here"),
            None => fault,
        });
    }
    ports?;
    Some(Allowed { entry, mark, publish: fields.get("publish").map(|node| node.mark.clone()) })
}

fn optional(node: &Node, ports: PortRange, faults: &mut Faults) -> bool {
    let is_range = ports.single().is_none();
    let optional = boolean(node, "optional", faults);
    if optional == Some(false) && is_range {
        faults.push(
            Fault::new(node.mark.clone(), "a range is optional as a whole and cannot be required")
                .hint("list the ports that must be open one by one, or drop `optional: false`"),
        );
    }
    optional.unwrap_or(is_range)
}

fn bind(node: &Node, faults: &mut Faults) -> Option<Bind> {
    const HINT: &str =
        "write `any`, `loopback`, an address such as `10.0.0.1`, or a network such as `10.0.0.0/8`";
    if let Value::List(_) = node.value {
        let hint = "write one value; an IPv6 address stands without brackets";
        wrong_kind(node, "bind", "an address", hint, faults);
        return None;
    }
    let text = text(node, "bind", faults)?;
    match text.text.parse() {
        Ok(bind) => Some(bind),
        Err(_) => {
            let hint = match nearest(&text.text, ["any", "loopback"]) {
                Some(meant) if text.written.is_none() => format!("did you mean `{meant}`?"),
                _ if text.text == "localhost" => "did you mean `loopback`?".to_owned(),
                _ => HINT.to_owned(),
            };
            refuse(node, text, "an address to bind to", hint, faults);
            None
        }
    }
}

fn process(node: &Node, faults: &mut Faults) -> Option<String> {
    let text = text(node, "process", faults)?;
    if text.text.contains('/') {
        let name = text.text.rsplit('/').next().unwrap_or_default();
        let hint = if text.written.is_none() && !name.is_empty() {
            format!("write {}", quoted(name))
        } else {
            "write the name without its folder".to_owned()
        };
        refuse(node, text, "the name of an executable", hint, faults);
        return None;
    }
    line(node, "process", faults)
}

/// The uid of `user`. Names mean nothing outside of the image, and are not looked up inside.
fn uid(node: &Node, faults: &mut Faults) -> Option<u32> {
    const HINT: &str = "write the numeric uid: names are known only inside the image";
    let uid = match &node.value {
        Value::Int(number) => u32::try_from(*number).ok(),
        Value::Text(text) => {
            let is_plain = text.text.bytes().all(|byte| byte.is_ascii_digit());
            text.text.parse().ok().filter(|_| is_plain)
        }
        _ => {
            wrong_kind(node, "user", "a uid", HINT, faults);
            return None;
        }
    };
    // The highest number means "no user" to the kernel.
    let uid = uid.filter(|uid| *uid != u32::MAX);
    if uid.is_none() {
        let shown = match &node.value {
            Value::Text(text) => describe(text),
            _ => crate::spec::fields::shown(node),
        };
        faults.push(Fault::new(node.mark.clone(), format!("{shown} is not a uid")).hint(HINT));
    }
    uid
}

fn speaks(node: &Node, ports: Option<PortRange>, faults: &mut Faults) -> Option<Speaks> {
    let mut words: Vec<(&'static str, Speaks)> =
        Speaks::ALL.iter().map(|(speaks, word)| (*word, *speaks)).collect();
    words.push((words::HTTPS, Speaks::Tls));
    let speaks = word(node, "speaks", &words, faults)?;
    let protocol = ports?.protocol;
    let can_be_asked = match protocol {
        Protocol::Tcp => true,
        Protocol::Udp => speaks == Speaks::Dns,
        Protocol::Udplite | Protocol::Sctp | Protocol::Raw | Protocol::Packet => false,
    };
    if can_be_asked {
        return Some(speaks);
    }
    let message =
        format!("a {protocol} port cannot be asked whether it speaks `{}`", speaks.as_str());
    let hint = "drop `speaks`: it is for tcp ports, and `dns` for udp ports too";
    faults.push(Fault::new(node.mark.clone(), message).hint(hint));
    None
}

fn publish(node: &Node, ports: Option<PortRange>, faults: &mut Faults) -> Option<Publish> {
    let publish = word(node, "publish", &words::PUBLISHES, faults)?;
    let ports = ports?;
    if publish == Publish::Required && !ports.protocol.can_be_published() {
        let message = format!("no engine can publish a {} port", ports.protocol);
        faults.push(Fault::new(node.mark.clone(), message).hint("drop `publish: required`"));
        return None;
    }
    if publish == Publish::Required && ports.single().is_none() {
        let message = "a range is optional as a whole, so it cannot be required to be published";
        let hint = "list the ports that must be published one by one";
        faults.push(Fault::new(node.mark.clone(), message).hint(hint));
        return None;
    }
    Some(publish)
}

/// Text that reports print as it is.
fn line(node: &Node, name: &str, faults: &mut Faults) -> Option<String> {
    text(node, name, faults).map(|text| text.text.trim().to_owned())
}

fn until(node: &Node, faults: &mut Faults) -> Option<Date> {
    const HINT: &str = "write a day as `2027-01-31`; the allowance ends with it";
    let text = text(node, "until", faults)?;
    // Only this form: the parser itself would also take times, zones and `20270131`.
    let is_plain = text.text.len() == 10
        && text.text.char_indices().all(|(index, character)| match index {
            4 | 7 => character == '-',
            _ => character.is_ascii_digit(),
        });
    match text.text.parse::<Date>() {
        Ok(date) if is_plain => Some(date),
        _ => {
            refuse(node, text, "a day", HINT, faults);
            None
        }
    }
}
