//! Owns rows of `events`, alone and with what came of them.

use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::core::event::{
    AcceptedEvent, Command, CommandColumns, Fingerprint, GroupLeg, IdempotencyKey, NewEvent, Origin, SourceMethod,
    Stage,
};
use crate::core::ids::{BorrowerId, EventId, KeyHash, LoanId, LoanKey, PaymentBatchId, PublisherId, Seq};
use crate::core::ledger::Posting;
use crate::core::loan::Allocation;
use crate::core::money::Minor;
use crate::core::slot::Slot;
use crate::store::sqlite::rows::{
    Columns, broken, bytes, date, decode_posting, get, id, instant, int, minor, optional_small, tenant, text, word,
};
use crate::store::{EventRecord, EventStatus, Progress, StoreError, Undoing};

/// The columns of an event, from `events AS e`. A macro, because constants are only joined by `concat!`, which takes
/// literals.
macro_rules! event_columns {
    () => {
        "e.seq, e.id, e.tenant, e.kind, e.loan_key, e.loan_id, e.borrower_id, e.amount, e.currency,
        e.effective_date, e.source_method, e.external_ref, e.metadata, e.details, e.key, e.key_hash,
        e.fingerprint, e.cause_seq, e.group_seq, e.leg, e.batch_id, e.row_no, e.slot, e.publisher, e.actor,
        e.accepted_at"
    };
}
pub(in crate::store::sqlite) use event_columns;

/// The same, to be packed; see [`super::Packed`].
macro_rules! packed_event {
    () => {
        "e.seq, hex(e.id), hex(e.tenant), e.kind, hex(e.loan_key), hex(e.loan_id), hex(e.borrower_id), e.amount, e.currency,
        e.effective_date, e.source_method, e.external_ref, e.metadata, e.details, e.key, hex(e.key_hash),
        hex(e.fingerprint), e.cause_seq, e.group_seq, e.leg, hex(e.batch_id), e.row_no, e.slot, hex(e.publisher), e.actor,
        e.accepted_at"
    };
}
pub(in crate::store::sqlite) use packed_event;

/// The names of [`packed_event`].
pub(in crate::store::sqlite) const EVENT_COLUMNS: &[&str] = &[
    "seq",
    "id",
    "tenant",
    "kind",
    "loan_key",
    "loan_id",
    "borrower_id",
    "amount",
    "currency",
    "effective_date",
    "source_method",
    "external_ref",
    "metadata",
    "details",
    "key",
    "key_hash",
    "fingerprint",
    "cause_seq",
    "group_seq",
    "leg",
    "batch_id",
    "row_no",
    "slot",
    "publisher",
    "actor",
    "accepted_at",
];

/// Reads [`event_columns`].
pub(in crate::store::sqlite) fn decode_event(row: &impl Columns) -> Result<AcceptedEvent, StoreError> {
    let command = decode_command(row)?;
    let key = row.optional_text("key")?;
    let slot: Option<u16> = optional_small(row, "slot")?;
    let event = NewEvent {
        id: EventId(id(row, "id")?),
        tenant: tenant(row)?,
        kind: word(row, "kind")?,
        loan_key: LoanKey::from_bytes(bytes(row, "loan_key")?),
        command,
        key: key.map(IdempotencyKey::parse).transpose().map_err(|_| broken("key"))?,
        key_hash: KeyHash::from_bytes(bytes(row, "key_hash")?),
        fingerprint: Fingerprint::from_bytes(bytes(row, "fingerprint")?),
        origin: decode_origin(row)?,
        slot: slot.map(|slot| Slot::from_number(slot).ok_or_else(|| broken("slot"))).transpose()?,
        publisher: PublisherId(id(row, "publisher")?),
        actor: text(row, "actor")?.to_owned(),
    };
    Ok(AcceptedEvent::new(Seq(int(row, "seq")?), instant(row, "accepted_at")?, event))
}

fn decode_command(row: &impl Columns) -> Result<Command, StoreError> {
    let method = row.optional_text("source_method")?;
    let owned = |column| row.optional_text(column).map(|text| text.map(str::to_owned));
    let columns = CommandColumns {
        kind: word(row, "kind")?,
        loan_id: LoanId(id(row, "loan_id")?),
        borrower_id: BorrowerId(id(row, "borrower_id")?),
        amount: row.optional_int("amount")?.map(Minor::new),
        currency: word(row, "currency")?,
        effective_date: date(row, "effective_date")?,
        source_method: method
            .map(|method| SourceMethod::parse(method).ok_or_else(|| broken("source_method")))
            .transpose()?,
        external_ref: owned("external_ref")?,
        metadata: owned("metadata")?,
        details: owned("details")?,
    };
    Command::from_columns(columns).map_err(|error| StoreError::Broken(error.to_string()))
}

fn decode_origin(row: &impl Columns) -> Result<Origin, StoreError> {
    let group = (row.optional_int("group_seq")?, optional_small(row, "leg")?);
    let batch = (row.optional_bytes("batch_id")?, row.optional_int("row_no")?);
    Ok(Origin {
        cause_seq: row.optional_int("cause_seq")?.map(Seq),
        group: group.0.zip(group.1).map(|(seq, leg)| GroupLeg { group_seq: Seq(seq), leg }),
        batch: batch.0.zip(batch.1).map(|(batch, row_no)| (PaymentBatchId(Uuid::from_bytes(batch)), row_no)),
    })
}

/// Reads the column `stage`.
pub(in crate::store::sqlite) fn decode_stage(row: &SqliteRow) -> Result<Stage, StoreError> {
    match get::<&str>(row, "stage")? {
        "accepted" => Ok(Stage::Accepted),
        "held" => Ok(Stage::Held),
        "parked" => Ok(Stage::Parked),
        "posted" | "rejected" | "done" => Ok(Stage::Finished),
        _ => Err(broken("stage")),
    }
}

/// Reads an event with its posting; `None` where it has none.
pub(in crate::store::sqlite) fn decode_posted(row: &SqliteRow) -> Result<Option<(AcceptedEvent, Posting)>, StoreError> {
    let event = decode_event(row)?;
    let posting = decode_posting(row, event.event.id)?;
    Ok(posting.map(|posting| (event, posting)))
}

/// Reads an event with its stage, its posting and what happened to it later.
pub(in crate::store::sqlite) fn decode_record(row: &SqliteRow) -> Result<EventRecord, StoreError> {
    let event = decode_event(row)?;
    let posting = decode_posting(row, event.event.id)?;
    let progress = Progress { undone_by: decode_undoing(row)?, current_allocation: decode_current_allocation(row)? };
    Ok(EventRecord { event, stage: decode_stage(row)?, posting, progress })
}

/// Reads of an event what its status tells. Of a row all is read: it comes from this process's own memory.
pub(in crate::store::sqlite) fn decode_status(row: &SqliteRow) -> Result<EventStatus, StoreError> {
    decode_record(row).map(|record| EventStatus::from(&record))
}

fn decode_undoing(row: &SqliteRow) -> Result<Option<Undoing>, StoreError> {
    let id: Option<[u8; 16]> = row.optional_bytes("undone_by")?;
    id.map(|id| Ok(Undoing { id: EventId(Uuid::from_bytes(id)), kind: word(row, "undone_by_kind")? })).transpose()
}

fn decode_current_allocation(row: &SqliteRow) -> Result<Option<Allocation>, StoreError> {
    if get::<Option<i64>>(row, "current_fees")?.is_none() {
        return Ok(None);
    }
    Ok(Some(Allocation {
        fees: minor(row, "current_fees")?,
        interest: minor(row, "current_interest")?,
        principal: minor(row, "current_principal")?,
        suspense: minor(row, "current_suspense")?,
    }))
}
