//! The visitor that builds the tree, within its budgets.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    rc::Rc,
};

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use crate::spec::{
    expand::expand,
    fault::{At, Fault, Faults, Mark, Trail},
    locate::{Location, Step},
    raw::{Entry, Environment, Node, Text, Value, syntax},
    shown::quoted,
    source::Source,
};

/// The deepest nesting of maps and lists.
const DEEPEST: usize = 32;
/// The most values in a file, those that aliases repeat included.
const MOST_NODES: usize = 50_000;
/// The most bytes of text, those that aliases repeat included.
const MOST_TEXT: usize = 1024 * 1024;

/// Reads one document. An error is a fault that ends the reading; others go to `faults`.
pub(super) fn read(
    document: serde_yaml::Deserializer<'_>,
    source: &Rc<Source>,
    environment: Environment<'_>,
    faults: &mut Faults,
) -> Result<Node, Box<Fault>> {
    let reader = Reader {
        source,
        environment,
        faults: RefCell::new(faults),
        nodes: Cell::new(0),
        text: Cell::new(0),
        exceeded: Cell::new(None),
    };
    let seed = Seed { reader: &reader, trail: Trail::root(), depth: 0 };
    seed.deserialize(document).map_err(|error| {
        Box::new(match reader.exceeded.get() {
            Some(message) => {
                let at = error.location().map_or(At::Start, |place| {
                    At::Location(Location::of(&source.text, place.index()))
                });
                Fault::new(Mark::new(source, at), message)
                    .hint("a spec is a short file; aliases count as what they repeat")
            }
            None => syntax::fault(source, &error),
        })
    })
}

/// What is shared by the whole reading of one document.
struct Reader<'a> {
    source: &'a Rc<Source>,
    environment: Environment<'a>,
    faults: RefCell<&'a mut Faults>,
    nodes: Cell<usize>,
    text: Cell<usize>,
    /// The budget that was exceeded.
    exceeded: Cell<Option<&'static str>>,
}

impl Reader<'_> {
    fn fault(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    fn exceed<E: de::Error>(&self, message: &'static str) -> E {
        self.exceeded.set(Some(message));
        E::custom(message)
    }

    fn count_text<E: de::Error>(&self, text: &str) -> Result<(), E> {
        self.text.set(self.text.get() + text.len());
        if self.text.get() > MOST_TEXT {
            return Err(self.exceed("more than 1 MiB of text"));
        }
        Ok(())
    }
}

/// Reads one value. It is the visitor of that value, too.
struct Seed<'r, 'a> {
    reader: &'r Reader<'a>,
    trail: Trail,
    depth: usize,
}

impl Seed<'_, '_> {
    fn mark(&self) -> Mark {
        Mark::new(self.reader.source, At::Trail(self.trail.clone()))
    }

    fn node(&self, value: Value) -> Node {
        Node { mark: self.mark(), value }
    }

    fn below(&self, step: Step) -> Self {
        Seed { reader: self.reader, trail: self.trail.then(step), depth: self.depth + 1 }
    }

    fn check_depth<E: de::Error>(&self) -> Result<(), E> {
        if self.depth >= DEEPEST {
            return Err(self.reader.exceed("maps and lists are nested more than 32 deep"));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let reader = self.reader;
        reader.nodes.set(reader.nodes.get() + 1);
        if reader.nodes.get() > MOST_NODES {
            return Err(reader.exceed("more than 50,000 values"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(self.node(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(self.node(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(self.node(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(self.node(Value::Int(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(self.node(Value::Int(value.into())))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(self.node(Value::Int(value)))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        // Beyond every number that a spec can hold, whatever its exact value.
        Ok(self.node(Value::Int(i128::try_from(value).unwrap_or(i128::MAX))))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(self.node(Value::Float(value)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Node, E> {
        self.reader.count_text(text)?;
        let expanded = match expand(text, self.reader.environment) {
            Ok(expanded) => expanded,
            Err(problem) => {
                self.reader.fault(Fault::new(self.mark(), problem.message).hint(problem.hint));
                return Ok(self.node(Value::Faulty));
            }
        };
        let text = match expanded {
            Some(filled) => Text { text: filled, written: Some(text.to_owned()) },
            None => Text { text: text.to_owned(), written: None },
        };
        if text.written.is_some() {
            self.reader.count_text(&text.text)?;
        }
        if text.text.contains('\0') {
            self.reader.fault(Fault::new(self.mark(), "a NUL character cannot be in a value"));
            return Ok(self.node(Value::Faulty));
        }
        Ok(self.node(Value::Text(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        self.check_depth()?;
        let mut nodes = Vec::new();
        while let Some(node) = items.next_element_seed(self.below(Step::Item(nodes.len())))? {
            nodes.push(node);
        }
        Ok(self.node(Value::List(nodes)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        self.check_depth()?;
        let mut read: Vec<Entry> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut index = 0;
        while let Some(key) = entries.next_key_seed(KeySeed { reader: self.reader })? {
            let node = entries.next_value_seed(self.below(Step::Value(index)))?;
            let mark =
                Mark::new(self.reader.source, At::Trail(self.trail.then(Step::KeyAt(index))));
            index += 1;
            match key {
                Ok(key) if key == "<<" => self.reader.fault(
                    Fault::new(mark, "merge keys are not supported")
                        .hint("write the keys out, or put what specs share into `_defaults.yaml`"),
                ),
                Ok(key) => match places.get(&key) {
                    Some(&first) => self.reader.fault(
                        Fault::new(mark, format!("the key {} is there twice", quoted(&key)))
                            .hint("remove one of them")
                            .also(read[first].mark.clone(), "first here"),
                    ),
                    None => {
                        places.insert(key.clone(), read.len());
                        read.push(Entry { key, mark, node });
                    }
                },
                Err(kind) => self.reader.fault(
                    Fault::new(mark, format!("a key must be text, not {kind}"))
                        .hint("write it in quotes if that key is meant"),
                ),
            }
        }
        Ok(self.node(Value::Map(read)))
    }

    /// A value with a tag of its own, such as `!secret`.
    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Node, A::Error> {
        let (tag, content) = tagged.variant::<String>()?;
        let mark = self.mark();
        self.reader.fault(
            Fault::new(mark.clone(), format!("tags such as {} mean nothing here", quoted(&tag)))
                .hint("remove the tag, or write the value in quotes if it begins with `!`"),
        );
        content.newtype_variant_seed(self)?;
        Ok(Node { mark, value: Value::Faulty })
    }
}

/// Reads a key: its text, or what it is instead.
struct KeySeed<'r, 'a> {
    reader: &'r Reader<'a>,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_, '_> {
    type Value = Result<String, &'static str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for KeySeed<'_, '_> {
    type Value = Result<String, &'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
        self.reader.count_text(key)?;
        Ok(if key.contains('\0') { Err("text with a NUL character") } else { Ok(key.to_owned()) })
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Err("nothing"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Err("`true` or `false`"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Err("a number"))
    }

    fn visit_i128<E>(self, _: i128) -> Result<Self::Value, E> {
        Ok(Err("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Err("a number"))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Self::Value, E> {
        Ok(Err("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Err("a number"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Err("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Err("a map"))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Self::Value, A::Error> {
        let (_tag, content) = tagged.variant::<IgnoredAny>()?;
        content.newtype_variant::<IgnoredAny>()?;
        Ok(Err("a tagged value"))
    }
}
