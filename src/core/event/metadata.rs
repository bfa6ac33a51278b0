//! Owns the free metadata of an event: a JSON object of bounded size, kept in one canonical text.
//!
//! Canonical: keys sorted, no white space, numbers by the text the caller wrote. Two metadata objects are the same
//! request exactly when their canonical texts are equal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The most bytes of canonical text.
pub const METADATA_BYTES_MAX: usize = 4096;
/// The most keys of the object itself.
pub const METADATA_KEYS_MAX: usize = 50;

/// Why an object cannot be metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Not a JSON object.
    #[error("must be a JSON object")]
    NotAnObject,
    /// More than [`METADATA_KEYS_MAX`] keys.
    #[error("must have at most 50 keys")]
    TooManyKeys,
    /// Over [`METADATA_BYTES_MAX`].
    #[error("must be at most 4096 bytes of JSON")]
    TooLarge,
    /// C0 or C1 control characters, which logs and files cannot carry safely.
    #[error("must not contain control characters")]
    ControlCharacter,
}

/// A JSON value with its numbers by their text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataValue {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as the caller wrote it.
    Number(String),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<MetadataValue>),
    /// An object; the reader has refused duplicate keys.
    Object(BTreeMap<String, MetadataValue>),
}

impl MetadataValue {
    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(text) => out.push_str(text),
            Self::String(text) => write_string(text, out),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (index, (name, value)) in fields.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_string(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    fn has_control(&self) -> bool {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => false,
            Self::String(text) => text.chars().any(char::is_control),
            Self::Array(items) => items.iter().any(Self::has_control),
            Self::Object(fields) => {
                fields.iter().any(|(name, value)| name.chars().any(char::is_control) || value.has_control())
            }
        }
    }
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // Control characters are refused before, this keeps the text valid JSON whatever comes.
            control if control < ' ' => {
                let _written = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// A bounded JSON object in canonical text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Metadata(String);

impl Metadata {
    /// Checks and canonicalises an object.
    ///
    /// # Errors
    /// See [`MetadataError`].
    pub fn new(value: &MetadataValue) -> Result<Self, MetadataError> {
        let MetadataValue::Object(fields) = value else {
            return Err(MetadataError::NotAnObject);
        };
        if fields.len() > METADATA_KEYS_MAX {
            return Err(MetadataError::TooManyKeys);
        }
        if value.has_control() {
            return Err(MetadataError::ControlCharacter);
        }
        let mut text = String::new();
        value.write(&mut text);
        if text.len() > METADATA_BYTES_MAX {
            return Err(MetadataError::TooLarge);
        }
        Ok(Self(text))
    }

    /// Wraps a stored canonical text, which was checked when it was accepted.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The canonical JSON text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object<const N: usize>(fields: [(&str, MetadataValue); N]) -> MetadataValue {
        MetadataValue::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    #[test]
    fn the_canonical_text_sorts_keys_and_keeps_numbers() {
        let value = object([
            ("z", MetadataValue::Number("1.10".to_owned())),
            ("a", MetadataValue::Array(vec![MetadataValue::Null, MetadataValue::String("say \"hi\" \\".to_owned())])),
        ]);
        assert_eq!(Metadata::new(&value).unwrap().as_json(), r#"{"a":[null,"say \"hi\" \\"],"z":1.10}"#);
    }

    #[test]
    fn size_keys_and_control_characters_have_limits() {
        let long = object([("a", MetadataValue::String("x".repeat(5000)))]);
        assert_eq!(Metadata::new(&long), Err(MetadataError::TooLarge));
        let many = (0..51).map(|n| (n.to_string(), MetadataValue::Null)).collect();
        assert_eq!(Metadata::new(&MetadataValue::Object(many)), Err(MetadataError::TooManyKeys));
        for bad in ["\u{7}", "\u{0}", "\u{85}"] {
            let value = object([("a", MetadataValue::String(bad.to_owned()))]);
            assert_eq!(Metadata::new(&value), Err(MetadataError::ControlCharacter), "{bad:?}");
        }
        assert!(Metadata::new(&object([("a", MetadataValue::String("\u{202e}".to_owned()))])).is_ok());
        assert_eq!(Metadata::new(&MetadataValue::Null), Err(MetadataError::NotAnObject));
    }
}
