//! Owns the loans of a run: the same seed and number always name the same loan, so that a set-up serves many runs.

use chrono::NaiveDate;
use hyper::body::Bytes;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::core::event::{Command, LoanOpening, OpeningBalances, Payment, SourceMethod};
use crate::core::ids::{BorrowerId, LoanId};
use crate::core::money::{Currency, Minor, Money};

/// What each loan owes at first: enough for hundreds of millions of payments on one loan, and so little that the
/// accounts of ten million loans stay within 64 bits.
pub(super) const PRINCIPAL_MINOR: i64 = 100_000_000_000;
/// The fee each loan owes at first, in cents. Payments pay fees first, so one that comes late in front of others takes the
/// fee over from one of them, which is restated.
const FEE_MINOR: i64 = 100;
/// The dearest payment.
const AMOUNT_MAX: u64 = 500;

/// A loan and its borrower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loan {
    /// Its id.
    pub(super) loan_id: Uuid,
    /// Who owes.
    pub(super) borrower_id: Uuid,
}

/// The loans of a seed.
#[derive(Debug)]
pub(super) struct Loans {
    seed: u64,
    date: NaiveDate,
    sort: Sort,
    all: Vec<Loan>,
}

/// What a loan is named by besides its id. The two sorts have no loan in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Plain,
    /// By a loan number, as the entries of an ACH file name it.
    Numbered,
}

impl Sort {
    /// What keeps ids and keys of the sorts apart.
    const fn tag(self) -> &'static str {
        match self {
            Self::Plain => "loan",
            Self::Numbered => "numbered-loan",
        }
    }
}

impl Loans {
    /// The first `count` loans of a seed. `date` is the day they open; payments count from the next.
    pub(super) fn new(seed: u64, count: u64, date: NaiveDate) -> Self {
        Self::of(Sort::Plain, seed, count, date)
    }

    /// The same with loan numbers.
    pub(super) fn numbered(seed: u64, count: u64, date: NaiveDate) -> Self {
        Self::of(Sort::Numbered, seed, count, date)
    }

    fn of(sort: Sort, seed: u64, count: u64, date: NaiveDate) -> Self {
        let loan =
            |index| Loan { loan_id: id_of(sort.tag(), seed, index), borrower_id: id_of("borrower", seed, index) };
        Self { seed, date, sort, all: (0..count).map(loan).collect() }
    }

    /// The number of a loan: 13 digits, for columns of 15. Seeds that are alike in their last four digits have the same.
    pub(super) fn number(&self, index: u64) -> String {
        format!("1{:04}{index:08}", self.seed.checked_rem(10_000).unwrap_or(0))
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.all.len()).unwrap_or(u64::MAX)
    }

    /// The body that registers a loan.
    pub(super) fn opening(&self, index: u64) -> Option<Bytes> {
        let Loan { loan_id, borrower_id } = self.get(index)?;
        let date = self.date;
        let number = match self.sort {
            Sort::Plain => String::new(),
            Sort::Numbered => format!(r#""loan_number":"{}","#, self.number(index)),
        };
        let body = format!(
            r#"{{{number}"loan_id":"{loan_id}","borrower_id":"{borrower_id}","currency":"USD","opened_on":"{date}","opening_balances":{{"principal_minor":"{PRINCIPAL_MINOR}","interest_minor":"0","fees_minor":"{FEE_MINOR}"}}}}"#
        );
        Some(Bytes::from(body))
    }

    /// The key that registers a loan: the same each time, so that a second set-up changes nothing.
    pub(super) fn opening_key(&self, index: u64) -> String {
        format!("bench-{}:{}:{}:{index}", self.sort.tag(), self.seed, self.date)
    }

    /// The body of a payment of 1 to 500 cents on one of the loans, both picked by `draw`.
    pub(super) fn payment(&self, draw: u64) -> Option<Bytes> {
        let Loan { loan_id, borrower_id } = self.get(below(draw, self.count()))?;
        let (amount, date) = (amount_of(draw), self.date());
        let body = format!(
            r#"{{"loan_id":"{loan_id}","borrower_id":"{borrower_id}","amount_minor":"{amount}","currency":"USD","effective_at":"{date}","source_method":"ach"}}"#
        );
        Some(Bytes::from(body))
    }

    /// The same as a row of an upload, of which so many in a hundred come late: they count from the day before all others.
    pub(super) fn row(&self, draw: u64, key: &str, late_percent: u64) -> Option<String> {
        let Loan { loan_id, borrower_id } = self.get(below(draw, self.count()))?;
        let is_late = below(draw.rotate_left(16), 100) < late_percent;
        let (amount, date) = (amount_of(draw), if is_late { self.date } else { self.date() });
        Some(format!(
            r#"{{"idempotency_key":"{key}","loan_id":"{loan_id}","borrower_id":"{borrower_id}","amount_minor":"{amount}","currency":"USD","effective_at":"{date}","source_method":"ach"}}"#
        ))
    }

    /// The command that registers a loan, where no request is made of it.
    pub(super) fn opening_command(&self, index: u64) -> Option<Command> {
        let Loan { loan_id, borrower_id } = self.get(index)?;
        let owed = OpeningBalances {
            fees: Minor::new(FEE_MINOR),
            principal: Minor::new(PRINCIPAL_MINOR),
            ..OpeningBalances::default()
        };
        Some(Command::LoanOpening(LoanOpening {
            loan_id: LoanId(loan_id),
            borrower_id: BorrowerId(borrower_id),
            currency: Currency::USD,
            opened_on: self.date,
            loan_number: None,
            program_id: None,
            program_defaults: None,
            waterfall: None,
            opening_balances: owed,
            metadata: None,
        }))
    }

    /// The command of a payment on a loan, its amount picked by `draw`.
    pub(super) fn payment_command(&self, index: u64, draw: u64) -> Option<Command> {
        let Loan { loan_id, borrower_id } = self.get(index)?;
        Some(Command::Payment(Payment {
            loan_id: LoanId(loan_id),
            borrower_id: BorrowerId(borrower_id),
            amount: Money::new(amount_of(draw), Currency::USD),
            effective_date: self.date(),
            source_method: SourceMethod::Ach,
            external_ref: None,
            metadata: None,
        }))
    }

    /// The day that payments count from, but for those that come late: the day after the loans open.
    pub(super) fn date(&self) -> NaiveDate {
        self.date.succ_opt().unwrap_or(self.date)
    }

    /// The day the loans open.
    pub(super) fn opened_on(&self) -> NaiveDate {
        self.date
    }

    /// A loan by its number.
    pub(super) fn get(&self, index: u64) -> Option<Loan> {
        self.all.get(usize::try_from(index).ok()?).copied()
    }
}

/// A UUID from a hash of sort, seed and index.
fn id_of(sort: &str, seed: u64, index: u64) -> Uuid {
    let hash = Sha256::new().chain_update(sort).chain_update(seed.to_be_bytes()).chain_update(index.to_be_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(digest.first_chunk::<16>().unwrap_or(&[0; 16]));
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// 1 to 500 cents.
pub(super) fn amount_of(draw: u64) -> Minor {
    let cents = below(draw.rotate_left(32), AMOUNT_MAX).saturating_add(1);
    Minor::new(i64::try_from(cents).unwrap_or(i64::MAX))
}

/// Maps a draw of 64 bits evenly to `0..limit`.
pub(super) fn below(draw: u64, limit: u64) -> u64 {
    let wide = u128::from(draw).wrapping_mul(u128::from(limit)) >> 64;
    u64::try_from(wide).unwrap_or(0)
}

/// A stream of draws that costs next to nothing: splitmix64.
#[derive(Debug)]
pub(super) struct Draws(u64);

impl Draws {
    /// The stream of a number.
    pub(super) fn new(number: u64) -> Self {
        Self(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The next 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn loans(seed: u64) -> Loans {
        Loans::new(seed, 100, NaiveDate::from_ymd_opt(2020, 1, 2).unwrap())
    }

    #[test]
    fn a_seed_always_names_the_same_loans() {
        assert_eq!(loans(1).all, loans(1).all);
        let ids: BTreeSet<Uuid> = [1, 2].iter().flat_map(|seed| loans(*seed).all).map(|loan| loan.loan_id).collect();
        assert_eq!(ids.len(), 200);
    }

    #[test]
    fn draws_reach_every_loan_and_every_amount_and_no_other() {
        let mut draws = Draws::new(7);
        let (mut seen, mut amounts) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..20_000 {
            let body: serde_json::Value = serde_json::from_slice(&loans_of_test(draws.next())).unwrap();
            seen.insert(body["loan_id"].as_str().unwrap().to_owned());
            amounts.insert(body["amount_minor"].as_str().unwrap().parse::<u64>().unwrap());
        }
        assert_eq!(seen.len(), 10);
        assert_eq!((amounts.first(), amounts.last(), amounts.len()), (Some(&1), Some(&500), 500));
    }

    #[test]
    fn as_many_rows_come_late_as_are_asked_for() {
        let (loans, mut draws) = (loans(1), Draws::new(7));
        let late = loans.opened_on().to_string();
        for (percent, expected) in [(0, 0..=0), (10, 900..=1_100), (100, 10_000..=10_000)] {
            let rows = (0..10_000).map(|_| loans.row(draws.next(), "key", percent).unwrap());
            let count = rows.filter(|row| row.contains(&format!(r#""effective_at":"{late}""#))).count();
            assert!(expected.contains(&count), "{count} of 10,000 for {percent} %");
        }
    }

    #[test]
    fn numbered_loans_are_other_loans_and_have_a_number_each() {
        let date = NaiveDate::from_ymd_opt(2020, 1, 2).unwrap();
        let numbered = Loans::numbered(1, 100, date);
        assert!(numbered.all.iter().all(|loan| !loans(1).all.contains(loan)));
        assert_ne!(numbered.opening_key(0), loans(1).opening_key(0));
        let body: serde_json::Value = serde_json::from_slice(&numbered.opening(7).unwrap()).unwrap();
        assert_eq!(body["loan_number"], "1000100000007");
        let plain: serde_json::Value = serde_json::from_slice(&loans(1).opening(7).unwrap()).unwrap();
        assert_eq!(plain.get("loan_number"), None);
    }

    fn loans_of_test(draw: u64) -> Bytes {
        Loans::new(1, 10, NaiveDate::from_ymd_opt(2020, 1, 2).unwrap()).payment(draw).unwrap()
    }
}
