//! The library, on a container that a test started with testcontainers.

use std::{path::PathBuf, sync::Arc};

use portlid::{
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
        let error = spec("[]").check(&container).await.unwrap_err();
        assert!(error.to_string().contains("fail[unlisted-listener]: 80/tcp"), "{error}");
        container.rm().await.unwrap();
    });
}
