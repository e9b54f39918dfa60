//! Runs a child and tells its time and memory; lets contenders take turns.
//!
//! A child that fails ends the measurement: whatever it took to fail is no figure.

use std::{
    process::{Command, ExitCode, Output, Stdio},
    time::Instant,
};

use nix::sys::resource::{Usage, UsageWho, getrusage};

/// What a child took.
pub(crate) struct Took {
    pub(crate) seconds: f64,
    /// Of all cores, the child's own children counted if it waited for them.
    pub(crate) cpu: f64,
    pub(crate) stdout: String,
}

/// Runs it to its end, which must be a success.
pub(crate) fn run(command: &mut Command) -> Took {
    let (took, output) = run_anyhow(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        took.stdout,
        String::from_utf8_lossy(&output.stderr)
    );
    took
}

/// Runs it to its end, whatever comes of it.
pub(crate) fn run_anyhow(command: &mut Command) -> (Took, Output) {
    let before = cpu(&usage(UsageWho::RUSAGE_CHILDREN));
    let began = Instant::now();
    let output = command.stdin(Stdio::null()).output();
    let seconds = began.elapsed().as_secs_f64();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let cpu = cpu(&usage(UsageWho::RUSAGE_CHILDREN)) - before;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    (Took { seconds, cpu, stdout }, output)
}

/// The seconds that a piece of work in this process takes, and its CPU seconds.
pub(crate) fn here<T>(work: impl FnOnce() -> T) -> (T, f64, f64) {
    let before = cpu(&usage(UsageWho::RUSAGE_SELF));
    let began = Instant::now();
    let result = work();
    let seconds = began.elapsed().as_secs_f64();
    (result, seconds, cpu(&usage(UsageWho::RUSAGE_SELF)) - before)
}

fn usage(who: UsageWho) -> Usage {
    getrusage(who).unwrap()
}

fn cpu(usage: &Usage) -> f64 {
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// The largest memory in megabytes that a command ever has.
///
/// By a process in between: the kernel counts for a child what its parent had when it was forked,
/// and remembers only the largest child of all.
pub(crate) fn memory(arguments: &[&str], folder: &std::path::Path) -> f64 {
    let mut between = Command::new(std::env::current_exe().unwrap());
    between.arg("memory").args(arguments).current_dir(folder);
    run(&mut between).stdout.trim().parse().unwrap()
}

/// The process in between.
pub(crate) fn tell_memory(command: &[&str]) -> ExitCode {
    let Some((program, arguments)) = command.split_first() else { return ExitCode::FAILURE };
    let mut command = Command::new(program);
    run(command.args(arguments));
    let kilobytes = usage(UsageWho::RUSAGE_CHILDREN).max_rss();
    println!("{}", kilobytes as f64 / 1e3);
    ExitCode::SUCCESS
}

/// Lets each contender have its turn, `rounds` times, and gives what each of them measured. The first
/// round, which fills caches, does not count. Every other round goes backwards, so that none always
/// comes after the same one.
pub(crate) fn take_turns<T>(
    rounds: usize,
    contenders: &mut [&mut dyn FnMut() -> T],
) -> Vec<Vec<T>> {
    let mut measured: Vec<Vec<T>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        let mut order: Vec<usize> = (0..contenders.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let value = contenders[index]();
            if round > 0 {
                measured[index].push(value);
            }
        }
    }
    measured
}
