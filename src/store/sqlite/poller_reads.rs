//! Owns the reads of pollers: payments by thousands, and the change feed.
//!
//! One writer numbers the rows of `changes` in the order of commits, so what is committed is shown, and a later commit
//! always stands behind every place a reader can have.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::core::event::IdempotencyKey;
use crate::core::ids::{EventId, KeyHash, LoanId, PaymentBatchId, TenantId};
use crate::core::ledger::AccountCode;
use crate::core::money::Minor;
use crate::store::poller_reads::told;
use crate::store::read::payment_kinds;
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{Hex, event_ids, hex_id, json};
use crate::store::sqlite::records::{select_records, stage};
use crate::store::sqlite::rows::{
    broken, date, decode_allocation, decode_outcome, decode_record, decode_status, event_columns, get, id, instant,
    optional_bytes, posting_columns, tenant as tenant_of, word,
};
use crate::store::{Change, ChangePlace, EventRecord, EventStatus, PollerReads, StoreError};

/// How many rows are made into records before other tasks get their turn: about a millisecond.
const ROWS_AT_ONCE: usize = 250;

pub(super) const PAYMENTS_OF_IDS: &str = concat!(
    select_records!("events AS e LEFT JOIN postings AS p ON p.event_seq = e.seq"),
    " WHERE e.tenant = ?1 AND e.kind IN ",
    payment_kinds!(),
    " AND e.id IN (SELECT unhex(value) FROM jsonb_each(?2))"
);

/// The hashes find the rows, the keys decide.
pub(super) const PAYMENTS_OF_KEYS: &str = concat!(
    select_records!("events AS e LEFT JOIN postings AS p ON p.event_seq = e.seq"),
    " WHERE e.tenant = ?1 AND e.kind IN ",
    payment_kinds!(),
    " AND e.key_hash IN (SELECT unhex(value) FROM jsonb_each(?2)) AND e.key IN (SELECT value FROM jsonb_each(?3))"
);

/// Walks an epoch's rows of `changes` from the place's row on, opens them one after the other, stops at the limit, and
/// only then looks at the events. `CROSS JOIN` keeps `json_each`, which goes along the array, inside; ordering by its
/// keys as well would sort all that follows. [`is_next`] sees to it that nothing is out of order. Outer joins, so that a
/// change without its event or posting is an error and not a gap.
pub(super) const CHANGES_OF_EPOCH: &str = "
    SELECT ?2 AS epoch, f.xact, f.taken, e.id, e.kind, e.loan_id, p.loan_version, p.outcome, p.rejection_code,
        e.group_seq IS NULL AND (p.amounts <> '[]' OR p.outcome = 'done' AND (p.alloc_fees, p.alloc_interest,
            p.alloc_principal, p.alloc_suspense) IS NOT (0, 0, 0, 0)) AS has_entry, p.alloc_fees, p.alloc_interest, p.alloc_principal, p.alloc_suspense, e.amount,
        e.currency, e.key, e.batch_id, p.effective_date AS posting_effective_date, p.posted_at,
        e.kind = 'payment_received' AND EXISTS (
            SELECT 1 FROM json_each(p.accounts) AS account WHERE account.value = ?6) AS is_recovery,
        undone.id AS undoes, undone.kind AS undone_kind,
        (SELECT restated.id FROM events AS restated WHERE restated.seq = p.restates_seq) AS restates
    FROM (
        SELECT c.xact, n.key + 1 AS taken, n.value AS seq
        FROM changes AS c INDEXED BY changes_tenant CROSS JOIN json_each(c.seqs) AS n
        WHERE c.tenant = ?1 AND c.epoch = ?2 AND c.xact >= ?3 AND (c.xact > ?3 OR n.key >= ?4)
        ORDER BY c.xact LIMIT ?5) AS f
    LEFT JOIN events AS e ON e.seq = f.seq LEFT JOIN postings AS p ON p.event_seq = f.seq
    LEFT JOIN events AS undone ON undone.seq = p.undoes_seq
    ORDER BY f.xact, f.taken";

/// The next epoch with changes: a restore began it.
pub(super) const EPOCH_AFTER: &str = "
    SELECT min(c.epoch) AS epoch FROM changes AS c INDEXED BY changes_tenant WHERE c.tenant = ?1 AND c.epoch > ?2";

/// The last row of each tenant, where it lies beyond the known one: one walk down the index for each.
pub(super) const CHANGED: &str = "
    SELECT c.tenant, c.epoch, c.xact, json_array_length(c.seqs) AS taken
    FROM jsonb_each(?1) AS known
    JOIN changes AS c ON c.xact = (
        SELECT last.xact FROM changes AS last INDEXED BY changes_tenant
        WHERE last.tenant = unhex(known.value ->> 'tenant') ORDER BY last.epoch DESC, last.xact DESC LIMIT 1)
    WHERE (c.epoch, c.xact) > (known.value ->> 'epoch', known.value ->> 'xact')";

/// A tenant and how far its feed is known.
#[derive(Debug, Serialize)]
struct KnownRow {
    tenant: Hex<16>,
    epoch: i32,
    xact: i64,
}

#[async_trait]
impl PollerReads for SqliteStore {
    async fn statuses_of_ids(&self, tenant: TenantId, ids: Vec<EventId>) -> Result<Vec<EventStatus>, StoreError> {
        self.read(move |db| {
            Box::pin(async move {
                let query = sqlx::query(PAYMENTS_OF_IDS).bind(tenant.0).bind(event_ids(ids)?);
                many(query.fetch_all(db).await.map_err(store_error)?, decode_status).await
            })
        })
        .await
    }

    async fn statuses_of_keys(
        &self,
        tenant: TenantId,
        keys: Vec<IdempotencyKey>,
    ) -> Result<Vec<EventStatus>, StoreError> {
        self.read(move |db| Box::pin(of_keys(db, tenant, keys, decode_status))).await
    }

    async fn records_of_keys(
        &self,
        tenant: TenantId,
        keys: Vec<IdempotencyKey>,
    ) -> Result<Vec<EventRecord>, StoreError> {
        self.read(move |db| Box::pin(of_keys(db, tenant, keys, decode_record))).await
    }

    async fn changes(&self, tenant: TenantId, after: ChangePlace, limit: i64) -> Result<Vec<Change>, StoreError> {
        self.read(move |db| Box::pin(changes_after(db, tenant, after, limit))).await
    }

    async fn changed(&self, known: Vec<(TenantId, ChangePlace)>) -> Result<Vec<(TenantId, ChangePlace)>, StoreError> {
        self.read(move |db| Box::pin(changed(db, known))).await
    }

    async fn changes_delay(&self) -> Result<Duration, StoreError> {
        // What is committed is shown.
        Ok(Duration::ZERO)
    }
}

async fn changes_after(
    db: &mut SqliteConnection,
    tenant: TenantId,
    after: ChangePlace,
    limit: i64,
) -> Result<Vec<Change>, StoreError> {
    let most = usize::try_from(limit.saturating_add(1)).unwrap_or(usize::MAX);
    let (mut found, mut last) = (Vec::new(), after);
    loop {
        let left = i64::try_from(most.saturating_sub(found.len())).unwrap_or(i64::MAX);
        let query = sqlx::query(CHANGES_OF_EPOCH).bind(tenant.0).bind(last.epoch).bind(last.xact);
        let query = query.bind(last.taken).bind(left).bind(AccountCode::CHARGED_OFF_MEMO.number());
        for change in many(query.fetch_all(&mut *db).await.map_err(store_error)?, change).await? {
            if !is_next(last, change.place) {
                return Err(broken("changes out of order"));
            }
            last = change.place;
            found.push(change);
        }
        if found.len() >= most {
            return Ok(found);
        }
        let query = sqlx::query(EPOCH_AFTER).bind(tenant.0).bind(last.epoch);
        let row = query.fetch_one(&mut *db).await.map_err(store_error)?;
        let Some(epoch) = get::<Option<i32>>(&row, "epoch")? else { return Ok(found) };
        last = ChangePlace { epoch, xact: 0, taken: 0 };
    }
}

/// Whether a place is the next event of the same row, or the first of a later one.
fn is_next(last: ChangePlace, place: ChangePlace) -> bool {
    if place.xact == last.xact {
        Some(place.taken) == last.taken.checked_add(1)
    } else {
        place.xact > last.xact && place.taken == 1
    }
}

async fn changed(
    db: &mut SqliteConnection,
    known: Vec<(TenantId, ChangePlace)>,
) -> Result<Vec<(TenantId, ChangePlace)>, StoreError> {
    let row = |(tenant, place): (TenantId, ChangePlace)| KnownRow {
        tenant: hex_id(tenant.0),
        epoch: place.epoch,
        xact: place.xact,
    };
    let known = json(&known.into_iter().map(row).collect::<Vec<_>>())?;
    let rows = sqlx::query(CHANGED).bind(known).fetch_all(db).await.map_err(store_error)?;
    rows.iter().map(|row| Ok((tenant_of(row)?, place(row)?))).collect()
}

async fn of_keys<T>(
    db: &mut SqliteConnection,
    tenant: TenantId,
    keys: Vec<IdempotencyKey>,
    read: fn(&SqliteRow) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let hash = |key: &IdempotencyKey| Hex(KeyHash::of_caller_key(tenant, key.as_str()).bytes());
    let hashes: Vec<Hex<16>> = keys.iter().map(hash).collect();
    let keys: Vec<&str> = keys.iter().map(IdempotencyKey::as_str).collect();
    let query = sqlx::query(PAYMENTS_OF_KEYS).bind(tenant.0).bind(json(&hashes)?).bind(json(&keys)?);
    many(query.fetch_all(db).await.map_err(store_error)?, read).await
}

/// Makes values of rows without holding up the runtime.
async fn many<T>(rows: Vec<SqliteRow>, read: fn(&SqliteRow) -> Result<T, StoreError>) -> Result<Vec<T>, StoreError> {
    let mut values = Vec::with_capacity(rows.len());
    for rows in rows.chunks(ROWS_AT_ONCE) {
        for row in rows {
            values.push(read(row)?);
        }
        tokio::task::yield_now().await;
    }
    Ok(values)
}

fn place(row: &SqliteRow) -> Result<ChangePlace, StoreError> {
    Ok(ChangePlace { epoch: get(row, "epoch")?, xact: get(row, "xact")?, taken: get(row, "taken")? })
}

fn change(row: &SqliteRow) -> Result<Change, StoreError> {
    let event = |column: &str| -> Result<Option<EventId>, StoreError> {
        Ok(optional_bytes(row, column)?.map(|bytes| EventId(Uuid::from_bytes(bytes))))
    };
    let batch: Option<[u8; 16]> = optional_bytes(row, "batch_id")?;
    let outcome = decode_outcome(row)?.ok_or_else(|| broken("a change without a posting"))?;
    let (loan_id, outcome) = told(LoanId(id(row, "loan_id")?), outcome);
    let undoes = event("undoes")?;
    Ok(Change {
        place: place(row)?,
        event_id: EventId(id(row, "id")?),
        kind: word(row, "kind")?,
        loan_id,
        loan_version: get(row, "loan_version")?,
        outcome,
        has_entry: get(row, "has_entry")?,
        allocation: decode_allocation(row)?,
        amount: get::<Option<i64>>(row, "amount")?.map(Minor::new),
        currency: word(row, "currency")?,
        key: get(row, "key")?,
        batch: batch.map(|bytes| PaymentBatchId(Uuid::from_bytes(bytes))),
        effective_date: date(row, "posting_effective_date")?,
        posted_at: instant(row, "posted_at")?,
        is_recovery: get(row, "is_recovery")?,
        undoes: undoes.map(|id| word(row, "undone_kind").map(|kind| (id, kind))).transpose()?,
        restates: event("restates")?,
    })
}
