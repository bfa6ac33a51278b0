//! Owns the oracles on the whole path: their rows are loans of one tenant on running servers, and go from the API through
//! intake, broker, worker and store to what is read. Many at once, so that hundreds take seconds.
//!
//! A row that cannot be expressed here is listed with its reason; another number of rows, an unexpected one that runs, or
//! one that does not, fails. All that differs is told at once, by row.

mod charge_backs;
mod interest;
mod journal;
mod life;
mod replay;
mod waterfall;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use futures::StreamExt;

use crate::processes::System;
use crate::processes::client::Client;
use life::Books;

/// Rows under way at once.
const AT_ONCE: usize = 16;

/// Why a row does not run on the whole path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// Penalties and fees are one bucket of ours, and the order puts another bucket between them.
    PenaltyApartFromFee,
    /// First what is due, then in another order what is not: we have one order over whole balances.
    TwoStage,
    /// The payment is aimed at one fee; directed payments are not in this release.
    AimedAtOneFee,
    /// Rows of a mapping of accounts, which name no loan.
    ChargeBack,
    /// More of a payment is charged back than came in: refused here.
    MoreThanCameIn,
    /// Held partial payments; we apply what we get at once.
    HeldPartialPayment,
    /// Their lender gives the money as a goodwill: no event of ours.
    Goodwill,
    /// A second account for losses by fraud.
    FraudAccount,
    /// After a charge-off it lowers the loss instead of being a recovery: no event of ours.
    LowersTheLoss,
    /// More is given back than suspense holds: refused here when it is asked for.
    RefundBeyondSuspense,
    /// Interest that is not ours in the first place.
    OfInterest(super::Reason),
    /// A factor or a quote: nothing that is booked.
    NotBooked,
}

/// What a row comes to: numbers held against it, or what differs.
type Told = Result<usize, String>;

/// A row on its way.
type Running<'r> = Pin<Box<dyn Future<Output = Told> + 'r>>;

/// A file's rows: what runs, and why the others do not.
struct Rows<'r> {
    file: &'static str,
    running: Vec<(String, Running<'r>)>,
    left_out: BTreeMap<String, Reason>,
}

impl<'r> Rows<'r> {
    fn new(file: &'static str) -> Self {
        Self { file, running: Vec::new(), left_out: BTreeMap::new() }
    }

    fn runs(&mut self, id: &str, row: impl Future<Output = Told> + 'r) {
        self.running.push((id.to_owned(), Box::pin(row)));
    }

    fn leaves_out(&mut self, id: &str, reason: Reason) {
        assert_eq!(self.left_out.insert(id.to_owned(), reason), None, "{id} stands twice");
    }

    /// Runs all, and tells of it.
    async fn finish(self, expected: (usize, &[(&str, Reason)]), report: &mut Report) {
        let Self { file, running, left_out } = self;
        let ran = running.len();
        let told = futures::stream::iter(running).map(|(id, row)| async move { (id, row.await) });
        let told: Vec<(String, Told)> = told.buffer_unordered(AT_ONCE).collect().await;
        let compared: usize = told.iter().filter_map(|(_, told)| told.as_ref().ok()).sum();
        report.lines.push(format!("{file}: {ran} rows run, {compared} numbers compared, {} left out:", left_out.len()));
        report.lines.extend(left_out.iter().map(|(id, reason)| format!("  {id}: {reason:?}")));
        let mut differences: Vec<String> =
            told.into_iter().filter_map(|(id, told)| Some(format!("{file} {id}: {}", told.err()?))).collect();
        differences.sort_unstable();
        let listed: BTreeMap<String, Reason> = expected.1.iter().map(|(id, why)| ((*id).to_owned(), *why)).collect();
        if left_out != listed {
            differences.push(format!("{file}: left out {left_out:?}, listed {listed:?}"));
        }
        if ran != expected.0 {
            differences.push(format!("{file}: {ran} rows run, {} were to", expected.0));
        }
        report.differences.extend(differences);
    }
}

/// What the rows came to.
#[derive(Default)]
struct Report {
    lines: Vec<String>,
    differences: Vec<String>,
}

/// Runs every file against the servers that a client talks to.
async fn run(client: Client) -> Report {
    let (books, mut report) = (Books::new(client).await, Report::default());
    waterfall::rows(&books).finish((waterfall::RUN, &waterfall::left_out()), &mut report).await;
    journal::rows(&books).finish((journal::RUN, &journal::LEFT_OUT), &mut report).await;
    replay::rows(&books).finish((replay::RUN, &replay::left_out()), &mut report).await;
    charge_backs::rows(&books).finish((charge_backs::RUN, &charge_backs::LEFT_OUT), &mut report).await;
    interest::rows(&books).finish((interest::RUN, &interest::LEFT_OUT), &mut report).await;
    interest::schedules(&books).finish((interest::SCHEDULES, &interest::SCHEDULES_LEFT_OUT), &mut report).await;
    interest::ours(&books).finish((interest::OURS, &[]), &mut report).await;
    report
}

#[tokio::test]
async fn oracles_run_through_one_process() {
    let system = System::embedded();
    let serve = system.start(&["serve", "--demo"]).await;
    let Report { lines, differences } = run(Client::demo(&[serve.port]).await).await;
    println!("{}", lines.join("\n"));
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    system.verified().await;
}

#[tokio::test]
async fn oracles_run_through_servers() {
    let system = System::distributed().await;
    let api = system.start(&["api"]).await;
    let _worker = system.start(&["worker"]).await;
    let Report { lines, differences } = run(Client::demo(&[api.port]).await).await;
    println!("{}", lines.join("\n"));
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    system.verified().await;
}
