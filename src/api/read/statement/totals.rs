//! Owns the totals of a statement: what was received and how it was divided, as Regulation Z 1026.41(d)(3) asks for
//! since the last statement and since the beginning of the year, and what each type of entry moved.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use crate::core::event::EventKind;
use crate::store::KindTotals;

/// What a span of days moved.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatementTotals {
    #[schema(example = "2026-05-01")]
    from_date: String,
    #[schema(example = "2026-05-31")]
    to_date: String,
    payments: PaymentTotals,
    /// By event type; signed, debts and suspense grow with positive amounts.
    by_event_type: Vec<TypeTotals>,
}

/// Payments: received less returned is the sum of what went to the four buckets.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(example = json!({"received_minor": "88849", "returned_minor": "0", "fees_minor": "500",
    "interest_minor": "10000", "principal_minor": "78349", "suspense_minor": "0"}))]
pub struct PaymentTotals {
    /// Money received.
    pub received_minor: String,
    /// Of it, or of money received earlier, what was taken back.
    pub returned_minor: String,
    /// Paid on fees, less what a return or a new split took back; so are the others.
    pub fees_minor: String,
    /// Paid on interest.
    pub interest_minor: String,
    /// Paid on principal.
    pub principal_minor: String,
    /// Kept in suspense.
    pub suspense_minor: String,
}

/// What entries of one type moved.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"event_type": "fee_assessed", "count": 1, "fees_minor": "2500", "interest_minor": "0",
    "principal_minor": "0", "suspense_minor": "0"}))]
pub struct TypeTotals {
    #[schema(value_type = String)]
    event_type: &'static str,
    /// How many entries.
    count: i64,
    fees_minor: String,
    interest_minor: String,
    principal_minor: String,
    suspense_minor: String,
}

/// What an entry is to the money that borrowers pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PaymentSide {
    /// It came in.
    Received,
    /// It went back.
    Returned,
    /// It moved between the buckets.
    Divided,
}

fn payment_side(totals: &KindTotals) -> Option<PaymentSide> {
    match totals.kind {
        EventKind::PaymentReceived => Some(PaymentSide::Received),
        EventKind::PaymentReturned => Some(PaymentSide::Returned),
        // A reversal of a payment gives its money back; of another entry, it is none of the payments'.
        EventKind::Reversal if totals.corrects == Some(EventKind::PaymentReceived) => Some(PaymentSide::Returned),
        EventKind::PaymentAllocated | EventKind::SuspenseApplied => Some(PaymentSide::Divided),
        EventKind::Disbursement
        | EventKind::DisbursementSettled
        | EventKind::LoanOpened
        | EventKind::Accrual
        | EventKind::FeeAssessed
        | EventKind::FeeWaived
        | EventKind::SuspenseRefunded
        | EventKind::SuspenseTransferred
        | EventKind::ReceiptAssigned
        | EventKind::Chargeoff
        | EventKind::Recovery
        | EventKind::Refinance
        | EventKind::Restructure
        | EventKind::Reversal
        | EventKind::ManualAdjustment
        | EventKind::UnidentifiedReceipt
        | EventKind::BankSettled
        | EventKind::Upload => None,
    }
}

impl StatementTotals {
    /// The totals of the kinds of a span. Sums of 128 bits do not leave them: they come of fewer than 2^63 amounts.
    pub(super) fn new((from, to): (NaiveDate, NaiveDate), kinds: &[KindTotals]) -> Self {
        let (mut received, mut returned, mut paid) = (0_i128, 0_i128, [0_i128; 4]);
        let mut types: BTreeMap<&'static str, (i64, [i128; 4])> = BTreeMap::new();
        for kind in kinds {
            let of_type = types.entry(kind.kind.event_type()).or_default();
            of_type.0 = of_type.0.saturating_add(kind.count);
            add(&mut of_type.1, kind.moved);
            match payment_side(kind) {
                Some(PaymentSide::Received) => received = received.saturating_add(kind.amount),
                Some(PaymentSide::Returned) => returned = returned.saturating_add(kind.amount),
                Some(PaymentSide::Divided) => {}
                None => continue,
            }
            add(&mut paid, kind.moved);
        }
        let [fees, interest, principal, suspense] = paid;
        let payments = PaymentTotals {
            received_minor: received.to_string(),
            returned_minor: returned.to_string(),
            fees_minor: fees.saturating_neg().to_string(),
            interest_minor: interest.saturating_neg().to_string(),
            principal_minor: principal.saturating_neg().to_string(),
            suspense_minor: suspense.to_string(),
        };
        let by_event_type = types.into_iter().map(|(event_type, (count, moved))| {
            let [fees_minor, interest_minor, principal_minor, suspense_minor] = moved.map(|sum| sum.to_string());
            TypeTotals { event_type, count, fees_minor, interest_minor, principal_minor, suspense_minor }
        });
        Self { from_date: from.to_string(), to_date: to.to_string(), payments, by_event_type: by_event_type.collect() }
    }
}

fn add(sums: &mut [i128; 4], parts: [i128; 4]) {
    for (sum, part) in sums.iter_mut().zip(parts) {
        *sum = sum.saturating_add(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_less_returned_is_what_was_divided() {
        let kind = |kind, amount, moved| KindTotals { kind, corrects: None, count: 1, amount, moved };
        let kinds = [
            kind(EventKind::PaymentReceived, 100, [-10, -20, -50, 20]),
            kind(EventKind::PaymentReturned, 40, [10, 0, 30, 0]),
            kind(EventKind::PaymentAllocated, 0, [0, -5, 0, -5]),
            kind(EventKind::FeeAssessed, 25, [25, 0, 0, 0]),
        ];
        let day = NaiveDate::from_ymd_opt(2026, 5, 1).unwrap();
        let totals = serde_json::to_value(StatementTotals::new((day, day), &kinds)).unwrap();
        assert_eq!(
            totals["payments"],
            serde_json::json!({"received_minor": "100", "returned_minor": "40", "fees_minor": "0",
                "interest_minor": "25", "principal_minor": "20", "suspense_minor": "15"})
        );
        assert_eq!(totals["by_event_type"].as_array().unwrap().len(), 4);
        assert_eq!(totals["by_event_type"][0]["event_type"], "fee_assessed");
    }
}
