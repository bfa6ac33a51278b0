//! Owns the search for accepted events without a posting: the sweeper's rounds and the counts for metrics.
//!
//! A round takes the lease in the writer, looks in a reader's snapshot, and moves the mark in the writer again, only
//! if the lease is still its own and no loan was released meanwhile. So a long look never stops the writer.

use std::collections::HashMap;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::core::ids::{PublisherId, Seq, WorkerId};
use crate::core::time::Timestamp;
use crate::store::sqlite::beats::before;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::parking::decode_candidate;
use crate::store::sqlite::rows::{get, id};
use crate::store::{Counts, StoreError, SweepCandidate, SweepPlan, SweepRound};

/// Takes or renews the lease; no row where another holds it.
pub(super) const TAKE_LEASE: &str = "
    UPDATE sweeper SET worker = ?1, leased_until = ?2
    WHERE id = 1 AND (worker IS NULL OR worker = ?1 OR leased_until < ?3)
    RETURNING mark, releases";

/// Events in flight above a place: with a slot, unposted, neither parked nor on hold. A macro, because four
/// statements count or list them.
macro_rules! in_flight {
    () => {
        "FROM events AS e
        WHERE e.seq > ?1 AND e.slot IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = e.seq)
            AND NOT EXISTS (SELECT 1 FROM parked AS k WHERE k.event_seq = e.seq AND k.parked_at IS NOT NULL)
            AND NOT EXISTS (SELECT 1 FROM holds AS h WHERE h.loan_key = e.loan_key)"
    };
}

pub(super) const FIRST_IN_FLIGHT: &str = concat!("SELECT e.seq ", in_flight!(), " ORDER BY e.seq LIMIT 1");

pub(super) const LAST_EVENT: &str = "SELECT coalesce(max(seq), 0) AS seq FROM events";

pub(super) const CANDIDATES: &str = concat!(
    "SELECT e.seq, e.id, e.tenant, e.loan_key, e.slot, e.batch_id IS NOT NULL AS bulk, e.publisher ",
    in_flight!(),
    " AND e.accepted_at <= ?2 ORDER BY e.seq LIMIT ?3"
);

/// The greatest posted event of each slot and kind of queue above a place.
pub(super) const POSTED_OF_SLOTS: &str = "
    SELECT e.slot, e.batch_id IS NOT NULL AS bulk, max(e.seq) AS seq
    FROM events AS e JOIN postings AS p ON p.event_seq = e.seq
    WHERE e.seq > ?1 AND e.slot IS NOT NULL
    GROUP BY 1, 2";

pub(super) const LIVE_PUBLISHERS: &str = "SELECT publisher, unconfirmed_from FROM publishers WHERE beat_at >= ?1";

/// The greatest place up to which every event is old enough for the mark.
pub(super) const FIRST_YOUNG: &str =
    "SELECT min(seq) AS seq FROM (SELECT seq FROM events WHERE seq > ?1 AND accepted_at > ?2 ORDER BY seq LIMIT 1)";

pub(super) const MOVE_MARK: &str = "
    UPDATE sweeper SET mark = ?2
    WHERE id = 1 AND worker = ?1 AND releases = ?3 AND mark < ?2";

pub(super) const MARK: &str = "SELECT mark FROM sweeper WHERE id = 1";

pub(super) const COUNT_IN_FLIGHT: &str =
    concat!("SELECT count(*) AS unposted, min(e.accepted_at) AS oldest ", in_flight!());

pub(super) const COUNT_PARKED: &str = "SELECT count(*) AS parked FROM parked WHERE parked_at IS NOT NULL";

/// Unposted events of loans on hold, without those that are parked themselves.
pub(super) const COUNT_HELD: &str = "
    SELECT count(*) AS held
    FROM holds AS h JOIN events AS e ON e.loan_key = h.loan_key
    WHERE e.slot IS NOT NULL
        AND e.seq > coalesce((SELECT l.last_posted_seq FROM loans AS l WHERE l.loan_key = h.loan_key), 0)
        AND NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = e.seq)
        AND NOT EXISTS (SELECT 1 FROM parked AS k WHERE k.event_seq = e.seq AND k.parked_at IS NOT NULL)";

/// The sweeper's lease.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    mark: Seq,
    releases: i64,
}

/// Takes the lease, if it is free or our own.
pub(super) async fn take_lease(
    db: &mut SqliteConnection,
    plan: &SweepPlan,
    now: Timestamp,
) -> Result<Option<Lease>, StoreError> {
    let until = now.micros().saturating_add(i64::try_from(plan.lease.as_micros()).unwrap_or(i64::MAX));
    let query = sqlx::query(TAKE_LEASE).bind(plan.worker.0).bind(until).bind(now.micros());
    let Some(row) = query.fetch_optional(db).await.map_err(store_error)? else {
        return Ok(None);
    };
    Ok(Some(Lease { mark: Seq(get(&row, "mark")?), releases: get(&row, "releases")? }))
}

/// What a look found, and where the mark may go.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) round: SweepRound,
    pub(super) mark: Option<Seq>,
}

/// Looks for candidates in one snapshot.
pub(super) async fn look(
    db: &mut SqliteConnection,
    plan: &SweepPlan,
    lease: Lease,
    now: Timestamp,
) -> Result<Look, StoreError> {
    let above = plan.above.unwrap_or(lease.mark);
    let first = sqlx::query(FIRST_IN_FLIGHT).bind(above.0).fetch_optional(&mut *db).await.map_err(store_error)?;
    let Some(first) = first else {
        let last = sqlx::query(LAST_EVENT).fetch_one(&mut *db).await.map_err(store_error)?;
        let finished_to = above.max(Seq(get(&last, "seq")?));
        let mark = mark_of(db, plan, lease, above, finished_to, now).await?;
        return Ok(Look { round: SweepRound { candidates: Vec::new(), finished_to }, mark });
    };
    let finished_to = Seq(get::<i64>(&first, "seq")?.saturating_sub(1));
    let query = sqlx::query(CANDIDATES).bind(finished_to.0).bind(before(now, plan.older_than)).bind(plan.limit);
    let rows = query.fetch_all(&mut *db).await.map_err(store_error)?;
    let candidates = if rows.is_empty() { Vec::new() } else { judge(db, plan, &rows, now).await? };
    let mark = mark_of(db, plan, lease, above, finished_to, now).await?;
    Ok(Look { round: SweepRound { candidates, finished_to }, mark })
}

/// The mark follows only a look that began at it, and only over old events.
async fn mark_of(
    db: &mut SqliteConnection,
    plan: &SweepPlan,
    lease: Lease,
    above: Seq,
    finished_to: Seq,
    now: Timestamp,
) -> Result<Option<Seq>, StoreError> {
    if above > lease.mark || finished_to <= lease.mark {
        return Ok(None);
    }
    let query = sqlx::query(FIRST_YOUNG).bind(lease.mark.0).bind(before(now, plan.mark_older_than));
    let young: Option<i64> = get(&query.fetch_one(db).await.map_err(store_error)?, "seq")?;
    let oldest = young.map_or(finished_to, |young| finished_to.min(Seq(young.saturating_sub(1))));
    Ok((oldest > lease.mark).then_some(oldest))
}

/// Says of each candidate whether it was overtaken and whether somebody still looks after it.
async fn judge(
    db: &mut SqliteConnection,
    plan: &SweepPlan,
    rows: &[SqliteRow],
    now: Timestamp,
) -> Result<Vec<SweepCandidate>, StoreError> {
    let first: i64 = rows.first().map_or(Ok(0), |row| get(row, "seq"))?;
    let mut posted: HashMap<(u16, bool), Seq> = HashMap::new();
    for row in sqlx::query(POSTED_OF_SLOTS).bind(first).fetch_all(&mut *db).await.map_err(store_error)? {
        posted.insert((get(&row, "slot")?, get(&row, "bulk")?), Seq(get(&row, "seq")?));
    }
    let since = before(now, plan.publisher_dead_after);
    let mut alive: HashMap<PublisherId, Option<Seq>> = HashMap::new();
    for row in sqlx::query(LIVE_PUBLISHERS).bind(since).fetch_all(db).await.map_err(store_error)? {
        alive.insert(PublisherId(id(&row, "publisher")?), get::<Option<i64>>(&row, "unconfirmed_from")?.map(Seq));
    }
    rows.iter()
        .map(|row| {
            let mut candidate = decode_candidate(row)?;
            let greatest = posted.get(&(candidate.slot.number(), candidate.bulk));
            candidate.overtaken = greatest.is_some_and(|seq| *seq > candidate.seq);
            candidate.orphaned = match alive.get(&PublisherId(id(row, "publisher")?)) {
                Some(unconfirmed_from) => unconfirmed_from.is_some_and(|from| from <= candidate.seq),
                None => true,
            };
            Ok(candidate)
        })
        .collect()
}

/// Moves the mark, unless the lease went or a loan was released since.
pub(super) async fn move_mark(
    db: &mut SqliteConnection,
    worker: WorkerId,
    lease: Lease,
    mark: Seq,
) -> Result<(), StoreError> {
    let query = sqlx::query(MOVE_MARK).bind(worker.0).bind(mark.0).bind(lease.releases);
    query.execute(db).await.map_err(store_error)?;
    Ok(())
}

/// Counts for metrics and readiness.
pub(super) async fn counts(db: &mut SqliteConnection, now: Timestamp) -> Result<Counts, StoreError> {
    let mark: i64 = get(&sqlx::query(MARK).fetch_one(&mut *db).await.map_err(store_error)?, "mark")?;
    let flight = sqlx::query(COUNT_IN_FLIGHT).bind(mark).fetch_one(&mut *db).await.map_err(store_error)?;
    let parked = sqlx::query(COUNT_PARKED).fetch_one(&mut *db).await.map_err(store_error)?;
    let held = sqlx::query(COUNT_HELD).fetch_one(db).await.map_err(store_error)?;
    let oldest: Option<i64> = get(&flight, "oldest")?;
    let age = oldest.map_or(0, |oldest| now.micros().saturating_sub(oldest));
    Ok(Counts {
        unposted: get(&flight, "unposted")?,
        oldest_unposted: std::time::Duration::from_micros(u64::try_from(age).unwrap_or(0)),
        parked: get(&parked, "parked")?,
        held: get(&held, "held")?,
    })
}
