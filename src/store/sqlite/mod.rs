//! Owns the embedded store: one SQLite file, one process.
//!
//! - **One writer.** [`writer`] holds the only connection that writes, and waits for the disk at each commit
//!   (`synchronous=FULL`). What gathers while it works is the next batch. A lane that is free posts what was accepted
//!   before its commit and shares it; what is accepted while a batch is posted shares its commit as well. No lock is ever waited for inside the process, and `BEGIN IMMEDIATE` keeps an operator's command in
//!   another process out.
//! - **A few readers**, read-only, each call in one snapshot of the log.
//! - **Sets, not rows.** A statement takes all its rows at once, as [parameters](values) or as one JSON array; a batch costs
//!   a fixed number of statements, because every statement crosses to SQLite's own thread and back.
//! - **Nothing is read back** that the same transaction has accepted: see [`fresh`].
//! - **Dropping a future stops nothing.** Jobs run in the writer's task, reads in tasks of their own.
//! - **Sums of 128 bits** are decimal text, added up in Rust by the one writer.
//! - Instants come from [`Clock`], read when the writer gets to the job, so they rise with the order of commits.

mod accept;
mod ach;
mod admin;
mod bank;
mod beats;
mod connect;
mod conservation;
mod error;
mod fresh;
mod general_ledger;
mod groups;
mod holds;
mod ledger_reads;
mod loan_check;
mod loan_reads;
mod loans;
mod params;
mod parking;
mod periods;
mod poller_reads;
mod post;
mod programs;
mod reconcile;
mod reconciliation;
mod records;
mod review;
mod rows;
mod schema;
mod servicing;
mod statements;
mod sweep;
mod uploads;
mod values;
mod verify;
mod webhooks;
mod writer;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::NaiveDate;
use futures::future::BoxFuture;
use sqlx::{SqliteConnection, SqlitePool};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::core::event::{NewEvent, NewGroup};
use crate::core::ids::{EventId, LoanKey, ProgramId, PublisherId, Seq, TenantId, WorkerId};
use crate::core::ledger::{AccountCode, FeeItem, Layer};
use crate::core::money::Currency;
use crate::core::slot::PartitionMap;
use crate::core::time::Timestamp;
use crate::runtime::clock::Clock;
use crate::store::calendars::CalendarCache;
use crate::store::turns::Turns;
use crate::store::{
    Acceptance, AccountTotals, Attempts, BalanceTime, ClientRecord, Counts, EntriesPage, EntryMark, EventRecord,
    FeedRecord, FileKept, FileRecord, Fold, GroupAcceptance, GroupFold, GroupProgress, GroupWork, LoanBalances,
    LoanParty, LoanRecord, MarkedPayment, MarkedRow, NewFile, NewUpload, NumberedLoan, ParkRequest, PaymentsFilter,
    PaymentsPage, PostWork, PostedBatch, ProgramRecord, PublisherBeat, SchemaState, SeenRow, SigningKeyRecord, Store,
    StoreError, SweepPlan, SweepRound, TenantRecord, Turn, UploadBegun, UploadEnd, UploadException, UploadHold,
    UploadProgress, UploadRef, UploadRows, VerifyReport, WholeAccepted, WholeUpload, WorkerBeat, WorkerView,
};

pub use statements::STATEMENTS;

use error::store_error;
use loans::AccountQuestion;
use writer::{FrameTimes, Writer};

/// The store in a file.
#[derive(Debug)]
pub struct SqliteStore {
    clock: Clock,
    writer: Writer,
    readers: SqlitePool,
    tasks: TaskTracker,
    /// What the posting transactions have read of closed periods.
    calendars: CalendarCache,
    /// Who is about to give the writer a large job.
    turns: Arc<Turns>,
    /// How many events this process has posted, for metrics.
    posted: AtomicI64,
}

impl SqliteStore {
    /// Opens the database file, and makes it if there is none. [`Store::migrate`] brings its schema up.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file cannot be opened or is no database.
    pub async fn open(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        let tasks = TaskTracker::new();
        let turns = Arc::new(Turns::default());
        let (writer, task) = Writer::open(connect::writer_options(path), Arc::clone(&turns)).await?;
        // A thread of its own: every statement crosses to SQLite's thread and back, and waking a parked thread costs a
        // third of waking the runtime's. Nobody waits for the handle: it ends when the store is closed or dropped.
        let runtime = Handle::current();
        drop(tasks.spawn_blocking(move || runtime.block_on(task)));
        let (readers, calendars, posted) = (connect::readers(path), CalendarCache::default(), AtomicI64::new(0));
        Ok(Self { clock, writer, readers, tasks, calendars, turns, posted })
    }

    /// Runs reads in a task of their own, in one snapshot.
    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let readers = self.readers.clone();
        let reading = self.tasks.spawn(async move {
            let mut tx = readers.begin().await.map_err(store_error)?;
            let value = work(&mut tx).await?;
            tx.commit().await.map_err(store_error)?;
            Ok(value)
        });
        reading.await.map_err(|error| StoreError::Broken(format!("a read ended early: {error}")))?
    }

    /// Notes what a transaction has posted, and what stood around it.
    fn note_posted(&self, batch: &mut PostedBatch, FrameTimes { begin, commit }: FrameTimes) {
        (batch.times.begin, batch.times.commit) = (begin, commit);
        self.posted.fetch_add(i64::try_from(batch.posted.len()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn migrate(&self, partitions: u16) -> Result<(), StoreError> {
        let clock = self.clock.clone();
        self.writer.run_unlinked("migrate", move |db| Box::pin(schema::migrate(db, partitions, clock.now()))).await
    }

    async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        self.read(|db| Box::pin(schema::state(db))).await
    }

    async fn partition_map(&self) -> Result<PartitionMap, StoreError> {
        self.read(|db| Box::pin(schema::partition_map(db))).await
    }

    async fn turn(&self) -> Turn {
        self.turns.take().await
    }

    async fn accept(&self, publisher: PublisherId, events: Vec<NewEvent>) -> Result<Vec<Acceptance>, StoreError> {
        let clock = self.clock.clone();
        let accept = self
            .writer
            .share("accept", move |tx| Box::pin(accept::accept_and_tell(tx, publisher, events, clock.now(), |_| ())))
            .await;
        accept.map(|(acceptances, _)| acceptances)
    }

    async fn accept_and_tell(
        &self,
        publisher: PublisherId,
        events: Vec<NewEvent>,
        told: oneshot::Sender<Vec<Acceptance>>,
    ) -> Result<Vec<Acceptance>, StoreError> {
        let clock = self.clock.clone();
        let accept = self.writer.share_and_tell(
            "accept",
            move |tx| {
                // Nobody hears it where the process stops.
                let tell = |acceptances: &[Acceptance]| drop(told.send(acceptances.to_vec()));
                Box::pin(accept::accept_and_tell(tx, publisher, events, clock.now(), tell))
            },
            |acceptances| acceptances.iter().any(Acceptance::is_new),
        );
        accept.await.map(|(acceptances, _)| acceptances)
    }

    async fn begin_upload(&self, upload: NewUpload) -> Result<UploadBegun, StoreError> {
        let clock = self.clock.clone();
        self.writer.run("begin_upload", move |db| Box::pin(uploads::begin(db, upload, clock.now()))).await
    }

    async fn keep_upload(&self, hold: UploadHold, lease: Duration) -> Result<bool, StoreError> {
        let clock = self.clock.clone();
        self.writer.run("keep_upload", move |db| Box::pin(uploads::keep(db, hold, lease, clock.now()))).await
    }

    async fn release_upload(&self, hold: UploadHold) -> Result<(), StoreError> {
        self.writer.run("release_upload", move |db| Box::pin(uploads::release(db, hold))).await
    }

    async fn finish_upload(&self, hold: UploadHold, end: UploadEnd) -> Result<bool, StoreError> {
        let clock = self.clock.clone();
        self.writer.run("finish_upload", move |db| Box::pin(uploads::finish(db, hold, end, clock.now()))).await
    }

    async fn add_exceptions(&self, hold: UploadHold, rows: Vec<UploadException>) -> Result<bool, StoreError> {
        self.writer.run("add_exceptions", move |db| Box::pin(uploads::add_exceptions(db, hold, rows))).await
    }

    async fn accept_whole(&self, whole: WholeUpload) -> Result<WholeAccepted, StoreError> {
        let clock = self.clock.clone();
        self.writer.run("accept_whole", move |db| Box::pin(uploads::accept_whole(db, whole, clock.now()))).await
    }

    async fn upload_progress(&self, upload: UploadRef) -> Result<Option<UploadProgress>, StoreError> {
        let now = self.clock.now();
        self.read(move |db| Box::pin(uploads::progress(db, upload, now))).await
    }

    async fn last_row(&self, upload: UploadRef) -> Result<Option<i64>, StoreError> {
        self.read(move |db| Box::pin(uploads::last_row(db, upload))).await
    }

    async fn upload_rows(&self, upload: UploadRef, rows: RangeInclusive<i64>) -> Result<UploadRows, StoreError> {
        self.read(move |db| Box::pin(uploads::rows(db, upload, rows))).await
    }

    async fn create_feed(&self, feed: FeedRecord) -> Result<bool, StoreError> {
        self.writer.run("create_feed", move |db| Box::pin(ach::insert_feed(db, feed))).await
    }

    async fn feed(&self, tenant: TenantId, name: &str) -> Result<Option<FeedRecord>, StoreError> {
        let name = name.to_owned();
        self.read(move |db| Box::pin(ach::feed(db, tenant, name))).await
    }

    async fn feeds(&self, tenant: TenantId) -> Result<Vec<FeedRecord>, StoreError> {
        self.read(move |db| Box::pin(ach::feeds(db, tenant))).await
    }

    async fn keep_file(&self, file: NewFile) -> Result<FileKept, StoreError> {
        let clock = self.clock.clone();
        self.writer.run("keep_file", move |db| Box::pin(ach::keep_file(db, file, clock.now()))).await
    }

    async fn describe_file(&self, upload: UploadRef, summary: String) -> Result<(), StoreError> {
        self.writer.run("describe_file", move |db| Box::pin(ach::describe_file(db, upload, summary))).await
    }

    async fn file(&self, upload: UploadRef) -> Result<Option<FileRecord>, StoreError> {
        self.read(move |db| Box::pin(ach::file(db, upload))).await
    }

    async fn loans_of_numbers(&self, tenant: TenantId, numbers: Vec<String>) -> Result<Vec<NumberedLoan>, StoreError> {
        self.read(move |db| Box::pin(ach::numbered(db, tenant, numbers))).await
    }

    async fn mark_entries(&self, upload: UploadRef, entries: Vec<MarkedRow>) -> Result<Vec<SeenRow>, StoreError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        self.writer.run("mark_entries", move |db| Box::pin(ach::insert_entries(db, upload, entries))).await
    }

    async fn match_entries(
        &self,
        tenant: TenantId,
        marks: Vec<EntryMark>,
    ) -> Result<Vec<Vec<MarkedPayment>>, StoreError> {
        self.read(move |db| Box::pin(ach::match_entries(db, tenant, marks))).await
    }

    async fn accept_group(&self, publisher: PublisherId, group: NewGroup) -> Result<GroupAcceptance, StoreError> {
        let clock = self.clock.clone();
        self.writer.run("accept_group", move |db| Box::pin(groups::accept(db, publisher, group, clock.now()))).await
    }

    async fn post_group(&self, work: GroupWork, fold: GroupFold) -> Result<GroupProgress, StoreError> {
        let (clock, calendars) = (self.clock.clone(), self.calendars.clone());
        let post = self.writer.run_timed("post_group", move |db| {
            Box::pin(async move { groups::post(db, work, fold, (&calendars, clock.now())).await })
        });
        let (mut progress, frame) = post.await?;
        if let GroupProgress::Finished(batch) = &mut progress {
            self.note_posted(batch, frame);
        }
        Ok(progress)
    }

    async fn legs(&self, tenant: TenantId, group: Seq) -> Result<Vec<EventRecord>, StoreError> {
        self.read(move |db| Box::pin(groups::legs(db, tenant, group))).await
    }

    async fn post_batch(&self, work: PostWork, fold: Fold) -> Result<PostedBatch, StoreError> {
        let (clock, calendars) = (self.clock.clone(), self.calendars.clone());
        let post = self.writer.share("post_batch", move |tx| {
            Box::pin(async move { post::post_batch(tx, work, fold, (&calendars, clock.now())).await })
        });
        let (mut batch, frame) = post.await?;
        self.note_posted(&mut batch, frame);
        Ok(batch)
    }

    async fn park(&self, request: ParkRequest) -> Result<Attempts, StoreError> {
        let clock = self.clock.clone();
        self.writer.run("park", move |db| Box::pin(parking::park(db, request, clock.now()))).await
    }

    async fn event(&self, tenant: TenantId, id: EventId) -> Result<Option<EventRecord>, StoreError> {
        self.read(move |db| Box::pin(records::event(db, tenant, id))).await
    }

    async fn event_of_key(&self, tenant: TenantId, key: &str) -> Result<Option<EventRecord>, StoreError> {
        let key = key.to_owned();
        self.read(move |db| Box::pin(records::event_of_key(db, tenant, key))).await
    }

    async fn payments(&self, tenant: TenantId, filter: PaymentsFilter) -> Result<PaymentsPage, StoreError> {
        self.read(move |db| Box::pin(records::payments(db, tenant, filter))).await
    }

    async fn loan(&self, tenant: TenantId, loan: LoanKey) -> Result<Option<LoanRecord>, StoreError> {
        self.read(move |db| Box::pin(loans::loan(db, tenant, loan))).await
    }

    async fn loan_parties(
        &self,
        tenant: TenantId,
        loans: Vec<LoanKey>,
    ) -> Result<HashMap<LoanKey, LoanParty>, StoreError> {
        self.read(move |db| Box::pin(loans::loan_parties(db, tenant, loans))).await
    }

    async fn party(&self, tenant: TenantId, loan: LoanKey) -> Result<Option<LoanParty>, StoreError> {
        self.read(move |db| Box::pin(servicing::party(db, tenant, loan))).await
    }

    async fn loan_fees(&self, tenant: TenantId, loan: LoanKey) -> Result<Option<Vec<FeeItem>>, StoreError> {
        self.read(move |db| Box::pin(servicing::fees(db, tenant, loan))).await
    }

    async fn loan_balances(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        at: BalanceTime,
    ) -> Result<Option<LoanBalances>, StoreError> {
        self.read(move |db| Box::pin(loans::loan_balances(db, tenant, loan, at))).await
    }

    async fn loan_entries(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        page: EntriesPage,
    ) -> Result<Option<Vec<EventRecord>>, StoreError> {
        self.read(move |db| Box::pin(loans::loan_entries(db, tenant, loan, page))).await
    }

    async fn account_totals(
        &self,
        tenant: TenantId,
        account: AccountCode,
        currency: Currency,
        layer: Layer,
        as_of: NaiveDate,
    ) -> Result<AccountTotals, StoreError> {
        let question = AccountQuestion { tenant, account, currency, layer, as_of };
        self.read(move |db| Box::pin(loans::account_totals(db, question))).await
    }

    async fn position(&self, tenant: TenantId, loan: LoanKey, seq: Seq) -> Result<i64, StoreError> {
        self.read(move |db| Box::pin(records::position(db, tenant, loan, seq))).await
    }

    async fn finished(&self, ids: Vec<EventId>) -> Result<Vec<EventRecord>, StoreError> {
        self.read(move |db| Box::pin(records::finished(db, ids))).await
    }

    async fn publisher_beat(&self, beat: PublisherBeat) -> Result<(), StoreError> {
        let clock = self.clock.clone();
        self.writer.run("publisher_beat", move |db| Box::pin(beats::publisher_beat(db, beat, clock.now()))).await
    }

    async fn worker_beat(&self, beat: WorkerBeat) -> Result<WorkerView, StoreError> {
        let clock = self.clock.clone();
        self.writer.run("worker_beat", move |db| Box::pin(beats::worker_beat(db, beat, clock.now()))).await
    }

    async fn worker_gone(&self, worker: WorkerId) -> Result<(), StoreError> {
        self.writer.run("worker_gone", move |db| Box::pin(beats::worker_gone(db, worker))).await
    }

    async fn sweep(&self, plan: SweepPlan) -> Result<Option<SweepRound>, StoreError> {
        let (now, asked) = (self.clock.now(), plan.clone());
        let lease =
            self.writer.run("take_lease", move |db| Box::pin(async move { sweep::take_lease(db, &asked, now).await }));
        let Some(lease) = lease.await? else {
            return Ok(None);
        };
        let asked = plan.clone();
        let look = self.read(move |db| Box::pin(async move { sweep::look(db, &asked, lease, now).await })).await?;
        if let Some(mark) = look.mark {
            let worker = plan.worker;
            self.writer.run("move_mark", move |db| Box::pin(sweep::move_mark(db, worker, lease, mark))).await?;
        }
        Ok(Some(look.round))
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        let (now, posted) = (self.clock.now(), self.posted.load(Ordering::Relaxed));
        self.read(move |db| Box::pin(sweep::counts(db, now, posted))).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        let clock = self.clock.clone();
        self.read(move |db| Box::pin(admin::now(db, clock))).await
    }

    async fn create_tenant(&self, tenant: TenantRecord) -> Result<bool, StoreError> {
        self.writer.run("create_tenant", move |db| Box::pin(admin::create_tenant(db, tenant))).await
    }

    async fn set_tenant(&self, tenant: TenantRecord) -> Result<bool, StoreError> {
        self.writer.run("set_tenant", move |db| Box::pin(admin::set_tenant(db, tenant))).await
    }

    async fn tenant(&self, id: TenantId) -> Result<Option<TenantRecord>, StoreError> {
        self.read(move |db| Box::pin(admin::tenant_of_id(db, id))).await
    }

    async fn tenants(&self) -> Result<Vec<TenantRecord>, StoreError> {
        self.read(|db| Box::pin(admin::tenants(db))).await
    }

    async fn create_program(&self, program: ProgramRecord) -> Result<bool, StoreError> {
        self.writer.run("create_program", move |db| Box::pin(programs::insert_program(db, program))).await
    }

    async fn program(&self, tenant: TenantId, id: ProgramId) -> Result<Option<ProgramRecord>, StoreError> {
        self.read(move |db| Box::pin(programs::program(db, tenant, id))).await
    }

    async fn programs(&self, tenant: TenantId) -> Result<Vec<ProgramRecord>, StoreError> {
        self.read(move |db| Box::pin(programs::programs(db, tenant))).await
    }

    async fn create_client(&self, client: ClientRecord) -> Result<bool, StoreError> {
        self.writer.run("create_client", move |db| Box::pin(admin::create_client(db, client))).await
    }

    async fn client(&self, client_id: &str) -> Result<Option<ClientRecord>, StoreError> {
        let client_id = client_id.to_owned();
        self.read(move |db| Box::pin(admin::client(db, client_id))).await
    }

    async fn set_client_disabled(
        &self,
        tenant: TenantId,
        client_id: &str,
        disabled_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let client = (tenant, client_id.to_owned());
        self.writer
            .run("set_client_disabled", move |db| Box::pin(admin::set_client_disabled(db, client, disabled_at)))
            .await
    }

    async fn add_signing_key(&self, key: SigningKeyRecord, only_if_none: bool) -> Result<(), StoreError> {
        self.writer.run("add_signing_key", move |db| Box::pin(admin::add_signing_key(db, key, only_if_none))).await
    }

    async fn signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError> {
        self.read(|db| Box::pin(admin::signing_keys(db))).await
    }

    async fn remove_signing_key(&self, kid: &str) -> Result<bool, StoreError> {
        let kid = kid.to_owned();
        self.writer.run("remove_signing_key", move |db| Box::pin(admin::remove_signing_key(db, kid))).await
    }

    async fn verify(&self) -> Result<VerifyReport, StoreError> {
        self.read(|db| Box::pin(verify::verify(db))).await
    }

    async fn close(&self) {
        // Readers first: the log can only be emptied when nobody reads it.
        self.readers.close().await;
        self.writer.close().await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}
