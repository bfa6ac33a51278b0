//! Owns the step from a query string to typed parameters, collecting every failure.

use std::fmt::Display;
use std::time::Duration;

use axum::http::Uri;

use crate::api::error::ApiError;
use crate::api::http::prefer::wait_seconds;
use crate::api::http::urlencoded;
use crate::api::problem::FieldError;

/// The pages of a list.
const PAGE_SIZES: PageSizes = PageSizes { default: 50, most: 500 };

/// How many rows a page has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageSizes {
    /// Where the caller names no number.
    pub(crate) default: i64,
    /// At most.
    pub(crate) most: i64,
}

/// The parameters of one request. Take each by name, then [`Query::finish`]: what was not taken is unknown.
#[derive(Debug)]
pub(crate) struct Query {
    pairs: Vec<(String, Option<String>)>,
    errors: Vec<FieldError>,
}

impl Query {
    /// Reads the query of an address.
    ///
    /// # Errors
    /// When it is not well formed.
    pub(crate) fn of(uri: &Uri) -> Result<Self, ApiError> {
        let pairs = urlencoded::pairs(uri.query().unwrap_or("")).map_err(|error| {
            ApiError::InvalidParameters(vec![FieldError::new("", "malformed", format!("the query {error}"))])
        })?;
        let mut query = Self { pairs: Vec::with_capacity(pairs.len()), errors: Vec::new() };
        for (name, value) in pairs {
            if query.pairs.iter().any(|(known, _)| *known == name) {
                query.fail(&name, "repeated", "must not be given twice");
            } else if value.contains('\0') || name.contains('\0') {
                query.fail(&name.replace('\0', "\u{fffd}"), "invalid_character", "must not contain U+0000");
            } else {
                query.pairs.push((name, Some(value)));
            }
        }
        Ok(query)
    }

    /// Reports a failure of a parameter.
    pub(crate) fn fail(&mut self, name: &str, code: &'static str, message: impl Into<String>) {
        self.errors.push(FieldError::new(name, code, message.into()));
    }

    /// The text of a parameter.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.pairs.iter_mut().find(|(known, _)| known == name)?.1.take()
    }

    /// A parameter as `parse` reads it.
    pub(crate) fn optional<T, E: Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(name)?;
        parse(&text).inspect_err(|error| self.fail(name, "invalid", error.to_string())).ok()
    }

    /// A parameter that must be there, as `parse` reads it.
    pub(crate) fn required<T, E: Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.pairs.iter().all(|(known, _)| known != name) {
            self.fail(name, "required", "is required");
            return None;
        }
        self.optional(name, parse)
    }

    /// `wait`: whole seconds, at most 60.
    pub(crate) fn wait(&mut self) -> Duration {
        let wait = self.optional("wait", |text| wait_seconds(text).ok_or("must be a whole number of seconds"));
        wait.unwrap_or(Duration::ZERO)
    }

    /// `page_size`: 1 to 500.
    pub(crate) fn page_size(&mut self) -> i64 {
        self.page_size_of(PAGE_SIZES)
    }

    /// `page_size` where a page may have other sizes.
    pub(crate) fn page_size_of(&mut self, sizes: PageSizes) -> i64 {
        let parse = |text: &str| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            let size = is_number.then(|| text.parse::<i64>().ok()).flatten();
            let size = size.filter(|size| (1..=sizes.most).contains(size));
            size.ok_or_else(|| format!("must be a number from 1 to {}", sizes.most))
        };
        self.optional("page_size", parse).unwrap_or(sizes.default)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Every parameter that fails, unknown ones among them.
    pub(crate) fn finish(mut self) -> Result<(), ApiError> {
        for (name, value) in &self.pairs {
            if value.is_some() {
                self.errors.push(FieldError::new(name.clone(), "unknown", "is not a parameter of this operation"));
            }
        }
        if self.errors.is_empty() { Ok(()) } else { Err(ApiError::InvalidParameters(self.errors)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(query: &'static str) -> Vec<String> {
        let mut query = Query::of(&Uri::from_static(query)).unwrap();
        query.page_size();
        query.wait();
        match query.finish() {
            Err(ApiError::InvalidParameters(errors)) => errors.into_iter().map(|error| error.field).collect(),
            Err(other) => panic!("{other:?}"),
            Ok(()) => Vec::new(),
        }
    }

    #[test]
    fn parameters_are_known_single_and_in_range() {
        assert!(failing("/?page_size=500&wait=5").is_empty());
        assert_eq!(failing("/?page_size=501"), ["page_size"]);
        assert_eq!(failing("/?page_size=0&wait=-1"), ["page_size", "wait"]);
        assert_eq!(failing("/?wait=1&wait=2"), ["wait"]);
        assert_eq!(failing("/?tenant_id=1"), ["tenant_id"]);
        assert_eq!(failing("/?x=%00"), ["x"]);
        assert!(Query::of(&Uri::from_static("/?x=%zz")).is_err());
    }
}
