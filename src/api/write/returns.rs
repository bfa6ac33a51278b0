//! Owns `POST /v1/payments/{payment_event_id}/return`.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use utoipa::ToSchema;

use crate::api::auth::Scope;
use crate::api::error::ApiError;
use crate::api::json::Fields;
use crate::api::openapi::{AcceptedView, ProblemDocument, ReturnAnswer};
use crate::api::state::ApiState;
use crate::api::write::accept::accept_and_answer;
use crate::api::write::programs::return_policy;
use crate::api::write::request::{AcceptanceRules, WriteRequest};
use crate::core::event::{AcceptedEvent, Command, PaymentReturn, PaymentReturnError, ReturnCode, ReturnTerms};
use crate::core::ids::{EventId, TenantId};
use crate::core::loan::ReturnPolicy;
use crate::core::money::Minor;

/// A payment that the bank took back.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"return_code": "R01", "effective_at": "2026-05-04", "fee_minor": "2500"}))]
pub struct ReturnRequest {
    /// Why, as the bank says it: R and two digits.
    #[schema(pattern = "^R[0-9]{2}$")]
    pub return_code: String,
    /// The day the money went back: not before the payment's own, not in the future. The fee counts from it; the
    /// payment is taken back at its own date.
    pub effective_at: chrono::NaiveDate,
    /// How much goes back: all of the payment where absent. A part only where the loan's program charges returns back.
    #[schema(pattern = "^[1-9][0-9]{0,18}$")]
    pub amount_minor: Option<String>,
    /// What the borrower is charged for it, in whole minor units; nothing where it is 0, and where absent what the loan's
    /// program says of the return code, once for each payment, with its first return.
    #[schema(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub fee_minor: Option<String>,
    /// Free data, up to 4 KiB and 50 keys.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Value>,
}

/// Returns a payment.
///
/// The payment is taken back as a whole at its own effective date, once: fees, interest and principal are owed again
/// from that day, what it left in suspense goes, and payments posted after it are divided anew. Where the loan's program
/// says `returns: chargeback`, the money goes back on the day of the return instead, all of it or a part, and is owed again
/// from then on: out of suspense first, then in the program's `credit_order`, of each bucket at most what the payment paid
/// there. A payment that is not posted yet is posted first; one that was rejected cannot be returned (`not_reversible`).
/// The fee is an event and an entry of its own on the day of the return; both are posted, or neither. A fee that only the
/// loan's program asks for refuses no return: where a rule refuses it, `fee_refused` says why. It is charged with the first
/// return of a payment and with no later one.
#[utoipa::path(post, path = "/v1/payments/{payment_event_id}/return", tag = "payments",
    security(("oauth2" = ["hpts:payments:write"])),
    params(("payment_event_id" = uuid::Uuid, Path, description = "The payment"),
        ("Idempotency-Key" = String, Header, description = "One key per intended return, kept over retries"),
        ("Prefer" = Option<String>, Header, description = "`respond-async`, `wait=N`")),
    request_body = ReturnRequest,
    responses((status = 201, description = "Posted", body = ReturnAnswer),
        (status = 200, description = "The first answer to this key again", body = ReturnAnswer),
        (status = 202, description = "Accepted, not finished in time", body = AcceptedView),
        (status = 400, description = "No or a bad key, not JSON", body = ProblemDocument),
        (status = 404, description = "No such payment", body = ProblemDocument),
        (status = 409, description = "The payment was returned before, or the first request with this key is \
            unfinished", body = ProblemDocument),
        (status = 422, description = "Not valid, refused by a posting rule, or another payload", body = ProblemDocument),
        (status = 503, description = "Try again", body = ProblemDocument)))]
pub(crate) async fn post_return(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let request = WriteRequest::read(&state, request, &[Scope::PaymentsWrite]).await?;
    let id = EventId::parse(&id).map_err(|_| ApiError::NotFound)?;
    let payment = returned_payment(&state, request.caller.tenant, id).await?;
    let policy = return_policy(&state, &payment).await?;
    let command =
        request.parsed_by_rules(&state, |fields, rules| parse_return(fields, rules, (&payment, &policy))).await?;
    accept_and_answer(&state, request, command).await
}

/// The payment of the path; whether it is posted shows when the return's turn comes.
///
/// # Errors
/// There is no such payment, or the store is away.
pub(crate) async fn returned_payment(
    state: &ApiState,
    tenant: TenantId,
    id: EventId,
) -> Result<AcceptedEvent, ApiError> {
    let record = state.store().event(tenant, id).await?.ok_or(ApiError::NotFound)?;
    if PaymentReturn::is_of(&record.event) { Ok(record.event) } else { Err(ApiError::NotFound) }
}

pub(crate) fn parse_return(
    fields: &mut Fields<'_>,
    rules: &AcceptanceRules,
    (payment, policy): (&AcceptedEvent, &ReturnPolicy),
) -> Option<Command> {
    let amount = fields.optional("amount_minor", Minor::parse);
    let code = fields.required("return_code", ReturnCode::parse);
    let effective_date = fields.date_until("effective_at", rules.latest_effective);
    let fee = fields.optional("fee_minor", Minor::parse);
    let metadata = fields.metadata();
    let terms = ReturnTerms { code: code?, effective_date: effective_date?, amount, fee, metadata };
    match PaymentReturn::by_program(payment, terms, policy) {
        Ok(returned) => Some(Command::PaymentReturn(returned)),
        Err(error @ PaymentReturnError::BeforePayment(_)) => {
            fields.fail("effective_at", "before_payment", error.to_string());
            None
        }
        Err(error @ (PaymentReturnError::NotWhole | PaymentReturnError::NotOfPayment(_))) => {
            fields.fail("amount_minor", "invalid", error.to_string());
            None
        }
        Err(PaymentReturnError::NotAPayment) => None,
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::api::json::read;
    use crate::core::event::{IdempotencyKey, NewEvent, Payment, SourceMethod};
    use crate::core::ids::{BorrowerId, LoanId, PublisherId, Seq};
    use crate::core::loan::{ReturnFeeSetting, ReturnManner, Waterfall};
    use crate::core::money::{Currency, Money};
    use crate::core::time::Timestamp;

    fn day(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 5, day).unwrap()
    }

    fn paid() -> AcceptedEvent {
        let command = Command::Payment(Payment {
            loan_id: LoanId(Uuid::from_u128(1)),
            borrower_id: BorrowerId(Uuid::from_u128(2)),
            amount: Money::new(Minor::new(100), Currency::USD),
            effective_date: day(1),
            source_method: SourceMethod::Ach,
            external_ref: None,
            metadata: None,
        });
        let event = NewEvent::of_caller(
            EventId(Uuid::from_u128(8)),
            TenantId(Uuid::from_u128(9)),
            IdempotencyKey::parse("payment:1").unwrap(),
            command,
            PublisherId(Uuid::nil()),
            "demo".to_owned(),
        );
        AcceptedEvent::new(Seq(1), Timestamp::EPOCH, event)
    }

    fn parsed(changes: &Value) -> Result<Command, Vec<String>> {
        parsed_by(changes, &ReturnPolicy::default())
    }

    fn parsed_by(changes: &Value, policy: &ReturnPolicy) -> Result<Command, Vec<String>> {
        let mut body = json!({"return_code": "R01", "effective_at": "2026-05-04", "fee_minor": "2500"});
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        let bytes = serde_json::to_vec(&body).unwrap();
        let mut fields = Fields::of_body(read(&bytes).unwrap());
        let rules = AcceptanceRules { latest_effective: day(5), payment_limit: None };
        let command = parse_return(&mut fields, &rules, (&paid(), policy));
        let errors = fields.finish();
        if errors.is_empty() {
            Ok(command.unwrap())
        } else {
            Err(errors.into_iter().map(|error| error.field).collect())
        }
    }

    #[test]
    fn a_return_is_of_the_payments_loan_and_amount() {
        let Command::PaymentReturn(returned) = parsed(&json!({})).unwrap() else { panic!("not a return") };
        assert_eq!((returned.payment.seq, returned.amount.minor), (Seq(1), Minor::new(100)));
        assert_eq!(returned.fee, Some(Minor::new(2500)));
        for none in [json!({"fee_minor": "0"}), json!({"fee_minor": null})] {
            let Command::PaymentReturn(returned) = parsed(&none).unwrap() else { panic!("not a return") };
            assert_eq!(returned.fee, None, "{none}");
        }
    }

    #[test]
    fn a_program_says_how_a_return_is_booked_and_what_its_code_costs() {
        let fee = ReturnFeeSetting { return_codes: vec!["R01".to_owned()], fee_minor: "1500".to_owned() };
        let manner = ReturnManner::Chargeback(Waterfall::default());
        let policy = ReturnPolicy::new(manner, &[fee]).unwrap();
        let of = |changes: Value| match parsed_by(&changes, &policy) {
            Ok(Command::PaymentReturn(returned)) => {
                (returned.manner, returned.amount.minor.units(), returned.charged().map(Minor::units))
            }
            other => panic!("not a return: {other:?}"),
        };
        assert_eq!(of(json!({"fee_minor": null})), (manner, 100, Some(1500)));
        assert_eq!(of(json!({"fee_minor": null, "amount_minor": "40"})), (manner, 40, Some(1500)));
        assert_eq!(of(json!({"fee_minor": null, "return_code": "R02"})), (manner, 100, None));
        assert_eq!(of(json!({"fee_minor": "0"})), (manner, 100, None), "the caller says that it is free");
        assert_eq!(of(json!({})), (manner, 100, Some(2500)));
        assert_eq!(parsed_by(&json!({"amount_minor": "101"}), &policy), Err(vec!["amount_minor".to_owned()]));
    }

    #[test]
    fn each_bad_value_names_its_field() {
        let cases = [
            ("return_code", json!("01")),
            ("return_code", json!("R1")),
            ("return_code", json!("r01")),
            ("return_code", json!(1)),
            ("return_code", Value::Null),
            ("effective_at", json!("2026-04-30")),
            ("effective_at", json!("2026-05-06")),
            ("effective_at", json!("2026-05-32")),
            ("effective_at", Value::Null),
            ("fee_minor", json!(2500)),
            ("fee_minor", json!("-1")),
            ("fee_minor", json!("25.00")),
            ("metadata", json!([])),
            ("amount_minor", json!("99")),
            ("amount_minor", json!("101")),
            ("amount_minor", json!("0")),
            ("amount_minor", json!(100)),
            ("borrower_id", json!("22222222-2222-2222-2222-222222222222")),
        ];
        for (field, value) in cases {
            assert_eq!(parsed(&json!({ field: value })), Err(vec![field.to_owned()]), "{field} {value}");
        }
    }
}
