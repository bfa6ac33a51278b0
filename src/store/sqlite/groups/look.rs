//! Owns what a lane reads of a group: its rows, and what stands in front of its legs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sqlx::SqliteConnection;

use crate::core::event::{AcceptedEvent, Command};
use crate::core::ids::{EventId, LoanKey, Seq, TenantId};
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::params::{Hex, json, loan_keys};
use crate::store::sqlite::periods::calendar_version;
use crate::store::sqlite::records::{decode_records, select_records, stage};
use crate::store::sqlite::rows::{broken, bytes, decode_event, event_columns, get, id, posting_columns};
use crate::store::{EventRecord, StoreError, Wanted};

/// The parent and its legs.
pub(in crate::store::sqlite) const GROUP_ROWS: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM events AS e WHERE e.seq = ?1 UNION ALL SELECT ",
    event_columns!(),
    " FROM events AS e WHERE e.group_seq = ?1"
);

/// Whether a group is finished, with the number of the last change of any calendar.
pub(in crate::store::sqlite) const IS_FINISHED: &str =
    concat!("SELECT EXISTS (SELECT 1 FROM postings WHERE event_seq = ?1) AS finished, ", calendar_version!());

/// The first unposted event in front of each leg, and its group where it is a leg itself.
pub(in crate::store::sqlite) const IN_FRONT: &str = "
    SELECT e.seq, e.id, e.loan_key, e.group_seq
    FROM jsonb_each(?1) AS wanted
    JOIN events AS e ON e.seq = (
        SELECT min(before.seq) FROM events AS before
        WHERE before.loan_key = unhex(wanted.value ->> 'loan_key') AND before.seq > wanted.value ->> 'mark'
            AND before.seq < wanted.value ->> 'leg_seq' AND before.slot IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = before.seq))";

/// Unfinished groups in front of this one that share a loan with it. Walks from group to group above the sweeper's
/// mark, below which everything is finished; of the groups below it only the last may reach beyond.
pub(in crate::store::sqlite) const EARLIER_GROUPS: &str = "
    WITH RECURSIVE earlier (group_seq) AS (
        SELECT coalesce(
            (SELECT max(group_seq) FROM events WHERE group_seq <= (SELECT mark FROM sweeper) AND group_seq < ?1),
            (SELECT min(group_seq) FROM events WHERE group_seq < ?1))
        UNION ALL
        SELECT (SELECT min(e.group_seq) FROM events AS e WHERE e.group_seq > g.group_seq AND e.group_seq < ?1)
        FROM earlier AS g WHERE g.group_seq IS NOT NULL)
    SELECT g.group_seq FROM earlier AS g
    WHERE g.group_seq IS NOT NULL AND NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = g.group_seq)
        AND EXISTS (SELECT 1 FROM events AS l
                    WHERE l.group_seq = g.group_seq AND l.loan_key IN (SELECT unhex(value) FROM jsonb_each(?2)))
    ORDER BY g.group_seq";

pub(in crate::store::sqlite) const LEGS: &str = concat!(
    select_records!("events AS e INDEXED BY events_group_leg LEFT JOIN postings AS p ON p.event_seq = e.seq"),
    " WHERE e.tenant = ?1 AND e.group_seq = ?2 ORDER BY e.leg"
);

/// A group's rows.
pub(super) struct GroupRows {
    pub(super) parent: AcceptedEvent,
    pub(super) legs: Vec<AcceptedEvent>,
}

/// What stands in front of a group's legs.
#[derive(Default)]
pub(super) struct InFront {
    pub(super) groups: BTreeSet<Seq>,
    pub(super) events: Vec<Wanted>,
}

pub(super) async fn group_rows(db: &mut SqliteConnection, group: Seq) -> Result<GroupRows, StoreError> {
    let mut parent = None;
    let mut legs = Vec::new();
    for row in &sqlx::query(GROUP_ROWS).bind(group.0).fetch_all(db).await.map_err(store_error)? {
        let event = decode_event(row)?;
        if event.seq == group {
            parent = Some(event);
        } else {
            legs.push(event);
        }
    }
    legs.sort_unstable_by_key(|leg| leg.event.origin.group.map(|group| group.leg));
    match parent {
        Some(parent) if matches!(parent.event.command, Command::Group(_)) => Ok(GroupRows { parent, legs }),
        Some(_) | None => Err(broken("a group's parent is no group")),
    }
}

/// The number of the last change of any calendar, or nothing where the group is finished.
pub(super) async fn unfinished(db: &mut SqliteConnection, group: Seq) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query(IS_FINISHED).bind(group.0).fetch_one(db).await.map_err(store_error)?;
    let is_finished: bool = get(&row, "finished")?;
    let version = get(&row, "calendar_version")?;
    Ok((!is_finished).then_some(version))
}

/// What stands in front of legs on loans with these marks.
pub(super) async fn in_front(
    db: &mut SqliteConnection,
    group: &GroupRows,
    marks: &BTreeMap<LoanKey, Seq>,
) -> Result<InFront, StoreError> {
    #[derive(Serialize)]
    struct Place {
        loan_key: Hex<16>,
        mark: Seq,
        leg_seq: Seq,
    }
    let place = |leg: &AcceptedEvent| {
        let key = leg.event.loan_key;
        Some(Place { loan_key: Hex(key.bytes()), mark: *marks.get(&key)?, leg_seq: leg.seq })
    };
    let places: Vec<Place> = group.legs.iter().filter_map(place).collect();
    let mut front = InFront::default();
    let query = sqlx::query(IN_FRONT).bind(json(&places)?);
    for row in &query.fetch_all(&mut *db).await.map_err(store_error)? {
        match get::<Option<i64>>(row, "group_seq")? {
            Some(earlier) => drop(front.groups.insert(Seq(earlier))),
            None => front.events.push(Wanted {
                seq: Seq(get(row, "seq")?),
                id: EventId(id(row, "id")?),
                loan_key: LoanKey::from_bytes(bytes(row, "loan_key")?),
            }),
        }
    }
    let loans = loan_keys(group.legs.iter().map(|leg| leg.event.loan_key))?;
    let query = sqlx::query(EARLIER_GROUPS).bind(group.parent.seq.0).bind(loans);
    for row in &query.fetch_all(db).await.map_err(store_error)? {
        front.groups.insert(Seq(get(row, "group_seq")?));
    }
    Ok(front)
}

/// The legs of a group, for a caller.
pub(in crate::store::sqlite) async fn legs(
    db: &mut SqliteConnection,
    tenant: TenantId,
    group: Seq,
) -> Result<Vec<EventRecord>, StoreError> {
    let rows = sqlx::query(LEGS).bind(tenant.0).bind(group.0).fetch_all(db).await.map_err(store_error)?;
    decode_records(&rows)
}
