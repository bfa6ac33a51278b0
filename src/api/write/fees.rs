//! Owns `POST /v1/fees` and `POST /v1/fees/waivers`.

use axum::extract::{Request, State};
use axum::response::Response;
use chrono::NaiveDate;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::json::Fields;
use crate::api::openapi::{AcceptedView, FeeAnswer, FeeWaiverAnswer, ProblemDocument};
use crate::api::state::ApiState;
use crate::api::write::accept::{accept_and_answer, replay_or_refuse};
use crate::api::write::programs::late_fee_policy;
use crate::api::write::request::{AcceptanceRules, WriteRequest};
use crate::api::write::servicing::{Asked, Shared, party};
use crate::core::event::{AcceptedEvent, Command, Fee, FeeCode, LateFor, Metadata, ServicingAct, WaivedFee};
use crate::core::ids::{EventId, LoanId, TenantId};
use crate::core::loan::{GRACE_DAYS_MAX, LateFeePolicy};
use crate::core::money::{Minor, Money};
use crate::core::time::parse_date;

/// A fee to charge.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"loan_id": "11111111-1111-1111-1111-111111111111", "amount_minor": "2500",
    "fee_code": "late", "effective_at": "2026-05-17", "due_on": "2026-06-01",
    "late_for": {"period_from": "2026-03-02", "due_at": "2026-05-01", "due_minor": "100000", "grace_days": 15}}))]
pub struct FeeRequest {
    /// The loan it is charged to.
    pub loan_id: uuid::Uuid,
    /// Whole minor units of the loan's currency as a string of digits, more than 0.
    #[schema(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub amount_minor: String,
    /// What sort of fee: 1 to 64 lower-case letters, digits and underscores.
    #[schema(pattern = "^[a-z0-9_]{1,64}$")]
    pub fee_code: String,
    /// The day it counts from; payments pay it from then on.
    pub effective_at: NaiveDate,
    /// The day it is due, not before `effective_at`.
    pub due_on: Option<NaiveDate>,
    /// Of a late fee: the payment that was late. Refused with `paid_on_time` where it was not.
    pub late_for: Option<LateForRequest>,
    /// Free data, up to 4 KiB and 50 keys.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Value>,
}

/// What a late fee says was late: all that was due since a day on which nothing was open. A period for each installment would
/// count a payment in its days of grace for two of them, and one in advance for none.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"period_from": "2026-03-02", "due_at": "2026-05-01", "due_minor": "100000",
    "grace_days": 15}))]
pub struct LateForRequest {
    /// The first day whose payments count: the loan's first, or one in front of which all that was due had been paid.
    pub period_from: NaiveDate,
    /// The day it was due, not before `period_from`.
    pub due_at: NaiveDate,
    /// How much was due from `period_from` to `due_at` in all, more than 0.
    #[schema(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub due_minor: String,
    /// How many days after `due_at` it is still on time, 0 to 365; where absent what the loan's program says, or none.
    /// The fee is of a later day.
    pub grace_days: Option<u16>,
}

/// A fee to forgive.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"loan_id": "11111111-1111-1111-1111-111111111111", "amount_minor": "2500",
    "fee_code": "late", "fee_event_id": "eeeeeeee-eeee-eeee-eeee-eeeeeeeeeeee", "effective_at": "2026-05-20"}))]
pub struct FeeWaiverRequest {
    /// The loan.
    pub loan_id: uuid::Uuid,
    /// How much of the fees of this sort, or of the one that is named; more than 0.
    #[schema(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub amount_minor: String,
    /// What sort of fee.
    #[schema(pattern = "^[a-z0-9_]{1,64}$")]
    pub fee_code: String,
    /// This fee of the loan and no other; its code is `fee_code`. Where it is absent, fees of the sort, youngest first.
    pub fee_event_id: Option<uuid::Uuid>,
    /// The day it counts from; fees of later days are not forgiven.
    pub effective_at: NaiveDate,
    /// Free data, up to 4 KiB and 50 keys.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Value>,
}

/// Charges a fee.
///
/// A late fee says in `late_for` what was due and until when; where the loan's program lists the fee's code among its
/// `late_fees`, it must. No late fee is charged where that came in whole and on time: what came in from `period_from` to the
/// last day of grace counts, each payment as a whole and as if fees were paid last, so that what an earlier late fee took
/// of one does not make it late. Money that went back does not count. The refusal, `paid_on_time`, has the figures.
#[utoipa::path(post, path = "/v1/fees", tag = "fees", security(("oauth2" = ["hpts:adjustments:write"])),
    params(("Idempotency-Key" = String, Header, description = "One key per intended fee, kept over retries"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`, `wait=N`")),
    request_body = FeeRequest,
    responses((status = 201, description = "Posted", body = FeeAnswer),
        (status = 200, description = "The first answer to this key again", body = FeeAnswer),
        (status = 202, description = "Accepted, not finished in time", body = AcceptedView),
        (status = 400, description = "No or a bad key, not JSON", body = ProblemDocument),
        (status = 409, description = "The first request with this key is unfinished", body = ProblemDocument),
        (status = 422, description = "Not valid, refused by a posting rule, or another payload", body = ProblemDocument)))]
pub(crate) async fn post_fee(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, &[Scope::AdjustmentsWrite]).await?;
    let asked = request.parsed_by_rules(&state, parse_fee).await?;
    match asked.judged(&state, request.caller.tenant).await? {
        (fee, Ok(())) => accept_and_answer(&state, request, fee).await,
        // Under another program, or under none, it may have been accepted.
        (fee, Err(refusal)) => replay_or_refuse(&state, &request, fee, refusal).await,
    }
}

/// Forgives fees of a sort, or one of them.
///
/// So much less is owed of fees. What had paid a fee that is forgiven pays the next one, and where none is owed it is the
/// borrower's, in suspense. Of a sort the youngest are forgiven first. Refused with `insufficient_balance` where the loan has
/// no such fees left to that amount, or the fee that is named is not left to it.
#[utoipa::path(post, path = "/v1/fees/waivers", tag = "fees", security(("oauth2" = ["hpts:adjustments:write"])),
    params(("Idempotency-Key" = String, Header, description = "One key per intended waiver, kept over retries"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`, `wait=N`")),
    request_body = FeeWaiverRequest,
    responses((status = 201, description = "Posted", body = FeeWaiverAnswer),
        (status = 200, description = "The first answer to this key again", body = FeeWaiverAnswer),
        (status = 202, description = "Accepted, not finished in time", body = AcceptedView),
        (status = 400, description = "No or a bad key, not JSON", body = ProblemDocument),
        (status = 404, description = "No event of the id that `fee_event_id` says", body = ProblemDocument),
        (status = 409, description = "The first request with this key is unfinished", body = ProblemDocument),
        (status = 422, description = "Not valid, refused by a posting rule, or another payload", body = ProblemDocument)))]
pub(crate) async fn post_waiver(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, &[Scope::AdjustmentsWrite]).await?;
    let asked = request.parsed_by_rules(&state, parse_waiver).await?;
    let waiver = asked.command(&state, request.caller.tenant).await?;
    accept_and_answer(&state, request, waiver).await
}

/// A fee that a body asks for.
pub(crate) struct AskedFee {
    loan_id: LoanId,
    amount: Minor,
    fee_code: FeeCode,
    effective_date: NaiveDate,
    due_on: Option<NaiveDate>,
    late_for: Option<LateFor>,
    metadata: Option<Metadata>,
}

impl AskedFee {
    /// The command, with what no caller says.
    ///
    /// # Errors
    /// The loan's program asks for more, the day is not late, or the store is away.
    pub(crate) async fn command(self, state: &ApiState, tenant: TenantId) -> Result<Command, ApiError> {
        let (command, judged) = self.judged(state, tenant).await?;
        judged.map(|()| command)
    }

    /// The command, and whether it can be accepted by what the loan's program says now.
    async fn judged(self, state: &ApiState, tenant: TenantId) -> Result<(Command, Result<(), ApiError>), ApiError> {
        let party = party(state, tenant, self.loan_id).await?;
        let policy = late_fee_policy(state, tenant, party.program_id).await?;
        let grace_of_program = |said: LateFor| said.grace_days.map_or(policy.grace_days, |_| None);
        let late_for = self.late_for.map(|said| LateFor { program_grace_days: grace_of_program(said), ..said });
        let fee = Fee {
            loan_id: self.loan_id,
            borrower_id: party.borrower_id,
            amount: Money::new(self.amount, party.currency),
            effective_date: self.effective_date,
            fee_code: self.fee_code,
            due_on: self.due_on,
            charged_for: None,
            late_for,
            metadata: self.metadata,
        };
        let judged = check_late(&fee, &policy);
        Ok((Command::Fee(fee), judged))
    }
}

/// Whether a fee says what was late where its program asks for it, and is of a day on which that was late.
fn check_late(fee: &Fee, policy: &LateFeePolicy) -> Result<(), ApiError> {
    let Some(late_for) = &fee.late_for else {
        let message = "is required: the loan's program says that fees of this code are for late payments";
        let is_free = !policy.is_late_fee(fee.fee_code.as_str());
        return if is_free { Ok(()) } else { Err(ApiError::field("late_for", "required", message)) };
    };
    let last = late_for.on_time_until();
    if fee.effective_date > last {
        return Ok(());
    }
    let message = format!("must be after {last}, the last day on which the payment is on time");
    Err(ApiError::field("effective_at", "not_late", message))
}

fn parse_late_for(fields: &mut Fields<'_>) -> Option<LateFor> {
    let period_from = fields.required("period_from", parse_date);
    let due_at = fields.required("due_at", parse_date);
    if let (Some(period_from), Some(due_at)) = (period_from, due_at)
        && due_at < period_from
    {
        fields.fail("due_at", "before_period", "must not be before period_from");
    }
    let due = fields.posted_amount("due_minor");
    let grace_days = fields.whole_number("grace_days", GRACE_DAYS_MAX);
    Some(LateFor { period_from: period_from?, due_at: due_at?, due: due?, grace_days, program_grace_days: None })
}

pub(crate) fn parse_fee(fields: &mut Fields<'_>, rules: &AcceptanceRules) -> Option<AskedFee> {
    let loan_id = fields.required("loan_id", LoanId::parse);
    let amount = fields.posted_amount("amount_minor");
    let fee_code = fields.required("fee_code", FeeCode::parse);
    let effective_date = fields.date_until("effective_at", rules.latest_effective);
    let due_on = fields.optional("due_on", parse_date);
    if let (Some(due_on), Some(effective_date)) = (due_on, effective_date)
        && due_on < effective_date
    {
        fields.fail("due_on", "before_effective", "must not be before effective_at");
    }
    let late_for = fields.object("late_for", parse_late_for);
    let metadata = fields.metadata();
    Some(AskedFee {
        loan_id: loan_id?,
        amount: amount?,
        fee_code: fee_code?,
        effective_date: effective_date?,
        due_on,
        late_for: late_for.flatten(),
        metadata,
    })
}

/// A waiver that a body asks for.
pub(crate) struct AskedWaiver {
    /// All but the fee that it names.
    asked: Asked,
    fee_code: FeeCode,
    fee: Option<EventId>,
}

impl AskedWaiver {
    /// The command, with what no caller says.
    ///
    /// # Errors
    /// The event that it names is not there, or is no such fee of the loan; or the store is away.
    pub(crate) async fn command(self, state: &ApiState, tenant: TenantId) -> Result<Command, ApiError> {
        let Self { asked, fee_code, fee } = self;
        let fee = match fee {
            Some(id) => Some(waived_fee(state, (tenant, id), (asked.loan_id, &fee_code)).await?),
            None => None,
        };
        Asked { act: ServicingAct::FeeWaived { fee_code, fee }, ..asked }.command(state, tenant).await
    }
}

/// The fee of a loan that a waiver names. What came of it is judged when the waiver's turn comes.
async fn waived_fee(
    state: &ApiState,
    (tenant, id): (TenantId, EventId),
    (loan, code): (LoanId, &FeeCode),
) -> Result<WaivedFee, ApiError> {
    let AcceptedEvent { seq, event, .. } = state.store().event(tenant, id).await?.ok_or(ApiError::NotFound)?.event;
    let wrong = |code, message| Err(ApiError::field("fee_event_id", code, message));
    match &event.command {
        Command::Fee(fee) if fee.loan_id != loan => wrong("other_loan", "must be a fee of the loan".to_owned()),
        Command::Fee(fee) if fee.fee_code != *code => {
            wrong("other_code", format!("must be a fee of the code {code}; its code is {}", fee.fee_code))
        }
        Command::Fee(_) => Ok(WaivedFee { id, correlation_id: event.first_of_chain().unwrap_or(id), seq: Some(seq) }),
        Command::Payment(_)
        | Command::Disbursement(_)
        | Command::LoanOpening(_)
        | Command::PaymentReturn(_)
        | Command::Servicing(_)
        | Command::Receipt(_)
        | Command::BankSettlement(_)
        | Command::Upload(_)
        | Command::Group(_)
        | Command::Leg(_) => wrong("not_a_fee", "must be a fee".to_owned()),
    }
}

pub(crate) fn parse_waiver(fields: &mut Fields<'_>, rules: &AcceptanceRules) -> Option<AskedWaiver> {
    let amount = fields.posted_amount("amount_minor");
    let fee_code = fields.required("fee_code", FeeCode::parse);
    let fee = fields.optional("fee_event_id", EventId::parse);
    let (shared, fee_code) = (Shared::take(fields, rules), fee_code?);
    let asked = shared.asked(Some(amount?), ServicingAct::FeeWaived { fee_code: fee_code.clone(), fee: None })?;
    Some(AskedWaiver { asked, fee_code, fee })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::json::read;

    fn failing(changes: &Value) -> Vec<String> {
        let mut body = json!({"loan_id": "11111111-1111-1111-1111-111111111111", "amount_minor": "2500",
            "fee_code": "late", "effective_at": "2026-05-16"});
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        let bytes = serde_json::to_vec(&body).unwrap();
        let mut fields = Fields::of_body(read(&bytes).unwrap());
        let latest_effective = NaiveDate::from_ymd_opt(2026, 5, 20).unwrap();
        parse_fee(&mut fields, &AcceptanceRules { latest_effective, payment_limit: None });
        fields.finish().into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn fees_are_checked_field_by_field() {
        assert!(failing(&json!({})).is_empty());
        assert!(failing(&json!({"due_on": "2027-01-01", "metadata": {"a": 1}})).is_empty(), "due in the future");
        assert_eq!(failing(&json!({"due_on": "2026-05-15"})), ["due_on"]);
        assert_eq!(
            failing(&json!({"fee_code": "Late", "amount_minor": "0", "effective_at": "2026-05-21"})),
            ["amount_minor", "fee_code", "effective_at"]
        );
        assert_eq!(failing(&json!({"currency": "USD"})), ["currency"], "the currency is the loan's");
    }
}
