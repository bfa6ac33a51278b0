//! The life of a loan in both deployments, over real connections: lent, accrued, paid on time, short, late and too much,
//! returned, refinanced, charged off and recovered. Every balance is worked out by hand, to the cent; the arithmetic
//! stands beside it. `docs/life-of-a-loan.md` walks the same way.
//!
//! The first program bears 7.3 % over 365 days, which is 0.0002 a day; the second 9.125 %, which is 0.00025. A day's
//! interest is on the principal at the day's end; a payment finds the interest up to the day before.

use chrono::NaiveDate;
use serde_json::{Value, json};

use crate::processes::System;
use crate::processes::client::{BORROWER, Client};

const PROGRAM: &str = "a0000000-0000-4000-8000-000000000001";
const RELEASING: &str = "a0000000-0000-4000-8000-000000000002";
const FIRST: &str = "b0000000-0000-4000-8000-000000000001";
const SECOND: &str = "b0000000-0000-4000-8000-000000000002";
const THIRD: &str = "b0000000-0000-4000-8000-000000000003";

/// Fees, interest, principal and suspense, by the names of a balance.
const BALANCES: [&str; 4] =
    ["fees_receivable_minor", "interest_receivable_minor", "principal_outstanding_minor", "suspense_minor"];
/// The same, by the names of a split.
const SPLIT: [&str; 4] = ["fees_minor", "interest_minor", "principal_minor", "suspense_minor"];

fn number(value: &Value) -> i64 {
    value.as_str().unwrap_or_else(|| panic!("no amount: {value}")).parse().unwrap()
}

fn day(text: &str) -> NaiveDate {
    format!("2025-{text}").parse().unwrap()
}

/// A lender at work.
struct Lender<'c> {
    client: &'c Client,
    keys: std::cell::Cell<u32>,
}

impl Lender<'_> {
    fn key(&self) -> String {
        self.keys.set(self.keys.get() + 1);
        format!("life:{:06}", self.keys.get())
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.client.post_until_final(path, &self.key(), body).await;
        assert_eq!(status, 201, "{path} {body}: {answer}");
        answer
    }

    async fn refused(&self, path: &str, body: &Value, code: &str) {
        let (status, answer) = self.client.post_until_final(path, &self.key(), body).await;
        assert_eq!((status, &answer["code"]), (422, &json!(code)), "{path} {body}: {answer}");
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.client.get(path).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// Makes a program; its rate in percent.
    async fn program(&self, id: &str, rate: &str, rounding: &str, terms: (&[&str; 3], &str)) {
        let body = json!({"program_id": id, "currency": "USD", "annual_rate": rate, "day_count_convention": "ACT_365",
            "rounding": rounding, "waterfall": terms.0, "suspense_release": terms.1});
        self.post("/v1/programs", &body).await;
    }

    /// Registers a loan of the first program, lends on its first day, and settles a day later.
    async fn lend(&self, loan: &str, on: &str, settled: &str, amount: i64) {
        let body = json!({"loan_id": loan, "borrower_id": BORROWER, "currency": "USD", "opened_on": day(on),
            "program_id": PROGRAM});
        self.post("/v1/loans", &body).await;
        let body = json!({"loan_id": loan, "borrower_id": BORROWER, "amount_minor": amount.to_string(),
            "currency": "USD", "effective_at": day(on), "method": "wire"});
        let lent = self.post("/v1/disbursements", &body).await;
        let path = format!("/v1/disbursements/{}/settlement", lent["disbursement_event_id"].as_str().unwrap());
        self.post(&path, &json!({"effective_at": day(settled)})).await;
    }

    fn batch(program: &str, loan: &str, on: NaiveDate, principal: i64) -> Value {
        json!({"program_id": program, "accrual_date": on, "day_count_convention": "ACT_365",
            "loans": [{"loan_id": loan, "outstanding_principal_minor": principal.to_string()}]})
    }

    /// Accrues day by day from one day to another; answers what the days come to.
    async fn accrue_daily(&self, loan: &str, (from, to): (&str, &str), principal: i64) -> i64 {
        let mut sum = 0;
        for on in day(from).iter_days().take_while(|on| *on <= day(to)) {
            let accrued = self.post("/v1/accruals/batch", &Self::batch(PROGRAM, loan, on, principal)).await;
            sum += number(&accrued["total_accrued_minor"]);
        }
        sum
    }

    /// Accrues all days up to one at once.
    async fn accrue(&self, program: &str, loan: &str, on: &str, principal: i64) -> i64 {
        let accrued = self.post("/v1/accruals/batch", &Self::batch(program, loan, day(on), principal)).await;
        number(&accrued["total_accrued_minor"])
    }

    /// Pays; answers the payment's id, and the split by fees, interest, principal and suspense.
    async fn pay(&self, loan: &str, on: &str, amount: i64) -> (String, [i64; 4]) {
        let body = json!({"loan_id": loan, "borrower_id": BORROWER, "amount_minor": amount.to_string(),
            "currency": "USD", "effective_at": day(on), "source_method": "ach"});
        let paid = self.post("/v1/payments", &body).await;
        let id = paid["payment_event_id"].as_str().unwrap().to_owned();
        (id, SPLIT.map(|part| number(&paid["allocation"][part])))
    }

    async fn fee(&self, loan: &str, on: &str, amount: i64, code: &str) -> Value {
        let body = json!({"loan_id": loan, "amount_minor": amount.to_string(), "fee_code": code,
            "effective_at": day(on)});
        self.post("/v1/fees", &body).await
    }

    async fn reverse(&self, entry: &Value, on: &str, reason: &str) {
        let body = json!({"reverses_entry_id": entry["journal_entry_id"], "reason_code": reason,
            "effective_at": day(on)});
        self.post("/v1/reversals", &body).await;
    }

    /// Fees, interest, principal and suspense at the end of a day.
    async fn owes(&self, loan: &str, on: &str, expected: [i64; 4]) {
        let path = format!("/v1/loans/{loan}/balance?as_of_date={}", day(on));
        let balance = self.get(&path).await;
        assert_eq!(BALANCES.map(|part| number(&balance[part])), expected, "{loan} on {on}: {balance}");
    }

    async fn payoff(&self, loan: &str, on: &str) -> Value {
        self.get(&format!("/v1/loans/{loan}/payoff?date={}", day(on))).await
    }
}

/// From January to April: on time, short, late with a fee, returned and paid again.
async fn paid_in_all_ways(lender: &Lender<'_>) {
    // 12,345.67 bear 246.9134 cents a day.
    lender.lend(FIRST, "01-02", "01-03", 1_234_567).await;
    // 30 days from 2 to 31 January: 7407.402.
    assert_eq!(lender.accrue_daily(FIRST, ("01-02", "01-31"), 1_234_567).await, 7_407);
    lender.owes(FIRST, "01-31", [0, 7_407, 1_234_567, 0]).await;

    // On time: 500.00 pay 74.07 of interest and 425.93 of principal, which leaves 11,919.74 at 238.3948 a day.
    assert_eq!(lender.pay(FIRST, "02-01", 50_000).await.1, [0, 7_407, 42_593, 0]);
    lender.owes(FIRST, "02-01", [0, 0, 1_191_974, 0]).await;
    // 28 days: 6675.0544, in all 14082.4564.
    assert_eq!(lender.accrue_daily(FIRST, ("02-01", "02-28"), 1_191_974).await, 6_675);

    // Short: 50.00 do not cover the interest, of which 16.75 are left.
    assert_eq!(lender.pay(FIRST, "03-01", 5_000).await.1, [0, 5_000, 0, 0]);
    lender.owes(FIRST, "03-01", [0, 1_675, 1_191_974, 0]).await;
    // 15 days: 3575.922, in all 17658.3784, of which 14082 are booked.
    assert_eq!(lender.accrue_daily(FIRST, ("03-01", "03-15"), 1_191_974).await, 3_576);
    // Late: 25.00, of which 10.00 are waived.
    lender.fee(FIRST, "03-16", 2_500, "late").await;
    let waived = json!({"loan_id": FIRST, "amount_minor": "1000", "fee_code": "late", "effective_at": day("03-20")});
    lender.post("/v1/fees/waivers", &waived).await;
    // 16 days: 3814.3168, in all 21472.6952, of which 17658 are booked.
    assert_eq!(lender.accrue_daily(FIRST, ("03-16", "03-31"), 1_191_974).await, 3_815);
    lender.owes(FIRST, "03-31", [1_500, 9_066, 1_191_974, 0]).await;

    // 1,000.00 pay the fee, all interest and 894.34 of principal: 11,025.40 are left, at 220.508 a day.
    assert_eq!(lender.pay(FIRST, "04-01", 100_000).await.1, [1_500, 9_066, 89_434, 0]);
    // One day: in all 21693.2032, of which 21473 are booked.
    assert_eq!(lender.accrue_daily(FIRST, ("04-01", "04-01"), 1_102_540).await, 220);

    // Returned: 300.00 of 2 April come back two days later, for 20.00. The payment is as if it had never been.
    let (returned, split) = lender.pay(FIRST, "04-02", 30_000).await;
    assert_eq!(split, [0, 220, 29_780, 0]);
    lender.owes(FIRST, "04-02", [0, 0, 1_072_760, 0]).await;
    let body = json!({"return_code": "R01", "effective_at": day("04-04"), "fee_minor": "2000"});
    let answer = lender.post(&format!("/v1/payments/{returned}/return"), &body).await;
    assert!(answer["fee_event_id"].is_string(), "{answer}");
    lender.owes(FIRST, "04-02", [0, 220, 1_102_540, 0]).await;
    lender.owes(FIRST, "04-04", [2_000, 220, 1_102_540, 0]).await;
    // 3 days: 661.524, in all 22354.7272, of which 21693 are booked.
    assert_eq!(lender.accrue_daily(FIRST, ("04-02", "04-04"), 1_102_540).await, 662);
    // Paid again, with the fee: 10,554.22 are left, at 211.0844 a day.
    assert_eq!(lender.pay(FIRST, "04-05", 50_000).await.1, [2_000, 882, 47_118, 0]);
    // 26 days at once: 5488.1944, in all 27842.9216, of which 22355 are booked.
    assert_eq!(lender.accrue(PROGRAM, FIRST, "04-30", 1_055_422).await, 5_488);
    lender.owes(FIRST, "04-30", [0, 5_488, 1_055_422, 0]).await;
}

/// In May: paid off by more than was owed, and what became of the rest.
async fn paid_off(lender: &Lender<'_>) {
    let quote = lender.payoff(FIRST, "05-01").await;
    // 10,554.22 and 54.88; a day more costs 2.11, and ten days end on 10 May.
    assert_eq!((&quote["payoff_minor"], &quote["per_diem_minor"]), (&json!("1060910"), &json!("211")), "{quote}");
    // 9 days more: 27842.9216 and 1899.7596 are 29742.6812, of which 27843 are booked: 1900.
    let last = &quote["days"][9];
    assert_eq!((&last["date"], &last["payoff_minor"]), (&json!("2025-05-10"), &json!("1062810")));
    assert_eq!(lender.pay(FIRST, "05-01", 1_070_000).await.1, [0, 5_488, 1_055_422, 9_090]);
    let version = &quote["loan_version"];
    let path = format!("/v1/loans/{FIRST}/payoff?date=2025-05-02&quoted_version={version}");
    let after = lender.get(&path).await;
    assert_eq!((&after["payoff_minor"], &after["surplus_minor"]), (&json!("0"), &json!("9090")));
    assert_eq!(after["stale"], true, "something was posted since");

    // 90.90 wait. A fee of 30.00 is paid with them, 20.90 go back to the borrower.
    lender.fee(FIRST, "05-02", 3_000, "lien_release").await;
    lender.owes(FIRST, "05-02", [3_000, 0, 0, 9_090]).await;
    let body = json!({"loan_id": FIRST, "effective_at": day("05-02"), "amount_minor": "3000"});
    let applied = lender.post("/v1/suspense/applications", &body).await;
    assert_eq!(SPLIT.map(|part| number(&applied["allocation"][part])), [3_000, 0, 0, 0]);
    let body = json!({"loan_id": FIRST, "amount_minor": "2090", "effective_at": day("05-03")});
    lender.post("/v1/suspense/refunds", &body).await;
    lender.owes(FIRST, "05-03", [0, 0, 0, 4_000]).await;
}

/// In May and June: a second loan, an error set right, and a third loan that takes it over.
async fn refinanced(lender: &Lender<'_>) {
    // 5,000.00 bear 1.00 a day.
    lender.lend(SECOND, "05-05", "05-05", 500_000).await;
    let wrong = lender.fee(SECOND, "05-06", 4_000, "late").await;
    lender.owes(SECOND, "05-06", [4_000, 0, 500_000, 0]).await;
    lender.reverse(&wrong, "05-07", "error_correction").await;
    lender.owes(SECOND, "05-06", [0, 0, 500_000, 0]).await;
    let body = json!({"loan_id": FIRST, "to_loan_id": SECOND, "amount_minor": "4000", "effective_at": day("05-08")});
    lender.post("/v1/suspense/transfers", &body).await;
    lender.owes(FIRST, "05-08", [0, 0, 0, 0]).await;
    lender.owes(SECOND, "05-08", [0, 0, 500_000, 4_000]).await;
    // 27 days from 5 to 31 May.
    assert_eq!(lender.accrue(PROGRAM, SECOND, "05-31", 500_000).await, 2_700);

    // The interest is capitalised: 5,027.00. The new loan's program lets the 40.00 in suspense pay at once: 4,987.00.
    let body = json!({"loan_id": SECOND, "to_loan_id": THIRD, "effective_at": day("06-01"),
        "moves": [{"from": "principal", "to": "principal", "amount_minor": "500000"},
            {"from": "interest", "to": "principal", "amount_minor": "2700"},
            {"from": "suspense", "to": "suspense", "amount_minor": "4000"}],
        "new_loan": {"program_id": RELEASING}});
    lender.post("/v1/refinances", &body).await;
    lender.owes(SECOND, "06-01", [0, 0, 0, 0]).await;
    lender.owes(THIRD, "06-01", [0, 0, 498_700, 0]).await;
    let loan = lender.get(&format!("/v1/loans/{THIRD}")).await;
    assert_eq!(loan["waterfall"], json!(["interest", "fees", "principal"]), "{loan}");
}

/// From June to August: unpaid, charged off, and partly recovered.
async fn charged_off(lender: &Lender<'_>) {
    // 4,987.00 bear 124.675 a day. 30 days: 3740.25; 15 more: 5610.375; 16 more: 7605.175.
    assert_eq!(lender.accrue(RELEASING, THIRD, "06-30", 498_700).await, 3_740);
    assert_eq!(lender.accrue(RELEASING, THIRD, "07-15", 498_700).await, 1_870);
    lender.fee(THIRD, "07-16", 1_500, "late").await;
    assert_eq!(lender.accrue(RELEASING, THIRD, "07-31", 498_700).await, 1_995);
    lender.owes(THIRD, "07-31", [1_500, 7_605, 498_700, 0]).await;
    let quote = lender.payoff(THIRD, "08-01").await;
    assert_eq!((&quote["payoff_minor"], &quote["per_diem_minor"]), (&json!("507805"), &json!("125")), "{quote}");
    // One day more: 7729.85, of which 7605 are booked.
    assert_eq!(quote["days"][1]["payoff_minor"], "507930");

    lender.post("/v1/chargeoffs", &json!({"loan_id": THIRD, "effective_at": day("08-01")})).await;
    lender.owes(THIRD, "08-01", [0, 0, 0, 0]).await;
    let after = Lender::batch(RELEASING, THIRD, day("08-31"), 0);
    lender.refused("/v1/accruals/batch", &after, "loan_closed").await;

    // 100.00 recover the interest, the fee and 8.95 of principal, in the order of the loan's program.
    assert_eq!(lender.pay(THIRD, "08-15", 10_000).await.1, [1_500, 7_605, 895, 0]);
    let body = json!({"loan_id": THIRD, "amount_minor": "5000", "effective_at": day("08-20")});
    let recovered = lender.post("/v1/recoveries", &body).await;
    // 4,987.00 less 8.95 and 50.00; and as before when the 50.00 turn out to be somebody else's.
    assert_eq!(lender.payoff(THIRD, "08-21").await["payoff_minor"], "492805");
    lender.reverse(&recovered, "08-22", "error_correction").await;
    let quote = lender.payoff(THIRD, "08-23").await;
    assert_eq!((&quote["payoff_minor"], &quote["per_diem_minor"]), (&json!("497805"), &json!("0")), "{quote}");
    assert!(quote["warnings"].as_array().unwrap().iter().any(|warning| warning["code"] == "charged_off"), "{quote}");
}

/// What the statement of the first loan says of its April.
async fn stated(lender: &Lender<'_>) {
    let path = format!("/v1/loans/{FIRST}/statement?from_date=2025-04-01&to_date=2025-04-30");
    let statement = lender.get(&path).await;
    let of = |balances: &Value| BALANCES.map(|part| number(&balances[part]));
    assert_eq!(of(&statement["opening"]), [1_500, 9_066, 1_191_974, 0], "{statement}");
    assert_eq!(of(&statement["closing"]), [0, 5_488, 1_055_422, 0]);
    let mut balances = of(&statement["opening"]);
    for row in statement["rows"].as_array().unwrap() {
        for (balance, part) in balances.iter_mut().zip(SPLIT) {
            *balance += number(&row["moved"][part]);
        }
        assert_eq!(of(&row["balances"]), balances, "{row}");
    }
    assert_eq!(balances, of(&statement["closing"]));
    // 1,000.00, 300.00 and 500.00 came; 300.00 went back.
    let payments = &statement["period"]["payments"];
    assert_eq!((number(&payments["received_minor"]), number(&payments["returned_minor"])), (180_000, 30_000));
    // With 500.00 of February and 50.00 of March.
    assert_eq!(number(&statement["year_to_date"]["payments"]["received_minor"]), 235_000);
}

/// Every account of the ledger: the demo's own loan, and the three of this story. Debits are positive.
async fn in_balance(lender: &Lender<'_>) {
    let expected = [
        // 12,345.67 and 5,000.00 were lent.
        ("1000", -1_734_567),
        // 500.00, 50.00, 1,000.00, 500.00, 10,700.00 and 100.00; what was returned or reversed came back.
        ("1010", 50_000 + 5_000 + 100_000 + 50_000 + 1_070_000 + 10_000),
        ("1020", 0),
        // What one loan owed went to another over it.
        ("1030", 0),
        // The demo's loan alone: principal, interest, fees, and where they came from.
        ("1100", 1_000_000),
        ("1200", 10_000),
        ("1300", 500),
        ("3000", -1_010_500),
        ("2100", 0),
        // 20.90 for the borrower.
        ("2300", -2_090),
        // 278.43 of the first loan, 27.00 of the second, 76.05 of the third, which were charged off.
        ("4100", -(27_843 + 2_700 + 7_605)),
        ("4190", 7_605),
        // 25.00, 20.00, 30.00, 40.00 that were reversed, and 15.00, which were charged off.
        ("4200", -(2_500 + 2_000 + 3_000 + 1_500)),
        ("4290", 1_500),
        // What the payment of 15 August brought.
        ("4300", -10_000),
        ("5100", 498_700),
        // The part of a fee that was waived.
        ("5200", 1_000),
        // 4,987.00, 76.05 and 15.00 were charged off, 100.00 are recovered.
        ("9100", 507_805 - 10_000),
        ("9900", 10_000 - 507_805),
    ];
    assert_eq!(expected.iter().map(|(_, balance)| balance).sum::<i64>(), 0);
    let trial = lender.get("/v1/trial-balance").await;
    assert_eq!((&trial["is_balanced"], &trial["total_debits_minor"]), (&json!(true), &trial["total_credits_minor"]));
    let found: std::collections::BTreeMap<&str, i64> = trial["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let (debits, credits) = (number(&row["dr_balance_minor"]), number(&row["cr_balance_minor"]));
            (row["account_code"].as_str().unwrap(), debits - credits)
        })
        .collect();
    assert_eq!(found, expected.into_iter().collect(), "{trial}");
    let status = lender.get("/v1/reconciliation/status").await;
    let (ledger, rollup) = (&status["ledger_integrity"], &status["portfolio_rollup"]);
    assert_eq!((&ledger["status"], &rollup["status"]), (&json!("ok"), &json!("ok")), "{status}");
    assert_eq!(
        (&rollup["gl_principal_minor"], &rollup["sum_of_loan_balances_minor"]),
        (&json!("1000000"), &json!("1000000"))
    );
}

/// No run by itself: a status would tell what one found in the middle of a life.
const NO_RUNS: [(&str, &str); 1] = [("HPTS_RECONCILE_MINUTES", "0")];

async fn life(client: &Client) {
    let lender = Lender { client, keys: std::cell::Cell::new(0) };
    lender.program(PROGRAM, "7.3", "half_up,daily", (&["fees", "interest", "principal"], "manual")).await;
    lender.program(RELEASING, "9.125", "half_even,daily", (&["interest", "fees", "principal"], "automatic")).await;
    paid_in_all_ways(&lender).await;
    paid_off(&lender).await;
    refinanced(&lender).await;
    charged_off(&lender).await;
    stated(&lender).await;
    in_balance(&lender).await;
}

#[tokio::test]
async fn a_loans_life_is_right_to_the_cent_by_servers() {
    let system = System::distributed().await;
    let (api, worker) = (system.start(&["api"]).await, system.start_with(&["worker"], &NO_RUNS).await);
    life(&Client::demo(&[api.port]).await).await;
    drop((api, worker));
    system.verified().await;
}

#[tokio::test]
async fn a_loans_life_is_right_to_the_cent_by_one_process() {
    let system = System::embedded();
    let serve = system.start_with(&["serve", "--demo"], &NO_RUNS).await;
    life(&Client::demo(&[serve.port]).await).await;
    drop(serve);
    system.verified().await;
}
