//! Owns `POST /v1/refinances` and `POST /v1/restructures`: what a loan owes becomes what another owes, bucket by bucket,
//! every cent by name.

use std::collections::BTreeSet;

use axum::extract::{Request, State};
use axum::response::Response;
use chrono::NaiveDate;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::json::Fields;
use crate::api::openapi::{AcceptedView, ProblemDocument, RefinanceAnswer, RestructureAnswer};
use crate::api::state::ApiState;
use crate::api::write::accept::{GroupRequest, accept_group_and_answer};
use crate::api::write::loans::{defaults_of, parse_waterfall};
use crate::api::write::request::{AcceptanceRules, WriteRequest};
use crate::api::write::servicing::party;
use crate::core::event::{
    GroupOperation, LegRequest, LegTerms, LoanNumber, Metadata, Move, MovedBucket, NewLoanTerms, Party, Rearrangement,
};
use crate::core::ids::{LoanId, ProgramId, TenantId};
use crate::core::money::Currency;

/// The most moves: each bucket to itself and to principal.
const MOVES_MAX: usize = 6;

/// An amount that leaves a bucket for another.
#[derive(Debug, ToSchema)]
pub struct MoveRequest {
    /// The old loan's bucket: `fees`, `interest`, `principal` or `suspense`.
    pub from: String,
    /// The new loan's: the same, or `principal` where fees and interest are capitalised.
    pub to: String,
    /// How much, more than 0.
    #[schema(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub amount_minor: String,
}

/// Terms of the loan that is opened. Borrower and currency are the old loan's, its first day is `effective_at`.
#[derive(Debug, ToSchema)]
pub struct NewLoanRequest {
    /// Your number for it, as for `POST /v1/loans`.
    pub loan_number: Option<String>,
    /// The program whose defaults it takes.
    pub program_id: Option<uuid::Uuid>,
    /// The order payments are allocated in: `fees`, `interest`, `principal`.
    pub waterfall: Option<Vec<String>>,
}

/// What a loan owes becomes what another owes.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"loan_id": "11111111-1111-1111-1111-111111111111",
    "to_loan_id": "33333333-3333-3333-3333-333333333333", "effective_at": "2026-05-20",
    "moves": [{"from": "principal", "to": "principal", "amount_minor": "921651"},
        {"from": "interest", "to": "principal", "amount_minor": "252"}],
    "new_loan": {"loan_number": "2026-0042"}}))]
pub struct RearrangementRequest {
    /// The loan that owes.
    pub loan_id: uuid::Uuid,
    /// The loan that owes from now on; for a restructure it may be left out: the buckets of one loan are set up anew.
    pub to_loan_id: Option<uuid::Uuid>,
    /// The day it counts from.
    pub effective_at: NaiveDate,
    /// What is moved, each pair of buckets once. A refinance moves all fees, interest and principal that are owed.
    #[schema(min_items = 1, max_items = 6)]
    pub moves: Vec<MoveRequest>,
    /// Opens `to_loan_id`; leave it out where that loan exists.
    pub new_loan: Option<NewLoanRequest>,
    /// Free data, up to 4 KiB and 50 keys.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Value>,
}

/// Pays a loan off by another one of the same borrower.
///
/// All that is owed in fees, interest and principal on that day is moved; what is moved from fees and interest to
/// principal is capitalised. Where the moves are not what the ledger says: `principal_mismatch`.
#[utoipa::path(post, path = "/v1/refinances", tag = "adjustments",
    security(("oauth2" = ["hpts:adjustments:write"])),
    params(("Idempotency-Key" = String, Header, description = "One key per intended refinance, kept over retries"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`, `wait=N`")),
    request_body = RearrangementRequest,
    responses((status = 201, description = "Posted", body = RefinanceAnswer),
        (status = 200, description = "The first answer to this key again", body = RefinanceAnswer),
        (status = 202, description = "Accepted, not finished in time", body = AcceptedView),
        (status = 400, description = "No or a bad key, not JSON", body = ProblemDocument),
        (status = 409, description = "The first request with this key is unfinished", body = ProblemDocument),
        (status = 422, description = "Not valid, refused by a posting rule, or another payload", body = ProblemDocument)))]
pub(crate) async fn post_refinance(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    rearrange(&state, request, Rearrangement::Refinance).await
}

/// Sets up anew what is owed: on another loan of the same borrower, or in other buckets of the same.
///
/// Any part of what is owed may be moved. Where less is there on that day or a later one: `insufficient_balance`.
#[utoipa::path(post, path = "/v1/restructures", tag = "adjustments",
    security(("oauth2" = ["hpts:adjustments:write"])),
    params(("Idempotency-Key" = String, Header, description = "One key per intended restructure, kept over retries"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`, `wait=N`")),
    request_body = RearrangementRequest,
    responses((status = 201, description = "Posted", body = RestructureAnswer),
        (status = 200, description = "The first answer to this key again", body = RestructureAnswer),
        (status = 202, description = "Accepted, not finished in time", body = AcceptedView),
        (status = 400, description = "No or a bad key, not JSON", body = ProblemDocument),
        (status = 409, description = "The first request with this key is unfinished", body = ProblemDocument),
        (status = 422, description = "Not valid, refused by a posting rule, or another payload", body = ProblemDocument)))]
pub(crate) async fn post_restructure(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    rearrange(&state, request, Rearrangement::Restructure).await
}

async fn rearrange(state: &ApiState, request: Request, sort: Rearrangement) -> Result<Response, ApiError> {
    let request = WriteRequest::read(state, request, &[Scope::AdjustmentsWrite]).await?;
    let asked = request.parsed_by_rules(state, |fields, rules| parse_rearrangement(fields, rules, sort)).await?;
    let group = asked.group(state, request.caller.tenant).await?;
    accept_group_and_answer(state, request, group).await
}

/// A refinance or restructure that a body asks for.
pub(crate) struct AskedRearrangement {
    sort: Rearrangement,
    from: LoanId,
    to: Option<LoanId>,
    date: NaiveDate,
    moves: Vec<Move>,
    new_loan: Option<NewLoanTerms>,
    metadata: Option<Metadata>,
}

impl AskedRearrangement {
    /// The group, with borrower and currency of the old loan and the terms of the new one.
    ///
    /// # Errors
    /// The new loan's program is not there or in another currency, or the store is away.
    pub(crate) async fn group(self, state: &ApiState, tenant: TenantId) -> Result<GroupRequest, ApiError> {
        let party = party(state, tenant, self.from).await?;
        let asked = self.with_program(state, tenant, party.currency).await?;
        Ok(asked.of_party(party.party()))
    }

    /// With the defaults of the new loan's program, as a loan that is registered has them.
    async fn with_program(self, state: &ApiState, tenant: TenantId, currency: Currency) -> Result<Self, ApiError> {
        let Some(terms) = self.new_loan else { return Ok(self) };
        let program_defaults = match terms.program_id {
            Some(id) => defaults_of(state, tenant, (id, currency), "new_loan.program_id").await?,
            None => None,
        };
        Ok(Self { new_loan: Some(NewLoanTerms { program_defaults, ..terms }), ..self })
    }

    fn of_party(self, party: Party) -> GroupRequest {
        let sort = self.sort;
        let (effective_date, borrower_id) = (self.date, Some(party.borrower_id));
        let out = LegTerms::MovedOut { sort };
        let mut legs = vec![LegRequest { loan_id: self.from, borrower_id, effective_date, terms: out }];
        legs.extend(self.to.map(|loan_id| {
            let terms = LegTerms::MovedIn { sort, new_loan: self.new_loan };
            LegRequest { loan_id, borrower_id, effective_date, terms }
        }));
        let operation = GroupOperation::Rearrangement { sort, moves: self.moves };
        GroupRequest { operation, currency: party.currency, effective_date, metadata: self.metadata, legs }
    }
}

pub(crate) fn parse_rearrangement(
    fields: &mut Fields<'_>,
    rules: &AcceptanceRules,
    sort: Rearrangement,
) -> Option<AskedRearrangement> {
    let is_within = !fields.has("to_loan_id");
    let from = fields.required("loan_id", LoanId::parse);
    let to = match sort {
        Rearrangement::Refinance => fields.required("to_loan_id", LoanId::parse),
        Rearrangement::Restructure => fields.optional("to_loan_id", LoanId::parse),
    };
    let date = fields.date_until("effective_at", rules.latest_effective);
    let moves = fields.objects("moves", 1..=MOVES_MAX, parse_move);
    let new_loan = fields.object("new_loan", parse_new_loan);
    let metadata = fields.metadata();
    if to.is_some() && from == to {
        fields.fail("to_loan_id", "same_loan", "must be another loan");
    }
    if new_loan.is_some() && is_within {
        fields.fail("new_loan", "combination", "needs to_loan_id");
    }
    let moves = moves?;
    let mut seen = BTreeSet::new();
    for (index, it) in moves.iter().enumerate() {
        let field = format!("moves.{index}.to");
        if !it.from.may_become(it.to) {
            fields.fail(&field, "invalid", "must be the bucket it comes from, or principal for fees and interest");
        } else if !seen.insert((it.from, it.to)) {
            fields.fail(&field, "duplicate", "stands in moves already");
        } else if is_within && it.from == it.to {
            fields.fail(&field, "invalid", "must be another bucket, for the loan is the same");
        }
    }
    Some(AskedRearrangement { sort, from: from?, to, date: date?, moves, new_loan, metadata })
}

fn parse_move(fields: &mut Fields<'_>) -> Option<Move> {
    let from = fields.required("from", str::parse::<MovedBucket>);
    let to = fields.required("to", str::parse::<MovedBucket>);
    let amount = fields.posted_amount("amount_minor");
    Some(Move { from: from?, to: to?, amount_minor: amount? })
}

fn parse_new_loan(fields: &mut Fields<'_>) -> NewLoanTerms {
    NewLoanTerms {
        loan_number: fields.optional("loan_number", LoanNumber::parse),
        program_id: fields.optional("program_id", ProgramId::parse),
        waterfall: parse_waterfall(fields),
        program_defaults: None,
    }
}
