//! Owns `GET /v1/trial-balance`.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::openapi::ProblemDocument;
use crate::api::read::accounts::normal_balance;
use crate::api::state::ApiState;
use crate::core::ledger::{AccountCode, Chart, Layer};
use crate::core::money::Currency;
use crate::core::time::parse_date;
use crate::store::{AccountTotals, TrialBalanceQuestion};

/// One account of a trial balance.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrialBalanceRow {
    #[schema(example = "1100")]
    account_code: String,
    #[schema(example = "Principal Receivable")]
    account_name: String,
    /// `DR` or `CR`: the side on which it grows.
    #[schema(value_type = String, example = "DR")]
    normal_balance: &'static str,
    /// Sum of debits.
    #[schema(example = "1000000")]
    dr_balance_minor: String,
    /// Sum of credits.
    #[schema(example = "78349")]
    cr_balance_minor: String,
    /// Their difference, positive on the side the account grows on.
    #[schema(example = "921651")]
    normal_balance_minor: String,
}

/// Every account that was booked on, by booking date, in one snapshot.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrialBalance {
    #[schema(example = "USD")]
    currency: String,
    #[schema(value_type = String, example = "SETTLED")]
    layer: &'static str,
    #[schema(example = "2026-05-01")]
    as_of_date: String,
    /// By account code.
    accounts: Vec<TrialBalanceRow>,
    /// Sum of all debits.
    #[schema(example = "1099349")]
    total_debits_minor: String,
    /// Sum of all credits: the same.
    #[schema(example = "1099349")]
    total_credits_minor: String,
    /// Whether they are the same.
    #[schema(example = true)]
    is_balanced: bool,
}

/// The trial balance, by booking date.
#[utoipa::path(get, path = "/v1/trial-balance", tag = "ledger", security(("oauth2" = ["hpts:balances:read"])),
    params(("currency" = Option<String>, Query, description = "ISO 4217; default: the tenant's"),
        ("layer" = Option<String>, Query, description = "`SETTLED` (default), `PENDING` or `ENCUMBRANCE`"),
        ("as_of_date" = Option<chrono::NaiveDate>, Query, description = "Default: today in the tenant's time zone")),
    responses((status = 200, description = "Every account that was booked on", body = TrialBalance),
        (status = 400, description = "A parameter is not valid", body = ProblemDocument)))]
pub(crate) async fn get_trial_balance(
    State(state): State<ApiState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<TrialBalance>, ApiError> {
    let caller = state.caller(&headers, &[Scope::BalancesRead]).await?;
    let mut query = Query::of(&uri)?;
    let currency = query.optional("currency", Currency::parse);
    let layer = query.optional("layer", str::parse::<Layer>).unwrap_or_default();
    let as_of = query.optional("as_of_date", parse_date);
    query.finish()?;
    let now = state.now();
    let tenant = state.tenants().get(state.store(), caller.tenant, now).await?;
    let currency = currency.unwrap_or(tenant.base_currency);
    let of = TrialBalanceQuestion { currency, layer, as_of: as_of.unwrap_or_else(|| tenant.business_date(now)) };
    let totals = state.store().trial_balance(caller.tenant, of).await?;
    balance(of, &totals, &tenant.chart).map(Json)
}

fn balance(
    of: TrialBalanceQuestion,
    totals: &[(AccountCode, AccountTotals)],
    chart: &Chart,
) -> Result<TrialBalance, ApiError> {
    const TOO_MUCH: ApiError = ApiError::Broken("a trial balance leaves 128 bits");
    let sum = |side: fn(&AccountTotals) -> i128| {
        totals.iter().try_fold(0_i128, |sum, (_, totals)| sum.checked_add(side(totals))).ok_or(TOO_MUCH)
    };
    let (debits, credits) = (sum(|totals| totals.debits)?, sum(|totals| totals.credits)?);
    let mut accounts = totals
        .iter()
        .map(|(account, totals)| {
            let shown = chart.shown(*account).ok_or(ApiError::Broken("an account is on no chart"))?;
            Ok(TrialBalanceRow {
                account_code: shown.code.to_string(),
                account_name: shown.name.clone(),
                normal_balance: shown.normal.as_str(),
                dr_balance_minor: totals.debits.to_string(),
                cr_balance_minor: totals.credits.to_string(),
                normal_balance_minor: normal_balance(shown.normal, *totals)?.to_string(),
            })
        })
        .collect::<Result<Vec<_>, ApiError>>()?;
    accounts.sort_by(|a, b| a.account_code.cmp(&b.account_code));
    Ok(TrialBalance {
        currency: of.currency.to_string(),
        layer: of.layer.as_str(),
        as_of_date: of.as_of.to_string(),
        accounts,
        total_debits_minor: debits.to_string(),
        total_credits_minor: credits.to_string(),
        is_balanced: debits == credits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ledger::{NormalBalance, ShownAccount};

    #[test]
    fn accounts_stand_under_the_tenants_codes_and_sides_are_added_up() {
        let (as_of, currency) = (parse_date("2026-05-01").unwrap(), Currency::USD);
        let of = TrialBalanceQuestion { currency, layer: Layer::Settled, as_of };
        let (account, code) = (AccountCode::PAYMENT_CLEARING, AccountCode::parse("9000").unwrap());
        let shown = ShownAccount { account, code, name: "In transit".to_owned(), normal: NormalBalance::Debit };
        let totals = [
            (account, AccountTotals { debits: 7, credits: 2 }),
            (AccountCode::PRINCIPAL_RECEIVABLE, AccountTotals { debits: 0, credits: 4 }),
        ];
        let made = balance(of, &totals, &Chart::new([shown])).unwrap();
        let codes: Vec<_> = made.accounts.iter().map(|row| row.account_code.as_str()).collect();
        assert_eq!(codes, ["1100", "9000"]);
        assert_eq!(made.accounts[0].normal_balance_minor, "-4");
        assert_eq!((made.total_debits_minor.as_str(), made.total_credits_minor.as_str()), ("7", "6"));
        assert!(!made.is_balanced, "a cent is missing");
    }
}
