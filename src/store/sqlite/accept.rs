//! Owns the intake's transaction: rows in the order given, a taken key answered with what took it, the publisher's
//! totals raised.
//!
//! Two crossings to SQLite's thread for up to 512 events that are new and of no upload: the rows go in and the totals come
//! out, then the totals go in. Callers that may tell of their rows early do so before the totals.

use std::collections::{BTreeMap, HashMap};

use futures::TryStreamExt as _;
use sqlx::sqlite::SqliteQueryResult;
use sqlx::{Either, Executor, SqliteConnection};

use crate::core::event::{AcceptedEvent, NewEvent};
use crate::core::ids::{EventId, KeyHash, PaymentBatchId, PublisherId, Seq, TenantId};
use crate::core::money::{Currency, Minor};
use crate::core::time::Timestamp;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{BatchAcceptedRow, EventRow, Hex, PublisherTotalRow, hex_id, json};
use crate::store::sqlite::rows::{
    broken, decode_event, decode_posting, decode_stage, event_columns, get, id, posting_columns, sum, tenant, word,
};
use crate::store::sqlite::values::{ManyRows, ROWS_MAX, Values};
use crate::store::sqlite::writer::Transaction;
use crate::store::{Acceptance, KnownEvent, StoreError};

/// `OR ROLLBACK`: a refused row ends the transaction, as any error does. `seq` is the row's place in the table, so events
/// are numbered in the order given. A macro, because events of our own go in with the same columns but no conflict clause.
macro_rules! insert_events {
    () => {
        "INSERT OR ROLLBACK INTO events (id, tenant, kind, loan_key, loan_id, borrower_id, amount, currency, effective_date,
            source_method, external_ref, metadata, details, key, key_hash, fingerprint, cause_seq,
            group_seq, leg, batch_id, row_no, slot, publisher, actor, accepted_at)
        SELECT * FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?))
        WHERE column1 IS NOT NULL"
    };
}
pub(super) use insert_events;

/// The new rows answer nothing: each would cross from SQLite's thread by itself, and one writer knows the numbers without
/// them. The publisher's totals as they are come in the same crossing.
pub(super) const ACCEPT_EVENTS: &str = concat!(
    insert_events!(),
    " ON CONFLICT (key_hash) DO NOTHING;
    SELECT tenant, accepted, amount FROM publisher_totals WHERE publisher = ?"
);
static ACCEPT_MANY: ManyRows = ManyRows::new(ACCEPT_EVENTS);

/// The events after a number, where not all were new.
pub(super) const EVENTS_AFTER: &str = "SELECT seq, id FROM events WHERE seq > ?1";

/// The events that hold these keys, with how far they have come.
pub(super) const EVENTS_OF_KEYS: &str = concat!(
    "SELECT ",
    event_columns!(),
    ", ",
    posting_columns!(),
    ", coalesce(p.outcome, CASE WHEN k.parked_at IS NOT NULL THEN 'parked' WHEN h.loan_key IS NOT NULL THEN 'held'
        ELSE 'accepted' END) AS stage
    FROM jsonb_each(?1) AS wanted
    JOIN events AS e ON e.key_hash = unhex(wanted.value)
    LEFT JOIN postings AS p ON p.event_seq = e.seq
    LEFT JOIN parked AS k ON k.event_seq = e.seq
    LEFT JOIN holds AS h ON h.loan_key = e.loan_key"
);

/// The sums come whole: 128 bits are added up in Rust, by the one writer.
pub(super) const SET_PUBLISHER_TOTALS: &str = "
    INSERT INTO publisher_totals (publisher, tenant, accepted, amount)
    SELECT ?1, unhex(value ->> 'tenant'), value ->> 'accepted', value ->> 'amount' FROM jsonb_each(?2) WHERE true
    ON CONFLICT (publisher, tenant) DO UPDATE SET accepted = excluded.accepted, amount = excluded.amount";

pub(super) const ACCEPTED_OF_BATCHES: &str = "
    SELECT a.batch_id, a.currency, a.count, a.amount
    FROM jsonb_each(?1) AS wanted
    JOIN batch_accepted AS a ON a.batch_id = unhex(wanted.value ->> 'batch_id')
        AND a.currency = wanted.value ->> 'currency'";

pub(super) const SET_BATCH_ACCEPTED: &str = "
    INSERT INTO batch_accepted (batch_id, currency, count, amount)
    SELECT unhex(value ->> 'batch_id'), value ->> 'currency', value ->> 'count', value ->> 'amount'
    FROM jsonb_each(?1) WHERE true
    ON CONFLICT (batch_id, currency) DO UPDATE SET count = excluded.count, amount = excluded.amount";

/// A publisher's totals by tenant: how many events, and their amounts.
pub(super) type PublisherTotals = BTreeMap<TenantId, (i64, i128)>;

/// Inserts events in the order given. Answers the numbers of those whose keys were free, for one writer numbers them one
/// after the other, and the publisher's totals without them.
pub(super) async fn insert(
    db: &mut SqliteConnection,
    (publisher, now): (PublisherId, Timestamp),
    events: &[NewEvent],
) -> Result<(HashMap<EventId, Seq>, PublisherTotals), StoreError> {
    let (mut seqs, mut totals) = (HashMap::with_capacity(events.len()), PublisherTotals::new());
    for events in events.chunks(ROWS_MAX) {
        let inserted = insert_some(db, (publisher, now), events, &mut totals).await?;
        let count = i64::try_from(inserted.rows_affected()).map_err(|_| broken("rows inserted"))?;
        if count == 0 {
            continue;
        }
        let before = inserted.last_insert_rowid().checked_sub(count).ok_or_else(|| broken("events.seq"))?;
        if usize::try_from(count).is_ok_and(|count| count == events.len()) {
            let numbered = events.iter().zip(1_i64..);
            seqs.extend(numbered.map(|(event, place)| (event.id, Seq(before.saturating_add(place)))));
        } else {
            let rows = sqlx::query(EVENTS_AFTER).bind(before).fetch_all(&mut *db).await.map_err(store_error)?;
            for row in &rows {
                seqs.insert(EventId(id(row, "id")?), Seq(get(row, "seq")?));
            }
        }
    }
    Ok((seqs, totals))
}

/// Runs [`ACCEPT_EVENTS`].
async fn insert_some(
    db: &mut SqliteConnection,
    (publisher, now): (PublisherId, Timestamp),
    events: &[NewEvent],
    totals: &mut PublisherTotals,
) -> Result<SqliteQueryResult, StoreError> {
    let (text, size) = ACCEPT_MANY.text(events.len());
    let mut values = Values::default();
    values.add_rows(events.iter().map(|event| EventRow { event, accepted_at: now }), size)?;
    values.add(publisher.0)?;
    let mut inserted = None;
    let mut steps = Executor::fetch_many(db, sqlx::query_with(text, values.into_arguments()));
    while let Some(step) = steps.try_next().await.map_err(store_error)? {
        match step {
            Either::Left(done) => inserted = inserted.or(Some(done)),
            Either::Right(row) => {
                totals.insert(tenant(&row)?, (get(&row, "accepted")?, sum(&row, "amount")?));
            }
        }
    }
    inserted.ok_or_else(|| broken("rows inserted"))
}

/// Accepts events; see [`crate::store::Store::accept`].
pub(super) async fn accept(
    db: &mut SqliteConnection,
    publisher: PublisherId,
    events: Vec<NewEvent>,
    now: Timestamp,
) -> Result<Vec<Acceptance>, StoreError> {
    accept_telling(db, (publisher, now), &events, |_| ()).await.map(|(acceptances, _)| acceptances)
}

/// As [`accept`], in a transaction that may be shared, and tells what it answers before that is committed. The new events
/// are at hand for whoever posts them in the same transaction.
pub(super) async fn accept_and_tell(
    tx: Transaction<'_>,
    publisher: PublisherId,
    events: Vec<NewEvent>,
    now: Timestamp,
    tell: impl FnOnce(&[Acceptance]),
) -> Result<Vec<Acceptance>, StoreError> {
    let Transaction { db, fresh } = tx;
    let (acceptances, seqs) = accept_telling(db, (publisher, now), &events, tell).await?;
    // An event whose commit was not heard of is new to its caller, but not written now.
    let written = events.into_iter().filter_map(|event| Some((*seqs.get(&event.id)?, event)));
    fresh.note(written.map(|(seq, event)| AcceptedEvent::new(seq, now, event)));
    Ok(acceptances)
}

/// What each event was answered, and the numbers of those that were written.
type Told = (Vec<Acceptance>, HashMap<EventId, Seq>);

async fn accept_telling(
    db: &mut SqliteConnection,
    (publisher, now): (PublisherId, Timestamp),
    events: &[NewEvent],
    tell: impl FnOnce(&[Acceptance]),
) -> Result<Told, StoreError> {
    if events.is_empty() {
        return Ok(Told::default());
    }
    let (seqs, totals) = insert(db, (publisher, now), events).await?;
    let taken: Vec<&NewEvent> = events.iter().filter(|event| !seqs.contains_key(&event.id)).collect();
    let mut known = if taken.is_empty() { HashMap::new() } else { known_events(db, &taken).await? };
    let acceptance = |event: &NewEvent| match seqs.get(&event.id) {
        Some(seq) => Ok(Acceptance::New { seq: *seq, accepted_at: now }),
        None => acceptance_of_known(event, known.remove(&event.key_hash)),
    };
    let acceptances: Vec<Acceptance> = events.iter().map(acceptance).collect::<Result<_, StoreError>>()?;
    tell(&acceptances);
    let new: Vec<&NewEvent> = events.iter().filter(|event| seqs.contains_key(&event.id)).collect();
    raise_totals(db, publisher, totals, &new).await?;
    raise_uploads(db, &new).await?;
    Ok((acceptances, seqs))
}

type AcceptedKey = (PaymentBatchId, Currency);

/// Raises what the uploads accepted whose rows are among the events.
async fn raise_uploads(db: &mut SqliteConnection, new: &[&NewEvent]) -> Result<(), StoreError> {
    let mut totals: BTreeMap<AcceptedKey, (i64, i128)> = BTreeMap::new();
    for event in new {
        let Some((batch, _)) = event.origin.batch else { continue };
        let total = totals.entry((batch, event.command.currency())).or_default();
        let amount = i128::from(event.command.amount().map_or(0, Minor::units));
        total.0 = total.0.checked_add(1).ok_or_else(|| broken("batch_accepted.count"))?;
        total.1 = total.1.checked_add(amount).ok_or_else(|| broken("batch_accepted.amount"))?;
    }
    if totals.is_empty() {
        return Ok(());
    }
    let of_batches = sqlx::query(ACCEPTED_OF_BATCHES).bind(json(&accepted_rows(&totals))?);
    for row in of_batches.fetch_all(&mut *db).await.map_err(store_error)? {
        let key = (PaymentBatchId(id(&row, "batch_id")?), word(&row, "currency")?);
        let total = totals.get_mut(&key).ok_or_else(|| broken("batch_accepted"))?;
        let before: i64 = get(&row, "count")?;
        total.0 = total.0.checked_add(before).ok_or_else(|| broken("batch_accepted.count"))?;
        total.1 = total.1.checked_add(sum(&row, "amount")?).ok_or_else(|| broken("batch_accepted.amount"))?;
    }
    let set = sqlx::query(SET_BATCH_ACCEPTED).bind(json(&accepted_rows(&totals))?);
    set.execute(db).await.map_err(store_error).map(drop)
}

fn accepted_rows(totals: &BTreeMap<AcceptedKey, (i64, i128)>) -> Vec<BatchAcceptedRow> {
    let row = |(key, total): (&AcceptedKey, &(i64, i128))| BatchAcceptedRow {
        batch_id: hex_id(key.0.0),
        currency: key.1.code().to_owned(),
        count: total.0,
        amount: total.1.to_string(),
    };
    totals.iter().map(row).collect()
}

/// A key that was taken: by this very event, in a call whose outcome the caller never learned, or by another.
fn acceptance_of_known(event: &NewEvent, known: Option<KnownEvent>) -> Result<Acceptance, StoreError> {
    let known = known.ok_or_else(|| broken("a key is taken by no event"))?;
    Acceptance::of_known(event, known)
}

pub(super) async fn known_events(
    db: &mut SqliteConnection,
    events: &[&NewEvent],
) -> Result<HashMap<KeyHash, KnownEvent>, StoreError> {
    let keys: Vec<_> = events.iter().map(|event| Hex(event.key_hash.bytes())).collect();
    let rows = sqlx::query(EVENTS_OF_KEYS).bind(json(&keys)?).fetch_all(db).await.map_err(store_error)?;
    rows.iter()
        .map(|row| {
            let event: AcceptedEvent = decode_event(row)?;
            let posting = decode_posting(row, event.event.id)?;
            Ok((event.event.key_hash, KnownEvent { stage: decode_stage(row)?, posting, event }))
        })
        .collect()
}

pub(super) async fn raise_totals(
    db: &mut SqliteConnection,
    publisher: PublisherId,
    before: PublisherTotals,
    new: &[&NewEvent],
) -> Result<(), StoreError> {
    if new.is_empty() {
        return Ok(());
    }
    let mut totals = PublisherTotals::new();
    for event in new {
        let total =
            totals.entry(event.tenant).or_insert_with(|| before.get(&event.tenant).copied().unwrap_or_default());
        let amount = i128::from(event.command.amount().map_or(0, Minor::units));
        total.0 = total.0.checked_add(1).ok_or_else(|| broken("publisher_totals.accepted"))?;
        total.1 = total.1.checked_add(amount).ok_or_else(|| broken("publisher_totals.amount"))?;
    }
    let rows: Vec<PublisherTotalRow> = totals
        .into_iter()
        .map(|(tenant, (accepted, amount))| PublisherTotalRow {
            tenant: hex_id(tenant.0),
            accepted,
            amount: amount.to_string(),
        })
        .collect();
    let set = sqlx::query(SET_PUBLISHER_TOTALS).bind(publisher.0).bind(json(&rows)?);
    set.execute(db).await.map_err(store_error)?;
    Ok(())
}
