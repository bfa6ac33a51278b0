//! What was told stays told: `known_at` answers for every event what its reader saw at that instant, word for word, whatever
//! came later.

use std::collections::BTreeSet;

use hpts::core::ids::EventId;
use serde_json::{Value, json};

use super::loan::{Books, Loan, same, text};
use super::{Case, Told};

/// The cases.
pub(super) const CASES: &[Case] = &[
    Case { name: "known at: divided anew, sent back, waived", run: |books| Box::pin(divided_anew(books)) },
    Case { name: "known at: charged back, charged off", run: |books| Box::pin(charged_back(books)) },
    Case { name: "known at: groups", run: |books| Box::pin(groups(books)) },
];

/// A reader who writes down what every event of an answer was told as, and when.
struct Reader<'b> {
    books: &'b Books,
    events: BTreeSet<String>,
    /// For an instant, what was told of each path.
    seen: Vec<(String, Vec<(String, Value)>)>,
}

/// Every id of an event in an answer.
fn events_of(answer: &Value) -> BTreeSet<String> {
    match answer {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value.as_str().filter(|_| name.ends_with("event_id")) {
                Some(id) => BTreeSet::from([id.to_owned()]),
                None => events_of(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(events_of).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => BTreeSet::new(),
    }
}

impl<'b> Reader<'b> {
    fn new(books: &'b Books) -> Self {
        Self { books, events: BTreeSet::new(), seen: Vec::new() }
    }

    /// What is told of an event, each by its path.
    async fn told(&self, id: &str, query: &str) -> Result<Vec<(String, Value)>, String> {
        let event = format!("/v1/events/{id}");
        let told = self.books.get(&format!("{event}{query}")).await?;
        let is_payment = told["event_type"] == "payment_received" && told["status"] != "rejected";
        let mut all = vec![(event, told)];
        if is_payment {
            let payment = format!("/v1/payments/{id}");
            all.push((payment.clone(), self.books.get(&format!("{payment}{query}")).await?));
            let allocation = format!("{payment}/allocation");
            all.push((allocation.clone(), self.books.get(&format!("{allocation}{query}")).await?));
        }
        Ok(all)
    }

    /// Reads all events that answers have named, this one's among them; the answer again.
    async fn reads(&mut self, answer: Value) -> Result<Value, String> {
        self.events.extend(events_of(&answer));
        let mut told = Vec::new();
        for id in &self.events {
            told.extend(self.told(id, "").await?);
        }
        let posted_at = answer["posted_at"].as_str().ok_or_else(|| format!("no instant: {answer}"))?;
        self.seen.push((posted_at.to_owned(), told));
        Ok(answer)
    }

    /// At every instant, everything is told as it was seen then; what nobody knew of is not found.
    async fn sees_all_again(&self) -> Told {
        for (instant, seen) in &self.seen {
            let known: BTreeSet<&str> = seen.iter().filter_map(|(path, _)| path.rsplit('/').next()).collect();
            for (path, then) in seen {
                let mut told = self.books.get(&format!("{path}?known_at={instant}")).await?;
                let members = told.as_object_mut().ok_or("no members")?;
                same("the instant", &members.remove("known_at"), &Some(json!(instant)))?;
                same(&format!("{path} at {instant}"), &told, then)?;
            }
            for id in self.events.iter().filter(|id| !known.contains(id.as_str())) {
                let told = self.books.get(&format!("/v1/events/{id}?known_at={instant}")).await;
                let is_unknown = told.as_ref().err().is_some_and(|why| why.contains(": 404 "));
                same("what comes later", &(is_unknown, &told), &(true, &told))?;
            }
        }
        Ok(())
    }

    /// Accrues a loan to a day; the leg of it is read as well.
    async fn accrues(&mut self, loan: &Loan<'_>, program: uuid::Uuid, day: &str) -> Told {
        let body = json!({"program_id": program, "accrual_date": day, "day_count_convention": "ACT_365",
            "loans": [{"loan_id": loan.id, "outstanding_principal_minor": "1000000"}]});
        let accrued = self.books.post("/v1/accruals/batch", &body).await?;
        let id = EventId::parse(&text(&accrued, "accrual_event_id")).map_err(|error| error.to_string())?;
        self.events.insert(id.leg(1).to_string());
        self.reads(accrued).await.map(|_| ())
    }

    /// How many different things were told of an event.
    fn faces(&self, path: &str) -> usize {
        let told = self.seen.iter().flat_map(|(_, told)| told).filter(|(of, _)| of == path);
        told.map(|(_, told)| told.to_string()).collect::<BTreeSet<_>>().len()
    }
}

/// Computed interest, a fee and three payments; then a late payment, its return, a waiver, and a return of the first. The
/// second accrual is told in three ways: as accrued, by the late payment's principal, and as accrued again.
async fn divided_anew(books: &Books) -> Told {
    let terms = json!({"annual_rate": "7.3", "suspense_release": "automatic"});
    let program = books.program(&terms).await?;
    let loan = books.open([0, 0, 1_000_000], Some(program)).await?;
    let mut reader = Reader::new(books);
    for day in ["2026-01-09", "2026-01-19"] {
        reader.accrues(&loan, program, day).await?;
    }
    let accrual = reader.events.iter().max().cloned().unwrap_or_default();
    let fee = loan.act("/v1/fees", "2026-01-20", &json!({"amount_minor": "2500", "fee_code": "service"})).await?;
    reader.reads(fee.clone()).await?;
    let first = reader.reads(loan.pays(5_000, "2026-01-21").await?).await?;
    reader.reads(loan.pays(5_000, "2026-01-22").await?).await?;
    let late = reader.reads(loan.pays(501_000, "2026-01-15").await?).await?;
    reader.reads(loan.returns(&late, None, "2026-02-01").await?).await?;
    let part = json!({"amount_minor": "1000", "fee_code": "service"});
    let waived = reader.reads(loan.act("/v1/fees/waivers", "2026-01-20", &part).await?).await?;
    reader.reads(loan.reverses(&waived, "2026-02-02").await?).await?;
    reader.reads(loan.returns(&first, None, "2026-02-03").await?).await?;
    reader.sees_all_again().await?;
    same("faces of the accrual", &reader.faces(&format!("/v1/events/{accrual}")), &3)?;
    let path = format!("/v1/payments/{}", text(&first, "payment_event_id"));
    same("the first payment", &(reader.faces(&path) >= 4), &true)
}

/// A payment that goes back in two parts, of which one is reversed; then the loan is charged off, and something comes late.
async fn charged_back(books: &Books) -> Told {
    let program =
        books.program(&json!({"returns": "chargeback", "credit_order": ["principal", "interest", "fees"]})).await?;
    let loan = books.open([2_000, 3_000, 100_000], Some(program)).await?;
    let mut reader = Reader::new(books);
    let paid = reader.reads(loan.pays(10_000, "2026-03-01").await?).await?;
    reader.reads(loan.returns(&paid, Some(4_000), "2026-03-05").await?).await?;
    let second = reader.reads(loan.returns(&paid, Some(1_000), "2026-03-06").await?).await?;
    reader.reads(loan.reverses(&second, "2026-03-07").await?).await?;
    reader.reads(loan.act("/v1/chargeoffs", "2026-03-10", &json!({})).await?).await?;
    reader.reads(loan.pays(2_500, "2026-03-12").await?).await?;
    reader.reads(loan.pays(2_500, "2026-02-12").await?).await?;
    reader.sees_all_again().await?;
    let path = format!("/v1/payments/{}", text(&paid, "payment_event_id"));
    same("faces of the payment", &reader.faces(&path), &4)
}

/// Suspense goes to another loan; the transfer is taken back, which undoes its legs.
async fn groups(books: &Books) -> Told {
    let (from, to) = (books.open([0, 0, 1_000], None).await?, books.open([0, 0, 1_000], None).await?);
    let mut reader = Reader::new(books);
    reader.reads(from.pays(5_000, "2026-03-01").await?).await?;
    let body = json!({"to_loan_id": to.id, "amount_minor": "1500"});
    let moved = reader.reads(from.act("/v1/suspense/transfers", "2026-03-02", &body).await?).await?;
    reader.reads(to.pays(400, "2026-03-03").await?).await?;
    reader.reads(from.reverses(&moved, "2026-03-04").await?).await?;
    reader.sees_all_again().await?;
    let id = events_of(&moved).into_iter().next().unwrap_or_default();
    same("the transfer", &reader.faces(&format!("/v1/events/{id}")), &2)
}
