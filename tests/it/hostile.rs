//! Images that mean harm: none passes unless the truth is pass, none harms the run beside it, none
//! leaves anything, and nothing of theirs is shown raw.

mod cases;
mod images;

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write as _,
    time::Instant,
};

use serde_json::Value;

use self::{
    cases::{Case, all},
    images::{Image, load},
};
use crate::{
    engine,
    harness::{Seen, Tool},
};

/// Longer than any of them may take on a busy machine.
const LONGEST: f64 = 60.0;

/// What is written of them beside the JSON report.
const FORMATS: [&str; 5] = ["junit", "sarif", "html", "markdown", "intoto"];

/// The spec of a case.
fn spec(case: &Case, image: &str) -> String {
    let mut run = "memory: 64m, pids: 64".to_owned();
    if let Some(command) = &case.command {
        let command = serde_json::to_string(command).unwrap();
        // What JSON leaves as it is and YAML refuses.
        let command: String = command.chars().fold(String::new(), |mut text, it| {
            match it {
                ' '..='~' => text.push(it),
                _ => drop(write!(text, "\\u{:04x}", u32::from(it))),
            }
            text
        });
        let _ = write!(run, ", command: {command}");
    }
    if !case.run.is_empty() {
        let _ = write!(run, ", {}", case.run);
    }
    let mut spec = format!("image: {image}\nrun: {{ {run} }}\n{}\n", case.spec);
    for (key, value) in [("watch", "400ms"), ("scan", "listed"), ("ready", "{ within: 20s }")] {
        if !case.spec.contains(&format!("{key}:")) {
            let _ = writeln!(spec, "{key}: {value}");
        }
    }
    spec
}

/// What a terminal or a CI runner would obey.
fn commands(text: &str) -> Vec<&str> {
    let is_obeyed = |line: &&str| {
        line.chars().any(|it| it.is_control() && it != '\t')
            || line.contains(['\u{202e}', '\u{fffe}', '\u{ffff}'])
            || line.contains("##[")
            || line.contains("##vso[")
            || line.trim_start().starts_with("::")
    };
    text.split('\n').filter(is_obeyed).collect()
}

/// Every text of a report.
fn texts<'v>(value: &'v Value, found: &mut HashSet<&'v str>) {
    match value {
        Value::String(text) => drop(found.insert(text)),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(entries) => entries.iter().for_each(|(key, value)| {
            found.insert(key);
            texts(value, found);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether the machine was too busy to look: that is no pass, and no lie either.
fn was_overloaded(record: &Value) -> bool {
    let reason = record["reason"].as_str().unwrap_or_default();
    record["verdict"] == "inconclusive" && reason.contains("nobody looked at the tables")
}

/// Why the verdict is not the truth; `None` if it is.
fn wrong(case: &Case, record: &Value) -> Option<String> {
    let verdict = record["verdict"].as_str().unwrap();
    let findings = record["findings"].as_array().unwrap();
    let reason = record["reason"].as_str().unwrap_or_default();
    let mut causes = case.because.split('|');
    let is_so = case.verdict.split('|').any(|it| it == verdict)
        && match verdict {
            "fail" => causes.any(|it| {
                findings.iter().any(|finding| finding["level"] == "fail" && finding["rule"] == it)
            }),
            "inconclusive" => causes.any(|it| reason.contains(it)),
            _ => true,
        };
    let is_so = is_so || case.verdict.contains("pass") && was_overloaded(record);
    let seconds = record["seconds"].as_f64().unwrap();
    if is_so && seconds < LONGEST {
        return None;
    }
    let findings: Vec<&Value> = findings.iter().take(5).map(|it| &it["message"]).collect();
    Some(format!(
        "{}: {} ({}), not {} ({}), in {seconds} s; {findings:?}",
        case.name, record["verdict"], record["reason"], case.verdict, case.because
    ))
}

#[test]
fn hostile_images_harm_nobody() {
    let begun = Instant::now();
    let (cases, plain) = (all(), engine::fixture(&[]));
    assert!(cases.len() >= 40);
    let made: Vec<Option<Image>> = cases
        .iter()
        .map(|case| {
            let made = case.image.as_ref()?;
            Some(Image::new(&made.config, made.architecture, &made.files))
        })
        .collect();
    load(&made.iter().flatten().collect::<Vec<_>>());
    let volumes = engine::volumes();

    let mut tool =
        Tool::new(&["test", "--jobs", "4", "--pull", "never", "--report", "json=report.json"]);
    for format in FORMATS {
        tool = tool.args(&["--report", &format!("{format}={format}")]);
    }
    for (number, (case, image)) in cases.iter().zip(&made).enumerate() {
        let image = image.as_ref().map_or(&plain, |image| &image.reference);
        tool = tool.file(&format!("specs/{number:03}-{}.yaml", case.name), &spec(case, image));
        // Somebody harmless beside them, all the time.
        if number % 8 == 0 {
            let benign = format!(
                "image: {plain}\nrun: {{ command: [\"tcp:0.0.0.0:80\"] }}\nexpose: [80/tcp]\n\
                 scan: full\nwatch: 1s\nready: {{ within: 30s }}\n"
            );
            tool = tool.file(&format!("specs/{number:03}-zz-benign.yaml"), &benign);
        }
    }
    // It makes sure that nothing is left.
    let seen = tool.run();
    println!("{:34} {:14} {:14} {:>7}", "IMAGE", "TRUTH", "VERDICT", "SECONDS");
    let records: BTreeMap<&str, &Value> =
        seen.json.as_ref().unwrap_or_else(|| panic!("no report:\n{seen}"))["specs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| (record["name"].as_str().unwrap(), record))
            .collect();
    let is_podman = seen.json.as_ref().unwrap()["engine"]["name"] == "podman";
    let mut lies = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let record = records[format!("{number:03}-{}", case.name).as_str()];
        println!(
            "{:34} {:14} {:14} {:7.1}",
            case.name,
            case.verdict,
            record["verdict"].as_str().unwrap(),
            record["seconds"].as_f64().unwrap()
        );
        // Podman drops the health check of an image that is loaded.
        if !(is_podman && case.name == "health-check-listens") {
            lies.extend(wrong(case, record));
        }
    }
    for (name, record) in &records {
        if name.ends_with("benign") && record["verdict"] != "pass" && !was_overloaded(record) {
            lies.push(format!("{name}: {} ({})", record["verdict"], record["reason"]));
        }
    }
    println!("{} images in {:.1} s", cases.len(), begun.elapsed().as_secs_f64());
    assert!(lies.is_empty(), "{}\n{}", lies.join("\n"), seen.stderr);
    assert_eq!(seen.code, Some(1));
    let report = std::fs::read_to_string(tool.path().join("report.json")).unwrap();
    nothing_is_shown_raw(&seen, &report);
    for format in FORMATS {
        let text = std::fs::read_to_string(tool.path().join(format)).unwrap();
        assert_eq!(commands(&text), Vec::<&str>::new(), "{format}");
        match format {
            "sarif" | "intoto" => drop(serde_json::from_str::<Value>(&text).unwrap()),
            "junit" => {
                let mut reader = quick_xml::Reader::from_str(&text);
                while reader.read_event().unwrap() != quick_xml::events::Event::Eof {}
            }
            _ => assert!(!text.contains("<script") && text.len() > 10_000, "{format}"),
        }
    }
    let stray: Vec<String> =
        engine::volumes().into_iter().filter(|it| !volumes.contains(it)).collect();
    // Other tests make volumes meanwhile; fifty are of nobody else.
    assert!(stray.len() < 40, "{stray:?}");
    for image in made.iter().flatten() {
        assert!(engine::has_image(&image.reference), "an image of others was removed");
    }
}

fn nothing_is_shown_raw(seen: &Seen, report: &str) {
    for text in [seen.stdout.as_str(), &seen.stderr, report] {
        assert_eq!(commands(text), Vec::<&str>::new());
    }
    // Whoever reads the report may print any text of it behind a text of their own.
    let mut found = HashSet::new();
    texts(seen.json.as_ref().unwrap(), &mut found);
    for text in &found {
        assert_eq!(commands(&format!("x{text}")), Vec::<&str>::new(), "in the report");
    }
}
