//! Owns `POST /v1/ach/feeds` and `GET /v1/ach/feeds`: whose view a file has, and how it is read.

use std::borrow::Cow;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::json::Fields;
use crate::api::openapi::ProblemDocument;
use crate::api::problem::FieldError;
use crate::api::state::ApiState;
use crate::api::uploads::answer::replayed;
use crate::api::uploads::receiver::{Beginning, Receiver, UploadRequest};
use crate::api::write::operation::first_time;
use crate::api::write::request::WriteRequest;
use crate::core::ach::{CUSTOMERS_MAX, CustomerSetting, Feed, FeedSettings, SoftDuplicates};
use crate::core::event::{Upload, UploadOperation};
use crate::core::money::Minor;
use crate::store::FeedRecord;

/// The settings of a feed, as they are sent and answered. Lists may be left out.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"name": "collections", "view": "originator", "loan_number": ["individual_id"],
    "sec_codes": ["PPD", "WEB"], "tolerances": ["missing_padding"], "return_fee_minor": "2500"}))]
pub struct FeedView {
    /// 1 to 63 of `a-z`, `0-9`, `_`, `-`.
    name: String,
    /// `originator`: debits are payments, returns come back. `receiver`: credits are payments.
    #[schema(example = "originator")]
    view: String,
    /// The immediate destination that files must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
    /// The immediate origin that files must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    /// Entry classes whose payments are taken; by default CCD, PPD, TEL and WEB in the view `originator`, and CCD, CIE, CTX
    /// and PPD in `receiver`.
    sec_codes: Vec<String>,
    /// Where the loan number stands: `individual_id`, `account_number`, `addenda:PREFIX`, `customer_map`. The first number
    /// in this order that is a loan's counts.
    loan_number: Vec<String>,
    /// Loans of payers whom a company knows by a name of its own, at most 500.
    customers: Vec<CustomerView>,
    /// Companies whose batches are taken; all where empty.
    company_ids: Vec<String>,
    /// `settlement` or `effective_entry`: the day a payment counts from.
    #[serde(skip_serializing_if = "Option::is_none")]
    date_rule: Option<String>,
    /// Days besides Saturdays and Sundays on which nothing settles: an effective entry date that falls on one and has not
    /// settled is an exception.
    #[schema(value_type = Vec<chrono::NaiveDate>)]
    holidays: Vec<String>,
    /// `hold` (default): a payment that another file has had is an exception until a person decides. `post`: it is posted,
    /// with the other file and row in its metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    soft_duplicates: Option<String>,
    /// What is forgiven; nothing where empty.
    tolerances: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    /// What a borrower is charged for a payment returned with R01 or R09, once; where absent, what the loan's program says.
    #[serde(skip_serializing_if = "Option::is_none")]
    return_fee_minor: Option<String>,
}

/// A payer whom a company knows by a name of its own.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"company_id": "1234567890", "individual_id": "EMP-7*", "loan_number": "420"}))]
pub struct CustomerView {
    /// The company that sends the batch.
    company_id: String,
    /// How it knows the payer; a `*` at the end stands for any rest. The most exact line decides.
    individual_id: String,
    loan_number: String,
}

impl From<CustomerSetting> for CustomerView {
    fn from(CustomerSetting { company_id, individual_id, loan_number }: CustomerSetting) -> Self {
        Self { company_id, individual_id, loan_number }
    }
}

impl From<FeedSettings> for FeedView {
    fn from(settings: FeedSettings) -> Self {
        let usual = SoftDuplicates::default();
        Self {
            name: settings.name,
            view: settings.view,
            destination: settings.destination,
            origin: settings.origin,
            sec_codes: settings.sec_codes,
            loan_number: settings.loan_number,
            customers: settings.customers.into_iter().map(CustomerView::from).collect(),
            company_ids: settings.company_ids,
            date_rule: settings.date_rule,
            holidays: settings.holidays,
            soft_duplicates: Some(settings.soft_duplicates.unwrap_or_else(|| usual.name().to_owned())),
            tolerances: settings.tolerances,
            currency: settings.currency,
            return_fee_minor: settings.return_fee.map(|fee| fee.to_string()),
        }
    }
}

/// A tenant's feeds.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeedsList {
    /// By name.
    items: Vec<FeedView>,
}

/// Makes a feed.
#[utoipa::path(post, path = "/v1/ach/feeds", tag = "ach", security(("oauth2" = ["hpts:loans:write"])),
    params(("Idempotency-Key" = String, Header, description = "One key per intended feed, kept over retries")),
    request_body = FeedView,
    responses((status = 201, description = "Made", body = FeedView),
        (status = 200, description = "The first answer to this key again", body = FeedView),
        (status = 422, description = "Not valid, or the name is taken", body = ProblemDocument)))]
pub(crate) async fn post_feed(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, &[Scope::LoansWrite]).await?;
    let feed = request.parsed(parse)?;
    let settings = serde_json::to_string(&feed.settings()).map_err(|_| ApiError::Broken("a feed has no JSON"))?;
    let now = state.now();
    let tenant = state.tenants().get(state.store(), request.caller.tenant, now).await?;
    let upload = Upload {
        operation: UploadOperation::AchFeed { settings: settings.clone() },
        currency: tenant.base_currency,
        received_on: tenant.business_date(now),
    };
    let (tenant, actor) = (request.caller.tenant, request.caller.client_id.clone());
    let key = request.key.clone();
    let record = FeedRecord { tenant, name: feed.name().as_str().to_owned(), settings };
    let is_first = state.store().event_of_key(tenant, key.as_str()).await?.is_none();
    if is_first && state.store().feed(tenant, &record.name).await?.is_some() {
        return Err(taken());
    }
    let receiver = match Receiver::begin(&state, UploadRequest { tenant, actor, key, upload, file: None }).await? {
        Beginning::Receive(receiver) => receiver,
        Beginning::Compare(record) => return replayed(&state, record),
    };
    // The same feed may stand there from an attempt that was cut off.
    let is_made = state.store().create_feed(record.clone()).await?;
    if !is_made && state.store().feed(tenant, &record.name).await?.as_ref() != Some(&record) {
        return Err(taken());
    }
    let view = FeedView::from(feed.settings());
    let body = serde_json::to_vec(&view).map_err(|_| ApiError::Broken("a feed has no JSON"))?;
    receiver.finish_with(body.clone()).await?;
    Ok(first_time(body))
}

fn taken() -> ApiError {
    ApiError::Validation(vec![FieldError::new("name", "taken", "is the name of another feed")])
}

/// A tenant's feeds.
#[utoipa::path(get, path = "/v1/ach/feeds", tag = "ach", security(("oauth2" = ["hpts:ledger:read"])),
    responses((status = 200, description = "The feeds, by name", body = FeedsList)))]
pub(crate) async fn list_feeds(
    State(state): State<ApiState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<FeedsList>, ApiError> {
    let caller = state.caller(&headers, &[Scope::LedgerRead, Scope::LoansWrite, Scope::PaymentsWrite]).await?;
    Query::of(&uri)?.finish()?;
    let feeds = state.store().feeds(caller.tenant).await?;
    let view = |feed: &FeedRecord| {
        let settings: Result<FeedSettings, _> = serde_json::from_str(&feed.settings);
        settings.map(FeedView::from).map_err(|_| ApiError::Broken("a feed's settings are unreadable"))
    };
    Ok(Json(FeedsList { items: feeds.iter().map(view).collect::<Result<_, _>>()? }))
}

fn customer(fields: &mut Fields<'_>) -> CustomerSetting {
    let mut text = |name| fields.required(name, |text| Ok::<_, &str>(text.to_owned())).unwrap_or_default();
    let [company_id, individual_id, loan_number] = ["company_id", "individual_id", "loan_number"].map(&mut text);
    CustomerSetting { company_id, individual_id, loan_number }
}

fn parse(fields: &mut Fields<'_>) -> Option<Feed> {
    let text = |text: &str| Ok::<_, &str>(text.to_owned());
    let owned = |texts: Option<Vec<Cow<'_, str>>>| texts.unwrap_or_default().into_iter().map(Cow::into_owned).collect();
    let name = fields.required("name", text);
    let view = fields.required("view", text);
    let settings = FeedSettings {
        name: name?,
        view: view?,
        destination: fields.optional("destination", text),
        origin: fields.optional("origin", text),
        sec_codes: owned(fields.texts("sec_codes")),
        loan_number: owned(fields.texts("loan_number")),
        customers: fields
            .optional_objects("customers", 0..=CUSTOMERS_MAX, |fields| Some(customer(fields)))
            .unwrap_or_default(),
        company_ids: owned(fields.texts("company_ids")),
        date_rule: fields.optional("date_rule", text),
        holidays: owned(fields.texts("holidays")),
        soft_duplicates: fields.optional("soft_duplicates", text),
        tolerances: owned(fields.texts("tolerances")),
        currency: fields.optional("currency", text),
        return_fee: fields.optional("return_fee_minor", Minor::parse),
    };
    match Feed::new(&settings) {
        Ok(feed) => Some(feed),
        Err(faults) => {
            for fault in faults {
                let field = if fault.field == "return_fee" { "return_fee_minor" } else { &fault.field };
                fields.fail(field, fault.code, fault.message.clone());
            }
            None
        }
    }
}
