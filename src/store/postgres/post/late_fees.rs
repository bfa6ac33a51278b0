//! Owns what late fees are reviewed by: their own postings, and the money that came in for their loans.

use chrono::NaiveDate;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::core::event::AcceptedEvent;
use crate::core::ids::{LoanKey, TenantId};
use crate::core::ledger::{AccountCode, LateFeeBook, LoanWork, Posting};
use crate::store::postgres::error::classify;
use crate::store::postgres::post::fees::forgives_fees;
use crate::store::postgres::rows::{self, Columns, event_columns, key_column, posting_columns};
use crate::store::{LateFeesPage, StoreError};

/// Says that an event `f` is a late fee that says what it is for: the law of the index `events_late_fees`.
macro_rules! late_fee {
    () => {
        "f.kind = 'fee_assessed' AND f.details LIKE '%\"late_for\":%'"
    };
}
pub(in crate::store::postgres) use late_fee;

/// Of loans with late fees of a day or later: the postings from the first day on that these fees ask for, and all that
/// moved fees. One step of `events_late_fees` a loan; walks the loan's postings where there is such a fee.
const READ_LATE_FEES: &str = concat!(
    "SELECT ",
    event_columns!(),
    ", ",
    posting_columns!(),
    " FROM (SELECT f.loan_key, min((f.details::json -> 'late_for' ->> 'period_from')::date) AS since FROM events f \
     WHERE f.tenant = $1 AND f.loan_key = ANY($2) AND f.effective_date >= $3 AND ",
    late_fee!(),
    " GROUP BY f.loan_key) AS d JOIN postings p ON p.loan_key = d.loan_key AND p.loan_version > 0 \
     JOIN events e ON e.seq = p.event_seq WHERE p.outcome = 'posted' AND (p.effective_date >= d.since \
     OR $4 = ANY(p.accounts) OR $5 = ANY(p.accounts) OR ",
    forgives_fees!(),
    ") ORDER BY p.loan_key, p.loan_version"
);

/// The next loans of a tenant with late fees of some days: a walk of `events_late_fees`.
const LOANS_WITH_LATE_FEES: &str = concat!(
    "SELECT DISTINCT f.loan_key FROM events f WHERE f.tenant = $1 AND f.loan_key > $2 \
     AND f.effective_date BETWEEN $3 AND $4 AND ",
    late_fee!(),
    " ORDER BY f.loan_key LIMIT $5"
);

/// The statements of this module.
pub(in crate::store::postgres) const STATEMENTS: [(&str, &str); 2] =
    [("read_late_fees", READ_LATE_FEES), ("loans_with_late_fees", LOANS_WITH_LATE_FEES)];

/// Gives its late fees to a loan that an event is imagined for.
pub(super) async fn add_late_fees(
    connection: &mut PgConnection,
    tenant: TenantId,
    work: &mut LoanWork,
) -> Result<(), StoreError> {
    let rows = read_late_fees(connection, tenant, (&[work.key], NaiveDate::MIN)).await?;
    work.past.late_fees = Some(LateFeeBook::of(&rows));
    Ok(())
}

/// The postings that tell the late fees of loans, of fees of a day or later; loan by loan, in order.
pub(in crate::store::postgres) async fn read_late_fees(
    connection: &mut PgConnection,
    tenant: TenantId,
    (loans, from): (&[LoanKey], NaiveDate),
) -> Result<Vec<(AcceptedEvent, Posting)>, StoreError> {
    // The first day that the engine knows is later than ours.
    let from = from.max(NaiveDate::from_ymd_opt(1, 1, 1).unwrap_or_default());
    let query = sqlx::query(READ_LATE_FEES)
        .bind(tenant.0)
        .bind(loans.iter().copied().map(key_column).collect::<Vec<Uuid>>())
        .bind(from)
        .bind(AccountCode::FEES_RECEIVABLE.number())
        .bind(AccountCode::FEES_REVERSED.number());
    let mut read = Vec::new();
    for row in &query.fetch_all(connection).await.map_err(classify)? {
        let mut columns = Columns::of(row);
        let event = rows::event(&mut columns)?;
        let posting = rows::posting(&mut columns, event.event.id)?;
        read.extend(posting.map(|posting| (event, posting)));
    }
    Ok(read)
}

/// The next loans with late fees.
pub(in crate::store::postgres) async fn loans_with_late_fees(
    connection: &mut PgConnection,
    tenant: TenantId,
    page: &LateFeesPage,
) -> Result<Vec<LoanKey>, StoreError> {
    let query = sqlx::query(LOANS_WITH_LATE_FEES)
        .bind(tenant.0)
        .bind(key_column(page.after))
        .bind(page.from)
        .bind(page.to)
        .bind(page.limit.saturating_add(1));
    let rows = query.fetch_all(connection).await.map_err(classify)?;
    rows.iter().map(|row| Columns::of(row).loan_key()).collect()
}
