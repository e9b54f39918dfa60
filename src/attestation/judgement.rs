//! Statements and an image -> verified, or every reason why not.

use std::{cmp::Reverse, collections::BTreeSet, time::Duration};

use jiff::SignedDuration;

use super::{
    Compared, Demands, File, Outcome, PREDICATE_TYPE, Reason, SKEW, Test, Verified, Wanted,
    claims::{Claim, Claims, Tool, claims, finished, is_ours, predicate_type},
    envelope::Found,
    fields::Reasons,
    image::{Match, image, looked_at, same, wrong_image_hint},
};
use crate::foreign::shown;

/// No run takes longer than this.
const LONGEST_RUN: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Holds the statements of a file against the image; `None` if it is not known: then nothing verifies,
/// and what can be said without it is.
///
/// Of several statements those by portlid count, and of these, those about the image. A newer one
/// takes the place of an older one about the same specs; all that are left must verify.
#[must_use]
pub fn judge(file: &File, wanted: Option<&Wanted>, demands: &Demands) -> Outcome {
    let mut reasons = Reasons::default();
    let mut verified = Vec::new();
    let mut platforms = BTreeSet::new();
    match chosen(&file.statements, wanted) {
        Ok(chosen) => {
            for found in &chosen {
                let mut own = Reasons::default();
                match judged(found, wanted, demands, &mut platforms, &mut own) {
                    Some(it) if own.is_empty() => verified.push(it),
                    _ => {
                        let prefix = prefix(found, file.statements.len());
                        for Reason { what, hint } in own.into_list() {
                            reasons.push(format!("{prefix}{what}"), hint);
                        }
                    }
                }
            }
            looked_at(&platforms, wanted, demands, &mut reasons);
            // Nothing at all is no pass, and neither is a statement that was refused in silence.
            if wanted.is_some()
                && reasons.is_empty()
                && (verified.is_empty() || verified.len() < chosen.len())
            {
                reasons.malformed("it does not say enough");
            }
        }
        Err(reason) => reasons.push(reason.what, reason.hint),
    }
    if reasons.is_empty() && !verified.is_empty() {
        Outcome::Verified(verified)
    } else {
        Outcome::Refused(reasons.into_list())
    }
}

/// The statements that count.
fn chosen<'f>(found: &'f [Found], wanted: Option<&Wanted>) -> Result<Vec<&'f Found>, Reason> {
    // The only one is told all about, whatever it is.
    if let [only] = found {
        return Ok(vec![only]);
    }
    let ours: Vec<&Found> = found.iter().filter(|found| is_ours(&found.statement)).collect();
    if ours.is_empty() {
        let types: BTreeSet<String> = found
            .iter()
            .map(|it| format!("`{}`", shown(predicate_type(&it.statement).unwrap_or("?"), 100)))
            .collect();
        let types: Vec<String> = types.into_iter().take(5).collect();
        return Err(Reason {
            what: format!(
                "none of {} statements is portlid's, but {}",
                found.len(),
                types.join(", ")
            ),
            hint: format!(
                "name a file with a statement whose `predicateType` is `{PREDICATE_TYPE}`"
            ),
        });
    }
    // Which of them count, only the image tells.
    let Some(wanted) = wanted else { return Ok(Vec::new()) };
    let about: Vec<&Found> = ours.iter().copied().filter(|it| is_about(it, wanted)).collect();
    if about.is_empty() {
        return Err(Reason {
            what: format!("none of portlid's {} statements here is about this image", ours.len()),
            hint: wrong_image_hint(wanted).to_owned(),
        });
    }
    Ok(newest(about))
}

/// Without those whose specs are all in newer ones. One that does not tell its time stays, and is
/// refused for that.
fn newest(about: Vec<&Found>) -> Vec<&Found> {
    let mut told: Vec<_> =
        about.into_iter().map(|found| (finished(&found.statement), specs(found), found)).collect();
    told.sort_by_key(|(time, ..)| Reverse(*time));
    let mut newer: BTreeSet<String> = BTreeSet::new();
    let mut counting = Vec::new();
    // Of the same moment, none is newer.
    for together in told.chunk_by(|one, other| one.0 == other.0) {
        for (time, specs, found) in together {
            if time.is_none() || specs.is_empty() || !specs.is_subset(&newer) {
                counting.push(*found);
            }
        }
        newer.extend(together.iter().flat_map(|(_, specs, _)| specs).cloned());
    }
    counting
}

/// The files and names of the specs that a statement tells of, with the platform each was tried on.
fn specs(found: &Found) -> BTreeSet<String> {
    let claims = claims(&found.statement, found.is_wrapped, &mut Reasons::default());
    let tests = claims.map(|claims| claims.tests).unwrap_or_default();
    tests.iter().map(|test| format!("{}\0{}\0{}", test.file, test.name, test.platform)).collect()
}

/// Whether a statement names the image, however it is made otherwise.
fn is_about(found: &Found, wanted: &Wanted) -> bool {
    let claims = claims(&found.statement, found.is_wrapped, &mut Reasons::default());
    // What cannot be read is not left out: it is refused.
    claims.is_none_or(|claims| {
        claims.subjects.is_empty() || claims.subjects.iter().any(|it| same(it, wanted).is_some())
    })
}

fn prefix(found: &Found, count: usize) -> String {
    match (count, finished(&found.statement)) {
        (1, _) => String::new(),
        (_, Some(time)) => format!("the statement of {time}: "),
        (_, None) => "the statement without a time: ".to_owned(),
    }
}

fn judged(
    found: &Found,
    wanted: Option<&Wanted>,
    demands: &Demands,
    platforms: &mut BTreeSet<String>,
    reasons: &mut Reasons,
) -> Option<Verified> {
    let claims = claims(&found.statement, found.is_wrapped, reasons)?;
    result(&claims, demands, reasons);
    tests(&claims, demands, reasons);
    let age = claims.tool.as_ref().and_then(|tool| run(tool, &claims.tests, demands, reasons));
    let matching = wanted.and_then(|wanted| image(&claims, wanted, reasons));
    consistent(&claims, reasons);
    let (Match { subject, compared, looked_at }, tool) = (matching?, claims.tool.as_ref()?);
    platforms.extend(looked_at.iter().map(|test| test.platform.to_owned()));
    let warned: BTreeSet<&str> = claims.warned.as_ref()?.iter().copied().collect();
    let shown_test = |test: &&Claim<'_>| Test {
        name: shown(test.name, 100),
        file: shown(test.file, 200),
        platform: shown(test.platform, 60),
        is_warned: warned.contains(test.name),
    };
    Some(Verified {
        subject: shown(subject.name, 200),
        digest: subject.digest.clone(),
        compared,
        tests: looked_at.iter().map(shown_test).collect(),
        version: shown(tool.version, 40),
        engine: shown(tool.engine, 60),
        finished: tool.finished,
        age: age?,
    })
}

/// The result as a whole, and the exit code that it stands for.
fn result(claims: &Claims<'_>, demands: &Demands, reasons: &mut Reasons) {
    match claims.result {
        None | Some("PASSED") => {}
        Some("WARNED") if demands.allow_warnings => {}
        Some("WARNED") => reasons.push(
            "the result is `WARNED`, not `PASSED`",
            "mend what it warns of, or say `--allow-warnings`: the run itself passed",
        ),
        Some("FAILED") => reasons.push(
            "the result is `FAILED`, not `PASSED`",
            "the image must not be released: see the run's own report",
        ),
        Some(other) => reasons
            .malformed(format!("the result is `{}`, which portlid never writes", shown(other, 40))),
    }
    if let Some(tool) = &claims.tool
        && tool.exit_code != "0"
    {
        reasons.push(
            format!("the run ended with exit code {}, not 0", shown(tool.exit_code, 20)),
            "see the run's own report",
        );
    }
}

/// Every spec must have passed, and be listed as what it is.
fn tests(claims: &Claims<'_>, demands: &Demands, reasons: &mut Reasons) {
    if claims.tests.is_empty() {
        reasons.malformed("it tells of no spec");
    }
    for test in claims.tests.iter().filter(|test| test.verdict != "pass") {
        reasons.push(
            format!(
                "the verdict on the spec `{}` is `{}`",
                shown(test.name, 60),
                shown(test.verdict, 40)
            ),
            "see the run's own report",
        );
    }
    // A list that is missing is a reason already.
    let (Some(passed), Some(warned), Some(failed)) =
        (&claims.passed, &claims.warned, &claims.failed)
    else {
        return;
    };
    for name in failed {
        let what = format!("the spec `{}` failed", shown(name, 60));
        reasons.push(what, "see the run's own report");
    }
    if !demands.allow_warnings {
        for name in warned {
            reasons.push(
                format!("the spec `{}` passed with warnings", shown(name, 60)),
                "mend what it warns of, or say `--allow-warnings`",
            );
        }
    }
    if claims.result == Some("PASSED") && !warned.is_empty()
        || claims.result == Some("WARNED") && warned.is_empty()
    {
        reasons.malformed("the result and the list of tests with warnings contradict each other");
    }
    // As often in the one as in the other: two specs of one name are none.
    let mut listed: Vec<&str> = [passed, warned, failed].into_iter().flatten().copied().collect();
    let mut told: Vec<&str> = claims.tests.iter().map(|test| test.name).collect();
    listed.sort_unstable();
    told.sort_unstable();
    if listed != told {
        reasons.malformed("the lists of tests and the specs it tells of are not the same");
    } else if told.windows(2).any(|pair| pair[0] == pair[1]) {
        reasons.malformed("two specs have the same name");
    }
}

/// When it was: the age of the run, if that makes sense.
fn run(
    tool: &Tool<'_>,
    tests: &[Claim<'_>],
    demands: &Demands,
    reasons: &mut Reasons,
) -> Option<Duration> {
    let Tool { started, finished, .. } = *tool;
    if finished < started {
        reasons.malformed(format!("the run finished ({finished}) before it started ({started})"));
    } else if finished.duration_since(started) > LONGEST_RUN {
        reasons.malformed(format!("the run took from {started} to {finished}, which is too long"));
    }
    for test in tests.iter().filter(|test| !(started..=finished).contains(&test.started)) {
        reasons.malformed(format!(
            "the spec `{}` was looked at on {}, outside of the run",
            shown(test.name, 60),
            test.started
        ));
    }
    let age = demands.now.duration_since(finished);
    let Ok(age) = Duration::try_from(age) else {
        let ahead = age.unsigned_abs();
        if ahead > SKEW {
            reasons.push(
                format!("the run finished in the future: {finished}, and it is {}", demands.now),
                "set the clocks of both machines; one of them is wrong",
            );
        }
        return Some(Duration::ZERO);
    };
    if age > demands.max_age {
        reasons.push(
            format!(
                "it is too old: the run finished {} ago ({finished}), more than {}",
                span(age),
                span(demands.max_age)
            ),
            "run the test again, or raise `--max-age`",
        );
    }
    Some(age)
}

/// What portlid writes itself names each image that it looked at, once, and no other.
fn consistent(claims: &Claims<'_>, reasons: &mut Reasons) {
    if claims.subjects.iter().any(|subject| subject.own.is_none()) {
        return;
    }
    let told: BTreeSet<(&str, &str)> =
        claims.tests.iter().map(|test| (test.digest.as_str(), test.image)).collect();
    let mut named: BTreeSet<(&str, &str)> = BTreeSet::new();
    for subject in &claims.subjects {
        let image = (subject.digest.as_str(), subject.name);
        if !named.insert(image) {
            reasons.malformed(format!("it names `{}` twice", subject.digest));
        }
        if !told.is_empty() && !told.contains(&image) {
            reasons.malformed(format!(
                "it is about `{}` (`{}`), but no spec looked at that",
                subject.digest,
                shown(subject.name, 100)
            ));
        }
    }
    for test in &claims.tests {
        if !named.is_empty() && !named.contains(&(test.digest.as_str(), test.image)) {
            reasons.malformed(format!(
                "the spec `{}` looked at `{}` (`{}`), which is not among its subjects",
                shown(test.name, 60),
                test.digest,
                shown(test.image, 100)
            ));
        }
    }
}

/// A stretch of time as people say it.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

impl Verified {
    /// How long ago the run was over.
    #[must_use]
    pub fn ago(&self) -> String {
        format!("{} ago", span(self.age))
    }

    /// For what platforms the image was looked at.
    #[must_use]
    pub fn platforms(&self) -> BTreeSet<&str> {
        self.tests.iter().map(|test| test.platform.as_str()).collect()
    }
}

impl std::fmt::Display for Compared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stated => "the digest as you gave it",
            Self::Registry => "the registry's digest of the image, as the engine has it",
            Self::Id => "the engine's id of the image",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::span;

    #[test]
    fn spans_are_short() {
        for (seconds, text) in
            [(0, "0 s"), (119, "119 s"), (120, "2 min"), (86_400, "24 h"), (172_800, "2 days")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}
