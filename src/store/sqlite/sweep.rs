//! Owns the search for accepted events without a posting: the sweeper's rounds and the counts for metrics.
//!
//! A round takes the lease in the writer, looks in a reader's snapshot, and moves the mark in the writer again, only
//! if the lease is still its own and no loan was released meanwhile. So a long look never stops the writer.

use sqlx::SqliteConnection;

use crate::core::ids::{Seq, WorkerId};
use crate::core::time::Timestamp;
use crate::store::sqlite::beats::before;
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::holds::decode_candidate;
use crate::store::sqlite::rows::get;
use crate::store::{Counts, StoreError, SweepCandidate, SweepPlan, SweepRound, stands_still};

/// Takes or renews the lease; no row where another holds it.
pub(super) const TAKE_LEASE: &str = "
    UPDATE sweeper SET holder = ?1, leased_to = ?2
    WHERE only_row = 1 AND (holder IS NULL OR holder = ?1 OR leased_to <= ?3)
    RETURNING mark, releases";

/// How many events a round looks at.
const WINDOW: i64 = 1_000_000;

/// How far beyond the first candidate the round looks for events that overtook one.
const OVERTAKEN_WINDOW: i64 = 200_000;

/// The most events that are counted.
const COUNTED_MAX: i64 = 1_000_000;

/// How far beyond the mark events are counted.
const COUNTED_WINDOW: i64 = 5_000_000;

/// How many events that wait are judged: the oldest. Three times what a round names, so that a backlog that is only
/// slow does not hide what is lost.
const JUDGED_MAX: i64 = 60_000;

/// How many microseconds later an event of the same slot must have been accepted to say that one in front of it was
/// overtaken.
const MARGIN_MICROS: i64 = 2_000_000;

/// How many later events of the same loan are looked at.
const LATER_OF_LOAN_MAX: i64 = 1000;

/// Events in flight between two places: with a slot, unposted, neither parked nor on hold; a leg does not wait with its
/// loan. A macro, because four
/// statements count or list them.
macro_rules! in_flight {
    () => {
        "FROM events AS e
        WHERE e.seq > ?1 AND e.seq <= ?2 AND e.slot IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = e.seq)
            AND NOT EXISTS (SELECT 1 FROM parked AS k WHERE k.event_seq = e.seq AND k.parked_at IS NOT NULL)
            AND (e.leg IS NOT NULL OR NOT EXISTS (SELECT 1 FROM holds AS h WHERE h.loan_key = e.loan_key))"
    };
}

/// Where the round ends: the last of the next events.
pub(super) const REACH: &str =
    "SELECT max(seq) AS seq FROM (SELECT seq FROM events WHERE seq > ?1 AND seq <= ?3 ORDER BY seq LIMIT ?2)";

pub(super) const FIRST_IN_FLIGHT: &str = concat!("SELECT e.seq ", in_flight!(), " ORDER BY e.seq LIMIT 1");

/// The events that wait for longer than they should, those that look lost first; of a group its first leg, which brings
/// all of it to a lane.
///
/// `passed` judges a kind of queue: what was accepted [`MARGIN_MICROS`] later and is posted came after ours in the
/// queue; less than that says nothing, since publishers overtake each other. Nor does what a batch took along: it posts
/// all that waits on a loan, so of each loan only the first event of a batch counts. The loan itself needs no margin, and
/// is looked at only where its last posted event is later.
pub(super) const CANDIDATES: &str = concat!(
    "WITH late AS MATERIALIZED (
        SELECT e.seq, e.id, e.tenant, e.loan_key, e.slot, e.batch_id IS NOT NULL AS bulk, e.accepted_at, e.publisher ",
    in_flight!(),
    " AND e.accepted_at <= ?3 AND coalesce(e.leg, 1) = 1 ORDER BY e.seq LIMIT ?7),
    passed AS MATERIALIZED (
        SELECT slot, bulk, max(accepted_at) AS accepted_at FROM (
            SELECT e.slot, e.batch_id IS NOT NULL AS bulk, min(e.accepted_at) AS accepted_at
            FROM events AS e JOIN postings AS p ON p.event_seq = e.seq
            WHERE e.seq > (SELECT min(seq) FROM late) AND e.seq <= (SELECT min(seq) FROM late) + ?6
                AND e.slot IS NOT NULL
            GROUP BY e.loan_key, p.posted_at, 1, 2)
        GROUP BY 1, 2)
    SELECT l.seq, l.id, l.tenant, l.loan_key, l.slot, l.bulk,
        coalesce(d.accepted_at >= l.accepted_at + ?8, 0) OR CASE WHEN o.last_posted_seq > l.seq THEN EXISTS (
            SELECT 1 FROM (
                SELECT n.seq, n.batch_id FROM events AS n
                WHERE n.loan_key = l.loan_key AND n.seq > l.seq AND n.slot IS NOT NULL
                ORDER BY n.seq LIMIT ?9) AS later
            JOIN postings AS p ON p.event_seq = later.seq
            WHERE (later.batch_id IS NOT NULL) = l.bulk) ELSE 0 END AS overtaken,
        b.publisher IS NULL OR b.seen_at < ?5 OR coalesce(b.unconfirmed_from <= l.seq, 0) AS orphaned
    FROM late AS l
    LEFT JOIN passed AS d ON d.slot = l.slot AND d.bulk = l.bulk
    LEFT JOIN publishers AS b ON b.publisher = l.publisher
    LEFT JOIN loans AS o ON o.loan_key = l.loan_key
    ORDER BY overtaken OR orphaned DESC, l.seq LIMIT ?4"
);

/// The greatest place up to which every event is old enough for the mark.
pub(super) const FIRST_YOUNG: &str =
    "SELECT min(seq) AS seq FROM (SELECT seq FROM events WHERE seq > ?1 AND accepted_at > ?2 ORDER BY seq LIMIT 1)";

pub(super) const MOVE_MARK: &str = "
    UPDATE sweeper SET mark = ?2
    WHERE only_row = 1 AND holder = ?1 AND releases = ?3 AND mark < ?2";

pub(super) const MARK: &str = "SELECT mark FROM sweeper WHERE only_row = 1";

/// How many events waited or were held, at most [`COUNTED_MAX`] of each, and since when the first one waits.
pub(super) const COUNT_IN_FLIGHT: &str = concat!(
    "SELECT (SELECT count(*) FROM (SELECT 1 ",
    in_flight!(),
    " ORDER BY e.seq LIMIT ?3)) AS unposted, (SELECT e.accepted_at ",
    in_flight!(),
    " ORDER BY e.seq LIMIT 1) AS oldest"
);

pub(super) const COUNT_PARKED: &str = "SELECT count(*) AS parked FROM parked WHERE parked_at IS NOT NULL";

/// Unposted events of loans on hold, without those that are parked themselves.
pub(super) const COUNT_HELD: &str = "
    SELECT count(*) AS held FROM (
        SELECT 1
        FROM holds AS h JOIN events AS e ON e.loan_key = h.loan_key
        WHERE e.slot IS NOT NULL AND e.leg IS NULL
            AND e.seq > coalesce((SELECT l.last_posted_seq FROM loans AS l WHERE l.loan_key = h.loan_key), 0)
            AND NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = e.seq)
            AND NOT EXISTS (SELECT 1 FROM parked AS k WHERE k.event_seq = e.seq AND k.parked_at IS NOT NULL)
        LIMIT ?1)";

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
    let query = sqlx::query(REACH).bind(above.0).bind(WINDOW).bind(plan.up_to.map_or(i64::MAX, |up_to| up_to.0));
    let reach = query.fetch_one(&mut *db).await.map_err(store_error)?;
    let reach = get::<Option<i64>>(&reach, "seq")?.map_or(above, Seq);
    let first = sqlx::query(FIRST_IN_FLIGHT).bind(above.0).bind(reach.0);
    let first = first.fetch_optional(&mut *db).await.map_err(store_error)?;
    let first: Option<i64> = first.map(|row| get(&row, "seq")).transpose()?;
    let finished_to = first.map_or(reach, |first| Seq(first.saturating_sub(1)));
    let candidates = if finished_to < reach && stands_still(plan.front, finished_to) {
        candidates(db, plan, (finished_to, reach), now).await?
    } else {
        Vec::new()
    };
    let mark = mark_of(db, plan, lease, above, finished_to, now).await?;
    let round = SweepRound { candidates, finished_to, looked_to: reach, releases: lease.releases };
    Ok(Look { round, mark })
}

/// Events that wait between two places, judged.
async fn candidates(
    db: &mut SqliteConnection,
    plan: &SweepPlan,
    (above, to): (Seq, Seq),
    now: Timestamp,
) -> Result<Vec<SweepCandidate>, StoreError> {
    let query = sqlx::query(CANDIDATES)
        .bind(above.0)
        .bind(to.0)
        .bind(before(now, plan.older_than))
        .bind(plan.limit)
        .bind(before(now, plan.publisher_dead_after))
        .bind(OVERTAKEN_WINDOW)
        .bind(JUDGED_MAX)
        .bind(MARGIN_MICROS)
        .bind(LATER_OF_LOAN_MAX);
    let rows = query.fetch_all(db).await.map_err(store_error)?;
    rows.iter().map(decode_candidate).collect()
}

/// The mark follows only a look that began at it or below, and only over old events.
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

/// Counts for metrics and readiness; what this process has posted is counted outside.
pub(super) async fn counts(db: &mut SqliteConnection, now: Timestamp, posted: i64) -> Result<Counts, StoreError> {
    let mark: i64 = get(&sqlx::query(MARK).fetch_one(&mut *db).await.map_err(store_error)?, "mark")?;
    let flight = sqlx::query(COUNT_IN_FLIGHT).bind(mark).bind(mark.saturating_add(COUNTED_WINDOW)).bind(COUNTED_MAX);
    let flight = flight.fetch_one(&mut *db).await.map_err(store_error)?;
    let parked = sqlx::query(COUNT_PARKED).fetch_one(&mut *db).await.map_err(store_error)?;
    let held = sqlx::query(COUNT_HELD).bind(COUNTED_MAX).fetch_one(db).await.map_err(store_error)?;
    let oldest: Option<i64> = get(&flight, "oldest")?;
    let age = oldest.map_or(0, |oldest| now.micros().saturating_sub(oldest));
    Ok(Counts {
        unposted: get(&flight, "unposted")?,
        oldest_unposted: std::time::Duration::from_micros(u64::try_from(age).unwrap_or(0)),
        parked: get(&parked, "parked")?,
        held: get(&held, "held")?,
        posted,
    })
}
