//! Owns the intake's statement where keys may be taken; [`super::fresh`] owns the one that is tried first.

use std::collections::HashMap;

use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::connect::{HotPath, PostgresStore};
use super::error::classify;
use super::fresh::{self, KeyForecast};
use super::intake_rows::{EventColumns, new_event_columns, new_events};
use super::rows::{self, Columns, event_columns, posting_columns};
use crate::core::event::NewEvent;
use crate::core::ids::{EventId, PublisherId, Seq};
use crate::core::time::Timestamp;
use crate::store::{Acceptance, KnownEvent, StoreError};

/// Accepts events whose keys may be taken: one row, five index entries, and a look at the key before.
///
/// Both ORDER BYs are load-bearing. The inner one numbers events as they arrived; a subquery with ORDER BY is not
/// merged into the one around it, so `nextval` runs in its order. The outer one inserts by key hash, so that two
/// intakes bringing the same keys wait for each other in one order instead of deadlocking.
///
/// A macro, because rows of uploads raise two more totals and `concat!` joins literals only.
macro_rules! accept {
    ($is_bulk:literal, $returning:literal, $also_raised:literal) => {
        concat!(
            "WITH accepted AS (INSERT INTO events (seq, accepted_at, ",
            new_event_columns!(),
            ") SELECT seq, (SELECT clock_timestamp()), ",
            new_event_columns!(),
            " FROM (SELECT nextval('events_seq') AS seq, ",
            new_event_columns!(),
            " FROM (SELECT ",
            new_event_columns!(),
            " FROM ",
            new_events!(),
            " ORDER BY place) AS arrived) AS numbered ORDER BY key_hash \
             ON CONFLICT (key_hash) DO NOTHING RETURNING id, seq, accepted_at, tenant, amount",
            $returning,
            "), raised AS (INSERT INTO publisher_totals (publisher, tenant, is_bulk, accepted, amount) \
             SELECT $25::uuid, tenant, ",
            $is_bulk,
            ", count(*), coalesce(sum(amount), 0) FROM accepted GROUP BY tenant ORDER BY tenant \
             ON CONFLICT (publisher, tenant, is_bulk) DO UPDATE \
             SET accepted = publisher_totals.accepted + excluded.accepted, \
             amount = publisher_totals.amount + excluded.amount)",
            $also_raised,
            " SELECT id, seq, accepted_at FROM accepted"
        )
    };
}

/// Accepts events that came alone.
pub(super) const ACCEPT_EVENTS: &str = accept!("false", "", "");

/// Accepts rows of uploads, and raises what their uploads accepted.
pub(super) const ACCEPT_ROWS: &str = accept!(
    "true",
    ", batch_id, currency",
    ", counted AS (INSERT INTO batch_accepted (batch_id, currency, count, amount) \
     SELECT batch_id, currency, count(*), coalesce(sum(amount), 0) FROM accepted WHERE batch_id IS NOT NULL \
     GROUP BY batch_id, currency ORDER BY batch_id, currency \
     ON CONFLICT (batch_id, currency) DO UPDATE SET count = batch_accepted.count + excluded.count, \
     amount = batch_accepted.amount + excluded.amount)"
);

/// What stands under keys that were taken: a second statement, so that it sees what the first one waited for.
pub(super) const READ_KNOWN: &str = concat!(
    "SELECT ",
    event_columns!(),
    ", ",
    posting_columns!(),
    ", EXISTS (SELECT FROM parked k WHERE k.event_seq = e.seq AND k.parked_at IS NOT NULL)",
    ", EXISTS (SELECT FROM holds h WHERE h.loan_key = e.loan_key)",
    " FROM unnest($1::uuid[]) AS n (key_hash) CROSS JOIN LATERAL (SELECT ",
    event_columns!(),
    " FROM events e WHERE e.key_hash = n.key_hash OFFSET 0) AS e LEFT JOIN LATERAL (SELECT ",
    posting_columns!(),
    " FROM postings p WHERE p.event_seq = e.seq OFFSET 0) AS p ON true"
);

impl PostgresStore {
    pub(super) async fn accept_events(
        &self,
        publisher: PublisherId,
        events: Vec<NewEvent>,
    ) -> Result<Vec<Acceptance>, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = self.hot_connection(HotPath::Accept).await?;
        let forecast = self.key_forecast();
        let accepted =
            accept(&mut connection, publisher, &events, forecast).await.inspect_err(|error| self.doubt(error))?;
        self.rest(connection);
        Ok(accepted)
    }
}

pub(super) type Accepted = HashMap<EventId, (Seq, Timestamp)>;

async fn accept(
    connection: &mut PgConnection,
    publisher: PublisherId,
    events: &[NewEvent],
    forecast: &KeyForecast,
) -> Result<Vec<Acceptance>, StoreError> {
    if forecast.is_fresh()
        && let Some(accepted) = fresh::accept(connection, publisher, events, forecast).await?
    {
        return Ok(accepted);
    }
    let accepted = accept_new(connection, publisher, events).await?;
    let known = read_known(connection, events, &accepted).await?;
    judge(events, &accepted, known)
}

pub(super) async fn accept_new(
    connection: &mut PgConnection,
    publisher: PublisherId,
    events: &[NewEvent],
) -> Result<Accepted, StoreError> {
    let statement = if events.iter().any(NewEvent::is_bulk) { ACCEPT_ROWS } else { ACCEPT_EVENTS };
    let query = EventColumns::of(events).bind(sqlx::query(statement)).bind(publisher.0);
    let rows = query.fetch_all(connection).await.map_err(classify)?;
    rows.iter().map(accepted_row).collect()
}

fn accepted_row(row: &PgRow) -> Result<(EventId, (Seq, Timestamp)), StoreError> {
    let mut columns = Columns::of(row);
    Ok((EventId(columns.take()?), (Seq(columns.take()?), columns.instant()?)))
}

pub(super) type Known = HashMap<[u8; 16], KnownEvent>;

pub(super) async fn read_known(
    connection: &mut PgConnection,
    events: &[NewEvent],
    accepted: &Accepted,
) -> Result<Known, StoreError> {
    if accepted.len() == events.len() {
        return Ok(Known::new());
    }
    let taken = events.iter().filter(|event| !accepted.contains_key(&event.id));
    let hashes: Vec<Uuid> = taken.map(|event| Uuid::from_bytes(event.key_hash.bytes())).collect();
    let rows = sqlx::query(READ_KNOWN).bind(hashes).fetch_all(connection).await.map_err(classify)?;
    let known = rows.iter().map(known_row);
    known.map(|known| known.map(|known| (known.event.event.key_hash.bytes(), known))).collect()
}

fn known_row(row: &PgRow) -> Result<KnownEvent, StoreError> {
    let mut columns = Columns::of(row);
    let event = rows::event(&mut columns)?;
    let posting = rows::posting(&mut columns, event.event.id)?;
    let stage = rows::stage(&mut columns, posting.is_some())?;
    Ok(KnownEvent { event, stage, posting })
}

/// Says of each event what became of it. A row under its key hash with its own id is the trace of a call whose
/// outcome was unknown.
fn judge(events: &[NewEvent], accepted: &Accepted, mut known: Known) -> Result<Vec<Acceptance>, StoreError> {
    let judged = events.iter().map(|event| {
        if let Some((seq, accepted_at)) = accepted.get(&event.id) {
            return Ok(Acceptance::New { seq: *seq, accepted_at: *accepted_at });
        }
        let first = known.remove(&event.key_hash.bytes());
        let first = first.ok_or_else(|| StoreError::Broken(format!("event {} was refused for no row", event.id)))?;
        Acceptance::of_known(event, first)
    });
    judged.collect()
}
