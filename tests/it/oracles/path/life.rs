//! Owns the life of a loan as a caller of the API leads it.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use hpts::core::loan::DayCount;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{COMPARED, Told};
use crate::processes::client::{BORROWER, Client};

/// Amounts by bucket: fees, interest, principal.
pub(super) type Owed = [i64; 3];

/// The day that loans open on unless a row says otherwise.
pub(super) const OPENED: &str = "2021-12-31";

/// The books of the servers under test.
pub(super) struct Books {
    client: Client,
    program: Uuid,
}

/// A loan of a row's own.
pub(super) struct Loan<'b> {
    pub(super) books: &'b Books,
    pub(super) id: Uuid,
    program: Uuid,
    convention: &'static str,
}

impl Books {
    /// With a program under which suspense is released by itself.
    pub(super) async fn new(client: Client) -> Self {
        let program = Uuid::new_v4();
        let books = Self { client, program };
        let terms = json!({"program_id": program, "currency": "USD", "day_count_convention": "ACT_365",
            "rounding": "half_up,daily", "waterfall": ["fees", "interest", "principal"],
            "suspense_release": "automatic"});
        books.post("/v1/programs", &terms).await.unwrap();
        books
    }

    /// A write under a key of its own, to its end.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        let key = format!("oracle:{}", Uuid::new_v4());
        match self.client.post_until_final(path, &key, body).await {
            (200 | 201, answer) => Ok(answer),
            (status, answer) => Err(format!("{path} {body}: {status} {answer}")),
        }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, String> {
        match self.client.get(path).await {
            (200, answer) => Ok(answer),
            (status, answer) => Err(format!("{path}: {status} {answer}")),
        }
    }

    /// Registers a loan that owes this, and whose payments are owed again in this order when their money goes back.
    pub(super) async fn open_charging_back(
        &self,
        waterfall: &[&str],
        credit_order: &[&str],
        owed: Owed,
    ) -> Result<Loan<'_>, String> {
        let program = Uuid::new_v4();
        let terms = json!({"program_id": program, "currency": "USD", "day_count_convention": "ACT_365",
            "rounding": "half_up,daily", "waterfall": ["fees", "interest", "principal"],
            "suspense_release": "automatic", "returns": "chargeback", "credit_order": credit_order});
        self.post("/v1/programs", &terms).await?;
        self.open_in(program, waterfall, owed).await
    }

    /// Registers a loan that owes this.
    pub(super) async fn open(&self, waterfall: &[&str], owed: Owed) -> Result<Loan<'_>, String> {
        self.open_in(self.program, waterfall, owed).await
    }

    async fn open_in(
        &self,
        program: Uuid,
        waterfall: &[&str],
        [fees, interest, principal]: Owed,
    ) -> Result<Loan<'_>, String> {
        let id = Uuid::new_v4();
        let body = json!({"loan_id": id, "borrower_id": BORROWER, "currency": "USD", "opened_on": OPENED,
            "program_id": program, "waterfall": waterfall, "opening_balances": {"fees_minor": fees.to_string(),
            "interest_minor": interest.to_string(), "principal_minor": principal.to_string()}});
        self.post("/v1/loans", &body).await?;
        Ok(Loan { books: self, id, program, convention: "ACT_365" })
    }

    /// Registers a loan of a program with a rate, which owes this principal from a day on.
    pub(super) async fn open_bearing(
        &self,
        (rate, day_count, rounding): (&str, DayCount, &str),
        (opened_on, principal): (NaiveDate, i64),
    ) -> Result<Loan<'_>, String> {
        let (id, program, convention) = (Uuid::new_v4(), Uuid::new_v4(), day_count.as_str());
        let terms = json!({"program_id": program, "currency": "USD", "annual_rate": rate,
            "day_count_convention": convention, "rounding": rounding,
            "waterfall": ["fees", "interest", "principal"], "suspense_release": "manual"});
        self.post("/v1/programs", &terms).await?;
        let body = json!({"loan_id": id, "borrower_id": BORROWER, "currency": "USD", "opened_on": opened_on,
            "program_id": program, "opening_balances": {"principal_minor": principal.to_string()}});
        self.post("/v1/loans", &body).await?;
        Ok(Loan { books: self, id, program, convention })
    }

    /// The lines of an entry: account, and amount with debits positive.
    pub(super) async fn lines(&self, entry: &Value) -> Result<Vec<(String, i64)>, String> {
        let entry = self.get(&format!("/v1/journal-entries/{}", text(entry)?)).await?;
        let lines = entry["lines"].as_array().ok_or("an entry has no lines")?.iter().map(|line| {
            let amount = minor(&line["amount_minor"])?;
            let signed = if line["direction"] == "DR" { amount } else { -amount };
            Ok((text(&line["account_code"])?, signed))
        });
        lines.collect()
    }
}

impl Loan<'_> {
    /// An act on this loan, dated.
    async fn act(&self, path: &str, on: &str, body: &Value) -> Result<Value, String> {
        let mut body = body.clone();
        (body["loan_id"], body["effective_at"]) = (json!(self.id), json!(on));
        self.books.post(path, &body).await
    }

    pub(super) async fn pays(&self, amount: i64, on: &str) -> Result<Value, String> {
        let body = json!({"borrower_id": BORROWER, "amount_minor": amount.to_string(), "currency": "USD",
            "source_method": "ach"});
        self.act("/v1/payments", on, &body).await
    }

    /// Accrues all days up to one by the program's rate.
    pub(super) async fn accrual(&self, on: NaiveDate) -> Result<Value, String> {
        let principal = self.balances(on).await?[2].to_string();
        let body = json!({"program_id": self.program, "accrual_date": on, "day_count_convention": self.convention,
            "loans": [{"loan_id": self.id, "outstanding_principal_minor": principal}]});
        self.books.post("/v1/accruals/batch", &body).await
    }

    /// The same; answers what was booked.
    pub(super) async fn accrues(&self, on: NaiveDate) -> Result<i64, String> {
        minor(&self.accrual(on).await?["total_accrued_minor"])
    }

    /// Fees, interest, principal and suspense at the end of a day.
    pub(super) async fn balances(&self, on: NaiveDate) -> Result<[i64; 4], String> {
        let balance = self.books.get(&format!("/v1/loans/{}/balance?as_of_date={on}", self.id)).await?;
        let names =
            ["fees_receivable_minor", "interest_receivable_minor", "principal_outstanding_minor", "suspense_minor"];
        let mut balances = [0; 4];
        for (part, name) in balances.iter_mut().zip(names) {
            *part = minor(&balance[name])?;
        }
        Ok(balances)
    }

    /// What closes it on a day.
    pub(super) async fn payoff(&self, on: NaiveDate) -> Result<Value, String> {
        self.books.get(&format!("/v1/loans/{}/payoff?date={on}", self.id)).await
    }

    /// What a payment would restate.
    pub(super) async fn foresees(&self, amount: i64, on: &str) -> Result<Value, String> {
        let body = json!({"borrower_id": BORROWER, "amount_minor": amount.to_string(), "currency": "USD",
            "source_method": "ach"});
        self.act("/v1/payments/preview", on, &body).await
    }

    /// A payment goes back as if it had never been, for a fee.
    pub(super) async fn returned(&self, payment: &Value, on: &str, fee: i64) -> Result<Value, String> {
        let path = format!("/v1/payments/{}/return", text(&payment["payment_event_id"])?);
        let body = json!({"return_code": "R01", "effective_at": on, "fee_minor": fee.to_string()});
        self.books.post(&path, &body).await
    }

    pub(super) async fn lends(&self, amount: i64, on: &str) -> Result<Value, String> {
        let body = json!({"borrower_id": BORROWER, "amount_minor": amount.to_string(), "currency": "USD",
            "method": "ach"});
        self.act("/v1/disbursements", on, &body).await
    }

    pub(super) async fn charges(&self, amount: i64, on: &str) -> Result<Value, String> {
        self.act("/v1/fees", on, &json!({"amount_minor": amount.to_string(), "fee_code": "oracle"})).await
    }

    pub(super) async fn refunds(&self, amount: i64, on: &str) -> Result<Value, String> {
        self.act("/v1/suspense/refunds", on, &json!({"amount_minor": amount.to_string()})).await
    }

    pub(super) async fn charges_off(&self, on: &str) -> Result<Value, String> {
        self.act("/v1/chargeoffs", on, &json!({})).await
    }

    /// Lines by hand: account, side and amount.
    pub(super) async fn adjusts(&self, lines: &[(&str, &str, i64)], on: &str) -> Result<Value, String> {
        let line = |(account, side, amount): &(&str, &str, i64)| json!({"account_code": account, "direction": side, "amount_minor": amount.to_string()});
        let lines: Vec<Value> = lines.iter().map(line).collect();
        self.act("/v1/adjustments", on, &json!({"lines": lines, "reason_description": "by hand"})).await
    }

    /// So much of a payment goes back.
    pub(super) async fn charges_back(&self, payment: &Value, amount: i64, on: &str) -> Result<Value, String> {
        let path = format!("/v1/payments/{}/return", text(&payment["payment_event_id"])?);
        let body = json!({"return_code": "R01", "effective_at": on, "amount_minor": amount.to_string()});
        self.books.post(&path, &body).await
    }

    /// The code with which such a charge-back is refused: a conflict, which `post` would send until it is none.
    pub(super) async fn refuses_to_charge_back(
        &self,
        payment: &Value,
        amount: i64,
        on: &str,
    ) -> Result<String, String> {
        let path = format!("/v1/payments/{}/return", text(&payment["payment_event_id"])?);
        let body = json!({"return_code": "R01", "effective_at": on, "amount_minor": amount.to_string()});
        let key = format!("oracle:{}", Uuid::new_v4());
        for _ in 0..30 {
            let (status, answer) = self.books.client.post(0, &path, &key, &body, None).await.ok_or("no answer")?;
            if status != 202 {
                return text(&answer["code"]);
            }
        }
        Err(format!("no final answer for {key}"))
    }

    /// How a payment, or its return, is divided today: fees, interest, principal, suspense.
    pub(super) async fn divided(&self, event: &str) -> Result<[i64; 4], String> {
        let event = self.books.get(&format!("/v1/events/{event}")).await?;
        parts(event.get("current_allocation").unwrap_or(&event["allocation"]))
    }

    /// Takes an entry back.
    pub(super) async fn reverses(&self, entry: &Value, on: &str) -> Result<Value, String> {
        let body = json!({"reverses_entry_id": entry, "reason_code": "error_correction", "effective_at": on});
        self.books.post("/v1/reversals", &body).await
    }

    /// How a payment is divided today: fees, interest, principal, suspense.
    pub(super) async fn split(&self, payment: &str) -> Result<[i64; 4], String> {
        let payment = self.books.get(&format!("/v1/payments/{payment}")).await?;
        let current = payment.get("current_allocation").unwrap_or(&payment["allocation"]);
        parts(current)
    }

    /// What it owes in all, charged off or not, and its suspense.
    pub(super) async fn owed(&self) -> Result<(i64, i64), String> {
        let loan = self.books.get(&format!("/v1/loans/{}", self.id)).await?;
        let mut owed = minor(&loan["total_exposure_minor"])?;
        if let Some(off) = loan.get("charged_off") {
            for part in ["principal_owed_minor", "interest_owed_minor", "fees_owed_minor"] {
                owed += minor(&off[part])?;
            }
        }
        Ok((owed, minor(&loan["suspense_minor"])?))
    }

    /// The principal on a day, as it is known now.
    pub(super) async fn principal_on(&self, day: &str) -> Result<i64, String> {
        let balance = self.books.get(&format!("/v1/loans/{}/balance?as_of_date={day}", self.id)).await?;
        minor(&balance["principal_outstanding_minor"])
    }

    /// The last of a day's rows says with what principal the day ends. Behind a charge-off they say what is owed off the
    /// books, and of an accrual nothing.
    pub(super) async fn ends_days<'r>(&self, rows: impl Iterator<Item = &'r Value>) -> Told {
        let mut ends: BTreeMap<&str, i64> = BTreeMap::new();
        for row in rows.filter(|row| row["type"] != "Accrual") {
            let day = row["effective_on"].as_str().ok_or("a row without a day")?;
            ends.insert(day, cents(&row["principal_balance_after"]));
            if row["type"] == "Charge-off" {
                break;
            }
        }
        for (day, expected) in ends {
            same(&format!("principal on {day}"), &self.principal_on(day).await?, &expected)?;
        }
        Ok(())
    }

    /// Of every fee what was assessed, what is paid, and what is owed; sorted.
    pub(super) async fn fees(&self) -> Result<Vec<[i64; 3]>, String> {
        let fees = self.books.get(&format!("/v1/loans/{}/fees", self.id)).await?;
        let fees = fees["items"].as_array().ok_or("fees are no list")?.iter();
        let fees = fees.map(|fee| {
            Ok([minor(&fee["assessed_minor"])?, minor(&fee["paid_minor"])?, minor(&fee["outstanding_minor"])?])
        });
        let mut fees: Vec<[i64; 3]> = fees.collect::<Result<_, String>>()?;
        fees.sort_unstable();
        Ok(fees)
    }
}

/// A split: fees, interest, principal, suspense.
pub(super) fn parts(split: &Value) -> Result<[i64; 4], String> {
    let mut parts = [0; 4];
    for (part, name) in parts.iter_mut().zip(["fees_minor", "interest_minor", "principal_minor", "suspense_minor"]) {
        *part = minor(&split[name])?;
    }
    Ok(parts)
}

pub(super) fn minor(value: &Value) -> Result<i64, String> {
    value.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| format!("{value} is no amount"))
}

pub(super) fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("{value} is no text"))
}

/// An amount of a file, with two decimals; nothing where it is absent.
pub(super) fn cents(value: &Value) -> i64 {
    value.as_str().map_or(0, |text| text.replace('.', "").parse().unwrap())
}

/// Two values, or what differs. Every one is counted.
pub(super) fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    COMPARED.with(|compared| compared.set(compared.get() + 1));
    if found == expected { Ok(()) } else { Err(format!("{what}: found {found:?}, expected {expected:?}")) }
}
