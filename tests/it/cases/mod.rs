//! Owns worked cases on the whole path: each is a loan of its own on running servers, led through the API and read there,
//! once with one process and once with servers, broker and database apart. All that fails is told at once, by name.

mod ach_returns;
mod groups;
mod known;
mod late_fees;
mod loan;
mod orders;
mod peers;
mod picture;
mod rearranged;
mod returns;

use futures::StreamExt;
use futures::future::BoxFuture;

use crate::processes::System;
use crate::processes::client::Client;
use loan::Books;

/// Cases under way at once.
const AT_ONCE: usize = 8;

/// What a case comes to: nothing, or what is wrong.
type Told = Result<(), String>;

/// A case by its name.
struct Case {
    name: &'static str,
    run: for<'a> fn(&'a Books) -> BoxFuture<'a, Told>,
}

/// Every case.
const CASES: [&[Case]; 9] = [
    ach_returns::CASES,
    groups::CASES,
    known::CASES,
    late_fees::CASES,
    orders::CASES,
    returns::CASES,
    peers::CASES,
    picture::CASES,
    rearranged::CASES,
];

/// Runs every case; answers what fails.
async fn run(client: Client) -> Vec<String> {
    let books = Books::new(client);
    let running = CASES.into_iter().flatten().map(|case| {
        let books = &books;
        async move { (case.run)(books).await.err().map(|why| format!("{}: {why}", case.name)) }
    });
    futures::stream::iter(running).buffer_unordered(AT_ONCE).filter_map(futures::future::ready).collect().await
}

#[tokio::test]
async fn cases_come_out_right_in_one_process() {
    let system = System::embedded();
    let serve = system.start(&["serve", "--demo"]).await;
    let failed = run(Client::demo(&[serve.port]).await).await;
    assert!(failed.is_empty(), "{} fail:\n{}", failed.len(), failed.join("\n"));
    system.verified().await;
}

#[tokio::test]
async fn cases_come_out_right_with_servers() {
    let system = System::distributed().await;
    let api = system.start(&["api"]).await;
    let _worker = system.start(&["worker"]).await;
    let failed = run(Client::demo(&[api.port]).await).await;
    assert!(failed.is_empty(), "{} fail:\n{}", failed.len(), failed.join("\n"));
    system.verified().await;
}
