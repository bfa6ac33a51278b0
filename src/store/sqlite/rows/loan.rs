//! Owns rows of `loans`.

use uuid::Uuid;

use crate::core::ids::{BorrowerId, LoanId, LoanKey, ProgramId, Seq};
use crate::core::loan::{Balances, ChargedOff, LoanState, Memo};
use crate::store::StoreError;
use crate::store::sqlite::rows::{Columns, bytes, date, id, instant, int, minor, tenant, word};

/// Whether the loan `l` is on hold, its hold joined as `h`. A macro, because `concat!` joins literals only.
macro_rules! on_hold {
    () => {
        "(h.loan_key IS NOT NULL OR EXISTS (SELECT 1 FROM refusing_holds AS r WHERE r.loan_key = l.loan_key)) AS on_hold"
    };
}

/// The columns of a loan, from `loans AS l`; see [`super::event_columns`] for why this is a macro.
macro_rules! loan_columns {
    () => {
        "l.loan_key, l.tenant, l.loan_id, l.loan_number, l.borrower_id, l.program_id, l.currency, l.opened_on,
        l.status, l.fees, l.interest, l.principal, l.suspense, l.waterfall, l.version,
        l.last_posted_seq, l.greatest_effective_date, l.last_posted_at, l.chain_head, l.charged_off_on,
        l.loss_account, l.memo_fees, l.memo_interest, l.memo_principal, l.suspense_release"
    };
}
pub(in crate::store::sqlite) use {loan_columns, on_hold};

/// The same, to be packed; see [`super::Packed`].
macro_rules! packed_loan {
    () => {
        "hex(l.loan_key), hex(l.tenant), hex(l.loan_id), l.loan_number, hex(l.borrower_id), hex(l.program_id), l.currency,
        l.opened_on, l.status, l.fees, l.interest, l.principal, l.suspense, l.waterfall, l.version, l.last_posted_seq,
        l.greatest_effective_date, l.last_posted_at, hex(l.chain_head), l.charged_off_on, l.loss_account, l.memo_fees,
        l.memo_interest, l.memo_principal, l.suspense_release"
    };
}
pub(in crate::store::sqlite) use packed_loan;

/// The names of [`packed_loan`].
pub(in crate::store::sqlite) const LOAN_COLUMNS: &[&str] = &[
    "loan_key",
    "tenant",
    "loan_id",
    "loan_number",
    "borrower_id",
    "program_id",
    "currency",
    "opened_on",
    "status",
    "fees",
    "interest",
    "principal",
    "suspense",
    "waterfall",
    "version",
    "last_posted_seq",
    "greatest_effective_date",
    "last_posted_at",
    "chain_head",
    "charged_off_on",
    "loss_account",
    "memo_fees",
    "memo_interest",
    "memo_principal",
    "suspense_release",
];

/// Reads [`loan_columns`].
pub(in crate::store::sqlite) fn decode_loan(row: &impl Columns) -> Result<LoanState, StoreError> {
    let program: Option<[u8; 16]> = row.optional_bytes("program_id")?;
    Ok(LoanState {
        key: LoanKey::from_bytes(bytes(row, "loan_key")?),
        tenant: tenant(row)?,
        loan_id: LoanId(id(row, "loan_id")?),
        borrower_id: BorrowerId(id(row, "borrower_id")?),
        program_id: program.map(|bytes| ProgramId(Uuid::from_bytes(bytes))),
        currency: word(row, "currency")?,
        opened_on: date(row, "opened_on")?,
        status: word(row, "status")?,
        charged_off: charged_off(row)?,
        suspense_release: word(row, "suspense_release")?,
        balances: Balances {
            fees: minor(row, "fees")?,
            interest: minor(row, "interest")?,
            principal: minor(row, "principal")?,
            suspense: minor(row, "suspense")?,
        },
        waterfalls: word(row, "waterfall")?,
        version: int(row, "version")?,
        last_posted_seq: Seq(int(row, "last_posted_seq")?),
        greatest_effective_date: date(row, "greatest_effective_date")?,
        last_posted_at: instant(row, "last_posted_at")?,
        chain_head: bytes(row, "chain_head")?,
    })
}

fn charged_off(row: &impl Columns) -> Result<Option<ChargedOff>, StoreError> {
    if row.optional_text("charged_off_on")?.is_none() {
        return Ok(None);
    }
    let memo = Memo {
        fees: minor(row, "memo_fees")?,
        interest: minor(row, "memo_interest")?,
        principal: minor(row, "memo_principal")?,
    };
    Ok(Some(ChargedOff { on: date(row, "charged_off_on")?, loss: word(row, "loss_account")?, memo }))
}
