//! Owns what a lane reads of a group: its rows, and what stands in front of its legs.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::super::connect::PostgresStore;
use super::super::error::classify;
use super::super::periods::calendar_version;
use super::super::read::{record, record_columns, record_tables};
use super::super::rows::{self, Columns, event_columns, key_column, posting_columns};
use crate::core::event::{AcceptedEvent, Command};
use crate::core::ids::{EventId, LoanKey, Seq, TenantId};
use crate::core::time::Timestamp;
use crate::store::{EventRecord, StoreError, Wanted};

/// The parent and its legs, by number. They never change, so no lock is needed.
const READ_GROUP: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events e WHERE e.seq = $1 UNION ALL SELECT ",
    event_columns!(),
    " FROM events e WHERE e.group_seq = $1"
);

/// Whether the group is finished, and the database's clock: read behind the locks.
const READ_FINISH: &str = concat!(
    "SELECT EXISTS (SELECT FROM postings p WHERE p.event_seq = $1 OFFSET 0), clock_timestamp(), ",
    calendar_version!()
);

/// The first unposted event in front of each leg, and its group where it is a leg itself: a step of the index
/// `(loan_key, seq)` a loan.
const READ_IN_FRONT: &str = "SELECT e.seq, e.id, e.loan_key, e.group_seq \
     FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS l (loan_key, mark, leg_seq) CROSS JOIN LATERAL \
     (SELECT e.seq, e.id, e.loan_key, e.group_seq FROM events e WHERE e.loan_key = l.loan_key AND e.seq > l.mark \
     AND e.seq < l.leg_seq AND e.slot IS NOT NULL \
     AND NOT EXISTS (SELECT FROM postings p WHERE p.event_seq = e.seq OFFSET 0) ORDER BY e.seq LIMIT 1) AS e";

/// Unfinished groups in front of this one that share a loan with it. A leg may stand below its loan's mark, where no
/// drain looks: its numbers were drawn before events that were posted since. Walks from group to group above the
/// sweeper's mark, below which everything is finished; of the groups below it only the last may reach beyond.
const READ_EARLIER_GROUPS: &str = "WITH RECURSIVE earlier (group_seq) AS (SELECT coalesce( \
     (SELECT max(e.group_seq) FROM events e WHERE e.group_seq <= (SELECT mark FROM sweeper) AND e.group_seq < $1), \
     (SELECT min(e.group_seq) FROM events e WHERE e.group_seq < $1)) \
     UNION ALL SELECT (SELECT min(e.group_seq) FROM events e WHERE e.group_seq > g.group_seq AND e.group_seq < $1) \
     FROM earlier g WHERE g.group_seq IS NOT NULL) \
     SELECT g.group_seq FROM earlier g WHERE g.group_seq IS NOT NULL \
     AND NOT EXISTS (SELECT FROM postings p WHERE p.event_seq = g.group_seq OFFSET 0) \
     AND EXISTS (SELECT FROM events l WHERE l.group_seq = g.group_seq AND l.loan_key = ANY($2)) ORDER BY g.group_seq";

const READ_LEGS: &str = concat!(
    "SELECT ",
    record_columns!(),
    " FROM ",
    record_tables!(),
    " WHERE e.tenant = $1 AND e.group_seq = $2 ORDER BY e.leg"
);

/// The statements of this module.
pub(in crate::store::postgres) const STATEMENTS: [(&str, &str); 5] = [
    ("read_group", READ_GROUP),
    ("read_finish", READ_FINISH),
    ("read_in_front", READ_IN_FRONT),
    ("read_earlier_groups", READ_EARLIER_GROUPS),
    ("read_legs", READ_LEGS),
];

/// A group's rows.
pub(super) struct GroupRows {
    pub(super) parent: AcceptedEvent,
    pub(super) legs: Vec<AcceptedEvent>,
}

impl GroupRows {
    /// The loans of its legs.
    pub(super) fn loans(&self) -> BTreeSet<LoanKey> {
        self.legs.iter().map(|leg| leg.event.loan_key).collect()
    }
}

/// What stands in front of a group's legs.
#[derive(Default)]
pub(super) struct InFront {
    /// Earlier groups.
    pub(super) groups: BTreeSet<Seq>,
    /// The first event of each loan that has one.
    pub(super) events: Vec<Wanted>,
}

/// Reads a group.
pub(super) async fn read_group(connection: &mut PgConnection, group: Seq) -> Result<GroupRows, StoreError> {
    let rows = sqlx::query(READ_GROUP).bind(group.0).fetch_all(connection).await.map_err(classify)?;
    let mut parent = None;
    let mut legs = Vec::with_capacity(rows.len());
    for row in &rows {
        let event = rows::event(&mut Columns::of(row))?;
        if event.seq == group { parent = Some(event) } else { legs.push(event) }
    }
    legs.sort_unstable_by_key(|leg| leg.event.origin.group.map(|group| group.leg));
    match parent {
        Some(parent) if matches!(parent.event.command, Command::Group(_)) => Ok(GroupRows { parent, legs }),
        Some(_) | None => Err(StoreError::Broken(format!("event {group} is no group"))),
    }
}

/// The clock and the number of the last change of any calendar, or nothing where the group is finished.
pub(super) async fn read_clock(
    connection: &mut PgConnection,
    group: Seq,
) -> Result<Option<(Timestamp, i64)>, StoreError> {
    let row = sqlx::query(READ_FINISH).bind(group.0).fetch_one(connection).await.map_err(classify)?;
    let mut columns = Columns::of(&row);
    let (is_finished, now): (bool, Timestamp) = (columns.take()?, columns.instant()?);
    let version = columns.take()?;
    Ok((!is_finished).then_some((now, version)))
}

/// Reads what stands in front of legs on loans with these marks.
pub(super) async fn read_in_front(
    connection: &mut PgConnection,
    group: &GroupRows,
    marks: &BTreeMap<LoanKey, Seq>,
) -> Result<InFront, StoreError> {
    let mut front = InFront::default();
    let legs: Vec<_> = group.legs.iter().filter_map(|leg| Some((leg, *marks.get(&leg.event.loan_key)?))).collect();
    let query = sqlx::query(READ_IN_FRONT)
        .bind(legs.iter().map(|(leg, _)| key_column(leg.event.loan_key)).collect::<Vec<Uuid>>())
        .bind(legs.iter().map(|(_, mark)| mark.0).collect::<Vec<_>>())
        .bind(legs.iter().map(|(leg, _)| leg.seq.0).collect::<Vec<_>>());
    for row in &query.fetch_all(&mut *connection).await.map_err(classify)? {
        let mut columns = Columns::of(row);
        let (seq, id, loan_key) = (Seq(columns.take()?), EventId(columns.take()?), columns.loan_key()?);
        match columns.take::<Option<i64>>()? {
            Some(earlier) => drop(front.groups.insert(Seq(earlier))),
            None => front.events.push(Wanted { seq, id, loan_key }),
        }
    }
    let keys: Vec<Uuid> = group.loans().into_iter().map(key_column).collect();
    let query = sqlx::query(READ_EARLIER_GROUPS).bind(group.parent.seq.0).bind(keys);
    for row in &query.fetch_all(connection).await.map_err(classify)? {
        front.groups.insert(Seq(Columns::of(row).take()?));
    }
    Ok(front)
}

impl PostgresStore {
    pub(in crate::store::postgres) async fn read_legs(
        &self,
        tenant: TenantId,
        group: Seq,
    ) -> Result<Vec<EventRecord>, StoreError> {
        let mut connection = self.connection().await?;
        let query = sqlx::query(READ_LEGS).bind(tenant.0).bind(group.0);
        let rows = query.fetch_all(&mut *connection).await.map_err(classify)?;
        rows.iter().map(record).collect()
    }
}
