//! Owns what pollers read: thousands of payments at once, and the change feed.
//!
//! The feed is what was finished, in the order of `(epoch, xact)` and of the events inside a transaction. A change is
//! shown once no transaction that could come before it is left, so a reader that goes on from the last
//! [`ChangePlace`] it has seen misses nothing and sees nothing twice, whatever writers do meanwhile. Inside a loan the
//! version is the order; the feed's is not.

use std::time::Duration;

use async_trait::async_trait;
use chrono::NaiveDate;

use crate::core::event::{EventKind, IdempotencyKey};
use crate::core::ids::{EventId, LoanId, PaymentBatchId, TenantId};
use crate::core::ledger::Outcome;
use crate::core::loan::Allocation;
use crate::core::money::{Currency, Minor};
use crate::core::time::Timestamp;
use crate::store::{EventRecord, EventStatus, StoreError};

/// A place in the feed: everything up to here has been taken. Places rise along the feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangePlace {
    /// Which life of the database: raised by a restore.
    pub epoch: i32,
    /// The posting transaction; where there is one writer, the number of the row.
    pub xact: i64,
    /// How many events of that transaction have been taken.
    pub taken: i32,
}

impl ChangePlace {
    /// Before everything.
    pub const START: Self = Self { epoch: 0, xact: 0, taken: 0 };
}

/// An event that reached its final state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The place behind it: where to go on from.
    pub place: ChangePlace,
    /// The event.
    pub event_id: EventId,
    /// What sort of event.
    pub kind: EventKind,
    /// Its loan, as its tenant names it; `None` for a group, whose legs are changes of their loans.
    pub loan_id: Option<LoanId>,
    /// Its place in the loan's order; `None` where the loan does not exist.
    pub loan_version: Option<i64>,
    /// How it ended; a group that is done is posted.
    pub outcome: Outcome,
    /// Whether it moved money: then it has a journal entry. Of a group the parent has it, the legs have none.
    pub has_entry: bool,
    /// The split of a payment.
    pub allocation: Option<Allocation>,
    /// The command's amount.
    pub amount: Option<Minor>,
    /// The command's currency.
    pub currency: Currency,
    /// The caller's key; `None` for consequences.
    pub key: Option<String>,
    /// The upload it came with.
    pub batch: Option<PaymentBatchId>,
    /// The day it counts from.
    pub effective_date: NaiveDate,
    /// When it was finished.
    pub posted_at: Timestamp,
    /// Whether it is money for a loan that is charged off: a payment that is a recovery.
    pub is_recovery: bool,
    /// The event that it undoes, and what sort of event that was.
    pub undoes: Option<(EventId, EventKind)>,
    /// The payment whose split it states anew.
    pub restates: Option<EventId>,
}

impl Change {
    /// The contract's event type, as its journal entry has it: see [`Posting::event_type`].
    ///
    /// [`Posting::event_type`]: crate::core::ledger::Posting::event_type
    #[must_use]
    pub const fn event_type(&self) -> &'static str {
        if self.is_recovery { EventKind::Recovery.event_type() } else { self.kind.event_type() }
    }
}

/// What a feed tells of loan and outcome, given the row's: a parent stands on no loan, and is posted with its legs.
pub(in crate::store) fn told(loan_id: LoanId, outcome: Outcome) -> (Option<LoanId>, Outcome) {
    let outcome = if outcome == Outcome::Done { Outcome::Posted } else { outcome };
    (Some(loan_id).filter(|loan| !loan.0.is_nil()), outcome)
}

/// The reads of pollers. Each is one statement over a set.
#[async_trait]
pub trait PollerReads: Send + Sync {
    /// Of these payments, those of the tenant. In no order.
    async fn statuses_of_ids(&self, tenant: TenantId, ids: Vec<EventId>) -> Result<Vec<EventStatus>, StoreError>;

    /// The tenant's payments of these keys. In no order.
    async fn statuses_of_keys(
        &self,
        tenant: TenantId,
        keys: Vec<IdempotencyKey>,
    ) -> Result<Vec<EventStatus>, StoreError>;

    /// The same with all that is stored of them.
    async fn records_of_keys(
        &self,
        tenant: TenantId,
        keys: Vec<IdempotencyKey>,
    ) -> Result<Vec<EventRecord>, StoreError>;

    /// The tenant's changes after a place, in the feed's order: at most `limit`, and one more where there is one.
    async fn changes(&self, tenant: TenantId, after: ChangePlace, limit: i64) -> Result<Vec<Change>, StoreError>;

    /// Of these tenants, those whose feed goes on beyond the place beside them, with its end. For the one task that
    /// follows all feeds of a process: never shown.
    async fn changed(&self, known: Vec<(TenantId, ChangePlace)>) -> Result<Vec<(TenantId, ChangePlace)>, StoreError>;

    /// The age of the oldest change that is committed and not shown yet; zero when everything is shown. Where there
    /// are several writers, the oldest transaction that writes anywhere in the database cluster holds the feed back.
    async fn changes_delay(&self) -> Result<Duration, StoreError>;
}
