//! Owns what late fees are reviewed by: their own postings, and the money that came in for their loans.

use chrono::NaiveDate;
use sqlx::SqliteConnection;

use crate::core::event::AcceptedEvent;
use crate::core::ids::{LoanKey, TenantId};
use crate::core::ledger::{AccountCode, LateFeeBook, Posting};
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::loan_keys;
use crate::store::sqlite::post::fees::forgives_fees;
use crate::store::sqlite::rows::{bytes, decode_posted, event_columns, posting_columns};
use crate::store::{LateFeesPage, StoreError};

/// Says that an event `f` is a late fee that says what it is for: the law of the index `events_late_fees`.
macro_rules! late_fee {
    () => {
        "f.kind = 'fee_assessed' AND instr(f.details, '\"late_for\":') > 0"
    };
}
pub(in crate::store::sqlite) use late_fee;

/// Of loans with late fees of a day or later: the postings from the first day on that these fees ask for, and all that
/// moved fees. One step of `events_late_fees` a loan; walks the loan's postings where there is such a fee.
pub(in crate::store::sqlite) const LATE_FEES: &str = concat!(
    "SELECT ",
    event_columns!(),
    ", ",
    posting_columns!(),
    " FROM (SELECT f.loan_key, min(f.details ->> '$.late_for.period_from') AS since
        FROM jsonb_each(?2) AS wanted JOIN events AS f INDEXED BY events_late_fees
            ON f.tenant = ?1 AND f.loan_key = unhex(wanted.value) AND f.effective_date >= ?3 AND ",
    late_fee!(),
    " GROUP BY f.loan_key) AS d
    JOIN postings AS p ON p.loan_key = d.loan_key AND p.loan_version > 0
    JOIN events AS e ON e.seq = p.event_seq
    WHERE p.outcome = 'posted' AND (p.effective_date >= d.since
        OR EXISTS (SELECT 1 FROM json_each(p.accounts) AS account WHERE account.value IN (?4, ?5)) OR ",
    forgives_fees!(),
    ")
    ORDER BY p.loan_key, p.loan_version"
);

/// The next loans of a tenant with late fees of some days: a walk of `events_late_fees`.
pub(in crate::store::sqlite) const LOANS_WITH_LATE_FEES: &str = concat!(
    "SELECT DISTINCT f.loan_key FROM events AS f INDEXED BY events_late_fees
    WHERE f.tenant = ?1 AND f.loan_key > ?2 AND f.effective_date BETWEEN ?3 AND ?4 AND ",
    late_fee!(),
    " ORDER BY f.loan_key LIMIT ?5"
);

/// The late fees of a loan that an event is imagined for.
pub(super) async fn late_fee_book(
    db: &mut SqliteConnection,
    tenant: TenantId,
    loan: LoanKey,
) -> Result<LateFeeBook, StoreError> {
    Ok(LateFeeBook::of(&read_late_fees(db, tenant, (&[loan], NaiveDate::MIN)).await?))
}

/// The postings that tell the late fees of loans, of fees of a day or later; loan by loan, in order.
pub(in crate::store::sqlite) async fn read_late_fees(
    db: &mut SqliteConnection,
    tenant: TenantId,
    (loans, from): (&[LoanKey], NaiveDate),
) -> Result<Vec<(AcceptedEvent, Posting)>, StoreError> {
    // Days are compared as texts of ten characters.
    let from = from.max(NaiveDate::from_ymd_opt(1, 1, 1).unwrap_or_default());
    let query = sqlx::query(LATE_FEES)
        .bind(tenant.0)
        .bind(loan_keys(loans.iter().copied())?)
        .bind(from)
        .bind(AccountCode::FEES_RECEIVABLE.number())
        .bind(AccountCode::FEES_REVERSED.number());
    let rows = query.fetch_all(db).await.map_err(store_error)?;
    rows.iter().filter_map(|row| decode_posted(row).transpose()).collect()
}

/// The next loans with late fees.
pub(in crate::store::sqlite) async fn loans_with_late_fees(
    db: &mut SqliteConnection,
    tenant: TenantId,
    page: &LateFeesPage,
) -> Result<Vec<LoanKey>, StoreError> {
    let query = sqlx::query(LOANS_WITH_LATE_FEES)
        .bind(tenant.0)
        .bind(page.after.bytes().to_vec())
        .bind(page.from)
        .bind(page.to)
        .bind(page.limit.saturating_add(1));
    let rows = query.fetch_all(db).await.map_err(store_error)?;
    rows.iter().map(|row| bytes(row, "loan_key").map(LoanKey::from_bytes)).collect()
}
