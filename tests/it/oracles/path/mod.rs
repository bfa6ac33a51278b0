//! Owns the oracles on the whole path: their rows are loans of one tenant on running servers, and go from the API through
//! intake, broker, worker and store to what is read. Many at once, so that hundreds take seconds.
//!
//! A row that cannot be expressed here is listed with its reason, and so is a part of a row that runs; another number of
//! rows or of numbers held against them, an unexpected one that runs, one that does not, or one that runs and is held
//! against nothing, fails. All that differs is told at once, by row.

mod booked;
mod charge_backs;
mod interest;
mod journal;
mod life;
mod replay;
mod waterfall;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use futures::StreamExt;

use crate::processes::System;
use crate::processes::client::Client;
use life::Books;

/// Rows under way at once.
const AT_ONCE: usize = 16;

tokio::task_local! {
    /// How many values of the row under way were held against the books.
    static COMPARED: Cell<usize>;
}

/// Why a row, or a part of one, is not held against the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// A penalty and a fee are owed, one bucket of ours, and the order puts another bucket between them.
    PenaltyApartFromFee,
    /// First what is due by now, then what is not: we have one order over whole balances.
    TwoStage,
    /// Behind a charge-back of more than came in, which is refused here.
    MoreThanCameIn,
    /// Held partial payments; we apply what we get at once.
    HeldPartialPayment,
    /// Their lender gives the money as a goodwill, out of an expense: money that comes in is from outside here.
    Goodwill,
    /// A second account for losses by fraud.
    FraudAccount,
    /// After a charge-off it lowers the loss instead of being a recovery: no event of ours.
    LowersTheLoss,
    /// Installments with what is due in each: we have no schedule.
    Schedule,
    /// Fees become income when they are due or paid; here when they are charged.
    FeesAccrued,
    /// Interest that is not ours in the first place.
    OfInterest(super::Reason),
    /// A factor: nothing that is booked or quoted.
    NotBooked,
}

/// What a row comes to: nothing, or what differs.
type Told = Result<(), String>;

/// A row on its way.
type Running<'r> = Pin<Box<dyn Future<Output = Told> + 'r>>;

/// What a file comes to.
struct Expected {
    /// How many rows run.
    run: usize,
    /// How many values they are held against.
    compared: usize,
    /// Every row that does not run.
    left_out: &'static [(&'static str, Reason)],
    /// What of the rows that run is not compared, and how often.
    parts: &'static [(Reason, usize)],
}

/// A file's rows: what runs, and why the others do not.
struct Rows<'r> {
    file: &'static str,
    running: Vec<(String, Running<'r>)>,
    left_out: BTreeMap<String, Reason>,
    parts: BTreeMap<Reason, usize>,
}

impl<'r> Rows<'r> {
    fn new(file: &'static str) -> Self {
        Self { file, running: Vec::new(), left_out: BTreeMap::new(), parts: BTreeMap::new() }
    }

    fn runs(&mut self, id: &str, row: impl Future<Output = Told> + 'r) {
        self.running.push((id.to_owned(), Box::pin(row)));
    }

    fn leaves_out(&mut self, id: &str, reason: Reason) {
        assert_eq!(self.left_out.insert(id.to_owned(), reason), None, "{id} stands twice");
    }

    /// A part of a row that runs is not compared.
    fn passes_over(&mut self, reason: Reason) {
        *self.parts.entry(reason).or_default() += 1;
    }

    /// Runs all, and tells of it.
    async fn finish(self, expected: Expected, report: &mut Report) {
        let Self { file, running, left_out, parts } = self;
        let ran = running.len();
        let told = futures::stream::iter(running).map(|(id, row)| async move {
            let counted = async { (row.await, COMPARED.with(Cell::get)) };
            (id, COMPARED.scope(Cell::new(0), counted).await)
        });
        let told: Vec<(String, (Told, usize))> = told.buffer_unordered(AT_ONCE).collect().await;
        let compared: usize = told.iter().map(|(_, (_, compared))| compared).sum();
        let counts = format!("{file}: {ran} rows run, {compared} values compared, {} left out", left_out.len());
        report.lines.push(format!("{counts}; of those that run, not compared: {parts:?}"));
        report.lines.extend(left_out.iter().map(|(id, reason)| format!("  {id}: {reason:?}")));
        let mut differences = Vec::new();
        for (id, (told, compared)) in told {
            let of_nothing = (compared == 0).then(|| "is held against nothing".to_owned());
            differences.extend(told.err().or(of_nothing).map(|why| format!("{file} {id}: {why}")));
        }
        differences.sort_unstable();
        let listed: BTreeMap<String, Reason> =
            expected.left_out.iter().map(|(id, why)| ((*id).to_owned(), *why)).collect();
        if left_out != listed {
            differences.push(format!("{file}: left out {left_out:?}, listed {listed:?}"));
        }
        let listed: BTreeMap<Reason, usize> = expected.parts.iter().copied().collect();
        if parts != listed {
            differences.push(format!("{file}: not compared {parts:?}, listed {listed:?}"));
        }
        if (ran, compared) != (expected.run, expected.compared) {
            let Expected { run, compared: values, .. } = expected;
            differences.push(format!("{file}: {ran} rows run and {compared} values, {run} and {values} were to"));
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
    waterfall::rows(&books).finish(waterfall::EXPECTED, &mut report).await;
    journal::rows(&books).finish(journal::EXPECTED, &mut report).await;
    replay::rows(&books).finish(replay::EXPECTED, &mut report).await;
    charge_backs::rows(&books).finish(charge_backs::EXPECTED, &mut report).await;
    interest::rows(&books).finish(interest::EXPECTED, &mut report).await;
    interest::schedules(&books).finish(interest::SCHEDULES, &mut report).await;
    interest::ours(&books).finish(interest::OURS, &mut report).await;
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
