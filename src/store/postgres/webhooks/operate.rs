//! Owns the keyed operations on endpoints.

use sqlx::{Connection, PgConnection};

use crate::core::event::NewEvent;
use crate::core::ids::WebhookEndpointId;
use crate::core::webhook::WebhookType;
use crate::store::postgres::accept::{Accepted, read_known};
use crate::store::postgres::connect::{BEGIN, PostgresStore, finish};
use crate::store::postgres::error::classify;
use crate::store::postgres::intake_rows::{EventColumns, Prepared};
use crate::store::postgres::processes::interval;
use crate::store::postgres::rows::{Columns, key_column};
use crate::store::postgres::uploads::INSERT_UPLOAD_EVENT;
use crate::store::{NewEndpoint, NewOperation, Operated, Refusal, StoreError, WebhookEffect};

/// The posting of an operation's event, with the answer.
pub(super) const POST_OPERATION: &str = "INSERT INTO postings (event_seq, loan_key, outcome, accounts, amounts, \
     layer, effective_date, booking_date, posted_at, answer) \
     VALUES ($1, $2, 'done', '{}', '{}', 'SETTLED', $3, $3, clock_timestamp(), $4)";

pub(super) const READ_ANSWER: &str = "SELECT answer FROM postings WHERE event_seq = $1";

/// Two at once may go one beyond the limit, which keeps a tenant's fan-out in bounds and nothing else.
pub(super) const INSERT_ENDPOINT: &str = "INSERT INTO webhook_endpoints (id, tenant, created_at, url, description, \
     event_types, secret, epoch, xact, taken) SELECT $1, $2, $11, $3, $4, $5, $6, $7, $8, $9 \
     WHERE (SELECT count(*) FROM webhook_endpoints WHERE tenant = $2) < $10 ON CONFLICT (tenant, url) DO NOTHING";

pub(super) const ENDPOINT_OF_URL: &str = "SELECT id FROM webhook_endpoints WHERE tenant = $1 AND url = $2";

pub(super) const ROTATE_SECRET: &str = "UPDATE webhook_endpoints SET previous_secret = secret, \
     previous_until = clock_timestamp() + $4::interval, secret = $3 WHERE id = $1 AND tenant = $2";

pub(super) const DISABLE_ENDPOINT: &str = "UPDATE webhook_endpoints \
     SET disabled_reason = coalesce(disabled_reason, 'requested'), disabled_at = coalesce(disabled_at, \
     clock_timestamp()) WHERE id = $1 AND tenant = $2";

pub(super) const ENABLE_ENDPOINT: &str = "UPDATE webhook_endpoints SET disabled_at = NULL, disabled_reason = NULL, \
     failures = 0, failing_since = NULL, paused_to = '-infinity' WHERE id = $1 AND tenant = $2";

/// A ping is a delivery that is due at once; a pause ends with it.
pub(super) const INSERT_PING: &str = "WITH woken AS (UPDATE webhook_endpoints SET paused_to = '-infinity' \
     WHERE id = $1 AND tenant = $2 RETURNING id) INSERT INTO webhook_deliveries (endpoint_id, event_id, event_type, \
     created_at, attempts, next_attempt_at) SELECT id, $3, $4, clock_timestamp(), 0, clock_timestamp() FROM woken";

/// Back, never forward.
pub(super) const REWIND_ENDPOINT: &str = "UPDATE webhook_endpoints SET paused_to = '-infinity', \
     epoch = CASE WHEN (epoch, xact, taken) > ($3, $4, $5) THEN $3 ELSE epoch END, \
     xact = CASE WHEN (epoch, xact, taken) > ($3, $4, $5) THEN $4 ELSE xact END, \
     taken = CASE WHEN (epoch, xact, taken) > ($3, $4, $5) THEN $5 ELSE taken END WHERE id = $1 AND tenant = $2";

impl PostgresStore {
    pub(super) async fn operate(&self, operation: NewOperation) -> Result<Operated, StoreError> {
        let mut connection = self.connection().await?;
        let mut transaction = connection.begin_with(BEGIN).await.map_err(classify)?;
        match operate(&mut transaction, &operation).await {
            Ok(Operated::Done) => finish(transaction, Ok(Operated::Done)).await,
            // Nothing of it stays.
            Ok(other) => transaction.rollback().await.map_err(classify).map(|()| other),
            Err(error) => finish(transaction, Err(error)).await,
        }
    }
}

async fn operate(connection: &mut PgConnection, operation: &NewOperation) -> Result<Operated, StoreError> {
    let event = &operation.event;
    let query = EventColumns::of([event]).bind(sqlx::query(INSERT_UPLOAD_EVENT));
    let Some(row) = query.fetch_optional(&mut *connection).await.map_err(classify)? else {
        return known(connection, event).await;
    };
    let seq: i64 = Columns::of(&row).take()?;
    if let Some(refusal) = take_effect(connection, event, &operation.effect).await? {
        return Ok(Operated::Refused(refusal));
    }
    let post = sqlx::query(POST_OPERATION)
        .bind(seq)
        .bind(key_column(event.loan_key))
        .bind(event.command.effective_date())
        .bind(operation.answer.as_slice());
    post.execute(connection).await.map_err(classify)?;
    Ok(Operated::Done)
}

async fn known(connection: &mut PgConnection, event: &NewEvent) -> Result<Operated, StoreError> {
    let events = std::slice::from_ref(event);
    let known = read_known(connection, events, &Accepted::new()).await?.remove(&event.key_hash.bytes());
    let known = known.ok_or_else(|| StoreError::Broken(format!("operation {} was refused for no row", event.id)))?;
    let query = sqlx::query(READ_ANSWER).bind(known.event.seq.0);
    let row = query.fetch_optional(connection).await.map_err(classify)?;
    let answer = row.as_ref().map(|row| Columns::of(row).take()).transpose()?.flatten();
    Ok(Operated::Known(Box::new(known), answer))
}

async fn take_effect(
    connection: &mut PgConnection,
    event: &NewEvent,
    effect: &WebhookEffect,
) -> Result<Option<Refusal>, StoreError> {
    let of = |statement: &'static str, endpoint: &WebhookEndpointId| -> Prepared<'_> {
        sqlx::query(statement).bind(endpoint.0).bind(event.tenant.0)
    };
    let query = match effect {
        WebhookEffect::Create(endpoint) => return create(connection, event, endpoint).await,
        WebhookEffect::Rotate { endpoint, secret, overlap } => {
            of(ROTATE_SECRET, endpoint).bind(secret.as_slice()).bind(interval(*overlap)?)
        }
        WebhookEffect::Disable { endpoint } => of(DISABLE_ENDPOINT, endpoint),
        WebhookEffect::Enable { endpoint } => of(ENABLE_ENDPOINT, endpoint),
        WebhookEffect::Ping { endpoint } => of(INSERT_PING, endpoint).bind(event.id.0).bind(WebhookType::Ping.as_str()),
        WebhookEffect::Rewind { endpoint, to } => {
            of(REWIND_ENDPOINT, endpoint).bind(to.epoch).bind(to.xact).bind(to.taken)
        }
    };
    let done = query.execute(connection).await.map_err(classify)?;
    Ok((done.rows_affected() == 0).then_some(Refusal::Missing))
}

async fn create(
    connection: &mut PgConnection,
    event: &NewEvent,
    endpoint: &NewEndpoint,
) -> Result<Option<Refusal>, StoreError> {
    let insert = sqlx::query(INSERT_ENDPOINT)
        .bind(event.id.0)
        .bind(event.tenant.0)
        .bind(endpoint.url.as_str())
        .bind(endpoint.description.as_deref())
        .bind(endpoint.event_types.iter().map(|told| told.as_str()).collect::<Vec<_>>())
        .bind(endpoint.secret.as_slice())
        .bind(endpoint.place.epoch)
        .bind(endpoint.place.xact)
        .bind(endpoint.place.taken)
        .bind(endpoint.endpoints_max)
        .bind(endpoint.created_at.utc());
    if insert.execute(&mut *connection).await.map_err(classify)?.rows_affected() == 1 {
        return Ok(None);
    }
    let query = sqlx::query(ENDPOINT_OF_URL).bind(event.tenant.0).bind(endpoint.url.as_str());
    let taken = query.fetch_optional(connection).await.map_err(classify)?;
    Ok(Some(if taken.is_some() { Refusal::Taken } else { Refusal::TooMany }))
}
