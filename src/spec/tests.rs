//! The language as a whole: every key, any text, and what is shown in the end.

use std::fmt::Write;

use proptest::prelude::*;

use crate::{
    socket::{Port, PortRange, Protocol},
    spec::{
        Location, Place,
        problem::render,
        testing::{SECRET, check, problems, read, survives},
    },
};

/// Together these specs hold every key, each on a line of its own.
const FULL: [&str; 4] = [
    "\
name: web
image: ghcr.io/acme/web:${TAG}
platform: linux/amd64
run:
  command: [serve]
  entrypoint: [/app]
  env:
    KEY: hunter2-s3cret
  user: \"1000\"
  hostname: web
  volumes: [./site:/srv:ro]
  tmpfs: [/run]
  cap_add: [NET_ADMIN]
  memory: 512m
  pids: 256
  publish: all
  egress: allow
needs:
  db:
    image: postgres:17
    command: [x]
    entrypoint: [y]
    env:
      POSTGRES_PASSWORD: hunter2-s3cret
    user: 1
    hostname: db
    volumes: [./data:/data:rw]
    tmpfs: [/tmp]
    cap_add: [CHOWN]
    memory: 1g
    pids: 9
    ready:
      port: 5432/tcp
      within: 60s
  other:
    build:
      context: x
      dockerfile: F
      target: prod
      args:
        A: b
ready:
  http:
    port: 80
    path: /up
    status: 204
  within: 60s
watch: 2s
scan: full
expose:
  - 80/tcp
  - port: 9090/tcp
    optional: true
    bind: loopback
    process: prometheus
    user: \"65534\"
    speaks: http
    publish: never
    why: metrics
    owner: team
    until: 2027-01-31
rules:
  silent-expose: warn
",
    "build:\n  context: x\nexpose: []\nready:\n  log: up\n",
    "archive: x.tar\nexpose: []\nready:\n  health: true\n",
    "container: x\nexpose: []\nready:\n  exit: 0\n",
];

/// The keys of a block-style text: line (from 0), column (from 0), and the key.
fn keys(text: &str) -> Vec<(usize, usize, &str)> {
    let mut keys = Vec::new();
    for (line, content) in text.lines().enumerate() {
        let column = content.len() - content.trim_start_matches([' ', '-']).len();
        if let Some((key, _)) = content[column..].split_once(':') {
            // An item such as `80/tcp` has no colon; `port: 80` behind a `-` does.
            keys.push((line, column, key));
        }
    }
    keys
}

/// The lines of the block that begins on `line` in `column`.
fn block(lines: &[&str], line: usize, column: usize) -> usize {
    let is_below = |line: &&&str| line.len() - line.trim_start_matches(' ').len() > column;
    1 + lines[line + 1..].iter().take_while(is_below).count()
}

#[test]
fn full_specs_are_right() {
    for text in FULL {
        assert_eq!(problems(text), [""; 0], "in:\n{text}");
    }
}

#[test]
fn every_key_twice_is_a_problem() {
    for text in FULL {
        let lines: Vec<&str> = text.lines().collect();
        for (line, column, key) in keys(text) {
            let end = line + block(&lines, line, column);
            let mut doubled = lines[..end].to_vec();
            let first = lines[line].replacen("- ", "  ", 1);
            doubled.push(&first);
            doubled.extend(&lines[line + 1..end]);
            doubled.extend(&lines[end..]);
            let problem = format!("{}:{} the key `{key}` is there twice", end + 1, column + 1);
            check(&(doubled.join("\n") + "\n"), &[&problem]);
        }
    }
}

#[test]
fn every_misspelt_key_is_a_problem() {
    for text in FULL {
        let lines: Vec<&str> = text.lines().collect();
        for (line, column, key) in keys(text) {
            let message = match key {
                // Names that the spec's author chooses.
                "KEY" | "POSTGRES_PASSWORD" | "A" | "db" | "other" => continue,
                "silent-expose" => format!("no rule is called `{key}x`"),
                _ => format!("unknown key `{key}x`"),
            };
            let misspelt = lines[line].replacen(&format!("{key}:"), &format!("{key}x:"), 1);
            let mut changed = lines.clone();
            changed[line] = &misspelt;
            let text = changed.join("\n") + "\n";
            let found = read(&text).unwrap_err();
            let place = Location { line: line + 1, column: column + 1 };
            let problem = found.iter().find(|it| it.location == Some(place)).unwrap();
            assert_eq!(problem.message, message, "in:\n{text}");
            assert_eq!(problem.hint, Some(format!("did you mean `{key}`?")), "in:\n{text}");
            // One slip, one problem; only what the keys below it lack may follow.
            assert_eq!(found.len(), 1, "{found:#?} in:\n{text}");
        }
    }
}

#[test]
fn findings_point_at_their_line() {
    let spec = read(
        "# ports\nimage: x\nexpose:\n  - 80/tcp\n\n  # metrics\n  - port: 9090\n    optional: true\n  -\n    \
         port: 1\n  - https\n",
    )
    .unwrap();
    for (place, line, column) in [
        (Place::Subject, 2, 1),
        (Place::Expose, 3, 1),
        (Place::Entry(0), 4, 5),
        (Place::Entry(1), 7, 5),
        (Place::Entry(2), 10, 5),
        (Place::Entry(3), 11, 5),
        (Place::Entry(9), 1, 1),
    ] {
        assert_eq!(spec.locate(place), Location { line, column }, "{place:?}");
    }
    let flow = read("{build: {context: x}, expose: [80, {port: 81}]}").unwrap();
    assert_eq!(flow.locate(Place::Subject), Location { line: 1, column: 2 });
    assert_eq!(flow.locate(Place::Entry(1)), Location { line: 1, column: 36 });
}

#[test]
fn problems_are_shown_with_their_lines_and_hints() {
    let text = "image: x\nexpose:\n  - 443/tcpp\n  - 80\n  - port: 80\nrun: { memory: 5m, env: { A: hunter2 } }\n";
    let shown = render(&read(text).unwrap_err(), false);
    insta::assert_snapshot!(shown, @r"
    error: `443/tcpp` is not a port: `tcpp` is not a protocol
     --> web.yaml:3:5
      |
    3 |   - 443/tcpp
      |     ^^^^^^^^
      |
      = help: did you mean `443/tcp`?

    error: `80/tcp` is listed twice
     --> web.yaml:5:5
      |
    5 |   - port: 80
      |     ^^^^
      |
     ::: web.yaml:4:5
      |
    4 |   - 80
      |     -- allowed here already
      |
      = help: each port is allowed by one entry: remove or narrow one of the two

    error: `memory` is too little or too much for an engine
     --> web.yaml:6:16
      |
    6 | run: { memory: 5m, env: { A: ******* } }
      |                ^^
      |
      = help: write `512m`, `1g`, or a number of bytes; the least is `6m`

    3 problems in 1 file; nothing was started
    ");
}

#[test]
fn foreign_text_cannot_command_a_terminal() {
    let text = "image: \"a\\e[31m\\u202eb\" # \u{202e}\u{200b}##vso[x]\nexpose: []\nA: hunter2\n";
    let shown = render(&read(text).unwrap_err(), false);
    insta::assert_snapshot!(shown, @r##"
    error: `a\u{1b}[31m\u{202e}b` is not an image reference: the name is malformed
     --> web.yaml:1:8
      |
    1 | image: "a\e[31m\u202eb" # ��#�vso[x]
      |        ^^^^^^^^^^^^^^^^
      |
      = help: a name has lowercase letters and digits, joined by `.`, `_`, `__` or `-`

    error: unknown key `A`
     --> web.yaml:3:1
      |
    3 | A: *******
      | ^
      |
      = help: known here: `name`, `image`, `build`, `archive`, `container`, `platform`, `run`, `needs`, `ready`, `watch`, `scan`, `expose`, `rules`

    2 problems in 1 file; nothing was started
    "##);
}

#[test]
fn too_many_problems_are_counted() {
    let mut text = "image: x\nexpose:\n".to_owned();
    for _ in 0..300 {
        text.push_str("  - 0\n");
    }
    let found = read(&text).unwrap_err();
    assert_eq!(found.len(), 201);
    assert_eq!(found[200].message, "100 more problems in this file");
    assert!(render(&found, false).ends_with("\n300 problems in 1 file; nothing was started\n"));
}

#[test]
fn very_long_lines_are_cut() {
    let text = format!("image: x\nexpose: [0, {}{}]\n", " ".repeat(100_000), "0");
    let shown = render(&read(&text).unwrap_err(), false);
    assert!(shown.len() < 2_000, "{} bytes", shown.len());
    assert!(shown.contains("web.yaml:2:10") && shown.contains("web.yaml:2:100013"), "{shown}");
}

#[test]
fn color_is_asked_for() {
    let problems = read("image: x\n").unwrap_err();
    assert!(!render(&problems, false).contains('\u{1b}'));
    assert!(render(&problems, true).contains('\u{1b}'));
    assert_eq!(render(&[], true), "");
}

/// Pieces that YAML and the spec language are made of.
const PIECES: &[&str] = &[
    "image",
    "expose",
    "run",
    "env",
    "needs",
    "ready",
    "port",
    "rules",
    "publish",
    "x",
    "80",
    "0",
    "80/tcp",
    "1-65535",
    "\n",
    "\n  ",
    "\n    ",
    "\n- ",
    ": ",
    ":",
    "- ",
    ", ",
    "[",
    "]",
    "{",
    "}",
    "'",
    "\"",
    "#",
    " # ",
    "|",
    ">",
    "&a",
    "*a",
    "!t ",
    "!!int ",
    "<<",
    "? ",
    "---\n",
    "...",
    "~",
    "${TAG}",
    "${NONE}",
    "${",
    "$$",
    "\t",
    "\r\n",
    "\u{0}",
    "\u{1b}",
    "\u{202e}",
    "\u{2028}",
    "ä",
    "🦀",
    "\u{feff}",
    "%",
    "@",
    "`",
    "\\",
    "1.5",
    "true",
    "-1",
    "999999999999999999999",
    "\\0",
];

fn pieces() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(PIECES), 0..40)
        .prop_map(|pieces| pieces.concat())
}

/// A full spec with a few pieces put in, or ranges of it replaced.
fn mutated() -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0_usize..12, proptest::sample::select(PIECES));
    (0..FULL.len(), proptest::collection::vec(edit, 1..6)).prop_map(|(index, edits)| {
        let mut text: Vec<char> = FULL[index].chars().collect();
        for (at, removed, piece) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + removed).min(text.len());
            text.splice(at..end, piece.chars());
        }
        text.into_iter().collect()
    })
}

fn port_ranges() -> impl Strategy<Value = PortRange> {
    let number = 1..=u16::MAX;
    (number.clone(), number, proptest::sample::select(&Protocol::ALL[..4])).prop_filter_map(
        "most of all ports at once are refused",
        |(one, other, protocol)| {
            let (first, last) = (one.min(other), one.max(other));
            (last - first < u16::MAX / 2).then_some(PortRange { first, last, protocol })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_spec_or_a_problem(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn any_yaml_is_a_spec_or_a_problem(text in pieces()) {
        survives(&text);
    }

    #[test]
    fn a_damaged_spec_is_a_spec_or_a_problem(text in mutated()) {
        survives(&text);
    }

    #[test]
    fn secrets_are_never_shown(key in "[a-z]{1,8}", junk in "[a-z:,{} -]{0,12}") {
        // A wrong key, value or bracket somewhere: the values of `env` stay hidden.
        for text in [
            format!("image: x\nexpose: [0]\nrun: {{ env: {{ A: {SECRET} }}, {key}: {junk} }}\n"),
            format!("image: x\nrun:\n  env:\n    A: {SECRET}\n    {key}{junk}\n  {key}: 1\n"),
            format!("image: x\nneeds: {{ a: {{ image: x, evn: {{ {key}: {SECRET} }} }} }} {junk}\n"),
            format!("image: x\nbuild:\n  args:\n    A: {SECRET}\n   {junk}\n"),
        ] {
            let shown = render(&read(&text).err().unwrap_or_default(), false);
            prop_assert!(!shown.contains(SECRET), "{text}\n{shown}");
        }
    }

    #[test]
    fn written_ports_read_back(ports in port_ranges(), optional in any::<bool>()) {
        let mut text = "image: x\nexpose:\n".to_owned();
        writeln!(text, "  - {ports}").unwrap();
        let spec = read(&text).unwrap();
        prop_assert_eq!(spec.expose[0].ports, ports);
        let optional = optional || ports.single().is_none();
        let text = format!("image: x\nexpose: [{{port: {ports}, optional: {optional}}}]\n");
        let entry = read(&text).unwrap().expose[0].clone();
        prop_assert_eq!((entry.ports, entry.optional), (ports, optional));
    }

    #[test]
    fn each_port_has_one_entry(numbers in proptest::collection::btree_set(1_u16.., 0..50)) {
        let mut text = "image: x\nexpose:\n".to_owned();
        for number in &numbers {
            writeln!(text, "  - {number}").unwrap();
        }
        if numbers.is_empty() {
            text = "image: x\nexpose: []\n".to_owned();
        }
        let spec = read(&text).unwrap();
        for (index, number) in numbers.iter().enumerate() {
            prop_assert_eq!(spec.entry_for(Port::tcp(*number)).map(|(index, _)| index), Some(index));
        }
    }
}
