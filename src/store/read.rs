//! Owns what reads answer.

use chrono::NaiveDate;

use crate::core::event::{AcceptedEvent, Command, EventKind, IdempotencyKey, Party, Stage};
use crate::core::ids::{BorrowerId, EventId, LoanKey, PaymentBatchId, ProgramId, Seq};
use crate::core::ledger::{Posting, PostingSummary};
use crate::core::loan::{Allocation, Balances, LoanState};
use crate::core::time::Timestamp;

/// The kinds that are served as payments, as SQL lists them: those of [`EventKind::is_payment`]. A macro, because
/// `concat!` joins literals only.
macro_rules! payment_kinds {
    () => {
        "('payment_received', 'unidentified_receipt')"
    };
}
pub(in crate::store) use payment_kinds;

/// The event that undid another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undoing {
    /// Which event.
    pub id: EventId,
    /// What sort of event.
    pub kind: EventKind,
}

/// How far an event has come, and what happened to it later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What undid it.
    pub undone_by: Option<Undoing>,
    /// Its newest split, where a later posting restates it.
    pub current_allocation: Option<Allocation>,
}

/// An event with what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// The event.
    pub event: AcceptedEvent,
    /// How far it has come.
    pub stage: Stage,
    /// What came of it, once finished.
    pub posting: Option<Posting>,
    /// What happened to it later.
    pub progress: Progress,
}

/// An event as it is shown by the hundred and the thousand: in lists, lookups and results of uploads. What its status
/// tells, and nothing of fingerprint, lines and chain: little more than half of what an [`EventRecord`] reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventStatus {
    /// Its place in the order of acceptance.
    pub seq: Seq,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// The event.
    pub id: EventId,
    /// What sort of event.
    pub kind: EventKind,
    /// What it asks for.
    pub command: Command,
    /// The caller's key; `None` for consequences.
    pub key: Option<IdempotencyKey>,
    /// The upload it came with, and its row there.
    pub batch: Option<(PaymentBatchId, i64)>,
    /// How far it has come.
    pub stage: Stage,
    /// What its posting says, once finished.
    pub posting: Option<PostingSummary>,
    /// What happened to it later.
    pub progress: Progress,
}

impl From<&EventRecord> for EventStatus {
    fn from(record: &EventRecord) -> Self {
        let event = &*record.event.event;
        Self {
            seq: record.event.seq,
            accepted_at: record.event.accepted_at,
            id: event.id,
            kind: event.kind,
            command: event.command.clone(),
            key: event.key.clone(),
            batch: event.origin.batch,
            stage: record.stage,
            posting: record.posting.as_ref().map(PostingSummary::from),
            progress: record.progress.clone(),
        }
    }
}

/// Which payments to list: all that is set must hold. `accepted_from` and `accepted_before` bound UUIDv7 ids; a caller sets
/// `loan`, `batch` or both bounds at the least, for what they leave is looked through.
#[derive(Clone, Debug, Default)]
pub struct PaymentsFilter {
    /// Of one loan.
    pub loan: Option<LoanKey>,
    /// Of one upload.
    pub batch: Option<PaymentBatchId>,
    /// With this caller's reference.
    pub external_ref: Option<String>,
    /// In this state: `accepted`, `held`, `parked`, `posted`, `rejected`, `returned` or `reversed`.
    pub status: Option<&'static str>,
    /// Accepted at or after this id.
    pub accepted_from: Option<EventId>,
    /// Accepted before this id.
    pub accepted_before: Option<EventId>,
    /// After the payment of this place (from the page before).
    pub after: Option<Seq>,
    /// The most rows; the store returns up to one more, to tell whether there is a next page.
    pub limit: i64,
    /// The most entries of the loan, the upload or the days that the page is looked for in, where the store bounds that.
    pub walked_max: Option<i64>,
}

/// Payments of a loan in the order of acceptance, of an upload in row order, of days in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaymentsPage {
    /// The payments.
    pub events: Vec<EventStatus>,
    /// Where the walk ended before the page was full, and goes on.
    pub goes_on_after: Option<Seq>,
}

/// A page of a loan's entries.
#[derive(Clone, Debug)]
pub struct EntriesPage {
    /// Effective on or after.
    pub from: Option<NaiveDate>,
    /// Effective on or before.
    pub to: Option<NaiveDate>,
    /// Of this contract event type (`manual_adjustment` also selects opening balances).
    pub event_type: Option<String>,
    /// After this loan version (from the page before); 0 for the first page.
    pub after_version: i64,
    /// The most rows; one more is returned where there is one.
    pub limit: i64,
}

/// A loan as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoanRecord {
    /// Its state.
    pub state: LoanState,
    /// The lender's number for it.
    pub loan_number: Option<String>,
    /// Whether it waits for a person.
    pub on_hold: bool,
}

/// Whose a loan is, in what currency and of what program: what never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoanParty {
    /// Who owes.
    pub borrower_id: BorrowerId,
    /// Its currency.
    pub currency: crate::core::money::Currency,
    /// Its program, where it has one.
    pub program_id: Option<ProgramId>,
}

impl LoanParty {
    /// The same without its program, as events have it.
    #[must_use]
    pub const fn party(&self) -> Party {
        Party { borrower_id: self.borrower_id, currency: self.currency }
    }
}

/// A loan's balances on a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoanBalances {
    /// The balances, counting entries effective by the date.
    pub balances: Balances,
    /// The loan's currency.
    pub currency: crate::core::money::Currency,
    /// When the last of these entries was posted.
    pub last_activity_at: Option<Timestamp>,
}

/// Debits and credits of an account. 128 bits: the sum over all loans may leave 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountTotals {
    /// Sum of debits.
    pub debits: i128,
    /// Sum of credits, as a positive number.
    pub credits: i128,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_that_sql_lists_are_those_that_are_payments() {
        let listed: Vec<EventKind> =
            payment_kinds!().split('\'').skip(1).step_by(2).map(|word| word.parse().unwrap()).collect();
        assert!(listed.iter().all(|kind| kind.is_payment()), "{listed:?}");
        let payments = EventKind::ALL.into_iter().filter(|kind| kind.is_payment()).count();
        assert_eq!(listed.len(), payments);
    }
}
