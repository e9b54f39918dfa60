//! portlid against what its users would pick instead, side by side, as one Markdown table.
//!
//! `make bench` calls it, by way of `.ci/bench`, which installs what it is compared with. The
//! contenders of a row take turns (A B A B, never all of A and then all of B), so that whatever else
//! the machine does concerns them all. Exit code 1 if any row does not hold what it is allowed.
//!
//! It never leaves anything in the engine that was not there, and measures only under `cargo bench`.

#![expect(clippy::unwrap_used, reason = "what goes wrong ends the measurement")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is what is asked for")]

/// Images of one static binary, as the integration tests make them.
#[expect(dead_code, reason = "the integration tests use the rest")]
#[path = "../../tests/it/engine.rs"]
mod engine;
/// Children, their time and their memory; and taking turns.
mod measure;
/// d: one read of all tables.
mod reads;
/// c: the scan of every port.
mod scans;
/// e: the loader, and the memory of a long run.
mod specs;
/// The image, and folders with specs of it.
mod stage;
/// a, b, f: containers that are started, looked at and removed.
mod starts;
/// Rows and their Markdown.
mod table;
/// g: what a watch costs.
mod watches;

use std::{collections::BTreeSet, env, process::ExitCode};

use stage::Stage;
use table::{Row, print};

/// How many times each contender has its turn, by default.
const PAIRS: usize = 15;
/// Every group of rows.
const GROUPS: &str = "abcdefg";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["life", image] => return starts::live_once(image),
        ["memory", ref command @ ..] => return measure::tell_memory(command),
        _ => {}
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        eprintln!("against: measures only under `cargo bench`; see `make bench`");
        return ExitCode::SUCCESS;
    }
    let chosen = |name: &str| env::var(name).ok().filter(|text| !text.is_empty());
    let pairs = chosen("PORTLID_BENCH_N").map_or(PAIRS, |text| text.parse().unwrap()).max(1);
    let groups = chosen("PORTLID_BENCH_ROWS").unwrap_or_else(|| GROUPS.to_owned());
    let groups: BTreeSet<char> = groups.chars().filter(char::is_ascii_alphabetic).collect();
    assert!(groups.iter().all(|group| GROUPS.contains(*group)), "rows are some of {GROUPS}");

    let stage = Stage::set();
    let mut rows: Vec<Row> = Vec::new();
    for group in groups.iter().filter(|group| **group != 'f') {
        eprintln!("against: {group}");
        rows.extend(match group {
            // Short, and the engine takes now more, now less for it.
            'a' => starts::one(&stage, 5 * pairs),
            'b' => starts::many(&stage, pairs),
            'c' => scans::every_port(&stage, pairs),
            'd' => reads::all_tables(&stage, pairs),
            'e' => specs::thousand(&stage, pairs),
            'g' => watches::quiet(&stage, pairs),
            _ => Vec::new(),
        });
    }
    // Before the jobs, which hold nothing and have a table of their own.
    let all_hold = print(&rows);
    if groups.contains(&'f') {
        eprintln!("against: f");
        starts::jobs(&stage, pairs);
    }
    if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
