//! Owns the posting of groups: all legs of a group in, one outcome out. Every leg is posted, or every leg is refused
//! for the same reason; the parent's posting says which.
//!
//! The lines of one loan's posting always balance, so what a group moves from one loan to another goes over an account
//! of our own, [`AccountCode::LOAN_TRANSFER_CLEARING`](super::AccountCode): it nets to nothing in each group, which is
//! proved here before anything is booked and by `hpts verify` afterwards, and readers do not show it.
//!
//! A refused group leaves its loans' marks where they are: on a loan that waits for a person, events stand in front of
//! the leg that are not posted yet.

mod accrual;
mod pair;
mod reversal;

use crate::core::event::{AcceptedEvent, Command, EventKind, Group, GroupOperation, Leg, LegTerms};
use crate::core::ids::{LoanId, LoanKey};
use crate::core::ledger::account::AccountCode;
use crate::core::ledger::entry::JournalEntry;
use crate::core::ledger::fold::{Booking, Judged, LoanWork, book, post_judged, without_loan};
use crate::core::ledger::late::{History, Looked, look};
use crate::core::ledger::past::Past;
use crate::core::ledger::posting::{Outcome, PostedEvent, Posting, REFUSED_LOANS_MAX, RejectionCode, SystemPosting};
use crate::core::ledger::rules::{Refusal, Verdict};
use crate::core::loan::{AccrualMark, Allocation, LoanState};
use crate::core::time::Timestamp;

/// A leg with its loan, locked, with nothing unposted in front of it unless the loan is on hold.
#[derive(Clone, Debug)]
pub struct LegWork {
    /// The loan's state; `None` where there is no loan.
    pub state: Option<LoanState>,
    /// Whether the loan waits for a person.
    pub on_hold: bool,
    /// Whether opening it failed because its loan number belongs to another loan.
    pub number_taken: bool,
    /// What the leg needs of the loan's past.
    pub past: Past,
    /// The leg.
    pub event: AcceptedEvent,
    /// The loan from where the leg stands, where it is late.
    looked: Option<Looked>,
}

impl LegWork {
    /// The leg of a loan's work; `None` unless that is one event.
    #[must_use]
    pub fn of(mut work: LoanWork, on_hold: bool) -> Option<Self> {
        let event = work.events.pop().filter(|_| work.events.is_empty())?;
        let LoanWork { state, number_taken, past, .. } = work;
        Some(Self { state, on_hold, number_taken, past, event, looked: None })
    }

    /// The loan as the leg finds it.
    fn standing(&self) -> Option<LoanState> {
        self.looked.as_ref().map(|looked| looked.then).or(self.state)
    }

    /// Looks at the loan from where the leg stands.
    fn look(&mut self) -> Result<(), Refusal> {
        if let Some(state) = &self.state {
            self.looked = look(state, &self.past, &self.event.event)?;
            self.past.view = self.looked.as_ref().map(|looked| looked.view.clone());
        }
        Ok(())
    }

    /// What is asked of the loan.
    fn leg(&self) -> Result<&Leg, Refusal> {
        match &self.event.event.command {
            Command::Leg(leg) => Ok(leg),
            Command::Payment(_)
            | Command::Disbursement(_)
            | Command::LoanOpening(_)
            | Command::PaymentReturn(_)
            | Command::Fee(_)
            | Command::Receipt(_)
            | Command::BankSettlement(_)
            | Command::Servicing(_)
            | Command::Upload(_)
            | Command::Group(_) => Err(Refusal::OtherLeg),
        }
    }
}

impl LegWork {
    /// What is done to the loan.
    fn terms(&self) -> Result<&LegTerms, Refusal> {
        self.leg().map(|leg| &leg.terms)
    }
}

/// What the store hands over of a group.
#[derive(Clone, Debug)]
pub struct GroupInput {
    /// The database's clock.
    pub now: Timestamp,
    /// The parent.
    pub parent: AcceptedEvent,
    /// All legs, by number.
    pub legs: Vec<LegWork>,
    /// What the group is refused for without a look at its legs: it could not be posted.
    pub refusal: Option<RejectionCode>,
}

/// What is written of a group.
#[derive(Clone, Debug)]
pub struct GroupOutput {
    /// The parent's posting: `done`, or `rejected` with the code of all legs.
    pub parent: Posting,
    /// The legs' postings, by number.
    pub legs: Vec<PostedEvent>,
    /// Our own consequences of legs: suspense that pays what a leg has brought.
    pub system: Vec<SystemPosting>,
    /// The new states of the loans that got one with a version.
    pub states: Vec<LoanState>,
    /// How far loans are accrued behind these versions.
    pub accrued: Vec<(LoanKey, i64, AccrualMark)>,
    /// Whether a leg may have shown late fees to be for payments on time: who answers looks.
    pub is_reviewing: bool,
}

/// A rule that refuses a group, and the loans that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct GroupRefusal {
    code: RejectionCode,
    loans: Vec<LoanId>,
}

/// What a group does: one verdict a leg, and how its money is divided in all.
struct GroupVerdict {
    legs: Vec<Verdict>,
    moved: Option<Allocation>,
}

/// Posts a group, or refuses it.
///
/// # Errors
/// A text when our own rule is broken; nothing is known of the group then.
pub fn post_group(mut input: GroupInput) -> Result<GroupOutput, String> {
    let group = match &input.parent.event.command {
        Command::Group(group) => group,
        Command::Payment(_)
        | Command::Disbursement(_)
        | Command::LoanOpening(_)
        | Command::PaymentReturn(_)
        | Command::Fee(_)
        | Command::Receipt(_)
        | Command::BankSettlement(_)
        | Command::Servicing(_)
        | Command::Upload(_)
        | Command::Leg(_) => return Err(format!("event {} is no group", input.parent.seq)),
    };
    if usize::try_from(group.legs) != Ok(input.legs.len()) {
        return Err(format!("group {} came with {} of {} legs", input.parent.seq, input.legs.len(), group.legs));
    }
    let judged = match input.refusal {
        Some(code) => Err(GroupRefusal { code, loans: Vec::new() }),
        None => match look_at(&mut input.legs)? {
            Some(refusal) => Err(refusal),
            None => judge(group, &input.legs)?,
        },
    };
    let judged = match judged {
        Ok(verdict) => out_of_room(&input.legs, &verdict.legs)?.map_or(Ok(verdict), Err),
        Err(refusal) => Err(refusal),
    };
    match judged {
        Ok(verdict) => post(input, verdict),
        Err(refusal) => refuse(input, refusal),
    }
}

/// The loans on which what follows from a late leg would leave 64 bits: seen before anything is booked.
fn out_of_room(legs: &[LegWork], verdicts: &[Verdict]) -> Result<Option<GroupRefusal>, String> {
    let has_no_room = |(leg, verdict): &(&LegWork, &Verdict)| {
        leg.looked.as_ref().is_some_and(|looked| looked.clone().settlement(&leg.event.event, verdict).is_err())
    };
    let full = legs.iter().zip(verdicts).filter(has_no_room).map(|(leg, _)| leg);
    named(RejectionCode::AmountOverflow, full)
}

/// Looks at each loan from where its leg stands. A group that waits for a person is not looked at.
fn look_at(legs: &mut [LegWork]) -> Result<Option<GroupRefusal>, String> {
    if legs.iter().any(|leg| leg.on_hold) {
        return Ok(None);
    }
    for leg in legs {
        match leg.look() {
            Ok(()) => {}
            Err(Refusal::Rule(code)) => return named(code, std::iter::once(&*leg)),
            Err(ours) => return Err(ours.to_string()),
        }
    }
    Ok(None)
}

fn judge(group: &Group, legs: &[LegWork]) -> Result<Result<GroupVerdict, GroupRefusal>, String> {
    let held = named(RejectionCode::LoanOnHold, legs.iter().filter(|leg| leg.on_hold))?;
    if let Some(refusal) = held {
        return Ok(Err(refusal));
    }
    // As for events alone: what is taken back, and a receipt, stand on a day that nobody chooses.
    let is_bound = matches!(group.operation, GroupOperation::Reversal(_) | GroupOperation::ReceiptAssignment { .. });
    let is_late = |leg: &&LegWork| leg.past.calendar.refuses(leg.event.event.command.effective_date());
    let late = named(RejectionCode::PeriodClosed, legs.iter().filter(|_| !is_bound).filter(is_late))?;
    if let Some(refusal) = late {
        return Ok(Err(refusal));
    }
    match &group.operation {
        GroupOperation::Accrual { program_id, rule, .. } => {
            each(legs, |work| accrual::judge(work, *program_id, rule.as_ref()))
        }
        GroupOperation::SuspenseTransfer => together(legs, pair::judge_transfer(legs)),
        GroupOperation::ReceiptAssignment { .. } => together(legs, pair::judge_assignment(legs)),
        GroupOperation::Rearrangement { sort, moves } => together(legs, pair::judge_rearrangement(legs, *sort, moves)),
        GroupOperation::Reversal(_) => Ok(each(legs, reversal::judge)?.map(|it| GroupVerdict { moved: None, ..it })),
    }
}

/// What was judged of legs that know of each other, or why not and because of which leg.
type Blamed<T> = Result<T, (usize, Refusal)>;

/// A refusal is because of this leg.
fn blame<T>(leg: usize, judged: Result<T, impl Into<Refusal>>) -> Blamed<T> {
    judged.map_err(|refusal| (leg, refusal.into()))
}

/// What was judged of all legs at once.
fn together(legs: &[LegWork], judged: Blamed<GroupVerdict>) -> Result<Result<GroupVerdict, GroupRefusal>, String> {
    match judged {
        Ok(verdict) => Ok(Ok(verdict)),
        Err((leg, Refusal::Rule(code))) => {
            let blamed = named(code, legs.iter().skip(leg).take(1))?;
            Ok(Err(blamed.unwrap_or(GroupRefusal { code, loans: Vec::new() })))
        }
        Err((_, ours)) => Err(ours.to_string()),
    }
}

/// The refusal of the loans of these legs; `None` where there are none.
fn named<'l>(code: RejectionCode, legs: impl Iterator<Item = &'l LegWork>) -> Result<Option<GroupRefusal>, String> {
    let loans: Vec<LoanId> = legs
        .take(REFUSED_LOANS_MAX)
        .map(|leg| leg.leg().map(|leg| leg.loan_id))
        .collect::<Result<_, _>>()
        .map_err(|ours| ours.to_string())?;
    Ok((!loans.is_empty()).then_some(GroupRefusal { code, loans }))
}

/// Judges legs that do not know of each other. The first that is refused names the reason, and with it all that are
/// refused for the same.
fn each(
    legs: &[LegWork],
    judge: impl Fn(&LegWork) -> Result<Verdict, Refusal>,
) -> Result<Result<GroupVerdict, GroupRefusal>, String> {
    let mut verdicts = Vec::with_capacity(legs.len());
    let mut refused: Option<GroupRefusal> = None;
    let mut moved = Allocation::default();
    for work in legs {
        match judge(work).and_then(|verdict| Ok((added(moved, &verdict)?, verdict))) {
            Ok((sum, verdict)) => {
                moved = sum;
                verdicts.push(verdict);
            }
            Err(Refusal::Rule(code)) => {
                let refusal = refused.get_or_insert_with(|| GroupRefusal { code, loans: Vec::new() });
                if refusal.code == code && refusal.loans.len() < REFUSED_LOANS_MAX {
                    refusal.loans.push(work.leg().map_err(|ours| ours.to_string())?.loan_id);
                }
            }
            Err(ours) => return Err(ours.to_string()),
        }
    }
    Ok(match refused {
        Some(refusal) => Err(refusal),
        None => Ok(GroupVerdict { legs: verdicts, moved: Some(moved) }),
    })
}

/// What the group has moved in all, in the terms of a split.
fn added(moved: Allocation, verdict: &Verdict) -> Result<Allocation, Refusal> {
    let movement = &verdict.movement;
    Ok(Allocation {
        fees: moved.fees.plus(movement.fees)?,
        interest: moved.interest.plus(movement.interest)?,
        principal: moved.principal.plus(movement.principal)?,
        suspense: moved.suspense.plus(movement.suspense)?,
    })
}

/// The loan, where it exists, is the borrower's and in the group's currency, and had opened by the leg's day.
fn open_loan(work: &LegWork) -> Result<LoanState, Refusal> {
    let leg = work.leg()?;
    let state = work.standing().filter(|state| state.version > 0).ok_or(RejectionCode::LoanNotFound)?;
    if leg.borrower().is_some_and(|borrower| borrower != state.borrower_id) {
        return Err(RejectionCode::BorrowerMismatch.into());
    }
    if leg.currency != state.currency {
        return Err(RejectionCode::CurrencyMismatch.into());
    }
    if leg.effective_date < state.opened_on {
        return Err(RejectionCode::EffectiveBeforeOpening.into());
    }
    Ok(state)
}

fn post(input: GroupInput, verdict: GroupVerdict) -> Result<GroupOutput, String> {
    prove_clearing(&verdict.legs)?;
    let mut output = empty(&input, Outcome::Done);
    output.parent.allocation = verdict.moved;
    for (work, verdict) in input.legs.into_iter().zip(verdict.legs) {
        let LegWork { state, mut past, event, looked, .. } = work;
        past.view = None;
        let state = state.ok_or_else(|| format!("leg {} is posted without its loan", event.seq))?;
        let accrued = verdict.accrued;
        let judged = Judged { looked, verdict: Ok(verdict) };
        let posted = post_judged(state, &mut past, &event, judged, input.now)?;
        // As for an event alone: what is taken back may have taken money back on a later day.
        output.is_reviewing |= event.event.kind == EventKind::Reversal;
        output.is_reviewing |= past.history.as_ref().is_some_and(History::has_late_fees);
        let version = posted.posting.loan_version;
        output.accrued.extend(accrued.zip(version).map(|(mark, version)| (state.key, version, mark)));
        output.system.extend(posted.system);
        output.add(PostedEvent { seq: event.seq, posting: posted.posting }, Some(posted.state));
    }
    Ok(output)
}

fn refuse(input: GroupInput, refusal: GroupRefusal) -> Result<GroupOutput, String> {
    let mut output = empty(&input, Outcome::Rejected(refusal.code));
    output.parent.refused_loans = refusal.loans;
    for work in input.legs {
        let LegWork { state, mut past, event, .. } = work;
        match state.filter(|state| state.version > 0) {
            Some(mut state) => {
                let booking = Booking { seq: Some(event.seq), event: &event.event, verdict: Err(refusal.code) };
                let posting = book(&mut state, &mut past, booking, input.now)?;
                output.add(PostedEvent { seq: event.seq, posting }, Some(state));
            }
            None => output.add(without_loan(None, &event, refusal.code, input.now).posting, None),
        }
    }
    Ok(output)
}

impl GroupOutput {
    fn add(&mut self, leg: PostedEvent, state: Option<LoanState>) {
        self.parent.posted_at = self.parent.posted_at.max(leg.posting.posted_at);
        self.legs.push(leg);
        self.states.extend(state);
    }
}

fn empty(input: &GroupInput, outcome: Outcome) -> GroupOutput {
    let event = &input.parent.event;
    let date = event.command.effective_date();
    let parent = Posting {
        event_id: event.id,
        loan_key: event.loan_key,
        loan_version: None,
        outcome,
        entry: None,
        allocation: None,
        undoes_seq: None,
        restates_seq: None,
        effective_date: date,
        booking_date: date,
        posted_at: input.now,
        chain_hash: None,
        refused_loans: Vec::new(),
    };
    let legs = input.legs.len();
    GroupOutput {
        parent,
        legs: Vec::with_capacity(legs),
        system: Vec::new(),
        states: Vec::with_capacity(legs),
        accrued: Vec::new(),
        is_reviewing: false,
    }
}

/// What goes from loan to loan leaves nothing on the way.
fn prove_clearing(legs: &[Verdict]) -> Result<(), String> {
    let lines = legs.iter().filter_map(|leg| leg.entry.as_ref()).flat_map(JournalEntry::lines);
    let clearing = lines.filter(|line| line.account == AccountCode::LOAN_TRANSFER_CLEARING);
    // 10,000 legs of 32,767 lines of 64 bits cannot leave 128 bits.
    let left = clearing.fold(0_i128, |sum, line| sum.saturating_add(i128::from(line.signed.units())));
    if left == 0 { Ok(()) } else { Err(format!("a group leaves {left} between its loans")) }
}
