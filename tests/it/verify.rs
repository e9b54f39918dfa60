//! `portlid verify`: on statements of real runs, and images that the engine really has.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    engine,
    harness::{Seen, Tool},
};

/// The digest of nothing here.
const OTHER: &str = "sha256:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";

/// The fixture image, and what a run that looked at it wrote.
fn looked_at(expose: &str) -> (String, String) {
    let image = engine::fixture(&["80/tcp"]);
    let tool = Tool::new(&["test", "--report", "intoto=portlid.intoto"]).file(
        "specs/web.yaml",
        &format!(
            "image: {image}\nrun: {{ command: [\"tcp:0.0.0.0:80\"] }}\nready: {{ port: 80 }}\n\
             expose: {expose}\nwatch: 0s\nscan: listed\n"
        ),
    );
    tool.run();
    let text = std::fs::read_to_string(tool.path().join("portlid.intoto")).unwrap();
    (image, text)
}

/// The engine's id of an image.
fn id(image: &str) -> String {
    let inspected = engine::runtime().block_on(engine::docker().inspect_image(image)).unwrap();
    inspected.id.unwrap()
}

/// The digest that a statement's only subject has.
fn digest(text: &str) -> String {
    let statement: Value = serde_json::from_str(text).unwrap();
    format!("sha256:{}", statement["subject"][0]["digest"]["sha256"].as_str().unwrap())
}

fn verify(text: &str, arguments: &[&str]) -> Seen {
    Tool::new(&["verify", "portlid.intoto"]).file("portlid.intoto", text).args(arguments).run()
}

#[test]
fn what_passed_verifies_by_tag_and_by_id() {
    let (image, text) = looked_at("[80/tcp]");
    for reference in [&image, &id(&image)] {
        let seen = verify(&text, &["--image", reference]);
        assert_eq!(seen.code, Some(0), "{seen}");
        assert!(seen.stdout.starts_with("verified: `portlid.intoto` vouches for `"), "{seen}");
        // Docker knows the image by its id alone, Podman gives it a digest at once.
        let is_compared = seen.stdout.contains("  compared   the engine's id of the image\n")
            || seen.stdout.contains("  compared   the registry's digest of the image, ");
        assert!(is_compared && seen.stdout.contains(&digest(&text)), "{seen}");
        assert!(seen.stdout.contains("  passed     web (specs/web.yaml)\n"), "{seen}");
        // Whoever reads "verified" reads this, too.
        assert!(
            seen.stdout.contains("not checked: the signature; `cosign verify-attestation"),
            "{seen}"
        );
        assert_eq!(seen.stderr, "", "{seen}");
    }
    // Stated, no engine is asked.
    let stated = format!("anything@{}", digest(&text));
    let seen = verify(&text, &["--image", &stated, "--engine", "unix:///nowhere"]);
    assert_eq!(seen.code, Some(0), "{seen}");
    assert!(seen.stdout.contains("the digest as you gave it"), "{seen}");
    let arch = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };
    assert_eq!(verify(&text, &["--image", &stated, "--platform", arch]).code, Some(0));
    verify(&text, &["--image", &stated, "--platform", "linux/s390x"])
        .refuses(1, &["error: it was looked at for linux/", ", not for linux/s390x"]);
}

/// The whole answer, as it is read.
#[test]
fn the_answers_read_well() {
    let (image, text) = looked_at("[80/tcp]");
    let digest = digest(&text);
    let shown = |seen: Seen| {
        let mut text = seen.to_string().replace(&image, "IMAGE").replace(&digest, "DIGEST");
        for (pattern, with) in [
            (r"\d+ s ago \(\S+\)", "N s ago (TIME)"),
            (r"portlid \S+ with .*", "portlid VERSION with ENGINE"),
            (r"linux/a\w+", "PLATFORM"),
            (r"compared   .*", "compared   WHAT"),
        ] {
            text = regex::Regex::new(pattern).unwrap().replace_all(&text, with).into_owned();
        }
        text
    };
    insta::assert_snapshot!("verify_verified", shown(verify(&text, &["--image", &image])));
    let (_, failed) = looked_at("[]");
    let stated = format!("web@{OTHER}");
    insta::assert_snapshot!("verify_refused", shown(verify(&failed, &["--image", &stated])));
}

#[test]
fn what_failed_does_not() {
    let (image, text) = looked_at("[]");
    verify(&text, &["--image", &image]).refuses(
        1,
        &[
            "error: the result is `FAILED`, not `PASSED`\n  help: ",
            "error: the run ended with exit code 1, not 0\n  help: ",
            "error: the verdict on the spec `web` is `fail`\n  help: ",
            "error: the spec `web` failed\n  help: ",
            "not verified: `portlid.intoto` does not vouch for `",
        ],
    );
}

#[test]
fn warnings_are_allowed_on_request() {
    let (image, text) = looked_at("[80/tcp, { port: 81/tcp, optional: true }]");
    let statement: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(statement["predicate"]["result"], "WARNED", "{text}");
    verify(&text, &["--image", &image]).refuses(1, &["`--allow-warnings`"]);
    let seen = verify(&text, &["--image", &image, "--allow-warnings"]);
    assert_eq!(seen.code, Some(0), "{seen}");
    assert!(seen.stdout.contains("web (specs/web.yaml), with warnings\n"), "{seen}");
}

#[test]
fn another_image_or_an_old_run_does_not_verify() {
    let (image, text) = looked_at("[80/tcp]");
    let other = engine::fixture(&["81/tcp"]);
    assert_ne!(id(&image), id(&other));
    verify(&text, &["--image", &other])
        .refuses(1, &["error: it is not about ", "the image with the id `"]);
    verify(&text, &["--image", &format!("web@{OTHER}")])
        .refuses(1, &[&format!("error: it is not about `{OTHER}`, but about `{}`", digest(&text))]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    verify(&text, &["--image", &image, "--max-age", "0s"]).refuses(1, &["error: it is too old: "]);
}

#[test]
fn an_image_that_is_not_known_is_inconclusive_unless_more_is_wrong() {
    let (_, text) = looked_at("[80/tcp]");
    for arguments in [
        &["--image", "portlid-nowhere:1"][..],
        &["--image", "web:1", "--engine", "unix:///nowhere"],
        &["--image", OTHER],
    ] {
        let seen = verify(&text, arguments);
        seen.refuses(3, &["error: cannot say which image `", "\n  help: ", "NAME@sha256:DIGEST"]);
        assert!(!seen.stdout.contains("verified"), "{seen}");
    }
    let failed = text.replace("PASSED", "FAILED");
    verify(&failed, &["--image", "portlid-nowhere:1"])
        .refuses(1, &["error: cannot say which image `", "error: the result is `FAILED`"]);
}

#[test]
fn what_cannot_be_read_is_told_before_an_engine_is_asked() {
    let (_, text) = looked_at("[80/tcp]");
    let half = &text[..text.len() / 2];
    let twice = text.replacen('{', "{\"predicate\": {},", 1);
    let huge = " ".repeat(17 << 20);
    for (text, part) in [
        (half, "holds nothing to verify: it is no sound JSON: EOF while parsing"),
        (&twice, "the key `predicate` is there twice at line "),
        ("", "holds nothing to verify: it holds no statement"),
        ("{}", "it holds something that is neither a statement nor an envelope"),
        (&huge, "it is larger than 16 MiB"),
    ] {
        let seen = verify(text, &["--image", "web:1", "--engine", "unix:///nowhere"]);
        seen.refuses(2, &["error: `portlid.intoto` ", part, "\n  help: "]);
        assert!(!seen.stderr.contains("cannot say which image"), "{seen}");
    }
    for (arguments, part) in [
        (&["verify", "nowhere", "--image", "web:1"][..], "cannot read `nowhere`: No such file"),
        (&["verify", ".", "--image", "web:1"], "cannot read `.`: it is no regular file"),
        (
            &["verify", "/dev/zero", "--image", "web:1"],
            "cannot read `/dev/zero`: it is no regular file",
        ),
        (&["verify", "x", "--image", "Web"], "`--image Web`: it is no image reference"),
        (&["verify", "x", "--image", "web@sha256:12"], "the digest is malformed"),
        (&["verify", "x", "--image", &format!("web@sha512:{}", "0".repeat(128))], "only sha256"),
        (&["verify", "x"], "--image <REF>"),
        (&["verify", "x", "--image", "web", "--max-age", "1"], "--max-age"),
        (&["verify", "x", "--image", "web", "--platform", "amd64"], "such as `linux/arm64`"),
    ] {
        Tool::new(arguments).run().refuses(2, &[part]);
    }
}

/// As `cosign verify-attestation` prints it, through a pipe.
#[test]
fn a_signed_predicate_comes_through_a_pipe() {
    let (image, text) = looked_at("[80/tcp]");
    let statement: Value = serde_json::from_str(&text).unwrap();
    let id = digest(&text);
    let signed = |digest: &str| {
        let payload = json!({
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
            "subject": [{ "name": "ghcr.io/acme/web", "digest": { "sha256": &digest[7..] } }],
            "predicate": statement["predicate"],
        });
        json!({
            "payloadType": "application/vnd.in-toto+json",
            "payload": STANDARD.encode(payload.to_string()),
            "signatures": [{ "sig": "MEQCIA==" }],
        })
        .to_string()
    };
    let piped = |text: &str, image: &str| {
        let tool = Tool::new(&["verify", "-", "--image", image]).input(text);
        tool.run()
    };
    let seen = piped(&signed(&id), &format!("ghcr.io/acme/web@{id}"));
    assert_eq!(seen.code, Some(0), "{seen}");
    assert!(seen.stdout.contains("verified: `-` vouches for `ghcr.io/acme/web@"), "{seen}");
    // Signed for one image, and made of another.
    piped(&signed(OTHER), &format!("ghcr.io/acme/web@{OTHER}"))
        .refuses(1, &[&format!("it was signed for `{OTHER}`, but what was looked at is `{id}`")]);
    // What a `cosign` that refuses prints.
    piped("", &image).refuses(2, &["error: standard input holds nothing to verify"]);
}
