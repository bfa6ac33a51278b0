//! Owns the rows of `tests/data/waterfall.json`: one payment on a loan that owes what the row says.

use serde_json::Value;

use super::life::{Books, cents, order_of, parts, same};
use super::{Reason, Rows, Told};

const DATA: &str = include_str!("../../../data/waterfall.json");

/// How many rows run: those of the pure test.
pub(super) const RUN: usize = 14;

/// The day of every payment.
const PAID_ON: &str = "2023-02-01";

/// The same rows as the pure test of the waterfall leaves out, for the same reasons.
pub(super) fn left_out() -> Vec<(&'static str, Reason)> {
    let ours = |reason| match reason {
        crate::oracles::waterfall::Reason::TwoStage => Reason::TwoStage,
        crate::oracles::waterfall::Reason::PenaltyApartFromFee => Reason::PenaltyApartFromFee,
        crate::oracles::waterfall::Reason::AimedAtOneFee => Reason::AimedAtOneFee,
        crate::oracles::waterfall::Reason::ReturnedPayment => Reason::ChargeBack,
        crate::oracles::waterfall::Reason::HeldPartialPayment => Reason::HeldPartialPayment,
    };
    crate::oracles::waterfall::LEFT_OUT.into_iter().map(|(id, reason)| (id, ours(reason))).collect()
}

/// The rows.
pub(super) fn rows(books: &Books) -> Rows<'_> {
    let file: Value = serde_json::from_str(DATA).unwrap();
    let mut rows = Rows::new("waterfall.json");
    for case in file["cases"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        match order(case) {
            Ok(order) => rows.runs(id, pay(books, order, case.clone())),
            Err(reason) => rows.leaves_out(id, reason),
        }
    }
    for (list, reason) in
        [("returned_payment_cases", Reason::ChargeBack), ("suspense_examples", Reason::HeldPartialPayment)]
    {
        for row in file[list].as_array().unwrap() {
            rows.leaves_out(row["id"].as_str().unwrap(), reason);
        }
    }
    rows
}

fn order(case: &Value) -> Result<Vec<&'static str>, Reason> {
    let words = case["order"].as_array().filter(|_| case["two_stage"].is_null()).ok_or(Reason::TwoStage)?;
    let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
    let reason = if words.len() == 4 { Reason::PenaltyApartFromFee } else { Reason::AimedAtOneFee };
    order_of(&words, &[]).ok_or(reason)
}

async fn pay(books: &Books, order: Vec<&'static str>, case: Value) -> Told {
    let owed =
        |of: &Value| [cents(&of["penalty"]) + cents(&of["fee"]), cents(&of["interest"]), cents(&of["principal"])];
    let loan = books.open(&order, owed(&case["before"])).await?;
    let paid = loan.pays(cents(&case["payment"]), PAID_ON).await?;
    let [fees, interest, principal] = owed(&case["expected"]);
    same("split", &parts(&paid["allocation"])?, &[fees, interest, principal, cents(&case["unapplied"])])?;
    let left: i64 = owed(&case["before"]).iter().sum::<i64>() - fees - interest - principal;
    same("owed and suspense", &loan.owed().await?, &(left, cents(&case["unapplied"])))?;
    Ok(6)
}
