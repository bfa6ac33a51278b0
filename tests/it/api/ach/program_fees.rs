//! What the results of a file say of the fees that programs ask for with returns.

use hpts::core::ach::SecCode;
use hpts::store::Store;
use serde_json::json;
use uuid::Uuid;

use crate::api::ach::{finished, make_feed, results, send};
use crate::api::world::{BORROWER, Workers, World};
use crate::support::ach::{AchFile, trace};

const ALL: &str = "hpts:payments:write hpts:loans:write hpts:balances:read hpts:ledger:read hpts:adjustments:write";
const PROGRAM: &str = "44444444-4444-4444-4444-444444444444";

/// A deployment whose program charges 15.00 for R01, with the loans 420 and 421 of it, each with a payment of a file.
async fn paid(world: &World, token: &str) -> [String; 2] {
    make_feed(world, token, &json!({"name": "plain", "view": "originator"})).await;
    let program = json!({"program_id": PROGRAM, "currency": "USD", "day_count_convention": "ACT_365",
        "rounding": "half_up,daily", "waterfall": ["fees", "interest", "principal"], "suspense_release": "manual",
        "return_fees": [{"return_codes": ["R01"], "fee_minor": "1500"}]});
    assert_eq!(world.post("/v1/programs", token, "program:one", &program).await.status, 201);
    let loans = [Uuid::new_v4().to_string(), Uuid::new_v4().to_string()];
    for (loan, number) in loans.iter().zip(["420", "421"]) {
        let body = json!({"loan_id": loan, "borrower_id": BORROWER, "currency": "USD", "opened_on": "2026-01-01",
            "program_id": PROGRAM, "loan_number": number, "opening_balances": {"principal_minor": "100000"}});
        assert_eq!(world.post("/v1/loans", token, &format!("loan:{number}"), &body).await.status, 201);
    }
    let file = AchFile::of_debits('A', [("420", 500), ("421", 500)]);
    finished(world, token, &send(world, token, "file:0001", "plain", &file).await).await;
    loans
}

/// Of a loan that is charged off the fee is refused, and no fee is named that was not charged.
#[tokio::test]
async fn a_fee_that_was_refused_is_named_as_such() {
    let world = World::new(Workers::Running).await;
    let token = world.token("demo", ALL).await;
    let [charged_off, _] = paid(&world, &token).await;
    let body = json!({"loan_id": charged_off, "effective_at": "2026-05-01"});
    assert_eq!(world.post("/v1/chargeoffs", &token, "charge:off:420", &body).await.status, 201);
    let mut file = AchFile::new('B');
    let batch = file.batch(SecCode::Ppd);
    batch.returned("420", 500, trace(1));
    batch.returned("421", 500, trace(2));
    let sent = send(&world, &token, "file:0002", "plain", &file.finish()).await;
    finished(&world, &token, &sent).await;

    let rows = results(&world, &token, &sent).await;

    let fees = rows.iter().map(|row| (row.get("fee_event_id").is_some(), row["fee_refused"]["code"].as_str()));
    assert_eq!(fees.collect::<Vec<_>>(), [(false, Some("loan_closed")), (true, None)], "{rows:#?}");
    for row in rows {
        let id = row["payment_returned_event_id"].as_str().unwrap();
        let event = world.get(&format!("/v1/events/{id}"), &token).await.json();
        for name in ["fee_event_id", "fee_refused"] {
            assert_eq!(row.get(name), event.get(name), "{row} {event}");
        }
    }
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}
