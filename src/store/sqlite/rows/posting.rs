//! Owns rows of `postings`.

use sqlx::sqlite::SqliteRow;

use crate::core::ids::{EventId, LoanId, LoanKey, Seq};
use crate::core::ledger::{AccountCode, JournalEntry, Line, Outcome, Posting};
use crate::core::loan::{Allocation, Balances, DayMovement};
use crate::core::money::{AmountOverflow, Minor};
use crate::store::StoreError;
use crate::store::sqlite::rows::{broken, bytes, date, get, instant, minor, optional_bytes, word};

/// The columns of a posting, from `postings AS p`; see [`super::event_columns`] for why this is a macro.
macro_rules! posting_columns {
    () => {
        "p.loan_key AS posting_loan_key, p.loan_version, p.outcome, p.rejection_code, p.accounts, p.amounts, p.layer,
        p.alloc_fees, p.alloc_interest, p.alloc_principal, p.alloc_suspense, p.undoes_seq,
        p.restates_seq, p.effective_date AS posting_effective_date, p.booking_date, p.posted_at, p.chain_hash, p.answer"
    };
}
pub(in crate::store::sqlite) use posting_columns;

/// Reads [`posting_columns`]; `None` where the event has no posting (the row comes from an outer join).
pub(in crate::store::sqlite) fn decode_posting(
    row: &SqliteRow,
    event_id: EventId,
) -> Result<Option<Posting>, StoreError> {
    let Some(outcome) = decode_outcome(row)? else {
        return Ok(None);
    };
    Ok(Some(Posting {
        event_id,
        loan_key: LoanKey::from_bytes(bytes(row, "posting_loan_key")?),
        loan_version: get(row, "loan_version")?,
        outcome,
        entry: decode_entry(row)?,
        allocation: decode_allocation(row)?,
        undoes_seq: get::<Option<i64>>(row, "undoes_seq")?.map(Seq),
        restates_seq: get::<Option<i64>>(row, "restates_seq")?.map(Seq),
        effective_date: date(row, "posting_effective_date")?,
        booking_date: date(row, "booking_date")?,
        posted_at: instant(row, "posted_at")?,
        chain_hash: optional_bytes(row, "chain_hash")?,
        refused_loans: decode_refused(row, outcome)?,
    }))
}

/// The loans that a group was refused for stand where an operation of the api has its answer.
fn decode_refused(row: &SqliteRow, outcome: Outcome) -> Result<Vec<LoanId>, StoreError> {
    match (outcome, get::<Option<&[u8]>>(row, "answer")?) {
        (Outcome::Rejected(_), Some(answer)) => serde_json::from_slice(answer).map_err(|_| broken("answer")),
        (Outcome::Rejected(_) | Outcome::Posted | Outcome::Done, _) => Ok(Vec::new()),
    }
}

/// Reads outcome and rejection code; `None` where there is no posting.
pub(in crate::store::sqlite) fn decode_outcome(row: &SqliteRow) -> Result<Option<Outcome>, StoreError> {
    match get::<Option<&str>>(row, "outcome")? {
        None => Ok(None),
        Some("posted") => Ok(Some(Outcome::Posted)),
        Some("done") => Ok(Some(Outcome::Done)),
        Some("rejected") => word(row, "rejection_code").map(|code| Some(Outcome::Rejected(code))),
        Some(_) => Err(broken("outcome")),
    }
}

/// Reads the four parts of an allocation.
pub(in crate::store::sqlite) fn decode_allocation(row: &SqliteRow) -> Result<Option<Allocation>, StoreError> {
    if get::<Option<i64>>(row, "alloc_fees")?.is_none() {
        return Ok(None);
    }
    Ok(Some(Allocation {
        fees: minor(row, "alloc_fees")?,
        interest: minor(row, "alloc_interest")?,
        principal: minor(row, "alloc_principal")?,
        suspense: minor(row, "alloc_suspense")?,
    }))
}

/// Reads accounts and amounts.
pub(in crate::store::sqlite) fn decode_lines(row: &SqliteRow) -> Result<Vec<Line>, StoreError> {
    let accounts: Vec<i16> = serde_json::from_str(get(row, "accounts")?).map_err(|_| broken("accounts"))?;
    let amounts: Vec<i64> = serde_json::from_str(get(row, "amounts")?).map_err(|_| broken("amounts"))?;
    if accounts.len() != amounts.len() {
        return Err(broken("as many accounts as amounts"));
    }
    let line = |(account, signed)| {
        let account = AccountCode::from_number(account).ok_or_else(|| broken("accounts"))?;
        Ok(Line { account, signed: Minor::new(signed) })
    };
    accounts.into_iter().zip(amounts).map(line).collect()
}

fn decode_entry(row: &SqliteRow) -> Result<Option<JournalEntry>, StoreError> {
    let lines = decode_lines(row)?;
    if lines.is_empty() {
        return Ok(None);
    }
    let entry = JournalEntry::new(lines, word(row, "layer")?).map_err(|error| StoreError::Broken(error.to_string()))?;
    Ok(Some(entry))
}

/// Reads a posting's lines: what it moved, and the interest it accrued.
pub(in crate::store::sqlite) fn decode_accrual(row: &SqliteRow) -> Result<(Balances, Minor), StoreError> {
    let entry = decode_entry(row)?;
    let moved = entry.as_ref().map(|entry| Ok((entry.movement()?, entry.accrued()?))).transpose();
    Ok(moved.map_err(|error: AmountOverflow| StoreError::Broken(error.to_string()))?.unwrap_or_default())
}

/// Reads a posting's lines: what it moved, and whether on the memo accounts.
pub(in crate::store::sqlite) fn decode_moved(row: &SqliteRow) -> Result<(Balances, bool), StoreError> {
    let Some(entry) = decode_entry(row)? else { return Ok((Balances::default(), false)) };
    let moved = entry.movement().map_err(|error| StoreError::Broken(error.to_string()))?;
    Ok((moved, entry.has_line_on(AccountCode::CHARGED_OFF_MEMO)))
}

/// Reads a posting's day and lines: what it moved.
pub(in crate::store::sqlite) fn decode_movement(row: &SqliteRow) -> Result<DayMovement, StoreError> {
    let movement = decode_entry(row)?.as_ref().map(JournalEntry::movement).transpose();
    let movement = movement.map_err(|error| StoreError::Broken(error.to_string()))?.unwrap_or_default();
    Ok(DayMovement { date: date(row, "effective_date")?, movement })
}
