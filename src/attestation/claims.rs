//! What a statement claims, key by key. Whatever the report would not write is a reason, and what
//! could be read is kept, so that it is judged as well.

use jiff::Timestamp;

use super::{
    PREDICATE_TYPE,
    fields::{Object, Reasons, STATEMENT},
    json::Json,
};
use crate::foreign::shown;

/// Version 1, as the report writes it.
const STATEMENT_V1: &str = "https://in-toto.io/Statement/v1";
/// What `cosign attest` makes of a predicate.
const STATEMENT_V01: &str = "https://in-toto.io/Statement/v0.1";

/// Everything that a statement claims. Whatever is `None` is a reason that was noted.
#[derive(Debug)]
pub(super) struct Claims<'a> {
    pub(super) subjects: Vec<Subject<'a>>,
    pub(super) result: Option<&'a str>,
    pub(super) tool: Option<Tool<'a>>,
    pub(super) tests: Vec<Claim<'a>>,
    pub(super) passed: Option<Vec<&'a str>>,
    pub(super) warned: Option<Vec<&'a str>>,
    pub(super) failed: Option<Vec<&'a str>>,
}

/// A subject of the statement.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) name: &'a str,
    pub(super) digest: String,
    /// What portlid wrote beside it: whoever signs a predicate alone names subjects without it.
    pub(super) own: Option<Own>,
}

/// What portlid notes of a subject.
#[derive(Debug)]
pub(super) struct Own {
    /// The engine's id of the image.
    pub(super) image_id: String,
}

/// What is claimed of the run.
#[derive(Debug)]
pub(super) struct Tool<'a> {
    pub(super) version: &'a str,
    pub(super) engine: &'a str,
    pub(super) exit_code: &'a str,
    pub(super) started: Timestamp,
    pub(super) finished: Timestamp,
}

/// What is claimed of one spec.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    pub(super) file: &'a str,
    pub(super) name: &'a str,
    pub(super) image: &'a str,
    pub(super) digest: String,
    pub(super) platform: &'a str,
    pub(super) verdict: &'a str,
    pub(super) started: Timestamp,
}

/// Whether this is a statement of portlid's about a run, however well made.
pub(super) fn is_ours(statement: &Json) -> bool {
    let tool = statement
        .get("predicate")
        .and_then(|predicate| predicate.get("configuration"))
        .and_then(|configuration| match configuration {
            Json::List(items) => items.first()?.get("name")?.text(),
            _ => None,
        });
    predicate_type(statement) == Some(PREDICATE_TYPE) && tool == Some("portlid")
}

/// What kind of statement this is.
pub(super) fn predicate_type(statement: &Json) -> Option<&str> {
    statement.get("predicateType").and_then(Json::text)
}

/// When the run was over; without any reason noted.
pub(super) fn finished(statement: &Json) -> Option<Timestamp> {
    let Json::List(items) = statement.get("predicate")?.get("configuration")? else { return None };
    items.first()?.get("annotations")?.get("finishedOn")?.text()?.parse().ok()
}

/// Reads a statement. `None` if it is of another type, which is a reason, too.
pub(super) fn claims<'a>(
    statement: &'a Json,
    is_wrapped: bool,
    reasons: &mut Reasons,
) -> Option<Claims<'a>> {
    let known = ["_type", "subject", "predicateType", "predicate"];
    let whole = Object::of(statement, STATEMENT, &known, reasons)?;
    if let Some(kind) = whole.text("_type", reasons)
        && kind != STATEMENT_V1
        && !(is_wrapped && kind == STATEMENT_V01)
    {
        reasons.malformed(format!("`_type` is `{}`, not `{STATEMENT_V1}`", shown(kind, 80)));
    }
    let predicate_type = whole.text("predicateType", reasons)?;
    if predicate_type != PREDICATE_TYPE {
        reasons.push(
            format!("it is about something else: `{}`", shown(predicate_type, 100)),
            format!("name a statement whose `predicateType` is `{PREDICATE_TYPE}`"),
        );
        return None;
    }
    let subjects = whole.list("subject", reasons).unwrap_or_default();
    if subjects.is_empty() {
        reasons.malformed("it is about no image: `subject` is empty");
    }
    let subjects = subjects
        .iter()
        .enumerate()
        .filter_map(|(index, json)| subject(json, index, is_wrapped, reasons))
        .collect();
    let known = ["result", "configuration", "passedTests", "warnedTests", "failedTests"];
    let predicate = whole
        .value("predicate", reasons)
        .and_then(|json| Object::of(json, "predicate", &known, reasons))?;
    let configuration = predicate.list("configuration", reasons).unwrap_or_default();
    if configuration.is_empty() {
        reasons.malformed("`predicate.configuration` is empty");
    }
    let (first, others) = configuration.split_at(configuration.len().min(1));
    let tests = others
        .iter()
        .enumerate()
        .filter_map(|(index, json)| claim(json, index + 1, reasons))
        .collect();
    Some(Claims {
        subjects,
        result: predicate.text("result", reasons),
        tool: first.first().and_then(|json| tool(json, reasons)),
        tests,
        passed: predicate.texts("passedTests", reasons),
        warned: predicate.texts("warnedTests", reasons),
        failed: predicate.texts("failedTests", reasons),
    })
}

fn subject<'a>(
    json: &'a Json,
    index: usize,
    is_wrapped: bool,
    reasons: &mut Reasons,
) -> Option<Subject<'a>> {
    let path = format!("subject[{index}]");
    let object = Object::of(json, &path, &["name", "digest", "annotations"], reasons)?;
    let name = object.text("name", reasons);
    let digest = object.digest(reasons);
    // Whoever signs the predicate alone makes subjects without them. The report never does.
    let is_own = object.get("annotations").is_some() || !is_wrapped;
    let own = if is_own { Some(own(&object, digest.as_deref(), reasons)?) } else { None };
    Some(Subject { name: name?, digest: digest?, own })
}

fn own(subject: &Object<'_, '_>, digest: Option<&str>, reasons: &mut Reasons) -> Option<Own> {
    let path = subject.at("annotations");
    let known = ["dev.portlid.digest", "dev.portlid.image-id"];
    let notes = Object::of(subject.value("annotations", reasons)?, &path, &known, reasons)?;
    let kind = notes.text("dev.portlid.digest", reasons);
    let image_id = notes.digest_text("dev.portlid.image-id", reasons)?;
    let wanted = if digest == Some(image_id.as_str()) { "config" } else { "manifest" };
    if let Some(kind) = kind
        && kind != wanted
    {
        let what = format!("`{}` is `{}`", notes.at("dev.portlid.digest"), shown(kind, 40));
        reasons.malformed(format!("{what}, but by its digest and id it is `{wanted}`"));
    }
    Some(Own { image_id })
}

fn tool<'a>(json: &'a Json, reasons: &mut Reasons) -> Option<Tool<'a>> {
    let path = "predicate.configuration[0]";
    let object = Object::of(json, path, &["name", "annotations"], reasons)?;
    let name = object.text("name", reasons)?;
    if name != "portlid" {
        reasons.push(
            format!("it was not written by portlid but by `{}`", shown(name, 60)),
            "name a statement that `portlid test --report intoto=FILE` wrote",
        );
        return None;
    }
    let path = object.at("annotations");
    let known = ["version", "engine", "startedOn", "finishedOn", "exitCode"];
    let notes = Object::of(object.value("annotations", reasons)?, &path, &known, reasons)?;
    let version = notes.text("version", reasons).filter(|version| {
        let is_version = version.split('.').count() >= 3
            && version.starts_with(|first: char| first.is_ascii_digit());
        if !is_version {
            let what = format!("`{}` is no version: `{}`", notes.at("version"), shown(version, 40));
            reasons.malformed(what);
        }
        is_version
    });
    let engine = notes.text("engine", reasons).filter(|engine| {
        let version = engine.strip_prefix("docker ").or_else(|| engine.strip_prefix("podman "));
        let is_engine = version.is_some_and(|version| !version.trim().is_empty());
        if !is_engine {
            let what = format!("`{}` is no engine: `{}`", notes.at("engine"), shown(engine, 40));
            reasons.malformed(what);
        }
        is_engine
    });
    let started = moment(&notes, "startedOn", reasons);
    let finished = moment(&notes, "finishedOn", reasons);
    let exit_code = notes.text("exitCode", reasons);
    Some(Tool {
        version: version?,
        engine: engine?,
        exit_code: exit_code?,
        started: started?,
        finished: finished?,
    })
}

fn claim<'a>(json: &'a Json, index: usize, reasons: &mut Reasons) -> Option<Claim<'a>> {
    let path = format!("predicate.configuration[{index}]");
    let object = Object::of(json, &path, &["name", "digest", "annotations"], reasons)?;
    let file = object.text("name", reasons);
    let spec_digest = object.digest(reasons);
    let path = object.at("annotations");
    let known = ["spec", "image", "imageDigest", "platform", "verdict", "reason", "startedOn"];
    let notes = Object::of(object.value("annotations", reasons)?, &path, &known, reasons)?;
    let name = notes.text("spec", reasons);
    let image = notes.text("image", reasons);
    let digest = notes.digest_text("imageDigest", reasons);
    let platform = notes.text("platform", reasons).filter(|platform| {
        let is_platform = is_platform(platform);
        if !is_platform {
            let what =
                format!("`{}` is no platform: `{}`", notes.at("platform"), shown(platform, 60));
            reasons.malformed(what);
        }
        is_platform
    });
    let verdict = notes.text("verdict", reasons);
    let started = moment(&notes, "startedOn", reasons);
    // Only what does not pass has a reason, whatever else is claimed of it.
    if let Some(reason) = notes.get("reason") {
        let said = reason.text().map_or_else(|| reason.kind().to_owned(), |it| shown(it, 200));
        reasons.push(
            format!("the spec `{}` did not pass: {said}", shown(name.unwrap_or("?"), 60)),
            "mend that, and run the test again",
        );
    }
    spec_digest?;
    Some(Claim {
        file: file?,
        name: name?,
        image: image?,
        digest: digest?,
        platform: platform?,
        verdict: verdict?,
        started: started?,
    })
}

/// Whether a text is `OS/ARCHITECTURE[/VARIANT]`.
pub(crate) fn is_platform(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    (2..=3).contains(&parts.len())
        && parts.iter().all(|part| {
            !part.is_empty()
                && part.bytes().all(|it| it.is_ascii_alphanumeric() || b"._-".contains(&it))
        })
}

fn moment(notes: &Object<'_, '_>, key: &str, reasons: &mut Reasons) -> Option<Timestamp> {
    let text = notes.text(key, reasons)?;
    // In the one way in which the report writes it.
    let moment = text.parse::<Timestamp>().ok().filter(|moment| moment.to_string() == text);
    if moment.is_none() {
        reasons.malformed(format!("`{}` is no time: `{}`", notes.at(key), shown(text, 60)));
    }
    moment
}
