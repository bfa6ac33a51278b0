//! Owns the tests of late fees: what counts as come in on time.

use super::servicing::{act, fee, reversal};
use super::*;
use crate::core::event::{LateFor, ServicingAct};
use crate::core::ledger::{LateFeeBook, RejectionCode, needs_receipts, received_before, shown_by};

/// A late fee of 25 for what was due on 1 March: payments count from 2 February, and to 6 March by 5 days of grace.
fn late_fee(due: i64, effective_date: NaiveDate) -> Command {
    let Command::Fee(fee) = fee("late", 25, effective_date) else { unreachable!() };
    let late_for = LateFor {
        period_from: date(2, 2),
        due_at: date(3, 1),
        due: Minor::new(due),
        grace_days: None,
        program_grace_days: Some(5),
    };
    Command::Fee(Fee { late_for: Some(late_for), ..fee })
}

fn opened() -> Command {
    opening([0, 0, 10_000], date(1, 1))
}

const REFUSED: Outcome = Outcome::Rejected(RejectionCode::PaidOnTime);

#[test]
fn payments_count_whole_whatever_they_were_divided_into() {
    // 25 of the 500 pay the fee of February; what is left is short of 500, and it is whole all the same.
    let mut books = Books::of([opened(), fee("late", 25, date(2, 10)), payment(500, date(3, 1))]);
    assert_eq!(books.last_split(), [25, 0, 475, 0]);
    assert_eq!(books.next(late_fee(500, date(3, 7))), REFUSED);
    assert_eq!(books.next(late_fee(501, date(3, 7))), Outcome::Posted);
    // Dated in front of what is posted, it is judged alike.
    let mut books = Books::of([opened(), payment(500, date(3, 6)), payment(500, date(4, 1))]);
    assert_eq!(books.next(late_fee(500, date(3, 7))), REFUSED);
    assert_eq!(books.next(late_fee(501, date(3, 7))), Outcome::Posted);
}

#[test]
fn only_days_of_the_period_and_its_grace_count() {
    for (day, outcome) in
        [(date(2, 1), Outcome::Posted), (date(2, 2), REFUSED), (date(3, 6), REFUSED), (date(3, 7), Outcome::Posted)]
    {
        let mut books = Books::of([opened(), payment(500, day)]);
        assert_eq!(books.next(late_fee(500, date(3, 8))), outcome, "{day}");
    }
}

#[test]
fn a_fee_sees_what_its_batch_has_posted() {
    let mut books = Books::of([opened()]);
    books.post(&[accepted(2, payment(500, date(3, 1))), accepted(3, late_fee(500, date(3, 7)))], at(2));
    assert_eq!(books.last().outcome, REFUSED);
    let back = returning(books.event(2), date(3, 4), 0);
    books.post(&[accepted(4, back), accepted(5, late_fee(500, date(3, 7)))], at(3));
    assert_eq!(books.last().outcome, Outcome::Posted, "what went back does not count");
}

#[test]
fn recoveries_count_and_what_was_refunded_does_as_well() {
    let mut books = Books::of([opened(), payment(10_500, date(3, 1))]);
    assert_eq!(books.next(act(ServicingAct::SuspenseRefunded, None, date(3, 2))), Outcome::Posted);
    assert_eq!(books.next(late_fee(10_500, date(3, 7))), REFUSED);
}

#[test]
fn a_late_fee_is_not_judged_without_what_came_in() {
    let mut books = Books::of([opened()]);
    let event = accepted(2, late_fee(500, date(3, 7)));
    let mut past = books.past(&event);
    assert!(post_event(books.state, false, &mut past, &event, at(2)).unwrap_err().contains("receipts"));
    assert_eq!(needs_receipts(&[event]), Some(date(2, 2)));
    assert_eq!(
        books.next(fee("late", 25, date(3, 7))),
        Outcome::Posted,
        "one that says nothing is a fee like any other"
    );
}

#[test]
fn what_a_late_payment_shows_never_changes() {
    let mut books = Books::of([opened(), late_fee(500, date(3, 7)), payment(500, date(3, 8))]);
    let rows = |books: &Books| -> Vec<(AcceptedEvent, Posting)> {
        let rows = books.posted.iter().filter(|it| it.posting.outcome == Outcome::Posted);
        rows.map(|it| (it.event.clone(), it.posting.clone())).collect()
    };
    assert_eq!(books.next(payment(200, date(3, 1))), Outcome::Posted);
    assert_eq!(shown_by(&rows(&books), books.event(4).event.id), []);
    assert_eq!(books.next(payment(300, date(3, 2))), Outcome::Posted);
    let event = books.posted.iter().rfind(|it| it.event.event.slot.is_some()).unwrap().event.event.id;
    let told = shown_by(&rows(&books), event);
    let [shown] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((shown.received.units(), shown.item.event_id), (500, books.event(2).event.id));
    let seq = books.posted.iter().find(|it| it.event.event.id == event).unwrap().event.seq.0;
    let undo = reversal(&books, seq, date(3, 9));
    assert_eq!(books.next(undo), Outcome::Posted);
    assert_eq!(shown_by(&rows(&books), event), told, "what was told then is told again");
    assert_eq!(LateFeeBook::of(&rows(&books)).to_review(), [], "and nothing is to review today");
    let fee = books.event(2).event.clone();
    assert_eq!(received_before(&rows(&books), &fee, 2).map(Minor::units), Some(0));
    assert_eq!(received_before(&rows(&books), &fee, i64::MAX).map(Minor::units), Some(200));
}
