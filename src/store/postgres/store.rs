//! Owns the contract's methods: each one only puts its work into an owned task.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use chrono::NaiveDate;

use super::connect::PostgresStore;
use crate::core::event::{NewEvent, NewGroup};
use crate::core::ids::{EventId, LoanKey, ProgramId, PublisherId, Seq, TenantId, WorkerId};
use crate::core::ledger::{AccountCode, FeeItem, Layer};
use crate::core::money::Currency;
use crate::core::slot::PartitionMap;
use crate::core::time::Timestamp;
use crate::store::{
    Acceptance, AccountTotals, Attempts, BalanceTime, ClientRecord, Counts, EntriesPage, EntryMark, EventRecord,
    FeedRecord, FileKept, FileRecord, Fold, GroupAcceptance, GroupFold, GroupProgress, GroupWork, LoanBalances,
    LoanParty, LoanRecord, MarkedPayment, MarkedRow, NewFile, NewUpload, NumberedLoan, ParkRequest, PaymentsFilter,
    PaymentsPage, PostWork, PostedBatch, ProgramRecord, PublisherBeat, SchemaState, SeenRow, SigningKeyRecord, Store,
    StoreError, SweepPlan, SweepRound, TenantRecord, UploadBegun, UploadEnd, UploadException, UploadHold,
    UploadProgress, UploadRef, UploadRows, VerifyReport, WholeAccepted, WholeUpload, WorkerBeat, WorkerView,
};

#[async_trait]
impl Store for PostgresStore {
    async fn migrate(&self, partitions: u16) -> Result<(), StoreError> {
        self.owned_long(|store| async move { store.run_migrations(partitions).await }).await
    }

    async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        self.owned(|store| async move { store.read_schema_state().await }).await
    }

    async fn partition_map(&self) -> Result<PartitionMap, StoreError> {
        self.owned(|store| async move { store.read_partition_map().await }).await
    }

    async fn accept(&self, publisher: PublisherId, events: Vec<NewEvent>) -> Result<Vec<Acceptance>, StoreError> {
        self.owned(move |store| async move { store.accept_events(publisher, events).await }).await
    }

    async fn begin_upload(&self, upload: NewUpload) -> Result<UploadBegun, StoreError> {
        self.owned(move |store| async move { store.open_upload(upload).await }).await
    }

    async fn keep_upload(&self, hold: UploadHold, lease: Duration) -> Result<bool, StoreError> {
        self.owned(move |store| async move { store.renew_upload(hold, lease).await }).await
    }

    async fn release_upload(&self, hold: UploadHold) -> Result<(), StoreError> {
        self.owned(move |store| async move { store.give_back_upload(hold).await }).await
    }

    async fn finish_upload(&self, hold: UploadHold, end: UploadEnd) -> Result<bool, StoreError> {
        self.owned(move |store| async move { store.end_upload(hold, end).await }).await
    }

    async fn add_exceptions(&self, hold: UploadHold, rows: Vec<UploadException>) -> Result<bool, StoreError> {
        self.owned(move |store| async move { store.insert_exceptions(hold, rows).await }).await
    }

    async fn accept_whole(&self, whole: WholeUpload) -> Result<WholeAccepted, StoreError> {
        self.owned(move |store| async move { store.take_whole(whole).await }).await
    }

    async fn upload_progress(&self, upload: UploadRef) -> Result<Option<UploadProgress>, StoreError> {
        self.owned(move |store| async move { store.read_progress(upload).await }).await
    }

    async fn last_row(&self, upload: UploadRef) -> Result<Option<i64>, StoreError> {
        self.owned(move |store| async move { store.read_last_row(upload).await }).await
    }

    async fn upload_rows(&self, upload: UploadRef, rows: RangeInclusive<i64>) -> Result<UploadRows, StoreError> {
        self.owned(move |store| async move { store.read_rows(upload, rows).await }).await
    }

    async fn create_feed(&self, feed: FeedRecord) -> Result<bool, StoreError> {
        self.owned(move |store| async move { store.insert_feed(feed).await }).await
    }

    async fn feed(&self, tenant: TenantId, name: &str) -> Result<Option<FeedRecord>, StoreError> {
        let name = name.to_owned();
        self.owned(move |store| async move { store.read_feed(tenant, name).await }).await
    }

    async fn feeds(&self, tenant: TenantId) -> Result<Vec<FeedRecord>, StoreError> {
        self.owned(move |store| async move { store.read_feeds(tenant).await }).await
    }

    async fn keep_file(&self, file: NewFile) -> Result<FileKept, StoreError> {
        self.owned(move |store| async move { store.insert_file(file).await }).await
    }

    async fn describe_file(&self, upload: UploadRef, summary: String) -> Result<(), StoreError> {
        self.owned(move |store| async move { store.set_file_summary(upload, summary).await }).await
    }

    async fn file(&self, upload: UploadRef) -> Result<Option<FileRecord>, StoreError> {
        self.owned(move |store| async move { store.read_file(upload).await }).await
    }

    async fn loans_of_numbers(&self, tenant: TenantId, numbers: Vec<String>) -> Result<Vec<NumberedLoan>, StoreError> {
        self.owned(move |store| async move { store.read_numbered(tenant, numbers).await }).await
    }

    async fn mark_entries(&self, upload: UploadRef, entries: Vec<MarkedRow>) -> Result<Vec<SeenRow>, StoreError> {
        self.owned(move |store| async move { store.insert_entries(upload, entries).await }).await
    }

    async fn match_entries(
        &self,
        tenant: TenantId,
        marks: Vec<EntryMark>,
    ) -> Result<Vec<Vec<MarkedPayment>>, StoreError> {
        self.owned(move |store| async move { store.read_matches(tenant, marks).await }).await
    }

    async fn accept_group(&self, publisher: PublisherId, group: NewGroup) -> Result<GroupAcceptance, StoreError> {
        self.owned(move |store| async move { store.take_group(publisher, group).await }).await
    }

    async fn post_group(&self, work: GroupWork, fold: GroupFold) -> Result<GroupProgress, StoreError> {
        self.owned(move |store| async move { store.post_one_group(work, fold).await }).await
    }

    async fn legs(&self, tenant: TenantId, group: Seq) -> Result<Vec<EventRecord>, StoreError> {
        self.owned(move |store| async move { store.read_legs(tenant, group).await }).await
    }

    async fn post_batch(&self, work: PostWork, fold: Fold) -> Result<PostedBatch, StoreError> {
        self.owned(move |store| async move { store.post(work, fold).await }).await
    }

    async fn park(&self, request: ParkRequest) -> Result<Attempts, StoreError> {
        self.owned(move |store| async move { store.park_event(request).await }).await
    }

    async fn event(&self, tenant: TenantId, id: EventId) -> Result<Option<EventRecord>, StoreError> {
        self.owned(move |store| async move { store.read_event(tenant, id).await }).await
    }

    async fn event_of_key(&self, tenant: TenantId, key: &str) -> Result<Option<EventRecord>, StoreError> {
        let key = key.to_owned();
        self.owned(move |store| async move { store.read_event_of_key(tenant, key).await }).await
    }

    async fn payments(&self, tenant: TenantId, filter: PaymentsFilter) -> Result<PaymentsPage, StoreError> {
        self.owned(move |store| async move { store.read_payments(tenant, filter).await }).await
    }

    async fn loan(&self, tenant: TenantId, loan: LoanKey) -> Result<Option<LoanRecord>, StoreError> {
        self.owned(move |store| async move { store.read_loan(tenant, loan).await }).await
    }

    async fn loan_parties(
        &self,
        tenant: TenantId,
        loans: Vec<LoanKey>,
    ) -> Result<HashMap<LoanKey, LoanParty>, StoreError> {
        self.owned(move |store| async move { store.read_parties(tenant, loans).await }).await
    }

    async fn party(&self, tenant: TenantId, loan: LoanKey) -> Result<Option<LoanParty>, StoreError> {
        self.owned(move |store| async move { store.read_party(tenant, loan).await }).await
    }

    async fn loan_fees(&self, tenant: TenantId, loan: LoanKey) -> Result<Option<Vec<FeeItem>>, StoreError> {
        self.owned(move |store| async move { store.read_fee_items(tenant, loan).await }).await
    }

    async fn loan_balances(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        at: BalanceTime,
    ) -> Result<Option<LoanBalances>, StoreError> {
        self.owned(move |store| async move { store.read_balances(tenant, loan, at).await }).await
    }

    async fn loan_entries(
        &self,
        tenant: TenantId,
        loan: LoanKey,
        page: EntriesPage,
    ) -> Result<Option<Vec<EventRecord>>, StoreError> {
        self.owned(move |store| async move { store.read_entries(tenant, loan, page).await }).await
    }

    async fn account_totals(
        &self,
        tenant: TenantId,
        account: AccountCode,
        currency: Currency,
        layer: Layer,
        as_of: NaiveDate,
    ) -> Result<AccountTotals, StoreError> {
        self.owned(move |store| async move { store.read_totals(tenant, (account, currency, layer), as_of).await }).await
    }

    async fn position(&self, tenant: TenantId, loan: LoanKey, seq: Seq) -> Result<i64, StoreError> {
        self.owned(move |store| async move { store.count_before(tenant, loan, seq).await }).await
    }

    async fn finished(&self, ids: Vec<EventId>) -> Result<Vec<EventRecord>, StoreError> {
        self.owned(move |store| async move { store.read_finished(ids).await }).await
    }

    async fn publisher_beat(&self, beat: PublisherBeat) -> Result<(), StoreError> {
        self.owned(move |store| async move { store.beat_publisher(beat).await }).await
    }

    async fn worker_beat(&self, beat: WorkerBeat) -> Result<WorkerView, StoreError> {
        self.owned(move |store| async move { store.beat_worker(beat).await }).await
    }

    async fn worker_gone(&self, worker: WorkerId) -> Result<(), StoreError> {
        self.owned(move |store| async move { store.forget_worker(worker).await }).await
    }

    async fn sweep(&self, plan: SweepPlan) -> Result<Option<SweepRound>, StoreError> {
        self.owned_long(move |store| async move { store.sweep_round(plan).await }).await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.owned(|store| async move { store.count_work().await }).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.owned(|store| async move { store.read_now().await }).await
    }

    async fn create_tenant(&self, tenant: TenantRecord) -> Result<bool, StoreError> {
        self.owned(move |store| async move { store.insert_tenant(tenant).await }).await
    }

    async fn set_tenant(&self, tenant: TenantRecord) -> Result<bool, StoreError> {
        self.owned(move |store| async move { store.update_tenant(tenant).await }).await
    }

    async fn tenant(&self, id: TenantId) -> Result<Option<TenantRecord>, StoreError> {
        self.owned(move |store| async move { store.read_tenant(id).await }).await
    }

    async fn tenants(&self) -> Result<Vec<TenantRecord>, StoreError> {
        self.owned(|store| async move { store.read_tenants().await }).await
    }

    async fn create_program(&self, program: ProgramRecord) -> Result<bool, StoreError> {
        self.owned(move |store| async move { store.insert_program(program).await }).await
    }

    async fn program(&self, tenant: TenantId, id: ProgramId) -> Result<Option<ProgramRecord>, StoreError> {
        self.owned(move |store| async move { store.read_program(tenant, id).await }).await
    }

    async fn programs(&self, tenant: TenantId) -> Result<Vec<ProgramRecord>, StoreError> {
        self.owned(move |store| async move { store.read_programs(tenant).await }).await
    }

    async fn create_client(&self, client: ClientRecord) -> Result<bool, StoreError> {
        self.owned(move |store| async move { store.insert_client(client).await }).await
    }

    async fn client(&self, client_id: &str) -> Result<Option<ClientRecord>, StoreError> {
        let client_id = client_id.to_owned();
        self.owned(move |store| async move { store.read_client(client_id).await }).await
    }

    async fn set_client_disabled(
        &self,
        tenant: TenantId,
        client_id: &str,
        disabled_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let client_id = client_id.to_owned();
        self.owned(move |store| async move { store.update_client(tenant, client_id, disabled_at).await }).await
    }

    async fn add_signing_key(&self, key: SigningKeyRecord, only_if_none: bool) -> Result<(), StoreError> {
        self.owned(move |store| async move { store.insert_signing_key(key, only_if_none).await }).await
    }

    async fn signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError> {
        self.owned(|store| async move { store.read_signing_keys().await }).await
    }

    async fn remove_signing_key(&self, kid: &str) -> Result<bool, StoreError> {
        let kid = kid.to_owned();
        self.owned(move |store| async move { store.delete_signing_key(kid).await }).await
    }

    async fn verify(&self) -> Result<VerifyReport, StoreError> {
        self.owned_long(|store| async move { store.prove().await }).await
    }

    async fn close(&self) {
        self.shut().await;
    }
}
