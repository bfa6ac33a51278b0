//! Owns the step from a JSON object to typed fields, collecting every failure.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;

use chrono::NaiveDate;

use crate::api::json::reader::{Body, Value};
use crate::api::problem::{FAILURES_TOLD, FieldError, tell};
use crate::core::event::Metadata;
use crate::core::money::Minor;
use crate::core::reference::parse_reference;
use crate::core::time::parse_date;

/// The failure of a date that lies after the last day a tenant allows. Another day, or another tenant, may allow it.
pub(crate) const IN_THE_FUTURE: &str = "in_the_future";

/// The fields of one object. Take each by name, then [`Fields::finish`]: what was not taken is unknown.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    /// Dotted path of the object, with a dot at the end; empty for the body itself.
    prefix: String,
    members: Vec<(Cow<'a, str>, Option<Value<'a>>)>,
    errors: Vec<FieldError>,
}

impl<'a> Fields<'a> {
    /// The fields of a body. A body that is not an object fails as a whole.
    pub(crate) fn of_body(body: Body<'a>) -> Self {
        let mut errors = body.errors;
        let fields = match body.value {
            Value::Object(fields) => fields,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                errors.push(FieldError::new("", "wrong_type", "the body must be a JSON object"));
                Vec::new()
            }
        };
        Self::new(String::new(), fields, errors)
    }

    fn new(prefix: String, fields: Vec<(Cow<'a, str>, Value<'a>)>, errors: Vec<FieldError>) -> Self {
        let members = fields.into_iter().map(|(name, value)| (name, Some(value))).collect();
        Self { prefix, members, errors }
    }

    /// Reports a failure of a field.
    pub(crate) fn fail(&mut self, name: &str, code: &'static str, message: impl Into<Cow<'static, str>>) {
        self.errors.push(FieldError::new(format!("{}{name}", self.prefix), code, message));
    }

    /// Takes a field; an explicit `null` counts as absent.
    fn take(&mut self, name: &str) -> Option<Value<'a>> {
        let field = self.members.iter_mut().find(|(known, _)| known == name)?;
        match field.1.take() {
            Some(Value::Null) | None => None,
            Some(value) => Some(value),
        }
    }

    fn take_text(&mut self, name: &str) -> Option<Cow<'a, str>> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                self.fail(name, "wrong_type", "must be a string");
                None
            }
        }
    }

    /// A text field that must be there, as `parse` reads it.
    pub(crate) fn required<T, E: Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let is_there = self.members.iter().any(|(known, value)| known == name && !matches!(value, Some(Value::Null)));
        if !is_there {
            self.take(name);
            self.fail(name, "required", "is required");
            return None;
        }
        self.optional(name, parse)
    }

    /// A text field that may be absent, as `parse` reads it.
    pub(crate) fn optional<T, E: Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.take_text(name)?;
        parse(&text).inspect_err(|error| self.fail(name, "invalid", error.to_string())).ok()
    }

    /// An amount that is posted: more than nothing.
    pub(crate) fn posted_amount(&mut self, name: &str) -> Option<Minor> {
        let amount = self.required(name, Minor::parse)?;
        if amount.is_zero() {
            self.fail(name, "invalid", "must be more than 0");
            return None;
        }
        Some(amount)
    }

    /// A date that must be there and not lie after `latest`.
    pub(crate) fn date_until(&mut self, name: &str, latest: NaiveDate) -> Option<NaiveDate> {
        let date = self.required(name, parse_date)?;
        self.not_after(name, date, latest)
    }

    /// A date that may be absent and must not lie after `latest`.
    pub(crate) fn optional_date_until(&mut self, name: &str, latest: NaiveDate) -> Option<NaiveDate> {
        let date = self.optional(name, parse_date)?;
        self.not_after(name, date, latest)
    }

    fn not_after(&mut self, name: &str, date: NaiveDate, latest: NaiveDate) -> Option<NaiveDate> {
        if date > latest {
            self.fail(name, IN_THE_FUTURE, format!("must not be after {latest}, the last day your tenant allows"));
            return None;
        }
        Some(date)
    }

    /// A caller's reference: 1 to 255 printable characters.
    pub(crate) fn reference(&mut self, name: &str) -> Option<String> {
        self.optional(name, parse_reference)
    }

    /// A text of a caller that must be there: 1 to 255 printable characters.
    pub(crate) fn required_reference(&mut self, name: &str) -> Option<String> {
        self.required(name, parse_reference)
    }

    /// The free metadata.
    pub(crate) fn metadata(&mut self) -> Option<Metadata> {
        let value = self.take("metadata")?;
        let metadata = Metadata::new(&value.to_metadata());
        metadata.inspect_err(|error| self.fail("metadata", "invalid", error.to_string())).ok()
    }

    /// Whether a field is there; an explicit `null` counts as absent.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(known, value)| known == name && !matches!(value, Some(Value::Null) | None))
    }

    /// A list of 1 to `most` texts, each as `parse` reads it; each that fails is named by its index, such as `ids.3`.
    pub(crate) fn list<T, E: Display>(
        &mut self,
        name: &str,
        most: usize,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let Value::Array(items) = self.take(name)? else {
            self.fail(name, "wrong_type", "must be an array of strings");
            return None;
        };
        if items.is_empty() || items.len() > most {
            self.fail(name, "invalid", format!("must hold 1 to {most} values"));
            return None;
        }
        let mut values = Vec::with_capacity(items.len());
        let failed_before = self.errors.len();
        for (index, item) in items.into_iter().enumerate() {
            match item {
                Value::String(text) => match parse(&text) {
                    Ok(value) => values.push(value),
                    Err(error) => self.fail(&format!("{name}.{index}"), "invalid", error.to_string()),
                },
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    self.fail(&format!("{name}.{index}"), "wrong_type", "must be a string");
                }
            }
        }
        (self.errors.len() == failed_before).then_some(values)
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, name: &str) -> Option<Vec<Cow<'a, str>>> {
        let value = self.take(name)?;
        let texts = match value {
            Value::Array(items) => items
                .into_iter()
                .map(|item| match item {
                    Value::String(text) => Some(text),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
                })
                .collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => None,
        };
        if texts.is_none() {
            self.fail(name, "wrong_type", "must be an array of strings");
        }
        texts
    }

    /// A list of texts that must be there.
    pub(crate) fn required_texts(&mut self, name: &str) -> Option<Vec<Cow<'a, str>>> {
        if !self.has(name) {
            self.take(name);
            self.fail(name, "required", "is required");
            return None;
        }
        self.texts(name)
    }

    /// Reads an object inside this one with `read`; its failures are reported here.
    pub(crate) fn object<T>(&mut self, name: &str, read: impl FnOnce(&mut Fields<'a>) -> T) -> Option<T> {
        match self.take(name)? {
            Value::Object(fields) => {
                let mut inside = Fields::new(format!("{}{name}.", self.prefix), fields, Vec::new());
                let value = read(&mut inside);
                self.errors.extend(inside.finish());
                Some(value)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                self.fail(name, "wrong_type", "must be an object");
                None
            }
        }
    }

    /// A list of objects that must be there, each as `read` takes it; what fails in one is named by its index, such as
    /// `lines.3.amount_minor`. `None` when the list, or one of its objects, fails; of a long list not every failure is
    /// told.
    pub(crate) fn objects<T>(
        &mut self,
        name: &str,
        count: RangeInclusive<usize>,
        read: impl Fn(&mut Fields<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(value) = self.take(name) else {
            self.fail(name, "required", "is required");
            return None;
        };
        self.objects_of(name, value, count, read)
    }

    /// The same of a list that may be absent.
    pub(crate) fn optional_objects<T>(
        &mut self,
        name: &str,
        count: RangeInclusive<usize>,
        read: impl Fn(&mut Fields<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let value = self.take(name)?;
        self.objects_of(name, value, count, read)
    }

    fn objects_of<T>(
        &mut self,
        name: &str,
        value: Value<'a>,
        count: RangeInclusive<usize>,
        read: impl Fn(&mut Fields<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = match value {
            Value::Array(items) if count.contains(&items.len()) => items,
            Value::Array(_) => {
                self.fail(name, "invalid", format!("must hold {} to {} objects", count.start(), count.end()));
                return None;
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                self.fail(name, "wrong_type", "must be an array of objects");
                return None;
            }
        };
        let mut values = Vec::with_capacity(items.len());
        let expected = items.len();
        let failed_before = self.errors.len();
        for (index, item) in items.into_iter().enumerate() {
            if self.errors.len().saturating_sub(failed_before) >= FAILURES_TOLD {
                break;
            }
            let Value::Object(fields) = item else {
                self.fail(&format!("{name}.{index}"), "wrong_type", "must be an object");
                continue;
            };
            let mut inside = Fields::new(format!("{}{name}.{index}.", self.prefix), fields, Vec::new());
            values.extend(read(&mut inside));
            self.errors.extend(inside.finish());
        }
        (values.len() == expected && self.errors.len() == failed_before).then_some(values)
    }

    /// A truth value that may be absent.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(flag) => Some(flag),
            Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                self.fail(name, "wrong_type", "must be true or false");
                None
            }
        }
    }

    /// A whole number that may be absent: digits without a sign, at most `most`.
    pub(crate) fn whole_number(&mut self, name: &str, most: u16) -> Option<u16> {
        match self.take(name)? {
            Value::Number(text) => {
                let number = text.parse().ok().filter(|number| *number <= most);
                if number.is_none() {
                    self.fail(name, "invalid", format!("must be a whole number from 0 to {most}"));
                }
                number
            }
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                self.fail(name, "wrong_type", format!("must be a number from 0 to {most}"));
                None
            }
        }
    }

    /// Every failure, what was not taken among them; of very much that was not taken the first is told.
    pub(crate) fn finish(mut self) -> Vec<FieldError> {
        let mut unknown = Vec::new();
        for (name, value) in &self.members {
            if value.is_some() {
                let path = format!("{}{}", self.prefix, name.replace('\0', "\u{fffd}"));
                let failure = FieldError::new(path, "unknown_field", "is not a field of this operation");
                tell(&mut unknown, failure, FAILURES_TOLD);
            }
        }
        self.errors.extend(unknown);
        self.errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::json::read;

    fn failures(text: &str, take: impl FnOnce(&mut Fields<'_>)) -> Vec<(String, &'static str)> {
        let mut fields = Fields::of_body(read(text.as_bytes()).unwrap());
        take(&mut fields);
        fields.finish().into_iter().map(|error| (error.field, error.code)).collect()
    }

    fn named(pairs: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
        pairs.iter().map(|(field, code)| ((*field).to_owned(), *code)).collect()
    }

    #[test]
    fn all_failing_fields_are_named_at_once() {
        let seen = failures(r#"{"a":5,"b":null,"amonut":"1","__proto__":{}}"#, |fields| {
            fields.posted_amount("a");
            fields.posted_amount("b");
            fields.posted_amount("c");
        });
        let expected = [
            ("a", "wrong_type"),
            ("b", "required"),
            ("c", "required"),
            ("amonut", "unknown_field"),
            ("__proto__", "unknown_field"),
        ];
        assert_eq!(seen, named(&expected));
    }

    #[test]
    fn of_very_many_unknown_fields_the_first_are_named() {
        let members: Vec<String> = (0..500).map(|number| format!("\"n{number}\":0")).collect();
        let seen = failures(&format!("{{{}}}", members.join(",")), |_| {});
        assert_eq!(seen.len(), FAILURES_TOLD + 1);
        assert_eq!(seen[99..], named(&[("n99", "unknown_field"), ("", "more")]));
    }

    #[test]
    fn objects_inside_have_dotted_paths() {
        let seen = failures(r#"{"o":{"x":"-1","y":"1"}}"#, |fields| {
            fields.object("o", |inside| inside.optional("x", Minor::parse));
        });
        assert_eq!(seen, named(&[("o.x", "invalid"), ("o.y", "unknown_field")]));
    }

    #[test]
    fn a_body_that_is_no_object_fails_as_a_whole() {
        for text in ["null", "[]", "5", "\"x\""] {
            assert_eq!(failures(text, |_| {}), named(&[("", "wrong_type")]), "{text}");
        }
    }

    #[test]
    fn references_are_short_and_printable() {
        let (most, over) = ("é".repeat(255), "a".repeat(256));
        for good in ["=HYPERLINK()", "'; DROP TABLE", "a\u{202e}b", &most] {
            assert!(parse_reference(good).is_ok(), "{good}");
        }
        for bad in ["", "a\tb", "a\u{85}", &over] {
            assert!(parse_reference(bad).is_err(), "{bad}");
        }
    }
}
