//! JSON texts -> trees in which no key has won silently over another.
//!
//! Depth is bounded by the parser, size by the caller. Numbers are not kept: no statement has one.

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Json {
    Null,
    Bool,
    Number,
    Text(String),
    List(Vec<Self>),
    /// In the order of the text; every key is there once.
    Object(Vec<(String, Self)>),
}

impl Json {
    /// The kind of value, as messages name it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "`true` or `false`",
            Self::Number => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// The value of a key, if this is an object that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(entries) = self else { return None };
        entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// Every document of a text in which they follow each other, with or without newlines between.
pub(super) fn documents(bytes: &[u8]) -> Result<Vec<Json>, serde_json::Error> {
    serde_json::Deserializer::from_slice(bytes).into_iter().collect()
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tree)
    }
}

struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Bool)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        let mut names = HashSet::new();
        while let Some((name, value)) = entries.next_entry::<String, Json>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!("the key `{name}` is there twice")));
            }
            object.push((name, value));
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::{Json, documents};

    #[test]
    fn documents_follow_each_other() {
        for (text, count) in
            [("", 0), (" \n", 0), ("{}", 1), ("{}\n{}\n", 2), ("{}[1] {\"a\":{}}", 3)]
        {
            assert_eq!(documents(text.as_bytes()).unwrap().len(), count, "{text}");
        }
    }

    #[test]
    fn what_is_doubtful_is_refused() {
        let deep = "[".repeat(5000);
        for text in [
            "{",
            "{}}",
            "{\"a\":1,\"a\":1}",
            "[{\"b\":{\"a\":1,\"c\":0,\"a\":2}}]",
            "{\"a\":NaN}",
            "{'a':1}",
            "{\"a\":1,}",
            "nul",
            "\u{feff}{}",
            "\"\\ud800\"",
            &deep,
            // The same key, spelt with an escape.
            "{\"a\":1,\"\\u0061\":2}",
        ] {
            assert!(documents(text.as_bytes()).is_err(), "{text:.40}");
        }
        assert!(documents(b"\"\xff\"").is_err());
        let error = documents(b"{\"result\": 1,\n \"result\": 2}").unwrap_err().to_string();
        assert!(error.contains("the key `result` is there twice at line 2"), "{error}");
    }

    #[test]
    fn values_are_told_apart() {
        let found = documents(b"[null, true, 1, -1, 1.5, \"a\", [], {\"a\": \"b\"}]").unwrap();
        let Json::List(items) = &found[0] else { panic!("{found:?}") };
        let kinds: Vec<&str> = items.iter().map(Json::kind).collect();
        assert_eq!(
            kinds,
            [
                "null",
                "`true` or `false`",
                "a number",
                "a number",
                "a number",
                "text",
                "a list",
                "an object"
            ]
        );
        assert_eq!(items[7].get("a").and_then(Json::text), Some("b"));
        assert_eq!(items[7].get("b"), None);
    }
}
