//! Owns `POST /v1/programs`, `GET /v1/programs` and `GET /v1/programs/{program_id}`: the terms that loans share.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::json::Fields;
use crate::api::openapi::ProblemDocument;
use crate::api::state::ApiState;
use crate::api::uploads::answer::replayed;
use crate::api::uploads::receiver::{Beginning, Receiver, UploadRequest};
use crate::api::write::operation::first_time;
use crate::api::write::request::WriteRequest;
use crate::core::event::{AcceptedEvent, FeeCode, Upload, UploadOperation};
use crate::core::ids::{LoanKey, ProgramId, TenantId};
use crate::core::loan::{
    GRACE_DAYS_MAX, LateFeePolicy, LateFeeSetting, Program, ProgramSettings, ReturnFeeSetting, ReturnPolicy,
    WATERFALL_RULES_MAX, WaterfallRuleSetting,
};
use crate::store::ProgramRecord;

const READ: &[Scope] = &[Scope::LedgerRead, Scope::LoansWrite];

/// A program, as it is sent and answered.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"program_id": "44444444-4444-4444-4444-444444444444", "currency": "USD",
    "annual_rate": "7.25", "day_count_convention": "ACT_365", "rounding": "half_up,daily",
    "waterfall": ["fees", "interest", "principal"],
    "waterfall_rules": [{"loan_statuses": ["charged_off", "written_off"], "waterfall": ["principal", "interest", "fees"]}],
    "suspense_release": "automatic", "returns": "chargeback",
    "credit_order": ["principal", "interest", "fees"],
    "return_fees": [{"return_codes": ["R01", "R09"], "fee_minor": "2500"}],
    "late_fees": {"fee_codes": ["late"], "grace_days": 15}}))]
pub struct ProgramView {
    /// The program, by your own id.
    #[schema(value_type = uuid::Uuid)]
    program_id: String,
    /// ISO 4217; the currency of its loans.
    #[schema(pattern = "^[A-Z]{3}$")]
    currency: String,
    /// Percent a year, a decimal with at most six decimals: `7.25`. Absent where callers bring the interest.
    #[serde(skip_serializing_if = "Option::is_none")]
    annual_rate: Option<String>,
    /// `ACT_365`, `ACT_360`, `30_360`, `30E_360`, `ACT_ACT` or `ACT_365_25`.
    #[schema(example = "ACT_365")]
    day_count_convention: String,
    /// Which way and when: `half_up`, `half_even`, `away_from_zero` or `down`, a comma, and `daily`, `once`,
    /// `per_segment` or `per_diem`.
    #[schema(example = "half_up,daily")]
    rounding: String,
    /// The order in which payments pay, where a loan's opening names none.
    waterfall: Vec<String>,
    /// Other orders for some payments, at most 4: the first that fits a payment gives its order. A loan whose opening names
    /// an order has that one alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 4)]
    waterfall_rules: Vec<WaterfallRuleView>,
    /// What becomes of suspense when new debt arises: `manual` or `automatic`.
    #[schema(example = "manual")]
    suspense_release: String,
    /// What becomes of a payment that goes back: `void`, the default, takes it back on its own day; `chargeback` books it
    /// on the day of the return.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "chargeback")]
    returns: Option<String>,
    /// Where returns are charged back: which bucket is owed again first. The order of payment where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    credit_order: Option<Vec<String>>,
    /// What the borrower is charged for a return, by return code, where nobody says so for the return itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    return_fees: Vec<ReturnFeeView>,
    /// Which fees are late fees: each then says for which payment it is, and is refused where that came in on time.
    #[serde(skip_serializing_if = "Option::is_none")]
    late_fees: Option<LateFeesView>,
}

/// An order for some payments: of some kinds, while the loan stands so, or both.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"payment_kinds": ["card"], "loan_statuses": ["open"],
    "waterfall": ["principal", "interest", "fees"]}))]
pub struct WaterfallRuleView {
    /// A source method, `receipt` for receipts that are assigned, `recovery` for recoveries booked as such, or `suspense`
    /// where suspense pays; of all kinds where absent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    payment_kinds: Vec<String>,
    /// `open`, `charged_off` or `written_off`, as the loan stands where the payment counts; always where absent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    loan_statuses: Vec<String>,
    /// The order.
    waterfall: Vec<String>,
}

impl From<WaterfallRuleSetting> for WaterfallRuleView {
    fn from(WaterfallRuleSetting { payment_kinds, loan_statuses, waterfall }: WaterfallRuleSetting) -> Self {
        Self { payment_kinds, loan_statuses, waterfall }
    }
}

/// Which fees are late fees.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"fee_codes": ["late"], "grace_days": 15}))]
pub struct LateFeesView {
    /// Their fee codes, at least one.
    fee_codes: Vec<String>,
    /// How many days after its due day a payment is still on time, 0 to 365; a fee may say otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_days: Option<u16>,
}

/// What returns with some codes cost.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"return_codes": ["R01", "R09"], "fee_minor": "2500"}))]
pub struct ReturnFeeView {
    /// `R` and two digits each; a code stands once in a program.
    return_codes: Vec<String>,
    /// More than 0.
    #[schema(pattern = "^[1-9][0-9]{0,18}$")]
    fee_minor: String,
}

impl From<ProgramSettings> for ProgramView {
    fn from(settings: ProgramSettings) -> Self {
        Self {
            program_id: settings.program_id.to_string(),
            currency: settings.currency,
            annual_rate: settings.annual_rate,
            day_count_convention: settings.day_count_convention,
            rounding: settings.rounding,
            waterfall: settings.waterfall,
            waterfall_rules: settings.waterfall_rules.into_iter().map(WaterfallRuleView::from).collect(),
            suspense_release: settings.suspense_release,
            returns: settings.returns,
            credit_order: settings.credit_order,
            return_fees: settings
                .return_fees
                .into_iter()
                .map(|ReturnFeeSetting { return_codes, fee_minor }| ReturnFeeView { return_codes, fee_minor })
                .collect(),
            late_fees: settings
                .late_fees
                .map(|LateFeeSetting { fee_codes, grace_days }| LateFeesView { fee_codes, grace_days }),
        }
    }
}

/// A tenant's programs.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProgramsList {
    /// By id.
    items: Vec<ProgramView>,
}

/// Describes a program. It cannot be changed: loans have taken their terms from it.
#[utoipa::path(post, path = "/v1/programs", tag = "loans", security(("oauth2" = ["hpts:loans:write"])),
    params(("Idempotency-Key" = String, Header, description = "One key per intended program, kept over retries")),
    request_body = ProgramView,
    responses((status = 201, description = "Made", body = ProgramView),
        (status = 200, description = "The first answer to this key again", body = ProgramView),
        (status = 422, description = "Not valid, or the id is taken", body = ProblemDocument)))]
pub(crate) async fn post_program(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, &[Scope::LoansWrite]).await?;
    let program = request.parsed(parse)?;
    let settings = serde_json::to_string(&program.settings()).map_err(|_| BROKEN)?;
    let now = state.now();
    let tenant = state.tenants().get(state.store(), request.caller.tenant, now).await?;
    let upload = Upload {
        operation: UploadOperation::Program { settings: settings.clone() },
        currency: tenant.base_currency,
        received_on: tenant.business_date(now),
    };
    let (tenant, actor) = (request.caller.tenant, request.caller.client_id.clone());
    let key = request.key.clone();
    let record = ProgramRecord { tenant, id: program.id, settings };
    let is_first = state.store().event_of_key(tenant, key.as_str()).await?.is_none();
    if is_first && state.store().program(tenant, record.id).await?.is_some() {
        return Err(taken());
    }
    let receiver = match Receiver::begin(&state, UploadRequest { tenant, actor, key, upload, file: None }).await? {
        Beginning::Receive(receiver) => receiver,
        Beginning::Compare(record) => return replayed(&state, record),
    };
    // The same program may stand there from an attempt that was cut off.
    let is_made = state.store().create_program(record.clone()).await?;
    if !is_made && state.store().program(tenant, record.id).await?.as_ref() != Some(&record) {
        return Err(taken());
    }
    let body = serde_json::to_vec(&ProgramView::from(program.settings())).map_err(|_| BROKEN)?;
    receiver.finish_with(body.clone()).await?;
    Ok(first_time(body))
}

/// There are a hundred return codes, and each has one fee.
const RETURN_FEES_MAX: usize = 100;

const BROKEN: ApiError = ApiError::Broken("a program has no JSON");

fn taken() -> ApiError {
    ApiError::field("program_id", "taken", "is the id of another program")
}

fn owned(words: Vec<Cow<'_, str>>) -> Vec<String> {
    words.into_iter().map(Cow::into_owned).collect()
}

fn parse_waterfall_rule(fields: &mut Fields<'_>) -> Option<WaterfallRuleSetting> {
    let [payment_kinds, loan_statuses] =
        ["payment_kinds", "loan_statuses"].map(|name| fields.texts(name).map(owned).unwrap_or_default());
    let waterfall = owned(fields.required_texts("waterfall")?);
    Some(WaterfallRuleSetting { payment_kinds, loan_statuses, waterfall })
}

fn parse(fields: &mut Fields<'_>) -> Option<Program> {
    let text = |text: &str| Ok::<_, &str>(text.to_owned());
    let program_id = fields.required("program_id", ProgramId::parse);
    let currency = fields.required("currency", text);
    let annual_rate = fields.optional("annual_rate", text);
    let day_count_convention = fields.required("day_count_convention", text);
    let rounding = fields.required("rounding", text);
    let waterfall = fields.required_texts("waterfall");
    let waterfall_rules = fields.optional_objects("waterfall_rules", 1..=WATERFALL_RULES_MAX, parse_waterfall_rule);
    let suspense_release = fields.required("suspense_release", text);
    let returns = fields.optional("returns", text);
    let credit_order = fields.texts("credit_order");
    let return_fees = fields.optional_objects("return_fees", 1..=RETURN_FEES_MAX, |fee| {
        let return_codes = fee.required_texts("return_codes");
        let fee_minor = fee.required("fee_minor", text);
        Some(ReturnFeeSetting { return_codes: owned(return_codes?), fee_minor: fee_minor? })
    });
    let late_fees = fields.object("late_fees", |late| {
        let fee_codes = late.required_texts("fee_codes");
        let grace_days = late.whole_number("grace_days", GRACE_DAYS_MAX);
        let fee_codes = owned(fee_codes?);
        if fee_codes.iter().any(|code| *code == FeeCode::returned_payment().as_str()) {
            let message = "must not name returned_payment: fees of that code are for payments that went back";
            late.fail("fee_codes", "reserved", message);
        }
        Some(LateFeeSetting { fee_codes, grace_days })
    });
    let settings = ProgramSettings {
        program_id: program_id?,
        currency: currency?,
        annual_rate,
        day_count_convention: day_count_convention?,
        rounding: rounding?,
        waterfall: owned(waterfall?),
        waterfall_rules: waterfall_rules.unwrap_or_default(),
        suspense_release: suspense_release?,
        returns,
        credit_order: credit_order.map(owned),
        return_fees: return_fees.unwrap_or_default(),
        late_fees: late_fees.flatten(),
    };
    match Program::new(&settings) {
        Ok(program) => Some(program),
        Err(faults) => {
            for fault in faults {
                fields.fail(fault.field, "invalid", fault.message);
            }
            None
        }
    }
}

/// A program's terms; `None` where it is not described.
///
/// # Errors
/// The store is away, or its row is unreadable.
pub(crate) async fn described(state: &ApiState, tenant: TenantId, id: ProgramId) -> Result<Option<Program>, ApiError> {
    let record = state.store().program(tenant, id).await?;
    let program = record.map(|record| {
        let settings = read_settings(&record)?;
        Program::new(&settings).map_err(|_| ApiError::Broken("a program's terms are unreadable"))
    });
    program.transpose()
}

/// What a loan's program says of late fees: nothing, where the loan has none.
///
/// # Errors
/// The store is away, or its row is unreadable.
pub(crate) async fn late_fee_policy(
    state: &ApiState,
    tenant: TenantId,
    program: Option<ProgramId>,
) -> Result<LateFeePolicy, ApiError> {
    let Some(id) = program else { return Ok(LateFeePolicy::default()) };
    Ok(described(state, tenant, id).await?.map(|program| program.late_fees).unwrap_or_default())
}

/// What the program of a payment's loan says of returns; a loan that is not posted yet has none.
///
/// # Errors
/// The store is away, or its row is unreadable.
pub(crate) async fn return_policy(state: &ApiState, payment: &AcceptedEvent) -> Result<ReturnPolicy, ApiError> {
    let (tenant, loan) = (payment.event.tenant, payment.event.loan_key);
    Ok(return_policies(state, tenant, vec![loan]).await?.remove(&loan).unwrap_or_default())
}

/// The same of many loans; one without a program is left out.
///
/// # Errors
/// The store is away, or a row is unreadable.
pub(crate) async fn return_policies(
    state: &ApiState,
    tenant: TenantId,
    loans: Vec<LoanKey>,
) -> Result<HashMap<LoanKey, ReturnPolicy>, ApiError> {
    let parties = state.store().loan_parties(tenant, loans).await?;
    let mut programs: HashMap<ProgramId, Option<Program>> = HashMap::new();
    let mut policies = HashMap::new();
    for (loan, party) in parties {
        let Some(id) = party.program_id else { continue };
        if let Entry::Vacant(unread) = programs.entry(id) {
            unread.insert(described(state, tenant, id).await?);
        }
        let program = programs.get(&id).and_then(Option::as_ref);
        policies.extend(program.map(|program| (loan, program.returns.clone())));
    }
    Ok(policies)
}

fn read_settings(record: &ProgramRecord) -> Result<ProgramSettings, ApiError> {
    serde_json::from_str(&record.settings).map_err(|_| ApiError::Broken("a program's settings are unreadable"))
}

/// A tenant's programs.
#[utoipa::path(get, path = "/v1/programs", tag = "loans", security(("oauth2" = ["hpts:ledger:read"])),
    responses((status = 200, description = "The programs, by id", body = ProgramsList)))]
pub(crate) async fn list_programs(
    State(state): State<ApiState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<ProgramsList>, ApiError> {
    let caller = state.caller(&headers, READ).await?;
    Query::of(&uri)?.finish()?;
    let programs = state.store().programs(caller.tenant).await?;
    let view = |record: &ProgramRecord| read_settings(record).map(ProgramView::from);
    Ok(Json(ProgramsList { items: programs.iter().map(view).collect::<Result<_, _>>()? }))
}

/// A program.
#[utoipa::path(get, path = "/v1/programs/{program_id}", tag = "loans", security(("oauth2" = ["hpts:ledger:read"])),
    params(("program_id" = uuid::Uuid, Path, description = "The program")),
    responses((status = 200, description = "The program", body = ProgramView),
        (status = 404, description = "No such program", body = ProblemDocument)))]
pub(crate) async fn get_program(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<ProgramView>, ApiError> {
    let caller = state.caller(&headers, READ).await?;
    Query::of(&uri)?.finish()?;
    let id = ProgramId::parse(&id).map_err(|_| ApiError::NotFound)?;
    let record = state.store().program(caller.tenant, id).await?.ok_or(ApiError::NotFound)?;
    Ok(Json(ProgramView::from(read_settings(&record)?)))
}
