//! Owns posting without a broker: for commands that must leave finished work behind, such as `hpts demo`.

use std::sync::Arc;

use crate::core::event::NewEvent;
use crate::core::ids::PublisherId;
use crate::runtime::lifecycle::Lifecycle;
use crate::store::{Acceptance, Store, StoreError, Wanted};
use crate::worker::hand::Picked;
use crate::worker::posting::Poster;

/// The lane slot of commands; sharing it with a lane only makes one wait for the other.
const LANE_SLOT: i16 = 255;
/// The most events of one transaction.
const EVENTS_MAX: usize = 1_000;

/// Accepts one event and posts it, with whatever stands before it on its loan. Safe to repeat.
///
/// # Errors
/// Whatever the store says to the acceptance; posting waits for a database that is away.
pub async fn post_directly(store: &Arc<dyn Store>, lifecycle: &Lifecycle, event: NewEvent) -> Result<(), StoreError> {
    let (id, loan_key) = (event.id, event.loan_key);
    let acceptances = store.accept(PublisherId(uuid::Uuid::nil()), vec![event]).await?;
    let wanted = acceptances.into_iter().map(|acceptance| match acceptance {
        Acceptance::New { seq, .. } => Wanted { seq, id, loan_key },
        Acceptance::Known(known) => Wanted { seq: known.event.seq, id: known.event.event.id, loan_key },
    });
    let picked = Picked { wanted: wanted.collect(), suspect: false, events_max: EVENTS_MAX };
    let poster = Poster { store: Arc::clone(store), events_max: EVENTS_MAX, lifecycle: lifecycle.clone() };
    poster.post(picked, LANE_SLOT, None).await;
    Ok(())
}
