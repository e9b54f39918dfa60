//! What portlid says of a case, against the truth.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;

use super::plan::{Case, LAST, Planned};

/// What came of many cases.
pub(super) struct Tally {
    what: String,
    cases: usize,
    sockets: usize,
    exact: usize,
    inconclusive: usize,
    unfinished: usize,
    /// Sockets that were gone before their owner could be found.
    ownerless: usize,
    passed: usize,
    longest_gap: u64,
    /// A text for each case that is wrong, and how many are.
    wrong: Vec<String>,
    missed: usize,
    invented: usize,
}

/// The longest pause, in milliseconds, after which a look still counts as whole.
const LONGEST_GAP: u64 = 200;

/// What is wrong with a case.
#[derive(Default)]
struct Difference {
    missed: Vec<String>,
    invented: Vec<String>,
    other: Vec<String>,
}

impl Difference {
    fn is_none(&self) -> bool {
        self.missed.is_empty() && self.invented.is_empty() && self.other.is_empty()
    }
}

type Address = String;

/// The rows of a ledger that have sockets, by port and address.
struct Ledger<'a> {
    sockets: BTreeMap<(&'a str, Address), &'a Value>,
    reachable: BTreeMap<&'a str, &'a str>,
}

impl<'a> Ledger<'a> {
    fn of(report: &'a Value) -> Self {
        // The case's words for the container's own address.
        let own = report["evidence"]["addresses"][0].as_str().unwrap_or("-");
        let (mut sockets, mut reachable) = (BTreeMap::new(), BTreeMap::new());
        for row in report["ledger"].as_array().unwrap() {
            let port = row["port"].as_str().unwrap();
            reachable.insert(port, row["reachable"].as_str().unwrap());
            for socket in row["listening"].as_array().unwrap() {
                let address = socket["address"].as_str().unwrap();
                let address = if address == own { "own" } else { address };
                sockets.insert((port, address.to_owned()), socket);
            }
        }
        Self { sockets, reachable }
    }
}

impl Tally {
    pub(super) fn new(what: String) -> Self {
        Self {
            what,
            cases: 0,
            sockets: 0,
            exact: 0,
            inconclusive: 0,
            unfinished: 0,
            ownerless: 0,
            passed: 0,
            longest_gap: 0,
            wrong: Vec::new(),
            missed: 0,
            invented: 0,
        }
    }

    /// Holds what was reported against the truth.
    pub(super) fn add(&mut self, case: &Case, image: &str, report: &Value) {
        self.cases += 1;
        let gap = report["evidence"]["longest_gap_ms"].as_u64().unwrap_or(0);
        self.longest_gap = self.longest_gap.max(gap);
        let reason = report["reason"].as_str().unwrap_or_default();
        if report["verdict"] == "inconclusive" && reason.contains("nobody looked at the tables") {
            self.inconclusive += 1;
            return;
        }
        let mut difference = Difference::default();
        if report["verdict"] == "inconclusive" {
            difference.other.push(format!("inconclusive: {reason}"));
        }
        let ledger = Ledger::of(report);
        // Whoever sees the last socket has had the time to see all others.
        // After a longer pause portlid promises no more than never to pass; what it found still counts.
        let is_interrupted = gap > LONGEST_GAP && report["verdict"] == "fail";
        let is_finished = !is_interrupted
            && ledger.reachable.get(format!("{LAST}/tcp").as_str()) == Some(&"open");
        if is_finished {
            self.compare(case, &ledger, &mut difference);
            compare_findings(case, &ledger, report, &mut difference);
        }
        invented(case, &ledger, is_finished, &mut difference);
        if !difference.is_none() {
            self.missed += difference.missed.len();
            self.invented += difference.invented.len();
            self.wrong.push(format!(
                "{} ({}), longest gap {gap} ms:\n  missed: {:?}\n  invented: {:?}\n  other: {:#?}\n{}\nfindings: {:?}\n",
                case.name(),
                self.what,
                difference.missed,
                difference.invented,
                difference.other,
                case.spec(image),
                report["findings"].as_array().unwrap().iter().map(rule).collect::<Vec<_>>(),
            ));
        } else if is_finished {
            self.exact += 1;
            self.sockets += case.sockets.len() + case.clients;
            self.passed += usize::from(report["verdict"] == "pass");
        } else if is_interrupted {
            self.inconclusive += 1;
        } else {
            self.unfinished += 1;
        }
    }

    /// Every socket of the plan, with its owners, and whether a neighbour reaches it.
    fn compare(&mut self, case: &Case, ledger: &Ledger<'_>, difference: &mut Difference) {
        for planned in &case.sockets {
            let port = planned.port();
            let place = (port.as_str(), planned.site.shown.to_owned());
            let Some(seen) = ledger.sockets.get(&place) else {
                difference.missed.push(format!("{port} on {}", planned.site.shown));
                continue;
            };
            let are_known = seen["owners_known"] == true;
            let owners = grown_up(owners(seen), &planned.owners());
            // Of one that has gone, whoever held it last may be gone too.
            let are_right = match planned.life {
                None => are_known && owners == planned.owners(),
                Some(_) => {
                    self.ownerless += usize::from(owners.is_empty());
                    owners.iter().all(|owner| planned.owners().contains(owner))
                }
            };
            if !are_right {
                let wanted = planned.owners();
                difference.other.push(format!(
                    "{port} on {}: held by {owners:?} (known: {are_known}), not {wanted:?}",
                    planned.site.shown
                ));
            }
        }
        let mut by_port: BTreeMap<String, Vec<&Planned>> = BTreeMap::new();
        for planned in &case.sockets {
            by_port.entry(planned.port()).or_default().push(planned);
        }
        for (port, sockets) in by_port {
            let reachable = ledger.reachable.get(port.as_str()).copied().unwrap_or("no row");
            let lasting = |it: &&&Planned| it.site.is_reached && it.life.is_none();
            let is_right = if sockets[0].is_udp {
                reachable == "unknown"
            } else if sockets.iter().any(|it| lasting(&it)) {
                reachable == "open"
            } else if sockets.iter().all(|it| !it.site.is_reached) {
                reachable == "refused" || reachable == "unknown" && !case.is_full
            } else {
                matches!(reachable, "open" | "refused") || reachable == "unknown" && !case.is_full
            };
            if !is_right {
                difference.other.push(format!("{port} is {reachable} to a neighbour"));
            }
        }
    }

    /// One line that says it all.
    pub(super) fn say(&self, took: Duration) {
        eprintln!("accuracy {self}; {:.0} s", took.as_secs_f64());
    }

    #[track_caller]
    pub(super) fn require_exactness(self) {
        let few: String = self.wrong.iter().take(3).cloned().collect();
        assert!(self.wrong.is_empty(), "{self}\n{few}");
        // Else nothing was shown.
        assert!(self.exact * 2 >= self.cases, "too much was left undecided: {self}");
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {} cases: {} exact ({} sockets, {} passes), {} missed, {} invented, {} cases wrong; \
             undecided: {} overloaded, {} late containers; {} sockets gone before their owner was \
             known, longest gap {} ms",
            self.what,
            self.cases,
            self.exact,
            self.sockets,
            self.passed,
            self.missed,
            self.invented,
            self.wrong.len(),
            self.inconclusive,
            self.unfinished,
            self.ownerless,
            self.longest_gap,
        )
    }
}

/// Executable and user of every owner, in order.
fn owners(socket: &Value) -> Vec<(String, u64)> {
    let owner = |it: &Value| {
        (it["process"].as_str().unwrap_or("-").to_owned(), it["uid"].as_u64().unwrap_or(u64::MAX))
    };
    let mut owners: Vec<_> = socket["owners"].as_array().unwrap().iter().map(owner).collect();
    owners.sort();
    owners
}

/// The owners, with newborns as what they become: between its fork and its exec a helper is still
/// called `listener`, and holds every socket that its parent has.
fn grown_up(mut owners: Vec<(String, u64)>, wanted: &[(String, u64)]) -> Vec<(String, u64)> {
    let is_newborn = |owner: &(String, u64)| owner.0 == "listener" && !wanted.contains(owner);
    let newborns = owners.iter().filter(|owner| is_newborn(owner)).count();
    owners.retain(|owner| !is_newborn(owner));
    let unborn: Vec<_> = wanted.iter().filter(|owner| !owners.contains(owner)).cloned().collect();
    owners.extend(unborn.into_iter().filter(|owner| owner.0 == "helper").take(newborns));
    owners.sort();
    owners
}

/// Whether the ledger has a client's socket there: of a port that nobody planned.
fn is_client(case: &Case, port: &str, address: &str) -> bool {
    let number = port.strip_suffix("/udp").and_then(|number| number.parse::<u16>().ok());
    number.is_some_and(|number| (32_768..=60_999).contains(&number))
        && matches!(address, "0.0.0.0" | "::" | "127.0.0.1")
        && !case.sockets.iter().any(|it| it.port() == port)
}

/// What is in the ledger and was never there.
fn invented(case: &Case, ledger: &Ledger<'_>, is_finished: bool, difference: &mut Difference) {
    let mut clients = 0;
    for ((port, address), socket) in &ledger.sockets {
        let is_planned =
            case.sockets.iter().any(|it| it.port() == *port && it.site.shown == address);
        if is_planned {
            continue;
        }
        let is_ours = owners(socket).iter().all(|owner| owner.0 == "listener");
        if is_client(case, port, address) && is_ours {
            clients += 1;
        } else {
            difference.invented.push(format!("{port} on {address}"));
        }
    }
    let most = case.clients + case.momentary;
    if clients > most {
        difference.invented.push(format!("{} clients", clients - most));
    }
    if is_finished && clients < case.clients {
        difference.missed.push(format!("{} clients", case.clients - clients));
    }
    let ports: BTreeSet<&str> = ledger.sockets.keys().map(|(port, _)| *port).collect();
    for (port, reachable) in &ledger.reachable {
        if !ports.contains(port) && *reachable != "refused" && *reachable != "unknown" {
            difference.invented.push(format!("{port} is {reachable} with no socket"));
        }
    }
}

fn rule(finding: &Value) -> String {
    format!("{} {}", finding["rule"].as_str().unwrap(), finding["port"].as_str().unwrap_or("-"))
}

/// The findings, and the verdict that follows from them.
fn compare_findings(case: &Case, ledger: &Ledger<'_>, report: &Value, difference: &mut Difference) {
    let clients: BTreeSet<String> = ledger
        .sockets
        .keys()
        .filter(|(port, address)| is_client(case, port, address))
        .map(|(port, _)| format!("ephemeral-udp {port}"))
        .collect();
    let mut wanted = case.findings();
    wanted.extend(clients);
    let found: BTreeSet<String> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| {
            it["level"] == "fail"
                || it["rule"] == "loopback-listener"
                || it["rule"] == "ephemeral-udp"
        })
        .map(rule)
        .collect();
    for rule in wanted.difference(&found) {
        difference.other.push(format!("no finding: {rule}"));
    }
    for rule in found.difference(&wanted) {
        difference.other.push(format!("a false finding: {rule}"));
    }
    let is_bad = |rule: &String| {
        !rule.starts_with("loopback-listener") && !rule.starts_with("ephemeral-udp")
    };
    let verdict = if wanted.iter().any(is_bad) { "fail" } else { "pass" };
    if report["verdict"] != verdict {
        difference.other.push(format!("the verdict is {}, not {verdict}", report["verdict"]));
    }
}
