//! Owns the life of a loan as a caller leads it.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::processes::client::{BORROWER, Client};

/// The day that loans open on.
pub(super) const OPENED: &str = "2025-12-31";

/// The books of the servers under test.
pub(super) struct Books {
    client: Client,
}

/// A loan of a case's own.
pub(super) struct Loan<'b> {
    pub(super) books: &'b Books,
    pub(super) id: Uuid,
}

/// What is uploaded.
pub(super) enum Upload<'b> {
    Json(&'b Value),
    Text(&'b str),
}

/// An answer: its status and its body.
pub(super) type Answer = (u16, Value);

impl Books {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// A write under a key, to its end.
    pub(super) async fn send(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.client.post_until_final(path, key, body).await
    }

    /// A write under a key of its own that succeeds.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        match self.send(path, &key(), body).await {
            (200 | 201, answer) => Ok(answer),
            (status, answer) => Err(format!("{path} {body}: {status} {answer}")),
        }
    }

    /// An upload of payments, or a file of text through the demo's feed, to the end of what it brings.
    pub(super) async fn upload(&self, path: &str, key: &str, body: Upload<'_>) -> Result<Value, String> {
        let (status, told) = match body {
            Upload::Json(body) => self.client.post(0, path, key, body, None).await.ok_or("no answer")?,
            Upload::Text(text) => self.client.post_text(path, key, ("text/plain", text)).await,
        };
        if !matches!(status, 200 | 202) {
            return Err(format!("{path}: {status} {told}"));
        }
        let batch = self.get(&format!("/v1/batches/{}?wait=30", text(&told, "batch_id"))).await?;
        let in_flight = &batch["counts"]["in_flight"];
        if *in_flight == json!(0) { Ok(told) } else { Err(format!("{path}: {batch}")) }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, String> {
        match self.client.get(path).await {
            (200, answer) => Ok(answer),
            (status, answer) => Err(format!("{path}: {status} {answer}")),
        }
    }

    /// What an operation would do.
    pub(super) async fn foresee(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.post("/v1/events/preview", &json!({"path": path, "body": body})).await
    }

    /// Describes a program with some terms of its own.
    pub(super) async fn program(&self, terms: &Value) -> Result<Uuid, String> {
        let program = Uuid::new_v4();
        let mut body = json!({"program_id": program, "currency": "USD", "day_count_convention": "ACT_365",
            "rounding": "half_up,daily", "waterfall": ["fees", "interest", "principal"], "suspense_release": "manual"});
        for (name, value) in terms.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        self.post("/v1/programs", &body).await.map(|_| program)
    }

    /// Registers a loan that owes fees, interest and principal, with a program or without.
    pub(super) async fn open(&self, owed: [i64; 3], program: Option<Uuid>) -> Result<Loan<'_>, String> {
        self.open_numbered(owed, program, None).await
    }

    /// The same under a number of the lender's.
    pub(super) async fn open_numbered(
        &self,
        [fees, interest, principal]: [i64; 3],
        program: Option<Uuid>,
        number: Option<&str>,
    ) -> Result<Loan<'_>, String> {
        let id = Uuid::new_v4();
        let mut body = json!({"loan_id": id, "borrower_id": BORROWER, "currency": "USD", "opened_on": OPENED,
            "opening_balances": {"fees_minor": fees.to_string(), "interest_minor": interest.to_string(),
            "principal_minor": principal.to_string()}});
        if let Some(program) = program {
            body["program_id"] = json!(program);
        }
        if let Some(number) = number {
            body["loan_number"] = json!(number);
        }
        self.post("/v1/loans", &body).await?;
        Ok(Loan { books: self, id })
    }
}

impl Loan<'_> {
    /// A body on this loan, of a day.
    pub(super) fn on(&self, day: &str, body: &Value) -> Value {
        let mut body = body.clone();
        (body["loan_id"], body["effective_at"]) = (json!(self.id), json!(day));
        body
    }

    /// An operation on this loan that succeeds.
    pub(super) async fn act(&self, path: &str, day: &str, body: &Value) -> Result<Value, String> {
        self.books.post(path, &self.on(day, body)).await
    }

    /// One that is refused with a code.
    pub(super) async fn refused(&self, path: &str, day: &str, body: &Value, code: &str) -> Result<Value, String> {
        let (status, answer) = self.books.send(path, &key(), &self.on(day, body)).await;
        let is_refused = status >= 400 && answer["code"] == code;
        if is_refused { Ok(answer) } else { Err(format!("{path} {body}: {status} {answer}, {code} was expected")) }
    }

    /// A payment of this loan.
    pub(super) fn payment(&self, amount: i64, day: &str) -> Value {
        let body = json!({"borrower_id": BORROWER, "amount_minor": amount.to_string(), "currency": "USD",
            "source_method": "ach"});
        self.on(day, &body)
    }

    pub(super) async fn pays(&self, amount: i64, day: &str) -> Result<Value, String> {
        self.books.post("/v1/payments", &self.payment(amount, day)).await
    }

    pub(super) async fn charges(&self, amount: i64, day: &str) -> Result<Value, String> {
        self.act("/v1/fees", day, &json!({"amount_minor": amount.to_string(), "fee_code": "service"})).await
    }

    /// A payment goes back to the bank, all of it or so much.
    pub(super) async fn returns(&self, payment: &Value, amount: Option<i64>, day: &str) -> Result<Value, String> {
        let path = format!("/v1/payments/{}/return", text(payment, "payment_event_id"));
        let mut body = json!({"return_code": "R01", "effective_at": day});
        if let Some(amount) = amount {
            body["amount_minor"] = json!(amount.to_string());
        }
        self.books.post(&path, &body).await
    }

    /// Takes an entry back.
    pub(super) async fn reverses(&self, done: &Value, day: &str) -> Result<Value, String> {
        let body = json!({"reverses_entry_id": done["journal_entry_id"], "reason_code": "error_correction",
            "effective_at": day});
        self.books.post("/v1/reversals", &body).await
    }

    /// Something of this loan.
    pub(super) async fn read(&self, of: &str) -> Result<Value, String> {
        self.books.get(&format!("/v1/loans/{}{of}", self.id)).await
    }

    /// Its balances: fees, interest, principal, suspense.
    pub(super) async fn balances(&self) -> Result<[i64; 4], String> {
        let balance = self.read("/balance").await?;
        Ok(["fees_receivable_minor", "interest_receivable_minor", "principal_outstanding_minor", "suspense_minor"]
            .map(|name| minor(&balance, name)))
    }

    /// How a payment is divided today: fees, interest, principal, suspense.
    pub(super) async fn split(&self, payment: &Value) -> Result<[i64; 4], String> {
        let payment = self.books.get(&format!("/v1/payments/{}", text(payment, "payment_event_id"))).await?;
        Ok(parts(payment.get("current_allocation").unwrap_or(&payment["allocation"])))
    }

    /// Its journal entries: type, day, and signed amounts by account.
    pub(super) async fn entries(&self) -> Result<Vec<Value>, String> {
        let entries = self.read("/journal-entries?page_size=500").await?;
        Ok(entries["items"].as_array().cloned().unwrap_or_default())
    }
}

/// A key of its own.
pub(super) fn key() -> String {
    format!("case:{}", Uuid::new_v4())
}

pub(super) fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

pub(super) fn minor(value: &Value, name: &str) -> i64 {
    value[name].as_str().and_then(|text| text.parse().ok()).unwrap_or(i64::MIN)
}

/// A split: fees, interest, principal, suspense.
pub(super) fn parts(split: &Value) -> [i64; 4] {
    ["fees_minor", "interest_minor", "principal_minor", "suspense_minor"].map(|name| minor(split, name))
}

/// Compares what was seen with what should be.
pub(super) fn same<T: PartialEq + std::fmt::Debug + ?Sized>(what: &str, seen: &T, expected: &T) -> Result<(), String> {
    if seen == expected { Ok(()) } else { Err(format!("{what}: seen {seen:?}, expected {expected:?}")) }
}
