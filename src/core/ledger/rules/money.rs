//! Owns the rules of money that comes and goes, and of what a borrower is charged.

use crate::core::event::{BankSettlement, CashFlow, Disbursement, Fee, LoanOpening, Receipt};
use crate::core::ledger::account::AccountCode;
use crate::core::ledger::entry::Line;
use crate::core::ledger::posting::RejectionCode;
use crate::core::ledger::rules::charge_off::judge_recovery;
use crate::core::ledger::rules::day::Day;
use crate::core::ledger::rules::{Refusal, Verdict};
use crate::core::loan::{Balances, PaymentKind, allocate};
use crate::core::money::Minor;

/// Money received: on a loan that is charged off it is a recovery.
pub(in crate::core::ledger) fn judge_payment(
    day: &Day<'_>,
    (amount, kind): (Minor, PaymentKind),
) -> Result<Verdict, Refusal> {
    if let Some(charged_off) = day.state.charged_off {
        return judge_recovery(day, charged_off, (amount, kind));
    }
    let split = allocate(amount, day.there(), day.state.order_for(kind))?;
    let lines = [
        Line::debit(AccountCode::PAYMENT_CLEARING, amount),
        Line::credit(AccountCode::FEES_RECEIVABLE, split.fees)?,
        Line::credit(AccountCode::INTEREST_RECEIVABLE, split.interest)?,
        Line::credit(AccountCode::PRINCIPAL_RECEIVABLE, split.principal)?,
        Line::credit(AccountCode::BORROWER_SUSPENSE, split.suspense)?,
    ];
    let movement = split.movement()?;
    day.check_room(&movement)?;
    Ok(Verdict { allocation: Some(split), ..Verdict::new(lines, movement, day.date)? })
}

pub(super) fn judge_disbursement(day: &Day<'_>, disbursement: &Disbursement) -> Result<Verdict, Refusal> {
    let amount = disbursement.amount.minor;
    let lines = [
        Line::debit(AccountCode::PRINCIPAL_RECEIVABLE, amount),
        Line::credit(AccountCode::DISBURSEMENT_CLEARING, amount)?,
    ];
    let movement = Balances { principal: amount, ..Balances::default() };
    day.check_room(&movement)?;
    Ok(Verdict::new(lines, movement, day.date)?)
}

pub(super) fn judge_fee(day: &Day<'_>, fee: &Fee) -> Result<Verdict, Refusal> {
    let amount = fee.amount.minor;
    let lines = [Line::debit(AccountCode::FEES_RECEIVABLE, amount), Line::credit(AccountCode::FEE_INCOME, amount)?];
    let movement = Balances { fees: amount, ..Balances::default() };
    day.check_room(&movement)?;
    Ok(Verdict::new(lines, movement, day.date)?)
}

/// Of no loan: it moves no balance, so no day is too early for it and no timeline is looked at.
pub(super) fn judge_receipt(receipt: &Receipt) -> Result<Verdict, Refusal> {
    let amount = receipt.amount.minor;
    let lines =
        [Line::debit(AccountCode::PAYMENT_CLEARING, amount), Line::credit(AccountCode::UNIDENTIFIED_RECEIPTS, amount)?];
    Ok(Verdict::new(lines, Balances::default(), receipt.effective_date)?)
}

/// Cash that the bank has moved. It stands on no loan, so its other side must not be an account that loans are summed up
/// on; otherwise as a receipt.
pub(super) fn judge_bank_settlement(settlement: &BankSettlement) -> Result<Verdict, Refusal> {
    if settlement.account.is_of_loans() {
        return Err(RejectionCode::LoanNotFound.into());
    }
    let (cash, other) = match settlement.flow {
        CashFlow::In => (settlement.amount.minor, settlement.amount.minor.mirrored()?),
        CashFlow::Out => (settlement.amount.minor.mirrored()?, settlement.amount.minor),
    };
    let lines =
        [Line { account: AccountCode::CASH, signed: cash }, Line { account: settlement.account, signed: other }];
    Ok(Verdict::new(lines, Balances::default(), settlement.effective_date)?)
}

pub(super) fn judge_opening(opening: &LoanOpening) -> Result<Verdict, Refusal> {
    let owed = opening.opening_balances;
    let total = Minor::sum([owed.fees, owed.interest, owed.principal])?;
    let lines = [
        Line::debit(AccountCode::PRINCIPAL_RECEIVABLE, owed.principal),
        Line::debit(AccountCode::INTEREST_RECEIVABLE, owed.interest),
        Line::debit(AccountCode::FEES_RECEIVABLE, owed.fees),
        Line::credit(AccountCode::OPENING_BALANCES, total)?,
    ];
    let movement =
        Balances { fees: owed.fees, interest: owed.interest, principal: owed.principal, suspense: Minor::ZERO };
    Ok(Verdict::new(lines, movement, opening.opened_on)?)
}
