//! Owns the rows and stories of the operations on one loan: fees, suspense, settlements, adjustments, charge-offs and
//! reversals.

use serde_json::{Value, json};

use super::row::{Row, replayed};
use super::rows_dates::TEXTS as DATES;
use super::stories::{Story, Told, hold};
use super::world::{Facts, OTHER_LOAN, QUIET_LOAN, World, payment};

/// The stories of both deployments; registering a loan is an event as well.
pub(super) const STORIES: &[Story] = &[
    Story { number: "servicing", name: "fees and waivers", stores: 6, run: |world| Box::pin(fees(world)) },
    Story { number: "servicing", name: "suspense", stores: 6, run: |world| Box::pin(suspense(world)) },
    Story { number: "servicing", name: "a settlement", stores: 3, run: |world| Box::pin(settlement(world)) },
    Story { number: "servicing", name: "adjustments", stores: 3, run: |world| Box::pin(adjustments(world)) },
    Story { number: "67", name: "reversals", stores: 7, run: |world| Box::pin(reversals(world)) },
    Story { number: "65", name: "charged off and recovered", stores: 9, run: |world| Box::pin(charge_off(world)) },
    Story { number: "65", name: "written off", stores: 7, run: |world| Box::pin(written_off(world)) },
];

/// Every operation that names a loan: its path, its body, the name of its id.
fn operations() -> Vec<(&'static str, Value)> {
    let line = |account: &str, direction: &str| json!({"account_code": account, "direction": direction, "amount_minor": "100"});
    vec![
        ("/v1/fees", json!({"amount_minor": "100", "fee_code": "late"})),
        ("/v1/fees/waivers", json!({"amount_minor": "100", "fee_code": "late"})),
        ("/v1/suspense/applications", json!({"amount_minor": "100"})),
        ("/v1/suspense/refunds", json!({"amount_minor": "100"})),
        (
            "/v1/adjustments",
            json!({"lines": [line("1100", "DR"), line("5200", "CR")], "reason_description": "by hand"}),
        ),
        ("/v1/chargeoffs", json!({"collectible": true})),
        ("/v1/recoveries", json!({"amount_minor": "100"})),
    ]
}

/// A body on a loan, with some members changed; null takes one out.
fn on(loan: &str, body: &Value, changes: &[(&str, Value)]) -> String {
    let mut body = body.clone();
    body["loan_id"] = json!(loan);
    body["effective_at"] = json!("2026-05-04");
    for (name, value) in changes {
        body[*name] = value.clone();
    }
    body.to_string()
}

/// The rows.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::new();
    for (path, body) in operations() {
        let of = |number, name: String, changes: &[(&str, Value)]| {
            let text = on(QUIET_LOAN, &body, changes);
            Row::post(number, format!("{path}: {name}"), path, &facts.demo, text)
        };
        rows.push(of("16", "an empty body".to_owned(), &[]).body("").refused(400, &["malformed_json"]));
        rows.push(
            of("17", "no key".to_owned(), &[]).without("Idempotency-Key").refused(400, &["idempotency_key_missing"]),
        );
        let narrow = Row::post("76", path, path, &facts.narrow, on(QUIET_LOAN, &body, &[]));
        rows.push(narrow.refused(403, &["insufficient_scope"]));
        rows.push(Row::get("1", path, path, &facts.demo).refused(405, &["method_not_allowed"]).has("allow", "POST"));
        for (name, value) in [
            ("loan_id", Value::Null),
            ("loan_id", json!(5)),
            ("loan_id", json!("1 OR 1=1")),
            ("effective_at", Value::Null),
            ("effective_at", json!("9999-12-31")),
            ("metadata", json!([])),
            ("borrower_id", json!("22222222-2222-2222-2222-222222222222")),
        ] {
            rows.push(of("40", format!("{name} {value}"), &[(name, value.clone())]).invalid(&[name]));
        }
        for (number, texts) in DATES {
            let text = texts.first().copied().unwrap_or_default();
            let row = of(number, format!("on {text:?}"), &[("effective_at", json!(text))]);
            rows.push(row.invalid(&["effective_at"]));
        }
        if body.get("amount_minor").is_some() {
            for amount in [json!(100), json!("0"), json!("-5"), json!("1.00"), json!("9223372036854775808")] {
                let row = of("46", format!("amount {amount}"), &[("amount_minor", amount.clone())]);
                rows.push(row.invalid(&["amount_minor"]));
            }
        }
        for (number, loan) in [("64", "64000000-0000-4000-8000-000000000067"), ("64", OTHER_LOAN)] {
            let row = Row::post(
                number,
                format!("{path}: a loan of nobody or of another"),
                path,
                &facts.demo,
                on(loan, &body, &[]),
            );
            rows.push(row.refused(422, &["loan_not_found"]).stored());
        }
    }
    rows.extend(bodies(facts));
    rows.extend(addresses(facts));
    rows
}

/// What single operations refuse.
fn bodies(facts: &Facts) -> Vec<Row> {
    let line = |account: &str, direction: &str, amount: &str| json!({"account_code": account, "direction": direction, "amount_minor": amount});
    let adjustment = json!({"reason_description": "by hand", "lines": []});
    let with_lines = |lines: Vec<Value>| on(QUIET_LOAN, &adjustment, &[("lines", Value::Array(lines))]);
    let adjusted = |name: &str, lines: Vec<Value>| {
        Row::post("55", format!("adjustment: {name}"), "/v1/adjustments", &facts.demo, with_lines(lines))
    };
    let fee = json!({"amount_minor": "100", "fee_code": "late"});
    let charged = |name: &str, changes: &[(&str, Value)]| {
        Row::post("servicing", format!("fee: {name}"), "/v1/fees", &facts.demo, on(QUIET_LOAN, &fee, changes))
    };
    let reversed = |name: &str, changes: &[(&str, Value)]| {
        let mut body = json!({"reverses_entry_id": QUIET_LOAN, "reason_code": "duplicate",
            "effective_at": "2026-05-04"});
        for (name, value) in changes {
            body[*name] = value.clone();
        }
        Row::post("67", format!("reversal: {name}"), "/v1/reversals", &facts.demo, body.to_string())
    };
    let written_off = json!({"collectible": "no"});
    vec![
        adjusted("unbalanced", vec![line("1100", "DR", "5"), line("5200", "CR", "6")]).invalid(&["lines"]),
        adjusted("one line", vec![line("1100", "DR", "5")]).invalid(&["lines"]),
        adjusted("10 000 lines", vec![line("1100", "DR", "5"); 10_000]).invalid(&["lines"]),
        adjusted("a negative line", vec![line("1100", "DR", "-5"), line("5200", "CR", "5")])
            .invalid(&["lines.0.amount_minor"]),
        adjusted("a strange account", vec![line("7777", "DR", "5"), line("9100", "CR", "5")])
            .invalid(&["lines.0.account_code", "lines.1.account_code"]),
        adjusted("a strange side", vec![line("1100", "debit", "5"), line("5200", "CR", "5")])
            .invalid(&["lines.0.direction"]),
        charged("a code in capitals", &[("fee_code", json!("LATE"))]).invalid(&["fee_code"]),
        charged("due before it is charged", &[("due_on", json!("2026-05-03"))]).invalid(&["due_on"]),
        reversed("an unknown entry", &[]).refused(404, &["not_found"]),
        reversed("no id", &[("reverses_entry_id", json!("x"))]).invalid(&["reverses_entry_id"]),
        reversed("a strange reason", &[("reason_code", json!("because"))]).invalid(&["reason_code"]),
        reversed("an empty description", &[("reason_description", json!(""))]).invalid(&["reason_description"]),
        Row::post("40", "a flag in words", "/v1/chargeoffs", &facts.demo, on(QUIET_LOAN, &written_off, &[]))
            .invalid(&["collectible"]),
    ]
}

/// Settlements of what is no disbursement of the caller's.
fn addresses(facts: &Facts) -> Vec<Row> {
    let body = json!({"effective_at": "2026-05-04"}).to_string();
    let nobodys = "64000000-0000-4000-8000-000000000064";
    let ids = [
        ("3", "1%20OR%201=1".to_owned()),
        ("64", nobodys.to_owned()),
        ("64", facts.paid.clone()),
        ("64", facts.paid_by_other.clone()),
    ];
    let row = |(number, id): (&'static str, String)| {
        let path = format!("/v1/disbursements/{id}/settlement");
        Row::post(number, format!("settled: {id}"), &path, &facts.demo, body.clone()).refused(404, &["not_found"])
    };
    let quiet = Row::get("64", "the fees of nobody's loan", &format!("/v1/loans/{nobodys}/fees"), &facts.demo);
    ids.into_iter().map(row).chain([quiet.refused(404, &["not_found"])]).collect()
}

/// A loan's operations under keys of its own.
struct Servicer<'w> {
    world: &'w World,
    loan: String,
    story: &'static str,
}

impl<'w> Servicer<'w> {
    async fn new(world: &'w World, story: &'static str) -> Self {
        Self { world, loan: world.fresh_loan().await, story }
    }

    async fn post(&self, path: &str, step: &str, body: &str) -> super::raw::Answer {
        let key = format!("story:{}:{}", self.story, step.replace(' ', "-"));
        self.world.post(path, &self.world.facts.demo, &key, "Prefer: wait=30\r\n", body).await
    }

    /// An operation that is posted; a repeat gets the same answer.
    async fn posts(&self, path: &str, step: &str, body: &Value) -> Result<Value, String> {
        let text = on(&self.loan, body, &[]);
        let first = self.post(path, step, &text).await;
        hold(first.status == 201, &format!("expected 201 of {path}"), &first)?;
        replayed(&first, &self.post(path, step, &text).await)?;
        Ok(first.json())
    }

    async fn refuses(&self, path: &str, step: &str, body: &Value, code: &str) -> Told {
        let seen = self.post(path, step, &on(&self.loan, body, &[])).await;
        hold(seen.json()["code"] == code, &format!("expected {code} of {path}"), &seen)
    }

    async fn pays(&self, step: &str, amount: &str) -> Result<Value, String> {
        let body = payment(&[("loan_id", json!(self.loan)), ("amount_minor", json!(amount))]);
        let paid = self.post("/v1/payments", step, &body.to_string()).await;
        hold(paid.status == 201, "expected 201 of the payment", &paid)?;
        Ok(paid.json())
    }

    async fn reverse(&self, step: &str, entry: &Value) -> super::raw::Answer {
        let body = json!({"reverses_entry_id": entry, "reason_code": "error_correction",
            "reason_description": "entered twice", "effective_at": "2026-05-20"});
        self.post("/v1/reversals", step, &body.to_string()).await
    }

    async fn read(&self, of: &str) -> Value {
        self.world.get(&format!("/v1/loans/{}{of}", self.loan), &self.world.facts.demo).await.json()
    }

    /// The lines of an entry: account, side and amount.
    async fn lines(&self, entry: &Value) -> Vec<String> {
        let path = format!("/v1/journal-entries/{}", entry.as_str().unwrap_or_default());
        let entry = self.world.get(&path, &self.world.facts.demo).await.json();
        let line = |line: &Value| {
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            format!("{} {} {}", text("account_code"), text("direction"), text("amount_minor"))
        };
        entry["lines"].as_array().map(|lines| lines.iter().map(line).collect()).unwrap_or_default()
    }
}

/// Compares what was seen with what should be.
fn equal<T: PartialEq + std::fmt::Debug>(seen: T, expected: T) -> Told {
    let both = (seen, expected);
    if both.0 == both.1 { Ok(()) } else { Err(format!("seen {:?}, expected {:?}", both.0, both.1)) }
}

async fn fees(world: &World) -> Told {
    let loan = Servicer::new(world, "fees").await;
    let fee = json!({"amount_minor": "2500", "fee_code": "late", "due_on": "2026-06-01"});
    let charged = loan.posts("/v1/fees", "charge", &fee).await?;
    equal(loan.lines(&charged["journal_entry_id"]).await, vec!["1300 DR 2500".to_owned(), "4200 CR 2500".to_owned()])?;
    loan.pays("pay", "1100").await?;
    let waived = loan.posts("/v1/fees/waivers", "waive", &json!({"amount_minor": "2000", "fee_code": "late"})).await?;
    equal(waived["fee_waived_event_id"].is_string(), true)?;
    let too_much = json!({"amount_minor": "501", "fee_code": "late"});
    loan.refuses("/v1/fees/waivers", "too much", &too_much, "insufficient_balance").await?;
    let given_back =
        loan.posts("/v1/fees/waivers", "paid", &json!({"amount_minor": "500", "fee_code": "late"})).await?;
    equal(loan.lines(&given_back["journal_entry_id"]).await.len(), 2)?;
    let listed = loan.read("/fees").await;
    let shown = |item: &Value| {
        ["fee_code", "due_on", "assessed_minor", "paid_minor", "waived_minor", "outstanding_minor"]
            .map(|name| item[name].as_str().unwrap_or_default().to_owned())
            .join(" ")
    };
    let items: Vec<String> =
        listed["items"].as_array().map(|items| items.iter().map(shown).collect()).unwrap_or_default();
    equal(items, vec!["loan_opened  100 100 0 0".to_owned(), "late 2026-06-01 2500 0 2500 0".to_owned()])
}

async fn suspense(world: &World) -> Told {
    let loan = Servicer::new(world, "suspense").await;
    loan.pays("pay", "1000800").await?;
    loan.refuses("/v1/suspense/applications", "nothing owed", &json!({}), "insufficient_balance").await?;
    loan.posts("/v1/fees", "charge", &json!({"amount_minor": "200", "fee_code": "late"})).await?;
    let applied = loan.posts("/v1/suspense/applications", "apply", &json!({})).await?;
    equal(applied["allocation"]["fees_minor"].clone(), json!("200"))?;
    let refunded = loan.posts("/v1/suspense/refunds", "refund", &json!({})).await?;
    equal(loan.lines(&refunded["journal_entry_id"]).await, vec!["2100 DR 300".to_owned(), "2300 CR 300".to_owned()])?;
    let balance = loan.read("/balance").await;
    equal((balance["suspense_minor"].clone(), balance["total_exposure_minor"].clone()), (json!("0"), json!("0")))
}

async fn settlement(world: &World) -> Told {
    let servicer = Servicer { world, loan: uuid::Uuid::new_v4().to_string(), story: "settlement" };
    let body = json!({"borrower_id": "22222222-2222-2222-2222-222222222222", "amount_minor": "5000",
        "currency": "USD", "method": "wire"});
    let lent = servicer.posts("/v1/disbursements", "lend", &body).await?;
    let path = format!("/v1/disbursements/{}/settlement", lent["disbursement_event_id"].as_str().unwrap_or_default());
    let settle =
        async |step: &str, day: &str| servicer.post(&path, step, &json!({"effective_at": day}).to_string()).await;
    let early = settle("early", "2026-05-03").await;
    hold(early.json()["errors"][0]["field"] == "effective_at", "expected the day to fail", &early)?;
    let settled = settle("settle", "2026-05-05").await;
    hold(settled.json()["disbursement_settled_event_id"].is_string(), "expected a settlement", &settled)?;
    let lines = servicer.lines(&settled.json()["journal_entry_id"]).await;
    equal(lines, vec!["1020 DR 5000".to_owned(), "1000 CR 5000".to_owned()])?;
    let again = settle("again", "2026-05-06").await;
    hold(again.json()["code"] == "insufficient_balance", "expected it to be settled once", &again)
}

async fn adjustments(world: &World) -> Told {
    let loan = Servicer::new(world, "adjustments").await;
    let lines = |amount: &str| {
        json!({"reason_description": "interest charged twice", "lines": [
            {"account_code": "4100", "direction": "DR", "amount_minor": amount},
            {"account_code": "1200", "direction": "CR", "amount_minor": amount}]})
    };
    let adjusted = loan.posts("/v1/adjustments", "less", &lines("150")).await?;
    let path = format!("/v1/journal-entries/{}", adjusted["journal_entry_id"].as_str().unwrap_or_default());
    let entry = world.get(&path, &world.facts.demo).await.json();
    equal(entry["event_type"].clone(), json!("manual_adjustment"))?;
    equal(entry["description"].clone(), json!("interest charged twice"))?;
    loan.refuses("/v1/adjustments", "too much", &lines("51"), "insufficient_balance").await?;
    equal(loan.read("/balance").await["interest_receivable_minor"].clone(), json!("50"))
}

async fn reversals(world: &World) -> Told {
    let loan = Servicer::new(world, "reversals").await;
    let paid = loan.pays("pay", "500").await?;
    let first = loan.reverse("payment", &paid["journal_entry_id"]).await;
    let answer = first.json();
    hold(first.status == 201, "expected 201", &first)?;
    let mut names: Vec<String> = answer.as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default();
    names.sort_unstable();
    equal(names, ["correlation_id", "journal_entry_id", "posted_at", "reverses_entry_id"].map(str::to_owned).to_vec())?;
    equal(&answer["reverses_entry_id"], &paid["journal_entry_id"])?;
    equal(&answer["correlation_id"], &paid["payment_event_id"])?;
    replayed(&first, &loan.reverse("payment", &paid["journal_entry_id"]).await)?;
    let again = loan.reverse("again", &paid["journal_entry_id"]).await;
    hold(again.status == 409 && again.json()["code"] == "already_undone", "expected already_undone", &again)?;
    let of_reversal = loan.reverse("reversal", &answer["journal_entry_id"]).await;
    hold(of_reversal.json()["code"] == "not_reversible", "expected not_reversible", &of_reversal)?;
    let path = format!("/v1/payments/{}", paid["payment_event_id"].as_str().unwrap_or_default());
    let status = world.get(&path, &world.facts.demo).await;
    hold(status.json()["status"] == "reversed", "expected the status reversed", &status)?;
    let entry = format!("/v1/journal-entries/{}", answer["journal_entry_id"].as_str().unwrap_or_default());
    let entry = world.get(&entry, &world.facts.demo).await;
    let document = entry.json();
    let is_told = document["event_type"] == "reversal" && document["effective_at"] == "2026-05-01";
    hold(is_told && document["description"] == "entered twice", "expected a reversal of the payment's day", &entry)?;
    let fee = loan.posts("/v1/fees", "charge", &json!({"amount_minor": "70", "fee_code": "late"})).await?;
    let undone = loan.reverse("fee", &fee["journal_entry_id"]).await;
    hold(undone.status == 201, "expected 201 of the fee's reversal", &undone)?;
    equal(loan.read("/balance").await["total_exposure_minor"].clone(), json!("1000300"))
}

async fn charge_off(world: &World) -> Told {
    let loan = Servicer::new(world, "chargeoff").await;
    loan.refuses("/v1/recoveries", "too early", &json!({"amount_minor": "5"}), "insufficient_balance").await?;
    let off = loan.posts("/v1/chargeoffs", "off", &json!({})).await?;
    loan.refuses("/v1/chargeoffs", "twice", &json!({}), "loan_closed").await?;
    loan.refuses("/v1/fees", "fee", &json!({"amount_minor": "5", "fee_code": "late"}), "loan_closed").await?;
    let shown = loan.read("").await;
    equal(shown["status"].clone(), json!("charged_off"))?;
    equal(shown["charged_off"]["principal_owed_minor"].clone(), json!("1000000"))?;
    equal(shown["total_exposure_minor"].clone(), json!("0"))?;
    let body = payment(&[("loan_id", json!(loan.loan)), ("effective_at", json!("2026-05-10"))]);
    let paid = loan.post("/v1/payments", "pay", &body.to_string()).await;
    hold(paid.json()["allocation"]["fees_minor"] == "100", "expected the fees to be paid first", &paid)?;
    let entry = loan.read("/journal-entries?event_type=recovery").await;
    equal(entry["items"][0]["journal_entry_id"].clone(), paid.json()["journal_entry_id"].clone())?;
    let more = loan.posts("/v1/recoveries", "recover", &json!({"amount_minor": "250"})).await?;
    let expected = ["1010 DR 250", "4300 CR 250", "9900 DR 250", "9100 CR 250"].map(str::to_owned).to_vec();
    equal(loan.lines(&more["journal_entry_id"]).await, expected)?;
    let undo = loan.reverse("undo", &off["journal_entry_id"]).await;
    hold(undo.json()["code"] == "not_reversible", "expected not_reversible after recoveries", &undo)?;
    let back = loan.reverse("back", &more["journal_entry_id"]).await;
    hold(back.status == 201, "expected the recovery to go back", &back)?;
    equal(loan.read("").await["charged_off"]["interest_owed_minor"].clone(), json!("200"))
}

async fn written_off(world: &World) -> Told {
    let loan = Servicer::new(world, "writtenoff").await;
    let paid = loan.pays("before", "300").await?;
    loan.posts("/v1/chargeoffs", "off", &json!({"collectible": false})).await?;
    equal(loan.read("").await["status"].clone(), json!("written_off"))?;
    let body = payment(&[("loan_id", json!(loan.loan)), ("effective_at", json!("2026-05-10"))]);
    let refused = loan.post("/v1/payments", "pay", &body.to_string()).await;
    hold(refused.json()["code"] == "loan_closed", "expected loan_closed", &refused)?;
    let undo = loan.reverse("undo", &paid["journal_entry_id"]).await;
    hold(undo.json()["code"] == "not_reversible", "expected not_reversible", &undo)?;
    loan.posts("/v1/recoveries", "recover", &json!({"amount_minor": "40"})).await?;
    let path = format!("/v1/payments/{}/return", paid["payment_event_id"].as_str().unwrap_or_default());
    let given_back = json!({"return_code": "R10", "effective_at": "2026-05-12"});
    let returned = loan.post(&path, "return", &given_back.to_string()).await;
    hold(returned.status == 201, "expected the return to be booked", &returned)
}
