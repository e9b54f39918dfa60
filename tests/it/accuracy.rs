//! How exact the look is: random sets of sockets in real containers, against what portlid says.
//!
//! A case is a spec of its own, and many are run at once, as users do. The container opens what was
//! planned and nothing else, so the truth is known. A wrong answer is a failure, however rare; that
//! portlid could not look is counted, and so is a container that was too slow for its own plan: as
//! neither right nor wrong.
//!
//! `make accuracy` runs the same with other numbers.

#![expect(clippy::print_stderr, reason = "the figures are for whoever runs this by hand")]

mod compare;
mod dice;
mod plan;
mod steady;

use std::{
    env,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use self::{compare::Tally, dice::Dice, plan::Case};
use crate::{
    engine,
    harness::{Seen, Tool},
};

/// How many cases one run of portlid gets.
const BATCH: usize = 50;

/// What is asked for, by the environment.
struct Wish {
    cases: usize,
    seed: u64,
    looks: Vec<&'static str>,
    /// The limit on portlid's descriptors.
    descriptors: Option<u32>,
    is_busy: bool,
    jobs: usize,
}

impl Wish {
    fn read() -> Self {
        let text = |name: &str| {
            let value = env::var(format!("PORTLID_ACCURACY_{name}")).unwrap_or_default();
            (!value.is_empty()).then_some(value)
        };
        let number = |name: &str| text(name).map(|it| it.parse::<u64>().expect("a number"));
        let fresh = || {
            u64::from(std::process::id())
                ^ u64::from(jiff::Timestamp::now().as_second() as u32) << 20
        };
        Self {
            cases: number("N").map_or(50, |it| usize::try_from(it).unwrap()),
            seed: number("SEED").unwrap_or_else(fresh),
            looks: match text("LOOK").as_deref() {
                None => engine::ways().to_vec(),
                Some("here") => vec!["here"],
                Some("scout") => vec!["scout"],
                Some(other) => panic!("LOOK is `here` or `scout`, not `{other}`"),
            },
            descriptors: number("NOFILE").map(|it| u32::try_from(it).unwrap()),
            is_busy: text("BUSY").is_some_and(|it| it != "0"),
            jobs: number("JOBS").map_or(4, |it| usize::try_from(it).unwrap()),
        }
    }
}

#[test]
fn no_socket_is_missed_and_none_is_invented() {
    let wish = Wish::read();
    let image = engine::fixture(&[]);
    let idle = AtomicBool::new(false);
    let tallies = thread::scope(|scope| {
        if wish.is_busy {
            for _ in 0..thread::available_parallelism().unwrap().get() {
                scope.spawn(|| {
                    while !idle.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
        }
        // Whatever comes of it, the cores are to rest again.
        let stop = Rest(&idle);
        let share = wish.cases.div_ceil(wish.looks.len());
        let looks = wish.looks.iter().enumerate();
        let tallies: Vec<Tally> = looks
            .map(|(at, look)| through(&wish, &image, look, at * share..(at + 1) * share))
            .collect();
        drop(stop);
        tallies
    });
    for tally in tallies {
        tally.require_exactness();
    }
}

struct Rest<'a>(&'a AtomicBool);

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs the cases of those numbers, looking from there.
fn through(wish: &Wish, image: &str, look: &str, numbers: std::ops::Range<usize>) -> Tally {
    let begun = Instant::now();
    let mut tally = Tally::new(format!("through {look}, seed {}", wish.seed));
    let numbers: Vec<usize> = numbers.collect();
    for batch in numbers.chunks(BATCH) {
        let cases: Vec<Case> =
            batch.iter().map(|&number| Case::new(number, Dice::new(wish.seed, number))).collect();
        let seen = run(wish, image, look, &cases);
        for case in &cases {
            tally.add(case, image, report_of(&seen, &case.name()));
        }
        tally.say(begun.elapsed());
    }
    tally
}

fn run(wish: &Wish, image: &str, look: &str, cases: &[Case]) -> Seen {
    let jobs = wish.jobs.to_string();
    let arguments = ["test", "-q", "--report", "json=report.json", "--look", look, "--jobs", &jobs];
    let mut tool = Tool::new(&arguments);
    if let Some(limit) = wish.descriptors {
        tool = tool.descriptors(limit);
    }
    for case in cases {
        tool = tool.file(&format!("specs/{}.yaml", case.name()), &case.spec(image));
    }
    tool.run()
}

/// What the report says of the spec of that name.
fn report_of<'a>(seen: &'a Seen, name: &str) -> &'a serde_json::Value {
    let report = seen.json.as_ref().unwrap_or_else(|| panic!("no report:\n{seen}"));
    let specs = report["specs"].as_array().unwrap();
    specs
        .iter()
        .find(|spec| spec["name"] == name)
        .unwrap_or_else(|| panic!("nothing is said of {name}:\n{seen}"))
}
