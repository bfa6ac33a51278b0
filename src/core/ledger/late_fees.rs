//! Owns late fees: whether the payment that one is charged for came in on time.
//!
//! No late fee may be charged where a payment was whole and on time and is short only by what an earlier fee took of it
//! (Reg Z 1026.36(c)(2), domain rule 52). So what counts is the money that came in from the first day of the payment's
//! period to the last day of its grace, each payment as a whole, whatever it was divided into: as if fees came last. Money
//! that went back does not count. What was refunded, or moved to another loan, had come in all the same, and counts.
//!
//! A late fee that was charged rightly may turn out to be wrong when a payment comes late that counts from a day on time
//! (domain rule 42). It stays, and is told to whoever reviews fees, who waives it by an event of its own. Which these are
//! is made of the loan's postings; no table holds it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use crate::core::event::{AcceptedEvent, Command, EventKind, Fee, LateFor, LegTerms, NewEvent, ServicingAct};
use crate::core::ids::{EventId, LoanId, Seq};
use crate::core::ledger::entry::JournalEntry;
use crate::core::ledger::fees::{FeeBook, FeeItem};
use crate::core::ledger::posting::{Outcome, Posting};
use crate::core::loan::ReturnManner;
use crate::core::money::Minor;

/// Money that came in for a loan, and what of it went back, posting by posting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipts {
    /// The day it counts from, and how much.
    came: BTreeMap<Seq, (NaiveDate, Minor)>,
    /// By the return: of which payment, and how much.
    went_back: BTreeMap<Seq, (Seq, Minor)>,
}

impl Receipts {
    /// Takes the next posting of the loan in. One that brings no money and takes none back changes nothing.
    pub fn note(&mut self, seq: Seq, event: &NewEvent, posting: &Posting) {
        if posting.outcome != Outcome::Posted {
            return;
        }
        if let Some(undone) = posting.undoes_seq {
            self.came.remove(&undone);
            self.went_back.remove(&undone);
            return;
        }
        if let Some(amount) = brought(event, posting) {
            self.came.insert(seq, (posting.effective_date, amount));
        }
        if let Command::PaymentReturn(returned) = &event.command
            && returned.manner != ReturnManner::Void
        {
            self.went_back.insert(seq, (returned.payment.seq, returned.amount.minor));
        }
    }

    /// What came in for a payment by the last day of its grace, and did not go back.
    #[must_use]
    pub fn in_time_for(&self, late_for: &LateFor) -> Minor {
        let days = late_for.period_from..=late_for.on_time_until();
        let is_in_time = |payment: &Seq| self.came.get(payment).is_some_and(|(date, _)| days.contains(date));
        let came = self.came.iter().filter(|(seq, _)| is_in_time(seq)).map(|(_, (_, amount))| amount);
        let back = self.went_back.values().filter(|(payment, _)| is_in_time(payment)).map(|(_, amount)| amount);
        // 2^64 amounts of 64 bits cannot leave 128 bits.
        let came = came.fold(0_i128, |sum, amount| sum.saturating_add(i128::from(amount.units())));
        let sum = back.fold(came, |sum, amount| sum.saturating_sub(i128::from(amount.units())));
        Minor::new(i64::try_from(sum).unwrap_or(i64::MAX))
    }

    /// Whether a payment came in whole and on time.
    #[must_use]
    pub fn has_paid(&self, late_for: &LateFor) -> bool {
        self.in_time_for(late_for) >= late_for.due
    }
}

/// The money that an event brings to its loan.
fn brought(event: &NewEvent, posting: &Posting) -> Option<Minor> {
    match &event.command {
        Command::Payment(payment) => (event.kind == EventKind::PaymentReceived).then_some(payment.amount.minor),
        Command::Servicing(servicing) => match &servicing.act {
            ServicingAct::Recovery => servicing.amount,
            ServicingAct::DisbursementSettled { .. }
            | ServicingAct::FeeWaived { .. }
            | ServicingAct::SuspenseApplied { .. }
            | ServicingAct::SuspenseRefunded
            | ServicingAct::ManualAdjustment { .. }
            | ServicingAct::Reversal(_)
            | ServicingAct::Chargeoff { .. }
            | ServicingAct::Restated { .. } => None,
        },
        Command::Leg(leg) => match &leg.terms {
            LegTerms::ReceiptIn { amount } => Some(*amount),
            LegTerms::SuspenseIn => {
                let moved = posting.entry.as_ref().map(JournalEntry::movement);
                moved.and_then(Result::ok).map(|moved| moved.suspense)
            }
            LegTerms::Accrual { .. }
            | LegTerms::SuspenseOut { .. }
            | LegTerms::ReceiptOut { .. }
            | LegTerms::MovedOut { .. }
            | LegTerms::MovedIn { .. }
            | LegTerms::Reversal { .. } => None,
        },
        Command::Disbursement(_)
        | Command::LoanOpening(_)
        | Command::PaymentReturn(_)
        | Command::Fee(_)
        | Command::Receipt(_)
        | Command::BankSettlement(_)
        | Command::Upload(_)
        | Command::Group(_) => None,
    }
}

/// The payment that a late fee is for; `None` for every other event.
#[must_use]
pub fn late_for_of(command: &Command) -> Option<&LateFor> {
    if let Command::Fee(Fee { late_for, .. }) = command { late_for.as_ref() } else { None }
}

/// The first day whose payments late fees of these events are judged by: a store then tells what came in since. `None`
/// where there is no such fee.
#[must_use]
pub fn needs_receipts(events: &[AcceptedEvent]) -> Option<NaiveDate> {
    events.iter().filter_map(|event| late_for_of(&event.event.command)).map(|late_for| late_for.period_from).min()
}

/// A late fee that stands, for a payment that came in on time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeeToReview {
    /// The loan.
    pub loan_id: LoanId,
    /// The fee, and what became of it.
    pub item: FeeItem,
    /// The payment it was charged for.
    pub late_for: LateFor,
    /// What came in for that payment on time.
    pub received: Minor,
}

/// The late fees of a loan beside the money that came in, posting by posting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LateFeeBook {
    receipts: Receipts,
    fees: FeeBook,
    late: BTreeMap<EventId, (LoanId, LateFor)>,
}

impl LateFeeBook {
    /// The book of postings of one loan, in their order: those that moved fees, and all from the first day on that the
    /// loan's late fees ask for.
    #[must_use]
    pub fn of<'r>(rows: impl IntoIterator<Item = &'r (AcceptedEvent, Posting)>) -> Self {
        let mut book = Self::default();
        for (event, posting) in rows {
            book.note(Some(event.seq), &event.event, posting);
        }
        book
    }

    /// Takes the next posting of the loan in.
    pub fn note(&mut self, seq: Option<Seq>, event: &NewEvent, posting: &Posting) {
        // No consequence of ours brings money.
        if let Some(seq) = seq {
            self.receipts.note(seq, event, posting);
        }
        self.fees.note(event, posting);
        if let Some(late_for) = late_for_of(&event.command) {
            self.late.insert(event.id, (event.command.loan_id(), *late_for));
        }
    }

    /// The payment that a late fee is for, and what came in for it on time.
    #[must_use]
    pub fn late_fee(&self, fee: EventId) -> Option<(LateFor, Minor)> {
        self.late.get(&fee).map(|(_, late_for)| (*late_for, self.receipts.in_time_for(late_for)))
    }

    /// The fees that stand and are not wholly waived, for payments that came in on time.
    #[must_use]
    pub fn to_review(&self) -> Vec<FeeToReview> {
        let review = |item: FeeItem| {
            let (loan_id, late_for) = *self.late.get(&item.event_id)?;
            let is_due = item.waived < item.assessed && self.receipts.has_paid(&late_for);
            let received = self.receipts.in_time_for(&late_for);
            is_due.then_some(FeeToReview { loan_id, item, late_for, received })
        };
        self.fees.items().into_iter().filter_map(review).collect()
    }
}

/// The late fees that an event has shown to be for payments on time: those to review behind it, and behind all that it
/// brought about, that were not before it. `rows` are as for [`LateFeeBook::of`]; what was posted later does not matter, so
/// the answer never changes.
#[must_use]
pub fn shown_by(rows: &[(AcceptedEvent, Posting)], event: EventId) -> Vec<FeeToReview> {
    let Some(place) = rows.iter().position(|(row, _)| row.event.id == event) else { return Vec::new() };
    let (before, rest) = rows.split_at(place);
    let mut book = LateFeeBook::of(before);
    let known: BTreeSet<EventId> = book.to_review().into_iter().map(|fee| fee.item.event_id).collect();
    let own = |row: &AcceptedEvent| {
        row.event.id == event || row.event.origin.cause_seq == rest.first().map(|(row, _)| row.seq)
    };
    for (row, posting) in rest.iter().take_while(|(row, _)| own(row)) {
        book.note(Some(row.seq), &row.event, posting);
    }
    without(book.to_review(), &known)
}

/// Those of them that are not known already.
#[must_use]
pub(in crate::core::ledger) fn without(fees: Vec<FeeToReview>, known: &BTreeSet<EventId>) -> Vec<FeeToReview> {
    fees.into_iter().filter(|fee| !known.contains(&fee.item.event_id)).collect()
}

/// What had come in for a late fee's payment where the fee stands in the order of postings; `None` where the fee is not
/// among the loan's postings, or is for no payment.
#[must_use]
pub fn received_before(rows: &[(AcceptedEvent, Posting)], fee: &NewEvent, version: i64) -> Option<Minor> {
    let late_for = late_for_of(&fee.command)?;
    let before = rows.iter().filter(|(_, posting)| posting.loan_version.is_some_and(|other| other < version));
    Some(LateFeeBook::of(before).receipts.in_time_for(late_for))
}
