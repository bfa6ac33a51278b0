//! Owns the histories: what a loan was posted from the day of the earliest late event of the batch on. A batch without
//! late events costs no statement more.

use std::collections::HashMap;

use chrono::NaiveDate;
use sqlx::PgConnection;
use uuid::Uuid;

use super::accruals;
use crate::core::event::AcceptedEvent;
use crate::core::ids::LoanKey;
use crate::core::ledger::{History, LoanWork, Posting, earliest_late, reaches_back_to};
use crate::store::StoreError;
use crate::store::postgres::error::classify;
use crate::store::postgres::rows::{self, Columns, event_columns, key_column, posting_columns};

/// What stands in the books of loans from a day on, in order. Walks the loans' postings, which is why it runs for late
/// events only.
pub(in crate::store::postgres) const READ_HISTORY: &str = concat!(
    "SELECT ",
    event_columns!(),
    ", ",
    posting_columns!(),
    " FROM unnest($1::uuid[], $2::date[]) AS d (loan_key, since) \
     JOIN postings p ON p.loan_key = d.loan_key AND p.loan_version > 0 AND p.effective_date >= d.since \
     JOIN events e ON e.seq = p.event_seq WHERE p.outcome = 'posted' ORDER BY p.loan_key, p.loan_version"
);

/// Gives its history to each loan that has a late event in the batch.
pub(in crate::store::postgres) async fn add_histories(
    connection: &mut PgConnection,
    loans: &mut [LoanWork],
) -> Result<(), StoreError> {
    let earliest = |loan: &LoanWork| earliest_late(loan.state.as_ref()?, &loan.events);
    let mut since: HashMap<LoanKey, NaiveDate> =
        loans.iter().filter_map(|loan| earliest(loan).map(|date| (loan.key, date))).collect();
    if since.is_empty() {
        return Ok(());
    }
    let mut rows = read_rows(connection, &since).await?;
    // Of loans with payments that were charged back, the payments as well; each step reaches further back.
    let mut further = further_back(&rows, &since);
    while !further.is_empty() {
        rows.extend(read_rows(connection, &further).await?);
        since.extend(&further);
        further = further_back(&rows, &further);
    }
    let mut before = accruals::read_before(connection, loans, (&since, &rows)).await?;
    for loan in loans.iter_mut().filter(|loan| since.contains_key(&loan.key)) {
        let history = History::new(rows.remove(&loan.key).unwrap_or_default());
        loan.past.history = Some(match before.remove(&loan.key) {
            Some((rule, before)) => history.with_accruals(rule, before),
            None => history,
        });
    }
    Ok(())
}

fn further_back(
    rows: &HashMap<LoanKey, Vec<(AcceptedEvent, Posting)>>,
    since: &HashMap<LoanKey, NaiveDate>,
) -> HashMap<LoanKey, NaiveDate> {
    let further = since.iter().filter_map(|(key, since)| Some((*key, reaches_back_to(rows.get(key)?, *since)?)));
    further.collect()
}

/// What stands in the books of loans, each from its day on.
pub(super) async fn read_rows(
    connection: &mut PgConnection,
    since: &HashMap<LoanKey, NaiveDate>,
) -> Result<HashMap<LoanKey, Vec<(AcceptedEvent, Posting)>>, StoreError> {
    let (keys, dates): (Vec<Uuid>, Vec<NaiveDate>) = since.iter().map(|(key, date)| (key_column(*key), *date)).unzip();
    let query = sqlx::query(READ_HISTORY).bind(keys).bind(dates);
    let mut histories: HashMap<LoanKey, Vec<(AcceptedEvent, Posting)>> = HashMap::new();
    for row in &query.fetch_all(connection).await.map_err(classify)? {
        let mut columns = Columns::of(row);
        let event = rows::event(&mut columns)?;
        if let Some(posting) = rows::posting(&mut columns, event.event.id)? {
            histories.entry(posting.loan_key).or_default().push((event, posting));
        }
    }
    Ok(histories)
}
