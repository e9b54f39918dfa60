//! All formats, on the same records: what each promises, and how each looks.

use std::collections::BTreeMap;

use html5ever::{ParseOpts, parse_document, tendril::TendrilSink};
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use proptest::prelude::*;
use serde_json::Value;

use super::{
    github,
    html::html,
    intoto::intoto,
    json::json,
    junit::junit,
    markdown::{COMMENT, markdown},
    sarif::sarif,
    testing, text,
};
use crate::{
    exit::Exit,
    record::RunRecord,
    rule::{Level, Rule},
    socket::Port,
};

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The elements of a page with the names of their attributes, in order, and all of its text.
fn elements(page: &str) -> (Vec<String>, String) {
    fn walk(node: &Handle, found: &mut Vec<String>, text: &mut String) {
        match &node.data {
            NodeData::Element { name, attrs, .. } => {
                let names: Vec<String> =
                    attrs.borrow().iter().map(|it| it.name.local.to_string()).collect();
                found.push(format!("{} {}", name.local, names.join(" ")));
            }
            NodeData::Text { contents } => text.push_str(&contents.borrow()),
            NodeData::Comment { contents } => found.push(format!("comment {contents}")),
            _ => {}
        }
        for child in node.children.borrow().iter() {
            walk(child, found, text);
        }
    }
    let dom = parse_document(RcDom::default(), ParseOpts::default()).one(page);
    let (mut found, mut text) = (Vec::new(), String::new());
    walk(&dom.document, &mut found, &mut text);
    assert_eq!(dom.errors.borrow().as_slice(), [] as [String; 0], "{page}");
    (found, text)
}

#[test]
fn each_format_looks_as_it_did() {
    for (name, run) in testing::all() {
        if !["pass", "warn", "inconclusive", "several", "empty", "partial", "hostile"]
            .contains(&name)
        {
            continue;
        }
        insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(format!("{name}.junit"), junit(&run));
            insta::assert_snapshot!(format!("{name}.md"), markdown(&run, COMMENT));
            insta::assert_snapshot!(format!("{name}.intoto"), intoto(&run));
            insta::assert_snapshot!(format!("{name}.github"), github::annotations(&run));
            // Its table of rules is long and always the same.
            let mut log = parsed(&sarif(&run));
            log["runs"][0]["tool"]["driver"]["rules"] = Value::Null;
            insta::assert_snapshot!(format!("{name}.sarif"), serde_json::to_string_pretty(&log).unwrap());
        });
    }
    let (name, run) = testing::all().swap_remove(4);
    assert_eq!(name, "several");
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("several.json", json(&run));
        insta::assert_snapshot!("several.html", html(&run));
        insta::assert_snapshot!("several.rules", serde_json::to_string_pretty(&parsed(&sarif(&run))["runs"][0]["tool"]).unwrap());
    });
}

/// Why a port may be open, who answers for it and until when is told wherever the port is.
#[test]
fn what_an_entry_says_is_in_every_report() {
    let mut record = testing::passing("web");
    let row = &mut record.ledger[0];
    row.allowance.until = Some(jiff::civil::date(2027, 1, 31));
    let expired = testing::finding(Rule::Expired, Some(row.port), "it was allowed");
    for findings in [vec![], vec![expired]] {
        let is_found = !findings.is_empty();
        record.findings = findings;
        let run = testing::run(vec![record.clone()]);
        let told = [
            ("json", json(&run), true),
            ("junit", junit(&run), true),
            ("html", html(&run), true),
            ("markdown", markdown(&run, COMMENT), true),
            ("sarif", sarif(&run), is_found),
            ("text", text::story(&record), is_found),
        ];
        for (format, text, is_told) in told {
            for said in ["the shop itself", "team-web", "2027-01-31"] {
                assert_eq!(text.contains(said), is_told, "{format}: {said}\n{text}");
            }
        }
    }
}

/// The worst defect there is would be a report that is green where the run is not.
#[test]
fn no_report_is_green_unless_the_run_is() {
    for (name, run) in testing::all() {
        let passed = run.exit() == Exit::Pass;

        let result = parsed(&intoto(&run));
        let result = result["predicate"]["result"].as_str().unwrap();
        let wanted: &[&str] = if passed { &["PASSED", "WARNED"] } else { &["FAILED"] };
        assert!(wanted.contains(&result), "{name}: {result}");

        let xml = junit(&run);
        assert_eq!(xml.contains("<failure ") || xml.contains("<error "), !passed, "{name}\n{xml}");
        assert!(!xml.contains("<skipped"), "{name}\n{xml}");
        assert!(xml.contains("<testcase "), "{name}: a reader would take it for no tests");

        let log = parsed(&sarif(&run));
        let is_done = log["runs"][0]["invocations"][0]["executionSuccessful"].as_bool().unwrap();
        let errors = log["runs"][0]["results"].as_array().unwrap().iter();
        let errors = errors.filter(|result| result["level"] == "error").count();
        assert_eq!(is_done && errors == 0, passed, "{name}");

        let annotations = github::annotations(&run);
        assert_eq!(annotations.contains("::error "), !passed, "{name}\n{annotations}");
        let text = markdown(&run, COMMENT);
        assert_eq!(text.starts_with("## ✅"), passed, "{name}\n{text}");
        let page = html(&run);
        assert_eq!(page.contains("class=\"top pass\""), passed, "{name}");
        assert_eq!(parsed(&json(&run))["exit_code"], run.exit().code(), "{name}");
    }
}

#[test]
fn what_could_not_be_looked_at_is_an_error_everywhere() {
    let run = testing::run(vec![testing::inconclusive("db")]);
    let xml = junit(&run);
    assert!(xml.contains("<error message=\"the container was not ready"), "{xml}");
    assert!(xml.contains("errors=\"1\"") && xml.contains("failures=\"0\""), "{xml}");
    let log = &parsed(&sarif(&run))["runs"][0];
    assert_eq!(log["results"][0]["ruleId"], "inconclusive");
    assert_eq!(log["results"][0]["level"], "error");
    assert_eq!(log["invocations"][0]["toolExecutionNotifications"][0]["level"], "error");
    let statement = parsed(&intoto(&run));
    assert_eq!(statement["predicate"]["failedTests"], serde_json::json!(["db"]));
    assert!(github::annotations(&run).starts_with("::error file=services/specs/db.yaml,line=1,"));
    // A port of a look that was broken off is no passed case.
    let mut run = testing::run(vec![testing::passing("web")]);
    run.specs[0].reason = testing::inconclusive("web").reason;
    run.specs[0].verdict = crate::judgement::Verdict::Inconclusive;
    assert!(!junit(&run).contains("name=\"80/tcp\""));
}

#[test]
fn warnings_do_not_break_and_are_told() {
    let run = testing::run(vec![testing::warned("web")]);
    assert_eq!(parsed(&intoto(&run))["predicate"]["result"], "WARNED");
    let annotations = github::annotations(&run);
    assert!(annotations.contains("::warning file=services/specs/web.yaml,line=7,col=1,"));
    assert!(annotations.contains("::notice "), "{annotations}");
    // A warning that a spec makes a failure fails.
    let mut run = testing::run(vec![testing::with_levels(testing::warned("web"), Level::Fail)]);
    run.specs[0].verdict = crate::judgement::Verdict::Fail;
    assert_eq!(parsed(&intoto(&run))["predicate"]["result"], "FAILED");
    assert_eq!(parsed(&sarif(&run))["runs"][0]["results"][0]["level"], "error");
}

#[test]
fn sarif_is_what_the_standard_and_github_ask_for() {
    let mut schema = parsed(include_str!("../../tests/data/sarif-schema-2.1.0.json"));
    // Its pattern of languages has a bracket too many, as published.
    for part in ["run", "toolComponent"] {
        schema["definitions"][part]["properties"]["language"]["pattern"] = "^[a-zA-Z]{2}".into();
    }
    let schema = jsonschema::validator_for(&schema).unwrap();
    for (name, run) in testing::all() {
        let log = parsed(&sarif(&run));
        let errors: Vec<String> = schema.iter_errors(&log).map(|it| it.to_string()).collect();
        assert_eq!(errors, [] as [String; 0], "{name}");
        let rules = log["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
        assert_eq!(rules.len(), Rule::ALL.len() + 1);
        for rule in rules {
            assert!(rule["fullDescription"]["text"].as_str().unwrap().len() <= 1024);
            assert!(rule["properties"]["tags"].as_array().unwrap().len() <= 10);
            assert!(rule["help"]["markdown"].is_string());
        }
        for result in log["runs"][0]["results"].as_array().unwrap() {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"]);
            let place = &result["locations"][0]["physicalLocation"];
            let uri = place["artifactLocation"]["uri"].as_str().unwrap();
            assert!(uri.starts_with("services/specs/"), "{uri}");
            assert!(place["region"]["startLine"].as_u64().unwrap() >= 1);
        }
    }
    // The check itself works.
    assert!(!schema.is_valid(&serde_json::json!({"version": "2.1.0", "runs": [{}]})));
}

#[test]
fn fingerprints_outlive_moved_lines_and_differ_between_findings() {
    let prints = |run: &RunRecord| -> Vec<String> {
        let log = parsed(&sarif(run));
        let results = log["runs"][0]["results"].as_array().unwrap().iter();
        results
            .map(|it| {
                it["partialFingerprints"]["primaryLocationLineHash"].as_str().unwrap().to_owned()
            })
            .collect()
    };
    let mut run = testing::run(vec![testing::failing("web"), testing::inconclusive("db")]);
    // Entries without a port whose lines are the same.
    for _ in 0..2 {
        run.specs[0].findings.push(testing::finding(Rule::UnusedEntry, None, "unused"));
    }
    let before = prints(&run);
    let mut unique = before.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), 6, "{before:?}");
    for record in &mut run.specs {
        record.line += 3;
        for located in &mut record.findings {
            located.location.line += 3;
        }
    }
    assert_eq!(prints(&run), before);
}

#[test]
fn the_statement_names_each_image_once_by_its_digest() {
    let mut run = testing::run(vec![
        testing::passing("a"),
        testing::passing("b"),
        testing::passing("c"),
        testing::passing("d"),
    ]);
    // An image that never saw a registry, and digests that are none.
    run.specs[2].image = "local".to_owned();
    let id = run.specs[2].image_id.clone();
    run.specs[2].digest = id;
    run.specs[3].digest = Some("sha256:beef".to_owned());
    let statement = parsed(&intoto(&run));
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    let subjects = statement["subject"].as_array().unwrap();
    assert_eq!(subjects.len(), 2);
    assert_eq!(subjects[0]["annotations"]["dev.portlid.digest"], "manifest");
    assert_eq!(subjects[1]["annotations"]["dev.portlid.digest"], "config");
    let configuration = &statement["predicate"]["configuration"];
    assert_eq!(configuration[0]["annotations"]["finishedOn"], "2026-09-21T14:13:29Z");
    assert_eq!(configuration[1]["name"], "services/specs/a.yaml");
    assert_eq!(configuration[1]["digest"]["sha256"], "ab".repeat(32));
}

#[test]
fn github_gets_no_more_than_it_shows() {
    let mut record = testing::failing("web");
    for number in 1..=300 {
        let finding = testing::finding(Rule::UnlistedListener, Some(Port::tcp(number)), "open");
        record.findings.push(finding);
        record.findings.push(testing::finding(Rule::SilentExpose, Some(Port::tcp(number)), "shut"));
    }
    let run = testing::run(vec![record]);
    let text = github::annotations(&run);
    assert_eq!(text.lines().filter(|line| line.starts_with("::error ")).count(), 10);
    assert_eq!(text.lines().filter(|line| line.starts_with("::warning ")).count(), 10);
    assert!(text.contains("not annotated: 293 more errors, 290 more warnings;"), "{text}");
}

#[test]
fn long_reports_are_cut_where_it_is_said() {
    let specs: Vec<_> = (0..3000).map(|at| testing::failing(&format!("spec-{at}"))).collect();
    let mut run = testing::run(specs);
    run.specs.push(testing::inconclusive("last"));
    let text = markdown(&run, COMMENT);
    assert!(text.len() <= COMMENT, "{}", text.len());
    assert!(text.contains("Left out here for want of room: the details of "), "{text}");
    assert!(text.contains(" more specs"));
    let text = github::summary(&run, 100_000).unwrap();
    assert!(text.len() + 100_001 <= 1024 * 1024);
    assert_eq!(github::summary(&run, 1024 * 1024 - 100), None);
    assert_eq!(github::summary(&run, usize::MAX), None);

    let log = parsed(&sarif(&run));
    assert_eq!(log["runs"][0]["results"].as_array().unwrap().len(), 5000);
    let notes = log["runs"][0]["invocations"][0]["toolExecutionNotifications"].as_array().unwrap();
    assert!(notes.last().unwrap()["message"]["text"].as_str().unwrap().starts_with("4001 results"));
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    for (name, run) in testing::all() {
        let page = html(&run);
        let (elements, _) = elements(&page);
        for element in elements {
            let tag = element.split(' ').next().unwrap();
            assert!(
                !["script", "img", "link", "iframe", "object", "embed", "form", "base", "comment"]
                    .contains(&tag),
                "{name}: {element}"
            );
            for attribute in element.split(' ').skip(1) {
                assert!(!attribute.starts_with("on") && attribute != "src", "{name}: {element}");
            }
        }
        assert!(!page.contains("url(") && !page.contains("@import"), "{name}");
        let links = page.matches("href=\"").count();
        assert_eq!(page.matches("href=\"#spec-").count(), links, "{name}");
        assert!(page.contains("default-src 'none'; style-src 'unsafe-inline'"));
    }
}

#[test]
fn the_timeline_is_told_in_words_too() {
    let (_, text) = elements(&html(&testing::run(vec![testing::failing("web")])));
    assert!(text.contains("Ready after 610 ms. 80/tcp open from 120 ms to the end."), "{text}");
    assert!(text.contains("4000/tcp open from 900 ms to 1.5 s."), "{text}");
}

/// A text that means something in some format, or is anything at all.
fn foreign() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        "<script>alert(1)</script>",
        "</style>",
        "</title>",
        "-->",
        "<!--",
        "]]>",
        "<![CDATA[",
        "\"",
        "'",
        " onload=x ",
        "&lt;",
        "&#60;",
        "`",
        "``",
        "```",
        "|",
        "\\",
        "\\`",
        "\n",
        "\r\n",
        "\u{2028}",
        "::error::x",
        "::set-output name=a::b",
        "::stop-commands::x",
        "##[error]x",
        "##",
        "#",
        "[",
        "]",
        "##vso[task.complete]x",
        "%0A",
        "%",
        "@octocat",
        "#1",
        "[a](javascript:b)",
        "![a](http://b/c)",
        "http://evil.example",
        "www.evil.example",
        "a@evil.example",
        "<!-- a",
        "{0}",
        "{{",
        "}",
        "\u{1b}[31m",
        "\u{0}",
        "\u{fffe}",
        "\u{ffff}",
        "\u{202e}",
        "\u{85}",
        "$x$",
        "~~",
        "**",
        "__",
        "# h",
        "- i",
        "> q",
        ":tada:",
        "<img src=x>",
        "](b)",
        "://",
        "\t",
        " ",
        "node",
        "端口",
        "&",
        ";",
        "=",
        "*",
        "_",
    ]);
    prop_oneof![
        prop::collection::vec(parts, 1..6).prop_map(|parts| parts.concat()),
        any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// No text of others becomes markup or a command, in any format.
    #[test]
    fn foreign_text_stays_text(text in foreign()) {
        let (run, calm) = (testing::hostile(&text), testing::hostile("calm"));

        // The page has the very elements and attributes that it has with harmless text, but for code,
        // which backticks make.
        let but_code = |page: &str| {
            let (mut elements, _) = elements(page);
            elements.retain(|element| element != "code ");
            elements
        };
        prop_assert_eq!(but_code(&html(&run)), but_code(&html(&calm)));

        // XML of the same elements, of allowed characters only.
        let xml = junit(&run);
        prop_assert_eq!(tags(&xml), tags(&junit(&calm)));
        let is_allowed = |it: char| it >= ' ' && !('\u{7f}'..='\u{9f}').contains(&it) && !matches!(it, '\u{fffe}' | '\u{ffff}');
        prop_assert!(xml.chars().all(|it| it == '\n' || is_allowed(it)), "{}", xml);

        // A command per line, of ours; nothing that a runner takes for another one.
        let lines = github::annotations(&run);
        let begins = |text: &str| text.lines().map(|line| line.split([' ', ':']).find(|it| !it.is_empty()).unwrap_or("").to_owned()).collect::<Vec<_>>();
        prop_assert_eq!(begins(&lines), begins(&github::annotations(&calm)));
        for line in lines.lines() {
            let (command, _) = line[2..].split_once("::").unwrap();
            let (_, properties) = command.split_once(' ').unwrap();
            let names: Vec<&str> = properties.split(',').map(|it| it.split_once('=').unwrap().0).collect();
            prop_assert!(
                names == ["file", "line", "col", "title"] || names == ["file", "line", "title"],
                "{}", line
            );
        }

        // JSON that says the same as it would in any case.
        for text in [sarif(&run), intoto(&run), json(&run)] {
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok());
        }
        let log = parsed(&sarif(&run));
        for result in log["runs"][0]["results"].as_array().unwrap() {
            let text = result["message"]["text"].as_str().unwrap();
            let bare = text.replace("\\\\", "").replace("\\[", "").replace("\\]", "").replace("{{", "").replace("}}", "");
            prop_assert!(!bare.contains(['[', ']', '{', '}']), "{}", text);
        }

        // No report has what a terminal or a runner obeys anywhere in a line.
        let page = markdown(&run, COMMENT);
        for text in [&lines, &xml, &page, &html(&run)] {
            prop_assert!(!text.contains("##[") && !text.contains("##vso["), "{}", text);
            prop_assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{0}', '\u{85}', '\u{2028}']), "{}", text);
        }

        // Markdown: outside of code there is no character of the text that has a meaning.
        prop_assert_eq!(skeleton(&page), skeleton(&markdown(&calm, COMMENT)), "{}", page);
    }
}

/// The tags of an XML text, with the names of their attributes.
fn tags(xml: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = xml;
    while let Some((_, after)) = rest.split_once('<') {
        let (tag, next) = after.split_once('>').expect("every tag ends");
        let names = tag.split('"').step_by(2).map(str::trim).collect::<Vec<_>>().join(" ");
        found.push(names);
        rest = next;
    }
    found
}

/// What is left of Markdown without code and without plain text: its markup.
fn skeleton(page: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(fence) = line.strip_suffix("text").filter(|it| it.starts_with("```")) {
            for _ in lines.by_ref().take_while(|line| *line != fence) {}
            *counts.entry("block".to_owned()).or_default() += 1;
            continue;
        }
        let mut rest = line;
        let mut bare = String::new();
        while let Some(at) = rest.find('`') {
            bare.push_str(&rest[..at]);
            let fence: String = rest[at..].chars().take_while(|it| *it == '`').collect();
            rest = &rest[at + fence.len()..];
            // The span ends with a run of the same length.
            let mut from = 0;
            let end = loop {
                let at = from + rest[from..].find('`').expect("every span ends in its line");
                let run = rest[at..].chars().take_while(|it| *it == '`').count();
                if run == fence.len() {
                    break at;
                }
                from = at + run;
            };
            // A cell ends at a bare `|` even in code.
            assert!(!rest[..end].replace("\\|", "").contains('|'), "{line}");
            rest = &rest[end + fence.len()..];
        }
        bare.push_str(rest);
        let bare = bare.replace("<code>", "").replace("</code>", "");
        for markup in ["<", ">", "|", "[", "]", "*", "_", "@", "\\", "~", "$", "p://", "www.", "!"]
        {
            *counts.entry(markup.to_owned()).or_default() += bare.matches(markup).count();
        }
    }
    counts
}
