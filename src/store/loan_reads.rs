//! Owns the reads of a loan's past: what moved day by day, the rows of a statement, what a payoff quote looks at, and
//! the loan as it stands before an event that is only imagined.
//!
//! Postings are insert-only and numbered without a gap inside a loan, so a read that is cut at a version answers the
//! same for ever, however many statements it takes.

use async_trait::async_trait;
use chrono::NaiveDate;
use uuid::Uuid;

use crate::core::event::{AcceptedEvent, Command, EventKind, NewEvent, NewGroup};
use crate::core::ids::{BorrowerId, EventId, LoanKey, Seq, TenantId};
use crate::core::ledger::{DaySum, LoanWork, Posting};
use crate::core::loan::LoanHistory;
use crate::core::time::Timestamp;
use crate::store::past::ImaginedRule;
use crate::store::{EventRecord, LoanRecord, StoreError, Undoing};

/// Which loans to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoansFilter {
    /// The one with this number, without leading zeros.
    OfNumber(String),
    /// Those of a borrower, in the order of their keys.
    OfBorrower(BorrowerId),
    /// All, in the order of borrowers and keys.
    All,
}

/// A place in a list of loans: everything up to here has been taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoanPlace {
    /// The borrower.
    pub borrower: Uuid,
    /// The loan's key.
    pub loan: Uuid,
}

/// A page of loans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoansPage {
    /// Which loans.
    pub filter: LoansFilter,
    /// After this place (from the page before).
    pub after: LoanPlace,
    /// The most rows; one more is returned where there is one.
    pub limit: i64,
}

/// Which of a loan's postings count: what was known at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryCut {
    /// Those up to this version.
    pub version: i64,
    /// Those posted by this instant.
    pub known_at: Option<Timestamp>,
}

impl HistoryCut {
    /// Everything.
    pub const NOW: Self = Self { version: i64::MAX, known_at: None };

    /// What was posted by a version.
    #[must_use]
    pub const fn at_version(version: i64) -> Self {
        Self { version, known_at: None }
    }
}

/// A loan with what moved on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoanDays {
    /// The loan as it stands now.
    pub record: LoanRecord,
    /// What the postings moved that count.
    pub history: LoanHistory,
}

/// A loan with what moved on it, cut at versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoanSums {
    /// The loan as it stands now.
    pub record: LoanRecord,
    /// What moved by day, between each two of the versions.
    pub days: Vec<DaySum>,
}

/// Days of effect, both included, up to a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoanSpan {
    /// The first day.
    pub from: NaiveDate,
    /// The last day.
    pub to: NaiveDate,
    /// Postings up to this version.
    pub version: i64,
}

/// What the entries of one kind moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindTotals {
    /// What sort of event.
    pub kind: EventKind,
    /// What sort of event it takes back or states anew.
    pub corrects: Option<EventKind>,
    /// How many entries.
    pub count: i64,
    /// The sum of the commands' amounts. 128 bits: sums over years may leave 64.
    pub amount: i128,
    /// What they moved: fees, interest, principal, suspense.
    pub moved: [i128; 4],
}

/// A page of a statement: entries in the order of their effective dates, on one day in posting order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementPage {
    /// Which days.
    pub span: LoanSpan,
    /// After this day and version (from the page before).
    pub after: (NaiveDate, i64),
    /// The most rows; one more is returned where there is one.
    pub limit: i64,
}

/// An entry on a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementRecord {
    /// The event with its posting.
    pub record: EventRecord,
    /// What it takes back or states anew.
    pub corrects: Option<Undoing>,
}

/// What a payoff quote warns of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayoffFacts {
    /// Payments by ACH that stand and are dated on or after the day asked for.
    pub unsettled_payments: i64,
    /// What they come to.
    pub unsettled_amount: i128,
    /// The latest day of them.
    pub unsettled_last: Option<NaiveDate>,
    /// Returns dated on or after the day asked for.
    pub returns: i64,
    /// Accepted and unposted events; counts at most 10,000.
    pub queued: i64,
}

/// Which loans with late fees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LateFeesPage {
    /// Of fees that count from this day or later.
    pub from: NaiveDate,
    /// Of fees that count from this day or before.
    pub to: NaiveDate,
    /// After this loan (from the page before).
    pub after: LoanKey,
    /// The most loans; one more is returned where there is one.
    pub limit: i64,
}

/// The days that [`PayoffFacts`] looks back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayoffSince {
    /// Payments from this day on.
    pub payments: NaiveDate,
    /// Returns from this day on.
    pub returns: NaiveDate,
}

/// A loan as it will stand before an event that is only imagined.
#[derive(Clone, Debug)]
pub struct LoanAhead {
    /// The database's clock.
    pub now: Timestamp,
    /// The loan with its waiting events, the imagined one last, and what they need of its past.
    pub work: LoanWork,
    /// Whether the loan waits for a person.
    pub on_hold: bool,
    /// Whether more events wait than were read: then `work` is a beginning only.
    pub is_cut: bool,
}

/// The reads of a loan's past. None takes a lock.
#[async_trait]
pub trait LoanReads: Send + Sync {
    /// A tenant's loans by filter; loans of our own, which have no borrower, are left out.
    async fn loans(&self, tenant: TenantId, page: LoansPage) -> Result<Vec<LoanRecord>, StoreError>;

    /// What moved on a loan by day; `None` where the tenant has no such loan. Walks the loan's postings.
    async fn loan_days(&self, tenant: TenantId, loan: LoanKey, cut: HistoryCut)
    -> Result<Option<LoanDays>, StoreError>;

    /// What moved on a loan by day, up to each of `versions`, which rise; `None` where the tenant has no such loan. Walks the
    /// loan's postings once, up to the last version.
    async fn loan_sums(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        versions: Vec<i64>,
    ) -> Result<Option<LoanSums>, StoreError>;

    /// What stands in the books of a loan of the days of a span, in the order of versions; with postings that moved nothing.
    async fn loan_postings(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        span: LoanSpan,
    ) -> Result<Vec<(AcceptedEvent, Posting)>, StoreError>;

    /// What the entries of a span moved, by kind. Walks the loan's postings.
    async fn loan_totals(&self, tenant: TenantId, loan: LoanKey, span: LoanSpan)
    -> Result<Vec<KindTotals>, StoreError>;

    /// A page of a statement. Walks the loan's postings.
    async fn statement_rows(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        page: StatementPage,
    ) -> Result<Vec<StatementRecord>, StoreError>;

    /// What a payoff quote warns of.
    async fn payoff_facts(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        since: PayoffSince,
    ) -> Result<PayoffFacts, StoreError>;

    /// The postings that divide a payment's money anew, in the order of their numbers.
    async fn restatements(&self, tenant: TenantId, payment: Seq) -> Result<Vec<EventRecord>, StoreError>;

    /// What an event has brought about on its loan, in order.
    async fn consequences(&self, tenant: TenantId, cause: EventId) -> Result<Vec<EventRecord>, StoreError>;

    /// The postings that tell the late fees of loans which say what they are for, where a loan has one of a day or later:
    /// all that moved its fees, and all from the first day on whose payments count for one of these. Loan by loan, in
    /// order; of a loan without such a fee nothing is walked. A refused fee counts as one, so that what it was refused for
    /// can be told; the postings are those that stand in the books.
    async fn late_fees(
        &self,
        tenant: TenantId,
        loans: Vec<LoanKey>,
        from: NaiveDate,
    ) -> Result<Vec<(AcceptedEvent, Posting)>, StoreError>;

    /// The next loans of a tenant that have late fees of some days which say what they are for.
    async fn loans_with_late_fees(&self, tenant: TenantId, page: LateFeesPage) -> Result<Vec<LoanKey>, StoreError>;

    /// Of these events those of which more may be told than their own postings say: they have brought events of ours about,
    /// or stand in front of a late fee that says what it is for and was posted before them; what goes back, behind any. A few index steps an event; in no order.
    async fn with_more_to_tell(&self, tenant: TenantId, events: Vec<EventId>) -> Result<Vec<EventId>, StoreError>;

    /// The event at a place; none of another tenant.
    async fn event_at(&self, tenant: TenantId, seq: Seq) -> Result<Option<EventRecord>, StoreError>;

    /// The loan of an event that is not accepted, with at most `limit` waiting events before it, in one snapshot.
    /// Nothing is written and nothing locked; another tenant's loan is none.
    async fn loan_ahead(&self, event: NewEvent, limit: i64) -> Result<LoanAhead, StoreError>;

    /// The same for the loans of all legs of a group that is not accepted, by number, in one snapshot.
    async fn group_ahead(&self, group: NewGroup, limit: i64) -> Result<Vec<LoanAhead>, StoreError>;
}

/// Where an imagined event stands: behind everything that waits.
pub const IMAGINED: Seq = Seq(i64::MAX);

/// An imagined event in the order of a loan: behind everything that waits.
#[must_use]
pub fn imagined(event: NewEvent, now: Timestamp) -> AcceptedEvent {
    AcceptedEvent::new(IMAGINED, now, event)
}

/// By what rule an imagined group computes interest.
pub(crate) fn imagined_rule(parent: &NewEvent) -> ImaginedRule {
    let Command::Group(group) = &parent.command else { return None };
    group.operation.interest_rule().map(|rule| (IMAGINED, *rule))
}

/// Which balances: effective by a day, and posted by an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BalanceTime {
    /// Counting entries effective on or before this day.
    pub as_of: NaiveDate,
    /// Counting entries posted at or before this instant; all without one.
    pub known_at: Option<Timestamp>,
}

impl BalanceTime {
    /// As of a day, with all that is known now.
    #[must_use]
    pub const fn day(as_of: NaiveDate) -> Self {
        Self { as_of, known_at: None }
    }
}
