//! Owns the document itself and the page that shows it.

use std::sync::LazyLock;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::security::{ClientCredentials, Flow, HttpAuthScheme, HttpBuilder, OAuth2, Scopes, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, Response as OpenApiResponse, ResponseBuilder};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::api::auth::Scope;
use crate::api::openapi::webhooks::with_webhooks;
use crate::api::state::ApiState;

/// The description of the API.
#[derive(Debug, OpenApi)]
#[openapi(
    info(title = "HPTS", description = "A ledger that posts loan payments. Amounts are strings of whole minor \
        units; every POST under /v1 carries an Idempotency-Key; errors are problem documents (RFC 9457)."),
    paths(
        crate::api::auth::token::token,
        crate::api::auth::jwks::jwks,
        crate::api::write::payments::post_payment,
        crate::api::write::feeds::post_feed,
        crate::api::write::feeds::list_feeds,
        crate::api::write::ach_files::post_file,
        crate::api::read::ach_files::get_file,
        crate::api::write::ach_reviews::post_exception,
        crate::api::write::ach_reviews::discard_exception,
        crate::api::read::ach_exceptions::get_exception,
        crate::api::read::ach_exceptions::list_exceptions,
        crate::api::write::batches::post_batch,
        crate::api::read::batches::get_batch,
        crate::api::read::batches::list_batches,
        crate::api::read::batch_results::get_results,
        crate::api::write::returns::post_return,
        crate::api::write::disbursements::post_disbursement,
        crate::api::write::accruals::post_accruals,
        crate::api::write::settlements::post_settlement,
        crate::api::write::fees::post_fee,
        crate::api::write::fees::post_waiver,
        crate::api::write::suspense::post_application,
        crate::api::write::suspense::post_refund,
        crate::api::write::transfers::post_transfer,
        crate::api::write::transfers::post_assignment,
        crate::api::write::rearrangements::post_refinance,
        crate::api::write::rearrangements::post_restructure,
        crate::api::write::adjustments::post_adjustment,
        crate::api::write::reversals::post_reversal,
        crate::api::write::charge_offs::post_chargeoff,
        crate::api::write::charge_offs::post_recovery,
        crate::api::write::programs::post_program,
        crate::api::write::programs::list_programs,
        crate::api::write::programs::get_program,
        crate::api::write::loans::post_loan,
        crate::api::read::payments::get_payment,
        crate::api::read::payments::list_payments,
        crate::api::read::lookup::lookup_payments,
        crate::api::read::preview::preview_payment,
        crate::api::read::event_preview::preview_event,
        crate::api::read::allocation::get_allocation,
        crate::api::read::changes::list_changes,
        crate::api::read::changes_stream::stream_changes,
        crate::api::read::events::get_event,
        crate::api::read::loans::list_loans,
        crate::api::read::loans::get_loan,
        crate::api::read::loans::get_balance,
        crate::api::read::fees::list_fees,
        crate::api::read::late_fees::list_reviews,
        crate::api::read::statement::get_statement,
        crate::api::read::payoff::get_payoff,
        crate::api::read::entries::list_entries,
        crate::api::read::entries::get_entry,
        crate::api::webhooks::create::post_endpoint,
        crate::api::webhooks::reads::list_endpoints,
        crate::api::webhooks::reads::get_endpoint,
        crate::api::webhooks::reads::list_deliveries,
        crate::api::webhooks::actions::rotate_secret,
        crate::api::webhooks::actions::disable,
        crate::api::webhooks::actions::enable,
        crate::api::webhooks::actions::test,
        crate::api::webhooks::actions::replay,
        crate::api::read::reconciliation::get_status,
        crate::api::read::reconciliation::get_conservation,
        crate::api::write::bank_statements::post_statement,
        crate::api::read::bank_statements::list_statements,
        crate::api::read::bank_statements::list_open_lines,
        crate::api::read::bank_statements::get_statement,
        crate::api::read::bank_statements::list_lines,
        crate::api::write::bank_lines::resolve_line,
        crate::api::read::journal::export_journal,
        crate::api::read::accounts::list_accounts,
        crate::api::read::trial_balance::get_trial_balance,
        crate::api::read::accounts::get_account_balance,
        crate::api::write::holds::hold_loan,
        crate::api::write::holds::release_loan,
        crate::api::read::holds::get_hold,
        crate::api::write::periods::close_period,
        crate::api::write::periods::reopen_period,
        crate::api::read::periods::list_periods,
        crate::api::read::health::live,
        crate::api::read::health::ready,
        crate::api::problem::page::explain,
    ),
    modifiers(&TokenScheme, &Refusals)
)]
pub struct ApiDoc;

/// Adds how callers get a token, with every scope.
struct TokenScheme;

impl Modify for TokenScheme {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scopes = Scopes::from_iter(Scope::ALL.map(|scope| (scope.as_str(), scope.purpose())));
        let flow = Flow::ClientCredentials(ClientCredentials::new("/oauth2/token", scopes));
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("oauth2", SecurityScheme::OAuth2(OAuth2::new([flow])));
    }
}

/// What every call behind a token may be refused for, so that no operation has to say it.
const TOKEN_REFUSALS: [(&str, &str); 2] = [
    ("401", "Without a token, or with one that does not count any more; `WWW-Authenticate` says which"),
    ("403", "The token lacks the scope, or names no known tenant"),
];

/// Adds [`TOKEN_REFUSALS`], and tells problem documents by their media type.
struct Refusals;

impl Modify for Refusals {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        for item in openapi.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
            for operation in operations.into_iter().flatten() {
                let answers = &mut operation.responses.responses;
                if operation.security.is_some() {
                    for (status, said) in TOKEN_REFUSALS {
                        answers.entry(status.to_owned()).or_insert_with(|| problem(said));
                    }
                }
                for answer in answers.values_mut() {
                    if let RefOr::T(answer) = answer {
                        tell_problem(answer);
                    }
                }
            }
        }
    }
}

const PROBLEM: &str = "#/components/schemas/Problem";
const PROBLEM_JSON: &str = "application/problem+json";

fn problem(said: &str) -> RefOr<OpenApiResponse> {
    let schema = Content::new(Some(Ref::new(PROBLEM)));
    ResponseBuilder::new().description(said).content(PROBLEM_JSON, schema).build().into()
}

/// A problem document has a media type of its own (RFC 9457), which the macros do not know.
fn tell_problem(answer: &mut OpenApiResponse) {
    let is_problem = |content: &RefOr<Content>| match content {
        RefOr::T(Content { schema: Some(RefOr::Ref(to)), .. }) => to.ref_location == PROBLEM,
        RefOr::T(_) | RefOr::Ref(_) => false,
    };
    if answer.content.get("application/json").is_some_and(is_problem)
        && let Some(content) = answer.content.shift_remove("application/json")
    {
        answer.content.insert(PROBLEM_JSON.to_owned(), content);
    }
}

/// The document where an outside issuer makes the tokens: without the addresses that are absent then.
fn with_outside_issuer() -> utoipa::openapi::OpenApi {
    let mut document = ApiDoc::openapi();
    for absent in ["/oauth2/token", "/.well-known/jwks.json"] {
        document.paths.paths.remove(absent);
    }
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("oauth2", SecurityScheme::Http(token));
    document
}

/// The document's bytes, made once each: it is asked for without a token.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| with_webhooks(&ApiDoc::openapi()).unwrap_or_default().into());
static DOCUMENT_OUTSIDE: LazyLock<Bytes> =
    LazyLock::new(|| with_webhooks(&with_outside_issuer()).unwrap_or_default().into());

/// `GET /openapi.json`.
pub(crate) async fn openapi_json(State(state): State<ApiState>) -> Response {
    let document = if state.auth().built_in().is_some() { &DOCUMENT } else { &DOCUMENT_OUTSIDE };
    ([(CONTENT_TYPE, "application/json")], Bytes::clone(document)).into_response()
}

/// Every address that is described.
static PATHS: LazyLock<Vec<String>> = LazyLock::new(|| ApiDoc::openapi().paths.paths.into_keys().collect());

/// Every address that is described.
pub(crate) fn paths() -> impl Iterator<Item = &'static str> {
    PATHS.iter().map(String::as_str)
}

/// The page at `/docs`.
pub(crate) fn docs() -> Router<ApiState> {
    SwaggerUi::new("/docs").config(Config::from("/openapi.json")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outside_issuers_api_has_no_token_endpoint() {
        let document = serde_json::to_value(with_outside_issuer()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        assert!(!paths.contains_key("/oauth2/token") && !paths.contains_key("/.well-known/jwks.json"));
        assert_eq!(document["components"]["securitySchemes"]["oauth2"]["scheme"], "bearer");
    }

    #[test]
    fn every_operation_and_schema_is_described() {
        let document = serde_json::to_value(ApiDoc::openapi()).unwrap();
        assert_eq!(document["paths"].as_object().unwrap().len(), 76);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let text = document.to_string();
        for name in [
            "PaymentRequest",
            "PaymentAnswer",
            "ReturnRequest",
            "ReturnAnswer",
            "Problem",
            "EventView",
            "LoanBalance",
            "FieldError",
        ] {
            assert!(schemas.contains_key(name), "{name} is missing among {:?}", schemas.keys());
        }
        for reference in text.split("\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name} is referred to and not described");
        }
        assert!(document["paths"]["/v1/payments"]["post"]["requestBody"].is_object());
    }

    #[test]
    fn every_call_behind_a_token_may_be_refused_with_a_problem() {
        let document = serde_json::to_value(ApiDoc::openapi()).unwrap();
        let mut behind_token = 0;
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let answers = operation["responses"].as_object().unwrap();
                for (status, answer) in answers {
                    let is_problem = answer.to_string().contains("#/components/schemas/Problem\"");
                    let is_told = answer["content"]["application/problem+json"].is_object();
                    assert_eq!(is_problem, is_told, "{method} {path} {status}: {answer}");
                }
                if operation["security"].is_array() {
                    behind_token += 1;
                    assert!(answers.contains_key("401") && answers.contains_key("403"), "{method} {path}");
                }
            }
        }
        assert!(behind_token > 70, "{behind_token}");
    }

    #[test]
    fn every_request_has_an_example() {
        let document = serde_json::to_value(ApiDoc::openapi()).unwrap();
        for (path, operations) in document["paths"].as_object().unwrap() {
            let Some(bodies) = operations["post"]["requestBody"]["content"].as_object() else { continue };
            for (media_type, body) in bodies {
                let name = body["schema"]["$ref"].as_str().unwrap_or_default().rsplit('/').next().unwrap();
                let schema = &document["components"]["schemas"][name];
                let is_told = |property: &serde_json::Value| property["example"].is_string();
                let by_property =
                    schema["properties"].as_object().is_some_and(|all| !all.is_empty() && all.values().all(is_told));
                let is_shown = !body["example"].is_null() || !schema["example"].is_null() || by_property;
                assert!(is_shown, "{path} {media_type} has no example");
            }
        }
    }
}
