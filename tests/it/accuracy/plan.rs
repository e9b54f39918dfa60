//! What a case's container does, what its spec says of that, and so what must be found.

use std::{collections::BTreeSet, net::IpAddr};

use super::dice::Dice;

/// Where a socket is bound: as the fixture takes it, as the ledger shows it, and whether a neighbour
/// on IPv4 reaches it.
#[derive(Debug, PartialEq)]
pub(super) struct Site {
    bind: &'static str,
    is_v6only: bool,
    /// `own` is the container's own address.
    pub(super) shown: &'static str,
    pub(super) is_reached: bool,
}

const fn site(bind: &'static str, is_v6only: bool, shown: &'static str, is_reached: bool) -> Site {
    Site { bind, is_v6only, shown, is_reached }
}

const ANY4: Site = site("0.0.0.0", false, "0.0.0.0", true);
const ANY6: Site = site("[::]", true, "::", false);
const DUAL: Site = site("[::]", false, "::", true);
const MAPPED_ANY: Site = site("[::ffff:0.0.0.0]", false, "0.0.0.0", true);
const LOOP4: Site = site("127.0.0.1", false, "127.0.0.1", false);
const LOOP4_TOO: Site = site("127.0.0.2", false, "127.0.0.2", false);
const LOOP6: Site = site("[::1]", true, "::1", false);
const LOOP6_OPEN: Site = site("[::1]", false, "::1", false);
const MAPPED_LOOP: Site = site("[::ffff:127.0.0.1]", false, "127.0.0.1", false);
const OWN: Site = site("own", false, "own", true);
const MAPPED_OWN: Site = site("[::ffff:own]", false, "own", true);
/// An address that the container does not have.
const STRANGE6: Site = site("[fd00:db8::7]", true, "fd00:db8::7", false);

/// What one port's sockets may be bound to together.
const SETS: &[&[Site]] = &[
    &[ANY4],
    &[ANY4],
    &[ANY6],
    &[DUAL],
    &[DUAL],
    &[MAPPED_ANY],
    &[LOOP4],
    &[LOOP4],
    &[LOOP6],
    &[LOOP6_OPEN],
    &[MAPPED_LOOP],
    &[OWN],
    &[MAPPED_OWN],
    &[STRANGE6],
    &[ANY4, ANY6],
    &[LOOP4, OWN],
    &[LOOP4, LOOP4_TOO],
    &[LOOP4, LOOP6],
    &[MAPPED_LOOP, ANY6],
    &[OWN, MAPPED_LOOP],
    &[ANY4, LOOP6],
];

impl Site {
    pub(super) fn is_loopback(&self) -> bool {
        self.shown.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// One socket that accepts traffic, or several that share all of port and address.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) number: u16,
    pub(super) is_udp: bool,
    pub(super) site: &'static Site,
    /// How many more processes hold it.
    helpers: usize,
    /// Whether each of them has a socket of its own.
    is_shared: bool,
    /// Milliseconds after the start.
    opens: u64,
    /// Milliseconds; for ever without.
    pub(super) life: Option<u64>,
}

impl Planned {
    pub(super) fn port(&self) -> String {
        format!("{}/{}", self.number, if self.is_udp { "udp" } else { "tcp" })
    }

    /// Executable and user of each process that holds it, in order.
    pub(super) fn owners(&self) -> Vec<(String, u64)> {
        let helper = |index| ("helper".to_owned(), if index % 2 == 1 { 1000 } else { 0 });
        let mut owners: Vec<_> = (0..self.helpers).map(helper).collect();
        owners.push(("listener".to_owned(), 0));
        owners.sort();
        owners
    }

    /// Whether it looks like a client's socket.
    pub(super) fn is_ephemeral(&self) -> bool {
        self.is_udp && EPHEMERAL.contains(&self.number)
    }

    fn step(&self) -> String {
        let kind = match (self.is_udp, self.is_shared, self.site.is_v6only) {
            (false, true, _) => "many",
            (true, true, _) => "udpmany",
            (false, false, false) => "tcp",
            (false, false, true) => "tcp6only",
            (true, false, false) => "udp",
            (true, false, true) => "udp6only",
        };
        let holders = if self.helpers == 0 { String::new() } else { format!("*{}", self.helpers) };
        let (bind, number, opens) = (self.site.bind, self.number, self.opens);
        let life = self.life.map_or(String::new(), |life| format!("+{life}"));
        format!("{kind}{holders}:{bind}:{number}@{opens}{life}")
    }
}

const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;
/// Two ports that every case has: the first opens in the middle, the last when all is done.
pub(super) const FIRST: u16 = 64_001;
pub(super) const LAST: u16 = 64_002;
/// From here on numbers are for other things than listeners.
const RESERVED: u16 = 64_000;
/// How many helpers one case may have: each is a process.
const MOST_HELPERS: usize = 24;

/// What an entry of the spec says of a port.
#[derive(Debug, PartialEq)]
enum Allowed {
    Required,
    Optional,
    Inside,
}

/// A container, its spec and the truth.
#[derive(Debug)]
pub(super) struct Case {
    number: usize,
    pub(super) sockets: Vec<Planned>,
    /// Clients' sockets: unconnected UDP, on ports that the kernel chooses.
    pub(super) clients: usize,
    /// Sockets that are a client's for the moment between being bound and being connected.
    pub(super) momentary: usize,
    entries: Vec<(String, Allowed)>,
    /// Steps that open nothing that accepts traffic, and clients.
    others: Vec<String>,
    pub(super) is_full: bool,
}

impl Case {
    pub(super) fn new(number: usize, mut dice: Dice) -> Self {
        let first_opens = dice.between(100, 400);
        let mut case = Self {
            number,
            sockets: sockets(&mut dice, first_opens),
            clients: 0,
            momentary: 0,
            entries: Vec::new(),
            others: Vec::new(),
            is_full: dice.percent(25),
        };
        case.add_others(&mut dice, first_opens);
        case.add_entries(&mut dice);
        case
    }

    pub(super) fn name(&self) -> String {
        format!("case-{:05}", self.number)
    }

    fn add_others(&mut self, dice: &mut Dice, first_opens: u64) {
        // Clients come after every socket in the ephemeral range, so that they find another port.
        for _ in 0..dice.between(0, 3) {
            let any = dice.one_of(&["0.0.0.0", "[::]"]);
            self.others.push(format!("client:{any}:0@50"));
            self.clients += 1;
        }
        if dice.percent(40) {
            self.others.push(format!("client:0.0.0.0:0@60+{}", dice.between(200, 400)));
            self.clients += 1;
        }
        for index in 0..dice.between(0, 3) {
            self.momentary += 1;
            self.others.push(format!("talk:127.0.0.1:{}@{}", 9 + index, dice.between(50, 500)));
            self.others.push(format!("bound:0.0.0.0:{}@0", RESERVED + 10 + index as u16));
            self.others.push(format!("pair:127.0.0.1:{FIRST}@{}", first_opens + 1));
        }
        // Nothing for a moment, so that one reading of a table does not see the last socket and
        // miss one before it.
        self.others.push(format!("pause:150@{}", first_opens + AFTER_FIRST));
    }

    fn add_entries(&mut self, dice: &mut Dice) {
        let share = if dice.percent(50) { 100 } else { 70 };
        let ports: BTreeSet<String> = self.sockets.iter().map(Planned::port).collect();
        for port in ports {
            let sockets: Vec<&Planned> =
                self.sockets.iter().filter(|it| it.port() == port).collect();
            let is_inside = sockets.iter().all(|it| it.site.is_loopback());
            let is_ready = sockets
                .iter()
                .any(|it| !it.is_udp && it.site.is_reached && it.life.is_none() && it.opens == 0);
            let allowed = if sockets[0].number == FIRST {
                Allowed::Required
            } else if sockets[0].number == LAST {
                Allowed::Optional
            } else if is_inside {
                match dice.between(0, 3) {
                    0 => Allowed::Inside,
                    1 => Allowed::Optional,
                    _ => continue,
                }
            } else if sockets[0].is_ephemeral() && dice.percent(50) || !dice.percent(share) {
                continue;
            } else if share < 100 && dice.percent(5) {
                Allowed::Inside
            } else if is_ready && dice.percent(50) {
                Allowed::Required
            } else {
                Allowed::Optional
            };
            self.entries.push((port, allowed));
        }
    }

    /// The spec as YAML.
    pub(super) fn spec(&self, image: &str) -> String {
        // The fixture keeps the order of steps that are due at the same time.
        let mut steps: Vec<String> = self.sockets.iter().map(Planned::step).collect();
        steps.extend(self.others.iter().cloned());
        let steps: Vec<String> = steps.iter().map(|step| format!("{step:?}")).collect();
        let entries: String = self
            .entries
            .iter()
            .map(|(port, allowed)| match allowed {
                Allowed::Required => format!("  - {port}\n"),
                Allowed::Optional => format!("  - {{ port: {port}, optional: true }}\n"),
                Allowed::Inside => {
                    format!("  - {{ port: {port}, optional: true, bind: loopback }}\n")
                }
            })
            .collect();
        let scan = if self.is_full { "full" } else { "listed" };
        format!(
            "image: {image}\nrun:\n  command: [\"plan\", {}]\nready: {{ within: 30s }}\n\
             watch: {WATCH}ms\nscan: {scan}\nexpose:\n{entries}",
            steps.join(", ")
        )
    }

    /// `RULE PORT` of every finding that there must be, apart from those about clients.
    pub(super) fn findings(&self) -> BTreeSet<String> {
        let mut findings = BTreeSet::new();
        for socket in &self.sockets {
            let port = socket.port();
            let entry = self.entries.iter().find(|(of, _)| *of == port).map(|(_, it)| it);
            let is_inside = socket.site.is_loopback();
            let rule = match entry {
                None if socket.is_ephemeral() => "ephemeral-udp",
                None if is_inside => "loopback-listener",
                None => "unlisted-listener",
                Some(Allowed::Inside) if !is_inside => "bound-too-wide",
                Some(_) => continue,
            };
            findings.insert(format!("{rule} {port}"));
        }
        findings
    }
}

/// How long the first port is open before the plan ends.
const AFTER_FIRST: u64 = 450;
/// How long portlid watches from then on. The container has the rest for being late.
const WATCH: u64 = 1000;

fn sockets(dice: &mut Dice, first_opens: u64) -> Vec<Planned> {
    let count = match dice.between(0, 99) {
        0..5 => 0,
        5..55 => dice.between(1, 12),
        55..85 => dice.between(13, 60),
        _ => dice.between(61, 200),
    };
    let mut sockets: Vec<Planned> = Vec::new();
    let mut taken = BTreeSet::new();
    let mut helpers = 0;
    while sockets.len() < usize::try_from(count).unwrap() {
        let is_udp = dice.percent(35);
        let number = match dice.between(0, 9) {
            0..3 => dice.between(1, 1023),
            3..7 => dice.between(1024, 32_767),
            7 => dice.between(61_000, u64::from(RESERVED) - 1),
            _ => dice.between(32_768, 60_999),
        };
        let number = u16::try_from(number).unwrap();
        if !taken.insert((number, is_udp)) {
            continue;
        }
        let set = dice.one_of(SETS);
        for site in *set {
            let mut planned = Planned {
                number,
                is_udp,
                site,
                helpers: 0,
                is_shared: false,
                opens: 0,
                life: None,
            };
            // Only before the first client there is surely nobody on the port.
            if !EPHEMERAL.contains(&number) {
                planned.opens = match dice.between(0, 9) {
                    0 => dice.between(1, first_opens),
                    1 | 2 => dice.between(first_opens + 1, first_opens + AFTER_FIRST),
                    _ => 0,
                };
            }
            planned.life = dice.percent(25).then(|| dice.between(200, 500));
            if helpers < MOST_HELPERS && dice.percent(12) {
                planned.helpers = usize::try_from(dice.between(1, 3)).unwrap();
                planned.is_shared = !site.is_v6only && dice.percent(50);
                helpers += planned.helpers;
            }
            sockets.push(planned);
        }
    }
    let own = |number, opens| {
        let (site, helpers) = (&ANY4, 0);
        Planned { number, is_udp: false, site, helpers, is_shared: false, opens, life: None }
    };
    sockets.push(own(FIRST, first_opens));
    sockets.push(own(LAST, first_opens + AFTER_FIRST + 1));
    sockets
}
