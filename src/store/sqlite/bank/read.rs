//! Owns the reading of statements and lines.

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::core::bank::{BankAccountRef, StatementHead, StatementLine};
use crate::core::ids::{EventId, PaymentBatchId, TenantId};
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::rows::{broken, date, get, id, instant, minor, optional_bytes, word};
use crate::store::{LinePlace, LineResolved, LineRow, StatementRow, StatementsFilter, StoreError, UploadRef};

/// The columns that [`statement_row`] reads.
macro_rules! statements {
    ($rest:literal) => {
        concat!(
            "SELECT s.batch_id, s.bank_account_ref, s.currency, s.statement_date, s.opening_balance, s.closing_balance,
                s.line_count, s.received_at
            FROM bank_statements AS s WHERE s.tenant = ?1 AND ",
            $rest
        )
    };
}

pub(in crate::store::sqlite) const STATEMENT: &str = statements!("s.batch_id = ?2");

/// A tenant has a few statements a day.
pub(in crate::store::sqlite) const STATEMENTS: &str = statements!(
    "(?2 IS NULL OR s.bank_account_ref = ?2) AND (?3 IS NULL OR s.statement_date >= ?3)
    AND (?4 IS NULL OR s.statement_date <= ?4) AND (?5 IS NULL OR (s.statement_date, s.bank_account_ref) > (?5, ?6))
    ORDER BY s.statement_date, s.bank_account_ref LIMIT ?7"
);

/// The amounts of a statement's open lines: added up in Rust, because SQLite's sum has 64 bits.
pub(in crate::store::sqlite) const OPEN_AMOUNTS: &str = "
    SELECT amount FROM bank_statement_lines INDEXED BY bank_statement_lines_waiting
    WHERE tenant = ?1 AND batch_id = ?2 AND state = 'open'";

/// The columns that [`line_row`] reads.
macro_rules! lines {
    ($rest:literal) => {
        concat!(
            "SELECT l.batch_id, s.bank_account_ref, s.currency, l.line_no, l.booking_date, l.amount, l.reference,
                l.description, l.state, l.open_reason, l.matched_event, l.settlement_event, l.resolution_reason,
                l.resolved_by, l.resolved_at
            FROM bank_statement_lines AS l JOIN bank_statements AS s ON s.batch_id = l.batch_id
            WHERE l.tenant = ?1 AND s.tenant = ?1 AND ",
            $rest
        )
    };
}

pub(in crate::store::sqlite) const LINES: &str =
    lines!("l.batch_id = ?2 AND l.line_no > ?3 ORDER BY l.line_no LIMIT ?4");

pub(in crate::store::sqlite) const OPEN_LINES: &str =
    lines!("l.state = 'open' AND (l.batch_id, l.line_no) > (?2, ?3) ORDER BY l.batch_id, l.line_no LIMIT ?4");

/// A statement.
pub(super) async fn statement(
    db: &mut SqliteConnection,
    statement: UploadRef,
) -> Result<Option<StatementRow>, StoreError> {
    let query = sqlx::query(STATEMENT).bind(statement.tenant.0).bind(statement.id.0);
    let Some(row) = query.fetch_optional(&mut *db).await.map_err(store_error)? else { return Ok(None) };
    statement_row(db, statement.tenant, &row).await.map(Some)
}

/// Statements by filter, oldest first.
pub(super) async fn statements(
    db: &mut SqliteConnection,
    tenant: TenantId,
    filter: StatementsFilter,
) -> Result<Vec<StatementRow>, StoreError> {
    let (day, account) = filter.after.unzip();
    let text = |date: Option<chrono::NaiveDate>| date.map(|date| date.to_string());
    let query = sqlx::query(STATEMENTS)
        .bind(tenant.0)
        .bind(filter.bank_account_ref)
        .bind(text(filter.from))
        .bind(text(filter.to))
        .bind(text(day))
        .bind(account)
        .bind(filter.limit.saturating_add(1));
    let mut statements = Vec::new();
    for row in query.fetch_all(&mut *db).await.map_err(store_error)? {
        statements.push(statement_row(db, tenant, &row).await?);
    }
    Ok(statements)
}

/// Lines of a statement after one of them.
pub(super) async fn lines(
    db: &mut SqliteConnection,
    statement: UploadRef,
    after: i64,
    limit: i64,
) -> Result<Vec<LineRow>, StoreError> {
    let query = sqlx::query(LINES).bind(statement.tenant.0).bind(statement.id.0).bind(after);
    let rows = query.bind(limit.saturating_add(1)).fetch_all(db).await.map_err(store_error)?;
    rows.iter().map(line_row).collect()
}

/// Open lines after a place.
pub(super) async fn open_lines(
    db: &mut SqliteConnection,
    tenant: TenantId,
    after: Option<LinePlace>,
    limit: i64,
) -> Result<Vec<LineRow>, StoreError> {
    let (statement, line_no) = after.map_or((Uuid::nil(), 0), |after| (after.statement.0, after.line_no));
    let query = sqlx::query(OPEN_LINES).bind(tenant.0).bind(statement).bind(line_no);
    let rows = query.bind(limit.saturating_add(1)).fetch_all(db).await.map_err(store_error)?;
    rows.iter().map(line_row).collect()
}

async fn statement_row(
    db: &mut SqliteConnection,
    tenant: TenantId,
    row: &SqliteRow,
) -> Result<StatementRow, StoreError> {
    let statement = PaymentBatchId(id(row, "batch_id")?);
    let query = sqlx::query(OPEN_AMOUNTS).bind(tenant.0).bind(statement.0);
    let (mut open_lines, mut open_sum) = (0_i64, 0_i128);
    for line in query.fetch_all(db).await.map_err(store_error)? {
        open_lines = open_lines.saturating_add(1);
        open_sum = open_sum.saturating_add(i128::from(get::<i64>(&line, "amount")?));
    }
    let head = StatementHead {
        bank_account_ref: BankAccountRef::parse(get(row, "bank_account_ref")?).map_err(|_| broken("bank account"))?,
        currency: word(row, "currency")?,
        statement_date: date(row, "statement_date")?,
        opening_balance: minor(row, "opening_balance")?,
        closing_balance: minor(row, "closing_balance")?,
    };
    Ok(StatementRow {
        id: statement,
        head,
        line_count: get(row, "line_count")?,
        received_at: instant(row, "received_at")?,
        open_lines,
        open_sum,
    })
}

fn line_row(row: &SqliteRow) -> Result<LineRow, StoreError> {
    let event = |column| Ok(optional_bytes(row, column)?.map(|bytes| EventId(Uuid::from_bytes(bytes))));
    let by: Option<String> = get(row, "resolved_by")?;
    let resolved =
        by.map(|by| Ok(LineResolved { reason: get(row, "resolution_reason")?, by, at: instant(row, "resolved_at")? }));
    Ok(LineRow {
        statement: PaymentBatchId(id(row, "batch_id")?),
        bank_account_ref: get(row, "bank_account_ref")?,
        currency: word(row, "currency")?,
        line: StatementLine {
            line_no: get(row, "line_no")?,
            booking_date: date(row, "booking_date")?,
            amount: minor(row, "amount")?,
            reference: get(row, "reference")?,
            description: get(row, "description")?,
        },
        state: word(row, "state")?,
        open_reason: get(row, "open_reason")?,
        matched_event: event("matched_event")?,
        settlement_event: event("settlement_event")?,
        resolved: resolved.transpose()?,
    })
}
