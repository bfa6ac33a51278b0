//! Owns the property tests: random lives of one loan, posted by the fold and by the naive model.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::model::{Effect, Four, Model, plus};
use super::*;
use crate::core::event::{Collectibility, ServicingAct};
use crate::core::ledger::{JournalEntry, chain_hash};
use crate::core::loan::{Bucket, LossAccount};

/// Two of these reach the limit, three pass it.
const HALF: i64 = i64::MAX >> 1;

/// What an event of a random life asks for.
#[derive(Clone, Debug)]
enum Wish {
    Command(Command),
    /// The return of one of the payments so far, so many days later and for a fee.
    Return {
        of: Index,
        days: u8,
        fee: i64,
    },
}

/// One event of a random life, and what goes on around it.
#[derive(Clone, Debug)]
struct Act {
    wish: Wish,
    /// How far its number lies behind its turn: an event may become visible after later numbers were posted.
    lag: i64,
    /// Whether the batch ends after it.
    ends_batch: bool,
    /// Microseconds that the clock moves; a database's clock may step back.
    ticks: i64,
}

fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![
        12 => 1..400_i64,
        1 => (0..4_i64).prop_map(|less| i64::MAX - less),
        1 => (HALF - 2)..(HALF + 2),
    ]
}

fn waterfall() -> impl Strategy<Value = Waterfall> {
    Just(Bucket::ALL.to_vec()).prop_shuffle().prop_map(|order| Waterfall::new(order.try_into().unwrap()).unwrap())
}

fn opening_command() -> impl Strategy<Value = Command> {
    let owed = prop::array::uniform3(prop_oneof![1 => Just(0), 3 => amount()]);
    (owed, 0..12_u8, waterfall()).prop_map(|(owed, day, order)| ordered(opening(owed, nth_day(day)), order))
}

/// Who the event names: mostly the right borrower and currency.
fn names() -> impl Strategy<Value = (BorrowerId, Currency)> {
    let stranger = BorrowerId(Uuid::from_u128(0x44));
    prop_oneof![
        20 => Just((BORROWER, Currency::USD)),
        1 => Just((stranger, Currency::USD)),
        1 => Just((BORROWER, Currency::parse("EUR").unwrap())),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let event = prop_oneof![
        1 => opening_command(),
        4 => (amount(), 0..40_u8).prop_map(|(units, day)| disbursement(units, nth_day(day))),
        8 => (amount(), 0..40_u8).prop_map(|(units, day)| payment(units, nth_day(day))),
    ];
    (event, names()).prop_map(|(command, (borrower, currency))| named(command, borrower, currency))
}

/// Money that comes and goes, after the loan has opened.
fn paid_or_lent() -> impl Strategy<Value = Command> {
    (any::<bool>(), 1..400_i64, 12..50_u8).prop_map(|(pays, units, day)| {
        if pays { payment(units, nth_day(day)) } else { disbursement(units, nth_day(day)) }
    })
}

fn wish() -> impl Strategy<Value = Wish> {
    let fee = prop_oneof![3 => Just(0), 3 => 1..50_i64, 1 => Just(i64::MAX)];
    prop_oneof![
        3 => command().prop_map(Wish::Command),
        1 => (any::<Index>(), 0..9_u8, fee).prop_map(|(of, days, fee)| Wish::Return { of, days, fee }),
    ]
}

fn act(wish: impl Strategy<Value = Wish>) -> impl Strategy<Value = Act> {
    let lag = prop_oneof![4 => Just(0), 1 => 0..3_i64];
    (wish, lag, any::<bool>(), -3..20_i64).prop_map(|(wish, lag, ends_batch, ticks)| Act {
        wish,
        lag,
        ends_batch,
        ticks,
    })
}

/// Mostly a loan that is opened first, sometimes anything.
fn life() -> impl Strategy<Value = Vec<Act>> {
    let first = prop_oneof![9 => opening_command().boxed(), 1 => command().boxed()].prop_map(Wish::Command);
    life_of(first, wish())
}

/// A life with charge-offs, which the naive model does not know. One is refused where the loan owes something else later, so
/// fees and payments are alike: what a return of a later day costs, a payment behind it often pays.
fn life_with_charge_offs() -> impl Strategy<Value = Vec<Act>> {
    const UNITS: i64 = 10;
    let chargeoff = ServicingAct::Chargeoff { collectibility: Collectibility::Collectible, loss: LossAccount::Expense };
    let wish = prop_oneof![
        3 => (1..20_u8).prop_map(|day| Wish::Command(payment(UNITS, nth_day(day)))),
        2 => (1..20_u8).prop_map(|day| Wish::Command(servicing::fee("late", UNITS, nth_day(day)))),
        3 => (any::<Index>(), 0..15_u8).prop_map(|(of, days)| Wish::Return { of, days, fee: UNITS }),
        3 => (1..20_u8).prop_map(move |day| Wish::Command(servicing::act(chargeoff.clone(), None, nth_day(day)))),
    ];
    let first = Just(Wish::Command(opening([0, 0, 1000], nth_day(0))));
    life_of(first, wish)
}

fn life_of(first: impl Strategy<Value = Wish>, wish: impl Strategy<Value = Wish>) -> impl Strategy<Value = Vec<Act>> {
    (act(first), prop::collection::vec(act(wish), 0..24)).prop_map(|(first, rest)| {
        let mut acts = vec![first];
        acts.extend(rest);
        acts
    })
}

/// The event of each act, numbered by its turn and lag. A return is numbered after its payment, as it always is; where
/// there is no payment to return yet, it is a payment itself.
fn events(acts: &[Act], number: impl Fn(i64, i64) -> i64) -> Vec<AcceptedEvent> {
    let mut events: Vec<AcceptedEvent> = Vec::new();
    for (turn, act) in (1_i64..).zip(acts) {
        let payments: Vec<&AcceptedEvent> = events.iter().filter(|event| PaymentReturn::is_of(event)).collect();
        let (command, lag) = match &act.wish {
            Wish::Command(command) => (command.clone(), act.lag),
            Wish::Return { fee, .. } if payments.is_empty() => (payment((*fee).max(1), nth_day(9)), act.lag),
            Wish::Return { of, days, fee } => {
                let paid = payments[of.index(payments.len())];
                let day = paid.event.command.effective_date() + Days::new(u64::from(*days));
                (returning(paid, day, *fee), 0)
            }
        };
        events.push(accepted(number(turn, lag), command));
    }
    events
}

/// The life in batches, each sorted by number, with the clock at each.
fn batches(acts: &[Act]) -> Vec<(Vec<AcceptedEvent>, Timestamp)> {
    let mut clock = 0;
    let mut batches = vec![];
    let mut batch = vec![];
    // Unique whatever the lag: the turn stands in the lower digits.
    let events = events(acts, |turn, lag| (turn - lag).max(1) * 1000 + turn);
    for (act, event) in acts.iter().zip(events) {
        batch.push(event);
        clock += act.ticks;
        if act.ends_batch {
            batches.push((std::mem::take(&mut batch), at(clock)));
        }
    }
    batches.push((batch, at(clock)));
    for (batch, _) in &mut batches {
        batch.sort_by_key(|event| event.seq);
    }
    batches
}

fn live(acts: &[Act]) -> Books {
    let mut books = Books::default();
    for (batch, now) in batches(acts) {
        books.post(&batch, now);
    }
    books
}

fn four(balances: &Balances) -> Four {
    [balances.fees, balances.interest, balances.principal, balances.suspense].map(|part| i128::from(part.units()))
}

fn four_of_split(split: &Allocation) -> Four {
    [split.fees, split.interest, split.principal, split.suspense].map(|part| i128::from(part.units()))
}

/// The fold and the model agree on an event.
fn check_event(posted: &Posted, model: &mut Model) -> Result<(), TestCaseError> {
    let posting = &posted.posting;
    let event = &posted.event.event;
    if event.kind == EventKind::PaymentAllocated {
        return Ok(());
    }
    match model.take(event.origin.cause_seq.unwrap_or(posted.event.seq), &event.command) {
        Err(code) => {
            prop_assert_eq!(posting.outcome, Outcome::Rejected(code));
            prop_assert_eq!((&posting.entry, posting.allocation), (&None, None));
            prop_assert_eq!(posted.after.map(|it| it.balances), posted.before.map(|it| it.balances));
            let greatest = |state: Option<LoanState>| state.map(|state| state.greatest_effective_date);
            prop_assert_eq!(greatest(posted.after), greatest(posted.before));
        }
        Ok(Effect { movement, split }) => {
            prop_assert_eq!(posting.outcome, Outcome::Posted);
            prop_assert_eq!(posting.allocation.as_ref().map(four_of_split), split);
            prop_assert_eq!(four(&movement_of(posting)), movement);
            prop_assert_eq!(posting.entry.is_some(), movement != [0; 4]);
        }
    }
    let command = &posted.event.event.command;
    let is_posted = posting.outcome == Outcome::Posted;
    prop_assert_eq!(posting.effective_date, if is_posted { command.days().0 } else { command.effective_date() });
    Ok(())
}

fn lines_by_account(books: &Books) -> BTreeMap<String, i128> {
    let mut sums = BTreeMap::new();
    let entries = books.posted.iter().filter_map(|posted| posted.posting.entry.as_ref());
    for line in entries.flat_map(JournalEntry::lines) {
        *sums.entry(line.account.to_string()).or_default() += i128::from(line.signed.units());
    }
    // What moved there and back again leaves no sum.
    sums.retain(|_, sum| *sum != 0);
    sums
}

/// Every entry balances, and the accounts say what the loan says.
fn check_books(books: &Books) -> Result<(), TestCaseError> {
    for entry in books.posted.iter().filter_map(|posted| posted.posting.entry.as_ref()) {
        prop_assert_eq!(entry.lines().iter().map(|line| i128::from(line.signed.units())).sum::<i128>(), 0);
        prop_assert!(entry.lines().iter().all(|line| !line.signed.is_zero()));
    }
    let sums = lines_by_account(books);
    let sum = |account: &str| sums.get(account).copied().unwrap_or(0);
    let balances = books.state.map_or([0; 4], |state| four(&state.balances));
    prop_assert_eq!([sum("1300"), sum("1200"), sum("1100"), -sum("2100")], balances);
    prop_assert_eq!(sums.values().sum::<i128>(), 0, "the trial balance is zero");
    let posted_total = |is_kind: fn(&Command) -> bool| -> i128 {
        let posted = books.posted.iter().filter(|it| it.posting.outcome == Outcome::Posted);
        let commands = posted.map(|it| &it.event.event.command).filter(|command| is_kind(command));
        commands.filter_map(Command::amount).map(|amount| i128::from(amount.units())).sum()
    };
    let returned = posted_total(|command| matches!(command, Command::PaymentReturn(_)));
    prop_assert_eq!(sum("1010"), posted_total(|command| matches!(command, Command::Payment(_))) - returned);
    prop_assert_eq!(sum("1010"), standing_splits(books), "what stands of the payments is the cash that stayed");
    prop_assert_eq!(-sum("4200"), posted_total(|command| matches!(command, Command::Fee(_))));
    prop_assert_eq!(-sum("1020"), posted_total(|command| matches!(command, Command::Disbursement(_))));
    Ok(())
}

/// The splits of all posted payments that no return has taken back.
fn standing_splits(books: &Books) -> i128 {
    let undone: Vec<Seq> = books.posted.iter().filter_map(|posted| posted.posting.undoes_seq).collect();
    let standing = books.posted.iter().filter(|posted| !undone.contains(&posted.event.seq));
    let payments = standing.filter(|posted| posted.event.event.kind == EventKind::PaymentReceived);
    let splits = payments.filter_map(|posted| posted.posting.allocation);
    splits.map(|split| four_of_split(&split).iter().sum::<i128>()).sum()
}

/// No payment is taken back twice, and each fee follows the return that brings it.
fn check_undos(books: &Books) -> Result<(), TestCaseError> {
    let mut undone: Vec<Seq> = books.posted.iter().filter_map(|posted| posted.posting.undoes_seq).collect();
    let count = undone.len();
    undone.sort_unstable();
    undone.dedup();
    prop_assert_eq!(undone.len(), count);
    for (index, posted) in books.posted.iter().enumerate() {
        let Command::PaymentReturn(returned) = &posted.event.event.command else { continue };
        let brings_fee = returned.fee.is_some() && posted.posting.outcome == Outcome::Posted;
        let caused = books.posted[index + 1..].iter().map(|next| &next.event.event);
        let caused = caused.take_while(|next| next.origin.cause_seq == Some(posted.event.seq));
        let fees = caused.filter(|next| next.kind == EventKind::FeeAssessed).count();
        prop_assert_eq!(fees, usize::from(brings_fee));
        prop_assert_eq!(posted.posting.undoes_seq.is_some(), posted.posting.outcome == Outcome::Posted);
    }
    Ok(())
}

/// The balances at the end of each day, rebuilt from the lines alone, stay within 0 and 64 bits.
fn check_days(books: &Books) -> Result<(), TestCaseError> {
    let mut days: BTreeMap<NaiveDate, Four> = BTreeMap::new();
    for posting in books.posted.iter().map(|posted| &posted.posting) {
        let day = days.entry(posting.effective_date).or_default();
        *day = plus(*day, four(&movement_of(posting)));
    }
    let mut balances = [0; 4];
    for (day, movement) in days {
        balances = plus(balances, movement);
        let most = i128::from(i64::MAX);
        prop_assert!(balances.iter().all(|part| (0..=most).contains(part)), "{balances:?} on {day}");
        prop_assert!(balances[0] + balances[1] + balances[2] <= most, "{balances:?} on {day}");
    }
    Ok(())
}

/// Numbers without a gap, a chain that links, times and marks that never fall.
fn check_record(books: &Books) -> Result<(), TestCaseError> {
    let (mut version, mut head, mut posted_at, mut mark) = (0, [0; 32], Timestamp::EPOCH, Seq(0));
    for posted in &books.posted {
        let posting = &posted.posting;
        if posting.loan_version.is_none() {
            prop_assert_eq!((version, posting.chain_hash), (0, None), "only before the loan is there no version");
            continue;
        }
        version += 1;
        let expected = chain_hash(&head, posted.event.event.fingerprint, posting);
        prop_assert_eq!((posting.loan_version, posting.chain_hash), (Some(version), Some(expected)));
        prop_assert!(posting.posted_at >= posted_at);
        let after = posted.after.unwrap();
        if posted.event.event.slot.is_some() {
            mark = mark.max(posted.event.seq);
        }
        prop_assert_eq!((after.last_posted_seq, after.last_posted_at), (mark, posting.posted_at));
        // The state beside an event is that behind all that follows from it.
        prop_assert!((after.version, after.chain_head) == (version, expected) || after.version > version);
        (head, posted_at) = (expected, posting.posted_at);
    }
    prop_assert_eq!(books.state.map_or(0, |state| state.version), version);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_fold_agrees_with_the_naive_model(acts in life()) {
        let books = live(&acts);
        let mut model = Model::default();
        for (index, posted) in books.posted.iter().enumerate() {
            check_event(posted, &mut model)?;
            // The state beside an event is that behind all that follows from it.
            let is_whole = books.posted.get(index + 1).is_none_or(|next| next.event.event.slot.is_some());
            let after = posted.after.map_or([0; 4], |state| four(&state.balances));
            prop_assert!(!is_whole || after == model.today(), "{:?} {:?}", after, model.today());
        }
        prop_assert_eq!(books.posted.iter().filter(|posted| posted.event.event.slot.is_some()).count(), acts.len());
        let splits = model.splits();
        let cash: i128 = splits.values().flatten().sum();
        prop_assert_eq!(lines_by_account(&books).get("1010").copied().unwrap_or(0), cash);
        for (seq, split) in splits {
            prop_assert_eq!(books.split(seq.0).map(i128::from), split, "the split that stands of {}", seq);
        }
    }

    #[test]
    fn the_books_balance_and_no_bucket_is_negative_on_any_date(acts in life()) {
        let books = live(&acts);
        check_books(&books)?;
        check_days(&books)?;
        check_undos(&books)?;
    }

    /// A payment that is posted and returned leaves the books as its fee alone would.
    #[test]
    fn a_returned_payment_leaves_nothing_but_its_fee(
        acts in life(), units in amount(), day in 0..40_u8, days in 0..9_u8, fee in 0..50_i64,
    ) {
        let before = live(&acts);
        let mut books = before.clone();
        let paid = accepted(1_000_000, payment(units, nth_day(day)));
        books.post(std::slice::from_ref(&paid), at(0));
        prop_assume!(books.last_sent().outcome == Outcome::Posted);
        let back = nth_day(day) + Days::new(u64::from(days));
        books.post(&[accepted(1_000_001, returning(&paid, back, fee))], at(0));
        prop_assume!(books.last_sent().outcome == Outcome::Posted);
        let mut charged = before;
        if fee > 0 {
            charged.post(&[accepted(1_000_001, servicing::fee("returned", fee, back))], at(0));
        }
        prop_assert_eq!(books.balances(), charged.balances());
        for day in nth_day(0).iter_days().take(60) {
            prop_assert_eq!(books.balances_on(day), charged.balances_on(day), "on {}", day);
        }
        check_books(&books)?;
        check_record(&books)?;
    }

    #[test]
    fn versions_chain_times_and_marks_never_break(acts in life()) {
        check_record(&live(&acts))?;
    }

    #[test]
    fn the_same_input_gives_the_same_output(acts in life()) {
        prop_assert_eq!(live(&acts), live(&acts));
    }

    /// The same events in any order of arrival: the same splits, balances and totals, whatever was restated on the way.
    #[test]
    fn any_order_of_arrival_gives_the_same_books(
        owed in prop::array::uniform3(0..300_i64),
        order in waterfall(),
        (events, shuffled) in prop::collection::vec(paid_or_lent(), 1..12).prop_flat_map(|commands| {
            // Of one day's events the order of posting counts, so there is one a day.
            let mut days = std::collections::BTreeSet::new();
            let commands = commands.into_iter().filter(|command| days.insert(command.effective_date()));
            let events: Vec<_> = (2..).zip(commands).map(|(seq, command)| accepted(seq, command)).collect();
            (Just(events.clone()), Just(events).prop_shuffle())
        }),
    ) {
        let first = ordered(opening(owed, nth_day(0)), order);
        let lived = |events: &[AcceptedEvent]| {
            let mut books = Books::default();
            books.post(&[accepted(1, first.clone())], at(1));
            for event in events {
                books.post(std::slice::from_ref(event), at(2));
            }
            books
        };
        let (ordered, shuffled) = (lived(&events), lived(&shuffled));
        prop_assert!(ordered.posted.iter().chain(&shuffled.posted).all(|it| it.posting.outcome == Outcome::Posted));
        prop_assert_eq!(ordered.balances(), shuffled.balances());
        prop_assert_eq!(lines_by_account(&ordered), lines_by_account(&shuffled));
        for event in events.iter().filter(|event| PaymentReturn::is_of(event)) {
            prop_assert_eq!(ordered.split(event.seq.0), shuffled.split(event.seq.0));
        }
        for day in 0..60 {
            prop_assert_eq!(ordered.balances_on(nth_day(day)), shuffled.balances_on(nth_day(day)));
        }
    }

    /// Where a batch is cut is chance: with the clock standing still, it leaves no trace.
    #[test]
    fn a_batch_equals_its_events_one_by_one(acts in prop_oneof![life(), life_with_charge_offs()]) {
        let events = events(&acts, |turn, _| turn);
        let (mut together, mut apart) = (Books::default(), Books::default());
        together.post(&events, at(0));
        for event in &events {
            apart.post(std::slice::from_ref(event), at(0));
        }
        let outcome = |books: &Books| books.posted.iter().map(|it| it.posting.clone()).collect::<Vec<_>>();
        prop_assert_eq!(outcome(&together), outcome(&apart));
        prop_assert_eq!(together.state, apart.state);
    }
}
