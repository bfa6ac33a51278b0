//! Owns `hpts verify`: proves the books, reconciles them, and says what is wrong with them.

use crate::cli::CliError;
use crate::cli::connect;
use crate::cli::serve::commands_log;
use crate::runtime::clock::Clock;
use crate::runtime::config::Config;
use crate::store::{ReconciliationQuestion, VerifyProblem};
use crate::worker::run_all;

/// Proves the books; fails when they have a problem.
pub(super) async fn verify(config: &Config, json: bool) -> Result<(), CliError> {
    commands_log(config)?;
    let clock = Clock::system();
    let store = connect::current_store(config, &clock).await?;
    let mut report = store.verify().await?;
    let mut open_banks = Vec::new();
    for run in run_all(store.as_ref(), &clock).await? {
        let ReconciliationQuestion { tenant, currency, as_of } = run.question;
        report.problems.extend(run.findings.told().into_iter().map(|(check, detail)| VerifyProblem {
            check,
            detail: format!("tenant {tenant} {currency} {as_of}: {detail}"),
        }));
        open_banks.extend(run.findings.open_banks().map(|bank| format!("tenant {tenant} {currency}: {}", bank.told())));
    }
    store.close().await;
    if json {
        let problems: Vec<_> = report
            .problems
            .iter()
            .map(|problem| serde_json::json!({ "check": problem.check, "detail": problem.detail }))
            .collect();
        let shown = serde_json::json!({
            "events": report.events, "posted": report.posted, "rejected": report.rejected, "parked": report.parked,
            "held": report.held, "in_flight": report.in_flight, "loans": report.loans, "problems": problems,
            "open_banks": open_banks,
        });
        println!("{shown}");
    } else {
        println!(
            "{} events: {} posted, {} rejected, {} parked, {} held, {} in flight; {} loans",
            report.events, report.posted, report.rejected, report.parked, report.held, report.in_flight, report.loans
        );
        for problem in &report.problems {
            println!("{}: {}", problem.check, problem.detail);
        }
        for bank in &open_banks {
            println!("not reconciled with the bank, which is no problem of the books: {bank}");
        }
        if report.problems.is_empty() {
            println!(
                "the books are proved: entries balance, balances equal their lines, chains are unbroken; they reconcile"
            );
        }
    }
    if report.problems.is_empty() { Ok(()) } else { Err(CliError::Verify(report.problems.len())) }
}
