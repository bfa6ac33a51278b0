//! Owns the returns that came before their payments: they wait among the exceptions, and when a file brings their payments
//! they are posted by themselves, as a person would have them posted.
//!
//! It runs behind an upload that has brought payments, beside its answer: what cannot be matched now is matched behind the
//! next file, or by a person. The newest returns come first, so that old ones which nobody has settled keep none of them
//! waiting. Who comes first ends the exception; its row's key posts it once.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};

use crate::api::error::ApiError;
use crate::api::state::ApiState;
use crate::api::uploads::ach::{EntryRow, FileRows, RETURN_UNMATCHED};
use crate::api::uploads::receiver::UploadRequest;
use crate::api::uploads::rows::{Row, RowContent};
use crate::api::write::ach_files::feed;
use crate::api::write::ach_reviews::body;
use crate::core::ach::{Feed, FileHash};
use crate::core::event::{IdempotencyKey, NewEvent, Resolution, Review, Upload, UploadOperation};
use crate::core::ids::{PaymentBatchId, TenantId, first_id_at};
use crate::core::ledger::Calendar;
use crate::core::money::Currency;
use crate::core::time::Timestamp;
use crate::runtime::telemetry::chain;
use crate::store::{FileException, NewReview, UploadRef};

/// How long a return waits for its payment by itself: for returns that nobody authorised banks have 60 days.
const WAITING_DAYS: u64 = 60;
/// The most exceptions that one upload looks through.
const WAITING_MAX: usize = 1_000;
/// The most files that it reads again for them, the newest first.
const FILES_MAX: usize = 20;
/// How many exceptions are read at a time.
const PAGE: i64 = 500;

/// Whose file has brought payments.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) tenant: TenantId,
    /// The file.
    pub(crate) id: PaymentBatchId,
    /// The client that has sent it.
    pub(crate) actor: String,
}

/// Posts the returns that name payments which are there by now. The caller does not wait for it, the end of the process
/// does.
pub(crate) fn match_returns(state: &ApiState, arrival: Arrival) {
    let its_state = state.clone();
    drop(state.lifecycle().spawn(async move {
        if let Err(error) = matched(&its_state, &arrival).await {
            tracing::warn!(payment_batch.id = %arrival.id, error = chain(&error), "waiting returns were not read");
        }
    }));
}

async fn matched(state: &ApiState, arrival: &Arrival) -> Result<(), ApiError> {
    let mut files: BTreeMap<PaymentBatchId, Vec<FileException>> = BTreeMap::new();
    for exception in waiting(state, arrival.tenant).await? {
        files.entry(exception.row.batch).or_default().push(exception);
    }
    // Ids of uploads rise with time.
    for (id, exceptions) in files.into_iter().rev().take(FILES_MAX) {
        if state.lifecycle().is_stopping() {
            break;
        }
        // A file that cannot be read keeps no other one waiting.
        if let Err(error) = of_file(state, arrival, id, exceptions).await {
            tracing::warn!(payment_batch.id = %id, error = chain(&error), "waiting returns of a file were not matched");
        }
    }
    Ok(())
}

/// The open returns without a payment, of files that were received whole and not too long ago, newest first. Ids of
/// uploads are made of the time.
async fn waiting(state: &ApiState, tenant: TenantId) -> Result<Vec<FileException>, ApiError> {
    let since = state.now().utc().checked_sub_days(Days::new(WAITING_DAYS)).map_or(Timestamp::EPOCH, Timestamp::new);
    let first = PaymentBatchId(first_id_at(since));
    let mut before = None;
    let mut found: Vec<FileException> = Vec::new();
    while found.len() < WAITING_MAX {
        let page = state.store().newest_exceptions(tenant, RETURN_UNMATCHED, before, PAGE).await?;
        let Some(last) = page.last() else { break };
        before = Some(last.row);
        let is_over = last.row.batch < first;
        found.extend(page.into_iter().filter(|exception| exception.is_received && exception.row.batch >= first));
        if is_over {
            break;
        }
    }
    Ok(found)
}

/// Reads the entries of these exceptions again, and posts those whose payments are there.
async fn of_file(
    state: &ApiState,
    arrival: &Arrival,
    id: PaymentBatchId,
    mut exceptions: Vec<FileException>,
) -> Result<(), ApiError> {
    exceptions.sort_by_key(|exception| exception.row.row_no);
    let Some(name) = exceptions.first().map(|exception| exception.feed.clone()) else { return Ok(()) };
    let upload = UploadRef { tenant: arrival.tenant, id };
    let _room = state.room_for_files().for_kept().await?;
    let Some((sha256, bytes)) = state.store().file_bytes(upload).await? else { return Ok(()) };
    let feed = feed(state, arrival.tenant, &name).await?;
    let now = state.now();
    let tenant = state.tenants().get(state.store(), arrival.tenant, now).await?;
    // What its file does not say of its own day counts as on the day the file came.
    let came_on = exceptions.first().map(|exception| tenant.business_date(exception.received_at));
    let came_on = came_on.unwrap_or_else(|| tenant.business_date(now));
    let again =
        Again { tenant: arrival.tenant, hash: FileHash::from_bytes(sha256), came_on, calendar: Calendar::default() };
    let latest = tenant.latest_effective(now);
    let wanted: Vec<i64> = exceptions.iter().map(|exception| exception.row.row_no).collect();
    let reader = again.clone();
    let reading = tokio::task::spawn_blocking(move || reader.entries(feed, &bytes, latest, &wanted));
    let (entries, feed) = reading.await.map_err(|_| ApiError::Broken("a file could not be read again"))??;
    let rows = again.rows(&feed).returns(state, entries).await?;
    for (exception, row) in exceptions.iter().zip(rows) {
        if let Row { key: Some(key), content: RowContent::Command(command), .. } = row {
            let (id, publisher) = (state.intake().next_id(), state.publisher());
            let event = NewEvent::of_caller(id, arrival.tenant, key, command, publisher, arrival.actor.clone());
            let event = event.in_batch(exception.row.batch, exception.row.row_no);
            end(state, arrival, (exception, tenant.base_currency), event).await?;
        }
    }
    Ok(())
}

/// With what a file is read again.
#[derive(Clone)]
struct Again {
    tenant: TenantId,
    hash: FileHash,
    came_on: NaiveDate,
    /// Returns go by none.
    calendar: Calendar,
}

impl Again {
    const fn rows<'f>(&'f self, feed: &'f Feed) -> FileRows<'f> {
        let Self { tenant, hash, came_on, ref calendar } = *self;
        FileRows { feed, tenant, hash, business_date: came_on, came_on, is_reviewed: false, calendar }
    }

    /// The returns at these rows, which are in order. The whole file is walked.
    fn entries(
        &self,
        feed: Feed,
        bytes: &[u8],
        latest: NaiveDate,
        wanted: &[i64],
    ) -> Result<(Vec<EntryRow>, Feed), ApiError> {
        let entries = {
            let file = feed.read(bytes).map_err(|_| ApiError::Broken("a file that was taken is refused"))?;
            let classifier = feed.classifier(file.header(), latest);
            let rows = self.rows(&feed);
            let numbered = (1_i64..).zip(file.entries()).filter(|(row_no, _)| wanted.binary_search(row_no).is_ok());
            numbered.map(|(row_no, entry)| rows.entry(row_no, &entry, classifier.classify(&entry))).collect::<Vec<_>>()
        };
        if entries.len() == wanted.len() && entries.iter().all(EntryRow::is_return) {
            Ok((entries, feed))
        } else {
            Err(ApiError::Broken("a return that waits is no return of its file"))
        }
    }
}

/// Ends an exception with the event that posts its entry. Somebody may have ended it meanwhile: then nothing is written.
async fn end(
    state: &ApiState,
    arrival: &Arrival,
    (exception, currency): (&FileException, Currency),
    event: NewEvent,
) -> Result<(), ApiError> {
    let row = exception.row;
    let reason = format!("its payment came with file {}", arrival.id);
    let key = IdempotencyKey::parse(&format!("ach-match:{}:{}", row.batch, row.row_no));
    let review = Review {
        batch_id: row.batch,
        row_no: row.row_no,
        resolution: Resolution::Posted,
        reason: reason.clone(),
        effective_at: None,
    };
    let now = state.now();
    let received_on = state.tenants().get(state.store(), arrival.tenant, now).await?.business_date(now);
    let request = UploadRequest {
        tenant: arrival.tenant,
        actor: arrival.actor.clone(),
        key: key.map_err(|_| ApiError::Broken("a match has no key"))?,
        upload: Upload { operation: UploadOperation::AchReview(review), currency, received_on },
        file: None,
    };
    let answer = body((row, &exception.exception.code), Resolution::Posted, Some(&event))?;
    let review = NewReview {
        upload: request.begin(state),
        publisher: state.publisher(),
        row,
        rejected: None,
        resolution: Resolution::Posted,
        reason,
        event: Some(event),
        answer,
    };
    state.intake().accept_review(review).await?;
    Ok(())
}
