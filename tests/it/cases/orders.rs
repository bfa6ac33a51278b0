//! Which order of payment money follows: by its kind, by where the loan stands, and anew where something late changes that.

use serde_json::{Value, json};
use uuid::Uuid;

use super::loan::{Books, Loan, parts, same, text};
use super::{Case, Told};

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case { name: "orders by kind and standing", run: |books| Box::pin(by_kind_and_standing(books)) },
    Case { name: "an order of a loan's own", run: |books| Box::pin(of_its_own(books)) },
];

/// Cards pay principal first, suspense pays interest first, and a loan that is charged off gets its principal back first.
async fn program(books: &Books) -> Result<Uuid, String> {
    let rules = json!([
        {"payment_kinds": ["card"], "loan_statuses": ["open"], "waterfall": ["principal", "interest", "fees"]},
        {"payment_kinds": ["suspense"], "waterfall": ["interest", "principal", "fees"]},
        {"loan_statuses": ["charged_off", "written_off"], "waterfall": ["principal", "fees", "interest"]}]);
    let program = books.program(&json!({"waterfall_rules": rules})).await?;
    let described = books.get(&format!("/v1/programs/{program}")).await?;
    same("the program", &described["waterfall_rules"], &rules)?;
    Ok(program)
}

fn by(loan: &Loan<'_>, method: &str, amount: i64, day: &str) -> Value {
    let mut body = loan.payment(amount, day);
    body["source_method"] = json!(method);
    body
}

async fn pays_by(loan: &Loan<'_>, method: &str, amount: i64, day: &str) -> Result<Value, String> {
    loan.books.post("/v1/payments", &by(loan, method, amount, day)).await
}

/// The steps of a payment's splits, as they are explained: the buckets in their order.
async fn orders(loan: &Loan<'_>, payment: &Value) -> Result<Vec<Vec<String>>, String> {
    let told = loan.books.get(&format!("/v1/payments/{}/allocation", text(payment, "payment_event_id"))).await?;
    let buckets = |split: &Value| {
        split["steps"].as_array().into_iter().flatten().map(|step| text(step, "bucket")).collect::<Vec<_>>()
    };
    let first = buckets(&told);
    same("the order", &json!(first), &told["waterfall"])?;
    Ok(std::iter::once(first).chain(told["restatements"].as_array().into_iter().flatten().map(buckets)).collect())
}

/// 20.00 of fees, 30.00 of interest and 1,000.00 are owed. When 1,030.00 come in suspense, 40.00 of them are applied. Behind
/// a charge-off of an earlier day the card's payment is a recovery, and follows that order.
async fn by_kind_and_standing(books: &Books) -> Told {
    let program = program(books).await?;
    let loan = books.open([2_000, 3_000, 100_000], Some(program)).await?;
    let listed = loan.read("").await?;
    same("the loan's rules", &listed["waterfall_rules"].as_array().map(Vec::len), &Some(3))?;
    let by_ach = pays_by(&loan, "ach", 2_500, "2026-03-01").await?;
    same("by ACH", &parts(&by_ach["allocation"]), &[2_000, 500, 0, 0])?;
    let foreseen = books.post("/v1/payments/preview", &by(&loan, "card", 1_000, "2026-03-02")).await?;
    same("foreseen", &parts(&foreseen["allocation"]), &[0, 0, 1_000, 0])?;
    let by_card = pays_by(&loan, "card", 1_000, "2026-03-02").await?;
    same("by card", &parts(&by_card["allocation"]), &[0, 0, 1_000, 0])?;
    let over = pays_by(&loan, "wire", 105_500, "2026-03-03").await?;
    same("over", &parts(&over["allocation"]), &[0, 2_500, 99_000, 4_000])?;
    loan.charges(1_000, "2026-03-04").await?;
    loan.act(
        "/v1/disbursements",
        "2026-03-04",
        &json!({"borrower_id": listed["borrower_id"], "amount_minor": "5000",
        "currency": "USD", "method": "ach"}),
    )
    .await?;
    let applied = loan.act("/v1/suspense/applications", "2026-03-05", &json!({})).await?;
    same("suspense", &parts(&applied["allocation"]), &[0, 0, 4_000, 0])?;

    // Owed: 10.00 of fees, and 10.00 of principal.
    let open = pays_by(&loan, "card", 1_500, "2026-03-20").await?;
    same("before the charge-off", &parts(&open["allocation"]), &[500, 0, 1_000, 0])?;
    loan.act(
        "/v1/disbursements",
        "2026-03-21",
        &json!({"borrower_id": listed["borrower_id"], "amount_minor": "7000",
        "currency": "USD", "method": "ach"}),
    )
    .await?;
    loan.act("/v1/chargeoffs", "2026-03-25", &json!({})).await?;
    let recovered = pays_by(&loan, "ach", 1_000, "2026-03-26").await?;
    same("a recovery", &parts(&recovered["allocation"]), &[0, 0, 1_000, 0])?;
    let order = |buckets: [&str; 3]| buckets.map(str::to_owned).to_vec();
    same("its order", &orders(&loan, &recovered).await?, &vec![order(["principal", "fees", "interest"])])?;
    same("the order of the card", &orders(&loan, &by_card).await?, &vec![order(["principal", "interest", "fees"])])?;

    // A fee of the first day comes late: what came by ACH pays it, in its order.
    loan.charges(300, "2026-02-01").await?;
    same("by ACH, anew", &loan.split(&by_ach).await?, &[2_300, 200, 0, 0])?;
    same("the steps", &orders(&loan, &by_ach).await?, &vec![order(["fees", "interest", "principal"]); 2])?;
    same("the card, as before", &loan.split(&by_card).await?, &[0, 0, 1_000, 0])
}

/// A loan whose opening names an order has that one for all its money.
async fn of_its_own(books: &Books) -> Told {
    let program = program(books).await?;
    let id = Uuid::new_v4();
    let body = json!({"loan_id": id, "borrower_id": crate::processes::client::BORROWER, "currency": "USD",
        "opened_on": super::loan::OPENED, "program_id": program, "waterfall": ["interest", "fees", "principal"],
        "opening_balances": {"fees_minor": "100", "interest_minor": "100", "principal_minor": "1000"}});
    books.post("/v1/loans", &body).await?;
    let loan = Loan { books, id };
    same("its rules", &loan.read("").await?.get("waterfall_rules"), &None)?;
    let paid = pays_by(&loan, "card", 150, "2026-03-01").await?;
    same("by card", &parts(&paid["allocation"]), &[50, 100, 0, 0])
}
