//! Owns rows of `loans`.

use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::core::ids::{BorrowerId, LoanId, LoanKey, ProgramId, Seq};
use crate::core::loan::{Balances, LoanState};
use crate::store::StoreError;
use crate::store::sqlite::rows::{bytes, date, get, id, instant, minor, optional_bytes, tenant, word};

/// The columns of a loan, from `loans AS l`; see [`super::event_columns`] for why this is a macro.
macro_rules! loan_columns {
    () => {
        "l.loan_key, l.tenant, l.loan_id, l.loan_number, l.borrower_id, l.program_id, l.currency, l.opened_on,
        l.status, l.fees_minor, l.interest_minor, l.principal_minor, l.suspense_minor, l.waterfall, l.version,
        l.last_posted_seq, l.greatest_effective_date, l.last_posted_at, l.chain_head"
    };
}
pub(in crate::store::sqlite) use loan_columns;

/// Reads [`loan_columns`].
pub(in crate::store::sqlite) fn decode_loan(row: &SqliteRow) -> Result<LoanState, StoreError> {
    let program: Option<[u8; 16]> = optional_bytes(row, "program_id")?;
    Ok(LoanState {
        key: LoanKey::from_bytes(bytes(row, "loan_key")?),
        tenant: tenant(row)?,
        loan_id: LoanId(id(row, "loan_id")?),
        borrower_id: BorrowerId(id(row, "borrower_id")?),
        program_id: program.map(|bytes| ProgramId(Uuid::from_bytes(bytes))),
        currency: word(row, "currency")?,
        opened_on: date(row, "opened_on")?,
        status: word(row, "status")?,
        balances: Balances {
            fees: minor(row, "fees_minor")?,
            interest: minor(row, "interest_minor")?,
            principal: minor(row, "principal_minor")?,
            suspense: minor(row, "suspense_minor")?,
        },
        waterfall: word(row, "waterfall")?,
        version: get(row, "version")?,
        last_posted_seq: Seq(get(row, "last_posted_seq")?),
        greatest_effective_date: date(row, "greatest_effective_date")?,
        last_posted_at: instant(row, "last_posted_at")?,
        chain_head: bytes(row, "chain_head")?,
    })
}
