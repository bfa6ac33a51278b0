//! Owns `POST /v1/loans`.

use axum::extract::{Request, State};
use axum::response::Response;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::json::Fields;
use crate::api::openapi::{AcceptedView, LoanAnswer, ProblemDocument};
use crate::api::state::ApiState;
use crate::api::write::accept::accept_and_answer;
use crate::api::write::programs::described;
use crate::api::write::request::{AcceptanceRules, WriteRequest};
use crate::core::event::{Command, LoanNumber, LoanOpening, OpeningBalances, ProgramDefaults};
use crate::core::ids::{BorrowerId, LoanId, ProgramId, TenantId};
use crate::core::loan::Waterfall;
use crate::core::money::{Currency, Minor};

/// A loan to register.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"loan_id": "33333333-3333-3333-3333-333333333333",
    "borrower_id": "22222222-2222-2222-2222-222222222222", "currency": "USD", "opened_on": "2026-01-01",
    "loan_number": "000420", "waterfall": ["fees", "interest", "principal"],
    "opening_balances": {"fees_minor": "500", "interest_minor": "10000", "principal_minor": "1000000"}}))]
pub struct LoanRequest {
    /// The loan, by your own id.
    pub loan_id: uuid::Uuid,
    /// Who owes.
    pub borrower_id: uuid::Uuid,
    /// ISO 4217; the loan's only currency.
    #[schema(pattern = "^[A-Z]{3}$")]
    pub currency: String,
    /// Its first day; nothing counts before it.
    pub opened_on: chrono::NaiveDate,
    /// The number printed on it: 1 to 22 printable ASCII characters, unique, compared without leading zeros.
    #[schema(min_length = 1, max_length = 22)]
    pub loan_number: Option<String>,
    /// The program whose defaults it takes, as they are when the loan is registered.
    pub program_id: Option<uuid::Uuid>,
    /// The order in which payments pay: `fees`, `interest` and `principal`, each once.
    pub waterfall: Option<Vec<String>>,
    /// What it owed on its first day here.
    pub opening_balances: Option<OpeningBalancesRequest>,
    /// Free data, up to 4 KiB and 50 keys.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Value>,
}

/// What a loan owed when it was registered. Each defaults to 0.
#[derive(Debug, ToSchema)]
pub struct OpeningBalancesRequest {
    /// Unpaid fees.
    #[schema(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub fees_minor: Option<String>,
    /// Accrued, unpaid interest.
    #[schema(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub interest_minor: Option<String>,
    /// Principal outstanding.
    #[schema(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub principal_minor: Option<String>,
}

/// Registers a loan.
#[utoipa::path(post, path = "/v1/loans", tag = "loans", security(("oauth2" = ["hpts:loans:write"])),
    params(("Idempotency-Key" = String, Header, description = "One key per intended loan, kept over retries"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`, `wait=N`")),
    request_body = LoanRequest,
    responses((status = 201, description = "Registered; with an entry if it has opening balances", body = LoanAnswer),
        (status = 200, description = "The first answer to this key again", body = LoanAnswer),
        (status = 202, description = "Accepted, not finished in time", body = AcceptedView),
        (status = 400, description = "No or a bad key, not JSON", body = ProblemDocument),
        (status = 409, description = "The first request with this key is unfinished", body = ProblemDocument),
        (status = 422, description = "Not valid, the loan exists, or another payload", body = ProblemDocument)))]
pub(crate) async fn post_loan(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, &[Scope::LoansWrite]).await?;
    let command = request.parsed_by_rules(&state, parse).await?;
    let command = with_program(&state, &request, command).await?;
    accept_and_answer(&state, request, command).await
}

/// The opening with its program's defaults, as the program stands now. A program may be described later than its loans:
/// those have the defaults of every loan.
async fn with_program(state: &ApiState, request: &WriteRequest, command: Command) -> Result<Command, ApiError> {
    let Command::LoanOpening(opening) = command else { return Ok(command) };
    let Some(id) = opening.program_id else { return Ok(Command::LoanOpening(opening)) };
    let of_program = (id, opening.currency);
    let program_defaults = defaults_of(state, request.caller.tenant, of_program, "program_id").await?;
    Ok(Command::LoanOpening(LoanOpening { program_defaults, ..opening }))
}

/// What a loan in a currency takes from its program, which the request names in `field`; `None` where the program is not
/// described.
pub(super) async fn defaults_of(
    state: &ApiState,
    tenant: TenantId,
    (id, currency): (ProgramId, Currency),
    field: &'static str,
) -> Result<Option<ProgramDefaults>, ApiError> {
    let program = described(state, tenant, id).await?;
    if program.as_ref().is_some_and(|program| program.currency != currency) {
        return Err(ApiError::field(field, "other_currency", "is a program of another currency"));
    }
    Ok(program
        .map(|program| ProgramDefaults { waterfalls: program.waterfalls, suspense_release: program.suspense_release }))
}

fn parse(fields: &mut Fields<'_>, rules: &AcceptanceRules) -> Option<Command> {
    let loan_id = fields.required("loan_id", LoanId::parse);
    let borrower_id = fields.required("borrower_id", BorrowerId::parse);
    let currency = fields.required("currency", Currency::parse);
    let opened_on = fields.date_until("opened_on", rules.latest_effective);
    let loan_number = fields.optional("loan_number", LoanNumber::parse);
    let program_id = fields.optional("program_id", ProgramId::parse);
    let waterfall = parse_waterfall(fields);
    let opening_balances = fields.object("opening_balances", parse_balances).unwrap_or_default();
    if Minor::sum([opening_balances.fees, opening_balances.interest, opening_balances.principal]).is_err() {
        fields.fail("opening_balances", "invalid", "must add up to at most 9223372036854775807");
    }
    let metadata = fields.metadata();
    Some(Command::LoanOpening(LoanOpening {
        loan_id: loan_id?,
        borrower_id: borrower_id?,
        currency: currency?,
        opened_on: opened_on?,
        loan_number,
        program_id,
        program_defaults: None,
        waterfall,
        opening_balances,
        metadata,
    }))
}

pub(super) fn parse_waterfall(fields: &mut Fields<'_>) -> Option<Waterfall> {
    let words = fields.texts("waterfall")?;
    match Waterfall::from_words(words.iter().map(AsRef::as_ref)) {
        Ok(waterfall) => Some(waterfall),
        Err(error) => {
            fields.fail("waterfall", "invalid", error.to_string());
            None
        }
    }
}

fn parse_balances(fields: &mut Fields<'_>) -> OpeningBalances {
    let mut amount = |name| fields.optional(name, Minor::parse).unwrap_or_default();
    OpeningBalances {
        fees: amount("fees_minor"),
        interest: amount("interest_minor"),
        principal: amount("principal_minor"),
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::json::read;

    fn failing(changes: &Value) -> Vec<String> {
        let mut body = json!({"loan_id": "33333333-3333-3333-3333-333333333333",
            "borrower_id": "22222222-2222-2222-2222-222222222222", "currency": "USD", "opened_on": "2026-01-01"});
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        let bytes = serde_json::to_vec(&body).unwrap();
        let mut fields = Fields::of_body(read(&bytes).unwrap());
        let rules =
            AcceptanceRules { latest_effective: NaiveDate::from_ymd_opt(2026, 5, 1).unwrap(), payment_limit: None };
        parse(&mut fields, &rules);
        fields.finish().into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn openings_are_checked_field_by_field() {
        let most = "9223372036854775807";
        assert!(failing(&json!({})).is_empty());
        assert!(failing(&json!({"waterfall": ["principal", "fees", "interest"], "loan_number": "00042"})).is_empty());
        assert_eq!(failing(&json!({"waterfall": ["fees", "fees", "interest"]})), ["waterfall"]);
        assert_eq!(failing(&json!({"waterfall": "fees"})), ["waterfall"]);
        assert_eq!(failing(&json!({"opened_on": "2026-05-02", "loan_number": " 1"})), ["opened_on", "loan_number"]);
        assert_eq!(
            failing(&json!({"opening_balances": {"fees_minor": "-1", "principle_minor": "1"}})),
            ["opening_balances.fees_minor", "opening_balances.principle_minor"]
        );
        assert_eq!(
            failing(&json!({"opening_balances": {"fees_minor": most, "interest_minor": "1"}})),
            ["opening_balances"]
        );
    }
}
