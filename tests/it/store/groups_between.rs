//! Laws of groups that move money or debt from one loan to another, and of their undo.

use chrono::NaiveDate;
use hpts::core::event::{
    AdjustmentLine, Command, EarlierEvent, EventKind, GroupOperation, LegRequest, LegTerms, LoanNumber, Move,
    MovedBucket, NewGroup, NewLoanTerms, ProgramDefaults, Rearrangement, Receipt, ReversalReason, ReversedEntry,
    ServicingAct, SourceMethod,
};
use hpts::core::ids::LoanKey;
use hpts::core::ledger::{AccountCode, Layer, Outcome, RejectionCode};
use hpts::core::loan::SuspenseRelease;
use hpts::core::money::{Currency, Minor};
use hpts::store::Wanted;

use super::periods::{close, debits};
use super::{Fixture, prove};
use crate::support::books::{Books, borrower, day, loan_id, next_id, usd};
use crate::support::groups::{Accepted, work_off};

fn leg(loan: u128, owner: u128, effective_date: NaiveDate, terms: LegTerms) -> LegRequest {
    LegRequest { loan_id: loan_id(loan), borrower_id: Some(borrower(owner)), effective_date, terms }
}

fn group(books: &Books, operation: GroupOperation, date: NaiveDate, legs: &[LegRequest]) -> NewGroup {
    let id = next_id();
    books.group(&format!("key:{id}"), id, (operation, date), legs)
}

/// Posts a group; answers how its parent ended.
pub(super) async fn run(books: &Books, group: NewGroup) -> (Accepted, Outcome) {
    let accepted = books.accept_group(group).await;
    work_off(&books.store, &[accepted.first_leg]).await;
    let parent = books.store.event(books.tenant, accepted.id).await.unwrap().unwrap();
    (accepted, parent.posting.expect("the group is finished").outcome)
}

fn refused(code: RejectionCode) -> Outcome {
    Outcome::Rejected(code)
}

fn transfer(books: &Books, amount: Option<i64>) -> NewGroup {
    let out = LegTerms::SuspenseOut { amount: amount.map(Minor::new) };
    let legs = [leg(1, 1, day(5, 2), out), leg(2, 1, day(5, 2), LegTerms::SuspenseIn)];
    group(books, GroupOperation::SuspenseTransfer, day(5, 2), &legs)
}

/// Loan `n` of borrower 1, with fees, interest and principal.
fn opening(books: &Books, loan: u128, owed: [i64; 3]) -> hpts::core::event::NewEvent {
    let mut event = books.opening(loan, owed);
    let Command::LoanOpening(opening) = &mut event.command else { panic!("not an opening") };
    opening.borrower_id = borrower(1);
    books.event(event.command)
}

/// The undo of a group, leg by leg.
pub(super) async fn reversal(books: &Books, undone: Accepted, kind: EventKind, date: NaiveDate) -> NewGroup {
    let legs = books.store.legs(books.tenant, undone.seq).await.unwrap();
    let requests: Vec<LegRequest> = legs
        .iter()
        .map(|record| {
            let Command::Leg(leg) = &record.event.event.command else { panic!("not a leg") };
            let posting = record.posting.as_ref().unwrap();
            let earlier = EarlierEvent { id: record.event.event.id, seq: record.event.seq };
            LegRequest {
                loan_id: leg.loan_id,
                borrower_id: leg.borrower(),
                effective_date: posting.effective_date,
                terms: LegTerms::Reversal { leg: earlier, restates: posting.restates_seq },
            }
        })
        .collect();
    let operation = GroupOperation::Reversal(ReversedEntry {
        event: EarlierEvent { id: undone.id, seq: undone.seq },
        kind,
        effective_date: date,
        correlation_id: undone.id,
        reason_code: ReversalReason::ErrorCorrection,
        reason_description: None,
    });
    group(books, operation, date, &requests)
}

async fn balances(books: &Books, loan: u128) -> [i64; 4] {
    books.balances_on(loan, day(12, 31)).await
}

async fn clearing(books: &Books) -> (i128, i128) {
    let account = AccountCode::LOAN_TRANSFER_CLEARING;
    let totals = books.store.account_totals(books.tenant, account, Currency::USD, Layer::Settled, day(12, 31));
    let totals = totals.await.unwrap();
    (totals.debits, totals.credits)
}

pub(crate) async fn suspense_goes_to_another_loan_of_the_borrower(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![opening(&books, 1, [0, 0, 100]), opening(&books, 2, [0, 0, 700])]).await;
    let mut paid = books.payment_on(1, 160, day(5, 1));
    let Command::Payment(payment) = &mut paid.command else { panic!("not a payment") };
    payment.borrower_id = borrower(1);
    books.book(vec![books.event(paid.command)]).await;
    assert_eq!(balances(&books, 1).await, [0, 0, 0, 60]);

    assert_eq!(run(&books, transfer(&books, Some(61))).await.1, refused(RejectionCode::InsufficientBalance));
    assert_eq!(run(&books, transfer(&books, Some(20))).await.1, Outcome::Done);
    let (rest, outcome) = run(&books, transfer(&books, None)).await;

    assert_eq!(outcome, Outcome::Done);
    let parent = books.store.event(books.tenant, rest.id).await.unwrap().unwrap().posting.unwrap();
    assert_eq!(parent.allocation.unwrap().suspense, Minor::new(40), "all that was left");
    assert_eq!((balances(&books, 1).await, balances(&books, 2).await), ([0, 0, 0, 0], [0, 0, 700, 60]));
    assert_eq!(run(&books, transfer(&books, None)).await.1, refused(RejectionCode::InsufficientBalance));
    assert_eq!(clearing(&books).await, (60, 60), "nothing is left between loans");
    let (back, outcome) = run(&books, reversal(&books, rest, EventKind::SuspenseTransferred, day(5, 3)).await).await;
    assert_eq!(outcome, Outcome::Done);
    assert_eq!((balances(&books, 1).await, balances(&books, 2).await), ([0, 0, 0, 40], [0, 0, 700, 20]));
    let twice = reversal(&books, rest, EventKind::SuspenseTransferred, day(5, 3)).await;
    assert_eq!(run(&books, twice).await.1, refused(RejectionCode::AlreadyUndone), "after {back:?}");
    prove(&books.store).await;
}

pub(crate) async fn accrued_interest_is_paid_out_of_suspense(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let releasing = |mut opening: hpts::core::event::NewEvent| {
        let Command::LoanOpening(terms) = &mut opening.command else { panic!("not an opening") };
        let suspense_release = SuspenseRelease::Automatic;
        terms.program_defaults = Some(ProgramDefaults { suspense_release, ..ProgramDefaults::default() });
        books.event(opening.command)
    };
    books.book(vec![releasing(books.opening(1, [0, 0, 100])), books.opening(2, [0, 0, 100])]).await;
    books.book(vec![books.payment_on(1, 130, day(5, 1)), books.payment_on(2, 130, day(5, 1))]).await;

    let (_, outcome) = run(&books, books.accrual(day(5, 2), &[(1, 0, 12), (2, 0, 12)])).await;

    assert_eq!(outcome, Outcome::Done);
    assert_eq!((balances(&books, 1).await, balances(&books, 2).await), ([0, 0, 0, 18], [0, 12, 0, 30]));
    assert_eq!(books.balances_on(1, day(5, 1)).await, [0, 0, 0, 30], "on the day the interest arose");
    prove(&books.store).await;
}

pub(crate) async fn a_group_keeps_out_of_closed_periods(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 100]), books.opening(2, [0, 0, 100])]).await;
    close(&books, "2026-04").await;

    let (_, outcome) = run(&books, books.accrual(day(4, 30), &[(1, 100, 5), (2, 100, 6)])).await;

    assert_eq!(outcome, Outcome::Done);
    assert_eq!(debits(&books, AccountCode::INTEREST_RECEIVABLE, day(4, 30)).await, 0);
    assert_eq!(debits(&books, AccountCode::INTEREST_RECEIVABLE, day(5, 1)).await, 11, "the first open day");
    assert_eq!(books.balances_on(2, day(4, 30)).await, [0, 6, 100, 0]);
    prove(&books.store).await;
}

pub(crate) async fn suspense_stays_with_its_borrower(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 10]), books.opening(2, [0, 0, 700]), books.payment(1, 30)]).await;
    let out = LegTerms::SuspenseOut { amount: None };
    let legs = [leg(1, 1, day(5, 2), out), leg(2, 2, day(5, 2), LegTerms::SuspenseIn)];

    let outcome = run(&books, group(&books, GroupOperation::SuspenseTransfer, day(5, 2), &legs)).await.1;

    assert_eq!(outcome, refused(RejectionCode::BorrowerMismatch));
    assert_eq!((balances(&books, 1).await, balances(&books, 2).await), ([0, 0, 0, 20], [0, 0, 700, 0]));
    prove(&books.store).await;
}

/// A receipt of 150 on a day, without a loan.
async fn receipt(books: &Books, date: NaiveDate) -> Wanted {
    let receipts = Receipt::loan_of(books.tenant, "bank", Currency::USD);
    let command = Command::Receipt(Receipt {
        loan_id: receipts,
        amount: usd(150),
        effective_date: date,
        source_method: SourceMethod::Ach,
        external_ref: None,
        metadata: None,
    });
    books.book(vec![books.event(command)]).await[0]
}

fn assignment(books: &Books, receipt: &Wanted, date: NaiveDate) -> NewGroup {
    let receipts = Receipt::loan_of(books.tenant, "bank", Currency::USD);
    assert_eq!(LoanKey::of_loan(books.tenant, receipts), receipt.loan_key);
    let earlier = EarlierEvent { id: receipt.id, seq: receipt.seq };
    let (amount, effective_date) = (Minor::new(150), date);
    let out = LegTerms::ReceiptOut { receipt: earlier, amount };
    let legs = [
        LegRequest { loan_id: receipts, borrower_id: None, effective_date, terms: out },
        leg(1, 1, date, LegTerms::ReceiptIn { amount }),
    ];
    group(books, GroupOperation::ReceiptAssignment { receipt_id: receipt.id }, date, &legs)
}

pub(crate) async fn a_receipt_is_assigned_once_and_counts_from_its_day(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [30, 20, 500])]).await;
    let (late, early) = (receipt(&books, day(5, 2)).await, receipt(&books, day(3, 1)).await);

    let (first, outcome) = run(&books, assignment(&books, &late, day(5, 2))).await;

    assert_eq!(outcome, Outcome::Done);
    assert_eq!(balances(&books, 1).await, [0, 0, 400, 0]);
    assert_eq!(books.balances_on(1, day(5, 1)).await, [30, 20, 500, 0]);
    let split = books.record(&late).await.progress.current_allocation.unwrap();
    assert_eq!([split.fees, split.interest, split.principal].map(Minor::units), [30, 20, 100]);
    let again = run(&books, assignment(&books, &late, day(5, 2))).await.1;
    assert_eq!(again, refused(RejectionCode::AlreadyUndone));
    assert_eq!(run(&books, assignment(&books, &early, day(3, 1))).await.1, Outcome::Done, "an older receipt");
    assert_eq!(balances(&books, 1).await, [0, 0, 250, 0]);
    let undo = reversal(&books, first, EventKind::ReceiptAssigned, day(5, 4)).await;
    assert_eq!(run(&books, undo).await.1, Outcome::Done);
    assert_eq!(balances(&books, 1).await, [0, 0, 400, 0], "the older receipt has paid the fees all along");
    assert_eq!(books.record(&late).await.progress.current_allocation, None, "without a loan again");
    assert_eq!(run(&books, assignment(&books, &late, day(5, 2))).await.1, Outcome::Done, "it may find another");
    let unidentified = books.store.account_totals(
        books.tenant,
        AccountCode::UNIDENTIFIED_RECEIPTS,
        Currency::USD,
        Layer::Settled,
        day(12, 31),
    );
    let unidentified = unidentified.await.unwrap();
    assert_eq!(unidentified.debits, unidentified.credits, "nothing waits for its loan");
    prove(&books.store).await;
}

fn moved(from: MovedBucket, to: MovedBucket, amount: i64) -> Move {
    Move { from, to, amount_minor: Minor::new(amount) }
}

fn rearrangement(
    books: &Books,
    sort: Rearrangement,
    moves: &[Move],
    to: Option<(u128, Option<NewLoanTerms>)>,
) -> NewGroup {
    let mut legs = vec![leg(1, 1, day(5, 2), LegTerms::MovedOut { sort })];
    legs.extend(to.map(|(loan, new_loan)| leg(loan, 1, day(5, 2), LegTerms::MovedIn { sort, new_loan })));
    group(books, GroupOperation::Rearrangement { sort, moves: moves.to_vec() }, day(5, 2), &legs)
}

pub(crate) async fn a_refinance_moves_all_that_is_owed_and_opens_the_loan(fixture: &impl Fixture) {
    use MovedBucket::{Fees, Interest, Principal};
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [30, 20, 500])]).await;
    let all = [moved(Principal, Principal, 500), moved(Interest, Principal, 20), moved(Fees, Fees, 30)];
    let terms = NewLoanTerms { loan_number: LoanNumber::parse("0042").ok(), ..NewLoanTerms::default() };
    let refinance =
        |moves: &[Move], new_loan| rearrangement(&books, Rearrangement::Refinance, moves, Some((7, new_loan)));

    let part = run(&books, refinance(&all[..2], Some(terms.clone()))).await.1;
    assert_eq!(part, refused(RejectionCode::PrincipalMismatch), "fees stay owed");
    assert!(books.loan(7).await.is_none(), "a refused group opens nothing");
    let missing = run(&books, refinance(&all, None)).await.1;
    assert_eq!(missing, refused(RejectionCode::LoanNotFound));
    let accepted = books.accept_group(refinance(&all, Some(terms.clone()))).await;
    let mut payment = books.payment_on(7, 40, day(5, 3));
    let Command::Payment(paid) = &mut payment.command else { panic!("not a payment") };
    paid.borrower_id = borrower(1);
    // A payment of the new loan, queued before the loan exists, brings the group with it.
    let behind = books.accept(vec![books.event(payment.command)]).await;
    let finished = work_off(&books.store, &behind).await;

    assert_eq!(finished.len(), 4, "{finished:?}");
    assert_eq!(finished[2].0.seq, accepted.seq);
    assert_eq!((balances(&books, 1).await, balances(&books, 7).await), ([0, 0, 0, 0], [0, 0, 510, 0]));
    let opened = books.loan(7).await.unwrap();
    assert_eq!((opened.loan_number.as_deref(), opened.state.opened_on), (Some("0042"), day(5, 2)));
    let exists = run(&books, refinance(&[moved(Principal, Principal, 1)], Some(terms))).await.1;
    assert_eq!(exists, refused(RejectionCode::PrincipalMismatch), "the old loan owes nothing any more");
    prove(&books.store).await;
}

pub(crate) async fn a_restructure_sets_up_anew_what_is_owed(fixture: &impl Fixture) {
    use MovedBucket::{Fees, Interest, Principal};
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![opening(&books, 1, [30, 20, 500]), opening(&books, 2, [0, 0, 100])]).await;
    let capitalised = [moved(Interest, Principal, 20), moved(Fees, Principal, 10)];
    let sort = Rearrangement::Restructure;

    let (within, outcome) = run(&books, rearrangement(&books, sort, &capitalised, None)).await;
    assert_eq!((outcome, balances(&books, 1).await), (Outcome::Done, [20, 0, 530, 0]));
    let parts = [moved(Principal, Principal, 30), moved(Fees, Fees, 20)];
    let outcome = run(&books, rearrangement(&books, sort, &parts, Some((2, None)))).await.1;
    assert_eq!(outcome, Outcome::Done);
    assert_eq!((balances(&books, 1).await, balances(&books, 2).await), ([0, 0, 500, 0], [20, 0, 130, 0]));
    let outcome = run(&books, rearrangement(&books, sort, &[moved(Fees, Fees, 1)], Some((2, None)))).await.1;
    assert_eq!(outcome, refused(RejectionCode::InsufficientBalance));
    let undo = run(&books, reversal(&books, within, EventKind::Restructure, day(5, 3)).await).await.1;
    assert_eq!((undo, balances(&books, 1).await), (Outcome::Done, [10, 20, 470, 0]));
    prove(&books.store).await;
}

/// Fees that a group has brought and a hand has forgiven are not taken away from under that.
pub(crate) async fn a_restructure_stays_until_its_fees_are_not_forgiven(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![opening(&books, 1, [20, 0, 500]), opening(&books, 2, [0, 0, 100])]).await;
    let fees = [moved(MovedBucket::Fees, MovedBucket::Fees, 20)];
    let moving = rearrangement(&books, Rearrangement::Restructure, &fees, Some((2, None)));
    let (group, outcome) = run(&books, moving).await;
    assert_eq!((outcome, balances(&books, 2).await), (Outcome::Done, [20, 0, 100, 0]));
    let of_one = |event: hpts::core::event::NewEvent| {
        let Command::Servicing(mut servicing) = event.command else { panic!("not an act") };
        servicing.party.borrower_id = borrower(1);
        books.event(Command::Servicing(servicing))
    };
    let line = |account_code, units| AdjustmentLine { account_code, signed_minor: Minor::new(units) };
    let lines = vec![line(AccountCode::FEES_RECEIVABLE, -20), line(AccountCode::FEE_WAIVER_EXPENSE, 20)];
    let forgiving = ServicingAct::ManualAdjustment { lines, reason_description: "goodwill".to_owned() };
    let by_hand = books.book(vec![of_one(books.servicing(2, forgiving, None, day(5, 3)))]).await;
    assert_eq!(balances(&books, 2).await, [0, 0, 100, 0]);

    let undo = async || run(&books, reversal(&books, group, EventKind::Restructure, day(5, 4)).await).await.1;
    assert_eq!(undo().await, refused(RejectionCode::NotReversible));
    let give_up = books.reversal_of(2, &by_hand[0], day(5, 4)).await;
    books.book(vec![of_one(give_up)]).await;
    assert_eq!(undo().await, Outcome::Done);
    assert_eq!((balances(&books, 1).await, balances(&books, 2).await), ([20, 0, 500, 0], [0, 0, 100, 0]));
    prove(&books.store).await;
}

pub(crate) async fn an_accrual_is_taken_back_on_all_its_loans_or_none(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500]), books.opening(2, [0, 0, 700])]).await;
    let accrual = || books.accrual(day(1, 31), &[(1, 500, 5), (2, 700, 7)]);
    let (first, second) = (run(&books, accrual()).await.0, run(&books, accrual()).await.0);

    let undo = run(&books, reversal(&books, first, EventKind::Accrual, day(2, 1)).await).await.1;
    assert_eq!(
        (undo, balances(&books, 1).await, balances(&books, 2).await),
        (Outcome::Done, [0, 5, 500, 0], [0, 7, 700, 0])
    );
    // Interest that was paid: the payment pays principal then.
    books.book(vec![books.payment(2, 7)]).await;
    let undo = run(&books, reversal(&books, second, EventKind::Accrual, day(2, 1)).await).await.1;
    assert_eq!(undo, Outcome::Done);
    assert_eq!((balances(&books, 1).await, balances(&books, 2).await), ([0, 0, 500, 0], [0, 0, 693, 0]));
    let again = run(&books, reversal(&books, second, EventKind::Accrual, day(2, 1)).await).await.1;
    assert_eq!(again, refused(RejectionCode::AlreadyUndone));
    prove(&books.store).await;
}
