//! Owns the acceptance of a statement and the decision about a line. The one writer looks before it writes, so nothing has
//! to be taken back.

use chrono::NaiveDate;
use serde::Serialize;
use sqlx::SqliteConnection;

use super::find::is_matched;
use crate::core::bank::LineMatch;
use crate::core::event::{BankSettlement, NewEvent};
use crate::core::ids::{EventId, LoanKey, PaymentBatchId, PublisherId, Seq, TenantId};
use crate::core::time::Timestamp;
use crate::store::sqlite::accept::{accept as accept_events, known_events};
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{Hex, hex_id, json};
use crate::store::sqlite::rows::{broken, bytes, date, get, id, word};
use crate::store::sqlite::uploads::{begin, finish as end_upload};
use crate::store::{
    Acceptance, LineDecided, LineState, NewLineResolution, NewStatement, NewStatementLine, RowCounts,
    StatementAccepted, StoreError, UploadBegun, UploadEnd, UploadHold,
};

pub(in crate::store::sqlite) const INSERT_ACCOUNT: &str = "
    INSERT INTO bank_accounts (tenant, bank_account_ref, currency, loan_key, first_statement_date)
    VALUES (?1, ?2, ?3, ?4, ?5)";

pub(in crate::store::sqlite) const ACCOUNT: &str = "
    SELECT currency, first_statement_date FROM bank_accounts WHERE tenant = ?1 AND bank_account_ref = ?2";

pub(in crate::store::sqlite) const INSERT_STATEMENT: &str = "
    INSERT INTO bank_statements (batch_id, tenant, bank_account_ref, currency, statement_date, opening_balance,
        closing_balance, line_count, sha256, received_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

pub(in crate::store::sqlite) const STATEMENT_OF: &str = "
    SELECT batch_id, sha256 FROM bank_statements
    WHERE tenant = ?1 AND bank_account_ref = ?2 AND statement_date = ?3";

pub(in crate::store::sqlite) const INSERT_LINES: &str = "
    INSERT INTO bank_statement_lines (batch_id, tenant, line_no, booking_date, amount, reference, description, state,
        open_reason, matched_event, matched_upload, settlement_event)
    SELECT ?1, ?2, value ->> 'line_no', value ->> 'booking_date', value ->> 'amount', value ->> 'reference',
        value ->> 'description', value ->> 'state', value ->> 'open_reason', unhex(value ->> 'matched_event'),
        (SELECT e.batch_id FROM events AS e WHERE e.id = unhex(value ->> 'matched_event')),
        unhex(value ->> 'settlement_event')
    FROM jsonb_each(?3) WHERE true";

/// Of how many of these events a line has the cash.
pub(in crate::store::sqlite) const MATCHED_AMONG: &str = concat!(
    "SELECT count(*) AS found FROM jsonb_each(?1) AS n
    JOIN events AS e INDEXED BY events_id ON e.id = unhex(n.value) WHERE ",
    is_matched!()
);

pub(in crate::store::sqlite) const LINE_STATE: &str =
    "SELECT state FROM bank_statement_lines WHERE tenant = ?1 AND batch_id = ?2 AND line_no = ?3";

pub(in crate::store::sqlite) const RESOLVE_LINE: &str = "
    UPDATE bank_statement_lines SET state = ?3, open_reason = NULL, matched_event = ?4,
        matched_upload = (SELECT e.batch_id FROM events AS e WHERE e.id = ?4), settlement_event = ?5,
        resolution_reason = ?6, resolved_by = ?7, resolved_at = ?8
    WHERE batch_id = ?1 AND line_no = ?2";

/// A row of `bank_statement_lines`.
#[derive(Serialize)]
struct LineParam<'a> {
    line_no: i64,
    booking_date: NaiveDate,
    amount: i64,
    reference: Option<&'a str>,
    description: Option<&'a str>,
    state: &'static str,
    open_reason: Option<&'static str>,
    matched_event: Option<Hex<16>>,
    settlement_event: Option<Hex<16>>,
}

impl<'a> From<&'a NewStatementLine> for LineParam<'a> {
    fn from(it: &'a NewStatementLine) -> Self {
        let (state, open_reason, matched) = match it.found {
            LineMatch::Clears(event) => (LineState::Cleared, None, Some(event)),
            LineMatch::Matches(event) => (LineState::Matched, None, Some(event)),
            LineMatch::Open(reason) => (LineState::Open, Some(reason.name()), None),
        };
        Self {
            line_no: it.line.line_no,
            booking_date: it.line.booking_date,
            amount: it.line.amount.units(),
            reference: it.line.reference.as_deref(),
            description: it.line.description.as_deref(),
            state: state.as_str(),
            open_reason,
            matched_event: matched.map(|event| hex_id(event.0)),
            settlement_event: it.settlement.as_ref().map(|event| hex_id(event.id.0)),
        }
    }
}

/// The statement of an account and a day.
pub(super) async fn of_day(
    db: &mut SqliteConnection,
    (tenant, account, day): (TenantId, String, NaiveDate),
) -> Result<Option<(PaymentBatchId, [u8; 32])>, StoreError> {
    let query = sqlx::query(STATEMENT_OF).bind(tenant.0).bind(account).bind(day.to_string());
    let row = query.fetch_optional(db).await.map_err(store_error)?;
    row.as_ref().map(|row| Ok((PaymentBatchId(id(row, "batch_id")?), bytes(row, "sha256")?))).transpose()
}

/// Keeps a statement and accepts what its lines become.
pub(super) async fn accept(
    db: &mut SqliteConnection,
    mut statement: NewStatement,
    now: Timestamp,
) -> Result<StatementAccepted, StoreError> {
    let mut is_first = false;
    if known_events(db, &[&statement.upload.event]).await?.is_empty() {
        let refusal;
        (is_first, refusal) = look(db, &statement).await?;
        if let Some(refusal) = refusal {
            return Ok(refusal);
        }
    }
    let hold = UploadHold { id: PaymentBatchId(statement.upload.event.id.0), holder: statement.upload.holder };
    let begun = begin(db, statement.upload.clone(), now).await?;
    if !matches!(begun, UploadBegun::New(_)) {
        return Ok(StatementAccepted::Known(begun));
    }
    insert(db, &statement, is_first, now).await?;
    let publisher = statement.publisher;
    let mut places = accept_all(db, publisher, statement.settlements(), now).await?;
    if let Some(opening) = statement.opening.take().filter(|_| is_first) {
        places.extend(accept_all(db, publisher, vec![opening], now).await?);
    }
    let received = i64::try_from(statement.lines.len()).unwrap_or(i64::MAX);
    let fingerprint = statement.upload.event.fingerprint.bytes();
    let rows = RowCounts { received, ..RowCounts::default() };
    finish(db, hold, UploadEnd { rows, fingerprint, answer: statement.answer }, now).await?;
    Ok(StatementAccepted::New(places))
}

/// Whether it is the account's first statement, and what stands in its way.
async fn look(
    db: &mut SqliteConnection,
    statement: &NewStatement,
) -> Result<(bool, Option<StatementAccepted>), StoreError> {
    let (tenant, head) = (statement.upload.event.tenant, &statement.head);
    let account = head.bank_account_ref.as_str().to_owned();
    let query = sqlx::query(ACCOUNT).bind(tenant.0).bind(account.clone());
    let known = query.fetch_optional(&mut *db).await.map_err(store_error)?;
    if let Some(row) = &known {
        let (currency, first) = (word(row, "currency")?, date(row, "first_statement_date")?);
        if currency != head.currency {
            return Ok((false, Some(StatementAccepted::OtherCurrency(currency))));
        }
        if head.statement_date < first {
            return Ok((false, Some(StatementAccepted::BeforeFirst(first))));
        }
    }
    if let Some((id, sha256)) = of_day(db, (tenant, account, head.statement_date)).await? {
        let is_same = sha256 == statement.sha256;
        let refusal = if is_same { StatementAccepted::Same(id) } else { StatementAccepted::Conflict(id) };
        return Ok((false, Some(refusal)));
    }
    let events: Vec<EventId> = statement.lines.iter().filter_map(|it| it.found.event()).collect();
    let disturbed = is_matched(db, &events).await?.then_some(StatementAccepted::Disturbed);
    Ok((known.is_none(), disturbed))
}

/// Whether a line has the cash of one of these events.
async fn is_matched(db: &mut SqliteConnection, events: &[EventId]) -> Result<bool, StoreError> {
    let events: Vec<Hex<16>> = events.iter().map(|event| hex_id(event.0)).collect();
    let row = sqlx::query(MATCHED_AMONG).bind(json(&events)?).fetch_one(db).await.map_err(store_error)?;
    Ok(get::<i64>(&row, "found")? > 0)
}

async fn insert(
    db: &mut SqliteConnection,
    statement: &NewStatement,
    is_first: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (event, head) = (&statement.upload.event, &statement.head);
    let account = head.bank_account_ref.as_str().to_owned();
    let (currency, day) = (head.currency.code().to_owned(), head.statement_date.to_string());
    if is_first {
        let loan = LoanKey::of_loan(event.tenant, BankSettlement::loan_of(event.tenant, &account));
        let query = sqlx::query(INSERT_ACCOUNT).bind(event.tenant.0).bind(account.clone()).bind(currency.clone());
        let query = query.bind(loan.bytes().to_vec()).bind(day.clone());
        query.execute(&mut *db).await.map_err(store_error)?;
    }
    let query = sqlx::query(INSERT_STATEMENT)
        .bind(event.id.0)
        .bind(event.tenant.0)
        .bind(account)
        .bind(currency)
        .bind(day)
        .bind(head.opening_balance.units())
        .bind(head.closing_balance.units())
        .bind(i64::try_from(statement.lines.len()).unwrap_or(i64::MAX))
        .bind(statement.sha256.to_vec())
        .bind(now.micros());
    query.execute(&mut *db).await.map_err(store_error)?;
    let lines: Vec<LineParam<'_>> = statement.lines.iter().map(LineParam::from).collect();
    let query = sqlx::query(INSERT_LINES).bind(event.id.0).bind(event.tenant.0).bind(json(&lines)?);
    query.execute(db).await.map_err(store_error).map(drop)
}

/// Accepts events whose keys are ours, so nothing else has them.
async fn accept_all(
    db: &mut SqliteConnection,
    publisher: PublisherId,
    events: Vec<NewEvent>,
    now: Timestamp,
) -> Result<Vec<(EventId, Seq)>, StoreError> {
    let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
    let accepted = accept_events(db, publisher, events, now).await?;
    let place = |(id, acceptance): (EventId, Acceptance)| match acceptance {
        Acceptance::New { seq, .. } => Ok((id, seq)),
        Acceptance::Known(_) => Err(broken("the key of a settlement is taken")),
    };
    ids.into_iter().zip(accepted).map(place).collect()
}

async fn finish(db: &mut SqliteConnection, hold: UploadHold, end: UploadEnd, now: Timestamp) -> Result<(), StoreError> {
    let is_ended = end_upload(db, hold, end, now).await?;
    if is_ended { Ok(()) } else { Err(broken("an operation of a bank statement could not be ended")) }
}

/// Decides about a line, if it is open.
pub(super) async fn resolve(
    db: &mut SqliteConnection,
    resolution: NewLineResolution,
    now: Timestamp,
) -> Result<LineDecided, StoreError> {
    let (tenant, actor) = (resolution.upload.event.tenant, resolution.upload.event.actor.clone());
    let place = resolution.place;
    if known_events(db, &[&resolution.upload.event]).await?.is_empty() {
        let query = sqlx::query(LINE_STATE).bind(tenant.0).bind(place.statement.0).bind(place.line_no);
        let Some(row) = query.fetch_optional(&mut *db).await.map_err(store_error)? else {
            return Ok(LineDecided::Gone);
        };
        match word(&row, "state")? {
            LineState::Open => {}
            state @ (LineState::Cleared | LineState::Matched | LineState::Posted) => {
                return Ok(LineDecided::NotOpen(state));
            }
        }
        if is_matched(db, resolution.matched_event.as_slice()).await? {
            return Ok(LineDecided::EventTaken);
        }
    }
    let hold = UploadHold { id: PaymentBatchId(resolution.upload.event.id.0), holder: resolution.upload.holder };
    let fingerprint = resolution.upload.event.fingerprint.bytes();
    let state = resolution.state();
    let begun = begin(db, resolution.upload, now).await?;
    if !matches!(begun, UploadBegun::New(_)) {
        return Ok(LineDecided::Known(begun));
    }
    let update = sqlx::query(RESOLVE_LINE)
        .bind(place.statement.0)
        .bind(place.line_no)
        .bind(state.as_str())
        .bind(resolution.matched_event.map(|event| event.0))
        .bind(resolution.settlement.as_ref().map(|event| event.id.0))
        .bind(resolution.reason)
        .bind(actor)
        .bind(now.micros());
    update.execute(&mut *db).await.map_err(store_error)?;
    let settlement = resolution.settlement.into_iter().collect();
    let booked = accept_all(db, resolution.publisher, settlement, now).await?.pop();
    let end = UploadEnd { rows: RowCounts::default(), fingerprint, answer: resolution.answer };
    finish(db, hold, end, now).await?;
    Ok(LineDecided::Decided(booked))
}
