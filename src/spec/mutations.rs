//! Nothing in a spec is without meaning: whatever is changed at any key, at any value and at any
//! item is an error or another spec, never the same one in silence.

use std::{path::Path, rc::Rc, sync::Arc};

use serde_json::{Value, json};

use crate::spec::{
    fault::Faults,
    merge::with_defaults,
    raw,
    source::Source,
    testing::{environment, read},
    validate::{Place, validate, validate_defaults},
};

/// Together they hold every key in every form, and none has a value that is the default.
pub(super) fn specs() -> Vec<Value> {
    let of = |more: Value| {
        let mut spec = json!({ "image": "web:1", "expose": ["80/tcp"] });
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        spec
    };
    vec![
        of(json!({
            "name": "front", "platform": "linux/arm/v7", "watch": "1m30s", "scan": "listed",
            "run": {
                "command": ["serve", "all"], "entrypoint": ["/app"], "env": { "KEY": "value", "PORT": "${PORT}" },
                "user": "1000:1000", "hostname": "web", "volumes": ["./site:/srv:rw"],
                "tmpfs": ["/run", "/tmp:size=64m"], "cap_add": ["NET_ADMIN"], "memory": "256m",
                "pids": 99, "publish": ["127.0.0.1:8080:80/tcp", "81/tcp", "[::1]:82:82/udp"],
            },
            "ready": { "http": { "port": "80/tcp", "path": "/up", "status": 204 }, "within": "7s" },
            "rules": { "silent-expose": "fail", "undeclared-port": "off" },
        })),
        of(json!({ "run": { "publish": "none", "egress": "deny" }, "ready": { "port": 80 } })),
        of(json!({ "watch": "0s", "scan": "off", "ready": { "log": "^up$" } })),
        of(json!({ "ready": { "health": true, "within": "1h" } })),
        of(json!({ "ready": { "exit": 3 } })),
        of(json!({ "expose": [
            443, "https/udp", "8000-8010/tcp", "domain/udp", "2905/sctp", "1/raw",
            { "port": "9090/tcp", "optional": true, "bind": "10.0.0.0/8", "process": "prometheus",
              "user": 65534, "speaks": "http", "publish": "never", "why": "metrics",
              "owner": "team", "until": "2027-01-31" },
            { "port": "9091/tcp", "bind": "loopback", "user": "7", "speaks": "tls" },
            { "port": "9092/tcp", "bind": "fd00::1", "publish": "required" },
            { "port": "7000-7001/udp", "bind": "192.168.0.1" },
        ], "run": { "publish": ["9092/tcp"] } })),
        of(json!({ "needs": {
            "db": {
                "image": "postgres:17", "command": ["x"], "entrypoint": ["y"], "env": { "A": "b" },
                "user": 1, "hostname": "base", "volumes": ["./data:/data:rw"], "tmpfs": ["/tmp"],
                "cap_add": ["CHOWN"], "memory": "1g", "pids": 9,
                "ready": { "port": "5432/tcp", "within": "9s" },
            },
            "built": { "build": { "context": "x", "dockerfile": "F", "target": "prod", "args": { "A": "b" } },
                       "ready": { "http": { "port": 80, "path": "/x", "status": 302 } } },
            "loaded": { "archive": "x.tar", "ready": { "log": "up" } },
        } })),
        json!({ "build": "x", "expose": [] }),
        json!({ "build": { "context": "x", "dockerfile": "F", "target": "prod", "args": { "A": "b" } }, "expose": [] }),
        json!({ "archive": "x.tar", "expose": [] }),
        json!({ "container": "x", "expose": [], "run": { "publish": ["80/tcp"] } }),
    ]
}

pub(super) fn defaults() -> Value {
    json!({
        "platform": "linux/arm64", "watch": "9s", "scan": "listed",
        "run": { "env": { "A": "b" }, "memory": "256m", "pids": 9, "egress": "deny", "cap_add": ["CHOWN"] },
        "ready": { "within": "7s" },
        "rules": { "silent-expose": "fail" },
        "never": ["22/tcp", "2375-2376/tcp"],
    })
}

/// A step from a value to one in it.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Key(String),
    Item(usize),
}

/// The ways to every value below `value`.
pub(super) fn ways(value: &Value) -> Vec<Vec<Step>> {
    let below: Vec<(Step, &Value)> = match value {
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| (Step::Key(key.clone()), value)).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, value)| (Step::Item(index), value)).collect()
        }
        _ => Vec::new(),
    };
    let mut all = Vec::new();
    for (step, value) in below {
        all.push(vec![step.clone()]);
        all.extend(ways(value).into_iter().map(|way| [vec![step.clone()], way].concat()));
    }
    all
}

fn at<'v>(value: &'v mut Value, way: &[Step]) -> &'v mut Value {
    way.iter().fold(value, |value, step| match step {
        Step::Key(key) => &mut value[key],
        Step::Item(index) => &mut value[index],
    })
}

/// Every way to change the value at the end of `way`.
pub(super) fn changes(spec: &Value, way: &[Step]) -> Vec<Value> {
    let mut original = spec.clone();
    let old = at(&mut original, way).clone();
    let mut values = vec![
        Value::Null,
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(-1),
        json!(5.5),
        json!(70_000),
        json!(""),
        json!(" "),
        json!("other"),
        json!([]),
        json!({}),
        json!([old]),
        json!([old, old]),
        json!({ "key": old }),
    ];
    // This is the long form of an entry of `expose`, and means the same.
    if !matches!(way, [Step::Key(key), Step::Item(_)] if key == "expose") {
        values.push(json!({ "port": old }));
    }
    if let Value::String(text) = &old {
        values.extend([json!(format!("{text}x")), json!(format!("x{text}"))]);
        values.push(json!(text.chars().rev().collect::<String>()));
    }
    if let Value::Number(number) = &old {
        values.push(json!(number.as_i64().unwrap() + 1));
    }
    if let Value::Array(items) = &old {
        values.push(items.iter().chain([&json!("other")]).cloned().collect());
    }
    let (last, before) = way.split_last().unwrap();
    let mut changed: Vec<Value> = values
        .into_iter()
        .filter(|new| *new != old)
        .map(|new| {
            let mut spec = spec.clone();
            *at(&mut spec, way) = new;
            spec
        })
        .collect();
    let mut without = spec.clone();
    match (at(&mut without, before), last) {
        (Value::Object(entries), Step::Key(key)) => {
            let value = entries.remove(key).unwrap();
            let names = [format!("{key}x"), key.to_uppercase(), format!(" {key}")];
            for name in names.into_iter().filter(|name| name != key) {
                let mut renamed = spec.clone();
                let entries = at(&mut renamed, before).as_object_mut().unwrap();
                entries.remove(key);
                entries.insert(name, value.clone());
                changed.push(renamed);
            }
        }
        (Value::Array(items), Step::Item(index)) => {
            items.remove(*index);
        }
        _ => unreachable!("a way leads through maps and lists"),
    }
    changed.push(without);
    changed
}

/// What a text means; `None` if it is refused.
fn meaning(spec: &Value) -> Option<String> {
    let mut spec = read(&spec.to_string()).ok()?;
    spec.source.text = Arc::from("");
    Some(format!("{spec:?}"))
}

/// What a small spec means under these defaults.
fn meaning_under(defaults: &Value) -> Option<String> {
    let source = |text: String| Rc::new(Source::new("web.yaml", text));
    let place = Place {
        folder: Path::new("/repository/specs").to_owned(),
        root: Path::new("/repository").to_owned(),
        looks_up: false,
    };
    let mut faults = Faults::default();
    let lower = raw::parse(&source(defaults.to_string()), &environment, &mut faults)?;
    let never = validate_defaults(&lower, &place, &mut faults);
    let own = source(json!({ "image": "web", "expose": ["80/tcp"] }).to_string());
    let tree = raw::parse(&own, &environment, &mut faults)?;
    let merged = with_defaults(&tree, [&lower]);
    let mut spec = validate(&merged, &own, &place, &never, &mut faults)?;
    spec.source.text = Arc::from("");
    let never: Vec<_> = never.iter().map(|never| never.ports).collect();
    faults.is_empty().then(|| format!("{spec:?} {never:?}"))
}

/// Changes everything in `spec`; returns what meant the same, and how much was changed.
fn silent(spec: &Value, meaning: impl Fn(&Value) -> Option<String>) -> (Vec<String>, usize) {
    let before = meaning(spec).unwrap_or_else(|| panic!("not a spec: {spec}"));
    let mut silent = Vec::new();
    let mut count = 0;
    for way in ways(spec) {
        for changed in changes(spec, &way) {
            count += 1;
            if meaning(&changed).as_ref() == Some(&before) {
                silent.push(format!("{way:?}: {changed}"));
            }
        }
    }
    (silent, count)
}

#[test]
fn no_change_of_a_spec_is_silent() {
    let mut changed = 0;
    for spec in specs() {
        let (silent, count) = silent(&spec, meaning);
        assert!(silent.is_empty(), "these mean the same as\n{spec}:\n{}", silent.join("\n"));
        changed += count;
    }
    assert!(changed > 2000, "only {changed}");
}

#[test]
fn no_change_of_defaults_is_silent() {
    let (silent, count) = silent(&defaults(), meaning_under);
    assert!(silent.is_empty(), "{}", silent.join("\n"));
    assert!(count > 200, "only {count}");
}

/// A key that the specs here do not hold would not be changed by anybody.
#[test]
fn every_key_of_the_language_is_changed() {
    let mut text: String = specs().iter().map(Value::to_string).collect();
    text.push_str(&defaults().to_string());
    let unused: Vec<&str> = crate::spec::validate::keys()
        .filter(|key| !text.contains(&format!("\"{key}\":")))
        .collect();
    assert_eq!(unused, Vec::<&str>::new());
}
