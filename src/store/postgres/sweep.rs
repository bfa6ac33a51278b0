//! Owns the sweep: one process at a time looks for accepted events that nobody posts, and the counts beside it.

use std::time::Duration;

use sqlx::PgConnection;

use super::connect::{PostgresStore, begin, finish};
use super::error::classify;
use super::holds::candidate;
use super::processes::interval;
use super::rows::Columns;
use crate::core::ids::Seq;
use crate::core::time::Timestamp;
use crate::store::{Counts, StoreError, SweepCandidate, SweepPlan, SweepRound, stands_still};

/// How many numbers a round looks at: about a second of reading, 20 seconds of intake at full speed.
const WINDOW: i64 = 1_000_000;

/// How far beyond the first candidate the round looks for events that overtook one: some seconds of intake at full speed.
const OVERTAKEN_WINDOW: i64 = 100_000;

/// The most events that are counted.
const COUNTED_MAX: i64 = 1_000_000;

/// How far beyond the mark events are counted.
const COUNTED_WINDOW: i64 = 5_000_000;

/// How many events that wait are judged: the oldest. Three times what a round names, so that a backlog that is only
/// slow does not hide what is lost.
const JUDGED_MAX: i64 = 60_000;

/// How much later an event of the same slot must have been accepted to say that one in front of it was overtaken.
const MARGIN: Duration = Duration::from_secs(2);

/// How many later events of the same loan are looked at.
const LATER_OF_LOAN_MAX: i64 = 1000;

/// What marks an event above $1 as nobody's business: finished, parked or held. Of `events AS e`. A leg does not wait
/// with its loan. The planner draws no conclusion from `e.seq > $1` about the other side of a merge: without its own bound
/// that would begin at the first posting there ever was.
macro_rules! waits {
    () => {
        "e.slot IS NOT NULL AND NOT EXISTS (SELECT FROM postings p WHERE p.event_seq = e.seq AND p.event_seq > $1) \
         AND NOT EXISTS (SELECT FROM parked k WHERE k.event_seq = e.seq AND k.parked_at IS NOT NULL) \
         AND (e.leg IS NOT NULL OR NOT EXISTS (SELECT FROM holds h WHERE h.loan_key = e.loan_key))"
    };
}

/// By one process, beside lanes that need the processors.
const WALK_ALONE: &str = "SET LOCAL max_parallel_workers_per_gather = 0";

/// Long walks over two keys side by side are merges; see the settings of a session.
const ALLOW_MERGES: &str = "SET LOCAL enable_mergejoin = on; SET LOCAL enable_hashjoin = on; \
     SET LOCAL max_parallel_workers_per_gather = 0";

/// Takes or renews the lease.
const TAKE_LEASE: &str = "UPDATE sweeper SET holder = $1, leased_to = clock_timestamp() + $2::interval \
     WHERE holder = $1 OR leased_to < clock_timestamp() RETURNING mark, releases";

/// Where the round ends: the last event it may look at, at most so many numbers behind the next one. Two looks into the
/// key, whatever lies in between. An event: where the mark comes up to it, the next round may go on from there.
const READ_REACH: &str = "SELECT (SELECT max(e.seq) FROM events e WHERE e.seq > $1 AND e.seq <= least(n.first + $2, $3)) \
     FROM (SELECT min(e.seq) AS first FROM events e WHERE e.seq > $1 AND e.seq <= $3) AS n WHERE n.first IS NOT NULL";

/// The first event of the round that waits, whatever its age, and whether it waits for longer than it should. Walks the
/// postings' key up to the first gap with such an event; where there is none it looks behind the last posting, in the same
/// statement, which sees the same postings. This is asked of each event there ever is, more than once: so it reads of events
/// what stands in gaps alone. It joins nothing, which a planner that does not know yet how many there are would do by a look
/// into the key for each.
const FIRST_WAITING: &str = concat!(
    "WITH in_gap AS MATERIALIZED (SELECT e.seq, e.accepted_at FROM (SELECT p.event_seq AS below, \
     lag(p.event_seq, 1, $1) OVER (ORDER BY p.event_seq) AS above FROM postings p \
     WHERE p.event_seq > $1 AND p.event_seq <= $2) AS gap \
     CROSS JOIN LATERAL (SELECT e.seq, e.accepted_at FROM events e WHERE e.seq > gap.above AND e.seq < gap.below AND ",
    waits!(),
    " ORDER BY e.seq LIMIT 1) AS e WHERE gap.below > gap.above + 1 ORDER BY gap.below LIMIT 1) \
     SELECT w.seq, w.accepted_at <= clock_timestamp() - $3::interval FROM (SELECT seq, accepted_at FROM in_gap \
     UNION ALL (SELECT e.seq, e.accepted_at FROM events e WHERE NOT EXISTS (SELECT FROM in_gap) AND e.seq <= $2 \
     AND e.seq > coalesce((SELECT max(p.event_seq) FROM postings p WHERE p.event_seq > $1 AND p.event_seq <= $2), $1) \
     AND ",
    waits!(),
    " ORDER BY e.seq LIMIT 1)) AS w LIMIT 1"
);

/// Before this instant no event is young, and no transaction that may still commit an event had begun. Asked before
/// anything is looked at: what commits in between is seen by the look. Of a transaction that has a number but has
/// written nothing yet this says nothing; the age does.
const READ_HORIZON: &str = "SELECT least(clock_timestamp() - $1::interval, (SELECT min(a.xact_start) \
     FROM pg_stat_activity a WHERE a.datname = current_database() AND a.backend_type = 'client backend' \
     AND a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()))";

/// The last event in front of the first one behind the horizon. An event, never a number without one: that may belong
/// to a transaction that commits later.
const LAST_SETTLED: &str = "SELECT max(s.seq) FROM (SELECT e.seq FROM events e WHERE e.seq > $1 AND e.seq <= $2 \
     AND e.seq < coalesce((SELECT y.seq FROM events y WHERE y.seq > $1 AND y.seq <= $2 AND y.accepted_at >= $3 \
     ORDER BY y.seq LIMIT 1), $2 + 1) ORDER BY e.seq DESC LIMIT 1) AS s";

/// The events that wait for longer than they should, those that look lost first; of a group its first leg, which brings
/// all of it to a lane. A publisher without a row has never
/// said that it lives.
///
/// `passed` judges a kind of queue: what was accepted [`MARGIN`] later and is posted came after ours in the queue; less
/// than that says nothing, since publishers overtake each other. Nor does what a batch took along: it posts all that waits
/// on a loan, so of each loan only the first event of a batch counts. The loan itself needs no margin, and is looked at
/// only where its last posted event is later.
const READ_CANDIDATES: &str = concat!(
    "WITH late AS MATERIALIZED (SELECT e.seq, e.id, e.tenant, e.loan_key, e.slot, e.batch_id IS NOT NULL AS bulk, \
     e.accepted_at, e.publisher FROM events e WHERE e.seq > $1 AND e.seq <= $2 \
     AND e.accepted_at <= clock_timestamp() - $3::interval AND ",
    waits!(),
    " AND coalesce(e.leg, 1) = 1 ORDER BY e.seq LIMIT $7), \
     passed AS MATERIALIZED (SELECT f.slot, f.bulk, max(f.accepted_at) AS accepted_at \
     FROM (SELECT e.slot, e.batch_id IS NOT NULL AS bulk, min(e.accepted_at) AS accepted_at \
     FROM events e JOIN postings p ON p.event_seq = e.seq AND p.event_seq > (SELECT min(late.seq) FROM late) \
     WHERE e.seq > (SELECT min(late.seq) FROM late) AND e.seq <= (SELECT min(late.seq) FROM late) + $6 \
     AND e.slot IS NOT NULL GROUP BY e.loan_key, p.posted_at, 1, 2) AS f GROUP BY 1, 2), \
     judged AS (SELECT l.seq, l.id, l.tenant, l.loan_key, l.slot, l.bulk, \
     coalesce(d.accepted_at >= l.accepted_at + $8::interval, false) \
     OR CASE WHEN o.last_posted_seq > l.seq THEN EXISTS (SELECT FROM (SELECT n.seq, n.batch_id FROM events n \
     WHERE n.loan_key = l.loan_key AND n.seq > l.seq AND n.slot IS NOT NULL ORDER BY n.seq LIMIT $9) AS n \
     JOIN postings p ON p.event_seq = n.seq WHERE (n.batch_id IS NOT NULL) = l.bulk) ELSE false END AS overtaken, \
     b.publisher IS NULL OR b.seen_at < clock_timestamp() - $5::interval \
     OR coalesce(b.unconfirmed_from <= l.seq, false) AS orphaned \
     FROM late l LEFT JOIN passed d ON d.slot = l.slot AND d.bulk = l.bulk \
     LEFT JOIN publishers b ON b.publisher = l.publisher LEFT JOIN LATERAL \
     (SELECT o.last_posted_seq FROM loans o WHERE o.loan_key = l.loan_key OFFSET 0) AS o ON true) \
     SELECT seq, id, tenant, loan_key, slot, bulk, overtaken, orphaned FROM judged \
     ORDER BY (overtaken OR orphaned) DESC, seq LIMIT $4"
);

/// Writes down how far the round got. The mark moves only forward, and a release may lower it. A round that found nothing
/// waiting says nothing of what lies beyond it ($4).
const MOVE_MARK: &str = "UPDATE sweeper SET mark = greatest(mark, $2), \
     finished_to = CASE WHEN $4 THEN greatest(finished_to, $3) ELSE $3 END WHERE holder = $1";

/// Failed attempts of events that were posted after all. Here rather than in the posting transaction, which must not
/// pay for them. A row that a release holds is left to it: the sweeper's row is locked before, and by a release after.
const FORGET_HEALED: &str = "DELETE FROM parked WHERE event_seq IN (SELECT k.event_seq FROM parked k \
     WHERE k.parked_at IS NULL AND EXISTS (SELECT FROM postings p WHERE p.event_seq = k.event_seq) \
     FOR UPDATE OF k SKIP LOCKED)";

/// What waits above where the last round got, and how long the oldest has waited.
const COUNT_WAITING: &str = concat!(
    "SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(waiting.accepted_at)) * 1000000, 0)::bigint \
     FROM (SELECT e.accepted_at FROM events e WHERE e.seq > $1 AND e.seq <= $2 AND ",
    waits!(),
    " ORDER BY e.seq LIMIT $3) AS waiting"
);

/// From where on events may wait.
const READ_MARK: &str = "SELECT greatest(mark, finished_to) FROM sweeper";

const COUNT_PARKED: &str = "SELECT count(*) FROM parked k WHERE k.parked_at IS NOT NULL \
     AND NOT EXISTS (SELECT FROM postings p WHERE p.event_seq = k.event_seq)";

const COUNT_HELD: &str = "SELECT count(*) FROM (SELECT FROM holds h JOIN events e ON e.loan_key = h.loan_key \
     AND e.seq > coalesce((SELECT l.last_posted_seq FROM loans l WHERE l.loan_key = h.loan_key), 0) \
     WHERE e.slot IS NOT NULL AND e.leg IS NULL AND NOT EXISTS (SELECT FROM postings p WHERE p.event_seq = e.seq) \
     AND NOT EXISTS (SELECT FROM parked k WHERE k.event_seq = e.seq AND k.parked_at IS NOT NULL) LIMIT $1) AS held";

/// Postings so far, by the server's own statistics: one look whatever the size of the table. Some seconds late, and it
/// begins anew after a crash of the server.
const READ_POSTED: &str = "SELECT pg_stat_get_tuples_inserted('postings'::regclass)";

/// The statements of this module.
pub(super) const STATEMENTS: [(&str, &str); 13] = [
    ("read_mark", READ_MARK),
    ("take_lease", TAKE_LEASE),
    ("read_reach", READ_REACH),
    ("first_waiting", FIRST_WAITING),
    ("read_horizon", READ_HORIZON),
    ("last_settled", LAST_SETTLED),
    ("read_candidates", READ_CANDIDATES),
    ("move_mark", MOVE_MARK),
    ("forget_healed", FORGET_HEALED),
    ("count_waiting", COUNT_WAITING),
    ("count_parked", COUNT_PARKED),
    ("count_held", COUNT_HELD),
    ("read_posted", READ_POSTED),
];

impl PostgresStore {
    pub(super) async fn sweep_round(&self, plan: SweepPlan) -> Result<Option<SweepRound>, StoreError> {
        let mut connection = self.connection().await?;
        let mut transaction = begin(&mut connection).await?;
        let done = round(&mut transaction, &plan).await;
        finish(transaction, done).await
    }

    pub(super) async fn count_work(&self) -> Result<Counts, StoreError> {
        let mut connection = self.connection().await?;
        let mut transaction = begin(&mut connection).await?;
        let done = counts(&mut transaction).await;
        finish(transaction, done).await
    }
}

async fn round(connection: &mut PgConnection, plan: &SweepPlan) -> Result<Option<SweepRound>, StoreError> {
    sqlx::raw_sql(WALK_ALONE).execute(&mut *connection).await.map_err(classify)?;
    let query = sqlx::query(TAKE_LEASE).bind(plan.worker.0).bind(interval(plan.lease)?);
    let Some(row) = query.fetch_optional(&mut *connection).await.map_err(classify)? else {
        return Ok(None);
    };
    let mut columns = Columns::of(&row);
    let (mark, releases): (i64, i64) = (columns.take()?, columns.take()?);
    let from = plan.above.map_or(mark, |above| above.0);
    // A round that begins beyond the mark has not looked at everything below.
    let horizon = if from <= mark { Some(begin_at_mark(connection, plan).await?) } else { None };
    let query = sqlx::query(READ_REACH).bind(from).bind(WINDOW).bind(plan.up_to.map_or(i64::MAX, |up_to| up_to.0));
    let Some(row) = query.fetch_optional(&mut *connection).await.map_err(classify)? else {
        return Ok(Some(SweepRound { candidates: Vec::new(), finished_to: Seq(from), looked_to: Seq(from), releases }));
    };
    let reach: i64 = Columns::of(&row).take()?;
    let first = first_waiting(connection, plan, (from, reach)).await?;
    let finished_to = first.as_ref().map_or(reach, |first| first.seq.saturating_sub(1));
    // Where the first is young, so are those behind it, but for the length of a statement.
    let candidates = match first {
        Some(FirstWaiting { is_late: true, .. }) if stands_still(plan.front, Seq(finished_to)) => {
            candidates(connection, plan, (finished_to, reach)).await?
        }
        Some(_) | None => Vec::new(),
    };
    let moved_to = match horizon {
        Some(horizon) if finished_to > mark => {
            last_settled(connection, horizon, from, finished_to).await?.unwrap_or(mark)
        }
        Some(_) | None => mark,
    };
    let query = sqlx::query(MOVE_MARK).bind(plan.worker.0).bind(moved_to).bind(finished_to).bind(finished_to == reach);
    query.execute(connection).await.map_err(classify)?;
    Ok(Some(SweepRound { candidates, finished_to: Seq(finished_to), looked_to: Seq(reach), releases }))
}

/// The first event that waits.
struct FirstWaiting {
    seq: i64,
    is_late: bool,
}

async fn first_waiting(
    connection: &mut PgConnection,
    plan: &SweepPlan,
    (from, reach): (i64, i64),
) -> Result<Option<FirstWaiting>, StoreError> {
    let query = sqlx::query(FIRST_WAITING).bind(from).bind(reach).bind(interval(plan.older_than)?);
    let first = query.fetch_optional(connection).await.map_err(classify)?;
    let first = first.map(|row| {
        let mut columns = Columns::of(&row);
        Ok(FirstWaiting { seq: columns.take()?, is_late: columns.take()? })
    });
    first.transpose()
}

async fn candidates(
    connection: &mut PgConnection,
    plan: &SweepPlan,
    (finished_to, reach): (i64, i64),
) -> Result<Vec<SweepCandidate>, StoreError> {
    sqlx::raw_sql(ALLOW_MERGES).execute(&mut *connection).await.map_err(classify)?;
    let query = sqlx::query(READ_CANDIDATES)
        .bind(finished_to)
        .bind(reach)
        .bind(interval(plan.older_than)?)
        .bind(plan.limit)
        .bind(interval(plan.publisher_dead_after)?)
        .bind(OVERTAKEN_WINDOW)
        .bind(JUDGED_MAX)
        .bind(interval(MARGIN)?)
        .bind(LATER_OF_LOAN_MAX);
    let rows = query.fetch_all(connection).await.map_err(classify)?;
    rows.iter().map(candidate).collect()
}

/// What a round does first that may move the mark. Answers the horizon of the mark.
async fn begin_at_mark(connection: &mut PgConnection, plan: &SweepPlan) -> Result<Timestamp, StoreError> {
    if plan.above.is_none() {
        sqlx::query(FORGET_HEALED).execute(&mut *connection).await.map_err(classify)?;
    }
    let query = sqlx::query(READ_HORIZON).bind(interval(plan.mark_older_than)?);
    let row = query.fetch_one(connection).await.map_err(classify)?;
    Columns::of(&row).instant()
}

/// The last event up to where nothing waits and no lower number may still be on its way to a commit.
async fn last_settled(
    connection: &mut PgConnection,
    horizon: Timestamp,
    from: i64,
    finished_to: i64,
) -> Result<Option<i64>, StoreError> {
    let query = sqlx::query(LAST_SETTLED).bind(from).bind(finished_to).bind(horizon.utc());
    let row = query.fetch_one(connection).await.map_err(classify)?;
    Columns::of(&row).take()
}

async fn counts(connection: &mut PgConnection) -> Result<Counts, StoreError> {
    sqlx::raw_sql(ALLOW_MERGES).execute(&mut *connection).await.map_err(classify)?;
    let row = sqlx::query(READ_MARK).fetch_one(&mut *connection).await.map_err(classify)?;
    let mark: i64 = Columns::of(&row).take()?;
    let query = sqlx::query(COUNT_WAITING).bind(mark).bind(mark.saturating_add(COUNTED_WINDOW)).bind(COUNTED_MAX);
    let row = query.fetch_one(&mut *connection).await.map_err(classify)?;
    let mut columns = Columns::of(&row);
    let (unposted, micros): (i64, i64) = (columns.take()?, columns.take()?);
    let row = sqlx::query(COUNT_PARKED).fetch_one(&mut *connection).await.map_err(classify)?;
    let parked = Columns::of(&row).take()?;
    let row = sqlx::query(COUNT_HELD).bind(COUNTED_MAX).fetch_one(&mut *connection).await.map_err(classify)?;
    let held = Columns::of(&row).take()?;
    let row = sqlx::query(READ_POSTED).fetch_one(&mut *connection).await.map_err(classify)?;
    let posted = Columns::of(&row).take()?;
    let oldest_unposted = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
    Ok(Counts { unposted, oldest_unposted, parked, held, posted })
}
