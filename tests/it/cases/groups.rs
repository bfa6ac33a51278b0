//! Operations over several loans, and what takes them back: foreseen as they come, and told alike by the first answer, by
//! the same answer again, and by the status.

use hpts::core::ach::SecCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::loan::{Books, Loan, Upload, key, parts, same, text};
use super::{Case, Told};
use crate::support::ach::AchFile;

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case { name: "suspense transferred late, and back", run: |books| Box::pin(a_late_transfer(books)) },
    Case { name: "an accrual late, and back", run: |books| Box::pin(a_late_accrual(books)) },
    Case { name: "a restructure late, and back", run: |books| Box::pin(a_late_restructure(books)) },
    Case { name: "a refinance late, and back", run: |books| Box::pin(a_late_refinance(books)) },
    Case { name: "a receipt that found its loan late, and back", run: |books| Box::pin(a_late_assignment(books)) },
    Case { name: "a group that would be refused", run: |books| Box::pin(a_refused_group(books)) },
    Case { name: "a group of more loans than are previewed", run: |books| Box::pin(a_large_group(books)) },
];

/// What was restated: the event's type, its split before and its split now.
type Restated = (String, [i64; 4], [i64; 4]);

/// The members of a balance.
const BUCKETS: [&str; 4] =
    ["fees_receivable_minor", "interest_receivable_minor", "principal_outstanding_minor", "suspense_minor"];

fn list(of: &Value, name: &str) -> Vec<Value> {
    of[name].as_array().cloned().unwrap_or_default()
}

/// All that the legs of a preview have of a sort, in their order.
fn of_legs(told: &Value, name: &str) -> Vec<Value> {
    list(told, "legs").iter().flat_map(|leg| list(leg, name)).collect()
}

/// The balances of each leg's loan are what the preview says; a loan that is not there yet has none.
async fn balances_are(books: &Books, told: &Value, when: &str) -> Told {
    for leg in list(told, "legs") {
        let now = books.get(&format!("/v1/loans/{}/balance", text(&leg, "loan_id"))).await.unwrap_or_default();
        // The loan of receipts that have none is nobody's, and has no address.
        if now.is_null() && leg[when]["total_exposure_minor"] == "0" {
            continue;
        }
        for bucket in BUCKETS {
            same(&format!("{bucket} {when} of {leg}"), &leg[when][bucket], &now[bucket])?;
        }
    }
    Ok(())
}

/// An operation over several loans does what was foreseen of it: the entry line by line, each split of what it restates,
/// the balances before and after. Answers what it answered.
async fn comes_true(books: &Books, path: &str, body: &Value) -> Result<Value, String> {
    let told = books.foresee(path, body).await?;
    same("the outcome", &told["outcome"], &json!("posted"))?;
    balances_are(books, &told, "balances_before").await?;

    let key = key();
    let (status, done) = books.send(path, &key, body).await;
    same(&format!("the status of {done}"), &status, &201)?;

    balances_are(books, &told, "balances_after").await?;
    for name in ["amount_minor", "loan_count", "total_accrued_minor", "allocation"] {
        same(name, &told.get(name), &done.get(name))?;
    }
    let entry = books.get(&format!("/v1/journal-entries/{}", text(&done, "journal_entry_id"))).await?;
    let mut lines = of_legs(&told, "lines");
    for (line, sequence) in lines.iter_mut().zip(1..) {
        // An entry's lines are numbered over all its loans.
        line["sequence"] = json!(sequence);
    }
    same("the lines", &lines, &list(&entry, "lines"))?;
    same("the fees to review", &of_legs(&told, "fees_to_review"), &list(&done, "fees_to_review"))?;
    restated_is(books, &of_legs(&told, "restated"), &list(&done, "restated")).await?;

    let (status, again) = books.send(path, &key, body).await;
    same("the same request again", &(status, &again), &(200, &done))?;
    let id: Uuid = text(&entry, "journal_entry_id").parse().map_err(|_| "no entry".to_owned())?;
    let event = books.get(&format!("/v1/events/{}", Uuid::from_u128(id.as_u128() & !1))).await?;
    for name in ["restated", "fees_to_review"] {
        same(&format!("{name} of the status"), &event.get(name), &done.get(name))?;
    }
    Ok(done)
}

/// What was foreseen to be restated is what was, each with its split before and after and the lines of the difference.
async fn restated_is(books: &Books, told: &[Value], done: &[Value]) -> Told {
    let names = ["event_id", "event_type", "effective_at", "allocation_before", "allocation"];
    let of = |all: &[Value]| all.iter().map(|one| names.map(|name| one[name].clone())).collect::<Vec<_>>();
    same("what is restated", &of(told), &of(done))?;
    for (told, done) in told.iter().zip(done) {
        let entry = books.get(&format!("/v1/journal-entries/{}", text(done, "journal_entry_id"))).await?;
        same("the lines of the difference", &list(told, "lines"), &list(&entry, "lines"))?;
    }
    Ok(())
}

/// What something restated: the types of the events, their splits before and their splits now.
fn restated(done: &Value) -> Vec<Restated> {
    let of = |one: &Value| (text(one, "event_type"), parts(&one["allocation_before"]), parts(&one["allocation"]));
    list(done, "restated").iter().map(of).collect()
}

fn payment(before: [i64; 4], now: [i64; 4]) -> Restated {
    ("payment_received".to_owned(), before, now)
}

fn accrual(before: i64, now: i64) -> Restated {
    ("accrual".to_owned(), [0, before, 0, 0], [0, now, 0, 0])
}

fn undoing(done: &Value, day: &str) -> Value {
    json!({"reverses_entry_id": done["journal_entry_id"], "reason_code": "error_correction", "effective_at": day})
}

/// A payment of 8.00 on 1 March pays fees of 5.00. Then 6.00 in suspense come from another loan, of 1 February, and pay the
/// fees; and they go back.
async fn a_late_transfer(books: &Books) -> Told {
    let program = books.program(&json!({"suspense_release": "automatic"})).await?;
    let from = books.open([0, 0, 10_000], None).await?;
    from.pays(10_600, "2026-01-10").await?;
    let to = books.open([500, 0, 100_000], Some(program)).await?;
    let paid = to.pays(800, "2026-03-01").await?;
    same("the split", &parts(&paid["allocation"]), &[500, 0, 300, 0])?;

    let body = from.on("2026-02-01", &json!({"to_loan_id": to.id, "amount_minor": "600"}));
    let moved = comes_true(books, "/v1/suspense/transfers", &body).await?;
    same("behind the transfer", &restated(&moved), &vec![payment([500, 0, 300, 0], [0, 0, 800, 0])])?;
    same("the split then", &to.split(&paid).await?, &[0, 0, 800, 0])?;

    let back = comes_true(books, "/v1/reversals", &undoing(&moved, "2026-03-05")).await?;
    // What had paid the fees goes as well.
    let released = ("payment_allocated".to_owned(), [500, 0, 100, 0], [0; 4]);
    same("behind its reversal", &restated(&back), &vec![released, payment([0, 0, 800, 0], [500, 0, 300, 0])])?;
    same("the split again", &to.split(&paid).await?, &[500, 0, 300, 0])?;
    let twice = books.foresee("/v1/reversals", &undoing(&moved, "2026-03-05")).await?;
    same("a second time", &twice["rejection_code"], &json!("already_undone"))
}

fn accrued(loan: &Loan<'_>, program: Uuid, day: &str) -> Value {
    json!({"program_id": program, "accrual_date": day, "day_count_convention": "ACT_365",
        "loans": [{"loan_id": loan.id, "outstanding_principal_minor": "1000000"}]})
}

/// 10,000.00 by 2.00 a day. Of twenty days that are accrued, ten get an accrual of their own later, which is taken back.
async fn a_late_accrual(books: &Books) -> Told {
    let program = books.program(&json!({"annual_rate": "7.3"})).await?;
    let loan = books.open([0, 0, 1_000_000], Some(program)).await?;
    let path = "/v1/accruals/batch";
    let whole = comes_true(books, path, &accrued(&loan, program, "2026-01-19")).await?;
    same("twenty days", &whole["total_accrued_minor"], &json!("4000"))?;
    same("in order", &whole.get("restated"), &None)?;

    let late = comes_true(books, path, &accrued(&loan, program, "2026-01-09")).await?;
    same("ten days", &late["total_accrued_minor"], &json!("2000"))?;
    same("behind the late one", &restated(&late), &vec![accrual(4_000, 2_000)])?;
    let next = comes_true(books, path, &accrued(&loan, program, "2026-01-24")).await?;
    same("five more", &next["total_accrued_minor"], &json!("1000"))?;

    let back = comes_true(books, "/v1/reversals", &undoing(&late, "2026-02-01")).await?;
    same("behind its reversal", &restated(&back), &vec![accrual(2_000, 4_000)])?;
    same("the balances", &loan.balances().await?, &[0, 5_000, 1_000_000, 0])
}

/// Interest of 50.00 becomes principal on the tenth of twenty days that are accrued: so ten of them bear 2.01.
async fn a_late_restructure(books: &Books) -> Told {
    let program = books.program(&json!({"annual_rate": "7.3"})).await?;
    let loan = books.open([0, 5_000, 1_000_000], Some(program)).await?;
    books.post("/v1/accruals/batch", &accrued(&loan, program, "2026-01-19")).await?;
    let terms = json!({"moves": [{"from": "interest", "to": "principal", "amount_minor": "5000"}]});
    let body = loan.on("2026-01-10", &terms);
    let moved = comes_true(books, "/v1/restructures", &body).await?;
    same("behind the restructure", &restated(&moved), &vec![accrual(4_000, 4_010)])?;
    let back = comes_true(books, "/v1/reversals", &undoing(&moved, "2026-02-01")).await?;
    same("behind its reversal", &restated(&back), &vec![accrual(4_010, 4_000)])
}

/// A loan is paid off by a new one, of a day in front of an accrual: its days from then on come to nothing.
async fn a_late_refinance(books: &Books) -> Told {
    let program = books.program(&json!({"annual_rate": "7.3"})).await?;
    let old = books.open([0, 0, 1_000_000], Some(program)).await?;
    books.post("/v1/accruals/batch", &accrued(&old, program, "2026-01-19")).await?;
    let new = Uuid::new_v4();
    let terms = json!({"to_loan_id": new, "moves": [{"from": "principal", "to": "principal", "amount_minor": "1000000"}],
        "new_loan": {"program_id": program}});
    let body = old.on("2026-01-10", &terms);
    let moved = comes_true(books, "/v1/refinances", &body).await?;
    same("behind the refinance", &restated(&moved), &vec![accrual(4_000, 2_000)])?;
    same("the old loan", &old.balances().await?, &[0, 2_000, 0, 0])?;
    let again = books.foresee("/v1/refinances", &body).await?;
    same("a second time", &again["rejection_code"], &json!("principal_mismatch"))?;
    let back = comes_true(books, "/v1/reversals", &undoing(&moved, "2026-02-01")).await?;
    same("behind its reversal", &restated(&back), &vec![accrual(2_000, 4_000)])
}

/// 50.00 for a number that nobody has wait without a loan. A fee of 5.00 was paid by a later payment; when the receipt
/// finds its loan it pays the fee, and a late fee was charged for nothing.
async fn a_late_assignment(books: &Books) -> Told {
    let mut file = AchFile::new('U');
    file.batch(SecCode::Ppd).debit("77123456", 5_000);
    let bytes = String::from_utf8(file.finish()).map_err(|error| error.to_string())?;
    let sent = books.upload("/v1/ach/files?feed=demo", &key(), Upload::Text(&bytes)).await?;
    let row = books.get(&format!("/v1/batches/{}/results", text(&sent, "batch_id"))).await?;
    let receipt = text(&row, "payment_event_id");
    let day = books.get(&format!("/v1/events/{receipt}")).await?["effective_at"].clone();
    let loan = books.open([500, 0, 100_000], None).await?;
    let fee = json!({"loan_id": loan.id, "amount_minor": "2500", "fee_code": "late", "effective_at": "2026-05-02",
        "late_for": {"period_from": day, "due_at": day, "due_minor": "5000"}});
    let fee = books.post("/v1/fees", &fee).await?;
    let paid = loan.pays(9_000, "2026-05-02").await?;
    same("the split", &parts(&paid["allocation"]), &[3_000, 0, 6_000, 0])?;

    let path = format!("/v1/receipts/{receipt}/assignment");
    let assigned = comes_true(books, &path, &json!({"loan_id": loan.id})).await?;
    same("what the receipt pays", &parts(&assigned["allocation"]), &[500, 0, 4_500, 0])?;
    same("behind it", &restated(&assigned), &vec![payment([3_000, 0, 6_000, 0], [2_500, 0, 6_500, 0])])?;
    same("the fee to review", &assigned["fees_to_review"][0]["fee_event_id"], &fee["fee_event_id"])?;
    let back = comes_true(books, "/v1/reversals", &undoing(&assigned, "2026-05-03")).await?;
    same("behind its reversal", &restated(&back), &vec![payment([2_500, 0, 6_500, 0], [3_000, 0, 6_000, 0])])
}

/// What would be refused is foreseen to be, with the rule and the loans.
async fn a_refused_group(books: &Books) -> Told {
    let from = books.open([0, 0, 10_000], None).await?;
    let to = books.open([0, 0, 10_000], None).await?;
    let body = from.on("2026-02-01", &json!({"to_loan_id": to.id, "amount_minor": "600"}));
    let told = books.foresee("/v1/suspense/transfers", &body).await?;
    let refused = from.refused("/v1/suspense/transfers", "2026-02-01", &body, "insufficient_balance").await?;
    same("the rule", &told["rejection_code"], &refused["code"])?;
    same("the loans", &told["loans"], &refused["loans"])?;
    for leg in list(&told, "legs") {
        same("a leg", &leg["rejection_code"], &json!("insufficient_balance"))?;
        same("its balances", &leg["balances_after"], &leg["balances_before"])?;
    }
    Ok(())
}

/// Seventeen loans accrue at once and are taken back at once; no preview is made of it, which does not say that it would
/// be refused.
async fn a_large_group(books: &Books) -> Told {
    let mut loans = Vec::new();
    for _ in 0..17 {
        let loan = books.open([0, 0, 100_000], None).await?;
        loans.push(json!({"loan_id": loan.id, "outstanding_principal_minor": "100000", "interest_minor": "10"}));
    }
    let body = json!({"program_id": Uuid::new_v4(), "accrual_date": "2026-01-19", "day_count_convention": "ACT_365",
        "loans": loans});
    let unforeseen = async |path: &str, body: &Value| {
        let body = json!({"path": path, "body": body});
        let (status, answer) = books.send("/v1/events/preview", &key(), &body).await;
        same(path, &(status, text(&answer, "code")), &(422, "no_preview".to_owned()))
    };
    unforeseen("/v1/accruals/batch", &body).await?;
    let done = books.post("/v1/accruals/batch", &body).await?;
    unforeseen("/v1/reversals", &undoing(&done, "2026-02-01")).await?;
    books.post("/v1/reversals", &undoing(&done, "2026-02-01")).await.map(|_| ())
}
