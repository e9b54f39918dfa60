//! c: the scan of all 65,535 TCP ports of a container, against the scanners that everybody knows.
//!
//! portlid's scan runs in this process, the others are processes of their own: so are they used.
//! A scan that finds other ports than are open ends the measurement of that row: it does not hold.

use std::{collections::BTreeSet, net::IpAddr, process::Command, sync::atomic::AtomicBool};

use bollard::models::HostConfig;
use portlid::{
    look::{ScanRequest, scan_blocking},
    observation::Answer,
};

use crate::{
    engine::{Foreign, docker, runtime},
    measure::{here, run, take_turns},
    stage::Stage,
    table::{Allowed, Row, Unit},
};

/// What listens, and must be found every time.
const OPEN: [u16; 6] = [1, 80, 8080, 30_000, 49_152, 65_535];

/// One scan.
struct Scan {
    seconds: f64,
    cpu: f64,
    /// Whether it found just what is open.
    is_right: bool,
}

impl Scan {
    fn of(open: &BTreeSet<u16>, seconds: f64, cpu: f64) -> Self {
        let is_right = open.iter().eq(&OPEN);
        if !is_right {
            eprintln!("against: a scan found {open:?}, where {OPEN:?} are open");
        }
        Self { seconds, cpu, is_right }
    }
}

fn by_portlid(address: IpAddr) -> Scan {
    let request = ScanRequest::full(vec![address], BTreeSet::new());
    let (report, seconds, cpu) = here(|| scan_blocking(&request, &AtomicBool::new(false)));
    let answers = report.unwrap().result.answers;
    let open = answers.iter().filter(|(_, answer)| **answer == Answer::Open);
    Scan::of(&open.map(|(port, _)| *port).collect(), seconds, cpu)
}

/// `Ports: 80/open/tcp//http///, 8080/open/tcp...`
fn by_nmap(address: IpAddr) -> Scan {
    let address = address.to_string();
    let took =
        run(Command::new("nmap").args(["-n", "-Pn", "-sT", "-p-", "-T5", "-oG", "-"]).arg(address));
    let ports = took.stdout.split("Ports: ").nth(1).unwrap_or_default();
    let ports = ports.lines().next().unwrap_or_default().split(", ");
    let open = ports.filter_map(|port| port.trim().split_once("/open/tcp"));
    Scan::of(&open.filter_map(|(port, _)| port.parse().ok()).collect(), took.seconds, took.cpu)
}

/// `172.17.0.2 -> [80,8080]`. The limit on descriptors is as its documentation recommends.
fn by_rustscan(address: IpAddr) -> Scan {
    let program = std::env::var_os("RUSTSCAN").unwrap_or_else(|| "rustscan".into());
    let address = address.to_string();
    let took = run(Command::new(program).args([
        "-a",
        &address,
        "-r",
        "1-65535",
        "--no-config",
        "--no-banner",
        "-g",
        "--ulimit",
        "5000",
    ]));
    let list = took.stdout.split(['[', ']']).nth(1).unwrap_or_default();
    let open = list.split(',').filter_map(|port| port.trim().parse().ok());
    Scan::of(&open.collect(), took.seconds, took.cpu)
}

/// The rows.
pub(crate) fn every_port(stage: &Stage, pairs: usize) -> Vec<Row> {
    let command: Vec<String> = OPEN.iter().map(|port| format!("tcp:0.0.0.0:{port}")).collect();
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let container = Foreign::start(&stage.image, &command, HostConfig::default());
    let address = address_of(&container);
    let turns = take_turns(
        pairs,
        &mut [&mut || by_portlid(address), &mut || by_nmap(address), &mut || by_rustscan(address)],
    );
    let each = |of: usize, value: fn(&Scan) -> f64| turns[of].iter().map(value).collect::<Vec<_>>();
    let right = |of: usize| vec![each(of, |scan| f64::from(u8::from(scan.is_right))).iter().sum()];
    let what = "all 65,535 TCP ports of a container";
    let others =
        [(1, "`nmap -n -Pn -sT -p- -T5`", 0.4), (2, "`rustscan -r 1-65535 --ulimit 5000`", 0.2)];
    let mut rows = Vec::new();
    for (other, against, most) in others {
        let ours = each(0, |scan| scan.seconds);
        let theirs = each(other, |scan| scan.seconds);
        rows.push(Row::times(what, against, &ours, &theirs, Allowed::Times(most)));
        let ours = each(0, |scan| scan.cpu);
        let theirs = each(other, |scan| scan.cpu);
        let cpu = format!("{what}: CPU time");
        rows.push(Row::times(cpu, against, &ours, &theirs, Allowed::Anything));
        rows.push(Row {
            what: format!("{what}: right answers of {pairs}"),
            against: against.to_owned(),
            unit: Unit::Count,
            ours: right(0),
            theirs: right(other),
            allowed: if other == 1 { Allowed::Exactly(pairs as f64) } else { Allowed::Anything },
        });
    }
    rows
}

fn address_of(container: &Foreign) -> IpAddr {
    let docker = docker();
    let seen = runtime().block_on(docker.inspect_container(&container.id, None)).unwrap();
    let networks = seen.network_settings.unwrap().networks.unwrap();
    let mut addresses = networks.into_values().filter_map(|network| network.ip_address);
    addresses.find_map(|address| address.parse().ok()).unwrap()
}
