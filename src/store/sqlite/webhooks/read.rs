//! Owns the reads of endpoints and deliveries.

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::core::ids::{EventId, TenantId, WebhookEndpointId};
use crate::core::time::Timestamp;
use crate::core::webhook::WebhookType;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::rows::{broken, bytes, get, id, instant, tenant as tenant_of, word};
use crate::store::{
    ChangePlace, DeliveryRecord, Disabled, DisabledReason, EndpointRecord, EndpointRef, StoreError, Told,
};

/// How many rows of the feed are looked at together on the way back.
const PLACES_AT_ONCE: i64 = 1000;

/// The columns that [`decode`] reads, of `webhook_endpoints AS w`. A macro, because `concat!` joins literals only.
macro_rules! endpoint_columns {
    () => {
        "w.id, w.tenant, w.created_at, w.url, w.description, w.event_types, w.secret, w.previous_secret,
        w.previous_until, w.disabled_at, w.disabled_reason, w.epoch, w.xact, w.taken, w.failures, w.failing_since,
        w.delivered_at, (SELECT count(*) FROM (SELECT 1 FROM webhook_deliveries AS d WHERE d.endpoint_id = w.id
            AND d.next_attempt_at IS NOT NULL LIMIT 10000)) AS pending"
    };
}
pub(super) use endpoint_columns;

pub(in crate::store::sqlite) const ENDPOINTS: &str =
    concat!("SELECT ", endpoint_columns!(), " FROM webhook_endpoints AS w WHERE w.tenant = ?1 ORDER BY w.id");

pub(in crate::store::sqlite) const ENDPOINT: &str =
    concat!("SELECT ", endpoint_columns!(), " FROM webhook_endpoints AS w WHERE w.id = ?2 AND w.tenant = ?1");

pub(in crate::store::sqlite) const DELIVERIES: &str = "
    SELECT d.event_id, d.event_type, d.attempts, d.created_at, d.last_attempt_at, d.next_attempt_at, d.delivered_at,
        d.status, d.error, d.duration_ms
    FROM webhook_endpoints AS w JOIN webhook_deliveries AS d ON d.endpoint_id = w.id
    WHERE w.id = ?2 AND w.tenant = ?1 ORDER BY d.created_at DESC, d.event_id DESC LIMIT ?3";

/// Rows of the feed, last first, with when their first event was finished.
pub(in crate::store::sqlite) const PLACES: &str = "
    SELECT c.epoch, c.xact, p.posted_at
    FROM (SELECT epoch, xact, seqs FROM changes INDEXED BY changes_tenant
        WHERE tenant = ?1 AND (epoch, xact) < (?2, ?3) ORDER BY epoch DESC, xact DESC LIMIT ?4) AS c
    JOIN postings AS p ON p.event_seq = c.seqs ->> 0
    ORDER BY c.epoch DESC, c.xact DESC";

/// A tenant's endpoints, oldest first.
pub(super) async fn endpoints(db: &mut SqliteConnection, tenant: TenantId) -> Result<Vec<EndpointRecord>, StoreError> {
    sqlx::query(ENDPOINTS).bind(tenant.0).fetch_all(db).await.map_err(store_error)?.iter().map(decode).collect()
}

/// An endpoint.
pub(super) async fn endpoint(db: &mut SqliteConnection, of: EndpointRef) -> Result<Option<EndpointRecord>, StoreError> {
    let query = sqlx::query(ENDPOINT).bind(of.tenant.0).bind(of.id.0);
    query.fetch_optional(db).await.map_err(store_error)?.as_ref().map(decode).transpose()
}

/// The newest deliveries of an endpoint.
pub(super) async fn deliveries(
    db: &mut SqliteConnection,
    of: EndpointRef,
    limit: i64,
) -> Result<Vec<DeliveryRecord>, StoreError> {
    let query = sqlx::query(DELIVERIES).bind(of.tenant.0).bind(of.id.0).bind(limit);
    query.fetch_all(db).await.map_err(store_error)?.iter().map(delivery).collect()
}

/// The place before everything that was finished then or later.
pub(super) async fn place_before(
    db: &mut SqliteConnection,
    tenant: TenantId,
    since: Timestamp,
) -> Result<ChangePlace, StoreError> {
    let mut first = ChangePlace { epoch: i32::MAX, xact: i64::MAX, taken: i32::MAX };
    let mut reached = first;
    loop {
        let query = sqlx::query(PLACES).bind(tenant.0).bind(reached.epoch).bind(reached.xact).bind(PLACES_AT_ONCE);
        let rows = query.fetch_all(&mut *db).await.map_err(store_error)?;
        let rows: Vec<(ChangePlace, Timestamp)> = rows.iter().map(finished_at).collect::<Result<_, _>>()?;
        let later = rows.iter().rev().find(|(_, at)| *at >= since);
        match (later, rows.last()) {
            (Some((place, _)), Some((last, _))) => (first, reached) = (*place, *last),
            // A whole page is older, and the feed's order is that of time.
            (None, _) | (_, None) => return Ok(first),
        }
    }
}

fn finished_at(row: &SqliteRow) -> Result<(ChangePlace, Timestamp), StoreError> {
    let place = ChangePlace { epoch: get(row, "epoch")?, xact: get(row, "xact")?, taken: 0 };
    Ok((place, instant(row, "posted_at")?))
}

/// What a row tells.
pub(super) fn told(row: &SqliteRow) -> Result<Told, StoreError> {
    Ok(Told { event_id: EventId(Uuid::from_bytes(bytes(row, "event_id")?)), event_type: word(row, "event_type")? })
}

fn optional_instant(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>, StoreError> {
    get::<Option<i64>>(row, column)?
        .map(|micros| Timestamp::from_micros(micros).ok_or_else(|| broken(column)))
        .transpose()
}

fn delivery(row: &SqliteRow) -> Result<DeliveryRecord, StoreError> {
    Ok(DeliveryRecord {
        told: told(row)?,
        attempts: get(row, "attempts")?,
        created_at: instant(row, "created_at")?,
        last_attempt_at: optional_instant(row, "last_attempt_at")?,
        next_attempt_at: optional_instant(row, "next_attempt_at")?,
        delivered_at: optional_instant(row, "delivered_at")?,
        status: get(row, "status")?,
        error: get(row, "error")?,
        duration_ms: get(row, "duration_ms")?,
    })
}

/// Reads [`endpoint_columns`].
pub(super) fn decode(row: &SqliteRow) -> Result<EndpointRecord, StoreError> {
    let event_types: Vec<WebhookType> =
        serde_json::from_str(get(row, "event_types")?).map_err(|_| broken("event_types"))?;
    let previous: Option<Vec<u8>> = get(row, "previous_secret")?;
    let reason: Option<&str> = get(row, "disabled_reason")?;
    let reason = reason.map(|word| DisabledReason::parse(word).ok_or_else(|| broken("disabled_reason"))).transpose()?;
    let disabled_at = optional_instant(row, "disabled_at")?;
    Ok(EndpointRecord {
        id: WebhookEndpointId(id(row, "id")?),
        tenant: tenant_of(row)?,
        created_at: instant(row, "created_at")?,
        url: get(row, "url")?,
        description: get(row, "description")?,
        event_types,
        secret: get(row, "secret")?,
        previous_secret: previous.zip(optional_instant(row, "previous_until")?),
        disabled: disabled_at.zip(reason).map(|(at, reason)| Disabled { at, reason }),
        place: ChangePlace { epoch: get(row, "epoch")?, xact: get(row, "xact")?, taken: get(row, "taken")? },
        failures: get(row, "failures")?,
        failing_since: optional_instant(row, "failing_since")?,
        delivered_at: optional_instant(row, "delivered_at")?,
        pending: get(row, "pending")?,
    })
}
