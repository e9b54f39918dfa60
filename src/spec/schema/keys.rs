//! The maps of the language, one type each, one field for each key. A field's comment is what an
//! editor shows for its key.
//!
//! Nothing is ever read into these types: the parser has its own. A test holds the keys of both
//! together.

#![expect(dead_code, reason = "only their schemas are wanted")]

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::values::{
    Bind, Capability, Container, Day, Duration, Egress, EntryPublish, ExitCode, Flag, Host, Image,
    InContext, Name, Path, Pids, Platform, Port, Ports, Process, Rules, RunPublish, Scan, Size,
    Speech, Stage, Status, TcpPort, Text, Tmpfs, True, Uid, UrlPath, User, Variables, Volume, Word,
    host,
};

/// One YAML file is one spec: it says what is looked at, and which of its ports may be open. Deny by
/// default: whatever is not listed under `expose` must stay shut.
#[derive(JsonSchema)]
#[schemars(extend(
    "anyOf" = any_of(&["image", "build", "archive", "container"]),
    "allOf" = only_one_of(&["image", "build", "archive", "container"]),
    "if" = { "required": ["container"] },
    // Nothing can be said of how it is started.
    "then" = { "properties": {
        "needs": false, "platform": false, "run": { "propertyNames": { "enum": ["publish"] } },
    } },
))]
pub(super) struct Spec {
    /// What is looked at.
    #[schemars(flatten)]
    subject: Subject,
    /// The name that reports and filters use. Without it, the file's name without `.yaml`.
    #[schemars(extend("examples" = ["web", "web (production)"]))]
    name: Name,
    /// Look at a container that already runs, by name or id. It is never stopped or removed.
    ///
    /// Without it, one of `image`, `build` and `archive` must be there.
    #[schemars(extend("examples" = ["web-1"]))]
    container: Container,
    /// Companions that are started first. The image reaches each by its name. Without it, none.
    #[schemars(extend(
        "default" = {},
        "examples" = [{ "db": { "image": "postgres:17", "env": { "POSTGRES_PASSWORD": "x" }, "ready": { "port": "5432/tcp" } } }],
    ))]
    needs: Needs,
    /// The ports that may be open: everything else must be shut. `[]` says that nothing at all may
    /// listen. A single port must be open, unless its entry says `optional: true`; a range may be.
    #[schemars(extend(
        "x-required" = true,
        "examples" = [[], ["80/tcp"], ["https/tcp", "8000-8010/tcp", { "port": "9090/tcp", "bind": "loopback", "why": "metrics" }]],
    ))]
    expose: Vec<Exposed>,
    /// What a folder's defaults may say as well.
    #[schemars(flatten)]
    settings: Settings,
}

/// What `_defaults.yaml` says is merged under every spec of its folder and below, up to the root of
/// the repository.
#[derive(JsonSchema)]
pub(super) struct Defaults {
    /// Ports that no spec may allow without saying `why` and `until` when. Without it, none; those
    /// of the folders above hold as well.
    #[schemars(extend("default" = [], "examples" = [["22/tcp", "2375-2376/tcp"]]))]
    never: Vec<Ports>,
    /// What a spec may say as well.
    #[schemars(flatten)]
    settings: Settings,
}

/// The keys that a spec and a folder's defaults have in common.
#[derive(JsonSchema)]
struct Settings {
    /// The platform that the image must have. Without it, the engine's own.
    #[schemars(extend("examples" = ["linux/amd64", "linux/arm64", "linux/arm/v7"]))]
    platform: Platform,
    /// How the container is started. Without it, as the image says, within limits.
    #[schemars(extend("default" = {}, "examples" = [{ "command": ["serve"], "env": { "KEY": "value" }, "memory": "512m" }]))]
    run: Run,
    /// When the look may settle. Without a condition: once every required port has a socket.
    #[schemars(extend(
        "default" = { "within": "60s" },
        "examples" = [{ "port": "80/tcp" }, { "log": "ready for connections", "within": "2m" }, { "http": { "port": 80, "path": "/health" } }],
    ))]
    ready: Ready,
    /// How long the sockets stay watched once it is ready. What is seen once counts. At most `1h`.
    #[schemars(extend("default" = "2s", "examples" = ["500ms", "2s", "1m"]))]
    watch: Duration,
    /// Which TCP ports a neighbour tries to connect to: all 65,535; those that are listed, declared or
    /// listening; none.
    #[schemars(extend("default" = "full", "examples" = ["full", "listed", "off"]))]
    scan: Scan,
    /// Levels of rules that differ from the default: `fail`, `warn`, `note` or `off`. `portlid explain`
    /// lists the rules; those that are fixed always fail.
    #[schemars(extend("default" = {}, "examples" = [{ "silent-expose": "note" }]))]
    rules: Rules,
}

/// What is looked at, started from an image.
#[derive(JsonSchema)]
struct Subject {
    /// An image by reference. It is pulled if the engine does not have it.
    ///
    /// Without it, something else must say what is looked at.
    #[schemars(extend("examples" = ["nginx:1.29", "ghcr.io/acme/web:${TAG:-1}"]))]
    image: Image,
    /// An image that is built first: the context, a folder of the repository, or more about it.
    ///
    /// Without it, something else must say what is looked at.
    #[schemars(extend("examples" = ["images/web", { "context": "images/web", "target": "prod" }]))]
    build: Building,
    /// An image in a file of the repository: what `docker save` writes, or an OCI layout in a tar.
    ///
    /// Without it, something else must say what is looked at.
    #[schemars(extend("examples" = ["dist/web.tar"]))]
    archive: Path,
}

/// How an image is built.
#[derive(JsonSchema)]
struct Build {
    /// The context: a folder of the repository, relative to the spec.
    #[schemars(extend("x-required" = true, "examples" = ["images/web", ".."]))]
    context: Path,
    /// The Dockerfile, relative to the context and within it. Without it `Dockerfile`, or
    /// `Containerfile` where only that is there.
    #[schemars(extend("default" = "Dockerfile", "examples" = ["docker/Dockerfile.prod"]))]
    dockerfile: InContext,
    /// The stage to build. Without it, the last.
    #[schemars(extend("examples" = ["prod"]))]
    target: Stage,
    /// Build arguments. Their values are never printed. Without it, none.
    #[schemars(extend("default" = {}, "examples" = [{ "NODE_ENV": "production" }]))]
    args: Variables,
}

/// How a container is started; a companion, too.
#[derive(JsonSchema)]
struct Start {
    /// Replaces the image's command: a list, one item a word. Without it, the image's own.
    #[schemars(extend("examples" = [["serve", "--verbose"]]))]
    command: Vec<Word>,
    /// Replaces the image's entrypoint: a list, one item a word. Without it, the image's own.
    #[schemars(extend("examples" = [["/app"]]))]
    entrypoint: Vec<Word>,
    /// Variables of its environment. Their values are never printed. Without it, the image's own.
    #[schemars(extend("default" = {}, "examples" = [{ "KEY": "value", "PASSWORD": "${PASSWORD}" }]))]
    env: Variables,
    /// The user that it runs as: a uid or a name, and a group behind a `:`. Without it, the image's own.
    #[schemars(extend("examples" = ["1000:1000", "nobody", 1000]))]
    user: User,
    /// Its host name. Without it, the engine gives one.
    #[schemars(extend("examples" = ["web"]))]
    hostname: Host,
    /// Folders and files of the spec's own folder: `SOURCE:TARGET`, read-only unless `:rw` follows.
    /// Without it, none.
    #[schemars(extend("default" = [], "examples" = [["./site:/srv"], ["./data:/data:rw"]]))]
    volumes: Vec<Volume>,
    /// Folders in memory, each with mount options behind a `:`. Without it, none.
    #[schemars(extend("default" = [], "examples" = [["/run", "/tmp:size=64m"]]))]
    tmpfs: Vec<Tmpfs>,
    /// Capabilities beyond the engine's default. Without it, none.
    #[schemars(extend("default" = [], "examples" = [["NET_ADMIN"]]))]
    cap_add: Vec<Capability>,
    /// The limit of its memory, `6m` at least.
    #[schemars(extend("default" = "512m", "examples" = ["512m", "1g"]))]
    memory: Size,
    /// The limit of its processes and threads.
    #[schemars(extend("default" = 512, "examples" = [256]))]
    pids: Pids,
}

/// How the container is started.
#[derive(JsonSchema)]
struct Run {
    /// What companions have as well.
    #[schemars(flatten)]
    start: Start,
    /// What is published on the host: each declared port on a random port of 127.0.0.1 (`all`),
    /// nothing (`none`), or a list of `[HOST_IP:][HOST_PORT:]PORT[/PROTOCOL]`.
    #[schemars(extend("default" = "all", "examples" = ["all", "none", ["127.0.0.1:8080:80/tcp"]]))]
    publish: RunPublish,
    /// Whether it may reach other networks. With `deny` nothing can be published.
    #[schemars(extend("default" = "allow", "examples" = ["allow", "deny"]))]
    egress: Egress,
}

/// A container that is started before the one that is looked at. It is not judged.
#[derive(JsonSchema)]
#[schemars(extend(
    "anyOf" = any_of(&["image", "build", "archive"]),
    "allOf" = only_one_of(&["image", "build", "archive"]),
))]
struct Companion {
    /// What it is.
    #[schemars(flatten)]
    subject: Subject,
    /// How it is started.
    #[schemars(flatten)]
    start: Start,
    /// When the next container may be started. Without a condition: once it runs.
    #[schemars(extend(
        "default" = { "within": "60s" },
        "examples" = [{ "port": "5432/tcp" }, { "exit": 0 }],
    ))]
    ready: Ready,
}

/// A condition, at most one, and how long it may take to come true.
#[derive(JsonSchema)]
#[schemars(extend(
    "if" = { "required": ["within"] }, "then" = { "maxProperties": 2 }, "else" = { "maxProperties": 1 },
))]
struct Ready {
    /// Ready once this port has a socket. Without a condition, every required port.
    #[schemars(extend("examples" = ["80/tcp", 5432]))]
    port: Port,
    /// Ready once a line of the log matches this regular expression (syntax: docs.rs/regex). Without
    /// a condition, sockets decide.
    #[schemars(extend("examples" = ["ready for connections", "^Listening on "]))]
    log: Text,
    /// Ready once the image's own health check says so. Without a condition, sockets decide.
    #[schemars(extend("examples" = [true]))]
    health: True,
    /// Ready once an HTTP request to this port is answered with this status. Without a condition,
    /// sockets decide.
    #[schemars(extend("examples" = [80, { "port": 8080, "path": "/health", "status": 204 }]))]
    http: HttpReady,
    /// Ready once it has ended with this exit code: for what only prepares something. Without a
    /// condition, sockets decide.
    #[schemars(extend("examples" = [0]))]
    exit: ExitCode,
    /// How long that may take, at most `24h`.
    #[schemars(extend("default" = "60s", "examples" = ["60s", "2m"]))]
    within: Duration,
}

/// A request whose answer means ready.
#[derive(JsonSchema)]
struct Http {
    /// The port of the container, of tcp.
    #[schemars(extend("x-required" = true, "examples" = [80, "8080/tcp"]))]
    port: TcpPort,
    /// The path that is asked for.
    #[schemars(extend("default" = "/", "examples" = ["/health"]))]
    path: UrlPath,
    /// The status that means ready.
    #[schemars(extend("default" = 200, "examples" = [200, 204]))]
    status: Status,
}

/// A port that may be open, and on what conditions.
#[derive(JsonSchema)]
struct Entry {
    /// The port, a range of ports, or the name of a service; `tcp` if no protocol follows.
    #[schemars(extend("x-required" = true, "examples" = ["80/tcp", 443, "domain/udp", "8000-8010/tcp"]))]
    port: Ports,
    /// Whether it may stay shut. A range always may, a single port only with `true`.
    #[schemars(extend("default" = false, "examples" = [true]))]
    optional: Flag,
    /// How wide it may listen at most: `any`, `loopback`, an address, or a network in CIDR notation.
    #[schemars(extend("default" = "any", "examples" = ["loopback", "10.0.0.1", "10.0.0.0/8", "fd00::/8"]))]
    bind: Bind,
    /// The executable that must own it, by its file name or the process's own name. Without it, any.
    #[schemars(extend("examples" = ["nginx"]))]
    process: Process,
    /// The uid that must own it. Without it, any.
    #[schemars(extend("examples" = ["65534", 1000]))]
    user: Uid,
    /// What it must speak: its first bytes are checked. Without it, they are not.
    #[schemars(extend("examples" = ["http", "tls", "postgres"]))]
    speaks: Speech,
    /// Whether it may be published on the host, must be, or must not be.
    #[schemars(extend("default" = "allowed", "examples" = ["never", "required"]))]
    publish: EntryPublish,
    /// Why it is open, for whoever reads the reports. Without it, nobody knows.
    #[schemars(extend("examples" = ["metrics, scraped by the sidecar"]))]
    why: Text,
    /// Who answers for it. Without it, nobody does.
    #[schemars(extend("examples" = ["team-observability"]))]
    owner: Text,
    /// The last day of the allowance, in UTC: from the next on it fails. Without it, it never ends.
    #[schemars(extend("examples" = ["2027-01-31"]))]
    until: Day,
}

/// At least one of these keys.
fn any_of(keys: &[&str]) -> Value {
    keys.iter().map(|key| json!({ "required": [key] })).collect()
}

/// Beside each of these keys none of the others. In so many words, for an editor then marks the very
/// key that is too many.
fn only_one_of(keys: &[&str]) -> Value {
    let beside = |key: &&str| {
        let others = keys.iter().filter(|other| *other != key);
        let others: Value = others.map(|other| ((*other).to_owned(), Value::Bool(false))).collect();
        json!({ "if": { "required": [key] }, "then": { "properties": others } })
    };
    keys.iter().map(beside).collect()
}

/// A value that has a short form: this or that.
macro_rules! either {
    ($($(#[$doc:meta])* $name:ident = $short:ty | $long:ty;)*) => {$(
        $(#[$doc])*
        struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                json_schema!({ "anyOf": [
                    generator.subschema_for::<$short>(),
                    generator.subschema_for::<$long>(),
                ] })
            }
        }
    )*};
}

either! {
    /// A folder, or more about it.
    Building = Path | Build;
    /// A port, or more about the request.
    HttpReady = TcpPort | Http;
    /// A port, or more about it.
    Exposed = Ports | Entry;
}

/// Companions by their names.
struct Needs;

impl JsonSchema for Needs {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Needs".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let companions = generator.subschema_for::<BTreeMap<String, Companion>>();
        let mut schema = companions;
        schema.insert("propertyNames".to_owned(), host());
        schema.insert("maxProperties".to_owned(), json!(32));
        schema
    }
}
