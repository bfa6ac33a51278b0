//! Late fees (domain rules 52 and 42). The numbers are our own, after the example of Reg Z 1026.36(c)(2): an installment of
//! 500.00, and a late fee of 25.00.

use serde_json::{Value, json};

use super::loan::{Books, Loan, key, minor, parts, same, text};
use super::{Case, Told};

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case {
        name: "an earlier late fee makes no payment late",
        run: |books| Box::pin(an_earlier_late_fee_makes_no_payment_late(books)),
    },
    Case { name: "grace ends with its last day", run: |books| Box::pin(grace_ends_with_its_last_day(books)) },
    Case { name: "money that went back does not count", run: |books| Box::pin(money_that_went_back(books)) },
    Case { name: "money that goes back is told alike", run: |books| Box::pin(money_that_goes_back_is_told(books)) },
    Case { name: "a program asks what a late fee is for", run: |books| Box::pin(a_program_asks(books)) },
    Case { name: "a payment found late shows a fee to be wrong", run: |books| Box::pin(a_payment_found_late(books)) },
    Case { name: "all that is due counts together", run: |books| Box::pin(all_that_is_due(books)) },
    Case { name: "a waiver taken back is told alike", run: |books| Box::pin(a_waiver_taken_back(books)) },
    Case { name: "a waiver names its fee", run: |books| Box::pin(a_waiver_names_its_fee(books)) },
    Case { name: "a fee to review leaves the list by itself", run: |books| Box::pin(a_fee_leaves_the_list(books)) },
];

/// A late fee of 25.00 for what was due on a day, 500.00 unless it says otherwise, with 15 days of grace.
fn late_fee((period_from, due_at): (&str, &str), due: i64) -> Value {
    json!({"amount_minor": "2500", "fee_code": "late", "late_for": {"period_from": period_from, "due_at": due_at,
        "due_minor": due.to_string(), "grace_days": 15}})
}

const FEBRUARY: (&str, &str) = ("2026-01-17", "2026-02-01");
const MARCH: (&str, &str) = ("2026-02-17", "2026-03-01");

async fn an_earlier_late_fee_makes_no_payment_late(books: &Books) -> Told {
    let loan = books.open([0, 0, 1_000_000], None).await?;
    // Nothing came for February by 16 February: 0 of 500.00, so the fee is due.
    loan.act("/v1/fees", "2026-02-17", &late_fee(FEBRUARY, 50_000)).await?;
    // 500.00 for March, on time: 25.00 of it pays the old fee, so 475.00 are left of the installment.
    let paid = loan.pays(50_000, "2026-03-01").await?;
    same("the split", &parts(&paid["allocation"]), &[2_500, 0, 47_500, 0])?;
    // As if fees came last it is whole: 500.00 of 500.00. No second fee.
    let (asked, key) = (loan.on("2026-03-17", &late_fee(MARCH, 50_000)), key());
    let (status, refused) = books.send("/v1/fees", &key, &asked).await;
    same("the refusal", &(status, refused["code"].clone()), &(422, json!("paid_on_time")))?;
    let figures = json!({"period_from": "2026-02-17", "due_at": "2026-03-01", "grace_days": 15, "due_minor": "50000",
        "received_minor": "50000"});
    same("its figures", &refused["late_for"], &figures)?;
    let foreseen = books.foresee("/v1/fees", &asked).await?;
    same("the preview", &foreseen["rejection_code"], &json!("paid_on_time"))?;
    same("the preview's figures", &foreseen["late_for"], &figures)?;
    // More money later changes nothing of what the refusal says.
    loan.pays(10_000, "2026-03-02").await?;
    let (_, again) = books.send("/v1/fees", &key, &asked).await;
    same("the refusal again", &again["late_for"], &figures)?;
    let event = books.get(&format!("/v1/events/{}", text(&refused, "fee_event_id"))).await?;
    same(
        "the status",
        &(event["status"].clone(), event["problem"]["late_for"].clone()),
        &(json!("rejected"), figures),
    )?;
    // 600.00 came in from 17 February to 16 March: short of 600.01 by a cent.
    loan.act("/v1/fees", "2026-03-17", &late_fee(MARCH, 60_001)).await?;
    loan.refused("/v1/fees", "2026-03-17", &late_fee(MARCH, 60_000), "paid_on_time").await?;
    same("the balances", &loan.balances().await?, &[2_500, 0, 942_500, 0])
}

async fn grace_ends_with_its_last_day(books: &Books) -> Told {
    for (day, code) in [("2026-03-16", Some("paid_on_time")), ("2026-03-17", None), ("2026-02-16", None)] {
        // 1 March and 15 days of grace is 16 March; 17 February is the first day that counts.
        let loan = books.open([0, 0, 1_000_000], None).await?;
        loan.pays(50_000, day).await?;
        match code {
            Some(code) => loan.refused("/v1/fees", "2026-03-20", &late_fee(MARCH, 50_000), code).await?,
            None => loan.act("/v1/fees", "2026-03-20", &late_fee(MARCH, 50_000)).await?,
        };
    }
    // While a payment can still be on time there is no late fee.
    let loan = books.open([0, 0, 1_000_000], None).await?;
    let early = loan.refused("/v1/fees", "2026-03-16", &late_fee(MARCH, 50_000), "validation_failed").await?;
    same("the field", &early["errors"][0]["field"], &json!("effective_at"))
}

/// 500.00 are due on 1 April and 500.00 on 1 May, 15 days of grace: asked for together, since 2 March.
async fn all_that_is_due(books: &Books) -> Told {
    let may = late_fee(("2026-03-02", "2026-05-01"), 100_000);
    // April's comes in its days of grace, May's never: 500.00 of 1,000.00.
    let loan = books.open([0, 0, 1_000_000], None).await?;
    loan.pays(50_000, "2026-04-10").await?;
    loan.act("/v1/fees", "2026-05-17", &may).await?;
    // Both in advance: 1,000.00 of 1,000.00.
    let loan = books.open([0, 0, 1_000_000], None).await?;
    loan.pays(100_000, "2026-03-20").await?;
    loan.refused("/v1/fees", "2026-05-17", &may, "paid_on_time").await.map(drop)
}

/// What puts a fee up for review again says so whenever it is asked.
async fn a_waiver_taken_back(books: &Books) -> Told {
    let (loan, fee) = charged(books).await?;
    loan.pays(40_000, "2026-03-10").await?;
    let waived =
        loan.act("/v1/fees/waivers", "2026-03-20", &json!({"amount_minor": "2500", "fee_code": "late"})).await?;
    same("the list without it", &listed(&loan).await?.len(), &0)?;
    let (body, key) = (
        json!({"reverses_entry_id": waived["journal_entry_id"], "reason_code": "error_correction",
            "effective_at": "2026-03-20"}),
        key(),
    );
    let (_, first) = books.send("/v1/reversals", &key, &body).await;
    same("the fee to review", &first["fees_to_review"][0]["fee_event_id"], &fee["fee_event_id"])?;
    let (_, again) = books.send("/v1/reversals", &key, &body).await;
    same("the answer again", &again, &first)?;
    same("the list with it", &listed(&loan).await?.len(), &1)
}

async fn money_that_went_back(books: &Books) -> Told {
    let loan = books.open([0, 0, 1_000_000], None).await?;
    let paid = loan.pays(50_000, "2026-03-01").await?;
    loan.refused("/v1/fees", "2026-03-17", &late_fee(MARCH, 50_000), "paid_on_time").await?;
    // The bank takes it back: 0 of 500.00.
    loan.returns(&paid, None, "2026-03-05").await?;
    loan.act("/v1/fees", "2026-03-17", &late_fee(MARCH, 50_000)).await?;
    // Charged back in part, on a day behind the grace: 500.00 - 200.00 = 300.00 of 500.00.
    let program = books.program(&json!({"returns": "chargeback"})).await?;
    let loan = books.open([0, 0, 1_000_000], Some(program)).await?;
    let paid = loan.pays(50_000, "2026-03-01").await?;
    let back = loan.returns(&paid, Some(20_000), "2026-03-20").await?;
    loan.act("/v1/fees", "2026-03-21", &late_fee(MARCH, 50_000)).await?;
    loan.refused("/v1/fees", "2026-03-21", &late_fee(MARCH, 30_000), "paid_on_time").await?;
    // The money comes again after all: the fee of 21 March was for 500.00 of 500.00.
    let again = loan.reverses(&back, "2026-03-25").await?;
    same("fees to review", &again["fees_to_review"][0]["late_for"]["received_minor"], &json!("50000"))
}

/// A waiver gave back what a payment had paid; then the payment goes back, and the fee is owed again, though the
/// installment was on time.
async fn money_that_goes_back_is_told(books: &Books) -> Told {
    let program = books.program(&json!({"returns": "chargeback"})).await?;
    let loan = books.open([0, 0, 1_000_000], Some(program)).await?;
    let fee = loan.act("/v1/fees", "2026-03-17", &late_fee(MARCH, 50_000)).await?;
    // 25.00 of it pay the fee, and the waiver puts them into suspense.
    let paid = loan.pays(10_000, "2026-03-20").await?;
    loan.act("/v1/fees/waivers", "2026-03-21", &json!({"amount_minor": "2500", "fee_code": "late"})).await?;
    // 500.00 of 1 March are found: the fee was wrong, and is waived.
    let found = loan.pays(50_000, "2026-03-01").await?;
    same("fees to review", &found.get("fees_to_review"), &None)?;
    // 100.00 go back: 25.00 out of suspense, 25.00 and 50.00 are owed again as fee and principal.
    let (path, key) = (format!("/v1/payments/{}/return", text(&paid, "payment_event_id")), key());
    let body = json!({"return_code": "R01", "effective_at": "2026-03-25"});
    let foreseen = books.foresee(&path, &body).await?;
    let named = &foreseen["fees_to_review"][0];
    same("the fee", &text(named, "fee_event_id"), &text(&fee, "fee_event_id"))?;
    let (_, back) = books.send(&path, &key, &body).await;
    same("the answer", &back["fees_to_review"], &foreseen["fees_to_review"])?;
    let status = books.get(&format!("/v1/events/{}", text(&back, "payment_returned_event_id"))).await?;
    same("the status", &status["fees_to_review"], &foreseen["fees_to_review"])?;
    same("the list", &listed(&loan).await?.len(), &1)?;
    let (_, again) = books.send(&path, &key, &body).await;
    same("the answer again", &again, &back)?;
    same("the balances", &loan.balances().await?, &[2_500, 0, 947_500, 0])
}

async fn a_program_asks(books: &Books) -> Told {
    let terms = json!({"late_fees": {"fee_codes": ["late"], "grace_days": 10}});
    let program = books.program(&terms).await?;
    let read = books.get(&format!("/v1/programs/{program}")).await?;
    same("the program", &read["late_fees"], &terms["late_fees"])?;
    let loan = books.open([0, 0, 1_000_000], Some(program)).await?;
    let bare = json!({"amount_minor": "2500", "fee_code": "late"});
    let refused = loan.refused("/v1/fees", "2026-03-17", &bare, "validation_failed").await?;
    same("the field", &refused["errors"][0]["field"], &json!("late_for"))?;
    let (status, foreseen) = {
        let body = json!({"path": "/v1/fees", "body": loan.on("2026-03-17", &bare)});
        books.send("/v1/events/preview", &key(), &body).await
    };
    same("the preview's field", &(status, foreseen["errors"][0]["field"].clone()), &(422, json!("body.late_for")))?;
    loan.charges(100, "2026-03-17").await?;
    // The program's grace is 10 days, to 11 March, where the fee says nothing of it.
    loan.pays(50_000, "2026-03-12").await?;
    let mut fee = late_fee(MARCH, 50_000);
    fee["late_for"].as_object_mut().map(|late_for| late_for.remove("grace_days"));
    loan.refused("/v1/fees", "2026-03-11", &fee, "validation_failed").await?;
    let charged = loan.act("/v1/fees", "2026-03-13", &fee).await?;
    let event = books.get(&format!("/v1/events/{}", text(&charged, "fee_event_id"))).await?;
    same("the grace", &event["late_for"]["grace_days"], &json!(10))?;
    // It says 11 days, to 12 March: the payment was on time.
    fee["late_for"]["grace_days"] = json!(11);
    loan.refused("/v1/fees", "2026-03-13", &fee, "paid_on_time").await.map(drop)
}

/// A loan that was charged a late fee for March, rightly as far as was known: 100.00 of 500.00 had come.
async fn charged(books: &Books) -> Result<(Loan<'_>, Value), String> {
    let loan = books.open([0, 0, 1_000_000], None).await?;
    loan.pays(10_000, "2026-03-01").await?;
    let fee = loan.act("/v1/fees", "2026-03-17", &late_fee(MARCH, 50_000)).await?;
    Ok((loan, fee))
}

/// The fees of a loan that are listed for review.
async fn listed(loan: &Loan<'_>) -> Result<Vec<Value>, String> {
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/fees/reviews?from_date=2026-03-17&to_date=2026-03-17&page_size=2{token}");
        let page = loan.books.get(&path).await?;
        let items = page["items"].as_array().ok_or("reviews are no list")?;
        found.extend(items.iter().filter(|item| item["loan_id"] == json!(loan.id)).cloned());
        match page["next_page_token"].as_str() {
            Some(next) => token = format!("&page_token={next}"),
            None => return Ok(found),
        }
    }
}

async fn a_payment_found_late(books: &Books) -> Told {
    let (loan, fee) = charged(books).await?;
    // 300.00 more, of 10 March: 400.00 of 500.00. Still late.
    let some = loan.pays(30_000, "2026-03-10").await?;
    same("fees to review", &some.get("fees_to_review"), &None)?;
    same("the list", &listed(&loan).await?.len(), &0)?;
    // 100.00 more, of 16 March, the last day of grace: 500.00 of 500.00.
    let (body, key) = (loan.payment(10_000, "2026-03-16"), key());
    let told = json!([{"fee_event_id": fee["fee_event_id"], "fee_code": "late", "effective_at": "2026-03-17",
        "amount_minor": "2500", "late_for": {"period_from": "2026-02-17", "due_at": "2026-03-01", "grace_days": 15,
        "due_minor": "50000", "received_minor": "50000"}}]);
    same("the preview", &books.foresee("/v1/payments", &body).await?["fees_to_review"], &told)?;
    let (_, paid) = books.send("/v1/payments", &key, &body).await;
    same("the answer", &paid["fees_to_review"], &told)?;
    let status = books.get(&format!("/v1/payments/{}", text(&paid, "payment_event_id"))).await?;
    same("the status", &status["fees_to_review"], &told)?;
    // It is told once: a payment behind it shows nothing that was not known.
    let more = loan.pays(100, "2026-03-15").await?;
    same("told again", &more.get("fees_to_review"), &None)?;
    let listed = listed(&loan).await?;
    same(
        "the list",
        &listed.iter().map(|item| text(item, "fee_event_id")).collect(),
        &vec![text(&fee, "fee_event_id")],
    )?;
    same("its figure", &listed[0]["late_for"]["received_minor"], &json!("50100"))?;
    let fees = loan.read("/fees").await?;
    same("the fee", &fees["items"][0]["review"], &json!("paid_on_time"))?;
    // The fee stays, in the balances as well, until somebody waives it.
    same("the fees owed", &loan.balances().await?[0], &2_500)?;
    let (_, again) = books.send("/v1/payments", &key, &body).await;
    same("the answer again", &again, &paid)
}

async fn a_fee_leaves_the_list(books: &Books) -> Told {
    // Waived by event.
    let (loan, _) = charged(books).await?;
    let (body, key) = (loan.payment(40_000, "2026-03-10"), key());
    let (_, paid) = books.send("/v1/payments", &key, &body).await;
    same("the list", &listed(&loan).await?.len(), &1)?;
    let waiver = json!({"amount_minor": "1000", "fee_code": "late"});
    loan.act("/v1/fees/waivers", "2026-03-20", &waiver).await?;
    same("the list after a part", &minor(&listed(&loan).await?[0], "waived_minor"), &1_000)?;
    loan.act("/v1/fees/waivers", "2026-03-20", &json!({"amount_minor": "1500", "fee_code": "late"})).await?;
    same("the list after the rest", &listed(&loan).await?.len(), &0)?;
    let (_, again) = books.send("/v1/payments", &key, &body).await;
    same("what was told then", &again, &paid)?;
    // Taken back.
    let (loan, fee) = charged(books).await?;
    loan.pays(40_000, "2026-03-10").await?;
    loan.reverses(&fee, "2026-03-20").await?;
    same("the list without the fee", &listed(&loan).await?.len(), &0)?;
    // The payment goes back: the fee was right after all.
    let (loan, _) = charged(books).await?;
    let paid = loan.pays(40_000, "2026-03-10").await?;
    same("the list with the payment", &listed(&loan).await?.len(), &1)?;
    loan.returns(&paid, None, "2026-03-20").await?;
    same("the list without it", &listed(&loan).await?.len(), &0)
}

/// Two late fees of one code, of which the younger was for a payment on time.
async fn a_waiver_names_its_fee(books: &Books) -> Told {
    let loan = books.open([0, 0, 1_000_000], None).await?;
    let right = loan.act("/v1/fees", "2026-02-17", &late_fee(FEBRUARY, 50_000)).await?;
    let wrong = loan.act("/v1/fees", "2026-03-17", &late_fee(MARCH, 50_000)).await?;
    let waiver = |fee: &Value, code: &str, amount: i64| json!({"amount_minor": amount.to_string(), "fee_code": code, "fee_event_id": fee["fee_event_id"]});
    // Not of this loan, not of this code, and more than the fee.
    let other = books.open([0, 0, 1_000_000], None).await?.charges(2_500, "2026-03-17").await?;
    for (asked, code) in
        [(waiver(&other, "service", 2_500), "other_loan"), (waiver(&wrong, "nsf", 2_500), "other_code")]
    {
        let refused = loan.refused("/v1/fees/waivers", "2026-03-20", &asked, "validation_failed").await?;
        let named = (&refused["errors"][0]["field"], &refused["errors"][0]["code"]);
        same("the field", &named, &(&json!("fee_event_id"), &json!(code)))?;
    }
    let too_much = waiver(&wrong, "late", 2_501);
    loan.refused("/v1/fees/waivers", "2026-03-20", &too_much, "insufficient_balance").await?;
    // The younger fee is waived, the older one owed still.
    let (body, key) = (loan.on("2026-03-20", &waiver(&wrong, "late", 2_500)), key());
    same("the preview", &books.foresee("/v1/fees/waivers", &body).await?["outcome"], &json!("posted"))?;
    let (status, done) = books.send("/v1/fees/waivers", &key, &body).await;
    same("the waiver", &(status, &done["fee_event_id"]), &(201, &wrong["fee_event_id"]))?;
    let event = books.get(&format!("/v1/events/{}", text(&done, "fee_waived_event_id"))).await?;
    same("the status", &event["fee_event_id"], &wrong["fee_event_id"])?;
    let entry = books.get(&format!("/v1/journal-entries/{}", text(&done, "journal_entry_id"))).await?;
    same("the chain", &entry["correlation_id"], &wrong["fee_event_id"])?;
    let fees = async || -> Result<Vec<[i64; 3]>, String> {
        let fees = loan.read("/fees").await?;
        let parts = |fee: &Value| ["paid_minor", "waived_minor", "outstanding_minor"].map(|name| minor(fee, name));
        Ok(fees["items"].as_array().into_iter().flatten().map(parts).collect())
    };
    same("the fees", &fees().await?, &vec![[0, 0, 2_500], [0, 2_500, 0]])?;
    // A payment of March is found. It pays the older fee, and shows nothing: the younger one is waived.
    let found = loan.pays(50_000, "2026-03-01").await?;
    same("the split", &parts(&found["allocation"]), &[2_500, 0, 47_500, 0])?;
    same("fees to review", &found.get("fees_to_review"), &None)?;
    same("the fees", &fees().await?, &vec![[2_500, 0, 0], [0, 2_500, 0]])?;
    // The same request is answered again; one that names another fee, or none, is another request.
    let (status, again) = books.send("/v1/fees/waivers", &key, &body).await;
    same("the answer again", &(status, &again), &(200, &done))?;
    let mut none = body.clone();
    none.as_object_mut().map(|body| body.remove("fee_event_id"));
    for asked in [loan.on("2026-03-20", &waiver(&right, "late", 2_500)), none] {
        let (_, other) = books.send("/v1/fees/waivers", &key, &asked).await;
        same("another request", &other["code"], &json!("idempotency_mismatch"))?;
        same("its field", &other["errors"][0]["field"], &json!("fee_event_id"))?;
    }
    Ok(())
}
