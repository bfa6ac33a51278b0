//! Every sample of `tests/data/nacha` through the endpoint: the valid ones taken, each entry accounted for, the others
//! refused for what is wrong with them.

use std::time::Duration;

use hpts::core::ach::Tolerances;
use hpts::store::Store;
use serde_json::{Value, json};

use crate::api::ach::{ALL, account, finished, make_feed, opened, results, send};
use crate::api::world::{Workers, World};
use crate::nacha::{COUNTS, Counts, REFUSED, Sample, bytes, samples};

/// The one with a hundred thousand entries, which has a test of its own.
const LARGE: &str = "PPD-200-batches-100000-entries.ach.gz";

/// A feed with the usual tolerances that takes every class that pays.
fn feed(view: &str) -> Value {
    let tolerances: Vec<&str> = Tolerances::USUAL.iter().map(hpts::core::ach::Tolerance::name).collect();
    json!({"name": "samples", "view": view, "tolerances": tolerances,
        "sec_codes": ["CCD", "CIE", "CTX", "POS", "PPD", "TEL", "WEB"]})
}

/// Sends a valid sample: payments become receipts, as no loan is known, and nothing else is accepted.
async fn is_taken(world: &World, token: &str, sample: &Sample, counts: Counts) {
    let answer = send(world, token, &format!("file:{}", sample.file), "samples", &bytes(&sample.file)).await;
    let file = finished(world, token, &answer).await;
    let (payments, returns, changes, exceptions) = counts;
    let told = answer.json();
    let expected = (Some(sample.entries), Some(payments), Some(returns + changes + exceptions));
    let seen = (told["received"].as_u64(), told["accepted"].as_u64(), told["invalid"].as_u64());
    assert_eq!(seen, expected, "{}: {told}", sample.file);
    let count = |name: &str| file["summary"][name]["count"].as_u64().unwrap();
    assert_eq!((count("payments"), count("returns"), count("changes"), count("exceptions")), counts, "{}", sample.file);
    assert_eq!(file["counts"]["posted"].as_u64(), Some(payments), "{file}");
    assert_eq!(results(world, token, &answer).await.len(), usize::try_from(sample.entries).unwrap());
}

async fn is_refused(world: &World, token: &str, sample: &Sample) {
    let answer = send(world, token, &format!("file:{}", sample.file), "samples", &bytes(&sample.file)).await;
    assert_eq!(answer.problem(), (422, "invalid_file".to_owned()), "{}", sample.file);
    let json = answer.json();
    let place = |error: &Value| {
        let number = |name: &str| usize::try_from(error[name].as_u64().unwrap()).unwrap();
        let text = |name: &str| error[name].as_str().unwrap().to_owned();
        (number("line"), number("column"), text("field"), text("code"))
    };
    let seen: Vec<_> = json["errors"].as_array().unwrap().iter().map(place).collect();
    let (_, faults) = REFUSED.iter().find(|(file, _)| *file == sample.file).unwrap();
    let expected =
        faults.iter().map(|(line, column, field, code)| (*line, *column, (*field).to_owned(), (*code).to_owned()));
    assert_eq!(seen, expected.collect::<Vec<_>>(), "{}", sample.file);
}

/// A tenant for each sample, as some have the header of another.
#[tokio::test(flavor = "multi_thread")]
async fn every_sample_behaves_as_its_index_says() {
    let (world, _) = opened().await;
    for (number, sample) in (10_u128..).step_by(2).zip(samples().iter().filter(|sample| sample.file != LARGE)) {
        let counts = COUNTS.iter().find(|(file, ..)| *file == sample.file);
        for (tenant, view) in [(number, "originator"), (number + 1, "receiver")] {
            let client = format!("client-{tenant}");
            world.tenant(tenant, &client).await;
            let token = world.token(&client, ALL).await;
            make_feed(&world, &token, &feed(view)).await;
            match counts {
                Some((_, originator, receiver)) if sample.valid => {
                    let counts = if view == "originator" { *originator } else { *receiver };
                    is_taken(&world, &token, sample, counts).await;
                }
                Some(_) => panic!("{} is counted and refused", sample.file),
                None => is_refused(&world, &token, sample).await,
            }
        }
    }
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}

/// 100,199 credits of nobody: every cent is in Unidentified Receipts.
#[tokio::test(flavor = "multi_thread")]
async fn the_large_sample_is_posted_to_the_cent() {
    let world = World::new(Workers::Running).await;
    // Its payments are of 8 May.
    world.clock.advance(Duration::from_hours(7 * 24));
    let token = world.token("demo", ALL).await;
    make_feed(&world, &token, &feed("receiver")).await;
    let samples = samples();
    let sample = samples.iter().find(|sample| sample.file == LARGE).unwrap();
    is_taken(&world, &token, sample, (100_199, 0, 0, 0)).await;
    assert_eq!(account(&world, &token, "2200").await, 20_123_398_766);
    assert_eq!(world.store.verify().await.unwrap().problems, []);
}
