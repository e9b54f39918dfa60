//! Where a value stands in a YAML text.
//!
//! The parser keeps no spans. So the same parser is asked once more: a seed walks the path, and on
//! arrival returns an error, whose location is the value's. No second YAML library reads a spec.
//!
//! It costs one more parse of a small file, so it is asked only about what is shown.

use std::{cell::Cell, fmt};

use serde::de::{
    self, Deserialize as _, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};

/// A line and a column, both counted from 1; the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Location {
    /// The very beginning of a file.
    pub const START: Self = Self { line: 1, column: 1 };

    /// The location of the byte at `index`. Lines end with a line feed, as every editor counts them.
    ///
    /// The parser's own count is not used: it also ends lines at U+0085, U+2028 and U+2029.
    pub(super) fn of(text: &str, index: usize) -> Self {
        let mut index = index.min(text.len());
        while !text.is_char_boundary(index) {
            index -= 1;
        }
        let before = &text[..index];
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// One step of a path into a YAML document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Into the value of this key.
    Key(String),
    /// To this key itself. Only as the last step.
    KeyNamed(String),
    /// Into the value of the n-th entry of a mapping, duplicates counted.
    Value(usize),
    /// To the key itself of the n-th entry of a mapping. Only as the last step.
    KeyAt(usize),
    /// Into the n-th item of a sequence.
    Item(usize),
}

/// Where the value (or key) at the end of `steps` begins; `None` if there is no such place.
///
/// `text` is without a byte order mark, as [`load`](super::load) keeps it.
pub(super) fn locate(text: &str, steps: &[Step]) -> Option<Location> {
    let arrived = Cell::new(false);
    let walk = Walk { steps, arrival: Arrival::Locate(&arrived) };
    let error = walk.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    let index = arrived.get().then(|| error.location()).flatten()?.index();
    Some(Location::of(text, index))
}

/// The scalar at the end of `steps` as text: what stands there, quotes and escapes undone.
///
/// This is how `1.10` stays `1.10`, and does not become the number 1.1.
pub(super) fn scalar_text(text: &str, steps: &[Step]) -> Option<String> {
    let found = Cell::new(None);
    let walk = Walk { steps, arrival: Arrival::Read(&found) };
    // The rest of the document may be wrong; what was found stays found.
    let _unneeded = walk.deserialize(serde_yaml::Deserializer::from_str(text));
    found.take()
}

#[derive(Clone, Copy)]
enum Arrival<'a> {
    Locate(&'a Cell<bool>),
    Read(&'a Cell<Option<String>>),
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    steps: &'a [Step],
    arrival: Arrival<'a>,
}

impl<'a> Walk<'a> {
    /// The walk behind the first step, if that step leads from a mapping to the entry's value.
    fn into_value(self, index: usize, key: Option<&str>) -> Option<Self> {
        match self.steps {
            [Step::Value(wanted), rest @ ..] if *wanted == index => {
                Some(Walk { steps: rest, ..self })
            }
            [Step::Key(wanted), rest @ ..] if Some(wanted.as_str()) == key => {
                Some(Walk { steps: rest, ..self })
            }
            _ => None,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if !self.steps.is_empty() {
            return deserializer.deserialize_any(self);
        }
        match self.arrival {
            Arrival::Locate(arrived) => {
                arrived.set(true);
                deserializer.deserialize_any(Refuse)
            }
            Arrival::Read(found) => {
                found.set(Some(de::Deserialize::deserialize(deserializer)?));
                Ok(())
            }
        }
    }
}

/// Refuses whatever it is given: every method of the trait does, unless it is overridden.
struct Refuse;

impl Visitor<'_> for Refuse {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing: this error only carries the location")
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a place that the path leads to")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        loop {
            let more = match self.steps {
                [Step::Item(wanted), rest @ ..] if *wanted == index => {
                    items.next_element_seed(Walk { steps: rest, ..self })?.is_some()
                }
                _ => items.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(key) = entries.next_key_seed(Key { walk: self, index })? {
            match self.into_value(index, key.as_deref()) {
                Some(walk) => entries.next_value_seed(walk)?,
                None => {
                    entries.next_value::<IgnoredAny>()?;
                }
            }
            index += 1;
        }
        Ok(())
    }

    /// A tagged value: the path leads through the tag.
    fn visit_enum<A: de::EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        let (_tag, content) = tagged.variant::<IgnoredAny>()?;
        de::VariantAccess::newtype_variant_seed(content, self)
    }
}

/// Reads a key, or arrives at it.
struct Key<'a> {
    walk: Walk<'a>,
    index: usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    /// The key, if it is text.
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match (self.walk.steps, self.walk.arrival) {
            ([Step::KeyAt(wanted)], Arrival::Locate(arrived)) if *wanted == self.index => {
                arrived.set(true);
                deserializer.deserialize_any(Refuse)?;
                Ok(None)
            }
            ([Step::KeyNamed(wanted)], Arrival::Locate(arrived)) => {
                deserializer.deserialize_any(KeyText { arrive_at: Some((wanted, arrived)) })
            }
            ([Step::Key(_), ..], _) => deserializer.deserialize_any(KeyText { arrive_at: None }),
            _ => IgnoredAny::deserialize(deserializer).map(|_| None),
        }
    }
}

/// Takes a key's text, if it has one; refuses the one that is looked for.
struct KeyText<'a> {
    arrive_at: Option<(&'a str, &'a Cell<bool>)>,
}

impl<'de> Visitor<'de> for KeyText<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
        match self.arrive_at {
            Some((wanted, arrived)) if wanted == key => {
                arrived.set(true);
                Err(E::custom("arrived"))
            }
            _ => Ok(Some(key.to_owned())),
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_enum<A: de::EnumAccess<'de>>(self, tagged: A) -> Result<Self::Value, A::Error> {
        let (_tag, content) = tagged.variant::<IgnoredAny>()?;
        de::VariantAccess::newtype_variant::<IgnoredAny>(content)?;
        Ok(None)
    }
}
