//! Owns the way from rows to domain types. A row that no code of ours can have written is [`StoreError::Broken`].

use std::str::FromStr;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row, Type};
use uuid::Uuid;

use super::error::classify;
use crate::core::event::{
    AcceptedEvent, Command, CommandColumns, EventKind, Fingerprint, GroupLeg, IdempotencyKey, NewEvent, Origin,
    SourceMethod, Stage,
};
use crate::core::ids::{
    BorrowerId, EventId, KeyHash, LoanId, LoanKey, PaymentBatchId, ProgramId, PublisherId, Seq, TenantId,
};
use crate::core::ledger::{AccountCode, JournalEntry, Line, Outcome, Posting, RejectionCode};
use crate::core::loan::{Allocation, Balances, ChargedOff, LoanState, Memo, SuspenseRelease};
use crate::core::money::{Currency, Minor};
use crate::core::slot::Slot;
use crate::core::time::Timestamp;
use crate::store::StoreError;

/// The columns that [`event`] reads, of `events AS e`. A macro, because `concat!` joins literals only.
macro_rules! event_columns {
    () => {
        "e.seq, e.accepted_at, e.id, e.tenant, e.kind, e.loan_key, e.loan_id, e.borrower_id, e.amount, e.currency, \
         e.effective_date, e.source_method, e.external_ref, e.metadata, e.details, e.key, e.key_hash, e.fingerprint, \
         e.group_seq, e.leg, e.cause_seq, e.batch_id, e.row_no, e.slot, e.publisher, e.actor"
    };
}

/// The columns that [`posting`] reads, of `postings AS p`.
macro_rules! posting_columns {
    () => {
        "p.event_seq, p.loan_key, p.loan_version, p.outcome, p.rejection_code, p.accounts, p.amounts, p.layer, \
         p.alloc_fees, p.alloc_interest, p.alloc_principal, p.alloc_suspense, p.undoes_seq, p.restates_seq, \
         p.effective_date, p.booking_date, p.posted_at, p.chain_hash, p.answer"
    };
}

/// The columns that [`loan`] reads.
macro_rules! loan_columns {
    () => {
        "loan_key, tenant, loan_id, borrower_id, program_id, currency, opened_on, status, fees, interest, principal, \
         suspense, waterfall, version, last_posted_seq, greatest_effective_date, last_posted_at, chain_head, on_hold, \
         charged_off_on, loss_account, memo_fees, memo_interest, memo_principal, suspense_release"
    };
}

pub(super) use {event_columns, loan_columns, posting_columns};

/// How many columns [`posting`] reads: what to skip when there is none.
const POSTING_COLUMNS: usize = 19;

/// Reads a row's columns one after the other.
pub(super) struct Columns<'r> {
    row: &'r PgRow,
    next: usize,
}

impl<'r> Columns<'r> {
    /// Begins at the first column.
    pub(super) fn of(row: &'r PgRow) -> Self {
        Self { row, next: 0 }
    }

    /// The next column.
    pub(super) fn take<T>(&mut self) -> Result<T, StoreError>
    where
        T: Decode<'r, Postgres> + Type<Postgres>,
    {
        let index = self.next;
        self.next = index.saturating_add(1);
        self.row.try_get(index).map_err(classify)
    }

    /// Passes over some.
    pub(super) fn skip(&mut self, count: usize) {
        self.next = self.next.saturating_add(count);
    }

    /// A stored word.
    pub(super) fn word<T: FromStr>(&mut self, what: &str) -> Result<T, StoreError> {
        let text: &str = self.take()?;
        text.parse().map_err(|_| broken(what, text))
    }

    fn amount(&mut self) -> Result<Minor, StoreError> {
        self.take().map(Minor::new)
    }

    /// An amount that may be NULL.
    pub(super) fn optional_amount(&mut self) -> Result<Option<Minor>, StoreError> {
        Ok(self.take::<Option<i64>>()?.map(Minor::new))
    }

    fn optional_seq(&mut self) -> Result<Option<Seq>, StoreError> {
        Ok(self.take::<Option<i64>>()?.map(Seq))
    }

    /// An instant.
    pub(super) fn instant(&mut self) -> Result<Timestamp, StoreError> {
        self.take::<DateTime<Utc>>().map(Timestamp::new)
    }

    /// An instant that may be NULL.
    pub(super) fn optional_instant(&mut self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.take::<Option<DateTime<Utc>>>()?.map(Timestamp::new))
    }

    /// A caller's key, of an event.
    pub(super) fn key(&mut self, event_id: EventId) -> Result<Option<IdempotencyKey>, StoreError> {
        let key = self.take::<Option<&str>>()?.map(IdempotencyKey::parse).transpose();
        key.map_err(|_| broken("key of event", &event_id.to_string()))
    }

    /// A loan key.
    pub(super) fn loan_key(&mut self) -> Result<LoanKey, StoreError> {
        self.take::<Uuid>().map(|key| LoanKey::from_bytes(key.into_bytes()))
    }
}

/// A value that is not ours.
pub(super) fn broken(what: &str, value: &str) -> StoreError {
    StoreError::Broken(format!("stored {what} is unreadable: {value}"))
}

/// A key as the column holds it: `uuid` is sixteen bytes, compared byte by byte, without a length.
pub(super) fn key_column(key: LoanKey) -> Uuid {
    Uuid::from_bytes(key.bytes())
}

/// Reads [`event_columns`].
pub(super) fn event(columns: &mut Columns<'_>) -> Result<AcceptedEvent, StoreError> {
    let seq = Seq(columns.take()?);
    let accepted_at = columns.instant()?;
    let id = EventId(columns.take()?);
    let tenant = TenantId(columns.take()?);
    let kind: EventKind = columns.word("kind")?;
    let loan_key = columns.loan_key()?;
    let command = command(columns, kind)?;
    let key = columns.key(id)?;
    let key_hash = KeyHash::from_bytes(columns.take::<Uuid>()?.into_bytes());
    let fingerprint = Fingerprint::from_bytes(columns.take()?);
    let origin = origin(columns)?;
    let slot = columns.take::<Option<i16>>()?.map(slot).transpose()?;
    let publisher = PublisherId(columns.take()?);
    let actor = columns.take()?;
    let event =
        NewEvent { id, tenant, kind, loan_key, command, key, key_hash, fingerprint, origin, slot, publisher, actor };
    Ok(AcceptedEvent::new(seq, accepted_at, event))
}

/// Reads what a command's columns are, from the loan's id to the details.
pub(super) fn command(columns: &mut Columns<'_>, kind: EventKind) -> Result<Command, StoreError> {
    let loan_id = LoanId(columns.take()?);
    let borrower_id = BorrowerId(columns.take()?);
    let amount = columns.optional_amount()?;
    let currency: Currency = columns.word("currency")?;
    let effective_date: NaiveDate = columns.take()?;
    let source_method = columns.take::<Option<&str>>()?.map(source_method).transpose()?;
    let columns = CommandColumns {
        kind,
        loan_id,
        borrower_id,
        amount,
        currency,
        effective_date,
        source_method,
        external_ref: columns.take()?,
        metadata: columns.take()?,
        details: columns.take()?,
    };
    Command::from_columns(columns).map_err(|error| StoreError::Broken(error.to_string()))
}

fn source_method(text: &str) -> Result<SourceMethod, StoreError> {
    SourceMethod::parse(text).ok_or_else(|| broken("source method", text))
}

/// Reads a slot.
pub(super) fn slot(number: i16) -> Result<Slot, StoreError> {
    u16::try_from(number).ok().and_then(Slot::from_number).ok_or_else(|| broken("slot", &number.to_string()))
}

fn origin(columns: &mut Columns<'_>) -> Result<Origin, StoreError> {
    let group: (Option<Seq>, Option<i32>) = (columns.optional_seq()?, columns.take()?);
    let cause_seq = columns.optional_seq()?;
    let batch: (Option<Uuid>, Option<i64>) = (columns.take()?, columns.take()?);
    Ok(Origin {
        cause_seq,
        group: group.0.zip(group.1).map(|(group_seq, leg)| GroupLeg { group_seq, leg }),
        batch: batch.0.zip(batch.1).map(|(id, row_no)| (PaymentBatchId(id), row_no)),
    })
}

/// Reads [`posting_columns`], all of them NULL where there is no posting.
pub(super) fn posting(columns: &mut Columns<'_>, event_id: EventId) -> Result<Option<Posting>, StoreError> {
    if columns.take::<Option<i64>>()?.is_none() {
        columns.skip(POSTING_COLUMNS.saturating_sub(1));
        return Ok(None);
    }
    let loan_key = columns.loan_key()?;
    let loan_version = columns.take()?;
    let outcome = outcome(columns)?;
    let entry = entry(columns, event_id)?;
    let allocation = allocation(columns)?;
    Ok(Some(Posting {
        event_id,
        loan_key,
        loan_version,
        outcome,
        entry,
        allocation,
        undoes_seq: columns.optional_seq()?,
        restates_seq: columns.optional_seq()?,
        effective_date: columns.take()?,
        booking_date: columns.take()?,
        posted_at: columns.instant()?,
        chain_hash: columns.take()?,
        refused_loans: refused_loans(columns.take()?, outcome)?,
    }))
}

/// The loans that a group was refused for stand where an operation of the api has its answer.
fn refused_loans(answer: Option<&[u8]>, outcome: Outcome) -> Result<Vec<LoanId>, StoreError> {
    match (outcome, answer) {
        (Outcome::Rejected(_), Some(answer)) => {
            serde_json::from_slice(answer).map_err(|_| broken("answer", "of a refused group"))
        }
        (Outcome::Rejected(_) | Outcome::Posted | Outcome::Done, _) => Ok(Vec::new()),
    }
}

/// Reads outcome and rejection code.
pub(super) fn outcome(columns: &mut Columns<'_>) -> Result<Outcome, StoreError> {
    outcome_of(columns.take()?, columns.take()?)
}

/// The outcome of its word and a rejection code.
pub(super) fn outcome_of(word: &str, code: Option<&str>) -> Result<Outcome, StoreError> {
    match (word, code) {
        ("posted", None) => Ok(Outcome::Posted),
        ("done", None) => Ok(Outcome::Done),
        ("rejected", Some(code)) => {
            code.parse::<RejectionCode>().map(Outcome::Rejected).map_err(|_| broken("rejection code", code))
        }
        _ => Err(broken("outcome", word)),
    }
}

fn entry(columns: &mut Columns<'_>, event_id: EventId) -> Result<Option<JournalEntry>, StoreError> {
    let (accounts, amounts): (Vec<i16>, Vec<i64>) = (columns.take()?, columns.take()?);
    let layer = columns.word("layer")?;
    let lines = lines(accounts, amounts)?;
    if lines.is_empty() {
        return Ok(None);
    }
    JournalEntry::new(lines, layer)
        .map(Some)
        .map_err(|error| broken(&format!("entry ({error})"), &event_id.to_string()))
}

/// The lines of two arrays.
pub(super) fn lines(accounts: Vec<i16>, amounts: Vec<i64>) -> Result<Vec<Line>, StoreError> {
    let line = |(account, amount): (i16, i64)| {
        let code = AccountCode::from_number(account).ok_or_else(|| broken("account", &account.to_string()))?;
        Ok(Line { account: code, signed: Minor::new(amount) })
    };
    accounts.into_iter().zip(amounts).map(line).collect()
}

/// Reads the four parts of an allocation.
pub(super) fn allocation(columns: &mut Columns<'_>) -> Result<Option<Allocation>, StoreError> {
    let fees = columns.optional_amount()?;
    let interest = columns.optional_amount()?;
    let principal = columns.optional_amount()?;
    let suspense = columns.optional_amount()?;
    let parts = fees.zip(interest).zip(principal.zip(suspense));
    Ok(parts.map(|((fees, interest), (principal, suspense))| Allocation { fees, interest, principal, suspense }))
}

/// A locked or read row of `loans`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoanRow {
    /// The loan.
    pub(super) state: LoanState,
    /// Whether it waits for a person.
    pub(super) on_hold: bool,
}

/// Reads [`loan_columns`].
pub(super) fn loan(columns: &mut Columns<'_>) -> Result<LoanRow, StoreError> {
    let key = columns.loan_key()?;
    let tenant = TenantId(columns.take()?);
    let loan_id = LoanId(columns.take()?);
    let borrower_id = BorrowerId(columns.take()?);
    let program_id = columns.take::<Option<Uuid>>()?.map(ProgramId);
    let currency = columns.word("currency")?;
    let opened_on = columns.take()?;
    let status = columns.word("loan status")?;
    let balances = Balances {
        fees: columns.amount()?,
        interest: columns.amount()?,
        principal: columns.amount()?,
        suspense: columns.amount()?,
    };
    let mut state = LoanState {
        key,
        tenant,
        loan_id,
        borrower_id,
        program_id,
        currency,
        opened_on,
        status,
        charged_off: None,
        suspense_release: SuspenseRelease::default(),
        balances,
        waterfalls: columns.word("waterfall")?,
        version: columns.take()?,
        last_posted_seq: Seq(columns.take()?),
        greatest_effective_date: columns.take()?,
        last_posted_at: columns.instant()?,
        chain_head: columns.take()?,
    };
    let on_hold = columns.take()?;
    state.charged_off = charged_off(columns)?;
    state.suspense_release = columns.word("suspense release")?;
    Ok(LoanRow { state, on_hold })
}

fn charged_off(columns: &mut Columns<'_>) -> Result<Option<ChargedOff>, StoreError> {
    let (on, loss): (Option<NaiveDate>, Option<&str>) = (columns.take()?, columns.take()?);
    let memo = Memo { fees: columns.amount()?, interest: columns.amount()?, principal: columns.amount()? };
    let charged_off = on.zip(loss).map(|(on, loss)| {
        let loss = loss.parse().map_err(|_| broken("loss account", loss))?;
        Ok(ChargedOff { on, loss, memo })
    });
    charged_off.transpose()
}

/// Reads the two flags parked and held, which follow a posting: finished goes before parked, parked before held.
pub(super) fn stage(columns: &mut Columns<'_>, is_finished: bool) -> Result<Stage, StoreError> {
    let (parked, held): (bool, bool) = (columns.take()?, columns.take()?);
    Ok(match (is_finished, parked, held) {
        (true, _, _) => Stage::Finished,
        (false, true, _) => Stage::Parked,
        (false, false, true) => Stage::Held,
        (false, false, false) => Stage::Accepted,
    })
}
