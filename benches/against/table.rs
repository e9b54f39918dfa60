//! What a row says, and the Markdown of it.
//!
//! Medians, because a machine that does something else now and then makes means worthless.

/// A quantity, for the way it is written.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    Seconds,
    Megabytes,
    /// Of a core.
    Percent,
    Count,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds if value >= 1.0 => format!("{value:.2} s"),
            Self::Seconds if value >= 1e-3 => format!("{} ms", digits(value * 1e3)),
            Self::Seconds => format!("{} µs", digits(value * 1e6)),
            Self::Megabytes => format!("{value:.0} MB"),
            Self::Percent => format!("{value:.2} %"),
            Self::Count => format!("{value:.0}"),
        }
    }
}

/// Three digits, or all that are before the point.
fn digits(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// What portlid may need.
#[derive(Clone, Copy)]
pub(crate) enum Allowed {
    /// So many times what the other needs.
    Times(f64),
    /// So much.
    Most(f64),
    /// Just so much, every time.
    Exactly(f64),
    /// It is shown, and nothing is demanded.
    Anything,
}

/// One comparison.
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) against: String,
    pub(crate) unit: Unit,
    /// portlid's, turn by turn.
    pub(crate) ours: Vec<f64>,
    /// The other's, turn by turn; empty if there is no other.
    pub(crate) theirs: Vec<f64>,
    pub(crate) allowed: Allowed,
}

impl Row {
    /// Seconds against seconds.
    pub(crate) fn times(
        what: impl Into<String>,
        against: impl Into<String>,
        ours: &[f64],
        theirs: &[f64],
        allowed: Allowed,
    ) -> Self {
        let (what, against) = (what.into(), against.into());
        let (ours, theirs) = (ours.to_vec(), theirs.to_vec());
        Self { what, against, unit: Unit::Seconds, ours, theirs, allowed }
    }

    /// The ratio of each pair, in order of size.
    fn ratios(&self) -> Vec<f64> {
        let mut ratios: Vec<f64> =
            self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| ours / theirs).collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    }

    fn holds(&self) -> Option<bool> {
        match self.allowed {
            Allowed::Times(most) => Some(median(&self.ratios()) <= most),
            Allowed::Most(most) => Some(median(&self.ours) < most),
            Allowed::Exactly(value) => Some(self.ours.iter().all(|it| *it == value)),
            Allowed::Anything => None,
        }
    }

    fn markdown(&self) -> String {
        let ratios = self.ratios();
        let (theirs, ratio) = match (ratios.first(), ratios.last()) {
            (Some(least), Some(most)) => (
                self.unit.show(median(&self.theirs)),
                format!("{:.2} ({least:.2} to {most:.2})", median(&ratios)),
            ),
            _ => ("-".to_owned(), "-".to_owned()),
        };
        let allowed = match self.allowed {
            Allowed::Times(most) => format!("{most:.2}"),
            Allowed::Most(most) => format!("under {}", self.unit.show(most)),
            Allowed::Exactly(value) => self.unit.show(value),
            Allowed::Anything => "-".to_owned(),
        };
        let holds = match self.holds() {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "-",
        };
        let ours = self.unit.show(median(&self.ours));
        let Self { what, against, .. } = self;
        format!("| {what} | {against} | {ours} | {theirs} | {ratio} | {allowed} | {holds} |")
    }
}

/// The one in the middle, or halfway between the two.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

/// Prints the table, and says whether every row holds.
pub(crate) fn print(rows: &[Row]) -> bool {
    if !rows.is_empty() {
        println!("| what | against | portlid | the other | ratio of pairs | allowed | holds |");
        println!("|---|---|---|---|---|---|---|");
    }
    for row in rows {
        println!("{}", row.markdown());
    }
    rows.iter().all(|row| row.holds() != Some(false))
}
