//! What is built means what a file would mean, and what is wrong with it points at the call.

use std::{path::Path, time::Duration};

use super::*;
use crate::{
    socket::{Bind, Port, PortRange, Protocol},
    spec::{Location as At, Place, Publish, Speaks, load_text, testing::elsewhere, validate::keys},
};

/// What a spec means, wherever it stands.
fn meaning(mut spec: Spec) -> String {
    spec.source = Source::new("", "");
    format!("{spec:#?}")
}

/// A builder that states every key of the language, whether or not they go together.
fn everything(start: SpecBuilder) -> SpecBuilder {
    let need = Need::image("postgres:17")
        .env("POSTGRES_PASSWORD", "x")
        .ready_port(Port::tcp(5432))
        .ready_within(Duration::from_millis(1500));
    let metrics = Allow::port(9090)
        .optional()
        .bind(Bind::Loopback)
        .process("prometheus")
        .user(65534)
        .speaks(Speaks::Http)
        .publish(Publish::Never)
        .why("metrics, \"scraped\" by ${NOBODY} for 5 $$")
        .owner("team: observability")
        .until("2099-01-31");
    start
        .name("web")
        .platform("linux/arm64/v8")
        .command(["serve", "--port", "80", "a b"])
        .entrypoint(["/app"])
        .env("KEY", "1.10")
        .env("OTHER", "${NOT_FILLED_IN}")
        .user(1000)
        .hostname("web")
        .volume("./src:/srv")
        .tmpfs("/run")
        .cap_add("NET_ADMIN")
        .memory("1g")
        .pids(64)
        .publish("127.0.0.1:8080:80/tcp")
        .egress(Egress::Allow)
        .need("db", need)
        .ready_http(80, "/health", 204)
        .ready_within(Duration::from_secs(90))
        .watch(Duration::from_micros(2_000_001))
        .scan(Scan::Listed)
        .allow(Port::tcp(80))
        .allow("https/udp")
        .allow(PortRange { first: 8000, last: 8010, protocol: Protocol::Tcp })
        .allow(metrics)
        .rule(Rule::SilentExpose, Level::Note)
}

#[test]
fn what_is_built_means_what_a_file_means() {
    let file = r#"
name: web
image: ghcr.io/acme/web:1
platform: linux/arm64/v8
run:
  command: [serve, --port, "80", a b]
  entrypoint: [/app]
  env: { KEY: "1.10", OTHER: "$${NOT_FILLED_IN}" }
  user: "1000"
  hostname: web
  volumes: ["./src:/srv"]
  tmpfs: [/run]
  cap_add: [NET_ADMIN]
  memory: 1g
  pids: 64
  publish: ["127.0.0.1:8080:80/tcp"]
  egress: allow
needs:
  db: { image: "postgres:17", env: { POSTGRES_PASSWORD: x }, ready: { port: 5432, within: 1500ms } }
ready: { http: { port: 80, path: /health, status: 204 }, within: 90s }
watch: 2001ms
scan: listed
expose:
  - 80/tcp
  - https/udp
  - 8000-8010/tcp
  - port: 9090/tcp
    optional: true
    bind: loopback
    process: prometheus
    user: "65534"
    speaks: http
    publish: never
    why: metrics, "scraped" by $${NOBODY} for 5 $$$$
    owner: "team: observability"
    until: 2099-01-31
rules: { silent-expose: note }
"#;
    let file = InvalidSpec::one(load_text("web.yaml", file, &|_| None)).unwrap();
    let built = everything(Spec::image("ghcr.io/acme/web:1")).build().unwrap();
    assert_eq!(meaning(built), meaning(file));
}

#[test]
fn the_conditions_of_readiness_are_those_of_a_file() {
    let web = || Spec::image("web:1");
    for (built, file) in [
        (web().ready_port("80/tcp"), "{ port: 80 }"),
        (web().ready_log("^ready$"), "{ log: ^ready$ }"),
        (web().ready_health(), "{ health: true }"),
        (web().ready_exit(3), "{ exit: 3 }"),
    ] {
        let text = format!("image: web:1\nname: web:1\nexpose: []\nready: {file}\n");
        let file = InvalidSpec::one(load_text("web.yaml", &text, &|_| None)).unwrap();
        assert_eq!(meaning(built.build().unwrap()), meaning(file));
    }
}

#[test]
fn every_key_of_the_language_has_a_method() {
    let mut text = String::new();
    for start in [Spec::image(""), Spec::archive(""), Spec::container(""), Spec::context("")] {
        let all = everything(start)
            .dockerfile("")
            .target("")
            .build_arg("", "")
            .ready_port(80)
            .ready_log("")
            .ready_health()
            .ready_exit(0);
        text.push_str(&all.lines().into_text(std::panic::Location::caller()).0);
    }
    // Only a defaults file says `never`.
    for key in keys().filter(|key| *key != "never") {
        let is_there = text
            .lines()
            .any(|line| line.trim_start_matches([' ', '-']).starts_with(&format!("{key}:")));
        assert!(is_there, "`{key}` cannot be stated in code:\n{text}");
    }
}

#[test]
fn nothing_is_allowed_unless_it_is() {
    let spec = Spec::image("web:1").build().unwrap();
    assert!(spec.expose.is_empty());
    assert_eq!(spec.name, "web:1");
    let long = format!("web@sha256:{}", "0".repeat(64));
    assert_eq!(Spec::image(&long).build().unwrap().name, long);
    let longer = format!("{}/{long}", "a".repeat(50));
    assert!(Spec::image(&longer).build().unwrap().name.starts_with("aaa"));
}

/// The lines of the calls that the problems of a builder point at, and what they say.
#[track_caller]
fn problems(builder: &SpecBuilder) -> Vec<(usize, String)> {
    let error = builder.build().unwrap_err();
    let of = |problem: &crate::spec::Problem| {
        assert_eq!(problem.file, Path::new(file!()));
        (problem.location.unwrap().line, problem.message.clone())
    };
    error.problems().iter().map(of).collect()
}

#[test]
fn a_problem_points_at_its_call() {
    let first = line!() as usize + 1;
    let metrics = Allow::port(9090)
        .why("metrics, scraped by the sidecar, which shares the network of the container")
        .bind("lopback");
    let builder = Spec::image("web:1")
        .allow("80/tpc")
        .allow(metrics)
        .memory("1x")
        .watch(Duration::from_secs(10_000));
    let said = problems(&builder);
    let expected = [
        (first + 2, "`lopback` is not an address to bind to"),
        (first + 4, "`80/tpc` is not a port: `tpc` is not a protocol"),
        (first + 6, "`1x` is not a size"),
        (first + 7, "`10000000ms` is out of range for `watch`"),
    ];
    assert_eq!(said, expected.map(|(line, message)| (line, message.to_owned())));
}

#[test]
fn a_key_that_is_stated_twice_is_refused_as_in_a_file() {
    let first = line!() as usize + 1;
    let builder = Spec::image("web:1")
        .hostname("a")
        .hostname("b")
        .allow(80)
        .allow("http")
        .publish("80")
        .publish_none();
    let said = problems(&builder);
    let expected = [
        (first + 2, "the key `hostname` is there twice"),
        (first + 4, "`80/tcp` is listed twice"),
        (first + 5, "the key `publish` is there twice"),
    ];
    assert_eq!(said, expected.map(|(line, message)| (line, message.to_owned())));
}

#[test]
fn what_was_called_in_another_file_is_told_of_the_build() {
    let builder = elsewhere();
    let problems = problems(&builder.clone().allow("x/tcp"));
    let line = line!() as usize - 1;
    let said = [
        "`we b` is not an image reference: it holds a blank",
        "`x/tcp` is not a port: no service is called `x`",
    ];
    assert_eq!(problems, said.map(|it| (line, it.to_owned())));
    let spec = builder.allow(80).build();
    assert!(spec.is_err());
}

#[test]
fn findings_point_at_their_call() {
    let first = line!() as usize + 1;
    let metrics = Allow::port("9090/tcp").optional();
    let spec = Spec::image("web:1")
        .env("KEY", "hunter2-s3cret")
        .allow(80)
        .allow(metrics)
        .watch(Duration::from_secs(1))
        .build()
        .unwrap();
    assert_eq!(spec.source.file, Path::new(file!()));
    for (place, line, text) in [
        (Place::Subject, first + 1, "image: web:1"),
        (Place::Expose, first + 1, "expose:"),
        (Place::Entry(0), first + 3, "  - 80/tcp"),
        (Place::Entry(1), first, "  - port: 9090/tcp"),
    ] {
        let (location, shown) = spec.line_of(place);
        assert_eq!((location.line, shown.as_str()), (line, text), "{place:?}");
        assert_eq!(location, spec.locate(place));
    }
    // What is looked at may have been replaced.
    let replaced = Spec { subject: crate::spec::Subject::Container("x".to_owned()), ..spec };
    assert_eq!(replaced.line_of(Place::Subject).1, "image: web:1");
}

#[test]
fn an_error_reads_well_wherever_it_is_printed() {
    let error = Spec::image("web:1").allow(80).allow(Allow::port("http").bind("x")).build();
    let error = error.unwrap_err();
    let text = error.to_string();
    let text = regex::Regex::new(r"tests\.rs:\d+:\d+").unwrap().replace_all(&text, "tests.rs:L:C");
    insta::assert_snapshot!(text, @r"
    error: `80/tcp` is listed twice
    --> src/spec/builder/tests.rs:L:C
     = note: in a spec's words `- port: http`
     = note: allowed here already: src/spec/builder/tests.rs:L:C, in a spec's words `- 80/tcp`
     = help: each port is allowed by one entry: remove or narrow one of the two

    error: `x` is not an address to bind to
    --> src/spec/builder/tests.rs:L:C
     = note: in a spec's words `bind: x`
     = help: write `any`, `loopback`, an address such as `10.0.0.1`, or a network such as `10.0.0.0/8`

    2 problems in 1 file; nothing was started
    ");
    assert_eq!(format!("{error:?}"), error.to_string());
}

#[test]
fn no_secret_is_shown() {
    let builder = Spec::context("src")
        .env("KEY", "hunter2-s3cret")
        .build_arg("TOKEN", "hunter2-s3cret")
        .need("db", Need::image("db").env("KEY", "hunter2-s3cret").memory("hunter2-s3cret"))
        .allow(Allow::port(80).why("hunter2-s3cret").bind("hunter2-s3cret"));
    let shown = format!("{builder:?}{:?}", Need::image("db").env("KEY", "hunter2-s3cret"));
    assert!(
        !shown
            .replace("why: hunter2-s3cret", "")
            .replace("bind: hunter2-s3cret", "")
            .replace("memory: hunter2-s3cret", "")
            .contains("hunter2"),
        "{shown}"
    );
    assert!(shown.contains("KEY"), "{shown}");
}

#[test]
fn paths_are_those_of_the_working_directory() {
    let error = Spec::context("src").build().unwrap_err();
    assert_eq!(error.problems()[0].message, "the context holds no `Dockerfile`");
    let error = Spec::image("web").volume("/etc:/etc").build().unwrap_err();
    assert!(error.problems()[0].message.contains("is not a relative path"), "{error}");
}

#[test]
fn a_text_is_told_of_its_call() {
    let line = line!() + 1;
    let error = Spec::from_text("image: web\nexpose: [80/tpc]\n").unwrap_err();
    let expected = format!("--> {}:{line} (text):2:10", file!());
    assert!(error.to_string().contains(&expected), "{error}");
    let spec = Spec::from_text("image: web\nexpose: [80]\n").unwrap();
    assert_eq!(spec.name, "tests");
    assert_eq!(spec.locate(Place::Entry(0)), At { line: 2, column: 10 });
}

#[test]
fn a_file_is_one_spec() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        std::fs::write(folder.path().join(name), "image: web\nexpose: [80]\n").unwrap();
    };
    let said = |path: &Path| Spec::from_file(path).unwrap_err().problems()[0].message.clone();
    assert_eq!(said(folder.path()), "there is no spec in this folder");
    write("a.yaml");
    assert_eq!(Spec::from_file(folder.path()).unwrap().name, "a");
    write("b.yaml");
    assert_eq!(said(folder.path()), "there are 2 specs, and one was meant");
    assert!(said(&folder.path().join("c.yaml")).contains("cannot"), "no such file");
}
