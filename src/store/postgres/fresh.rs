//! Owns the intake's statements for events whose keys are new, which is what keys mostly are.
//!
//! They cost about half of what those in [`super::accept`] cost: no look into the key's index before a row goes in, no
//! confirmation of it afterwards, nothing sorted, and nothing handed on row by row. In exchange they take all events or
//! none: where a key is taken, the careful statement follows. After that the careful one goes first for a while, so
//! that a caller who sends everything twice costs little.
//!
//! A few events go in with one statement of arrays, many by COPY in a transaction of six round trips. Rows go in
//! sorted by key hash, so that two intakes bringing the same keys wait for each other in one order instead of
//! deadlocking; their numbers were drawn in the order of arrival before.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::connect::{begin, finish};
use super::copy::{COPIED_FROM, CopiedRows};
use super::error::classify;
use super::intake_rows::{EventColumns, FRESH_EVENT_COLUMNS, Prepared, copy_event, fresh_event_columns};
use super::rows::Columns;
use crate::core::event::NewEvent;
use crate::core::ids::{PublisherId, Seq};
use crate::core::money::Currency;
use crate::core::time::Timestamp;
use crate::store::{Acceptance, StoreError};

/// The constraints that say a key is taken, or that these very events are there: a commit whose outcome nobody heard is
/// tried again with the same ids, and which of its indexes PostgreSQL asks first changes when one is built anew.
const TAKEN: [&str; 2] = ["events_key_hash", "events_id"];

/// For how many statements keys are expected to be taken after one was.
const CAREFUL_FOR: u32 = 32;

/// Bytes of a row on its way, to begin with.
const ROW_BYTES: usize = 400;

/// Draws $1 numbers in one array, and reads the clock. A macro, because `concat!` joins literals only.
macro_rules! drawn {
    () => {
        "WITH drawn AS MATERIALIZED (SELECT array_agg(nextval('events_seq')) AS seqs, \
         clock_timestamp() AS accepted_at FROM generate_series(1, $1::bigint))"
    };
}

/// Raises the totals of publisher $2 and of uploads by sums that come ready ($3 to $10). Behind the keys, as everywhere: a
/// total is one row for all that a process accepts, and whoever holds it holds up the others.
macro_rules! raised {
    () => {
        "raised AS (INSERT INTO publisher_totals (publisher, tenant, is_bulk, accepted, amount) \
         SELECT $2::uuid, tenant, $3::boolean, accepted, amount::numeric \
         FROM unnest($4::uuid[], $5::bigint[], $6::text[]) AS n (tenant, accepted, amount) ORDER BY tenant \
         ON CONFLICT (publisher, tenant, is_bulk) DO UPDATE \
         SET accepted = publisher_totals.accepted + excluded.accepted, \
         amount = publisher_totals.amount + excluded.amount), \
         counted AS (INSERT INTO batch_accepted (batch_id, currency, count, amount) \
         SELECT batch_id, currency, count, amount::numeric \
         FROM unnest($7::uuid[], $8::text[], $9::bigint[], $10::text[]) AS n (batch_id, currency, count, amount) \
         ORDER BY batch_id, currency ON CONFLICT (batch_id, currency) \
         DO UPDATE SET count = batch_accepted.count + excluded.count, amount = batch_accepted.amount + excluded.amount)"
    };
}

/// Accepts a few events whose keys are new, or none: each row takes the number of its place among the arrivals.
pub(super) const ACCEPT_FRESH: &str = concat!(
    drawn!(),
    ", accepted AS (INSERT INTO events (seq, accepted_at, publisher, ",
    fresh_event_columns!(),
    ") SELECT ((SELECT seqs FROM drawn))[place], (SELECT accepted_at FROM drawn), $2, ",
    fresh_event_columns!(),
    " FROM unnest($11::bigint[], $12::uuid[], $13::uuid[], $14::text[], $15::uuid[], $16::uuid[], $17::uuid[], \
     $18::bigint[], $19::text[], $20::date[], $21::text[], $22::text[], $23::text[], $24::text[], $25::text[], \
     $26::uuid[], $27::bytea[], $28::uuid[], $29::bigint[], $30::smallint[], $31::text[]) AS n (place, ",
    fresh_event_columns!(),
    ") RETURNING 1), ",
    raised!(),
    " SELECT seqs, accepted_at, (SELECT count(*) FROM accepted) FROM drawn"
);

/// Draws numbers for many events; [`COPY_EVENTS`] and [`RAISE_TOTALS`] follow in the same transaction.
pub(super) const DRAW_NUMBERS: &str = concat!(drawn!(), " SELECT seqs, accepted_at, $1 FROM drawn");

/// Raises the totals by the $1 events that were copied.
pub(super) const RAISE_TOTALS: &str = concat!("WITH ", raised!(), " SELECT $1::bigint");

/// Writes many events.
pub(super) const COPY_EVENTS: &str =
    concat!("COPY events (seq, accepted_at, publisher, ", fresh_event_columns!(), ") FROM STDIN (FORMAT binary)");

/// What is to be expected of the next events' keys.
#[derive(Debug, Default)]
pub(super) struct KeyForecast(AtomicU32);

impl KeyForecast {
    /// Whether they are probably new.
    pub(super) fn is_fresh(&self) -> bool {
        let less = |careful: u32| careful.checked_sub(1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err()
    }

    /// Says that a key was taken.
    fn was_wrong(&self) {
        self.0.store(CAREFUL_FOR, Ordering::Relaxed);
    }
}

/// Accepts the events if all their keys are new; `None` where one is taken and nothing was written.
pub(super) async fn accept(
    connection: &mut PgConnection,
    publisher: PublisherId,
    events: &[NewEvent],
    forecast: &KeyForecast,
) -> Result<Option<Vec<Acceptance>>, StoreError> {
    if !events.iter().all(|event| is_plain(event, publisher)) {
        return Ok(None);
    }
    let accepted = if events.len() < COPIED_FROM {
        insert(connection, publisher, events).await
    } else {
        let mut transaction = begin(connection).await?;
        let copied = copy(&mut transaction, publisher, events).await;
        finish(transaction, copied).await
    };
    match accepted {
        Ok(Drawn { seqs, accepted_at }) => {
            Ok(Some(seqs.into_iter().map(|seq| Acceptance::New { seq: Seq(seq), accepted_at }).collect()))
        }
        Err(StoreError::Data { constraint, .. }) if TAKEN.contains(&constraint.as_str()) => {
            forecast.was_wrong();
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether the statements have a place for all that the event carries.
fn is_plain(event: &NewEvent, publisher: PublisherId) -> bool {
    event.publisher == publisher && event.origin.group.is_none() && event.origin.cause_seq.is_none()
}

/// The numbers of the events in the order of their arrival.
struct Drawn {
    seqs: Vec<i64>,
    accepted_at: Timestamp,
}

impl Drawn {
    fn of(row: &PgRow, events: &[NewEvent]) -> Result<Self, StoreError> {
        let mut columns = Columns::of(row);
        let (seqs, accepted_at): (Vec<i64>, Timestamp) = (columns.take()?, columns.instant()?);
        let accepted: i64 = columns.take()?;
        if usize::try_from(accepted) != Ok(events.len()) || seqs.len() != events.len() {
            return Err(StoreError::Broken(format!("{accepted} of {} events were accepted", events.len())));
        }
        Ok(Self { seqs, accepted_at })
    }
}

/// The events with what counts their places among the arrivals, sorted by key hash.
fn sorted<N>(places: impl IntoIterator<Item = N>, events: &[NewEvent]) -> Vec<(N, &NewEvent)> {
    let mut arrived: Vec<(N, &NewEvent)> = places.into_iter().zip(events).collect();
    arrived.sort_unstable_by_key(|(_, event)| event.key_hash);
    arrived
}

async fn insert(
    connection: &mut PgConnection,
    publisher: PublisherId,
    events: &[NewEvent],
) -> Result<Drawn, StoreError> {
    let (places, events_sorted): (Vec<i64>, Vec<&NewEvent>) = sorted(1.., events).into_iter().unzip();
    let query = Raised::of(events).bind(sqlx::query(ACCEPT_FRESH), publisher, events);
    let query = EventColumns::of(events_sorted).bind_fresh(query.bind(places));
    Drawn::of(&query.fetch_one(connection).await.map_err(classify)?, events)
}

async fn copy(connection: &mut PgConnection, publisher: PublisherId, events: &[NewEvent]) -> Result<Drawn, StoreError> {
    let query = sqlx::query(DRAW_NUMBERS).bind(i64::try_from(events.len()).unwrap_or(i64::MAX));
    let drawn = Drawn::of(&query.fetch_one(&mut *connection).await.map_err(classify)?, events)?;
    // Number, instant and publisher stand in front.
    let mut rows =
        CopiedRows::of_columns(FRESH_EVENT_COLUMNS.saturating_add(3), events.len().saturating_mul(ROW_BYTES));
    for (seq, event) in sorted(drawn.seqs.iter().copied(), events) {
        copy_event(rows.row().bigint(seq).instant(drawn.accepted_at).uuid(publisher.0), event);
    }
    rows.send(&mut *connection, COPY_EVENTS).await?;
    let query = Raised::of(events).bind(sqlx::query(RAISE_TOTALS), publisher, events);
    query.execute(connection).await.map_err(classify)?;
    Ok(drawn)
}

/// How many, and their sum.
type Tally = (i64, i128);

/// What the events add to the totals. Ordered maps: rows are locked in key order.
#[derive(Default)]
struct Raised {
    tenants: BTreeMap<Uuid, Tally>,
    batches: BTreeMap<(Uuid, Currency), Tally>,
}

impl Raised {
    fn of(events: &[NewEvent]) -> Self {
        let mut raised = Self::default();
        for event in events {
            let amount = event.command.amount().map_or(0, |amount| i128::from(amount.units()));
            add(raised.tenants.entry(event.tenant.0).or_default(), amount);
            if let Some((batch, _)) = event.origin.batch {
                add(raised.batches.entry((batch.0, event.command.currency())).or_default(), amount);
            }
        }
        raised
    }

    /// Binds $1 to $10.
    fn bind<'q>(self, query: Prepared<'q>, publisher: PublisherId, events: &[NewEvent]) -> Prepared<'q> {
        let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
        let is_bulk = events.iter().any(NewEvent::is_bulk);
        let (tenants, tallies): (Vec<Uuid>, Vec<Tally>) = self.tenants.into_iter().unzip();
        let query = query.bind(count).bind(publisher.0).bind(is_bulk);
        let query = query.bind(tenants).bind(counts(&tallies)).bind(amounts(&tallies));
        let (keys, tallies): (Vec<(Uuid, Currency)>, Vec<Tally>) = self.batches.into_iter().unzip();
        let (batches, currencies): (Vec<Uuid>, Vec<Currency>) = keys.into_iter().unzip();
        let currencies: Vec<String> = currencies.iter().map(|currency| currency.code().to_owned()).collect();
        query.bind(batches).bind(currencies).bind(counts(&tallies)).bind(amounts(&tallies))
    }
}

fn add((count, sum): &mut Tally, amount: i128) {
    *count = count.saturating_add(1);
    // 128 bits hold more amounts of 64 bits than a statement has.
    *sum = sum.saturating_add(amount);
}

fn counts(tallies: &[Tally]) -> Vec<i64> {
    tallies.iter().map(|(count, _)| *count).collect()
}

fn amounts(tallies: &[Tally]) -> Vec<String> {
    tallies.iter().map(|(_, amount)| amount.to_string()).collect()
}
