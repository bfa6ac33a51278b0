//! Owns the statements that check loans against their postings, a window in one snapshot.

use futures::TryStreamExt as _;
use serde::Serialize;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::core::event::Fingerprint;
use crate::core::ids::{EventId, LoanId, LoanKey, TenantId};
use crate::core::money::Currency;
use crate::core::time::Timestamp;
use crate::store::loan_check::{CheckedLoan, CheckedPosting, LoanName, LoanWalk, window};
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{Hex, hex_id, json};
use crate::store::sqlite::rows::{
    bytes, decode_posting, get, id, optional_bytes, posting_columns, tenant as tenant_of, word,
};
use crate::store::{LoanFault, LoanFaults, LoansChecked, StoreError};

pub(super) const CHECKED_LOANS: &str = "
    SELECT loan_key, loan_id, tenant, currency, version, fees, interest, principal, suspense, memo_fees, memo_interest,
        memo_principal, chain_head
    FROM loans WHERE loan_key > ?1 ORDER BY loan_key LIMIT 1000";

/// Along the index `postings_loan_version`.
pub(super) const CHECKED_POSTINGS: &str = concat!(
    "SELECT e.loan_id, e.tenant, e.currency, e.id AS event_id, e.fingerprint, ",
    posting_columns!(),
    " FROM postings AS p INDEXED BY postings_loan_version JOIN events AS e ON e.seq = p.event_seq
    WHERE p.loan_key > ?1 AND p.loan_key <= ?2 AND p.loan_version > 0 ORDER BY p.loan_key, p.loan_version"
);

pub(super) const KNOWN_FAULTS: &str = "
    SELECT loan_key, loan_id, tenant, currency, kind, event_id, detail FROM loan_faults
    WHERE loan_key > ?1 AND loan_key <= ?2 ORDER BY loan_key, kind";

pub(super) const FORGET_FAULTS: &str = "DELETE FROM loan_faults WHERE loan_key > ?1 AND loan_key <= ?2";

pub(super) const KEEP_FAULTS: &str = "
    INSERT INTO loan_faults (loan_key, loan_id, tenant, currency, kind, event_id, detail, found_at)
    SELECT unhex(value ->> 'loan_key'), unhex(value ->> 'loan_id'), unhex(value ->> 'tenant'), value ->> 'currency',
        value ->> 'kind', unhex(value ->> 'event_id'), value ->> 'detail', ?2
    FROM jsonb_each(?1) WHERE true
    ON CONFLICT (loan_key, kind) DO UPDATE SET event_id = excluded.event_id, detail = excluded.detail";

/// The first hundred of each sort, and how many there are.
pub(super) const FAULTS_OF: &str = "
    SELECT loan_key, loan_id, tenant, currency, kind, event_id, detail, count FROM (
        SELECT loan_key, loan_id, tenant, currency, kind, event_id, detail,
            count(*) OVER (PARTITION BY kind) AS count,
            row_number() OVER (PARTITION BY kind ORDER BY loan_id) AS place
        FROM loan_faults WHERE tenant = ?1 AND currency = ?2)
    WHERE place <= 100 ORDER BY kind, loan_id";

pub(super) const COUNT_FAULTS: &str = "SELECT count(*) AS count FROM loan_faults";

pub(super) const NOTE_CHECKED: &str = "UPDATE reconciler SET loans_checked_at = ?1";

pub(super) const CHECKED_AT: &str = "SELECT loans_checked_at FROM reconciler";

/// The keys of a window: after the first, up to the last.
type Span = ([u8; 16], [u8; 16]);

/// A window, as it was read.
pub(super) struct Window {
    pub(super) checked: LoansChecked,
    span: Span,
    faults: Vec<LoanFault>,
    known: Vec<LoanFault>,
}

impl Window {
    /// Whether something else was found than is known.
    pub(super) fn is_changed(&self) -> bool {
        self.faults != self.known
    }

    /// What its caller hears.
    pub(super) fn told(&self) -> LoansChecked {
        let found = self.faults.iter().filter(|fault| !self.known.contains(fault)).cloned().collect();
        LoansChecked { found, ..self.checked.clone() }
    }
}

#[derive(Serialize)]
struct FaultParam<'a> {
    loan_key: Hex<16>,
    loan_id: Hex<16>,
    tenant: Hex<16>,
    currency: &'a str,
    kind: &'static str,
    event_id: Option<Hex<16>>,
    detail: &'a str,
}

/// Reads a window and checks it.
pub(super) async fn look(
    db: &mut SqliteConnection,
    after: Option<LoanKey>,
    read_at: Timestamp,
) -> Result<Window, StoreError> {
    let after = after.map_or([0; 16], LoanKey::bytes);
    let rows = sqlx::query(CHECKED_LOANS).bind(after.to_vec()).fetch_all(&mut *db).await.map_err(store_error)?;
    let (rows, is_cut) = window(rows.iter().map(loan).collect::<Result<_, _>>()?);
    let loans = rows.len();
    let next = rows.last().map(|row| row.key).filter(|_| is_cut);
    let span = (after, next.map_or([u8::MAX; 16], LoanKey::bytes));
    let mut walk = LoanWalk::new(rows);
    let query = sqlx::query(CHECKED_POSTINGS).bind(span.0.to_vec()).bind(span.1.to_vec());
    let mut postings = query.fetch(&mut *db);
    while let Some(row) = postings.try_next().await.map_err(store_error)? {
        walk.step(&checked_posting(&row)?);
    }
    drop(postings);
    let faults = walk.finish();
    let known = sqlx::query(KNOWN_FAULTS).bind(span.0.to_vec()).bind(span.1.to_vec());
    let known = known.fetch_all(db).await.map_err(store_error)?.iter().map(fault).collect::<Result<_, _>>()?;
    let checked = LoansChecked { next, read_at, loans, faults: faults.len(), found: Vec::new() };
    Ok(Window { checked, span, faults, known })
}

/// Puts what was found in the place of what was known of a window.
pub(super) async fn keep(db: &mut SqliteConnection, window: Window) -> Result<(), StoreError> {
    let (after, last) = window.span;
    let query = sqlx::query(FORGET_FAULTS).bind(after.to_vec()).bind(last.to_vec());
    query.execute(&mut *db).await.map_err(store_error)?;
    let param = |fault: &'_ LoanFault| -> Result<String, StoreError> {
        json(&FaultParam {
            loan_key: Hex(fault.loan_key.bytes()),
            loan_id: hex_id(fault.loan_id.0),
            tenant: hex_id(fault.tenant.0),
            currency: fault.currency.code(),
            kind: fault.kind.as_str(),
            event_id: fault.event.map(|event| hex_id(event.0)),
            detail: &fault.detail,
        })
    };
    let faults = window.faults.iter().map(param).collect::<Result<Vec<_>, _>>()?;
    let query = sqlx::query(KEEP_FAULTS).bind(format!("[{}]", faults.join(",")));
    query.bind(window.checked.read_at.micros()).execute(db).await.map_err(store_error).map(drop)
}

/// How many faults are kept.
pub(super) async fn count(db: &mut SqliteConnection) -> Result<u64, StoreError> {
    let row = sqlx::query(COUNT_FAULTS).fetch_one(db).await.map_err(store_error)?;
    Ok(u64::try_from(get::<i64>(&row, "count")?).unwrap_or(0))
}

/// The faults of the loans of these books.
pub(super) async fn faults_of(
    db: &mut SqliteConnection,
    (tenant, currency): (TenantId, Currency),
) -> Result<LoanFaults, StoreError> {
    let row = sqlx::query(CHECKED_AT).fetch_one(&mut *db).await.map_err(store_error)?;
    let checked_at: Option<i64> = get(&row, "loans_checked_at")?;
    let mut faults = LoanFaults { checked_at: checked_at.and_then(Timestamp::from_micros), ..LoanFaults::default() };
    let query = sqlx::query(FAULTS_OF).bind(tenant.0).bind(currency.code().to_owned());
    for row in query.fetch_all(db).await.map_err(store_error)? {
        faults.add(fault(&row)?, get(&row, "count")?);
    }
    Ok(faults)
}

/// Notes since when every loan was checked.
pub(super) async fn note(db: &mut SqliteConnection, since: Timestamp) -> Result<(), StoreError> {
    sqlx::query(NOTE_CHECKED).bind(since.micros()).execute(db).await.map_err(store_error).map(drop)
}

fn loan(row: &SqliteRow) -> Result<CheckedLoan, StoreError> {
    let amount = |column: &str| get::<i64>(row, column).map(i128::from);
    let memo = [amount("memo_fees")?, amount("memo_interest")?, amount("memo_principal")?];
    let memo = memo.into_iter().fold(0, i128::saturating_add);
    Ok(CheckedLoan {
        key: LoanKey::from_bytes(bytes(row, "loan_key")?),
        name: name(row).ok(),
        version: get(row, "version")?,
        balances: [amount("fees")?, amount("interest")?, amount("principal")?, amount("suspense")?, memo],
        head: bytes(row, "chain_head")?,
    })
}

fn name(row: &SqliteRow) -> Result<LoanName, StoreError> {
    Ok(LoanName { id: LoanId(id(row, "loan_id")?), tenant: tenant_of(row)?, currency: word(row, "currency")? })
}

fn checked_posting(row: &SqliteRow) -> Result<CheckedPosting, StoreError> {
    let event = id(row, "event_id").ok().map(EventId);
    Ok(CheckedPosting {
        key: LoanKey::from_bytes(bytes(row, "posting_loan_key")?),
        name: name(row).ok(),
        event,
        version: get(row, "loan_version")?,
        stored: bytes(row, "chain_hash").ok(),
        fingerprint: bytes(row, "fingerprint").ok().map(Fingerprint::from_bytes),
        posting: event.and_then(|event| decode_posting(row, event).ok().flatten()),
    })
}

fn fault(row: &SqliteRow) -> Result<LoanFault, StoreError> {
    let event = optional_bytes(row, "event_id")?.map(|bytes| EventId(Uuid::from_bytes(bytes)));
    Ok(LoanFault {
        tenant: tenant_of(row)?,
        currency: word(row, "currency")?,
        loan_key: LoanKey::from_bytes(bytes(row, "loan_key")?),
        loan_id: LoanId(id(row, "loan_id")?),
        kind: word(row, "kind")?,
        event,
        detail: get(row, "detail")?,
    })
}
