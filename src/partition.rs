//! Which part of the specs a machine checks: `--partition hash:K/N` and `slice:K/N`.
//!
//! The syntax and the split are nextest's (`hash` is XXH64 of the name with seed 0, `slice` deals
//! the sorted names out in turn), so that a matrix which runs `cargo nextest` splits the same way.
//! Pure: it knows names, and neither specs nor the engine.

use std::{fmt, num::NonZeroU64, str::FromStr};

use xxhash_rust::xxh64::xxh64;

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
}

impl Partition {
    /// Whether each of the names belongs to this part. The names are those of all parts, sorted.
    #[must_use]
    pub fn takes(self, names: &[&str]) -> Vec<bool> {
        let place = |(index, name): (usize, &&str)| match self.kind {
            Kind::Hash => xxh64(name.as_bytes(), 0),
            Kind::Slice => index as u64,
        };
        names.iter().enumerate().map(|named| place(named) % self.parts == self.part).collect()
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Hash => "hash",
            Kind::Slice => "slice",
        };
        write!(f, "{kind}:{}/{}", self.part + 1, self.parts)
    }
}

impl FromStr for Partition {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shape = "it is hash:K/N or slice:K/N, such as `hash:1/4`";
        let (kind, shares) = text.split_once(':').ok_or(shape)?;
        let kind = match kind {
            "hash" => Kind::Hash,
            "slice" => Kind::Slice,
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
        for good in ["hash:1/1", "hash:2/4", "slice:1/3", "slice:64/64"] {
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
            let takes = format!("hash:{part}/5").parse::<Partition>().unwrap().takes(&names);
            let taken: Vec<&str> =
                names.iter().zip(takes).filter_map(|(name, is)| is.then_some(*name)).collect();
            assert_eq!(taken.join(" "), expected, "part {part}");
        }
    }

    /// How much larger than the mean the largest part is, of 5,000 names over up to 64 parts. The
    /// table is in `docs/recipes.md`.
    #[test]
    fn no_part_is_much_larger_than_another() {
        let names: Vec<String> =
            (0..5000).map(|number| format!("team-{}/service-{number}", number % 37)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let worst = |kind: &str, parts: u64| {
            let sizes = (1..=parts).map(|part| {
                let partition: Partition = format!("{kind}:{part}/{parts}").parse().unwrap();
                partition.takes(&names).into_iter().filter(|&is| is).count()
            });
            let largest = sizes.max().unwrap();
            u64::try_from(largest).unwrap() as f64 * parts as f64 / names.len() as f64
        };
        for parts in 1..=64 {
            assert!(worst("hash", parts) < 1.35, "{parts}: {}", worst("hash", parts));
            assert!(worst("slice", parts) < 1.02, "{parts}: {}", worst("slice", parts));
        }
        let row = |kind: &str| {
            let cells = [2, 4, 8, 16, 32, 64].map(|parts| format!("{:.2}", worst(kind, parts)));
            format!("| `{kind}` | {} |", cells.join(" | "))
        };
        let told = include_str!("../docs/recipes.md");
        for kind in ["hash", "slice"] {
            assert!(told.contains(&row(kind)), "docs/recipes.md lacks: {}", row(kind));
        }
    }

    proptest! {
        #[test]
        fn every_name_is_in_exactly_one_part(
            names in proptest::collection::btree_set(".{0,12}", 0..60),
            parts in 1_u64..20,
            is_hash: bool,
        ) {
            let kind = if is_hash { "hash" } else { "slice" };
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let mut times = vec![0; names.len()];
            let mut sizes = Vec::new();
            for part in 1..=parts {
                let partition: Partition = format!("{kind}:{part}/{parts}").parse().unwrap();
                let taken = partition.takes(&names);
                sizes.push(taken.iter().filter(|&&is| is).count());
                for (times, is) in times.iter_mut().zip(taken) {
                    *times += usize::from(is);
                }
            }
            prop_assert!(times.iter().all(|&times| times == 1));
            if !is_hash {
                prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
            }
        }
    }
}
