//! Owns what interest is computed from: the principal of loans by day, and their accruals. A group that computes none
//! costs no statement more.
//!
//! Most loans have a mark behind their last accrual: of them only the postings since are read. The whole past is read of
//! the others, and where the mark does not hold.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;
use sqlx::SqliteConnection;

use crate::core::event::AcceptedEvent;
use crate::core::ids::LoanKey;
use crate::core::ledger::{AccountCode, GroupOutput, needs_accruals};
use crate::core::loan::{AccrualBook, AccrualMark, Carried, PostedAccrual};
use crate::store::StoreError;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{Hex, json, loan_keys};
use crate::store::sqlite::rows::{broken, bytes, date, decode_movement, get, minor};

/// The last mark of each loan.
pub(in crate::store::sqlite) const MARKS: &str = "
    SELECT m.loan_key, m.loan_version, m.until_date, m.since_date, m.principal, m.carried
    FROM jsonb_each(?1) AS wanted
    JOIN loan_accruals AS m ON m.loan_key = unhex(wanted.value) AND m.loan_version = (
        SELECT max(l.loan_version) FROM loan_accruals AS l WHERE l.loan_key = unhex(wanted.value))";

/// What came after a mark: what it moved, and whether it may be an accrual, or take one back.
pub(in crate::store::sqlite) const SINCE_MARK: &str = "
    SELECT p.loan_key, p.loan_version, p.effective_date, p.accounts, p.amounts, p.layer,
        p.amounts = '[]' OR EXISTS (SELECT 1 FROM json_each(p.accounts) AS account WHERE account.value = ?2) AS may_accrue
    FROM jsonb_each(?1) AS wanted
    JOIN postings AS p ON p.loan_key = unhex(wanted.value ->> 'loan_key')
        AND p.loan_version > wanted.value ->> 'loan_version'
    WHERE p.outcome = 'posted'";

/// Writes marks.
pub(in crate::store::sqlite) const WRITE_MARKS: &str = "
    INSERT INTO loan_accruals (loan_key, loan_version, until_date, since_date, principal, carried)
    SELECT unhex(value ->> 'loan_key'), value ->> 'loan_version', value ->> 'until_date', value ->> 'since_date',
        value ->> 'principal', value ->> 'carried'
    FROM jsonb_each(?1)";

/// The postings of loans that moved principal, and their accruals. Walks the loans' postings.
pub(in crate::store::sqlite) const ACCRUALS: &str = "
    SELECT p.loan_key, p.loan_version, p.effective_date, p.accounts, p.amounts, p.layer, e.kind = 'accrual' AS is_accrual,
        (SELECT u.loan_version FROM postings AS u WHERE u.undoes_seq = p.event_seq) AS undone
    FROM jsonb_each(?1) AS wanted
    JOIN postings AS p ON p.loan_key = unhex(wanted.value) AND p.loan_version > 0
    JOIN events AS e ON e.seq = p.event_seq
    WHERE p.outcome = 'posted' AND (e.kind = 'accrual'
        OR EXISTS (SELECT 1 FROM json_each(p.accounts) AS account WHERE account.value = ?2))";

/// The principal by day and the accruals of each loan whose interest is computed.
pub(in crate::store::sqlite) async fn read_accruals(
    db: &mut SqliteConnection,
    legs: &[AcceptedEvent],
) -> Result<BTreeMap<LoanKey, AccrualBook>, StoreError> {
    let asked = legs.iter().filter(|leg| needs_accruals(std::slice::from_ref(leg))).map(|leg| leg.event.loan_key);
    let asked: Vec<LoanKey> = asked.collect();
    if asked.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut books = read_marked(db, &asked).await?;
    books.retain(|_, book| book.holds());
    let whole: Vec<LoanKey> = asked.into_iter().filter(|key| !books.contains_key(key)).collect();
    if whole.is_empty() {
        return Ok(books);
    }
    books.extend(whole.iter().map(|key| (*key, AccrualBook::default())));
    let query = sqlx::query(ACCRUALS).bind(loan_keys(whole)?);
    let query = query.bind(AccountCode::PRINCIPAL_RECEIVABLE.number());
    for row in &query.fetch_all(db).await.map_err(store_error)? {
        let book = books.entry(LoanKey::from_bytes(bytes(row, "loan_key")?)).or_default();
        let moved = decode_movement(row)?;
        book.note_principal(moved.date, moved.movement.principal);
        if get(row, "is_accrual")? {
            let (version, undone) = (get(row, "loan_version")?, get(row, "undone")?);
            book.note_accrual(PostedAccrual { version, date: moved.date, undone });
        }
    }
    Ok(books)
}

/// A row of `loan_accruals`.
#[derive(Debug, Serialize)]
struct MarkRow {
    loan_key: Hex<16>,
    loan_version: i64,
    #[serde(flatten)]
    mark: Option<MarkColumns>,
}

#[derive(Debug, Serialize)]
struct MarkColumns {
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
        mark: Some(MarkColumns {
            until_date: mark.until,
            since_date: mark.since,
            principal: mark.principal.units(),
            carried: mark.carried.parts(),
        }),
    };
    let rows: Vec<MarkRow> = output.accrued.iter().map(row).collect();
    sqlx::query(WRITE_MARKS).bind(json(&rows)?).execute(db).await.map_err(store_error).map(drop)
}

/// The books of the loans that have a mark, with what came since.
async fn read_marked(
    db: &mut SqliteConnection,
    loans: &[LoanKey],
) -> Result<BTreeMap<LoanKey, AccrualBook>, StoreError> {
    let query = sqlx::query(MARKS).bind(loan_keys(loans.iter().copied())?);
    let (mut books, mut marked) = (BTreeMap::new(), Vec::new());
    for row in &query.fetch_all(&mut *db).await.map_err(store_error)? {
        let key = LoanKey::from_bytes(bytes(row, "loan_key")?);
        marked.push(MarkRow { loan_key: Hex(key.bytes()), loan_version: get(row, "loan_version")?, mark: None });
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
            let version = get(row, "loan_version")?;
            book.note_accrual(PostedAccrual { version, date: moved.date, undone: None });
        }
    }
    Ok(books)
}
