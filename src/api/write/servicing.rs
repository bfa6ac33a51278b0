//! Owns what the operations on one loan share: the loan's borrower and currency, which no caller says, and the fields
//! that all of them have.

use axum::response::Response;

use crate::api::error::ApiError;
use crate::api::json::Fields;
use crate::api::state::ApiState;
use crate::api::write::accept::accept_and_answer;
use crate::api::write::request::{AcceptanceRules, WriteRequest};
use crate::core::event::{Command, Metadata, NO_BORROWER, Servicing, ServicingAct};
use crate::core::ids::{LoanId, LoanKey, TenantId};
use crate::core::money::Minor;
use crate::store::LoanParty;

/// What a body asks for.
pub(crate) struct Asked {
    pub(super) loan_id: LoanId,
    pub(super) amount: Option<Minor>,
    pub(super) effective_date: chrono::NaiveDate,
    pub(super) metadata: Option<Metadata>,
    pub(super) act: ServicingAct,
}

/// The fields that every body has: the loan, the day, free data.
pub(super) struct Shared {
    loan_id: Option<LoanId>,
    effective_date: Option<chrono::NaiveDate>,
    metadata: Option<Metadata>,
}

impl Shared {
    /// Takes them.
    pub(super) fn take(fields: &mut Fields<'_>, rules: &AcceptanceRules) -> Self {
        Self {
            loan_id: fields.required("loan_id", LoanId::parse),
            effective_date: fields.date_until("effective_at", rules.latest_effective),
            metadata: fields.metadata(),
        }
    }

    /// With the rest of the body; `None` where a field that it needs has failed.
    pub(super) fn asked(self, amount: Option<Minor>, act: ServicingAct) -> Option<Asked> {
        let (loan_id, effective_date) = (self.loan_id?, self.effective_date?);
        Some(Asked { loan_id, amount, effective_date, metadata: self.metadata, act })
    }
}

/// An amount that may be left out; where it is given, it is more than nothing.
pub(super) fn optional_amount(fields: &mut Fields<'_>, name: &str) -> Option<Minor> {
    if fields.has(name) { fields.posted_amount(name) } else { fields.optional(name, Minor::parse) }
}

/// Accepts the operation and answers.
pub(super) async fn accept(state: &ApiState, request: WriteRequest, asked: Asked) -> Result<Response, ApiError> {
    let command = asked.command(state, request.caller.tenant).await?;
    accept_and_answer(state, request, command).await
}

impl Asked {
    /// The command, with what no caller says.
    ///
    /// # Errors
    /// The store is away.
    pub(crate) async fn command(self, state: &ApiState, tenant: TenantId) -> Result<Command, ApiError> {
        let Self { loan_id, amount, effective_date, metadata, act } = self;
        let party = party(state, tenant, loan_id).await?.party();
        Ok(Command::Servicing(Servicing { loan_id, party, amount, effective_date, metadata, act }))
    }
}

/// Who owes the loan, and by which program. Where no loan is known the event is refused when its turn comes, in order.
pub(super) async fn party(state: &ApiState, tenant: TenantId, loan: LoanId) -> Result<LoanParty, ApiError> {
    if let Some(party) = state.store().party(tenant, LoanKey::of_loan(tenant, loan)).await? {
        return Ok(party);
    }
    let settings = state.tenants().get(state.store(), tenant, state.now()).await?;
    Ok(LoanParty { borrower_id: NO_BORROWER, currency: settings.base_currency, program_id: None })
}
