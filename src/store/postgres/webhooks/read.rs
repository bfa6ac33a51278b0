//! Owns the reads of endpoints and deliveries.

use sqlx::postgres::PgRow;

use crate::core::ids::{EventId, TenantId, WebhookEndpointId};
use crate::core::time::Timestamp;
use crate::core::webhook::WebhookType;
use crate::store::postgres::connect::PostgresStore;
use crate::store::postgres::poller_reads::place;
use crate::store::postgres::rows::{Columns, broken};
use crate::store::{
    ChangePlace, DeliveryRecord, Disabled, DisabledReason, EndpointRecord, EndpointRef, StoreError, Told,
};

/// How many rows of the feed are looked at together on the way back.
const PLACES_AT_ONCE: i64 = 1000;

/// The columns that [`endpoint`] reads, of `webhook_endpoints AS w`. A macro, because `concat!` joins literals only.
macro_rules! endpoint_columns {
    () => {
        "w.id, w.tenant, w.created_at, w.url, w.description, w.event_types, w.secret, w.previous_secret, \
         w.previous_until, w.disabled_at, w.disabled_reason, w.epoch, w.xact, w.taken, w.failures, w.failing_since, \
         w.delivered_at, (SELECT count(*) FROM (SELECT FROM webhook_deliveries d WHERE d.endpoint_id = w.id \
         AND d.next_attempt_at IS NOT NULL LIMIT 10000) AS waiting)"
    };
}
pub(super) use endpoint_columns;

pub(super) const READ_ENDPOINTS: &str =
    concat!("SELECT ", endpoint_columns!(), " FROM webhook_endpoints w WHERE w.tenant = $1 ORDER BY w.id");

pub(super) const READ_ENDPOINT: &str =
    concat!("SELECT ", endpoint_columns!(), " FROM webhook_endpoints w WHERE w.id = $2 AND w.tenant = $1");

pub(super) const READ_DELIVERIES: &str = "SELECT d.event_id, d.event_type, d.attempts, d.created_at, \
     d.last_attempt_at, d.next_attempt_at, d.delivered_at, d.status, d.error, d.duration_ms \
     FROM webhook_endpoints w JOIN webhook_deliveries d ON d.endpoint_id = w.id \
     WHERE w.id = $2 AND w.tenant = $1 ORDER BY d.created_at DESC, d.event_id DESC LIMIT $3";

/// Rows of the feed, last first, with when their first event was finished.
pub(super) const READ_PLACES: &str = "SELECT c.epoch, c.xact, 0, p.posted_at FROM (SELECT t.epoch, t.xact, t.seqs \
     FROM changes t WHERE t.tenant = $1 AND (t.epoch, t.xact) < ($2, $3) ORDER BY t.epoch DESC, t.xact DESC \
     LIMIT $4) AS c LEFT JOIN postings p ON p.event_seq = c.seqs[1] ORDER BY c.epoch DESC, c.xact DESC";

impl PostgresStore {
    pub(super) async fn read_endpoints(&self, tenant: TenantId) -> Result<Vec<EndpointRecord>, StoreError> {
        self.many(sqlx::query(READ_ENDPOINTS).bind(tenant.0), endpoint).await
    }

    pub(super) async fn read_endpoint(&self, of: EndpointRef) -> Result<Option<EndpointRecord>, StoreError> {
        let query = sqlx::query(READ_ENDPOINT).bind(of.tenant.0).bind(of.id.0);
        self.many(query, endpoint).await.map(|mut found| found.pop())
    }

    pub(super) async fn read_deliveries(&self, of: EndpointRef, limit: i64) -> Result<Vec<DeliveryRecord>, StoreError> {
        let query = sqlx::query(READ_DELIVERIES).bind(of.tenant.0).bind(of.id.0).bind(limit);
        self.many(query, delivery).await
    }

    pub(super) async fn find_place(&self, tenant: TenantId, since: Timestamp) -> Result<ChangePlace, StoreError> {
        let mut first = ChangePlace { epoch: i32::MAX, xact: i64::MAX, taken: i32::MAX };
        let mut reached = first;
        loop {
            let query = sqlx::query(READ_PLACES).bind(tenant.0).bind(reached.epoch).bind(reached.xact);
            let rows = self.many(query.bind(PLACES_AT_ONCE), finished_at).await?;
            let later = rows.iter().rev().find(|(_, at)| *at >= since);
            match (later, rows.last()) {
                (Some((place, _)), Some((last, _))) => (first, reached) = (*place, *last),
                // A whole page is older: the feed's order is that of time, but for what was written side by side.
                (None, _) | (_, None) => return Ok(first),
            }
        }
    }
}

fn finished_at(row: &PgRow) -> Result<(ChangePlace, Timestamp), StoreError> {
    let mut columns = Columns::of(row);
    Ok((place(&mut columns)?, columns.instant()?))
}

/// Reads the two columns of what is told.
pub(super) fn told(columns: &mut Columns<'_>) -> Result<Told, StoreError> {
    Ok(Told { event_id: EventId(columns.take()?), event_type: columns.word("webhook type")? })
}

fn delivery(row: &PgRow) -> Result<DeliveryRecord, StoreError> {
    let mut columns = Columns::of(row);
    Ok(DeliveryRecord {
        told: told(&mut columns)?,
        attempts: columns.take()?,
        created_at: columns.instant()?,
        last_attempt_at: columns.optional_instant()?,
        next_attempt_at: columns.optional_instant()?,
        delivered_at: columns.optional_instant()?,
        status: columns.take()?,
        error: columns.take()?,
        duration_ms: columns.take()?,
    })
}

/// Reads [`endpoint_columns`].
pub(super) fn endpoint(row: &PgRow) -> Result<EndpointRecord, StoreError> {
    let mut columns = Columns::of(row);
    Ok(EndpointRecord {
        id: WebhookEndpointId(columns.take()?),
        tenant: TenantId(columns.take()?),
        created_at: columns.instant()?,
        url: columns.take()?,
        description: columns.take()?,
        event_types: types(&columns.take::<Vec<String>>()?)?,
        secret: columns.take()?,
        previous_secret: {
            let (secret, until): (Option<Vec<u8>>, Option<Timestamp>) = (columns.take()?, columns.optional_instant()?);
            secret.zip(until)
        },
        disabled: disabled(&mut columns)?,
        place: place(&mut columns)?,
        failures: columns.take()?,
        failing_since: columns.optional_instant()?,
        delivered_at: columns.optional_instant()?,
        pending: columns.take()?,
    })
}

fn disabled(columns: &mut Columns<'_>) -> Result<Option<Disabled>, StoreError> {
    let (at, reason): (Option<Timestamp>, Option<&str>) = (columns.optional_instant()?, columns.take()?);
    let of = |(at, word): (Timestamp, &str)| {
        let reason = DisabledReason::parse(word).ok_or_else(|| broken("reason", word))?;
        Ok(Disabled { at, reason })
    };
    at.zip(reason).map(of).transpose()
}

fn types(words: &[String]) -> Result<Vec<WebhookType>, StoreError> {
    words.iter().map(|word| word.parse().map_err(|_| broken("webhook type", word))).collect()
}
