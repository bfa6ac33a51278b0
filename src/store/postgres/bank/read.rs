//! Owns the reading of statements and lines.

use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::core::bank::{BankAccountRef, StatementHead, StatementLine};
use crate::core::ids::{EventId, PaymentBatchId, TenantId};
use crate::core::money::Minor;
use crate::store::postgres::error::classify;
use crate::store::postgres::rows::{Columns, broken};
use crate::store::{LinePlace, LineResolved, LineRow, StatementRow, StatementsFilter, StoreError, UploadRef};

/// The columns that [`statement_row`] reads. A macro, because `concat!` joins literals only.
macro_rules! statements {
    ($rest:literal) => {
        concat!(
            "SELECT s.batch_id, s.bank_account_ref, s.currency, s.statement_date, s.opening_balance, \
             s.closing_balance, s.line_count, s.received_at, o.count, o.sum FROM bank_statements s \
             CROSS JOIN LATERAL (SELECT count(*), coalesce(sum(l.amount), 0)::text AS sum \
             FROM bank_statement_lines l WHERE l.tenant = s.tenant AND l.batch_id = s.batch_id AND l.state = 'open') \
             AS o WHERE s.tenant = $1 AND ",
            $rest
        )
    };
}

const READ_STATEMENT: &str = statements!("s.batch_id = $2");

/// A tenant has a few statements a day.
const LIST_STATEMENTS: &str = statements!(
    "($2::text IS NULL OR s.bank_account_ref = $2) AND ($3::date IS NULL OR s.statement_date >= $3) \
     AND ($4::date IS NULL OR s.statement_date <= $4) \
     AND ($5::date IS NULL OR (s.statement_date, s.bank_account_ref) > ($5, $6)) \
     ORDER BY s.statement_date, s.bank_account_ref LIMIT $7"
);

/// The columns that [`line_row`] reads. A macro for the same reason.
macro_rules! lines {
    ($rest:literal) => {
        concat!(
            "SELECT l.batch_id, s.bank_account_ref, s.currency, l.line_no, l.booking_date, l.amount, l.reference, \
             l.description, l.state, l.open_reason, l.matched_event, l.settlement_event, l.resolution_reason, \
             l.resolved_by, l.resolved_at FROM bank_statement_lines l JOIN bank_statements s \
             ON s.batch_id = l.batch_id WHERE l.tenant = $1 AND s.tenant = $1 AND ",
            $rest
        )
    };
}

const READ_LINES: &str = lines!("l.batch_id = $2 AND l.line_no > $3 ORDER BY l.line_no LIMIT $4");

const OPEN_LINES: &str =
    lines!("l.state = 'open' AND (l.batch_id, l.line_no) > ($2, $3) ORDER BY l.batch_id, l.line_no LIMIT $4");

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 4] = [
    ("read_bank_statement", READ_STATEMENT),
    ("list_bank_statements", LIST_STATEMENTS),
    ("read_statement_lines", READ_LINES),
    ("open_lines", OPEN_LINES),
];

pub(super) async fn statement(
    connection: &mut PgConnection,
    statement: UploadRef,
) -> Result<Option<StatementRow>, StoreError> {
    let query = sqlx::query(READ_STATEMENT).bind(statement.tenant.0).bind(statement.id.0);
    query.fetch_optional(connection).await.map_err(classify)?.as_ref().map(statement_row).transpose()
}

pub(super) async fn statements(
    connection: &mut PgConnection,
    tenant: TenantId,
    filter: StatementsFilter,
) -> Result<Vec<StatementRow>, StoreError> {
    let (day, account) = filter.after.unzip();
    let query = sqlx::query(LIST_STATEMENTS)
        .bind(tenant.0)
        .bind(filter.bank_account_ref)
        .bind(filter.from)
        .bind(filter.to)
        .bind(day)
        .bind(account)
        .bind(filter.limit.saturating_add(1));
    query.fetch_all(connection).await.map_err(classify)?.iter().map(statement_row).collect()
}

pub(super) async fn lines(
    connection: &mut PgConnection,
    statement: UploadRef,
    after: i64,
    limit: i64,
) -> Result<Vec<LineRow>, StoreError> {
    let query = sqlx::query(READ_LINES).bind(statement.tenant.0).bind(statement.id.0).bind(after);
    let query = query.bind(limit.saturating_add(1));
    query.fetch_all(connection).await.map_err(classify)?.iter().map(line_row).collect()
}

pub(super) async fn open_lines(
    connection: &mut PgConnection,
    tenant: TenantId,
    after: Option<LinePlace>,
    limit: i64,
) -> Result<Vec<LineRow>, StoreError> {
    let (statement, line_no) = after.map_or((Uuid::nil(), 0), |after| (after.statement.0, after.line_no));
    let query = sqlx::query(OPEN_LINES).bind(tenant.0).bind(statement).bind(line_no);
    let query = query.bind(limit.saturating_add(1));
    query.fetch_all(connection).await.map_err(classify)?.iter().map(line_row).collect()
}

fn statement_row(row: &PgRow) -> Result<StatementRow, StoreError> {
    let mut columns = Columns::of(row);
    let id = PaymentBatchId(columns.take()?);
    let name: &str = columns.take()?;
    let head = StatementHead {
        bank_account_ref: BankAccountRef::parse(name).map_err(|_| broken("bank account", name))?,
        currency: columns.word("currency")?,
        statement_date: columns.take()?,
        opening_balance: Minor::new(columns.take()?),
        closing_balance: Minor::new(columns.take()?),
    };
    Ok(StatementRow {
        id,
        head,
        line_count: columns.take()?,
        received_at: columns.instant()?,
        open_lines: columns.take()?,
        open_sum: columns.word("a sum")?,
    })
}

fn line_row(row: &PgRow) -> Result<LineRow, StoreError> {
    let mut columns = Columns::of(row);
    let (statement, bank_account_ref) = (PaymentBatchId(columns.take()?), columns.take()?);
    let currency = columns.word("currency")?;
    let line = StatementLine {
        line_no: columns.take()?,
        booking_date: columns.take()?,
        amount: Minor::new(columns.take()?),
        reference: columns.take()?,
        description: columns.take()?,
    };
    let (state, open_reason) = (columns.word("line state")?, columns.take()?);
    let matched_event = columns.take::<Option<Uuid>>()?.map(EventId);
    let settlement_event = columns.take::<Option<Uuid>>()?.map(EventId);
    let (reason, by): (Option<String>, Option<String>) = (columns.take()?, columns.take()?);
    let resolved = match (reason, by, columns.optional_instant()?) {
        (Some(reason), Some(by), Some(at)) => Some(LineResolved { reason, by, at }),
        (_, _, _) => None,
    };
    Ok(LineRow {
        statement,
        bank_account_ref,
        currency,
        line,
        state,
        open_reason,
        matched_event,
        settlement_event,
        resolved,
    })
}
