//! What somebody at a terminal sees: live lines while it goes on, and clean results in the end.

use std::{
    fs::File,
    io::Read,
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::{engine, harness::Tool};

/// A terminal of 100 columns and 80 rows: our end, and the program's.
fn terminal() -> (File, OwnedFd) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    tcsetwinsize(&ours, Winsize { ws_row: 80, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    (File::from(ours), theirs.into())
}

/// Runs it on a terminal; everything that was ever on the screen, and the screen in the end.
fn shown(tool: &Tool, environment: &[(&str, &str)], arguments: &[&str]) -> (String, String) {
    let (mut ours, theirs) = terminal();
    let mut command = Command::new(env!("CARGO_BIN_EXE_portlid"));
    command
        .args(arguments)
        .current_dir(tool.path())
        .env("TERM", "xterm-256color")
        .env_remove("CI")
        .env_remove("NO_COLOR")
        .env_remove("GITHUB_ACTIONS")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(theirs.try_clone().unwrap())
        .stderr(theirs);
    let mut child = command.spawn().unwrap();
    // The program alone holds the other end from here on.
    drop(command);
    let mut screen = vt100::Parser::new(80, 100, 0);
    let mut seen = String::new();
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = ours.read(&mut bytes) {
        screen.process(&bytes[..count]);
        seen.push_str(&screen.screen().contents());
        seen.push('\n');
    }
    assert!(child.wait().unwrap().code().is_some());
    (seen, screen.screen().contents())
}

fn specs() -> Tool {
    let image = engine::fixture(&["80/tcp"]);
    let spec = format!(
        "image: {image}\nrun: {{ command: [\"tcp:0.0.0.0:80\"] }}\nexpose: [80/tcp]\nscan: listed\n"
    );
    let tool = Tool::new(&[]).file("specs/one.yaml", &format!("{spec}watch: 800ms\n"));
    tool.file("specs/two.yaml", &format!("{spec}watch: 1500ms\n"))
        .file("specs/bad.yaml", &format!("{}watch: 1s\n", spec.replace("[80/tcp]\n", "[]\n")))
}

#[test]
fn live_lines_come_and_go() {
    let (seen, last) = shown(&specs(), &[], &["test", "--jobs", "2"]);
    for spec in ["one", "two", "bad"] {
        let live = format!(" {spec}: watching the tables, scanning what is listed (");
        assert!(seen.contains(&live), "{live}\n{last}");
    }
    assert!(!last.contains("watching the tables"), "{last}");
    let lines: Vec<&str> = last.lines().map(str::trim_end).collect();
    for line in ["test one ... ok", "test two ... ok", "test bad ... FAILED"] {
        assert!(lines.contains(&line), "{line}\n{last}");
    }
    // Nothing of a live line is left behind a shorter one.
    assert!(!last.contains(['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']), "{last}");
}

#[test]
fn nothing_moves_where_nobody_watches() {
    for (environment, arguments) in [
        (&[("CI", "true")][..], &["test"][..]),
        (&[("NO_COLOR", "1")], &["test"]),
        (&[("TERM", "dumb")], &["test"]),
        (&[], &["test", "--jobs", "1"]),
        (&[], &["test", "--", "--format", "terse"]),
        (&[], &["-q", "test"]),
    ] {
        let (seen, _) = shown(&specs(), environment, arguments);
        assert!(!seen.contains("watching the tables"), "{environment:?} {arguments:?}\n{seen}");
    }
    // In a pipe, too.
    let seen = specs().args(&["test"]).env("TERM", "xterm").run();
    assert!(!format!("{seen}").contains('\u{1b}'), "{seen}");
}

#[test]
fn a_look_is_coloured_on_a_terminal() {
    let image = engine::fixture(&["80/tcp"]);
    let arguments = ["look", &image, "--watch", "1s", "--", "http:0.0.0.0:80"];
    let (seen, last) = shown(&Tool::new(&[]), &[], &arguments);
    assert!(seen.contains(" look: watching the tables, scanning every port ("), "{seen}");
    assert!(last.contains("1 port open to neighbours"), "{last}");
}
