//! Owns the results on their way back: grouped by the process that accepted the event, as its row says.

use std::collections::HashMap;
use std::sync::Arc;

use crate::broker::{Broker, Reply};
use crate::core::event::AcceptedEvent;
use crate::core::ids::{EventId, PublisherId, Seq};
use crate::core::ledger::{Finished, Posting, RESULTS_MAX, Results};
use crate::runtime::telemetry::chain;

/// Sends the results of what was posted. Rows of uploads and legs are left out: nobody waits for a row, and who brought a
/// group waits for its parent.
///
/// `restates` says which of them may have restated earlier events: who answers looks for those.
pub(super) async fn send<'a>(
    broker: &Arc<dyn Broker>,
    posted: impl Iterator<Item = (&'a AcceptedEvent, &'a Posting)>,
    restates: impl Fn(Seq) -> bool,
) {
    let mut by_publisher: HashMap<PublisherId, Vec<(EventId, Finished)>> = HashMap::new();
    for (event, posting) in posted.filter(|(event, _)| !event.event.is_bulk() && event.event.origin.group.is_none()) {
        let finished = Finished::of(&event.event, posting);
        let may_restate = finished.may_restate && restates(event.seq);
        let finished = Finished { may_restate, ..finished };
        by_publisher.entry(event.event.publisher).or_default().push((event.event.id, finished));
    }
    let mut replies = Vec::new();
    for (publisher, results) in by_publisher {
        let groups = results.chunks(RESULTS_MAX);
        replies.extend(groups.map(|group| Reply { publisher, payload: Results::new(group.to_vec()).to_bytes() }));
    }
    if replies.is_empty() {
        return;
    }
    if let Err(error) = broker.reply(replies).await {
        // The waiting room asks the store.
        tracing::debug!(error = chain(&error), "results could not be sent");
    }
}
