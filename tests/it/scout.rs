//! The look from a helper container: the same as from here, without privileges, and never trusted
//! when it is gone.

use std::{
    os::unix::{fs::MetadataExt, process::CommandExt},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use bollard::query_parameters::ListContainersOptionsBuilder;
use serde_json::Value;

use crate::{
    engine::{self, Foreign},
    harness::Tool,
};

/// What a report says of a spec, without what differs from run to run.
fn story(spec: &Value) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let ledger = spec["ledger"].as_array().unwrap().iter().map(|row| {
        let listening = row["listening"].as_array().unwrap().iter().map(|socket| {
            // Which number a child gets differs from run to run.
            let owners = socket["owners"].as_array().unwrap().iter();
            let owners = owners.map(|it| serde_json::json!([it["process"], it["name"], it["uid"]]));
            serde_json::json!([
                socket["address"],
                owners.collect::<Vec<_>>(),
                socket["owners_known"]
            ])
        });
        serde_json::json!([
            row["port"],
            row["declared"],
            row["reachable"],
            listening.collect::<Vec<_>>()
        ])
    });
    let findings = spec["findings"].as_array().unwrap().iter().map(|finding| {
        format!("{} {} {}", text(&finding["rule"]), finding["port"], finding["process"])
    });
    serde_json::json!({
        "verdict": spec["verdict"],
        "ledger": ledger.collect::<Vec<_>>(),
        "findings": findings.collect::<Vec<_>>(),
    })
}

#[test]
fn it_sees_what_is_seen_from_here() {
    for (declared, command, rest) in [
        (&["80/tcp"][..], &["tcp:0.0.0.0:80"][..], "expose: [80/tcp]\nscan: full"),
        (&["80/tcp"], &["tcp:0.0.0.0:80", "tcp:0.0.0.0:3000"], "expose: [80/tcp]"),
        (&[], &["tcp:127.0.0.1:80"], "expose: [80/tcp]"),
        (&[], &["udp:0.0.0.0:53", "udp:[::]:54"], "expose: [53/udp]\nready: { port: 54/udp }"),
        (&[], &["shared:0.0.0.0:80"], "expose: [80/tcp]"),
        (&[], &["http:0.0.0.0:80"], "expose:\n  - { port: 80/tcp, speaks: http }"),
        (&["80/tcp"], &["tcp:0.0.0.0:80"], "expose: [80/tcp]\nrun:\n  egress: deny"),
        (
            &["8080/tcp"],
            &["tcp:0.0.0.0:8080"],
            "expose:\n  - { port: 8080/tcp, process: listener, user: \"1234\" }\nrun:\n  user: \"1234\"",
        ),
    ] {
        let by = |whom: &str| {
            let seen = Tool::subject(declared, command, rest).args(&["--look", whom]).run();
            assert_eq!(seen.spec()["evidence"]["looked_from"], whom, "{seen}");
            story(seen.spec())
        };
        assert_eq!(by("here"), by("scout"), "{command:?}");
    }
}

#[test]
fn it_becomes_a_neighbour_of_a_container_on_any_network() {
    let image = engine::fixture(&["80/tcp"]);
    let docker = engine::docker();
    let name = format!("portlid-test-{}", std::process::id());
    let network =
        bollard::models::NetworkCreateRequest { name: name.clone(), ..Default::default() };
    engine::runtime().block_on(docker.create_network(network)).unwrap();
    let host =
        bollard::models::HostConfig { network_mode: Some(name.clone()), ..Default::default() };
    let container = Foreign::start(&image, &["tcp:0.0.0.0:80"], host);
    let spec = format!("container: {}\nexpose: [80/tcp]\nwatch: 0s\nscan: listed\n", container.id);
    let seen = Tool::gate(&spec).args(&["--look", "scout"]).run();
    drop(container);
    // Fails if the scout was left on it.
    engine::runtime().block_on(docker.remove_network(&name)).unwrap();
    seen.is("pass", &[]);
    assert_eq!(seen.row("80/tcp")["reachable"], "open");
}

#[test]
fn a_user_of_the_engine_without_any_privilege_sees_what_root_sees() {
    let socket = std::env::var("DOCKER_HOST").unwrap_or_default();
    let socket = socket.strip_prefix("unix://").unwrap_or("/var/run/docker.sock");
    let group = std::fs::metadata(socket).unwrap().gid();
    let image = engine::fixture(&["80/tcp"]);
    let spec = format!(
        "image: {image}\nrun: {{ command: [\"tcp:0.0.0.0:80\", \"tcp:0.0.0.0:81\"], user: \"1234\" }}\n\
         expose:\n  - {{ port: 80/tcp, process: listener, user: \"1234\" }}\nwatch: 300ms\nscan: listed\n"
    );
    // Ports below 1024 are free to any user in a container's own namespace.
    let tool = Tool::new(&[]).file("specs/subject.yaml", &spec);
    // The executable's folder may be closed to others.
    let portlid = tool.path().join("portlid");
    std::fs::copy(env!("CARGO_BIN_EXE_portlid"), &portlid).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(tool.path(), open).unwrap();
    let child = Command::new(&portlid)
        .arg("test")
        .current_dir(tool.path())
        .env("HOME", "/nonexistent")
        .gid(group)
        .uid(65_534)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let seen = tool.collect(child);
    assert_eq!(seen.code, Some(1), "{seen}");
    assert!(seen.stdout.contains("81/tcp: `listener` (pid 1, uid 1234) listens on"), "{seen}");
    assert!(!seen.stdout.contains("80/tcp: "), "{seen}");
    assert_eq!(engine::made_by(pid), Vec::<String>::new());
}

#[test]
fn without_it_nothing_passes() {
    let image = engine::fixture(&["80/tcp"]);
    let spec = format!(
        "image: {image}\nrun: {{ command: [\"tcp:0.0.0.0:80\"] }}\nexpose: [80/tcp]\nwatch: 30s\nscan: off\n"
    );
    let tool = Tool::gate(&spec).args(&["--look", "scout"]);
    let child = tool.spawn();
    let pid = child.id();
    let docker = engine::docker();
    let deadline = Instant::now() + Duration::from_secs(60);
    while engine::made_by(pid).iter().filter(|it| it.contains("RUNNING")).count() < 2 {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(50));
    }
    engine::runtime().block_on(async {
        let all = ListContainersOptionsBuilder::default().build();
        for container in docker.list_containers(Some(all)).await.unwrap() {
            let is_ours = container.labels.as_ref().is_some_and(|labels| {
                let owner = labels.get("dev.portlid.owner");
                owner.is_some_and(|owner| owner.split(':').nth(1) == Some(&pid.to_string()))
            });
            if is_ours && container.image.is_some_and(|it| it.contains("portlid-scout")) {
                docker
                    .kill_container(
                        &container.id.unwrap(),
                        None::<bollard::query_parameters::KillContainerOptions>,
                    )
                    .await
                    .unwrap();
            }
        }
    });
    let killed = Instant::now();
    let seen = tool.collect(child);
    assert!(killed.elapsed() < Duration::from_secs(10), "{seen}");
    seen.is_inconclusive("the scout does not look");
    assert_eq!(engine::made_by(pid), Vec::<String>::new(), "{seen}");
}
