//! Owns the tests of interest that is computed where items come late: one loan's accruals, posted as a lane posts them.

use super::charge_backs::charge_back;
use super::servicing::{act, fee, lines, reversal};
use super::*;
use crate::core::event::{
    Collectibility, EarlierEvent, Group, GroupOperation, LegRequest, LegTerms, LegsHash, NewGroup, ProgramDefaults,
    ReversalReason, ReversedEntry, ServicingAct,
};
use crate::core::ids::ProgramId;
use crate::core::ledger::{
    Calendar, ClosedPeriodRule, GroupInput, LegWork, LoanWork, Period, RejectionCode, post_group,
};
use crate::core::loan::{AccrualBook, InterestRule, InterestTerms, LossAccount, SuspenseRelease, Waterfalls};

/// The program of the loan.
pub(super) const PROGRAM: ProgramId = ProgramId(Uuid::from_u128(0x77));

/// 7.3 % over 365 days are 0.02 % a day: 10,000.00 bear 2.00.
pub(super) fn rule() -> InterestRule {
    InterestRule { rate: "7.3".parse().unwrap(), terms: InterestTerms::default() }
}

/// A loan of the program, of New Year.
fn of_program(principal: i64, suspense_release: SuspenseRelease, waterfalls: Waterfalls) -> Command {
    let Command::LoanOpening(opening) = opening([0, 0, principal], date(1, 1)) else { panic!("not an opening") };
    let defaults = ProgramDefaults { waterfalls, suspense_release };
    Command::LoanOpening(LoanOpening { program_id: Some(PROGRAM), program_defaults: Some(defaults), ..opening })
}

/// Its books, with 10,000.00 lent.
pub(super) fn books() -> Books {
    Books::of([of_program(1_000_000, SuspenseRelease::Manual, Waterfalls::default())])
}

impl Books {
    pub(super) fn bearing(rule: InterestRule, suspense_release: SuspenseRelease) -> Self {
        Self { rule: Some(rule), ..Self::of([of_program(0, suspense_release, Waterfalls::default())]) }
    }

    /// The same with other orders of payment for some money.
    pub(super) fn bearing_and_ruled(rule: InterestRule, suspense_release: SuspenseRelease) -> Self {
        Self { rule: Some(rule), ..Self::of([of_program(0, suspense_release, ruled())]) }
    }

    /// Posts a group of one leg as the next event; answers the number of the leg.
    fn group(&mut self, operation: GroupOperation, (date, terms): (NaiveDate, LegTerms)) -> i64 {
        let number = i64::try_from(self.posted.len()).unwrap() + 1;
        let request = LegRequest { loan_id: LOAN, borrower_id: Some(BORROWER), effective_date: date, terms };
        let requests = [request];
        let hash = LegsHash::of(&requests);
        let currency = Currency::USD;
        let group = Group { operation, currency, effective_date: date, legs: 1, legs_hash: hash, metadata: None };
        let parent = accepted(number + 500_000, payment(1, date));
        let key = IdempotencyKey::parse(&format!("group:{number:08}")).unwrap();
        let publisher = PublisherId(Uuid::nil());
        let event = NewEvent::of_group(parent.event.id, TENANT, key, group, publisher, "test".to_owned());
        let parent = AcceptedEvent::new(parent.seq, parent.accepted_at, event.clone());
        let leg = NewGroup::new(event, &requests).legs_at(parent.seq).remove(0);
        let leg = AcceptedEvent::new(Seq(number), at(0), leg);
        let events = [leg.clone()];
        let state = self.state.unwrap();
        let history = self.history(&state, &events);
        let accruals = history.is_none().then(|| self.accrual_book(date.succ_opt().unwrap()));
        let past = Past { history, accruals, earlier: self.earlier(&events), ..Past::default() };
        let work = LoanWork { key: state.key, state: self.state, number_taken: false, past, events: events.to_vec() };
        let legs = vec![LegWork::of(work, false).unwrap()];
        let output = post_group(GroupInput { now: at(number), parent, legs, refusal: None }).unwrap();
        let after = output.states.last().copied();
        self.marks.extend(output.accrued.iter().map(|(_, version, mark)| (*version, *mark)));
        let posting = output.legs[0].posting.clone();
        self.posted.push(Posted { before: self.state, after, event: leg, posting });
        for system in output.system {
            let number = i64::try_from(self.posted.len()).unwrap();
            let event = AcceptedEvent::new(Seq(CONSEQUENCES + number), at(0), system.event);
            self.posted.push(Posted { before: after, after, event, posting: system.posting });
        }
        self.state = after;
        number
    }

    /// Accrues the loan for a day, by its rule or for so much; answers the number of the leg.
    pub(super) fn accrue_at(&mut self, date: NaiveDate, interest: Option<i64>) -> i64 {
        let rule = Some(self.rule.unwrap_or_else(rule));
        let day_count_convention = "ACT_365".to_owned();
        let operation = GroupOperation::Accrual { program_id: PROGRAM, day_count_convention, rule };
        let outstanding_principal = Minor::new(self.balances_on(date)[2]);
        self.group(operation, (date, LegTerms::Accrual { outstanding_principal, interest: interest.map(Minor::new) }))
    }

    /// The same by its rule; answers the interest that was booked.
    pub(super) fn accrues(&mut self, date: NaiveDate) -> i64 {
        let number = self.accrue_at(date, None);
        let posted = self.posted.iter().find(|posted| posted.event.seq == Seq(number)).unwrap();
        assert_eq!(posted.posting.outcome, Outcome::Posted);
        movement_of(&posted.posting).interest.units()
    }

    /// Takes an accrual back.
    pub(super) fn unaccrue(&mut self, seq: i64) {
        let leg = self.event(seq).event.clone();
        let date = leg.command.effective_date();
        let event = EarlierEvent { id: leg.id, seq: Seq(seq) };
        let reversed = ReversedEntry {
            event,
            kind: EventKind::Accrual,
            effective_date: date,
            correlation_id: leg.id,
            reason_code: ReversalReason::ErrorCorrection,
            reason_description: None,
        };
        let terms = LegTerms::Reversal { leg: event, restates: None };
        self.group(GroupOperation::Reversal(reversed), (date, terms));
        assert_eq!(self.last_sent().outcome, Outcome::Posted);
    }

    /// What interest is computed from of the days before one, as a store reads it: from the last mark that reaches no
    /// further and still holds, or from the whole past.
    pub(super) fn accrual_book(&self, until: NaiveDate) -> AccrualBook {
        let postings = || self.posted.iter().map(|it| (&it.event.event, &it.posting));
        let counted = || postings().filter(|(_, it)| it.outcome == Outcome::Posted && it.effective_date < until);
        let mut marks = self.marks.iter().rev().filter(|(_, mark)| mark.until <= until);
        if let Some((version, mark)) = marks.next() {
            let mut book = AccrualBook::since(*mark);
            for (_, posting) in counted().filter(|(_, it)| it.loan_version.unwrap() > *version) {
                book.note_principal(posting.effective_date, movement_of(posting).principal);
                let has_income = |entry: &JournalEntry| entry.has_line_on(AccountCode::INTEREST_INCOME);
                if posting.entry.as_ref().is_none_or(has_income) {
                    book.doubt();
                }
            }
            if book.holds() {
                return book;
            }
        }
        let is_undone = |event: &NewEvent| {
            let seq = self.posted.iter().find(|it| it.event.event.id == event.id).unwrap().event.seq;
            self.posted.iter().any(|it| it.posting.undoes_seq == Some(seq))
        };
        let mut book = AccrualBook::default();
        for (event, posting) in counted() {
            book.note_principal(posting.effective_date, movement_of(posting).principal);
            if event.kind == EventKind::Accrual && !is_undone(event) {
                book.note_accrual(posting.effective_date);
            }
        }
        book
    }

    /// What stands of an accrual.
    pub(super) fn interest_of(&self, seq: i64) -> i64 {
        let own = |it: &&Posted| it.event.seq == Seq(seq) || it.posting.restates_seq == Some(Seq(seq));
        self.posted.iter().filter(own).map(|it| movement_of(&it.posting).interest.units()).sum()
    }

    /// What moved principal.
    pub(super) fn principal(&self) -> impl Iterator<Item = (NaiveDate, Minor)> {
        self.posted.iter().map(|it| (it.posting.effective_date, movement_of(&it.posting).principal))
    }

    /// How often an event was restated.
    fn restatements(&self, seq: i64) -> usize {
        self.posted.iter().filter(|it| it.posting.restates_seq == Some(Seq(seq))).count()
    }
}

/// 10,000.00 bear 2.00 a day: three accruals of ten days have 20.00 each. A payment of 5,010.00 turns out to count from
/// 16 January. The 10 January's accrual stands; it pays these 20.00 and 4,990.00 of principal, so that 5,010.00 bear
/// 1.002 from 16 January on:
///   20 January  5 days of 2.00 and 5 of 1.002 = 15.01, 4.99 less
///   30 January  10 days of 1.002 = 10.02, 9.98 less
/// The payment of 31 January, of 60.00, had paid 60.00 of interest; now it pays 25.03 and 34.97 of principal.
#[test]
fn a_late_payment_mends_the_interest_behind_it() {
    let mut books = books();
    assert_eq!([10, 20, 30].map(|day| books.accrues(date(1, day))), [2_000; 3]);
    books.posts(payment(6_000, date(1, 31)));
    assert_eq!(books.split(5), [0, 6_000, 0, 0]);
    books.posts_late(payment(501_000, date(1, 16)));
    assert_eq!(books.last_sent().allocation.map(|split| parts(&split)), Some([0, 2_000, 499_000, 0]));
    let expected = [
        ("payment_allocated", Some(3), lines(&[("1200", -499), ("4100", 499)])),
        ("payment_allocated", Some(4), lines(&[("1200", -998), ("4100", 998)])),
        ("payment_allocated", Some(5), lines(&[("1200", 3_497), ("1100", -3_497)])),
    ];
    assert_eq!(books.consequences(), expected);
    assert_eq!([2, 3, 4].map(|seq| books.interest_of(seq)), [2_000, 1_501, 1_002]);
    assert_eq!(books.split(5), [0, 2_503, 3_497, 0]);
    assert_eq!(books.balances(), [0, 0, 497_503, 0]);
    // 4,975.03 bear 0.995006 a day: 9.95006 in the 10 days from 31 January to 9 February, after 45.03.
    assert_eq!(books.accrues(date(2, 9)), 995);
    // It goes back: everything stands as it was, but for what came since.
    let back = returning(books.event(6), date(2, 9), 0);
    books.posts_late(back);
    assert_eq!([2, 3, 4].map(|seq| books.interest_of(seq)), [2_000; 3]);
    assert_eq!(books.split(5), [0, 6_000, 0, 0]);
    assert_eq!(books.balances(), [0, 2_000, 1_000_000, 0], "10 days of 2.00 to 9 February");
}

/// FINERACT-2081 and 2060: accruals that were reversed and replayed several times. Each is stated anew once for each late
/// item that changes it, and not at all by one that does not.
#[test]
fn to_backdate_twice_states_each_accrual_twice_and_no_more() {
    let mut books = books();
    let days = [(1, 10), (1, 20), (1, 30)];
    assert_eq!(days.map(|(month, day)| books.accrues(date(month, day))), [2_000; 3]);
    books.posts_late(payment(102_000, date(1, 11)));
    books.posts_late(payment(201_000, date(1, 21)));
    assert_eq!([2, 3, 4].map(|seq| books.restatements(seq)), [0, 1, 2]);
    // 9,000.00 bear 1.80 from 11 January on, of which the second finds 18.00; 7,008.00 bear 1.4016 from 21 January on.
    assert_eq!([2, 3, 4].map(|seq| books.interest_of(seq)), [2_000, 1_800, 1_402]);
    let count = books.posted.len();
    // A fee that nobody has paid changes no interest.
    books.posts_late(fee("late", 500, date(1, 25)));
    assert_eq!([2, 3, 4].map(|seq| books.restatements(seq)), [0, 1, 2]);
    assert_eq!(books.posted.len(), count + 1);
}

/// Several late items of one loan in one batch do what they do one by one, whether suspense is released on the way or not.
#[test]
fn late_items_of_one_batch_mend_interest_as_one_by_one() {
    for release in SuspenseRelease::ALL {
        let lived = || {
            let mut books = Books::of([of_program(1_000_000, release, Waterfalls::default())]);
            books.posts(fee("late", 300, date(1, 5)));
            assert_eq!([10, 20, 30].map(|day| books.accrues(date(1, day))), [2_000; 3]);
            books.posts_late(payment(1_010_000, date(1, 31)));
            books
        };
        let (mut together, mut apart) = (lived(), lived());
        let back = returning(together.event(6), date(2, 2), 0);
        let late = [payment(501_000, date(1, 16)), disbursement(200_000, date(1, 12)), back, payment(100, date(1, 30))];
        let late: Vec<AcceptedEvent> = (100..).zip(late).map(|(seq, command)| accepted(seq, command)).collect();
        together.post(&late, at(99));
        for event in &late {
            apart.post(std::slice::from_ref(event), at(99));
        }
        assert!(together.posted.iter().all(|it| it.posting.outcome == Outcome::Posted));
        let postings = |books: &Books| books.posted.iter().map(|it| it.posting.clone()).collect::<Vec<_>>();
        assert_eq!(postings(&together), postings(&apart));
        assert_eq!(together.state, apart.state);
    }
}

/// A payment goes back across the marks that accruals have left, as if it had never come or on a day of its own. 10,000.00
/// bear 2.00 a day, and 5,000.00 bear 1.00.
#[test]
fn a_return_reaches_across_marks() {
    let paid = || {
        let mut books = books();
        books.posts(payment(500_000, date(1, 5)));
        assert_eq!([10, 20].map(|day| books.accrues(date(1, day))), [1_400, 1_000]);
        books
    };
    let mut void = paid();
    let back = returning(void.event(2), date(1, 25), 0);
    void.posts_late(back);
    assert_eq!([3, 4].map(|seq| void.interest_of(seq)), [2_000; 2]);
    assert_eq!(void.accrues(date(1, 30)), 2_000);
    let mut charged_back = paid();
    let back = charge_back(charged_back.event(2), 500_000, date(1, 15), Some(0));
    charged_back.posts_late(back);
    assert_eq!([3, 4].map(|seq| charged_back.interest_of(seq)), [1_400, 1_600], "from 15 January on");
    assert_eq!(charged_back.accrues(date(1, 30)), 2_000);
}

/// A replay that changes nothing writes nothing, whatever fractions it carries.
#[test]
fn a_late_item_that_moves_no_principal_leaves_interest_alone() {
    let mut books = books();
    assert_eq!((1..=31).map(|day| books.accrues(date(1, day))).sum::<i64>(), 6_200);
    let count = books.posted.len();
    books.posts_late(payment(100, date(1, 20)));
    assert_eq!(books.posted.len(), count + 1, "it pays interest that was there, and nobody else did");
}

/// Interest of a day is by the principal at its end. Money that counts from that day and comes when it is accrued already
/// is late: 31 January then bears 1.00 instead of 2.00, and on 31 January itself.
#[test]
fn the_last_day_of_a_month_is_mended_on_that_day() {
    let mut books = books();
    assert_eq!(books.accrues(date(1, 30)), 6_000);
    assert_eq!(books.accrues(date(1, 31)), 200);
    books.posts_late(payment(506_000, date(1, 31)));
    assert_eq!(books.split(4), [0, 6_000, 500_000, 0], "it does not bear the interest of its own day");
    assert_eq!(books.consequences(), [("payment_allocated", Some(3), lines(&[("1200", -100), ("4100", 100)]))]);
    let restated = &books.posted.last().unwrap().posting;
    assert_eq!((restated.effective_date, restated.booking_date), (date(1, 31), date(1, 31)));
    assert_eq!(books.balances_on(date(1, 31)), [0, 100, 500_000, 0]);
    assert_eq!(books.accrues(date(2, 1)), 100);
}

/// A loan that is paid off and accrued on for nothing: its payment never was.
#[test]
fn a_void_on_a_paid_off_loan_has_its_interest_back() {
    let mut books = books();
    assert_eq!(books.accrues(date(1, 31)), 6_200);
    books.posts(payment(1_006_200, date(2, 1)));
    assert_eq!(books.balances(), [0; 4]);
    assert_eq!(books.accrues(date(2, 28)), 0);
    books.posts_late(payment(50, date(3, 1)));
    assert_eq!(books.balances(), [0, 0, 0, 50]);
    let undo = reversal(&books, 3, date(3, 2));
    books.posts_late(undo);
    assert_eq!(books.interest_of(4), 5_600, "28 days of 2.00");
    assert_eq!((books.split(5), books.balances()), ([0, 50, 0, 0], [0, 11_750, 1_000_000, 0]));
    assert_eq!(books.accrues(date(3, 10)), 2_000);
}

/// An accrual that is taken back leaves its days to the next one by its day, which is restated at once; one that comes
/// late takes its days from that.
#[test]
fn days_of_an_accrual_belong_to_the_next_by_its_day() {
    let mut books = books();
    assert_eq!([10, 20, 30].map(|day| books.accrues(date(1, day))), [2_000; 3]);
    books.unaccrue(3);
    assert_eq!([2, 4].map(|seq| books.interest_of(seq)), [2_000, 4_000]);
    assert_eq!(books.balances()[1], 6_000);
    assert_eq!(books.accrues(date(1, 15)), 1_000);
    assert_eq!([2, 4].map(|seq| books.interest_of(seq)), [2_000, 3_000]);
    books.unaccrue(4);
    assert_eq!(books.balances()[1], 3_000, "none behind it");
    assert_eq!(books.accrues(date(2, 4)), 4_000, "16 January to 4 February");
}

/// Interest that a caller gave is a fact, and covers its days.
#[test]
fn interest_that_was_given_stays() {
    let mut books = books();
    assert_eq!(books.accrues(date(1, 10)), 2_000);
    let given = books.accrue_at(date(1, 20), Some(1_234));
    let computed = books.accrue_at(date(1, 30), None);
    books.posts_late(payment(502_000, date(1, 11)));
    assert_eq!([given, computed].map(|seq| books.interest_of(seq)), [1_234, 1_000]);
    assert_eq!(books.consequences().len(), 1);
}

/// The loan is charged off on a day that turns out to be before two accruals: they come to nothing. When the charge-off is
/// taken back they are what they were.
#[test]
fn nothing_accrues_behind_a_late_charge_off() {
    let mut books = books();
    assert_eq!([10, 20, 30].map(|day| books.accrues(date(1, day))), [2_000; 3]);
    let off = ServicingAct::Chargeoff { collectibility: Collectibility::Collectible, loss: LossAccount::Expense };
    books.posts_late(act(off, None, date(1, 16)));
    // Of the accrual of 20 January the five days up to 15 January are owed, on the memo accounts; nobody earns the rest.
    assert_eq!([3, 4].map(|seq| books.interest_of(seq)), [0, 0]);
    let expected = [
        (
            "payment_allocated",
            Some(3),
            lines(&[("1200", -2_000), ("4190", 1_000), ("4100", 1_000), ("9100", 1_000), ("9900", -1_000)]),
        ),
        ("payment_allocated", Some(4), lines(&[("1200", -2_000), ("4100", 2_000)])),
    ];
    assert_eq!(books.consequences(), expected);
    assert_eq!(books.state.unwrap().charged_off.unwrap().memo.interest.units(), 3_000);
    let undo = reversal(&books, 5, date(2, 1));
    books.posts_late(undo);
    assert_eq!([3, 4].map(|seq| books.interest_of(seq)), [2_000, 2_000]);
    assert_eq!(books.balances(), [0, 6_000, 1_000_000, 0]);
    assert_eq!(books.accrues(date(2, 9)), 2_000);
}

/// An accrual of a day in front of a charge-off that comes behind it: in either order of arrival the same is charged off.
/// From the day of the charge-off on there is nothing to accrue.
#[test]
fn a_late_accrual_in_front_of_a_charge_off_is_charged_off_with_the_rest() {
    let off = || {
        let off = ServicingAct::Chargeoff { collectibility: Collectibility::Uncollectible, loss: LossAccount::Expense };
        act(off, None, date(1, 25))
    };
    let memo = |books: &Books| books.state.unwrap().charged_off.unwrap().memo.interest.units();
    let mut in_order = books();
    assert_eq!([10, 20].map(|day| in_order.accrues(date(1, day))), [2_000; 2]);
    in_order.posts(off());
    let mut late = books();
    assert_eq!(late.accrues(date(1, 10)), 2_000);
    late.posts(off());
    assert_eq!(late.accrues(date(1, 20)), 2_000);
    let restated = lines(&[("1200", -2_000), ("4190", 2_000), ("9100", 2_000), ("9900", -2_000)]);
    assert_eq!(late.consequences(), [("payment_allocated", Some(3), restated)]);
    assert_eq!((memo(&late), late.balances()), (memo(&in_order), in_order.balances()));
    let given = late.accrue_at(date(1, 24), Some(30));
    assert_eq!((late.interest_of(given), memo(&late)), (30, 4_030));
    for (day, interest) in [(25, None), (25, Some(1)), (30, None)] {
        late.accrue_at(date(1, day), interest);
        assert_eq!(late.last().outcome, Outcome::Rejected(RejectionCode::LoanClosed));
    }
}

/// Suspense pays what is computed of later days: that is no debt which a late charge-off would not find.
#[test]
fn a_release_behind_computed_interest_does_not_keep_a_charge_off_out() {
    let mut books = Books::bearing(rule(), SuspenseRelease::Automatic);
    books.posts(payment(100_000, date(1, 2)));
    books.posts(disbursement(1_000_000, date(1, 3)));
    let released = books.posted.last().unwrap().event.seq.0;
    let undo = reversal(&books, released, date(1, 3));
    books.posts(undo);
    assert_eq!([12, 22].map(|day| books.accrues(date(1, day))), [2_000; 2]);
    let off = ServicingAct::Chargeoff { collectibility: Collectibility::Collectible, loss: LossAccount::Expense };
    books.posts_late(act(off, None, date(1, 15)));
    let memo = books.state.unwrap().charged_off.unwrap().memo;
    // Two days of 2.00 are left of the second accrual, and suspense pays them on the memo accounts.
    assert_eq!([memo.fees, memo.interest, memo.principal].map(Minor::units), [0, 0, 1_000_000]);
    assert_eq!(books.balances(), [0, 0, 0, 100_000 - 2_000 - 400]);
}

/// A loan can be charged off on a day that is accrued already: that day bears nothing.
#[test]
fn a_day_that_is_accrued_can_be_the_day_of_a_charge_off() {
    let mut books = books();
    assert_eq!([(1, 30), (1, 31)].map(|(month, day)| books.accrues(date(month, day))), [6_000, 200]);
    let off = ServicingAct::Chargeoff { collectibility: Collectibility::Collectible, loss: LossAccount::Expense };
    books.posts_late(act(off, None, date(1, 31)));
    assert_eq!(books.consequences(), [("payment_allocated", Some(3), lines(&[("1200", -200), ("4100", 200)]))]);
    assert_eq!((books.balances(), books.interest_of(3)), ([0; 4], 0));
    assert_eq!(books.state.unwrap().charged_off.unwrap().memo.interest.units(), 6_000);
}

/// 1,000.00 wait while 10,000.00 are owed, because somebody took a release back. Behind interest of a day suspense pays
/// that interest only: were it to pay principal too, the day would have borne interest on it all the same. What is left
/// waits for the next debt.
#[test]
fn behind_computed_interest_suspense_pays_that_interest_only() {
    let mut books = Books::bearing(rule(), SuspenseRelease::Automatic);
    books.posts(payment(100_000, date(1, 2)));
    books.posts(disbursement(1_000_000, date(1, 3)));
    let released = books.posted.last().unwrap().event.seq.0;
    let undo = reversal(&books, released, date(1, 3));
    books.posts(undo);
    assert_eq!(books.balances(), [0, 0, 1_000_000, 100_000]);
    assert_eq!(books.accrues(date(1, 12)), 2_000);
    assert_eq!(
        (books.last_lines(), books.last_split()),
        (lines(&[("2100", 2_000), ("1200", -2_000)]), [0, 2_000, 0, 0])
    );
    assert_eq!(books.accrues(date(1, 22)), 2_000);
    assert_eq!(books.balances(), [0, 0, 1_000_000, 96_000]);
    // 500.00 of 8 January: five of the ten days to the 12th bear 1.90, and all days to the 22nd.
    books.posts_late(payment(50_000, date(1, 8)));
    assert_eq!([6, 8].map(|seq| books.interest_of(seq)), [1_950, 1_900]);
    assert_eq!(books.balances(), [0, 0, 950_000, 96_150]);
    books.posts(fee("late", 150, date(1, 23)));
    assert_eq!(books.balances(), [0, 0, 854_000, 0], "the next debt finds all of it, and all that is owed");
}

/// January is closed: what is mended in it stays on its days, and is booked on 1 February.
#[test]
fn interest_of_a_closed_month_is_mended_on_the_first_open_day() {
    let mut books = books();
    assert_eq!([10, 31].map(|day| books.accrues(date(1, day))), [2_000, 4_200]);
    let late = accepted(4, payment(502_000, date(1, 16)));
    let mut past = books.past(&late);
    past.calendar = Calendar::new(ClosedPeriodRule::default(), [Period::of(date(1, 31))]);
    let step = post_event(books.state, false, &mut past, &late, at(4)).unwrap();
    let [restated] = &step.system[..] else { panic!("{:?}", step.system) };
    // 5 days of 2.00 and 16 of 1.00 are 26.00, 16.00 less.
    assert_eq!(movement_of(&restated.posting).interest.units(), -1_600);
    assert_eq!((restated.posting.effective_date, restated.posting.booking_date), (date(1, 31), date(2, 1)));
}

/// A history without what its interest is computed from is not judged.
#[test]
fn a_late_item_needs_what_interest_is_computed_from() {
    let mut books = books();
    books.accrues(date(1, 31));
    let late = accepted(9, payment(100, date(1, 5)));
    let mut past = books.past(&late);
    let rows = books.posted.iter().filter(|it| it.posting.effective_date >= date(1, 5));
    past.history = Some(History::new(rows.map(|it| (it.event.clone(), it.posting.clone()))));
    let judged = post_event(books.state, false, &mut past, &late, at(9));
    assert!(judged.is_err_and(|reason| reason.contains("accrual")));
}

impl Books {
    /// The next command is posted as a late one.
    pub(super) fn posts_late(&mut self, command: Command) {
        let seq = i64::try_from(self.posted.len()).unwrap() + 1;
        self.post(&[accepted(seq, command)], at(seq));
        assert_eq!(self.last_sent().outcome, Outcome::Posted, "{:?}", self.last_sent());
    }
}
