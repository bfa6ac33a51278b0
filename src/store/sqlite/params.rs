//! Owns how rows go into a statement: all of them as one JSON array, which `jsonb_each` turns into rows again. Bytes
//! travel as hexadecimal text; field names are column names.

use chrono::NaiveDate;
use serde::{Serialize, Serializer};

use crate::core::event::{AcceptedEvent, Command, IdempotencyKey, LoanNumber, Metadata, NewEvent, SourceMethod};
use crate::core::ids::{EventId, LoanKey, Seq, TenantId};
use crate::core::ledger::{JournalEntry, Line, Posting, RejectionCode};
use crate::core::loan::LoanState;
use crate::core::money::Minor;
use crate::core::slot::{Partition, Slot};
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

/// A row of `events`, without its place and instant.
#[derive(Debug, Serialize)]
pub(super) struct EventRow<'a> {
    id: Hex<16>,
    tenant: Hex<16>,
    kind: &'static str,
    loan_key: Hex<16>,
    loan_id: Hex<16>,
    borrower_id: Hex<16>,
    amount: Option<i64>,
    currency: String,
    effective_date: NaiveDate,
    source_method: Option<&'static str>,
    external_ref: Option<&'a str>,
    metadata: Option<&'a str>,
    details: Option<String>,
    key: Option<&'a str>,
    key_hash: Hex<16>,
    fingerprint: Hex<32>,
    cause_seq: Option<Seq>,
    group_seq: Option<Seq>,
    leg: Option<i32>,
    batch_id: Option<Hex<16>>,
    row_no: Option<i64>,
    slot: Option<u16>,
    publisher: Hex<16>,
    actor: &'a str,
}

impl<'a> From<&'a NewEvent> for EventRow<'a> {
    fn from(event: &'a NewEvent) -> Self {
        let command = &event.command;
        Self {
            id: hex_id(event.id.0),
            tenant: hex_id(event.tenant.0),
            kind: event.kind.as_str(),
            loan_key: Hex(event.loan_key.bytes()),
            loan_id: hex_id(command.loan_id().0),
            borrower_id: hex_id(command.borrower_id().0),
            amount: command.amount().map(Minor::units),
            currency: command.currency().code().to_owned(),
            effective_date: command.effective_date(),
            source_method: command.source_method().map(SourceMethod::as_str),
            external_ref: command.external_ref(),
            metadata: command.metadata().map(Metadata::as_json),
            details: command.details(),
            key: event.key.as_ref().map(IdempotencyKey::as_str),
            key_hash: Hex(event.key_hash.bytes()),
            fingerprint: Hex(event.fingerprint.bytes()),
            cause_seq: event.origin.cause_seq,
            group_seq: event.origin.group.map(|group| group.group_seq),
            leg: event.origin.group.map(|group| group.leg),
            batch_id: event.origin.batch.map(|(batch, _)| hex_id(batch.0)),
            row_no: event.origin.batch.map(|(_, row)| row),
            slot: event.slot.map(Slot::number),
            publisher: hex_id(event.publisher.0),
            actor: &event.actor,
        }
    }
}

/// A row of `postings`.
#[derive(Debug, Serialize)]
pub(super) struct PostingRow {
    event_seq: Seq,
    loan_key: Hex<16>,
    loan_version: Option<i64>,
    outcome: &'static str,
    rejection_code: Option<&'static str>,
    accounts: String,
    amounts: String,
    layer: &'static str,
    alloc_fees: Option<i64>,
    alloc_interest: Option<i64>,
    alloc_principal: Option<i64>,
    alloc_suspense: Option<i64>,
    undoes_seq: Option<Seq>,
    restates_seq: Option<Seq>,
    effective_date: NaiveDate,
    booking_date: NaiveDate,
    posted_at: i64,
    chain_hash: Option<Hex<32>>,
}

impl PostingRow {
    pub(super) fn new(seq: Seq, posting: &Posting) -> Self {
        let entry = posting.entry.as_ref();
        let split = posting.allocation;
        Self {
            event_seq: seq,
            loan_key: Hex(posting.loan_key.bytes()),
            loan_version: posting.loan_version,
            outcome: posting.outcome.as_str(),
            rejection_code: posting.outcome.rejection().map(RejectionCode::as_str),
            accounts: lines_text(entry, |line| i64::from(line.account.number())),
            amounts: lines_text(entry, |line| line.signed.units()),
            layer: entry.map(JournalEntry::layer).unwrap_or_default().as_str(),
            alloc_fees: split.map(|split| split.fees.units()),
            alloc_interest: split.map(|split| split.interest.units()),
            alloc_principal: split.map(|split| split.principal.units()),
            alloc_suspense: split.map(|split| split.suspense.units()),
            undoes_seq: posting.undoes_seq,
            restates_seq: posting.restates_seq,
            effective_date: posting.effective_date,
            booking_date: posting.booking_date,
            posted_at: posting.posted_at.micros(),
            chain_hash: posting.chain_hash.map(Hex),
        }
    }
}

/// One number of each line, as the JSON array that the column holds.
fn lines_text(entry: Option<&JournalEntry>, number: impl Fn(&Line) -> i64) -> String {
    let numbers = entry.into_iter().flat_map(JournalEntry::lines).map(|line| number(line).to_string());
    format!("[{}]", numbers.collect::<Vec<_>>().join(","))
}

/// What a batch changes in a row of `loans`.
#[derive(Debug, Serialize)]
pub(super) struct LoanChange {
    loan_key: Hex<16>,
    program_id: Option<Hex<16>>,
    status: &'static str,
    fees: i64,
    interest: i64,
    principal: i64,
    suspense: i64,
    waterfall: String,
    version: i64,
    last_posted_seq: Seq,
    greatest_effective_date: NaiveDate,
    last_posted_at: i64,
    chain_head: Hex<32>,
}

impl LoanChange {
    /// `last_posted_seq` is the batch's own: system events do not count.
    pub(super) fn new(state: &LoanState, last_posted_seq: Seq) -> Self {
        Self {
            loan_key: Hex(state.key.bytes()),
            program_id: state.program_id.map(|program| hex_id(program.0)),
            status: state.status.as_str(),
            fees: state.balances.fees.units(),
            interest: state.balances.interest.units(),
            principal: state.balances.principal.units(),
            suspense: state.balances.suspense.units(),
            waterfall: state.waterfall.to_string(),
            version: state.version,
            last_posted_seq,
            greatest_effective_date: state.greatest_effective_date,
            last_posted_at: state.last_posted_at.micros(),
            chain_head: Hex(state.chain_head),
        }
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
        let number = match &opening.event.command {
            Command::LoanOpening(opening) => opening.loan_number.as_ref(),
            Command::Payment(_)
            | Command::Disbursement(_)
            | Command::PaymentReturn(_)
            | Command::Fee(_)
            | Command::Servicing(_)
            | Command::Receipt(_)
            | Command::BankSettlement(_)
            | Command::Upload(_)
            | Command::Group(_) => None,
            Command::Leg(leg) => leg.terms.new_loan().and_then(|terms| terms.loan_number.as_ref()),
        };
        Self {
            loan_key: Hex(state.key.bytes()),
            tenant: hex_id(state.tenant.0),
            loan_id: hex_id(state.loan_id.0),
            loan_number: number.map(LoanNumber::as_str),
            loan_number_comparable: number.map(LoanNumber::comparable),
            borrower_id: hex_id(state.borrower_id.0),
            currency: state.currency.code().to_owned(),
            opened_on: state.opened_on,
            waterfall: state.waterfall.to_string(),
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
