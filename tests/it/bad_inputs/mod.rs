//! Bad inputs and the answers they must get: one table, a row for every concrete value, against both deployments.
//!
//! A row is a request and everything its answer must be. Each is sent twice, for the same input must get the same
//! answer; what a row leaves in the store is counted, and at the end the books hold exactly that and are proved.
//! Numbers are those of the list of bad inputs; [`not_run`] says why some are left out.

mod not_run;
mod raw;
mod row;
mod rows_accruals;
mod rows_ach;
mod rows_amounts;
mod rows_amqp;
mod rows_bank;
mod rows_dates;
mod rows_groups;
mod rows_holds;
mod rows_http;
mod rows_http2;
mod rows_json;
mod rows_late_fees;
mod rows_ledger;
mod rows_loans;
mod rows_pollers;
mod rows_previews;
mod rows_programs;
mod rows_returns;
mod rows_reviews;
mod rows_servicing;
mod rows_tokens;
mod rows_uploads;
mod rows_webhooks;
mod stories;
mod tokens;
mod world;

use std::collections::BTreeSet;

use futures::StreamExt;

use not_run::NOT_RUN;
use row::Row;
use stories::{STORIES, Story, TOLD_TOGETHER};
use world::{Facts, World};

/// The stories of both deployments.
const STORIES_OF_BOTH: [&[Story]; 14] = [
    STORIES,
    rows_returns::STORIES,
    rows_servicing::STORIES,
    rows_programs::STORIES,
    rows_uploads::STORIES,
    rows_ach::STORIES,
    rows_accruals::STORIES,
    rows_groups::STORIES,
    rows_webhooks::STORIES,
    rows_reviews::STORIES,
    rows_bank::STORIES,
    rows_ledger::STORIES,
    rows_holds::STORIES,
    rows_http2::STORIES,
];

/// Rows under way at once.
const AT_ONCE: usize = 4;

fn rows(facts: &Facts) -> Vec<Row> {
    let tables = [
        rows_http::rows,
        rows_json::rows,
        rows_amounts::rows,
        rows_dates::rows,
        rows_returns::rows,
        rows_servicing::rows,
        rows_late_fees::rows,
        rows_previews::rows,
        rows_programs::rows,
        rows_tokens::rows,
        rows_pollers::rows,
        rows_loans::rows,
        rows_uploads::rows,
        rows_ach::rows,
        rows_bank::rows,
        rows_accruals::rows,
        rows_groups::rows,
        rows_holds::rows,
        rows_reviews::rows,
        rows_ledger::rows,
        rows_webhooks::rows,
    ];
    tables.into_iter().flat_map(|table| table(facts)).collect()
}

/// How many events divide a payment anew.
async fn restatements(world: &World) -> u64 {
    let (mut count, mut cursor) = (0, String::new());
    loop {
        let page = world.get(&format!("/v1/changes?page_size=5000{cursor}"), &world.facts.demo).await.json();
        let items = page["items"].as_array().unwrap();
        count += items.iter().filter(|item| item["restates"].is_string()).map(|_| 1).sum::<u64>();
        if items.is_empty() {
            return count;
        }
        cursor = format!("&cursor={}", page["next_cursor"].as_str().unwrap());
    }
}

/// Runs every row and story; panics with the report of all that fail.
async fn run(world: &World, stories: &[&[Story]]) {
    let before = world.system.verified().await["events"].as_u64().unwrap();
    let (rows, secrets) = (rows(&world.facts), World::secrets());
    let table = async {
        let judged = futures::stream::iter(&rows).map(|row| {
            let secrets = &secrets;
            async move {
                let told = row.judge(world.address, secrets).await;
                told.err().map(|why| format!("{} {}: {why}", row.number, row.name))
            }
        });
        judged.buffer_unordered(AT_ONCE).filter_map(futures::future::ready).collect::<Vec<String>>().await
    };
    let told = futures::future::join_all(stories.iter().copied().flatten().map(|story| async move {
        (story.run)(world).await.err().map(|why| format!("{} {}: {why}", story.number, story.name))
    }));
    let (mut failures, told) = tokio::join!(table, told);
    failures.extend(told.into_iter().flatten());
    let stored = rows.iter().map(|row| row.stores).chain(stories.iter().copied().flatten().map(|story| story.stores));
    let expected = before + stored.sum::<u64>();
    // Returns and reversals leave later payments divided anew, by events of our own.
    let after = world.system.verified().await["events"].as_u64().unwrap() - restatements(world).await;
    if after != expected {
        failures.push(format!("the store holds {after} events, {expected} were to be stored"));
    }
    let count = rows.len() + stories.iter().map(|stories| stories.len()).sum::<usize>();
    assert!(failures.is_empty(), "{} of {count} rows fail:\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test]
async fn bad_inputs_get_their_answers_from_servers() {
    let world = World::distributed().await;
    let stories = [STORIES_OF_BOTH.as_slice(), &[rows_amqp::STORIES]].concat();
    run(&world, &stories).await;
}

#[tokio::test]
async fn bad_inputs_get_their_answers_from_one_process() {
    let world = World::embedded().await;
    run(&world, &STORIES_OF_BOTH).await;
}

#[test]
fn every_number_is_run_or_listed_with_its_reason() {
    let rows = rows(&Facts::made_up());
    let stories = STORIES_OF_BOTH.into_iter().chain([rows_amqp::STORIES]);
    let mut seen: BTreeSet<&str> = rows.iter().map(|row| row.number).collect();
    seen.extend(stories.flatten().map(|story| story.number));
    seen.extend(TOLD_TOGETHER.iter().map(|(number, _)| *number));
    let listed: BTreeSet<&str> = NOT_RUN.iter().map(|(number, _)| *number).collect();
    let numbers = (1..=92).chain(94..=124).map(|number: u32| number.to_string()).chain(["51b".to_owned()]);
    for number in numbers {
        let (is_run, is_listed) = (seen.contains(number.as_str()), listed.contains(number.as_str()));
        assert!(is_run != is_listed, "{number} is run: {is_run}, listed as not run: {is_listed}");
    }
    for (number, teller) in TOLD_TOGETHER {
        assert!(seen.contains(teller), "{number} is told by {teller}, which nobody tells");
    }
}
