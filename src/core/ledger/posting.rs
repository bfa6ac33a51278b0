//! Owns the record of an event that is finished: what came of it.

use std::str::FromStr;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::core::event::{Command, EventKind, Group, NewEvent};
use crate::core::ids::{EntryId, EventId, LoanId, LoanKey, Seq};
use crate::core::ledger::account::AccountCode;
use crate::core::ledger::entry::JournalEntry;
use crate::core::loan::Allocation;
use crate::core::time::Timestamp;

/// A stored word is not a rejection code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown rejection code")]
pub struct UnknownRejectionCode;

/// Why a posting rule refused an event. The words are the contract's problem codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectionCode {
    /// The tenant has no such loan.
    LoanNotFound,
    /// The event names another borrower than the loan.
    BorrowerMismatch,
    /// The event is in another currency than the loan.
    CurrencyMismatch,
    /// The loan takes no more events of this kind.
    LoanClosed,
    /// The loan, or its loan number, exists already.
    LoanExists,
    /// The event counts from a day before the loan opened.
    EffectiveBeforeOpening,
    /// The payment was taken back before.
    AlreadyUndone,
    /// There is nothing to take back: the payment was rejected.
    NotReversible,
    /// A bucket holds less, on the event's day or a later one, than the event takes from it.
    InsufficientBalance,
    /// The loan waits for a person.
    LoanOnHold,
    /// A balance would leave 64 bits.
    AmountOverflow,
    /// The amount is above the tenant's limit.
    LimitExceeded,
    /// The day lies in a closed period.
    PeriodClosed,
    /// The caller's principal is not the ledger's.
    PrincipalMismatch,
    /// The payment that a late fee is for came in on time.
    PaidOnTime,
    /// An operator discarded the parked event, or a group could not be posted.
    Discarded,
}

impl RejectionCode {
    /// Every code.
    pub const ALL: [Self; 16] = [
        Self::LoanNotFound,
        Self::BorrowerMismatch,
        Self::CurrencyMismatch,
        Self::LoanClosed,
        Self::LoanExists,
        Self::EffectiveBeforeOpening,
        Self::AlreadyUndone,
        Self::NotReversible,
        Self::InsufficientBalance,
        Self::LoanOnHold,
        Self::AmountOverflow,
        Self::LimitExceeded,
        Self::PeriodClosed,
        Self::PrincipalMismatch,
        Self::PaidOnTime,
        Self::Discarded,
    ];

    /// The contract's problem code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LoanNotFound => "loan_not_found",
            Self::BorrowerMismatch => "borrower_mismatch",
            Self::CurrencyMismatch => "currency_mismatch",
            Self::LoanClosed => "loan_closed",
            Self::LoanExists => "loan_exists",
            Self::EffectiveBeforeOpening => "effective_before_opening",
            Self::AlreadyUndone => "already_undone",
            Self::NotReversible => "not_reversible",
            Self::InsufficientBalance => "insufficient_balance",
            Self::LoanOnHold => "loan_on_hold",
            Self::AmountOverflow => "amount_overflow",
            Self::LimitExceeded => "limit_exceeded",
            Self::PeriodClosed => "period_closed",
            Self::PrincipalMismatch => "principal_mismatch",
            Self::PaidOnTime => "paid_on_time",
            Self::Discarded => "discarded",
        }
    }
}

impl FromStr for RejectionCode {
    type Err = UnknownRejectionCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|code| code.as_str() == text).ok_or(UnknownRejectionCode)
    }
}

/// How an event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// In the books.
    Posted,
    /// Refused by a posting rule; the books are unchanged.
    Rejected(RejectionCode),
    /// Finished without lines of its own: by the api itself, or the parent of a group, whose legs have the lines.
    Done,
}

impl Outcome {
    /// The stored word and the metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::Rejected(_) => "rejected",
            Self::Done => "done",
        }
    }

    /// The rejection, if it was one.
    #[must_use]
    pub const fn rejection(self) -> Option<RejectionCode> {
        match self {
            Self::Posted | Self::Done => None,
            Self::Rejected(code) => Some(code),
        }
    }
}

/// The record of a finished event: one row of `postings`. Never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// The event.
    pub event_id: EventId,
    /// The loan it was posted to.
    pub loan_key: LoanKey,
    /// Its number among the loan's postings; `None` where there is no loan.
    pub loan_version: Option<i64>,
    /// How it ended.
    pub outcome: Outcome,
    /// Its lines; `None` when it moved nothing.
    pub entry: Option<JournalEntry>,
    /// How the payment was divided.
    pub allocation: Option<Allocation>,
    /// The event whose posting it takes back.
    pub undoes_seq: Option<Seq>,
    /// The payment whose split it replaces.
    pub restates_seq: Option<Seq>,
    /// The day it counts from.
    pub effective_date: NaiveDate,
    /// The day it is booked on.
    pub booking_date: NaiveDate,
    /// When it was posted; rises inside a loan.
    pub posted_at: Timestamp,
    /// Hash over the loan's previous posting and this one; `None` where there is no loan.
    pub chain_hash: Option<[u8; 32]>,
    /// The loans that a group was refused for, the first [`REFUSED_LOANS_MAX`] of them.
    pub refused_loans: Vec<LoanId>,
}

/// What a caller is told of a finished event, and what a worker's reply carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// How it ended.
    pub outcome: Outcome,
    /// Whether it has a journal entry.
    pub has_entry: bool,
    /// How the payment was divided.
    pub allocation: Option<Allocation>,
    /// The fee that a return brought with it because its caller has named one, or that a waiver names. Whether the program's
    /// fee was charged, only the events say that followed. A reply of a worker from before there were returns has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee_event_id: Option<EventId>,
    /// The entry that a reversal takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverses_entry_id: Option<EntryId>,
    /// The first event of a reversal's chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<EventId>,
    /// How many loans a group concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loan_count: Option<u32>,
    /// The loans that a group was refused for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_loans: Vec<LoanId>,
    /// Whether more may be told of it than its own posting says, such as the events that it has restated: who answers then
    /// looks. A worker that posted it in order says no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_restate: bool,
    /// When it was posted.
    pub posted_at: Timestamp,
}

/// The most loans that are named where a group was refused for them.
pub const REFUSED_LOANS_MAX: usize = 100;

/// What a posting says to a caller: less than the posting, whose lines and chain are the ledger's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostingSummary {
    /// How the event ended.
    pub outcome: Outcome,
    /// Whether it has lines.
    pub has_lines: bool,
    /// Whether lines of it stand on the memo accounts of a loan that is charged off.
    pub moves_memo: bool,
    /// How the payment was divided.
    pub allocation: Option<Allocation>,
    /// The loans that a group was refused for.
    pub refused_loans: Vec<LoanId>,
    /// When it was posted.
    pub posted_at: Timestamp,
}

impl From<&Posting> for PostingSummary {
    fn from(posting: &Posting) -> Self {
        Self {
            outcome: posting.outcome,
            has_lines: posting.entry.is_some(),
            moves_memo: posting.moves_memo(),
            allocation: posting.allocation,
            refused_loans: posting.refused_loans.clone(),
            posted_at: posting.posted_at,
        }
    }
}

impl PostingSummary {
    /// See [`Posting::event_type`].
    #[must_use]
    pub const fn event_type(&self, kind: EventKind) -> &'static str {
        event_type(kind, self.moves_memo)
    }
}

impl Posting {
    /// The contract's event type of its entry: a payment on a loan that is charged off is a recovery, which its lines
    /// on the memo accounts tell.
    #[must_use]
    pub fn event_type(&self, kind: EventKind) -> &'static str {
        event_type(kind, self.moves_memo())
    }

    fn moves_memo(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.has_line_on(AccountCode::CHARGED_OFF_MEMO))
    }
}

const fn event_type(kind: EventKind, moves_memo: bool) -> &'static str {
    if moves_memo && matches!(kind, EventKind::PaymentReceived) {
        EventKind::Recovery.event_type()
    } else {
        kind.event_type()
    }
}

impl Finished {
    /// What a caller is told of an event and its posting.
    #[must_use]
    pub fn of(event: &NewEvent, posting: &Posting) -> Self {
        Self::told(event.id, &event.command, posting.into())
    }

    /// What a caller is told of an event's command, given what its posting says.
    #[must_use]
    pub fn told(id: EventId, command: &Command, posting: PostingSummary) -> Self {
        let group = if let Command::Group(group) = command { Some(group) } else { None };
        let moved = posting.allocation.is_none_or(|moved| moved != Allocation::default());
        let mut finished = Self {
            outcome: posting.outcome,
            has_entry: posting.has_lines || (group.is_some() && posting.outcome == Outcome::Done && moved),
            allocation: posting.allocation,
            fee_event_id: None,
            reverses_entry_id: None,
            correlation_id: None,
            loan_count: group.map(|group| group.legs),
            refused_loans: posting.refused_loans,
            may_restate: posting.outcome == Outcome::Posted || group.is_some_and(Group::tells_of_legs),
            posted_at: posting.posted_at,
        };
        match posting.outcome {
            Outcome::Posted | Outcome::Done => {}
            Outcome::Rejected(_) => return finished,
        }
        match command {
            Command::PaymentReturn(returned) => finished.fee_event_id = returned.certain_fee_event_id(id),
            Command::Servicing(servicing) => {
                let reversed = servicing.act.takes_back();
                finished.reverses_entry_id = reversed.map(|reversed| reversed.id.entry_id());
                finished.correlation_id = reversed.and(servicing.act.first_of_chain());
                finished.fee_event_id = servicing.act.waived_fee();
            }
            Command::Group(group) => {
                let reversed = group.operation.takes_back();
                finished.reverses_entry_id = reversed.map(|reversed| reversed.event.id.entry_id());
                finished.correlation_id = reversed.map(|reversed| reversed.correlation_id);
            }
            Command::Payment(_)
            | Command::Disbursement(_)
            | Command::LoanOpening(_)
            | Command::Fee(_)
            | Command::Receipt(_)
            | Command::BankSettlement(_)
            | Command::Upload(_)
            | Command::Leg(_) => {}
        }
        finished
    }
}

/// A posting with the place of its event in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostedEvent {
    /// The event's place.
    pub seq: Seq,
    /// What came of it.
    pub posting: Posting,
}

/// A consequence that a posting brings with it: an event of our own, born finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemPosting {
    /// The event; its slot is `None`, its cause is set.
    pub event: NewEvent,
    /// What came of it.
    pub posting: Posting,
}
