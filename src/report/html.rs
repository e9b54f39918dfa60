//! One page that needs nothing but itself: no script, no picture, no font, nothing from elsewhere.
//!
//! The verdict, the specs, and for each what disagrees and what to do, the ledger, a timeline of its
//! sockets, and the evidence. For light and dark, wide and narrow, eyes and screen readers.

mod ledger;
mod style;
mod timeline;

use super::{
    escape::{Doc, Html},
    words::{by_severity, count, from_root, headline, moment, outcome, shortly, verdict},
};
use crate::{
    judgement::Verdict,
    record::{Evidence, LocatedFinding, Record, RunRecord},
    rule::Level,
};

/// Findings of a spec that are shown.
const MOST: usize = 200;

/// The page of a run.
#[must_use]
pub fn html(run: &RunRecord) -> String {
    let mut page = Doc::new();
    page.raw(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>portlid: ",
    );
    page.text(headline(run)).raw("</title>\n<style>").raw(style::CSS);
    page.raw("</style>\n</head>\n<body>\n");
    let records = by_severity(run);
    head(&mut page, run);
    page.raw("<main>\n");
    left_behind(&mut page, run.left_behind.iter());
    if records.len() > 1 {
        overview(&mut page, &records);
    }
    for (at, record) in records.iter().enumerate() {
        spec(&mut page, at, record, run);
    }
    page.raw("</main>\n<footer>portlid ").raw(env!("CARGO_PKG_VERSION"));
    if let Some(engine) = &run.engine {
        page.raw(" · ").text(&engine.name).raw(" ").text(&engine.version);
        page.raw(" at ").text(&engine.endpoint);
    }
    page.raw("</footer>\n</body>\n</html>\n");
    page.finish()
}

fn head(page: &mut Doc<Html>, run: &RunRecord) {
    page.raw("<header class=\"top ").raw(if run.exit().code() == 0 { "pass" } else { "fail" });
    page.raw("\">\n<p class=\"brand\">portlid</p>\n<h1>");
    let headline = headline(run);
    let mut rest = headline.chars();
    let first: String = rest.next().into_iter().flat_map(char::to_uppercase).collect();
    page.text(first).text(rest.as_str()).raw("</h1>\n<p class=\"meta\">");
    page.text(count(run.specs.len(), "spec"));
    if let Some(started) = run.started {
        let started = moment(started);
        page.raw(" · <time datetime=\"").text(&started).raw("\">");
        page.text(started.replace('T', " ").replace('Z', " UTC")).raw("</time>");
    }
    let took = run.started.zip(run.finished).map(|(from, to)| to.duration_since(from));
    if let Some(took) = took.and_then(|took| took.try_into().ok()) {
        page.raw(" · ").text(shortly(took));
    }
    page.raw("</p>\n</header>\n");
}

/// The class that colours a verdict.
fn tone(record: &Record) -> &'static str {
    match record.verdict {
        _ if record.is_internal_error => "fail",
        Verdict::Fail => "fail",
        Verdict::Inconclusive => "open",
        Verdict::Pass if !record.left_behind.is_empty() => "warn",
        Verdict::Pass => "pass",
    }
}

fn badge(page: &mut Doc<Html>, tone: &'static str, word: &'static str) {
    page.raw("<span class=\"badge ").raw(tone).raw("\">").raw(word).raw("</span>");
}

fn overview(page: &mut Doc<Html>, records: &[&Record]) {
    page.raw("<nav aria-label=\"Specs\"><ul class=\"overview\">\n");
    for (at, record) in records.iter().enumerate() {
        page.raw("<li><a href=\"#spec-").text(at).raw("\">");
        badge(page, tone(record), verdict(record));
        page.raw("<strong>").text(&record.name).raw("</strong><span class=\"what\">");
        page.text(outcome(record)).raw("</span><span class=\"time\">");
        page.text(shortly(record.took)).raw("</span></a></li>\n");
    }
    page.raw("</ul></nav>\n");
}

fn spec(page: &mut Doc<Html>, at: usize, record: &Record, run: &RunRecord) {
    page.raw("<section class=\"spec ").raw(tone(record)).raw("\" id=\"spec-").text(at);
    page.raw("\" aria-labelledby=\"name-").text(at).raw("\">\n<header>\n<h2 id=\"name-").text(at);
    page.raw("\">").text(&record.name).raw("</h2>");
    badge(page, tone(record), verdict(record));
    page.raw("<p class=\"outcome\">").text(outcome(record)).raw("</p>\n<dl class=\"facts\">");
    let file =
        from_root(&record.file, &run.origin).unwrap_or_else(|| record.file.display().to_string());
    for (term, value) in [
        ("Image", Some(record.image.as_str())),
        ("Platform", record.platform.as_deref()),
        ("Spec", Some(file.as_str())),
        ("Digest", record.digest.as_deref()),
    ] {
        if let Some(value) = value {
            page.raw("<div><dt>").raw(term).raw("</dt><dd><code>").text(value);
            page.raw("</code></dd></div>");
        }
    }
    page.raw("</dl>\n</header>\n");
    if let Some(reason) = &record.reason {
        page.raw("<div class=\"callout\"><p>").prose(&reason.message).raw("</p>");
        if let Some(hint) = &reason.hint {
            page.raw("<p class=\"help\"><b>What to do</b> ").prose(hint).raw("</p>");
        }
        page.raw("</div>\n");
    }
    left_behind(page, record.left_behind.iter());
    let (weighty, notes): (Vec<_>, Vec<_>) =
        record.findings.iter().partition(|located| located.finding.level < Level::Note);
    findings(page, &weighty, &file);
    ledger::ledger(page, record);
    timeline::timeline(page, at, record);
    if !notes.is_empty() {
        page.raw("<details><summary>").text(count(notes.len(), "note")).raw("</summary>\n");
        findings(page, &notes, &file);
        page.raw("</details>\n");
    }
    if !record.log.is_empty() {
        // Where it explains why nothing is known, it is read at once.
        page.raw("<details").raw(if record.verdict == Verdict::Inconclusive {
            " open"
        } else {
            ""
        });
        page.raw("><summary>The last lines of its log</summary>\n<pre tabindex=\"0\">");
        for line in &record.log {
            page.raw("| ").text(line).raw("\n");
        }
        page.raw("</pre></details>\n");
    }
    if let Some(seen) = &record.evidence {
        evidence(page, seen);
    }
    page.raw("</section>\n");
}

fn findings(page: &mut Doc<Html>, found: &[&LocatedFinding], file: &str) {
    if found.is_empty() {
        return;
    }
    page.raw("<ul class=\"findings\">\n");
    for LocatedFinding { finding, location, line } in found.iter().take(MOST) {
        page.raw("<li class=\"").raw(finding.level.as_str()).raw("\"><p class=\"rule\">");
        badge(page, finding.level.as_str(), finding.level.as_str());
        page.raw("<code>").raw(finding.rule.id()).raw("</code>");
        if let Some(port) = finding.port {
            page.raw("<strong class=\"port\">").text(port).raw("</strong>");
        }
        page.raw("</p>\n<p class=\"message\">").prose(&finding.message);
        page.raw("</p>\n<p class=\"help\"><b>What to do</b> ").prose(&finding.help);
        page.raw("</p>\n<pre class=\"source\" tabindex=\"0\"><span class=\"where\">").text(file);
        page.raw(":").text(location.line).raw("</span>\n").text(line).raw("</pre>\n");
        if finding.first_seen.is_some() || !finding.rule.cis().is_empty() {
            page.raw("<p class=\"small\">");
            if let Some(at) = finding.first_seen {
                page.raw("Seen ").text(shortly(at)).raw(" after the start. ");
            }
            if !finding.rule.cis().is_empty() {
                page.raw("CIS Docker Benchmark 1.6.0: ").text(finding.rule.cis().join(", "));
                page.raw(".");
            }
            page.raw("</p>\n");
        }
        page.raw("</li>\n");
    }
    page.raw("</ul>\n");
    if let Some(more @ 1..) = found.len().checked_sub(MOST) {
        page.raw("<p class=\"small\">And ").text(count(more, "more finding"));
        page.raw("; the JSON report has them all.</p>\n");
    }
}

fn left_behind<'a>(page: &mut Doc<Html>, all: impl Iterator<Item = &'a crate::record::LeftBehind>) {
    for left in all {
        page.raw("<div class=\"callout\"><p>Left behind: ").prose(&left.what);
        page.raw("</p><p class=\"help\">Remove it with <code>").text(&left.remove_with);
        page.raw("</code></p></div>\n");
    }
}

fn evidence(page: &mut Doc<Html>, seen: &Evidence) {
    let join = |parts: &[String]| parts.join(", ");
    let addresses: Vec<String> = seen.addresses.iter().map(ToString::to_string).collect();
    page.raw("<details><summary>The evidence</summary>\n<dl class=\"facts\">");
    for (term, value) in [
        ("Samples", format!("{} of {} tables", seen.samples, seen.tables.len())),
        ("Watched for", shortly(seen.watched)),
        ("Longest time out of sight", shortly(seen.longest_gap)),
        ("TCP ports scanned", seen.scanned.to_string()),
        ("Addresses", join(&addresses)),
        ("Looked from", seen.looked_from.to_owned()),
        ("Container", seen.container.clone()),
        ("Network namespace", seen.network_namespace.to_string()),
        ("Tables", join(&seen.tables)),
        ("Controls", seen.controls.join("; ")),
    ] {
        page.raw("<div><dt>").raw(term).raw("</dt><dd>").text(value).raw("</dd></div>");
    }
    page.raw("</dl></details>\n");
}
