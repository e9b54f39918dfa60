//! The rule table of the SARIF report: what each alert's page says.

use super::{
    level,
    model::{Configuration, Help, Rule as Row, RuleProperties},
};
use crate::rule::{Explained, Level, Rule};

/// The id under which a spec is reported that could not be looked at. No finding has it.
pub(super) const INCONCLUSIVE: &str = "inconclusive";

/// Every rule, and last what is no rule.
pub(super) fn table() -> Vec<Row> {
    let rules = Rule::ALL.into_iter().map(|rule| {
        let Explained { why, mend, servers } = rule.explained();
        let cis = rule.cis().iter().map(|item| format!("cis-docker-1.6.0-{item}")).collect();
        let story = Story { summary: rule.summary(), why, mend, servers };
        row(rule.id(), &story, rule.default_level(), severity(rule), cis)
    });
    let inconclusive = Story {
        summary: "the image could not be looked at",
        why: "Nothing is known of the image, so it does not pass.",
        mend: "The message says what stood in the way (the engine, the image, its start, its readiness) \
               and what to try next.",
        servers: None,
    };
    rules.chain([row(INCONCLUSIVE, &inconclusive, Level::Fail, None, Vec::new())]).collect()
}

/// What is told of a row.
struct Story {
    summary: &'static str,
    why: &'static str,
    mend: &'static str,
    servers: Option<&'static str>,
}

fn row(
    id: &'static str,
    Story { summary, why, mend, servers }: &Story,
    default: Level,
    severity: Option<&'static str>,
    cis: Vec<String>,
) -> Row {
    let security = severity.map(|_| "security".to_owned());
    let sentence = format!("{}.", capital(summary));
    let text = servers.map(|it| format!("\n\nIn common servers:\n\n{it}")).unwrap_or_default();
    let block = servers
        .map(|it| format!("\n\n## In common servers\n\n```text\n{}\n```", it.trim_end()))
        .unwrap_or_default();
    Row {
        id,
        name: id.split('-').map(capital).collect(),
        short_description: Help { text: sentence.clone(), markdown: None },
        full_description: Help { text: format!("{sentence} {why}"), markdown: None },
        help: Help {
            text: format!("{sentence}\n\n{why}\n\nWhat to do: {mend}{text}"),
            markdown: Some(format!(
                "{sentence}\n\n## Why it matters\n\n{why}\n\n## What to do\n\n{mend}{block}"
            )),
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
