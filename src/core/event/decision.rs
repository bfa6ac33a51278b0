//! Owns the decision about a repeated key: new, replay, in progress or mismatch.

use chrono::NaiveDate;

use crate::core::event::command::{Command, Disbursement, LoanOpening};
use crate::core::event::fee::Fee;
use crate::core::event::fingerprint::Fingerprint;
use crate::core::event::group;
use crate::core::event::payment_return::PaymentReturn;
use crate::core::event::review::Review;
use crate::core::event::servicing::Servicing;
use crate::core::event::upload::{Upload, UploadOperation};

/// How far the first request with a key has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Accepted, not posted yet.
    Accepted,
    /// Its loan waits for a person.
    Held,
    /// It could not be posted and waits for a person itself.
    Parked,
    /// Posted or rejected: the answer stands.
    Finished,
}

impl Stage {
    /// The contract's `payment_status` of an unfinished event; `None` once finished.
    #[must_use]
    pub const fn unfinished_status(self) -> Option<&'static str> {
        match self {
            Self::Accepted => Some("accepted"),
            Self::Held => Some("held"),
            Self::Parked => Some("parked"),
            Self::Finished => None,
        }
    }
}

/// What a request with a known key gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The same request, finished: the first answer again.
    Replay,
    /// The same request, unfinished.
    InProgress(Stage),
    /// Another request under the same key; names the fields that differ, `operation` if it is another operation.
    Mismatch(Vec<&'static str>),
}

/// Judges a request whose key is taken by `first`.
#[must_use]
pub fn decide(first: (&Command, Fingerprint), stage: Stage, incoming: (&Command, Fingerprint)) -> Decision {
    if first.1 != incoming.1 {
        return Decision::Mismatch(differing_fields(first.0, incoming.0));
    }
    match stage {
        Stage::Finished => Decision::Replay,
        Stage::Accepted | Stage::Held | Stage::Parked => Decision::InProgress(stage),
    }
}

fn differing_fields(first: &Command, incoming: &Command) -> Vec<&'static str> {
    match (first, incoming) {
        (Command::Payment(_), Command::Payment(_)) | (Command::Receipt(_), Command::Receipt(_)) => {
            differing_money_in(first, incoming)
        }
        (Command::Disbursement(a), Command::Disbursement(b)) => differing_disbursement(a, b),
        (Command::LoanOpening(a), Command::LoanOpening(b)) => differing_opening(a, b),
        (Command::Upload(a), Command::Upload(b)) => differing_upload(a, b),
        (Command::Group(a), Command::Group(b)) => group::differing(a, b),
        (Command::PaymentReturn(a), Command::PaymentReturn(b)) => differing_return(a, b),
        (Command::Fee(a), Command::Fee(b)) => differing_fee(a, b),
        (Command::Servicing(a), Command::Servicing(b)) => differing_servicing(a, b),
        (
            Command::Payment(_)
            | Command::Disbursement(_)
            | Command::LoanOpening(_)
            | Command::PaymentReturn(_)
            | Command::Fee(_)
            | Command::Servicing(_)
            | Command::Receipt(_)
            | Command::BankSettlement(_)
            | Command::Upload(_)
            | Command::Group(_)
            | Command::Leg(_),
            _,
        ) => vec!["operation"],
    }
}

fn differing_servicing(a: &Servicing, b: &Servicing) -> Vec<&'static str> {
    if a.act.kind() != b.act.kind() {
        return vec!["operation"];
    }
    let mut fields = named([("loan_id", a.loan_id != b.loan_id)]);
    // A field that one of them does not have is not said there.
    let (a, b) = (a.asked(), b.asked());
    let (more, less) = if a.len() < b.len() { (b, a) } else { (a, b) };
    let text = |name: &str| less.iter().find(|(other, _)| *other == name).and_then(|(_, text)| text.as_ref());
    fields.extend(more.iter().filter(|(name, said)| said.as_ref() != text(name)).map(|(name, _)| *name));
    fields
}

fn differing_upload(a: &Upload, b: &Upload) -> Vec<&'static str> {
    match (&a.operation, &b.operation) {
        (UploadOperation::PaymentBatch { mode: a }, UploadOperation::PaymentBatch { mode: b }) => {
            named([("mode", a != b)])
        }
        (UploadOperation::AchFile { feed: a }, UploadOperation::AchFile { feed: b }) => named([("feed", a != b)]),
        (UploadOperation::AchFeed { settings: a }, UploadOperation::AchFeed { settings: b })
        | (UploadOperation::Program { settings: a }, UploadOperation::Program { settings: b }) => {
            named([("settings", a != b)])
        }
        (UploadOperation::Hold(a), UploadOperation::Hold(b)) => a.differing(b),
        (UploadOperation::Webhook(a), UploadOperation::Webhook(b)) => a.differing(b),
        (UploadOperation::AchReview(a), UploadOperation::AchReview(b)) => differing_review(a, b),
        (
            UploadOperation::BankStatement { bank_account_ref: ref_a, statement_date: date_a, .. },
            UploadOperation::BankStatement { bank_account_ref: ref_b, statement_date: date_b, .. },
        ) => differing_statement((ref_a, date_a), (ref_b, date_b)),
        (
            UploadOperation::BankLineResolution { statement_id: a, line_no: line_a, target: target_a, reason: why_a },
            UploadOperation::BankLineResolution { statement_id: b, line_no: line_b, target: target_b, reason: why_b },
        ) if (a, line_a) == (b, line_b) => named([("target", target_a != target_b), ("reason", why_a != why_b)]),
        (
            UploadOperation::PeriodClose { period: a, reason: why_a },
            UploadOperation::PeriodClose { period: b, reason: why_b },
        )
        | (
            UploadOperation::PeriodReopen { period: a, reason: why_a },
            UploadOperation::PeriodReopen { period: b, reason: why_b },
        ) => named([("period", a != b), ("reason", why_a != why_b)]),
        (
            UploadOperation::PaymentBatch { .. }
            | UploadOperation::AchFeed { .. }
            | UploadOperation::Program { .. }
            | UploadOperation::AchFile { .. }
            | UploadOperation::PeriodClose { .. }
            | UploadOperation::PeriodReopen { .. }
            | UploadOperation::Hold(_)
            | UploadOperation::Webhook(_)
            | UploadOperation::AchReview(_)
            | UploadOperation::BankStatement { .. }
            | UploadOperation::BankLineResolution { .. },
            _,
        ) => vec!["operation"],
    }
}

/// Where account and day are the same, its lines or balances differ.
fn differing_statement(a: (&String, &NaiveDate), b: (&String, &NaiveDate)) -> Vec<&'static str> {
    let fields = named([("bank_account_ref", a.0 != b.0), ("statement_date", a.1 != b.1)]);
    if fields.is_empty() { vec!["statement"] } else { fields }
}

/// File, row and resolution stand in the address: with another one it is another operation.
fn differing_review(a: &Review, b: &Review) -> Vec<&'static str> {
    let address = |it: &Review| (it.batch_id, it.row_no, it.resolution);
    named([
        ("operation", address(a) != address(b)),
        ("reason", a.reason != b.reason),
        ("effective_at", a.effective_at != b.effective_at),
    ])
}

fn named<const N: usize>(fields: [(&'static str, bool); N]) -> Vec<&'static str> {
    fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

/// What a payment and a receipt have in common is all that they have.
fn differing_money_in(a: &Command, b: &Command) -> Vec<&'static str> {
    named([
        ("loan_id", a.loan_id() != b.loan_id()),
        ("borrower_id", a.borrower_id() != b.borrower_id()),
        ("amount_minor", a.amount() != b.amount()),
        ("currency", a.currency() != b.currency()),
        ("effective_at", a.effective_date() != b.effective_date()),
        ("source_method", a.source_method() != b.source_method()),
        ("external_ref", a.external_ref() != b.external_ref()),
        ("metadata", a.metadata() != b.metadata()),
    ])
}

fn differing_disbursement(a: &Disbursement, b: &Disbursement) -> Vec<&'static str> {
    named([
        ("loan_id", a.loan_id != b.loan_id),
        ("borrower_id", a.borrower_id != b.borrower_id),
        ("amount_minor", a.amount.minor != b.amount.minor),
        ("currency", a.amount.currency != b.amount.currency),
        ("effective_at", a.effective_date != b.effective_date),
        ("method", a.method != b.method),
        ("destination_ref", a.destination_ref != b.destination_ref),
        ("metadata", a.metadata != b.metadata),
    ])
}

fn differing_opening(a: &LoanOpening, b: &LoanOpening) -> Vec<&'static str> {
    named([
        ("loan_id", a.loan_id != b.loan_id),
        ("borrower_id", a.borrower_id != b.borrower_id),
        ("currency", a.currency != b.currency),
        ("opened_on", a.opened_on != b.opened_on),
        ("loan_number", a.loan_number != b.loan_number),
        ("program_id", a.program_id != b.program_id),
        ("waterfall", a.waterfall != b.waterfall),
        ("opening_balances", a.opening_balances != b.opening_balances),
        ("metadata", a.metadata != b.metadata),
    ])
}

/// Loan and borrower are the payment's own.
fn differing_return(a: &PaymentReturn, b: &PaymentReturn) -> Vec<&'static str> {
    named([
        ("payment_event_id", a.payment.id != b.payment.id),
        ("amount_minor", a.amount != b.amount),
        ("return_code", a.return_code != b.return_code),
        ("effective_at", a.effective_date != b.effective_date),
        ("fee_minor", a.fee != b.fee),
        ("metadata", a.metadata != b.metadata),
    ])
}

fn differing_fee(a: &Fee, b: &Fee) -> Vec<&'static str> {
    let mut fields = named([
        ("loan_id", a.loan_id != b.loan_id),
        ("amount_minor", a.amount.minor != b.amount.minor),
        ("effective_at", a.effective_date != b.effective_date),
        ("fee_code", a.fee_code != b.fee_code),
        ("due_on", a.due_on != b.due_on),
        ("metadata", a.metadata != b.metadata),
    ]);
    match (&a.late_for, &b.late_for) {
        (Some(a), Some(b)) => {
            fields.extend(a.asked().iter().zip(b.asked()).filter(|(a, b)| a.1 != b.1).map(|(a, _)| a.0));
        }
        (None, None) => {}
        (Some(_), None) | (None, Some(_)) => fields.push("late_for"),
    }
    fields
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use uuid::Uuid;

    use super::*;
    use crate::core::event::command::{Payment, SourceMethod};
    use crate::core::ids::{BorrowerId, LoanId};
    use crate::core::money::{Currency, Minor, Money};

    fn payment(amount: i64, method: SourceMethod) -> Command {
        Command::Payment(Payment {
            loan_id: LoanId(Uuid::from_u128(1)),
            borrower_id: BorrowerId(Uuid::from_u128(2)),
            amount: Money::new(Minor::new(amount), Currency::USD),
            effective_date: NaiveDate::from_ymd_opt(2026, 5, 1).unwrap(),
            source_method: method,
            external_ref: None,
            metadata: None,
        })
    }

    fn judge(first: &Command, stage: Stage, incoming: &Command) -> Decision {
        decide((first, Fingerprint::of(first)), stage, (incoming, Fingerprint::of(incoming)))
    }

    #[test]
    fn a_repeat_is_replayed_once_finished_and_in_progress_before() {
        let first = payment(5, SourceMethod::Ach);
        assert_eq!(judge(&first, Stage::Finished, &first), Decision::Replay);
        for stage in [Stage::Accepted, Stage::Held, Stage::Parked] {
            assert_eq!(judge(&first, stage, &first), Decision::InProgress(stage));
            assert!(stage.unfinished_status().is_some());
        }
    }

    #[test]
    fn a_mismatch_names_every_differing_field() {
        let first = payment(5, SourceMethod::Ach);
        let other = payment(6, SourceMethod::Card);
        assert_eq!(judge(&first, Stage::Accepted, &other), Decision::Mismatch(vec!["amount_minor", "source_method"]));
    }
}
