//! Owns what every write brings: a caller with the right scope, a key, a preference and a body. Checked in this order,
//! so that nothing is read for someone who may not write.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::Request;
use chrono::NaiveDate;

use crate::api::auth::{Caller, Scope};
use crate::api::error::ApiError;
use crate::api::http::body::{BODY_BYTES_MAX, read_body_of};
use crate::api::http::headers::{idempotency_key, require_json};
use crate::api::http::heavy::off_the_runtime;
use crate::api::http::prefer::Prefer;
use crate::api::http::query::Query;
use crate::api::json::{Fields, IN_THE_FUTURE, read};
use crate::api::problem::{FieldError, first_of_each_field};
use crate::api::state::ApiState;
use crate::api::tenants::Tenant;
use crate::core::event::IdempotencyKey;
use crate::core::money::Minor;
use crate::core::time::Timestamp;

/// A write, read but for its fields.
#[derive(Debug)]
pub(crate) struct WriteRequest {
    pub(crate) caller: Arc<Caller>,
    pub(crate) key: IdempotencyKey,
    pub(crate) prefer: Prefer,
    pub(crate) rules: AcceptanceRules,
    body: Bytes,
}

/// What the tenant allows at acceptance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AcceptanceRules {
    /// The last day something may be dated.
    pub(crate) latest_effective: NaiveDate,
    /// The most one payment may be.
    pub(crate) payment_limit: Option<Minor>,
}

impl AcceptanceRules {
    /// What a tenant allows at `now`.
    pub(crate) fn of(tenant: &Tenant, now: Timestamp) -> Self {
        Self { latest_effective: tenant.latest_effective(now), payment_limit: tenant.payment_limit }
    }

    /// Nothing is refused. What a tenant does not allow today it may have allowed when it was accepted.
    pub(crate) const NONE: Self = Self { latest_effective: NaiveDate::MAX, payment_limit: None };

    /// Whether these failures are the day's alone: under [`Self::NONE`] the body has none.
    pub(crate) fn are_all_of(errors: &[FieldError]) -> bool {
        !errors.is_empty() && errors.iter().all(|error| error.code == IN_THE_FUTURE)
    }
}

impl WriteRequest {
    /// Reads a request.
    pub(crate) async fn read(state: &ApiState, request: Request, any_of: &'static [Scope]) -> Result<Self, ApiError> {
        Self::read_up_to(state, request, any_of, BODY_BYTES_MAX).await
    }

    /// Reads a request whose body may be of another size.
    pub(crate) async fn read_up_to(
        state: &ApiState,
        request: Request,
        any_of: &'static [Scope],
        bytes_max: usize,
    ) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let caller = state.caller(&parts.headers, any_of).await?;
        require_json(&parts.headers)?;
        let key = idempotency_key(&parts.headers)?;
        Query::of(&parts.uri)?.finish()?;
        let body = read_body_of(&parts.headers, body, bytes_max).await?;
        let now = state.now();
        let tenant = state.tenants().get(state.store(), caller.tenant, now).await?;
        let rules = AcceptanceRules::of(&tenant, now);
        Ok(Self { caller, key, prefer: Prefer::of(&parts.headers), rules, body })
    }

    /// The body, as `parse` takes it from the fields under the rules of acceptance; `None` when one that it needs fails.
    /// A rule refuses what is new: a body under a known key is read without, to be answered as it was at first.
    pub(crate) async fn parsed_by_rules<T>(
        &self,
        state: &ApiState,
        parse: impl Fn(&mut Fields<'_>, &AcceptanceRules) -> Option<T>,
    ) -> Result<T, ApiError> {
        let refusal = match self.parsed(|fields| parse(fields, &self.rules)) {
            Ok(parsed) => return Ok(parsed),
            Err(refusal) => refusal,
        };
        let rules = self.rules_for_repeat(state, refusal).await?;
        self.parsed(|fields| parse(fields, &rules))
    }

    /// The same of a body of megabytes, which is read beside the runtime's own threads.
    pub(crate) async fn long_parsed_by_rules<T: Send + 'static>(
        self,
        state: &ApiState,
        parse: impl Fn(&mut Fields<'_>, &AcceptanceRules) -> Option<T> + Clone + Send + 'static,
    ) -> Result<(Self, T), ApiError> {
        let read = |request: Self, rules: AcceptanceRules| {
            let parse = parse.clone();
            off_the_runtime(move || {
                let parsed = request.parsed(|fields| parse(fields, &rules));
                (request, parsed)
            })
        };
        let rules = self.rules;
        let (request, refusal) = match read(self, rules).await? {
            (request, Ok(parsed)) => return Ok((request, parsed)),
            (request, Err(refusal)) => (request, refusal),
        };
        let rules = request.rules_for_repeat(state, refusal).await?;
        let (request, parsed) = read(request, rules).await?;
        Ok((request, parsed?))
    }

    /// The rules for what was refused, but may be a repeat. An event with the key is there for good, so that nothing new
    /// is accepted under them.
    ///
    /// # Errors
    /// The refusal, where it is not only the rules' or where the key is new; the store is away.
    async fn rules_for_repeat(&self, state: &ApiState, refusal: ApiError) -> Result<AcceptanceRules, ApiError> {
        let is_of_rules = matches!(&refusal, ApiError::Validation(errors) if AcceptanceRules::are_all_of(errors));
        if !is_of_rules || state.store().event_of_key(self.caller.tenant, self.key.as_str()).await?.is_none() {
            return Err(refusal);
        }
        Ok(AcceptanceRules::NONE)
    }

    /// The body, as `parse` takes it from the fields; `None` when one that it needs fails.
    pub(crate) fn parsed<T>(&self, parse: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Result<T, ApiError> {
        let mut fields = Fields::of_body(read(&self.body)?);
        let parsed = parse(&mut fields);
        let errors = fields.finish();
        match parsed {
            Some(parsed) if errors.is_empty() => Ok(parsed),
            Some(_) | None => Err(ApiError::Validation(first_of_each_field(errors))),
        }
    }
}
