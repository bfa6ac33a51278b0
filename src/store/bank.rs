//! Owns the shape of what bank statements need of the store: statements with their lines, what stands under the references
//! of lines, and the decisions of people about lines that stayed open.

use std::str::FromStr;

use async_trait::async_trait;
use chrono::NaiveDate;

use crate::core::bank::{Found, LineMatch, Standing, StatementHead, StatementLine};
use crate::core::event::{EventKind, NewEvent};
use crate::core::ids::{EventId, KeyHash, PaymentBatchId, PublisherId, Seq, TenantId};
use crate::core::ledger::AccountCode;
use crate::core::money::Currency;
use crate::core::time::Timestamp;
use crate::store::{BankCheck, NewUpload, ReconciliationQuestion, StoreError, UploadBegun, UploadRef};

/// The most attempts at a match that other statements disturb.
pub const MATCHING_ATTEMPTS: u32 = 5;

/// A stored word is not a state of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be open, cleared, matched or posted")]
pub struct UnknownLineState;

/// What has become of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineState {
    /// A person has to look at it.
    Open,
    /// It settles what an event has put on Payment Clearing.
    Cleared,
    /// It is cash that an event has booked.
    Matched,
    /// A person has posted it on an account.
    Posted,
}

impl LineState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Open, Self::Cleared, Self::Matched, Self::Posted];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Cleared => "cleared",
            Self::Matched => "matched",
            Self::Posted => "posted",
        }
    }
}

impl FromStr for LineState {
    type Err = UnknownLineState;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(UnknownLineState)
    }
}

/// A reference of lines, with what it may be.
#[derive(Clone, Debug)]
pub struct Reference {
    /// As it is written.
    pub text: String,
    /// The event, where it reads as the id of one or of its entry.
    pub id: Option<EventId>,
    /// Its hash, where it reads as an idempotency key.
    pub key: Option<KeyHash>,
}

/// A line on its way into the store.
#[derive(Clone, Debug)]
pub struct NewStatementLine {
    /// The line.
    pub line: StatementLine,
    /// What it is.
    pub found: LineMatch,
    /// What books it, where it clears something: a row of the statement.
    pub settlement: Option<NewEvent>,
}

/// A statement to accept.
#[derive(Clone, Debug)]
pub struct NewStatement {
    /// The operation: its event, made by [`NewEvent::of_upload`]. The statement has the same id.
    pub upload: NewUpload,
    /// For the counts of what was accepted.
    pub publisher: PublisherId,
    /// What it says of its account.
    pub head: StatementHead,
    /// By which it is known when it comes again.
    pub sha256: [u8; 32],
    /// Its lines, in its order.
    pub lines: Vec<NewStatementLine>,
    /// What books the balance that the account has before its first statement; accepted with that one only.
    pub opening: Option<NewEvent>,
    /// The body the caller gets.
    pub answer: Vec<u8>,
}

impl NewStatement {
    /// The events that its lines become.
    #[must_use]
    pub fn settlements(&self) -> Vec<NewEvent> {
        self.lines.iter().filter_map(|line| line.settlement.clone()).collect()
    }
}

/// What a statement met.
#[derive(Clone, Debug)]
pub enum StatementAccepted {
    /// It is kept, and these events are accepted.
    New(Vec<(EventId, Seq)>),
    /// Nothing was written: the same statement came before.
    Same(PaymentBatchId),
    /// Nothing was written: the account has another statement of this day.
    Conflict(PaymentBatchId),
    /// Nothing was written: the account is in another currency.
    OtherCurrency(Currency),
    /// Nothing was written: the account's first statement is of this later day, and its opening balance is booked.
    BeforeFirst(NaiveDate),
    /// Nothing was written: another line has taken the cash of a line's event meanwhile, so match again.
    Disturbed,
    /// Nothing was written: the key was taken before.
    Known(UploadBegun),
}

/// A statement as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementRow {
    /// Its id.
    pub id: PaymentBatchId,
    /// What it says of its account.
    pub head: StatementHead,
    /// How many lines it has.
    pub line_count: i64,
    /// When it came.
    pub received_at: Timestamp,
    /// How many of its lines are open.
    pub open_lines: i64,
    /// What they come to.
    pub open_sum: i128,
}

/// Which statements to list: by day, then by account.
#[derive(Clone, Debug, Default)]
pub struct StatementsFilter {
    /// Of one account.
    pub bank_account_ref: Option<String>,
    /// Of this day or later.
    pub from: Option<NaiveDate>,
    /// Of this day or earlier.
    pub to: Option<NaiveDate>,
    /// Go on after this one.
    pub after: Option<(NaiveDate, String)>,
    /// At most so many, and one more to see whether there are.
    pub limit: i64,
}

/// A line as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineRow {
    /// Its statement.
    pub statement: PaymentBatchId,
    /// Its account.
    pub bank_account_ref: String,
    /// Its currency.
    pub currency: Currency,
    /// The line.
    pub line: StatementLine,
    /// What has become of it.
    pub state: LineState,
    /// Why it is open.
    pub open_reason: Option<String>,
    /// The event whose clearing or cash it is.
    pub matched_event: Option<EventId>,
    /// The event that books it.
    pub settlement_event: Option<EventId>,
    /// Why a person decided so, who, and when.
    pub resolved: Option<LineResolved>,
}

/// Who decided about a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineResolved {
    /// Why.
    pub reason: String,
    /// The client.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A place among lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinePlace {
    /// The statement.
    pub statement: PaymentBatchId,
    /// The line, from 1.
    pub line_no: i64,
}

/// A decision about a line.
#[derive(Clone, Debug)]
pub struct NewLineResolution {
    /// The operation.
    pub upload: NewUpload,
    /// For the counts of what was accepted.
    pub publisher: PublisherId,
    /// The line.
    pub place: LinePlace,
    /// The event it is; `None` where it is posted on an account.
    pub matched_event: Option<EventId>,
    /// What books it; `None` where its cash is booked.
    pub settlement: Option<NewEvent>,
    /// Why.
    pub reason: String,
    /// The body the caller gets.
    pub answer: Vec<u8>,
}

impl NewLineResolution {
    /// What becomes of the line.
    #[must_use]
    pub const fn state(&self) -> LineState {
        match (&self.matched_event, &self.settlement) {
            (Some(_), Some(_)) => LineState::Cleared,
            (Some(_), None) => LineState::Matched,
            (None, _) => LineState::Posted,
        }
    }
}

/// What became of a decision.
#[derive(Clone, Debug)]
pub enum LineDecided {
    /// It is done; with the event that books the line, where one is.
    Decided(Option<(EventId, Seq)>),
    /// Nothing was written: the line is not open.
    NotOpen(LineState),
    /// Nothing was written: another line has the event, its upload, or a row of it.
    EventTaken,
    /// Nothing was written: the key was taken before.
    Known(UploadBegun),
    /// Nothing was written: there is no such line.
    Gone,
}

/// What a statement read of an event that a reference names.
#[derive(Clone, Debug)]
pub(crate) struct FoundRow {
    pub(crate) event: EventId,
    /// The upload it is a row of.
    pub(crate) upload: Option<EventId>,
    pub(crate) kind: EventKind,
    pub(crate) currency: Currency,
    /// `None` where it is not finished, otherwise whether it is posted.
    pub(crate) is_posted: Option<bool>,
    /// What it has put on Payment Clearing and on Cash.
    pub(crate) moved: Moved,
    pub(crate) is_matched: bool,
}

/// What events have put on the accounts that statements are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) clearing: i128,
    pub(crate) cash: i128,
}

impl Moved {
    /// Adds a line.
    pub(crate) fn add(&mut self, account: AccountCode, signed: i64) {
        let sum = match account {
            AccountCode::PAYMENT_CLEARING => &mut self.clearing,
            AccountCode::CASH => &mut self.cash,
            _ => return,
        };
        *sum = sum.saturating_add(i128::from(signed));
    }
}

impl FoundRow {
    /// What it is for a line of an account in `currency`. The rows of an upload are `rows`: `None` where one is unfinished.
    pub(crate) fn found(&self, currency: Currency, rows: Option<Moved>) -> Found {
        let posted =
            |moved: Moved| Standing::Posted { clearing: moved.clearing, cash: moved.cash, is_matched: self.is_matched };
        let standing = match (self.kind == EventKind::Upload, self.is_posted) {
            (true, Some(_)) => rows.map_or(Standing::Unfinished, posted),
            (_, None) => Standing::Unfinished,
            (false, _) if self.currency != currency => Standing::OtherCurrency,
            // Its cash is its own line's. What it left on clearing may be another's: that of a transfer's other side.
            (false, Some(true)) if self.kind == EventKind::BankSettled => posted(Moved { cash: 0, ..self.moved }),
            (false, Some(true)) => posted(self.moved),
            (false, Some(false)) => Standing::Rejected,
        };
        Found { event: self.event, upload: self.upload, standing }
    }
}

/// Bank statements.
#[async_trait]
pub trait BankStatements: Send + Sync {
    /// What stands under references, for an account in `currency`; references without an event are left out. The rows of
    /// an upload that is named are walked.
    async fn events_of_references(
        &self,
        tenant: TenantId,
        currency: Currency,
        references: Vec<Reference>,
    ) -> Result<Vec<(String, Found)>, StoreError>;

    /// Keeps a statement with its lines and accepts the events they become, in one transaction, or writes nothing.
    async fn accept_statement(&self, statement: NewStatement) -> Result<StatementAccepted, StoreError>;

    /// The statement of an account and a day, with the hash by which it is known.
    async fn statement_of(
        &self,
        tenant: TenantId,
        bank_account_ref: &str,
        day: NaiveDate,
    ) -> Result<Option<(PaymentBatchId, [u8; 32])>, StoreError>;

    /// A statement.
    async fn bank_statement(&self, statement: UploadRef) -> Result<Option<StatementRow>, StoreError>;

    /// Statements by filter, oldest first.
    async fn bank_statements(
        &self,
        tenant: TenantId,
        filter: StatementsFilter,
    ) -> Result<Vec<StatementRow>, StoreError>;

    /// Lines of one statement, in its order, after a line.
    async fn statement_lines(&self, statement: UploadRef, after: i64, limit: i64) -> Result<Vec<LineRow>, StoreError>;

    /// The open lines of all statements of a tenant, oldest statement first, after a place.
    async fn open_lines(
        &self,
        tenant: TenantId,
        after: Option<LinePlace>,
        limit: i64,
    ) -> Result<Vec<LineRow>, StoreError>;

    /// Ends an open line, in one short transaction that holds its row.
    async fn resolve_line(&self, resolution: NewLineResolution) -> Result<LineDecided, StoreError>;

    /// Every bank account of these books beside its cash, as it is now.
    async fn bank_checks(&self, of: ReconciliationQuestion) -> Result<Vec<BankCheck>, StoreError>;
}
