//! Owns the reads that operations on one loan need at acceptance, and a loan's fees.

use sqlx::SqliteConnection;

use crate::core::ids::{LoanKey, TenantId};
use crate::core::ledger::{FeeBook, FeeItem};
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::loans::{loan, loan_party};
use crate::store::sqlite::post::read_fees;
use crate::store::{LoanParty, StoreError};

pub(super) const PARTY: &str =
    "SELECT borrower_id, currency, program_id FROM loans WHERE tenant = ?1 AND loan_key = ?2 AND version > 0";

/// Of a loan that is about to open. Looks at its newest 10,000 events, as the worker does.
pub(super) const OPENING_PARTY: &str = "
    SELECT o.borrower_id, o.currency,
        CASE o.kind WHEN 'loan_opened' THEN unhex(replace(o.details ->> '$.program_id', '-', '')) END AS program_id
    FROM (SELECT e.seq, e.tenant, e.kind, e.slot, e.borrower_id, e.currency, e.details FROM events AS e
          WHERE e.loan_key = ?2 ORDER BY e.seq DESC LIMIT 10000) AS o
    WHERE o.tenant = ?1 AND o.kind IN ('disbursement', 'loan_opened') AND o.slot IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = o.seq)
    ORDER BY o.seq LIMIT 1";

/// Who owes a loan, also one that is about to open.
pub(super) async fn party(
    db: &mut SqliteConnection,
    tenant: TenantId,
    loan: LoanKey,
) -> Result<Option<LoanParty>, StoreError> {
    for statement in [PARTY, OPENING_PARTY] {
        let query = sqlx::query(statement).bind(tenant.0).bind(loan.bytes().to_vec());
        if let Some(row) = query.fetch_optional(&mut *db).await.map_err(store_error)? {
            return loan_party(&row).map(Some);
        }
    }
    Ok(None)
}

/// A loan's fees.
pub(super) async fn fees(
    db: &mut SqliteConnection,
    tenant: TenantId,
    key: LoanKey,
) -> Result<Option<Vec<FeeItem>>, StoreError> {
    if loan(db, tenant, key).await?.is_none() {
        return Ok(None);
    }
    let books = read_fees(db, &[key]).await?;
    Ok(Some(books.get(&key).map(FeeBook::items).unwrap_or_default()))
}
