//! Owns what a receiver is told: of which changes, in which words. Pure: the same event gives the same bytes, whenever
//! and by whichever worker it is told.

use serde::Serialize;

use crate::core::event::{Command, EventKind, IdempotencyKey, Servicing, ServicingAct};
use crate::core::ids::{EventId, TenantId, WebhookEndpointId};
use crate::core::ledger::{Answer, Finished, Followed, Outcome, RejectionCode, answer};
use crate::core::time::Timestamp;
use crate::core::webhook::{WebhookType, message_id};
use crate::store::{Change, EventRecord, Told};

/// A message on its way.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) told: Told,
    /// The same for every attempt.
    pub(super) id: String,
    pub(super) body: Vec<u8>,
}

/// The contract's `journalEntryPosted`.
#[derive(Serialize)]
struct JournalEntryPosted {
    journal_entry_id: String,
    tenant_id: TenantId,
    event_type: &'static str,
    occurred_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<EventId>,
}

/// The other messages, in the form that Standard Webhooks recommends.
#[derive(Serialize)]
struct Envelope<'a, D> {
    #[serde(rename = "type")]
    told: WebhookType,
    timestamp: String,
    tenant_id: TenantId,
    #[serde(skip_serializing_if = "Option::is_none")]
    loan_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_ref: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<String>,
    data: D,
}

#[derive(Serialize)]
struct RejectedData {
    payment_event_id: EventId,
    status: &'static str,
    code: &'static str,
    rejected_at: String,
}

#[derive(Serialize)]
struct ReturnRejectedData {
    payment_returned_event_id: EventId,
    /// What it would have taken back.
    payment_event_id: EventId,
    status: &'static str,
    code: &'static str,
    rejected_at: String,
}

#[derive(Serialize)]
struct ReturnedData {
    payment_event_id: EventId,
    status: &'static str,
    undone_by: EventId,
    #[serde(rename = "return")]
    returned: Answer,
}

#[derive(Serialize)]
struct ReversedData {
    payment_event_id: EventId,
    status: &'static str,
    undone_by: EventId,
    reversal: Answer,
}

#[derive(Serialize)]
struct PingData {
    webhook_endpoint_id: WebhookEndpointId,
}

/// What is told of a change.
pub(super) fn types_of(change: &Change) -> impl Iterator<Item = WebhookType> {
    let is_posted = change.outcome == Outcome::Posted;
    let is_rejected = change.outcome.rejection().is_some();
    let is_return = change.kind == EventKind::PaymentReturned;
    let undoes_payment = change.undoes.is_some_and(|(_, kind)| kind.is_payment());
    let is_reversal = change.kind == EventKind::Reversal && is_posted && undoes_payment;
    [
        (is_posted && change.has_entry).then_some(WebhookType::JournalEntryPosted),
        (change.kind.is_payment() && is_posted).then_some(WebhookType::PaymentPosted),
        (change.kind.is_payment() && is_rejected).then_some(WebhookType::PaymentRejected),
        (is_return && is_posted).then_some(WebhookType::PaymentReturned),
        (is_return && is_rejected).then_some(WebhookType::PaymentReturnRejected),
        is_reversal.then_some(WebhookType::PaymentReversed),
    ]
    .into_iter()
    .flatten()
}

/// Whether a message carries the answer of its event, and with it all that followed.
pub(super) const fn carries_answer(told: WebhookType) -> bool {
    match told {
        WebhookType::PaymentPosted | WebhookType::PaymentReturned | WebhookType::PaymentReversed => true,
        WebhookType::JournalEntryPosted
        | WebhookType::PaymentRejected
        | WebhookType::PaymentReturnRejected
        | WebhookType::Ping => false,
    }
}

/// The message that tells an endpoint of a finished event; `None` where there is nothing of the sort to tell of it.
/// `followed` is what followed from the event, where something did.
pub(super) fn message(
    endpoint: WebhookEndpointId,
    told: WebhookType,
    record: &EventRecord,
    followed: Option<&Followed>,
) -> Option<Message> {
    let (event, posting) = (&record.event.event, record.posting.as_ref()?);
    let finished = Finished::of(event, posting);
    let answer = answer(event.kind, event.id, &finished);
    let answer = answer.map(|answer| followed.into_iter().cloned().fold(answer, Answer::followed_by));
    let body = match (told, answer) {
        (WebhookType::JournalEntryPosted, Ok(answer)) => json(&JournalEntryPosted {
            journal_entry_id: event.id.entry_id().to_string(),
            tenant_id: event.tenant,
            event_type: posting.event_type(event.kind),
            occurred_at: answer.posted_at,
            correlation_id: event.first_of_chain(),
        }),
        (WebhookType::PaymentPosted, Ok(answer)) if event.kind.is_payment() => {
            json(&envelope(told, record, posting.posted_at, answer))
        }
        (WebhookType::PaymentRejected, Err(code)) if event.kind.is_payment() => {
            json(&envelope(told, record, posting.posted_at, rejected(event.id, code, posting.posted_at)))
        }
        (WebhookType::PaymentReturned, Ok(answer)) => {
            let Command::PaymentReturn(returned) = &event.command else { return None };
            let (payment_event_id, status) = (returned.payment.id, event.kind.undone_status());
            let data = ReturnedData { payment_event_id, status, undone_by: event.id, returned: answer };
            json(&envelope(told, record, posting.posted_at, data))
        }
        (WebhookType::PaymentReturnRejected, Err(code)) => {
            let Command::PaymentReturn(returned) = &event.command else { return None };
            let data = return_rejected(event.id, returned.payment.id, code, posting.posted_at);
            json(&envelope(told, record, posting.posted_at, data))
        }
        (WebhookType::PaymentReversed, Ok(answer)) => {
            let Command::Servicing(Servicing { act: ServicingAct::Reversal(reversed), .. }) = &event.command else {
                return None;
            };
            let (payment_event_id, status) = (reversed.event.id, event.kind.undone_status());
            let data = ReversedData { payment_event_id, status, undone_by: event.id, reversal: answer };
            json(&envelope(told, record, posting.posted_at, data))
        }
        (
            WebhookType::JournalEntryPosted
            | WebhookType::PaymentPosted
            | WebhookType::PaymentRejected
            | WebhookType::PaymentReturned
            | WebhookType::PaymentReturnRejected
            | WebhookType::PaymentReversed
            | WebhookType::Ping,
            Ok(_) | Err(_),
        ) => None,
    };
    Some(addressed(endpoint, Told { event_id: event.id, event_type: told }, body?))
}

/// A ping, asked for at `asked_at`.
pub(super) fn ping(
    (tenant, endpoint): (TenantId, WebhookEndpointId),
    event_id: EventId,
    asked_at: Timestamp,
) -> Option<Message> {
    let body = json(&Envelope {
        told: WebhookType::Ping,
        timestamp: asked_at.to_string(),
        tenant_id: tenant,
        loan_id: None,
        idempotency_key: None,
        external_ref: None,
        batch_id: None,
        data: PingData { webhook_endpoint_id: endpoint },
    })?;
    Some(addressed(endpoint, Told { event_id, event_type: WebhookType::Ping }, body))
}

fn addressed(endpoint: WebhookEndpointId, told: Told, body: Vec<u8>) -> Message {
    Message { told, id: message_id(endpoint, told.event_id, told.event_type), body }
}

fn rejected(payment_event_id: EventId, code: RejectionCode, at: Timestamp) -> RejectedData {
    RejectedData { payment_event_id, status: "rejected", code: code.as_str(), rejected_at: at.to_string() }
}

fn return_rejected(
    payment_returned_event_id: EventId,
    payment_event_id: EventId,
    code: RejectionCode,
    at: Timestamp,
) -> ReturnRejectedData {
    let (code, rejected_at) = (code.as_str(), at.to_string());
    ReturnRejectedData { payment_returned_event_id, payment_event_id, status: "rejected", code, rejected_at }
}

fn envelope<D: Serialize>(told: WebhookType, record: &EventRecord, at: Timestamp, data: D) -> Envelope<'_, D> {
    let event = &record.event.event;
    Envelope {
        told,
        timestamp: at.to_string(),
        tenant_id: event.tenant,
        loan_id: Some(event.command.loan_id().to_string()),
        idempotency_key: event.key.as_ref().map(IdempotencyKey::as_str),
        external_ref: event.command.external_ref(),
        batch_id: event.origin.batch.map(|(batch, _)| batch.to_string()),
        data,
    }
}

fn json(body: &impl Serialize) -> Option<Vec<u8>> {
    serde_json::to_vec(body).ok()
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use uuid::Uuid;

    use super::*;
    use crate::core::ids::LoanId;
    use crate::core::money::Currency;
    use crate::store::ChangePlace;

    fn change(kind: EventKind, outcome: Outcome, has_entry: bool) -> Change {
        Change {
            place: ChangePlace::START,
            event_id: EventId(Uuid::from_u128(8)),
            kind,
            loan_id: Some(LoanId(Uuid::from_u128(1))),
            loan_version: Some(1),
            outcome,
            has_entry,
            allocation: None,
            amount: None,
            currency: Currency::USD,
            key: None,
            batch: None,
            effective_date: NaiveDate::from_ymd_opt(2026, 5, 1).unwrap(),
            posted_at: Timestamp::EPOCH,
            is_recovery: false,
            undoes: None,
            restates: None,
        }
    }

    #[test]
    fn what_is_told_depends_on_kind_and_outcome() {
        use WebhookType::{JournalEntryPosted, PaymentPosted, PaymentRejected, PaymentReturnRejected, PaymentReturned};
        let refused = Outcome::Rejected(RejectionCode::LoanNotFound);
        for (kind, outcome, has_entry, expected) in [
            (EventKind::PaymentReceived, Outcome::Posted, true, &[JournalEntryPosted, PaymentPosted][..]),
            (EventKind::UnidentifiedReceipt, Outcome::Posted, true, &[JournalEntryPosted, PaymentPosted]),
            (EventKind::PaymentReceived, refused, false, &[PaymentRejected]),
            (EventKind::PaymentReturned, Outcome::Posted, true, &[JournalEntryPosted, PaymentReturned]),
            (EventKind::PaymentReturned, refused, false, &[PaymentReturnRejected]),
            (EventKind::Disbursement, Outcome::Posted, true, &[JournalEntryPosted]),
            (EventKind::LoanOpened, Outcome::Posted, false, &[]),
            (EventKind::FeeAssessed, Outcome::Posted, true, &[JournalEntryPosted]),
        ] {
            let told: Vec<WebhookType> = types_of(&change(kind, outcome, has_entry)).collect();
            assert_eq!(told, expected, "{kind:?} {outcome:?}");
        }
    }

    #[test]
    fn a_reversal_is_told_of_payments_only() {
        use WebhookType::{JournalEntryPosted, PaymentReversed};
        for (undone, expected) in [
            (EventKind::PaymentReceived, &[JournalEntryPosted, PaymentReversed][..]),
            (EventKind::UnidentifiedReceipt, &[JournalEntryPosted, PaymentReversed]),
            (EventKind::FeeAssessed, &[JournalEntryPosted]),
            (EventKind::PaymentReturned, &[JournalEntryPosted]),
        ] {
            let undoes = Some((EventId(Uuid::from_u128(6)), undone));
            let reversal = Change { undoes, ..change(EventKind::Reversal, Outcome::Posted, true) };
            let told: Vec<WebhookType> = types_of(&reversal).collect();
            assert_eq!(told, expected, "{undone:?}");
        }
    }

    #[test]
    fn a_ping_is_the_same_whenever_it_is_sent() {
        let (tenant, endpoint) = (TenantId(Uuid::from_u128(1)), WebhookEndpointId(Uuid::from_u128(2)));
        let at = Timestamp::from_micros(1_777_636_800_000_000).unwrap();
        let message = ping((tenant, endpoint), EventId(Uuid::from_u128(4)), at).unwrap();
        let expected = "{\"type\":\"ping\",\"timestamp\":\"2026-05-01T12:00:00Z\",\
            \"tenant_id\":\"00000000-0000-0000-0000-000000000001\",\
            \"data\":{\"webhook_endpoint_id\":\"00000000-0000-0000-0000-000000000002\"}}";
        assert_eq!(std::str::from_utf8(&message.body), Ok(expected));
        assert_eq!(message.id, message_id(endpoint, EventId(Uuid::from_u128(4)), WebhookType::Ping));
    }
}
