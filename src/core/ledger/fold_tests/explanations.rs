//! Owns the tests of why money was divided as it was: each split of each payment, from what was known when it was posted.

use std::collections::BTreeMap;

use super::servicing::{act, fee, refund};
use super::*;
use crate::core::event::{Collectibility, ServicingAct};
use crate::core::ledger::{DaySum, Found, MoneyIn, SplitExplained};
use crate::core::loan::LossAccount;

/// A step: bucket, money that came to it, what was owed, what was paid, why no more.
type Step = (&'static str, i64, i64, i64, &'static str);

impl Books {
    /// The splits that were posted of the payment at a place, with their versions.
    fn splits_of(&self, seq: Seq) -> Vec<(i64, Allocation)> {
        let own = |it: &&Posted| it.event.seq == seq || it.posting.restates_seq == Some(seq);
        let split = |it: &Posted| Some((it.posting.loan_version?, it.posting.allocation?));
        self.posted.iter().filter(own).filter_map(split).collect()
    }

    /// What moved by day and between the versions, as a store tells it.
    fn day_sums(&self, versions: &[i64]) -> Vec<DaySum> {
        let mut days: BTreeMap<(usize, NaiveDate), DaySum> = BTreeMap::new();
        for posting in self.posted.iter().map(|it| &it.posting).filter(|it| it.entry.is_some()) {
            let (version, date) = (posting.loan_version.unwrap(), posting.effective_date);
            let cut = versions.partition_point(|cut| *cut < version);
            if cut == versions.len() {
                continue;
            }
            let day = days.entry((cut, date)).or_insert(DaySum { cut, date, moved: [0; 4], has_memo: false });
            let Balances { fees, interest, principal, suspense } = movement_of(posting);
            for (sum, part) in day.moved.iter_mut().zip([fees, interest, principal, suspense]) {
                *sum += i128::from(part.units());
            }
            day.has_memo |= posting.entry.as_ref().unwrap().has_line_on(AccountCode::CHARGED_OFF_MEMO);
        }
        days.into_values().collect()
    }

    /// How each split of the payment at a place comes about; each comes to what the ledger has.
    fn explained(&self, seq: i64) -> Vec<SplitExplained> {
        let Command::Payment(payment) = &self.event(seq).event.command else { panic!("not a payment") };
        let splits = self.splits_of(Seq(seq));
        let versions: Vec<i64> = splits.iter().map(|(version, _)| version - 1).collect();
        let (amount, date) = (payment.amount.minor, payment.effective_date);
        let money = MoneyIn { amount, kind: payment.source_method.payment_kind(), date, version: versions[0] + 1 };
        let found = Found::new(money, versions.clone(), self.day_sums(&versions));
        let within = |it: &&Posted| {
            (found.since()..=date).contains(&it.posting.effective_date) && it.posting.outcome == Outcome::Posted
        };
        let rows: Vec<_> = self.posted.iter().filter(within).map(|it| (it.event.clone(), it.posting.clone())).collect();
        let explained = |(cut, (_, split)): (usize, &(i64, Allocation))| {
            let explained = found.explain(&self.state.unwrap(), cut, &rows).unwrap();
            assert_eq!(explained.split, *split, "split {cut} of the payment at {seq}");
            explained
        };
        splits.iter().enumerate().map(explained).collect()
    }
}

fn steps(explained: &SplitExplained) -> Vec<Step> {
    let step = |step: &crate::core::loan::BucketStep| {
        let [available, owed, paid] = [step.available, step.owed, step.paid].map(Minor::units);
        (step.bucket.as_str(), available, owed, paid, step.limit.as_str())
    };
    explained.steps.iter().map(step).collect()
}

fn flags(explained: &[SplitExplained]) -> Vec<(bool, bool)> {
    explained.iter().map(|it| (it.is_recovery, it.is_in_front)).collect()
}

/// Every split of every payment in the books comes of what it found, to the cent.
pub(super) fn check(books: &Books) {
    let is_payment = |it: &&Posted| it.event.event.kind == EventKind::PaymentReceived;
    let posted = books.posted.iter().filter(is_payment).filter(|it| it.posting.outcome == Outcome::Posted);
    for seq in posted.map(|it| it.event.seq.0) {
        for explained in books.explained(seq) {
            let paid: i64 = explained.steps.iter().map(|step| step.paid.units()).sum();
            assert_eq!(explained.split.total().unwrap().units(), paid + explained.split.suspense.units());
        }
    }
}

fn chargeoff(date: NaiveDate) -> Command {
    act(ServicingAct::Chargeoff { collectibility: Collectibility::Collectible, loss: LossAccount::Expense }, None, date)
}

/// 62.00 stand at the end of 31 January, but a payment of that day is in front of the 2.00 which the day itself bears.
#[test]
fn a_payment_of_a_day_that_is_accrued_finds_the_days_before_it() {
    let mut books = accruals::books();
    assert_eq!([books.accrues(date(1, 30)), books.accrues(date(1, 31))], [6_000, 200]);
    books.posts_late(payment(506_000, date(1, 31)));
    let explained = books.explained(4);
    let expected: [Step; 3] = [
        ("fees", 506_000, 0, 0, "nothing_owed"),
        ("interest", 506_000, 6_000, 6_000, "paid_in_full"),
        ("principal", 500_000, 1_000_000, 500_000, "money_ran_out"),
    ];
    assert_eq!((steps(&explained[0]), flags(&explained)), (expected.to_vec(), vec![(false, true)]));
    // Where the money runs out in this step, what was owed is told as well.
    let mut books = accruals::books();
    assert_eq!([books.accrues(date(1, 30)), books.accrues(date(1, 31))], [6_000, 200]);
    books.posts_late(payment(5_000, date(1, 31)));
    assert_eq!(steps(&books.explained(4)[0])[1], ("interest", 5_000, 6_000, 5_000, "money_ran_out"));
    // The next day's payment finds the interest of the day before, as it was mended.
    books.posts(payment(100_000, date(2, 1)));
    assert_eq!(steps(&books.explained(5)[0])[1], ("interest", 100_000, 1_200, 1_200, "paid_in_full"));
}

/// Fees 7, interest 0 and principal 95 are charged off; 50 of it comes in. Then 20 turn out to have come before the
/// charge-off: 7 of them paid the fee, so that 82 of principal were charged off, and then 3 of a fee as well.
#[test]
fn a_recovery_finds_what_is_on_the_memo_accounts() {
    let mut books = Books::of([opening([5, 10, 100], date(1, 1)), payment(20, date(2, 1))]);
    books.posts(fee("late", 7, date(3, 1)));
    books.posts(chargeoff(date(6, 1)));
    books.posts(payment(50, date(7, 1)));
    let recovered: [Step; 3] = [
        ("fees", 50, 7, 7, "paid_in_full"),
        ("interest", 43, 0, 0, "nothing_owed"),
        ("principal", 43, 95, 43, "money_ran_out"),
    ];
    assert_eq!((steps(&books.explained(5)[0]), flags(&books.explained(5))), (recovered.to_vec(), vec![(true, false)]));
    books.posts_late(payment(20, date(4, 1)));
    let again = steps(&books.explained(5)[1]);
    assert_eq!((again[0], again[2]), (("fees", 50, 0, 0, "nothing_owed"), ("principal", 50, 82, 50, "money_ran_out")));
    assert_eq!(flags(&books.explained(6)), [(false, true)]);
    books.posts_late(fee("late", 3, date(5, 1)));
    let told = books.explained(5);
    assert_eq!((steps(&told[0]), told.len()), (recovered.to_vec(), 3), "what was told stays told");
    let last = steps(&told[2]);
    assert_eq!((last[0], last[2]), (("fees", 50, 3, 3, "paid_in_full"), ("principal", 47, 82, 47, "money_ran_out")));
    assert_eq!(flags(&told), [(true, false); 3]);
    assert_eq!(books.explained(6).len(), 1, "the payment of April is in front of the fee");
    check(&books);
}

/// Each split has the reasons of its time.
#[test]
fn a_restated_payment_is_explained_split_by_split() {
    let mut books = Books::of([opening([500, 40, 1_000], date(1, 1)), payment(600, date(4, 1))]);
    books.posts_late(payment(520, date(3, 1)));
    books.posts_late(fee("late", 25, date(2, 1)));
    let told: Vec<Vec<Step>> = books.explained(2).iter().map(steps).collect();
    let [first, second, third] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(first[..2], [("fees", 600, 500, 500, "paid_in_full"), ("interest", 100, 40, 40, "paid_in_full")]);
    assert_eq!(second[..2], [("fees", 600, 0, 0, "nothing_owed"), ("interest", 600, 20, 20, "paid_in_full")]);
    assert_eq!(third[..2], [("fees", 600, 5, 5, "paid_in_full"), ("interest", 595, 40, 40, "paid_in_full")]);
    assert_eq!(flags(&books.explained(2)), [(false, false); 3]);
    assert_eq!(books.explained(3).len(), 2, "the one of March is divided anew by the fee");
}

/// The fee of 30 that a payment of March finds was paid on 1 April already when it came: it pays the fee all the same, for it
/// would have in time, and no later day limits it.
#[test]
fn no_later_day_limits_a_late_payment() {
    let mut books = Books::of([opening([0, 0, 0], date(1, 1)), fee("late", 30, date(2, 1)), payment(30, date(4, 1))]);
    books.posts_late(payment(80, date(3, 1)));
    let expected = [("fees", 80, 30, 30, "paid_in_full"), ("interest", 50, 0, 0, "nothing_owed")];
    let told = books.explained(4);
    assert_eq!((&steps(&told[0])[..2], flags(&told)), (&expected[..], vec![(false, true)]));
    assert_eq!(books.explained(3).len(), 2);
    assert_eq!(steps(&books.explained(3)[1])[0], ("fees", 30, 0, 0, "nothing_owed"));
    check(&books);
}

/// The excess that goes back to its payer was the borrower's before: the payment is divided as ever.
#[test]
fn a_refunded_excess_changes_no_reason() {
    let mut books = Books::of([opening([0, 10, 100], date(1, 1)), payment(150, date(2, 1))]);
    books.posts(refund(None, date(2, 2)));
    let told = books.explained(2);
    assert_eq!((told.len(), told[0].split.suspense.units()), (1, 40));
    assert_eq!(steps(&told[0])[2], ("principal", 140, 100, 100, "paid_in_full"));
}
