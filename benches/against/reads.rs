//! d: one read of all sockets of a container, with ever more of them.
//!
//! In both ways in which the watch does it: mostly it asks the kernel for what may accept traffic;
//! first, last, and where it may not ask, it reads the whole tables. Beside each stands what the
//! kernel alone takes for those: the same files, read and thrown away. On a machine with much memory
//! that is most of it, however few sockets there are, because the kernel goes through its whole hash
//! of connections for each table of TCP.

use std::{
    cell::RefCell,
    fs::File,
    io::{Read, Seek},
    thread,
    time::{Duration, Instant},
};

use bollard::models::{HostConfig, ResourcesUlimits};
use portlid::{
    benching::Tables,
    look::{Target, tables::Table},
};

use crate::{
    engine::Foreign,
    measure::{here, take_turns},
    stage::Stage,
    table::{Allowed, Row},
};

/// How many sockets, and how many seconds a read of them may take.
const SIZES: [(u16, f64); 3] = [(10, 0.001), (1_000, 0.003), (30_000, 0.060)];
/// How many reads make a turn, so that a turn is longer than a clock's tick.
const READS: [usize; 3] = [50, 20, 3];

/// How many sockets one process holds: some engines let a container have no more than 20,000
/// descriptors.
const EACH: usize = 15_000;

/// A container with so many listeners; where they are too many for one process, others are in its
/// network.
struct Crowd {
    _containers: Vec<Foreign>,
    sockets: usize,
    reads: usize,
    tables: Tables,
    files: Vec<File>,
}

impl Crowd {
    fn gather(stage: &Stage, sockets: u16, reads: usize) -> Self {
        let mut containers: Vec<Foreign> = Vec::new();
        let steps: Vec<String> = (1..=sockets).map(|port| format!("tcp:0.0.0.0:{port}")).collect();
        for steps in steps.chunks(EACH) {
            let steps = steps.iter().map(String::as_str);
            let command: Vec<&str> = std::iter::once("plan").chain(steps).collect();
            let most = Some(EACH as i64 + 100);
            let name = Some("nofile".to_owned());
            let descriptors = ResourcesUlimits { name, soft: most, hard: most };
            let host = HostConfig {
                network_mode: containers.first().map(|first| format!("container:{}", first.id)),
                ulimits: Some(vec![descriptors]),
                ..HostConfig::default()
            };
            containers.push(Foreign::start(&stage.image, &command, host));
        }
        let container = &containers[0];
        let pid = u32::try_from(container.pid()).unwrap();
        let target = Target {
            proc_root: "/proc".into(),
            pid,
            container: container.id.clone(),
            age: Duration::ZERO,
        };
        let mut tables = Tables::open(&target).unwrap();
        let sockets = usize::from(sockets);
        let deadline = Instant::now() + Duration::from_secs(60);
        while tables.read_once().unwrap() < sockets {
            assert!(
                Instant::now() < deadline && container.is_running(),
                "{sockets} never listened"
            );
            thread::sleep(Duration::from_millis(100));
        }
        let paths = Table::ALL.iter().map(|table| format!("/proc/{pid}/{}", table.path()));
        let files = paths.filter_map(|path| File::open(path).ok()).collect();
        Self { _containers: containers, sockets, reads, tables, files }
    }

    /// Seconds of one read by portlid.
    fn ours(&mut self, way: Way) -> f64 {
        let reads = if way == Way::Owners { self.reads.div_ceil(5) } else { self.reads };
        let (sockets, tables) = (self.sockets, &mut self.tables);
        mean(reads, || assert_eq!(read_once(tables, way), sockets))
    }

    /// Seconds of reading the same files and throwing them away.
    fn floor(&mut self) -> f64 {
        let mut buffer = vec![0; 1 << 16];
        let files = &mut self.files;
        mean(self.reads, || {
            for file in &mut *files {
                file.rewind().unwrap();
                while file.read(&mut buffer).unwrap() > 0 {}
            }
        })
    }
}

/// How it is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Asked,
    Whole,
    Owners,
}

/// How many sockets accept traffic, or have an owner.
fn read_once(tables: &mut Tables, way: Way) -> usize {
    match way {
        Way::Asked => tables.ask_once(),
        Way::Whole => tables.read_once(),
        Way::Owners => tables.read_once_with_owners(),
    }
    .unwrap()
}

fn mean(times: usize, mut work: impl FnMut()) -> f64 {
    let ((), seconds, _) = here(|| (0..times).for_each(|_| work()));
    seconds / times as f64
}

/// The rows.
pub(crate) fn all_tables(stage: &Stage, pairs: usize) -> Vec<Row> {
    let gather = |(index, (sockets, _)): (usize, (u16, f64))| {
        RefCell::new(Crowd::gather(stage, sockets, READS[index]))
    };
    let crowds: Vec<RefCell<Crowd>> = SIZES.into_iter().enumerate().map(gather).collect();
    let mut turns: Vec<Box<dyn FnMut() -> f64 + '_>> = Vec::new();
    for crowd in &crowds {
        turns.push(Box::new(|| crowd.borrow_mut().ours(Way::Asked)));
        turns.push(Box::new(|| crowd.borrow_mut().floor()));
        turns.push(Box::new(|| crowd.borrow_mut().ours(Way::Whole)));
        turns.push(Box::new(|| crowd.borrow_mut().ours(Way::Owners)));
    }
    // All sizes in turns, too, because they are compared with one another.
    let mut contenders: Vec<&mut dyn FnMut() -> f64> = Vec::new();
    for turn in &mut turns {
        contenders.push(turn);
    }
    let turns = take_turns(pairs, &mut contenders);
    let mut rows = Vec::new();
    for ((sockets, most), turns) in SIZES.into_iter().zip(turns.chunks(4)) {
        let what = format!("one read of all sockets, of {}", grouped(sockets));
        let against = "read(2) of the kernel's tables";
        rows.push(Row::times(&what, against, &turns[0], &turns[1], Allowed::Most(most)));
        let what = format!("the same from the tables, of {}", grouped(sockets));
        rows.push(Row::times(&what, against, &turns[2], &turns[1], Allowed::Times(1.5)));
        let what = format!("the same from the tables, of {}, with owners", grouped(sockets));
        rows.push(Row::times(&what, against, &turns[3], &turns[1], Allowed::Anything));
    }
    // Above what the smallest takes, which is the kernel's walk. The least of all turns: it is a small
    // difference of large numbers, and whatever else the machine did only ever adds to one.
    let least = |index: usize| turns[4 * index].iter().copied().fold(f64::INFINITY, f64::min);
    let each = |index: usize| {
        let more = f64::from(SIZES[index].0 - SIZES[0].0);
        vec![(least(index) - least(0)) / more]
    };
    let what = "each further socket, of 30,000";
    rows.push(Row::times(what, "the same of 1,000", &each(2), &each(1), Allowed::Times(2.0)));
    rows
}

fn grouped(number: u16) -> String {
    if number < 1000 {
        number.to_string()
    } else {
        format!("{},{:03}", number / 1000, number % 1000)
    }
}
