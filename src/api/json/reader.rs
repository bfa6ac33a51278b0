//! Owns the step from bytes to a tree of values.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::json::raw::{Items, Members, Name};
use crate::api::problem::{FAILURES_TOLD, FieldError, tell};
use crate::core::event::MetadataValue;

/// The deepest nesting that is read; deeper is malformed.
const DEPTH_MAX: usize = 128;
/// The most members of one object. No body has a hundred fields, and in metadata, of which 4,096 bytes are taken, a member
/// has five at least: an object with more is nowhere valid.
const MEMBERS_MAX: usize = 1_000;
/// The most values of a body. 10,000 loans of an accrual batch are 40,000, and may have some more that are wrong.
const VALUES_MAX: usize = 100_000;
/// Up to so many names are compared one by one, which costs less than hashing them.
const COMPARED_MAX: usize = 32;

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

/// A body that is JSON, with what is wrong in it whatever the operation: duplicate keys, NUL characters, and more than is
/// read.
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
    let mut reader = Reader { path: String::new(), errors: Vec::new(), values: 0 };
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
    /// The first failures; what is not told any more must still leave some here, for they refuse the body.
    errors: Vec<FieldError>,
    /// How many values have been read.
    values: usize,
}

impl Reader {
    /// Reads a value whose syntax `serde_json` has checked, but for the surrogates of its strings.
    fn value<'a>(&mut self, raw: &'a str) -> Result<Value<'a>, JsonError> {
        self.values = self.values.saturating_add(1);
        if self.values > VALUES_MAX {
            if self.values == VALUES_MAX.saturating_add(1) {
                let message = "the body must hold at most 100000 values";
                tell(&mut self.errors, FieldError::new("", "too_many", message), FAILURES_TOLD);
            }
            return Ok(Value::Null);
        }
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
            self.fail("invalid_character", "must not contain the character U+0000");
        }
        Ok(text)
    }

    fn array<'a>(&mut self, raw: &'a str) -> Result<Value<'a>, JsonError> {
        // Of an array that goes on the body has too many values, which is found on the way.
        let Items::<VALUES_MAX> { items, .. } = bounds(raw)?;
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let parent = self.enter(&index.to_string());
            values.push(self.value(item.get())?);
            self.path.truncate(parent);
        }
        Ok(Value::Array(values))
    }

    fn object<'a>(&mut self, raw: &'a str) -> Result<Value<'a>, JsonError> {
        let Members::<MEMBERS_MAX> { members, is_over } = bounds(raw)?;
        if is_over {
            self.fail("too_many", "must have at most 1000 members");
        }
        let are_many = members.len() > COMPARED_MAX;
        let mut names: HashSet<Cow<'a, str>> = HashSet::new();
        let mut fields: Vec<(Cow<'a, str>, Value<'a>)> = Vec::with_capacity(members.len());
        for (Name(name), value) in members {
            let parent = self.enter(&name);
            if name.contains('\0') {
                self.fail("invalid_character", "must not contain the character U+0000");
            }
            let is_known =
                if are_many { !names.insert(name.clone()) } else { fields.iter().any(|(known, _)| *known == name) };
            if is_known {
                self.fail("duplicate_field", "must not appear twice");
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

    /// Reports a failure of the value being read.
    fn fail(&mut self, code: &'static str, message: &'static str) {
        let failure = FieldError::new(self.path.replace('\0', "\u{fffd}"), code, message);
        tell(&mut self.errors, failure, FAILURES_TOLD);
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

/// Where the parts of a value stand.
fn bounds<'a, T: Deserialize<'a>>(raw: &'a str) -> Result<T, JsonError> {
    serde_json::from_str(raw).map_err(|_| JsonError("the body is not one JSON document"))
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

    /// The names of 4 MiB, compared with each other, would take hours.
    #[test]
    fn an_object_of_very_many_members_is_refused_in_one_walk() {
        let object = |count: usize| {
            let members: Vec<String> = (0..count).map(|number| format!("\"n{number}\":0")).collect();
            format!(r#"{{"m":{{{}}}}}"#, members.join(","))
        };
        let seen = |text: &str| -> Vec<(String, &'static str)> {
            let body = read(text.as_bytes()).unwrap();
            body.errors.into_iter().map(|error| (error.field, error.code)).collect()
        };
        assert_eq!(seen(&object(MEMBERS_MAX)), []);
        for count in [MEMBERS_MAX + 1, 300_000] {
            assert_eq!(seen(&object(count)), [("m".to_owned(), "too_many")]);
        }
        let twice = object(MEMBERS_MAX).replace("\"n999\"", "\"n\\u0030\"");
        assert_eq!(seen(&twice), [("m.n0".to_owned(), "duplicate_field")]);
    }

    #[test]
    fn a_body_of_very_many_values_is_refused() {
        let array = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        let body = |text: String| read(text.as_bytes()).map(|body| body.errors).unwrap();
        assert!(body(array(VALUES_MAX - 1)).is_empty(), "the array itself is one");
        let parted = format!("[{}]", vec![array(10); VALUES_MAX].join(","));
        for over in [array(VALUES_MAX), array(10 * VALUES_MAX), parted] {
            let errors = body(over);
            assert_eq!((errors.len(), errors[0].code), (1, "too_many"));
        }
    }

    #[test]
    fn few_failures_are_told_of_very_many() {
        let text = format!(r#"{{"{}":[{}0]}}"#, "m".repeat(60_000), "\"\\u0000\",".repeat(1_000));
        let errors = read(text.as_bytes()).unwrap().errors;
        assert_eq!(errors.len(), FAILURES_TOLD + 1);
        assert!(errors.iter().all(|error| error.field.len() < 300), "{:?}", errors[0]);
        assert_eq!(errors.last().unwrap().code, "more");
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
