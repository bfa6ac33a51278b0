//! How long the fold takes for a payment that comes late in front of many others on its loan, each of which is divided
//! anew: reading the loan's life from its postings, finding what changes, and making the entries. No database is asked.
//!
//! ```sh
//! cargo bench --bench replay
//! ```

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a measurement answers on stdout, and ends where it fails"
)]

use std::time::Duration;

use chrono::{Days, NaiveDate};
use hpts::core::event::{
    AcceptedEvent, Command, IdempotencyKey, LoanOpening, NewEvent, OpeningBalances, Payment, SourceMethod,
};
use hpts::core::ids::{BorrowerId, EventId, LoanId, PublisherId, Seq, TenantId};
use hpts::core::ledger::{History, Past, Posting, Step, post_event};
use hpts::core::loan::LoanState;
use hpts::core::money::{Currency, Minor, Money};
use hpts::core::time::Timestamp;
use hpts::runtime::clock::Stopwatch;
use uuid::Uuid;

const LOAN: LoanId = LoanId(Uuid::from_u128(0x11));
const BORROWER: BorrowerId = BorrowerId(Uuid::from_u128(0x22));
const TENANT: TenantId = TenantId(Uuid::from_u128(0x33));
/// How often each is measured.
const RUNS: usize = 51;
/// The one in the middle.
const MEDIAN: usize = 25;
/// What each later payment pays, and what the late one takes from each of them.
const UNITS: i64 = 700;

fn main() {
    println!("payments divided anew    median       max");
    for later in [10, 100, 1_000, 10_000] {
        let (state, rows) = lived(later);
        let mut taken: Vec<Duration> = (0..RUNS).map(|_| late(state, &rows)).collect();
        taken.sort_unstable();
        let (median, max) = (taken[MEDIAN], taken[RUNS - 1]);
        println!("{later:>21} {:>9} {:>9}", format!("{median:.2?}"), format!("{max:.2?}"));
    }
}

/// A loan whose payments, a day after another, have paid its fees.
fn lived(later: i64) -> (LoanState, Vec<(AcceptedEvent, Posting)>) {
    let opened = accepted(1, opening(later * UNITS));
    let command = &opened.event.command;
    let (loan, currency) = ((opened.event.loan_key, opened.event.tenant), command.currency());
    let parties = (command.loan_id(), command.borrower_id());
    let mut state = LoanState::unopened(loan, parties, currency, command.effective_date());
    let payments = (0..later).map(|at| accepted(at + 2, payment(UNITS, day(at + 2))));
    let mut rows = Vec::new();
    for event in std::iter::once(opened).chain(payments) {
        let step = post_event(Some(state), false, &mut Past::default(), &event, now()).unwrap();
        state = step.state.unwrap();
        rows.push((event, step.posting.posting));
    }
    (state, rows)
}

/// A payment of the day behind the opening pays all fees, so every later one pays principal. The history is made before
/// the clock starts, as a store makes it of rows.
fn late(state: LoanState, rows: &[(AcceptedEvent, Posting)]) -> Duration {
    let later = i64::try_from(rows.len()).unwrap() - 1;
    let event = accepted(later + 2, payment(later * UNITS, day(1)));
    let history = History::new(rows[1..].to_vec());
    let mut past = Past { history: Some(history), ..Past::default() };
    let watch = Stopwatch::start();
    let Step { system, .. } = post_event(Some(state), false, &mut past, &event, now()).unwrap();
    let taken = watch.elapsed();
    assert_eq!(i64::try_from(system.len()).unwrap(), later, "each later payment is stated anew");
    taken
}

fn accepted(seq: i64, command: Command) -> AcceptedEvent {
    let id = EventId(Uuid::from_u128(u128::from(seq.unsigned_abs()) << 1));
    let key = IdempotencyKey::parse(&format!("event:{seq:08}")).unwrap();
    let event = NewEvent::of_caller(id, TENANT, key, command, PublisherId(Uuid::nil()), "bench".to_owned());
    AcceptedEvent::new(Seq(seq), now(), event)
}

fn opening(fees: i64) -> Command {
    Command::LoanOpening(LoanOpening {
        loan_id: LOAN,
        borrower_id: BORROWER,
        currency: Currency::USD,
        opened_on: day(0),
        loan_number: None,
        program_id: None,
        program_defaults: None,
        waterfall: None,
        opening_balances: OpeningBalances {
            fees: Minor::new(fees),
            interest: Minor::ZERO,
            principal: Minor::new(1_000_000_000),
        },
        metadata: None,
    })
}

fn payment(units: i64, effective_date: NaiveDate) -> Command {
    Command::Payment(Payment {
        loan_id: LOAN,
        borrower_id: BORROWER,
        amount: Money::new(Minor::new(units), Currency::USD),
        effective_date,
        source_method: SourceMethod::Ach,
        external_ref: None,
        metadata: None,
    })
}

/// So many days after New Year 2000.
fn day(days: i64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2000, 1, 1).unwrap() + Days::new(days.unsigned_abs())
}

fn now() -> Timestamp {
    Timestamp::from_micros(1_777_636_800_000_000).unwrap()
}
