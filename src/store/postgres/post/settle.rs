//! Owns what becomes of wanted events that this batch does not post.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::lock::Locked;
use super::read::Chosen;
use crate::core::ids::{EventId, LoanKey, PublisherId, Seq};
use crate::store::postgres::error::classify;
use crate::store::postgres::rows::Columns;
use crate::store::{PostWork, PostedBatch, StoreError, Wanted};

/// What stands under the ids of wanted events that were not chosen. Rare: messages that came twice, held loans.
pub(in crate::store::postgres) const READ_NAMED: &str = "SELECT e.id, e.seq, e.loan_key, e.publisher, e.group_seq, \
     EXISTS (SELECT FROM postings p WHERE p.event_seq = e.seq OFFSET 0), \
     EXISTS (SELECT FROM parked k WHERE k.event_seq = e.seq AND k.parked_at IS NOT NULL OFFSET 0) \
     FROM unnest($1::uuid[]) AS w (id) CROSS JOIN LATERAL \
     (SELECT e.id, e.seq, e.loan_key, e.publisher, e.group_seq FROM events e WHERE e.id = w.id OFFSET 0) AS e";

struct Named {
    seq: Seq,
    loan_key: LoanKey,
    publisher: PublisherId,
    group: Option<Seq>,
    is_finished: bool,
    is_parked: bool,
}

/// Sorts every wanted event that was not chosen into the lists of the batch.
pub(super) async fn settle(
    connection: &mut PgConnection,
    work: &PostWork,
    locked: &Locked,
    chosen: &Chosen,
    batch: &mut PostedBatch,
) -> Result<(), StoreError> {
    let events = chosen.loans.iter().flat_map(|loan| &loan.events);
    let taken: HashSet<EventId> = events.map(|event| event.event.id).collect();
    let mut others = Vec::new();
    for wanted in work.wanted.iter().filter(|wanted| !taken.contains(&wanted.id)) {
        let is_beyond = chosen.cut.get(&wanted.loan_key).is_some_and(|last| wanted.seq > *last);
        if is_beyond || locked.elsewhere.contains(&wanted.loan_key) {
            batch.left.push(wanted.id);
        } else {
            others.push(*wanted);
        }
    }
    let named = read_named(connection, &others).await?;
    for wanted in others {
        let is_held = locked.waits(&wanted.loan_key);
        match named.get(&wanted.id) {
            None => batch.unknown.push(wanted.id),
            Some(row) if row.loan_key != wanted.loan_key || row.seq != wanted.seq => batch.misnamed.push(wanted.id),
            Some(row) if row.is_finished => batch.already.push((wanted.id, row.publisher)),
            // A group does not wait with its loan: it is looked at, and refused.
            Some(Named { group: Some(group), .. }) => {
                batch.groups.insert(*group);
                batch.left.push(wanted.id);
            }
            Some(row) if row.is_parked || is_held => batch.held.push(wanted.id),
            Some(_) => batch.left.push(wanted.id),
        }
    }
    Ok(())
}

async fn read_named(connection: &mut PgConnection, wanted: &[Wanted]) -> Result<HashMap<EventId, Named>, StoreError> {
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<Uuid> = wanted.iter().map(|wanted| wanted.id.0).collect();
    let rows = sqlx::query(READ_NAMED).bind(ids).fetch_all(connection).await.map_err(classify)?;
    let named = rows.iter().map(|row| {
        let mut columns = Columns::of(row);
        let id = EventId(columns.take()?);
        let named = Named {
            seq: Seq(columns.take()?),
            loan_key: columns.loan_key()?,
            publisher: PublisherId(columns.take()?),
            group: columns.take::<Option<i64>>()?.map(Seq),
            is_finished: columns.take()?,
            is_parked: columns.take()?,
        };
        Ok((id, named))
    });
    named.collect()
}
