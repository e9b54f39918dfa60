//! Which part of the specs a machine checks: `--partition hash:K/N`, `slice:K/N` and `timings:K/N`.
//!
//! The syntax and the first two are nextest's (`hash` is XXH64 of the name with seed 0, `slice` deals
//! the sorted names out in turn), so that a matrix which runs `cargo nextest` splits the same way.
//! `timings` evens out how long the parts take, by what earlier reports say of that.
//! Pure: it knows names and times, and neither specs nor the engine.
//!
//! Machines that do not agree on what is split leave specs out, and none of them can know. So there
//! is a [digest](Partition::split) of all that the split depends on, for others to compare.

mod timings;

use std::{cmp::Reverse, collections::BinaryHeap, fmt, num::NonZeroU64, str::FromStr};

use sha2::{Digest, Sha256};
use xxhash_rust::xxh64::xxh64;

pub use timings::Timings;

/// One part of N: which names are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    kind: Kind,
    /// Counted from 0.
    part: u64,
    parts: NonZeroU64,
}

/// How the names are split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// By the name alone: another spec moves no name to another part.
    Hash,
    /// In turn: the parts differ by one name at most.
    Slice,
    /// By time: the longest first, each to the part that has least to do.
    Timings,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Slice => "slice",
            Self::Timings => "timings",
        }
    }
}

impl Partition {
    /// Whether each of the names belongs to this part. The names are those of all parts, sorted;
    /// the times are the same for all parts.
    #[must_use]
    pub fn takes(self, names: &[&str], timings: &Timings) -> Vec<bool> {
        let is_here = |place: u64| place % self.parts == self.part;
        match self.kind {
            Kind::Hash => names.iter().map(|name| is_here(xxh64(name.as_bytes(), 0))).collect(),
            Kind::Slice => (0..).take(names.len()).map(is_here).collect(),
            Kind::Timings => {
                let places = self.evened(names, &timings.weights(names).0);
                places.into_iter().map(|place| place == self.part).collect()
            }
        }
    }

    /// The part of each name, such that all parts have about as much to do.
    fn evened(self, names: &[&str], weights: &[u64]) -> Vec<u64> {
        let mut longest_first: Vec<usize> = (0..names.len()).collect();
        longest_first.sort_by_key(|&at| (Reverse(weights[at]), names[at]));
        // More parts than names are empty, however many there are.
        let parts = self.parts.get().min(names.len() as u64);
        let mut least: BinaryHeap<_> = (0..parts).map(|part| Reverse((0_u64, part))).collect();
        let mut places = vec![0; names.len()];
        for at in longest_first {
            if let Some(Reverse((load, part))) = least.pop() {
                places[at] = part;
                least.push(Reverse((load.saturating_add(weights[at]), part)));
            }
        }
        places
    }

    /// A digest of all that decides which part a name is in, but not of which part this is: parts of
    /// one whole have the same, and where it is not, a name may be in none.
    #[must_use]
    pub fn split(self, names: &[&str], timings: &Timings) -> String {
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        add(self.kind.as_str().as_bytes());
        add(&self.parts.get().to_le_bytes());
        let weights = match self.kind {
            Kind::Hash | Kind::Slice => vec![0; names.len()],
            Kind::Timings => timings.weights(names).0,
        };
        for (name, weight) in names.iter().zip(weights) {
            add(name.as_bytes());
            add(&weight.to_le_bytes());
        }
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// What it is split by, as it is typed.
    #[must_use]
    pub fn by(self) -> &'static str {
        self.kind.as_str()
    }

    /// Whether it is split by recorded times.
    #[must_use]
    pub fn is_by_timings(self) -> bool {
        self.kind == Kind::Timings
    }

    /// Which part this is, counted from 1.
    #[must_use]
    pub fn part(self) -> u64 {
        self.part + 1
    }

    /// How many parts there are.
    #[must_use]
    pub fn parts(self) -> u64 {
        self.parts.get()
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.by(), self.part(), self.parts)
    }
}

impl FromStr for Partition {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shape = "it is hash:K/N, slice:K/N or timings:K/N, such as `hash:1/4`";
        let (kind, shares) = text.split_once(':').ok_or(shape)?;
        let kind = match kind {
            "hash" => Kind::Hash,
            "slice" => Kind::Slice,
            "timings" => Kind::Timings,
            "count" => return Err("a spec has no binary to count within: use `slice`"),
            _ => return Err(shape),
        };
        let (part, parts) = shares.split_once('/').ok_or(shape)?;
        // Only digits: `+1` is a number to Rust, and a slip to a reader.
        let number = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| text.parse::<NonZeroU64>().ok())?
        };
        let (part, parts) = (number(part).ok_or(shape)?, number(parts).ok_or(shape)?);
        if part > parts {
            return Err("the part is greater than the number of parts: they are counted from 1");
        }
        Ok(Self { kind, part: part.get() - 1, parts })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_typed_is_understood_or_refused() {
        for good in ["hash:1/1", "hash:2/4", "slice:1/3", "slice:64/64", "timings:2/3"] {
            assert_eq!(good.parse::<Partition>().map(|it| it.to_string()).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "hash",
            "hash:",
            "hash:1",
            "hash:1/",
            "hash:/2",
            "hash:0/2",
            "hash:3/2",
            "hash:1/0",
            "hash:a/2",
            "hash:1/2/3",
            "hash:+1/2",
            "hash:-1/2",
            "hash: 1/2",
            "Hash:1/2",
            "time:1/2",
            "timings:3/2",
            "count:1/2",
            "slice:1/99999999999999999999",
        ] {
            assert!(bad.parse::<Partition>().is_err(), "{bad}");
        }
    }

    /// The parts that `cargo nextest list --partition hash:K/5` (0.9.143) puts tests of these names
    /// into.
    #[test]
    fn the_hash_is_that_of_nextest() {
        let nextest = [
            "a",
            "",
            "web worker",
            "api z9",
            "gateway some_longer_name_of_a_spec_that_exceeds_32_bytes x_y",
        ];
        let names: Vec<&str> = nextest.iter().flat_map(|part| part.split_whitespace()).collect();
        for (part, expected) in (1..).zip(nextest) {
            let takes = format!("hash:{part}/5").parse::<Partition>().unwrap();
            let takes = takes.takes(&names, &Timings::default());
            let taken: Vec<&str> =
                names.iter().zip(takes).filter_map(|(name, is)| is.then_some(*name)).collect();
            assert_eq!(taken.join(" "), expected, "part {part}");
        }
    }

    fn names() -> Vec<String> {
        (0..5000).map(|number| format!("team-{}/service-{number}", number % 37)).collect()
    }

    /// `| `KIND` | 1.01 | ..`: for each number of parts what the largest has beside the mean.
    fn row(kind: &str, worst: impl Fn(u64) -> f64) -> String {
        let cells = [2, 4, 8, 16, 32, 64].map(|parts| format!("{:.2}", worst(parts)));
        format!("| `{kind}` | {} |", cells.join(" | "))
    }

    /// Asserts that the recipes show these rows, one behind the other.
    fn told(rows: &[String]) {
        let rows = rows.join("\n");
        assert!(
            include_str!("../docs/recipes.md").contains(&rows),
            "docs/recipes.md lacks:\n{rows}"
        );
    }

    /// How much larger than the mean the largest part is, of 5,000 names over up to 64 parts. The
    /// table is in `docs/recipes.md`.
    #[test]
    fn no_part_is_much_larger_than_another() {
        let names = names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let worst = |kind: &str, parts: u64| {
            let sizes = (1..=parts).map(|part| {
                let partition: Partition = format!("{kind}:{part}/{parts}").parse().unwrap();
                let takes = partition.takes(&names, &Timings::default());
                takes.into_iter().filter(|&is| is).count()
            });
            let largest = sizes.max().unwrap();
            u64::try_from(largest).unwrap() as f64 * parts as f64 / names.len() as f64
        };
        for parts in 1..=64 {
            assert!(worst("hash", parts) < 1.35, "{parts}: {}", worst("hash", parts));
            assert!(worst("slice", parts) < 1.02, "{parts}: {}", worst("slice", parts));
        }
        told(&["hash", "slice"].map(|kind| row(kind, |parts| worst(kind, parts))));
    }

    /// A report of names of which most take seconds, some half a minute, and a few ten minutes; of
    /// every hundredth nothing is known. And what they take in truth.
    fn skewed(names: &[&str]) -> (Timings, Vec<u64>) {
        let truth: Vec<u64> = names
            .iter()
            .map(|name| match xxh64(name.as_bytes(), 1) % 1000 {
                0..5 => 600_000,
                5..100 => 30_000,
                other => 2000 + other * 4,
            })
            .collect();
        let specs: Vec<String> = names
            .iter()
            .zip(&truth)
            .filter(|(name, _)| !xxh64(name.as_bytes(), 2).is_multiple_of(100))
            .map(|(name, ms)| format!("{{\"name\":\"{name}\",\"seconds\":{}}}", *ms as f64 / 1e3))
            .collect();
        let mut timings = Timings::default();
        timings.add(&format!("{{\"schema\":1,\"specs\":[{}]}}", specs.join(","))).unwrap();
        (timings, truth)
    }

    /// The same in time: how much longer than the mean the longest part takes.
    #[test]
    fn parts_by_timings_take_about_as_long() {
        let names = names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (timings, truth) = skewed(&names);
        let worst = |kind: &str, parts: u64| {
            let times = (1..=parts).map(|part| {
                let partition: Partition = format!("{kind}:{part}/{parts}").parse().unwrap();
                let takes = partition.takes(&names, &timings);
                takes.iter().zip(&truth).filter(|(is, _)| **is).map(|(_, ms)| ms).sum::<u64>()
            });
            let longest = times.max().unwrap();
            longest as f64 * parts as f64 / truth.iter().sum::<u64>() as f64
        };
        for parts in [1, 2, 3, 4, 8, 16, 32, 64] {
            let (even, others) =
                (worst("timings", parts), worst("slice", parts).min(worst("hash", parts)));
            assert!(even < 1.05 && even <= others, "{parts}: {even}, {others}");
        }
        let rows = ["hash", "slice", "timings"].map(|kind| row(kind, |parts| worst(kind, parts)));
        told(&rows);
    }

    /// By hand: 9 alone, then 5 and 4 in turn to whoever has less.
    #[test]
    fn the_longest_goes_first_to_who_has_least() {
        let mut timings = Timings::default();
        let report = r#"{"schema":1,"specs":[{"name":"a","seconds":4},{"name":"b","seconds":9},
            {"name":"c","seconds":4},{"name":"d","seconds":5},{"name":"e","seconds":1}]}"#;
        timings.add(report).unwrap();
        let names = ["a", "b", "c", "d", "e"];
        let taken = |part: u64| {
            let partition: Partition = format!("timings:{part}/2").parse().unwrap();
            let takes = partition.takes(&names, &timings);
            names.iter().zip(takes).filter_map(|(name, is)| is.then_some(*name)).collect::<String>()
        };
        assert_eq!([taken(1), taken(2)], ["bc", "ade"]);
    }

    /// Whatever may put a name into another part, or into none, is in the digest; the part is not.
    #[test]
    fn a_split_is_known_by_its_digest() {
        let digest = |part: &str, names: &[&str], report: &str| {
            let mut timings = Timings::default();
            timings.add(report).unwrap();
            part.parse::<Partition>().unwrap().split(names, &timings)
        };
        let none = r#"{"schema":1,"specs":[]}"#;
        let some = r#"{"schema":1,"specs":[{"name":"a","seconds":2},{"name":"b","seconds":3}]}"#;
        let other = r#"{"schema":1,"specs":[{"name":"a","seconds":2},{"name":"b","seconds":4}]}"#;
        let names = &["a", "b"][..];
        let one = digest("timings:1/2", names, some);
        assert_eq!(one, digest("timings:2/2", names, some));
        assert_eq!(one.len(), 16);
        for different in [
            digest("timings:1/3", names, some),
            digest("slice:1/2", names, some),
            digest("timings:1/2", &["a", "b", "c"], some),
            digest("timings:1/2", &["ab"], some),
            digest("timings:1/2", names, none),
            digest("timings:1/2", names, other),
        ] {
            assert_ne!(one, different);
        }
        // The others do not depend on times.
        assert_eq!(digest("hash:1/2", names, some), digest("hash:1/2", names, none));
    }

    proptest! {
        #[test]
        fn every_name_is_in_exactly_one_part(
            names in proptest::collection::btree_set(".{0,12}", 0..60),
            parts in 1_u64..20,
            kind in proptest::sample::select(&["hash", "slice", "timings"][..]),
            seconds in proptest::collection::vec(proptest::option::of(0..90_u32), 60),
        ) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let mut timings = Timings::default();
            let timed = names.iter().zip(seconds).filter_map(|(name, seconds)| {
                seconds.map(|seconds| serde_json::json!({"name": name, "seconds": seconds}))
            });
            let specs: Vec<_> = timed.collect();
            timings.add(&serde_json::json!({"schema": 1, "specs": specs}).to_string()).unwrap();
            let mut times = vec![0; names.len()];
            let mut sizes = Vec::new();
            for part in 1..=parts {
                let partition: Partition = format!("{kind}:{part}/{parts}").parse().unwrap();
                let taken = partition.takes(&names, &timings);
                sizes.push(taken.iter().filter(|&&is| is).count());
                for (times, is) in times.iter_mut().zip(taken) {
                    *times += usize::from(is);
                }
            }
            prop_assert!(times.iter().all(|&times| times == 1));
            if kind == "slice" {
                prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
            }
        }
    }
}
