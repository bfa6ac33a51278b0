//! Owns reads of loans and of the accounts.

use std::collections::HashMap;

use chrono::NaiveDate;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::core::event::EventKind;
use crate::core::ids::{BorrowerId, LoanKey, ProgramId, TenantId};
use crate::core::ledger::{AccountCode, Layer};
use crate::core::loan::{DayMovement, Timeline};
use crate::core::money::{AmountOverflow, Currency};
use crate::core::time::Timestamp;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{json, loan_keys};
use crate::store::sqlite::records::{decode_records, select_records, stage};
use crate::store::sqlite::rows::{
    broken, bytes, decode_loan, decode_movement, event_columns, get, id, instant, loan_columns, on_hold,
    optional_bytes, posting_columns, sum, word,
};
use crate::store::{
    AccountTotals, BalanceTime, EntriesPage, EventRecord, LoanBalances, LoanParty, LoanRecord, StoreError,
};

pub(super) const LOAN: &str = concat!(
    "SELECT ",
    loan_columns!(),
    ", ",
    on_hold!(),
    " FROM loans AS l LEFT JOIN holds AS h ON h.loan_key = l.loan_key
    WHERE l.tenant = ?1 AND l.loan_key = ?2 AND l.version > 0"
);

pub(super) const LOAN_PARTIES: &str = "
    SELECT l.loan_key, l.borrower_id, l.currency, l.program_id
    FROM jsonb_each(?2) AS wanted JOIN loans AS l ON l.loan_key = unhex(wanted.value)
    WHERE l.tenant = ?1 AND l.version > 0";

/// Instants rise with the versions, so the last entry by the date is the first from behind.
pub(super) const LAST_ACTIVITY: &str = "
    SELECT posted_at FROM postings
    WHERE loan_key = ?1 AND loan_version > 0 AND effective_date <= ?2 AND posted_at <= ?3 AND amounts <> '[]'
    ORDER BY loan_version DESC LIMIT 1";

/// What does not count: effective after a day, or posted after an instant.
pub(super) const MOVEMENTS_BEYOND: &str = "
    SELECT effective_date, accounts, amounts, layer FROM postings
    WHERE loan_key = ?1 AND loan_version > 0 AND (effective_date > ?2 OR posted_at > ?3) AND amounts <> '[]'";

/// A payment that moved the memo accounts is a recovery, as
/// [`Posting::event_type`](crate::core::ledger::Posting::event_type) has it.
pub(super) const LOAN_ENTRIES: &str = concat!(
    select_records!("postings AS p INDEXED BY postings_loan_version JOIN events AS e ON e.seq = p.event_seq"),
    " WHERE e.tenant = ?1 AND p.loan_key = ?2 AND p.loan_version > ?3 AND p.amounts <> '[]'
        AND (?4 IS NULL OR p.effective_date >= ?4) AND (?5 IS NULL OR p.effective_date <= ?5)
        AND (?6 IS NULL OR iif(e.kind = 'payment_received'
                AND EXISTS (SELECT 1 FROM json_each(p.accounts) AS account WHERE account.value = ?8), 'recovery', e.kind)
            IN (SELECT value FROM json_each(?6)))
    ORDER BY p.loan_version LIMIT ?7"
);

pub(super) const ACCOUNT_TOTALS: &str = "
    SELECT debits, credits FROM account_totals
    WHERE tenant = ?1 AND account = ?2 AND currency = ?3 AND layer = ?4 AND booking_date <= ?5";

/// A tenant's loan.
pub(super) async fn loan(
    db: &mut SqliteConnection,
    tenant: TenantId,
    loan: LoanKey,
) -> Result<Option<LoanRecord>, StoreError> {
    let query = sqlx::query(LOAN).bind(tenant.0).bind(loan.bytes().to_vec());
    let Some(row) = query.fetch_optional(db).await.map_err(store_error)? else {
        return Ok(None);
    };
    loan_record(&row).map(Some)
}

/// Whom loans belong to.
pub(super) async fn loan_parties(
    db: &mut SqliteConnection,
    tenant: TenantId,
    loans: Vec<LoanKey>,
) -> Result<HashMap<LoanKey, LoanParty>, StoreError> {
    let query = sqlx::query(LOAN_PARTIES).bind(tenant.0).bind(loan_keys(loans)?);
    let rows = query.fetch_all(db).await.map_err(store_error)?;
    rows.iter().map(|row| Ok((LoanKey::from_bytes(bytes(row, "loan_key")?), loan_party(row)?))).collect()
}

/// Reads whom a loan belongs to.
pub(super) fn loan_party(row: &SqliteRow) -> Result<LoanParty, StoreError> {
    let program: Option<[u8; 16]> = optional_bytes(row, "program_id")?;
    Ok(LoanParty {
        borrower_id: BorrowerId(id(row, "borrower_id")?),
        currency: word(row, "currency")?,
        program_id: program.map(|bytes| ProgramId(Uuid::from_bytes(bytes))),
    })
}

/// Reads a loan with its number and whether it is held.
pub(super) fn loan_record(row: &SqliteRow) -> Result<LoanRecord, StoreError> {
    let (loan_number, on_hold) = (get(row, "loan_number")?, get(row, "on_hold")?);
    Ok(LoanRecord { state: decode_loan(row)?, loan_number, on_hold })
}

/// A loan's balances at a time: today's, without what does not count.
pub(super) async fn loan_balances(
    db: &mut SqliteConnection,
    tenant: TenantId,
    key: LoanKey,
    at: BalanceTime,
) -> Result<Option<LoanBalances>, StoreError> {
    let Some(record) = loan(db, tenant, key).await? else {
        return Ok(None);
    };
    let (as_of, known_at) = (at.as_of.to_string(), at.known_at.map_or(i64::MAX, Timestamp::micros));
    let beyond = sqlx::query(MOVEMENTS_BEYOND).bind(key.bytes().to_vec()).bind(&as_of).bind(known_at);
    let beyond = beyond.fetch_all(&mut *db).await.map_err(store_error)?;
    let days = beyond.iter().map(decode_movement).collect::<Result<Vec<DayMovement>, _>>()?;
    // By day first: what a day passes on the way may leave 64 bits.
    let left_64_bits = |error: AmountOverflow| StoreError::Broken(error.to_string());
    let days = Timeline::new(days).map_err(left_64_bits)?;
    let balances = days.start(&record.state.balances).map_err(left_64_bits)?;
    let last = sqlx::query(LAST_ACTIVITY).bind(key.bytes().to_vec()).bind(as_of).bind(known_at);
    let last = last.fetch_optional(db).await.map_err(store_error)?;
    let last_activity_at = last.as_ref().map(|row| instant(row, "posted_at")).transpose()?;
    Ok(Some(LoanBalances { balances, currency: record.state.currency, last_activity_at }))
}

/// A page of a loan's entries.
pub(super) async fn loan_entries(
    db: &mut SqliteConnection,
    tenant: TenantId,
    key: LoanKey,
    page: EntriesPage,
) -> Result<Option<Vec<EventRecord>>, StoreError> {
    if loan(db, tenant, key).await?.is_none() {
        return Ok(None);
    }
    let kinds = page.event_type.map(|event_type| {
        let of_type = EventKind::ALL.into_iter().filter(|kind| kind.event_type() == event_type);
        json(&of_type.map(EventKind::as_str).collect::<Vec<_>>())
    });
    let rows = sqlx::query(LOAN_ENTRIES)
        .bind(tenant.0)
        .bind(key.bytes().to_vec())
        .bind(page.after_version)
        .bind(page.from.map(|date| date.to_string()))
        .bind(page.to.map(|date| date.to_string()))
        .bind(kinds.transpose()?)
        .bind(page.limit.saturating_add(1))
        .bind(AccountCode::CHARGED_OFF_MEMO.number());
    decode_records(&rows.fetch_all(db).await.map_err(store_error)?).map(Some)
}

/// Which sums to add up.
#[derive(Clone, Copy, Debug)]
pub(super) struct AccountQuestion {
    pub(super) tenant: TenantId,
    pub(super) account: AccountCode,
    pub(super) currency: Currency,
    pub(super) layer: Layer,
    pub(super) as_of: NaiveDate,
}

/// Debits and credits of an account by a date.
pub(super) async fn account_totals(
    db: &mut SqliteConnection,
    of: AccountQuestion,
) -> Result<AccountTotals, StoreError> {
    let rows = sqlx::query(ACCOUNT_TOTALS)
        .bind(of.tenant.0)
        .bind(of.account.number())
        .bind(of.currency.code().to_owned())
        .bind(of.layer.as_str())
        .bind(of.as_of.to_string());
    let rows = rows.fetch_all(db).await.map_err(store_error)?;
    let mut totals = AccountTotals::default();
    for row in &rows {
        let too_much = || broken("a total leaves 128 bits");
        totals.debits = totals.debits.checked_add(sum(row, "debits")?).ok_or_else(too_much)?;
        totals.credits = totals.credits.checked_add(sum(row, "credits")?).ok_or_else(too_much)?;
    }
    Ok(totals)
}
