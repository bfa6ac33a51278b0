//! Owns the reads of a batch: which events it posts, fair by loan.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection};

use crate::core::event::AcceptedEvent;
use crate::core::ids::{LoanKey, Seq, TenantId};
use crate::core::ledger::{Earlier, FeeBook, History, LoanWork, Past, Receipts, RejectionCode};
use crate::store::calendars::Calendars;
use crate::store::past::Asking;
use crate::store::sqlite::params::{Hex, json, seqs};
use crate::store::sqlite::post::earlier;
use crate::store::sqlite::post::loans::LockedLoan;
use crate::store::sqlite::post::sort::Sorted;
use crate::store::sqlite::rows::{Columns as _, EVENT_COLUMNS, Packed, PackedRow, decode_event, int, packed_event};
use crate::store::{PostWork, StoreError};

/// The next unposted events of each loan, at most ?2 a loan, packed. The inner select runs once per loan, along the index
/// `events_loan_seq`, and stops at its limit: a long backlog is never read whole.
/// `+ 0` hides the limit from the planner, which would otherwise plan anew for every value.
pub(in crate::store::sqlite) const UNPOSTED_EVENTS: &str = concat!(
    "SELECT json_group_array(json_array(",
    packed_event!(),
    ", k.attempts, (SELECT version FROM calendar_version))) FROM jsonb_each(?1) AS wanted
    JOIN json_each((
        SELECT json_group_array(seq) FROM (
            SELECT waiting.seq FROM events AS waiting
            WHERE waiting.loan_key = unhex(wanted.value ->> 'loan_key') AND waiting.seq > wanted.value ->> 'after'
                AND waiting.slot IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM postings AS p WHERE p.event_seq = waiting.seq)
            ORDER BY waiting.seq LIMIT ?2 + 0))) AS place
    JOIN events AS e ON e.seq = place.value
    LEFT JOIN parked AS k ON k.event_seq = e.seq"
);

/// Named events, unposted as far as the transaction has seen, packed.
pub(in crate::store::sqlite) const EVENTS_OF_SEQS: &str = concat!(
    "SELECT json_group_array(json_array(",
    packed_event!(),
    ", k.attempts, (SELECT version FROM calendar_version))) FROM jsonb_each(?1) AS wanted
    JOIN events AS e ON e.seq = wanted.value
    LEFT JOIN parked AS k ON k.event_seq = e.seq"
);

/// Rounds of sharing out the batch. A round leaves something only while some loans have more events than their share
/// and others fewer; what the last one leaves waits for the next batch.
const ROUNDS_MAX: usize = 4;

/// The events of a batch.
#[derive(Debug, Default)]
pub(in crate::store::sqlite) struct BatchEvents {
    /// By loan, in order of acceptance.
    pub(in crate::store::sqlite) events: BTreeMap<LoanKey, Vec<AcceptedEvent>>,
    /// Of them those that failed before.
    pub(in crate::store::sqlite) failed_before: Vec<Seq>,
    /// Groups whose legs stand behind them.
    pub(in crate::store::sqlite) groups: BTreeSet<Seq>,
    /// The number of the last change of any calendar.
    pub(in crate::store::sqlite) calendar_version: i64,
}

impl BatchEvents {
    /// Its loans, as they stand, with their events.
    pub(in crate::store::sqlite) fn asking<'b>(
        &'b self,
        loans: &'b BTreeMap<LoanKey, LockedLoan>,
    ) -> impl Iterator<Item = Asking<'b>> + Send {
        let state = |key: &LoanKey| loans.get(key).and_then(|loan| loan.state.as_ref());
        self.events.iter().map(move |(key, events)| Asking { key: *key, state: state(key), events })
    }

    pub(super) fn take(&mut self, row: &PackedRow<'_>) -> Result<(LoanKey, Seq), StoreError> {
        let event = decode_event(row)?;
        let place = (event.event.loan_key, event.seq);
        if row.optional_int("attempts")?.is_some() {
            self.failed_before.push(event.seq);
        }
        self.calendar_version = int(row, "calendar_version")?;
        self.events.entry(place.0).or_default().push(event);
        Ok(place)
    }

    /// No loan goes past an unposted leg: it is posted with its group.
    fn stop_at_legs(&mut self) {
        for events in self.events.values_mut() {
            if let Some(leg) = events.iter().position(|event| event.event.origin.group.is_some()) {
                self.groups.extend(events.get(leg).and_then(|leg| leg.event.origin.group).map(|group| group.group_seq));
                events.truncate(leg);
            }
        }
        self.events.retain(|_, events| !events.is_empty());
    }

    /// Whose events they are.
    pub(super) fn tenants(&self) -> BTreeSet<TenantId> {
        self.events.values().filter_map(|events| tenant_of(events)).collect()
    }

    fn taken(&self, loan: LoanKey) -> usize {
        self.events.get(&loan).map_or(0, Vec::len)
    }
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Queue {
    loan_key: Hex<16>,
    after: Seq,
    #[serde(skip)]
    key: LoanKey,
}

impl Queue {
    /// A loan's unposted events after a place.
    pub(super) fn new(key: LoanKey, after: Seq) -> Self {
        Self { loan_key: Hex(key.bytes()), after, key }
    }
}

/// Loans share the batch: nobody gets a second event before everybody who waits got a first.
pub(super) async fn unposted_events(
    db: &mut SqliteConnection,
    work: &PostWork,
    sorted: &Sorted,
    loans: &BTreeMap<LoanKey, LockedLoan>,
) -> Result<BatchEvents, StoreError> {
    let mut batch = BatchEvents::default();
    let mut budget = overtaken_events(db, work, sorted, loans, &mut batch).await?;
    // In the order of the messages, so that no loan is always the last.
    let mut seen = HashSet::new();
    let is_absent = |key: &LoanKey| loans.get(key).is_none_or(LockedLoan::is_absent);
    let in_order = sorted.loans().filter(|key| !is_absent(key) && seen.insert(*key));
    let mut queues: Vec<Queue> = in_order
        .map(|key| {
            let state = loans.get(&key).and_then(|loan| loan.state.as_ref());
            Queue::new(key, state.map_or(Seq(0), |state| state.last_posted_seq))
        })
        .collect();
    for _round in 0..ROUNDS_MAX {
        queues.retain(|queue| batch.taken(queue.key) < work.per_loan_max);
        queues.truncate(budget);
        let Some(share) = budget.checked_div(queues.len()) else { break };
        let share = share.min(work.per_loan_max);
        budget = budget.saturating_sub(round(db, &mut queues, share, &mut batch).await?);
    }
    Ok(batch)
}

/// Reads the earlier events that those of a batch name, and puts the batch in order. Where one of them is not posted yet
/// it comes along.
pub(super) async fn with_earlier(
    db: &mut SqliteConnection,
    work: &PostWork,
    batch: &mut BatchEvents,
) -> Result<BTreeMap<LoanKey, Earlier>, StoreError> {
    let earlier = earlier::read(db, batch).await?;
    for events in batch.events.values_mut() {
        events.sort_unstable_by_key(|event| event.seq);
        events.truncate(work.per_loan_max);
    }
    batch.stop_at_legs();
    Ok(earlier)
}

/// Runs [`UNPOSTED_EVENTS`] or [`EVENTS_OF_SEQS`].
pub(super) async fn packed_events(
    db: &mut SqliteConnection,
    query: Query<'_, Sqlite, SqliteArguments>,
) -> Result<Packed, StoreError> {
    Packed::fetch(db, query, &[EVENT_COLUMNS, &["attempts", "calendar_version"]]).await
}

/// One round: every queue gives at most `share`; those that gave less are empty and leave. Answers what was given.
async fn round(
    db: &mut SqliteConnection,
    queues: &mut Vec<Queue>,
    share: usize,
    batch: &mut BatchEvents,
) -> Result<usize, StoreError> {
    let limit = i64::try_from(share).unwrap_or(i64::MAX);
    let query = sqlx::query(UNPOSTED_EVENTS).bind(json(queues)?).bind(limit);
    let packed = packed_events(db, query).await?;
    let rows = packed.rows()?;
    let mut given: BTreeMap<LoanKey, (usize, Seq)> = BTreeMap::new();
    for row in &rows {
        let (key, seq) = batch.take(row)?;
        let (count, last) = given.entry(key).or_default();
        *count = count.saturating_add(1);
        *last = seq.max(*last);
    }
    queues.retain_mut(|queue| match given.get(&queue.key) {
        Some((count, last)) if *count >= share => {
            queue.after = *last;
            true
        }
        Some(_) | None => false,
    });
    Ok(rows.len())
}

/// Wanted events that the drain does not see: a later one of their loan has overtaken them, or there is no loan. They
/// come first, and answers how many more events the batch can take.
async fn overtaken_events(
    db: &mut SqliteConnection,
    work: &PostWork,
    sorted: &Sorted,
    loans: &BTreeMap<LoanKey, LockedLoan>,
    batch: &mut BatchEvents,
) -> Result<usize, StoreError> {
    let is_overtaken = |loan: LoanKey, seq: Seq| {
        let loan = loans.get(&loan);
        let state = loan.and_then(|loan| loan.state.as_ref());
        loan.is_none_or(LockedLoan::is_absent) || state.is_some_and(|state| seq <= state.last_posted_seq)
    };
    let mut overtaken: Vec<Seq> =
        sorted.to_post.iter().filter(|event| is_overtaken(event.loan_key, event.seq)).map(|event| event.seq).collect();
    if overtaken.is_empty() {
        return Ok(work.events_max);
    }
    overtaken.sort_unstable();
    overtaken.truncate(work.events_max);
    let packed = packed_events(db, sqlx::query(EVENTS_OF_SEQS).bind(seqs(overtaken)?)).await?;
    let rows = packed.rows()?;
    for row in &rows {
        batch.take(row)?;
    }
    for events in batch.events.values_mut() {
        events.sort_unstable_by_key(|event| event.seq);
        events.truncate(work.per_loan_max);
    }
    Ok(work.events_max.saturating_sub(rows.len()))
}

/// Whose loan it is: that of all its events.
fn tenant_of(events: &[AcceptedEvent]) -> Option<TenantId> {
    events.first().map(|event| event.event.tenant)
}

/// What the loans' events need of their past.
#[derive(Debug, Default)]
pub(super) struct Pasts {
    pub(super) histories: BTreeMap<LoanKey, History>,
    pub(super) earlier: BTreeMap<LoanKey, Earlier>,
    pub(super) fees: BTreeMap<LoanKey, FeeBook>,
    pub(super) receipts: BTreeMap<LoanKey, Receipts>,
    pub(super) calendars: Calendars,
}

/// The fold's input, in key order.
pub(super) fn loan_works(
    events: BTreeMap<LoanKey, Vec<AcceptedEvent>>,
    mut pasts: Pasts,
    loans: &BTreeMap<LoanKey, LockedLoan>,
) -> Vec<LoanWork> {
    events
        .into_iter()
        .map(|(key, events)| {
            let loan = loans.get(&key);
            let calendar =
                tenant_of(&events).and_then(|tenant| pasts.calendars.get(&tenant)).cloned().unwrap_or_default();
            LoanWork {
                key,
                state: loan.and_then(|loan| loan.state),
                number_taken: loan.is_some_and(|loan| loan.number_taken),
                past: Past {
                    history: pasts.histories.remove(&key),
                    earlier: pasts.earlier.remove(&key).unwrap_or_default(),
                    fees: pasts.fees.remove(&key),
                    receipts: pasts.receipts.remove(&key),
                    late_fees: None,
                    accruals: None,
                    calendar,
                    view: None,
                    refusal: loan.filter(|loan| loan.refuses).map(|_| RejectionCode::LoanOnHold),
                },
                events,
            }
        })
        .collect()
}
