//! The ledger as a table; on a narrow screen each row becomes a card.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    observation::{Answer, Owner, Socket},
    record::{LedgerRow, Record},
    report::{
        escape::{Doc, Html},
        markdown::{nobody, shown_rows},
        words::count,
    },
    rule::Level,
};

/// Ports of a spec that are shown.
const MOST: usize = 500;

pub(super) fn ledger(page: &mut Doc<Html>, record: &Record) {
    if record.ledger.is_empty() {
        return;
    }
    page.raw("<h3>Ledger</h3>\n<div class=\"scroll\"><table role=\"table\">\n<thead role=\"rowgroup\"><tr role=\"row\">");
    page.raw("<th role=\"columnheader\" scope=\"col\">Port</th><th role=\"columnheader\" scope=\"col\">Declared</th>");
    page.raw("<th role=\"columnheader\" scope=\"col\">Published</th><th role=\"columnheader\" scope=\"col\">Listening</th>");
    page.raw(
        "<th role=\"columnheader\" scope=\"col\">Reachable</th><th role=\"columnheader\" scope=\"col\">Entry</th></tr></thead>\n<tbody role=\"rowgroup\">\n",
    );
    for row in shown_rows(record, MOST) {
        self::row(page, record, row);
    }
    page.raw("</tbody></table></div>\n");
    if let Some(more @ 1..) = record.ledger.len().checked_sub(MOST) {
        page.raw("<p class=\"small\">And ").text(count(more, "more port"));
        page.raw("; the JSON report has them all.</p>\n");
    }
}

/// The most severe level of the findings about a row's port.
pub(super) fn worst(record: &Record, row: &LedgerRow) -> Option<Level> {
    let about = record.findings.iter().filter(|it| it.finding.port == Some(row.port));
    about.map(|located| located.finding.level).min()
}

fn row(page: &mut Doc<Html>, record: &Record, row: &LedgerRow) {
    let level = worst(record, row);
    page.raw("<tr role=\"row\" class=\"").raw(level.map_or("pass", Level::as_str));
    page.raw("\"><th role=\"rowheader\" scope=\"row\">").text(row.port);
    if let Some(level) = level.filter(|level| *level < Level::Note) {
        page.raw(" <span class=\"unseen\">(").raw(level.as_str()).raw(")</span>");
    }
    page.raw("</th><td role=\"cell\" data-label=\"Declared\"><div>").raw(if row.declared {
        "yes"
    } else {
        NO
    });
    page.raw("</div></td><td role=\"cell\" data-label=\"Published\"><div>");
    if row.published.is_empty() {
        page.raw(NO);
    }
    for (at, address) in row.published.iter().enumerate() {
        page.raw(if at > 0 { ", " } else { "" }).raw("<code>").text(address).raw("</code>");
    }
    page.raw("</div></td><td role=\"cell\" data-label=\"Listening\"><div>");
    listening(page, &row.listening);
    page.raw("</div></td><td role=\"cell\" data-label=\"Reachable\"><div>");
    page.raw(row.reachable.map_or("unknown", Answer::as_str));
    page.raw("</div></td><td role=\"cell\" data-label=\"Entry\"><div>");
    match row.entry_line {
        Some(line) => page.raw("line ").text(line),
        None => page.raw("none"),
    };
    let allowance = &row.allowance;
    let until = allowance.until.map(|day| format!("until {day}"));
    let said = [&allowance.why, &allowance.owner].map(|text| Some(text.as_ref()?.shown(200)));
    for text in said.into_iter().chain([until]).flatten() {
        page.raw("<span class=\"aside\">").text(text).raw("</span>");
    }
    page.raw("</div></td></tr>\n");
}

const NO: &str = "<span class=\"no\">–</span>";

fn listening(page: &mut Doc<Html>, sockets: &[Socket]) {
    if sockets.is_empty() {
        page.raw(NO);
        return;
    }
    let addresses: BTreeSet<_> = sockets.iter().map(|socket| socket.address).collect();
    for (at, address) in addresses.iter().take(6).enumerate() {
        page.raw(if at > 0 { ", " } else { "" }).raw("<code>").text(address).raw("</code>");
    }
    page.raw("<span class=\"aside\">by ").raw(nobody(sockets));
    let owners: BTreeSet<&Owner> = sockets.iter().flat_map(|it| it.owners.processes()).collect();
    for (at, owner) in owners.iter().take(4).enumerate() {
        page.raw(if at > 0 { ", " } else { "" }).text(owner.shown().shown(60));
        page.raw(" (pid ").text(owner.pid).raw(", uid ").text(owner.uid).raw(")");
    }
    if let Some(more @ 1..) = owners.len().checked_sub(4) {
        page.raw(" and ").text(more).raw(" more");
    }
    page.raw("</span>");
}

/// When the first of a row's sockets was first seen, and the last of them last.
pub(super) fn life(row: &LedgerRow) -> Option<(Duration, Duration)> {
    let first = row.listening.iter().map(|socket| socket.first_seen).min()?;
    let last = row.listening.iter().map(|socket| socket.last_seen).max()?;
    Some((first, last))
}
