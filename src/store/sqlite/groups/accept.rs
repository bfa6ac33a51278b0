//! Owns the acceptance of a group.

use sqlx::SqliteConnection;

use crate::core::event::{NewEvent, NewGroup};
use crate::core::ids::{EventId, LoanKey, PublisherId, Seq};
use crate::core::time::Timestamp;
use crate::store::sqlite::accept::{insert, known_events, raise_totals};
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::rows::{broken, bytes, get, id};
use crate::store::{Acceptance, GroupAcceptance, StoreError, Wanted};

/// The first leg of a group that was accepted before.
pub(in crate::store::sqlite) const FIRST_LEG: &str =
    "SELECT e.seq, e.id, e.loan_key FROM events AS e WHERE e.group_seq = ?1 AND e.leg = 1";

/// Accepts a group; see [`crate::store::Store::accept_group`].
pub(in crate::store::sqlite) async fn accept(
    db: &mut SqliteConnection,
    publisher: PublisherId,
    group: NewGroup,
    now: Timestamp,
) -> Result<GroupAcceptance, StoreError> {
    let (parent, _) = insert(db, (publisher, now), std::slice::from_ref(&group.parent)).await?;
    let Some(seq) = parent.get(&group.parent.id).copied() else {
        return known(db, &group.parent).await;
    };
    let legs = group.legs_at(seq);
    let (numbered, totals) = insert(db, (publisher, now), &legs).await?;
    if numbered.len() != legs.len() {
        return Err(broken("a leg's key is taken"));
    }
    raise_totals(db, publisher, totals, &legs.iter().collect::<Vec<_>>()).await?;
    Ok(GroupAcceptance::New { seq, accepted_at: now, first_leg: first_leg(db, seq).await? })
}

async fn first_leg(db: &mut SqliteConnection, group: Seq) -> Result<Wanted, StoreError> {
    let row = sqlx::query(FIRST_LEG).bind(group.0).fetch_one(db).await.map_err(store_error)?;
    let loan_key = LoanKey::from_bytes(bytes(&row, "loan_key")?);
    Ok(Wanted { seq: Seq(get(&row, "seq")?), id: EventId(id(&row, "id")?), loan_key })
}

/// What stands under a parent's key: its own row, in a call whose outcome was unknown, or another event's.
async fn known(db: &mut SqliteConnection, parent: &NewEvent) -> Result<GroupAcceptance, StoreError> {
    let known = known_events(db, &[parent]).await?.remove(&parent.key_hash);
    let known = known.ok_or_else(|| broken("a key is taken by no event"))?;
    match Acceptance::of_known(parent, known)? {
        Acceptance::New { seq, accepted_at } => {
            Ok(GroupAcceptance::New { seq, accepted_at, first_leg: first_leg(db, seq).await? })
        }
        Acceptance::Known(known) => Ok(GroupAcceptance::Known(known)),
    }
}
