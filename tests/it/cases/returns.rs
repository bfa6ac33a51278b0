//! Payments that go back, and what they cost.

use serde_json::{Value, json};

use super::loan::{Books, Loan, key, same, text};
use super::{Case, Told};

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case { name: "a refused fee of a program is named as such", run: |books| Box::pin(a_refused_fee(books)) },
    Case { name: "a payment that goes back in parts is charged once", run: |books| Box::pin(one_fee(books)) },
];

/// What a return says of its fee.
fn fee(told: &Value) -> (Option<&Value>, Option<&Value>) {
    (told.get("fee_event_id"), told["fee_refused"].get("code"))
}

/// Sends a payment back twice under one key, and reads it: the three say the same.
async fn sent_back(loan: &Loan<'_>, payment: &Value, body: &Value) -> Result<Value, String> {
    let (path, key) = (format!("/v1/payments/{}/return", text(payment, "payment_event_id")), key());
    let (status, first) = loan.books.send(&path, &key, body).await;
    same("the status", &status, &201)?;
    same("the answer again", &loan.books.send(&path, &key, body).await, &(200, first.clone()))?;
    let event = loan.books.get(&format!("/v1/events/{}", text(&first, "payment_returned_event_id"))).await?;
    same("the event", &fee(&event), &fee(&first))?;
    Ok(first)
}

/// A program charges 15.00 for R01. On a loan that is charged off nothing is charged any more, and the bank has moved the
/// money all the same: the return is posted, and names no fee that was never charged.
async fn a_refused_fee(books: &Books) -> Told {
    let fees = json!([{"return_codes": ["R01"], "fee_minor": "1500"}]);
    let program = books.program(&json!({"return_fees": fees})).await?;
    let loan = books.open([0, 0, 100_000], Some(program)).await?;
    let body = json!({"return_code": "R01", "effective_at": "2026-03-10"});

    let paid = loan.pays(10_000, "2026-03-01").await?;
    let charged = sent_back(&loan, &paid, &body).await?;
    same("what is owed", &loan.balances().await?, &[1_500, 0, 100_000, 0])?;
    let event = books.get(&format!("/v1/events/{}", text(&charged, "fee_event_id"))).await?;
    same("the fee", &event["status"], &json!("posted"))?;

    let paid = loan.pays(10_000, "2026-03-12").await?;
    loan.act("/v1/chargeoffs", "2026-03-20", &json!({})).await?;
    let body = json!({"return_code": "R01", "effective_at": "2026-03-21"});
    let path = format!("/v1/payments/{}/return", text(&paid, "payment_event_id"));
    let foreseen = books.foresee(&path, &body).await?;
    let refused =
        foreseen["consequences"].as_array().into_iter().flatten().find(|it| it["event_type"] == "fee_assessed");
    same("the preview", &refused.map(|fee| &fee["rejection_code"]), &Some(&json!("loan_closed")))?;
    let returned = sent_back(&loan, &paid, &body).await?;
    same("its fee", &fee(&returned), &(None, Some(&json!("loan_closed"))))?;
    // The fee is an event of its own as ever, that was refused.
    let event = books.get(&format!("/v1/events/{}", text(&returned["fee_refused"], "fee_event_id"))).await?;
    let seen = (event["status"].clone(), event["problem"]["code"].clone(), event["amount_minor"].clone());
    same("the refused fee", &seen, &(json!("rejected"), json!("loan_closed"), json!("1500")))?;
    let listed = loan.read("/fees").await?;
    same("the fees", &listed["items"].as_array().map(Vec::len), &Some(1))?;
    // A caller who says what it costs gets both or neither.
    let paid = loan.pays(10_000, "2026-03-25").await?;
    let path = format!("/v1/payments/{}/return", text(&paid, "payment_event_id"));
    let said = json!({"return_code": "R01", "effective_at": "2026-03-26", "fee_minor": "1500"});
    let (status, refused) = books.send(&path, &key(), &said).await;
    same("the caller's fee", &(status, refused["code"].clone()), &(422, json!("loan_closed")))?;
    let free = json!({"return_code": "R01", "effective_at": "2026-03-26", "fee_minor": "0"});
    same("no fee", &fee(&sent_back(&loan, &paid, &free).await?), &(None, None))
}

/// A program charges 15.00 for R01, and a payment of 100.00 goes back in parts: once. What a caller names is charged as
/// named. Preview, answer and status say the same.
async fn one_fee(books: &Books) -> Told {
    let fees = json!([{"return_codes": ["R01"], "fee_minor": "1500"}]);
    let program = books.program(&json!({"return_fees": fees, "returns": "chargeback"})).await?;
    let loan = books.open([0, 0, 100_000], Some(program)).await?;
    let paid = loan.pays(10_000, "2026-03-01").await?;
    let path = format!("/v1/payments/{}/return", text(&paid, "payment_event_id"));
    let parts = [("2026-03-10", 4_000, None, 1_500), ("2026-03-11", 3_000, None, 0)];
    let named = [("2026-03-12", 1_000, Some(700), 700), ("2026-03-13", 1_000, Some(0), 0)];
    let (mut owed, mut total, mut gone) = (Vec::new(), 0, 0);
    for (day, amount, said, charged) in parts.into_iter().chain(named) {
        let mut body = json!({"return_code": "R01", "effective_at": day, "amount_minor": amount.to_string()});
        if let Some(fee) = said {
            body["fee_minor"] = json!(fee.to_string());
        }
        let foreseen = books.foresee(&path, &body).await?;
        let consequences = foreseen["consequences"].as_array().map(Vec::as_slice).unwrap_or_default();
        let of_fees = consequences.iter().filter(|it| it["event_type"] == "fee_assessed").count();
        same("the preview", &of_fees, &usize::from(charged > 0))?;
        let returned = sent_back(&loan, &paid, &body).await?;
        same("the answer", &(fee(&returned).0.is_some(), fee(&returned).1), &(charged > 0, None))?;
        (total, gone) = (total + charged, gone + amount);
        same("what is owed", &loan.balances().await?, &[total, 0, 90_000 + gone, 0])?;
        if charged > 0 {
            owed.push(charged.to_string());
        }
    }
    let listed = loan.read("/fees").await?;
    let assessed = listed["items"].as_array().into_iter().flatten().map(|item| text(item, "assessed_minor"));
    same("the fees", &assessed.collect::<Vec<_>>(), &owed)
}
