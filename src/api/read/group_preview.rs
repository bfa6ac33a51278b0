//! Owns what an operation over several loans would do: the fold of its group over what waits for each loan, and then over
//! its legs. Nothing is written, and no key is taken.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Caller;
use crate::api::error::ApiError;
use crate::api::http::heavy::off_the_runtime;
use crate::api::openapi::AllocationSchema;
use crate::api::read::preview::{
    LoanBefore, PreviewAnswer, WAITING_MAX, foreseen_outcome, imagined_key, is_zero, unjudged,
};
use crate::api::state::ApiState;
use crate::api::tenants::Tenant;
use crate::api::write::accept::GroupRequest;
use crate::core::event::{NewEvent, NewGroup};
use crate::core::ids::{EventId, LoanId};
use crate::core::ledger::{
    AllocationView, Chart, Finished, GroupOutlook, LegAhead, RejectionCode, answer, look_ahead_group,
};
use crate::store::{LoanAhead, imagined};

/// What an operation over several loans would do. Members without a value are left out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"outcome": "posted", "effective_at": "2026-05-20", "queued_events": 0, "on_hold": false,
    "amount_minor": "5000", "loan_count": 2, "legs": [
        {"loan_id": "11111111-1111-1111-1111-111111111111", "outcome": "posted", "effective_at": "2026-05-20",
            "loan_version": 3, "queued_events": 0, "on_hold": false,
            "lines": [{"sequence": 1, "account_code": "2100", "direction": "DR", "amount_minor": "5000",
                "currency": "USD", "layer": "SETTLED", "loan_id": "11111111-1111-1111-1111-111111111111"}]},
        {"loan_id": "33333333-3333-3333-3333-333333333333", "outcome": "posted", "effective_at": "2026-05-20",
            "loan_version": 2, "queued_events": 0, "on_hold": false,
            "lines": [{"sequence": 1, "account_code": "2100", "direction": "CR", "amount_minor": "5000",
                "currency": "USD", "layer": "SETTLED", "loan_id": "33333333-3333-3333-3333-333333333333"}]}]}))]
pub struct GroupPreviewAnswer {
    /// `posted` or `rejected`: on all its loans.
    #[schema(value_type = String)]
    outcome: &'static str,
    /// Why a posting rule would refuse it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    rejection_code: Option<&'static str>,
    /// The loans that it would be refused for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    loans: Vec<String>,
    /// The day it would count from, where its legs have none of their own.
    effective_at: String,
    /// Accepted events that wait for its loans; they are counted as if posted.
    queued_events: usize,
    /// Of them those that cannot be posted as they are: they stop their loan until a person has looked at them.
    #[serde(skip_serializing_if = "is_zero")]
    stuck_events: usize,
    /// Whether one of its loans waits for a person, for which it would be refused.
    on_hold: bool,
    /// How the money of a receipt would be divided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AllocationSchema>)]
    allocation: Option<AllocationView>,
    /// How much suspense would be transferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_minor: Option<String>,
    /// How many loans an accrual batch concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    loan_count: Option<u32>,
    /// The interest of all loans of an accrual batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_accrued_minor: Option<String>,
    /// What it would do to each loan, in the order of its entry: the lines, the earlier events that would do something
    /// else, what else would follow, and the balances before and after.
    legs: Vec<PreviewAnswer>,
}

/// What a group would do.
///
/// # Errors
/// It has too many legs, too many events wait for one of its loans, or the store is away.
pub(super) async fn foreseen_group(
    state: &ApiState,
    caller: &Caller,
    asked: &GroupRequest,
    tenant: Arc<Tenant>,
) -> Result<GroupPreviewAnswer, ApiError> {
    let group = asked.group();
    if !group.tells_of_legs() {
        return Err(ApiError::NoPreview);
    }
    let (id, actor) = (EventId(uuid::Uuid::nil()), caller.client_id.clone());
    let parent = NewEvent::of_group(id, caller.tenant, imagined_key()?, group, state.publisher(), actor);
    let group = NewGroup::new(parent.clone(), &asked.legs);
    let loans = state.store().group_ahead(group, WAITING_MAX).await?;
    if loans.iter().any(|loan| loan.is_cut) {
        return Err(ApiError::Overloaded);
    }
    let now = loans.iter().map(|loan| loan.now).max().unwrap_or_else(|| state.now());
    off_the_runtime(move || {
        let before: Vec<LoanBefore> = loans.iter().map(LoanBefore::of).collect();
        let ahead = |LoanAhead { work, on_hold, .. }: LoanAhead| LegAhead { work, on_hold };
        let legs = loans.into_iter().map(ahead).collect();
        let outlook = look_ahead_group(imagined(parent.clone(), now), legs, now).map_err(|reason| unjudged(&reason))?;
        shown(&parent, before, outlook, &tenant.chart)
    })
    .await?
}

fn shown(
    parent: &NewEvent,
    before: Vec<LoanBefore>,
    outlook: GroupOutlook,
    chart: &Chart,
) -> Result<GroupPreviewAnswer, ApiError> {
    let (outcome, rejection) = foreseen_outcome(outlook.parent.outcome);
    let (allocation, amount_minor, loan_count, total_accrued_minor) =
        match answer(parent.kind, parent.id, &Finished::of(parent, &outlook.parent)) {
            Ok(told) => (told.allocation, told.amount_minor, told.loan_count, told.total_accrued_minor),
            Err(_) => (None, None, None, None),
        };
    let queued_events = before.iter().map(|loan| loan.queued_events).fold(0, usize::saturating_add);
    let stuck_events = outlook.legs.iter().map(|(_, leg)| leg.stuck.len()).fold(0, usize::saturating_add);
    let on_hold = before.iter().any(|loan| loan.on_hold);
    let legs = outlook.legs.into_iter().zip(before);
    let legs = legs.map(|((leg, outlook), loan)| PreviewAnswer::new(&leg.event.command, loan, outlook, chart));
    Ok(GroupPreviewAnswer {
        outcome,
        rejection_code: rejection.map(RejectionCode::as_str),
        loans: outlook.parent.refused_loans.iter().map(LoanId::to_string).collect(),
        effective_at: outlook.parent.effective_date.to_string(),
        queued_events,
        stuck_events,
        on_hold,
        allocation,
        amount_minor,
        loan_count,
        total_accrued_minor,
        legs: legs.collect::<Result<_, _>>()?,
    })
}
