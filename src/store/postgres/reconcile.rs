//! Owns the statements of a reconciliation run: the sums of the books beside what they sum up, in one snapshot. Reads
//! every posting once, whatever the number of tenants.

use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection};

use super::bank::checks;
use super::connect::{BEGIN_SNAPSHOT, PostgresStore, finish};
use super::error::classify;
use super::intake_rows::Prepared;
use super::rows::{Columns, broken};
use super::verify::WITHOUT_HURRY;
use crate::core::ids::TenantId;
use crate::core::ledger::{AccountCode, Layer};
use crate::core::money::Currency;
use crate::core::time::Timestamp;
use crate::store::reconciliation::{NAMED_MAX, Readings};
use crate::store::{AccountTotals, Findings, ReconciliationQuestion, ReconciliationRun, StoreError};

/// The questions, numbered from 1. A macro, because it stands in statements.
macro_rules! asked {
    () => {
        "unnest($1::uuid[], $2::text[], $3::date[]) WITH ORDINALITY AS q (tenant, currency, as_of, no)"
    };
}

pub(super) use asked;

const READ_NOW: &str = "SELECT clock_timestamp()";

const SUM_TOTALS: &str = concat!(
    "SELECT q.no, t.account, t.layer, false, sum(t.debits)::text, sum(t.credits)::text FROM ",
    asked!(),
    " JOIN account_totals t ON t.tenant = q.tenant AND t.currency = q.currency AND t.booking_date <= q.as_of \
     GROUP BY 1, 2, 3"
);

/// The lines by the day, and those booked later.
const SUM_LINES: &str = concat!(
    "SELECT q.no, line.account, p.layer, p.booking_date > q.as_of, \
     coalesce(sum(line.amount) FILTER (WHERE line.amount > 0), 0)::text, \
     coalesce(-sum(line.amount) FILTER (WHERE line.amount < 0), 0)::text FROM ",
    asked!(),
    " JOIN events e ON e.tenant = q.tenant AND e.currency = q.currency JOIN postings p ON p.event_seq = e.seq \
     CROSS JOIN LATERAL unnest(p.accounts, p.amounts) AS line (account, amount) GROUP BY 1, 2, 3, 4"
);

const SUM_LOANS: &str = concat!(
    "SELECT q.no, sum(l.principal)::text FROM ",
    asked!(),
    " JOIN loans l ON l.tenant = q.tenant AND l.currency = q.currency GROUP BY q.no"
);

/// Loans whose principal is not the sum of its lines.
const WRONG_LOANS: &str = "SELECT l.loan_id FROM loans l LEFT JOIN (SELECT p.loan_key, sum(line.amount) AS principal \
     FROM postings p CROSS JOIN LATERAL unnest(p.accounts, p.amounts) AS line (account, amount) \
     WHERE p.layer = 'SETTLED' AND line.account = $3 GROUP BY p.loan_key) AS s ON s.loan_key = l.loan_key \
     WHERE l.tenant = $1 AND l.currency = $2 AND l.principal <> coalesce(s.principal, 0) ORDER BY l.loan_id LIMIT $4";

const KEEP_RUN: &str = "INSERT INTO reconciliation_runs (tenant, currency, as_of_date, checked_at, findings) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant, currency, as_of_date, checked_at) DO NOTHING";

/// Runs are kept for 400 days.
const FORGET_RUNS: &str = "DELETE FROM reconciliation_runs WHERE tenant = $1 AND currency = $2 \
     AND checked_at < clock_timestamp() - interval '400 days'";

const LATEST_RUN: &str = "SELECT checked_at, findings FROM reconciliation_runs \
     WHERE tenant = $1 AND currency = $2 AND as_of_date = $3 ORDER BY checked_at DESC LIMIT 1";

const READ_CURRENCIES: &str =
    "SELECT tenant, currency FROM account_totals UNION SELECT tenant, currency FROM bank_accounts";

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 9] = [
    ("read_reconciliation_now", READ_NOW),
    ("sum_totals", SUM_TOTALS),
    ("sum_lines", SUM_LINES),
    ("sum_loans", SUM_LOANS),
    ("wrong_loans", WRONG_LOANS),
    ("keep_run", KEEP_RUN),
    ("forget_runs", FORGET_RUNS),
    ("latest_run", LATEST_RUN),
    ("read_currencies", READ_CURRENCIES),
];

impl PostgresStore {
    pub(super) async fn make_runs(
        &self,
        of: Vec<ReconciliationQuestion>,
    ) -> Result<Vec<ReconciliationRun>, StoreError> {
        let mut connection = self.connection().await?;
        let mut transaction = connection.begin_with(BEGIN_SNAPSHOT).await.map_err(classify)?;
        let done = look(&mut transaction, &of).await;
        let runs = finish(transaction, done).await?;
        for run in &runs {
            keep(&mut connection, run).await?;
        }
        Ok(runs)
    }

    pub(super) async fn read_latest_run(
        &self,
        of: ReconciliationQuestion,
    ) -> Result<Option<ReconciliationRun>, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(LATEST_RUN).bind(of.tenant.0).bind(of.currency.code()).bind(of.as_of);
        let Some(row) = query.fetch_optional(&mut *connection).await.map_err(classify)? else { return Ok(None) };
        let mut columns = Columns::of(&row);
        let checked_at = columns.instant()?;
        let text: &str = columns.take()?;
        let findings: Findings = serde_json::from_str(text).map_err(|_| broken("findings", text))?;
        Ok(Some(ReconciliationRun { question: of, checked_at, findings }))
    }

    pub(super) async fn read_currencies(&self) -> Result<Vec<(TenantId, Currency)>, StoreError> {
        let mut connection = self.connection().await?;
        let rows = sqlx::query(READ_CURRENCIES).fetch_all(&mut *connection).await.map_err(classify)?;
        let currency = |row: &PgRow| {
            let mut columns = Columns::of(row);
            let tenant = TenantId(columns.take()?);
            let code: &str = columns.take()?;
            Ok((tenant, code.parse().map_err(|_| broken("currency", code))?))
        };
        rows.iter().map(currency).collect()
    }
}

/// The questions as the first three parameters.
pub(super) fn questions(statement: &'static str, of: &[ReconciliationQuestion]) -> Prepared<'static> {
    sqlx::query(statement)
        .bind(of.iter().map(|question| question.tenant.0).collect::<Vec<_>>())
        .bind(of.iter().map(|question| question.currency.code().to_owned()).collect::<Vec<_>>())
        .bind(of.iter().map(|question| question.as_of).collect::<Vec<_>>())
}

/// Reads and compares, in one snapshot.
async fn look(
    connection: &mut PgConnection,
    of: &[ReconciliationQuestion],
) -> Result<Vec<ReconciliationRun>, StoreError> {
    sqlx::raw_sql(WITHOUT_HURRY).execute(&mut *connection).await.map_err(classify)?;
    let row = sqlx::query(READ_NOW).fetch_one(&mut *connection).await.map_err(classify)?;
    let checked_at: Timestamp = Columns::of(&row).instant()?;
    let mut readings = vec![Readings::default(); of.len()];
    for row in questions(SUM_TOTALS, of).fetch_all(&mut *connection).await.map_err(classify)? {
        let (place, sides) = sides(&row)?;
        let reading = reading(&mut readings, place)?;
        reading.totals.insert((sides.account, sides.layer), sides.totals);
    }
    for row in questions(SUM_LINES, of).fetch_all(&mut *connection).await.map_err(classify)? {
        let (place, sides) = sides(&row)?;
        let reading = reading(&mut readings, place)?;
        if !sides.is_later {
            reading.lines.insert((sides.account, sides.layer), sides.totals);
        } else if (sides.account, sides.layer) == (AccountCode::PRINCIPAL_RECEIVABLE, Layer::Settled) {
            reading.later = sides.totals.debits.saturating_sub(sides.totals.credits);
        }
    }
    for row in questions(SUM_LOANS, of).fetch_all(&mut *connection).await.map_err(classify)? {
        let mut columns = Columns::of(&row);
        let place: i64 = columns.take()?;
        reading(&mut readings, place)?.loans = sum(&mut columns)?;
    }
    for (reading, banks) in readings.iter_mut().zip(checks(connection, of).await?) {
        reading.banks = banks;
    }
    let mut runs = Vec::with_capacity(of.len());
    for (question, reading) in of.iter().zip(readings) {
        let mut findings = reading.judged();
        if findings.gl_principal != findings.loans_principal {
            findings.wrong_loans = wrong_loans(connection, question).await?;
        }
        runs.push(ReconciliationRun { question: *question, checked_at, findings });
    }
    Ok(runs)
}

async fn wrong_loans(
    connection: &mut PgConnection,
    of: &ReconciliationQuestion,
) -> Result<Vec<uuid::Uuid>, StoreError> {
    let query = sqlx::query(WRONG_LOANS)
        .bind(of.tenant.0)
        .bind(of.currency.code())
        .bind(AccountCode::PRINCIPAL_RECEIVABLE.number())
        .bind(i64::try_from(NAMED_MAX).unwrap_or(i64::MAX));
    let rows = query.fetch_all(connection).await.map_err(classify)?;
    rows.iter().map(|row| Columns::of(row).take()).collect()
}

async fn keep(connection: &mut PgConnection, run: &ReconciliationRun) -> Result<(), StoreError> {
    let of = run.question;
    let findings = serde_json::to_string(&run.findings).map_err(|error| StoreError::Broken(error.to_string()))?;
    let query = sqlx::query(KEEP_RUN).bind(of.tenant.0).bind(of.currency.code()).bind(of.as_of);
    let query = query.bind(run.checked_at.utc()).bind(findings);
    query.execute(&mut *connection).await.map_err(classify)?;
    let query = sqlx::query(FORGET_RUNS).bind(of.tenant.0).bind(of.currency.code());
    query.execute(connection).await.map_err(classify).map(drop)
}

struct OfAccount {
    account: AccountCode,
    layer: Layer,
    is_later: bool,
    totals: AccountTotals,
}

/// Reads a row of [`SUM_TOTALS`] or [`SUM_LINES`].
fn sides(row: &PgRow) -> Result<(i64, OfAccount), StoreError> {
    let mut columns = Columns::of(row);
    let (place, number): (i64, i16) = (columns.take()?, columns.take()?);
    let account = AccountCode::from_number(number).ok_or_else(|| broken("account", &number.to_string()))?;
    let word: &str = columns.take()?;
    let layer = word.parse().map_err(|_| broken("layer", word))?;
    let is_later = columns.take()?;
    let totals = AccountTotals { debits: sum(&mut columns)?, credits: sum(&mut columns)? };
    Ok((place, OfAccount { account, layer, is_later, totals }))
}

fn sum(columns: &mut Columns<'_>) -> Result<i128, StoreError> {
    let text: &str = columns.take()?;
    text.parse().map_err(|_| broken("a sum", text))
}

/// What belongs to the question of a number.
pub(super) fn reading<T>(readings: &mut [T], place: i64) -> Result<&mut T, StoreError> {
    let index = usize::try_from(place).ok().and_then(|place| place.checked_sub(1));
    index.and_then(|index| readings.get_mut(index)).ok_or_else(|| broken("a place", &place.to_string()))
}
