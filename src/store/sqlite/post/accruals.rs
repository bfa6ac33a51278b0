//! Owns what interest is computed from: the principal of loans by day, and their accruals. A group that computes none
//! costs no statement more.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use crate::core::event::AcceptedEvent;
use crate::core::ids::LoanKey;
use crate::core::ledger::{AccountCode, needs_accruals};
use crate::core::loan::{AccrualBook, PostedAccrual};
use crate::store::StoreError;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::loan_keys;
use crate::store::sqlite::rows::{bytes, decode_movement, get};

/// The postings of loans that moved principal, and their accruals. Walks the loans' postings.
pub(in crate::store::sqlite) const ACCRUALS: &str = "
    SELECT p.loan_key, p.loan_version, p.effective_date, p.accounts, p.amounts, p.layer, e.kind = 'accrual' AS is_accrual,
        (SELECT u.loan_version FROM postings AS u WHERE u.undoes_seq = p.event_seq) AS undone
    FROM jsonb_each(?1) AS wanted
    JOIN postings AS p ON p.loan_key = unhex(wanted.value) AND p.loan_version > 0
    JOIN events AS e ON e.seq = p.event_seq
    WHERE p.outcome = 'posted' AND (e.kind = 'accrual'
        OR EXISTS (SELECT 1 FROM json_each(p.accounts) AS account WHERE account.value = ?2))";

/// The principal by day and the accruals of each loan whose interest is computed.
pub(in crate::store::sqlite) async fn read_accruals(
    db: &mut SqliteConnection,
    legs: &[AcceptedEvent],
) -> Result<BTreeMap<LoanKey, AccrualBook>, StoreError> {
    let asked = legs.iter().filter(|leg| needs_accruals(std::slice::from_ref(leg))).map(|leg| leg.event.loan_key);
    let mut books: BTreeMap<LoanKey, AccrualBook> = asked.map(|key| (key, AccrualBook::default())).collect();
    if books.is_empty() {
        return Ok(books);
    }
    let query = sqlx::query(ACCRUALS).bind(loan_keys(books.keys().copied())?);
    let query = query.bind(AccountCode::PRINCIPAL_RECEIVABLE.number());
    for row in &query.fetch_all(db).await.map_err(store_error)? {
        let book = books.entry(LoanKey::from_bytes(bytes(row, "loan_key")?)).or_default();
        let moved = decode_movement(row)?;
        book.note_principal(moved.date, moved.movement.principal);
        if get(row, "is_accrual")? {
            let (version, undone) = (get(row, "loan_version")?, get(row, "undone")?);
            book.note_accrual(PostedAccrual { version, date: moved.date, undone });
        }
    }
    Ok(books)
}
