//! Values that must never be shown: of environments, build arguments, logins and URLs. Every run
//! here knows some, and something repeats them; every sink is searched for them.

use std::io::{Read, Write};

use crate::{
    engine,
    harness::{Seen, Tool},
};

/// Every format of report that there is.
const FORMATS: [&str; 6] = ["json", "junit", "sarif", "html", "markdown", "intoto"];

/// Of no other text.
const VALUE: &str = "Xq7-zebra\"Krypton/0042";

/// The value in the spellings in which it may get about, and parts of it that tell enough.
fn spellings(value: &str) -> Vec<String> {
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let longest = value.split(['"', '/']).map(str::to_owned);
    longest
        .chain([value.to_owned(), value.replace('"', "\\\""), hex, percent])
        .filter(|it| it.len() > 4)
        .collect()
}

/// Searches everything that the run said and wrote.
#[track_caller]
fn hides(tool: &Tool, seen: &Seen, value: &str) {
    let mut sinks = vec![
        ("stdout".to_owned(), seen.stdout.clone()),
        ("stderr".to_owned(), seen.stderr.clone()),
    ];
    for format in FORMATS.into_iter().chain(["summary"]) {
        let report = std::fs::read_to_string(tool.path().join(format!("report.{format}")));
        sinks.extend(report.ok().map(|text| (format.to_owned(), text)));
    }
    for (sink, text) in sinks {
        for spelling in spellings(value) {
            assert!(!text.contains(&spelling), "{sink} shows {spelling}:\n{seen}");
        }
    }
}

/// `portlid test` with every report, and all that makes it talk.
fn talkative(spec: &str) -> Tool {
    let mut tool = Tool::new(&["test", "-v"]).file("specs/subject.yaml", spec);
    for format in FORMATS {
        tool = tool.args(&["--report", &format!("{format}=report.{format}")]);
    }
    // What GitHub is told, too.
    let summary = tool.path().join("report.summary").display().to_string();
    tool.env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", &summary)
        .env("RUST_BACKTRACE", "full")
        .env("RUST_LOG", "trace")
}

/// The container prints its environment, as it is and encoded, and ends, passes or fails.
#[test]
fn a_container_may_repeat_its_environment() {
    let image = engine::fixture(&["80/tcp"]);
    let quoted = serde_json::to_string(VALUE).unwrap();
    // In base64 as `user:VALUE`, in hexadecimal, and as JSON.
    let hex: String = VALUE.bytes().map(|byte| format!("{byte:02x}")).collect();
    let json = quoted.replace('\\', "\\\\").replace('"', "\\\"");
    let said =
        format!("\"log:TOKEN={}\", \"log:{hex}\", \"log:{json}\"", VALUE.replace('"', "\\\""));
    for (rest, code) in [("tcp:0.0.0.0:80", 0), ("tcp:0.0.0.0:81", 1), ("exit:3@300", 3)] {
        let spec = format!(
            "image: {image}\nneeds: {{ db: {{ image: {image}, env: {{ PASSWORD: {quoted} }}, command: [sleep] }} }}\n\
             run:\n  env: {{ TOKEN: {quoted} }}\n  command: [{said}, \"{rest}\"]\n\
             expose: [80/tcp]\nready: {{ within: 3s }}\nwatch: 300ms\nscan: listed\n"
        );
        // What `command` says is no secret; here it only stands for what an image does.
        let tool = talkative(&spec);
        let seen = tool.run();
        assert_eq!(seen.code, Some(code), "{seen}");
        hides(&tool, &seen, VALUE);
        if code != 0 {
            assert!(seen.stdout.contains("***"), "the log is not shown:\n{seen}");
        }
    }
}

/// The engine repeats what it was asked, in an error.
#[test]
fn an_error_of_the_engine_may_repeat_the_request() {
    let tool = talkative(&format!(
        "image: {}\nrun: {{ env: {{ TOKEN: {} }}, command: [sleep] }}\nexpose: []\n",
        engine::fixture(&[]),
        serde_json::to_string(VALUE).unwrap()
    ));
    let socket = tool.path().join("echo.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let version = "{\"Version\":\"1\"}";
    let image = format!(
        "{{\"Id\":\"sha256:00\",\"Os\":\"linux\",\"Architecture\":\"amd64\",\"RepoTags\":[\"{}\"],\"Config\":{{}}}}",
        engine::fixture(&[])
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.set_read_timeout(Some(std::time::Duration::from_millis(300)));
            let mut request = Vec::new();
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut bytes) {
                request.extend_from_slice(&bytes[..count]);
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let line = request.lines().next().unwrap_or_default();
            let (status, body) = if line.contains("/version") {
                (200, version.to_owned())
            } else if line.starts_with("GET")
                && line.contains("portlid-fixture")
                && !line.contains("images/json")
            {
                (200, image.clone())
            } else if line.starts_with("POST") {
                let message = request.replace("\r\n", " ");
                (
                    400,
                    serde_json::json!({ "message": format!("bad request: {message}") }).to_string(),
                )
            } else {
                (404, "{\"message\":\"none\"}".to_owned())
            };
            let _ = write!(
                stream,
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    let tool =
        tool.without("DOCKER_HOST").args(&["--engine", &format!("unix://{}", socket.display())]);
    let seen = tool.run();
    assert_eq!(seen.code, Some(3), "{seen}");
    assert!(seen.stdout.contains("bad request") && seen.stdout.contains("***"), "{seen}");
    hides(&tool, &seen, VALUE);
}

/// A build prints its arguments, while it goes on and when it fails.
#[test]
fn a_build_may_repeat_its_arguments() {
    // A path is not repeated as it was written.
    let value = VALUE.replace('/', "-");
    let tool = talkative(&format!(
        "build: {{ context: web, args: {{ TOKEN: {} }} }}\nexpose: []\n",
        serde_json::to_string(&value).unwrap()
    ))
    .file("specs/web/Dockerfile", "FROM scratch\nARG TOKEN\nCOPY $TOKEN /\n");
    let seen = tool.run();
    assert_eq!(seen.code, Some(3), "{seen}");
    hides(&tool, &seen, &value);
}

/// Problems of a spec are shown with its lines.
#[test]
fn a_wrong_spec_is_shown_without_its_secrets() {
    let quoted = serde_json::to_string(VALUE).unwrap();
    for spec in [
        format!("image: web\nrun: {{ env: {{ TOKEN: {quoted} }}, bogus: 1 }}\nexpose: []\n"),
        format!("image: web\nrun:\n  env:\n    TOKEN: {quoted}\n    TOKEN: {quoted}\nexpose: []\n"),
        format!("image: web\nrun:\n  env: [TOKEN={VALUE}]\nexpose: []\n"),
        format!("image: web\nrun:\n  env:\n    TOKEN: {quoted} {quoted}\nexpose: []\n"),
        "image: web\nrun: { env: { A: \"${UNSET_PORTLID}\", B: \"${SET_PORTLID}\" } }\nexpose: [0]\n".to_owned(),
        "image: \"${SET_PORTLID}\"\nexpose: []\n".to_owned(),
        "image: web\nexpose: [\"${SET_PORTLID}\"]\n".to_owned(),
    ] {
        for command in ["lint", "test"] {
            let tool = Tool::new(&[command, "-v"])
                .file("specs/web.yaml", &spec)
                .env("SET_PORTLID", VALUE)
                .env("DOCKER_HOST", "unix:///nowhere");
            let seen = tool.run();
            assert_eq!(seen.code, Some(2), "{spec}\n{seen}");
            hides(&tool, &seen, VALUE);
        }
    }
}

/// Passwords in URLs and references, whoever names them, and whatever is wrong with them.
#[test]
fn passwords_in_urls_are_not_shown() {
    const PASSWORD: &str = "hunter-0042-zebra";
    let spec = "image: web\nexpose: []\n";
    for host in [
        format!("tcp://me:{PASSWORD}@127.0.0.1:1"),
        format!("http://me:{PASSWORD}@127.0.0.1:1"),
        format!("http://:{PASSWORD}@nowhere.invalid:1"),
        format!("tcp://me:{PASSWORD}@[::1"),
        format!("ssh://me:{PASSWORD}@127.0.0.1:1"),
        format!("npipe://me:{PASSWORD}@x"),
        format!("me:{PASSWORD}@127.0.0.1:1"),
    ] {
        for tool in [
            talkative(spec).env("DOCKER_HOST", &host),
            talkative(spec).without("DOCKER_HOST").args(&["--engine", &host]),
        ] {
            let seen = tool.run();
            assert_eq!(seen.code, Some(3), "{host}\n{seen}");
            hides(&tool, &seen, PASSWORD);
        }
        let clean = Tool::new(&["clean", "--engine", &host]);
        let seen = clean.run();
        assert_eq!(seen.code, Some(3), "{host}\n{seen}");
        hides(&clean, &seen, PASSWORD);
    }
    for reference in [
        format!("me:{PASSWORD}@registry.example/web:1"),
        format!("https://me:{PASSWORD}@registry.example/web:1"),
    ] {
        let tool = talkative(&format!("image: \"{reference}\"\nexpose: []\n"));
        let seen = tool.run();
        assert_eq!(seen.code, Some(2), "{seen}");
        hides(&tool, &seen, PASSWORD);
        let tool = talkative(spec).args(&["--image", &format!("subject={reference}")]);
        let seen = tool.run();
        assert_eq!(seen.code, Some(2), "{seen}");
        hides(&tool, &seen, PASSWORD);
    }
}

/// A login from the Docker CLI's configuration is used for a pull, and never shown.
#[test]
fn logins_are_not_shown() {
    const PASSWORD: &str = "hunter-0042-zebra";
    // `me:hunter-0042-zebra`
    let auth = "bWU6aHVudGVyLTAwNDItemVicmE=";
    for config in [
        format!("{{\"auths\":{{\"127.0.0.1:1\":{{\"auth\":\"{auth}\"}}}}}}"),
        format!(
            "{{\"auths\":{{\"127.0.0.1:1\":{{\"auth\":\"{auth}\",\"identitytoken\":\"{PASSWORD}\"}}}}}}"
        ),
        format!("{{\"auths\":{{\"127.0.0.1:1\":{{\"auth\":\"{PASSWORD}\"}}}}}}"),
        format!("{{\"auths\":{{\"127.0.0.1:1\":{{\"auth\":\"{auth}\""),
    ] {
        let tool =
            talkative("image: 127.0.0.1:1/web:1\nexpose: []\n").file("docker/config.json", &config);
        let folder = tool.path().join("docker").display().to_string();
        let tool = tool.env("DOCKER_CONFIG", &folder).env("DOCKER_CONTEXT", "default");
        let seen = tool.run();
        assert_eq!(seen.code, Some(3), "{config}\n{seen}");
        hides(&tool, &seen, PASSWORD);
        hides(&tool, &seen, auth);
    }
}

/// What other users of the machine may read: the arguments of every process of a run.
#[test]
fn no_argument_of_a_process_holds_a_secret() {
    // Of this test alone.
    let value = VALUE.replace("Xq7", "Yq8");
    let image = engine::fixture(&[]);
    let quoted = serde_json::to_string(&value).unwrap();
    let spec = format!(
        "image: {image}\nrun: {{ env: {{ TOKEN: {quoted} }}, command: [sleep] }}\nexpose: []\nwatch: 2s\n"
    );
    let tool = talkative(&spec);
    let child = tool.spawn();
    let pid = child.id();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !engine::made_by(pid).iter().any(|it| it.contains("RUNNING")) {
        assert!(std::time::Instant::now() < deadline);
    }
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        assert!(!line.contains(value.as_str()), "{line}");
    }
    let seen = tool.collect(child);
    assert_eq!(seen.code, Some(0), "{seen}");
    hides(&tool, &seen, &value);
}
