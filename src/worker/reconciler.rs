//! Owns the task that reconciles: whether what was accepted is all there, and whether the sums of the books agree with
//! what they sum up. One process at a time has the lease.
//!
//! What it costs: conservation looks at the events that came since the last round, and never takes more than a fiftieth of
//! the time; the check of loans a two-hundredth, a window of at most 50,000 postings after the other, so that all loans
//! are seen every five seconds where they are few, and every day where they have some 20 million postings and a window
//! takes a second (as in a debug build, on either store); a run reads every posting once, for all tenants together, and
//! the postings of each bank account's own loan once more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::core::ids::{LoanKey, WorkerId};
use crate::core::time::Timestamp;
use crate::runtime::clock::Clock;
use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::telemetry::{
    BANK_OPEN_LINES, BANKS_UNRECONCILED, CONSERVATION_DIFFERENCE, LOAN_FAULTS, RECONCILIATION_MISMATCHES, chain,
};
use crate::store::{ReconciliationQuestion, ReconciliationRun, Store, StoreError};
use crate::worker::backlog::gauge_unsigned;

/// How often the task looks whether something is due.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often conservation is counted, where that is quick.
const COUNT_EVERY: Duration = Duration::from_mins(1);
/// How many times as long as it took it rests.
const RESTS: u32 = 50;
/// The same after a window of loans: their check reads everything again and again, and has the time.
const CHECK_RESTS: u32 = 200;
/// The lease outlives a window and a run of some minutes.
const LEASE: Duration = Duration::from_mins(10);
/// How often the lease is renewed, and how often it is noted that every loan was checked: an idle ledger stays idle.
const NOTE_EVERY: Duration = Duration::from_mins(1);

/// What it tells.
const TOLD: [&str; 5] =
    [CONSERVATION_DIFFERENCE, RECONCILIATION_MISMATCHES, BANKS_UNRECONCILED, BANK_OPEN_LINES, LOAN_FAULTS];

/// The reconciling task.
#[derive(Debug)]
pub struct Reconciler {
    store: Arc<dyn Store>,
    clock: Clock,
    worker: WorkerId,
    /// How often runs are made; never where absent.
    runs_every: Option<Duration>,
    count_at: Instant,
    run_at: Instant,
    check_at: Instant,
    pass: Pass,
    /// When the lease was taken or renewed; `None` while another process has it.
    leased_at: Option<Instant>,
    noted_at: Option<Instant>,
    is_telling: bool,
}

/// Where the check of loans stands in its pass over all of them.
#[derive(Clone, Copy, Debug, Default)]
struct Pass {
    after: Option<LoanKey>,
    /// When its first window was read; `None` for a pass that did not begin with the first loan.
    since: Option<Timestamp>,
}

impl Reconciler {
    /// Starts the task on `lifecycle`.
    pub fn start(store: Arc<dyn Store>, clock: Clock, runs_every: Option<Duration>, lifecycle: &Lifecycle) {
        let (worker, now) = (WorkerId(uuid::Uuid::new_v4()), Instant::now());
        // The first pass begins anywhere, so that the last loans are seen also where processes live shorter than a pass.
        let pass = Pass { after: Some(LoanKey::from_bytes(*uuid::Uuid::new_v4().as_bytes())), ..Pass::default() };
        let (count_at, run_at, check_at) = (now, now, now);
        let reconciler = Self {
            store,
            clock,
            worker,
            runs_every,
            count_at,
            run_at,
            check_at,
            pass,
            leased_at: None,
            noted_at: None,
            is_telling: false,
        };
        lifecycle.spawn_vital("reconciler", reconciler.run(lifecycle.clone()));
    }

    async fn run(mut self, lifecycle: Lifecycle) {
        let stopping = lifecycle.token();
        while stopping.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            if let Err(error) = self.round(&lifecycle).await {
                tracing::warn!(error = chain(&error), "reconciliation could not be done");
            }
        }
    }

    /// Does what is due.
    async fn round(&mut self, lifecycle: &Lifecycle) -> Result<(), StoreError> {
        let now = Instant::now();
        let is_run_due = self.runs_every.is_some() && now >= self.run_at;
        if now < self.count_at && now < self.check_at && !is_run_due {
            return Ok(());
        }
        if is_due(self.leased_at, now) && !self.store.take_reconciler(self.worker, LEASE).await? {
            self.withdraw();
            (self.count_at, self.check_at) = (later(now, COUNT_EVERY), later(now, COUNT_EVERY));
            return Ok(());
        }
        if self.leased_at.is_none() {
            self.tell_loan_faults().await?;
        }
        self.leased_at = self.leased_at.filter(|at| !is_due(Some(*at), now)).or(Some(now));
        self.is_telling = true;
        if now >= self.count_at {
            self.conserve(lifecycle).await?;
            self.count_at = later(Instant::now(), COUNT_EVERY.max(now.elapsed().saturating_mul(RESTS)));
        }
        if let (Some(every), true) = (self.runs_every, is_run_due && !lifecycle.is_stopping()) {
            self.run_at = later(Instant::now(), every);
            let runs = run_all(self.store.as_ref(), &self.clock).await?;
            tell(&runs);
        }
        if now >= self.check_at {
            let watch = Instant::now();
            // One that fails is tried again in a minute, and keeps nothing else from being done.
            self.check_at = later(watch, COUNT_EVERY);
            let loans = self.check_loans().await?;
            let took = watch.elapsed();
            tracing::debug!(loans, duration_ms = took.as_millis(), "loans were checked");
            self.check_at = later(Instant::now(), took.saturating_mul(CHECK_RESTS));
        }
        Ok(())
    }

    async fn conserve(&self, lifecycle: &Lifecycle) -> Result<(), StoreError> {
        while !self.store.count_on().await? {
            if lifecycle.is_stopping() || !self.store.take_reconciler(self.worker, LEASE).await? {
                return Ok(());
            }
        }
        let mut total: u64 = 0;
        for (tenant, counts) in self.store.conservation().await? {
            let difference = counts.difference();
            total = total.saturating_add(difference.unsigned_abs());
            if difference != 0 {
                let lost: Vec<String> = counts.lost.iter().take(10).map(ToString::to_string).collect();
                tracing::error!(%tenant, difference, ?lost, "accepted events are not all there");
            }
        }
        metrics::gauge!(CONSERVATION_DIFFERENCE).set(gauge_unsigned(total));
        Ok(())
    }

    /// Checks the next window of loans, and tells what it found. Answers how many they are.
    async fn check_loans(&mut self) -> Result<usize, StoreError> {
        let checked = self.store.check_loans(self.pass.after).await?;
        for fault in checked.found.iter().take(10) {
            let (tenant, loan, check) = (fault.tenant, fault.loan_id, fault.kind.as_str());
            tracing::error!(%tenant, loan.id = %loan, check, detail = fault.detail, "a loan is not what its postings say");
        }
        if self.pass.after.is_none() {
            self.pass.since = Some(checked.read_at);
        }
        self.pass.after = checked.next;
        let since = checked.next.is_none().then(|| std::mem::take(&mut self.pass).since).flatten();
        self.tell_loan_faults().await?;
        if let Some(since) = since.filter(|_| is_due(self.noted_at, Instant::now())) {
            self.store.note_loans_checked(since).await?;
            self.noted_at = Some(Instant::now());
        }
        Ok(checked.loans)
    }

    /// Tells how many faults are kept, whoever found them: a pass takes up to a day, and may change its process.
    async fn tell_loan_faults(&mut self) -> Result<(), StoreError> {
        let faults = self.store.count_loan_faults().await?;
        self.is_telling = true;
        metrics::gauge!(LOAN_FAULTS).set(gauge_unsigned(faults));
        Ok(())
    }

    /// What this process told is told by another one now; here it is not known any more.
    fn withdraw(&mut self) {
        self.leased_at = None;
        if std::mem::take(&mut self.is_telling) {
            for name in TOLD {
                metrics::gauge!(name).set(f64::NAN);
            }
        }
    }
}

/// Whether what was done at an instant is to be done again; what was never done is.
fn is_due(done: Option<Instant>, now: Instant) -> bool {
    done.is_none_or(|at| now.saturating_duration_since(at) >= NOTE_EVERY)
}

fn later(now: Instant, by: Duration) -> Instant {
    now.checked_add(by).unwrap_or(now)
}

/// Makes a run for every tenant's books, as of its business date, and keeps them.
///
/// # Errors
/// The store is away.
pub async fn run_all(store: &dyn Store, clock: &Clock) -> Result<Vec<ReconciliationRun>, StoreError> {
    let (tenants, now) = (store.tenants().await?, clock.now());
    let mut questions: BTreeSet<ReconciliationQuestion> = BTreeSet::new();
    let kept = store.ledger_currencies().await?;
    for tenant in tenants {
        let Ok(zone) = tenant.time_zone.parse::<chrono_tz::Tz>() else { continue };
        let as_of = now.utc().with_timezone(&zone).date_naive();
        let currencies = kept.iter().filter(|(id, _)| *id == tenant.id).map(|(_, currency)| *currency);
        let currencies = currencies.chain([tenant.base_currency]);
        questions.extend(currencies.map(|currency| ReconciliationQuestion { tenant: tenant.id, currency, as_of }));
    }
    store.reconcile(questions.into_iter().collect()).await
}

fn tell(runs: &[ReconciliationRun]) {
    let wrong: Vec<&ReconciliationRun> = runs.iter().filter(|run| !run.findings.is_ok()).collect();
    for run in &wrong {
        let ReconciliationQuestion { tenant, currency, as_of } = run.question;
        for (check, detail) in run.findings.told().into_iter().take(10) {
            tracing::error!(%tenant, %currency, %as_of, check, detail, "the books do not reconcile");
        }
    }
    metrics::gauge!(RECONCILIATION_MISMATCHES).set(gauge_unsigned(u64::try_from(wrong.len()).unwrap_or(u64::MAX)));
    tell_of_banks(runs);
}

/// What a bank holds beyond the ledger is work for somebody, and no fault of the books.
fn tell_of_banks(runs: &[ReconciliationRun]) {
    let (mut accounts, mut lines) = (0_u64, 0_u64);
    for run in runs {
        let ReconciliationQuestion { tenant, currency, as_of } = run.question;
        for bank in run.findings.open_banks() {
            accounts = accounts.saturating_add(1);
            lines = lines.saturating_add(bank.open_lines.unsigned_abs());
            tracing::info!(%tenant, %currency, %as_of, detail = bank.told(), "a bank account is not reconciled");
        }
    }
    metrics::gauge!(BANKS_UNRECONCILED).set(gauge_unsigned(accounts));
    metrics::gauge!(BANK_OPEN_LINES).set(gauge_unsigned(lines));
}
