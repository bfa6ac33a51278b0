//! Owns the second phase: which events this batch posts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::PgConnection;
use uuid::Uuid;

use super::earlier;
use super::lock::Locked;
use crate::core::event::{AcceptedEvent, Command};
use crate::core::ids::{LoanKey, Seq, TenantId};
use crate::core::ledger::{Earlier, LoanWork, Past, RejectionCode};
use crate::core::money::Minor;
use crate::core::time::Timestamp;
use crate::store::calendars::{CalendarCache, Calendars};
use crate::store::postgres::error::classify;
use crate::store::postgres::periods::{self, calendar_version};
use crate::store::postgres::rows::{self, Columns, event_columns, key_column};
use crate::store::{PostWork, StoreError, Wanted};

/// What a loan may bring beyond its fair share, so that small loans go in one piece.
const SHARE_SPARE: usize = 8;

/// Says that an event of `events AS e` has no posting. OFFSET 0 keeps a look by key a look by key, whatever the planner
/// knows of the tables.
macro_rules! unposted {
    () => {
        " AND NOT EXISTS (SELECT FROM postings p WHERE p.event_seq = e.seq OFFSET 0)"
    };
}

/// Reads (a) the next events of each locked loan, walking `(loan_key, seq)` from the loan's mark and stopping after
/// `$3`, and (b) named events at or below the mark, which were numbered before and committed after others were posted.
/// About 3 microseconds an event: one index step and one row.
macro_rules! read_events {
    ($drained:expr) => {
        concat!(
            "SELECT ",
            event_columns!(),
            ", (SELECT clock_timestamp()), ",
            calendar_version!(),
            " FROM unnest($1::uuid[], $2::bigint[]) AS l (loan_key, mark) CROSS JOIN LATERAL (SELECT ",
            event_columns!(),
            " FROM events e WHERE e.loan_key = l.loan_key AND e.seq > l.mark AND e.slot IS NOT NULL",
            $drained,
            " ORDER BY e.seq LIMIT $3) AS e UNION ALL SELECT ",
            event_columns!(),
            ", (SELECT clock_timestamp()), ",
            calendar_version!(),
            " FROM unnest($4::bigint[]) AS n (seq) CROSS JOIN LATERAL (SELECT ",
            event_columns!(),
            " FROM events e WHERE e.seq = n.seq AND e.slot IS NOT NULL",
            unposted!(),
            " OFFSET 0) AS e"
        )
    };
}

/// Of the events above the mark of a loan that has one none is posted, unless somebody discarded one that was parked. So
/// the first try does not look, which saves a microsecond an event; should it have read a posted one, the postings' key
/// refuses it.
pub(in crate::store::postgres) const READ_EVENTS: &str = read_events!("");

/// The same for another try, and for loans whose events may have been rejected before they opened: looks into the
/// postings' key for each event.
pub(in crate::store::postgres) const READ_UNPOSTED_EVENTS: &str = read_events!(unposted!());

/// What the batch posts.
#[derive(Default)]
pub(super) struct Chosen {
    /// The database's clock; `None` when nothing was read.
    pub(super) now: Option<Timestamp>,
    /// The loans with their events, without histories and fees.
    pub(super) loans: Vec<LoanWork>,
    /// Loans that have more events than were chosen, with the last one chosen.
    pub(super) cut: HashMap<LoanKey, Seq>,
    /// Groups whose legs stand behind what was chosen.
    pub(super) groups: BTreeSet<Seq>,
}

/// Chooses the events.
pub(super) async fn read(
    connection: &mut PgConnection,
    work: &PostWork,
    locked: &Locked,
    cache: &CalendarCache,
) -> Result<Chosen, StoreError> {
    let marks = marks(locked);
    let named = named(work, locked, &marks);
    if marks.is_empty() && named.is_empty() {
        return Ok(Chosen::default());
    }
    let share = share(work, marks.len());
    // A lane that was refused comes again without waiting for locks.
    let is_careful = work.skip_locked || marks.values().any(|mark| *mark == Seq(0));
    let mut read = read_events(connection, is_careful, &marks, (share, &named)).await?;
    if !is_careful && read.events.iter().any(|event| event.event.origin.group.is_some()) {
        // A refused leg is finished above the mark, which it leaves where it is.
        read = read_events(connection, true, &marks, (share, &named)).await?;
    }
    let ReadEvents { events, now, version } = read;
    let mut by_loan: BTreeMap<LoanKey, Vec<AcceptedEvent>> = BTreeMap::new();
    for event in events {
        let is_drained = marks.get(&event.event.loan_key).is_some_and(|mark| event.seq > *mark);
        // A message may name a number that belongs to another event; it is settled as misnamed.
        if is_drained || named.get(&event.seq).is_some_and(|wanted| is_named(wanted, &event)) {
            by_loan.entry(event.event.loan_key).or_default().push(event);
        }
    }
    let mut earlier = earlier::read(connection, &mut by_loan).await?;
    let (cut, groups) = limit(work, share, locked, &mut by_loan);
    let tenants = by_loan.values().filter_map(|events| tenant_of(events)).collect();
    let calendars = periods::calendars(connection, cache, version, &tenants).await?;
    let loans = by_loan.into_iter().map(|(key, events)| {
        let earlier = earlier.remove(&key).unwrap_or_default();
        loan_work(locked, key, events, (earlier, &calendars))
    });
    Ok(Chosen { now, loans: loans.collect(), cut, groups })
}

/// What was read, in the order of the statement.
struct ReadEvents {
    events: Vec<AcceptedEvent>,
    /// `None` when nothing was read.
    now: Option<Timestamp>,
    /// The number of the last change of any calendar.
    version: i64,
}

async fn read_events(
    connection: &mut PgConnection,
    is_careful: bool,
    marks: &BTreeMap<LoanKey, Seq>,
    (share, named): (usize, &HashMap<Seq, Wanted>),
) -> Result<ReadEvents, StoreError> {
    let query = sqlx::query(if is_careful { READ_UNPOSTED_EVENTS } else { READ_EVENTS })
        .bind(marks.keys().copied().map(key_column).collect::<Vec<Uuid>>())
        .bind(marks.values().map(|mark| mark.0).collect::<Vec<_>>())
        .bind(i64::try_from(share).unwrap_or(i64::MAX))
        .bind(named.keys().map(|seq| seq.0).collect::<Vec<_>>());
    let rows = query.fetch_all(connection).await.map_err(classify)?;
    let mut read = ReadEvents { events: Vec::with_capacity(rows.len()), now: None, version: 0 };
    for row in &rows {
        let mut columns = Columns::of(row);
        read.events.push(rows::event(&mut columns)?);
        read.now = Some(columns.instant()?);
        read.version = columns.take()?;
    }
    Ok(read)
}

fn is_named(wanted: &Wanted, event: &AcceptedEvent) -> bool {
    wanted.id == event.event.id && wanted.loan_key == event.event.loan_key
}

/// From where on each loan is drained. A loan whose number is taken has no row, and its events are finished with it.
fn marks(locked: &Locked) -> BTreeMap<LoanKey, Seq> {
    let loans = locked.loans.iter().filter(|(key, _)| !locked.waits(key));
    let marks = loans.map(|(key, loan)| (*key, loan.state.last_posted_seq));
    marks.chain(locked.number_taken.iter().map(|key| (*key, Seq(0)))).collect()
}

/// The named events that the drain does not see: at or below the mark, or without a loan.
fn named(work: &PostWork, locked: &Locked, marks: &BTreeMap<LoanKey, Seq>) -> HashMap<Seq, Wanted> {
    let below = work.wanted.iter().filter(|wanted| {
        let mark = marks.get(&wanted.loan_key);
        mark.is_some_and(|mark| wanted.seq <= *mark) || locked.absent.contains(&wanted.loan_key)
    });
    below.map(|wanted| (wanted.seq, *wanted)).collect()
}

/// How many events of one loan are read: twice its fair share, so that loans of unequal backlog still fill a batch.
fn share(work: &PostWork, loans: usize) -> usize {
    let fair = work.events_max.checked_div(loans).unwrap_or(work.events_max);
    let share = fair.saturating_mul(2).saturating_add(SHARE_SPARE);
    share.min(work.per_loan_max).min(work.events_max).max(1)
}

/// Sorts each loan's events and cuts them to what the batch takes, always to a prefix and in front of a leg. Answers
/// what was cut, and the groups of those legs.
fn limit(
    work: &PostWork,
    share: usize,
    locked: &Locked,
    by_loan: &mut BTreeMap<LoanKey, Vec<AcceptedEvent>>,
) -> (HashMap<LoanKey, Seq>, BTreeSet<Seq>) {
    let mut full: BTreeSet<LoanKey> = BTreeSet::new();
    let mut groups = BTreeSet::new();
    for (key, events) in by_loan.iter_mut() {
        events.sort_unstable_by_key(|event| event.seq);
        events.dedup_by_key(|event| event.seq);
        if events.len() >= share {
            full.insert(*key);
        }
        let end = if locked.opened.contains(key) || locked.number_taken.contains(key) {
            sure_of_its_row(locked, *key, events)
        } else {
            events.len()
        };
        let leg = events.iter().position(|event| event.event.origin.group.is_some());
        groups.extend(leg.and_then(|leg| events.get(leg)?.event.origin.group).map(|group| group.group_seq));
        let end = end.min(work.per_loan_max.max(1)).min(leg.unwrap_or(end));
        if end < events.len() {
            events.truncate(end);
            full.insert(*key);
        }
    }
    share_out(work.events_max.max(1), by_loan, &mut full);
    let last = |key: &LoanKey| by_loan.get(key).and_then(|events| events.last()).map_or(Seq(0), |event| event.seq);
    let cut = full.into_iter().map(|key| (key, last(&key))).collect();
    by_loan.retain(|_, events| !events.is_empty());
    (cut, groups)
}

/// A loan's row is made from its first opening event. Where that event is refused, the next one waits for another
/// batch, which makes the row anew from that event's own terms.
fn sure_of_its_row(locked: &Locked, key: LoanKey, events: &[AcceptedEvent]) -> usize {
    let mut openings = events.iter().enumerate().filter(|(_, event)| event.event.command.opens_loan());
    let first_refused = openings.next().is_some_and(|(_, first)| cannot_open(&first.event.command));
    let next = openings.next().map_or(events.len(), |(index, _)| index);
    if first_refused || locked.number_taken.contains(&key) { next } else { events.len() }
}

/// Whether no loan opens with this: balances that have no sum, or cash against an account of loans. Every other opening event opens an absent loan.
fn cannot_open(command: &Command) -> bool {
    match command {
        Command::LoanOpening(opening) => {
            let owed = opening.opening_balances;
            Minor::sum([owed.fees, owed.interest, owed.principal]).is_err()
        }
        Command::BankSettlement(settlement) => settlement.account.is_of_loans(),
        Command::Disbursement(_)
        | Command::Payment(_)
        | Command::PaymentReturn(_)
        | Command::Fee(_)
        | Command::Servicing(_)
        | Command::Receipt(_)
        | Command::Upload(_)
        | Command::Group(_)
        | Command::Leg(_) => false,
    }
}

/// Cuts to `events_max` in all: first of every loan, then second of every loan, and so on.
fn share_out(events_max: usize, by_loan: &mut BTreeMap<LoanKey, Vec<AcceptedEvent>>, full: &mut BTreeSet<LoanKey>) {
    let total: usize = by_loan.values().map(Vec::len).sum();
    if total <= events_max {
        return;
    }
    let ranked =
        by_loan.iter().flat_map(|(key, events)| events.iter().enumerate().map(|(rank, event)| (rank, event.seq, *key)));
    let mut ranked: Vec<(usize, Seq, LoanKey)> = ranked.collect();
    ranked.sort_unstable();
    let mut taken: HashMap<LoanKey, usize> = HashMap::new();
    for (_, _, key) in ranked.into_iter().take(events_max) {
        let count = taken.entry(key).or_default();
        *count = count.saturating_add(1);
    }
    for (key, events) in by_loan.iter_mut() {
        let count = taken.get(key).copied().unwrap_or(0);
        if count < events.len() {
            events.truncate(count);
            full.insert(*key);
        }
    }
}

/// Whose loan it is: that of all its events.
fn tenant_of(events: &[AcceptedEvent]) -> Option<TenantId> {
    events.first().map(|event| event.event.tenant)
}

fn loan_work(
    locked: &Locked,
    key: LoanKey,
    events: Vec<AcceptedEvent>,
    (earlier, calendars): (Earlier, &Calendars),
) -> LoanWork {
    let calendar = tenant_of(&events).and_then(|tenant| calendars.get(&tenant)).cloned().unwrap_or_default();
    let refusal = locked.refusing.contains(&key).then_some(RejectionCode::LoanOnHold);
    LoanWork {
        key,
        state: locked.loans.get(&key).map(|loan| loan.state),
        number_taken: locked.number_taken.contains(&key),
        past: Past { earlier, calendar, refusal, ..Past::default() },
        events,
    }
}
