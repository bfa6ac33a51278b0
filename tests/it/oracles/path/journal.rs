//! Owns the rows of `tests/data/journal.json`: for each, a loan that owes what the row's entry credits, and the act; the
//! lines of its journal entry are the row's.
//!
//! Their "Suspense/Clearing account" is our clearing (1010, 1020; a refund waits in 2300 until it is sent), their
//! overpayment our suspense; they keep interest and fees receivable in one account. Memo accounts are ours alone.

use std::collections::BTreeMap;

use serde_json::Value;

use super::life::{Books, Loan, cents, same};
use super::{Expected, Reason, Rows, Told};

const DATA: &str = include_str!("../../../data/journal.json");

/// A value is all lines of an entry.
pub(super) const EXPECTED: Expected = Expected {
    run: 60,
    compared: 60,
    left_out: &[
        ("je-LoanRepayment-L899", Reason::Goodwill),
        ("je-LoanRepayment-L992", Reason::Goodwill),
        ("je-LoanChargeOff-L301", Reason::FraudAccount),
        ("je-LoanChargeOff-L379", Reason::FraudAccount),
        ("je-LoanChargeOff-L1403", Reason::FraudAccount),
        ("je-LoanChargeOff-L1567", Reason::FraudAccount),
        ("je-LoanCBR-L1389", Reason::LowersTheLoss),
    ],
    parts: &[],
};

const FIRST: &str = "2023-02-01";
const THEN: &str = "2023-03-01";
const LAST: &str = "2023-04-01";

/// Sums by account and side, debits first.
type Sums = BTreeMap<String, [i64; 2]>;

/// The rows.
pub(super) fn rows(books: &Books) -> Rows<'_> {
    let file: Value = serde_json::from_str(DATA).unwrap();
    let mut rows = Rows::new("journal.json");
    for case in file["cases"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        match Act::of(case) {
            Ok(act) => rows.runs(id, run(books, act, theirs(case), case["is_reversed_net_zero"] == true)),
            Err(reason) => rows.leaves_out(id, reason),
        }
    }
    rows
}

/// What brings a row's entry about.
#[derive(Clone, Copy, Debug)]
enum Act {
    Lends,
    Pays,
    PaysOnChargedOff,
    ChargesOff,
    Charges,
    Refunds,
    RefundsWhatIsTakenBack,
    GoesBack,
    GoesBackOnChargedOff,
}

impl Act {
    #[expect(clippy::panic_in_result_fn, reason = "a file with another word is not this file")]
    fn of(case: &Value) -> Result<Self, Reason> {
        let is_charged_off = case["posted_after_charge_off"] == true;
        let has = |account: &str| theirs(case).contains_key(account);
        match case["tx_type"].as_str().unwrap() {
            "DISBURSEMENT" => Ok(Self::Lends),
            "PAYOUT_REFUND" if is_charged_off => Err(Reason::LowersTheLoss),
            "REPAYMENT" if is_charged_off => Ok(Self::PaysOnChargedOff),
            "REPAYMENT" | "DOWN_PAYMENT" | "MERCHANT_ISSUED_REFUND" | "PAYOUT_REFUND" => Ok(Self::Pays),
            "CHARGE_OFF" if has("Credit Loss/Bad Debt-Fraud") => Err(Reason::FraudAccount),
            "CHARGE_OFF" => Ok(Self::ChargesOff),
            "ACCRUAL" => Ok(Self::Charges),
            "CREDIT_BALANCE_REFUND" if has("Loans Receivable") => Ok(Self::RefundsWhatIsTakenBack),
            "CREDIT_BALANCE_REFUND" => Ok(Self::Refunds),
            "CHARGEBACK" if is_charged_off => Ok(Self::GoesBackOnChargedOff),
            "CHARGEBACK" => Ok(Self::GoesBack),
            "GOODWILL_CREDIT" => Err(Reason::Goodwill),
            other => panic!("{other} is no transaction"),
        }
    }
}

fn theirs(case: &Value) -> Sums {
    let mut sums = Sums::new();
    for entry in case["entries"].as_array().unwrap() {
        let side = usize::from(entry["side"] == "credit");
        sums.entry(entry["account"].as_str().unwrap().to_owned()).or_default()[side] += cents(&entry["amount"]);
    }
    sums
}

/// Our account by their name; `None` for the memo accounts.
pub(super) fn name_of(account: &str) -> Option<&'static str> {
    match account {
        "1010" | "1020" | "2300" => Some("Suspense/Clearing account"),
        "1100" => Some("Loans Receivable"),
        "1200" | "1300" => Some("Interest/Fee Receivable"),
        "2100" => Some("Overpayment account"),
        "4200" => Some("Fee Income"),
        "4190" => Some("Interest Income Charge Off"),
        "4290" => Some("Fee Charge Off"),
        "4300" => Some("Recoveries"),
        "5100" => Some("Credit Loss/Bad Debt"),
        "9100" | "9900" => None,
        other => panic!("no row moves {other}"),
    }
}

async fn run(books: &Books, act: Act, expected: Sums, is_reversed: bool) -> Told {
    let (loan, entries) = acted(books, act, &expected).await?;
    let mut lines = Vec::new();
    for entry in &entries {
        lines.extend(books.lines(entry).await?);
    }
    if is_reversed {
        let back = loan.reverses(&entries[0], LAST).await?;
        lines.extend(books.lines(&back["journal_entry_id"]).await?);
    }
    let mut ours = Sums::new();
    for (account, signed) in lines {
        if let Some(name) = name_of(&account) {
            ours.entry(name.to_owned()).or_default()[usize::from(signed < 0)] += signed.abs();
        }
    }
    if entries.len() > 1 {
        // An entry and what has restated it are one of theirs.
        for [debit, credit] in ours.values_mut() {
            let both = (*debit).min(*credit);
            (*debit, *credit) = (*debit - both, *credit - both);
        }
        ours.retain(|_, sides| *sides != [0, 0]);
    }
    same("lines", &ours, &expected)
}

/// A loan on which the act was done, with the entries of it.
async fn acted<'b>(books: &'b Books, act: Act, expected: &Sums) -> Result<(Loan<'b>, Vec<Value>), String> {
    // A row that is reversed has each amount on both sides.
    let of = |account: &str| expected.get(account).map_or(0, |[debit, credit]| *debit.max(credit));
    let order = ["fees", "interest", "principal"];
    let open = async |owed| books.open(&order, owed).await;
    let (over, recovered) = (of("Overpayment account"), of("Recoveries"));
    let owed = [of("Interest/Fee Receivable"), 0, of("Loans Receivable")];
    let loan: Loan<'_>;
    let done = match act {
        Act::Lends => {
            loan = open([0; 3]).await?;
            loan.lends(of("Loans Receivable"), FIRST).await?
        }
        Act::Pays => {
            loan = open(owed).await?;
            loan.pays(owed.iter().sum::<i64>() + over, FIRST).await?
        }
        Act::PaysOnChargedOff => {
            loan = open([0, 0, recovered]).await?;
            loan.charges_off(FIRST).await?;
            loan.pays(recovered + over, THEN).await?
        }
        Act::ChargesOff => {
            let owed = [of("Fee Charge Off"), of("Interest Income Charge Off"), of("Credit Loss/Bad Debt")];
            loan = open(owed).await?;
            loan.charges_off(FIRST).await?
        }
        Act::Charges => {
            loan = open([0; 3]).await?;
            loan.charges(of("Fee Income"), FIRST).await?
        }
        Act::GoesBack => {
            // All is paid, and as much is left over as the row takes from there first.
            let all = [owed[0], 0, owed[2] + over];
            loan = books.open_charging_back(&order, &order, all).await?;
            let paid = loan.pays(all.iter().sum(), FIRST).await?;
            if over > 0 {
                loan.pays(over, FIRST).await?;
            }
            loan.charges_back(&paid, all.iter().sum(), THEN).await?
        }
        Act::GoesBackOnChargedOff => {
            let (fees, principal) = (of("Fee Charge Off"), of("Credit Loss/Bad Debt"));
            loan = books.open_charging_back(&order, &order, [fees, 0, principal + 1]).await?;
            let paid = loan.pays(fees + principal, FIRST).await?;
            loan.charges_off(FIRST).await?;
            loan.charges_back(&paid, fees + principal, THEN).await?
        }
        Act::Refunds => {
            loan = open([0; 3]).await?;
            loan.pays(over, FIRST).await?;
            loan.refunds(over, THEN).await?
        }
        Act::RefundsWhatIsTakenBack => {
            // What was refunded never came in: the refund is stated anew, and the borrower owes it.
            let amount = of("Loans Receivable");
            loan = open([0; 3]).await?;
            let paid = loan.pays(amount, FIRST).await?;
            let refunded = loan.refunds(amount, THEN).await?;
            let back = loan.reverses(&paid["journal_entry_id"], LAST).await?;
            let [restated] = &back["restated"].as_array().ok_or("nothing is restated")?[..] else {
                return Err(format!("not one is restated: {back}"));
            };
            let entries = vec![refunded["journal_entry_id"].clone(), restated["journal_entry_id"].clone()];
            return Ok((loan, entries));
        }
    };
    Ok((loan, vec![done["journal_entry_id"].clone()]))
}
