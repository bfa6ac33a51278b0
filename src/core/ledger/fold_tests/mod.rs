//! Owns the tests of the posting fold: its makers, and one loan's books as a store keeps them.
//!
//! [`Books`] is the store contract (`store/post.rs`) in memory and for one loan: the row is made from the first opening
//! event, a second one waits for the next batch, a history is given only when an event of the batch is late, from the
//! earliest late day on, a late event waits for the next batch behind consequences of this one, of earlier events only
//! those are told that an event of the batch names, and fees only where it is judged by them.

#![expect(clippy::arithmetic_side_effects, reason = "a test that overflows panics, which is a failed test")]

mod accrual_properties;
mod accruals;
mod adjusted_interest;
mod answers;
mod bank;
mod chain;
mod charge_backs;
mod charge_offs;
mod explanations;
mod late_fees;
mod late_items;
mod late_waivers;
mod many_waivers;
mod model;
mod named_waivers;
mod owed_again;
mod properties;
mod refusals;
mod releases;
mod return_fees;
mod returns;
mod servicing;
mod servicing_properties;

use chrono::{Days, NaiveDate};
use uuid::Uuid;

use crate::core::event::{
    AcceptedEvent, Command, Disbursement, EventKind, Fee, IdempotencyKey, LoanOpening, NewEvent, OpeningBalances,
    Party, Payment, PaymentReturn, ReturnCode, ReturnTerms, Servicing, SourceMethod,
};
use crate::core::ids::{BorrowerId, EventId, LoanId, PublisherId, Seq, TenantId};
use crate::core::ledger::{
    AccountCode, Booked, Earlier, EarlierState, FeeBook, History, JournalEntry, Line, Outcome, Past, Posting, Receipts,
    computing_group, earliest_late, must_wait, needs_fees, needs_receipts, post_event, reaches_back_to,
};
use crate::core::loan::{AccrualMark, Allocation, Balances, InterestRule, LoanState, Waterfall, Waterfalls};
use crate::core::money::{Currency, Minor, Money};
use crate::core::time::Timestamp;

/// The loan all tests post to.
const LOAN: LoanId = LoanId(Uuid::from_u128(0x11));
/// Its borrower.
const BORROWER: BorrowerId = BorrowerId(Uuid::from_u128(0x22));
/// Whose books.
const TENANT: TenantId = TenantId(Uuid::from_u128(0x33));

/// A day of 2026.
fn date(month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, month, day).unwrap()
}

/// The day so many days after New Year 2026.
fn nth_day(days: u8) -> NaiveDate {
    date(1, 1).checked_add_days(Days::new(u64::from(days))).unwrap()
}

/// Noon on 1 May 2026, and so many microseconds.
fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_777_636_800_000_000 + micros).unwrap()
}

fn usd(units: i64) -> Money {
    Money::new(Minor::new(units), Currency::USD)
}

fn payment(units: i64, effective_date: NaiveDate) -> Command {
    Command::Payment(Payment {
        loan_id: LOAN,
        borrower_id: BORROWER,
        amount: usd(units),
        effective_date,
        source_method: SourceMethod::Ach,
        external_ref: None,
        metadata: None,
    })
}

fn disbursement(units: i64, effective_date: NaiveDate) -> Command {
    Command::Disbursement(Disbursement {
        loan_id: LOAN,
        borrower_id: BORROWER,
        amount: usd(units),
        effective_date,
        method: SourceMethod::Wire,
        destination_ref: None,
        metadata: None,
    })
}

/// The loan registered with fees, interest and principal.
fn opening([fees, interest, principal]: [i64; 3], opened_on: NaiveDate) -> Command {
    Command::LoanOpening(LoanOpening {
        loan_id: LOAN,
        borrower_id: BORROWER,
        currency: Currency::USD,
        opened_on,
        loan_number: None,
        program_id: None,
        program_defaults: None,
        waterfall: None,
        opening_balances: OpeningBalances {
            fees: Minor::new(fees),
            interest: Minor::new(interest),
            principal: Minor::new(principal),
        },
        metadata: None,
    })
}

/// The command with another order of payment, where it has one.
/// Other orders of payment for suspense, for recoveries, and for a loan that is charged off.
fn ruled() -> Waterfalls {
    "fees,interest,principal;suspense@open:interest,principal,fees;recovery@:interest,fees,principal;\
     @charged_off+written_off:principal,interest,fees"
        .parse()
        .unwrap()
}

fn ordered(command: Command, waterfall: Waterfall) -> Command {
    match command {
        Command::LoanOpening(opening) => Command::LoanOpening(LoanOpening { waterfall: Some(waterfall), ..opening }),
        other @ (Command::Payment(_)
        | Command::Disbursement(_)
        | Command::PaymentReturn(_)
        | Command::Fee(_)
        | Command::Servicing(_)
        | Command::Receipt(_)
        | Command::BankSettlement(_)
        | Command::Upload(_)
        | Command::Group(_)
        | Command::Leg(_)) => other,
    }
}

/// The command as if it came from another borrower and in another currency.
fn named(command: Command, borrower_id: BorrowerId, currency: Currency) -> Command {
    match command {
        Command::Payment(it) => {
            Command::Payment(Payment { borrower_id, amount: Money::new(it.amount.minor, currency), ..it })
        }
        Command::Disbursement(it) => {
            Command::Disbursement(Disbursement { borrower_id, amount: Money::new(it.amount.minor, currency), ..it })
        }
        Command::LoanOpening(it) => Command::LoanOpening(LoanOpening { borrower_id, currency, ..it }),
        it @ (Command::Receipt(_)
        | Command::BankSettlement(_)
        | Command::Upload(_)
        | Command::Group(_)
        | Command::Leg(_)) => it,
        Command::PaymentReturn(it) => {
            Command::PaymentReturn(PaymentReturn { borrower_id, amount: Money::new(it.amount.minor, currency), ..it })
        }
        Command::Fee(it) => Command::Fee(Fee { borrower_id, amount: Money::new(it.amount.minor, currency), ..it }),
        Command::Servicing(it) => Command::Servicing(Servicing { party: Party { borrower_id, currency }, ..it }),
    }
}

/// The return of an accepted payment, with a fee where that is more than nothing.
fn returning(payment: &AcceptedEvent, effective_date: NaiveDate, fee: i64) -> Command {
    let code = ReturnCode::parse("R01").unwrap();
    let terms = ReturnTerms { code, effective_date, amount: None, fee: Some(Minor::new(fee)), metadata: None };
    Command::PaymentReturn(PaymentReturn::of(payment, terms).unwrap())
}

/// The event that `command` becomes at place `seq`.
fn accepted(seq: i64, command: Command) -> AcceptedEvent {
    let id = EventId(Uuid::from_u128(u128::from(seq.unsigned_abs()) << 1));
    let key = IdempotencyKey::parse(&format!("event:{seq:08}")).unwrap();
    let event = NewEvent::of_caller(id, TENANT, key, command, PublisherId(Uuid::nil()), "test".to_owned());
    AcceptedEvent::new(Seq(seq), at(0), event)
}

/// What a posting's lines did to the loan's balances, as a store rebuilds it.
fn movement_of(posting: &Posting) -> Balances {
    let lines = posting.entry.as_ref().map_or([].as_slice(), |entry| entry.lines());
    let of = |account| Minor::sum(lines.iter().filter(|line| line.account == account).map(|line| line.signed)).unwrap();
    Balances {
        fees: of(AccountCode::FEES_RECEIVABLE),
        interest: of(AccountCode::INTEREST_RECEIVABLE),
        principal: of(AccountCode::PRINCIPAL_RECEIVABLE),
        suspense: of(AccountCode::BORROWER_SUSPENSE).mirrored().unwrap(),
    }
}

/// Places of consequences begin here: no caller's event comes near.
const CONSEQUENCES: i64 = 1 << 40;

/// One event after it was posted: the loan before and after it, and its record. A consequence stands behind its cause,
/// with the loan as both have left it.
#[derive(Clone, Debug, PartialEq)]
struct Posted {
    before: Option<LoanState>,
    after: Option<LoanState>,
    event: AcceptedEvent,
    posting: Posting,
}

/// A consequence: its kind, what it restates, and its lines.
type Consequence = (&'static str, Option<i64>, Vec<(String, i64)>);

/// One loan's books.
#[derive(Clone, Debug, Default, PartialEq)]
struct Books {
    state: Option<LoanState>,
    posted: Vec<Posted>,
    /// How the loan bears interest, where not as most of these tests have it.
    rule: Option<InterestRule>,
    /// The marks that accruals have left, with the versions behind which.
    marks: Vec<(i64, AccrualMark)>,
}

impl Books {
    /// Posts the events as one batch, or as two where a second opening has to wait.
    fn post(&mut self, events: &[AcceptedEvent], now: Timestamp) {
        let mut rest = events;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(self.batch_end(rest));
            let posted = self.post_batch(batch, now).unwrap();
            rest = if posted < batch.len() { rest.split_at(posted).1 } else { later };
        }
    }

    /// Each command as a batch of its own, numbered from 1.
    fn of(commands: impl IntoIterator<Item = Command>) -> Self {
        let mut books = Self::default();
        for (seq, command) in (1..).zip(commands) {
            books.post(&[accepted(seq, command)], at(seq));
        }
        books
    }

    /// A row that the batch makes serves one opening event only.
    fn batch_end(&self, events: &[AcceptedEvent]) -> usize {
        let opens = |event: &AcceptedEvent| event.event.command.opens_loan();
        let openings = events.iter().enumerate().filter(|(_, event)| opens(event)).map(|(index, _)| index);
        if self.state.is_some() { events.len() } else { openings.take(2).nth(1).unwrap_or(events.len()) }
    }

    /// Answers how many of the events were posted: those behind wait for the next batch.
    fn post_batch(&mut self, events: &[AcceptedEvent], now: Timestamp) -> Result<usize, String> {
        let mut state = self.state.or_else(|| events.iter().find_map(unopened));
        let history = state.and_then(|state| self.history(&state, events));
        let fees = needs_fees(events).then(|| self.fees());
        let receipts = needs_receipts(events).map(|since| self.receipts(since));
        let mut past = Past { history, earlier: self.earlier(events), fees, receipts, ..Past::default() };
        for (posted, event) in events.iter().enumerate() {
            if state.is_some_and(|state| must_wait(&state, &past, event)) {
                return Ok(posted);
            }
            let step = post_event(state, false, &mut past, event, now)?;
            let posting = step.posting.posting;
            self.posted.push(Posted { before: state, after: step.state, event: event.clone(), posting });
            for system in step.system {
                let number = i64::try_from(self.posted.len()).unwrap();
                let event = AcceptedEvent::new(Seq(CONSEQUENCES + number), now, system.event);
                self.posted.push(Posted { before: step.state, after: step.state, event, posting: system.posting });
            }
            state = step.state;
            self.state = state.filter(|state| state.version > 0);
        }
        Ok(events.len())
    }

    /// What became of the events that these events name and that were posted before.
    fn earlier(&self, events: &[AcceptedEvent]) -> Earlier {
        let mut earlier = Earlier::of(events);
        for seq in earlier.unread(events) {
            let is_undone = self.posted.iter().any(|posted| posted.posting.undoes_seq == Some(seq));
            let Posted { posting, .. } = self.posted.iter().find(|posted| posted.event.seq == seq).unwrap();
            let lines = posting.entry.as_ref().map(JournalEntry::lines).unwrap_or_default().to_vec();
            let booked = Booked { lines, split: posting.allocation, is_settled: self.is_settled(seq) };
            let state = match posting.outcome {
                _ if is_undone => EarlierState::Undone,
                Outcome::Posted => EarlierState::Posted(booked),
                Outcome::Rejected(_) | Outcome::Done => EarlierState::Rejected,
            };
            earlier.learn(seq, state);
        }
        earlier
    }

    /// Whether a settlement of the disbursement stands.
    fn is_settled(&self, disbursement: Seq) -> bool {
        let is_undone = |seq| self.posted.iter().any(|posted| posted.posting.undoes_seq == Some(seq));
        self.posted.iter().any(|posted| {
            let Command::Servicing(servicing) = &posted.event.event.command else { return false };
            let settles = servicing.act.names().is_some_and(|named| named.seq == disbursement)
                && posted.event.event.kind == EventKind::DisbursementSettled;
            settles && posted.posting.outcome == Outcome::Posted && !is_undone(posted.event.seq)
        })
    }

    /// The loan's fees, as a store rebuilds them.
    fn fees(&self) -> FeeBook {
        let mut book = FeeBook::default();
        for posted in &self.posted {
            book.note(&posted.event.event, &posted.posting);
        }
        book
    }

    /// The money that came in from a day on, as a store rebuilds it.
    fn receipts(&self, since: NaiveDate) -> Receipts {
        let mut receipts = Receipts::default();
        for it in self.posted.iter().filter(|it| it.posting.effective_date >= since) {
            receipts.note(it.event.seq, &it.event.event, &it.posting);
        }
        receipts
    }

    fn history(&self, state: &LoanState, events: &[AcceptedEvent]) -> Option<History> {
        let since = earliest_late(state, events)?;
        let rows = |since: NaiveDate| -> Vec<(AcceptedEvent, Posting)> {
            let rows = self.posted.iter().filter(|it| it.posting.outcome == Outcome::Posted);
            let rows = rows.filter(|it| it.posting.effective_date >= since);
            rows.map(|it| (it.event.clone(), it.posting.clone())).collect()
        };
        let mut since = since;
        while let Some(further) = reaches_back_to(&rows(since), since) {
            since = further;
        }
        let rows = rows(since);
        let computes = computing_group(rows.iter().map(|(event, _)| event).chain(events)).is_some();
        let history = History::new(rows);
        let rule = self.rule.unwrap_or_else(accruals::rule);
        Some(if computes { history.with_accruals(rule, self.accrual_book(since)) } else { history })
    }

    /// What the fold is told of the past where it posts this event next.
    fn past(&self, event: &AcceptedEvent) -> Past {
        let events = std::slice::from_ref(event);
        let history = self.state.and_then(|state| self.history(&state, events));
        Past { history, earlier: self.earlier(events), ..Past::default() }
    }

    /// The event at a place.
    fn event(&self, seq: i64) -> &AcceptedEvent {
        &self.posted.iter().find(|posted| posted.event.seq == Seq(seq)).unwrap().event
    }

    /// The balances at the end of a day, rebuilt from the lines alone.
    fn balances_on(&self, day: NaiveDate) -> [i64; 4] {
        let until = self.posted.iter().map(|posted| &posted.posting).filter(|posting| posting.effective_date <= day);
        let mut sums = [0_i128; 4];
        for posting in until {
            let Balances { fees, interest, principal, suspense } = movement_of(posting);
            for (sum, part) in sums.iter_mut().zip([fees, interest, principal, suspense]) {
                *sum += i128::from(part.units());
            }
        }
        sums.map(|sum| i64::try_from(sum).unwrap())
    }

    /// What became of the event posted last.
    fn last(&self) -> &Posting {
        &self.posted.last().unwrap().posting
    }

    /// What became of the event that was sent last.
    fn last_sent(&self) -> &Posting {
        &self.posted.iter().rfind(|posted| posted.event.event.slot.is_some()).unwrap().posting
    }

    /// Fees, interest, principal and suspense as they stand.
    fn balances(&self) -> [i64; 4] {
        let Balances { fees, interest, principal, suspense } = self.state.unwrap().balances;
        [fees, interest, principal, suspense].map(Minor::units)
    }

    /// The same four parts of the split that was posted last.
    fn last_split(&self) -> [i64; 4] {
        parts(&self.last().allocation.unwrap())
    }

    /// The split that stands of the event at a place.
    fn split(&self, seq: i64) -> [i64; 4] {
        let own = |it: &&Posted| it.event.seq == Seq(seq) || it.posting.restates_seq == Some(Seq(seq));
        parts(&self.posted.iter().rev().find(own).unwrap().posting.allocation.unwrap())
    }

    /// What the last event sent has brought about: kind, what it restates, and its lines.
    fn consequences(&self) -> Vec<Consequence> {
        let last = self.posted.iter().rposition(|posted| posted.event.event.slot.is_some()).unwrap();
        let line = |line: &Line| (line.account.to_string(), line.signed.units());
        let told = |posted: &Posted| {
            let lines = posted.posting.entry.iter().flat_map(JournalEntry::lines).map(line).collect();
            (posted.event.event.kind.as_str(), posted.posting.restates_seq.map(|seq| seq.0), lines)
        };
        self.posted[last + 1..].iter().map(told).collect()
    }
}

fn parts(split: &Allocation) -> [i64; 4] {
    [split.fees, split.interest, split.principal, split.suspense].map(Minor::units)
}

fn unopened(event: &AcceptedEvent) -> Option<LoanState> {
    let command = &event.event.command;
    command.opens_loan().then(|| {
        LoanState::unopened(
            (event.event.loan_key, event.event.tenant),
            (command.loan_id(), command.borrower_id()),
            command.currency(),
            command.effective_date(),
        )
    })
}
