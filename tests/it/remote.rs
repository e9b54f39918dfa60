//! An engine that is somewhere else, reached over tcp and over ssh: its process ids and addresses
//! are not ours, so a scout looks.

use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    thread,
};

use crate::{
    engine,
    harness::{Seen, Tool},
};

/// Leads a port of 127.0.0.1 to the engine, and returns the port. It lasts as long as the tests.
fn forward() -> u16 {
    let socket = std::env::var("DOCKER_HOST").unwrap_or_default();
    let socket = socket.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let Ok(far) = UnixStream::connect(&socket) else { continue };
            join(near, far);
        }
    });
    port
}

/// Carries both ways, and the end of each way by itself.
fn join(near: TcpStream, far: UnixStream) {
    let (mut near_in, mut far_in) = (near.try_clone().unwrap(), far.try_clone().unwrap());
    let (mut near_out, mut far_out) = (near, far);
    thread::spawn(move || {
        let _ = io::copy(&mut near_in, &mut far_out);
        let _ = far_out.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut far_in, &mut near_out);
        let _ = near_out.shutdown(Shutdown::Both);
    });
}

/// A spec that passes, and one that does not.
fn both(run: impl Fn(Tool) -> Seen) {
    for (command, verdict, findings) in [
        (&["tcp:0.0.0.0:80"][..], "pass", vec![]),
        (
            &["tcp:0.0.0.0:80", "tcp:0.0.0.0:81"],
            "fail",
            vec!["fail unlisted-listener 81/tcp listener :2"],
        ),
    ] {
        let seen = run(Tool::subject(&["80/tcp"], command, "expose: [80/tcp]"));
        seen.is(verdict, &findings);
        assert_eq!(seen.spec()["evidence"]["looked_from"], "scout", "{seen}");
        assert_eq!(seen.row("80/tcp")["reachable"], "open", "{seen}");
    }
}

#[test]
fn over_tcp_a_scout_looks() {
    let host = format!("tcp://127.0.0.1:{}", forward());
    both(|tool| {
        let seen = tool.env("DOCKER_HOST", &host).run();
        assert_eq!(seen.json.as_ref().unwrap()["engine"]["endpoint"], host.as_str());
        seen
    });
}

/// Puts a command called `ssh` into the folder, made of this script.
fn ssh(folder: &Path, script: &str) -> String {
    let path = folder.join("bin/ssh");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, format!("#!/usr/bin/env bash\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let rest = std::env::var("PATH").unwrap();
    format!("{}:{rest}", path.parent().unwrap().display())
}

#[test]
fn over_ssh_a_scout_looks() {
    // What the other machine's `docker system dial-stdio` does, on this one.
    let script = format!(
        "[ \"$*\" = '-l me -p 2222 -o BatchMode=yes -o ConnectTimeout=30 -T -- far.invalid \
         docker system dial-stdio' ] || {{ echo \"asked for: $*\" >&2; exit 9; }}\n\
         exec 3<>/dev/tcp/127.0.0.1/{}\n\
         cat <&3 &\n\
         cat >&3\n\
         kill $!",
        forward()
    );
    both(|tool| {
        let path = ssh(tool.path(), &script);
        tool.env("PATH", &path).env("DOCKER_HOST", "ssh://me@far.invalid:2222").run()
    });
}

#[test]
fn what_ssh_says_of_its_failure_is_told() {
    let tool = Tool::gate(&format!("image: {}\nexpose: []\n", engine::fixture(&[])));
    let path = ssh(tool.path(), "echo 'far.invalid: Permission denied (publickey).' >&2; exit 255");
    let seen = tool.env("PATH", &path).env("DOCKER_HOST", "ssh://far.invalid").run();
    seen.is_inconclusive("`ssh://far.invalid`: ssh: far.invalid: Permission denied (publickey).");
    // A port that is none, a password: refused before anything is run.
    for host in ["ssh://far.invalid:x", "ssh://me:secret@far.invalid"] {
        let tool = Tool::gate("image: x\nexpose: []\n").env("DOCKER_HOST", host);
        let seen = tool.run();
        seen.is_inconclusive("cannot use the engine endpoint");
        assert!(!format!("{seen}").contains("secret"), "{seen}");
    }
}
