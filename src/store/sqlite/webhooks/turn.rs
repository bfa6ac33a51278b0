//! Owns the turns at endpoints: taking, recording and giving back.

use std::time::Duration;

use serde::Serialize;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::read::{decode, endpoint_columns, told};
use crate::core::ids::WebhookEndpointId;
use crate::core::time::Timestamp;
use crate::store::sqlite::beats::before;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{Hex, hex_id, json};
use crate::store::sqlite::rows::{get, id, instant};
use crate::store::{Attempt, ClaimPlan, DisabledReason, DueDelivery, EndpointHold, EndpointRecord, StoreError, Turned};

/// Where a delivery is due, or the feed goes on and not too much waits already.
pub(in crate::store::sqlite) const CLAIMABLE: &str = "
    SELECT e.id FROM webhook_endpoints AS e
    WHERE e.disabled_at IS NULL AND e.leased_to <= ?1 AND e.paused_to <= ?1
        AND (EXISTS (SELECT 1 FROM webhook_deliveries AS d WHERE d.endpoint_id = e.id AND d.next_attempt_at <= ?1)
            OR (EXISTS (SELECT 1 FROM changes AS c INDEXED BY changes_tenant
                    WHERE c.tenant = e.tenant AND (c.epoch, c.xact) >= (e.epoch, e.xact)
                        AND (c.epoch > e.epoch OR c.xact > e.xact OR json_array_length(c.seqs) > e.taken))
                AND (SELECT count(*) FROM webhook_deliveries AS d
                    WHERE d.endpoint_id = e.id AND d.next_attempt_at IS NOT NULL) < ?2))
    ORDER BY e.leased_to LIMIT ?3";

pub(in crate::store::sqlite) const CLAIM_ENDPOINTS: &str = "
    UPDATE webhook_endpoints SET holder = ?2, leased_to = ?3
    WHERE id IN (SELECT unhex(value) FROM jsonb_each(?1)) AND disabled_at IS NULL AND leased_to <= ?4
    RETURNING id";

pub(in crate::store::sqlite) const CLAIMED_ENDPOINTS: &str = concat!(
    "SELECT ",
    endpoint_columns!(),
    " FROM webhook_endpoints AS w WHERE w.id IN (SELECT unhex(value) FROM jsonb_each(?1))"
);

pub(in crate::store::sqlite) const DUE_DELIVERIES: &str = "
    SELECT event_id, event_type, attempts, created_at FROM webhook_deliveries
    WHERE endpoint_id = ?1 AND next_attempt_at <= ?2 ORDER BY next_attempt_at LIMIT ?3";

/// Renews the turn and keeps what came of it. The place moves only from where it was: a replay may have moved it.
pub(in crate::store::sqlite) const RECORD_TURN: &str = "
    UPDATE webhook_endpoints SET leased_to = ?3,
        epoch = CASE WHEN (epoch, xact, taken) = (?4, ?5, ?6) THEN ?7 ELSE epoch END,
        xact = CASE WHEN (epoch, xact, taken) = (?4, ?5, ?6) THEN ?8 ELSE xact END,
        taken = CASE WHEN (epoch, xact, taken) = (?4, ?5, ?6) THEN ?9 ELSE taken END,
        failures = coalesce(?10, failures),
        failing_since = CASE WHEN ?10 = 0 THEN NULL WHEN ?10 > 0 THEN coalesce(failing_since, ?11)
            ELSE failing_since END,
        delivered_at = CASE WHEN ?10 = 0 THEN ?11 ELSE delivered_at END,
        paused_to = coalesce(?12, paused_to),
        disabled_reason = coalesce(disabled_reason, ?13),
        disabled_at = coalesce(disabled_at, CASE WHEN ?13 IS NOT NULL THEN ?11 END)
    WHERE id = ?1 AND holder = ?2 RETURNING disabled_at IS NULL AS is_enabled";

/// One that was settled and is told again, by a replay, begins anew.
pub(in crate::store::sqlite) const UPSERT_FAILURES: &str = "
    INSERT INTO webhook_deliveries (endpoint_id, event_id, event_type, created_at, attempts, next_attempt_at,
        last_attempt_at, status, error, duration_ms)
    SELECT ?1, unhex(value ->> 'event_id'), value ->> 'event_type', ?3, 1, value ->> 'next_attempt_at', ?3,
        value ->> 'status', value ->> 'error', value ->> 'duration_ms'
    FROM jsonb_each(?2) WHERE true
    ON CONFLICT (endpoint_id, event_id, event_type) DO UPDATE
    SET attempts = CASE WHEN webhook_deliveries.next_attempt_at IS NULL THEN 1
            ELSE webhook_deliveries.attempts + 1 END,
        next_attempt_at = excluded.next_attempt_at, last_attempt_at = excluded.last_attempt_at, delivered_at = NULL,
        status = excluded.status, error = excluded.error, duration_ms = excluded.duration_ms";

pub(in crate::store::sqlite) const SETTLE_DELIVERED: &str = "
    UPDATE webhook_deliveries AS d SET attempts = d.attempts + 1, next_attempt_at = NULL, last_attempt_at = ?3,
        delivered_at = ?3, status = n.value ->> 'status', error = NULL, duration_ms = n.value ->> 'duration_ms'
    FROM jsonb_each(?2) AS n
    WHERE d.endpoint_id = ?1 AND d.event_id = unhex(n.value ->> 'event_id') AND d.event_type = n.value ->> 'event_type'";

pub(in crate::store::sqlite) const RELEASE_ENDPOINT: &str =
    "UPDATE webhook_endpoints SET leased_to = ?3, holder = NULL WHERE id = ?1 AND holder = ?2";

pub(in crate::store::sqlite) const FORGET_DELIVERIES: &str = "
    DELETE FROM webhook_deliveries
    WHERE endpoint_id = ?1 AND next_attempt_at IS NULL AND created_at < ?2 AND last_attempt_at < ?2";

/// An attempt as a row.
#[derive(Debug, Serialize)]
struct AttemptRow {
    event_id: Hex<16>,
    event_type: &'static str,
    next_attempt_at: Option<i64>,
    status: Option<u16>,
    error: Option<&'static str>,
    duration_ms: i64,
}

impl AttemptRow {
    fn new(attempt: &Attempt, now: Timestamp) -> Self {
        let pause = attempt.failure.as_ref().and_then(|failure| failure.pause);
        Self {
            event_id: hex_id(attempt.told.event_id.0),
            event_type: attempt.told.event_type.as_str(),
            next_attempt_at: pause.map(|pause| after(now, pause)),
            status: attempt.status,
            error: attempt.failure.as_ref().map(|failure| failure.error),
            duration_ms: i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX),
        }
    }
}

/// The instant so much later.
fn after(now: Timestamp, by: Duration) -> i64 {
    now.micros().saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX))
}

/// The endpoints that a turn can be taken at.
pub(super) async fn claimable(
    db: &mut SqliteConnection,
    plan: ClaimPlan,
    now: Timestamp,
) -> Result<Vec<WebhookEndpointId>, StoreError> {
    let query = sqlx::query(CLAIMABLE).bind(now.micros()).bind(plan.pending_max).bind(plan.limit);
    let rows = query.fetch_all(db).await.map_err(store_error)?;
    rows.iter().map(|row| id(row, "id").map(WebhookEndpointId)).collect()
}

/// Takes the turn at those of them that nobody has taken meanwhile.
pub(super) async fn claim(
    db: &mut SqliteConnection,
    ids: Vec<WebhookEndpointId>,
    plan: ClaimPlan,
    now: Timestamp,
) -> Result<Vec<EndpointRecord>, StoreError> {
    let query = sqlx::query(CLAIM_ENDPOINTS).bind(hex_ids(ids)?).bind(plan.worker.0).bind(after(now, plan.lease));
    let rows = query.bind(now.micros()).fetch_all(&mut *db).await.map_err(store_error)?;
    let taken = rows.iter().map(|row| id(row, "id").map(WebhookEndpointId)).collect::<Result<_, _>>()?;
    let query = sqlx::query(CLAIMED_ENDPOINTS).bind(hex_ids(taken)?);
    query.fetch_all(db).await.map_err(store_error)?.iter().map(decode).collect()
}

fn hex_ids(ids: Vec<WebhookEndpointId>) -> Result<String, StoreError> {
    json(&ids.into_iter().map(|id| hex_id(id.0)).collect::<Vec<_>>())
}

/// The deliveries whose time has come.
pub(super) async fn due(
    db: &mut SqliteConnection,
    endpoint: WebhookEndpointId,
    limit: i64,
    now: Timestamp,
) -> Result<Vec<DueDelivery>, StoreError> {
    let query = sqlx::query(DUE_DELIVERIES).bind(endpoint.0).bind(now.micros()).bind(limit);
    let due = |row: &SqliteRow| {
        let created_at = instant(row, "created_at")?;
        Ok(DueDelivery { told: told(row)?, attempts: get(row, "attempts")?, created_at })
    };
    query.fetch_all(db).await.map_err(store_error)?.iter().map(due).collect()
}

/// Keeps what came of some messages; false when the turn is lost or the endpoint disabled.
pub(super) async fn record(db: &mut SqliteConnection, turned: Turned, now: Timestamp) -> Result<bool, StoreError> {
    let query = sqlx::query(RECORD_TURN)
        .bind(turned.hold.id.0)
        .bind(turned.hold.worker.0)
        .bind(after(now, turned.lease))
        .bind(turned.from.epoch)
        .bind(turned.from.xact)
        .bind(turned.from.taken)
        .bind(turned.to.epoch)
        .bind(turned.to.xact)
        .bind(turned.to.taken)
        .bind(turned.failures)
        .bind(now.micros())
        .bind((!turned.pause.is_zero()).then(|| after(now, turned.pause)))
        .bind(turned.disabled.map(DisabledReason::as_str));
    // Whoever has the turn now does all this again.
    let Some(row) = query.fetch_optional(&mut *db).await.map_err(store_error)? else { return Ok(false) };
    let is_enabled: bool = get(&row, "is_enabled")?;
    let (failed, delivered): (Vec<&Attempt>, Vec<&Attempt>) =
        turned.attempts.iter().partition(|attempt| attempt.failure.is_some());
    for (statement, attempts) in [(UPSERT_FAILURES, failed), (SETTLE_DELIVERED, delivered)] {
        let rows: Vec<AttemptRow> = attempts.into_iter().map(|attempt| AttemptRow::new(attempt, now)).collect();
        if !rows.is_empty() {
            let query = sqlx::query(statement).bind(turned.hold.id.0).bind(json(&rows)?).bind(now.micros());
            query.execute(&mut *db).await.map_err(store_error)?;
        }
    }
    Ok(is_enabled)
}

/// Gives the turn back, and forgets what was settled long ago.
pub(super) async fn release(
    db: &mut SqliteConnection,
    hold: EndpointHold,
    forget_after: Duration,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query = sqlx::query(FORGET_DELIVERIES).bind(hold.id.0).bind(before(now, forget_after));
    query.execute(&mut *db).await.map_err(store_error)?;
    let query = sqlx::query(RELEASE_ENDPOINT).bind(hold.id.0).bind(hold.worker.0).bind(now.micros());
    query.execute(db).await.map_err(store_error).map(drop)
}
