//! What a caller sees of an accrual batch: one event and one entry over many loans.

use serde_json::{Value, json};

use super::world::{Answer, BORROWER, DEADLINE, LOAN, Workers, World, payment};

const ALL: &str = "hpts:payments:write hpts:accruals:write hpts:loans:write hpts:balances:read hpts:ledger:read";
const OTHER_LOAN: &str = "33333333-3333-3333-3333-333333333333";
const PATH: &str = "/v1/accruals/batch";

fn text(answer: &Value, name: &str) -> String {
    answer[name].as_str().unwrap_or_else(|| panic!("no {name}: {answer}")).to_owned()
}

fn accrual(loans: &[(&str, &str, &str)]) -> Value {
    let loan = |(loan, principal, interest): &(&str, &str, &str)| json!({"loan_id": loan, "outstanding_principal_minor": principal, "interest_minor": interest});
    json!({"program_id": "44444444-4444-4444-4444-444444444444", "accrual_date": "2026-05-01",
        "day_count_convention": "ACT_365", "loans": loans.iter().map(loan).collect::<Vec<_>>()})
}

fn both() -> Value {
    accrual(&[(LOAN, "1000000", "252"), (OTHER_LOAN, "500000", "126")])
}

/// Two loans with principal 1000000 and 500000.
async fn two_loans(world: &World, token: &str) {
    world.open_loan(token, "loan:11111111").await;
    let body = json!({"loan_id": OTHER_LOAN, "borrower_id": BORROWER, "currency": "USD", "opened_on": "2026-01-01",
        "opening_balances": {"fees_minor": "0", "interest_minor": "0", "principal_minor": "500000"}});
    assert_eq!(world.post("/v1/loans", token, "loan:33333333", &body).await.status, 201);
}

async fn interest(world: &World, token: &str, loan: &str) -> String {
    let balance = world.get(&format!("/v1/loans/{loan}/balance"), token).await.json();
    text(&balance, "interest_receivable_minor")
}

#[tokio::test]
async fn a_batch_answers_its_sum_and_one_entry_over_its_loans() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    two_loans(&world, &token).await;

    let accrued = world.post(PATH, &token, "accrual:2026-05-01", &both()).await;

    assert_eq!(accrued.status, 201, "{accrued:?}");
    let body = accrued.json();
    let id = text(&body, "accrual_event_id");
    assert_eq!(body.as_object().unwrap().len(), 5, "{body}");
    assert_eq!((&body["loan_count"], &body["total_accrued_minor"]), (&json!(2), &json!("378")));
    assert_eq!(accrued.header("location"), Some(format!("/v1/events/{id}").as_str()));
    assert_eq!(interest(&world, &token, LOAN).await, "10252");
    assert_eq!(interest(&world, &token, OTHER_LOAN).await, "126");

    let entry_id = text(&body, "journal_entry_id");
    let entry = world.get(&format!("/v1/journal-entries/{entry_id}"), &token).await.json();
    assert_eq!((&entry["event_type"], &entry["effective_at"]), (&json!("accrual"), &json!("2026-05-01")));
    assert_eq!((&entry["posted_at"], &entry["correlation_id"]), (&body["posted_at"], &json!(id)));
    let lines: Vec<(u64, String, String, String, String)> = entry["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            assert_eq!(line["borrower_id"], BORROWER);
            let sequence = line["sequence"].as_u64().unwrap();
            let of = |name| text(line, name);
            (sequence, of("loan_id"), of("account_code"), of("direction"), of("amount_minor"))
        })
        .collect();
    let line = |sequence, loan: &str, account: &str, direction: &str, amount: &str| {
        (sequence, loan.to_owned(), account.to_owned(), direction.to_owned(), amount.to_owned())
    };
    let expected = [
        line(1, LOAN, "1200", "DR", "252"),
        line(2, LOAN, "4100", "CR", "252"),
        line(3, OTHER_LOAN, "1200", "DR", "126"),
        line(4, OTHER_LOAN, "4100", "CR", "126"),
    ];
    assert_eq!(lines, expected);
    let of_loan = format!("/v1/loans/{OTHER_LOAN}/journal-entries?event_type=accrual");
    let of_loan = world.get(&of_loan, &token).await.json();
    let items = of_loan["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{of_loan}");
    assert_eq!((&items[0]["journal_entry_id"], items[0]["lines"].as_array().unwrap().len()), (&json!(entry_id), 2));
}

#[tokio::test]
async fn a_batch_is_replayed_and_told_by_its_id() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    two_loans(&world, &token).await;
    let first = world.post(PATH, &token, "accrual:2026-05-01", &both()).await;

    let again = world.post(PATH, &token, "accrual:2026-05-01", &both()).await;

    assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(again.bytes, first.bytes);
    let mut other = both();
    other["loans"][0]["interest_minor"] = json!("253");
    other["day_count_convention"] = json!("ACT_360");
    let mismatch = world.post(PATH, &token, "accrual:2026-05-01", &other).await;
    assert_eq!(mismatch.problem(), (422, "idempotency_mismatch".to_owned()));
    let fields: Vec<String> =
        mismatch.json()["errors"].as_array().unwrap().iter().map(|error| text(error, "field")).collect();
    assert_eq!(fields, ["day_count_convention", "loans"]);
    assert_eq!(mismatch.json()["accrual_event_id"], first.json()["accrual_event_id"]);
    assert_eq!(interest(&world, &token, LOAN).await, "10252", "once");
    let path = format!("/v1/events/{}", text(&first.json(), "accrual_event_id"));
    let event = world.get(&path, &token).await.json();
    for (name, value) in [
        ("status", json!("posted")),
        ("event_type", json!("accrual")),
        ("accrual_event_id", first.json()["accrual_event_id"].clone()),
        ("journal_entry_id", first.json()["journal_entry_id"].clone()),
        ("posted_at", first.json()["posted_at"].clone()),
        ("loan_count", json!(2)),
        ("total_accrued_minor", json!("378")),
        ("effective_at", json!("2026-05-01")),
        ("currency", json!("USD")),
        ("idempotency_key", json!("accrual:2026-05-01")),
    ] {
        assert_eq!(event[name], value, "{name} of {event}");
    }
    for absent in ["loan_id", "borrower_id", "allocation", "event_id"] {
        assert!(event.get(absent).is_none(), "{absent} of {event}");
    }
}

#[tokio::test]
async fn a_refused_batch_names_its_loans_and_books_nothing() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    two_loans(&world, &token).await;
    let unknown = "55555555-5555-5555-5555-555555555555";
    let cases = [
        (accrual(&[(LOAN, "1000000", "1"), (OTHER_LOAN, "1", "1")]), "principal_mismatch", OTHER_LOAN),
        (accrual(&[(LOAN, "999999", "1"), (OTHER_LOAN, "500000", "1")]), "principal_mismatch", LOAN),
        (accrual(&[(LOAN, "1000000", "1"), (unknown, "0", "1")]), "loan_not_found", unknown),
    ];
    for (number, (body, code, loan)) in cases.iter().enumerate() {
        let key = format!("accrual:refused:{number}");

        let refused = world.post(PATH, &token, &key, body).await;

        assert_eq!(refused.problem(), (422, (*code).to_owned()), "{refused:?}");
        assert_eq!(refused.json()["loans"], json!([loan]));
        let replayed = world.post(PATH, &token, &key, body).await;
        assert_eq!(replayed.header("idempotent-replayed"), Some("true"));
        let without_request = |answer: &Answer| {
            let mut problem = answer.json();
            problem.as_object_mut().unwrap().remove("request_id");
            problem
        };
        assert_eq!(without_request(&replayed), without_request(&refused));
        let path = format!("/v1/events/{}", text(&refused.json(), "accrual_event_id"));
        let event = world.get(&path, &token).await.json();
        assert_eq!((&event["status"], &event["problem"]["loans"]), (&json!("rejected"), &json!([loan])), "{event}");
    }
    assert_eq!(interest(&world, &token, LOAN).await, "10000");
    let closed = json!({"loans": "x"});
    let invalid = world.post(PATH, &token, "accrual:invalid", &closed).await;
    assert_eq!(invalid.problem(), (422, "validation_failed".to_owned()));
}

#[tokio::test]
async fn a_batch_of_ten_thousand_loans_is_one_entry() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    two_loans(&world, &token).await;
    let loans: Vec<String> = (0..10_001).map(|number| format!("77777777-7777-7777-7777-{number:012}")).collect();
    let openings: Vec<Value> = loans
        .iter()
        .map(|loan| {
            json!({"loan_id": loan, "borrower_id": BORROWER, "currency": "USD", "opened_on": "2026-01-01",
            "opening_balances": {"fees_minor": "0", "interest_minor": "0", "principal_minor": "100"}})
        })
        .collect();
    let request = |number: usize| {
        let mut request = super::world::post("/v1/loans", &token, &format!("loan:{number:08}"), &openings[number]);
        request.headers_mut().insert("prefer", "respond-async".parse().unwrap());
        request
    };
    for chunk in (0..10_000).collect::<Vec<usize>>().chunks(200) {
        let answers = futures::future::join_all(chunk.iter().map(|number| world.call(request(*number)))).await;
        assert!(answers.iter().all(|answer| answer.status == 202));
    }
    let rows = |count: usize| -> Vec<(&str, &str, &str)> {
        loans[..count].iter().map(|loan| (loan.as_str(), "100", "3")).collect()
    };
    let mut request = super::world::post(PATH, &token, "accrual:all:loans", &accrual(&rows(10_000)));
    request.headers_mut().insert("prefer", "wait=60".parse().unwrap());

    let accrued = tokio::time::timeout(3 * DEADLINE, world.call(request)).await.unwrap();

    assert_eq!(accrued.status, 201, "{accrued:?}");
    let body = accrued.json();
    assert_eq!((&body["loan_count"], &body["total_accrued_minor"]), (&json!(10_000), &json!("30000")));
    let path = format!("/v1/journal-entries/{}", text(&body, "journal_entry_id"));
    let entry = world.get(&path, &token).await.json();
    let lines = entry["lines"].as_array().unwrap();
    assert_eq!((lines.len(), &lines[19_999]["sequence"]), (20_000, &json!(20_000)));
    let over = world.post(PATH, &token, "accrual:one:over", &accrual(&rows(10_001))).await;
    assert_eq!(over.problem(), (422, "validation_failed".to_owned()));
}

#[tokio::test]
async fn payments_and_batches_go_in_the_order_they_came() {
    let world = World::new(Workers::None).await;
    let token = world.token("demo", ALL).await;
    let opening = json!({"loan_id": LOAN, "borrower_id": BORROWER, "currency": "USD", "opened_on": "2026-01-01",
        "opening_balances": {"fees_minor": "0", "interest_minor": "0", "principal_minor": "1000000"}});
    let bring = async |path: &str, key: &str, body: &Value| {
        let mut request = super::world::post(path, &token, key, body);
        request.headers_mut().insert("prefer", "respond-async".parse().unwrap());
        let answer = world.call(request).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.header("location").unwrap().to_owned()
    };
    bring("/v1/loans", "loan:11111111", &opening).await;
    let first = bring("/v1/payments", "payment:first", &payment()).await;
    let batch = bring(PATH, "accrual:between", &accrual(&[(LOAN, "911151", "500")])).await;
    let second = bring("/v1/payments", "payment:second", &payment()).await;
    let again = world.post(PATH, &token, "accrual:between", &accrual(&[(LOAN, "911151", "500")])).await;
    assert_eq!(again.problem(), (409, "idempotency_in_progress".to_owned()));

    world.work();

    let done = async |location: &str| world.get(&format!("{location}?wait=20"), &token).await.json();
    assert_eq!(done(&first).await["allocation"]["principal_minor"], "88849");
    assert_eq!(done(&batch).await["status"], "posted");
    let allocation = done(&second).await["allocation"].clone();
    assert_eq!((&allocation["interest_minor"], &allocation["principal_minor"]), (&json!("500"), &json!("88349")));
}

const PROGRAM: &str = "44444444-4444-4444-4444-444444444444";

/// 7.3 percent of 10,000.00 are 2.00 a day.
async fn program_of_loan(world: &World, token: &str) {
    let program = json!({"program_id": PROGRAM, "currency": "USD", "annual_rate": "7.3",
        "day_count_convention": "ACT_365", "rounding": "half_up,daily",
        "waterfall": ["interest", "fees", "principal"], "suspense_release": "manual"});
    assert_eq!(world.post("/v1/programs", token, "program:one", &program).await.status, 201);
    let loan = json!({"loan_id": LOAN, "borrower_id": BORROWER, "currency": "USD", "opened_on": "2026-04-01",
        "program_id": PROGRAM, "opening_balances": {"principal_minor": "1000000"}});
    assert_eq!(world.post("/v1/loans", token, "loan:of:program", &loan).await.status, 201);
}

/// A batch of one loan without its interest.
fn computed(loan: &str, principal: &str, date: &str) -> Value {
    json!({"program_id": PROGRAM, "accrual_date": date, "day_count_convention": "ACT_365",
        "loans": [{"loan_id": loan, "outstanding_principal_minor": principal}]})
}

#[tokio::test]
async fn interest_that_is_left_out_is_computed_and_a_payoff_agrees() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    program_of_loan(&world, &token).await;

    let accrued = world.post(PATH, &token, "accrual:computed:1", &computed(LOAN, "1000000", "2026-04-10")).await;

    assert_eq!((accrued.status, &accrued.json()["total_accrued_minor"]), (201, &json!("2000")), "{accrued:?}");
    let again = world.post(PATH, &token, "accrual:computed:1", &computed(LOAN, "1000000", "2026-04-10")).await;
    assert_eq!((again.status, &again.bytes), (200, &accrued.bytes));
    let paid = json!({"loan_id": LOAN, "borrower_id": BORROWER, "amount_minor": "502000", "currency": "USD",
        "effective_at": "2026-04-11", "source_method": "ach"});
    assert_eq!(world.post("/v1/payments", &token, "payment:half", &paid).await.status, 201);
    // 20 days of 1.00 to the last of April, of which the payoff of 1 May sees all, before and after they are booked.
    let payoff = format!("/v1/loans/{LOAN}/payoff?date=2026-05-01&days=1");
    let before = world.get(&payoff, &token).await.json();
    let accrued = world.post(PATH, &token, "accrual:computed:2", &computed(LOAN, "500000", "2026-04-30")).await;
    let after = world.get(&payoff, &token).await.json();
    assert_eq!(accrued.json()["total_accrued_minor"], "2000", "{accrued:?}");
    assert_eq!(
        (&before["interest_not_booked_minor"], &after["interest_not_booked_minor"]),
        (&json!("2000"), &json!("0"))
    );
    assert_eq!((&before["payoff_minor"], &after["payoff_minor"]), (&json!("502000"), &json!("502000")));
    let nothing = world.post(PATH, &token, "accrual:computed:3", &computed(LOAN, "500000", "2026-04-30")).await;
    assert_eq!((nothing.status, &nothing.json()["total_accrued_minor"]), (201, &json!("0")), "{nothing:?}");
    assert!(nothing.json().get("journal_entry_id").is_none(), "nothing was booked: {nothing:?}");
}

/// 20.00 by 10 April; then 5,000.00 turn out to have come on 5 April: 4 days of 2.00 and 6 of 1.00 are 14.00.
#[tokio::test]
async fn an_accrual_of_a_loan_shows_its_interest_of_today() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    program_of_loan(&world, &token).await;
    let accrued = world.post(PATH, &token, "accrual:computed:1", &computed(LOAN, "1000000", "2026-04-10")).await;
    assert_eq!(accrued.status, 201, "{accrued:?}");
    let paid = json!({"loan_id": LOAN, "borrower_id": BORROWER, "amount_minor": "500000", "currency": "USD",
        "effective_at": "2026-04-05", "source_method": "ach"});
    let late = world.post("/v1/payments", &token, "payment:late", &paid).await.json();
    let restated = &late["restated"][0];
    assert_eq!(restated["allocation"]["interest_minor"], "1400", "{late}");
    let leg = world.get(&format!("/v1/events/{}", text(restated, "event_id")), &token).await.json();
    assert_eq!(leg["current_allocation"], restated["allocation"], "{leg}");
}

#[tokio::test]
async fn interest_can_be_left_out_where_the_loans_program_has_a_rate_only() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    two_loans(&world, &token).await;
    let failing = async |key: &str, body: &Value| {
        let refused = world.post(PATH, &token, key, body).await;
        assert_eq!(refused.problem(), (422, "validation_failed".to_owned()), "{refused:?}");
        let error = refused.json()["errors"][0].clone();
        (text(&error, "field"), text(&error, "code"))
    };
    let pair = |field: &str, code: &str| (field.to_owned(), code.to_owned());
    let unknown = computed(OTHER_LOAN, "500000", "2026-05-01");
    assert_eq!(failing("accrual:no:program", &unknown).await, pair("loans.0.interest_minor", "required"));
    let program = json!({"program_id": PROGRAM, "currency": "USD", "annual_rate": "7.3",
        "day_count_convention": "ACT_360", "rounding": "half_up,daily",
        "waterfall": ["interest", "fees", "principal"], "suspense_release": "manual"});
    assert_eq!(world.post("/v1/programs", &token, "program:one", &program).await.status, 201);
    assert_eq!(failing("accrual:convention", &unknown).await, pair("day_count_convention", "other_convention"));
    let mut other = unknown;
    other["day_count_convention"] = json!("ACT_360");
    assert_eq!(failing("accrual:not:its:loan", &other).await, pair("loans.0.loan_id", "other_program"));
    other["loans"][0]["interest_minor"] = json!("7");
    let brought = world.post(PATH, &token, "accrual:brought", &other).await;
    assert_eq!((brought.status, &brought.json()["total_accrued_minor"]), (201, &json!("7")));
}
