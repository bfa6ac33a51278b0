//! Owns `GET /v1/accounts` and `GET /v1/accounts/{account_code}/balance`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::http::query::Query;
use crate::api::openapi::ProblemDocument;
use crate::api::state::ApiState;
use crate::core::ledger::{AccountCode, Layer, NormalBalance, ShownAccount, is_added};
use crate::core::money::Currency;
use crate::core::time::parse_date;
use crate::store::AccountTotals;

/// What an account holds on a date.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"account_code": "1100", "account_name": "Principal Receivable", "currency": "USD",
    "layer": "SETTLED", "as_of_date": "2026-05-01", "dr_balance_minor": "1000000", "cr_balance_minor": "78349",
    "normal_balance_minor": "921651"}))]
pub struct AccountBalance {
    account_code: String,
    account_name: String,
    currency: String,
    #[schema(value_type = String)]
    layer: &'static str,
    as_of_date: String,
    /// Sum of debits.
    dr_balance_minor: String,
    /// Sum of credits.
    cr_balance_minor: String,
    /// Their difference, positive on the side the account grows on.
    normal_balance_minor: String,
}

/// An account of the tenant's chart.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"account_code": "1100", "account_name": "Principal Receivable", "normal_balance": "DR"}))]
pub struct AccountView {
    account_code: String,
    account_name: String,
    /// `DR` or `CR`: the side on which it grows.
    #[schema(value_type = String)]
    normal_balance: &'static str,
    /// The account of the default chart that it stands for, where the tenant knows it by another code.
    #[serde(skip_serializing_if = "Option::is_none")]
    standard_code: Option<String>,
}

/// A tenant's chart of accounts.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountsList {
    /// By code.
    items: Vec<AccountView>,
}

impl From<&ShownAccount> for AccountView {
    fn from(account: &ShownAccount) -> Self {
        let is_other = account.code != account.account && !is_added(account.account);
        Self {
            account_code: account.code.to_string(),
            account_name: account.name.clone(),
            normal_balance: account.normal.as_str(),
            standard_code: is_other.then(|| account.account.to_string()),
        }
    }
}

/// The chart of accounts.
#[utoipa::path(get, path = "/v1/accounts", tag = "ledger", security(("oauth2" = ["hpts:balances:read"])),
    responses((status = 200, description = "Every account, by code", body = AccountsList)))]
pub(crate) async fn list_accounts(
    State(state): State<ApiState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<AccountsList>, ApiError> {
    let caller = state.caller(&headers, &[Scope::BalancesRead, Scope::LedgerRead]).await?;
    Query::of(&uri)?.finish()?;
    let tenant = state.tenants().get(state.store(), caller.tenant, state.now()).await?;
    Ok(Json(AccountsList { items: tenant.chart.accounts().map(AccountView::from).collect() }))
}

/// What an account holds on a date, by booking date.
#[utoipa::path(get, path = "/v1/accounts/{account_code}/balance", tag = "ledger",
    security(("oauth2" = ["hpts:balances:read"])),
    params(("account_code" = String, Path, description = "Four digits"),
        ("currency" = String, Query, description = "ISO 4217"),
        ("layer" = Option<String>, Query, description = "`SETTLED` (default), `PENDING` or `ENCUMBRANCE`"),
        ("as_of_date" = Option<chrono::NaiveDate>, Query, description = "Default: today in the tenant's time zone")),
    responses((status = 200, description = "Its balance", body = AccountBalance),
        (status = 400, description = "A parameter is not valid", body = ProblemDocument),
        (status = 404, description = "No such account", body = ProblemDocument)))]
pub(crate) async fn get_account_balance(
    State(state): State<ApiState>,
    Path(code): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<AccountBalance>, ApiError> {
    let caller = state.caller(&headers, &[Scope::BalancesRead]).await?;
    let mut query = Query::of(&uri)?;
    let currency = query.required("currency", Currency::parse);
    let layer = query.optional("layer", str::parse::<Layer>).unwrap_or_default();
    let as_of = query.optional("as_of_date", parse_date);
    query.finish()?;
    let currency = currency.ok_or(ApiError::Broken("a required parameter is missing without a failure"))?;
    let now = state.now();
    let tenant = state.tenants().get(state.store(), caller.tenant, now).await?;
    let account = AccountCode::parse(&code).ok().and_then(|code| tenant.chart.of_code(code));
    let account = account.ok_or(ApiError::NotFound)?;
    let as_of = as_of.unwrap_or_else(|| tenant.business_date(now));
    let totals = state.store().account_totals(caller.tenant, account.account, currency, layer, as_of).await?;
    Ok(Json(AccountBalance {
        account_code: account.code.to_string(),
        account_name: account.name.clone(),
        currency: currency.to_string(),
        layer: layer.as_str(),
        as_of_date: as_of.to_string(),
        dr_balance_minor: totals.debits.to_string(),
        cr_balance_minor: totals.credits.to_string(),
        normal_balance_minor: normal_balance(account.normal, totals)?.to_string(),
    }))
}

/// The balance, positive on the side the account grows on.
pub(crate) fn normal_balance(normal: NormalBalance, totals: AccountTotals) -> Result<i128, ApiError> {
    let (grows, shrinks) = match normal {
        NormalBalance::Debit => (totals.debits, totals.credits),
        NormalBalance::Credit => (totals.credits, totals.debits),
    };
    grows.checked_sub(shrinks).ok_or(ApiError::Broken("an account's totals leave 128 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_balance_is_positive_on_the_growing_side() {
        let totals = AccountTotals { debits: 5, credits: 7 };
        assert_eq!(normal_balance(NormalBalance::Debit, totals).unwrap(), -2);
        assert_eq!(normal_balance(NormalBalance::Credit, totals).unwrap(), 2);
    }
}
