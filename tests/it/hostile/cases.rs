//! The hostile images, each with the truth about it.

use serde_json::{Value, json};

use super::images::File;

/// One image, how it is started, and what must be said of it.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// `None`: the fixture, which declares nothing.
    pub(super) image: Option<Made>,
    pub(super) command: Option<Vec<String>>,
    /// Lines of the spec; `expose` is among them. What is left out is short.
    pub(super) spec: &'static str,
    /// More keys of `run`.
    pub(super) run: &'static str,
    /// Engines differ in what they refuse to start: then `pass|inconclusive`.
    pub(super) verdict: &'static str,
    /// A rule that is broken, or part of the reason; `|` between what will do.
    pub(super) because: &'static str,
}

/// An image that is made for it.
pub(super) struct Made {
    pub(super) config: Value,
    pub(super) architecture: &'static str,
    pub(super) files: Vec<File>,
}

const OPEN: &str = "expose: [80/tcp]";
const WATCHED: &str = "expose: [80/tcp]\nwatch: 3s";
const SHUT_81: &str = "expose: []\nready: { port: 81/tcp, within: 20s }";
const SOON: &str = "expose: [80/tcp]\nready: { within: 1s }";
const LISTENS: &str = "tcp:0.0.0.0:80";

/// What a process does in the fixture.
fn does(
    name: &'static str,
    command: &[&str],
    spec: &'static str,
    verdict: &'static str,
    because: &'static str,
) -> Case {
    let command = Some(command.iter().map(|&it| it.to_owned()).collect());
    Case { name, image: None, command, spec, run: "", verdict, because }
}

fn with(run: &'static str, case: Case) -> Case {
    Case { run, ..case }
}

/// What an image is. It listens on port 80 unless its configuration has it do something else.
#[expect(clippy::needless_pass_by_value, reason = "every caller writes it where it is used")]
fn is(
    name: &'static str,
    changes: Value,
    spec: &'static str,
    verdict: &'static str,
    because: &'static str,
) -> Case {
    let mut config = json!({ "Entrypoint": ["/listener"], "Cmd": [LISTENS] });
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    let files = vec![File::Listener("listener", 0o755)];
    let image = Some(Made { config, architecture: "amd64", files });
    Case { name, image, command: None, spec, run: "", verdict, because }
}

/// What an image holds.
fn holds(
    name: &'static str,
    files: Vec<File>,
    verdict: &'static str,
    because: &'static str,
) -> Case {
    let mut case = is(name, json!({}), OPEN, verdict, because);
    case.image.as_mut().unwrap().files = files;
    case
}

fn on(architecture: &'static str, mut case: Case) -> Case {
    case.image.as_mut().unwrap().architecture = architecture;
    case
}

pub(super) fn all() -> Vec<Case> {
    [processes(), listeners(), texts(), configurations(), roots()].into_iter().flatten().collect()
}

fn processes() -> Vec<Case> {
    vec![
        does("fork-bomb", &[LISTENS, "fork"], OPEN, "pass", ""),
        does(
            "fork-bomb-that-listens",
            &["fork", "tcp:0.0.0.0:81@300"],
            SHUT_81,
            "fail",
            "unlisted-listener",
        ),
        does("memory-hog", &[LISTENS, "eat@200"], WATCHED, "inconclusive", "memory|status 137"),
        does("memory-hog-in-a-child", &[LISTENS, "child:eat"], WATCHED, "pass", ""),
        does("disk-filler", &[LISTENS, "fill:/junk"], OPEN, "pass", ""),
        with(
            "tmpfs: [/t]",
            does(
                "memory-disk-filler",
                &[LISTENS, "fill:/t/junk@100"],
                WATCHED,
                "inconclusive",
                // Podman does not tell why.
                "memory|status 137",
            ),
        ),
        does("ignores-every-signal", &[LISTENS], OPEN, "pass", ""),
        does("daemon", &["child:child:tcp:0.0.0.0:80"], OPEN, "pass", ""),
        does(
            "daemon-that-nobody-listed",
            &["child:child:tcp:0.0.0.0:81"],
            SHUT_81,
            "fail",
            "unlisted-listener",
        ),
        does(
            "daemonises-away",
            &["child:tcp:0.0.0.0:80", "exit:0@400"],
            WATCHED,
            "inconclusive",
            "ended|exited",
        ),
        does("exits-at-once", &["exit:0"], OPEN, "inconclusive", "ended|exited"),
        does("exits-with-nothing-asked", &["exit:0"], "expose: []", "inconclusive", "ended|exited"),
        does(
            "dies-while-watched",
            &[LISTENS, "exit:9@1000"],
            WATCHED,
            "inconclusive",
            "ended|exited",
        ),
        does("execs-itself-without-end", &["again:sleep"], "expose: []\nwatch: 1s", "pass", ""),
        does(
            "execs-itself-and-listens",
            &["again:tcp:0.0.0.0:81"],
            "expose: []\nwatch: 1s",
            "fail",
            "unlisted-listener",
        ),
        does("children-that-come-and-go", &[LISTENS, "reborn:exit:0"], OPEN, "pass", ""),
        does("zombies", &[LISTENS, "zombies"], OPEN, "pass", ""),
        does("ten-thousand-files", &[LISTENS, "files:10000"], OPEN, "pass", ""),
        does("closes-its-stdio", &["mute", LISTENS], OPEN, "pass", ""),
        does("dials-everything", &[LISTENS, "dial"], OPEN, "pass", ""),
        does("sprays-its-neighbours", &[LISTENS, "spray"], OPEN, "pass", ""),
        with(
            "cap_add: [SYS_ADMIN]",
            does(
                "leaves-its-namespace",
                &["unshare", LISTENS],
                OPEN,
                "inconclusive",
                "left the network|namespace",
            ),
        ),
        with(
            "cap_add: [SYS_ADMIN]",
            does(
                "a-child-elsewhere",
                &[LISTENS, "child:unshare"],
                WATCHED,
                "inconclusive",
                "another network namespace",
            ),
        ),
    ]
}

fn listeners() -> Vec<Case> {
    vec![
        does("flaps-at-100-hz", &["flap:0.0.0.0:80"], WATCHED, "fail", "flapping|missing-listener"),
        does("flaps-and-is-not-listed", &["flap:0.0.0.0:81"], SHUT_81, "fail", "unlisted-listener"),
        does(
            "thousand-listeners",
            &["many:0.0.0.0:20000=1000"],
            "expose: []\nready: { port: 20999/tcp, within: 20s }",
            "fail",
            "unlisted-listener",
        ),
        does(
            "thousand-listeners-listed",
            &["many:0.0.0.0:20000=1000"],
            "expose: [20000-20999/tcp]\nready: { port: 20999/tcp, within: 20s }",
            "pass",
            "",
        ),
        does("crowd-of-connections", &["crowd:0.0.0.0:80=2000"], OPEN, "pass", ""),
        does(
            "opens-another-when-scanned",
            &["lure:0.0.0.0:80=4444"],
            OPEN,
            "fail",
            "unlisted-listener",
        ),
        does(
            "closes-when-scanned",
            &["once:0.0.0.0:80"],
            "expose: [80/tcp]\nwatch: 1s",
            "fail",
            "flapping",
        ),
        does(
            "speaks-without-end",
            &["repeat:0.0.0.0:80=xyz"],
            "expose: [{ port: 80/tcp, speaks: http }]",
            "fail",
            "wrong-protocol",
        ),
        does(
            "speaks-a-byte-at-a-time",
            &["drip:0.0.0.0:80=x"],
            "expose: [{ port: 80/tcp, speaks: http }]",
            "fail",
            "wrong-protocol",
        ),
        does(
            "tls-garbage",
            &["reply:0.0.0.0:80=\u{16}\u{3}\u{1}\u{ff}\u{ff}\u{1}"],
            "expose: [{ port: 80/tcp, speaks: tls }]",
            "fail",
            "wrong-protocol",
        ),
        does(
            "greets-without-end",
            &["repeat:0.0.0.0:80=220-hello\r\n"],
            "expose: [{ port: 80/tcp, speaks: smtp }]",
            "fail",
            "wrong-protocol",
        ),
        does(
            "headers-without-end",
            &["repeat:0.0.0.0:80=HTTP/1.1 200 OK\r\nX: x"],
            "expose: [80/tcp]\nready: { http: { port: 80/tcp }, within: 20s }",
            "pass",
            "",
        ),
        does(
            "headers-a-byte-at-a-time",
            &["drip:0.0.0.0:80=HTTP/1.1 200 OK\r\n"],
            "expose: [80/tcp]\nready: { http: { port: 80/tcp }, within: 20s }",
            "pass",
            "",
        ),
        does(
            "redirects-to-the-cloud",
            &["reply:0.0.0.0:80=HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n"],
            "expose: [80/tcp]\nready: { http: { port: 80/tcp }, within: 1500ms }",
            "inconclusive",
            "not answered with 200",
        ),
        does(
            "packed-bomb",
            &[
                "repeat:0.0.0.0:80=HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\u{1f}\u{8b}\u{8}",
            ],
            "expose: [{ port: 80/tcp, speaks: http }]",
            "pass",
            "",
        ),
    ]
}

fn texts() -> Vec<Case> {
    const ESCAPES: &str = "\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}";
    let log = |text: &str| format!("log:{text}");
    let logs = [
        log(ESCAPES),
        log("::error file=a::b"),
        log("  ::set-output name=a::b"),
        log("##[error]a"),
        log("x ##vso[task.complete result=Succeeded]"),
        log("\r::stop-commands::x"),
    ];
    let logs: Vec<&str> = logs.iter().map(String::as_str).collect();
    vec![
        does("log-commands-a-runner", &logs, SOON, "fail", "missing-listener"),
        does("log-flood", &[LISTENS, "flood:\u{1b}[2J::error::flood ##[error]"], OPEN, "pass", ""),
        does(
            "log-flood-that-is-shown",
            &["flood:\u{1b}[2J::error::flood ##[error]"],
            SOON,
            "fail",
            "missing-listener",
        ),
        does("endless-line", &[LISTENS, "line:::error::x\u{1b}[2J"], OPEN, "pass", ""),
        does(
            "endless-line-that-is-shown",
            &["line:::error::x\u{1b}[2J"],
            SOON,
            "fail",
            "missing-listener",
        ),
        does(
            "name-of-escapes",
            &["name:\u{1b}[31m\u{1b}]0;x\u{7}", "tcp:0.0.0.0:81@100"],
            SHUT_81,
            "fail",
            "unlisted-listener",
        ),
        does(
            "name-that-commands",
            &["name:\n::error::x", "tcp:0.0.0.0:81@100"],
            SHUT_81,
            "fail",
            "unlisted-listener",
        ),
        does(
            "name-that-commands-anywhere",
            &["name:##[error]x", "tcp:0.0.0.0:81@100"],
            SHUT_81,
            "fail",
            "unlisted-listener",
        ),
        does(
            "name-that-no-xml-can-hold",
            &["name:\u{1}\u{8}\u{fffe}\u{ffff}", "tcp:0.0.0.0:81@100"],
            SHUT_81,
            "fail",
            "unlisted-listener",
        ),
        does(
            "name-of-brackets",
            &["name:) Z 1 (", "tcp:0.0.0.0:81@100"],
            SHUT_81,
            "fail",
            "unlisted-listener",
        ),
    ]
}

fn configurations() -> Vec<Case> {
    let check = |command: &[&str]| {
        let mut test = vec!["CMD", "/listener"];
        test.extend(command);
        json!({ "Healthcheck": {
            "Test": test, "Interval": 100_000_000, "Timeout": 1_000_000_000, "Retries": 3 } })
    };
    let ports = |ports: &mut dyn Iterator<Item = String>| {
        let ports: serde_json::Map<_, _> = ports.map(|it| (it, json!({}))).collect();
        json!({ "ExposedPorts": ports })
    };
    let range = |last: u32| ports(&mut [format!("1-{last}/tcp")].into_iter());
    let many = |what: fn(u32) -> String| -> Value {
        (0..50).map(|it| (what(it), json!({}))).collect::<serde_json::Map<_, _>>().into()
    };
    vec![
        is("declares-every-port", range(65_535), OPEN, "inconclusive", "65535 ports"),
        with(
            "publish: none",
            is("declares-ten-thousand-unpublished", range(10_000), OPEN, "fail", "unlisted-expose"),
        ),
        is(
            "declares-thousands",
            ports(&mut (1..3000).map(|it| format!("{it}/udp"))),
            OPEN,
            "inconclusive",
            "2999 ports",
        ),
        is(
            "declares-no-port",
            ports(&mut ["\u{1b}[31m80/tcp".to_owned()].into_iter()),
            OPEN,
            "inconclusive",
            "declares|cannot inspect",
        ),
        is("health-check-hangs", check(&["sleep"]), OPEN, "pass", ""),
        is("health-check-is-a-fork-bomb", check(&["fork"]), OPEN, "pass", ""),
        is(
            "health-check-listens",
            check(&["tcp:0.0.0.0:4444"]),
            WATCHED,
            "fail",
            "unlisted-listener",
        ),
        is(
            "never-healthy",
            check(&["sleep"]),
            "expose: [80/tcp]\nready: { health: true, within: 1500ms }",
            "inconclusive",
            "health check",
        ),
        is("stop-signal-that-stops-nothing", json!({ "StopSignal": "SIGCONT" }), OPEN, "pass", ""),
        is(
            "stop-signal-that-is-none",
            json!({ "StopSignal": "SIG\u{1b}[31m" }),
            OPEN,
            "pass|inconclusive",
            "cannot",
        ),
        is("stop-timeout", json!({ "StopTimeout": 1_000_000 }), OPEN, "pass", ""),
        is(
            "labels-of-escapes",
            json!({ "Labels": { "\u{1b}[31m": "::error::x", "##[error]": "\u{7}" } }),
            OPEN,
            "pass",
            "",
        ),
        is(
            "labels-of-portlid",
            json!({ "Labels": {
            "dev.portlid.run": "0123456789abcdef", "dev.portlid.owner": "::", "dev.portlid.expires": "0" } }),
            OPEN,
            "pass",
            "",
        ),
        is(
            "environment",
            json!({ "Env": ["LD_PRELOAD=/evil.so", "PATH=", "DOCKER_HOST=tcp://127.0.0.1:1", "x", "\u{1b}[31m=1"] }),
            OPEN,
            "pass",
            "",
        ),
        is(
            "environment-without-names",
            json!({ "Env": ["=", "=x"] }),
            OPEN,
            "pass|inconclusive",
            "cannot",
        ),
        is(
            "entrypoint-of-escapes",
            json!({ "Entrypoint": ["/\u{1b}[31m\n::error::x##[error]"] }),
            OPEN,
            "inconclusive",
            "cannot start",
        ),
        is(
            "working-folder-of-escapes",
            json!({ "WorkingDir": "/a/../../\u{1b}[2J" }),
            OPEN,
            "pass",
            "",
        ),
        is(
            "working-folder-that-is-a-file",
            json!({ "WorkingDir": "/listener" }),
            OPEN,
            "inconclusive",
            "cannot",
        ),
        is(
            "user-that-is-nobody",
            json!({ "User": "\u{1b}[31mnobody" }),
            OPEN,
            "inconclusive",
            "cannot start",
        ),
        is(
            "user-out-of-range",
            json!({ "User": "99999999999" }),
            OPEN,
            "inconclusive",
            "cannot start",
        ),
        is(
            "fifty-volumes",
            json!({ "Volumes": many(|it| format!("/data/{it}")) }),
            OPEN,
            "pass",
            "",
        ),
        is(
            "volume-over-proc",
            json!({ "Volumes": { "/proc": {} } }),
            OPEN,
            "inconclusive",
            "cannot",
        ),
        is(
            "volume-over-everything",
            json!({ "Volumes": { "/": {} } }),
            OPEN,
            "inconclusive",
            "cannot",
        ),
        is(
            "huge-command",
            json!({ "Cmd": [LISTENS, format!("log:{}", "x".repeat(200_000))] }),
            OPEN,
            "inconclusive",
            "cannot start|ended|exited",
        ),
        is(
            "no-command",
            json!({ "Entrypoint": null, "Cmd": null }),
            OPEN,
            "inconclusive",
            "cannot create|cannot start",
        ),
        is("on-build", json!({ "OnBuild": ["RUN rm -rf /", "EXPOSE 81"] }), OPEN, "pass", ""),
        on(
            "s390x",
            is(
                "of-another-platform",
                json!({}),
                "platform: linux/amd64\nexpose: [80/tcp]",
                "inconclusive",
                "forbids to pull|not for linux/amd64",
            ),
        ),
        on("\u{1b}[31m", is("platform-of-escapes", json!({}), OPEN, "pass", "")),
    ]
}

fn roots() -> Vec<Case> {
    let listener = || File::Listener("listener", 0o755);
    let mut named = is(
        "executable-of-escapes",
        json!({ "Entrypoint": ["/\u{1b}[31m::error::x"], "Cmd": ["tcp:0.0.0.0:81"] }),
        SHUT_81,
        "fail",
        "unlisted-listener",
    );
    named.image.as_mut().unwrap().files = vec![File::Listener("\u{1b}[31m::error::x", 0o755)];
    vec![
        named,
        holds(
            "not-executable",
            vec![File::Listener("listener", 0o644)],
            "inconclusive",
            "cannot start|ended|exited",
        ),
        holds(
            "no-such-program",
            vec![File::Text("other", 0o755, b"x")],
            "inconclusive",
            "cannot start|ended|exited",
        ),
        holds(
            "no-program-at-all",
            vec![File::Text("listener", 0o755, b"\x7fELF garbage")],
            "inconclusive",
            "cannot start|ended|exited",
        ),
        holds(
            "script-of-nobody",
            vec![File::Text("listener", 0o755, b"#!/nowhere\n")],
            "inconclusive",
            "cannot start|ended|exited",
        ),
        holds(
            "proc-is-a-link",
            vec![listener(), File::Link("proc", "/dev")],
            "pass|inconclusive",
            "cannot start",
        ),
        holds(
            "dev-is-a-file",
            vec![listener(), File::Text("dev", 0o644, b"")],
            "pass|inconclusive",
            "cannot",
        ),
        holds(
            "resolver-is-a-folder",
            vec![listener(), File::Folder("etc/resolv.conf")],
            "inconclusive",
            "cannot start",
        ),
        holds(
            "hosts-leads-out",
            vec![listener(), File::Link("etc/hosts", "../../../../../../etc/hosts")],
            "pass|inconclusive",
            "",
        ),
    ]
}
