//! Owns the status of an event as callers see it.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::error::ApiError;
use crate::api::openapi::{AllocationSchema, FeeToReviewSchema, LateForSchema, RefusedFeeSchema, RestatedSchema};
use crate::api::read::rows_form::guarded;
use crate::core::event::{
    Collectibility, Command, FeeCode, NamedId, PaymentReturn, ReversalReason, ServicingAct, SourceMethod, Stage,
};
use crate::core::ledger::{
    AllocationView, FeeToReviewView, Finished, Followed, LateForView, PostingSummary, RefusedFee, RestatedView, answer,
};
use crate::core::money::Minor;
use crate::core::time::Timestamp;
use crate::store::EventStatus;

/// How far an event has come, and what came of it. Members without a value are left out.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventView {
    /// Its id, under the name of its kind.
    #[serde(flatten)]
    #[schema(value_type = crate::api::openapi::EventIds)]
    id: NamedId,
    /// The fee that it brought with it, if it is a return; the fee that it names, if it is a waiver.
    #[serde(skip_serializing_if = "Option::is_none")]
    fee_event_id: Option<String>,
    /// Why a fee that the loan's program asks for was not charged with it; in the status of a single event, and in the results
    /// of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RefusedFeeSchema>)]
    fee_refused: Option<RefusedFee>,
    /// `accepted`, `held`, `parked`, `posted`, `rejected`, `returned` or `reversed`.
    #[schema(value_type = String, example = "posted")]
    status: &'static str,
    /// Its event type.
    #[schema(value_type = String, example = "payment_received")]
    event_type: &'static str,
    /// Where it was asked for: what was posted later does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    known_at: Option<String>,
    /// Its loan; absent for what concerns several.
    #[serde(skip_serializing_if = "Option::is_none")]
    loan_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    borrower_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_minor: Option<String>,
    currency: String,
    effective_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    source_method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_ref: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_ref: Option<String>,
    /// The event that it takes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    undoes: Option<String>,
    /// The payment whose money it gives back on a day of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    charges_back: Option<String>,
    /// How much of a payment went back on days of its own, by returns that stand; only in the status of a single event.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "40")]
    charged_back_minor: Option<String>,
    /// Why the bank took a payment back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "R01")]
    return_code: Option<String>,
    /// What a return charges.
    #[serde(skip_serializing_if = "Option::is_none")]
    fee_minor: Option<String>,
    /// What sort of fee it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "returned_payment")]
    fee_code: Option<String>,
    /// The day a fee is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    due_on: Option<String>,
    /// Of a late fee: the payment that was late.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<LateForSchema>)]
    late_for: Option<LateForView>,
    /// Why an entry is taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "error_correction")]
    reason_code: Option<&'static str>,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_description: Option<String>,
    /// Whether what is charged off is still collected.
    #[serde(skip_serializing_if = "Option::is_none")]
    collectible: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<String>,
    accepted_at: String,
    /// How many events of the loan stand before it, while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    journal_entry_id: Option<String>,
    /// The split as first posted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AllocationSchema>)]
    allocation: Option<AllocationView>,
    /// The split as it stands, where a later posting restates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AllocationSchema>)]
    current_allocation: Option<AllocationView>,
    /// The earlier events that do something else now, because it came late.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<RestatedSchema>)]
    restated: Vec<RestatedView>,
    /// The late fees that it has shown to be for payments on time, because it came late.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<FeeToReviewSchema>)]
    fees_to_review: Vec<FeeToReviewView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    posted_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_at: Option<String>,
    /// Why a posting rule refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::api::openapi::ProblemDocument>)]
    problem: Option<serde_json::Value>,
    /// How many loans an accrual batch concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    loan_count: Option<u32>,
    /// The interest of all loans of an accrual batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_accrued_minor: Option<String>,
    /// The event that undid it.
    #[serde(skip_serializing_if = "Option::is_none")]
    undone_by: Option<String>,
}

impl EventView {
    /// The view of an event; `position` where it was asked for.
    pub(crate) fn new(event: &EventStatus, position: Option<i64>) -> Self {
        let mut view = Self::of_event(event);
        view.position = position;
        view.status = event.stage.unfinished_status().unwrap_or("posted");
        view.undone_by = event.progress.undone_by.map(|undoing| undoing.id.to_string());
        view.current_allocation = event.progress.current_allocation.as_ref().map(AllocationView::from);
        if let (Stage::Finished, Some(posting)) = (event.stage, &event.posting) {
            view.finish(event, posting);
        }
        view
    }

    /// Tells what came of the event.
    fn finish(&mut self, event: &EventStatus, posting: &PostingSummary) {
        let (kind, id) = (event.kind, event.id);
        self.event_type = posting.event_type(kind);
        let finished = Finished::told(id, &event.command, posting.clone());
        match answer(kind, id, &finished) {
            Ok(answer) => {
                self.journal_entry_id = answer.journal_entry_id.map(|_| event.command.entry_id(id).to_string());
                self.allocation = answer.allocation;
                self.fee_event_id = answer.fee_event_id.map(|id| id.to_string());
                (self.loan_count, self.total_accrued_minor) = (answer.loan_count, answer.total_accrued_minor);
                self.posted_at = Some(answer.posted_at);
                self.status = event.progress.undone_by.map_or("posted", |undoing| undoing.kind.undone_status());
            }
            Err(code) => {
                self.status = "rejected";
                self.rejected_at = Some(posting.posted_at.to_string());
                let loans = finished.refused_loans;
                let rejected = ApiError::Rejected { code, kind, id, loans, late_for: None };
                self.problem = Some(rejected.problem().to_value());
            }
        }
    }

    /// The view with what followed from the event. A fee is named where it was charged.
    pub(crate) fn followed_by(self, followed: Followed) -> Self {
        let Followed { restated, fees_to_review, fee, fee_refused } = followed;
        let fee_event_id = if self.return_code.is_some() { fee.map(|fee| fee.to_string()) } else { self.fee_event_id };
        Self { fee_event_id, fee_refused, restated, fees_to_review, ..self }
    }

    /// The view of a refused late fee, its problem with the figures.
    pub(crate) fn with_late_for(mut self, late_for: &LateForView) -> Self {
        if let Some(problem) = self.problem.as_mut().and_then(serde_json::Value::as_object_mut)
            && let Ok(late_for) = serde_json::to_value(late_for)
        {
            problem.insert("late_for".to_owned(), late_for);
        }
        self
    }

    /// The view with how much of the payment was charged back, where that is more than nothing.
    pub(crate) fn with_charged_back(self, amount: Minor) -> Self {
        Self { charged_back_minor: (amount > Minor::ZERO).then(|| amount.to_string()), ..self }
    }

    /// The view as it was known at an instant.
    pub(crate) fn with_known_at(self, at: Option<Timestamp>) -> Self {
        Self { known_at: at.map(|at| at.to_string()), ..self }
    }

    /// The view of an accrual with the interest of its days as it is now, where that was restated.
    pub(crate) fn with_accrued(self, accrued: Option<AllocationView>) -> Self {
        Self { current_allocation: self.current_allocation.or(accrued), ..self }
    }

    /// The cells of a row of an upload's results, under `result_row::CSV_HEADER`.
    pub(super) fn to_csv(&self, row: i64) -> Vec<String> {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let code = self.problem.as_ref().and_then(|problem| problem.get("code")).and_then(|code| code.as_str());
        let split = self.allocation.as_ref();
        let part = |part: fn(&AllocationView) -> &str| split.map(part).unwrap_or_default().to_owned();
        vec![
            row.to_string(),
            self.status.to_owned(),
            code.unwrap_or_default().to_owned(),
            text(&self.idempotency_key),
            if self.id.kind.is_payment() { self.id.id.to_string() } else { String::new() },
            text(&self.journal_entry_id),
            text(&self.loan_id),
            text(&self.amount_minor),
            self.currency.clone(),
            self.effective_at.clone(),
            part(|split| &split.fees_minor),
            part(|split| &split.interest_minor),
            part(|split| &split.principal_minor),
            part(|split| &split.suspense_minor),
            text(&self.posted_at),
            String::new(),
            String::new(),
            guarded(self.external_ref.as_deref().unwrap_or_default()),
            String::new(),
            String::new(),
        ]
    }

    fn of_event(event: &EventStatus) -> Self {
        let command = &event.command;
        let of_one_loan = !matches!(command, Command::Group(_));
        let is_outgoing = matches!(command, Command::Disbursement(_));
        let returned = command.payment_return();
        let fee = if let Command::Fee(fee) = command { Some(fee) } else { None };
        let act = if let Command::Servicing(servicing) = command { Some(&servicing.act) } else { None };
        let (method, reference) = (command.source_method().map(SourceMethod::as_str), command.external_ref());
        let (incoming_ref, outgoing_ref) = if is_outgoing { (None, reference) } else { (reference, None) };
        Self {
            id: NamedId { kind: event.kind, id: event.id },
            fee_event_id: act.and_then(ServicingAct::waived_fee).map(|fee| fee.to_string()),
            fee_refused: None,
            status: "accepted",
            event_type: event.kind.event_type(),
            known_at: None,
            loan_id: of_one_loan.then(|| command.loan_id().to_string()),
            borrower_id: of_one_loan.then(|| command.borrower_id().to_string()),
            amount_minor: command.amount().map(|amount| amount.to_string()),
            currency: command.currency().to_string(),
            effective_at: command.effective_date().to_string(),
            source_method: method.filter(|_| !is_outgoing),
            method: method.filter(|_| is_outgoing),
            external_ref: incoming_ref.map(str::to_owned),
            destination_ref: outgoing_ref.map(str::to_owned),
            undoes: returned
                .and_then(PaymentReturn::undoes)
                .map(|payment| payment.id)
                .or_else(|| act.and_then(ServicingAct::takes_back).map(|earlier| earlier.id))
                .map(|id| id.to_string()),
            charges_back: returned
                .filter(|returned| returned.undoes().is_none())
                .map(|returned| returned.payment.id.to_string()),
            charged_back_minor: None,
            return_code: returned.map(|returned| returned.return_code.to_string()),
            fee_minor: returned.and_then(PaymentReturn::charged).map(|fee| fee.to_string()),
            fee_code: fee
                .map(|fee| &fee.fee_code)
                .or_else(|| act.and_then(ServicingAct::fee_code))
                .map(FeeCode::to_string),
            due_on: fee.and_then(|fee| fee.due_on).map(|due| due.to_string()),
            late_for: fee.and_then(|fee| fee.late_for.as_ref()).map(LateForView::from),
            reason_code: act.and_then(ServicingAct::reason_code).map(ReversalReason::as_str),
            reason_description: act.and_then(ServicingAct::reason_description).map(str::to_owned),
            collectible: act.and_then(ServicingAct::collectibility).map(Collectibility::is_collectible),
            metadata: command.metadata().and_then(|metadata| RawValue::from_string(metadata.as_json().to_owned()).ok()),
            idempotency_key: event.key.as_ref().map(|key| key.as_str().to_owned()),
            batch_id: event.batch.map(|(batch, _)| batch.to_string()),
            accepted_at: event.accepted_at.to_string(),
            restated: Vec::new(),
            fees_to_review: Vec::new(),
            position: None,
            journal_entry_id: None,
            allocation: None,
            current_allocation: None,
            posted_at: None,
            rejected_at: None,
            problem: None,
            loan_count: None,
            total_accrued_minor: None,
            undone_by: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use uuid::Uuid;

    use super::*;
    use crate::core::event::{EventKind, IdempotencyKey, Metadata, Payment};
    use crate::core::ids::{BorrowerId, EventId, LoanId, Seq};
    use crate::core::ledger::{Outcome, RejectionCode};
    use crate::core::loan::Allocation;
    use crate::core::money::{Currency, Money};
    use crate::core::time::Timestamp;
    use crate::store::Progress;

    fn event(outcome: Option<Outcome>) -> EventStatus {
        let at = Timestamp::from_micros(1_777_636_800_000_000).unwrap();
        let payment = Payment {
            loan_id: LoanId(Uuid::from_u128(1)),
            borrower_id: BorrowerId(Uuid::from_u128(2)),
            amount: Money::new(Minor::new(100), Currency::USD),
            effective_date: NaiveDate::from_ymd_opt(2026, 5, 1).unwrap(),
            source_method: SourceMethod::Ach,
            external_ref: None,
            metadata: Some(Metadata::from_stored(r#"{"n":1.10}"#.to_owned())),
        };
        let posting = outcome.map(|outcome| PostingSummary {
            outcome,
            has_lines: false,
            moves_memo: false,
            allocation: Some(Allocation { principal: Minor::new(100), ..Allocation::default() }),
            refused_loans: Vec::new(),
            posted_at: at,
        });
        EventStatus {
            seq: Seq(1),
            accepted_at: at,
            id: EventId(Uuid::from_u128(8)),
            kind: EventKind::PaymentReceived,
            command: Command::Payment(payment),
            key: Some(IdempotencyKey::parse("payment:1").unwrap()),
            batch: None,
            stage: if posting.is_some() { Stage::Finished } else { Stage::Held },
            posting,
            progress: Progress::default(),
        }
    }

    fn json(event: &EventStatus) -> serde_json::Value {
        serde_json::to_value(EventView::new(event, None)).unwrap()
    }

    #[test]
    fn a_status_leaves_out_what_has_no_value() {
        let waiting = json(&event(None));
        assert_eq!(waiting["status"], "held");
        assert_eq!(waiting["payment_event_id"], "00000000-0000-0000-0000-000000000008");
        assert!(!waiting.to_string().contains("null"), "{waiting}");
        let text = serde_json::to_string(&EventView::new(&event(None), None)).unwrap();
        assert!(text.contains(r#""metadata":{"n":1.10}"#), "numbers keep their text: {text}");
    }

    #[test]
    fn a_finished_event_shows_its_result_or_its_problem() {
        let posted = json(&event(Some(Outcome::Posted)));
        assert_eq!((&posted["status"], &posted["allocation"]["principal_minor"]), (&"posted".into(), &"100".into()));
        let rejected = json(&event(Some(Outcome::Rejected(RejectionCode::LoanNotFound))));
        assert_eq!((&rejected["status"], &rejected["problem"]["code"]), (&"rejected".into(), &"loan_not_found".into()));
        assert!(rejected.get("posted_at").is_none());
    }
}
