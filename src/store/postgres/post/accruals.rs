//! Owns the statements of what interest is computed from: the principal of loans by day, and their accruals. Of which loans
//! which of them is read is in [`past`](crate::store::past).

use std::collections::BTreeSet;

use chrono::NaiveDate;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::core::event::AcceptedEvent;
use crate::core::ids::Seq;
use crate::core::ledger::{AccountCode, GroupOutput, Layer};
use crate::core::loan::{AccrualMark, Carried};
use crate::core::money::Minor;
use crate::store::StoreError;
use crate::store::past::{Behind, Days, Marked, Moved};
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

/// The parents of groups.
pub(super) async fn read_parents(
    connection: &mut PgConnection,
    groups: &BTreeSet<Seq>,
) -> Result<Vec<AcceptedEvent>, StoreError> {
    let groups: Vec<i64> = groups.iter().map(|group| group.0).collect();
    let rows = sqlx::query(READ_PARENTS).bind(groups).fetch_all(connection).await.map_err(classify)?;
    rows.iter().map(|row| rows::event(&mut Columns::of(row))).collect()
}

/// The last mark of each loan that reaches no further than its day.
pub(super) async fn read_marks(connection: &mut PgConnection, until: &Days) -> Result<Vec<Marked>, StoreError> {
    let (keys, days) = columns(until);
    let rows = sqlx::query(READ_MARKS).bind(keys).bind(days).fetch_all(connection).await.map_err(classify)?;
    let marked = rows.iter().map(|row| {
        let mut columns = Columns::of(row);
        let (loan, version) = (columns.loan_key()?, columns.take()?);
        let (until, since, principal) = (columns.take()?, columns.take()?, Minor::new(columns.take()?));
        let carried = Carried::from_parts(columns.take()?);
        let carried = carried.ok_or_else(|| StoreError::Broken("a loan carries what it cannot".to_owned()))?;
        Ok(Marked { loan, version, mark: AccrualMark { until, since, principal, carried } })
    });
    marked.collect()
}

/// What came behind marks.
pub(super) async fn read_behind(connection: &mut PgConnection, marks: &[Behind]) -> Result<Vec<Moved>, StoreError> {
    let query = sqlx::query(READ_SINCE)
        .bind(marks.iter().map(|mark| key_column(mark.loan)).collect::<Vec<_>>())
        .bind(marks.iter().map(|mark| mark.version).collect::<Vec<_>>())
        .bind(marks.iter().map(|mark| mark.until).collect::<Vec<_>>())
        .bind(AccountCode::PRINCIPAL_RECEIVABLE.number())
        .bind(AccountCode::INTEREST_INCOME.number())
        .bind(Layer::Settled.as_str());
    let rows = query.fetch_all(connection).await.map_err(classify)?;
    let moved = rows.iter().map(|row| {
        let mut columns = Columns::of(row);
        let (loan, date, principal) = (columns.loan_key()?, columns.take()?, Minor::new(columns.take()?));
        Ok(Moved { loan, date, principal, accrues: columns.take()? })
    });
    moved.collect()
}

/// What moved principal before a day, day by day, and the last accrual.
pub(super) async fn read_before(connection: &mut PgConnection, until: &Days) -> Result<Vec<Moved>, StoreError> {
    let (keys, days) = columns(until);
    let query = sqlx::query(READ_PRINCIPAL)
        .bind(&keys)
        .bind(&days)
        .bind(AccountCode::PRINCIPAL_RECEIVABLE.number())
        .bind(Layer::Settled.as_str());
    let mut moved = Vec::new();
    for row in &query.fetch_all(&mut *connection).await.map_err(classify)? {
        let mut columns = Columns::of(row);
        let (loan, date, principal) = (columns.loan_key()?, columns.take()?, Minor::new(columns.take()?));
        moved.push(Moved { loan, date, principal, accrues: false });
    }
    let query = sqlx::query(READ_LAST_ACCRUALS).bind(keys).bind(days).bind(AccountCode::INTEREST_INCOME.number());
    for row in &query.fetch_all(connection).await.map_err(classify)? {
        let mut columns = Columns::of(row);
        let (loan, date) = (columns.loan_key()?, columns.take()?);
        moved.push(Moved { loan, date, principal: Minor::ZERO, accrues: true });
    }
    Ok(moved)
}

fn columns(days: &Days) -> (Vec<Uuid>, Vec<NaiveDate>) {
    days.iter().map(|(key, day)| (key_column(*key), *day)).unzip()
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
