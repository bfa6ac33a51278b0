//! Floor 1: where state lives. The store holds the truth: what was accepted, what was posted, and the answer.
//!
//! [`Store`] has two real implementations, `postgres` and `sqlite`, which are the only places that name sqlx; one
//! conformance suite (`tests/it/store.rs`) holds both to the contract written here.
//!
//! Rules every implementation keeps:
//! - Dropping the future of any method never stops its SQL half way: all database work runs in owned tasks.
//! - Instants come from the database's clock, to the microsecond.
//! - Reads that serve a caller take the tenant first and never see another tenant's rows.
//! - `events` and `postings` are insert-only.

mod ach;
mod admin;
mod bank;
mod calendars;
mod error;
mod followed;
mod general_ledger;
mod groups;
mod holds;
mod intake;
mod loan_check;
mod loan_reads;
mod operations;
mod past;
mod poller_reads;
mod post;
mod read;
mod reconciliation;
mod review;
mod turns;
mod uploads;
mod webhooks;

pub mod postgres;
pub mod sqlite;

use std::collections::HashMap;
use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use chrono::NaiveDate;
use tokio::sync::oneshot;

use crate::core::event::{NewEvent, NewGroup};
use crate::core::ids::{EventId, LoanKey, ProgramId, PublisherId, Seq, TenantId, WorkerId};
use crate::core::ledger::FeeItem;
use crate::core::slot::PartitionMap;
use crate::core::time::Timestamp;

pub use ach::{
    EntryMark, FeedRecord, FileKept, FileRecord, FileRow, MarkedPayment, MarkedRow, NewFile, NumberedLoan, SeenRow,
};
pub use admin::{
    ClientRecord, ProgramRecord, SchemaState, SigningKeyRecord, TenantRecord, VerifyProblem, VerifyReport,
};
pub use bank::{
    BankStatements, LineDecided, LinePlace, LineResolved, LineRow, LineState, MATCHING_ATTEMPTS, NewLineResolution,
    NewStatement, NewStatementLine, Reference, StatementAccepted, StatementRow, StatementsFilter, UnknownLineState,
};
pub(crate) use bank::{FoundRow, Moved};
pub use error::StoreError;
pub use followed::{paid_on_time, what_followed};
pub use general_ledger::{GeneralLedger, JournalSpan, OperationDone, PeriodChange, PeriodRecord, TrialBalanceQuestion};
pub use groups::{GroupAcceptance, GroupFold, GroupProgress, GroupWork};
pub use holds::{Failure, HoldChange, HoldRecord, Holds, WaitingEvent, WaitingFilter};
pub use intake::{Acceptance, KnownEvent};
pub use loan_check::{LoanFault, LoanFaultKind, LoanFaults, LoansChecked, UnknownLoanFault};
pub(crate) use loan_reads::imagined_rule;
pub use loan_reads::{
    BalanceTime, HistoryCut, IMAGINED, KindTotals, LateFeesPage, LoanAhead, LoanDays, LoanPlace, LoanReads, LoanSpan,
    LoanSums, LoansFilter, LoansPage, PayoffFacts, PayoffSince, StatementPage, StatementRecord, imagined,
};
pub(crate) use operations::stands_still;
pub use operations::{
    Attempts, Counts, ParkRequest, PublisherBeat, SweepCandidate, SweepPlan, SweepRound, WorkerBeat, WorkerView,
};
pub use poller_reads::{Change, ChangePlace, PollerReads};
pub use post::{Fold, PhaseTimes, PostWork, PostedBatch, Wanted, is_restating, restating};
pub use read::{
    AccountTotals, EntriesPage, EventRecord, EventStatus, LoanBalances, LoanParty, LoanRecord, PaymentsFilter,
    PaymentsPage, Progress, Undoing,
};
pub use reconciliation::{
    AccountMismatch, BankCheck, Conservation, Findings, Reconciliation, ReconciliationQuestion, ReconciliationRun, Sum,
};
pub use review::{
    ExceptionPlace, ExceptionTally, ExceptionsFilter, FileException, FileRejection, FileTotals, NewReview, RejectedRow,
    RejectionsFilter, Resolved, ReviewDone, Reviews,
};
pub use turns::Turn;
pub use uploads::{
    ControlTotals, NewUpload, RowCounts, Tally, UploadBegun, UploadEnd, UploadException, UploadHold, UploadProgress,
    UploadRecord, UploadRef, UploadRows, UploadedFile, WholeAccepted, WholeUpload,
};
pub use webhooks::{
    Attempt, AttemptFailure, ClaimPlan, DeliveryRecord, Disabled, DisabledReason, DueDelivery, EndpointHold,
    EndpointRecord, EndpointRef, NewEndpoint, NewOperation, Operated, Refusal, Told, Turned, WebhookEffect,
    WebhookStore,
};

/// Where state lives. See the module for the rules; each method says what it holds and for how long. What pollers read
/// stands in [`PollerReads`], what is read of a loan's past in [`LoanReads`], what the general ledger needs in
/// [`GeneralLedger`] and its proof in [`Reconciliation`], what webhooks need in [`WebhookStore`], the review of exceptions
/// in [`Reviews`], bank statements in [`BankStatements`], loans that stand still in [`Holds`].
#[async_trait]
pub trait Store:
    PollerReads
    + LoanReads
    + GeneralLedger
    + Reconciliation
    + WebhookStore
    + Reviews
    + BankStatements
    + Holds
    + Send
    + Sync
    + Debug
    + 'static
{
    // --- schema ---

    /// Brings the schema to this release. Safe to call at any time, by several at once. Makes partition generation 1
    /// with `partitions` partitions if there is none.
    async fn migrate(&self, partitions: u16) -> Result<(), StoreError>;

    /// Whether the schema is this release's.
    async fn schema_state(&self) -> Result<SchemaState, StoreError>;

    /// The current generation of the partition map.
    async fn partition_map(&self) -> Result<PartitionMap, StoreError>;

    /// Waits until a write can begin at once, where the engine has one writer; a hint about time, never a lock that
    /// something depends on. Whoever gathers work gathers it after this: what came while waiting shares the commit.
    async fn turn(&self) -> Turn {
        Turn::default()
    }

    // --- intake ---

    /// Accepts events in one autocommit statement, numbering them in the order given, and says of each what became
    /// of it, in the order given. Keys in `events` are distinct: the caller has removed duplicates.
    ///
    /// A repeat of a call whose outcome was unknown finds its own rows (by id) and answers [`Acceptance::New`].
    /// Raises the publisher's accepted count and amount in the same statement, and those of the uploads whose rows
    /// they are. Rows of uploads and other events do not come in one call.
    ///
    /// # Errors
    /// [`StoreError::Data`] when a row is refused for its content: nothing was written, halve and try again.
    async fn accept(&self, publisher: PublisherId, events: Vec<NewEvent>) -> Result<Vec<Acceptance>, StoreError>;

    /// As [`Store::accept`], and an engine with one writer tells `told` what it is going to answer as soon as the rows
    /// are written, before the commit: work on them that is handed in at once sees them, and shares their transaction or
    /// comes after it. Where that transaction fails, so does the work. Other engines tell nothing.
    ///
    /// # Errors
    /// As [`Store::accept`], also after something was told.
    async fn accept_and_tell(
        &self,
        publisher: PublisherId,
        events: Vec<NewEvent>,
        told: oneshot::Sender<Vec<Acceptance>>,
    ) -> Result<Vec<Acceptance>, StoreError> {
        drop(told);
        self.accept(publisher, events).await
    }

    /// Accepts a group: its parent under the caller's key, and behind it its legs, all in one transaction. Raises the
    /// publisher's accepted count and amount by the legs. A repeat of a call whose outcome was unknown finds its own
    /// parent (by id) and answers [`GroupAcceptance::New`].
    ///
    /// Holds one lock, which all groups share, for the length of the transaction.
    ///
    /// # Errors
    /// [`StoreError::Data`] when a row is refused for its content: nothing was written.
    async fn accept_group(&self, publisher: PublisherId, group: NewGroup) -> Result<GroupAcceptance, StoreError>;

    // --- uploads ---

    /// Begins an upload, or takes over one that was cut off; the file that it brings becomes its own in the same short
    /// transaction, so of two keys that bring the same bytes at once one begins, and the other stays free.
    ///
    /// # Errors
    /// [`StoreError::Retry`] when other bytes have taken the file's identity since it was kept: nothing was written.
    async fn begin_upload(&self, upload: NewUpload) -> Result<UploadBegun, StoreError>;

    /// Renews the lease of an upload; false when it is lost.
    async fn keep_upload(&self, hold: UploadHold, lease: Duration) -> Result<bool, StoreError>;

    /// Gives the lease of an upload back, so that it can go on at once.
    async fn release_upload(&self, hold: UploadHold) -> Result<(), StoreError>;

    /// Ends an upload: its counts, its fingerprint, and its answer as the posting of its event. False when the lease
    /// is lost, or the upload ended before: nothing was written.
    async fn finish_upload(&self, hold: UploadHold, end: UploadEnd) -> Result<bool, StoreError>;

    /// Keeps rows that made no event. False when the lease is lost: nothing was written, for whoever has it now says what
    /// is true of these rows.
    async fn add_exceptions(&self, hold: UploadHold, rows: Vec<UploadException>) -> Result<bool, StoreError>;

    /// Begins an upload, accepts all its rows and ends it, in one transaction, or writes nothing.
    async fn accept_whole(&self, whole: WholeUpload) -> Result<WholeAccepted, StoreError>;

    /// How far an upload has come, in one snapshot.
    async fn upload_progress(&self, upload: UploadRef) -> Result<Option<UploadProgress>, StoreError>;

    /// The number of the last row that an upload has brought so far, 0 before the first; `None` where there is no such
    /// upload.
    async fn last_row(&self, upload: UploadRef) -> Result<Option<i64>, StoreError>;

    /// The rows of an upload with these numbers, in one snapshot.
    async fn upload_rows(&self, upload: UploadRef, rows: RangeInclusive<i64>) -> Result<UploadRows, StoreError>;

    // --- ACH ---

    /// Makes a feed; false when its name is taken.
    async fn create_feed(&self, feed: FeedRecord) -> Result<bool, StoreError>;

    /// A feed by its name.
    async fn feed(&self, tenant: TenantId, name: &str) -> Result<Option<FeedRecord>, StoreError>;

    /// A tenant's feeds, by name.
    async fn feeds(&self, tenant: TenantId) -> Result<Vec<FeedRecord>, StoreError>;

    /// Keeps a file with its bytes, unless the same is there, or another of its identity that became an upload. One that
    /// did not took nothing, and whoever brought it may be gone: it is kept, and gives its identity up.
    async fn keep_file(&self, file: NewFile) -> Result<FileKept, StoreError>;

    /// Says what was found in the file of an upload.
    async fn describe_file(&self, upload: UploadRef, summary: String) -> Result<(), StoreError>;

    /// The file of an upload.
    async fn file(&self, upload: UploadRef) -> Result<Option<FileRecord>, StoreError>;

    /// Loans by their numbers without leading zeros; what is not found is left out.
    async fn loans_of_numbers(&self, tenant: TenantId, numbers: Vec<String>) -> Result<Vec<NumberedLoan>, StoreError>;

    /// Keeps what returns will name of an upload's payments, and says which of them another file had before: the same
    /// trace, amount, account, payer and day. Of two files at once exactly one is the first. A row that is marked again
    /// gets the answer it got.
    async fn mark_entries(&self, upload: UploadRef, entries: Vec<MarkedRow>) -> Result<Vec<SeenRow>, StoreError>;

    /// The payments that have what returns name, those that stand and those that do not, newest first, for each mark in
    /// the order given.
    async fn match_entries(
        &self,
        tenant: TenantId,
        marks: Vec<EntryMark>,
    ) -> Result<Vec<Vec<MarkedPayment>>, StoreError>;

    // --- posting ---

    /// Posts one batch in one transaction: lock, read, fold, write, commit. See [`PostWork`] and `worker::batch`.
    ///
    /// Holds row locks on the batch's loans for the length of the transaction.
    async fn post_batch(&self, work: PostWork, fold: Fold) -> Result<PostedBatch, StoreError>;

    /// Posts a group, or refuses it, in one transaction. See [`GroupWork`].
    ///
    /// Holds row locks on the group's loans for the length of the transaction.
    async fn post_group(&self, work: GroupWork, fold: GroupFold) -> Result<GroupProgress, StoreError>;

    /// Records a failed attempt of an event in `parked`; once `attempts_max` is reached the event is parked and its
    /// loan put on hold. Says how many attempts there were so far.
    ///
    /// Counts only for the first unposted event of its loan; for any other nothing changes and the answer is 0. A leg,
    /// or a group's parent, counts for the parent, and neither is ever parked nor its loan held: a group never waits
    /// for a person. The lane refuses it.
    async fn park(&self, request: ParkRequest) -> Result<Attempts, StoreError>;

    // --- reads for a caller ---

    /// An event with what came of it.
    async fn event(&self, tenant: TenantId, id: EventId) -> Result<Option<EventRecord>, StoreError>;

    /// The event of an idempotency key.
    async fn event_of_key(&self, tenant: TenantId, key: &str) -> Result<Option<EventRecord>, StoreError>;

    /// Payments by filter, oldest first.
    async fn payments(&self, tenant: TenantId, filter: PaymentsFilter) -> Result<PaymentsPage, StoreError>;

    /// A loan as it stands now.
    async fn loan(&self, tenant: TenantId, loan: LoanKey) -> Result<Option<LoanRecord>, StoreError>;

    /// Whom these loans belong to, and in what currency; loans that are not there are left out.
    async fn loan_parties(
        &self,
        tenant: TenantId,
        loans: Vec<LoanKey>,
    ) -> Result<HashMap<LoanKey, LoanParty>, StoreError>;

    /// Who owes a loan, and by which program; also of one whose opening is accepted and not posted.
    async fn party(&self, tenant: TenantId, loan: LoanKey) -> Result<Option<LoanParty>, StoreError>;

    /// A loan's fees, oldest first; `None` where the tenant has no such loan. Walks the loan's postings.
    async fn loan_fees(&self, tenant: TenantId, loan: LoanKey) -> Result<Option<Vec<FeeItem>>, StoreError>;

    /// A loan's balances counting entries effective by a date and posted by an instant, with when it last moved.
    async fn loan_balances(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        at: BalanceTime,
    ) -> Result<Option<LoanBalances>, StoreError>;

    /// The posted entries of a loan in posting order; `None` where the tenant has no such loan.
    async fn loan_entries(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        page: EntriesPage,
    ) -> Result<Option<Vec<EventRecord>>, StoreError>;

    /// Debits and credits of an account booked on or before a date.
    async fn account_totals(
        &self,
        tenant: TenantId,
        account: crate::core::ledger::AccountCode,
        currency: crate::core::money::Currency,
        layer: crate::core::ledger::Layer,
        as_of: NaiveDate,
    ) -> Result<AccountTotals, StoreError>;

    /// How many unposted events of the same loan stand before `seq`; counts at most 10,000.
    async fn position(&self, tenant: TenantId, loan: LoanKey, seq: Seq) -> Result<i64, StoreError>;

    /// The legs of a group with what came of them, by number.
    async fn legs(&self, tenant: TenantId, group: Seq) -> Result<Vec<EventRecord>, StoreError>;

    // --- reads for the waiting room (all tenants; ids are ours and unguessable to no one: never shown unasked) ---

    /// Of these events, those that are finished.
    async fn finished(&self, ids: Vec<EventId>) -> Result<Vec<EventRecord>, StoreError>;

    // --- operations ---

    /// A publisher says it lives, and up to where its messages are confirmed.
    async fn publisher_beat(&self, beat: PublisherBeat) -> Result<(), StoreError>;

    /// A worker says it lives and leases its lane slots; answers who else lives. Workers silent for
    /// [`WorkerBeat::dead_after`] are left out.
    async fn worker_beat(&self, beat: WorkerBeat) -> Result<WorkerView, StoreError>;

    /// A worker says goodbye, so that others take over at once.
    async fn worker_gone(&self, worker: WorkerId) -> Result<(), StoreError>;

    /// One round of the sweep if `plan` holds, or gets, the sweeper's lease; `None` when another process has it.
    async fn sweep(&self, plan: SweepPlan) -> Result<Option<SweepRound>, StoreError>;

    /// Counts for metrics and readiness. Held and parked events do not count as unposted.
    async fn counts(&self) -> Result<Counts, StoreError>;

    // --- administration ---

    /// Whether the database answers; its clock.
    async fn now(&self) -> Result<Timestamp, StoreError>;

    /// Makes a tenant; false when its id is taken.
    async fn create_tenant(&self, tenant: TenantRecord) -> Result<bool, StoreError>;

    /// Changes a tenant's settings; false where there is no such tenant. Callers go by them within seconds.
    async fn set_tenant(&self, tenant: TenantRecord) -> Result<bool, StoreError>;

    /// A tenant's settings.
    async fn tenant(&self, id: TenantId) -> Result<Option<TenantRecord>, StoreError>;

    /// Every tenant, by id.
    async fn tenants(&self) -> Result<Vec<TenantRecord>, StoreError>;

    /// Makes a program; false when its id is taken.
    async fn create_program(&self, program: ProgramRecord) -> Result<bool, StoreError>;

    /// A program by its id.
    async fn program(&self, tenant: TenantId, id: ProgramId) -> Result<Option<ProgramRecord>, StoreError>;

    /// A tenant's programs, by id.
    async fn programs(&self, tenant: TenantId) -> Result<Vec<ProgramRecord>, StoreError>;

    /// Makes a client; false when its id is taken.
    async fn create_client(&self, client: ClientRecord) -> Result<bool, StoreError>;

    /// A client by its id, disabled ones included.
    async fn client(&self, client_id: &str) -> Result<Option<ClientRecord>, StoreError>;

    /// Shuts a client out since `disabled_at`, or lets it in again. One that is out already stays so since it was. False
    /// where the tenant has no such client.
    async fn set_client_disabled(
        &self,
        tenant: TenantId,
        client_id: &str,
        disabled_at: Option<Timestamp>,
    ) -> Result<bool, StoreError>;

    /// Adds a signing key; the first of several racing processes wins when `only_if_none`.
    async fn add_signing_key(&self, key: SigningKeyRecord, only_if_none: bool) -> Result<(), StoreError>;

    /// Signing keys that may still verify, newest first.
    async fn signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError>;

    /// Removes a signing key, so that it verifies no more. False where there is none, and for the newest, which signs.
    async fn remove_signing_key(&self, kid: &str) -> Result<bool, StoreError>;

    /// Proves the books; see [`VerifyReport`]. Reads in one snapshot.
    async fn verify(&self) -> Result<VerifyReport, StoreError>;

    /// Closes connections; the store is not used afterwards.
    async fn close(&self);
}
