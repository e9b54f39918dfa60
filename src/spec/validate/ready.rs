//! `ready`: when the look may settle.

use std::time::Duration;

use crate::{
    socket::{Port, Protocol},
    spec::{
        fault::{Fault, Faults},
        fields::{Fields, boolean, duration, integer, refuse, text, wrong_kind},
        model::{HttpCheck, Ready, ReadyWhen},
        raw::{Node, Value},
        validate::{ports, words},
    },
};

/// The keys that state a condition.
pub(in crate::spec) const CONDITIONS: [&str; 5] = ["port", "log", "health", "http", "exit"];
pub(super) const KEYS: &[&str] = &["port", "log", "health", "http", "exit", "within"];
pub(super) const HTTP_KEYS: &[&str] = &["port", "path", "status"];

/// How long readiness may take where a spec says nothing.
const DEFAULT_WITHIN: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Readiness where a spec says nothing.
pub(super) fn default() -> Ready {
    Ready { when: ReadyWhen::Required, within: DEFAULT_WITHIN }
}

/// Reads the value of `ready`.
pub(super) fn ready(node: &Node, faults: &mut Faults) -> Option<Ready> {
    let misplaced = |key: &str| match key {
        "timeout" | "deadline" => Some("did you mean `within`?".to_owned()),
        "healthy" | "healthcheck" => Some("did you mean `health`?".to_owned()),
        "regex" | "logs" => Some("did you mean `log`?".to_owned()),
        "url" => Some("did you mean `http: { port, path, status }`?".to_owned()),
        _ => None,
    };
    let fields = Fields::of(node, "ready", KEYS, misplaced, faults)?;
    let stated: Vec<_> = CONDITIONS.iter().filter_map(|key| fields.entry(key)).collect();
    if let [first, others @ ..] = stated.as_slice() {
        for other in others {
            let message = format!("`{}` and `{}` are two conditions", first.key, other.key);
            faults.push(
                Fault::new(other.mark.clone(), message)
                    .hint("state the one that comes true last")
                    .also(first.mark.clone(), "stated here already"),
            );
        }
    }
    let conditions: Vec<Option<ReadyWhen>> = stated
        .iter()
        .map(|entry| match entry.key.as_str() {
            "port" => ports::single(&entry.node, "port", faults).map(ReadyWhen::Port),
            "log" => log(&entry.node, faults),
            "health" => health(&entry.node, faults),
            "http" => http(&entry.node, faults).map(ReadyWhen::Http),
            _ => integer(&entry.node, "exit", words::EXIT_CODES, faults)
                .and_then(|code| i64::try_from(code).ok())
                .map(ReadyWhen::Exit),
        })
        .collect();
    let shortest = Duration::from_millis(1);
    let within = match fields.get("within") {
        Some(node) => duration(node, "within", shortest..=LONGEST, faults),
        None => Some(DEFAULT_WITHIN),
    };
    let when = match conditions.into_iter().next() {
        Some(condition) => condition?,
        None => ReadyWhen::Required,
    };
    Some(Ready { when, within: within? })
}

fn log(node: &Node, faults: &mut Faults) -> Option<ReadyWhen> {
    let text = text(node, "log", faults)?;
    match regex::Regex::new(&text.text) {
        Ok(regex) => Some(ReadyWhen::Log(regex)),
        Err(error) => {
            let hint = match (&text.written, &error) {
                (None, regex::Error::Syntax(said)) => {
                    // The last line says why; those before repeat the expression.
                    let why = said.lines().last().unwrap_or_default();
                    crate::spec::shown::escaped(why.strip_prefix("error: ").unwrap_or(why))
                }
                (None, regex::Error::CompiledTooBig(_)) => "it is too big".to_owned(),
                _ => "see https://docs.rs/regex for the syntax".to_owned(),
            };
            refuse(node, text, "a regular expression", hint, faults);
            None
        }
    }
}

fn health(node: &Node, faults: &mut Faults) -> Option<ReadyWhen> {
    if boolean(node, "health", faults)? {
        return Some(ReadyWhen::Healthy);
    }
    let fault = Fault::new(node.mark.clone(), "`health: false` states nothing");
    faults.push(fault.hint("write `health: true`, or remove the key"));
    None
}

fn http(node: &Node, faults: &mut Faults) -> Option<HttpCheck> {
    if !matches!(node.value, Value::Map(_)) {
        if let Value::Text(text) = &node.value
            && text.text.contains("://")
        {
            let hint = "write `http: { port: 80, path: /health, status: 200 }`";
            wrong_kind(node, "http", "a map or a port", hint, faults);
            return None;
        }
        let port = tcp_port(node, "http", faults)?;
        return Some(HttpCheck { port, path: "/".to_owned(), status: 200 });
    }
    let fields = Fields::of(node, "http", HTTP_KEYS, |_| None, faults)?;
    let port = match fields.get("port") {
        Some(node) => tcp_port(node, "port", faults),
        None if !fields.lacks("port") => None,
        None => {
            let fault = Fault::new(node.mark.clone(), "`http` has no `port`");
            faults.push(fault.hint("write `http: { port: 80 }`"));
            None
        }
    };
    let path = match fields.get("path") {
        Some(node) => path(node, faults),
        None => Some("/".to_owned()),
    };
    let status = match fields.get("status") {
        Some(node) => integer(node, "status", words::STATUSES, faults)
            .and_then(|status| status.try_into().ok()),
        None => Some(200),
    };
    Some(HttpCheck { port: port?, path: path?, status: status? })
}

fn tcp_port(node: &Node, name: &str, faults: &mut Faults) -> Option<Port> {
    let port = ports::single(node, name, faults)?;
    if port.protocol != Protocol::Tcp {
        let message = format!("HTTP is asked over tcp, not over {}", port.protocol);
        faults.push(Fault::new(node.mark.clone(), message).hint("write the number alone"));
        return None;
    }
    Some(port)
}

/// A path that can stand in a request line as it is.
fn path(node: &Node, faults: &mut Faults) -> Option<String> {
    let text = text(node, "path", faults)?;
    if text.text.starts_with('/') && text.text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(text.text.clone());
    }
    let hint = "begin it with `/`, and write other characters as `%XX`";
    refuse(node, text, "a path of a URL", hint, faults);
    None
}
