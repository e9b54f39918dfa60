//! Images that the engine does not have, and a registry that does.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::{
    engine,
    harness::{Seen, Tool},
    registry::{Fault, LOGIN, NATIVE, PASSWORD, Registry, USER},
};

const OPEN: &str =
    "run: { command: [\"tcp:0.0.0.0:80\"] }\nexpose: [80/tcp]\nwatch: 0s\nscan: off\n";

fn gate(image: &str) -> Tool {
    Tool::gate(&format!("image: {image}\n{OPEN}"))
}

fn digest(seen: &Seen) -> &str {
    seen.spec()["digest"].as_str().unwrap_or("none")
}

#[test]
fn an_image_that_is_missing_is_pulled_and_named_by_its_digest() {
    let registry = Registry::start();
    let pushed = registry.push("acme/web:1", "1", "");
    let image = registry.reference("acme/web:1");
    let seen = gate(&image).run();
    seen.is("pass", &[]);
    assert_eq!(digest(&seen), pushed);
    assert!(seen.stderr.contains(&format!("subject: pulling {image}\n")), "{seen}");

    // Now it is there.
    let before = registry.requests();
    let seen = gate(&image).run();
    seen.is("pass", &[]);
    assert_eq!(digest(&seen), pushed);
    assert!(!seen.stderr.contains("pulling"), "{seen}");
    assert_eq!(registry.requests(), before);
}

#[test]
fn what_may_not_be_pulled_is_not_asked_for() {
    let registry = Registry::start();
    registry.push("web:1", "1", "");
    let image = registry.reference("web:1");
    let seen = gate(&image).args(&["--pull", "never"]).run();
    seen.is_inconclusive(&format!("image `{image}` is not there, and `--pull never` forbids"));
    assert_eq!(registry.requests(), Vec::<String>::new());
}

#[test]
fn a_tag_that_moved_is_noticed_by_pulling_always() {
    let registry = Registry::start();
    let first = registry.push("web:1", "1", "");
    let image = registry.reference("web:1");
    let seen = |pull: &str| {
        let seen = gate(&image).args(&["--pull", pull]).run();
        seen.is("pass", &[]);
        digest(&seen).to_owned()
    };
    assert_eq!(seen("missing"), first);
    let second = registry.push("web:1", "2", "");
    assert_eq!(seen("missing"), first);
    assert_eq!(seen("always"), second);
    // The very same image under other manifests: the engine lists the digests of all.
    for note in ["a", "b", "c"] {
        let again = registry.push("web:1", "2", note);
        assert_eq!(seen("always"), again);
    }
}

#[test]
fn an_image_is_pulled_by_its_digest() {
    let registry = Registry::start();
    let pinned = registry.push("web:1", "1", "");
    registry.push("web:1", "2", "");
    let seen = gate(&registry.reference(&format!("web@{pinned}"))).run();
    seen.is("pass", &[]);
    assert_eq!(digest(&seen), pinned);
}

#[test]
fn two_specs_of_one_image_pull_it_once() {
    let registry = Registry::start();
    registry.push("web:1", "1", "");
    let spec = format!("image: {}\n{OPEN}", registry.reference("web:1"));
    let seen = Tool::gate(&spec).file("specs/other.yaml", &spec).args(&["--pull", "always"]).run();
    assert_eq!(seen.code, Some(0), "{seen}");
    let asked = registry.requests();
    let manifests = asked.iter().filter(|it| it.ends_with("/manifests/1")).count();
    assert_eq!((manifests, seen.stderr.matches("pulling").count()), (1, 1), "{asked:?}\n{seen}");
}

/// `config.json` of the Docker CLI with this entry under `auths`.
fn logged_in(image: &str, host: &str, entry: &serde_json::Value) -> Tool {
    let tool = gate(image).file("config/config.json", &json!({"auths": {host: entry}}).to_string());
    let folder = tool.path().join("config");
    tool.env("DOCKER_CONFIG", folder.to_str().unwrap())
}

/// No secret is anywhere in what was said.
fn keeps_its_secrets(seen: &Seen) {
    let said = format!("{seen}{}", seen.json.as_ref().unwrap());
    for secret in [PASSWORD, LOGIN, "wrong-horse"] {
        assert!(!said.contains(secret), "{secret}\n{said}");
    }
}

#[test]
fn the_login_of_the_docker_cli_is_used() {
    let registry = Registry::start();
    let pushed = registry.push("web:1", "1", "");
    registry.fail(Some(Fault::Login));
    let (image, host) = (registry.reference("web:1"), registry.host.clone());
    let seen = logged_in(&image, &host, &json!({"auth": LOGIN})).run();
    seen.is("pass", &[]);
    assert_eq!(digest(&seen), pushed);
    keeps_its_secrets(&seen);
    let entry = json!({"username": USER, "password": PASSWORD});
    let seen = logged_in(&image, &host, &entry).args(&["--pull", "always"]).run();
    seen.is("pass", &[]);
    keeps_its_secrets(&seen);
}

#[test]
fn a_token_that_anybody_gets_is_fetched() {
    let registry = Registry::start();
    registry.push("web:1", "1", "");
    registry.fail(Some(Fault::Token));
    gate(&registry.reference("web:1")).run().is("pass", &[]);
    from(&registry, "base:1").run().is("pass", &[]);
    assert!(registry.requests().iter().any(|it| it.starts_with("GET /token?")));
}

/// A build `FROM` an image of the registry.
fn from(registry: &Registry, base: &str) -> Tool {
    registry.push(base, base, "");
    let base = registry.reference(base);
    Tool::gate(&format!("build: web\n{OPEN}"))
        .file("specs/web/Dockerfile", &format!("FROM {base}\nLABEL from={base}\n"))
}

#[test]
fn a_build_logs_in_for_its_base() {
    let registry = Registry::start();
    registry.fail(Some(Fault::Login));
    let tool = from(&registry, "base:1");
    let seen = tool.run();
    seen.is_inconclusive("cannot build an image from `web`");
    let config = json!({"auths": {&registry.host: {"auth": LOGIN}}}).to_string();
    let folder = tool.path().join("config");
    let tool = tool.file("config/config.json", &config);
    let seen = tool.env("DOCKER_CONFIG", folder.to_str().unwrap()).run();
    seen.is("pass", &[]);
    keeps_its_secrets(&seen);
}

#[test]
fn a_login_that_is_missing_or_wrong_is_told() {
    let registry = Registry::start();
    registry.push("web:1", "1", "");
    registry.fail(Some(Fault::Login));
    let (image, host) = (registry.reference("web:1"), registry.host.clone());
    let wrong = json!({"username": USER, "password": "wrong-horse"});
    for (host, entry) in
        [("registry.invalid", json!({"auth": LOGIN})), (host.as_str(), json!({})), (&host, wrong)]
    {
        let seen = logged_in(&image, host, &entry).run();
        seen.is_inconclusive(&format!("cannot pull image `{image}`"));
        let hint = seen.spec()["hint"].as_str().unwrap();
        assert!(hint.contains("`docker login`"), "{hint}");
        keeps_its_secrets(&seen);
    }
    assert!(!engine::has_image(&image));
}

#[test]
fn a_credential_helper_that_is_not_there_is_told() {
    let registry = Registry::start();
    registry.push("web:1", "1", "");
    registry.fail(Some(Fault::Login));
    let host = registry.host.clone();
    let tool = logged_in(&registry.reference("web:1"), &host, &json!({}))
        .file("config/config.json", r#"{"credsStore":"portlid-test-nowhere"}"#);
    let seen = tool.run();
    seen.is_inconclusive("cannot pull image");
    assert!(seen.stderr.contains(&format!("the login to `{host}` cannot be used")), "{seen}");
}

#[test]
fn a_registry_that_refuses_is_quoted() {
    let registry = Registry::start();
    let missing = registry.reference("nobody/nothing:1");
    for (fault, said) in [(None, "so it is"), (Some(Fault::TooManyRequests), "toomanyrequests")] {
        registry.fail(fault);
        let seen = gate(&missing).run();
        seen.is_inconclusive(&format!("cannot pull image `{missing}`"));
        let reason = seen.spec()["reason"].as_str().unwrap();
        assert!(reason.contains(said), "{said:?} is not in {reason:?}");
        assert!(!reason.contains("status code"), "{reason:?}");
    }
}

#[test]
fn the_asked_platform_is_picked_from_an_index() {
    let other = if NATIVE == "arm64" { "amd64" } else { "arm64" };
    let registry = Registry::start();
    let pushed = registry.push_index("web:1", &[other, NATIVE]);
    let image = registry.reference("web:1");
    let seen = gate(&image).run();
    seen.is("pass", &[]);
    assert_eq!(digest(&seen), pushed);
    assert_eq!(seen.spec()["platform"], format!("linux/{NATIVE}"));

    // The one that is there is for another, so it is pulled, though it cannot run here.
    let spec = format!("image: {image}\nplatform: linux/{other}\n{OPEN}");
    let seen = Tool::gate(&spec).run();
    seen.is_inconclusive("the container");
    assert!(seen.stderr.contains("pulling"), "{seen}");
    assert_eq!(digest(&seen), pushed);
    assert_eq!(seen.spec()["platform"], format!("linux/{other}"));

    let seen = Tool::gate(&spec.replace(other, "s390x")).run();
    seen.is_inconclusive(&format!("cannot pull image `{image}`"));
    let reason = seen.spec()["reason"].as_str().unwrap();
    assert!(reason.contains("linux/s390x"), "{reason}");
}

/// While the first spec is looked at, one at a time, the image of the next comes.
#[test]
fn images_are_fetched_before_their_turn() {
    let registry = Registry::start();
    registry.push("web:1", "1", "");
    let next = format!("image: {}\n{OPEN}", registry.reference("web:1"));
    let tool = Tool::subject(&[], &["tcp:0.0.0.0:80"], "expose: [80/tcp]\nwatch: 30s")
        .file("specs/then.yaml", &next)
        .args(&["--jobs", "1"]);
    let began = Instant::now();
    let child = tool.spawn();
    while !registry.requests().iter().any(|it| it.contains("/blobs/")) {
        // The watch alone takes longer.
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", registry.requests());
        sleep(Duration::from_millis(20));
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(tool.collect(child).code, Some(130));
}

/// Who says no beforehand is not asked again in the spec's turn.
#[test]
fn a_pull_that_fails_is_not_tried_twice() {
    let registry = Registry::start();
    registry.fail(Some(Fault::TooManyRequests));
    let missing = registry.reference("web:1");
    gate(&missing).run().is_inconclusive(&format!("cannot pull image `{missing}`"));
    let alone = registry.requests().len();

    let seen = Tool::subject(&[], &["tcp:0.0.0.0:80"], "expose: [80/tcp]")
        .file("specs/then.yaml", &format!("image: {missing}\n{OPEN}"))
        .args(&["--jobs", "1"])
        .run();
    assert_eq!(seen.code, Some(3), "{seen}");
    let specs = seen.json.as_ref().unwrap()["specs"].as_array().unwrap();
    let verdicts: Vec<_> = specs.iter().map(|spec| spec["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["pass", "inconclusive"], "{seen}");
    let reason = specs[1]["reason"].as_str().unwrap();
    assert!(reason.contains("toomanyrequests"), "{reason}");
    assert_eq!(registry.requests().len(), 2 * alone);
}

#[test]
fn a_signal_ends_a_pull_that_stalls() {
    let registry = Registry::start();
    registry.push("web:1", "1", "");
    registry.fail(Some(Fault::Stall));
    let tool = gate(&registry.reference("web:1"));
    let child = tool.spawn();
    let deadline = Instant::now() + Duration::from_secs(30);
    while registry.requests().iter().filter(|it| it.contains("/blobs/")).count() < 2 {
        assert!(Instant::now() < deadline, "{:?}", registry.requests());
        sleep(Duration::from_millis(20));
    }
    let sent_at = Instant::now();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let seen = tool.collect(child);
    assert!(sent_at.elapsed() < Duration::from_secs(5), "{:?}\n{seen}", sent_at.elapsed());
    assert_eq!(seen.code, Some(130), "{seen}");
    // The engine gave the pull up too: the next one is not held up by it.
    registry.fail(None);
    tool.run().is("pass", &[]);
}
