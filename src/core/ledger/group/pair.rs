//! Owns what goes from one loan to another: what the first leg gives, the second takes, over an account of our own that
//! each group leaves at zero.

use crate::core::event::{LegTerms, Move, MovedBucket, Rearrangement};
use crate::core::ledger::account::AccountCode;
use crate::core::ledger::entry::{JournalEntry, Line};
use crate::core::ledger::group::{Blamed, GroupVerdict, LegWork, blame, open_loan};
use crate::core::ledger::past::EarlierState;
use crate::core::ledger::posting::RejectionCode;
use crate::core::ledger::rules::{Day, Refusal, Verdict, judge_payment, movement_of};
use crate::core::loan::{Allocation, Balances, LoanState, LoanStatus, PaymentKind};
use crate::core::money::{AmountOverflow, Minor};

/// Suspense of one loan becomes that of another loan of the same borrower.
pub(super) fn judge_transfer(legs: &[LegWork]) -> Blamed<GroupVerdict> {
    let (from, to) = two(legs)?;
    let (old, new) = (blame(0, unclosed(from))?, blame(1, unclosed(to))?);
    blame(1, same_party(&old, &new))?;
    let source = blame(0, day_of(&old, from))?;
    let LegTerms::SuspenseOut { amount: asked } = blame(0, from.terms())? else { return Err((0, Refusal::OtherLeg)) };
    let held = source.least().suspense.max(Minor::ZERO);
    let amount = asked.unwrap_or(held);
    if amount.is_zero() || amount > held {
        return Err((0, RejectionCode::InsufficientBalance.into()));
    }
    let moves = [Move { from: MovedBucket::Suspense, to: MovedBucket::Suspense, amount_minor: amount }];
    let target = blame(1, day_of(&new, to))?;
    let legs = vec![blame(0, give(&source, &moves))?, blame(1, take(&target, &moves))?];
    Ok(GroupVerdict { legs, moved: Some(blame(0, sum(&moves))?) })
}

/// Money received for no known loan goes to its loan, as a payment of the day on which it was received.
pub(super) fn judge_assignment(legs: &[LegWork]) -> Blamed<GroupVerdict> {
    let (from, to) = two(legs)?;
    let LegTerms::ReceiptOut { receipt, amount } = *blame(0, from.terms())? else {
        return Err((0, Refusal::OtherLeg));
    };
    match from.past.earlier.state(receipt.seq).ok_or((0, Refusal::NoEarlierEvent))? {
        EarlierState::Posted(booked) if booked.split.is_none() => {}
        // It is assigned, or taken back.
        EarlierState::Posted(_) | EarlierState::Undone => return Err((0, RejectionCode::AlreadyUndone.into())),
        EarlierState::Rejected => return Err((0, RejectionCode::NotReversible.into())),
    }
    let loan = blame(1, unclosed(to))?;
    let target = blame(1, day_of(&loan, to))?;
    let paid = blame(1, judge_payment(&target, (amount, PaymentKind::Receipt)))?;
    let split = paid.allocation;
    let lines = paid.entry.iter().flat_map(JournalEntry::lines).map(|line| match line.account {
        AccountCode::PAYMENT_CLEARING => Line { account: AccountCode::LOAN_TRANSFER_CLEARING, ..*line },
        _ => *line,
    });
    let taken = blame(1, Verdict::new(lines, paid.movement, paid.effective_date))?;
    let taken = Verdict { allocation: split, restates_seq: Some(receipt.seq), standing: paid.standing, ..taken };
    let given = [
        Line::debit(AccountCode::UNIDENTIFIED_RECEIPTS, amount),
        blame(0, Line::credit(AccountCode::LOAN_TRANSFER_CLEARING, amount))?,
    ];
    let date = blame(0, from.leg())?.effective_date;
    let given = blame(0, Verdict::new(given, Balances::default(), date))?;
    Ok(GroupVerdict { legs: vec![given, taken], moved: split })
}

/// What an old loan owes becomes what a new one owes. A refinance moves all of it.
pub(super) fn judge_rearrangement(legs: &[LegWork], why: Rearrangement, moves: &[Move]) -> Blamed<GroupVerdict> {
    let total = Some(blame(0, sum(moves))?);
    if let [within] = legs {
        let loan = blame(0, unclosed(within))?;
        let day = blame(0, day_of(&loan, within))?;
        return Ok(GroupVerdict { legs: vec![blame(0, turn(&day, moves))?], moved: total });
    }
    let (from, to) = two(legs)?;
    let old = blame(0, uncharged(from))?;
    let source = blame(0, day_of(&old, from))?;
    if why == Rearrangement::Refinance {
        blame(0, all_owed(&source, moves))?;
    }
    let new = blame(1, opened_or_new(to))?;
    blame(1, same_party(&old, &new))?;
    let target = blame(1, day_of(&new, to))?;
    Ok(GroupVerdict { legs: vec![blame(0, give(&source, moves))?, blame(1, take(&target, moves))?], moved: total })
}

fn two(legs: &[LegWork]) -> Blamed<(&LegWork, &LegWork)> {
    match legs {
        [from, to] => Ok((from, to)),
        _ => Err((0, Refusal::OtherLeg)),
    }
}

fn day_of<'l>(state: &'l LoanState, work: &'l LegWork) -> Result<Day<'l>, Refusal> {
    Day::new(state, work.leg()?.effective_date, &work.past)
}

/// A loan that is not written off.
fn unclosed(work: &LegWork) -> Result<LoanState, Refusal> {
    let state = open_loan(work)?;
    match state.status {
        LoanStatus::Open | LoanStatus::ChargedOff => Ok(state),
        LoanStatus::WrittenOff => Err(RejectionCode::LoanClosed.into()),
    }
}

/// A loan whose debt stands on the balance sheet.
fn uncharged(work: &LegWork) -> Result<LoanState, Refusal> {
    let state = open_loan(work)?;
    match state.status {
        LoanStatus::Open => Ok(state),
        LoanStatus::ChargedOff | LoanStatus::WrittenOff => Err(RejectionCode::LoanClosed.into()),
    }
}

/// The new loan: it exists, or this leg opens it.
fn opened_or_new(work: &LegWork) -> Result<LoanState, Refusal> {
    let leg = work.leg()?;
    if leg.terms.new_loan().is_none() {
        return uncharged(work);
    }
    match work.state {
        Some(state) if state.version == 0 && state.opened_on == leg.effective_date => Ok(state),
        Some(state) if state.version == 0 => Err(Refusal::OtherTerms),
        Some(_) => Err(RejectionCode::LoanExists.into()),
        None if work.number_taken => Err(RejectionCode::LoanExists.into()),
        None => Err(RejectionCode::LoanNotFound.into()),
    }
}

fn same_party(old: &LoanState, new: &LoanState) -> Result<(), Refusal> {
    if old.borrower_id != new.borrower_id {
        return Err(RejectionCode::BorrowerMismatch.into());
    }
    if old.currency == new.currency { Ok(()) } else { Err(RejectionCode::CurrencyMismatch.into()) }
}

/// A refinance leaves nothing owed: the caller has moved what the ledger says that the loan owes on that day.
fn all_owed(day: &Day<'_>, moves: &[Move]) -> Result<(), Refusal> {
    let (owed, gone) = (day.balances(), taken(moves)?);
    let is_all = (owed.fees, owed.interest, owed.principal) == (gone.fees, gone.interest, gone.principal);
    if is_all { Ok(()) } else { Err(RejectionCode::PrincipalMismatch.into()) }
}

/// What the moves take from the old loan.
fn taken(moves: &[Move]) -> Result<Balances, AmountOverflow> {
    let mut taken = Balances::default();
    for Move { from, amount_minor, .. } in moves {
        let bucket = match from {
            MovedBucket::Fees => &mut taken.fees,
            MovedBucket::Interest => &mut taken.interest,
            MovedBucket::Principal => &mut taken.principal,
            MovedBucket::Suspense => &mut taken.suspense,
        };
        *bucket = bucket.plus(*amount_minor)?;
    }
    Ok(taken)
}

/// The same, in the terms of a split.
fn sum(moves: &[Move]) -> Result<Allocation, Refusal> {
    let Balances { fees, interest, principal, suspense } = taken(moves)?;
    Ok(Allocation { fees, interest, principal, suspense })
}

/// The line that empties a bucket.
fn out_of(bucket: MovedBucket, amount: Minor) -> Result<Line, AmountOverflow> {
    match bucket {
        MovedBucket::Suspense => Ok(Line::debit(account_of(bucket), amount)),
        MovedBucket::Fees | MovedBucket::Interest | MovedBucket::Principal => Line::credit(account_of(bucket), amount),
    }
}

/// The line that fills a bucket.
fn into(bucket: MovedBucket, amount: Minor) -> Result<Line, AmountOverflow> {
    let line = out_of(bucket, amount)?;
    Ok(Line { signed: line.signed.mirrored()?, ..line })
}

const fn account_of(bucket: MovedBucket) -> AccountCode {
    match bucket {
        MovedBucket::Fees => AccountCode::FEES_RECEIVABLE,
        MovedBucket::Interest => AccountCode::INTEREST_RECEIVABLE,
        MovedBucket::Principal => AccountCode::PRINCIPAL_RECEIVABLE,
        MovedBucket::Suspense => AccountCode::BORROWER_SUSPENSE,
    }
}

/// The old loan's leg.
fn give(day: &Day<'_>, moves: &[Move]) -> Result<Verdict, Refusal> {
    let lines = moves.iter().map(|it| out_of(it.from, it.amount_minor)).collect::<Result<Vec<_>, _>>()?;
    cleared(day, lines)
}

/// The new loan's leg.
fn take(day: &Day<'_>, moves: &[Move]) -> Result<Verdict, Refusal> {
    let lines = moves.iter().map(|it| into(it.to, it.amount_minor)).collect::<Result<Vec<_>, _>>()?;
    cleared(day, lines)
}

/// The leg of a loan that is set up anew in itself.
fn turn(day: &Day<'_>, moves: &[Move]) -> Result<Verdict, Refusal> {
    let mut lines = Vec::with_capacity(moves.len().saturating_mul(2));
    for it in moves {
        lines.push(into(it.to, it.amount_minor)?);
        lines.push(out_of(it.from, it.amount_minor)?);
    }
    cleared(day, lines)
}

/// Balances lines over the account between loans.
fn cleared(day: &Day<'_>, mut lines: Vec<Line>) -> Result<Verdict, Refusal> {
    let movement = movement_of(&lines)?;
    day.check_takes(&movement)?;
    day.check_room(&movement)?;
    let left = Minor::sum(lines.iter().map(|line| line.signed))?;
    lines.push(Line::credit(AccountCode::LOAN_TRANSFER_CLEARING, left)?);
    Ok(Verdict::new(lines, movement, day.date)?)
}
