//! What a caller sees of a loan's past: lists, balances as known, statements, payoff quotes, previews, explanations.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::world::{Answer, BORROWER, LOAN, Workers, World, payment, post};

const ALL: &str = "hpts:payments:write hpts:disbursements:write hpts:loans:write hpts:balances:read hpts:ledger:read";

const BUCKETS: [(&str, &str); 4] = [
    ("fees_minor", "fees_receivable_minor"),
    ("interest_minor", "interest_receivable_minor"),
    ("principal_minor", "principal_outstanding_minor"),
    ("suspense_minor", "suspense_minor"),
];

fn number(value: &Value) -> i64 {
    value.as_str().unwrap_or_else(|| panic!("no amount: {value}")).parse().unwrap()
}

async fn pay(world: &World, token: &str, key: &str, changes: &[(&str, &str)]) -> Answer {
    let mut body = payment();
    for (name, value) in changes {
        body[*name] = json!(value);
    }
    world.post("/v1/payments", token, key, &body).await
}

/// A loan that was paid, paid late for an earlier day, and whose first payment was returned.
async fn lived(world: &World, token: &str) -> [Value; 3] {
    world.open_loan(token, "loan:11111111").await;
    let first = pay(world, token, "payment:past:1", &[]).await.json();
    world.clock.advance(std::time::Duration::from_mins(1));
    let reference = [("effective_at", "2026-04-01"), ("amount_minor", "4000"), ("external_ref", "=SUM(A1:A9)")];
    let late = pay(world, token, "payment:past:2", &reference).await.json();
    world.clock.advance(std::time::Duration::from_mins(1));
    let path = format!("/v1/payments/{}/return", first["payment_event_id"].as_str().unwrap());
    let body = json!({"return_code": "R01", "effective_at": "2026-05-02", "fee_minor": "2500"});
    let returned = world.post(&path, token, "return:past:1", &body).await;
    assert_eq!(returned.status, 201, "{returned:?}");
    [first, late, returned.json()]
}

#[tokio::test]
async fn a_balance_is_told_as_it_was_known() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    let [first, late, _] = lived(&world, &token).await;
    let balance = async |query: &str| {
        let answer = world.get(&format!("/v1/loans/{LOAN}/balance?{query}"), &token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let at = |answer: &Value| answer["posted_at"].as_str().unwrap().to_owned();
    let known = balance(&format!("as_of_date=2026-04-30&known_at={}", at(&first))).await;
    assert_eq!((&known["total_exposure_minor"], &known["known_at"]), (&json!("1010500"), &first["posted_at"]));
    let known = balance(&format!("as_of_date=2026-04-30&known_at={}", at(&late))).await;
    assert_eq!(known["total_exposure_minor"], "1006500", "a payment of April was known by then");
    let now = balance("as_of_date=2026-04-30").await;
    assert!(now.get("known_at").is_none());
    assert_eq!(now["total_exposure_minor"], "1006500");
    let then = balance(&format!("known_at={}", at(&first))).await;
    assert_eq!((&then["as_of_date"], &then["total_exposure_minor"]), (&json!("2026-05-02"), &json!("921651")));
    assert_eq!(balance("known_at=2020-01-01T00:00:00Z").await["total_exposure_minor"], "0");
}

#[tokio::test]
async fn loans_are_found_by_number_and_borrower() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    let open = async |number: u32, borrower: &str| {
        let id = uuid::Uuid::from_u128(u128::from(number) + 100);
        let body = json!({"loan_id": id, "borrower_id": borrower, "currency": "USD", "opened_on": "2026-01-01",
            "loan_number": format!("000{number}")});
        assert_eq!(world.post("/v1/loans", &token, &format!("loan:number:{number}"), &body).await.status, 201);
        id.to_string()
    };
    let other = "33333333-3333-3333-3333-333333333333";
    let mut ids = Vec::new();
    for number in 1..=5 {
        ids.push(open(number, if number == 5 { other } else { BORROWER }).await);
    }
    let list = async |query: &str| {
        let answer = world.get(&format!("/v1/loans?{query}"), &token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let found = list("loan_number=3").await;
    assert_eq!(found["items"][0]["loan_id"], ids[2]);
    assert_eq!(found["items"][0], world.get(&format!("/v1/loans/{}", ids[2]), &token).await.json());
    assert_eq!(list("loan_number=99").await, json!({"items": []}));
    assert_eq!(list(&format!("borrower_id={other}")).await["items"][0]["loan_id"], ids[4]);
    let mut paged = Vec::new();
    let mut query = format!("borrower_id={BORROWER}&page_size=3");
    let first = list(&query).await;
    assert_eq!(first, list(&query).await);
    paged.extend(first["items"].as_array().unwrap().clone());
    // A loan that is added meanwhile changes no page that was there.
    open(6, BORROWER).await;
    query = format!("{query}&page_token={}", first["next_page_token"].as_str().unwrap());
    let second = list(&query).await;
    paged.extend(second["items"].as_array().unwrap().clone());
    let shown: Vec<&str> = paged.iter().map(|loan| loan["loan_id"].as_str().unwrap()).collect();
    assert!(ids[..4].iter().all(|id| shown.iter().filter(|shown| *shown == id).count() == 1), "{shown:?}");
    assert_eq!(list("page_size=500").await["items"].as_array().unwrap().len(), 6);
    let elsewhere = format!("/v1/loans?borrower_id={other}&page_token={}", first["next_page_token"].as_str().unwrap());
    assert_eq!(world.get(&elsewhere, &token).await.problem(), (400, "invalid_parameter".to_owned()));
    world.tenant(2, "thief").await;
    let thief = world.token("thief", ALL).await;
    for query in ["loan_number=3".to_owned(), format!("borrower_id={BORROWER}"), String::new()] {
        let answer = world.get(&format!("/v1/loans?{query}"), &thief).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"items": []})));
    }
}

/// Opening balances plus rows are closing balances, in every bucket, row by row.
fn adds_up(opening: &Value, rows: &[Value], closing: &Value) {
    for (moved, balance) in BUCKETS {
        let mut sum = number(&opening[balance]);
        for row in rows {
            sum += number(&row["moved"][moved]);
            assert_eq!(number(&row["balances"][balance]), sum, "{balance} after {row}");
        }
        assert_eq!(sum, number(&closing[balance]), "{balance}");
    }
}

#[tokio::test]
async fn a_statement_adds_up_and_links_its_corrections() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    let [first, late, returned] = lived(&world, &token).await;
    let path = format!("/v1/loans/{LOAN}/statement");
    let whole = world.get(&path, &token).await.json();
    let rows = whole["rows"].as_array().unwrap();
    adds_up(&whole["opening"], rows, &whole["closing"]);
    let types: Vec<&str> = rows.iter().map(|row| row["event_type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        [
            "manual_adjustment",
            "payment_received",
            "payment_received",
            "payment_allocated",
            "payment_returned",
            "fee_assessed"
        ]
    );
    assert_eq!((&whole["from_date"], &whole["to_date"]), (&json!("2026-01-01"), &json!("2026-05-02")));
    assert_eq!(whole["loan_version"], 6);
    let balance = world.get(&format!("/v1/loans/{LOAN}/balance"), &token).await.json();
    assert_eq!(whole["closing"]["total_exposure_minor"], balance["total_exposure_minor"]);
    let (paid, back) = (&rows[2], &rows[4]);
    assert_eq!(paid["journal_entry_id"], first["journal_entry_id"]);
    for (name, value) in [
        ("status", json!("returned")),
        ("corrected_by_entry_id", returned["journal_entry_id"].clone()),
        ("source_method", json!("ach")),
        ("idempotency_key", json!("payment:past:1")),
        ("actor", json!("demo")),
        ("amount_minor", json!("88849")),
        ("description", json!("Payment received by ach")),
    ] {
        assert_eq!(paid[name], value, "{name} of {paid}");
    }
    assert_eq!(back["corrects_entry_id"], first["journal_entry_id"]);
    assert_eq!(back["effective_at"], "2026-05-01", "taken back on its own day");

    let may = world.get(&format!("{path}?from_date=2026-05-01&to_date=2026-05-31"), &token).await.json();
    adds_up(&may["opening"], may["rows"].as_array().unwrap(), &may["closing"]);
    assert_eq!(may["opening"]["total_exposure_minor"], "1006500");
    let payments = |totals: &Value| {
        ["received_minor", "returned_minor", "fees_minor", "interest_minor", "principal_minor", "suspense_minor"]
            .map(|name| number(&totals["payments"][name]))
    };
    let split = |answer: &Value| {
        ["fees_minor", "interest_minor", "principal_minor", "suspense_minor"]
            .map(|name| number(&answer["allocation"][name]))
    };
    assert_eq!(payments(&may["period"]), [88849, 88849, 0, 0, 0, 0]);
    let [fees, interest, principal, suspense] = split(&late);
    assert_eq!(payments(&may["year_to_date"]), [92849, 88849, fees, interest, principal, suspense]);
    assert_eq!(may["year_to_date"]["from_date"], "2026-01-01");
    let by_type = may["period"]["by_event_type"].as_array().unwrap();
    assert!(by_type.iter().any(|of| of["event_type"] == "fee_assessed" && of["fees_minor"] == "2500"), "{by_type:?}");
}

#[tokio::test]
async fn pages_of_a_statement_agree_whatever_is_posted_meanwhile() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    lived(&world, &token).await;
    let path = format!("/v1/loans/{LOAN}/statement?page_size=2");
    let mut page = world.get(&path, &token).await.json();
    let (opening, closing) = (page["opening"].clone(), page["closing"].clone());
    let mut rows = page["rows"].as_array().unwrap().clone();
    let mut turn = 0;
    while let Some(next) = page["next_page_token"].as_str().map(str::to_owned) {
        turn += 1;
        let paid = pay(&world, &token, &format!("payment:meanwhile:{turn}"), &[("effective_at", "2026-02-01")]).await;
        assert_eq!(paid.status, 201, "{paid:?}");
        page = world.get(&format!("{path}&page_token={next}"), &token).await.json();
        assert_eq!((&page["opening"], &page["closing"]), (&opening, &closing), "{page}");
        rows.extend(page["rows"].as_array().unwrap().clone());
    }
    assert_eq!((turn, rows.len()), (2, 6));
    adds_up(&opening, &rows, &closing);
    assert_eq!(world.get(&path, &token).await.json()["loan_version"], 9, "a new statement knows them");
}

#[tokio::test]
async fn a_statement_is_streamed_as_csv() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    lived(&world, &token).await;
    let request = Request::get(format!("/v1/loans/{LOAN}/statement"))
        .header("authorization", format!("Bearer {token}"))
        .header("accept", "text/csv");
    let answer = world.call(request.body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/csv; charset=utf-8")));
    let mut reader = csv::Reader::from_reader(answer.bytes.as_slice());
    let header = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let cell =
        |row: &csv::StringRecord, name: &str| row[header.iter().position(|column| column == name).unwrap()].to_owned();
    let types: Vec<String> = rows.iter().map(|row| cell(row, "event_type")).collect();
    assert_eq!(types[0], "opening_balance");
    assert_eq!(types[7], "closing_balance");
    assert_eq!(types.len(), 8);
    assert_eq!(cell(&rows[2], "external_ref"), "'=SUM(A1:A9)", "no spreadsheet takes it for a formula");
    let json = world.get(&format!("/v1/loans/{LOAN}/statement"), &token).await.json();
    let mut principal = 0;
    for (row, view) in rows[1..7].iter().zip(json["rows"].as_array().unwrap()) {
        principal += cell(row, "principal_minor").parse::<i64>().unwrap();
        assert_eq!(cell(row, "principal_outstanding_minor"), principal.to_string());
        assert_eq!(cell(row, "journal_entry_id"), view["journal_entry_id"]);
    }
    assert_eq!(cell(&rows[7], "principal_outstanding_minor"), principal.to_string());
}

#[tokio::test]
async fn a_payoff_quote_tells_what_closes_the_loan() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    lived(&world, &token).await;
    let path = format!("/v1/loans/{LOAN}/payoff");
    let quote = world.get(&path, &token).await.json();
    let balance = world.get(&format!("/v1/loans/{LOAN}/balance"), &token).await.json();
    assert_eq!(quote["payoff_minor"], balance["total_exposure_minor"]);
    assert_eq!((&quote["payoff_date"], &quote["loan_version"]), (&json!("2026-05-02"), &json!(6)));
    assert_eq!(quote["days"].as_array().unwrap().len(), 10);
    assert_eq!((&quote["days"][0]["date"], &quote["good_through"]), (&json!("2026-05-02"), &json!("2026-05-11")));
    let codes: Vec<&str> =
        quote["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"payments_may_return") && codes.contains(&"recent_returns"), "{codes:?}");
    let april = world.get(&format!("{path}?date=2026-04-15&days=1"), &token).await.json();
    assert_eq!((&april["payoff_minor"], &april["good_through"]), (&json!("1006500"), &json!("2026-04-15")));
    let closing = [("amount_minor", quote["payoff_minor"].as_str().unwrap()), ("effective_at", "2026-05-02")];
    assert_eq!(pay(&world, &token, "payment:closing:1", &closing).await.status, 201);
    let closed = world.get(&format!("{path}?quoted_version=5"), &token).await.json();
    assert_eq!((&closed["payoff_minor"], &closed["stale"]), (&json!("0"), &json!(true)), "{closed}");
    let fresh = world.get(&format!("{path}?quoted_version={}", closed["loan_version"]), &token).await.json();
    assert_eq!((&fresh["stale"], quote.get("stale")), (&json!(false), None));
    let balance = world.get(&format!("/v1/loans/{LOAN}/balance"), &token).await.json();
    assert_eq!((&balance["total_exposure_minor"], &balance["suspense_minor"]), (&json!("0"), &json!("0")));
}

#[tokio::test]
async fn a_payoff_of_what_was_charged_off_is_what_is_still_owed() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", &format!("{ALL} hpts:adjustments:write")).await;
    // Fees 5.00, interest 100.00, principal 10,000.00 of 1 January.
    assert_eq!(world.open_loan(&token, "loan:11111111").await.status, 201);
    let off = json!({"loan_id": LOAN, "effective_at": "2026-04-01"});
    assert_eq!(world.post("/v1/chargeoffs", &token, "charge:off:1", &off).await.status, 201);
    let recovered = json!({"loan_id": LOAN, "amount_minor": "20500", "effective_at": "2026-04-10"});
    assert_eq!(world.post("/v1/recoveries", &token, "recovered:1", &recovered).await.status, 201);

    let quote = world.get(&format!("/v1/loans/{LOAN}/payoff?date=2026-05-01"), &token).await.json();

    // 205.00 have paid the fees, the interest and 100.00 of principal.
    let parts = ["fees_receivable_minor", "interest_receivable_minor", "principal_outstanding_minor", "payoff_minor"];
    assert_eq!(parts.map(|part| quote[part].as_str().unwrap()), ["0", "0", "990000", "990000"], "{quote}");
    assert_eq!(
        (quote["warnings"].as_array().unwrap().len(), &quote["warnings"][0]["code"]),
        (1, &json!("charged_off"))
    );
    let closing = json!({"loan_id": LOAN, "amount_minor": "990000", "effective_at": "2026-05-01"});
    assert_eq!(world.post("/v1/recoveries", &token, "recovered:2", &closing).await.status, 201);
    assert_eq!(world.get(&format!("/v1/loans/{LOAN}/payoff"), &token).await.json()["payoff_minor"], "0");
    let march = world.get(&format!("/v1/loans/{LOAN}/payoff?date=2026-03-31"), &token).await.json();
    assert_eq!(march["payoff_minor"], "1010500", "as it stood then: {march}");
}

async fn preview(world: &World, token: &str, body: &Value) -> Answer {
    let mut request = post("/v1/payments/preview", token, "x", body);
    request.headers_mut().remove("idempotency-key");
    world.call(request).await
}

#[tokio::test]
async fn a_preview_is_what_the_payment_then_does() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    world.open_loan(&token, "loan:11111111").await;
    let before = preview(&world, &token, &payment()).await;
    assert_eq!(before.status, 200, "{before:?}");
    let told = before.json();
    let balance = async || world.get(&format!("/v1/loans/{LOAN}/balance"), &token).await.json();
    assert_eq!(balance().await["total_exposure_minor"], "1010500", "nothing was posted");
    let paid = world.post("/v1/payments", &token, "payment:foreseen:1", &payment()).await.json();
    assert_eq!(told["allocation"], paid["allocation"]);
    let entry = world.get(&format!("/v1/journal-entries/{}", paid["journal_entry_id"].as_str().unwrap()), &token).await;
    assert_eq!(told["lines"], entry.json()["lines"]);
    let after = balance().await;
    for (_, name) in BUCKETS {
        assert_eq!(told["balances_after"][name], after[name], "{name}");
    }
    assert_eq!(
        (&told["outcome"], &told["queued_events"], &told["on_hold"]),
        (&json!("posted"), &json!(0), &json!(false))
    );
    let mut other = payment();
    other["borrower_id"] = json!("33333333-3333-3333-3333-333333333333");
    let refused = preview(&world, &token, &other).await.json();
    assert_eq!((&refused["outcome"], &refused["rejection_code"]), (&json!("rejected"), &json!("borrower_mismatch")));
    assert_eq!((&refused["lines"], refused.get("allocation")), (&json!([]), None));
    let listed = world.get(&format!("/v1/payments?loan_id={LOAN}"), &token).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "previews leave no payment");
}

#[tokio::test]
async fn a_preview_counts_what_waits() {
    let world = World::new(Workers::None).await;
    let token = world.token("demo", ALL).await;
    let asynchronous = async |path: &str, key: &str, body: &Value| {
        let mut request = post(path, &token, key, body);
        request.headers_mut().insert("prefer", "respond-async".parse().unwrap());
        assert_eq!(world.call(request).await.status, 202);
    };
    let unknown = preview(&world, &token, &payment()).await.json();
    assert_eq!((&unknown["rejection_code"], &unknown["queued_events"]), (&json!("loan_not_found"), &json!(0)));
    let opening = json!({"loan_id": LOAN, "borrower_id": BORROWER, "currency": "USD", "opened_on": "2026-01-01",
        "opening_balances": {"fees_minor": "500", "interest_minor": "10000", "principal_minor": "1000000"}});
    asynchronous("/v1/loans", "loan:waits:1", &opening).await;
    asynchronous("/v1/payments", "payment:waits:1", &payment()).await;
    let told = preview(&world, &token, &payment()).await.json();
    assert_eq!(
        (&told["outcome"], &told["queued_events"], &told["loan_version"]),
        (&json!("posted"), &json!(2), &json!(0))
    );
    assert_eq!(told["balances_before"]["principal_outstanding_minor"], "921651");
    assert_eq!(told["balances_after"]["principal_outstanding_minor"], "832802");
}

#[tokio::test]
async fn an_allocation_is_explained_to_the_cent() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    let [first, late, returned] = lived(&world, &token).await;
    let explained = async |id: &Value| {
        let answer = world.get(&format!("/v1/payments/{}/allocation", id.as_str().unwrap()), &token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let told = explained(&first["payment_event_id"]).await;
    assert_eq!((&told["allocation"], &told["is_reproduced"]), (&first["allocation"], &json!(true)));
    assert_eq!(told["undone_by"], returned["payment_returned_event_id"]);
    let steps = told["steps"].as_array().unwrap();
    let reasons: Vec<&str> = steps.iter().map(|step| step["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["paid_in_full", "paid_in_full", "money_ran_out"]);
    let paid: i64 = steps.iter().map(|step| number(&step["paid_minor"])).sum();
    assert_eq!(paid, 88849);
    assert_eq!(steps[2]["available_minor"], "78349");

    let restated = &told["restatements"][0];
    assert_eq!(restated["allocation"]["principal_minor"], "82349", "the payment of April pays the fees now");
    // Fees and interest were owed in April; the payment of May that had paid them was divided anew.
    let told = explained(&late["payment_event_id"]).await;
    assert_eq!((&told["is_backdated"], &told["is_reproduced"]), (&json!(true), &json!(true)));
    assert_eq!(told["allocation"], late["allocation"]);
    assert_eq!(told["restatements"], json!([]));
    let rejected = pay(&world, &token, "payment:rejected:1", &[("effective_at", "2025-12-31")]).await;
    let id = rejected.json()["payment_event_id"].as_str().unwrap().to_owned();
    for id in [id, returned["payment_returned_event_id"].as_str().unwrap().to_owned(), uuid::Uuid::new_v4().to_string()]
    {
        let answer = world.get(&format!("/v1/payments/{id}/allocation"), &token).await;
        assert_eq!(answer.problem(), (404, "not_found".to_owned()));
    }
}

#[tokio::test]
async fn another_tenant_sees_no_past() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    let [first, ..] = lived(&world, &token).await;
    world.tenant(2, "thief").await;
    let thief = world.token("thief", ALL).await;
    let id = first["payment_event_id"].as_str().unwrap();
    for path in [
        format!("/v1/loans/{LOAN}/balance?known_at=2026-05-02T12:00:00Z"),
        format!("/v1/loans/{LOAN}/statement"),
        format!("/v1/loans/{LOAN}/payoff"),
        format!("/v1/payments/{id}/allocation"),
    ] {
        assert_eq!(world.get(&path, &thief).await.problem(), (404, "not_found".to_owned()), "{path}");
        assert_eq!(world.get(&path, &token).await.status, 200, "{path}");
    }
    let told = preview(&world, &thief, &payment()).await.json();
    assert_eq!(told["rejection_code"], "loan_not_found");
    let narrow = world.token("demo", "hpts:ledger:read").await;
    for (path, status) in [
        (format!("/v1/loans/{LOAN}/payoff"), 403),
        (format!("/v1/loans/{LOAN}/statement"), 200),
        ("/v1/loans".to_owned(), 200),
        (format!("/v1/payments/{id}/allocation"), 200),
    ] {
        assert_eq!(world.get(&path, &narrow).await.status, status, "{path}");
    }
    assert_eq!(preview(&world, &narrow, &payment()).await.problem(), (403, "insufficient_scope".to_owned()));
}

#[tokio::test]
async fn a_late_payment_answers_what_it_has_restated() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    world.open_loan(&token, "loan:11111111").await;
    let first = pay(&world, &token, "payment:late:1", &[]).await.json();
    assert_eq!(first.get("restated"), None, "it came in order");
    let mut body = payment();
    (body["effective_at"], body["amount_minor"]) = (json!("2026-04-01"), json!("4000"));
    let foreseen = preview(&world, &token, &body).await.json();
    let late = world.post("/v1/payments", &token, "payment:late:2", &body).await;
    let again = world.post("/v1/payments", &token, "payment:late:2", &body).await;
    assert_eq!((late.status, again.status, &again.bytes), (201, 200, &late.bytes), "to the byte");
    let late = late.json();
    let [restated] = late["restated"].as_array().unwrap().as_slice() else { panic!("{late}") };
    let anew = json!({"fees_minor": "0", "interest_minor": "6500", "principal_minor": "82349", "suspense_minor": "0"});
    for (name, value) in [
        ("event_id", &first["payment_event_id"]),
        ("event_type", &json!("payment_received")),
        ("effective_at", &json!("2026-05-01")),
        ("allocation_before", &first["allocation"]),
        ("allocation", &anew),
    ] {
        assert_eq!((&restated[name], &foreseen["restated"][0][name]), (value, value), "{name}");
    }
    let entry = format!("/v1/journal-entries/{}", restated["journal_entry_id"].as_str().unwrap());
    let entry = world.get(&entry, &token).await.json();
    assert_eq!((&entry["event_type"], &entry["effective_at"]), (&json!("payment_allocated"), &json!("2026-05-01")));
    let path = format!("/v1/payments/{}", first["payment_event_id"].as_str().unwrap());
    assert_eq!(world.get(&path, &token).await.json()["current_allocation"], anew);
    let told = world.get(&format!("{path}/allocation"), &token).await.json();
    assert_eq!(told["restatements"][0]["caused_by_event_id"], late["payment_event_id"]);
    assert_eq!(told["restatements"][0]["caused_by_event_type"], "payment_received");
}
