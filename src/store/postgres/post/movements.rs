//! Owns the timelines: what moved on a loan after the earliest backdated event of the batch.

use std::collections::HashMap;

use chrono::NaiveDate;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::core::ids::LoanKey;
use crate::core::ledger::{AccountCode, Layer, LoanWork, earliest_backdated};
use crate::core::loan::{Balances, DayMovement, Timeline};
use crate::core::money::Minor;
use crate::store::StoreError;
use crate::store::postgres::error::classify;
use crate::store::postgres::rows::{Columns, key_column};

/// What moved per loan and day after a date: debits of receivables and credits of suspense are positive. Walks the
/// loan's postings, which is why it runs for backdated items only.
pub(in crate::store::postgres) const READ_MOVEMENTS: &str = "SELECT d.loan_key, p.effective_date, \
     coalesce(sum(line.amount) FILTER (WHERE line.account = $3), 0)::bigint, \
     coalesce(sum(line.amount) FILTER (WHERE line.account = $4), 0)::bigint, \
     coalesce(sum(line.amount) FILTER (WHERE line.account = $5), 0)::bigint, \
     (-coalesce(sum(line.amount) FILTER (WHERE line.account = $6), 0))::bigint \
     FROM unnest($1::uuid[], $2::date[]) AS d (loan_key, since) \
     JOIN postings p ON p.loan_key = d.loan_key AND p.loan_version > 0 AND p.effective_date > d.since \
     CROSS JOIN LATERAL unnest(p.accounts, p.amounts) AS line (account, amount) \
     WHERE p.layer = $7 GROUP BY d.loan_key, p.effective_date";

/// Gives a timeline to each loan that has a backdated event in the batch.
pub(in crate::store::postgres) async fn add_timelines(
    connection: &mut PgConnection,
    loans: &mut [LoanWork],
) -> Result<(), StoreError> {
    let earliest = |loan: &LoanWork| earliest_backdated(loan.state.as_ref()?.greatest_effective_date, &loan.events);
    let since: HashMap<LoanKey, NaiveDate> =
        loans.iter().filter_map(|loan| earliest(loan).map(|date| (loan.key, date))).collect();
    if since.is_empty() {
        return Ok(());
    }
    let mut days = read_movements(connection, &since).await?;
    for loan in loans.iter_mut().filter(|loan| since.contains_key(&loan.key)) {
        let days = days.remove(&loan.key).unwrap_or_default();
        let timeline = Timeline::new(days);
        loan.past.timeline =
            Some(timeline.map_err(|_| StoreError::Broken(format!("loan {:?} left 64 bits", loan.key)))?);
    }
    Ok(())
}

async fn read_movements(
    connection: &mut PgConnection,
    since: &HashMap<LoanKey, NaiveDate>,
) -> Result<HashMap<LoanKey, Vec<DayMovement>>, StoreError> {
    let (keys, dates): (Vec<Uuid>, Vec<NaiveDate>) = since.iter().map(|(key, date)| (key_column(*key), *date)).unzip();
    let query = sqlx::query(READ_MOVEMENTS)
        .bind(keys)
        .bind(dates)
        .bind(AccountCode::FEES_RECEIVABLE.number())
        .bind(AccountCode::INTEREST_RECEIVABLE.number())
        .bind(AccountCode::PRINCIPAL_RECEIVABLE.number())
        .bind(AccountCode::BORROWER_SUSPENSE.number())
        .bind(Layer::Settled.as_str());
    let rows = query.fetch_all(connection).await.map_err(classify)?;
    let mut days: HashMap<LoanKey, Vec<DayMovement>> = HashMap::new();
    for row in &rows {
        let mut columns = Columns::of(row);
        let key = columns.loan_key()?;
        let date = columns.take()?;
        let movement = Balances {
            fees: Minor::new(columns.take()?),
            interest: Minor::new(columns.take()?),
            principal: Minor::new(columns.take()?),
            suspense: Minor::new(columns.take()?),
        };
        days.entry(key).or_default().push(DayMovement { date, movement });
    }
    Ok(days)
}
