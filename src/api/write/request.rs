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
use crate::api::http::prefer::Prefer;
use crate::api::http::query::Query;
use crate::api::json::{Fields, read};
use crate::api::problem::first_of_each_field;
use crate::api::state::ApiState;
use crate::api::tenants::Tenant;
use crate::core::event::{Command, IdempotencyKey};
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

    /// The command of the body, as `parse` takes it from the fields; `None` when one that it needs fails.
    pub(crate) fn command<P>(&self, parse: P) -> Result<Command, ApiError>
    where
        P: FnOnce(&mut Fields<'_>, &AcceptanceRules) -> Option<Command>,
    {
        self.parsed(|fields| parse(fields, &self.rules))
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
