//! Owns `GET /v1/events/{id}` and what it shares with `GET /v1/payments/{id}`: reading a status, and waiting for it.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::openapi::ProblemDocument;
use crate::api::read::known::Known;
use crate::api::read::page_token::cut;
use crate::api::read::status::EventView;
use crate::api::state::ApiState;
use crate::core::event::{Command, EventKind, Leg, LegTerms, PaymentReturn, Stage};
use crate::core::ids::{EventId, TenantId};
use crate::core::ledger::{AllocationView, Followed, Outcome, RestatedView};
use crate::core::money::Minor;
use crate::store::{EntriesPage, EventRecord, EventStatus, Progress, Undoing, paid_on_time, what_followed};

/// So many returns of a loan are read at once.
const RETURNS_PAGE: i64 = 200;

/// Whoever may write an event that can answer 202 may also follow it.
const SCOPES: &[Scope] = &[
    Scope::LedgerRead,
    Scope::PaymentsWrite,
    Scope::DisbursementsWrite,
    Scope::LoansWrite,
    Scope::AccrualsWrite,
    Scope::ReversalsWrite,
    Scope::AdjustmentsWrite,
    Scope::ReconciliationWrite,
];

/// The status of an event of any kind.
///
/// With `known_at` only what was posted by that instant counts, as for a payment.
#[utoipa::path(get, path = "/v1/events/{id}", tag = "events", security(("oauth2" = ["hpts:ledger:read"])),
    params(("id" = uuid::Uuid, Path, description = "The event"),
        ("wait" = Option<u32>, Query, description = "Seconds to wait for its end, at most 60"),
        ("known_at" = Option<chrono::DateTime<chrono::Utc>>, Query, description = "As it was known at this instant, RFC 3339 in UTC; without wait")),
    responses((status = 200, description = "Its status", body = EventView),
        (status = 404, description = "No such event, or not at that time", body = ProblemDocument)))]
pub(crate) async fn get_event(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<EventView>, ApiError> {
    let followed = followed(&state, &id, (&uri, &headers), SCOPES).await?;
    followed.view(&state).await.map(Json)
}

/// The event that a request follows.
pub(crate) struct FollowedEvent {
    tenant: TenantId,
    /// The event as it is, or as it was known.
    pub(crate) record: EventRecord,
    known: Known,
}

/// Whose event a request follows, and how it is: by its id, and as long as the caller wants to wait; or how it was at an
/// instant.
pub(crate) async fn followed(
    state: &ApiState,
    id: &str,
    (uri, headers): (&Uri, &HeaderMap),
    any_of: &'static [Scope],
) -> Result<FollowedEvent, ApiError> {
    let tenant = state.caller(headers, any_of).await?.tenant;
    let mut query = Query::of(uri)?;
    let wait = query.wait();
    let known = Known::read(&mut query);
    if known.at().is_some() && !wait.is_zero() {
        query.fail("known_at", "combination", "must not be given with wait: it is about the past");
    }
    query.finish()?;
    let id = EventId::parse(id).map_err(|_| ApiError::NotFound)?;
    let record = known.cut(state, tenant, read_event(state, tenant, id, wait).await?).await?;
    Ok(FollowedEvent { tenant, record, known })
}

/// An event of the tenant; one that is unfinished is waited for.
async fn read_event(state: &ApiState, tenant: TenantId, id: EventId, wait: Duration) -> Result<EventRecord, ApiError> {
    let record = state.store().event(tenant, id).await?.ok_or(ApiError::NotFound)?;
    if record.stage == Stage::Finished || wait.is_zero() {
        return Ok(record);
    }
    // The seat comes after the first read; the room asks the store for everyone who sits, so nothing is missed.
    let mut seat = state.waiting_room().enter(id);
    tokio::select! {
        biased;
        _ = seat.result(wait) => {}
        () = state.lifecycle().stopping() => {}
    }
    // Whatever ended the wait: the event may be held, parked or finished by now.
    state.store().event(tenant, id).await?.ok_or(ApiError::NotFound)
}

impl FollowedEvent {
    /// The view of the event, with its place in its loan's lane while it waits.
    pub(crate) async fn view(&self, state: &ApiState) -> Result<EventView, ApiError> {
        let Self { tenant, record, known } = self;
        let (mut then, mut refused) = (Followed::default(), None);
        if let Some(posting) = &record.posting {
            then = what_followed(state.store(), &record.event.event, posting).await?;
            refused = paid_on_time(state.store(), &record.event.event, posting).await?;
        }
        let position = self.position(state).await?;
        if let Some(undoing) = undone_group(state, *tenant, record, *known).await? {
            let progress = Progress { undone_by: Some(undoing), ..record.progress.clone() };
            let undone = EventStatus { progress, ..record.into() };
            return Ok(EventView::new(&undone, position).followed_by(then).with_known_at(known.at()));
        }
        let charged_back = charged_back(state, *tenant, record, *known).await?;
        let accrued = accrued(state, *tenant, record, *known).await?;
        let view = EventView::new(&record.into(), position).followed_by(then).with_known_at(known.at());
        let view = view.with_charged_back(charged_back).with_accrued(accrued);
        Ok(refused.iter().fold(view, EventView::with_late_for))
    }

    /// Its place in its loan's lane, while it waits: only as it is now.
    async fn position(&self, state: &ApiState) -> Result<Option<i64>, ApiError> {
        match self.record.stage {
            Stage::Accepted | Stage::Held | Stage::Parked if self.known.at().is_none() => {
                let (loan, seq) = (self.record.event.event.loan_key, self.record.event.seq);
                Ok(Some(state.store().position(self.tenant, loan, seq).await?))
            }
            Stage::Accepted | Stage::Held | Stage::Parked | Stage::Finished => Ok(None),
        }
    }
}

/// How much of a payment that stands was charged back: nothing where the loan has no program, since only a program says
/// so. Looks at the returns of the loan that were posted after the payment.
async fn charged_back(
    state: &ApiState,
    tenant: TenantId,
    record: &EventRecord,
    known: Known,
) -> Result<Minor, ApiError> {
    let posted = record.posting.as_ref().filter(|posting| posting.outcome == Outcome::Posted);
    let stands = PaymentReturn::is_of(&record.event) && record.progress.undone_by.is_none();
    let Some(mut after_version) = posted.filter(|_| stands).and_then(|posting| posting.loan_version) else {
        return Ok(Minor::ZERO);
    };
    let loan = record.event.event.loan_key;
    let parties = state.store().loan_parties(tenant, vec![loan]).await?;
    if parties.get(&loan).and_then(|party| party.program_id).is_none() {
        return Ok(Minor::ZERO);
    }
    let mut sum = Minor::ZERO;
    loop {
        let event_type = Some(EventKind::PaymentReturned.event_type().to_owned());
        let page = EntriesPage { from: None, to: None, event_type, after_version, limit: RETURNS_PAGE };
        let rows = state.store().loan_entries(tenant, loan, page).await?.unwrap_or_default();
        let (shown, last) = cut(&rows, RETURNS_PAGE);
        for row in shown.iter().filter(|row| known.has_posted(row)) {
            let Some(returned) = row.event.event.command.payment_return() else { continue };
            if returned.payment.seq == record.event.seq
                && known.undoing(state, tenant, row.progress.undone_by).await?.is_none()
            {
                let broken = |_| ApiError::Broken("more than 64 bits were charged back");
                sum = sum.plus(returned.amount.minor).map_err(broken)?;
            }
        }
        let Some(version) = last.and_then(|row| row.posting.as_ref()?.loan_version) else { return Ok(sum) };
        after_version = version;
    }
}

/// The interest of an accrual's days as it stands: what the last event says that has restated it; `None` where none has.
/// The parent of a group has no interest of its own.
async fn accrued(
    state: &ApiState,
    tenant: TenantId,
    record: &EventRecord,
    known: Known,
) -> Result<Option<AllocationView>, ApiError> {
    let Command::Leg(Leg { terms: LegTerms::Accrual { .. }, .. }) = &record.event.event.command else {
        return Ok(None);
    };
    let restated = known.restatements(state, tenant, record.event.seq).await?;
    let last = restated.last().and_then(|last| RestatedView::of(&last.event.event, last.posting.as_ref()?));
    Ok(last.and_then(|last| last.allocation))
}

/// What undid a group: all its legs are undone together, so the first says it for all.
async fn undone_group(
    state: &ApiState,
    tenant: TenantId,
    record: &EventRecord,
    known: Known,
) -> Result<Option<Undoing>, ApiError> {
    let event = &record.event.event;
    if !matches!((&event.command, record.stage), (Command::Group(_), Stage::Finished)) {
        return Ok(None);
    }
    let leg = state.store().event(tenant, event.id.leg(1)).await?;
    let undone_by = leg.and_then(|leg| leg.progress.undone_by);
    let Some(undoing) = known.undoing(state, tenant, undone_by).await? else { return Ok(None) };
    let undoing_leg = state.store().event(tenant, undoing.id).await?;
    let command = undoing_leg.as_ref().map(|record| &record.event.event.command);
    let id = if let Some(Command::Leg(leg)) = command { leg.group } else { undoing.id };
    Ok(Some(Undoing { id, ..undoing }))
}
