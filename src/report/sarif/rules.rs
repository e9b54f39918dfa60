//! The rule table of the SARIF report: what each alert's page says.

use super::{
    level,
    model::{Configuration, Help, Rule as Row, RuleProperties},
};
use crate::rule::{Level, Rule};

/// The id under which a spec is reported that could not be looked at. No finding has it.
pub(super) const INCONCLUSIVE: &str = "inconclusive";

/// Every rule, and last what is no rule.
pub(super) fn table() -> Vec<Row> {
    let rules = Rule::ALL.into_iter().map(|rule| {
        row(
            rule.id(),
            rule.summary(),
            mend(rule),
            rule.default_level(),
            severity(rule),
            rule.cis().iter().map(|item| format!("cis-docker-1.6.0-{item}")),
        )
    });
    let inconclusive = row(
        INCONCLUSIVE,
        "the image could not be looked at",
        "Nothing is known of the image, so it does not pass. The message says what stood in the way \
         (the engine, the image, its start, its readiness) and what to try next.",
        Level::Fail,
        None,
        std::iter::empty(),
    );
    rules.chain([inconclusive]).collect()
}

fn row(
    id: &'static str,
    summary: &str,
    mend: &str,
    default: Level,
    severity: Option<&'static str>,
    cis: impl Iterator<Item = String>,
) -> Row {
    let security = severity.map(|_| "security".to_owned());
    let mut first = summary.chars();
    let sentence: String =
        first.next().into_iter().flat_map(char::to_uppercase).chain(first).collect();
    Row {
        id,
        name: id.split('-').map(capital).collect(),
        short_description: Help { text: sentence.clone(), markdown: None },
        full_description: Help { text: format!("{sentence}. {mend}"), markdown: None },
        help: Help {
            text: format!("{sentence}.\n\n{mend}\n\nMore: portlid explain {id}"),
            markdown: Some(format!("{sentence}.\n\n{mend}\n\nMore: `portlid explain {id}`")),
        },
        default_configuration: Configuration { level: level(default) },
        properties: RuleProperties {
            precision: "very-high",
            severity: match default {
                Level::Fail => "error",
                Level::Warn => "warning",
                Level::Note | Level::Off => "recommendation",
            },
            security_severity: severity,
            tags: security.into_iter().chain(["container".to_owned()]).chain(cis).collect(),
        },
    }
}

fn capital(word: &str) -> String {
    let mut rest = word.chars();
    rest.next().into_iter().flat_map(char::to_uppercase).chain(rest).collect()
}

/// How severe a finding is as a weakness of the image; `None` where it is a defect of another kind.
fn severity(rule: Rule) -> Option<&'static str> {
    match rule {
        Rule::UnlistedListener | Rule::BoundTooWide | Rule::UnlistedReachable => Some("8.0"),
        Rule::UnlistedPublish | Rule::PublishTooWide | Rule::Expired => Some("7.0"),
        Rule::WrongProcess | Rule::WrongUser | Rule::WrongProtocol => Some("6.0"),
        Rule::UnlistedExpose => Some("4.0"),
        Rule::MissingListener
        | Rule::LoopbackOnly
        | Rule::SilentExpose
        | Rule::UndeclaredPort
        | Rule::DeadPublish
        | Rule::MissingPublish
        | Rule::Unreachable
        | Rule::Flapping
        | Rule::EphemeralUdp
        | Rule::LoopbackListener
        | Rule::UnusedEntry => None,
    }
}

/// How to mend it. Of ours alone, so it is Markdown and plain text at once.
fn mend(rule: Rule) -> &'static str {
    match rule {
        Rule::UnlistedListener => {
            "Bind it to 127.0.0.1 or switch it off. If others must reach it, list it under `expose` \
             with a `why`."
        }
        Rule::MissingListener => {
            "The port is listed as required. Find out in the log why the server does not open it, or \
             mark the entry `optional: true`."
        }
        Rule::LoopbackOnly => {
            "Nobody outside the container can reach it. Let the server listen on 0.0.0.0 or [::], or \
             write `bind: loopback` if that is meant."
        }
        Rule::BoundTooWide => {
            "Let the server listen on the address that the entry's `bind` names, or widen `bind`."
        }
        Rule::WrongProcess => {
            "Another program holds the port than the entry's `process` names. Find out which one was \
             meant to."
        }
        Rule::WrongUser => {
            "Let the server run as the user that the entry names: set `USER` in the Dockerfile."
        }
        Rule::WrongProtocol => {
            "The first bytes are not those of the protocol under `speaks`. Is TLS missing, or does \
             another server answer?"
        }
        Rule::UnlistedExpose => {
            "Remove the EXPOSE from the Dockerfile or, if a base image brings it, list the port as \
             optional."
        }
        Rule::SilentExpose => {
            "Remove the EXPOSE, or find out why nothing listens. A declared port is published by \
             `docker run -P`."
        }
        Rule::UndeclaredPort => {
            "Add an EXPOSE to the Dockerfile, so that the image says what it offers."
        }
        Rule::UnlistedPublish => "Do not publish it, or allow it in the port's entry.",
        Rule::PublishTooWide => {
            "Publish it on the address that was asked for, such as 127.0.0.1, not on every address of \
             the host."
        }
        Rule::DeadPublish => {
            "Do not publish a port that nothing listens on, or start what should listen."
        }
        Rule::MissingPublish => "Publish the port, or drop `publish: required` from its entry.",
        Rule::UnlistedReachable => {
            "Something answers although no allowed socket of the container listens: a redirect, NAT or \
             eBPF. Find it and remove it."
        }
        Rule::Unreachable => {
            "It listens, and its neighbours get no answer: look for a firewall in the image, or a full \
             backlog."
        }
        Rule::Flapping => {
            "The server stopped listening during the watch: look for restarts in its log."
        }
        Rule::EphemeralUdp => {
            "Most likely a client's socket, such as a resolver's. If it is a server, list its port."
        }
        Rule::LoopbackListener => {
            "Only the container itself can reach it. List it with `bind: loopback` to make it official."
        }
        Rule::Expired => "Close the port, or decide anew and write a later `until`.",
        Rule::UnusedEntry => {
            "Nothing used the entry: remove it, so that the spec allows no more than is needed."
        }
    }
}
