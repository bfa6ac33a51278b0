//! Owns `hpts parked`: events that could not be posted, and the loans that stand still.

use std::sync::Arc;

use clap::{Args, Subcommand};

use crate::cli::operation::{done, known_tenant, operation};
use crate::cli::serve::commands_log;
use crate::cli::{CliError, connect, parse_tenant};
use crate::core::event::{HoldOperation, UploadOperation};
use crate::core::ids::{EventId, TenantId};
use crate::core::ledger::{FoldInput, FoldOutput, RejectionCode};
use crate::runtime::clock::Clock;
use crate::runtime::config::Config;
use crate::store::{
    Fold, HoldChange, HoldRecord, NewUpload, OperationDone, PostWork, RowCounts, Store, UploadBegun, UploadEnd,
    UploadHold, WaitingEvent, WaitingFilter, Wanted,
};
use crate::worker::lane_fold;

/// The most that is listed of each; the oldest come first, and the next when they are settled.
const LIST_MAX: i64 = 10_000;

/// What can be done with parked events.
#[derive(Debug, Subcommand)]
pub(super) enum ParkedCommand {
    /// List the parked events, and the loans on hold: the first 10000 of each.
    List(ParkedList),
    /// Show a parked event.
    Show(ParkedEventArgs),
    /// Try a parked event again: its loan goes on, in order.
    Replay(ParkedChange),
    /// Never post a parked event: it is rejected as `discarded`. Its loan stays on hold until it is released.
    Discard(ParkedChange),
}

/// Whose.
#[derive(Args, Debug)]
pub(super) struct ParkedList {
    /// Of one tenant only.
    #[arg(long, value_parser = parse_tenant)]
    tenant: Option<TenantId>,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Which event.
#[derive(Args, Debug)]
pub(super) struct ParkedEventArgs {
    /// The event.
    #[arg(value_parser = parse_event)]
    event: EventId,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Which event, and why.
#[derive(Args, Debug)]
pub(super) struct ParkedChange {
    /// The event.
    #[arg(value_parser = parse_event)]
    event: EventId,
    /// Why; kept with the change.
    #[arg(long)]
    reason: String,
    /// Change nothing; say what would be done.
    #[arg(long)]
    dry_run: bool,
}

fn parse_event(text: &str) -> Result<EventId, String> {
    EventId::parse(text).map_err(|error| error.to_string())
}

/// `hpts parked …`.
pub(super) async fn parked(config: &Config, command: ParkedCommand) -> Result<(), CliError> {
    commands_log(config)?;
    let clock = Clock::system();
    let store = connect::current_store(config, &clock).await?;
    let shown = match command {
        ParkedCommand::List(ParkedList { tenant, json }) => list(&store, tenant, json).await,
        ParkedCommand::Show(ParkedEventArgs { event, json }) => {
            find(&store, event).await.map(|event| show(&event, json))
        }
        ParkedCommand::Replay(change) => replay(&store, &change, &clock).await,
        ParkedCommand::Discard(change) => discard(&store, &change, &clock).await,
    };
    store.close().await;
    print!("{}", shown?);
    Ok(())
}

async fn find(store: &Arc<dyn Store>, id: EventId) -> Result<WaitingEvent, CliError> {
    let mut found = store.waiting_events(None, WaitingFilter::ParkedEvent(id), 1).await?;
    found.pop().ok_or_else(|| CliError::Refused(format!("event {id} is not parked")))
}

async fn list(store: &Arc<dyn Store>, tenant: Option<TenantId>, json: bool) -> Result<String, CliError> {
    // One more than is shown says whether these are all.
    let asked = LIST_MAX.saturating_add(1);
    let parked = Listed::of(store.waiting_events(tenant, WaitingFilter::Parked, asked).await?);
    let holds = Listed::of(store.holds(tenant, asked).await?);
    if json {
        let has_more = parked.has_more || holds.has_more;
        let parked: Vec<_> = parked.shown.iter().map(event_json).collect();
        let holds: Vec<_> = holds.shown.iter().map(hold_json).collect();
        return Ok(format!("{}\n", serde_json::json!({ "parked": parked, "holds": holds, "has_more": has_more })));
    }
    let mut lines = vec![format!("{}, {}", parked.counted("parked events"), holds.counted("loans on hold"))];
    lines.extend(parked.shown.iter().map(|event| {
        let (at, reason) = failure_of(event);
        format!("parked  {at}  {}  {}  loan {}  {reason}", event.id, event.kind.as_str(), event.loan_id)
    }));
    lines.extend(holds.shown.iter().map(|hold| {
        let loan = hold.loan_id.map(|loan| loan.to_string()).unwrap_or_default();
        format!("{:6}  {}  loan {loan}  {} waiting  {}", hold.mode.as_str(), hold.held_at, hold.waiting, hold.reason)
    }));
    Ok(lines.join("\n") + "\n")
}

/// The first [`LIST_MAX`] of a list.
struct Listed<T> {
    shown: Vec<T>,
    has_more: bool,
}

impl<T> Listed<T> {
    fn of(mut found: Vec<T>) -> Self {
        let most = usize::try_from(LIST_MAX).unwrap_or(usize::MAX);
        let has_more = found.len() > most;
        found.truncate(most);
        Self { shown: found, has_more }
    }

    fn counted(&self, what: &str) -> String {
        let count = self.shown.len();
        if self.has_more { format!("the first {count} {what}, there are more") } else { format!("{count} {what}") }
    }
}

fn show(event: &WaitingEvent, json: bool) -> String {
    if json {
        return format!("{}\n", event_json(event));
    }
    let (at, reason) = failure_of(event);
    let attempts = event.failure.as_ref().map_or(0, |failure| failure.attempts);
    format!(
        "event {} ({}), number {}\ntenant {}, loan {}\naccepted {}\nparked {at} after {attempts} attempts\n{reason}\n",
        event.id,
        event.kind.as_str(),
        event.seq.0,
        event.tenant,
        event.loan_id,
        event.accepted_at,
    )
}

fn failure_of(event: &WaitingEvent) -> (String, &str) {
    let failure = event.failure.as_ref();
    let at = failure.and_then(|failure| failure.parked_at).map(|at| at.to_string()).unwrap_or_default();
    (at, failure.map_or("", |failure| failure.reason.as_str()))
}

fn event_json(event: &WaitingEvent) -> serde_json::Value {
    let (parked_at, reason) = failure_of(event);
    serde_json::json!({
        "event_id": event.id.to_string(), "seq": event.seq.0, "tenant_id": event.tenant.to_string(),
        "loan_id": event.loan_id.to_string(), "kind": event.kind.as_str(), "accepted_at": event.accepted_at.to_string(),
        "parked_at": parked_at, "reason": reason,
        "attempts": event.failure.as_ref().map_or(0, |failure| failure.attempts),
    })
}

fn hold_json(hold: &HoldRecord) -> serde_json::Value {
    serde_json::json!({
        "tenant_id": hold.tenant.to_string(), "loan_id": hold.loan_id.map(|loan| loan.to_string()),
        "mode": hold.mode.as_str(), "reason": hold.reason, "held_at": hold.held_at.to_string(),
        "waiting_events": hold.waiting,
    })
}

async fn replay(store: &Arc<dyn Store>, change: &ParkedChange, clock: &Clock) -> Result<String, CliError> {
    let event = find(store, change.event).await?;
    if change.dry_run {
        return Ok(format!("event {} would be tried again, and loan {} go on\n", event.id, event.loan_id));
    }
    let tenant = known_tenant(store, event.tenant).await?;
    let asked = HoldOperation::Release { loan_id: event.loan_id, reason: change.reason.clone() };
    let operation = operation(&tenant, UploadOperation::Hold(asked), clock)?;
    let (reason, answer) = (change.reason.clone(), answer(&event, "released")?);
    let change = HoldChange { operation, loan_key: event.loan_key, mode: None, reason, answer };
    let (end, goes_on) = store.change_hold(change).await?;
    done(&end)?;
    Ok(format!("event {} is tried again: {} events of loan {} go on\n", event.id, goes_on.len(), event.loan_id))
}

fn answer(event: &WaitingEvent, resolution: &str) -> Result<Vec<u8>, CliError> {
    let answer = serde_json::json!({ "event_id": event.id.to_string(), "resolution": resolution });
    Ok(serde_json::to_vec(&answer)?)
}

/// Who discards it and why is written first: cut off behind that, the event is still parked, and is discarded again.
async fn discard(store: &Arc<dyn Store>, change: &ParkedChange, clock: &Clock) -> Result<String, CliError> {
    let event = find(store, change.event).await?;
    if change.dry_run {
        return Ok(format!("event {} of loan {} would be discarded\n", event.id, event.loan_id));
    }
    let tenant = known_tenant(store, event.tenant).await?;
    let asked = HoldOperation::Discard { event_id: event.id, reason: change.reason.clone() };
    let operation = operation(&tenant, UploadOperation::Hold(asked), clock)?;
    done(&write_down(store, operation, answer(&event, "discarded")?).await?)?;
    let wanted = vec![Wanted { seq: event.seq, id: event.id, loan_key: event.loan_key }];
    let work =
        PostWork { wanted, events_max: 1, per_loan_max: 1, lane_slot: 0, skip_locked: false, despite_hold: true };
    let batch = store.post_batch(work, discarding(event.id)).await?;
    if batch.posted.iter().any(|(posted, _)| posted.event.id == event.id) {
        Ok(format!("event {} is discarded; release loan {} to let it go on\n", event.id, event.loan_id))
    } else {
        Err(CliError::Refused(format!("event {} is not the first that its loan waits for", event.id)))
    }
}

async fn write_down(store: &Arc<dyn Store>, operation: NewUpload, answer: Vec<u8>) -> Result<OperationDone, CliError> {
    let holder = operation.holder;
    let record = match store.begin_upload(operation).await? {
        UploadBegun::New(record) | UploadBegun::Resumed(record) => record,
        known @ (UploadBegun::Busy(_)
        | UploadBegun::Complete(_)
        | UploadBegun::Taken(_)
        | UploadBegun::FileTaken(_)
        | UploadBegun::OtherFile(_)) => return Ok(OperationDone::Known(known)),
    };
    let end = UploadEnd { rows: RowCounts::default(), fingerprint: [0; 32], answer };
    store.finish_upload(UploadHold { id: record.id, holder }, end).await?;
    Ok(OperationDone::Done(record.id))
}

/// Refuses this event, and touches no other.
fn discarding(id: EventId) -> Fold {
    let fold = lane_fold();
    Arc::new(move |mut input: FoldInput| {
        for loan in &mut input.loans {
            loan.past.refusal = Some(RejectionCode::Discarded);
        }
        input.loans.retain(|loan| loan.events.iter().all(|event| event.event.id == id));
        if input.loans.is_empty() { FoldOutput::default() } else { fold(input) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_was_cut_says_so() {
        let whole = Listed::of(vec![(); 10_000]);
        assert_eq!((whole.counted("parked events"), whole.has_more), ("10000 parked events".to_owned(), false));
        let cut = Listed::of(vec![(); 10_001]);
        let told = "the first 10000 parked events, there are more";
        assert_eq!((cut.counted("parked events"), cut.shown.len(), cut.has_more), (told.to_owned(), 10_000, true));
    }
}
