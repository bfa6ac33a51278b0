//! Owns the statements of what interest is computed from: the principal of loans by day, and their accruals. Of which loans
//! which of them is read is in [`past`](crate::store::past).

use std::collections::BTreeSet;

use chrono::NaiveDate;
use serde::Serialize;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::core::event::AcceptedEvent;
use crate::core::ids::{LoanKey, Seq};
use crate::core::ledger::{AccountCode, GroupOutput};
use crate::core::loan::{AccrualMark, Carried};
use crate::store::StoreError;
use crate::store::past::{Behind, Days, Marked, Moved};
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

/// The parents of groups.
pub(super) async fn read_parents(
    db: &mut SqliteConnection,
    groups: &BTreeSet<Seq>,
) -> Result<Vec<AcceptedEvent>, StoreError> {
    let groups: Vec<i64> = groups.iter().map(|group| group.0).collect();
    let rows = sqlx::query(PARENTS).bind(json(&groups)?).fetch_all(db).await.map_err(store_error)?;
    rows.iter().map(decode_event).collect()
}

/// The last mark of each loan that reaches no further than its day.
pub(super) async fn read_marks(db: &mut SqliteConnection, until: &Days) -> Result<Vec<Marked>, StoreError> {
    let query = sqlx::query(MARKS).bind(json(&asked_rows(until))?);
    let rows = query.fetch_all(db).await.map_err(store_error)?;
    let marked = rows.iter().map(|row| {
        let mark = AccrualMark {
            until: date(row, "until_date")?,
            since: date(row, "since_date")?,
            principal: minor(row, "principal")?,
            carried: Carried::from_parts(get(row, "carried")?).ok_or_else(|| broken("carried"))?,
        };
        let loan = LoanKey::from_bytes(bytes(row, "loan_key")?);
        Ok(Marked { loan, version: get(row, "loan_version")?, mark })
    });
    marked.collect()
}

/// What came behind marks.
pub(super) async fn read_behind(db: &mut SqliteConnection, marks: &[Behind]) -> Result<Vec<Moved>, StoreError> {
    let marks: Vec<AskedRow> = marks.iter().map(AskedRow::from).collect();
    let query = sqlx::query(SINCE_MARK).bind(json(&marks)?).bind(AccountCode::INTEREST_INCOME.number());
    let rows = query.fetch_all(db).await.map_err(store_error)?;
    rows.iter().map(|row| moved(row, "may_accrue")).collect()
}

/// All that moved principal before a day, and the accruals.
pub(super) async fn read_before(db: &mut SqliteConnection, until: &Days) -> Result<Vec<Moved>, StoreError> {
    let asked = json(&asked_rows(until))?;
    let query = sqlx::query(ACCRUALS).bind(asked).bind(AccountCode::PRINCIPAL_RECEIVABLE.number());
    let rows = query.fetch_all(db).await.map_err(store_error)?;
    rows.iter().map(|row| moved(row, "accrues")).collect()
}

fn moved(row: &SqliteRow, accrues: &str) -> Result<Moved, StoreError> {
    let moved = decode_movement(row)?;
    let (loan, principal) = (LoanKey::from_bytes(bytes(row, "loan_key")?), moved.movement.principal);
    Ok(Moved { loan, date: moved.date, principal, accrues: get(row, accrues)? })
}

/// A loan, the day before which counts what is asked of it, and the posting behind which.
#[derive(Debug, Serialize)]
struct AskedRow {
    loan_key: Hex<16>,
    until: NaiveDate,
    loan_version: i64,
}

impl From<&Behind> for AskedRow {
    fn from(behind: &Behind) -> Self {
        Self { loan_key: Hex(behind.loan.bytes()), until: behind.until, loan_version: behind.version }
    }
}

/// The rows of loans from their first postings on.
fn asked_rows(until: &Days) -> Vec<AskedRow> {
    let whole = |(key, until): (&LoanKey, &NaiveDate)| Behind { loan: *key, version: 0, until: *until };
    until.iter().map(|asked| AskedRow::from(&whole(asked))).collect()
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
