//! Owns `POST /v1/payments/batch`: many payments in one request, as a JSON array or streamed as NDJSON.

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use crate::api::auth::Scope;
use crate::api::error::{ApiError, JsonError};
use crate::api::http::headers::{idempotency_key, media_type_is};
use crate::api::http::heavy::off_the_runtime;
use crate::api::http::query::Query;
use crate::api::json::Items;
use crate::api::openapi::ProblemDocument;
use crate::api::problem::FieldError;
use crate::api::state::ApiState;
use crate::api::uploads::answer::{UploadAnswer, accepted, compared};
use crate::api::uploads::receiver::{Beginning, Prints, Receiver, UploadRequest};
use crate::api::uploads::rows::{ItemRows, Row, RowStream, Rows};
use crate::api::uploads::source::Source;
use crate::api::uploads::whole::accept_all;
use crate::api::write::request::AcceptanceRules;
use crate::core::event::{Upload, UploadMode, UploadOperation};
use crate::store::UploadRecord;

/// The most bytes of a JSON batch.
const JSON_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// The most rows of a JSON batch, and of one that is taken whole.
const WHOLE_ROWS_MAX: usize = 10_000;

/// Posts many payments.
#[utoipa::path(post, path = "/v1/payments/batch", tag = "batches", security(("oauth2" = ["hpts:payments:write"])),
    params(("Idempotency-Key" = String, Header, description = "The upload's own key; each row has its own besides"),
        ("mode" = Option<String>, Query, description = "`best_effort` (default): the good rows are taken. \
            `all_or_nothing`: all are accepted or none; at most 10,000 rows")),
    request_body(description = "`{\"payments\": [...]}` with at most 10,000 rows and 8 MiB, or one row a line. \
        A row is at most 64 KiB. May be compressed with gzip.", content(
        (Object = "application/json", example = json!({"payments": [{"idempotency_key": "payment:2026-05-01:1",
            "loan_id": "11111111-1111-1111-1111-111111111111",
            "borrower_id": "22222222-2222-2222-2222-222222222222", "amount_minor": "88849", "currency": "USD",
            "effective_at": "2026-05-01", "source_method": "ach"}]})),
        (String = "application/x-ndjson", example = json!("{\"idempotency_key\":\"payment:2026-05-01:1\",\
            \"loan_id\":\"11111111-1111-1111-1111-111111111111\",\
            \"borrower_id\":\"22222222-2222-2222-2222-222222222222\",\"amount_minor\":\"88849\",\"currency\":\"USD\",\
            \"effective_at\":\"2026-05-01\",\"source_method\":\"ach\"}\n")))),
    responses((status = 202, description = "Taken; posting goes on", body = UploadAnswer),
        (status = 200, description = "The first answer to this key again", body = UploadAnswer),
        (status = 400, description = "No or a bad key, not JSON, badly compressed", body = ProblemDocument),
        (status = 409, description = "Another request is sending this upload", body = ProblemDocument),
        (status = 413, description = "Too large", body = ProblemDocument),
        (status = 415, description = "Neither JSON nor NDJSON, or compressed otherwise", body = ProblemDocument),
        (status = 422, description = "Not valid, or another upload under the same key", body = ProblemDocument)))]
pub(crate) async fn post_batch(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let caller = state.caller(&parts.headers, &[Scope::PaymentsWrite]).await?;
    let form = Form::of(&parts.headers)?;
    let key = idempotency_key(&parts.headers)?;
    let mut query = Query::of(&parts.uri)?;
    let mode = query.optional("mode", |text| UploadMode::parse(text).ok_or("must be best_effort or all_or_nothing"));
    let mode = mode.unwrap_or(UploadMode::BestEffort);
    query.finish()?;
    let now = state.now();
    let tenant = state.tenants().get(state.store(), caller.tenant, now).await?;
    let rules = AcceptanceRules::of(&tenant, now);
    let upload = Upload {
        operation: UploadOperation::PaymentBatch { mode },
        currency: tenant.base_currency,
        received_on: tenant.business_date(now),
    };
    let request = UploadRequest { tenant: caller.tenant, actor: caller.client_id.clone(), key, upload, file: None };
    let rows = match form {
        Form::Json => Rows::Items(json_rows(Source::of(&parts.headers, body, JSON_BYTES_MAX)?, rules).await?),
        Form::Lines => Rows::Stream(Box::new(RowStream::new(Source::of(&parts.headers, body, u64::MAX)?, rules))),
    };
    match mode {
        UploadMode::BestEffort => stream(&state, request, rows).await,
        UploadMode::AllOrNothing => {
            let rows = rows.all(WHOLE_ROWS_MAX).await?;
            accept_all(&state, request, rows).await
        }
    }
}

/// How the rows stand in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Lines,
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        if media_type_is(headers, "application/json") {
            return Ok(Self::Json);
        }
        let is_lines = media_type_is(headers, "application/x-ndjson");
        is_lines.then_some(Self::Lines).ok_or(ApiError::UnsupportedMediaType)
    }
}

/// The body of a JSON batch. Rows keep their bytes, so that each is read like a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchBody<'a> {
    #[serde(borrow)]
    payments: Items<'a, WHOLE_ROWS_MAX>,
}

async fn json_rows(source: Source, rules: AcceptanceRules) -> Result<ItemRows, ApiError> {
    let bytes = source.whole().await?;
    let items = off_the_runtime(move || items(&bytes)).await??;
    Ok(ItemRows::new(items, rules))
}

fn items(bytes: &Bytes) -> Result<Vec<Bytes>, ApiError> {
    let body: BatchBody<'_> = serde_json::from_slice(bytes).map_err(|error| not_a_batch(&error))?;
    if body.payments.is_over {
        return Err(ApiError::BatchTooLarge);
    }
    Ok(body.payments.items.iter().map(|item| bytes.slice_ref(item.get().as_bytes())).collect())
}

fn not_a_batch(error: &serde_json::Error) -> ApiError {
    if !error.is_data() {
        return ApiError::MalformedJson(JsonError("the body is not one JSON document"));
    }
    let message = "the body must be an object with nothing but \"payments\", an array";
    ApiError::Validation(vec![FieldError::new("payments", "wrong_type", message)])
}

/// Takes what can be taken, chunk by chunk: the next one is read while the last is committed.
async fn stream(state: &ApiState, request: UploadRequest, mut rows: Rows) -> Result<Response, ApiError> {
    let mut chunk = first_rows(&mut rows).await?;
    let mut receiver = match Receiver::begin(state, request).await? {
        Beginning::Receive(receiver) => receiver,
        Beginning::Compare(record) => return compare(state, record, chunk, rows).await,
    };
    loop {
        let (next, taken) = tokio::join!(rows.chunk(), receiver.take(chunk));
        taken?;
        match next? {
            Some(next) => chunk = next,
            None => break,
        }
    }
    let id = receiver.id();
    Ok(accepted(state, id, receiver.finish().await?))
}

/// The first rows; an upload without any is none, and takes no key.
async fn first_rows(rows: &mut Rows) -> Result<Vec<Row>, ApiError> {
    loop {
        match rows.chunk().await? {
            Some(chunk) if chunk.is_empty() => {}
            Some(chunk) => return Ok(chunk),
            None => return Err(ApiError::empty_file()),
        }
    }
}

async fn compare(
    state: &ApiState,
    record: UploadRecord,
    first: Vec<Row>,
    mut rows: Rows,
) -> Result<Response, ApiError> {
    let mut prints = Prints::default();
    prints.add(&first);
    while let Some(chunk) = rows.chunk().await? {
        prints.add(&chunk);
    }
    compared(state, record, prints.finish())
}
