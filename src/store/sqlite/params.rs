//! Owns how rows go into a statement. What every payment writes goes in as parameters, see [`Row`]; everything else as one
//! JSON array, which `jsonb_each` turns into rows again: bytes travel as hexadecimal text, field names are column names.

use chrono::NaiveDate;
use serde::{Serialize, Serializer};
use sqlx::sqlite::SqliteArguments;

use crate::core::event::{AcceptedEvent, IdempotencyKey, LoanNumber, Metadata, NewEvent, SourceMethod};
use crate::core::ids::{EventId, LoanKey, Seq, TenantId};
use crate::core::ledger::{JournalEntry, Line, Posting, RejectionCode};
use crate::core::loan::LoanState;
use crate::core::money::Minor;
use crate::core::slot::{Partition, Slot};
use crate::core::time::Timestamp;
use crate::store::sqlite::values::{Row, Values};
use crate::store::{StoreError, UploadException};

/// One parameter for many rows.
pub(super) fn json<T: Serialize + ?Sized>(rows: &T) -> Result<String, StoreError> {
    serde_json::to_string(rows).map_err(|error| StoreError::Broken(error.to_string()))
}

/// Bytes as lower-case hexadecimal text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hex<const N: usize>(pub(super) [u8; N]);

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
        let mut text = String::with_capacity(N.saturating_mul(2));
        for byte in self.0 {
            text.push(digit(byte >> 4));
            text.push(digit(byte & 0xf));
        }
        serializer.serialize_str(&text)
    }
}

/// The 16 bytes of an id.
pub(super) fn hex_id(id: uuid::Uuid) -> Hex<16> {
    Hex(id.into_bytes())
}

/// Loan keys.
pub(super) fn loan_keys(keys: impl IntoIterator<Item = LoanKey>) -> Result<String, StoreError> {
    json(&keys.into_iter().map(|key| Hex(key.bytes())).collect::<Vec<_>>())
}

/// Event ids.
pub(super) fn event_ids(ids: impl IntoIterator<Item = EventId>) -> Result<String, StoreError> {
    json(&ids.into_iter().map(|id| hex_id(id.0)).collect::<Vec<_>>())
}

/// Places in the order.
pub(super) fn seqs(seqs: impl IntoIterator<Item = Seq>) -> Result<String, StoreError> {
    json(&seqs.into_iter().collect::<Vec<_>>())
}

/// A row of `slots`.
#[derive(Debug, Serialize)]
pub(super) struct SlotRow {
    slot: u16,
    partition: u16,
}

impl SlotRow {
    pub(super) fn new(slot: Slot, partition: Partition) -> Self {
        Self { slot: slot.number(), partition: partition.0 }
    }
}

/// A row of `events`, without its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventRow<'a> {
    pub(super) event: &'a NewEvent,
    pub(super) accepted_at: Timestamp,
}

impl EventRow<'_> {
    /// The parameters of a statement for this row alone.
    pub(super) fn alone(self) -> Result<SqliteArguments, StoreError> {
        let mut values = Values::default();
        self.add_to(&mut values)?;
        Ok(values.into_arguments())
    }
}

impl Row for EventRow<'_> {
    const WIDTH: usize = 25;

    fn add_to(self, values: &mut Values) -> Result<(), StoreError> {
        let Self { event, accepted_at } = self;
        let command = &event.command;
        values.add(event.id.0)?;
        values.add(event.tenant.0)?;
        values.add(event.kind.as_str())?;
        values.add(event.loan_key.bytes().as_slice())?;
        values.add(command.loan_id().0)?;
        values.add(command.borrower_id().0)?;
        values.add(command.amount().map(Minor::units))?;
        values.add(command.currency().code())?;
        values.add(command.effective_date())?;
        values.add(command.source_method().map(SourceMethod::as_str))?;
        values.add(command.external_ref())?;
        values.add(command.metadata().map(Metadata::as_json))?;
        values.add(command.details())?;
        values.add(event.key.as_ref().map(IdempotencyKey::as_str))?;
        values.add(event.key_hash.bytes().as_slice())?;
        values.add(event.fingerprint.bytes().as_slice())?;
        values.add(event.origin.cause_seq.map(|seq| seq.0))?;
        values.add(event.origin.group.map(|group| group.group_seq.0))?;
        values.add(event.origin.group.map(|group| group.leg))?;
        values.add(event.origin.batch.map(|(batch, _)| batch.0))?;
        values.add(event.origin.batch.map(|(_, row)| row))?;
        values.add(event.slot.map(Slot::number))?;
        values.add(event.publisher.0)?;
        values.add(event.actor.as_str())?;
        values.add(accepted_at.micros())
    }
}

/// A row of `postings`: an event's number with what came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PostingRow<'a>(pub(super) Seq, pub(super) &'a Posting);

impl Row for PostingRow<'_> {
    const WIDTH: usize = 18;

    fn add_to(self, values: &mut Values) -> Result<(), StoreError> {
        let Self(seq, posting) = self;
        let entry = posting.entry.as_ref();
        let split = posting.allocation;
        values.add(seq.0)?;
        values.add(posting.loan_key.bytes().as_slice())?;
        values.add(posting.loan_version)?;
        values.add(posting.outcome.as_str())?;
        values.add(posting.outcome.rejection().map(RejectionCode::as_str))?;
        values.add(lines_text(entry, |line| i64::from(line.account.number())))?;
        values.add(lines_text(entry, |line| line.signed.units()))?;
        values.add(entry.map(JournalEntry::layer).unwrap_or_default().as_str())?;
        values.add(split.map(|split| split.fees.units()))?;
        values.add(split.map(|split| split.interest.units()))?;
        values.add(split.map(|split| split.principal.units()))?;
        values.add(split.map(|split| split.suspense.units()))?;
        values.add(posting.undoes_seq.map(|seq| seq.0))?;
        values.add(posting.restates_seq.map(|seq| seq.0))?;
        values.add(posting.effective_date)?;
        values.add(posting.booking_date)?;
        values.add(posting.posted_at.micros())?;
        values.add(posting.chain_hash.as_ref().map(<[u8; 32]>::as_slice))
    }
}

/// One number of each line, as the JSON array that the column holds.
fn lines_text(entry: Option<&JournalEntry>, number: impl Fn(&Line) -> i64) -> String {
    let numbers = entry.into_iter().flat_map(JournalEntry::lines).map(|line| number(line).to_string());
    format!("[{}]", numbers.collect::<Vec<_>>().join(","))
}

/// What a batch changes in a row of `loans`.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoanChange<'a> {
    pub(super) state: &'a LoanState,
    /// The batch's own: system events do not count.
    pub(super) last_posted_seq: Seq,
}

impl Row for LoanChange<'_> {
    const WIDTH: usize = 13;

    fn add_to(self, values: &mut Values) -> Result<(), StoreError> {
        let Self { state, last_posted_seq } = self;
        values.add(state.key.bytes().as_slice())?;
        values.add(state.program_id.map(|program| program.0))?;
        values.add(state.status.as_str())?;
        values.add(state.balances.fees.units())?;
        values.add(state.balances.interest.units())?;
        values.add(state.balances.principal.units())?;
        values.add(state.balances.suspense.units())?;
        values.add(state.waterfalls.to_string())?;
        values.add(state.version)?;
        values.add(last_posted_seq.0)?;
        values.add(state.greatest_effective_date)?;
        values.add(state.last_posted_at.micros())?;
        values.add(state.chain_head.as_slice())
    }
}

/// What few batches change in a row of `loans`.
#[derive(Debug, Serialize)]
pub(super) struct TermsChange {
    loan_key: Hex<16>,
    charged_off_on: Option<NaiveDate>,
    loss_account: Option<&'static str>,
    memo_fees: i64,
    memo_interest: i64,
    memo_principal: i64,
    suspense_release: &'static str,
}

impl TermsChange {
    pub(super) fn new(state: &LoanState) -> Self {
        let memo = state.charged_off.map(|charged_off| charged_off.memo).unwrap_or_default();
        Self {
            loan_key: Hex(state.key.bytes()),
            charged_off_on: state.charged_off.map(|charged_off| charged_off.on),
            loss_account: state.charged_off.map(|charged_off| charged_off.loss.as_str()),
            memo_fees: memo.fees.units(),
            memo_interest: memo.interest.units(),
            memo_principal: memo.principal.units(),
            suspense_release: state.suspense_release.as_str(),
        }
    }
}

/// A row of `loans` before its first posting, as its opening event makes it.
#[derive(Debug, Serialize)]
pub(super) struct OpeningRow<'a> {
    loan_key: Hex<16>,
    tenant: Hex<16>,
    loan_id: Hex<16>,
    loan_number: Option<&'a str>,
    loan_number_comparable: Option<&'a str>,
    borrower_id: Hex<16>,
    currency: String,
    opened_on: NaiveDate,
    waterfall: String,
}

impl<'a> OpeningRow<'a> {
    pub(super) fn new(opening: &'a AcceptedEvent, state: &LoanState) -> Self {
        let number = opening.event.command.loan_number();
        Self {
            loan_key: Hex(state.key.bytes()),
            tenant: hex_id(state.tenant.0),
            loan_id: hex_id(state.loan_id.0),
            loan_number: number.map(LoanNumber::as_str),
            loan_number_comparable: number.map(LoanNumber::comparable),
            borrower_id: hex_id(state.borrower_id.0),
            currency: state.currency.code().to_owned(),
            opened_on: state.opened_on,
            waterfall: state.waterfalls.to_string(),
        }
    }
}

/// A row of `account_totals`, as it will be.
#[derive(Debug, Serialize)]
pub(super) struct AccountTotalRow {
    pub(super) tenant: Hex<16>,
    pub(super) account: i16,
    pub(super) currency: String,
    pub(super) layer: &'static str,
    pub(super) booking_date: NaiveDate,
    /// 128 bits as decimal text.
    pub(super) debits: String,
    /// 128 bits as decimal text.
    pub(super) credits: String,
}

/// A row of `batch_totals`, as it will be.
#[derive(Debug, Serialize)]
pub(super) struct BatchTotalRow {
    pub(super) batch_id: Hex<16>,
    pub(super) outcome: &'static str,
    pub(super) currency: String,
    pub(super) count: i64,
    /// 128 bits as decimal text.
    pub(super) amount: String,
}

/// A row of `batch_accepted`, as it will be.
#[derive(Debug, Serialize)]
pub(super) struct BatchAcceptedRow {
    pub(super) batch_id: Hex<16>,
    pub(super) currency: String,
    pub(super) count: i64,
    /// 128 bits as decimal text.
    pub(super) amount: String,
}

/// A row of `batch_exceptions`.
#[derive(Debug, Serialize)]
pub(super) struct ExceptionRow<'a> {
    row_no: i64,
    code: &'a str,
    idempotency_key: Option<&'a str>,
    event_id: Option<Hex<16>>,
    first_row_no: Option<i64>,
    first_batch_id: Option<Hex<16>>,
    amount: Option<i64>,
    currency: Option<&'a str>,
    errors: Option<&'a str>,
}

impl<'a> From<&'a UploadException> for ExceptionRow<'a> {
    fn from(row: &'a UploadException) -> Self {
        Self {
            row_no: row.row_no,
            code: &row.code,
            idempotency_key: row.idempotency_key.as_deref(),
            event_id: row.event_id.map(|id| hex_id(id.0)),
            first_row_no: row.first_row_no,
            first_batch_id: row.first_batch_id.map(|id| hex_id(id.0)),
            amount: row.amount.map(Minor::units),
            currency: row.currency.as_deref(),
            errors: row.errors.as_deref(),
        }
    }
}

/// A row of `publisher_totals`, as it will be.
#[derive(Debug, Serialize)]
pub(super) struct PublisherTotalRow {
    pub(super) tenant: Hex<16>,
    pub(super) accepted: i64,
    /// 128 bits as decimal text.
    pub(super) amount: String,
}

/// A row of `changes`.
#[derive(Debug, Serialize)]
pub(super) struct ChangeRow {
    pub(super) tenant: Hex<16>,
    /// JSON array of the events.
    pub(super) seqs: String,
}

impl ChangeRow {
    pub(super) fn new(tenant: TenantId, seqs: &[Seq]) -> Result<Self, StoreError> {
        Ok(Self { tenant: hex_id(tenant.0), seqs: json(seqs)? })
    }
}
