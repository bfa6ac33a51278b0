//! Owns the cases of `tests/data/chargeback-credit-allocation.json`: payments that go back on a later day, and what is put
//! back in which order.

use serde_json::Value;

use super::{Reason, Rows};

const DATA: &str = include_str!("../../../data/chargeback-credit-allocation.json");

/// How many rows run.
pub(super) const RUN: usize = 0;

/// Every row that does not.
pub(super) const LEFT_OUT: [(&str, Reason); 10] = [
    (
        "cbca-simpleChargebackWithCreditAllocationPenaltyFeeInterestAndPrincipalOnTheLastDayOfTheInstallment",
        Reason::ChargeBack,
    ),
    (
        "cbca-simpleChargebackWithCreditAllocationPenaltyFeeInterestAndPrincipalOnTheLastDayOfTheLoan",
        Reason::ChargeBack,
    ),
    ("cbca-chargebackWithCreditAllocationAndReverseReplayWithBackdatedPayment", Reason::ChargeBack),
    ("cbca-chargebackWithCreditAllocationPrincipalInterestFeePenalty", Reason::ChargeBack),
    (
        "cbca-chargebackWithCreditAllocationFeePenaltyPrincipalInterestWhenOverpaidDefaultPaymentPrincipalFirst",
        Reason::ChargeBack,
    ),
    (
        "cbca-doubleChargebackReverseReplayedBothFeeAndPenaltyPayedWithCreditAllocationPenaltyFeeInterestAndPrincipal",
        Reason::ChargeBack,
    ),
    ("cbca-testAccountingChargebackOnPrincipal", Reason::ChargeBack),
    ("cbca-testAccountingOverpaymentAmountIsBiggerThanChargeback", Reason::ChargeBack),
    ("cbca-testAccountingChargebackOnChargeOffWithPrincipal", Reason::ChargeBack),
    ("cbca-testAccountingChargebackOnChargeOffWithFees", Reason::ChargeBack),
];

/// The rows: none can be said until a return can be booked on its own day.
pub(super) fn rows() -> Rows<'static> {
    let file: Value = serde_json::from_str(DATA).unwrap();
    let mut rows = Rows::new("chargeback-credit-allocation.json");
    for case in file["cases"].as_array().unwrap() {
        rows.leaves_out(case["id"].as_str().unwrap(), Reason::ChargeBack);
    }
    rows
}
