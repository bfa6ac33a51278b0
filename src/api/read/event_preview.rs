//! Owns `POST /v1/events/preview`: what an operation would do, named by the path that it would be sent to. Body and rules
//! are those of the operation, so is the scope; nothing is written, and no key is taken.

use axum::Json;
use axum::extract::{Request, State};
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::json::{Fields, read};
use crate::api::openapi::ProblemDocument;
use crate::api::problem::{FieldError, first_of_each_field};
use crate::api::read::preview::{PreviewAnswer, PreviewCall, foreseen, within_limit};
use crate::api::state::ApiState;
use crate::api::write::disbursements::parse_disbursement;
use crate::api::write::fees::{AskedFee, AskedWaiver, parse_fee, parse_waiver};
use crate::api::write::payments::parse_payment;
use crate::api::write::programs::return_policy;
use crate::api::write::request::AcceptanceRules;
use crate::api::write::returns::{parse_return, returned_payment};
use crate::api::write::reversals::{AskedReversal, parse_reversal};
use crate::core::event::Command;
use crate::core::ids::{EventId, TenantId};

/// Whoever may do one of the operations.
const SCOPES: &[Scope] =
    &[Scope::PaymentsWrite, Scope::DisbursementsWrite, Scope::ReversalsWrite, Scope::AdjustmentsWrite];

/// An operation to look ahead to.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"path": "/v1/fees", "body": {"loan_id": "11111111-1111-1111-1111-111111111111",
    "amount_minor": "2500", "fee_code": "late", "effective_at": "2026-04-16"}}))]
pub struct EventPreviewRequest {
    /// Where it would be sent: `/v1/payments`, `/v1/payments/{payment_event_id}/return`, `/v1/disbursements`,
    /// `/v1/fees`, `/v1/fees/waivers` or `/v1/reversals`.
    pub path: String,
    /// What would be sent there.
    #[schema(value_type = Object)]
    pub body: serde_json::Value,
}

/// Which operation a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Payment,
    Return(EventId),
    Disbursement,
    Fee,
    Waiver,
    Reversal,
}

impl Operation {
    fn parse(path: &str) -> Result<Self, &'static str> {
        match path {
            "/v1/payments" => Ok(Self::Payment),
            "/v1/disbursements" => Ok(Self::Disbursement),
            "/v1/fees" => Ok(Self::Fee),
            "/v1/fees/waivers" => Ok(Self::Waiver),
            "/v1/reversals" => Ok(Self::Reversal),
            _ => {
                let id = path.strip_prefix("/v1/payments/").and_then(|rest| rest.strip_suffix("/return"));
                let id = id.and_then(|id| EventId::parse(id).ok());
                id.map(Self::Return).ok_or("must be the path of an operation that can be previewed")
            }
        }
    }

    /// Who may do it.
    const fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Payment | Self::Return(_) => &[Scope::PaymentsWrite],
            Self::Disbursement => &[Scope::DisbursementsWrite],
            Self::Fee | Self::Waiver => &[Scope::AdjustmentsWrite],
            Self::Reversal => &[Scope::ReversalsWrite],
        }
    }
}

/// What a body asks for, before what no caller says is filled in.
enum Read {
    Whole(Command),
    Payment(Command),
    Fee(AskedFee),
    Waiver(AskedWaiver),
    Reversal(AskedReversal),
}

impl Read {
    async fn command(self, state: &ApiState, tenant: TenantId, rules: &AcceptanceRules) -> Result<Command, ApiError> {
        match self {
            Self::Whole(command) => Ok(command),
            Self::Payment(command) => within_limit(command, rules),
            Self::Fee(asked) => asked.command(state, tenant).await.map_err(inside_body),
            Self::Waiver(asked) => asked.command(state, tenant).await.map_err(inside_body),
            Self::Reversal(asked) => asked.command(state, tenant).await,
        }
    }
}

/// Says what an operation would do, and does nothing.
///
/// For payments, returns, disbursements, fees, waivers and reversals of one loan, late ones above all: the answer has the
/// entry, the later events that would be restated, each with its split before and after, what else would follow, and the
/// balances before and after. A read: it needs no Idempotency-Key. The token needs the scope of the operation. What would
/// not be accepted is refused as the operation refuses it, the fields named behind `body.`.
#[utoipa::path(post, path = "/v1/events/preview", tag = "events", security(("oauth2" = ["hpts:payments:write"])),
    request_body = EventPreviewRequest,
    responses((status = 200, description = "What it would do", body = PreviewAnswer),
        (status = 400, description = "Not JSON", body = ProblemDocument),
        (status = 403, description = "The token lacks the operation's scope", body = ProblemDocument),
        (status = 404, description = "No such payment, entry or fee", body = ProblemDocument),
        (status = 422, description = "It would not be accepted", body = ProblemDocument),
        (status = 503, description = "More than 1,000 events wait for the loan", body = ProblemDocument)))]
pub(crate) async fn preview_event(
    State(state): State<ApiState>,
    request: Request,
) -> Result<Json<PreviewAnswer>, ApiError> {
    let PreviewCall { caller, tenant, rules, body } = PreviewCall::read(&state, request, SCOPES).await?;
    let mut fields = Fields::of_body(read(&body)?);
    let Some(operation) = fields.required("path", Operation::parse) else {
        let mut errors = fields.finish();
        // The rest is judged when it is known what it is for.
        errors.retain(|error| error.field.is_empty() || error.field == "path");
        return Err(ApiError::Validation(first_of_each_field(errors)));
    };
    caller.require(operation.scopes())?;
    let asked = asked(&state, caller.tenant, (fields, operation), &rules).await?;
    let command = asked.command(&state, caller.tenant, &rules).await?;
    foreseen(&state, &caller, command, tenant).await.map(Json)
}

/// Fields that fail when more is known of the loan stand inside the body as well.
fn inside_body(error: ApiError) -> ApiError {
    if let ApiError::Validation(errors) = error {
        let inside = |error: FieldError| FieldError { field: format!("body.{}", error.field), ..error };
        ApiError::Validation(errors.into_iter().map(inside).collect())
    } else {
        error
    }
}

/// What an operation is asked for, of a body whose path is taken.
async fn asked(
    state: &ApiState,
    tenant: TenantId,
    (mut fields, operation): (Fields<'_>, Operation),
    rules: &AcceptanceRules,
) -> Result<Read, ApiError> {
    let returned = match operation {
        Operation::Return(id) => {
            let payment = returned_payment(state, tenant, id).await?;
            let policy = return_policy(state, &payment).await?;
            Some((payment, policy))
        }
        Operation::Payment | Operation::Disbursement | Operation::Fee | Operation::Waiver | Operation::Reversal => None,
    };
    if !fields.has("body") {
        fields.fail("body", "required", "is required");
    }
    let asked = fields.object("body", |fields| match operation {
        Operation::Payment => parse_payment(fields, rules).map(Read::Payment),
        Operation::Return(_) => {
            let (payment, policy) = returned.as_ref()?;
            parse_return(fields, rules, (payment, policy)).map(Read::Whole)
        }
        Operation::Disbursement => parse_disbursement(fields, rules).map(Read::Whole),
        Operation::Fee => parse_fee(fields, rules).map(Read::Fee),
        Operation::Waiver => parse_waiver(fields, rules).map(Read::Waiver),
        Operation::Reversal => parse_reversal(fields, rules).map(Read::Reversal),
    });
    let errors = fields.finish();
    match asked.flatten() {
        Some(asked) if errors.is_empty() => Ok(asked),
        Some(_) | None => Err(ApiError::Validation(first_of_each_field(errors))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_operation_and_nothing_else_does() {
        let id = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
        let path = format!("/v1/payments/{id}/return");
        assert_eq!(Operation::parse(&path), Ok(Operation::Return(EventId::parse(id).unwrap())));
        assert_eq!(Operation::parse("/v1/fees/waivers"), Ok(Operation::Waiver));
        for other in
            ["", "/v1/payments/", "/v1/payments/x/return", "v1/fees", "/v1/fees/", "/v1/loans", "/v1/chargeoffs"]
        {
            assert!(Operation::parse(other).is_err(), "{other}");
        }
    }
}
