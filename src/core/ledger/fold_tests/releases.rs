//! Owns the tests of suspense that pays new debt by itself.

use super::servicing::{adjustment, apply, fee, lines, refund, reversal};
use super::*;
use crate::core::event::{ProgramDefaults, ServicingAct};
use crate::core::ledger::{LoanWork, RejectionCode, look_ahead};
use crate::core::loan::SuspenseRelease;

/// A loan of a program that releases suspense, with a debt of 100 and 300 paid on 1 February.
fn overpaid() -> Books {
    let program = ProgramDefaults { suspense_release: SuspenseRelease::Automatic, ..ProgramDefaults::default() };
    let Command::LoanOpening(opening) = opening([0, 0, 100], date(1, 1)) else { panic!("not an opening") };
    let opening = LoanOpening { program_defaults: Some(program), ..opening };
    Books::of([Command::LoanOpening(opening), payment(300, date(2, 1))])
}

/// The lines of the last entry but `back`.
fn entry(books: &Books, back: usize) -> Vec<(String, i64)> {
    let posted = &books.posted[books.posted.len() - 1 - back];
    let lines = posted.posting.entry.as_ref().map(JournalEntry::lines).unwrap_or_default();
    lines.iter().map(|line| (line.account.to_string(), line.signed.units())).collect()
}

#[test]
fn a_fee_is_paid_out_of_suspense_by_an_event_of_its_own() {
    let mut books = overpaid();
    books.posts(fee("late", 30, date(2, 5)));
    assert_eq!(entry(&books, 1), lines(&[("1300", 30), ("4200", -30)]));
    assert_eq!(entry(&books, 0), lines(&[("2100", 30), ("1300", -30)]));
    let release = &books.posted.last().unwrap().event.event;
    assert_eq!((release.kind.event_type(), release.origin.cause_seq), ("payment_allocated", Some(Seq(3))));
    assert_eq!((release.command.amount(), release.slot), (Some(Minor::new(30)), None));
    assert_eq!(books.balances(), [0, 0, 0, 170]);
    assert_eq!(books.fees().items()[0].paid, Minor::new(30));
}

#[test]
fn it_pays_on_the_day_the_debt_arose_and_what_was_refunded_since_is_owed() {
    let mut books = overpaid();
    books.posts(refund(Some(150), date(3, 1)));
    let backdated = fee("late", 80, date(2, 10));
    books.posts(backdated);
    let consequences = [
        ("suspense_applied", None, lines(&[("1300", -80), ("2100", 80)])),
        ("payment_allocated", Some(3), lines(&[("1100", 30), ("2100", -30)])),
    ];
    assert_eq!(books.consequences(), consequences, "50 are left of 200: 30 of the refund were not the borrower's");
    assert_eq!(books.posted[4].posting.effective_date, date(2, 10));
    assert_eq!((books.balances_on(date(2, 28)), books.balances_on(date(3, 1))), ([0, 0, 0, 120], [0, 0, 30, 0]));
    let before_the_money = fee("late", 5, date(1, 15));
    books.posts(before_the_money);
    let consequences = [
        ("payment_allocated", Some(2), lines(&[("1300", -5), ("2100", 5)])),
        ("payment_allocated", Some(3), lines(&[("1100", 5), ("2100", -5)])),
    ];
    assert_eq!(books.consequences(), consequences, "no suspense was there on that day: the payment pays it");
}

/// The same release, as its debt comes, as its money goes, and as it comes again.
#[test]
fn a_release_is_restated_with_the_money_that_it_came_from() {
    let mut books = overpaid();
    books.posts(fee("late", 30, date(2, 5)));
    let release = books.posted[3].event.seq.0;
    let back = returning(books.event(2), date(2, 20), 0);
    books.posts(back);
    let undone = ("payment_allocated", Some(release), lines(&[("1300", 30), ("2100", -30)]));
    assert_eq!((books.consequences(), books.balances()), (vec![undone], [30, 0, 100, 0]));
    books.posts(payment(120, date(2, 1)));
    let partly = ("payment_allocated", Some(release), lines(&[("1300", -20), ("2100", 20)]));
    assert_eq!((books.consequences(), books.balances()), (vec![partly], [10, 0, 0, 0]));
    assert_eq!(books.fees().items()[0].paid, Minor::new(20));
}

#[test]
fn a_return_and_its_fee_are_each_paid_on_their_own_day() {
    let mut books = overpaid();
    books.posts(payment(40, date(2, 2)));
    books.posts(payment(60, date(2, 2)));
    let back = returning(books.event(2), date(2, 8), 25);
    books.posts(back);
    let kinds: Vec<_> = books.posted.iter().map(|posted| posted.event.event.kind.as_str()).collect();
    let expected = ["payment_returned", "payment_allocated", "payment_allocated", "fee_assessed"];
    assert_eq!(kinds[4..], expected, "the other payments pay what the first one had paid");
    assert_eq!((books.balances(), books.balances_on(date(2, 1))), ([25, 0, 0, 0], [0, 0, 100, 0]));
    let mut early = overpaid();
    early.posts(payment(40, date(2, 2)));
    let back = returning(early.event(3), date(2, 8), 25);
    early.posts(back);
    assert_eq!(early.last_lines(), lines(&[("1300", -25), ("2100", 25)]));
    assert_eq!(early.balances(), [0, 0, 0, 175]);
}

#[test]
fn an_application_that_is_taken_back_stays_so() {
    let mut books = overpaid();
    books.posts(disbursement(50, date(2, 5)));
    let places: Vec<i64> = books.posted.iter().map(|posted| posted.event.seq.0).collect();
    let undo = reversal(&books, *places.last().unwrap(), date(2, 6));
    books.posts(undo);
    assert_eq!(books.balances(), [0, 0, 50, 200]);
    books.posts(apply(Some(20), date(2, 7)));
    books.refuses(apply(Some(181), date(2, 7)), RejectionCode::InsufficientBalance);
}

#[test]
fn nothing_is_released_where_the_program_does_not_say_so() {
    let mut books = Books::of([opening([0, 0, 100], date(1, 1)), payment(300, date(2, 1))]);
    books.posts(fee("late", 30, date(2, 5)));
    assert_eq!((books.posted.len(), books.balances()), (3, [30, 0, 0, 200]));
}

/// A debt of 100 that 100 of 1 February paid, and on 1 March 20 that the lender gives: with nothing owed they wait.
fn paid_and_given() -> Books {
    let program = ProgramDefaults { suspense_release: SuspenseRelease::Automatic, ..ProgramDefaults::default() };
    let Command::LoanOpening(opening) = opening([0, 0, 100], date(1, 1)) else { panic!("not an opening") };
    let opening = LoanOpening { program_defaults: Some(program), ..opening };
    let mut books = Books::of([Command::LoanOpening(opening), payment(100, date(2, 1))]);
    books.posts(adjustment(&[("5200", 20), ("2100", -20)], date(3, 1)));
    books
}

/// The payment goes back, so the gift pays debt; the fee of the return, of a day before it, is the debt it pays first.
/// Both are one change to the loan: the release that the return brings about is made once, and as it stays.
#[test]
fn a_return_and_its_fee_change_what_follows_together() {
    let mut books = paid_and_given();
    let back = returning(books.event(2), date(2, 15), 25);
    books.posts(back);
    let consequences = [
        ("fee_assessed", None, lines(&[("1300", 25), ("4200", -25)])),
        ("suspense_applied", None, lines(&[("1300", -20), ("2100", 20)])),
    ];
    assert_eq!(books.consequences(), consequences);
    assert_eq!(books.balances(), [5, 0, 100, 0]);
    let given = books.event(3).event.id;
    let raised = ServicingAct::SuspenseApplied { raised_by: Some(given) };
    let Command::Servicing(release) = &books.posted.last().unwrap().event.event.command else { panic!("no release") };
    assert_eq!(release.act, raised);
    let mut apart = paid_and_given();
    let back = returning(apart.event(2), date(2, 15), 0);
    apart.posts(back);
    apart.posts(fee("returned_payment", 25, date(2, 15)));
    assert_eq!(apart.balances(), books.balances());
    assert_eq!(apart.balances_on(date(2, 20)), books.balances_on(date(2, 20)));
}

/// Several late events wait, and the second does something else to what the first has brought about: looked ahead to,
/// they do what they do when they are posted one after the other.
#[test]
fn what_waits_restates_what_waits_before_it() {
    let mut books = paid_and_given();
    let back = accepted(10, returning(books.event(2), date(2, 15), 0));
    let late_fee = accepted(11, fee("late", 25, date(2, 16)));
    let imagined = accepted(i64::MAX >> 1, payment(12, date(2, 14)));
    let events = vec![back, late_fee, imagined];
    let past = Past {
        history: books.history(&books.state.unwrap(), &events),
        earlier: books.earlier(&events),
        ..Past::default()
    };
    let key = books.state.unwrap().key;
    let work = LoanWork { key, state: books.state, number_taken: false, past, events: events.clone() };
    let outlook = look_ahead(work, at(20)).unwrap();
    assert_eq!(outlook.stuck, []);
    for event in &events {
        books.post(std::slice::from_ref(event), at(20));
    }
    assert_eq!(outlook.step.state.unwrap().balances, books.state.unwrap().balances);
    assert_eq!(outlook.step.system.len(), books.consequences().len());
}
