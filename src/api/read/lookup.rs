//! Owns `POST /v1/payments/lookup`: the status of thousands of payments in one call. A read; it needs no
//! Idempotency-Key.
//!
//! The read is one statement (10,000 payments on PostgreSQL 15: 100 ms), the JSON of request and answer is read and
//! written on threads of its own, and few lookups are under way at once, so that pollers do not crowd out posting.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::hash::Hash;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::body::read_body_of;
use crate::api::http::headers::require_json;
use crate::api::http::heavy::{json_of, off_the_runtime};
use crate::api::http::query::Query;
use crate::api::json::{Fields, read};
use crate::api::openapi::ProblemDocument;
use crate::api::problem::{FieldError, first_of_each_field};
use crate::api::read::status::EventView;
use crate::api::state::ApiState;
use crate::core::event::IdempotencyKey;
use crate::core::ids::{EventId, TenantId};
use crate::store::{EventStatus, Store};

const SCOPES: &[Scope] = &[Scope::LedgerRead, Scope::PaymentsWrite];

/// The most payments of one lookup.
const ASKED_MAX: usize = 10_000;
/// The most bytes of a body: 10,000 of the longest keys, each in quotes with a comma and a blank, are 2.6 MB.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A body with more parts between commas than this is not read in full: it names twice as many payments as there may
/// be, and every value costs memory many times its bytes.
const PARTS_MAX: usize = 2 * ASKED_MAX;

/// The payments to look up: by `ids` or by `idempotency_keys`, exactly one of them.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"ids": ["aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa", "cccccccc-cccc-cccc-cccc-cccccccccccc"]}))]
pub struct LookupRequest {
    /// Payments by their ids.
    #[schema(min_items = 1, max_items = 10_000)]
    pub ids: Option<Vec<uuid::Uuid>>,
    /// Payments by their keys.
    #[schema(min_items = 1, max_items = 10_000)]
    pub idempotency_keys: Option<Vec<String>>,
}

/// The payments found, in the order asked for. One that was asked for twice is answered once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"items": [{"payment_event_id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa", "status": "posted",
    "event_type": "payment_received", "loan_id": "11111111-1111-1111-1111-111111111111",
    "borrower_id": "22222222-2222-2222-2222-222222222222", "amount_minor": "88849", "currency": "USD",
    "effective_at": "2026-05-01", "source_method": "ach", "idempotency_key": "payment:loan_42:proc_txn_abc123",
    "accepted_at": "2026-05-01T12:00:00Z", "journal_entry_id": "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb",
    "allocation": {"fees_minor": "500", "interest_minor": "10000", "principal_minor": "78349",
    "suspense_minor": "0"}, "posted_at": "2026-05-01T12:00:00Z"}],
    "not_found": ["cccccccc-cccc-cccc-cccc-cccccccccccc"]}))]
pub struct LookupAnswer {
    /// Their status, without `position`.
    items: Vec<EventView>,
    /// What your tenant has no payment of, in the order asked for.
    not_found: Vec<String>,
}

/// How many lookups there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupLimits {
    /// The most under way at once. The largest holds about 30 MB, and a connection for 100 ms.
    pub at_once: usize,
    /// How long one waits for its turn.
    pub within: Duration,
}

impl Default for LookupLimits {
    fn default() -> Self {
        Self { at_once: 8, within: Duration::from_secs(5) }
    }
}

/// Who may look up now.
#[derive(Debug)]
pub(crate) struct Turns {
    free: Semaphore,
    within: Duration,
}

impl Turns {
    /// So many turns.
    pub(crate) fn new(limits: LookupLimits) -> Self {
        Self { free: Semaphore::new(limits.at_once), within: limits.within }
    }

    async fn take(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        let turn = tokio::time::timeout(self.within, self.free.acquire()).await;
        turn.ok().and_then(Result::ok).ok_or(ApiError::Overloaded)
    }
}

/// Looks up the status of up to 10,000 payments.
#[utoipa::path(post, path = "/v1/payments/lookup", tag = "payments", security(("oauth2" = ["hpts:ledger:read"])),
    request_body = LookupRequest,
    responses((status = 200, description = "What was found and what was not", body = LookupAnswer),
        (status = 400, description = "Not JSON", body = ProblemDocument),
        (status = 413, description = "More than 4 MiB", body = ProblemDocument),
        (status = 422, description = "Not valid; every bad value is named, such as ids.3", body = ProblemDocument),
        (status = 503, description = "Try again", body = ProblemDocument)))]
pub(crate) async fn lookup_payments(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let caller = state.caller(&parts.headers, SCOPES).await?;
    require_json(&parts.headers)?;
    Query::of(&parts.uri)?.finish()?;
    let body = read_body_of(&parts.headers, body, BODY_BYTES_MAX).await?;
    let _turn = state.lookups().take().await?;
    let asked = off_the_runtime(move || Asked::read(&body)).await??;
    let found = asked.find(state.store(), caller.tenant).await?;
    json_of(move || serde_json::to_vec(&asked.answer(found))).await
}

/// What is asked for, each once.
#[derive(Debug)]
enum Asked {
    Ids(Vec<EventId>),
    Keys(Vec<IdempotencyKey>),
}

impl Asked {
    fn read(body: &[u8]) -> Result<Self, ApiError> {
        if parts(body) > PARTS_MAX {
            let message = "the body must name at most 10,000 payments";
            return Err(ApiError::Validation(vec![FieldError::new("", "too_many", message)]));
        }
        let mut fields = Fields::of_body(read(body)?);
        let is_given = [fields.has("ids"), fields.has("idempotency_keys")];
        let ids = fields.list("ids", ASKED_MAX, EventId::parse);
        let keys = fields.list("idempotency_keys", ASKED_MAX, IdempotencyKey::parse);
        match is_given {
            [true, true] => fields.fail("idempotency_keys", "combination", "must not stand beside ids"),
            [false, false] => fields.fail("ids", "required", "or idempotency_keys is required"),
            [true, false] | [false, true] => {}
        }
        let errors = fields.finish();
        match (ids, keys) {
            (Some(ids), None) if errors.is_empty() => Ok(Self::Ids(each_once(ids))),
            (None, Some(keys)) if errors.is_empty() => Ok(Self::Keys(each_once(keys))),
            (Some(_) | None, _) => Err(ApiError::Validation(first_of_each_field(errors))),
        }
    }

    async fn find(&self, store: &dyn Store, tenant: TenantId) -> Result<Vec<EventStatus>, ApiError> {
        let found = match self {
            Self::Ids(ids) => store.statuses_of_ids(tenant, ids.clone()).await?,
            Self::Keys(keys) => store.statuses_of_keys(tenant, keys.clone()).await?,
        };
        Ok(found)
    }

    fn answer(&self, found: Vec<EventStatus>) -> LookupAnswer {
        match self {
            Self::Ids(ids) => in_order(ids, found, |event| Some(event.id)),
            Self::Keys(keys) => in_order(keys, found, |event| event.key.clone()),
        }
    }
}

/// What was found in the order it was asked for, and what was not found.
fn in_order<K: Eq + Hash + Display>(
    asked: &[K],
    found: Vec<EventStatus>,
    name: impl Fn(&EventStatus) -> Option<K>,
) -> LookupAnswer {
    let mut found: HashMap<K, EventStatus> =
        found.into_iter().filter_map(|event| Some((name(&event)?, event))).collect();
    let mut answer = LookupAnswer { items: Vec::with_capacity(found.len()), not_found: Vec::new() };
    for asked in asked {
        match found.remove(asked) {
            Some(event) => answer.items.push(EventView::new(&event, None)),
            None => answer.not_found.push(asked.to_string()),
        }
    }
    answer
}

fn each_once<T: Clone + Eq + Hash>(mut values: Vec<T>) -> Vec<T> {
    let mut seen = HashSet::with_capacity(values.len());
    values.retain(|value| seen.insert(value.clone()));
    values
}

/// How many parts commas make; no key and no id has one.
fn parts(body: &[u8]) -> usize {
    body.split(|byte| *byte == b',').count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "11111111-1111-1111-1111-111111111111";

    fn failing(body: &serde_json::Value) -> Vec<String> {
        match Asked::read(body.to_string().as_bytes()) {
            Err(ApiError::Validation(errors)) => errors.into_iter().map(|error| error.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn exactly_one_list_is_taken_and_each_value_once() {
        let Asked::Ids(ids) = Asked::read(json!({"ids": [ID, ID]}).to_string().as_bytes()).unwrap() else { panic!() };
        assert_eq!(ids, [EventId::parse(ID).unwrap()]);
        let body = json!({"idempotency_keys": ["payment:2", "payment:1", "payment:2"], "ids": null});
        let Asked::Keys(keys) = Asked::read(body.to_string().as_bytes()).unwrap() else { panic!() };
        assert_eq!(keys.iter().map(IdempotencyKey::as_str).collect::<Vec<_>>(), ["payment:2", "payment:1"]);
    }

    #[test]
    fn every_bad_value_is_named() {
        let many: Vec<String> = (0..=ASKED_MAX).map(|number| format!("payment:{number}")).collect();
        let cases = [
            (json!({}), vec!["ids"]),
            (json!([]), vec!["", "ids"]),
            (json!({"ids": null, "idempotency_keys": null}), vec!["ids"]),
            (json!({"ids": [ID], "idempotency_keys": ["payment:1"]}), vec!["idempotency_keys"]),
            (json!({"ids": []}), vec!["ids"]),
            (json!({"ids": ID}), vec!["ids"]),
            (json!({"ids": {"0": ID}}), vec!["ids"]),
            (json!({"ids": [ID, 5, "x", ID, null, "a\u{0}"]}), vec!["ids.5", "ids.1", "ids.2", "ids.4"]),
            (json!({"idempotency_keys": ["short", "payment:1", ""]}), vec!["idempotency_keys.0", "idempotency_keys.2"]),
            (json!({"idempotency_keys": many}), vec!["idempotency_keys"]),
            (json!({"ids": [ID], "wait": 5}), vec!["wait"]),
        ];
        for (body, expected) in cases {
            assert_eq!(failing(&body), expected, "{:.100}", body.to_string());
        }
        let most: Vec<String> = (0..ASKED_MAX).map(|number| format!("payment:{number}")).collect();
        assert!(Asked::read(json!({"idempotency_keys": most}).to_string().as_bytes()).is_ok());
        assert!(matches!(Asked::read(b"{"), Err(ApiError::MalformedJson(_))));
    }

    #[tokio::test]
    async fn so_many_lookups_are_under_way_and_the_next_waits() {
        let turns = Turns::new(LookupLimits::default());
        let mut held = Vec::new();
        for _ in 0..LookupLimits::default().at_once {
            held.push(turns.take().await.unwrap());
        }
        assert!(tokio::time::timeout(Duration::from_millis(50), turns.take()).await.is_err());
        let (next, ()) = tokio::join!(turns.take(), async { held.truncate(1) });
        assert!(next.is_ok());
    }

    #[test]
    fn a_body_of_a_million_values_is_refused_unread() {
        let body = format!("{{\"ids\":[{}0]}}", "0,".repeat(1_000_000));
        let Err(ApiError::Validation(errors)) = Asked::read(body.as_bytes()) else { panic!() };
        assert_eq!((errors.len(), errors[0].code), (1, "too_many"));
    }
}
