//! The timeline: when each socket opened and closed, against the start, readiness and the watch.
//!
//! Lengths are percentages of the width, so it fits every screen, and its words stay readable.

use std::{fmt::Display, time::Duration};

use super::ledger::{life, worst};
use crate::{
    record::{LedgerRow, Record, Timeline},
    report::{
        escape::{Doc, Html},
        words::{count, shortly},
    },
    rule::Level,
};

/// Ports that are drawn.
const MOST: usize = 60;
/// Heights, in CSS pixels.
const TOP: usize = 26;
const ROW: usize = 38;
const BOTTOM: usize = 24;
/// Who was seen this shortly before the last sample was still there.
const STILL: Duration = Duration::from_millis(150);

pub(super) fn timeline(page: &mut Doc<Html>, at: usize, record: &Record) {
    let Some(line) = record.timeline else { return };
    let mut rows: Vec<(&LedgerRow, Duration, Duration)> = record
        .ledger
        .iter()
        .filter_map(|row| life(row).map(|(first, last)| (row, first, last)))
        .collect();
    // Those with findings first, if not all can be drawn.
    rows.sort_by_key(|(row, ..)| (worst(record, row).unwrap_or(Level::Off), row.port));
    let more = rows.len().saturating_sub(MOST);
    rows.truncate(MOST);
    rows.sort_by_key(|(row, first, _)| (*first, row.port));
    if rows.is_empty() {
        return;
    }
    let scale = Scale::of(&line);
    let height = TOP + rows.len() * ROW + BOTTOM;
    page.raw("<h3>Timeline</h3>\n<figure><svg class=\"timeline\" role=\"img\" aria-labelledby=\"");
    page.raw("time-").text(at).raw("\" width=\"100%\" height=\"").text(height);
    page.raw("\"><title id=\"time-").text(at).raw("\">");
    page.text(told(&rows, &line)).raw("</title>\n");
    let floor = TOP + rows.len() * ROW;
    if let Some(from) = line.watched_from {
        let (x, end) = (scale.percent(from), scale.percent(line.until));
        page.raw("<rect class=\"watch\" x=\"").text(x).raw("%\" y=\"").text(TOP);
        page.raw("\" width=\"").text(format!("{:.2}", (end.0 - x.0).max(0.2)));
        page.raw("%\" height=\"").text(floor - TOP).raw("\"/>\n");
    }
    // First, so that the words of a bar stand before the line.
    marks(page, &line, &scale, floor);
    for (index, (row, first, last)) in rows.iter().enumerate() {
        bar(page, record, row, (*first, *last), &scale, TOP + index * ROW);
    }
    page.raw("</svg>\n<figcaption class=\"small\">Seconds since the start of the container. ");
    page.raw(if line.watched_from.is_some() { "Shaded: the watch. " } else { "" });
    page.raw("A bar lasts from the first to the last sight of a port’s sockets.");
    if more > 0 {
        page.raw(" Not drawn: ").text(count(more, "more port")).raw(".");
    }
    page.raw("</figcaption></figure>\n");
}

/// From moments to percentages of the width.
struct Scale {
    from: Duration,
    until: Duration,
}

/// A percentage.
#[derive(Clone, Copy)]
struct Percent(f64);

impl Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2}", self.0)
    }
}

impl Scale {
    fn of(line: &Timeline) -> Self {
        // A container that ran long before the look began is drawn from there.
        let length = line.until.saturating_sub(line.from);
        let from = if line.from > length { line.from } else { Duration::ZERO };
        Self { from, until: line.until }
    }

    fn percent(&self, at: Duration) -> Percent {
        let whole = self.until.saturating_sub(self.from).as_secs_f64().max(0.001);
        let part = at.saturating_sub(self.from).as_secs_f64();
        Percent((part / whole).clamp(0.0, 1.0) * 100.0)
    }
}

fn bar(
    page: &mut Doc<Html>,
    record: &Record,
    row: &LedgerRow,
    (first, last): (Duration, Duration),
    scale: &Scale,
    y: usize,
) {
    let tone = worst(record, row).map_or("pass", Level::as_str);
    let (x, end) = (scale.percent(first), scale.percent(last));
    let (x, width) = (Percent(x.0.min(99.4)), Percent((end.0 - x.0).max(0.6)));
    // The words stand where the bar begins, or end there if it begins far to the right.
    let is_right = x.0 > 50.0;
    page.raw("<g class=\"").raw(tone).raw("\"><text class=\"label\" x=\"");
    page.text(if is_right { Percent(100.0) } else { x }).raw("%\" y=\"").text(y + 16);
    page.raw(if is_right { "\" text-anchor=\"end\"" } else { "\"" }).raw(">");
    page.text(row.port).raw("<tspan class=\"dim\" dx=\"8\">").text(shortly(first));
    if closed(row, last, scale.until) {
        page.raw(" to ").text(shortly(last));
    }
    page.raw("</tspan></text>\n<rect class=\"bar\" x=\"").text(x).raw("%\" y=\"").text(y + 22);
    page.raw("\" width=\"").text(width).raw("%\" height=\"8\" rx=\"4\"/>");
    if let Some(lost) = row.lost {
        let lost = scale.percent(lost);
        page.raw("<line class=\"lost\" x1=\"").text(lost).raw("%\" x2=\"").text(lost);
        page.raw("%\" y1=\"").text(y + 18).raw("\" y2=\"").text(y + 34).raw("\"/>");
    }
    page.raw("</g>\n");
}

fn closed(row: &LedgerRow, last: Duration, until: Duration) -> bool {
    row.lost.is_some() || last + STILL < until
}

/// The start, readiness and the end.
fn marks(page: &mut Doc<Html>, line: &Timeline, scale: &Scale, floor: usize) {
    let ready = match (line.ready, line.watched_from) {
        (Some(at), _) => Some((at, "ready")),
        (None, Some(at)) => Some((at, "not ready")),
        (None, None) => None,
    };
    if let Some((at, word)) = ready {
        let x = scale.percent(at);
        page.raw("<line class=\"mark\" x1=\"")
            .text(x)
            .raw("%\" x2=\"")
            .text(x)
            .raw("%\" y1=\"18\"");
        page.raw(" y2=\"").text(floor).raw("\"/><text class=\"dim\" x=\"").text(x);
        page.raw("%\" y=\"13\"").raw(anchor(x)).raw(">").raw(word).raw(" ").text(shortly(at));
        page.raw("</text>\n");
    }
    page.raw("<line class=\"axis\" x1=\"0\" x2=\"100%\" y1=\"").text(floor).raw("\" y2=\"");
    page.text(floor).raw("\"/>");
    let middle = scale.from + scale.until.saturating_sub(scale.from) / 2;
    for at in [scale.from, middle, scale.until] {
        let x = scale.percent(at);
        page.raw("<text class=\"dim\" x=\"").text(x).raw("%\" y=\"").text(floor + 17).raw("\"");
        page.raw(anchor(x)).raw(">").text(format!("{:.1} s", at.as_secs_f64())).raw("</text>");
    }
    page.raw("\n");
}

/// So that words stay within the picture.
fn anchor(x: Percent) -> &'static str {
    match x.0 {
        x if x < 15.0 => "",
        x if x > 85.0 => " text-anchor=\"end\"",
        _ => " text-anchor=\"middle\"",
    }
}

/// The whole picture in words.
fn told(rows: &[(&LedgerRow, Duration, Duration)], line: &Timeline) -> String {
    let ready = line.ready.map(|at| format!("Ready after {}.", shortly(at)));
    let ports = rows.iter().map(|(row, first, last)| {
        if closed(row, *last, line.until) {
            format!("{} open from {} to {}.", row.port, shortly(*first), shortly(*last))
        } else {
            format!("{} open from {} to the end.", row.port, shortly(*first))
        }
    });
    let watched = format!("Watched until {}.", shortly(line.until));
    ready.into_iter().chain(ports).chain([watched]).collect::<Vec<_>>().join(" ")
}
