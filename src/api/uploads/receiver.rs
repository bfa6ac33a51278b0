//! Owns the receiving of one upload: its lease, what becomes of each row, its counts, its end.
//!
//! | the row | becomes |
//! | --- | --- |
//! | a payment under a new key | an event of this upload |
//! | the same again, after a cut | nothing more: it is an event of this upload already |
//! | the same again, after a cut, as another row | `moved`: the event is shown as this row, and not as that one |
//! | a payment whose key has the same payment | exception `duplicate`, naming the payment and, in this upload, the row |
//! | a payment whose key has another payment | exception `mismatched`, naming the same |
//! | a payment that a rule of acceptance refuses | as above where its key has it already, else an exception with the refusal |
//! | no payment | an exception with the code of what is wrong |
//!
//! So what was accepted before a cut stays accepted whatever the rules say when it comes again, and what was refused is
//! judged anew until the upload is answered. From then on it is only compared.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use axum::body::Bytes;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use crate::api::error::ApiError;
use crate::api::intake::{Accepted, IntakeError};
use crate::api::state::ApiState;
use crate::api::uploads::answer::{UploadAnswer, busy, taken};
use crate::api::uploads::rows::{Row, RowContent, RowFault};
use crate::api::uploads::seq_set::SeqSet;
use crate::api::uploads::verdict::{Asked, Holder, Met, Taken, count, of_fault};
use crate::core::event::{Command, EventKind, IdempotencyKey, NewEvent, Upload, UploadOperation};
use crate::core::ids::{EventId, KeyHash, PaymentBatchId, Seq, TenantId};
use crate::runtime::telemetry::chain;
use crate::store::{
    KnownEvent, NewUpload, RowCounts, Tally, UploadBegun, UploadEnd, UploadException, UploadHold, UploadRecord,
    UploadRef, UploadedFile,
};

/// How long an upload may be silent before another request may go on with it. A body may be silent for 30 s.
pub(crate) const LEASE: Duration = Duration::from_secs(45);
/// How often the lease is renewed.
const RENEWED_EVERY: Duration = Duration::from_secs(5);

/// Who uploads what.
#[derive(Clone, Debug)]
pub(crate) struct UploadRequest {
    pub(crate) tenant: TenantId,
    pub(crate) actor: String,
    pub(crate) key: IdempotencyKey,
    pub(crate) upload: Upload,
    /// The file that it brings.
    pub(crate) file: Option<UploadedFile>,
}

impl UploadRequest {
    /// The upload's beginning, for the store.
    pub(crate) fn begin(&self, state: &ApiState) -> NewUpload {
        let id = state.intake().next_id();
        let (key, upload, actor) = (self.key.clone(), self.upload.clone(), self.actor.clone());
        let event = NewEvent::of_upload(id, self.tenant, key, upload, state.publisher(), actor);
        NewUpload { event, holder: Uuid::new_v4(), lease: LEASE, file: self.file.clone() }
    }
}

/// What an upload's first rows led to.
pub(crate) enum Beginning {
    /// Receive it.
    Receive(Box<Receiver>),
    /// It ended before: its rows are only compared.
    Compare(UploadRecord),
}

/// The fingerprint of rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prints(Sha256);

impl Prints {
    /// Adds rows.
    pub(crate) fn add(&mut self, rows: &[Row]) {
        for row in rows {
            self.0.update(row.print);
        }
    }

    /// Of all rows.
    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// An upload that is being received. Dropped before its end, it gives its lease back.
pub(crate) struct Receiver {
    state: ApiState,
    request: UploadRequest,
    hold: UploadHold,
    counts: RowCounts,
    prints: Prints,
    renewed: Instant,
    /// The events that rows of this sending have, where it was cut off before.
    met: Option<SeqSet>,
    is_over: bool,
}

impl Receiver {
    /// Begins an upload or goes on with it.
    ///
    /// # Errors
    /// Another request receives it; its key belongs to something else; the store is away.
    pub(crate) async fn begin(state: &ApiState, request: UploadRequest) -> Result<Beginning, ApiError> {
        let begin = request.begin(state);
        let (holder, asked) = (begin.holder, begin.event.clone());
        match state.store().begin_upload(begin).await? {
            UploadBegun::New(record) => Ok(Self::of(state, request, UploadHold { id: record.id, holder }, false)),
            UploadBegun::Resumed(record) => Ok(Self::of(state, request, UploadHold { id: record.id, holder }, true)),
            UploadBegun::Complete(record) => Ok(Beginning::Compare(record)),
            UploadBegun::Busy(record) => Err(busy(state, record.id)),
            UploadBegun::Taken(known) => Err(taken(&known, &asked)),
            UploadBegun::FileTaken(batch) => Err(busy(state, batch)),
            UploadBegun::OtherFile(record) => Err(ApiError::file_mismatch(record.id)),
        }
    }

    fn of(state: &ApiState, request: UploadRequest, hold: UploadHold, is_resumed: bool) -> Beginning {
        Beginning::Receive(Box::new(Self {
            state: state.clone(),
            request,
            hold,
            counts: RowCounts::default(),
            prints: Prints::default(),
            renewed: Instant::now(),
            met: is_resumed.then(SeqSet::default),
            is_over: false,
        }))
    }

    /// The client that uploads.
    pub(crate) fn actor(&self) -> &str {
        &self.request.actor
    }

    /// The upload.
    pub(crate) fn id(&self) -> PaymentBatchId {
        self.hold.id
    }

    /// Takes rows: all are accepted or kept as exceptions when this returns.
    ///
    /// # Errors
    /// The store is away, the process stops, or the lease is lost: the upload goes on when it is sent again.
    pub(crate) async fn take(&mut self, rows: Vec<Row>) -> Result<(), ApiError> {
        self.renew().await?;
        self.prints.add(&rows);
        self.counts.received = self.counts.received.saturating_add(i64::try_from(rows.len()).unwrap_or(i64::MAX));
        let mut exceptions = Vec::new();
        let (mut events, mut repeats, mut refused) = (Vec::with_capacity(rows.len()), Vec::new(), Vec::new());
        let mut keys = HashSet::with_capacity(rows.len());
        for Row { row_no, key, content, .. } in rows {
            match (key, content) {
                (Some(key), RowContent::Command(command)) => {
                    let event = self.event(row_no, key, command);
                    if keys.insert(event.key_hash) { events.push(event) } else { repeats.push(event) }
                }
                (Some(key), RowContent::Refused(command, refusal)) => {
                    refused.push((self.event(row_no, key, command), refusal));
                }
                (key, RowContent::Fault(fault)) => {
                    if !self.stands_in_file(row_no, key.as_ref()).await? {
                        exceptions.push(of_fault(row_no, key.as_ref(), &fault));
                    }
                }
                (None, RowContent::Command(_) | RowContent::Refused(..)) => {
                    return Err(ApiError::Broken("a row without a key became a command"));
                }
            }
        }
        self.judge_refused(refused, &mut exceptions).await?;
        let holders = self.accept(events, &mut exceptions).await?;
        for repeat in &repeats {
            let holder = holders.get(&repeat.key_hash).ok_or(ApiError::Broken("a repeated row repeats no row"))?;
            match holder {
                KeyHolder::Row(row) => exceptions.push(self.asked(repeat).repeats(row)),
                KeyHolder::Known(known) => exceptions.extend(self.judge_known(&self.asked(repeat), known)),
            }
        }
        count(&mut self.counts, &exceptions);
        if exceptions.is_empty() || self.state.store().add_exceptions(self.hold, exceptions).await? {
            return Ok(());
        }
        Err(self.lost())
    }

    /// Ends the upload; the answer for its caller.
    ///
    /// # Errors
    /// The store is away, the lease is lost, or a sending before a cut had rows that this one has not.
    pub(crate) async fn finish(mut self) -> Result<Bytes, ApiError> {
        let upload = UploadRef { tenant: self.request.tenant, id: self.hold.id };
        let progress = self.state.store().upload_progress(upload).await?;
        let progress = progress.ok_or(ApiError::Broken("an upload that is being received has no row"))?;
        let accepted = progress.totals.values().fold(Tally::default(), |all, totals| all.plus(totals.accepted));
        if self.leaves_out(accepted.count) {
            return Err(self.other_rows().await?);
        }
        let counts = self.counts;
        let answer = UploadAnswer::new(self.hold.id, counts, accepted.count);
        let bytes = answer.to_bytes()?;
        let fingerprint = std::mem::take(&mut self.prints).finish();
        let end = UploadEnd { rows: counts, fingerprint, answer: bytes.clone() };
        if !self.state.store().finish_upload(self.hold, end).await? {
            return Err(busy(&self.state, self.hold.id));
        }
        self.is_over = true;
        Ok(bytes.into())
    }

    /// Ends an operation without rows; the answer was made by its handler.
    ///
    /// # Errors
    /// The store is away, or the lease is lost.
    pub(crate) async fn finish_with(mut self, answer: Vec<u8>) -> Result<(), ApiError> {
        let end = UploadEnd { rows: self.counts, fingerprint: Prints::default().finish(), answer };
        if !self.state.store().finish_upload(self.hold, end).await? {
            return Err(busy(&self.state, self.hold.id));
        }
        self.is_over = true;
        Ok(())
    }

    /// Whether a row was accepted before a cut.
    ///
    /// # Errors
    /// The store is away.
    pub(crate) async fn was_taken(&self, row_no: i64, key: &IdempotencyKey) -> Result<bool, ApiError> {
        if self.met.is_none() {
            return Ok(false);
        }
        let known = self.state.store().event_of_key(self.request.tenant, key.as_str()).await?;
        Ok(known.is_some_and(|known| known.event.event.origin.batch == Some((self.hold.id, row_no))))
    }

    /// Counts a row that was accepted before a cut.
    pub(crate) fn count_taken(&mut self) {
        self.counts.received = self.counts.received.saturating_add(1);
    }

    fn asked(&self, event: &NewEvent) -> Asked {
        Asked::of(event, self.is_file())
    }

    fn is_file(&self) -> bool {
        matches!(self.request.upload.operation, UploadOperation::AchFile { .. })
    }

    /// Whether the row of a file is an event from before a cut, whatever the entry is taken for now: the calendar, the
    /// feed or what other files had may have changed since.
    async fn stands_in_file(&self, row_no: i64, key: Option<&IdempotencyKey>) -> Result<bool, ApiError> {
        match key {
            Some(key) if self.is_file() => self.was_taken(row_no, key).await,
            Some(_) | None => Ok(false),
        }
    }

    /// What becomes of payments that a rule refuses: one that its key has already is judged like any other row.
    async fn judge_refused(
        &mut self,
        refused: Vec<(NewEvent, RowFault)>,
        exceptions: &mut Vec<UploadException>,
    ) -> Result<(), ApiError> {
        let keys: Vec<IdempotencyKey> = refused.iter().filter_map(|(event, _)| event.key.clone()).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let found = self.state.store().records_of_keys(self.request.tenant, keys).await?;
        let known: HashMap<KeyHash, KnownEvent> =
            found.into_iter().map(|record| (record.event.event.key_hash, record.into())).collect();
        for (event, refusal) in refused {
            let asked = self.asked(&event);
            let same = known.get(&event.key_hash).filter(|known| known.event.event.fingerprint == event.fingerprint);
            match same {
                Some(known) => exceptions.extend(self.judge_known(&asked, known)),
                None => exceptions.push(of_fault(asked.row_no, event.key.as_ref(), &refusal)),
            }
        }
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), ApiError> {
        if self.renewed.elapsed() < RENEWED_EVERY {
            return Ok(());
        }
        self.renewed = Instant::now();
        if self.state.store().keep_upload(self.hold, LEASE).await? { Ok(()) } else { Err(self.lost()) }
    }

    /// What a caller learns whose lease another request has.
    fn lost(&mut self) -> ApiError {
        self.is_over = true;
        busy(&self.state, self.hold.id)
    }

    /// Whether rows were accepted before a cut that this sending does not have. A file is sent with the same bytes.
    fn leaves_out(&self, accepted: i64) -> bool {
        self.request.file.is_none() && self.met.as_ref().is_some_and(|met| met.count() < accepted)
    }

    /// What the caller of such a sending learns. The upload stays open for the rows that it had at first: ended like this,
    /// payments would count that no row of the sending stands for.
    async fn other_rows(&mut self) -> Result<ApiError, ApiError> {
        if !self.state.store().keep_upload(self.hold, LEASE).await? {
            return Ok(self.lost());
        }
        let id = EventId(self.hold.id.0);
        Ok(ApiError::Mismatch { fields: vec!["rows"], kind: EventKind::Upload, id })
    }

    /// Notes that a row of this sending asks for an event of this upload.
    fn meet(&mut self, seq: Seq) -> Met {
        match self.met.as_mut().map(|met| met.insert(seq)) {
            Some(true) => Met::First,
            Some(false) => Met::Before,
            None => Met::Unknown,
        }
    }

    fn event(&self, row_no: i64, key: IdempotencyKey, command: Command) -> NewEvent {
        let (id, publisher) = (self.state.intake().next_id(), self.state.publisher());
        NewEvent::of_caller(id, self.request.tenant, key, command, publisher, self.request.actor.clone())
            .in_batch(self.hold.id, row_no)
    }

    /// Hands rows with distinct keys to the intake; who holds each key afterwards.
    async fn accept(
        &mut self,
        events: Vec<NewEvent>,
        exceptions: &mut Vec<UploadException>,
    ) -> Result<HashMap<KeyHash, KeyHolder>, ApiError> {
        if events.is_empty() {
            return Ok(HashMap::new());
        }
        let asked: Vec<(KeyHash, EventId, Asked)> =
            events.iter().map(|event| (event.key_hash, event.id, self.asked(event))).collect();
        let verdicts = self.state.intake().accept_rows(events).await?;
        let mut holders = HashMap::with_capacity(asked.len());
        for ((key, id, asked), verdict) in asked.into_iter().zip(verdicts) {
            let holder = match verdict {
                Ok(Accepted::New { seq, .. }) => {
                    self.meet(seq);
                    KeyHolder::Row(asked.as_holder(Some(id)))
                }
                Ok(Accepted::Known(known)) => {
                    exceptions.extend(self.judge_known(&asked, &known));
                    KeyHolder::Known(known)
                }
                Err(IntakeError::Refused) => {
                    exceptions.push(asked.exception("internal"));
                    KeyHolder::Row(asked.as_holder(None))
                }
                Err(error) => return Err(error.into()),
            };
            holders.insert(key, holder);
        }
        Ok(holders)
    }

    /// The exception of a row whose key an event has, if it is not that event's own.
    fn judge_known(&mut self, asked: &Asked, known: &KnownEvent) -> Option<UploadException> {
        match asked.taken_by(known, || self.meet(known.event.seq)) {
            Taken::Own => None,
            Taken::Moved(exception) | Taken::Others(exception) => Some(exception),
        }
    }
}

/// Who has the key of rows that repeat each other in one chunk.
enum KeyHolder {
    /// The first of them.
    Row(Holder),
    /// An event from before: of another upload, or of this one before a cut, where it may have been any of these rows'.
    Known(Box<KnownEvent>),
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let (state, hold) = (self.state.clone(), self.hold);
        // Its tasks are awaited when the process stops; without this the lease runs out by itself.
        drop(self.state.lifecycle().spawn(async move {
            if let Err(error) = state.store().release_upload(hold).await {
                tracing::warn!(batch.id = %hold.id, error = chain(&error), "an upload's lease could not be given back");
            }
        }));
    }
}
