//! Laws of computed interest: each day once, by the principal at its end.
//!
//! The program of these laws bears 7.3 % over 365 days: 0.02 % a day, so that 10,000.00 bear 2.00.

use std::collections::BTreeSet;

use chrono::{Days, NaiveDate};
use hpts::core::event::{Collectibility, Command, EventKind, NewEvent, ServicingAct};
use hpts::core::ids::ProgramId;
use hpts::core::ledger::{LegAhead, Outcome, RejectionCode, look_ahead_group};
use hpts::core::loan::{InterestRule, InterestTerms, LossAccount, RoundingMode};
use hpts::store::{GroupProgress, LoanAhead, imagined};
use uuid::Uuid;

use super::groups_between::{reversal, run};
use super::{Fixture, prove};
use crate::support::books::{Books, day};
use crate::support::groups::Accepted;

const PROGRAM: ProgramId = ProgramId(Uuid::from_u128(7));

fn rule() -> InterestRule {
    InterestRule { rate: "7.3".parse().unwrap(), terms: InterestTerms::default() }
}

/// A loan of 1 January of a program.
fn of_program(books: &Books, loan: u128, principal: i64, program: ProgramId) -> NewEvent {
    let mut event = books.opening(loan, [0, 0, principal]);
    let Command::LoanOpening(opening) = &mut event.command else { panic!("not an opening") };
    opening.program_id = Some(program);
    books.event(event.command)
}

/// Accrues a loan on a day; answers the group, and its interest or why it was refused.
async fn accrue(books: &Books, date: NaiveDate, loan: (u128, i64)) -> (Accepted, Result<i64, Outcome>) {
    let (accepted, outcome) = run(books, books.accrual_by_rule(date, (PROGRAM, rule()), &[loan])).await;
    let parent = books.store.event(books.tenant, accepted.id).await.unwrap().unwrap().posting.unwrap();
    let interest = parent.allocation.map(|moved| moved.interest.units());
    (accepted, interest.filter(|_| outcome == Outcome::Done).ok_or(outcome))
}

async fn interest(books: &Books, loan: u128) -> i64 {
    books.loan(loan).await.unwrap().state.balances.interest.units()
}

/// 10,012.34 bear 200.2468 cents a day: 2002.468 in the 10 days up to 10 January. From 11 January on, with 5,000.00 more,
/// 300.2468 cents a day: 6305.1828 in 21 days. Together 8307.6508, which is 83.08.
pub(crate) async fn interest_adds_up_however_its_days_are_cut(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let drawn = |loan| books.disbursement_on(loan, 500_000, day(1, 11));
    let opened = (1..=3).map(|loan| of_program(&books, loan, 1_001_234, PROGRAM));
    books.book(opened.chain((1..=3).map(drawn)).collect()).await;
    let principal_on = |date: NaiveDate| if date < day(1, 11) { 1_001_234 } else { 1_501_234 };
    let daily: Vec<NaiveDate> = (1..=31).map(|number| day(1, number)).collect();
    let weekly = [7, 14, 21, 28, 31].map(|number| day(1, number)).to_vec();
    let mut booked = Vec::new();

    for (loan, dates) in [(1, daily), (2, weekly), (3, vec![day(1, 31)])] {
        for date in dates {
            booked.push((loan, accrue(&books, date, (loan, principal_on(date))).await.1.unwrap()));
        }
    }

    for loan in 1..=3 {
        assert_eq!(booked.iter().filter(|(of, _)| *of == loan).map(|(_, interest)| interest).sum::<i64>(), 8_308);
        assert_eq!(interest(&books, loan).await, 8_308);
    }
    assert_eq!(booked[..3], [(1, 200), (1, 200), (1, 201)], "200.2468, 400.4936, 600.7404");
    assert_eq!(accrue(&books, day(1, 31), (3, 1_501_234)).await.1, Ok(0), "every day once");
    // One of an earlier day takes its days from that of 31 January: 2002.468 and 10 of 300.2468 are 5004.936.
    assert_eq!(accrue(&books, day(1, 20), (3, 1_501_234)).await.1, Ok(5_005));
    assert_eq!((books.balances_on(3, day(1, 20)).await[1], interest(&books, 3).await), (5_005, 8_308));
    prove(&books.store).await;
}

/// A mark spares reading a loan's past. What it does not know of makes it void: here money that was lent earlier, which
/// mends what is booked, from the mark in front of it on.
pub(crate) async fn a_mark_is_left_where_something_came_late(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![of_program(&books, 1, 1_000_000, PROGRAM)]).await;
    assert_eq!(accrue(&books, day(1, 10), (1, 1_000_000)).await.1, Ok(2_000), "10 days of 2.00");
    assert_eq!(accrue(&books, day(1, 20), (1, 1_000_000)).await.1, Ok(2_000));
    assert_eq!(fixture.count("loan_accruals").await, 2);
    // In order: 1,020.00 on 21 January pay 40.00 of interest and 980.00 of principal.
    books.book(vec![books.payment_on(1, 102_000, day(1, 21))]).await;
    assert_eq!(accrue(&books, day(1, 30), (1, 902_000)).await.1, Ok(1_804), "10 days of 1.804");
    // Late: 980.00 were lent on 11 January, of which the days from then on bear 0.196 a day: 20 January 1.96 more, of
    // which the payment pays 1.96 instead of principal. So 10,001.96 bear 2.000392 a day to 30 January: 20.00392, in all
    // 61.96392, after 20.00 and 21.96.
    books.book(vec![books.disbursement_on(1, 98_000, day(1, 11))]).await;
    assert_eq!(books.balances_on(1, day(1, 20)).await, [0, 4_196, 1_098_000, 0]);
    assert_eq!(books.balances_on(1, day(1, 30)).await, [0, 2_000, 1_000_196, 0]);
    // 10 days more are 20.00392: in all 81.96784, after 61.96.
    assert_eq!(accrue(&books, day(2, 9), (1, 1_000_196)).await.1, Ok(2_001));
    assert_eq!(fixture.count("loan_accruals").await, 4);
    // In order again, from the last mark: 101.97176 in all.
    assert_eq!(accrue(&books, day(2, 19), (1, 1_000_196)).await.1, Ok(2_000));
    let changed = fixture.execute("UPDATE loan_accruals SET carried = 1").await;
    assert!(changed.as_ref().is_err_and(|refusal| refusal.contains("insert-only")), "{changed:?}");
    prove(&books.store).await;
}

pub(crate) async fn days_of_an_accrual_taken_back_are_caught_up_with(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![of_program(&books, 1, 1_000_000, PROGRAM)]).await;
    let (january, booked) = accrue(&books, day(1, 31), (1, 1_000_000)).await;
    assert_eq!(booked, Ok(6_200), "31 days of 2.00");
    assert_eq!(accrue(&books, day(2, 28), (1, 1_000_000)).await.1, Ok(5_600), "28 days of 2.00");

    let undone = run(&books, reversal(&books, january, EventKind::Accrual, day(1, 31)).await).await.1;

    assert_eq!((undone, interest(&books, 1).await), (Outcome::Done, 11_800), "that of February has January's days");
    assert_eq!(books.balances_on(1, day(2, 27)).await, [0, 0, 1_000_000, 0]);
    assert_eq!(accrue(&books, day(1, 15), (1, 1_000_000)).await.1, Ok(3_000), "15 of the days");
    assert_eq!(books.balances_on(1, day(2, 28)).await, [0, 11_800, 1_000_000, 0], "the other 44 are February's");
    assert_eq!(accrue(&books, day(3, 1), (1, 1_000_000)).await.1, Ok(200));
    assert_eq!(interest(&books, 1).await, 12_000, "60 days of 2.00");
    prove(&books.store).await;
}

/// Three accruals of ten days have 20.00 each. 5,010.00 that count from 16 January pay 20.00 and 4,990.00: 5,010.00 bear
/// 1.002 a day. To 20 January that makes 15.01, to 30 January 10.02. When they go back, all is as before.
pub(crate) async fn a_late_payment_mends_the_interest_behind_it(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![of_program(&books, 1, 1_000_000, PROGRAM)]).await;
    let mut accruals = Vec::new();
    for date in [day(1, 10), day(1, 20), day(1, 30)] {
        let (accrued, booked) = accrue(&books, date, (1, 1_000_000)).await;
        assert_eq!(booked, Ok(2_000));
        accruals.push(accrued.first_leg.seq);
    }

    let late = books.book(vec![books.payment_on(1, 501_000, day(1, 16))]).await;

    assert_eq!(books.balances_on(1, day(1, 15)).await, [0, 2_000, 1_000_000, 0]);
    assert_eq!(books.balances_on(1, day(1, 20)).await, [0, 1_501, 501_000, 0]);
    assert_eq!(books.balances_on(1, day(1, 30)).await, [0, 2_503, 501_000, 0]);
    let mut restated = Vec::new();
    for seq in &accruals {
        restated.extend(books.store.restatements(books.tenant, *seq).await.unwrap());
    }
    let [second, third] = &restated[..] else { panic!("{restated:?}") };
    for (restated, date) in [(second, day(1, 20)), (third, day(1, 30))] {
        let posting = restated.posting.as_ref().unwrap();
        assert_eq!(restated.event.event.origin.cause_seq, Some(late[0].seq));
        assert_eq!((posting.effective_date, posting.booking_date, posting.allocation), (date, date, None));
    }
    // 10 days of 1.002 more.
    assert_eq!(accrue(&books, day(2, 9), (1, 501_000)).await.1, Ok(1_002));
    books.book(vec![books.return_of(&late[0], day(2, 9), 0).await]).await;
    assert_eq!(books.balances_on(1, day(1, 30)).await, [0, 6_000, 1_000_000, 0]);
    assert_eq!(interest(&books, 1).await, 8_000, "40 days of 2.00");
    assert_eq!(fixture.count("events WHERE kind = 'payment_allocated'").await, 2 + 3);
    prove(&books.store).await;
}

/// A payment goes back across accruals that have left their marks, as if it had never come or on a day of its own; and two
/// late items of one loan come in one batch. 10,000.00 bear 2.00 a day, 5,000.00 bear 1.00.
pub(crate) async fn a_return_reaches_across_marks(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let mut paid = Vec::new();
    for loan in 1..=3 {
        books.book(vec![of_program(&books, loan, 1_000_000, PROGRAM)]).await;
        paid.extend(books.book(vec![books.payment_on(loan, 500_000, day(1, 5))]).await);
        assert_eq!(accrue(&books, day(1, 10), (loan, 500_000)).await.1, Ok(1_400), "4 days of 2.00 and 6 of 1.00");
        assert_eq!(accrue(&books, day(1, 20), (loan, 500_000)).await.1, Ok(1_000));
    }

    books.book(vec![books.return_of(&paid[0], day(1, 25), 0).await]).await;
    books.book(vec![books.charge_back_of(&paid[1], 500_000, day(1, 15)).await]).await;
    // In one batch: 4,000.00 of 3 January, so that 6,000.00 bear 1.20, and the payment goes back.
    let both = vec![books.payment_on(3, 400_000, day(1, 3)), books.return_of(&paid[2], day(1, 25), 0).await];
    books.book(both).await;

    assert_eq!(books.balances_on(1, day(1, 20)).await, [0, 4_000, 1_000_000, 0]);
    assert_eq!(books.balances_on(2, day(1, 14)).await, [0, 1_400, 500_000, 0]);
    assert_eq!(
        books.balances_on(2, day(1, 20)).await,
        [0, 1_400 + 1_600, 1_000_000, 0],
        "4 days of 1.00 and 6 of 2.00"
    );
    assert_eq!(books.balances_on(3, day(1, 20)).await, [0, 2 * 200 + 18 * 120, 600_000, 0]);
    for (loan, principal, interest) in [(1, 1_000_000, 2_000), (2, 1_000_000, 2_000), (3, 600_000, 1_200)] {
        assert_eq!(accrue(&books, day(1, 30), (loan, principal)).await.1, Ok(interest));
    }
    prove(&books.store).await;
}

/// What counts from a day, in some order of arrival.
#[derive(Clone, Copy)]
enum Item {
    Pay(i64),
    Lend(i64),
    Accrue,
}

/// Payments, money lent and accruals, in the order in which they count, backwards and mixed; then a payment goes back and
/// an accrual is taken back. From marks and from the whole past the same cents come out.
pub(crate) async fn any_order_of_arrival_ends_with_the_same_interest(fixture: &impl Fixture) {
    let items = [
        (day(1, 10), Item::Accrue),
        (day(1, 16), Item::Pay(301_234)),
        (day(1, 20), Item::Accrue),
        (day(1, 25), Item::Lend(123_456)),
        (day(1, 31), Item::Accrue),
        (day(1, 31), Item::Pay(98_765)),
        (day(2, 10), Item::Accrue),
        (day(2, 11), Item::Pay(45_678)),
    ];
    let orders =
        [[0, 1, 2, 3, 4, 5, 6, 7], [7, 6, 5, 4, 3, 2, 1, 0], [4, 7, 0, 6, 3, 5, 1, 2], [6, 2, 7, 5, 0, 4, 3, 1]];
    let mut ends = Vec::new();
    for (loan, order) in (1_u128..).zip(orders) {
        let books = Books::open(fixture.store(), loan).await;
        books.book(vec![of_program(&books, loan, 1_000_000, PROGRAM)]).await;
        let (mut paid, mut accrued) = (None, None);
        for place in order {
            let (date, item) = items[place];
            match item {
                Item::Pay(units) => {
                    let booked = books.book(vec![books.payment_on(loan, units, date)]).await;
                    paid = if place == 1 { Some(booked[0]) } else { paid };
                }
                Item::Lend(units) => drop(books.book(vec![books.disbursement_on(loan, units, date)]).await),
                Item::Accrue => {
                    let principal = books.balances_on(loan, date).await[2];
                    let (group, booked) = accrue(&books, date, (loan, principal)).await;
                    assert!(booked.is_ok(), "{booked:?}");
                    accrued = if place == 2 { Some(group) } else { accrued };
                }
            }
        }
        let mut end = Vec::new();
        for turn in 0..3 {
            for date in items.map(|(date, _)| date) {
                end.push(books.balances_on(loan, date).await);
            }
            match turn {
                0 => drop(books.book(vec![books.return_of(&paid.unwrap(), day(2, 12), 0).await]).await),
                1 => {
                    let undo = reversal(&books, accrued.unwrap(), EventKind::Accrual, day(1, 20)).await;
                    assert_eq!(run(&books, undo).await.1, Outcome::Done);
                }
                _ => {}
            }
        }
        ends.push(end);
        prove(&books.store).await;
    }
    for end in &ends {
        assert_eq!(*end, ends[0]);
    }
}

/// A year's payments and accruals behind a late payment, most of them divided and computed anew, in one pass: held against
/// the same life lived day by day, in hundredths of a hundredth of a cent.
pub(crate) async fn a_long_life_is_mended_in_one_pass(fixture: &impl Fixture) {
    const DAYS: u64 = 250;
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![of_program(&books, 1, 100_000_000, PROGRAM)]).await;
    let on = |number: u64| day(1, 1) + Days::new(number);
    for number in 1..=DAYS {
        books.book((0..4).map(|_| books.payment_on(1, 4_000, on(number))).collect()).await;
        let principal = books.loan(1).await.unwrap().state.balances.principal.units();
        accrue(&books, on(number), (1, principal)).await.1.unwrap();
    }
    let wanted = books.accept(vec![books.payment_on(1, 50_000_000, on(0))]).await;

    let batch = books.post(&wanted).await;

    assert_eq!(batch.restating.len(), 1);
    let (mut principal, mut owed, mut booked) = (50_000_000_i64, 0_i64, 0_i64);
    let mut exact = i128::from(principal) * 2;
    for _ in 1..=DAYS {
        for _ in 0..4 {
            let interest = owed.min(4_000);
            (owed, principal) = (owed - interest, principal - (4_000 - interest));
        }
        // 0.02 % of the day's end, and the rounded total less what is booked.
        exact += i128::from(principal) * 2;
        let total = i64::try_from(RoundingMode::HalfUp.divide(exact, 10_000).unwrap()).unwrap();
        (owed, booked) = (owed + total - booked, total);
    }
    assert_eq!(books.balances_on(1, on(DAYS)).await, [0, owed, principal, 0]);
    let restated = fixture.count("events WHERE kind = 'payment_allocated'").await;
    assert!(restated > 2 * i64::try_from(DAYS).unwrap(), "{restated}");
    prove(&books.store).await;
}

/// What moves no principal mends nothing, and a loan without computed interest behind the item reads nothing of it.
pub(crate) async fn a_late_item_that_moves_no_principal_mends_nothing(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![of_program(&books, 1, 1_001_234, PROGRAM)]).await;
    for number in 1..=31 {
        accrue(&books, day(1, number), (1, 1_001_234)).await.1.unwrap();
    }
    books.book(vec![books.payment_on(1, 100, day(1, 20)), books.fee_on(1, "late", 500, day(1, 25))]).await;
    assert_eq!(fixture.count("events WHERE cause_seq IS NOT NULL").await, 0);
    // Of the very day of an accrual a payment is late, and mends it: 4,997.01 of principal less bear 1.00 less.
    books.book(vec![books.payment_on(1, 506_108, day(1, 31))]).await;
    assert_eq!(fixture.count("events WHERE cause_seq IS NOT NULL").await, 1);
    prove(&books.store).await;
}

pub(crate) async fn nothing_accrues_while_a_charge_off_stands(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![of_program(&books, 1, 1_000_000, PROGRAM)]).await;
    assert_eq!(accrue(&books, day(1, 31), (1, 1_000_000)).await.1, Ok(6_200));
    let act = ServicingAct::Chargeoff { collectibility: Collectibility::Collectible, loss: LossAccount::Expense };
    let charged_off = books.book(vec![books.servicing(1, act, None, day(2, 10))]).await;
    let refused = Err(Outcome::Rejected(RejectionCode::LoanClosed));
    assert_eq!(accrue(&books, day(2, 10), (1, 0)).await.1, refused);
    assert_eq!(accrue(&books, day(2, 28), (1, 0)).await.1, refused);
    assert_eq!(accrue(&books, day(2, 9), (1, 1_000_000)).await.1, Ok(1_800), "of a day before it");
    let charged_off_interest = books.loan(1).await.unwrap().state.charged_off.unwrap().memo.interest;
    assert_eq!((charged_off_interest.units(), interest(&books, 1).await), (8_000, 0));

    let back = books.reversal_of(1, &charged_off[0], day(2, 20)).await;
    books.book(vec![back]).await;

    assert_eq!(accrue(&books, day(2, 28), (1, 1_000_000)).await.1, Ok(3_800), "the rest of February");
    prove(&books.store).await;
}

pub(crate) async fn a_callers_interest_covers_its_days(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![of_program(&books, 1, 1_000_000, PROGRAM)]).await;
    assert_eq!(run(&books, books.accrual(day(1, 10), &[(1, 1_000_000, 1)])).await.1, Outcome::Done);
    assert_eq!(accrue(&books, day(1, 12), (1, 1_000_000)).await.1, Ok(400), "11 and 12 January");
    // No interest, by the caller's word: nothing is booked, and the days are covered all the same.
    assert_eq!(run(&books, books.accrual(day(1, 20), &[(1, 1_000_000, 0)])).await.1, Outcome::Done);
    assert_eq!(accrue(&books, day(1, 21), (1, 1_000_000)).await.1, Ok(200), "21 January");
    prove(&books.store).await;
}

pub(crate) async fn a_programs_rate_is_that_of_its_loans(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    let other = ProgramId(Uuid::from_u128(8));
    books.book(vec![of_program(&books, 1, 500, other), books.opening(2, [0, 0, 500])]).await;
    let refused = Err(Outcome::Rejected(RejectionCode::LoanNotFound));
    assert_eq!(accrue(&books, day(1, 31), (1, 500)).await.1, refused);
    assert_eq!(accrue(&books, day(1, 31), (2, 500)).await.1, refused);
    assert_eq!((interest(&books, 1).await, interest(&books, 2).await), (0, 0));
    prove(&books.store).await;
}

/// An accrual is looked ahead to behind all that waits in front of it, a late payment as well, and does what was told.
pub(crate) async fn an_accrual_is_foreseen_behind_what_waits(fixture: &impl Fixture) {
    let books = Books::open(fixture.store(), 1).await;
    books.book(vec![of_program(&books, 1, 1_001_234, PROGRAM)]).await;
    accrue(&books, day(1, 10), (1, 1_001_234)).await.1.unwrap();
    let paid = vec![books.payment_on(1, 300_000, day(1, 5)), books.payment_on(1, 100_000, day(1, 15))];
    let waiting = books.accept(paid).await;
    let foreseen = async |principal| {
        let group = books.accrual_by_rule(day(1, 20), (PROGRAM, rule()), &[(1, principal)]);
        let loans = books.store.group_ahead(group.clone(), 100).await.unwrap();
        let now = loans[0].now;
        assert_eq!((loans.len(), loans[0].is_cut, loans[0].work.events.len()), (1, false, 3));
        let ahead = |loan: LoanAhead| LegAhead { work: loan.work, on_hold: loan.on_hold };
        let legs = loans.into_iter().map(ahead).collect();
        look_ahead_group(imagined(group.parent, now), legs, now).unwrap()
    };
    let refused = foreseen(1_001_234).await;
    assert_eq!(refused.parent.outcome, Outcome::Rejected(RejectionCode::PrincipalMismatch));
    let principal = refused.legs[0].1.before.unwrap().balances.principal.units();
    let told = foreseen(principal).await;
    assert_eq!((fixture.count("events").await, told.legs[0].1.stuck.len()), (5, 0), "nothing is accepted by looking");

    books.post(&waiting).await;
    let accrued = books.accept_group(books.accrual_by_rule(day(1, 20), (PROGRAM, rule()), &[(1, principal)])).await;
    let GroupProgress::Finished(batch) = books.try_group(accrued.seq).await else { panic!("it is not posted") };

    assert!(batch.restating.is_empty(), "it is in order: who answers need not look for more");
    assert_eq!(told.parent.outcome, Outcome::Done);
    let leg = books.store.event(books.tenant, accrued.id.leg(1)).await.unwrap().unwrap().posting.unwrap();
    let foreseen = &told.legs[0].1.step;
    assert_eq!(foreseen.posting.posting.entry, leg.entry);
    assert!(leg.entry.is_some() && told.parent.allocation.is_some());
    assert_eq!(foreseen.state.unwrap().balances, books.loan(1).await.unwrap().state.balances);
    let late = books.accept_group(books.accrual_by_rule(day(1, 3), (PROGRAM, rule()), &[(1, 1_001_234)])).await;
    let GroupProgress::Finished(batch) = books.try_group(late.seq).await else { panic!("it is not posted") };
    assert_eq!(batch.restating, BTreeSet::from([late.seq]), "more is to be told of its parent");
    prove(&books.store).await;
}
