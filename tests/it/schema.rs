//! `portlid schema`: what an editor gets. That it says what the parser says is tested beside it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::Tool;

fn schema(arguments: &[&str]) -> Value {
    let seen = Tool::new(&[&["schema"], arguments].concat()).run();
    assert_eq!(seen.code, Some(0), "{seen}");
    assert_eq!(seen.stderr, "", "{seen}");
    assert!(seen.stdout.ends_with("}\n"), "{seen}");
    serde_json::from_str(&seen.stdout).unwrap()
}

/// A YAML text as an editor sees it.
fn yaml(text: &str) -> Value {
    serde_json::to_value(serde_yaml::from_str::<serde_yaml::Value>(text).unwrap()).unwrap()
}

/// Every YAML file below `specs/`, whatever it is called.
fn shipped() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("specs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "yaml") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn what_is_shipped_is_right() {
    let specs = jsonschema::validator_for(&schema(&[])).unwrap();
    let defaults = jsonschema::validator_for(&schema(&["--defaults"])).unwrap();
    let mut count = 0;
    for path in shipped() {
        let is_defaults = path.ends_with("_defaults.yaml");
        let (right, wrong) = if is_defaults { (&defaults, &specs) } else { (&specs, &defaults) };
        let value = yaml(&std::fs::read_to_string(&path).unwrap());
        let errors: Vec<String> = right.iter_errors(&value).map(|it| it.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{}", path.display());
        assert!(!wrong.is_valid(&value), "{}", path.display());
        count += 1;
    }
    assert!(count >= 6, "only {count}");
}

#[test]
fn it_is_a_schema_with_a_word_for_everything() {
    let schema = schema(&[]);
    jsonschema::meta::validate(&schema).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["required"], serde_json::json!(["expose"]));
    insta::assert_snapshot!(serde_json::to_string_pretty(&schema["properties"]["watch"]).unwrap(), @r#"
    {
      "default": "2s",
      "description": "How long the sockets stay watched once it is ready. What is seen once counts. At most `1h`.\n\nDefault: `2s`.",
      "examples": [
        "500ms",
        "2s",
        "1m"
      ],
      "minLength": 1,
      "pattern": "^(?:(?:[0-9]+h)?(?:[0-9]+m)?(?:[0-9]+s)?(?:[0-9]+ms)?)$|\\$(?:\\$|\\{[A-Za-z_][A-Za-z0-9_]*(?::-[^}]*)?\\})",
      "patternErrorMessage": "write a duration with its unit: `500ms`, `60s`, `2m`, `1h` or `1m30s`",
      "type": "string"
    }
    "#);
    insta::assert_snapshot!(
        serde_json::to_string_pretty(&schema["$defs"]["Entry"]["properties"]["publish"]).unwrap(), @r#"
    {
      "anyOf": [
        {
          "enum": [
            "allowed",
            "required",
            "never"
          ]
        },
        {
          "pattern": "\\$(?:\\$|\\{[A-Za-z_][A-Za-z0-9_]*(?::-[^}]*)?\\})",
          "type": "string"
        }
      ],
      "default": "allowed",
      "description": "Whether it may be published on the host, must be, or must not be.\n\nDefault: `allowed`.",
      "examples": [
        "never",
        "required"
      ]
    }
    "#);
}

/// The ways of the help are ways that editors know.
#[test]
fn the_help_says_how_an_editor_finds_it() {
    let help = Tool::new(&["schema", "--help"]).run().stdout;
    for part in
        ["# yaml-language-server: $schema=", "\"yaml.schemas\": {", "--defaults", "portlid lint"]
    {
        assert!(help.contains(part), "{part}:\n{help}");
    }
    // The settings are JSON but for the braces around them.
    let settings = help.split("\"yaml.schemas\":").nth(1).unwrap().split("\n\n").next().unwrap();
    let settings: Value = serde_json::from_str(settings).unwrap();
    assert_eq!(settings["./portlid.schema.json"][1], "!_defaults.yaml");
}
