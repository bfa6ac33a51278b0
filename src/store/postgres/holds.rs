//! Owns the statements of holds: loans that stand still until a person releases them, and what waits for that.

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::connect::{PostgresStore, finish};
use super::error::classify;
use super::parking::mark_loan;
use super::rows::{self, Columns, key_column};
use super::uploads::{end_upload, open};
use crate::core::event::HoldMode;
use crate::core::ids::{EventId, LoanId, LoanKey, Seq, TenantId};
use crate::store::{
    Failure, HoldChange, HoldRecord, Holds, OperationDone, RowCounts, StoreError, SweepCandidate, UploadBegun,
    UploadEnd, UploadHold, WaitingEvent, WaitingFilter,
};

const HOLD_LOAN: &str = "INSERT INTO holds (loan_key, tenant, reason, held_at) \
     VALUES ($1, $2, $3, clock_timestamp()) ON CONFLICT (loan_key) DO UPDATE SET reason = excluded.reason \
     WHERE holds.tenant = excluded.tenant";

const REFUSE_LOAN: &str = "INSERT INTO refusing_holds (loan_key, tenant, reason, held_at) \
     VALUES ($1, $2, $3, clock_timestamp()) ON CONFLICT (loan_key) DO UPDATE SET reason = excluded.reason \
     WHERE refusing_holds.tenant = excluded.tenant";

const END_REFUSAL: &str = "DELETE FROM refusing_holds WHERE loan_key = $1 AND tenant = $2";

const RELEASE_LOAN: &str = "DELETE FROM holds WHERE loan_key = $1 AND tenant = $2";

/// A loan that waits refuses from now on, unless one of its events is parked.
const END_WAIT: &str = "DELETE FROM holds h WHERE h.loan_key = $1 AND h.tenant = $2 \
     AND NOT EXISTS (SELECT FROM parked k WHERE k.loan_key = h.loan_key AND k.parked_at IS NOT NULL)";

const STILL_WAITS: &str = "SELECT EXISTS (SELECT FROM holds WHERE loan_key = $1)";

/// Parked events of a released loan are tried again, their attempts counted anew.
const UNPARK_LOAN: &str =
    "DELETE FROM parked k USING events e WHERE k.loan_key = $1 AND e.seq = k.event_seq AND e.tenant = $2";

/// The unposted events of a loan, oldest first.
const READ_UNPOSTED: &str = "SELECT e.seq, e.id, e.tenant, e.loan_key, e.slot, e.batch_id IS NOT NULL, false, false \
     FROM events e WHERE e.loan_key = $1 AND e.tenant = $2 AND e.slot IS NOT NULL \
     AND NOT EXISTS (SELECT FROM postings p WHERE p.event_seq = e.seq) ORDER BY e.seq";

/// The sweep takes released events back under its eyes, should their new hints be lost.
const LOWER_MARK: &str = "UPDATE sweeper SET mark = least(mark, $1), finished_to = least(finished_to, $1), \
     releases = releases + 1";

/// Both sorts of holds, a loan once: one that waits and refuses waits.
macro_rules! read_holds {
    ($where:expr) => {
        concat!(
            "SELECT h.tenant, h.loan_key, (SELECT e.loan_id FROM events e WHERE e.loan_key = h.loan_key \
             ORDER BY e.seq LIMIT 1), h.mode, h.reason, h.held_at, (SELECT count(*) FROM (SELECT FROM events e \
             WHERE e.loan_key = h.loan_key AND e.slot IS NOT NULL \
             AND NOT EXISTS (SELECT FROM postings p WHERE p.event_seq = e.seq) LIMIT 10000) AS waiting) \
             FROM (SELECT tenant, loan_key, 'wait' AS mode, reason, held_at FROM holds UNION ALL \
             SELECT r.tenant, r.loan_key, 'refuse', r.reason, r.held_at FROM refusing_holds r \
             WHERE NOT EXISTS (SELECT FROM holds w WHERE w.loan_key = r.loan_key)) AS h WHERE ",
            $where,
            " ORDER BY h.held_at, h.loan_key LIMIT $2"
        )
    };
}

const READ_HOLDS: &str = read_holds!("$1::uuid IS NULL OR h.tenant = $1");

const READ_LOAN_HOLD: &str = read_holds!("h.tenant = $1 AND h.loan_key = $3");

/// Events that are not posted, with why. A macro, because `concat!` joins literals only.
macro_rules! waiting_events {
    ($where:expr) => {
        concat!(
            "SELECT e.seq, e.id, e.tenant, e.loan_key, e.loan_id, e.kind, e.accepted_at, k.attempts, k.reason, \
             k.parked_at FROM events e LEFT JOIN parked k ON k.event_seq = e.seq WHERE e.slot IS NOT NULL \
             AND ($1::uuid IS NULL OR e.tenant = $1) AND ",
            $where,
            " AND NOT EXISTS (SELECT FROM postings p WHERE p.event_seq = e.seq) ORDER BY e.seq LIMIT $2"
        )
    };
}

const WAITING_OF_LOAN: &str = waiting_events!("e.loan_key = $3");

const PARKED_EVENTS: &str =
    waiting_events!("e.seq = ANY (SELECT p.event_seq FROM parked p WHERE p.parked_at IS NOT NULL)");

const PARKED_EVENT: &str = waiting_events!("e.id = $3 AND k.parked_at IS NOT NULL");

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 14] = [
    ("hold_loan", HOLD_LOAN),
    ("refuse_loan", REFUSE_LOAN),
    ("end_refusal", END_REFUSAL),
    ("release_loan", RELEASE_LOAN),
    ("end_wait", END_WAIT),
    ("still_waits", STILL_WAITS),
    ("unpark_loan", UNPARK_LOAN),
    ("read_unposted", READ_UNPOSTED),
    ("lower_mark", LOWER_MARK),
    ("read_holds", READ_HOLDS),
    ("read_loan_hold", READ_LOAN_HOLD),
    ("waiting_of_loan", WAITING_OF_LOAN),
    ("parked_events", PARKED_EVENTS),
    ("parked_event", PARKED_EVENT),
];

type HoldDone = (OperationDone, Vec<SweepCandidate>);

#[async_trait]
impl Holds for PostgresStore {
    async fn change_hold(&self, change: HoldChange) -> Result<HoldDone, StoreError> {
        self.owned(move |store| async move {
            let mut connection = store.connection().await?;
            let mut transaction = connection.begin_with(super::connect::BEGIN).await.map_err(classify)?;
            match change_hold(&mut transaction, &change).await {
                Ok(done @ (OperationDone::Done(_), _)) => {
                    let done = finish(transaction, Ok(done)).await?;
                    store.known_loans.forget([change.loan_key]);
                    Ok(done)
                }
                Ok(known) => transaction.rollback().await.map_err(classify).map(|()| known),
                Err(error) => finish(transaction, Err(error)).await,
            }
        })
        .await
    }

    async fn holds(&self, tenant: Option<TenantId>, limit: i64) -> Result<Vec<HoldRecord>, StoreError> {
        self.owned(move |store| async move {
            store.many(sqlx::query(READ_HOLDS).bind(tenant.map(|tenant| tenant.0)).bind(limit), hold_record).await
        })
        .await
    }

    async fn loan_hold(&self, tenant: TenantId, loan: LoanKey) -> Result<Option<HoldRecord>, StoreError> {
        self.owned(move |store| async move {
            let query = sqlx::query(READ_LOAN_HOLD).bind(tenant.0).bind(1_i64).bind(key_column(loan));
            Ok(store.many(query, hold_record).await?.pop())
        })
        .await
    }

    async fn waiting_events(
        &self,
        tenant: Option<TenantId>,
        filter: WaitingFilter,
        limit: i64,
    ) -> Result<Vec<WaitingEvent>, StoreError> {
        self.owned(move |store| async move {
            let tenant = tenant.map(|tenant| tenant.0);
            let query = match filter {
                WaitingFilter::OfLoan(loan) => {
                    sqlx::query(WAITING_OF_LOAN).bind(tenant).bind(limit).bind(key_column(loan))
                }
                WaitingFilter::Parked => sqlx::query(PARKED_EVENTS).bind(tenant).bind(limit),
                WaitingFilter::ParkedEvent(id) => sqlx::query(PARKED_EVENT).bind(tenant).bind(limit).bind(id.0),
            };
            store.many(query, waiting_event).await
        })
        .await
    }
}

async fn change_hold(connection: &mut PgConnection, change: &HoldChange) -> Result<HoldDone, StoreError> {
    let record = match open(connection, &change.operation).await? {
        UploadBegun::New(record) | UploadBegun::Resumed(record) => record,
        known @ (UploadBegun::Busy(_) | UploadBegun::Complete(_) | UploadBegun::Taken(_)) => {
            return Ok((OperationDone::Known(known), Vec::new()));
        }
        UploadBegun::FileTaken(_) | UploadBegun::OtherFile(_) => {
            return Err(StoreError::Broken("a hold was taken for a file".to_owned()));
        }
    };
    let (tenant, loan) = (change.operation.event.tenant, change.loan_key);
    // The loan's row first, as everywhere: a posting that has written it ends before this goes on, and one that has not
    // will find it changed.
    mark_loan(connection, Some(tenant), loan, change.mode.is_some()).await?;
    let goes_on = match change.mode {
        Some(HoldMode::Wait) => wait(connection, tenant, (loan, &change.reason)).await?,
        Some(HoldMode::Refuse) => refuse(connection, tenant, (loan, &change.reason)).await?,
        None => release(connection, tenant, loan).await?,
    };
    let candidates = if goes_on { unposted(connection, tenant, loan).await? } else { Vec::new() };
    let end = UploadEnd { rows: RowCounts::default(), fingerprint: [0; 32], answer: change.answer.clone() };
    let hold = UploadHold { id: record.id, holder: change.operation.holder };
    if end_upload(connection, hold, &end).await? {
        Ok((OperationDone::Done(record.id), candidates))
    } else {
        Err(StoreError::Broken(format!("operation {} could not be ended", record.id)))
    }
}

async fn execute(
    connection: &mut PgConnection,
    statement: &'static str,
    (tenant, loan): (TenantId, LoanKey),
) -> Result<(), StoreError> {
    let query = sqlx::query(statement).bind(key_column(loan)).bind(tenant.0);
    query.execute(connection).await.map_err(classify).map(drop)
}

async fn wait(
    connection: &mut PgConnection,
    tenant: TenantId,
    (loan, reason): (LoanKey, &str),
) -> Result<bool, StoreError> {
    execute(connection, END_REFUSAL, (tenant, loan)).await?;
    let query = sqlx::query(HOLD_LOAN).bind(key_column(loan)).bind(tenant.0).bind(reason);
    query.execute(connection).await.map_err(classify)?;
    Ok(false)
}

/// Whether what waited is refused now.
async fn refuse(
    connection: &mut PgConnection,
    tenant: TenantId,
    (loan, reason): (LoanKey, &str),
) -> Result<bool, StoreError> {
    let query = sqlx::query(REFUSE_LOAN).bind(key_column(loan)).bind(tenant.0).bind(reason);
    query.execute(&mut *connection).await.map_err(classify)?;
    execute(connection, END_WAIT, (tenant, loan)).await?;
    let query = sqlx::query(STILL_WAITS).bind(key_column(loan));
    let row = query.fetch_one(connection).await.map_err(classify)?;
    Columns::of(&row).take::<bool>().map(|waits| !waits)
}

async fn release(connection: &mut PgConnection, tenant: TenantId, loan: LoanKey) -> Result<bool, StoreError> {
    for statement in [END_REFUSAL, RELEASE_LOAN, UNPARK_LOAN] {
        execute(connection, statement, (tenant, loan)).await?;
    }
    Ok(true)
}

/// A loan's unposted events, back under the sweep's eyes.
async fn unposted(
    connection: &mut PgConnection,
    tenant: TenantId,
    loan: LoanKey,
) -> Result<Vec<SweepCandidate>, StoreError> {
    let query = sqlx::query(READ_UNPOSTED).bind(key_column(loan)).bind(tenant.0);
    let rows = query.fetch_all(&mut *connection).await.map_err(classify)?;
    let unposted: Vec<SweepCandidate> = rows.iter().map(candidate).collect::<Result<_, _>>()?;
    if let Some(first) = unposted.first() {
        let below = first.seq.0.saturating_sub(1);
        sqlx::query(LOWER_MARK).bind(below).execute(connection).await.map_err(classify)?;
    }
    Ok(unposted)
}

/// Reads a candidate of the sweep.
pub(super) fn candidate(row: &PgRow) -> Result<SweepCandidate, StoreError> {
    let mut columns = Columns::of(row);
    Ok(SweepCandidate {
        seq: Seq(columns.take()?),
        id: EventId(columns.take()?),
        tenant: TenantId(columns.take()?),
        loan_key: columns.loan_key()?,
        slot: rows::slot(columns.take()?)?,
        bulk: columns.take()?,
        overtaken: columns.take()?,
        orphaned: columns.take()?,
    })
}

fn hold_record(row: &PgRow) -> Result<HoldRecord, StoreError> {
    let mut columns = Columns::of(row);
    Ok(HoldRecord {
        tenant: TenantId(columns.take()?),
        loan_key: columns.loan_key()?,
        loan_id: columns.take::<Option<Uuid>>()?.map(LoanId),
        mode: columns.word("mode of a hold")?,
        reason: columns.take()?,
        held_at: columns.instant()?,
        waiting: columns.take()?,
    })
}

fn waiting_event(row: &PgRow) -> Result<WaitingEvent, StoreError> {
    let mut columns = Columns::of(row);
    Ok(WaitingEvent {
        seq: Seq(columns.take()?),
        id: EventId(columns.take()?),
        tenant: TenantId(columns.take()?),
        loan_key: columns.loan_key()?,
        loan_id: LoanId(columns.take()?),
        kind: columns.word("kind")?,
        accepted_at: columns.instant()?,
        failure: failure(&mut columns)?,
    })
}

fn failure(columns: &mut Columns<'_>) -> Result<Option<Failure>, StoreError> {
    let (attempts, reason): (Option<i32>, Option<String>) = (columns.take()?, columns.take()?);
    let parked_at = columns.optional_instant()?;
    Ok(attempts.zip(reason).map(|(attempts, reason)| Failure { attempts, reason, parked_at }))
}
