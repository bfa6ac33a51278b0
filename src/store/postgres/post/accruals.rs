//! Owns what interest is computed from: the principal of loans by day, and their accruals. A group that computes none
//! costs no statement more.
//!
//! Most loans have a mark behind their last accrual: of them only the postings since are read. The whole past is read of
//! the others, and where the mark does not hold.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::core::ids::LoanKey;
use crate::core::ledger::{AccountCode, GroupOutput, Layer, LoanWork, needs_accruals};
use crate::core::loan::{AccrualBook, AccrualMark, Carried, PostedAccrual};
use crate::core::money::Minor;
use crate::store::StoreError;
use crate::store::postgres::error::classify;
use crate::store::postgres::rows::{Columns, key_column};

/// The last mark of each loan: a step of the primary key.
const READ_MARKS: &str = "SELECT l.loan_key, m.loan_version, m.until_date, m.since_date, m.principal, m.carried \
     FROM unnest($1::uuid[]) AS l (loan_key) CROSS JOIN LATERAL (SELECT a.loan_version, a.until_date, a.since_date, \
     a.principal, a.carried FROM loan_accruals a WHERE a.loan_key = l.loan_key \
     ORDER BY a.loan_version DESC LIMIT 1) AS m";

/// What came after a mark: what it moved of principal, and whether it may be an accrual, or take one back.
const READ_SINCE: &str = "SELECT p.loan_key, p.loan_version, p.effective_date, (SELECT coalesce(sum(line.amount), 0) \
     FROM unnest(p.accounts, p.amounts) AS line (account, amount) WHERE line.account = $3 AND p.layer = $5)::bigint, \
     cardinality(p.amounts) = 0 OR $4 = ANY(p.accounts) \
     FROM unnest($1::uuid[], $2::bigint[]) AS m (loan_key, loan_version) \
     JOIN postings p ON p.loan_key = m.loan_key AND p.loan_version > m.loan_version WHERE p.outcome = 'posted'";

const WRITE_MARKS: &str = "INSERT INTO loan_accruals (loan_key, loan_version, until_date, since_date, principal, carried) \
     SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::date[], $4::date[], $5::bigint[], $6::bigint[])";

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
pub(in crate::store::postgres) const STATEMENTS: [(&str, &str); 6] = [
    ("read_marks", READ_MARKS),
    ("read_since_mark", READ_SINCE),
    ("write_marks", WRITE_MARKS),
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
    let mut books = read_marked(connection, &asked).await?;
    books.retain(|_, book| book.holds());
    let whole: Vec<LoanKey> = asked.into_iter().filter(|key| !books.contains_key(key)).collect();
    if !whole.is_empty() {
        books.extend(whole.iter().map(|key| (*key, AccrualBook::default())));
        read_principal(connection, &whole, &mut books).await?;
        read_accruals(connection, &whole, &mut books).await?;
    }
    for loan in loans.iter_mut() {
        loan.past.accruals = books.remove(&loan.key);
    }
    Ok(())
}

/// Writes how far loans are accrued.
pub(in crate::store::postgres) async fn write_marks(
    connection: &mut PgConnection,
    output: &GroupOutput,
) -> Result<(), StoreError> {
    if output.accrued.is_empty() {
        return Ok(());
    }
    let marks = || output.accrued.iter().map(|(.., mark)| mark);
    let query = sqlx::query(WRITE_MARKS)
        .bind(output.accrued.iter().map(|(key, ..)| key_column(*key)).collect::<Vec<_>>())
        .bind(output.accrued.iter().map(|(_, version, _)| *version).collect::<Vec<_>>())
        .bind(marks().map(|mark| mark.until).collect::<Vec<_>>())
        .bind(marks().map(|mark| mark.since).collect::<Vec<_>>())
        .bind(marks().map(|mark| mark.principal.units()).collect::<Vec<_>>())
        .bind(marks().map(|mark| mark.carried.parts()).collect::<Vec<_>>());
    query.execute(connection).await.map_err(classify).map(drop)
}

/// The books of the loans that have a mark, with what came since.
async fn read_marked(connection: &mut PgConnection, loans: &[LoanKey]) -> Result<Books, StoreError> {
    let rows = sqlx::query(READ_MARKS).bind(keys(loans)).fetch_all(&mut *connection).await.map_err(classify)?;
    let (mut books, mut marked, mut versions) = (Books::new(), Vec::new(), Vec::new());
    for row in &rows {
        let mut columns = Columns::of(row);
        let key = columns.loan_key()?;
        marked.push(key_column(key));
        versions.push(columns.take::<i64>()?);
        let (until, since, principal) = (columns.take()?, columns.take()?, Minor::new(columns.take()?));
        let carried = Carried::from_parts(columns.take()?);
        let carried = carried.ok_or_else(|| StoreError::Broken("a loan carries what it cannot".to_owned()))?;
        books.insert(key, AccrualBook::since(AccrualMark { until, since, principal, carried }));
    }
    if marked.is_empty() {
        return Ok(books);
    }
    let query = sqlx::query(READ_SINCE)
        .bind(marked)
        .bind(versions)
        .bind(AccountCode::PRINCIPAL_RECEIVABLE.number())
        .bind(AccountCode::INTEREST_INCOME.number())
        .bind(Layer::Settled.as_str());
    for row in &query.fetch_all(connection).await.map_err(classify)? {
        let mut columns = Columns::of(row);
        let (key, version, date) = (columns.loan_key()?, columns.take()?, columns.take()?);
        let book = books.entry(key).or_default();
        book.note_principal(date, Minor::new(columns.take()?));
        if columns.take()? {
            book.note_accrual(PostedAccrual { version, date, undone: None });
        }
    }
    Ok(books)
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
