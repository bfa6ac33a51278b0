//! Owns the transaction that posts a group: read, look ahead, fold, write.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::SqliteConnection;

use crate::core::event::AcceptedEvent;
use crate::core::ids::{LoanKey, Seq};
use crate::core::ledger::{
    Calendar, Earlier, GroupInput, GroupOutput, LegWork, LoanWork, Past, Posting, RejectionCode,
};
use crate::core::money::Minor;
use crate::core::time::Timestamp;
use crate::runtime::clock::Stopwatch;
use crate::store::calendars::CalendarCache;
use crate::store::past::{read_accruals, read_histories};
use crate::store::sqlite::error::store_error;
use crate::store::sqlite::groups::look::{GroupRows, group_rows, in_front, unfinished};
use crate::store::sqlite::params::{json, loan_keys};
use crate::store::sqlite::periods::calendars as calendars_of;
use crate::store::sqlite::post::{
    BatchEvents, HELD_LOANS, LockedLoan, Sorted, ToPost, delete_unopened, fees_of_batch, lock_loans, read_earlier,
    unpark, write_legs, write_marks, write_terms,
};
use crate::store::sqlite::rows::{broken, bytes};
use crate::store::{GroupFold, GroupProgress, GroupWork, PhaseTimes, PostedBatch, StoreError, Wanted, is_restating};

/// The posting of a parent: no loan, no lines. The loans that a group was refused for stand in its answer.
pub(in crate::store::sqlite) const POST_PARENT: &str = "
    INSERT INTO postings (event_seq, loan_key, outcome, rejection_code, accounts, amounts, layer, alloc_fees,
        alloc_interest, alloc_principal, alloc_suspense, effective_date, booking_date, posted_at, answer)
    SELECT seq, loan_key, ?2, ?3, '[]', '[]', 'SETTLED', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 FROM events WHERE seq = ?1";

type Loans = BTreeMap<LoanKey, LockedLoan>;

/// Posts a group; see [`crate::store::Store::post_group`].
pub(in crate::store::sqlite) async fn post(
    db: &mut SqliteConnection,
    work: GroupWork,
    fold: GroupFold,
    (calendars, now): (&CalendarCache, Timestamp),
) -> Result<GroupProgress, StoreError> {
    let mut watch = Stopwatch::start();
    let mut times = PhaseTimes::default();
    let Some(version) = unfinished(db, work.group).await? else {
        return Ok(GroupProgress::Already);
    };
    let group = group_rows(db, work.group).await?;
    let loans = lock_loans(db, &sorted(&group)).await?;
    let mut held = held_loans(db, &group).await?;
    held.extend(loans.iter().filter(|(_, loan)| loan.refuses).map(|(key, _)| *key));
    times.lock = watch.lap();
    if work.refusal.is_none() && held.is_empty() {
        let front = in_front(db, &group, &marks(&loans)).await?;
        if !front.groups.is_empty() || !front.events.is_empty() {
            delete_unopened(db, &[], &loans).await?;
            let groups = front.groups.into_iter().collect();
            return Ok(GroupProgress::Behind { groups, events: front.events });
        }
    }
    let events = group.legs.iter().map(|leg| (leg.event.loan_key, vec![leg.clone()])).collect();
    let mut named = BatchEvents { events, ..BatchEvents::default() };
    let earlier = read_earlier(db, &mut named).await?;
    let late = named
        .events
        .values()
        .flatten()
        .filter(|event| event.event.origin.group.map(|it| it.group_seq) != Some(work.group));
    let late: Vec<Wanted> = late.map(wanted).collect();
    if !late.is_empty() {
        // What a leg names was committed late, and nobody has posted it yet.
        delete_unopened(db, &[], &loans).await?;
        return Ok(GroupProgress::Behind { groups: Vec::new(), events: late });
    }
    let tenant = group.parent.event.tenant;
    let calendar = calendars_of(db, calendars, version, &BTreeSet::from([tenant])).await?.remove(&tenant);
    let pasts = Pasts { held, earlier, calendar: calendar.unwrap_or_default() };
    let input = input(db, &group, &loans, pasts, (work, now)).await?;
    times.read = watch.lap();
    let output = match fold(input) {
        Ok(output) => output,
        Err(reason) => {
            delete_unopened(db, &[], &loans).await?;
            return Ok(GroupProgress::Failed(reason));
        }
    };
    times.fold = watch.lap();
    let mut batch = write(db, group, output, &loans, (work.lane_slot, now)).await?;
    times.write = watch.lap();
    batch.times = times;
    Ok(GroupProgress::Finished(Box::new(batch)))
}

fn wanted(event: &AcceptedEvent) -> Wanted {
    Wanted { seq: event.seq, id: event.event.id, loan_key: event.event.loan_key }
}

/// The legs, as a batch's first look would sort them.
fn sorted(group: &GroupRows) -> Sorted {
    let to_post = |leg: &AcceptedEvent| ToPost { id: leg.event.id, seq: leg.seq, loan_key: leg.event.loan_key };
    Sorted { to_post: group.legs.iter().map(to_post).collect(), ..Sorted::default() }
}

/// From where on events may stand in front of a leg. Where there is no loan, none does.
fn marks(loans: &Loans) -> BTreeMap<LoanKey, Seq> {
    let known = loans.iter().filter(|(_, loan)| !loan.is_absent());
    known.map(|(key, loan)| (*key, loan.state.map_or(Seq(0), |state| state.last_posted_seq))).collect()
}

async fn held_loans(db: &mut SqliteConnection, group: &GroupRows) -> Result<BTreeSet<LoanKey>, StoreError> {
    let keys = loan_keys(group.legs.iter().map(|leg| leg.event.loan_key))?;
    let rows = sqlx::query(HELD_LOANS).bind(keys).fetch_all(db).await.map_err(store_error)?;
    rows.iter().map(|row| bytes(row, "loan_key").map(LoanKey::from_bytes)).collect()
}

/// What the legs' loans need of their past.
struct Pasts {
    held: BTreeSet<LoanKey>,
    earlier: BTreeMap<LoanKey, Earlier>,
    calendar: Calendar,
}

async fn input(
    db: &mut SqliteConnection,
    group: &GroupRows,
    loans: &Loans,
    mut pasts: Pasts,
    (work, now): (GroupWork, Timestamp),
) -> Result<GroupInput, StoreError> {
    let events = group.legs.iter().map(|leg| (leg.event.loan_key, vec![leg.clone()])).collect();
    let events = BatchEvents { events, ..BatchEvents::default() };
    let mut histories = read_histories(db, events.asking(loans), None).await?;
    let in_order = events.asking(loans).filter(|asking| !histories.contains_key(&asking.key));
    let mut accruals = read_accruals(db, in_order).await?;
    let mut fees = fees_of_batch(db, &events, &pasts.earlier).await?;
    let legs = group.legs.iter().map(|leg| {
        let key = leg.event.loan_key;
        let loan = loans.get(&key);
        let work = LoanWork {
            key,
            state: loan.and_then(|loan| loan.state),
            number_taken: loan.is_some_and(|loan| loan.number_taken),
            past: Past {
                history: histories.remove(&key),
                accruals: accruals.remove(&key),
                fees: fees.remove(&key),
                earlier: pasts.earlier.remove(&key).unwrap_or_default(),
                calendar: pasts.calendar.clone(),
                ..Past::default()
            },
            events: vec![leg.clone()],
        };
        LegWork::of(work, pasts.held.contains(&key)).ok_or_else(|| broken("a leg is not one event"))
    });
    let legs = legs.collect::<Result<_, _>>()?;
    Ok(GroupInput { now, parent: group.parent.clone(), legs, refusal: work.refusal })
}

async fn write(
    db: &mut SqliteConnection,
    group: GroupRows,
    output: GroupOutput,
    loans: &Loans,
    at: (i16, Timestamp),
) -> Result<PostedBatch, StoreError> {
    let GroupRows { parent, legs } = group;
    let group_seq = parent.seq;
    let events: BTreeMap<Seq, AcceptedEvent> = legs.into_iter().map(|leg| (leg.seq, leg)).collect();
    let restating = is_restating(&output).then_some(group_seq).into_iter().collect();
    let mut posted = write_legs(db, (&parent, &events), &output, loans, at).await?;
    write_terms(db, loans, &output.states).await?;
    write_marks(db, &output).await?;
    post_parent(db, parent.seq, &output.parent).await?;
    posted.push((parent, output.parent));
    unpark(db, &[group_seq], &posted).await?;
    Ok(PostedBatch { posted, restating, ..PostedBatch::default() })
}

async fn post_parent(db: &mut SqliteConnection, seq: Seq, posting: &Posting) -> Result<(), StoreError> {
    let refused = (!posting.refused_loans.is_empty()).then(|| json(&posting.refused_loans)).transpose()?;
    let moved = posting.allocation;
    let query = sqlx::query(POST_PARENT)
        .bind(seq.0)
        .bind(posting.outcome.as_str())
        .bind(posting.outcome.rejection().map(RejectionCode::as_str))
        .bind(moved.map(|moved| Minor::units(moved.fees)))
        .bind(moved.map(|moved| Minor::units(moved.interest)))
        .bind(moved.map(|moved| Minor::units(moved.principal)))
        .bind(moved.map(|moved| Minor::units(moved.suspense)))
        .bind(posting.effective_date)
        .bind(posting.booking_date)
        .bind(posting.posted_at.micros())
        .bind(refused.map(String::into_bytes));
    query.execute(db).await.map_err(store_error).map(drop)
}
