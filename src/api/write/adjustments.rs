//! Owns `POST /v1/adjustments`: lines written by hand.

use axum::extract::{Request, State};
use axum::response::Response;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::json::Fields;
use crate::api::openapi::{AcceptedView, AdjustmentAnswer, ProblemDocument};
use crate::api::state::ApiState;
use crate::api::write::request::{AcceptanceRules, WriteRequest};
use crate::api::write::servicing::{Asked, Shared, accept};
use crate::core::event::{AdjustmentLine, ServicingAct};
use crate::core::ledger::{AccountCode, Chart};

/// The most bytes of a body: more lines than an adjustment takes are named, not cut off.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The most lines of an adjustment.
const LINES_MAX: usize = 100;

/// Lines to post.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"loan_id": "11111111-1111-1111-1111-111111111111", "effective_at": "2026-05-20",
    "reason_description": "interest of May charged twice", "lines": [
    {"account_code": "4100", "direction": "DR", "amount_minor": "1200"},
    {"account_code": "1200", "direction": "CR", "amount_minor": "1200"}]}))]
pub struct AdjustmentRequest {
    /// The loan.
    pub loan_id: uuid::Uuid,
    /// 2 to 100 lines, debits equal to credits. Lines on 1100, 1200, 1300 and 2100 move the loan's balances, none of
    /// which may fall below zero on any day.
    pub lines: Vec<AdjustmentLineRequest>,
    /// Why: 1 to 255 printable characters.
    #[schema(min_length = 1, max_length = 255)]
    pub reason_description: String,
    /// The day it counts from.
    pub effective_at: chrono::NaiveDate,
    /// Free data, up to 4 KiB and 50 keys.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Value>,
}

/// A line.
#[derive(Debug, ToSchema)]
pub struct AdjustmentLineRequest {
    /// An account of the tenant's chart; not the memo accounts, which only charge-offs and recoveries move.
    #[schema(pattern = "^[0-9]{4}$")]
    pub account_code: String,
    /// `DR` or `CR`.
    pub direction: String,
    /// More than 0.
    #[schema(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub amount_minor: String,
}

/// Posts lines written by hand.
#[utoipa::path(post, path = "/v1/adjustments", tag = "adjustments", security(("oauth2" = ["hpts:adjustments:write"])),
    params(("Idempotency-Key" = String, Header, description = "One key per intended adjustment, kept over retries"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`, `wait=N`")),
    request_body = AdjustmentRequest,
    responses((status = 201, description = "Posted", body = AdjustmentAnswer),
        (status = 200, description = "The first answer to this key again", body = AdjustmentAnswer),
        (status = 202, description = "Accepted, not finished in time", body = AcceptedView),
        (status = 400, description = "No or a bad key, not JSON", body = ProblemDocument),
        (status = 409, description = "The first request with this key is unfinished", body = ProblemDocument),
        (status = 422, description = "Not valid, refused by a posting rule, or another payload", body = ProblemDocument)))]
pub(crate) async fn post_adjustment(State(state): State<ApiState>, request: Request) -> Result<Response, ApiError> {
    let any_of = &[Scope::AdjustmentsWrite];
    let request = WriteRequest::read_up_to(&state, request, any_of, BODY_BYTES_MAX).await?;
    let tenant = state.tenants().get(state.store(), request.caller.tenant, state.now()).await?;
    let parse = move |fields: &mut Fields<'_>, rules: &AcceptanceRules| parse(fields, rules, &tenant.chart);
    let (request, asked) = request.long_parsed_by_rules(&state, parse).await?;
    accept(&state, request, asked).await
}

fn parse(fields: &mut Fields<'_>, rules: &AcceptanceRules, chart: &Chart) -> Option<Asked> {
    let lines = fields.objects("lines", 2..=LINES_MAX, |line| parse_line(line, chart));
    if lines.as_ref().is_some_and(|lines| !balances(lines)) {
        fields.fail("lines", "unbalanced", "debits and credits must be equal");
    }
    let reason_description = fields.required_reference("reason_description");
    let shared = Shared::take(fields, rules);
    let act = ServicingAct::ManualAdjustment { lines: lines?, reason_description: reason_description? };
    shared.asked(None, act)
}

fn balances(lines: &[AdjustmentLine]) -> bool {
    lines.iter().fold(0_i128, |sum, line| sum.saturating_add(i128::from(line.signed_minor.units()))) == 0
}

fn parse_line(fields: &mut Fields<'_>, chart: &Chart) -> Option<AdjustmentLine> {
    let account_code = fields.required("account_code", |text| parse_account(text, chart));
    let direction = fields.required("direction", parse_direction);
    let amount = fields.posted_amount("amount_minor");
    let (amount, direction) = (amount?, direction?);
    let signed_minor = match direction {
        Side::Debit => amount,
        Side::Credit => amount.mirrored().ok()?,
    };
    Some(AdjustmentLine { account_code: account_code?, signed_minor })
}

#[derive(Clone, Copy)]
enum Side {
    Debit,
    Credit,
}

fn parse_direction(text: &str) -> Result<Side, &'static str> {
    match text {
        "DR" => Ok(Side::Debit),
        "CR" => Ok(Side::Credit),
        _ => Err("must be DR or CR"),
    }
}

/// The account of the books that the tenant knows by a code, where lines may be written on it by hand.
pub(crate) fn parse_account(text: &str, chart: &Chart) -> Result<AccountCode, &'static str> {
    let known = AccountCode::parse(text).ok().and_then(|code| chart.of_code(code)).map(|shown| shown.account);
    match known.ok_or("must be an account of the chart")? {
        AccountCode::CHARGED_OFF_MEMO | AccountCode::MEMO_CONTRA => Err("is moved by charge-offs and recoveries only"),
        code => Ok(code),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::json::read;
    use crate::core::ledger::AccountSetting;

    #[test]
    fn accounts_are_named_by_the_tenants_codes() {
        let settings = |account: Option<&str>, code: &str, side: Option<&str>| AccountSetting {
            account: account.map(str::to_owned),
            code: code.to_owned(),
            name: "Own".to_owned(),
            normal_balance: side.map(str::to_owned),
        };
        let own = [settings(Some("1200"), "1205", None), settings(None, "6100", Some("DR"))];
        let chart = Chart::default().revised(&own).unwrap();
        assert_eq!(parse_account("1205", &chart), Ok(AccountCode::INTEREST_RECEIVABLE));
        assert!(parse_account("1200", &chart).is_err() && parse_account("6100", &Chart::default()).is_err());
        let added = parse_account("6100", &chart).unwrap();
        assert_eq!(chart.code(added).to_string(), "6100");
        assert!(parse_account("9100", &chart).is_err());
    }

    fn failing(changes: &Value) -> Vec<String> {
        let mut body = json!({"loan_id": "11111111-1111-1111-1111-111111111111", "effective_at": "2026-05-16",
            "reason_description": "x", "lines": [line("4100", "DR", "1200"), line("1200", "CR", "1200")]});
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        let bytes = serde_json::to_vec(&body).unwrap();
        let mut fields = Fields::of_body(read(&bytes).unwrap());
        let latest_effective = chrono::NaiveDate::from_ymd_opt(2026, 5, 20).unwrap();
        parse(&mut fields, &AcceptanceRules { latest_effective, payment_limit: None }, &Chart::default());
        fields.finish().into_iter().map(|error| error.field).collect()
    }

    fn line(account: &str, direction: &str, amount: &str) -> Value {
        json!({"account_code": account, "direction": direction, "amount_minor": amount})
    }

    #[test]
    fn lines_are_checked_one_by_one_and_together() {
        assert!(failing(&json!({})).is_empty());
        assert_eq!(failing(&json!({"lines": [line("4100", "DR", "1200"), line("1200", "CR", "1199")]})), ["lines"]);
        assert_eq!(failing(&json!({"lines": [line("4100", "DR", "1200")]})), ["lines"]);
        assert_eq!(failing(&json!({"lines": vec![line("4100", "DR", "1"); 101]})), ["lines"]);
        assert_eq!(failing(&json!({"lines": "x", "reason_description": ""})), ["lines", "reason_description"]);
        assert_eq!(failing(&json!({"lines": [line("4100", "DR", "1200"), 5]})), ["lines.1"]);
        let bad = [line("0001", "D", "-5"), line("9100", "CR", "0"), json!({"account_code": "1200"})];
        assert_eq!(
            failing(&json!({ "lines": bad })),
            [
                "lines.0.account_code",
                "lines.0.direction",
                "lines.0.amount_minor",
                "lines.1.account_code",
                "lines.1.amount_minor",
                "lines.2.direction",
                "lines.2.amount_minor"
            ]
        );
        assert_eq!(failing(&json!({"reason_description": null})), ["reason_description"]);
    }
}
