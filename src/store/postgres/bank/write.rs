//! Owns the acceptance of a statement and the decision about a line: each one transaction.
//!
//! Lock order: the account's row, the statement's or the line's, the tenant's turn to match, the lines by the event they
//! have, the events by their keys.

use chrono::NaiveDate;
use sqlx::PgConnection;
use uuid::Uuid;

use super::find::is_matched;
use crate::core::bank::LineMatch;
use crate::core::event::NewEvent;
use crate::core::ids::{EventId, LoanKey, PaymentBatchId, PublisherId, Seq, TenantId};
use crate::store::postgres::accept::accept_new;
use crate::store::postgres::error::classify;
use crate::store::postgres::rows::{Columns, broken, key_column};
use crate::store::postgres::uploads::{end_upload, open};
use crate::store::{
    LineDecided, LineState, NewLineResolution, NewStatement, NewUpload, RowCounts, StatementAccepted, StoreError,
    UploadBegun, UploadEnd, UploadHold,
};

/// Waits for another first statement of the account.
const INSERT_ACCOUNT: &str = "INSERT INTO bank_accounts (tenant, bank_account_ref, currency, loan_key, \
     first_statement_date) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant, bank_account_ref) DO NOTHING";

const READ_ACCOUNT: &str =
    "SELECT currency, first_statement_date FROM bank_accounts WHERE tenant = $1 AND bank_account_ref = $2";

const INSERT_STATEMENT: &str = "INSERT INTO bank_statements (batch_id, tenant, bank_account_ref, currency, \
     statement_date, opening_balance, closing_balance, line_count, sha256, received_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, clock_timestamp()) \
     ON CONFLICT (tenant, bank_account_ref, statement_date) DO NOTHING";

const READ_STATEMENT_OF: &str = "SELECT batch_id, sha256 FROM bank_statements \
     WHERE tenant = $1 AND bank_account_ref = $2 AND statement_date = $3";

/// One statement or decision of a tenant gives events to lines at a time: an upload and a row of it are two events, and no
/// index keeps them from two lines. Taken before the look that it protects.
const LOCK_MATCHING: &str = "SELECT pg_advisory_xact_lock(hashtextextended('hpts.bank.' || ($1::uuid)::text, 0))";

/// A line whose event another line has is not inserted. ORDER BY is load-bearing: two statements that want the same events
/// wait for each other in one order.
const INSERT_LINES: &str = "INSERT INTO bank_statement_lines (batch_id, tenant, line_no, booking_date, amount, \
     reference, description, state, open_reason, matched_event, matched_upload, settlement_event) \
     SELECT $1, $2, line_no, booking_date, amount, reference, description, state, open_reason, matched_event, \
     (SELECT e.batch_id FROM events e WHERE e.id = n.matched_event), settlement_event FROM unnest($3::bigint[], $4::date[], $5::bigint[], $6::text[], $7::text[], $8::text[], \
     $9::text[], $10::uuid[], $11::uuid[]) AS n (line_no, booking_date, amount, reference, description, state, \
     open_reason, matched_event, settlement_event) ORDER BY matched_event, line_no \
     ON CONFLICT (matched_event) WHERE matched_event IS NOT NULL DO NOTHING";

/// The first of several decisions about a line goes on; the others wait here and then see what it was.
const LOCK_LINE: &str =
    "SELECT state FROM bank_statement_lines WHERE tenant = $1 AND batch_id = $2 AND line_no = $3 FOR UPDATE";

/// Whether another line has the cash of one of these events.
const IS_MATCHED: &str = concat!(
    "SELECT EXISTS (SELECT FROM unnest($1::uuid[]) AS n (id) CROSS JOIN LATERAL (SELECT e.seq, e.id, e.batch_id \
     FROM events e WHERE e.id = n.id OFFSET 0) AS e WHERE ",
    is_matched!(),
    ")"
);

const RESOLVE_LINE: &str = "UPDATE bank_statement_lines SET state = $3, open_reason = NULL, matched_event = $4, \
     matched_upload = (SELECT e.batch_id FROM events e WHERE e.id = $4), settlement_event = $5, resolution_reason = $6, resolved_by = $7, resolved_at = clock_timestamp() \
     WHERE batch_id = $1 AND line_no = $2";

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 9] = [
    ("insert_bank_account", INSERT_ACCOUNT),
    ("read_bank_account", READ_ACCOUNT),
    ("insert_bank_statement", INSERT_STATEMENT),
    ("read_statement_of", READ_STATEMENT_OF),
    ("lock_matching", LOCK_MATCHING),
    ("insert_lines", INSERT_LINES),
    ("lock_line", LOCK_LINE),
    ("is_matched", IS_MATCHED),
    ("resolve_line", RESOLVE_LINE),
];

/// The statement of an account and a day.
pub(super) async fn of_day(
    connection: &mut PgConnection,
    (tenant, account, day): (TenantId, &str, NaiveDate),
) -> Result<Option<(PaymentBatchId, [u8; 32])>, StoreError> {
    let query = sqlx::query(READ_STATEMENT_OF).bind(tenant.0).bind(account).bind(day);
    let Some(row) = query.fetch_optional(connection).await.map_err(classify)? else { return Ok(None) };
    let mut columns = Columns::of(&row);
    Ok(Some((PaymentBatchId(columns.take()?), columns.take()?)))
}

/// Keeps a statement and accepts what its lines become.
pub(super) async fn accept(
    connection: &mut PgConnection,
    statement: NewStatement,
) -> Result<StatementAccepted, StoreError> {
    let event = &statement.upload.event;
    let begun = open(connection, &statement.upload).await?;
    let UploadBegun::New(record) = begun else { return Ok(StatementAccepted::Known(begun)) };
    let is_first = match account(connection, &statement).await? {
        Account::New => true,
        Account::Known => false,
        Account::Refuses(refusal) => return Ok(*refusal),
    };
    if let Some(refusal) = insert_statement(connection, &statement).await? {
        return Ok(refusal);
    }
    let wanted: Vec<EventId> = statement.lines.iter().filter_map(|it| it.found.event()).collect();
    if is_matched(connection, event.tenant, &wanted).await? || !insert_lines(connection, &statement).await? {
        return Ok(StatementAccepted::Disturbed);
    }
    let mut places = accept_all(connection, statement.publisher, &statement.settlements()).await?;
    let opening = statement.opening.as_ref().filter(|_| is_first);
    if let Some(opening) = opening {
        places.extend(accept_all(connection, statement.publisher, std::slice::from_ref(opening)).await?);
    }
    let received = i64::try_from(statement.lines.len()).unwrap_or(i64::MAX);
    finish(connection, &statement.upload, (record.id, received), statement.answer).await?;
    Ok(StatementAccepted::New(places))
}

enum Account {
    New,
    Known,
    Refuses(Box<StatementAccepted>),
}

/// Makes the account's row, or looks whether the statement may follow its first one.
async fn account(connection: &mut PgConnection, statement: &NewStatement) -> Result<Account, StoreError> {
    let (tenant, head) = (statement.upload.event.tenant, &statement.head);
    let loan = crate::core::event::BankSettlement::loan_of(tenant, head.bank_account_ref.as_str());
    let insert = sqlx::query(INSERT_ACCOUNT)
        .bind(tenant.0)
        .bind(head.bank_account_ref.as_str())
        .bind(head.currency.code().to_owned())
        .bind(key_column(LoanKey::of_loan(tenant, loan)))
        .bind(head.statement_date);
    if insert.execute(&mut *connection).await.map_err(classify)?.rows_affected() == 1 {
        return Ok(Account::New);
    }
    let query = sqlx::query(READ_ACCOUNT).bind(tenant.0).bind(head.bank_account_ref.as_str());
    let row = query.fetch_one(connection).await.map_err(classify)?;
    let mut columns = Columns::of(&row);
    let (currency, first) = (columns.word("currency")?, columns.take()?);
    Ok(if currency != head.currency {
        Account::Refuses(Box::new(StatementAccepted::OtherCurrency(currency)))
    } else if head.statement_date < first {
        Account::Refuses(Box::new(StatementAccepted::BeforeFirst(first)))
    } else {
        Account::Known
    })
}

/// Keeps what a statement says of its account, unless there is one of its day.
async fn insert_statement(
    connection: &mut PgConnection,
    statement: &NewStatement,
) -> Result<Option<StatementAccepted>, StoreError> {
    let (event, head) = (&statement.upload.event, &statement.head);
    let insert = sqlx::query(INSERT_STATEMENT)
        .bind(event.id.0)
        .bind(event.tenant.0)
        .bind(head.bank_account_ref.as_str())
        .bind(head.currency.code().to_owned())
        .bind(head.statement_date)
        .bind(head.opening_balance.units())
        .bind(head.closing_balance.units())
        .bind(i64::try_from(statement.lines.len()).unwrap_or(i64::MAX))
        .bind(statement.sha256);
    if insert.execute(&mut *connection).await.map_err(classify)?.rows_affected() == 1 {
        return Ok(None);
    }
    let known = of_day(connection, (event.tenant, head.bank_account_ref.as_str(), head.statement_date)).await?;
    let (id, sha256) = known.ok_or_else(|| broken("bank statement", "refused for no row"))?;
    let is_same = sha256 == statement.sha256;
    Ok(Some(if is_same { StatementAccepted::Same(id) } else { StatementAccepted::Conflict(id) }))
}

/// Whether another line has the cash of one of these events. No line takes it before this transaction ends.
async fn is_matched(connection: &mut PgConnection, tenant: TenantId, events: &[EventId]) -> Result<bool, StoreError> {
    if events.is_empty() {
        return Ok(false);
    }
    sqlx::query(LOCK_MATCHING).bind(tenant.0).execute(&mut *connection).await.map_err(classify)?;
    let events: Vec<Uuid> = events.iter().map(|event| event.0).collect();
    let row = sqlx::query(IS_MATCHED).bind(events).fetch_one(connection).await.map_err(classify)?;
    Columns::of(&row).take()
}

/// False where another line has an event of one of these.
async fn insert_lines(connection: &mut PgConnection, statement: &NewStatement) -> Result<bool, StoreError> {
    let (event, lines) = (&statement.upload.event, &statement.lines);
    let of = |matched: &LineMatch| match matched {
        LineMatch::Clears(event) => (LineState::Cleared, None, Some(event.0)),
        LineMatch::Matches(event) => (LineState::Matched, None, Some(event.0)),
        LineMatch::Open(reason) => (LineState::Open, Some(reason.name()), None),
    };
    let insert = sqlx::query(INSERT_LINES)
        .bind(event.id.0)
        .bind(event.tenant.0)
        .bind(lines.iter().map(|it| it.line.line_no).collect::<Vec<_>>())
        .bind(lines.iter().map(|it| it.line.booking_date).collect::<Vec<_>>())
        .bind(lines.iter().map(|it| it.line.amount.units()).collect::<Vec<_>>())
        .bind(lines.iter().map(|it| it.line.reference.as_deref()).collect::<Vec<_>>())
        .bind(lines.iter().map(|it| it.line.description.as_deref()).collect::<Vec<_>>())
        .bind(lines.iter().map(|it| of(&it.found).0.as_str()).collect::<Vec<_>>())
        .bind(lines.iter().map(|it| of(&it.found).1).collect::<Vec<Option<&str>>>())
        .bind(lines.iter().map(|it| of(&it.found).2).collect::<Vec<Option<Uuid>>>())
        .bind(lines.iter().map(|it| it.settlement.as_ref().map(|event| event.id.0)).collect::<Vec<_>>());
    let inserted = insert.execute(connection).await.map_err(classify)?.rows_affected();
    Ok(usize::try_from(inserted) == Ok(lines.len()))
}

/// Accepts events whose keys are ours, so nothing else has them.
async fn accept_all(
    connection: &mut PgConnection,
    publisher: PublisherId,
    events: &[NewEvent],
) -> Result<Vec<(EventId, Seq)>, StoreError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let accepted = accept_new(connection, publisher, events).await?;
    if accepted.len() < events.len() {
        return Err(broken("a settlement", "its key is taken"));
    }
    Ok(accepted.into_iter().map(|(id, (seq, _))| (id, seq)).collect())
}

async fn finish(
    connection: &mut PgConnection,
    upload: &NewUpload,
    (id, received): (PaymentBatchId, i64),
    answer: Vec<u8>,
) -> Result<(), StoreError> {
    let rows = RowCounts { received, ..RowCounts::default() };
    let end = UploadEnd { rows, fingerprint: upload.event.fingerprint.bytes(), answer };
    if end_upload(connection, UploadHold { id, holder: upload.holder }, &end).await? {
        Ok(())
    } else {
        Err(StoreError::Broken(format!("operation {id} could not be ended")))
    }
}

/// Locks the line, and decides if it is open.
pub(super) async fn resolve(
    connection: &mut PgConnection,
    resolution: NewLineResolution,
) -> Result<LineDecided, StoreError> {
    let begun = open(connection, &resolution.upload).await?;
    let UploadBegun::New(record) = begun else { return Ok(LineDecided::Known(begun)) };
    let (event, place) = (&resolution.upload.event, resolution.place);
    let lock = sqlx::query(LOCK_LINE).bind(event.tenant.0).bind(place.statement.0).bind(place.line_no);
    let Some(row) = lock.fetch_optional(&mut *connection).await.map_err(classify)? else {
        return Ok(LineDecided::Gone);
    };
    match Columns::of(&row).word("line state")? {
        LineState::Open => {}
        state @ (LineState::Cleared | LineState::Matched | LineState::Posted) => {
            return Ok(LineDecided::NotOpen(state));
        }
    }
    if is_matched(connection, event.tenant, resolution.matched_event.as_slice()).await? {
        return Ok(LineDecided::EventTaken);
    }
    let update = sqlx::query(RESOLVE_LINE)
        .bind(place.statement.0)
        .bind(place.line_no)
        .bind(resolution.state().as_str())
        .bind(resolution.matched_event.map(|event| event.0))
        .bind(resolution.settlement.as_ref().map(|event| event.id.0))
        .bind(&resolution.reason)
        .bind(&event.actor);
    match update.execute(&mut *connection).await.map_err(classify) {
        Ok(_) => {}
        // Another line took the event between the look and the update, and its transaction is committed.
        Err(StoreError::Data { .. }) if resolution.matched_event.is_some() => return Ok(LineDecided::EventTaken),
        Err(error) => return Err(error),
    }
    let settlement = resolution.settlement.as_slice();
    let place = accept_all(connection, resolution.publisher, settlement).await?.pop();
    finish(connection, &resolution.upload, (record.id, 0), resolution.answer).await?;
    Ok(LineDecided::Decided(place))
}
