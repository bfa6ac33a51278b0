//! Owns `POST /v1/events/preview`: what an operation would do, named by the path that it would be sent to. Body and rules
//! are those of the operation, so is the scope; nothing is written, and no key is taken.

use axum::Json;
use axum::extract::{Request, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::json::{Fields, read};
use crate::api::openapi::ProblemDocument;
use crate::api::problem::{FieldError, first_of_each_field};
use crate::api::read::group_preview::{GroupPreviewAnswer, foreseen_group};
use crate::api::read::preview::{PreviewAnswer, PreviewCall, foreseen, within_limit};
use crate::api::state::ApiState;
use crate::api::write::accept::Asked;
use crate::api::write::accruals::{AskedAccruals, parse_accruals};
use crate::api::write::disbursements::parse_disbursement;
use crate::api::write::fees::{AskedFee, AskedWaiver, parse_fee, parse_waiver};
use crate::api::write::payments::parse_payment;
use crate::api::write::programs::return_policy;
use crate::api::write::rearrangements::{AskedRearrangement, parse_rearrangement};
use crate::api::write::request::AcceptanceRules;
use crate::api::write::returns::{parse_return, returned_payment};
use crate::api::write::reversals::{AskedReversal, parse_reversal};
use crate::api::write::transfers::{
    Assignment, PlacedReceipt, Transfer, parse_assignment, parse_transfer, receipt_to_assign,
};
use crate::core::event::{AcceptedEvent, Command, Rearrangement};
use crate::core::ids::{EventId, TenantId};
use crate::core::loan::ReturnPolicy;

/// Whoever may do one of the operations.
const SCOPES: &[Scope] = &[
    Scope::PaymentsWrite,
    Scope::DisbursementsWrite,
    Scope::ReversalsWrite,
    Scope::AdjustmentsWrite,
    Scope::AccrualsWrite,
];

/// An operation to look ahead to.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"path": "/v1/fees", "body": {"loan_id": "11111111-1111-1111-1111-111111111111",
    "amount_minor": "2500", "fee_code": "late", "effective_at": "2026-04-16"}}))]
pub struct EventPreviewRequest {
    /// Where it would be sent: `/v1/payments`, `/v1/payments/{payment_event_id}/return`, `/v1/disbursements`,
    /// `/v1/fees`, `/v1/fees/waivers`, `/v1/reversals`, `/v1/accruals/batch`, `/v1/suspense/transfers`,
    /// `/v1/receipts/{payment_event_id}/assignment`, `/v1/refinances` or `/v1/restructures`.
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
    Accruals,
    Transfer,
    Assignment(EventId),
    Rearrangement(Rearrangement),
}

impl Operation {
    fn parse(path: &str) -> Result<Self, &'static str> {
        match path {
            "/v1/payments" => Ok(Self::Payment),
            "/v1/disbursements" => Ok(Self::Disbursement),
            "/v1/fees" => Ok(Self::Fee),
            "/v1/fees/waivers" => Ok(Self::Waiver),
            "/v1/reversals" => Ok(Self::Reversal),
            "/v1/accruals/batch" => Ok(Self::Accruals),
            "/v1/suspense/transfers" => Ok(Self::Transfer),
            "/v1/refinances" => Ok(Self::Rearrangement(Rearrangement::Refinance)),
            "/v1/restructures" => Ok(Self::Rearrangement(Rearrangement::Restructure)),
            _ => {
                let id = |start, end| {
                    let id = path.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
                    id.and_then(|id| EventId::parse(id).ok())
                };
                let returned = id("/v1/payments/", "/return").map(Self::Return);
                let operation = returned.or_else(|| id("/v1/receipts/", "/assignment").map(Self::Assignment));
                operation.ok_or("must be the path of an operation that can be previewed")
            }
        }
    }

    /// Who may do it.
    const fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Payment | Self::Return(_) | Self::Assignment(_) => &[Scope::PaymentsWrite],
            Self::Disbursement => &[Scope::DisbursementsWrite],
            Self::Fee | Self::Waiver | Self::Transfer | Self::Rearrangement(_) => &[Scope::AdjustmentsWrite],
            Self::Reversal => &[Scope::ReversalsWrite],
            Self::Accruals => &[Scope::AccrualsWrite],
        }
    }
}

/// The earlier event that a path names.
enum Named {
    Nothing,
    Payment(Box<(AcceptedEvent, ReturnPolicy)>),
    Receipt(PlacedReceipt),
}

impl Operation {
    async fn named(self, state: &ApiState, tenant: TenantId) -> Result<Named, ApiError> {
        match self {
            Self::Return(id) => {
                let payment = returned_payment(state, tenant, id).await?;
                let policy = return_policy(state, &payment).await?;
                Ok(Named::Payment(Box::new((payment, policy))))
            }
            Self::Assignment(id) => receipt_to_assign(state, tenant, id).await.map(Named::Receipt),
            Self::Payment
            | Self::Disbursement
            | Self::Fee
            | Self::Waiver
            | Self::Reversal
            | Self::Accruals
            | Self::Transfer
            | Self::Rearrangement(_) => Ok(Named::Nothing),
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
    Accruals(AskedAccruals),
    Transfer(Transfer),
    Assignment(Assignment),
    Rearrangement(AskedRearrangement),
}

impl Read {
    async fn asked(
        self,
        state: &ApiState,
        (tenant, named): (TenantId, &Named),
        rules: &AcceptanceRules,
    ) -> Result<Asked, ApiError> {
        match self {
            Self::Whole(command) => Ok(Asked::OfLoan(command)),
            Self::Payment(command) => within_limit(command, rules).map(Asked::OfLoan),
            Self::Fee(asked) => asked.command(state, tenant).await.map(Asked::OfLoan),
            Self::Waiver(asked) => asked.command(state, tenant).await.map(Asked::OfLoan),
            Self::Reversal(asked) => asked.asked(state, tenant).await,
            Self::Accruals(asked) => asked.group(state, tenant).await.map(Asked::OfGroup),
            Self::Transfer(asked) => asked.group(state, tenant).await.map(Asked::OfGroup),
            Self::Rearrangement(asked) => asked.group(state, tenant).await.map(Asked::OfGroup),
            Self::Assignment(asked) => match named {
                Named::Receipt(receipt) => asked.group(state, tenant, receipt).await.map(Asked::OfGroup),
                Named::Nothing | Named::Payment(_) => Err(ApiError::Broken("an assignment without its receipt")),
            },
        }
        .map_err(inside_body)
    }
}

/// What an operation would do, to one loan or to several.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum EventPreviewAnswer {
    /// One loan's.
    OfLoan(Box<PreviewAnswer>),
    /// That of an operation over several loans.
    OfGroup(Box<GroupPreviewAnswer>),
}

/// Says what an operation would do, and does nothing.
///
/// Late ones above all: the answer has the entry, the later events that would be restated, each with its split before and
/// after, what else would follow, and the balances before and after. Of an operation over several loans, as accrual
/// batches, transfers of suspense, assignments of receipts, refinances, restructures and their reversals are, it says so
/// for each loan (`legs`); there is none of one over more than 16 loans (`no_preview`). A read: it needs no
/// Idempotency-Key. The token needs the scope of the operation. What would not be accepted is refused as the operation
/// refuses it, the fields named behind `body.`.
#[utoipa::path(post, path = "/v1/events/preview", tag = "events", security(("oauth2" = ["hpts:payments:write"])),
    request_body = EventPreviewRequest,
    responses((status = 200, description = "What it would do", body = EventPreviewAnswer),
        (status = 400, description = "Not JSON", body = ProblemDocument),
        (status = 404, description = "No such payment, entry or fee", body = ProblemDocument),
        (status = 422, description = "It would not be accepted, or there is no preview of it", body = ProblemDocument),
        (status = 503, description = "More than 1,000 events wait for a loan", body = ProblemDocument)))]
pub(crate) async fn preview_event(
    State(state): State<ApiState>,
    request: Request,
) -> Result<Json<EventPreviewAnswer>, ApiError> {
    let PreviewCall { caller, tenant, rules, body } = PreviewCall::read(&state, request, SCOPES).await?;
    let mut fields = Fields::of_body(read(&body)?);
    let Some(operation) = fields.required("path", Operation::parse) else {
        let mut errors = fields.finish();
        // The rest is judged when it is known what it is for.
        errors.retain(|error| error.field.is_empty() || error.field == "path");
        return Err(ApiError::Validation(first_of_each_field(errors)));
    };
    caller.require(operation.scopes())?;
    let named = operation.named(&state, caller.tenant).await?;
    let body = body_of(fields, (operation, &named), &rules)?;
    let asked = body.asked(&state, (caller.tenant, &named), &rules).await?;
    let answer = match asked {
        Asked::OfLoan(command) => {
            EventPreviewAnswer::OfLoan(foreseen(&state, &caller, command, tenant).await.map(Box::new)?)
        }
        Asked::OfGroup(group) => {
            EventPreviewAnswer::OfGroup(foreseen_group(&state, &caller, &group, tenant).await.map(Box::new)?)
        }
    };
    Ok(Json(answer))
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

/// What an operation is asked for, of a request whose path is taken.
fn body_of(
    mut fields: Fields<'_>,
    (operation, named): (Operation, &Named),
    rules: &AcceptanceRules,
) -> Result<Read, ApiError> {
    if !fields.has("body") {
        fields.fail("body", "required", "is required");
    }
    let asked = fields.object("body", |fields| match operation {
        Operation::Payment => parse_payment(fields, rules).map(Read::Payment),
        Operation::Return(_) => {
            let Named::Payment(returned) = named else { return None };
            parse_return(fields, rules, (&returned.0, &returned.1)).map(Read::Whole)
        }
        Operation::Disbursement => parse_disbursement(fields, rules).map(Read::Whole),
        Operation::Fee => parse_fee(fields, rules).map(Read::Fee),
        Operation::Waiver => parse_waiver(fields, rules).map(Read::Waiver),
        Operation::Reversal => parse_reversal(fields, rules).map(Read::Reversal),
        Operation::Accruals => parse_accruals(fields, rules).map(Read::Accruals),
        Operation::Transfer => parse_transfer(fields, rules).map(Read::Transfer),
        Operation::Assignment(_) => parse_assignment(fields).map(Read::Assignment),
        Operation::Rearrangement(sort) => parse_rearrangement(fields, rules, sort).map(Read::Rearrangement),
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
        let path = format!("/v1/receipts/{id}/assignment");
        assert_eq!(Operation::parse(&path), Ok(Operation::Assignment(EventId::parse(id).unwrap())));
        assert!(Operation::parse(&format!("/v1/receipts/{id}/return")).is_err());
        for other in
            ["", "/v1/payments/", "/v1/payments/x/return", "v1/fees", "/v1/fees/", "/v1/loans", "/v1/chargeoffs"]
        {
            assert!(Operation::parse(other).is_err(), "{other}");
        }
    }
}
