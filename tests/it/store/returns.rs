//! Laws of payments that are taken back.

use hpts::core::event::{
    Collectibility, Command, EventKind, NewEvent, Origin, PaymentReturn, ReturnCode, ReturnTerms, ServicingAct, Stage,
};
use hpts::core::ids::{EventId, PaymentBatchId, Seq};
use hpts::core::ledger::{AccountCode, Layer, Outcome, PostedEvent, RejectionCode};
use hpts::core::loan::{LossAccount, ReturnManner, ReturnPolicy, Waterfall};
use hpts::core::money::{Currency, Minor};
use hpts::store::{EntriesPage, EventRecord, PaymentsFilter, PostWork, PostedBatch, StoreError, Undoing, Wanted};
use uuid::Uuid;

use super::{Fixture, prove};
use crate::support::books::{Books, day, work};
use crate::support::{fold, system};

/// What became of each event, in the order posted.
fn outcomes(batch: &PostedBatch) -> Vec<(Seq, Outcome)> {
    batch.posted.iter().map(|(event, posting)| (event.seq, posting.outcome)).collect()
}

fn rejected(code: RejectionCode) -> Outcome {
    Outcome::Rejected(code)
}

fn outcome(record: &EventRecord) -> Outcome {
    record.posting.as_ref().unwrap().outcome
}

fn lines(record: &EventRecord) -> Vec<(String, i64)> {
    let entry = record.posting.as_ref().unwrap().entry.as_ref().unwrap();
    entry.lines().iter().map(|line| (line.account.to_string(), line.signed.units())).collect()
}

fn named(lines: &[(&str, i64)]) -> Vec<(String, i64)> {
    lines.iter().map(|(account, units)| ((*account).to_owned(), *units)).collect()
}

fn fee_id(event: &NewEvent) -> EventId {
    let Command::PaymentReturn(returned) = &event.command else { panic!("not a return: {event:?}") };
    returned.fee_event_id(event.id).unwrap()
}

pub(crate) async fn returned_payment_is_taken_back_on_its_own_day(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let events =
        vec![books.opening(1, [30, 20, 500]), books.payment_on(1, 100, day(2, 1)), books.payment_on(1, 200, day(3, 1))];
    let paid = books.book(events).await;
    let returning = books.return_of(&paid[1], day(2, 4), 25).await;
    let fee = fee_id(&returning);

    let returned = books.book(vec![returning]).await;

    assert_eq!(books.balances_on(1, day(1, 31)).await, [30, 20, 500, 0]);
    assert_eq!(books.balances_on(1, day(2, 1)).await, [30, 20, 500, 0], "as if it had never come");
    assert_eq!(books.balances_on(1, day(2, 4)).await, [55, 20, 500, 0], "the fee counts from the return's day");
    assert_eq!(books.balances_on(1, day(12, 31)).await, [0, 0, 375, 0], "the later payment is divided anew");
    let payment = books.record(&paid[1]).await;
    let undoing = Undoing { id: returned[0].id, kind: EventKind::PaymentReturned };
    assert_eq!(payment.progress.undone_by, Some(undoing));
    let record = books.record(&returned[0]).await;
    assert_eq!(record.posting.as_ref().unwrap().undoes_seq, Some(paid[1].seq));
    assert_eq!(lines(&record), named(&[("1300", 30), ("1200", 20), ("1100", 50), ("1010", -100)]));
    let fee = books.store.event(books.tenant, fee).await.unwrap().expect("the fee has the id its cause says");
    assert_eq!((fee.stage, fee.event.event.origin.cause_seq), (Stage::Finished, Some(returned[0].seq)));
    assert_eq!(lines(&fee), named(&[("1300", 25), ("4200", -25)]));
    let totals = async |account| {
        let as_of = day(12, 31);
        let totals = books.store.account_totals(books.tenant, account, Currency::USD, Layer::Settled, as_of);
        let totals = totals.await.unwrap();
        (totals.debits, totals.credits)
    };
    assert_eq!(totals(AccountCode::PAYMENT_CLEARING).await, (300, 100));
    assert_eq!(totals(AccountCode::FEE_INCOME).await, (0, 25));
    let loan = books.loan(1).await.unwrap().state;
    assert_eq!((loan.version, loan.last_posted_seq), (6, returned[0].seq), "consequences do not move the mark");
    let later = books.record(&paid[2]).await;
    let split = later.progress.current_allocation.unwrap();
    assert_eq!([split.fees, split.interest, split.principal].map(Minor::units), [55, 20, 125]);
    assert_eq!(later.posting.unwrap().allocation.unwrap().principal.units(), 200, "the old row stays");
    let restatements = books.store.restatements(books.tenant, paid[2].seq).await.unwrap();
    let causes: Vec<_> = restatements.iter().map(|record| record.event.event.origin.cause_seq).collect();
    assert_eq!(causes, [Some(returned[0].seq)], "once for the return and its fee");
    prove(&books.store).await;
}

/// Of a loan that is charged off, in part of fees: what a charge-back puts back is owed as a loss, and so the fees read.
pub(crate) async fn fees_put_back_behind_a_charge_off_are_charged_off(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let chargeoff = ServicingAct::Chargeoff { collectibility: Collectibility::Collectible, loss: LossAccount::Expense };
    let opened = vec![books.opening(1, [0, 0, 500]), books.fee_on(1, "late", 30, day(2, 1))];
    books.book(opened).await;
    let paid = books.book(vec![books.payment_on(1, 280, day(3, 1))]).await.remove(0);
    books.book(vec![books.servicing(1, chargeoff, None, day(3, 15))]).await;
    let fees = async || {
        let items = books.store.loan_fees(books.tenant, books.key(1)).await.unwrap().unwrap();
        items.iter().map(|item| [item.paid, item.charged_off].map(Minor::units)).collect::<Vec<_>>()
    };
    assert_eq!(fees().await, [[30, 0]]);

    let order = Waterfall::from_words(["fees", "interest", "principal"]).unwrap();
    let policy = ReturnPolicy::new(ReturnManner::Chargeback(order), &[]).unwrap();
    let (code, effective_date) = (ReturnCode::parse("R01").unwrap(), day(4, 5));
    let terms = ReturnTerms { code, effective_date, amount: None, fee: None, metadata: None };
    let payment = books.record(&paid).await.event;
    let returning = PaymentReturn::by_program(&payment, terms, &policy).unwrap();
    books.book(vec![books.event(Command::PaymentReturn(returning))]).await;
    assert_eq!(fees().await, [[0, 30]]);
    prove(&books.store).await;
}

pub(crate) async fn returns_are_listed_where_they_belong(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let paid = books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 100), books.payment(1, 50)]).await;
    let returning = books.return_of(&paid[1], day(5, 4), 25).await;
    let fee = fee_id(&returning);
    let returned = books.book(vec![returning]).await;
    let list = async |status| {
        let filter = PaymentsFilter { loan: Some(books.key(1)), status, limit: 10, ..PaymentsFilter::default() };
        let found = books.store.payments(books.tenant, filter).await.unwrap().events;
        found.iter().map(|event| event.id).collect::<Vec<_>>()
    };

    assert_eq!(list(None).await, [paid[1].id, paid[2].id], "a return is no payment");
    assert_eq!(list(Some("returned")).await, [paid[1].id]);
    assert_eq!(list(Some("posted")).await, [paid[2].id]);
    assert_eq!(list(Some("reversed")).await, []);
    let entries = async |event_type: Option<&str>| {
        let event_type = event_type.map(str::to_owned);
        let page = EntriesPage { from: None, to: None, event_type, after_version: 0, limit: 10 };
        let found = books.store.loan_entries(books.tenant, books.key(1), page).await.unwrap().unwrap();
        found.iter().map(|record| record.event.event.id).collect::<Vec<_>>()
    };
    assert_eq!(entries(None).await, [paid[0].id, paid[1].id, paid[2].id, returned[0].id, fee]);
    assert_eq!(entries(Some("payment_returned")).await, [returned[0].id]);
    assert_eq!(entries(Some("fee_assessed")).await, [fee]);
    prove(&books.store).await;
}

pub(crate) async fn payment_and_return_in_one_batch_are_posted_in_order(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let mut wanted = books.accept(vec![books.opening(1, [0, 0, 500]), books.payment(1, 100)]).await;
    let twice = vec![books.return_of(&wanted[1], day(5, 4), 0).await, books.return_of(&wanted[1], day(5, 5), 25).await];
    wanted.extend(books.accept(twice).await);

    let batch = books.post(&wanted).await;

    let seq = |place: usize| wanted[place].seq;
    let expected = [
        (seq(0), Outcome::Posted),
        (seq(1), Outcome::Posted),
        (seq(2), Outcome::Posted),
        (seq(3), rejected(RejectionCode::AlreadyUndone)),
    ];
    assert_eq!(outcomes(&batch), expected);
    assert_eq!(books.balances_on(1, day(12, 31)).await, [0, 0, 500, 0]);
    prove(&books.store).await;
}

pub(crate) async fn second_return_is_an_outcome_without_effect(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let paid = books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 100)]).await;
    let first = books.book(vec![books.return_of(&paid[1], day(5, 4), 25).await]).await;

    let second = books.book(vec![books.return_of(&paid[1], day(5, 4), 25).await]).await;

    assert_eq!(outcome(&books.record(&second[0]).await), rejected(RejectionCode::AlreadyUndone));
    assert_eq!(books.record(&paid[1]).await.progress.undone_by.unwrap().id, first[0].id);
    assert_eq!(books.balances_on(1, day(12, 31)).await, [25, 0, 500, 0]);
    assert_eq!(books.store.verify().await.unwrap().events, 5, "one fee");
    prove(&books.store).await;
}

pub(crate) async fn rejected_payment_cannot_be_returned(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let early = day(1, 1).pred_opt().unwrap();
    let refused = books.book(vec![books.opening(1, [0, 0, 500]), books.payment_on(1, 100, early)]).await;
    let of_none = books.book(vec![books.payment(9, 100)]).await;

    let returned = books.book(vec![books.return_of(&refused[1], day(5, 4), 25).await]).await;
    let of_nobody = books.book(vec![books.return_of(&of_none[0], day(5, 4), 25).await]).await;

    assert_eq!(outcome(&books.record(&returned[0]).await), rejected(RejectionCode::NotReversible));
    assert_eq!(outcome(&books.record(&of_nobody[0]).await), rejected(RejectionCode::LoanNotFound));
    assert_eq!(books.balances_on(1, day(12, 31)).await, [0, 0, 500, 0]);
    prove(&books.store).await;
}

pub(crate) async fn redelivered_return_posts_once(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let paid = books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 100)]).await;
    let wanted = books.accept(vec![books.return_of(&paid[1], day(5, 4), 25).await]).await;
    let lane = |slot| {
        let (books, work) = (books.clone(), PostWork { lane_slot: slot, ..work(&wanted) });
        async move {
            loop {
                match books.store.post_batch(work.clone(), fold::plain()).await {
                    Err(error) if error.is_passing() => {}
                    done => return done.unwrap(),
                }
            }
        }
    };

    let (first, second) = tokio::join!(lane(0), lane(1));
    let third = books.post(&wanted).await;

    assert_eq!((first.posted.len() + second.posted.len(), first.already.len() + second.already.len()), (1, 1));
    assert_eq!((third.posted.len(), third.already.len()), (0, 1));
    assert_eq!(books.balances_on(1, day(12, 31)).await, [25, 0, 500, 0]);
    assert_eq!(books.store.verify().await.unwrap().events, 4);
    prove(&books.store).await;
}

/// The payment was numbered first and is not posted, though a later event of its loan is: whoever brings the return
/// posts the payment in front of it.
pub(crate) async fn return_takes_its_late_payment_along(fixture: &impl Fixture) {
    for per_loan_max in [1000, 1] {
        let loan = u128::try_from(per_loan_max).unwrap();
        let books = Books::open(fixture.store(), loan).await;
        books.book(vec![books.opening(loan, [0, 0, 500])]).await;
        let wanted = books.accept(vec![books.payment(loan, 100), books.payment(loan, 50)]).await;
        let second = wanted[1].seq;
        books.post_with(&wanted[1..], fold::only(move |event| event.seq == second)).await;
        let returning = books.accept(vec![books.return_of(&wanted[0], day(5, 4), 0).await]).await;
        let alone = PostWork { per_loan_max, ..work(&returning) };

        let batch = books.store.post_batch(alone, fold::plain()).await.unwrap();

        let (first, last) = ((wanted[0].seq, Outcome::Posted), (returning[0].seq, Outcome::Posted));
        if per_loan_max == 1 {
            assert_eq!((outcomes(&batch), batch.left), (vec![first], vec![returning[0].id]));
            assert_eq!(outcomes(&books.post(&returning).await), [last]);
        } else {
            assert_eq!(outcomes(&batch), [first, last]);
        }
        assert_eq!(books.balances_on(loan, day(12, 31)).await, [0, 0, 450, 0]);
        assert_eq!(books.post(&wanted).await.already.len(), 2);
        prove(&books.store).await;
    }
}

pub(crate) async fn restated_payment_is_returned_as_it_stands(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![books.opening(1, [0, 0, 500])]).await;
    let paid = books.accept(vec![books.payment(1, 100)]).await;
    books.post_with(&paid, system::resplitting(10)).await;
    assert_eq!(books.balances_on(1, day(12, 31)).await, [0, 0, 410, 10]);

    let returned = books.book(vec![books.return_of(&paid[0], day(5, 4), 0).await]).await;

    assert_eq!(lines(&books.record(&returned[0]).await), named(&[("1100", 90), ("2100", 10), ("1010", -100)]));
    assert_eq!(books.balances_on(1, day(12, 31)).await, [0, 0, 500, 0]);
    prove(&books.store).await;
}

pub(crate) async fn backdated_payment_sees_the_return(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let paid = books.book(vec![books.opening(1, [500, 0, 1000]), books.payment_on(1, 600, day(4, 1))]).await;
    let returning = books.return_of(&paid[1], day(4, 5), 25).await;
    let mut wanted = books.accept(vec![returning, books.payment_on(1, 510, day(3, 1))]).await;
    assert_eq!(books.post(&wanted).await.posted.len(), 2);
    wanted.extend(books.book(vec![books.payment_on(1, 40, day(3, 2))]).await);
    let split = async |wanted: &Wanted| {
        let split = books.record(wanted).await.posting.unwrap().allocation.unwrap();
        [split.fees, split.interest, split.principal, split.suspense].map(Minor::units)
    };

    assert_eq!(split(&wanted[1]).await, [500, 0, 10, 0], "the fee was not paid by what was returned");
    assert_eq!(split(&wanted[2]).await, [0, 0, 40, 0], "the return's fee is of a later day");
    assert_eq!(books.balances_on(1, day(4, 4)).await, [0, 0, 950, 0]);
    assert_eq!(books.balances_on(1, day(4, 5)).await, [25, 0, 950, 0]);
    prove(&books.store).await;
}

/// Return entries of a file come in chunks, as rows of their upload.
pub(crate) async fn returns_are_accepted_in_bulk(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let upload = PaymentBatchId(Uuid::from_u128(99));
    let openings = (1..=20).map(|loan| books.opening(loan, [0, 0, 500])).collect();
    books.book(openings).await;
    let paid = books.book((1..=20).map(|loan| books.payment(loan, 100)).collect()).await;
    let mut rows = Vec::new();
    for (payment, row) in paid.iter().zip(1..) {
        let event = books.return_of(payment, day(5, 4), if row % 2 == 0 { 25 } else { 0 }).await;
        rows.push(NewEvent { origin: Origin { batch: Some((upload, row)), ..Origin::default() }, ..event });
    }
    rows.push(NewEvent {
        origin: Origin { batch: Some((upload, 21)), ..Origin::default() },
        ..books.return_of(&paid[0], day(5, 4), 0).await
    });

    let wanted = books.accept(rows).await;
    let batch = books.post(&wanted).await;

    assert_eq!(batch.posted.iter().filter(|(_, posting)| posting.outcome == Outcome::Posted).count(), 20);
    for (outcome, count) in [("posted", 20), ("rejected", 1)] {
        let amount = count * 100;
        let row = format!("batch_totals WHERE outcome = '{outcome}' AND count = {count} AND amount = '{amount}'");
        assert_eq!(fixture.count(&row).await, 1, "the fees are no rows of the upload: {row}");
    }
    assert_eq!(fixture.count("events WHERE kind = 'fee_assessed' AND batch_id IS NULL").await, 10);
    prove(&books.store).await;
}

pub(crate) async fn second_undo_is_refused(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let paid = books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 100)]).await;
    let target = paid[1].seq;
    books.book(vec![books.return_of(&paid[1], day(5, 4), 0).await]).await;

    // The fold knows better; the database must, too.
    let again = books.accept(vec![books.payment(1, 10)]).await;
    let undo = move |_: &_, posted: &mut PostedEvent| posted.posting.undoes_seq = Some(target);
    let refused = books.try_post(&again, fold::changing(undo)).await;

    assert!(matches!(refused, Err(StoreError::Data { .. })), "{refused:?}");
    assert_eq!(books.record(&again[0]).await.stage, Stage::Accepted);
    assert_eq!(books.loan(1).await.unwrap().state.version, 3);
    prove(&books.store).await;
}

/// Each link in turn is broken and mended; `verify` names its check.
pub(crate) async fn verify_finds_broken_links(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let paid = books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 100), books.payment(1, 50)]).await;
    let other = books.book(vec![books.opening(2, [0, 0, 500]), books.payment(2, 100)]).await;
    let returned = books.book(vec![books.return_of(&paid[1], day(5, 4), 25).await]).await[0].seq;
    prove(&books.store).await;
    let checks = async || {
        let problems = books.store.verify().await.unwrap().problems;
        problems.into_iter().map(|problem| problem.check).collect::<Vec<_>>()
    };
    let fee = "kind = 'fee_assessed'";
    let details = format!(
        "UPDATE events SET details = replace(details, '\"fee_minor\":FROM', '\"fee_minor\":TO') WHERE seq = {returned}"
    );
    let links = |to: &str| format!("UPDATE postings SET undoes_seq = {to} WHERE event_seq = {returned}");
    let cause = |to: Seq| format!("UPDATE events SET cause_seq = {to} WHERE {fee}");
    let amount = |from: &str, to: &str| details.replace("FROM", from).replace("TO", to);
    let mend = links(&paid[1].seq.to_string());
    for (check, broken, mended) in [
        ("undo_link", links("NULL"), mend.clone()),
        ("undo_link", links(&paid[0].seq.to_string()), mend.clone()),
        ("undo_link", links(&paid[2].seq.to_string()), mend.clone()),
        ("undo_link", links(&other[1].seq.to_string()), mend.clone()),
        ("undo_link", links("987654"), mend),
        ("system_event", cause(other[1].seq), cause(returned)),
        ("system_event", cause(Seq(987_654)), cause(returned)),
        ("system_event", amount("25", "26"), amount("26", "25")),
        (
            "system_event",
            format!("UPDATE events SET slot = 7 WHERE {fee}"),
            format!("UPDATE events SET slot = NULL WHERE {fee}"),
        ),
    ] {
        fixture.tamper(&broken).await;
        let found = checks().await;
        assert!(found.contains(&check), "{broken}: {found:?}");
        fixture.tamper(&mended).await;
        prove(&books.store).await;
    }
}

/// Another tenant's payment is no payment at all.
pub(crate) async fn another_tenant_reads_no_return(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let thief = Books::open(fixture.store(), 2).await.tenant;
    let paid = books.book(vec![books.opening(1, [0, 0, 500]), books.payment(1, 100)]).await;
    let returning = books.return_of(&paid[1], day(5, 4), 25).await;
    let fee = fee_id(&returning);
    let returned = books.book(vec![returning]).await;
    for id in [returned[0].id, fee] {
        assert_eq!(books.store.event(thief, id).await.unwrap(), None);
        let record = books.store.event(books.tenant, id).await.unwrap().unwrap();
        assert!(!PaymentReturn::is_of(&record.event));
    }
}
