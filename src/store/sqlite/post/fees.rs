//! Owns the fees of loans, as their postings tell them: for waivers, and for who reads them.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use crate::core::event::AcceptedEvent;
use crate::core::ids::LoanKey;
use crate::core::ledger::{AccountCode, Earlier, FeeBook, needs_fees};
use crate::store::StoreError;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::loan_keys;
use crate::store::sqlite::post::read::BatchEvents;
use crate::store::sqlite::rows::{decode_posted, event_columns, posting_columns};

/// Of `postings AS p` with `events AS e`: whether one forgave fees, or took back what had. What stands of a waiver may be
/// in suspense alone.
macro_rules! forgives_fees {
    () => {
        "(e.kind = 'fee_waived' OR EXISTS (SELECT 1 FROM events AS w WHERE w.seq = p.undoes_seq
            AND w.kind IN ('fee_waived', 'manual_adjustment')))"
    };
}
pub(in crate::store::sqlite) use forgives_fees;

/// The postings of loans that moved fees, bore them as a loss, forgave them or took back what had forgiven them, in order.
/// Walks the loans' postings, which is why nothing on the hot path does.
pub(in crate::store::sqlite) const FEE_POSTINGS: &str = concat!(
    "SELECT ",
    event_columns!(),
    ", ",
    posting_columns!(),
    " FROM jsonb_each(?1) AS wanted
    JOIN postings AS p ON p.loan_key = unhex(wanted.value) AND p.loan_version > 0
    JOIN events AS e ON e.seq = p.event_seq
    WHERE p.outcome = 'posted'
        AND (EXISTS (SELECT 1 FROM json_each(p.accounts) AS account WHERE account.value IN (?2, ?3)) OR ",
    forgives_fees!(),
    ")
    ORDER BY p.loan_key, p.loan_version"
);

/// The fees of each loan whose events are judged by them.
pub(in crate::store::sqlite) async fn of_batch(
    db: &mut SqliteConnection,
    batch: &BatchEvents,
    earlier: &BTreeMap<LoanKey, Earlier>,
) -> Result<BTreeMap<LoanKey, FeeBook>, StoreError> {
    let asks = |(key, events): &(&LoanKey, &Vec<AcceptedEvent>)| {
        needs_fees(events) || earlier.get(key).is_some_and(|earlier| earlier.takes_back_fees(events))
    };
    let asked: Vec<LoanKey> = batch.events.iter().filter(asks).map(|(key, _)| *key).collect();
    if asked.is_empty() {
        return Ok(BTreeMap::new());
    }
    read_fees(db, &asked).await
}

/// The fees of these loans; a loan without any has an empty book.
pub(in crate::store::sqlite) async fn read_fees(
    db: &mut SqliteConnection,
    loans: &[LoanKey],
) -> Result<BTreeMap<LoanKey, FeeBook>, StoreError> {
    let mut books: BTreeMap<LoanKey, FeeBook> = loans.iter().map(|loan| (*loan, FeeBook::default())).collect();
    let query = sqlx::query(FEE_POSTINGS).bind(loan_keys(loans.iter().copied())?);
    let query = query.bind(AccountCode::FEES_RECEIVABLE.number()).bind(AccountCode::FEES_REVERSED.number());
    for row in &query.fetch_all(db).await.map_err(store_error)? {
        if let Some((event, posting)) = decode_posted(row)? {
            books.entry(posting.loan_key).or_default().note(&event.event, &posting);
        }
    }
    Ok(books)
}
