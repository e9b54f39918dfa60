//! The schema against the parser: the same keys, the same verdicts, and nothing without a word of
//! explanation.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    rc::Rc,
    sync::{Arc, LazyLock},
};

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

use super::{
    SchemaOf,
    corpus::{self, Says},
    schema,
};
use crate::{
    rule::Rule,
    spec::{
        fault::Faults,
        mutations, raw, services,
        source::Source,
        testing::{environment, read},
        validate::{CAPABILITIES, LEVELS, Place, validate_defaults},
    },
};

fn made(of: SchemaOf) -> Value {
    serde_json::from_str(&schema(of)).unwrap()
}

fn validator(schema: &Value, draft: Draft) -> Validator {
    jsonschema::options().with_draft(draft).build(schema).unwrap()
}

/// Both schemas, by the standard that they name, and by the one that many editors know.
struct Schemas([(Validator, Validator); 2]);

/// Made once: that takes longer than everything that is done with them.
static SCHEMAS: LazyLock<Schemas> = LazyLock::new(Schemas::new);

impl Schemas {
    fn new() -> Self {
        Self([SchemaOf::Spec, SchemaOf::Defaults].map(|of| {
            let schema = made(of);
            (validator(&schema, Draft::Draft202012), validator(&schema, Draft::Draft7))
        }))
    }

    /// Whether the schema takes the value, by either standard.
    fn take(&self, of: SchemaOf, value: &Value) -> bool {
        let (newest, draft7) = &self.0[usize::from(of == SchemaOf::Defaults)];
        let takes = newest.is_valid(value);
        assert_eq!(takes, draft7.is_valid(value), "drafts differ: {value}");
        takes
    }

    /// Why the schema does not take the value, if it does not.
    fn errors(&self, of: SchemaOf, value: &Value) -> Vec<String> {
        if self.take(of, value) {
            return Vec::new();
        }
        let (newest, _) = &self.0[usize::from(of == SchemaOf::Defaults)];
        newest.iter_errors(value).map(|it| it.to_string()).collect()
    }
}

/// A text as an editor's YAML parser would see it; `None` if it is no YAML for one.
fn seen(text: &str) -> Option<Value> {
    let value: serde_yaml::Value = serde_yaml::from_str(text).ok()?;
    serde_json::to_value(value).ok()
}

/// Whether the parser takes a text as defaults.
fn read_defaults(text: &str) -> Result<(), Vec<String>> {
    let source = Rc::new(Source::new("_defaults.yaml", text));
    let place = Place {
        folder: Path::new("/repository/specs").to_owned(),
        root: Path::new("/repository").to_owned(),
        looks_up: false,
    };
    let mut faults = Faults::default();
    if let Some(tree) = raw::parse(&source, &environment, &mut faults) {
        validate_defaults(&tree, &place, &mut faults);
    }
    let problems = faults.settle();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.into_iter().map(|it| it.message).collect())
    }
}

fn parses(of: SchemaOf, text: &str) -> Result<(), Vec<String>> {
    match of {
        SchemaOf::Spec => read(text)
            .map(drop)
            .map_err(|problems| problems.into_iter().map(|it| it.message).collect()),
        SchemaOf::Defaults => read_defaults(text),
    }
}

#[test]
fn they_are_schemas_of_the_newest_draft() {
    for of in [SchemaOf::Spec, SchemaOf::Defaults] {
        let schema = made(of);
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        jsonschema::meta::validate(&schema).unwrap();
        assert!(schema["title"].as_str().unwrap().starts_with("portlid "), "{schema}");
    }
}

/// Every map of keys in a schema, by its name in [`LEVELS`], and where it is.
fn maps(of: SchemaOf) -> Vec<(String, Value)> {
    let schema = made(of);
    let root = if of == SchemaOf::Spec { "spec" } else { "defaults" };
    let mut maps = vec![(root.to_owned(), schema.clone())];
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        maps.push((name.to_lowercase(), definition.clone()));
    }
    maps
}

/// How many maps of keys there are in a value, however deep.
fn count(value: &Value) -> usize {
    match value {
        Value::Object(entries) => {
            let is_map = value["type"] == "object" && entries.contains_key("properties");
            usize::from(is_map) + entries.values().map(count).sum::<usize>()
        }
        Value::Array(items) => items.iter().map(count).sum(),
        _ => 0,
    }
}

#[test]
fn schema_and_parser_know_the_same_keys() {
    let mut known = BTreeSet::new();
    for of in [SchemaOf::Spec, SchemaOf::Defaults] {
        let maps = maps(of);
        // The rules are the only map whose keys are a list of their own.
        assert_eq!(count(&made(of)), maps.len() + 1, "a map of keys has no name");
        for (name, map) in maps {
            let (_, keys) = LEVELS.iter().find(|(level, _)| *level == name).unwrap();
            let parser: BTreeSet<&str> = keys.iter().copied().collect();
            let schema: BTreeSet<&str> =
                map["properties"].as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(schema, parser, "keys of `{name}`");
            assert_eq!(map["additionalProperties"], false, "`{name}` takes any key");
            known.insert(name);
        }
    }
    let all: BTreeSet<String> = LEVELS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(known, all);
}

/// A list of keys that is not in `LEVELS` would be compared with nothing.
#[test]
fn every_list_of_keys_is_compared() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/spec");
    let mut lists =
        fs::read_to_string(folder.join("validate.rs")).unwrap().matches("KEYS: &[&str]").count();
    for entry in fs::read_dir(folder.join("validate")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        lists += text.matches("KEYS: &[&str]").count();
    }
    assert_eq!(lists, LEVELS.len());
}

/// Every key of every map with its schema.
fn properties(of: SchemaOf) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for (name, map) in maps(of) {
        for (key, property) in map["properties"].as_object().unwrap() {
            found.push((name.clone(), key.clone(), property.clone()));
            if key == "rules" {
                for (rule, level) in property["properties"].as_object().unwrap() {
                    found.push(("rules".to_owned(), rule.clone(), level.clone()));
                }
            }
        }
    }
    found
}

#[test]
fn every_key_is_explained() {
    for of in [SchemaOf::Spec, SchemaOf::Defaults] {
        for (map, key, property) in properties(of) {
            let place = format!("{map}.{key}");
            let description = property["description"].as_str().unwrap_or_default();
            assert!(
                description.len() > 20 && description.contains('.'),
                "{place}: {description:?}"
            );
            assert!(property["examples"].as_array().is_some_and(|it| !it.is_empty()), "{place}");
            let is_required = maps(of).iter().any(|(name, it)| {
                *name == map && it["required"].to_string().contains(&format!("\"{key}\""))
            });
            // What holds without it is a value, or is said in words.
            match property.get("default") {
                Some(default) => {
                    assert!(description.contains("Default: `"), "{place}: {default}");
                    assert!(!is_required, "{place}");
                }
                None => assert!(
                    is_required || description.contains("Without "),
                    "{place}: {description}"
                ),
            }
        }
    }
}

/// A whole file in which the map of that name has this key.
fn whole(map: &str, key: &str, value: &Value) -> Value {
    let mut inner = match (map, key) {
        ("spec", "image" | "build" | "archive" | "container") => json!({ "expose": [] }),
        ("spec", _) => json!({ "image": "a", "expose": [] }),
        ("companion", "image" | "build" | "archive") => json!({}),
        ("companion", _) => json!({ "image": "a" }),
        ("build", "context") => json!({}),
        ("build", _) => json!({ "context": "x" }),
        ("entry" | "http", _) => json!({ "port": 80 }),
        _ => json!({}),
    };
    inner[key] = value.clone();
    let spec = |more: Value| {
        let mut spec = json!({ "image": "a", "expose": [] });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    match map {
        "spec" | "defaults" => inner,
        "build" => json!({ "build": inner, "expose": [] }),
        "entry" => json!({ "image": "a", "expose": [inner] }),
        "http" => spec(json!({ "ready": { "http": inner } })),
        "companion" => spec(json!({ "needs": { "db": inner } })),
        map => spec(json!({ map: inner })),
    }
}

/// Every word that a schema lists anywhere.
fn words(schema: &Value) -> Vec<Value> {
    match schema {
        Value::Object(entries) => {
            let own = entries.get("enum").and_then(Value::as_array).cloned().unwrap_or_default();
            let below = entries.iter().filter(|(key, _)| matches!(key.as_str(), "anyOf" | "const"));
            own.into_iter().chain(below.flat_map(|(_, below)| words(below))).collect()
        }
        Value::Array(items) => items.iter().flat_map(words).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn examples_defaults_and_words_are_taken_by_both() {
    let mut count = 0;
    for of in [SchemaOf::Spec, SchemaOf::Defaults] {
        for (map, key, property) in properties(of) {
            let examples = property["examples"].as_array().unwrap().clone();
            for value in
                examples.into_iter().chain(property.get("default").cloned()).chain(words(&property))
            {
                // The other maps stand in both schemas, and a spec can hold all of them.
                let of = if map == "defaults" { of } else { SchemaOf::Spec };
                let whole = whole(&map, &key, &value);
                assert_eq!(
                    SCHEMAS.errors(of, &whole),
                    Vec::<String>::new(),
                    "{map}.{key}: {whole}"
                );
                // The tests' own environment has this one.
                let text = whole.to_string().replace("${PASSWORD}", "${SECRET}");
                assert_eq!(parses(of, &text), Ok(()), "{map}.{key}: {whole}");
                count += 1;
            }
        }
    }
    assert!(count > 250, "only {count}");
}

/// A default is what holds if the key is not there.
#[test]
fn defaults_are_the_defaults() {
    let meaning = |value: &Value| {
        let mut spec = read(&value.to_string()).unwrap();
        spec.source.text = Arc::from("");
        format!("{spec:?}")
    };
    let mut count = 0;
    for (map, key, property) in properties(SchemaOf::Spec) {
        let Some(default) = property.get("default") else { continue };
        if map == "rules" {
            let rule: Rule = key.parse().unwrap();
            assert_eq!(default, rule.default_level().as_str());
            continue;
        }
        let with = whole(&map, &key, default);
        let mut without = with.clone();
        remove(&mut without, &key, default);
        assert_ne!(with, without, "{map}.{key}");
        assert_eq!(meaning(&with), meaning(&without), "{map}.{key}: {default}");
        count += 1;
    }
    assert!(count >= 25, "only {count}");
    let place = Place { folder: "/".into(), root: "/".into(), looks_up: false };
    for text in ["never: []", "{}"] {
        let source = Rc::new(Source::new("_defaults.yaml", text));
        let mut faults = Faults::default();
        let tree = raw::parse(&source, &environment, &mut faults).unwrap();
        assert!(validate_defaults(&tree, &place, &mut faults).is_empty());
    }
}

/// Removes a key with that value, wherever it is.
fn remove(value: &mut Value, key: &str, old: &Value) {
    match value {
        Value::Object(entries) => {
            if entries.get(key) == Some(old) {
                entries.remove(key);
            }
            entries.values_mut().for_each(|it| remove(it, key, old));
        }
        Value::Array(items) => items.iter_mut().for_each(|it| remove(it, key, old)),
        _ => {}
    }
}

#[test]
fn both_say_the_same_of_the_corpus() {
    for (of, cases) in [(SchemaOf::Spec, corpus::SPECS), (SchemaOf::Defaults, corpus::DEFAULTS)] {
        for (says, text) in cases {
            let parser = parses(of, text);
            // What is no YAML for an editor is refused before any schema is asked.
            let schema = seen(text).map(|value| SCHEMAS.errors(of, &value));
            match says {
                Says::Good => {
                    assert_eq!(parser, Ok(()), "{text}");
                    assert_eq!(schema, Some(Vec::new()), "{text}");
                }
                Says::Bad => {
                    assert!(parser.is_err(), "the parser takes:\n{text}");
                    assert!(schema.is_some_and(|it| !it.is_empty()), "the schema takes:\n{text}");
                }
                Says::Lint(why) => {
                    assert!(parser.is_err(), "the parser takes:\n{text}");
                    assert_eq!(
                        schema.unwrap_or_default(),
                        Vec::<String>::new(),
                        "({why}):\n{text}"
                    );
                }
            }
        }
    }
    let bad = corpus::SPECS.iter().filter(|(says, _)| *says == Says::Bad).count();
    let good = corpus::SPECS.iter().filter(|(says, _)| *says == Says::Good).count();
    assert!(good >= 40 && bad >= 100, "{good} good, {bad} bad");
}

/// Thousands of specs, each changed in one place: whatever the parser takes, the schema takes.
#[test]
fn the_schema_is_never_stricter_than_the_parser() {
    let (mut taken, mut refused, mut seen) = (0, 0, 0);
    let defaults = [mutations::defaults()];
    let specs = mutations::specs();
    for (of, wholes) in [(SchemaOf::Spec, specs.as_slice()), (SchemaOf::Defaults, &defaults)] {
        for whole in wholes {
            let changed = mutations::ways(whole)
                .into_iter()
                .flat_map(|way| mutations::changes(whole, &way))
                .chain([whole.clone()]);
            for value in changed {
                let takes = SCHEMAS.take(of, &value);
                match parses(of, &value.to_string()) {
                    Ok(()) => {
                        assert!(takes, "{value}: {:?}", SCHEMAS.errors(of, &value));
                        taken += 1;
                    }
                    Err(_) => {
                        refused += 1;
                        seen += usize::from(!takes);
                    }
                }
            }
        }
    }
    assert!(taken > 300 && refused > 2500, "{taken} taken, {refused} refused");
    // What is left to the parser is the exception.
    assert!(seen * 100 >= refused * 95, "{seen} of {refused} seen");
}

#[test]
fn every_word_of_a_long_list_is_taken() {
    for name in services::names() {
        let spec = json!({ "image": "a", "expose": [name, format!("{name}/udp")] });
        assert_eq!(SCHEMAS.errors(SchemaOf::Spec, &spec), Vec::<String>::new(), "{name}");
    }
    for name in CAPABILITIES {
        for name in
            [(*name).to_owned(), name.to_lowercase(), format!("cap_{}", name.to_lowercase())]
        {
            let spec = json!({ "image": "a", "expose": [], "run": { "cap_add": [name] } });
            assert_eq!(SCHEMAS.errors(SchemaOf::Spec, &spec), Vec::<String>::new(), "{spec}");
            assert_eq!(parses(SchemaOf::Spec, &spec.to_string()), Ok(()), "{spec}");
        }
    }
}

/// At every text of every spec a variable can stand.
#[test]
fn variables_are_let_through() {
    fn texts(value: &mut Value, change: &mut dyn FnMut(&mut Value)) {
        match value {
            Value::Object(entries) => {
                entries.iter_mut().for_each(|(_, it)| texts(it, change));
            }
            Value::Array(items) => items.iter_mut().for_each(|it| texts(it, change)),
            Value::Null => {}
            value => change(value),
        }
    }
    let mut all: Vec<(SchemaOf, Value)> =
        mutations::specs().into_iter().map(|it| (SchemaOf::Spec, it)).collect();
    all.push((SchemaOf::Defaults, mutations::defaults()));
    for (of, whole) in all {
        for with in ["${VAR}", "${VAR:-default}", "x${VAR}y", "${A}${B:-}", "$${VAR}"] {
            let mut changed = whole.clone();
            texts(&mut changed, &mut |value| *value = json!(with));
            assert_eq!(SCHEMAS.errors(of, &changed), Vec::<String>::new(), "{changed}");
        }
    }
}

/// What is shipped, and what README shows.
#[test]
fn shipped_specs_are_taken() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    let mut folders = vec![root.join("specs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "yaml") {
                let is_defaults = path.file_name().unwrap() == "_defaults.yaml";
                let of = if is_defaults { SchemaOf::Defaults } else { SchemaOf::Spec };
                texts.push((of, fs::read_to_string(path).unwrap()));
            }
        }
    }
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    for block in readme.split("```yaml\n").skip(1).map(|it| it.split("```").next().unwrap()) {
        if block.contains("\nexpose:") {
            texts.push((SchemaOf::Spec, block.to_owned()));
        } else if block.contains("_defaults.yaml") {
            texts.push((SchemaOf::Defaults, block.to_owned()));
        }
    }
    assert!(texts.len() >= 9, "only {}", texts.len());
    for (of, text) in texts {
        assert_eq!(SCHEMAS.errors(of, &seen(&text).unwrap()), Vec::<String>::new(), "{text}");
    }
}

/// A regular expression means the same to every reader: no look-around, no flags, no shorthand whose
/// meaning differs.
#[test]
fn patterns_are_plain() {
    fn patterns(value: &Value, found: &mut Map<String, Value>) {
        match value {
            Value::Object(entries) => {
                if let Some(Value::String(pattern)) = entries.get("pattern") {
                    let message = entries.get("patternErrorMessage").cloned().unwrap_or_default();
                    found.insert(pattern.clone(), message);
                }
                entries.values().for_each(|it| patterns(it, found));
            }
            Value::Array(items) => items.iter().for_each(|it| patterns(it, found)),
            _ => {}
        }
    }
    let mut found = Map::new();
    patterns(&made(SchemaOf::Spec), &mut found);
    assert!(found.len() > 20, "only {}", found.len());
    for (pattern, _) in found {
        for special in ["(?=", "(?!", "(?<", "(?i", "\\d", "\\w", "\\s", "\\S", "\\b", "\\p"] {
            assert!(!pattern.contains(special), "{special} in {pattern}");
        }
        regex::Regex::new(&pattern).unwrap();
    }
}
