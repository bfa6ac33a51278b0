//! Owns the property tests of the operations on one loan: random lives, and what holds after every event of them.

use proptest::prelude::*;
use proptest::sample::Index;

use super::charge_backs::charge_back;
use super::servicing::{act, adjustment, apply, fee, refund, reversal, waiver, waiver_of};
use super::*;
use crate::core::event::{Collectibility, ProgramDefaults, ServicingAct};
use crate::core::loan::{LossAccount, SuspenseRelease};

/// The days of a life.
const DAYS: u8 = 30;

/// What an event of a random life asks for.
#[derive(Clone, Debug)]
enum Wish {
    Pay(i64),
    Lend(i64),
    Fee(i64),
    Waive(i64),
    WaiveOne(Index, i64),
    Apply(Option<i64>),
    Refund(Option<i64>),
    Adjust(&'static str, i64),
    ChargeOff(bool),
    Recover(i64),
    Reverse(Index),
    Return(Index, u8, i64),
    ChargeBack(Index, u8, i64, i64),
}

fn wish() -> impl Strategy<Value = Wish> {
    let units = 1..120_i64;
    prop_oneof![
        6 => units.clone().prop_map(Wish::Pay),
        3 => units.clone().prop_map(Wish::Lend),
        4 => units.clone().prop_map(Wish::Fee),
        2 => units.clone().prop_map(Wish::Waive),
        2 => (any::<Index>(), units.clone()).prop_map(|(of, units)| Wish::WaiveOne(of, units)),
        2 => prop::option::of(units.clone()).prop_map(Wish::Apply),
        2 => prop::option::of(units.clone()).prop_map(Wish::Refund),
        2 => (prop::sample::select(vec!["1100", "1200", "1300", "2100"]), -90..90_i64)
            .prop_filter_map("lines of nothing", |(account, units)| (units != 0).then_some(Wish::Adjust(account, units))),
        1 => any::<bool>().prop_map(Wish::ChargeOff),
        2 => units.prop_map(Wish::Recover),
        4 => any::<Index>().prop_map(Wish::Reverse),
        3 => (any::<Index>(), 0..12_u8, prop_oneof![Just(0), 1..40_i64])
            .prop_map(|(of, days, fee)| Wish::Return(of, days, fee)),
        3 => (any::<Index>(), 0..12_u8, 1..120_i64, prop_oneof![Just(0), 1..40_i64])
            .prop_map(|(of, days, units, fee)| Wish::ChargeBack(of, days, units, fee)),
    ]
}

/// The command of a wish; `None` where there is nothing to take back.
fn command(books: &Books, wish: &Wish, day: NaiveDate) -> Option<Command> {
    let last_day = nth_day(DAYS).checked_add_days(Days::new(9)).unwrap();
    Some(match wish {
        Wish::Pay(units) => payment(*units, day),
        Wish::Lend(units) => disbursement(*units, day),
        Wish::Fee(units) => fee(if units % 2 == 0 { "late" } else { "nsf" }, *units, day),
        Wish::Waive(units) => waiver(if units % 2 == 0 { "late" } else { "nsf" }, *units, day),
        Wish::WaiveOne(index, units) => {
            let fees = books.posted.iter().filter(|posted| matches!(posted.event.event.command, Command::Fee(_)));
            let fees: Vec<i64> = fees.map(|posted| posted.event.seq.0).collect();
            if fees.is_empty() {
                return None;
            }
            waiver_of(books, *index.get(&fees), *units, day)
        }
        Wish::Apply(units) => apply(*units, day),
        Wish::Refund(units) => refund(*units, day),
        Wish::Adjust(account, units) => adjustment(&[(account, *units), ("5200", -units)], day),
        Wish::ChargeOff(collectible) => {
            let collectibility = Collectibility::of(*collectible);
            act(ServicingAct::Chargeoff { collectibility, loss: LossAccount::Expense }, None, day)
        }
        Wish::Recover(units) => act(ServicingAct::Recovery, Some(*units), day),
        Wish::Reverse(index) => {
            let entries = books.posted.iter().filter(|posted| posted.posting.entry.is_some());
            let entries: Vec<i64> = entries.map(|posted| posted.event.seq.0).collect();
            if entries.is_empty() {
                return None;
            }
            reversal(books, *index.get(&entries), last_day)
        }
        Wish::ChargeBack(index, days, units, fee) => {
            let paid = any_payment(books, *index)?;
            let (most, day) = (paid.event.command.amount().unwrap().units(), paid.event.command.effective_date());
            charge_back(&paid, (*units).min(most), day + Days::new(u64::from(*days)), Some(*fee))
        }
        Wish::Return(index, days, fee) => {
            let paid = any_payment(books, *index)?;
            returning(&paid, paid.event.command.effective_date() + Days::new(u64::from(*days)), *fee)
        }
    })
}

fn any_payment(books: &Books, index: Index) -> Option<AcceptedEvent> {
    let payments = books.posted.iter().filter(|posted| PaymentReturn::is_of(&posted.event));
    let payments: Vec<AcceptedEvent> = payments.map(|posted| posted.event.clone()).collect();
    (!payments.is_empty()).then(|| index.get(&payments).clone())
}

/// What holds after every event.
fn check(books: &Books) {
    let Some(state) = books.state else { return };
    for day in 0..DAYS + 14 {
        let balances = books.balances_on(nth_day(day));
        assert!(balances.iter().all(|part| *part >= 0), "day {day}: {balances:?} after {:?}", books.last());
    }
    let memo = state.charged_off.map(|off| off.memo).unwrap_or_default();
    let parts = [memo.fees, memo.interest, memo.principal].map(Minor::units);
    assert!(parts.iter().all(|part| *part >= 0), "{parts:?}");
    let entries = books.posted.iter().filter_map(|posted| posted.posting.entry.as_ref());
    let on_memo = entries.flat_map(JournalEntry::lines).filter(|line| line.account == AccountCode::CHARGED_OFF_MEMO);
    assert_eq!(on_memo.map(|line| line.signed.units()).sum::<i64>(), parts.iter().sum::<i64>());
    let [fees, interest, principal, _] = books.balances();
    assert!(state.charged_off.is_none() || [fees, interest, principal] == [0; 3], "{:?}", state.balances);
    let items = books.fees().items();
    let owed = items.iter().map(|item| item.outstanding().unwrap().units());
    assert_eq!(owed.sum::<i64>(), state.balances.fees.units(), "{items:#?}");
    assert!(items.iter().all(|item| item.paid >= Minor::ZERO && item.waived >= Minor::ZERO), "{items:#?}");
    let undone: Vec<Seq> = books.posted.iter().filter_map(|posted| posted.posting.undoes_seq).collect();
    let once: std::collections::BTreeSet<Seq> = undone.iter().copied().collect();
    assert_eq!(undone.len(), once.len(), "an entry is taken back once");
}

/// The loan registered, by a program that releases suspense by itself or does not.
fn opened(automatic: bool) -> Command {
    let suspense_release = if automatic { SuspenseRelease::Automatic } else { SuspenseRelease::Manual };
    let defaults = ProgramDefaults { waterfalls: ruled(), suspense_release };
    let Command::LoanOpening(opening) = opening([20, 30, 200], nth_day(0)) else { panic!("not an opening") };
    Command::LoanOpening(LoanOpening { program_defaults: Some(defaults), ..opening })
}

/// What callers have sent, in the order in which it was posted.
fn sent(books: &Books) -> Vec<AcceptedEvent> {
    let sent = books.posted.iter().filter(|posted| posted.event.event.slot.is_some());
    sent.map(|posted| posted.event.clone()).collect()
}

proptest! {
    /// Where batches are cut is chance: with the clock standing still, it leaves no trace. What is taken back by name was
    /// sent by a caller, as the number of a consequence is told after its batch only.
    #[test]
    fn operations_in_batches_equal_operations_one_by_one(
        automatic in any::<bool>(),
        life in prop::collection::vec((wish(), 0..DAYS, prop::bool::weighted(0.2)), 0..30),
    ) {
        let mut apart = Books::default();
        apart.post(&[accepted(1, opened(automatic))], at(0));
        let mut ends = Vec::new();
        for (wish, day, ends_batch) in life {
            let Some(command) = command(&apart, &wish, nth_day(day)) else { continue };
            let names_consequence = matches!(&command, Command::Servicing(servicing)
                if servicing.act.names().is_some_and(|named| named.seq >= Seq(CONSEQUENCES)));
            if !names_consequence {
                let seq = i64::try_from(apart.posted.len()).unwrap() + 1;
                apart.post(&[accepted(seq, command)], at(0));
                ends.extend(ends_batch.then_some(seq));
            }
        }
        let mut together = Books::default();
        for batch in sent(&apart).chunk_by(|event, _| !ends.contains(&event.seq.0)) {
            together.post(batch, at(0));
        }
        let posted = |books: &Books| books.posted.iter().map(|it| it.posting.clone()).collect::<Vec<_>>();
        prop_assert_eq!(posted(&together), posted(&apart));
        prop_assert_eq!(together.state, apart.state);
    }

    #[test]
    fn no_bucket_is_negative_on_any_day_and_fees_add_up(
        automatic in any::<bool>(),
        life in prop::collection::vec((wish(), 0..DAYS), 0..30),
    ) {
        let mut books = Books::of([opened(automatic)]);
        for (wish, day) in life {
            if let Some(command) = command(&books, &wish, nth_day(day)) {
                books.next(command);
                check(&books);
            }
        }
        explanations::check(&books);
    }
}
