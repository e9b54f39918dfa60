//! The library, on a container that a test started with testcontainers.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use portlid::{
    Spec,
    judgement::Verdict,
    run::{Options, Session},
};
use testcontainers::{GenericImage, ImageExt, runners::AsyncRunner};

use crate::engine;

/// Checks a container against a spec's text, in this process.
async fn check(container: &str, rest: &str) -> portlid::record::Record {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("subject.yaml");
    let text = format!("container: {container}\n{rest}watch: 300ms\nscan: listed\n");
    std::fs::write(&file, text).unwrap();
    let loaded = portlid::spec::load(&[PathBuf::from(&file)], &|_| None);
    assert!(loaded.problems.is_empty(), "{}", portlid::spec::render(&loaded.problems, false));
    let session = Session::new(Options::default(), Arc::new(|_, _| {}));
    session.check(&loaded.specs[0]).await
}

#[test]
fn a_container_of_testcontainers_is_judged() {
    let image = engine::fixture(&["80/tcp"]);
    let (name, tag) = image.split_once(':').unwrap();
    engine::runtime().block_on(async {
        let container = GenericImage::new(name, tag)
            .with_cmd(["tcp:0.0.0.0:80", "tcp:127.0.0.1:81"])
            .start()
            .await
            .unwrap();
        // testcontainers publishes on every address: the spec has to say that this is meant.
        let published = "run: { publish: [\"0.0.0.0::80/tcp\"] }\n";
        let record = check(container.id(), &format!("expose: [80/tcp]\n{published}")).await;
        assert_eq!(record.verdict, Verdict::Pass, "{record:#?}");
        let rules: Vec<&str> = record.findings.iter().map(|it| it.finding.rule.id()).collect();
        assert_eq!(rules, ["loopback-listener"]);

        let record = check(container.id(), "expose: []\n").await;
        assert_eq!(record.verdict, Verdict::Fail, "{record:#?}");
        let rules: Vec<&str> = record.findings.iter().map(|it| it.finding.rule.id()).collect();
        for rule in ["unlisted-listener", "unlisted-expose", "publish-too-wide"] {
            assert!(rules.contains(&rule), "{rules:?}");
        }
        container.rm().await.unwrap();
    });
}

#[test]
fn a_test_that_gives_up_leaves_nothing() {
    let image = engine::fixture(&["80/tcp"]);
    let spec = Spec::image(image).command(["tcp:0.0.0.0:80"]).allow(80).watch(minute());
    let spec = spec.build().unwrap();
    let test = engine::runtime().spawn(async move { spec.test().await.map(drop) });
    let begun = Instant::now();
    let wait_until = |is_there: bool| {
        while engine::made_by(std::process::id()).is_empty() == is_there {
            assert!(begun.elapsed() < minute(), "{:?}", engine::made_by(std::process::id()));
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    wait_until(true);
    test.abort();
    wait_until(false);
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

#[cfg(feature = "testcontainers")]
#[test]
fn a_spec_checks_a_container_of_testcontainers_in_one_line() {
    let image = engine::fixture(&["80/tcp"]);
    let (name, tag) = image.split_once(':').unwrap();
    let folder = tempfile::tempdir().unwrap();
    let spec = |expose: &str| {
        let file = folder.path().join("web.yaml");
        let text = format!("image: {image}\nexpose: {expose}\nwatch: 300ms\nscan: listed\n");
        std::fs::write(&file, text).unwrap();
        portlid::spec::load(&[file], &|_| None).specs.remove(0)
    };
    engine::runtime().block_on(async {
        let container =
            GenericImage::new(name, tag).with_cmd(["tcp:0.0.0.0:80"]).start().await.unwrap();
        let record = spec("[80/tcp]").check(&container).await.unwrap();
        let seen: Vec<String> = record
            .findings
            .iter()
            .map(|it| format!("{} {}", it.finding.level, it.finding.rule))
            .collect();
        assert_eq!(seen, ["note publish-too-wide"], "what testcontainers did is said, and no more");
        assert!(record.findings[0].finding.help.starts_with("what is published is testcontainers'"));
        let error = spec("[]").check(&container).await.unwrap_err();
        assert!(error.to_string().contains("fail[unlisted-listener]: 80/tcp"), "{error}");
        // What `?` prints in a test.
        assert_eq!(format!("{error:?}"), error.to_string());

        // Whoever means the rules about publishing says so.
        let strict = |expected: &str| {
            let text = format!(
                "image: {image}\nexpose: [80/tcp]\nwatch: 300ms\nscan: listed\n\
                 rules: {{ publish-too-wide: fail }}\nrun: {{ publish: [\"{expected}::80/tcp\"] }}\n"
            );
            Spec::from_text(&text).unwrap()
        };
        let error = strict("127.0.0.1").check(&container).await.unwrap_err();
        assert!(error.to_string().contains("fail[publish-too-wide]: 80/tcp"), "{error}");
        let record = strict("0.0.0.0").check(&container).await.unwrap();
        assert!(record.findings.is_empty(), "{record:#?}");
        container.rm().await.unwrap();
    });
}
