//! Owns the past of loans as a batch asks for it ([`past`](crate::store::past)).

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use sqlx::PgConnection;

use super::accruals;
use crate::core::event::AcceptedEvent;
use crate::core::ids::{LoanKey, Seq};
use crate::core::ledger::{LoanWork, Past};
use crate::store::StoreError;
use crate::store::past::{
    Asking, Behind, Days, ImaginedRule, Marked, Moved, PastReads, Rows, read_accruals, read_histories, read_receipts,
    read_whole_accruals,
};
use crate::store::postgres::error::classify;
use crate::store::postgres::rows::{self, Columns, event_columns, key_column, posting_columns};

/// What stands in the books of loans from a day on, in order. Walks the loans' postings, which is why it runs for late
/// events only.
pub(in crate::store::postgres) const READ_HISTORY: &str = concat!(
    "SELECT ",
    event_columns!(),
    ", ",
    posting_columns!(),
    " FROM unnest($1::uuid[], $2::date[]) AS d (loan_key, since) \
     JOIN postings p ON p.loan_key = d.loan_key AND p.loan_version > 0 AND p.effective_date >= d.since \
     JOIN events e ON e.seq = p.event_seq WHERE p.outcome = 'posted' ORDER BY p.loan_key, p.loan_version"
);

#[async_trait]
impl PastReads for PgConnection {
    async fn postings_since(&mut self, since: &Days) -> Result<Rows, StoreError> {
        let query = sqlx::query(READ_HISTORY)
            .bind(since.keys().copied().map(key_column).collect::<Vec<_>>())
            .bind(since.values().copied().collect::<Vec<_>>());
        let mut read = Rows::new();
        for row in &query.fetch_all(self).await.map_err(classify)? {
            let mut columns = Columns::of(row);
            let event = rows::event(&mut columns)?;
            if let Some(posting) = rows::posting(&mut columns, event.event.id)? {
                read.entry(posting.loan_key).or_default().push((event, posting));
            }
        }
        Ok(read)
    }

    async fn parents(&mut self, groups: &BTreeSet<Seq>) -> Result<Vec<AcceptedEvent>, StoreError> {
        accruals::read_parents(self, groups).await
    }

    async fn marks(&mut self, until: &Days) -> Result<Vec<Marked>, StoreError> {
        accruals::read_marks(self, until).await
    }

    async fn moved_behind(&mut self, marks: &[Behind]) -> Result<Vec<Moved>, StoreError> {
        accruals::read_behind(self, marks).await
    }

    async fn moved_before(&mut self, until: &Days) -> Result<Vec<Moved>, StoreError> {
        accruals::read_before(self, until).await
    }
}

/// Gives its history to each loan that has a late event in the batch.
pub(in crate::store::postgres) async fn add_histories(
    connection: &mut PgConnection,
    loans: &mut [LoanWork],
    imagined: ImaginedRule,
) -> Result<(), StoreError> {
    let mut histories = read_histories(connection, loans.iter().map(Asking::from), imagined).await?;
    give(&mut histories, loans, |past, history| past.history = Some(history));
    Ok(())
}

/// Gives its principal by day and its accruals to each loan whose interest is computed by an event that is in order.
pub(in crate::store::postgres) async fn add_accruals(
    connection: &mut PgConnection,
    loans: &mut [LoanWork],
) -> Result<(), StoreError> {
    let in_order = loans.iter().filter(|loan| loan.past.history.is_none()).map(Asking::from);
    let mut books = read_accruals(connection, in_order).await?;
    give(&mut books, loans, |past, book| past.accruals = Some(book));
    Ok(())
}

/// Gives the same to a loan that an accrual is imagined for, from its whole past.
pub(super) async fn add_whole_accruals(
    connection: &mut PgConnection,
    loans: &mut [LoanWork],
) -> Result<(), StoreError> {
    let mut books = read_whole_accruals(connection, loans.iter().map(Asking::from)).await?;
    give(&mut books, loans, |past, book| past.accruals = Some(book));
    Ok(())
}

/// Gives the money that came in to each loan that is charged a late fee which says what it is for.
pub(super) async fn add_receipts(connection: &mut PgConnection, loans: &mut [LoanWork]) -> Result<(), StoreError> {
    let mut receipts = read_receipts(connection, loans.iter().map(Asking::from)).await?;
    give(&mut receipts, loans, |past, receipts| past.receipts = Some(receipts));
    Ok(())
}

/// Hands to each loan what was read of it.
fn give<T>(read: &mut BTreeMap<LoanKey, T>, loans: &mut [LoanWork], take: impl Fn(&mut Past, T)) {
    if read.is_empty() {
        return;
    }
    for loan in loans {
        if let Some(found) = read.remove(&loan.key) {
            take(&mut loan.past, found);
        }
    }
}
