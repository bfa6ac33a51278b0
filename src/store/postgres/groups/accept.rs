//! Owns the acceptance of a group: five statements, whatever its size.

use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::super::accept::{Accepted, read_known};
use super::super::connect::{PostgresStore, begin, finish};
use super::super::error::classify;
use super::super::intake_rows::{EventColumns, new_event_columns, new_events};
use super::super::rows::Columns;
use crate::core::event::{NewEvent, NewGroup};
use crate::core::ids::{EventId, PublisherId, Seq};
use crate::core::money::Minor;
use crate::core::time::Timestamp;
use crate::store::{Acceptance, GroupAcceptance, KnownEvent, StoreError, Wanted};

/// One group is accepted at a time, and the next begins to draw its numbers when this one is committed: legs of two
/// groups stand on every loan in the order of their parents.
const LOCK_GROUPS: &str = "SELECT pg_advisory_xact_lock(hashtextextended('hpts.groups', 0))";

/// The parent. It has no slot: nothing queues it.
const INSERT_PARENT: &str = concat!(
    "INSERT INTO events (seq, accepted_at, ",
    new_event_columns!(),
    ") SELECT nextval('events_seq'), clock_timestamp(), ",
    new_event_columns!(),
    " FROM ",
    new_events!(),
    " ON CONFLICT (key_hash) DO NOTHING RETURNING seq, accepted_at"
);

/// The legs, numbered in their order behind the parent. Nobody else makes their keys.
const INSERT_LEGS: &str = concat!(
    "INSERT INTO events (seq, accepted_at, ",
    new_event_columns!(),
    ") SELECT nextval('events_seq'), (SELECT clock_timestamp()), ",
    new_event_columns!(),
    " FROM (SELECT ",
    new_event_columns!(),
    " FROM ",
    new_events!(),
    " ORDER BY place) AS arrived RETURNING id, seq, leg"
);

/// Counts the legs among what the publisher accepted; the parent has no slot and is counted apart. Last, because the
/// process's intake waits for this row.
const RAISE_TOTALS: &str = "INSERT INTO publisher_totals (publisher, tenant, is_bulk, accepted, amount) \
     VALUES ($1, $2, false, $3, $4::numeric) ON CONFLICT (publisher, tenant, is_bulk) DO UPDATE \
     SET accepted = publisher_totals.accepted + excluded.accepted, amount = publisher_totals.amount + excluded.amount";

/// The first leg of a group that was accepted before.
const READ_FIRST_LEG: &str = "SELECT e.id, e.seq, e.loan_key FROM events e WHERE e.group_seq = $1 AND e.leg = 1";

/// The statements of this module.
pub(in crate::store::postgres) const STATEMENTS: [(&str, &str); 5] = [
    ("lock_groups", LOCK_GROUPS),
    ("insert_parent", INSERT_PARENT),
    ("insert_legs", INSERT_LEGS),
    ("raise_group_totals", RAISE_TOTALS),
    ("read_first_leg", READ_FIRST_LEG),
];

impl PostgresStore {
    pub(in crate::store::postgres) async fn take_group(
        &self,
        publisher: PublisherId,
        group: NewGroup,
    ) -> Result<GroupAcceptance, StoreError> {
        let mut connection = self.connection().await?;
        let mut transaction = begin(&mut connection).await?;
        let done = take(&mut transaction, publisher, &group).await;
        finish(transaction, done).await
    }
}

async fn take(
    connection: &mut PgConnection,
    publisher: PublisherId,
    group: &NewGroup,
) -> Result<GroupAcceptance, StoreError> {
    sqlx::query(LOCK_GROUPS).execute(&mut *connection).await.map_err(classify)?;
    let query = EventColumns::of([&group.parent]).bind(sqlx::query(INSERT_PARENT));
    let Some(row) = query.fetch_optional(&mut *connection).await.map_err(classify)? else {
        return known(connection, &group.parent).await;
    };
    let mut columns = Columns::of(&row);
    let (seq, accepted_at): (Seq, Timestamp) = (Seq(columns.take()?), columns.instant()?);
    let legs = group.legs_at(seq);
    let query = EventColumns::of(&legs).bind(sqlx::query(INSERT_LEGS));
    let rows = query.fetch_all(&mut *connection).await.map_err(classify)?;
    let first = rows.iter().map(leg_row).find(|leg| leg.as_ref().is_ok_and(|(_, _, number)| *number == 1));
    let (id, leg_seq, _) = first.unwrap_or_else(|| Err(StoreError::Broken("a group has no first leg".to_owned())))?;
    let loan_key = legs.first().map(|leg| leg.loan_key);
    let loan_key = loan_key.ok_or_else(|| StoreError::Broken("a group has no legs".to_owned()))?;
    raise_totals(connection, publisher, &legs).await?;
    Ok(GroupAcceptance::New { seq, accepted_at, first_leg: Wanted { seq: leg_seq, id, loan_key } })
}

fn leg_row(row: &PgRow) -> Result<(EventId, Seq, i32), StoreError> {
    let mut columns = Columns::of(row);
    Ok((EventId(columns.take()?), Seq(columns.take()?), columns.take()?))
}

async fn raise_totals(
    connection: &mut PgConnection,
    publisher: PublisherId,
    legs: &[NewEvent],
) -> Result<(), StoreError> {
    let Some(first) = legs.first() else { return Ok(()) };
    let amounts = legs.iter().filter_map(|leg| leg.command.amount()).map(Minor::units);
    // Ten thousand amounts of 64 bits cannot leave 128.
    let amount = amounts.fold(0_i128, |sum, amount| sum.saturating_add(i128::from(amount)));
    let count = i64::try_from(legs.len()).unwrap_or(i64::MAX);
    let query = sqlx::query(RAISE_TOTALS).bind(publisher.0).bind(first.tenant.0).bind(count).bind(amount.to_string());
    query.execute(connection).await.map_err(classify).map(drop)
}

/// What stands under a parent's key: its own row, in a call whose outcome was unknown, or another event's.
async fn known(connection: &mut PgConnection, parent: &NewEvent) -> Result<GroupAcceptance, StoreError> {
    let mut known = read_known(connection, std::slice::from_ref(parent), &Accepted::new()).await?;
    let first: KnownEvent = known
        .remove(&parent.key_hash.bytes())
        .ok_or_else(|| StoreError::Broken(format!("event {} was refused for no row", parent.id)))?;
    match Acceptance::of_known(parent, first)? {
        Acceptance::New { seq, accepted_at } => {
            let row = sqlx::query(READ_FIRST_LEG).bind(seq.0).fetch_one(connection).await.map_err(classify)?;
            let mut columns = Columns::of(&row);
            let (id, leg_seq) = (EventId(columns.take()?), Seq(columns.take()?));
            let first_leg = Wanted { seq: leg_seq, id, loan_key: columns.loan_key()? };
            Ok(GroupAcceptance::New { seq, accepted_at, first_leg })
        }
        Acceptance::Known(known) => Ok(GroupAcceptance::Known(known)),
    }
}
