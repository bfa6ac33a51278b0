//! Owns the waterfall's public oracle: every row of `tests/data/waterfall.json` that a balance-level waterfall over
//! fees, interest and principal can express is run; every other row stands in [`LEFT_OUT`] with its reason.
//!
//! A row in neither place, a row in both, a wrong reason or another number of rows fails the test: nothing is skipped
//! in silence. `path` runs the same rows through servers.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use hpts::core::ids::Seq;
use hpts::core::loan::{
    Allocation, Balances, Deed, Fact, Life, PaymentKind, Place, Position, ReplayTerms, SuspenseRelease, Turn,
    Waterfall, allocate,
};
use hpts::core::money::Minor;
use serde::Deserialize;

use super::path::Reason;
use super::{Cents, order_of};

const DATA: &str = include_str!("../../data/waterfall.json");

/// How many rows the file has, of all sorts.
const ROWS: usize = 46;
/// How many of them run.
pub(super) const RUN: usize = 31;

/// Every row that does not run.
pub(super) const LEFT_OUT: [(&str, Reason); 15] = [
    ("wf-PFIP-L444", Reason::TwoStage),
    ("wf-PFIP-L485", Reason::TwoStage),
    ("wf-PIPF-L312", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L332", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L358", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L412", Reason::TwoStage),
    ("wf-PIPF-L670", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L716", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L739", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L762", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L901", Reason::PenaltyApartFromFee),
    ("wf-PIPF-L1016", Reason::PenaltyApartFromFee),
    ("regz-41d3-i", Reason::HeldPartialPayment),
    ("regz-41d3-ii", Reason::HeldPartialPayment),
    ("regz-41d3-iii", Reason::HeldPartialPayment),
];

/// The file.
#[derive(Deserialize)]
pub(super) struct File {
    pub(super) cases: Vec<Case>,
    pub(super) returned_payment_cases: Vec<Returned>,
    pub(super) suspense_examples: Vec<Named>,
}

/// A row of which only the name matters.
#[derive(Deserialize)]
pub(super) struct Named {
    pub(super) id: String,
}

/// One payment.
#[derive(Deserialize)]
pub(super) struct Case {
    pub(super) id: String,
    order: Option<Vec<String>>,
    two_stage: Option<serde_json::Value>,
    pub(super) before: Parts,
    pub(super) payment: Cents,
    pub(super) expected: Parts,
    pub(super) unapplied: Cents,
    matches_default_waterfall: Option<bool>,
}

/// One payment that goes back, or a part of it.
#[derive(Deserialize)]
pub(super) struct Returned {
    pub(super) id: String,
    order: Vec<String>,
    pub(super) original_payment_split: Parts,
    #[serde(rename = "returned_amount")]
    pub(super) amount: Cents,
    pub(super) expected_add_back: Parts,
}

/// Amounts by bucket, as the file has them.
#[derive(Deserialize)]
pub(super) struct Parts {
    penalty: Cents,
    fee: Cents,
    interest: Cents,
    principal: Cents,
}

impl Parts {
    /// Fees, interest and principal: penalties and fees are both fees.
    pub(super) fn buckets(&self) -> [Minor; 3] {
        [self.penalty.0.plus(self.fee.0).unwrap(), self.interest.0, self.principal.0]
    }

    pub(super) fn total(&self) -> Minor {
        Minor::sum(self.buckets()).unwrap()
    }

    fn balances(&self) -> Balances {
        let [fees, interest, principal] = self.buckets();
        Balances { fees, interest, principal, suspense: Minor::ZERO }
    }

    fn split(&self, suspense: Minor) -> Allocation {
        let [fees, interest, principal] = self.buckets();
        Allocation { fees, interest, principal, suspense }
    }

    /// Which of the two sorts of fees there are.
    fn charged(&self) -> Vec<&'static str> {
        let sorts = [("penalty", self.penalty), ("fee", self.fee)];
        sorts.into_iter().filter(|(_, amount)| amount.0 > Minor::ZERO).map(|(sort, _)| sort).collect()
    }
}

impl Case {
    /// Our order, where the row's order is one.
    pub(super) fn order(&self) -> Result<Vec<&'static str>, Reason> {
        let words: Vec<&str> = match (&self.order, &self.two_stage) {
            (_, Some(_)) | (None, None) => return Err(Reason::TwoStage),
            (Some(order), None) => order.iter().map(String::as_str).collect(),
        };
        let only_a_fee = Balances { fees: self.before.fee.0, ..Balances::default() };
        if words == ["fee"] && self.before.balances() == only_a_fee {
            // The payment of one fee, on a loan that owes nothing else: the rest of the order decides nothing.
            return Ok(vec!["fees", "interest", "principal"]);
        }
        order_of(&words, &self.before.charged()).ok_or(Reason::PenaltyApartFromFee)
    }

    fn check(&self, waterfall: Waterfall) {
        let expected = self.expected.split(self.unapplied.0);
        assert_eq!(allocate(self.payment.0, &self.before.balances(), waterfall), Ok(expected), "{}", self.id);
    }
}

impl Returned {
    /// The order in which what goes back is owed again.
    pub(super) fn credit_order(&self) -> Vec<&'static str> {
        let words: Vec<&str> = self.order.iter().map(String::as_str).collect();
        order_of(&words, &self.original_payment_split.charged()).unwrap()
    }

    /// The payment pays all that is owed, and so much goes back on a later day.
    fn check(&self) {
        let terms = ReplayTerms {
            waterfalls: Waterfall::default().into(),
            suspense_release: SuspenseRelease::Automatic,
            interest: None,
        };
        let paid = &self.original_payment_split;
        let mut life = Life::new(terms, Position { balances: paid.balances(), ..Position::default() });
        let [paid_at, back_at] = [("2023-02-01", 1), ("2023-03-01", 2)].map(|(date, seq)| Place {
            date: date.parse::<NaiveDate>().unwrap(),
            turn: Turn::Event,
            seq: Seq(seq),
            version: seq,
        });
        let order = Waterfall::from_words(self.credit_order()).unwrap();
        let back = Deed::ChargesBack { of: paid_at, amount: self.amount.0, order };
        for (place, deed) in [(paid_at, Deed::Pays { amount: paid.total(), kind: PaymentKind::Ach }), (back_at, back)] {
            life.insert(Fact { place, deed, releases_suspense: true }).unwrap();
        }
        let split = |place| life.effect(place).unwrap().split;
        assert_eq!(split(paid_at), Some(paid.split(Minor::ZERO)), "{}", self.id);
        assert_eq!(split(back_at), Some(self.expected_add_back.split(Minor::ZERO)), "{}", self.id);
        assert_eq!(life.position().unwrap().balances, self.expected_add_back.balances(), "{}", self.id);
    }
}

/// The rows.
pub(super) fn file() -> File {
    serde_json::from_str(DATA).unwrap()
}

/// Every row's id, with the reason why it does not run if there is one. Runs those that do.
fn run(file: &File) -> BTreeMap<&str, Option<Reason>> {
    let mut rows = BTreeMap::new();
    let mut tell = |id, reason| assert_eq!(rows.insert(id, reason), None, "{id} stands twice");
    for case in &file.cases {
        let waterfall = case.order().map(|order| Waterfall::from_words(order).unwrap());
        if case.matches_default_waterfall == Some(true) {
            assert_eq!(waterfall, Ok(Waterfall::default()), "{}", case.id);
        }
        if let Ok(waterfall) = waterfall {
            case.check(waterfall);
        }
        tell(case.id.as_str(), waterfall.err());
    }
    for row in &file.returned_payment_cases {
        row.check();
        tell(row.id.as_str(), None);
    }
    for row in &file.suspense_examples {
        tell(row.id.as_str(), Some(Reason::HeldPartialPayment));
    }
    rows
}

#[test]
fn every_row_of_the_waterfall_oracle_runs_or_says_why_not() {
    let file = file();
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
