//! Owns the statements that find what stands under the references of lines.

use std::collections::HashMap;

use futures::TryStreamExt as _;
use serde::Serialize;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::core::bank::Found;
use crate::core::event::EventKind;
use crate::core::ids::{EventId, TenantId};
use crate::core::ledger::AccountCode;
use crate::core::money::Currency;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{Hex, hex_id, json};
use crate::store::sqlite::rows::{broken, get, id, optional_bytes, word};
use crate::store::{FoundRow, Moved, Reference, StoreError};

/// Whether a line has an event `e`, the upload it is a row of, or a row of it: three looks into indexes. A macro, because
/// it stands in statements.
///
/// The line of an upload has the rows there were when it was matched: an exception may be posted later, and its cash comes
/// with a line of its own. Those rows were accepted before what the match wrote: the line's settlement, or where its cash
/// was booked the statement itself. A person's match of booked cash writes neither; it has every row.
macro_rules! is_matched {
    () => {
        "(EXISTS (SELECT 1 FROM bank_statement_lines AS l WHERE l.matched_event = e.id)
            OR EXISTS (SELECT 1 FROM bank_statement_lines AS l WHERE l.matched_event = e.batch_id
                AND e.seq < coalesce((SELECT s.seq FROM events AS s WHERE s.id = coalesce(l.settlement_event,
                    CASE WHEN l.resolved_at IS NULL THEN l.batch_id END)), 9223372036854775807))
            OR EXISTS (SELECT 1 FROM bank_statement_lines AS l WHERE l.matched_upload = e.id))"
    };
}

pub(super) use is_matched;

/// One look into an index per reference.
macro_rules! found {
    ($index:literal, $by:literal) => {
        concat!(
            "SELECT n.key AS place, e.id, e.batch_id, e.kind, e.currency, p.outcome, p.accounts, p.amounts, ",
            is_matched!(),
            " AS is_matched FROM jsonb_each(?2) AS n
            JOIN events AS e INDEXED BY ",
            $index,
            " ON e.",
            $by,
            " = unhex(n.value ->> '",
            $by,
            "') AND e.tenant = ?1
            LEFT JOIN postings AS p ON p.event_seq = e.seq"
        )
    };
}

pub(in crate::store::sqlite) const FIND_EVENTS: &str =
    concat!(found!("events_id", "id"), " UNION ALL ", found!("events_key_hash", "key_hash"));

/// The rows of an upload. Their sums have 128 bits, so they are added up in Rust.
pub(in crate::store::sqlite) const UPLOAD_ROWS: &str = "
    SELECT p.outcome, p.accounts, p.amounts
    FROM events AS e INDEXED BY events_batch_row LEFT JOIN postings AS p ON p.event_seq = e.seq
    WHERE e.batch_id = ?2 AND e.tenant = ?1 AND e.currency = ?3 AND e.kind <> 'bank_settled'";

#[derive(Serialize)]
struct ReferenceRow {
    id: Option<Hex<16>>,
    key_hash: Option<Hex<16>>,
}

/// What stands under references.
pub(super) async fn events(
    db: &mut SqliteConnection,
    (tenant, currency): (TenantId, Currency),
    references: &[Reference],
) -> Result<Vec<(String, Found)>, StoreError> {
    let row = |reference: &Reference| ReferenceRow {
        id: reference.id.map(|id| hex_id(id.0)),
        key_hash: reference.key.map(|key| Hex(key.bytes())),
    };
    let query = sqlx::query(FIND_EVENTS).bind(tenant.0).bind(json(&references.iter().map(row).collect::<Vec<_>>())?);
    let mut found = Vec::new();
    let mut uploads: HashMap<EventId, Option<Moved>> = HashMap::new();
    for row in query.fetch_all(&mut *db).await.map_err(store_error)? {
        let event = found_row(&row)?;
        let place: i64 = get(&row, "place")?;
        let reference = references.get(usize::try_from(place).unwrap_or(usize::MAX));
        let reference = reference.ok_or_else(|| broken("a place of a reference"))?;
        let mut rows = None;
        if event.kind == EventKind::Upload && event.is_posted.is_some() {
            rows = match uploads.get(&event.event) {
                Some(known) => *known,
                None => upload(db, (tenant, currency), event.event).await?,
            };
            uploads.insert(event.event, rows);
        }
        found.push((reference.text.clone(), event.found(currency, rows)));
    }
    Ok(found)
}

fn found_row(row: &SqliteRow) -> Result<FoundRow, StoreError> {
    let outcome: Option<&str> = get(row, "outcome")?;
    let mut moved = Moved::default();
    add_lines(row, &mut moved)?;
    Ok(FoundRow {
        event: EventId(id(row, "id")?),
        upload: optional_bytes(row, "batch_id")?.map(|bytes| EventId(Uuid::from_bytes(bytes))),
        kind: word(row, "kind")?,
        currency: word(row, "currency")?,
        is_posted: outcome.map(|outcome| outcome != "rejected"),
        moved,
        is_matched: get(row, "is_matched")?,
    })
}

/// Adds the lines of a posting, where there is one.
fn add_lines(row: &SqliteRow, moved: &mut Moved) -> Result<(), StoreError> {
    let lines = get::<Option<&str>>(row, "accounts")?.zip(get::<Option<&str>>(row, "amounts")?);
    let Some((accounts, amounts)) = lines else { return Ok(()) };
    let accounts: Vec<i16> = serde_json::from_str(accounts).map_err(|_| broken("postings.accounts"))?;
    let amounts: Vec<i64> = serde_json::from_str(amounts).map_err(|_| broken("postings.amounts"))?;
    for (account, amount) in accounts.iter().zip(&amounts) {
        moved.add(AccountCode::from_number(*account).ok_or_else(|| broken("account"))?, *amount);
    }
    Ok(())
}

/// What an upload has moved; `None` where a row of it is unfinished.
async fn upload(
    db: &mut SqliteConnection,
    (tenant, currency): (TenantId, Currency),
    upload: EventId,
) -> Result<Option<Moved>, StoreError> {
    let mut moved = Moved::default();
    let query = sqlx::query(UPLOAD_ROWS).bind(tenant.0).bind(upload.0).bind(currency.code().to_owned());
    let mut rows = query.fetch(db);
    while let Some(row) = rows.try_next().await.map_err(store_error)? {
        if get::<Option<&str>>(&row, "outcome")?.is_none() {
            return Ok(None);
        }
        add_lines(&row, &mut moved)?;
    }
    Ok(Some(moved))
}
