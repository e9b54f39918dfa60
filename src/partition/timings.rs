//! How long specs took, as earlier JSON reports tell it: what `--partition timings:K/N` splits by.
//!
//! Pure: texts in, times out. The times of several reports are one set, whatever their order, so
//! that every machine that has the same reports makes the same of them.

use std::collections::BTreeMap;

use serde::Deserialize;

/// How long each spec took, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    milliseconds: BTreeMap<String, u64>,
}

/// A JSON report, as far as times are concerned.
#[derive(Deserialize)]
struct Report {
    schema: u32,
    specs: Vec<Spec>,
}

#[derive(Deserialize)]
struct Spec {
    name: String,
    seconds: f64,
    #[serde(default)]
    verdict: String,
}

impl Timings {
    /// A spec that is said to take longer is believed to take this long: a day.
    const LONGEST: f64 = 86_400.0;

    /// Adds what one more report tells. Of a spec that several tell of the longest time counts: that
    /// does not depend on their order.
    ///
    /// # Errors
    ///
    /// If it is no JSON report of `portlid test`.
    pub fn add(&mut self, report: &str) -> Result<(), String> {
        let report: Report = serde_json::from_str(report).map_err(|error| error.to_string())?;
        if report.schema != 1 {
            return Err(format!("its schema is {}, and not 1", report.schema));
        }
        for Spec { name, seconds, verdict } in report.specs {
            // JSON has no other numbers that are none.
            if seconds < 0.0 {
                return Err("a spec took less than no time".to_owned());
            }
            // One that could not be looked at says nothing of how long the look takes.
            if verdict == "inconclusive" {
                continue;
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between nothing and a day"
            )]
            let milliseconds = (seconds.min(Self::LONGEST) * 1000.0).round() as u64;
            let known = self.milliseconds.entry(name).or_default();
            *known = milliseconds.max(*known).max(1);
        }
        Ok(())
    }

    /// What each of the names is taken to need, and of how many that is known. One of which nothing
    /// is known counts as the median of the others.
    #[must_use]
    pub fn weights(&self, names: &[&str]) -> (Vec<u64>, usize) {
        let times: Vec<Option<u64>> =
            names.iter().map(|name| self.milliseconds.get(*name).copied()).collect();
        let mut known: Vec<u64> = times.iter().flatten().copied().collect();
        known.sort_unstable();
        let median = known.get(known.len() / 2).copied().unwrap_or(1);
        (times.into_iter().map(|time| time.unwrap_or(median)).collect(), known.len())
    }
}

#[cfg(test)]
mod tests {
    use super::Timings;

    fn timings(reports: &[&str]) -> Timings {
        let mut timings = Timings::default();
        for report in reports {
            timings.add(report).unwrap();
        }
        timings
    }

    const WEB: &str = r#"{"schema":1,"portlid":"0.1.0","specs":[
        {"name":"web","seconds":3.1,"verdict":"pass"},{"name":"db","seconds":9,"verdict":"fail"},
        {"name":"gone","seconds":0.02,"verdict":"inconclusive"}]}"#;
    const MORE: &str = r#"{"schema":1,"specs":[{"name":"web","seconds":4.0004},
        {"name":"cache","seconds":0},{"name":"slow","seconds":1e300}]}"#;

    #[test]
    fn reports_are_put_together_whatever_their_order() {
        assert_eq!(timings(&[WEB, MORE]), timings(&[MORE, WEB]));
        let names = ["cache", "db", "gone", "slow", "web"];
        // The one that could not be looked at is as long as the median.
        assert_eq!(
            timings(&[WEB, MORE]).weights(&names),
            (vec![1, 9000, 9000, 86_400_000, 4000], 4)
        );
        // Times of specs that are no more do not count.
        assert_eq!(timings(&[WEB, MORE]).weights(&["new", "web"]), (vec![4000, 4000], 1));
        assert_eq!(Timings::default().weights(&["a", "b"]), (vec![1, 1], 0));
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            "<testsuites/>",
            r#"{"schema":1,"images":[]}"#,
            r#"{"schema":2,"specs":[]}"#,
            r#"{"schema":1,"specs":[{"name":"web"}]}"#,
            r#"{"schema":1,"specs":[{"name":"web","seconds":-1}]}"#,
            r#"{"schema":1,"specs":[{"name":"web","seconds":null}]}"#,
            r#"{"schema":1,"specs":[{"name":"web","seconds":1e999}]}"#,
        ] {
            assert!(Timings::default().add(text).is_err(), "{text}");
        }
    }
}
