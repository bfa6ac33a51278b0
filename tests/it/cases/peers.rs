//! Faults of peers that this ledger must not have, each as a case on the whole path. The numbers are our own.
//!
//! | seen at | the fault | told by |
//! | --- | --- | --- |
//! | FINERACT-1841 | a charge-back made journal entries of earlier events again | [`a_charge_back_leaves_earlier_entries_alone`] |
//! | FINERACT-1888, 1889, 2042 | a charge-back on an overpaid loan: wrong account, negative overpaid, wrong part to principal | [`a_charge_back_takes_suspense_first`] |
//! | FINERACT-1806, 2456 | a charge-off was not computed anew on replay; wrong behind a reversal and refunds | [`a_charge_off_is_computed_anew`], [`a_charge_off_behind_a_refund_is_computed_anew`] |
//! | FINERACT-1905 | charges left out of a replay; a charge and a payment of one day | [`a_fee_and_a_payment_of_one_day`] |
//! | FINERACT-2024 | the overpaid part was wrong when a refund was replayed | [`a_refund_is_replayed`] |
//! | FINERACT-1981 | a disbursement on an overpaid loan | [`money_lent_on_an_overpaid_loan`] |
//! | FINERACT-2081, 2060 | accruals taken back and replayed several times | `store::accruals` and `oracles::path::interest` |
//! | FINERACT-2326 | a reversal failed once all was repaid | [`a_payment_of_a_repaid_loan_is_taken_back`] |
//! | FINERACT-2356 | wrong entries for a write-off behind a charge-off | [`a_loan_that_is_charged_off_is_settled`] |
//! | Fineract PR 6454, its review | pairs of reversals and postings that cancel | [`a_replay_without_effect_writes_nothing`] |
//! | Fineract, its code | a charge-off computed anew took the penalty charged, not the penalty owed | [`a_charge_off_takes_of_a_fee_what_is_owed`] |
//! | Mambu CCI-I-2 | an accrual dated on the next day | `store::accruals` and `oracles::path::interest` |
//! | lana-bank | a payment above the balance was refused | [`a_cent_too_much_is_kept`] |
//! | moov PR 1575, 928 | one trace number twice in files of banks | [`one_trace_number_twice`] |
//! | Core KB | one lockbox file imported twice | [`one_file_imported_twice`] |

use serde_json::{Value, json};

use super::loan::{Books, Upload, key, parts, same, text};
use super::{Case, Told};
use crate::processes::client::BORROWER;
use crate::support::ach::AchFile;
use hpts::core::ach::SecCode;

/// The cases, by the names in the table.
pub(super) const CASES: &[Case] = &[
    Case { name: "FINERACT-1841", run: |books| Box::pin(a_charge_back_leaves_earlier_entries_alone(books)) },
    Case { name: "FINERACT-1888, 1889, 2042", run: |books| Box::pin(a_charge_back_takes_suspense_first(books)) },
    Case { name: "FINERACT-1806", run: |books| Box::pin(a_charge_off_is_computed_anew(books)) },
    Case { name: "FINERACT-2456", run: |books| Box::pin(a_charge_off_behind_a_refund_is_computed_anew(books)) },
    Case { name: "FINERACT-1905", run: |books| Box::pin(a_fee_and_a_payment_of_one_day(books)) },
    Case { name: "FINERACT-2024", run: |books| Box::pin(a_refund_is_replayed(books)) },
    Case { name: "FINERACT-1981", run: |books| Box::pin(money_lent_on_an_overpaid_loan(books)) },
    Case { name: "FINERACT-2326", run: |books| Box::pin(a_payment_of_a_repaid_loan_is_taken_back(books)) },
    Case { name: "FINERACT-2356", run: |books| Box::pin(a_loan_that_is_charged_off_is_settled(books)) },
    Case { name: "Fineract PR 6454", run: |books| Box::pin(a_replay_without_effect_writes_nothing(books)) },
    Case { name: "Fineract's penalty", run: |books| Box::pin(a_charge_off_takes_of_a_fee_what_is_owed(books)) },
    Case { name: "lana-bank", run: |books| Box::pin(a_cent_too_much_is_kept(books)) },
    Case { name: "moov PR 1575, 928", run: |books| Box::pin(one_trace_number_twice(books)) },
    Case { name: "Core KB", run: |books| Box::pin(one_file_imported_twice(books)) },
];

/// The lines of the entry that an operation answered with: account, and cents with debits positive.
async fn lines(books: &Books, done: &Value) -> Result<Vec<(String, i64)>, String> {
    let entry = books.get(&format!("/v1/journal-entries/{}", text(done, "journal_entry_id"))).await?;
    let line = |line: &Value| {
        let amount = super::loan::minor(line, "amount_minor");
        (text(line, "account_code"), if line["direction"] == "DR" { amount } else { -amount })
    };
    Ok(entry["lines"].as_array().into_iter().flatten().map(line).collect())
}

fn owned(lines: &[(&str, i64)]) -> Vec<(String, i64)> {
    lines.iter().map(|(account, amount)| ((*account).to_owned(), *amount)).collect()
}

async fn a_charge_back_leaves_earlier_entries_alone(books: &Books) -> Told {
    let program = books.program(&json!({"returns": "chargeback"})).await?;
    let loan = books.open([2_500, 0, 100_000], Some(program)).await?;
    let paid = loan.pays(10_000, "2026-03-01").await?;
    loan.charges(1_000, "2026-03-05").await?;
    loan.pays(10_000, "2026-03-10").await?;
    let before = loan.entries().await?;
    loan.returns(&paid, Some(4_000), "2026-03-15").await?;
    let after = loan.entries().await?;
    // One entry more, behind those that were there, which are as they were.
    same("the number of entries", &after.len(), &(before.len() + 1))?;
    same("the entries before", &after[..before.len()], &before[..])
}

async fn a_charge_back_takes_suspense_first(books: &Books) -> Told {
    let program = books.program(&json!({"returns": "chargeback"})).await?;
    // 1,200.00 paid on 1,000.00: 200.00 in suspense. What is charged back: less, as much, and more than that.
    for (back, balances, expected) in [
        (5_000, [0, 0, 0, 15_000], vec![("2100", 5_000), ("1010", -5_000)]),
        (20_000, [0, 0, 0, 0], vec![("2100", 20_000), ("1010", -20_000)]),
        (50_000, [0, 0, 30_000, 0], vec![("1100", 30_000), ("2100", 20_000), ("1010", -50_000)]),
    ] {
        let loan = books.open([0, 0, 100_000], Some(program)).await?;
        let paid = loan.pays(120_000, "2026-03-01").await?;
        let returned = loan.returns(&paid, Some(back), "2026-03-10").await?;
        same(&format!("the lines of {back}"), &lines(books, &returned).await?, &owned(&expected))?;
        same(&format!("the balances behind {back}"), &loan.balances().await?, &balances)?;
    }
    Ok(())
}

async fn a_charge_off_is_computed_anew(books: &Books) -> Told {
    let loan = books.open([0, 0, 100_000], None).await?;
    let paid = loan.pays(20_000, "2026-03-01").await?;
    // 800.00 are charged off; then the 200.00 of a day before it go back: 1,000.00 are.
    loan.act("/v1/chargeoffs", "2026-04-01", &json!({})).await?;
    let returned = loan.returns(&paid, None, "2026-04-10").await?;
    let restated = returned["restated"].as_array().cloned().unwrap_or_default();
    same(
        "what is restated",
        &restated.iter().map(|it| text(it, "event_type")).collect(),
        &vec!["chargeoff".to_owned()],
    )?;
    let difference = [("1100", -20_000), ("5100", 20_000), ("9100", 20_000), ("9900", -20_000)];
    let mut seen = lines(books, &restated[0]).await?;
    seen.sort();
    same("the difference", &seen, &owned(&difference))?;
    let shown = loan.read("").await?;
    same("what is charged off", &shown["charged_off"]["principal_owed_minor"], &json!("100000"))?;
    same("the balances", &loan.balances().await?, &[0; 4])
}

async fn a_charge_off_behind_a_refund_is_computed_anew(books: &Books) -> Told {
    let loan = books.open([0, 0, 100_000], None).await?;
    // 1,100.00 pay 1,000.00, and the 100.00 too much are given back; 500.00 are lent anew and charged off.
    let paid = loan.pays(110_000, "2026-03-01").await?;
    loan.act("/v1/suspense/refunds", "2026-03-05", &json!({})).await?;
    let lent = json!({"borrower_id": BORROWER, "amount_minor": "50000", "currency": "USD", "method": "ach"});
    loan.act("/v1/disbursements", "2026-03-10", &lent).await?;
    loan.act("/v1/chargeoffs", "2026-04-01", &json!({})).await?;
    // The payment goes back: 1,000.00 are owed again, the 100.00 were not the borrower's, and 500.00: 1,600.00.
    loan.returns(&paid, None, "2026-04-10").await?;
    let shown = loan.read("").await?;
    same("what is charged off", &shown["charged_off"]["principal_owed_minor"], &json!("160000"))?;
    same("the balances", &loan.balances().await?, &[0; 4])
}

async fn a_fee_and_a_payment_of_one_day(books: &Books) -> Told {
    for (fee_first, split, fees) in [(true, [2_500, 0, 7_500, 0], 0), (false, [0, 0, 10_000, 0], 2_500)] {
        let loan = books.open([0, 0, 100_000], None).await?;
        if fee_first {
            loan.charges(2_500, "2026-03-10").await?;
        }
        let paid = loan.pays(10_000, "2026-03-10").await?;
        if !fee_first {
            loan.charges(2_500, "2026-03-10").await?;
        }
        same("the split", &parts(&paid["allocation"]), &split)?;
        // What came late is replayed over both, the fee with them: in the order in which they came.
        let late = loan.pays(5_000, "2026-03-01").await?;
        same("what is restated", &late.get("restated"), &None)?;
        same("the split of today", &loan.split(&paid).await?, &split)?;
        same("the fees owed", &loan.balances().await?[0], &fees)?;
    }
    Ok(())
}

async fn a_refund_is_replayed(books: &Books) -> Told {
    let loan = books.open([0, 0, 100_000], None).await?;
    let paid = loan.pays(120_000, "2026-03-01").await?;
    loan.act("/v1/suspense/refunds", "2026-03-10", &json!({"amount_minor": "15000"})).await?;
    same("the balances", &loan.balances().await?, &[0, 0, 0, 5_000])?;
    // 30.00 of 20 February: 970.00 are left for 1 March, so 230.00 of it stay, and 80.00 behind the refund.
    loan.pays(3_000, "2026-02-20").await?;
    same("the split of today", &loan.split(&paid).await?, &[0, 0, 97_000, 23_000])?;
    same("the balances behind a late payment", &loan.balances().await?, &[0, 0, 0, 8_000])?;
    // The 1,200.00 go back: 970.00 are owed, and the 150.00 that were refunded were not the borrower's.
    loan.returns(&paid, None, "2026-03-15").await?;
    same("the balances behind the return", &loan.balances().await?, &[0, 0, 112_000, 0])
}

async fn money_lent_on_an_overpaid_loan(books: &Books) -> Told {
    // 200.00 too much, and 500.00 more are lent: they are paid with the 200.00 where the program says so.
    for (release, balances) in [("automatic", [0, 0, 30_000, 0]), ("manual", [0, 0, 50_000, 20_000])] {
        let program = books.program(&json!({"suspense_release": release})).await?;
        let loan = books.open([0, 0, 100_000], Some(program)).await?;
        loan.pays(120_000, "2026-03-01").await?;
        let lent = json!({"borrower_id": BORROWER, "amount_minor": "50000", "currency": "USD", "method": "ach"});
        loan.act("/v1/disbursements", "2026-03-10", &lent).await?;
        same(release, &loan.balances().await?, &balances)?;
    }
    Ok(())
}

async fn a_payment_of_a_repaid_loan_is_taken_back(books: &Books) -> Told {
    let loan = books.open([0, 0, 100_000], None).await?;
    let paid = loan.pays(60_000, "2026-03-01").await?;
    loan.pays(40_000, "2026-03-15").await?;
    same("the balances", &loan.balances().await?, &[0; 4])?;
    loan.reverses(&paid, "2026-03-20").await?;
    same("the balances behind the reversal", &loan.balances().await?, &[0, 0, 60_000, 0])?;
    loan.pays(60_000, "2026-03-21").await?;
    same("the balances behind another payment", &loan.balances().await?, &[0; 4])
}

async fn a_loan_that_is_charged_off_is_settled(books: &Books) -> Told {
    let loan = books.open([0, 0, 100_000], None).await?;
    let off = loan.act("/v1/chargeoffs", "2026-03-01", &json!({})).await?;
    let expected = [("5100", 100_000), ("1100", -100_000), ("9100", 100_000), ("9900", -100_000)];
    same("the charge-off", &lines(books, &off).await?, &owned(&expected))?;
    // 400.00 settle it: the loss is what is left of the memo, and no second charge-off writes anything.
    let paid = loan.act("/v1/recoveries", "2026-04-01", &json!({"amount_minor": "40000"})).await?;
    let expected = [("1010", 40_000), ("4300", -40_000), ("9900", 40_000), ("9100", -40_000)];
    same("the recovery", &lines(books, &paid).await?, &owned(&expected))?;
    let before = loan.entries().await?;
    loan.refused("/v1/chargeoffs", "2026-04-02", &json!({"collectible": false}), "loan_closed").await?;
    same("the entries", &loan.entries().await?, &before)?;
    let shown = loan.read("").await?;
    same("what is owed still", &shown["charged_off"]["principal_owed_minor"], &json!("60000"))
}

async fn a_replay_without_effect_writes_nothing(books: &Books) -> Told {
    let loan = books.open([0, 0, 100_000], None).await?;
    loan.pays(10_000, "2026-03-10").await?;
    loan.pays(10_000, "2026-03-20").await?;
    let before = loan.entries().await?;
    let late = loan.pays(5_000, "2026-03-01").await?;
    same("what is restated", &late.get("restated"), &None)?;
    same("the number of entries", &loan.entries().await?.len(), &(before.len() + 1))
}

async fn a_charge_off_takes_of_a_fee_what_is_owed(books: &Books) -> Told {
    let loan = books.open([0, 0, 100_000], None).await?;
    loan.charges(2_500, "2026-02-01").await?;
    loan.pays(1_000, "2026-02-10").await?;
    // 15.00 of the 25.00 are owed and charged off; 5.00 of 5 February are found: 10.00.
    loan.act("/v1/chargeoffs", "2026-03-01", &json!({})).await?;
    same("the fees charged off", &loan.read("").await?["charged_off"]["fees_owed_minor"], &json!("1500"))?;
    loan.pays(500, "2026-02-05").await?;
    same("the fees charged off today", &loan.read("").await?["charged_off"]["fees_owed_minor"], &json!("1000"))?;
    let fee = loan.read("/fees").await?["items"][0].clone();
    let seen = ["assessed_minor", "paid_minor", "charged_off_minor"].map(|name| text(&fee, name));
    same("the fee", &seen, &["2500", "1500", "1000"].map(str::to_owned))
}

async fn a_cent_too_much_is_kept(books: &Books) -> Told {
    let loan = books.open([0, 0, 10_000], None).await?;
    let paid = loan.pays(10_001, "2026-03-01").await?;
    same("the split", &parts(&paid["allocation"]), &[0, 0, 10_000, 1])
}

/// Two entries of one file, in two batches, under one trace number: banks send such.
async fn one_trace_number_twice(books: &Books) -> Told {
    let numbers = ["91575", "92928"];
    let first = books.open_numbered([0, 0, 100_000], None, Some(numbers[0])).await?;
    let second = books.open_numbered([0, 0, 100_000], None, Some(numbers[1])).await?;
    let mut file = AchFile::new('T');
    file.batch(SecCode::Ppd).debit(numbers[0], 10_000);
    file.batch(SecCode::Ppd).debit(numbers[1], 20_000);
    let bytes = String::from_utf8(file.finish()).map_err(|error| error.to_string())?;
    // An entry's trace number stands in its last 15 characters.
    let entries: Vec<&str> = bytes.lines().filter(|line| line.starts_with('6')).collect();
    let [one, other] = entries.as_slice() else { return Err(format!("two entries were to be made: {entries:?}")) };
    let (Some((entry, _)), Some((_, trace))) = (other.split_at_checked(79), one.split_at_checked(79)) else {
        return Err("an entry has 94 characters".to_owned());
    };
    let same_trace = format!("{entry}{trace}");
    let bytes = bytes.replace(other, &same_trace);
    books.upload("/v1/ach/files?feed=demo", &key(), Upload::Text(&bytes)).await?;
    same("the first", &first.balances().await?[2], &90_000)?;
    same("the second", &second.balances().await?[2], &80_000)
}

/// A lockbox file comes a second time under another name: its rows have the keys that they had.
async fn one_file_imported_twice(books: &Books) -> Told {
    let loan = books.open([0, 0, 100_000], None).await?;
    let row = |number: usize| {
        let mut row = loan.payment(10_000, "2026-03-01");
        row["idempotency_key"] = json!(format!("lockbox:{}:{number}", loan.id));
        row
    };
    let file = json!({"payments": [row(1), row(2)]});
    let first = books.upload("/v1/payments/batch", &key(), Upload::Json(&file)).await?;
    same("the rows accepted", &first["accepted"], &json!(2))?;
    let before = loan.entries().await?;
    same("the principal", &loan.balances().await?[2], &80_000)?;
    let second = books.upload("/v1/payments/batch", &key(), Upload::Json(&file)).await?;
    same("the rows again", &(second["accepted"].clone(), second["duplicates"].clone()), &(json!(0), json!(2)))?;
    same("the entries", &loan.entries().await?, &before)
}
