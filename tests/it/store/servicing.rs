//! Laws of the operations on one loan: fees, suspense, settlements, adjustments, charge-offs and reversals.

use hpts::core::event::{
    AdjustmentLine, Collectibility, Command, EarlierEvent, FeeCode, LoanOpening, NO_BORROWER, ServicingAct,
};
use hpts::core::ids::ProgramId;
use hpts::core::ledger::{AccountCode, Outcome, RejectionCode};
use hpts::core::loan::{LoanStatus, LossAccount};
use hpts::core::money::Minor;
use hpts::store::{EntriesPage, Wanted};
use uuid::Uuid;

use super::{Fixture, prove};
use crate::support::books::{Books, borrower, day};

pub(super) fn chargeoff() -> ServicingAct {
    ServicingAct::Chargeoff { collectibility: Collectibility::Collectible, loss: LossAccount::Expense }
}

fn waived(code: &str) -> ServicingAct {
    ServicingAct::FeeWaived { fee_code: FeeCode::parse(code).unwrap(), fee: None }
}

fn settled(disbursement: &Wanted) -> ServicingAct {
    ServicingAct::DisbursementSettled { disbursement: EarlierEvent { id: disbursement.id, seq: disbursement.seq } }
}

fn line(account: AccountCode, units: i64) -> AdjustmentLine {
    AdjustmentLine { account_code: account, signed_minor: Minor::new(units) }
}

/// Account and signed amount of each line of the event's entry.
async fn lines(books: &Books, wanted: &Wanted) -> Vec<(String, i64)> {
    let record = books.record(wanted).await;
    let entry = record.posting.unwrap().entry.unwrap_or_else(|| panic!("{:?} has no entry", wanted.id));
    entry.lines().iter().map(|line| (line.account.to_string(), line.signed.units())).collect()
}

fn named(lines: &[(&str, i64)]) -> Vec<(String, i64)> {
    lines.iter().map(|(account, units)| ((*account).to_owned(), *units)).collect()
}

async fn outcome(books: &Books, wanted: &Wanted) -> Outcome {
    books.record(wanted).await.posting.unwrap().outcome
}

/// A hand forgave a fee of which a late payment turns out to have paid all, so that what stands of the adjustment is in
/// suspense. It is taken back: the fee is paid, and may be forgiven.
pub(crate) async fn what_a_hand_forgave_and_took_back_is_not_waived(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 1_000]), books.fee_on(1, "late", 50, day(2, 10))]).await;
    let forgiving = vec![line(AccountCode::FEE_WAIVER_EXPENSE, 50), line(AccountCode::FEES_RECEIVABLE, -50)];
    let by_hand = ServicingAct::ManualAdjustment { lines: forgiving, reason_description: "goodwill".to_owned() };
    let by_hand = books.book(vec![books.servicing(1, by_hand, None, day(2, 12))]).await;
    let parts = async || {
        let items = books.store.loan_fees(books.tenant, books.key(1)).await.unwrap().unwrap();
        items.iter().map(|item| [item.paid, item.waived].map(Minor::units)).collect::<Vec<_>>()
    };
    assert_eq!(parts().await, [[0, 50]]);
    books.book(vec![books.payment_on(1, 50, day(2, 11))]).await;
    assert_eq!((parts().await, books.balances_on(1, day(12, 31)).await), (vec![[0, 50]], [0, 0, 1_000, 50]));
    let undo = books.reversal_of(1, &by_hand[0], day(2, 20)).await;
    books.book(vec![undo]).await;
    assert_eq!((parts().await, books.balances_on(1, day(12, 31)).await), (vec![[50, 0]], [0, 0, 1_000, 0]));
    let waiver = books.book(vec![books.servicing(1, waived("late"), Some(50), day(2, 21))]).await;
    assert_eq!(outcome(&books, &waiver[0]).await, Outcome::Posted);
    prove(&books.store).await;
}

/// What comes late is told what waivers of later days have forgiven.
pub(crate) async fn a_late_adjustment_forgives_no_fee_that_is_waived(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 1_000]), books.fee_on(1, "late", 50, day(2, 10))]).await;
    books.book(vec![books.fee_on(1, "nsf", 50, day(2, 20))]).await;
    books.book(vec![books.servicing(1, waived("late"), Some(50), day(2, 25))]).await;
    let forgiving = vec![line(AccountCode::FEES_RECEIVABLE, -50), line(AccountCode::FEE_WAIVER_EXPENSE, 50)];
    let by_hand = ServicingAct::ManualAdjustment { lines: forgiving, reason_description: "goodwill".to_owned() };
    let adjustments =
        [day(2, 15), day(2, 21)].map(|day| books.servicing(1, by_hand.clone(), None, day)).into_iter().collect();
    let adjustments = books.book(adjustments).await;
    let refused = Outcome::Rejected(RejectionCode::InsufficientBalance);
    assert_eq!(outcome(&books, &adjustments[0]).await, refused, "only the waived fee is there");
    assert_eq!(outcome(&books, &adjustments[1]).await, Outcome::Posted);
    let items = books.store.loan_fees(books.tenant, books.key(1)).await.unwrap().unwrap();
    let parts = items.iter().map(|item| [item.paid, item.waived].map(Minor::units)).collect::<Vec<_>>();
    assert_eq!((parts, books.balances_on(1, day(12, 31)).await), (vec![[0, 50], [0, 50]], [0, 0, 1_000, 0]));
    prove(&books.store).await;
}

pub(crate) async fn every_act_is_posted_by_its_rule(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let start = books.book(vec![books.disbursement_on(1, 500, day(1, 1)), books.payment_on(1, 600, day(2, 1))]).await;
    let lines_by_hand = vec![
        line(AccountCode::FEES_RECEIVABLE, 3),
        line(AccountCode::INTEREST_RECEIVABLE, 4),
        line(AccountCode::FEE_INCOME, -7),
    ];
    let by_hand = ServicingAct::ManualAdjustment { lines: lines_by_hand, reason_description: "by hand".to_owned() };
    let acts = vec![
        books.servicing(1, settled(&start[0]), None, day(1, 2)),
        books.servicing(1, by_hand, None, day(2, 2)),
        books.servicing(1, ServicingAct::SuspenseApplied { raised_by: None }, None, day(2, 3)),
        books.servicing(1, ServicingAct::SuspenseRefunded, Some(50), day(2, 4)),
        books.fee_on(1, "late", 20, day(2, 5)),
        books.servicing(1, waived("late"), Some(5), day(2, 6)),
        books.servicing(1, chargeoff(), None, day(2, 7)),
        books.servicing(1, ServicingAct::Recovery, Some(10), day(2, 8)),
        books.payment_on(1, 9, day(2, 9)),
    ];
    let acts = books.book(acts).await;

    let expected: [&[(&str, i64)]; 9] = [
        &[("1020", 500), ("1000", -500)],
        &[("1300", 3), ("1200", 4), ("4200", -7)],
        &[("2100", 7), ("1300", -3), ("1200", -4)],
        &[("2100", 50), ("2300", -50)],
        &[("1300", 20), ("4200", -20)],
        &[("5200", 5), ("1300", -5)],
        &[("4290", 15), ("1300", -15), ("9100", 15), ("9900", -15)],
        &[("1010", 10), ("4300", -10), ("9900", 10), ("9100", -10)],
        &[("1010", 9), ("4300", -5), ("2100", -4), ("9900", 5), ("9100", -5)],
    ];
    for (wanted, expected) in acts.iter().zip(expected) {
        assert_eq!(lines(&books, wanted).await, named(expected));
    }
    assert_eq!(books.balances_on(1, day(12, 31)).await, [0, 0, 0, 47]);
    let of_type = async |event_type: &str| {
        let event_type = Some(event_type.to_owned());
        let page = EntriesPage { from: None, to: None, event_type, after_version: 0, limit: 20 };
        let found = books.store.loan_entries(books.tenant, books.key(1), page).await.unwrap().unwrap();
        found.iter().map(|record| record.event.event.id).collect::<Vec<_>>()
    };
    assert_eq!(of_type("recovery").await, [acts[7].id, acts[8].id], "a payment after a charge-off is a recovery");
    assert_eq!(of_type("payment_received").await, [start[1].id]);
    assert_eq!(of_type("payment_allocated").await, [acts[2].id]);
    assert_eq!(of_type("manual_adjustment").await, [acts[1].id, acts[3].id]);
    let changes = super::changes::read_all(&books).await;
    let recoveries = changes.iter().filter(|change| change.event_type() == "recovery").map(|change| change.event_id);
    assert_eq!(recoveries.collect::<Vec<_>>(), [acts[7].id, acts[8].id], "the feed says the same");
    prove(&books.store).await;
}

pub(crate) async fn a_charge_off_is_kept_with_its_loan(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let booked = books.book(vec![books.opening(1, [5, 10, 100]), books.servicing(1, chargeoff(), None, day(2, 1))]);
    let booked = booked.await;
    let loan = books.loan(1).await.unwrap().state;
    let off = loan.charged_off.unwrap();
    assert_eq!((loan.status, off.on, off.loss), (LoanStatus::ChargedOff, day(2, 1), LossAccount::Expense));
    let memo =
        |off: hpts::core::loan::ChargedOff| [off.memo.fees, off.memo.interest, off.memo.principal].map(Minor::units);
    assert_eq!(memo(off), [5, 10, 100]);
    let recovered = books.book(vec![books.payment_on(1, 12, day(3, 1))]).await;
    assert_eq!(memo(books.loan(1).await.unwrap().state.charged_off.unwrap()), [0, 3, 100]);

    let undo = books.reversal_of(1, &booked[1], day(3, 2)).await;
    let refused = books.book(vec![undo]).await;
    assert_eq!(outcome(&books, &refused[0]).await, Outcome::Rejected(RejectionCode::NotReversible));
    let back = books.reversal_of(1, &recovered[0], day(3, 3)).await;
    let undo = books.reversal_of(1, &booked[1], day(3, 3)).await;
    books.book(vec![back, undo]).await;
    let loan = books.loan(1).await.unwrap().state;
    assert_eq!((loan.status, loan.charged_off), (LoanStatus::Open, None));
    assert_eq!(books.balances_on(1, day(12, 31)).await, [5, 10, 100, 0]);
    prove(&books.store).await;
}

pub(crate) async fn fees_are_read_by_item(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let events = vec![
        books.opening(1, [7, 0, 500]),
        books.fee_on(1, "nsf", 30, day(2, 1)),
        books.fee_on(1, "late", 20, day(1, 10)),
        books.payment_on(1, 37, day(3, 1)),
        books.servicing(1, waived("nsf"), Some(25), day(3, 2)),
    ];
    let booked = books.book(events).await;
    let items = books.store.loan_fees(books.tenant, books.key(1)).await.unwrap().unwrap();
    let seen: Vec<_> = items
        .iter()
        .map(|item| (item.event_id, [item.assessed, item.paid, item.waived, item.charged_off].map(Minor::units)))
        .collect();
    let expected = [(booked[0].id, [7, 7, 0, 0]), (booked[2].id, [20, 20, 0, 0]), (booked[1].id, [30, 5, 25, 0])];
    assert_eq!(seen, expected);
    assert_eq!(books.balances_on(1, day(12, 31)).await, [0, 0, 500, 5], "5 of the waived fee were paid");
    assert_eq!(books.store.loan_fees(books.tenant, books.key(2)).await.unwrap(), None);
    let other = Books::open(fixture.store(), 2).await;
    assert_eq!(other.store.loan_fees(other.tenant, books.key(1)).await.unwrap(), None, "another tenant's loan");
    prove(&books.store).await;
}

pub(crate) async fn a_waiver_sees_the_fees_of_its_batch(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500]), books.fee_on(1, "late", 10, day(1, 5))]).await;
    let waivers = vec![
        books.fee_on(1, "late", 20, day(1, 10)),
        books.servicing(1, waived("late"), Some(30), day(1, 11)),
        books.servicing(1, waived("late"), Some(1), day(1, 11)),
    ];
    let booked = books.book(waivers).await;
    assert_eq!(lines(&books, &booked[1]).await, named(&[("5200", 30), ("1300", -30)]));
    assert_eq!(outcome(&books, &booked[2]).await, Outcome::Rejected(RejectionCode::InsufficientBalance));
    prove(&books.store).await;
}

pub(crate) async fn a_settlement_is_known_when_it_is_repeated(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let lent = books.book(vec![books.disbursement_on(1, 500, day(1, 1))]).await;
    let settle = |date| books.servicing(1, settled(&lent[0]), None, date);
    let first = books.book(vec![settle(day(1, 2))]).await;
    let second = books.book(vec![settle(day(1, 3))]).await;
    assert_eq!(outcome(&books, &second[0]).await, Outcome::Rejected(RejectionCode::InsufficientBalance));
    let undo = books.reversal_of(1, &first[0], day(1, 4)).await;
    books.book(vec![undo]).await;
    let third = books.book(vec![settle(day(1, 5))]).await;
    assert_eq!(outcome(&books, &third[0]).await, Outcome::Posted);
    prove(&books.store).await;
}

pub(crate) async fn a_reversal_sees_the_entry_of_its_batch(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let mut wanted = books.accept(vec![books.opening(1, [0, 0, 500]), books.fee_on(1, "late", 10, day(1, 5))]).await;
    let of_fee = |fee: &Wanted| {
        let reversed = hpts::core::event::ReversedEntry {
            event: EarlierEvent { id: fee.id, seq: fee.seq },
            kind: hpts::core::event::EventKind::FeeAssessed,
            effective_date: day(1, 5),
            correlation_id: fee.id,
            reason_code: hpts::core::event::ReversalReason::Duplicate,
            reason_description: Some("twice".to_owned()),
        };
        books.servicing(1, ServicingAct::Reversal(reversed), None, day(1, 6))
    };
    wanted.extend(books.accept(vec![of_fee(&wanted[1])]).await);
    let batch = books.post(&wanted[..1]).await;
    let posted: Vec<_> = batch.posted.iter().map(|(event, posting)| (event.seq, posting.undoes_seq)).collect();
    assert_eq!(posted.last(), Some(&(wanted[2].seq, Some(wanted[1].seq))), "{posted:?}");
    assert_eq!(books.balances_on(1, day(12, 31)).await, [0, 0, 500, 0]);
    prove(&books.store).await;
}

pub(crate) async fn the_party_of_a_loan_is_known_before_it_opens(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let party = async |loan| books.store.party(books.tenant, books.key(loan)).await.unwrap();
    assert_eq!(party(1).await, None);
    let wanted = books.accept(vec![books.payment(1, 5), books.opening(1, [0, 0, 500])]).await;
    assert_eq!(party(1).await.unwrap().borrower_id, borrower(1), "the opening is accepted");
    books.post(&wanted).await;
    let Command::LoanOpening(opening) = books.opening(2, [0, 0, 500]).command else { unreachable!() };
    let program_id = Some(ProgramId(Uuid::from_u128(7)));
    let wanted = books.accept(vec![books.event(Command::LoanOpening(LoanOpening { program_id, ..opening }))]).await;
    assert_eq!(party(2).await.unwrap().program_id, program_id, "the opening is accepted");
    books.post(&wanted).await;
    assert_eq!([party(1).await, party(2).await].map(|party| party.unwrap().program_id), [None, program_id]);
    let known = party(1).await.unwrap();
    assert_eq!((known.borrower_id, known.currency.code()), (borrower(1), "USD"));
    assert_ne!(known.borrower_id, NO_BORROWER);
    let other = Books::open(fixture.store(), 2).await;
    assert_eq!(other.store.party(other.tenant, books.key(1)).await.unwrap(), None);
    prove(&books.store).await;
}

pub(crate) async fn verify_finds_what_servicing_broke(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let booked = books
        .book(vec![
            books.opening(1, [0, 0, 500]),
            books.fee_on(1, "late", 10, day(1, 5)),
            books.fee_on(1, "late", 10, day(1, 5)),
            books.servicing(1, chargeoff(), None, day(2, 1)),
        ])
        .await;
    let open = books.book(vec![books.opening(2, [0, 0, 5]), books.fee_on(2, "late", 10, day(1, 5))]).await;
    let undo = books.reversal_of(2, &open[1], day(1, 6)).await;
    let undo = books.book(vec![undo]).await;
    prove(&books.store).await;
    let checks = async || {
        let problems = books.store.verify().await.unwrap().problems;
        problems.into_iter().map(|problem| problem.check).collect::<Vec<_>>()
    };
    fixture.execute("UPDATE loans SET memo_fees = memo_fees + 1 WHERE status = 'charged_off'").await.unwrap();
    assert_eq!(checks().await, ["loan_balance"]);
    fixture.execute("UPDATE loans SET memo_fees = memo_fees - 1 WHERE status = 'charged_off'").await.unwrap();
    let relink =
        |of: &Wanted, to: &Wanted| format!("UPDATE postings SET undoes_seq = {} WHERE event_seq = {}", to.seq, of.seq);
    fixture.tamper(&relink(&undo[0], &booked[1])).await;
    assert!(checks().await.contains(&"undo_link"), "of another loan");
    fixture.tamper(&relink(&undo[0], &open[1])).await;
    prove(&books.store).await;
}
