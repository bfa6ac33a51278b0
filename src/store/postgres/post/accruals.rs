//! Owns what interest is computed from: the principal of loans by day, and their accruals. A group that computes none, and
//! a late event without computed interest behind it, cost no statement more.
//!
//! Of each loan a day is told: what counts from before it is read, for an accrual of the day before it, or for a replay
//! from it on. Most loans have a mark in front of that day: of them only the postings since are read. The whole past is
//! read of the others, and where the mark does not hold.

use std::collections::HashMap;

use chrono::NaiveDate;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::core::event::{AcceptedEvent, Command};
use crate::core::ids::{LoanKey, Seq};
use crate::core::ledger::{AccountCode, GroupOutput, Layer, LoanWork, Posting, computing_group};
use crate::core::loan::{AccrualBook, AccrualMark, Carried, InterestRule};
use crate::core::money::Minor;
use crate::store::StoreError;
use crate::store::postgres::error::classify;
use crate::store::postgres::rows::{self, Columns, event_columns, key_column};

/// The last mark of each loan that reaches no further than a day: a step of the primary key where it is the last of all,
/// else some steps back.
const READ_MARKS: &str = "SELECT l.loan_key, m.loan_version, m.until_date, m.since_date, m.principal, m.carried \
     FROM unnest($1::uuid[], $2::date[]) AS l (loan_key, until) CROSS JOIN LATERAL (SELECT a.loan_version, \
     a.until_date, a.since_date, a.principal, a.carried FROM loan_accruals a WHERE a.loan_key = l.loan_key \
     AND a.until_date <= l.until ORDER BY a.loan_version DESC LIMIT 1) AS m";

/// What came after a mark and counts from before a day: what it moved of principal, and whether it may be an accrual, or
/// take one back.
const READ_SINCE: &str = "SELECT p.loan_key, p.effective_date, (SELECT coalesce(sum(line.amount), 0) \
     FROM unnest(p.accounts, p.amounts) AS line (account, amount) WHERE line.account = $4 AND p.layer = $6)::bigint, \
     cardinality(p.amounts) = 0 OR $5 = ANY(p.accounts) \
     FROM unnest($1::uuid[], $2::bigint[], $3::date[]) AS m (loan_key, loan_version, until) \
     JOIN postings p ON p.loan_key = m.loan_key AND p.loan_version > m.loan_version \
     WHERE p.outcome = 'posted' AND p.effective_date < m.until";

const WRITE_MARKS: &str = "INSERT INTO loan_accruals (loan_key, loan_version, until_date, since_date, principal, carried) \
     SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::date[], $4::date[], $5::bigint[], $6::bigint[])";

/// What moved principal, by loan and day. Walks the loans' postings.
const READ_PRINCIPAL: &str = "SELECT p.loan_key, p.effective_date, sum(line.amount)::bigint \
     FROM unnest($1::uuid[], $2::date[]) AS l (loan_key, until) \
     JOIN postings p ON p.loan_key = l.loan_key AND p.loan_version > 0 AND p.effective_date < l.until \
     CROSS JOIN LATERAL unnest(p.accounts, p.amounts) AS line (account, amount) \
     WHERE p.layer = $4 AND $3 = ANY(p.accounts) AND line.account = $3 GROUP BY p.loan_key, p.effective_date";

/// The last day of each loan that an accrual covers which stands: of the events only those are looked up that may be one by
/// their lines.
const READ_LAST_ACCRUALS: &str = "SELECT p.loan_key, max(p.effective_date) \
     FROM unnest($1::uuid[], $2::date[]) AS l (loan_key, until) \
     JOIN postings p ON p.loan_key = l.loan_key AND p.loan_version > 0 AND p.effective_date < l.until \
     WHERE p.outcome = 'posted' AND CASE WHEN cardinality(p.amounts) = 0 OR $3 = ANY(p.accounts) \
     THEN (SELECT e.kind FROM events e WHERE e.seq = p.event_seq) = 'accrual' \
     AND NOT EXISTS (SELECT FROM postings u WHERE u.undoes_seq = p.event_seq OFFSET 0) ELSE false END \
     GROUP BY p.loan_key";

/// The parents of groups, which tell by what rule interest is computed. They never change.
const READ_PARENTS: &str = concat!("SELECT ", event_columns!(), " FROM events e WHERE e.seq = ANY($1::bigint[])");

/// The statements of this module.
pub(in crate::store::postgres) const STATEMENTS: [(&str, &str); 6] = [
    ("read_marks", READ_MARKS),
    ("read_since_mark", READ_SINCE),
    ("write_marks", WRITE_MARKS),
    ("read_principal", READ_PRINCIPAL),
    ("read_last_accruals", READ_LAST_ACCRUALS),
    ("read_parents", READ_PARENTS),
];

type Books = HashMap<LoanKey, AccrualBook>;

/// For each loan the day before which counts what is read.
type Asked = HashMap<LoanKey, NaiveDate>;

/// What loans were posted, as histories have it.
type Rows = HashMap<LoanKey, Vec<(AcceptedEvent, Posting)>>;

/// Gives its principal by day and its accruals to each loan whose interest is computed by an event that is in order.
pub(in crate::store::postgres) async fn add_accruals(
    connection: &mut PgConnection,
    loans: &mut [LoanWork],
) -> Result<(), StoreError> {
    let until = |loan: &LoanWork| {
        let is_asked = loan.past.history.is_none() && computing_group(&loan.events).is_some();
        let date = loan.events.last().filter(|_| is_asked)?.event.command.effective_date();
        Some((loan.key, date.succ_opt().unwrap_or(date)))
    };
    let asked: Asked = loans.iter().filter_map(until).collect();
    let mut books = read_books(connection, &asked).await?;
    for loan in loans.iter_mut() {
        loan.past.accruals = books.remove(&loan.key);
    }
    Ok(())
}

/// By what rule the interest of late loans is computed, and from what before the first day of their histories, where any
/// of that is computed in these or by the late events.
pub(super) async fn read_before(
    connection: &mut PgConnection,
    loans: &[LoanWork],
    (since, rows): (&Asked, &Rows),
) -> Result<HashMap<LoanKey, (InterestRule, AccrualBook)>, StoreError> {
    let late = loans.iter().filter_map(|loan| Some((loan, since.get(&loan.key)?)));
    let computing = late.filter_map(|(loan, since)| {
        let posted = rows.get(&loan.key).into_iter().flatten().map(|(event, _)| event);
        Some((loan.key, *since, computing_group(posted.chain(&loan.events))?))
    });
    let computing: Vec<(LoanKey, NaiveDate, Seq)> = computing.collect();
    if computing.is_empty() {
        return Ok(HashMap::new());
    }
    let groups: Vec<i64> = computing.iter().map(|(.., group)| group.0).collect();
    let parents = sqlx::query(READ_PARENTS).bind(groups).fetch_all(&mut *connection).await.map_err(classify)?;
    let mut rules: HashMap<Seq, InterestRule> = HashMap::new();
    for row in &parents {
        let parent = rows::event(&mut Columns::of(row))?;
        if let Command::Group(group) = &parent.event.command {
            rules.extend(group.operation.interest_rule().map(|rule| (parent.seq, *rule)));
        }
    }
    let asked: Asked = computing.iter().map(|(key, since, _)| (*key, *since)).collect();
    let mut books = read_books(connection, &asked).await?;
    let found = computing.iter().filter_map(|(key, _, group)| Some((*key, (*rules.get(group)?, books.remove(key)?))));
    Ok(found.collect())
}

async fn read_books(connection: &mut PgConnection, asked: &Asked) -> Result<Books, StoreError> {
    if asked.is_empty() {
        return Ok(Books::new());
    }
    let mut books = read_marked(connection, asked).await?;
    books.retain(|_, book| book.holds());
    let whole: Asked =
        asked.iter().filter(|(key, _)| !books.contains_key(key)).map(|(key, day)| (*key, *day)).collect();
    if !whole.is_empty() {
        books.extend(whole.keys().map(|key| (*key, AccrualBook::default())));
        read_principal(connection, &whole, &mut books).await?;
        read_accruals(connection, &whole, &mut books).await?;
    }
    Ok(books)
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
async fn read_marked(connection: &mut PgConnection, asked: &Asked) -> Result<Books, StoreError> {
    let (keys, days) = columns(asked);
    let query = sqlx::query(READ_MARKS).bind(keys).bind(days);
    let (mut books, mut marked, mut versions, mut days) = (Books::new(), Vec::new(), Vec::new(), Vec::new());
    for row in &query.fetch_all(&mut *connection).await.map_err(classify)? {
        let mut columns = Columns::of(row);
        let key = columns.loan_key()?;
        marked.push(key_column(key));
        versions.push(columns.take::<i64>()?);
        days.push(asked.get(&key).copied());
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
        .bind(days)
        .bind(AccountCode::PRINCIPAL_RECEIVABLE.number())
        .bind(AccountCode::INTEREST_INCOME.number())
        .bind(Layer::Settled.as_str());
    for row in &query.fetch_all(connection).await.map_err(classify)? {
        let mut columns = Columns::of(row);
        let (key, date) = (columns.loan_key()?, columns.take()?);
        let book = books.entry(key).or_default();
        book.note_principal(date, Minor::new(columns.take()?));
        if columns.take()? {
            book.doubt();
        }
    }
    Ok(books)
}

fn columns(asked: &Asked) -> (Vec<Uuid>, Vec<NaiveDate>) {
    asked.iter().map(|(key, day)| (key_column(*key), *day)).unzip()
}

async fn read_principal(connection: &mut PgConnection, asked: &Asked, books: &mut Books) -> Result<(), StoreError> {
    let (keys, days) = columns(asked);
    let query = sqlx::query(READ_PRINCIPAL)
        .bind(keys)
        .bind(days)
        .bind(AccountCode::PRINCIPAL_RECEIVABLE.number())
        .bind(Layer::Settled.as_str());
    for row in &query.fetch_all(connection).await.map_err(classify)? {
        let mut columns = Columns::of(row);
        let (key, date) = (columns.loan_key()?, columns.take()?);
        books.entry(key).or_default().note_principal(date, Minor::new(columns.take()?));
    }
    Ok(())
}

async fn read_accruals(connection: &mut PgConnection, asked: &Asked, books: &mut Books) -> Result<(), StoreError> {
    let (keys, days) = columns(asked);
    let query = sqlx::query(READ_LAST_ACCRUALS).bind(keys).bind(days).bind(AccountCode::INTEREST_INCOME.number());
    for row in &query.fetch_all(connection).await.map_err(classify)? {
        let mut columns = Columns::of(row);
        let key = columns.loan_key()?;
        books.entry(key).or_default().note_accrual(columns.take()?);
    }
    Ok(())
}
