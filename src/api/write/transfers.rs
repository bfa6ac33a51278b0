//! Owns what goes from one loan to another: `POST /v1/suspense/transfers`, and `POST /v1/receipts/{id}/assignment`.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::json::Fields;
use crate::api::openapi::{AcceptedView, ProblemDocument, ReceiptAssignmentAnswer, SuspenseTransferAnswer};
use crate::api::state::ApiState;
use crate::api::write::accept::{GroupRequest, accept_group_and_answer};
use crate::api::write::request::{AcceptanceRules, WriteRequest};
use crate::api::write::servicing::{optional_amount, party};
use crate::core::event::{Command, EarlierEvent, GroupOperation, LegRequest, LegTerms, Metadata, Receipt};
use crate::core::ids::{EventId, LoanId, TenantId};
use crate::core::money::Minor;

/// Suspense that goes to another loan.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"loan_id": "11111111-1111-1111-1111-111111111111",
    "to_loan_id": "33333333-3333-3333-3333-333333333333", "amount_minor": "5000", "effective_at": "2026-05-20"}))]
pub struct SuspenseTransferRequest {
    /// The loan that has it.
    pub loan_id: uuid::Uuid,
    /// The loan that gets it: of the same borrower, in the same currency.
    pub to_loan_id: uuid::Uuid,
    /// How much, more than 0; all of it where absent. At most what is in suspense on that day and every later one.
    #[schema(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub amount_minor: Option<String>,
    /// The day it counts from.
    pub effective_at: chrono::NaiveDate,
    /// Free data, up to 4 KiB and 50 keys.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Value>,
}

/// The loan of a receipt that came without one.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"loan_id": "11111111-1111-1111-1111-111111111111"}))]
pub struct ReceiptAssignmentRequest {
    /// The loan.
    pub loan_id: uuid::Uuid,
    /// Free data, up to 4 KiB and 50 keys.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Value>,
}

/// Moves suspense to another loan of the same borrower.
#[utoipa::path(post, path = "/v1/suspense/transfers", tag = "suspense",
    security(("oauth2" = ["hpts:adjustments:write"])),
    params(("Idempotency-Key" = String, Header, description = "One key per intended transfer, kept over retries"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`, `wait=N`")),
    request_body = SuspenseTransferRequest,
    responses((status = 201, description = "Posted", body = SuspenseTransferAnswer),
        (status = 200, description = "The first answer to this key again", body = SuspenseTransferAnswer),
        (status = 202, description = "Accepted, not finished in time", body = AcceptedView),
        (status = 400, description = "No or a bad key, not JSON", body = ProblemDocument),
        (status = 409, description = "The first request with this key is unfinished", body = ProblemDocument),
        (status = 422, description = "Not valid, refused by a posting rule, or another payload", body = ProblemDocument)))]
pub(crate) async fn post_transfer(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, &[Scope::AdjustmentsWrite]).await?;
    let asked = request.parsed_by_rules(&state, parse_transfer).await?;
    let group = asked.group(&state, request.caller.tenant).await?;
    accept_group_and_answer(&state, request, group).await
}

/// A transfer that a body asks for.
pub(crate) struct Transfer {
    from: LoanId,
    to: LoanId,
    amount: Option<Minor>,
    date: chrono::NaiveDate,
    metadata: Option<Metadata>,
}

impl Transfer {
    /// The group, with the loans' borrowers.
    ///
    /// # Errors
    /// The store is away.
    pub(crate) async fn group(self, state: &ApiState, tenant: TenantId) -> Result<GroupRequest, ApiError> {
        let (from, to) = (party(state, tenant, self.from).await?, party(state, tenant, self.to).await?);
        let Self { from: loan_id, to: to_loan_id, amount, date: effective_date, metadata } = self;
        let borrower_id = Some(from.borrower_id);
        let out = LegRequest { loan_id, borrower_id, effective_date, terms: LegTerms::SuspenseOut { amount } };
        let (loan_id, borrower_id) = (to_loan_id, Some(to.borrower_id));
        let legs = vec![out, LegRequest { loan_id, borrower_id, effective_date, terms: LegTerms::SuspenseIn }];
        let (operation, currency) = (GroupOperation::SuspenseTransfer, from.currency);
        Ok(GroupRequest { operation, currency, effective_date, metadata, legs })
    }
}

pub(crate) fn parse_transfer(fields: &mut Fields<'_>, rules: &AcceptanceRules) -> Option<Transfer> {
    let from = fields.required("loan_id", LoanId::parse);
    let to = fields.required("to_loan_id", LoanId::parse);
    let amount = optional_amount(fields, "amount_minor");
    let date = fields.date_until("effective_at", rules.latest_effective);
    let metadata = fields.metadata();
    if from.is_some() && from == to {
        fields.fail("to_loan_id", "same_loan", "must be another loan");
    }
    Some(Transfer { from: from?, to: to?, amount, date: date?, metadata })
}

/// Assigns a receipt that came without a known loan to its loan.
///
/// Once: it pays the loan in the loan's order of payment, as of the day on which the money was received. One that is
/// assigned already is refused with `already_undone`.
#[utoipa::path(post, path = "/v1/receipts/{payment_event_id}/assignment", tag = "payments",
    security(("oauth2" = ["hpts:payments:write"])),
    params(("payment_event_id" = uuid::Uuid, Path, description = "The receipt"),
        ("Idempotency-Key" = String, Header, description = "One key per intended assignment, kept over retries"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`, `wait=N`")),
    request_body = ReceiptAssignmentRequest,
    responses((status = 201, description = "Posted", body = ReceiptAssignmentAnswer),
        (status = 200, description = "The first answer to this key again", body = ReceiptAssignmentAnswer),
        (status = 202, description = "Accepted, not finished in time", body = AcceptedView),
        (status = 400, description = "No or a bad key, not JSON", body = ProblemDocument),
        (status = 404, description = "No such receipt", body = ProblemDocument),
        (status = 409, description = "The receipt is assigned, or the first request with this key is unfinished",
            body = ProblemDocument),
        (status = 422, description = "Not valid, refused by a posting rule, or another payload", body = ProblemDocument)))]
pub(crate) async fn post_assignment(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, &[Scope::PaymentsWrite]).await?;
    let id = EventId::parse(&id).map_err(|_| ApiError::NotFound)?;
    let receipt = receipt_to_assign(&state, request.caller.tenant, id).await?;
    let asked = request.parsed(parse_assignment)?;
    let group = asked.group(&state, request.caller.tenant, &receipt).await?;
    accept_group_and_answer(&state, request, group).await
}

/// A receipt with its place.
pub(crate) struct PlacedReceipt {
    event: EarlierEvent,
    receipt: Receipt,
}

/// The receipt of an id.
///
/// # Errors
/// There is none, or the store is away.
pub(crate) async fn receipt_to_assign(
    state: &ApiState,
    tenant: TenantId,
    id: EventId,
) -> Result<PlacedReceipt, ApiError> {
    let record = state.store().event(tenant, id).await?.ok_or(ApiError::NotFound)?;
    let event = EarlierEvent { id, seq: record.event.seq };
    let Command::Receipt(receipt) = &record.event.event.command else { return Err(ApiError::NotFound) };
    Ok(PlacedReceipt { event, receipt: receipt.clone() })
}

/// An assignment that a body asks for.
pub(crate) struct Assignment {
    loan_id: LoanId,
    metadata: Option<Metadata>,
}

pub(crate) fn parse_assignment(fields: &mut Fields<'_>) -> Option<Assignment> {
    let loan_id = fields.required("loan_id", LoanId::parse);
    let metadata = fields.metadata();
    Some(Assignment { loan_id: loan_id?, metadata })
}

impl Assignment {
    /// The group, with the loan's borrower.
    ///
    /// # Errors
    /// The store is away.
    pub(crate) async fn group(
        self,
        state: &ApiState,
        tenant: TenantId,
        PlacedReceipt { event, receipt }: &PlacedReceipt,
    ) -> Result<GroupRequest, ApiError> {
        let Self { loan_id, metadata } = self;
        let borrower_id = Some(party(state, tenant, loan_id).await?.borrower_id);
        let (effective_date, amount) = (receipt.effective_date, receipt.amount.minor);
        let out = LegTerms::ReceiptOut { receipt: *event, amount };
        let legs = vec![
            LegRequest { loan_id: receipt.loan_id, borrower_id: None, effective_date, terms: out },
            LegRequest { loan_id, borrower_id, effective_date, terms: LegTerms::ReceiptIn { amount } },
        ];
        let operation = GroupOperation::ReceiptAssignment { receipt_id: event.id };
        Ok(GroupRequest { operation, currency: receipt.amount.currency, effective_date, metadata, legs })
    }
}
