//! Owns the statements of holds: loans that stand still until a person releases them, and what waits for that.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::core::event::HoldMode;
use crate::core::ids::{EventId, LoanId, LoanKey, Seq, TenantId};
use crate::core::slot::Slot;
use crate::core::time::Timestamp;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::rows::{broken, bytes, get, id, instant, optional_bytes, tenant as tenant_of, word};
use crate::store::sqlite::{SqliteStore, uploads};
use crate::store::{
    Failure, HoldChange, HoldRecord, Holds, OperationDone, RowCounts, StoreError, SweepCandidate, UploadBegun,
    UploadEnd, UploadHold, WaitingEvent, WaitingFilter,
};

pub(super) const HOLD_LOAN: &str = "
    INSERT INTO holds (loan_key, tenant, reason, held_at) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (loan_key) DO UPDATE SET reason = excluded.reason WHERE holds.tenant = excluded.tenant";

pub(super) const REFUSE_LOAN: &str = "
    INSERT INTO refusing_holds (loan_key, tenant, reason, held_at) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (loan_key) DO UPDATE SET reason = excluded.reason WHERE refusing_holds.tenant = excluded.tenant";

pub(super) const END_REFUSAL: &str = "DELETE FROM refusing_holds WHERE loan_key = ?1 AND tenant = ?2";

pub(super) const RELEASE_LOAN: &str = "DELETE FROM holds WHERE loan_key = ?1 AND tenant = ?2";

/// A loan that waits refuses from now on, unless one of its events is parked.
pub(super) const END_WAIT: &str = "
    DELETE FROM holds WHERE loan_key = ?1 AND tenant = ?2
        AND NOT EXISTS (SELECT 1 FROM parked AS k WHERE k.loan_key = holds.loan_key AND k.parked_at IS NOT NULL)";

pub(super) const STILL_WAITS: &str = "SELECT EXISTS (SELECT 1 FROM holds WHERE loan_key = ?1) AS waits";

/// A released loan's events start with all their attempts again.
pub(super) const UNPARK_LOAN: &str = "
    DELETE FROM parked
    WHERE loan_key = ?1 AND EXISTS (SELECT 1 FROM events WHERE seq = parked.event_seq AND tenant = ?2)";

pub(super) const UNPOSTED_OF_LOAN: &str = "
    SELECT e.seq, e.id, e.tenant, e.loan_key, e.slot, e.batch_id IS NOT NULL AS bulk,
        0 AS overtaken, 0 AS orphaned
    FROM events AS e
    WHERE e.loan_key = ?1 AND e.tenant = ?2 AND e.slot IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = e.seq)
    ORDER BY e.seq";

/// What is released is in flight again: the sweeper looks from there, and a round under way must not pass it.
pub(super) const PULL_MARK_BACK: &str =
    "UPDATE sweeper SET mark = min(mark, ?1 - 1), releases = releases + 1 WHERE only_row = 1";

/// Both sorts of holds, a loan once: one that waits and refuses waits.
macro_rules! holds {
    ($where:expr) => {
        concat!(
            "SELECT h.tenant, h.loan_key,
                (SELECT e.loan_id FROM events AS e WHERE e.loan_key = h.loan_key ORDER BY e.seq LIMIT 1) AS loan_id,
                h.mode, h.reason, h.held_at,
                (SELECT count(*) FROM (
                    SELECT 1 FROM events AS e
                    WHERE e.loan_key = h.loan_key AND e.slot IS NOT NULL
                        AND NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = e.seq)
                    LIMIT 10000)) AS waiting
            FROM (
                SELECT tenant, loan_key, 'wait' AS mode, reason, held_at FROM holds
                UNION ALL
                SELECT r.tenant, r.loan_key, 'refuse', r.reason, r.held_at FROM refusing_holds AS r
                WHERE NOT EXISTS (SELECT 1 FROM holds AS w WHERE w.loan_key = r.loan_key)) AS h
            WHERE ",
            $where,
            " ORDER BY h.held_at, h.loan_key LIMIT ?2"
        )
    };
}

pub(super) const HOLDS: &str = holds!("(?1 IS NULL OR h.tenant = ?1)");

pub(super) const LOAN_HOLD: &str = holds!("h.tenant = ?1 AND h.loan_key = ?3");

/// Events that are not posted, with why. A macro, because `concat!` joins literals only.
macro_rules! waiting_events {
    ($where:expr) => {
        concat!(
            "SELECT e.seq, e.id, e.tenant, e.loan_key, e.loan_id, e.kind, e.accepted_at, k.attempts, k.reason,
                k.parked_at
            FROM events AS e LEFT JOIN parked AS k ON k.event_seq = e.seq
            WHERE e.slot IS NOT NULL AND (?1 IS NULL OR e.tenant = ?1) AND ",
            $where,
            " AND NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = e.seq) ORDER BY e.seq LIMIT ?2"
        )
    };
}

pub(super) const WAITING_OF_LOAN: &str = waiting_events!("e.loan_key = ?3");

pub(super) const PARKED_EVENTS: &str =
    waiting_events!("e.seq IN (SELECT event_seq FROM parked WHERE parked_at IS NOT NULL)");

pub(super) const PARKED_EVENT: &str = waiting_events!("e.id = ?3 AND k.parked_at IS NOT NULL");

type HoldDone = (OperationDone, Vec<SweepCandidate>);

#[async_trait]
impl Holds for SqliteStore {
    async fn change_hold(&self, change: HoldChange) -> Result<HoldDone, StoreError> {
        let clock = self.clock.clone();
        self.writer.run("change_hold", move |db| Box::pin(change_hold(db, change, clock.now()))).await
    }

    async fn holds(&self, tenant: Option<TenantId>, limit: i64) -> Result<Vec<HoldRecord>, StoreError> {
        self.read(move |db| {
            Box::pin(async move {
                let query = sqlx::query(HOLDS).bind(tenant.map(|tenant| tenant.0)).bind(limit);
                query.fetch_all(db).await.map_err(store_error)?.iter().map(hold_record).collect()
            })
        })
        .await
    }

    async fn loan_hold(&self, tenant: TenantId, loan: LoanKey) -> Result<Option<HoldRecord>, StoreError> {
        self.read(move |db| {
            Box::pin(async move {
                let query = sqlx::query(LOAN_HOLD).bind(tenant.0).bind(1_i64).bind(loan.bytes().to_vec());
                query.fetch_optional(db).await.map_err(store_error)?.as_ref().map(hold_record).transpose()
            })
        })
        .await
    }

    async fn waiting_events(
        &self,
        tenant: Option<TenantId>,
        filter: WaitingFilter,
        limit: i64,
    ) -> Result<Vec<WaitingEvent>, StoreError> {
        self.read(move |db| {
            Box::pin(async move {
                let tenant = tenant.map(|tenant| tenant.0);
                let query = match filter {
                    WaitingFilter::OfLoan(loan) => {
                        sqlx::query(WAITING_OF_LOAN).bind(tenant).bind(limit).bind(loan.bytes().to_vec())
                    }
                    WaitingFilter::Parked => sqlx::query(PARKED_EVENTS).bind(tenant).bind(limit),
                    WaitingFilter::ParkedEvent(id) => sqlx::query(PARKED_EVENT).bind(tenant).bind(limit).bind(id.0),
                };
                query.fetch_all(db).await.map_err(store_error)?.iter().map(waiting_event).collect()
            })
        })
        .await
    }
}

async fn change_hold(db: &mut SqliteConnection, change: HoldChange, now: Timestamp) -> Result<HoldDone, StoreError> {
    let HoldChange { operation, loan_key, mode, reason, answer } = change;
    let (tenant, holder) = (operation.event.tenant, operation.holder);
    let record = match uploads::begin(db, operation, now).await? {
        UploadBegun::New(record) | UploadBegun::Resumed(record) => record,
        known @ (UploadBegun::Busy(_) | UploadBegun::Complete(_) | UploadBegun::Taken(_)) => {
            return Ok((OperationDone::Known(known), Vec::new()));
        }
        UploadBegun::FileTaken(_) | UploadBegun::OtherFile(_) => {
            return Err(StoreError::Broken("a hold was taken for a file".to_owned()));
        }
    };
    let goes_on = match mode {
        Some(HoldMode::Wait) => {
            execute(db, END_REFUSAL, (tenant, loan_key)).await?;
            insert(db, HOLD_LOAN, (tenant, loan_key), (reason, now)).await?;
            false
        }
        Some(HoldMode::Refuse) => {
            insert(db, REFUSE_LOAN, (tenant, loan_key), (reason, now)).await?;
            execute(db, END_WAIT, (tenant, loan_key)).await?;
            let query = sqlx::query(STILL_WAITS).bind(loan_key.bytes().to_vec());
            let row = query.fetch_one(&mut *db).await.map_err(store_error)?;
            !get::<bool>(&row, "waits")?
        }
        None => {
            for statement in [END_REFUSAL, RELEASE_LOAN, UNPARK_LOAN] {
                execute(db, statement, (tenant, loan_key)).await?;
            }
            true
        }
    };
    let candidates = if goes_on { unposted(db, tenant, loan_key).await? } else { Vec::new() };
    let end = UploadEnd { rows: RowCounts::default(), fingerprint: [0; 32], answer };
    if uploads::finish(db, UploadHold { id: record.id, holder }, end, now).await? {
        Ok((OperationDone::Done(record.id), candidates))
    } else {
        Err(broken("an operation could not be ended"))
    }
}

async fn execute(
    db: &mut SqliteConnection,
    statement: &'static str,
    (tenant, loan): (TenantId, LoanKey),
) -> Result<(), StoreError> {
    let query = sqlx::query(statement).bind(loan.bytes().to_vec()).bind(tenant.0);
    query.execute(db).await.map_err(store_error).map(drop)
}

async fn insert(
    db: &mut SqliteConnection,
    statement: &'static str,
    (tenant, loan): (TenantId, LoanKey),
    (reason, now): (String, Timestamp),
) -> Result<(), StoreError> {
    let query = sqlx::query(statement).bind(loan.bytes().to_vec()).bind(tenant.0).bind(reason).bind(now.micros());
    query.execute(db).await.map_err(store_error).map(drop)
}

/// A loan's unposted events, back under the sweep's eyes.
async fn unposted(
    db: &mut SqliteConnection,
    tenant: TenantId,
    loan: LoanKey,
) -> Result<Vec<SweepCandidate>, StoreError> {
    let query = sqlx::query(UNPOSTED_OF_LOAN).bind(loan.bytes().to_vec()).bind(tenant.0);
    let rows = query.fetch_all(&mut *db).await.map_err(store_error)?;
    let released: Vec<SweepCandidate> = rows.iter().map(decode_candidate).collect::<Result<_, _>>()?;
    if let Some(first) = released.first() {
        sqlx::query(PULL_MARK_BACK).bind(first.seq.0).execute(db).await.map_err(store_error)?;
    }
    Ok(released)
}

/// Reads an unposted event.
pub(super) fn decode_candidate(row: &SqliteRow) -> Result<SweepCandidate, StoreError> {
    Ok(SweepCandidate {
        seq: Seq(get(row, "seq")?),
        id: EventId(id(row, "id")?),
        tenant: tenant_of(row)?,
        loan_key: LoanKey::from_bytes(bytes(row, "loan_key")?),
        slot: Slot::from_number(get(row, "slot")?).ok_or_else(|| broken("slot"))?,
        bulk: get(row, "bulk")?,
        overtaken: get(row, "overtaken")?,
        orphaned: get(row, "orphaned")?,
    })
}

fn hold_record(row: &SqliteRow) -> Result<HoldRecord, StoreError> {
    Ok(HoldRecord {
        tenant: tenant_of(row)?,
        loan_key: LoanKey::from_bytes(bytes(row, "loan_key")?),
        loan_id: optional_bytes(row, "loan_id")?.map(|id| LoanId(Uuid::from_bytes(id))),
        mode: word(row, "mode")?,
        reason: get(row, "reason")?,
        held_at: instant(row, "held_at")?,
        waiting: get(row, "waiting")?,
    })
}

fn waiting_event(row: &SqliteRow) -> Result<WaitingEvent, StoreError> {
    let (attempts, reason): (Option<i32>, Option<String>) = (get(row, "attempts")?, get(row, "reason")?);
    let parked_at: Option<i64> = get(row, "parked_at")?;
    let parked_at = parked_at.map(|at| Timestamp::from_micros(at).ok_or_else(|| broken("parked_at"))).transpose()?;
    Ok(WaitingEvent {
        seq: Seq(get(row, "seq")?),
        id: EventId(id(row, "id")?),
        tenant: tenant_of(row)?,
        loan_key: LoanKey::from_bytes(bytes(row, "loan_key")?),
        loan_id: LoanId(id(row, "loan_id")?),
        kind: word(row, "kind")?,
        accepted_at: instant(row, "accepted_at")?,
        failure: attempts.zip(reason).map(|(attempts, reason)| Failure { attempts, reason, parked_at }),
    })
}
