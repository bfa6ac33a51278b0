//! Owns the step from bytes to a tree of values.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::api::problem::FieldError;
use crate::core::event::MetadataValue;

/// The deepest nesting that is read; deeper is malformed.
const DEPTH_MAX: usize = 128;

/// The bytes are not one JSON document. The text is for callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(pub &'static str);

/// A JSON value that borrows from the body where it can.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// The number's own text.
    Number(&'a str),
    String(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl Value<'_> {
    /// The value as metadata knows it. Duplicate keys have been reported by [`read`].
    pub(crate) fn to_metadata(&self) -> MetadataValue {
        match self {
            Self::Null => MetadataValue::Null,
            Self::Bool(truth) => MetadataValue::Bool(*truth),
            Self::Number(text) => MetadataValue::Number((*text).to_owned()),
            Self::String(text) => MetadataValue::String(text.clone().into_owned()),
            Self::Array(items) => MetadataValue::Array(items.iter().map(Self::to_metadata).collect()),
            Self::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| (name.clone().into_owned(), value.to_metadata()));
                MetadataValue::Object(fields.collect::<BTreeMap<_, _>>())
            }
        }
    }
}

/// A body that is JSON, with what is wrong in it whatever the operation: duplicate keys and NUL characters.
#[derive(Debug)]
pub(crate) struct Body<'a> {
    pub(crate) value: Value<'a>,
    pub(crate) errors: Vec<FieldError>,
}

/// Reads one JSON document.
///
/// # Errors
/// [`JsonError`] when the bytes are not one.
pub(crate) fn read(bytes: &[u8]) -> Result<Body<'_>, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|_| JsonError("the body is not UTF-8"))?;
    if text.trim_ascii().is_empty() {
        return Err(JsonError("the body is empty"));
    }
    if text.starts_with('\u{feff}') {
        return Err(JsonError("the body begins with a byte order mark"));
    }
    check_depth(text)?;
    let raw: &RawValue = serde_json::from_str(text).map_err(|_| JsonError("the body is not one JSON document"))?;
    let mut reader = Reader { path: String::new(), errors: Vec::new() };
    let value = reader.value(raw.get())?;
    Ok(Body { value, errors: reader.errors })
}

/// Counts brackets outside strings, so that nothing below recurses deeper than [`DEPTH_MAX`].
fn check_depth(text: &str) -> Result<(), JsonError> {
    let mut depth = 0_usize;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b'[' | b'{' => depth = depth.saturating_add(1),
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Err(JsonError("the body is nested deeper than 128 levels"));
        }
    }
    Ok(())
}

fn skip_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

struct Reader {
    /// Dotted path of the value being read.
    path: String,
    errors: Vec<FieldError>,
}

impl Reader {
    /// Reads a value whose syntax `serde_json` has checked, but for the surrogates of its strings.
    fn value<'a>(&mut self, raw: &'a str) -> Result<Value<'a>, JsonError> {
        match raw.as_bytes().first() {
            Some(b'n') => Ok(Value::Null),
            Some(b't') => Ok(Value::Bool(true)),
            Some(b'f') => Ok(Value::Bool(false)),
            Some(b'"') => self.string(raw).map(Value::String),
            Some(b'[') => self.array(raw),
            Some(b'{') => self.object(raw),
            Some(_) => Ok(Value::Number(raw)),
            None => Err(JsonError("the body is empty")),
        }
    }

    fn string<'a>(&mut self, raw: &'a str) -> Result<Cow<'a, str>, JsonError> {
        let text = unescape(raw)?;
        if text.contains('\0') {
            self.errors.push(FieldError::new(
                self.path.clone(),
                "invalid_character",
                "must not contain the character U+0000",
            ));
        }
        Ok(text)
    }

    fn array<'a>(&mut self, raw: &'a str) -> Result<Value<'a>, JsonError> {
        let Items(items) = serde_json::from_str(raw).map_err(|_| JsonError("the body is not one JSON document"))?;
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let parent = self.enter(&index.to_string());
            values.push(self.value(item.get())?);
            self.path.truncate(parent);
        }
        Ok(Value::Array(values))
    }

    fn object<'a>(&mut self, raw: &'a str) -> Result<Value<'a>, JsonError> {
        let Members(members) = serde_json::from_str(raw).map_err(|_| JsonError("the body is not one JSON document"))?;
        let mut fields: Vec<(Cow<'a, str>, Value<'a>)> = Vec::with_capacity(members.len());
        for (name, value) in members {
            let name = name.into_text();
            let parent = self.enter(&name);
            if name.contains('\0') {
                self.errors.push(FieldError::new(
                    self.path.replace('\0', "\u{fffd}"),
                    "invalid_character",
                    "must not contain the character U+0000",
                ));
            }
            if fields.iter().any(|(known, _)| *known == name) {
                self.errors.push(FieldError::new(self.path.clone(), "duplicate_field", "must not appear twice"));
                // Read all the same, because it may be malformed.
                self.value(value.get())?;
            } else {
                let value = self.value(value.get())?;
                fields.push((name, value));
            }
            self.path.truncate(parent);
        }
        Ok(Value::Object(fields))
    }

    /// Goes down one level; returns the length of the path to go back to.
    fn enter(&mut self, name: &str) -> usize {
        let parent = self.path.len();
        if parent > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        parent
    }
}

/// The text of a JSON string that stands in quotes.
fn unescape(raw: &str) -> Result<Cow<'_, str>, JsonError> {
    let inside = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inside {
        Some(text) if !text.contains('\\') => Ok(Cow::Borrowed(text)),
        Some(_) | None => serde_json::from_str::<String>(raw)
            .map(Cow::Owned)
            .map_err(|_| JsonError("the body has a text with a broken escape or a lone surrogate")),
    }
}

struct Items<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut collected = Vec::new();
                while let Some(item) = items.next_element::<&'de RawValue>()? {
                    collected.push(item);
                }
                Ok(Items(collected))
            }
        }
        deserializer.deserialize_seq(Collect)
    }
}

/// Every member in order, duplicates included.
struct Members<'a>(Vec<(Name<'a>, &'a RawValue)>);

/// A member's name, borrowed where it has no escape.
struct Name<'a>(Cow<'a, str>);

impl<'a> Name<'a> {
    fn into_text(self) -> Cow<'a, str> {
        self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl<'de> Visitor<'de> for Take {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Take)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut collected = Vec::with_capacity(10);
                while let Some(member) = members.next_entry::<Name<'de>, &'de RawValue>()? {
                    collected.push(member);
                }
                Ok(Members(collected))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_one_document_is_malformed() {
        let deep = "[".repeat(10_000);
        let nested = format!(r#"{{"metadata":{}{}}}"#, "[".repeat(200), "]".repeat(200));
        for bad in [
            "",
            "  ",
            "{",
            r#"{"a":1,}"#,
            "{'a':1}",
            r#"{"a":1}{"b":2}"#,
            "// x\n{}",
            r#"{"a":"\ud800"}"#,
            r#"{"\udc00":1}"#,
            r#"{"a":{"b":"\ud800x"}}"#,
            "{\"a\":\"\n\"}",
            "NaN",
            r#"{"a":01}"#,
            r#"{"a":+1}"#,
            "\u{feff}{}",
            &deep,
            &nested,
            "nul",
            r#"{"a":"\x"}"#,
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{bad:.40}");
        }
        for bad in [&b"\xff\xfe{\0}\0"[..], b"{\"a\":\"\xff\"}"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn duplicates_and_nul_are_named_wherever_they_are() {
        let fields = |text: &'static str| -> Vec<(String, &'static str)> {
            let body = read(text.as_bytes()).unwrap();
            body.errors.into_iter().map(|error| (error.field, error.code)).collect()
        };
        assert_eq!(fields(r#"{"a":1,"a":2}"#), [("a".to_owned(), "duplicate_field")]);
        assert_eq!(fields(r#"{"a":1,"\u0061":2}"#), [("a".to_owned(), "duplicate_field")]);
        assert_eq!(fields(r#"{"m":{"x":[{"k":1,"k":2}]}}"#), [("m.x.0.k".to_owned(), "duplicate_field")]);
        assert_eq!(fields(r#"{"m":{"x":"a\u0000"}}"#), [("m.x".to_owned(), "invalid_character")]);
        assert_eq!(fields(r#"{"a":"\\u0000","b":[1e400,-0]}"#), []);
    }

    #[test]
    fn values_keep_their_text() {
        let body = read(br#" {"n": 1.10, "s":"a\"b", "u":"\u00e9", "l":[true,null], "o":{}} "#).unwrap();
        let Value::Object(fields) = body.value else { panic!("not an object") };
        let values: Vec<_> = fields.into_iter().map(|(_, value)| value).collect();
        assert_eq!(
            values,
            [
                Value::Number("1.10"),
                Value::String("a\"b".into()),
                Value::String("é".into()),
                Value::Array(vec![Value::Bool(true), Value::Null]),
                Value::Object(vec![]),
            ]
        );
    }
}
