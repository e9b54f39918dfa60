//! What is looked at: images, archives, builds, running containers.

use std::fs;

use bollard::{
    models::{HostConfig, PortBinding},
    query_parameters::RemoveImageOptionsBuilder,
};
use futures_util::StreamExt;

use crate::{
    engine::{self, Foreign},
    harness::Tool,
};

const OPEN: &str =
    "run: { command: [\"tcp:0.0.0.0:80\"] }\nexpose: [80/tcp]\nwatch: 0s\nscan: listed\n";

#[test]
fn a_build_context_is_built() {
    let tool = Tool::gate(&format!("build: web\n{OPEN}"))
        .file(
            "specs/web/Dockerfile",
            "FROM scratch\nARG PORT\nCOPY listener /\nEXPOSE $PORT\nENTRYPOINT [\"/listener\"]\n",
        )
        .file("specs/web/.dockerignore", "secret\n")
        .file("specs/web/secret", "not for the image\n");
    fs::copy(engine::listener(), tool.path().join("specs/web/listener")).unwrap();
    let spec = fs::read_to_string(tool.path().join("specs/subject.yaml")).unwrap();
    let spec = spec.replace("build: web", "build: { context: web, args: { PORT: \"80\" } }");
    let seen = tool.file("specs/subject.yaml", &spec).run();
    seen.is("pass", &[]);
    // What is built stays as a cache; this one is nobody's.
    remove(seen.spec()["digest"].as_str().unwrap());
}

#[test]
fn a_build_that_fails_shows_the_end_of_its_log() {
    let seen = Tool::gate(&format!("build: web\n{OPEN}"))
        .file("specs/web/Dockerfile", "FROM scratch\nCOPY missing /\n")
        .run();
    seen.is_inconclusive("cannot build an image from `web`");
    assert!(seen.spec()["reason"].as_str().unwrap().contains("missing"), "{seen}");
}

/// What `docker save` writes for the fixture image.
fn saved(reference: &str) -> Vec<u8> {
    let docker = engine::docker();
    engine::runtime().block_on(async {
        let mut bytes = Vec::new();
        let mut stream = Box::pin(docker.export_image(reference));
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.unwrap());
        }
        bytes
    })
}

#[test]
fn an_archive_of_docker_save_is_loaded_and_goes_away_again() {
    // An image of its own, so that it can be removed before it is loaded.
    let image = engine::fixture_with(&["80/tcp"], &["LABEL saved=docker"]);
    let bytes = saved(&image);
    remove(&image);
    let tool = Tool::gate(&format!("archive: web.tar\n{OPEN}"));
    fs::write(tool.path().join("specs/web.tar"), &bytes).unwrap();
    let seen = tool.run();
    seen.is("pass", &[]);
    let digest = seen.spec()["digest"].as_str().unwrap();
    assert!(!engine::has_image(digest), "the image stayed");
    assert!(!engine::has_image(&image), "the archive's own tag was made");
}

#[test]
fn specs_of_one_archive_share_it() {
    let image = engine::fixture_with(&["80/tcp"], &["LABEL saved=shared"]);
    let bytes = saved(&image);
    remove(&image);
    let spec = format!("archive: web.tar\n{OPEN}");
    let tool = Tool::new(&["test", "--jobs", "2"])
        .file("specs/one.yaml", &spec)
        .file("specs/two.yaml", &spec)
        .file("specs/three.yaml", &spec);
    fs::write(tool.path().join("specs/web.tar"), &bytes).unwrap();
    let seen = tool.run();
    assert_eq!(seen.code, Some(0), "{seen}");
    assert_eq!(seen.stderr.matches("loading").count(), 1, "{seen}");
}

/// The name of a configuration in an archive proves nothing: what is in the archive is looked at.
#[test]
fn an_archive_is_not_taken_at_its_word() {
    let good = engine::fixture_with(&[], &["LABEL saved=good"]);
    let id = engine::id(&good);
    let hash = id.strip_prefix("sha256:").unwrap();
    let manifest = format!(r#"[{{"Config":"{hash}.json","RepoTags":null,"Layers":[]}}]"#);
    let config =
        r#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in [(format!("{hash}.json"), config), ("manifest.json".to_owned(), &manifest)]
    {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        builder.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    let tool = Tool::gate(
        "archive: web.tar\nrun: { command: [sleep] }\nexpose: []\nwatch: 0s\nscan: off\n",
    );
    fs::write(tool.path().join("specs/web.tar"), builder.into_inner().unwrap()).unwrap();
    let seen = tool.run();
    assert_eq!(seen.code, Some(3), "{seen}");
    assert_ne!(seen.spec()["digest"], id.as_str(), "{seen}");
    remove(&good);
}

#[test]
fn an_oci_layout_is_loaded() {
    let image = engine::fixture_with(&["80/tcp"], &["LABEL saved=oci"]);
    let bytes = oci(&saved(&image));
    remove(&image);
    let tool = Tool::gate(&format!("archive: web.tar\n{OPEN}"));
    fs::write(tool.path().join("specs/web.tar"), bytes).unwrap();
    let seen = tool.run();
    seen.is("pass", &[]);
    assert!(!engine::has_image(seen.spec()["digest"].as_str().unwrap()), "the image stayed");
}

#[test]
fn an_image_that_was_there_before_stays() {
    let image = engine::fixture_with(&["80/tcp"], &["LABEL saved=stays"]);
    let tool = Tool::gate(&format!("archive: web.tar\n{OPEN}"));
    fs::write(tool.path().join("specs/web.tar"), saved(&image)).unwrap();
    tool.run().is("pass", &[]);
    assert!(engine::has_image(&image));
    remove(&image);
}

#[test]
fn an_archive_that_is_none_says_so() {
    let tool = Tool::gate(&format!("archive: web.tar\n{OPEN}"));
    fs::write(tool.path().join("specs/web.tar"), b"not a tar at all").unwrap();
    tool.run().is_inconclusive("cannot load an image from");
}

fn remove(image: &str) {
    let docker = engine::docker();
    engine::runtime().block_on(async {
        let all = RemoveImageOptionsBuilder::default().force(true).build();
        docker.remove_image(image, Some(all), None).await.unwrap();
    });
}

/// The same image as an OCI layout.
fn oci(docker_archive: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    use std::{collections::HashMap, io::Read};
    let mut files: HashMap<String, Vec<u8>> = HashMap::new();
    let mut links: Vec<(String, String)> = Vec::new();
    let mut archive = tar::Archive::new(docker_archive);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        if let Some(target) = entry.link_name().unwrap() {
            links.push((name, target.display().to_string()));
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(name, bytes);
    }
    assert!(links.is_empty(), "the fixture has one layer");
    let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, bytes).unwrap();
    };
    let mut blob = |bytes: &[u8]| {
        let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        add(&format!("blobs/sha256/{hash}"), bytes);
        serde_json::json!({ "digest": format!("sha256:{hash}"), "size": bytes.len() })
    };
    let config = blob(&files[manifest[0]["Config"].as_str().unwrap()]);
    let layers: Vec<_> = manifest[0]["Layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| blob(&files[layer.as_str().unwrap()]))
        .collect();
    let manifest = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": layers });
    let manifest = blob(manifest.to_string().as_bytes());
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [manifest] });
    add("index.json", index.to_string().as_bytes());
    add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    builder.into_inner().unwrap()
}

#[test]
fn a_running_container_is_looked_at_and_left_alone() {
    let image = engine::fixture(&["80/tcp"]);
    let container = Foreign::start(&image, &["tcp:0.0.0.0:80"], HostConfig::default());
    let spec = |expose: &str| {
        format!("container: {}\nexpose: {expose}\nwatch: 300ms\nscan: listed\n", container.id)
    };
    Tool::gate(&spec("[80/tcp]")).run().is("pass", &[]);
    let seen = Tool::gate(&spec("[]")).run();
    assert_eq!(seen.code, Some(1), "{seen}");
    assert!(container.is_running());
}

#[test]
fn a_container_of_others_may_not_be_published_wider_than_loopback() {
    let image = engine::fixture(&["80/tcp"]);
    let bindings = |host: &str| HostConfig {
        port_bindings: Some(
            [(
                "80/tcp".to_owned(),
                Some(vec![PortBinding { host_ip: Some(host.to_owned()), host_port: None }]),
            )]
            .into(),
        ),
        ..HostConfig::default()
    };
    for (host, more, verdict, findings) in [
        ("127.0.0.1", "", "pass", vec![]),
        ("0.0.0.0", "", "fail", vec!["fail publish-too-wide 80/tcp - :2"]),
        ("0.0.0.0", "run: { publish: [\"0.0.0.0::80/tcp\"] }\n", "pass", vec![]),
    ] {
        let container = Foreign::start(&image, &["tcp:0.0.0.0:80"], bindings(host));
        let spec = format!(
            "container: {}\nexpose: [80/tcp]\nwatch: 0s\nscan: listed\n{more}",
            container.id
        );
        Tool::gate(&spec).run().is(verdict, &findings);
    }
}

#[test]
fn a_container_without_a_network_of_its_own_is_never_judged() {
    let image = engine::fixture(&[]);
    for (mode, because) in [("none", "has no network"), ("host", "uses the network of `host`")] {
        let host = HostConfig { network_mode: Some(mode.to_owned()), ..HostConfig::default() };
        let container = Foreign::start(&image, &["sleep"], host);
        let spec = format!("container: {}\nexpose: []\nwatch: 0s\n", container.id);
        Tool::gate(&spec).run().is_inconclusive(because);
    }
}

#[test]
fn a_container_that_is_not_there_or_not_running() {
    Tool::gate("container: no-such-container\nexpose: []\n")
        .run()
        .is_inconclusive("no-such-container");
    let container = Foreign::start(&engine::fixture(&[]), &["exit:0"], HostConfig::default());
    while container.is_running() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Tool::gate(&format!("container: {}\nexpose: []\n", container.id))
        .run()
        .is_inconclusive("is not running");
}

#[test]
fn companions_come_first_and_are_not_judged() {
    let image = engine::fixture(&["80/tcp"]);
    let spec = format!(
        "image: {image}\nrun: {{ command: [\"tcp:0.0.0.0:80\"] }}\nexpose: [80/tcp]\n\
         needs:\n  db:\n    image: {image}\n    command: [\"tcp:0.0.0.0:5432@200\"]\n    \
         ready: {{ port: 5432/tcp }}\nwatch: 300ms\nscan: listed\n"
    );
    let seen = Tool::gate(&spec).run();
    seen.is("pass", &[]);
    let spec = spec.replace("tcp:0.0.0.0:5432@200", "exit:9");
    let seen = Tool::gate(&spec).run();
    seen.is_inconclusive("companion `db`");
}

#[test]
fn another_platform_is_not_what_was_asked_for() {
    let image = engine::fixture(&[]);
    let spec = format!("image: {image}\nplatform: linux/s390x\nexpose: []\n");
    Tool::gate(&spec).args(&["--pull", "never"]).run().is_inconclusive("not for linux/s390x");
}

#[test]
fn an_image_that_cannot_be_had() {
    let spec = "image: 127.0.0.1:1/nowhere/web:1\nexpose: []\n";
    let seen = Tool::gate(spec).run();
    seen.is_inconclusive("cannot pull image `127.0.0.1:1/nowhere/web:1`");
    Tool::gate(spec).args(&["--pull", "never"]).run().is_inconclusive("forbids to pull it");
}

#[test]
fn another_image_can_stand_in_for_a_release_candidate() {
    let image = engine::fixture(&["80/tcp"]);
    let replacement = format!("subject={image}");
    let spec = format!("image: web:released\n{OPEN}");
    let seen = Tool::gate(&spec).args(&["--image", &replacement]).run();
    seen.is("pass", &[]);
    assert_eq!(seen.spec()["image"], image.as_str());
    Tool::gate(&spec)
        .args(&["--image", "nobody=x"])
        .run()
        .refuses(2, &["no spec is called `nobody`"]);
}
