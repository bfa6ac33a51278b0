//! Owns what interest is computed from: the principal of loans by day, and their accruals. A group that computes none
//! costs no statement more.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::core::ids::LoanKey;
use crate::core::ledger::{AccountCode, Layer, LoanWork, needs_accruals};
use crate::core::loan::{AccrualBook, PostedAccrual};
use crate::core::money::Minor;
use crate::store::StoreError;
use crate::store::postgres::error::classify;
use crate::store::postgres::rows::{Columns, key_column};

/// What moved principal, by loan and day. Walks the loans' postings.
const READ_PRINCIPAL: &str = "SELECT p.loan_key, p.effective_date, sum(line.amount)::bigint \
     FROM unnest($1::uuid[]) AS l (loan_key) JOIN postings p ON p.loan_key = l.loan_key AND p.loan_version > 0 \
     CROSS JOIN LATERAL unnest(p.accounts, p.amounts) AS line (account, amount) \
     WHERE p.layer = $3 AND $2 = ANY(p.accounts) AND line.account = $2 GROUP BY p.loan_key, p.effective_date";

/// The accruals of loans, `a`: of the events only those are looked up that may be one by their lines.
macro_rules! accruals {
    () => {
        " FROM unnest($1::uuid[]) AS l (loan_key) JOIN postings p ON p.loan_key = l.loan_key AND p.loan_version > 0 \
         CROSS JOIN LATERAL (SELECT u.loan_version FROM (SELECT p.event_seq) AS one LEFT JOIN postings u \
         ON u.undoes_seq = one.event_seq OFFSET 0) AS undone WHERE p.outcome = 'posted' \
         AND CASE WHEN cardinality(p.amounts) = 0 OR $2 = ANY(p.accounts) \
         THEN (SELECT e.kind FROM events e WHERE e.seq = p.event_seq) = 'accrual' ELSE false END"
    };
}

/// The accrual of each loan that says all where none was taken back, and whether one was.
const READ_LAST_ACCRUALS: &str = concat!(
    "SELECT p.loan_key, max(p.loan_version), max(p.effective_date), bool_or(undone.loan_version IS NOT NULL)",
    accruals!(),
    " GROUP BY p.loan_key"
);

/// Every accrual.
const READ_ALL_ACCRUALS: &str =
    concat!("SELECT p.loan_key, p.loan_version, p.effective_date, undone.loan_version", accruals!());

/// The statements of this module.
pub(in crate::store::postgres) const STATEMENTS: [(&str, &str); 3] = [
    ("read_principal", READ_PRINCIPAL),
    ("read_last_accruals", READ_LAST_ACCRUALS),
    ("read_all_accruals", READ_ALL_ACCRUALS),
];

type Books = HashMap<LoanKey, AccrualBook>;

/// Gives its principal by day and its accruals to each loan whose interest is computed.
pub(in crate::store::postgres) async fn add_accruals(
    connection: &mut PgConnection,
    loans: &mut [LoanWork],
) -> Result<(), StoreError> {
    let asked: Vec<LoanKey> = loans.iter().filter(|loan| needs_accruals(&loan.events)).map(|loan| loan.key).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let mut books: Books = asked.iter().map(|key| (*key, AccrualBook::default())).collect();
    read_principal(connection, &asked, &mut books).await?;
    read_accruals(connection, &asked, &mut books).await?;
    for loan in loans.iter_mut() {
        loan.past.accruals = books.remove(&loan.key);
    }
    Ok(())
}

fn keys(loans: &[LoanKey]) -> Vec<Uuid> {
    loans.iter().copied().map(key_column).collect()
}

async fn read_principal(connection: &mut PgConnection, loans: &[LoanKey], books: &mut Books) -> Result<(), StoreError> {
    let query = sqlx::query(READ_PRINCIPAL)
        .bind(keys(loans))
        .bind(AccountCode::PRINCIPAL_RECEIVABLE.number())
        .bind(Layer::Settled.as_str());
    for row in &query.fetch_all(connection).await.map_err(classify)? {
        let mut columns = Columns::of(row);
        let (key, date) = (columns.loan_key()?, columns.take()?);
        books.entry(key).or_default().note_principal(date, Minor::new(columns.take()?));
    }
    Ok(())
}

async fn read_accruals(connection: &mut PgConnection, loans: &[LoanKey], books: &mut Books) -> Result<(), StoreError> {
    let income = AccountCode::INTEREST_INCOME.number();
    let query = sqlx::query(READ_LAST_ACCRUALS).bind(keys(loans)).bind(income);
    let mut mended = Vec::new();
    for row in &query.fetch_all(&mut *connection).await.map_err(classify)? {
        let mut columns = Columns::of(row);
        let (key, version, date) = (columns.loan_key()?, columns.take()?, columns.take()?);
        if columns.take()? {
            mended.push(key);
        } else {
            books.entry(key).or_default().note_accrual(PostedAccrual { version, date, undone: None });
        }
    }
    if mended.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(READ_ALL_ACCRUALS).bind(keys(&mended)).bind(income);
    for row in &query.fetch_all(connection).await.map_err(classify)? {
        let mut columns = Columns::of(row);
        let key = columns.loan_key()?;
        let accrual = PostedAccrual { version: columns.take()?, date: columns.take()?, undone: columns.take()? };
        books.entry(key).or_default().note_accrual(accrual);
    }
    Ok(())
}
