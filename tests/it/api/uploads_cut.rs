//! Uploads that are cut off and sent again: every row once, whatever the order it comes in, and the books of one that
//! was not cut.

use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::{Body, Bytes};
use hpts::store::Store;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use uuid::Uuid;

use super::batches::{ALL, finished, lines, opened, results, row, send, upload};
use super::world::{Answer, BORROWER, LOAN, World};
use crate::support::postgres::PostgresDatabase;

/// A body that breaks off after `sent`.
fn cut(sent: String) -> Body {
    let pieces = vec![Ok(Bytes::from(sent)), Err(std::io::Error::other("the caller is gone"))];
    Body::from_stream(futures::stream::iter(pieces))
}

/// Sends rows and goes away in the middle of the next one. The lease of a sending before this one is given back in the
/// background.
pub(super) async fn send_cut(world: &World<impl Store + ?Sized>, token: &str, key: &str, rows: &[Value]) {
    let sent = lines(rows) + "{\"idempotency_key\":\"row";
    let broken = loop {
        let answer = world.call(upload(token, key, "application/x-ndjson", cut(sent.clone()))).await;
        if answer.status != 409 {
            break answer;
        }
    };
    assert_eq!(broken.problem().0, 400, "{broken:?}");
}

/// Sends rows as soon as the lease is given back.
pub(super) async fn resend(world: &World<impl Store + ?Sized>, token: &str, key: &str, rows: &[Value]) -> Answer {
    loop {
        let answer = send(world, token, key, rows).await;
        if answer.status != 409 {
            return answer;
        }
    }
}

/// Rows received, accepted, duplicates, mismatched, invalid.
pub(super) fn counts(answer: &Answer) -> [i64; 5] {
    let told = answer.json();
    ["received", "accepted", "duplicates", "mismatched", "invalid"]
        .map(|name| told[name].as_i64().unwrap_or_else(|| panic!("{answer:?}")))
}

/// The number, the status and the key of a row of results.
pub(super) fn row_told(row: &Value) -> (i64, &str, &str) {
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    (row["row"].as_i64().unwrap(), text("status"), text("idempotency_key"))
}

/// Rows that came before a cut, and do not come again, are payments: the upload does not end without them.
#[tokio::test]
async fn an_upload_does_not_end_with_other_rows_than_it_began_with() {
    let (world, token) = opened().await;
    let rows: Vec<Value> = (1..=1_500).map(|n| row(&format!("payment:{n:04}"), LOAN, &n.to_string())).collect();
    send_cut(&world, &token, "upload:other", &rows[..1_200]).await;
    let mut corrected = rows.clone();
    corrected[56] = row("payment:0057", LOAN, "9999");
    for other in [&corrected[..], &rows[1..]] {
        let refused = resend(&world, &token, "upload:other", other).await;
        assert_eq!(refused.problem(), (422, "idempotency_mismatch".to_owned()));
        assert_eq!(refused.json()["errors"][0]["field"], "rows");
    }
    let answer = resend(&world, &token, "upload:other", &rows).await;
    assert_eq!((answer.status, counts(&answer)), (202, [1_500, 1_500, 0, 0, 0]));
    assert_eq!(finished(&world, &token, &answer).await["counts"]["posted"], 1_500);
}

/// Sent again in another order, with a row twice: the first of the two is the payment, the second names it.
#[tokio::test]
async fn rows_that_moved_are_shown_where_they_stand_now() {
    let (world, token) = opened().await;
    let rows: Vec<Value> = (1..=1_500).map(|n| row(&format!("payment:{n:04}"), LOAN, &n.to_string())).collect();
    send_cut(&world, &token, "upload:moved", &rows[..1_200]).await;
    let mut again: Vec<Value> = rows.iter().rev().cloned().collect();
    // Payment 2 stands first and again in row 1,500; row 1,502 asks for something else under the key of row 1,501.
    again.insert(0, rows[1].clone());
    again.push(row("payment:0001", LOAN, "9999"));
    let answer = resend(&world, &token, "upload:moved", &again).await;
    assert_eq!(counts(&answer), [1_502, 1_500, 1, 1, 0]);
    finished(&world, &token, &answer).await;
    let shown = results(&world, &token, &answer).await;
    let seen: Vec<(i64, &str, &str)> = shown.iter().map(row_told).collect();
    let status = |number: i64| match number {
        1_500 => "duplicate",
        1_502 => "mismatched",
        _ => "posted",
    };
    let expected: Vec<(i64, &str, &str)> = (1..)
        .zip(&again)
        .map(|(number, row)| (number, status(number), row["idempotency_key"].as_str().unwrap()))
        .collect();
    assert_eq!(seen, expected);
    assert_eq!((&shown[1_499]["first_row"], &shown[1_501]["first_row"]), (&json!(1), &json!(1_501)));
    assert_eq!(shown[1_499]["payment_event_id"], shown[0]["payment_event_id"]);
}

/// Rows of a commit: what a cut leaves of a sending is so many whole ones.
const CHUNK_ROWS: usize = 1_000;
/// Days on which rows are good; the loans were opened before them, and today is after them.
const DAYS: [&str; 3] = ["2026-04-29", "2026-04-30", "2026-05-01"];

/// What a row asks for. Its loan and key have other names in other books.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    key: usize,
    /// 0 to 2; there is no loan 3.
    loan: u128,
    amount: u64,
    day: &'static str,
}

/// Rows, and the orders in which they come: each sending is cut after so many rows, but for the last.
#[derive(Clone, Debug)]
struct Plan {
    rows: Vec<Asked>,
    cuts: Vec<(Vec<usize>, usize)>,
    last: Vec<usize>,
}

type Drawn = (u128, u64, usize, u8, Index);

/// One row in eight is bad, refused by a rule or rejected, one in twelve comes again as it is or with another amount.
fn asked(drawn: &[Drawn]) -> Vec<Asked> {
    let of = |key: usize| {
        let (loan, amount, day, kind, _) = drawn[key];
        let plain = Asked { key, loan, amount, day: DAYS[day] };
        match kind {
            0..=2 => Asked { amount: 0, ..plain },
            3..=5 => Asked { amount: 10_000_001, ..plain },
            6..=8 => Asked { day: "2026-05-04", ..plain },
            9..=10 => Asked { loan: 3, ..plain },
            11..=12 => Asked { day: "2025-12-31", ..plain },
            _ => plain,
        }
    };
    let again = |(place, (_, _, _, kind, other)): (usize, &Drawn)| match kind {
        13..=17 => of(other.index(drawn.len())),
        18..=21 => {
            let first = of(other.index(drawn.len()));
            Asked { amount: first.amount + 1, ..first }
        }
        _ => of(place),
    };
    drawn.iter().enumerate().map(again).collect()
}

fn plans() -> impl Strategy<Value = Plan> {
    let drawn = (0_u128..3, 1_u64..3_000, 0_usize..DAYS.len(), 0_u8..100, any::<Index>());
    proptest::collection::vec(drawn, 900..2_400).prop_flat_map(|drawn| {
        let order = Just((0..drawn.len()).collect::<Vec<usize>>()).prop_shuffle();
        let cuts = proptest::collection::vec((order.clone(), 0..=drawn.len()), 1..3);
        (Just(asked(&drawn)), cuts, order).prop_map(|(rows, cuts, last)| Plan { rows, cuts, last })
    })
}

impl Plan {
    /// The order in which the rows are met, each for the first time.
    fn met(&self) -> Vec<usize> {
        let kept = self.cuts.iter().flat_map(|(order, at)| &order[..at / CHUNK_ROWS * CHUNK_ROWS]);
        let mut seen = vec![false; self.rows.len()];
        kept.chain(&self.last).copied().filter(|place| !std::mem::replace(&mut seen[*place], true)).collect()
    }

    fn in_order(&self, order: &[usize]) -> Vec<Asked> {
        order.iter().map(|place| self.rows[*place].clone()).collect()
    }
}

/// Three loans of their own with fees, interest and principal, the last of which is soon paid off.
struct Loans<'w, S: Store + ?Sized> {
    world: &'w World<S>,
    token: &'w str,
    number: u128,
}

/// What an upload has come to.
#[derive(Debug, PartialEq)]
struct Books {
    /// By what they asked for: status, code, and the split as it was answered and as it is.
    rows: Vec<(Asked, [String; 4])>,
    counts: [i64; 5],
    totals: Value,
    balances: Vec<Value>,
}

impl<S: Store + ?Sized> Loans<'_, S> {
    fn id(&self, loan: u128) -> String {
        Uuid::from_u128(self.number << 64 | loan).to_string()
    }

    async fn open(&self) {
        for (loan, principal) in [(0, "1000000000"), (1, "5000000"), (2, "150000")] {
            let body = json!({"loan_id": self.id(loan), "borrower_id": BORROWER, "currency": "USD",
                "opened_on": "2026-01-01", "opening_balances": {"fees_minor": "7500", "interest_minor": "20000",
                    "principal_minor": principal}});
            let key = format!("loan:{}:{loan}", self.number);
            assert_eq!(self.world.post("/v1/loans", self.token, &key, &body).await.status, 201);
        }
    }

    fn row(&self, asked: &Asked) -> Value {
        let key = format!("row:{}:{:04}", self.number, asked.key);
        let mut row = row(&key, &self.id(asked.loan), &asked.amount.to_string());
        row["effective_at"] = json!(asked.day);
        row
    }

    fn rows(&self, asked: &[Asked]) -> Vec<Value> {
        asked.iter().map(|asked| self.row(asked)).collect()
    }

    fn key(&self) -> String {
        format!("upload:{}", self.number)
    }

    /// What came of the rows of the last sending, each at its number.
    async fn books(&self, asked: Vec<Asked>, answer: &Answer) -> Books {
        assert_eq!(answer.status, 202, "{answer:?}");
        let batch = finished(self.world, self.token, answer).await;
        let shown = results(self.world, self.token, answer).await;
        let told: Vec<(i64, &str)> = shown.iter().map(|row| (row_told(row).0, row_told(row).2)).collect();
        let sent = self.rows(&asked);
        let keys = sent.iter().map(|row| row["idempotency_key"].as_str().unwrap());
        assert_eq!(told, (1..).zip(keys).collect::<Vec<_>>(), "every row at its number");
        let outcome = |row: &Value| {
            let code = if row["code"].is_null() { &row["problem"]["code"] } else { &row["code"] };
            [&row["status"], code, &row["allocation"], &row["current_allocation"]].map(Value::to_string)
        };
        let mut rows: Vec<_> = asked.into_iter().zip(shown.iter().map(outcome)).collect();
        rows.sort();
        let mut balances = Vec::new();
        for loan in 0..3 {
            for day in DAYS {
                let path = format!("/v1/loans/{}/balance?as_of_date={day}", self.id(loan));
                let balance = self.world.get(&path, self.token).await.json();
                let owed = balance.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("_minor"));
                balances.push(owed.map(|(name, amount)| (name.clone(), amount.clone())).collect());
            }
        }
        Books { rows, counts: counts(answer), totals: batch["totals"].clone(), balances }
    }
}

/// The books of the plan, and of its rows in one upload in the order in which they were met.
async fn same_books(world: &World<impl Store + ?Sized>, token: &str, case: u32, plan: &Plan) {
    let loans = |side: u32| Loans { world, token, number: u128::from(2 * case + side) };
    let (cut, whole) = (loans(0), loans(1));
    cut.open().await;
    whole.open().await;
    for (order, at) in &plan.cuts {
        send_cut(world, token, &cut.key(), &cut.rows(&plan.in_order(&order[..*at]))).await;
    }
    let last = plan.in_order(&plan.last);
    let answer = resend(world, token, &cut.key(), &cut.rows(&last)).await;
    let met = plan.in_order(&plan.met());
    let uncut = send(world, token, &whole.key(), &whole.rows(&met)).await;
    assert_eq!(cut.books(last, &answer).await, whole.books(met, &uncut).await);
}

fn run_plans(world: &World<impl Store + ?Sized>, token: &str, cases: u32) {
    let mut runner = TestRunner::new(Config { cases, max_shrink_iters: 8, ..Config::default() });
    let handle = tokio::runtime::Handle::current();
    let case = AtomicU32::new(1);
    tokio::task::block_in_place(|| {
        runner
            .run(&plans(), |plan| {
                handle.block_on(same_books(world, token, case.fetch_add(1, Ordering::Relaxed), &plan));
                Ok(())
            })
            .unwrap();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn any_batch_cut_anywhere_and_sent_again_in_any_order_ends_with_the_same_books() {
    let (world, token) = opened().await;
    run_plans(&world, &token, 4);
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_batch_cut_anywhere_ends_with_the_same_books_in_postgresql() {
    let database = PostgresDatabase::open().await;
    let world = World::on(database.store()).await;
    let token = world.token("demo", ALL).await;
    run_plans(&world, &token, 2);
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}
