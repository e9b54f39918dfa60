//! Every problem that a value can have, with its place, and what is right beside it.

use std::{net::Ipv4Addr, time::Duration};

use crate::{
    rule::{Level, Rule},
    socket::{Bind, Port, PortRange},
    spec::{
        model::{
            Egress, Publish, PublishEntry, PublishMode, ReadyWhen, Run, Scan, Speaks, Spec, Subject,
        },
        testing::{SECRET, check, check_hint, problems, read},
    },
};

/// A spec whose `expose` is on line 2; `rest` begins on line 3.
fn with(rest: &str) -> String {
    format!("image: nginx\nexpose: [80]\n{rest}\n")
}

/// A spec with one entry, which begins at 3:5.
fn entry(entry: &str) -> String {
    format!("image: nginx\nexpose:\n  - {entry}\n")
}

/// An entry for 80/tcp in its long form; `rest` begins at 3:16.
fn long(rest: &str) -> String {
    entry(&format!("{{port: 80, {rest}}}"))
}

#[track_caller]
fn ok(text: &str) -> Spec {
    read(text).unwrap_or_else(|problems| panic!("{problems:#?} in:\n{text}"))
}

#[test]
fn the_smallest_spec() {
    let spec = ok("image: nginx:1.29\nexpose:\n  - 80/tcp\n");
    assert_eq!(spec.name, "web");
    assert_eq!(spec.subject, Subject::Image("nginx:1.29".to_owned()));
    assert_eq!(spec.required().collect::<Vec<_>>(), [(0, Port::tcp(80))]);
    assert_eq!(
        (spec.run, spec.watch, spec.scan),
        (Run::default(), Duration::from_secs(2), Scan::Full)
    );
    assert_eq!(spec.ready.within, Duration::from_secs(60));
    assert!(matches!(spec.ready.when, ReadyWhen::Required));
    assert!(ok("image: x\nexpose: []\n").expose.is_empty());
}

#[test]
fn expose_must_be_there_and_be_a_list() {
    let hint = "write `expose: []` if nothing at all may listen";
    for (text, problem) in [
        ("image: x\n", "1:1 `expose` is missing: the spec does not say which ports may be open"),
        ("image: x\nexpose:\n", "2:8 `expose` has no value"),
        ("image: x\nexpose: ~\n", "2:9 `expose` has no value"),
        ("image: x\nexpose: 80\n", "2:9 `expose` must be a list, not a number"),
        ("image: x\nexpose: 80/tcp\n", "2:9 `expose` must be a list, not text"),
        ("image: x\nexpose:\n  port: 80\n", "3:3 `expose` must be a list, not a map"),
    ] {
        check_hint(text, problem, hint);
    }
}

#[test]
fn one_thing_is_looked_at() {
    check_hint(
        "expose: []\n",
        "1:1 nothing to look at: none of `image`, `build`, `archive` or `container` is there",
        "write `image: NAME:TAG`, or what else there is to look at",
    );
    check("image: x\nbuild: .\nexpose: []\n", &["2:1 `image` and `build` contradict each other"]);
    check(
        "container: x\nexpose: []\narchive: a.tar\nimage: Y\n",
        &[
            "1:1 `image` and `container` contradict each other",
            "3:1 `image` and `archive` contradict each other",
            "4:8 `Y` is not an image reference: the name holds an uppercase letter",
        ],
    );
}

#[test]
fn subjects() {
    for (text, problem) in [
        ("image: ''", "1:8 `image` is empty"),
        ("image: '${EMPTY}'", "1:8 `image` is empty, once `${EMPTY}` is filled in"),
        ("image: 1.29", "1:8 `image` must be text, not a number"),
        ("image: [x]", "1:8 `image` must be text, not a list"),
        ("image: -v", "1:8 `-v` is not an image reference: it looks like an option"),
        (
            "image: 'x:${TAG} y'",
            "1:8 what `x:${TAG} y` stands for is not an image reference: it holds a blank",
        ),
        ("container: a/b", "1:12 `a/b` is not the name or id of a container"),
        ("container: --x", "1:12 `--x` is not the name or id of a container"),
        ("archive: /x.tar", "1:10 `/x.tar` is not a relative path"),
        ("build: ~/x", "1:8 `~/x` is not a relative path"),
        ("build: {}", "1:8 `build` has no `context`"),
        ("build: {contxt: x}", "1:9 unknown key `contxt`"),
        ("build: {context: x, dockerfile: ../D}", "1:33 `../D` is not a path within the context"),
        ("build: {context: x, target: -x}", "1:29 `-x` is not a stage"),
        ("build: {context: x, args: [A=b]}", "1:27 `args` must be a map, not a list"),
    ] {
        check(&format!("{text}\nexpose: []\n"), &[problem]);
    }
    let spec = ok("build: {context: x, dockerfile: d/F, target: p, args: {A: 1.10}}\nexpose: []\n");
    let Subject::Build(build) = spec.subject else { panic!("{:?}", spec.subject) };
    assert_eq!((build.shown.as_str(), build.dockerfile.as_str()), ("x", "d/F"));
    assert_eq!(build.args["A"], "1.10");
    assert_eq!(ok("image: x:${TAG}\nexpose: []\n").subject, Subject::Image("x:1.29".to_owned()));
}

#[test]
fn ports() {
    for (text, ports) in [
        ("80", "80/tcp"),
        ("'80'", "80/tcp"),
        ("80/TCP", "80/tcp"),
        ("53/udp", "53/udp"),
        ("8000-8010/tcp", "8000-8010/tcp"),
        ("8000-8010", "8000-8010/tcp"),
        ("132/sctp", "132/sctp"),
        ("7/udplite", "7/udplite"),
        ("1/raw", "1/raw"),
        ("0/raw", "0/raw"),
        ("65535", "65535/tcp"),
        ("https", "443/tcp"),
        ("https/udp", "443/udp"),
        ("domain/udp", "53/udp"),
        ("${PORT}", "8080/tcp"),
        ("'${PORT}/udp'", "8080/udp"),
    ] {
        assert_eq!(ok(&entry(text)).expose[0].ports.to_string(), ports, "{text}");
        let entry = entry(&format!("port: {text}"));
        assert_eq!(ok(&entry).expose[0].ports.to_string(), ports, "{text}");
    }
}

#[test]
fn what_is_no_port() {
    let forms = "write `80`, `80/tcp`, `8000-8010/udp` or the name of a service";
    for (text, message, hint) in [
        ("0", "`0` is not a port: `0` is not a number within 1-65535", forms),
        ("65536", "`65536` is not a port: `65536` is not a number within 1-65535", forms),
        ("-1", "`-1` is not a port: `` is not a number within 1-65535", forms),
        ("0/tcp", "`0/tcp` is not a port: `0` is not a number within 1-65535", forms),
        ("256/raw", "`256/raw` is not a port: `256` is not a number within 0-255", forms),
        ("8x", "`8x` is not a port: `8x` is not a number within 1-65535", forms),
        ("80-", "`80-` is not a port: `` is not a number within 1-65535", forms),
        ("''", "`` is not a port: `` is not a number within 1-65535", forms),
        (
            "010",
            "`010` is not a port: `010` is not a number within 1-65535",
            "write it without the leading zero: `10`",
        ),
        (
            "80-70",
            "`80-70` is not a port: the range ends before it begins",
            "did you mean `70-80/tcp`?",
        ),
        (
            "443/tcpp",
            "`443/tcpp` is not a port: `tcpp` is not a protocol",
            "did you mean `443/tcp`?",
        ),
        (
            "443/quic",
            "`443/quic` is not a port: `quic` is not a protocol",
            "the protocols are `tcp`, `udp`, `sctp`, `udplite`, `raw` and `packet`",
        ),
        (
            "8080:80",
            "`8080:80` is not a port: it has a `:`",
            "write the container's port alone; what is published is set by `run.publish`",
        ),
        ("htps", "`htps` is not a port: no service is called `htps`", "did you mean `https`?"),
        ("wibble", "`wibble` is not a port: no service is called `wibble`", "write the number"),
        (
            "ssh/udp",
            "`ssh/udp` is not a port: the service `ssh` is not registered for udp",
            "write `22/udp` if that is meant",
        ),
        ("${TAG}", "what `${TAG}` stands for is not a port", forms),
        ("1.5", "`expose` must be a port, not a number", forms),
        ("true", "`expose` must be a port, not `true` or `false`", forms),
        ("~", "`expose` has no value", forms),
        ("[80]", "`expose` must be a port, not a list", forms),
    ] {
        check_hint(&entry(text), &format!("3:5 {message}"), hint);
    }
}

#[test]
fn entries_in_the_long_form() {
    let spec =
        ok("image: x\nexpose:\n  - port: 9090/tcp\n    optional: true\n    bind: loopback\n    \
         process: prometheus\n    user: \"65534\"\n    speaks: https\n    publish: never\n    \
         why: metrics\n    owner: team\n    until: 2027-01-31\n");
    let entry = &spec.expose[0];
    assert_eq!(entry.ports, PortRange::only(Port::tcp(9090)));
    assert!(entry.optional && !entry.is_required());
    assert_eq!(entry.bind, Bind::Loopback);
    assert_eq!(entry.process.as_deref(), Some("prometheus"));
    assert_eq!(entry.user, Some(65534));
    assert_eq!(entry.speaks, Some(Speaks::Tls));
    assert_eq!(entry.publish, Publish::Never);
    assert_eq!(entry.until, Some(jiff::civil::date(2027, 1, 31)));
    assert_eq!((entry.why.as_deref(), entry.owner.as_deref()), (Some("metrics"), Some("team")));
    assert!(ok(&long("optional: '${YES}'")).expose[0].optional);
    assert!(ok(&long("user: 0, bind: 10.0.0.0/8, speaks: dns")).expose[0].user == Some(0));
    // An expired day is the judgement's affair.
    assert!(ok(&long("until: 1999-12-31")).expose[0].until.is_some());
}

#[test]
fn problems_of_entries() {
    for (rest, problem) in [
        ("optional: 1", "3:26 `optional` must be `true` or `false`, not a number"),
        ("optional: yes", "3:26 `optional` must be `true` or `false`, not text"),
        ("bind: 300.1.1.1", "3:22 `300.1.1.1` is not an address to bind to"),
        ("bind: 10.0.0.0/33", "3:22 `10.0.0.0/33` is not an address to bind to"),
        ("bind: ['::1']", "3:22 `bind` must be an address, not a list"),
        ("bind: loopbak", "3:22 `loopbak` is not an address to bind to"),
        ("process: /usr/sbin/nginx", "3:25 `/usr/sbin/nginx` is not the name of an executable"),
        ("process: ''", "3:25 `process` is empty"),
        ("user: nginx", "3:22 `nginx` is not a uid"),
        ("user: -1", "3:22 `-1` is not a uid"),
        ("user: 4294967295", "3:22 `4294967295` is not a uid"),
        ("user: '+1'", "3:22 `+1` is not a uid"),
        ("speaks: htp", "3:24 `htp` is not a value of `speaks`"),
        ("publish: always", "3:25 `always` is not a value of `publish`"),
        ("why: [x]", "3:21 `why` must be text, not a list"),
        ("why: ' '", "3:21 `why` is empty"),
        ("owner: 1", "3:23 `owner` must be text, not a number"),
        ("until: 2027-02-30", "3:23 `2027-02-30` is not a day"),
        ("until: 20270131", "3:23 `until` must be text, not a number"),
        ("until: tomorrow", "3:23 `tomorrow` is not a day"),
        ("until: 2027-01-31T10:00", "3:23 `2027-01-31T10:00` is not a day"),
        ("until: ~", "3:23 `until` has no value"),
    ] {
        check(&long(rest), &[problem]);
    }
    check_hint(&entry("bind: any"), "3:5 this entry has no `port`", "write `port: 80/tcp`");
    check_hint(&entry("{443/tcp: x}"), "3:6 unknown key `443/tcp`", "write `port: 443/tcp`");
    check_hint(
        &long("bind: localhost"),
        "3:22 `localhost` is not an address to bind to",
        "did you mean `loopback`?",
    );
    check_hint(
        &long("process: /bin/sh"),
        "3:25 `/bin/sh` is not the name of an executable",
        "write `sh`",
    );
    check_hint(
        &long("protocol: udp"),
        "3:16 unknown key `protocol`",
        "write it behind the port: `port: 53/udp`",
    );
}

#[test]
fn entries_that_contradict_themselves() {
    for (item, problem) in [
        (
            "{port: 80-90, optional: false}",
            "3:29 a range is optional as a whole and cannot be required",
        ),
        (
            "{port: 80, bind: loopback, publish: required}",
            "3:41 a port that listens on loopback only cannot be published",
        ),
        (
            "{port: 80, bind: 127.0.0.1, publish: required}",
            "3:42 a port that listens on loopback only cannot be published",
        ),
        (
            "{port: 53/udp, speaks: http}",
            "3:28 a udp port cannot be asked whether it speaks `http`",
        ),
        (
            "{port: 53/sctp, speaks: dns}",
            "3:29 a sctp port cannot be asked whether it speaks `dns`",
        ),
        ("{port: 1/raw, publish: required}", "3:28 no engine can publish a raw port"),
        (
            "{port: 80-90, publish: required}",
            "3:28 a range is optional as a whole, so it cannot be required to be published",
        ),
    ] {
        check(&entry(item), &[problem]);
    }
    assert_eq!(ok(&entry("{port: 53/udp, speaks: dns}")).expose[0].speaks, Some(Speaks::Dns));
    ok(&entry("{port: 80-90, optional: true, publish: never}"));
}

#[test]
fn overlaps_point_at_both_lines() {
    for (items, problem) in [
        ("[80, 443, 80/tcp]", "2:19 `80/tcp` is listed twice"),
        ("[80, http]", "2:14 `80/tcp` is listed twice"),
        ("[8000-8010, 8005]", "2:21 `8005/tcp` overlaps `8000-8010/tcp`"),
        ("[8005, 8000-8010]", "2:16 `8000-8010/tcp` overlaps `8005/tcp`"),
        ("[1-10, 3-4, 20, 10-20]", "2:16 `3-4/tcp` overlaps `1-10/tcp`"),
    ] {
        let text = format!("image: x\nexpose: {items}\n");
        assert_eq!(problems(&text)[0], problem, "{items}");
        assert!(read(&text).unwrap_err()[0].also.is_some());
    }
    let problem = &read("image: x\nexpose:\n  - 80\n  - 443\n  - port: 80\n").unwrap_err()[0];
    let also = problem.also.as_ref().unwrap();
    assert_eq!((problem.location.unwrap().line, also.location.line), (5, 3));
    ok("image: x\nexpose: [80/tcp, 80/udp, 81-90, 91-100, 53/udp]\n");
}

#[test]
fn a_spec_that_allows_everything_is_none() {
    for (items, problem) in [
        ("[1-65535]", "2:10 this allows most of all tcp ports"),
        ("[80/udp, 1-65535/sctp]", "2:18 this allows most of all sctp ports"),
        ("[0-255/raw]", "2:10 this allows most of all raw ports"),
        ("[1-30000, 30001-65535]", "2:9 together these entries allow most of all tcp ports"),
        ("[1-32768]", "2:10 this allows most of all tcp ports"),
        ("[60000-65535, 2-59999, 1]", "2:9 together these entries allow most of all tcp ports"),
    ] {
        check(&format!("image: x\nexpose: {items}\n"), &[problem]);
    }
    // Half of them is not most of them.
    ok("image: x\nexpose: [1-32767, 32769-65535/udp, 1-127/raw]\n");
}

#[test]
fn how_it_runs() {
    let run = ok(&with(
        "run:\n  command: [serve, '']\n  entrypoint: []\n  env: {A: x, B: 1.10, C: yes, D: True, E: 0x50, F: '', G: '${SECRET}'}\n  \
         user: 1000\n  hostname: web\n  volumes: ['./site:/srv:ro', 'data:/data:rw', 'a:/b']\n  \
         tmpfs: [/run, '/tmp:size=64m']\n  cap_add: [NET_ADMIN, cap_chown]\n  memory: 64MiB\n  \
         pids: 8\n  publish: [80, '0.0.0.0:8080:80/tcp']\n  egress: allow",
    ))
    .run;
    assert_eq!(run.command, Some(vec!["serve".to_owned(), String::new()]));
    assert_eq!(run.entrypoint, Some(vec![]));
    let env: Vec<_> = run.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        env,
        [
            ("A", "x"),
            ("B", "1.10"),
            ("C", "yes"),
            ("D", "True"),
            ("E", "0x50"),
            ("F", ""),
            ("G", SECRET)
        ],
    );
    assert_eq!((run.user.as_deref(), run.hostname.as_deref()), (Some("1000"), Some("web")));
    let volumes: Vec<_> = run
        .volumes
        .iter()
        .map(|it| (it.source.to_str(), it.target.as_str(), it.read_only))
        .collect();
    assert_eq!(
        volumes,
        [
            (Some("/repository/specs/./site"), "/srv", true),
            (Some("/repository/specs/data"), "/data", false),
            (Some("/repository/specs/a"), "/b", true),
        ],
    );
    assert_eq!(run.tmpfs, ["/run", "/tmp:size=64m"]);
    assert_eq!(run.cap_add, ["NET_ADMIN", "CHOWN"]);
    assert_eq!((run.memory, run.pids, run.egress), (64 << 20, 8, Egress::Allow));
    let host = |address: [u8; 4]| Ipv4Addr::from(address).into();
    assert_eq!(
        run.publish,
        PublishMode::List(vec![
            PublishEntry { host: host([127, 0, 0, 1]), host_port: 0, port: Port::tcp(80) },
            PublishEntry { host: host([0, 0, 0, 0]), host_port: 8080, port: Port::tcp(80) },
        ]),
    );
    assert_eq!(ok(&with("run: {publish: none}")).run.publish, PublishMode::None);
    assert_eq!(ok(&with("run: {memory: 1073741824}")).run.memory, 1 << 30);
    assert_eq!(ok(&with("run: {pids: '${PORT}', user: 'a:b'}")).run.pids, 8080);
}

#[test]
fn problems_of_run() {
    // The value behind `run: {KEY: ` begins in column 8 + the key's length.
    for (rest, problem) in [
        ("run: [x]", "3:6 `run` must be a map, not a list"),
        ("run:", "3:5 `run` has no value"),
        ("run: {command: serve -v}", "3:16 `command` must be a list of words, not text"),
        ("run: {command: [1]}", "3:17 `command` must be text, not a number"),
        ("run: {entrypoint: {a: b}}", "3:19 `entrypoint` must be a list, not a map"),
        ("run: {env: [A=b]}", "3:12 `env` must be a map, not a list"),
        ("run: {env: {A: ~}}", "3:16 `A` has no value"),
        ("run: {env: {A: [b]}}", "3:16 `A` must be one value, not a list"),
        ("run: {env: {'A=': b}}", "3:13 `A=` is not the name of a variable"),
        ("run: {env: {'': b}}", "3:13 `` is not the name of a variable"),
        ("run: {env: {'a b': c}}", "3:13 `a b` is not the name of a variable"),
        ("run: {user: -x}", "3:13 `-x` is not a user"),
        ("run: {user: 'a:b:c'}", "3:13 `a:b:c` is not a user"),
        ("run: {user: -1}", "3:13 `-1` is not a user"),
        ("run: {hostname: a_b}", "3:17 `a_b` is not a host name"),
        ("run: {volumes: './a:/b'}", "3:16 `volumes` must be a list, not text"),
        ("run: {volumes: [./a]}", "3:17 `./a` is not a volume"),
        ("run: {volumes: ['./a:/b:rx']}", "3:17 `./a:/b:rx` is not a volume"),
        ("run: {volumes: ['./a:b']}", "3:17 `./a:b` is not a volume"),
        ("run: {volumes: ['./a:/']}", "3:17 `./a:/` is not a volume"),
        ("run: {volumes: ['./a:/b/../c']}", "3:17 `./a:/b/../c` is not a volume"),
        ("run: {volumes: ['/etc:/b']}", "3:17 `/etc:/b` is not a relative path"),
        ("run: {tmpfs: [run]}", "3:15 `run` is not a folder in memory"),
        ("run: {tmpfs: ['/run:']}", "3:15 `/run:` is not a folder in memory"),
        ("run: {cap_add: [ALL]}", "3:17 `ALL` capabilities are more than a gate gives"),
        ("run: {cap_add: [cap_all]}", "3:17 `ALL` capabilities are more than a gate gives"),
        ("run: {cap_add: [NET_ADMN]}", "3:17 `NET_ADMN` is not a capability"),
        ("run: {cap_add: [CHOWN, CAP_CHOWN]}", "3:24 `CHOWN` is there twice"),
        ("run: {memory: 5m}", "3:15 `memory` is too little or too much for an engine"),
        ("run: {memory: 0}", "3:15 `memory` is too little or too much for an engine"),
        ("run: {memory: -1}", "3:15 `memory` is too little or too much for an engine"),
        ("run: {memory: 9999999t}", "3:15 `memory` is too little or too much for an engine"),
        ("run: {memory: 512 m}", "3:15 `512 m` is not a size"),
        ("run: {memory: 1.5}", "3:15 `memory` must be a size, not a number"),
        ("run: {pids: 0}", "3:13 `0` is out of range for `pids`"),
        ("run: {pids: '8'}", "3:13 `pids` must be a whole number, not text"),
        ("run: {publish: some}", "3:16 `some` is not a value of `publish`"),
        ("run: {publish: 80}", "3:16 `publish` must be `all`, `none` or a list, not a number"),
        ("run: {publish: ['x:80']}", "3:17 `x:80` is not a port to publish"),
        ("run: {publish: [0]}", "3:17 `0` is not a port to publish"),
        ("run: {publish: [80, '80/tcp']}", "3:21 this publishes the same port twice"),
        ("run: {publish: ['1:80', '1:81']}", "3:25 this publishes the same port twice"),
        ("run: {egress: none}", "3:15 `none` is not a value of `egress`"),
        ("run: {privileged: true}", "3:7 unknown key `privileged`"),
    ] {
        check(&with(rest), &[problem]);
    }
    check_hint(
        &with("run: {command: serve -v}"),
        "3:16 `command` must be a list of words, not text",
        "write a list, one item a word: `[serve, -v]`",
    );
    check_hint(&with("env: {A: b}"), "3:1 unknown key `env`", "it belongs below `run`");
    check_hint(
        &with("run: {environment: {}}"),
        "3:7 unknown key `environment`",
        "did you mean `env`?",
    );
    check_hint(
        &with("run: {cap_add: [SYS_ADMN]}"),
        "3:17 `SYS_ADMN` is not a capability",
        "did you mean `SYS_ADMIN`?",
    );
}

#[test]
fn readiness() {
    assert!(
        matches!(ok(&with("ready: {port: http}")).ready.when, ReadyWhen::Port(port) if port == Port::tcp(80))
    );
    assert!(matches!(ok(&with("ready: {log: '^up$'}")).ready.when, ReadyWhen::Log(_)));
    assert!(matches!(ok(&with("ready: {health: true}")).ready.when, ReadyWhen::Healthy));
    assert!(matches!(ok(&with("ready: {exit: 3}")).ready.when, ReadyWhen::Exit(3)));
    assert!(matches!(ok(&with("ready: {within: 5s}")).ready.when, ReadyWhen::Required));
    assert_eq!(ok(&with("ready: {within: 1m30s}")).ready.within, Duration::from_secs(90));
    for (http, path, status) in
        [("8080", "/", 200), ("{port: 8080/tcp, path: /up?x=1, status: 204}", "/up?x=1", 204)]
    {
        let ready = ok(&with(&format!("ready: {{http: {http}}}"))).ready;
        let ReadyWhen::Http(check) = ready.when else { panic!("{ready:?}") };
        assert_eq!(
            (check.port, check.path.as_str(), check.status),
            (Port::tcp(8080), path, status)
        );
    }
}

#[test]
fn problems_of_readiness_and_times() {
    for (rest, problem) in [
        ("ready: {port: 80-90}", "3:15 `port` must be one port, not a range"),
        ("ready: {port: 80, log: x}", "3:19 `port` and `log` are two conditions"),
        ("ready: {log: '('}", "3:14 `(` is not a regular expression"),
        ("ready: {log: '${TAG}('}", "3:14 what `${TAG}(` stands for is not a regular expression"),
        ("ready: {health: false}", "3:17 `health: false` states nothing"),
        ("ready: {exit: 256}", "3:15 `256` is out of range for `exit`"),
        ("ready: {http: {path: /}}", "3:15 `http` has no `port`"),
        ("ready: {http: 53/udp}", "3:15 HTTP is asked over tcp, not over udp"),
        ("ready: {http: 'http://x/'}", "3:15 `http` must be a map or a port, not text"),
        ("ready: {http: {port: 80, path: up}}", "3:32 `up` is not a path of a URL"),
        ("ready: {http: {port: 80, path: '/a b'}}", "3:32 `/a b` is not a path of a URL"),
        ("ready: {http: {port: 80, status: 99}}", "3:34 `99` is out of range for `status`"),
        ("ready: {within: 60}", "3:17 `within` needs a unit: 60 of what?"),
        ("ready: {within: 0s}", "3:17 `0s` is out of range for `within`"),
        ("ready: {within: 25h}", "3:17 `25h` is out of range for `within`"),
        ("ready: {within: soon}", "3:17 `soon` is not a duration"),
        ("ready: {timeout: 5s}", "3:9 unknown key `timeout`"),
        ("watch: 2", "3:8 `watch` needs a unit: 2 of what?"),
        ("watch: 1h1ms", "3:8 `1h1ms` is out of range for `watch`"),
        ("watch: [2s]", "3:8 `watch` must be a duration, not a list"),
        ("scan: none", "3:7 `none` is not a value of `scan`"),
    ] {
        check(&with(rest), &[problem]);
    }
    check_hint(
        &with("ready: {log: 'a)'}"),
        "3:14 `a)` is not a regular expression",
        "unopened group",
    );
    assert_eq!(ok(&with("watch: 0s")).watch, Duration::ZERO);
    assert_eq!(ok(&with("scan: listed")).scan, Scan::Listed);
    assert_eq!(ok(&with("scan: off")).scan, Scan::Off);
}

#[test]
fn names_platforms_and_rules() {
    let long = format!("name: {}", "x".repeat(101));
    for (rest, problem) in [
        ("name: ' x'", "3:7 ` x` is not a name"),
        ("name: \"a\\tb\"", "3:7 `a\\u{9}b` is not a name"),
        ("name: \"a\\u202eb\"", "3:7 `a\\u{202e}b` is not a name"),
        ("name: 1", "3:7 `name` must be text, not a number"),
        ("platform: linux", "3:11 `linux` is not a platform"),
        ("platform: linux/x86_64", "3:11 `linux/x86_64` is not a platform"),
        ("platform: windows/amd64", "3:11 `windows/amd64` is not a platform"),
        ("platform: linux/", "3:11 `linux/` is not a platform"),
        ("rules: {flaping: off}", "3:9 no rule is called `flaping`"),
        ("rules: {flapping: offf}", "3:19 `offf` is not a value of `flapping`"),
        ("rules: {flapping: false}", "3:19 `flapping` must be text, not `true` or `false`"),
        ("rules: {loopback-only: off}", "3:24 `loopback-only` is fixed: it always fails"),
        ("rules: [flapping]", "3:8 `rules` must be a map, not a list"),
    ] {
        check(&with(rest), &[problem]);
    }
    assert_eq!(problems(&with(&long)).len(), 1);
    let spec =
        ok(&with("name: a b\nplatform: linux/arm/v7\nrules: {flapping: off, expired: fail}"));
    assert_eq!(spec.name, "a b");
    assert_eq!(spec.platform.as_ref().map(ToString::to_string).as_deref(), Some("linux/arm/v7"));
    assert_eq!((spec.level(Rule::Flapping), spec.level(Rule::Expired)), (Level::Off, Level::Fail));
    assert_eq!(spec.levels.len(), 1);
}

#[test]
fn companions() {
    let spec = ok(&with(
        "needs:\n  db: {image: 'postgres:17', env: {POSTGRES_PASSWORD: x}, ready: {port: 5432/tcp}}\n  \
         a: {archive: a.tar, command: [x]}",
    ));
    let names: Vec<_> = spec.needs.iter().map(|companion| companion.name.as_str()).collect();
    assert_eq!(names, ["a", "db"]);
    assert_eq!(spec.needs[1].run.env["POSTGRES_PASSWORD"], "x");
    assert!(matches!(spec.needs[0].ready.when, ReadyWhen::Required));
    for (rest, problem) in [
        ("needs: [db]", "3:8 `needs` must be a map, not a list"),
        ("needs: {db: postgres}", "3:13 `db` must be a map, not text"),
        ("needs: {d_b: {image: x}}", "3:9 `d_b` cannot be the name of a companion"),
        ("needs: {localhost: {image: x}}", "3:9 `localhost` cannot be the name of a companion"),
        (
            "needs: {a: {image: x}, A: {image: x}}",
            "3:24 `A` differs from another name only in case",
        ),
        (
            "needs: {db: {env: {}}}",
            "3:13 nothing to look at: none of `image`, `build` or `archive` is there",
        ),
        ("needs: {db: {image: x, container: y}}", "3:24 unknown key `container`"),
        ("needs: {db: {image: x, publish: none}}", "3:24 unknown key `publish`"),
        ("needs: {db: {image: x, run: {}}}", "3:24 unknown key `run`"),
        (
            "needs: {db: {image: x, memory: 1}}",
            "3:32 `memory` is too little or too much for an engine",
        ),
    ] {
        check(&with(rest), &[problem]);
    }
}

#[test]
fn a_running_container_is_not_started() {
    let spec = ok("container: web-1\nexpose: [80]\nrun: {publish: none}\nready: {port: 80}\n");
    assert_eq!(spec.subject, Subject::Container("web-1".to_owned()));
    assert_eq!(spec.run.publish, PublishMode::None);
    check(
        "container: web-1\nexpose: [80]\nrun: {publish: none, memory: 1g, egress: deny}\n\
         needs: {a: {image: x}}\nplatform: linux/amd64\n",
        &[
            "3:22 `memory` means nothing for a container that already runs",
            "3:34 `egress` means nothing for a container that already runs",
            "4:1 `needs` means nothing for a container that already runs",
            "5:1 `platform` means nothing for a container that already runs",
        ],
    );
}

#[test]
fn publishing_that_contradicts_itself() {
    let required = |run: &str| {
        format!("image: x\nrun: {{{run}}}\nexpose: [{{port: 80, publish: required}}]\n")
    };
    for (text, problem) in [
        (
            required("publish: none"),
            "3:30 `80/tcp` must be published, but `run.publish` leaves it out",
        ),
        (
            required("publish: [81]"),
            "3:30 `80/tcp` must be published, but `run.publish` leaves it out",
        ),
        (
            required("egress: deny"),
            "3:30 `80/tcp` must be published, but `egress: deny` forbids it",
        ),
        (
            "image: x\nrun: {publish: [80]}\nexpose: [{port: 80, publish: never}]\n".to_owned(),
            "3:30 `80/tcp` must not be published, but `run.publish` lists it",
        ),
        (
            "image: x\nrun: {publish: [85]}\nexpose: [{port: 80-90, publish: never}]\n".to_owned(),
            "3:33 `80-90/tcp` must not be published, but `run.publish` lists it",
        ),
        (
            "image: x\nrun: {publish: [80], egress: deny}\nexpose: [80]\n".to_owned(),
            "2:7 nothing can be published from a network without a way out",
        ),
    ] {
        check(&text, &[problem]);
    }
    ok(&required("publish: [80]"));
    ok(&required("publish: all"));
    ok("image: x\nrun: {publish: none, egress: deny}\nexpose: [80]\n");
    ok("image: x\nrun: {publish: [], egress: deny}\nexpose: [{port: 80, publish: never}]\n");
}

#[test]
fn everything_is_reported_at_once_and_in_order() {
    check(
        "imagee: x\nexpose: [0, 80, 80]\nwatch: 1\nrun: {pids: 0, evn: {}}\nready: {}\n",
        &[
            "1:1 unknown key `imagee`",
            "2:10 `0` is not a port: `0` is not a number within 1-65535",
            "2:17 `80/tcp` is listed twice",
            "3:8 `watch` needs a unit: 1 of what?",
            "4:13 `0` is out of range for `pids`",
            "4:16 unknown key `evn`",
        ],
    );
}
