//! Owns the event itself: a command with its identity, its order and who brought it. Accepted events never change.

use std::sync::Arc;

use crate::core::event::bank_settlement::BankSettlement;
use crate::core::event::command::Command;
use crate::core::event::fingerprint::Fingerprint;
use crate::core::event::group::Group;
use crate::core::event::key::IdempotencyKey;
use crate::core::event::kind::EventKind;
use crate::core::event::payment_return::FEE_SORT;
use crate::core::event::upload::Upload;
use crate::core::ids::{EntryId, EventId, KeyHash, LoanId, LoanKey, PaymentBatchId, PublisherId, Seq, TenantId};
use crate::core::slot::Slot;
use crate::core::time::Timestamp;

/// Membership of an event in a group: which parent, which leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupLeg {
    /// The parent's order of acceptance.
    pub group_seq: Seq,
    /// The leg's number, from 1.
    pub leg: i32,
}

/// Where an event came from, besides its caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The event it is a consequence of (system events only).
    pub cause_seq: Option<Seq>,
    /// The group it is a leg of.
    pub group: Option<GroupLeg>,
    /// The upload it came in, with its row number from 1. Such events ride the bulk queues.
    pub batch: Option<(PaymentBatchId, i64)>,
}

/// An event that is about to be accepted: everything but its place in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Made by us: UUIDv7, last bit clear.
    pub id: EventId,
    /// Whose books.
    pub tenant: TenantId,
    /// What sort of event.
    pub kind: EventKind,
    /// The loan it is posted to.
    pub loan_key: LoanKey,
    /// The request, parsed.
    pub command: Command,
    /// The caller's key; `None` for system events.
    pub key: Option<IdempotencyKey>,
    /// What it is unique by.
    pub key_hash: KeyHash,
    /// Hash of the canonical command.
    pub fingerprint: Fingerprint,
    /// Cause, group and batch.
    pub origin: Origin,
    /// The loan's slot; `None` for events born finished, which are never queued.
    pub slot: Option<Slot>,
    /// Which api process answers the caller.
    pub publisher: PublisherId,
    /// The client id behind the token.
    pub actor: String,
}

impl NewEvent {
    /// A caller's event, ready for the intake.
    #[must_use]
    pub fn of_caller(
        id: EventId,
        tenant: TenantId,
        key: IdempotencyKey,
        command: Command,
        publisher: PublisherId,
        actor: String,
    ) -> Self {
        let loan_key = LoanKey::of_loan(tenant, command.loan_id());
        Self {
            id,
            tenant,
            kind: command.kind(),
            loan_key,
            key_hash: KeyHash::of_caller_key(tenant, key.as_str()),
            fingerprint: Fingerprint::of(&command),
            command,
            key: Some(key),
            origin: Origin::default(),
            slot: Some(loan_key.slot()),
            publisher,
            actor,
        }
    }

    /// The same event as a row of an upload.
    #[must_use]
    pub fn in_batch(self, batch: PaymentBatchId, row_no: i64) -> Self {
        Self { origin: Origin { batch: Some((batch, row_no)), ..self.origin }, ..self }
    }

    /// What books a line of a bank statement or an account's first balance: queued like a caller's event, under a key of
    /// our own, whose hash no caller's key has.
    #[must_use]
    pub fn of_bank_settlement(
        id: EventId,
        tenant: TenantId,
        key: IdempotencyKey,
        settlement: BankSettlement,
        publisher: PublisherId,
        actor: String,
    ) -> Self {
        let key_hash = KeyHash::of_bank_settlement(tenant, key.as_str());
        let event = Self::of_caller(id, tenant, key, Command::BankSettlement(settlement), publisher, actor);
        Self { key_hash, ..event }
    }

    /// An upload's own event: on no loan, in no queue.
    #[must_use]
    pub fn of_upload(
        id: EventId,
        tenant: TenantId,
        key: IdempotencyKey,
        upload: Upload,
        publisher: PublisherId,
        actor: String,
    ) -> Self {
        let event = Self::of_caller(id, tenant, key, Command::Upload(upload), publisher, actor);
        Self { loan_key: LoanKey::of_upload(id), slot: None, ..event }
    }

    /// The parent of a group: on no loan, in no queue.
    #[must_use]
    pub fn of_group(
        id: EventId,
        tenant: TenantId,
        key: IdempotencyKey,
        group: Group,
        publisher: PublisherId,
        actor: String,
    ) -> Self {
        let event = Self::of_caller(id, tenant, key, Command::Group(group), publisher, actor);
        Self { loan_key: LoanKey::of_group(id), slot: None, ..event }
    }

    /// A consequence of an accepted event: an event of our own, born finished. `target` is what it is about and `sort`
    /// says which of the consequences it is; the two make its id and key, so that a cause has each once.
    #[must_use]
    pub fn of_consequence(cause: &AcceptedEvent, target: EventId, sort: &str, command: Command) -> Self {
        Self {
            id: cause.event.id.consequence(target, sort),
            tenant: cause.event.tenant,
            kind: command.kind(),
            loan_key: cause.event.loan_key,
            key: None,
            key_hash: KeyHash::of_system_event(cause.event.id, target, sort),
            fingerprint: Fingerprint::of(&command),
            command,
            // No row of the cause's upload: control totals count what the caller sent.
            origin: Origin { cause_seq: Some(cause.seq), ..Origin::default() },
            slot: None,
            publisher: cause.event.publisher,
            actor: cause.event.actor.clone(),
        }
    }

    /// The fee that a return brings with it; `None` for every other event.
    #[must_use]
    pub fn fee_of_return(cause: &AcceptedEvent) -> Option<Self> {
        let returned = cause.event.command.payment_return()?;
        Some(Self::of_consequence(cause, returned.payment.id, FEE_SORT, Command::Fee(returned.fee()?)))
    }

    /// The first event of the chain that it belongs to: what it corrects, what it is charged for, or itself. The chain
    /// of another consequence is its cause's, whose id the event does not hold.
    #[must_use]
    pub fn first_of_chain(&self) -> Option<EventId> {
        let itself = self.origin.cause_seq.is_none().then_some(self.id);
        match &self.command {
            Command::PaymentReturn(returned) => Some(returned.payment.id),
            Command::Fee(fee) => fee.charged_for.or(itself),
            Command::Servicing(servicing) => servicing.act.first_of_chain().or(itself),
            Command::Payment(_)
            | Command::Disbursement(_)
            | Command::LoanOpening(_)
            | Command::Receipt(_)
            | Command::Upload(_) => itself,
            Command::Group(group) => group.operation.takes_back().map(|reversed| reversed.correlation_id).or(itself),
            // The chain of what it settles.
            Command::BankSettlement(settlement) => settlement.settles.or(itself),
            Command::Leg(leg) => Some(leg.group),
        }
    }

    /// The journal entry that its lines belong to: a leg's are its group's.
    #[must_use]
    pub fn entry_id(&self) -> EntryId {
        self.command.entry_id(self.id)
    }

    /// Whether it rides the bulk queues.
    #[must_use]
    pub fn is_bulk(&self) -> bool {
        self.origin.batch.is_some()
    }
}

/// An event as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedEvent {
    /// Its place in the order of acceptance.
    pub seq: Seq,
    /// When the database took it.
    pub accepted_at: Timestamp,
    /// The event. Shared: who folds a batch, writes it and answers it each hold it for a while.
    pub event: Arc<NewEvent>,
}

impl AcceptedEvent {
    /// The event in its place.
    #[must_use]
    pub fn new(seq: Seq, accepted_at: Timestamp, event: NewEvent) -> Self {
        Self { seq, accepted_at, event: Arc::new(event) }
    }
}

/// What an event and its loan are called: by the store, and by operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventNames {
    /// The event's place.
    pub seq: Seq,
    /// The event, as operators name it.
    pub id: EventId,
    /// The loan.
    pub loan_key: LoanKey,
    /// The loan, as its tenant names it.
    pub loan_id: LoanId,
}

impl EventNames {
    /// Those of an event.
    #[must_use]
    pub fn of(AcceptedEvent { seq, event, .. }: &AcceptedEvent) -> Self {
        Self { seq: *seq, id: event.id, loan_key: event.loan_key, loan_id: event.command.loan_id() }
    }
}
