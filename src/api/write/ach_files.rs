//! Owns `POST /v1/ach/files`: a NACHA file in, its payments and returns posted, everything else an exception.
//!
//! The bytes are kept, those of a refused file too. The same bytes again answer the first result, whatever their key; of
//! two keys that bring them at once one receives them, and the other stays free and is told to come again. Other bytes
//! under the same header identity are a conflict, once the first have become an upload: a file that was refused before, or
//! whose process died, took nothing, and its correction goes on. A file that was cut off is sent again and goes on: a row is known by the
//! hash of the bytes and its place. Whoever brings its bytes through its feed goes on with it, under the key that it began
//! with, for the one who knows that key may be gone.

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use futures::future::try_join;
use serde::Serialize;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::headers::{idempotency_key, media_type_is};
use crate::api::http::query::Query;
use crate::api::openapi::ProblemDocument;
use crate::api::problem::FieldError;
use crate::api::state::ApiState;
use crate::api::uploads::CHUNK_ROWS_MAX;
use crate::api::uploads::ach::{EntryRow, FileRows, calendar};
use crate::api::uploads::answer::{UploadAnswer, accepted, busy, replayed};
use crate::api::uploads::receiver::{Beginning, Receiver, UploadRequest};
use crate::api::uploads::room::FILE_BYTES_MAX;
use crate::api::uploads::rows::Row;
use crate::api::uploads::source::Source;
use crate::api::write::ach_matches::{Arrival, match_returns};
use crate::core::ach::{Faults, Feed, FeedSettings, File, FileHash, Tally, Total};
use crate::core::event::{IdempotencyKey, Upload, UploadOperation};
use crate::core::ids::{EventId, PaymentBatchId, TenantId};
use crate::store::{FileKept, NewFile, UploadRef, UploadedFile};

/// A file of one payment, for the description.
const EXAMPLE: &str = concat!(
    "101 231380104 1210428822605010000A094101FIRST RECEIVING BANK   FIRST LENDING BANK             \n",
    "5225FIRST LENDER                        1210428829PPDLOAN PYMT       2605011211121042880000001\n",
    "627231380104700000000000     00000002411000100000000  FIRST BORROWER          0121042880000001\n",
    "822500000100231380100000000002410000000000001210428829                         121042880000001\n",
    "9000001000001000000010023138010000000000241000000000000                                       \n",
);

/// Posts an ACH file.
#[utoipa::path(post, path = "/v1/ach/files", tag = "ach", security(("oauth2" = ["hpts:payments:write"])),
    params(("Idempotency-Key" = String, Header, description = "The upload's own key; rows have theirs from the file"),
        ("feed" = String, Query, description = "The feed it comes through")),
    request_body(content = String, content_type = "text/plain",
        description = "The bytes of a NACHA file, at most 128 MiB. May be compressed with gzip.",
        example = json!(EXAMPLE)),
    responses((status = 202, description = "Taken; posting goes on", body = UploadAnswer),
        (status = 200, description = "The first answer to these bytes again", body = UploadAnswer),
        (status = 409, description = "Another file has its identity, or it is being received", body = ProblemDocument),
        (status = 413, description = "Too large", body = ProblemDocument),
        (status = 422, description = "Not a sound file; every fault by line, column and field",
            body = ProblemDocument),
        (status = 503, description = "Other files are being received; try again", body = ProblemDocument)))]
pub(crate) async fn post_file(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let caller = state.caller(&parts.headers, &[Scope::PaymentsWrite]).await?;
    if !media_type_is(&parts.headers, "text/plain") && !media_type_is(&parts.headers, "application/octet-stream") {
        return Err(ApiError::UnsupportedMediaType);
    }
    let key = idempotency_key(&parts.headers)?;
    let mut query = Query::of(&parts.uri)?;
    let name = query.required("feed", |text| Ok::<_, &str>(text.to_owned()));
    query.finish()?;
    let feed = feed(&state, caller.tenant, name.as_deref().unwrap_or_default()).await?;
    let mut room = state.room_for_files().for_body();
    let bytes = Source::of(&parts.headers, body, FILE_BYTES_MAX)?.whole_in(&mut room).await?;
    if bytes.is_empty() {
        return Err(ApiError::empty_file());
    }
    let now = state.now();
    let tenant = state.tenants().get(state.store(), caller.tenant, now).await?;
    let operation = UploadOperation::AchFile { feed: feed.name().as_str().to_owned() };
    let business_date = tenant.business_date(now);
    let upload = Upload { operation, currency: feed.currency(), received_on: business_date };
    let mut request = UploadRequest { tenant: caller.tenant, actor: caller.client_id.clone(), key, upload, file: None };
    let latest = tenant.latest_effective(now);
    let (hash, found) = checked(&feed, &bytes).await?;
    let Some(file) = feed.read(&bytes).ok().filter(|_| found.is_empty()) else {
        keep(&state, &request, &feed, hash, None, &bytes).await?;
        return Err(ApiError::InvalidFile(found));
    };
    let identity = file.contents().identity().map(|identity| identity.to_string());
    match keep(&state, &request, &feed, hash, identity.clone(), &bytes).await? {
        FileKept::New | FileKept::Same(None) => {}
        FileKept::Same(Some(id)) => match first_result(&state, &request, id).await? {
            FirstResult::Answer(answer) => return Ok(answer),
            FirstResult::GoesOn(key) => request.key = key,
        },
        FileKept::Conflict(batch) => return Err(ApiError::DuplicateFile { batch }),
    }
    let calendar = calendar(&state, request.tenant).await?;
    let rows = FileRows {
        feed: &feed,
        tenant: request.tenant,
        hash,
        business_date,
        came_on: business_date,
        is_reviewed: false,
        calendar: &calendar,
    };
    let name = feed.name().as_str().to_owned();
    let found = summary(&file, &Tally::default())?;
    request.file = Some(UploadedFile { sha256: hash.bytes(), feed: name, identity, summary: found });
    match Receiver::begin(&state, request).await? {
        Beginning::Receive(receiver) => receive(&state, *receiver, &file, rows, latest).await,
        Beginning::Compare(record) => {
            // The same bytes, received by another request meanwhile; or others.
            let its_file = state.store().file(UploadRef { tenant: rows.tenant, id: record.id }).await?;
            let is_same = its_file.is_some_and(|its_file| its_file.sha256 == hash.bytes());
            if is_same { replayed(&state, record) } else { Err(ApiError::file_mismatch(record.id)) }
        }
    }
}

/// The hash of a file and its faults, found beside the runtime's own threads: a file of 128 MiB made to be slow takes
/// seconds. A file without faults is read again in a few milliseconds, because what was read borrows its bytes.
async fn checked(feed: &Feed, bytes: &Bytes) -> Result<(FileHash, Vec<FieldError>), ApiError> {
    let (feed, bytes) = (feed.clone(), bytes.clone());
    let checking = tokio::task::spawn_blocking(move || {
        let found = feed.read(&bytes).err().map(|refusal| faults(&refusal.faults)).unwrap_or_default();
        (FileHash::of(&bytes), found)
    });
    checking.await.map_err(|_| ApiError::Broken("a file could not be checked"))
}

pub(crate) async fn feed(state: &ApiState, tenant: TenantId, name: &str) -> Result<Feed, ApiError> {
    let unknown = || ApiError::InvalidParameters(vec![FieldError::new("feed", "unknown", "is not a feed of yours")]);
    let record = state.store().feed(tenant, name).await?.ok_or_else(unknown)?;
    let settings: FeedSettings =
        serde_json::from_str(&record.settings).map_err(|_| ApiError::Broken("a feed's settings are unreadable"))?;
    Feed::new(&settings).map_err(|_| ApiError::Broken("a feed's settings do not hold"))
}

async fn keep(
    state: &ApiState,
    request: &UploadRequest,
    feed: &Feed,
    hash: FileHash,
    identity: Option<String>,
    bytes: &Bytes,
) -> Result<FileKept, ApiError> {
    let file = NewFile {
        tenant: request.tenant,
        sha256: hash.bytes(),
        feed: feed.name().as_str().to_owned(),
        identity,
        bytes: bytes.clone(),
    };
    Ok(state.store().keep_file(file).await?)
}

/// What there is of the same bytes.
enum FirstResult {
    /// Their first answer.
    Answer(Response),
    /// An upload that was not received whole, under this key: who brings them goes on, unless somebody receives them now.
    GoesOn(IdempotencyKey),
}

async fn first_result(state: &ApiState, request: &UploadRequest, id: PaymentBatchId) -> Result<FirstResult, ApiError> {
    let progress = state.store().upload_progress(UploadRef { tenant: request.tenant, id }).await?;
    let record = progress.ok_or(ApiError::Broken("a file names an upload that is not there"))?.record;
    if record.completed_at.is_some() {
        return replayed(state, record).map(FirstResult::Answer);
    }
    // Another feed would read the rest of it otherwise.
    if record.operation != request.upload.operation {
        return Err(busy(state, id));
    }
    let began = state.store().event(request.tenant, EventId(id.0)).await?;
    let key = began.and_then(|began| began.event.event.key.clone());
    key.map(FirstResult::GoesOn).ok_or(ApiError::Broken("an upload has no key"))
}

async fn receive(
    state: &ApiState,
    mut receiver: Receiver,
    file: &File<'_>,
    rows: FileRows<'_>,
    latest: chrono::NaiveDate,
) -> Result<Response, ApiError> {
    let upload = UploadRef { tenant: rows.tenant, id: receiver.id() };
    let classifier = rows.feed.classifier(file.header(), latest);
    let mut tally = Tally::default();
    let mut entries = (1_i64..).zip(file.entries());
    let mut ready = ReadyChunk::default();
    loop {
        let mut chunk: Vec<EntryRow> = Vec::with_capacity(CHUNK_ROWS_MAX);
        for (row_no, entry) in entries.by_ref().take(CHUNK_ROWS_MAX) {
            let meaning = classifier.classify(&entry);
            tally.add(&entry.entry, &meaning).map_err(|_| ApiError::Broken("a file's totals leave 64 bits"))?;
            chunk.push(rows.entry(row_no, &entry, meaning));
        }
        if chunk.is_empty() {
            break;
        }
        // While one chunk is accepted the next one is made ready: each waits for the database by itself.
        let taken = take(state, &mut receiver, rows, ready);
        ((), ready) = try_join(taken, make_ready(state, upload, rows, chunk)).await?;
    }
    take(state, &mut receiver, rows, ready).await?;
    if !tally.accounts_for(file.summary()) {
        return Err(ApiError::Broken("the entries of a file do not add up to its totals"));
    }
    state.store().describe_file(upload, summary(file, &tally)?).await?;
    let id = receiver.id();
    let actor = receiver.actor().to_owned();
    let answer = accepted(state, id, receiver.finish().await?);
    if tally.payments.count > 0 {
        match_returns(state, Arrival { tenant: rows.tenant, id, actor });
    }
    Ok(answer)
}

/// Entries of a file, and what was found for them.
#[derive(Default)]
struct ReadyChunk {
    /// Of all that are no returns.
    rows: Vec<Row>,
    /// The returns: they are matched when the payments in front of them are accepted.
    returns: Vec<EntryRow>,
}

/// Marks the payments of a chunk and finds their loans.
async fn make_ready(
    state: &ApiState,
    upload: UploadRef,
    rows: FileRows<'_>,
    chunk: Vec<EntryRow>,
) -> Result<ReadyChunk, ApiError> {
    let seen = state.store().mark_entries(upload, FileRows::marks(&chunk)).await?;
    let (returns, others): (Vec<_>, Vec<_>) = chunk.into_iter().partition(EntryRow::is_return);
    Ok(ReadyChunk { rows: rows.rows(state, others, seen).await?, returns })
}

/// Takes a chunk: its payments first, so that a return of the same file finds them.
async fn take(
    state: &ApiState,
    receiver: &mut Receiver,
    rows: FileRows<'_>,
    chunk: ReadyChunk,
) -> Result<(), ApiError> {
    let ReadyChunk { rows: others, returns } = chunk;
    if !others.is_empty() {
        receiver.take(others).await?;
    }
    if returns.is_empty() {
        return Ok(());
    }
    let mut unknown = Vec::with_capacity(returns.len());
    for entry in returns {
        // A return that was taken before a cut has undone its payment, which would not be found again.
        if receiver.was_taken(entry.row_no(), entry.key()).await? {
            receiver.count_taken();
        } else {
            unknown.push(entry);
        }
    }
    receiver.take(rows.returns(state, unknown).await?).await
}

/// Every fault, as far as they are listed.
fn faults(faults: &Faults) -> Vec<FieldError> {
    let listed = faults.list().iter();
    listed
        .map(|fault| {
            FieldError::new(fault.field, fault.code.name(), fault.message.clone()).at(fault.line, fault.column)
        })
        .collect()
}

/// What was found in a file.
#[derive(Serialize)]
struct FileSummary<'a> {
    batches: u64,
    entries: u64,
    addenda: u64,
    debit_minor: String,
    credit_minor: String,
    payments: TotalView,
    returns: TotalView,
    changes: TotalView,
    exceptions: TotalView,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [FieldError],
}

#[derive(Serialize)]
struct TotalView {
    count: u64,
    debit_minor: String,
    credit_minor: String,
}

impl From<Total> for TotalView {
    fn from(total: Total) -> Self {
        Self { count: total.count, debit_minor: total.debit.to_string(), credit_minor: total.credit.to_string() }
    }
}

fn summary(file: &File<'_>, tally: &Tally) -> Result<String, ApiError> {
    let found = file.summary();
    let warnings = faults(file.warnings());
    let summary = FileSummary {
        batches: found.batches,
        entries: found.entries,
        addenda: found.addenda,
        debit_minor: found.debit.to_string(),
        credit_minor: found.credit.to_string(),
        payments: tally.payments.into(),
        returns: tally.returns.into(),
        changes: tally.changes.into(),
        exceptions: tally.exceptions.into(),
        warnings: &warnings,
    };
    serde_json::to_string(&summary).map_err(|_| ApiError::Broken("a file's summary has no JSON"))
}
