//! Owns the keyed operations on endpoints. The one writer looks before it writes, so a refusal leaves nothing to take
//! back.

use sqlx::SqliteConnection;

use crate::core::event::NewEvent;
use crate::core::time::Timestamp;
use crate::core::webhook::WebhookType;
use crate::store::sqlite::accept::known_events;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{EventRow, json};
use crate::store::sqlite::rows::{broken, get};
use crate::store::sqlite::uploads::INSERT_UPLOAD_EVENT;
use crate::store::{EndpointRef, NewEndpoint, NewOperation, Operated, Refusal, StoreError, WebhookEffect};

/// The posting of an operation's event, with the answer.
pub(in crate::store::sqlite) const POST_OPERATION: &str = "
    INSERT INTO postings (event_seq, loan_key, outcome, accounts, amounts, layer, effective_date, booking_date,
        posted_at, answer)
    SELECT e.seq, e.loan_key, 'done', '[]', '[]', 'SETTLED', e.effective_date, e.effective_date, ?2, ?3
    FROM events AS e WHERE e.seq = ?1";

pub(in crate::store::sqlite) const ANSWER: &str = "SELECT answer FROM postings WHERE event_seq = ?1";

pub(in crate::store::sqlite) const COUNT_ENDPOINTS: &str =
    "SELECT count(*) AS count FROM webhook_endpoints WHERE tenant = ?1";

pub(in crate::store::sqlite) const ENDPOINT_OF_URL: &str =
    "SELECT count(*) AS count FROM webhook_endpoints WHERE tenant = ?1 AND url = ?2";

pub(in crate::store::sqlite) const INSERT_ENDPOINT: &str = "
    INSERT INTO webhook_endpoints (id, tenant, created_at, url, description, event_types, secret, epoch, xact, taken)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

pub(in crate::store::sqlite) const ROTATE_SECRET: &str = "
    UPDATE webhook_endpoints SET previous_secret = secret, previous_until = ?4, secret = ?3
    WHERE id = ?1 AND tenant = ?2";

pub(in crate::store::sqlite) const DISABLE_ENDPOINT: &str = "
    UPDATE webhook_endpoints SET disabled_at = coalesce(disabled_at, ?3),
        disabled_reason = coalesce(disabled_reason, 'requested')
    WHERE id = ?1 AND tenant = ?2";

pub(in crate::store::sqlite) const ENABLE_ENDPOINT: &str = "
    UPDATE webhook_endpoints SET disabled_at = NULL, disabled_reason = NULL, failures = 0, failing_since = NULL,
        paused_to = 0
    WHERE id = ?1 AND tenant = ?2";

pub(in crate::store::sqlite) const WAKE_ENDPOINT: &str =
    "UPDATE webhook_endpoints SET paused_to = 0 WHERE id = ?1 AND tenant = ?2";

/// A ping is a delivery that is due at once.
pub(in crate::store::sqlite) const INSERT_PING: &str = "
    INSERT INTO webhook_deliveries (endpoint_id, event_id, event_type, created_at, attempts, next_attempt_at)
    VALUES (?1, ?2, ?3, ?4, 0, ?4)";

/// Back, never forward.
pub(in crate::store::sqlite) const REWIND_ENDPOINT: &str = "
    UPDATE webhook_endpoints SET paused_to = 0,
        epoch = CASE WHEN (epoch, xact, taken) > (?3, ?4, ?5) THEN ?3 ELSE epoch END,
        xact = CASE WHEN (epoch, xact, taken) > (?3, ?4, ?5) THEN ?4 ELSE xact END,
        taken = CASE WHEN (epoch, xact, taken) > (?3, ?4, ?5) THEN ?5 ELSE taken END
    WHERE id = ?1 AND tenant = ?2";

/// Does an operation; see [`crate::store::WebhookStore::operate_webhook`].
pub(super) async fn operate(
    db: &mut SqliteConnection,
    operation: NewOperation,
    now: Timestamp,
) -> Result<Operated, StoreError> {
    let event = &operation.event;
    if let Some(known) = known_events(db, &[event]).await?.remove(&event.key_hash) {
        let query = sqlx::query(ANSWER).bind(known.event.seq.0);
        let row = query.fetch_optional(db).await.map_err(store_error)?;
        let answer = row.as_ref().map(|row| get(row, "answer")).transpose()?.flatten();
        return Ok(Operated::Known(Box::new(known), answer));
    }
    if let Some(refusal) = refusal(db, event, &operation.effect).await? {
        return Ok(Operated::Refused(refusal));
    }
    let insert = sqlx::query_with(INSERT_UPLOAD_EVENT, EventRow { event, accepted_at: now }.alone()?);
    let row = insert.fetch_one(&mut *db).await.map_err(store_error)?;
    let seq: i64 = get(&row, "seq")?;
    take_effect(db, event, &operation.effect, now).await?;
    let post = sqlx::query(POST_OPERATION).bind(seq).bind(now.micros()).bind(operation.answer);
    post.execute(db).await.map_err(store_error)?;
    Ok(Operated::Done)
}

async fn refusal(
    db: &mut SqliteConnection,
    event: &NewEvent,
    effect: &WebhookEffect,
) -> Result<Option<Refusal>, StoreError> {
    let id = match effect {
        WebhookEffect::Create(endpoint) => {
            let query = sqlx::query(ENDPOINT_OF_URL).bind(event.tenant.0).bind(endpoint.url.clone());
            let of_url: i64 = get(&query.fetch_one(&mut *db).await.map_err(store_error)?, "count")?;
            let query = sqlx::query(COUNT_ENDPOINTS).bind(event.tenant.0);
            let all: i64 = get(&query.fetch_one(db).await.map_err(store_error)?, "count")?;
            let too_many = (all >= endpoint.endpoints_max).then_some(Refusal::TooMany);
            return Ok((of_url > 0).then_some(Refusal::Taken).or(too_many));
        }
        WebhookEffect::Rotate { endpoint, .. }
        | WebhookEffect::Disable { endpoint }
        | WebhookEffect::Enable { endpoint }
        | WebhookEffect::Ping { endpoint }
        | WebhookEffect::Rewind { endpoint, .. } => *endpoint,
    };
    let found = super::read::endpoint(db, EndpointRef { tenant: event.tenant, id }).await?;
    Ok(found.is_none().then_some(Refusal::Missing))
}

async fn take_effect(
    db: &mut SqliteConnection,
    event: &NewEvent,
    effect: &WebhookEffect,
    now: Timestamp,
) -> Result<(), StoreError> {
    let tenant = event.tenant.0;
    let query = match effect {
        WebhookEffect::Create(endpoint) => return create(db, event, endpoint).await,
        WebhookEffect::Rotate { endpoint, secret, overlap } => {
            let overlap = i64::try_from(overlap.as_micros()).unwrap_or(i64::MAX);
            let until = now.micros().saturating_add(overlap);
            sqlx::query(ROTATE_SECRET).bind(endpoint.0).bind(tenant).bind(secret.clone()).bind(until)
        }
        WebhookEffect::Disable { endpoint } => {
            sqlx::query(DISABLE_ENDPOINT).bind(endpoint.0).bind(tenant).bind(now.micros())
        }
        WebhookEffect::Enable { endpoint } => sqlx::query(ENABLE_ENDPOINT).bind(endpoint.0).bind(tenant),
        WebhookEffect::Ping { endpoint } => {
            let ping = sqlx::query(INSERT_PING).bind(endpoint.0).bind(event.id.0).bind(WebhookType::Ping.as_str());
            ping.bind(now.micros()).execute(&mut *db).await.map_err(store_error)?;
            sqlx::query(WAKE_ENDPOINT).bind(endpoint.0).bind(tenant)
        }
        WebhookEffect::Rewind { endpoint, to } => {
            let query = sqlx::query(REWIND_ENDPOINT).bind(endpoint.0).bind(tenant);
            query.bind(to.epoch).bind(to.xact).bind(to.taken)
        }
    };
    let is_there = query.execute(db).await.map_err(store_error)?.rows_affected() == 1;
    is_there.then_some(()).ok_or_else(|| broken("an endpoint went between two looks of the one writer"))
}

async fn create(db: &mut SqliteConnection, event: &NewEvent, endpoint: &NewEndpoint) -> Result<(), StoreError> {
    let insert = sqlx::query(INSERT_ENDPOINT)
        .bind(event.id.0)
        .bind(event.tenant.0)
        .bind(endpoint.created_at.micros())
        .bind(endpoint.url.clone())
        .bind(endpoint.description.clone())
        .bind(json(&endpoint.event_types)?)
        .bind(endpoint.secret.clone())
        .bind(endpoint.place.epoch)
        .bind(endpoint.place.xact)
        .bind(endpoint.place.taken);
    insert.execute(db).await.map_err(store_error).map(drop)
}
