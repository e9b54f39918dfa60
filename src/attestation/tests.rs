//! What verifies and what does not: on the real output of the report, changed in every way.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Compared, Demands, LARGEST_FILE, Outcome, Verified, Wanted, judge, read};
use crate::{
    exit::Exit,
    record::{Record, RunRecord},
    report::{
        intoto::intoto,
        testing::{self, HASH, inconclusive, passing, run, warned},
    },
};

/// The image's id in the records of the tests.
fn id() -> String {
    format!("sha256:{}", "12".repeat(32))
}

fn other() -> String {
    format!("sha256:{}", "cd".repeat(32))
}

fn third() -> String {
    format!("sha256:{}", "ee".repeat(32))
}

fn stated(digest: &str) -> Wanted {
    Wanted::Stated { digest: digest.to_owned() }
}

fn resolved(id: &str, digests: &[&str], platform: Option<&str>) -> Wanted {
    Wanted::Resolved {
        id: id.to_owned(),
        digests: digests.iter().map(|&it| it.to_owned()).collect(),
        platform: platform.map(str::to_owned),
    }
}

/// An hour after the runs of the tests.
fn demands() -> Demands {
    Demands {
        now: Timestamp::from_second(1_790_000_009 + 3600).unwrap(),
        max_age: std::time::Duration::from_secs(24 * 3600),
        allow_warnings: false,
        platforms: Vec::new(),
    }
}

/// What comes of a text; an error of reading is a reason like any other.
fn held(text: &str, wanted: &Wanted, demands: &Demands) -> Result<Vec<Verified>, Vec<String>> {
    match read(text.as_bytes()) {
        Err(error) => Err(vec![error.what]),
        Ok(file) => match judge(&file, Some(wanted), demands) {
            Outcome::Verified(verified) => Ok(verified),
            Outcome::Refused(reasons) => {
                assert!(!reasons.is_empty(), "refused without a reason");
                for reason in &reasons {
                    assert!(!reason.what.is_empty() && !reason.hint.is_empty(), "{reason:?}");
                }
                Err(reasons.into_iter().map(|reason| reason.what).collect())
            }
        },
    }
}

fn verifies(text: &str) -> bool {
    held(text, &stated(HASH), &demands()).is_ok()
}

/// The statement about a run.
fn statement(specs: Vec<Record>) -> Value {
    serde_json::from_str(&intoto(&run(specs))).unwrap()
}

fn web() -> Value {
    statement(vec![passing("web")])
}

/// `web` with the value at a JSON pointer replaced.
fn with(pointer: &str, value: Value) -> String {
    let mut statement = web();
    *statement.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
    statement.to_string()
}

/// What `cosign attest --predicate` makes of a predicate for that digest, and prints when it verifies.
fn signed(predicate: &Value, digest: &str) -> String {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": super::PREDICATE_TYPE,
        "subject": [{ "name": "index.docker.io/library/nginx", "digest": { "sha256": &digest[7..] } }],
        "predicate": predicate,
    });
    envelope(&statement).to_string()
}

fn envelope(statement: &Value) -> Value {
    json!({
        "payloadType": "application/vnd.in-toto+json",
        "payload": STANDARD.encode(statement.to_string()),
        "signatures": [{ "keyid": "", "sig": "MEUCIQ==" }],
    })
}

#[track_caller]
fn refused(text: &str, wanted: &Wanted, demands: &Demands, expected: &[&str]) {
    match held(text, wanted, demands) {
        Err(reasons) => assert_eq!(reasons, expected, "{text:.300}"),
        Ok(verified) => panic!("verified: {verified:?}\n{text}"),
    }
}

#[test]
fn a_pass_verifies_and_says_what_it_is() {
    let found = held(&intoto(&run(vec![passing("web")])), &stated(HASH), &demands()).unwrap();
    let [verified] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(verified.subject, "nginx:1.29");
    assert_eq!(verified.digest, HASH);
    assert_eq!(verified.compared, Compared::Stated);
    assert_eq!((verified.version.as_str(), verified.engine.as_str()), ("0.1.0", "docker 28.5.1"));
    assert_eq!(verified.ago(), "60 min ago");
    let [test] = verified.tests.as_slice() else { panic!("{verified:?}") };
    assert_eq!((test.name.as_str(), test.file.as_str()), ("web", "services/specs/web.yaml"));
    assert_eq!(test.platform, "linux/amd64");
}

/// Of everything that a run may end with, only a pass verifies.
#[test]
fn only_what_passed_verifies() {
    let allowing = Demands { allow_warnings: true, ..demands() };
    let mut verified = Vec::new();
    for (name, run) in testing::all() {
        let text = intoto(&run);
        let strictly = held(&text, &stated(HASH), &demands()).is_ok();
        let leniently = held(&text, &stated(HASH), &allowing).is_ok();
        assert!(!leniently || run.exit() == Exit::Pass, "{name}");
        verified.push((name, strictly, leniently));
    }
    verified.retain(|(_, strictly, leniently)| *strictly || *leniently);
    assert_eq!(verified, [("pass", true, true), ("warn", false, true)]);
}

/// A step from a value to one in it.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Item(usize),
}

fn ways(value: &Value) -> Vec<Vec<Step>> {
    let below: Vec<(Step, &Value)> = match value {
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| (Step::Key(key.clone()), value)).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, value)| (Step::Item(index), value)).collect()
        }
        _ => Vec::new(),
    };
    let mut all = vec![Vec::new()];
    for (step, value) in below {
        all.extend(ways(value).into_iter().map(|way| [vec![step.clone()], way].concat()));
    }
    all
}

fn at<'v>(value: &'v mut Value, way: &[Step]) -> &'v mut Value {
    way.iter().fold(value, |value, step| match step {
        Step::Key(key) => &mut value[key],
        Step::Item(index) => &mut value[index],
    })
}

fn shown(way: &[Step]) -> String {
    way.iter()
        .map(|step| match step {
            Step::Key(key) => format!("/{key}"),
            Step::Item(index) => format!("/{index}"),
        })
        .collect()
}

/// Everything that can be done to the value at the end of `way`: what it becomes, and the whole.
fn changes(whole: &Value, way: &[Step]) -> Vec<(Option<Value>, Value)> {
    let old = at(&mut whole.clone(), way).clone();
    let mut values = vec![
        Value::Null,
        json!(true),
        json!(false),
        json!(0),
        json!(1.5),
        json!(""),
        json!(" "),
        json!("other"),
        json!([]),
        json!({}),
        json!([old]),
        json!([old, old]),
        json!({ "key": old }),
        json!(other()),
        json!("PASSED"),
        json!("pass"),
        json!("0"),
    ];
    match &old {
        Value::String(text) => {
            values.extend([
                json!(format!("{text}x")),
                json!(format!("x{text}")),
                json!(format!("{text} ")),
                json!(text.to_uppercase()),
                json!(text.chars().rev().collect::<String>()),
                json!(text.replacen(|it: char| it.is_ascii_hexdigit(), "f", 1)),
                json!(text.replacen(|it: char| it.is_ascii_hexdigit(), "0", 1)),
                json!(text.chars().skip(1).collect::<String>()),
                json!([text]),
            ]);
        }
        Value::Array(items) => {
            for more in [json!("web"), json!("other"), json!({}), Value::Null] {
                values.push(items.iter().chain([&more]).cloned().collect());
                values.push([&more].into_iter().chain(items).cloned().collect());
            }
            if let Some(first) = items.first() {
                values.push(items.iter().chain([first]).cloned().collect());
                values.push(items.iter().skip(1).cloned().collect());
            }
            values.push(items.iter().rev().cloned().collect());
        }
        Value::Object(entries) => {
            for more in ["key", "url", "_type", "payload", "reason", "sha512", ""] {
                let mut more_entries = entries.clone();
                if more_entries.insert(more.to_owned(), json!("x")).is_none() {
                    values.push(Value::Object(more_entries));
                }
            }
        }
        _ => {}
    }
    let mut changed: Vec<(Option<Value>, Value)> = values
        .into_iter()
        .filter(|new| *new != old)
        .map(|new| {
            let mut whole = whole.clone();
            *at(&mut whole, way) = new.clone();
            (Some(new), whole)
        })
        .collect();
    if let Some((last, before)) = way.split_last() {
        let mut without = whole.clone();
        match (at(&mut without, before), last) {
            (Value::Object(entries), Step::Key(key)) => {
                let value = entries.remove(key).unwrap();
                for name in [format!("{key}x"), key.to_uppercase(), format!(" {key}")] {
                    let mut renamed = whole.clone();
                    let entries = at(&mut renamed, before).as_object_mut().unwrap();
                    entries.remove(key);
                    if entries.insert(name, value.clone()).is_none() && renamed != *whole {
                        changed.push((None, renamed));
                    }
                }
            }
            (Value::Array(items), Step::Item(index)) => drop(items.remove(*index)),
            _ => unreachable!("a way leads through objects and lists"),
        }
        changed.push((None, without));
    }
    changed
}

/// Changes everything; returns where a change still verifies, and how much was changed.
fn silent(whole: &Value, wanted: &Wanted, demands: &Demands) -> (Vec<String>, usize) {
    assert!(held(&whole.to_string(), wanted, demands).is_ok(), "{whole}");
    let mut silent = Vec::new();
    let mut count = 0;
    for way in ways(whole) {
        for (new, changed) in changes(whole, &way) {
            // A list of statements is read as such.
            if way.is_empty() && changed.is_array() {
                continue;
            }
            count += 1;
            if held(&changed.to_string(), wanted, demands).is_ok() {
                // Only one text in place of another can be without a trace.
                let is_text =
                    new.as_ref().and_then(Value::as_str).is_some_and(|it| !it.trim().is_empty());
                assert!(is_text, "{} became {new:?}: {changed}", shown(&way));
                silent.push(shown(&way));
            }
        }
    }
    silent.dedup();
    (silent, count)
}

/// What nothing in the statement contradicts: only the signature can protect it.
const FREE: [&str; 5] = [
    "/predicate/configuration/0/annotations/engine",
    "/predicate/configuration/0/annotations/version",
    "/predicate/configuration/1/digest/sha256",
    "/predicate/configuration/1/name",
    "/subject/0/annotations/dev.portlid.image-id",
];

/// One moment in place of another is seen only if it makes no sense.
const TIMES: [&str; 3] = [
    "/predicate/configuration/0/annotations/finishedOn",
    "/predicate/configuration/0/annotations/startedOn",
    "/predicate/configuration/1/annotations/startedOn",
];

#[test]
fn no_change_of_a_statement_is_silent() {
    let (silent, count) =
        silent(&web(), &resolved(&third(), &[HASH], Some("linux/amd64")), &demands());
    assert_eq!(silent, FREE);
    assert!(count > 700, "only {count}");
}

/// Without an engine the platform is not compared, so it is printed and can be demanded.
#[test]
fn no_change_is_silent_where_the_digest_is_stated() {
    let (found, _) = silent(&web(), &stated(HASH), &demands());
    let mut expected = FREE.to_vec();
    expected.insert(2, "/predicate/configuration/1/annotations/platform");
    assert_eq!(found, expected);
    let demands = Demands { platforms: vec!["linux/amd64".to_owned()], ..demands() };
    let (found, _) = silent(&web(), &stated(HASH), &demands);
    assert_eq!(found, FREE);
}

#[test]
fn no_change_of_a_warned_statement_is_silent() {
    let demands = Demands { allow_warnings: true, ..demands() };
    let whole = statement(vec![passing("web"), warned("docs")]);
    let (silent, _) = silent(&whole, &resolved(&third(), &[HASH], Some("linux/amd64")), &demands);
    // With two specs for the image, one of them stands for the platform.
    let more = [
        "/predicate/configuration/1/annotations/platform",
        "/predicate/configuration/2/annotations/platform",
        "/predicate/configuration/2/digest/sha256",
        "/predicate/configuration/2/name",
    ];
    let mut expected: Vec<&str> = FREE.into_iter().chain(more).collect();
    expected.sort_unstable();
    assert_eq!(silent, expected);
}

/// The signed statement is read by its payload alone, so it is changed there.
#[test]
fn no_change_of_a_signed_predicate_is_silent() {
    let predicate = web()["predicate"].clone();
    let wanted = resolved(&third(), &[HASH], Some("linux/amd64"));
    for way in ways(&predicate) {
        for (new, changed) in changes(&predicate, &way) {
            if held(&signed(&changed, HASH), &wanted, &demands()).is_ok() {
                let place = format!("/predicate{}", shown(&way));
                // Whoever signs names the image, so its name in the predicate is bound to nothing.
                let is_free =
                    FREE.contains(&place.as_str()) || place.ends_with("/annotations/image");
                assert!(is_free && new.is_some_and(|new| new.is_string()), "{place}: {changed}");
            }
        }
    }
}

/// Each byte removed, replaced, or the text cut behind it.
#[test]
fn no_change_of_a_byte_is_silent() {
    let text = intoto(&run(vec![passing("web")]));
    let original = web();
    let wanted = resolved(&third(), &[HASH], Some("linux/amd64"));
    let mut count = 0;
    for index in 0..text.len() {
        let (before, behind) = (&text[..index], &text[index + 1..]);
        let is_whole = serde_json::from_str::<Value>(before).is_ok_and(|it| it == original);
        assert!(is_whole || held(before, &wanted, &demands()).is_err(), "cut at {index}");
        for new in ["", "0", "f", "x", "\"", ",", "}", "\\", "\u{0}", " "] {
            count += 1;
            let changed = format!("{before}{new}{behind}");
            if held(&changed, &wanted, &demands()).is_ok() {
                let mut value: Value = serde_json::from_str(&changed).unwrap();
                for place in FREE.into_iter().chain(TIMES) {
                    *value.pointer_mut(place).unwrap() = original.pointer(place).unwrap().clone();
                }
                assert_eq!(value, original, "{changed}");
            }
        }
    }
    assert!(count > 10_000, "only {count}");
}

#[test]
fn each_demand_has_its_reason() {
    let is = |pointer: &str, value: Value, expected: &[&str]| {
        refused(&with(pointer, value), &stated(HASH), &demands(), expected);
    };
    is("/predicate/result", json!("FAILED"), &["the result is `FAILED`, not `PASSED`"]);
    is("/predicate/result", json!("GREAT"), &["the result is `GREAT`, which portlid never writes"]);
    is(
        "/predicate/result",
        json!("WARNED"),
        &[
            "the result is `WARNED`, not `PASSED`",
            "the result and the list of tests with warnings contradict each other",
        ],
    );
    is(
        "/predicate/configuration/0/annotations/exitCode",
        json!("5"),
        &["the run ended with exit code 5, not 0"],
    );
    is(
        "/predicate/configuration/1/annotations/verdict",
        json!("inconclusive"),
        &["the verdict on the spec `web` is `inconclusive`"],
    );
    is(
        "/predicate/failedTests",
        json!(["web"]),
        &["the spec `web` failed", "the lists of tests and the specs it tells of are not the same"],
    );
    is(
        "/predicate/warnedTests",
        json!(["web"]),
        &[
            "the spec `web` passed with warnings",
            "the result and the list of tests with warnings contradict each other",
            "the lists of tests and the specs it tells of are not the same",
        ],
    );
    is(
        "/predicate/passedTests",
        json!([]),
        &["the lists of tests and the specs it tells of are not the same"],
    );
    is(
        "/_type",
        json!("https://in-toto.io/Statement/v0.1"),
        &["`_type` is `https://in-toto.io/Statement/v0.1`, not `https://in-toto.io/Statement/v1`"],
    );
    is(
        "/predicateType",
        json!("https://slsa.dev/provenance/v1"),
        &["it is about something else: `https://slsa.dev/provenance/v1`"],
    );
    is(
        "/predicate/configuration/0/name",
        json!("pytest"),
        &["it was not written by portlid but by `pytest`"],
    );
    is("/subject", json!([]), &["it is about no image: `subject` is empty"]);
    is(
        "/predicate/configuration",
        json!([]),
        &[
            "`predicate.configuration` is empty",
            "it tells of no spec",
            "the lists of tests and the specs it tells of are not the same",
        ],
    );
    is(
        "/predicate/configuration/1/annotations/startedOn",
        json!("2026-09-21T14:13:19Z"),
        &["the spec `web` was looked at on 2026-09-21T14:13:19Z, outside of the run"],
    );
    is(
        "/predicate/configuration/0/annotations/startedOn",
        json!("2026-09-21T14:13:30Z"),
        &[
            "the run finished (2026-09-21T14:13:29Z) before it started (2026-09-21T14:13:30Z)",
            "the spec `web` was looked at on 2026-09-21T14:13:21Z, outside of the run",
        ],
    );
    is(
        "/subject/0/digest",
        json!({ "sha256": "00", "sha512": "00" }),
        &[
            "`subject[0].digest` has an unknown key `sha512`",
            "`subject[0].digest.sha256` is no SHA-256 digest: `sha256:00`",
        ],
    );
}

/// Several things that are wrong are told at once.
#[test]
fn all_reasons_are_told() {
    let mut run = run(vec![passing("web"), inconclusive("db")]);
    run.specs[1].digest = None;
    let demands = Demands { max_age: std::time::Duration::from_secs(60), ..demands() };
    refused(
        &intoto(&run),
        &stated(&other()),
        &demands,
        &[
            "`predicate.configuration[2].annotations.imageDigest` is missing",
            "the spec `db` did not pass: the container was not ready after 60s: 5432/tcp does not listen",
            "the result is `FAILED`, not `PASSED`",
            "the run ended with exit code 3, not 0",
            "the spec `db` failed",
            "the lists of tests and the specs it tells of are not the same",
            "it is too old: the run finished 60 min ago (2026-09-21T14:13:29Z), more than 60 s",
            &format!("it is not about `{}`, but about `{HASH}` (`nginx:1.29`)", other()),
        ],
    );
}

#[test]
fn it_must_be_fresh() {
    let finished = Timestamp::from_second(1_790_000_009).unwrap();
    for (seconds, max_age, is_fresh) in [
        (0, 0, true),
        (1, 0, false),
        (86_400, 86_400, true),
        (86_401, 86_400, false),
        // The other clock may be a little ahead.
        (-60, 86_400, true),
        (-61, 86_400, false),
        (-86_400, 86_400, false),
    ] {
        let demands = Demands {
            now: finished + SignedDuration::from_secs(seconds),
            max_age: std::time::Duration::from_secs(max_age),
            ..demands()
        };
        let text = web().to_string();
        assert_eq!(held(&text, &stated(HASH), &demands).is_ok(), is_fresh, "{seconds}");
    }
    refused(
        &web().to_string(),
        &stated(HASH),
        &Demands { now: finished - SignedDuration::from_hours(1), ..demands() },
        &["the run finished in the future: 2026-09-21T14:13:29Z, and it is 2026-09-21T13:13:29Z"],
    );
}

#[test]
fn the_image_is_the_one_that_was_looked_at() {
    let text = web().to_string();
    let by = |wanted: &Wanted| held(&text, wanted, &demands()).map(|it| it[0].compared);
    assert_eq!(by(&stated(HASH)), Ok(Compared::Stated));
    assert_eq!(by(&resolved(&other(), &[HASH], None)), Ok(Compared::Registry));
    assert_eq!(by(&resolved(&other(), &[&other(), HASH], None)), Ok(Compared::Registry));
    // The engine has the image without a registry's digest: loaded from a file, or tagged anew.
    assert_eq!(by(&resolved(&id(), &[], Some("linux/amd64"))), Ok(Compared::Id));
    assert!(by(&resolved(&other(), &[], None)).is_err());
    assert!(by(&stated(&other())).is_err());
    // A digest that somebody states is a registry's, and never compared with ids.
    assert!(by(&stated(&id())).is_err());
    assert!(by(&resolved(&other(), &[&id()], None)).is_err());
    refused(
        &text,
        &resolved(&other(), &[HASH], Some("linux/arm64")),
        &demands(),
        &["it was looked at for linux/amd64, not for linux/arm64"],
    );
}

/// What never saw a registry is named by its id.
#[test]
fn an_image_without_a_registry_is_known_by_its_id() {
    let mut record = passing("web");
    record.digest.clone_from(&record.image_id);
    let text = statement(vec![record]).to_string();
    let by = |wanted: &Wanted| held(&text, wanted, &demands()).map(|it| it[0].compared);
    assert_eq!(by(&resolved(&id(), &[], None)), Ok(Compared::Id));
    assert_eq!(by(&resolved(&id(), &[HASH], None)), Ok(Compared::Id));
    assert_eq!(by(&stated(&id())), Ok(Compared::Stated));
    assert!(by(&stated(HASH)).is_err());
}

#[test]
fn platforms_can_be_demanded() {
    let asked = |platforms: &[&str]| Demands {
        platforms: platforms.iter().map(|&it| it.to_owned()).collect(),
        ..demands()
    };
    let mut arm = passing("web-arm");
    arm.platform = Some("linux/arm64/v8".to_owned());
    let both = statement(vec![passing("web"), arm]).to_string();
    assert!(held(&both, &stated(HASH), &asked(&["linux/amd64", "linux/arm64"])).is_ok());
    refused(
        &both,
        &stated(HASH),
        &asked(&["linux/amd64", "linux/s390x", "linux/arm64/v7"]),
        &[
            "it was looked at for linux/amd64, linux/arm64/v8, not for linux/s390x",
            "it was looked at for linux/amd64, linux/arm64/v8, not for linux/arm64/v7",
        ],
    );
}

/// One run for each platform, each with a statement of its own about the digest that they share.
#[test]
fn platforms_may_be_looked_at_by_different_runs() {
    let arm = |run: &mut RunRecord| run.specs[0].platform = Some("linux/arm64".to_owned());
    let both = later("web", 0, |_| {}) + &later("web", 60, arm);
    let asked = |platforms: &[&str]| Demands {
        platforms: platforms.iter().map(|&it| it.to_owned()).collect(),
        ..demands()
    };
    let verified = held(&both, &stated(HASH), &asked(&["linux/amd64", "linux/arm64"])).unwrap();
    assert_eq!(verified.len(), 2);
    let engine = resolved(&third(), &[HASH], Some("linux/amd64"));
    assert_eq!(held(&both, &engine, &demands()).map(|it| it.len()), Ok(2));
    refused(
        &both,
        &stated(HASH),
        &asked(&["linux/s390x"]),
        &["it was looked at for linux/amd64, linux/arm64, not for linux/s390x"],
    );
    // The pass on one platform does not outweigh the failure on the other.
    let failed = later("web", 0, |run| run.signal = Some(2)) + &later("web", 60, arm);
    assert!(held(&failed, &stated(HASH), &demands()).is_err());
}

#[test]
fn envelopes_are_opened() {
    let predicate = web()["predicate"].clone();
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {},
        "dsseEnvelope": envelope(&web()),
    });
    let url_safe = {
        let mut envelope = envelope(&web());
        let text = envelope["payload"].as_str().unwrap().replace('+', "-").replace('/', "_");
        envelope["payload"] = json!(text.trim_end_matches('='));
        envelope
    };
    for text in [
        signed(&predicate, HASH),
        format!("{}\n", signed(&predicate, HASH)),
        envelope(&web()).to_string(),
        url_safe.to_string(),
        bundle.to_string(),
        json!([{ "attestation": { "bundle": bundle }, "verificationResult": { "statement": {} } }])
            .to_string(),
        json!([web()]).to_string(),
    ] {
        assert_eq!(held(&text, &stated(HASH), &demands()).map(|it| it.len()), Ok(1), "{text}");
        assert!(held(&text, &stated(&other()), &demands()).is_err(), "{text}");
    }
}

/// `cosign attest` signs any predicate for any image: the predicate knows better.
#[test]
fn a_predicate_that_was_signed_for_another_image_is_refused() {
    let predicate = web()["predicate"].clone();
    let text = signed(&predicate, &other());
    refused(
        &text,
        &stated(&other()),
        &demands(),
        &[&format!("it was signed for `{}`, but what was looked at is `{HASH}`", other())],
    );
    // Tested before it was pushed: the run knew the id alone, and the engine says that both are one.
    let mut record = passing("web");
    record.digest.clone_from(&record.image_id);
    let text = signed(&statement(vec![record])["predicate"], HASH);
    assert!(held(&text, &stated(HASH), &demands()).is_err());
    let engine = resolved(&id(), &[HASH], Some("linux/amd64"));
    assert_eq!(held(&text, &engine, &demands()).unwrap()[0].compared, Compared::Registry);
    assert!(held(&text, &resolved(&other(), &[HASH], None), &demands()).is_err());
    // The engine pulled it by the digest of an index, and knows nothing of the one that was signed.
    let by_index = resolved(&id(), &[&other()], Some("linux/amd64"));
    let Outcome::Refused(reasons) =
        judge(&read(text.as_bytes()).unwrap(), Some(&by_index), &demands())
    else {
        panic!("verified: {text}")
    };
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].hint.contains("pull it by that digest, NAME@DIGEST"), "{reasons:?}");
}

#[test]
fn what_is_no_statement_is_told() {
    let mut unsigned = envelope(&web());
    unsigned["signatures"] = json!([]);
    let mut more = envelope(&web());
    more["predicate"] = json!({});
    let mut typed = envelope(&web());
    typed["payloadType"] = json!("text/plain");
    let mut text = envelope(&web());
    text["payload"] = json!("????");
    let mut two = envelope(&web());
    two["payload"] = json!(STANDARD.encode(format!("{}{}", web(), web())));
    let mut cut = envelope(&web());
    cut["payload"] = json!(STANDARD.encode(&web().to_string()[..100]));
    for (text, what) in [
        (String::new(), "it holds no statement"),
        ("[]".to_owned(), "it holds no statement"),
        ("{}".to_owned(), "it holds something that is neither a statement nor an envelope"),
        ("5".to_owned(), "it holds something that is neither a statement nor an envelope"),
        (
            format!("{}\nnull", web()),
            "it holds something that is neither a statement nor an envelope",
        ),
        (unsigned.to_string(), "an envelope has no signature"),
        (more.to_string(), "an envelope has no key `predicate`"),
        (typed.to_string(), "an envelope holds `text/plain`, not `application/vnd.in-toto+json`"),
        (text.to_string(), "the payload of an envelope is not base64"),
        (two.to_string(), "the payload of an envelope is not one statement"),
        (
            envelope(&envelope(&web())).to_string(),
            "the payload of an envelope is not one statement",
        ),
        (" ".repeat(LARGEST_FILE + 1), "it is larger than 16 MiB"),
    ] {
        refused(&text, &stated(HASH), &demands(), &[what]);
    }
    for text in [cut.to_string(), web().to_string()[..500].to_owned(), format!("{} x", web())] {
        let reasons = held(&text, &stated(HASH), &demands()).unwrap_err();
        assert!(reasons[0].contains("no sound JSON: "), "{reasons:?}");
    }
    let twice = web().to_string().replacen("{", "{\"predicate\":{},", 1);
    let reasons = held(&twice, &stated(HASH), &demands()).unwrap_err();
    assert!(reasons[0].contains("the key `predicate` is there twice"), "{reasons:?}");
}

/// A run of the spec `name`, finished so many seconds after the others.
fn later(name: &str, seconds: i64, change: impl FnOnce(&mut RunRecord)) -> String {
    let mut run = run(vec![passing(name)]);
    for time in [&mut run.started, &mut run.finished, &mut run.specs[0].started] {
        *time = time.map(|time| time + SignedDuration::from_secs(seconds));
    }
    change(&mut run);
    intoto(&run)
}

/// Of several, the newest about each spec counts, and others are not in the way.
#[test]
fn of_several_the_newest_counts() {
    let fails = |run: &mut RunRecord| run.signal = Some(15);
    let is_elsewhere = |run: &mut RunRecord| run.specs[0].digest = Some(other());
    let sbom = json!({
        "_type": "https://in-toto.io/Statement/v1", "subject": [{ "name": "x", "digest": { "sha256": &HASH[7..] } }],
        "predicateType": "https://spdx.dev/Document", "predicate": { "a": 1 },
    });
    let good = || later("web", 0, |_| {});
    for (texts, count) in [
        (vec![good(), good()], Some(2)),
        (vec![good(), sbom.to_string()], Some(1)),
        (vec![envelope(&sbom).to_string(), good()], Some(1)),
        (vec![later("web", 9, |_| {}), good()], Some(1)),
        (vec![later("web", -9, fails), good()], Some(1)),
        (vec![later("web", 9, fails), good()], None),
        (vec![good(), later("web", 9, fails)], None),
        (vec![good(), later("web", 0, fails)], None),
        // Another spec, and the image failed it.
        (vec![good(), later("docs", -9, fails)], None),
        (vec![good(), later("docs", -9, |_| {})], Some(2)),
        // Another image.
        (vec![good(), later("web", 9, is_elsewhere)], Some(1)),
        (vec![later("web", 9, is_elsewhere), later("web", 8, is_elsewhere)], None),
        (vec![sbom.to_string(), sbom.to_string()], None),
        // One that does not say when it was could be the newest.
        (vec![good(), later("web", -9, |run| run.finished = None)], None),
    ] {
        let seen = held(&texts.join("\n"), &stated(HASH), &demands());
        assert_eq!(seen.as_ref().ok().map(Vec::len), count, "{seen:?} of {texts:#?}");
    }
    refused(
        &[sbom.to_string(), sbom.to_string()].join("\n"),
        &stated(HASH),
        &demands(),
        &["none of 2 statements is portlid's, but `https://spdx.dev/Document`"],
    );
    refused(
        &[good(), later("web", 9, fails)].join("\n"),
        &stated(HASH),
        &demands(),
        &[
            "the statement of 2026-09-21T14:13:38Z: the result is `FAILED`, not `PASSED`",
            "the statement of 2026-09-21T14:13:38Z: the run ended with exit code 143, not 0",
        ],
    );
}

/// Without the image, what can be said is said, and nothing verifies.
#[test]
fn nothing_verifies_without_the_image() {
    let good = web().to_string();
    let bad = with("/predicate/result", json!("FAILED"));
    for (text, count) in [(good.clone(), 0), (bad.clone(), 1), (format!("{good}{bad}"), 0)] {
        let file = read(text.as_bytes()).unwrap();
        let Outcome::Refused(reasons) = judge(&file, None, &demands()) else {
            panic!("verified without an image: {text}")
        };
        assert_eq!(reasons.len(), count, "{reasons:?}");
    }
}

/// What others wrote is escaped, cut, and never too much.
#[test]
fn a_hostile_statement_is_no_danger_to_who_reads_it() {
    let evil = "\u{1b}[31m::error::##[group]\u{202e}";
    for text in [
        with("/predicate/result", json!(evil)),
        with("/subject/0/name", json!(evil)),
        with("/predicate/failedTests", json!(vec![evil.repeat(100); 1000])),
        with("/predicate/configuration/0/name", json!(evil)),
        with("/predicateType", json!(evil)),
        with("/predicate/configuration/1/annotations/imageDigest", json!(evil)),
    ] {
        let reasons = held(&text, &stated(HASH), &demands()).unwrap_err();
        assert!(reasons.len() <= 41, "{}", reasons.len());
        let all = reasons.join("\n");
        assert!(!all.contains(['\u{1b}', '\u{202e}']) && !all.contains("##["), "{all}");
    }
    let mut record = passing("web");
    evil.clone_into(&mut record.name);
    evil.clone_into(&mut record.image);
    let verified = held(&statement(vec![record]).to_string(), &stated(HASH), &demands()).unwrap();
    assert!(!format!("{verified:?}").contains(['\u{1b}', '\u{202e}']));
    assert!(verifies(&web().to_string()));
}
