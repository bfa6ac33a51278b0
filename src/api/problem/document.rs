//! Owns the form of a problem document.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::problem::code::ProblemCode;

/// The media type of every problem.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
/// How many failures of one sort, such as unknown fields, are told of a body: more than a person reads, and an answer must
/// not be larger than what it answers.
pub(crate) const FAILURES_TOLD: usize = 100;
/// The longest path of a field that is told whole. Ours are far below; a caller's own name is as long as its body.
const FIELD_BYTES_MAX: usize = 255;

/// One field that fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Dotted path of the field, such as `amount_minor` or `lines.3.amount_minor`.
    #[schema(example = "amount_minor")]
    pub field: String,
    /// What is wrong with it, for programs.
    #[schema(value_type = String, example = "wrong_type")]
    pub code: &'static str,
    /// What is wrong with it, for people.
    #[schema(value_type = String, example = "must be a string")]
    pub message: Cow<'static, str>,
    /// The line of a file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column in the line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

impl FieldError {
    /// Names a field, a code and a message.
    pub fn new(field: impl Into<String>, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { field: shortened(field.into()), code, message: message.into(), line: None, column: None }
    }

    /// The same at a place of a file.
    #[must_use]
    pub fn at(self, line: usize, column: usize) -> Self {
        Self { line: Some(line), column: Some(column), ..self }
    }
}

fn shortened(mut field: String) -> String {
    if field.len() > FIELD_BYTES_MAX {
        field.truncate(field.floor_char_boundary(FIELD_BYTES_MAX));
        field.push('…');
    }
    field
}

/// Tells a failure, unless `most` are told already: then it says, once, that there are more.
pub(crate) fn tell(told: &mut Vec<FieldError>, failure: FieldError, most: usize) {
    match told.len().cmp(&most) {
        Ordering::Less => told.push(failure),
        Ordering::Equal => told.push(FieldError::new("", "more", "there are more failures than are told")),
        Ordering::Greater => {}
    }
}

/// The first `most` failures, and that there are more.
pub(crate) fn first_failures(failures: Vec<FieldError>, most: usize) -> Vec<FieldError> {
    let mut told = Vec::with_capacity(failures.len().min(most.saturating_add(1)));
    for failure in failures {
        tell(&mut told, failure, most);
    }
    told
}

/// One failure per field is enough: the first found.
pub(crate) fn first_of_each_field(errors: Vec<FieldError>) -> Vec<FieldError> {
    let mut seen = HashSet::with_capacity(errors.len());
    errors.into_iter().filter(|error| seen.insert(error.field.clone())).collect()
}

/// A problem before it meets its request.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Which sort.
    pub code: ProblemCode,
    /// What is wrong this time.
    pub detail: Cow<'static, str>,
    /// The fields that fail, if it is about fields.
    pub errors: Vec<FieldError>,
    /// Further members, such as `payment_event_id`.
    pub members: BTreeMap<&'static str, serde_json::Value>,
}

/// The document as it is sent.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    retryable: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(flatten)]
    members: &'a BTreeMap<&'static str, serde_json::Value>,
}

impl Problem {
    /// A problem that its code's explanation describes well enough.
    #[must_use]
    pub fn plain(code: ProblemCode) -> Self {
        Self::new(code, code.explanation())
    }

    /// A problem with a detail of its own.
    pub fn new(code: ProblemCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), members: BTreeMap::new() }
    }

    /// With the fields that fail.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// With a further member.
    #[must_use]
    pub fn with_member(mut self, name: &'static str, value: impl Into<serde_json::Value>) -> Self {
        self.members.insert(name, value.into());
        self
    }

    /// The document for one request.
    #[must_use]
    pub fn to_json(&self, instance: &str, request_id: &str) -> Vec<u8> {
        serde_json::to_vec(&self.document(Some(instance), Some(request_id))).unwrap_or_default()
    }

    /// The document as part of another answer, such as the status of a rejected payment.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::to_value(self.document(None, None)).unwrap_or_default()
    }

    fn document<'a>(&'a self, instance: Option<&'a str>, request_id: Option<&'a str>) -> Document<'a> {
        Document {
            r#type: format!("/problems/{}", self.code.name()),
            title: self.code.title(),
            status: self.code.status(),
            detail: &self.detail,
            instance,
            code: self.code.name(),
            request_id,
            retryable: self.code.is_retryable(),
            errors: &self.errors,
            members: &self.members,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failures_are_told_and_that_there_are_more() {
        let failures = |count: usize| -> Vec<FieldError> {
            (0..count).map(|number| FieldError::new(format!("n{number}"), "invalid", "x")).collect()
        };
        assert_eq!(first_failures(failures(3), 3), failures(3));
        let told = first_failures(failures(9), 3);
        assert_eq!((&told[..3], told[3].code, told.len()), (&failures(3)[..], "more", 4));
    }

    #[test]
    fn a_long_path_is_cut() {
        let path = |length: usize| FieldError::new("é".repeat(length), "invalid", "x").field;
        assert_eq!(path(127), "é".repeat(127));
        assert_eq!(path(10_000), format!("{}…", "é".repeat(127)));
    }

    #[test]
    fn a_document_has_the_contracts_members() {
        let problem = Problem::new(ProblemCode::ValidationFailed, "one field fails")
            .with_errors(vec![FieldError::new("amount_minor", "wrong_type", "must be a string")])
            .with_member("payment_event_id", "x");
        let json: serde_json::Value = serde_json::from_slice(&problem.to_json("/v1/payments", "r1")).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "type": "/problems/validation_failed", "title": "Fields are missing or not valid", "status": 422,
                "detail": "one field fails", "instance": "/v1/payments", "code": "validation_failed",
                "request_id": "r1", "retryable": false, "payment_event_id": "x",
                "errors": [{"field": "amount_minor", "code": "wrong_type", "message": "must be a string"}],
            })
        );
    }
}
