//! Owns `POST /v1/accruals/batch`: the interest of many loans, posted together or not at all.

use std::collections::HashSet;

use axum::extract::{Request, State};
use axum::response::Response;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::json::Fields;
use crate::api::openapi::{AcceptedView, AccrualAnswer, ProblemDocument};
use crate::api::problem::FieldError;
use crate::api::state::ApiState;
use crate::api::write::accept::{GroupRequest, accept_group_and_answer};
use crate::api::write::programs::described;
use crate::api::write::request::{AcceptanceRules, WriteRequest};
use crate::core::event::{GroupOperation, LEGS_MAX, LegRequest, LegTerms, Metadata};
use crate::core::ids::{LoanId, LoanKey, ProgramId, TenantId};
use crate::core::loan::{DayCount, Program};
use crate::core::money::{Currency, Minor};
use crate::store::LoanParty;

/// The most bytes of a body: 10,000 loans of 200 bytes, and as much again.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One loan's interest.
#[derive(Debug, ToSchema)]
pub struct AccruedLoan {
    /// The loan; once a batch.
    pub loan_id: uuid::Uuid,
    /// What the loan owes in principal on that day, in whole minor units; checked against the ledger.
    #[schema(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub outstanding_principal_minor: String,
    /// Its interest, in whole minor units. Left out, it is computed by the rate, day count and rounding of the loan's
    /// program, for all days up to and including the accrual date that no accrual of an earlier date covers.
    #[schema(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub interest_minor: Option<String>,
}

/// Interest of many loans.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"program_id": "44444444-4444-4444-4444-444444444444", "accrual_date": "2026-05-01",
    "day_count_convention": "ACT_365", "loans": [{"loan_id": "11111111-1111-1111-1111-111111111111",
    "outstanding_principal_minor": "921651", "interest_minor": "252"}]}))]
pub struct AccrualRequest {
    /// The program whose loans they are. Where interest is to be computed it must be described, have a rate, and be
    /// the program of these loans.
    pub program_id: uuid::Uuid,
    /// The day the interest counts from: the last of the days that it is for.
    pub accrual_date: chrono::NaiveDate,
    /// How days are counted: `ACT_365`, `ACT_360`, `30_360`, `30E_360`, `ACT_ACT` or `ACT_365_25`; the program's, where
    /// interest is to be computed.
    pub day_count_convention: String,
    /// The loans, 1 to 10,000, all in one currency.
    #[schema(min_items = 1, max_items = 10000)]
    pub loans: Vec<AccruedLoan>,
    /// Free data, up to 4 KiB and 50 keys.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Value>,
}

/// Posts interest of up to 10,000 loans, all or nothing.
///
/// Each loan's interest is debited to Interest Receivable and credited to Interest Income on the accrual date, as one
/// journal entry over all loans. Interest that is left out is computed: each day bears it once, by the principal at its
/// end, up to and including the accrual date; days that an accrual of an earlier date has are not accrued again, and
/// those of one that was reversed go to the next. On one date interest that is given stands in front of interest that is
/// computed, and has its days. Interest that was computed is corrected where something comes late that moves principal,
/// for the same day or an earlier one: the accrual is restated on its own day. Where the principal of a loan on that day
/// is not the ledger's (`principal_mismatch`), a loan is not there, charged off or written off, or on hold, nothing is
/// posted and `loans` of the problem names the loans, the first 100 of them.
#[utoipa::path(post, path = "/v1/accruals/batch", tag = "accruals", security(("oauth2" = ["hpts:accruals:write"])),
    params(("Idempotency-Key" = String, Header, description = "One key per intended batch, kept over retries"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`, `wait=N`")),
    request_body = AccrualRequest,
    responses((status = 201, description = "Posted", body = AccrualAnswer),
        (status = 200, description = "The first answer to this key again", body = AccrualAnswer),
        (status = 202, description = "Accepted, not finished in time", body = AcceptedView),
        (status = 400, description = "No or a bad key, not JSON", body = ProblemDocument),
        (status = 409, description = "The first request with this key is unfinished", body = ProblemDocument),
        (status = 413, description = "More than 4 MiB", body = ProblemDocument),
        (status = 422, description = "Not valid, refused by a posting rule, or another payload", body = ProblemDocument),
        (status = 503, description = "Try again", body = ProblemDocument)))]
pub(crate) async fn post_accruals(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let request = WriteRequest::read_up_to(&state, request, &[Scope::AccrualsWrite], BODY_BYTES_MAX).await?;
    let (request, asked) = request.long_parsed_by_rules(&state, parse_accruals).await?;
    let group = asked.group(&state, request.caller.tenant).await?;
    accept_group_and_answer(&state, request, group).await
}

/// What is asked, before its loans are looked up.
#[derive(Debug)]
pub(crate) struct AskedAccruals {
    program: ProgramId,
    day_count: DayCount,
    date: chrono::NaiveDate,
    /// Each with its principal and, unless it is to be computed, its interest.
    loans: Vec<(LoanId, Minor, Option<Minor>)>,
    metadata: Option<Metadata>,
}

pub(crate) fn parse_accruals(fields: &mut Fields<'_>, rules: &AcceptanceRules) -> Option<AskedAccruals> {
    let program = fields.required("program_id", ProgramId::parse);
    let date = fields.date_until("accrual_date", rules.latest_effective);
    let day_count = fields.required("day_count_convention", str::parse::<DayCount>);
    let loans = fields.objects("loans", 1..=LEGS_MAX, |loan| {
        let id = loan.required("loan_id", LoanId::parse);
        let principal = loan.required("outstanding_principal_minor", Minor::parse);
        let interest = loan.optional("interest_minor", Minor::parse);
        Some((id?, principal?, interest))
    });
    let metadata = fields.metadata();
    let loans = loans?;
    let mut seen = HashSet::with_capacity(loans.len());
    if let Some(index) = loans.iter().position(|(id, ..)| !seen.insert(*id)) {
        fields.fail(&format!("loans.{index}.loan_id"), "duplicate", "stands in the batch already");
        return None;
    }
    if Minor::sum(loans.iter().filter_map(|(_, _, interest)| *interest)).is_err() {
        fields.fail("loans", "invalid", "the interest of all loans must be at most 9223372036854775807");
        return None;
    }
    Some(AskedAccruals { program: program?, day_count: day_count?, date: date?, loans, metadata })
}

impl AskedAccruals {
    /// The group, with what is known of its loans. One that is not known yet may be opened by an event in front; its
    /// posting rule decides.
    ///
    /// # Errors
    /// A loan is of another program or currency, interest cannot be computed, or the store is away.
    pub(crate) async fn group(self, state: &ApiState, tenant: TenantId) -> Result<GroupRequest, ApiError> {
        let program = self.computing(state, tenant).await?;
        let key = |loan: &LoanId| LoanKey::of_loan(tenant, *loan);
        let keys = self.loans.iter().map(|(loan, ..)| key(loan)).collect();
        let parties = state.store().loan_parties(tenant, keys).await?;
        let mut currency = None;
        let mut legs = Vec::with_capacity(self.loans.len());
        for (index, (loan_id, outstanding_principal, interest)) in self.loans.iter().copied().enumerate() {
            let party: Option<&LoanParty> = parties.get(&key(&loan_id));
            if let Some((code, message)) = party.and_then(|party| self.fault(party, interest, &mut currency)) {
                let error = FieldError::new(format!("loans.{index}.loan_id"), code, message);
                return Err(ApiError::Validation(vec![error]));
            }
            let borrower_id = party.map(|party| party.borrower_id);
            let terms = LegTerms::Accrual { outstanding_principal, interest };
            legs.push(LegRequest { loan_id, borrower_id, effective_date: self.date, terms });
        }
        let currency = match (currency, &program) {
            (Some(currency), _) => currency,
            (None, Some(program)) => program.currency,
            (None, None) => state.tenants().get(state.store(), tenant, state.now()).await?.base_currency,
        };
        let operation = GroupOperation::Accrual {
            program_id: self.program,
            day_count_convention: self.day_count.as_str().to_owned(),
            rule: program.and_then(|program| program.interest_rule()),
        };
        Ok(GroupRequest { operation, currency, effective_date: self.date, metadata: self.metadata, legs })
    }

    /// The program that interest is computed by, where some is left out.
    async fn computing(&self, state: &ApiState, tenant: TenantId) -> Result<Option<Program>, ApiError> {
        let Some(first) = self.loans.iter().position(|(.., interest)| interest.is_none()) else { return Ok(None) };
        let program = described(state, tenant, self.program).await?;
        let Some(program) = program.filter(|program| program.interest_rule().is_some()) else {
            let message = "is required: the program has no rate to compute it by";
            let error = FieldError::new(format!("loans.{first}.interest_minor"), "required", message);
            return Err(ApiError::Validation(vec![error]));
        };
        if program.day_count == self.day_count {
            return Ok(Some(program));
        }
        let message = format!("is {} in the program, by which interest is to be computed", program.day_count.as_str());
        Err(ApiError::field("day_count_convention", "other_convention", message))
    }

    /// What is wrong with a loan that is known.
    fn fault(
        &self,
        party: &LoanParty,
        interest: Option<Minor>,
        currency: &mut Option<Currency>,
    ) -> Option<(&'static str, String)> {
        if interest.is_none() && party.program_id != Some(self.program) {
            return Some((
                "other_program",
                "is not a loan of the program, by whose rate its interest is computed".to_owned(),
            ));
        }
        let is_other = *currency.get_or_insert(party.currency) != party.currency;
        is_other.then(|| ("currency", format!("is in {}, other loans of the batch are not", party.currency)))
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::json::read;

    const LOAN: &str = "11111111-1111-1111-1111-111111111111";

    fn day(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 5, day).unwrap()
    }

    fn body() -> Value {
        json!({"program_id": "44444444-4444-4444-4444-444444444444", "accrual_date": "2026-05-01",
            "day_count_convention": "ACT_365",
            "loans": [{"loan_id": LOAN, "outstanding_principal_minor": "921651", "interest_minor": "252"}]})
    }

    fn failing(body: &Value) -> Vec<String> {
        let bytes = serde_json::to_vec(body).unwrap();
        let mut fields = Fields::of_body(read(&bytes).unwrap());
        let rules = AcceptanceRules { latest_effective: day(5), payment_limit: None };
        let asked = parse_accruals(&mut fields, &rules);
        let errors: Vec<String> = fields.finish().into_iter().map(|error| error.field).collect();
        // An unknown field is found after all others are read.
        assert!(asked.is_some() || !errors.is_empty(), "nothing is wrong, and nothing is asked");
        errors
    }

    #[test]
    fn each_bad_value_names_its_field() {
        assert_eq!(failing(&body()), Vec::<String>::new());
        let cases = [
            ("program_id", Value::Null),
            ("program_id", json!("4")),
            ("accrual_date", json!("2026-05-06")),
            ("accrual_date", json!("2026-05-32")),
            ("day_count_convention", json!("act_365")),
            ("day_count_convention", json!(365)),
            ("loans", Value::Null),
            ("loans", json!([])),
            ("loans", json!({})),
            ("metadata", json!(1)),
            ("amount_minor", json!("1")),
        ];
        for (field, value) in cases {
            let mut body = body();
            body[field] = value;
            assert_eq!(failing(&body), [field], "{body}");
        }
        for (field, value) in [
            ("loan_id", Value::Null),
            ("outstanding_principal_minor", json!(921_651)),
            ("outstanding_principal_minor", json!("-1")),
            ("interest_minor", json!("2.52")),
            ("borrower_id", json!(LOAN)),
        ] {
            let mut body = body();
            body["loans"][0][field] = value;
            assert_eq!(failing(&body), [format!("loans.0.{field}")], "{body}");
        }
    }

    #[test]
    fn a_loan_stands_in_a_batch_once_and_its_sum_fits() {
        let mut twice = body();
        twice["loans"] = json!([twice["loans"][0].clone(), twice["loans"][0].clone()]);
        assert_eq!(failing(&twice), ["loans.1.loan_id"]);
        let mut huge = twice;
        huge["loans"][1]["loan_id"] = json!("11111111-1111-1111-1111-111111111112");
        huge["loans"][1]["interest_minor"] = json!("9223372036854775807");
        assert_eq!(failing(&huge), ["loans"]);
        let mut text = body();
        text["loans"] = json!(["x", 1]);
        assert_eq!(failing(&text), ["loans.0", "loans.1"]);
    }
}
