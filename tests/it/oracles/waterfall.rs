//! Owns the waterfall's public oracle: every row of `tests/data/waterfall.json` that a balance-level waterfall over
//! fees, interest and principal can express is run; every other row stands in [`LEFT_OUT`] with its reason.
//!
//! A row in neither place, a row in both, a wrong reason or another number of rows fails the test: nothing is skipped
//! in silence.

use std::collections::BTreeMap;

use hpts::core::loan::{Allocation, Balances, Waterfall, allocate};
use hpts::core::money::Minor;
use serde::Deserialize;

use super::Cents;

const DATA: &str = include_str!("../../data/waterfall.json");

/// How many rows the file has, of all sorts.
const ROWS: usize = 46;
/// How many of them run.
const RUN: usize = 14;

/// Why a row cannot run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// First what is due, then in another order what is not: we have one order over whole balances.
    TwoStage,
    /// Penalties and fees are one bucket of ours, and the order puts another bucket between them.
    PenaltyApartFromFee,
    /// The payment is aimed at one fee; directed payments are not in this release.
    AimedAtOneFee,
    /// Money goes back; returns are not in this release.
    ReturnedPayment,
    /// Partial payments are held until they make a full one; we apply what we get at once.
    HeldPartialPayment,
}

/// Every row that does not run.
pub(super) const LEFT_OUT: [(&str, Reason); 32] = [
    ("wf-PFIP-L444", Reason::TwoStage),
    ("wf-PFIP-L485", Reason::TwoStage),
    ("wf-PIPF-L118", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L174", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L202", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L312", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L332", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L358", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L412", Reason::TwoStage),
    ("wf-PIPF-L532", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L601", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L624", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L670", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L716", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L739", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L762", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L809", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L832", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L901", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L1016", Reason::PenaltyApartFromFee),
    ("wf-charge-exact", Reason::AimedAtOneFee),
    ("wf-charge-less", Reason::AimedAtOneFee),
    ("cb-map-1", Reason::ReturnedPayment),
    ("cb-map-2", Reason::ReturnedPayment),
    ("cb-map-3", Reason::ReturnedPayment),
    ("cb-map-4", Reason::ReturnedPayment),
    ("cb-map-5", Reason::ReturnedPayment),
    ("cb-unit-1", Reason::ReturnedPayment),
    ("cb-unit-2", Reason::ReturnedPayment),
    ("regz-41d3-i", Reason::HeldPartialPayment),
    ("regz-41d3-ii", Reason::HeldPartialPayment),
    ("regz-41d3-iii", Reason::HeldPartialPayment),
];

/// The file.
#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
    returned_payment_cases: Vec<Named>,
    suspense_examples: Vec<Named>,
}

/// A row of which only the name matters.
#[derive(Deserialize)]
struct Named {
    id: String,
}

/// One payment.
#[derive(Deserialize)]
struct Case {
    id: String,
    order: Option<Vec<String>>,
    two_stage: Option<serde_json::Value>,
    before: Parts,
    payment: Cents,
    expected: Parts,
    unapplied: Cents,
    matches_default_waterfall: Option<bool>,
}

/// Amounts by bucket, as the file has them.
#[derive(Deserialize)]
struct Parts {
    penalty: Cents,
    fee: Cents,
    interest: Cents,
    principal: Cents,
}

impl Parts {
    /// Penalties and fees are both fees.
    fn fees(&self) -> Minor {
        self.penalty.0.plus(self.fee.0).unwrap()
    }
}

impl Case {
    /// Our order, where the row's order is one.
    fn waterfall(&self) -> Result<Waterfall, Reason> {
        let words: Vec<&str> = match (&self.order, &self.two_stage) {
            (_, Some(_)) | (None, None) => return Err(Reason::TwoStage),
            (Some(order), None) => order.iter().map(String::as_str).collect(),
        };
        let mut ours: Vec<&str> =
            words.iter().map(|word| if matches!(*word, "penalty" | "fee") { "fees" } else { word }).collect();
        ours.dedup();
        match (words.len(), ours.len()) {
            (4, 3) => Ok(Waterfall::from_words(ours).unwrap()),
            (4, _) => Err(Reason::PenaltyApartFromFee),
            _ => Err(Reason::AimedAtOneFee),
        }
    }

    fn check(&self, waterfall: Waterfall) {
        let before = Balances {
            fees: self.before.fees(),
            interest: self.before.interest.0,
            principal: self.before.principal.0,
            suspense: Minor::ZERO,
        };
        let expected = Allocation {
            fees: self.expected.fees(),
            interest: self.expected.interest.0,
            principal: self.expected.principal.0,
            suspense: self.unapplied.0,
        };
        assert_eq!(allocate(self.payment.0, &before, waterfall), Ok(expected), "{}", self.id);
    }
}

/// Every row's id, with the reason why it does not run if there is one. Runs those that do.
fn run(file: &File) -> BTreeMap<&str, Option<Reason>> {
    let mut rows = BTreeMap::new();
    for case in &file.cases {
        let waterfall = case.waterfall();
        if case.matches_default_waterfall == Some(true) {
            assert_eq!(waterfall, Ok(Waterfall::default()), "{}", case.id);
        }
        if let Ok(waterfall) = waterfall {
            case.check(waterfall);
        }
        assert_eq!(rows.insert(case.id.as_str(), waterfall.err()), None, "{} stands twice", case.id);
    }
    for (named, reason) in
        [(&file.returned_payment_cases, Reason::ReturnedPayment), (&file.suspense_examples, Reason::HeldPartialPayment)]
    {
        for row in named {
            assert_eq!(rows.insert(row.id.as_str(), Some(reason)), None, "{} stands twice", row.id);
        }
    }
    rows
}

#[test]
fn every_row_of_the_waterfall_oracle_runs_or_says_why_not() {
    let file: File = serde_json::from_str(DATA).unwrap();
    let rows = run(&file);
    let ran = rows.values().filter(|reason| reason.is_none()).count();
    let left_out: BTreeMap<&str, Reason> = rows.iter().filter_map(|(id, reason)| Some((*id, (*reason)?))).collect();
    println!("waterfall oracle: {ran} rows run, {} left out:", left_out.len());
    for (id, reason) in &left_out {
        println!("  {id}: {reason:?}");
    }
    assert_eq!(left_out, BTreeMap::from(LEFT_OUT));
    assert_eq!((rows.len(), ran), (ROWS, RUN));
}
