//! Owns `GET /v1/loans/{loan_id}/payoff`: what closes a loan on a day and on the days after it.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use chrono::{Days, NaiveDate};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::openapi::ProblemDocument;
use crate::api::state::ApiState;
use crate::api::write::programs::described;
use crate::core::ids::{LoanId, LoanKey, ProgramId, TenantId};
use crate::core::loan::{InterestError, InterestRule, LoanStatus, Payoff, PayoffDay};
use crate::core::time::parse_date;
use crate::store::{HistoryCut, LoanDays, PayoffFacts, PayoffSince};

/// How many days a quote lists where the caller names no number (domain rule 57).
const DAYS_DEFAULT: usize = 10;
/// The most days of a quote.
const DAYS_MAX: usize = 60;
/// The furthest day of a quote: interest of days in which anything may happen means little.
const AHEAD_MAX: i64 = 366;
/// How long the payer's bank may take an ACH debit back as not authorised: 60 days (domain section 6.7).
const ACH_RETURN_DAYS: u64 = 60;
/// Returns of so many days are worth a warning (domain rule 58: six months).
const RECENT_RETURN_DAYS: u64 = 180;

/// What closes a loan. Members without a value are left out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"loan_id": "11111111-1111-1111-1111-111111111111", "currency": "USD",
    "payoff_date": "2026-05-15", "loan_version": 2, "principal_outstanding_minor": "8131629",
    "interest_receivable_minor": "0", "interest_not_booked_minor": "22280", "fees_receivable_minor": "0",
    "suspense_minor": "0", "payoff_minor": "8153909", "surplus_minor": "0", "per_diem_minor": "2228",
    "days": [{"date": "2026-05-15", "payoff_minor": "8153909"}, {"date": "2026-05-16", "payoff_minor": "8156137"}],
    "good_through": "2026-05-16",
    "warnings": [{"code": "payments_may_return", "detail": "1 payment by ACH of 88849 minor units may still be \
        returned, until 2026-06-30"}]}))]
pub struct PayoffQuote {
    loan_id: String,
    currency: String,
    payoff_date: String,
    /// The loan's postings at the time of the quote: after more of them it is stale.
    loan_version: i64,
    /// Whether the earlier quote that `quoted_version` names is stale; absent where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<bool>,
    principal_outstanding_minor: String,
    /// Interest that is booked and unpaid, up to the day before the quote's.
    interest_receivable_minor: String,
    /// Interest of the days since the last accrual, up to the day before the quote's. Absent where the loan has no
    /// rate: then only what is booked is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    interest_not_booked_minor: Option<String>,
    fees_receivable_minor: String,
    /// Money received and not yet applied, which is taken off.
    suspense_minor: String,
    /// What closes the loan on that day.
    payoff_minor: String,
    /// What of suspense would be left over.
    surplus_minor: String,
    /// What a day more costs. Absent where the loan has no rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    per_diem_minor: Option<String>,
    /// What closes it on this day and on those after it.
    days: Vec<PayoffDayView>,
    /// The last of these days.
    good_through: String,
    /// What may still change it.
    warnings: Vec<PayoffWarning>,
}

/// What closes a loan on one day.
#[derive(Debug, Serialize, ToSchema)]
pub struct PayoffDayView {
    date: String,
    payoff_minor: String,
}

/// What may still change a quote.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PayoffWarning {
    /// `payments_may_return`, `recent_returns`, `events_queued`, `loan_on_hold`, `charged_off`, `written_off` or
    /// `no_interest_rate`.
    #[schema(value_type = String)]
    code: &'static str,
    detail: String,
}

/// What closes a loan on a day.
///
/// Principal, interest up to and not counting the day, and unpaid fees, less suspense, by the entries that are
/// effective by then. Of a loan that is charged off: what the borrower still owes of it, without further interest. An
/// earlier quote is stale when an event was posted since: `quoted_version` asks for that.
#[utoipa::path(get, path = "/v1/loans/{loan_id}/payoff", tag = "loans",
    security(("oauth2" = ["hpts:balances:read"])),
    params(("loan_id" = uuid::Uuid, Path, description = "The loan"),
        ("date" = Option<chrono::NaiveDate>, Query, description = "Default: today in the tenant's time zone; at most 366 days ahead"),
        ("days" = Option<u32>, Query, description = "How many days to list, 1 to 60, default 10"),
        ("quoted_version" = Option<i64>, Query, description = "The loan_version of an earlier quote: `stale` tells whether it still holds")),
    responses((status = 200, description = "The quote", body = PayoffQuote),
        (status = 400, description = "A parameter is not valid", body = ProblemDocument),
        (status = 404, description = "No such loan", body = ProblemDocument)))]
pub(crate) async fn get_payoff(
    State(state): State<ApiState>,
    Path(loan): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<PayoffQuote>, ApiError> {
    let caller = state.caller(&headers, &[Scope::BalancesRead]).await?;
    let now = state.now();
    let today = state.tenants().get(state.store(), caller.tenant, now).await?.business_date(now);
    let mut query = Query::of(&uri)?;
    let date = query.optional("date", |text| quoted_day(text, today)).unwrap_or(today);
    let days = query.optional("days", parse_days).unwrap_or(DAYS_DEFAULT);
    let quoted_version = query.optional("quoted_version", parse_version);
    query.finish()?;
    let loan = LoanId::parse(&loan).map_err(|_| ApiError::NotFound)?;
    let (store, key) = (state.store(), LoanKey::of_loan(caller.tenant, loan));
    let found = store.loan_days(caller.tenant, key, HistoryCut::NOW).await?.ok_or(ApiError::NotFound)?;
    let since =
        PayoffSince { payments: days_before(today, ACH_RETURN_DAYS), returns: days_before(today, RECENT_RETURN_DAYS) };
    let facts = store.payoff_facts(caller.tenant, key, since).await?;
    let rule = interest_rule(&state, caller.tenant, found.record.state.program_id).await?;
    let state = &found.record.state;
    let payoff = Payoff { history: &found.history, rule: rule.as_ref(), charged_off: state.charged_off.as_ref() };
    let quoted = payoff.days(date, days).map_err(broken)?;
    let is_stale = quoted_version.map(|version| version < state.version);
    quote(&found, payoff, &quoted, &facts).map(|quote| Json(PayoffQuote { stale: is_stale, ..quote }))
}

/// How the loan bears interest: its program says so, where it has one that is described and has a rate.
async fn interest_rule(
    state: &ApiState,
    tenant: TenantId,
    program: Option<ProgramId>,
) -> Result<Option<InterestRule>, ApiError> {
    let Some(id) = program else { return Ok(None) };
    let program = described(state, tenant, id).await?;
    Ok(program.and_then(|program| program.interest_rule()))
}

fn quoted_day(text: &str, today: NaiveDate) -> Result<NaiveDate, String> {
    let date = parse_date(text).map_err(|error| error.to_string())?;
    let ahead = date.signed_duration_since(today).num_days();
    if ahead > AHEAD_MAX { Err(format!("must be at most {AHEAD_MAX} days ahead")) } else { Ok(date) }
}

fn parse_days(text: &str) -> Result<usize, String> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let days = is_number.then(|| text.parse().ok()).flatten().filter(|days| (1..=DAYS_MAX).contains(days));
    days.ok_or_else(|| format!("must be a number from 1 to {DAYS_MAX}"))
}

fn parse_version(text: &str) -> Result<i64, &'static str> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten().ok_or("must be the loan_version of a quote")
}

fn days_before(today: NaiveDate, days: u64) -> NaiveDate {
    today.checked_sub_days(Days::new(days)).unwrap_or(today)
}

fn broken(error: InterestError) -> ApiError {
    match error {
        InterestError::OutOfRange => ApiError::Broken("interest leaves 64 bits"),
        InterestError::NegativePrincipal => ApiError::Broken("principal is below zero"),
        InterestError::BelowBooked => ApiError::Broken("interest comes to less than is booked"),
        InterestError::Disorder => ApiError::Broken("days of a loan are not in order"),
    }
}

fn quote(
    found: &LoanDays,
    payoff: Payoff<'_>,
    days: &[PayoffDay],
    facts: &PayoffFacts,
) -> Result<PayoffQuote, ApiError> {
    const EMPTY: ApiError = ApiError::Broken("a quote has no day");
    let (first, last) = (days.first().ok_or(EMPTY)?, days.last().ok_or(EMPTY)?);
    let state = &found.record.state;
    let per_diem = payoff.per_diem(first.date).map_err(broken)?;
    Ok(PayoffQuote {
        loan_id: state.loan_id.to_string(),
        currency: state.currency.to_string(),
        payoff_date: first.date.to_string(),
        loan_version: state.version,
        stale: None,
        principal_outstanding_minor: first.principal.to_string(),
        interest_receivable_minor: first.interest_booked.to_string(),
        interest_not_booked_minor: payoff.rule.map(|_| first.interest_unbooked.to_string()),
        fees_receivable_minor: first.fees.to_string(),
        suspense_minor: first.suspense.to_string(),
        payoff_minor: first.payoff.to_string(),
        surplus_minor: first.surplus.to_string(),
        per_diem_minor: per_diem.map(|amount| amount.to_string()),
        days: days
            .iter()
            .map(|day| PayoffDayView { date: day.date.to_string(), payoff_minor: day.payoff.to_string() })
            .collect(),
        good_through: last.date.to_string(),
        warnings: warnings(
            found.record.on_hold,
            payoff.charge_off_by(first.date).map(|off| (off.on, state.status)),
            payoff.rule.is_some(),
            facts,
        ),
    })
}

fn warnings(
    on_hold: bool,
    charged_off: Option<(NaiveDate, LoanStatus)>,
    has_rate: bool,
    facts: &PayoffFacts,
) -> Vec<PayoffWarning> {
    let plural = |count: i64| if count == 1 { "" } else { "s" };
    let mut warnings = Vec::new();
    let mut warn = |code, detail| warnings.push(PayoffWarning { code, detail });
    if let Some(last) = facts.unsettled_last {
        let (count, amount) = (facts.unsettled_payments, facts.unsettled_amount);
        let until = last.checked_add_days(Days::new(ACH_RETURN_DAYS)).unwrap_or(last);
        let detail = format!(
            "{count} payment{} by ACH of {amount} minor units may still be returned, until {until}",
            plural(count)
        );
        warn("payments_may_return", detail);
    }
    if facts.returns > 0 {
        let detail = format!("{} payment{} returned in the last six months", facts.returns, plural(facts.returns));
        warn("recent_returns", detail);
    }
    if facts.queued > 0 {
        warn("events_queued", format!("{} accepted event{} not posted yet", facts.queued, plural(facts.queued)));
    }
    if on_hold {
        warn("loan_on_hold", "the loan waits for a person, and with it all that is queued".to_owned());
    }
    match charged_off {
        Some((on, LoanStatus::WrittenOff)) => {
            warn("written_off", format!("the loan was written off on {on}: this is what is still owed of it"));
        }
        Some((on, LoanStatus::ChargedOff | LoanStatus::Open)) => {
            warn("charged_off", format!("the loan was charged off on {on}: this is what is still owed of it"));
        }
        None if has_rate => {}
        None => warn("no_interest_rate", "the loan has no rate: only interest that is booked is quoted".to_owned()),
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, month, day).unwrap()
    }

    #[test]
    fn a_quote_warns_of_what_may_change_it() {
        let codes =
            |facts: &PayoffFacts| warnings(false, None, false, facts).into_iter().map(|it| it.code).collect::<Vec<_>>();
        assert_eq!(codes(&PayoffFacts::default()), ["no_interest_rate"]);
        let facts = PayoffFacts {
            unsettled_payments: 2,
            unsettled_amount: 150,
            unsettled_last: Some(day(5, 1)),
            returns: 1,
            queued: 3,
        };
        assert_eq!(codes(&facts), ["payments_may_return", "recent_returns", "events_queued", "no_interest_rate"]);
        let off = |status| Some((day(4, 1), status));
        let told = warnings(false, off(LoanStatus::ChargedOff), false, &PayoffFacts::default());
        let detail = "the loan was charged off on 2026-04-01: this is what is still owed of it".to_owned();
        assert_eq!(told, [PayoffWarning { code: "charged_off", detail }]);
        let told = warnings(false, off(LoanStatus::WrittenOff), true, &PayoffFacts::default());
        assert_eq!(told[0].code, "written_off");
        let told = warnings(true, None, false, &facts);
        assert_eq!(told[0].detail, "2 payments by ACH of 150 minor units may still be returned, until 2026-06-30");
        assert_eq!(told[3].code, "loan_on_hold");
    }

    #[test]
    fn days_are_bounded() {
        assert_eq!(quoted_day("2026-05-02", day(5, 1)), Ok(day(5, 2)));
        assert!(quoted_day("2027-05-03", day(5, 1)).is_err());
        assert!(quoted_day("2026-02-30", day(5, 1)).is_err());
        assert_eq!((parse_version("0"), parse_version("12")), (Ok(0), Ok(12)));
        for bad in ["", "-1", "+1", "x", "99999999999999999999"] {
            assert!(parse_version(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_days("60"), Ok(60));
        for bad in ["0", "61", "", "-1", "1.5", "99999999999999999999"] {
            assert!(parse_days(bad).is_err(), "{bad}");
        }
    }
}
