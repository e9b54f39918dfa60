//! Where a value stands in a YAML text.
//!
//! The parser keeps no spans. So the same parser is asked once more: a seed walks the path, and on
//! arrival returns an error, whose location is the value's. No second YAML library reads a spec.
//!
//! It costs one more parse of a small file, so it is asked only about what is shown.

use std::{
    cell::{Cell, RefCell},
    fmt,
};

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
pub(super) enum Step {
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

/// Where the document of that index begins.
pub(super) fn start_of_document(text: &str, index: usize) -> Option<Location> {
    let document = serde_yaml::Deserializer::from_str(text).nth(index)?;
    let refused = document.deserialize_any(Refuse).err()?;
    Some(Location::of(text, refused.location()?.index()))
}

/// The scalars in the mapping at the end of `steps` as text, in the order of the entries, quotes and
/// escapes undone. It ends early at an entry that is no scalar.
///
/// This is how `1.10` stays `1.10`, and does not become the number 1.1.
pub(super) fn scalar_texts(text: &str, steps: &[Step]) -> Vec<String> {
    let found = RefCell::new(Vec::new());
    let walk = Walk { steps, arrival: Arrival::Read(&found) };
    // The rest of the document may be wrong; what was found stays found.
    let _unneeded = walk.deserialize(serde_yaml::Deserializer::from_str(text));
    found.into_inner()
}

#[derive(Clone, Copy)]
enum Arrival<'a> {
    Locate(&'a Cell<bool>),
    Read(&'a RefCell<Vec<String>>),
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
            Arrival::Read(found) => deserializer.deserialize_map(Scalars(found)),
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

/// Keeps the text of every entry's value.
struct Scalars<'a>(&'a RefCell<Vec<String>>);

impl<'de> Visitor<'de> for Scalars<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of scalars")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some((IgnoredAny, text)) = entries.next_entry::<_, String>()? {
            self.0.borrow_mut().push(text);
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::{
        Location,
        Step::{self, Item, Key, KeyAt, KeyNamed, Value},
        locate, scalar_texts,
    };

    fn key(name: &str) -> Step {
        Key(name.to_owned())
    }

    #[track_caller]
    fn check(text: &str, steps: &[Step], line: usize, column: usize) {
        assert_eq!(locate(text, steps), Some(Location { line, column }), "{steps:?} in {text:?}");
    }

    const BLOCK: &str = "\
# a comment
image: nginx
expose:
  - 80/tcp
  - port: 90
    bind: any
  -   - x
run:
  env:
    A: 'one'
    B: \"two\"
";

    #[test]
    fn block_style() {
        check(BLOCK, &[], 2, 1);
        check(BLOCK, &[key("image")], 2, 8);
        check(BLOCK, &[Value(0)], 2, 8);
        check(BLOCK, &[KeyAt(0)], 2, 1);
        check(BLOCK, &[key("expose")], 4, 3);
        check(BLOCK, &[KeyNamed("expose".to_owned())], 3, 1);
        check(BLOCK, &[key("expose"), Item(0)], 4, 5);
        check(BLOCK, &[key("expose"), Item(1)], 5, 5);
        check(BLOCK, &[key("expose"), Item(1), key("port")], 5, 11);
        check(BLOCK, &[key("expose"), Item(1), key("bind")], 6, 11);
        check(BLOCK, &[key("expose"), Item(1), KeyAt(1)], 6, 5);
        check(BLOCK, &[key("expose"), Item(2), Item(0)], 7, 9);
        check(BLOCK, &[key("run"), key("env"), key("A")], 10, 8);
        check(BLOCK, &[key("run"), key("env"), key("B")], 11, 8);
        check(BLOCK, &[Value(2), Value(0), KeyAt(1)], 11, 5);
    }

    #[test]
    fn flow_style() {
        let text = "{\"a\": [1, {b: c, b: d}],\n  e: {f: g}}";
        check(text, &[], 1, 1);
        check(text, &[key("a")], 1, 7);
        check(text, &[key("a"), Item(0)], 1, 8);
        check(text, &[key("a"), Item(1)], 1, 11);
        // Duplicates: a name is the first, a number is any.
        check(text, &[key("a"), Item(1), key("b")], 1, 15);
        check(text, &[key("a"), Item(1), Value(1)], 1, 21);
        check(text, &[key("a"), Item(1), KeyAt(1)], 1, 18);
        check(text, &[key("e"), key("f")], 2, 10);
    }

    #[test]
    fn columns_are_characters_and_lines_end_with_line_feeds() {
        check("a: x\r\nb: y\r\n", &[key("b")], 2, 4);
        check("ä: {ö: ü, 🦀: x}", &[key("ä"), key("🦀")], 1, 14);
        check("ä: {ö: ü, 🦀: x}", &[key("ä"), KeyAt(1)], 1, 11);
        // The parser itself ends lines at these two, editors do not.
        check("a: 'x\u{2028}y'\nb: z", &[key("b")], 2, 4);
        check("# \u{85}\na: x", &[key("a")], 2, 4);
    }

    #[test]
    fn through_aliases_and_tags_and_past_odd_keys() {
        let text = "a: &x {b: c}\nd: *x\ne: !t {f: g}\n1: h\n[i]: j\n? {k: l}\n: m\n~: n\nz: o\n";
        check(text, &[key("d"), key("b")], 1, 11);
        check(text, &[key("e"), key("f")], 3, 11);
        check(text, &[KeyAt(3)], 4, 1);
        check(text, &[Value(4)], 5, 6);
        check(text, &[KeyAt(5)], 6, 3);
        check(text, &[key("z")], 9, 4);
    }

    #[test]
    fn a_place_that_is_not_there() {
        for (text, steps) in [
            ("a: b", vec![key("c")]),
            ("a: b", vec![Value(1)]),
            ("a: b", vec![KeyAt(1)]),
            ("a: b", vec![Item(0)]),
            ("a: b", vec![key("a"), key("c")]),
            ("[a]", vec![Item(1)]),
            ("", vec![key("a")]),
            ("a: [", vec![key("b")]),
        ] {
            assert_eq!(locate(text, &steps), None, "{steps:?} in {text:?}");
        }
    }

    #[test]
    fn scalars_keep_their_text() {
        let text = "a: {b: 1.10, b: 0x50, c: True, d: '1', e: ~, f: \"x\\ty\"}";
        let texts = ["1.10", "0x50", "True", "1", "~", "x\ty"];
        assert_eq!(scalar_texts(text, &[key("a")]), texts);
        assert_eq!(scalar_texts("a: {b: 1, c: [2], d: 3}", &[key("a")]), ["1"]);
    }
}
