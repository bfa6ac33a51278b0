//! Bank statements through the API: what their lines settle, what stays open, and the reconciliation that follows.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hpts::core::event::BankSettlement;
use hpts::core::ids::TenantId;
use hpts::store::Store;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{Answer, BORROWER, DEADLINE, LOAN, Workers, World, payment};

const ALL: &str = "hpts:payments:write hpts:loans:write hpts:disbursements:write hpts:ledger:read hpts:balances:read \
    hpts:reconciliation:read hpts:reconciliation:write";

/// Two payments of 88849 and 500 cents, and a disbursement of 7000 that has left the bank.
struct Ledger {
    world: World,
    token: String,
    settled: String,
}

async fn ledger() -> Ledger {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    assert_eq!(world.open_loan(&token, "loan:books").await.status, 201);
    assert_eq!(world.post("/v1/payments", &token, "paid:0001", &payment()).await.status, 201);
    let mut second = payment();
    second["amount_minor"] = json!("500");
    assert_eq!(world.post("/v1/payments", &token, "paid:0002", &second).await.status, 201);
    let lent = json!({"loan_id": LOAN, "borrower_id": BORROWER, "amount_minor": "7000", "currency": "USD",
        "effective_at": "2026-05-01", "method": "wire"});
    let lent = world.post("/v1/disbursements", &token, "lent:0001", &lent).await.json();
    let path = format!("/v1/disbursements/{}/settlement", lent["disbursement_event_id"].as_str().unwrap());
    let sent = world.post(&path, &token, "sent:0001", &json!({"effective_at": "2026-05-01"})).await;
    assert_eq!(sent.status, 201, "{sent:?}");
    let settled = sent.json()["disbursement_settled_event_id"].as_str().unwrap().to_owned();
    Ledger { world, token, settled }
}

const HEADER: &str = "booking_date,amount_minor,reference,description\n";

fn request(token: &str, key: &str, query: &str, csv: &str) -> Request<Body> {
    Request::post(format!("/v1/bank-statements?{query}"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "text/csv; charset=utf-8")
        .header("idempotency-key", key)
        .body(Body::from(csv.to_owned()))
        .unwrap()
}

/// What the query says of `OPERATING-1` on a day.
fn of_day(day: &str, opening: i64, closing: i64) -> String {
    format!(
        "bank_account_ref=OPERATING-1&statement_date={day}&currency=USD&opening_balance_minor={opening}\
         &closing_balance_minor={closing}"
    )
}

impl Ledger {
    async fn send(&self, key: &str, query: &str, csv: &str) -> Answer {
        self.world.call(request(&self.token, key, query, csv)).await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.world.get(path, &self.token).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    async fn bank(&self) -> Value {
        self.get("/v1/reconciliation/status").await["bank_reconciliation"].clone()
    }

    /// Waits until what was accepted is posted.
    async fn settle(&self) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while self.get("/v1/reconciliation/conservation").await["in_flight"] != 0 {
            assert!(tokio::time::Instant::now() < deadline, "what was accepted is not posted");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn account(&self, code: &str) -> Value {
        self.get(&format!("/v1/accounts/{code}/balance?currency=USD")).await["normal_balance_minor"].clone()
    }

    async fn lines(&self, statement: &Answer) -> Vec<Value> {
        let id = statement.json()["statement_id"].as_str().unwrap().to_owned();
        self.get(&format!("/v1/bank-statements/{id}/lines")).await["items"].as_array().unwrap().clone()
    }

    async fn resolve(&self, statement: &Answer, line: i64, key: &str, body: &Value) -> Answer {
        let id = statement.json()["statement_id"].as_str().unwrap().to_owned();
        let path = format!("/v1/bank-statements/{id}/lines/{line}/resolution");
        self.world.post(&path, &self.token, key, body).await
    }
}

#[tokio::test]
async fn lines_settle_what_they_name_and_the_account_reconciles() {
    let ledger = ledger().await;
    assert_eq!(ledger.bank().await, json!([]));
    let csv = format!(
        "{HEADER}2026-05-01,88849,paid:0001,ACH credit\n2026-05-01,-7000,{},wire\n2026-05-01,-1500,,wire fee\n",
        ledger.settled
    );
    // The account held 100 when its statements began.
    let sent = ledger.send("stmt:0001", &of_day("2026-05-01", 100, 80_449), &csv).await;
    assert_eq!(sent.status, 202, "{sent:?}");
    let answer = sent.json();
    assert_eq!([&answer["lines"], &answer["cleared"], &answer["matched"], &answer["open"]], [3, 1, 1, 1]);
    let id = answer["statement_id"].as_str().unwrap();
    assert_eq!(sent.header("location"), Some(format!("/v1/bank-statements/{id}").as_str()));
    ledger.settle().await;
    let lines = ledger.lines(&sent).await;
    let states: Vec<_> = lines.iter().map(|line| line["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["cleared", "matched", "open"], "{lines:#?}");
    assert_eq!((&lines[2]["open_reason"], &lines[2]["amount_minor"]), (&json!("no_reference"), &json!("-1500")));
    assert_eq!(lines[1]["matched_event_id"], ledger.settled);

    // Its entry is a journal entry like any other, on the day of the bank.
    let settled = lines[0]["bank_settled_event_id"].as_str().unwrap();
    let event = ledger.get(&format!("/v1/events/{settled}")).await;
    assert_eq!((&event["status"], &event["batch_id"]), (&json!("posted"), &answer["statement_id"]), "{event}");
    // Who brings statements follows what they post, and sees nothing else of the uploads.
    let writer = ledger.world.token("demo", "hpts:reconciliation:write").await;
    let seen = async |path: String| ledger.world.get(&path, &writer).await.status;
    assert_eq!((seen(format!("/v1/events/{settled}")).await, seen(format!("/v1/batches/{id}")).await), (200, 403));
    let entry = ledger.get(&format!("/v1/journal-entries/{}", event["journal_entry_id"].as_str().unwrap())).await;
    assert_eq!((&entry["event_type"], &entry["effective_at"]), (&json!("manual_adjustment"), &json!("2026-05-01")));
    let told: Vec<_> =
        entry["lines"].as_array().unwrap().iter().map(|line| (&line["account_code"], &line["direction"])).collect();
    assert_eq!(told, [(&json!("1000"), &json!("DR")), (&json!("1010"), &json!("CR"))], "{entry}");

    // What is open is the difference.
    let bank = ledger.bank().await;
    let expected = json!([{"bank_account_ref": "OPERATING-1", "status": "unreconciled", "difference_minor": "-1500",
        "statement_date": "2026-05-01", "closing_balance_minor": "80449", "ledger_cash_minor": "81949",
        "open_line_count": 1, "open_lines_minor": "-1500"}]);
    assert_eq!(bank, expected);
    let open = ledger.get("/v1/bank-statements/open-lines").await;
    assert_eq!(open["items"].as_array().unwrap().len(), 1, "{open}");
    let fee = json!({"account_code": "5200", "reason": "the bank's fee"});
    let resolved = ledger.resolve(&sent, 3, "line:0001", &fee).await;
    assert_eq!((resolved.status, resolved.json()["status"].as_str()), (201, Some("posted")), "{resolved:?}");
    ledger.settle().await;
    assert_eq!(
        (&ledger.bank().await[0]["status"], &ledger.bank().await[0]["difference_minor"]),
        (&json!("reconciled"), &json!("0"))
    );
    assert_eq!(ledger.get("/v1/bank-statements/open-lines").await["items"], json!([]));
    let line = &ledger.lines(&sent).await[2];
    assert_eq!((&line["status"], &line["resolution"]["resolved_by"]), (&json!("posted"), &json!("demo")), "{line}");

    // 100 at first, 88849 in, 7000 and 1500 out; one payment still waits for the bank.
    let accounts = [ledger.account("1000").await, ledger.account("1010").await, ledger.account("3000").await];
    assert_eq!(accounts, ["80449", "500", "1010600"].map(Value::from));
    assert_eq!(ledger.world.store.verify().await.unwrap().problems, []);
    let listed = ledger.get("/v1/bank-statements?bank_account_ref=OPERATING-1&from_date=2026-05-01").await;
    assert_eq!(listed["items"][0], ledger.get(&format!("/v1/bank-statements/{id}")).await);
    assert_eq!((&listed["items"][0]["line_count"], &listed["items"][0]["open_line_count"]), (&json!(3), &json!(0)));
}

/// Two credits of one amount, of which the bank explains one.
#[tokio::test]
async fn cash_that_a_line_has_booked_is_no_other_lines() {
    let ledger = ledger().await;
    let csv = format!("{HEADER}2026-05-01,500,paid:0002,\n");
    let first = ledger.send("stmt:0001", &of_day("2026-05-01", 0, 500), &csv).await;
    ledger.settle().await;
    let settled = ledger.lines(&first).await[0]["bank_settled_event_id"].clone();
    let csv = format!("{HEADER}2026-05-02,500,,\n");
    let second = ledger.send("stmt:0002", &of_day("2026-05-02", 500, 1_000), &csv).await;
    assert_eq!(second.status, 202, "{second:?}");
    for (key, reference) in [("line:0001", &settled), ("line:0002", &first.json()["statement_id"])] {
        let named = ledger.resolve(&second, 1, key, &json!({"reference": reference, "reason": "as before"})).await;
        assert_eq!(named.status, 422, "{named:?}");
    }
    let bank = &ledger.bank().await[0];
    assert_eq!((&bank["status"], &bank["difference_minor"]), (&json!("unreconciled"), &json!("500")), "{bank}");
}

#[tokio::test]
async fn a_statement_is_taken_once() {
    let ledger = ledger().await;
    let csv = format!("{HEADER}2026-05-01,500,paid:0002,\n");
    let query = of_day("2026-05-01", 0, 500);
    let first = ledger.send("stmt:0001", &query, &csv).await;
    ledger.settle().await;
    for key in ["stmt:0001", "stmt:0002"] {
        let again = ledger.send(key, &query, &csv).await;
        assert_eq!((again.status, &again.bytes), (200, &first.bytes), "{key}: {again:?}");
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        assert_eq!(again.header("location"), first.header("location"));
    }
    let other = format!("{csv}2026-05-01,1,,\n");
    let conflict = ledger.send("stmt:0003", &of_day("2026-05-01", 0, 501), &other).await;
    assert_eq!(conflict.problem(), (409, "duplicate_file".to_owned()), "{conflict:?}");
    assert_eq!(conflict.json()["batch_id"], first.json()["statement_id"]);
    let mismatch =
        ledger.send("stmt:0001", &of_day("2026-05-02", 500, 501), &format!("{HEADER}2026-05-02,1,,\n")).await;
    assert_eq!(mismatch.problem(), (422, "idempotency_mismatch".to_owned()), "{mismatch:?}");
    let earlier = ledger.send("stmt:0004", &of_day("2026-04-30", 0, 0), HEADER).await;
    assert_eq!(earlier.json()["errors"][0]["code"], "before_first_statement", "{earlier:?}");
    let euros = of_day("2026-05-02", 500, 500).replace("USD", "EUR");
    let euros = ledger.send("stmt:0005", &euros, HEADER).await;
    assert_eq!(euros.json()["errors"][0]["code"], "currency_mismatch", "{euros:?}");
    // A day without movements, of an account that goes on.
    assert_eq!(ledger.send("stmt:0006", &of_day("2026-05-02", 500, 500), HEADER).await.status, 202);
    assert_eq!(ledger.bank().await[0]["status"], "reconciled", "{}", ledger.bank().await);
    assert_eq!(ledger.account("1000").await, "-6500", "500 in, and 7000 out that no statement has shown");
}

#[tokio::test]
async fn an_event_is_one_lines_and_a_person_may_name_it_later() {
    let ledger = ledger().await;
    let csv = format!(
        "{HEADER}2026-05-01,500,paid:0002,\n2026-05-01,500,paid:0002,again\n2026-05-01,88849,paid:9999,unknown\n\
         2026-05-01,3,paid:0001,another amount\n"
    );
    let sent = ledger.send("stmt:0001", &of_day("2026-05-01", 0, 89_852), &csv).await;
    ledger.settle().await;
    let reasons = |lines: &[Value]| -> Vec<Value> { lines.iter().map(|line| line["open_reason"].clone()).collect() };
    let expected = json!([null, "already_matched", "not_found", "amount_differs"]);
    let lines = ledger.lines(&sent).await;
    let cleared = lines.iter().position(|line| line["status"] == "cleared").unwrap();
    assert!(cleared < 2, "{lines:#?}");
    let mut told = reasons(&lines);
    told.swap(0, cleared);
    assert_eq!(json!(told), expected);

    let named = json!({"reference": "paid:0001", "reason": "the bank wrote another number"});
    let resolved = ledger.resolve(&sent, 3, "line:0003", &named).await;
    assert_eq!((resolved.status, resolved.json()["status"].as_str()), (201, Some("cleared")), "{resolved:?}");
    let again = ledger.resolve(&sent, 3, "line:0003", &named).await;
    assert_eq!((again.status, &again.bytes), (200, &resolved.bytes), "{again:?}");
    let other = json!({"reference": "paid:0001", "reason": "another reason"});
    let mismatch = ledger.resolve(&sent, 3, "line:0003", &other).await;
    assert_eq!(mismatch.problem(), (422, "idempotency_mismatch".to_owned()), "{mismatch:?}");
    let closed = ledger.resolve(&sent, 3, "line:0004", &other).await;
    assert_eq!(closed.problem(), (409, "already_resolved".to_owned()), "{closed:?}");
    for (body, code) in [
        (json!({"reference": "paid:0001", "reason": "x"}), "amount_differs"),
        (json!({"reference": "nobody:0001", "reason": "x"}), "not_found"),
        (json!({"reason": "x"}), "one_of"),
        (json!({"reference": "paid:0001", "account_code": "5200", "reason": "x"}), "one_of"),
        (json!({"account_code": "1100", "reason": "x"}), "invalid"),
        (json!({"account_code": "1000", "reason": "x"}), "invalid"),
        (json!({"account_code": "2200", "reason": "x"}), "invalid"),
    ] {
        let refused = ledger.resolve(&sent, 4, "line:0005", &body).await;
        assert_eq!(refused.problem().0, 422, "{body}: {refused:?}");
        assert_eq!(refused.json()["errors"][0]["code"], code, "{body}");
    }
    assert_eq!(ledger.resolve(&sent, 5, "line:0006", &named).await.status, 404);
    ledger.settle().await;
    assert_eq!(ledger.account("1010").await, "0");
    assert_eq!(ledger.world.store.verify().await.unwrap().problems, []);
}

#[tokio::test]
async fn an_upload_is_settled_by_one_line() {
    let ledger = ledger().await;
    let row = |key: &str| {
        let mut row = payment();
        (row["idempotency_key"], row["amount_minor"]) = (json!(key), json!("250"));
        row.to_string()
    };
    let upload = Request::post("/v1/payments/batch")
        .header("authorization", format!("Bearer {}", ledger.token))
        .header("content-type", "application/x-ndjson")
        .header("idempotency-key", "lockbox:2026-05-01")
        .body(Body::from(["row:000001", "row:000002", "row:000003"].map(row).join("\n")));
    let batch = ledger.world.call(upload.unwrap()).await.json()["batch_id"].as_str().unwrap().to_owned();
    ledger.settle().await;
    let csv = format!("{HEADER}2026-05-01,750,{batch},lockbox deposit\n2026-05-01,250,row:000001,\n");
    let sent = ledger.send("stmt:0001", &of_day("2026-05-01", 0, 1000), &csv).await;
    let answer = sent.json();
    assert_eq!((&answer["cleared"], &answer["open"]), (&json!(1), &json!(1)), "{answer}");
    ledger.settle().await;
    let named = json!({"reference": "row:000002", "reason": "a row of what is cleared"});
    let refused = ledger.resolve(&sent, 2, "line:0001", &named).await;
    assert_eq!(refused.json()["errors"][0]["code"], "already_matched", "{refused:?}");
    let other = of_day("2026-05-01", 0, 750).replace("OPERATING-1", "OPERATING-2");
    let sent = ledger.send("stmt:0002", &other, &format!("{HEADER}2026-05-01,750,lockbox:2026-05-01,\n")).await;
    assert_eq!(ledger.lines(&sent).await[0]["open_reason"], "already_matched");
}

/// A caller's payment has whatever key it likes: what books a line has a key of its own.
#[tokio::test]
async fn no_callers_key_stands_in_a_lines_way() {
    let ledger = ledger().await;
    let loan = BankSettlement::loan_of(TenantId(Uuid::from_u128(1)), "OPERATING-1").0;
    let take = async |key: String| {
        let paid = ledger.world.post("/v1/payments", &ledger.token, &key, &payment()).await;
        assert_eq!(paid.status, 201, "{paid:?}");
    };
    take(format!("bank:{loan}:opening")).await;
    let csv = format!("{HEADER}2026-05-01,-1500,,wire fee\n");
    let sent = ledger.send("stmt:0001", &of_day("2026-05-01", 2_000, 500), &csv).await;
    assert_eq!(sent.status, 202, "{sent:?}");
    take(format!("bank:{}:1", sent.json()["statement_id"].as_str().unwrap())).await;
    let fee = json!({"account_code": "5200", "reason": "the bank's fee"});
    let resolved = ledger.resolve(&sent, 1, "line:0001", &fee).await;
    assert_eq!((resolved.status, resolved.json()["status"].as_str()), (201, Some("posted")), "{resolved:?}");
    ledger.settle().await;
    assert_eq!(ledger.bank().await[0]["status"], "reconciled");
}

#[tokio::test]
async fn another_tenant_sees_nothing() {
    let ledger = ledger().await;
    let csv = format!("{HEADER}2026-05-01,500,paid:0002,\n2026-05-01,5,,\n");
    let sent = ledger.send("stmt:0001", &of_day("2026-05-01", 0, 505), &csv).await;
    ledger.settle().await;
    ledger.world.tenant(2, "other").await;
    let theirs = ledger.world.token("other", ALL).await;
    let id = sent.json()["statement_id"].as_str().unwrap().to_owned();
    for path in [format!("/v1/bank-statements/{id}"), format!("/v1/bank-statements/{id}/lines")] {
        assert_eq!(ledger.world.get(&path, &theirs).await.problem(), (404, "not_found".to_owned()), "{path}");
    }
    for path in ["/v1/bank-statements", "/v1/bank-statements/open-lines"] {
        assert_eq!(ledger.world.get(path, &theirs).await.json()["items"], json!([]), "{path}");
    }
    let path = format!("/v1/bank-statements/{id}/lines/2/resolution");
    let body = json!({"account_code": "5200", "reason": "x"});
    assert_eq!(ledger.world.post(&path, &theirs, "line:0001", &body).await.status, 404);
    // The same reference in their books is nobody's, and the account of the same name is their own.
    let answer = ledger.world.call(request(&theirs, "stmt:0001", &of_day("2026-05-01", 0, 505), &csv)).await;
    assert_eq!((answer.status, &answer.json()["open"]), (202, &json!(2)), "{answer:?}");
}

/// Law: whatever the order of a statement's lines, and however often it is sent, the books are the same.
#[test]
fn any_order_of_lines_ends_with_the_same_books() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let order = Just((0..6_usize).collect::<Vec<_>>()).prop_shuffle();
    let mut runner = TestRunner::new(Config { cases: 8, failure_persistence: None, ..Config::default() });
    let first = std::cell::RefCell::new(None);
    runner
        .run(&order, |order| {
            let books = runtime.block_on(books_after(&order));
            let mut first = first.borrow_mut();
            let expected = first.get_or_insert_with(|| books.clone());
            prop_assert_eq!(&*expected, &books);
            Ok(())
        })
        .unwrap();
}

/// The trial balance, the bank account and its open lines after a statement in an order, sent twice.
async fn books_after(order: &[usize]) -> (Value, Value, Vec<String>) {
    let ledger = ledger().await;
    let lines = [
        "2026-05-01,88849,paid:0001,".to_owned(),
        format!("2026-05-01,-7000,{},", ledger.settled),
        "2026-04-30,500,paid:0002,".to_owned(),
        "2026-05-01,500,paid:0002,again".to_owned(),
        "2026-04-29,-3,,fee".to_owned(),
        "2026-05-01,-3,,fee".to_owned(),
    ];
    let csv = order.iter().map(|at| lines[*at].as_str()).collect::<Vec<_>>().join("\n");
    let query = of_day("2026-05-01", 0, 82_843);
    for key in ["stmt:0001", "stmt:0001", "stmt:0002"] {
        let sent = ledger.send(key, &query, &format!("{HEADER}{csv}")).await;
        assert!([200, 202].contains(&sent.status), "{sent:?}");
    }
    ledger.settle().await;
    let open = ledger.get("/v1/bank-statements/open-lines").await;
    let mut open: Vec<String> = open["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| format!("{} {} {}", line["booking_date"], line["amount_minor"], line["open_reason"]))
        .collect();
    open.sort();
    assert_eq!(ledger.world.store.verify().await.unwrap().problems, []);
    let balance = ledger.get("/v1/trial-balance?currency=USD&as_of_date=2026-04-30").await;
    let later = ledger.get("/v1/trial-balance?currency=USD").await;
    (json!([balance, later]), ledger.bank().await, open)
}
