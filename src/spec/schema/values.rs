//! The values of single keys: texts with a grammar, words of a list, numbers within limits.
//!
//! Whatever is text may come from a variable, so every grammar lets `${VAR}` through. Each grammar
//! has words for an editor to show in place of a regular expression.

use std::{borrow::Cow, ops::RangeInclusive};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::{
    rule::{Level, Rule},
    socket::Protocol,
    spec::{
        model::Speaks,
        validate::{CAPABILITIES, words},
    },
};

/// `${VAR}`, `${VAR:-default}`, or `$$` for a dollar, anywhere in a text.
const VARIABLE: &str = r"\$(?:\$|\{[A-Za-z_][A-Za-z0-9_]*(?::-[^}]*)?\})";

/// 1 to 65535, without a leading zero.
const PORT: &str =
    "(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
/// 0 to 255, without a leading zero.
const IP_PROTOCOL: &str = "(?:0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])";
/// The name of a service. Which of them there are is left to the parser.
const SERVICE: &str = "[A-Za-z][A-Za-z0-9-]*";

/// Defines types whose values have these schemas. None is worth a definition of its own.
macro_rules! values {
    ($($(#[$doc:meta])* $name:ident => $schema:expr;)*) => {$(
        $(#[$doc])*
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    )*};
}

values! {
    /// Any text that is not blank.
    Text => part(r"[^ \t\r\n]", "text that is not empty");
    /// One word of a command; it may be empty.
    Word => json_schema!({ "type": "string" });
    /// `true` or `false`.
    Flag => json_schema!({
        "type": ["boolean", "string"], "pattern": VARIABLE, "patternErrorMessage": "write `true` or `false`",
    });
    /// `true`.
    True => or_variable(&json!({ "const": true }));
    /// The name of a spec.
    Name => or_variable(&json!({
        "type": "string", "minLength": 1, "maxLength": 100, "pattern": "^[^ \\t](?:.*[^ \\t])?$",
        "patternErrorMessage": "a name is printable, and has no blanks around it",
    }));
    /// A duration.
    Duration => {
        let mut schema = whole(
            "(?:[0-9]+h)?(?:[0-9]+m)?(?:[0-9]+s)?(?:[0-9]+ms)?",
            "a duration with its unit: `500ms`, `60s`, `2m`, `1h` or `1m30s`",
        );
        schema.insert("minLength".to_owned(), json!(1));
        schema
    };
    /// A port or a range of ports, with its protocol.
    Ports => port(&ports(), "a port: `80`, `80/tcp`, `8000-8010/udp`, or the name of a service");
    /// A single port with its protocol.
    Port => port(&ports(), "one port: `80`, `80/tcp`, or the name of a service");
    /// A port of TCP.
    TcpPort => port(&tcp_port(), "a port of tcp: `80`, `80/tcp` or `http`");
    /// A reference to an image.
    Image => whole(&image(), "an image: `nginx:1.29`, `ghcr.io/acme/web:1`, `NAME@sha256:DIGEST`");
    /// The name of a container.
    Container => whole("[A-Za-z0-9][A-Za-z0-9_.-]*", "the name or id of a container (see `docker ps`)");
    /// A path relative to the spec.
    Path => part("^[^/~]", "a path relative to the spec's folder");
    /// A path within a build's context.
    InContext => part("^[^/-]", "a path relative to the context, and within it");
    /// A stage of a Dockerfile.
    Stage => whole("[A-Za-z0-9][A-Za-z0-9_.-]*", "a name that `FROM ... AS NAME` gives");
    /// A platform.
    Platform => whole("linux/[a-z0-9]+(?:/[a-z0-9]+)?", "a platform: `linux/amd64`, `linux/arm64` or `linux/arm/v7`");
    /// The user of a container.
    User => number_or(0, u32::MAX.into(), &whole(
        "[A-Za-z0-9_.$][A-Za-z0-9_.$-]*(?::[A-Za-z0-9_.$][A-Za-z0-9_.$-]*)?",
        "a uid or a name, and a group behind a `:` if need be",
    ));
    /// The user of a process, by number. The highest number means "no user" to the kernel.
    Uid => number_or(
        0,
        i128::from(u32::MAX) - 1,
        &whole("[0-9]+", "the numeric uid: names are known only inside the image"),
    );
    /// A host name.
    Host => or_variable(&host());
    /// A folder or file of the spec's folder, and where it is mounted.
    Volume => whole("[^/~:][^:]*:/[^:]*(?::(?:ro|rw))?", "`./SOURCE:/TARGET`, and `:rw` if the image may write there");
    /// A folder in memory.
    Tmpfs => whole("/[^:]*(?::[^:]+)?", "an absolute path in the container, such as `/run` or `/run:size=64m`");
    /// A capability.
    Capability => json_schema!({ "anyOf": [
        { "enum": CAPABILITIES },
        whole(&format!("(?:[Cc][Aa][Pp]_)?(?:{})", any_case(CAPABILITIES.iter().copied())), "the name of a capability, such as `NET_ADMIN`; `ALL` is more than a gate gives"),
    ]});
    /// A size in bytes.
    Size => number_or(words::LEAST_MEMORY.into(), i64::MAX.into(), &whole(
        "[0-9]+(?:[bB]|[kKmMgGtT](?:[iI]?[bB])?)?",
        "a size: `512m`, `1g`, or a number of bytes",
    ));
    /// A limit of processes.
    Pids => integer(&words::PIDS);
    /// An exit code.
    ExitCode => integer(&words::EXIT_CODES);
    /// A status of HTTP.
    Status => integer(&words::STATUSES);
    /// The path of a URL.
    UrlPath => whole("/[!-~]*", "a path that begins with `/`; other characters are written as `%XX`");
    /// The name of an executable.
    Process => whole(r"[^/]*[^ \t\r\n/][^/]*", "the file name of an executable, without its folder");
    /// A day.
    Day => whole("[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])", "a day, as `2027-01-31`");
    /// How wide a port may listen.
    Bind => json_schema!({ "anyOf": [
        { "enum": ["any", "loopback"] },
        whole("[0-9A-Fa-f.:]+(?:/[0-9]+)?", "`any`, `loopback`, an address such as `10.0.0.1`, or a network such as `10.0.0.0/8`"),
    ]});
    /// A protocol that a port can be asked to speak.
    Speech => word(Speaks::ALL.iter().map(|(_, word)| *word).chain([words::HTTPS]));
    /// Which ports are scanned.
    Scan => word(words::SCANS.iter().map(|(word, _)| *word));
    /// Whether a container reaches other networks.
    Egress => word(words::EGRESSES.iter().map(|(word, _)| *word));
    /// Whether a port is published.
    EntryPublish => word(words::PUBLISHES.iter().map(|(word, _)| *word));
    /// What is published.
    RunPublish => json_schema!({ "anyOf": [
        { "enum": words::PUBLISH_MODES.map(|(word, _)| word) },
        { "type": "string", "pattern": VARIABLE },
        { "type": "array", "items": port(
            &published(),
            "`[HOST_IP:][HOST_PORT:]PORT[/PROTOCOL]`, such as `127.0.0.1:8080:80/tcp`",
        ) },
    ]});
    /// Names of variables and their values.
    Variables => json_schema!({
        "type": "object",
        "propertyNames": { "pattern": "^[^= \\t\\r\\n]+$" },
        "additionalProperties": { "type": ["string", "number", "boolean"] },
    });
    /// Rules and their levels.
    Rules => rules();
}

/// A text of which the whole has the form of `pattern`, once variables are filled in.
fn whole(pattern: &str, message: &str) -> Schema {
    part(&format!("^(?:{pattern})$"), message)
}

/// A text of which a part has the form of `pattern`, once variables are filled in.
fn part(pattern: &str, message: &str) -> Schema {
    json_schema!({
        "type": "string",
        "pattern": format!("{pattern}|{VARIABLE}"),
        "patternErrorMessage": format!("write {message}"),
    })
}

/// A value, or the text of a variable.
fn or_variable(schema: &Value) -> Schema {
    json_schema!({ "anyOf": [schema, { "type": "string", "pattern": VARIABLE }] })
}

/// One of a few words.
fn word<'w>(words: impl Iterator<Item = &'w str>) -> Schema {
    or_variable(&json!({ "enum": words.collect::<Vec<_>>() }))
}

/// A whole number within limits.
fn integer(limits: &RangeInclusive<i128>) -> Schema {
    let message = format!("a whole number from {} to {}", limits.start(), limits.end());
    number_or(*limits.start(), *limits.end(), &part(VARIABLE, &message))
}

/// A whole number within limits, or such a text. The one says nothing of the other.
fn number_or(least: i128, most: i128, text: &Schema) -> Schema {
    // A limit beyond what every reader can hold exactly is left to the parser.
    let limit = |number: i128| i64::try_from(number).ok().filter(|it| *it < 1 << 53);
    let mut schema = text.clone();
    schema.insert("type".to_owned(), json!(["integer", "string"]));
    for (keyword, limit) in [("minimum", limit(least)), ("maximum", limit(most))] {
        if let Some(limit) = limit {
            schema.insert(keyword.to_owned(), json!(limit));
        }
    }
    schema
}

fn port(pattern: &str, message: &str) -> Schema {
    number_or(1, u16::MAX.into(), &whole(pattern, message))
}

/// The words in any mixture of cases, as alternatives. There is no flag for it that all editors know.
fn any_case<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let word = |word: &str| -> String {
        word.chars()
            .map(|it| match (it.to_ascii_uppercase(), it.to_ascii_lowercase()) {
                (upper, lower) if upper != lower => format!("[{upper}{lower}]"),
                (same, _) => same.to_string(),
            })
            .collect()
    };
    let words: Vec<String> = words.map(word).collect();
    words.join("|")
}

fn protocols(which: impl Fn(Protocol) -> bool) -> String {
    any_case(Protocol::ALL.into_iter().filter(|it| which(*it)).map(Protocol::as_str))
}

/// A port, a range or a service, and a protocol. That a range begins before it ends is left to the
/// parser.
fn ports() -> String {
    let (raw, others) = (protocols(|it| it == Protocol::Raw), protocols(|it| it != Protocol::Raw));
    format!(
        "{PORT}(?:-{PORT})?(?:/(?:{others}))?|{IP_PROTOCOL}(?:-{IP_PROTOCOL})?/(?:{raw})\
         |{SERVICE}(?:/(?:{others}|{raw}))?"
    )
}

fn tcp_port() -> String {
    let tcp = protocols(|it| it == Protocol::Tcp);
    format!("(?:{PORT}(?:-{PORT})?|{SERVICE})(?:/(?:{tcp}))?")
}

fn published() -> String {
    let known = protocols(Protocol::can_be_published);
    let number = format!("{PORT}(?:-{PORT})?");
    let (v4, v6) = (r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+", r"\[[0-9A-Fa-f:.]+\]");
    format!("(?:{v4}:(?:{number})?:|{v6}:(?:(?:{number})?:)?|{number}:)?{number}(?:/(?:{known}))?")
}

fn image() -> String {
    let label = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?";
    let registry = format!(r"(?:{label}(?:\.{label})*|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?/");
    let component = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*";
    format!(
        "sha256:[0-9a-f]{{64}}|(?:{registry})?{component}(?:/{component})*\
         (?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@(?:sha256:[0-9a-f]{{64}}|sha512:[0-9a-f]{{128}}))?"
    )
}

/// A host name.
pub(super) fn host() -> Value {
    let label = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?";
    json!({
        "type": "string", "maxLength": 63, "pattern": format!(r"^{label}(?:\.{label})*$"),
        "patternErrorMessage": "a host name has letters, digits and `-`, parts joined by `.`",
    })
}

fn rules() -> Schema {
    let rule = |rule: Rule| {
        // A fixed one can be stated, but not changed.
        let known: &[Level] = if rule.is_fixed() { &[Level::Fail] } else { &Level::ALL };
        let fixed = if rule.is_fixed() { " (fixed: it always fails)" } else { "" };
        let mut schema = word(known.iter().map(|level| level.as_str()));
        schema.insert("description".to_owned(), json!(format!("When {}{fixed}.", rule.summary())));
        schema.insert("default".to_owned(), json!(rule.default_level().as_str()));
        schema.insert("examples".to_owned(), json!([known.last().map(|level| level.as_str())]));
        (rule.id().to_owned(), schema.to_value())
    };
    let properties: serde_json::Map<String, Value> = Rule::ALL.into_iter().map(rule).collect();
    json_schema!({ "type": "object", "properties": properties })
}
