//! Owns the fees of loans, as their postings tell them: for waivers, and for who reads them.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::core::ids::LoanKey;
use crate::core::ledger::{AccountCode, FeeBook, LoanWork, needs_fees};
use crate::store::StoreError;
use crate::store::postgres::error::classify;
use crate::store::postgres::rows::{self, Columns, event_columns, key_column, posting_columns};

/// Of `postings AS p` with `events AS e`: whether one forgave fees, or took back what had. What stands of a waiver may be
/// in suspense alone.
macro_rules! forgives_fees {
    () => {
        "(e.kind = 'fee_waived' OR EXISTS (SELECT FROM events w WHERE w.seq = p.undoes_seq \
         AND w.kind IN ('fee_waived', 'manual_adjustment')))"
    };
}
pub(super) use forgives_fees;

/// The postings of loans that moved fees, bore them as a loss, forgave them or took back what had forgiven them, in order.
/// Walks the loans' postings, which is why nothing on the hot path does.
pub(in crate::store::postgres) const READ_FEE_POSTINGS: &str = concat!(
    "SELECT ",
    event_columns!(),
    ", ",
    posting_columns!(),
    " FROM unnest($1::uuid[]) AS l (loan_key) \
     JOIN postings p ON p.loan_key = l.loan_key AND p.loan_version > 0 JOIN events e ON e.seq = p.event_seq \
     WHERE p.outcome = 'posted' AND ($2 = ANY(p.accounts) OR $3 = ANY(p.accounts) OR ",
    forgives_fees!(),
    ") ORDER BY p.loan_key, p.loan_version"
);

/// Gives its fees to each loan whose events are judged by them.
pub(in crate::store::postgres) async fn add_fees(
    connection: &mut PgConnection,
    loans: &mut [LoanWork],
) -> Result<(), StoreError> {
    let asks = |loan: &&LoanWork| needs_fees(&loan.events) || loan.past.earlier.takes_back_fees(&loan.events);
    let asked: Vec<LoanKey> = loans.iter().filter(asks).map(|loan| loan.key).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let mut books = read_fees(connection, &asked).await?;
    for loan in loans.iter_mut().filter(|loan| asked.contains(&loan.key)) {
        loan.past.fees = Some(books.remove(&loan.key).unwrap_or_default());
    }
    Ok(())
}

/// The fees of these loans.
pub(in crate::store::postgres) async fn read_fees(
    connection: &mut PgConnection,
    loans: &[LoanKey],
) -> Result<HashMap<LoanKey, FeeBook>, StoreError> {
    let keys: Vec<Uuid> = loans.iter().copied().map(key_column).collect();
    let query = sqlx::query(READ_FEE_POSTINGS).bind(keys).bind(AccountCode::FEES_RECEIVABLE.number());
    let query = query.bind(AccountCode::FEES_REVERSED.number());
    let mut books: HashMap<LoanKey, FeeBook> = HashMap::new();
    for row in &query.fetch_all(connection).await.map_err(classify)? {
        let mut columns = Columns::of(row);
        let event = rows::event(&mut columns)?.event;
        if let Some(posting) = rows::posting(&mut columns, event.id)? {
            books.entry(posting.loan_key).or_default().note(&event, &posting);
        }
    }
    Ok(books)
}
