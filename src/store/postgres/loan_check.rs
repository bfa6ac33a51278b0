//! Owns the statements that check loans against their postings, a window in one snapshot.

use futures::TryStreamExt as _;
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::connect::{BEGIN_SNAPSHOT, PostgresStore, finish};
use super::error::classify;
use super::rows::{Columns, broken, key_column, posting, posting_columns};
use crate::core::event::Fingerprint;
use crate::core::ids::{EventId, LoanId, LoanKey, TenantId};
use crate::core::money::Currency;
use crate::core::time::Timestamp;
use crate::store::loan_check::{CheckedLoan, CheckedPosting, LoanName, LoanWalk, window};
use crate::store::{LoanFault, LoanFaults, LoansChecked, StoreError};

/// A loan's postings may be more than a statement's usual time allows.
const PATIENT: &str = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

const READ_LOANS: &str = "SELECT loan_key, loan_id, tenant, currency, version, fees, interest, principal, suspense, \
     memo_fees, memo_interest, memo_principal, chain_head, clock_timestamp() FROM loans WHERE loan_key > $1 \
     ORDER BY loan_key LIMIT 1000";

const READ_CHECK_NOW: &str = "SELECT clock_timestamp()";

/// Along the index `postings_loan_version`.
const READ_POSTINGS: &str = concat!(
    "SELECT p.loan_key, e.loan_id, e.tenant, e.currency, e.id, e.fingerprint, p.loan_version, p.chain_hash, ",
    posting_columns!(),
    " FROM postings p JOIN events e ON e.seq = p.event_seq WHERE p.loan_key > $1 AND p.loan_key <= $2 \
     AND p.loan_version > 0 ORDER BY p.loan_key, p.loan_version"
);

/// The columns that [`fault`] reads. A macro, because `concat!` joins literals only.
macro_rules! fault_columns {
    () => {
        "loan_key, loan_id, tenant, currency, kind, event_id, detail"
    };
}

const READ_FAULTS: &str = concat!(
    "SELECT ",
    fault_columns!(),
    " FROM loan_faults WHERE loan_key > $1 AND loan_key <= $2 ORDER BY loan_key, kind"
);

const FORGET_FAULTS: &str = "DELETE FROM loan_faults WHERE loan_key > $1 AND loan_key <= $2";

const KEEP_FAULTS: &str = concat!(
    "INSERT INTO loan_faults (",
    fault_columns!(),
    ", found_at) SELECT ",
    fault_columns!(),
    ", clock_timestamp() FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::text[]) \
     AS n (",
    fault_columns!(),
    ") ON CONFLICT (loan_key, kind) DO UPDATE SET event_id = excluded.event_id, detail = excluded.detail"
);

/// The first hundred of each sort, and how many there are.
const FAULTS_OF: &str = concat!(
    "SELECT ",
    fault_columns!(),
    ", count FROM (SELECT ",
    fault_columns!(),
    ", count(*) OVER (PARTITION BY kind) AS count, row_number() OVER (PARTITION BY kind ORDER BY loan_id) AS place \
     FROM loan_faults WHERE tenant = $1 AND currency = $2) AS f WHERE place <= 100 ORDER BY kind, loan_id"
);

const COUNT_FAULTS: &str = "SELECT count(*) FROM loan_faults";

const NOTE_CHECKED: &str = "UPDATE reconciler SET loans_checked_at = $1";

const READ_CHECKED: &str = "SELECT loans_checked_at FROM reconciler";

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 10] = [
    ("read_checked_loans", READ_LOANS),
    ("read_check_now", READ_CHECK_NOW),
    ("read_checked_postings", READ_POSTINGS),
    ("read_loan_faults", READ_FAULTS),
    ("forget_loan_faults", FORGET_FAULTS),
    ("keep_loan_faults", KEEP_FAULTS),
    ("loan_faults_of", FAULTS_OF),
    ("count_loan_faults", COUNT_FAULTS),
    ("note_loans_checked", NOTE_CHECKED),
    ("read_loans_checked", READ_CHECKED),
];

/// The keys of a window: after the first, up to the last.
type Span = (Uuid, Uuid);

impl PostgresStore {
    pub(super) async fn check_window(&self, after: Option<LoanKey>) -> Result<LoansChecked, StoreError> {
        let mut connection = self.connection().await?;
        let mut transaction = connection.begin_with(BEGIN_SNAPSHOT).await.map_err(classify)?;
        let done = look(&mut transaction, after).await;
        let (mut checked, span, faults, known) = finish(transaction, done).await?;
        if faults != known {
            let mut transaction = connection.begin().await.map_err(classify)?;
            let done = keep(&mut transaction, span, &faults).await;
            finish(transaction, done).await?;
        }
        checked.found = faults.into_iter().filter(|fault| !known.contains(fault)).collect();
        Ok(checked)
    }

    pub(super) async fn read_loan_faults(
        &self,
        tenant: TenantId,
        currency: Currency,
    ) -> Result<LoanFaults, StoreError> {
        let mut connection = self.connection().await?;
        let row = sqlx::query(READ_CHECKED).fetch_one(&mut *connection).await.map_err(classify)?;
        let mut faults = LoanFaults { checked_at: Columns::of(&row).optional_instant()?, ..LoanFaults::default() };
        let query = sqlx::query(FAULTS_OF).bind(tenant.0).bind(currency.code());
        for row in query.fetch_all(&mut *connection).await.map_err(classify)? {
            let mut columns = Columns::of(&row);
            let fault = fault(&mut columns)?;
            faults.add(fault, columns.take()?);
        }
        Ok(faults)
    }

    pub(super) async fn read_loan_fault_count(&self) -> Result<u64, StoreError> {
        let mut connection = self.connection().await?;
        let row = sqlx::query(COUNT_FAULTS).fetch_one(&mut *connection).await.map_err(classify)?;
        Ok(u64::try_from(Columns::of(&row).take::<i64>()?).unwrap_or(0))
    }

    pub(super) async fn write_loans_checked(&self, since: Timestamp) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(NOTE_CHECKED).bind(since.utc());
        query.execute(&mut *connection).await.map_err(classify).map(drop)
    }
}

/// Reads a window and checks it: with its faults, and those that are known of it.
async fn look(
    connection: &mut PgConnection,
    after: Option<LoanKey>,
) -> Result<(LoansChecked, Span, Vec<LoanFault>, Vec<LoanFault>), StoreError> {
    sqlx::raw_sql(PATIENT).execute(&mut *connection).await.map_err(classify)?;
    let row = sqlx::query(READ_CHECK_NOW).fetch_one(&mut *connection).await.map_err(classify)?;
    let read_at = Columns::of(&row).instant()?;
    let after = after.map_or(Uuid::nil(), key_column);
    let rows = sqlx::query(READ_LOANS).bind(after).fetch_all(&mut *connection).await.map_err(classify)?;
    let (rows, is_cut) = window(rows.iter().map(loan).collect::<Result<_, _>>()?);
    let loans = rows.len();
    let next = rows.last().map(|row| row.key).filter(|_| is_cut);
    let span = (after, next.map_or(Uuid::max(), key_column));
    let mut walk = LoanWalk::new(rows);
    let mut postings = sqlx::query(READ_POSTINGS).bind(span.0).bind(span.1).fetch(&mut *connection);
    while let Some(row) = postings.try_next().await.map_err(classify)? {
        walk.step(&checked_posting(&row)?);
    }
    drop(postings);
    let faults = walk.finish();
    let known = sqlx::query(READ_FAULTS).bind(span.0).bind(span.1).fetch_all(connection).await.map_err(classify)?;
    let known = known.iter().map(|row| fault(&mut Columns::of(row))).collect::<Result<_, _>>()?;
    Ok((LoansChecked { next, read_at, loans, faults: faults.len(), found: Vec::new() }, span, faults, known))
}

/// Puts what was found in the place of what was known of a window.
async fn keep(connection: &mut PgConnection, span: Span, faults: &[LoanFault]) -> Result<(), StoreError> {
    let forget = sqlx::query(FORGET_FAULTS).bind(span.0).bind(span.1);
    forget.execute(&mut *connection).await.map_err(classify)?;
    let query = sqlx::query(KEEP_FAULTS)
        .bind(faults.iter().map(|it| key_column(it.loan_key)).collect::<Vec<_>>())
        .bind(faults.iter().map(|it| it.loan_id.0).collect::<Vec<_>>())
        .bind(faults.iter().map(|it| it.tenant.0).collect::<Vec<_>>())
        .bind(faults.iter().map(|it| it.currency.code().to_owned()).collect::<Vec<_>>())
        .bind(faults.iter().map(|it| it.kind.as_str()).collect::<Vec<_>>())
        .bind(faults.iter().map(|it| it.event.map(|event| event.0)).collect::<Vec<_>>())
        .bind(faults.iter().map(|it| it.detail.as_str()).collect::<Vec<_>>());
    query.execute(connection).await.map_err(classify).map(drop)
}

fn loan(row: &PgRow) -> Result<CheckedLoan, StoreError> {
    let mut columns = Columns::of(row);
    let (key, name, version) = (columns.loan_key()?, name(&mut columns), columns.take()?);
    let mut amount = || columns.take::<i64>().map(i128::from);
    let [fees, interest, principal, suspense] = [amount()?, amount()?, amount()?, amount()?];
    let memo = [amount()?, amount()?, amount()?].into_iter().fold(0, i128::saturating_add);
    let balances = [fees, interest, principal, suspense, memo];
    Ok(CheckedLoan { key, name, version, balances, head: columns.take()? })
}

/// Reads three columns, whatever is in them.
fn name(columns: &mut Columns<'_>) -> Option<LoanName> {
    let (id, tenant, currency) = (columns.take().ok(), columns.take().ok(), columns.word("currency").ok());
    Some(LoanName { id: LoanId(id?), tenant: TenantId(tenant?), currency: currency? })
}

fn checked_posting(row: &PgRow) -> Result<CheckedPosting, StoreError> {
    let mut columns = Columns::of(row);
    let (key, name, event) = (columns.loan_key()?, name(&mut columns), columns.take().ok().map(EventId));
    let fingerprint = columns.take().ok().map(Fingerprint::from_bytes);
    let (version, stored) = (columns.take()?, columns.take().ok());
    let posting = event.and_then(|event| posting(&mut columns, event).ok().flatten());
    Ok(CheckedPosting { key, name, event, version, stored, fingerprint, posting })
}

/// Reads [`fault_columns`].
fn fault(columns: &mut Columns<'_>) -> Result<LoanFault, StoreError> {
    let (loan_key, loan_id) = (columns.loan_key()?, LoanId(columns.take()?));
    let (tenant, currency) = (TenantId(columns.take()?), columns.word("currency")?);
    let word: &str = columns.take()?;
    let kind = word.parse().map_err(|_| broken("kind of a fault", word))?;
    let event = columns.take::<Option<Uuid>>()?.map(EventId);
    Ok(LoanFault { tenant, currency, loan_key, loan_id, kind, event, detail: columns.take()? })
}
