//! The JSON Schema of the spec language, for editors: it completes, explains and checks.
//!
//! It is made from types that mirror the language ([`keys`]), with the words and limits of the parser
//! itself wherever those are lists or constants. It must never refuse what the parser takes: that
//! would be a red line under a good spec. It may take what the parser refuses, such as two entries
//! for one port, which no schema can say; `portlid lint` has the last word. Tests hold both together.
//!
//! Of JSON Schema it uses only what draft 7 has as well, which is what many editors understand.

#[cfg(test)]
mod corpus;
mod keys;
#[cfg(test)]
mod tests;
mod values;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// Which kind of file a schema is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaOf {
    /// A spec.
    Spec,
    /// A folder's `_defaults.yaml`.
    Defaults,
}

/// The schema as indented JSON, with a newline at its end.
#[must_use]
pub fn schema(of: SchemaOf) -> String {
    let schema = match of {
        SchemaOf::Spec => made::<keys::Spec>("portlid spec"),
        SchemaOf::Defaults => made::<keys::Defaults>("portlid defaults (_defaults.yaml)"),
    };
    // It is JSON already, so this has no way to fail.
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

fn made<T: JsonSchema>(title: &str) -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    let mut schema = schema.to_value();
    finish(&mut schema);
    if let Value::Object(whole) = &mut schema {
        whole.insert("title".to_owned(), json!(title));
    }
    schema
}

/// The key by which a field says that it must be there.
const REQUIRED: &str = "x-required";

/// Makes of every map of keys what the parser makes of it: closed, and with few keys required.
fn finish(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(finish),
        Value::Object(schema) => {
            schema.values_mut().for_each(finish);
            close(schema);
            describe(schema);
        }
        _ => {}
    }
}

/// Makes paragraphs of a comment's lines, and says the default, which editors do not show.
fn describe(schema: &mut Map<String, Value>) {
    let default = schema.get("default").map(|default| format!("\n\nDefault: `{default}`."));
    if let Some(Value::String(description)) = schema.get_mut("description") {
        let paragraphs: Vec<String> =
            description.split("\n\n").map(|it| it.replace('\n', " ")).collect();
        *description = paragraphs.join("\n\n") + &default.unwrap_or_default().replace('"', "");
    }
}

fn close(schema: &mut Map<String, Value>) {
    // A condition talks of keys that are listed elsewhere.
    let is_map = schema.get("type").is_some_and(|it| it == "object");
    let Some(Value::Object(properties)) = schema.get_mut("properties").filter(|_| is_map) else {
        return;
    };
    let mut required = Vec::new();
    for (key, property) in properties {
        if let Value::Object(property) = property
            && property.remove(REQUIRED).is_some()
        {
            required.push(json!(key));
        }
    }
    schema.remove("unevaluatedProperties");
    schema.insert("additionalProperties".to_owned(), json!(false));
    if required.is_empty() {
        schema.remove("required");
    } else {
        schema.insert("required".to_owned(), Value::Array(required));
    }
}
