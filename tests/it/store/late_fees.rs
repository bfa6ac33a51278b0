//! Laws of late fees: what they are judged by, and how they are found again.

use hpts::core::event::{Command, Fee, LateFor, NewEvent};
use hpts::core::ids::LoanKey;
use hpts::core::ledger::{LateFeeBook, Outcome, RejectionCode, shown_by};
use hpts::core::money::Minor;
use hpts::store::LateFeesPage;
use hpts::worker::lane_fold;

use super::{Fixture, prove};
use crate::support::books::{Books, day};

/// A late fee of 25 for what was due on 1 March: payments count from 2 February to 16 March.
fn late_fee(books: &Books, loan: u128, due: i64) -> NewEvent {
    let Command::Fee(fee) = books.fee_on(loan, "late", 25, day(3, 17)).command else { unreachable!() };
    let late_for = LateFor {
        period_from: day(2, 2),
        due_at: day(3, 1),
        due: Minor::new(due),
        grace_days: Some(15),
        program_grace_days: None,
    };
    books.event(Command::Fee(Fee { late_for: Some(late_for), ..fee }))
}

/// Nothing that came in before the batch, or stands in front of the fee in it, is overlooked.
pub(crate) async fn a_late_fee_is_judged_by_what_came_in(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 10_000]), books.payment_on(1, 200, day(2, 2))]).await;
    books.book(vec![books.payment_on(1, 100, day(2, 1)), books.payment_on(1, 100, day(3, 17))]).await;
    let wanted = books
        .book(vec![
            late_fee(&books, 1, 200),
            late_fee(&books, 1, 201),
            books.payment_on(1, 300, day(3, 16)),
            late_fee(&books, 1, 500),
            late_fee(&books, 1, 501),
        ])
        .await;
    let mut outcomes = Vec::new();
    for event in [0, 1, 3, 4] {
        outcomes.push(books.record(&wanted[event]).await.posting.unwrap().outcome);
    }
    let refused = Outcome::Rejected(RejectionCode::PaidOnTime);
    assert_eq!(outcomes, [refused, Outcome::Posted, refused, Outcome::Posted]);
    prove(&books.store).await;
}

/// Who answers for a late payment is told to look, and finds what it has shown; so does who lists them.
pub(crate) async fn late_fees_are_found_by_loan_and_tenant(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let thief = Books::open(fixture.store(), 2).await;
    for loan in 1..=3 {
        books.book(vec![books.opening(loan, [0, 0, 10_000])]).await;
    }
    let fees = books.book(vec![late_fee(&books, 1, 500), late_fee(&books, 2, 500), late_fee(&books, 2, 900)]).await;
    books.book(vec![books.fee_on(3, "late_for", 25, day(3, 17))]).await;
    let paid = books.accept(vec![books.payment_on(2, 500, day(3, 1)), books.payment_on(3, 500, day(3, 1))]).await;
    let batch = books.try_post(&paid, lane_fold()).await.unwrap();
    assert_eq!(batch.restating.iter().copied().collect::<Vec<_>>(), [paid[0].seq], "{batch:?}");

    let (store, loans) = (&books.store, vec![books.key(1), books.key(2), books.key(3)]);
    let rows = store.late_fees(books.tenant, loans.clone(), day(3, 17)).await.unwrap();
    let of = |loan: u128| {
        let key = books.key(loan);
        rows.iter().filter(move |(event, _)| event.event.loan_key == key).cloned()
    };
    assert_eq!([1, 2, 3].map(|loan| of(loan).count()), [1, 3, 0], "the opening was before the period");
    let shown = shown_by(&of(2).collect::<Vec<_>>(), paid[0].id);
    assert_eq!(shown.iter().map(|fee| fee.item.event_id).collect::<Vec<_>>(), [fees[1].id]);
    assert_eq!(LateFeeBook::of(&of(1).collect::<Vec<_>>()).to_review(), []);
    assert_eq!(store.late_fees(books.tenant, loans.clone(), day(3, 18)).await.unwrap(), []);
    assert_eq!(store.late_fees(thief.tenant, loans, day(3, 17)).await.unwrap(), []);

    let mut keys = [books.key(1), books.key(2)];
    keys.sort_unstable();
    let page = LateFeesPage { from: day(3, 17), to: day(3, 17), after: LoanKey::from_bytes([0; 16]), limit: 1 };
    assert_eq!(store.loans_with_late_fees(books.tenant, page).await.unwrap(), keys, "one more than the limit");
    let next = LateFeesPage { after: keys[0], ..page };
    assert_eq!(store.loans_with_late_fees(books.tenant, next).await.unwrap(), [keys[1]]);
    for (from, to) in [(day(3, 18), day(12, 31)), (day(1, 1), day(3, 16))] {
        assert_eq!(store.loans_with_late_fees(books.tenant, LateFeesPage { from, to, ..page }).await.unwrap(), []);
    }
    assert_eq!(store.loans_with_late_fees(thief.tenant, page).await.unwrap(), []);
    prove(&books.store).await;
}

/// Of events that came late, or brought something about, more is told; of a payment in order nothing is looked for.
pub(crate) async fn events_with_more_to_tell_are_found(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let thief = Books::open(fixture.store(), 2).await;
    let wanted = books
        .book(vec![
            books.opening(1, [0, 100, 10_000]),
            books.payment_on(1, 50, day(3, 20)),
            books.payment_on(1, 50, day(3, 10)),
            late_fee(&books, 1, 500),
            books.payment_on(1, 50, day(3, 21)),
        ])
        .await;
    books.book(vec![books.payment_on(1, 70, day(3, 9))]).await;
    let ids: Vec<_> = wanted.iter().map(|event| event.id).collect();
    let found = books.store.with_more_to_tell(books.tenant, ids.clone()).await.unwrap();
    // The opening and the payment of 10 March count from before the fee of 17 March, but nobody knew of it then; the fee is
    // paid by the payment of 20 March.
    assert_eq!(found, [ids[3]]);
    let late = books.book(vec![books.payment_on(1, 10, day(3, 18))]).await;
    let found = books.store.with_more_to_tell(books.tenant, vec![late[0].id, ids[4]]).await.unwrap();
    assert_eq!(found, [late[0].id], "it has restated what came behind it");
    books.book(vec![books.opening(2, [0, 0, 10_000]), late_fee(&books, 2, 500)]).await;
    let paid = books.book(vec![books.payment_on(2, 50, day(3, 17)), books.payment_on(2, 50, day(3, 16))]).await;
    let back = books.return_of(&paid[0], day(3, 19), 0).await;
    let back = books.book(vec![back]).await;
    let asked = vec![paid[0].id, paid[1].id, back[0].id];
    let mut found = books.store.with_more_to_tell(books.tenant, asked).await.unwrap();
    found.sort_unstable();
    assert_eq!(found, [paid[1].id, back[0].id], "money of a day before the fee's, and what goes back of any day");
    assert_eq!(books.store.with_more_to_tell(thief.tenant, ids).await.unwrap(), []);
    prove(&books.store).await;
}
