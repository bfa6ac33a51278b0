//! Why payments were divided as they were, in both deployments: on a day that is accrued already, on a loan that is charged
//! off, and split by split where something late divided them anew.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::processes::System;
use crate::processes::client::{BORROWER, Client};

/// A step: bucket, what was owed, what was paid, why no more.
type Step<'s> = (&'s str, &'s str, &'s str, &'s str);

async fn write(client: &Client, path: &str, body: &Value) -> Value {
    let (status, answer) = client.post_until_final(path, &format!("explained:{}", Uuid::new_v4()), body).await;
    assert!([200, 201].contains(&status), "{path}: {status} {answer}");
    answer
}

async fn pay(client: &Client, loan: Uuid, amount: &str, on: &str) -> Value {
    let body = json!({"loan_id": loan, "borrower_id": BORROWER, "amount_minor": amount, "currency": "USD",
        "effective_at": on, "source_method": "ach"});
    write(client, "/v1/payments", &body).await
}

/// What is told of a payment; the steps of every split add up to it.
async fn explained(client: &Client, payment: &Value) -> Value {
    let path = format!("/v1/payments/{}/allocation", payment["payment_event_id"].as_str().unwrap());
    let (status, told) = client.get(&path).await;
    assert_eq!(status, 200, "{told}");
    let number = |value: &Value| value.as_str().unwrap().parse::<i64>().unwrap();
    for split in std::iter::once(&told).chain(told["restatements"].as_array().unwrap()) {
        assert_eq!(split["is_reproduced"], json!(true), "{told}");
        let mut paid = number(&split["allocation"]["suspense_minor"]);
        for step in split["steps"].as_array().unwrap() {
            let bucket = format!("{}_minor", step["bucket"].as_str().unwrap());
            assert_eq!(split["allocation"][&bucket], step["paid_minor"], "{told}");
            paid += number(&step["paid_minor"]);
        }
        assert_eq!(paid, number(&told["amount_minor"]), "{told}");
    }
    told
}

fn step(step: &Value) -> Step<'_> {
    let [bucket, owed, paid, reason] =
        ["bucket", "owed_minor", "paid_minor", "reason"].map(|name| step[name].as_str().unwrap());
    (bucket, owed, paid, reason)
}

fn steps(split: &Value) -> Vec<Step<'_>> {
    split["steps"].as_array().unwrap().iter().map(step).collect()
}

/// 7.3 % over 365 days are 0.02 % a day: 10,000.00 bear 60.00 to 30 January and 2.00 on the 31st. What counts from that day
/// finds the 60.00.
async fn on_a_day_that_is_accrued(client: &Client) {
    let (program, loan) = (Uuid::new_v4(), Uuid::new_v4());
    let terms = json!({"program_id": program, "currency": "USD", "annual_rate": "7.3",
        "day_count_convention": "ACT_365", "rounding": "half_up,daily",
        "waterfall": ["fees", "interest", "principal"], "suspense_release": "manual"});
    write(client, "/v1/programs", &terms).await;
    let opening = json!({"loan_id": loan, "borrower_id": BORROWER, "currency": "USD", "opened_on": "2026-01-01",
        "program_id": program, "opening_balances": {"principal_minor": "1000000"}});
    write(client, "/v1/loans", &opening).await;
    for on in ["2026-01-30", "2026-01-31"] {
        let body = json!({"program_id": program, "accrual_date": on, "day_count_convention": "ACT_365",
            "loans": [{"loan_id": loan, "outstanding_principal_minor": "1000000"}]});
        write(client, "/v1/accruals/batch", &body).await;
    }
    let paid = pay(client, loan, "506000", "2026-01-31").await;
    let told = explained(client, &paid).await;
    let expected = [
        ("fees", "0", "0", "nothing_owed"),
        ("interest", "6000", "6000", "paid_in_full"),
        ("principal", "1000000", "500000", "money_ran_out"),
    ];
    assert_eq!((steps(&told), &told["is_backdated"]), (expected.to_vec(), &json!(true)));
    let short = pay(client, loan, "50", "2026-01-31").await;
    let told = explained(client, &short).await;
    assert_eq!(
        steps(&told)[1..],
        [("interest", "0", "0", "nothing_owed"), ("principal", "500000", "50", "money_ran_out")]
    );
}

/// 1.00 of fees, 2.00 of interest and 10,000.00 are owed. 10.00 of May pay fees and interest, until 0.70 turn out to have come
/// in March, and again when these go back. Then the rest is charged off, and 5.00 are recovered.
async fn as_it_turns_out(client: &Client) {
    let loan = client.open_loans(1).await[0];
    let first = pay(client, loan, "1000", "2026-05-01").await;
    let late = pay(client, loan, "70", "2026-03-01").await;
    let path = format!("/v1/payments/{}/return", late["payment_event_id"].as_str().unwrap());
    let back = json!({"return_code": "R01", "effective_at": "2026-05-02", "fee_minor": "0"});
    let back = write(client, &path, &back).await;

    let told = explained(client, &first).await;
    let as_posted = [
        ("fees", "100", "100", "paid_in_full"),
        ("interest", "200", "200", "paid_in_full"),
        ("principal", "1000000", "700", "money_ran_out"),
    ];
    let without = [
        ("fees", "30", "30", "paid_in_full"),
        ("interest", "200", "200", "paid_in_full"),
        ("principal", "1000000", "770", "money_ran_out"),
    ];
    let [between, today] = told["restatements"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!(
        (steps(&told), steps(between), steps(today)),
        (as_posted.to_vec(), without.to_vec(), as_posted.to_vec())
    );
    let cause = |split: &Value| (split["caused_by_event_id"].clone(), split["caused_by_event_type"].clone());
    assert_eq!(cause(between), (late["payment_event_id"].clone(), json!("payment_received")));
    assert_eq!(cause(today), (back["payment_returned_event_id"].clone(), json!("payment_returned")));
    assert_eq!((&told["allocation"], &told["current_allocation"]), (&first["allocation"], &today["allocation"]));
    let told = explained(client, &late).await;
    assert_eq!(steps(&told)[0], ("fees", "100", "70", "money_ran_out"));
    assert_eq!((&told["is_backdated"], &told["undone_by"]), (&json!(true), &back["payment_returned_event_id"]));

    write(client, "/v1/chargeoffs", &json!({"loan_id": loan, "effective_at": "2026-06-01"})).await;
    let recovered = pay(client, loan, "500", "2026-07-01").await;
    let told = explained(client, &recovered).await;
    assert_eq!(steps(&told)[2], ("principal", "999300", "500", "money_ran_out"));
    assert_eq!((&told["is_recovery"], &told["is_backdated"]), (&json!(true), &json!(false)));
    // A fee of 1.00 of May is charged off as well, and the recovery pays it.
    let fee = json!({"loan_id": loan, "amount_minor": "100", "fee_code": "nsf", "effective_at": "2026-05-20"});
    let fee = write(client, "/v1/fees", &fee).await;
    let told = explained(client, &recovered).await;
    let today = &told["restatements"][0];
    assert_eq!(steps(today)[0], ("fees", "100", "100", "paid_in_full"));
    assert_eq!((cause(today).0, &today["is_recovery"]), (fee["fee_event_id"].clone(), &json!(true)));
    assert_eq!(steps(&told)[0], ("fees", "0", "0", "nothing_owed"), "what was told stays told");
}

/// What is more than the loan owes is the borrower's, and stays explained when it has gone out.
async fn with_an_excess(client: &Client) {
    let loan = client.open_loans(1).await[0];
    let paid = pay(client, loan, "1000800", "2026-05-01").await;
    write(client, "/v1/suspense/refunds", &json!({"loan_id": loan, "effective_at": "2026-05-03"})).await;
    let told = explained(client, &paid).await;
    assert_eq!(
        (&told["allocation"]["suspense_minor"], &told["suspense_reason"]),
        (&json!("500"), &json!("nothing_owed"))
    );
    assert_eq!(steps(&told)[2], ("principal", "1000000", "1000000", "paid_in_full"));
    assert_eq!(told["restatements"], json!([]));
}

async fn story(client: &Client) {
    on_a_day_that_is_accrued(client).await;
    as_it_turns_out(client).await;
    with_an_excess(client).await;
}

#[tokio::test]
async fn payments_are_explained_by_servers() {
    let system = System::distributed().await;
    let (api, worker) = (system.start(&["api"]).await, system.start(&["worker"]).await);
    story(&Client::demo(&[api.port]).await).await;
    drop((api, worker));
    system.verified().await;
}

#[tokio::test]
async fn payments_are_explained_by_one_process() {
    let system = System::embedded();
    let serve = system.start(&["serve", "--demo"]).await;
    story(&Client::demo(&[serve.port]).await).await;
    drop(serve);
    system.verified().await;
}
