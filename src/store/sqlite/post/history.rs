//! Owns the histories: what a loan was posted from the day of the earliest late event of the batch on. A batch without
//! late events costs no statement more.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;
use sqlx::SqliteConnection;

use super::accruals;
use crate::core::event::AcceptedEvent;
use crate::core::ids::LoanKey;
use crate::core::ledger::{History, Posting, earliest_late, reaches_back_to};
use crate::store::StoreError;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{Hex, json};
use crate::store::sqlite::post::loans::LockedLoan;
use crate::store::sqlite::post::read::BatchEvents;
use crate::store::sqlite::rows::{decode_event, decode_posting, event_columns, posting_columns};

/// What stands in the books of loans from a day on, in order. Walks the loans' postings, which is why it runs for late
/// events only.
pub(in crate::store::sqlite) const HISTORY_SINCE: &str = concat!(
    "SELECT ",
    event_columns!(),
    ", ",
    posting_columns!(),
    " FROM jsonb_each(?1) AS wanted
    JOIN postings AS p ON p.loan_key = unhex(wanted.value ->> 'loan_key') AND p.loan_version > 0
    JOIN events AS e ON e.seq = p.event_seq
    WHERE p.effective_date >= wanted.value ->> 'date' AND p.outcome = 'posted'
    ORDER BY p.loan_key, p.loan_version"
);

#[derive(Serialize)]
struct Since {
    loan_key: Hex<16>,
    date: NaiveDate,
}

/// The history of each loan that has a late event in the batch.
pub(in crate::store::sqlite) async fn histories(
    db: &mut SqliteConnection,
    batch: &BatchEvents,
    loans: &BTreeMap<LoanKey, LockedLoan>,
) -> Result<BTreeMap<LoanKey, History>, StoreError> {
    let late = batch
        .events
        .iter()
        .filter_map(|(key, events)| Some((*key, earliest_late(loans.get(key)?.state.as_ref()?, events)?)));
    let mut since: BTreeMap<LoanKey, NaiveDate> = late.collect();
    let mut reached = since.clone();
    let mut rows = Rows::new();
    // Of loans with payments that were charged back, the payments as well; each step reaches further back.
    while !since.is_empty() {
        rows.extend(read_rows(db, &since).await?);
        let further = |(key, since): (LoanKey, NaiveDate)| Some((key, reaches_back_to(rows.get(&key)?, since)?));
        since = since.into_iter().filter_map(further).collect();
        reached.extend(&since);
    }
    let mut before = accruals::read_before(db, &batch.events, (&reached, &rows)).await?;
    let history = |(key, rows)| match before.remove(&key) {
        Some((rule, before)) => (key, History::new(rows).with_accruals(rule, before)),
        None => (key, History::new(rows)),
    };
    Ok(rows.into_iter().map(history).collect())
}

pub(super) type Rows = BTreeMap<LoanKey, Vec<(AcceptedEvent, Posting)>>;

/// What stands in the books of loans, each from its day on.
pub(super) async fn read_rows(
    db: &mut SqliteConnection,
    since: &BTreeMap<LoanKey, NaiveDate>,
) -> Result<Rows, StoreError> {
    let wanted: Vec<Since> =
        since.iter().map(|(key, date)| Since { loan_key: Hex(key.bytes()), date: *date }).collect();
    let mut rows: Rows = since.keys().map(|key| (*key, Vec::new())).collect();
    for row in &sqlx::query(HISTORY_SINCE).bind(json(&wanted)?).fetch_all(db).await.map_err(store_error)? {
        let event = decode_event(row)?;
        if let Some(posting) = decode_posting(row, event.event.id)? {
            rows.entry(posting.loan_key).or_default().push((event, posting));
        }
    }
    Ok(rows)
}
