//! Whatever the end, nothing is left behind.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{engine, harness::Tool};

/// A run of two specs that would take a minute.
fn long() -> Tool {
    let image = engine::fixture(&["80/tcp"]);
    let spec = format!(
        "image: {image}\nrun: {{ command: [\"tcp:0.0.0.0:80\"] }}\nexpose: [80/tcp]\nwatch: 60s\nscan: off\n"
    );
    let needs = format!("needs: {{ db: {{ image: {image} }} }}\n");
    Tool::new(&["test", "--report", "json=report.json"])
        .file("specs/one.yaml", &spec)
        .file("specs/two.yaml", &format!("{spec}{needs}"))
}

/// Waits until the run has started all its containers, and its scout where one must look.
fn wait_for_containers(pid: u32, count: usize) {
    let count = if engine::ways().contains(&"here") { count } else { count + 1 };
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let made = engine::made_by(pid);
        let running = made.iter().filter(|it| it.contains("RUNNING")).count();
        if running == count {
            return;
        }
        assert!(Instant::now() < deadline, "not started: {made:?}");
        sleep(Duration::from_millis(50));
    }
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

#[test]
fn a_signal_ends_the_run_and_removes_everything() {
    for (sent, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let tool = long();
        let child = tool.spawn();
        let pid = child.id();
        wait_for_containers(pid, 3);
        let sent_at = Instant::now();
        signal(pid, sent);
        let seen = tool.collect(child);
        assert!(sent_at.elapsed() < Duration::from_secs(5), "{:?}\n{seen}", sent_at.elapsed());
        assert_eq!(seen.code, Some(code), "{seen}");
        assert_eq!(engine::made_by(pid), Vec::<String>::new());
        let specs = seen.json.as_ref().unwrap()["specs"].as_array().unwrap();
        assert!(specs.iter().all(|spec| spec["verdict"] == "inconclusive"), "{seen}");
    }
}

/// The first process of a container ignores SIGTERM, unless it handles it: this one does not.
#[test]
fn eight_stubborn_containers_do_not_keep_a_signal_waiting() {
    let image = engine::fixture(&[]);
    let spec = format!("image: {image}\nrun: {{ command: [sleep] }}\nexpose: []\nwatch: 60s\n");
    let tool = (0..8).fold(Tool::new(&["test", "--jobs", "8"]), |tool, number| {
        tool.file(&format!("specs/{number}.yaml"), &spec)
    });
    let child = tool.spawn();
    let pid = child.id();
    wait_for_containers(pid, 8);
    let sent_at = Instant::now();
    signal(pid, Signal::QUIT);
    let seen = tool.collect(child);
    assert!(sent_at.elapsed() < Duration::from_secs(5), "{:?}\n{seen}", sent_at.elapsed());
    assert_eq!(seen.code, Some(131), "{seen}");
    assert_eq!(engine::made_by(pid), Vec::<String>::new());
}

/// The second signal ends portlid at once; the reaper finishes its work.
#[test]
fn a_second_signal_is_not_kept_waiting_at_all() {
    let tool = long();
    let child = tool.spawn();
    let pid = child.id();
    wait_for_containers(pid, 3);
    signal(pid, Signal::INT);
    sleep(Duration::from_millis(30));
    signal(pid, Signal::TERM);
    let sent_at = Instant::now();
    let seen = tool.collect(child);
    assert!(sent_at.elapsed() < Duration::from_secs(2), "{:?}\n{seen}", sent_at.elapsed());
    // By the second, or the first was quicker.
    assert!(matches!(seen.code, Some(143 | 130)), "{seen}");
    let deadline = Instant::now() + Duration::from_secs(15);
    while !engine::made_by(pid).is_empty() {
        assert!(Instant::now() < deadline, "left: {:?}", engine::made_by(pid));
        sleep(Duration::from_millis(200));
    }
}

/// Nobody reads the results any more: the run ends, and removes what it made.
#[test]
fn a_closed_pipe_ends_the_run() {
    let tool = long();
    let mut child = tool.spawn();
    let pid = child.id();
    drop(child.stdout.take());
    let seen = tool.collect(child);
    assert_eq!(seen.code, Some(141), "{seen}");
    assert_eq!(engine::made_by(pid), Vec::<String>::new());
}

#[test]
fn a_killed_run_is_cleaned_up_by_its_reaper() {
    let tool = long();
    let mut child = tool.spawn();
    let pid = child.id();
    wait_for_containers(pid, 3);
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(15);
    while !engine::made_by(pid).is_empty() {
        assert!(Instant::now() < deadline, "left: {:?}", engine::made_by(pid));
        sleep(Duration::from_millis(200));
    }
}

#[test]
fn anonymous_volumes_go_with_the_container() {
    let image = engine::fixture_with(&[], &["VOLUME /data"]);
    let before = engine::volumes();
    let spec =
        format!("image: {image}\nrun: {{ command: [sleep] }}\nexpose: []\nwatch: 0s\nscan: off\n");
    Tool::gate(&spec).run().is("pass", &[]);
    let stray: Vec<String> =
        engine::volumes().into_iter().filter(|it| !before.contains(it)).collect();
    assert_eq!(stray, Vec::<String>::new());
}

/// Signals at every stage of a run's beginning: whatever was asked of the engine is found again.
#[test]
fn a_signal_at_any_moment_leaves_nothing() {
    for delay in [10, 40, 80, 120, 160, 200, 250, 300, 400, 550] {
        let tool = long();
        let child = tool.spawn();
        let pid = child.id();
        sleep(Duration::from_millis(delay));
        signal(pid, Signal::INT);
        let seen = tool.collect(child);
        // Before the handler is there, the signal ends the process by itself.
        assert!(matches!(seen.code, Some(130) | None), "{delay}\n{seen}");
        let deadline = Instant::now() + Duration::from_secs(15);
        while !engine::made_by(pid).is_empty() {
            assert!(seen.code.is_none(), "{delay}: left {:?}\n{seen}", engine::made_by(pid));
            assert!(Instant::now() < deadline, "{delay}: left {:?}", engine::made_by(pid));
            sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn a_container_that_cannot_be_made_takes_its_companions_with_it() {
    let image = engine::fixture(&[]);
    let spec = format!(
        "image: {image}\nrun: {{ cap_add: [NET_ADMIN], volumes: [\"x:/proc\"] }}\nexpose: []\n\
         needs: {{ db: {{ image: {image} }} }}\n"
    );
    let tool = Tool::gate(&spec);
    std::fs::create_dir(tool.path().join("specs/x")).unwrap();
    let seen = tool.run();
    assert_eq!(seen.code, Some(3), "{seen}");
    assert!(seen.stdout.contains("why    cannot "), "{seen}");
}

#[test]
fn a_variable_alone_keeps_no_gate_from_its_work() {
    let image = engine::fixture(&[]);
    let spec = format!(
        "image: {image}\nrun: {{ command: [\"tcp:0.0.0.0:80\"] }}\nexpose: []\nready: {{ port: 80/tcp }}\n"
    );
    let seen = Tool::gate(&spec).env("PORTLID_REAPER", "x").env("PORTLID_SCOUT", "1").run();
    assert_eq!(seen.code, Some(1), "{seen}");
    // Nor is any of portlid's other lives a success, whoever leads it.
    for argument in ["__portlid-reaper", "__portlid-scout"] {
        let seen = Tool::new(&[argument]).run();
        assert!(!matches!(seen.code, Some(0)), "{argument}: {seen}");
    }
}
