//! Every rule both ways, on specs and observations made by hand.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use jiff::civil::{Date, date};

use super::{Finding, Judgement, Verdict, judge};
use crate::{
    observation::{
        Answer, Observation, Owner, Owners, Published, PublishedBy, ScanResult, Socket, Spoken,
        Unseen,
    },
    rule::{Level, Rule},
    socket::{Bind, Port, PortRange, Scope, scope},
    spec::{
        Entry, Place, Publish, PublishEntry, PublishMode, Ready, Run, Scan, Source, Speaks, Spec,
        Subject,
    },
};

const TODAY: Date = date(2026, 11, 22);

/// A spec that allows `expose`.
fn spec(expose: Vec<Entry>) -> Spec {
    Spec {
        name: "web".to_owned(),
        source: Source::new("web.yaml", "image: web\nexpose: []\n"),
        subject: Subject::Image("web".to_owned()),
        platform: None,
        run: Run::default(),
        needs: Vec::new(),
        ready: Ready::default(),
        watch: Duration::ZERO,
        scan: Scan::Full,
        expose,
        levels: BTreeMap::new(),
    }
}

fn entry(ports: &str) -> Entry {
    Entry::new(ports.parse::<PortRange>().unwrap())
}

fn with(ports: &str, change: impl FnOnce(&mut Entry)) -> Entry {
    let mut entry = entry(ports);
    change(&mut entry);
    entry
}

fn optional(ports: &str) -> Entry {
    with(ports, |entry| entry.optional = true)
}

fn port(text: &str) -> Port {
    text.parse::<PortRange>().unwrap().single().unwrap()
}

fn process(name: &str, pid: u32, uid: u32) -> Owner {
    Owner { pid, executable: Some(name.into()), name: name.into(), uid }
}

fn socket(at: &str, address: &str, owners: Owners) -> Socket {
    Socket {
        port: port(at),
        address: address.parse().unwrap(),
        owners,
        first_seen: Duration::from_millis(120),
        last_seen: Duration::from_millis(2200),
    }
}

/// A socket of `server`, pid 7, uid 0.
fn listens(at: &str, address: &str) -> Socket {
    socket(at, address, Owners::Processes([process("server", 7, 0)].into()))
}

fn published(at: &str, host: &str) -> Published {
    Published { port: port(at), host: host.parse().unwrap(), host_port: 32768 }
}

/// What is seen of a container with these sockets, all of TCP answering as they should.
fn seen(sockets: Vec<Socket>) -> Observation {
    let answers = sockets
        .iter()
        .filter(|socket| scope(socket.address) != Scope::Loopback)
        .filter(|socket| socket.port.protocol == crate::socket::Protocol::Tcp)
        .map(|socket| (socket.port.number, Answer::Open))
        .collect();
    Observation {
        // Declared as far as it listens, so that a case shows only its own findings.
        declared: sockets
            .iter()
            .filter(|socket| scope(socket.address) != Scope::Loopback)
            .map(|socket| socket.port)
            .filter(|port| port.protocol.can_be_published())
            .collect(),
        published: Vec::new(),
        published_by: PublishedBy::Declaration,
        sockets,
        sockets_hidden: false,
        lost: BTreeMap::new(),
        scan: ScanResult { scanned: 65_535, answers, full: true },
        spoken: BTreeMap::new(),
        ephemeral: 32_768..=60_999,
        today: TODAY,
        blind: Vec::new(),
    }
}

fn seen_with(sockets: Vec<Socket>, change: impl FnOnce(&mut Observation)) -> Observation {
    let mut seen = seen(sockets);
    change(&mut seen);
    seen
}

/// `level rule port`, a finding each.
fn shown(judgement: &Judgement) -> Vec<String> {
    let port = |finding: &Finding| finding.port.map_or("-".to_owned(), |port| port.to_string());
    judgement
        .findings
        .iter()
        .map(|finding| format!("{} {} {}", finding.level, finding.rule, port(finding)))
        .collect()
}

#[track_caller]
fn check(spec: &Spec, seen: &Observation, expected: &[&str]) {
    assert_eq!(shown(&judge(spec, seen)), expected);
}

#[test]
fn unlisted_listener() {
    let nothing = spec(vec![]);
    for (sockets, expected) in [
        (vec![], vec![]),
        (vec![listens("80/tcp", "0.0.0.0")], vec!["fail unlisted-listener 80/tcp"]),
        (vec![listens("80/tcp", "::")], vec!["fail unlisted-listener 80/tcp"]),
        (vec![listens("80/tcp", "172.17.0.2")], vec!["fail unlisted-listener 80/tcp"]),
        (vec![listens("53/udp", "0.0.0.0")], vec!["fail unlisted-listener 53/udp"]),
        (vec![listens("5/sctp", "::")], vec!["fail unlisted-listener 5/sctp"]),
        (vec![listens("5/udplite", "::")], vec!["fail unlisted-listener 5/udplite"]),
        (vec![listens("1/raw", "0.0.0.0")], vec!["fail unlisted-listener 1/raw"]),
        // One finding, however many sockets there are.
        (
            vec![listens("80/tcp", "0.0.0.0"), listens("80/tcp", "::")],
            vec!["fail unlisted-listener 80/tcp"],
        ),
        // A mapped address is what it maps.
        (vec![listens("80/tcp", "::ffff:127.0.0.1")], vec!["note loopback-listener 80/tcp"]),
        (vec![listens("80/tcp", "::ffff:10.0.0.1")], vec!["fail unlisted-listener 80/tcp"]),
    ] {
        let seen = seen_with(sockets, |seen| seen.declared.clear());
        check(&nothing, &seen, &expected);
    }
    // Another port, or the same number of another protocol, is not allowed by an entry.
    let web = spec(vec![entry("80/tcp")]);
    check(&web, &seen(vec![listens("80/tcp", "0.0.0.0")]), &[]);
    let both = seen_with(vec![listens("80/tcp", "::"), listens("80/udp", "::")], |seen| {
        seen.declared.remove(&port("80/udp"));
    });
    check(&web, &both, &["fail unlisted-listener 80/udp"]);
}

#[test]
fn a_range_allows_each_of_its_ports_and_requires_none() {
    let range = spec(vec![entry("8000-8010/tcp")]);
    check(&range, &seen(vec![listens("8005/tcp", "0.0.0.0")]), &[]);
    check(&range, &seen(vec![]), &["warn unused-entry -"]);
    check(
        &range,
        &seen_with(vec![listens("8011/tcp", "0.0.0.0")], |seen| seen.declared.clear()),
        &["fail unlisted-listener 8011/tcp", "warn unused-entry -"],
    );
}

#[test]
fn missing_listener_and_loopback_only() {
    let web = spec(vec![entry("80/tcp")]);
    check(&web, &seen(vec![]), &["fail missing-listener 80/tcp"]);
    for address in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
        let seen = seen(vec![listens("80/tcp", address)]);
        let judgement = judge(&web, &seen);
        assert_eq!(shown(&judgement), ["fail loopback-only 80/tcp"], "{address}");
        assert!(judgement.findings[0].help.contains("0.0.0.0"));
    }
    // One socket that others can reach is enough.
    let both = seen(vec![listens("80/tcp", "127.0.0.1"), listens("80/tcp", "172.17.0.2")]);
    check(&web, &both, &[]);
    check(&spec(vec![optional("80/tcp")]), &seen(vec![]), &["warn unused-entry 80/tcp"]);
    for bind in [Bind::Loopback, "127.0.0.1".parse().unwrap(), "127.0.0.0/8".parse().unwrap()] {
        let inside = spec(vec![with("80/tcp", |entry| entry.bind = bind)]);
        check(&inside, &seen(vec![listens("80/tcp", "127.0.0.1")]), &[]);
    }
}

#[test]
fn bound_too_wide() {
    for (bind, address, too_wide) in [
        ("any", "0.0.0.0", false),
        ("loopback", "127.0.0.1", false),
        ("loopback", "::1", false),
        ("loopback", "0.0.0.0", true),
        ("loopback", "::", true),
        ("loopback", "172.17.0.2", true),
        ("172.17.0.2", "172.17.0.2", false),
        ("172.17.0.2", "172.17.0.3", true),
        ("172.17.0.2", "0.0.0.0", true),
        ("172.16.0.0/12", "172.17.0.2", false),
        ("172.16.0.0/12", "10.0.0.2", true),
        ("172.16.0.0/12", "0.0.0.0", true),
        ("0.0.0.0/0", "0.0.0.0", false),
        ("0.0.0.0/0", "::", true),
    ] {
        let spec = spec(vec![with("80/tcp", |entry| entry.bind = bind.parse().unwrap())]);
        let seen = seen_with(vec![listens("80/tcp", address)], |seen| {
            seen.declared = [port("80/tcp")].into();
        });
        let found = judge(&spec, &seen).findings.iter().any(|it| it.rule == Rule::BoundTooWide);
        assert_eq!(found, too_wide, "{bind} {address}");
    }
}

#[test]
fn wrong_process_and_wrong_user() {
    let owned_by = |owners: &[Owner]| {
        let owners = Owners::Processes(owners.iter().cloned().collect());
        seen(vec![socket("80/tcp", "0.0.0.0", owners)])
    };
    let by_name = spec(vec![with("80/tcp", |entry| entry.process = Some("nginx".to_owned()))]);
    let by_uid = spec(vec![with("80/tcp", |entry| entry.user = Some(101))]);
    let renamed = Owner { executable: Some("python3.11".into()), ..process("nginx", 9, 101) };
    let hidden = Owner { executable: None, ..process("nginx", 9, 101) };
    check(&by_name, &owned_by(&[process("nginx", 7, 0), process("nginx", 8, 33)]), &[]);
    check(&by_name, &owned_by(&[renamed]), &[]);
    check(&by_name, &owned_by(&[hidden]), &[]);
    check(&by_name, &owned_by(&[process("node", 7, 0)]), &["fail wrong-process 80/tcp"]);
    // One stranger among many is one too many.
    check(
        &by_name,
        &owned_by(&[process("nginx", 7, 0), process("sh", 8, 0)]),
        &["fail wrong-process 80/tcp"],
    );
    check(&by_uid, &owned_by(&[process("a", 7, 101)]), &[]);
    check(
        &by_uid,
        &owned_by(&[process("a", 7, 101), process("a", 6, 0)]),
        &["fail wrong-user 80/tcp"],
    );
    let outside = seen(vec![socket("80/tcp", "0.0.0.0", Owners::Outside)]);
    check(&by_name, &outside, &["fail wrong-process 80/tcp"]);
    check(&by_uid, &outside, &["fail wrong-user 80/tcp"]);
}

#[test]
fn an_owner_that_could_not_be_found_out_never_passes() {
    let unknown = seen(vec![socket("80/tcp", "0.0.0.0", Owners::Unknown)]);
    for change in [
        (|entry: &mut Entry| entry.process = Some("nginx".to_owned())) as fn(&mut Entry),
        |entry: &mut Entry| entry.user = Some(0),
    ] {
        let judgement = judge(&spec(vec![with("80/tcp", change)]), &unknown);
        assert_eq!(shown(&judgement), [""; 0]);
        assert_eq!(judgement.verdict(), Verdict::Inconclusive);
    }
    // Where nothing is said of it, it does not matter.
    assert_eq!(judge(&spec(vec![entry("80/tcp")]), &unknown).verdict(), Verdict::Pass);
}

#[test]
fn wrong_protocol() {
    let speaks = |wanted| spec(vec![with("80/tcp", |entry| entry.speaks = Some(wanted))]);
    let heard = |spoken: Option<Spoken>| {
        seen_with(vec![listens("80/tcp", "0.0.0.0")], |seen| {
            seen.spoken = spoken.map(|spoken| (port("80/tcp"), spoken)).into_iter().collect();
        })
    };
    let (http, redis) = (Spoken::Recognised(Speaks::Http), Spoken::Recognised(Speaks::Redis));
    for (wanted, spoken, verdict) in [
        (Speaks::Http, Some(http), Verdict::Pass),
        (Speaks::Http, Some(redis), Verdict::Fail),
        (Speaks::Http, Some(Spoken::Unrecognised), Verdict::Fail),
        (Speaks::Http, Some(Spoken::Mute), Verdict::Fail),
        (Speaks::Http, Some(Spoken::NotAsked), Verdict::Inconclusive),
        (Speaks::Http, None, Verdict::Inconclusive),
        (Speaks::Plain, Some(redis), Verdict::Pass),
        (Speaks::Plain, Some(Spoken::Mute), Verdict::Pass),
        (Speaks::Plain, Some(Spoken::NotAsked), Verdict::Inconclusive),
    ] {
        let judgement = judge(&speaks(wanted), &heard(spoken));
        assert_eq!(judgement.verdict(), verdict, "{wanted:?} {spoken:?}");
        let expected: &[&str] =
            if verdict == Verdict::Fail { &["fail wrong-protocol 80/tcp"] } else { &[] };
        assert_eq!(shown(&judgement), expected);
    }
}

#[test]
fn what_the_image_declares() {
    let declares = |sockets, declared: &[&str]| {
        let declared: BTreeSet<Port> = declared.iter().map(|text| port(text)).collect();
        seen_with(sockets, |seen| seen.declared = declared)
    };
    let web = spec(vec![entry("80/tcp")]);
    let open = || vec![listens("80/tcp", "0.0.0.0")];
    check(&web, &declares(open(), &["80/tcp"]), &[]);
    check(&web, &declares(open(), &[]), &["note undeclared-port 80/tcp"]);
    check(
        &web,
        &declares(open(), &["80/tcp", "443/tcp"]),
        &["fail unlisted-expose 443/tcp", "warn silent-expose 443/tcp"],
    );
    let two = spec(vec![entry("80/tcp"), optional("443/tcp")]);
    check(&two, &declares(open(), &["80/tcp", "443/tcp"]), &["warn silent-expose 443/tcp"]);
    // Raw sockets cannot be declared, and what is for the container alone need not be.
    check(&spec(vec![entry("1/raw")]), &declares(vec![listens("1/raw", "0.0.0.0")], &[]), &[]);
    let inside = spec(vec![with("80/tcp", |entry| entry.bind = Bind::Loopback)]);
    check(&inside, &declares(vec![listens("80/tcp", "127.0.0.1")], &[]), &[]);
}

#[test]
fn what_is_published() {
    let publishes = |by, ports: &[(&str, &str)]| {
        seen_with(vec![listens("80/tcp", "0.0.0.0")], |seen| {
            seen.published_by = by;
            seen.published = ports.iter().map(|(at, host)| published(at, host)).collect();
        })
    };
    let web = |publish| spec(vec![with("80/tcp", |entry| entry.publish = publish)]);
    let listed = |host: &str| {
        let mut spec = web(Publish::Allowed);
        let host: IpAddr = host.parse().unwrap();
        spec.run.publish =
            PublishMode::List(vec![PublishEntry { host, host_port: 0, port: port("80/tcp") }]);
        spec
    };
    use PublishedBy::{Declaration, Others, Spec as Listed};
    let local = &[("80/tcp", "127.0.0.1")];
    check(&web(Publish::Allowed), &publishes(Declaration, local), &[]);
    check(&web(Publish::Required), &publishes(Declaration, local), &[]);
    check(&web(Publish::Required), &publishes(Declaration, &[]), &["fail missing-publish 80/tcp"]);
    check(&web(Publish::Never), &publishes(Declaration, &[]), &[]);
    check(&web(Publish::Never), &publishes(Listed, local), &["fail unlisted-publish 80/tcp"]);
    // As wide as asked is not too wide.
    for (asked, host, too_wide) in [
        ("127.0.0.1", "127.0.0.1", false),
        ("127.0.0.1", "0.0.0.0", true),
        ("127.0.0.1", "::", true),
        ("10.0.0.1", "10.0.0.1", false),
        ("10.0.0.1", "127.0.0.1", false),
        ("10.0.0.1", "10.0.0.2", true),
        ("0.0.0.0", "0.0.0.0", false),
        ("0.0.0.0", "::", false),
    ] {
        let seen = publishes(Listed, &[("80/tcp", host)]);
        let expected: &[&str] = if too_wide { &["fail publish-too-wide 80/tcp"] } else { &[] };
        assert_eq!(shown(&judge(&listed(asked), &seen)), expected, "{asked} {host}");
    }
    // Somebody else's container: nobody asked for anything, so loopback is the measure.
    check(
        &web(Publish::Allowed),
        &publishes(Others, &[("80/tcp", "0.0.0.0"), ("80/tcp", "::")]),
        &["fail publish-too-wide 80/tcp"],
    );
    check(&listed("0.0.0.0"), &publishes(Others, &[("80/tcp", "0.0.0.0")]), &[]);
    check(
        &web(Publish::Allowed),
        &publishes(Others, &[("9/tcp", "127.0.0.1")]),
        &["fail unlisted-publish 9/tcp", "fail dead-publish 9/tcp"],
    );
}

#[test]
fn a_publish_that_only_follows_the_declaration_is_judged_no_harder_than_it() {
    let seen = |by| {
        seen_with(vec![], |seen| {
            seen.declared = [port("443/tcp")].into();
            seen.published = vec![published("443/tcp", "127.0.0.1")];
            seen.published_by = by;
        })
    };
    let may = spec(vec![optional("443/tcp")]);
    check(
        &may,
        &seen(PublishedBy::Declaration),
        &["warn silent-expose 443/tcp", "warn dead-publish 443/tcp"],
    );
    check(
        &may,
        &seen(PublishedBy::Spec),
        &["fail dead-publish 443/tcp", "warn silent-expose 443/tcp"],
    );
    let mut lenient = spec(vec![]);
    lenient.levels.insert(Rule::UnlistedExpose, Level::Note);
    lenient.levels.insert(Rule::SilentExpose, Level::Off);
    check(
        &lenient,
        &seen(PublishedBy::Declaration),
        &["note unlisted-expose 443/tcp", "note unlisted-publish 443/tcp"],
    );
    // A required port that is dead is dead.
    check(
        &spec(vec![entry("443/tcp")]),
        &seen(PublishedBy::Declaration),
        &[
            "fail missing-listener 443/tcp",
            "fail dead-publish 443/tcp",
            "warn silent-expose 443/tcp",
        ],
    );
}

#[test]
fn dead_publish_is_not_fooled_by_loopback() {
    let seen = seen_with(vec![listens("80/tcp", "127.0.0.1")], |seen| {
        seen.published = vec![published("80/tcp", "127.0.0.1")];
        seen.published_by = PublishedBy::Spec;
    });
    check(
        &spec(vec![entry("80/tcp")]),
        &seen,
        &["fail loopback-only 80/tcp", "fail dead-publish 80/tcp"],
    );
}

#[test]
fn what_a_neighbour_is_answered() {
    let answers = |sockets, answers: &[(u16, Answer)]| {
        seen_with(sockets, |seen| seen.scan.answers = answers.iter().copied().collect())
    };
    let web = spec(vec![entry("80/tcp")]);
    let open = || vec![listens("80/tcp", "0.0.0.0")];
    check(&web, &answers(open(), &[(80, Answer::Open)]), &[]);
    check(&web, &answers(open(), &[]), &["fail unreachable 80/tcp"]);
    check(&web, &answers(open(), &[(80, Answer::Refused)]), &["fail unreachable 80/tcp"]);
    check(&web, &answers(open(), &[(80, Answer::Silent)]), &["fail unreachable 80/tcp"]);
    check(
        &web,
        &answers(open(), &[(80, Answer::Open), (8080, Answer::Open)]),
        &["fail unlisted-reachable 8080/tcp"],
    );
    check(&web, &answers(open(), &[(80, Answer::Open), (8080, Answer::Silent)]), &[]);
    // What an entry allows is a socket, not a redirect.
    let two = spec(vec![entry("80/tcp"), optional("8080/tcp")]);
    check(
        &two,
        &answers(open(), &[(80, Answer::Open), (8080, Answer::Open)]),
        &["fail unlisted-reachable 8080/tcp", "warn unused-entry 8080/tcp"],
    );
    // Nor is a socket on loopback what a neighbour is answered by.
    let inside = spec(vec![with("80/tcp", |entry| entry.bind = Bind::Loopback)]);
    let redirected = answers(vec![listens("80/tcp", "127.0.0.1")], &[(80, Answer::Open)]);
    check(&inside, &redirected, &["fail unlisted-reachable 80/tcp"]);
    // Without a scan nothing is said.
    let blind = seen_with(open(), |seen| seen.scan = ScanResult::default());
    check(&web, &blind, &[]);
}

#[test]
fn flapping() {
    let web = spec(vec![entry("80/tcp")]);
    let lost = seen_with(vec![listens("80/tcp", "0.0.0.0")], |seen| {
        seen.lost.insert(port("80/tcp"), Duration::from_secs(1));
    });
    check(&web, &lost, &["fail flapping 80/tcp"]);
    check(&spec(vec![optional("80/tcp")]), &lost, &[]);
}

#[test]
fn ephemeral_udp() {
    let nothing = spec(vec![]);
    for (at, expected) in [
        ("32767/udp", "fail unlisted-listener 32767/udp"),
        ("32768/udp", "note ephemeral-udp 32768/udp"),
        ("60999/udp", "note ephemeral-udp 60999/udp"),
        ("61000/udp", "fail unlisted-listener 61000/udp"),
        ("40000/udplite", "fail unlisted-listener 40000/udplite"),
        ("40000/tcp", "fail unlisted-listener 40000/tcp"),
    ] {
        let seen = seen_with(vec![listens(at, "0.0.0.0")], |seen| seen.declared.clear());
        check(&nothing, &seen, &[expected]);
    }
    // Wherever it is seen while it is being connected.
    let inside = seen_with(vec![listens("40000/udp", "127.0.0.1")], |seen| seen.declared.clear());
    check(&nothing, &inside, &["note ephemeral-udp 40000/udp"]);
    // The range is the namespace's own.
    let narrow = seen_with(vec![listens("40000/udp", "0.0.0.0")], |seen| {
        seen.declared.clear();
        seen.ephemeral = 50_000..=50_010;
    });
    check(&nothing, &narrow, &["fail unlisted-listener 40000/udp"]);
    // A server there is listed like any other.
    let listed = spec(vec![entry("40000/udp")]);
    check(&listed, &seen(vec![listens("40000/udp", "0.0.0.0")]), &[]);
}

#[test]
fn the_engines_sockets_are_told_by_their_owner() {
    let nothing = spec(vec![]);
    // What announces the address to neighbours, for a moment.
    let evil = Owners::Processes([process("evil", 7, 0)].into());
    for (port, address, owners, expected) in [
        ("58/raw", "::1", Owners::Outside, vec![]),
        ("58/raw", "::1", evil, vec!["note loopback-listener 58/raw"]),
        ("58/raw", "::1", Owners::Unknown, vec!["note loopback-listener 58/raw"]),
        ("58/raw", "::", Owners::Outside, vec!["fail unlisted-listener 58/raw"]),
        ("1/raw", "::1", Owners::Outside, vec!["note loopback-listener 1/raw"]),
        ("58/tcp", "::1", Owners::Outside, vec!["note loopback-listener 58/tcp"]),
    ] {
        check(&nothing, &seen(vec![socket(port, address, owners)]), &expected);
    }
    for (address, owners, expected) in [
        ("127.0.0.11", Owners::Outside, vec![]),
        (
            "127.0.0.11",
            Owners::Processes([process("evil", 7, 0)].into()),
            vec!["note loopback-listener 41000/tcp"],
        ),
        ("127.0.0.11", Owners::Unknown, vec!["note loopback-listener 41000/tcp"]),
        ("127.0.0.12", Owners::Outside, vec!["note loopback-listener 41000/tcp"]),
    ] {
        check(&nothing, &seen(vec![socket("41000/tcp", address, owners)]), &expected);
    }
}

#[test]
fn expired_with_the_day_after_until() {
    for (until, expected) in [
        (TODAY.tomorrow().unwrap(), vec![]),
        (TODAY, vec![]),
        (TODAY.yesterday().unwrap(), vec!["fail expired 80/tcp"]),
    ] {
        let spec = spec(vec![with("80/tcp", |entry| entry.until = Some(until))]);
        check(&spec, &seen(vec![listens("80/tcp", "0.0.0.0")]), &expected);
    }
}

#[test]
fn an_optional_entry_is_used_by_any_of_the_views() {
    let may = spec(vec![optional("80/tcp")]);
    check(&may, &seen(vec![]), &["warn unused-entry 80/tcp"]);
    check(&may, &seen(vec![listens("80/tcp", "127.0.0.1")]), &[]);
    let declared = seen_with(vec![], |seen| seen.declared = [port("80/tcp")].into());
    check(&may, &declared, &["warn silent-expose 80/tcp"]);
}

#[test]
fn levels_of_the_spec_hold_and_off_is_silent() {
    let mut spec = spec(vec![entry("80/tcp")]);
    let seen = seen_with(vec![listens("80/tcp", "0.0.0.0")], |seen| seen.declared.clear());
    for (level, expected) in [
        (Level::Fail, vec!["fail undeclared-port 80/tcp"]),
        (Level::Warn, vec!["warn undeclared-port 80/tcp"]),
        (Level::Off, vec![]),
    ] {
        spec.levels.insert(Rule::UndeclaredPort, level);
        check(&spec, &seen, &expected);
    }
}

/// Where no socket can be seen, an answer is all that is known of a port.
#[test]
fn where_sockets_are_hidden_a_scan_breaks_the_rules_that_it_can() {
    let hidden = |answers: &[(u16, Answer)]| {
        let mut seen = answers_of_nobody(answers);
        seen.sockets_hidden = true;
        seen
    };
    let inside = Entry { bind: Bind::Loopback, ..entry("81/tcp") };
    let web = spec(vec![entry("80/tcp"), inside]);
    let of_the_scan = |judgement: &Judgement| {
        let scanned = |finding: &&Finding| finding.rule == Rule::UnlistedReachable;
        let found = judgement.findings.iter().filter(scanned);
        found.map(|finding| (finding.port, finding.message.clone())).collect::<Vec<_>>()
    };
    let open =
        |ports: &[u16]| hidden(&ports.iter().map(|it| (*it, Answer::Open)).collect::<Vec<_>>());
    assert_eq!(of_the_scan(&judge(&web, &open(&[80]))), []);
    let unlisted = of_the_scan(&judge(&web, &open(&[80, 81, 82])));
    assert_eq!(
        unlisted,
        [
            (
                Some(Port::tcp(81)),
                "a neighbour is answered on it, and its entry allows loopback only".to_owned()
            ),
            (
                Some(Port::tcp(82)),
                "a neighbour is answered on it, and no entry allows it".to_owned()
            ),
        ]
    );
    assert!(Rule::UnlistedReachable.holds_of_a_part());
}

fn answers_of_nobody(answers: &[(u16, Answer)]) -> Observation {
    seen_with(vec![], |seen| seen.scan.answers = answers.iter().copied().collect())
}

#[test]
fn what_the_look_was_blind_to_never_passes() {
    let seen = seen_with(vec![], |seen| {
        seen.blind.push(Unseen::new("the engine did not publish", "ask it"));
    });
    assert_eq!(judge(&spec(vec![]), &seen).verdict(), Verdict::Inconclusive);
    // But a broken rule is broken.
    assert_eq!(judge(&spec(vec![entry("80/tcp")]), &seen).verdict(), Verdict::Fail);
}

#[test]
fn findings_name_the_place_the_holder_and_the_danger() {
    let spec = spec(vec![entry("80/tcp")]);
    let inspector = Owners::Processes([process("node", 12, 1000)].into());
    let seen = seen_with(
        vec![
            listens("80/tcp", "0.0.0.0"),
            socket("9229/tcp", "::", inspector.clone()),
            socket("9229/tcp", "172.17.0.2", inspector),
        ],
        |seen| seen.declared = [port("80/tcp")].into(),
    );
    let judgement = judge(&spec, &seen);
    let [finding] = judgement.findings.as_slice() else { panic!("{judgement:?}") };
    assert_eq!(finding.place, Place::Expose);
    assert_eq!(
        finding.message,
        "`node` (pid 12, uid 1000) listens on `::`, `172.17.0.2`, and no entry allows it"
    );
    assert!(finding.help.contains("Node.js inspector"), "{}", finding.help);
    assert!(finding.help.contains("without its debug agent"), "{}", finding.help);
    assert!(finding.help.contains("`- port: 9229/tcp`"), "{}", finding.help);
    let addresses: Vec<String> = finding.addresses.iter().map(IpAddr::to_string).collect();
    assert_eq!(addresses, ["::", "172.17.0.2"], "the widest comes first");
    assert_eq!(finding.first_seen, Some(Duration::from_millis(120)));
}

#[test]
fn names_of_processes_are_escaped() {
    let evil = Owners::Processes([process("\u{1b}[2J##[error]", 7, 0)].into());
    let seen = seen(vec![socket("80/tcp", "0.0.0.0", evil)]);
    for finding in judge(&spec(vec![]), &seen).findings {
        assert!(!finding.message.contains('\u{1b}'), "{}", finding.message);
        assert!(!finding.message.contains("##["), "{}", finding.message);
    }
}

#[test]
fn the_most_severe_comes_first_then_the_port() {
    let seen = seen_with(
        vec![listens("90/tcp", "::"), listens("20/tcp", "::"), listens("10/tcp", "127.0.0.1")],
        |seen| seen.declared.clear(),
    );
    check(
        &spec(vec![]),
        &seen,
        &[
            "fail unlisted-listener 20/tcp",
            "fail unlisted-listener 90/tcp",
            "note loopback-listener 10/tcp",
        ],
    );
}
