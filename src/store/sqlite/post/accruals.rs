//! Owns what interest is computed from: the principal of loans by day, and their accruals. A group that computes none, and
//! a late event without computed interest behind it, cost no statement more.
//!
//! Of each loan a day is told: what counts from before it is read, for an accrual of the day before it, or for a replay
//! from it on. Most loans have a mark in front of that day: of them only the postings since are read. The whole past is
//! read of the others, and where the mark does not hold.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;
use sqlx::SqliteConnection;

use crate::core::event::{AcceptedEvent, Command};
use crate::core::ids::{LoanKey, Seq};
use crate::core::ledger::{AccountCode, GroupOutput, History, Posting, computing_group};
use crate::core::loan::{AccrualBook, AccrualMark, Carried, InterestRule};
use crate::store::StoreError;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{Hex, json};
use crate::store::sqlite::rows::{broken, bytes, date, decode_event, decode_movement, event_columns, get, minor};

/// The last mark of each loan that reaches no further than a day.
pub(in crate::store::sqlite) const MARKS: &str = "
    SELECT m.loan_key, m.loan_version, m.until_date, m.since_date, m.principal, m.carried
    FROM jsonb_each(?1) AS wanted
    JOIN loan_accruals AS m ON m.loan_key = unhex(wanted.value ->> 'loan_key') AND m.loan_version = (
        SELECT l.loan_version FROM loan_accruals AS l WHERE l.loan_key = unhex(wanted.value ->> 'loan_key')
            AND l.until_date <= wanted.value ->> 'until' ORDER BY l.loan_version DESC LIMIT 1)";

/// What came after a mark and counts from before a day: what it moved, and whether it may be an accrual, or take one back.
pub(in crate::store::sqlite) const SINCE_MARK: &str = "
    SELECT p.loan_key, p.effective_date, p.accounts, p.amounts, p.layer,
        p.amounts = '[]' OR EXISTS (SELECT 1 FROM json_each(p.accounts) AS account WHERE account.value = ?2) AS may_accrue
    FROM jsonb_each(?1) AS wanted
    JOIN postings AS p ON p.loan_key = unhex(wanted.value ->> 'loan_key')
        AND p.loan_version > wanted.value ->> 'loan_version'
    WHERE p.outcome = 'posted' AND p.effective_date < wanted.value ->> 'until'";

/// Writes marks.
pub(in crate::store::sqlite) const WRITE_MARKS: &str = "
    INSERT INTO loan_accruals (loan_key, loan_version, until_date, since_date, principal, carried)
    SELECT unhex(value ->> 'loan_key'), value ->> 'loan_version', value ->> 'until_date', value ->> 'since_date',
        value ->> 'principal', value ->> 'carried'
    FROM jsonb_each(?1)";

/// The postings of loans before a day that moved principal, and their accruals. Walks the loans' postings.
pub(in crate::store::sqlite) const ACCRUALS: &str = "
    SELECT p.loan_key, p.effective_date, p.accounts, p.amounts, p.layer, e.kind = 'accrual'
            AND NOT EXISTS (SELECT 1 FROM postings AS u WHERE u.undoes_seq = p.event_seq) AS accrues
    FROM jsonb_each(?1) AS wanted
    JOIN postings AS p ON p.loan_key = unhex(wanted.value ->> 'loan_key') AND p.loan_version > 0
    JOIN events AS e ON e.seq = p.event_seq
    WHERE p.outcome = 'posted' AND p.effective_date < wanted.value ->> 'until' AND (e.kind = 'accrual'
        OR EXISTS (SELECT 1 FROM json_each(p.accounts) AS account WHERE account.value = ?2))";

/// The parents of groups, which tell by what rule interest is computed. They never change.
pub(in crate::store::sqlite) const PARENTS: &str =
    concat!("SELECT ", event_columns!(), " FROM jsonb_each(?1) AS wanted JOIN events AS e ON e.seq = wanted.value");

type Books = BTreeMap<LoanKey, AccrualBook>;

/// For each loan the day before which counts what is read.
type Asked = BTreeMap<LoanKey, NaiveDate>;

/// What a loan was posted, as a history has it.
type Rows = BTreeMap<LoanKey, Vec<(AcceptedEvent, Posting)>>;

/// The principal by day and the accruals of each loan whose interest is computed by an event that is in order.
pub(in crate::store::sqlite) async fn read_accruals(
    db: &mut SqliteConnection,
    legs: &[AcceptedEvent],
    histories: &BTreeMap<LoanKey, History>,
) -> Result<Books, StoreError> {
    let until = |leg: &AcceptedEvent| {
        let is_asked = !histories.contains_key(&leg.event.loan_key) && computing_group([leg]).is_some();
        let date = leg.event.command.effective_date();
        is_asked.then(|| (leg.event.loan_key, date.succ_opt().unwrap_or(date)))
    };
    read_books(db, &legs.iter().filter_map(until).collect()).await
}

/// By what rule the interest of late loans is computed, and from what before the first day of their histories, where any
/// of that is computed in these or by the late events.
pub(super) async fn read_before(
    db: &mut SqliteConnection,
    events: &BTreeMap<LoanKey, Vec<AcceptedEvent>>,
    (since, rows): (&Asked, &Rows),
) -> Result<BTreeMap<LoanKey, (InterestRule, AccrualBook)>, StoreError> {
    let computing = since.iter().filter_map(|(key, since)| {
        let posted = rows.get(key).into_iter().flatten().map(|(event, _)| event);
        let batch = events.get(key).into_iter().flatten();
        Some((*key, *since, computing_group(posted.chain(batch))?))
    });
    let computing: Vec<(LoanKey, NaiveDate, Seq)> = computing.collect();
    if computing.is_empty() {
        return Ok(BTreeMap::new());
    }
    let groups: Vec<i64> = computing.iter().map(|(.., group)| group.0).collect();
    let mut rules: BTreeMap<Seq, InterestRule> = BTreeMap::new();
    for row in &sqlx::query(PARENTS).bind(json(&groups)?).fetch_all(&mut *db).await.map_err(store_error)? {
        let parent = decode_event(row)?;
        if let Command::Group(group) = &parent.event.command {
            rules.extend(group.operation.interest_rule().map(|rule| (parent.seq, *rule)));
        }
    }
    let mut books = read_books(db, &computing.iter().map(|(key, since, _)| (*key, *since)).collect()).await?;
    let found = computing.iter().filter_map(|(key, _, group)| Some((*key, (*rules.get(group)?, books.remove(key)?))));
    Ok(found.collect())
}

async fn read_books(db: &mut SqliteConnection, asked: &Asked) -> Result<Books, StoreError> {
    if asked.is_empty() {
        return Ok(Books::new());
    }
    let mut books = read_marked(db, asked).await?;
    books.retain(|_, book| book.holds());
    let whole: Vec<AskedRow> = asked
        .iter()
        .filter(|(key, _)| !books.contains_key(key))
        .map(|(key, until)| AskedRow::of(*key, *until))
        .collect();
    if whole.is_empty() {
        return Ok(books);
    }
    books.extend(
        asked
            .keys()
            .filter(|key| !books.contains_key(key))
            .map(|key| (*key, AccrualBook::default()))
            .collect::<Vec<_>>(),
    );
    let query = sqlx::query(ACCRUALS).bind(json(&whole)?).bind(AccountCode::PRINCIPAL_RECEIVABLE.number());
    for row in &query.fetch_all(db).await.map_err(store_error)? {
        let book = books.entry(LoanKey::from_bytes(bytes(row, "loan_key")?)).or_default();
        let moved = decode_movement(row)?;
        book.note_principal(moved.date, moved.movement.principal);
        if get(row, "accrues")? {
            book.note_accrual(moved.date);
        }
    }
    Ok(books)
}

/// A loan, the day before which counts what is asked of it, and the posting behind which.
#[derive(Debug, Serialize)]
struct AskedRow {
    loan_key: Hex<16>,
    until: NaiveDate,
    loan_version: i64,
}

impl AskedRow {
    fn of(key: LoanKey, until: NaiveDate) -> Self {
        Self { loan_key: Hex(key.bytes()), until, loan_version: 0 }
    }
}

/// A row of `loan_accruals`.
#[derive(Debug, Serialize)]
struct MarkRow {
    loan_key: Hex<16>,
    loan_version: i64,
    until_date: NaiveDate,
    since_date: NaiveDate,
    principal: i64,
    carried: i64,
}

/// Writes how far loans are accrued.
pub(in crate::store::sqlite) async fn write_marks(
    db: &mut SqliteConnection,
    output: &GroupOutput,
) -> Result<(), StoreError> {
    if output.accrued.is_empty() {
        return Ok(());
    }
    let row = |(key, loan_version, mark): &(LoanKey, i64, AccrualMark)| MarkRow {
        loan_key: Hex(key.bytes()),
        loan_version: *loan_version,
        until_date: mark.until,
        since_date: mark.since,
        principal: mark.principal.units(),
        carried: mark.carried.parts(),
    };
    let rows: Vec<MarkRow> = output.accrued.iter().map(row).collect();
    sqlx::query(WRITE_MARKS).bind(json(&rows)?).execute(db).await.map_err(store_error).map(drop)
}

/// The books of the loans that have a mark, with what came since.
async fn read_marked(db: &mut SqliteConnection, asked: &Asked) -> Result<Books, StoreError> {
    let rows: Vec<AskedRow> = asked.iter().map(|(key, until)| AskedRow::of(*key, *until)).collect();
    let (mut books, mut marked) = (Books::new(), Vec::new());
    for row in &sqlx::query(MARKS).bind(json(&rows)?).fetch_all(&mut *db).await.map_err(store_error)? {
        let key = LoanKey::from_bytes(bytes(row, "loan_key")?);
        let until = asked.get(&key).copied().ok_or_else(|| broken("loan_key"))?;
        marked.push(AskedRow { loan_version: get(row, "loan_version")?, ..AskedRow::of(key, until) });
        let mark = AccrualMark {
            until: date(row, "until_date")?,
            since: date(row, "since_date")?,
            principal: minor(row, "principal")?,
            carried: Carried::from_parts(get(row, "carried")?).ok_or_else(|| broken("carried"))?,
        };
        books.insert(key, AccrualBook::since(mark));
    }
    if marked.is_empty() {
        return Ok(books);
    }
    let query = sqlx::query(SINCE_MARK).bind(json(&marked)?).bind(AccountCode::INTEREST_INCOME.number());
    for row in &query.fetch_all(db).await.map_err(store_error)? {
        let book = books.entry(LoanKey::from_bytes(bytes(row, "loan_key")?)).or_default();
        let moved = decode_movement(row)?;
        book.note_principal(moved.date, moved.movement.principal);
        if get(row, "may_accrue")? {
            book.doubt();
        }
    }
    Ok(books)
}
