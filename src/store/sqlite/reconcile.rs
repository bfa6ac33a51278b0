//! Owns the statements of a reconciliation run: the sums of the books beside what they sum up, in one snapshot. Sums of
//! 128 bits are added up in Rust, so the postings are walked row by row; memory does not grow with them.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::core::ids::TenantId;
use crate::core::ledger::{AccountCode, Layer};
use crate::core::money::Currency;
use crate::core::time::Timestamp;
use crate::store::reconciliation::{Readings, Sides};
use crate::store::sqlite::bank::check::of_question;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::rows::{broken, date, get, id, instant, sum, tenant as tenant_of, word};
use crate::store::{AccountTotals, Findings, ReconciliationQuestion, ReconciliationRun, StoreError};

pub(super) const TOTALS: &str = "
    SELECT tenant, account, currency, layer, booking_date, debits, credits FROM account_totals";

pub(super) const LINES: &str = "
    SELECT e.tenant, e.currency, p.layer, p.booking_date, p.accounts, p.amounts
    FROM postings AS p JOIN events AS e ON e.seq = p.event_seq WHERE p.amounts <> '[]'";

pub(super) const PRINCIPALS: &str = "SELECT tenant, currency, principal FROM loans";

/// Loans whose principal is not the sum of its lines. The sums of one loan fit 64 bits, or are wrong.
pub(super) const WRONG_LOANS: &str = "
    SELECT l.loan_id FROM loans AS l
    WHERE l.tenant = ?1 AND l.currency = ?2 AND l.principal <> (
        SELECT coalesce(sum(amount.value), 0)
        FROM postings AS p
        JOIN json_each(iif(json_valid(p.accounts), p.accounts, '[]')) AS account
        JOIN json_each(iif(json_valid(p.amounts), p.amounts, '[]')) AS amount ON amount.key = account.key
        WHERE p.loan_key = l.loan_key AND p.loan_version > 0 AND p.layer = 'SETTLED' AND account.value = ?3)
    ORDER BY l.loan_id LIMIT 100";

pub(super) const KEEP_RUN: &str = "
    INSERT INTO reconciliation_runs (tenant, currency, as_of_date, checked_at, findings) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (tenant, currency, as_of_date, checked_at) DO UPDATE SET findings = excluded.findings";

/// Runs are kept for 400 days.
pub(super) const FORGET_RUNS: &str = "
    DELETE FROM reconciliation_runs WHERE tenant = ?1 AND currency = ?2 AND checked_at < ?3";

pub(super) const LATEST_RUN: &str = "
    SELECT checked_at, findings FROM reconciliation_runs
    WHERE tenant = ?1 AND currency = ?2 AND as_of_date = ?3 ORDER BY checked_at DESC LIMIT 1";

pub(super) const CURRENCIES: &str = "SELECT DISTINCT tenant, currency FROM account_totals";

/// 400 days in microseconds.
const KEPT_MICROS: i64 = 400 * 86_400 * 1_000_000;

type Books = (TenantId, Currency);

/// Reads and compares.
pub(super) async fn look(
    db: &mut SqliteConnection,
    of: &[ReconciliationQuestion],
    now: Timestamp,
) -> Result<Vec<ReconciliationRun>, StoreError> {
    let mut places: BTreeMap<Books, Vec<usize>> = BTreeMap::new();
    for (place, question) in of.iter().enumerate() {
        places.entry((question.tenant, question.currency)).or_default().push(place);
    }
    let mut readings = vec![Readings::default(); of.len()];
    read_totals(db, of, &places, &mut readings).await?;
    read_lines(db, of, &places, &mut readings).await?;
    read_principals(db, &places, &mut readings).await?;
    let mut runs = Vec::with_capacity(of.len());
    for (question, mut reading) in of.iter().zip(readings) {
        reading.banks = of_question(db, *question).await?;
        let mut findings = reading.judged();
        if findings.gl_principal != findings.loans_principal {
            findings.wrong_loans = wrong_loans(db, question).await?;
        }
        runs.push(ReconciliationRun { question: *question, checked_at: now, findings });
    }
    Ok(runs)
}

fn books(row: &SqliteRow) -> Result<Books, StoreError> {
    Ok((tenant_of(row)?, word(row, "currency")?))
}

async fn read_totals(
    db: &mut SqliteConnection,
    of: &[ReconciliationQuestion],
    places: &BTreeMap<Books, Vec<usize>>,
    readings: &mut [Readings],
) -> Result<(), StoreError> {
    let mut rows = sqlx::query(TOTALS).fetch(db);
    while let Some(row) = rows.try_next().await.map_err(store_error)? {
        let Some(places) = places.get(&books(&row)?) else { continue };
        let account = AccountCode::from_number(get(&row, "account")?).ok_or_else(|| broken("account"))?;
        let (layer, booked): (Layer, _) = (word(&row, "layer")?, date(&row, "booking_date")?);
        for place in places {
            let (Some(question), Some(reading)) = (of.get(*place), readings.get_mut(*place)) else { continue };
            if booked <= question.as_of {
                let totals = reading.totals.entry((account, layer)).or_default();
                totals.debits = totals.debits.saturating_add(sum(&row, "debits")?);
                totals.credits = totals.credits.saturating_add(sum(&row, "credits")?);
            }
        }
    }
    Ok(())
}

async fn read_lines(
    db: &mut SqliteConnection,
    of: &[ReconciliationQuestion],
    places: &BTreeMap<Books, Vec<usize>>,
    readings: &mut [Readings],
) -> Result<(), StoreError> {
    let mut rows = sqlx::query(LINES).fetch(db);
    while let Some(row) = rows.try_next().await.map_err(store_error)? {
        let Some(places) = places.get(&books(&row)?) else { continue };
        let (layer, booked): (Layer, _) = (word(&row, "layer")?, date(&row, "booking_date")?);
        // Lines that cannot be read are none: the totals then stand alone, which is a mismatch.
        let accounts: Vec<i16> = serde_json::from_str(get(&row, "accounts")?).unwrap_or_default();
        let amounts: Vec<i64> = serde_json::from_str(get(&row, "amounts")?).unwrap_or_default();
        for place in places {
            let (Some(question), Some(reading)) = (of.get(*place), readings.get_mut(*place)) else { continue };
            for (number, amount) in accounts.iter().zip(&amounts) {
                let account = AccountCode::from_number(*number).ok_or_else(|| broken("account"))?;
                if booked <= question.as_of {
                    add(&mut reading.lines, (account, layer), *amount);
                } else if (account, layer) == (AccountCode::PRINCIPAL_RECEIVABLE, Layer::Settled) {
                    reading.later = reading.later.saturating_add(i128::from(*amount));
                }
            }
        }
    }
    Ok(())
}

fn add(lines: &mut Sides, key: (AccountCode, Layer), signed: i64) {
    let totals: &mut AccountTotals = lines.entry(key).or_default();
    let side = if signed < 0 { &mut totals.credits } else { &mut totals.debits };
    *side = side.saturating_add(i128::from(signed.unsigned_abs()));
}

async fn read_principals(
    db: &mut SqliteConnection,
    places: &BTreeMap<Books, Vec<usize>>,
    readings: &mut [Readings],
) -> Result<(), StoreError> {
    let mut rows = sqlx::query(PRINCIPALS).fetch(db);
    while let Some(row) = rows.try_next().await.map_err(store_error)? {
        let Some(places) = places.get(&books(&row)?) else { continue };
        for place in places {
            let Some(reading) = readings.get_mut(*place) else { continue };
            reading.loans = reading.loans.saturating_add(i128::from(get::<i64>(&row, "principal")?));
        }
    }
    Ok(())
}

async fn wrong_loans(db: &mut SqliteConnection, of: &ReconciliationQuestion) -> Result<Vec<uuid::Uuid>, StoreError> {
    let query = sqlx::query(WRONG_LOANS)
        .bind(of.tenant.0)
        .bind(of.currency.code().to_owned())
        .bind(AccountCode::PRINCIPAL_RECEIVABLE.number());
    query.fetch_all(db).await.map_err(store_error)?.iter().map(|row| id(row, "loan_id")).collect()
}

/// Keeps runs.
pub(super) async fn keep(db: &mut SqliteConnection, runs: Vec<ReconciliationRun>) -> Result<(), StoreError> {
    for run in runs {
        let (of, at) = (run.question, run.checked_at.micros());
        let findings = serde_json::to_string(&run.findings).map_err(|error| StoreError::Broken(error.to_string()))?;
        let query = sqlx::query(KEEP_RUN).bind(of.tenant.0).bind(of.currency.code().to_owned());
        let query = query.bind(of.as_of.to_string()).bind(at).bind(findings);
        query.execute(&mut *db).await.map_err(store_error)?;
        let query = sqlx::query(FORGET_RUNS).bind(of.tenant.0).bind(of.currency.code().to_owned());
        query.bind(at.saturating_sub(KEPT_MICROS)).execute(&mut *db).await.map_err(store_error)?;
    }
    Ok(())
}

/// The latest run for these books.
pub(super) async fn latest(
    db: &mut SqliteConnection,
    of: ReconciliationQuestion,
) -> Result<Option<ReconciliationRun>, StoreError> {
    let query =
        sqlx::query(LATEST_RUN).bind(of.tenant.0).bind(of.currency.code().to_owned()).bind(of.as_of.to_string());
    let Some(row) = query.fetch_optional(db).await.map_err(store_error)? else { return Ok(None) };
    let findings: Findings = serde_json::from_str(get(&row, "findings")?).map_err(|_| broken("findings"))?;
    Ok(Some(ReconciliationRun { question: of, checked_at: instant(&row, "checked_at")?, findings }))
}

/// Every currency that a tenant's accounts are kept in.
pub(super) async fn currencies(db: &mut SqliteConnection) -> Result<Vec<Books>, StoreError> {
    let rows = sqlx::query(CURRENCIES).fetch_all(db).await.map_err(store_error)?;
    rows.iter().map(books).collect()
}
